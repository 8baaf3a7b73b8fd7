//! What LuaJIT itself answers: the cases of `luajit/cases.jsonl` were run by LuaJIT 2.1, and those of `luajit/nginx.jsonl` in
//! the log phase of nginx with lua-nginx-module. Each line is a chunk and what it returned.

use super::*;

const SHOW: &str = include_str!("luajit/show.lua");

/// The Lua texts of a case: the chunk as a function, and what shows its results.
fn code(chunk: &str) -> String {
    format!("local function f() {chunk} end\n{SHOW}return show(pcall(f))")
}

#[track_caller]
fn agree(cases: &str, quirks: bool) {
    let long = Duration::from_secs(60);
    let limits = Limits { deadline: long, plugin_deadline: long, ..Limits::default() };
    let dialect = Dialect { profile: Profile::Strict, ..Dialect::default() };
    let style = Style::of(quirks);
    let options = Options { limits, dialect, kong_quirks: quirks, style, ..Options::default() };
    let mut bench = Bench::with(&json!({"request": {"method": "GET", "uri": "/a%2fb?x=1"}}), options);
    let mut wrong = Vec::new();
    for line in cases.lines() {
        let (chunk, expected): (String, String) = serde_json::from_str(line).expect("a chunk and its result");
        let given = match compile(&code(&chunk), &SourceLimits::default()) {
            Ok(_) => bench.shown(&code(&chunk)),
            Err(error) => error.to_string(),
        };
        // With quirks, slashes are escaped.
        let given = serde_json::from_str(&given).unwrap_or(given);
        if given != expected {
            wrong.push(format!("{chunk}\n  LuaJIT  {expected}\n  here    {given}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Scenario: formats, conversions of numbers and texts, patterns, bit operations, arguments of the wrong type, and errors of
/// every kind, in snippets of one line.
/// Guarantees: values, positions and words are LuaJIT's.
#[test]
fn results_are_luajits() {
    in_time(|| {
        agree(include_str!("luajit/cases.jsonl"), false);
        agree(include_str!("luajit/cases.jsonl"), true);
    });
}

/// Scenario: numbers of more than 14 digits as text, with `kong_quirks`.
/// Guarantees: they have LuaJIT's digits.
#[test]
fn digits_are_luajits() {
    in_time(|| agree(include_str!("luajit/quirks.jsonl"), true));
}

/// Scenario: functions of `ngx`, with arguments of every type.
/// Guarantees: results and errors are those of lua-nginx-module.
#[test]
fn results_are_nginxs() {
    in_time(|| agree(include_str!("luajit/nginx.jsonl"), false));
}
