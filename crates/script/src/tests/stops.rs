use std::time::Instant;

use super::*;

/// Scenario: endless snippets, each evading the deadline in a different way.
/// Guarantees: each is stopped within a short time whatever it catches, and the next snippet runs.
#[test]
fn nothing_outlives_its_deadline() {
    let doubled = |times: u32| format!("local s = 'a' for i = 1, {times} do s = s .. s end ");
    let attacks = [
        "while true do end".to_owned(),
        "for i = 1, math.huge do end".to_owned(),
        "repeat until false".to_owned(),
        "while true do pcall(function() while true do end end) end".to_owned(),
        "while true do pcall(error) end".to_owned(),
        "local function f() return pcall(f) end while true do f() end".to_owned(),
        "coroutine.wrap(function() while true do end end)()".to_owned(),
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end".to_owned(),
        "while true do local c = coroutine.wrap(function() pcall(coroutine.yield) while true do end end) c() pcall(c) end"
            .to_owned(),
        "xpcall(function() while true do end end, function() while true do end end)".to_owned(),
        "while true do xpcall(error, function() error('x') end) end".to_owned(),
        format!("{}return s:find('(a-)(.-).-.-.-.-.-%1b$')", doubled(14)),
        format!("{}return s:match('^(a*)a*(a*)a*(a*)a*%1b$')", doubled(14)),
        format!("{}for _ in s:gmatch('(a-).-.-.-.-%1b') do end", doubled(14)),
        "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end".to_owned(),
        "local t = {} for i = 1, 2e4 do t[i] = i % 7 end table.sort(t, function() while true do end end)".to_owned(),
        "while true do pcall(table.sort, {3, 1, 2}, function() return true end) end".to_owned(),
        "('aaa'):gsub('.', function() while true do end end)".to_owned(),
        "local function f() return f() + 1 end while true do pcall(f) end".to_owned(),
        "local t = {} table.foreach({1}, function() while true do end end)".to_owned(),
        "while true do tostring({}) end".to_owned(),
        "while true do kong.request.get_headers() end".to_owned(),
        "while true do kong.log.set_serialize_value('a', 1) end".to_owned(),
        "while true do kong.log.err('x') end".to_owned(),
        "while true do pcall(kong.log.set_serialize_value, 1) end".to_owned(),
    ];
    in_time(move || {
        let limits = Limits { deadline: Duration::from_millis(20), ..Limits::default() };
        let mut bench = Bench::with(&sample(), Options { limits, ..Options::default() });
        for attack in attacks {
            let (began, cpu) = (Instant::now(), cpu_time());
            let error = bench.eval(&attack).expect_err(&attack);
            let took = cpu_time() - cpu;
            assert!(took < Duration::from_secs(5), "{attack}: {took:?}");
            if error.stop != Some(Stop::Memory) || !attack.contains("s = s .. s end end) end") {
                assert_eq!(error.stop, Some(Stop::Deadline), "{attack}: {error}");
                assert_eq!(error.message, "stopped after 20ms: the snippet's time is over");
                assert!(began.elapsed() >= Duration::from_millis(20), "{attack}: {:?}", began.elapsed());
            }
            assert_eq!(bench.shown("return 1 + 1"), "2", "{attack}");
        }
    });
}

/// Scenario: recursions that reach the memory limit while Luau makes room for one more call, below `pcall` and `xpcall`,
/// at 300 different fillings of the memory.
/// Guarantees: each is stopped, and the process survives.
#[test]
fn memory_ends_within_a_call() {
    in_time(move || {
        for filling in 0..300 {
            let attack = format!(
                "local t = {{}} for i = 1, {filling} do t[i] = {{i}} end
                 local function f(...) return f(1, ...) + 1 end
                 local function g(a, b, c) local d, e, h, i, j = {{}}, a, b, c, 1 return g(d, e, h) + i + j end
                 local handler = function(e) local t = {{}} for i = 1, 2000 do t[i] = {{e}} end return t end
                 {}",
                ["pcall(f)", "pcall(g)", "xpcall(f, handler)", "xpcall(g, handler)"][filling % 4]
            );
            let limits = Limits { memory: (1 << 20) + filling * 1000, ..Limits::default() };
            let mut bench = Bench::with(&sample(), Options { limits, ..Options::default() });
            assert_eq!(bench.eval(&attack).expect_err(&attack).stop, Some(Stop::Memory), "{filling}");
        }
    });
}

