//! A dead letter as it is kept: a line of JSON that says what it is, then the message, byte by byte.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::OutputSpec;

/// A message that its destination refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What is known about it.
    pub head: LetterHead,
    /// What was to be sent.
    pub message: Bytes,
}

/// What is known about a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterHead {
    /// What it is called by; stays when the letter is moved.
    pub id: u64,
    /// When it was refused, in milliseconds since 1970.
    pub time: u64,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's instance name.
    pub instance_name: Option<String>,
    /// What the destination said.
    pub reason: String,
}

impl Letter {
    /// A letter of the plugin behind `spec`, refused now; it gets its id where it is kept.
    pub(super) fn new(spec: &OutputSpec, message: &Bytes, reason: &str) -> Self {
        let time = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let head = LetterHead {
            id: 0,
            time: u64::try_from(time).unwrap_or(u64::MAX),
            plugin: spec.plugin.clone(),
            instance_name: spec.instance.clone(),
            reason: reason.to_owned(),
        };
        Self { head, message: message.clone() }
    }

    /// The record that it is kept as.
    pub fn encode(&self) -> Bytes {
        // JSON has no line end outside of strings, and escapes it there.
        let mut record = serde_json::to_vec(&self.head).expect("strings and numbers are JSON");
        record.push(b'\n');
        record.extend_from_slice(&self.message);
        record.into()
    }

    /// Reads a record; none if it is no letter.
    pub fn decode(record: &Bytes) -> Option<Self> {
        let end = memchr::memchr(b'\n', record)?;
        let head = serde_json::from_slice(&record[..end]).ok()?;
        Some(Self { head, message: record.slice(end + 1..) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: a letter of any bytes and any reason, line ends and quotes included; and its record, cut anywhere.
        /// Guarantees: it comes back as it was; a cut one is a shorter message or no letter, and never a panic.
        #[test]
        fn comes_back_as_it_was(
            id in any::<u64>(), time in any::<u64>(), reason in any::<String>(), instance in any::<Option<String>>(),
            message in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>(),
        ) {
            let head = LetterHead { id, time, plugin: "http-log".into(), instance_name: instance, reason };
            let letter = Letter { head, message: message.into() };
            let record = letter.encode();
            prop_assert_eq!(Letter::decode(&record), Some(letter.clone()));
            let cut = record.slice(..cut.index(record.len()));
            if let Some(shorter) = Letter::decode(&cut) {
                prop_assert_eq!(shorter.head, letter.head);
                prop_assert!(letter.message.starts_with(&shorter.message));
            }
        }
    }
}
