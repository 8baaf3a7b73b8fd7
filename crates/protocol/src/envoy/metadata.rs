//! Dynamic metadata, written as JSON from its encoding: most of what an entry holds may be metadata, and a tree of it would cost
//! more than all the rest.
//!
//! Where the encoding is broken, the rest of that object or list is left out.

use std::borrow::Cow;

use crate::format::Written;
use crate::json::{Writer, whole};
use crate::wire::{Value, next};

/// Levels of values in a value; deeper ones are `null`.
const MAX_DEPTH: usize = 100;

/// `google.protobuf.Value.kind`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind<'a> {
    Null,
    Number(f64),
    Text(&'a [u8]),
    Bool(bool),
    Structure(&'a [u8]),
    List(&'a [u8]),
}

impl<'a> Kind<'a> {
    /// The last field of a `google.protobuf.Value`.
    fn of(mut value: &'a [u8]) -> Self {
        let mut kind = Self::Null;
        while let Some((number, found)) = next(&mut value) {
            kind = match (number, found) {
                (1, Value::Varint(_)) => Self::Null,
                (2, Value::Fixed64(bits)) => Self::Number(f64::from_bits(bits)),
                (3, Value::Bytes(text)) => Self::Text(text),
                (4, Value::Varint(value)) => Self::Bool(value != 0),
                (5, Value::Bytes(structure)) => Self::Structure(structure),
                (6, Value::Bytes(list)) => Self::List(list),
                _ => kind,
            };
        }
        kind
    }
}

/// The fields 1 of a message, which all have a length.
fn items(mut message: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            if let (1, Value::Bytes(item)) = next(&mut message)? {
                return Some(item);
            }
        }
    })
}

/// The members of a map, in the order of the message: keys and values, which may be missing.
fn members(message: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    items(message).map(|mut member| {
        let (mut key, mut value) = (&b""[..], None);
        while let Some((number, found)) = next(&mut member) {
            match (number, found) {
                (1, Value::Bytes(bytes)) => key = bytes,
                (2, Value::Bytes(bytes)) => value = Some(bytes),
                _ => {}
            }
        }
        (key, value)
    })
}

/// The members of a map in the order of their keys; of equal keys the last.
fn sorted(message: &[u8]) -> Vec<(&[u8], Option<&[u8]>)> {
    let mut sorted: Vec<_> = members(message).collect();
    sorted.sort_by_key(|(key, _)| *key);
    // `dedup_by` keeps the first of equal ones.
    sorted.reverse();
    sorted.dedup_by(|one, other| one.0 == other.0);
    sorted.reverse();
    sorted
}

/// Writes `metadata`, unless it is empty, from `envoy.config.core.v3.Metadata`.
pub(crate) fn write(json: &mut Writer<'_>, metadata: &[u8]) {
    let namespaces = sorted(metadata);
    if namespaces.is_empty() {
        return;
    }
    json.open_member("metadata");
    for (name, value) in namespaces {
        if let Some(value) = value {
            json.foreign_name(name);
            structure(json, value, 0);
        }
    }
    json.close(b'}');
}

/// `google.protobuf.Struct`.
fn structure(json: &mut Writer<'_>, message: &[u8], depth: usize) {
    json.open(b'{');
    for (name, value) in sorted(message) {
        json.foreign_name(name);
        write_value(json, value.map_or(Kind::Null, Kind::of), depth + 1);
    }
    json.close(b'}');
}

fn write_value(json: &mut Writer<'_>, kind: Kind<'_>, depth: usize) {
    match kind {
        Kind::Number(number) => json.float(number),
        Kind::Text(text) => json.text(text),
        Kind::Bool(value) => json.serialized(value),
        Kind::Structure(message) if depth < MAX_DEPTH => structure(json, message, depth),
        Kind::List(list) if depth < MAX_DEPTH => {
            json.open(b'[');
            items(list).for_each(|value| write_value(json, Kind::of(value), depth + 1));
            json.close(b']');
        }
        Kind::Null | Kind::Structure(_) | Kind::List(_) => json.serialized(()),
    }
}

/// Appends the value at `path`, a namespace and keys, for a line of a log: the text of a string, and JSON of anything else.
/// A number that is whole has no fraction. At no path, all of it.
pub(crate) fn write_at(metadata: &[u8], path: &[String], out: &mut Vec<u8>) -> Written {
    let Some((namespace, keys)) = path.split_first() else {
        out.push(b'{');
        let mut json = Writer(out);
        for (name, value) in sorted(metadata) {
            json.foreign_name(name);
            structure(&mut json, value.unwrap_or_default(), 0);
        }
        out.push(b'}');
        return Written::Json;
    };
    let found = keys.iter().try_fold(member(metadata, namespace).map(Kind::Structure), |kind, key| match kind {
        Some(Kind::Structure(inner)) => Some(member(inner, key).map(Kind::of)),
        _ => None,
    });
    let Some(kind) = found.flatten() else { return Written::Absent };
    match kind {
        Kind::Null => return Written::Absent,
        Kind::Text(text) => {
            out.extend_from_slice(text);
            return Written::Text;
        }
        Kind::Number(_) | Kind::Bool(_) | Kind::Structure(_) | Kind::List(_) => {}
    }
    // The writer begins a value without a comma behind a bracket, which is then taken away.
    let mark = out.len();
    out.push(b'[');
    write_value(&mut Writer(out), kind, 0);
    out.remove(mark);
    Written::Json
}

/// The value of a member of a map; of equal names the last.
fn member<'a>(message: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(message).filter(|(key, _)| *key == name.as_bytes()).last().and_then(|(_, value)| value)
}

/// The text of the value at `keys` of a namespace; none for objects, lists and `null`.
pub(crate) fn find<'a>(metadata: &'a [u8], namespace: &str, keys: &[String]) -> Option<Cow<'a, [u8]>> {
    find_in(member(metadata, namespace)?, keys)
}

/// The same, of a `google.protobuf.Struct`.
pub(crate) fn find_in<'a>(structure: &'a [u8], keys: &[String]) -> Option<Cow<'a, [u8]>> {
    let (last, above) = keys.split_last()?;
    let mut at = structure;
    for key in above {
        match Kind::of(member(at, key)?) {
            Kind::Structure(inner) => at = inner,
            _ => return None,
        }
    }
    match Kind::of(member(at, last)?) {
        Kind::Text(text) => Some(Cow::Borrowed(text)),
        Kind::Number(number) => Some(match whole(number) {
            Some(number) => Cow::Owned(number.to_string().into_bytes()),
            None => Cow::Owned(number.to_string().into_bytes()),
        }),
        Kind::Bool(value) => Some(Cow::Borrowed(if value { b"true" } else { b"false" })),
        Kind::Null | Kind::Structure(_) | Kind::List(_) => None,
    }
}
