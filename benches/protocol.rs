//! Entries per second of one core's time, from the bytes of a message to the transactions: decoding, Kong's log object, and its
//! index. Messages of Envoy's access log service, OpenTelemetry's logs, and lines of proxies that a mapping translates.
//!
//! "samples" are the HTTP entries that Envoy sent in the tests, with every member that it can send; "all" has its TCP ones, too.
//! "typical" is a request with ten headers. "reading" is the entry alone, without its log object.
//!
//! The time is that which the thread computes, so that other work on the machine costs a figure little; each is the best of
//! its rounds. With a word it runs only the rows whose names contain it: `cargo bench --bench protocol -- ALS`.

#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![allow(missing_docs, reason = "a benchmark has no callers")]

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use logphase::decode::kong::Format;
use logphase::decode::mapping::Mappings;
use logphase::decode::{AlsDecoder, Decode, OtlpDecoder, TextDecoder, syslog};
use logphase_protocol::envoy::batch::{self, Part};
use logphase_protocol::envoy::entry;
use logphase_protocol::envoy::message::{
    AccessLogType, Address, Common, HttpEntry, HttpRequest, HttpResponse, Number, TextMember, Time, encode,
};
use logphase_protocol::envoy::{Converter, Origin};
use logphase_protocol::otlp::Encoding;
use logphase_script::transaction::Limits;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Entries of Envoy that one core must decode in a second.
const TARGET: f64 = 300_000.0;
const ROUNDS: usize = 9;
/// A round repeats its message for at least so long.
const ROUND: Duration = Duration::from_millis(100);
/// What nginx and HAProxy logged in the tests.
const NGINX: &[u8] = include_bytes!("../src/decode/mapping/samples/nginx.ndjson");
const HAPROXY: &[u8] = include_bytes!("../src/decode/mapping/samples/haproxy.ndjson");
/// Entries of a message: those of 64 kB, more or less.
const ENTRIES: usize = 64;

fn main() {
    // `cargo test` also runs benchmarks, with `--test`; this one contains no tests.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("{:<34} {:>12} {:>14} {:>10}", "", "bytes each", "entries/s", "\u{b5}s each");
    let samples = samples();
    let http: Vec<_> = samples.iter().filter(|(number, _)| *number == 2).cloned().collect();
    for (name, entries) in [("ALS, typical", vec![(2, typical())]), ("ALS, samples", http), ("ALS, all", samples)] {
        let Some(rate) = als(name, &entries) else { continue };
        let verdict = if rate >= TARGET { "within" } else { "UNDER" };
        println!("{:<34} {verdict} the target of {TARGET}/s", "");
    }
    otlp("OTLP in protobuf, envoy-otel", "envoy-otel", Encoding::Protobuf);
    otlp("OTLP in JSON, envoy-otel", "envoy-otel", Encoding::Json);
    mapped("line of nginx", "nginx", NGINX, "");
    mapped("line of HAProxy", "haproxy", HAPROXY, "");
    mapped("syslog message of nginx", "nginx", NGINX, "<190>Nov 30 01:02:03 web-1 nginx: ");
    mapped("syslog message of HAProxy", "haproxy", HAPROXY, "<134>Nov 30 01:02:03 web-1 haproxy[42]: ");
}

/// Seconds that this thread has computed.
fn computed() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Whether a row is asked for. Cargo's own arguments begin with a dash.
fn wanted(name: &str) -> bool {
    std::env::args().skip(1).find(|argument| !argument.starts_with('-')).is_none_or(|word| name.contains(&word))
}

/// Prints a row for `work`, which decodes `entries` entries of `bytes` bytes; returns the entries per second.
fn row(name: &str, bytes: usize, entries: usize, work: impl Fn() -> usize) -> Option<f64> {
    if !wanted(name) {
        return None;
    }
    let round = || {
        let (begun, mut decoded) = (computed(), 0);
        while computed() - begun < ROUND.as_secs_f64() {
            let number = work();
            assert_eq!(number, entries, "{name}: an entry is refused");
            decoded += number;
        }
        decoded as f64 / (computed() - begun)
    };
    let best = (0..ROUNDS).map(|_| round()).fold(0.0, f64::max);
    println!("{name:<34} {:>12} {best:>14.0} {:>10.2}", bytes / entries, 1e6 / best);
    Some(best)
}

