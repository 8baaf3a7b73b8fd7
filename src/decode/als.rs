//! Decodes entries of Envoy's access log service.

use std::sync::Arc;

use bytes::Bytes;
use logphase_protocol::envoy::batch::Part;
use logphase_protocol::envoy::{Conversion, Converter, Origin};
use logphase_script::transaction::{Limits, Transaction};

use super::DecodeError;

/// Decodes entries, one transaction each. It takes two steps, so that the texts of many entries can share one buffer.
#[derive(Debug, Clone)]
pub struct AlsDecoder {
    converter: Arc<Converter>,
    limits: Limits,
}

impl AlsDecoder {
    /// A decoder whose transactions are those that `converter` writes, within `limits`.
    pub fn new(converter: Converter, limits: Limits) -> Self {
        Self { converter: Arc::new(converter), limits }
    }

    /// Appends the text of an entry's transaction to `text`, for [`Self::index`]. `origin` sent the entry. False for a record
    /// that is left out.
    ///
    /// # Errors
    /// The entry is malformed or exceeds the limit of bytes; nothing is appended.
    pub fn write(&self, entry: Part<'_>, origin: &Origin, text: &mut Vec<u8>) -> Result<bool, DecodeError> {
        let error = |reason: String, too_large| DecodeError { index: 0, offset: 0, reason, too_large };
        let (Part::Http(bytes) | Part::Tcp(bytes) | Part::Identifier(bytes)) = entry;
        if bytes.len() > self.limits.max_bytes {
            return Err(error(format!("an entry of more than {} bytes", self.limits.max_bytes), true));
        }
        let converted = match entry {
            Part::Http(entry) => self.converter.http(entry, origin, text),
            Part::Tcp(entry) => self.converter.tcp(entry, origin, text),
            Part::Identifier(_) => return Ok(false),
        };
        match converted {
            Ok(Conversion::Written) => Ok(true),
            Ok(Conversion::Intermediate) => Ok(false),
            Err(rejection) => Err(error(rejection.to_string(), false)),
        }
    }

    /// The transaction of a text that [`Self::write`] has written.
    ///
    /// # Errors
    /// It exceeds a limit.
    pub fn index(&self, text: Bytes) -> Result<Transaction, DecodeError> {
        Transaction::parse(text, &self.limits).map_err(|rejection| DecodeError::of(rejection, 0, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logphase_protocol::envoy::message::{Common, HttpEntry, HttpRequest, TextMember};

    fn decoder(limits: Limits) -> AlsDecoder {
        AlsDecoder::new(Converter::default(), limits)
    }

    fn decode(decoder: &AlsDecoder, entry: Part<'_>) -> Result<Option<Transaction>, DecodeError> {
        let mut text = Vec::new();
        let written = decoder.write(entry, &Origin::default(), &mut text)?;
        written.then(|| decoder.index(text.into())).transpose()
    }

    /// Scenario: an entry within the limits, and one with more headers than a transaction may have members.
    /// Guarantees: the first is a transaction whose members are indexed; the second is refused as too large.
    #[test]
    fn limits() {
        let header = |number: usize| TextMember { key: format!("x-{number}").into(), value: "v".into() };
        let with_headers = |headers: usize| {
            let request = HttpRequest { headers: (0..headers).map(header).collect(), ..HttpRequest::default() };
            let entry = HttpEntry { common: Some(Common::default()), request: Some(request), ..HttpEntry::default() };
            let entry = logphase_protocol::envoy::message::encode(&entry);
            decode(&decoder(Limits { max_members: 100, ..Limits::default() }), Part::Http(&entry))
        };
        let transaction = with_headers(3).unwrap().unwrap();
        assert!(transaction.get("envoy").is_some());
        assert!(with_headers(101).unwrap_err().too_large);
        let small = decoder(Limits { max_bytes: 5, ..Limits::default() });
        assert!(decode(&small, Part::Tcp(&[0; 6])).unwrap_err().too_large);
    }

    /// The entries that the crate's tests have of a real Envoy.
    fn samples() -> Vec<(bool, Vec<u8>)> {
        use base64::Engine;
        let lines = include_str!("../../crates/protocol/tests/samples.ndjson").lines();
        let samples = lines.map(|line| {
            let sample: serde_json::Value = serde_json::from_str(line).unwrap();
            let entry = base64::engine::general_purpose::STANDARD.decode(sample["entry"].as_str().unwrap()).unwrap();
            (sample["kind"] == "http", entry)
        });
        samples.collect()
    }

    proptest::proptest! {
        /// Scenario: entries of a real Envoy, whole and with a byte changed, and any limits.
        /// Guarantees: no panic; a transaction is one JSON object within the limit of bytes; a whole entry is refused
        /// only as too large.
        #[test]
        fn any_limits(max_bytes in 0..4000_usize, max_depth in 1..12_usize, which in 0..44_usize, change in proptest::option::of((0..2000_usize, 0..=255_u8))) {
            let (is_http, mut entry) = samples().swap_remove(which);
            if let Some((at, byte)) = change {
                let at = at % entry.len();
                entry[at] = byte;
            }
            let entry = if is_http { Part::Http(&entry) } else { Part::Tcp(&entry) };
            match decode(&decoder(Limits { max_bytes, max_depth, max_members: 100 }), entry) {
                Ok(Some(transaction)) => {
                    assert!(transaction.bytes().len() <= max_bytes);
                    assert!(serde_json::from_slice::<serde_json::Value>(transaction.bytes()).unwrap().is_object());
                }
                Ok(None) => {}
                Err(error) => assert!(error.too_large || change.is_some(), "{error}"),
            }
        }
    }
}
