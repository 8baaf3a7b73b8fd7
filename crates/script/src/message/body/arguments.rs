//! Form fields as members of `body_args`.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::tree::{Node, Slice};
use crate::transaction::body::form;
use crate::transaction::{Escaping, text};

/// Fields by name, in the order of their first occurrence. A repeated field becomes an array.
#[derive(Default)]
pub(super) struct Arguments {
    members: Vec<(Slice, Node)>,
    places: HashMap<Vec<u8>, usize>,
}

impl Arguments {
    /// The first `max_count` arguments of a form, decoded. Bytes that are not UTF-8 become U+FFFD; the raw form is logged as
    /// well. As in ngx_lua, an argument without `=` is true, and one without a name is left out.
    pub(super) fn of_form(body: &[u8], max_count: usize) -> Self {
        let mut arguments = Self::default();
        for (name, value) in form::pairs(body).filter(|(name, _)| !name.is_empty()).take(max_count) {
            let value = value.map_or_else(|| b"true".to_vec(), |value| string(decoded(value).as_bytes()));
            arguments.add(decoded(name).as_bytes(), value);
        }
        arguments
    }

    /// The fields of a multipart form. Content that is not UTF-8, usually a file's, is base64, and so is the whole body.
    pub(super) fn of_parts<'a>(parts: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut arguments = Self::default();
        for (name, content) in parts {
            let value = match std::str::from_utf8(content) {
                Ok(_) => string(content),
                Err(_) => string(STANDARD.encode(content).as_bytes()),
            };
            arguments.add(name.as_bytes(), value);
        }
        arguments
    }

    fn add(&mut self, name: &[u8], value: Vec<u8>) {
        let value = Node::Raw(Slice::Owned(value.into()));
        let Some(&at) = self.places.get(name) else {
            self.places.insert(name.to_vec(), self.members.len());
            let mut encoded = Vec::with_capacity(name.len());
            text::push_escaped(&mut encoded, name, Escaping::Json);
            return self.members.push((Slice::Owned(encoded.into()), value));
        };
        match &mut self.members[at].1 {
            Node::Array(values, _) => values.push(value),
            one => {
                let first = std::mem::replace(one, Node::null());
                *one = Node::Array(vec![first, value], true);
            }
        }
    }

    pub(super) fn into_node(self) -> Node {
        Node::Object(self.members)
    }
}

/// Decodes `+` as a space and `%XX` as a byte.
fn decoded(text: &[u8]) -> String {
    // Only the first `=` separates.
    let pair = [b"=", text].concat();
    form_urlencoded::parse(&pair).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A quoted JSON string.
pub(super) fn string(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 2);
    text::push_string(&mut out, content, Escaping::Json);
    out
}