/// A field with a length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let (mut length, mut out) = (bytes.len(), vec![number << 3 | 2]);
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

/// Measures messages with these entries, each with the number of its list.
fn als(name: &str, entries: &[(u8, Bytes)]) -> Option<f64> {
    let number = entries.len().max(ENTRIES);
    let chosen: Vec<_> = entries.iter().cycle().take(number).collect();
    let message: Vec<u8> = chosen.iter().flat_map(|(list, entry)| field(*list, &field(1, entry))).collect();
    let message = Bytes::from(message);
    let decoder = AlsDecoder::new(Converter::new(Vec::new(), true), Limits::default());
    let origin = Origin::default();
    row(&format!("{name}, reading"), message.len(), number, || {
        let read = |part: Part<'_>| match part {
            Part::Http(entry) => entry::HttpEntry::decode(entry).map(black_box).is_ok(),
            Part::Tcp(entry) => entry::TcpEntry::decode(entry).map(black_box).is_ok(),
            Part::Identifier(_) => false,
        };
        batch::read(&message).flatten().filter(|part| read(*part)).count()
    });
    row(name, message.len(), number, || {
        // As the input does: the texts share a buffer.
        let (mut text, mut ends) = (Vec::with_capacity(3 * message.len()), Vec::with_capacity(number));
        for part in batch::read(&message).flatten() {
            if decoder.write(part, &origin, &mut text).is_ok_and(|written| written) {
                ends.push(text.len());
            }
        }
        let (text, mut start) = (Bytes::from(text), 0);
        let index = |end: &usize| {
            let transaction = decoder.index(text.slice(start..*end)).ok().map(black_box);
            start = *end;
            transaction
        };
        ends.iter().filter_map(index).count()
    })
}

/// What Envoy sent in the tests: the number of the list of each entry, and the entry.
fn samples() -> Vec<(u8, Bytes)> {
    let lines = include_str!("../crates/protocol/tests/samples.ndjson").lines();
    let samples = lines.map(|line| {
        let sample: Value = serde_json::from_str(line).expect("a sample is JSON");
        let entry =
            sample["entry"].as_str().and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        let list = if sample["kind"] == "http" { 2 } else { 3 };
        (list, Bytes::from(entry.expect("an entry is base64")))
    });
    samples.collect()
}

/// A request as most are, with ten headers.
fn typical() -> Bytes {
    let time = |seconds, nanos| Some(Time { seconds, nanos });
    let address = |ip: &'static str, port| Some(Address::socket(ip, port));
    let common = Common {
        downstream_remote_address: address("192.0.2.7", 50_000),
        downstream_local_address: address("192.0.2.1", 443),
        start_time: time(1_700_000_000, 123_456_789),
        time_to_last_rx_byte: time(0, 50_000),
        time_to_first_upstream_tx_byte: time(0, 300_000),
        time_to_last_upstream_tx_byte: time(0, 310_000),
        time_to_first_upstream_rx_byte: time(0, 9_000_000),
        time_to_last_upstream_rx_byte: time(0, 9_500_000),
        time_to_first_downstream_tx_byte: time(0, 9_100_000),
        time_to_last_downstream_tx_byte: time(0, 9_600_000),
        duration: time(0, 9_600_000),
        upstream_remote_address: address("198.51.100.4", 8080),
        upstream_cluster: "orders".into(),
        route_name: "orders-v1".into(),
        stream_id: "2c7e1f8a-6a7c-4d0b-9b1e-0d7f3f5c9a11".into(),
        access_log_type: AccessLogType::DownstreamEnd as i32,
        ..Common::default()
    };
    let header = |(key, value): (&'static str, &'static str)| TextMember { key: key.into(), value: value.into() };
    let request = HttpRequest {
        method: 1,
        scheme: "https".into(),
        authority: "api.example.com".into(),
        path: "/v1/orders/4711?limit=10&sort=date".into(),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into(),
        request_id: "2c7e1f8a-6a7c-4d0b-9b1e-0d7f3f5c9a11".into(),
        headers: [
            ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            ("accept-encoding", "gzip, deflate, br, zstd"),
            ("accept-language", "en-US,en;q=0.5"),
            ("cache-control", "no-cache"),
            ("content-type", "application/json"),
        ]
        .map(header)
        .into(),
        ..HttpRequest::default()
    };
    let response = HttpResponse {
        code: Some(Number { value: 200 }),
        code_details: "via_upstream".into(),
        headers: [("content-type", "application/json"), ("cache-control", "no-store")].map(header).into(),
        ..HttpResponse::default()
    };
    let entry =
        HttpEntry { common: Some(common), request: Some(request), response: Some(response), ..HttpEntry::default() };
    encode(&entry)
}

