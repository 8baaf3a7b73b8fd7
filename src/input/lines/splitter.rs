//! Splitting a stream of bytes into lines without copying them.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memrchr};

/// A line of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::input) struct Line {
    /// Counted from 1; empty lines count.
    pub(in crate::input) number: u64,
    /// Without its line end; `None` if it was longer than the limit and was discarded.
    pub(in crate::input) text: Option<Bytes>,
}

/// Finds the frames of a stream, of which a line is the usual one.
pub(in crate::input) trait Splitter: Send {
    /// The buffer to read into.
    fn buffer(&mut self) -> &mut BytesMut;

    /// The number of lines that were returned or skipped.
    fn lines(&self) -> u64;

    /// The next complete line that is not empty; `None` when more must be read.
    fn next(&mut self) -> Option<Line>;

    /// At the end of the stream: a last line without its end.
    fn last(&mut self) -> Option<Line>;

    /// Why nothing more can be found in the stream; `None` while it can.
    fn fault(&self) -> Option<String> {
        None
    }

    /// Gives memory back if the buffer is much larger than what it holds and `room` bytes. Returns whether it was.
    fn shrink(&mut self, room: usize) -> bool {
        let buffer = self.buffer();
        let wanted = buffer.len() + room;
        let shrinks = buffer.capacity() > 2 * wanted;
        if shrinks {
            let mut smaller = BytesMut::with_capacity(wanted);
            smaller.extend_from_slice(buffer);
            *buffer = smaller;
        }
        shrinks
    }
}

/// Splits what is read into lines, which are slices of the blocks that were read.
#[derive(Debug)]
pub(in crate::input) struct LineSplitter {
    /// Bytes read after the last line end.
    buffer: BytesMut,
    /// Bytes of `buffer` that are known to hold no line end.
    scanned: usize,
    /// Complete lines; those before `at` were returned.
    block: Bytes,
    at: usize,
    /// Bytes of the longest line.
    limit: usize,
    /// Whether the rest of a line that is too long is being discarded.
    skipping: bool,
    /// Whether a carriage return at the end of a line is part of it.
    keeps_cr: bool,
    /// Number of the last line that was returned or skipped.
    number: u64,
    /// Where `block`, or without one `buffer`, begins in the stream.
    start: u64,
}

impl LineSplitter {
    /// A splitter that buffers at most `limit` bytes (and one read) of a line whose end was not read yet.
    pub(in crate::input) fn new(limit: usize) -> Self {
        Self::starting_at(0, false, limit)
    }

    /// The same, with lines that keep a carriage return at their end.
    pub(in crate::input) fn keeping_cr(self) -> Self {
        Self { keeps_cr: true, ..self }
    }

    /// A splitter whose first byte is at `offset` of the stream, where a line begins; with `skipping` it is within a line
    /// that is discarded.
    pub(in crate::input) fn starting_at(offset: u64, skipping: bool, limit: usize) -> Self {
        let (buffer, block) = (BytesMut::new(), Bytes::new());
        Self { buffer, scanned: 0, block, at: 0, limit, skipping, keeps_cr: false, number: 0, start: offset }
    }

    /// The offset in the stream after what was returned or skipped.
    pub(in crate::input) fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// Whether the rest of a line that is too long is being discarded.
    pub(in crate::input) fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Of the bytes before [`Self::offset`] those that are held still, at most `count`.
    pub(in crate::input) fn recent(&self, count: usize) -> &[u8] {
        &self.block[self.at.saturating_sub(count)..self.at]
    }

    /// A line as it is returned; `None` if only white space is left.
    fn trimmed(&self, text: Bytes) -> Option<Bytes> {
        if self.keeps_cr { Some(text).filter(|text| !text.trim_ascii().is_empty()) } else { not_empty(text) }
    }

    /// Moves complete lines into `block`, or returns that the line in `buffer` is too long; `None` when more must be read.
    fn refill(&mut self) -> Option<Option<Line>> {
        if self.skipping {
            let Some(end) = memchr(b'\n', &self.buffer) else {
                self.start += self.buffer.len() as u64;
                self.buffer.clear();
                return None;
            };
            self.start += end as u64 + 1;
            self.buffer.advance(end + 1);
            self.skipping = false;
        }
        if let Some(end) = memrchr(b'\n', &self.buffer[self.scanned..]) {
            self.block = self.buffer.split_to(self.scanned + end + 1).freeze();
            self.scanned = 0;
            return Some(None);
        }
        if self.buffer.len() <= self.limit {
            self.scanned = self.buffer.len();
            return None;
        }
        self.start += self.buffer.len() as u64;
        self.buffer.clear();
        self.scanned = 0;
        self.skipping = true;
        self.number += 1;
        Some(Some(Line { number: self.number, text: None }))
    }
}

impl Splitter for LineSplitter {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    fn lines(&self) -> u64 {
        self.number
    }

    fn next(&mut self) -> Option<Line> {
        loop {
            while self.at < self.block.len() {
                let rest = &self.block[self.at..];
                let length = memchr(b'\n', rest).unwrap_or(rest.len());
                let text = self.block.slice(self.at..self.at + length);
                self.at += length + 1;
                self.number += 1;
                if let Some(text) = self.trimmed(text) {
                    return Some(Line { number: self.number, text: Some(text) });
                }
            }
            // Releases the block, so that the buffer can be used again.
            self.start += std::mem::take(&mut self.at) as u64;
            self.block = Bytes::new();
            if let Some(too_long) = self.refill()? {
                return Some(too_long);
            }
        }
    }

