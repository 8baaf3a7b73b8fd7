//! From the body of a request to an entity: shorthands, references by name, Kong's schema, defaults.

use logphase_config::diagnostic::{Diagnostic, FieldPath, codes};
use logphase_config::document::Node;
use logphase_config::schema::{Record, Scope, Type};
use serde_json::{Map, Value, json};

use super::error::{ApiError, ApiResult};
use super::kind::Kind;
use super::tables::{Tables, reference};
use super::{certificates, shorthands, snippets};
use crate::entity::{Completeness, Configuration, Draft, Drafts, EntityKind, Rules, members_of_url, read_request};
use crate::plugin::{self, Definition, PROTOCOL_NAMES};

/// The names of plugins that a request may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Those of current versions.
    Current,
    /// Those of old versions, too: `tcplog`.
    Old,
}

/// Reads `body` as a whole entity of `kind`, with defaults. References are checked for their form, and not for whether their targets
/// exist, unless they are by name.
pub(crate) fn whole(
    kind: &'static Kind,
    mut body: Map<String, Value>,
    tables: &Tables,
    names: Names,
) -> ApiResult<Map<String, Value>> {
    expand_url(kind, &mut body)?;
    resolve_names(kind, &mut body, tables)?;
    if kind.is_plugins() {
        return plugin(kind, body, tables, names);
    }
    if kind.of_log_phase == Some(EntityKind::Routes) {
        check_protocols(&body)?;
    }
    shorthands::expand(kind, &mut body)?;
    if kind.name == "vaults" {
        check_vault(&mut body)?;
    }
    let body = Value::Object(body);
    let (values, diagnostics) = match kind.of_log_phase {
        Some(kind) => read_request(kind, &body),
        None => read_record((kind.record)(), &body, kind.name),
    };
    refuse(&diagnostics)?;
    let mut entity = (kind.record)().complete(values, Some(&body));
    if kind.of_log_phase == Some(EntityKind::Routes) && entity.get("strip_path").is_none_or(Value::is_null) {
        entity.insert("strip_path".to_owned(), (!is_grpc(&entity)).into());
    }
    certificates::check(kind, &mut entity)?;
    Ok(entity)
}

/// `patch` over `entity`, as Kong's PATCH does: records are merged, everything else is replaced (kong/db/schema, `merge_values`).
///
/// # Errors
/// A shorthand is wrong.
pub(crate) fn merged(
    kind: &Kind,
    entity: &Map<String, Value>,
    mut patch: Map<String, Value>,
) -> ApiResult<Map<String, Value>> {
    expand_url(kind, &mut patch)?;
    shorthands::expand(kind, &mut patch)?;
    let config = kind.is_plugins().then(|| definition_of(patch.get("name").or(entity.get("name")))).flatten();
    let mut merged = entity.clone();
    for (name, value) in patch {
        let record = match (config, &*name) {
            (Some(definition), "config") => Some(definition.schema),
            _ => record_of((kind.record)(), &name),
        };
        merge_member(&mut merged, name, value, record);
    }
    Ok(merged)
}

fn merge_member(target: &mut Map<String, Value>, name: String, value: Value, record: Option<&'static Record>) {
    match (record, target.get_mut(&name), value) {
        (Some(record), Some(Value::Object(old)), Value::Object(new)) => {
            for (name, value) in new {
                let record = record_of(record, &name);
                merge_member(old, name, value, record);
            }
        }
        (_, _, value) => drop(target.insert(name, value)),
    }
}

fn record_of(record: &Record, name: &str) -> Option<&'static Record> {
    match record.field(name)?.ty {
        Type::Record(record) => Some(record),
        _ => None,
    }
}

fn definition_of(name: Option<&Value>) -> Option<&'static Definition> {
    plugin::find(name?.as_str()?)
}

/// The vaults of Kong's open source and of Kong Gateway.
const VAULTS: &[&str] = &["env", "aws", "azure", "conjur", "gcp", "hcv", "konnect"];

