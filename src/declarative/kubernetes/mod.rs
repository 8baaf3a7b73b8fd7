//! Kubernetes objects as entities, as Kong's ingress controller makes them (github.com/Kong/kubernetes-ingress-controller,
//! Apache-2.0): KongPlugin, KongClusterPlugin, KongConsumer, KongConsumerGroup, Ingress, HTTPRoute, Service and Secret.

mod plugin;
mod routes;
mod secret;

use std::collections::BTreeMap;

use crate::entity::{Draft, Drafts, EntityKind};
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_config::document::{Node, NodeKind, StringStyle};

/// Whether `root` is an object of Kubernetes, and not a declarative file of Kong.
pub(super) fn is_object(root: &Node) -> bool {
    let text = |name: &str| root.get(name).is_some_and(|node| node.as_str().is_some());
    text("apiVersion") && text("kind")
}

/// The entities that `roots` describe, and what is wrong with them.
pub(super) fn drafts(roots: &[Node]) -> (Drafts, Vec<Diagnostic>) {
    let mut objects = Vec::new();
    roots.iter().for_each(|root| flatten(root, &mut objects));
    let mut converter = Converter::default();
    for object in &objects {
        match object.kind {
            "KongConsumer" => converter.consumer(object),
            "KongConsumerGroup" => converter.consumer_group(object),
            _ => {}
        }
    }
    routes::convert(&objects, &mut converter);
    plugin::convert(&objects, &mut converter);
    converter.note_ignored(&objects);
    (converter.drafts, converter.diagnostics)
}

/// Adds the object `node`, or the objects of the list that it is.
fn flatten<'a>(node: &'a Node, objects: &mut Vec<Object<'a>>) {
    match (Object::new(node), node.get("items").and_then(Node::items)) {
        (Some(list), Some(items)) if list.kind.ends_with("List") => {
            items.iter().for_each(|item| flatten(item, objects));
        }
        (Some(object), _) => objects.push(object),
        (None, _) => {}
    }
}

/// An object of Kubernetes.
struct Object<'a> {
    kind: &'a str,
    /// Group and version: `networking.k8s.io/v1`, or only `v1`.
    api: &'a str,
    namespace: &'a str,
    name: &'a str,
    node: &'a Node,
}

impl<'a> Object<'a> {
    fn new(node: &'a Node) -> Option<Self> {
        let text = |node: &'a Node, name: &str| node.get(name).and_then(Node::as_str);
        let metadata = |name: &str| text(node.get("metadata")?, name);
        Some(Self {
            kind: text(node, "kind")?,
            api: text(node, "apiVersion")?,
            namespace: metadata("namespace").unwrap_or("default"),
            name: metadata("name").unwrap_or_default(),
            node,
        })
    }

    /// An annotation of Kong's, by its name without `konghq.com/`.
    fn annotation(&self, name: &str) -> Option<&'a Node> {
        self.node.get("metadata")?.get("annotations")?.get(&format!("konghq.com/{name}"))
    }

    /// The elements of an annotation with commas.
    fn annotated(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let elements = self.annotation(name).and_then(Node::as_str).unwrap_or_default().split(',');
        elements.map(str::trim).filter(|element| !element.is_empty())
    }

    /// What the controller tells of it in the tags of its entities, and the tags of its annotation.
    fn tags(&self) -> Node {
        let (group, version) = self.api.rsplit_once('/').unwrap_or(("", self.api));
        let cluster = if self.kind == "KongClusterPlugin" { "" } else { self.namespace };
        let facts = [("name", self.name), ("namespace", cluster), ("kind", self.kind), ("group", group)];
        let facts = facts.into_iter().chain([("version", version)]).filter(|(_, value)| !value.is_empty());
        let facts = facts.map(|(name, value)| format!("k8s-{name}:{value}"));
        list(self.node, facts.chain(self.annotated("tags").map(str::to_owned)))
    }

    /// Kind, namespace and name, for messages and as the path of its fields.
    fn label(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Text with the origin of `at`.
fn text(at: &Node, value: impl Into<String>) -> Node {
    at.with_kind(NodeKind::String { value: value.into(), style: StringStyle::Double })
}

/// Texts with the origin of `at`.
fn list(at: &Node, values: impl Iterator<Item = String>) -> Node {
    at.with_kind(NodeKind::Sequence(values.map(|value| text(at, value)).collect()))
}

/// The entities that refer to one KongPlugin in `konghq.com/plugins`, by kind, each with its place.
#[derive(Default)]
struct Users<'a> {
    by_kind: BTreeMap<EntityKind, Vec<(String, &'a Node)>>,
}

#[derive(Default)]
struct Converter<'a> {
    drafts: Drafts,
    diagnostics: Vec<Diagnostic>,
    /// By namespace and name of the KongPlugin.
    users: BTreeMap<(String, String), Users<'a>>,
}

