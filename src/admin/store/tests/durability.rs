//! What is left after a kill, a loss of power, and beside a reader.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::super::sqlite::Sqlite;
use super::{Contents, Store, StoreError, put, reopened, row};

/// Where the child of the test below finds its store.
const CHILD: &str = "LOGPHASE_TEST_STORE";

/// The commit number `revision` of the tests here: two entities, which differ from commit to commit.
fn commit(store: &mut Store, revision: u64) -> u64 {
    let text = format!("{revision} ").repeat(200);
    let changes = [put("a", "last", json!({"n": revision, "text": text})), put("b", "last", json!({"n": revision}))];
    let counted = put("c", &format!("{revision:06}"), json!({"text": text}));
    store.commit(&[&changes[..], &[counted]].concat()).expect("there is room")
}

/// Panics unless `found` is what the first commits made, one after the other, as a whole.
fn assert_whole(found: &Contents) {
    let mut rows = Vec::new();
    let text = |revision: u64| format!("{revision} ").repeat(200);
    if found.revision > 0 {
        rows.push(row("a", "last", json!({"n": found.revision, "text": text(found.revision)})));
        rows.push(row("b", "last", json!({"n": found.revision})));
    }
    rows.extend((1..=found.revision).map(|at| row("c", &format!("{at:06}"), json!({"text": text(at)}))));
    assert_eq!(found.rows, rows);
}

/// Scenario: a new store. Guarantees: SQLite is told to sync its log with each commit; no test that can be made here sees a
/// sync that is missing.
#[test]
fn every_commit_is_synced() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Sqlite::open(&folder.path().join("admin.db")).expect("a new store");
    let pragma = |sql: &str| database.connection.query_row(sql, (), |row| row.get::<_, rusqlite::types::Value>(0));
    assert_eq!(pragma("PRAGMA synchronous"), Ok(2.into()), "FULL");
    assert_eq!(pragma("PRAGMA journal_mode"), Ok("wal".to_owned().into()));
}

/// Scenario: the program that commits, in the test below. Guarantees: each commit is reported once it is answered.
#[test]
#[ignore = "it commits until it is killed: the test below starts it"]
fn child_that_commits() {
    let path = std::env::var_os(CHILD).expect("started by the test below");
    let (mut store, found) = Store::open(Path::new(&path), None).expect("a sound store");
    for revision in found.revision + 1.. {
        assert_eq!(commit(&mut store, revision), revision);
        #[expect(clippy::print_stdout, reason = "the test below reads it")]
        {
            println!("committed {revision}");
        }
    }
}

/// Scenario: a process that commits is killed, ten times, each time after another count of answered commits.
/// Guarantees: the store opens; every answered commit is there, and at most the one that was not answered yet; each is
/// there as a whole.
#[test]
fn a_kill_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    let name = "admin::store::tests::durability::child_that_commits";
    for kill_after in 1..=10 {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["--ignored", "--exact", "--nocapture", name])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let answered = lines.filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok());
        let last = answered.take(kill_after * 3).last().expect("commits");
        child.kill().expect("runs");
        child.wait().expect("ends");
        let found = reopened(&path);
        assert!(found.revision >= last, "{last} is answered, {} is there", found.revision);
        assert_whole(&found);
    }
}

/// Scenario: the power is cut after each of some commits: the files are as they are then, but for the index in memory; the
/// log breaks off at any byte of the last commits. Guarantees: what was answered before is there; a commit that is torn is
/// not, and no half of one.
#[test]
fn a_loss_of_power_leaves_whole_commits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    let log = folder.path().join("admin.db-wal");
    let (mut store, _) = Store::open(&path, None).expect("a new store");
    let lengths: Vec<usize> = (1..=12)
        .map(|revision| {
            commit(&mut store, revision);
            usize::try_from(fs::metadata(&log).expect("a log").len()).expect("short")
        })
        .collect();
    let (main, whole) = (fs::read(&path).expect("readable"), fs::read(&log).expect("readable"));
    drop(store);
    let copy = folder.path().join("copy.db");
    let after = |log: &[u8]| {
        fs::write(&copy, &main).expect("room");
        fs::write(folder.path().join("copy.db-wal"), log).expect("room");
        let found = reopened(&copy);
        assert_whole(&found);
        found.revision
    };
    for (at, length) in (1..).zip(&lengths) {
        assert_eq!(after(&whole[..*length]), at, "the log ends after this commit");
    }
    let from = lengths[lengths.len() - 3];
    for end in (from..whole.len()).step_by(997) {
        let complete = lengths.iter().filter(|length| **length <= end).count() as u64;
        assert_eq!(after(&whole[..end]), complete, "the log breaks off at {end}");
    }
    // A sector that was not written.
    for start in (from..whole.len() - 512).step_by(4099) {
        let mut torn = whole.clone();
        torn[start..start + 512].fill(0);
        let complete = lengths.iter().filter(|length| **length <= start).count() as u64;
        assert!(after(&torn) >= complete, "the sector at {start} is lost");
    }
}

/// Scenario: another thread reads the store again and again while commits are made. Guarantees: each time it sees whole
/// commits, no fewer than before, up to the last one; neither waits for the other's end.
#[test]
fn readers_see_whole_commits() {
    const COMMITS: u64 = 60;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    let (mut store, _) = Store::open(&path, None).expect("a new store");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while seen < COMMITS {
                let found = Store::read(&path, None).expect("readable");
                assert!(found.revision >= seen);
                assert_whole(&found);
                seen = found.revision;
            }
        });
        for revision in 1..=COMMITS {
            commit(&mut store, revision);
        }
        reader.join().expect("what it read was whole");
    });
    assert!(matches!(Store::open(&path, None), Err(StoreError::Locked { .. })));
}
