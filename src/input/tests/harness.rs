//! A fake worker, and inputs in front of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use crate::input::{Address, Counters, Input, Inputs, Serving};
use crate::phase::{Batch, BatchResult, FairBy, Intake, IntakeError};
use logphase_queue::Bound;
use logphase_script::transaction::Transaction;

/// What the fake worker does with a batch.
#[derive(Debug, Clone)]
pub(in crate::input) enum Behavior {
    /// Takes everything.
    Take,
    /// Takes this many more transactions, then its queue is full.
    Room(usize),
    /// Refuses everything with this.
    Refuse(IntakeError),
    /// Does not answer until its behavior changes.
    Hold,
}

/// A worker whose queues are a list.
#[derive(Clone)]
pub(in crate::input) struct FakeWorker {
    taken: Arc<Mutex<Vec<Bytes>>>,
    behavior: watch::Sender<Behavior>,
    room: Arc<Notify>,
}

impl FakeWorker {
    /// A worker and an intake in front of it.
    pub(in crate::input) fn start() -> (Self, Intake) {
        let (channel, mut end) = crate::phase::batch_channel();
        let (sender, batches) = mpsc::channel(16);
        // A thread, as a worker is; it ends with the channel.
        std::thread::spawn(move || {
            while let Some(batch) = end.take() {
                if sender.blocking_send(batch).is_err() {
                    return;
                }
            }
        });
        let worker =
            Self { taken: Arc::default(), behavior: watch::Sender::new(Behavior::Take), room: Arc::new(Notify::new()) };
        let intake = Intake::new(vec![channel], worker.room.clone(), FairBy::Peer);
        tokio::spawn(worker.clone().work(batches));
        (worker, intake)
    }

    async fn work(self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.recv().await {
            let mut behavior = self.behavior.subscribe();
            let _ = behavior.wait_for(|behavior| !matches!(behavior, Behavior::Hold)).await;
            let behavior = behavior.borrow().clone();
            let Batch { transactions, all_or_none, fence, reply, .. } = batch;
            let outcome = if fence.as_ref().is_some_and(|fence| fence.is_raised()) {
                BatchResult { accepted: 0, error: None, rest: transactions }
            } else {
                self.decide(transactions, all_or_none, behavior)
            };
            if let Some(fence) = fence.filter(|_| !outcome.rest.is_empty()) {
                fence.raise();
            }
            // The input may be gone; what was taken stays taken.
            reply.send(outcome);
        }
    }

    fn decide(&self, mut offered: Vec<Transaction>, all_or_none: bool, behavior: Behavior) -> BatchResult {
        let (room, refusal) = match behavior {
            Behavior::Take | Behavior::Hold => (usize::MAX, None),
            Behavior::Room(room) => {
                (room, Some(IntakeError::Full { plugin: "file-log".to_owned(), bound: Bound::MaxEntries }))
            }
            Behavior::Refuse(ref refusal) => (0, Some(refusal.clone())),
        };
        let accepted = if all_or_none && offered.len() > room { 0 } else { offered.len().min(room) };
        let rest = offered.split_off(accepted);
        self.taken.lock().extend(offered.iter().map(|one| one.bytes().clone()));
        if let Behavior::Room(room) = behavior {
            self.behavior.send_replace(Behavior::Room(room - accepted));
        }
        BatchResult { accepted, error: refusal.filter(|_| !rest.is_empty()), rest }
    }

    pub(in crate::input) fn set(&self, behavior: Behavior) {
        self.behavior.send_replace(behavior);
        self.room.notify_waiters();
    }

    /// What was taken, in order.
    pub(in crate::input) fn taken(&self) -> Vec<String> {
        self.taken.lock().iter().map(|one| String::from_utf8(one.to_vec()).unwrap()).collect()
    }

    pub(in crate::input) async fn wait_for(&self, transactions: usize) -> Vec<String> {
        wait_until("the transactions to arrive", || self.taken().len() >= transactions).await;
        self.taken()
    }
}

