//! loggly with a receiver of datagrams.

use serde_json::{Value, json};

use crate::service::{Home, UdpPeer, configuration, rfc5424, transaction};

/// Scenario: a response of each class and an L4 session; tags with each character that needs escaping; a log level that
/// suppresses successful responses.
/// Guarantees: each datagram is RFC 5424 with key and tags, facility `user`, Kong's severity and the complete JSON;
/// messages below the level are not sent.
#[test]
fn datagrams_as_loggly_wants_them() {
    let peer = UdpPeer::start();
    let key = "0f8b5e1c-6a2d-4c7e-9b3a-5d1e2f3a4b5c";
    let tags = ["kong", r#"a "quoted" \ and [bracketed]"#];
    let plugin = |log_level: &str| {
        let config = json!({
            "host": "127.0.0.1", "port": peer.port, "key": key, "tags": tags, "log_level": log_level,
            "client_errors_severity": "warning", "server_errors_severity": "crit",
        });
        configuration(&json!([{"name": "loggly", "protocols": ["http", "tcp"], "config": config}]))
    };
    let answered = |id: u64, status: u16| {
        let mut transaction = transaction(id);
        transaction["response"]["status"] = status.into();
        transaction
    };
    let session =
        json!({"session": {"status": 200}, "latencies": {"session": 40}, "started_at": 1_700_000_000_000_u64});
    let batch = Value::from(vec![answered(1, 200), session, answered(2, 404), answered(3, 503)]);

    let mut service = Home::with(&plugin("info")).start();
    service.accept(batch.to_string());
    peer.wait_for(4);
    assert_eq!(service.stop(), 0);
    let mut service = Home::with(&plugin("warning")).start();
    service.accept(batch.to_string());
    peer.wait_for(6);
    assert_eq!(service.stop(), 0);

    let read: Vec<_> = peer.datagrams().iter().map(|datagram| rfc5424::parse(datagram).unwrap()).collect();
    let priorities: Vec<_> = read.iter().map(|message| message.priority).collect();
    assert_eq!(priorities, [14, 14, 12, 10, 12, 10]);
    for (message, sent) in read.iter().zip([0, 1, 2, 3, 2, 3]) {
        let parameters = tags.map(|tag| ("tag".to_owned(), tag.to_owned())).to_vec();
        assert_eq!(message.elements, [(format!("{key}@41058"), parameters)]);
        assert_eq!((message.name.as_str(), message.process.as_str(), message.id.as_str()), ("kong", "-", "-"));
        let body: Value = serde_json::from_str(&message.message).unwrap();
        assert_eq!(body["request"]["id"], batch[sent]["request"]["id"]);
        assert_eq!(body["response"], batch[sent]["response"]);
    }
    assert_eq!(read[0].timestamp, "2024-09-19T22:10:39Z");
    assert_eq!(read[1].timestamp, "2023-11-14T22:13:20Z");
}
