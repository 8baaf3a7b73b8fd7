use super::*;
use logphase_script::message::BodyError;
use logphase_script::{Clock, ScriptError, Stop};

/// The results of a transaction.
#[derive(Default)]
struct Seen {
    messages: Vec<(usize, Bytes)>,
    failed: Vec<(Part, ScriptError)>,
    dropped: Vec<usize>,
    refused: Vec<(usize, BodyError)>,
}

impl Observer for Seen {
    fn message(&mut self, step: usize, message: Bytes) {
        self.messages.push((step, message));
    }

    fn failed(&mut self, part: Part, error: &ScriptError) {
        self.failed.push((part, error.clone()));
    }

    fn dropped(&mut self, step: usize) {
        self.dropped.push(step);
    }

    fn refused(&mut self, step: usize, error: &BodyError) {
        self.refused.push((step, error.clone()));
    }
}

impl Seen {
    /// The messages by plugin.
    fn by_name(&self, program: &Program) -> Vec<(&'static str, Value)> {
        let read = |bytes: &Bytes| serde_json::from_slice(bytes).expect("a message is JSON");
        self.messages.iter().map(|(step, bytes)| (program.steps[*step].definition.name, read(bytes))).collect()
    }
}

struct Bench {
    runner: Runner,
    _busy: logphase_script::Busy,
}

fn bench(text: &str, settings: &Settings) -> Bench {
    let clock = Clock::start().expect("a thread");
    let busy = clock.busy();
    Bench { runner: Runner::new(program(text, settings)).expect("room for the snippets"), _busy: busy }
}

fn run(bench: &mut Bench, value: &Value) -> Seen {
    let transaction = transaction(value);
    let plan = bench.runner.plan(&transaction);
    let mut seen = Seen::default();
    bench.runner.run(transaction, &plan, &mut seen);
    seen
}

/// A configuration with `more`, then tcp-log, udp-log and file-log with the given fields.
fn plugins(more: &str, fields: [&str; 3]) -> String {
    let [file, udp, tcp] = fields;
    format!(
        "_format_version: \"3.0\"\nplugins:\n{more}
- {{name: tcp-log, config: {{host: h, port: 9, custom_fields_by_lua: {{{tcp}}}}}}}
- {{name: udp-log, config: {{host: h, port: 9, custom_fields_by_lua: {{{udp}}}}}}}
- {{name: file-log, config: {{path: /tmp/x, custom_fields_by_lua: {{{file}}}}}}}
"
    )
}

/// Scenario: three plugins that set, change or remove fields.
/// Guarantees: a plugin's edits are in its own message and in those of later plugins, never in those of earlier ones; fields
/// run in the order of the file; the next transaction starts without edits.
#[test]
fn edits_reach_later_plugins_only() {
    let text = plugins(
        "",
        [
            "b: return 1, a.x: return 2, a.y: return 3",
            "route: return nil, b: return 5",
            "c: return kong.log.serialize().b",
        ],
    );
    let mut bench = bench(&text, &patient());
    for _ in 0..2 {
        let seen = run(&mut bench, &json!({"route": {"name": "r"}}));
        let expected = [
            ("file-log", json!({"route": {"name": "r"}, "b": 1, "a": {"x": 2, "y": 3}})),
            ("udp-log", json!({"b": 5, "a": {"x": 2, "y": 3}})),
            ("tcp-log", json!({"b": 5, "a": {"x": 2, "y": 3}, "c": 5})),
        ];
        assert_eq!(seen.by_name(bench.runner.program()), expected);
        assert!(seen.failed.is_empty() && seen.dropped.is_empty());
    }
}

/// Scenario: opentelemetry with attributes by Lua: a dotted name, a table, nil, one that fails, one that edits the message by
/// itself; then file-log.
/// Guarantees: attributes are members of its own message under their whole names, nil is null, a failing one is missing; the
/// later plugin's message has none of them, and the next transaction starts without them.
#[test]
fn attributes_are_of_one_plugin() {
    let text = "_format_version: '3.0'\nplugins:\n- name: opentelemetry\n  config:\n    access_logs:\n      \
                endpoint: http://h\n      custom_attributes_by_lua:\n        a.b: return {c = 1}\n        \
                route: return nil\n        x: error('y')\n        \
                z: kong.log.set_serialize_value('w', 1) return 2\n\
                - {name: file-log, config: {path: /tmp/x, custom_fields_by_lua: {late: return 1}}}\n";
    let mut bench = bench(text, &patient());
    for _ in 0..2 {
        let seen = run(&mut bench, &json!({"route": {"name": "r"}}));
        let expected = [
            ("opentelemetry", json!({"route": null, "a.b": {"c": 1}, "w": 1, "z": 2})),
            ("file-log", json!({"route": {"name": "r"}, "late": 1})),
        ];
        assert_eq!(seen.by_name(bench.runner.program()), expected);
        assert_eq!(seen.failed.len(), 1);
    }
}

