//! Token endpoints behind a proxy.

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::*;

/// Scenario: an `http` endpoint behind a proxy, and one that `no_proxy` names.
/// Guarantees: the proxy gets the whole URL and its own authorization, with the endpoint's host; without a proxy the
/// endpoint gets neither.
#[tokio::test]
async fn proxy_for_http() {
    let proxy = issuer().await;
    let transport = TransportSettings {
        http_proxy: Some(proxy.url("")),
        http_proxy_authorization: Some("Basic eA==".into()),
        no_proxy: Some("other.test".into()),
        ..TransportSettings::default()
    };
    let proxied = Settings { transport: transport.clone(), ..settings("http://id.test:81/token".into()) };
    client(proxied).fetch().await.expect("a token");
    let request = &proxy.requests()[0];
    assert_eq!(request.line, "POST http://id.test:81/token HTTP/1.1");
    let authorization = request.header("proxy-authorization");
    assert_eq!((request.header("host"), authorization), (Some("id.test:81"), Some("Basic eA==")));

    let direct = issuer().await;
    let transport = TransportSettings { no_proxy: Some("127.0.0.1".into()), ..transport };
    let settings = Settings { transport, ..settings(direct.url("/t")) };
    client(settings).fetch().await.expect("a token");
    assert_eq!((direct.count(), proxy.count()), (1, 1));
    assert_eq!(direct.requests()[0].header("proxy-authorization"), None);
}

/// Scenario: an `https` endpoint behind a proxy that opens a tunnel, and behind one that refuses.
/// Guarantees: the proxy is asked for a tunnel to host and port with its authorization, and then sees only TLS; a
/// refusal is an error with the proxy's status.
#[tokio::test]
async fn proxy_for_https() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let transport = TransportSettings {
        https_proxy: Some(format!("http://{}", listener.local_addr().expect("an address"))),
        https_proxy_authorization: Some("Basic eA==".into()),
        ..TransportSettings::default()
    };
    let settings = Settings { transport, ..settings("https://id.test/token".into()) };
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (stream, head) = answer_connect(stream, "200 Connected").await;
        let mut stream = acceptor().accept(stream).await.expect("TLS");
        let request = read_head(&mut stream).await;
        let response = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 21\r\n\r\n{\"access_token\":\"t0\"}";
        stream.write_all(response.as_bytes()).await.expect("written");
        stream.flush().await.expect("written");
        (head, request)
    };
    let allowed = client(settings.clone());
    let (token, (head, request)) = tokio::join!(allowed.fetch(), serve);
    assert_eq!(token.expect("a token").value, "t0");
    assert!(head.starts_with("CONNECT id.test:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("proxy-authorization: basic ea=="), "{head}");
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    assert!(!request.to_lowercase().contains("proxy-authorization"), "{request}");

    let refuse = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        answer_connect(stream, "407 Proxy Authentication Required").await
    };
    let refused = client(settings);
    let (token, _) = tokio::join!(refused.fetch(), refuse);
    let error = token.expect_err("no tunnel").to_string();
    assert!(error.contains("it answers 407 Proxy Authentication Required to CONNECT id.test:443"), "{error}");
}

async fn answer_connect(mut stream: TcpStream, status: &str) -> (TcpStream, String) {
    let head = read_head(&mut stream).await;
    stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.expect("written");
    (stream, head)
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

fn acceptor() -> TlsAcceptor {
    let generated = rcgen::generate_simple_self_signed(["id.test".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(generated.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![generated.cert.der().clone()], key)
        .expect("a configuration");
    TlsAcceptor::from(Arc::new(config))
}