/// Scenario: single calls of library functions whose cost is quadratic in their arguments, or depends on a number that
/// is cheap to write.
/// Guarantees: each gives an error or a result within a short time.
#[test]
fn no_single_call_takes_long() {
    let doubled = |times: u32| format!("local s = 'a' for i = 1, {times} do s = s .. s end ");
    let calls = [
        format!("{}return s:find(s:sub(1, #s / 2) .. 'b', 1, true)", doubled(22)),
        format!("{}return s:find(s:sub(1, #s / 2) .. 'b')", doubled(22)),
        format!("{}return s:find('[' .. ('b' .. s):gsub('a', 'b') .. 'a]*x')", doubled(18)),
        format!("{}local c = '[' .. s:gsub('a', 'b') .. 'a]' return s:match(c .. '+x')", doubled(18)),
        format!("{}local c = '[' .. s:gsub('a', 'b') .. 'a]' return s:gsub(c .. '*x', '')", doubled(18)),
        format!("{}local c = '[' .. s:gsub('a', 'b') .. 'a]' return s:gmatch(c .. '*x')()", doubled(18)),
        format!("{}return s:find('%f[' .. s .. 'b]b')", doubled(18)),
        format!("{}return s:find('%b()')", doubled(22)),
        "return table.move({}, 1, 2^31 - 2, 2)".to_owned(),
        "return table.move({}, 1, 2e9, 2, {})".to_owned(),
        "return table.move({1}, -1e9, 1e9, 2, {})".to_owned(),
        "return table.concat({}, '', 1, 2e9)".to_owned(),
        "return pcall(table.insert, {}, 2^31, 1)".to_owned(),
        "return table.new(1e9, 1e9)".to_owned(),
        "return pcall(string.format, '%99.99f', 1e308)".to_owned(),
        "return select(-1, unpack({}, 1, 7000))".to_owned(),
        "local t = {} t[2^30] = 1 return #t + table.maxn(t)".to_owned(),
        "local t = {} for i = 1, 7000 do t[i] = i end return bit.bxor(unpack(t))".to_owned(),
    ];
    for call in calls {
        in_time(move || {
            let limits = Limits { deadline: Duration::from_millis(20), ..Limits::default() };
            let mut bench = Bench::with(&json!({}), Options { limits, ..Options::default() });
            let began = cpu_time();
            let result = bench.shown(&call);
            let took = cpu_time() - began;
            assert!(took < Duration::from_secs(5), "{call}: {result} after {took:?}");
            assert_eq!(bench.shown("return 1 + 1"), "2", "{call}");
        });
    }
}

/// Scenario: `upper`, `lower`, `reverse` and `concat` on texts of up to twice the part that they do at once, and on longer ones.
/// Guarantees: the results are those of the whole; texts of more than 8 MiB are an error; other arguments give Luau's errors.
#[test]
fn long_texts_are_made_in_parts() {
    in_time(|| {
        let long = Duration::from_secs(60);
        let limits = Limits { deadline: long, plugin_deadline: long, memory: 512 << 20, ..Limits::default() };
        let mut bench = Bench::with(&json!({}), Options { limits, ..Options::default() });
        for length in [0, 1, 131_071, 131_072, 131_073, 262_143, 262_144, 262_145] {
            let code = format!(
                "local text = ('aBc'):sub(1, {length}) while #text < {length} do text = (text .. text):sub(1, {length}) end \
                 local upper, bytes = {{}}, {{}} \
                 for i = 1, #text do upper[i] = text:sub(i, i):upper() bytes[#text + 1 - i] = text:sub(i, i) end \
                 return {{text:upper() == table.concat(upper), text:lower():upper() == text:upper(), \
                 text:reverse() == table.concat(bytes), #table.concat({{text, 1, text}}, ',')}}"
            );
            assert_eq!(bench.shown(&code), format!("[true,true,true,{}]", 2 * length + 3), "{length}");
        }
        let long = "local s = 'a' for i = 1, 23 do s = s .. s end s = s .. 'a' ";
        for (call, problem) in [
            (format!("{long} return s:upper()"), "the text is larger than 8388608 bytes"),
            (format!("{long} return table.concat({{s}})"), "result of 'concat' is larger than 8388608 bytes"),
            (
                "return table.concat({1, {}}, '', 1, 2e9)".to_owned(),
                "invalid value (table) at index 2 in table for 'concat'",
            ),
            ("return table.concat({})".to_owned(), ""),
            ("return ('x').upper()".to_owned(), "bad argument #1 to 'upper' (string expected, got no value)"),
            ("return ('x').upper(5)".to_owned(), "5"),
        ] {
            let shown = bench.shown(&call);
            assert!(shown.contains(problem), "{call}: {shown}");
        }
    });
}

