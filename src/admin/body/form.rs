//! From the pairs of a form to an entity.

use std::collections::HashMap;

use logphase_config::schema::{Record, Type};
use serde_json::{Map, Value};

use super::table::{Node, Table};
use super::{BodyError, Pair, infer, name};

/// The entity that `pairs` describe. Pairs of one name are a list; names nest by dots and brackets; `record` tells the
/// types. The type of `config` depends on the entity's `name`: `config` is given the name, if the form has it, and returns
/// the fields.
///
/// Where Kong has no order, that of the pairs counts. Unlike Kong, a map refuses `map[1]=x` as no map.
///
/// # Errors
/// A name nests too deep.
pub fn decode_form(
    pairs: &[Pair],
    record: &'static Record,
    config: &dyn Fn(Option<&str>) -> Option<&'static Record>,
) -> Result<Map<String, Value>, BodyError> {
    let table = decode(pairs)?;
    let name = match table.get("name") {
        Some(Node::Text(name)) => Some(name.as_str()),
        _ => None,
    };
    let config = config(name).map(Type::Record);
    let typed = table.into_entries().map(|(name, node)| {
        let own = record.field(&name).map(|field| &field.ty);
        let ty = if name == "config" { config.as_ref().or(own) } else { own };
        let value = infer::value(node, ty);
        (name, value)
    });
    Ok(typed.collect())
}

/// Nests the pairs of a form without a schema: every value is a text, and an empty one null.
///
/// # Errors
/// A name nests too deep.
pub fn decode_untyped(pairs: &[Pair]) -> Result<Map<String, Value>, BodyError> {
    let members = decode(pairs)?.into_entries().map(|(name, node)| (name, infer::plain(node)));
    Ok(members.map(|(name, value)| (name, if value == "" { Value::Null } else { value })).collect())
}

/// The pairs as a table.
fn decode(pairs: &[Pair]) -> Result<Table, BodyError> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut values: Vec<(&str, Vec<Node>)> = Vec::new();
    for (name, value) in pairs {
        let value = value.as_ref().map_or(Node::True, |value| Node::Text(value.clone()));
        let place = *places.entry(name).or_insert(values.len());
        match values.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => values.push((name, vec![value])),
        }
    }
    let mut table = Table::default();
    for (name, mut values) in values {
        let value = match values.pop() {
            Some(value) if values.is_empty() => value,
            last => Node::Table(Table::list(values.into_iter().chain(last))),
        };
        table.combine(Table::nested(name::path(name)?, value));
    }
    Ok(table)
}
