//! Bodies as part of a message (`include_body`).
//!
//! A body is included if the proxy sent it in `_context`, even an empty one; an L4 session has none. Its members are
//! at the end of the message: `body`, `body_args`, `body_base64` for the request, and the same with `response_` for
//! the response. Edits take precedence: members that an edit sets or removes are as the edit leaves them, and members
//! of the log object itself stay.
//!
//! The rule is that of Kong's kafka-upstream page and of the open-source aws-lambda plugin. The first `Content-Type`
//! header decides. Forms, multipart forms and JSON, recognized by the prefix of the header in any case, are parsed into
//! `body_args`. With another type, or none, `body_args` is `{}`, and unless the header is exactly one of [`PLAIN`] the
//! body is base64, marked by `body_base64: true`. A message whose body does not parse is dropped; with
//! `on_body_error: keep` it is sent with the raw body and `body_error` instead of `body_args`.
//!
//! Differences from Kong, and details:
//! * A raw body that is not UTF-8 is base64 with `body_base64: true`, whatever its type. Kong writes the bytes, which is
//!   not JSON. In `body_args`, a multipart field that is not UTF-8 is base64, and bytes of a decoded form that are not
//!   UTF-8 are U+FFFD.
//! * A multipart form without a boundary or an end does not parse. Kong, and `kong_quirks`, keep the fields that are
//!   found.
//! * JSON text stays as it is: numbers are not rounded (except with `kong_quirks`) and members keep their order. It
//!   must be UTF-8 with at most 127 levels of nesting; as in Kong a scalar is not a JSON body.
//! * A body larger than `max_body_size` only has `body_size`, in bytes. One of a type that is not in `body_types` is
//!   left out. One that `_context` wrongly marks as base64 has `body_error`, whatever `on_body_error` is, because the
//!   client did not cause it.

mod arguments;
mod json;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::tree::{Node, Slice};
use super::{Message, ShapeError, Style};
use crate::message::{Include, MediaRange};
use crate::transaction::body::{Format, multipart};
use crate::transaction::{Level, Transaction, Value};
use arguments::{Arguments, string};

/// Content types whose bodies are plain text, compared with the whole header.
const PLAIN: [&str; 5] = ["text/plain", "text/html", "application/xml", "text/xml", "application/soap+xml"];

/// The bodies that become part of a plugin's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyOptions {
    /// The included bodies.
    pub include: Include,
    /// The maximum size in bytes; of larger bodies only the size is included.
    pub max_size: Option<u64>,
    /// Content types, like `application/json` or `text/*`; `None` for all.
    pub types: Option<Vec<String>>,
    /// Keeps a message whose body does not parse as its content type, with `body_error`.
    pub keep_broken: bool,
    /// The maximum number of form arguments (Kong's `lua_max_post_args`).
    pub max_args: usize,
}

impl BodyOptions {
    /// Bodies of any size and type. A message whose body does not parse is dropped.
    pub fn new(include: Include, max_args: usize) -> Self {
        Self { include, max_size: None, types: None, keep_broken: false, max_args }
    }
}

/// The compiled [`BodyOptions`].
#[derive(Debug, Default)]
pub(super) struct BodyRule {
    sides: Vec<&'static Side>,
    max_size: Option<u64>,
    types: Option<Vec<MediaRange>>,
    keep_broken: bool,
    max_args: usize,
}

/// A body that does not parse as its content type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BodyError {
    /// The reason.
    pub reason: String,
}

/// The names of the request's or the response's body and its members.
#[derive(Debug)]
struct Side {
    context: &'static str,
    headers: Level,
    body: &'static str,
    args: &'static str,
    base64: &'static str,
    error: &'static str,
    size: &'static str,
}

static REQUEST: Side = Side {
    context: "request_body",
    headers: Level::RequestHeaders,
    body: "body",
    args: "body_args",
    base64: "body_base64",
    error: "body_error",
    size: "body_size",
};

static RESPONSE: Side = Side {
    context: "response_body",
    headers: Level::ResponseHeaders,
    body: "response_body",
    args: "response_body_args",
    base64: "response_body_base64",
    error: "response_body_error",
    size: "response_body_size",
};

/// A parsed body.
enum Content {
    /// Its arguments.
    Args(Node),
    /// A type that is not parsed. `plain` tells whether it is one of [`PLAIN`].
    Opaque { plain: bool },
    /// It does not parse, and why.
    Broken(String),
}

