//! The JSON body of a request as a tree.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Key, Location, Node, NodeKind, StringStyle};

/// `value` as a node at `path` of the body.
pub(super) fn node(value: &Value, path: &str) -> Node {
    node_at(value, path.into())
}

fn node_at(value: &Value, path: Arc<str>) -> Node {
    let kind = match value {
        Value::Null => NodeKind::Null,
        Value::Bool(value) => NodeKind::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => NodeKind::Integer(whole),
            None => NodeKind::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => NodeKind::String { value: text.clone(), style: StringStyle::Double },
        Value::Array(items) => {
            let items = items.iter().enumerate();
            NodeKind::Sequence(items.map(|(index, item)| node(item, &format!("{path}[{index}]"))).collect())
        }
        Value::Object(members) => return mapping_at(members, path),
    };
    Node { kind, location: Location::Request { path } }
}

/// `members` as a node at `path` of the body.
pub(super) fn mapping(members: &Map<String, Value>, path: &str) -> Node {
    mapping_at(members, path.into())
}

fn mapping_at(members: &Map<String, Value>, path: Arc<str>) -> Node {
    let kind = NodeKind::Mapping(members.iter().map(|(name, value)| entry(name, value, &path)).collect());
    Node { kind, location: Location::Request { path } }
}

fn entry(name: &str, value: &Value, path: &str) -> (Key, Node) {
    let path: Arc<str> = if path.is_empty() { name.into() } else { format!("{path}.{name}").into() };
    let key = Key { name: name.to_owned(), location: Location::Request { path: path.clone() } };
    (key, node_at(value, path))
}
