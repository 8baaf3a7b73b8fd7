//! Decodes log objects of Kong's logging plugins: one JSON object for each transaction.

use bytes::Bytes;
use logphase_script::transaction::{Limits, Transaction, TransactionReader};

use super::{Decode, DecodeError};

/// How a frame holds Kong's log objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object: a line of tcp-log, a datagram of udp-log.
    Object,
    /// One object, or an array of objects: a body of http-log.
    Document,
    /// One object on each line; empty lines are skipped.
    Lines,
    /// One object, an array of objects, or one object on each line: a record of a topic.
    Record,
}

impl Format {
    /// The format of `frame`: for a record, that which it looks like. Lines are objects that each begin and end on a line of
    /// their own.
    pub(super) fn of(self, frame: &[u8]) -> Self {
        if self != Self::Record {
            return self;
        }
        let mut lines = frame.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let is_object = lines.next().is_some_and(|line| line.starts_with(b"{") && line.ends_with(b"}"));
        let is_followed = is_object && lines.next().is_some_and(|line| line.starts_with(b"{"));
        if is_followed { Self::Lines } else { Self::Document }
    }
}

/// Decodes Kong's log objects.
#[derive(Debug, Clone, Copy)]
pub struct KongDecoder {
    format: Format,
    limits: Limits,
}

impl KongDecoder {
    /// A decoder of frames in `format`; `limits` apply to each transaction.
    pub fn new(format: Format, limits: Limits) -> Self {
        Self { format, limits }
    }

    /// The same decoder for frames in `format`.
    pub fn reading(self, format: Format) -> Self {
        Self { format, ..self }
    }
}

