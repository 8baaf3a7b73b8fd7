//! The examples of plugins that deliver over the network, each with a real receiver instead of the one that it names.

use std::path::Path;

use serde_json::Value;

use crate::kafka;
use crate::service::{Home, Nginx, Rsyslog, Service, TcpPeer, UdpPeer, rfc5424, wait_until};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Starts the example of `plugin` with `from` replaced by `to`, and sends it the example transaction.
fn run(plugin: &str, from: &str, to: &str) -> Service {
    let kong = read(&format!("{plugin}/kong.yml"));
    assert!(kong.contains(from), "{plugin}'s example has no {from:?}");
    let service = Home::with(&kong.replace(from, to)).start();
    service.accept(read("transaction.json"));
    service
}

/// The message of the plugin in `expected.ndjson`.
fn expected(plugin: &str) -> Value {
    let lines = read(&format!("{plugin}/expected.ndjson"));
    let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.find(|line| line["plugin"] == plugin).expect("the example has such a plugin")["message"].take()
}

fn json(bytes: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(bytes.as_ref()).expect("a message is JSON")
}

/// Scenario: kafka-log's example with a real broker.
/// Guarantees: the expected message is in the topic, with its headers.
#[test]
fn kafka_log() {
    let broker = kafka::broker();
    broker.create_topic("of-the-example", 3, &[]);
    let servers = "- { host: localhost, port: 9092 }\n      topic: transactions";
    let here = format!("- {{ host: localhost, port: {} }}\n      topic: of-the-example", broker.ports.plain);
    let mut service = run("kafka-log", servers, &here);
    let records = kafka::topic::wait_for(broker, "of-the-example", 1);
    assert_eq!(service.stop(), 0);
    assert_eq!(records[0].json(), expected("kafka-log"));
    let headers = [("status", "201"), ("route", "orders-v1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert!(headers.iter().all(|header| records[0].headers.contains(header)), "{:?}", records[0].headers);
}

/// Scenario: http-log's example with a real nginx.
/// Guarantees: a list with the expected message is posted.
#[test]
fn http_log() {
    let nginx = Nginx::start("");
    let mut service = run("http-log", "http://localhost:8088/", &format!("http://127.0.0.1:{}/", nginx.port));
    nginx.wait_for(1);
    assert_eq!(service.stop(), 0);
    assert_eq!(nginx.posted()[0].messages(), [expected("http-log")]);
}

/// Scenario: opentelemetry's example with the OTLP input of another service.
/// Guarantees: the record has the attributes of the expected message, by Lua too.
#[test]
fn opentelemetry() {
    let (far, port) = crate::otlp::start("inputs:\n  otlp:\n    mapping: otel\n");
    let mut service = run("opentelemetry", "localhost:4318", &format!("127.0.0.1:{port}"));
    wait_until("the record is logged", || !crate::otlp::messages(&far).is_empty());
    assert_eq!(service.stop(), 0);
    let (message, expected) = (crate::otlp::messages(&far).remove(0), expected("opentelemetry"));
    for path in ["/request/method", "/request/uri", "/response/status", "/client_ip"] {
        assert_eq!(message.pointer(path), expected.pointer(path), "{path}");
    }
    assert_eq!((&expected["tenant.name"], &expected["user_agent.original"]), (&"acme".into(), &Value::Null));
}

/// Scenario: syslog's example with a real rsyslogd on another socket.
/// Guarantees: the expected message arrives, with its facility.
#[test]
fn syslog() {
    let daemon = Rsyslog::start();
    let socket = format!("facility: local3\n      socket: {}", daemon.socket().display());
    let mut service = run("syslog", "facility: local3", &socket);
    let records = daemon.wait_for(1);
    assert_eq!(service.stop(), 0);
    assert_eq!(json(records[0].message.trim()), expected("syslog"));
    assert_eq!((records[0].facility.as_str(), records[0].severity.as_str()), ("local3", "info"));
}

/// Scenario: loggly's example with a local receiver.
/// Guarantees: the expected message arrives, with its tags.
#[test]
fn loggly() {
    let peer = UdpPeer::start();
    let here = format!("host: 127.0.0.1\n      port: {}\n      tags:", peer.port);
    let mut service = run("loggly", "tags:", &here);
    peer.wait_for(1);
    assert_eq!(service.stop(), 0);
    let message = rfc5424::parse(&peer.datagrams()[0]).expect("RFC 5424");
    assert_eq!(json(message.message), expected("loggly"));
    assert_eq!(message.elements[0].1.len(), 2);
}

/// Scenario: the examples of tcp-log and udp-log with local receivers.
/// Guarantees: the expected messages arrive.
#[test]
fn tcp_log_and_udp_log() {
    let tcp = TcpPeer::start();
    let mut service = run("tcp-log", "port: 5170", &format!("port: {}", tcp.port));
    tcp.wait_for(1);
    assert_eq!(service.stop(), 0);
    assert_eq!(json(&tcp.lines()[0]), expected("tcp-log"));
    let udp = UdpPeer::start();
    let mut service = run("udp-log", "port: 5171", &format!("port: {}", udp.port));
    udp.wait_for(1);
    assert_eq!(service.stop(), 0);
    assert_eq!(json(&udp.datagrams()[0]), expected("udp-log"));
}
