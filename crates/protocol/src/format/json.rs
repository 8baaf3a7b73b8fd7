//! Templates in JSON: the keys are literal, sorted by their bytes; a value that is one operator keeps its type.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::compile::Options;
use super::error::{Step, TemplateError};
use super::escape::escape;
use super::text::{Part, absent, parts, values};
use super::view::{Entry, Header, Placeholder};
use crate::json::whole;

/// Levels of a template.
const MAX_DEPTH: usize = 64;

/// A template in JSON, compiled.
#[derive(Debug, Clone)]
pub struct JsonTemplate {
    root: Node,
    omit_empty: bool,
}

#[derive(Debug, Clone)]
enum Node {
    /// A value that no entry changes, encoded.
    Literal(Box<str>),
    Null,
    /// One operator and nothing else: it keeps its type.
    Value(Box<Part>),
    /// Text with operators: a string, whatever its values are.
    Text(Vec<Part>),
    /// Members in the order of their keys, which are encoded.
    Object(Vec<(Box<str>, Node)>),
    Array(Vec<Node>),
}

impl JsonTemplate {
    /// Compiles a template: a JSON value whose strings have operators.
    ///
    /// # Errors
    /// Every mistake up to the first that is no operator, for each string.
    pub fn new(template: &Value, options: &Options) -> Result<Self, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let root = compile(template, options, &mut Vec::new(), &mut errors);
        if errors.is_empty() { Ok(Self { root, omit_empty: options.omit_empty }) } else { Err(errors) }
    }

    /// Appends the line of `entry`: JSON, without a line end.
    pub fn render<E: Entry + ?Sized>(&self, entry: &E, out: &mut Vec<u8>) {
        if !self.write(&self.root, entry, out) {
            out.extend_from_slice(if self.omit_empty { b"{}" } else { b"null" });
        }
    }

    /// The headers that it reads.
    pub fn headers(&self) -> Vec<&Header> {
        let mut found = Vec::new();
        self.root.visit(&mut |parts| found.extend(values(parts).flat_map(|limited| limited.operator.headers())));
        found
    }

    /// The placeholders of Kuma that it has.
    pub fn placeholders(&self) -> Vec<Placeholder> {
        let mut found = Vec::new();
        self.root.visit(&mut |parts| found.extend(values(parts).filter_map(|limited| limited.operator.placeholder())));
        found
    }

    /// Appends a node; false, and nothing is appended, if it has no value.
    fn write<E: Entry + ?Sized>(&self, node: &Node, entry: &E, out: &mut Vec<u8>) -> bool {
        match node {
            Node::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Node::Null => return false,
            Node::Value(part) => {
                let Part::Value(limited) = &**part else { return false };
                return limited.write_json(entry, out);
            }
            Node::Text(parts) => {
                let mark = out.len();
                for part in parts {
                    match part {
                        Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                        Part::Value(limited) if limited.write_text(entry, out) => {}
                        Part::Value(_) => out.extend_from_slice(absent(self.omit_empty)),
                    }
                }
                escape(out, mark, true);
            }
            Node::Object(members) => return self.write_object(members, entry, out),
            Node::Array(items) => {
                out.push(b'[');
                let mark = out.len();
                for item in items {
                    let separator = self.separate(out, mark);
                    if !self.write(item, entry, out) {
                        self.leave_out(out, separator);
                    }
                }
                out.push(b']');
            }
        }
        true
    }

    fn write_object<E: Entry + ?Sized>(&self, members: &[(Box<str>, Node)], entry: &E, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.push(b'{');
        let mark = out.len();
        for (key, node) in members {
            let separator = self.separate(out, mark);
            out.extend_from_slice(key.as_bytes());
            out.push(b':');
            if !self.write(node, entry, out) {
                self.leave_out(out, separator);
            }
        }
        if self.omit_empty && out.len() == mark {
            out.truncate(start);
            return false;
        }
        out.push(b'}');
        true
    }

    /// Appends a comma, unless nothing follows `mark`; returns where.
    fn separate(&self, out: &mut Vec<u8>, mark: usize) -> usize {
        let at = out.len();
        if at > mark {
            out.push(b',');
        }
        at
    }

    /// A value that is not there: `null`, or nothing of its member either.
    fn leave_out(&self, out: &mut Vec<u8>, member: usize) {
        if self.omit_empty {
            out.truncate(member);
        } else {
            out.extend_from_slice(b"null");
        }
    }
}

impl Node {
    fn visit<'n>(&'n self, see: &mut impl FnMut(&'n [Part])) {
        match self {
            Self::Literal(_) | Self::Null => {}
            Self::Value(part) => see(std::slice::from_ref(&**part)),
            Self::Text(parts) => see(parts),
            Self::Object(members) => members.iter().for_each(|(_, node)| node.visit(see)),
            Self::Array(items) => items.iter().for_each(|node| node.visit(see)),
        }
    }
}

fn compile(value: &Value, options: &Options, path: &mut Vec<Step>, errors: &mut Vec<TemplateError>) -> Node {
    if path.len() > MAX_DEPTH {
        errors.push(TemplateError { path: path.clone(), ..TemplateError::new(0..0, "the template nests too deep") });
        return Node::Null;
    }
    match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Literal(value.to_string().into()),
        Value::Number(number) => Node::Literal(literal(number).into()),
        Value::String(text) => match parts(text, options) {
            Ok(parts) => string(parts),
            Err(found) => {
                errors.extend(found.into_iter().map(|error| TemplateError { path: path.clone(), ..error }));
                Node::Null
            }
        },
        Value::Array(items) => {
            let mut nodes = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                path.push(Step::Index(index));
                nodes.push(compile(item, options, path, errors));
                path.pop();
            }
            Node::Array(nodes)
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_bytes());
            let mut nodes = Vec::with_capacity(sorted.len());
            for (key, value) in sorted {
                path.push(Step::Key(key.clone()));
                nodes.push((quoted(key).into(), compile(value, options, path, errors)));
                path.pop();
            }
            Node::Object(nodes)
        }
    }
}

fn string(mut parts: Vec<Part>) -> Node {
    match &parts[..] {
        [] => Node::Literal("\"\"".into()),
        [Part::Text(text)] => Node::Literal(quoted(text).into()),
        [Part::Value(_)] => match parts.pop() {
            Some(part) => Node::Value(Box::new(part)),
            None => Node::Null,
        },
        _ => Node::Text(parts),
    }
}

fn quoted(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    escape(&mut out, 0, true);
    String::from_utf8_lossy(&out).into_owned()
}

/// A number as Envoy prints it: all are floating-point numbers there; a whole one has no fraction, and an exponent its sign.
fn literal(number: &Number) -> String {
    let Some(float) = number.as_f64() else { return number.to_string() };
    let text: Cow<'_, str> = match whole(float) {
        Some(whole) => whole.to_string().into(),
        None => Number::from_f64(float).map_or("null".into(), |number| number.to_string().into()),
    };
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with(['-', '+']) => format!("{digits}e+{exponent}"),
        _ => text.into_owned(),
    }
}
