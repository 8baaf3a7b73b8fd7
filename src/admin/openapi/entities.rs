//! The schemas of entities: in answers, as bodies in JSON, as forms, and in lists.

use serde_json::{Map, Value, json};

use super::fields::{self, Use};
use super::{object, reference_to};
use crate::admin::kind::{KINDS, Kind, MEMBERSHIPS};
use crate::plugin::{self, Definition};

/// `service_name` or `file-log` as `ServiceName` and `FileLog`.
pub(super) fn pascal(name: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
    };
    name.split(['_', '-', ' ']).map(word).collect()
}

/// The name of the schema of an entity of `kind`: `Service`.
pub(super) fn name(kind: &Kind) -> String {
    pascal(kind.name.strip_suffix('s').unwrap_or(kind.name))
}

/// The schema of a list with these elements.
pub(super) fn list(element: &Value) -> Value {
    let properties = json!({
        "data": {"type": "array", "items": element},
        "next": {"type": ["string", "null"], "description": "The path of the next page."},
        "offset": {"type": "string", "description": "The `offset` of the next page."},
    });
    object(properties, &["data", "next"])
}

/// The schemas of all entities.
pub(super) fn schemas(into: &mut Map<String, Value>) {
    for kind in KINDS.iter().filter(|kind| kind.name != MEMBERSHIPS) {
        let name = name(kind);
        if kind.is_plugins() {
            plugins(kind, into);
        } else {
            into.insert(name.clone(), entity(kind, Use::Answer));
            // Others are new only below the entity that they refer to.
            if kind.listed {
                into.insert(format!("New{name}"), entity(kind, Use::New));
            }
        }
        into.insert(format!("{name}Change"), entity(kind, Use::Change));
        into.insert(format!("{name}Form"), form(kind));
        // Lists of APIs are those of Kong before 1.0.
        if kind.name != "apis" {
            into.insert(format!("{name}List"), list(&reference_to(&name)));
        }
    }
    old(into);
}

fn entity(kind: &Kind, of: Use) -> Value {
    let mut schema = fields::record((kind.record)(), of);
    if kind.name == "certificates" && of == Use::Answer {
        schema["properties"]["snis"] = json!({"type": "array", "items": {"type": "string"}});
        if let Some(required) = schema["required"].as_array_mut() {
            required.push("snis".into());
        }
    }
    schema
}

/// A form: fields of records have names with dots.
fn form(kind: &Kind) -> Value {
    let mut properties = Map::new();
    fields::form((kind.record)(), "", &mut properties);
    let about = "Members of records have dots in their names (`config.path`), elements of lists `[]` or a number (`config.a[1]`), and \
                 keys of maps that have dots themselves are in brackets (`config.custom_fields_by_lua[a.b]`).";
    json!({"type": "object", "properties": properties, "additionalProperties": {"type": "string"}, "description": about})
}

/// Plugins: one of a schema for each plugin, by its name.
fn plugins(kind: &Kind, into: &mut Map<String, Value>) {
    for (prefix, of) in [("", Use::Answer), ("New", Use::New)] {
        let (mut all, mut mapping) = (Vec::new(), Map::new());
        for definition in plugin::definitions() {
            let config = format!("{prefix}{}Config", pascal(definition.name));
            into.insert(config.clone(), fields::record(definition.schema, of));
            let name = format!("{prefix}{}Plugin", pascal(definition.name));
            into.insert(name.clone(), plugin(kind, definition, &config, of));
            mapping.insert(definition.name.to_owned(), format!("#/components/schemas/{name}").into());
            all.push(reference_to(&name));
        }
        let others: Vec<&str> = plugin::KNOWN.iter().map(|known| known.name).collect();
        let mut other = fields::record((kind.record)(), of);
        other["properties"]["name"] = json!({"enum": others});
        other["properties"]["config"] = json!({"type": ["object", "null"]});
        other["description"] = "A plugin that runs in Kong alone: its configuration is kept as it is.".into();
        let name = format!("{prefix}OtherPlugin");
        all.push(reference_to(&name));
        into.insert(name, other);
        into.insert(
            format!("{prefix}Plugin"),
            json!({"oneOf": all, "discriminator": {"propertyName": "name", "mapping": mapping}}),
        );
    }
}

fn plugin(kind: &Kind, definition: &Definition, config: &str, of: Use) -> Value {
    let mut schema = fields::record((kind.record)(), of);
    // Plugins that were created by an old path have their old name.
    let old = definition.old_names.iter().filter(|_| of == Use::Answer);
    let names: Vec<&str> = std::iter::once(&definition.name).chain(old).copied().collect();
    schema["properties"]["name"] = json!({ "enum": names });
    schema["properties"]["config"] = reference_to(config);
    let names: Vec<&str> = definition.protocols.iter().map(|protocol| protocol.name()).collect();
    if of == Use::New {
        schema["properties"]["protocols"]["items"] = json!({ "enum": names });
        if definition.schema.fields.iter().any(fields::is_demanded) {
            schema["required"] = json!(["name", "config"]);
        }
    }
    schema
}

/// Entities in the form of Kong before 1.0.
fn old(into: &mut Map<String, Value>) {
    let (text, id) = (json!({"type": "string"}), json!({"type": "string", "format": "uuid"}));
    let plugin = json!({"id": id, "name": text, "api_id": id, "consumer_id": id, "enabled": {"type": "boolean"},
        "config": {"type": "object"}, "value": {"type": "object"}, "created_at": {"type": "integer"}});
    let mut shown = object(plugin.clone(), &["id", "name"]);
    shown["additionalProperties"] = json!({});
    into.insert("OldPlugin".to_owned(), shown);
    let mut new = object(plugin, &["name"]);
    new["additionalProperties"] = json!({});
    into.insert("NewOldPlugin".to_owned(), new);
    let change = json!({"enabled": {"type": "boolean"}, "config": {"type": "object"}, "value": {"type": "object"}});
    into.insert("OldPluginChange".to_owned(), json!({"type": "object", "properties": change}));
    let api = json!({"id": id, "name": text, "created_at": {"type": "integer"}});
    let mut shown = object(api, &["id", "created_at"]);
    shown["additionalProperties"] = json!({});
    into.insert("OldApi".to_owned(), shown);
    for name in ["OldApi", "OldPlugin"] {
        let properties = json!({
            "total": {"type": "integer", "minimum": 0},
            "data": {"type": "array", "items": reference_to(name)},
            "next": {"type": "string"},
            "offset": {"type": "string"},
        });
        into.insert(format!("{name}List"), object(properties, &["total", "data"]));
    }
}
