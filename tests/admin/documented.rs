//! The commands of Kong's documentation pages, old and new. Only addresses, ports and paths are others.

use std::process::Command;

use serde_json::{Value, json};

use super::Admin;
use crate::kafka;
use crate::service::{TcpPeer, UdpPeer, transaction, wait_until};

/// Runs a command of a page, and returns what it prints.
#[track_caller]
fn run(admin: &Admin, command: &str, places: &[(&str, &str)]) -> Value {
    let hosts = ["http://kong:8001", "http://localhost:8001", "http://<admin-hostname>:8001"];
    let here = format!("http://127.0.0.1:{}", admin.port);
    let command = hosts.iter().fold(command.to_owned(), |command, host| command.replace(host, &here));
    let command = places.iter().fold(command, |command, (place, value)| command.replace(place, value));
    let ran = Command::new("sh").args(["-c", &command]).output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    let body = text.find('{').map(|start| &text[start..]).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{command}\n{error}: {text}"))
}

/// A transaction of the API `name`, as Kong before 1.0 logs it.
fn of_api(id: u64, api: &Value) -> Value {
    let mut transaction = transaction(id);
    let members = transaction.as_object_mut().unwrap();
    members.remove("route");
    members.remove("service");
    members.insert("api".to_owned(), json!({"id": api["id"], "name": api["name"]}));
    transaction
}

