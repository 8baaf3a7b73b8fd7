use super::*;
use logphase_script::message::BodyError;
use logphase_script::{Clock, ScriptError, Stop};

/// What a transaction became.
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

/// file-log, udp-log, tcp-log with the given fields, and what stands before them.
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

/// Scenario: each of three plugins sets, changes or removes fields. Guarantees: a plugin's edits are in its own message
/// and in later ones', never in an earlier one's; fields apply in the written order; the next transaction begins anew.
#[test]
fn edits_reach_later_plugins_alone() {
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

/// Scenario: plugins without fields, and with one that edits nothing, after one that does. Guarantees: they share the
/// bytes of the message before; a plugin that edits has its own.
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

/// Scenario: fields that fail in every way between sound ones. Guarantees: the failing field is untouched, all others
/// and all messages go out, and each failure is told of with its place.
#[test]
fn a_failing_field_costs_nothing() {
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

/// Scenario: `on_error: drop` for one plugin, for all, and for a pre-function, with a failing field. Guarantees: the
/// plugin and all later ones emit nothing, fields after the failing one do not run, those before are unaffected.
#[test]
fn on_error_drop_is_kongs_way() {
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

/// Scenario: a pre-function before all and a post-function after all set fields. Guarantees: the former's are in every
/// message, the latter's in none.
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

/// Scenario: three plugins ask for their identifier, one of them with an id in the file. Guarantees: each has its own,
/// that of the file where there is one.
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

/// Scenario: a snippet that uses up the VM's memory, for some transactions only, beside a function that counts in an
/// upvalue. Guarantees: its field fails, the message goes out, and the next transaction has a VM as new.
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

/// Scenario: snippets that do not compile, among them a disabled plugin's; and a VM too small for the snippets.
/// Guarantees: every one is complained about at its line; the error names the setting to raise.
#[test]
fn what_cannot_run_is_refused() {
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

/// Scenario: a plugin with five fields that never end, twice a field's time for all of them, and a later plugin.
/// Guarantees: after two the plugin's time is over, and each further field says so without running; the later plugin has
/// its own time, every message goes out, and the next transaction begins anew.
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

/// Scenario: values past each bound of the settings, in bytes, nodes and levels, beside one within all of them.
/// Guarantees: each fails by itself, saying which bound; the message goes out with the sound one.
#[test]
fn values_have_the_settings_bounds() {
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
