//! Key paths, which locate a member of the message.

use crate::transaction::{Escaping, text};

/// One step of a [`KeyPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A member of an object.
    Name(Name),
    /// An element of an array, counted from 1 as in Lua.
    Index(usize),
}

/// A member's name, in plain and in encoded form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name itself.
    pub plain: Box<[u8]>,
    /// The content of its JSON string.
    pub encoded: Box<[u8]>,
}

/// A parsed key of `set_serialize_value` or `custom_fields_by_lua`: `a.b` nests, `a\.b` is one name with a dot,
/// `a[1]` is an array's first element (Kong 3.15).
///
/// Kong's rule for dots (kong/pdk/log.lua): a dot is a separator unless it is the first byte of the key or the byte
/// before it is a backslash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath {
    text: Box<str>,
    parts: Box<[Part]>,
}

impl KeyPath {
    /// Parses `key`; every text is a key path. With `quirks`, a backslash and any character become a dot and there are no
    /// array indices, as in Kong 3.10.
    pub fn parse(key: &str, quirks: bool) -> Self {
        let bytes = key.as_bytes();
        let mut parts = Vec::new();
        let mut start = 0;
        for at in 1..bytes.len() {
            if bytes[at] == b'.' && bytes[at - 1] != b'\\' && at >= start.max(1) {
                push_segment(&mut parts, &key[start..at], quirks);
                start = at + 1;
            }
        }
        push_segment(&mut parts, &key[start..], quirks);
        Self { text: key.into(), parts: parts.into() }
    }

    /// The member `name` of the message itself, whatever dots and brackets are in its name. With `quirks`, it is written as
    /// Kong writes names.
    pub fn member(name: &str, quirks: bool) -> Self {
        let escaping = if quirks { Escaping::Kong } else { Escaping::Json };
        Self { text: name.into(), parts: Box::new([Part::Name(Name::new(name, escaping))]) }
    }

    /// The key as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The steps; never empty.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl Part {
    /// The part as shown in errors.
    pub fn shown(&self) -> String {
        match self {
            Self::Name(name) => String::from_utf8_lossy(&name.plain).into_owned(),
            Self::Index(index) => format!("[{index}]"),
        }
    }
}

impl Name {
    pub(super) fn new(plain: &str, escaping: Escaping) -> Self {
        let mut encoded = Vec::with_capacity(plain.len());
        text::push_escaped(&mut encoded, plain.as_bytes(), escaping);
        Self { plain: plain.as_bytes().into(), encoded: encoded.into() }
    }
}

/// Splits `segment`, the text between two separators, into a name and its indices.
fn push_segment(parts: &mut Vec<Part>, segment: &str, quirks: bool) {
    let escaping = if quirks { Escaping::Kong } else { Escaping::Json };
    if quirks {
        parts.push(Part::Name(Name::new(&unescape_as_kong(segment), escaping)));
        return;
    }
    let (name, indices) = split_indices(segment);
    if indices.is_empty() || !name.is_empty() || parts.is_empty() {
        parts.push(Part::Name(Name::new(&name.replace("\\.", "."), escaping)));
    }
    parts.extend(indices.into_iter().map(Part::Index));
}

/// `foo[1][2]` is `foo` and 1, 2. Brackets without a positive integer are part of the name.
fn split_indices(segment: &str) -> (&str, Vec<usize>) {
    let mut name = segment;
    let mut indices = Vec::new();
    while let Some((before, digits)) = name.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        match digits.parse::<usize>() {
            Ok(index) if plain && !before.is_empty() => {
                indices.insert(0, index);
                name = before;
            }
            _ => break,
        }
    }
    (name, indices)
}

/// Kong's `gsub("\\.", ".")`, in which the dot of the pattern matches any character.
fn unescape_as_kong(segment: &str) -> String {
    let mut name = String::with_capacity(segment.len());
    let mut characters = segment.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            name.push(character);
        } else if characters.next().is_some() {
            name.push('.');
        } else {
            name.push('\\');
        }
    }
    name
}
