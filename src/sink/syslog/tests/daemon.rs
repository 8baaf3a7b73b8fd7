use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixDatagram, UnixListener};
use tokio::time::timeout;

use crate::sink::{FailureKind, SendError, Sink, SinkShared, syslog};

const PATIENCE: Duration = Duration::from_secs(20);

fn open(path: &Path, milliseconds: u64) -> Box<dyn Sink> {
    let config = json!({
        "log_level": "info", "successful_severity": "info", "client_errors_severity": "info",
        "server_errors_severity": "info", "socket": path, "timeout": milliseconds,
    });
    syslog::open(&config, &SinkShared::new(None)).expect("a sound config")
}

fn entries(numbers: std::ops::Range<usize>) -> Vec<Bytes> {
    numbers.map(|number| Bytes::from(json!({"n": number}).to_string())).collect()
}

/// The number in a message that a daemon received.
fn number(message: &[u8]) -> usize {
    let text = std::str::from_utf8(message).expect("text");
    assert!(text.starts_with("<14>") && text.contains(" kong["), "{text}");
    let json = text.split_once("]: ").expect("a tag").1;
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    json["n"].as_u64().expect("a number") as usize
}

async fn receive(daemon: &UnixDatagram) -> usize {
    let mut buffer = vec![0; 1 << 16];
    let length = timeout(PATIENCE, daemon.recv(&mut buffer)).await.expect("a message in time").unwrap();
    number(&buffer[..length])
}

async fn settle(sink: &mut dyn Sink) -> Result<usize, SendError> {
    Ok(timeout(PATIENCE, sink.settle()).await.expect("in time")?.settled)
}

/// Scenario: a daemon ends after reading one of three messages; another one starts at the same path.
/// Guarantees: the unread messages have not settled; the end is a retryable error; the messages can be sent again.
#[tokio::test]
async fn unread_messages_do_not_settle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let mut sink = open(&path, 10_000);
    let batch = entries(0..3);
    assert_eq!(sink.send(&batch).await.unwrap().settled, 0);
    assert_eq!(receive(&daemon).await, 0);
    drop(daemon);
    std::fs::remove_file(&path).unwrap();
    let error = settle(sink.as_mut()).await.unwrap_err();
    assert_eq!((error.delivered, error.kind), (0, FailureKind::Retryable));
    assert!(error.message.contains("ended before it read everything"), "{error}");
    let error = sink.send(&batch).await.unwrap_err();
    assert!(error.message.starts_with("no syslog daemon listens at"), "{error}");

    let daemon = UnixDatagram::bind(&path).unwrap();
    assert_eq!(sink.send(&batch).await.unwrap().settled, 0);
    assert_eq!([receive(&daemon).await, receive(&daemon).await, receive(&daemon).await], [0, 1, 2]);
    assert_eq!(settle(sink.as_mut()).await.unwrap(), 3);
}

/// Scenario: a daemon is replaced by another at the same path while nothing is in flight.
/// Guarantees: the next message goes to the new one without an error.
#[tokio::test]
async fn a_new_daemon_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut sink = open(&path, 10_000);
    for turn in 0..3 {
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert_eq!(sink.send(&entries(turn..turn + 1)).await.unwrap().settled, 0);
        assert_eq!(receive(&daemon).await, turn);
        assert_eq!(settle(sink.as_mut()).await.unwrap(), 1);
        std::fs::remove_file(&path).unwrap();
    }
}

/// Scenario: far more messages than the kernel buffers for a daemon that reads late.
/// Guarantees: the sink waits; all messages arrive in order, and all settle.
#[tokio::test]
async fn a_full_socket_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let mut sink = open(&path, 10_000);
    let batch = entries(0..3000);
    let sending = tokio::spawn(async move {
        let mut settled = sink.send(&batch).await.unwrap().settled;
        while settled < batch.len() {
            settled += settle(sink.as_mut()).await.unwrap();
        }
        settled
    });
    tokio::task::yield_now().await;
    for expected in 0..3000 {
        assert_eq!(receive(&daemon).await, expected);
    }
    assert_eq!(timeout(PATIENCE, sending).await.expect("in time").unwrap(), 3000);
}

