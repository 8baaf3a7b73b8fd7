use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::CLOSES_AFTER_READING;
use crate::sink::{FailureKind, SendError, Sink, SinkShared};
use logphase_net::testing::own_port;

const PATIENCE: Duration = Duration::from_secs(20);

fn open(shared: &SinkShared, config: serde_json::Value) -> Box<dyn Sink> {
    super::open(&config, shared).expect("a sound config")
}

fn entries(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

/// Sends and waits until everything has settled.
async fn deliver(sink: &mut dyn Sink, entries: &[Bytes]) -> Result<(), SendError> {
    let mut settled = sink.send(entries).await?.settled;
    while settled < entries.len() {
        settled += timeout(PATIENCE, sink.settle()).await.expect("settles in time")?.settled;
    }
    assert_eq!(settled, entries.len());
    Ok(())
}

async fn read_lines(stream: &mut (impl tokio::io::AsyncBufRead + Unpin), count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        let mut line = String::new();
        timeout(PATIENCE, stream.read_line(&mut line)).await.expect("a line in time").unwrap();
        assert!(line.ends_with('\n'), "whole lines only");
        found.push(line.trim_end().to_owned());
    }
    found
}

async fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    BufReader::new(timeout(PATIENCE, listener.accept()).await.expect("a connection in time").unwrap().0)
}

/// Closes the sink, whose peer then closes its end. Returns what the peer has read.
async fn closed(sink: &mut dyn Sink, listener: &TcpListener) -> String {
    let reading = async {
        let mut text = String::new();
        accept(listener).await.read_to_string(&mut text).await.unwrap();
        text
    };
    let (result, text) = tokio::join!(sink.close(), reading);
    result.unwrap();
    text
}

/// Waits until the sink wants `revoked` messages to be sent again.
async fn revoked(sink: &mut dyn Sink) -> (usize, String) {
    loop {
        if let Err(error) = timeout(PATIENCE, sink.maintain()).await.expect("the end of the connection is noticed") {
            return (error.revoked, error.message);
        }
    }
}

/// Scenario: two batches, then the sink is closed.
/// Guarantees: both use one connection, each message ends with a newline, and the connection is closed in order; all
/// messages are unconfirmed until then, and confirmed by the end of the peer.
#[tokio::test]
async fn lines_go_over_one_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = open(&SinkShared::new(None), json!({"host": "127.0.0.1", "port": port}));
    deliver(sink.as_mut(), &entries(&["a", "b"])).await.unwrap();
    deliver(sink.as_mut(), &entries(&["c"])).await.unwrap();
    assert_eq!(sink.unconfirmed(), 3);
    assert_eq!(closed(sink.as_mut(), &listener).await, "a\nb\nc\n");
    assert_eq!(sink.unconfirmed(), 0);
}

/// Scenario: a plugin configured in the form of Kong before 0.5.
/// Guarantees: each message ends with CR LF.
#[tokio::test]
async fn old_plugins_end_lines_with_cr_lf() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = open(&SinkShared::new(None), json!({"host": "127.0.0.1", "port": port, "crlf": true}));
    deliver(sink.as_mut(), &entries(&["a", "b"])).await.unwrap();
    assert_eq!(closed(sink.as_mut(), &listener).await, "a\r\nb\r\n");
}

/// Scenario: a port without a listener; then a name that cannot be resolved.
/// Guarantees: the errors are retryable and name the address.
#[tokio::test]
async fn connecting_errors_are_clear() {
    let port = own_port();
    let shared = SinkShared::new(None);
    let mut sink = open(&shared, json!({"host": "127.0.0.1", "port": port}));
    let error = sink.send(&entries(&["a"])).await.unwrap_err();
    assert_eq!((error.kind, error.delivered), (FailureKind::Retryable, 0));
    let expected = format!("cannot connect to 127.0.0.1:{port}: connection refused; start the receiver");
    assert!(error.message.starts_with(&expected), "{error}");
}

