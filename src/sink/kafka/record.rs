//! Entries as records: value, key and headers.

use bytes::{BufMut, Bytes, BytesMut};
use rdkafka::message::{Header, OwnedHeaders};

use super::json_path;
use logphase_kafka::config::Config;

/// Limit on the messages of one record, in bytes.
const ARRAY_BYTES: usize = 512 << 10;

/// How a plugin's entries are grouped and labeled as records.
#[derive(Debug)]
pub(super) struct Shape {
    key: Option<Vec<String>>,
    headers: Vec<(String, Vec<String>)>,
    /// Messages per record.
    pub batch: usize,
}

/// The key and the headers of a record.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Labels {
    pub key: Option<String>,
    /// Sorted by name.
    pub headers: Vec<(String, String)>,
}

impl Labels {
    /// The headers in rdkafka's form.
    pub(super) fn owned_headers(&self) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let empty = OwnedHeaders::new_with_capacity(self.headers.len());
        let insert =
            |headers: OwnedHeaders, (key, value): &(String, String)| headers.insert(Header { key, value: Some(value) });
        Some(self.headers.iter().fold(empty, insert))
    }
}

impl Shape {
    /// The shape that `config` specifies.
    pub(super) fn new(config: &Config) -> Self {
        let argument = config.key_query_arg.iter();
        let path = |name: &String| vec!["request".to_owned(), "querystring".to_owned(), name.clone()];
        let header = |(name, path): (&String, &String)| (name.clone(), json_path::names(path));
        Self {
            key: argument.map(path).next(),
            headers: config.record_headers.iter().map(header).collect(),
            batch: config.max_batch_size.max(1),
        }
    }

    /// Returns the key and headers of an entry.
    ///
    /// The key is the value of the query argument in the message, after snippets and redaction. A repeated argument gives
    /// its first value; an argument without a value, or with an empty one, gives no key.
    pub(super) fn labels(&self, entry: &[u8]) -> Labels {
        if self.key.is_none() && self.headers.is_empty() {
            return Labels::default();
        }
        let Ok(json) = std::str::from_utf8(entry) else { return Labels::default() };
        let key = self.key.as_ref().and_then(|path| {
            let value = json_path::find(json, path)?;
            json_path::string(json_path::first(value).unwrap_or(value))
        });
        let header = |(name, path): &(String, Vec<String>)| {
            let value = json_path::find(json, path)?;
            let text = json_path::string(value).unwrap_or(value.into());
            // librdkafka forbids NUL in the name of a header only; a value may contain any bytes.
            Some((name.clone(), text.into_owned()))
        };
        Labels {
            key: key.filter(|key| !key.is_empty()).map(|key| key.into_owned()),
            headers: self.headers.iter().filter_map(header).collect(),
        }
    }

    /// Returns the labels of the first of `entries`, and how many entries share its record.
    pub(super) fn group<'a>(&self, mut entries: impl Iterator<Item = &'a Bytes>) -> (Labels, usize) {
        let Some(first) = entries.next() else { return (Labels::default(), 0) };
        let labels = self.labels(first);
        let mut bytes = first.len();
        let fits = |entry: &&Bytes| {
            bytes += entry.len();
            bytes <= ARRAY_BYTES && self.labels(entry) == labels
        };
        let others = entries.take(self.batch - 1).take_while(fits).count();
        (labels, others + 1)
    }
}

/// The value of a record of several messages: a JSON array.
pub(super) fn array<'a>(values: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut array = BytesMut::new();
    for value in values {
        array.put_u8(if array.is_empty() { b'[' } else { b',' });
        array.extend_from_slice(value);
    }
    array.put_u8(b']');
    array.freeze()
}
