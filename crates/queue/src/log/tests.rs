mod model;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::sim::SimDisk;
use super::*;

const DIR: &str = "/queue";

fn on(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn open(disk: &SimDisk, segment_bytes: u64) -> (Log, Recovered) {
    Log::open(&on(disk), Path::new(DIR), segment_bytes).unwrap()
}

/// All records from `from` to below `end`, as a reader gets them that reads a few at a time.
fn read_all(disk: &SimDisk, log: &Log, from: u64, end: u64) -> Vec<Record> {
    let mut reader = SegmentReader::new(Arc::new(disk.clone()), DIR.into());
    let (mut records, mut next) = (Vec::new(), from);
    while next < end {
        let chunk = reader.read(&log.extents(), (next, end), 3, 700).unwrap();
        assert!(chunk.next > next, "a reader moves on");
        next = chunk.next;
        records.extend(chunk.records);
    }
    records
}

const SEGMENT: &str = "/queue/0000000001.seg";

/// A segment with these payloads.
fn segment(payloads: &[&[u8]]) -> Vec<u8> {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk, 1 << 20);
    for payload in payloads {
        log.push(Bytes::copy_from_slice(payload));
    }
    log.write().unwrap();
    log.sync().unwrap();
    disk.read(Path::new(SEGMENT))
}

/// The records read from a log whose only segment has this content.
fn recover(content: &[u8]) -> (Vec<Record>, Recovered) {
    let disk = SimDisk::default();
    disk.put(Path::new(SEGMENT), content);
    let (mut log, recovered) = open(&disk, 1 << 20);
    let records = read_all(&disk, &log, recovered.from, log.next());
    // The log continues.
    let seq = log.push(Bytes::from_static(b"more"));
    log.write().unwrap();
    log.sync().unwrap();
    assert_eq!(read_all(&disk, &log, seq, log.next()), [Record { seq, payload: Bytes::from_static(b"more") }]);
    (records, recovered)
}

const PAYLOADS: [&[u8]; 5] = [b"one", b"", b"three", b"{\"four\":4}", b"5"];

fn records(numbers: impl IntoIterator<Item = usize>) -> Vec<Record> {
    let record = |number: usize| Record { seq: number as u64, payload: Bytes::from_static(PAYLOADS[number]) };
    numbers.into_iter().map(record).collect()
}

/// Where each frame of [`PAYLOADS`] begins, and the end.
fn boundaries() -> Vec<usize> {
    let mut ends = vec![HEADER_BYTES];
    ends.extend(PAYLOADS.iter().scan(HEADER_BYTES, |at, payload| {
        *at += FRAME_BYTES + payload.len();
        Some(*at)
    }));
    ends
}

/// Scenario: a segment truncated after each of its bytes.
/// Guarantees: exactly the complete records are read, and the log continues.
#[test]
fn a_truncated_segment_yields_its_complete_records() {
    let content = segment(&PAYLOADS);
    let boundaries = boundaries();
    assert_eq!(boundaries.last(), Some(&content.len()));
    for len in 0..content.len() {
        let (found, recovered) = recover(&content[..len]);
        let whole = boundaries.iter().filter(|&&end| end <= len).count().saturating_sub(1);
        assert_eq!(found, records(0..whole), "cut after {len} bytes");
        let torn = boundaries.iter().filter(|&&end| end <= len).max().map_or(0, |end| len - end);
        assert_eq!((recovered.torn_bytes, recovered.set_aside.len()), (torn as u64, 0), "cut after {len} bytes");
    }
}

/// Scenario: a segment in which each byte in turn is changed.
/// Guarantees: a damaged header is repaired and costs no record; a damaged frame loses only its own record, and no record
/// is altered.
#[test]
fn a_flipped_byte_costs_at_most_one_record() {
    let content = segment(&PAYLOADS);
    let boundaries = boundaries();
    for at in 0..content.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = content.clone();
            damaged[at] ^= flip;
            let (found, recovered) = recover(&damaged);
            let hit = boundaries.iter().filter(|&&begin| begin <= at).count().checked_sub(1);
            assert_eq!(recovered.repaired.len(), usize::from(hit.is_none()), "byte {at} by {flip:x}");
            let left = (0..PAYLOADS.len()).filter(|&number| Some(number) != hit);
            assert_eq!(found, records(left), "byte {at} by {flip:x}");
        }
    }
}

