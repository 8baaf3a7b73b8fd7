//! What a resource says about itself, in its Universal form (`type`, `mesh`, `name`) and in that of Kubernetes
//! (`apiVersion: kuma.io/v1alpha1`, `kind`, `metadata`).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::field::{Field, Reader};
use logphase_config::diagnostic::Origin;
use logphase_config::document::Node;

/// The label of Kubernetes that names the mesh of a policy.
const MESH_LABEL: &str = "kuma.io/mesh";
/// The mesh of a resource that names none.
pub(super) const DEFAULT_MESH: &str = "default";

/// A kind of resource that access logs depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are Kuma's names")]
pub enum Kind {
    Mesh,
    TrafficLog,
    MeshAccessLog,
    Dataplane,
    MeshGateway,
    MeshService,
    MeshExternalService,
    MeshMultiZoneService,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Mesh,
        Self::TrafficLog,
        Self::MeshAccessLog,
        Self::Dataplane,
        Self::MeshGateway,
        Self::MeshService,
        Self::MeshExternalService,
        Self::MeshMultiZoneService,
    ];

    /// Kuma's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mesh => "Mesh",
            Self::TrafficLog => "TrafficLog",
            Self::MeshAccessLog => "MeshAccessLog",
            Self::Dataplane => "Dataplane",
            Self::MeshGateway => "MeshGateway",
            Self::MeshService => "MeshService",
            Self::MeshExternalService => "MeshExternalService",
            Self::MeshMultiZoneService => "MeshMultiZoneService",
        }
    }

    /// Whether it says which access logs there are; the others say what policies depend on.
    pub fn is_policy(self) -> bool {
        matches!(self, Self::Mesh | Self::TrafficLog | Self::MeshAccessLog)
    }

    /// Whether its fields stand beside `type` and `name` in the Universal form, not in `spec`.
    fn is_flat(self) -> bool {
        matches!(self, Self::Mesh | Self::TrafficLog | Self::Dataplane | Self::MeshGateway)
    }

    /// Whether its names count within a namespace of Kubernetes.
    fn is_namespaced(self) -> bool {
        !matches!(self, Self::Mesh | Self::TrafficLog | Self::MeshGateway)
    }

    fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What a resource says about itself.
#[derive(Debug, Clone)]
pub struct Meta {
    /// Its kind; none if it says nothing about access logs.
    pub kind: Option<Kind>,
    /// The mesh that it belongs to; of a Mesh, its own name.
    pub mesh: String,
    /// Its name.
    pub name: String,
    /// Its namespace; empty outside of Kubernetes.
    pub namespace: String,
    /// When it was created, if it says so.
    pub created: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub origin: Origin,
}

/// A resource before its fields are read.
pub(super) struct Object<'a> {
    pub(super) meta: Meta,
    /// What it is called in notes.
    pub(super) type_name: &'a str,
    /// The fields of its kind, with the path that Kuma names in front of theirs.
    pub(super) body: Field<'a>,
    /// Whether fields that say what it is stand beside those of its kind.
    pub(super) flat: bool,
}

impl Object<'_> {
    pub(super) fn label(&self) -> String {
        format!("{} {}/{}", self.type_name, self.meta.mesh, self.meta.name)
    }
}

/// The fields of an object of the Universal form that are no fields of its kind.
pub(super) const UNIVERSAL: &[&str] = &["type", "mesh", "name", "creationTime", "modificationTime", "labels", "kri"];

/// Whether `root` is a resource of Kuma or a list with one, and no configuration of Kong. An object of a list of Kubernetes
/// may be of another program: such a list is both.
pub fn is_resource(root: &Node) -> bool {
    is_universal(root) || is_kubernetes(root) || is_universal_list(root)
}

/// Whether `root` is of Kuma's API of Kubernetes.
pub(crate) fn is_kubernetes(root: &Node) -> bool {
    let api = root.get("apiVersion").and_then(Node::as_str).unwrap_or_default();
    api.starts_with("kuma.io/") && root.get("kind").is_some()
}

