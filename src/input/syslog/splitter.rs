//! The messages of a TCP stream (RFC 6587): behind the count of their bytes, or with a line end. Each message is looked at
//! for itself, as other receivers do: it is counted if a number and a space are before it.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

use crate::input::lines::{Line, Splitter, not_empty};

/// The digits of a count, at most.
const MAX_DIGITS: usize = 9;

/// The largest message that is skipped because it is too large. A larger count is more likely no count, so that it is not known
/// where the next message begins.
const MAX_SKIPPED_BYTES: usize = 64 << 20;

/// Splits what is read into messages.
#[derive(Debug)]
pub(super) struct MessageSplitter {
    buffer: BytesMut,
    /// Bytes of `buffer` that are known to hold no line end.
    scanned: usize,
    /// Bytes of the longest message.
    limit: usize,
    skipping: Skipping,
    /// A count that no message can have.
    absurd: Option<String>,
    /// Number of the last message that was returned or skipped.
    number: u64,
}

/// What of a message that is too long is still to be discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skipping {
    Nothing,
    ToLineEnd,
    Bytes(usize),
}

/// How a message at the start of the buffer is framed.
enum Framing {
    /// More must be read to know.
    Unknown,
    Line,
    /// `bytes` of message after `digits` and a space.
    Counted {
        digits: usize,
        bytes: usize,
    },
    Absurd,
}

impl MessageSplitter {
    /// A splitter that buffers at most `limit` bytes (and one read) of a message that is not complete.
    pub(super) fn new(limit: usize) -> Self {
        let (buffer, skipping) = (BytesMut::new(), Skipping::Nothing);
        Self { buffer, scanned: 0, limit, skipping, absurd: None, number: 0 }
    }

    /// Discards what is left of a message that is too long; whether that is all of it.
    fn skip(&mut self) -> bool {
        match self.skipping {
            Skipping::Nothing => {}
            Skipping::ToLineEnd => {
                let Some(end) = line_end(&self.buffer) else {
                    self.buffer.clear();
                    return false;
                };
                self.buffer.advance(end + 1);
            }
            Skipping::Bytes(bytes) => {
                let here = bytes.min(self.buffer.len());
                self.buffer.advance(here);
                if here < bytes {
                    self.skipping = Skipping::Bytes(bytes - here);
                    return false;
                }
            }
        }
        self.skipping = Skipping::Nothing;
        true
    }

    fn framing(&self) -> Framing {
        let digits = self.buffer.iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || self.buffer[0] == b'0' {
            return Framing::Line;
        }
        match self.buffer.get(digits) {
            None => Framing::Unknown,
            Some(b' ') if digits <= MAX_DIGITS => {
                let bytes = self.buffer[..digits].iter().fold(0, |bytes, digit| bytes * 10 + usize::from(digit - b'0'));
                if bytes > MAX_SKIPPED_BYTES.max(self.limit) {
                    Framing::Absurd
                } else {
                    Framing::Counted { digits, bytes }
                }
            }
            Some(b' ' | b'0'..=b'9') => Framing::Absurd,
            Some(_) => Framing::Line,
        }
    }

    /// A message with a line end; `None` when more must be read.
    fn next_line(&mut self) -> Option<Line> {
        match line_end(&self.buffer[self.scanned..]) {
            Some(end) => {
                let text = self.buffer.split_to(self.scanned + end + 1).freeze();
                self.scanned = 0;
                let line = self.number_next(text.slice(..text.len() - 1));
                if line.text.as_ref().is_some_and(|text| text.len() > self.limit) {
                    Some(Line { text: None, ..line })
                } else {
                    Some(line)
                }
            }
            None if self.buffer.len() > self.limit => {
                self.buffer.clear();
                self.scanned = 0;
                Some(self.too_long(Skipping::ToLineEnd))
            }
            None => {
                self.scanned = self.buffer.len();
                None
            }
        }
    }