/// Running inputs in front of a fake worker.
pub(in crate::input) struct Harness {
    pub(in crate::input) intake: Intake,
    pub(in crate::input) serving: Serving,
    pub(in crate::input) stop: watch::Sender<bool>,
    pub(in crate::input) addresses: Vec<Address>,
    worker: FakeWorker,
}

impl Harness {
    /// Runs one input.
    pub(in crate::input) fn start<I: Input>(input: I) -> Self {
        Self::serve(Inputs::of(I::NAME, input.bind().unwrap()))
    }

    /// Runs inputs that are bound.
    pub(in crate::input) fn serve(inputs: Inputs) -> Self {
        let (worker, intake) = FakeWorker::start();
        let addresses = inputs.addresses();
        let stop = watch::Sender::new(false);
        let serving = inputs.serve(&intake, &stop.subscribe());
        Self { intake, serving, stop, addresses, worker }
    }

    pub(in crate::input) fn worker(&self) -> &FakeWorker {
        &self.worker
    }

    /// What the first input has counted.
    pub(in crate::input) fn counters(&self) -> &Arc<Counters> {
        &self.serving.counters()[0].1
    }

    /// The first address.
    pub(in crate::input) fn inet(&self) -> SocketAddr {
        match &self.addresses[0] {
            Address::Inet { address, .. } => *address,
            Address::Unix(path) | Address::Fifo(path) => panic!("{} is not an internet address", path.display()),
        }
    }

    /// Stops the inputs and waits until they have ended.
    pub(in crate::input) async fn stop(&mut self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(10), self.serving.finished()).await.expect("the inputs end");
    }
}

/// Polls `condition` until it holds, for ten seconds at most.
pub(in crate::input) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Any free port of this machine.
pub(in crate::input) fn any_port() -> Vec<String> {
    vec!["127.0.0.1:0".to_owned()]
}

/// The `i`th of a series of small transactions.
pub(in crate::input) fn transaction(i: usize) -> String {
    format!(r#"{{"i":{i},"request":{{"uri":"/orders/{i}"}}}}"#)
}

/// More than a hundred texts that are not a transaction: cut, garbled and nested ones. None has a line end.
pub(in crate::input) fn hostile() -> Vec<Vec<u8>> {
    let good = br#"{"request":{"uri":"/a","headers":{"host":"x"}},"n":1.5e3,"t":true,"s":"\u00e9"}"#;
    let mut bodies: Vec<Vec<u8>> = (1..good.len()).map(|end| good[..end].to_vec()).collect();
    for text in [
        &b"null"[..],
        b"1",
        b"\"text\"",
        b"true",
        b"[1]",
        b"[{}, 2]",
        b"[{},]",
        b"[[{}]]",
        b"{} {}",
        b"{}garbage",
        b"{\"a\":01}",
        b"{\"a\":+1}",
        b"{\"a\":NaN}",
        b"{'a':1}",
        b"{a:1}",
        b"{\"a\":1,}",
        b"{\"a\" 1}",
        b"{\"a\":\"\x01\"}",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\\ud8\"}",
        b"\xef\xbb\xbf[",
        b"\xff\xfe{\0}\0",
        b"\0",
        b"\0\0\0\0\0\0\0\0",
        b"GET / HTTP/1.1\r",
        b"<xml/>",
        b"PRI * HTTP/2.0\r",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x1f\x8b\x08\x00",
    ] {
        bodies.push(text.to_vec());
    }
    bodies.push([&b"{\"a\":"[..], &b"[".repeat(100_000)].concat());
    bodies.push(b"{\"a\":".repeat(100_000));
    bodies.push([&b"{\"a\":"[..], &b"[".repeat(1000), &b"]".repeat(1000), b"}"].concat());
    assert!(bodies.len() >= 100 && bodies.iter().all(|body| !body.contains(&b'\n')));
    bodies
}

/// A field of protobuf with a length.
pub(in crate::input) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut length = bytes.len();
    let mut field = vec![number << 3 | 2];
    while length > 0x7f {
        field.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap());
    field.extend_from_slice(bytes);
    field
}

/// A message of the stream, as gRPC frames it.
pub(in crate::input) fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}