fn is_universal(root: &Node) -> bool {
    let kind = root.get("type").and_then(Node::as_str).unwrap_or_default();
    kind.starts_with(|first: char| first.is_ascii_uppercase()) && root.get("_format_version").is_none()
}

/// What `kumactl get ... -o yaml` writes: `items`, `next` and `total`.
fn is_universal_list(root: &Node) -> bool {
    let items = root.get("items").and_then(Node::items).unwrap_or_default();
    root.get("kind").is_none() && !items.is_empty() && items.iter().all(is_universal)
}

/// Adds the resource `root`, or those of the list that it is.
pub(super) fn objects<'a>(root: &'a Node, reader: &mut Reader, found: &mut Vec<Object<'a>>) {
    let list = root.get("items").and_then(Node::items);
    let of_kubernetes = root.get("kind").and_then(Node::as_str).is_some_and(|kind| kind.ends_with("List"));
    match list {
        Some(items) if of_kubernetes || is_universal_list(root) => {
            items.iter().for_each(|item| objects(item, reader, found));
        }
        _ if is_kubernetes(root) => found.extend(kubernetes(root, reader)),
        _ if is_universal(root) => found.push(universal(root, reader)),
        _ => {}
    }
}

fn universal<'a>(root: &'a Node, reader: &mut Reader) -> Object<'a> {
    let top = Field::root(root);
    let type_name = root.get("type").and_then(Node::as_str).unwrap_or_default();
    let kind = Kind::find(type_name);
    let name = name(&top.get("name"), kind, reader);
    let mesh = top.get("mesh").text(reader).filter(|mesh| !mesh.is_empty()).unwrap_or(DEFAULT_MESH).to_owned();
    let meta = Meta {
        kind,
        mesh: if kind == Some(Kind::Mesh) { name.clone() } else { mesh },
        name,
        namespace: String::new(),
        created: created(&top.get("creationTime"), reader),
        labels: top.get("labels").texts(reader),
        origin: top.get("type").origin(),
    };
    let flat = kind.is_none_or(Kind::is_flat);
    let body = if flat { top } else { top.get("spec") };
    Object { meta, type_name, body, flat }
}

fn kubernetes<'a>(root: &'a Node, reader: &mut Reader) -> Option<Object<'a>> {
    let top = Field::root(root);
    let type_name = root.get("kind").and_then(Node::as_str)?;
    let kind = Kind::find(type_name);
    let metadata = top.get("metadata");
    let name = name(&metadata.get("name"), kind, reader);
    let labels = metadata.get("labels").texts(reader);
    // A policy of the old kinds has a field for its mesh.
    let mesh = top.get("mesh").text(reader).map(str::to_owned).or_else(|| labels.get(MESH_LABEL).cloned());
    let mesh = mesh.filter(|mesh| !mesh.is_empty()).unwrap_or_else(|| DEFAULT_MESH.to_owned());
    let namespaced = kind.is_some_and(Kind::is_namespaced);
    let namespace = metadata.get("namespace").text(reader).filter(|_| namespaced).unwrap_or_default().to_owned();
    let meta = Meta {
        kind,
        mesh: if kind == Some(Kind::Mesh) { name.clone() } else { mesh },
        name,
        namespace,
        created: created(&metadata.get("creationTimestamp"), reader),
        labels,
        origin: top.get("kind").origin(),
    };
    Some(Object { meta, type_name, body: top.get("spec"), flat: false })
}

/// The name, by the rule of Kuma's API for names.
fn name(field: &Field<'_>, kind: Option<Kind>, reader: &mut Reader) -> String {
    let name = field.text(reader).unwrap_or_default();
    if kind.is_some_and(Kind::is_policy) {
        if name.is_empty() {
            field.violation(reader, "cannot be empty");
        } else if !super::target_ref::is_name(name) {
            field.violation(reader, super::target_ref::INVALID_NAME);
        }
    }
    name.to_owned()
}

fn created(field: &Field<'_>, reader: &mut Reader) -> Option<Timestamp> {
    let text = field.text(reader).filter(|text| !text.is_empty())?;
    let time = text.parse().ok();
    if time.is_none() {
        field.violation(reader, "must be a time like 2024-01-31T12:00:00Z");
    }
    time
}
