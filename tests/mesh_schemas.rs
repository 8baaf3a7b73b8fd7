//! The published JSON Schemas of the resources of a mesh (`docs/mesh.schema.json`, `docs/traffic-log.schema.json`,
//! `docs/mesh-access-log.schema.json`), beside what reads the resources.

use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use logphase::mesh;
use logphase_config::diagnostic::{Diagnostic, SourceFile, codes};
use logphase_config::document;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A schema, and what the reader finds of its kind in a resource.
struct Kind {
    file: &'static str,
    schema: Value,
    validator: Validator,
    count: fn(&mesh::Resources) -> usize,
}

impl Kind {
    fn new(file: &'static str, count: fn(&mesh::Resources) -> usize) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
        let text = std::fs::read_to_string(path).expect("the schema is part of the project");
        let schema: Value = serde_json::from_str(&text).expect("a schema is JSON");
        let validator = jsonschema::draft202012::options().build(&schema).expect("the schema is a sound one");
        Self { file, schema, validator, count }
    }

    /// The errors of the reader about `resource`; none if it is read. A document of another kind is an error.
    fn refusals(&self, resource: &Value) -> Vec<Diagnostic> {
        let file = SourceFile::new("mesh.json", resource.to_string());
        let documents = document::parse_all(&file, None);
        let (resources, mut found) = mesh::read(&documents.roots);
        found.retain(Diagnostic::is_error);
        if found.is_empty() && (self.count)(&resources) != 1 {
            found.push(Diagnostic::error(codes::FORMAT_VERSION, "another kind"));
        }
        found
    }

    fn accepts(&self, resource: &Value) -> bool {
        self.validator.is_valid(resource)
    }
}

static MESH: LazyLock<Kind> = LazyLock::new(|| Kind::new("mesh.schema.json", |found| found.meshes.len()));
static TRAFFIC_LOG: LazyLock<Kind> =
    LazyLock::new(|| Kind::new("traffic-log.schema.json", |found| found.traffic_logs.len()));
static ACCESS_LOG: LazyLock<Kind> =
    LazyLock::new(|| Kind::new("mesh-access-log.schema.json", |found| found.access_logs.len()));

