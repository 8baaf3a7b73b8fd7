//! Messages of a gRPC stream: one byte that says whether it is compressed, four with its length, the message
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use bytes::{Buf, Bytes, BytesMut};

/// Bytes in front of a message.
pub(in crate::input) const PREFIX_BYTES: usize = 5;

/// Bytes of a message for which room is made before they are there. A peer may announce more than it sends.
const MAX_AHEAD_BYTES: usize = 128 << 10;

/// The message of a request with one, and whether it is compressed.
///
/// # Errors
/// `body` is not one message and nothing more.
pub(in crate::input) fn unary(body: Bytes) -> Result<(Bytes, bool), &'static str> {
    let Some((&[compressed, length @ ..], message)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err("the request has no message");
    };
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return Err("the request is not one whole message");
    }
    match compressed {
        0 | 1 => Ok((body.slice(PREFIX_BYTES..), compressed == 1)),
        _ => Err("the message has an unknown flag"),
    }
}

/// Why the rest of a stream cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::input) enum FramingError {
    /// A message is compressed; no compression was agreed on.
    Compressed,
    /// A message has this many bytes, which is more than the limit.
    TooLarge(usize),
}

/// Splits a stream into messages.
#[derive(Debug)]
pub(in crate::input) struct Messages {
    received: BytesMut,
    max_bytes: usize,
}

impl Messages {
    /// Of messages with at most `max_bytes`.
    pub(in crate::input) fn new(max_bytes: usize) -> Self {
        Self { received: BytesMut::new(), max_bytes }
    }

    /// More of the stream.
    pub(in crate::input) fn push(&mut self, bytes: &[u8]) {
        // Room for the whole message at once, so that a long one does not move several times.
        let start = if self.received.is_empty() { bytes } else { &self.received[..] };
        if let Some((&[_, length @ ..], _)) = start.split_first_chunk::<PREFIX_BYTES>() {
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            let missing = length.saturating_add(PREFIX_BYTES).saturating_sub(self.received.len());
            self.received.reserve(missing.min(MAX_AHEAD_BYTES).max(bytes.len()));
        }
        self.received.extend_from_slice(bytes);
    }

    /// Bytes that are held of a message that is not complete.
    pub(in crate::input) fn held(&self) -> usize {
        self.received.len()
    }

    /// The next message, if it is complete.
    ///
    /// # Errors
    /// The stream cannot be read any further.
    pub(in crate::input) fn next(&mut self) -> Result<Option<Bytes>, FramingError> {
        let Some((prefix, rest)) = self.received.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [compressed, length @ ..] = *prefix;
        if compressed != 0 {
            return Err(FramingError::Compressed);
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.max_bytes {
            return Err(FramingError::TooLarge(length));
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.received.advance(PREFIX_BYTES);
        let message = self.received.split_to(length).freeze();
        if self.received.is_empty() {
            // A silent stream holds no memory.
            self.received = BytesMut::new();
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: messages, one of them empty, cut at every place; one that is compressed, and one that is too large.
    /// Guarantees: each message once and in order, wherever it is cut; the others are errors before they are received.
    #[test]
    fn messages() {
        let stream = [&b"\0\0\0\0\x03abc"[..], b"\0\0\0\0\0", b"\0\0\0\0\x01d"].concat();
        for cut in 0..stream.len() {
            let (mut messages, mut found) = (Messages::new(3), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                messages.push(part);
                while let Some(message) = messages.next().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!((found, messages.held()), (vec!["abc".into(), Bytes::new(), "d".into()], 0));
        }
        let next = |bytes: &[u8]| {
            let mut messages = Messages::new(3);
            messages.push(bytes);
            messages.next()
        };
        assert_eq!(next(b"\x01\0\0\0\0"), Err(FramingError::Compressed));
        assert_eq!(next(b"\0\0\0\0\x04"), Err(FramingError::TooLarge(4)));
        assert_eq!(next(b"\0\0\0\0"), Ok(None));
    }

    /// Scenario: requests with one message, plain and compressed; with none, a part of one, two, and an unknown flag.
    /// Guarantees: the first two are read; the others are errors.
    #[test]
    fn unary_requests() {
        let unary = |bytes: &'static [u8]| super::unary(Bytes::from_static(bytes));
        assert_eq!(unary(b"\0\0\0\0\x03abc"), Ok(("abc".into(), false)));
        assert_eq!(unary(b"\x01\0\0\0\0"), Ok((Bytes::new(), true)));
        for bytes in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x02a", b"\0\0\0\0\x01a\0\0\0\0\x01b", b"\x02\0\0\0\0"] {
            assert!(unary(bytes).is_err(), "{bytes:?}");
        }
    }
}
