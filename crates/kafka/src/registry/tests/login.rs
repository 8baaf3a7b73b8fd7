//! Logins: at the registry and at the token endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A registry that wants the `Bearer` token `t<number>`, with the number from `accepted` on.
async fn guarded(accepted: Arc<AtomicUsize>) -> Peer {
    Peer::start(move |seen: &Seen| {
        let number = seen.header("authorization").and_then(|text| text.strip_prefix("Bearer t")?.parse().ok());
        if number.is_some_and(|number: usize| number >= accepted.load(SeqCst)) {
            schema(1, "AVRO", &json!("int"))
        } else {
            (401, Vec::new(), json!({"error_code": 401, "message": "Unauthorized"}).to_string())
        }
    })
    .await
}

/// A token endpoint that gives `t0`, `t1` and so on, each for two minutes.
async fn issuer() -> Peer {
    let next = AtomicUsize::new(0);
    Peer::start(move |_| {
        let token = format!("t{}", next.fetch_add(1, SeqCst));
        ok(json!({"access_token": token, "token_type": "Bearer", "expires_in": 120}))
    })
    .await
}

fn oauth(endpoint: String, more: Value, client: Value) -> Value {
    let mut oauth = json!({"token_endpoint": endpoint, "client_id": "me&co", "client_secret": "s3:cret"});
    oauth.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"mode": "oauth2", "oauth2": oauth, "oauth2_client": client})
}

/// The request for a token that such a configuration leads to.
async fn asked(more: Value, client: Value) -> Seen {
    let (issuer, guarded) = (issuer().await, guarded(Arc::default()).await);
    let registry = registry(&guarded.url(""), oauth(issuer.url("/token?x=1"), more, client));
    registry.encode(&entry("1")).await.expect("logged in");
    assert_eq!(guarded.seen()[0].header("authorization"), Some("Bearer t0"));
    issuer.seen()[0].clone()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Scenario: a user and a password. Guarantees: they are sent as RFC 7617 wants it.
#[tokio::test]
async fn basic_login() {
    let peer = Peer::start(|_| schema(1, "AVRO", &json!("int"))).await;
    let login = json!({"mode": "basic", "basic": {"username": "me", "password": "pä:ss"}});
    registry(&peer.url(""), login).encode(&entry("1")).await.expect("logged in");
    let expected = format!("Basic {}", STANDARD.encode("me:pä:ss"));
    assert_eq!(peer.seen()[0].header("authorization"), Some(&*expected));
}

/// Scenario: id and secret in the form, with all that a request can have.
/// Guarantees: each is sent as configured; a name in `token_post_args` stands in place of the same one.
#[tokio::test]
async fn token_request_with_everything() {
    let more = json!({"scopes": ["a", "b"], "audience": ["x", "y"], "token_headers": {"X-Tenant": "7"},
        "token_post_args": {"resource": "r&s", "scope": "c"}});
    let seen = asked(more, json!({})).await;
    assert_eq!(seen.line, "POST /token?x=1 HTTP/1.1");
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!((seen.header("x-tenant"), seen.header("connection")), (Some("7"), Some("keep-alive")));
    let expected = [
        ("grant_type", "client_credentials"),
        ("audience", "x y"),
        ("resource", "r&s"),
        ("scope", "c"),
        ("client_id", "me&co"),
        ("client_secret", "s3:cret"),
    ];
    assert_eq!(seen.form(), pairs(&expected));
}

/// Scenario: the password grant of a client that has no secret, over HTTP/1.0.
/// Guarantees: user and password are sent, no secret, and the version is as configured.
#[tokio::test]
async fn password_grant_without_client_login() {
    let more = json!({"grant_type": "password", "username": "u", "password": "p", "scopes": ["openid"]});
    let seen = asked(more, json!({"auth_method": "none", "http_version": 1.0, "keep_alive": false})).await;
    let expected =
        [("grant_type", "password"), ("username", "u"), ("password", "p"), ("scope", "openid"), ("client_id", "me&co")];
    assert_eq!(seen.form(), pairs(&expected));
    assert_eq!(seen.line, "POST /token?x=1 HTTP/1.0");
    assert_eq!((seen.header("connection"), seen.header("authorization")), (Some("close"), None));
}

/// Scenario: `client_secret_basic`.
/// Guarantees: id and secret are form-encoded first (RFC 6749, 2.3.1), and not in the form.
#[tokio::test]
async fn client_secret_basic() {
    let seen = asked(json!({}), json!({"auth_method": "client_secret_basic"})).await;
    let expected = format!("Basic {}", STANDARD.encode("me%26co:s3%3Acret"));
    assert_eq!(seen.header("authorization"), Some(&*expected));
    assert_eq!(seen.form(), pairs(&[("grant_type", "client_credentials")]));
}

/// Scenario: `client_secret_jwt` with both algorithms.
/// Guarantees: the assertion has the claims of RFC 7523 and a signature that the secret verifies.
#[tokio::test]
async fn client_secret_jwt() {
    for (name, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS512", hmac::HMAC_SHA512)] {
        let client = json!({"auth_method": "client_secret_jwt", "client_secret_jwt_alg": name});
        let form = asked(json!({}), client).await.form();
        let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        assert_eq!(field("client_secret"), None);
        let kind = field("client_assertion_type").expect("a type");
        assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let assertion = field("client_assertion").expect("an assertion");
        let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
        let key = hmac::Key::new(algorithm, b"s3:cret");
        hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).expect("signed");
        let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').expect("three parts");
        assert_eq!(part(header), json!({"alg": name, "typ": "JWT"}));
        let claims = part(claims);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("me&co"), &json!("me&co")));
        assert!(claims["aud"].as_str().unwrap().ends_with("/token?x=1"));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
    }
}

