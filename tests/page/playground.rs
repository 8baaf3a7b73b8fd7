//! The playground through the page: the same messages as everywhere, processes of its own, what to begin with, tests of what is tried.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Browser;
use crate::service::{Home, id_of, transaction, wait_until};

const CONFIGURATION: &str = r#"_format_version: "3.0"
services:
- name: shop
  url: http://h
  routes: [{name: orders, paths: [/orders]}]
plugins:
- name: pre-function
  config:
    log: ["kong.log.notice('seen ', kong.request.get_method())"]
- name: http-log
  config:
    http_endpoint: http://127.0.0.1:9
    custom_fields_by_lua:
      agent: return kong.request.get_header("user-agent")
      broken: |
        local x = 1
        return x.y.z
    redact: [{header: h1}]
- name: statsd
  config: {host: h}
  route: orders
- {name: file-log, enabled: false, config: {path: /tmp/x}}
"#;

fn try_out(browser: &Browser, configuration: &str, transaction: &str) -> Value {
    let body = json!({"configuration": configuration, "transaction": transaction});
    browser.expect(200, "POST", "/api/playground", &body)
}

fn quickstart() -> Browser {
    Browser::open(Home::new(), &["run"])
}

/// Scenario: a configuration with a function that logs, fields, a field that fails, redaction, a plugin of a route, one that is disabled, and
/// a transaction of that route without it.
/// Guarantees: the route is found; each plugin has its message before and after, what changed it, its errors at their line, and its time; what is
/// sent in another form is shown; why plugins do not run, and what snippets log. Nothing is delivered.
#[test]
fn everything_about_a_transaction() {
    let browser = quickstart();
    let given = json!({"request": {"method": "GET", "uri": "/orders/1", "headers": {"user-agent": "curl", "h1": "s3cret", "host": "a"}},
                       "response": {"status": 200}, "latencies": {"request": 5}});
    let answer = try_out(&browser, CONFIGURATION, &given.to_string());
    assert_eq!(
        (&answer["stopped"], &answer["log"]),
        (&Value::Null, &json!(["[info] pre-function: seen GET"])),
        "{answer:#}"
    );
    let shown = &answer["transactions"][0];
    assert_eq!(shown["route"], "orders");
    let plugin = |name: &str| {
        let plugins = shown["plugins"].as_array().unwrap();
        plugins.iter().find(|plugin| plugin["name"] == name).unwrap_or_else(|| panic!("{name}: {answer:#}")).clone()
    };
    let http = plugin("http-log");
    assert_eq!((&http["before"]["agent"], &http["after"]["agent"]), (&Value::Null, &json!("curl")));
    assert_eq!(http["after"]["request"]["headers"]["h1"], "***");
    assert_eq!((&http["errors"][0]["field"], &http["errors"][0]["line"]), (&json!("broken"), &json!(17)), "{http:#}");
    let changes: Vec<_> =
        http["changes"].as_array().unwrap().iter().map(|one| (one["by"].clone(), one["path"].clone())).collect();
    let expected = [(json!("agent"), json!("agent")), (json!("redaction"), json!("request.headers.h1"))];
    assert_eq!(changes, expected);
    assert!(http["micros"].as_u64().unwrap() > 0 && http["sent"].is_null() && http["not_sent"].is_null(), "{http:#}");
    let sent = plugin("statsd")["sent"].to_string();
    assert!(sent.contains("kong.service.shop"), "{sent}");
    assert!(plugin("pre-function")["not_sent"].as_str().unwrap().contains("sends nothing"), "{answer:#}");
    assert_eq!(shown["skipped_plugins"][0]["why"], "`enabled` is false");
    let other = try_out(&browser, CONFIGURATION, r#"{"request": {"uri": "/other"}}"#);
    let skipped = other["transactions"][0]["skipped_plugins"].to_string();
    assert!(skipped.contains("it is for the route `orders`"), "{skipped}");
}

/// Scenario: mistakes in the configuration, in settings and in the transaction, behind characters of several bytes; a mapping that there is not.
/// Guarantees: each mistake has its text, its place in the units of an editor, and its code; a mistake of a sink does not hide the messages.
#[test]
fn mistakes_have_their_place() {
    let browser = quickstart();
    let configuration =
        "_format_version: \"3.0\"\nplugins:\n- name: file-log\n  config: {path: /tmp/\u{1f600}, pathh: 1}\n";
    let body = json!({"configuration": configuration, "settings": "kong_quirks: perhaps\n", "transaction": "{\"a\": }", "mapping": "nothing"});
    let answer = browser.expect(200, "POST", "/api/playground", &body);
    let of =
        |source: &str| answer["diagnostics"].as_array().unwrap().iter().find(|one| one["source"] == source).cloned();
    let unknown = of("configuration").unwrap_or_else(|| panic!("{answer:#}"));
    assert_eq!((&unknown["severity"], &unknown["code"]), (&json!("error"), &json!("K0102")), "{unknown:#}");
    let offset = configuration.find("pathh").unwrap();
    assert_eq!(unknown["start"], json!({"line": 4, "column": 27, "offset": offset}), "{unknown:#}");
    assert_eq!(of("settings").unwrap()["start"]["line"], 1);
    assert_eq!(of("transaction").unwrap()["start"]["offset"], 6, "{answer:#}");
    assert!(answer["diagnostics"].to_string().contains("`nothing`"), "{answer:#}");
    assert_eq!(answer["transactions"], json!([]));
    let of_sink = CONFIGURATION.replace("http://127.0.0.1:9", "nonsense");
    let answer = try_out(&browser, &of_sink, "{}");
    assert!(answer["diagnostics"][0]["message"].as_str().unwrap().contains("http_endpoint"), "{answer:#}");
    for wrong in ["[]", "{}", "{\"configuration\": 1, \"transaction\": \"\"}", "nonsense"] {
        let answer = browser.ask_with("POST", "/api/playground", super::MARKED, wrong.as_bytes());
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
}

/// A field: its key and its Lua.
fn field() -> impl Strategy<Value = (String, String)> {
    let key = prop_oneof![
        "[a-c]{1,2}".prop_map(|name| name),
        "[a-b]\\.[a-b]".prop_map(|path| path),
        "request\\.headers\\.h[0-9]".prop_map(|path| path),
        Just("route".to_owned()),
        Just("latencies.proxy".to_owned()),
    ];
    let lua = prop_oneof![
        "h[0-9]".prop_map(|name| format!("return kong.request.get_header('{name}')")),
        (0..1000).prop_map(|number| format!("return {{n = {number}, list = {{1.5, true, 'x'}}}}")),
        Just("return nil".to_owned()),
        Just("error('no')".to_owned()),
        Just("return 'kept', {mode = 'add'}".to_owned()),
        Just("return 'there', {mode = 'replace'}".to_owned()),
        "[a-b]".prop_map(|key| format!("kong.log.set_serialize_value('by.{key}', 1) return kong.request.get_method()")),
    ];
    (key, lua)
}

/// A configuration whose file-log writes `out.log`.
fn configuration() -> impl Strategy<Value = Value> {
    let fields = || prop::collection::btree_map("[a-e]", field(), 0..4);
    let redact = prop_oneof![
        Just(json!([])),
        Just(json!([{"header": "h3", "action": "remove"}])),
        Just(json!([{"pattern": "v[0-9]"}]))
    ];
    (fields(), fields(), redact, any::<bool>(), any::<bool>()).prop_map(|(first, last, redact, quirk, drops)| {
        let fields = |fields: BTreeMap<String, (String, String)>| -> Value {
            fields.into_values().map(|(key, lua)| (key, Value::from(lua))).collect::<serde_json::Map<_, _>>().into()
        };
        let function = if quirk { "kong.log.set_serialize_value('seen', ngx.var.request_method)" } else { "local x = 1" };
        let on_error = if drops { "drop" } else { "keep" };
        json!({"_format_version": "3.0", "plugins": [
            {"name": "pre-function", "config": {"log": [function]}},
            {"name": "udp-log", "config": {"host": "127.0.0.1", "port": 9, "custom_fields_by_lua": fields(first)}},
            {"name": "file-log", "config": {"path": "out.log", "custom_fields_by_lua": fields(last), "redact": redact, "on_error": on_error}},
        ]})
    })
}

/// The text of a member of a JSON text, as it is written there.
fn member(json: &str, name: &str) -> String {
    let members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    members[name].get().to_owned()
}

fn elements(json: &str) -> Vec<String> {
    let elements: Vec<Box<RawValue>> = serde_json::from_str(json).unwrap();
    elements.iter().map(|element| element.get().to_owned()).collect()
}

/// Scenario: random configurations with functions, fields of all kinds and modes, failures, dropped messages and redaction, and transactions.
/// Guarantees: the message that the playground shows for a transaction is, byte by byte, the one that `logphase try` prints, and the one
/// that a service with this configuration sends; where one has none, none has.
#[test]
fn messages_are_those_of_try_and_of_the_service() {
    const TRANSACTIONS: u64 = 12;
    let mut runner =
        TestRunner::new(Config { cases: 5, failure_persistence: None, max_shrink_iters: 0, ..Config::default() });
    runner
        .run(&configuration(), |mut configuration| {
            let home = Home::new();
            configuration["plugins"][2]["config"]["path"] = home.text("out.log").into();
            let text = configuration.to_string();
            home.write("kong.yml", &text);
            let transactions: String = (0..TRANSACTIONS).map(|n| format!("{}\n", transaction(n))).collect();
            let tried = home.run(&["try", "--json", "kong.yml"], transactions.as_bytes());
            prop_assert!(tried.code() <= 1, "{}", tried.stderr);
            let tried: Vec<(Value, String)> = tried
                .stdout
                .lines()
                .map(|line| (serde_json::from_str::<Value>(line).unwrap()["plugin"].clone(), member(line, "message")))
                .collect();
            let browser = Browser::open(home, &["run", "kong.yml"]);
            let body = json!({"configuration": text, "transaction": transactions}).to_string();
            let answer = browser.ask_with("POST", "/api/playground", super::MARKED, body.as_bytes()).text();
            let mut shown = Vec::new();
            for transaction in elements(&member(&answer, "transactions")) {
                for plugin in elements(&member(&transaction, "plugins")) {
                    let name: Value = serde_json::from_str(&member(&plugin, "name")).unwrap();
                    shown.push((name, member(&plugin, "after")));
                }
            }
            prop_assert_eq!(shown.len(), 3 * TRANSACTIONS as usize, "{}", answer);
            prop_assert_eq!(&shown, &tried);
            for line in transactions.lines() {
                browser.service.accept(line);
            }
            let expected: Vec<&String> = shown
                .iter()
                .filter(|(name, after)| name == "file-log" && after != "null")
                .map(|(_, after)| after)
                .collect();
            let path = browser.service.home.path("out.log");
            let written = || std::fs::read_to_string(&path).unwrap_or_default();
            wait_until("every message is written", || written().lines().count() >= expected.len());
            let mut written: Vec<String> = written().lines().map(str::to_owned).collect();
            let mut expected: Vec<String> = expected.into_iter().cloned().collect();
            let by_id = |line: &String| serde_json::from_str::<Value>(line).map(|message| id_of(&message)).ok();
            written.sort_by_key(by_id);
            expected.sort_by_key(by_id);
            prop_assert_eq!(written, expected);
            Ok(())
        })
        .unwrap();
}

/// Scenario: a service with a password in its configuration and a real transaction; a session of each role.
/// Guarantees: the configuration is shown without the password, as YAML that the playground takes; the last transaction is shown to those who may
/// see all of it, not to a read-only session; every example runs without an error.
#[test]
fn what_to_begin_with() {
    let home = Home::with(
        "_format_version: '3.0'\nplugins:\n- name: http-log\n  config: {http_endpoint: 'http://me:passw0rd@127.0.0.1:9/', \
         custom_fields_by_lua: {a: \"local x = 1\\nreturn x\"}}\n",
    );
    let home = home.set("LOGPHASE_ADMIN_TOKEN", "all").set("LOGPHASE_ADMIN_READ_ONLY_TOKEN", "look");
    let mut browser = Browser::open(home, &["run", "kong.yml"]);
    assert_eq!(browser.ask("GET", "/api/playground/start", &Value::Null).status, 401);
    assert_eq!(browser.log_in("all").status, 200);
    let last = |start: &Value| {
        let all = start["transactions"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["label"].as_str().unwrap().starts_with("last of http"))
    };
    wait_until("the last transaction is kept", || {
        browser.service.accept(transaction(7).to_string());
        last(&browser.expect(200, "GET", "/api/playground/start", &Value::Null)).is_some()
    });
    let start = browser.expect(200, "GET", "/api/playground/start", &Value::Null);
    let kept: Value = serde_json::from_str(last(&start).unwrap()["text"].as_str().unwrap()).unwrap();
    assert_eq!(kept, transaction(7));
    let configuration = start["configuration"].as_str().unwrap();
    assert!(!configuration.contains("passw0rd") && configuration.contains("local x = 1\n"), "{configuration}");
    let answer = try_out(&browser, configuration, &kept.to_string());
    assert_eq!(
        (&answer["diagnostics"], &answer["transactions"][0]["plugins"][0]["after"]["a"]),
        (&json!([]), &json!(1)),
        "{answer:#}"
    );
    for example in start["examples"].as_array().unwrap() {
        let answer = browser.expect(200, "POST", "/api/playground", example);
        let mistakes =
            answer["diagnostics"].as_array().unwrap().iter().filter(|one| one["severity"] == "error").count();
        let plugins = answer["transactions"][0]["plugins"].as_array().unwrap();
        assert!(
            mistakes == 0 && plugins.iter().all(|plugin| plugin["errors"] == json!([])),
            "{}: {answer:#}",
            example["name"]
        );
    }
    assert_eq!(browser.log_in("look").status, 200);
    let start = browser.expect(200, "GET", "/api/playground/start", &Value::Null);
    assert_eq!(last(&start), None);
    assert_eq!(
        try_out(&browser, CONFIGURATION, "{}")["transactions"].as_array().unwrap().len(),
        1,
        "a read-only session may try"
    );
}

/// Scenario: tests made of what is tried: with plugins of a route, of a consumer and disabled ones, snippets of several lines, a failing field,
/// values that look like matchers; one of a snippet whose value differs from run to run; one of a configuration with mistakes.
/// Guarantees: `logphase test` passes with the file, and fails when the snippet is changed; where no test can be made, the reason is said.
#[test]
fn tests_made_of_what_is_tried_pass() {
    let browser = quickstart();
    let ask = |configuration: &str, name: &str, status: u16| {
        let given = json!({"request": {"method": "GET", "uri": "/orders/1", "headers": {"user-agent": "curl: \"1\"", "h1": "x"}},
                           "odd": {"$type": "object"}, "number": 1.50, "_context": {"phase": "log"}});
        let body = json!({"configuration": configuration, "transaction": given.to_string(), "name": name});
        browser.expect(status, "POST", "/api/playground/test", &body)
    };
    let made = ask(CONFIGURATION, "Orders are logged!", 200);
    assert_eq!(made["file"], "orders_are_logged__test.yaml");
    let (home, text) = (&browser.service.home, made["text"].as_str().unwrap());
    home.write("orders_are_logged__test.yaml", text);
    let run = || home.run(&["test", "orders_are_logged__test.yaml"], b"");
    let ended = run();
    assert_eq!(ended.code(), 0, "{}{}\n{text}", ended.stdout, ended.stderr);
    assert!(text.contains("        local x = 1\n"), "{text}");
    home.write("orders_are_logged__test.yaml", &text.replace(r#"get_header(\"user-agent\")"#, r#"get_header(\"h1\")"#));
    assert_eq!(run().code(), 1);
    let random = CONFIGURATION.replace("return kong.request.get_header(\"user-agent\")", "return math.random()");
    let message = ask(&random, "random", 422)["message"].to_string();
    assert!(message.contains("from run to run"), "{message}");
    let wrong = CONFIGURATION.replace("http_endpoint", "http_end");
    assert!(ask(&wrong, "wrong", 422)["message"].as_str().unwrap().contains("mistakes"));
}

/// Scenario: a service whose program is replaced by another one while it runs, as an upgrade does.
/// Guarantees: the playground goes on with the program of the service.
#[test]
fn survives_another_program_at_its_path() {
    let mut home = Home::new();
    home.use_copy_of_program();
    let path = home.path("logphase");
    let browser = Browser::open(home, &["run"]);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
    let answer = try_out(&browser, CONFIGURATION, "{}");
    assert_eq!(answer["transactions"].as_array().unwrap().len(), 1, "{answer:#}");
}

/// Scenario: settings of a service that change what messages are, a key of hashes among them; and other settings that are pasted.
/// Guarantees: the playground runs with those of the service, but for the key, which it has not; pasted ones replace them.
#[test]
fn settings_are_those_of_the_service_unless_others_are_given() {
    let plain = "_format_version: '3.0'\nplugins: [{name: udp-log, config: {host: 127.0.0.1, port: 9}}]\n";
    let home =
        Home::with(plain).set("LOGPHASE_REDACT_KEY", "0123456789abcdef-secret").set("LOGPHASE_UNTRUSTED_LUA", "off");
    home.write("logphase.yml", "redact: [{header: h1, action: hash}]\n");
    let browser = Browser::open(home, &["run", "kong.yml"]);
    let given = transaction(1).to_string();
    let answer = try_out(&browser, plain, &given);
    let hash =
        |answer: &Value| answer["transactions"][0]["plugins"][0]["after"]["request"]["headers"]["h1"].to_string();
    let tried = browser.service.home.run(&["try", "--json", "kong.yml"], given.as_bytes());
    let line: Value = serde_json::from_str(tried.stdout.trim()).unwrap();
    let own = line["message"]["request"]["headers"]["h1"].to_string();
    assert!(
        own.contains("hmac-sha256:") && hash(&answer).contains("hmac-sha256:") && own != hash(&answer),
        "{answer:#}"
    );
    assert!(answer["diagnostics"][0]["message"].as_str().unwrap().contains("another key"), "{answer:#}");
    let lua = CONFIGURATION;
    assert!(try_out(&browser, lua, "{}")["diagnostics"].to_string().contains("untrusted_lua"));
    let body = json!({"configuration": lua, "transaction": "{}", "settings": "untrusted_lua: strict\n"});
    let answer = browser.expect(200, "POST", "/api/playground", &body);
    assert_eq!(answer["transactions"].as_array().unwrap().len(), 1, "{answer:#}");
}
