//! Lines of access logs by a template: Envoy's format language
//! (<https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#format-rules>) with the
//! placeholders of Kuma and Kong Mesh.
//!
//! A template is compiled once ([`Template`], [`JsonTemplate`]), for entries of one [`Source`]: an operator that they do not
//! have is a mistake of the template, never a `-` in the log. An [`Entry`] is what a template reads; [`AlsEntry`] is that of
//! Envoy's access log service, and [`KongEntry`] that of a message of Kong's plugins.

mod address;
mod als;
mod cel;
mod compile;
pub mod defaults;
mod error;
mod escape;
mod grammar;
mod json;
mod kong;
mod number;
mod operator;
mod query;
mod render;
mod suggest;
mod table;
mod text;
mod time;
mod view;

pub use address::Address;
pub use als::AlsEntry;
pub use compile::Options;
pub use error::{Step, TemplateError};
pub use json::JsonTemplate;
pub use kong::{KongEntry, KongError};
pub use table::Source;
pub use text::{Template, is_json};
pub use view::{Count, Entry, Header, Known, Peer, Placeholder, Placeholders, Point, Section, Text, Written};

/// The names of the operators that entries of `source` have, for completion.
pub fn operators(source: Source) -> impl Iterator<Item = &'static str> {
    table::rows().filter(move |row| row.missing(source).is_none()).map(|row| row.name)
}

/// The operators that entries of `source` do not have, and why.
pub fn missing_operators(source: Source) -> impl Iterator<Item = (&'static str, &'static str)> {
    table::rows().filter_map(move |row| Some((row.name, row.missing(source)?)))
}

#[cfg(test)]
mod tests;
