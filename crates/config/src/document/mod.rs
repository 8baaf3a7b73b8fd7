//! YAML and JSON as a tree in which every node knows its origin.
//!
//! Kong reads YAML with lyaml, decK with Go's yaml. Where YAML 1.1 and 1.2 differ, this module follows what both agree
//! on, and otherwise the reading that loses nothing: `0x10` and `010` are 16 and 8; `yes`, `no`, `on` and `off`
//! stay strings, which [`Node::as_bool`] accepts where a boolean is expected.

mod environment;
mod json;
mod member;
mod request;
mod scalar;
mod snippet;
mod text;
mod values;
mod yaml;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Origin, Place, SourceFile, codes};

pub use snippet::SnippetSource;
pub use text::Text;

/// Levels of nesting that a document may have.
pub const MAX_DEPTH: usize = 100;
/// Nodes that a document may have once its aliases are expanded.
pub const MAX_NODES: usize = 1_000_000;

/// Bytes of text that its aliases may expand to.
pub const MAX_ALIAS_BYTES: usize = 64 << 20;

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How a string is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringStyle {
    /// Without quotes.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes, in YAML or JSON.
    Double,
    /// After `|` or `>`.
    Block,
}

/// The value of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer within the range of `i64`.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String {
        /// The value, with escapes resolved.
        value: String,
        /// How it is written.
        style: StringStyle,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the document, without duplicate keys.
    Mapping(Vec<(Key, Node)>),
}

/// Where a node or key comes from.
#[derive(Debug, Clone, PartialEq)]
enum Location {
    /// Bytes of a parsed text.
    Text { text: Arc<Text>, span: Range<usize> },
    /// A member of a request's body, by its path.
    Request { path: Arc<str> },
}

impl Location {
    fn origin(&self) -> Origin {
        match self {
            Self::Text { text, span } => Origin::File(text.place(span.clone())),
            Self::Request { path } => Origin::Request { path: path.to_string() },
        }
    }

    /// The bytes of the file, which the expansion of an expression can have moved; none outside of a file.
    fn span(&self) -> Range<usize> {
        match self {
            Self::Text { text, span } => text.place(span.clone()).span,
            Self::Request { .. } => 0..0,
        }
    }
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key as text.
    pub name: String,
    location: Location,
}

impl Key {
    /// A key at `span` of `text`.
    fn in_text(name: String, text: &Arc<Text>, span: Range<usize>) -> Self {
        Self { name, location: Location::Text { text: text.clone(), span } }
    }

    /// Where the key comes from.
    pub fn origin(&self) -> Origin {
        self.location.origin()
    }

    /// The bytes of its file that the key takes; empty if it is not from a file.
    pub fn span(&self) -> Range<usize> {
        self.location.span()
    }
}

/// A value that knows where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub kind: NodeKind,
    location: Location,
}

impl Node {
    /// A node at `span` of `text`.
    fn in_text(kind: NodeKind, text: &Arc<Text>, span: Range<usize>) -> Self {
        Self { kind, location: Location::Text { text: text.clone(), span } }
    }

    /// The body of a request. Each of its members knows its path in it.
    pub fn from_request(body: &serde_json::Value) -> Self {
        request::node(body, "")
    }

    /// The entity at `path`, as the body of a request.
    pub fn of_entity(entity: &serde_json::Map<String, serde_json::Value>, path: &str) -> Self {
        request::mapping(entity, path)
    }

    /// Where the node comes from; of an alias, where its anchor is.
    pub fn origin(&self) -> Origin {
        self.location.origin()
    }

    /// The bytes of its file that the node takes; empty if it is not from a file.
    pub fn span(&self) -> Range<usize> {
        self.location.span()
    }

    /// The origin of the member at `path` below this node, like `headers.X-Key`, `log[0]` or `queue.max_entries`. If
    /// the member is missing, the origin of its nearest ancestor below this node, or `None`. A key may contain dots. The
    /// origin of a mapping is that of its key.
    pub fn member_origin(&self, path: &str) -> Option<Origin> {
        member::origin(self, path)
    }