impl<'a> Converter<'a> {
    fn add(&mut self, kind: EntityKind, node: Node, path: String) {
        self.drafts.entities.push(Draft::new(kind, node, path));
    }

    /// The plugins that `object` names apply to the entity `identifier`.
    fn refer(&mut self, object: &Object<'a>, kind: EntityKind, identifier: &str) {
        let Some(at) = object.annotation("plugins") else { return };
        for plugin in object.annotated("plugins") {
            let (namespace, name) = plugin.split_once(':').unwrap_or((object.namespace, plugin));
            self.refer_to((namespace, name), at, kind, identifier);
        }
    }

    fn refer_to(&mut self, (namespace, name): (&str, &str), at: &'a Node, kind: EntityKind, identifier: &str) {
        let users = self.users.entry((namespace.to_owned(), name.to_owned())).or_default();
        let users = users.by_kind.entry(kind).or_default();
        if users.last().is_none_or(|(last, _)| last != identifier) {
            users.push((identifier.to_owned(), at));
        }
    }

    fn consumer(&mut self, object: &Object<'a>) {
        let mut consumer = Node::empty_mapping_at(object.node);
        for (name, member) in [("username", "username"), ("custom_id", "custom_id"), ("groups", "consumerGroups")] {
            if let Some(value) = object.node.get(member) {
                consumer.set(&[name], value.clone());
            }
        }
        consumer.set(&["tags"], object.tags());
        let identifier = ["username", "custom_id"].into_iter().find_map(|name| object.node.get(name)?.as_str());
        if let Some(identifier) = identifier {
            self.refer(object, EntityKind::Consumers, identifier);
        }
        self.add(EntityKind::Consumers, consumer, object.label());
    }

    fn consumer_group(&mut self, object: &Object<'a>) {
        let mut group = Node::empty_mapping_at(object.node);
        group.set(&["name"], text(object.node, object.name));
        group.set(&["tags"], object.tags());
        self.refer(object, EntityKind::ConsumerGroups, object.name);
        self.add(EntityKind::ConsumerGroups, group, object.label());
    }

    /// One note with all objects that the log phase does not need.
    fn note_ignored(&mut self, objects: &[Object<'_>]) {
        const SHOWN: usize = 10;
        const USED: &[&str] = &[
            "KongPlugin",
            "KongClusterPlugin",
            "KongConsumer",
            "KongConsumerGroup",
            "Ingress",
            "HTTPRoute",
            "Service",
            "Secret",
        ];
        // Those of Kuma have a reader of their own.
        let mut ignored = objects.iter().filter(|object| !crate::mesh::is_kubernetes(object.node)).collect::<Vec<_>>();
        ignored.retain(|object| !USED.contains(&object.kind));
        let Some(first) = ignored.first() else { return };
        let mut names: Vec<_> = ignored.iter().take(SHOWN).map(|object| object.label()).collect();
        if ignored.len() > SHOWN {
            names.push(format!("{} more", ignored.len() - SHOWN));
        }
        let message = format!("not used: {}", names.join(", "));
        let place = first.node.get("kind").unwrap_or(first.node).origin();
        self.diagnostics.push(Diagnostic::note(codes::NOT_USED, message).at(place));
    }
}

#[cfg(test)]
mod tests;
