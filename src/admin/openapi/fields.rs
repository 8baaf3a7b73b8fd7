//! Fields of entities and plugins as JSON Schema (draft 2020-12, which OpenAPI 3.1 uses).

use logphase_config::schema::{Default, Field, Record, Shown, Type};
use serde_json::{Map, Value, json};

use crate::admin::kind;

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// An entity in an answer.
    Answer,
    /// The body of a POST or PUT.
    New,
    /// The body of a PATCH: fields that it lacks stay.
    Change,
}

/// `record` as a schema.
pub(super) fn record(record: &Record, of: Use) -> Value {
    let is_there = |field: &&Field| match field.shown {
        Shown::InFiles => false,
        Shown::Never => of != Use::Answer,
        Shown::Always | Shown::IfSet => true,
    };
    let fields = || record.fields.iter().filter(is_there);
    let properties: Map<String, Value> = fields().map(|field| (field.name.to_owned(), property(field, of))).collect();
    let is_required = |field: &&Field| match of {
        Use::Answer => field.shown == Shown::Always,
        Use::New => is_demanded(field),
        Use::Change => false,
    };
    let required: Vec<&str> = fields().filter(is_required).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

/// Whether a new entity must have the field.
pub(super) fn is_demanded(field: &Field) -> bool {
    field.required && !field.auto && matches!(field.default, Default::None)
}

/// A field of a record: with its description, and with null where that is allowed.
fn property(field: &Field, of: Use) -> Value {
    let mut schema = value(field, of);
    if !field.required && !field.auto {
        schema = nullable(schema);
    }
    if !field.about.is_empty() {
        schema["description"] = field.about.into();
    }
    if !field.instead.is_empty() {
        schema["deprecated"] = true.into();
    }
    if field.auto && of == Use::Answer {
        schema["readOnly"] = true.into();
    }
    if let (Use::New, Some(default), false) = (of, field.default_value(), matches!(field.default, Default::Record)) {
        schema["default"] = default;
    }
    schema
}

/// `schema`, or null.
fn nullable(mut schema: Value) -> Value {
    if let Some(choices) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        choices.push(Value::Null);
    }
    if schema.get("anyOf").is_some() {
        return json!({"anyOf": [schema, {"type": "null"}]});
    }
    match schema.get_mut("type") {
        Some(Value::Array(names)) => names.push("null".into()),
        Some(name) => *name = json!([name, "null"]),
        // Any value: null is one.
        None => {}
    }
    schema
}

/// The value of a field, or an element of a list or map.
pub(super) fn value(field: &Field, of: Use) -> Value {
    let mut schema = match field.ty {
        Type::String => json!({"type": "string"}),
        Type::Integer => json!({"type": "integer"}),
        Type::Number => json!({"type": "number"}),
        Type::Boolean => json!({"type": "boolean"}),
        Type::Array(element) => json!({"type": "array", "items": value(element, of)}),
        Type::Set(element) => json!({"type": "array", "items": value(element, of), "uniqueItems": true}),
        Type::Map(_, element) => json!({"type": "object", "additionalProperties": value(element, of)}),
        Type::Record(fields) => record(fields, of),
        Type::Any => json!({}),
        Type::Foreign(target) => reference(target, of),
        Type::Duration if of == Use::Answer => json!({"type": "number", "description": "Seconds."}),
        Type::Size if of == Use::Answer => json!({"type": "integer", "description": "Bytes."}),
        Type::Duration => json!({"type": ["number", "string"], "description": "Seconds, or a text like `30s`."}),
        Type::Size => json!({"type": ["integer", "string"], "description": "Bytes, or a text like `8MiB`."}),
    };
    // Answers have what the checks let pass; a reference to a vault is none of the choices.
    if !field.referenceable {
        field.restrict(&mut schema);
    } else if !matches!(field.ty, Type::String) {
        let reference = json!({"type": "string", "pattern": r"^\{vault://.*\}$"});
        schema = json!({"anyOf": [schema, reference]});
    }
    if field.secret && matches!(field.ty, Type::String) && of != Use::Answer {
        schema["format"] = "password".into();
    }
    schema
}

/// A reference to an entity of the kind `target`: by its id, in a request also by its other key.
fn reference(target: &str, of: Use) -> Value {
    let id = json!({"type": "string", "format": "uuid"});
    if of == Use::Answer {
        return json!({"type": "object", "properties": {"id": id}, "required": ["id"], "additionalProperties": false});
    }
    let mut properties = Map::from_iter([("id".to_owned(), id)]);
    if let Some(key) = kind::find(target).map(|kind| kind.key).filter(|key| !key.is_empty()) {
        properties.insert(key.to_owned(), json!({"type": "string", "minLength": 1}));
    }
    json!({"type": "object", "properties": properties, "minProperties": 1, "additionalProperties": false})
}

/// `record` as the fields of a form: what is below a record has a name with dots.
pub(super) fn form(record: &Record, prefix: &str, into: &mut Map<String, Value>) {
    for field in record.fields.iter().filter(|field| field.shown != Shown::InFiles) {
        let name = format!("{prefix}{}", field.name);
        match field.ty {
            Type::Record(fields) => form(fields, &format!("{name}."), into),
            Type::Foreign(target) => {
                into.insert(format!("{name}.id"), json!({"type": "string", "format": "uuid"}));
                if let Some(key) = kind::find(target).map(|kind| kind.key).filter(|key| !key.is_empty()) {
                    into.insert(format!("{name}.{key}"), json!({"type": "string"}));
                }
            }
            // Members have names with dots or brackets: `config.headers.name`, `config.headers[name]`.
            Type::Map(..) | Type::Any => {}
            Type::Array(element) | Type::Set(element) if matches!(element.ty, Type::Record(_)) => {}
            _ => drop(into.insert(name, value(field, Use::New))),
        }
    }
}
