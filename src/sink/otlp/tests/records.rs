//! The record of a message.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::record::KongRecords;
use super::super::resource::ResourceTemplate;
use super::super::trace::Trace;
use super::super::{Records, request};
use super::TRANSACTION;
use logphase_protocol::otlp::message::{ExportRequest, LogRecord, json_request};
use logphase_protocol::otlp::{Encoding, read};
use prost::Message;

fn records() -> KongRecords {
    KongRecords::new(ResourceTemplate::new(&Default::default()).unwrap())
}

fn record(message: &Value) -> LogRecord {
    records().record(&Bytes::from(message.to_string())).1
}

/// The records of a request, as the OTLP input reads them.
fn read_back(bytes: &Bytes, encoding: Encoding) -> Vec<Value> {
    let mut found = Vec::new();
    read(bytes, encoding, |group, record| {
        let group = group.members(1 << 20).unwrap();
        found.push(serde_json::from_slice(&record.unwrap().object(group, 1 << 20).unwrap()).unwrap());
        Ok::<_, ()>(())
    })
    .unwrap();
    found
}

fn as_object(record: LogRecord) -> Value {
    let (resource_logs, scope) = (Vec::new(), Some(records().scope()));
    let mut request = ExportRequest { resource_logs };
    let scope_logs = vec![logphase_protocol::otlp::message::ScopeLogs { scope, log_records: vec![record] }];
    request.resource_logs.push(logphase_protocol::otlp::message::ResourceLogs { resource: None, scope_logs });
    read_back(&json_request(&request).into(), Encoding::Json).remove(0)
}

/// Scenario: the example transaction.
/// Guarantees: every attribute, the body and the times are those of Kong's access logs.
#[test]
fn the_example() {
    let mut message: Value = serde_json::from_str(TRANSACTION).unwrap();
    message.as_object_mut().unwrap().shift_remove("_context");
    let record = as_object(record(&message));
    insta::assert_snapshot!(serde_json::to_string_pretty(&record).unwrap());
}

/// Scenario: members that other plugins or snippets have set: new ones, one with the name of an attribute, nulls; statuses of
/// several tries; a session; lists of headers; a message that is no JSON.
/// Guarantees: members of their own are attributes, take precedence, and remove an attribute if null; the last status counts.
#[test]
fn members_of_snippets() {
    let message = json!({
        "request": {"method": "GET", "uri": "/x", "headers": {"accept": ["a", "b"]}}, "upstream_status": "502, 200",
        "client_ip": "192.0.2.1", "workspace_name": "default", "service": null,
        "kong.workspace.name": "mine", "client.address": null, "tenant": {"id": 7, "ratio": 0.5}, "none": null, "ok": true,
    });
    let attributes = as_object(record(&message))["attributes"].take();
    let expected = json!({
        "log.type": "access", "kong.subsystem": "http", "http.request.method": "GET", "url.path": "/x", "url.query": "",
        "http.request.header.accept": ["a", "b"], "kong.upstream.status_code": 200,
        "kong.workspace.name": "mine", "tenant": {"id": 7, "ratio": 0.5}, "ok": true,
    });
    assert_eq!(attributes, expected);
    let session =
        json!({"session": {"status": 200, "received": 5}, "latencies": {"session": 12}, "started_at": 1000.5});
    let record = record(&session);
    assert_eq!(record.time_unix_nano, 1_012_500_000);
    let record = as_object(record);
    assert_eq!((&record["body"], &record["attributes"]["kong.subsystem"]), (&json!("200 12ms"), &json!("stream")));
    let (_, text) = records().record(&Bytes::from_static(b"no \xff json"));
    assert_eq!((as_object(text)["body"].as_str(), 0), (Some("no \u{fffd} json"), 0));
}

