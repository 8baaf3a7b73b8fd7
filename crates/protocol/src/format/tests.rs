mod grammar;
mod json;
mod kong;
mod operators;
mod properties;
mod samples;
mod times;

use serde_json::Value;

use super::{AlsEntry, JsonTemplate, KongEntry, Options, Placeholders, Source, Template, TemplateError};
use crate::envoy::entry::{HttpEntry, TcpEntry};
use crate::envoy::json_form::{EncodedEntry, encode};

fn options() -> Options {
    Options::new(Source::Als)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What `render` appends for an entry in the JSON form of protobuf.
fn render_entry(entry: &Value, placeholders: &Placeholders, render: impl Fn(&AlsEntry<'_>, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    match encode(entry).unwrap() {
        EncodedEntry::Http(bytes) => {
            let entry = HttpEntry::decode(&bytes).unwrap();
            render(&AlsEntry::http(&entry, placeholders).unwrap(), &mut out);
        }
        EncodedEntry::Tcp(bytes) => {
            let entry = TcpEntry::decode(&bytes).unwrap();
            render(&AlsEntry::tcp(&entry, placeholders).unwrap(), &mut out);
        }
    }
    out
}

/// The line of an entry in the JSON form of protobuf.
fn render_bytes(template: &Template, entry: &Value) -> Vec<u8> {
    render_entry(entry, &Placeholders::default(), |entry, out| template.render(entry, out))
}

fn render(template: &str, entry: &Value) -> String {
    text(render_bytes(&Template::new(template, &options()).unwrap(), entry))
}

/// The line of an entry by a template in JSON.
fn render_json(template: &Value, options: &Options, entry: &Value) -> String {
    let template = JsonTemplate::new(template, options).unwrap();
    text(render_entry(entry, &Placeholders::default(), |entry, out| template.render(entry, out)))
}

fn errors(template: &str) -> Vec<TemplateError> {
    Template::new(template, &options()).map(|_| Vec::new()).unwrap_or_else(|errors| errors)
}
