//! Messages by the schema of a registry.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use logphase_net::testing::{MockServer, ok};

/// Scenario: a registry that fails once, then returns a schema for values and one for keys; one message does not match
/// the schema.
/// Guarantees: messages wait for the schema; only the mismatching message is rejected, with the place of the mismatch;
/// the others and their keys are in the topic in Confluent's wire format, in order.
#[tokio::test(flavor = "multi_thread")]
async fn messages_are_encoded() {
    let failures = AtomicUsize::new(1);
    let registry = MockServer::start(move |request| {
        if failures.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return (503, Vec::new(), String::new());
        }
        if request.line.contains("/subjects/keys/") {
            return ok(json!({"id": 6, "schema": "\"string\""}));
        }
        let fields = json!([{"name": "n", "type": "int"}]);
        ok(json!({"id": 5, "schema": json!({"type": "record", "name": "R", "fields": fields}).to_string()}))
    })
    .await;
    let schemas = json!({"confluent": {"url": registry.url(""), "value_schema": {"subject_name": "log"},
        "key_schema": {"subject_name": "keys"}}});
    let cluster = cluster(1, 1);
    let mut sink = sink(&cluster, json!({"schema_registry": schemas, "key_query_arg": "id"}));
    let all = [r#"{"n": 1, "request": {"querystring": {"id": "a"}}}"#, r#"{"n": "two"}"#, r#"{"n": 3}"#];
    let mut dispatcher = Dispatcher::default();
    dispatcher.send(&mut sink, &all.map(|entry| Bytes::from_static(entry.as_bytes()))).await;
    dispatcher.finish(&mut sink).await;
    assert!(dispatcher.retries[0].contains("503 Service Unavailable"), "{:?}", dispatcher.retries);
    assert_eq!((dispatcher.settled, dispatcher.refused.len()), (2, 1));
    let expected = "the message does not fit the latest version of subject log: /n: expected int, found a string";
    assert_eq!((&dispatcher.refused[0].0[..], &*dispatcher.refused[0].1), (all[1].as_bytes(), expected));
    let seen: Vec<_> = consume(&cluster, 1, 2).into_iter().map(|seen| (seen.key, seen.value)).collect();
    let (first, last) = ("\0\0\0\0\u{5}\u{2}".to_owned(), "\0\0\0\0\u{5}\u{6}".to_owned());
    assert_eq!(seen, [(Some("\0\0\0\0\u{6}\u{2}a".to_owned()), first), (None, last)]);
}

/// Scenario: a registry without a URL.
/// Guarantees: opening the plugin fails with the name of the field.
#[tokio::test]
async fn a_registry_needs_its_url() {
    let config = json!({"topic": TOPIC, "bootstrap_servers": [{"host": "a", "port": 1}],
        "schema_registry": {"confluent": {"value_schema": {"subject_name": "log"}}}});
    let errors = KafkaSink::new(parsed(&config), &SinkShared::new(None)).err().expect("refused");
    let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["schema_registry.confluent.url"]);
}
