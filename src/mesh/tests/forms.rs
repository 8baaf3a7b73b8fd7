//! The forms in which resources come.

use logphase_config::diagnostic::Severity;

use super::{good, indented, messages, read};
use crate::mesh::{AccessLogPolicy, Destination, Kind};

const UNIVERSAL: &str = "
type: Mesh
name: shop
logging:
  defaultBackend: file
  backends:
  - name: file
    type: file
    conf: {path: /tmp/access.log}
---
type: TrafficLog
name: all-traffic
mesh: shop
creationTime: '2024-01-31T12:00:00Z'
sources: [{match: {kuma.io/service: '*'}}]
destinations: [{match: {kuma.io/service: '*'}}]
---
type: MeshAccessLog
name: all
mesh: shop
labels: {kuma.io/origin: zone}
spec:
  targetRef: {kind: Mesh}
  to:
  - targetRef: {kind: Mesh}
    default: {backends: [{type: File, file: {path: /tmp/all.log}}]}
";

const KUBERNETES: &str = "
apiVersion: kuma.io/v1alpha1
kind: Mesh
metadata: {name: shop}
spec:
  logging:
    defaultBackend: file
    backends:
    - name: file
      type: file
      conf: {path: /tmp/access.log}
---
apiVersion: kuma.io/v1alpha1
kind: TrafficLog
mesh: shop
metadata: {name: all-traffic, creationTimestamp: '2024-01-31T12:00:00Z'}
spec:
  sources: [{match: {kuma.io/service: '*'}}]
  destinations: [{match: {kuma.io/service: '*'}}]
---
apiVersion: kuma.io/v1alpha1
kind: MeshAccessLog
metadata:
  name: all
  namespace: kong-mesh-system
  labels: {kuma.io/mesh: shop, kuma.io/origin: zone}
spec:
  targetRef: {kind: Mesh}
  to:
  - targetRef: {kind: Mesh}
    default: {backends: [{type: File, file: {path: /tmp/all.log}}]}
";

/// The resources of `text`, each with what it says about itself.
fn shape(text: &str) -> Vec<String> {
    let resources = good(text);
    let metas = resources.meshes.iter().map(|mesh| &mesh.meta);
    let metas = metas.chain(resources.traffic_logs.iter().map(|log| &log.meta));
    let metas = metas.chain(resources.access_logs.iter().map(|policy| &policy.meta));
    let shape = |meta: &crate::mesh::Meta| {
        let created = meta.created.map(|time| time.to_string()).unwrap_or_default();
        let origin = meta.labels.get("kuma.io/origin").cloned().unwrap_or_default();
        format!("{} {}/{} {created}{origin}", meta.kind.map_or("", Kind::name), meta.mesh, meta.name)
    };
    metas.map(shape).collect()
}

/// Scenario: the same resources in the Universal form, in that of Kubernetes, as a list of `kubectl` and as one of `kumactl`.
/// Guarantees: all four are read as the same resources.
#[test]
fn every_form_gives_the_same_resources() {
    let expected =
        ["Mesh shop/shop ", "TrafficLog shop/all-traffic 2024-01-31T12:00:00Z", "MeshAccessLog shop/all zone"];
    let list = |text: &str| {
        let items = text.split("---").map(|item| indented(item, 2).replacen("  ", "- ", 1));
        format!("items:\n{}", items.collect::<String>())
    };
    assert_eq!(shape(UNIVERSAL), expected);
    assert_eq!(shape(KUBERNETES), expected);
    assert_eq!(shape(&format!("apiVersion: v1\nkind: List\n{}", list(KUBERNETES))), expected);
    assert_eq!(shape(&format!("total: 3\nnext: null\n{}", list(UNIVERSAL))), expected);
}

