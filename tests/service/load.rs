//! Senders that run until they are stopped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use super::{Client, transaction, wait_until};

/// The results of everything that was sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Answered 200.
    pub accepted: BTreeSet<u64>,
    /// Without an answer: the connection ended first.
    pub unanswered: BTreeSet<u64>,
    /// Answered with another status.
    pub refused: Vec<(u64, u16)>,
}

/// Two HTTP senders, each with a persistent connection, which alternate single transactions and arrays of three.
pub struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    senders: Vec<JoinHandle<Sent>>,
}

/// Number of senders.
const SENDERS: u64 = 2;

/// Pause after each request, which keeps a test's files small.
const PAUSE: Duration = Duration::from_micros(500);

impl Load {
    /// Starts to send to an HTTP input.
    pub fn start(port: u16) -> Self {
        Self::start_with(port, transaction)
    }

    /// The same with transactions that `make` creates from their ids; each sender's ids are consecutive.
    pub fn start_with(port: u16, make: fn(u64) -> Value) -> Self {
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let sender = |number| {
            let (stop, accepted) = (stop.clone(), accepted.clone());
            thread::spawn(move || send(port, number * 1_000_000, make, &stop, &accepted))
        };
        Self { senders: (1..=SENDERS).map(sender).collect(), stop, accepted }
    }

    /// Number of transactions answered 200 so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits until this many more transactions are answered 200.
    #[track_caller]
    pub fn await_more(&self, transactions: u64) {
        let goal = self.accepted() + transactions;
        wait_until(&format!("{transactions} more transactions are accepted"), || self.accepted() >= goal);
    }

    /// Stops and returns the results.
    pub fn finish(self) -> Sent {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Sent::default();
        for sender in self.senders {
            let sent = sender.join().unwrap();
            all.accepted.extend(sent.accepted);
            all.unanswered.extend(sent.unanswered);
            all.refused.extend(sent.refused);
        }
        all
    }
}

fn send(port: u16, first: u64, make: fn(u64) -> Value, stop: &AtomicBool, accepted: &AtomicU64) -> Sent {
    let mut sent = Sent::default();
    let mut client = None;
    let mut next = first;
    for turn in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let ids = next..next + if turn % 4 == 3 { 3 } else { 1 };
        next = ids.end;
        let bodies: Vec<Value> = ids.clone().map(make).collect();
        let body = if bodies.len() == 1 { bodies[0].to_string() } else { Value::from(bodies).to_string() };
        if client.is_none() {
            client = Client::connect(port).ok();
        }
        match client.as_mut().map(|client| client.post(body.as_bytes())) {
            Some(Ok(answer)) if answer.status == 200 => {
                accepted.fetch_add(ids.end - ids.start, Ordering::SeqCst);
                sent.accepted.extend(ids);
            }
            Some(Ok(answer)) => {
                sent.refused.extend(ids.map(|id| (id, answer.status)));
                if answer.header("connection") == Some("close") {
                    client = None;
                }
            }
            Some(Err(_)) => {
                sent.unanswered.extend(ids);
                client = None;
            }
            None => {}
        }
        thread::sleep(PAUSE);
    }
    sent
}
