//! JSON lines over TCP: framing, bad lines, limits, back-pressure, stopping.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::input::tests::{Mood, Rig, any_port, hostile, transaction, until};
use crate::input::{InputSettings, Kind, Reason};
use crate::phase::Refusal;
use logphase_script::transaction::Limits;

fn settings() -> InputSettings {
    InputSettings { tcp: any_port(), ..Default::default() }
}

async fn send(rig: &Rig, text: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(rig.inet()).await.unwrap();
    stream.write_all(text.as_ref()).await.unwrap();
    stream
}

/// Scenario: lines with LF and CR LF, empty ones, and a last one without an end, then the peer closes.
/// Guarantees: every transaction arrives once, in order, byte for byte.
#[tokio::test]
async fn lines_arrive() {
    let rig = Rig::start(&settings());
    drop(send(&rig, "{\"a\":1}\n\r\n{ \"b\" : 2 }\r\n\n{\"c\":3}").await);
    assert_eq!(rig.worker().wait_for(3).await, [r#"{"a":1}"#, r#"{ "b" : 2 }"#, r#"{"c":3}"#]);
    until("the connection to end", || rig.meter(Kind::Tcp).open() == 0).await;
    assert_eq!(rig.meter(Kind::Tcp).received(), 3);
    assert_eq!(rig.meter(Kind::Tcp).bytes(), 31);
}

/// Scenario: a peer sends bytes one at a time and shuts down its writing half only.
/// Guarantees: cuts within a line do not matter; a half-open peer's connection is closed from our side too.
#[tokio::test]
async fn dribble_and_half_close() {
    let rig = Rig::start(&settings());
    let mut stream = send(&rig, "").await;
    stream.set_nodelay(true).unwrap();
    for byte in b"{\"a\":\"\\n\"}\n{\"b\":2}" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(rig.worker().taken(), [r#"{"a":"\n"}"#, r#"{"b":2}"#]);
}

/// Scenario: 200 connections with one transaction each, as Kong's tcp-log makes them.
/// Guarantees: each arrives, and no connection is left open.
#[tokio::test]
async fn many_short_connections() {
    let rig = Rig::start(&settings());
    for i in 0..200 {
        drop(send(&rig, transaction(i) + "\n").await);
    }
    let mut taken = rig.worker().wait_for(200).await;
    taken.sort();
    let mut expected: Vec<_> = (0..200).map(transaction).collect();
    expected.sort();
    assert_eq!(taken, expected);
    until("the connections to end", || rig.meter(Kind::Tcp).open() == 0).await;
}

/// Scenario: a hundred hostile lines on one connection, each followed by a good one.
/// Guarantees: every hostile line is counted, every good one arrives in order.
#[tokio::test]
async fn hostile_lines() {
    let rig = Rig::start(&settings());
    let bodies = hostile();
    let mut text = Vec::new();
    for (i, body) in bodies.iter().enumerate() {
        text.extend_from_slice(body);
        text.extend_from_slice(format!("\n{}\n", transaction(i)).as_bytes());
    }
    drop(send(&rig, text).await);
    let expected: Vec<_> = (0..bodies.len()).map(transaction).collect();
    assert_eq!(rig.worker().wait_for(bodies.len()).await, expected);
    let meter = rig.meter(Kind::Tcp);
    let rejected: u64 = Reason::ALL.iter().map(|reason| meter.rejected(*reason)).sum();
    assert_eq!(rejected, bodies.len() as u64);
    assert!(meter.rejected(Reason::Malformed) >= 80);
}

/// Scenario: a line far over the limit (never held whole), one just over it, then a good one; at the end half a line.
/// Guarantees: each is counted under its reason and the connection goes on.
#[tokio::test]
async fn lines_past_the_limit() {
    let limits = Limits { max_bytes: 1000, ..Default::default() };
    let rig = Rig::start(&InputSettings { limits, ..settings() });
    let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(2 << 20));
    let longish = format!("{{\"a\":\"{}\"}}\n", "x".repeat(1000));
    drop(send(&rig, long + &longish + "{\"a\":1}\n{\"a\":").await);
    assert_eq!(rig.worker().wait_for(1).await, [r#"{"a":1}"#]);
    let meter = rig.meter(Kind::Tcp);
    until("the half line", || meter.rejected(Reason::Incomplete) == 1).await;
    assert_eq!(meter.rejected(Reason::TooLarge), 2);
    assert_eq!(meter.rejected(Reason::Malformed), 0);
}

/// Scenario: the queues are full while a peer sends 20 MB; then there is room bit by bit.
/// Guarantees: the peer is made to wait instead of memory being filled, and nothing is lost or out of order.
#[tokio::test]
async fn back_pressure() {
    const COUNT: usize = 20_000;
    let rig = Rig::start(&settings());
    rig.worker().set(Mood::Room(0));
    let padding = "x".repeat(1000);
    let text: String = (0..COUNT).map(|i| format!("{{\"i\":{i},\"p\":\"{padding}\"}}\n")).collect();
    let mut stream = TcpStream::connect(rig.inet()).await.unwrap();
    let mut sent = tokio::spawn(async move { stream.write_all(text.as_bytes()).await });
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut sent).await.is_err(), "the peer must wait");
    // Two batches, what one read brings, and what is not parsed yet.
    assert!(rig.meter(Kind::Tcp).bytes() < 4 << 20, "{}", rig.meter(Kind::Tcp).bytes());
    rig.worker().set(Mood::Room(700));
    rig.worker().wait_for(700).await;
    rig.worker().set(Mood::Take);
    let taken = rig.worker().wait_for(COUNT).await;
    assert!(taken.iter().enumerate().all(|(i, one)| one.starts_with(&format!("{{\"i\":{i},"))));
    assert_eq!(taken.len(), COUNT);
}

/// Scenario: a connection that says nothing, and one with half a line, past the idle time.
/// Guarantees: both are closed.
#[tokio::test]
async fn idle_connections() {
    let rig = Rig::start(&InputSettings { idle_timeout: Duration::from_millis(100), ..settings() });
    let mut silent = send(&rig, "").await;
    let mut half = send(&rig, "{\"a\":").await;
    for stream in [&mut silent, &mut half] {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
    assert_eq!(rig.meter(Kind::Tcp).rejected(Reason::Incomplete), 1);
}

/// Scenario: the inputs are told to stop while a peer with an open connection has just sent lines, and one has
/// connected that nobody has accepted yet.
/// Guarantees: what has reached this machine is taken; then the connections are closed and nothing listens.
#[tokio::test]
async fn stop_takes_what_came() {
    let mut rig = Rig::start(&settings());
    let mut streams = Vec::new();
    for i in 0..20 {
        streams.push(send(&rig, transaction(i) + "\n").await);
    }
    rig.stop().await;
    assert_eq!(rig.worker().taken().len(), 20);
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
    assert!(TcpStream::connect(rig.inet()).await.is_err());
}

/// Scenario: the inputs stop while the queues stay full, until the deadline of the shutdown closes the intake.
/// Guarantees: the connection does not hang, and what was read and not taken is counted as lost.
#[tokio::test]
async fn stop_with_full_queues() {
    let mut rig = Rig::start(&settings());
    rig.worker().set(Mood::Room(2));
    let text: String = (0..5).map(|i| transaction(i) + "\n").collect();
    let _stream = send(&rig, text).await;
    rig.worker().wait_for(2).await;
    rig.stop.send_replace(true);
    let waiting = tokio::time::timeout(Duration::from_millis(300), rig.serving.finished()).await;
    assert!(waiting.is_err(), "a full queue is waited for");
    rig.intake.close();
    rig.stop().await;
    assert_eq!((rig.meter(Kind::Tcp).received(), rig.meter(Kind::Tcp).lost()), (2, 3));
}

/// Scenario: the log phase says that it is shutting down.
/// Guarantees: the connection is closed rather than read into nothing.
#[tokio::test]
async fn refused_for_good() {
    let rig = Rig::start(&settings());
    rig.worker().set(Mood::Refuse(Refusal::ShuttingDown));
    let mut stream = send(&rig, "{}\n").await;
    until("the loss to be counted", || rig.meter(Kind::Tcp).lost() == 1).await;
    stream.write_all(b"{}\n").await.unwrap();
    // Closed with bytes unread may come as a reset.
    assert!(!matches!(stream.read(&mut [0]).await, Ok(1..)));
    assert!(rig.worker().taken().is_empty());
}