/// Scenario: after a plugin with edits, plugins without fields and with a field that edits nothing.
/// Guarantees: they share the encoded message of the first; a plugin with edits has its own.
#[test]
fn unchanged_messages_share_their_bytes() {
    let text = plugins("", ["a: return 1", "b: \"return nil, {mode = 'bogus'}\"", ""]);
    let mut bench = bench(&text, &patient());
    let seen = run(&mut bench, &json!({}));
    let [(_, file), (_, udp), (_, tcp)] = &seen.messages[..] else { panic!("three messages") };
    assert_eq!((file.as_ptr(), udp.as_ptr()), (tcp.as_ptr(), tcp.as_ptr()));
    assert_eq!((&file[..], seen.failed.len()), (&br#"{"a":1}"#[..], 1));
    let text = plugins("", ["a: return 1", "a: return 2", ""]);
    let seen = run(&mut super::run::bench(&text, &patient()), &json!({}));
    let [(_, file), (_, udp), (_, tcp)] = &seen.messages[..] else { panic!("three messages") };
    assert_ne!(file.as_ptr(), udp.as_ptr());
    assert_eq!(udp.as_ptr(), tcp.as_ptr());
}

/// Scenario: fields that fail in different ways, between valid ones.
/// Guarantees: a failing field is unchanged, all other edits and all messages are emitted, and each failure is reported with
/// its place.
#[test]
fn a_failing_field_affects_nothing_else() {
    let text = plugins(
        "- {name: pre-function, config: {log: [\"error('first')\", \"kong.log.set_serialize_value('p', 1)\"]}}",
        [
            "old: error('x'), a: return 1, n: return 0/0, f: return print, old.x: return 1, b: return 2",
            "c: return nope.x",
            "d: return 4",
        ],
    );
    let mut bench = bench(&text, &patient());
    let seen = run(&mut bench, &json!({"old": "o"}));
    let file = json!({"old": "o", "p": 1, "a": 1, "b": 2});
    let mut tcp = file.clone();
    tcp["d"] = json!(4);
    assert_eq!(seen.by_name(bench.runner.program()), [("file-log", file.clone()), ("udp-log", file), ("tcp-log", tcp)]);
    let parts: Vec<_> = seen.failed.iter().map(|(part, _)| (part.step, part.part)).collect();
    assert_eq!(parts, [(0, 0), (1, 0), (1, 2), (1, 3), (1, 4), (2, 0)]);
    assert_eq!((seen.failed[0].1.line, seen.dropped.len()), (Some(1), 0));
}

/// Scenario: a failing field with `on_error: drop` for all plugins, for another plugin, and in a pre-function.
/// Guarantees: the plugin and all later ones emit nothing, later fields do not run, and earlier plugins are not affected.
#[test]
fn on_error_drop_behaves_like_kong() {
    let text = plugins("", ["a: return 1", "b: error('x'), c: return 1", "d: return 4"]);
    let mut settings = patient();
    settings.on_error = crate::settings::OnError::Drop;
    let mut all = bench(&text, &settings);
    let seen = run(&mut all, &json!({}));
    assert_eq!(seen.by_name(all.runner.program()), [("file-log", json!({"a": 1}))]);
    assert_eq!((seen.dropped, seen.failed.len()), (vec![1, 2], 1));

    let mut settings = patient();
    let only = crate::settings::PluginOverride { on_error: Some(crate::settings::OnError::Drop), ..Default::default() };
    settings.plugins.insert("tcp-log".to_owned(), only);
    let mut one = bench(&text, &settings);
    let seen = run(&mut one, &json!({}));
    assert_eq!((seen.messages.len(), seen.dropped.len(), seen.failed.len()), (3, 0, 1));

    let mut settings = patient();
    settings.on_error = crate::settings::OnError::Drop;
    let text = plugins("- {name: pre-function, config: {log: [\"error('x')\"]}}", ["", "", ""]);
    let seen = run(&mut bench(&text, &settings), &json!({}));
    assert_eq!((seen.messages.len(), seen.dropped), (0, vec![1, 2, 3]));
}

/// Scenario: a pre-function and a post-function that set fields.
/// Guarantees: the fields of the pre-function are in every message, those of the post-function in none.
#[test]
fn functions_run_before_and_after() {
    let set =
        |name: &str| format!("- {{name: {name}, config: {{log: [\"kong.log.set_serialize_value('{name}', 1)\"]}}}}\n");
    let text = plugins(&format!("{}{}", set("post-function"), set("pre-function")), ["", "a: return 1", ""]);
    let mut bench = bench(&text, &patient());
    let messages = run(&mut bench, &json!({})).by_name(bench.runner.program());
    let (first, later) = (json!({"pre-function": 1}), json!({"pre-function": 1, "a": 1}));
    assert_eq!(messages, [("file-log", first), ("udp-log", later.clone()), ("tcp-log", later)]);
}

/// Scenario: snippets of three plugins call `kong.plugin.get_id`, one of them with an id in the file.
/// Guarantees: each gets the id of its plugin, which is that of the file if it has one.
#[test]
fn plugins_know_their_id() {
    let id = "a: return kong.plugin.get_id()";
    let text = plugins("", [id, id, id])
        .replace("{name: udp-log,", "{name: udp-log, id: 0b7b0e7e-7a19-4b1f-a5f9-5d1f0e8f3a10,");
    let mut bench = bench(&text, &patient());
    let seen = run(&mut bench, &json!({}));
    for (step, message) in &seen.messages {
        let message: Value = serde_json::from_slice(message).expect("a message is JSON");
        let step = &bench.runner.program().steps[*step];
        assert_eq!(message["a"], json!(step.id), "{}", step.label);
        assert_eq!(step.id.starts_with("0b7b0e7e-"), step.definition.name == "udp-log");
    }
    assert_eq!(seen.messages.len(), 3);
}

/// Scenario: a snippet that exhausts the VM's memory for some transactions, and a function with a counter in an upvalue.
/// Guarantees: its field fails, the message is emitted, and the next transaction has a new VM.
#[test]
fn a_memory_bomb_leaves_a_clean_vm() {
    let count = "local n = 0 return function() n = n + 1 kong.log.set_serialize_value('n', n) end";
    let bomb = "if kong.request.get_method() == 'POST' then local t = kong.ctx.shared while true do t[#t + 1] = {} end end return 1";
    let more = format!("- {{name: pre-function, config: {{log: [\"{count}\"]}}}}");
    let text = plugins(&more, [&format!("a: \"{bomb}\""), "", ""]);
    let mut settings = patient();
    settings.lua.memory_limit = 8 << 20;
    let mut bench = bench(&text, &settings);
    let fresh = bench.runner.used_memory();
    let get = json!({"request": {"method": "GET"}});
    for expected in [1, 2] {
        assert_eq!(run(&mut bench, &get).by_name(bench.runner.program())[0].1["n"], expected);
    }
    let seen = run(&mut bench, &json!({"request": {"method": "POST"}}));
    assert_eq!((seen.failed.len(), seen.failed[0].1.stop), (1, Some(Stop::Memory)));
    assert_eq!(seen.messages.len(), 3);
    assert!(bench.runner.used_memory() <= fresh + (1 << 20), "{} after {fresh}", bench.runner.used_memory());
    let first = run(&mut bench, &get).by_name(bench.runner.program())[0].1.clone();
    assert_eq!((&first["n"], &first["a"]), (&json!(1), &json!(1)));
}

/// Scenario: snippets that do not compile, one of them in a disabled plugin; a VM that is too small for the snippets.
/// Guarantees: each snippet has an error at its line; the error of the VM names the setting to raise.
#[test]
fn invalid_snippets_are_refused() {
    let text = plugins(
        "- {name: pre-function, enabled: false, config: {log: [\"return (\"]}}",
        ["a: return (", "b: return 1", "c: goto x"],
    );
    let errors = Program::build(&configuration(&text), &patient()).expect_err("three are wrong");
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(|error| error.place().is_some() && error.message.ends_with("is not valid Lua")));
    let mut settings = patient();
    settings.lua.memory_limit = 64 << 10;
    let small = Runner::new(program(&plugins("", ["a: return 1", "", ""]), &settings));
    assert!(small.err().expect("too small").contains("raise the setting lua.memory_limit"));
}

/// Scenario: a plugin with five endless fields and a plugin deadline of twice the deadline of a field; a later plugin.
/// Guarantees: after two fields the plugin's time is used up, and the others fail without running; the later plugin has its
/// own time, every message is emitted, and the next transaction has the whole time again.
#[test]
fn a_plugin_has_one_budget_for_all_its_fields() {
    let endless: Vec<String> = (0..5).map(|field| format!("e{field}: while true do end")).collect();
    let text = plugins("", [&endless.join(", "), "", "fine: return 1"]);
    let mut settings = Settings::default();
    (settings.lua.deadline_ms, settings.lua.plugin_deadline_ms) = (20.0, 40.0);
    let mut bench = bench(&text, &settings);
    for _ in 0..2 {
        let seen = run(&mut bench, &json!({}));
        let stops: Vec<_> = seen.failed.iter().map(|(_, error)| error.stop).collect();
        assert_eq!(stops.len(), 5);
        assert_eq!(stops[0], Some(Stop::Deadline));
        assert_eq!(stops[3..], [Some(Stop::PluginDeadline); 2]);
        assert!(seen.failed[4].1.message.contains("40ms"), "{}", seen.failed[4].1);
        let messages = seen.by_name(bench.runner.program());
        assert_eq!((messages.len(), &messages[2].1["fine"]), (3, &json!(1)));
    }
}

/// Scenario: values that exceed the limits on bytes, nodes and levels, and one within all limits.
/// Guarantees: each fails with the name of its limit; the message has the valid one.
#[test]
fn values_are_limited() {
    let bytes = format!("bytes: \"return '{}'\"", "y".repeat(101));
    let others = r#"nodes: "return {1, 2, 3, 4, 5, 6}", depth: "return {{{{1}}}}", sound: "return {1, {2}}""#;
    let mut settings = patient();
    (settings.lua.max_value_bytes, settings.lua.max_value_nodes, settings.lua.max_value_depth) = (100, 5, 3);
    let mut bench = bench(&plugins("", [&format!("{bytes}, {others}"), "", ""]), &settings);
    let seen = run(&mut bench, &json!({}));
    let said: Vec<_> = seen.failed.iter().map(|(_, error)| (error.stop, error.message.as_str())).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    for ((stop, message), part) in said.iter().zip(["100 bytes", "5 members and elements", "excessive nesting (4)"]) {
        assert!(*stop == Some(Stop::Value) && message.contains(part), "{message}");
    }
    assert_eq!(seen.by_name(bench.runner.program())[0].1, json!({"sound": [1, [2]]}));
}

/// Scenario: a plugin leaves memory in `kong.ctx.shared`: most of the limit, and less than half of it; the field of the next
/// plugin needs more than is left.
/// Guarantees: the next plugin's field runs, and is not blamed; the first is blamed if it leaves most of the limit.
#[test]
fn memory_is_charged_to_its_holder() {
    let mut settings = patient();
    settings.lua.memory_limit = 16 << 20;
    for (mebibytes, blamed) in [(10, 1), (5, 0)] {
        let hoard = format!(
            "held: \"local s = 'x' for i = 1, 20 do s = s .. s end kong.ctx.shared.held = {{}} for i = 1, {mebibytes} do \
            kong.ctx.shared.held[i] = s .. i end return 1\""
        );
        let honest = "n: \"local s = 'y' for i = 1, 20 do s = s .. s end local t = {} for i = 1, 8 do t[i] = s .. i end \
            return #t\"";
        let text = plugins("", ["after: return 1", honest, &hoard]).replace("{tcp", "{ tcp");
        let mut bench = bench(&text, &settings);
        for _ in 0..3 {
            let seen = run(&mut bench, &json!({}));
            let messages = seen.by_name(bench.runner.program());
            assert_eq!(messages.len(), 3);
            assert!(messages.iter().any(|(_, message)| message["n"] == 8), "{messages:?} {:?}", seen.failed);
            let failed: Vec<_> = seen.failed.iter().map(|(_, error)| (error.message.as_str(), error.stop)).collect();
            assert_eq!(failed.len(), blamed, "{failed:?}");
            assert!(failed.iter().all(|(message, _)| message.contains("bytes in kong.ctx or ngx.ctx")), "{failed:?}");
        }
    }
}

/// Scenario: a VM of eight megabytes, and two hundred plugins on routes of their own, each with a field of forty kilobytes of text; a
/// transaction of each route, twice. Guarantees: all fields run, although a VM has room for few of them at a time; of the snippets that run no
/// more, some are given up.
#[test]
fn a_program_may_be_larger_than_a_vm() {
    let mut settings = patient();
    settings.lua.memory_limit = 8 << 20;
    settings.lua.max_source_bytes = 64 << 10;
    let mut text = "_format_version: '3.0'\nroutes:\n".to_owned();
    for route in 0..200 {
        let long = "x".repeat(40 << 10);
        let field = format!("return {route} .. '{long}' ~= '' and {route}");
        text += &format!(
            "- {{name: r{route}, paths: [/], plugins: [{{name: file-log, config: {{path: /tmp/x, custom_fields_by_lua: {{a: \"{field}\"}}}}}}]}}\n"
        );
    }
    let mut bench = bench(&text, &settings);
    for route in (0..200).chain(0..200) {
        let seen = run(&mut bench, &json!({"route": {"name": format!("r{route}")}}));
        assert!(seen.failed.is_empty(), "{:?}", seen.failed);
        assert_eq!(seen.by_name(bench.runner.program())[0].1["a"], json!(route));
        assert!(bench.runner.used_memory() < 6 << 20, "{}", bench.runner.used_memory());
    }
}
