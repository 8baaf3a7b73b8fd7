//! What commands and the log of the service print of text that others wrote: configurations, snippets, transactions.

use std::thread;

use logphase_io::printable::{EVERY_KIND, is_hidden};
use serde_json::{Value, json};

use crate::service::{Ended, Home, TcpPeer, configuration, transaction, wait_until};

/// Fails if `text` has a hidden character that does not lay out its lines.
#[track_caller]
fn assert_printable(what: &str, text: &str) {
    let odd: String = text.chars().filter(|c| is_hidden(*c) && !matches!(c, '\n' | '\t')).collect();
    assert!(odd.is_empty(), "{what} prints {odd:?} raw:\n{text:?}");
}

#[track_caller]
fn assert_shows(what: &str, ended: &Ended) {
    assert_printable(what, &ended.stdout);
    assert_printable(what, &ended.stderr);
    // The text came as far as the output.
    assert!(format!("{}{}", ended.stdout, ended.stderr).contains("202e"), "{what}: {}{}", ended.stdout, ended.stderr);
}

/// A transaction with hidden characters in a name and values.
fn odd_transaction() -> Value {
    let mut transaction = transaction(1);
    transaction["request"]["headers"]["x-odd"] = json!(EVERY_KIND);
    transaction[format!("name{EVERY_KIND}")] = json!({ EVERY_KIND: [EVERY_KIND] });
    transaction
}

/// Fields that copy, log and raise what the sender wrote.
fn fields() -> Value {
    json!({
        "copied": "return kong.request.get_header('x-odd')",
        "logged": "kong.log.err('said: ', kong.request.get_header('x-odd')) kong.log.inspect(kong.request.get_headers())",
        "raised": "error(kong.request.get_header('x-odd'))",
    })
}

/// Scenario: `check`, `try`, `test` and `sandbox` on files whose names of fields, values, snippets, transactions and
/// expectations have every kind of hidden character, also on one line; once more with `--json`.
/// Guarantees: for people all of them are escapes; `--json` has the bytes as they are.
#[test]
fn commands_print_no_hidden_character() {
    let home = Home::new();
    let plugin = |config: Value| json!([{"name": "file-log", "config": config}]);
    home.write("wrong.json", &configuration(&plugin(json!({"path": EVERY_KIND, EVERY_KIND: 1}))));
    for format in ["pretty", "short"] {
        assert_shows("check", &home.run(&["check", "wrong.json", "--format", format], b""));
    }
    let lua = json!({"path": "/dev/null", "custom_fields_by_lua": {"a": format!("return {EVERY_KIND}")}});
    home.write("lua.json", &configuration(&plugin(lua)));
    assert_shows("check of Lua", &home.run(&["check", "lua.json"], b""));
    home.write("kong.json", &configuration(&plugin(json!({"path": "/dev/null", "custom_fields_by_lua": fields()}))));
    let input = odd_transaction().to_string();
    assert_shows("try", &home.run(&["try", "kong.json"], input.as_bytes()));
    let ended = home.run(&["try", "kong.json", "--json"], input.as_bytes());
    let line: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(line["message"]["copied"], EVERY_KIND);
    assert!(ended.stdout.contains('\u{202e}') && ended.stdout.contains('\u{9b}'), "{}", ended.stdout);
    let rejected = format!("{{\"name{EVERY_KIND}\": nonsense}}").replace(['\u{1}', '\u{1b}', '\r'], "");
    assert_printable("try of nonsense", &home.run(&["try", "kong.json"], rejected.as_bytes()).stderr);
    let tests = json!({
        "fields": {"a": format!("return '{}'", EVERY_KIND.replace('\r', ""))},
        "transaction": odd_transaction(),
        "tests": [{"name": format!("odd {EVERY_KIND}"), "expect": {"a": format!("other {EVERY_KIND}"), EVERY_KIND: 1}}],
    });
    home.write("tests.json", &tests.to_string());
    assert_shows("test", &home.run(&["test", "tests.json"], b""));
    let name = format!("odd{}.lua", EVERY_KIND.replace('\u{1b}', ""));
    home.write(&name, &format!("-- attack: odd\nerror('{}')\n", EVERY_KIND.replace('\r', "")));
    assert_shows("sandbox", &home.run(&["sandbox", &name], b""));
    assert_shows("a missing file", &home.run(&["check", "\u{202e}missing"], b""));
}

/// Scenario: a service gets a transaction with every kind of hidden character, which snippets log and raise; its message
/// waits for a receiver that is away. `queue list`, `queue show`, `tap` and `top` look at it.
/// Guarantees: neither the log nor a command prints one raw.
#[test]
fn the_service_prints_no_hidden_character() {
    let peer = TcpPeer::absent();
    let home = Home::new();
    home.write(
        "kong.yml",
        &configuration(&json!([
            {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port, "custom_fields_by_lua": fields()}},
            {"name": "file-log", "config": {"path": home.text("messages.log")}},
        ])),
    );
    let mut service = home.set("LOGPHASE_SHUTDOWN_TIMEOUT", "100ms").start();
    let input = odd_transaction().to_string();
    let tapped = thread::scope(|scope| {
        let tap = scope.spawn(|| service.home.run(&["tap", "file-log", "--sample", "all", "--limit", "1"], b""));
        // Until the tap is connected, nothing says that it is.
        wait_until("the tap has a message", || {
            service.accept(&input);
            tap.is_finished()
        });
        tap.join().unwrap()
    });
    assert_shows("tap", &tapped);
    let queues = service.home.queues();
    let queue =
        queues.iter().filter_map(|queue| queue["name"].as_str()).find(|name| name.starts_with("tcp-log")).unwrap();
    assert_shows("queue show", &service.home.run(&["queue", "show", queue], b""));
    assert_printable("queue list", &service.home.run(&["queue", "list"], b"").stdout);
    assert_printable("top", &service.home.run(&["top"], b"").stdout);
    wait_until("the snippets have logged", || service.has_logged("said: ") && service.has_logged("failed"));
    let log = service.log();
    assert_printable("the log", &log);
    assert!(log.contains("\\u{202e}"), "{log}");
    service.stop();
}
