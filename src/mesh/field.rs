//! Fields of resources, with the paths that Kuma names in its errors.

use std::collections::BTreeMap;

use logphase_config::diagnostic::{Diagnostic, Origin, codes};
use logphase_config::document::{Key, Node};

/// What is wrong with the resources so far.
#[derive(Default)]
pub(super) struct Reader {
    diagnostics: Vec<Diagnostic>,
}

impl Reader {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics
    }
}

/// A field of a resource, which may be absent.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    path: String,
    /// The value; none if it is absent or null.
    node: Option<&'a Node>,
    /// Where it stands, or what it is missing from.
    origin: Origin,
}

impl<'a> Field<'a> {
    /// The whole of a document.
    pub(super) fn root(node: &'a Node) -> Self {
        Self { path: String::new(), node: Some(node), origin: node.origin() }
    }

    /// The member `name` of a mapping.
    pub(super) fn get(&self, name: &str) -> Self {
        let entry = self.node.and_then(|node| node.entry(name));
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        self.member(path, entry)
    }

    /// The same field under another path: Kuma does not always name the fields that people write.
    pub(super) fn named(mut self, path: String) -> Self {
        self.path = path;
        self
    }

    fn member(&self, path: String, entry: Option<(&'a Key, &'a Node)>) -> Self {
        let origin = match entry {
            // The whole of a mapping or a list is no good place for a caret.
            Some((key, node)) if node.as_str().is_none_or(str::is_empty) => key.origin(),
            Some((_, node)) => node.origin(),
            None => self.origin.clone(),
        };
        Self { path, node: entry.map(|(_, node)| node).filter(|node| !node.is_null()), origin }
    }

    /// Its path, as Kuma writes it.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where it stands, or what it is missing from.
    pub(super) fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// The value, if there is one.
    pub(super) fn node(&self) -> Option<&'a Node> {
        self.node
    }

    /// Whether there is a value.
    pub(super) fn is_set(&self) -> bool {
        self.node.is_some()
    }

    /// Adds the violation `message`, in Kuma's words.
    pub(super) fn violation(&self, reader: &mut Reader, message: impl AsRef<str>) {
        self.error(reader, codes::VALUE, message.as_ref());
    }

    fn error(&self, reader: &mut Reader, code: &'static str, message: &str) {
        let separator = if self.path.is_empty() { "" } else { ": " };
        let diagnostic = Diagnostic::error(code, format!("{}{separator}{message}", self.path));
        reader.push(diagnostic.at(self.origin.clone()));
    }

    fn wrong_type(&self, reader: &mut Reader, expected: &str) {
        let found = self.node.map_or("nothing", Node::type_name);
        self.error(reader, codes::TYPE, &format!("expected {expected}, found {found}"));
    }

    /// A string; none if there is no value, or another, which is a violation.
    pub(super) fn text(&self, reader: &mut Reader) -> Option<&'a str> {
        let text = self.node?.as_str();
        if text.is_none() {
            self.wrong_type(reader, "a string");
        }
        text
    }

    /// A boolean, false if there is none.
    pub(super) fn flag(&self, reader: &mut Reader) -> bool {
        let Some(node) = self.node else { return false };
        let value = node.as_bool();
        if value.is_none() {
            self.wrong_type(reader, "a boolean");
        }
        value.unwrap_or_default()
    }

    /// The elements of a list; none if there is no list.
    pub(super) fn items(&self, reader: &mut Reader) -> Option<Vec<Field<'a>>> {
        let Some(items) = self.node?.items() else {
            self.wrong_type(reader, "a list");
            return None;
        };
        let item = |(at, node): (usize, &'a Node)| {
            let path = format!("{}[{at}]", self.path);
            let origin = first_key(node).map_or_else(|| node.origin(), Key::origin);
            Self { path, node: Some(node).filter(|node| !node.is_null()), origin }
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The members of a mapping of strings, by name; null is the empty string, as in Kuma.
    pub(super) fn texts(&self, reader: &mut Reader) -> BTreeMap<String, String> {
        self.keyed(reader)
            .into_iter()
            .map(|(name, field)| (name.to_owned(), field.text(reader).unwrap_or_default().to_owned()))
            .collect()
    }

    /// The members of a mapping whose names are data, in the order of their names. Kuma writes such a path `tags["name"]`.
    pub(super) fn keyed(&self, reader: &mut Reader) -> Vec<(&'a str, Field<'a>)> {
        let Some(node) = self.node else { return Vec::new() };
        let Some(entries) = node.entries() else {
            self.wrong_type(reader, "a mapping");
            return Vec::new();
        };
        let member = |(key, node): &'a (Key, Node)| {
            let name = key.name.as_str();
            (name, self.member(format!("{}[\"{name}\"]", self.path), Some((key, node))))
        };
        let mut members: Vec<_> = entries.iter().map(member).collect();
        members.sort_by_key(|(name, _)| *name);
        members
    }

    /// Reports members other than `known`, and a value that is no mapping. Returns whether it is one.
    pub(super) fn only(&self, reader: &mut Reader, known: &[&str]) -> bool {
        let Some(node) = self.node else { return false };
        let Some(entries) = node.entries() else {
            self.wrong_type(reader, "a mapping");
            return false;
        };
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
            let path = self.get(&key.name).path;
            let diagnostic = Diagnostic::error(codes::UNKNOWN_FIELD, format!("unknown field `{path}`"));
            reader.push(diagnostic.at(key.origin()).label("unknown field").suggest(&key.name, known.iter().copied()));
        }
        true
    }
}

fn first_key(node: &Node) -> Option<&Key> {
    node.entries()?.first().map(|(key, _)| key)
}
