//! How connections begin: headers of the PROXY protocol, handshakes, limits per peer; in front of the TCP input.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::decode::mapping::Mappings;
use crate::input::tcp::Tcp;
use crate::input::tests::harness::{Harness, any_port, transaction, wait_until};
use crate::input::{Handshake, Input, Limits, Reason, Refusal, Shared};

/// The TCP input with some settings in addition to the defaults.
fn start(settings: Value) -> Harness {
    let mut values = Tcp::SETTINGS.defaults();
    values.insert("listen".to_owned(), json!(any_port()));
    for (name, value) in settings.as_object().unwrap() {
        let record = values[name].as_object_mut();
        match (record, value.as_object()) {
            (Some(record), Some(value)) => record.extend(value.clone()),
            _ => drop(values.insert(name.clone(), value.clone())),
        }
    }
    let settings = serde_json::from_value(Value::Object(values)).unwrap();
    let limits: Limits = serde_json::from_value(Value::Object(Limits::RECORD.defaults())).unwrap();
    let shared = Shared { limits: &limits, mappings: &Mappings::default(), data_dir: std::path::Path::new("") };
    Harness::start(Tcp::new(settings, shared).unwrap())
}

async fn connect(harness: &Harness) -> TcpStream {
    TcpStream::connect(harness.inet()).await.unwrap()
}

fn line(i: usize) -> Vec<u8> {
    format!("{}\n", transaction(i)).into_bytes()
}

/// Whether the peer closes the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_))
}

/// A header of version 2 for a connection from `source`, with an extension.
fn version_2(source: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(source) = source else { panic!("{source} is IPv6") };
    let addresses = [&source.ip().octets()[..], &[127, 0, 0, 1], &source.port().to_be_bytes(), &[0, 80]].concat();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10", &addresses[..], b"\x04\0\x01x"].concat()
}

