//! Reads records of a log, also while it is written.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::Disk;
use super::frame::Header;
use super::scan::{Record, Scanner};
use super::segment::{self, Opened};
use super::segment_path;

/// The sequence numbers of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The number in the file's name.
    pub generation: u64,
    /// The first.
    pub first: u64,
    /// The first one after it.
    pub end: u64,
}

/// The result of a read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Intact records, in order.
    pub records: Vec<Record>,
    /// Where to continue. The records below it that are missing are damaged.
    pub next: u64,
}

/// Reads records with file handles of its own, so that it does not wait for syncs.
pub struct SegmentReader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    open: Option<(u64, Scanner)>,
    // A record that was read, and did not fit into the last chunk: the first intact one from the number before it on.
    read_ahead: Option<(u64, Record)>,
}

impl SegmentReader {
    /// A reader of the log in `dir`.
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir, open: None, read_ahead: None }
    }

    /// Another reader of the same log.
    pub fn another(&self) -> Self {
        Self::new(self.disk.clone(), self.dir.clone())
    }

    /// Reads records from `from` up to `end`, before which everything is written: at most `entries` and, except for the first
    /// one, `bytes` bytes of payload.
    pub fn read(
        &mut self,
        extents: &[Extent],
        (from, end): (u64, u64),
        entries: usize,
        bytes: usize,
    ) -> io::Result<Chunk> {
        let mut chunk = Chunk { records: Vec::new(), next: from };
        let mut size = 0;
        while chunk.next < end && chunk.records.len() < entries {
            let holds = |extent: &&Extent| (extent.first..extent.end).contains(&chunk.next);
            let Some(extent) = extents.iter().find(holds) else {
                let later = extents.iter().map(|extent| extent.first).filter(|&first| first > chunk.next);
                chunk.next = later.min().unwrap_or(end).min(end);
                continue;
            };
            let until = extent.end.min(end);
            match self.next(*extent, chunk.next, until) {
                Ok(Some(record)) if !chunk.records.is_empty() && size + record.payload.len() > bytes => {
                    self.read_ahead = Some((chunk.next, record));
                    break;
                }
                Ok(Some(record)) => {
                    size += record.payload.len();
                    chunk.next = record.seq + 1;
                    chunk.records.push(record);
                }
                Ok(None) => chunk.next = until,
                // Returns what was read before; the next read gets the error again.
                Err(_) if !chunk.records.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(chunk)
    }

    /// The first intact record of a segment between `from` and `until`.
    fn next(&mut self, extent: Extent, from: u64, until: u64) -> io::Result<Option<Record>> {
        let fits = |(since, record): &mut (u64, Record)| *since <= from && (from..until).contains(&record.seq);
        if let Some((_, record)) = self.read_ahead.take_if(fits) {
            return Ok(Some(record));
        }
        self.read_ahead = None;
        let usable =
            |(generation, scanner): &(u64, Scanner)| *generation == extent.generation && scanner.expected() <= from;
        if !self.open.as_ref().is_some_and(usable) {
            self.open = self.scanner(extent)?.map(|scanner| (extent.generation, scanner));
        }
        let Some((_, scanner)) = &mut self.open else { return Ok(None) };
        loop {
            match scanner.next(until) {
                Ok(Some(record)) if record.seq < from => {}
                Ok(found) => return Ok(found),
                Err(error) => {
                    self.open = None;
                    return Err(error);
                }
            }
        }
    }

    /// A scanner of a segment; `None` if the file does not exist any more, or is damaged from the beginning to the end.
    fn scanner(&self, extent: Extent) -> io::Result<Option<Scanner>> {
        match segment::open(self.disk.as_ref(), &segment_path(&self.dir, extent.generation))? {
            Opened::Segment(found) => {
                Ok(Some(Scanner::new(found.file, Header { first: extent.first, ..found.header })))
            }
            Opened::Missing | Opened::Invalid { .. } => Ok(None),
        }
    }

    /// Closes the open segment if it is not in `extents` any more: as long as it is open, it takes space on the disk.
    pub fn close_removed(&mut self, extents: &[Extent]) {
        let is_removed =
            |(generation, _): &mut (u64, Scanner)| !extents.iter().any(|extent| extent.generation == *generation);
        self.open.take_if(is_removed);
    }
}
