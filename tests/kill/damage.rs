//! Files of a queue that are damaged between two runs: emptied, removed, changed by a byte, or another queue's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::random::{Mood, Protocol, Receiver, Rng, from_environment, seed};
use crate::service::{Home, Messages, Scrape, configuration, free_port, transaction, wait_until};

/// Messages that are delivered before the receiver goes away.
const DELIVERED: u64 = 300;
/// Messages that wait.
const WAITING: u64 = 3000;
/// Segments are an eighth of it: the waiting messages fill several.
const DISK_BYTES: &str = "4MiB";

/// Bytes of a segment's header (`crates/queue/src/log/frame.rs`).
const HEADER_BYTES: usize = 32;

const QUEUE: &str = "0f4f1c2e-3b1a-4f6e-8c7d-2a1b3c4d5e6f";
const OTHER: &str = "7a1d9c44-5e0b-4c1f-9f53-6d2e8b7a0c11";

/// A data directory with a backlog of http-log, and with the queue of a file-log that has delivered everything.
struct Backlog {
    directory: TempDir,
    waiting: BTreeSet<u64>,
}

fn receiver() -> Receiver {
    Receiver::start(Protocol::Http, Rng::new(0), transaction)
}

/// A home whose http-log sends to this receiver, and the port of its status.
fn home(receiver: &Receiver) -> (Home, u16) {
    let (home, status) = (Home::new(), free_port());
    let queue = json!({"max_batch_size": 100, "max_coalescing_delay": 0.01});
    let endpoint = format!("http://127.0.0.1:{}/", receiver.port);
    let file = json!({"path": home.text("messages.log"), "queue": {"durability": "disk"}});
    home.write(
        "kong.yml",
        &configuration(&json!([
            {"name": "http-log", "id": QUEUE, "config": {"http_endpoint": endpoint, "queue": queue}},
            {"name": "file-log", "id": OTHER, "config": file},
        ])),
    );
    let home = home
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"))
        .set("LOGPHASE_QUEUE_MAX_DISK_BYTES", DISK_BYTES)
        .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1")
        .set("LOGPHASE_SHUTDOWN_TIMEOUT", "0.1");
    (home, status)
}

impl Backlog {
    /// Some messages are delivered; then the receiver goes away, and many more arrive; then the service stops.
    fn make() -> Self {
        let receiver = receiver();
        let mut service = home(&receiver).0.start();
        let mut client = service.client();
        let mut send = |ids: std::ops::Range<u64>| {
            for first in ids.clone().step_by(100) {
                let bodies: Vec<Value> = (first..ids.end.min(first + 100)).map(transaction).collect();
                assert_eq!(client.post(Value::from(bodies).to_string().as_bytes()).unwrap().status, 200);
            }
        };
        send(0..DELIVERED);
        wait_until("the first are delivered", || receiver.arrivals().ids().len() as u64 == DELIVERED);
        receiver.set_mood(Mood::Away);
        send(DELIVERED..DELIVERED + WAITING);
        let file = service.home.path("messages.log");
        let all: BTreeSet<u64> = (0..DELIVERED + WAITING).collect();
        wait_until("the file has all", || Messages::read(&file).missing(&all).is_empty());
        // A stop removes a queue that is empty, so it is copied before.
        let (data, directory) = (service.home.path("data"), TempDir::new().unwrap());
        let end = (DELIVERED + WAITING).to_le_bytes();
        wait_until("its cursor is behind all", || {
            let cursor = fs::read(other(&data).join("cursor")).unwrap_or_default();
            cursor.windows(end.len()).any(|bytes| bytes == end)
        });
        // The running service removes segments meanwhile.
        wait_until("its folder is copied", || {
            let target = directory.path().join("other");
            let _ = fs::remove_dir_all(&target);
            try_copy(&other(&data), &target).is_ok()
        });
        assert_eq!(service.stop(), 0);
        assert!(service.has_logged("left in the queue on disk"), "{}", service.log());
        copy(&data, directory.path());
        let waiting: BTreeSet<u64> = all.difference(&receiver.arrivals().ids()).copied().collect();
        assert_eq!(waiting.len() as u64, WAITING, "what was delivered is known");
        let backlog = Self { directory, waiting };
        assert!(segments(&backlog.directory.path().join("data")).len() >= 5, "several segments");
        backlog
    }

    /// Runs the service on a damaged copy until its queues are empty.
    fn after(&self, damage: impl FnOnce(&Path)) -> After {
        let receiver = receiver();
        let (home, status) = home(&receiver);
        copy(&self.directory.path().join("data"), home.path("").as_path());
        let data = home.path("data");
        damage(&data);
        let mut service = home.start();
        wait_until("everything is delivered", || Scrape::of(status).sum("logphase_queue_messages", &[]) == 0.0);
        let scrape = Scrape::of(status);
        scrape.assert_sums();
        let corrupt = scrape.sum("logphase_messages_dropped_total", &[("id", QUEUE), ("reason", "corrupt")]);
        // What was damaged is said.
        let log = service.log();
        assert_eq!(service.stop(), 0);
        let missing = self.waiting.difference(&receiver.arrivals().ids()).copied().collect();
        let (duplicates, names) = (receiver.arrivals().count() - receiver.arrivals().ids().len(), names(&data));
        After { missing, corrupt, duplicates, log, names }
    }
}

