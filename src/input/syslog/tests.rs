//! Syslog over each transport: what is taken, what is counted, what is closed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixDatagram};

use super::*;
use crate::decode::mapping;
use crate::input::Reason;
use crate::input::tests::harness::{Harness, any_port, hostile, transaction, wait_until};
use logphase_script::transaction::Limits as TransactionLimits;

const HEADER: &str = "<190>Nov 29 12:00:00 edge-7 nginx: ";

/// An input with one address of each kind; the socket is in `folder`.
fn input(folder: &tempfile::TempDir) -> Syslog {
    let settings = Settings {
        udp: any_port(),
        tcp: any_port(),
        paths: vec![folder.path().join("log")],
        max_connections: 100,
        idle_timeout: Duration::from_secs(300),
        tls: Tls::default(),
        proxy_protocol: Vec::new(),
        per_peer: PerPeer::default(),
        header_member: None,
        mapping: mapping::KONG.to_owned(),
        match_routes: None,
    };
    Syslog { settings, decoder: TextDecoder::kong(Format::Object, TransactionLimits::default()) }
}

fn start() -> (Harness, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Harness::start(input(&folder)), folder)
}

async fn udp(harness: &Harness) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(harness.inet()).await.unwrap();
    socket
}

async fn tcp(harness: &Harness) -> TcpStream {
    let Address::Inet { address, scheme: "syslog+tcp" } = &harness.addresses[1] else { panic!("not TCP") };
    TcpStream::connect(address).await.unwrap()
}

/// Scenario: messages of both formats, with and without headers, with a line end, two in one datagram, one of the largest
/// size, and one without JSON, over UDP.
/// Guarantees: the objects arrive byte for byte; the one without JSON is counted under its own reason.
#[tokio::test]
async fn datagrams_arrive() {
    let (harness, _folder) = start();
    let socket = udp(&harness).await;
    let large = format!("{HEADER}{{\"a\":\"{}\"}}", "x".repeat(65_507 - 8 - HEADER.len()));
    for message in [
        "<14>Nov 29 12:00:00 kong[123]: {\"a\":1}",
        "<14>1 2026-11-29T12:00:00Z h kong 1 - [t@41058 tag=\"x\"] {\"a\":2}\n",
        "{\"a\":3}",
        "<14>kong: {\"a\":4}\n<14>kong: {\"a\":5}\n",
        "<187>Nov 29 12:00:00 nginx: 2026/11/29 12:00:00 [error] 1#1: failed",
        &large,
    ] {
        socket.send(message.as_bytes()).await.unwrap();
    }
    let mut expected: Vec<String> = (1..6).map(|i| format!("{{\"a\":{i}}}")).collect();
    expected.push(large[HEADER.len()..].to_owned());
    assert_eq!(harness.worker().wait_for(6).await, expected);
    let counters = harness.counters();
    assert_eq!((counters.received(), counters.rejected(Reason::NotJson), counters.rejected_total()), (6, 1, 1));
}

/// Scenario: datagrams over a Unix socket: small, of 150 kB, and past the limit; then the input stops.
/// Guarantees: those within the limit arrive; the other is counted; the socket's file is removed.
#[tokio::test]
async fn local_datagrams() {
    let folder = tempfile::tempdir().unwrap();
    let limits = TransactionLimits { max_bytes: 160_000, ..TransactionLimits::default() };
    let decoder = TextDecoder::kong(Format::Object, limits);
    let mut harness = Harness::start(Syslog { decoder, ..input(&folder) });
    let path = folder.path().join("log");
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(&path).unwrap();
    let message = |bytes: usize| format!("<14>Nov 29 12:00:00 kong: {{\"a\":\"{}\"}}\n", "x".repeat(bytes));
    for bytes in [1, 150_000, 165_000, 180_000, 2] {
        socket.send(message(bytes).as_bytes()).await.unwrap();
    }
    let lengths: Vec<_> = harness.worker().wait_for(3).await.iter().map(String::len).collect();
    assert_eq!(lengths, [9, 150_008, 10]);
    let counters = harness.counters();
    assert_eq!(counters.rejected(Reason::TooLarge), 2);
    assert_eq!(counters.rejected_total(), 2);
    harness.stop().await;
    assert!(!path.exists());
}