/// Scenario: a resource of Kuma that says nothing about access logs, and a document that is none of Kuma's.
/// Guarantees: the first is named in a note; the second is left to others.
#[test]
fn other_documents_are_passed_over() {
    let text = "type: TrafficRoute\nname: r\nmesh: m\nanything: 1\n---\n_format_version: '3.0'\n---\napiVersion: v1\nkind: Service\n";
    let (resources, diagnostics) = read(text);
    assert!(resources.meshes.is_empty() && resources.traffic_logs.is_empty() && resources.access_logs.is_empty());
    let found: Vec<_> = diagnostics.iter().map(|d| (d.severity, d.message.as_str())).collect();
    assert_eq!(found, [(Severity::Note, "not used: TrafficRoute m/r")]);
}

/// Scenario: two resources of one kind, mesh and name; and the same name in two namespaces.
/// Guarantees: the second of the first pair is refused and names the first; the second pair is accepted.
#[test]
fn a_name_is_used_once() {
    let policy = |namespace: &str| {
        format!(
            "---\napiVersion: kuma.io/v1alpha1\nkind: MeshAccessLog\nmetadata: {{name: a, namespace: {namespace}}}\nspec: {{rules: \
             [{{default: {{backends: []}}}}]}}\n"
        )
    };
    let (_, diagnostics) = read(&format!("{}{}", policy("x"), policy("x")));
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].message, "a second MeshAccessLog `a` in mesh `default`");
    assert_eq!(diagnostics[0].related.len(), 1);
    good(&format!("{}{}", policy("x"), policy("y")));
}

/// Scenario: a name with a capital, no name, and a time that is none. Guarantees: each is refused.
#[test]
fn what_a_resource_says_about_itself_is_checked() {
    let tail = "spec: {rules: [{default: {backends: []}}]}";
    assert_eq!(
        messages(&format!("type: MeshAccessLog\nname: A\ncreationTime: yesterday\n{tail}")),
        [
            "name: invalid characters: must consist of lower case alphanumeric characters, '-', '.' and '_'.",
            "creationTime: must be a time like 2024-01-31T12:00:00Z"
        ]
    );
    assert_eq!(
        messages(&format!("apiVersion: kuma.io/v1alpha1\nkind: MeshAccessLog\nmetadata: {{}}\n{tail}")),
        ["metadata.name: cannot be empty"]
    );
}

/// Scenario: a policy with `to`, and one with `rules`. Guarantees: the typed policies have the targets, matches and destinations
/// of the text.
#[test]
fn policies_are_typed() {
    let resources = good(UNIVERSAL);
    let AccessLogPolicy { to, from, rules, .. } = &resources.access_logs[0];
    assert!(from.is_empty() && rules.is_empty());
    assert_eq!(to[0].target, crate::mesh::TargetRef::mesh());
    assert_eq!(to[0].backends[0].destination, Destination::File { path: "/tmp/all.log".into() });
    assert!(to[0].backends[0].format.is_none());
}

/// Scenario: documents of a mesh beside a declarative file of Kong, through the reader of declarative files.
/// Guarantees: they are no second document of Kong, their mistakes are reported, and they are in the configuration.
#[test]
fn the_declarative_reader_takes_them() {
    let read = |text: &str| {
        let file =
            logphase_config::diagnostic::SourceFile::new("all.yml", format!("_format_version: '3.0'\n---\n{text}"));
        let options = crate::declarative::ReadOptions { select_tags: &[], env: &|_| None };
        let (configuration, diagnostics) = crate::declarative::read(&[file], options);
        (configuration.mesh, diagnostics.into_iter().map(|d| d.message).collect::<Vec<_>>())
    };
    for text in [UNIVERSAL, KUBERNETES] {
        let (resources, messages) = read(text);
        assert_eq!(messages, Vec::<String>::new());
        assert_eq!((resources.traffic_logs.len(), resources.access_logs.len()), (1, 1));
    }
    let (_, messages) = read("type: MeshAccessLog\nname: a\nspec: {to: [{targetRef: {}, default: {backends: []}}]}");
    assert_eq!(messages, ["spec.to[0].targetRef.kind: must be defined"]);
}
