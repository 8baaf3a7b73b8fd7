//! Entries that are records already: those of meshes, whose policies say the body and the attributes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::attributes::any;
use super::{LogRecord, Records, Resource, Scope};
use logphase_protocol::otlp::message::{Any, KeyValue};

/// A record as it waits in a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When it happened, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What happened: a text, a list or a map.
    pub body: Value,
    /// Its attributes.
    pub attributes: Map<String, Value>,
    /// The attributes of its resource.
    pub resource: Map<String, Value>,
}

impl LogEntry {
    /// The entry, encoded.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("maps with text as keys are JSON").into()
    }
}

/// Makes records of [`LogEntry`].
pub(super) struct EntryRecords;

impl Records for EntryRecords {
    fn record(&self, entry: &Bytes) -> (Resource, LogRecord) {
        let Ok(entry) = serde_json::from_slice::<LogEntry>(entry) else {
            let body = Any::String(String::from_utf8_lossy(entry).into_owned());
            return (Resource::default(), LogRecord { body: Some(body.into()), ..LogRecord::default() });
        };
        let pairs = |members: Map<String, Value>| -> Vec<KeyValue> {
            members.into_iter().map(|(key, value)| KeyValue { key, value: Some(any(value)) }).collect()
        };
        let record = LogRecord {
            time_unix_nano: entry.time_unix_nano,
            body: Some(any(entry.body)),
            attributes: pairs(entry.attributes),
            ..LogRecord::default()
        };
        (Resource { attributes: pairs(entry.resource) }, record)
    }

    fn scope(&self) -> Scope {
        Scope::default()
    }
}