/// Resources without mistakes, that use every member of the schemas.
static SOUND: LazyLock<Vec<(&'static Kind, Value)>> = LazyLock::new(|| {
    let logging = json!({"defaultBackend": "file", "backends": [
        {"name": "file", "type": "file", "conf": {"path": "/tmp/a.log"}, "format": "%START_TIME% %KUMA_MESH%"},
        {"name": "tcp", "type": "tcp", "conf": {"address": "[::1]:5000"}},
    ]});
    let any = json!([{"match": {"kuma.io/service": "*"}}]);
    let sources =
        json!([{"match": {"kuma.io/service": "web_shop_svc_80", "region": "eu"}}, {"match": {"kuma.io/service": "*"}}]);
    let format = json!({"type": "Json", "omitEmptyValues": true, "json": [{"key": "t", "value": "%START_TIME%"}]});
    let backends = json!([
        {"type": "File", "file": {"path": "/tmp/a.log", "format": {"type": "Plain", "plain": "%DURATION%"}}},
        {"type": "Tcp", "tcp": {"address": "logs.example:5000", "format": format}},
        {"type": "OpenTelemetry", "openTelemetry": {
            "endpoint": "otel:4317", "attributes": [{"key": "mesh.name", "value": "%KUMA_MESH%"}], "body": {"kvlistValue": {}},
        }},
        {"type": "OpenTelemetry", "openTelemetry": {"backendRef": {"kind": "MeshOpenTelemetryBackend", "labels": {"app": "otel"}}}},
    ]);
    let default = json!({"backends": backends});
    let rules = json!({"targetRef": {"kind": "Dataplane", "labels": {"app": "web"}, "sectionName": "http"}, "rules": [
        {"matches": [{"spiffeID": {"type": "Prefix", "value": "spiffe://m/ns/a"}, "sni": {"type": "Exact", "value": "a.b-c"}}],
         "default": default},
        {"default": {"backends": []}},
    ]});
    let to = |target: Value| json!({"targetRef": target, "default": {"backends": []}});
    let both = json!({
        "targetRef": {"kind": "MeshSubset", "tags": {"app": "web"}, "proxyTypes": ["Sidecar"]},
        "to": [
            to(json!({"kind": "Mesh"})), to(json!({"kind": "MeshService", "name": "web", "namespace": "n", "sectionName": "80"})),
            to(json!({"kind": "MeshExternalService", "name": "x"})), to(json!({"kind": "MeshMultiZoneService", "labels": {"a": "b"}})),
            to(json!({"kind": "MeshHTTPRoute", "name": "r"})),
        ],
        "from": [{"targetRef": {"kind": "Mesh", "proxyTypes": ["Gateway"]}, "default": default}],
    });
    let gateway = json!({"targetRef": {"kind": "MeshGateway", "name": "g", "tags": {"port": "*"}}, "to": [to(json!({"kind": "Mesh"}))]});
    let subset = json!({"targetRef": {"kind": "MeshServiceSubset", "name": "s", "tags": {"v": "1"}}, "to": [to(json!({"kind": "Mesh"}))]});
    let universal = |kind: &str, more: Value| {
        let mut made = json!({"type": kind, "name": "a-1", "mesh": "default", "labels": {"kuma.io/origin": "zone"},
            "creationTime": "2024-01-31T12:00:00Z"});
        made.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        made
    };
    let kubernetes = |kind: &str, spec: &Value| {
        json!({"apiVersion": "kuma.io/v1alpha1", "kind": kind, "metadata": {
            "name": "a-1", "namespace": "kuma-system", "labels": {"kuma.io/mesh": "default"}, "creationTimestamp": "2024-01-31T12:00:00Z",
        }, "spec": spec})
    };
    let traffic_log = json!({"sources": sources, "destinations": any, "conf": {"backend": "file"}});
    let mut all = vec![
        (&*MESH, universal("Mesh", json!({"logging": logging, "mtls": {"enabledBackend": "ca-1"}}))),
        (&*MESH, kubernetes("Mesh", &json!({"logging": logging}))),
        (&*TRAFFIC_LOG, universal("TrafficLog", traffic_log.clone())),
        (&*TRAFFIC_LOG, kubernetes("TrafficLog", &traffic_log)),
    ];
    for spec in [rules, both, gateway, subset] {
        all.push((&*ACCESS_LOG, universal("MeshAccessLog", json!({"spec": spec}))));
        all.push((&*ACCESS_LOG, kubernetes("MeshAccessLog", &spec)));
    }
    all
});

/// What the reader refuses and a schema cannot express.
fn is_beyond_a_schema(refusal: &Diagnostic) -> bool {
    refusal.code == codes::TEMPLATE
        || [
            "name is already used for another backend",
            "has to be set to one of the logging backend in mesh",
            "must be a time like",
            "is not a valid JSON object",
        ]
        .iter()
        .any(|words| refusal.message.contains(words))
}

/// Scenario: the schemas and the meta-schema of their draft.
/// Guarantees: they are valid JSON Schema 2020-12, and each says what it is.
#[test]
fn are_schemas() {
    for kind in [&MESH, &TRAFFIC_LOG, &ACCESS_LOG] {
        assert!(jsonschema::draft202012::meta::is_valid(&kind.schema), "{}", kind.file);
        assert!(kind.schema["title"].is_string() && kind.schema["description"].is_string());
    }
}

/// Scenario: resources of each kind in both forms, with every member.
/// Guarantees: the reader and the schema accept them; the schema of another kind does not.
#[test]
fn sound_resources_fit() {
    for (kind, resource) in SOUND.iter() {
        let refusals = kind.refusals(resource);
        assert!(refusals.is_empty(), "{resource}: {refusals:?}");
        let errors: Vec<_> = kind.validator.iter_errors(resource).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{resource}: {errors:?}");
        let others = [&MESH, &TRAFFIC_LOG, &ACCESS_LOG].into_iter().filter(|other| other.file != kind.file);
        assert_eq!(others.filter(|other| other.accepts(resource)).count(), 0, "{resource}");
    }
}

