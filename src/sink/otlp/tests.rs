//! What is sent over each protocol, what answers mean, and what becomes of any message.

mod peer;
mod records;

use bytes::Bytes;
use serde_json::json;

use self::peer::{Answer, Peer};
use super::*;
use crate::sink::{FailureKind, SendError, Sent};
use logphase_net::testing::own_port;
use logphase_protocol::otlp::message::PartialSuccess;

const TRANSACTION: &str = include_str!("../../../examples/transaction.json");

/// A sink for `peer`; `more` are members of its configuration.
fn sink(peer: &Peer, protocol: &str, more: &Value) -> Box<dyn Sink> {
    sink_for(peer.port, protocol, more)
}

fn sink_for(port: u16, protocol: &str, more: &Value) -> Box<dyn Sink> {
    let path = if protocol == "grpc" { "" } else { "/v1/logs" };
    let mut config = json!({
        "access_logs": {"endpoint": format!("http://user:word@127.0.0.1:{port}{path}")},
        "protocol": protocol,
        "connect_timeout": 30_000, "send_timeout": 30_000, "read_timeout": 30_000,
        "headers": {"x-tenant": "shop"},
    });
    let members = more.as_object().cloned().unwrap_or_default();
    config.as_object_mut().unwrap().extend(members);
    open(&config, &SinkShared::new(None)).unwrap()
}

fn entry(path: &str) -> Bytes {
    json!({"request": {"method": "GET", "uri": path}, "response": {"status": 200}}).to_string().into()
}

async fn send(sink: &mut dyn Sink, entries: &[Bytes]) -> Result<Sent, SendError> {
    sink.send(entries).await
}

const PROTOCOLS: [&str; 3] = ["grpc", "http/protobuf", "http/json"];

/// Scenario: two messages over each protocol, plain and compressed.
/// Guarantees: one request has both, at the path and with the content type of the protocol, the headers of the configuration
/// and the credentials of the URL; its records are the same over each protocol.
#[tokio::test]
async fn each_protocol() {
    let peer = Peer::start(|_, _| Answer::default()).await;
    for protocol in PROTOCOLS {
        for compression in ["none", "gzip"] {
            let mut sink = sink(&peer, protocol, &json!({"compression": compression}));
            let sent = send(&mut *sink, &[entry("/a"), entry("/b?c=d")]).await.unwrap();
            assert_eq!(sent, Sent::settled(2), "{protocol} {compression}");
        }
    }
    let requests = peer.requests();
    assert_eq!(requests.len(), 6);
    for (request, protocol) in requests.iter().zip(["grpc", "grpc", "http/protobuf", "http/protobuf", "json", "json"]) {
        let (path, kind) = match protocol {
            "grpc" => (logphase_protocol::otlp::METHOD, "application/grpc"),
            "json" => ("/v1/logs", "application/json"),
            _ => ("/v1/logs", "application/x-protobuf"),
        };
        assert_eq!((&*request.path, request.header("content-type")), (path, kind));
        assert_eq!((request.header("x-tenant"), request.header("authorization")), ("shop", "Basic dXNlcjp3b3Jk"));
        assert_eq!(request.records(), requests[0].records(), "{protocol}");
    }
    let records = requests[0].records();
    let bodies: Vec<_> = records.iter().map(|record| record["body"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bodies, ["GET /a 200", "GET /b 200"]);
    assert_eq!(records[1]["attributes"]["url.query"], "c=d");
    assert_eq!(records[0]["resource"], json!({"service.name": "kong"}));
}

/// Scenario: answers of HTTP, one by one.
/// Guarantees: those that OTLP calls retryable, and those that refuse the sender, are retried, with the pause that they ask
/// for; all others are permanent. The message has the status, what the receiver says, and what to do.
#[tokio::test]
async fn answers_of_http() {
    use FailureKind::{Permanent, Retryable};
    for (status, kind, text) in [
        (301, Retryable, "redirections are not followed: correct config.access_logs.endpoint"),
        (400, Permanent, "answers 400 Bad Request (no)"),
        (401, Retryable, "see config.headers"),
        (403, Retryable, "see config.headers"),
        (404, Retryable, "see config.access_logs.endpoint and config.protocol"),
        (408, Retryable, "answers 408"),
        (413, Permanent, "raise its limit"),
        (415, Permanent, "see config.protocol and config.compression"),
        (422, Permanent, "answers 422"),
        (429, Retryable, "answers 429 Too Many Requests (no)"),
        (500, Permanent, "answers 500"),
        (501, Permanent, "answers 501"),
        (502, Retryable, "answers 502"),
        (503, Retryable, "answers 503"),
        (504, Retryable, "answers 504"),
    ] {
        let headers = vec![("retry-after", "7".to_owned())];
        let peer = Peer::start(move |_, _| Answer {
            status,
            headers: headers.clone(),
            body: "no".into(),
            ..Answer::default()
        });
        let peer = peer.await;
        // Over gRPC, an answer without a status of gRPC is one of a proxy.
        for protocol in PROTOCOLS {
            let error = send(&mut *sink(&peer, protocol, &json!({})), &[entry("/")]).await.unwrap_err();
            assert_eq!((error.kind, error.delivered), (kind, 0), "{protocol} {status}");
            assert_eq!(error.retry_after, Some(Duration::from_secs(7)), "{protocol} {status}");
            assert!(error.message.contains(text), "{protocol}: {}", error.message);
            assert!(!error.message.contains("word"), "{}", error.message);
        }
    }
}

/// Scenario: statuses of gRPC, with the time of a retry and without.
/// Guarantees: OTLP's table decides; RESOURCE_EXHAUSTED is retried only if the receiver says when; a status in the headers
/// counts as one in the trailers; an answer without a status is not taken for success.
#[tokio::test]
async fn statuses_of_grpc() {
    for code in 1..=17 {
        for pause in [None, Some(Duration::from_millis(2500))] {
            for in_headers in [false, true] {
                let peer = Peer::start(move |_, _| Answer::grpc(code, "caf\u{e9} is full", pause, in_headers)).await;
                let error = send(&mut *sink(&peer, "grpc", &json!({})), &[entry("/")]).await.unwrap_err();
                let retried = matches!(code, 1 | 4 | 7 | 10 | 11 | 12 | 14 | 15 | 16) || code == 8 && pause.is_some();
                let kind = if retried { FailureKind::Retryable } else { FailureKind::Permanent };
                assert_eq!((error.kind, error.retry_after), (kind, pause), "{code}");
                assert!(error.message.contains("(caf\u{e9} is full)"), "{}", error.message);
            }
        }
    }
    let peer = Peer::start(|_, _| Answer { trailers: Vec::new(), ..Answer::default() }).await;
    let error = send(&mut *sink(&peer, "grpc", &json!({})), &[entry("/")]).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Retryable);
    assert!(error.message.contains("without a status"), "{}", error.message);
}

