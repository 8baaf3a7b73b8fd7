//! A simulated disk, with power failures and injected errors.
//!
//! A write is in the page cache until its file is synced, and a name until its directory is. A crash keeps any part of
//! both: of a write, any of its blocks of 512 bytes. After a failed sync the data may be on disk or not, and no later sync
//! changes that ("fsyncgate").

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, MutexGuard};

use super::{Disk, File};

const BLOCK: u64 = 512;

/// Pseudo-random numbers, the same for the same seed (SplitMix64).
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

/// The disk. Clones share it.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    files: Vec<Content>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
    failing: Option<Failing>,
    full: bool,
    unreadable: bool,
    forbidden: bool,
    panics: bool,
    syncs: usize,
}

#[derive(Clone)]
struct Failing {
    after: u64,
    chance: Rng,
}

#[derive(Clone, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    writes: Vec<(u64, Vec<u8>)>,
}

#[derive(Clone)]
enum Change {
    Create(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// A copy of the disk.
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Makes the write or sync fail that comes after `after` others.
    pub fn fail_after(&self, after: u64, seed: u64) {
        self.state().failing = Some(Failing { after, chance: Rng(seed) });
    }

    /// Sets whether the disk is full.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// The number of syncs of files and directories so far.
    pub fn syncs(&self) -> usize {
        self.state().syncs
    }

    /// Makes the next sync panic.
    pub fn set_panicking(&self) {
        self.state().panics = true;
    }

    /// Sets whether reads fail.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.state().unreadable = unreadable;
    }

    /// Sets whether files cannot be opened.
    pub fn set_forbidden(&self, forbidden: bool) {
        self.state().forbidden = forbidden;
    }

    /// Simulates a power failure.
    pub fn crash(&self, seed: u64) {
        let mut chance = Rng(seed);
        let state = &mut *self.state();
        state.failing = None;
        state.full = false;
        for content in &mut state.files {
            for (offset, data) in std::mem::take(&mut content.writes) {
                keep_part(&mut content.durable, offset, &data, &mut chance);
            }
            content.live.clone_from(&content.durable);
        }
        for change in std::mem::take(&mut state.changes) {
            if chance.coin() {
                apply(&mut state.durable, change);
            }
        }
        state.live = state.durable.clone();
    }

    /// Removes all files, also from the state after a crash.
    pub fn remove_all(&self) {
        let state = &mut *self.state();
        state.live.clear();
        state.durable.clear();
        state.changes.clear();
    }

    /// The content of a file.
    pub fn read(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.files[state.live[path]].live.clone()
    }

    /// Adds a file that is synced.
    pub fn put(&self, path: &Path, content: &[u8]) {
        let state = &mut *self.state();
        state.files.push(Content { live: content.to_vec(), durable: content.to_vec(), writes: Vec::new() });
        let inode = state.files.len() - 1;
        state.live.insert(path.to_owned(), inode);
        state.durable.insert(path.to_owned(), inode);
    }

    /// Removes a file, also from the state after a crash.
    pub fn take(&self, path: &Path) {
        let state = &mut *self.state();
        state.live.remove(path);
        state.durable.remove(path);
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().live.keys().cloned().collect()
    }
}

impl State {
    /// Whether the current write or sync is to fail, with the numbers that decide how.
    fn fails(&mut self) -> Option<Rng> {
        let failing = self.failing.as_mut()?;
        if failing.after > 0 {
            failing.after -= 1;
            return None;
        }
        self.failing.take().map(|failing| failing.chance)
    }
}

/// Keeps all, none or some blocks of a write.
fn keep_part(durable: &mut Vec<u8>, offset: u64, data: &[u8], chance: &mut Rng) {
    let how = chance.below(3);
    let mut at = 0;
    while at < data.len() {
        let to_boundary = BLOCK - (offset + at as u64) % BLOCK;
        let len = usize::try_from(to_boundary).unwrap().min(data.len() - at);
        if how == 0 || (how == 1 && chance.coin()) {
            put(durable, offset + at as u64, &data[at..at + len]);
        }
        at += len;
    }
}

fn put(content: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let offset = usize::try_from(offset).unwrap();
    if content.len() < offset + data.len() {
        content.resize(offset + data.len(), 0);
    }
    content[offset..offset + data.len()].copy_from_slice(data);
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: Change) {
    match change {
        Change::Create(path, inode) => {
            names.insert(path, inode);
        }
        Change::Remove(path) => {
            names.remove(&path);
        }
        Change::Rename(from, to, inode) => {
            names.remove(&from);
            names.insert(to, inode);
        }
    }
}

fn missing() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

fn broken() -> io::Error {
    io::Error::other("injected error")
}

impl Disk for SimDisk {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.live.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        if state.live.contains_key(path) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        state.files.push(Content::default());
        let inode = state.files.len() - 1;
        state.live.insert(path.to_owned(), inode);
        state.changes.push(Change::Create(path.to_owned(), inode));
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let state = self.state();
        let inode = *state.live.get(path).ok_or_else(missing)?;
        if state.forbidden {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inode = *state.live.get(from).ok_or_else(missing)?;
        let change = Change::Rename(from.to_owned(), to.to_owned(), inode);
        apply(&mut state.live, change.clone());
        state.changes.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.live.remove(path).ok_or_else(missing)?;
        state.changes.push(Change::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        state.syncs += 1;
        let fails = state.fails();
        let failed = fails.is_some();
        let mut chance = fails;
        for change in std::mem::take(&mut state.changes) {
            if chance.as_mut().is_none_or(Rng::coin) {
                apply(&mut state.durable, change);
            }
        }
        if failed { Err(broken()) } else { Ok(()) }
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.inode].live.len() as u64)
    }

    fn modified(&self) -> io::Result<SystemTime> {
        Ok(SystemTime::now())
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        Ok(self.disk.state().live.get(path) == Some(&self.inode))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        if state.unreadable {
            return Err(broken());
        }
        let content = &state.files[self.inode].live;
        let rest = content.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let state = &mut *self.disk.state();
        let full = state.full;
        let fails = state.fails();
        let content = &mut state.files[self.inode];
        if full || fails.is_some() {
            // A part may have been written before the error.
            let len = fails.map_or(0, |mut chance| chance.below(data.len() as u64 + 1));
            let part = &data[..usize::try_from(len).unwrap()];
            put(&mut content.live, offset, part);
            content.writes.push((offset, part.to_vec()));
            return Err(if full { io::Error::from(io::ErrorKind::StorageFull) } else { broken() });
        }
        put(&mut content.live, offset, data);
        content.writes.push((offset, data.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let state = &mut *self.disk.state();
        state.syncs += 1;
        assert!(!std::mem::take(&mut state.panics), "injected panic");
        let fails = state.fails();
        let content = &mut state.files[self.inode];
        let writes = std::mem::take(&mut content.writes);
        match fails {
            Some(mut chance) => {
                for (offset, data) in writes {
                    keep_part(&mut content.durable, offset, &data, &mut chance);
                }
                Err(broken())
            }
            None => {
                for (offset, data) in writes {
                    put(&mut content.durable, offset, &data);
                }
                Ok(())
            }
        }
    }
}
