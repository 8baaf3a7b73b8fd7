//! HTTP senders that run through every end of the service and note what was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use super::rng::Rng;
use crate::kill::checker::Make;
use crate::service::{Client, Sent};

/// Number of connections.
const SENDERS: u64 = 3;
/// The range of ids of each sender, as the checker assumes it.
const IDS: u64 = 1_000_000;

/// Senders that run until they are stopped.
pub struct Senders {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    running: Vec<JoinHandle<Sent>>,
}

impl Senders {
    /// Starts to send transactions that `make` creates to an HTTP input; no input needs to be there yet.
    pub fn start(port: u16, rng: &mut Rng, make: Make) -> Self {
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let sender = |number: u64| {
            let (stop, accepted, rng) = (stop.clone(), accepted.clone(), rng.fork());
            let sender = Sender { port, rng, make, next: number * IDS, client: None, sent: Sent::default(), accepted };
            thread::spawn(move || sender.run(&stop))
        };
        let running = (1..=SENDERS).map(sender).collect();
        Self { stop, accepted, running }
    }

    /// Number of transactions answered 200 so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Stops and returns the results.
    pub fn finish(&mut self) -> Sent {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Sent::default();
        for sender in self.running.drain(..) {
            let sent = sender.join().unwrap();
            all.accepted.extend(sent.accepted);
            all.unanswered.extend(sent.unanswered);
            all.refused.extend(sent.refused);
        }
        all
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

struct Sender {
    port: u16,
    rng: Rng,
    make: Make,
    next: u64,
    client: Option<Client>,
    sent: Sent,
    accepted: Arc<AtomicU64>,
}

impl Sender {
    fn run(mut self, stop: &AtomicBool) -> Sent {
        while !stop.load(Ordering::SeqCst) {
            if self.client.is_none() {
                self.client = Client::connect(self.port).ok();
            }
            match self.client.take() {
                Some(client) => self.send(client),
                // The service is away for a moment.
                None => thread::sleep(Duration::from_millis(3)),
            }
            thread::sleep(self.rng.millis(0..6));
        }
        self.sent
    }

    /// Sends one request: a single transaction, an array, or JSON lines.
    fn send(&mut self, mut client: Client) {
        let batch = if self.rng.chance(70) { 1 } else { self.rng.within(2..21) };
        let ids = self.next..self.next + batch;
        self.next = ids.end;
        let mut bodies: Vec<Value> = ids.clone().map(self.make).collect();
        let (content_type, body) = match bodies.len() {
            1 => ("application/json", bodies.remove(0).to_string()),
            _ if self.rng.chance(50) => ("application/json", Value::from(bodies).to_string()),
            _ => ("application/x-ndjson", bodies.iter().map(|body| format!("{body}\n")).collect()),
        };
        match client.post_with(&format!("Content-Type: {content_type}\r\n"), body.as_bytes()) {
            Ok(answer) if answer.status == 200 => {
                self.accepted.fetch_add(batch, Ordering::SeqCst);
                self.sent.accepted.extend(ids);
                self.client = Some(client);
            }
            Ok(answer) => {
                self.sent.refused.extend(ids.map(|id| (id, answer.status)));
                if answer.header("connection") != Some("close") {
                    self.client = Some(client);
                }
                thread::sleep(self.rng.millis(5..30));
            }
            Err(_) => self.sent.unanswered.extend(ids),
        }
    }
}
