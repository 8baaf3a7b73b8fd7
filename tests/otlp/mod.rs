//! OpenTelemetry's logs from real senders: the OpenTelemetry SDK for Python, and Envoy's OpenTelemetry access logger.

pub mod exported;
mod secure;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::envoy::peers::Envoy;
use crate::service::{
    Home, Service, TcpPeer, Upstream, ask, configuration, free_port, python, request, wait_until, whole_lines,
};

/// The SDK, about to send these records to a port.
fn sdk(protocol: &str, compression: &str, port: u16, records: &[Value]) -> Child {
    sdk_with(protocol, compression, &format!("http://127.0.0.1:{port}"), &[], records)
}

/// The SDK, about to send these records to a URL, with these environment variables.
fn sdk_with(protocol: &str, compression: &str, url: &str, variables: &[(&str, String)], records: &[Value]) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otlp/send.py");
    let mut command = python("tests/otlp/requirements.txt", "otlp");
    command.arg(script).args([protocol, compression, url]).envs(variables.iter().map(|(name, value)| (name, value)));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child
}

/// Waits for the end of the SDK; returns the results of its exports and what it has logged.
fn sent(child: Child) -> (Vec<String>, String) {
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    (String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect(), log)
}

/// The messages of file-log so far.
pub(super) fn messages(service: &Service) -> Vec<Value> {
    let text = std::fs::read_to_string(service.home.path("messages")).unwrap_or_default();
    whole_lines(&text)
}

/// A service that takes logs on the returned port and writes messages to a file.
pub(super) fn start(settings: &str) -> (Service, u16) {
    let port = free_port();
    let home = Home::new();
    let plugins = json!([{"name": "file-log", "config": {"path": home.text("messages")}}]);
    home.write("kong.yml", &configuration(&plugins));
    home.write("logphase.yml", settings);
    (home.set("LOGPHASE_OTLP_LISTEN", format!("127.0.0.1:{port}")).start(), port)
}

fn transaction(id: &str) -> Value {
    json!({
        "request": {"id": id, "method": "GET", "uri": format!("/orders/{id}"), "size": 123,
            "headers": {"host": "example.com", "user-agent": "J\u{fc}rgen \"1\"\n"}, "querystring": {"a": ["1", "2"]}},
        "response": {"status": 200, "size": 4711, "headers": {}},
        "latencies": {"request": 12, "kong": 1, "proxy": -1},
        "tries": [{"ip": "127.0.0.1", "port": 8080, "balancer_latency": 0}],
        "client_ip": "192.0.2.1", "started_at": 1_700_000_000_123_u64, "source": "upstream",
    })
}

/// Scenario: the SDK sends Kong's log objects, as maps and as texts, over both protocols, plain and compressed.
/// Guarantees: each export succeeds, and each message equals what was sent, member by member.
#[test]
fn kong_objects_of_the_sdk() {
    let (mut service, port) = start("");
    let mut expected = Vec::new();
    for (protocol, compression) in [("grpc", "none"), ("grpc", "gzip"), ("http", "none"), ("http", "gzip")] {
        let objects = [0, 1].map(|at| transaction(&format!("{protocol}-{compression}-{at}")));
        let records = [json!({"body": objects[0]}), json!({"body": objects[1].to_string(), "attributes": {"a": 1}})];
        let (results, log) = sent(sdk(protocol, compression, port, &records));
        assert_eq!(results, ["SUCCESS"], "{log}");
        assert_eq!(log, "");
        expected.extend(objects);
        // The answer came after the entries were safe; the file may be written a moment later.
        wait_until("the messages are logged", || messages(&service).len() == expected.len());
    }
    assert_eq!(messages(&service), expected);
    assert_eq!(service.stop(), 0);
}

/// Scenario: the SDK sends a record that is no transaction among two that are, over both protocols.
/// Guarantees: the export succeeds, so that nothing is sent again; the others arrive; the log of the service says what is wrong.
#[test]
fn partial_success_of_the_sdk() {
    let (mut service, port) = start("");
    for (at, protocol) in ["grpc", "http"].into_iter().enumerate() {
        let records =
            [json!({"body": transaction("a")}), json!({"body": "no JSON"}), json!({"body": transaction("b")})];
        let (results, log) = sent(sdk(protocol, "none", port, &records));
        assert_eq!(results, ["SUCCESS"], "{log}");
        wait_until("the messages are logged", || messages(&service).len() == 2 * (at + 1));
    }
    assert!(service.has_logged("log records not taken"), "{}", service.log());
    assert_eq!(service.stop(), 0);
}

