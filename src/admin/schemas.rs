//! `/schemas`: the fields of entities and plugins, which clients fill in defaults by.

use hyper::StatusCode;
use logphase_config::schema::{Record, Shown};
use serde_json::{Map, Value, json};

use super::answer::Call;
use super::body::{self, Body, BodyError};
use super::error::{ApiError, ApiResult};
use super::kind::{self, Kind};
use super::read::{self, Names};
use super::state::State;
use super::{certificates, entity_checks};
use crate::plugin::{self, Definition};

/// The names of the plugins that run here, sorted.
pub(crate) fn plugin_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = plugin::definitions().iter().map(|definition| definition.name).collect();
    names.sort_unstable();
    names
}

fn no_entity(name: &str) -> ApiError {
    ApiError::plain(StatusCode::NOT_FOUND, format!("No entity named '{name}'"))
}

fn no_plugin(name: &str) -> ApiError {
    ApiError::plain(StatusCode::NOT_FOUND, format!("No plugin named '{name}'"))
}

/// The schema of the entities `name`.
///
/// # Errors
/// There are no such entities.
pub(crate) fn entity(name: &str) -> ApiResult<Value> {
    let kind = kind::find(name).filter(|kind| kind.name != kind::MEMBERSHIPS).ok_or_else(|| no_entity(name))?;
    Ok(json!({"fields": fields(kind), "entity_checks": entity_checks::of_kind(kind)}))
}

fn fields(kind: &Kind) -> Value {
    let mut fields = (kind.record)().to_json();
    for field in fields.as_array_mut().into_iter().flatten() {
        // The default depends on the protocols: a route of gRPC has no paths to strip.
        if let Some(strip_path) = field.get_mut("strip_path") {
            *strip_path = json!({"type": "boolean", "required": true, "default": true});
        }
        for (name, mark) in [("id", "uuid"), ("created_at", "timestamp"), ("updated_at", "timestamp")] {
            if let Some(field) = field.get_mut(name) {
                field[mark] = true.into();
            }
        }
    }
    fields
}

/// The schema of the plugin `name`: what it specialises of plugins.
///
/// # Errors
/// There is no such plugin.
pub(crate) fn plugin(name: &str) -> ApiResult<Value> {
    if let Some(definition) = plugin::definitions().iter().find(|definition| definition.name == name) {
        let checks = entity_checks::at_least_one(definition.schema);
        return Ok(json!({"fields": specialised(definition), "entity_checks": checks}));
    }
    if plugin::find_known(name).is_none() {
        return Err(no_plugin(name));
    }
    // The plugin runs in Kong alone; its configuration is kept as it is.
    let protocols = protocols(&["grpc", "grpcs", "http", "https"], &["grpc", "grpcs", "http", "https"]);
    let config = json!({"config": {"type": "record", "required": true, "fields": []}});
    Ok(json!({"fields": [protocols, config], "entity_checks": []}))
}

/// The schema of the vaults `name`.
///
/// # Errors
/// There are no such vaults in Kong's open source.
pub(crate) fn vault(name: &str) -> ApiResult<Value> {
    if name != "env" {
        return Err(ApiError::plain(StatusCode::NOT_FOUND, format!("No vault named '{name}'")));
    }
    let prefix = json!({"prefix": {"type": "string", "match": "^[%a_-][%a%d_-]*$"}});
    let config = json!({"config": {"type": "record", "required": true, "fields": [prefix]}});
    Ok(json!({"fields": [config], "entity_checks": []}))
}

/// The schema of the `config` of the plugin `name`, in the form of old versions.
///
/// # Errors
/// There is no such plugin.
pub(crate) fn plugin_config(name: &str) -> ApiResult<Value> {
    let definition = plugin::definitions().iter().find(|definition| definition.name == name);
    Ok(json!({"fields": definition.ok_or_else(|| no_plugin(name))?.schema.to_json()}))
}

fn protocols(default: &[&str], choices: &[&str]) -> Value {
    json!({"protocols": {
        "type": "set",
        "required": true,
        "default": default,
        "elements": {"type": "string", "one_of": choices},
    }})
}

fn specialised(definition: &Definition) -> Value {
    let names = |protocols: plugin::Protocols| -> Vec<&str> { protocols.iter().map(|one| one.name()).collect() };
    let mut fields = vec![protocols(&names(definition.default_protocols), &names(definition.protocols))];
    for (name, kind, allowed) in [
        ("consumer", "consumers", definition.on_consumer),
        ("consumer_group", "consumer_groups", definition.on_consumer_group),
    ] {
        if !allowed {
            fields.push(json!({name: {"type": "foreign", "reference": kind, "eq": null}}));
        }
    }
    let mut config = Map::new();
    config.insert("type".to_owned(), "record".into());
    config.insert("required".to_owned(), true.into());
    config.insert("fields".to_owned(), definition.schema.to_json());
    let shorthands: Vec<Value> = shorthands(definition.schema).collect();
    if !shorthands.is_empty() {
        config.insert("shorthand_fields".to_owned(), shorthands.into());
    }
    fields.push(json!({ "config": config }));
    fields.into()
}

/// Old fields that others replace, and that an answer has only if they are set.
fn shorthands(record: &Record) -> impl Iterator<Item = Value> {
    let old = record.fields.iter().filter(|field| !field.instead.is_empty() && field.shown == Shown::IfSet);
    old.map(|field| {
        let mut json = field.to_json();
        let path: Vec<&str> = field.instead.trim_matches('`').split('.').collect();
        json["deprecation"]["replaced_with"] = json!([{ "path": path }]);
        json!({field.name: json})
    })
}

/// Validates the arguments of the query and the body as an entity, by its schema alone. Texts of a form stay texts.
///
/// # Errors
/// There are no such entities, or the body violates their schema.
pub(crate) fn validate(state: &State, name: &str, call: &Call) -> ApiResult<Value> {
    let kind = kind::find(name).ok_or_else(|| no_entity(name))?;
    let refused = |error: BodyError| ApiError::plain(error.status(), error.to_string());
    let mut body = body::decode_untyped(&body::urlencoded(call.query.as_bytes()).map_err(refused)?).map_err(refused)?;
    body.extend(match &call.body {
        Body::Form(pairs) => body::decode_untyped(pairs).map_err(refused)?,
        Body::Json(members) => members.clone(),
        Body::None | Body::Yaml(_) => Map::new(),
    });
    for field in (kind.record)().fields.iter().filter(|field| field.auto) {
        if body.get(field.name).is_some_and(Value::is_null) {
            body.remove(field.name);
        }
    }
    let tables = state.tables();
    let snis = body.get("snis").filter(|_| kind.name == "certificates").cloned();
    read::whole(kind, body, &tables, Names::Current)?;
    if let Some(Value::Array(names)) = snis {
        certificates::check_names(&names)?;
    }
    Ok(json!({"message": "schema validation successful"}))
}
