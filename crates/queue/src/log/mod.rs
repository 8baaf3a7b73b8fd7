//! A segment log: records on disk, the basis of a durable queue.
//!
//! Records have sequence numbers without gaps. They are in files `NNNNNNNNNN.seg` (see [`frame`] for the format), numbered
//! in the order of their creation; the records of a segment end where those of the next one start. That is how the rest of
//! a segment is cut off after a failed write or sync: records that are not known to be on disk are written again into the
//! next segment. Nothing is ever appended to a file after a failed sync, or to a file of another process.
//!
//! The order of syncs:
//! - a record is durable when its segment was synced, and after it the directory with the name of the segment;
//! - a segment is created when the one before it was synced;
//! - a segment is removed when all of it was delivered, and the [`cursor`] past it was synced if that is possible.

mod cursor;
mod disk;
mod frame;
mod reader;
mod recover;
mod scan;
mod segment;
mod set_aside;
#[cfg(test)]
pub(super) mod sim;
#[cfg(test)]
mod tests;
mod window;

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use self::cursor::Cursor;
use self::disk::within;
pub use self::disk::{Disk, File, RealDisk};
pub use self::frame::{FRAME_BYTES, MAX_PAYLOAD};
use self::frame::{HEADER_BYTES, Header, put_frame};
pub use self::reader::{Chunk, Extent, SegmentReader};
pub use self::recover::Recovered;
pub use self::scan::Record;
pub use self::set_aside::{Salvaged, SetAside, set_aside_files};
use crate::failpoint::{self, Point};

/// The suffix of the name of a segment.
const SUFFIX: &str = ".seg";
/// Bytes of one write, approximately.
const WRITE_BYTES: usize = 1 << 20;
/// A delivered segment of at most this size stays open for the next records.
const KEPT_BYTES: u64 = 1 << 20;

/// The path of a segment.
fn segment_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("{generation:010}{SUFFIX}"))
}

/// The writing end of a log. Every method except [`Log::push`] may wait for the disk.
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    /// The directory exists. A queue that is never used creates none.
    dir_exists: bool,
    /// Oldest first; the last is `current`, if there is one.
    segments: Vec<Segment>,
    current: Option<Current>,
    next_generation: u64,
    /// Records from `durable` to `next`.
    unsynced: VecDeque<Bytes>,
    durable: u64,
    written: u64,
    next: u64,
    cursor: Cursor,
    delivered: u64,
    /// Records were skipped: no segment may be created before the cursor is saved and those before it are removed.
    skipped: bool,
    /// There is a [`PendingSync`]. No other sync of the same file may run: only one of them would get an error.
    is_syncing: bool,
    /// This process has tried to create the cursor for the mark.
    tried_cursor: bool,
    buffer: Vec<u8>,
}

/// A segment on disk.
#[derive(Debug, Clone, Copy)]
struct Segment {
    generation: u64,
    first: u64,
}

/// The segment that is written.
struct Current {
    file: Arc<dyn File>,
    salt: u32,
    len: u64,
    /// The directory with its name was synced.
    name_synced: bool,
}

/// A sync of what has been written to a segment.
pub struct PendingSync {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Arc<dyn File>,
    generation: u64,
    name_synced: bool,
    end: u64,
}

impl PendingSync {
    /// Waits until it is on disk. The result is for [`Log::end_sync`].
    ///
    /// # Errors
    /// It is not known to be on disk.
    pub fn run(&self) -> io::Result<()> {
        failpoint::reach(Point::AfterWrite);
        self.file.sync()?;
        if !self.name_synced {
            failpoint::reach(Point::SegmentSynced);
            self.disk.sync_dir(&self.dir)?;
        }
        if self.file.is_at(&segment_path(&self.dir, self.generation))? { Ok(()) } else { Err(gone()) }
    }
}

