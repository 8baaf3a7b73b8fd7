//! A log that is read and thinned out at leisure: dead letters, and queues that nobody delivers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::log::{FRAME_BYTES, Log, MAX_PAYLOAD, RealDisk, Recovered, SegmentReader};

pub use super::log::Record;
use crate::failpoint::{self, Point};

/// The largest file, in bytes.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Bytes that are read and moved at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What becomes of a record of an [`Archive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Keep,
    /// It goes.
    Take,
}

/// A log of records on disk that belongs to nobody but its holder. Every method may wait for the disk.
pub struct Archive {
    dir: PathBuf,
    log: Log,
    reader: SegmentReader,
    from: u64,
    bytes: u64,
    oldest: Option<SystemTime>,
}

impl Archive {
    /// Opens the archive in `dir`, which no other may have open. The directory is made with the first record.
    ///
    /// # Errors
    /// The directory cannot be read. Damage is no error: see [`Recovered`].
    pub fn open(dir: &Path) -> io::Result<(Self, Recovered)> {
        let disk = Arc::new(RealDisk);
        let (log, recovered) = Log::open(disk.clone(), dir, SEGMENT_BYTES)?;
        let reader = SegmentReader::new(disk, dir.to_owned());
        let (from, bytes) = (recovered.from, recovered.bytes);
        let oldest = recovered.written.first().map(|(_, time)| *time).filter(|_| log.next() > from);
        Ok((Self { dir: dir.to_owned(), log, reader, from, bytes, oldest }, recovered))
    }

    /// How many records there are, those included that will prove damaged.
    pub fn len(&self) -> u64 {
        self.log.durable() - self.from
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the records take, about.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest file was last written, of what was there when the archive was opened.
    pub fn oldest(&self) -> Option<SystemTime> {
        self.oldest.filter(|_| !self.is_empty())
    }

    /// Sequence numbers: the first record, and the one that comes next.
    pub fn range(&self) -> (u64, u64) {
        (self.from, self.log.next())
    }

    /// Appends records; they are durable when it returns.
    ///
    /// # Errors
    /// Some may be there, whole, and some not. The archive has to be opened anew.
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

    /// Reads sound records from `from` on, in order: at most `entries`, and but for the first at most a mebibyte; and
    /// says where to go on.
    ///
    /// # Errors
    /// The disk does not give them.
    pub fn read(&mut self, from: u64, entries: usize) -> io::Result<(Vec<Record>, u64)> {
        let end = self.log.durable();
        let chunk = self.reader.read(&self.log.extents(), (from.max(self.from), end), entries, CHUNK_BYTES)?;
        Ok((chunk.records, chunk.next))
    }

    /// Goes through the records that are there now and takes out those of fate [`Fate::Take`], after `moved` has made
    /// safe what it wants of them: at least once, also in a crash. The order of what is kept stays: where something is
    /// kept before what is taken, everything that is kept is written anew. Answers how many were taken.
    ///
    /// # Errors
    /// The disk's, or those of `moved`. What was taken out before is taken out, the rest is there. After an error of the
    /// disk the archive has to be opened anew.
    pub fn sift(
        &mut self,
        decide: &mut dyn FnMut(&Record) -> Fate,
        moved: &mut dyn FnMut(&[Record]) -> io::Result<()>,
    ) -> io::Result<u64> {
        let (mut at, end) = (self.from, self.log.durable());
        // What is decided is decided once.
        let mut chosen = Vec::new();
        while at < end {
            let (records, next) = self.read(at, usize::MAX)?;
            chosen.extend(records.iter().filter(|record| decide(record) == Fate::Take).map(|record| record.seq));
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
            self.forget(next)?;
        }
        Ok(taken)
    }

    /// Lets everything below `seq` go.
    fn forget(&mut self, seq: u64) -> io::Result<()> {
        self.from = seq;
        if self.is_empty() {
            self.bytes = 0;
        }
        self.log.deliver_to(seq);
        self.log.tidy()
    }

    /// Ends with it; removes its files and its directory if it is empty.
    ///
    /// # Errors
    /// Some files are still there.
    pub fn close(mut self) -> io::Result<()> {
        if self.log.clear()? {
            // Not empty if something in it could not be read: that is the operator's.
            let _ = std::fs::remove_dir(&self.dir);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payloads(archive: &mut Archive) -> Vec<Vec<u8>> {
        let (mut at, end) = archive.range();
        let mut all = Vec::new();
        while at < end {
            let (records, next) = archive.read(at, 3).expect("read");
            all.extend(records.iter().map(|record| record.payload.to_vec()));
            at = next;
        }
        all
    }

    proptest! {
        /// Scenario: records of any bytes; some are taken out, by any rule; the archive is opened again at any moment.
        /// Guarantees: what is taken is handed over once and in order; all others are still there, byte by byte and in order;
        /// an empty archive leaves no file.
        #[test]
        fn takes_out_what_is_asked_for(
            given in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..60),
            reopen in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("letters");
            let (mut archive, _) = Archive::open(&dir).unwrap();
            for part in given.chunks(7) {
                archive.append(part.iter().map(|(bytes, _)| Bytes::from(bytes.clone())).collect()).unwrap();
            }
            if reopen {
                drop(archive);
                archive = Archive::open(&dir).unwrap().0;
            }
            let mut out = Vec::new();
            let first = archive.range().0;
            let taken = archive.sift(
                &mut |record| if given[(record.seq - first) as usize].1 { Fate::Take } else { Fate::Keep },
                &mut |records| {
                    out.extend(records.iter().map(|record| record.payload.to_vec()));
                    Ok(())
                },
            ).unwrap();
            let of = |take: bool| given.iter().filter(move |(_, chosen)| *chosen == take).map(|(bytes, _)| bytes.clone());
            prop_assert_eq!(taken as usize, out.len());
            prop_assert_eq!(out, of(true).collect::<Vec<_>>());
            prop_assert_eq!(archive.len() as usize, of(false).count());
            drop(archive);
            let (mut archive, _) = Archive::open(&dir).unwrap();
            prop_assert_eq!(payloads(&mut archive), of(false).collect::<Vec<_>>());
            archive.sift(&mut |_| Fate::Take, &mut |_| Ok(())).unwrap();
            archive.close().unwrap();
            prop_assert!(!dir.exists());
        }
    }

    /// Scenario: what takes the records fails in the middle.
    /// Guarantees: nothing that it did not take is gone.
    #[test]
    fn a_failed_move_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut archive, _) = Archive::open(folder.path()).unwrap();
        archive.append((0..5u8).map(|number| Bytes::from(vec![number; 600 << 10])).collect()).unwrap();
        let mut moves = 0;
        let error = archive.sift(&mut |_| Fate::Take, &mut |records| {
            moves += records.len();
            if moves > 2 { Err(io::Error::other("no room")) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().to_string(), "no room");
        let left: Vec<u8> = payloads(&mut archive).iter().map(|payload| payload[0]).collect();
        assert_eq!(left, (2..5).collect::<Vec<_>>());
    }
}