/// Scenario: a segment whose header is overwritten and whose first record is damaged; the file of a later version.
/// Guarantees: the other records are read; the file of a later version is an error, and stays as it is.
#[test]
fn records_are_found_without_a_header() {
    let mut content = segment(&PAYLOADS);
    content[..HEADER_BYTES].fill(b'x');
    content[HEADER_BYTES + FRAME_BYTES] ^= 1;
    assert_eq!(recover(&content).0, records(1..5));
    let mut later = segment(&PAYLOADS);
    later[8] = 9;
    let checksum = crc32fast::hash(&later[..28]);
    later[28..32].copy_from_slice(&checksum.to_le_bytes());
    let disk = SimDisk::default();
    disk.put(Path::new(SEGMENT), &later);
    let error = Log::open(&on(&disk), Path::new(DIR), 1 << 20).map(drop).unwrap_err().to_string();
    assert!(error.contains("cannot read /queue/0000000001.seg: its format is 9"), "{error}");
    assert_eq!(disk.paths(), [Path::new(SEGMENT)]);
}

/// Scenario: a damaged frame whose payload contains a copy of the next frame from another segment.
/// Guarantees: the copy is not read as a frame.
#[test]
fn a_frame_within_a_payload_is_ignored() {
    let mut forged = Vec::new();
    put_frame(&mut forged, 0, 1, b"forged");
    let mut content = segment(&[&forged, b"true"]);
    content[HEADER_BYTES + 4] ^= 1;
    let (found, _) = recover(&content);
    assert_eq!(found, [Record { seq: 1, payload: Bytes::from_static(b"true") }]);
}

/// A log of three segments with one record each.
fn three_segments(disk: &SimDisk) -> Log {
    let (mut log, _) = open(disk, 64);
    for number in 0..3u8 {
        log.push(Bytes::from(vec![number; 40]));
    }
    log.write().unwrap();
    log.sync().unwrap();
    log
}

fn numbers(disk: &SimDisk, log: &Log, from: u64) -> Vec<u64> {
    read_all(disk, log, from, log.next()).iter().map(|record| record.seq).collect()
}

/// Scenario: three segments, the middle one overwritten; later another one with the same name.
/// Guarantees: it is renamed and reported, the records of the others are read, and the gap is part of the count; a name
/// that was set aside is not used again.
#[test]
fn a_file_that_is_no_segment_is_set_aside() {
    let disk = SimDisk::default();
    three_segments(&disk);
    let middle = Path::new("/queue/0000000002.seg");
    disk.put(middle, &[b'x'; 100]);
    let (log, recovered) = open(&disk, 64);
    assert_eq!(recovered.set_aside, [("0000000002.seg".to_owned(), "its header is damaged".to_owned())]);
    assert!(disk.paths().iter().any(|path| path.ends_with("0000000002.seg.unreadable")));
    assert_eq!((numbers(&disk, &log, 0), recovered.records), (vec![0, 2], 3));
    disk.put(middle, &[b'y'; 100]);
    open(&disk, 64);
    assert!(disk.paths().iter().any(|path| path.ends_with("0000000002.seg.unreadable.2")));
}

/// Scenario: three records in three segments; one or two of the files are removed, or emptied as by a truncation.
/// Guarantees: what is missing is part of the count, and the rest is read.
#[test]
fn missing_segments_are_counted() {
    for gone in [vec![1], vec![2], vec![3], vec![1, 2], vec![2, 3], vec![1, 3], vec![1, 2, 3]] {
        for emptied in [false, true] {
            let disk = SimDisk::default();
            three_segments(&disk);
            for generation in &gone {
                let path = segment_path(Path::new(DIR), *generation);
                if emptied { disk.put(&path, b"") } else { disk.take(&path) }
            }
            let (log, recovered) = open(&disk, 64);
            let left: Vec<u64> = (0..3).filter(|number| !gone.contains(&(number + 1))).collect();
            assert_eq!((recovered.from, recovered.records), (0, 3), "{gone:?}, emptied: {emptied}");
            assert_eq!(numbers(&disk, &log, 0), left, "{gone:?}, emptied: {emptied}");
            let at_an_end = gone != [2];
            assert_eq!(recovered.missing > 0, at_an_end, "{gone:?}, emptied: {emptied}");
        }
    }
}

