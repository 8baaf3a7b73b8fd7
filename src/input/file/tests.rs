//! Files that grow, are renamed, truncated and removed, with a follower that a test drives step by step.

mod random;

use std::fs::{self, OpenOptions};
use std::io::Write;

use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::input::lines::UnfinishedLines;
use crate::input::tests::harness::{Behavior, FakeWorker, Harness, hostile, transaction, wait_until};
use crate::input::{Counters, Reason};
use crate::phase::Intake;
use logphase_script::transaction::Limits as TransactionLimits;
use std::sync::Arc;

fn options(include: &[String]) -> Options {
    Options {
        patterns: Patterns::new(include, &[]),
        read_from: ReadFrom::Beginning,
        ignore_older: Duration::ZERO,
        poll_interval: Duration::from_millis(10),
        rotate_wait: Duration::ZERO,
        max_open_files: 256,
        max_files: 1000,
    }
}

/// A directory of logs, a follower, and what it has delivered.
struct Logs {
    home: TempDir,
    worker: FakeWorker,
    intake: Intake,
    counters: Arc<Counters>,
    options: fn(&str) -> Options,
    limits: TransactionLimits,
    stop: watch::Sender<bool>,
}

impl Logs {
    fn new(options: fn(&str) -> Options) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("logs")).unwrap();
        let (worker, intake) = FakeWorker::start();
        let limits = TransactionLimits { max_bytes: 1000, ..TransactionLimits::default() };
        let (counters, stop) = (Arc::default(), watch::Sender::new(false));
        Self { home, worker, intake, counters, options, limits, stop }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("logs").join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// A follower, as another process has it.
    fn follower(&self) -> Follower<TextDecoder> {
        let context = Context {
            input: "file",
            intake: self.intake.clone(),
            counters: self.counters.clone(),
            stop: self.stop.subscribe(),
            unfinished: UnfinishedLines::new(1 << 20),
            collectors: None,
            threads: None,
        };
        let root = self.home.path().join("logs");
        let options = (self.options)(root.to_str().unwrap());
        let positions = Positions::open(self.home.path()).unwrap();
        Follower::new(context, TextDecoder::kong(Format::Object, self.limits), options, positions)
    }

    /// The numbers of the transactions that were delivered since the last call.
    fn delivered(&self, from: usize) -> Vec<u64> {
        let number = |text: &String| serde_json::from_str::<serde_json::Value>(text).unwrap()["i"].as_u64().unwrap();
        self.worker.taken()[from..].iter().map(number).collect()
    }
}

fn all(root: &str) -> Options {
    options(&[format!("{root}/*")])
}

fn only_log(root: &str) -> Options {
    options(&[format!("{root}/*.log")])
}

fn lines(ids: std::ops::Range<usize>) -> String {
    ids.map(|id| transaction(id) + "\n").collect()
}

fn numbers(ids: std::ops::Range<u64>) -> Vec<u64> {
    ids.collect()
}

/// Scenario: a file with lines, an empty one, a bad one, half a line; then the other half, one line that is too long, in
/// several pieces, and a good one.
/// Guarantees: complete lines are taken in order, once; half a line waits; what is not a transaction is counted; bytes are
/// counted once.
#[tokio::test]
async fn lines_of_a_growing_file() {
    let logs = Logs::new(all);
    let mut follower = logs.follower();
    logs.append("a", lines(0..2) + "\r\n\nnonsense\n" + "{\"i\":");
    follower.pass().await;
    assert_eq!(logs.delivered(0), [0, 1]);
    assert_eq!(logs.counters.rejected(Reason::Malformed), 1);
    follower.pass().await;
    logs.append("a", "2}\n{\"long\":\"");
    follower.pass().await;
    for _ in 0..5 {
        logs.append("a", "x".repeat(700));
        follower.pass().await;
    }
    assert_eq!(logs.delivered(0), [0, 1, 2]);
    logs.append("a", "\"}\n".to_owned() + &lines(3..4));
    follower.pass().await;
    assert_eq!(logs.delivered(0), [0, 1, 2, 3]);
    assert_eq!((logs.counters.rejected(Reason::TooLarge), logs.counters.rejected_total()), (1, 2));
    assert_eq!(logs.counters.bytes(), fs::metadata(logs.path("a")).unwrap().len());
    assert_eq!(logs.counters.received(), 4);
}

