//! Lines per second on one core, from a decoded entry of Envoy's access log service: a template, and beside it a hand-written
//! `write!` of the same line, which is the ceiling.
//!
//! The time is that of the thread (`CLOCK_THREAD_CPUTIME_ID`), so that other load does not count.
//!
//! `cargo bench -p logphase-protocol --bench format` (or `make bench`).

#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![allow(missing_docs, reason = "a benchmark has no callers")]

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::Offset;
use logphase_protocol::envoy::Flags;
use logphase_protocol::envoy::entry::{Address, HttpEntry};
use logphase_protocol::envoy::json_form::{EncodedEntry, encode};
use logphase_protocol::format::{
    AlsEntry, JsonTemplate, KongEntry, Options, Placeholder, Placeholders, Source, Template, defaults,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Default HTTP lines that one core must render in a second.
const TARGET: f64 = 1_000_000.0;
/// The share of the ceiling that the template must reach.
const SHARE: f64 = 0.5;
const ROUNDS: usize = 9;
/// Lines between two looks at the clock, whose buffer is used again.
const LINES: usize = 256;
/// A round lasts at least so long.
const ROUND: Duration = Duration::from_millis(100);

fn main() {
    // `cargo test` also runs benchmarks, with `--test`; this one contains no tests.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("{:<44} {:>12} {:>14}", "", "bytes each", "lines/s");
    let bytes = entry();
    let entry = HttpEntry::decode(&bytes).expect("an entry");
    let mut placeholders = Placeholders::default();
    for (placeholder, value) in [
        (Placeholder::Mesh, "default"),
        (Placeholder::SourceService, "web_shop_svc_80"),
        (Placeholder::DestinationService, "orders_shop_svc_80"),
        (Placeholder::SourceAddressWithoutPort, "10.1.2.3"),
    ] {
        placeholders.set(placeholder, value);
    }
    let view = AlsEntry::http(&entry, &placeholders).expect("it has common properties");
    let template = Template::new(defaults::MESH_HTTP, &Options::new(Source::Als)).expect("a template");
    let (mut by_template, mut by_hand) = (Vec::new(), Vec::new());
    template.render(&view, &mut by_template);
    hand_written(&entry, &placeholders, &mut by_hand);
    assert_eq!(String::from_utf8_lossy(&by_template), String::from_utf8_lossy(&by_hand));
    let rate = row("format, default HTTP line", |out| template.render(black_box(&view), out));
    let ceiling = row("  the same line with write!", |out| hand_written(black_box(&entry), &placeholders, out));
    let verdict = if rate >= TARGET && rate >= SHARE * ceiling { "within" } else { "UNDER" };
    println!("{:<44} {verdict} the target of {TARGET}/s and {SHARE} of the ceiling; it is {:.2}", "", rate / ceiling);
    let json = json!({
        "start_time": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "duration": "%DURATION%", "sent": "%BYTES_SENT%",
        "agent": "%REQ(USER-AGENT)%", "host": "%UPSTREAM_HOST%", "missing": "%REQ(X-MISSING)%",
    });
    let json = JsonTemplate::new(&json, &Options::new(Source::Als)).expect("a template");
    row("format, JSON of ten members", |out| json.render(black_box(&view), out));
    row("format, default HTTP line, decoding included", |out| {
        let entry = HttpEntry::decode(black_box(&bytes)).expect("an entry");
        template.render(&AlsEntry::http(&entry, &placeholders).expect("it has common properties"), out);
    });
    let kong = Template::new(
        "[%START_TIME%] \"%REQ(:METHOD)% %REQ(:PATH)%\" %RESPONSE_CODE% %DURATION% \"%REQ(USER-AGENT)%\" %UPSTREAM_HOST%",
        &Options::new(Source::Kong),
    );
    let (kong, message) = (kong.expect("a template"), include_bytes!("../../../examples/transaction.json"));
    row("format, a message of Kong, parsing included", |out| {
        kong.render(&KongEntry::parse(black_box(message)).expect("a message"), out);
    });
}

/// Prints a row for `line`, which appends a line; returns the lines per second.
fn row(name: &str, mut line: impl FnMut(&mut Vec<u8>)) -> f64 {
    let mut out = Vec::new();
    line(&mut out);
    let bytes = out.len();
    let mut round = || {
        let (begun, mut lines) = (now(), 0);
        while now() - begun < ROUND {
            out.clear();
            (0..LINES).for_each(|_| line(&mut out));
            lines += LINES;
            black_box(&out);
        }
        lines as f64 / (now() - begun).as_secs_f64()
    };
    let best = (0..ROUNDS).map(|_| round()).fold(0.0, f64::max);
    println!("{name:<44} {bytes:>12} {best:>14.0}");
    best
}

/// What this thread has computed so far.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The default HTTP line of a mesh, written for this one format.
fn hand_written(entry: &HttpEntry<'_>, placeholders: &Placeholders, out: &mut Vec<u8>) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or("-");
    let (Some(common), Some(request), Some(response)) = (&entry.common, &entry.request, &entry.response) else {
        return;
    };
    let start = common.start_time.unwrap_or_default();
    let time = Offset::UTC.to_datetime(Timestamp::new(start.seconds, start.nanos).unwrap_or_default());
    let dash = |bytes| if <[u8]>::is_empty(bytes) { "-" } else { text(bytes) };
    let header = |name: &[u8]| {
        request.headers.iter().rfind(|member| member.key == name).map_or("-", |member| text(member.value))
    };
    let answer = |name: &[u8]| {
        response.headers.iter().rfind(|member| member.key == name).map_or("-", |member| text(member.value))
    };
    let path = if request.original_path.is_empty() { request.path } else { request.original_path };
    let trace = match header(b"x-b3-traceid") {
        "-" => header(b"x-datadog-traceid"),
        found => found,
    };
    let flags = Flags::new(common.response_flags, response.code_details);
    let flags = if flags.is_empty() { "-".to_owned() } else { flags.names(true).collect::<Vec<_>>().join(",") };
    let _ = write!(
        out,
        "[{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z] {} \"{} {} {}\" {} {} {} {} {} {} \"{}\" \"{}\" \"{}\" \"{}\" \"{}\" \"{}\" \"{}\" \"{}\" ",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond(),
        placeholders.get(Placeholder::Mesh),
        dash(request.method_name()),
        dash(path),
        entry.protocol_name(),
        response.code.unwrap_or(0),
        flags,
        request.body_bytes,
        response.body_bytes,
        common.duration.map_or(0, |time| time.seconds * 1000 + i64::from(time.nanos) / 1_000_000),
        answer(b"x-envoy-upstream-service-time"),
        dash(request.forwarded_for),
        dash(request.user_agent),
        trace,
        dash(request.request_id),
        dash(request.authority),
        placeholders.get(Placeholder::SourceService),
        placeholders.get(Placeholder::DestinationService),
        placeholders.get(Placeholder::SourceAddressWithoutPort),
    );
    if let Some(Address::Socket(socket)) = common.upstream_remote_address {
        let _ = write!(out, "\"{}:{}\"", text(socket.address), socket.port);
    }
}

/// A request as most are, with ten headers beside those that Envoy always sends.
fn entry() -> Vec<u8> {
    let socket = |address: &str, port: u16| json!({"socketAddress": {"address": address, "portValue": port}});
    let entry = json!({
        "commonProperties": {
            "downstreamRemoteAddress": socket("192.0.2.7", 50_000), "downstreamLocalAddress": socket("192.0.2.1", 443),
            "downstreamDirectRemoteAddress": socket("192.0.2.7", 50_000),
            "startTime": "2026-11-29T11:28:19.495952Z", "timeToLastRxByte": "0.00005s",
            "timeToFirstUpstreamTxByte": "0.0003s", "timeToLastUpstreamTxByte": "0.00031s",
            "timeToFirstUpstreamRxByte": "0.009s", "timeToLastUpstreamRxByte": "0.0095s",
            "timeToFirstDownstreamTxByte": "0.0091s", "timeToLastDownstreamTxByte": "0.0096s", "duration": "0.0096s",
            "upstreamRemoteAddress": socket("198.51.100.4", 8080), "upstreamLocalAddress": socket("10.1.2.3", 41_234),
            "upstreamCluster": "orders", "routeName": "orders-v1", "streamId": "2c7e1f8a-6a7c-4d0b-9b1e-0d7f3f5c9a11",
            "accessLogType": "DownstreamEnd", "upstreamRequestAttemptCount": 1,
        },
        "protocolVersion": "HTTP2",
        "request": {
            "requestMethod": "GET", "scheme": "https", "authority": "api.example.com", "path": "/v1/orders/4711?limit=10&sort=date",
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "forwardedFor": "192.0.2.7",
            "requestId": "2c7e1f8a-6a7c-4d0b-9b1e-0d7f3f5c9a11", "requestHeadersBytes": "512",
            "requestHeaders": {
                "accept": "text/html,application/xhtml+xml", "accept-encoding": "gzip, deflate, br, zstd",
                "accept-language": "en-US,en;q=0.5", "cache-control": "no-cache", "content-type": "application/json",
                "x-b3-traceid": "80f198ee56343ba864fe8b2a57d3eff7", "x-b3-spanid": "e457b5a2e4d86bd1",
            },
        },
        "response": {
            "responseCode": 200, "responseBodyBytes": "4711", "responseCodeDetails": "via_upstream",
            "responseHeaders": {
                "content-type": "application/json", "cache-control": "no-store", "x-envoy-upstream-service-time": "9",
            },
        },
    });
    match encode(&entry).expect("an entry") {
        EncodedEntry::Http(bytes) | EncodedEntry::Tcp(bytes) => bytes,
    }
}