/// Scenario: a cursor and a segment of another queue are put in the place of a queue's own.
/// Guarantees: the cursor is ignored, so that no message is skipped; the segment is set aside.
#[test]
fn files_of_another_queue_are_noticed() {
    let (disk, other) = (SimDisk::default(), SimDisk::default());
    three_segments(&disk);
    let mut log = three_segments(&other);
    log.set_delivered(2);
    log.checkpoint().unwrap();
    drop(log);
    let cursor = Path::new("/queue/cursor");
    let own = disk.read(cursor);
    disk.put(cursor, &other.read(cursor));
    let (log, recovered) = open(&disk, 64);
    assert_eq!((recovered.from, recovered.records), (0, 3));
    assert_eq!(recovered.cursor_lost, Some("it belongs to another queue"));
    assert_eq!(numbers(&disk, &log, 0), [0, 1, 2]);
    disk.put(cursor, &own);
    let third = Path::new("/queue/0000000003.seg");
    disk.put(third, &other.read(third));
    let (log, recovered) = open(&disk, 64);
    assert_eq!(recovered.set_aside, [("0000000003.seg".to_owned(), "it belongs to another queue".to_owned())]);
    assert_eq!((numbers(&disk, &log, 0), recovered.records, recovered.missing), (vec![0, 1], 3, 1));
}

/// Scenario: files cannot be opened, or opened and not read, when a log is opened; then the cause is removed.
/// Guarantees: opening fails with the path and the words of the system, changes no file, and then succeeds with everything.
#[test]
fn what_cannot_be_read_stays_as_it_is() {
    let disk = SimDisk::default();
    three_segments(&disk);
    let before = disk.paths();
    let error = || Log::open(&on(&disk), Path::new(DIR), 64).map(drop).unwrap_err();
    disk.set_forbidden(true);
    assert_eq!(error().kind(), io::ErrorKind::PermissionDenied);
    assert!(error().to_string().starts_with("cannot open /queue/cursor: "), "{}", error());
    disk.set_forbidden(false);
    disk.set_unreadable(true);
    assert_eq!(error().to_string(), "cannot read /queue/cursor: injected error");
    disk.set_unreadable(false);
    assert_eq!(disk.paths(), before);
    let (log, recovered) = open(&disk, 64);
    assert_eq!((numbers(&disk, &log, 0), recovered.records), (vec![0, 1, 2], 3));
}

/// Scenario: files that were set aside: one of another queue with a damaged record, one without a header, one that never
/// was a segment.
/// Guarantees: every intact record is read, in order, and the rest is counted in bytes; the file is removed on request only.
#[test]
fn intact_records_of_a_file_that_was_set_aside_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut damaged = segment(&PAYLOADS);
    let boundaries = boundaries();
    damaged[boundaries[2] + FRAME_BYTES] ^= 1;
    let mut headless = segment(&PAYLOADS);
    headless[..HEADER_BYTES].fill(0);
    for (name, content) in
        [("1.seg.unreadable", &damaged), ("2.seg.unreadable.2", &headless), ("3.seg.unreadable", &vec![b'x'; 99])]
    {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    std::fs::write(folder.path().join("4.seg"), &damaged).unwrap();
    let mut found = Vec::new();
    for file in set_aside_files(folder.path()).unwrap() {
        let mut payloads = Vec::new();
        let salvaged = file.read(&mut |records| {
            payloads.extend(records);
            Ok(())
        });
        let salvaged = salvaged.unwrap();
        assert_eq!(salvaged.records, payloads.len() as u64);
        found.push((payloads, salvaged.damaged_bytes));
        assert!(file.path.exists());
        file.remove().unwrap();
    }
    let payloads = |left: &[usize]| left.iter().map(|&number| Bytes::from_static(PAYLOADS[number])).collect::<Vec<_>>();
    let lost = (boundaries[3] - boundaries[2]) as u64;
    assert_eq!(found, [(payloads(&[0, 1, 3, 4]), lost), (payloads(&[0, 1, 2, 3, 4]), 0), (vec![], 99)]);
    assert!(set_aside_files(&folder.path().join("none")).unwrap().is_empty());
}

