//! A log of records on disk, in segments: what a durable queue is made of.
//!
//! Records have sequence numbers without gaps. They lie in files `NNNNNNNNNN.seg` (their format is in [`frame`]),
//! which are numbered in the order in which they were begun; a segment's records end where those of the next one
//! begin. That is how the rest of a segment is cut off after a failed write or sync: what is not known to be on disk is
//! written anew into the next segment, and nothing is ever appended to a file of which a sync has failed, or which
//! another process has begun.
//!
//! What must be on disk before what:
//! - a record is durable when its segment was synced, after it the directory with the segment's name in it;
//! - a segment is begun when the one before was synced;
//! - a segment is removed when all of it was delivered, and the [`cursor`] that lies past it was synced if it can be.

mod cursor;
mod disk;
mod frame;
mod reader;
mod recover;
mod scan;
#[cfg(test)]
pub(super) mod sim;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
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
use crate::failpoint::{self, Point};

/// How a segment's name ends.
const SUFFIX: &str = ".seg";
/// Bytes that are written at once, about.
const WRITE_BYTES: usize = 1 << 20;

/// The path of a segment.
fn segment_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("{generation:010}{SUFFIX}"))
}

/// Where a segment that cannot be read is put.
fn unreadable(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unreadable");
    name.into()
}

/// A log, as the one who writes it holds it. Every method but [`Log::push`] may wait for the disk.
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    /// The directory is there. A queue that is never used makes none.
    is_made: bool,
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
    /// Segments that could not be read: they are renamed, not removed.
    spoiled: BTreeSet<u64>,
    /// There is a [`Syncing`]. No other sync of the same file may come between: only one of them is told of an error.
    syncing: bool,
    buffer: Vec<u8>,
}

/// A segment on disk.
#[derive(Debug, Clone, Copy)]
struct Segment {
    generation: u64,
    first: u64,
}

/// The segment that is being written.
struct Current {
    file: Arc<dyn File>,
    salt: u32,
    len: u64,
    /// Its name is on disk.
    listed: bool,
}

/// A sync of what was written to a segment so far.
pub struct Syncing {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Arc<dyn File>,
    generation: u64,
    listed: bool,
    end: u64,
}

impl Syncing {
    /// Waits until it is on disk; [`Log::end_sync`] is to be told the result.
    ///
    /// # Errors
    /// It is not known to be on disk.
    pub fn run(&self) -> io::Result<()> {
        failpoint::reach(Point::AfterWrite);
        self.file.sync()?;
        if !self.listed {
            failpoint::reach(Point::SegmentSynced);
            self.disk.sync_dir(&self.dir)?;
        }
        if self.file.is_at(&segment_path(&self.dir, self.generation))? { Ok(()) } else { Err(gone()) }
    }
}

