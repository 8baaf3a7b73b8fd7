//! Stores with a key.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Contents, EncryptionKey, Row, Store, StoreError, delete, key, put, row};

const SECRET: &str = "the-secret-of-a-plugin";

/// Whether the secret is anywhere in the folder.
fn is_in_files(folder: &Path) -> bool {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("an entry").path());
    files.into_iter().any(|file| memchr::memmem::find(&fs::read(file).expect("readable"), SECRET.as_bytes()).is_some())
}

fn rows() -> Vec<Row> {
    (0..50).map(|at| row("plugins", &format!("{at:02}"), json!({"config": {"password": SECRET, "at": at}}))).collect()
}

fn filled(path: &Path, key: Option<EncryptionKey>) {
    let (mut store, _) = Store::open(path, key).expect("a new store");
    store.replace(&rows()).expect("room");
    store.commit(&[put("plugins", "00", Value::Object(rows()[0].entity.clone()))]).expect("room");
}

fn refusal(result: Result<(Store, Contents), StoreError>) -> String {
    result.expect_err("refused").to_string()
}

/// Scenario: keys in both notations, both alphabets, padded or not, with white space; and texts that are none.
/// Guarantees: the same bytes are the same key; a refusal says what to do and does not show the text; neither does `{:?}`.
#[test]
fn keys_are_32_bytes() {
    let hexadecimal = "fb".repeat(32);
    let same = [
        hexadecimal.clone(),
        hexadecimal.to_uppercase(),
        "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=".to_owned(),
        "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s".to_owned(),
        format!(" {hexadecimal}\n"),
    ];
    for text in &same {
        assert_eq!(EncryptionKey::parse(text).expect(text).id(), key(0xfb).id());
    }
    assert_ne!(key(1).id(), key(2).id());
    assert_eq!(key(1).id().len(), 16);
    for text in
        ["", "password", &hexadecimal[1..], &format!("{hexadecimal}00"), &"g".repeat(64), &"é".repeat(32), "AAAA"]
    {
        let error = EncryptionKey::parse(text).expect_err(text).to_string();
        assert!(error.contains(&format!("a text of {} characters", text.chars().count())), "{error}");
        assert!(error.contains("openssl rand -base64 32") && (text.len() < 5 || !error.contains(text)), "{error}");
    }
    assert!(!format!("{:?}", key(0xfb)).contains("fbfb"));
}

/// Scenario: a store that has a key from the beginning. Guarantees: it is read with the key; no file has a secret in it;
/// equal rows look different; a missing or a wrong key is refused, names the right one, and changes nothing.
#[test]
fn a_key_hides_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    filled(&path, Some(key(1)));
    assert!(!is_in_files(folder.path()));
    let before = fs::read(&path).expect("readable");
    let missing = refusal(Store::open(&path, None));
    assert!(missing.contains(&format!("with the key {}, and no key is given", key(1).id())), "{missing}");
    let wrong = refusal(Store::open(&path, Some(key(2))));
    assert!(wrong.contains(&format!("with the key {}, and the key {} is given", key(1).id(), key(2).id())), "{wrong}");
    let wrong = refusal(Store::rotate(&path, key(2), Some(key(3))));
    assert!(wrong.contains(key(1).id()), "{wrong}");
    assert!(matches!(Store::read(&path, None), Err(StoreError::MissingKey { .. })));
    assert!(matches!(Store::read(&path, Some(&key(2))), Err(StoreError::WrongKey { .. })));
    assert_eq!(fs::read(&path).expect("readable"), before);
    assert_eq!(Store::read(&path, Some(&key(1))).expect("the key").rows, rows());
    assert_eq!(Store::open(&path, Some(key(1))).expect("the key").1.rows, rows());
    let seal = || key(1).seal("plugins", "00", b"{}".to_vec());
    assert_ne!(seal(), seal());
}

