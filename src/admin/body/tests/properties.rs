//! Random forms.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::{MAX_LEVELS, Pair, decode_form};
use super::ENTITY;

/// A value that a form can send: texts, and lists and objects that are not empty.
fn sendable() -> impl Strategy<Value = Value> {
    "[a-z]{1,3}".prop_map(Value::String).prop_recursive(4, 24, 4, |inner| {
        let name = "[a-z][a-z_-]{0,3}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Value::Array),
            prop::collection::btree_map(name, inner, 1..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The pairs that send `value` as `name`: elements by their number, members behind a dot or in brackets.
fn send(name: &str, value: &Value, dotted: bool, pairs: &mut Vec<Pair>) {
    match value {
        Value::Array(items) => {
            (1..).zip(items).for_each(|(at, item): (usize, _)| send(&format!("{name}[{at}]"), item, dotted, pairs));
        }
        Value::Object(members) => members.iter().for_each(|(key, item)| {
            let name = if dotted { format!("{name}.{key}") } else { format!("{name}[{key}]") };
            send(&name, item, dotted, pairs);
        }),
        other => pairs.push((name.to_owned(), other.as_str().map(str::to_owned))),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(leaves).sum(),
        Value::Object(members) => members.values().map(leaves).sum(),
        _ => 1,
    }
}

proptest! {
    /// Scenario: any value, sent with dots or with brackets, its pairs in any order. Guarantees: the value that was sent,
    /// whatever the order.
    #[test]
    fn what_is_sent_is_read(value in sendable(), dotted: bool, random: prop::sample::Index, seed: u64) {
        let mut pairs = Vec::new();
        send("unknown", &value, dotted, &mut pairs);
        let shift = random.index(pairs.len());
        pairs.rotate_left(shift);
        if seed & 1 == 1 {
            pairs.reverse();
        }
        let read = decode_form(&pairs, &ENTITY, &|_| None).expect("not deep");
        prop_assert_eq!(Value::Object(read), Value::Object(Map::from_iter([("unknown".to_owned(), value)])));
    }

    /// Scenario: names of any characters, many of them brackets and dots, that contradict each other. Guarantees: no
    /// panic; no more values than pairs but for a null or a list per pair, and no deeper than one level beyond the bound.
    #[test]
    fn any_form_is_read(
        pairs in prop::collection::vec((r"([abmn]|config|recs|[\[\].%5BD012]|.){0,8}", prop::option::of("[0-9a-z ]{0,4}")), 0..24),
        repeat in 1_usize..40,
    ) {
        let pairs: Vec<Pair> = pairs.into_iter().map(|(name, value)| (name.repeat(repeat), value)).collect();
        if let Ok(read) = decode_form(&pairs, &ENTITY, &|_| None) {
            let read = Value::Object(read);
            prop_assert!(leaves(&read) <= pairs.len());
            prop_assert!(depth(&read) <= MAX_LEVELS + 2);
        }
    }
}
