//! Requests of OpenTelemetry's logs: both protocols and encodings, answers, limits, full queues, stopping.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full};
use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use logphase_protocol::otlp::{METHOD, PATH};
use logphase_protocol::rpc::Status;
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::*;
use crate::decode::mapping::Mappings;
use crate::input::tests::harness::{Behavior, Harness, any_port, field, framed, hostile, transaction, wait_until};
use crate::input::{Limits, Reason};
use crate::phase::IntakeError;

fn settings() -> Settings {
    Settings {
        listen: any_port(),
        max_connections: 1000,
        idle_timeout: Duration::from_secs(3600),
        auth: Auth::default(),
        tls: Tls::default(),
        proxy_protocol: Vec::new(),
        per_peer: PerPeer::default(),
        min_rate: 1,
        allowed_hosts: Vec::new(),
        mapping: "kong".to_owned(),
        match_routes: None,
    }
}

fn limits() -> Limits {
    Limits {
        max_body_bytes: 1 << 20,
        max_unfinished_bytes: 32 << 20,
        max_transaction_bytes: 10_000,
        max_depth: 64,
        max_members: 10_000,
    }
}

fn otlp(settings: Settings) -> Otlp {
    Otlp::new(
        settings,
        Shared { limits: &limits(), mappings: &Mappings::default(), data_dir: std::path::Path::new("") },
    )
    .unwrap()
}

fn start() -> Harness {
    Harness::start(otlp(settings()))
}

/// A request in protobuf whose records have these bodies, which are `AnyValue`.
fn protobuf(bodies: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let records: Vec<u8> = bodies.into_iter().flat_map(|body| field(2, &field(5, &body))).collect();
    field(1, &field(2, &records))
}

/// The same with texts.
fn texts(texts: impl IntoIterator<Item = String>) -> Vec<u8> {
    protobuf(texts.into_iter().map(|text| field(1, text.as_bytes())))
}

fn json_request(texts: impl IntoIterator<Item = String>) -> Vec<u8> {
    let records: Vec<Value> = texts.into_iter().map(|text| json!({"body": {"stringValue": text}})).collect();
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).to_string().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An answer: the status of HTTP, headers with trailers, and the body.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status of gRPC.
    fn grpc(&self) -> &str {
        assert_eq!((self.status, self.header("content-type")), (200, "application/grpc"));
        self.header("grpc-status")
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Number and message of the records that were left out.
    fn partial(&self) -> (u64, String) {
        let partial = &self.json()["partialSuccess"];
        let text = |name: &str| partial[name].as_str().unwrap().to_owned();
        (text("rejectedLogRecords").parse().unwrap(), text("errorMessage"))
    }
}

async fn send(harness: &Harness, http2: bool, request: Request<Full<Bytes>>) -> Answer {
    let io = TokioIo::new(TcpStream::connect(harness.inet()).await.unwrap());
    let response = if http2 {
        let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        client.send_request(request).await
    } else {
        let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        client.send_request(request).await
    };
    let (head, body) = response.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let mut headers = head.headers;
    headers.extend(body.trailers().cloned().unwrap_or_default());
    Answer { status: head.status.as_u16(), headers, body: body.to_bytes() }
}

