//! The types of a form's values, by schema (`infer_value` in kong/api/arguments.lua).

use logphase_config::schema::{Record, Type};
use logphase_script::parse_lua_number;
use serde_json::{Map, Number, Value};

use super::table::{Node, Table};

/// The members of `table`, which is a `record`. A field that the record lacks stays text.
pub(super) fn members(table: Table, record: &Record) -> Map<String, Value> {
    let typed = table.into_entries().map(|(name, node)| {
        let value = value(node, record.field(&name).map(|field| &field.ty));
        (name, value)
    });
    typed.collect()
}

/// `node` as a value of `ty`, or, if it cannot be one, as what it is: validation refuses it.
pub(super) fn value(node: Node, ty: Option<&Type>) -> Value {
    let Some(ty) = ty else { return plain(node) };
    let node = match node {
        Node::Text(text) if text.is_empty() => return Value::Null,
        Node::Text(text) => return typed(text, ty),
        Node::True => match ty {
            Type::Array(element) | Type::Set(element) => {
                return Value::Array(vec![value(Node::True, Some(&element.ty))]);
            }
            _ => return Value::Bool(true),
        },
        Node::Table(table) => table,
    };
    match ty {
        Type::Array(element) | Type::Set(element) if node.is_list() => {
            node.into_values().map(|node| value(node, Some(&element.ty))).collect()
        }
        // Kong refuses a map with an element; in JSON, it would be one with the key `1`.
        Type::Map(_, element) if node.has_elements() => {
            node.into_values().map(|node| value(node, Some(&element.ty))).collect()
        }
        Type::Map(_, element) => {
            let typed = node.into_entries().map(|(name, node)| (name, value(node, Some(&element.ty))));
            Value::Object(typed.collect())
        }
        Type::Record(record) => Value::Object(members(node, record)),
        Type::Array(_) | Type::Set(_) | Type::Any => plain(Node::Table(node)),
        // The key of another entity, or a value that validation refuses.
        _ if node.is_list() => plain(Node::Table(node)),
        _ => Value::Object(node.into_entries().map(|(name, node)| (name, value(node, Some(&Type::String)))).collect()),
    }
}

/// `text` as a value of `ty`.
fn typed(text: String, ty: &Type) -> Value {
    match ty {
        Type::Boolean if text == "true" => Value::Bool(true),
        Type::Boolean if text == "false" => Value::Bool(false),
        Type::Integer | Type::Number | Type::Duration | Type::Size => {
            number(&text).map_or(Value::String(text), Value::Number)
        }
        Type::Array(element) | Type::Set(element) => Value::Array(vec![value(Node::Text(text), Some(&element.ty))]),
        _ => Value::String(text),
    }
}

/// The number that Lua's `tonumber` makes of `text`; none for one that JSON lacks.
fn number(text: &str) -> Option<Number> {
    let number = parse_lua_number(text.as_bytes())?;
    // Whole numbers are exact up to here.
    let is_whole = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    if is_whole { Some(Number::from(number as i64)) } else { Number::from_f64(number) }
}

/// `node` without types.
pub(super) fn plain(node: Node) -> Value {
    match node {
        Node::Text(text) => Value::String(text),
        Node::True => Value::Bool(true),
        Node::Table(table) if table.is_list() => table.into_values().map(plain).collect(),
        Node::Table(table) => Value::Object(table.into_entries().map(|(name, node)| (name, plain(node))).collect()),
    }
}
