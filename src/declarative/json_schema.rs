//! The JSON Schema of Kong's declarative files, made of the fields that the files are checked by.

use logphase_config::schema::{Field, Placeholders, Shown};
use serde_json::{Map, Value, json};

use super::format::{METADATA, OTHER_COLLECTIONS, VERSIONS, nested};
use super::reader::{CLONES, VAULTS};
use crate::entity::EntityKind;
use crate::plugin::{self, Definition};

const DECK: Placeholders = Placeholders::Deck;

/// The schema of a file in Kong's format. Files of Kubernetes and resources of meshes have others.
pub fn json_schema() -> Value {
    let mut properties = Map::new();
    for name in METADATA.iter().chain(OTHER_COLLECTIONS).chain(&[CLONES, VAULTS, "consumer_group_consumers"]) {
        properties.insert((*name).to_owned(), json!({}));
    }
    properties.insert("_format_version".to_owned(), json!({"enum": VERSIONS}));
    properties.insert("_transform".to_owned(), json!({"type": "boolean"}));
    for kind in EntityKind::ALL {
        properties.insert(kind.name().to_owned(), list(kind));
    }
    properties.insert("consumer_group_plugins".to_owned(), list(EntityKind::Plugins));
    let mut definitions: Map<String, Value> =
        EntityKind::ALL.into_iter().map(|kind| (kind.singular().to_owned(), entity(kind))).collect();
    for definition in plugin::definitions() {
        definitions.insert(definition.name.to_owned(), definition.schema.to_json_schema(DECK));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Kong's declarative configuration, as Logphase reads it",
        "type": "object", "additionalProperties": false, "required": ["_format_version"],
        "properties": properties, "definitions": definitions,
    })
}

/// A list of entities.
fn list(kind: EntityKind) -> Value {
    json!({"anyOf": [{"type": "array", "items": {"$ref": format!("#/definitions/{}", kind.singular())}}, {"type": "null"}]})
}

fn entity(kind: EntityKind) -> Value {
    let mut schema = kind.schema().to_json_schema(DECK);
    let inner = nested(kind);
    for inner in inner {
        schema["properties"][inner.name()] = list(*inner);
    }
    // Names and values that only Kong needs may be missing or in another form here, where files say them as decK does.
    for field in kind.schema().fields.iter().filter(|field| field.shown == Shown::InFiles) {
        if !inner.iter().any(|inner| inner.name() == field.name) {
            schema["properties"][field.name] = json!({});
        }
    }
    match kind {
        // A route need not say what it matches, nor a service where it is: the log phase does not use it.
        EntityKind::Services | EntityKind::Routes => {
            if let Some(members) = schema.as_object_mut() {
                members.remove("required");
            }
        }
        EntityKind::Plugins => {
            let names: Vec<&str> = plugin::definitions().iter().map(|definition| definition.name).collect();
            schema["properties"]["name"] = json!({"anyOf": [{"enum": names}, {"type": "string", "minLength": 1}]});
            schema["allOf"] = plugin::definitions().iter().map(config).collect();
        }
        _ => {}
    }
    schema
}

/// What the `config` of a plugin is. One that is completed from `_plugin_configs` need not be whole, and is not judged.
fn config(definition: &Definition) -> Value {
    let names: Vec<&str> = std::iter::once(definition.name).chain(definition.old_names.iter().copied()).collect();
    let config = json!({"$ref": format!("#/definitions/{}", definition.name)});
    let then = match definition.schema.fields.iter().any(Field::must_be_given) {
        // Kong's name of it before 0.5 is `value`.
        true => json!({"properties": {"config": config}, "anyOf": [{"required": ["config"]}, {"required": ["value"]}]}),
        false => json!({"properties": {"config": {"anyOf": [config, {"type": "null"}]}}}),
    };
    let whole =
        json!({"properties": {"name": {"enum": names}}, "required": ["name"], "not": {"required": ["_config"]}});
    json!({"if": whole, "then": then})
}