impl Log {
    /// Opens the log in `dir`, which is made with the first record. Damage is no error: see [`Recovered`].
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, segment_bytes: u64) -> io::Result<(Self, Recovered)> {
        recover::open(disk, dir, segment_bytes)
    }

    /// Takes a record of at most [`MAX_PAYLOAD`] bytes in; nothing is written yet. Returns its sequence number.
    pub fn push(&mut self, payload: Bytes) -> u64 {
        self.unsynced.push_back(payload);
        self.next += 1;
        self.next - 1
    }

    /// Writes what was pushed. It may be lost in a crash until [`Log::sync`] returns. While a [`Syncing`] is under way, no
    /// more than the segment takes.
    ///
    /// # Errors
    /// Nothing is lost by one: the next call begins with what is not durable, in another segment.
    pub fn write(&mut self) -> io::Result<()> {
        while self.written < self.next {
            if self.current.is_none() {
                self.begin()?;
            }
            let fits = self.encode();
            if fits == 0 {
                if self.syncing {
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

    /// Makes everything durable that was written; returns the first sequence number that is not.
    ///
    /// # Errors
    /// As with [`Log::write`], which is to be called again.
    pub fn sync(&mut self) -> io::Result<u64> {
        debug_assert!(!self.syncing, "one sync at a time");
        if let Some(syncing) = self.begin_sync() {
            let result = syncing.run();
            self.end_sync(&syncing, result)?;
        }
        Ok(self.durable)
    }

    /// Begins to make durable what was written, so that [`Syncing::run`] can be called elsewhere while more is written.
    /// `None` if there is nothing to be made durable, or one is under way.
    pub fn begin_sync(&mut self) -> Option<Syncing> {
        let current = self.current.as_ref().filter(|_| self.written > self.durable && !self.syncing)?;
        let generation = self.segments.last()?.generation;
        self.syncing = true;
        Some(Syncing {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            file: current.file.clone(),
            generation,
            listed: current.listed,
            end: self.written,
        })
    }

    /// Takes note of what [`Syncing::run`] has returned; whether more is durable by it. It is not if the segment was let
    /// go meanwhile: then what was in it is written anew.
    ///
    /// # Errors
    /// As with [`Log::write`], which is to be called again.
    pub fn end_sync(&mut self, syncing: &Syncing, result: io::Result<()>) -> io::Result<bool> {
        self.syncing = false;
        let generation = self.segments.last().map(|segment| segment.generation);
        let Some(current) = self.current.as_mut().filter(|_| generation == Some(syncing.generation)) else {
            return Ok(false);
        };
        if let Err(error) = result {
            return Err(self.abandon("sync", error));
        }
        current.listed = true;
        let count = usize::try_from(syncing.end - self.durable).unwrap_or(usize::MAX);
        self.unsynced.drain(..count.min(self.unsynced.len()));
        self.durable = syncing.end;
        Ok(true)
    }

    /// Whether a sync is under way.
    pub fn is_syncing(&self) -> bool {
        self.syncing
    }

    /// Notes that everything below `seq` is delivered; [`Log::tidy`] saves it.
    pub fn deliver_to(&mut self, seq: u64) {
        self.delivered = self.delivered.max(seq.min(self.next));
    }

    /// Whether [`Log::tidy`] has something to do.
    pub fn is_untidy(&self) -> bool {
        self.delivered > self.cursor.saved() || !self.cursor.is_safe()
    }

    /// Saves how far the log was delivered, and removes the segments that are not needed any more.
    ///
    /// # Errors
    /// Nothing is lost by one; the next call tries again.
    pub fn tidy(&mut self) -> io::Result<()> {
        self.try_tidy().inspect_err(|_| self.distrust_names())
    }

    /// After an error it may have been the directory's sync that failed: a name that was to be synced with it will never be.
    fn distrust_names(&mut self) {
        if self.current.as_ref().is_some_and(|current| !current.listed) {
            self.let_go();
        }
    }

    fn try_tidy(&mut self) -> io::Result<()> {
        let mut saved = self.save_cursor();
        if saved.is_err() {
            self.distrust_names();
            // What was delivered is removed all the same, which costs nothing: on a disk that is full, it makes the room
            // that the cursor needs.
            self.remove_delivered()?;
            saved = self.save_cursor();
        }
        saved?;
        self.remove_delivered()
    }

    fn save_cursor(&mut self) -> io::Result<()> {
        if !self.is_untidy() {
            return Ok(());
        }
        let result = self.cursor.save(self.delivered);
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_made => {
                self.make_dir()?;
                self.cursor.save(self.delivered)
            }
            result => result,
        }
    }

    fn remove_delivered(&mut self) -> io::Result<()> {
        let mut removed = false;
        while self.segments.len() > usize::from(self.current.is_some()) && self.end_of(0) <= self.delivered {
            let generation = self.segments[0].generation;
            let path = segment_path(&self.dir, generation);
            failpoint::reach(Point::BeforeUnlink);
            let result = if self.spoiled.contains(&generation) {
                self.disk.rename(&path, &unreadable(&path))
            } else {
                self.disk.remove(&path)
            };
            match result {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(within("remove", &path)(error)),
                _ => {}
            }
            failpoint::reach(Point::AfterUnlink);
            self.segments.remove(0);
            removed = true;
        }
        if removed { self.disk.sync_dir(&self.dir).map_err(within("sync", &self.dir)) } else { Ok(()) }
    }

    /// Removes all files, if everything was delivered; whether it was. Nothing can be written afterwards.
    ///
    /// # Errors
    /// Some files are still there.
    pub fn clear(&mut self) -> io::Result<bool> {
        if self.delivered < self.next || !self.unsynced.is_empty() {
            return Ok(false);
        }
        if !self.is_made {
            return Ok(true);
        }
        self.current = None;
        self.tidy()?;
        // Last: without it, segments would be delivered again.
        self.cursor.remove()?;
        Ok(true)
    }

    /// Keeps a segment that proved unreadable from being removed; it is put aside in its turn.
    pub fn spare(&mut self, generation: u64) {
        self.spoiled.insert(generation);
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

    /// The oldest record that was not delivered, as far as the disk knows.
    pub fn saved(&self) -> u64 {
        self.cursor.saved()
    }

    /// Where the durable records are.
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

    /// Begins a segment with the first record that is not written.
    fn begin(&mut self) -> io::Result<()> {
        debug_assert_eq!(self.written, self.durable, "the segment before was synced, or abandoned");
        if !self.is_made {
            self.make_dir()?;
        }
        let generation = self.next_generation;
        self.next_generation += 1;
        let path = segment_path(&self.dir, generation);
        let file = self.disk.create(&path).inspect_err(|error| self.is_made = error.kind() != io::ErrorKind::NotFound);
        let file = file.map_err(within("make", &path))?;
        let header = Header { salt: salt(), first: self.written };
        if let Err(error) = file.write_at(&header.encode(), 0) {
            let _ = self.disk.remove(&path);
            return Err(within("write", &path)(error));
        }
        failpoint::reach(Point::SegmentCreated);
        self.segments.push(Segment { generation, first: self.written });
        self.current = Some(Current { file, salt: header.salt, len: HEADER_BYTES as u64, listed: false });
        Ok(())
    }

    fn make_dir(&mut self) -> io::Result<()> {
        self.disk.make_dir(&self.dir).map_err(within("make", &self.dir))?;
        self.is_made = true;
        Ok(())
    }

    /// Puts frames of the next records into the buffer, as many as the segment takes; returns how many.
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

    /// Lets the current segment go for an error and names its file in it.
    fn abandon(&mut self, doing: &str, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::NotFound {
            // Somebody has removed it, perhaps with its directory.
            self.is_made = false;
        }
        match self.let_go() {
            Some(path) => within(doing, &path)(error),
            None => error,
        }
    }

    /// Never touches the current segment again; what is not durable will go into another one.
    fn let_go(&mut self) -> Option<PathBuf> {
        self.written = self.durable;
        self.current = None;
        let segment = *self.segments.last()?;
        let path = segment_path(&self.dir, segment.generation);
        if segment.first == self.durable {
            // Nothing in it counts. If it cannot be removed, the next segment cuts it off.
            self.segments.pop();
            let _ = self.disk.remove(&path);
        }
        Some(path)
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "somebody has removed or moved it, and what it held with it")
}

/// A number that nobody can foresee.
fn salt() -> u32 {
    let number = std::hash::RandomState::new().build_hasher().finish();
    u32::try_from(number >> 32).unwrap_or_default()
}
