use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::sink::syslog::tests::rfc5424;
use crate::sink::{FailureKind, Sink, SinkShared};
use logphase_net::testing::own_port;

const PATIENCE: Duration = Duration::from_secs(20);

fn open(port: u16) -> Box<dyn Sink> {
    let config = json!({
        "host": "127.0.0.1", "port": port, "key": "0f8b5e1c-6a2d-4c7e-9b3a-5d1e2f3a4b5c", "tags": ["kong", "a b"],
        "log_level": "notice", "successful_severity": "info", "client_errors_severity": "notice",
        "server_errors_severity": "err", "timeout": 10_000,
    });
    super::open(&config, &SinkShared::new(None)).expect("a sound config")
}

fn entry(status: u16) -> Bytes {
    Bytes::from(json!({"response": {"status": status}, "started_at": 1_759_356_855_003_u64}).to_string())
}

/// Scenario: three messages, of which the log level lets two pass.
/// Guarantees: all settle; each of the two is a datagram in Loggly's format with the facility `user`.
#[tokio::test]
async fn datagrams_with_key_and_tags() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut sink = open(peer.local_addr().unwrap().port());
    let batch = [entry(404), entry(200), entry(500)];
    assert_eq!(sink.send(&batch).await.unwrap().settled, 3);
    for (priority, entry) in [(13, &batch[0]), (11, &batch[2])] {
        let mut buffer = vec![0; 1 << 16];
        let length = timeout(PATIENCE, peer.recv(&mut buffer)).await.expect("a datagram in time").unwrap();
        let read = rfc5424::parse(&buffer[..length]).unwrap();
        assert_eq!((read.priority, read.timestamp.as_str()), (priority, "2025-10-01T22:14:15Z"));
        assert_eq!((read.name.as_str(), read.process.as_str(), read.id.as_str()), ("kong", "-", "-"));
        let tag = |value: &str| ("tag".to_owned(), value.to_owned());
        let element = ("0f8b5e1c-6a2d-4c7e-9b3a-5d1e2f3a4b5c@41058".to_owned(), vec![tag("kong"), tag("a b")]);
        assert_eq!(read.elements, [element]);
        assert_eq!(read.message.as_bytes(), entry);
    }
}

/// Scenario: a message too large for a datagram; then no receiver listens.
/// Guarantees: only the first message fails, with an error that says what to do; refused datagrams are counted as lost.
#[tokio::test]
async fn oversize_and_refusals() {
    let mut sink = open(own_port());
    let large = Bytes::from(json!({"response": {"status": 500}, "padding": "x".repeat(70_000)}).to_string());
    let error = sink.send(&[entry(200), large]).await.unwrap_err();
    assert_eq!((error.delivered, error.kind), (1, FailureKind::TooLarge));
    assert!(error.message.ends_with("of 65507 bytes; take long members out of the message"), "{error}");
    let (mut lost, mut sent) = (0, 0);
    while lost == 0 {
        assert!(sent < 1000, "a refusal comes back");
        let outcome = sink.send(&[entry(500)]).await.unwrap();
        lost += outcome.lost;
        sent += outcome.settled;
        tokio::task::yield_now().await;
    }
}