/// Measures requests with the attributes of `examples/otlp/envoy.yaml`.
fn otlp(name: &str, mapping: &str, encoding: Encoding) {
    let attributes = [
        ("http.request.method", "GET"),
        ("url.scheme", "https"),
        ("envoy.authority", "api.example.com"),
        ("envoy.original_path", "/v1/orders/4711?limit=10&sort=date"),
        ("envoy.path", "/v1/orders/4711?limit=10&sort=date"),
        ("envoy.request_id", "2c7e1f8a-6a7c-4d0b-9b1e-0d7f3f5c9a11"),
        ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("http.request.header.accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("http.response.header.content-type", "application/json"),
        ("http.response.status_code", "200"),
        ("http.request.size", "612"),
        ("http.response.size", "4711"),
        ("client.address", "192.0.2.7"),
        ("envoy.protocol", "HTTP/2"),
        ("envoy.tls_version", "TLSv1.3"),
        ("envoy.route_name", "orders-v1"),
        ("envoy.upstream_cluster", "orders"),
        ("envoy.upstream_host", "198.51.100.4:8080"),
        ("envoy.upstream_attempts", "1"),
        ("envoy.response_flags", "-"),
        ("envoy.response_code_details", "via_upstream"),
        ("envoy.duration", "9"),
        ("envoy.upstream_first_rx", "9000000"),
        ("envoy.upstream_wait", "8690000"),
        ("envoy.upstream_receive", "500000"),
    ];
    let request = match encoding {
        Encoding::Protobuf => {
            let member = |(key, value): (&str, &str)| {
                field(6, &[field(1, key.as_bytes()), field(2, &field(1, value.as_bytes()))].concat())
            };
            let record: Vec<u8> = attributes.into_iter().flat_map(member).collect();
            field(1, &field(2, &field(2, &record).repeat(ENTRIES)))
        }
        Encoding::Json => {
            let member = |(key, value): (&str, &str)| json!({"key": key, "value": {"stringValue": value}});
            let record = json!({"attributes": attributes.into_iter().map(member).collect::<Vec<_>>()});
            json!({"resourceLogs": [{"scopeLogs": [{"logRecords": vec![record; ENTRIES]}]}]}).to_string().into_bytes()
        }
    };
    let request = Bytes::from(request);
    let records = TextDecoder::new(Mappings::default().find(mapping), Format::Object, Limits::default());
    let decoder = OtlpDecoder::new(records, Limits::default(), usize::MAX);
    row(name, request.len(), ENTRIES, || {
        let export = decoder.decode(&request, encoding, |_| Ok::<_, Infallible>(())).expect("a sound request");
        black_box(export.transactions).len()
    });
}

/// Measures lines of a proxy, each behind `header`, which makes them syslog messages.
fn mapped(name: &str, mapping: &str, lines: &[u8], header: &str) {
    let lines = lines.trim_ascii_end().split(|byte| *byte == b'\n');
    let frames: Vec<Bytes> = lines.map(|line| Bytes::from([header.as_bytes(), line].concat())).collect();
    let decoder = TextDecoder::new(Mappings::default().find(mapping), Format::Object, Limits::default());
    let bytes = frames.iter().map(Bytes::len).sum();
    row(name, bytes, frames.len(), || {
        let mut transactions = Vec::with_capacity(frames.len());
        for frame in &frames {
            let body = match header {
                "" => frame.clone(),
                _ => frame.slice_ref(syslog::parse(frame).body),
            };
            decoder.decode(body, &mut transactions).expect("a line of a real proxy");
        }
        black_box(transactions).len()
    });
}