/// Scenario: a token over its life; then one that the registry revokes; then a login that is refused altogether.
/// Guarantees: it is kept until shortly before its end, over one connection; a 401 brings one new token, and no more.
#[tokio::test]
async fn tokens_are_kept_and_renewed() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let (issuer, guarded) = (issuer().await, guarded(accepted.clone()).await);
    let value = json!({"subject_name": "log"});
    let login = oauth(issuer.url("/"), json!({}), json!({}));
    let config = json!({"url": guarded.url(""), "ttl": 0, "authentication": login, "value_schema": value});
    let registry = open(config).expect("sound");
    let start = Instant::now();
    let encode_at = async |after| registry.encode_at(&entry("1"), start + seconds(after)).await;
    for (after, tokens) in [(0, 1), (89, 1), (90, 2), (179, 2)] {
        assert!(encode_at(after).await.is_ok());
        assert_eq!(issuer.count(), tokens, "after {after} s");
    }
    assert_eq!(guarded.count(), 4, "a ttl of 0 keeps nothing");
    accepted.store(2, SeqCst);
    assert!(encode_at(179).await.is_ok());
    assert_eq!((issuer.count(), guarded.count()), (3, 6));
    assert!(issuer.seen().iter().all(|seen| seen.connection == 0), "the connection is kept");

    accepted.store(100, SeqCst);
    let registry = super::registry(&guarded.url(""), oauth(issuer.url("/"), json!({}), json!({})));
    let error = registry.encode(&entry("1")).await.expect_err("never accepted");
    assert!(matches!(&error, EncodeError::Retry(text) if text.contains("401 Unauthorized")), "{error}");
    assert_eq!((issuer.count(), guarded.count()), (5, 8));
}

