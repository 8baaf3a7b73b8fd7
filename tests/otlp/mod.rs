//! OpenTelemetry's logs from real senders: the OpenTelemetry SDK for Python, and Envoy's OpenTelemetry access logger.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::service::{Home, Service, TcpPeer, ask, configuration, free_port, wait_until};

/// The packages of the SDK, downloaded if they are missing.
fn packages() -> &'static Path {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
        let fetch = Command::new(root.join(".ci/otlp")).arg(built.join("otlp")).output().unwrap();
        assert!(fetch.status.success(), "{}", String::from_utf8_lossy(&fetch.stderr));
        String::from_utf8(fetch.stdout).unwrap().trim_end().into()
    })
}

/// The SDK, about to send these records to a port.
fn sdk(protocol: &str, compression: &str, port: u16, records: &[Value]) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otlp/send.py");
    let mut command = Command::new("python3");
    command.arg(script).args([protocol, compression, &format!("127.0.0.1:{port}")]);
    command.env("PYTHONPATH", packages()).env("PYTHONDONTWRITEBYTECODE", "1");
    // A proxy of this machine's environment is none of the test's.
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
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
fn messages(service: &Service) -> Vec<Value> {
    let text = std::fs::read_to_string(service.home.path("messages")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is a message")).collect()
}

/// A service that takes logs on the returned port and writes messages to a file.
fn start(settings: &str) -> (Service, u16) {
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
