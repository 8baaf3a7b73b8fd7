//! KongPlugin and KongClusterPlugin.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

use super::{Converter, Object, Users, secret, text};
use crate::entity::{Draft, EntityKind};
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_config::document::{Node, NodeKind};

/// The fields of both kinds.
const FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "plugin",
    "config",
    "configFrom",
    "configPatches",
    "disabled",
    "protocols",
    "instance_name",
    "ordering",
    "condition",
    "run_on",
    "consumerRef",
    "status",
];

/// Makes a plugin for each entity that refers to a KongPlugin or KongClusterPlugin, and for each global KongClusterPlugin.
pub(super) fn convert<'a>(objects: &[Object<'a>], converter: &mut Converter<'a>) {
    let mut users = std::mem::take(&mut converter.users);
    for object in objects.iter().filter(|object| matches!(object.kind, "KongPlugin" | "KongClusterPlugin")) {
        let Some(base) = plugin(objects, object, converter) else { continue };
        let cluster = object.kind == "KongClusterPlugin";
        let mut used = false;
        // A KongPlugin is preferred to a KongClusterPlugin of its name.
        let hidden = |namespace: &str| {
            let mut own = objects.iter().filter(|other| other.kind == "KongPlugin");
            own.any(|other| other.namespace == namespace && other.name == object.name)
        };
        let found: Vec<_> = users
            .keys()
            .filter(|(namespace, name)| {
                name == object.name && if cluster { !hidden(namespace) } else { namespace == object.namespace }
            })
            .cloned()
            .collect();
        for key in found {
            for scope in users.remove(&key).map(|users| combinations(&users)).unwrap_or_default() {
                used = true;
                converter.add(EntityKind::Plugins, placed(&base, &scope), object.label());
            }
        }
        let global = object.node.get("metadata").and_then(|metadata| metadata.get("labels")?.get("global"));
        if cluster && global.is_some_and(|label| label.as_str() == Some("true")) {
            converter.add(EntityKind::Plugins, base, object.label());
        } else if !used {
            // Its configuration is judged all the same.
            let mut draft = Draft::new(EntityKind::Plugins, base, object.label());
            draft.unplaced = true;
            converter.drafts.entities.push(draft);
            let message = format!("{} runs for nothing: no object names it in `konghq.com/plugins`", object.label());
            let place = object.node.get("kind").unwrap_or(object.node).origin();
            let warning = Diagnostic::warning(codes::REFERENCE, message).at(place);
            converter.diagnostics.push(warning.help("give the files of the objects that name it, too"));
        }
    }
    for ((namespace, name), users) in users {
        let place = users.by_kind.into_values().flatten().next();
        let message = format!("no KongPlugin `{name}` in the namespace `{namespace}`, and no KongClusterPlugin");
        let warning = Diagnostic::warning(codes::REFERENCE, message).help("give the file that has it, too");
        converter.diagnostics.push(warning.at(place.map(|(_, node)| node.origin()).unwrap_or_default()));
    }
}

/// The plugin without a scope; `None` if its configuration is not known, which is an error.
fn plugin<'a>(objects: &[Object<'a>], object: &Object<'a>, converter: &mut Converter<'a>) -> Option<Node> {
    for (key, _) in object.node.entries().into_iter().flatten() {
        if !FIELDS.contains(&key.name.as_str()) {
            let message = format!("unknown field `{}` in {}", key.name, object.label());
            let error = Diagnostic::error(codes::UNKNOWN_FIELD, message).at(key.origin()).label("unknown field");
            converter.diagnostics.push(error.suggest(&key.name, FIELDS.iter().copied()));
        }
    }
    let mut plugin = Node::empty_mapping_at(object.node);
    let copied = [("plugin", "name"), ("protocols", "protocols"), ("instance_name", "instance_name")];
    for (from, to) in copied.into_iter().chain([("ordering", "ordering"), ("condition", "condition")]) {
        if let Some(value) = object.node.get(from) {
            plugin.set(&[to], value.clone());
        }
    }
    if let Some(disabled) = object.node.get("disabled")
        && let Some(value) = disabled.as_bool()
    {
        plugin.set(&["enabled"], disabled.with_kind(NodeKind::Bool(!value)));
    }
    plugin.set(&["tags"], object.tags());
    match config(objects, object) {
        Ok(Some(config)) => plugin.set(&["config"], config),
        Ok(None) => {}
        Err(error) => {
            converter.diagnostics.push(*error);
            return None;
        }
    }
    Some(plugin)
}