/// A request with these headers.
fn request(harness: &Harness, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::post(format!("http://{}{path}", harness.inet())).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

async fn call(harness: &Harness, message: &[u8]) -> Answer {
    send(harness, true, request(harness, METHOD, &[GRPC, ("te", "trailers")], framed(message))).await
}

async fn post(harness: &Harness, content_type: (&str, &str), body: impl Into<Bytes>) -> Answer {
    send(harness, false, request(harness, PATH, &[content_type], body)).await
}

/// Scenario: the same records over gRPC and HTTP, in protobuf and JSON, plain and compressed; bodies that are a string, a map
/// and bytes; requests without records.
/// Guarantees: each arrives once and in order, and the answers are those of the protocol: empty messages of the request's type.
#[tokio::test]
async fn both_protocols() {
    let harness = start();
    let records: Vec<String> = (0..3).map(transaction).collect();
    let message = texts(records.clone());
    let answer = call(&harness, &message).await;
    assert_eq!((answer.grpc(), &answer.body[..]), ("0", &[0; 5][..]));
    let compressed = gzip(&message);
    let mut compressed = framed(&compressed);
    compressed[0] = 1;
    let headers = [GRPC, ("grpc-encoding", "gzip")];
    assert_eq!(send(&harness, true, request(&harness, METHOD, &headers, compressed)).await.grpc(), "0");
    for http2 in [false, true] {
        for encoded in [&[PROTOBUF][..], &[PROTOBUF, ("content-encoding", "gzip")]] {
            let body = if encoded.len() > 1 { gzip(&message) } else { message.clone() };
            let answer = send(&harness, http2, request(&harness, PATH, encoded, body)).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-protobuf"));
            assert!(answer.body.is_empty());
        }
    }
    assert_eq!(post(&harness, JSON, json_request(records.clone())).await.json(), json!({}));
    let taken = harness.worker().taken();
    assert_eq!(taken, records.iter().cycle().take(21).cloned().collect::<Vec<_>>());
    let map = field(6, &field(1, &[field(1, b"i"), field(2, &field(1, b"text"))].concat()));
    let answer = call(&harness, &protobuf([map, field(7, b"{\"a\":1}")])).await;
    assert_eq!(answer.grpc(), "0");
    assert_eq!(harness.worker().taken()[21..], [r#"{"i":"text"}"#, r#"{"a":1}"#]);
    assert_eq!(call(&harness, &[]).await.grpc(), "0");
    assert_eq!(post(&harness, PROTOBUF, "").await.status, 200);
    assert_eq!(post(&harness, JSON, "{}").await.json(), json!({}));
    assert_eq!((harness.counters().received(), harness.counters().rejected_total()), (23, 0));
}

/// Scenario: records that are no transactions, and one that is too large, among good ones; only such records.
/// Guarantees: the good ones are taken; the answer is a success that tells the number of the others, and of the first its
/// place and what is wrong; each is counted by its reason.
#[tokio::test]
async fn partial_success() {
    let harness = start();
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(10_000));
    let records = [transaction(0), "no JSON".to_owned(), large, transaction(1), "[]".to_owned()];
    let answer = post(&harness, JSON, json_request(records.clone())).await;
    let (rejected, why) = answer.partial();
    assert_eq!((answer.status, rejected), (200, 3));
    assert!(why.contains("record 1, from 0"), "{why}");
    let answer = post(&harness, PROTOBUF, texts(records.clone())).await;
    assert_eq!(answer.status, 200);
    assert!(String::from_utf8_lossy(&answer.body).contains("record 1, from 0"));
    let answer = call(&harness, &texts(records)).await;
    assert_eq!(answer.grpc(), "0");
    // The field `partial_success`, and in it `rejected_log_records`.
    assert_eq!((answer.body[5], &answer.body[7..9]), (0x0a, &[0x08, 3][..]));
    assert_eq!(harness.worker().taken(), [0, 1, 0, 1, 0, 1].map(transaction));
    assert_eq!(harness.counters().rejected(Reason::Malformed), 6);
    assert_eq!(harness.counters().rejected(Reason::TooLarge), 3);
    let (rejected, why) = post(&harness, JSON, json_request(["x".to_owned()])).await.partial();
    assert_eq!(rejected, 1);
    assert!(why.starts_with("1 log records were not taken"), "{why}");
    let no_body = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{"body":{"intValue":1}}]}]}]}"#;
    let (rejected, why) = post(&harness, JSON, &no_body[..]).await.partial();
    assert_eq!(rejected, 2);
    assert!(why.contains("no body"), "{why}");
}

