//! The phases before the log phase, replayed on a finished transaction.

use super::*;
use logphase_script::{Clock, Phase, ScriptError, Stop};

/// The last message, and what failed: the part's name with the error.
#[derive(Default)]
struct Seen {
    message: Value,
    failed: Vec<(String, String)>,
    dropped: usize,
    program: Option<Arc<Program>>,
}

impl Observer for Seen {
    fn message(&mut self, _: usize, message: Bytes) {
        self.message = serde_json::from_slice(&message).expect("a message is JSON");
    }

    fn failed(&mut self, part: Part, error: &ScriptError) {
        let program = self.program.as_ref().expect("a program runs");
        self.failed.push((program.steps[part.step].parts[part.part].name(), error.message.clone()));
    }

    fn dropped(&mut self, _: usize) {
        self.dropped += 1;
    }

    fn refused(&mut self, _: usize, _: &logphase_script::message::BodyError) {}
}

/// `functions` of a pre-function (YAML), a post-function that keeps the phase's order, and a file-log with these fields.
fn text(functions: &str, fields: &str) -> String {
    let note = |phase: &str| {
        format!("{phase}: [\"kong.ctx.shared.order = (kong.ctx.shared.order or '') .. ' post-{phase}'\"]")
    };
    let post = Phase::REPLAYED.map(|phase| note(phase.name())).join(", ");
    format!(
        "_format_version: \"3.0\"\nplugins:\n- {{name: pre-function, config: {{{functions}}}}}
- {{name: post-function, config: {{{post}}}}}
- {{name: file-log, config: {{path: /tmp/x, custom_fields_by_lua: {{{fields}}}}}}}
"
    )
}

fn replaying(phases: &[&str]) -> Settings {
    Settings { replay_phases: phases.iter().map(|phase| (*phase).to_owned()).collect(), ..patient() }
}

fn run(program: &Arc<Program>, value: &Value, replays: bool) -> Seen {
    let clock = Clock::start().expect("a thread");
    let _busy = clock.busy();
    let mut runner = Runner::new(program.clone()).expect("room for the snippets");
    runner.set_replay(replays);
    let mut seen = Seen { program: Some(program.clone()), ..Seen::default() };
    // Twice: nothing of the first transaction may be there in the second.
    for _ in 0..2 {
        seen = Seen { program: Some(program.clone()), ..Seen::default() };
        let transaction = transaction(value);
        let plan = runner.plan(&transaction);
        runner.run(transaction, &plan, &mut seen);
    }
    seen
}

const ALL: [&str; 4] = ["rewrite", "access", "header_filter", "body_filter"];

/// Scenario: functions of two plugins in four phases that write down the order; all phases, some in another order, and none
/// are replayed; the traffic is Kong's own.
/// Guarantees: phases run in Kong's order whatever the setting's, plugins by priority within each, the log phase last;
/// `functions` counts as `access`; without the setting, or for Kong's own traffic, none of them runs.
#[test]
fn phases_run_in_kongs_order() {
    let note =
        |phase: &str| format!("{phase}: [\"kong.ctx.shared.order = (kong.ctx.shared.order or '') .. ' pre-{phase}'\"]");
    let functions = [ALL.map(note).join(", "), note("functions")].join(", ");
    let text = text(&functions, "order: return kong.ctx.shared.order, phase: return ngx.get_phase()");
    let all = "pre-rewrite post-rewrite pre-access pre-functions post-access pre-header_filter post-header_filter \
               pre-body_filter post-body_filter";
    for (phases, replays, expected) in [
        (&ALL[..], true, json!(format!(" {all}"))),
        (&["body_filter", "rewrite"], true, json!(" pre-rewrite post-rewrite pre-body_filter post-body_filter")),
        (&[], true, Value::Null),
        (&ALL[..], false, Value::Null),
    ] {
        let seen = run(&program(&text, &replaying(phases)), &json!({}), replays);
        assert_eq!((&seen.message["order"], &seen.message["phase"]), (&expected, &json!("log")), "{phases:?}");
        assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    }
}

/// Scenario: functions that put bodies and own fields into the log, as users have them, on a transaction with bodies.
/// Guarantees: fields, `kong.ctx` and `ngx.ctx` arrive in the log phase; the body filter gets the whole body once.
#[test]
fn what_functions_keep_arrives() {
    let functions = "access: [\"kong.log.set_serialize_value('request.body', kong.request.get_raw_body())\", \
                     \"kong.ctx.plugin.n = 7 ngx.ctx.user = kong.request.get_header('x-user')\"], \
                     body_filter: [\"ngx.ctx.body = (ngx.ctx.body or '') .. ngx.arg[1] \
                     if ngx.arg[2] then kong.log.set_serialize_value('response.body', ngx.ctx.body) end\"], \
                     log: [\"kong.log.set_serialize_value('n', kong.ctx.plugin.n)\"]";
    let transaction = json!({
        "request": {"method": "POST", "headers": {"x-user": "ann"}}, "response": {"status": 200},
        "_context": {"request_body": "ask", "response_body": "answer"},
    });
    let program = program(&text(functions, "user: return ngx.ctx.user"), &replaying(&ALL));
    let seen = run(&program, &transaction, true);
    let message = &seen.message;
    assert_eq!((&message["request"]["body"], &message["response"]["body"]), (&json!("ask"), &json!("answer")));
    assert_eq!((&message["user"], &message["n"]), (&json!("ann"), &json!(7)));
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
}

