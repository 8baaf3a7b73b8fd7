//! Entries of Envoy 1.40 with what its file logger printed for the same requests and connections.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::super::{AlsEntry, Placeholders, Source, Template, missing_operators};
use super::{options, render, render_json, text};
use crate::envoy::entry::{HttpEntry, TcpEntry};
use crate::envoy::json_form::{EncodedEntry, encode};

struct Sample {
    name: String,
    /// The entry in the JSON form of protobuf.
    entry: Value,
    /// As Envoy sent it.
    encoded: EncodedEntry,
    text: Map<String, Value>,
    json: Map<String, Value>,
}

fn samples() -> Vec<Sample> {
    let encoded = include_str!("../../../tests/samples.ndjson").lines();
    let forms = include_str!("../../../tests/samples-json.ndjson").lines();
    let sample = |(encoded, form)| {
        let encoded: Value = serde_json::from_str(encoded).unwrap();
        let form: Value = serde_json::from_str(form).unwrap();
        assert_eq!(encoded["name"], form["name"]);
        let bytes = STANDARD.decode(encoded["entry"].as_str().unwrap()).unwrap();
        Sample {
            name: form["name"].as_str().unwrap().to_owned(),
            entry: form["entry"].clone(),
            encoded: if form["log"] == "http_logs" { EncodedEntry::Http(bytes) } else { EncodedEntry::Tcp(bytes) },
            text: encoded["text"].as_object().unwrap().clone(),
            json: form["json"].as_object().unwrap().clone(),
        }
    };
    encoded.zip(forms).map(sample).collect()
}

/// Whether the file logger prints what an entry does not tell, so that the line has `rendered` in its place.
fn differs(sample: &str, operator: &str, printed: &str, rendered: &str) -> bool {
    match operator {
        // Several values of one header are joined; the file logger prints the first.
        "REQ(X-MULTI)" | "RESP(X-MULTI)" => rendered.starts_with(&format!("{printed},")),
        // Bytes that are not UTF-8.
        "REQ(X-UTF8)" | "REQ(X-UTF8):3" => sample == "invalid UTF-8 header" && rendered.starts_with("!!"),
        // A record that is not the last has no duration; the file logger prints the time so far.
        "DURATION" => rendered == "-" && ["start", "periodic", "connected"].iter().any(|word| sample.contains(word)),
        // A cluster of which no host was selected.
        "UPSTREAM_CLUSTER" => rendered == "-",
        _ => false,
    }
}

/// Scenario: 44 entries of a real Envoy, and what its file logger printed for each of 50 operators.
/// Guarantees: each operator prints the same, but for what entries do not carry; and those operators are refused.
#[test]
fn as_the_file_logger() {
    let samples = samples();
    let operators: BTreeSet<&String> = samples.iter().flat_map(|sample| sample.text.keys()).collect();
    let missing: BTreeSet<_> = missing_operators(Source::Als).map(|(name, _)| name).collect();
    let (mut compared, mut wrong) = (0, Vec::new());
    for operator in operators {
        let name = operator.split(['(', ':']).next().unwrap();
        if missing.contains(name) {
            assert!(Template::new(&format!("%{operator}%"), &options()).is_err());
            continue;
        }
        for sample in &samples {
            let printed = sample.text.get(operator).and_then(Value::as_str).unwrap_or("-");
            let rendered = render(&format!("%{operator}%"), &sample.entry);
            compared += 1;
            if rendered != printed && !differs(&sample.name, operator, printed, &rendered) {
                wrong.push(format!("{}: %{operator}%: {printed:?}, but {rendered:?}", sample.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 2000, "{compared}");
}

/// Scenario: the values that the file logger printed as JSON.
/// Guarantees: each operator keeps its type.
#[test]
fn typed_as_the_file_logger() {
    for sample in samples() {
        for (operator, value) in &sample.json {
            let template = json!({"k": format!("%{operator}%")});
            let rendered = render_json(&template, &options(), &sample.entry);
            let value = if differs(&sample.name, operator, "", &render(&format!("%{operator}%"), &sample.entry)) {
                &Value::Null
            } else {
                value
            };
            assert_eq!(rendered, json!({"k": value}).to_string(), "{}: {operator}", sample.name);
        }
    }
}

/// Scenario: the same entries in the JSON form of protobuf and as Envoy sent them.
/// Guarantees: they are the same entry.
#[test]
fn json_form() {
    let placeholders = Placeholders::default();
    let everything: Vec<_> = super::super::operators(Source::Als)
        .map(|name| format!("%{name}%"))
        .filter(|call| Template::new(call, &options()).is_ok())
        .collect();
    let template = everything.join(" ") + " %DYNAMIC_METADATA(ns.test)% %FILTER_STATE(my.key)% %REQ(x-utf8)%";
    let template = Template::new(&template, &options()).unwrap();
    for sample in samples() {
        let mut out = Vec::new();
        match &sample.encoded {
            EncodedEntry::Http(bytes) => {
                let entry = HttpEntry::decode(bytes).unwrap();
                template.render(&AlsEntry::http(&entry, &placeholders).unwrap(), &mut out);
            }
            EncodedEntry::Tcp(bytes) => {
                let entry = TcpEntry::decode(bytes).unwrap();
                template.render(&AlsEntry::tcp(&entry, &placeholders).unwrap(), &mut out);
            }
        }
        assert_eq!(text(out), text(super::render_bytes(&template, &sample.entry)), "{}", sample.name);
        assert!(std::mem::discriminant(&encode(&sample.entry).unwrap()) == std::mem::discriminant(&sample.encoded));
    }
}
