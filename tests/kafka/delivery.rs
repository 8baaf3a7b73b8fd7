//! Delivery: values, arrays, headers, and messages that a broker rejects.

use serde_json::{Value, json};

use super::topic::{read, wait_for};
use super::{Home, broker, kafka_log, plugins, set_config};
use crate::service::{Ended, transaction, wait_until};

/// Scenario: twenty transactions, one request each, with three Lua fields; read back with kcat.
/// Guarantees: each arrives once, in order, as a record without a key; its value is the message as JSON, with the
/// fields that were set and without those that were removed.
#[test]
fn messages_with_fields() {
    let broker = broker();
    broker.create_topic("messages", 1, &[]);
    let fields = json!({
        "agent": "return kong.request.get_header('user-agent')",
        "failed": "return kong.response.get_status() >= 500",
        "route": "return nil",
    });
    let kong = plugins(kafka_log(broker, "messages", &json!({"custom_fields_by_lua": fields})));
    let mut service = Home::with(&kong).start();
    for id in 0..20 {
        service.accept(transaction(id).to_string());
    }
    assert_eq!(service.stop(), 0, "everything is delivered before it ends");
    let records = read(broker, "messages");
    assert_eq!(records.iter().map(|record| record.id()).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    for record in &records {
        let mut expected = transaction(record.id());
        expected["agent"] = json!("curl/8.5");
        expected["failed"] = json!(false);
        expected["request"]["headers"]["authorization"] = json!("REDACTED");
        expected.as_object_mut().unwrap().remove("route");
        assert_eq!(record.json(), expected);
        assert_eq!((record.key.as_deref(), &record.headers[..]), (None, &[][..]));
    }
}

/// Scenario: a transaction whose `_context` has the request's body, a form.
/// Guarantees: the record has the body and its arguments, as Kong documents them, and no `_context`.
#[test]
fn request_body() {
    let broker = broker();
    broker.create_topic("bodies", 1, &[]);
    let mut service = Home::with(&plugins(kafka_log(broker, "bodies", &json!({})))).start();
    let mut sent = transaction(1);
    sent["request"]["headers"]["content-type"] = json!("application/x-www-form-urlencoded");
    sent["_context"] = json!({"request_body": "a=1&b=%2F&a=2"});
    service.accept(sent.to_string());
    assert_eq!(service.stop(), 0);
    let message = read(broker, "bodies")[0].json();
    assert_eq!(message["body"], json!("a=1&b=%2F&a=2"));
    assert_eq!(message["body_args"], json!({"a": ["1", "2"], "b": "/"}));
    assert_eq!(message.get("_context"), None);
}

/// Scenario: `logphase run --stdin` with two thousand lines.
/// Guarantees: exit code 0; by then all messages are in the topic, each once, in order.
#[test]
fn standard_input() {
    let broker = broker();
    broker.create_topic("standard-input", 1, &[]);
    let input: String = (0..2000).map(|id| format!("{}\n", transaction(id))).collect();
    let home = Home::with(&plugins(kafka_log(broker, "standard-input", &json!({}))));
    let ended: Ended = home.set("LOGPHASE_WORKERS", "1").run(&["run", "kong.yml", "--stdin"], input.as_bytes());
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let ids: Vec<u64> = read(broker, "standard-input").iter().map(super::topic::Record::id).collect();
    assert_eq!(ids, (0..2000).collect::<Vec<_>>());
}

/// Scenario: `max_batch_size` of 4 and ten transactions in one request.
/// Guarantees: every record is an array of at most four messages, at least one of them with several; all messages
/// arrive once and in order.
#[test]
fn arrays() {
    let broker = broker();
    broker.create_topic("arrays", 1, &[]);
    let kong = plugins(kafka_log(broker, "arrays", &json!({"max_batch_size": 4})));
    let mut service = Home::with(&kong).start();
    service.accept(Value::from((0..10).map(transaction).collect::<Vec<_>>()).to_string());
    assert_eq!(service.stop(), 0);
    let arrays: Vec<Value> = read(broker, "arrays").iter().map(super::topic::Record::json).collect();
    let lengths: Vec<usize> = arrays.iter().map(|array| array.as_array().expect("an array").len()).collect();
    let sound = lengths.iter().all(|length| (1..=4).contains(length)) && lengths.iter().any(|length| *length > 1);
    assert!(sound, "{lengths:?}");
    let messages = arrays.iter().flat_map(|array| array.as_array().unwrap());
    let ids: Vec<_> = messages.map(crate::service::id_of).collect();
    assert_eq!(ids, (0..10).map(Some).collect::<Vec<_>>());
}

/// Scenario: `record_headers` with a text, a number, an object and a member that no message has.
/// Guarantees: text is the header's value unchanged, other values are JSON, and a missing member creates no header.
#[test]
fn record_headers() {
    let broker = broker();
    broker.create_topic("headers", 1, &[]);
    let headers = json!({
        "agent": "request.headers.user-agent", "status": "response.status",
        "arguments": "request.querystring", "nothing": "request.headers.x-nothing",
    });
    let kong = plugins(kafka_log(broker, "headers", &json!({"record_headers": headers})));
    let mut service = Home::with(&kong).start();
    service.accept(transaction(1).to_string());
    let records = wait_for(broker, "headers", 1);
    let mut headers = records[0].headers.clone();
    headers.sort();
    let expected = [("agent", "curl/8.5"), ("arguments", r#"{"limit":"10"}"#), ("status", "200")];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(service.stop(), 0);
}

/// Scenario: a topic that does not exist and is created while messages wait for it.
/// Guarantees: the log names the topic and what to do; all messages arrive in order, once.
#[test]
fn missing_topic() {
    let broker = broker();
    let kong = plugins(kafka_log(broker, "made-late", &json!({})));
    let mut service = Home::with(&kong).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.5").start();
    for id in 0..5 {
        service.accept(transaction(id).to_string());
    }
    wait_until("the log says what to do about the topic", || {
        service.log().lines().any(|line| line.contains("made-late") && line.contains("create it"))
    });
    broker.create_topic("made-late", 1, &[]);
    let records = wait_for(broker, "made-late", 5);
    assert_eq!(records.iter().map(|record| record.id()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(service.stop(), 0);
}

/// Scenario: a topic with a limit of 20,000 bytes, and an incompressible message of 100,000 bytes between two small
/// ones.
/// Guarantees: the small ones arrive; the large one becomes a complete dead letter that names the setting.
#[test]
fn message_that_the_topic_refuses() {
    let broker = broker();
    broker.create_topic("small", 1, &[("max.message.bytes", "20000")]);
    let kong = plugins(kafka_log(broker, "small", &json!({})));
    let mut service = Home::with(&kong).start();
    let mut large = transaction(1);
    large["request"]["headers"]["x-large"] = json!(noise(100_000));
    for message in [transaction(0), large, transaction(2)] {
        service.accept(message.to_string());
    }
    let records = wait_for(broker, "small", 2);
    assert_eq!(records.iter().map(|record| record.id()).collect::<Vec<_>>(), [0, 2]);
    wait_until("there is a dead letter", || service.home.queues().iter().any(|queue| queue["state"] == "dead_letters"));
    assert_eq!(service.stop(), 0);
    let letters = service.home.messages_in("dead-letters/kafka-log");
    let [letter] = letters.as_slice() else { panic!("one letter: {letters:?}") };
    assert_eq!(crate::service::id_of(&letter["message"]), Some(1));
    assert!(letter["reason"].as_str().unwrap().contains("max.message.bytes"), "{}", letter["reason"]);
    assert_eq!(read(broker, "small").len(), 2, "nothing is sent again");
}

/// Incompressible text of this many bytes.
fn noise(bytes: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + u8::try_from(state % 90).expect("below 90"))
    };
    (0..bytes).map(|_| next()).collect()
}

/// Scenario: each compression of the schema, 60 messages in one request.
/// Guarantees: all arrive, and the batches in the broker's segment have this codec.
#[test]
fn compressions() {
    let broker = broker();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("codec-{codec}");
        broker.create_topic(&topic, 1, &[]);
        let kong = plugins(set_config(kafka_log(broker, &topic, &json!({})), "compression", json!(codec)));
        let mut service = Home::with(&kong).start();
        service.accept(Value::from((0..60).map(transaction).collect::<Vec<_>>()).to_string());
        assert_eq!(service.stop(), 0);
        let ids: Vec<u64> = read(broker, &topic).iter().map(super::topic::Record::id).collect();
        assert_eq!(ids, (0..60).collect::<Vec<_>>(), "{codec}");
        let codecs = codecs(broker, &topic);
        assert!(!codecs.is_empty() && codecs.iter().all(|found| found == codec), "{codec}: {codecs:?}");
    }
}

/// The codec of each batch of a partition, as read by Kafka's own tool.
fn codecs(broker: &super::Broker, topic: &str) -> Vec<String> {
    let mut dump = broker.java("org.apache.kafka.tools.DumpLogSegments");
    dump.arg("--files").args(broker.segments(topic, 0));
    let dump = dump.output().unwrap();
    let text = String::from_utf8_lossy(&dump.stdout).into_owned();
    let codec = |line: &str| Some(line.split("compresscodec: ").nth(1)?.split(' ').next()?.to_lowercase());
    text.lines().filter_map(codec).collect()
}
