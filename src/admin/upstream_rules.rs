//! Rules about combinations of an upstream's fields, with Kong's messages (kong/db/schema/entities/upstreams.lua).

use logphase_config::schema::{Problem, RecordCheck, Violation};
use serde_json::{Map, Value, json};

use super::entity_checks;

/// The rules, in Kong's order.
pub(super) const RULES: &[RecordCheck] = &[
    condition::<0>,
    condition::<1>,
    condition::<2>,
    condition::<3>,
    condition::<4>,
    condition::<5>,
    condition::<6>,
    condition::<7>,
    condition::<8>,
    distinct::<0>,
    condition::<9>,
    condition::<10>,
    distinct::<1>,
    condition::<11>,
    condition::<12>,
    distinct::<2>,
];

/// If a field has a value, another one must have one of some; or any value, if none are named.
struct Condition {
    given: (&'static str, &'static str),
    field: &'static str,
    choices: &'static [&'static str],
    wording: &'static str,
}

const fn required(given: (&'static str, &'static str), field: &'static str) -> Condition {
    Condition { given, field, choices: &[], wording: "required field missing" }
}

const fn fallback(hash_on: &'static str, choices: &'static [&'static str], wording: &'static str) -> Condition {
    Condition { given: ("hash_on", hash_on), field: "hash_fallback", choices, wording }
}

static CONDITIONS: [Condition; 13] = [
    required(("hash_on", "header"), "hash_on_header"),
    required(("hash_fallback", "header"), "hash_fallback_header"),
    required(("hash_on", "cookie"), "hash_on_cookie"),
    required(("hash_fallback", "cookie"), "hash_on_cookie"),
    fallback("none", &["none"], "expected one of: none"),
    fallback("cookie", &["none"], "expected one of: none"),
    fallback(
        "consumer",
        &["none", "ip", "header", "cookie", "path", "query_arg", "uri_capture"],
        "expected one of: none, ip, header, cookie, path, query_arg, uri_capture",
    ),
    fallback(
        "ip",
        &["none", "consumer", "header", "cookie", "path", "query_arg", "uri_capture"],
        "expected one of: none, consumer, header, cookie, path, query_arg, uri_capture",
    ),
    fallback(
        "path",
        &["none", "consumer", "header", "cookie", "query_arg", "ip", "uri_capture"],
        "expected one of: none, consumer, header, cookie, query_arg, ip, uri_capture",
    ),
    required(("hash_on", "query_arg"), "hash_on_query_arg"),
    required(("hash_fallback", "query_arg"), "hash_fallback_query_arg"),
    required(("hash_on", "uri_capture"), "hash_on_uri_capture"),
    required(("hash_fallback", "uri_capture"), "hash_fallback_uri_capture"),
];

/// The rules, as `/schemas` shows them.
pub(super) fn shown() -> Vec<Value> {
    let condition = |row: usize| {
        let Condition { given, field, choices, .. } = &CONDITIONS[row];
        let must = if choices.is_empty() { json!({"required": true}) } else { json!({ "one_of": choices }) };
        entity_checks::conditional(given.0, &json!({"match": format!("^{}$", given.1)}), field, &must)
    };
    let distinct = |row: usize| json!({ "distinct": DISTINCT[row] });
    let mut all: Vec<Value> = (0..9).map(condition).collect();
    all.push(distinct(0));
    all.extend([condition(9), condition(10), distinct(1), condition(11), condition(12), distinct(2)]);
    all
}

fn condition<const ROW: usize>(upstream: &Map<String, Value>) -> Result<(), Problem> {
    let Condition { given, field, choices, wording } = &CONDITIONS[ROW];
    let value = upstream.get(*field).filter(|value| !value.is_null());
    let holds = match (value, choices) {
        (None, []) => false,
        (Some(_), []) | (None, _) => true,
        (Some(value), choices) => value.as_str().is_some_and(|value| choices.contains(&value)),
    };
    if holds || upstream.get(given.0).is_none_or(|value| value != given.1) {
        return Ok(());
    }
    let message = format!("`{field}` does not fit `{}: {}`", given.0, given.1);
    Err(Problem { field, message, kong: Violation::conditional(given.0, field, wording) })
}

const DISTINCT: [[&str; 2]; 3] = [
    ["hash_on_header", "hash_fallback_header"],
    ["hash_on_query_arg", "hash_fallback_query_arg"],
    ["hash_on_uri_capture", "hash_fallback_uri_capture"],
];

fn distinct<const ROW: usize>(upstream: &Map<String, Value>) -> Result<(), Problem> {
    let [one, other] = DISTINCT[ROW];
    let value = upstream.get(one).filter(|value| !value.is_null());
    if value.is_none() || value != upstream.get(other) {
        return Ok(());
    }
    let kong = Violation::AtLeastOne(format!("values of these fields must be distinct: '{one}', '{other}'"));
    Err(Problem { field: other, message: format!("`{one}` and `{other}` are the same"), kong })
}
