//! JSON as Go's `encoding/json` writes a value that it has read: members sorted, numbers as doubles, `<`, `>` and `&` escaped.

use std::collections::BTreeMap;

/// A value that was read.
enum Node<'a> {
    Object(BTreeMap<String, Node<'a>>),
    Array(Vec<Node<'a>>),
    Text(String),
    Number(f64),
    /// `true`, `false` or `null`.
    Literal(&'a str),
}

/// What Go writes for the JSON value `text`. None if Go refuses it, for a number that no double can be or half of a surrogate pair.
///
/// `text` is valid JSON, and not deeper than serde_json reads.
pub(super) fn rewritten(text: &str) -> Option<Vec<u8>> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value()?;
    let mut out = Vec::with_capacity(text.len());
    write(&node, &mut out);
    Some(out)
}

/// Reads valid JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.text.as_bytes().get(self.at).copied()
    }

    fn value(&mut self) -> Option<Node<'a>> {
        match self.peek()? {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => self.string().map(Node::Text),
            first => {
                let rest = &self.text[self.at..];
                let end = rest.find(|c: char| c.is_ascii_whitespace() || ",]}".contains(c)).unwrap_or(rest.len());
                self.at += end;
                match first {
                    b't' | b'f' | b'n' => Some(Node::Literal(&rest[..end])),
                    _ => rest[..end].parse().ok().filter(|number: &f64| number.is_finite()).map(Node::Number),
                }
            }
        }
    }

    fn object(&mut self) -> Option<Node<'a>> {
        let mut members = BTreeMap::new();
        self.at += 1;
        loop {
            match self.peek()? {
                b'}' => break,
                b'"' => {
                    let name = self.string()?;
                    (self.peek()? == b':').then(|| self.at += 1)?;
                    let value = self.value()?;
                    members.insert(name, value);
                }
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(Node::Object(members))
    }

    fn array(&mut self) -> Option<Node<'a>> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            match self.peek()? {
                b']' => break,
                b',' => self.at += 1,
                _ => items.push(self.value()?),
            }
        }
        self.at += 1;
        Some(Node::Array(items))
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        let mut end = start + 1;
        loop {
            match self.text.as_bytes().get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.at = end + 1;
        serde_json::from_str(self.text.get(start..=end)?).ok()
    }
}

fn write(node: &Node<'_>, out: &mut Vec<u8>) {
    match node {
        Node::Object(members) => {
            out.push(b'{');
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_text(name, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
        Node::Array(items) => {
            out.push(b'[');
            for (at, value) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(value, out);
            }
            out.push(b']');
        }
        Node::Text(text) => write_text(text, out),
        Node::Number(number) => out.extend_from_slice(number_text(*number).as_bytes()),
        Node::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
    }
}

/// The shortest digits that are read as the same double; with an exponent if it is very small or large.
fn number_text(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut buffer = [0; 4];
    for c in text.chars() {
        let escaped: &[u8] = match c {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            // As Go 1.22 and later.
            '\u{8}' => b"\\b",
            '\u{c}' => b"\\f",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
                continue;
            }
            _ => c.encode_utf8(&mut buffer).as_bytes(),
        };
        out.extend_from_slice(escaped);
    }
    out.push(b'"');
}