/// Scenario: the patterns with which people trim and split, on 64 kB of blanks with a letter at either end or none; Luau's own
/// search takes seconds.
/// Guarantees: each ends within the time of one snippet, with the right result; so does a function as replacement.
#[test]
fn trimming_takes_linear_time() {
    let calls = [
        ("return #s:gsub('%s+$', '')", "65538"),
        ("return #(s .. ' '):gsub('%s*$', '')", "65538"),
        ("return #s:match('^%s*(.-)%s*$')", "65538"),
        ("return #s:match('^(.-)%s*$')", "65538"),
        ("return #s:match('^%s*(.*%S)')", "65538"),
        ("return #blanks:match('^%s*(.-)%s*$')", "0"),
        ("return blanks:find('%s+x') == nil", "true"),
        ("return #s:gsub('%s*,%s*', ',')", "65538"),
        ("local n = 0 for part in s:gmatch('(.-)%s*x') do n = n + #part end return n", "0"),
        ("return (select(2, s:gsub('%s*b', function(match) return #match end)))", "1"),
        ("return (s:gsub('(%a?)%s*b', {a = 'c'}))", "\"c\""),
    ];
    in_time(move || {
        let limits = Limits {
            deadline: Duration::from_millis(300),
            plugin_deadline: Duration::from_secs(60),
            ..Limits::default()
        };
        let mut bench = Bench::with(&json!({}), Options { limits, ..Options::default() });
        for (call, expected) in calls {
            let code = format!(
                "local blanks = ' ' for i = 1, 16 do blanks = blanks .. blanks end local s = 'a' .. blanks .. 'b' {call}"
            );
            assert_eq!(bench.shown(&code), expected, "{call}");
        }
    });
}

/// Scenario: a short snippet starts after the clock has been idle for longer than the deadline; then an endless one.
/// Guarantees: the short snippet is not stopped; the endless one is.
#[test]
fn a_stale_clock_stops_no_short_snippet() {
    let clock = Clock::start().expect("a thread");
    let limits = Limits { deadline: Duration::from_millis(20), ..Limits::default() };
    let mut vm = Vm::new(&Options { limits, ..Options::default() }).expect("room for a VM");
    let mut load = |code: &str| vm.load(&compile(code, &SourceLimits::default()).expect("sound")).expect("room");
    let (short, endless) = (load("local n = 0 for i = 1, 1000 do n = n + i end return n"), load("while true do end"));
    let path = KeyPath::parse("v", false);
    let begin = |vm: &Vm| vm.begin(Message::new(parse(&json!({})), Style::default()));
    for _ in 0..3 {
        // Without a guard the clock stands still.
        std::thread::sleep(Duration::from_millis(60));
        let _busy = clock.busy();
        begin(&vm);
        assert_eq!(vm.run_field(short, &path), Ok(()));
        let (began, cpu) = (Instant::now(), cpu_time());
        assert_eq!(vm.run_field(endless, &path).expect_err("endless").stop, Some(Stop::Deadline));
        assert!(began.elapsed() >= Duration::from_millis(20));
        assert!(cpu_time() - cpu < Duration::from_secs(2));
    }
}

/// Scenario: memory bombs of several kinds.
/// Guarantees: each is stopped by the limit or the deadline, the VM never holds more than the limit, and modest
/// snippets run afterwards.
#[test]
fn memory_is_bounded() {
    in_time(|| {
        let memory = 16 << 20;
        let limits = Limits {
            // Long enough that on a busy machine, too, each bomb reaches the memory limit first.
            deadline: Duration::from_secs(30),
            plugin_deadline: Duration::from_secs(60),
            memory,
            ..Limits::default()
        };
        let mut bench = Bench::with(&sample(), Options { limits, ..Options::default() });
        for bomb in [
            "local s = 'x' while true do s = s .. s end",
            "local t = {} while true do t[#t + 1] = {} end",
            "local t = {} for i = 1, 1e9 do t[i] = ('%d'):format(i) end",
            "local s = 'x' for i = 1, 20 do s = s .. s end return (s:gsub('.', s))",
            "local s = 'x' for i = 1, 20 do s = s .. s end local t = {} for i = 1, 100 do t[i] = s .. i end return table.concat(t)",
            "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
            "local t = {} while true do t[#t + 1] = kong.request.get_headers() end",
            "local t = kong.ctx.shared while true do t[#t + 1] = {} end",
        ] {
            let error = bench.eval(bomb).expect_err(bomb);
            assert_eq!(
                (error.stop, error.message.ends_with("not enough memory")),
                (Some(Stop::Memory), true),
                "{bomb}: {error}"
            );
            assert!(bench.vm.used_memory() <= memory + (64 << 10), "{bomb}");
            bench.begin();
            bench.vm.end();
            assert_eq!(bench.shown("local t = {} for i = 1, 1000 do t[i] = {i} end return #t"), "1000", "{bomb}");
        }
    });
}

