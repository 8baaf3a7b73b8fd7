//! YAML and JSON text as a tree in which every node knows its place.
//!
//! Kong reads YAML with lyaml, decK with Go's yaml; where YAML 1.1 and 1.2 differ, this module takes what both have
//! in common and otherwise the reading that loses nothing: `0x10` and `010` are 16 and 8; `yes`, `no`, `on` and `off`
//! stay strings, and [`Node::as_bool`] takes them where a boolean is wanted.

mod environment;
mod json;
mod scalar;
mod snippet;
mod text;
mod yaml;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Place, SourceFile, codes};

pub use snippet::SnippetSource;
pub use text::Text;

/// Levels of nesting that a document may have.
pub const MAX_DEPTH: usize = 100;
/// Nodes that a document may have once its aliases are expanded.
pub const MAX_NODES: usize = 1_000_000;

/// Looks an environment variable up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How a string was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Bare.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes, in YAML or JSON.
    Double,
    /// After `|` or `>`.
    Block,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String {
        /// Its value, escapes resolved.
        value: String,
        /// How it was written.
        style: Style,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order they were written; no key twice.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key as text.
    pub name: String,
    span: Range<usize>,
    text: Arc<Text>,
}

impl Key {
    /// Where the key stands.
    pub fn place(&self) -> Place {
        self.text.place(self.span.clone())
    }
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    span: Range<usize>,
    text: Arc<Text>,
}

impl Node {
    /// Where the node stands; of an alias, where the anchor is.
    pub fn place(&self) -> Place {
        self.text.place(self.span.clone())
    }

