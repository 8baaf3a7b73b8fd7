//! Decodes requests of OpenTelemetry's logs (OTLP), one transaction for each log record.

use bytes::Bytes;
use logphase_protocol::otlp::{self, Encoding, Group, ReadError, Record, RecordError};
use logphase_script::transaction::{Limits, Transaction};

use super::{Decode, DecodeError, TextDecoder};

/// What a transaction costs beside its bytes.
const OVERHEAD_BYTES: usize = 512;

/// Decodes requests.
#[derive(Debug, Clone)]
pub struct OtlpDecoder {
    records: TextDecoder,
    limits: Limits,
    max_work: usize,
}

/// What a request holds.
#[derive(Debug, Default)]
pub struct Export {
    /// The transactions of the sound records.
    pub transactions: Vec<Transaction>,
    /// The number of the others that are malformed.
    pub malformed: usize,
    /// The number of the others that exceed a limit.
    pub too_large: usize,
    /// The first of them, by its place in the request, from 0, and why it is left out.
    pub first: Option<(usize, String)>,
}

/// Why nothing of a request was decoded.
#[derive(Debug, PartialEq, Eq)]
pub enum ExportError<E> {
    /// It is not an `ExportLogsServiceRequest`.
    Malformed(String),
    /// Its records are more than so many bytes of JSON together.
    TooLarge(usize),
    /// No memory was granted.
    Memory(E),
}

impl OtlpDecoder {
    /// A decoder of requests whose records are decoded by `records`, a decoder of single objects, within `limits`. Together
    /// they may be `max_work` bytes of JSON: for a mapping, the resource of a request is in each of its records.
    pub fn new(records: TextDecoder, limits: Limits, max_work: usize) -> Self {
        Self { records, limits, max_work }
    }

    /// The transactions of a request. `grow` is asked for memory before more of it is used.
    ///
    /// # Errors
    /// See [`ExportError`]. Records that cannot be decoded are none.
    pub fn decode<E>(
        &self,
        request: &Bytes,
        encoding: Encoding,
        mut grow: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Export, ExportError<E>> {
        let (mut export, mut work, mut place) = (Export::default(), 0, 0);
        let take = |group: &Group<'_>, record: Result<Record<'_>, RecordError>| {
            let before = export.transactions.len();
            let decoded = record.map_err(DecodeError::from).and_then(|record| {
                let frame = self.frame(group, &record)?;
                work += frame.len();
                self.records.decode(frame, &mut export.transactions)
            });
            if work > self.max_work {
                return Err(ExportError::TooLarge(self.max_work));
            }
            match decoded {
                Ok(()) => {
                    let added = &export.transactions[before..];
                    let bytes = added.iter().map(|one| one.bytes().len() + OVERHEAD_BYTES).sum();
                    grow(bytes).map_err(ExportError::Memory)?;
                }
                Err(error) => export.leave_out(place, error),
            }
            place += 1;
            Ok(())
        };
        match otlp::read(request, encoding, take) {
            Ok(()) => Ok(export),
            Err(ReadError::Malformed(reason)) => Err(ExportError::Malformed(reason)),
            Err(ReadError::Ended(error)) => Err(error),
        }
    }

    /// What the decoder of records reads: the body alone, where that is Kong's object; all of the record for a mapping.
    fn frame(&self, group: &Group<'_>, record: &Record<'_>) -> Result<Bytes, DecodeError> {
        let max_bytes = self.limits.max_bytes;
        match self.records {
            TextDecoder::Kong(_) => Ok(record.body_text(max_bytes)?),
            TextDecoder::Mapped(_) => Ok(record.object(group.members(max_bytes)?, max_bytes)?.into()),
        }
    }
}

impl Export {
    fn leave_out(&mut self, place: usize, error: DecodeError) {
        *(if error.too_large { &mut self.too_large } else { &mut self.malformed }) += 1;
        if self.first.is_none() {
            self.first = Some((place, error.to_string()));
        }
    }

