//! Files that are no sound store, and what else the file system does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use super::super::sqlite::Sqlite;
use super::super::{Database, Head, Write};
use super::{Store, StoreError, put, reopened};

fn refusal(path: &Path) -> String {
    let error = Store::open(path, None).expect_err("refused").to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
    error
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

/// Scenario: a store in a folder that is not there; then all may read its files. Guarantees: folder and files are for
/// this user alone, from the start and again after an opening.
#[test]
fn files_are_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a").join("b").join("admin.db");
    let (mut store, _) = Store::open(&path, None).expect("a new store");
    store.commit(&[put("a", "b", json!({}))]).expect("room");
    assert_eq!(mode(path.parent().expect("a folder")), 0o700);
    for file in ["admin.db", "admin.db-wal", "admin.db-shm", "admin.db.lock"] {
        assert_eq!(mode(&path.with_file_name(file)), 0o600, "{file}");
    }
    drop(store);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
    let (mut store, _) = Store::open(&path, None).expect("a sound store");
    store.commit(&[put("a", "b", json!({}))]).expect("room");
    for file in ["admin.db", "admin.db-wal", "admin.db-shm"] {
        assert_eq!(mode(&path.with_file_name(file)), 0o600, "{file}");
    }
}

/// Scenario: in the place of the store, a text, a short one, a folder, a pipe, the SQLite file of another program, one with
/// tables of the same names, and a link to a sound store. Guarantees: each but the last is refused, in words that say what
/// to do, and stays as it is.
#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for (name, content) in [("text", "a text\n".repeat(1000)), ("short", "x".to_owned())] {
        fs::write(path(name), &content).expect("room");
        let error = refusal(&path(name));
        assert!(error.contains("is no store of Logphase: it is no SQLite file; move it away"), "{error}");
        assert_eq!(fs::read_to_string(path(name)).expect("readable"), content);
        assert_ne!(mode(&path(name)), 0o600, "its rights are not ours to change");
    }
    fs::create_dir(path("folder")).expect("room");
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::from_raw_mode(0o600)).expect("a pipe");
    for name in ["folder", "pipe"] {
        assert!(refusal(&path(name)).contains("is no store of Logphase: it is no regular file; move it away"));
        assert!(matches!(Store::read(path(name), None), Err(StoreError::Foreign { .. })));
    }
    for sql in
        ["CREATE TABLE t (a)", "CREATE TABLE store (revision)", "PRAGMA user_version = 1", "PRAGMA application_id = 7"]
    {
        let other = path("other");
        Connection::open(&other).expect("a file").execute_batch(sql).expect("runs");
        let before = fs::read(&other).expect("readable");
        assert!(refusal(&other).contains("it is the SQLite file of another program"), "{sql}");
        assert_eq!(fs::read(&other).expect("readable"), before);
        fs::remove_file(other).expect("a file");
    }
    assert!(matches!(Store::read(path("missing"), None), Err(StoreError::Missing { .. })));
    assert!(!path("missing").exists());
    drop(Store::open(path("sound"), None).expect("a new store"));
    std::os::unix::fs::symlink(path("sound"), path("link")).expect("a link");
    reopened(path("link"));
}

/// Scenario: the pages of a store are overwritten, one by one; the file is cut; a value has another type. Guarantees: the
/// store does not open, or shows what was written; it never shows anything else.
#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    let (mut store, _) = Store::open(&path, None).expect("a new store");
    let changes: Vec<_> = (0..200).map(|at| put("a", &format!("{at:03}"), json!({"text": "x".repeat(100)}))).collect();
    store.commit(&changes).expect("room");
    drop(store);
    let (sound, expected) = (fs::read(&path).expect("readable"), reopened(&path));
    let mut refused = 0;
    let mut try_out = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("room");
        match Store::open(&path, None) {
            Ok((_, found)) => assert_eq!(found, expected),
            Err(error) => {
                assert!(matches!(error, StoreError::Damaged { .. } | StoreError::Foreign { .. }), "{error}");
                refused += 1;
            }
        }
    };
    for start in (0..sound.len()).step_by(4096) {
        let mut bytes = sound.clone();
        bytes[start..start + 200].fill(0xff);
        try_out(&bytes);
    }
    try_out(&sound[..sound.len() / 2]);
    assert!(refused > 3, "{refused}");
    fs::write(&path, &sound).expect("room");
    for sql in
        ["UPDATE entities SET entity = x'5b5d' WHERE id = '007'", "UPDATE store SET revision = -1", "DELETE FROM store"]
    {
        fs::write(&path, &sound).expect("room");
        Connection::open(&path).expect("a file").execute_batch(sql).expect("runs");
        assert!(refusal(&path).contains("is damaged: "), "{sql}");
    }
}

/// Scenario: a store that is open, and is opened again; one that somebody holds with `sqlite3`. Guarantees: the second is
/// refused and says what to do; a commit that cannot be made changes nothing, and can be made later.
#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    let (store, _) = Store::open(&path, None).expect("a new store");
    assert!(refusal(&path).contains("is in use by another process: stop that one, or give each service a data_dir"));
    drop(store);
    let mut database = Sqlite::open(&path).expect("free again");
    database.connection.busy_timeout(Duration::ZERO).expect("a number");
    let other = Connection::open(&path).expect("a file");
    other.execute_batch("BEGIN IMMEDIATE").expect("free");
    assert!(matches!(database.commit(&Head::default(), &[]), Err(StoreError::Locked { .. })));
    other.execute_batch("ROLLBACK").expect("begun");
    assert_eq!(database.commit(&Head::default(), &[]).expect("free again"), 1);
}

/// Scenario: a disk that is full, simulated by SQLite's bound on pages, and a file that cannot be written any more.
/// Guarantees: the error says so; nothing of the commit is there; a smaller one can be made after it.
#[test]
fn a_failed_commit_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    let mut database = Sqlite::open(&path).expect("a new store");
    let put = |id: &str, length: usize| {
        let (kind, id) = ("a".to_owned(), id.to_owned());
        Write::Put(super::super::Stored {
            kind,
            id,
            bytes: format!("{{\"x\":\"{}\"}}", "x".repeat(length)).into_bytes(),
        })
    };
    assert_eq!(database.commit(&Head::default(), &[put("small", 10)]).expect("room"), 1);
    database.connection.query_row("PRAGMA max_page_count = 8", (), |_| Ok(())).expect("a number");
    let full = database.commit(&Head::default(), &[put("other", 10), put("large", 1 << 20)]).expect_err("no room");
    assert!(full.to_string().contains("the disk is full; free some space. Nothing of the change"), "{full}");
    assert_eq!(database.commit(&Head::default(), &[put("second", 10)]).expect("room"), 2);
    database.connection.execute_batch("PRAGMA query_only = ON").expect("runs");
    let refused = database.commit(&Head::default(), &[put("third", 10)]).expect_err("read-only");
    assert!(refused.to_string().ends_with("make the file and its folder writable"), "{refused}");
    let ids: Vec<String> = database.load().expect("readable").rows.into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["second", "small"]);
}
