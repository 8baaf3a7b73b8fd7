//! The answers of the Admin API other than entities: errors by their status and code, and what the node says of itself.

use serde_json::{Map, Value, json};

use super::{JSON, object, reference_to};
use crate::admin::error::CODES;

/// What the 400 of an operation can be, beside a plain message: codes of errors.
pub(super) const LIST: (&str, &[u8]) = ("ListRefused", &[1, 7, 9, 10, 11]);
pub(super) const KEY: (&str, &[u8]) = ("KeyRefused", &[1, 10]);
pub(super) const WRITE: (&str, &[u8]) = ("WriteRefused", &[1, 2, 3, 4, 10, 13, 19]);
pub(super) const CONFIG: (&str, &[u8]) = ("ConfigRefused", &[14]);
pub(super) const PLAIN: (&str, &[u8]) = ("Refused", &[]);

/// All answers that operations share.
pub(super) fn components() -> Value {
    let mut all = Map::new();
    let refused = [
        (LIST, "An argument of the query or the key in the path is wrong."),
        (KEY, "The key in the path cannot be one of an entity, or the request cannot be read."),
        (WRITE, "The body cannot be read, or the entity is refused."),
        (CONFIG, "The configuration is refused, or the service has a database."),
        (PLAIN, "The request is refused."),
        (("NotFound", &[6]), "There is no such entity."),
        (
            ("ReadOnly", &[12]),
            "The service has no database: only `/config` can be written. Or it cannot be written at all.",
        ),
    ];
    for ((name, codes), about) in refused {
        all.insert(name.to_owned(), json!({"description": about, "content": {JSON: {"schema": errors(codes)}}}));
    }
    // Kong before 1.0 answered with texts by field.
    let flat = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let old = json!({"anyOf": [errors(WRITE.1), flat]});
    let about = "The body cannot be read, or the entity is refused.";
    all.insert("OldRefused".to_owned(), json!({"description": about, "content": {JSON: {"schema": old}}}));
    let conflict = json!({"description": "Another entity has the value, which is unique.",
        "content": {JSON: {"schema": reference_to(&error_name(5))}}});
    all.insert("Conflict".to_owned(), conflict);
    for (name, about) in [
        ("Unauthorized", "The request has no token, or a wrong one."),
        ("Forbidden", "The token may only read, or a web page of another origin has sent the request."),
        ("Late", "The body did not arrive in time."),
        ("Away", "The database is away; nothing is changed."),
        ("WrongHost", "The request is for a host that is none of the service (`admin.allowed_hosts`)."),
    ] {
        let plain = json!({"description": about, "content": {JSON: {"schema": reference_to("Message")}}});
        all.insert(name.to_owned(), plain);
    }
    let page =
        json!({"description": "The body has over 10 MiB.", "content": {"text/html": {"schema": {"type": "string"}}}});
    all.insert("TooLarge".to_owned(), page);
    all.insert(
        "MediaType".to_owned(),
        json!({"description": "The content type is missing or none of those that are read."}),
    );
    all.insert("NoContent".to_owned(), json!({"description": "It is done, or there was nothing to do."}));
    let methods = json!({"description": "The methods of the path, separated by commas.", "schema": {"type": "string"}});
    all.insert(
        "Options".to_owned(),
        json!({"description": "The methods of the path.",
            "headers": {"Allow": methods, "Access-Control-Allow-Methods": methods}}),
    );
    Value::Object(all)
}

/// A message, or an error with one of these codes.
fn errors(codes: &[u8]) -> Value {
    let coded = codes.iter().map(|code| reference_to(&error_name(*code)));
    match codes {
        [] => reference_to("Message"),
        _ => json!({"anyOf": std::iter::once(reference_to("Message")).chain(coded).collect::<Vec<Value>>()}),
    }
}

/// `SchemaViolation` for code 2.
fn error_name(code: u8) -> String {
    let (_, name, _) = CODES.iter().find(|(known, ..)| *known == code).expect("every code is in the table");
    let name = super::entities::pascal(name);
    if name.ends_with("Violation") { name } else { format!("{name}Error") }
}

