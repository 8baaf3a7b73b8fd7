use std::io::Write;
use std::os::unix::net::UnixStream;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::delivery::{CollectorRules, Delivery, OutputSpec};
use crate::input::Inputs;
use crate::input::tests::harness::{Harness, any_port, wait_until};
use crate::input::{Counters, Reason};
use crate::options::queue::QueueOptions;
use crate::sink::{Opener, SinkShared};
use logphase_net::testing::own_port;
use logphase_queue::Budget;

/// A collector that keeps what it reads of each connection.
struct Peer {
    address: String,
    received: mpsc::Receiver<Vec<u8>>,
    so_far: Vec<u8>,
}

impl Peer {
    async fn start() -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn listen(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let (sender, received) = mpsc::channel(100);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        let _ = sender.send(buffer[..read].to_vec()).await;
                    }
                });
            }
        });
        Self { address, received, so_far: Vec::new() }
    }

    /// Waits until so many bytes have come, and returns all.
    async fn wait_for(&mut self, bytes: usize) -> String {
        let more = async {
            while self.so_far.len() < bytes {
                self.so_far.extend(self.received.recv().await.expect("it listens"));
            }
        };
        tokio::time::timeout(Duration::from_secs(30), more).await.expect("the lines arrive");
        String::from_utf8(self.so_far.clone()).unwrap()
    }
}

/// The host of collectors of datagrams, which confirm at once.
const UDP_HOST: &str = "udp.test";

/// The input in front of real queues in memory, with at most `max` collectors, for addresses that `allowed` means.
struct World {
    harness: Harness,
    delivery: Delivery,
    home: tempfile::TempDir,
}

impl World {
    fn start(max: usize, allowed: &str, queue: QueueOptions) -> Self {
        Self::with_lines(1000, 32 << 20, max, allowed, queue)
    }

    /// The same for lines of so many bytes, of which so many bytes may be unfinished.
    fn with_lines(max_line_bytes: usize, unfinished: usize, max: usize, allowed: &str, queue: QueueOptions) -> Self {
        let home = tempfile::tempdir().unwrap();
        let delivery = Delivery::new(SinkShared::new(None), Budget::default(), home.path().to_owned());
        let allowed: AddressPattern = allowed.parse().unwrap();
        let spec = move |address: &str| {
            let (host, port) = address.rsplit_once(':').ok_or("no port")?;
            let opener = if host == UDP_HOST { crate::sink::udp::open } else { crate::sink::tcp::open };
            let host = host.replace(UDP_HOST, "127.0.0.1");
            Ok(OutputSpec {
                identity: address.to_owned(),
                plugin: "collector".to_owned(),
                instance: None,
                shares: Arc::default(),
                opener: Opener(opener),
                config: json!({"host": host, "port": port.parse::<u16>().map_err(|error| error.to_string())?}),
                queue: queue.clone(),
            })
        };
        let rules =
            CollectorRules { is_allowed: Box::new(move |address| allowed.matches(address)), spec: Box::new(spec) };
        let collectors = Collectors::new(delivery.clone(), home.path(), max, rules);
        let mut settings: Settings =
            serde_json::from_value(serde_json::Value::Object(Settings::RECORD.defaults())).unwrap();
        settings.fifos = vec![home.path().join("fifo")];
        settings.paths = vec![home.path().join("socket")];
        settings.listen = any_port();
        let input = AccessLogStreamer { settings, max_line_bytes };
        let mut inputs = Inputs::of(AccessLogStreamer::NAME, input.bind().unwrap()).with_collectors(Some(collectors));
        inputs.max_unfinished_bytes = unfinished;
        Self { harness: Harness::serve(inputs), delivery, home }
    }

    fn fifo(&self) -> std::fs::File {
        std::fs::OpenOptions::new().write(true).open(self.home.path().join("fifo")).unwrap()
    }

    fn counters(&self) -> &Arc<Counters> {
        self.harness.counters()
    }
}

fn in_memory() -> QueueOptions {
    let max_retry_delay = Duration::from_millis(50);
    QueueOptions { max_retry_delay, spill: false, ..QueueOptions::default() }
}

/// Scenario: lines of both forms through a FIFO with two writers, one of which goes and comes back, through a Unix socket and through
/// TCP; among them some that name no address, one that is not allowed, one that is too long, and one that is cut by the stop.
/// Guarantees: the allowed ones are with their collectors as kuma-dp sends them, in order; the others are counted, each under its
/// reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream() {
    let (mut one, mut other) = (Peer::start().await, Peer::start().await);
    let mut world = World::start(64, "127.0.0.0/8:*", in_memory());
    let (first, mut second) = (world.fifo(), world.fifo());
    writeln!(&first, "{};a line; of Envoy\r", one.address).unwrap();
    drop(first);
    let wrapped = json!({"address": other.address, "message": {"b": 1, "a": "<x>"}});
    writeln!(second, "{wrapped}\n\nno address\n{}", json!({"address": one.address, "message": "text\n"})).unwrap();
    writeln!(second, "192.0.2.1:9;not allowed\n{};{}", one.address, "x".repeat(2000)).unwrap();
    let text = "a line; of Envoy\r\ntext\n";
    assert_eq!(one.wait_for(text.len()).await, text);
    writeln!(world.fifo(), "{};again", one.address).unwrap();
    assert_eq!(one.wait_for(text.len() + 6).await, format!("{text}again\n"));
    writeln!(UnixStream::connect(world.home.path().join("socket")).unwrap(), "{};unix", other.address).unwrap();
    let expected = "{\"a\":\"\\u003cx\\u003e\",\"b\":1}\nunix\n";
    assert_eq!(other.wait_for(expected.len()).await, expected);
    let Address::Inet { address, .. } = world.harness.addresses[2] else { panic!("{:?}", world.harness.addresses) };
    let mut tcp = std::net::TcpStream::connect(address).unwrap();
    writeln!(tcp, "{};tcp", other.address).unwrap();
    assert_eq!(other.wait_for(expected.len() + 4).await, format!("{expected}tcp\n"));
    write!(second, "cut").unwrap();
    world.harness.stop().await;
    let counters = world.counters();
    wait_until("the lines are counted", || counters.received() == 6).await;
    let rejected = |reason| counters.rejected(reason);
    let counts = [Reason::Malformed, Reason::NotAllowed, Reason::TooLarge, Reason::Incomplete].map(rejected);
    assert_eq!((counts, counters.rejected_total(), counters.lost()), ([1, 1, 1, 1], 4, 0));
    assert!(world.harness.worker().taken().is_empty(), "no plugin sees them");
}

