//! What LuaJIT itself answers: the cases of `luajit/cases.jsonl` and `luajit/quirks.jsonl` were run by LuaJIT 2.1, and those
//! of `luajit/nginx.jsonl` in the log phase of nginx with lua-nginx-module. Each line is a chunk and what it returned.

use super::*;

const SHOW: &str = include_str!("luajit/show.lua");
const README: &str = include_str!("../../../../README.md");

/// A difference that the README states.
struct Stated {
    /// The first cell of the row.
    row: &'static str,
    /// Whether the settings make it.
    holds: fn(quirks: bool) -> bool,
    /// Whether the row is all that LuaJIT's answer and ours differ in.
    explains: fn(theirs: &str, ours: &str) -> bool,
}

/// All differences that there may be.
const STATED: [Stated; 1] = [Stated {
    row: "whole numbers of more than 14 digits, in messages and as text in Lua",
    holds: |quirks| !quirks,
    explains: differ_in_digits,
}];

/// The numbers of a text and what is between them.
fn words(text: &str) -> Vec<&str> {
    text.split_inclusive(|letter: char| !(letter.is_ascii_alphanumeric() || "+-.".contains(letter))).collect()
}

/// Whether `ours` has all digits where `theirs` has 14, of whole numbers up to 2^53, and is the same otherwise.
fn differ_in_digits(theirs: &str, ours: &str) -> bool {
    let (theirs, ours) = (words(theirs), words(ours));
    theirs.len() == ours.len()
        && theirs.iter().zip(&ours).all(|(theirs, ours)| {
            let digits = ours.trim_end_matches(|letter: char| !letter.is_ascii_digit());
            let short = theirs.trim_end_matches(|letter: char| !letter.is_ascii_digit());
            theirs == ours
                || match (digits.parse::<i64>(), short.parse::<f64>()) {
                    (Ok(whole), Ok(short)) => {
                        let all = whole as f64;
                        whole.abs() <= 1 << 53
                            && format!("{:.13e}", all) == format!("{short:.13e}")
                            && whole.abs() >= 100_000_000_000_000
                    }
                    _ => false,
                }
        })
}

/// The Lua texts of a case: the chunk as a function, and what shows its results.
fn code(chunk: &str) -> String {
    format!("local function f() {chunk} end\n{SHOW}return show(pcall(f))")
}

/// Runs `cases`, and returns how many differ as the README states, for each of `STATED`.
#[track_caller]
fn agree(cases: &str, quirks: bool) -> [usize; STATED.len()] {
    let long = Duration::from_secs(60);
    let limits = Limits { deadline: long, plugin_deadline: long, ..Limits::default() };
    let dialect = Dialect { profile: Profile::Strict, ..Dialect::default() };
    let style = Style::of(quirks);
    let options = Options { limits, dialect, kong_quirks: quirks, style, ..Options::default() };
    let mut bench = Bench::with(&json!({"request": {"method": "GET", "uri": "/a%2fb?x=1"}}), options);
    let mut wrong = Vec::new();
    let mut stated = [0; STATED.len()];
    for line in cases.lines() {
        let (chunk, expected): (String, String) = serde_json::from_str(line).expect("a chunk and its result");
        let given = match compile(&code(&chunk), &SourceLimits::default()) {
            Ok(_) => bench.shown(&code(&chunk)),
            Err(error) => error.to_string(),
        };
        // With quirks, slashes are escaped.
        let given = serde_json::from_str(&given).unwrap_or(given);
        if given == expected {
            continue;
        }
        match STATED.iter().position(|stated| (stated.holds)(quirks) && (stated.explains)(&expected, &given)) {
            Some(row) => stated[row] += 1,
            None => wrong.push(format!("{chunk}\n  LuaJIT  {expected}\n  here    {given}")),
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    stated
}

/// Scenario: formats, conversions of numbers and texts, patterns, bit operations, arguments of the wrong type, and errors of
/// every kind, in snippets of one line; numbers of more than 14 digits as text; functions of `ngx` with arguments of every
/// type; all of them with and without `kong_quirks`.
/// Guarantees: values, positions and words are those of LuaJIT and lua-nginx-module, but for what rows of the README state;
/// each of those rows is there, and is seen.
#[test]
fn results_are_luajits_but_for_what_the_readme_states() {
    let mut seen = [0; STATED.len()];
    for cases in
        [include_str!("luajit/cases.jsonl"), include_str!("luajit/quirks.jsonl"), include_str!("luajit/nginx.jsonl")]
    {
        for quirks in [false, true] {
            for (seen, new) in seen.iter_mut().zip(in_time(move || agree(cases, quirks))) {
                *seen += new;
            }
        }
    }
    for (stated, seen) in STATED.iter().zip(seen) {
        assert!(README.contains(&format!("\n| {} |", stated.row)), "README.md has no row {:?}", stated.row);
        assert!(seen > 0, "no case differs by {:?}", stated.row);
    }
}

/// Scenario: answers that differ in the digits of whole numbers, and in something else.
/// Guarantees: only the former are what the row of the README states.
#[test]
fn only_digits_are_explained_by_digits() {
    assert!(differ_in_digits("true \"9.007199254741e+15\" 1", "true \"9007199254740992\" 1"));
    assert!(differ_in_digits("-1e+15", "-1000000000000000"));
    for (theirs, ours) in [
        ("true \"9.007199254741e+15\" 1", "true \"9007199254740992\" 2"),
        ("9.007199254741e+15", "9007199354740992"),
        ("1e+05", "100000"),
        ("0.5", "0.50"),
        ("a", "b"),
    ] {
        assert!(!differ_in_digits(theirs, ours), "{theirs} {ours}");
    }
}