/// Scenario: mistakes of each kind, most of them from Kuma's tests.
/// Guarantees: the reader and the schema refuse them.
#[test]
fn mistakes_do_not_fit() {
    let mesh = |backend: Value| (&*MESH, json!({"type": "Mesh", "name": "m", "logging": {"backends": [backend]}}));
    let log = |sources: Value, destinations: Value| {
        (&*TRAFFIC_LOG, json!({"type": "TrafficLog", "name": "l", "sources": sources, "destinations": destinations}))
    };
    let policy = |spec: Value| (&*ACCESS_LOG, json!({"type": "MeshAccessLog", "name": "p", "spec": spec}));
    let to = |target: Value| policy(json!({"to": [{"targetRef": target, "default": {"backends": []}}]}));
    let backend = |backend: Value| policy(json!({"rules": [{"default": {"backends": [backend]}}]}));
    let file = |format: Value| backend(json!({"type": "File", "file": {"path": "/f", "format": format}}));
    let otel = |body: Value| backend(json!({"type": "OpenTelemetry", "openTelemetry": body}));
    let matches = |one: Value| policy(json!({"rules": [{"matches": [one], "default": {"backends": []}}]}));
    let any = || json!([{"match": {"kuma.io/service": "*"}}]);
    let none = || json!({"default": {"backends": []}});
    let rows = [
        mesh(json!({"type": "file", "conf": {"path": "/f"}})),
        mesh(json!({"name": "a", "type": "file", "conf": {"path": ""}})),
        mesh(json!({"name": "a", "type": "file", "conf": {"pth": "/f"}})),
        mesh(json!({"name": "a", "type": "tcp", "conf": {"address": "a:1:2"}})),
        mesh(json!({"name": "a", "type": "tcp"})),
        mesh(json!({"name": "a", "type": "kafka", "conf": {}})),
        mesh(json!({"name": "a", "type": "file", "conf": {"path": "/f"}, "format": 5})),
        (&*MESH, json!({"type": "Mesh", "name": "M"})),
        (&*MESH, json!({"type": "Mesh"})),
        (&*MESH, json!({"type": "Mesh", "name": "m", "logging": {"backend": []}})),
        log(json!([]), any()),
        log(any(), json!(null)),
        log(json!([{"match": {"region": "eu"}}]), any()),
        log(json!([{"match": {"kuma.io/service": "a b"}}]), any()),
        log(json!([{"match": {"kuma.io/service": "a", "": "b"}}]), any()),
        log(any(), json!([{"match": {"kuma.io/service": "a", "region": "eu"}}])),
        (&*TRAFFIC_LOG, json!({"type": "TrafficLog", "name": "l", "sources": any(), "destinations": any(), "cnf": {}})),
        (&*TRAFFIC_LOG, json!({"apiVersion": "kuma.io/v1", "kind": "TrafficLog", "metadata": {"name": "l"}})),
        policy(json!({"targetRef": {"kind": "Mesh"}})),
        policy(json!({"to": [], "rules": []})),
        policy(json!({"to": [{"targetRef": {"kind": "Mesh"}, "default": {"backends": []}}], "rules": [none()]})),
        policy(json!({"from": [{"targetRef": {"kind": "MeshService", "name": "a"}, "default": {"backends": []}}]})),
        policy(json!({"rules": [{"default": {}}]})),
        policy(json!({"targetRef": {"kind": "MeshGateway"}, "rules": [none()]})),
        policy(json!({"targetRef": {"kind": "MeshSubset", "tags": {"a": "*"}}, "rules": [none()]})),
        policy(json!({"targetRef": {"kind": "Mesh", "proxyTypes": []}, "rules": [none()]})),
        policy(
            json!({"targetRef": {"kind": "Dataplane", "sectionName": "a"}, "to": [{"targetRef": {"kind": "Mesh"}, "default": {"backends": []}}]}),
        ),
        policy(
            json!({"targetRef": {"kind": "MeshGateway", "name": "g"}, "to": [{"targetRef": {"kind": "MeshService", "name": "a"}, "default": {"backends": []}}]}),
        ),
        to(json!({})),
        to(json!({"kind": "Nonsense"})),
        to(json!({"kind": "MeshService"})),
        to(json!({"kind": "MeshService", "name": "a", "labels": {"b": "c"}})),
        to(json!({"kind": "MeshHTTPRoute", "name": "A"})),
        to(json!({"kind": "MeshExternalService", "name": "a", "sectionName": "b"})),
        to(json!({"kind": "Mesh", "name": "a"})),
        matches(json!({"spiffeID": {"type": "Exact", "value": "http://a"}})),
        matches(json!({"spiffeID": {"type": "Exact", "value": "spiffe://a/b/"}})),
        matches(json!({"spiffeID": {"type": "Exact", "value": "spiffe://a/../b"}})),
        matches(json!({"sni": {"type": "Prefix", "value": "a"}})),
        matches(json!({"sni": {"type": "Exact", "value": "-a"}})),
        matches(json!({"sin": {}})),
        backend(json!({"type": "Tcp"})),
        backend(json!({"type": "Tcp", "tcp": {"address": "a:65536"}})),
        backend(json!({"type": "Tcp", "tcp": {"address": "http://a:1"}})),
        backend(json!({"type": "File", "file": {"path": "relative"}})),
        file(json!({"type": "Plain"})),
        file(json!({"type": "Plain", "plain": ""})),
        file(json!({"type": "Json", "json": []})),
        file(json!({"type": "Json", "json": [{"key": "a"}]})),
        file(json!({"type": "Yaml"})),
        otel(json!({})),
        otel(json!({"endpoint": "http://a"})),
        otel(json!({"endpoint": "a:1", "backendRef": {"kind": "MeshOpenTelemetryBackend", "labels": {"a": "b"}}})),
        otel(json!({"backendRef": {"kind": "MeshOpenTelemetryBackend"}})),
        otel(json!({"endpoint": "a:1", "attributes": [{"key": "otel.a", "value": "b"}]})),
        otel(json!({"endpoint": "a:1", "attributes": [{"key": "a..b", "value": "b"}]})),
    ];
    for (kind, resource) in &rows {
        assert!(!kind.refusals(resource).is_empty(), "the reader accepts {resource}");
        assert!(!kind.accepts(resource), "the schema accepts {resource}");
    }
}

