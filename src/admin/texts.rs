//! The entities of declarative texts, as Kong has them after it loaded one: flat, with ids and defaults.

use std::sync::Arc;

use logphase_config::diagnostic::SourceFile;
use logphase_config::document::{self, Node};
use logphase_config::schema::is_uuid;
use serde_json::{Map, Value, json};

use super::credentials;
use super::kind::{KINDS, Kind, MEMBERSHIPS};
use super::read::{self, Names};
use super::tables::{Change, Tables, reference};
use super::write::id_of;
use crate::declarative;
use crate::entity::{Draft, EntityKind, derived_id, old_references};
use crate::plugin;

/// The entities of `sources`, which are valid as the configuration of a log phase. What Kong would refuse of them and a log phase
/// does not use is shown as it is. `now`: milliseconds since 1970.
pub(crate) fn entities(sources: &[Arc<SourceFile>], now: i64) -> Vec<Change> {
    let environment = |name: &str| std::env::var(name).ok();
    let roots: Vec<Node> =
        sources.iter().flat_map(|source| document::parse_all(source, Some(&environment)).roots).collect();
    let drafts = declarative::all_drafts(&roots);
    let of_log_phase: Vec<Given> =
        drafts.entities.iter().filter_map(|draft| of_draft(draft, &drafts.entities)).collect();
    // What a service has exported has hashes in place of passwords.
    let hashed = roots.iter().any(|root| root.get("_transform").and_then(Node::as_bool) == Some(false));
    let mut tables = Tables::new();
    let mut parents: Vec<(&'static Kind, String, Node)> = of_drafts(&drafts.entities).collect();
    let mut all = Vec::new();
    for kind in KINDS {
        let of_drafts = of_log_phase.iter().filter(|(found, _)| *found == kind).map(|(_, entity)| entity.clone());
        let mut changes: Vec<Change> =
            of_drafts.map(|entity| completed(kind, entity, &tables, (now, hashed))).collect();
        for (entity, node) in others(kind, &roots, &parents) {
            let change = completed(kind, entity, &tables, (now, hashed));
            parents.push((kind, change.id.clone(), node));
            changes.push(change);
        }
        if kind.name == MEMBERSHIPS {
            // Of a consumer that only Kong knows, nothing can be shown.
            changes.retain(|change| {
                let entity = change.entity.as_deref();
                kind.references().all(|(field, target)| {
                    entity
                        .and_then(|entity| reference(entity, field.name))
                        .is_some_and(|id| tables.get(target, id).is_some())
                })
            });
        }
        tables.apply(&changes);
        all.extend(changes);
    }
    all
}

/// An entity as a text has it, with its kind.
type Given = (&'static Kind, Map<String, Value>);

/// The drafts with their kinds and ids: what other entities may be nested in.
fn of_drafts(drafts: &[Draft]) -> impl Iterator<Item = (&'static Kind, String, Node)> {
    drafts.iter().filter_map(|draft| {
        let kind = KINDS.iter().find(|kind| kind.of_log_phase == Some(draft.kind))?;
        Some((kind, written_id(draft), Node::clone(&draft.node)))
    })
}

/// The entities of a kind that is not of the log phase, each with its node: those that a root lists, and those in `parents`, which they refer to.
fn others(
    kind: &'static Kind,
    roots: &[Node],
    parents: &[(&'static Kind, String, Node)],
) -> Vec<(Map<String, Value>, Node)> {
    if kind.of_log_phase.is_some() {
        return Vec::new();
    }
    let items = |node: &Node, name: &str| node.get(name).and_then(Node::items).unwrap_or_default().to_vec();
    let object = |node: Node| Some((node.to_json().as_object()?.clone(), node));
    let mut found: Vec<(Map<String, Value>, Node)> =
        roots.iter().flat_map(|root| items(root, kind.name)).filter_map(object).collect();
    for (parent, id, node) in parents {
        let Some(field) = kind.reference_to(parent) else { continue };
        if let Some((list, other)) = sides_of(kind, parent) {
            // A member is named by a text or by an object with its name.
            found.extend(items(node, list).into_iter().map(|member| {
                let sides = [(field.name.to_owned(), json!({ "id": id })), (other.to_owned(), member.to_json())];
                (Map::from_iter(sides), member)
            }));
            continue;
        }
        found.extend(items(node, kind.name).into_iter().filter_map(object).map(|(mut entity, node)| {
            entity.insert(field.name.to_owned(), json!({ "id": id }));
            (entity, node)
        }));
    }
    found
}

/// The list of members in an entity of the kind `parent`, and the field of the membership that names a member.
fn sides_of(kind: &Kind, parent: &Kind) -> Option<(&'static str, &'static str)> {
    match (kind.name, parent.name) {
        (MEMBERSHIPS, "consumers") => Some(("groups", "consumer_group")),
        (MEMBERSHIPS, "consumer_groups") => Some(("consumers", "consumer")),
        _ => None,
    }
}

/// The entity of `draft` without the entities in it, with what it is nested in as a reference.
fn of_draft(draft: &Draft, drafts: &[Draft]) -> Option<Given> {
    let kind = KINDS.iter().find(|kind| kind.of_log_phase == Some(draft.kind))?;
    let Value::Object(mut entity) = draft.node.to_json() else { return None };
    if draft.kind == EntityKind::Plugins {
        current_form(&mut entity);
        if let Some(Ok(shared)) = &draft.shared_config {
            let own = draft.node.get("config").map(|own| own.over(shared).to_json());
            entity.insert("config".to_owned(), own.unwrap_or_else(|| shared.to_json()));
        }
    }
    if let Some(parent) = draft.parent.map(|at| &drafts[at]) {
        entity.insert(parent.kind.singular().to_owned(), json!({"id": written_id(parent)}));
    }
    let tags: Vec<Value> = draft.extra_tags.in_order().map(Value::from).collect();
    if !tags.is_empty() {
        let own = entity.get("tags").and_then(Value::as_array).cloned().unwrap_or_default();
        let new = tags.into_iter().filter(|tag| !own.contains(tag)).collect::<Vec<_>>();
        entity.insert("tags".to_owned(), own.into_iter().chain(new).collect());
    }
    if draft.kind != EntityKind::Plugins {
        entity.insert("id".to_owned(), written_id(draft).into());
    }
    let record = (kind.record)();
    entity.retain(|name, _| {
        record.field(name).is_some_and(|field| field.shown != logphase_config::schema::Shown::InFiles)
    });
    Some((kind, entity))
}

/// The id that a draft says, or the one that Kong derives from its name. Drafts that are not validated have no other values.
fn written_id(draft: &Draft) -> String {
    let text = |name: &str| draft.node.get(name).and_then(Node::as_str);
    let id = text("id").filter(|id| is_uuid(id)).map(str::to_ascii_lowercase);
    id.unwrap_or_else(|| derived_id(draft.kind, text(draft.kind.key()).unwrap_or(&draft.path)).to_string())
}

/// Replaces the names that a plugin had in old versions.
fn current_form(plugin: &mut Map<String, Value>) {
    if let Some(value) = plugin.remove("value") {
        plugin.entry("config").or_insert(value);
    }
    for (old, new) in old_references() {
        if let Some(id) = plugin.remove(old).filter(|id| !id.is_null()) {
            plugin.entry(new).or_insert(id);
        }
    }
    let name = plugin.get("name").and_then(Value::as_str).and_then(plugin::find);
    if let Some(definition) = name {
        plugin.insert("name".to_owned(), definition.name.into());
    }
}

/// The entity with defaults; as it is, with an id and times, if Kong refuses it.
fn completed(
    kind: &'static Kind,
    mut entity: Map<String, Value>,
    tables: &Tables,
    (now, hashed): (i64, bool),
) -> Change {
    for (field, target) in kind.references() {
        let Some(given) = entity.get(field.name).cloned() else { continue };
        let key = match &given {
            Value::String(key) => Some(key.as_str()),
            other => ["id", target.key, "name"].iter().find_map(|name| other.get(*name)?.as_str()),
        };
        let id = key.map(|key| match tables.find(target, key) {
            Some(found) => id_of(found),
            None => key.to_owned(),
        });
        entity.insert(field.name.to_owned(), id.map_or(Value::Null, |id| json!({ "id": id })));
    }
    // What is nested in it is on its own.
    for child in KINDS.iter().filter(|child| child.reference_to(kind).is_some()) {
        entity.remove(child.name);
    }
    let seconds = Value::from(now / 1000);
    for field in (kind.record)().fields.iter().filter(|field| field.auto && field.name.ends_with("_at")) {
        entity.entry(field.name).or_insert_with(|| seconds.clone());
    }
    if !entity.get("id").and_then(Value::as_str).is_some_and(is_uuid) {
        entity.insert("id".to_owned(), derived(kind, &entity).into());
    }
    let id = id_of(&entity);
    let mut entity = read::whole(kind, entity.clone(), tables, Names::Old).unwrap_or(entity);
    if !hashed {
        credentials::hash_password(kind, &mut entity, None);
    }
    Change { kind, id, entity: Some(Arc::new(entity)) }
}

/// An id that stays the same as long as the entity does.
fn derived(kind: &Kind, entity: &Map<String, Value>) -> String {
    let is_unique = kind.of_log_phase.is_some() || (kind.record)().field(kind.key).is_some_and(|field| field.unique);
    let key = entity.get(kind.key).filter(|_| is_unique).and_then(Value::as_str).map(str::to_owned);
    let key = key.unwrap_or_else(|| {
        let mut stable = entity.clone();
        stable.retain(|name, _| !matches!(&**name, "created_at" | "updated_at"));
        Value::Object(stable).to_string()
    });
    match kind.of_log_phase {
        Some(of_log_phase) => derived_id(of_log_phase, &key).to_string(),
        None => uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{}:{key}", kind.name).as_bytes()).to_string(),
    }
}