    /// The number of records that are left out.
    pub fn rejected(&self) -> usize {
        self.malformed + self.too_large
    }
}

impl From<RecordError> for DecodeError {
    fn from(error: RecordError) -> Self {
        let RecordError { reason, too_large } = error;
        Self { index: 0, offset: 0, reason, too_large }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::{Value, json};

    use super::*;
    use crate::decode::kong::Format;
    use crate::decode::mapping::Mappings;

    /// The transactions of records with these attributes, by a built-in mapping.
    fn mapped(mapping: &str, attributes: &[(&str, Value)]) -> Value {
        let records = TextDecoder::new(Mappings::default().find(mapping), Format::Object, Limits::default());
        let decoder = OtlpDecoder::new(records, Limits::default(), 1 << 20);
        let any = |value: &Value| match value {
            Value::Number(number) => json!({"intValue": number}),
            Value::Array(items) => {
                json!({"arrayValue": {"values": items.iter().map(|item| json!({"stringValue": item})).collect::<Vec<_>>()}})
            }
            value => json!({"stringValue": value}),
        };
        let attributes: Vec<_> =
            attributes.iter().map(|(key, value)| json!({"key": key, "value": any(value)})).collect();
        let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "edge"}}]});
        let record =
            json!({"timeUnixNano": "1700000000123456789", "body": {"stringValue": "text"}, "attributes": attributes});
        let request = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]});
        let request = request.to_string().into();
        let export = decoder.decode(&request, Encoding::Json, |_| Ok::<_, Infallible>(())).unwrap();
        assert_eq!(export.first, None);
        serde_json::from_slice(export.transactions[0].bytes()).unwrap()
    }

    /// Scenario: a request by OpenTelemetry's names, by those of before 2023, and a record that is none of HTTP.
    /// Guarantees: each is the transaction that Kong would log; what has no place there is kept under `otel`.
    #[test]
    fn semantic_conventions() {
        let new = mapped(
            "otel",
            &[
                ("http.request.method", json!("POST")),
                ("url.scheme", json!("https")),
                ("url.path", json!("/orders")),
                ("url.query", json!("a=1&b=%C3%A4")),
                ("url.full", json!("https://api.example:8443/orders?a=1&b=%C3%A4")),
                ("server.address", json!("api.example")),
                ("http.request.header.x-request-id", json!(["r-1"])),
                ("http.request.header.accept", json!(["a", "b"])),
                ("user_agent.original", json!("test/1")),
                ("http.request.size", json!(300)),
                ("http.response.status_code", json!(201)),
                ("http.response.header.content-type", json!(["text/plain"])),
                ("http.response.size", json!(400)),
                ("http.server.request.duration", json!("0.0125")),
                ("client.address", json!("192.0.2.7")),
                ("tls.protocol.version", json!("1.3")),
                ("http.route", json!("/orders/{id}")),
            ],
        );
        let expected = json!({
            "request": {
                "id": "r-1", "method": "POST", "uri": "/orders?a=1&b=%C3%A4",
                "url": "https://api.example:8443/orders?a=1&b=%C3%A4", "querystring": {"a": "1", "b": "ä"},
                "headers": {"x-request-id": "r-1", "accept": ["a", "b"], "host": "api.example", "user-agent": "test/1"},
                "size": 300, "tls": {"version": "TLSv1.3"},
            },
            "response": {"status": 201, "headers": {"content-type": "text/plain"}, "size": 400},
            "latencies": {"request": 12}, "client_ip": "192.0.2.7", "started_at": 1_700_000_000_123_u64,
            "otel": {"body": "text", "attributes": {"http.route": "/orders/{id}"}, "resource": {"service.name": "edge"}},
        });
        assert_eq!(new, expected);
        let old = mapped(
            "otel",
            &[
                ("http.method", json!("GET")),
                ("http.scheme", json!("http")),
                ("http.host", json!("api.example")),
                ("http.target", json!("/orders?a=1")),
                ("http.status_code", json!(404)),
                ("http.user_agent", json!("test/1")),
                ("http.client_ip", json!("192.0.2.8")),
            ],
        );
        assert_eq!(old["request"]["uri"], "/orders?a=1");
        assert_eq!(old["request"]["url"], "http://api.example/orders?a=1");
        assert_eq!(old["request"]["querystring"], json!({"a": "1"}));
        assert_eq!(old["request"]["headers"], json!({"host": "api.example", "user-agent": "test/1"}));
        assert_eq!((&old["response"]["status"], &old["client_ip"]), (&json!(404), &json!("192.0.2.8")));
        let other = mapped("otel", &[("exception.type", json!("E"))]);
        assert_eq!(other["otel"]["attributes"], json!({"exception.type": "E"}));
    }
}
