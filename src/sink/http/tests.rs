use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::{Config, open};
use crate::sink::requests::{excerpt, retry_after};
use crate::sink::{ConfigError, FailureKind, SendError, Sent, Sink, SinkShared};

mod peer;

use peer::{Peer, Reply};

fn endpoint(config: Value) -> Result<Endpoint, Vec<ConfigError>> {
    Endpoint::new(&serde_json::from_value::<Config>(config).expect("fits").endpoint())
}

/// Scenario: endpoints with credentials, ports, IPv6 addresses, a query, and no path.
/// Guarantees: credentials are decoded and moved from the URL into a header; the rest is unchanged; a configured header
/// takes precedence; messages show neither credentials nor query.
#[test]
fn targets() {
    for (url, sent, basic, seen) in [
        ("http://h", "http://h/", None, "http://h/"),
        ("http://h:80/a%20b?k=s3cr3t#x", "http://h:80/a%20b?k=s3cr3t", None, "http://h:80/a%20b"),
        ("HTTPS://[::1]:8443?x", "https://[::1]:8443/?x", None, "https://[::1]:8443/"),
        ("http://u:p%40%3a@h/l", "http://h/l", Some("Basic dTpwQDo="), "http://h/l"),
        ("http://t%zz@h/l", "http://h/l", Some("Basic dCV6eg=="), "http://h/l"),
    ] {
        let endpoint = endpoint(json!({"http_endpoint": url})).expect(url);
        let request = endpoint.request(Bytes::from("{}"));
        assert_eq!((request.uri().to_string(), endpoint.address.as_str()), (sent.to_owned(), seen), "{url}");
        assert_eq!(request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes), basic.map(str::as_bytes), "{url}");
        assert_eq!(request.headers()[USER_AGENT], concat!("logphase/", env!("CARGO_PKG_VERSION")));
    }
    let headers = json!({"user-agent": "me", "X-Key": "\u{e9}"});
    let endpoint = endpoint(json!({"http_endpoint": "http://h", "method": "PUT", "headers": headers})).expect("sound");
    let request = endpoint.request(Bytes::new());
    assert_eq!((request.method().as_str(), &request.headers()[USER_AGENT]), ("PUT", &HeaderValue::from_static("me")));
    assert_eq!(request.headers()["x-key"].as_bytes(), "\u{e9}".as_bytes());
}

/// Scenario: invalid endpoints, headers and certificates, one by one and all at once.
/// Guarantees: the sink does not open; the errors name each field and contain no password.
#[test]
fn unusable_configurations_are_refused() {
    let certificate = |cert: &str, key: &str| json!({"http_endpoint": "https://h", "ssl_verify": false, "certificate": {"cert": cert, "key": key}});
    let made = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("made");
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("made").signing_key.serialize_pem();
    let refused = |config: &Value| {
        let errors = open(config, &SinkShared::new(None)).err().expect("refused");
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (config, expected) in [
        (json!({"http_endpoint": "{vault://env/url}"}), "http_endpoint: a vault reference"),
        (json!({"http_endpoint": "ftp://u:s3cr3t@h"}), "http_endpoint: must begin with http://"),
        (json!({"http_endpoint": "http://u:s3cr3t@h/a b"}), "http_endpoint: not a URL"),
        (json!({"http_endpoint": "http://u:s3cr3t@h:port/"}), "http_endpoint: not a URL"),
        (json!({"http_endpoint": "http://h", "headers": {"K": "{vault://env/k}"}}), "headers.K: a vault reference"),
        (json!({"http_endpoint": "http://h", "headers": {"K": "s3cr3t\n"}}), "headers.K: has characters"),
        (certificate("", &key), "client_certificate: `cert` of the client certificate has no certificate in it"),
        (
            certificate(&cert, "s3cr3t"),
            "client_certificate: `key` of the client certificate is not a private key in PEM",
        ),
        (certificate(&cert, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "is encrypted; give it decrypted"),
        (certificate(&cert, &other), "client_certificate: the client certificate cannot be used"),
    ] {
        let texts = refused(&config);
        assert!(texts.len() == 1 && texts[0].contains(expected) && !texts[0].contains("s3cr3t"), "{texts:?}");
    }
    assert!(open(&certificate(&cert, &key), &SinkShared::new(None)).is_ok());
    let mut all = certificate("", "");
    all["http_endpoint"] = json!("ftp://h");
    all["headers"] = json!({"K": "\n"});
    let texts = refused(&all);
    let fields: Vec<_> = texts.iter().map(|text| text.split(':').next().unwrap_or_default()).collect();
    assert_eq!(fields, ["http_endpoint", "headers.K", "client_certificate"]);
}

/// Scenario: `Retry-After` as seconds, as a date and as neither.
/// Guarantees: the duration from now, or none; nothing overflows.
#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    for (value, seconds) in [
        ("7", Some(7)),
        ("0", Some(0)),
        ("99999999999999999999999", Some(u64::from(u32::MAX))),
        ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
        ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
        ("-1", None),
        ("soon", None),
        ("", None),
    ] {
        let headers = HeaderMap::from_iter([(hyper::header::RETRY_AFTER, HeaderValue::from_static(value))]);
        assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{value}");
    }
}