/// Scenario: one connection with counted messages and lines, one too large of each, a daemon's line, and a cut one at its end.
/// Guarantees: every object arrives, in order; what is not taken is counted under its reason; the connection stays open.
#[tokio::test]
async fn framings_on_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let limits = TransactionLimits { max_bytes: 1000, ..TransactionLimits::default() };
    let harness = Harness::start(Syslog { decoder: TextDecoder::kong(Format::Object, limits), ..input(&folder) });
    let counted = |text: String| format!("{} {text}", text.len());
    let long = format!("{HEADER}{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let stream = [
        counted(format!("{HEADER}{{\"i\":\n0}}\n")),
        format!("{HEADER}{{\"i\":1}}\n"),
        counted(long.clone()),
        counted(format!("{HEADER}{{\"i\":2}}")),
        format!("{long}\r\n"),
        counted(format!("{HEADER}started")),
        format!("{HEADER}{{\"i\":3}}\r\n"),
        counted(format!("{HEADER}{{\"i\":4}}")).replace("4}", "4"),
    ]
    .concat();
    let mut connection = tcp(&harness).await;
    connection.write_all(stream.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    assert_eq!(connection.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(harness.worker().taken(), ["{\"i\":0}", "{\"i\":1}", "{\"i\":2}", "{\"i\":3}"]);
    let counters = harness.counters();
    let rejected = [Reason::TooLarge, Reason::NotJson, Reason::Incomplete].map(|reason| counters.rejected(reason));
    assert_eq!((rejected, counters.rejected_total()), ([2, 1, 1], 4));
}

/// Scenario: a count that no message has, after a good message and before another.
/// Guarantees: the first is taken, the connection is closed, and another connection is served.
#[tokio::test]
async fn absurd_count() {
    let (harness, _folder) = start();
    let mut connection = tcp(&harness).await;
    connection.write_all(b"7 {\"a\":1}999999999 {\"a\":2}\n").await.unwrap();
    // The end, or a reset because of what was not read.
    assert_eq!(connection.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(harness.counters().rejected(Reason::Malformed), 1);
    tcp(&harness).await.write_all(b"{\"a\":3}\n").await.unwrap();
    assert_eq!(harness.worker().wait_for(2).await, ["{\"a\":1}", "{\"a\":3}"]);
}

/// Scenario: a hundred connections with one message each; then one that sends half a message and is idle.
/// Guarantees: each arrives and no connection is left; the idle one is closed, and what it sent is counted.
#[tokio::test]
async fn short_and_idle_connections() {
    let folder = tempfile::tempdir().unwrap();
    let mut input = input(&folder);
    input.settings.idle_timeout = Duration::from_millis(300);
    let harness = Harness::start(input);
    for i in 0..100 {
        tcp(&harness).await.write_all(format!("{HEADER}{}\n", transaction(i)).as_bytes()).await.unwrap();
    }
    assert_eq!(harness.worker().wait_for(100).await.len(), 100);
    let mut idle = tcp(&harness).await;
    idle.write_all(b"900 <14>kong: {\"a\":").await.unwrap();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    let counters = harness.counters();
    wait_until("the connections to end", || counters.open_connections() == 0).await;
    assert_eq!(counters.rejected(Reason::Incomplete), 1);
}

/// Scenario: hostile bodies behind a header, over UDP and counted over TCP, a good one after each; hostile headers.
/// Guarantees: each bad one is counted, each good one arrives.
#[tokio::test]
async fn hostile_messages() {
    let (harness, _folder) = start();
    let bodies: Vec<_> = hostile().into_iter().filter(|body| body.len() < 60_000).collect();
    let (datagrams, mut connection) = (udp(&harness).await, tcp(&harness).await);
    let mut stream = Vec::new();
    for (i, body) in bodies.iter().enumerate() {
        let message = [HEADER.as_bytes(), body].concat();
        for text in [&message, transaction(i).as_bytes()] {
            datagrams.send(text).await.unwrap();
            stream.extend_from_slice(format!("{} ", text.len()).as_bytes());
            stream.extend_from_slice(text);
        }
    }
    for header in [&b"<"[..], b"<14", b"<14>1 - - - [", b"\0\0", b"<14>1 2026", b"<14>Nov", b"\xff\xff"] {
        datagrams.send(header).await.unwrap();
    }
    connection.write_all(&stream).await.unwrap();
    let mut taken = harness.worker().wait_for(2 * bodies.len()).await;
    taken.sort();
    let mut expected: Vec<_> = (0..bodies.len()).flat_map(|i| [transaction(i), transaction(i)]).collect();
    expected.sort();
    assert_eq!(taken, expected);
    let counters = harness.counters();
    wait_until("the bad ones to be counted", || counters.rejected_total() == 2 * bodies.len() as u64 + 7).await;
    let reasons = [Reason::Malformed, Reason::TooLarge, Reason::NotJson].map(|reason| counters.rejected(reason));
    assert_eq!(reasons.iter().sum::<u64>(), counters.rejected_total());
}

/// Scenario: a member for the header; messages with a whole header, with none, with bytes that are not UTF-8, and one whose
/// object has such a member.
/// Guarantees: the member has what the header says, and nothing else; a member of the object is never replaced.
#[tokio::test]
async fn header_member() {
    let folder = tempfile::tempdir().unwrap();
    let mut input = input(&folder);
    input.settings.header_member = Some("syslog".to_owned());
    let harness = Harness::start(input);
    let socket = udp(&harness).await;
    for message in [
        &b"<14>1 2026-11-29T12:00:00Z h kong 7 ID - {\"a\":1}"[..],
        b"{}",
        b"<191>Nov 29 12:00:00 \xff kong: {\"a\":2}",
        b"<14>kong: {\"syslog\":3}",
    ] {
        socket.send(message).await.unwrap();
    }
    let expected = [
        r#"{"a":1,"syslog":{"facility":"user","severity":"info","timestamp":"2026-11-29T12:00:00Z","hostname":"h","app_name":"kong","proc_id":"7","msg_id":"ID"}}"#.to_owned(),
        r#"{"syslog":{}}"#.to_owned(),
        "{\"a\":2,\"syslog\":{\"facility\":\"local7\",\"severity\":\"debug\",\"timestamp\":\"Nov 29 12:00:00\",\"hostname\":\"\u{fffd}\",\"app_name\":\"kong\"}}".to_owned(),
        r#"{"syslog":3}"#.to_owned(),
    ];
    assert_eq!(harness.worker().wait_for(4).await, expected);
}

/// Scenario: settings with each kind of address alone, and with none; names for the header's member.
/// Guarantees: one kind turns the input on; a name that needs escapes is refused.
#[test]
fn settings() {
    let folder = tempfile::tempdir().unwrap();
    let all = crate::settings::Settings::default();
    let shared = Shared::from(&all);
    let on = |change: fn(&mut Settings, Settings)| {
        let Syslog { settings, .. } = input(&folder);
        let mut none = Settings { udp: vec![], tcp: vec![], paths: vec![], ..settings.clone() };
        change(&mut none, settings);
        Syslog::new(none, shared).is_some()
    };
    assert!(!on(|_, _| {}));
    assert!(
        on(|to, from| to.udp = from.udp) && on(|to, from| to.tcp = from.tcp) && on(|to, from| to.paths = from.paths)
    );
    for (name, valid) in
        [("", false), ("syslog", true), ("a_b-1", true), ("a\"", false), ("a.b", false), ("\u{e9}", false)]
    {
        assert_eq!(member(&name.into()).is_ok(), valid, "{name}");
    }
}
