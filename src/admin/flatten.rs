//! The errors of a declarative configuration, in Kong's two forms: as a tree like the configuration, or as a list of entities
//! (kong/db/errors.lua, `declarative_config_flattened`).

use logphase_config::diagnostic::{Diagnostic, FieldPath, Segment, codes};
use logphase_config::schema::is_uuid;
use serde_json::{Map, Value, json};

use super::declared;
use super::error::{ApiError, lua_text};
use super::kind::{self, KINDS, Kind};
use crate::entity::derived_id;
use crate::plugin;

/// Kong's error for `found` in the document `root`.
pub(super) fn refused(found: &[Diagnostic], root: &Value, flatten: bool) -> ApiError {
    let mut tree = tree(found, root, flatten);
    let mut flattened = Vec::new();
    if flatten {
        flatten_sections(&mut tree, root, &mut flattened);
    }
    let message = format!("declarative config is invalid: {}", lua_text(&tree));
    let mut error = ApiError::declarative(message, tree);
    if flatten {
        error.body["flattened_errors"] = flattened.into();
    }
    error
}

/// Errors for plugins that Kong does not have. The service leaves such plugins out, and Kong refuses them.
pub(super) fn unknown_plugins(root: &Value) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    search(root, "", &mut found);
    found
}

fn search(entity: &Value, path: &str, found: &mut Vec<Diagnostic>) {
    for kind in KINDS {
        for (at, item) in entity.get(kind.name).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}[{at}]", kind.name);
            let name = item.get("name").and_then(Value::as_str).filter(|_| kind.is_plugins());
            if let Some(name) = name.filter(|name| plugin::find(name).is_none() && plugin::find_known(name).is_none()) {
                let wording = format!("plugin '{name}' not enabled; add it to the 'plugins' configuration property");
                let error = Diagnostic::error(codes::UNKNOWN_PLUGIN, format!("unknown plugin `{name}`"));
                found.push(error.path(format!("{path}.name")).violation("name", wording));
            }
            search(item, &path, found);
        }
    }
}

/// A step of a path in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
}

/// The errors as a tree like the document. Kong looks for repeated names and dangling references once nothing else is wrong.
fn tree(found: &[Diagnostic], root: &Value, flatten: bool) -> Value {
    let errors: Vec<(Vec<Step>, String)> =
        found.iter().filter(|found| found.is_error()).map(|error| (steps(error, root), wording(error))).collect();
    let is_late = |text: &str| is_repetition(text) || is_dangling(text);
    let only_late = errors.iter().all(|(_, text)| is_late(text));
    let mut tree = Value::Object(Map::new());
    for (mut steps, text) in errors.into_iter().filter(|(_, text)| only_late || !is_late(text)) {
        let entity = entity_at(&steps, root);
        match entity {
            Some((at, kind)) if !flatten && declared::is_about_other_value(kind, &text) => {
                let key = key_of(kind, self::at(root, &steps[..at]), at);
                steps = vec![Step::Member(kind.name.to_owned()), Step::Member(key)];
            }
            Some((at, _)) if is_repetition(&text) => steps.truncate(at),
            Some((at, kind)) if is_dangling(&text) => {
                let key = key_of(kind, self::at(root, &steps[..at]), at);
                steps = vec![Step::Member(kind.name.to_owned()), Step::Member(key), Step::Element(0)];
            }
            _ => {}
        }
        insert(&mut tree, &steps, &text);
    }
    tree
}

fn is_repetition(text: &str) -> bool {
    text.starts_with("uniqueness violation: ")
}

fn is_dangling(text: &str) -> bool {
    text.starts_with("invalid reference '")
}

/// What Kong calls an entity by whose reference dangles: its unique key, or its id.
fn key_of(kind: &Kind, entity: Option<&Value>, at: usize) -> String {
    let text = |name: &str| entity.and_then(|entity| entity.get(name)).and_then(Value::as_str);
    let is_unique = (kind.record)().field(kind.key).is_some_and(|field| field.unique);
    if let Some(key) = text(kind.key).filter(|_| is_unique).or(text("id")) {
        return key.to_owned();
    }
    let scopes = ["name", "route", "service", "consumer"].map(|name| text(name).unwrap_or_default()).join(":");
    let seed = if kind.is_plugins() { format!("plugins:*:{scopes}") } else { format!("{}:{at}", kind.name) };
    kind.of_log_phase.map_or(seed.clone(), |of_log_phase| derived_id(of_log_phase, &seed).to_string())
}