    /// What users call this type of value, with its article.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Integer(_) => "an integer",
            Kind::Float(_) => "a number",
            Kind::String { .. } => "a string",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }

    /// Whether the node is null.
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// The value of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Kind::String { value, .. } = &self.kind { Some(value) } else { None }
    }

    /// A boolean; also YAML 1.1's bare `yes`, `no`, `on` and `off`.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.kind {
            Kind::Bool(value) => Some(*value),
            Kind::String { value, style: Style::Plain } => match value.to_ascii_lowercase().as_str() {
                "yes" | "on" => Some(true),
                "no" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A number, whole or not.
    pub fn as_f64(&self) -> Option<f64> {
        match self.kind {
            Kind::Integer(value) => Some(value as f64),
            Kind::Float(value) => Some(value),
            _ => None,
        }
    }

    /// A whole number; `10.0` is one, as in Lua.
    pub fn as_i64(&self) -> Option<i64> {
        match self.kind {
            Kind::Integer(value) => Some(value),
            Kind::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(value as i64),
            _ => None,
        }
    }

    /// The elements of a list.
    pub fn items(&self) -> Option<&[Node]> {
        if let Kind::Sequence(items) = &self.kind { Some(items) } else { None }
    }

    /// The entries of a mapping.
    pub fn entries(&self) -> Option<&[(Key, Node)]> {
        if let Kind::Mapping(entries) = &self.kind { Some(entries) } else { None }
    }

    /// A mapping with nothing in it that stands where `node` does, for what is left out altogether.
    pub fn empty_mapping_at(node: &Node) -> Node {
        Node { kind: Kind::Mapping(Vec::new()), span: node.span.clone(), text: node.text.clone() }
    }

    /// The whole of `file` as one bare string, for values that come from elsewhere than a document.
    pub fn literal(file: &Arc<SourceFile>) -> Node {
        let kind = Kind::String { value: file.text.clone(), style: Style::Plain };
        Node { kind, span: 0..file.text.len(), text: Arc::new(Text::plain(file.clone())) }
    }

    /// The whole of `file` as a list of bare strings with commas between them; without any text, the empty list.
    pub fn literal_list(file: &Arc<SourceFile>) -> Node {
        let text = Arc::new(Text::plain(file.clone()));
        let (mut items, mut at) = (Vec::new(), 0);
        for part in file.text.split(',') {
            let value = part.trim();
            let start = at + (part.len() - part.trim_start().len());
            at += part.len() + 1;
            if !value.is_empty() {
                let kind = Kind::String { value: value.to_owned(), style: Style::Plain };
                items.push(Node { kind, span: start..start + value.len(), text: text.clone() });
            }
        }
        Node { kind: Kind::Sequence(items), span: 0..file.text.len(), text }
    }

    /// Puts `value` at `path` inside this mapping, making the mappings on the way, in place of what is there.
    pub fn set(&mut self, path: &[&str], value: Node) {
        let [name, rest @ ..] = path else {
            *self = value;
            return;
        };
        if self.entries().is_none() {
            self.kind = Kind::Mapping(Vec::new());
        }
        let Kind::Mapping(entries) = &mut self.kind else { return };
        let at = entries.iter().position(|(key, _)| key.name == *name).unwrap_or_else(|| {
            let key = Key { name: (*name).to_owned(), span: value.span.clone(), text: value.text.clone() };
            entries.push((key, Node::empty_mapping_at(&value)));
            entries.len() - 1
        });
        entries[at].1.set(rest, value);
    }

    /// This mapping with the entries of `base` that it lacks behind its own; mappings in both are merged alike.
    pub fn over(&self, base: &Node) -> Node {
        let (Kind::Mapping(own), Kind::Mapping(more)) = (&self.kind, &base.kind) else { return self.clone() };
        let both =
            |(key, value): &(Key, Node)| (key.clone(), base.get(&key.name).map_or(value.clone(), |b| value.over(b)));
        let mut entries: Vec<_> = own.iter().map(both).collect();
        entries.extend(more.iter().filter(|(key, _)| self.get(&key.name).is_none()).cloned());
        Node { kind: Kind::Mapping(entries), span: self.span.clone(), text: self.text.clone() }
    }

    /// The value of a mapping's key.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|(_, value)| value)
    }

    /// A mapping's key and its value.
    pub fn entry(&self, name: &str) -> Option<(&Key, &Node)> {
        self.entries()?.iter().find(|(key, _)| key.name == name).map(|(key, value)| (key, value))
    }

    /// The string as a snippet whose lines can be found in the file.
    pub fn snippet(&self) -> Option<SnippetSource> {
        let Kind::String { value, style } = &self.kind else { return None };
        Some(SnippetSource::in_document(value.clone(), self.text.clone(), self.span.clone(), *style))
    }

    /// The value as JSON, as written.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Integer(value) => Value::from(*value),
            Kind::Float(value) => Value::from(*value),
            Kind::String { value, .. } => Value::from(value.as_str()),
            Kind::Sequence(items) => items.iter().map(Self::to_json).collect(),
            Kind::Mapping(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.name.clone(), value.to_json())).collect())
            }
        }
    }

    /// How many nodes there are in this one, itself included.
    fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Sequence(items) => items.iter().map(Self::count).sum(),
            Kind::Mapping(entries) => entries.iter().map(|(_, value)| value.count()).sum::<usize>(),
            _ => 0,
        }
    }

    /// How many levels there are in this node; a scalar has one.
    fn depth(&self) -> usize {
        1 + match &self.kind {
            Kind::Sequence(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Kind::Mapping(entries) => entries.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// Reads `file`, JSON if its name or first character says so, YAML otherwise. With `environment`, decK's
/// `${{ env "DECK_X" }}` is replaced first. Without a tree there is at least one error; a tree may come with errors,
/// so that those of a later stage can be shown too.
pub fn parse(file: &Arc<SourceFile>, environment: Option<Environment<'_>>) -> (Option<Node>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let text = match environment {
        Some(environment) => environment::expand(file, environment, &mut diagnostics),
        None => Arc::new(Text::plain(file.clone())),
    };
    let root = if file.name.ends_with(".json") {
        json::parse(&text).map_err(|error| vec![*error])
    } else if text.as_str().trim_start().starts_with(['{', '[']) {
        // Kong tries JSON before YAML on a nameless text; what is neither is reported as YAML.
        json::parse(&text).or_else(|_| yaml::parse(&text))
    } else {
        yaml::parse(&text)
    };
    match root {
        Ok(node) => {
            duplicates(&node, &mut HashSet::new(), &mut diagnostics);
            (Some(node), diagnostics)
        }
        Err(errors) => {
            diagnostics.extend(errors);
            (None, diagnostics)
        }
    }
}

/// Reports each key that is in its mapping twice. The first of the two is what [`Node::get`] finds. A mapping that was
/// aliased is the same text again, and `reported` holds where such keys start.
fn duplicates(node: &Node, reported: &mut HashSet<usize>, diagnostics: &mut Vec<Diagnostic>) {
    match &node.kind {
        Kind::Sequence(items) => items.iter().for_each(|item| duplicates(item, reported, diagnostics)),
        Kind::Mapping(entries) => {
            let mut seen = HashMap::with_capacity(entries.len());
            for (key, value) in entries {
                duplicates(value, reported, diagnostics);
                let first = *seen.entry(key.name.as_str()).or_insert(key);
                if std::ptr::eq(first, key) || !reported.insert(key.span.start) {
                    continue;
                }
                let message = format!("the key `{}` is there twice", key.name);
                let diagnostic = Diagnostic::error(codes::DUPLICATE_KEY, message).at(key.place()).label("second here");
                diagnostics.push(diagnostic.related(first.place(), "first here").help("keep one of the two"));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
