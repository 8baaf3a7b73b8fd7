//! Opens a log in whatever state an earlier process left it.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::cursor::Cursor;
use super::disk::{Disk, File, within};
use super::frame::{BadHeader, FRAME_BYTES, HEADER_BYTES, Header};
use super::scan::Scanner;
use super::{Log, SUFFIX, Segment, segment_path, unreadable_path};

/// What opening a log has found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The first record that is not delivered.
    pub from: u64,
    /// Records that are to be delivered, damaged ones included.
    pub records: u64,
    /// Bytes of their payloads, approximately.
    pub bytes: u64,
    /// Bytes at the end of the newest segment that are not a whole record: a write that a crash has torn.
    pub torn_bytes: u64,
    /// Files that are not valid segments, and why. They were renamed to `NAME.unreadable`.
    pub unreadable: Vec<(String, String)>,
    /// The first record of each segment, and when the segment was last written.
    pub written: Vec<(u64, SystemTime)>,
    /// The cursor cannot be read: everything in the log is delivered again.
    pub cursor_lost: bool,
}

/// A segment that was found.
struct Found {
    segment: Segment,
    len: u64,
    file: Arc<dyn File>,
    scanner: Scanner,
}

pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, segment_bytes: u64) -> io::Result<(Log, Recovered)> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        result => result.map_err(within("read", dir))?,
    };
    let (cursor, cursor_lost) = Cursor::open(disk.clone(), dir);
    let mut recovered = Recovered { cursor_lost, ..Recovered::default() };
    let mut generations: Vec<u64> = names.iter().filter_map(|name| generation_of(name)).collect();
    generations.sort_unstable();
    let next_generation = generations.last().map_or(1, |last| last.saturating_add(1));
    let mut found: Vec<Found> = Vec::new();
    for generation in generations {
        let least = found.last().map_or(0, |found| found.segment.first);
        found.extend(examine(disk.as_ref(), dir, generation, least, &mut recovered));
    }
    let written = found.iter().filter_map(|found| Some((found.segment.first, found.file.modified().ok()?)));
    recovered.written = written.collect();
    let end = match found.last_mut() {
        Some(newest) => {
            // Syncs what a killed process had only written. If that fails, it was not acknowledged as synced either.
            let _ = newest.file.sync();
            end_of(newest, &mut recovered)
        }
        None => 0,
    };
    if !names.is_empty() {
        let _ = disk.sync_dir(dir);
    }
    let next = end.max(cursor.saved());
    let oldest = found.first().map_or(next, |found| found.segment.first);
    recovered.from = cursor.saved().max(oldest).min(next);
    recovered.records = next - recovered.from;
    recovered.bytes = bytes_from(&found, recovered.from, next).saturating_sub(recovered.records * FRAME_BYTES as u64);
    let log = Log {
        disk,
        dir: dir.to_owned(),
        segment_bytes,
        dir_exists: !names.is_empty(),
        segments: found.iter().map(|found| found.segment).collect(),
        current: None,
        next_generation,
        unsynced: VecDeque::new(),
        durable: next,
        written: next,
        next,
        delivered: cursor.saved(),
        skipped: false,
        cursor,
        quarantined: BTreeSet::new(),
        is_syncing: false,
        buffer: Vec::new(),
    };
    Ok((log, recovered))
}

fn generation_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Reads the header of a segment. Renames a file that is not valid.
fn examine(disk: &dyn Disk, dir: &Path, generation: u64, least: u64, recovered: &mut Recovered) -> Option<Found> {
    let path = segment_path(dir, generation);
    let (reason, len) = match read_header(disk, &path) {
        Ok((Ok(header), (file, len))) if header.first >= least => {
            let segment = Segment { generation, first: header.first };
            return Some(Found { segment, len, file: file.clone(), scanner: Scanner::new(file, header) });
        }
        Ok((Ok(_), (_, len))) => ("it does not continue the segment before it".to_owned(), len),
        Ok((Err(bad), (_, len))) => (bad.to_string(), len),
        Err(error) => (error.to_string(), u64::MAX),
    };
    if len < HEADER_BYTES as u64 {
        // A crash came between the creation of the file and its first bytes.
        let _ = disk.remove(&path);
        return None;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let _ = disk.rename(&path, &unreadable_path(&path));
    recovered.unreadable.push((name, reason));
    None
}

type Opened = (Arc<dyn File>, u64);

fn read_header(disk: &dyn Disk, path: &Path) -> io::Result<(Result<Header, BadHeader>, Opened)> {
    let file = disk.open(path)?;
    let mut bytes = [0; HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    let len = file.len()?;
    Ok((Header::decode(&bytes[..read]), (file, len)))
}

/// Scans the newest segment to its last intact record.
fn end_of(newest: &mut Found, recovered: &mut Recovered) -> u64 {
    loop {
        match newest.scanner.next(u64::MAX) {
            Ok(Some(_)) => {}
            Ok(None) => break,
            // Assumes the largest possible number of records, so that later ones cut off none that can still be read.
            Err(_) => {
                let rest = newest.len.saturating_sub(newest.scanner.offset());
                return newest.scanner.expected() + rest / FRAME_BYTES as u64;
            }
        }
    }
    recovered.torn_bytes = newest.len.saturating_sub(newest.scanner.offset());
    newest.scanner.expected()
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