    fn number_next(&mut self, text: Bytes) -> Line {
        self.number += 1;
        Line { number: self.number, text: Some(text) }
    }

    fn too_long(&mut self, skipping: Skipping) -> Line {
        self.skipping = skipping;
        self.number += 1;
        Line { number: self.number, text: None }
    }

    /// Discards line ends and NUL before a message; senders of counted messages may add them.
    fn discard_line_ends(&mut self) {
        if self.scanned == 0 {
            let between = self.buffer.iter().take_while(|byte| **byte == 0 || byte.is_ascii_whitespace()).count();
            self.buffer.advance(between);
        }
    }
}

/// Where a line ends: at a line feed, or at the NUL that some senders use instead (RFC 6587, 3.4.2).
fn line_end(text: &[u8]) -> Option<usize> {
    memchr2(b'\n', 0, text)
}

impl Splitter for MessageSplitter {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    fn lines(&self) -> u64 {
        self.number
    }

    fn next(&mut self) -> Option<Line> {
        if self.absurd.is_some() || !self.skip() {
            return None;
        }
        self.discard_line_ends();
        match self.framing() {
            Framing::Unknown => None,
            Framing::Line => self.next_line(),
            Framing::Counted { digits, bytes } if bytes > self.limit => {
                self.buffer.advance(digits + 1);
                Some(self.too_long(Skipping::Bytes(bytes)))
            }
            Framing::Counted { digits, bytes } if self.buffer.len() > digits + bytes => {
                self.buffer.advance(digits + 1);
                let text = self.buffer.split_to(bytes).freeze();
                Some(self.number_next(text))
            }
            Framing::Counted { .. } => None,
            Framing::Absurd => {
                let count = String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(MAX_DIGITS)]);
                self.absurd = Some(count.split(' ').next().unwrap_or_default().to_owned());
                self.buffer.clear();
                None
            }
        }
    }

    fn last(&mut self) -> Option<Line> {
        let skipping = std::mem::replace(&mut self.skipping, Skipping::Nothing);
        if skipping != Skipping::Nothing {
            self.buffer.clear();
        }
        if let Framing::Counted { digits, .. } = self.framing() {
            self.buffer.advance(digits + 1);
        }
        self.scanned = 0;
        let rest = not_empty(self.buffer.split().freeze())?;
        Some(self.number_next(rest))
    }

    fn fault(&self) -> Option<String> {
        let count = self.absurd.as_ref()?;
        Some(format!(
            "a message of {count}... bytes is announced, so the connection is closed; send counts (RFC 6587) or lines"
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(splitter: &mut MessageSplitter, chunk: &[u8], found: &mut Vec<Option<Vec<u8>>>) {
        splitter.buffer().extend_from_slice(chunk);
        let lines = std::iter::from_fn(|| splitter.next()).map(|line| line.text.map(|text| text.to_vec()));
        found.extend(lines);
    }

    fn all(chunks: &[&[u8]], limit: usize) -> Vec<Option<Vec<u8>>> {
        let mut splitter = MessageSplitter::new(limit);
        let mut found = Vec::new();
        for chunk in chunks {
            drain(&mut splitter, chunk, &mut found);
        }
        found.extend(splitter.last().map(|line| line.text.map(|text| text.to_vec())));
        found
    }

    fn texts(texts: &[&str]) -> Vec<Option<Vec<u8>>> {
        texts.iter().map(|text| Some(text.as_bytes().to_vec())).collect()
    }

    /// Scenario: counted messages with a line end in them, with line ends between them, lines, a line that begins with a date,
    /// a NUL as line end, and a last line without an end, on one stream.
    /// Guarantees: each message is found with its own framing.
    #[test]
    fn both_framings() {
        let stream = b"6 {\n\"a\"}\n\n10 <14>{\"b\"}\0<14>c\r\n2026-11-29 d\0{\"e\"}\n3 fgh<14>i";
        let expected = ["{\n\"a\"}", "<14>{\"b\"}\0", "<14>c\r", "2026-11-29 d", "{\"e\"}", "fgh", "<14>i"];
        assert_eq!(all(&[stream], 100), texts(&expected));
    }

    /// Scenario: a counted message and a line that are too long, before and after good ones, in small pieces.
    /// Guarantees: each is reported once and never held; the next message is found.
    #[test]
    fn too_long() {
        let mut splitter = MessageSplitter::new(10);
        let mut found = Vec::new();
        drain(&mut splitter, b"1 a1000 ", &mut found);
        for _ in 0..100 {
            drain(&mut splitter, b"0123456789", &mut found);
            assert!(splitter.buffer().is_empty());
        }
        drain(&mut splitter, b"1 b<", &mut found);
        for _ in 0..100 {
            drain(&mut splitter, b"0123456789", &mut found);
            assert!(splitter.buffer().len() <= 10);
        }
        drain(&mut splitter, b"\n1 c", &mut found);
        assert_eq!(found, [Some(b"a".to_vec()), None, Some(b"b".to_vec()), None, Some(b"c".to_vec())]);
        assert_eq!(splitter.lines(), 5);
    }

    /// Scenario: counts that no message has, whole and cut in two.
    /// Guarantees: nothing more is taken of the stream, nothing is held, and the reason is told.
    #[test]
    fn absurd_counts() {
        for count in ["99999999 ", "999999999 x", "9999999999", "12345678901234567890 x"] {
            let mut splitter = MessageSplitter::new(10);
            let mut found = Vec::new();
            let (one, two) = count.split_at(3);
            for chunk in ["1 a", one, two, "1 b"] {
                drain(&mut splitter, chunk.as_bytes(), &mut found);
            }
            assert_eq!(found, texts(&["a"]), "{count}");
            assert!(splitter.fault().is_some_and(|fault| fault.contains(&count[..8])), "{:?}", splitter.fault());
        }
    }

    /// Scenario: the end of the stream within a count, a counted message and a skipped one.
    /// Guarantees: what came is returned, without the count; nothing of the skipped one.
    #[test]
    fn cut_off() {
        assert_eq!(all(&[b"12"], 100), texts(&["12"]));
        assert_eq!(all(&[b"12 {\"a\""], 100), texts(&["{\"a\""]));
        assert_eq!(all(&[b"99 abc"], 10), [None]);
        assert_eq!(all(&[b""], 10), []);
    }

    proptest! {
        /// Scenario: messages of any bytes, counted or, if they can be, as lines, cut into reads anywhere.
        /// Guarantees: the messages are found, wherever the cuts are.
        #[test]
        fn cuts_do_not_matter(
            messages in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..12)), 0..8),
            cuts in proptest::collection::vec(0usize..200, 0..8),
        ) {
            let (mut stream, mut expected) = (Vec::new(), Vec::new());
            for (counted, tail) in messages {
                let message = [&b"<14>"[..], &tail].concat();
                let is_line = !message.contains(&b'\n') && !message.contains(&0);
                if counted || !is_line {
                    stream.extend_from_slice(format!("{} ", message.len()).as_bytes());
                }
                stream.extend_from_slice(&message);
                if !counted && is_line {
                    stream.push(b'\n');
                }
                expected.push(Some(message));
            }
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
            prop_assert_eq!(all(&chunks, 100), expected);
        }

        /// Scenario: any bytes, and digits and spaces above all.
        /// Guarantees: no panic and no endless loop; no more than the limit is held; the same is found wherever the cuts are.
        #[test]
        fn any_stream(
            stream in proptest::collection::vec(prop_oneof![b'0'..=b'9', Just(b' '), Just(b'\n'), Just(0), any::<u8>()], 0..300),
            cut in 0usize..300,
        ) {
            let cut = cut.min(stream.len());
            let whole = all(&[&stream], 20);
            prop_assert_eq!(&whole, &all(&[&stream[..cut], &stream[cut..]], 20));
            prop_assert!(whole.iter().flatten().all(|text| text.len() <= 320));
        }
    }
}