/// Scenario: headers of both versions, whole, byte by byte and together with the first line; of a proxy's own health check.
/// Guarantees: every line arrives, and nothing of a header does.
#[tokio::test]
async fn headers_precede_lines() {
    let mut harness = start(json!({"proxy_protocol": ["127.0.0.0/8"]}));
    let client = "192.0.2.7:4711".parse().unwrap();
    let headers: [Vec<u8>; 4] = [
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        version_2(client),
        b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0".to_vec(),
    ];
    for (i, header) in headers.iter().enumerate() {
        let mut stream = connect(&harness).await;
        stream.set_nodelay(true).unwrap();
        if i % 2 == 0 {
            for byte in header {
                stream.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            stream.write_all(&line(i)).await.unwrap();
        } else {
            stream.write_all(&[&header[..], &line(i)].concat()).await.unwrap();
        }
        drop(stream);
        harness.worker().wait_for(i + 1).await;
    }
    assert_eq!(harness.worker().taken(), (0..headers.len()).map(transaction).collect::<Vec<_>>());
    assert_eq!(harness.counters().rejected_total(), 0);
    harness.stop().await;
}

/// Scenario: a proxy that sends no header, an unknown one, one that is too long; a peer that is no proxy and sends a header.
/// Guarantees: the proxy's connections are closed and counted, nothing of them is taken; the header of the other is a line
/// that is rejected, so that nobody chooses the address that counts.
#[tokio::test]
async fn only_proxies_send_headers() {
    let mut harness = start(json!({"proxy_protocol": ["127.0.0.1"]}));
    let good = line(0);
    for bytes in [&good[..], b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"] {
        let mut stream = connect(&harness).await;
        stream.write_all(bytes).await.unwrap();
        assert!(is_closed(&mut stream).await);
    }
    wait_until("the refusals are counted", || harness.counters().refused_connections(Refusal::ProxyProtocol) == 3)
        .await;
    harness.stop().await;
    assert!(harness.worker().taken().is_empty());

    let mut harness = start(json!({"proxy_protocol": ["192.0.2.0/24"]}));
    let mut stream = connect(&harness).await;
    stream.write_all(&[&b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n"[..], &good].concat()).await.unwrap();
    assert_eq!(harness.worker().wait_for(1).await, [transaction(0)]);
    wait_until("the header is rejected", || harness.counters().rejected(Reason::Malformed) == 1).await;
    harness.stop().await;
}

/// Scenario: one connection per peer is allowed, behind a proxy: two clients, one of them twice, and the proxy itself.
/// Guarantees: the limit is on the clients, not on the proxy; the second connection of a client is closed and counted; its
/// place is free when the first has ended.
#[tokio::test]
async fn limits_are_those_of_clients() {
    let mut harness = start(json!({"proxy_protocol": ["all"], "per_peer": {"connections": 1}}));
    let open = async |i: usize, client: &str| {
        let mut stream = connect(&harness).await;
        let header = version_2(client.parse().unwrap());
        stream.write_all(&[&header[..], &line(i)].concat()).await.unwrap();
        stream
    };
    let first = open(0, "192.0.2.1:1").await;
    harness.worker().wait_for(1).await;
    let _second = open(1, "192.0.2.2:1").await;
    harness.worker().wait_for(2).await;
    assert!(is_closed(&mut open(9, "192.0.2.1:2").await).await);
    assert_eq!(harness.counters().refused_connections(Refusal::PeerConnections), 1);
    drop(first);
    wait_until("its place is free", || harness.counters().open_connections() == 1).await;
    let _third = open(2, "192.0.2.1:3").await;
    harness.worker().wait_for(3).await;
    assert_eq!(harness.worker().taken(), (0..3).map(transaction).collect::<Vec<_>>());
    harness.stop().await;
}

/// Scenario: a peer connects more often than its rate allows, without a proxy. Guarantees: the first connection is served, the
/// others are closed before they take a place, and counted.
#[tokio::test]
async fn rate_of_connections() {
    let mut harness = start(json!({"per_peer": {"connection_rate": 1}}));
    let mut first = connect(&harness).await;
    first.write_all(&line(0)).await.unwrap();
    harness.worker().wait_for(1).await;
    let counters = harness.counters().clone();
    let refused = || counters.refused_connections(Refusal::PeerRate);
    let mut tried = 0;
    while refused() == 0 {
        // A slow machine may take longer than a second for one.
        assert!(tried < 50, "none was refused");
        drop(connect(&harness).await);
        tried += 1;
    }
    drop(first);
    harness.stop().await;
    assert_eq!(counters.accepted_connections() + refused(), 1 + tried);
}

/// Scenario: a peer sends three seconds' worth of its bytes at once.
/// Guarantees: all of it arrives, and not before the two seconds that it is too much are over; that it had to wait is counted.
#[tokio::test]
async fn rate_of_bytes() {
    let mut harness = start(json!({"per_peer": {"byte_rate": 10_000}}));
    let mut stream = connect(&harness).await;
    let begun = std::time::Instant::now();
    let lines: Vec<u8> = (0..).flat_map(line).take(30_000).collect();
    let count = lines.iter().filter(|byte| **byte == b'\n').count();
    stream.write_all(&lines).await.unwrap();
    let worker = harness.worker().clone();
    while worker.taken().len() < count {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(begun.elapsed().as_secs() < 30, "only {} of {count} arrived", worker.taken().len());
    }
    assert!(begun.elapsed().as_millis() > 1_900, "{:?}", begun.elapsed());
    assert!(harness.counters().throttled() > 2);
    drop(stream);
    harness.stop().await;
}

/// A certificate authority with files for a server, and clients that trust it.
struct Files {
    directory: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let files = Self { directory: TempDir::new().unwrap(), authority };
        files.issue("server", "localhost");
        std::fs::write(files.path("ca.pem"), files.authority.pem()).unwrap();
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `NAME.pem` and `NAME.key`; returns the certificate.
    fn issue(&self, name: &str, host: &str) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    fn tls(&self) -> Value {
        json!({"certificate": self.path("server.pem"), "private_key": self.path("server.key")})
    }

    fn mutual(&self) -> Value {
        let mut tls = self.tls();
        tls["client_ca"] = json!(self.path("ca.pem"));
        tls
    }

    /// A client, with the certificate `NAME.pem` if it has one.
    fn client(&self, name: Option<&str>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

/// Scenario: mutual TLS behind a proxy: a client with a certificate, one without, one that speaks no TLS, and one that goes.
/// Guarantees: only the first is heard; each handshake is counted by its result.
#[tokio::test]
async fn mutual_tls_behind_a_proxy() {
    let files = Files::new();
    files.issue("edge", "edge.example.com");
    let mut harness = start(json!({"tls": files.mutual(), "proxy_protocol": ["all"]}));
    assert!(harness.addresses[0].to_string().starts_with("tls://127.0.0.1:"));
    let name = || ServerName::try_from("localhost").unwrap();
    let proxied = async || {
        let mut stream = connect(&harness).await;
        stream.write_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n").await.unwrap();
        stream
    };
    let mut stream = files.client(Some("edge")).connect(name(), proxied().await).await.unwrap();
    stream.write_all(&line(0)).await.unwrap();
    assert_eq!(harness.worker().wait_for(1).await, [transaction(0)]);
    // With TLS 1.3, a client learns only when it reads that it is refused.
    if let Ok(mut stream) = files.client(None).connect(name(), proxied().await).await {
        let _ = stream.write_all(&line(1)).await;
        assert!(stream.read(&mut [0]).await.is_err());
    }
    let mut plain = proxied().await;
    plain.write_all(&line(2)).await.unwrap();
    // It gets an alert, and the end.
    let _ = plain.read_to_end(&mut Vec::new()).await;
    let counters = harness.counters().clone();
    wait_until("the handshakes are counted", || counters.handshakes(Handshake::Failed) == 1).await;
    drop(proxied().await);
    wait_until("the handshakes are counted", || counters.handshakes(Handshake::Failed) == 2).await;
    assert_eq!(counters.handshakes(Handshake::Completed), 1);
    assert_eq!(counters.handshakes(Handshake::ClientCertificate), 1);
    drop(stream);
    harness.stop().await;
    assert_eq!(harness.worker().taken().len(), 1);
}

/// Scenario: the files of a certificate are replaced: first with a key of another, then with its own.
/// Guarantees: new connections get the old certificate while the files do not fit, and then the new one; the connection before
/// it stays.
#[tokio::test]
async fn certificates_are_read_again() {
    let files = Files::new();
    let mut harness = start(json!({"tls": files.tls()}));
    let shown = async || {
        let name = ServerName::try_from("localhost").unwrap();
        let stream = files.client(None).connect(name, connect(&harness).await).await.unwrap();
        let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        (stream, certificate)
    };
    let (mut old, before) = shown().await;
    // The key belongs to a certificate that is written later.
    files.issue("new", "localhost");
    std::fs::rename(files.path("new.key"), files.path("server.key")).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    assert_eq!(shown().await.1, before);
    let after = CertificateDer::from_pem_file(files.path("new.pem")).unwrap();
    std::fs::rename(files.path("new.pem"), files.path("server.pem")).unwrap();
    let begun = std::time::Instant::now();
    while shown().await.1 != after {
        assert!(begun.elapsed().as_secs() < 30, "the new certificate is not used");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    old.write_all(&line(0)).await.unwrap();
    assert_eq!(harness.worker().wait_for(1).await, [transaction(0)]);
    drop(old);
    harness.stop().await;
}

/// Scenario: peers that send nothing, half of a header, half of a handshake, or a handshake byte by byte.
/// Guarantees: each is cut off by the limit on headers or on handshakes, and counted.
#[tokio::test]
async fn slow_peers_are_cut_off() {
    let files = Files::new();
    let mut harness = start(json!({"tls": files.tls(), "proxy_protocol": ["all"]}));
    let mut peers = tokio::task::JoinSet::new();
    for bytes in [
        &b""[..],
        b"PROXY TCP4 192.",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10abc",
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN\r\n\x16\x03\x01\x02\x00\x01\x00",
    ] {
        let mut stream = connect(&harness).await;
        peers.spawn(async move {
            stream.write_all(bytes).await.unwrap();
            is_closed(&mut stream).await
        });
    }
    let mut stream = connect(&harness).await;
    peers.spawn(async move {
        stream.write_all(b"PROXY UNKNOWN\r\n\x16\x03\x01\x40\x00\x01\x00").await.unwrap();
        while stream.write_all(b"\0").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        true
    });
    let all = tokio::time::timeout(std::time::Duration::from_secs(60), peers.join_all()).await;
    assert_eq!(all.expect("each is cut off"), [true; 6]);
    assert_eq!(harness.counters().refused_connections(Refusal::ProxyTimeout), 3);
    assert_eq!(harness.counters().handshakes(Handshake::Timeout), 3);
    wait_until("the connections have ended", || harness.counters().open_connections() == 0).await;
    harness.stop().await;
}
