//! Opens a log in whatever state an earlier process left it.
//!
//! Only what was read and is wrong is set aside. Whatever cannot be opened or read is an error: the log stays closed, and its
//! files stay as they are until the cause is removed.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::cursor::{self, Cursor, Position};
use super::disk::{Disk, within};
use super::frame::{FRAME_BYTES, HEADER_BYTES};
use super::scan::Scanner;
use super::segment::{self, OpenSegment, Opened};
use super::{Log, SUFFIX, Segment, random_number, segment_path, set_aside};

/// How often a log is opened if the disk reports an input/output error, and the pause before the next time.
const ATTEMPTS: (u32, Duration) = (3, Duration::from_millis(200));

/// What opening a log has found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The first record that is not delivered.
    pub from: u64,
    /// Records that are to be delivered, damaged and missing ones included.
    pub records: u64,
    /// Bytes of their payloads, approximately.
    pub bytes: u64,
    /// Bytes at the end of the newest segment that are not a whole record: a write that a crash has torn.
    pub torn_bytes: u64,
    /// Records before the first segment and after the last one that were once on disk: files were removed or emptied.
    pub missing: u64,
    /// Files that are not segments of this log, and why. They were renamed to `NAME.unreadable`.
    pub set_aside: Vec<(String, String)>,
    /// Files with a damaged header, which was repaired.
    pub repaired: Vec<String>,
    /// The first record of each segment, and when the segment was last written.
    pub written: Vec<(u64, SystemTime)>,
    /// Why the cursor is of no use: everything in the log is delivered again.
    pub cursor_lost: Option<&'static str>,
}

/// A segment that was found.
struct Found {
    segment: Segment,
    queue: u32,
    len: u64,
    modified: Option<SystemTime>,
    /// The header on disk is damaged.
    is_rebuilt: bool,
}

/// Opens a log. See [`Log::open`].
pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path, segment_bytes: u64) -> io::Result<(Log, Recovered)> {
    let mut attempt = 1;
    loop {
        match try_open(disk, dir, segment_bytes) {
            Err(error) if is_transient(&error) && attempt < ATTEMPTS.0 => std::thread::sleep(ATTEMPTS.1),
            result => return result,
        }
        attempt += 1;
    }
}

/// Whether the disk has failed in a way that may pass.
fn is_transient(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<super::disk::DiskError>());
    inner.is_some_and(|error| error.is_input_output())
}

fn try_open(disk: &Arc<dyn Disk>, dir: &Path, segment_bytes: u64) -> io::Result<(Log, Recovered)> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        result => result.map_err(within("read", dir))?,
    };
    let cursor = cursor::read(disk.as_ref(), dir)?;
    let mut recovery = Recovery { disk: disk.as_ref(), dir, found: Vec::new(), recovered: Recovered::default() };
    let mut generations: Vec<u64> = names.iter().filter_map(|name| generation_of(name)).collect();
    generations.sort_unstable();
    for &generation in &generations {
        recovery.examine(generation)?;
    }
    let (position, queue) = recovery.trusted_position(cursor.as_ref());
    let end = recovery.keep_segments_of(queue)?;
    let mark = cursor.and_then(|cursor| cursor.mark).filter(|mark| mark.queue == queue).map_or(0, |mark| mark.durable);
    let Recovery { found, mut recovered, .. } = recovery;
    if !names.is_empty() {
        let _ = disk.sync_dir(dir);
    }
    let saved = position.map_or(0, |position| position.delivered);
    let next = end.max(saved).max(mark);
    let oldest = found.first().map(|found| found.segment.first);
    recovered.from = if position.is_some() { saved } else { oldest.unwrap_or(next) };
    let before = oldest.map_or(0, |oldest| oldest.saturating_sub(recovered.from));
    recovered.missing = before + (next - end.max(recovered.from));
    recovered.records = next - recovered.from;
    recovered.bytes = bytes_from(&found, recovered.from, end).saturating_sub(recovered.records * FRAME_BYTES as u64);
    recovered.written = found.iter().filter_map(|found| Some((found.segment.first, found.modified?))).collect();
    let log = Log {
        disk: disk.clone(),
        dir: dir.to_owned(),
        segment_bytes,
        dir_exists: !names.is_empty(),
        segments: found.iter().map(|found| found.segment).collect(),
        current: None,
        next_generation: names.iter().filter_map(|name| any_generation_of(name)).max().unwrap_or(0).saturating_add(1),
        unsynced: VecDeque::new(),
        durable: next,
        written: next,
        next,
        delivered: saved,
        cursor: Cursor::new(disk.clone(), dir, position, queue, next),
        skipped: false,
        is_syncing: false,
        tried_cursor: false,
        buffer: Vec::new(),
    };
    Ok((log, recovered))
}

fn generation_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// The generation of a segment, also of one that was set aside: its name is not used again.
fn any_generation_of(name: &str) -> Option<u64> {
    generation_of(&name[..name.find(SUFFIX)? + SUFFIX.len()])
}

/// A log that is being opened.
struct Recovery<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    /// Oldest first.
    found: Vec<Found>,
    recovered: Recovered,
}

