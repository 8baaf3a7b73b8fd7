use super::*;

/// Scenario: every type of value that a snippet can return.
/// Guarantees: the values are Kong's JSON in the default style, and a value that JSON lacks gives Kong's error.
#[test]
fn values_become_json() {
    Bench::on(&json!({})).gives(&[
        ("return true", "true"),
        ("return false", "false"),
        ("return nil", "nothing"),
        ("return", "nothing"),
        ("", "nothing"),
        ("-- only a comment", "nothing"),
        ("local x = 1", "nothing"),
        ("return ngx.null", "null"),
        ("return {a = ngx.null}", r#"{"a":null}"#),
        ("return 'a'", r#""a""#),
        ("return ''", r#""""#),
        (
            r#"return 'a/b"c\\d\8\9\10\12\13\0\27\31\127'"#,
            "\"a/b\\\"c\\\\d\\b\\t\\n\\f\\r\\u0000\\u001b\\u001f\u{7f}\"",
        ),
        ("return '\u{2028}<>&\u{e9}'", "\"\u{2028}<>&\u{e9}\""),
        ("return {}", "{}"),
        ("return {{}}", "[{}]"),
        ("return {1, 2, 3}", "[1,2,3]"),
        ("return {'a', nil, 'c'}", r#"["a",null,"c"]"#),
        ("return {[2] = 2}", "[null,2]"),
        ("return {[10] = 1}", "[null,null,null,null,null,null,null,null,null,1]"),
        ("return {[11] = 1}", "error: Cannot serialise table: excessively sparse array"),
        ("return {1,2,3,4,5,[12]=1}", "[1,2,3,4,5,null,null,null,null,null,null,1]"),
        ("return {1,2,3,4,5,6,[15]=1}", "error: Cannot serialise table: excessively sparse array"),
        ("return {[0] = 1}", r#"{"0":1}"#),
        ("return {[1.5] = 1}", r#"{"1.5":1}"#),
        ("return {[-1] = 1}", r#"{"-1":1}"#),
        ("return {[true] = 1}", "error: Cannot serialise boolean: table key must be a number or string"),
        ("return kong.router.get_route", &format!("error: {WRONG_KIND}")),
        ("return {print}", &format!("error: {WRONG_KIND}")),
        ("return {[{}] = 1}", &format!("error: {WRONG_KIND}")),
        ("return coroutine.create(print)", &format!("error: {WRONG_KIND}")),
        ("local t = {} t.t = t return t", &format!("error: {WRONG_KIND}")),
        ("local t = {{}} t[1][1] = t return {t}", &format!("error: {WRONG_KIND}")),
        ("local t = {1} return {t, t}", "[[1],[1]]"),
    ]);
    let mut bench = Bench::on(&json!({}));
    let mixed: Value = serde_json::from_str(&bench.shown("return {1, 2, a = 3}")).expect("JSON");
    assert_eq!(mixed, json!({"1": 1, "2": 2, "a": 3}));
}

/// Kong's errors for values that JSON lacks.
const WRONG_KIND: &str = "value must be nil, a number, string, boolean or a non-self-referencial table containing \
                          numbers, string and booleans";

/// Scenario: integers and fractions, large and small.
/// Guarantees: integers are exact up to 2^53; other numbers have Kong's 14 digits.
#[test]
fn numbers() {
    Bench::on(&json!({})).gives(&[
        ("return 1", "1"),
        ("return 3.5", "3.5"),
        ("return 1.0", "1"),
        ("return -7", "-7"),
        ("return -0", "-0"),
        ("return 1e14", "100000000000000"),
        ("return 123456789012345", "123456789012345"),
        ("return 2^53", "9007199254740992"),
        ("return -2^53", "-9007199254740992"),
        ("return 2^53 + 2", "9.007199254741e+15"),
        ("return 2^63", "9.2233720368548e+18"),
        ("return 1e100", "1e+100"),
        ("return 1.7976931348623157e308", "1.7976931348623e+308"),
        ("return 5e-324", "4.9406564584125e-324"),
        ("return 0.1 + 0.2", "0.3"),
        ("return 1/3", "0.33333333333333"),
        ("return 1e-4", "0.0001"),
        ("return 1e-5", "1e-05"),
        ("return math.pi", "3.1415926535898"),
        ("return 1700000000.123", "1700000000.123"),
        ("return 0/0", "error: Cannot serialise number: must not be NaN or Infinity"),
        ("return {a = 1/0}", "error: Cannot serialise number: must not be NaN or Infinity"),
        ("return {-1/0}", "error: Cannot serialise number: must not be NaN or Infinity"),
        ("return {[1/0] = 1}", "error: Cannot serialise number: must not be NaN or Infinity"),
    ]);
}

/// Scenario: `kong_quirks` with the same kinds of values.
/// Guarantees: escapes and digits equal cjson's, and a table that occurs twice in a value is rejected as in Kong.
#[test]
fn quirks() {
    Bench::quirky(&json!({})).gives(&[
        ("return 'a/b\\127'", r#""a\/b\u007f""#),
        ("return 2^53", "9.007199254741e+15"),
        ("return 1e14", "1e+14"),
        ("return 1e15", "1e+15"),
        ("return 123456789012345", "1.2345678901234e+14"),
        ("local t = {1} return {t, t}", &format!("error: {WRONG_KIND}")),
        ("return {}", "{}"),
        ("return 'a', 1", "error: attempt to index local 'options' (a number value)"),
        ("return 'a', true", "error: attempt to index local 'options' (a boolean value)"),
        ("return 'a', 'b'", r#""a""#),
    ]);
}

/// Scenario: bytes that are not UTF-8, in values and in names.
/// Guarantees: they become U+FFFD, are counted, and the JSON is valid.
#[test]
fn invalid_utf8_is_replaced_and_counted() {
    let mut bench = Bench::on(&json!({}));
    bench.gives(&[
        (r"return 'a\255\254b'", "\"a\u{fffd}\u{fffd}b\""),
        (r"return '\195'", "\"\u{fffd}\""),
        (r"return {['\255'] = 1}", "{\"\u{fffd}\":1}"),
    ]);
    assert_eq!(bench.vm.invalid_strings(), 3);
}

/// Scenario: tables nested up to cjson's limit and beyond.
/// Guarantees: 999 levels below the root are accepted; 1,000 give Kong's error.
#[test]
fn nesting_is_bounded() {
    in_time(|| {
        let mut bench = Bench::on(&json!({}));
        let nest = |levels: usize| format!("local t = {{}} for i = 2, {levels} do t = {{t}} end return t");
        assert_eq!(bench.shown(&nest(999)), format!("{}{{}}{}", "[".repeat(998), "]".repeat(998)));
        for levels in [1000, 1001, 100_000] {
            let error = bench.shown(&nest(levels));
            assert!(error.starts_with("error: Cannot serialise, excessive nesting (1001)"), "{levels}: {error}");
        }
    });
}

/// Scenario: values beyond `max_value_bytes`: one text, many members, one table that occurs often.
/// Guarantees: each gives a clear error within a short time, and sets nothing.
#[test]
fn large_values_are_refused() {
    in_time(|| {
        let mut bench = Bench::on(&json!({}));
        let doubled = "local s = 'x' for i = 1, 21 do s = s .. s end ";
        for code in [
            format!("{doubled} return s"),
            format!("{doubled} return {{s}}"),
            format!("{doubled} return {{[s] = 1}}"),
            "local t = {} for i = 1, 600000 do t[i] = i end return t".to_owned(),
            "local t = {} for i = 1, 300000 do t[i] = 'a' .. i end return t".to_owned(),
            "local t = {} for i = 1, 200000 do t['a' .. i] = i end return t".to_owned(),
            "local t = {} for i = 1, 40 do t = {t, t} end return t".to_owned(),
        ] {
            let error = bench.shown(&code);
            let past = [" is larger than 1048576 bytes", " has more than 250000 members and elements"];
            assert!(past.iter().any(|past| error == format!("error: value{past}")), "{code}: {error}");
        }
        assert_eq!(bench.shown("local t = {} for i = 1, 2e5 do t[i] = 'a' end return #t"), "200000");
        let many = bench.shown("local t = {} for i = 1, 200000 do t[i] = '' .. (i % 10) end return t");
        assert_eq!(many.len(), 200_000 * 4 + 1);
    });
}

/// Scenario: snippets of one transaction call `set_serialize_value` in loops with long values, high indices and deep
/// paths.
/// Guarantees: they fail with an error before the process runs out of memory or stack.
#[test]
fn edits_are_bounded() {
    in_time(|| {
        let mut bench = Bench::on(&json!({}));
        let doubled = "local s = 'x' for i = 1, 19 do s = s .. s end ";
        let error = bench.shown(&format!("{doubled} for i = 1, 1000 do kong.log.set_serialize_value('k' .. i, s) end"));
        assert!(
            error.ends_with("all values that the plugin has set for one message are larger than 4194304 bytes"),
            "{error}"
        );
        let error = bench.shown(
            "kong.log.set_serialize_value('a[1]', 1) local n = 10
            for i = 1, 20 do kong.log.set_serialize_value('a[' .. n .. ']', 1) n = n * 2 end",
        );
        assert!(error.contains("excessively sparse array"), "{error}");
        let error =
            bench.shown("local k = 'a' for i = 1, 12 do k = k .. '.' .. k end kong.log.set_serialize_value(k, 1)");
        assert!(error.contains("Cannot serialise, excessive nesting (1001)"), "{error}");
        assert_eq!(bench.shown("return 1"), "1");
    });
}

/// Scenario: snippets that return two or more values.
/// Guarantees: a table with `mode` is read as options; other values are ignored.
#[test]
fn second_return_values() {
    let mut bench = Bench::on(&json!({"v": "old"}));
    bench.gives(&[
        ("return 'new'", r#""new""#),
        ("return 'new', {mode = 'set'}", r#""new""#),
        ("return 'new', {mode = 'add'}", r#""old""#),
        ("return 'new', {mode = 'replace'}", r#""new""#),
        ("return nil, {mode = 'replace'}", "nothing"),
        ("return nil, {mode = 'add'}", r#""old""#),
        ("return 'new', {mode = false}", r#""new""#),
        ("return 'new', {}", r#""new""#),
        ("return 'new', {mode = 'nope'}", "error: mode must be 'set', 'add' or 'replace'"),
        ("return 'new', {mode = 1}", "error: mode must be 'set', 'add' or 'replace'"),
        ("return 'new', 1, {}", r#""new""#),
        ("return ('a'):gsub('a', 'b')", r#""b""#),
        ("return string.find('abc', 'b')", "2"),
        ("return unpack({1, 2})", "1"),
        ("return pcall(error, 'x')", "false"),
        ("return 'a', print", r#""a""#),
    ]);
    bench.begin();
    assert_eq!(bench.field("w", "return 1, {mode = 'replace'}"), Ok(()));
    assert_eq!(bench.field("x", "return 1, {mode = 'add'}"), Ok(()));
    let members = bench.members();
    assert_eq!((members.get("w"), members.get("x").map(String::as_str)), (None, Some("1")));
}

/// Scenario: `kong.log.set_serialize_value` from a pre-function, with every mode on present and missing members.
/// Guarantees: the message equals Kong's; wrong arguments give Kong's errors with the position of the call.
#[test]
fn edits_from_a_function() {
    let mut bench = Bench::on(&json!({"a": 1, "no": false, "ip": "1.2.3.4", "request": {"headers": {"x-id": "1"}}}));
    bench
        .function(
            r#"
            local set = kong.log.set_serialize_value
            set("a", 2, {mode = "add"})
            set("b.c", 3, {mode = "add"})
            set("b.d", 3, {mode = "replace"})
            set("n.o", 3, {mode = "replace"})
            set("no", true, {mode = "add"})
            set("request.headers.X-ID", "2", {mode = "add"})
            set("request.headers.x-id", "3", {mode = "replace"})
            set("list[2]", "x")
            set("s", "s", "set")
            "#,
        )
        .expect("sound edits");
    let members = bench.members();
    let member = |name: &str| members.get(name).map_or("nothing", String::as_str);
    assert_eq!(member("a"), "1");
    assert_eq!(member("b"), r#"{"c":3}"#);
    assert_eq!(member("n"), "nothing");
    assert_eq!(member("no"), "false");
    assert_eq!(member("request"), r#"{"headers":{"x-id":"3"}}"#);
    assert_eq!(member("list"), r#"[null,"x"]"#);
    assert_eq!(member("s"), r#""s""#);
    for (call, message) in [
        ("(1, 2)", "key must be a string"),
        ("('k', 2, {mode = 'bogus'})", "mode must be 'set', 'add' or 'replace'"),
        ("('k', 2, {mode = 1})", "mode must be 'set', 'add' or 'replace'"),
        ("('k', 2, 1)", "attempt to index local 'options' (a number value)"),
        ("('k', print)", WRONG_KIND),
        (
            "('ip.x', 1)",
            "The key 'ip.x' could not be used as a serialize value. Subkey 'ip' is not a table. It's 1.2.3.4.",
        ),
    ] {
        let code = format!("\n\nkong.log.set_serialize_value{call}");
        let error = bench.function(&code).expect_err(call);
        assert_eq!((error.message.as_str(), error.line), (format!("[string \"...\"]:3: {message}").as_str(), Some(3)));
    }
}

/// Scenario: a snippet edits the message before it returns, and returns the message itself.
/// Guarantees: its own result is applied last; `serialize` shows the edits so far, redacted and without `_context`.
#[test]
fn edits_and_serialize_from_a_field() {
    let mut bench = Bench::on(&json!({"a": 1, "request": {"headers": {"authorization": "s"}}, "_context": {"x": 1}}));
    bench.gives(&[("kong.log.set_serialize_value('v', 1) return 2", "2")]);
    bench.field("copy", "kong.log.set_serialize_value('a', 5) return kong.log.serialize()").expect("sound");
    let copy: Value = serde_json::from_str(&bench.members()["copy"]).expect("JSON");
    assert_eq!(copy, json!({"a": 5, "v": 2, "request": {"headers": {"authorization": "REDACTED"}}}));
}

/// Scenario: numbers and values with an address, converted to text.
/// Guarantees: numbers have Kong's digits, except exact integers unless the quirks are enabled; no address appears.
#[test]
fn text_of_values() {
    let cases = [
        ("return tostring(0.1 + 0.2)", r#""0.3""#),
        ("return tostring(1 / 3)", r#""0.33333333333333""#),
        ("return tostring(1e100)", r#""1e+100""#),
        ("return tostring(-0.5)", r#""-0.5""#),
        ("return tostring(0/0) .. tostring(1/0) .. tostring(-1/0)", r#""naninf-inf""#),
        ("return tostring(42)", r#""42""#),
        ("return tostring(nil) .. tostring(true)", r#""niltrue""#),
        ("return tostring({}) .. tostring(print)", r#""tablefunction""#),
        ("return tostring(coroutine.create(print))", r#""thread""#),
        ("return tostring(ngx.null)", r#""userdata: NULL""#),
        ("return pcall(string.format, '%p', {})", "false"),
    ];
    let mut bench = Bench::on(&json!({}));
    bench.gives(&cases);
    bench.gives(&[("return tostring(123456789012345)", r#""123456789012345""#)]);
    let mut quirky = Bench::quirky(&json!({}));
    quirky.gives(&cases);
    quirky.gives(&[("return tostring(123456789012345)", r#""1.2345678901235e+14""#)]);
    // Texts that Luau makes by itself lead nowhere, either.
    for code in [
        "return ('%s'):format({})",
        "return ('%s'):format(print)",
        "return ({}) .. ''",
        "return ('%s'):format(coroutine.create(print))",
    ] {
        assert!(!bench.shown(code).contains("0x"), "{}", bench.shown(code));
    }
}

/// Scenario: `string.format` with values of every type, as a function and as a method.
/// Guarantees: the texts equal LuaJIT's, without addresses; a value that is not a number gives an error where a number
/// is required.
#[test]
fn formats_take_any_value_for_a_text() {
    let mut bench = Bench::on(&json!({}));
    bench.gives(&[
        ("return string.format('%s', nil)", r#""nil""#),
        ("return ('%s %s|%5s|%-4s|'):format(true, 1 / 3, false, nil)", r#""true 0.33333333333333|false|nil |""#),
        ("return ('%s%%%d%s'):format('a', 3, {})", r#""a%3table""#),
        ("return ('%s'):format(print)", r#""function""#),
        ("return ('%*'):format(print)", r#""function""#),
        ("return `{print}`", r#""function""#),
        ("return ('%05.1f|%x|%q'):format(3.14159, 255, 'a')", r#""003.1|ff|\"a\"""#),
        ("return pcall(string.format, '%d', nil)", "false"),
        ("return pcall(string.format, '%s')", "false"),
        ("return pcall(string.format)", "false"),
    ]);
    let error = bench.shown("\nreturn ('%d'):format({})");
    assert!(error.starts_with("error: [string \"...\"]:2: "), "{error}");
}

/// Scenario: a plugin that sets and removes values many times, and one that sets as much as it may; then other plugins; then
/// a snippet that sets values and fails.
/// Guarantees: what is removed does not count; what one plugin has used up is not missing to another; a snippet that fails
/// leaves no edit behind, and takes none of an earlier snippet with it.
#[test]
fn each_plugin_has_its_own_share_of_edits() {
    let mut bench = Bench::on(&sample());
    bench.vm.enter_plugin(1, &"first".into());
    let churn = "local s = 'x' for i = 1, 17 do s = s .. s end for i = 1, 200 do kong.log.set_serialize_value('a.b.c' .. i, s) \
        kong.log.set_serialize_value('a', nil) end return 'done'";
    assert_eq!(bench.field("churn", churn), Ok(()));
    let greedy =
        "local s = 'x' for i = 1, 17 do s = s .. s end for i = 1, 31 do kong.log.set_serialize_value('g' .. i, s) end";
    assert_eq!(bench.function(greedy), Ok(()));
    let more = "local s = 'x' for i = 1, 18 do s = s .. s end kong.log.set_serialize_value('more', s)";
    let more = bench.function(more).expect_err("used up");
    assert!(more.message.contains("all values that the plugin has set"), "{more}");
    bench.vm.enter_plugin(2, &"second".into());
    assert_eq!(bench.field("honest", "local s = 'y' for i = 1, 18 do s = s .. s end return s"), Ok(()));
    let fails = "kong.log.set_serialize_value('honest', nil) kong.log.set_serialize_value('route.id', 'x') \
        kong.log.set_serialize_value('new', 1) error('no')";
    assert!(bench.function(fails).is_err());
    let members = bench.members();
    assert_eq!((members["honest"].len(), members["churn"].as_str()), ((1 << 18) + 2, "\"done\""));
    assert!(members["route"].contains(r#""id":"rt""#) && !members.contains_key("new"), "{}", members["route"]);
}