/// Scenario: a plain store is opened with a key; then the key is replaced, twice, and given up. Guarantees: all rows stay,
/// nothing of the plain ones is left in any file, each old key is refused from then on; a rotation that has been made is
/// not made again.
#[test]
fn keys_are_introduced_and_rotated() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    filled(&path, None);
    assert!(is_in_files(folder.path()));
    assert!(matches!(Store::read(&path, Some(&key(1))), Err(StoreError::PlainStore { .. })));
    let (store, found) = Store::open(&path, Some(key(1))).expect("becomes encrypted");
    assert_eq!(found, Contents { revision: 3, rows: rows() });
    assert!(!is_in_files(folder.path()), "while it is open");
    drop(store);
    assert!(!is_in_files(folder.path()));
    let (mut store, found) = Store::rotate(&path, key(1), Some(key(2))).expect("the old key");
    assert_eq!(found, Contents { revision: 4, rows: rows() });
    store.commit(&[put("plugins", "00", Value::Object(rows()[0].entity.clone()))]).expect("room");
    drop(store);
    refusal(Store::open(&path, Some(key(1))));
    let again = Store::rotate(&path, key(1), Some(key(2))).expect("made already").1;
    assert_eq!(again, Contents { revision: 5, rows: rows() });
    assert!(!is_in_files(folder.path()));
    assert_eq!(Store::rotate(&path, key(2), None).expect("the old key").1, Contents { revision: 6, rows: rows() });
    assert_eq!(Store::open(&path, None).expect("plain").1.rows, rows());
}

/// Scenario: rows with a secret are deleted from a plain store; others were deleted by a program that does not overwrite
/// them, and the store is then opened with a key. Guarantees: what is deleted is in no file once the store is closed; with
/// the key, nothing that was plain is left, even while it is open.
#[test]
fn what_is_deleted_is_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    let (mut store, _) = Store::open(&path, None).expect("a new store");
    store.replace(&rows()).expect("room");
    store.commit(&rows().iter().map(|row| delete("plugins", &row.id)).collect::<Vec<_>>()).expect("room");
    drop(store);
    assert!(!is_in_files(folder.path()));
    filled(&path, None);
    let (mut store, _) = Store::open(&path, None).expect("a sound store");
    // Enough for pages that nothing takes the place of.
    let more: Vec<_> = (0..2000).map(|at| put("plugins", &format!("more {at}"), json!({"password": SECRET}))).collect();
    store.commit(&more).expect("room");
    drop(store);
    let sql = "PRAGMA secure_delete = OFF; DELETE FROM entities WHERE id > '01'";
    Connection::open(&path).expect("a file").execute_batch(sql).expect("runs");
    assert!(is_in_files(folder.path()));
    let (_store, found) = Store::open(&path, Some(key(1))).expect("becomes encrypted");
    assert_eq!(found.rows, rows()[..2]);
    assert!(!is_in_files(folder.path()));
}

/// Scenario: a sealed row is put in the place of another one, or moved to another name; it is cut, changed in one bit
/// anywhere, or replaced by plain JSON. Guarantees: the store does not open, and says which row is damaged.
#[test]
fn sealed_rows_cannot_be_exchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    filled(&path, Some(key(1)));
    let sound = fs::read(&path).expect("readable");
    let check = |tamper: &dyn Fn(&Connection), row: &str| {
        fs::write(&path, &sound).expect("room");
        tamper(&Connection::open(&path).expect("a file"));
        let error = refusal(Store::open(&path, Some(key(1))));
        assert!(error.contains(&format!("is damaged: the row {row} cannot be decrypted")), "{error}");
    };
    for (sql, row) in [
        ("UPDATE entities SET entity = (SELECT entity FROM entities WHERE id = '01') WHERE id = '02'", "plugins/02"),
        ("UPDATE entities SET id = 'x02' WHERE id = '02'", "plugins/x02"),
        ("UPDATE entities SET kind = 'plugins0', id = '2' WHERE id = '02'", "plugins0/2"),
    ] {
        check(&|file| assert_eq!(file.execute(sql, ()), Ok(1)), row);
    }
    let get = |file: &Connection| -> Vec<u8> {
        file.query_row("SELECT entity FROM entities WHERE id = '02'", (), |row| row.get(0)).expect("a row")
    };
    let set = |file: &Connection, bytes: &[u8]| {
        assert_eq!(file.execute("UPDATE entities SET entity = ?1 WHERE id = '02'", [bytes]), Ok(1));
    };
    for cut in [0, 1, 12, 13, 28] {
        check(&|file| set(file, &get(file)[..cut]), "plugins/02");
    }
    for at in [0, 1, 12, 13, 20] {
        let flip = |file: &Connection, at_end: bool| {
            let mut bytes = get(file);
            let at = if at_end { bytes.len() - 1 - at } else { at };
            bytes[at] ^= 1;
            set(file, &bytes);
        };
        check(&|file| flip(file, false), "plugins/02");
        check(&|file| flip(file, true), "plugins/02");
    }
    check(&|file| set(file, b"{}"), "plugins/02");
    check(&|file| set(file, &key(2).seal("plugins", "02", b"{}".to_vec())), "plugins/02");
}
