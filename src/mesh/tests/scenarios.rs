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
use proptest::prelude::*;
use serde_json::{Value, json};

use super::good;
use crate::mesh::names::ProxyNames;
use crate::mesh::order::Order;
use crate::mesh::{Destination, Engine, Evaluator, Listener, NameRule, Names, Options, Part, Proxy, To, choose};

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

/// Kinds of targets that cover all levels, with what else a policy may say.
fn random_policy() -> impl Strategy<Value = Value> {
    let target = prop::sample::select(vec![
        json!({"kind": "Mesh"}),
        json!({"kind": "Dataplane", "labels": {"app": "web"}}),
        json!({"kind": "Dataplane", "name": "web-1"}),
        json!({"kind": "MeshSubset", "tags": {"version": "v1"}}),
        json!({"kind": "MeshService", "name": "web"}),
        json!({"kind": "MeshServiceSubset", "name": "web", "tags": {"version": "v1"}}),
        json!({"kind": "MeshService", "name": "other"}),
    ]);
    let to = prop::collection::vec(
        prop::sample::select(vec![
            json!({"kind": "Mesh"}),
            json!({"kind": "MeshService", "name": "backend"}),
            json!({"kind": "MeshService", "name": "db"}),
        ]),
        1..3,
    );
    let origin = prop::sample::select(vec!["", "global", "zone"]);
    let role = prop::sample::select(vec!["", "system", "producer"]);
    (target, to, origin, role).prop_map(|(target, to, origin, role)| {
        let to: Vec<_> = to.into_iter().map(|target| json!({"targetRef": target, "default": ["x"]})).collect();
        json!({"targetRef": target, "to": to, "labels": {"kuma.io/origin": origin, "kuma.io/policy-role": role}})
    })
}

/// The place of a policy in Kuma's written order; the larger, the stronger. The name comes last, and its first letter is stronger.
fn strength(policy: &Value) -> (usize, usize, usize, usize, std::cmp::Reverse<String>) {
    let target = &policy["targetRef"];
    let place = |list: &[&str], value: &str| list.iter().position(|known| *known == value).unwrap();
    let kinds = ["Mesh", "Dataplane", "MeshSubset", "MeshService", "MeshServiceSubset"];
    let named = usize::from(text(target, "kind") == "Dataplane" && target.get("name").is_some());
    let label = |name: &str| policy["labels"][name].as_str().unwrap_or_default();
    let role = label("kuma.io/policy-role").trim_start_matches("system");
    (
        place(&kinds, text(target, "kind")),
        named,
        place(&["global", "", "zone"], label("kuma.io/origin")),
        place(&["", "producer"], role),
        std::cmp::Reverse(text(policy, "name").to_owned()),
    )
}

proptest! {
    /// Scenario: random policies for the proxy `web`, and a connection to `backend`. Guarantees: a policy applies if one matches; it is
    /// one that matches; no other that matches is stronger under the written rule; and of its own items, it is the last that
    /// matches.
    #[test]
    fn the_chosen_policy_is_never_beaten(policies in prop::collection::vec(random_policy(), 0..8)) {
        let mut policies = policies;
        for (at, policy) in policies.iter_mut().enumerate() {
            policy["name"] = json!(format!("p{at}"));
        }
        let reaches = |item: &Value| {
            let target = &item["targetRef"];
            text(target, "kind") == "Mesh" || text(target, "name") == "backend"
        };
        let matches = |policy: &Value| {
            let target = &policy["targetRef"];
            (text(target, "name") != "other") && list(policy, "to").iter().any(reaches)
        };
        let expected = policies.iter().filter(|policy| matches(policy)).max_by_key(|policy| strength(policy));
        let documents: Vec<_> = policies.iter().map(|short| policy(short).to_string()).collect();
        let resources = good(&documents.join("\n---\n"));
        let order = Order::new(&resources);
        let proxy = Proxy::new(&resources, &web(), &ProxyNames::default());
        let listener = Listener::Outbound(To::Service("backend".to_owned()));
        let applied = choose::access_logs((&resources, &order), &proxy, &listener, None);
        let found = applied.first().map(|applied| (applied.policy.meta.name.as_str(), applied.part));
        let last = |policy: &Value| list(policy, "to").iter().rposition(reaches).unwrap();
        prop_assert_eq!(found, expected.map(|policy| (text(policy, "name"), Part::To(last(policy)))));
    }
}

