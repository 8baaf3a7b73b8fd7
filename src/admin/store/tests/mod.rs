mod durability;
mod encrypted;
mod files;
mod formats;
mod properties;
mod shared;

use serde_json::{Map, Value, json};

use super::{Change, Contents, EncryptionKey, Location, Row, Store, StoreError};

/// A key whose bytes are all `byte`.
fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::parse(&format!("{byte:02x}").repeat(32)).expect("64 digits")
}

fn entity(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

fn row(kind: &str, id: &str, value: Value) -> Row {
    Row { kind: kind.to_owned(), id: id.to_owned(), entity: entity(value) }
}

fn put(kind: &str, id: &str, value: Value) -> Change {
    Change::Put { kind: kind.to_owned(), id: id.to_owned(), entity: entity(value) }
}

fn delete(kind: &str, id: &str) -> Change {
    Change::Delete { kind: kind.to_owned(), id: id.to_owned() }
}

/// The content of a store without a key.
fn reopened(location: impl Into<Location>) -> Contents {
    Store::open(location, None).expect("a sound store").1
}

/// Scenario: entities of every kind of JSON, put, replaced and deleted in several commits, one of which is empty, then all of
/// them replaced; the store reopened after each step. Guarantees: what was committed is there, sorted; each commit raises
/// the revision by one; changes of one commit are made in order.
#[test]
fn what_is_committed_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    commit_and_reopen(&folder.path().join("new").join("admin.db").into());
}

fn commit_and_reopen(location: &Location) {
    let odd = json!({"text": "ä\n\u{0}\"", "list": [1, 2.5, -3e10, null, true, {}], "map": {"": {}, "z": 1, "a": 2}});
    let (mut store, found) = Store::open(location.clone(), None).expect("a new store");
    assert_eq!(found, Contents { revision: 0, rows: Vec::new() });
    let changes =
        [put("services", "b", odd.clone()), put("routes", "a", json!({})), put("services", "a", json!({"x": 1}))];
    assert_eq!(store.commit(&changes).expect("commits"), 1);
    assert_eq!(store.commit(&[]).expect("commits"), 2);
    drop(store);
    let all =
        vec![row("routes", "a", json!({})), row("services", "a", json!({"x": 1})), row("services", "b", odd.clone())];
    let (mut store, found) = Store::open(location.clone(), None).expect("a sound store");
    assert_eq!(found, Contents { revision: 2, rows: all });
    // The order of members is part of an entity: snippets run in it.
    assert_eq!(Value::Object(found.rows[2].entity.clone()).to_string(), odd.to_string());
    let changes = [
        delete("services", "a"),
        delete("services", "missing"),
        delete("routes", "b"),
        put("services", "a", json!({"x": 2})),
        put("services", "b", json!({"x": 3})),
        delete("services", "b"),
    ];
    assert_eq!(store.commit(&changes).expect("commits"), 3);
    drop(store);
    let rows = vec![row("routes", "a", json!({})), row("services", "a", json!({"x": 2}))];
    assert_eq!(reopened(location.clone()), Contents { revision: 3, rows });
    let (mut store, _) = Store::open(location.clone(), None).expect("a sound store");
    let rows =
        [row("plugins", "b", json!({"x": 1})), row("plugins", "a", json!({})), row("plugins", "b", json!({"x": 2}))];
    assert_eq!(store.replace(&rows).expect("replaces"), 4);
    drop(store);
    let rows = vec![row("plugins", "a", json!({})), row("plugins", "b", json!({"x": 2}))];
    assert_eq!(reopened(location.clone()), Contents { revision: 4, rows });
}

/// Scenario: a store is handed to another thread. Guarantees: it can be.
#[test]
fn a_store_can_be_sent() {
    fn sent<T: Send + 'static>() {}
    sent::<Store>();
    sent::<StoreError>();
}
