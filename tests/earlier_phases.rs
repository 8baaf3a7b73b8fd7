//! Functions for the phases before the log phase: what `check` and `try` say of them, and what `replay_phases` does.

use serde_json::{Value, json};

use crate::service::{Ended, Home, Scrape, ask, configuration, free_port, transaction, wait_until, whole_lines};

fn functions(config: Value, path: &str) -> String {
    configuration(&json!([
        {"name": "pre-function", "config": config},
        {"name": "file-log", "config": {"path": path, "custom_fields_by_lua": {"user": "return kong.ctx.shared.user"}}},
    ]))
}

fn said(ended: &Ended) -> String {
    format!("{}{}", ended.stdout, ended.stderr)
}

/// The functions that the tests of `check` and `try` show.
fn sample() -> Value {
    json!({
        "certificate": ["return"],
        "access": [
            "kong.log.set_serialize_value('team', 'a')",
            "local s = kong.ctx.shared\ns.user = kong.request.get_header('x-user')\nkong.response.exit(403)",
            "kong.ctx.plugin.body = kong.request.get_raw_body()",
            "kong.service.request.set_header('x', 'y')",
        ],
    })
}

/// Scenario: `check` of functions that set fields, fill kong.ctx.shared, copy a body, change the traffic and do nothing, in
/// phases that are replayed and not.
/// Guarantees: each function is told of with what becomes of it, as in the snapshots; what is lost for other proxies is a
/// warning; the configuration is accepted, and the functions are counted.
#[test]
fn check_says_what_becomes_of_each_function() {
    let home = Home::with(&functions(sample(), "/tmp/x.log"));
    let ended = home.run(&["check", "kong.yml", "--format", "short"], b"");
    assert_eq!(ended.code(), 0, "{}", said(&ended));
    insta::assert_snapshot!("check_in_kong", ended.stdout);
    let people = home.run(&["check", "kong.yml"], b"");
    assert!(people.stdout.contains("1 Lua snippet, 5 functions of other phases in Kong"), "{}", people.stdout);

    let home = home.set("LOGPHASE_REPLAY_PHASES", "access");
    let ended = home.run(&["check", "kong.yml", "--format", "short"], b"");
    assert_eq!(ended.code(), 0, "{}", said(&ended));
    insta::assert_snapshot!("check_replayed", ended.stdout);
    let people = home.run(&["check", "kong.yml"], b"");
    assert!(people.stdout.contains("5 Lua snippets, 1 function of other phases in Kong"), "{}", people.stdout);
}

/// Scenario: a syntax error in each phase of a pre-function, with `check` and with `run`.
/// Guarantees: both refuse the configuration with the same words, the phase, the line and a caret.
#[test]
fn syntax_errors_in_every_phase_are_refused() {
    for phase in ["certificate", "rewrite", "access", "header_filter", "body_filter", "ws_handshake", "ws_close", "log"]
    {
        let home = Home::new();
        home.write(
            "kong.yml",
            &format!(
                "_format_version: \"3.0\"\nplugins:\n- name: post-function\n  config:\n    {phase}:\n    - |\n      \
                 local a = 1\n      return (\n"
            ),
        );
        let shown = ["check", "run"].map(|command| {
            let ended = home.run(&[command, "kong.yml"], b"");
            assert_eq!(ended.code(), 78, "{command}: {}", said(&ended));
            said(&ended)
        });
        for text in shown {
            assert!(text.contains("is not valid Lua") && text.contains("kong.yml:8"), "{text}");
            assert!(text.contains("      return (") && text.contains('━'), "{text}");
            assert!(phase == "log" || text.contains(&format!("`{phase}[0]` of post-function")), "{text}");
        }
    }
}

/// Scenario: replayed functions that call what another phase alone may call, and what does not exist; the same functions where
/// they may call it, and where they run in Kong alone.
/// Guarantees: `check` warns by the rules of the phase that each function runs in, and of none that does not run here.
#[test]
fn check_knows_the_rules_of_replayed_phases() {
    let exit = "return kong.response.exit(403)";
    for (phase, lua, replay, expected) in [
        ("access", exit, "access", ""),
        (
            "body_filter",
            exit,
            "body_filter",
            "`kong.response.exit` fails: a function of the body_filter phase may not call it",
        ),
        ("body_filter", exit, "", ""),
        ("log", exit, "access", "`kong.response.exit` fails: a function of the log phase may not call it"),
        ("access", "return kong.request.get_heder('x')", "access", "there is no member `kong.request.get_heder`"),
    ] {
        let home = Home::with(&functions(json!({phase: [lua]}), "/tmp/x.log")).set("LOGPHASE_REPLAY_PHASES", replay);
        let ended = home.run(&["check", "kong.yml", "--format", "short"], b"");
        assert_eq!(ended.code(), 0, "{}", said(&ended));
        let warned = ended.stdout.lines().find(|line| line.contains("warning[")).unwrap_or_default();
        assert!(
            if expected.is_empty() { warned.is_empty() } else { warned.contains(expected) },
            "{phase} {lua}: {warned}"
        );
    }
}