/// The schemas of errors.
pub(super) fn schemas(into: &mut Map<String, Value>) {
    into.insert("Message".to_owned(), object(json!({"message": {"type": "string"}}), &["message"]));
    for (code, name, _) in CODES {
        let name = match code {
            10 => json!({"type": "string", "pattern": format!("^{name} ")}),
            _ => json!({"const": name}),
        };
        let mut properties = json!({"code": {"const": code}, "name": name, "message": {"type": "string"}});
        let mut required = vec!["code", "name", "message"];
        match code {
            7 | 9 | 10 | 12 | 19 => {}
            11 => {
                properties["options"] = json!({"type": "object", "additionalProperties": {"type": "string"}});
                required.push("options");
            }
            _ => {
                properties["fields"] = json!({"type": "object", "description": "What is wrong with which field."});
                required.push("fields");
            }
        }
        if *code == 14 {
            // With `flatten_errors`: an element for each entity.
            properties["flattened_errors"] = json!({"type": "array", "items": {"type": "object"}});
        }
        into.insert(error_name(*code), object(properties, &required));
    }
}

/// The schemas of what the node says of itself.
pub(super) fn node_schemas(into: &mut Map<String, Value>) {
    let (text, number, any) = (json!({"type": "string"}), json!({"type": "integer"}), json!({"type": "object"}));
    let texts = json!({"type": "array", "items": text});
    let version = object(json!({"version": text, "priority": number}), &["version", "priority"]);
    let plugins = json!({
        "available_on_server": {"type": "object", "additionalProperties": version},
        "enabled_in_cluster": texts,
    });
    let node = json!({
        "version": text, "edition": {"const": "community"}, "tagline": text, "server": text, "hostname": text,
        "node_id": {"type": "string", "format": "uuid"}, "lua_version": text,
        "timers": object(json!({"running": number, "pending": number}), &["running", "pending"]),
        "pids": object(json!({"master": number, "workers": {"type": "array", "items": number}}), &["master", "workers"]),
        "plugins": object(plugins, &["available_on_server", "enabled_in_cluster"]),
        "configuration": any,
    });
    into.insert("Node".to_owned(), closed(node));
    let memory = closed(json!({"lua_shared_dicts": any, "workers_lua_vms": {"type": "array", "items": any}}));
    let server = json!({"type": "object", "additionalProperties": {"type": "number"}});
    let status = json!({"server": server, "memory": memory,
        "database": closed(json!({"reachable": {"type": "boolean"}})), "configuration_hash": text});
    into.insert("Status".to_owned(), object(status, &["server", "memory"]));
    into.insert("Timers".to_owned(), closed(json!({"worker": any, "stats": any})));
    // A target with its health, or the upstream.
    let healthy = json!({"type": "object", "properties": {"id": text, "health": text}, "required": ["id", "health"]});
    let mut health = super::entities::list(&healthy);
    health["properties"]["data"] = json!({"anyOf": [healthy, health["properties"]["data"]]});
    health["properties"]["node_id"] = json!({"type": "string", "format": "uuid"});
    into.insert("UpstreamHealth".to_owned(), health);
    into.insert("Endpoints".to_owned(), closed(json!({ "data": texts })));
    into.insert("EnabledPlugins".to_owned(), closed(json!({ "enabled_plugins": texts })));
    let fields = json!({"type": "array", "items": {"type": "object", "minProperties": 1, "maxProperties": 1}});
    let schema = json!({"fields": fields, "entity_checks": {"type": "array"}});
    into.insert("EntitySchema".to_owned(), object(schema, &["fields"]));
    let tag = closed(json!({"tag": text, "entity_name": text, "entity_id": {"type": "string", "format": "uuid"}}));
    into.insert("TagList".to_owned(), super::entities::list(&tag));
    into.insert("Config".to_owned(), closed(json!({ "config": text })));
    let by_id = json!({"type": "object", "additionalProperties": any});
    into.insert("LoadedConfig".to_owned(), json!({"type": "object", "additionalProperties": by_id}));
}

/// An object that has all of these properties, and no others.
fn closed(properties: Value) -> Value {
    let names: Vec<String> = properties.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    object(properties.clone(), &names)
}