impl Recovery<'_> {
    /// Reads the header of a segment.
    fn examine(&mut self, generation: u64) -> io::Result<()> {
        let path = segment_path(self.dir, generation);
        match segment::open(self.disk, &path)? {
            Opened::Missing => {}
            Opened::Segment(OpenSegment { file, len, header, is_rebuilt }) => {
                let segment = Segment { generation, first: header.first };
                let modified = file.modified().ok();
                self.found.push(Found { segment, queue: header.queue, len, modified, is_rebuilt });
            }
            // A crash came between the creation of the file and its first bytes, or its content is gone.
            Opened::Invalid { len, .. } if len < HEADER_BYTES as u64 => drop(self.disk.remove(&path)),
            Opened::Invalid { reason, .. } => self.set_aside(generation, reason.to_string())?,
        }
        Ok(())
    }

    fn set_aside(&mut self, generation: u64, reason: String) -> io::Result<()> {
        let path = segment_path(self.dir, generation);
        self.disk.rename(&path, &set_aside::path_for(self.disk, &path)).map_err(within("rename", &path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.recovered.set_aside.push((name, reason));
        Ok(())
    }

    /// The position that the cursor gives, unless it is not of this log; and the number of the queue.
    fn trusted_position(&mut self, cursor: Option<&cursor::Content>) -> (Option<Position>, u32) {
        let of_segments = || self.found.iter().map(|found| found.queue).filter(|&queue| queue != 0);
        let fallback = || of_segments().next().unwrap_or_else(random_number);
        let (position, why_not) = match cursor {
            None => (None, self.found.first().filter(|oldest| oldest.segment.first > 0).map(|_| "it is missing")),
            Some(cursor::Content { position: None, .. }) => (None, Some("it is damaged")),
            Some(cursor::Content { position: Some(position), .. }) => match position.queue {
                0 if self.is_past_everything(*position) => (None, Some("it does not fit the messages")),
                0 => (Some(*position), None),
                queue if of_segments().next().is_none() || of_segments().any(|of| of == queue) => {
                    (Some(*position), None)
                }
                _ => (None, Some("it belongs to another queue")),
            },
        };
        let queue = position.map(|position| position.queue).filter(|&queue| queue != 0).unwrap_or_else(fallback);
        self.recovered.cursor_lost = why_not;
        (position, queue)
    }

    /// Whether a position of version 1, which names no queue, is behind the end of the newest segment, even if it had the
    /// smallest possible records.
    fn is_past_everything(&self, position: Position) -> bool {
        let most = |found: &Found| found.segment.first + found.len / FRAME_BYTES as u64;
        self.found.last().is_some_and(|newest| position.delivered > most(newest))
    }

    /// Sets aside what does not belong to the queue with this number, repairs headers, and returns the end of the newest
    /// segment.
    fn keep_segments_of(&mut self, queue: u32) -> io::Result<u64> {
        let mut kept: Vec<Found> = Vec::new();
        for found in std::mem::take(&mut self.found) {
            let generation = found.segment.generation;
            if found.queue != 0 && found.queue != queue {
                self.set_aside(generation, "it belongs to another queue".to_owned())?;
            } else if kept.last().is_some_and(|before| found.segment.first < before.segment.first) {
                self.set_aside(generation, "it does not continue the segment before it".to_owned())?;
            } else {
                if found.is_rebuilt {
                    self.repair(generation, queue)?;
                }
                kept.push(found);
            }
        }
        self.found = kept;
        self.find_end()
    }

    /// Writes the damaged header of a segment again.
    fn repair(&mut self, generation: u64, queue: u32) -> io::Result<()> {
        let path = segment_path(self.dir, generation);
        let Opened::Segment(OpenSegment { file, header, .. }) = segment::open(self.disk, &path)? else {
            return Ok(());
        };
        let header = super::Header { queue, ..header };
        let repaired = file.write_at(&header.encode(), 0).and_then(|()| file.sync());
        repaired.map_err(within("repair", &path))?;
        self.recovered.repaired.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        Ok(())
    }

    /// Scans the newest segment to its last intact record.
    fn find_end(&mut self) -> io::Result<u64> {
        let Some(newest) = self.found.last() else { return Ok(0) };
        let path = segment_path(self.dir, newest.segment.generation);
        let Opened::Segment(OpenSegment { file, header, len, .. }) = segment::open(self.disk, &path)? else {
            return Ok(newest.segment.first);
        };
        // Syncs what a killed process had only written. If that fails, it was not acknowledged as synced either.
        let _ = file.sync();
        let mut scanner = Scanner::new(file, header);
        while scanner.next(u64::MAX).map_err(within("read", &path))?.is_some() {}
        self.recovered.torn_bytes = len.saturating_sub(scanner.offset());
        Ok(scanner.expected())
    }
}

/// Bytes of frames between two sequence numbers, assuming that all frames of a segment have the same size.
fn bytes_from(found: &[Found], from: u64, next: u64) -> u64 {
    let bytes = |(at, own): (usize, &Found)| {
        let (first, end) = (own.segment.first, found.get(at + 1).map_or(next, |later| later.segment.first));
        let (records, wanted) = (end.saturating_sub(first), end.saturating_sub(from.max(first)));
        let len = u128::from(own.len.saturating_sub(HEADER_BYTES as u64));
        let share = len * u128::from(wanted) / u128::from(records.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    found.iter().enumerate().map(bytes).sum()
}