/// Scenario: a line that is too long is in the file when the process ends, and grows in the next one.
/// Guarantees: it is counted once, and the lines behind it are taken.
#[tokio::test]
async fn a_restart_within_a_long_line() {
    let logs = Logs::new(all);
    let mut follower = logs.follower();
    logs.append("a", lines(0..1) + &"x".repeat(3000));
    follower.pass().await;
    follower.save_now();
    drop(follower);
    logs.append("a", "x".repeat(3000) + "\n" + &lines(1..2));
    let mut follower = logs.follower();
    follower.pass().await;
    assert_eq!(logs.delivered(0), [0, 1]);
    assert_eq!(logs.counters.rejected_total(), 1);
}

/// Scenario: hostile lines between good ones.
/// Guarantees: every hostile line is counted, every good one is taken, in order.
#[tokio::test]
async fn hostile_lines() {
    let logs = Logs::new(all);
    let mut follower = logs.follower();
    let bodies = hostile();
    for (i, body) in bodies.iter().enumerate() {
        logs.append("a", body);
        logs.append("a", format!("\n{}\n", transaction(i)));
    }
    follower.pass().await;
    assert_eq!(logs.delivered(0), numbers(0..bodies.len() as u64));
    assert_eq!(logs.counters.rejected_total(), bodies.len() as u64);
}

