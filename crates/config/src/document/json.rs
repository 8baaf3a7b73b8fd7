//! JSON text as a tree.

use std::ops::Range;
use std::sync::Arc;

use super::{Key, MAX_DEPTH, Node, NodeKind, StringStyle, Text, scalar};
use crate::diagnostic::{Diagnostic, codes};

/// Parses the whole of `text` as one JSON value.
pub(super) fn parse(text: &Arc<Text>) -> Result<Node, Box<Diagnostic>> {
    let source = text.as_str();
    let start = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut parser = Parser { text, source, at: start };
    let node = parser.value(1)?;
    parser.blanks();
    if parser.at < source.len() {
        return Err(parser.syntax(parser.at..parser.at + 1, "text after the end of the document"));
    }
    Ok(node)
}

struct Parser<'a> {
    text: &'a Arc<Text>,
    source: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn syntax(&self, span: Range<usize>, message: &str) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(codes::SYNTAX, message).at(self.text.place(span)).label("here"))
    }

    fn expected<T>(&self, what: &str) -> Result<T, Box<Diagnostic>> {
        let found = match self.source[self.at..].chars().next() {
            Some(c) => format!("expected {what}, found `{}`", if c.is_control() { ' ' } else { c }),
            None => format!("expected {what}, found the end of the text"),
        };
        Err(self.syntax(self.at..self.at + 1, &found))
    }

    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Skips blanks and takes `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Node, Box<Diagnostic>> {
        self.blanks();
        let start = self.at;
        if depth > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            let place = self.text.place(start..start + 1);
            return Err(Box::new(Diagnostic::error(codes::TOO_LARGE, message).at(place)));
        }
        let kind = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => NodeKind::String { value: self.string()?, style: StringStyle::Double },
            _ => self.word()?,
        };
        Ok(Node::in_text(kind, self.text, start..self.at))
    }

    fn object(&mut self, depth: usize) -> Result<NodeKind, Box<Diagnostic>> {
        self.at += 1;
        let mut entries = Vec::new();
        if self.take(b'}') {
            return Ok(NodeKind::Mapping(entries));
        }
        loop {
            self.blanks();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return self.expected("a key in double quotes");
            }
            let name = self.string()?;
            let key = Key::in_text(name, self.text, start..self.at);
            if !self.take(b':') {
                return self.expected("`:`");
            }
            entries.push((key, self.value(depth + 1)?));
            if self.take(b'}') {
                return Ok(NodeKind::Mapping(entries));
            }
            if !self.take(b',') {
                return self.expected("`,` or `}`");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<NodeKind, Box<Diagnostic>> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(NodeKind::Sequence(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(NodeKind::Sequence(items));
            }
            if !self.take(b',') {
                return self.expected("`,` or `]`");
            }
        }
    }

    fn string(&mut self) -> Result<String, Box<Diagnostic>> {
        let start = self.at;
        let bytes = self.source.as_bytes();
        let mut end = start + 1;
        loop {
            match bytes.get(end) {
                None => return Err(self.syntax(start..start + 1, "unterminated string")),
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        serde_json::from_str(&self.source[start..self.at]).map_err(|error| {
            let column = start + error.column().saturating_sub(1);
            self.syntax(column..column + 1, "invalid escape or control character in a string")
        })
    }

    /// `true`, `false`, `null` or a number.
    fn word(&mut self) -> Result<NodeKind, Box<Diagnostic>> {
        let rest = &self.source[self.at..];
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
        let word = &rest[..length];
        let kind = match word {
            "null" => Some(NodeKind::Null),
            "true" => Some(NodeKind::Bool(true)),
            "false" => Some(NodeKind::Bool(false)),
            _ if serde_json::from_str::<serde_json::Number>(word).is_ok() => scalar::number(word),
            _ => None,
        };
        let Some(kind) = kind else { return self.expected("a value") };
        self.at += length;
        Ok(kind)
    }
}