/// Scenario: a daemon stops reading in the middle of many messages.
/// Guarantees: after `timeout` there is a retryable error that says so; most of the messages that were read count as
/// delivered, and no unread one.
#[tokio::test]
async fn a_daemon_that_stops_reading() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let mut sink = open(&path, 500);
    let padding = "x".repeat(2000);
    let batch: Vec<_> = (0..4000).map(|n| Bytes::from(json!({"n": n, "padding": padding}).to_string())).collect();
    let reading = async {
        for expected in 0..2000 {
            assert_eq!(receive(&daemon).await, expected);
        }
    };
    let (sent, ()) = tokio::join!(timeout(PATIENCE, sink.send(&batch)), reading);
    let error = sent.expect("in time").unwrap_err();
    assert_eq!(error.kind, FailureKind::Retryable);
    assert!(error.message.contains("read nothing within config.timeout (500 ms)"), "{error}");
    assert!((1..=2000).contains(&error.delivered), "{}", error.delivered);
}

/// Scenario: a daemon with a stream socket.
/// Guarantees: a zero byte follows each message, and messages settle when they are read; the daemon's end is a
/// retryable error.
#[tokio::test]
async fn a_daemon_that_takes_streams() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let daemon = UnixListener::bind(&path).unwrap();
    let mut sink = open(&path, 10_000);
    assert_eq!(sink.send(&entries(0..2)).await.unwrap().settled, 0);
    let mut stream = timeout(PATIENCE, daemon.accept()).await.expect("a connection in time").unwrap().0;
    let mut found = Vec::new();
    while found.iter().filter(|byte| **byte == 0).count() < 2 {
        let read = timeout(PATIENCE, stream.read_buf(&mut found)).await.expect("bytes in time").unwrap();
        assert!(read > 0);
    }
    let numbers: Vec<_> = found.split(|byte| *byte == 0).filter(|part| !part.is_empty()).map(number).collect();
    assert_eq!(numbers, [0, 1]);
    let mut settled = 0;
    while settled < 2 {
        settled += settle(sink.as_mut()).await.unwrap();
    }
    assert_eq!(sink.send(&entries(2..3)).await.unwrap().settled, 0);
    drop((stream, daemon));
    assert_eq!(settle(sink.as_mut()).await.unwrap_err().kind, FailureKind::Retryable);
}

/// Scenario: a message too large for a datagram, between two others.
/// Guarantees: only this message fails, after the one before it has been read; the error has both sizes and says what
/// to do.
#[tokio::test]
async fn a_message_too_large() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let mut sink = open(&path, 10_000);
    let large = Bytes::from(json!({"padding": "x".repeat(32 << 20)}).to_string());
    let batch = [&entries(0..1)[..], &[large]].concat();
    let (sent, first) = tokio::join!(timeout(PATIENCE, sink.send(&batch)), receive(&daemon));
    let error = sent.expect("in time").unwrap_err();
    assert_eq!((first, error.delivered, error.kind), (0, 1, FailureKind::TooLarge));
    assert!(error.message.starts_with("a message of 335544") && error.message.contains("net.core.wmem_max"), "{error}");
    sink.send(&entries(1..2)).await.unwrap();
    assert_eq!(receive(&daemon).await, 1);
}

/// Scenario: no daemon, and only messages below the log level.
/// Guarantees: they settle, and the sink does not connect.
#[tokio::test]
async fn filtered_messages_need_no_daemon() {
    let config = json!({
        "log_level": "err", "successful_severity": "info", "client_errors_severity": "info",
        "server_errors_severity": "err", "socket": "/nonexistent/log",
    });
    let mut sink = syslog::open(&config, &SinkShared::new(None)).expect("a sound config");
    assert_eq!(sink.send(&entries(0..3)).await.unwrap().settled, 3);
    let error = sink.send(&[Bytes::from_static(br#"{"response":{"status":500}}"#)]).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Retryable);
    let expected = "no syslog daemon listens at /nonexistent/log; start it, or set config.socket or config.host";
    assert_eq!(error.message, expected);
}