/// The place of `error` in the document.
fn steps(error: &Diagnostic, root: &Value) -> Vec<Step> {
    let steps = steps_of(error.path.as_deref().unwrap_or_default());
    let Some((at, _)) = entity_at(&steps, root) else { return steps };
    let Some(field) = &error.field else {
        // Kong has one text for a map of snippets.
        let snippets = |pair: &[Step]| pair[1] == Step::Member("custom_fields_by_lua".to_owned());
        let end = steps.windows(2).position(snippets).map_or(steps.len(), |at| at + 2);
        return steps[..end].to_vec();
    };
    let below = steps_of_field(&field.path);
    steps[..at].iter().cloned().chain(below).collect()
}

/// The steps of `services[0].plugins[1].config`.
fn steps_of(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        let name = pieces.next().unwrap_or_default();
        if !name.is_empty() {
            steps.push(Step::Member(name.to_owned()));
        }
        steps.extend(pieces.filter_map(|piece| piece.trim_end_matches(']').parse().ok()).map(Step::Element));
    }
    steps
}

/// The steps of a field of an entity. Kong has one text for a map.
fn steps_of_field(path: &FieldPath) -> Vec<Step> {
    if path.is_entity() {
        return vec![Step::Member("@entity".to_owned())];
    }
    let in_map = path.segments().iter().position(|segment| matches!(segment, Segment::Key(_)));
    let named = &path.segments()[..in_map.unwrap_or(path.segments().len())];
    named
        .iter()
        .map(|segment| match segment {
            Segment::Field(name) | Segment::Key(name) => Step::Member(name.clone()),
            Segment::Element(index) => Step::Element(*index),
            Segment::Entity => Step::Member("@entity".to_owned()),
        })
        .collect()
}

fn at<'a>(root: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(root, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Element(index) => value.get(index),
    })
}

/// How many of `steps` lead to the innermost entity, and what that is.
fn entity_at(steps: &[Step], root: &Value) -> Option<(usize, &'static Kind)> {
    let mut found = None;
    for (at, pair) in steps.windows(2).enumerate() {
        if let [Step::Member(name), Step::Element(_)] = pair
            && let Some(kind) = kind::find(name)
            && self::at(root, &steps[..at + 2]).is_some_and(Value::is_object)
        {
            found = Some((at + 2, kind));
        }
    }
    found
}

/// Puts `wording` at the place that `steps` lead to; the first one stays.
fn insert(target: &mut Value, steps: &[Step], wording: &str) {
    match (steps, target) {
        ([], target @ Value::Null) => *target = wording.into(),
        ([], Value::Object(members)) => push(members, wording),
        ([Step::Member(name)], target) if name == "@entity" => {
            if target.is_null() {
                *target = json!({});
            }
            if let Some(members) = target.as_object_mut() {
                push(members, wording);
            }
        }
        ([Step::Member(name), rest @ ..], target) => {
            if target.is_null() {
                *target = json!({});
            }
            if let Some(members) = target.as_object_mut() {
                insert(members.entry(name.as_str()).or_insert(Value::Null), rest, wording);
            }
        }
        ([Step::Element(index), rest @ ..], target) => {
            if target.is_null() {
                *target = json!([]);
            }
            if let Some(items) = target.as_array_mut() {
                if items.len() <= *index {
                    items.resize(index + 1, Value::Null);
                }
                insert(&mut items[*index], rest, wording);
            }
        }
        _ => {}
    }
}

fn push(members: &mut Map<String, Value>, wording: &str) {
    let texts = members.entry("@entity").or_insert_with(|| json!([]));
    // The log phase has checks that Kong's schema has as well.
    if let Some(texts) = texts.as_array_mut().filter(|texts| !texts.iter().any(|text| text == wording)) {
        texts.push(wording.into());
    }
}

/// Kong's text about the value itself.
fn wording(diagnostic: &Diagnostic) -> String {
    if let Some(field) = &diagnostic.field {
        return field.message.clone();
    }
    let kong = diagnostic.kong.as_deref().unwrap_or_default();
    // `in 'path': text`
    let text = kong.strip_prefix("in '").and_then(|rest| rest.split_once("': ")).map_or(kong, |(_, text)| text);
    if text.is_empty() { diagnostic.message.clone() } else { text.to_owned() }
}

/// Takes the errors of entities out of `tree`, Kong's last sections and entities first.
fn flatten_sections(tree: &mut Value, root: &Value, flattened: &mut Vec<Value>) {
    let Some(sections) = tree.as_object_mut() else { return };
    let mut names: Vec<String> = sections.keys().cloned().collect();
    names.sort_by(|one, other| other.cmp(one));
    for name in names {
        let entities = root.get(&name).and_then(Value::as_array);
        let (Some(kind), Some(entities)) = (kind::find(&name), entities) else { continue };
        let Some(Value::Array(mut errors)) = sections.get(&name).cloned() else { continue };
        while let Some(error) = errors.pop() {
            if let Some(entity) = entities.get(errors.len()).filter(|entity| entity.is_object()) {
                flatten_entity(kind, entity.clone(), error, flattened);
            }
        }
        sections.remove(&name);
    }
}

