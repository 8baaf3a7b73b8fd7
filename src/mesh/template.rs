//! Formats of access logs, compiled when they are read.

use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_config::document::Node;
use logphase_protocol::format::{Entry, JsonTemplate, Options, Placeholder, Source, Step, Template, TemplateError};
use serde_json::{Map, Value};

use super::field::{Field, Reader};

/// A compiled format.
#[derive(Debug)]
pub enum Format {
    /// A line of text.
    Text(Template),
    /// A JSON object.
    Json(JsonTemplate),
}

impl Format {
    /// Appends the line of `entry`, without a line end of its own.
    pub fn render<E: Entry + ?Sized>(&self, entry: &E, out: &mut Vec<u8>) {
        match self {
            Self::Text(template) => template.render(entry, out),
            Self::Json(template) => template.render(entry, out),
        }
    }

    /// The placeholders of Kuma that it has.
    pub fn placeholders(&self) -> Vec<Placeholder> {
        match self {
            Self::Text(template) => template.placeholders(),
            Self::Json(template) => template.placeholders(),
        }
    }
}

/// Kuma writes the values of plain text as they are, even if the text looks like JSON.
fn options(omit_empty: bool) -> Options {
    Options { omit_empty, ..Options::new(Source::Als) }
}

/// Compiles the text in `field`.
pub(super) fn plain(field: &Field<'_>, omit_empty: bool, reader: &mut Reader) -> Option<Format> {
    let text = field.text(reader)?;
    match Template::new(text, &options(omit_empty)) {
        Ok(template) => Some(Format::Text(template)),
        Err(errors) => {
            errors.into_iter().for_each(|error| reader.push(mistake(field, error)));
            None
        }
    }
}

/// Compiles an object of members, each with the field of its value. Of members with the same key the last one counts.
pub(super) fn json(members: &[(&str, Field<'_>)], omit_empty: bool, reader: &mut Reader) -> Option<Format> {
    let text = |field: &Field<'_>| field.node().and_then(Node::as_str).unwrap_or_default().to_owned();
    let object: Map<String, Value> =
        members.iter().map(|(key, field)| ((*key).to_owned(), Value::String(text(field)))).collect();
    match JsonTemplate::new(&Value::Object(object), &options(omit_empty)) {
        Ok(template) => Some(Format::Json(template)),
        Err(errors) => {
            for error in errors {
                let key = match error.path.first() {
                    Some(Step::Key(key)) => key.as_str(),
                    _ => "",
                };
                if let Some((_, field)) = members.iter().rev().find(|(name, _)| *name == key) {
                    reader.push(mistake(field, error));
                }
            }
            None
        }
    }
}

/// A mistake of the template in `field`, with its place in the file.
fn mistake(field: &Field<'_>, error: TemplateError) -> Diagnostic {
    let origin = field.node().and_then(Node::snippet).map(|snippet| snippet.span_origin(error.span.clone()));
    let said = if error.envoy.is_empty() { String::new() } else { format!("Envoy says: {}", error.envoy) };
    let help: Vec<_> = [error.help, said].into_iter().filter(|text| !text.is_empty()).collect();
    let diagnostic = Diagnostic::error(codes::TEMPLATE, format!("{}: {}", field.path(), error.message));
    let diagnostic = diagnostic.at(origin.unwrap_or_else(|| field.origin()));
    if help.is_empty() { diagnostic } else { diagnostic.help(help.join("; ")) }
}
