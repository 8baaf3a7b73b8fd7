use super::*;

/// The profile `sandbox`: Kong's list of names (kong-lua-sandbox), without those that the Kafka Log page documents as
/// unavailable.
const THERE: [(&str, &str); 8] = [
    (
        "",
        "_G _VERSION assert bit coroutine error ipairs jit kong math next ngx os pairs pcall print require select string table \
          tonumber tostring type unpack xpcall",
    ),
    ("bit", "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex"),
    ("coroutine", "create resume running status wrap yield"),
    ("jit", "arch os version version_num"),
    (
        "math",
        "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min modf pi pow \
              rad random sin sinh sqrt tan tanh",
    ),
    ("os", "clock difftime time"),
    ("string", "byte char find format gmatch gsub len lower match reverse sub upper"),
    (
        "table",
        "clear clone concat foreach foreachi getn insert isarray isempty maxn move new nkeys pack remove sort \
               unpack",
    ),
];

/// Names of Luau, Lua or OpenResty that a snippet must not have.
const ABSENT: [(&str, &str); 7] = [
    (
        "",
        "_ENV arg bit32 buffer cjson collectgarbage debug dofile ffi gcinfo getfenv getmetatable integer io load loadfile \
          loadstring module ndk newproxy package rawequal rawget rawlen rawset setfenv setmetatable shared \
          typeof utf8 vector",
    ),
    ("coroutine", "close isyieldable"),
    ("jit", "off on flush opt util"),
    ("math", "clamp lerp map noise randomseed round sign isnan isinf isfinite"),
    ("os", "date execute exit getenv remove rename setlocale tmpname"),
    ("string", "dump pack packsize rep split unpack"),
    ("table", "create find freeze isfrozen"),
];

/// The names of Kong 3.14's `strict` list that the list above lacks.
const STRICT: [(&str, &str); 3] = [("os", "date"), ("string", "rep"), ("io", "type")];

/// The names of OpenResty and Kong in both lists.
const HOSTS: [(&str, &str); 17] = [
    (
        "ngx",
        "AGAIN ALERT CRIT DEBUG DECLINED DONE EMERG ERR ERROR HTTP_BAD_REQUEST HTTP_DELETE HTTP_GET HTTP_NOT_FOUND HTTP_OK \
         HTTP_POST INFO NOTICE OK STDERR WARN config crc32_long crc32_short ctx decode_args decode_base64 encode_args \
         encode_base64 escape_uri get_phase header headers_sent hmac_sha1 http_time is_subrequest localtime log md5 \
         md5_bin now null parse_http_time cookie_time quote_sql_str re req resp sha1_bin time today unescape_uri \
         update_time utctime var worker",
    ),
    ("ngx.re", "find gmatch gsub match sub"),
    ("ngx.req", "get_body_data get_headers get_method get_post_args get_uri_args http_version raw_header start_time"),
    ("ngx.resp", "get_headers"),
    ("ngx.worker", "count exiting id pid"),
    ("ngx.config", "debug nginx_configure nginx_version ngx_lua_version prefix subsystem"),
    (
        "kong",
        "cache client configuration ctx ip log nginx node plugin request response router service table tracing version version_num",
    ),
    (
        "kong.request",
        "get_body get_forwarded_host get_forwarded_path get_forwarded_port get_forwarded_prefix get_forwarded_scheme \
         get_header get_headers get_host get_http_version get_method get_path get_path_with_query get_port get_query \
         get_query_arg get_raw_body get_raw_path get_raw_query get_scheme get_start_time get_uri_captures",
    ),
    ("kong.response", "get_header get_headers get_source get_status"),
    ("kong.service.response", "get_body get_header get_headers get_raw_body get_status"),
    (
        "kong.client",
        "get_consumer get_consumer_groups get_credential get_forwarded_ip get_forwarded_port get_ip get_port get_protocol",
    ),
    ("kong.router", "get_route get_service"),
    ("kong.log", "alert crit debug emerg err info inspect notice serialize set_serialize_value warn"),
    ("kong.node", "get_hostname get_id get_memory_stats"),
    ("kong.table", "clear merge new"),
    ("kong.nginx", "get_subsystem"),
    ("kong.plugin", "get_id"),
];

fn full(library: &str, name: &str) -> String {
    if library.is_empty() { name.to_owned() } else { format!("{library}.{name}") }
}