/// Scenario: responses of several lines, with control characters, and long ones.
/// Guarantees: messages show one escaped line of at most 200 bytes.
#[test]
fn responses_are_shown_on_one_line() {
    assert_eq!(excerpt(b"<html>\r\n  no \x1b[31m\xff\n"), "<html> no \\u{1b}[31m\u{fffd}");
    assert_eq!(excerpt(&[b'x'; 300]).len(), 200);
}

fn entries(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from(format!("\"{text}\""))).collect()
}

fn sink(peer: &Peer, more: Value) -> Box<dyn Sink> {
    let mut config = json!({"http_endpoint": format!("http://127.0.0.1:{}/log", peer.port), "timeout": 2000});
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    open(&config, &SinkShared::new(None)).expect("opens")
}

/// Delivers like the dispatcher; returns the rejected entries and the number of retries.
async fn deliver(sink: &mut dyn Sink, mut entries: Vec<Bytes>) -> (Vec<Bytes>, usize) {
    let (mut refused, mut failures) = (Vec::new(), 0);
    let mut send = true;
    while !entries.is_empty() {
        let result = if send { sink.send(&entries).await } else { sink.settle().await };
        send = false;
        match result {
            Ok(Sent { settled, .. }) => drop(entries.drain(..settled)),
            Err(SendError { delivered, kind, .. }) => {
                send = true;
                entries.drain(..delivered);
                match kind {
                    FailureKind::Retryable => failures += 1,
                    _ => refused.push(entries.remove(0)),
                }
            }
        }
    }
    (refused, failures)
}

/// Scenario: batches of 100 to a server that rejects batches with one of two bad messages; the same with a server that
/// accepts small bodies only, and one message that is larger.
/// Guarantees: all other messages arrive once and in order; only the bad ones are rejected; the number of requests is
/// small.
#[tokio::test]
async fn one_bad_message_affects_no_other() {
    let texts: Vec<String> =
        (0..100).map(|at| if at == 17 || at == 63 { format!("bad{at}") } else { format!("m{at}") }).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let peer = Peer::start(|_, body| {
        let bad = String::from_utf8_lossy(body).contains("bad");
        Reply::status(if bad { 422 } else { 200 })
    })
    .await;
    let (refused, _) = deliver(&mut *sink(&peer, json!({"array": true})), entries(&texts)).await;
    assert_eq!(refused, entries(&["bad17", "bad63"]));
    let good: Vec<&str> = texts.iter().copied().filter(|text| !text.starts_with("bad")).collect();
    assert_eq!(peer.taken_messages(), good);
    assert!(peer.requests().len() < 50, "{}", peer.requests().len());

    let large = "x".repeat(500);
    let peer = Peer::start(|_, body| Reply::status(if body.len() > 400 { 413 } else { 200 })).await;
    let mut texts: Vec<&str> = texts.iter().map(|text| &text[text.len() - 1..]).collect();
    texts[40] = &large;
    let (refused, _) = deliver(&mut *sink(&peer, json!({"array": true})), entries(&texts)).await;
    assert_eq!(refused, entries(&[&large]));
    texts.remove(40);
    assert_eq!(peer.taken_messages(), texts);
    assert!(peer.requests().len() < 20, "{}", peer.requests().len());
}

