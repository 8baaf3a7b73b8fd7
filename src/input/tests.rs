//! A worker and inputs for the tests of every kind of input, and the tests of binding and stopping.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use parking_lot::Mutex;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::phase::{Batch, Outcome, Refusal};
use logphase_script::transaction::Transaction;

/// What a fake worker does with a batch.
#[derive(Debug, Clone)]
pub(super) enum Mood {
    /// Takes everything.
    Take,
    /// Takes this many more transactions, then its queue is full.
    Room(usize),
    /// Says this to everything.
    Refuse(Refusal),
    /// Does not answer until the mood changes.
    Hold,
}

/// A worker whose queues are a list, and inputs in front of it.
pub(super) struct Rig {
    pub(super) intake: Intake,
    pub(super) serving: Serving,
    pub(super) stop: watch::Sender<bool>,
    pub(super) addresses: Vec<Address>,
    worker: Worker,
}

/// The fake worker.
#[derive(Clone)]
pub(super) struct Worker {
    taken: Arc<Mutex<Vec<Bytes>>>,
    mood: watch::Sender<Mood>,
    room: Arc<Notify>,
}

impl Worker {
    /// A worker and an intake in front of it.
    pub(super) fn start() -> (Self, Intake) {
        let (sender, batches) = mpsc::channel(16);
        let worker =
            Self { taken: Arc::default(), mood: watch::Sender::new(Mood::Take), room: Arc::new(Notify::new()) };
        let intake = Intake::new(vec![sender], worker.room.clone());
        tokio::spawn(worker.clone().work(batches));
        (worker, intake)
    }

    async fn work(self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.recv().await {
            let mut mood = self.mood.subscribe();
            let _ = mood.wait_for(|mood| !matches!(mood, Mood::Hold)).await;
            let mood = mood.borrow().clone();
            let Batch { transactions, whole, gate, reply } = batch;
            let outcome = if gate.as_ref().is_some_and(|gate| gate.is_shut()) {
                Outcome { accepted: 0, refusal: None, rest: transactions }
            } else {
                self.decide(transactions, whole, mood)
            };
            if let Some(gate) = gate.filter(|_| !outcome.rest.is_empty()) {
                gate.shut();
            }
            // The input may have gone away; what was taken stays taken.
            let _ = reply.send(outcome);
        }
    }

    fn decide(&self, mut offered: Vec<Transaction>, whole: bool, mood: Mood) -> Outcome {
        let (room, refusal) = match mood {
            Mood::Take | Mood::Hold => (usize::MAX, None),
            Mood::Room(room) => (room, Some(Refusal::Full { plugin: "file-log".to_owned() })),
            Mood::Refuse(ref refusal) => (0, Some(refusal.clone())),
        };
        let accepted = if whole && offered.len() > room { 0 } else { offered.len().min(room) };
        let rest = offered.split_off(accepted);
        self.taken.lock().extend(offered.iter().map(|one| one.bytes().clone()));
        if let Mood::Room(room) = mood {
            self.mood.send_replace(Mood::Room(room - accepted));
        }
        Outcome { accepted, refusal: refusal.filter(|_| !rest.is_empty()), rest }
    }

    pub(super) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
        self.room.notify_waiters();
    }

    /// What was taken, in order.
    pub(super) fn taken(&self) -> Vec<String> {
        self.taken.lock().iter().map(|one| String::from_utf8(one.to_vec()).unwrap()).collect()
    }

    pub(super) async fn wait_for(&self, transactions: usize) -> Vec<String> {
        until("the transactions to arrive", || self.taken().len() >= transactions).await;
        self.taken()
    }
}

impl Rig {
    pub(super) fn start(settings: &InputSettings) -> Self {
        let (worker, intake) = Worker::start();
        let inputs = Inputs::bind(settings).unwrap();
        let addresses = inputs.local_addresses().to_vec();
        let stop = watch::Sender::new(false);
        let serving = inputs.serve(intake.clone(), stop.subscribe());
        Self { intake, serving, stop, addresses, worker }
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(super) fn meter(&self, kind: Kind) -> &Meter {
        self.serving.meters().of(kind)
    }

    pub(super) fn inet(&self) -> SocketAddr {
        match &self.addresses[0] {
            Address::Http(address) | Address::Tcp(address) | Address::Udp(address) => *address,
            Address::Unix(path) => panic!("{} is no internet address", path.display()),
        }
    }

    pub(super) async fn stop(&mut self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(10), self.serving.finished()).await.expect("the inputs end");
    }
}

/// Polls `condition` until it holds, for ten seconds at most.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Any free port of this machine.
pub(super) fn any_port() -> Vec<SocketAddr> {
    vec![SocketAddr::from(([127, 0, 0, 1], 0))]
}