/// Scenario: headers of W3C and B3 in all forms, ids that Kong has logged, and broken ones.
/// Guarantees: trace, span and flags are those of the first valid context of the trace that Kong says.
#[test]
fn traces() {
    let long = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (span, short) = ("00f067aa0ba902b7", "a3ce929d0e0e4736");
    let of = |headers: Value, logged: Value| {
        let message = json!({"request": {"headers": headers}, "trace_id": logged});
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Trace::of(message.as_object().unwrap()).map(|trace| (hex(&trace.trace_id), hex(&trace.span_id), trace.flags))
    };
    let found = |trace: &str, span: &str, flags| Some((trace.to_owned(), span.to_owned(), flags));
    let w3c = format!("00-{long}-{span}-01");
    assert_eq!(of(json!({"traceparent": w3c}), Value::Null), found(long, span, 1));
    assert_eq!(of(json!({"traceparent": [w3c]}), json!({"w3c": long})), found(long, span, 1));
    let other = "11111111111111111111111111111111";
    assert_eq!(of(json!({"traceparent": w3c}), json!({"w3c": other})), found(other, "", 0));
    assert_eq!(of(json!({"traceparent": format!("cc-{long}-{span}-00-more")}), Value::Null), found(long, span, 0));
    assert_eq!(
        of(json!({"b3": format!("{short}-{span}-d")}), Value::Null),
        found(&format!("0000000000000000{short}"), span, 1)
    );
    let several = json!({"x-b3-traceid": long, "x-b3-spanid": span, "x-b3-sampled": "1"});
    assert_eq!(of(several, Value::Null), found(long, span, 1));
    let (zeros, upper) = ("0".repeat(32), long.to_uppercase());
    for broken in [
        format!("00-{zeros}-{span}-01"),
        format!("00-{long}-{}-01", "0".repeat(16)),
        format!("ff-{long}-{span}-01"),
        format!("00-{long}-{span}-01-more"),
        format!("00-{short}-{span}-01"),
        format!("00-{long}-{span}"),
        format!("00-{}-{span}-01", "g".repeat(32)),
        "\u{e9}".repeat(27),
        String::new(),
    ] {
        assert_eq!(of(json!({"traceparent": broken}), Value::Null), None, "{broken}");
    }
    assert_eq!(of(json!({"traceparent": "x", "b3": format!("{upper}-{span}-0")}), Value::Null), found(long, span, 0));
    assert_eq!(of(json!({"b3": "0"}), json!({"datadog": "123"})), None);
}

/// Scenario: two messages that differ in what their resource refers to.
/// Guarantees: neighbours with the same resource share it, and the order stays.
#[test]
fn resources_are_shared() {
    let attributes = [("tenant".to_owned(), "$(headers.x-tenant)".to_owned())];
    // A hyphen is no part of a name in Lua.
    assert!(ResourceTemplate::new(&attributes.into()).is_err());
    let attributes = [("tenant".to_owned(), "$(headers.x_tenant)".to_owned())];
    let records = KongRecords::new(ResourceTemplate::new(&attributes.into()).unwrap());
    let entry = |tenant: &str, method: &str| {
        Bytes::from(json!({"request": {"method": method, "headers": {"x-tenant": tenant}}}).to_string())
    };
    let request = request(&records, &[entry("a", "1"), entry("a", "2"), entry("b", "3"), entry("a", "4")]);
    assert_eq!(request.resource_logs.len(), 3);
    let found = read_back(&request.encode_to_vec().into(), Encoding::Protobuf);
    let shown: Vec<_> = found.iter().map(|record| (&record["resource"]["tenant"], &record["body"])).collect();
    assert_eq!(json!(shown), json!([["a", "1"], ["a", "2"], ["b", "3"], ["a", "4"]]));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
    ];
    let name = prop_oneof![
        "[a-z.]{1,6}",
        proptest::sample::select(vec![
            "request",
            "response",
            "headers",
            "uri",
            "url",
            "latencies",
            "tries",
            "route",
            "service",
            "session",
            "status",
            "method",
            "trace_id",
            "started_at",
            "upstream_status",
            "traceparent",
            "b3",
            "content-length",
            "user-agent",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    /// Scenario: any message.
    /// Guarantees: it becomes a record with each key once, and both encodings are read back as the same record.
    #[test]
    fn any_message_is_a_record(message in value()) {
        let entry = Bytes::from(message.to_string());
        let request = request(&records(), &[entry]);
        let attributes = &request.resource_logs[0].scope_logs[0].log_records[0].attributes;
        let mut keys: Vec<_> = attributes.iter().map(|attribute| &attribute.key).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        prop_assert_eq!(keys.len(), count);
        let protobuf = read_back(&request.encode_to_vec().into(), Encoding::Protobuf);
        let json = read_back(&json_request(&request).into(), Encoding::Json);
        prop_assert_eq!(protobuf, json);
    }
}