/// Scenario: the queue is full, because its receiver is away, while the SDK sends over either protocol; then the receiver is
/// there.
/// Guarantees: the SDK tries again by itself, its export succeeds, and the message arrives.
#[test]
fn the_sdk_waits_for_a_full_queue() {
    for protocol in ["grpc", "http"] {
        let mut peer = TcpPeer::absent();
        let (port, status) = (free_port(), free_port());
        let plugin = json!({"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}});
        let home = Home::with(&configuration(&json!([plugin])))
            .set("LOGPHASE_QUEUE_MAX_ENTRIES", "1")
            .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1")
            .set("LOGPHASE_OTLP_LISTEN", format!("127.0.0.1:{port}"))
            .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
        let mut service = home.start();
        service.accept(transaction("first").to_string());
        let sender = sdk(protocol, "none", port, &[json!({"body": transaction(protocol)})]);
        let refused = || {
            let (_, _, metrics) = ask(status, "GET", "/metrics", "");
            let full = r#"logphase_transactions_rejected_total{input="otlp",reason="full"} "#;
            metrics.lines().find_map(|line| line.strip_prefix(full)).is_some_and(|count| count != "0")
        };
        wait_until("a request is refused", refused);
        peer.restart();
        let (results, log) = sent(sender);
        assert_eq!(results, ["SUCCESS"], "{log}");
        peer.wait_for(2);
        let message: Value = serde_json::from_slice(&peer.lines()[1]).unwrap();
        assert_eq!(message, transaction(protocol));
        assert_eq!(service.stop(), 0);
    }
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/otlp").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text with ports and paths replaced, each of which it has.
fn replaced(text: String, replacements: &[(&str, String)]) -> String {
    replacements.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "no {from}");
        text.replace(from, to)
    })
}

/// Scenario: the example with a real Envoy, its files as they are but for ports and the path of the log: requests without a
/// service behind Envoy, and with one that serves, does not find, fails, resets and is asked for an encoded path; one
/// without a route.
/// Guarantees: its commands start, and every member of the messages is what the client and the upstream saw.
#[test]
fn the_example() {
    let readme = example("README.md");
    for command in [
        "logphase run examples/otlp/kong.yml --settings examples/otlp/logphase.yml",
        "envoy -c examples/otlp/envoy.yaml",
    ] {
        assert!(readme.contains(command), "{command}");
    }
    let (http, grpc, other, upstream) = (free_port(), free_port(), free_port(), free_port());
    let home = Home::new();
    let path = home.text("messages");
    home.write("kong.yml", &replaced(example("kong.yml"), &[("/tmp/logphase-otlp.log", path)]));
    let ports = [(":4317", format!(":{grpc}")), (":4318", format!(":{other}"))];
    home.write("logphase.yml", &replaced(example("logphase.yml"), &ports));
    let mut service = home.start_with(&["run", "kong.yml", "--settings", "logphase.yml"]);
    let ports = [("10000", http), ("8080", upstream), ("4317", grpc)].map(|(from, to)| (from, to.to_string()));
    let _envoy = Envoy::start(&replaced(example("envoy.yaml"), &ports), &[http]);
    let down = logged(&service, http, "/v1/orders?limit=10", "UF");
    assert_eq!((&down["response"]["status"], &down["source"]), (&json!(503), &json!("kong")));
    assert_eq!(down["latencies"]["proxy"], -1);
    let server = Upstream::start_at(upstream);
    for (path, flags) in [
        ("/v1/orders/%C3%A4%20b?name=J%C3%BCrgen&x=1&x=2&flag", ""),
        ("/v1/orders/missing", ""),
        ("/v1/orders/error", ""),
        ("/v1/orders/reset", "UC"),
        ("/none", "NR"),
    ] {
        let mut message = logged(&service, http, path, flags);
        let seen = server.seen(path);
        assert_eq!(seen.len(), usize::from(flags != "NR"), "{path}");
        let id = message["request"]["id"].clone();
        if let Some(seen) = seen.first() {
            assert_eq!(seen.headers.get("x-request-id").map(String::as_str), id.as_str(), "{path}");
        }
        let answered = flags.is_empty();
        let status = message["response"]["status"].clone();
        let latencies = message["latencies"].take();
        assert_eq!(latencies["proxy"] == -1, !answered, "{path}: {latencies}");
        let parts = ["proxy", "receive", "kong"].map(|name| latencies[name].as_i64().unwrap().max(0));
        assert!(parts.iter().sum::<i64>() <= latencies["request"].as_i64().unwrap(), "{path}: {latencies}");
        let sizes = [message["request"]["size"].clone(), message["response"]["size"].clone()];
        let query = message["request"]["querystring"].clone();
        let mut response_headers = json!({});
        if flags != "NR" {
            response_headers["content-type"] = json!("text/plain");
        }
        let mut expected = json!({
            "request": {
                "id": id, "method": "GET", "uri": path, "url": format!("http://api.example{path}"),
                "querystring": query, "headers": {"accept": "*/*", "host": "api.example", "user-agent": "test/1"},
                "size": sizes[0],
            },
            "response": {"status": status, "headers": response_headers, "size": sizes[1]},
            "upstream_uri": if flags == "NR" { "" } else { path },
            "upstream_status": if answered { status.to_string() } else { String::new() },
            "latencies": null,
            "tries": [{"ip": "127.0.0.1", "port": upstream}],
            "route": {"name": "orders-v1"},
            "service": {"name": "orders", "host": "127.0.0.1", "port": upstream},
            "client_ip": "127.0.0.1",
            "started_at": message["started_at"],
            "source": if answered { "upstream" } else { "kong" },
            "envoy": message["envoy"],
            "otel": message["otel"],
        });
        if !answered {
            expected["flags"] = json!(flags);
        }
        if flags == "NR" {
            for name in ["route", "service", "tries"] {
                expected.as_object_mut().unwrap().remove(name);
            }
        }
        assert_eq!(message, expected, "{path}");
        assert_eq!(message["otel"]["resource"]["log_name"], "http", "{path}");
        assert_eq!(message["envoy"]["protocol"], "HTTP/1.1", "{path}");
    }
    let query = &messages(&service)[1]["request"]["querystring"];
    assert_eq!(*query, json!({"name": "J\u{fc}rgen", "x": ["1", "2"], "flag": true}));
    assert_eq!(service.stop(), 0);
}