/// The `i`th of a row of small transactions.
pub(super) fn transaction(i: usize) -> String {
    format!(r#"{{"i":{i},"request":{{"uri":"/orders/{i}"}}}}"#)
}

/// A hundred texts that are no transaction: cut, garbled, nested and confused ones. None holds a line end.
pub(super) fn hostile() -> Vec<Vec<u8>> {
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

/// Scenario: an address that is taken, one that no interface has.
/// Guarantees: binding fails with what, where and what to do, before anything runs.
#[tokio::test]
async fn bind_errors() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let error = Inputs::bind(&InputSettings { http: vec![taken], ..Default::default() }).unwrap_err();
    assert_eq!((error.what, error.address.as_str()), ("HTTP", taken.to_string().as_str()));
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen for HTTP on {taken}: ")), "{text}");
    assert!(text.contains("another process has it"), "{text}");

    let foreign = "192.0.2.1:0".parse().unwrap();
    let error = Inputs::bind(&InputSettings { udp: vec![foreign], ..Default::default() }).unwrap_err();
    assert!(error.to_string().contains("no interface of this machine has that address"), "{error}");
}

fn unix_settings(path: &Path) -> InputSettings {
    InputSettings { unix: vec![path.to_owned()], ..Default::default() }
}

/// Scenario: a Unix socket is bound, bound a second time while it is served, left behind by a crash, bound again.
/// Guarantees: mode 0660; a live socket is never taken over; a dead one is replaced; ours is removed at the end.
#[tokio::test]
async fn unix_socket_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("logphase.sock");
    // What a killed process leaves: a socket file without a listener.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());

    let mut rig = Rig::start(&unix_settings(&path));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    let error = Inputs::bind(&unix_settings(&path)).unwrap_err();
    assert!(error.to_string().contains("another process listens there"), "{error}");

    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"{\"a\":1}\n").await.unwrap();
    assert_eq!(rig.worker().wait_for(1).await, [r#"{"a":1}"#]);
    rig.stop().await;
    assert!(!path.exists());
}

/// Scenario: a regular file, a missing directory, a path too long for a socket; a socket file replaced under us.
/// Guarantees: no file that is not a dead socket of ours is ever removed, and each error says what to do.
#[tokio::test]
async fn unix_socket_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "precious").unwrap();
    let error = Inputs::bind(&unix_settings(&path)).unwrap_err();
    assert!(error.to_string().contains("a file that is no socket is in the way"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");

    let error = Inputs::bind(&unix_settings(&directory.path().join("no/such"))).unwrap_err();
    assert!(error.to_string().contains("make its directory first"), "{error}");
    let error = Inputs::bind(&unix_settings(&directory.path().join("x".repeat(200)))).unwrap_err();
    assert!(error.to_string().contains("shorter path"), "{error}");

    let path = directory.path().join("ours");
    let inputs = Inputs::bind(&unix_settings(&path)).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "somebody else's").unwrap();
    drop(inputs);
    assert!(path.exists());
}

/// Scenario: all inputs run, nothing connects, and they are told to stop; then again by dropping the sender.
/// Guarantees: they end at once, and nothing listens any more.
#[tokio::test]
async fn stops_when_idle() {
    let settings = InputSettings { http: any_port(), tcp: any_port(), udp: any_port(), ..Default::default() };
    let mut rig = Rig::start(&settings);
    assert_eq!(rig.addresses.len(), 3);
    assert!(rig.addresses[0].to_string().starts_with("http://127.0.0.1:"));
    rig.stop().await;
    for address in &rig.addresses {
        if let Address::Http(address) | Address::Tcp(address) = address {
            assert!(TcpStream::connect(address).await.is_err());
        }
    }
    let Rig { mut serving, stop, .. } = Rig::start(&settings);
    drop(stop);
    tokio::time::timeout(Duration::from_secs(5), serving.finished()).await.unwrap();
}

/// Scenario: more connections than allowed.
/// Guarantees: the ones too many wait, and are served when others end.
#[tokio::test]
async fn connection_limit() {
    let rig = Rig::start(&InputSettings { tcp: any_port(), max_connections: 2, ..Default::default() });
    let first = TcpStream::connect(rig.inet()).await.unwrap();
    let _second = TcpStream::connect(rig.inet()).await.unwrap();
    until("two connections", || rig.meter(Kind::Tcp).open() == 2).await;
    let mut third = TcpStream::connect(rig.inet()).await.unwrap();
    third.write_all(b"{\"third\":1}\n").await.unwrap();
    let mut byte = [0];
    assert!(tokio::time::timeout(Duration::from_millis(50), third.read(&mut byte)).await.is_err());
    assert!(rig.worker().taken().is_empty());
    drop(first);
    assert_eq!(rig.worker().wait_for(1).await, [r#"{"third":1}"#]);
}