/// Members to add, by name.
type Members = Vec<(&'static str, Node)>;

impl BodyRule {
    pub(super) fn of(options: &BodyOptions) -> Result<Self, ShapeError> {
        let BodyOptions { include, max_size, types, keep_broken, max_args } = options;
        let range = |(at, text): (usize, &String)| {
            MediaRange::parse(text).map_err(|reason| ShapeError { field: format!("body_types[{at}]"), reason })
        };
        let types = types.as_ref().map(|types| types.iter().enumerate().map(range).collect()).transpose()?;
        let sides = [(include.request, &REQUEST), (include.response, &RESPONSE)];
        let sides = sides.into_iter().filter(|(included, _)| *included).map(|(_, side)| side).collect();
        Ok(Self { sides, max_size: *max_size, types, keep_broken: *keep_broken, max_args: *max_args })
    }

    /// Whether the message may get a member. `false` is certain.
    pub(super) fn applies(&self, message: &Message) -> bool {
        !self.sides.is_empty() && message.transaction().may_have_body()
    }

    pub(super) fn apply(&self, message: &mut Message) -> Result<(), BodyError> {
        for side in &self.sides {
            for (name, value) in self.members(message.transaction(), side, message.style())? {
                message.add_deferred(name, value);
            }
        }
        Ok(())
    }

    fn members(&self, transaction: &Transaction, side: &Side, style: Style) -> Result<Members, BodyError> {
        let session = transaction.get("session").is_some() && transaction.get("request").is_none();
        let Some(body) = transaction.body(side.context).filter(|_| !session) else { return Ok(Vec::new()) };
        let content_type = content_type(transaction, side.headers);
        if self.types.as_ref().is_some_and(|types| !types.iter().any(|range| range.has(content_type.as_deref()))) {
            return Ok(Vec::new());
        }
        let Ok(body) = body else {
            return Ok(vec![(side.error, text(format!("{} is not base64", side.context).as_bytes()))]);
        };
        if self.max_size.is_some_and(|limit| body.len() as u64 > limit) {
            let size = body.len().to_string().into_bytes();
            return Ok(vec![(side.size, Node::Raw(Slice::Owned(size.into())))]);
        }
        match self.content(&body, content_type.as_deref(), style) {
            Content::Args(args) => Ok(with_args(side, &body, args, false)),
            Content::Opaque { plain } => Ok(with_args(side, &body, Node::Object(Vec::new()), !plain)),
            Content::Broken(reason) if self.keep_broken => Ok(with_error(side, &body, &reason)),
            Content::Broken(reason) => Err(BodyError { reason: format!("{}: {reason}", side.context) }),
        }
    }

    fn content(&self, body: &[u8], content_type: Option<&str>, style: Style) -> Content {
        let Some((content_type, format)) = content_type.and_then(|header| Some((header, Format::of(header)?))) else {
            return Content::Opaque { plain: content_type.is_some_and(|header| PLAIN.contains(&header)) };
        };
        match format {
            Format::Form => Content::Args(Arguments::of_form(body, self.max_args).into_node()),
            Format::Json => match json::table(body) {
                Ok(text) => Content::Args(Node::Marked(text.into())),
                Err(problem) => Content::Broken(format!("invalid json body: {problem}")),
            },
            Format::Multipart => {
                let multipart::Parts { fields, problem } = multipart::parts(body, content_type, || true);
                match problem.filter(|_| style != Style::KONG) {
                    Some(problem) => Content::Broken(format!("unable to decode multipart body: {problem}")),
                    None => {
                        let fields = fields.iter().map(|(name, content)| (name.as_str(), &content[..]));
                        Content::Args(Arguments::of_parts(fields).into_node())
                    }
                }
            }
        }
    }
}

/// The first value of the header.
fn content_type(transaction: &Transaction, headers: Level) -> Option<Cow<'_, str>> {
    let header = transaction.header(headers, b"content-type")?;
    match header.value() {
        Value::Array(values) => values.first()?.text(),
        Value::Null => None,
        _ => header.text(),
    }
}

fn with_args(side: &Side, body: &[u8], args: Node, encoded: bool) -> Members {
    let (body, encoded) = raw(body, encoded);
    let mut members = vec![(side.body, body), (side.args, args)];
    members.extend(encoded.then(|| (side.base64, yes())));
    members
}

fn with_error(side: &Side, body: &[u8], reason: &str) -> Members {
    let (body, encoded) = raw(body, false);
    let mut members = vec![(side.body, body)];
    members.extend(encoded.then(|| (side.base64, yes())));
    members.push((side.error, text(reason.as_bytes())));
    members
}

/// The body as a string, in base64 if that is asked for or needed; with whether it is.
fn raw(body: &[u8], encoded: bool) -> (Node, bool) {
    match encoded || std::str::from_utf8(body).is_err() {
        true => (text(STANDARD.encode(body).as_bytes()), true),
        false => (text(body), false),
    }
}

fn text(content: &[u8]) -> Node {
    Node::Raw(Slice::Owned(string(content).into()))
}

fn yes() -> Node {
    Node::Raw(Slice::Owned((*b"true").into()))
}

#[cfg(test)]
mod tests;
