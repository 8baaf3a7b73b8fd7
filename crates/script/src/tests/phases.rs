//! Functions of the phases before the log phase, on a finished transaction.

use serde_json::{Value, json};

use super::{Bench, Phase, sample};
use crate::needs::listed;

impl Bench {
    /// The value of a field with this `code` in `phase`, with errors as `error: TEXT`.
    fn in_phase(&mut self, phase: Phase, code: &str) -> String {
        self.begin();
        self.vm.enter_phase(phase);
        match self.field("v", code) {
            Ok(()) => self.members().remove("v").unwrap_or_else(|| "nothing".to_owned()),
            Err(error) => format!("error: {}", error.message),
        }
    }

    /// What a function in `phase` calls without effect; an error as `error: TEXT`.
    fn ignored(&mut self, phase: Phase, code: &str) -> String {
        self.begin();
        self.vm.enter_phase(phase);
        let result = self.function(code);
        let noted = self.vm.take_no_effect().join(" ");
        result.map_or_else(|error| format!("error: {}", error.message), |()| noted)
    }
}

fn with_bodies() -> Value {
    let mut transaction = sample();
    transaction["_context"]["response_body"] = json!("whole");
    transaction
}

const ALL: [Phase; 5] = [Phase::Rewrite, Phase::Access, Phase::HeaderFilter, Phase::BodyFilter, Phase::Log];

/// Scenario: each function of the PDK and of `ngx` whose answer depends on the phase, in each of the phases.
/// Guarantees: it answers in the phases that Kong's reference names, and is refused in the others in Kong's words, with the
/// phase's name.
#[test]
fn each_phase_has_its_rules() {
    let mut bench = Bench::on(&with_bodies());
    // A row has the results in rewrite, access, header_filter, body_filter and log; `-` for Kong's refusal.
    let rows: [(&str, [&str; 5]); 21] = [
        ("kong.request.get_method()", ["\"POST\""; 5]),
        ("kong.request.get_header('x_b')", ["\"under\""; 5]),
        ("kong.request.get_raw_body()", ["\"hello\"", "\"hello\"", "-", "-", "\"hello\""]),
        ("kong.request.get_body('application/json')", ["nothing", "nothing", "-", "-", "nothing"]),
        ("kong.response.get_status()", ["-", "-", "503", "503", "503"]),
        ("kong.response.get_header('content-type')", ["-", "-", "\"text/html\"", "\"text/html\"", "\"text/html\""]),
        ("kong.response.get_headers()['x-r'][1]", ["-", "-", "\"p\"", "\"p\"", "\"p\""]),
        ("kong.response.get_source()", ["-", "-", "\"service\"", "\"service\"", "\"service\""]),
        ("kong.response.get_raw_body()", ["-", "-", "-", "\"whole\"", "\"whole\""]),
        ("kong.service.response.get_status()", ["-", "-", "200", "200", "200"]),
        (
            "kong.service.response.get_header('content-type')",
            ["-", "-", "\"text/html\"", "\"text/html\"", "\"text/html\""],
        ),
        ("kong.service.response.get_raw_body()", ["-", "-", "\"whole\"", "\"whole\"", "\"whole\""]),
        ("kong.client.get_consumer().username", ["-", "\"bob\"", "\"bob\"", "\"bob\"", "\"bob\""]),
        ("kong.client.get_credential().id", ["-", "\"cred\"", "\"cred\"", "\"cred\"", "\"cred\""]),
        ("kong.client.get_protocol()", ["-", "\"https\"", "\"https\"", "\"https\"", "\"https\""]),
        ("kong.router.get_route().name", ["-", "\"list\"", "\"list\"", "\"list\"", "\"list\""]),
        ("kong.router.get_service().name", ["-", "\"orders\"", "\"orders\"", "\"orders\"", "\"orders\""]),
        ("kong.log.serialize().client_ip", ["-", "-", "-", "-", "\"10.0.0.9\""]),
        ("ngx.status", ["0", "0", "503", "503", "503"]),
        ("ngx.headers_sent", ["false", "false", "false", "true", "true"]),
        ("ngx.header['content-type']", ["nothing", "nothing", "\"text/html\"", "\"text/html\"", "\"text/html\""]),
    ];
    for (code, expected) in rows {
        for (phase, expected) in ALL.into_iter().zip(expected) {
            let result = bench.in_phase(phase, &format!("return {code}"));
            match expected {
                "-" => {
                    let refusal = format!("function cannot be called in {phase} phase (only in: ");
                    assert!(result.contains(&refusal), "{code} in {phase}: {result}");
                }
                expected => assert_eq!(result, expected, "{code} in {phase}"),
            }
        }
    }
}

