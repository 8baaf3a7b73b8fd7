//! The HTTP input, byte by byte: every status, atomicity, limits, odd clients, stopping.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::body;
use super::memory::{MemoryBudget, Reservation};
use super::*;
use crate::input::Reason;
use crate::input::tests::harness::{Behavior, Harness, any_port, hostile, transaction, wait_until};
use crate::phase::IntakeError;
use logphase_script::transaction::Limits;

mod protocol;

fn settings() -> Settings {
    Settings {
        listen: any_port(),
        max_connections: 1000,
        idle_timeout: Duration::from_secs(300),
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

fn input() -> Http {
    Http {
        settings: settings(),
        decoder: TextDecoder::kong(Format::Document, Limits::default()),
        max_body_bytes: 8 << 20,
        max_bytes_in_flight: MAX_BYTES_IN_FLIGHT,
        header_timeout: HEADER_TIMEOUT,
        write_timeout: WRITE_TIMEOUT,
        body_timeout: BODY_TIMEOUT,
    }
}

/// A response.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body of a refusal, which must have the error and what to do about it.
    fn error(&self) -> Value {
        let error = self.json();
        assert!(error["error"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        assert!(error["help"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        error
    }

    fn closes(&self) -> bool {
        self.head.contains("connection: close")
    }
}

/// A connection that is written and read in bytes.
struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    async fn connect(harness: &Harness) -> Self {
        Self { stream: TcpStream::connect(harness.inet()).await.unwrap(), unread: Vec::new() }
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until `unread` holds `done`; false at the end of the stream.
    async fn fill(&mut self, done: impl Fn(&[u8]) -> bool) -> bool {
        while !done(&self.unread) {
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
        }
        true
    }

    async fn read(&mut self) -> Option<Reply> {
        let end = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if !self.fill(|bytes| end(bytes).is_some()).await {
            return None;
        }
        let end = end(&self.unread).unwrap() + 4;
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        assert!(self.fill(|bytes| bytes.len() >= length).await, "the body of {head}");
        let body = self.unread.drain(..length).collect();
        Some(Reply { status, head, body })
    }

    async fn closed(&mut self) -> bool {
        !self.fill(|bytes| !bytes.is_empty()).await
    }
}

fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

async fn exchange(harness: &Harness, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
    let mut client = Client::connect(harness).await;
    client.write(request(method, path, headers, body)).await;
    client.read().await.expect("an answer")
}

async fn post(harness: &Harness, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    exchange(harness, "POST", "/", headers, body.as_ref()).await
}

const JSON: &str = "Content-Type: application/json\r\n";
const LINES: &str = "Content-Type: application/x-ndjson\r\n";
const GZIP: &str = "Content-Encoding: gzip\r\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Scenario: one object, an array, JSON lines, nothing, by POST, PUT and PATCH, with the usual spellings of the type.
/// Guarantees: 200 with the number, and the transactions in their order.
#[tokio::test]
async fn accepts() {
    let harness = Harness::start(input());
    let charset = "Content-Type: Application/JSON; charset=utf-8\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let cases = [
        ("POST", JSON, r#"{"i":0}"#, 1),
        ("PUT", charset, r#"[{"i":1}, {"i":2}]"#, 2),
        ("PATCH", LINES, "{\"i\":3}\n\r\n{\"i\":4}\r\n{\"i\":5}", 3),
        ("POST", "", r#"{"i":6}"#, 1),
        ("POST", form, r#"{"i":7}"#, 1),
        ("POST", JSON, "[]", 0),
        ("POST", "Content-Encoding: identity\r\n", r#"{"i":8}"#, 1),
    ];
    for (method, headers, body, count) in cases {
        let reply = exchange(&harness, method, "/?from=kong", headers, body.as_bytes()).await;
        assert_eq!((reply.status, reply.json()), (200, serde_json::json!({"accepted": count})), "{body}");
    }
    let expected: Vec<String> = (0..9).map(|i| format!("{{\"i\":{i}}}")).collect();
    let taken: Vec<String> = harness.worker().taken().iter().map(|one| one.trim().to_owned()).collect();
    assert_eq!(taken, expected);
    assert_eq!(harness.counters().received(), 9);
}

/// Scenario: the workers do not answer.
/// Guarantees: no 200 before every entry is in its queue.
#[tokio::test]
async fn answers_after_safe() {
    let harness = Harness::start(input());
    harness.worker().set(Behavior::Hold);
    let mut client = Client::connect(&harness).await;
    client.write(request("POST", "/", JSON, b"{}")).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), client.read()).await.is_err());
    harness.worker().set(Behavior::Take);
    assert_eq!(client.read().await.unwrap().status, 200);
}

/// Scenario: in each form of body the last of three transactions is bad.
/// Guarantees: 400 with its index and place, and none of the three is taken.
#[tokio::test]
async fn all_or_nothing() {
    let harness = Harness::start(input());
    for (headers, body) in [(JSON, r#"[{"a":1},{"b":2},3]"#), (LINES, "{\"a\":1}\n{\"b\":2}\n3\n")] {
        let reply = post(&harness, headers, body).await;
        let error = reply.error();
        assert_eq!((reply.status, &error["code"], &error["index"]), (400, &"malformed".into(), &2.into()));
        assert!(error["offset"].is_u64(), "{error}");
    }
    assert!(harness.worker().taken().is_empty());
    assert_eq!(harness.counters().rejected(Reason::Malformed), 2);
}

/// Scenario: a hundred hostile bodies over one connection as JSON, and again as lines and as gzip.
/// Guarantees: each is answered 400 or 413, nothing is taken, and the same connection then takes a good one.
#[tokio::test]
async fn hostile_bodies() {
    let harness = Harness::start(input());
    let mut client = Client::connect(&harness).await;
    for headers in [JSON, LINES, GZIP] {
        for body in hostile() {
            client.write(request("POST", "/", headers, &body)).await;
            let reply = client.read().await.unwrap();
            let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
            assert!(matches!(reply.status, 400 | 413), "{} for {shown}", reply.status);
            reply.error();
        }
    }
    assert!(harness.worker().taken().is_empty());
    client.write(request("POST", "/", JSON, b"{}")).await;
    assert_eq!(client.read().await.unwrap().status, 200);
}

/// Scenario: queues without room, then with some; more than a queue holds.
/// Guarantees: 429 with Retry-After and none taken; 413 for what can never fit; the same request then succeeds.
#[tokio::test]
async fn full_queues() {
    let harness = Harness::start(input());
    harness.worker().set(Behavior::Room(1));
    let reply = post(&harness, JSON, "[{},{}]").await;
    assert_eq!((reply.status, &reply.error()["code"]), (429, &"queue_full".into()));
    assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
    assert!(harness.worker().taken().is_empty());
    assert!(!reply.closes());

    let too_many = IntakeError::TooMany { plugin: "file-log".to_owned(), transactions: 2 };
    harness.worker().set(Behavior::Refuse(too_many));
    let reply = post(&harness, JSON, "[{},{}]").await;
    assert_eq!((reply.status, &reply.error()["code"]), (413, &"too_many".into()));

    harness.worker().set(Behavior::Take);
    assert_eq!(post(&harness, JSON, "[{},{}]").await.status, 200);
}

/// Scenario: an input with a mapping gets a body of the largest size, and one that is no JSON.
/// Guarantees: every object becomes a transaction, although these need more memory than the body; the refusal names the member.
#[tokio::test]
async fn mapped_bodies() {
    let mapping = crate::decode::mapping::Mappings::default().find("apache");
    let decoder = TextDecoder::new(mapping, Format::Document, Limits::default());
    let line = r#"{"m":"GET","rq":"GET /orders?x=1 HTTP/1.1","host":"shop.example","q":"?x=1","st":"200"}"#;
    let body = format!("[{}]", vec![line; 1000].join(","));
    let input = Http { max_body_bytes: body.len(), max_bytes_in_flight: 1, decoder, ..input() };
    let harness = Harness::start(input);
    assert_eq!(post(&harness, JSON, body).await.status, 200);
    assert_eq!(harness.counters().received(), 1000);
    let reply = post(&harness, JSON, r#"{"st":502, 200}"#).await;
    assert_eq!(reply.status, 400);
    assert!(reply.error()["error"].to_string().contains("after the value of `st`"), "{:?}", reply.error());
}

/// Scenario: bodies over the limit, announced, chunked and after `Expect: 100-continue`; a transaction over its limit.
/// Guarantees: 413 that the client can read, `100 Continue` only for what will be read, nothing taken.
#[tokio::test]
async fn too_large() {
    let decoder = TextDecoder::kong(Format::Document, Limits { max_bytes: 1000, ..Default::default() });
    let harness = Harness::start(Http { max_body_bytes: 100_000, decoder, ..input() });
    let reply = post(&harness, JSON, vec![b' '; 3 << 20]).await;
    assert_eq!((reply.status, &reply.error()["code"]), (413, &"body_too_large".into()));
    assert!(reply.closes());

    let mut client = Client::connect(&harness).await;
    client.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.read().await.unwrap().status, 413);

    let mut client = Client::connect(&harness).await;
    client.write("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..20 {
        client.write(format!("2000\r\n{}\r\n", " ".repeat(0x2000))).await;
    }
    assert_eq!(client.read().await.unwrap().status, 413);

    let big = format!("[{{}},{{\"a\":\"{}\"}}]", "x".repeat(2000));
    let reply = post(&harness, JSON, big).await;
    let error = reply.error();
    let expected = (413, &"transaction_too_large".into(), &1.into());
    assert_eq!((reply.status, &error["code"], &error["index"]), expected);
    assert!(harness.worker().taken().is_empty());
}

/// Scenario: valid gzip, gzip of two members, empty, cut, with bytes after it, with a wrong checksum, and no gzip at all.
/// Guarantees: the valid ones are taken; each other one is answered 400, and nothing of it is taken.
#[tokio::test]
async fn compressed() {
    let harness = Harness::start(input());
    let good = gzip(br#"{"a":1}"#);
    assert_eq!(post(&harness, GZIP, &good).await.status, 200);
    let members = [gzip(b"[{\"a\":2},"), gzip(b"{\"a\":3}]")].concat();
    assert_eq!(post(&harness, "Content-Encoding: x-gzip\r\n", members).await.status, 200);
    let mut checksum = good.clone();
    *checksum.iter_mut().rev().nth(6).unwrap() ^= 1;
    let cut = good[..good.len() - 3].to_vec();
    for bad in [cut, [&good[..], b"garbage"].concat(), checksum, b"{}".to_vec(), Vec::new()] {
        let reply = post(&harness, GZIP, &bad).await;
        assert_eq!((reply.status, &reply.error()["code"]), (400, &"bad_gzip".into()), "{bad:?}");
    }
    assert_eq!(harness.worker().taken(), [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]);
}

/// Scenario: a gzip bomb: 100 MB of spaces in 100 kB, and a body that decompresses to just the limit.
/// Guarantees: 413 without decompressing past the limit; the limit itself is allowed; the memory is released.
#[tokio::test]
async fn gzip_bomb() {
    let harness = Harness::start(Http { max_body_bytes: 200_000, ..input() });
    let reply = post(&harness, GZIP, gzip(&vec![b' '; 100 << 20])).await;
    assert_eq!((reply.status, &reply.error()["code"]), (413, &"body_too_large".into()));
    let mut exact = b"{}".to_vec();
    exact.resize(200_000, b' ');
    assert_eq!(post(&harness, GZIP, gzip(&exact)).await.status, 200);

    let budget = Arc::new(MemoryBudget::new(1 << 20));
    let all = budget.available();
    let bomb = Bytes::from(gzip(&vec![b' '; 100 << 20]));
    let decompress = |limit| {
        let (bomb, mut reservation) = (bomb.clone(), Reservation::new(budget.clone(), None));
        let work = move || (body::decompress(&bomb, limit, &mut reservation).unwrap_err().status, reservation);
        tokio::task::spawn_blocking(work)
    };
    let first = decompress(500_000).await.unwrap();
    assert_eq!(first.0, 413);
    assert!(budget.available() >= all - 500_000 - 2 * body::DECOMPRESS_STEP);
    // A budget that is used up ends it earlier, with a status that says to try again.
    let second = decompress(100 << 20).await.unwrap();
    assert_eq!(second.0, 429);
    drop((first, second));
    assert_eq!(budget.available(), all);
}

/// Scenario: types and encodings that are not taken; other paths and methods; a web page's request.
/// Guarantees: 415, 404, 405 with Allow, 403, each saying what to do, and the connection stays usable.
#[tokio::test]
async fn unsupported() {
    let harness = Harness::start(input());
    let mut client = Client::connect(&harness).await;
    let cases = [
        ("POST", "/", "Content-Type: text/plain\r\n", 415, "unsupported_type"),
        ("POST", "/", "Content-Type: application/xml\r\n", 415, "unsupported_type"),
        ("POST", "/", "Content-Encoding: br\r\n", 415, "unsupported_encoding"),
        ("POST", "/", "Content-Encoding: gzip, gzip\r\n", 415, "unsupported_encoding"),
        ("POST", "/", "Origin: https://example.com\r\n", 403, "web_page"),
        ("POST", "/logs", "", 404, "not_found"),
        ("GET", "/favicon.ico", "", 404, "not_found"),
        ("DELETE", "/", "", 405, "method_not_allowed"),
        ("TRACE", "/", "", 405, "method_not_allowed"),
    ];
    for (method, path, headers, status, code) in cases {
        client.write(request(method, path, headers, b"{}")).await;
        let reply = client.read().await.unwrap();
        assert_eq!((reply.status, &reply.error()["code"]), (status, &code.into()), "{method} {path} {headers}");
        assert_eq!(reply.head.contains("allow: get, head, options, patch, post, put"), status == 405);
    }
    assert!(harness.worker().taken().is_empty());
    assert_eq!(harness.counters().rejected(Reason::Unsupported), cases.len() as u64);
}

/// Scenario: a person opens `/` with a browser or `curl`, and a client asks for the options.
/// Guarantees: a text for people, HEAD without a body, 204 with Allow.
#[tokio::test]
async fn get_head_options() {
    let harness = Harness::start(input());
    let reply = exchange(&harness, "GET", "/", "", b"").await;
    assert_eq!(reply.status, 200);
    assert!(String::from_utf8(reply.body).unwrap().contains("POST one JSON object"));
    let mut client = Client::connect(&harness).await;
    client.write("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(client.fill(|bytes| bytes.ends_with(b"\r\n\r\n")).await);
    client.unread.clear();
    assert!(client.closed().await, "no body follows");
    let reply = exchange(&harness, "OPTIONS", "*", "", b"").await;
    assert_eq!(reply.status, 204);
    assert!(reply.head.contains("allow: "));
}

/// Scenario: the bodies of waiting requests fill the memory for bodies.
/// Guarantees: the next one gets 429 rather than memory, and is taken when the others are done.
#[tokio::test]
async fn busy() {
    let harness = Harness::start(Http { max_body_bytes: 10_000, max_bytes_in_flight: 0, ..input() });
    harness.worker().set(Behavior::Hold);
    let mut body = b"{}".to_vec();
    body.resize(10_000, b' ');
    let (mut waiting, mut refused) = (Vec::new(), 0);
    let counters = harness.counters();
    // The memory is at least two bodies and two steps of decompression.
    for _ in 0..30 {
        let mut client = Client::connect(&harness).await;
        let read = counters.bytes();
        client.write(request("POST", "/", JSON, &body)).await;
        wait_until("the body to be read or refused", || {
            counters.bytes() > read || counters.rejected(Reason::Full) > refused
        })
        .await;
        if counters.bytes() > read {
            waiting.push(client);
            continue;
        }
        refused += 1;
        let reply = client.read().await.unwrap();
        assert_eq!((reply.status, &reply.error()["code"]), (429, &"busy".into()));
    }
    assert!(refused > 0 && waiting.len() >= 2, "{refused} refused");
    harness.worker().set(Behavior::Take);
    for client in &mut waiting {
        assert_eq!(client.read().await.unwrap().status, 200);
    }
    assert_eq!(post(&harness, JSON, &body).await.status, 200);
}
