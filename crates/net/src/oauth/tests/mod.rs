mod proxies;
mod requests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::testing::{MockServer, ReceivedRequest, ok};
use crate::tls::TlsConfigs;

/// A token endpoint that issues `t0`, `t1` and so on, each for two minutes.
async fn issuer() -> MockServer {
    let next = AtomicUsize::new(0);
    MockServer::start(move |_| {
        let token = format!("t{}", next.fetch_add(1, SeqCst));
        ok(json!({"access_token": token, "token_type": "Bearer", "expires_in": 120}))
    })
    .await
}

fn settings(endpoint: String) -> Settings {
    Settings {
        token_endpoint: endpoint,
        client_id: Some("me&co".into()),
        client_secret: Some("s3:cret".into()),
        ..Settings::default()
    }
}

fn open(settings: Settings) -> Result<Client, ConfigError> {
    Client::new(settings, TlsConfigs::new(None).get(false).expect("TLS"))
}

fn client(settings: Settings) -> Client {
    open(settings).expect("usable settings")
}

/// Scenario: an endpoint that issues a token for a time.
/// Guarantees: token and lifetime are those of the response, and debug output does not show the token.
#[tokio::test]
async fn fetches_a_token() {
    let issuer = issuer().await;
    let token = client(settings(issuer.url("/token"))).fetch().await.expect("a token");
    assert_eq!(token, AccessToken { value: "t0".into(), lifetime: Some(Duration::from_secs(120)) });
    assert!(!format!("{token:?}").contains("t0"), "{token:?}");
}

/// Scenario: a token over its lifetime, then one that its recipient rejects.
/// Guarantees: it is cached until shortly before it expires, over one connection; after a rejection a new one is fetched,
/// and a rejection of an older token changes nothing.
#[tokio::test]
async fn tokens_are_cached() {
    let issuer = issuer().await;
    let cached = CachedToken::new(client(settings(issuer.url("/"))));
    let start = Instant::now();
    let get = async |after| cached.get(start + Duration::from_secs(after)).await.expect("a token");
    for (after, count) in [(0, 1), (89, 1), (90, 2), (179, 2)] {
        get(after).await;
        assert_eq!(issuer.count(), count, "after {after} s");
    }
    let refused = get(179).await;
    assert_eq!(refused.authorization(), "Bearer t1");
    cached.invalidate(&refused).await;
    assert_eq!(get(179).await.authorization(), "Bearer t2");
    cached.invalidate(&refused).await;
    assert_eq!(get(179).await.authorization(), "Bearer t2");
    assert!(issuer.requests().iter().all(|request| request.connection == 0), "the connection is kept");
}

/// Scenario: responses without a lifetime. Guarantees: the token is used for less than a minute.
#[tokio::test]
async fn tokens_without_a_lifetime() {
    let issuer = MockServer::start(|_| ok(json!({"access_token": "t"}))).await;
    let cached = CachedToken::new(client(settings(issuer.url("/"))));
    let start = Instant::now();
    for (after, count) in [(0, 1), (44, 1), (45, 2)] {
        cached.get(start + Duration::from_secs(after)).await.expect("a token");
        assert_eq!(issuer.count(), count, "after {after} s");
    }
}

/// Scenario: endpoints that refuse, that are not listening, and that do not respond in time.
/// Guarantees: the error says where and why, and has no secret.
#[tokio::test]
async fn says_why_there_is_no_token() {
    let body = json!({"error": "invalid_client", "error_description": "no such client"}).to_string();
    let issuer = MockServer::start(move |_| (400, vec![], body.clone())).await;
    let error = client(settings(issuer.url("/t"))).fetch().await.expect_err("refused").to_string();
    let expected = "it answers 400 Bad Request: invalid_client: no such client";
    assert_eq!(error, format!("no token from {}: {expected}", issuer.url("/t")));

    let error = client(settings("http://127.0.0.1:1/".into())).fetch().await.expect_err("nobody").to_string();
    let expected = "no token from http://127.0.0.1:1/: cannot connect to 127.0.0.1:1: ";
    assert!(error.starts_with(expected) && !error.contains("s3:cret"), "{error}");

    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let mut settings = settings(format!("http://{}/", silent.local_addr().expect("an address")));
    settings.transport.timeout = Duration::from_millis(50);
    let error = client(settings).fetch().await.expect_err("no answer").to_string();
    assert!(error.ends_with("no answer within 50 ms"), "{error}");
}

/// Scenario: settings without a member that the grant or the authentication requires, and invalid settings.
/// Guarantees: each is refused when the client is created, with the name of the setting.
#[test]
fn unusable_settings() {
    fn refusal(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = settings("https://id/".into());
        change(&mut settings);
        open(settings).err().expect("refused").to_string()
    }
    let some = |text: &str| Some(text.to_owned());
    for (error, expected) in [
        (refusal(|it| it.client_id = None), "client_id: missing; set it, or"),
        (refusal(|it| it.client_secret = some("")), "client_secret: missing; set it, or"),
        (
            refusal(|it| it.grant = Grant::Password { username: String::new(), password: "p".into() }),
            "username: missing; the grant type password needs it",
        ),
        (refusal(|it| it.token_endpoint = "id".into()), "token_endpoint: must begin with http:// or https://"),
        (refusal(|it| it.transport.https_proxy = some("socks5://p")), "https_proxy: must begin with http://"),
        (
            refusal(|it| it.transport.https_proxy = some("https://p")),
            "https_proxy: a proxy that speaks TLS is not supported; give an http:// URL",
        ),
        (
            refusal(|it| {
                it.transport.https_proxy = some("http://p");
                it.transport.https_proxy_authorization = some("a\nb");
            }),
            "https_proxy_authorization: contains characters",
        ),
        (
            refusal(|it| it.token_headers = [("a b".to_owned(), "c".to_owned())].into()),
            "token_headers: \"a b\" is not a header name",
        ),
        (
            refusal(|it| it.token_headers = [("a".to_owned(), "secret\n".to_owned())].into()),
            "token_headers: the value of \"a\" contains characters",
        ),
    ] {
        assert!(error.starts_with(expected) && !error.contains("secret\n"), "{error}\nlacks {expected}");
    }
}
