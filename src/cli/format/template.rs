//! The template of the command line, and its mistakes.

use std::ops::Range;
use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, Place, SourceFile, any_error, codes};
use logphase_config::document::{self, Node};
use logphase_protocol::format::{
    Entry, Header, JsonTemplate, Options, Placeholder, Step, Template, TemplateError, defaults,
};

use super::Format;

/// A compiled template, or its mistakes.
pub(super) type Result = std::result::Result<Compiled, Vec<Diagnostic>>;

/// A compiled template.
pub(super) enum Compiled {
    Text(Template),
    Json(JsonTemplate),
}

impl Compiled {
    pub(super) fn render(&self, entry: &dyn Entry, out: &mut Vec<u8>) {
        match self {
            Self::Text(template) => template.render(entry, out),
            Self::Json(template) => template.render(entry, out),
        }
    }

    pub(super) fn headers(&self) -> Vec<&Header> {
        match self {
            Self::Text(template) => template.headers(),
            Self::Json(template) => template.headers(),
        }
    }

    fn placeholders(&self) -> Vec<Placeholder> {
        match self {
            Self::Text(template) => template.placeholders(),
            Self::Json(template) => template.placeholders(),
        }
    }
}

/// The text of the template.
pub(super) fn text(arguments: &Format) -> Option<&str> {
    let default = || {
        let name = arguments.default.as_deref()?;
        defaults::ALL.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    };
    arguments.template.as_deref().or_else(default)
}

/// Compiles the template of the command line.
pub(super) fn compile(arguments: &Format, options: &Options) -> Result {
    let text = text(arguments).unwrap_or_default();
    // The name says that it is JSON and no YAML.
    let file = SourceFile::new(if arguments.json { "TEMPLATE.json" } else { "TEMPLATE" }, text);
    let compiled = if arguments.json { json(&file, options)? } else { plain(&file, options)? };
    let given = |placeholder: Placeholder| arguments.kuma.iter().any(|(name, _)| *name == placeholder);
    let mut missing: Vec<_> = compiled.placeholders().into_iter().filter(|placeholder| !given(*placeholder)).collect();
    missing.sort();
    missing.dedup();
    let missing: Vec<_> = missing.into_iter().map(|placeholder| without_value(&file, placeholder)).collect();
    if missing.is_empty() { Ok(compiled) } else { Err(missing) }
}

fn without_value(file: &Arc<SourceFile>, placeholder: Placeholder) -> Diagnostic {
    let found = Placeholder::ALL.iter().find(|(_, known)| *known == placeholder);
    let name = found.map_or("", |(name, _)| *name);
    let at = file.text.find(&format!("%{name}%")).map_or(0..0, |at| at + 1..at + 1 + name.len());
    Diagnostic::error(codes::TEMPLATE, format!("{name} has no value"))
        .at(Place::new(file.clone(), at))
        .help(format!("Kuma fills it in; for a try, give --kuma {}=VALUE", name.trim_start_matches("KUMA_")))
}

fn plain(file: &Arc<SourceFile>, options: &Options) -> Result {
    let diagnostic = |error: TemplateError| {
        let place = Place::new(file.clone(), error.span.clone());
        diagnostic(error).at(place)
    };
    let compiled = Template::new(&file.text, options);
    compiled.map(Compiled::Text).map_err(|errors| errors.into_iter().map(diagnostic).collect())
}

fn json(file: &Arc<SourceFile>, options: &Options) -> Result {
    let (root, diagnostics) = document::parse(file, None);
    let Some(root) = root.filter(|_| !any_error(&diagnostics)) else { return Err(diagnostics) };
    if root.entries().is_none() {
        let error = Diagnostic::error(codes::TEMPLATE, "a template in JSON is an object");
        return Err(vec![error.at(root.origin()).help("like {\"code\": \"%RESPONSE_CODE%\"}")]);
    }
    JsonTemplate::new(&root.to_json(), options).map(Compiled::Json).map_err(|errors| {
        let errors = errors.into_iter().map(|error| {
            let place = place(file, &root, &error);
            diagnostic(error).at(place)
        });
        errors.collect()
    })
}

fn diagnostic(error: TemplateError) -> Diagnostic {
    let mut help = error.help;
    if !error.envoy.is_empty() {
        let separator = if help.is_empty() { "" } else { "; " };
        help += &format!("{separator}Envoy says: {}", error.envoy);
    }
    let diagnostic = Diagnostic::error(codes::TEMPLATE, error.message);
    if help.is_empty() { diagnostic } else { diagnostic.help(help) }
}

/// Where the mistake of a string of the document is.
fn place(file: &Arc<SourceFile>, root: &Node, error: &TemplateError) -> Place {
    let found = error.path.iter().try_fold(root, |node, step| match step {
        Step::Key(key) => node.get(key),
        Step::Index(index) => node.items()?.get(*index),
    });
    let span = found.map_or(0..0, Node::span);
    let raw = file.text.get(span.clone()).unwrap_or_default();
    let within = if raw.starts_with('"') { in_string(raw, &error.span) } else { error.span.clone() };
    let end = (span.start + within.end).min(file.text.len());
    Place::new(file.clone(), (span.start + within.start).min(end)..end)
}

/// The bytes of a string in quotes that `span` of its value takes there.
fn in_string(raw: &str, span: &Range<usize>) -> Range<usize> {
    let offset = |decoded: usize| {
        let (mut at, mut length) = (1, 0);
        while length < decoded {
            let rest = raw.get(at..).unwrap_or_default();
            let Some(next) = rest.chars().next() else { break };
            // An escape; of those of four digits, the bytes of the character.
            let (taken, made) = match rest.as_bytes() {
                [b'\\', b'u', ..] => {
                    let code = rest.get(2..6).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                    (6, code.and_then(char::from_u32).map_or(2, char::len_utf8))
                }
                [b'\\', ..] => (2, 1),
                _ => (next.len_utf8(), next.len_utf8()),
            };
            at += taken;
            length += made;
        }
        at.min(raw.len())
    };
    offset(span.start)..offset(span.end)
}
