//! Requests for tokens.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::Version;
use serde_json::Value;

use super::*;

/// The request that a client with such settings sends.
async fn sent(change: impl FnOnce(&mut Settings)) -> ReceivedRequest {
    let issuer = issuer().await;
    let mut settings = settings(issuer.url("/token?x=1"));
    change(&mut settings);
    client(settings).fetch().await.expect("a token");
    issuer.requests()[0].clone()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn map<const N: usize>(pairs: [(&str, &str); N]) -> std::collections::BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Scenario: id and secret in the form, with every optional part.
/// Guarantees: each is sent as configured; an argument of `token_post_args` replaces one of the same name.
#[tokio::test]
async fn every_part() {
    let request = sent(|settings| {
        settings.scopes = vec!["a".into(), "b".into()];
        settings.audience = vec!["x".into(), "y".into()];
        settings.token_headers = map([("X-Tenant", "7")]);
        settings.token_post_args = map([("resource", "r&s"), ("scope", "c")]);
    })
    .await;
    assert_eq!(request.line, "POST /token?x=1 HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("accept"), Some("application/json"));
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

/// Scenario: headers that the client itself would send.
/// Guarantees: the configured `Accept` and `Host` replace the client's; the form stays a form.
#[tokio::test]
async fn configured_headers_take_precedence() {
    let headers = map([("accept", "text/json"), ("host", "id.test"), ("content-type", "text/plain")]);
    let request = sent(|settings| settings.token_headers = headers).await;
    assert_eq!((request.header("accept"), request.header("host")), (Some("text/json"), Some("id.test")));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
}

/// Scenario: the password grant of a client without a secret, over HTTP/1.0.
/// Guarantees: user and password are sent, no secret is, and the version is as configured.
#[tokio::test]
async fn password_grant_without_client_authentication() {
    let request = sent(|settings| {
        settings.grant = Grant::Password { username: "u".into(), password: "p".into() };
        settings.scopes = vec!["openid".into()];
        settings.auth_method = AuthMethod::None;
        settings.transport.version = Version::HTTP_10;
        settings.transport.keep_alive = false;
    })
    .await;
    let expected =
        [("grant_type", "password"), ("username", "u"), ("password", "p"), ("scope", "openid"), ("client_id", "me&co")];
    assert_eq!(request.form(), pairs(&expected));
    assert_eq!(request.line, "POST /token?x=1 HTTP/1.0");
    assert_eq!((request.header("connection"), request.header("authorization")), (Some("close"), None));
}

/// Scenario: `client_secret_basic`.
/// Guarantees: id and secret are form-encoded first (RFC 6749, section 2.3.1), and are not in the form.
#[tokio::test]
async fn client_secret_basic() {
    let request = sent(|settings| settings.auth_method = AuthMethod::ClientSecretBasic).await;
    let expected = format!("Basic {}", STANDARD.encode("me%26co:s3%3Acret"));
    assert_eq!(request.header("authorization"), Some(&*expected));
    assert_eq!(request.form(), pairs(&[("grant_type", "client_credentials")]));
}

/// Scenario: `client_secret_jwt` with both algorithms.
/// Guarantees: the assertion has the claims of RFC 7523 and a signature that the secret verifies.
#[tokio::test]
async fn client_secret_jwt() {
    for (jwt_algorithm, name, algorithm) in
        [(JwtAlgorithm::Hs256, "HS256", hmac::HMAC_SHA256), (JwtAlgorithm::Hs512, "HS512", hmac::HMAC_SHA512)]
    {
        let request = sent(|settings| {
            settings.auth_method = AuthMethod::ClientSecretJwt;
            settings.jwt_algorithm = jwt_algorithm;
        })
        .await;
        let form = request.form();
        let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        assert_eq!(field("client_secret"), None);
        let kind = field("client_assertion_type").expect("a type");
        assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let assertion = field("client_assertion").expect("an assertion");
        let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
        let key = hmac::Key::new(algorithm, b"s3:cret");
        hmac::verify(&key, signed.as_bytes(), &decode(signature)).expect("signed");
        let part = |text: &str| serde_json::from_slice::<Value>(&decode(text)).expect("JSON");
        let (header, claims) = signed.split_once('.').expect("three parts");
        assert_eq!(part(header), json!({"alg": name, "typ": "JWT"}));
        let claims = part(claims);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("me&co"), &json!("me&co")));
        assert!(claims["aud"].as_str().expect("an audience").ends_with("/token?x=1"));
        let number = |name: &str| claims[name].as_u64().expect("a number");
        assert_eq!(number("exp") - number("iat"), 60);
        assert_eq!(claims["jti"].as_str().expect("an id").len(), 36);
    }
}