/// Entries that a real Envoy sent.
fn samples() -> Vec<(RecordKind, Vec<u8>)> {
    use base64::Engine;
    let lines = include_str!("../../../crates/protocol/tests/samples.ndjson").lines();
    let samples = lines.map(|line| {
        let sample: Value = serde_json::from_str(line).unwrap();
        let entry = base64::engine::general_purpose::STANDARD.decode(text(&sample, "entry")).unwrap();
        (if sample["kind"] == "http" { RecordKind::Http } else { RecordKind::Tcp }, entry)
    });
    samples.collect()
}

proptest! {
    /// Scenario: entries of a real Envoy, whole and with a byte changed, of proxies of Kuma and others, with any text as their
    /// Dataplane. Guarantees: no panic; an entry has at most one line, as no listener is for both policies, and a line of
    /// text has no line end.
    #[test]
    fn any_entry_of_any_proxy(
        which in 0..44_usize,
        change in prop::option::of((0..2000_usize, any::<u8>())),
        id in "[a-z.]{0,8}",
        kind in prop::sample::select(vec!["", "dataplane", "ingress", "egress"]),
        resource in prop_oneof![".{0,40}", Just("{type: Dataplane, networking: {inbound: [{port: 70000}, 1], gateway: []}}".to_owned())],
    ) {
        let (record_kind, mut bytes) = samples().swap_remove(which);
        if let Some((at, byte)) = change {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let node = Node {
            id: id.into(),
            cluster: "web".into(),
            metadata: metadata(&[("dataplane.proxyType", kind), ("dataplane.resource", &resource)]),
            locality: None,
        };
        let origin = Arc::new(Origin::new(&node, &Bytes::new()));
        let all = [
            json!({"name": "a", "mesh": "default", "to": [{"targetRef": {"kind": "Mesh"}, "default": ["a"]}]}),
            json!({"name": "b", "mesh": "default", "rules": [{"default": ["b"]}]}),
        ];
        let documents: Vec<_> = all.iter().map(|short| policy(short).to_string()).collect();
        let engine = Arc::new(Engine::new(good(&documents.join("\n---\n")).into(), Options::default()).unwrap());
        let record = Record { kind: record_kind, bytes: bytes.into(), origin };
        let lines = Evaluator::new(engine.clone()).lines(&record);
        prop_assert!(lines.len() <= 1);
        prop_assert!(lines.iter().all(|line| !line.text.contains(&b'\n')));
        if change.is_none() {
            prop_assert_eq!(engine.explain(&record).unwrap().lines.len(), lines.len());
        }
    }
}

/// The origin of the node `web`.
fn web() -> Arc<Origin> {
    let dataplane = json!({"type": "Dataplane", "labels": {"app": "web"}, "networking": {"address": "10.0.0.1",
        "inbound": [{"port": 80, "tags": {"kuma.io/service": "web", "version": "v1"}}]}});
    origin(&json!({"id": "mesh-1.web-1", "cluster": "web", "type": "dataplane", "dataplane": dataplane}))
}

/// Scenario: entries of an Envoy that is not Kuma's, with rules of the settings, of another without rules, and rules with mistakes.
/// Guarantees: the rules say mesh, services, zone, tags and direction, of the proxy and of each entry; without them, cluster and
/// locality do; mistakes are told.
#[test]
fn rules_name_what_other_meshes_have() {
    let rules = [
        "mesh=text:mesh-1",
        "source_service=node_metadata:APP ~ ^app-(.+)$",
        "destination_service=upstream_cluster ~ ^outbound\\|\\d+\\|\\|([^.]+)",
        "zone=zone",
        "direction=log_name",
        "tag:team=node_metadata:TEAM",
    ];
    let names = Names::new(rules.iter().map(|rule| rule.parse().unwrap()).collect());
    let policies = [
        json!({"name": "a", "targetRef": {"kind": "MeshSubset", "tags": {"team": "shop"}},
            "to": [{"targetRef": {"kind": "MeshService", "name": "reviews"}, "default": ["out"]}]}),
        json!({"name": "b", "rules": [{"default": ["in"]}]}),
    ];
    let documents: Vec<_> = policies.iter().map(|short| policy(short).to_string()).collect();
    let resources = || good(&documents.join("\n---\n")).into();
    let node = Node {
        id: "sidecar~10.0.0.1".into(),
        cluster: "x".into(),
        metadata: metadata(&[("APP", "app-front"), ("TEAM", "shop")]),
        locality: None,
    };
    let origin = |log: &'static str| Arc::new(Origin::new(&node, &Bytes::from_static(log.as_bytes())));
    let lines = |options: Options, entry: Value, log| {
        let engine = Arc::new(Engine::new(resources(), options).unwrap());
        let lines = Evaluator::new(engine).lines(&record(&entry, origin(log)));
        lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect::<Vec<_>>()
    };
    let with_rules = || Options { names: names.clone(), ..Options::default() };
    let to = json!({"to": "outbound|9080||reviews.default.svc.cluster.local"});
    assert_eq!(lines(with_rules(), to.clone(), "outbound"), ["OUTBOUND front reviews"]);
    assert_eq!(lines(with_rules(), to.clone(), "any"), ["OUTBOUND front reviews"]);
    assert_eq!(lines(with_rules(), to.clone(), "inbound"), ["INBOUND unknown front"]);
    assert_eq!(lines(with_rules(), to.clone(), "none"), Vec::<String>::new());
    assert_eq!(lines(Options::default(), to, "outbound"), Vec::<String>::new());
    for (rule, expected) in [
        ("zone", "expected TARGET=SOURCE"),
        ("zones=zone", "no target `zones`"),
        ("zone=zones", "no source `zones`"),
        ("zone=zone ~ (", "not a regular expression"),
        ("tag:=zone", "no target"),
    ] {
        let error = rule.parse::<NameRule>().unwrap_err();
        assert!(error.starts_with(expected), "{rule}: {error}");
    }
}

/// Scenario: a text that is valid JSON, one that is not, one of several lines, and one with a line end at its end; a value has a quote
/// and a line end.
/// Guarantees: lines of JSON stay valid JSON, unless the settings say otherwise; no value makes another line; the template's
/// own line ends stay, and the one at the end is not doubled.
#[test]
fn lines_stay_lines() {
    let line = |format: &str, escape_json| {
        let document = json!({"type": "MeshAccessLog", "mesh": "mesh-1", "name": "a", "spec": {"to": [{"targetRef": {"kind": "Mesh"},
            "default": {"backends": [{"type": "File", "file": {"path": "/a", "format": {"type": "Plain", "plain": format}}}]}}]}});
        let engine =
            Engine::new(good(&document.to_string()).into(), Options { escape_json, ..Options::default() }).unwrap();
        let entry = json!({"to": "back\"\nend"});
        let lines = Evaluator::new(Arc::new(engine)).lines(&record(&entry, web()));
        String::from_utf8_lossy(&lines[0].text).into_owned()
    };
    let json = "{\"to\": \"%KUMA_DESTINATION_SERVICE%\"}\n";
    assert_eq!(line(json, true), "{\"to\": \"back\\\"\\nend\"}");
    assert_eq!(line(json, false), "{\"to\": \"back\"\\nend\"}");
    assert_eq!(line("to %KUMA_DESTINATION_SERVICE%", true), "to back\"\\nend");
    assert_eq!(line("to\n%KUMA_MESH%\n", true), "to\nmesh-1");
}

/// Scenario: a sender that names another cluster in each entry, and one whose every message is of another node, many times more than
/// are kept. Guarantees: what an evaluator keeps stays within its bound, and the answers stay right.
#[test]
fn what_is_kept_is_bounded() {
    let document = policy(&json!({"name": "a", "to": [{"targetRef": {"kind": "Mesh"}, "default": ["a"]}]}));
    let engine = Arc::new(Engine::new(good(&document.to_string()).into(), Options::default()).unwrap());
    let mut evaluator = Evaluator::new(engine);
    let (origin, long) = (web(), "c".repeat(50_000));
    for number in 0..1000 {
        let cluster = format!("{number}-{long}");
        let lines = evaluator.lines(&record(&json!({"to": cluster}), origin.clone()));
        assert_eq!(lines[0].text, format!("OUTBOUND web {cluster}"));
        assert!(evaluator.kept() <= 32 << 20);
    }
    let resource = json!({"type": "Dataplane", "mesh": "mesh-1", "labels": {"l": "x".repeat(60_000)}});
    for number in 0..300 {
        let node =
            json!({"id": format!("mesh-1.n{number}"), "cluster": "web", "type": "dataplane", "dataplane": resource});
        let lines = evaluator.lines(&record(&json!({"to": "db"}), self::origin(&node)));
        assert_eq!(lines[0].text, "OUTBOUND web db");
        assert!(evaluator.kept() <= 32 << 20);
    }
}
