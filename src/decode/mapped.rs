//! Decodes what another proxy logs, one JSON object for each transaction, by a mapping.

use std::sync::Arc;

use bytes::Bytes;
use logphase_script::transaction::{Limits, Transaction};

use super::kong::Format;
use super::mapping::{Mapping, Rejected};
use super::{Decode, DecodeError};

/// Decodes the objects that a mapping translates. Strings with bytes that are not UTF-8 and escapes that JSON lacks are
/// repaired.
#[derive(Debug, Clone)]
pub struct MappedDecoder {
    mapping: Arc<Mapping>,
    format: Format,
    limits: Limits,
}

impl MappedDecoder {
    /// A decoder of frames in `format` by `mapping`; `limits` apply to each object and to each transaction.
    pub fn new(mapping: Arc<Mapping>, format: Format, limits: Limits) -> Self {
        Self { mapping, format, limits }
    }

    /// The same decoder for frames in `format`.
    pub fn reading(&self, format: Format) -> Self {
        Self { format, ..self.clone() }
    }

    /// The transaction of the object at or after `at` of `text`, the index `index` of its frame, and the offset of the byte
    /// after the object.
    fn one(&self, text: &[u8], at: usize, index: usize) -> Result<(Transaction, usize), DecodeError> {
        let rejected = |Rejected { offset, reason, too_large }| DecodeError { index, offset, reason, too_large };
        // A transaction is often larger than what is mapped to it: names are longer, and queries are decoded.
        let mut out = Vec::with_capacity(2 * (text.len() - at).min(4096) + 512);
        let end = self.mapping.map(text, at, &self.limits, &mut out).map_err(rejected)?;
        let parsed = Transaction::parse(out.into(), &self.limits).map_err(|rejection| DecodeError {
            index,
            offset: at,
            reason: format!("the transaction that the mapping makes of it is refused: {rejection}"),
            too_large: rejection.too_large,
        })?;
        Ok((parsed, end))
    }

    /// The object that is all of `text` from `start` to `end`.
    fn whole(&self, text: &[u8], (start, end): (usize, usize), index: usize) -> Result<Transaction, DecodeError> {
        let (transaction, read) = self.one(&text[..end], start, index)?;
        match text[read..end].iter().position(|byte| !byte.is_ascii_whitespace()) {
            None => Ok(transaction),
            Some(more) => Err(syntax(index, read + more, "expected the end of the text after the object")),
        }
    }

    fn lines(&self, body: &[u8]) -> Result<Vec<Transaction>, DecodeError> {
        let mut transactions = Vec::new();
        let mut start = 0;
        while start < body.len() {
            let end = memchr::memchr(b'\n', &body[start..]).map_or(body.len(), |length| start + length);
            if !body[start..end].iter().all(u8::is_ascii_whitespace) {
                transactions.push(self.whole(body, (start, end), transactions.len())?);
            }
            start = end + 1;
        }
        Ok(transactions)
    }

    fn document(&self, body: &[u8]) -> Result<Vec<Transaction>, DecodeError> {
        let skip = |at: usize| at + body[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let mut at = skip(0);
        if body.get(at) != Some(&b'[') {
            return Ok(vec![self.whole(body, (at, body.len()), 0)?]);
        }
        let mut transactions = Vec::new();
        at = skip(at + 1);
        if body.get(at) == Some(&b']') {
            at += 1;
        } else {
            loop {
                let (transaction, end) = self.one(body, at, transactions.len())?;
                transactions.push(transaction);
                at = skip(end);
                match body.get(at) {
                    Some(b',') => at += 1,
                    Some(b']') => break,
                    _ => return Err(syntax(transactions.len(), at, "expected `,` or `]` after an object")),
                }
            }
            at += 1;
        }
        match body[at..].iter().position(|byte| !byte.is_ascii_whitespace()) {
            None => Ok(transactions),
            Some(more) => Err(syntax(transactions.len(), at + more, "expected the end of the body after the array")),
        }
    }
}

impl Decode for MappedDecoder {
    fn decode(&self, frame: Bytes, transactions: &mut Vec<Transaction>) -> Result<(), DecodeError> {
        match self.format.of(&frame) {
            Format::Object => transactions.push(self.whole(&frame, (0, frame.len()), 0)?),
            Format::Document | Format::Record => transactions.append(&mut self.document(&frame)?),
            Format::Lines => transactions.append(&mut self.lines(&frame)?),
        }
        Ok(())
    }

    fn max_frame_bytes(&self) -> usize {
        match self.format {
            Format::Object => self.limits.max_bytes,
            Format::Document | Format::Lines | Format::Record => usize::MAX,
        }
    }
}

fn syntax(index: usize, offset: usize, reason: &str) -> DecodeError {
    DecodeError { index, offset, reason: reason.to_owned(), too_large: false }
}
