//! The entries that a template is tried with.

use logphase_protocol::envoy::entry::{HttpEntry, TcpEntry};
use logphase_protocol::envoy::json_form::{self, EncodedEntry};
use logphase_protocol::format::{AlsEntry, Entry, Placeholders, Source};
use serde_json::Value;

use super::KongEntry;

/// An entry as it was read, or why it could not be.
pub(super) enum Document {
    Entry(Value),
    Broken(String),
}

/// An entry, decoded.
pub(super) enum Decoded {
    Http(Vec<u8>),
    Tcp(Vec<u8>),
    Kong(KongEntry),
}

/// The entries of `body`: JSON values behind each other, of which an array, or a message of the stream, holds several.
pub(super) fn documents(body: &[u8]) -> impl Iterator<Item = Document> {
    let values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    values.flat_map(|value| match value {
        Ok(value) => unwrap(value).into_iter().map(Document::Entry).collect(),
        Err(error) => vec![Document::Broken(format!("not JSON: {error}"))],
    })
}

/// The entries that a value holds.
pub(in crate::cli) fn unwrap(value: Value) -> Vec<Value> {
    if json_form::is_entry(&value) {
        return vec![value];
    }
    let mut members = match value {
        Value::Array(items) => return items.into_iter().flat_map(unwrap).collect(),
        Value::Object(members) => members,
        other => return vec![other],
    };
    // A message of the stream, and an entry with what a test says of it.
    for list in ["httpLogs", "http_logs", "tcpLogs", "tcp_logs"] {
        let Some(Value::Object(logs)) = members.get_mut(list) else { continue };
        if let Some(entries) = logs.remove("logEntry").or_else(|| logs.remove("log_entry")) {
            return unwrap(entries);
        }
    }
    match members.remove("entry") {
        Some(entry @ Value::Object(_)) => vec![entry],
        Some(other) => {
            members.insert("entry".to_owned(), other);
            vec![Value::Object(members)]
        }
        None => vec![Value::Object(members)],
    }
}

/// Decodes an entry.
pub(super) fn decode(value: Value, source: Option<Source>) -> Result<Decoded, String> {
    let source = source.unwrap_or(if json_form::is_entry(&value) { Source::Als } else { Source::Kong });
    match source {
        Source::Kong => KongEntry::new(value).map(Decoded::Kong).map_err(|error| error.to_string()),
        Source::Als => match json_form::encode(&value).map_err(|error| format!("not an entry of Envoy: {error}"))? {
            EncodedEntry::Http(bytes) => Ok(Decoded::Http(bytes)),
            EncodedEntry::Tcp(bytes) => Ok(Decoded::Tcp(bytes)),
        },
    }
}

impl Decoded {
    /// Gives the entry to `see`, and whether it is of Envoy.
    pub(super) fn with(&self, placeholders: &Placeholders, mut see: impl FnMut(&dyn Entry, bool)) {
        match self {
            Self::Kong(entry) => see(entry, false),
            Self::Http(bytes) => {
                // What was encoded here can be decoded.
                let entry = HttpEntry::decode(bytes).unwrap_or_default();
                let with_common = HttpEntry { common: Some(entry.common.clone().unwrap_or_default()), ..entry };
                AlsEntry::http(&with_common, placeholders).iter().for_each(|entry| see(entry, true));
            }
            Self::Tcp(bytes) => {
                let entry = TcpEntry::decode(bytes).unwrap_or_default();
                let with_common = TcpEntry { common: Some(entry.common.clone().unwrap_or_default()), ..entry };
                AlsEntry::tcp(&with_common, placeholders).iter().for_each(|entry| see(entry, true));
            }
        }
    }
}