/// Scenario: a batch whose array is one byte too large for a server with nginx's default limit.
/// Guarantees: it is sent as two requests, and none is rejected.
#[tokio::test]
async fn arrays_stay_below_common_server_limits() {
    let peer = Peer::start(|_, body| Reply::status(if body.len() > 1 << 20 { 413 } else { 200 })).await;
    let half = "x".repeat((1 << 19) - 3);
    let last = "x".repeat((1 << 19) - 4);
    assert_eq!(deliver(&mut *sink(&peer, json!({"array": true})), entries(&[&half, &last])).await, (vec![], 0));
    assert_eq!(deliver(&mut *sink(&peer, json!({"array": true})), entries(&[&half, &half])).await, (vec![], 0));
    let sizes: Vec<_> = peer.requests().iter().map(|request| request.body.len()).collect();
    assert_eq!(sizes, [1 << 20, (1 << 19) + 1, (1 << 19) + 1]);
}

/// Scenario: single messages; a batch of one message with `array`; a batch without it.
/// Guarantees: the body is an object without `array`, and an array with it, also for one message.
#[tokio::test]
async fn bodies() {
    let peer = Peer::start(|_, _| Reply::status(204)).await;
    deliver(&mut *sink(&peer, json!({})), entries(&["a", "b"])).await;
    deliver(&mut *sink(&peer, json!({"array": true})), entries(&["c"])).await;
    deliver(&mut *sink(&peer, json!({"array": true})), entries(&["d", "e"])).await;
    let bodies: Vec<_> = peer.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [&b"\"a\""[..], b"\"b\"", b"[\"c\"]", b"[\"d\",\"e\"]"]);
    let head = &peer.requests()[0].head;
    let host = format!("host: 127.0.0.1:{}", peer.port);
    for line in ["POST /log HTTP/1.1", "content-length: 3", "content-type: application/json", &host] {
        assert!(head.to_lowercase().contains(&line.to_lowercase()), "{line} is not in {head}");
    }
}

/// Scenario: a server that closes its connection silently after each response, and one that resets it after reading the
/// second request.
/// Guarantees: every message arrives, and no failure is reported.
#[tokio::test]
async fn stale_connections() {
    let peer = Peer::start(|_, _| Reply { close: true, ..Reply::status(200) }).await;
    let mut closing = sink(&peer, json!({}));
    for at in 0..20 {
        assert_eq!(deliver(&mut *closing, entries(&[&at.to_string()])).await, (vec![], 0));
    }
    assert_eq!(peer.taken_messages().len(), 20);
    let peer = Peer::start(|number, _| Reply { cut: number == 1, ..Reply::status(200) }).await;
    let mut cut = sink(&peer, json!({}));
    for text in ["a", "b", "c"] {
        assert_eq!(deliver(&mut *cut, entries(&[text])).await, (vec![], 0));
    }
    assert_eq!((peer.taken_messages(), peer.connections()), (vec!["a".into(), "b".into(), "c".into()], 2));
}

/// Scenario: `keepalive` with its default, and 0.
/// Guarantees: one connection for all requests, and one per request.
#[tokio::test]
async fn connections_are_kept() {
    for (keepalive, expected) in [(60_000, 1), (0, 3)] {
        let peer = Peer::start(|_, _| Reply::status(200)).await;
        let mut sink = sink(&peer, json!({"keepalive": keepalive}));
        for text in ["a", "b", "c"] {
            deliver(&mut *sink, entries(&[text])).await;
        }
        assert_eq!(peer.connections(), expected);
    }
}

