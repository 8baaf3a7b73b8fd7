//! Which listener gets which backends and formats: the cases of `scenarios.yml`, and which policy is never beaten.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use logphase_config::diagnostic::SourceFile;
use logphase_config::document;
use logphase_protocol::envoy::message::{
    Address, Certificate, Common, HttpEntry, Kind, Node, Struct, SubjectAltName, TcpEntry, Tls, Value as Wire,
    ValueMember, encode,
};
use logphase_protocol::envoy::{Origin, Record, RecordKind};
use serde_json::{Value, json};

use super::good;
use crate::mesh::{Destination, Engine, Evaluator, Options};

const FORMAT: &str = "%KUMA_TRAFFIC_DIRECTION% %KUMA_SOURCE_SERVICE% %KUMA_DESTINATION_SERVICE%";

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A backend of a short form.
fn backend(short: &str) -> Value {
    let file =
        |path: &str, format: Value| json!({"type": "File", "file": {"path": format!("/{path}"), "format": format}});
    if let Some(address) = short.strip_prefix("tcp:") {
        return json!({"type": "Tcp", "tcp": {"address": address}});
    }
    match short.strip_prefix("json:") {
        Some(path) => {
            let members = json!([
                {"key": "to", "value": "%KUMA_DESTINATION_SERVICE%"},
                {"key": "direction", "value": "%KUMA_TRAFFIC_DIRECTION%"},
            ]);
            file(path, json!({"type": "Json", "json": members}))
        }
        None => file(short, json!({"type": "Plain", "plain": FORMAT})),
    }
}

/// The MeshAccessLog of a short form.
fn policy(short: &Value) -> Value {
    let mut spec = serde_json::Map::new();
    spec.extend(short.get("targetRef").map(|target| ("targetRef".to_owned(), target.clone())));
    for section in ["to", "from", "rules"] {
        let Some(Value::Array(items)) = short.get(section) else { continue };
        let item = |item: &Value| {
            let mut item = item.clone();
            let backends: Vec<_> = list(&item, "default").iter().filter_map(Value::as_str).map(backend).collect();
            item["default"] = json!({"backends": backends});
            item
        };
        spec.insert(section.to_owned(), items.iter().map(item).collect());
    }
    let labels = short.get("labels").cloned().unwrap_or_else(|| json!({}));
    let mesh = short.get("mesh").cloned().unwrap_or_else(|| json!("mesh-1"));
    let Some(namespace) = short.get("namespace") else {
        return json!({"type": "MeshAccessLog", "mesh": mesh, "name": short["name"], "labels": labels, "spec": spec});
    };
    let mut labels = labels;
    labels["kuma.io/mesh"] = mesh;
    json!({"apiVersion": "kuma.io/v1alpha1", "kind": "MeshAccessLog", "spec": spec,
        "metadata": {"name": short["name"], "namespace": namespace, "labels": labels}})
}

pub(super) fn metadata(members: &[(&str, &str)]) -> Bytes {
    let member = |(key, value): &(&str, &str)| ValueMember {
        key: (*key).to_owned().into(),
        value: Some(Wire { kind: Some(Kind::String((*value).to_owned().into())) }),
    };
    encode(&Struct { fields: members.iter().map(member).collect() })
}

fn origin(node: &Value) -> Arc<Origin> {
    let resource = node.get("dataplane").map(Value::to_string).unwrap_or_default();
    let all = [("dataplane.proxyType", text(node, "type")), ("dataplane.resource", &resource)];
    let filled: Vec<_> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let node = Node {
        id: text(node, "id").to_owned().into(),
        cluster: text(node, "cluster").to_owned().into(),
        metadata: metadata(&filled),
        locality: None,
    };
    Arc::new(Origin::new(&node, &Bytes::from_static(b"log")))
}

pub(super) fn record(entry: &Value, origin: Arc<Origin>) -> Record {
    let local = text(entry, "at").rsplit_once(':');
    let local = local.map(|(ip, port)| Address::socket(ip.to_owned(), port.parse().unwrap()));
    let spiffe = text(entry, "spiffe").to_owned();
    let certificate = |uri: String| Certificate {
        subject_alt_names: vec![SubjectAltName { uri: uri.into() }],
        ..Certificate::default()
    };
    let tls = Tls {
        sni_hostname: text(entry, "sni").to_owned().into(),
        peer_certificate: (!spiffe.is_empty()).then(|| certificate(spiffe)),
        ..Tls::default()
    };
    let common = Some(Common {
        upstream_cluster: text(entry, "to").to_owned().into(),
        route_name: text(entry, "route").to_owned().into(),
        downstream_local_address: local,
        tls: Some(tls),
        ..Common::default()
    });
    let (kind, bytes) = match entry.get("tcp") {
        Some(_) => (RecordKind::Tcp, encode(&TcpEntry { common, ..TcpEntry::default() })),
        None => (RecordKind::Http, encode(&HttpEntry { common, ..HttpEntry::default() })),
    };
    Record { kind, bytes, origin }
}

/// What a line goes to, in the short form.
fn short(destination: &Destination) -> String {
    match destination {
        Destination::File { path } => path.trim_start_matches('/').to_owned(),
        Destination::Tcp { address } => format!("tcp:{address}"),
        Destination::OpenTelemetry { .. } => "otel".to_owned(),
    }
}

/// Scenario: each of the cases. Guarantees: each entry is logged to the backends that Kuma's data plane would log it to, in that
/// order and with these lines; what is found out about a stream does not change the answer for its later entries; the reasons that
/// are given name as many backends.
#[test]
fn each_listener_has_kumas_backends() {
    let (root, diagnostics) = document::parse(&SourceFile::new("scenarios.yml", include_str!("scenarios.yml")), None);
    assert_eq!(diagnostics, []);
    let root = root.unwrap().to_json();
    let cases = list(&root, "cases");
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in cases {
        let name = text(case, "case");
        let documents = list(case, "documents").iter().cloned();
        let all: Vec<String> =
            documents.chain(list(case, "policies").iter().map(policy)).map(|one| one.to_string()).collect();
        let engine = Arc::new(Engine::new(good(&all.join("\n---\n")).into(), Options::default()).unwrap());
        let mut evaluator = Evaluator::new(engine.clone());
        let origins: BTreeMap<String, Arc<Origin>> =
            root["nodes"].as_object().unwrap().iter().map(|(name, node)| (name.clone(), origin(node))).collect();
        for round in ["first", "second"] {
            for entry in list(case, "entries") {
                let from = entry.get("from").and_then(Value::as_str).unwrap_or("web");
                let record = record(entry, origins[from].clone());
                let lines = evaluator.lines(&record);
                let found: Vec<_> = lines
                    .iter()
                    .map(|line| {
                        let text = String::from_utf8_lossy(&line.text).into_owned();
                        (short(&engine.outputs()[line.output].destination), text)
                    })
                    .collect();
                let wanted: Vec<_> = list(entry, "logs").iter().filter_map(Value::as_str).collect();
                let fits = |(found, wanted): (&(String, String), &&str)| match wanted.split_once(" = ") {
                    Some((name, text)) => found.0 == name && found.1 == text,
                    None => found.0 == **wanted,
                };
                if found.len() != wanted.len() || !found.iter().zip(&wanted).all(fits) {
                    failures.push(format!("{name} ({round}): {entry}\n  expected {wanted:?}\n  found    {found:?}"));
                }
                assert_eq!(engine.explain(&record).unwrap().lines.len(), lines.len(), "{name}");
            }
        }
    }
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