/// The name of a vault decides what its `config` is: without a known one, Kong says nothing else of it.
fn check_vault(body: &mut Map<String, Value>) -> ApiResult<()> {
    match body.get("name") {
        None | Some(Value::Null) => return Err(ApiError::schema(json!({"name": "required field missing"}))),
        Some(Value::String(name)) if !VAULTS.contains(&name.as_str()) => {
            return Err(ApiError::schema(json!({"name": format!("vault '{name}' is not installed")})));
        }
        Some(name) if name == "env" => {
            let config = body.entry("config").or_insert_with(|| json!({}));
            if let Some(config) = config.as_object_mut() {
                config.entry("prefix").or_insert(Value::Null);
            }
        }
        Some(_) => {}
    }
    Ok(())
}

/// Replaces a service's `url` by the members that it stands for.
fn expand_url(kind: &Kind, body: &mut Map<String, Value>) -> ApiResult<()> {
    if kind.of_log_phase != Some(EntityKind::Services) {
        return Ok(());
    }
    match body.remove("url") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(url)) if url.is_empty() => {
            Err(ApiError::schema(json!({"url": "length must be at least 1"})))
        }
        Some(Value::String(url)) => {
            body.extend(members_of_url(&url).map(|(name, value)| (name.to_owned(), value)));
            Ok(())
        }
        Some(_) => Err(ApiError::schema(json!({"url": "expected a string"}))),
    }
}

/// The protocols of a route decide which rules it is read by: without a known one, Kong says nothing else of it.
fn check_protocols(body: &Map<String, Value>) -> ApiResult<()> {
    let names: Vec<&str> = match body.get("protocols") {
        None => return Ok(()),
        Some(Value::Null) => return Err(ApiError::schema(json!({"protocols": "required field missing"}))),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().unwrap_or("nil")).collect(),
        Some(Value::String(name)) => vec![name],
        Some(_) => return Ok(()),
    };
    if names.iter().any(|name| PROTOCOL_NAMES.contains(name)) {
        return Ok(());
    }
    let first = names.first().unwrap_or(&"nil");
    Err(ApiError::schema(json!({"protocols": format!("unknown type: {first}")})))
}

/// Replaces references by name with references by id.
fn resolve_names(kind: &'static Kind, body: &mut Map<String, Value>, tables: &Tables) -> ApiResult<()> {
    let mut unresolved = Vec::new();
    for (field, target) in kind.references() {
        let Some(Value::Object(members)) = body.get(field.name) else { continue };
        if members.contains_key("id") || target.key.is_empty() {
            continue;
        }
        let Some(key) = members.get(target.key).and_then(Value::as_str) else { continue };
        match tables.by_value(target, target.key, key) {
            Some(found) => drop(body.insert(field.name.to_owned(), json!({"id": found["id"]}))),
            None => unresolved.push((field.name, key.to_owned(), target)),
        }
    }
    if unresolved.is_empty() { Ok(()) } else { Err(ApiError::unresolved(&unresolved)) }
}

/// Reads `body` by a record that is no entity of the log phase.
fn read_record(record: &'static Record, body: &Value, subject: &str) -> (Map<String, Value>, Vec<Diagnostic>) {
    let node = Node::from_request(body);
    let scope =
        Scope { subject: subject.to_owned(), path: String::new(), kong: Some("".into()), origin: node.origin() };
    let mut diagnostics = Vec::new();
    let values = record.read(&node, &scope, &mut diagnostics);
    (values, diagnostics)
}

