//! Templates that are text.

use std::borrow::Cow;

use super::compile::{Options, operator};
use super::error::TemplateError;
use super::grammar::{Piece, pieces};
use super::operator::{Limited, Operator};
use super::view::{Entry, Header, Placeholder};

/// A template that is text, compiled.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
    omit_empty: bool,
    escape: bool,
}

/// A part of a text.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Text(Box<str>),
    Value(Limited),
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// Every mistake up to the first that is no operator.
    pub fn new(template: &str, options: &Options) -> Result<Self, Vec<TemplateError>> {
        let parts = parts(template, options)?;
        Ok(Self { parts, omit_empty: options.omit_empty, escape: options.escape })
    }

    /// Appends the line of `entry`, without a line end of its own.
    pub fn render<E: Entry + ?Sized>(&self, entry: &E, out: &mut Vec<u8>) {
        self.render_escaping(entry, self.escape, out);
    }

    /// The same; `escape` says, in the place of its options, whether values are escaped as in a JSON string.
    pub fn render_escaping<E: Entry + ?Sized>(&self, entry: &E, escape: bool, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Value(limited) => {
                    let mark = out.len();
                    if !limited.write_text(entry, out) {
                        out.extend_from_slice(absent(self.omit_empty));
                    } else if escape {
                        super::escape::escape(out, mark, false);
                    }
                }
            }
        }
    }

    /// The headers that it reads.
    pub fn headers(&self) -> Vec<&Header> {
        values(&self.parts).flat_map(|limited| limited.operator.headers()).collect()
    }

    /// The placeholders of Kuma that it has.
    pub fn placeholders(&self) -> Vec<Placeholder> {
        values(&self.parts).filter_map(|limited| limited.operator.placeholder()).collect()
    }
}

/// The parts of a text.
pub(super) fn parts(template: &str, options: &Options) -> Result<Vec<Part>, Vec<TemplateError>> {
    let (mut parts, mut errors) = (Vec::new(), Vec::new());
    let mut text = Cow::Borrowed("");
    for piece in pieces(template) {
        match piece {
            Ok(Piece::Text(more)) => text += more,
            Ok(Piece::Call(call)) => {
                push_text(&mut parts, std::mem::take(&mut text));
                match operator(&call, options) {
                    Ok(limited) => parts.push(Part::Value(limited)),
                    Err(error) => errors.push(error),
                }
            }
            Err(error) => errors.push(error),
        }
    }
    push_text(&mut parts, text);
    if errors.is_empty() { Ok(parts) } else { Err(errors) }
}

fn push_text(parts: &mut Vec<Part>, text: Cow<'_, str>) {
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
}

/// The operators among parts.
pub(super) fn values(parts: &[Part]) -> impl Iterator<Item = &Limited> {
    parts.iter().filter_map(|part| match part {
        Part::Value(limited) => Some(limited),
        Part::Text(_) => None,
    })
}

/// What stands for a value that is not there.
pub(super) fn absent(omit_empty: bool) -> &'static [u8] {
    if omit_empty { b"" } else { b"-" }
}

impl Operator {
    /// The placeholder of Kuma that it is.
    pub(super) fn placeholder(&self) -> Option<Placeholder> {
        match self {
            Self::Placeholder(placeholder) => Some(*placeholder),
            _ => None,
        }
    }
}

/// Whether a template that is text is valid JSON as it stands, so that a line is, too, once its values are escaped.
pub fn is_json(template: &str) -> bool {
    let object = template.trim_start().starts_with(['{', '[']);
    object && serde_json::from_str::<serde::de::IgnoredAny>(template).is_ok()
}
