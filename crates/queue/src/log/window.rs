//! Reads a file through a window of a few hundred kilobytes.

use std::io;
use std::sync::Arc;

use super::disk::File;

/// Bytes of one read.
const WINDOW_BYTES: usize = 256 << 10;

/// A part of a file in memory.
pub struct Window {
    file: Arc<dyn File>,
    bytes: Vec<u8>,
    at: u64,
}

impl Window {
    /// A window of `file`, which is empty at first.
    pub fn new(file: Arc<dyn File>) -> Self {
        Self { file, bytes: Vec::new(), at: 0 }
    }

    /// Forgets what was read: the file may have changed.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// `len` bytes at `at`; `None` if the file has fewer.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn peek(&mut self, at: u64, len: usize) -> io::Result<Option<&[u8]>> {
        if !self.holds(at, len) {
            let rest = usize::try_from(self.file.len()?.saturating_sub(at)).unwrap_or(usize::MAX);
            if len > rest {
                return Ok(None);
            }
            // In case of an error.
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.resize(len.max(WINDOW_BYTES).min(rest), 0);
            let read = self.file.read_at(&mut bytes, at)?;
            bytes.truncate(read);
            (self.bytes, self.at) = (bytes, at);
        }
        if !self.holds(at, len) {
            return Ok(None);
        }
        let from = usize::try_from(at - self.at).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..from + len))
    }

    fn holds(&self, at: u64, len: usize) -> bool {
        at >= self.at && at + len as u64 <= self.at + self.bytes.len() as u64
    }
}
