use super::*;

/// Scenario: each function of `ngx.re` with valid arguments.
/// Guarantees: the results equal OpenResty's.
#[test]
fn results_equal_openrestys() {
    Bench::on(&sample()).gives(&[
        (r"local m = ngx.re.match('hello, 1234', '([0-9])[0-9]+') return {m[0], m[1]}", r#"["1234","1"]"#),
        (r"local m = ngx.re.match('hello', '(x)|(e)') return {m[0], tostring(m[1]), m[2]}", r#"["e","false","e"]"#),
        (r"local m = ngx.re.match('a 2024', [[(?<year>\d+)]], 'jo') return m.year .. m[1]", r#""20242024""#),
        (r"return ngx.re.match('abc', 'x') == nil", "true"),
        (r"return select(2, ngx.re.match('abc', '(')) ~= nil", "true"),
        (r"local c = {pos = 3} local m = ngx.re.match('1, 2, 3', '[0-9]', '', c) return {m[0], c.pos}", r#"["2",5]"#),
        (r"local t = {} local m = ngx.re.match('ab', 'b', 'jo', nil, t) return m == t and t[0]", r#""b""#),
        (r"return {ngx.re.find('hello, 1234', '[0-9]+')}", "[8,11]"),
        (r"return {ngx.re.find('ab12', '([a-z])([0-9])', '', nil, 2)}", "[3,3]"),
        (r"return (ngx.re.find('ab', 'x'))", "nothing"),
        (
            r"local t = {} for m in ngx.re.gmatch('a1 b2', [[(\w)(\d)]]) do t[#t + 1] = m[1] .. m[2] end return t",
            r#"["a1","b2"]"#,
        ),
        (r"local n = 0 for m in ngx.re.gmatch('aé', '', 'u') do n = n + 1 end return n", "3"),
        (r"return {ngx.re.sub('hello, 1234', '([0-9])[0-9]', '[$0][$1]')}", r#"["hello, [12][1]34",1]"#),
        (r"return {ngx.re.gsub('hello, world', '([a-z])[a-z]+', '${1}.', 'i')}", r#"["h., w.",2]"#),
        (r"return (ngx.re.gsub('a$b', [[\$]], '$$$$'))", r#""a$$b""#),
        (r"return (ngx.re.gsub('abc', '', '-'))", r#""-a-b-c-""#),
        (r"return (ngx.re.gsub('a1b2', [[\d]], function(m) return '<' .. m[0] .. '>' end))", r#""a<1>b<2>""#),
        (r"return {ngx.re.gsub('abc', 'x', 'y')}", r#"["abc",0]"#),
        (r"return select(3, ngx.re.sub('abc', 'a', '$x')) ~= nil", "true"),
        (r"return ngx.re.match(12345, 3)[0]", r#""3""#),
        (r"return ngx.re.match('abc', 'B', 'i')[0]", r#""b""#),
        (r"return select(2, pcall(ngx.re.match, 'abc', 'b', 'Q'))", r#""unknown flag \"Q\" (flags \"Q\")""#),
        (r"return select(2, pcall(ngx.re.gsub, 'abc', 'b', '', 'Q'))", r#""unknown flag \"Q\" (flags \"Q\")""#),
        (r"return {ngx.re.find('abc', '(b)', 'jo', nil, -1)}", "[2,2]"),
        (r"return select(3, ngx.re.find('abc', '(b)', 'jo', nil, 2))", r#""nth out of bound""#),
        (r"return (ngx.re.sub('abc', 'b', '[$1]'))", r#""a[]c""#),
        (r"return (ngx.re.gsub('abc', 'b', function() return nil end))", r#""anilc""#),
        (r"return select(3, ngx.re.gsub('abc', 'b', '$'))", r#""failed to compile the replacement template""#),
        (r"return ngx.re.match(kong.request.get_header('user-agent'), [[^(\w+)/(\d+)]], 'jo')[2]", r#""8""#),
    ]);
}

/// Scenario: `require "ngx.re"` in a profile that allows it.
/// Guarantees: `split` behaves as in lua-resty-core.
#[test]
fn split_equals_lua_resty_cores() {
    let dialect = Dialect { profile: Profile::Strict, ..Dialect::default() };
    Bench::with(&sample(), Options { dialect, ..Options::default() }).gives(&[
        (r"return require('ngx.re').split('a,b,c,d', ',')", r#"["a","b","c","d"]"#),
        (r"return require('ngx.re').split('a,b,c,d', ',', nil, nil, 2)", r#"["a","b,c,d"]"#),
        (r"return require('ngx.re').split('a,b,c', '(,)')", r#"["a",",","b",",","c"]"#),
        (r"return require('ngx.re').split('a;b', [[\s*[;,]\s*]], 'jo')", r#"["a","b"]"#),
        (r"return require('ngx.re').split('abc', '')", r#"["a","b","c"]"#),
        (r"return #require('ngx.re').split('', ',')", "0"),
        (r"return require('ngx.re').split('a,b,,c,,', ',')", r#"["a","b","","c"]"#),
        (r"return #require('ngx.re').split(',,', ',')", "0"),
        (r"return require('ngx.re').split('a,b,', ',', nil, nil, 10)", r#"["a","b",""]"#),
        (r"return require('ngx.re').opt('jit_stack_size', 1)", "nothing"),
    ]);
}

/// Scenario: endless searches in every function, on texts of up to a mebibyte.
/// Guarantees: each is stopped by the deadline or rejected, and the next snippet runs.
#[test]
fn searches_are_stopped() {
    let attacks = [
        "return ngx.re.match(s, '(a*)*b')",
        "return ngx.re.match(s, '(a|aa)+$b', 'jo')",
        "return ngx.re.find(s, '(?=(a*)*b)')",
        "for m in ngx.re.gmatch(s, '(?:a|aa)*?b') do end",
        "return ngx.re.gsub(s, '(a+)+b', 'x')",
        "return ngx.re.gsub(s, 'a', function() while true do end end)",
        "while true do ngx.re.gsub(s, 'a', '$0$0') end",
        "while true do pcall(ngx.re.match, s, '(a*)*b') end",
        "while true do ngx.re.match('a', '(' .. math.random() .. ')') end",
        "return ngx.re.match(s, '.*.*.*.*.*b', 's')",
        "return require('ngx.re').split(s, '(?:a|aa)*?b')",
    ];
    in_time(move || {
        let limits = Limits { deadline: Duration::from_millis(20), ..Limits::default() };
        let dialect = Dialect { profile: Profile::Strict, ..Dialect::default() };
        let mut bench = Bench::with(&sample(), Options { limits, dialect, ..Options::default() });
        for attack in attacks {
            let began = cpu_time();
            let code = format!("local s = 'a' for i = 1, 20 do s = s .. s end {attack}");
            let result = bench.eval(&code);
            let took = cpu_time() - began;
            assert!(took < Duration::from_secs(5), "{attack}: {took:?}");
            let stopped = matches!(&result, Err(error) if matches!(error.stop, Some(Stop::Deadline | Stop::Memory)));
            let refused = matches!(&result, Ok(nothing) if nothing == "nothing");
            assert!(stopped || refused, "{attack}: {result:?}");
            assert_eq!(bench.shown("return ngx.re.match('ab', 'b')[0]"), r#""b""#, "{attack}");
        }
    });
}