impl Decode for KongDecoder {
    #[inline]
    fn decode(&self, frame: Bytes, transactions: &mut Vec<Transaction>) -> Result<(), DecodeError> {
        match self.format.of(&frame) {
            Format::Object => {
                let decoded = Transaction::parse(frame, &self.limits);
                transactions.push(decoded.map_err(|error| DecodeError::of(error, 0, 0))?);
            }
            Format::Document | Format::Record => transactions.append(&mut document(&frame, &self.limits)?),
            Format::Lines => transactions.append(&mut lines(&frame, &self.limits)?),
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

/// The transactions of one object or of an array of objects.
///
/// # Errors
/// The first invalid transaction, or a syntax error between two transactions.
pub fn document(body: &Bytes, limits: &Limits) -> Result<Vec<Transaction>, DecodeError> {
    let skip = |at: usize| at + body[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let at = skip(0);
    if body.get(at) != Some(&b'[') {
        let decoded = Transaction::parse(body.clone(), limits);
        return decoded.map(|one| vec![one]).map_err(|error| DecodeError::of(error, 0, 0));
    }
    let reader = TransactionReader::new(body, limits).map_err(|error| DecodeError::of(error, 0, 0))?;
    let mut transactions = Vec::new();
    let mut at = skip(at + 1);
    if body.get(at) == Some(&b']') {
        at += 1;
    } else {
        loop {
            let (transaction, end) = reader.read(at).map_err(|error| DecodeError::of(error, transactions.len(), at))?;
            transactions.push(transaction);
            at = skip(end);
            match body.get(at) {
                Some(b',') => at += 1,
                Some(b']') => break,
                _ => return Err(syntax(transactions.len(), at, "expected `,` or `]` after a transaction")),
            }
        }
        at += 1;
    }
    match body[at..].iter().position(|byte| !byte.is_ascii_whitespace()) {
        None => Ok(transactions),
        Some(more) => Err(syntax(transactions.len(), at + more, "expected the end of the body after the array")),
    }
}

/// The transactions of JSON lines. Empty lines are skipped and not counted in the index of an error.
///
/// # Errors
/// The first invalid line.
pub fn lines(body: &Bytes, limits: &Limits) -> Result<Vec<Transaction>, DecodeError> {
    let mut transactions = Vec::new();
    let mut start = 0;
    while start < body.len() {
        let end = memchr::memchr(b'\n', &body[start..]).map_or(body.len(), |length| start + length);
        let line = body.slice(start..end);
        if !line.iter().all(u8::is_ascii_whitespace) {
            let decoded = Transaction::parse(line, limits);
            transactions.push(decoded.map_err(|error| DecodeError::of(error, transactions.len(), start))?);
        }
        start = end + 1;
    }
    Ok(transactions)
}

fn syntax(index: usize, offset: usize, reason: &str) -> DecodeError {
    DecodeError { index, offset, reason: reason.to_owned(), too_large: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(format: Format, frame: &'static str) -> Result<usize, (usize, usize)> {
        let mut transactions = Vec::new();
        let decoder = KongDecoder::new(format, Limits::default());
        let decoded = decoder.decode(Bytes::from_static(frame.as_bytes()), &mut transactions);
        assert!(decoded.is_ok() || transactions.is_empty(), "a rejected frame adds nothing: {frame}");
        decoded.map(|()| transactions.len()).map_err(|error| (error.index, error.offset))
    }

    /// Scenario: documents of one object and arrays, valid and broken.
    /// Guarantees: all transactions are decoded, or the error has the index of the first bad one and its byte offset.
    #[test]
    fn documents() {
        let document = |text| decode(Format::Document, text);
        assert_eq!(document(r#"{"a":1}"#), Ok(1));
        assert_eq!(document(" [ ] "), Ok(0));
        assert_eq!(document(r#"[{"a":1}, {"a":2} ,{}]"#), Ok(3));
        assert_eq!(document(r#"[{"a":1}, {"a":} ]"#), Err((1, 15)));
        assert_eq!(document(r#"[{"a":1},]"#), Err((1, 9)));
        assert_eq!(document(r#"[{"a":1} {}]"#), Err((1, 9)));
        assert_eq!(document("[1]"), Err((0, 1)));
        assert_eq!(document("[{}] x"), Err((1, 5)));
        assert_eq!(document("[{}"), Err((1, 3)));
    }

    /// Scenario: an array whose second object has a byte that is not UTF-8.
    /// Guarantees: the document is rejected, with the offset of that byte.
    #[test]
    fn documents_are_utf8() {
        let body = Bytes::from_static(b"[{},{\"a\":\"\xff\"}]");
        let error = document(&body, &Limits::default()).unwrap_err();
        assert_eq!((error.index, error.offset, error.too_large), (0, 10, false));
    }

    /// Scenario: JSON lines with empty lines and without a final line feed, and with a bad second line.
    /// Guarantees: all transactions are decoded, or the error has the index of the first bad line and its byte offset.
    #[test]
    fn json_lines() {
        assert_eq!(decode(Format::Lines, "{}\n\r\n{\"a\":1}\r\n{}"), Ok(3));
        assert_eq!(decode(Format::Lines, "{}\n{]\n"), Err((1, 4)));
    }

    /// Scenario: records with one object, an array, lines, one object over several lines, and broken ones of each.
    /// Guarantees: all transactions are decoded, or the error is that of what the record looks like.
    #[test]
    fn records() {
        let record = |text| decode(Format::Record, text);
        assert_eq!(record(r#"{"a":1}"#), Ok(1));
        assert_eq!(record("{\"a\":\n1}\n"), Ok(1));
        assert_eq!(record(r#"[{"a":1}, {}]"#), Ok(2));
        assert_eq!(record("{\"a\":1}\n{}\r\n\n{}"), Ok(3));
        assert_eq!(record("\n{\"a\":1}\n{}\n"), Ok(2));
        assert_eq!(record("[]"), Ok(0));
        assert_eq!(record(r#"{"a":}"#), Err((0, 5)));
        assert_eq!(record("{\"a\":\n}"), Err((0, 6)));
        assert_eq!(record("{}\n{]\n"), Err((1, 4)));
        assert_eq!(record("{} {}"), Err((0, 3)));
        assert_eq!(record("[{}]\n[{}]"), Err((1, 5)));
        assert_eq!(record(""), Err((0, 0)));
        assert_eq!(record("\n\n"), Err((0, 2)));
        assert_eq!(record("{\"a\":{}\n,\"b\":1}"), Ok(1));
    }

    /// Scenario: one object, two objects, an array, and an object over a limit, each as a frame of one object.
    /// Guarantees: only the first is accepted; the last is reported as too large, not as malformed.
    #[test]
    fn objects() {
        assert_eq!(decode(Format::Object, " {\"a\":1}\r"), Ok(1));
        assert_eq!(decode(Format::Object, "{}\n{}"), Err((0, 3)));
        assert_eq!(decode(Format::Object, "[{}]"), Err((0, 0)));
        let decoder = KongDecoder::new(Format::Object, Limits { max_bytes: 5, ..Limits::default() });
        let error = decoder.decode(Bytes::from_static(b"{\"a\":1}"), &mut Vec::new()).unwrap_err();
        assert!(error.too_large);
        assert_eq!(decoder.max_frame_bytes(), 5);
    }
}
