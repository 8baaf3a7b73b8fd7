//! Authentication at the registry. Requests for tokens are tested in `logphase_net::oauth`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// A registry that accepts the token `t<number>` with numbers from `accepted` on.
async fn guarded(accepted: Arc<AtomicUsize>) -> MockServer {
    MockServer::start(move |request: &ReceivedRequest| {
        let number = request.header("authorization").and_then(|text| text.strip_prefix("Bearer t")?.parse().ok());
        if number.is_some_and(|number: usize| number >= accepted.load(SeqCst)) {
            schema(1, "AVRO", &json!("int"))
        } else {
            (401, Vec::new(), json!({"error_code": 401, "message": "Unauthorized"}).to_string())
        }
    })
    .await
}

/// A token endpoint that issues `t0`, `t1` and so on, each for two minutes.
async fn issuer() -> MockServer {
    let next = AtomicUsize::new(0);
    MockServer::start(move |_| {
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
async fn token_request(more: Value, client: Value) -> ReceivedRequest {
    let (issuer, guarded) = (issuer().await, guarded(Arc::default()).await);
    let registry = registry(&guarded.url(""), oauth(issuer.url("/token?x=1"), more, client));
    registry.encode(&entry("1")).await.expect("authenticated");
    assert_eq!(guarded.requests()[0].header("authorization"), Some("Bearer t0"));
    issuer.requests()[0].clone()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Scenario: a user and a password. Guarantees: they are sent as RFC 7617 specifies.
#[tokio::test]
async fn basic_authentication() {
    let server = MockServer::start(|_| schema(1, "AVRO", &json!("int"))).await;
    let basic = json!({"mode": "basic", "basic": {"username": "me", "password": "pä:ss"}});
    registry(&server.url(""), basic).encode(&entry("1")).await.expect("authenticated");
    let expected = format!("Basic {}", STANDARD.encode("me:pä:ss"));
    assert_eq!(server.requests()[0].header("authorization"), Some(&*expected));
}

/// Scenario: the default authentication method with every field of `oauth2`.
/// Guarantees: each field reaches the request; `token_post_args` replaces an argument of the same name.
#[tokio::test]
async fn oauth2_fields() {
    let more = json!({"scopes": ["a", "b"], "audience": ["x", "y"], "token_headers": {"X-Tenant": "7"},
        "token_post_args": {"resource": "r&s", "scope": "c"}});
    let request = token_request(more, json!({})).await;
    assert_eq!(request.line, "POST /token?x=1 HTTP/1.1");
    assert_eq!((request.header("x-tenant"), request.header("connection")), (Some("7"), Some("keep-alive")));
    let expected = [
        ("grant_type", "client_credentials"),
        ("audience", "x y"),
        ("resource", "r&s"),
        ("scope", "c"),
        ("client_id", "me&co"),
        ("client_secret", "s3:cret"),
    ];
    assert_eq!(request.form(), pairs(&expected));
}

/// Scenario: the password grant, and fields of `oauth2_client`.
/// Guarantees: grant, authentication method, HTTP version and connection are as configured.
#[tokio::test]
async fn oauth2_client_fields() {
    let more = json!({"grant_type": "password", "username": "u", "password": "p", "scopes": ["openid"]});
    let request = token_request(more, json!({"auth_method": "none", "http_version": 1.0, "keep_alive": false})).await;
    let expected =
        [("grant_type", "password"), ("username", "u"), ("password", "p"), ("scope", "openid"), ("client_id", "me&co")];
    assert_eq!(request.form(), pairs(&expected));
    assert_eq!(request.line, "POST /token?x=1 HTTP/1.0");
    assert_eq!((request.header("connection"), request.header("authorization")), (Some("close"), None));

    for (method, algorithm, in_header) in [
        ("client_secret_basic", "HS512", true),
        ("client_secret_jwt", "HS256", false),
        ("client_secret_jwt", "HS512", false),
    ] {
        let client = json!({"auth_method": method, "client_secret_jwt_alg": algorithm});
        let request = token_request(json!({}), client).await;
        assert_eq!(request.header("authorization").is_some(), in_header, "{method}");
        let form = request.form();
        let assertion = form.iter().find(|(name, _)| name == "client_assertion").map(|(_, value)| value);
        assert_eq!(assertion.is_some(), !in_header, "{method}");
        let header = format!("{{\"alg\":\"{algorithm}\",\"typ\":\"JWT\"}}");
        let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
        assert!(assertion.is_none_or(|text| text.starts_with(&encoded)), "{algorithm}: {assertion:?}");
    }
}

/// Scenario: a proxy for the token endpoint.
/// Guarantees: the proxy gets the request with its own authorization, unless `no_proxy` names the endpoint.
#[tokio::test]
async fn oauth2_proxy_fields() {
    let (proxy, guarded) = (issuer().await, guarded(Arc::default()).await);
    let mut client = json!({"http_proxy": proxy.url(""), "http_proxy_authorization": "Basic eA=="});
    let authentication = oauth("http://id.test:81/token".to_owned(), json!({}), client.clone());
    registry(&guarded.url(""), authentication).encode(&entry("1")).await.expect("authenticated");
    let request = &proxy.requests()[0];
    assert_eq!(request.line, "POST http://id.test:81/token HTTP/1.1");
    assert_eq!(request.header("proxy-authorization"), Some("Basic eA=="));

    let direct = issuer().await;
    client["no_proxy"] = json!("127.0.0.1");
    let authentication = oauth(direct.url("/t"), json!({}), client);
    registry(&guarded.url(""), authentication).encode(&entry("1")).await.expect("authenticated");
    assert_eq!((direct.count(), proxy.count()), (1, 1));
}

/// Scenario: a token over its lifetime, then one that the registry has revoked, then one that it never accepts.
/// Guarantees: a token is cached until shortly before its end; a 401 leads to one new token, and to no more.
#[tokio::test]
async fn tokens_are_cached_and_replaced() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let (issuer, guarded) = (issuer().await, guarded(accepted.clone()).await);
    let value = json!({"subject_name": "log"});
    let authentication = oauth(issuer.url("/"), json!({}), json!({}));
    let config = json!({"url": guarded.url(""), "ttl": 0, "authentication": authentication, "value_schema": value});
    let registry = open(config).expect("usable");
    let start = Instant::now();
    let encode_at = async |after| registry.encode_at(&entry("1"), start + seconds(after)).await;
    for (after, tokens) in [(0, 1), (89, 1), (90, 2), (179, 2)] {
        assert!(encode_at(after).await.is_ok());
        assert_eq!(issuer.count(), tokens, "after {after} s");
    }
    assert_eq!(guarded.count(), 4, "a ttl of 0 caches nothing");
    accepted.store(2, SeqCst);
    assert!(encode_at(179).await.is_ok());
    assert_eq!((issuer.count(), guarded.count()), (3, 6));
    assert!(issuer.requests().iter().all(|request| request.connection == 0), "the connection is kept");

    accepted.store(100, SeqCst);
    let registry = super::registry(&guarded.url(""), oauth(issuer.url("/"), json!({}), json!({})));
    let error = registry.encode(&entry("1")).await.expect_err("never accepted");
    assert!(matches!(&error, EncodeError::Retry(text) if text.contains("401 Unauthorized")), "{error}");
    assert_eq!((issuer.count(), guarded.count()), (5, 8));
}

/// Scenario: token endpoints that refuse, answer without a token, or do not answer in time.
/// Guarantees: the messages wait; the error says where and why, and has no secret.
#[tokio::test]
async fn without_a_token_messages_wait() {
    let refused = json!({"error": "invalid_client", "error_description": "no such client"}).to_string();
    for (response, expected) in [
        ((400, vec![], refused), "it answers 400 Bad Request: invalid_client: no such client"),
        (ok("[]"), "its answer is not a JSON object with an access_token"),
        (ok(json!({"access_token": "a\nb"})), "its token contains characters that a header cannot have"),
    ] {
        let issuer = MockServer::start(move |_| response.clone()).await;
        let registry = registry("http://127.0.0.1:1", oauth(issuer.url("/t"), json!({}), json!({})));
        let error = registry.encode(&entry("1")).await.expect_err("no token");
        let EncodeError::Retry(text) = error else { panic!("not final") };
        assert!(
            text.starts_with(&format!("no token from {}: ", issuer.url("/t"))) && text.contains(expected),
            "{text}"
        );
        assert!(!text.contains("s3:cret"), "{text}");
    }
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let registry = registry("http://127.0.0.1:1", oauth(url, json!({}), json!({"timeout": 50})));
    let error = registry.encode(&entry("1")).await.expect_err("no answer").to_string();
    assert!(error.ends_with("no answer within 50 ms"), "{error}");
}
