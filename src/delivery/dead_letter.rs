//! The record of a dead letter: a line of JSON with its metadata, then the message itself.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::OutputSpec;

/// A message that its destination refused permanently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The metadata.
    pub info: DeadLetterInfo,
    /// The message.
    pub message: Bytes,
}

/// The metadata of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterInfo {
    /// Its id.
    pub id: u64,
    /// When it was refused, in milliseconds since 1970.
    pub time: u64,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's instance name.
    pub instance_name: Option<String>,
    /// The reason that the destination gave.
    pub reason: String,
}

impl DeadLetter {
    /// A dead letter of the plugin of `spec`, refused now. Its id is assigned when it is stored.
    pub(super) fn new(spec: &OutputSpec, message: &Bytes, reason: &str) -> Self {
        let time = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let info = DeadLetterInfo {
            id: 0,
            time: u64::try_from(time).unwrap_or(u64::MAX),
            plugin: spec.plugin.clone(),
            instance_name: spec.instance.clone(),
            reason: reason.to_owned(),
        };
        Self { info, message: message.clone() }
    }

    /// Encodes the record.
    pub fn encode(&self) -> Bytes {
        // The JSON has no line feed, because line feeds in strings are escaped.
        let mut record = serde_json::to_vec(&self.info).expect("strings and numbers are JSON");
        record.push(b'\n');
        record.extend_from_slice(&self.message);
        record.into()
    }

    /// Decodes a record; `None` if it is not valid.
    pub fn decode(record: &Bytes) -> Option<Self> {
        let end = memchr::memchr(b'\n', record)?;
        let info = serde_json::from_slice(&record[..end]).ok()?;
        Some(Self { info, message: record.slice(end + 1..) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: a dead letter with any bytes and any reason, including line feeds and quotes; its record, truncated
        /// anywhere.
        /// Guarantees: decoding returns the same; a truncated record is a shorter message or invalid, and never a panic.
        #[test]
        fn decoding_reverses_encoding(
            id in any::<u64>(), time in any::<u64>(), reason in any::<String>(), instance in any::<Option<String>>(),
            message in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>(),
        ) {
            let info = DeadLetterInfo { id, time, plugin: "http-log".into(), instance_name: instance, reason };
            let letter = DeadLetter { info, message: message.into() };
            let record = letter.encode();
            prop_assert_eq!(DeadLetter::decode(&record), Some(letter.clone()));
            let cut = record.slice(..cut.index(record.len()));
            if let Some(shorter) = DeadLetter::decode(&cut) {
                prop_assert_eq!(shorter.info, letter.info);
                prop_assert!(letter.message.starts_with(&shorter.message));
            }
        }
    }
}
