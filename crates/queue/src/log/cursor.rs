//! The cursor: how far a queue is delivered, on disk.
//!
//! The file `cursor` has two slots, 4096 bytes apart, which are written alternately: a crash during a write leaves the other
//! one intact. A slot is `magic 4 | version u32 | turn u64 | sequence number u64 | crc32 u32`, little-endian. The slot with
//! the higher turn is valid. A lost cursor causes duplicates, but loses nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, File, within};
use super::frame::{u32_at, u64_at};
use crate::failpoint::{self, Point};

/// The file's name.
pub const NAME: &str = "cursor";
const NEW_NAME: &str = "cursor.new";
const MAGIC: [u8; 4] = *b"LPQC";
const VERSION: u32 = 1;
const SLOT_BYTES: usize = 28;
const SLOT_DISTANCE: u64 = 4096;

/// The cursor of one queue.
pub struct Cursor {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Option<Arc<dyn File>>,
    turn: u64,
    saved: u64,
    // This process has synced it.
    is_synced: bool,
}

impl Cursor {
    /// Reads the cursor in `dir`. The second value is true if there is one that cannot be read.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> (Self, bool) {
        let file = disk.open(&dir.join(NAME));
        let is_missing = matches!(&file, Err(error) if error.kind() == io::ErrorKind::NotFound);
        let slots = file.as_ref().ok().map(|file| [0, SLOT_DISTANCE].map(|at| read_slot(file.as_ref(), at)));
        let newest = slots.into_iter().flatten().flatten().max();
        let (turn, saved) = newest.unwrap_or_default();
        // The first save replaces the file: if the last process was killed, its name may not be on disk.
        (Self { disk, dir: dir.to_owned(), file: None, turn, saved, is_synced: false }, newest.is_none() && !is_missing)
    }

    /// The first sequence number that is not delivered, as it was read or saved; 0 if none was saved.
    pub fn saved(&self) -> u64 {
        self.saved
    }

    /// Whether the saved number is known to survive a crash: the last process may have been killed before its sync.
    pub fn is_synced(&self) -> bool {
        self.is_synced || self.saved == 0
    }

    /// Saves `seq` so that it survives a crash.
    pub fn save(&mut self, seq: u64) -> io::Result<()> {
        self.turn += 1;
        let slot = encode(self.turn, seq);
        let at = self.turn % 2 * SLOT_DISTANCE;
        let result = match self.file.take() {
            Some(file) => self.overwrite(file.as_ref(), &slot, at).map(|()| file),
            // After a failed sync later ones cannot be trusted: the file is replaced.
            None => self.replace(&slot, at),
        };
        let file = result.map_err(within("save", &self.dir.join(NAME)))?;
        self.file = Some(file);
        self.saved = seq;
        self.is_synced = true;
        failpoint::reach(Point::CursorSaved);
        Ok(())
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
        file.sync()?;
        self.disk.rename(&new, &self.dir.join(NAME))?;
        failpoint::reach(Point::CursorRenamed);
        self.disk.sync_dir(&self.dir)?;
        Ok(file)
    }
}

fn encode(turn: u64, seq: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..8].copy_from_slice(&VERSION.to_le_bytes());
    slot[8..16].copy_from_slice(&turn.to_le_bytes());
    slot[16..24].copy_from_slice(&seq.to_le_bytes());
    let crc = crc32fast::hash(&slot[..24]);
    slot[24..].copy_from_slice(&crc.to_le_bytes());
    slot
}

/// The turn and the sequence number of an intact slot.
fn read_slot(file: &dyn File, at: u64) -> Option<(u64, u64)> {
    let mut slot = [0; SLOT_BYTES];
    let read = file.read_at(&mut slot, at).ok()?;
    let sound = read == SLOT_BYTES
        && slot[..4] == MAGIC
        && u32_at(&slot, 4) == VERSION
        && crc32fast::hash(&slot[..24]) == u32_at(&slot, 24);
    sound.then(|| (u64_at(&slot, 8), u64_at(&slot, 16)))
}
