//! References to what a policy applies to (`targetRef`).

use std::collections::BTreeMap;

use super::field::{Field, Reader};
use super::tags::{self, Tags};

/// A kind of target. The order is Kuma's: of two policies, that of the later kind is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are Kuma's names")]
pub enum TargetKind {
    Mesh,
    Dataplane,
    MeshSubset,
    MeshGateway,
    MeshService,
    MeshExternalService,
    MeshMultiZoneService,
    MeshServiceSubset,
    MeshHTTPRoute,
}

impl TargetKind {
    const ALL: [(&'static str, Self); 9] = [
        ("Mesh", Self::Mesh),
        ("Dataplane", Self::Dataplane),
        ("MeshSubset", Self::MeshSubset),
        ("MeshGateway", Self::MeshGateway),
        ("MeshService", Self::MeshService),
        ("MeshExternalService", Self::MeshExternalService),
        ("MeshMultiZoneService", Self::MeshMultiZoneService),
        ("MeshServiceSubset", Self::MeshServiceSubset),
        ("MeshHTTPRoute", Self::MeshHTTPRoute),
    ];

    /// Kuma's name of it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| *name)
    }
}

/// What a policy or an item of it applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRef {
    /// The kind of target.
    pub kind: TargetKind,
    /// The name of the target; empty if labels select it.
    pub name: String,
    /// The namespace of the target; empty is that of the policy.
    pub namespace: String,
    /// Labels that select targets.
    pub labels: BTreeMap<String, String>,
    /// Tags that select data planes, or listeners of a gateway.
    pub tags: Tags,
    /// The name or number of a port of the target; empty is all of them.
    pub section_name: String,
    /// Kinds of proxies (`Sidecar`, `Gateway`); empty is all of them.
    pub proxy_types: Vec<String>,
}

impl TargetRef {
    /// The whole mesh.
    pub fn mesh() -> Self {
        Self {
            kind: TargetKind::Mesh,
            name: String::new(),
            namespace: String::new(),
            labels: BTreeMap::new(),
            tags: Tags::new(),
            section_name: String::new(),
            proxy_types: Vec::new(),
        }
    }
}

const FIELDS: &[&str] = &["kind", "name", "namespace", "mesh", "labels", "tags", "sectionName", "proxyTypes"];

/// What Kuma says about a name that [`is_name`] refuses.
pub(super) const INVALID_NAME: &str =
    "invalid characters: must consist of lower case alphanumeric characters, '-', '.' and '_'.";

/// Whether `text` has only characters of names.
pub(super) fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c))
}

/// Where a reference stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use<'a> {
    /// The kinds that may stand there.
    pub(super) kinds: &'a [TargetKind],
    /// Whether the policy applies to inbounds, which `sectionName` of a Dataplane selects.
    pub(super) inbound: bool,
}

/// Reads a reference; none if it has violations that leave no kind.
pub(super) fn read(field: &Field<'_>, at: Use<'_>, reader: &mut Reader) -> Option<TargetRef> {
    if field.is_set() {
        field.only(reader, FIELDS);
    }
    let kind_field = field.get("kind");
    let name = kind_field.text(reader).unwrap_or_default();
    if name.is_empty() {
        kind_field.violation(reader, "must be defined");
        return None;
    }
    let found = TargetKind::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    let Some(kind) = found.filter(|kind| at.kinds.contains(kind)) else {
        kind_field.violation(reader, format!("value '{name}' is not supported"));
        return None;
    };
    let fields = Fields { field, kind, at };
    fields.read(reader)
}

/// The fields of a reference whose kind is known.
struct Fields<'a, 'f> {
    field: &'f Field<'a>,
    kind: TargetKind,
    at: Use<'f>,
}

