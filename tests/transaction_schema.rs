//! The published JSON Schema of a transaction (`docs/transaction.schema.json`).

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::{Value, json};

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the file is part of the project");
    serde_json::from_str(&text).expect("the file is JSON")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn schema() -> Value {
    read(&root().join("docs/transaction.schema.json"))
}

fn validator() -> Validator {
    jsonschema::draft202012::options().build(&schema()).expect("the schema is a sound one")
}

/// Scenario: the schema and the meta-schema of its draft.
/// Guarantees: it is valid JSON Schema 2020-12, not only JSON.
#[test]
fn is_a_schema() {
    assert!(jsonschema::draft202012::meta::is_valid(&schema()));
}

/// Scenario: the transaction of each conformance case, recorded from Kong's own log phase.
/// Guarantees: the schema accepts what Kong sends.
#[test]
fn conformance_transactions_fit() {
    let validator = validator();
    let mut cases = 0;
    for entry in std::fs::read_dir(root().join("tests/conformance")).expect("the cases are part of the project") {
        let path = entry.expect("the directory can be read").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let case = read(&path);
        let errors: Vec<_> = validator
            .iter_errors(&case["transaction"])
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        cases += 1;
    }
    assert!(cases >= 99, "only {cases} cases");
}

/// Scenario: an L4 session, a message with a proxy's own fields, one with a complete `_context`, an empty object.
/// Guarantees: the schema accepts all of them.
#[test]
fn other_transactions_fit() {
    let validator = validator();
    let stream = json!({
        "session": {"received": 100, "sent": 200, "status": 200, "server_port": 9000, "tls": {"version": "TLSv1.3"}},
        "upstream": {"received": 200, "sent": 100},
        "latencies": {"kong": 1, "session": 40},
        "tries": {},
        "client_ip": "10.0.0.1",
        "started_at": 1_700_000_000_000_u64,
    });
    let context = json!({"_context": {
        "request_body": "aGk=", "request_body_base64": true, "response_body": "hello", "response_body_base64": false,
        "vars": {"upstream_addr": "10.0.0.2:80", "ssl_session_reused": null}, "shared": {"any": [1, {"x": null}]},
        "http_version": 2, "raw_path": "/a/../b", "start_time": 1, "forwarded_scheme": "https",
        "uri_captures": {"unnamed": ["/a", "b"], "named": {"id": "b"}}, "forwarded_host": "example.com",
        "forwarded_port": 443, "forwarded_path": "/b", "forwarded_prefix": "/", "forwarded_ip": "203.0.113.1",
        "client_port": 4711, "client_protocol": "https", "consumer_groups": ["gold"],
        "node": {"id": "n", "hostname": "h"},
        "service_response": {"status": 200, "headers": {"x-a": ["1", "2"]}, "body": "text"},
    }});
    let own = json!({"my_file": {"log.field": 1}, "request": {"spent": [1]}, "response": {"x": true}, "env": "prod"});
    for transaction in [json!({}), stream, context, own] {
        let errors: Vec<_> = validator.iter_errors(&transaction).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{transaction}: {errors:#?}");
    }
}

/// Scenario: values of a wrong type.
/// Guarantees: the schema rejects them, at the top, in a member and through a reference.
#[test]
fn mistakes_do_not_fit() {
    let validator = validator();
    for transaction in [
        json!([]),
        json!("text"),
        json!({"request": []}),
        json!({"request": {"method": 1}}),
        json!({"request": {"headers": {"host": {"nested": 1}}}}),
        json!({"response": {"status": "200"}}),
        json!({"service": {"port": 70_000}}),
        json!({"route": {"id": 4}}),
        json!({"tries": [{"port": "80"}]}),
        json!({"started_at": "now"}),
        json!({"_context": {"request_body_base64": "yes"}}),
        json!({"_context": {"consumer_groups": "gold"}}),
        json!({"_context": {"forwarded_port": "443"}}),
    ] {
        assert!(!validator.is_valid(&transaction), "{transaction} must not fit");
    }
}

/// Scenario: every property of the schema, at every depth.
/// Guarantees: each has a description, its own or through its reference.
#[test]
fn everything_is_described() {
    fn described(schema: &Value, root: &Value) -> bool {
        let reference = schema["$ref"].as_str().and_then(|reference| root.pointer(reference.strip_prefix('#')?));
        schema["description"].as_str().is_some_and(|text| !text.is_empty())
            || reference.is_some_and(|schema| described(schema, root))
    }
    fn walk(value: &Value, root: &Value, path: &str, seen: &mut usize) {
        for (name, property) in value["properties"].as_object().into_iter().flatten() {
            assert!(described(property, root), "{path}.{name} has no description");
            *seen += 1;
            walk(property, root, &format!("{path}.{name}"), seen);
        }
        for (name, definition) in value["$defs"].as_object().into_iter().flatten() {
            assert!(described(definition, root), "{name} has no description");
            walk(definition, root, name, seen);
        }
    }
    let schema = schema();
    let mut seen = 0;
    walk(&schema, &schema, "transaction", &mut seen);
    assert!(seen > 80, "only {seen} properties were found");
}
