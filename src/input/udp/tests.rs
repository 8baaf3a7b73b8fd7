//! Datagrams: what is taken, what is counted, what is lost.

use super::*;
use crate::input::InputSettings;
use crate::input::tests::{Mood, Rig, any_port, hostile, transaction, until};

fn rig() -> Rig {
    Rig::start(&InputSettings { udp: any_port(), ..Default::default() })
}

async fn sender(rig: &Rig) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(rig.inet()).await.unwrap();
    socket
}

/// Scenario: datagrams without, with a line end, with several lines, pretty-printed, and of the largest size.
/// Guarantees: each object arrives as one transaction, the pretty one on one line.
#[tokio::test]
async fn datagrams_arrive() {
    let rig = rig();
    let socket = sender(&rig).await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(65_507 - 8));
    let mut expected = vec![r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#, r#"{"d":4}"#, r#"{"e":5}"#];
    for datagram in ["{\"a\":1}", "{\"b\":2}\r\n", "{\"c\":3}\n{\"d\":4}\n", "{\n \"e\": 5\n}", &large] {
        socket.send(datagram.as_bytes()).await.unwrap();
    }
    expected.push(&large);
    let taken: Vec<String> = rig.worker().wait_for(6).await.iter().map(|one| one.trim().to_owned()).collect();
    assert_eq!(taken, expected);
    assert_eq!(rig.meter(Kind::Udp).received(), 6);
}

/// Scenario: hostile and empty datagrams, a good one after each.
/// Guarantees: each bad one is counted, each good one arrives.
#[tokio::test]
async fn hostile_datagrams() {
    let rig = rig();
    let socket = sender(&rig).await;
    let bodies: Vec<_> = hostile().into_iter().filter(|body| body.len() < 60_000).chain([Vec::new()]).collect();
    for (i, body) in bodies.iter().enumerate() {
        socket.send(body).await.unwrap();
        socket.send(transaction(i).as_bytes()).await.unwrap();
    }
    let expected: Vec<_> = (0..bodies.len()).map(transaction).collect();
    assert_eq!(rig.worker().wait_for(bodies.len()).await, expected);
    let meter = rig.meter(Kind::Udp);
    assert_eq!(meter.rejected(Reason::Malformed) + meter.rejected(Reason::TooLarge), bodies.len() as u64);
}

/// Scenario: a hundred datagrams wait in the kernel, and the queues have room for 37.
/// Guarantees: as many as fit are taken, from the front; exactly the others are counted as lost.
#[tokio::test]
async fn full_queues_lose() {
    let mut rig = rig();
    let socket = sender(&rig).await;
    rig.worker().set(Mood::Hold);
    for i in 0..100 {
        socket.send(transaction(i).as_bytes()).await.unwrap();
    }
    rig.worker().set(Mood::Room(37));
    let meter = rig.serving.meters().clone();
    let meter = meter.of(Kind::Udp);
    until("all to be counted", || meter.received() + meter.lost() == 100).await;
    assert_eq!((meter.received(), meter.lost()), (37, 63));
    assert_eq!(rig.worker().taken(), (0..37).map(transaction).collect::<Vec<_>>());
    rig.stop().await;
}

/// Scenario: datagrams are in the kernel's buffer when the inputs are told to stop.
/// Guarantees: they are still taken.
#[tokio::test]
async fn stop_takes_what_came() {
    let mut rig = rig();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(rig.inet()).unwrap();
    for i in 0..50 {
        // Blocking, so that the receiving task cannot run in between.
        socket.send(transaction(i).as_bytes()).unwrap();
    }
    rig.stop().await;
    assert_eq!(rig.worker().taken().len(), 50);
}

/// Scenario: more datagrams than a tiny receive buffer holds, while nobody reads.
/// Guarantees: sent = received + lost, the kernel's drops included.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn kernel_drops_are_counted() {
    let settings = InputSettings { udp: any_port(), udp_receive_buffer: 4096, ..Default::default() };
    let mut rig = Rig::start(&settings);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(rig.inet()).unwrap();
    for i in 0..500 {
        socket.send(transaction(i).as_bytes()).unwrap();
    }
    rig.stop().await;
    let meter = rig.meter(Kind::Udp);
    assert!(meter.lost() > 0);
    assert_eq!(meter.received() + meter.lost(), 500);
}

/// Scenario: the kernel's table of sockets, and one that is not in it.
/// Guarantees: the right line and the right columns are read.
#[test]
fn reads_the_table() {
    let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n  \
                  300: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4711 2 00000000 17\n  \
                  301: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4712 2 00000000 0\n";
    assert_eq!((find_drops(table, 4711), find_drops(table, 4712), find_drops(table, 1)), (Some(17), Some(0), None));
}
