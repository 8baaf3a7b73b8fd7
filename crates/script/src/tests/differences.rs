//! The README's table of oddities: what we answer by default and with `kong_quirks`, row by row.

use super::*;

const README: &str = include_str!("../../../../README.md");

/// The member `name` of the message after the field `key` with `code`, or the error.
fn after(bench: &mut Bench, key: &str, code: &str, name: &str) -> String {
    bench.begin();
    match bench.field(key, code) {
        Ok(()) => bench.members().remove(name).unwrap_or_else(|| "nothing".to_owned()),
        Err(error) => format!("error: {error}"),
    }
}

/// A row's first cell, and what shows it: key, snippet, member, and the member by default and with `kong_quirks`.
type Shown = [&'static str; 5];
const ROWS: [(&str, &[Shown]); 8] = [
    (
        "a backslash in a key before a character other than a dot",
        &[
            [r"a\bc", "return 1", r"a\bc", "1", "nothing"],
            [r"a\bc", "return 1", "a.c", "nothing", "1"],
            [r"a\.c", "return 1", "a.c", "1", "1"],
        ],
    ),
    (
        "whole numbers of more than 14 digits, in messages and as text in Lua",
        &[
            ["v", "return 2^53", "v", "9007199254740992", "9.007199254741e+15"],
            ["v", "return '' .. 2^53", "v", r#""9007199254740992""#, r#""9.007199254741e+15""#],
            ["v", "return 99999999999999", "v", "99999999999999", "99999999999999"],
        ],
    ),
    (
        "a second return value of a snippet",
        &[
            ["v", "return 1, 2", "v", "1", "error: attempt to index local 'options' (a number value)"],
            ["client_ip", "return 1, {mode = 'add'}", "client_ip", r#""10.0.0.9""#, r#""10.0.0.9""#],
        ],
    ),
    ("`/` and U+007F in strings", &[["v", r"return 'a/b\127'", "v", "\"a/b\u{7f}\"", r#""a\/b\u007f""#]]),
    ("invalid UTF-8 in strings", &[["v", r"return 'a\255'", "v", "\"a\u{fffd}\"", "\"a\u{fffd}\""]]),
    (
        "NaN and infinity",
        &[[
            "v",
            "return 0/0",
            "v",
            "error: Cannot serialise number: must not be NaN or Infinity",
            "error: Cannot serialise number: must not be NaN or Infinity",
        ]],
    ),
    (
        "empty arrays",
        &[
            ["v", "return 1", "list", "[]", "{}"],
            ["v", "return 1", "tries", "[]", "[]"],
            ["v", "return 1", "route", r#"{"tags":[],"paths":[]}"#, r#"{"tags":[],"paths":[]}"#],
        ],
    ),
    ("nil set below a missing parent (`nope.a.b`)", &[["nope.a.b", "return nil", "nope", "nothing", r#"{"a":{}}"#]]),
];

/// The first cells of the table after `heading`.
fn first_cells(heading: &str) -> Vec<&'static str> {
    let table = README.split_once(heading).unwrap_or_else(|| panic!("README.md has no {heading}")).1;
    let rows = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .filter_map(|line| line[1..].split(" | ").next())
        .map(str::trim)
        .collect()
}

/// Scenario: every row of the README's table of oddities, by default and with `kong_quirks`; a field that fails.
/// Guarantees: each answer is the one that the row states, the table has no other rows, and a failed field leaves the message
/// as it was.
#[test]
fn oddities_are_as_the_readme_says() {
    let rows: Vec<&str> = ROWS.iter().map(|(row, _)| *row).collect();
    assert_eq!(first_cells("**Oddities.**"), rows);
    let transaction = json!({
        "client_ip": "10.0.0.9", "list": [], "tries": [], "route": {"tags": [], "paths": []},
    });
    let (mut plain, mut quirky) = (Bench::on(&transaction), Bench::quirky(&transaction));
    for (row, shown) in ROWS {
        for [key, code, name, by_default, with_quirks] in shown {
            assert_eq!(after(&mut plain, key, code, name), *by_default, "{row}: {code}, by default");
            assert_eq!(after(&mut quirky, key, code, name), *with_quirks, "{row}: {code}, with kong_quirks");
        }
    }
    for bench in [&mut plain, &mut quirky] {
        assert_eq!(after(bench, "client_ip", "return {1/0}", "client_ip").split(':').next(), Some("error"));
        assert_eq!(bench.members()["client_ip"], r#""10.0.0.9""#);
        assert!(bench.vm.invalid_strings() > 0);
    }
}

/// Scenario: empty tables that Kong writes as `{}`, in the places of its lists, and elsewhere.
/// Guarantees: its lists are lists; other members are as they came.
#[test]
fn lists_of_kong_are_lists() {
    let mut bench = Bench::on(&json!({"tries": {}, "route": {"tags": {}, "paths": {}}, "own": {}}));
    bench.field("v", "return 1").expect("a value");
    let members = bench.members();
    assert_eq!((&*members["tries"], &*members["own"]), ("[]", "{}"));
    assert_eq!(members["route"], r#"{"tags":[],"paths":[]}"#);
}