/// Scenario: the peer ends with an unread message in its buffer while the sink is idle; in another run it does so when the
/// sink closes the connection.
/// Guarantees: although the messages had settled, they are to be sent again, and go out first on the next connection.
#[tokio::test]
async fn messages_unread_by_a_dead_peer_are_sent_again() {
    for closes in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut sink = open(&SinkShared::new(None), json!({"host": "127.0.0.1", "port": port}));
        deliver(sink.as_mut(), &entries(&["read", "unread"])).await.unwrap();
        let mut peer = accept(&listener).await.into_inner();
        let mut first = [0; 5];
        peer.read_exact(&mut first).await.unwrap();
        let (count, message) = if closes {
            let ended = async {
                // After the sink's end of the connection.
                peer.readable().await.unwrap();
                drop(peer);
            };
            let (result, ()) = tokio::join!(sink.close(), ended);
            let error = result.expect_err("a reset is no confirmation");
            (error.revoked, error.message)
        } else {
            drop(peer);
            revoked(sink.as_mut()).await
        };
        assert_eq!((count, sink.unconfirmed()), (2, 0), "{message}");
        assert!(message.contains("broke: "), "{message}");
        deliver(sink.as_mut(), &entries(&["read", "unread", "next"])).await.unwrap();
        let mut peer = accept(&listener).await;
        assert_eq!(read_lines(&mut peer, 3).await, ["read", "unread", "next"]);
    }
}

/// Scenario: a peer that reads nothing and does not close its end; the sink closes the connection, and is told to send more.
/// Guarantees: closing takes a limited time and confirms nothing; before more is sent, the first message is to be sent
/// again.
#[tokio::test]
async fn a_peer_that_does_not_close_confirms_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = json!({"host": "127.0.0.1", "port": port, "timeout": 200});
    let mut sink = open(&SinkShared::new(None), config);
    deliver(sink.as_mut(), &entries(&["a"])).await.unwrap();
    let _peer = accept(&listener).await;
    timeout(PATIENCE, sink.close()).await.expect("in time").unwrap();
    assert_eq!(sink.unconfirmed(), 1);
    let error = sink.send(&entries(&["b"])).await.unwrap_err();
    assert_eq!((error.delivered, error.revoked, sink.unconfirmed()), (0, 1, 0), "{error}");
    deliver(sink.as_mut(), &entries(&["a", "b"])).await.unwrap();
    assert_eq!(read_lines(&mut accept(&listener).await, 2).await, ["a", "b"]);
}

/// Scenario: a peer that closes each connection when it has read a message, in order.
/// Guarantees: the first message is to be sent again several times, since a peer that crashes a few times looks the same, and
/// is then confirmed; the next one is to be sent again once.
#[tokio::test]
async fn replays_do_not_repeat_endlessly() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = open(&SinkShared::new(None), json!({"host": "127.0.0.1", "port": port}));
    for (text, revocations) in [("first", CLOSES_AFTER_READING), ("second", 1)] {
        for _ in 0..revocations {
            deliver(sink.as_mut(), &entries(&[text])).await.unwrap();
            assert_eq!(read_lines(&mut accept(&listener).await, 1).await, [text]);
            assert_eq!(revoked(sink.as_mut()).await.0, 1);
        }
        deliver(sink.as_mut(), &entries(&[text])).await.unwrap();
        assert_eq!(read_lines(&mut accept(&listener).await, 1).await, [text]);
        timeout(PATIENCE, sink.maintain()).await.expect("the end is noticed").expect("nothing is to be sent again");
        assert_eq!(sink.unconfirmed(), 0);
    }
}

/// Scenario: a peer resets every connection, with the message unread.
/// Guarantees: the message is to be sent again each time, after pauses that grow and are bounded.
#[tokio::test]
async fn a_peer_that_resets_every_connection_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = super::TcpSink::plain("127.0.0.1".to_owned(), port, 10_000, &SinkShared::new(None));
    let mut pauses = Vec::new();
    for _ in 0..13 {
        deliver(&mut sink, &entries(&["unread"])).await.unwrap();
        drop(accept(&listener).await);
        let error = timeout(PATIENCE, sink.maintain()).await.expect("noticed").unwrap_err();
        assert_eq!(error.revoked, 1);
        pauses.push(error.retry_after.expect("a pause"));
    }
    assert!(pauses.is_sorted() && pauses[1] == 2 * pauses[0], "{pauses:?}");
    assert_eq!(pauses.last(), Some(&Duration::from_millis(20 << 10)));
}