/// `config` with its patches, or what `configFrom` refers to.
fn config(objects: &[Object<'_>], object: &Object<'_>) -> Result<Option<Node>, Box<Diagnostic>> {
    let node = object.node;
    let own = node.get("config").filter(|config| !config.is_null());
    let patches = node.get("configPatches").and_then(Node::items).unwrap_or_default();
    let error = |at: &Node, message: String| Box::new(Diagnostic::error(codes::ENTITY_CHECK, message).at(at.origin()));
    if let Some(from) = node.get("configFrom") {
        let empty = own.is_none_or(|own| own.entries().is_some_and(<[_]>::is_empty));
        if !empty || !patches.is_empty() {
            return Err(error(from, format!("{} has both `config` and `configFrom`", object.label())));
        }
        let reference = from.get("secretKeyRef").unwrap_or(from);
        return secret::value(objects, reference, object.namespace, true).map(Some);
    }
    let mut config = own.cloned();
    for patch in patches {
        let reference = patch.get("valueFrom").and_then(|from| from.get("secretKeyRef")).unwrap_or(patch);
        let value = secret::value(objects, reference, object.namespace, false)?;
        let path = patch.get("path").and_then(Node::as_str).unwrap_or_default();
        let config = config.get_or_insert_with(|| Node::empty_mapping_at(patch));
        secret::patch(config, path, value)
            .map_err(|why| error(patch, format!("the patch of {}: {why}", object.label())))?;
    }
    Ok(config)
}

/// The fields of a scope, each with its entity and its place.
type Scope<'a> = Vec<(EntityKind, String, &'a Node)>;

/// The scopes of a plugin that several entities name: on a consumer (or a group) and on routes or services means on both
/// together, as the controller has it.
fn combinations<'a>(users: &Users<'a>) -> Vec<Scope<'a>> {
    let of = |kind: EntityKind| {
        let users = users.by_kind.get(&kind).into_iter().flatten();
        users.map(|(identifier, at)| (kind, identifier.clone(), *at)).collect::<Vec<_>>()
    };
    let targets = [of(EntityKind::Services), of(EntityKind::Routes)].concat();
    let consumers = of(EntityKind::Consumers);
    let who = if consumers.is_empty() { of(EntityKind::ConsumerGroups) } else { consumers };
    match (who.is_empty(), targets.is_empty()) {
        (true, _) => targets.into_iter().map(|target| vec![target]).collect(),
        (false, true) => who.into_iter().map(|who| vec![who]).collect(),
        (false, false) => {
            who.iter().flat_map(|who| targets.iter().map(|target| vec![target.clone(), who.clone()])).collect()
        }
    }
}

/// `base` in `scope`. Its instance name is unique by the hash of the scope.
fn placed(base: &Node, scope: &Scope<'_>) -> Node {
    let (mut plugin, mut hashed) = (base.clone(), String::new());
    for (kind, identifier, at) in scope {
        plugin.set(&[kind.singular()], text(at, identifier.as_str()));
        let word = if *kind == EntityKind::ConsumerGroups { "group" } else { kind.singular() };
        let _ = write!(hashed, "_{word}-{identifier}");
    }
    if let Some(instance) = base.get("instance_name")
        && let Some(name) = instance.as_str()
    {
        let mut hash = String::new();
        for byte in digest(&SHA256, hashed.as_bytes()).as_ref() {
            let _ = write!(hash, "{byte:02x}");
        }
        plugin.set(&["instance_name"], text(instance, format!("{name}-{}", &hash[..9])));
    }
    plugin
}