/// Adds the errors of an entity, after those of the entities in it.
fn flatten_entity(kind: &'static Kind, mut entity: Value, error: Value, flattened: &mut Vec<Value>) {
    let mut errors = match error {
        Value::String(text) => Map::from_iter([("@entity".to_owned(), json!([text]))]),
        Value::Object(errors) => errors,
        _ => return,
    };
    let Some(members) = entity.as_object_mut() else { return };
    let id = members.get("id").and_then(Value::as_str).filter(|id| is_uuid(id)).map(|id| json!({ "id": id }));
    for child in KINDS {
        let Some(field) = child.reference_to(kind) else { continue };
        let Some(Value::Array(items)) = members.get(child.name).cloned() else { continue };
        members.remove(child.name);
        let Some(Value::Array(below)) = errors.remove(child.name) else { continue };
        for (mut item, error) in items.into_iter().zip(below) {
            if let (Some(id), Some(item)) = (&id, item.as_object_mut()) {
                item.entry(field.name).or_insert_with(|| id.clone());
            }
            flatten_entity(child, item, error, flattened);
        }
    }
    let mut texts = Vec::new();
    categorize(&Value::Object(errors), "", &mut texts);
    if texts.is_empty() {
        return;
    }
    let mut shown = json!({"entity_type": kind.name.strip_suffix('s').unwrap_or(kind.name)});
    let text =
        |name: &str| entity.get(name).filter(|value| value.as_str().is_some_and(|text| !text.is_empty())).cloned();
    // Kong gives entities without an id one before it compares them.
    let made_id = || {
        let text = texts.iter().find_map(|error| error["message"].as_str()?.split_once("primary key set to '"))?;
        Some(json!(text.1.split_once('\'')?.0))
    };
    let tags = entity.get("tags").filter(|tags| tags.as_array().is_some_and(|tags| tags.iter().all(Value::is_string)));
    for (name, value) in [
        ("entity_name", text("name")),
        ("entity_id", id.map(|id| id["id"].clone()).or_else(made_id)),
        ("entity_tags", tags.cloned()),
    ] {
        if let Some(value) = value {
            shown[name] = value;
        }
    }
    shown["entity"] = entity;
    shown["errors"] = texts.into();
    flattened.push(shown);
}

/// Lists the errors below `field`, the last names first.
fn categorize(errors: &Value, field: &str, texts: &mut Vec<Value>) {
    let join = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
    match errors {
        Value::String(text) => texts.push(json!({"type": "field", "field": field, "message": text})),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate().rev() {
                categorize(item, &join(&(at + 1).to_string()), texts);
            }
        }
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_by(|one, other| other.cmp(one));
            for name in names {
                match &members[name] {
                    Value::Array(all) if name == "@entity" => {
                        texts.extend(all.iter().map(|text| json!({"type": "entity", "message": text})));
                    }
                    below => categorize(below, &join(name), texts),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: errors of a service, and of the plugin in it, as a list. Guarantees: the plugin comes first, with its service as a
    /// reference; the service is without it; fields are sorted from the last to the first; nothing stays in the tree.
    #[test]
    fn entities_in_entities() {
        let id = "11111111-1111-4111-8111-111111111111";
        let root = json!({"services": [{"id": id, "name": "s", "tags": ["t"], "plugins": [{"name": "p"}]}]});
        let mut tree = json!({"services": [{"port": "x", "host": "y", "plugins": [{"config": {"a": ["z"]}}]}]});
        let mut flattened = Vec::new();
        flatten_sections(&mut tree, &root, &mut flattened);
        assert_eq!(tree, json!({}));
        let field = |field: &str, message: &str| json!({"type": "field", "field": field, "message": message});
        let plugin = json!({
            "entity_type": "plugin",
            "entity_name": "p",
            "entity": {"name": "p", "service": {"id": id}},
            "errors": [field("config.a.1", "z")],
        });
        let service = json!({
            "entity_type": "service",
            "entity_name": "s",
            "entity_id": id,
            "entity_tags": ["t"],
            "entity": {"id": id, "name": "s", "tags": ["t"]},
            "errors": [field("port", "x"), field("host", "y")],
        });
        assert_eq!(flattened, [plugin, service]);
    }
}
