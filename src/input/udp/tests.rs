//! Datagrams: what is taken, what is counted, what is lost.

use super::*;
use crate::input::Reason;
use crate::input::tests::harness::{Behavior, Harness, any_port, hostile, transaction, wait_until};
use logphase_script::transaction;

fn input() -> Udp {
    let decoder = TextDecoder::kong(Format::Object, transaction::Limits::default());
    Udp {
        settings: Settings { listen: any_port(), mapping: "kong".to_owned(), match_routes: None },
        decoder,
        receive_buffer: RECEIVE_BUFFER_BYTES,
    }
}

async fn sender(harness: &Harness) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(harness.inet()).await.unwrap();
    socket
}

/// Scenario: datagrams without a line end, with one, with several lines, pretty-printed, and of the largest size.
/// Guarantees: each object arrives as one transaction, the pretty-printed one on one line.
#[tokio::test]
async fn datagrams_arrive() {
    let harness = Harness::start(input());
    let socket = sender(&harness).await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(65_507 - 8));
    let mut expected = vec![r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#, r#"{"d":4}"#, r#"{"e":5}"#];
    for datagram in ["{\"a\":1}", "{\"b\":2}\r\n", "{\"c\":3}\n{\"d\":4}\n", "{\n \"e\": 5\n}", &large] {
        socket.send(datagram.as_bytes()).await.unwrap();
    }
    expected.push(&large);
    let taken: Vec<String> = harness.worker().wait_for(6).await.iter().map(|one| one.trim().to_owned()).collect();
    assert_eq!(taken, expected);
    assert_eq!(harness.counters().received(), 6);
}

/// Scenario: hostile and empty datagrams, a good one after each.
/// Guarantees: each bad one is counted, each good one arrives.
#[tokio::test]
async fn hostile_datagrams() {
    let harness = Harness::start(input());
    let socket = sender(&harness).await;
    let bodies: Vec<_> = hostile().into_iter().filter(|body| body.len() < 60_000).chain([Vec::new()]).collect();
    for (i, body) in bodies.iter().enumerate() {
        socket.send(body).await.unwrap();
        socket.send(transaction(i).as_bytes()).await.unwrap();
    }
    let expected: Vec<_> = (0..bodies.len()).map(transaction).collect();
    assert_eq!(harness.worker().wait_for(bodies.len()).await, expected);
    let counters = harness.counters();
    assert_eq!(counters.rejected(Reason::Malformed) + counters.rejected(Reason::TooLarge), bodies.len() as u64);
}

/// Scenario: a hundred datagrams wait in the kernel, and the queues have room for 37.
/// Guarantees: the first 37 are taken; exactly the others are counted as lost.
#[tokio::test]
async fn full_queues_lose() {
    let mut harness = Harness::start(input());
    let socket = sender(&harness).await;
    harness.worker().set(Behavior::Hold);
    for i in 0..100 {
        socket.send(transaction(i).as_bytes()).await.unwrap();
    }
    harness.worker().set(Behavior::Room(37));
    let counters = harness.counters().clone();
    wait_until("all to be counted", || counters.received() + counters.lost() == 100).await;
    assert_eq!((counters.received(), counters.lost()), (37, 63));
    assert_eq!(harness.worker().taken(), (0..37).map(transaction).collect::<Vec<_>>());
    harness.stop().await;
}

/// Scenario: datagrams are in the kernel's buffer when the inputs are told to stop.
/// Guarantees: they are still taken.
#[tokio::test]
async fn stop_takes_what_came() {
    let mut harness = Harness::start(input());
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(harness.inet()).unwrap();
    for i in 0..50 {
        // Blocking, so that the receiving task cannot run in between.
        socket.send(transaction(i).as_bytes()).unwrap();
    }
    harness.stop().await;
    assert_eq!(harness.worker().taken().len(), 50);
}

/// Scenario: more datagrams than a tiny receive buffer holds, while nobody reads.
/// Guarantees: sent = received + lost, the kernel's drops included.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn kernel_drops_are_counted() {
    let mut harness = Harness::start(Udp { receive_buffer: 4096, ..input() });
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(harness.inet()).unwrap();
    for i in 0..500 {
        socket.send(transaction(i).as_bytes()).unwrap();
    }
    harness.stop().await;
    let counters = harness.counters();
    assert!(counters.lost() > 0);
    assert_eq!(counters.received() + counters.lost(), 500);
}