/// Scenario: mistakes that a schema cannot express.
/// Guarantees: the schema accepts them and the reader does not.
#[test]
fn some_mistakes_are_beyond_a_schema() {
    let mesh = |logging: Value| (&*MESH, json!({"type": "Mesh", "name": "m", "logging": logging}));
    let file = |name: &str| json!({"name": name, "type": "file", "conf": {"path": "/f"}});
    let rows = [
        mesh(json!({"backends": [file("a"), file("a")]})),
        mesh(json!({"backends": [file("a")], "defaultBackend": "b"})),
        mesh(json!({"backends": [{"name": "a", "type": "file", "conf": {"path": "/f"}, "format": "%NOPE%"}]})),
        (&*MESH, json!({"type": "Mesh", "name": "m", "creationTime": "yesterday"})),
        (
            &*ACCESS_LOG,
            json!({"type": "MeshAccessLog", "name": "p", "spec": {"rules": [{"default": {"backends": [{"type": "File", "file": {
                "path": "/f", "format": {"type": "Json", "json": [{"key": "\"", "value": "v"}]},
            }}]}}]}}),
        ),
    ];
    for (kind, resource) in &rows {
        let refusals = kind.refusals(resource);
        assert!(kind.accepts(resource), "{resource}");
        assert!(!refusals.is_empty() && refusals.iter().all(is_beyond_a_schema), "{resource}: {refusals:?}");
    }
}

/// Values that members of resources have, and others.
fn value() -> impl Strategy<Value = Value> {
    let words = [
        "",
        "a",
        "A b",
        "*",
        "/p",
        "p",
        "h:1",
        "h:0",
        "[::1]:80",
        "Mesh",
        "Dataplane",
        "MeshGateway",
        "MeshService",
        "MeshSubset",
        "Exact",
        "Prefix",
        "Plain",
        "Json",
        "file",
        "tcp",
        "File",
        "Tcp",
        "OpenTelemetry",
        "Sidecar",
        "spiffe://a/b",
        "spiffe://a/",
        "a.b",
        "otel.a",
        "%DURATION%",
        "%NOPE%",
        "kuma.io/v1alpha1",
        "v1",
        "\u{e4}:1",
        "a/b",
    ];
    prop_oneof![
        5 => proptest::sample::select(words.to_vec()).prop_map(Value::from),
        1 => Just(json!(null)),
        1 => Just(json!([])),
        1 => Just(json!({})),
        1 => Just(json!(5)),
        1 => Just(json!(true)),
        1 => Just(json!([null])),
        1 => Just(json!([{}])),
        1 => Just(json!({"a": "b"})),
        1 => Just(json!({"kuma.io/service": "a"})),
    ]
}