/// Scenario: a receiver that takes all but two of three records, one that warns only, and one that claims to refuse more than
/// it got; over each protocol, one request at a time and in parallel.
/// Guarantees: nothing is sent again; the records that were not taken are counted as lost, and the warning quotes the
/// receiver.
#[tokio::test]
async fn partial_success_is_counted() {
    for (rejected, message, lost, text) in [
        (2, "too old", 2, "has not taken 2 of 3 log records, which are not sent again: too old"),
        (0, "slow down", 0, "warns: slow down"),
        (99, "", 3, "has not taken 3 of 3"),
    ] {
        let partial = PartialSuccess { rejected_log_records: rejected, error_message: message.to_owned() };
        let peer = Peer::start(move |request, _| Answer::partial(request, &partial)).await;
        for protocol in PROTOCOLS {
            let before = peer.requests().len();
            let sent = send(&mut *sink(&peer, protocol, &json!({})), &[entry("/1"), entry("/2"), entry("/3")]).await;
            let Sent { settled, lost: counted, warning } = sent.unwrap();
            assert_eq!((settled, counted, peer.requests().len()), (3, lost, before + 1), "{protocol}");
            assert!(warning.as_deref().unwrap().contains(text), "{protocol}: {warning:?}");
        }
        let mut parallel = sink(&peer, "grpc", &json!({"parallel": true}));
        let (mut settled, mut counted) = (0, 0);
        let mut sent = send(&mut *parallel, &[entry("/1"), entry("/2"), entry("/3")]).await.unwrap();
        loop {
            (settled, counted) = (settled + sent.settled, counted + sent.lost);
            if settled == 3 {
                break;
            }
            sent = parallel.settle().await.unwrap();
        }
        assert_eq!(counted, 3 * u64::from(rejected > 0));
    }
}

