//! The cursor: how far a queue is delivered, on disk.
//!
//! The file `cursor` has two slots, 4096 bytes apart, which are written alternately: a crash during a write leaves the other
//! one intact. A slot is `magic 4 | version u32 | turn u64 | sequence number u64 | queue u32 | crc32 u32`, little-endian;
//! in version 1 it has no `queue`. The slot with the higher turn is valid. A lost cursor causes duplicates, but loses nothing.
//!
//! Behind the slots is the mark, `magic 4 | version u32 | sequence number u64 | queue u32 | crc32 u32`: everything below its
//! number was once durable in the log. It is written after each sync of the log, and not synced itself, so it may be behind,
//! never ahead. With it, a log notices that its newest segments are missing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, File, within};
use super::frame::{u32_at, u64_at};
use crate::failpoint::{self, Point};

/// The file's name.
pub const NAME: &str = "cursor";
const NEW_NAME: &str = "cursor.new";
const SLOT_MAGIC: [u8; 4] = *b"LPQC";
const MARK_MAGIC: [u8; 4] = *b"LPQM";
const VERSION: u32 = 2;
const SLOT_BYTES: usize = 32;
/// Bytes of a slot of version 1.
const OLD_SLOT_BYTES: usize = 28;
const SLOT_DISTANCE: u64 = 4096;
const MARK_BYTES: usize = 24;
const MARK_OFFSET: u64 = 2 * SLOT_DISTANCE;

/// What a cursor file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    turn: u64,
    /// The first sequence number that is not delivered.
    pub delivered: u64,
    /// The number of the queue that it belongs to, or 0.
    pub queue: u32,
}

/// The content of a cursor file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Content {
    /// The valid slot. `None` if neither is intact.
    pub position: Option<Position>,
    /// The mark, if it is intact.
    pub mark: Option<Mark>,
}

/// Everything below a sequence number was once durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The sequence number.
    pub durable: u64,
    /// The number of the queue that it belongs to.
    pub queue: u32,
}

/// Reads the cursor in `dir`; `None` if there is none.
///
/// # Errors
/// It cannot be read.
pub fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Content>> {
    let path = dir.join(NAME);
    let file = match disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(within("open", &path))?,
    };
    let content = || {
        let slots = [read_slot(file.as_ref(), 0)?, read_slot(file.as_ref(), SLOT_DISTANCE)?];
        Ok(Content { position: slots.into_iter().flatten().max(), mark: read_mark(file.as_ref())? })
    };
    content().map(Some).map_err(within("read", &path))
}

/// The cursor of one queue.
pub struct Cursor {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Option<Arc<dyn File>>,
    position: Position,
    mark: u64,
    // This process has synced it.
    is_synced: bool,
}