/// Scenario: the connection is idle for longer than `keepalive`.
/// Guarantees: the sink closes it in order, which confirms the message, and the next message uses a new one.
#[tokio::test]
async fn an_idle_connection_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = json!({"host": "127.0.0.1", "port": port, "keepalive": 50});
    let mut sink = open(&SinkShared::new(None), config);
    deliver(sink.as_mut(), &entries(&["a"])).await.unwrap();
    let mut peer = accept(&listener).await;
    let mut text = String::new();
    tokio::select! {
        result = sink.maintain() => panic!("the peer has not ended yet: {result:?}"),
        read = timeout(PATIENCE, peer.read_to_string(&mut text)) => drop(read.expect("closed in time").unwrap()),
    }
    assert_eq!(text, "a\n");
    drop(peer);
    timeout(PATIENCE, sink.maintain()).await.expect("the end is noticed").unwrap();
    assert_eq!(sink.unconfirmed(), 0);
    deliver(sink.as_mut(), &entries(&["b"])).await.unwrap();
    assert_eq!(read_lines(&mut accept(&listener).await, 1).await, ["b"]);
}

/// Scenario: a peer that accepts and never reads, and more data than the socket buffers hold.
/// Guarantees: after `timeout` without progress there is a retryable error that says so.
#[tokio::test]
async fn a_peer_that_does_not_read_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = json!({"host": "127.0.0.1", "port": port, "timeout": 200});
    let mut sink = open(&SinkShared::new(None), config);
    let large = vec![Bytes::from(vec![b'x'; 1 << 20]); 32];
    let error = timeout(PATIENCE, sink.send(&large)).await.expect("in time").unwrap_err();
    assert_eq!(error.kind, FailureKind::Retryable);
    assert!(error.message.contains("accepted no data within config.timeout"), "{error}");
    assert!(error.delivered < 32);
}

/// A TLS server for `localhost` that answers the first line of each connection, and its certificate in PEM.
async fn tls_server() -> (u16, String) {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = key.cert.pem();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let private = PrivateKeyDer::from_pem_slice(key.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            let _ = stream.read_line(&mut line).await;
            // Something to read in return must not disturb the sink.
            let _ = stream.get_mut().write_all(line.as_bytes()).await;
            let _ = stream.read_line(&mut line).await;
        }
    });
    (port, certificate)
}

/// Scenario: a receiver with a self-signed certificate for `localhost`, addressed by IP address.
/// Guarantees: it is rejected unless the certificate is trusted and `tls_sni` names it, or verification is disabled; the end
/// of its connection confirms what it has read.
#[tokio::test]
async fn tls_verifies_unless_told_otherwise() {
    let (port, certificate) = tls_server().await;
    let directory = tempfile::tempdir().unwrap();
    let roots = directory.path().join("roots.pem");
    std::fs::write(&roots, certificate).unwrap();
    let shared = SinkShared::new(Some(roots));
    let config = |sni: Option<&str>, verify: bool| json!({"host": "127.0.0.1", "port": port, "tls": true, "tls_sni": sni, "ssl_verify": verify});
    let message = entries(&["hello"]);
    let mut sink = open(&shared, config(Some("localhost"), true));
    deliver(sink.as_mut(), &message).await.unwrap();
    // The receiver ends its connection without TLS's own message.
    sink.close().await.unwrap();
    assert_eq!(sink.unconfirmed(), 0);
    deliver(open(&shared, config(None, false)).as_mut(), &message).await.unwrap();
    let error = deliver(open(&shared, config(None, true)).as_mut(), &message).await.unwrap_err();
    assert!(error.message.contains("TLS failed") && error.message.contains("config.tls_sni"), "{error}");
    let other = tempfile::tempdir().unwrap().path().join("absent.pem");
    let errors = super::open(&config(None, true), &SinkShared::new(Some(other))).err().expect("no such file");
    assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["ssl_verify"]);
    assert!(errors[0].problem.starts_with("cannot read the trusted certificates in"), "{}", errors[0]);
}
