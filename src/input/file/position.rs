//! Which file is which, and how far it was read.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use serde::{Deserialize, Serialize};

/// Bytes that a mark covers, at most.
pub(super) const MARK_BYTES: usize = 256;

/// Bytes of one read when a large part of a file is compared.
const COMPARE_BYTES: usize = 256 << 10;

/// A file of the system, whatever its name is. A number is used again when its file is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct FileId {
    /// The device.
    pub(super) device: u64,
    /// The inode.
    pub(super) inode: u64,
}

impl From<&Metadata> for FileId {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A part of a file that was read: where it is, and its checksum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Mark {
    at: u64,
    bytes: u64,
    crc32: u32,
}

impl Mark {
    /// The part `bytes`, which begins at `at`.
    pub(super) fn of(at: u64, bytes: &[u8]) -> Self {
        Self { at, bytes: bytes.len() as u64, crc32: crc32fast::hash(bytes) }
    }

    /// The part from `at` to `end` whose checksum is that of `hasher`.
    pub(super) fn of_hasher(at: u64, end: u64, hasher: &crc32fast::Hasher) -> Self {
        Self { at, bytes: end - at, crc32: hasher.clone().finalize() }
    }

    /// A hasher that continues behind the part.
    pub(super) fn hasher(&self) -> crc32fast::Hasher {
        crc32fast::Hasher::new_with_initial_len(self.crc32, self.bytes)
    }

    /// Where the part begins.
    pub(super) fn start(&self) -> u64 {
        self.at
    }

    /// Where the part ends.
    pub(super) fn end(&self) -> u64 {
        self.at + self.bytes
    }

    /// Whether the part is in `file`. Reads all of it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn is_in(&self, file: &File) -> io::Result<bool> {
        let mut hasher = crc32fast::Hasher::new();
        let mut buffer = vec![0; usize::try_from(self.bytes).map_or(COMPARE_BYTES, |bytes| bytes.min(COMPARE_BYTES))];
        let mut at = self.at;
        while at < self.end() {
            let part = usize::try_from(self.end() - at).map_or(buffer.len(), |left| left.min(buffer.len()));
            let read = read_at(file, &mut buffer[..part], at)?;
            hasher.update(&buffer[..read]);
            if read < part {
                return Ok(false);
            }
            at += read as u64;
        }
        Ok(hasher.finalize() == self.crc32)
    }
}

/// How far a file was read: the entries of all lines before it are safe.
///
/// Its marks tell whether the file still is the one that was read. A file that was truncated and has grown past the position
/// again, and another file with the same inode, have other bytes there, unless someone wrote the same bytes at the same
/// places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Bytes from the start of the file.
    pub(super) offset: u64,
    /// Whether it is within a line that is left out, because it is too long or was not read from its start.
    #[serde(default)]
    pub(super) skipping: bool,
    /// The first bytes of the file.
    #[serde(default)]
    pub(super) head: Mark,
    /// The end of the last line that was read.
    #[serde(default)]
    pub(super) last: Mark,
    /// Everything that was read, perhaps without its end.
    #[serde(default)]
    pub(super) whole: Mark,
}