/// Scenario: the queues are full, fail, are too small for the request, and the service stops, over each protocol.
/// Guarantees: nothing is taken; what may pass is answered so that clients try again, and tells when; the rest is not.
#[tokio::test]
async fn refusals_by_the_queues() {
    let plugin = || "file-log".to_owned();
    let full = IntakeError::Full { plugin: plugin(), bound: logphase_queue::Bound::MaxEntries };
    let cases = [
        (full, "14", 429, true),
        (IntakeError::Failing { plugin: plugin() }, "14", 503, true),
        (IntakeError::TooMany { plugin: plugin(), transactions: 9 }, "8", 413, false),
        (IntakeError::ShuttingDown, "14", 503, true),
    ];
    for (refusal, code, status, retry) in cases {
        let harness = start();
        harness.worker().set(Behavior::Refuse(refusal));
        let answer = call(&harness, &texts([transaction(1)])).await;
        assert_eq!(answer.grpc(), code);
        assert!(!answer.header("grpc-message").is_empty());
        assert_eq!(answer.headers.contains_key("grpc-status-details-bin"), retry);
        assert_eq!(answer.headers.contains_key("google.rpc.retryinfo-bin"), retry);
        let answer = post(&harness, PROTOBUF, texts([transaction(1)])).await;
        assert_eq!((answer.status, answer.headers.contains_key(RETRY_AFTER)), (status, retry));
        let message = Status::decode(answer.body.clone()).unwrap();
        assert_eq!((message.code.to_string(), message.message.is_empty()), (code.to_owned(), false));
        let answer = post(&harness, JSON, json_request([transaction(1)])).await;
        assert_eq!((answer.status, answer.json()["code"].to_string().as_str()), (status, code));
        assert!(harness.worker().taken().is_empty());
    }
}

/// Scenario: bodies that are no requests, not of their encoding, not whole, or larger than the limit, compressed ones too.
/// Guarantees: each has the status of its protocol, and is counted by its reason.
#[tokio::test]
async fn refused_requests() {
    let harness = start();
    let large = vec![b' '; 2 << 20];
    for (body, code) in [
        (framed(b"\xff"), "3"),
        (framed(b"\x0a\x05"), "3"),
        (vec![0, 0, 0, 0], "3"),
        ([framed(b""), framed(b"")].concat(), "3"),
        (vec![1, 0, 0, 0, 0], "3"),
        (framed(&large), "8"),
    ] {
        let answer = send(&harness, true, request(&harness, METHOD, &[GRPC], body)).await;
        assert_eq!(answer.grpc(), code);
    }
    let bomb = gzip(&large);
    let mut framed_bomb = framed(&bomb);
    framed_bomb[0] = 1;
    let headers = [GRPC, ("grpc-encoding", "gzip")];
    assert_eq!(send(&harness, true, request(&harness, METHOD, &headers, framed_bomb)).await.grpc(), "8");
    let headers = [GRPC, ("grpc-encoding", "snappy")];
    assert_eq!(send(&harness, true, request(&harness, METHOD, &headers, framed(b""))).await.grpc(), "12");
    for (content_type, encoding, body, status) in [
        (PROTOBUF, "", b"\xff".to_vec(), 400),
        (JSON, "", b"[]".to_vec(), 400),
        (JSON, "", b"{\"resourceLogs\":[1]}".to_vec(), 400),
        (JSON, "", b"\xff".to_vec(), 400),
        (JSON, "gzip", b"{}".to_vec(), 400),
        (JSON, "gzip", bomb.clone(), 413),
        (JSON, "", large.clone(), 413),
        (JSON, "br", b"{}".to_vec(), 415),
        (("content-type", "text/plain"), "", b"{}".to_vec(), 415),
    ] {
        let answer =
            send(&harness, false, request(&harness, PATH, &[content_type, ("content-encoding", encoding)], body));
        let answer = answer.await;
        assert_eq!(answer.status, status, "{content_type:?} {encoding}");
        let text = if content_type == PROTOBUF {
            Status::decode(answer.body.clone()).unwrap().message
        } else {
            answer.json()["message"].as_str().unwrap().to_owned()
        };
        assert!(text.contains("; "), "what is wrong and what to do: {text}");
    }
    assert!(harness.worker().taken().is_empty());
    assert_eq!(harness.counters().rejected(Reason::TooLarge), 4);
    assert_eq!(harness.counters().rejected(Reason::Unsupported), 3);
}