/// What came of a backlog after a damage.
#[derive(Debug)]
struct After {
    /// Waiting messages that did not arrive.
    missing: BTreeSet<u64>,
    /// Messages that are counted as damaged on disk.
    corrupt: f64,
    duplicates: usize,
    log: String,
    /// The files of the queue.
    names: Vec<String>,
}

impl After {
    /// Why nothing is lost silently, or what is.
    fn counted(&self, what: &str) -> Result<(), String> {
        let Self { missing, corrupt, .. } = self;
        if *corrupt >= missing.len() as f64 {
            return Ok(());
        }
        Err(format!("{what}: {} of {WAITING} waiting messages did not arrive, {corrupt} are counted", missing.len()))
    }

    /// The same, and that every waiting message arrived.
    fn complete(&self, what: &str) -> Result<(), String> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let Self { missing, corrupt, names, log, .. } = self;
        let lines: Vec<_> = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
        Err(format!("{what}: {} did not arrive, {corrupt} counted; {names:?}\n{}", missing.len(), lines.join("\n")))
    }
}

/// A name, and what it does to a data directory.
type Case<'a> = (&'a str, &'a dyn Fn(&Path));

/// Fails with all faults at once.
#[track_caller]
fn assert_none(faults: Vec<Result<(), String>>) {
    let faults: Vec<String> = faults.into_iter().filter_map(Result::err).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn copy(from: &Path, into: &Path) {
    try_copy(from, into).unwrap();
}

fn try_copy(from: &Path, into: &Path) -> Result<(), String> {
    let done = Command::new("cp").arg("-a").arg(from).arg(into).output().unwrap();
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

fn queue(data: &Path) -> PathBuf {
    data.join("queues").join(format!("http-log-{QUEUE}"))
}

/// The queue of file-log.
fn other(data: &Path) -> PathBuf {
    data.join("queues").join(format!("file-log-{OTHER}"))
}

fn names(data: &Path) -> Vec<String> {
    let files = fs::read_dir(queue(data)).into_iter().flatten();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The segments of the backlog, oldest first.
fn segments(data: &Path) -> Vec<PathBuf> {
    let names = names(data).into_iter().filter(|name| name.ends_with(".seg"));
    names.map(|name| queue(data).join(name)).collect()
}

/// The first, a middle and the last segment.
const PLACES: [&str; 3] = ["first", "middle", "last"];

fn segment(data: &Path, place: &str) -> PathBuf {
    let all = segments(data);
    let at = match place {
        "first" => 0,
        "middle" => all.len() / 2,
        _ => all.len() - 1,
    };
    all[at].clone()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// Scenario: the first, a middle or the last segment of a backlog is emptied, cut in half or removed.
/// Guarantees: what does not arrive is counted as `corrupt`, and the sums in `/metrics` hold.
#[test]
fn segments_that_are_gone() {
    let backlog = Backlog::make();
    let mut faults = Vec::new();
    for place in PLACES {
        let after = backlog.after(|data| fs::write(segment(data, place), "").unwrap());
        faults.push(after.counted(&format!("the {place} segment is empty")));
        let after = backlog.after(|data| fs::remove_file(segment(data, place)).unwrap());
        faults.push(after.counted(&format!("the {place} segment is removed")));
        let after = backlog.after(|data| {
            let file = fs::OpenOptions::new().write(true).open(segment(data, place)).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        });
        faults.push(after.counted(&format!("the {place} segment is cut")));
    }
    assert_none(faults);
}

/// Scenario: one byte of a segment's header is changed: of its name, its version, its salt, its first number, its checksum.
/// Guarantees: every waiting message arrives.
#[test]
fn a_damaged_byte_in_a_header() {
    let backlog = Backlog::make();
    let mut faults = Vec::new();
    for (place, at) in [("first", 0), ("first", 9), ("middle", 13), ("middle", 17), ("last", HEADER_BYTES - 1)] {
        let after = backlog.after(|data| flip(&segment(data, place), at));
        faults.push(after.complete(&format!("byte {at} of the {place} segment's header")));
    }
    assert_none(faults);
}

/// Scenario: one byte of a frame is changed: of its length, its checksum, its number, its payload.
/// Guarantees: what does not arrive is counted, and it is not more than the frame where its length is sound.
#[test]
fn a_damaged_byte_in_a_frame() {
    let backlog = Backlog::make();
    let mut faults = Vec::new();
    for place in PLACES {
        for (at, what) in [(1, "length"), (5, "checksum"), (9, "number"), (200, "payload")] {
            let name = format!("the {what} of a frame in the {place} segment");
            let after = backlog.after(|data| flip(&segment(data, place), HEADER_BYTES + at));
            faults.push(after.counted(&name));
            if what != "length" && after.missing.len() > 1 {
                faults.push(Err(format!("{name}: costs {} messages", after.missing.len())));
            }
        }
    }
    assert_none(faults);
}

/// Scenario: the cursor is removed, emptied, cut in the middle of a slot, damaged in both slots, or replaced by that of
/// a queue that has delivered as much and everything.
/// Guarantees: every waiting message arrives; delivered ones may arrive again.
#[test]
fn a_cursor_that_is_not_this_queues() {
    let backlog = Backlog::make();
    let cursor = |data: &Path| queue(data).join("cursor");
    let foreign = |name: &str| backlog.directory.path().join("other").join(name);
    let cases: [Case<'_>; 5] = [
        ("removed", &|data| fs::remove_file(cursor(data)).unwrap()),
        ("emptied", &|data| fs::write(cursor(data), "").unwrap()),
        ("cut", &|data| {
            let bytes = fs::read(cursor(data)).unwrap();
            fs::write(cursor(data), &bytes[..10]).unwrap();
        }),
        ("damaged", &|data| {
            let mut bytes = fs::read(cursor(data)).unwrap();
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            fs::write(cursor(data), bytes).unwrap();
        }),
        ("another queue's", &|data| {
            fs::copy(foreign("cursor"), cursor(data)).unwrap();
        }),
    ];
    let run = |(what, damage): &Case<'_>| {
        let after = backlog.after(damage);
        let all = after.complete(&format!("the cursor is {what}"));
        all.and_then(|()| match after.duplicates as u64 {
            0..=DELIVERED => Ok(()),
            more => Err(format!("the cursor is {what}: {more} messages arrive again")),
        })
    };
    assert_none(cases.iter().map(run).collect());
}

/// Scenario: a segment of another queue is copied into the backlog's folder, behind its own and in front of them.
/// Guarantees: what does not arrive is counted.
#[test]
fn a_segment_of_another_queue() {
    let backlog = Backlog::make();
    let mut files = fs::read_dir(backlog.directory.path().join("other")).unwrap().map(|file| file.unwrap().path());
    let foreign = files.find(|path| path.extension().is_some_and(|end| end == "seg")).expect("it has a segment");
    let name = |number: u64| format!("{number:010}.seg");
    let mut faults = Vec::new();
    for (what, number) in [("behind", 900), ("in front", 0)] {
        let after = backlog.after(|data| {
            fs::copy(&foreign, queue(data).join(name(number))).unwrap();
        });
        faults.push(after.counted(&format!("a foreign segment {what}")));
    }
    assert_none(faults);
}

/// One random damage of the backlog's files; returns what it was.
fn damage_at_random(data: &Path, rng: &mut Rng) -> String {
    let mut below = |end: usize| usize::try_from(rng.within(0..end as u64)).unwrap();
    let files = segments(data);
    let (file, another) = (&files[below(files.len())], &files[below(files.len())]);
    let mut bytes = fs::read(file).unwrap();
    let at = below(bytes.len());
    let end = bytes.len().min(at + 4096);
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let what = match below(8) {
        0 => {
            bytes[at] ^= 1 << below(8);
            "a bit of"
        }
        1 => {
            bytes[at..end].fill(0);
            "zeros in"
        }
        2 => {
            bytes[at..end].reverse();
            "a block in another order in"
        }
        3 => {
            bytes.drain(at..end);
            "a block is cut out of"
        }
        4 => {
            let copy = bytes[at..end].to_vec();
            bytes.extend(copy);
            "a block of its own behind the end of"
        }
        5 => {
            bytes = fs::read(another).unwrap();
            "another segment instead of"
        }
        6 => {
            bytes.truncate(at);
            "the end is cut off from"
        }
        _ => {
            bytes[below(HEADER_BYTES)] ^= 1 << below(8);
            "a bit of the header of"
        }
    };
    fs::write(file, bytes).unwrap();
    format!("{what} {name}, byte {at}")
}

/// Scenario: one to three random damages of a backlog's segments, again and again on a new copy. `KILL_DAMAGES` is the
/// number of copies.
/// Guarantees: the service starts, what does not arrive is counted, and the sums in `/metrics` hold.
#[test]
fn random_damage() {
    let (seed, rounds) = (seed(), from_environment("KILL_DAMAGES").unwrap_or(8));
    eprintln!("KILL_SEED={seed} KILL_DAMAGES={rounds}");
    let (backlog, mut rng) = (Backlog::make(), Rng::new(seed));
    let run = |_| {
        let mut what = Vec::new();
        let after = backlog.after(|data| {
            what.extend((0..rng.within(1..4)).map(|_| damage_at_random(data, &mut rng)));
        });
        after.counted(&what.join("; "))
    };
    assert_none((0..rounds).map(run).collect());
}
