//! What snippets cannot do in the running program. A hostile snippet costs at most its own field.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::service::{Home, Service, TcpPeer, configuration, transaction};

/// One line of `try --json`.
struct Tried {
    message: Value,
    errors: Vec<(String, String)>,
}

/// Runs `fields` on one transaction after another, in one process with one worker.
fn try_fields(home: &Home, fields: &Value, transactions: &[Value]) -> Vec<Tried> {
    let config = json!({"path": "/tmp/unused.log", "custom_fields_by_lua": fields});
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": config}])));
    let input: String = transactions.iter().map(|transaction| format!("{transaction}\n")).collect();
    let ended = home.run(&["try", "--json", "kong.yml"], input.as_bytes());
    let lines: Vec<_> = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    assert_eq!(lines.len(), transactions.len(), "{}\n{}", ended.stdout, ended.stderr);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let errors = |line: &Value| {
        line["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (text(&error["field"]), text(&error["message"])))
            .collect()
    };
    lines.iter().map(|line| Tried { message: line["message"].clone(), errors: errors(line) }).collect()
}

/// Fails unless each of these expressions is true.
#[track_caller]
fn assert_true(expressions: &[&str]) {
    let names: Vec<_> = (0..expressions.len()).map(|number| format!("f{number}")).collect();
    let fields: Map<String, Value> =
        names.iter().zip(expressions).map(|(name, text)| (name.clone(), format!("return {text}").into())).collect();
    let tried = try_fields(&Home::new(), &fields.into(), &[transaction(1)]);
    assert_eq!(tried[0].errors, []);
    let wrong: Vec<_> = names
        .iter()
        .zip(expressions)
        .filter(|(name, _)| tried[0].message[name.as_str()] != true)
        .map(|(_, text)| text)
        .collect();
    assert!(wrong.is_empty(), "not true: {wrong:#?}");
}

/// Scenario: every name that a snippet must not have, as a global, a member, and a method of a string.
/// Guarantees: none of them exists; unavailable modules fail at any use.
#[test]
fn absent_names() {
    let names = [
        "getmetatable",
        "setmetatable",
        "rawget",
        "rawset",
        "rawequal",
        "rawlen",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "module",
        "package",
        "debug",
        "collectgarbage",
        "gcinfo",
        "newproxy",
        "getfenv",
        "setfenv",
        "ffi",
        "utf8",
        "vector",
        "buffer",
        "string.rep",
        "string.dump",
        "string.pack",
        "math.randomseed",
        "os.getenv",
        "os.execute",
        "os.exit",
        "os.remove",
        "os.rename",
        "os.tmpname",
        "os.setlocale",
        "(io or {}).open",
        "(io or {}).popen",
        "(io or {}).stdout",
        "('x').rep",
        "('x').dump",
        "table.freeze",
    ];
    let expressions: Vec<_> = names.iter().map(|name| format!("{name} == nil")).collect();
    assert_true(&expressions.iter().map(String::as_str).collect::<Vec<_>>());
    assert_true(&[
        "pcall(function() return ('x'):rep(3) end) == false",
        "pcall(function() return ngx.timer.at(0, print) end) == false",
        "pcall(function() return ngx.socket.tcp() end) == false",
        "pcall(function() return ngx.shared.cache:get('x') end) == false",
        "pcall(ngx.exit, 0) == false",
        "pcall(ngx.exec, '/') == false",
        "pcall(function() return kong.db.connector end) == false",
        "pcall(function() return kong.dns.toip end) == false",
        "pcall(function() return kong.worker_events.post end) == false",
        "pcall(function() return kong.vault.update({}) end) == false",
        "kong.vault.get('{vault://' .. 'env/home}') == nil",
        "kong.cache.mlcache == nil and kong.cache.cluster_events == nil",
        "pcall(function() return ('x').rep('x', 1e9) end) == false",
    ]);
}

/// Scenario: the names on Kong's list.
/// Guarantees: they exist and work.
#[test]
fn present_names() {
    assert_true(&[
        "type(assert) == 'function' and type(error) == 'function' and type(next) == 'function'",
        "select('#', 1, 2, 3) == 3 and tonumber('0x10') == 16 and tostring(nil) == 'nil'",
        "type(xpcall) == 'function' and pcall(error, 'x') == false",
        "bit.band(0xff, 0x0f) == 15 and bit.tohex(255) == '000000ff' and bit.lshift(1, 4) == 16",
        "coroutine.wrap(function() coroutine.yield(7) end)() == 7",
        "math.floor(2.5) == 2 and math.random() < 1 and math.huge > 1e300",
        "type(os.time()) == 'number' and type(os.clock()) == 'number' and os.difftime(3, 1) == 2",
        "('%d|%s'):format(3, 'x') == '3|x' and ('abc'):sub(2, 2) == 'b' and ('a'):upper() == 'A'",
        "table.concat({1, 2, 3}, ',') == '1,2,3' and unpack({1, 2}) == 1",
        // Long enough for the algorithm for long texts.
        "(function() local s = 'ab' for _ = 1, 9 do s = s .. s end local t = s:sub(3) .. 'c' s = s .. 'c' \
         local from, to = s:find(t, 1, true) return from == 3 and to == #s and s:find(t) == 3 and s:find(t, -#t) == 3 \
         and s:find(t, 4, true) == nil and s:find(t, #s + 2, true) == nil end)()",
        "#table.new(4, 0) == 0 and table.nkeys({a = 1, b = 2}) == 2 and table.isarray({1, 2}) and table.isempty({})",
        "ngx.decode_base64(ngx.encode_base64('x')) == 'x' and ngx.time() > 1e9 and ngx.null ~= nil",
        "kong.request.get_method() == 'GET' and kong.response.get_status() == 200 and kong.client.get_ip() == '203.0.113.7'",
    ]);
}

/// Scenario: reads and writes of `_G`; writes to modules, their functions and the environment's tables.
/// Guarantees: `_G` gives no access, and nothing shared can be changed.
#[test]
fn nothing_shared_can_be_changed() {
    let refused = |statement: &str| format!("pcall(function() {statement} end) == false");
    let expressions: Vec<_> = [
        "string.upper = nil",
        "string.evil = 1",
        "math.pi = 3",
        "table.insert = nil",
        "os.time = nil",
        "bit.band = nil",
        "coroutine.wrap = nil",
        "kong.request = {}",
        "kong.evil = 1",
        "kong.request.get_method = function() return 'EVIL' end",
        "kong.response.get_status = nil",
        "kong.log.set_serialize_value = nil",
        "ngx.now = nil",
        "ngx.evil = 1",
        "table.insert(string, 1)",
        "table.clear(string)",
        "table.sort(kong)",
    ]
    .iter()
    .map(|statement| refused(statement))
    .collect();
    assert_true(&expressions.iter().map(String::as_str).collect::<Vec<_>>());
    assert_true(&[
        "_G == nil or (_G.load == nil and _G.getmetatable == nil and _G.string == nil and _G.debug == nil)",
        "kong.request.get_method() == 'GET' and string.upper('a') == 'A'",
    ]);
}

/// Scenario: globals, `_G`, functions and the string library are overwritten by one field, by pre-function too, and
/// read by the next field and in the next transaction.
/// Guarantees: no snippet sees what another one wrote, except through `kong.ctx.shared` within one transaction.
#[test]
fn nothing_leaks() {
    let read = "return tostring(x) .. tostring(counter) .. type(print) .. type(string) .. tostring(_G and _G.x) .. tostring(kong.ctx.shared.x)";
    let fields = json!({
        "before": read,
        "write": "x = 1 counter = (counter or 0) + 1 print = nil string = nil pcall(function() _G.x = 1 end) kong.ctx.shared.x = 5 return counter",
        "after": read,
    });
    let tried = try_fields(&Home::new().set("LOGPHASE_WORKERS", "1"), &fields, &[transaction(1), transaction(2)]);
    for one in tried {
        assert_eq!(one.errors, []);
        assert_eq!(one.message["before"], "nilnilfunctiontablenilnil");
        assert_eq!(one.message["write"], 1);
        assert_eq!(one.message["after"], "nilnilfunctiontablenil5");
    }
}

/// Endless or greedy snippets, one of each kind.
const ATTACKS: &[(&str, &str)] = &[
    ("plain", "while true do end"),
    ("empty_repeat", "repeat until false"),
    ("pcall", "while true do pcall(function() while true do end end) end"),
    ("pcall_chain", "local function f() pcall(f) f() end f()"),
    ("xpcall", "while true do xpcall(function() error('x') end, function() while true do end end) end"),
    ("coroutine", "coroutine.wrap(function() while true do end end)()"),
    (
        "coroutine_pcall",
        "while true do pcall(coroutine.wrap(function() while true do pcall(function() while true do end end) end end)) end",
    ),
    ("coroutine_many", "local t = {} while true do t[#t + 1] = coroutine.create(function() while true do end end) end"),
    ("pattern", "local s = 'a' for _ = 1, 14 do s = s .. s end return s:find('(a-).-.-.-.-.-%1b')"),
    ("gsub", "local s = 'a' for _ = 1, 14 do s = s .. s end while true do s:gsub('.', function() end) end"),
    ("sort", "local t = {} for i = 1, 1e6 do t[i] = i end table.sort(t, function() while true do end end)"),
    ("recursion", "local function f() return f() + 1 end return f()"),
    ("tail_call", "local function f() return f() end return f()"),
    ("doubling", "local s = 'x' while true do s = s .. s end"),
    ("doubling_pcall", "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end"),
    ("table", "local t = {} while true do t[#t + 1] = {t} end"),
    ("table_new", "local t = {} while true do t[#t + 1] = table.new(1e6, 1e6) end"),
    (
        "concat",
        "local t = {} for i = 1, 1e5 do t[i] = 'xxxxxxxxxx' end local s = table.concat(t) while true do s = s .. table.concat(t) end",
    ),
    ("format", "local s = 'x' while true do s = ('%s%99s%s'):format(s, s, s) end"),
    ("gsub_bomb", "local s = 'a' for _ = 1, 16 do s = s .. s end while true do s = s:gsub('.', s) end"),
    ("unpack", "return select('#', unpack({}, 1, 1e8))"),
    ("metamethod", "local s = '' while true do s = s .. 1 end"),
    ("closures", "local f = print while true do local g = f f = function() return g end end"),
    ("serialize", "while true do kong.log.set_serialize_value('x' .. math.random(), 1) end"),
    ("log", "while true do kong.log.err('x') end"),
    // Host functions that do much work in one call.
    ("move", "while true do table.move({}, 1, 2 ^ 31 - 1, 2, {}) end"),
    ("move_within", "local t = {1} while true do pcall(table.move, t, 1, 1e8, 2) end"),
    ("insert_in_front", "local t = {} while true do table.insert(t, 1, 1) end"),
    ("foreachi", "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.foreachi(t, function() end) end"),
    ("clone", "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.clone(t) end"),
    ("pack", "while true do pcall(table.pack, unpack({}, 1, 7000)) end"),
    ("sort_plain", "local t = {} for i = 1, 2e5 do t[i] = i * 7919 % 104729 end while true do table.sort(t) end"),
    (
        "base64",
        "local s = 'x' for _ = 1, 22 do s = s .. s end while true do ngx.decode_base64(ngx.encode_base64(s)) end",
    ),
    ("gmatch", "local s = 'a' for _ = 1, 18 do s = s .. s end while true do for _ in s:gmatch('.-.-.-b') do end end"),
    ("lower", "local s = 'A' for _ = 1, 22 do s = s .. s end while true do s:lower() end"),
    (
        "serialize_large",
        "local s = 'x' for _ = 1, 18 do s = s .. s end while true do kong.log.set_serialize_value('y', s) end",
    ),
    ("get_headers", "while true do kong.request.get_headers() end"),
    ("shared", "local t = kong.ctx.shared while true do t[#t + 1] = {} end"),
    ("globals", "local i = 0 while true do i = i + 1 x = i end"),
    // Found by experiment: a quadratic comparison of text, a small value that expands, a value nested by several edits, a
    // key with many parts, more data than any message holds.
    (
        "find_plain",
        "local s = 'a' for _ = 1, 21 do s = s .. s end local t = s:sub(1, #s / 2) .. 'b' while true do s:find(t, 1, true) end",
    ),
    (
        "find_unspecial",
        "local s = 'a' for _ = 1, 20 do s = s .. s end local t = s:sub(1, #s / 2) .. 'b' while true do s:find(t) end",
    ),
    (
        "gsub_unspecial",
        "local s = 'a' for _ = 1, 20 do s = s .. s end local t = s:sub(1, #s / 2) .. 'b' while true do s:gsub(t, '') end",
    ),
    ("exponential", "local t = {} for _ = 1, 60 do t = {t, t} end return t"),
    ("deep_key", "local s = 'a' for _ = 1, 12 do s = s .. '.' .. s end kong.log.set_serialize_value(s, 1)"),
    ("deep_key_long", "local s = 'a' for _ = 1, 18 do s = s .. '.' .. s end kong.log.set_serialize_value(s, 1)"),
    (
        "deep_in_deep",
        "local t = 1 for _ = 1, 998 do t = {x = t} end kong.log.set_serialize_value('attack.x.x', t) kong.log.serialize()",
    ),
    (
        "deep_serialize",
        "local t = 1 for _ = 1, 990 do t = {x = {t}} end return kong.log.set_serialize_value('y', t), kong.log.serialize()",
    ),
    (
        "many_edits",
        "local s = 'x' for _ = 1, 18 do s = s .. s end for i = 1, 1e6 do kong.log.set_serialize_value('k' .. i, s) end",
    ),
    ("error_long", "local s = 'x' for _ = 1, 22 do s = s .. s end error(s)"),
    ("error_nested", "local function f() error({}) end for _ = 1, 1e9 do pcall(f) end"),
    ("coroutine_nest", "local function f() return coroutine.wrap(f)() end return f()"),
    ("gsub_nest", "local function f() return ('a'):gsub('a', f) end return f()"),
    ("sort_nest", "local function f() table.sort({3, 2, 1, 5, 4}, f) return true end return f()"),
    ("pattern_nest", "local p, s = 'a?', 'a' for _ = 1, 16 do p, s = p .. p, s .. s end return s:find(p .. 'b')"),
];

/// Scenario: endless loops of many kinds, endless pattern matching, recursion, unbounded memory, each as a field
/// between two others, on one worker, twice.
/// Guarantees: each is stopped soon and reported with its field's name; the other fields and the next transaction are
/// correct.
#[test]
fn attacks_cost_their_own_field_only() {
    let home = Home::new()
        .set("LOGPHASE_LUA_DEADLINE_MS", "100")
        .set("LOGPHASE_LUA_MEMORY_LIMIT", "32MiB")
        .set("LOGPHASE_WORKERS", "1");
    let mut failures = Vec::new();
    for (name, attack) in ATTACKS {
        let fields = json!({
            "before": "return kong.request.get_header('h1')",
            "attack": format!("if kong.request.get_header('h1') == 'v2' then return 'spared' end {attack}"),
            "after": "return ('x'):upper() .. #table.concat({1, 2}, ',')",
        });
        let begun = Instant::now();
        let tried = try_fields(&home, &fields, &[transaction(1), transaction(2), transaction(1), transaction(2)]);
        let took = begun.elapsed();
        if took > Duration::from_secs(8) {
            failures.push(format!("{name}: two stops at 100 ms took {took:?}"));
        }
        for (number, one) in tried.iter().enumerate() {
            let attacked = number % 2 == 0;
            let header = if attacked { "v1" } else { "v2" };
            let right = one.message["before"] == header
                && one.message["after"] == "X3"
                && one.message["client_ip"] == "203.0.113.7"
                && one.message.get("attack") == (!attacked).then_some(&json!("spared"))
                && one.errors.iter().map(|(field, _)| field.as_str()).eq(attacked.then_some("attack"));
            if !right {
                failures.push(format!("{name}, transaction {number}: {:?} {}", one.errors, one.message));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Scenario: values that JSON cannot hold or that are hostile to a reader: functions, NaN, cycles, a million levels, a
/// hundred megabytes, metatables.
/// Guarantees: the field fails with a reason, and the message is valid JSON.
#[test]
fn hostile_values() {
    let values = json!({
        "function": "return print",
        "thread": "return coroutine.create(print)",
        "nan": "return 0 / 0",
        "infinity": "return {1, {x = math.huge}}",
        "cycle": "local t = {} t.t = t return t",
        "deep": "local t = {} for _ = 1, 1e5 do t = {t} end return t",
        "boolean_key": "return {[true] = 1}",
        "table_key": "return {[{}] = 1}",
        "sparse": "return {[1] = 1, [1e6] = 1}",
        "exponential": "local t = {} for _ = 1, 60 do t = {t, t} end return t",
        "wide": "local t = {} for i = 1, 5e5 do t[i] = i end return t",
        "long": "local s = 'x' for _ = 1, 22 do s = s .. s end return s",
        "through_text": "return 1, {mode = 'bogus'}",
    });
    let tried = try_fields(&Home::new(), &values, &[transaction(1)]);
    let failed: Vec<_> = tried[0].errors.iter().map(|(field, _)| field.clone()).collect();
    let expected: Vec<_> = values.as_object().unwrap().keys().cloned().collect();
    assert_eq!(failed, expected, "{:?}", tried[0].errors);
    assert!(tried[0].errors.iter().all(|(_, message)| !message.is_empty()));
    let mut untouched = transaction(1);
    untouched["request"]["headers"]["authorization"] = json!("REDACTED");
    assert_eq!(tried[0].message, untouched);
}

/// Scenario: bytecode, and source that starts like bytecode, as a field.
/// Guarantees: refused when the configuration is read.
#[test]
fn bytecode_is_refused() {
    for source in ["\u{1b}Lua", "\u{1b}LJ\u{2}", "\u{5}\u{3}return 1"] {
        let config = json!({"path": "/tmp/unused.log", "custom_fields_by_lua": {"a": source}});
        let home = Home::with(&configuration(&json!([{"name": "file-log", "config": config}])));
        let ended = home.run(&["check", "kong.yml"], b"");
        assert_eq!(ended.code(), 78, "{source:?}: {}{}", ended.stdout, ended.stderr);
    }
}

fn failing_service(home: Home, peer: &TcpPeer, extra: &Value) -> Service {
    let mut config = json!({"path": home.text("messages.log"), "custom_fields_by_lua": {
        "good": "return 1",
        "failing": "local h = kong.request.get_header('h1')\nif h == 'v1' then\n  error('boom')\nend\nif h == 'v2' then while true do end end\nreturn h",
    }});
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    home.write(
        "kong.yml",
        &configuration(&json!([
            {"name": "file-log", "config": config},
            {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}},
        ])),
    );
    home.set("LOGPHASE_LUA_DEADLINE_MS", "100").set("LOGPHASE_WORKERS", "2").start()
}

/// Scenario: in the service, a field that raises an error for one transaction, loops for another and works for the
/// third.
/// Guarantees: all three messages reach the file and the later plugin with the other field, and without the failing
/// field where it failed; the log names plugin, field and line.
#[test]
fn failing_field_keeps_the_message() {
    let peer = TcpPeer::start();
    let mut service = failing_service(Home::new(), &peer, &json!({}));
    for id in 1..=3 {
        service.accept(transaction(id).to_string());
    }
    peer.wait_for(3);
    let log = service.log();
    let named = |line: &&str| {
        line.contains("file-log") && line.contains("failing") && line.contains("boom") && line.contains('3')
    };
    assert!(log.lines().any(|line| named(&line)), "nothing names plugin, field, line and error");
    assert_eq!(service.stop(), 0);
    let text = std::fs::read_to_string(service.home.path("messages.log")).unwrap();
    let in_file: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let over_tcp: Vec<Value> = peer.lines().iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    for messages in [in_file, over_tcp] {
        let fields: Vec<_> =
            messages.iter().map(|message| (message["good"].clone(), message.get("failing").cloned())).collect();
        assert_eq!(fields, [(json!(1), None), (json!(1), None), (json!(1), Some(json!("v3")))]);
    }
}

/// Scenario: a field that raises an error for each of three hundred transactions, with a text of 10 kB that imitates
/// log lines and has terminal escape codes; another that logs as much.
/// Guarantees: the messages are sent; the log stays short, and the text never starts a line or reaches a terminal
/// unescaped.
#[test]
fn log_is_not_flooded() {
    let home = Home::new();
    let text = "('\\n2026-01-01 ERROR forged \\27[31m' .. kong.request.get_header('long'))";
    let fields = json!({"failing": format!("error{text}"), "logging": format!("for _ = 1, 10 do kong.log.err{text} end return 1")});
    let config = json!({"path": home.text("messages.log"), "custom_fields_by_lua": fields});
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": config}])));
    let mut service = home.start();
    let mut client = service.client();
    for batch in 0..3 {
        let one = |id| {
            let mut transaction = transaction(id);
            transaction["request"]["headers"]["long"] = "y\n".repeat(5_000).into();
            transaction
        };
        let body = Value::from((batch * 100..(batch + 1) * 100).map(one).collect::<Vec<_>>()).to_string();
        let answer = client.post(body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(service.stop(), 0);
    let log = service.log();
    assert!(log.contains("forged"), "nothing was logged");
    assert!(!log.contains('\u{1b}'), "a terminal would obey");
    assert!(!log.lines().any(|line| line == "err: y" || line.starts_with("err: 2026-01-01")), "a line is forged");
    let (lines, longest) = (log.lines().count(), log.lines().map(str::len).max());
    assert!(lines < 300 && longest < Some(6000), "{lines} lines, the longest of {longest:?} bytes");
    assert_eq!(crate::service::Messages::read(&service.home.path("messages.log")).counts.len(), 300);
}

/// Scenario: the same with `on_error: drop`, from the plugin's configuration and from the settings.
/// Guarantees: as in Kong, the failing plugin and all later ones emit nothing for that transaction; the others are
/// complete.
#[test]
fn on_error_drop_is_kongs_way() {
    for in_settings in [false, true] {
        let peer = TcpPeer::start();
        let (home, extra) = if in_settings {
            (Home::new().set("LOGPHASE_ON_ERROR", "drop"), json!({}))
        } else {
            (Home::new(), json!({"on_error": "drop"}))
        };
        let mut service = failing_service(home, &peer, &extra);
        for id in 1..=3 {
            service.accept(transaction(id).to_string());
        }
        peer.wait_for(1);
        assert_eq!(service.stop(), 0);
        let in_file = crate::service::Messages::read(&service.home.path("messages.log"));
        assert_eq!(in_file.counts, [(3, 1)].into());
        assert_eq!(peer.messages().counts, [(3, 1)].into());
    }
}

/// Scenario: a snippet copies a request's secret to a redacted header.
/// Guarantees: a snippet can read the secret, as in Kong; the message has it redacted under that name.
#[test]
fn secrets_are_redacted() {
    let fields = json!({"length": "return #kong.request.get_header('authorization')"});
    let tried = try_fields(&Home::new(), &fields, &[transaction(1)]);
    assert_eq!(tried[0].message["length"], 13);
    assert_eq!(tried[0].message["request"]["headers"]["authorization"], "REDACTED");
    assert!(!tried[0].message.to_string().contains("s3cr3t"));
}
