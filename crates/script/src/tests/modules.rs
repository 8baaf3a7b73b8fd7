use super::ngx::{gives, shown};
use super::*;

/// A VM with Kong's `strict` profile, whose scripts may require every module.
pub(super) fn strict(transaction: &Value) -> Bench {
    let limits =
        Limits { deadline: Duration::from_secs(20), plugin_deadline: Duration::from_secs(60), ..Limits::default() };
    let dialect = Dialect { profile: Profile::Strict, ..Dialect::default() };
    Bench::with(transaction, Options { limits, dialect, ..Options::default() })
}

/// Scenario: every available module, required twice and written to.
/// Guarantees: both calls return the same table, which rejects writes at every level; it is the table in `ngx` if `ngx`
/// has one.
#[test]
fn modules_are_frozen() {
    let mut bench = strict(&json!({}));
    for name in modules() {
        let same = format!("return require('{name}') == require('{name}')");
        assert_eq!(shown(&mut bench, &same), "true", "{name}");
        let code = format!("local m = require('{name}') if type(m) ~= 'table' then error('attempt to ') end m.x = 1");
        let error = shown(&mut bench, &code);
        assert!(error.contains("attempt to"), "{name}: {error}");
        let code = format!(
            "local m = require('{name}')
            if type(m) ~= 'table' then return {{}} end
            local open = {{}}
            for key, value in pairs(m) do
              if type(value) == 'table' and pcall(function() value.x = 1 end) then open[#open + 1] = key end
            end
            return #open"
        );
        assert!(["0", "{}"].contains(&shown(&mut bench, &code).as_str()), "{name}");
    }
    let error = shown(&mut Bench::on(&json!({})), "return require('cjson')");
    let help = "set untrusted_lua: strict, or list cjson in untrusted_lua_sandbox_requires, to allow it";
    assert!(error.ends_with(&format!("]:1: require 'cjson' not allowed within sandbox ({help})")), "{error}");
}

/// Scenario: module functions on texts and tables, called repeatedly with huge values and with endless tables.
/// Guarantees: each ends with an error, at the deadline or at the memory limit within a short time, and the VM stays
/// usable.
#[test]
fn modules_are_bounded() {
    let huge = "local s = ' a-%2F.' for i = 1, 22 do s = s .. s end ";
    let attacks = [
        format!("{huge} local h = require('resty.sha256').new() while true do h:update(s) h:final() end"),
        "local h = require('resty.md5').new() while true do h:update('x') end".to_owned(),
        "local new, all = require('resty.sha1').new, {} while true do all[#all + 1] = new() end".to_owned(),
        format!("{huge} while true do require('resty.string').to_hex(s) end"),
        "while true do require('resty.random').bytes(65536) end".to_owned(),
        "local t = {} while true do t[#t + 1] = require('kong.tools.rand').random_string() end".to_owned(),
        format!("{huge} while true do require('kong.tools.sha256').sha256_hex(s) end"),
        format!("{huge} while true do require('kong.tools.string').split(s, 'a') end"),
        format!("{huge} while true do require('kong.tools.string').split(s) end"),
        format!("{huge} while true do require('kong.tools.string').strip(s) end"),
        format!("{huge} while true do require('kong.tools.string').validate_utf8(s) end"),
        format!("{huge} while true do require('kong.tools.string').replace_dashes_lower(s) end"),
        format!("{huge} while true do require('kong.tools.uri').escape(s) end"),
        format!("{huge} while true do require('pl.stringx').rfind(s, 'a-') end"),
        format!("{huge} while true do require('pl.stringx').replace(s, 'a', 'bb') end"),
        format!("{huge} while true do require('pl.stringx').rstrip(s, s) end"),
        format!("{huge} while true do require('pl.stringx').splitlines(s) end"),
        format!("{huge} while true do require('pl.stringx').title(s) end"),
        "require('pl.tablex').range(1, 1e18)".to_owned(),
        "local t = {} for i = 1, 5000 do t = {t} end while true do require('pl.tablex').deepcopy(t) end".to_owned(),
        "local t = {1} for i = 1, 64 do t = {t, t} end require('pl.tablex').deepcompare(t, require('pl.tablex').copy(t))
        while true do end"
            .to_owned(),
        "local s = ('/'):rep(2^20) while true do require('kong.tools.uri').normalize(s, true) end".to_owned(),
        "local s = ('/..'):rep(3e5) while true do require('kong.tools.uri').normalize(s, true) end".to_owned(),
        "local s = ('%'):rep(2^20) while true do require('kong.tools.uri').normalize(s) end".to_owned(),
        format!("{huge} while true do require('ngx.base64').decode_base64url(s) end"),
        "local t = {1} for i = 1, 64 do t = {t, t} end while true do require('kong.tools.table').deep_merge(t, t) end"
            .to_owned(),
        "local t = {} for i = 1, 1e5 do t[i] = i end local c = require('kong.tools.table').concat
        while true do t = c(t, t) end"
            .to_owned(),
        "local t = require('kong.tools.table') local e = {} while true do t.add_error(e, 'k', 1) end".to_owned(),
    ];
    in_time(move || {
        let limits = Limits {
            deadline: Duration::from_millis(50),
            plugin_deadline: Duration::from_secs(60),
            ..Limits::default()
        };
        let dialect = Dialect { profile: Profile::Strict, ..Dialect::default() };
        let mut bench = Bench::with(&json!({}), Options { limits, dialect, ..Options::default() });
        for attack in attacks {
            let began = cpu_time();
            let answer = shown(&mut bench, &attack);
            assert!(answer.starts_with("error: "), "{attack}: {answer:.100}");
            let took = cpu_time() - began;
            assert!(took < Duration::from_secs(2), "{attack}: {took:?}");
            assert_eq!(shown(&mut bench, "return #require('resty.sha1').new():final()"), "20", "{attack}");
        }
    });
}

/// Scenario: the digests of resty.*.
/// Guarantees: they equal those of other implementations, also when computed piece by piece; objects are independent.
#[test]
fn digests_are_right() {
    let mut bench = strict(&json!({}));
    for (name, of_abc) in [
        ("md5", "900150983cd24fb0d6963f7d28e17f72"),
        ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("sha384", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"),
        (
            "sha512",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd\
             454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ] {
        let code = format!(
            "local new, hex = require('resty.{name}').new, require('resty.string').to_hex
            local h, other = require('resty.{name}'):new(), new()
            other:update('zzz')
            h:update('wrong') h:reset() assert(h:update('a') == true) h:update('bcd', 2)
            return hex(h:final())"
        );
        assert_eq!(shown(&mut bench, &code), format!("\"{of_abc}\""), "{name}");
        let error = shown(&mut bench, &format!("require('resty.{name}'):new():update({{}})"));
        assert_eq!(error, "error: [string \"...\"]:1: bad argument #1 to 'update' (string expected, got table)");
    }
    gives(
        &mut bench,
        &[
            (
                "return require('kong.tools.sha256').sha256_hex('abc')",
                r#""ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad""#,
            ),
            (
                "return require('kong.tools.sha256').sha256_base64('abc')",
                r#""ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=""#,
            ),
            (
                "return require('kong.tools.sha256').sha256_base64url('abc')",
                r#""ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0""#,
            ),
            ("return #require('kong.tools.sha256').sha256_bin('')", "32"),
            (
                "return {require('resty.string').atoi('120'), require('resty.string').atoi('-1'),
                require('resty.string').atoi('')}",
                "[120,-1,-1]",
            ),
        ],
    );
}

/// Scenario: random bytes, ids and texts.
/// Guarantees: they have the requested length, never repeat, and are limited in size.
#[test]
fn random_values() {
    let mut bench = strict(&json!({}));
    gives(
        &mut bench,
        &[
            ("return #require('resty.random').bytes(17, true)", "17"),
            ("return #require('kong.tools.rand').get_rand_bytes(65536, true)", "65536"),
            (
                "local r = require('kong.tools.rand').random_string
                return #r() == 32 and r():find('^%w+$') == 1 and r() ~= r()",
                "true",
            ),
            (
                "local u = require('kong.tools.uuid') local a, b = u.uuid(), u.uuid()
          return u.is_valid_uuid(a) and a ~= b and a:sub(15, 15) == '4'",
                "true",
            ),
            (
                "local v = require('kong.tools.uuid').is_valid_uuid
          return {v('00000000-0000-0000-0000-00000000000A'), v('0'), v(1), v('00000000-0000-0000-0000_000000000000')}",
                "[true,false,false,false]",
            ),
        ],
    );
    for count in ["65537", "-1", "0/0", "1/0", "2^53"] {
        let error = shown(&mut bench, &format!("require('resty.random').bytes({count})"));
        assert!(error.ends_with(":1: bad argument #1 to 'bytes' (not between 0 and 65536)"), "{count}: {error}");
    }
}

/// Scenario: `ngx.base64` and `resty.string`.
/// Guarantees: the results equal lua-resty-core's.
#[test]
fn base64_for_urls() {
    gives(
        &mut strict(&json!({})),
        &[
            ("return require('ngx.base64').encode_base64url('\\255\\254a')", r#""__5h""#),
            ("return require('ngx.base64').encode_base64url('a')", r#""YQ""#),
            ("return require('ngx.base64').decode_base64url('YQ')", r#""a""#),
            ("return require('ngx.base64').decode_base64url('YQ==')", r#""a""#),
            ("return require('ngx.base64').decode_base64url('__5h') == '\\255\\254a'", "true"),
            ("return {select(2, require('ngx.base64').decode_base64url('a+/'))}", r#"["invalid input"]"#),
            ("return {select(2, require('ngx.base64').encode_base64url(1))}", r#"["must provide a string"]"#),
        ],
    );
}

/// Scenario: `kong.tools.string`.
/// Guarantees: the results equal Kong's.
#[test]
fn kong_tools_string() {
    let mut bench = strict(&json!({}));
    let cases = [
        ("split('a,b,,c', ',')", r#"["a","b","","c"]"#),
        ("split('a,b,c', ',', 2)", r#"["a","b,c"]"#),
        ("split('  a  b ')", r#"["a","b"]"#),
        ("split('', ',')", "{}"),
        ("split('ab', '')", r#"["ab"]"#),
        ("split('a,', ',')", r#"["a",""]"#),
        ("split('')", "{}"),
        ("split('a.b', '.')", r#"["a","b"]"#),
        ("join('-', {1, 2})", r#""1-2""#),
        ("strip('  a b\\n')", r#""a b""#),
        ("strip(nil)", r#""""#),
        ("strip('   ')", r#""""#),
        ("strip(12)", r#""12""#),
        ("validate_utf8('h\u{e9}\u{1f600}')", "true"),
        ("bytes_to_str(5497558)", r#""5497558""#),
        ("bytes_to_str(5497558, 'm')", r#""5.24 MiB""#),
        ("bytes_to_str(5497558, 'G', 3)", r#""0.005 GiB""#),
        ("bytes_to_str(1024, 'k', 0)", r#""1 KiB""#),
        ("try_decode_base64('YQ==')", r#""a""#),
        ("try_decode_base64({'YQ', '!'})", r#"["a","!"]"#),
        ("try_decode_base64(5)", "5"),
        ("replace_dashes('a-b-c')", r#""a_b_c""#),
        ("replace_dashes_lower('X-Ab')", r#""x_ab""#),
    ];
    for (call, expected) in cases {
        assert_eq!(shown(&mut bench, &format!("return (require('kong.tools.string').{call})")), expected, "{call}");
    }
    gives(
        &mut bench,
        &[
            ("return {require('kong.tools.string').validate_utf8('ab\\255')}", "[false,3]"),
            ("return {require('kong.tools.string').validate_utf8('\\237\\160\\128')}", "[false,1]"),
            (
                "\nrequire('kong.tools.string').split({})",
                "error: [string \"...\"]:2: argument 1 expected a 'string' got a 'table'",
            ),
            (
                "require('kong.tools.string').bytes_to_str(1, 'x')",
                "error: [string \"...\"]:1: invalid unit 'x' (expected 'k/K', 'm/M', or 'g/G')",
            ),
        ],
    );
}

/// Scenario: `pl.stringx` and `pl.tablex`.
/// Guarantees: the results equal Penlight's.
#[test]
fn penlight() {
    let mut bench = strict(&json!({}));
    let cases = [
        ("isalpha('ab1')", "false"),
        ("isdigit('12')", "true"),
        ("isalnum('a1')", "true"),
        ("isspace(' ')", "true"),
        ("islower('a b')", "true"),
        ("isupper('A b')", "false"),
        ("startswith('abc', {'x', 'ab'})", "true"),
        ("startswith('abc', 'abcd')", "false"),
        ("endswith('abc', 'bc')", "true"),
        ("endswith('abc', '')", "true"),
        ("splitlines('a\\r\\nb\\n\\nc')", r#"["a","b","","c"]"#),
        ("splitlines('a\\n', true)", r#"["a\n"]"#),
        ("lfind('banana', 'ana')", "2"),
        ("rfind('banana', 'ana')", "4"),
        ("rfind('banana', 'x')", "nothing"),
        ("count('banana', 'ana')", "1"),
        ("count('banana', 'ana', true)", "2"),
        ("replace('a.b.c', '.', '%1')", r#""a%1b%1c""#),
        ("replace('a.b.c', '.', '-', 1)", r#""a-b.c""#),
        ("ljust('ab', 4, '*')", r#""ab**""#),
        ("rjust('ab', 4)", r#""  ab""#),
        ("center('ab', 5, '*')", r#""*ab**""#),
        ("strip('--a--', '-')", r#""a""#),
        ("lstrip('  a ')", r#""a ""#),
        ("rstrip('  a ')", r#""  a""#),
        ("at('abc', -1)", r#""c""#),
        ("title('hello wORLD')", r#""Hello World""#),
        ("shorten('1234567890', 8)", r#""12345...""#),
        ("shorten('1234567890', 8, true)", r#""...67890""#),
    ];
    for (call, expected) in cases {
        assert_eq!(shown(&mut bench, &format!("return (require('pl.stringx').{call})")), expected, "{call}");
    }
    let cases = [
        ("update({a = 1}, {a = 2})", r#"{"a":2}"#),
        ("size({1, 2, x = 3})", "3"),
        ("copy({1})", "[1]"),
        ("deepcopy({{1}})", "[[1]]"),
        ("deepcompare({a = {1}}, {a = {1}})", "true"),
        ("deepcompare({1}, {1, 2})", "false"),
        ("deepcompare(1, 1.01, false, 0.1)", "true"),
        ("find({10, 20, 30}, 20)", "2"),
        ("rfind({10, 10}, 10)", "2"),
        ("map(function(v, n) return v * n end, {1, 2}, 3)", "[3,6]"),
        ("imap(function(v) return v + 1 end, {1, 2})", "[2,3]"),
        ("filter({1, 2, 3}, function(v) return v > 1 end)", "[2,3]"),
        ("reduce(function(a, b) return a + b end, {1, 2, 3})", "6"),
        ("keys({a = 1})", r#"["a"]"#),
        ("values({a = 1})", "[1]"),
        ("makeset({'a'})", r#"{"a":true}"#),
        ("index_map({'a'})", r#"{"a":1}"#),
        ("index_by({10, 20}, {2})", "[20]"),
        ("range(1, 3)", "[1,2,3]"),
        ("merge({a = 1}, {b = 2})", "{}"),
        ("size(require('pl.tablex').merge({a = 1}, {b = 2}, true))", "2"),
        ("find_if({5, 6}, function(v) return v == 6 end)", "2"),
        ("pairmap(function(k, v) return v, k end, {a = 1})", r#"{"a":1}"#),
        ("compare({1}, {1}, function(a, b) return a == b end)", "true"),
    ];
    for (call, expected) in cases {
        assert_eq!(shown(&mut bench, &format!("return (require('pl.tablex').{call})")), expected, "{call}");
    }
    gives(
        &mut bench,
        &[
            ("return {require('pl.stringx').partition('a,b,c', ',')}", r#"["a",",","b,c"]"#),
            ("return {require('pl.stringx').rpartition('a,b,c', ',')}", r#"["a,b",",","c"]"#),
            ("return {require('pl.stringx').rpartition('abc', 'x')}", r#"["","","abc"]"#),
            (
                "local t = {} for l in require('pl.stringx').lines('a\\nb') do t[#t + 1] = l end return t",
                r#"["a","b"]"#,
            ),
            ("require('pl.stringx').ljust('a', 1e9)", "error: [string \"...\"]:1: 'ljust' is wider than 65536 bytes"),
            (
                "require('pl.tablex').map(1, {})",
                "error: [string \"...\"]:1: argument 1 expected a 'function' got a 'number'",
            ),
            ("return require('pl.tablex').range(1, 3, 0)", "{}"),
        ],
    );
}

/// Scenario: `kong.tools.table`.
/// Guarantees: the results equal Kong's; copies share nothing with the original, keep the metamethods of header tables,
/// and end for tables that contain themselves.
#[test]
fn kong_tools_table() {
    let mut bench = strict(&sample());
    let cases = [
        ("pack(1, nil, 3).n", "3"),
        ("unpack({n = 2, 5, 6})", "5"),
        ("table_merge({a = 1, b = 1}, {b = 2})", r#"{"a":1,"b":2}"#),
        ("table_merge(nil, {1})", "[1]"),
        ("table_contains({1, 'x'}, 'x')", "true"),
        ("table_contains(nil, 'x')", "false"),
        ("is_array({1, 2})", "true"),
        ("is_array({1, nil, 3})", "false"),
        ("is_array({1, nil, 3}, 'fast')", "true"),
        ("is_array({['1'] = 1}, 'lapis')", "true"),
        ("is_array(1)", "false"),
        ("is_lapis_array({a = 1})", "false"),
        ("concat({1, 2}, {3}, {})", "[1,2,3]"),
        ("deep_merge({a = {b = 1}}, {a = {b = 2}, d = 3}).a", r#"{"b":2}"#),
        ("deep_merge({a = {b = 1}}, {a = {c = 2}, d = 3}).a.b", "1"),
        ("deep_merge({a = {b = 1}}, {d = {3}}).d", "[3]"),
        ("add_error(nil, 'k', 'one')", r#"{"k":"one"}"#),
        ("add_error({k = 'one'}, 'k', 'two')", r#"{"k":["one","two"]}"#),
        ("shallow_copy('x')", r#""x""#),
    ];
    for (call, expected) in cases {
        assert_eq!(shown(&mut bench, &format!("return (require('kong.tools.table').{call})")), expected, "{call}");
    }
    gives(
        &mut bench,
        &[
            (
                "local t = require('kong.tools.table') local e = t.add_error({}, 'k', 1) t.add_error(e, 'k', 2)
                t.add_error(e, 'k', 3) return e.k",
                "[1,2,3]",
            ),
            ("local a = {b = {c = 1}} local c = require('kong.tools.table').deep_copy(a) c.b.c = 2 return a.b.c", "1"),
            (
                "local a = {} a.a = a local c = require('kong.tools.table').cycle_aware_deep_copy(a)
                return c ~= a and c.a == c",
                "true",
            ),
            (
                "local h = require('kong.tools.table').deep_copy(kong.request.get_headers()) return h['User_Agent']",
                r#""curl/8""#,
            ),
            ("return require('kong.tools.table').cycle_aware_deep_copy(kong.router.get_route()).paths", "[]"),
            (
                "local t = {} for i = 1, 5000 do t = {t} end return (pcall(require('kong.tools.table').deep_copy, t))",
                "false",
            ),
            (
                "return require('kong.tools.table').deep_merge({}, nil)",
                "error: [string \"...\"]:1: bad argument #2 to 'deep_merge' (table expected, got nil)",
            ),
        ],
    );
}

/// Scenario: `kong.tools.time` and `kong.tools.uri`.
/// Guarantees: the results equal Kong's.
#[test]
fn kong_tools_time_and_uri() {
    let mut bench = strict(&sample());
    gives(
        &mut bench,
        &[
            ("return require('kong.tools.time').get_start_time_ms()", "1700000000123"),
            (
                "local t = require('kong.tools.time') return math.abs(t.time_ns() / 1e6 - t.get_now_ms()) < 60000",
                "true",
            ),
            ("local t = require('kong.tools.time') return t.get_updated_now_ms() >= t.get_start_time_ms()", "true"),
            ("return require('kong.tools.time').get_updated_monotonic_ms() >= 0", "true"),
            (
                "local f = require('kong.tools.time').nginx_conf_time_to_seconds
                return {f('10'), f('1m'), f('1h 30m'), f('2d5s')}",
                "[10,60,5400,172805]",
            ),
            (
                "return require('kong.tools.time').nginx_conf_time_to_seconds('1s 1h')",
                "error: [string \"...\"]:1: bad argument #1 'str'",
            ),
            ("return require('kong.tools.uri').normalize('/a/../b//c', true)", r#""/b/c""#),
            ("return require('kong.tools.uri').normalize('/a/../b//c')", r#""/b//c""#),
            ("return require('kong.tools.uri').escape('/a b/\u{e9}?x=%20')", r#""/a%20b/%C3%A9?x=%20""#),
        ],
    );
}
