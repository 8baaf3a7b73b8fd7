//! Scans the records of a segment, and skips damaged ones.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::File;
use super::frame::{FRAME_BYTES, FrameHead, HEADER_BYTES, Header, MAX_PAYLOAD};
use super::window::Window;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its sequence number.
    pub seq: u64,
    /// Its content.
    pub payload: Bytes,
}

/// Scans a segment from its first record on.
pub struct Scanner {
    salt: u32,
    offset: u64,
    expected: u64,
    window: Window,
}

impl Scanner {
    /// A scanner of the segment in `file` with this header.
    pub fn new(file: Arc<dyn File>, header: Header) -> Self {
        let offset = HEADER_BYTES as u64;
        Self { salt: header.salt, offset, expected: header.first, window: Window::new(file) }
    }

    /// The sequence number of the next record, if it is intact.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// The offset of the next record, if it is intact.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next intact record before `end`, if there is one. The sequence numbers that it skips are of damaged records.
    pub fn next(&mut self, end: u64) -> io::Result<Option<Record>> {
        if self.expected >= end {
            return Ok(None);
        }
        let expected = self.expected;
        for is_reread in [false, true] {
            if is_reread {
                // The record may have been written after the window was read.
                self.window.clear();
            }
            if let Some(record) = self.frame_at(self.offset, |seq| seq == expected)? {
                return Ok(Some(self.take(self.offset, record)));
            }
        }
        self.search(end)
    }

    /// Searches the next intact record, byte by byte.
    fn search(&mut self, end: u64) -> io::Result<Option<Record>> {
        for at in self.offset + 1.. {
            if self.window.peek(at, FRAME_BYTES)?.is_none() {
                break;
            }
            // Each skipped record has at least the size of a frame. This bound makes a chance match unlikely and the search fast.
            let (from, reach) = (self.expected, self.expected + (at - self.offset) / FRAME_BYTES as u64);
            let found = self.frame_at(at, |seq| (from..=reach).contains(&seq) && seq < end)?;
            if let Some(record) = found {
                return Ok(Some(self.take(at, record)));
            }
        }
        Ok(None)
    }

    fn take(&mut self, at: u64, record: Record) -> Record {
        self.offset = at + (FRAME_BYTES + record.payload.len()) as u64;
        self.expected = record.seq + 1;
        record
    }

    fn frame_at(&mut self, at: u64, wanted: impl FnOnce(u64) -> bool) -> io::Result<Option<Record>> {
        let Some(head) = self.window.peek(at, FRAME_BYTES)?.map(FrameHead::decode) else { return Ok(None) };
        let whole = FRAME_BYTES + head.len as usize;
        if head.len as usize > MAX_PAYLOAD || !wanted(head.seq) {
            return Ok(None);
        }
        let salt = self.salt;
        let Some(frame) = self.window.peek(at, whole)? else { return Ok(None) };
        let payload = &frame[FRAME_BYTES..];
        let sound = head.verifies(salt, payload);
        Ok(sound.then(|| Record { seq: head.seq, payload: Bytes::copy_from_slice(payload) }))
    }
}