/// Names of members, and others.
const NAMES: [&str; 34] = [
    "type",
    "name",
    "mesh",
    "labels",
    "spec",
    "kind",
    "metadata",
    "apiVersion",
    "logging",
    "backends",
    "defaultBackend",
    "conf",
    "path",
    "address",
    "format",
    "sources",
    "destinations",
    "match",
    "kuma.io/service",
    "targetRef",
    "to",
    "from",
    "rules",
    "tags",
    "sectionName",
    "proxyTypes",
    "namespace",
    "default",
    "backendRef",
    "endpoint",
    "plain",
    "json",
    "value",
    "other",
];

/// A change at one place: the place, which member it is put at, and what is put there; nothing takes the member away.
type Change = (proptest::sample::Index, Option<usize>, Option<Value>);

fn change() -> impl Strategy<Value = Change> {
    (any::<proptest::sample::Index>(), proptest::option::of(0..NAMES.len()), proptest::option::weighted(0.8, value()))
}

/// The paths of all values below `value`, but for itself.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in members {
        let path = format!("{path}/{name}");
        paths(value, &path, found);
        found.push(path);
    }
}

fn apply(resource: &mut Value, (place, name, new): &Change) {
    let mut all = Vec::new();
    paths(resource, "", &mut all);
    let Some(path) = all.get(place.index(all.len().max(1))) else { return };
    let (parent, last) = path.rsplit_once('/').expect("a path begins with a slash");
    let last = last.replace("~1", "/").replace("~0", "~");
    match (resource.pointer_mut(parent).expect("it is there"), new) {
        (Value::Object(members), Some(new)) => {
            members.insert(name.map_or(last, |name| NAMES[name].to_owned()), new.clone());
        }
        (Value::Object(members), None) => drop(members.remove(&last)),
        (Value::Array(items), Some(new)) => items[last.parse::<usize>().expect("an index")] = new.clone(),
        (Value::Array(items), None) => drop(items.remove(last.parse().expect("an index"))),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Scenario: a sound resource with a few members changed, added or taken away at random.
    /// Guarantees: what the reader accepts, the schema accepts; what the schema accepts, the reader accepts, or refuses for a reason
    /// that no schema can express.
    #[test]
    fn schemas_and_reader_agree(base in 0..12_usize, changes in prop::collection::vec(change(), 1..4)) {
        let (kind, mut resource) = SOUND[base].clone();
        changes.iter().for_each(|change| apply(&mut resource, change));
        let refusals = kind.refusals(&resource);
        if kind.accepts(&resource) {
            prop_assert!(refusals.iter().all(is_beyond_a_schema), "{}: {:?}", resource, refusals);
        } else {
            prop_assert!(!refusals.is_empty(), "the reader accepts {}", resource);
        }
    }
}

/// Pieces of YAML, sound and not.
const PIECES: [&str; 28] = [
    "\n",
    "\n  ",
    "- ",
    ": ",
    "? ",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "#",
    "---\n",
    "...",
    "%",
    "%REQ(",
    "\u{0}",
    "\u{feff}",
    "\u{1f600}",
    "null",
    "kind: List\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Scenario: the text of a sound resource with pieces put in, and with parts cut out; and any text.
    /// Guarantees: reading it never panics, and what is found can be shown.
    #[test]
    fn any_text_is_read(
        base in 0..12_usize,
        cuts in prop::collection::vec((any::<proptest::sample::Index>(), 0..30_usize, 0..PIECES.len()), 0..6),
        any in "\\PC{0,60}",
    ) {
        let mut text = serde_json::to_string_pretty(&SOUND[base].1).expect("JSON");
        for (at, length, piece) in cuts {
            let from = text.floor_char_boundary(at.index(text.len() + 1));
            let to = text.floor_char_boundary((from + length).min(text.len()));
            text.replace_range(from..to.max(from), PIECES[piece]);
        }
        for text in [text.clone(), any.clone(), format!("type: MeshAccessLog\nname: a\nspec: {any}\n"), format!("{text}\n---\n{any}")] {
            let documents = document::parse_all(&SourceFile::new("mesh.yml", text), None);
            let (_, found) = mesh::read(&documents.roots);
            prop_assert!(found.iter().all(|diagnostic| !diagnostic.render(false).is_empty()));
        }
    }
}