impl Cursor {
    /// The cursor in `dir` of the queue with the number `queue`, of which everything below `mark` was once durable.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, position: Option<Position>, queue: u32, mark: u64) -> Self {
        let position = Position { queue, ..position.unwrap_or_default() };
        // The first save replaces the file: if the last process was killed, its name may not be on disk.
        Self { disk, dir: dir.to_owned(), file: None, position, mark, is_synced: false }
    }

    /// The first sequence number that is not delivered, as it was read or saved; 0 if none was saved.
    pub fn saved(&self) -> u64 {
        self.position.delivered
    }

    /// The number of the queue.
    pub fn queue(&self) -> u32 {
        self.position.queue
    }

    /// Whether the saved number is known to survive a crash: the last process may have been killed before its sync.
    pub fn is_synced(&self) -> bool {
        self.is_synced || self.saved() == 0
    }

    /// Whether this process has saved it.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Saves `delivered` so that it survives a crash.
    pub fn save(&mut self, delivered: u64) -> io::Result<()> {
        self.position.turn += 1;
        let slot = encode_slot(&Position { delivered, ..self.position });
        let at = self.position.turn % 2 * SLOT_DISTANCE;
        let result = match self.file.take() {
            Some(file) => self.overwrite(file.as_ref(), &slot, at).map(|()| file),
            // After a failed sync later ones cannot be trusted: the file is replaced.
            None => self.replace(&slot, at),
        };
        let file = result.map_err(within("save", &self.dir.join(NAME)))?;
        self.file = Some(file);
        self.position.delivered = delivered;
        self.is_synced = true;
        failpoint::reach(Point::CursorSaved);
        Ok(())
    }

    /// Moves the mark to `durable`, below which everything is durable. If it cannot be written, it stays behind.
    pub fn mark(&mut self, durable: u64) {
        self.mark = durable;
        if let Some(file) = &self.file {
            let _ = file.write_at(&encode_mark(self.mark, self.position.queue), MARK_OFFSET);
        }
    }

    /// Removes the file.
    pub fn remove(&mut self) -> io::Result<()> {
        self.file = None;
        match self.disk.remove(&self.dir.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.disk.sync_dir(&self.dir),
        }
    }

    fn overwrite(&self, file: &dyn File, slot: &[u8], at: u64) -> io::Result<()> {
        file.write_at(slot, at)?;
        failpoint::reach(Point::CursorWritten);
        file.sync()?;
        if file.is_at(&self.dir.join(NAME))? { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn replace(&self, slot: &[u8], at: u64) -> io::Result<Arc<dyn File>> {
        let new = self.dir.join(NEW_NAME);
        match self.disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(&new)?;
        file.write_at(slot, at)?;
        file.write_at(&encode_mark(self.mark, self.position.queue), MARK_OFFSET)?;
        file.sync()?;
        self.disk.rename(&new, &self.dir.join(NAME))?;
        failpoint::reach(Point::CursorRenamed);
        self.disk.sync_dir(&self.dir)?;
        Ok(file)
    }
}

fn encode_slot(position: &Position) -> Vec<u8> {
    let mut slot = Vec::with_capacity(SLOT_BYTES);
    slot.extend_from_slice(&SLOT_MAGIC);
    slot.extend_from_slice(&VERSION.to_le_bytes());
    slot.extend_from_slice(&position.turn.to_le_bytes());
    slot.extend_from_slice(&position.delivered.to_le_bytes());
    slot.extend_from_slice(&position.queue.to_le_bytes());
    with_checksum(slot)
}

fn encode_mark(mark: u64, queue: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MARK_BYTES);
    bytes.extend_from_slice(&MARK_MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&mark.to_le_bytes());
    bytes.extend_from_slice(&queue.to_le_bytes());
    with_checksum(bytes)
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn is_sound(bytes: &[u8], magic: [u8; 4], version: u32) -> bool {
    let (content, checksum) = bytes.split_at(bytes.len() - 4);
    content[..4] == magic && u32_at(content, 4) == version && crc32fast::hash(content) == u32_at(checksum, 0)
}

/// The content of an intact slot.
fn read_slot(file: &dyn File, at: u64) -> io::Result<Option<Position>> {
    let mut slot = [0; SLOT_BYTES];
    file.read_at(&mut slot, at)?;
    // What a short file lacks is zero, which no checksum accepts.
    let queue = match () {
        () if is_sound(&slot, SLOT_MAGIC, VERSION) => u32_at(&slot, 24),
        () if is_sound(&slot[..OLD_SLOT_BYTES], SLOT_MAGIC, 1) => 0,
        () => return Ok(None),
    };
    Ok(Some(Position { turn: u64_at(&slot, 8), delivered: u64_at(&slot, 16), queue }))
}

fn read_mark(file: &dyn File) -> io::Result<Option<Mark>> {
    let mut mark = [0; MARK_BYTES];
    file.read_at(&mut mark, MARK_OFFSET)?;
    Ok(is_sound(&mark, MARK_MAGIC, VERSION).then(|| Mark { durable: u64_at(&mark, 8), queue: u32_at(&mark, 16) }))
}
