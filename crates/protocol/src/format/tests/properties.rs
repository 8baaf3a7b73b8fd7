//! Properties of any template and any entry.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{
    AlsEntry, JsonTemplate, KongEntry, Options, Placeholders, Source, Template, TemplateError, operators,
};
use super::options;
use crate::envoy::entry::{HttpEntry, TcpEntry};

/// Text that is nearly a template.
fn template() -> impl Strategy<Value = String> {
    let names: Vec<_> = operators(Source::Als).collect();
    let parameters = prop_oneof![
        Just(String::new()),
        Just("()".to_owned()),
        "\\([A-Za-z0-9:?_%. -]{0,12}\\)",
        Just("(%Y-%m-%d %E*S %f %j)".to_owned()),
        Just("(DS_RX_BEG:US_RX_BEG:us)".to_owned()),
        Just("(:path)".to_owned()),
        Just("({\"operators\":[\"PROTOCOL\",{\"command\":\"REQ\",\"param\":\":path\"}]})".to_owned()),
    ];
    let call = (prop::sample::select(names), parameters, prop::option::of(0_usize..40)).prop_map(
        |(name, parameters, length)| {
            let length = length.map_or(String::new(), |length| format!(":{length}"));
            format!("%{name}{parameters}{length}%")
        },
    );
    prop::collection::vec(prop_oneof![3 => call, 1 => "[%a-zA-Z(){}:\"ä\\n]{0,6}", 1 => ".{0,4}"], 0..6)
        .prop_map(|parts| parts.concat())
}

/// Bytes that may be an entry: those of a real one, with some of them changed.
fn entry() -> impl Strategy<Value = Vec<u8>> {
    let samples: Vec<Vec<u8>> = include_str!("../../../tests/samples.ndjson")
        .lines()
        .map(|line| {
            let sample: Value = serde_json::from_str(line).unwrap();
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, sample["entry"].as_str().unwrap())
                .unwrap()
        })
        .collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(samples), changes).prop_map(|(mut bytes, changes)| {
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

fn check_places(template: &str, errors: &[TemplateError]) {
    assert!(!errors.is_empty());
    for error in errors {
        assert!(error.span.start <= error.span.end, "{error:?}");
        assert!(template.get(error.span.clone()).is_some(), "{template:?}: {error:?}");
        assert!(!error.message.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Scenario: any text as a template, and any bytes as an entry.
    /// Guarantees: the template compiles or has an error with a place; rendering does not panic.
    #[test]
    fn any_template(template in template(), bytes in entry(), omit_empty: bool, escape: bool) {
        let placeholders = Placeholders::default();
        let options = Options { omit_empty, escape, ..options() };
        match Template::new(&template, &options) {
            Err(errors) => check_places(&template, &errors),
            Ok(template) => {
                let mut out = Vec::new();
                if let Ok(entry) = HttpEntry::decode(&bytes)
                    && let Some(entry) = AlsEntry::http(&entry, &placeholders) {
                    template.render(&entry, &mut out);
                }
                if let Ok(entry) = TcpEntry::decode(&bytes)
                    && let Some(entry) = AlsEntry::tcp(&entry, &placeholders) {
                    template.render(&entry, &mut out);
                }
            }
        }
    }

    /// Scenario: any text as a template in JSON, and as one that looks like JSON and escapes its values.
    /// Guarantees: the lines are valid JSON.
    #[test]
    fn always_json(template in template(), more in template(), bytes in entry(), omit_empty: bool) {
        let placeholders = Placeholders::default();
        let options = Options { omit_empty, ..options() };
        let json = json!({"a": template, template.clone(): ["x", more, {"b": format!("{template}{more}")}], "n": null});
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        let text = format!("{{\"a\":{},\"b\":[{}]}}", quoted(&template), quoted(&more));
        let escaping = Options { escape: true, ..options.clone() };
        let templates = (JsonTemplate::new(&json, &options), Template::new(&text, &escaping));
        if let Ok(entry) = HttpEntry::decode(&bytes)
            && let Some(entry) = AlsEntry::http(&entry, &placeholders) {
            let mut out = Vec::new();
            if let Ok(template) = &templates.0 {
                template.render(&entry, &mut out);
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
            }
            out.clear();
            if let Ok(template) = &templates.1 {
                template.render(&entry, &mut out);
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
            }
        }
    }

    /// Scenario: any text as a template for messages of Kong, with members of any type in the place of Kong's own.
    /// Guarantees: rendering does not panic, and lines in JSON are valid.
    #[test]
    fn of_kong(template in template(), value in prop_oneof![
        Just(json!(null)), any::<f64>().prop_map(|n| json!(n)), any::<i64>().prop_map(|n| json!(n)), ".{0,8}".prop_map(|s| json!(s)),
        Just(json!([1, "a", {}])), Just(json!({"name": 1})),
    ]) {
        let names = ["request", "response", "latencies", "tries", "session", "service", "route", "client_ip", "started_at", "envoy"];
        let inner = json!({"status": value, "size": value, "uri": value, "headers": value, "name": value, "tls": value, "proxy": value,
            "request": value, "receive": value, "response_flags": value, "upstream_host": value});
        for inner in [value.clone(), inner.clone(), json!([value, inner])] {
            let message: serde_json::Map<_, _> = names.iter().map(|name| ((*name).to_owned(), inner.clone())).collect();
            let entry = KongEntry::new(Value::Object(message)).unwrap();
            let options = Options::new(Source::Kong);
            match JsonTemplate::new(&json!({"k": template}), &options) {
                Err(errors) => check_places(&template, &errors),
                Ok(compiled) => {
                    let mut out = Vec::new();
                    compiled.render(&entry, &mut out);
                    prop_assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
                }
            }
        }
    }
}
