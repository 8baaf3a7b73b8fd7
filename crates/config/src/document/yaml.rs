//! YAML text as a tree, built from the parser's events.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{Key, Location, MAX_ALIAS_BYTES, MAX_DEPTH, MAX_NODES, Node, NodeKind, StringStyle, Text, scalar, snippet};
use crate::diagnostic::{Diagnostic, codes};

/// Parses the whole of `text` as YAML documents. Those without a value are left out; if there is no other, one null is left.
pub(super) fn parse(text: &Arc<Text>) -> Result<Vec<Node>, Vec<Diagnostic>> {
    let offsets = Offsets::new(text.as_str());
    let mut builder = Builder {
        text,
        offsets,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        alias_bytes: 0,
        roots: Vec::new(),
    };
    // On an iterator of characters the parser counts characters; on a string it partly counts bytes.
    let mut parser = Parser::new_from_iter(text.as_str().chars());
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => builder.event(event, &span),
            Err(error) => Err(builder.syntax(error.info(), error.marker().index())),
        };
        step.map_err(|error| vec![*error])?;
    }
    let end = text.as_str().len();
    if builder.roots.iter().any(|root| !root.is_null()) {
        builder.roots.retain(|root| !root.is_null());
    }
    Ok(if builder.roots.is_empty() { vec![Node::in_text(NodeKind::Null, text, end..end)] } else { builder.roots })
}

/// Maps the parser's character indices to bytes.
struct Offsets {
    length: usize,
    /// Empty if every character is one byte.
    bytes: Vec<usize>,
}

impl Offsets {
    fn new(text: &str) -> Self {
        let bytes = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Self { length: text.len(), bytes }
    }

    fn byte(&self, index: usize) -> usize {
        if self.bytes.is_empty() {
            index.min(self.length)
        } else {
            self.bytes.get(index).copied().unwrap_or(self.length)
        }
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }
}

/// A collection whose end has not been seen.
struct OpenCollection {
    start: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(Key, Node)>, key: Option<Key>, merges: Vec<(usize, Node)> },
}

struct Builder<'a> {
    text: &'a Arc<Text>,
    offsets: Offsets,
    open: Vec<OpenCollection>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    alias_bytes: usize,
    roots: Vec<Node>,
}

