//! A log of records for one owner, from which any record can be removed: for dead letters, and for queues that no output
//! has open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::log::{Disk, FRAME_BYTES, Log, MAX_PAYLOAD, RealDisk, Recovered, SegmentReader};

pub use super::log::Record;
use crate::failpoint::{self, Point};

/// The largest size of a file, in bytes.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Bytes that are read and moved at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What [`RecordStore::extract`] does with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It stays in the store.
    Keep,
    /// It is taken out.
    Take,
}

/// A log of records on disk. Every method may wait for the disk.
pub struct RecordStore {
    dir: PathBuf,
    log: Log,
    reader: SegmentReader,
    from: u64,
    bytes: u64,
    oldest: Option<SystemTime>,
}

impl RecordStore {
    /// Opens the store in `dir`, which nothing else may have open. The first record creates the directory.
    ///
    /// # Errors
    /// A file or the directory cannot be opened or read. Damaged files are not an error: see [`Recovered`].
    pub fn open(dir: &Path) -> io::Result<(Self, Recovered)> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let (log, recovered) = Log::open(&disk, dir, SEGMENT_BYTES)?;
        let reader = SegmentReader::new(disk, dir.to_owned());
        let (from, bytes) = (recovered.from, recovered.bytes);
        let oldest = recovered.written.first().map(|(_, time)| *time).filter(|_| log.next() > from);
        Ok((Self { dir: dir.to_owned(), log, reader, from, bytes, oldest }, recovered))
    }

    /// Its directory.
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// The number of records, damaged ones included.
    pub fn len(&self) -> u64 {
        self.log.durable() - self.from
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the records, approximately.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest file was last written before the store was opened.
    pub fn oldest(&self) -> Option<SystemTime> {
        self.oldest.filter(|_| !self.is_empty())
    }

    /// The sequence numbers of the first record and of the next one to be appended.
    pub fn range(&self) -> (u64, u64) {
        (self.from, self.log.next())
    }

    /// Appends records. They are durable when it returns.
    ///
    /// # Errors
    /// Some records may be appended and others not; the store must be opened again.
    pub fn append(&mut self, payloads: Vec<Bytes>) -> io::Result<()> {
        if payloads.is_empty() {
            return Ok(());
        }
        if payloads.iter().any(|payload| payload.len() > MAX_PAYLOAD) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message is larger than a queue can hold"));
        }
        for payload in payloads {
            self.bytes += (payload.len() + FRAME_BYTES) as u64;
            self.log.push(payload);
        }
        self.log.write()?;
        self.log.sync()?;
        Ok(())
    }

    /// Reads intact records in order, starting with `from`: at most `entries` and, except for the first one, at most 1 MiB.
    /// Returns them with the sequence number at which to continue.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(&mut self, from: u64, entries: usize) -> io::Result<(Vec<Record>, u64)> {
        let end = self.log.durable();
        let chunk = self.reader.read(&self.log.extents(), (from.max(self.from), end), entries, CHUNK_BYTES)?;
        Ok((chunk.records, chunk.next))
    }

    /// Removes the records for which `decide` returns [`Disposition::Take`], after `moved` has stored them elsewhere: in a
    /// crash a record may be in both places, never in none. The others keep their order: unless the taken records are at
    /// the front, all others are written again. Returns how many were taken.
    ///
    /// # Errors
    /// Those of the disk or of `moved`. The records that were taken before stay removed, all others are still there. After
    /// an error of the disk the store must be opened again.
    pub fn extract(
        &mut self,
        decide: &mut dyn FnMut(&Record) -> Disposition,
        moved: &mut dyn FnMut(&[Record]) -> io::Result<()>,
    ) -> io::Result<u64> {
        let (mut at, end) = (self.from, self.log.durable());
        // `decide` is called once per record.
        let mut chosen = Vec::new();
        while at < end {
            let (records, next) = self.read(at, usize::MAX)?;
            chosen.extend(records.iter().filter(|record| decide(record) == Disposition::Take).map(|record| record.seq));
            at = next;
        }
        let Some(&last) = chosen.last() else { return Ok(0) };
        let is_front = last - self.from < chosen.len() as u64;
        let until = if is_front { last + 1 } else { end };
        let mut taken = 0;
        while self.from < until {
            let (records, next) = self.read(self.from, usize::MAX)?;
            let next = next.min(until);
            let inside = records.into_iter().filter(|record| record.seq < next);
            let (take, keep): (Vec<_>, Vec<_>) = inside.partition(|record| chosen.binary_search(&record.seq).is_ok());
            if !take.is_empty() {
                moved(&take)?;
                failpoint::reach(Point::Moved);
            }
            taken += take.len() as u64;
            let size = |records: &[Record]| records.iter().map(|one| (one.payload.len() + FRAME_BYTES) as u64).sum();
            let gone: u64 = size(&take);
            let again: u64 = size(&keep);
            self.append(keep.into_iter().map(|record| record.payload).collect())?;
            self.bytes = self.bytes.saturating_sub(gone + again);
            self.remove_until(next)?;
        }
        Ok(taken)
    }

    /// Removes everything below `seq`.
    fn remove_until(&mut self, seq: u64) -> io::Result<()> {
        self.from = seq;
        if self.is_empty() {
            self.bytes = 0;
        }
        self.log.set_delivered(seq);
        self.log.checkpoint()?;
        self.reader.close_removed(&self.log.extents());
        Ok(())
    }

    /// Closes the store. If it is empty, removes its files and its directory.
    ///
    /// # Errors
    /// Some files cannot be removed.
    pub fn close(mut self) -> io::Result<()> {
        if self.log.remove_files()? {
            // Fails if it has files that were set aside, which the operator has to look at.
            let _ = std::fs::remove_dir(&self.dir);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payloads(store: &mut RecordStore) -> Vec<Vec<u8>> {
        let (mut at, end) = store.range();
        let mut all = Vec::new();
        while at < end {
            let (records, next) = store.read(at, 3).expect("read");
            all.extend(records.iter().map(|record| record.payload.to_vec()));
            at = next;
        }
        all
    }

    proptest! {
        /// Scenario: records of any bytes, of which any are taken out; the store is opened again before and after.
        /// Guarantees: the taken records are handed over once and in order; all others are still there, unchanged and in
        /// order; an empty store leaves no file.
        #[test]
        fn takes_out_what_is_asked_for(
            given in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..60),
            reopen in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("letters");
            let (mut store, _) = RecordStore::open(&dir).unwrap();
            for part in given.chunks(7) {
                store.append(part.iter().map(|(bytes, _)| Bytes::from(bytes.clone())).collect()).unwrap();
            }
            if reopen {
                drop(store);
                store = RecordStore::open(&dir).unwrap().0;
            }
            let mut out = Vec::new();
            let first = store.range().0;
            let taken = store.extract(
                &mut |record| if given[(record.seq - first) as usize].1 { Disposition::Take } else { Disposition::Keep },
                &mut |records| {
                    out.extend(records.iter().map(|record| record.payload.to_vec()));
                    Ok(())
                },
            ).unwrap();
            let of = |take: bool| given.iter().filter(move |(_, chosen)| *chosen == take).map(|(bytes, _)| bytes.clone());
            prop_assert_eq!(taken as usize, out.len());
            prop_assert_eq!(out, of(true).collect::<Vec<_>>());
            prop_assert_eq!(store.len() as usize, of(false).count());
            drop(store);
            let (mut store, _) = RecordStore::open(&dir).unwrap();
            prop_assert_eq!(payloads(&mut store), of(false).collect::<Vec<_>>());
            store.extract(&mut |_| Disposition::Take, &mut |_| Ok(())).unwrap();
            store.close().unwrap();
            prop_assert!(!dir.exists());
        }
    }

    /// Scenario: storing the taken records elsewhere fails in the middle.
    /// Guarantees: only the records that were stored elsewhere are removed.
    #[test]
    fn a_failed_move_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = RecordStore::open(folder.path()).unwrap();
        store.append((0..5u8).map(|number| Bytes::from(vec![number; 600 << 10])).collect()).unwrap();
        let mut moves = 0;
        let error = store.extract(&mut |_| Disposition::Take, &mut |records| {
            moves += records.len();
            if moves > 2 { Err(io::Error::other("no room")) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().to_string(), "no room");
        let left: Vec<u8> = payloads(&mut store).iter().map(|payload| payload[0]).collect();
        assert_eq!(left, (2..5).collect::<Vec<_>>());
    }
}