/// Scenario: a `keepalive` of 100 ms, a message, an idle time, another message.
/// Guarantees: the idle connection is closed, and the next message uses a new one.
#[tokio::test]
async fn idle_connections_are_closed() {
    let peer = Peer::start(|_, _| Reply::status(200)).await;
    let mut sink = sink(&peer, json!({"keepalive": 100}));
    deliver(&mut *sink, entries(&["a"])).await;
    tokio::time::timeout(Duration::from_secs(30), peer.all_closed()).await.expect("closed in time");
    deliver(&mut *sink, entries(&["b"])).await;
    assert_eq!((peer.connections(), peer.taken_messages().len()), (2, 2));
}

/// Scenario: unlimited concurrency; a server that responds only after 30 requests have arrived, then rejects one
/// message and fails twice for another.
/// Guarantees: messages are sent concurrently; each is delivered once; the rejected one is identified.
#[tokio::test]
async fn requests_are_concurrent() {
    let barrier = Arc::new(tokio::sync::Barrier::new(30));
    let fails = Arc::new(std::sync::atomic::AtomicUsize::new(2));
    let peer = Peer::start(move |number, body| {
        let text = String::from_utf8_lossy(body);
        let again = || fails.fetch_update(Acquire, Acquire, |left| left.checked_sub(1)).is_ok();
        let status = match () {
            () if text.contains("bad") => 400,
            () if text.contains("m12\"") && again() => 500,
            () => 200,
        };
        Reply { wait_for: (number < 30).then(|| barrier.clone()), ..Reply::status(status) }
    })
    .await;
    let texts: Vec<String> = (0..200).map(|at| if at == 70 { "bad".to_owned() } else { format!("m{at}") }).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (refused, failures) = deliver(&mut *sink(&peer, json!({"parallel": true})), entries(&texts)).await;
    assert_eq!((refused, failures), (entries(&["bad"]), 2));
    let mut taken = peer.taken_messages();
    taken.sort_unstable();
    let mut expected: Vec<&str> = texts.iter().copied().filter(|text| *text != "bad").collect();
    expected.sort_unstable();
    assert_eq!(taken, expected);
    assert!((30..=64).contains(&peer.connections()), "{}", peer.connections());
}

/// Scenario: a body that the server reads slowly, each piece within `timeout` but not the whole; then a server that
/// never responds.
/// Guarantees: the first is delivered; the second fails after `timeout` with an error that says so.
#[tokio::test]
async fn the_timeout_limits_time_without_progress() {
    let peer = Peer::start_slow(Duration::from_millis(100), 1 << 20).await;
    let large = "x".repeat(24 << 20);
    let started = std::time::Instant::now();
    assert_eq!(deliver(&mut *sink(&peer, json!({"timeout": 1500})), entries(&[&large])).await, (vec![], 0));
    assert!(started.elapsed() > Duration::from_millis(1500), "it was not slow");
    let peer = Peer::start(|_, _| Reply { silent: true, ..Reply::status(200) }).await;
    let error = sink(&peer, json!({"timeout": 50})).send(&entries(&["a"])).await.expect_err("no answer");
    assert!(error.message.contains("no answer within config.timeout (50 ms)"), "{}", error.message);
    assert_eq!((error.delivered, error.kind), (0, FailureKind::Retryable));
}

/// Scenario: a success response whose body is too large to hold in memory, and one whose body ends early.
/// Guarantees: the status determines the result.
#[tokio::test]
async fn the_status_determines_the_result() {
    let peer = Peer::start(|_, _| Reply { length: 6 << 20, ..Reply::status(200) }).await;
    assert_eq!(deliver(&mut *sink(&peer, json!({})), entries(&["a", "b"])).await, (vec![], 0));
    let peer = Peer::start(|_, _| Reply { length: 100, broken_off: true, ..Reply::status(201) }).await;
    assert_eq!(deliver(&mut *sink(&peer, json!({})), entries(&["a", "b"])).await, (vec![], 0));
    assert_eq!(peer.taken_messages().len(), 2);
}