impl Log {
    /// Opens the log in `dir`, which the first record creates. Damaged files are not an error: see [`Recovered`].
    ///
    /// # Errors
    /// A file or the directory cannot be opened or read; or a later version has written it. The files stay as they are.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path, segment_bytes: u64) -> io::Result<(Self, Recovered)> {
        recover::open(disk, dir, segment_bytes)
    }

    /// Adds a record of at most [`MAX_PAYLOAD`] bytes, without writing it. Returns its sequence number.
    pub fn push(&mut self, payload: Bytes) -> u64 {
        self.unsynced.push_back(payload);
        self.next += 1;
        self.next - 1
    }

    /// Writes the records that were pushed. A power failure may lose them until [`Log::sync`] returns. While there is a
    /// [`PendingSync`], no more is written than fits into the segment.
    ///
    /// # Errors
    /// Those of the disk. No record is lost: the next call writes what is not durable into another segment.
    pub fn write(&mut self) -> io::Result<()> {
        while self.written < self.next {
            if self.current.is_none() {
                self.create_segment()?;
            }
            let fits = self.encode();
            if fits == 0 {
                if self.is_syncing {
                    return Ok(());
                }
                self.sync()?;
                self.current = None;
                failpoint::reach(Point::Rotation);
                continue;
            }
            let Some(current) = &mut self.current else { continue };
            failpoint::reach(Point::BeforeWrite);
            if let Err(error) = current.file.write_at(&self.buffer, current.len) {
                return Err(self.abandon("write", error));
            }
            current.len += self.buffer.len() as u64;
            self.written += fits;
        }
        Ok(())
    }

    /// Syncs what was written. Returns the first sequence number that is not durable.
    ///
    /// # Errors
    /// As with [`Log::write`], which is to be called again.
    pub fn sync(&mut self) -> io::Result<u64> {
        debug_assert!(!self.is_syncing, "one sync at a time");
        if let Some(pending_sync) = self.begin_sync() {
            let result = pending_sync.run();
            self.end_sync(&pending_sync, result)?;
        }
        Ok(self.durable)
    }

    /// Starts a sync, so that [`PendingSync::run`] can be called on another thread while more is written. `None` if there is
    /// nothing to sync, or a sync is pending.
    pub fn begin_sync(&mut self) -> Option<PendingSync> {
        let current = self.current.as_ref().filter(|_| self.written > self.durable && !self.is_syncing)?;
        let generation = self.segments.last()?.generation;
        self.is_syncing = true;
        Some(PendingSync {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            file: current.file.clone(),
            generation,
            name_synced: current.name_synced,
            end: self.written,
        })
    }

    /// Ends a sync with the `result` of [`PendingSync::run`]. Whether more is durable now: not if the segment was abandoned
    /// meanwhile, in which case its records are written again.
    ///
    /// # Errors
    /// As with [`Log::write`], which is to be called again.
    pub fn end_sync(&mut self, pending_sync: &PendingSync, result: io::Result<()>) -> io::Result<bool> {
        self.is_syncing = false;
        let generation = self.segments.last().map(|segment| segment.generation);
        let Some(current) = self.current.as_mut().filter(|_| generation == Some(pending_sync.generation)) else {
            return Ok(false);
        };
        if let Err(error) = result {
            return Err(self.abandon("sync", error));
        }
        current.name_synced = true;
        let count = usize::try_from(pending_sync.end - self.durable).unwrap_or(usize::MAX);
        self.unsynced.drain(..count.min(self.unsynced.len()));
        self.durable = pending_sync.end;
        self.mark_durable();
        Ok(true)
    }

    /// Notes on disk how far the log is durable, so that the loss of its newest segments is noticed. The first time this
    /// creates the cursor.
    fn mark_durable(&mut self) {
        self.cursor.mark(self.durable);
        if !self.cursor.is_open() && !std::mem::replace(&mut self.tried_cursor, true) {
            // If this fails, the next checkpoint tries again and reports it.
            let _ = self.cursor.save(self.delivered);
        }
    }

    /// Whether a sync is pending.
    pub fn is_syncing(&self) -> bool {
        self.is_syncing
    }

    /// Records that everything below `seq` is delivered. [`Log::checkpoint`] saves it.
    pub fn set_delivered(&mut self, seq: u64) {
        self.delivered = self.delivered.max(seq.min(self.next));
    }

    /// Skips records that were delivered without having been pushed: everything below `seq` is delivered, and the next
    /// record is `seq`. What is not written is not written any more, and the current segment is given up. Before the next
    /// one is created, the cursor is saved and the segments before it are removed, so that nothing seems to be missing.
    pub fn skip_to(&mut self, seq: u64) {
        debug_assert!(seq >= self.next, "records that were pushed are not skipped");
        self.unsynced.clear();
        self.current = None;
        (self.durable, self.written, self.next, self.delivered) = (seq, seq, seq, seq);
        self.skipped = true;
    }

    /// Whether [`Log::checkpoint`] has something to do. Of a log that never had a file, nothing could be delivered again.
    pub fn needs_checkpoint(&self) -> bool {
        let had_files = self.dir_exists || self.next_generation > 1 || self.cursor.saved() > 0;
        had_files && (self.delivered > self.cursor.saved() || !self.cursor.is_synced())
    }

    /// Saves how far the log is delivered, and removes delivered segments.
    ///
    /// # Errors
    /// Those of the disk. No record is lost; the next call tries again.
    pub fn checkpoint(&mut self) -> io::Result<()> {
        self.try_checkpoint().inspect_err(|_| self.abandon_unsynced_name())
    }

    /// Abandons the current segment if the directory with its name was not synced. After an error it may have been that sync
    /// that failed, and a later sync would not make up for it.
    fn abandon_unsynced_name(&mut self) {
        if self.current.as_ref().is_some_and(|current| !current.name_synced) {
            self.abandon_segment();
        }
    }

    fn try_checkpoint(&mut self) -> io::Result<()> {
        let mut saved = self.save_cursor();
        if saved.is_err() {
            self.abandon_unsynced_name();
            // Delivered segments are removed all the same: on a full disk that makes the room that the cursor needs.
            self.remove_delivered()?;
            saved = self.save_cursor();
        }
        saved?;
        self.remove_delivered()
    }

    fn save_cursor(&mut self) -> io::Result<()> {
        if !self.needs_checkpoint() {
            return Ok(());
        }
        let result = self.cursor.save(self.delivered);
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.dir_exists => {
                self.make_dir()?;
                self.cursor.save(self.delivered)
            }
            result => result,
        }
    }

    fn remove_delivered(&mut self) -> io::Result<()> {
        self.close_delivered_segment();
        let mut removed = false;
        while self.segments.len() > usize::from(self.current.is_some()) && self.end_of(0) <= self.delivered {
            let generation = self.segments[0].generation;
            let path = segment_path(&self.dir, generation);
            failpoint::reach(Point::BeforeUnlink);
            match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(within("remove", &path)(error)),
                _ => {}
            }
            failpoint::reach(Point::AfterUnlink);
            self.segments.remove(0);
            removed = true;
        }
        if removed { self.disk.sync_dir(&self.dir).map_err(within("sync", &self.dir)) } else { Ok(()) }
    }

    /// Stops writing to the current segment if all of it was delivered and it takes much space, which other queues may need.
    fn close_delivered_segment(&mut self) {
        let is_delivered = self.delivered == self.next && self.durable == self.next && !self.is_syncing;
        if is_delivered && self.current.as_ref().is_some_and(|current| current.len > KEPT_BYTES) {
            self.current = None;
        }
    }

    /// Removes all files if everything was delivered, and returns whether it was. Nothing can be written afterwards.
    ///
    /// # Errors
    /// Some files still exist.
    pub fn remove_files(&mut self) -> io::Result<bool> {
        if self.delivered < self.next || !self.unsynced.is_empty() {
            return Ok(false);
        }
        if !self.dir_exists {
            return Ok(true);
        }
        self.current = None;
        self.checkpoint()?;
        // Last: without it, the segments would be delivered again.
        self.cursor.remove()?;
        Ok(true)
    }

    /// The first sequence number that is not durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The first sequence number that is not written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The sequence number of the next record.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The first sequence number that is not delivered according to the cursor on disk.
    pub fn saved(&self) -> u64 {
        self.cursor.saved()
    }

    /// The extents of all segments.
    pub fn extents(&self) -> Vec<Extent> {
        let extent = |(at, segment): (usize, &Segment)| {
            let end = self.segments.get(at + 1).map_or(u64::MAX, |next| next.first);
            Extent { generation: segment.generation, first: segment.first, end }
        };
        self.segments.iter().enumerate().map(extent).collect()
    }

    fn end_of(&self, at: usize) -> u64 {
        self.segments.get(at + 1).map_or(self.durable, |next| next.first)
    }

    /// Creates a segment for the first record that is not written.
    fn create_segment(&mut self) -> io::Result<()> {
        debug_assert_eq!(self.written, self.durable, "the previous segment was synced or abandoned");
        if !self.dir_exists {
            self.make_dir()?;
        }
        if self.skipped {
            self.checkpoint()?;
            self.skipped = false;
        }
        let generation = self.next_generation;
        self.next_generation += 1;
        let path = segment_path(&self.dir, generation);
        let file =
            self.disk.create(&path).inspect_err(|error| self.dir_exists = error.kind() != io::ErrorKind::NotFound);
        let file = file.map_err(within("make", &path))?;
        let header = Header { salt: random_number(), first: self.written, queue: self.cursor.queue() };
        if let Err(error) = file.write_at(&header.encode(), 0) {
            let _ = self.disk.remove(&path);
            return Err(within("write", &path)(error));
        }
        failpoint::reach(Point::SegmentCreated);
        self.segments.push(Segment { generation, first: self.written });
        self.current = Some(Current { file, salt: header.salt, len: HEADER_BYTES as u64, name_synced: false });
        Ok(())
    }

    fn make_dir(&mut self) -> io::Result<()> {
        self.disk.make_dir(&self.dir).map_err(within("make", &self.dir))?;
        self.dir_exists = true;
        Ok(())
    }

    /// Encodes the next records into the buffer, as many as fit into the segment; returns how many.
    fn encode(&mut self) -> u64 {
        self.buffer.clear();
        let Some(current) = &self.current else { return 0 };
        let from = usize::try_from(self.written - self.durable).unwrap_or(usize::MAX);
        let mut count = 0;
        for payload in self.unsynced.iter().skip(from) {
            let len = current.len + self.buffer.len() as u64;
            let is_first = len == HEADER_BYTES as u64;
            if !is_first && len + (FRAME_BYTES + payload.len()) as u64 > self.segment_bytes {
                break;
            }
            put_frame(&mut self.buffer, current.salt, self.written + count, payload);
            count += 1;
            if self.buffer.len() >= WRITE_BYTES {
                break;
            }
        }
        count
    }

    /// Abandons the current segment after an error, and adds its path to the error.
    fn abandon(&mut self, doing: &str, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::NotFound {
            // It was removed by another program, perhaps with its directory.
            self.dir_exists = false;
        }
        match self.abandon_segment() {
            Some(path) => within(doing, &path)(error),
            None => error,
        }
    }

    /// Stops using the current segment; what is not durable will be written into another one.
    fn abandon_segment(&mut self) -> Option<PathBuf> {
        self.written = self.durable;
        self.current = None;
        let segment = *self.segments.last()?;
        let path = segment_path(&self.dir, segment.generation);
        if segment.first == self.durable {
            // It has no durable record. If it cannot be removed, the next segment cuts it off.
            self.segments.pop();
            let _ = self.disk.remove(&path);
        }
        Some(path)
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "another program has removed or moved it, and the messages in it are lost")
}

/// An unpredictable number that is not 0.
fn random_number() -> u32 {
    let number = std::hash::RandomState::new().build_hasher().finish();
    u32::try_from(number >> 32).unwrap_or_default().max(1)
}