/// Sends a request and returns its message, which has what the client saw.
fn logged(service: &Service, port: u16, path: &str, flags: &str) -> Value {
    let before = std::time::SystemTime::now();
    let exchange = request(port, "GET", path, &[("user-agent", "test/1"), ("accept", "*/*")], "");
    let find = || messages(service).into_iter().find(|message| message["request"]["uri"] == path);
    wait_until("the message is logged", || find().is_some());
    let message = find().unwrap();
    assert_eq!(message["response"]["status"].to_string(), exchange.head.word(), "{path}");
    assert_eq!(message["request"]["size"], exchange.sent, "{path}");
    assert_eq!(message["response"]["size"], exchange.received, "{path}");
    // No flags are `-`, which is no value.
    assert_eq!(message["flags"].as_str().unwrap_or_default(), flags, "{path}");
    let before = before.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(u128::from(message["started_at"].as_u64().unwrap()) >= before, "{path}");
    message
}

/// Bytes by xorshift, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

/// Sends a request on a kept connection; returns the status, or `None` if the service closes it.
fn post(stream: &mut TcpStream, content_type: &str, encoding: &str, body: &[u8]) -> Option<u16> {
    let length = body.len();
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-encoding: {encoding}\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if received.len() >= end + 4 + length.map_or(0, |length| length.parse().unwrap()) {
                return head.split(' ').nth(1)?.parse().ok();
            }
        }
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        received.extend_from_slice(&buffer[..read]);
    }
}

/// Scenario: 10,000 requests that are random, or sound ones with a few of their bytes changed or cut off, in protobuf, in JSON and
/// compressed.
/// Guarantees: each is answered 200, 400 or 413; the memory of the service stays small, and it takes a sound request.
#[test]
fn random_requests() {
    let (mut service, port) = start("");
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let text = transaction("a").to_string();
    let json = json!({"resourceLogs": [{"resource": {"attributes": [{"key": "a", "value": {"intValue": "1"}}]},
        "scopeLogs": [{"scope": {"name": "s"}, "logRecords": [{"timeUnixNano": "1", "body": {"stringValue": text}},
        {"body": {"kvlistValue": {"values": [{"key": "k", "value": {"arrayValue": {"values": [{"boolValue": true}]}}}]}}}]}]}]});
    let json = json.to_string().into_bytes();
    let protobuf = include_bytes!("../../fuzz/seeds/otlp/0")[1..].to_vec();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut stream = connect();
    for number in 0..10_000 {
        let (content_type, mut body) = match number % 2 {
            0 => ("application/json", json.clone()),
            _ => ("application/x-protobuf", protobuf.clone()),
        };
        if number % 10 == 0 {
            body = (0..random.next(300)).map(|_| random.next(256) as u8).collect();
        }
        for _ in 0..random.next(5) {
            if !body.is_empty() {
                let at = random.next(body.len());
                body[at] = random.next(256) as u8;
            }
        }
        if random.next(4) == 0 {
            body.truncate(random.next(body.len() + 1));
        }
        let encoding = if random.next(20) == 0 { "gzip" } else { "identity" };
        match post(&mut stream, content_type, encoding, &body) {
            Some(status) => assert!(matches!(status, 200 | 400 | 413), "{number}: {status}"),
            None => panic!("{number}: the connection is closed"),
        }
    }
    let memory = std::fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 300_000, "{peak} kB");
    let before = messages(&service).len();
    assert_eq!(post(&mut connect(), "application/json", "identity", &json), Some(200));
    wait_until("the last request is logged", || messages(&service).len() >= before + 2);
    assert_eq!(service.stop(), 0);
}