/// Scenario: a file is renamed to a name that does not match and is written for a while; a new one has its name. Later the
/// renamed one has half a line at its end.
/// Guarantees: the old one is read to its end, the new one from its start; the last line of a file that has ended needs no
/// line end; then the file is let go.
#[tokio::test]
async fn rotation_by_rename() {
    let logs = Logs::new(only_log);
    let mut follower = logs.follower();
    logs.append("a.log", lines(0..100));
    follower.pass().await;
    logs.append("a.log", lines(100..110));
    fs::rename(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    logs.append("a.log", lines(200..210));
    follower.pass().await;
    logs.append("a.log.1", lines(110..120) + transaction(120).as_str());
    for _ in 0..4 {
        follower.pass().await;
    }
    let mut delivered = logs.delivered(0);
    delivered.sort_unstable();
    assert_eq!(delivered, [numbers(0..121), numbers(200..210)].concat());
    let files = logs.counters.files().unwrap();
    assert_eq!((files.followed, files.rotations, files.truncations, files.lag_bytes), (1, 1, 0, 0));
    logs.append("a.log.1", lines(300..301));
    follower.pass().await;
    assert_eq!(logs.delivered(delivered.len()), [0_u64; 0]);
}

/// Scenario: a file is renamed to a name that matches, too.
/// Guarantees: it is not read again.
#[tokio::test]
async fn rotation_within_the_pattern() {
    let logs = Logs::new(all);
    let mut follower = logs.follower();
    logs.append("a.log", lines(0..100));
    follower.pass().await;
    fs::rename(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    logs.append("a.log.1", lines(100..101));
    logs.append("a.log", lines(101..110));
    follower.pass().await;
    let mut delivered = logs.delivered(0);
    delivered.sort_unstable();
    assert_eq!(delivered, numbers(0..110));
    assert_eq!(logs.counters.files().unwrap().followed, 2);
}

/// Scenario: logrotate's copytruncate with lines that were not read, to a name that does not match and to one that does;
/// afterwards the file grows beyond its old size at once.
/// Guarantees: what was not read is taken from the copy, the file is read from its start, and nothing twice.
#[tokio::test]
async fn rotation_by_truncation() {
    for include in [only_log as fn(&str) -> Options, all] {
        let logs = Logs::new(include);
        let mut follower = logs.follower();
        logs.append("a.log", lines(0..100));
        follower.pass().await;
        logs.append("a.log", lines(100..110));
        fs::copy(logs.path("a.log"), logs.path("a.log.1")).unwrap();
        OpenOptions::new().write(true).open(logs.path("a.log")).unwrap().set_len(0).unwrap();
        logs.append("a.log", lines(1000..1400));
        for _ in 0..3 {
            follower.pass().await;
        }
        let mut delivered = logs.delivered(0);
        delivered.sort_unstable();
        assert_eq!(delivered, [numbers(0..110), numbers(1000..1400)].concat());
        assert_eq!(logs.counters.files().unwrap().truncations, 1);
    }
}

/// Scenario: a file is removed after lines were written that nobody has read, and another one is created.
/// Guarantees: it is read to its end, because it is open, and then closed.
#[tokio::test]
async fn a_removed_file() {
    let logs = Logs::new(all);
    let mut follower = logs.follower();
    logs.append("a.log", lines(0..10));
    follower.pass().await;
    logs.append("a.log", lines(10..20));
    fs::remove_file(logs.path("a.log")).unwrap();
    logs.append("b.log", lines(20..21));
    for _ in 0..3 {
        follower.pass().await;
    }
    let mut delivered = logs.delivered(0);
    delivered.sort_unstable();
    assert_eq!(delivered, numbers(0..21));
    let files = logs.counters.files().unwrap();
    assert_eq!((files.followed, files.open), (1, 1));
}

/// Scenario: files that are there at the first start, with `read_from: end`; a new one while the process runs, one while none
/// runs; an old one that was left out for its age.
/// Guarantees: what was there is left as it is, from the end of its last line on everything is read.
#[tokio::test]
async fn where_reading_begins() {
    let logs = Logs::new(|root| Options { read_from: ReadFrom::End, ..all(root) });
    logs.append("old", lines(0..10) + "{\"i\":");
    let mut follower = logs.follower();
    follower.pass().await;
    assert_eq!(logs.delivered(0), [0_u64; 0]);
    logs.append("old", "10}\n".to_owned() + &lines(11..12));
    logs.append("new", lines(20..22));
    follower.pass().await;
    let mut delivered = logs.delivered(0);
    delivered.sort_unstable();
    assert_eq!(delivered, [11, 20, 21]);
    assert_eq!(logs.counters.rejected_total(), 0);
    follower.save_now();
    drop(follower);
    // The time of the last save has whole seconds.
    let saved = std::time::SystemTime::now();
    wait_until("the next second", || saved.elapsed().unwrap() > Duration::from_millis(1100)).await;
    logs.append("later", lines(30..31));
    logs.append("old", lines(12..13));
    let mut follower = logs.follower();
    follower.pass().await;
    let mut delivered = logs.delivered(3);
    delivered.sort_unstable();
    assert_eq!(delivered, [12, 30]);
}

/// Scenario: `ignore_older`, with a file that was last changed yesterday and is changed now.
/// Guarantees: it is left out until it changes; then all of it is read.
#[tokio::test]
async fn old_files_are_left_out() {
    let logs = Logs::new(|root| Options { ignore_older: Duration::from_secs(3600), ..all(root) });
    logs.append("a", lines(0..2));
    let file = OpenOptions::new().write(true).open(logs.path("a")).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(86_400)).unwrap();
    let mut follower = logs.follower();
    follower.pass().await;
    assert!(logs.delivered(0).is_empty());
    logs.append("a", lines(2..3));
    follower.pass().await;
    assert_eq!(logs.delivered(0), [0, 1, 2]);
}

/// Scenario: a compressed file by its name, one by its content, and lines.
/// Guarantees: the compressed ones are not read, and counted.
#[tokio::test]
async fn compressed_files_are_left_out() {
    let logs = Logs::new(all);
    logs.append("a.1.gz", "{}\n");
    logs.append("b", b"\x1f\x8b\x08\0\n\n");
    logs.append("c", lines(0..1));
    let mut follower = logs.follower();
    follower.pass().await;
    assert_eq!((logs.delivered(0), logs.counters.rejected_total()), (vec![0], 0));
    assert_eq!(logs.counters.files().unwrap().left_out, 2);
}

/// Scenario: 300 files of which 8 may be open; each grows, and some are renamed.
/// Guarantees: every line of every file is taken in order; no more files stay open than may be.
#[tokio::test]
async fn few_files_are_open() {
    let logs = Logs::new(|root| Options { max_open_files: 8, ..all(root) });
    let mut follower = logs.follower();
    for round in 0..3 {
        for file in 0..300 {
            let id = file * 10 + round;
            logs.append(&format!("{file}.log"), lines(id..id + 1));
        }
        fs::rename(logs.path(&format!("{round}.log")), logs.path(&format!("{round}.moved"))).unwrap();
        follower.pass().await;
        assert!(logs.counters.files().unwrap().open <= 8, "{:?}", logs.counters.files());
    }
    let delivered = logs.delivered(0);
    assert_eq!(delivered.len(), 900);
    for file in 0..300 {
        let of_file: Vec<u64> = delivered.iter().copied().filter(|id| id / 10 == file).collect();
        assert_eq!(of_file, numbers(file * 10..file * 10 + 3), "file {file}");
    }
}

/// Scenario: a file of which the queues take some lines and then none, beside a file for which they have room.
/// Guarantees: what was taken is not offered again; when there is room, the rest is, and nothing is lost or twice.
#[tokio::test]
async fn queues_without_room() {
    let logs = Logs::new(all);
    logs.append("a", lines(0..5000));
    logs.worker.set(Behavior::Room(700));
    let following = tokio::spawn(logs.follower().run());
    logs.worker.wait_for(700).await;
    let files = || logs.counters.files().unwrap();
    let is_behind = || files().most_behind.is_some_and(|(path, bytes)| path == logs.path("a") && bytes > 0);
    wait_until("the lag to be shown", || files().followed == 1).await;
    // Long enough for turns that give up.
    let begun = std::time::Instant::now();
    wait_until("some turns", || begun.elapsed() > Duration::from_millis(2500)).await;
    assert_eq!(logs.worker.taken().len(), 700);
    logs.append("a", lines(5000..5100));
    wait_until("the lag to grow", is_behind).await;
    logs.worker.set(Behavior::Room(300));
    logs.worker.wait_for(1000).await;
    logs.worker.set(Behavior::Take);
    logs.worker.wait_for(5100).await;
    assert_eq!(logs.delivered(0), numbers(0..5100));
    logs.stop.send_replace(true);
    following.await.unwrap();
}

/// Scenario: the input as the service runs it: a file that grows line by line, then a stop, and another run.
/// Guarantees: lines are taken when they are written; the next run goes on where the first has stopped.
#[tokio::test]
async fn the_input_follows_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("access.log");
    let settings = crate::settings::Settings::default();
    let start = || {
        let value = Settings {
            include: vec![path.to_str().unwrap().to_owned()],
            exclude: vec![],
            read_from: ReadFrom::Beginning,
            ignore_older: Duration::ZERO,
            poll_interval: Duration::from_secs(1),
            rotate_wait: Duration::from_secs(30),
            max_open_files: 10,
            max_files: 10,
            mapping: "kong".to_owned(),
            match_routes: None,
        };
        let input = FileInput::new(value, Shared { data_dir: home.path(), ..(&settings).into() }).unwrap();
        assert!(!input.matches_routes());
        assert_eq!(input.files().read, [home.path()]);
        Harness::start(input)
    };
    let mut harness = start();
    assert_eq!(harness.addresses, []);
    let append = |text: String| {
        OpenOptions::new().append(true).create(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    for i in 0..20 {
        append(lines(i..i + 1));
        harness.worker().wait_for(i + 1).await;
    }
    harness.stop().await;
    drop(harness);
    append(lines(20..25));
    let harness = start();
    let taken = harness.worker().wait_for(5).await;
    assert_eq!(taken, (20..25).map(transaction).collect::<Vec<_>>());
}