impl Fields<'_, '_> {
    fn read(&self, reader: &mut Reader) -> Option<TargetRef> {
        use TargetKind as K;
        match self.kind {
            K::Mesh => {
                let name = self.field.get("name");
                if is_filled(&name) {
                    name.violation(reader, "using name with kind Mesh is not yet supported");
                }
                self.unset(&["mesh", "tags", "labels", "namespace", "sectionName"], reader);
                self.proxy_types(reader);
            }
            K::Dataplane => {
                self.unset(&["tags", "mesh", "proxyTypes"], reader);
                self.one_way("either labels or name and namespace must be specified", reader);
                let section = self.field.get("sectionName");
                if !self.at.inbound && is_filled(&section) {
                    section.violation(reader, "can only be used with inbound policies");
                }
            }
            K::MeshSubset => {
                self.unset(&["name", "mesh", "labels", "namespace", "sectionName"], reader);
                self.proxy_types(reader);
            }
            K::MeshServiceSubset | K::MeshGateway => {
                let name = self.field.get("name");
                if !is_filled(&name) {
                    name.violation(reader, format!("must be set when kind is {}", self.kind.name()));
                }
                self.name(reader);
                self.unset(&["mesh", "proxyTypes", "labels", "namespace", "sectionName"], reader);
            }
            K::MeshService | K::MeshMultiZoneService => self.service(&["mesh", "tags", "proxyTypes"], reader),
            K::MeshHTTPRoute | K::MeshExternalService => {
                self.service(&["mesh", "tags", "proxyTypes", "sectionName"], reader);
            }
        }
        let text = |name: &str, reader: &mut Reader| self.field.get(name).text(reader).unwrap_or_default().to_owned();
        let types = self.field.get("proxyTypes").items(reader).unwrap_or_default();
        let tags = self.field.get("tags");
        Some(TargetRef {
            kind: self.kind,
            name: text("name", reader),
            namespace: text("namespace", reader),
            labels: self.field.get("labels").texts(reader),
            tags: match self.kind {
                K::MeshSubset => tags::tags(&tags, false, reader),
                K::MeshServiceSubset | K::MeshGateway => tags::tags(&tags, true, reader),
                _ => Tags::new(),
            },
            section_name: text("sectionName", reader),
            proxy_types: types.iter().filter_map(|item| item.text(reader)).map(str::to_owned).collect(),
        })
    }

    /// A reference to a service or a route, by name or by labels.
    fn service(&self, unset: &[&str], reader: &mut Reader) {
        self.name(reader);
        self.unset(unset, reader);
        if !is_filled(&self.field.get("labels")) && !is_filled(&self.field.get("name")) {
            let kind = self.kind.name();
            self.field.violation(reader, format!("name or labels must be set when kind is {kind}"));
        }
        self.one_way(
            match self.kind {
                TargetKind::MeshExternalService => "either labels or name must be specified",
                _ => "either labels or name and namespace must be specified",
            },
            reader,
        );
    }

    /// Labels stand beside neither a name nor a namespace.
    fn one_way(&self, message: &str, reader: &mut Reader) {
        let labels = self.field.get("labels");
        if is_filled(&labels) && ["name", "namespace"].iter().any(|name| is_filled(&self.field.get(name))) {
            labels.violation(reader, message);
        }
    }

    fn name(&self, reader: &mut Reader) {
        let name = self.field.get("name");
        if name.node().and_then(|node| node.as_str()).is_some_and(|text| !is_name(text)) {
            name.violation(reader, INVALID_NAME);
        }
    }

    fn unset(&self, names: &[&str], reader: &mut Reader) {
        for field in names.iter().map(|name| self.field.get(name)).filter(is_filled) {
            field.violation(reader, format!("must not be set with kind {}", self.kind.name()));
        }
    }

    fn proxy_types(&self, reader: &mut Reader) {
        let types = self.field.get("proxyTypes");
        let Some(items) = types.items(reader) else { return };
        if items.is_empty() {
            types.violation(reader, "must be undefined or have at least one element");
        }
        for item in items {
            match item.text(reader) {
                Some("Sidecar" | "Gateway") | None => {}
                Some(_) => item.violation(reader, "must be one of: Sidecar, Gateway"),
            }
        }
    }
}

/// Whether there is a value that is not empty.
fn is_filled(field: &Field<'_>) -> bool {
    field.node().is_some_and(|node| match (node.as_str(), node.items(), node.entries()) {
        (Some(text), ..) => !text.is_empty(),
        (_, Some(items), _) => !items.is_empty(),
        (.., Some(entries)) => !entries.is_empty(),
        _ => true,
    })
}