/// Scenario: every name of Kong's list, and every other name of Luau, Lua or OpenResty.
/// Guarantees: the listed names exist, the others are nil, and the libraries contain nothing else.
#[test]
fn kongs_names_and_no_others() {
    let mut bench = Bench::on(&json!({}));
    for (library, names) in THERE {
        for name in names.split_whitespace() {
            let code = format!("return {} ~= nil", full(library, name));
            assert_eq!(bench.shown(&code), "true", "{code}");
        }
        if library.is_empty() {
            continue;
        }
        let listed = format!("local t = {{}} for name in pairs({library}) do table.insert(t, name) end return t");
        let mut listed: Vec<String> = serde_json::from_str(&bench.shown(&listed)).expect("names");
        listed.sort();
        let mut wanted: Vec<_> = names.split_whitespace().collect();
        wanted.sort_unstable();
        assert_eq!(listed, wanted, "{library}");
    }
    for (library, names) in ABSENT {
        for name in names.split_whitespace() {
            let code = format!("return {} == nil", full(library, name));
            assert_eq!(bench.shown(&code), "true", "{code}");
        }
    }
    bench.gives(&[
        ("return pcall(function() return ('x'):rep(3) end)", "false"),
        ("return pcall(function() return ('').dump end)", "true"),
        ("return ('').dump == nil and ('').rep == nil and ('').split == nil", "true"),
        ("return ('%d'):format(3)", r#""3""#),
        ("return _VERSION", r#""Lua 5.1""#),
    ]);
}

pub(super) fn of_profile(profile: Profile, requires: &[&str], environment: &[&str]) -> Bench {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let long = Duration::from_secs(20);
    let limits = Limits { deadline: long, plugin_deadline: long, ..Limits::default() };
    let dialect = Dialect { profile, requires: texts(requires), environment: texts(environment) };
    Bench::with(&sample(), Options { limits, dialect, ..Options::default() })
}

/// Scenario: both profiles and every name of Kong's two lists, including the names that only `strict` has; then names
/// added one by one.
/// Guarantees: the names of OpenResty and Kong exist in both profiles; a name that only `strict` has is absent in
/// `sandbox` unless it is added; the libraries of `strict` contain exactly these names.
#[test]
fn profiles_are_kongs_lists() {
    for profile in [Profile::Sandbox, Profile::Strict] {
        let mut bench = of_profile(profile, &[], &[]);
        for (library, names) in HOSTS.into_iter().chain(THERE) {
            for name in names.split_whitespace() {
                let code = format!("return {} ~= nil", full(library, name));
                assert_eq!(bench.shown(&code), "true", "{profile:?}: {code}");
            }
        }
        for (library, name) in STRICT {
            let code = format!("return {library} ~= nil and {library}.{name} ~= nil");
            let there = (profile == Profile::Strict).to_string();
            assert_eq!(bench.shown(&code), there, "{profile:?}: {code}");
        }
        for (library, names) in ABSENT {
            for name in names.split_whitespace() {
                if profile == Profile::Strict && (STRICT.contains(&(library, name)) || name == "io") {
                    continue;
                }
                let code = format!("return {} == nil", full(library, name));
                assert_eq!(bench.shown(&code), "true", "{profile:?}: {code}");
            }
        }
    }
    let mut strict = of_profile(Profile::Strict, &[], &[]);
    for (library, names) in THERE.into_iter().chain([("io", "")]) {
        let more = STRICT.iter().filter(|(of, _)| *of == library).map(|(_, name)| *name);
        let mut wanted: Vec<_> = names.split_whitespace().chain(more).collect();
        wanted.sort_unstable();
        let listed = format!("local t = {{}} for name in pairs({library}) do table.insert(t, name) end return t");
        let mut listed: Vec<String> = match library {
            "" => continue,
            _ => serde_json::from_str(&strict.shown(&listed)).expect("names"),
        };
        listed.sort();
        assert_eq!(listed, wanted, "{library}");
    }
    strict.gives(&[
        ("return ('ab'):rep(3)", r#""ababab""#),
        ("return pcall(string.rep, 'x', 2^20 + 1)", "false"),
        ("return #string.rep('x', 2^20)", "1048576"),
        ("return os.date('!%Y-%m-%d', 86400)", r#""1970-01-02""#),
        ("return io.type({}) == nil", "true"),
    ]);
    of_profile(Profile::Sandbox, &[], &["string.rep"])
        .gives(&[("return ('ab'):rep(2)", r#""abab""#), ("return os.date == nil and io == nil", "true")]);
    of_profile(Profile::Sandbox, &[], &["os"]).gives(&[("return os.date ~= nil and os.execute == nil", "true")]);
}

/// Scenario: `require` of every available module, of other modules and of values that are not names, in each profile
/// and with one module added.
/// Guarantees: `strict` loads all of them, `sandbox` only the added one; rejections have Kong's text.
#[test]
fn modules_are_loaded_by_name() {
    let (mut sandbox, mut strict) =
        (of_profile(Profile::Sandbox, &["bit"], &[]), of_profile(Profile::Strict, &[], &[]));
    assert!(modules().len() >= 20, "{:?}", modules());
    for module in modules() {
        let code = format!("return require('{module}') ~= nil");
        assert_eq!(strict.shown(&code), "true", "{module}");
        let here = sandbox.shown(&code);
        let refusal =
            format!("]:1: require '{module}' not allowed within sandbox (set untrusted_lua: strict, or list ");
        assert!(if module == "bit" { here == "true" } else { here.contains(&refusal) }, "{here}");
    }
    for (name, shown) in
        [("'ffi'", "ffi"), ("'io'", "io"), ("'resty.http'", "resty.http"), ("{}", "table"), ("nil", "nil")]
    {
        let refusal = format!("require '{shown}' not allowed within sandbox (no setting offers it");
        let given = strict.shown(&format!("return require({name})"));
        assert!(given.contains(&refusal), "{given}");
    }
    strict.gives(&[
        ("return require('bit') == bit", "true"),
        ("return require('cjson') == require('cjson')", "true"),
        ("return require('cjson').encode({1, 2})", r#""[1,2]""#),
    ]);
}

/// Scenario: globals written by one snippet and read by another in the same and the next transaction, directly and by a
/// function that outlives its run.
/// Guarantees: no other snippet sees them, and neither does the next run of the same snippet.
#[test]
fn globals_stay_with_their_snippet() {
    let mut bench = Bench::on(&json!({}));
    let counter = bench.load("count = (count or 0) + 1 print = nil return count");
    let path = KeyPath::parse("v", false);
    for _ in 0..3 {
        bench.vm.run_field(counter, &path).expect("sound");
        assert_eq!(bench.members()["v"], "1");
        bench.begin();
    }
    bench.gives(&[
        ("return count", "nothing"),
        ("return type(print)", r#""function""#),
        ("string = nil return type(string)", r#""table""#),
        ("return type(string)", r#""table""#),
        ("local f = function() hidden = 1 return hidden end return f()", "1"),
        ("return hidden", "nothing"),
    ]);
    bench.begin();
    bench.field("a", "kong.ctx.shared.f = function() late = (late or 0) + 1 return late end").expect("sound");
    bench.gives(&[("return kong.ctx.shared.f", "nothing")]);
    bench.field("a", "kong.ctx.shared.f = function() late = (late or 0) + 1 return late end").expect("sound");
    for _ in 0..2 {
        bench.field("b", "return kong.ctx.shared.f()").expect("sound");
        assert_eq!(bench.members()["b"], "1");
    }
    bench.field("c", "return late").expect("sound");
    assert_eq!(bench.members().get("c"), None);
}

/// Scenario: writes to `_G`, to the modules, to `kong`, `ngx` and their members, and to the metatable of strings.
/// Guarantees: each raises an error and changes nothing; `_G` lists the names that Kong's lists.
#[test]
fn modules_are_read_only() {
    let mut bench = Bench::on(&sample());
    for target in [
        "_G.x",
        "_G.print",
        "_G.kong",
        "_G._G",
        "string.upper",
        "string.foo",
        "math.pi",
        "table.insert",
        "bit.band",
        "os.time",
        "coroutine.wrap",
        "jit.os",
        "kong.foo",
        "kong.request",
        "kong.request.get_method",
        "kong.ctx.foo",
        "kong.ctx.shared",
        "kong.log.err",
        "kong.service.response.get_status",
        "kong.node.x",
        "kong.router.x",
        "ngx.foo",
        "ngx.var",
        "ngx.var.foo",
        "ngx.status",
        "ngx.null",
    ] {
        let error = bench.shown(&format!("{target} = 1"));
        assert!(error.contains(":1: ") && error.contains("attempt to"), "{target}: {error}");
    }
    for call in [
        "table.insert(math, 1)",
        "table.clear(string)",
        "table.remove(_G)",
        "table.sort(bit)",
        "table.move({1}, 1, 1, 1, jit)",
    ] {
        let result = bench.shown(call);
        assert!(
            result.starts_with("error: ") || call.starts_with("table.sort") || call.starts_with("table.remove"),
            "{call}: {result}"
        );
    }
    bench.gives(&[
        ("return _G._G == _G", "true"),
        ("return _G.kong == kong and _G.ngx == ngx", "true"),
        ("return _G.string == nil and _G.print == nil and _G.x == nil", "true"),
        ("return ('a'):upper()", r#""A""#),
        ("return kong.request.get_method()", r#""POST""#),
        ("return math.pi > 3", "true"),
    ]);
}

/// Scenario: bit operations on values whose results in LuaJIT are known.
/// Guarantees: the results are the same, signed.
#[test]
fn bit_operations_are_luajits() {
    Bench::on(&json!({})).gives(&[
        ("return bit.tobit(0xffffffff)", "-1"),
        ("return bit.tobit(0x7fffffff)", "2147483647"),
        ("return bit.tobit(0x80000000)", "-2147483648"),
        ("return bit.tobit(2^40 + 1234)", "1234"),
        ("return bit.tobit(-1)", "-1"),
        ("return bit.tobit('0xff')", "255"),
        ("return {bit.tobit(0.5), bit.tobit(1.5), bit.tobit(2.5), bit.tobit(-0.5), bit.tobit(-1.5)}", "[0,2,2,0,-2]"),
        ("return {bit.tobit(1/0), bit.tobit(-1/0), bit.tobit(0/0)}", "[0,0,0]"),
        ("return bit.bnot(0)", "-1"),
        ("return bit.bnot(0x12345678)", "-305419897"),
        ("return bit.band(0x12345678, 0xff)", "120"),
        ("return bit.band(0xf0f0, 0xff00, 0x8000)", "32768"),
        ("return bit.band(7)", "7"),
        ("return bit.bor(1, 2, 4, 8)", "15"),
        ("return bit.bor(0x80000000, 1)", "-2147483647"),
        ("return bit.bxor(0xa5a5f0f0, 0xaa55ff00)", "267390960"),
        ("return bit.lshift(1, 0)", "1"),
        ("return bit.lshift(1, 31)", "-2147483648"),
        ("return bit.lshift(1, 40)", "256"),
        ("return bit.lshift(0x87654321, 12)", "1412567040"),
        ("return bit.rshift(256, 8)", "1"),
        ("return bit.rshift(-256, 8)", "16777215"),
        ("return bit.rshift(0x87654321, 12)", "554580"),
        ("return bit.arshift(-256, 8)", "-1"),
        ("return bit.arshift(0x87654321, 12)", "-493996"),
        ("return bit.arshift(256, 8)", "1"),
        ("return bit.rol(0x12345678, 12)", "1164411171"),
        ("return bit.ror(0x12345678, 12)", "1736516421"),
        ("return bit.bswap(0x12345678)", "2018915346"),
        ("return bit.bswap(0x78563412)", "305419896"),
        ("return bit.tohex(1)", r#""00000001""#),
        ("return bit.tohex(-1)", r#""ffffffff""#),
        ("return bit.tohex(-1, -8)", r#""FFFFFFFF""#),
        ("return bit.tohex(0x87654321, 4)", r#""4321""#),
        ("return bit.tohex(0xab, -2)", r#""AB""#),
        ("return bit.tohex(0x21, 0)", r#""""#),
        ("return bit.tohex(0x21, 9)", r#""000000021""#),
        ("return #bit.tohex(0x21, 99) .. ' ' .. #bit.tohex(1, 255)", r#""99 254""#),
    ]);
    let error = Bench::on(&json!({})).shown("\nreturn bit.band(1, {})");
    assert!(error.starts_with("error: [string \"...\"]:2: bad argument"), "{error}");
}

/// Scenario: OpenResty's table functions.
/// Guarantees: the results equal OpenResty's; errors have the snippet's line.
#[test]
fn table_functions_are_openrestys() {
    let mut bench = Bench::on(&json!({}));
    bench.gives(&[
        ("local t = table.new(4, 2) t.a = 1 t[1] = 2 return #t", "1"),
        ("return #table.new(1e9, 1e9)", "0"),
        ("return #table.new(-5, 0)", "0"),
        ("return #table.new(0/0, 0)", "0"),
        ("return table.nkeys({1, 2, a = 3, b = nil})", "3"),
        ("return table.nkeys({})", "0"),
        ("return table.isarray({})", "true"),
        ("return table.isarray({1, nil, 3})", "true"),
        ("return table.isarray({1, a = 2})", "false"),
        ("return table.isarray({[1.5] = 2})", "false"),
        ("return table.isempty({})", "true"),
        ("return table.isempty({nil, 1})", "false"),
        ("local t = {1, a = 2} table.clear(t) return table.isempty(t)", "true"),
        ("local t = {1, a = {}} local c = table.clone(t) return c ~= t and c.a == t.a", "true"),
        ("return table.getn({1, 2})", "2"),
        ("return table.maxn({[5] = 1})", "5"),
        ("return table.concat({1, 2, 'x'}, '-')", r#""1-2-x""#),
        ("return table.pack(1, nil, 3).n", "3"),
        ("local n = 0 table.foreach({a = 1}, function() n = n + 1 end) return n", "1"),
    ]);
    for call in [
        "table.new()",
        "table.nkeys(1)",
        "table.isarray(nil)",
        "table.isempty('x')",
        "unpack()",
        "unpack('x')",
        "unpack({}, {})",
    ] {
        let error = bench.shown(&format!("\n\nlocal x = {call}"));
        assert!(error.starts_with("error: [string \"...\"]:3: "), "{call}: {error}");
    }
}

/// Scenario: `unpack` within its limits, at them and far beyond.
/// Guarantees: it returns the values or an error, and never more values than the VM's stack holds.
#[test]
fn unpack_is_bounded() {
    let mut bench = Bench::on(&json!({}));
    bench.gives(&[
        ("return {unpack({1, 2, 3})}", "[1,2,3]"),
        ("return {unpack({1, 2, 3}, 2)}", "[2,3]"),
        ("return {unpack({1, 2, 3}, 2, 2)}", "[2]"),
        ("return {table.unpack({1, 2, 3}, -1, 1)}", "[null,null,1]"),
        ("return (select('#', unpack({}, 1, 5)))", "5"),
        ("return (select('#', unpack({}, 5, 1)))", "0"),
        ("return table.unpack == unpack", "true"),
    ]);
    for range in [
        "1, 2^31 - 1",
        "-2^31, 2^31 - 1",
        "1, 1e300",
        "1, 8000",
        "-1e308, 1e308",
        "1, 1/0",
        "0/0, 5",
        "1, 0/0",
        "2^31, 2^31 + 1e6",
    ] {
        let code = format!("return pcall(unpack, {{}}, {range})");
        assert!(["true", "false"].contains(&bench.shown(&code).as_str()), "{range}");
    }
    assert!(bench.shown("return unpack({}, 1, 2^31 - 1)").ends_with(":1: too many results to unpack"));
}

/// Scenario: a pre-function that returns a function, run for several transactions.
/// Guarantees: the chunk runs once and its function for each transaction, with its upvalues kept, as in Kong.
#[test]
fn a_returned_function_runs_in_place_of_its_chunk() {
    let mut bench = Bench::on(&json!({}));
    let snippet = bench.load(
        "local chunks, calls = 0, 0 chunks = chunks + 1
        return function() calls = calls + 1 kong.log.set_serialize_value('n', {chunks, calls}) end",
    );
    for expected in ["[1,1]", "[1,2]", "[1,3]"] {
        bench.begin();
        bench.vm.run_function(snippet).expect("sound");
        assert_eq!(bench.members()["n"], expected);
    }
}

/// Scenario: `kong.ctx.shared`, `kong.ctx.plugin` and `ngx.ctx` across snippets, plugins and transactions.
/// Guarantees: `kong.ctx.shared` and `ngx.ctx` are shared by all snippets, `kong.ctx.plugin` by those of one plugin;
/// all are discarded with the transaction.
#[test]
fn contexts_live_as_long_as_kongs() {
    let mut bench = Bench::on(&json!({"_context": {"shared": {"given": {"a": [1]}}}}));
    let enter = |bench: &Bench, index| bench.vm.enter_plugin(index, &format!("plugin {index}").into());
    enter(&bench, 1);
    bench
        .field("a", "kong.ctx.shared.x = 1 kong.ctx.plugin.x = 2 ngx.ctx.x = 3 return kong.ctx.shared.given")
        .expect("sound");
    assert_eq!(bench.members()["a"], r#"{"a":[1]}"#);
    bench.field("b", "return {kong.ctx.shared.x, kong.ctx.plugin.x, ngx.ctx.x}").expect("sound");
    assert_eq!(bench.members()["b"], "[1,2,3]");
    enter(&bench, 2);
    bench.field("c", "return {kong.ctx.shared.x, kong.ctx.plugin.x or 0, ngx.ctx.x}").expect("sound");
    assert_eq!(bench.members()["c"], "[1,0,3]");
    enter(&bench, 1);
    bench.begin();
    bench.field("d", "return {kong.ctx.shared.x or 0, kong.ctx.plugin.x or 0, ngx.ctx.x or 0}").expect("sound");
    assert_eq!(bench.members()["d"], "[0,0,0]");
    assert_eq!(bench.shown("kong.ctx.shared.given = nil return kong.ctx.shared.given"), "nothing");
    assert_eq!(bench.shown("return kong.ctx.shared.given.a[1]"), "1");
}

/// Scenario: calls of functions that Luau's compiler can emit as instructions and that snippets must not have:
/// directly, through a local variable and through a local library.
/// Guarantees: each fails as a call of nil.
#[test]
fn no_function_is_reached_past_the_environment() {
    let mut bench = Bench::on(&json!({}));
    let calls = [
        ("", "setmetatable", "{}, {}"),
        ("", "getmetatable", "''"),
        ("", "rawset", "{}, 'a', 1"),
        ("", "rawget", "{}, 'a'"),
        ("", "rawequal", "1, 1"),
        ("", "rawlen", "{}"),
        ("", "typeof", "1"),
        ("math", "clamp", "5, 1, 2"),
        ("math", "round", "1.5"),
        ("math", "sign", "1.5"),
        ("math", "lerp", "1, 2, 0.5"),
        ("math", "isnan", "1"),
        ("math", "isinf", "1"),
        ("math", "isfinite", "1"),
        ("bit32", "band", "7, 2"),
        ("bit32", "extract", "7, 2"),
        ("bit32", "countlz", "7"),
        ("bit32", "byteswap", "7"),
        ("vector", "create", "1, 2, 3"),
        ("integer", "create", "1"),
        ("buffer", "len", "''"),
    ];
    for (library, name, arguments) in calls {
        let name = full(library, name);
        let mut forms = vec![format!("return {name}({arguments})"), format!("local f = {name} return f({arguments})")];
        if let Some((library, member)) = name.split_once('.') {
            forms.push(format!("local l = {library} return l.{member}({arguments})"));
            forms.push(format!("local l = {library} or {{}} return l.{member}({arguments})"));
        }
        for form in forms {
            let shown = bench.shown(&form);
            assert!(shown.starts_with("error: ") && shown.contains("nil"), "{form}: {shown}");
        }
    }
}

/// Scenario: what only the profile `strict` has, used in `sandbox`, and used in `strict`.
/// Guarantees: the error names the settings that allow it; where they do, it works.
#[test]
fn errors_name_the_setting_that_allows_a_name() {
    let (mut sandbox, mut strict) = (of_profile(Profile::Sandbox, &[], &[]), of_profile(Profile::Strict, &[], &[]));
    for (code, name) in [
        ("return os.date('%Y', 0)", "os.date"),
        ("return ('x'):rep(2)", "string.rep"),
        ("return string.rep('x', 2)", "string.rep"),
        ("local ok, e = pcall(function() return os.date('x') end) error(e, 0)", "os.date"),
    ] {
        let given = sandbox.shown(code);
        let help = format!(
            "(a nil value): set untrusted_lua: strict, or list {name} in untrusted_lua_sandbox_environment, to allow it"
        );
        assert!(given.ends_with(&help), "{code}: {given}");
        assert!(!strict.shown(code).contains("nil value"), "{code}");
    }
    assert!(!sandbox.shown("local t = {} return t.date()").contains("untrusted_lua_sandbox_requires"));
}
