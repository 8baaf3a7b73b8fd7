//! Formats of access logs, compiled when they are read.

use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_config::document::Node;
use logphase_protocol::format::{
    Entry, JsonTemplate, Options, Placeholder, Source, Step, Template, TemplateError, is_json,
};
use serde_json::{Map, Value};

use super::field::{Field, Reader};
use crate::sink::one_line;

/// A compiled format.
#[derive(Debug)]
pub enum Format {
    /// A line of text.
    Text {
        /// The template, without a line end at its end.
        template: Template,
        /// Whether the template is valid JSON, so that a line is, too, once its values are escaped.
        is_json: bool,
        /// Whether the template has line ends of its own.
        several_lines: bool,
    },
    /// A JSON object.
    Json(JsonTemplate),
}

impl Format {
    /// One of the formats of Kuma that need no compiling.
    ///
    /// # Panics
    /// `text` has mistakes.
    pub(super) fn standard(text: &str) -> Self {
        let template = Template::new(text, &options(false)).expect("the formats of Kuma have no mistakes");
        Self::Text { template, is_json: false, several_lines: false }
    }

    /// The line of `entry`, without a line end. `escape` says whether values are escaped in a text that is JSON.
    pub fn line<E: Entry + ?Sized>(&self, entry: &E, escape: bool) -> Vec<u8> {
        let mut line = Vec::with_capacity(512);
        match self {
            Self::Json(template) => template.render(entry, &mut line),
            Self::Text { template, is_json, several_lines } => {
                template.render_escaping(entry, escape && *is_json, &mut line);
                if !several_lines {
                    return one_line(line);
                }
            }
        }
        line
    }

    /// The placeholders of Kuma that it has.
    pub fn placeholders(&self) -> Vec<Placeholder> {
        match self {
            Self::Text { template, .. } => template.placeholders(),
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
    // A block of YAML ends in a line end, which backends add.
    let text = text.strip_suffix('\n').unwrap_or(text);
    compile(text, omit_empty)
        .map_err(|errors| errors.into_iter().for_each(|error| reader.push(mistake(field, error))))
        .ok()
}

/// Compiles `text`, which is made of the value in `field`.
pub(super) fn text(field: &Field<'_>, text: &str, reader: &mut Reader) -> Option<Format> {
    let refuse = |errors: Vec<TemplateError>| {
        for error in errors {
            let message = format!("{}: {}", field.path(), error.message);
            reader.push(Diagnostic::error(codes::TEMPLATE, message).at(field.origin()));
        }
    };
    compile(text, false).map_err(refuse).ok()
}

fn compile(text: &str, omit_empty: bool) -> Result<Format, Vec<TemplateError>> {
    let template = Template::new(text, &options(omit_empty))?;
    Ok(Format::Text { template, is_json: is_json(text), several_lines: text.contains(['\n', '\r']) })
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