/// Scenario: other paths, methods and services; a page of the web; a name that is not this machine's; gRPC over HTTP/1.1.
/// Guarantees: each has its status, in the protocol of the request.
#[tokio::test]
async fn other_requests() {
    let harness = start();
    let traces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert_eq!(send(&harness, true, request(&harness, traces, &[GRPC], framed(b""))).await.grpc(), "12");
    let http = |path: &'static str, headers: &'static [(&str, &str)]| {
        let request = request(&harness, path, headers, "{}");
        let harness = &harness;
        async move { send(harness, false, request).await.status }
    };
    assert_eq!(http("/v1/traces", &[JSON]).await, 404);
    assert_eq!(http(PATH, &[GRPC]).await, 404);
    assert_eq!(http(PATH, &[JSON, ("origin", "http://evil.example")]).await, 403);
    let mut get = request(&harness, PATH, &[JSON], "");
    *get.method_mut() = Method::GET;
    let answer = send(&harness, false, get).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    let mut foreign = request(&harness, PATH, &[JSON], "{}");
    *foreign.uri_mut() = PATH.parse().unwrap();
    foreign.headers_mut().insert("host", "logs.example.com".parse().unwrap());
    assert_eq!(send(&harness, false, foreign).await.status, 421);
    assert_eq!(harness.counters().rejected(Reason::Unsupported), 6);
}

/// Scenario: a small request with a large resource that each of its many records would hold; records that are as small as
/// they can be, as many as fit.
/// Guarantees: neither uses more memory or work than a few bodies of the largest size.
#[tokio::test]
async fn small_records() {
    let harness = start();
    let records: Vec<u8> = field(2, &field(5, &field(1, b"{}"))).repeat((1 << 20) / 12);
    let answer = call(&harness, &field(1, &field(2, &records))).await;
    assert_eq!(answer.grpc(), "8");
    assert!(harness.worker().taken().is_empty());
    let empty: Vec<u8> = field(2, b"").repeat(500_000);
    assert_eq!(call(&harness, &field(1, &field(2, &empty))).await.grpc(), "0");
    assert_eq!(harness.counters().rejected(Reason::Malformed), 500_000);
}

/// Scenario: the inputs stop while a request waits for the queues, which then have room; one more.
/// Guarantees: the first is taken and answered, and the input ends.
#[tokio::test]
async fn stopping() {
    let mut harness = start();
    harness.worker().set(Behavior::Hold);
    let first = request(&harness, METHOD, &[GRPC], framed(&texts([transaction(1)])));
    let io = TokioIo::new(TcpStream::connect(harness.inet()).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let answer = tokio::spawn(async move { client.send_request(first).await });
    wait_until("the request to arrive", || harness.counters().bytes() > 0).await;
    harness.stop.send_replace(true);
    harness.worker().set(Behavior::Take);
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    harness.stop().await;
    assert_eq!(harness.worker().taken(), [transaction(1)]);
}

/// Scenario: texts that are no HTTP, and as bodies of each kind, on more connections than there may be; a good request.
/// Guarantees: nothing of them is taken, and the good request is.
#[tokio::test]
async fn hostile_bytes() {
    use tokio::io::AsyncWriteExt;
    let harness = Harness::start(otlp(Settings { max_connections: 8, ..settings() }));
    for bytes in hostile() {
        let mut stream = TcpStream::connect(harness.inet()).await.unwrap();
        let _ = stream.write_all(&bytes).await;
    }
    for bytes in hostile() {
        for content_type in [PROTOBUF, JSON] {
            let answer = post(&harness, content_type, bytes.clone()).await;
            assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
        }
        let answer = call(&harness, &bytes).await;
        assert!(matches!(answer.grpc(), "0" | "3"));
    }
    assert!(harness.worker().taken().is_empty());
    assert_eq!(call(&harness, &texts([transaction(1)])).await.grpc(), "0");
    assert_eq!(harness.worker().taken(), [transaction(1)]);
}
