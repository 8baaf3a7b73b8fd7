//! JSON lines over TCP: framing, bad lines, limits, back-pressure, stopping.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::input::tests::harness::{Behavior, Harness, any_port, hostile, transaction, wait_until};
use crate::input::{Inputs, Reason};
use crate::phase::IntakeError;
use logphase_script::transaction::Limits;

fn settings() -> Settings {
    Settings {
        listen: any_port(),
        max_connections: 1000,
        idle_timeout: Duration::from_secs(300),
        tls: Tls::default(),
        proxy_protocol: Vec::new(),
        per_peer: PerPeer::default(),
        mapping: "kong".to_owned(),
        match_routes: None,
    }
}

fn input(settings: Settings, limits: Limits) -> Tcp {
    Tcp { settings, decoder: TextDecoder::kong(Format::Object, limits) }
}

fn start() -> Harness {
    Harness::start(input(settings(), Limits::default()))
}

async fn send(harness: &Harness, text: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(harness.inet()).await.unwrap();
    stream.write_all(text.as_ref()).await.unwrap();
    stream
}

/// Scenario: lines with LF and CR LF, empty ones, and a last one without an end, then the peer closes.
/// Guarantees: every transaction arrives once, in order, byte for byte.
#[tokio::test]
async fn lines_arrive() {
    let harness = start();
    drop(send(&harness, "{\"a\":1}\n\r\n{ \"b\" : 2 }\r\n\n{\"c\":3}").await);
    assert_eq!(harness.worker().wait_for(3).await, [r#"{"a":1}"#, r#"{ "b" : 2 }"#, r#"{"c":3}"#]);
    wait_until("the connection to end", || harness.counters().open_connections() == 0).await;
    assert_eq!(harness.counters().received(), 3);
    assert_eq!(harness.counters().bytes(), 31);
}

/// Scenario: a peer sends bytes one at a time and shuts down its writing half only.
/// Guarantees: cuts within a line do not matter; the connection of a half-open peer is closed from this side too.
#[tokio::test]
async fn dribble_and_half_close() {
    let harness = start();
    let mut stream = send(&harness, "").await;
    stream.set_nodelay(true).unwrap();
    for byte in b"{\"a\":\"\\n\"}\n{\"b\":2}" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(harness.worker().taken(), [r#"{"a":"\n"}"#, r#"{"b":2}"#]);
}

/// Scenario: 200 connections with one transaction each, as Kong's tcp-log makes them.
/// Guarantees: each arrives, and no connection is left open.
#[tokio::test]
async fn many_short_connections() {
    let harness = start();
    for i in 0..200 {
        drop(send(&harness, transaction(i) + "\n").await);
    }
    let mut taken = harness.worker().wait_for(200).await;
    taken.sort();
    let mut expected: Vec<_> = (0..200).map(transaction).collect();
    expected.sort();
    assert_eq!(taken, expected);
    wait_until("the connections to end", || harness.counters().open_connections() == 0).await;
}

/// Scenario: a hundred hostile lines on one connection, each followed by a good one.
/// Guarantees: every hostile line is counted, every good one arrives in order.
#[tokio::test]
async fn hostile_lines() {
    let harness = start();
    let bodies = hostile();
    let mut text = Vec::new();
    for (i, body) in bodies.iter().enumerate() {
        text.extend_from_slice(body);
        text.extend_from_slice(format!("\n{}\n", transaction(i)).as_bytes());
    }
    drop(send(&harness, text).await);
    let expected: Vec<_> = (0..bodies.len()).map(transaction).collect();
    assert_eq!(harness.worker().wait_for(bodies.len()).await, expected);
    let counters = harness.counters();
    let rejected: u64 = Reason::ALL.iter().map(|reason| counters.rejected(*reason)).sum();
    assert_eq!(rejected, bodies.len() as u64);
    assert!(counters.rejected(Reason::Malformed) >= 80);
}

/// Scenario: a line far over the limit (never held whole), one just over it, then a good one; at the end half a line.
/// Guarantees: each is counted under its reason and the connection stays open.
#[tokio::test]
async fn lines_past_the_limit() {
    let limits = Limits { max_bytes: 1000, ..Limits::default() };
    let harness = Harness::start(input(settings(), limits));
    let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(2 << 20));
    let longish = format!("{{\"a\":\"{}\"}}\n", "x".repeat(1000));
    drop(send(&harness, long + &longish + "{\"a\":1}\n{\"a\":").await);
    assert_eq!(harness.worker().wait_for(1).await, [r#"{"a":1}"#]);
    let counters = harness.counters();
    wait_until("the half line", || counters.rejected(Reason::Incomplete) == 1).await;
    assert_eq!(counters.rejected(Reason::TooLarge), 2);
    assert_eq!(counters.rejected(Reason::Malformed), 0);
}

/// Scenario: the queues are full while a peer sends 20 MB; then they get room in steps.
/// Guarantees: the peer waits while memory stays bounded, and nothing is lost or out of order.
#[tokio::test]
async fn back_pressure() {
    const COUNT: usize = 20_000;
    let harness = start();
    harness.worker().set(Behavior::Room(0));
    let padding = "x".repeat(1000);
    let text: String = (0..COUNT).map(|i| format!("{{\"i\":{i},\"p\":\"{padding}\"}}\n")).collect();
    let mut stream = TcpStream::connect(harness.inet()).await.unwrap();
    let mut sent = tokio::spawn(async move { stream.write_all(text.as_bytes()).await });
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut sent).await.is_err(), "the peer must wait");
    // Two batches, one read, and what is not decoded yet.
    assert!(harness.counters().bytes() < 4 << 20, "{}", harness.counters().bytes());
    harness.worker().set(Behavior::Room(700));
    harness.worker().wait_for(700).await;
    harness.worker().set(Behavior::Take);
    let taken = harness.worker().wait_for(COUNT).await;
    assert!(taken.iter().enumerate().all(|(i, one)| one.starts_with(&format!("{{\"i\":{i},"))));
    assert_eq!(taken.len(), COUNT);
}

/// Scenario: a connection that sends nothing, and one that sends half a line, past the idle timeout.
/// Guarantees: both are closed.
#[tokio::test]
async fn idle_connections() {
    let harness =
        Harness::start(input(Settings { idle_timeout: Duration::from_millis(100), ..settings() }, Limits::default()));
    let mut silent = send(&harness, "").await;
    let mut half = send(&harness, "{\"a\":").await;
    for stream in [&mut silent, &mut half] {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
    assert_eq!(harness.counters().rejected(Reason::Incomplete), 1);
}

/// Scenario: the inputs are told to stop while a peer with an open connection has just sent lines, and one has
/// connected that nobody has accepted yet.
/// Guarantees: everything that reached this machine is taken; then the connections are closed and nothing listens.
#[tokio::test]
async fn stop_takes_what_came() {
    let mut harness = start();
    let mut streams = Vec::new();
    for i in 0..20 {
        streams.push(send(&harness, transaction(i) + "\n").await);
    }
    harness.stop().await;
    assert_eq!(harness.worker().taken().len(), 20);
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
    assert!(TcpStream::connect(harness.inet()).await.is_err());
}

/// Scenario: the inputs stop while the queues stay full, until the deadline of the shutdown closes the intake.
/// Guarantees: the connection does not hang, and what was read and not taken is counted as lost.
#[tokio::test]
async fn stop_with_full_queues() {
    let mut harness = start();
    harness.worker().set(Behavior::Room(2));
    let text: String = (0..5).map(|i| transaction(i) + "\n").collect();
    let _stream = send(&harness, text).await;
    harness.worker().wait_for(2).await;
    harness.stop.send_replace(true);
    let waiting = tokio::time::timeout(Duration::from_millis(300), harness.serving.finished()).await;
    assert!(waiting.is_err(), "a full queue is waited for");
    harness.intake.close();
    harness.stop().await;
    assert_eq!((harness.counters().received(), harness.counters().lost()), (2, 3));
}

/// Scenario: the log phase refuses because it is shutting down.
/// Guarantees: the connection is closed, and nothing more is read and lost.
#[tokio::test]
async fn refused_for_good() {
    let harness = start();
    harness.worker().set(Behavior::Refuse(IntakeError::ShuttingDown));
    let mut stream = send(&harness, "{}\n").await;
    wait_until("the loss to be counted", || harness.counters().lost() == 1).await;
    stream.write_all(b"{}\n").await.unwrap();
    // A connection that is closed with unread bytes may be reset.
    assert!(!matches!(stream.read(&mut [0]).await, Ok(1..)));
    assert!(harness.worker().taken().is_empty());
}

/// Scenario: more connections than allowed; the batches of the others are still on their way to the queues.
/// Guarantees: the oldest of them is closed for the new one, which is served at once; nothing of the closed one is lost,
/// and it is counted.
#[tokio::test]
async fn connection_limit() {
    let harness = Harness::start(input(Settings { max_connections: 2, ..settings() }, Limits::default()));
    harness.worker().set(Behavior::Hold);
    let mut first = send(&harness, "{\"first\":1}\n").await;
    wait_until("one connection", || harness.counters().bytes() == 12).await;
    // The age of a connection is in milliseconds.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut second = send(&harness, "{\"second\":1}\n").await;
    wait_until("two connections", || harness.counters().bytes() == 25).await;
    let third = send(&harness, "{\"third\":1}\n").await;
    wait_until("one to be closed", || harness.counters().shed_connections() == 1).await;
    harness.worker().set(Behavior::Take);
    assert_eq!(harness.worker().wait_for(3).await, [r#"{"first":1}"#, r#"{"second":1}"#, r#"{"third":1}"#]);
    assert_eq!(first.read(&mut [0]).await.unwrap(), 0);
    second.write_all(b"{\"fourth\":1}\n").await.unwrap();
    harness.worker().wait_for(4).await;
    drop(third);
}

/// Scenario: connections with unfinished lines of nearly the largest size, past the bound for all of them, and a sender of
/// whole lines beside them.
/// Guarantees: the oldest ones are closed and counted, so that the bound holds; the sender of whole lines is served.
#[tokio::test]
async fn unfinished_lines_are_bounded() {
    let bound = input(settings(), Limits::default()).bind().unwrap();
    let mut inputs = Inputs::of("tcp", bound);
    inputs.max_unfinished_bytes = 4 << 20;
    let harness = Harness::serve(inputs);
    let mut honest = send(&harness, "{\"n\":0}\n").await;
    let line = vec![b'x'; 1000 << 10];
    let mut stalled = Vec::new();
    for number in 1..=12 {
        let mut stream = TcpStream::connect(harness.inet()).await.unwrap();
        stream.write_all(&line).await.unwrap();
        let sent = number * line.len();
        wait_until("it to be read", || harness.counters().bytes() >= sent as u64).await;
        honest.write_all(format!("{{\"n\":{number}}}\n").as_bytes()).await.unwrap();
        harness.worker().wait_for(number + 1).await;
        stalled.push(stream);
    }
    wait_until("the excess to be closed", || harness.counters().open_connections() <= 5).await;
    let closed = harness.counters().shed_connections();
    assert!((8..12).contains(&closed), "{closed} are closed");
    assert_eq!(harness.counters().rejected(Reason::Timeout), closed);
    let mut first = stalled.remove(0);
    assert!(!matches!(first.read(&mut [0]).await, Ok(1..)));
}
