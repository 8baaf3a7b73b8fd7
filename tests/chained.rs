//! What logging plugins write (Logphase's, which write what Kong's do), as inputs of another Logphase.

use serde_json::{Value, json};

use crate::service::{Authority, Home, configuration, free_port, transaction, wait_until, whole_lines};

/// The lines of a file, without the last one if it is still being written.
fn lines(home: &Home, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path(name)).unwrap_or_default();
    whole_lines(&text)
}

fn sorted(mut messages: Vec<Value>) -> Vec<Value> {
    messages.sort_by_key(|message| message["id"].as_u64());
    messages
}

/// Scenario: a Logphase with a file-log and one of tcp-log (also with TLS), udp-log, syslog and loggly, whose peer is the
/// input of another one with a file-log; and one whose file another one follows.
/// Guarantees: the second writes what the first writes, member by member, each message once.
#[test]
fn outputs_are_inputs() {
    for (plugin, setting, config) in [
        ("tcp-log", "LOGPHASE_TCP_LISTEN", json!({"host": "127.0.0.1"})),
        ("tcp-log", "LOGPHASE_TCP_LISTEN", json!({"host": "127.0.0.1", "tls": true, "ssl_verify": false})),
        ("udp-log", "LOGPHASE_UDP_LISTEN", json!({"host": "127.0.0.1"})),
        ("file-log", "LOGPHASE_FILE_INCLUDE", json!({})),
        ("syslog", "LOGPHASE_SYSLOG_PATHS", json!({})),
        ("loggly", "LOGPHASE_SYSLOG_UDP", json!({"host": "127.0.0.1", "key": "a-token"})),
    ] {
        let port = free_port();
        let (first, second) = (Home::new(), Home::new());
        let (socket, path) = (second.text("log"), second.text("file.log"));
        let mut config = config;
        let address = if plugin == "syslog" {
            config["socket"] = socket.clone().into();
            socket
        } else if plugin == "file-log" {
            first.text("file.log")
        } else {
            config["port"] = port.into();
            format!("127.0.0.1:{port}")
        };
        let mut second = second.set(setting, address);
        if config["tls"] == json!(true) {
            let (certificate, key) = Authority::new().issue("localhost");
            second.write("cert.pem", &certificate);
            second.write("key.pem", &key);
            second.change("LOGPHASE_TCP_TLS_CERTIFICATE", second.text("cert.pem"));
            second.change("LOGPHASE_TCP_TLS_PRIVATE_KEY", second.text("key.pem"));
        }
        second.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": {"path": path}}])));
        let second = second.start();

        let fields = json!({"nested.name": "return 'a \u{e9}/\\\"\\n'", "response.headers.date": "return nil"});
        config["custom_fields_by_lua"] = fields.clone();
        let mut plugins = json!([
            {"name": plugin, "config": config},
            {"name": "file-log", "config": {"path": first.text("file.log"), "custom_fields_by_lua": fields}},
        ]);
        if plugin == "file-log" {
            plugins.as_array_mut().unwrap().remove(0);
        }
        first.write("kong.yml", &configuration(&plugins));
        let first = first.start();
        let batch: Vec<Value> = (0..100).map(transaction).collect();
        first.accept(Value::from(batch).to_string());
        wait_until(&format!("all messages went through {plugin}"), || {
            lines(&first.home, "file.log").len() == 100 && lines(&second.home, "file.log").len() == 100
        });
        assert_eq!(sorted(lines(&second.home, "file.log")), sorted(lines(&first.home, "file.log")), "{plugin}");
    }
}