/// Scenario: endless recursion in Lua, through host functions, through pattern callbacks and through nested coroutines.
/// Guarantees: each gives an error that can be caught, and the process survives.
#[test]
fn recursion_is_bounded() {
    in_time(|| {
        let mut bench = Bench::on(&sample());
        for code in [
            "local function f() return 1 + f() end return f()",
            "local function f() return (('x'):gsub('.', f)) end return f()",
            "local function f() local c = coroutine.wrap(f) return c() end return f()",
            "local function f() table.sort({2, 1}, f) end return f()",
            "local function f() local ok, e = pcall(f) error(e, 0) end return f()",
            "local function f() table.foreach({1}, f) end f()",
        ] {
            let error = bench.shown(code);
            assert!(error.starts_with("error: "), "{code}: {error}");
            assert_eq!(bench.shown("return 1"), "1");
        }
    });
}

/// Scenario: all kinds of errors that a snippet can raise.
/// Guarantees: the error has Lua's text without the VM's traceback, and the line if Lua reports one.
#[test]
fn errors_say_what_and_where() {
    let mut bench = Bench::on(&json!({}));
    for (code, message, line) in [
        ("error('boom')", r#"[string "error('boom')"]:1: boom"#, Some(1)),
        ("error('boom', 0)", "boom", None),
        ("\n\nerror('boom')", r#"[string "..."]:3: boom"#, Some(3)),
        ("assert(nil, 'msg')", r#"[string "assert(nil, 'msg')"]:1: msg"#, Some(1)),
        ("\nreturn nope.x", r#"[string "..."]:2: attempt to index global 'nope' (a nil value)"#, Some(2)),
        ("nope()", r#"[string "nope()"]:1: attempt to call global 'nope' (a nil value)"#, Some(1)),
        (
            "return kong.nope.x",
            r#"[string "return kong.nope.x"]:1: attempt to index field 'nope' (a nil value)"#,
            Some(1),
        ),
        ("\nreturn kong.request.get_header(1)", r#"[string "..."]:2: header name must be a string"#, Some(2)),
        ("\nreturn ('x'):find('[')", r#"[string "..."]:2: malformed pattern (missing ']')"#, Some(2)),
        ("\nreturn ('x'):gsub(')', '')", r#"[string "..."]:2: invalid pattern capture"#, Some(2)),
        ("\nreturn ('x'):match('%')", r#"[string "..."]:2: malformed pattern (ends with '%')"#, Some(2)),
        ("\nfor x in ('x'):gmatch('%b') do end", r#"[string "..."]:2: unbalanced pattern"#, Some(2)),
    ] {
        let error = bench.eval(code).expect_err(code);
        assert_eq!((error.message.as_str(), error.line, error.stop), (message, line, None), "{code}");
    }
    for code in ["error({code = 1})", "error()", "error(nil)", "error(print)", "error(ngx.null)", "coroutine.yield(1)"]
    {
        let error = bench.eval(code).expect_err(code);
        assert!(!error.message.is_empty() && !error.message.contains("traceback"), "{code}: {error:?}");
    }
    bench.gives(&[
        ("local ok, e = pcall(error, {code = 7}) return e.code", "7"),
        (
            "local ok, e = pcall(function() error('x') end) return e",
            r#""[string \"local ok, e = pcall(function() error('x') end...\"]:1: x""#,
        ),
        ("return select(2, pcall(kong.request.get_header))", r#""header name must be a string""#),
        (
            "local _, e = xpcall(kong.request.get_header, function(e) return e .. '!' end, 1) return e",
            r#""header name must be a string!""#,
        ),
        (
            "return select(2, coroutine.resume(coroutine.create(kong.request.get_header)))",
            r#""header name must be a string""#,
        ),
        ("return select(2, pcall(error, ngx.null))", "null"),
        ("return {pcall(unpack, {1, nil, 3}, 1, 3)}", "[true,1,null,3]"),
        ("return select('#', pcall(error))", "2"),
    ]);
}
