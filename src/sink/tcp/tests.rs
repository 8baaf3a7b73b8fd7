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

/// Scenario: two batches, then the sink is closed.
/// Guarantees: both use one connection, each message ends with a newline, and the connection is closed in order.
#[tokio::test]
async fn lines_go_over_one_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = open(&SinkShared::new(None), json!({"host": "127.0.0.1", "port": port}));
    deliver(sink.as_mut(), &entries(&["a", "b"])).await.unwrap();
    deliver(sink.as_mut(), &entries(&["c"])).await.unwrap();
    sink.close().await;
    let mut peer = accept(&listener).await;
    let mut text = String::new();
    peer.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "a\nb\nc\n");
}

/// Scenario: a plugin configured in the form of Kong before 0.5.
/// Guarantees: each message ends with CR LF.
#[tokio::test]
async fn old_plugins_end_lines_with_cr_lf() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = open(&SinkShared::new(None), json!({"host": "127.0.0.1", "port": port, "crlf": true}));
    deliver(sink.as_mut(), &entries(&["a", "b"])).await.unwrap();
    sink.close().await;
    let mut text = String::new();
    accept(&listener).await.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "a\r\nb\r\n");
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

/// Scenario: the peer ends with an unread message in its buffer while the sink is idle.
/// Guarantees: although the message had settled, the sink notices, requests a call, and sends it again.
#[tokio::test]
async fn messages_unread_by_a_dead_peer_are_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = open(&SinkShared::new(None), json!({"host": "127.0.0.1", "port": port}));
    deliver(sink.as_mut(), &entries(&["read", "unread"])).await.unwrap();
    let mut peer = accept(&listener).await.into_inner();
    let mut first = [0; 5];
    peer.read_exact(&mut first).await.unwrap();
    drop(peer);
    timeout(PATIENCE, sink.maintain()).await.expect("the end of the connection is noticed");
    sink.send(&[]).await.unwrap();
    deliver(sink.as_mut(), &entries(&["next"])).await.unwrap();
    let mut peer = accept(&listener).await;
    assert_eq!(read_lines(&mut peer, 3).await, ["read", "unread", "next"]);
}

/// Scenario: a peer that closes each connection when it receives data.
/// Guarantees: the idle sink does not send the same messages endlessly.
#[tokio::test]
async fn replays_do_not_repeat_endlessly() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = open(&SinkShared::new(None), json!({"host": "127.0.0.1", "port": port}));
    deliver(sink.as_mut(), &entries(&["once"])).await.unwrap();
    assert_eq!(read_lines(&mut accept(&listener).await, 1).await, ["once"]);
    timeout(PATIENCE, sink.maintain()).await.expect("the end of the connection is noticed");
    sink.send(&[]).await.unwrap();
    assert_eq!(read_lines(&mut accept(&listener).await, 1).await, ["once"]);
    let idle = timeout(Duration::from_millis(300), sink.maintain()).await;
    assert!(idle.is_err(), "the second end is no reason to connect again");
}

/// Scenario: the connection is idle for longer than `keepalive`.
/// Guarantees: the sink closes it in order, and the next message uses a new one.
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
        () = sink.maintain() => panic!("nothing is to be sent"),
        read = timeout(PATIENCE, peer.read_to_string(&mut text)) => drop(read.expect("closed in time").unwrap()),
    }
    assert_eq!(text, "a\n");
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
/// Guarantees: it is rejected unless the certificate is trusted and `tls_sni` names it, or verification is disabled.
#[tokio::test]
async fn tls_verifies_unless_told_otherwise() {
    let (port, certificate) = tls_server().await;
    let directory = tempfile::tempdir().unwrap();
    let roots = directory.path().join("roots.pem");
    std::fs::write(&roots, certificate).unwrap();
    let shared = SinkShared::new(Some(roots));
    let config = |sni: Option<&str>, verify: bool| json!({"host": "127.0.0.1", "port": port, "tls": true, "tls_sni": sni, "ssl_verify": verify});
    let message = entries(&["hello"]);
    deliver(open(&shared, config(Some("localhost"), true)).as_mut(), &message).await.unwrap();
    deliver(open(&shared, config(None, false)).as_mut(), &message).await.unwrap();
    let error = deliver(open(&shared, config(None, true)).as_mut(), &message).await.unwrap_err();
    assert!(error.message.contains("TLS failed") && error.message.contains("config.tls_sni"), "{error}");
    let other = tempfile::tempdir().unwrap().path().join("absent.pem");
    let errors = super::open(&config(None, true), &SinkShared::new(Some(other))).err().expect("no such file");
    assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["ssl_verify"]);
    assert!(errors[0].problem.starts_with("cannot read the trusted certificates in"), "{}", errors[0]);
}
