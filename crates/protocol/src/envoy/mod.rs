//! Envoy's access log service (ALS): its messages, and Kong's log object of an entry.
//!
//! Envoy opens a stream (`envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs`), says in the first message who it
//! is, and sends batches of entries. [`batch::read`] splits a message without decoding the entries, so that a small message
//! cannot become a large number of structures; [`entry`] reads one entry without copying its texts; [`Converter`] writes it as
//! the JSON object that Kong's logging plugins would have written, with what only Envoy knows under `envoy`.
//!
//! The messages ([`message`], as owned values) are ours, with the fields that are used; their numbers are those of Envoy's public protos
//! (`envoy/data/accesslog/v3/accesslog.proto`, `envoy/service/accesslog/v3/als.proto` and what they import), checked
//! against the descriptors in Envoy 1.40. Text is kept as bytes: entries of a proxy may hold what is not UTF-8, and one
//! such header must not cost the entry.

pub mod batch;
mod convert;
pub mod entry;
mod flags;
pub mod json_form;
pub mod message;
pub(crate) mod metadata;
mod query;
mod record;
mod rule;
pub(crate) mod source;
mod stream;
mod tls;
mod values;

pub use crate::wire::WireError;
pub use convert::{Conversion, Converter, EntryError};
pub use flags::Flags;
pub use query::push_query;
pub use record::{Record, RecordKind};
pub use rule::{Rule, RuleError};
pub use source::{Source, SourceError, Sources};
pub use stream::Origin;

/// The path of the method that Envoy calls.
pub const METHOD: &str = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";

#[cfg(test)]
mod tests;