/// Scenario: a disk that is full for a while.
/// Guarantees: nothing is reported as durable meanwhile, files do not accumulate, and everything is written when there
/// is space again.
#[test]
fn a_full_disk_is_waited_out() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk, 1 << 20);
    log.push(Bytes::from_static(b"a"));
    log.write().unwrap();
    assert_eq!(log.sync().unwrap(), 1);
    disk.set_full(true);
    log.push(Bytes::from_static(b"b"));
    for _ in 0..5 {
        assert_eq!(log.write().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(log.durable(), 1);
    }
    assert_eq!(disk.paths(), [Path::new(SEGMENT), Path::new("/queue/cursor")]);
    disk.set_full(false);
    log.write().unwrap();
    assert_eq!(log.sync().unwrap(), 2);
    let payloads: Vec<Bytes> = read_all(&disk, &log, 0, 2).into_iter().map(|record| record.payload).collect();
    assert_eq!(payloads, ["a", "b"]);
}

/// Scenario: a cursor damaged in one slot and in both.
/// Guarantees: with one damaged slot the other is used; with both the log starts with its oldest record and reports it.
#[test]
fn a_lost_cursor_costs_duplicates() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk, 1 << 20);
    for _ in 0..4 {
        log.push(Bytes::from_static(b"x"));
    }
    log.write().unwrap();
    log.sync().unwrap();
    for seq in 1..=2 {
        log.set_delivered(seq);
        log.checkpoint().unwrap();
    }
    let path = Path::new("/queue/cursor");
    let mut content = disk.read(path);
    let damaged = Some("it is damaged");
    // The first slot has the second position: creating the cursor took the first turn.
    for (flip, from, lost) in [(None, 2, None), (Some(4096), 1, None), (Some(0), 0, damaged)] {
        if let Some(at) = flip {
            content[at + 20] ^= 1;
            disk.put(path, &content);
        }
        let (_, recovered) = open(&disk, 1 << 20);
        assert_eq!((recovered.from, recovered.cursor_lost), (from, lost), "{flip:?}");
    }
}

/// Scenario: a queue of each version of the format (version 2 numbers its queues), with a torn write at its end.
/// Guarantees: this version reads all in the same way. `BLESS=1` writes that of the current version.
#[test]
fn each_version_is_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let current = fixtures.join("queue-2");
    if std::env::var_os("BLESS").is_some() && !current.exists() {
        write_the_fixture(&current);
    }
    for version in [fixtures.join("queue-1"), current] {
        let copy = tempfile::tempdir().unwrap();
        for name in ["0000000001.seg", "0000000002.seg", "cursor"] {
            std::fs::copy(version.join(name), copy.path().join(name)).unwrap();
        }
        is_the_fixture(copy.path());
    }
    let made = tempfile::tempdir().unwrap();
    write_the_fixture(made.path());
    is_the_fixture(made.path());
}

fn is_the_fixture(folder: &Path) {
    let (log, recovered) = Log::open(&real(), folder, 1 << 20).unwrap();
    assert_eq!((recovered.from, recovered.records, recovered.torn_bytes), (1, 3, 9));
    let mut reader = SegmentReader::new(Arc::new(RealDisk), folder.to_owned());
    let chunk = reader.read(&log.extents(), (1, 4), 9, usize::MAX).unwrap();
    let payloads: Vec<_> = chunk.records.iter().map(|record| record.payload.clone()).collect();
    assert_eq!(payloads, ["{\"number\":1}", "{\"number\":2}", "{\"number\":3}"]);
}

fn write_the_fixture(folder: &Path) {
    let (mut log, _) = Log::open(&real(), folder, 100).unwrap();
    for number in 0..4 {
        log.push(Bytes::from(format!("{{\"number\":{number}}}")));
    }
    log.write().unwrap();
    log.sync().unwrap();
    log.set_delivered(1);
    log.checkpoint().unwrap();
    let newest = log.extents().last().unwrap().generation;
    let file = RealDisk.open(&segment_path(folder, newest)).unwrap();
    file.write_at(b"torn torn", file.len().unwrap()).unwrap();
}