/// Scenario: a setting with a phase that cannot be replayed.
/// Guarantees: it is refused, and the phases that can are named.
#[test]
fn other_phases_cannot_be_replayed() {
    let home =
        Home::with(&functions(json!({"log": ["return"]}), "/tmp/x.log")).set("LOGPHASE_REPLAY_PHASES", "certificate");
    let ended = home.run(&["check", "kong.yml"], b"");
    assert_eq!(ended.code(), 78);
    assert!(said(&ended).contains("expected one of: rewrite, access, header_filter, body_filter"), "{}", said(&ended));
}

/// Scenario: `try` of a plugin whose functions are for `access`, for `access` and `log`, and of one that is replayed.
/// Guarantees: it does not say that something ran where nothing did, names the phases that run in Kong, and shows the fields
/// of a replayed phase.
#[test]
fn try_says_what_ran() {
    let transaction = transaction(3).to_string();
    let access = "kong.log.set_serialize_value('team', 'a')";
    for (config, replay, expected, team) in [
        (json!({"access": [access]}), "", "nothing runs here: its functions for access run in Kong", false),
        (
            json!({"access": [access], "log": ["return"]}),
            "",
            "ran; it sends nothing itself, and its functions for access run in Kong",
            false,
        ),
        (json!({"log": ["return"]}), "", "ran; it sends nothing itself\n", false),
        (json!({"access": [access]}), "access", "ran; it sends nothing itself\n", true),
    ] {
        let home = Home::with(&functions(config, "/tmp/x.log")).set("LOGPHASE_REPLAY_PHASES", replay);
        let ended = home.run(&["try", "kong.yml"], transaction.as_bytes());
        assert_eq!(ended.code(), 0, "{}", said(&ended));
        assert!(ended.stdout.contains(expected), "{expected} is not in\n{}", ended.stdout);
        assert_eq!(ended.stdout.contains(r#""team": "a""#), team, "{}", ended.stdout);
    }
}

fn messages(home: &Home) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path("messages.log")).unwrap_or_default();
    whole_lines(&text)
}

/// Scenario: a service with `replay_phases`; transactions arrive through an input for Kong's own log objects, and, after a
/// restart, through the same input with `match_routes`, which Kong does not need; a function exits and sets headers.
/// Guarantees: what Kong served is not replayed; for the other traffic, fields of all phases are in the message and no message is
/// lost; `/status` and the metrics count the calls without effect once for each run of a function.
#[test]
fn traffic_that_kong_did_not_serve_is_replayed() {
    let home = Home::new();
    let config = json!({
        "access": ["kong.ctx.shared.user = 'ann' kong.response.exit(403) kong.response.exit(404)"],
        "header_filter": ["kong.log.set_serialize_value('status', kong.response.get_status()) ngx.header.x = 'y'"],
        "body_filter": ["kong.log.set_serialize_value('body', ngx.arg[1])"],
    });
    let status = free_port();
    home.write("kong.yml", &functions(config, &home.text("messages.log")));
    let home = home
        .set("LOGPHASE_REPLAY_PHASES", "access,header_filter,body_filter")
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let mut service = home.start();
    let mut sent = transaction(1);
    sent["_context"] = json!({"response_body": "whole"});
    service.accept(sent.to_string());
    wait_until("the message is written", || messages(&service.home).len() == 1);
    let message = &messages(&service.home)[0];
    assert!(message.get("user").is_none() && message.get("body").is_none(), "{message}");
    assert_eq!(Scrape::of(status).sum("logphase_lua_no_effect_total", &[]), 0.0);
    assert_eq!(service.stop(), 0);

    service.home.change("LOGPHASE_HTTP_MATCH_ROUTES", "true");
    service.start_again();
    for _ in 0..3 {
        service.accept(sent.to_string());
    }
    wait_until("the messages are written", || messages(&service.home).len() == 4);
    let message = &messages(&service.home)[3];
    assert_eq!((&message["user"], &message["body"]), (&json!("ann"), &json!("whole")));
    assert_eq!(message["status"], sent["response"]["status"]);
    let scrape = Scrape::of(status);
    for (field, runs) in [("access[0]", 3.0), ("header_filter[0]", 3.0), ("body_filter[0]", 0.0)] {
        assert_eq!(scrape.sum("logphase_lua_no_effect_total", &[("field", field)]), runs, "{field}");
    }
    let (_, _, body) = ask(status, "GET", "/status", "");
    let shown: Value = serde_json::from_str(&body).unwrap();
    let snippets = &shown["plugins"][0]["snippets"];
    assert_eq!(snippets[0]["field"], "access[0]");
    assert_eq!(snippets[0]["no_effect"], json!({"kong.response.exit": 3}));
    assert_eq!(snippets[1]["no_effect"], json!({"ngx.header": 3}));
    assert_eq!(service.stop(), 0);
}