    /// The name of this type of value in messages, with its article.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "null",
            NodeKind::Bool(_) => "a boolean",
            NodeKind::Integer(_) => "an integer",
            NodeKind::Float(_) => "a number",
            NodeKind::String { .. } => "a string",
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a mapping",
        }
    }

    /// Whether the node is null.
    pub fn is_null(&self) -> bool {
        self.kind == NodeKind::Null
    }

    /// The value of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let NodeKind::String { value, .. } = &self.kind { Some(value) } else { None }
    }

    /// A boolean; also YAML 1.1's bare `yes`, `no`, `on` and `off`.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.kind {
            NodeKind::Bool(value) => Some(*value),
            NodeKind::String { value, style: StringStyle::Plain } => match value.to_ascii_lowercase().as_str() {
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
            NodeKind::Integer(value) => Some(value as f64),
            NodeKind::Float(value) => Some(value),
            _ => None,
        }
    }

    /// A whole number; `10.0` is one, as in Lua.
    pub fn as_i64(&self) -> Option<i64> {
        match self.kind {
            NodeKind::Integer(value) => Some(value),
            NodeKind::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(value as i64),
            _ => None,
        }
    }

    /// Whether it is of the body of a request, and not of a file.
    pub fn is_of_request(&self) -> bool {
        matches!(self.location, Location::Request { .. })
    }

    /// The elements of a list.
    pub fn items(&self) -> Option<&[Node]> {
        if let NodeKind::Sequence(items) = &self.kind { Some(items) } else { None }
    }

    /// The entries of a mapping.
    pub fn entries(&self) -> Option<&[(Key, Node)]> {
        if let NodeKind::Mapping(entries) = &self.kind { Some(entries) } else { None }
    }

    /// An empty mapping with the origin of `node`, for a record that is absent.
    pub fn empty_mapping_at(node: &Node) -> Node {
        Node { kind: NodeKind::Mapping(Vec::new()), location: node.location.clone() }
    }

    /// Another value with the origin of this node.
    pub fn with_kind(&self, kind: NodeKind) -> Node {
        Node { kind, location: self.location.clone() }
    }

    /// The whole of `file` as one string without quotes, for values that are not in a document.
    pub fn literal(file: &Arc<SourceFile>) -> Node {
        let kind = NodeKind::String { value: file.text.clone(), style: StringStyle::Plain };
        Node::in_text(kind, &Arc::new(Text::plain(file.clone())), 0..file.text.len())
    }

    /// The whole of `file` as a list of strings, separated by commas; an empty text is the empty list.
    pub fn literal_list(file: &Arc<SourceFile>) -> Node {
        let text = Arc::new(Text::plain(file.clone()));
        let (mut items, mut at) = (Vec::new(), 0);
        for part in file.text.split(',') {
            let value = part.trim();
            let start = at + (part.len() - part.trim_start().len());
            at += part.len() + 1;
            if !value.is_empty() {
                let kind = NodeKind::String { value: value.to_owned(), style: StringStyle::Plain };
                items.push(Node::in_text(kind, &text, start..start + value.len()));
            }
        }
        Node::in_text(NodeKind::Sequence(items), &text, 0..file.text.len())
    }

    /// Sets the member at `path` of this mapping to `value`, and creates the mappings on the way.
    pub fn set(&mut self, path: &[&str], value: Node) {
        let [name, rest @ ..] = path else {
            *self = value;
            return;
        };
        if self.entries().is_none() {
            self.kind = NodeKind::Mapping(Vec::new());
        }
        let NodeKind::Mapping(entries) = &mut self.kind else { return };
        let at = entries.iter().position(|(key, _)| key.name == *name).unwrap_or_else(|| {
            let key = Key { name: (*name).to_owned(), location: value.location.clone() };
            entries.push((key, Node::empty_mapping_at(&value)));
            entries.len() - 1
        });
        entries[at].1.set(rest, value);
    }

    /// This mapping, followed by the entries of `base` that it lacks. Mappings in both are merged the same way.
    pub fn over(&self, base: &Node) -> Node {
        let (NodeKind::Mapping(own), NodeKind::Mapping(more)) = (&self.kind, &base.kind) else { return self.clone() };
        let mut below = HashMap::with_capacity(more.len());
        for (key, value) in more {
            below.entry(key.name.as_str()).or_insert(value);
        }
        let both = |(key, value): &(Key, Node)| {
            (key.clone(), below.get(key.name.as_str()).map_or(value.clone(), |base| value.over(base)))
        };
        let mut entries: Vec<_> = own.iter().map(both).collect();
        let names: HashSet<&str> = own.iter().map(|(key, _)| key.name.as_str()).collect();
        entries.extend(more.iter().filter(|(key, _)| !names.contains(key.name.as_str())).cloned());
        Node { kind: NodeKind::Mapping(entries), location: self.location.clone() }
    }

    /// The value of a mapping's key.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|(_, value)| value)
    }

    /// The value of a mapping's key, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        let NodeKind::Mapping(entries) = &mut self.kind else { return None };
        entries.iter_mut().find(|(key, _)| key.name == name).map(|(_, value)| value)
    }

    /// A mapping's key and its value.
    pub fn entry(&self, name: &str) -> Option<(&Key, &Node)> {
        self.entries()?.iter().find(|(key, _)| key.name == name).map(|(key, value)| (key, value))
    }

    /// The string as a snippet whose lines can be found in the file.
    pub fn snippet(&self) -> Option<SnippetSource> {
        let NodeKind::String { value, style } = &self.kind else { return None };
        Some(match &self.location {
            Location::Text { text, span } => {
                SnippetSource::in_document(value.clone(), text.clone(), span.clone(), *style)
            }
            Location::Request { .. } => SnippetSource::in_request(value.clone(), self.origin()),
        })
    }

    /// The value as JSON, as written.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(value) => Value::Bool(*value),
            NodeKind::Integer(value) => Value::from(*value),
            NodeKind::Float(value) => Value::from(*value),
            NodeKind::String { value, .. } => Value::from(value.as_str()),
            NodeKind::Sequence(items) => items.iter().map(Self::to_json).collect(),
            NodeKind::Mapping(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.name.clone(), value.to_json())).collect())
            }
        }
    }

    /// The number of nodes in this one, itself included.
    fn count(&self) -> usize {
        1 + match &self.kind {
            NodeKind::Sequence(items) => items.iter().map(Self::count).sum(),
            NodeKind::Mapping(entries) => entries.iter().map(|(_, value)| value.count()).sum::<usize>(),
            _ => 0,
        }
    }

    /// The bytes of the keys and strings in this node.
    fn text_bytes(&self) -> usize {
        match &self.kind {
            NodeKind::String { value, .. } => value.len(),
            NodeKind::Sequence(items) => items.iter().map(Self::text_bytes).sum(),
            NodeKind::Mapping(entries) => entries.iter().map(|(key, value)| key.name.len() + value.text_bytes()).sum(),
            _ => 0,
        }
    }

    /// The number of levels in this node; a scalar has one.
    fn depth(&self) -> usize {
        1 + match &self.kind {
            NodeKind::Sequence(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            NodeKind::Mapping(entries) => entries.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// The documents of a file.
#[derive(Debug, Default)]
pub struct Documents {
    /// Their trees; none if there is an error that leaves nothing to read.
    pub roots: Vec<Node>,
    /// What is wrong with the file, but for `unset`.
    pub diagnostics: Vec<Diagnostic>,
    /// The variables in keys and values that are not set; `0` stands for each.
    pub unset: Vec<Unset>,
}

/// An environment variable that a key or value refers to and that is not set.
#[derive(Debug)]
pub struct Unset {
    /// Its name.
    pub variable: String,
    /// The key or value that refers to it.
    pub place: Place,
    /// The error, for who needs the value.
    pub error: Diagnostic,
}

/// Parses `file`: JSON if its name or first character says so, YAML otherwise. With `environment`, decK's
/// `${{ env "DECK_X" }}` is replaced first; in a comment, what cannot be replaced does not matter. Without a tree there is at
/// least one error. A tree may come with errors too, so that a later stage can add its own.
pub fn parse(file: &Arc<SourceFile>, environment: Option<Environment<'_>>) -> (Option<Node>, Vec<Diagnostic>) {
    let Documents { mut roots, mut diagnostics, unset } = parse_all(file, environment);
    if !unset.is_empty() {
        diagnostics.extend(unset.into_iter().map(|unset| unset.error));
        diagnostics.sort_by_key(|diagnostic| diagnostic.place().map(|place| place.span.start));
    }
    if let Some(second) = roots.get(1) {
        diagnostics.push(second_document(second));
        return (None, diagnostics);
    }
    (roots.pop(), diagnostics)
}

/// The error that a document should not have `second` after it.
pub fn second_document(second: &Node) -> Diagnostic {
    let error = Diagnostic::error(codes::DOCUMENTS, "a second document in the same file").at(second.origin());
    error.help("put it into a file of its own; several files are read as one configuration")
}

/// Parses `file` like [`parse`], with any number of documents, separated by `---`. Documents without a value are left out,
/// unless there is no other.
pub fn parse_all(file: &Arc<SourceFile>, environment: Option<Environment<'_>>) -> Documents {
    let (text, failed) = match environment {
        Some(environment) => environment::expand(file, environment),
        None => (Arc::new(Text::plain(file.clone())), Vec::new()),
    };
    let roots = if file.name.ends_with(".json") {
        json::parse(&text).map(|node| vec![node]).map_err(|error| vec![*error])
    } else if text.as_str().trim_start().starts_with(['{', '[']) {
        // Kong does the same with a text that has no file name. An invalid text is reported as YAML.
        json::parse(&text).map(|node| vec![node]).or_else(|_| yaml::parse(&text))
    } else {
        yaml::parse(&text)
    };
    let mut documents = Documents::default();
    match roots {
        Ok(roots) => {
            for (failed, span) in values::failed(&roots, failed) {
                match failed.unset {
                    Some(variable) => {
                        documents.unset.push(Unset { variable, place: text.place(span), error: failed.error });
                    }
                    None => documents.diagnostics.push(failed.error),
                }
            }
            let mut reported = HashSet::new();
            roots.iter().for_each(|node| duplicates(node, &mut reported, &mut documents.diagnostics));
            documents.roots = roots;
        }
        Err(errors) => {
            documents.diagnostics.extend(failed.into_iter().map(|failed| failed.error));
            documents.diagnostics.extend(errors);
        }
    }
    documents
}

/// Reports each key that is in its mapping twice. [`Node::get`] finds the first of the two. An alias repeats the text
/// of its anchor, so `reported` holds where the reported keys start.
fn duplicates(node: &Node, reported: &mut HashSet<usize>, diagnostics: &mut Vec<Diagnostic>) {
    match &node.kind {
        NodeKind::Sequence(items) => items.iter().for_each(|item| duplicates(item, reported, diagnostics)),
        NodeKind::Mapping(entries) => {
            let mut seen = HashMap::with_capacity(entries.len());
            for (key, value) in entries {
                duplicates(value, reported, diagnostics);
                let first = *seen.entry(key.name.as_str()).or_insert(key);
                if std::ptr::eq(first, key) || !reported.insert(key.span().start) {
                    continue;
                }
                let message = format!("duplicate key `{}`", key.name);
                let diagnostic = Diagnostic::error(codes::DUPLICATE_KEY, message).at(key.origin()).label("second here");
                diagnostics.push(diagnostic.related(first.origin(), "first here").help("keep one of the two"));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