impl Position {
    /// The position at the end of `file`, of whose first `offset` bytes nothing is read.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn at_end(file: &File, offset: u64) -> io::Result<Self> {
        let mut buffer = [0; MARK_BYTES];
        let head = read_at(file, &mut buffer, 0)?.min(usize::try_from(offset).unwrap_or(MARK_BYTES));
        let head = Mark::of(0, &buffer[..head]);
        let start = offset.saturating_sub(MARK_BYTES as u64);
        let wanted = usize::try_from(offset - start).unwrap_or(MARK_BYTES);
        let read = read_at(file, &mut buffer[..wanted], start)?;
        let skipping = read > 0 && buffer[read - 1] != b'\n';
        let offset = start + read as u64;
        Ok(Self { offset, skipping, head, last: Mark::of(start, &buffer[..read]), whole: Mark::of(offset, b"") })
    }

    /// Whether `file`, which has `size` bytes, still is the file of which this was read. Reads at most two marks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn fits(&self, file: &File, size: u64) -> io::Result<bool> {
        Ok(size >= self.offset && self.head.is_in(file)? && self.last.is_in(file)?)
    }

    /// Whether `file`, which has `size` bytes, is a copy of the file of which this was read. Reads everything up to the
    /// position if its beginning is the same.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn is_of_copy(&self, file: &File, size: u64) -> io::Result<bool> {
        // Without it, two files with the same first line would be taken for copies of each other.
        let is_whole = self.whole.start() == 0 && self.whole.end() > 0;
        Ok(is_whole && size >= self.offset && self.fits(file, size)? && self.whole.is_in(file)?)
    }

    /// The position in a copy, up to which its bytes were compared.
    pub(super) fn in_copy(mut self) -> Self {
        if self.whole.end() < self.offset {
            (self.offset, self.skipping, self.last) = (self.whole.end(), false, Mark::default());
        }
        self
    }
}

/// Reads into `buffer` until it is full or the file ends; returns how much.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn position(bytes: &[u8], offset: usize) -> Position {
        let start = offset.saturating_sub(MARK_BYTES);
        Position {
            offset: offset as u64,
            skipping: false,
            head: Mark::of(0, &bytes[..offset.min(MARK_BYTES)]),
            last: Mark::of(start as u64, &bytes[start..offset]),
            whole: Mark::of(0, &bytes[..offset]),
        }
    }

    fn lines(from: usize, count: usize) -> Vec<u8> {
        (from..from + count).flat_map(|i| format!("{{\"line\":{i}}}\n").into_bytes()).collect()
    }

    /// Scenario: a file that has grown, one that was truncated and has grown past the position again, one that is shorter,
    /// one that differs only between the marks.
    /// Guarantees: the first is the file that was read; of the last only its beginning and the bytes before the position are
    /// compared, which is the limit of what can be told without reading it all.
    #[test]
    fn positions_fit_their_file() {
        let old = lines(0, 1000);
        let read = position(&old, 5000);
        let fits = |bytes: &[u8]| read.fits(&file(bytes), bytes.len() as u64).unwrap();
        assert!(fits(&old) && fits(&old[..5000]));
        assert!(!fits(&old[..4999]) && !fits(&lines(7, 1000)));
        let mut between = old.clone();
        between[2000] ^= 1;
        assert!(fits(&between));
        assert!(Position::default().fits(&file(b""), 0).unwrap());
    }

    /// Scenario: the copy that logrotate makes before it truncates a file; a file that differs in one byte; a file of which
    /// not everything was read.
    /// Guarantees: only the copy is taken for one.
    #[test]
    fn copies_are_told_by_all_of_their_bytes() {
        let old = lines(0, 100_000);
        let read = position(&old, 1_000_000);
        let is_copy = |position: Position, bytes: &[u8]| position.is_of_copy(&file(bytes), bytes.len() as u64).unwrap();
        assert!(is_copy(read, &old));
        let mut other = old.clone();
        other[500_000] ^= 1;
        assert!(!is_copy(read, &other));
        assert!(!is_copy(Position { whole: Mark::of(20, &old[20..1_000_000]), ..read }, &old));
        assert!(!is_copy(Position::default(), &old));
    }

    /// Scenario: the end of files with and without a line end, short and empty ones.
    /// Guarantees: the rest of a line that is not read from its start is left out; the position fits its file.
    #[test]
    fn the_end_of_a_file() {
        for (bytes, skipping) in [(lines(0, 100), false), (b"{\"half\"".to_vec(), true), (Vec::new(), false)] {
            let position = Position::at_end(&file(&bytes), bytes.len() as u64).unwrap();
            assert_eq!((position.offset, position.skipping), (bytes.len() as u64, skipping));
            assert!(position.fits(&file(&bytes), bytes.len() as u64).unwrap());
            assert!(!position.is_of_copy(&file(&bytes), bytes.len() as u64).unwrap());
        }
    }
}
