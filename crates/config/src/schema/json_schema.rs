//! Definitions as JSON Schema (draft 7, which editors of YAML know), for completion and checks while one types.
//!
//! What only a function can check (`Check::Custom`, checks over several fields) is left to the program.

use serde_json::{Map, Value, json};

use super::{Check, Default, Field, Record, Type};

/// What a file may have in place of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholders {
    /// Nothing: the values themselves.
    None,
    /// As decK's files: `${{ env "DECK_X" }}` for any scalar, and `{vault://...}` where Kong allows references.
    Deck,
}

/// A reference to an environment variable, which decK replaces before the file is parsed.
const ENVIRONMENT: &str = r"\$\{\{";
/// A vault reference.
const REFERENCE: &str = r"^\{vault://.*\}$";
/// `30s`, `500ms` or a bare number; as `units` reads them.
const DURATION: &str = r"^\s*[0-9.]+\s*(us|ms|s|m|min|h|d)?\s*$";
/// `8MiB`, `1m` or a bare number; as `units` reads them.
const SIZE: &str = r"^\s*[0-9.]+\s*([bB]|[kKmMgG]([iI]?[bB]?)?)?\s*$";

impl Record {
    /// A mapping with these fields and no others.
    pub fn to_json_schema(&self, placeholders: Placeholders) -> Value {
        let properties: Map<String, Value> =
            self.fields.iter().map(|field| (field.name.to_owned(), field.to_json_schema(placeholders))).collect();
        let required: Vec<&str> =
            self.fields.iter().filter(|field| field.must_be_given()).map(|field| field.name).collect();
        let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        schema
    }
}

impl Field {
    /// Whether a file without it is refused.
    pub fn must_be_given(&self) -> bool {
        self.required && matches!(self.default, Default::None)
    }

    /// The field as a member of a record: with null, unless it must have a value.
    pub fn to_json_schema(&self, placeholders: Placeholders) -> Value {
        let value = self.value_schema(placeholders);
        let mut schema = match value.as_object() {
            Some(members) if members.is_empty() || self.must_be_given() => value,
            _ => json!({"anyOf": [value, {"type": "null"}]}),
        };
        let mut description = self.about.to_owned();
        if !self.instead.is_empty() {
            description = self.deprecation();
            schema["deprecated"] = true.into();
            schema["deprecationMessage"] = description.clone().into();
        }
        if !description.is_empty() {
            schema["description"] = description.into();
        }
        if let (Some(default), false) = (self.default_value(), matches!(self.ty, Type::Record(_))) {
            schema["default"] = default;
        }
        schema
    }

    /// The value itself.
    fn value_schema(&self, placeholders: Placeholders) -> Value {
        if self.unread {
            return json!({});
        }
        let mut schema = match self.ty {
            Type::Any => return json!({}),
            Type::String => json!({"type": "string"}),
            Type::Integer => json!({"type": "integer"}),
            Type::Number => json!({"type": "number"}),
            Type::Boolean => json!({"type": "boolean"}),
            Type::Duration => {
                json!({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": DURATION}]})
            }
            Type::Size => json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": SIZE}]}),
            Type::Array(element) => json!({"type": "array", "items": element.value_schema(placeholders)}),
            Type::Set(element) => {
                json!({"type": "array", "uniqueItems": true, "items": element.value_schema(placeholders)})
            }
            Type::Map(keys, values) => json!({
                "type": "object", "propertyNames": keys.value_schema(Placeholders::None),
                "additionalProperties": values.value_schema(placeholders),
            }),
            Type::Record(record) => record.to_json_schema(placeholders),
            // By id, by name, or as an object with one of them.
            Type::Foreign(_) => json!({"type": ["string", "object"]}),
        };
        // Limits of durations and sizes are in seconds and bytes, which texts are not.
        if !matches!(self.ty, Type::Duration | Type::Size) {
            self.restrict(&mut schema);
        }
        if placeholders == Placeholders::None {
            return schema;
        }
        let is_scalar = matches!(self.ty, Type::String | Type::Integer | Type::Number | Type::Boolean);
        let mut either = vec![schema];
        if self.referenceable {
            either.push(json!({"type": "string", "pattern": REFERENCE}));
        }
        if is_scalar && (!matches!(self.ty, Type::String) || !self.checks.is_empty()) {
            either.push(json!({"type": "string", "pattern": ENVIRONMENT}));
        }
        if either.len() == 1 { either.remove(0) } else { json!({"anyOf": either}) }
    }

    /// Adds the checks to the schema of a value with this field's type.
    pub fn restrict(&self, schema: &mut Value) {
        let is_text = matches!(self.ty, Type::String);
        let (least, most) = if is_text { ("minLength", "maxLength") } else { ("minItems", "maxItems") };
        if is_text && !self.checks.iter().any(|check| matches!(check, Check::LenMin(_))) {
            schema[least] = 1.into();
        }
        for check in self.checks {
            match *check {
                Check::Between(low, high) => {
                    schema["minimum"] = number(low);
                    schema["maximum"] = number(high);
                }
                Check::GreaterThan(limit) => schema["exclusiveMinimum"] = number(limit),
                Check::OneOf(choices) => schema["enum"] = choices.into(),
                Check::OneOfNumbers(choices) => schema["enum"] = choices.iter().map(|choice| number(*choice)).collect(),
                // Kong counts bytes: a longer text may have fewer characters.
                Check::LenMin(length) if !is_text || length <= 1 => schema[least] = length.into(),
                Check::LenMin(_) | Check::Custom(_) => {}
                Check::LenMax(length) => schema[most] = length.into(),
                Check::StartsWith(start) => schema["pattern"] = format!("^{}", literal(start)).into(),
                Check::Uuid => schema["format"] = "uuid".into(),
            }
        }
    }
}

/// `text` as a regular expression that matches it.
fn literal(text: &str) -> String {
    let escaped = |c: char| if c.is_alphanumeric() || c == '/' { c.to_string() } else { format!("\\{c}") };
    text.chars().map(escaped).collect()
}

/// A whole number without a fraction.
fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 { (number as i64).into() } else { number.into() }
}