/// Reads a plugin: its own fields, and `config` by the plugin's schema.
fn plugin(
    kind: &'static Kind,
    body: Map<String, Value>,
    tables: &Tables,
    names: Names,
) -> ApiResult<Map<String, Value>> {
    let name = match body.get("name") {
        Some(Value::String(name)) => name.clone(),
        None | Some(Value::Null) => return Err(ApiError::schema(json!({"name": "required field missing"}))),
        Some(_) => return Err(ApiError::schema(json!({"name": "expected a string"}))),
    };
    let mut diagnostics = Vec::new();
    let definition = plugin::find(&name).filter(|found| names == Names::Old || found.name == name);
    if definition.is_none() && plugin::find_known(&name).is_none() {
        let wording = format!("plugin '{name}' not enabled; add it to the 'plugins' configuration property");
        return Err(ApiError::schema(json!({ "name": wording })));
    }
    if body.get("protocols").is_some_and(Value::is_null) {
        // Null is no default for a required field.
        diagnostics.push(
            Diagnostic::error(codes::REQUIRED, "`protocols` is null").violation("protocols", "required field missing"),
        );
    }
    let body = Value::Object(body);
    let (mut values, found) = read_request(EntityKind::Plugins, &body);
    diagnostics.extend(found);
    if let Some(definition) = definition {
        diagnostics.extend(judge(&body, tables, kind));
        let empty = json!({});
        let given = body.get("config").filter(|config| !config.is_null()).unwrap_or(&empty);
        let node = Node::from_request(&json!({ "config": given }));
        let node = node.get("config").expect("it was put there");
        let scope =
            Scope { subject: name, path: "config".to_owned(), kong: Some("config".into()), origin: node.origin() };
        diagnostics.extend(snippets::violations(definition, given));
        let config = definition.schema.read(node, &scope, &mut Vec::new());
        values.insert("config".to_owned(), Value::Object(definition.schema.complete(config, Some(given))));
        let protocols: Vec<&str> = definition.default_protocols.iter().map(|protocol| protocol.name()).collect();
        values.entry("protocols").or_insert_with(|| protocols.into());
    } else {
        if body.get("config").is_some_and(|config| !config.is_object() && !config.is_null()) {
            let error = Diagnostic::error(codes::TYPE, "`config` is no record");
            diagnostics.push(error.violation("config", "expected a record"));
        }
        values.entry("config").or_insert_with(|| json!({}));
        values.entry("protocols").or_insert_with(|| json!(["grpc", "grpcs", "http", "https"]));
    }
    diagnostics.sort_by_key(|found| found.field.as_ref().map(|field| field.path.to_string()));
    refuse(&diagnostics)?;
    Ok((kind.record)().complete(values, Some(&without_config(body))))
}

/// The body without `config`, whose nulls are read already.
fn without_config(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.remove("config");
    }
    body
}

/// What the log phase says of a plugin on the entities that it refers to: its `config` and its scope.
fn judge(body: &Value, tables: &Tables, kind: &'static Kind) -> Vec<Diagnostic> {
    let mut drafts = Drafts::default();
    let mut plugin = body.clone();
    for (field, target) in kind.references() {
        let Some(id) = body.as_object().and_then(|body| reference(body, field.name)) else { continue };
        let (Some(of_log_phase), Some(entity)) = (target.of_log_phase, tables.get(target, id)) else {
            // Whether it exists is for the constraints to say.
            plugin[field.name] = Value::Null;
            continue;
        };
        let names = ["id", "name", "username", "custom_id"].into_iter().filter_map(|name| {
            let value = entity.get(name).filter(|value| !value.is_null())?;
            Some((name.to_owned(), value.clone()))
        });
        let parent = Value::Object(names.collect());
        let path = format!("{}[0]", target.name);
        drafts.entities.push(Draft::new(of_log_phase, Node::from_request(&parent), path));
    }
    drafts.entities.push(Draft::new(EntityKind::Plugins, Node::from_request(&plugin), String::new()));
    let rules = Rules { select_tags: &[], completeness: Completeness::LogPhase };
    let (_, mut found) = Configuration::from_drafts(drafts, rules);
    found.retain(|diagnostic| diagnostic.code != codes::REFERENCE && diagnostic.field.is_some());
    for diagnostic in &mut found {
        // Kong has this rule on the plugin, not on its `config`.
        if let Some(field) = diagnostic.field.as_mut().filter(|field| field.message.contains("non-empty: 'config.")) {
            field.path = FieldPath::default();
        }
    }
    found.retain(Diagnostic::is_error);
    found
}

fn refuse(diagnostics: &[Diagnostic]) -> ApiResult<()> {
    if diagnostics.iter().any(Diagnostic::is_error) { Err(ApiError::violations(diagnostics)) } else { Ok(()) }
}

fn is_grpc(route: &Map<String, Value>) -> bool {
    let protocols = route.get("protocols").and_then(Value::as_array);
    protocols.is_some_and(|all| all.iter().any(|protocol| matches!(protocol.as_str(), Some("grpc" | "grpcs"))))
}
