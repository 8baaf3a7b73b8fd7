//! Errors by field, as Kong's Admin API answers them.

use std::fmt;

use serde_json::{Map, Value};

use super::Diagnostic;

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A field of a record.
    Field(String),
    /// An element of a list, counted from 0.
    Element(usize),
    /// A key of a map.
    Key(String),
    /// The record itself that the path before leads to.
    Entity,
}

/// The path of a field inside an entity. It is written as in Kong's messages: dots between names, elements counted
/// from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// The steps from the entity to the field; none for the entity itself.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether this is the entity itself.
    pub fn is_entity(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of the entity's own field that this path leads into.
    pub fn top_level(&self) -> Option<&str> {
        match self.0.first()? {
            Segment::Field(name) | Segment::Key(name) => Some(name),
            Segment::Element(_) | Segment::Entity => None,
        }
    }

    /// The path of what is about the record at this path as a whole.
    #[must_use]
    pub fn entity(&self) -> Self {
        if self.is_entity() { self.clone() } else { self.join(Segment::Entity) }
    }

    /// The path that is one step longer.
    pub fn join(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }
}

impl From<&str> for FieldPath {
    /// Fields of records, separated by dots; the empty text is the entity itself.
    fn from(path: &str) -> Self {
        Self(path.split('.').filter(|name| !name.is_empty()).map(|name| Segment::Field(name.to_owned())).collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is about a record is written as the record.
        let named = self.0.iter().filter(|segment| **segment != Segment::Entity);
        for (at, segment) in named.enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            match segment {
                Segment::Field(name) | Segment::Key(name) => f.write_str(name)?,
                Segment::Element(index) => write!(f, "{}", index + 1)?,
                Segment::Entity => {}
            }
        }
        Ok(())
    }
}

/// A violation of a schema, in Kong's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field; the entity itself if the violation is about several fields.
    pub path: FieldPath,
    /// Kong's text about it, like `expected an integer`.
    pub message: String,
}

/// The errors among `diagnostics` as the `fields` member of Kong's answer: nested as the entity is, with null for the
/// good elements of a list, one text for a map, and under `@entity` what is about several fields.
pub fn field_errors(diagnostics: &[Diagnostic]) -> Value {
    let mut fields = Value::Object(Map::new());
    for error in diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).filter_map(|d| d.field.as_ref()) {
        insert(&mut fields, error.path.segments(), &error.message);
    }
    fields
}

/// Kong's message for the errors `fields`, as [`field_errors`] returns them (kong/db/errors.lua): first what is about several fields,
/// then the fields by name, one level deep; what is deeper is printed as a Lua table.
pub fn violation_message(fields: &Value) -> String {
    let mut texts = Vec::new();
    let entity = fields.get("@entity").and_then(Value::as_array);
    texts.extend(entity.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    for (name, errors) in sorted(fields).into_iter().filter(|(name, _)| name != "@entity") {
        match errors {
            Value::Object(_) | Value::Array(_) => {
                texts.extend(sorted(errors).into_iter().map(|(below, error)| match error {
                    Value::String(text) => format!("{name}.{below}: {text}"),
                    table => {
                        let mut printed = String::new();
                        print_table(table, 1, &mut printed);
                        format!("{name}.{below}: {printed}")
                    }
                }));
            }
            error => texts.push(format!("{name}: {}", error.as_str().unwrap_or_default())),
        }
    }
    match &*texts {
        [only] => format!("schema violation ({only})"),
        all => format!("{} schema violations ({})", all.len(), all.join("; ")),
    }
}

/// The members of an object by name, or the elements of a list that are not null, counted from 1.
fn sorted(value: &Value) -> Vec<(String, &Value)> {
    match value {
        Value::Array(items) => {
            let items = items.iter().enumerate().filter(|(_, item)| !item.is_null());
            items.map(|(at, item)| ((at + 1).to_string(), item)).collect()
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(name, value)| (name.clone(), value)).collect();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            members
        }
        _ => Vec::new(),
    }
}

/// Prints `value` as Penlight's `pretty.write` does.
fn print_table(value: &Value, depth: usize, printed: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Array(_) | Value::Object(_) => {
            // The elements of a list before the first gap have no numbers.
            let whole = value.as_array().map_or(0, |items| items.iter().take_while(|item| !item.is_null()).count());
            let rows: Vec<String> = sorted(value)
                .into_iter()
                .map(|(name, value)| {
                    let key = match (name.parse::<usize>(), is_identifier(&name)) {
                        (Ok(number), _) if number <= whole => String::new(),
                        (Ok(_), _) => format!("[{name}] = "),
                        (Err(_), true) => format!("{name} = "),
                        (Err(_), false) => format!("[\"{name}\"] = "),
                    };
                    let mut row = format!("{indent}{key}");
                    print_table(value, depth + 1, &mut row);
                    row
                })
                .collect();
            printed.push_str("{\n");
            printed.push_str(&rows.join(",\n"));
            printed.push('\n');
            printed.push_str(&"  ".repeat(depth - 1));
            printed.push('}');
        }
        Value::String(text) => {
            printed.push('"');
            printed.push_str(&text.replace('\\', "\\\\").replace('"', "\\\""));
            printed.push('"');
        }
        other => printed.push_str(&other.to_string()),
    }
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Puts `message` at `path`. The first message of a field stays.
fn insert(target: &mut Value, path: &[Segment], message: &str) {
    match (path, target) {
        ([Segment::Entity], target @ Value::Null) => {
            *target = Value::Object(Map::new());
            insert(target, &[], message);
        }
        ([] | [Segment::Entity], Value::Object(members)) => {
            let texts = members.entry("@entity").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(texts) = texts {
                texts.push(message.into());
            }
        }
        // Kong gives one text for a whole map.
        ([] | [Segment::Key(_), ..], target @ Value::Null) => *target = message.into(),
        ([Segment::Field(_), ..], target @ Value::Null) => {
            *target = Value::Object(Map::new());
            insert(target, path, message);
        }
        ([Segment::Element(_), ..], target @ Value::Null) => {
            *target = Value::Array(Vec::new());
            insert(target, path, message);
        }
        ([Segment::Field(name) | Segment::Key(name), rest @ ..], Value::Object(members)) => {
            insert(members.entry(name.as_str()).or_insert(Value::Null), rest, message);
        }
        ([Segment::Element(index), rest @ ..], Value::Array(items)) => {
            if items.len() <= *index {
                items.resize(index + 1, Value::Null);
            }
            insert(&mut items[*index], rest, message);
        }
        _ => {}
    }
}
