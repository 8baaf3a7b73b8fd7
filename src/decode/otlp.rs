//! Decodes requests of OpenTelemetry's logs (OTLP), one transaction for each log record.

use bytes::Bytes;
use logphase_protocol::otlp::{self, Encoding, Group, ReadError, Record, RecordError};
use logphase_script::transaction::{Limits, Transaction};

use super::{Decode, DecodeError, KongDecoder};

/// What a transaction costs beside its bytes.
const OVERHEAD_BYTES: usize = 512;

/// Decodes requests.
#[derive(Debug, Clone)]
pub struct OtlpDecoder {
    records: KongDecoder,
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
    /// A decoder of requests whose records are decoded by `records`, within `limits`, and are together at most `max_work`
    /// bytes of JSON: the resource of a request is in each of its records.
    pub fn new(records: KongDecoder, limits: Limits, max_work: usize) -> Self {
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

    /// What of a record the decoder of records reads: Kong's object is the body alone.
    fn frame(&self, _group: &Group<'_>, record: &Record<'_>) -> Result<Bytes, DecodeError> {
        Ok(record.body_text(self.limits.max_bytes)?)
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