/// Scenario: at most two collectors: one that is away, and one that has what was sent to it; then lines for two more.
/// Guarantees: the first of them takes the place of the one that has nothing to deliver; the other is rejected, and nothing of those
/// with lines is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_collectors_is_bounded() {
    let away = own_port();
    let datagrams = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut third = Peer::start().await;
    let world = World::start(2, "*:*", in_memory());
    let mut fifo = world.fifo();
    writeln!(fifo, "127.0.0.1:{away};one").unwrap();
    writeln!(fifo, "{UDP_HOST}:{};two", datagrams.local_addr().unwrap().port()).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(datagrams.recv(&mut buffer).await.unwrap(), 3);
    wait_until("both are taken", || world.counters().received() == 2).await;
    let idle = || world.delivery.stats().iter().any(|stats| stats.counters.delivered == 1 && stats.counters.is_idle());
    wait_until("one has nothing to deliver", idle).await;
    writeln!(fifo, "{};three", third.address).unwrap();
    assert_eq!(third.wait_for(6).await, "three\n");
    writeln!(fifo, "127.0.0.1:{};four", own_port()).unwrap();
    wait_until("it is rejected", || world.counters().rejected(Reason::Full) == 1).await;
    let mut back = Peer::listen(TcpListener::bind(("127.0.0.1", away)).await.unwrap());
    assert_eq!(back.wait_for(4).await, "one\n");
}

/// Scenario: a queue of two lines, whose collector is away, and a stream with three; then the same with a queue that is not required.
/// Guarantees: the third line waits, also while lines for another collector arrive, and is delivered when the first is back, in
/// order; where it is not required, it is dropped and counted, and the other collector goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue() {
    for required in [true, false] {
        let port = own_port();
        let mut other = Peer::start().await;
        let queue = QueueOptions { max_entries: Some(2), required, ..in_memory() };
        let world = World::start(64, "127.0.0.1:*", queue);
        let mut fifo = world.fifo();
        for text in ["a", "b", "c"] {
            writeln!(fifo, "127.0.0.1:{port};{text}").unwrap();
        }
        let taken = if required { 2 } else { 3 };
        wait_until("the queue is full", || world.counters().received() == taken).await;
        writeln!(fifo, "{};other", other.address).unwrap();
        if !required {
            assert_eq!(other.wait_for(6).await, "other\n");
        }
        let mut back = Peer::listen(TcpListener::bind(("127.0.0.1", port)).await.unwrap());
        let expected = if required { "a\nb\nc\n" } else { "a\nb\n" };
        assert_eq!(back.wait_for(expected.len()).await, expected);
        assert_eq!(other.wait_for(6).await, "other\n");
        assert_eq!(world.counters().rejected_total() + world.counters().lost(), 0);
    }
}

/// Scenario: a line in the FIFO that holds more memory than unfinished lines may, then its end and other lines.
/// Guarantees: it is given up and counted, and the FIFO is read on: what follows its end arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_holds_too_much() {
    let mut peer = Peer::start().await;
    let world = World::with_lines(1 << 20, 20_000, 64, "127.0.0.1:*", in_memory());
    let mut fifo = world.fifo();
    let text = format!("{};{}", peer.address, "x".repeat(60_000));
    fifo.write_all(text.as_bytes()).unwrap();
    wait_until("it is given up", || world.counters().rejected(Reason::Timeout) == 1).await;
    writeln!(fifo, "its end\n{};next", peer.address).unwrap();
    assert_eq!(peer.wait_for(5).await, "next\n");
    wait_until("its end is rejected", || world.counters().rejected(Reason::Malformed) == 1).await;
}

/// Scenario: settings with an address that is a pattern of any host, and a FIFO's path that a file has.
/// Guarantees: both are found before the start.
#[test]
fn what_is_found_before_the_start() {
    let home = tempfile::tempdir().unwrap();
    let mut settings: Settings =
        serde_json::from_value(serde_json::Value::Object(Settings::RECORD.defaults())).unwrap();
    assert!(!settings.is_on());
    settings.fifos = vec![home.path().join("file")];
    let check = |settings: &Settings| AccessLogStreamer { settings: settings.clone(), max_line_bytes: 1 }.check();
    assert_eq!(check(&settings), []);
    std::fs::write(&settings.fifos[0], "").unwrap();
    settings.addresses = vec!["logs.example:5000".to_owned(), "*:5000".to_owned()];
    let found: Vec<_> = check(&settings).into_iter().map(|found| (found.is_error(), found.message)).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].0 && found[0].1.ends_with("file is not a FIFO"), "{found:?}");
    assert!(!found[1].0 && found[1].1.contains("any host that a line names (`*:5000`)"), "{found:?}");
}