/// Scenario: token endpoints that refuse, answer nonsense, or nothing in time.
/// Guarantees: the messages wait; the error says where and why, and no secret.
#[tokio::test]
async fn refused_tokens() {
    let refused = json!({"error": "invalid_client", "error_description": "no such client"}).to_string();
    for (answer, expected) in [
        ((400, vec![], refused), "it answers 400 Bad Request: invalid_client: no such client"),
        (ok("[]"), "its answer is no JSON object with an access_token"),
        (ok(json!({"access_token": "a\nb"})), "its token holds characters that no header may have"),
    ] {
        let issuer = Peer::start(move |_| answer.clone()).await;
        let registry = registry("http://127.0.0.1:1", oauth(issuer.url("/t"), json!({}), json!({})));
        let error = registry.encode(&entry("1")).await.expect_err("no token");
        let EncodeError::Retry(text) = error else { panic!("not final") };
        assert!(
            text.starts_with(&format!("no token from {}: ", issuer.url("/t"))) && text.contains(expected),
            "{text}"
        );
        assert!(!text.contains("s3:cret"), "{text}");
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let registry = registry("http://127.0.0.1:1", oauth(url, json!({}), json!({"timeout": 50})));
    let error = registry.encode(&entry("1")).await.expect_err("no answer").to_string();
    assert!(error.ends_with("no answer within 50 ms"), "{error}");
}

/// Scenario: an http endpoint behind a proxy, and one that `no_proxy` names.
/// Guarantees: the proxy gets the whole URL and its own authorization, the endpoint's host stays; without it neither.
#[tokio::test]
async fn proxy_for_http() {
    let (proxy, guarded) = (issuer().await, guarded(Arc::default()).await);
    let client =
        json!({"http_proxy": proxy.url(""), "http_proxy_authorization": "Basic eA==", "no_proxy": "other.test"});
    let login = oauth("http://id.test:81/token".to_owned(), json!({}), client.clone());
    registry(&guarded.url(""), login).encode(&entry("1")).await.expect("logged in");
    let seen = &proxy.seen()[0];
    assert_eq!(seen.line, "POST http://id.test:81/token HTTP/1.1");
    assert_eq!((seen.header("host"), seen.header("proxy-authorization")), (Some("id.test:81"), Some("Basic eA==")));

    let direct = issuer().await;
    let mut client = client;
    client["no_proxy"] = json!("127.0.0.1");
    registry(&guarded.url(""), oauth(direct.url("/t"), json!({}), client))
        .encode(&entry("1"))
        .await
        .expect("logged in");
    assert_eq!((direct.count(), proxy.count()), (1, 1));
    assert_eq!(direct.seen()[0].header("proxy-authorization"), None);
}

/// Scenario: an https endpoint behind a proxy that lets through, and one that does not.
/// Guarantees: the proxy is asked for a tunnel to host and port with its authorization, and sees nothing but TLS then.
#[tokio::test]
async fn proxy_for_https() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let client = json!({"https_proxy": proxy, "https_proxy_authorization": "Basic eA==", "ssl_verify": false});
    let login = oauth("https://id.test/token".to_owned(), json!({}), client);
    let guarded = guarded(Arc::default()).await;
    let open = || registry(&guarded.url(""), login.clone());
    let play = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (stream, head) = connect(stream, "200 Connected").await;
        let mut stream = acceptor().accept(stream).await.expect("TLS");
        let request = read_head(&mut stream).await;
        let token = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 21\r\n\r\n{\"access_token\":\"t0\"}";
        stream.write_all(token.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        (head, request)
    };
    let registry = open();
    let message = entry("1");
    let (value, (head, request)) = tokio::join!(registry.encode(&message), play);
    assert!(value.is_ok(), "{value:?}");
    assert!(head.starts_with("CONNECT id.test:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("proxy-authorization: basic ea=="), "{head}");
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    assert!(!request.to_lowercase().contains("proxy-authorization"), "{request}");

    let registry = open();
    let refuse = async { connect(listener.accept().await.unwrap().0, "407 Proxy Authentication Required").await };
    let (value, _) = tokio::join!(registry.encode(&message), refuse);
    let error = value.expect_err("no tunnel").to_string();
    assert!(error.contains("it answers 407 Proxy Authentication Required to CONNECT id.test:443"), "{error}");
}

/// Answers a CONNECT.
async fn connect(mut stream: TcpStream, status: &str) -> (TcpStream, String) {
    let head = read_head(&mut stream).await;
    stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
    (stream, head)
}

async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).unwrap()
}

fn acceptor() -> TlsAcceptor {
    let key = rcgen::generate_simple_self_signed(["id.test".to_owned()]).unwrap();
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
