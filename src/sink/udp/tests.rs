use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use super::MAX_DATAGRAM;
use crate::sink::{FailureKind, Sink, SinkShared};
use logphase_net::testing::own_port;

const PATIENCE: Duration = Duration::from_secs(20);

fn open(port: u16, oversize: &str) -> Box<dyn Sink> {
    let config = json!({"host": "127.0.0.1", "port": port, "oversize": oversize, "custom_fields_by_lua": {}});
    super::open(&config, &SinkShared::new(None)).expect("a sound config")
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 16];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("a datagram in time").unwrap();
    buffer.truncate(length);
    buffer
}

/// Scenario: messages up to the largest size that fits.
/// Guarantees: each arrives as one datagram without a newline.
#[tokio::test]
async fn one_datagram_per_message() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut sink = open(peer.local_addr().unwrap().port(), "drop");
    let largest = Bytes::from(vec![b'x'; MAX_DATAGRAM]);
    let sent = sink.send(&[Bytes::from_static(b"{}"), largest.clone()]).await.unwrap();
    assert_eq!(sent.settled, 2);
    assert_eq!(receive(&peer).await, b"{}");
    assert_eq!(receive(&peer).await, largest);
}

/// Scenario: a message one byte too large between two others, under each policy.
/// Guarantees: `drop` fails this message only, with its size in the error; `truncate` sends its beginning, cut at a
/// character boundary; `tcp` sends it whole, with a newline, to the same port.
#[tokio::test]
async fn the_policy_decides_about_oversize_messages() {
    let port = own_port();
    let peer = UdpSocket::bind(("127.0.0.1", port)).await.unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    // The two bytes of the last character that begins within the limit lie on both sides of it.
    let large = Bytes::from(format!("{}\u{e4}", "x".repeat(MAX_DATAGRAM - 1)));
    let batch = [Bytes::from_static(b"a"), large.clone(), Bytes::from_static(b"b")];

    let error = open(port, "drop").send(&batch).await.unwrap_err();
    assert_eq!((error.delivered, error.kind), (1, FailureKind::TooLarge));
    assert!(error.message.starts_with("a message of 65508 bytes does not fit into a datagram"), "{error}");
    assert_eq!(receive(&peer).await, b"a");

    assert_eq!(open(port, "truncate").send(&batch).await.unwrap().settled, 3);
    assert_eq!(receive(&peer).await, b"a");
    assert_eq!(receive(&peer).await, &large[..MAX_DATAGRAM - 1]);
    assert_eq!(receive(&peer).await, b"b");

    let mut sink = open(port, "tcp");
    assert_eq!(sink.send(&batch).await.unwrap().settled, 3);
    let mut stream = timeout(PATIENCE, listener.accept()).await.expect("a connection in time").unwrap().0;
    let mut text = Vec::new();
    let (closed, read) = tokio::join!(sink.close(), timeout(PATIENCE, stream.read_to_end(&mut text)));
    closed.unwrap();
    read.expect("closed in time").unwrap();
    assert_eq!(text, [&large[..], b"\n"].concat());
}

/// Scenario: no receiver listens at first.
/// Guarantees: sending does not block; losses that the network reports are counted and reported; a receiver that starts
/// later gets the later messages.
#[tokio::test]
async fn refused_datagrams_are_counted() {
    let address = ("127.0.0.1", own_port());
    let mut sink = open(address.1, "drop");
    let (mut lost, mut sent) = (0, 0);
    while lost == 0 {
        assert!(sent < 1000, "a refusal comes back");
        let outcome = sink.send(&[Bytes::from_static(b"gone")]).await.unwrap();
        lost += outcome.lost;
        sent += outcome.settled as u64;
        assert_eq!(outcome.warning.is_some(), outcome.lost > 0);
        tokio::task::yield_now().await;
    }
    assert!(lost <= sent);
    let peer = UdpSocket::bind(address).await.unwrap();
    sink.send(&[Bytes::from_static(b"here")]).await.unwrap();
    assert_eq!(receive(&peer).await, b"here");
}

/// Scenario: the receiver of large messages resets the connection with an unread one; later there is another.
/// Guarantees: the first is sent again before it, each once.
#[tokio::test]
async fn large_messages_are_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = open(listener.local_addr().unwrap().port(), "tcp");
    let large = |name: &str| Bytes::from(name.repeat(MAX_DATAGRAM + 1));
    assert_eq!(sink.send(&[large("a")]).await.unwrap().settled, 1);
    drop(timeout(PATIENCE, listener.accept()).await.expect("a connection in time"));
    let error = sink.send(&[large("b")]).await.expect_err("the connection is broken");
    assert_eq!((error.delivered, error.kind), (0, FailureKind::Retryable));
    let sending = async {
        assert_eq!(sink.send(&[large("b")]).await.unwrap().settled, 1);
        sink.close().await.unwrap();
    };
    let reading = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let ((), text) = timeout(PATIENCE, async { tokio::join!(sending, reading) }).await.expect("in time");
    assert_eq!(text.lines().map(|line| &line[..1]).collect::<String>(), "ab");
}