impl Builder<'_> {
    fn syntax(&self, info: &str, index: usize) -> Box<Diagnostic> {
        let at = self.offsets.byte(index);
        let not_yaml = |at: usize| {
            let span = at..at + self.text.as_str()[at..].chars().next().map_or(0, char::len_utf8);
            Diagnostic::error(codes::SYNTAX, format!("not YAML: {info}")).at(self.text.place(span))
        };
        if info.contains("tab") {
            let diagnostic = not_yaml(self.tab_after(at).unwrap_or(at)).label("a tab");
            return Box::new(diagnostic.help("indent with spaces; YAML allows no tabs there"));
        }
        let help = "the cause is often a line above: an indentation, a missing quote, a colon in a bare string";
        Box::new(not_yaml(at).label("cannot parse from here").help(help))
    }

    /// The first tab on the line of `at` or on the next: the parser reports the node that the tab indents.
    fn tab_after(&self, at: usize) -> Option<usize> {
        let text = self.text.as_str();
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let lines: usize = text[start..].split_inclusive('\n').take(2).map(str::len).sum();
        text[start..start + lines].find('\t').map(|tab| start + tab)
    }

    fn error(&self, code: &'static str, message: impl Into<String>, span: Range<usize>) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(code, message).at(self.text.place(span)))
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Box<Diagnostic>> {
        let range = self.offsets.range(span);
        match event {
            Event::Scalar(value, style, anchor, tag) => self.scalar(&value, style, anchor, tag.as_deref(), range)?,
            Event::SequenceStart(anchor, tag) => {
                self.start(anchor, tag.as_deref(), "seq", range, Content::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Mapping { entries: Vec::new(), key: None, merges: Vec::new() };
                self.start(anchor, tag.as_deref(), "map", range, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(range)?,
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(self.error(codes::BAD_NODE, "an alias inside its own anchor", range));
                };
                self.alias_bytes += node.text_bytes();
                if self.alias_bytes > MAX_ALIAS_BYTES {
                    let message = format!("aliases expand to more than {} MiB", MAX_ALIAS_BYTES >> 20);
                    return Err(self.error(codes::TOO_LARGE, message, range));
                }
                let node = node.clone();
                if self.open.len() + node.depth() > MAX_DEPTH {
                    return Err(self.error(codes::TOO_LARGE, format!("nested deeper than {MAX_DEPTH} levels"), range));
                }
                self.nodes += node.count() - 1;
                self.add(node, range)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn start(
        &mut self,
        anchor: usize,
        tag: Option<&Tag>,
        name: &str,
        range: Range<usize>,
        content: Content,
    ) -> Result<(), Box<Diagnostic>> {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == name)
        {
            return Err(self.error(codes::BAD_NODE, format!("unknown tag `{tag}`"), range));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.error(codes::TOO_LARGE, format!("nested deeper than {MAX_DEPTH} levels"), range));
        }
        if matches!(self.open.last(), Some(OpenCollection { content: Content::Mapping { key: None, .. }, .. })) {
            return Err(self.error(codes::BAD_NODE, "a list or a mapping as a key", range));
        }
        self.open.push(OpenCollection { start: range.start, anchor, content });
        Ok(())
    }

    fn end(&mut self, range: Range<usize>) -> Result<(), Box<Diagnostic>> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let kind = match open.content {
            Content::Sequence(items) => NodeKind::Sequence(items),
            Content::Mapping { entries, merges, .. } => NodeKind::Mapping(merged(entries, merges)),
        };
        // The parser ends a block collection where the next node begins; its own text ends before the white space.
        let written = &self.text.as_str()[open.start..range.end.max(open.start)];
        let span = open.start..open.start + written.trim_end().len();
        let node = Node::in_text(kind, self.text, span.clone());
        if open.anchor > 0 {
            self.anchors.insert(open.anchor, node.clone());
            self.nodes += node.count();
        }
        self.add(node, span)
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        range: Range<usize>,
    ) -> Result<(), Box<Diagnostic>> {
        let style = match style {
            ScalarStyle::Plain => StringStyle::Plain,
            ScalarStyle::SingleQuoted => StringStyle::Single,
            ScalarStyle::DoubleQuoted => StringStyle::Double,
            ScalarStyle::Literal | ScalarStyle::Folded => StringStyle::Block,
        };
        // The parser's span includes what follows a quoted scalar on its line, and the line breaks after a block.
        let raw = &self.text.as_str()[range.clone()];
        let length = match style {
            StringStyle::Single | StringStyle::Double => snippet::quoted_length(raw, style),
            StringStyle::Plain | StringStyle::Block => raw.trim_end().len(),
        };
        let mut range = range.start..range.start + length;
        if value.is_empty()
            && style == StringStyle::Block
            && let Some(OpenCollection { content: Content::Mapping { key: Some(key), .. }, .. }) = self.open.last()
        {
            // The span of an empty block is that of the next node.
            if let Location::Text { span, .. } = &key.location {
                range = span.clone();
            }
        }
        let string = || NodeKind::String { value: value.to_owned(), style };
        let kind = match tag {
            None if style == StringStyle::Plain => scalar::resolve(value),
            None => string(),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => string(),
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => string(),
            Some(tag)
                if tag.is_yaml_core_schema() && ["int", "float", "bool", "null"].contains(&tag.suffix.as_str()) =>
            {
                scalar::resolve(value)
            }
            Some(tag) => return Err(self.error(codes::BAD_NODE, format!("unknown tag `{tag}`"), range)),
        };
        if let Some(OpenCollection { content: Content::Mapping { key: key @ None, .. }, .. }) = self.open.last_mut() {
            *key = Some(Key::in_text(value.to_owned(), self.text, range));
            return Ok(());
        }
        let node = Node::in_text(kind, self.text, range.clone());
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.add(node, range)
    }

    /// Adds a finished node to the innermost open collection.
    fn add(&mut self, node: Node, range: Range<usize>) -> Result<(), Box<Diagnostic>> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.error(codes::TOO_LARGE, format!("aliases expand to more than {MAX_NODES} values"), range));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.roots.push(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping { entries, key, merges }) => match key.take() {
                None => match node.as_str() {
                    Some(name) => *key = Some(Key::in_text(name.to_owned(), self.text, range)),
                    None => return Err(self.error(codes::BAD_NODE, "a key that is not a string", range)),
                },
                Some(key) if key.name == "<<" && key_is_plain(&key) => {
                    let mappings = match &node.kind {
                        NodeKind::Mapping(_) => vec![node],
                        NodeKind::Sequence(items) => items.clone(),
                        _ => vec![node],
                    };
                    if mappings.iter().any(|node| node.entries().is_none()) {
                        return Err(self.error(codes::BAD_NODE, "`<<` merges mappings only", range));
                    }
                    merges.extend(mappings.into_iter().map(|node| (entries.len(), node)));
                }
                Some(key) => entries.push((key, node)),
            },
        }
        Ok(())
    }
}

/// A quoted `<<` is an ordinary key.
fn key_is_plain(key: &Key) -> bool {
    matches!(&key.location, Location::Text { text, span } if text.as_str().get(span.clone()) == Some("<<"))
}

/// `entries` with the keys of the merged mappings that they lack, in the place of the merge. An own entry wins over a
/// merged one, and the first mapping of a merge over later ones.
fn merged(entries: Vec<(Key, Node)>, merges: Vec<(usize, Node)>) -> Vec<(Key, Node)> {
    if merges.is_empty() {
        return entries;
    }
    let mut taken: std::collections::HashSet<String> = entries.iter().map(|(key, _)| key.name.clone()).collect();
    let mut extra: Vec<(usize, (Key, Node))> = Vec::new();
    for (at, mapping) in merges {
        let NodeKind::Mapping(members) = mapping.kind else { continue };
        extra.extend(members.into_iter().filter(|(key, _)| taken.insert(key.name.clone())).map(|entry| (at, entry)));
    }
    let mut result = Vec::with_capacity(entries.len() + extra.len());
    let mut extra = extra.into_iter().peekable();
    for (at, entry) in entries.into_iter().enumerate() {
        while let Some((_, merged)) = extra.next_if(|(before, _)| *before <= at) {
            result.push(merged);
        }
        result.push(entry);
    }
    result.extend(extra.map(|(_, entry)| entry));
    result
}
