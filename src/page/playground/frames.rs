//! What the service and the keeper of the playground's processes say to each other, over two pipes.
//!
//! A frame is a byte that says what it is, the number of a request (8 bytes), the length of what follows (4 bytes), and that. Numbers are in
//! network byte order.

use std::io::{self, Read};

/// Bytes before the content of a frame.
pub(super) const HEAD: usize = 13;

/// Bytes of a request, and of an answer, at most.
pub(super) const MAX_REQUEST: usize = 8 << 20;
pub(super) const MAX_ANSWER: usize = 4 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request, for a new process.
    Run,
    /// Nobody waits for the answer any more.
    Cancel,
    /// The answer of the process.
    Answer,
    /// The process took too long.
    Late,
    /// The process took too much memory.
    OutOfMemory,
    /// The process failed; the content says how.
    Failed,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Run, Self::Cancel, Self::Answer, Self::Late, Self::OutOfMemory, Self::Failed];
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) request: u64,
    pub(super) length: usize,
}

impl Head {
    /// Reads a head. None if there is no such frame.
    pub(super) fn read(bytes: [u8; HEAD]) -> Option<Self> {
        let [kind, request @ .., a, b, c, d] = bytes;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let kind = *Kind::ALL.get(usize::from(kind))?;
        (length <= MAX_REQUEST).then(|| Self { kind, request: u64::from_be_bytes(request), length })
    }
}

/// A frame.
pub(super) fn frame(kind: Kind, request: u64, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(HEAD + content.len());
    frame.push(kind as u8);
    frame.extend_from_slice(&request.to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(content);
    frame
}

/// The next frame of `from`; `None` at its end.
///
/// # Errors
/// It cannot be read, or is no frame.
pub(super) fn next(from: &mut impl Read) -> io::Result<Option<(Head, Vec<u8>)>> {
    let mut head = [0; HEAD];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let head = Head::read(head).ok_or(io::ErrorKind::InvalidData)?;
    let mut content = vec![0; head.length];
    from.read_exact(&mut content)?;
    Ok(Some((head, content)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: frames of every kind, one after the other, and any other bytes.
        /// Guarantees: each is read as it was written; bytes that are no frame are refused or the end, and take no memory that they only name.
        #[test]
        fn frames_are_read_as_written(frames in prop::collection::vec((0..6_usize, any::<u64>(), prop::collection::vec(any::<u8>(), 0..40)), 0..5),
            noise in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = Vec::new();
            for (kind, request, content) in &frames {
                bytes.extend(frame(Kind::ALL[*kind], *request, content));
            }
            let mut from = &bytes[..];
            for (kind, request, content) in &frames {
                let (head, read) = next(&mut from).unwrap().unwrap();
                prop_assert_eq!((head.kind, head.request, &read), (Kind::ALL[*kind], *request, content));
            }
            prop_assert!(next(&mut from).unwrap().is_none());
            let mut from = &noise[..];
            while let Ok(Some((head, content))) = next(&mut from) {
                prop_assert_eq!(head.length, content.len());
            }
        }
    }
}