/// Scenario: functions that change the traffic, one several times in a run, and one that fails; two transactions.
/// Guarantees: nothing changes and no message is lost; the runs are counted once for each function with what they called; the
/// failing one is named with its phase and its place among the phase's functions.
#[test]
fn changes_of_the_traffic_are_counted() {
    let functions = "access: [\"for _ = 1, 5 do kong.service.request.set_header('a', 'b') end kong.response.exit(401)\", \
                     \"error('no')\", \"kong.ctx.shared.went_on = true\"]";
    let program = program(&text(functions, "went_on: return kong.ctx.shared.went_on"), &replaying(&["access"]));
    let seen = run(&program, &json!({}), true);
    assert_eq!(seen.message["went_on"], json!(true));
    let [(name, error)] = &seen.failed[..] else { panic!("{:?}", seen.failed) };
    assert!(name == "access[1]" && error.ends_with(": no"), "{name}: {error}");
    let step = program.steps.iter().find(|step| step.definition.name == "pre-function").expect("it is configured");
    let counts: Vec<_> = step.breakers().iter().map(|breaker| breaker.totals().no_effect()).collect();
    let expected = [("kong.response.exit".to_owned(), 2), ("kong.service.request.set_header".to_owned(), 2)];
    assert_eq!(counts[0], expected.into_iter().collect());
    assert_eq!(step.breakers()[0].totals().no_effect_runs(), 2);
    assert!(counts[1].is_empty() && counts[2].is_empty());
}

/// Scenario: a function of an earlier phase fails, with `on_error: drop` and without.
/// Guarantees: the message is dropped as if a function of the log phase had failed, or kept.
#[test]
fn a_failing_function_drops_the_message_if_asked() {
    let text = text("access: [\"error('no')\"]", "a: return 1");
    for (on_error, dropped) in [(crate::settings::OnError::Drop, 1), (crate::settings::OnError::Keep, 0)] {
        let settings = Settings { on_error, ..replaying(&["access"]) };
        let seen = run(&program(&text, &settings), &json!({}), true);
        assert_eq!((seen.dropped, seen.message.is_null(), seen.failed.len()), (dropped, dropped == 1, 1));
    }
}

/// Scenario: functions without an end in each phase, each with a deadline of its own and one for the whole plugin; one that
/// takes all memory.
/// Guarantees: each is stopped; the plugin's time is one for all phases of a transaction; the message goes out.
#[test]
fn budgets_hold_in_every_phase() {
    let endless = ALL.map(|phase| format!("{phase}: ['while true do end']")).join(", ");
    let mut settings = replaying(&ALL);
    (settings.lua.deadline_ms, settings.lua.plugin_deadline_ms) = (20.0, 30.0);
    let program = program(&text(&endless, "a: return 1"), &settings);
    let seen = run(&program, &json!({}), true);
    assert_eq!(seen.message["a"], json!(1));
    let failed: Vec<_> = seen.failed.iter().filter(|(_, error)| error.contains("for a transaction, is over")).collect();
    assert!(failed.len() >= 2, "the plugin's time must end before the fourth phase: {:?}", seen.failed);
    assert_eq!(seen.failed.len(), 4, "{:?}", seen.failed);

    let greedy = "access: [\"local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end\"]";
    let mut settings = replaying(&["access"]);
    settings.lua.memory_limit = 8 << 20;
    settings.untrusted_lua = logphase_script::Profile::Strict;
    let program = super::program(&text(greedy, "a: return ngx.get_phase()"), &settings);
    let seen = run(&program, &json!({}), true);
    assert_eq!(seen.message["a"], json!("log"));
    let step = program.steps.iter().find(|step| step.definition.name == "pre-function").expect("it is configured");
    assert_eq!(step.breakers()[0].totals().stops(Stop::Memory), 2, "{:?}", seen.failed);
}

/// Scenario: a snippet without an end in each phase in turn, and functions that do not compile, with the phase replayed and
/// not; LuaJIT that Luau lacks; `untrusted_lua: off`.
/// Guarantees: what Kong refuses is refused here wherever it runs, with the name of the function; what only Luau refuses is
/// refused only if it runs here.
#[test]
fn functions_of_all_phases_are_compiled() {
    let build = |functions: &str, settings: &Settings| {
        let text = format!("_format_version: \"3.0\"\nplugins:\n- {{name: pre-function, config: {{{functions}}}}}\n");
        Program::build(&configuration(&text), settings).err().unwrap_or_default()
    };
    let all = ["certificate", "rewrite", "access", "functions", "header_filter", "body_filter", "ws_handshake"];
    for phase in all.into_iter().chain(["ws_client_frame", "ws_upstream_frame", "ws_close", "log"]) {
        for settings in [patient(), replaying(&ALL)] {
            let errors = build(&format!("{phase}: ['return 1', 'return (']"), &settings);
            assert_eq!(errors.len(), 1, "{phase}: {errors:?}");
            let shown = if phase == "functions" { "access" } else { phase };
            let name = if phase == "log" { "pre-function".to_owned() } else { format!("`{shown}[1]` of pre-function") };
            assert_eq!(errors[0].message, format!("{name} is not valid Lua"));
            assert!(errors[0].place().is_some_and(|place| place.line() == 3), "{:?}", errors[0]);
        }
    }
    let jit = "access: ['local n = 1LL']";
    assert!(build(jit, &patient()).is_empty());
    assert_eq!(build(jit, &replaying(&["access"])).len(), 1);
    let off = |phases: &[&str]| Settings { untrusted_lua: logphase_script::Profile::Off, ..replaying(phases) };
    assert!(build("access: ['return 1']", &off(&[])).is_empty());
    assert_eq!(build("access: ['return 1']", &off(&["access"])).len(), 1);
}
