//! What logging plugins write (Logphase's, which write what Kong's do), as inputs of another Logphase.

use serde_json::{Value, json};

use crate::service::{Home, configuration, free_port, transaction, wait_until};

/// The lines of a file, without the last one if it is still being written.
fn lines(home: &Home, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path(name)).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sorted(mut messages: Vec<Value>) -> Vec<Value> {
    messages.sort_by_key(|message| message["id"].as_u64());
    messages
}

/// Scenario: a Logphase with file-log and tcp-log or udp-log, whose peer is the TCP or UDP input of another one with a
/// file-log.
/// Guarantees: the second writes what the first writes, member by member, each message once.
#[test]
fn tcp_log_and_udp_log_are_inputs() {
    for (plugin, setting, more) in
        [("tcp-log", "LOGPHASE_TCP_LISTEN", json!({})), ("udp-log", "LOGPHASE_UDP_LISTEN", json!({}))]
    {
        let port = free_port();
        let second = Home::new().set(setting, format!("127.0.0.1:{port}"));
        let path = second.text("file.log");
        second.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": {"path": path}}])));
        let second = second.start();

        let first = Home::new();
        let mut sender =
            json!({"host": "127.0.0.1", "port": port, "custom_fields_by_lua": {"nested.name": "return 'é/\\\"'"}});
        sender.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let plugins = json!([
            // The later plugin sees the field of the earlier one.
            {"name": "loggly", "enabled": false, "config": {"key": "x"}},
            {"name": plugin, "config": sender},
            {"name": "file-log", "config": {"path": first.text("file.log"), "custom_fields_by_lua": {"nested.name": "return 'é/\\\"'"}}},
        ]);
        first.write("kong.yml", &configuration(&plugins));
        let first = first.start();
        let batch: Vec<Value> = (0..200).map(transaction).collect();
        first.accept(Value::from(batch).to_string());
        wait_until("all messages went through both", || {
            lines(&first.home, "file.log").len() == 200 && lines(&second.home, "file.log").len() == 200
        });
        assert_eq!(sorted(lines(&second.home, "file.log")), sorted(lines(&first.home, "file.log")), "{plugin}");
    }
}