/// Scenario: the name of the phase, and `ngx.arg` in `body_filter` and elsewhere.
/// Guarantees: `ngx.get_phase` tells the phase; `body_filter` gets the whole body once, as the last chunk, and an absent one
/// is an empty chunk; other phases are refused as in nginx.
#[test]
fn the_body_filter_gets_the_whole_body_at_once() {
    let mut bench = Bench::on(&with_bodies());
    for (phase, number) in ALL.into_iter().zip([2, 4, 32, 64, 16]) {
        assert_eq!(bench.in_phase(phase, "return ngx.get_phase()"), format!("\"{phase}\""));
        assert_eq!(bench.in_phase(phase, "return ngx.get_raw_phase()"), number.to_string());
        let body = bench.in_phase(phase, "return {ngx.arg[1], ngx.arg[2], ngx.arg[3] == nil}");
        match phase {
            Phase::BodyFilter => assert_eq!(body, "[\"whole\",true,true]"),
            _ => assert!(body.ends_with(&format!("API disabled in the context of {phase}_by_lua*")), "{body}"),
        }
    }
    let mut without = Bench::on(&sample());
    assert_eq!(without.in_phase(Phase::BodyFilter, "return {ngx.arg[1], ngx.arg[2]}"), "[\"\",true]");
    assert_eq!(without.in_phase(Phase::BodyFilter, "return kong.response.get_raw_body()"), "\"\"");
}

/// Scenario: `kong.request.get_raw_body` in `access` of requests without a body, with one that the proxy did not send along,
/// and with one that it did; and `ngx.req.read_body`.
/// Guarantees: a request without a body has an empty one; a body that is not there is an error value, as in Kong when it is
/// too large; `read_body` may be called where nginx allows it, and nowhere else.
#[test]
fn a_request_body_that_is_not_there_is_told() {
    let told = "the transaction has no request body: its proxy has to send it as _context.request_body";
    for (headers, expected) in [
        (json!({}), "[true,\"\",\"nil\"]".to_owned()),
        (json!({"content-length": "0"}), "[true,\"\",\"nil\"]".to_owned()),
        (json!({"content-length": "5"}), format!("[true,\"nil\",\"{told}\"]")),
        (json!({"transfer-encoding": "chunked"}), format!("[true,\"nil\",\"{told}\"]")),
    ] {
        let mut bench = Bench::on(&json!({"request": {"method": "POST", "headers": headers}}));
        let code = "local ok, body, err = pcall(kong.request.get_raw_body) return {ok, body or 'nil', err or 'nil'}";
        assert_eq!(bench.in_phase(Phase::Access, code), expected, "{headers}");
        let log = bench.in_phase(Phase::Log, "return kong.request.get_raw_body()");
        assert!(log.contains("function cannot be called in log phase"), "{log}");
    }
    let mut bench = Bench::on(&sample());
    for phase in ALL {
        let result = bench.in_phase(phase, "ngx.req.read_body() return ngx.req.get_body_data()");
        match phase {
            Phase::Rewrite | Phase::Access => assert_eq!(result, "\"hello\""),
            _ => assert!(result.contains("API disabled in the context of"), "{result}"),
        }
    }
}

