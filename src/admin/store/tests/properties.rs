//! Random histories.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Change, Location, Row, Store, key};

#[derive(Debug, Clone)]
pub(super) enum Step {
    Commit(Vec<Change>),
    Replace(Vec<Row>),
    /// Closes the store and opens it, with this key; 0 is none.
    Reopen(u8),
    Read,
}

fn entity() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::String),
        Just(json!({"a": [null, {}]})),
        (0_usize..20_000).prop_map(|length| Value::String("x".repeat(length))),
    ];
    prop::collection::vec((any::<String>(), value), 0..4).prop_map(|members| members.into_iter().collect())
}

fn name() -> impl Strategy<Value = (String, String)> {
    ("[a-c]", prop_oneof!["[a-d]", "\\PC{0,3}"])
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..12)
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        3 => (name(), entity()).prop_map(|((kind, id), entity)| Change::Put { kind, id, entity }),
        1 => name().prop_map(|(kind, id)| Change::Delete { kind, id }),
    ];
    let row = (name(), entity()).prop_map(|((kind, id), entity)| Row { kind, id, entity });
    prop_oneof![
        6 => prop::collection::vec(change, 0..5).prop_map(Step::Commit),
        1 => prop::collection::vec(row, 0..4).prop_map(Step::Replace),
        2 => (0_u8..3).prop_map(Step::Reopen),
        1 => Just(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Scenario: commits, replacements, readings, closings and openings in any order, plain and with changing keys.
    /// Guarantees: the store is a map, and its revision counts what was written.
    #[test]
    fn a_store_is_a_map(steps in steps()) {
        let folder = tempfile::tempdir().expect("a folder");
        take(steps, &folder.path().join("admin.db").into())?;
    }
}

/// Takes `steps` with the new store at `location`.
pub(super) fn take(steps: Vec<Step>, location: &Location) -> Result<(), TestCaseError> {
    let key_of = |number: u8| (number > 0).then(|| key(number));
    let mut current = 0;
    let mut store = Store::open(location.clone(), None).expect("a new store").0;
    let mut map: BTreeMap<(String, String), Map<String, Value>> = BTreeMap::new();
    let mut revision = 0;
    for step in steps {
        match step {
            Step::Commit(changes) => {
                revision += 1;
                prop_assert_eq!(store.commit(&changes).expect("room"), revision);
                for change in changes {
                    match change {
                        Change::Put { kind, id, entity } => drop(map.insert((kind, id), entity)),
                        Change::Delete { kind, id } => drop(map.remove(&(kind, id))),
                    }
                }
            }
            Step::Replace(rows) => {
                revision += 1;
                prop_assert_eq!(store.replace(&rows).expect("room"), revision);
                map = rows.into_iter().map(|row| ((row.kind, row.id), row.entity)).collect();
            }
            Step::Reopen(number) => {
                drop(store);
                revision += u64::from(number != current);
                let opened = match key_of(current) {
                    Some(old) => Store::rotate(location.clone(), old, key_of(number)),
                    None => Store::open(location.clone(), key_of(number)),
                };
                let found;
                (store, found) = opened.expect("the right key");
                current = number;
                prop_assert_eq!(found.revision, revision);
            }
            Step::Read => {}
        }
        let found = Store::read(location.clone(), key_of(current).as_ref()).expect("the right key");
        let rows =
            map.iter().map(|((kind, id), entity)| Row { kind: kind.clone(), id: id.clone(), entity: entity.clone() });
        prop_assert_eq!(found.rows, rows.collect::<Vec<_>>());
        prop_assert_eq!(found.revision, revision);
    }
    Ok(())
}
