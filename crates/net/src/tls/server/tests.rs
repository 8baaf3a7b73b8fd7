//! Files that can be used and that cannot, and handshakes with clients that are trusted and that are not.

use std::io;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate with these names, and its key, both PEM.
fn issue(authority: &Authority, names: &[SanType]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.subject_alt_names = names.to_vec();
    (parameters.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// Files for a server that trusts the clients of an authority.
struct Files {
    directory: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self { directory: TempDir::new().unwrap(), authority: authority() };
        let (certificate, key) = issue(&files.authority, &[dns("localhost")]);
        files.write("cert.pem", &certificate);
        files.write("key.pem", &key);
        files.write("ca.pem", &files.authority.pem());
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn tls(&self) -> ServerTls {
        let path = |name| self.directory.path().join(name);
        ServerTls {
            certificate: path("cert.pem"),
            private_key: path("key.pem"),
            client_ca: None,
            client_auth: ClientAuth::Required,
            client_names: Vec::new(),
            min_version: MinVersion::Tls12,
            alpn: Vec::new(),
        }
    }

    fn mutual(&self, names: &[&str]) -> ServerTls {
        let client_names = names.iter().map(|name| name.parse().unwrap()).collect();
        ServerTls { client_ca: Some(self.directory.path().join("ca.pem")), client_names, ..self.tls() }
    }

    fn error(&self, tls: &ServerTls) -> String {
        let directory = self.directory.path().to_str().unwrap();
        tls.load().unwrap_err().to_string().replace(directory, "DIR")
    }
}

/// The result of a handshake and of one byte that the server answers, as the server and as the client see it.
async fn meet(tls: &ServerTls, client: ClientConfig) -> (io::Result<bool>, io::Result<u8>) {
    let (ours, theirs) = duplex(64 << 10);
    let acceptor = TlsAcceptor::from(tls.load().unwrap());
    let connector = TlsConnector::from(Arc::new(client));
    let server = async {
        let mut stream = acceptor.accept(ours).await?;
        stream.write_all(b"x").await?;
        stream.shutdown().await?;
        Ok(stream.get_ref().1.peer_certificates().is_some())
    };
    let client = async {
        let name = ServerName::try_from("localhost").unwrap();
        connector.connect(name, theirs).await?.read_u8().await
    };
    tokio::join!(server, client)
}

fn client(
    files: &Files,
    versions: &[&'static SupportedProtocolVersion],
    identity: Option<(String, String)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(files.authority.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Scenario: files that are missing, empty, of another kind, of another certificate, encrypted, or a directory.
/// Guarantees: each is refused with its field, its path, the problem and, where it is not obvious, what to do.
#[test]
fn files_that_cannot_be_used() {
    let files = Files::new();
    assert!(files.tls().load().is_ok() && files.mutual(&[]).load().is_ok());
    let mut errors = Vec::new();
    let path = |name: &str| files.directory.path().join(name);
    let (_, other) = issue(&files.authority, &[dns("localhost")]);
    files.write("other.pem", &other);
    files.write("empty.pem", "");
    files.write("broken.pem", "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n");
    files.write("no.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    files.write("encrypted.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    for certificate in ["none.pem", "empty.pem", "key.pem", "broken.pem", "no.pem", ""] {
        errors.push(files.error(&ServerTls { certificate: path(certificate), ..files.tls() }));
    }
    for private_key in ["none.pem", "empty.pem", "cert.pem", "encrypted.pem", "other.pem"] {
        errors.push(files.error(&ServerTls { private_key: path(private_key), ..files.tls() }));
    }
    for client_ca in ["none.pem", "empty.pem", "no.pem"] {
        errors.push(files.error(&ServerTls { client_ca: Some(path(client_ca)), ..files.tls() }));
    }
    let expected = [
        "certificate: cannot read DIR/none.pem: No such file or directory (os error 2)",
        "certificate: the file DIR/empty.pem has no certificate; give it as PEM: -----BEGIN CERTIFICATE-----",
        "certificate: the file DIR/key.pem has no certificate; give it as PEM: -----BEGIN CERTIFICATE-----",
        "certificate: the file DIR/broken.pem is not PEM: ",
        "certificate: cannot use the certificate in DIR/no.pem: ",
        "certificate: cannot read DIR/: ",
        "private_key: cannot read DIR/none.pem: No such file or directory (os error 2)",
        "private_key: the file DIR/empty.pem has no private key; give it as PEM: -----BEGIN PRIVATE KEY-----",
        "private_key: the file DIR/cert.pem has no private key; give it as PEM: -----BEGIN PRIVATE KEY-----",
        "private_key: the key in DIR/encrypted.pem is encrypted; decrypt it: openssl pkey -in KEY -out DECRYPTED",
        "private_key: the key in DIR/other.pem is not that of the certificate; give the key that the certificate was made \
         for; its own certificate comes first in the file",
        "client_ca: cannot read DIR/none.pem: No such file or directory (os error 2)",
        "client_ca: the file DIR/empty.pem has no certificate; give it as PEM: -----BEGIN CERTIFICATE-----",
        "client_ca: cannot trust a certificate in DIR/no.pem: ",
    ];
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error}\nexpected: {expected}");
    }
    assert_eq!(errors.len(), expected.len());
}

/// Scenario: clients without a certificate, with one, and with one of another authority, where it is not asked for, where it
/// is required and where it is optional; over TLS 1.2 and 1.3.
/// Guarantees: exactly the trusted ones get an answer; the server knows who had a certificate, and whose certificate was the
/// reason for a failure.
#[tokio::test]
async fn who_may_connect() {
    let files = Files::new();
    let trusted = || Some(issue(&files.authority, &[dns("edge.example.com")]));
    let foreign = || Some(issue(&authority(), &[dns("edge.example.com")]));
    let optional = || ServerTls { client_auth: ClientAuth::Optional, ..files.mutual(&[]) };
    for version in BOTH {
        // What the server has verified; `None` if the handshake must fail.
        for (tls, identity, expected) in [
            (files.tls(), None, Some(false)),
            (files.tls(), trusted(), Some(false)),
            (files.mutual(&[]), trusted(), Some(true)),
            (files.mutual(&[]), None, None),
            (files.mutual(&[]), foreign(), None),
            (optional(), trusted(), Some(true)),
            (optional(), None, Some(false)),
            (optional(), foreign(), None),
        ] {
            let (server, client) = meet(&tls, client(&files, &[version], identity)).await;
            match expected {
                Some(verified) => {
                    assert_eq!(server.unwrap(), verified);
                    assert_eq!(client.unwrap(), b'x');
                }
                None => {
                    assert!(client.is_err());
                    let error = server.unwrap_err();
                    let error = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
                    assert!(is_about_client(error.unwrap()), "{error:?}");
                }
            }
        }
    }
}

/// Scenario: a certificate with a DNS name, an address and a URI; lists of names of which one fits, and of which none does.
/// Guarantees: only the former let the client in; texts that are no name are refused.
#[tokio::test]
async fn names_of_clients() {
    let files = Files::new();
    let names = [
        dns("a.edge.example.com"),
        SanType::IpAddress("192.0.2.7".parse().unwrap()),
        SanType::URI("spiffe://example.com/ns/edge/sa/kong".try_into().unwrap()),
    ];
    for (allowed, fits) in [
        (&["a.edge.example.com"][..], true),
        (&["A.edge.example.COM"], true),
        (&["no.example.com", "*.edge.example.com"], true),
        (&["*.example.com"], true),
        (&["192.0.2.7"], true),
        (&["spiffe://example.com/ns/edge/sa/kong"], true),
        (&["spiffe://example.com/ns/edge/*"], true),
        (&["edge.example.com", "*.a.edge.example.com", "192.0.2.8"], false),
        (
            &["spiffe://example.com/ns/edge", "spiffe://example.com/ns/ed/*", "spiffe://example.com/ns/edge/sa/kong2"],
            false,
        ),
    ] {
        let identity = Some(issue(&files.authority, &names));
        let (server, client) = meet(&files.mutual(allowed), client(&files, BOTH, identity)).await;
        assert_eq!((server.is_ok(), client.is_ok()), (fits, fits), "{allowed:?}: {server:?}");
        if let Err(error) = server {
            let error = error.get_ref().and_then(|error| error.downcast_ref::<Error>()).unwrap();
            let expected = "the client is refused: the certificate has none of the names in client_names";
            assert_eq!(explain(error), expected);
        }
    }
    for text in ["", "*", "*.", "a b", "*x.example.com", "a/b"] {
        assert_eq!(text.parse::<ClientName>(), Err(ClientNameError), "{text}");
    }
}

/// Scenario: a listener for TLS 1.3 alone, and a client that can do only 1.2.
/// Guarantees: the handshake fails, and not for the sake of a certificate.
#[tokio::test]
async fn versions() {
    let files = Files::new();
    let tls = ServerTls { min_version: MinVersion::Tls13, ..files.tls() };
    assert!(meet(&tls, client(&files, BOTH, None)).await.1.is_ok());
    let (server, _) = meet(&tls, client(&files, &[&TLS12], None)).await;
    let error = server.unwrap_err();
    let error = error.get_ref().and_then(|error| error.downcast_ref::<Error>()).unwrap();
    assert!(!is_about_client(error), "{error:?}");
}