/// Scenario: File Log, UDP Log and TCP Log as their pages put them on a service, on a route, on all, with a field by Lua; then a
/// transaction. Guarantees: each receiver has its message, with the field.
#[test]
fn current_pages() {
    let admin = Admin::start();
    let (tcp, udp, file) = (TcpPeer::start(), UdpPeer::start(), admin.service.home.text("file.log"));
    admin.expect(201, "POST", "/services", Some(json!({"name": "orders-svc", "host": "h"})));
    admin.expect(201, "POST", "/services/orders-svc/routes", Some(json!({"name": "orders", "paths": ["/orders"]})));
    let (tcp_port, udp_port) = (tcp.port.to_string(), udp.port.to_string());
    let places = [
        ("{service}", "orders-svc"),
        ("{route_id}", "orders"),
        ("/tmp/file.log", &file),
        ("port=9999", &format!("port={tcp_port}")),
        ("port=9998", &format!("port={udp_port}")),
    ];
    for command in [
        r#"curl -X POST http://kong:8001/services/{service}/plugins \
            --data "name=file-log"  \
            --data "config.path=/tmp/file.log""#,
        r#"curl -X POST http://kong:8001/routes/{route_id}/plugins \
            --data "name=udp-log"  \
            --data "config.host=127.0.0.1" \
            --data "config.port=9998" \
            --data "config.timeout=10000""#,
        r#"curl -X POST http://localhost:8001/plugins/ \
            --data "name=tcp-log" \
            --data "config.host=127.0.0.1" \
            --data "config.port=9999" \
            --data "config.timeout=1000" \
            --data "config.keepalive=1000""#,
    ] {
        let made = run(&admin, command, &places);
        assert!(made["id"].is_string(), "{command}: {made}");
    }
    let plugins = admin.expect(200, "GET", "/services/orders-svc/plugins", None);
    let id = plugins["data"][0]["id"].as_str().unwrap();
    let field = r#"curl -i -X PATCH http://<admin-hostname>:8001/plugins/{id} \
        --data config.custom_fields_by_lua.traceid='return kong.request.get_header("h1")' \
        --data 'config.custom_fields_by_lua[my_file.log\.field]=return "foo"'"#;
    let changed = run(&admin, field, &[("{id}", id)]);
    assert_eq!(changed["config"]["custom_fields_by_lua"]["my_file.log\\.field"], "return \"foo\"", "{changed}");
    admin.service.accept(transaction(7).to_string());
    tcp.wait_for(1);
    udp.wait_for(1);
    wait_until("the file has the message", || std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    let message: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((&message["traceid"], &message["my_file"]["log.field"]), (&json!("v7"), &json!("foo")));
    tcp.messages().assert_once(&[7].into());
}

/// Scenario: Kafka Log as its page adds it, with a real broker; then a transaction. Guarantees: the topic has the message.
#[test]
fn kafka_page() {
    let (admin, broker) = (Admin::start(), kafka::broker());
    let topic = "kong-log-admin";
    broker.create_topic(topic, 10, &[]);
    let port = format!("port={}", broker.ports.plain);
    let made = run(
        &admin,
        r#"curl -X POST http://localhost:8001/plugins \
            --data "name=kafka-log" \
            --data "config.bootstrap_servers[1].host=localhost" \
            --data "config.bootstrap_servers[1].port=9092" \
            --data "config.topic=kong-log""#,
        &[("port=9092", &port), ("=kong-log\"", "=kong-log-admin\"")],
    );
    assert_eq!(made["config"]["bootstrap_servers"][0]["host"], "localhost", "{made}");
    admin.service.accept(transaction(8).to_string());
    assert_eq!(kafka::topic::wait_for(broker, topic, 1)[0].id(), 8);
}

/// Scenario: the pages of Kong before 1.0: an API with File Log, UDP Log and TCP Log by `/apis/{api}/plugins`; TCP Log by
/// `/plugins_configurations/` as Kong before 0.5 had it, for another API. Guarantees: messages have `api`; that of `tcplog` ends with CR LF, as
/// its messages did.
#[test]
fn pages_of_kong_before_1() {
    let admin = Admin::start();
    let (tcp, old, udp) = (TcpPeer::start(), TcpPeer::start(), UdpPeer::start());
    let file = admin.service.home.text("file.log");
    let api = run(
        &admin,
        r#"curl -i -X POST --url http://localhost:8001/apis/ \
            --data 'name=example-api' --data 'hosts=example.com,example.org' --data 'upstream_url=http://httpbin.org'"#,
        &[],
    );
    assert_eq!(api["hosts"], json!(["example.com", "example.org"]), "{api}");
    let (tcp_port, udp_port) = (format!("port={}", tcp.port), format!("port={}", udp.port));
    let places =
        [("{api}", "example-api"), ("/tmp/file.log", &*file), ("port=9999", &*tcp_port), ("port=9998", &*udp_port)];
    for command in [
        r#"curl -X POST http://kong:8001/apis/{api}/plugins \
            --data "name=tcp-log" \
            --data "config.host=127.0.0.1" \
            --data "config.port=9999" \
            --data "config.timeout=1000" \
            --data "config.keepalive=1000""#,
        r#"curl -X POST http://kong:8001/apis/{api}/plugins \
            --data "name=udp-log" \
            --data "config.host=127.0.0.1" \
            --data "config.port=9998" \
            --data "config.timeout=10000""#,
        r#"curl -X POST http://kong:8001/apis/{api}/plugins \
            --data "name=file-log" \
            --data "config.path=/tmp/file.log""#,
    ] {
        let made = run(&admin, command, &places);
        assert_eq!(made["api_id"], api["id"], "{command}: {made}");
    }
    let first = run(
        &admin,
        r#"curl -i -X POST --url http://localhost:8001/apis/ --data 'name=mockbin' --data 'target_url=http://mockbin.com/' --data 'public_dns=mockbin.com'"#,
        &[],
    );
    let id = first["id"].as_str().unwrap();
    let made = run(
        &admin,
        r#"curl -d "name=tcplog" \
             -d "api_id=API_ID" \
             -d "value.host=127.0.0.1" \
             -d "value.port=9999" \
             -d "value.timeout=1000" \
             -d "value.keepalive=1000" \
             http://kong:8001/plugins_configurations/"#,
        &[("API_ID", id), ("port=9999", &format!("port={}", old.port))],
    );
    assert_eq!((&made["name"], &made["value"]["timeout"]), (&json!("tcplog"), &json!(1000)), "{made}");
    let list = run(&admin, "curl http://kong:8001/plugins_configurations/?name=tcplog", &[]);
    assert_eq!((&list["total"], &list["data"][0]["id"]), (&json!(1), &made["id"]));
    admin.service.accept(json!([of_api(1, &api), of_api(2, &first)]).to_string());
    tcp.wait_for(1);
    udp.wait_for(1);
    old.wait_for(1);
    let message: Value = serde_json::from_slice(&tcp.lines()[0]).unwrap();
    assert_eq!(message["api"]["name"], "example-api");
    let line = old.lines()[0].clone();
    assert!(line.ends_with(b"\r"), "{}", String::from_utf8_lossy(&line));
    assert_eq!(serde_json::from_slice::<Value>(&line).unwrap()["api"]["name"], "mockbin");
    wait_until("the file has the message", || std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
}