/// Scenario: one of ten records is refused for good; over each protocol.
/// Guarantees: the nine others arrive, each once, and the error is about the one.
#[tokio::test]
async fn one_bad_record_affects_no_other() {
    let refuse = |request: &peer::Request, _: usize| {
        let bad = request.records().iter().any(|record| record["body"] == "GET /bad 200");
        match (bad, request.header("content-type")) {
            (false, _) => Answer::default(),
            (true, "application/grpc") => Answer::grpc(3, "bad", None, false),
            (true, _) => Answer { status: 400, ..Answer::default() },
        }
    };
    for protocol in PROTOCOLS {
        let peer = Peer::start(refuse).await;
        let mut sink = sink(&peer, protocol, &json!({}));
        let paths: Vec<_> = (0..10).map(|at| if at == 6 { "/bad".to_owned() } else { format!("/{at}") }).collect();
        let entries: Vec<_> = paths.iter().map(|path| entry(path)).collect();
        let error = send(&mut *sink, &entries).await.unwrap_err();
        assert_eq!((error.kind, error.delivered), (FailureKind::Permanent, 6), "{protocol}");
        assert_eq!(send(&mut *sink, &entries[7..]).await.unwrap().settled, 3);
        let taken: Vec<_> =
            peer.requests().iter().filter(|request| request.taken).flat_map(peer::Request::records).collect();
        let bodies: Vec<_> = taken.iter().map(|record| record["body"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<_> =
            paths.iter().filter(|path| *path != "/bad").map(|path| format!("GET {path} 200")).collect();
        assert_eq!(bodies, expected, "{protocol}");
    }
}

/// Scenario: a port without a receiver, and a receiver that never answers.
/// Guarantees: both are retryable; the messages name the address and the fields; the time for an answer is that of its own limit.
#[tokio::test]
async fn no_answer() {
    let port = own_port();
    let silent = Peer::start(|_, _| Answer { silent: true, ..Answer::default() }).await;
    for protocol in PROTOCOLS {
        let error = send(&mut *sink_for(port, protocol, &json!({})), &[entry("/")]).await.unwrap_err();
        let text = "connection refused; start the receiver or correct config.access_logs.endpoint";
        assert!(error.kind == FailureKind::Retryable && error.message.contains(text), "{}", error.message);
        let short = json!({"read_timeout": 50});
        let begun = std::time::Instant::now();
        let error = send(&mut *sink(&silent, protocol, &short), &[entry("/")]).await.unwrap_err();
        // The limits of the steps before, which are 60 seconds, do not delay it.
        assert!(begun.elapsed() < std::time::Duration::from_secs(25), "{:?}", begun.elapsed());
        let text = "no answer within config.read_timeout or config.send_timeout (50 ms)";
        assert!(error.kind == FailureKind::Retryable && error.message.contains(text), "{}", error.message);
    }
}

/// Scenario: records of a mesh over each protocol: a text and a map as body, resources that differ; an entry that is none.
/// Guarantees: the records have the time, body, attributes and resource of the entries, in their order; the last one is text.
#[tokio::test]
async fn entries_that_are_records() {
    let peer = Peer::start(|_, _| Answer::default()).await;
    let entry = |body: Value, zone: &str| {
        let attributes = json!({"status": "200"}).as_object().unwrap().clone();
        let resource = json!({"kuma.zone": zone}).as_object().unwrap().clone();
        LogEntry { time_unix_nano: 1_700_000_000_000_000_001, body, attributes, resource }.encode()
    };
    let entries = [entry(json!("a"), "east"), entry(json!({"k": ["v"]}), "west"), Bytes::from_static(b"none")];
    for protocol in PROTOCOLS {
        let config = json!({"endpoint": format!("http://127.0.0.1:{}", peer.port), "protocol": protocol});
        let mut sink = open_entries(&config, &SinkShared::new(None)).unwrap();
        assert_eq!(send(&mut *sink, &entries).await.unwrap(), Sent::settled(3));
        let records = peer.requests().last().unwrap().records();
        assert_eq!(records[0]["time_unix_nano"], 1_700_000_000_000_000_001_u64);
        assert_eq!((&records[0]["body"], &records[1]["body"]), (&json!("a"), &json!({"k": ["v"]})));
        assert_eq!(records[1]["attributes"], json!({"status": "200"}));
        let zones: Vec<_> = records.iter().map(|record| record["resource"].clone()).collect();
        assert_eq!(json!(zones), json!([{"kuma.zone": "east"}, {"kuma.zone": "west"}, {}]));
        assert_eq!(records[2]["body"], "none");
    }
    let refused = open_entries(&json!({"endpoint": "http://h/path"}), &SinkShared::new(None)).err().unwrap();
    assert_eq!(refused[0].field, "endpoint");
}