    fn last(&mut self) -> Option<Line> {
        let rest = std::mem::take(&mut self.buffer).freeze();
        self.start += rest.len() as u64;
        self.scanned = 0;
        if std::mem::take(&mut self.skipping) || rest.is_empty() {
            return None;
        }
        self.number += 1;
        self.trimmed(rest).map(|text| Line { number: self.number, text: Some(text) })
    }
}

/// The line without a carriage return at its end; `None` if only white space is left.
pub(in crate::input) fn not_empty(mut text: Bytes) -> Option<Bytes> {
    if text.ends_with(b"\r") {
        text.truncate(text.len() - 1);
    }
    (!text.trim_ascii().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]], limit: usize) -> Vec<Line> {
        let mut splitter = LineSplitter::new(limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.buffer().extend_from_slice(chunk);
            lines.extend(std::iter::from_fn(|| splitter.next()));
        }
        lines.extend(splitter.last());
        lines
    }

    fn line(number: u64, text: &'static str) -> Line {
        Line { number, text: Some(Bytes::from_static(text.as_bytes())) }
    }

    /// Scenario: LF, CR LF, empty lines, white space, and no line end at the end.
    /// Guarantees: each line is returned once with its number in the stream; empty ones only count.
    #[test]
    fn line_ends() {
        let lines = all(&[b"a\r\n\n \nb", b"c\nd"], 100);
        assert_eq!(lines, [line(1, "a"), line(4, "bc"), line(5, "d")]);
    }

    /// Scenario: a line far over the limit between two good ones, in small chunks, and one at the end of the stream.
    /// Guarantees: it is reported once, is never buffered whole, and the lines around it are untouched.
    #[test]
    fn too_long() {
        let long = [b'x'; 64];
        let mut splitter = LineSplitter::new(10);
        let mut lines = Vec::new();
        splitter.buffer().extend_from_slice(b"a\n");
        for _ in 0..100 {
            splitter.buffer().extend_from_slice(&long);
            lines.extend(std::iter::from_fn(|| splitter.next()));
            assert!(splitter.buffer().len() <= 10);
        }
        splitter.buffer().extend_from_slice(b"xx\nb\nxxxxxxxxxxxxxxxxx");
        lines.extend(std::iter::from_fn(|| splitter.next()));
        lines.extend(splitter.last());
        let too_long = |number| Line { number, text: None };
        assert_eq!(lines, [line(1, "a"), too_long(2), line(3, "b"), too_long(4)]);
    }

    /// Scenario: a stream that is read from its middle: the end of a line that is discarded, lines, an empty one, a line that
    /// is too long, and a start of one.
    /// Guarantees: the offset is always that after what was returned or skipped, and the bytes before it are those of the
    /// stream.
    #[test]
    fn offsets() {
        let mut splitter = LineSplitter::starting_at(1000, true, 10);
        splitter.buffer().extend_from_slice(b"end\nab\n\ncd\n");
        assert_eq!(splitter.next().unwrap().text.unwrap(), "ab");
        assert_eq!((splitter.offset(), splitter.recent(100), splitter.is_skipping()), (1007, &b"ab\n"[..], false));
        assert_eq!(splitter.next().unwrap().text.unwrap(), "cd");
        assert_eq!((splitter.offset(), splitter.recent(4)), (1011, &b"\ncd\n"[..]));
        splitter.buffer().extend_from_slice(b"xxxxxxxxxxxxxxxxxxxx");
        assert_eq!(splitter.next().unwrap().text, None);
        assert_eq!((splitter.offset(), splitter.is_skipping()), (1031, true));
        splitter.buffer().extend_from_slice(b"xx\nef\ngh");
        assert_eq!(splitter.next().unwrap().text.unwrap(), "ef");
        assert_eq!(splitter.next(), None);
        assert_eq!((splitter.offset(), splitter.buffer().len()), (1037, 2));
        assert_eq!(splitter.last().unwrap().text.unwrap(), "gh");
        assert_eq!(splitter.offset(), 1039);
    }

    /// Scenario: a buffer that large reads have filled, of which the start of a line is left.
    /// Guarantees: memory that is not needed is given back, once; the line goes on.
    #[test]
    fn memory_is_given_back() {
        let mut splitter = LineSplitter::new(1000);
        splitter.buffer().reserve(1 << 20);
        splitter.buffer().extend_from_slice(b"a\nbeg");
        assert_eq!(splitter.next(), Some(line(1, "a")));
        assert_eq!(splitter.next(), None);
        assert!(splitter.shrink(16) && !splitter.shrink(16));
        assert!(splitter.buffer().capacity() < 1000);
        splitter.buffer().extend_from_slice(b"in\n");
        assert_eq!(splitter.next(), Some(line(2, "begin")));
    }

    proptest! {
        /// Scenario: any bytes, cut into reads anywhere.
        /// Guarantees: the lines are those that the standard library's split gives, wherever the cuts are.
        #[test]
        fn cuts_do_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let expected: Vec<Line> = text
                .split(|byte| *byte == b'\n')
                .zip(1..)
                .map(|(line, number)| (line.strip_suffix(b"\r").unwrap_or(line), number))
                .filter(|(line, _)| !line.trim_ascii().is_empty())
                .map(|(line, number)| Line { number, text: Some(Bytes::copy_from_slice(line)) })
                .collect();
            prop_assert_eq!(all(&chunks, 1000), expected);
        }
    }
}