/// Scenario: every function that changes the traffic, in each phase.
/// Guarantees: in some phase each of them does nothing and is noted once under its own name; where Kong and nginx refuse it,
/// it is refused, and in the log phase nothing is ever noted.
#[test]
fn what_would_change_the_traffic_is_noted() {
    let mut bench = Bench::on(&with_bodies());
    for name in listed() {
        let mut noted = 0;
        for phase in ALL {
            // An argument that each of them takes.
            let argument = if name.ends_with("set_method") && name.starts_with("ngx") { "ngx.HTTP_GET" } else { "'x'" };
            let result = bench.ignored(phase, &format!("for _ = 1, 3 do {name}({argument}, 'y') end"));
            match &*result {
                result if result == name => {
                    assert_ne!(phase, Phase::Log, "{name}");
                    noted += 1;
                }
                // What nginx lets the log phase change.
                "" => {
                    assert!(phase == Phase::Log && name.starts_with("ngx.req.set_") || name.ends_with("clear_header"))
                }
                refused => assert!(refused.starts_with("error: "), "{name} in {phase}: {refused}"),
            }
        }
        assert!(noted > 0, "{name} is noted in no phase");
    }
}

/// Scenario: assignments to `ngx.header`, `ngx.status`, `ngx.var` and `ngx.arg`, changes of the request, and an exit in the
/// middle of a function, each followed by a look at what came of it.
/// Guarantees: nothing changes and all of it is noted, each once; the function goes on.
#[test]
fn a_finished_transaction_stays_as_it_is() {
    let mut bench = Bench::on(&with_bodies());
    for (phase, code, expected) in [
        (Phase::Access, "ngx.header['X-A'] = '1' ngx.status = 403 ngx.var.foo = 'x'", "ngx.header ngx.status ngx.var"),
        (Phase::HeaderFilter, "ngx.header.x = nil ngx.header.y = 2", "ngx.header"),
        (Phase::BodyFilter, "ngx.arg[1] = nil assert(ngx.arg[1] == 'whole') ngx.arg[2] = false", "ngx.arg"),
        (
            Phase::Access,
            "ngx.req.set_header('x-many', 'z') assert(kong.request.get_header('x-many') == 'one')",
            "ngx.req.set_header",
        ),
        (
            Phase::Access,
            "if true then kong.response.exit(401, 'no') end ngx.req.set_method(ngx.HTTP_GET) \
             assert(ngx.req.get_method() == 'POST')",
            "kong.response.exit ngx.req.set_method",
        ),
        (Phase::BodyFilter, "ngx.header.x = 1", ""),
    ] {
        assert_eq!(bench.ignored(phase, code), expected, "{code}");
        let members = bench.members();
        assert!(!members["request"].contains("\"z\""), "{code}");
        assert!(members["request"].contains("\"POST\""), "{code}");
    }
    // The walls of the sandbox stand in every phase.
    for phase in ALL {
        for name in ["ngx.socket.tcp", "ngx.location.capture", "ngx.timer.at", "kong.db.routes", "ngx.thread.spawn"] {
            let result = bench.ignored(phase, &format!("return {name}('/x')"));
            assert!(result.contains("is not available in the sandbox: it would reach out of it"), "{name}: {result}");
        }
        let result = bench.ignored(phase, "ngx.foo = 1");
        assert!(result.contains("attempt to modify a readonly table"), "{result}");
    }
}

/// Scenario: values that an earlier phase puts into `kong.ctx.shared`, `kong.ctx.plugin`, `ngx.ctx` and the message, then the
/// log phase of the same transaction and of the next one.
/// Guarantees: they flow on within the transaction, and not beyond it.
#[test]
fn what_a_phase_leaves_is_there_later() {
    let mut bench = Bench::on(&sample());
    bench.vm.enter_phase(Phase::Access);
    bench
        .function("kong.ctx.shared.a = 1 kong.ctx.plugin.b = 2 ngx.ctx.c = 3 kong.log.set_serialize_value('d.e', 4)")
        .expect("a function that is allowed everything that it does");
    bench.vm.enter_phase(Phase::Log);
    let read = "return {tostring(kong.ctx.shared.a), tostring(kong.ctx.plugin.b), tostring(ngx.ctx.c)}";
    bench.field("v", read).expect("a field");
    let members = bench.members();
    assert_eq!((&*members["v"], &*members["d"]), ("[\"1\",\"2\",\"3\"]", "{\"e\":4}"));
    bench.begin();
    bench.field("v", read).expect("a field");
    let members = bench.members();
    assert_eq!((&*members["v"], members.contains_key("d")), ("[\"nil\",\"nil\",\"nil\"]", false));
}
