use super::modules::strict;
use super::ngx::{gives, shown};
use super::*;

/// Scenario: values encoded by `cjson`.
/// Guarantees: the JSON text equals that of lua-cjson.
#[test]
fn cjson_encodes() {
    let mut bench = strict(&json!({}));
    let mut encoded = |cases: &[(&str, &str)]| {
        for (value, expected) in cases {
            let answer = shown(&mut bench, &format!("return (require('cjson').encode({value}))"));
            let text: String = serde_json::from_str(&answer).unwrap_or(answer);
            assert_eq!(text, *expected, "{value}");
        }
    };
    encoded(&[
        ("nil", "null"),
        ("ngx.null", "null"),
        ("require('cjson').null", "null"),
        ("1, nil", "1"),
        ("true", "true"),
        ("1", "1"),
        ("1e15", "1e+15"),
        ("0.1 + 0.2", "0.3"),
        ("1700000000123", "1700000000123"),
        ("-0.5", "-0.5"),
        (r#"'a/b"\\\n\127\0'"#, r#""a\/b\"\\\n\u007f\u0000""#),
        ("{}", "{}"),
        ("{1, 'x', {2}}", r#"[1,"x",[2]]"#),
        ("{a = {b = false}}", r#"{"a":{"b":false}}"#),
        ("{[3] = 1}", "[null,null,1]"),
        ("{[1.5] = 1}", r#"{"1.5":1}"#),
        ("{1, a = 2}", r#"{"1":1,"a":2}"#),
        ("require('cjson').empty_array", "[]"),
        ("{require('cjson').empty_array}", "[[]]"),
    ]);
    encoded(&[
        ("function() end", "error: [string \"...\"]:1: Cannot serialise function: type not supported"),
        ("{[true] = 1}", "error: [string \"...\"]:1: Cannot serialise boolean: table key must be a number or string"),
        ("{[20] = 1}", "error: [string \"...\"]:1: Cannot serialise table: excessively sparse array"),
        ("0/0", "error: [string \"...\"]:1: Cannot serialise number: must not be NaN or Infinity"),
        ("1, 2", "error: [string \"...\"]:1: bad argument #1 to 'encode' (expected 1 argument)"),
        ("coroutine.create(print)", "error: [string \"...\"]:1: Cannot serialise thread: type not supported"),
    ]);
}

/// Scenario: valid and malformed JSON decoded by `cjson`.
/// Guarantees: the values, and the messages and positions of errors, equal those of lua-cjson.
#[test]
fn cjson_decodes() {
    let mut bench = strict(&json!({}));
    gives(
        &mut bench,
        &[
            ("return require('cjson').decode('null') == ngx.null", "true"),
            (
                r#"return require('cjson').decode(' {"a" : [1, -2.5e1, "x", null, true, {}], "a2": 1} ')"#,
                r#"{"a":[1,-25,"x",null,true,{}],"a2":1}"#,
            ),
            (
                r#"return require('cjson').decode('"\\u00e9\\ud83d\\ude00\\n\\/\\"\\\\"')"#,
                "\"\u{e9}\u{1f600}\\n/\\\"\\\\\"",
            ),
            (r#"return require('cjson').decode('{"a":1,"a":2}').a"#, "2"),
            ("return require('cjson').decode('[]')", "{}"),
            ("local j = require('cjson') j.decode_array_with_array_mt(true) return j.decode('[[]]')", "[[]]"),
            ("return require('cjson').decode('12')", "12"),
            ("return #require('cjson').decode('[null,null]')", "2"),
        ],
    );
    for (text, problem) in [
        ("", "Expected value but found T_END at character 1"),
        ("abc", "Expected value but found invalid token at character 1"),
        ("{a:1}", "Expected object key string but found invalid token at character 2"),
        ("{\"a\" 1}", "Expected colon but found T_NUMBER at character 6"),
        ("{\"a\":1", "Expected comma or object end but found T_END at character 7"),
        ("[1 2]", "Expected comma or array end but found T_NUMBER at character 4"),
        ("[1,]", "Expected value but found T_ARR_END at character 4"),
        ("1 \"x\"", "Expected the end but found T_STRING at character 3"),
        ("-", "Expected value but found invalid number at character 1"),
        (".5", "Expected value but found invalid token at character 1"),
        ("1e", "Expected the end but found invalid token at character 2"),
        ("1.2.3", "Expected the end but found invalid token at character 4"),
        ("\"abc", "Expected value but found unexpected end of string at character 5"),
        ("\"\\x\"", "Expected value but found invalid escape code at character 2"),
        ("\"\\ud800\"", "Expected value but found invalid unicode escape code at character 2"),
    ] {
        let code = format!("local ok, e = require('cjson.safe').decode({}) return ok == nil and e", lua_text(text));
        assert_eq!(shown(&mut bench, &code), serde_json::to_string(problem).expect("a text"), "{text}");
        let code = format!("return require('cjson').decode({})", lua_text(text));
        assert_eq!(shown(&mut bench, &code), format!("error: [string \"...\"]:1: {problem}"), "{text}");
    }
    for (text, number) in [("01", "1"), ("+1", "1"), ("1.", "1"), ("-007.5", "-7.5"), ("0x10", "16"), ("1.e2", "100")] {
        assert_eq!(shown(&mut bench, &format!("return require('cjson').decode('{text}')")), number, "{text}");
        let strict = format!(
            "local j = require('cjson').new() j.decode_invalid_numbers(false) return pcall(j.decode, '{text}')"
        );
        let read_as_json = ["1.", "1.e2"].contains(&text).to_string();
        assert_eq!(shown(&mut bench, &strict), read_as_json, "{text}");
    }
    gives(
        &mut bench,
        &[
            (
                "return select(2, require('cjson.safe').decode(nil))",
                r#""bad argument #1 to 'decode' (string expected, got nil)""#,
            ),
            (
                "return select(2, require('cjson.safe').encode({print}))",
                r#""Cannot serialise function: type not supported""#,
            ),
        ],
    );
}

/// Scenario: JSON with the maximum nesting depth, and with one level more.
/// Guarantees: the first is read and written on a worker's stack size; the second gives lua-cjson's error.
#[test]
fn cjson_nests_a_thousand_levels() {
    // Less than workers have.
    let thread = std::thread::Builder::new().stack_size(6 << 20).spawn(|| {
        let problem = r#""Found too many nested data structures (1001) at character 1001""#;
        gives(
            &mut strict(&json!({})),
            &[
                ("return select(2, require('cjson.safe').decode(('['):rep(1001)))", problem),
                (
                    "local s = ('['):rep(999) .. '[1' .. (']'):rep(1000) local j = require('cjson')
                    return j.encode(j.decode(s)) == s",
                    "true",
                ),
                (
                    "local t = {} for i = 1, 1000 do t = {t} end return select(2, require('cjson.safe').encode(t))",
                    r#""Cannot serialise, excessive nesting (1001)""#,
                ),
            ],
        );
    });
    thread.expect("a thread").join().expect("as cjson");
}

fn lua_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Scenario: options set on the shared `cjson` module, then used in the same call, in the next call and on a separate
/// instance.
/// Guarantees: they apply to the current call only; options of an instance last as long as the instance.
#[test]
fn cjson_options_stay_with_their_call() {
    let mut bench = strict(&json!({}));
    gives(
        &mut bench,
        &[
            ("local j = require('cjson') j.encode_empty_table_as_object(false) return j.encode({})", r#""[]""#),
            ("return require('cjson').encode({})", r#""{}""#),
            ("local j = require('cjson') j.encode_number_precision(3) return j.encode(1/3)", r#""0.333""#),
            ("local j = require('cjson') j.encode_number_precision(16) return j.encode(0.1)", r#""0.1""#),
            ("return require('cjson').encode_number_precision()", "14"),
            ("local j = require('cjson') j.encode_escape_forward_slash(false) return j.encode('/')", r#""\"/\"""#),
            ("local j = require('cjson') j.encode_invalid_numbers('null') return j.encode({0/0})", r#""[null]""#),
            ("local j = require('cjson') j.encode_invalid_numbers(true) return j.encode({-1/0})", r#""[-Infinity]""#),
            ("return {require('cjson').encode_sparse_array()}", "[false,2,10]"),
            ("local j = require('cjson') j.encode_sparse_array(true) return j.encode({[20] = 1})", r#""{\"20\":1}""#),
            ("local j = require('cjson') j.encode_max_depth(1) return pcall(j.encode, {{}})", "false"),
            ("local j = require('cjson') j.decode_max_depth(1) return pcall(j.decode, '[[]]')", "false"),
            ("return require('cjson').decode_max_depth()", "1000"),
            (
                "local j = require('cjson') j.encode_skip_unsupported_value_types(true) return j.encode({print, 1})",
                r#""[1]""#,
            ),
            ("local j = require('cjson').new() j.encode_empty_table_as_object(false) return j.encode({})", r#""[]""#),
            ("return require('cjson').new().encode({})", r#""{}""#),
            ("return require('cjson').encode_keep_buffer('off')", "false"),
            (
                "local j = require('cjson').new() j.encode_invalid_numbers(true) j.decode_invalid_numbers(true)
                local t = j.decode(j.encode({1/0, -1/0, 0/0, 1}))
                return {t[1] == 1/0, t[2] == -1/0, t[3] ~= t[3], t[4]}",
                "[true,true,true,1]",
            ),
        ],
    );
    for (call, problem) in [
        ("encode_max_depth(0)", "bad argument #1 to 'encode_max_depth' (expected integer between 1 and 2147483647)"),
        (
            "encode_number_precision(17)",
            "bad argument #1 to 'encode_number_precision' (expected integer between 1 and 16)",
        ),
        ("encode_empty_table_as_object(1)", "bad argument #1 to 'encode_empty_table_as_object' (invalid option)"),
    ] {
        let error = shown(&mut bench, &format!("require('cjson').{call}"));
        assert_eq!(error, format!("error: [string \"...\"]:1: {problem}"));
    }
    let snippet = bench.load(
        "local j = require('cjson').new() j.encode_empty_table_as_object(false)
        return function() kong.log.set_serialize_value('v', j.encode({})) end",
    );
    for _ in 0..2 {
        bench.begin();
        bench.vm.run_function(snippet).expect("sound");
        assert_eq!(bench.members()["v"], r#""[]""#);
    }
}

/// Scenario: tables that are endless, nest without limit or are huge, and such texts.
/// Guarantees: encoding and decoding end with an error or at the deadline, and the VM stays usable.
#[test]
fn cjson_is_bounded() {
    let attacks = [
        "local t = {} t.t = t return require('cjson').encode(t)",
        "local t = {} for i = 1, 5000 do t = {t} end return require('cjson').encode(t)",
        "local t = {1} for i = 1, 60 do t = {t, t} end return require('cjson').encode(t)",
        "local j = require('cjson') j.encode_sparse_array(false, 0) return j.encode({[2^30] = 1})",
        "local t = {} for i = 1, 1e6 do t[i] = i end return require('cjson').encode(t)",
        "local s = ('x'):rep(2^20) return require('cjson').encode({s, s, s, s})",
        "return require('cjson').decode(('['):rep(2^20))",
        "local j = require('cjson') j.decode_max_depth(2^30) return j.decode(('['):rep(2^20))",
        "while true do require('cjson.safe').decode(('[1,'):rep(900)) end",
        "local t = {} for i = 1, 5e4 do t[i] = 'x' end while true do require('cjson.safe').encode(t) end",
        "local s = '[' .. ('{},'):rep(3e5) .. '1]' local all = {}
        while true do all[#all + 1] = require('cjson').decode(s) end",
    ];
    for attack in attacks {
        in_time(move || {
            let limits = Limits {
                deadline: Duration::from_millis(500),
                plugin_deadline: Duration::from_secs(60),
                ..Limits::default()
            };
            let dialect = Dialect { profile: Profile::Strict, ..Dialect::default() };
            let mut bench = Bench::with(&json!({}), Options { limits, dialect, ..Options::default() });
            let answer = shown(&mut bench, attack);
            assert!(answer.starts_with("error: "), "{attack}: {answer:.100}");
            assert_eq!(shown(&mut bench, "return require('cjson').encode({1})"), r#""[1]""#, "{attack}");
        });
    }
}
