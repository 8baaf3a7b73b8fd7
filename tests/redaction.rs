//! `redact`: what Logphase removes from messages before they leave.

use serde_json::{Value, json};

use crate::service::{Home, TIMEOUT, configuration, wait_until, whole_lines};

const KEY: &str = "an integration test's own key";

/// A transaction with a secret in every possible place.
fn transaction() -> Value {
    json!({
        "upstream_uri": "/up?token=s3cr3t&x=1",
        "request": {
            "url": "http://h/p?token=s3cr3t", "uri": "/p?%74oken=s3cr3t", "querystring": {"token": "s3cr3t"},
            "headers": {"X-Api-Key": "s3cr3t", "cookie": "a=1; session=s3cr3t", "referer": "http://h/?token=s3cr3t#top"},
        },
        "response": {"headers": {"set-cookie": ["session=s3cr3t; Path=/"]}},
        "route": {"name": "r", "tags": {}, "paths": {}},
        "tries": {},
    })
}

/// The lines of a file, each a message.
fn lines(home: &Home, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path(name)).unwrap_or_default();
    whole_lines(&text)
}

/// Scenario: file-log and udp-log for one transaction with different rules, one of them with a field that copies a
/// secret; a rule of the settings for both, one for udp-log, and the key from the environment.
/// Guarantees: each destination gets its own message; neither has a secret that a rule covers; empty arrays are `[]`;
/// the key is not shown.
#[test]
fn each_plugin_has_its_own_rules() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let home = Home::new()
        .set("LOGPHASE_REDACT_KEY", KEY)
        .set("LOGPHASE_REDACT", "[{header: x-api-key}]")
        .set("LOGPHASE_PLUGINS", "{udp-log: {redact: [{key: tries, action: remove}]}}");
    let rules = json!([
        {"query": "token", "action": "remove"}, {"cookie": "session", "action": "hash"},
        {"pattern": r"\bs[0-9]cr[0-9]t\b"},
    ]);
    let copy = json!({"copied": "return {'say ' .. kong.request.get_header('x-api-key')}"});
    home.write(
        "kong.yml",
        &configuration(&json!([
            {"name": "udp-log", "config": {"host": "127.0.0.1", "port": socket.local_addr().unwrap().port()}},
            {"name": "file-log", "config": {"path": home.text("out.log"), "redact": rules, "custom_fields_by_lua": copy}},
        ])),
    );
    let mut service = home.start();
    service.accept(transaction().to_string());
    wait_until("the file has a line", || lines(&service.home, "out.log").len() == 1);
    let strict = lines(&service.home, "out.log").remove(0);
    let mut buffer = [0; 65_536];
    let length = socket.recv(&mut buffer).unwrap();
    let plain: Value = serde_json::from_slice(&buffer[..length]).unwrap();
    assert!(!strict.to_string().contains("s3cr3t"), "{strict}");
    assert_eq!(strict["copied"], json!(["say ***"]));
    assert_eq!(strict["upstream_uri"], "/up?x=1");
    assert_eq!(strict["request"]["url"], "http://h/p");
    assert_eq!(strict["request"]["uri"], "/p");
    assert_eq!(strict["request"]["querystring"], json!({}));
    assert_eq!(strict["request"]["headers"]["referer"], "http://h/#top");
    let cookie = strict["request"]["headers"]["cookie"].as_str().unwrap();
    let hash = cookie.strip_prefix("a=1; session=hmac-sha256:").unwrap();
    assert_eq!(hash.len(), 64);
    assert_eq!(strict["response"]["headers"]["set-cookie"], json!([format!("session=hmac-sha256:{hash}; Path=/")]));
    assert_eq!(plain["request"]["headers"]["X-Api-Key"], "***");
    assert_eq!(plain["request"]["url"], "http://h/p?token=s3cr3t");
    assert_eq!((strict.get("tries"), plain.get("tries")), (Some(&json!([])), None));
    for message in [&strict, &plain] {
        assert_eq!(message["route"]["tags"], json!([]));
        assert_eq!(message["route"]["paths"], json!([]));
    }
    assert_eq!(service.stop(), 0);
    assert!(!service.log().contains(KEY), "the key is shown");
}

/// Scenario: rules without a target, with two targets, with an unknown action, with an invalid pattern, a hash without
/// a key.
/// Guarantees: exit code 78 and each mistake with its place and what to do; with a key, the last one disappears.
#[test]
fn mistakes_in_rules() {
    let file = concat!(
        "_format_version: '3.0'\nplugins:\n- name: file-log\n  config:\n    path: /tmp/x\n    redact:\n",
        "    - {action: mask}\n    - {header: a, query: b}\n    - {header: a, action: mash}\n    - {pattern: '(x'}\n",
    );
    let home = Home::with(file);
    let ended = home.run(&["check", "kong.yml"], b"");
    assert_eq!(ended.code(), 78);
    insta::assert_snapshot!(format!("{}{}", ended.stdout, ended.stderr));

    let hash = "_format_version: '3.0'\nplugins: [{name: file-log, config: {path: /tmp/x, redact: [{query: t, action: hash}]}}]\n";
    let home = Home::with(hash);
    let ended = home.run(&["check", "kong.yml"], b"");
    assert_eq!(ended.code(), 78);
    insta::assert_snapshot!(format!("{}{}", ended.stdout, ended.stderr));
    let home = Home::with(hash).set("LOGPHASE_REDACT_KEY", KEY);
    assert_eq!(home.run(&["check", "kong.yml"], b"").code(), 0);
}

/// Scenario: a key that is too short, and a hash in the settings without a key.
/// Guarantees: the service does not start, reports the cause, and does not show the key.
#[test]
fn mistakes_in_settings() {
    let said = |home: Home| {
        home.write("kong.yml", "_format_version: '3.0'\n");
        let ended = home.run(&["check", "kong.yml"], b"");
        assert_eq!(ended.code(), 78);
        format!("{}{}", ended.stdout, ended.stderr)
    };
    let short = said(Home::new().set("LOGPHASE_REDACT_KEY", "tooshort"));
    assert!(short.contains("at least 16") && !short.contains("tooshort"), "{short}");
    let none = said(Home::new().set("LOGPHASE_PLUGINS", "{file-log: {redact: [{header: a, action: hash}]}}"));
    assert!(none.contains("plugins.file-log.redact[0].action") && none.contains("LOGPHASE_REDACT_KEY"), "{none}");
}

/// Scenario: credentials in request headers under each spelling of their names (`-` or `_`, upper and lower case, escaped), in
/// `_context` too; file-log, a tcp-log whose receiver is away, and a tap.
/// Guarantees: none is in the file, in the queue, in the tap (before or after Lua) or in the log.
#[test]
fn credentials_in_any_spelling() {
    let names =
        ["authorization", "proxy-authorization", "proxy_authorization", "Proxy_Authorization", "PROXY_AUTHORIZATION"];
    let more = ["Proxy-authorization", "pRoXy_aUtHoRiZaTiOn", "AUTHORIZATION", "Authorization"];
    let headers: Vec<_> = names.iter().chain(&more).map(|name| format!("\"{name}\":\"s3cr3t\"")).collect();
    let headers = format!("{{{},\"proxy\\u005fauthorization\":\"s3cr3t\"}}", headers.join(","));
    let input = format!(
        "{{\"request\":{{\"headers\":{headers}}},\"_context\":{{\"request_headers\":{headers},\"vars\":{headers}}}}}"
    );
    let home = Home::new();
    home.write(
        "kong.yml",
        &configuration(&json!([
            {"name": "file-log", "config": {"path": home.text("messages.log"), "custom_fields_by_lua": {"a": "return 1"}}},
            {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": crate::service::free_port()}},
        ])),
    );
    let mut service = home.set("LOGPHASE_SHUTDOWN_TIMEOUT", "100ms").start();
    let tapped = std::thread::scope(|scope| {
        let tap = scope.spawn(|| {
            service.home.run(&["tap", "file-log", "--both", "--json", "--sample", "all", "--limit", "1"], b"")
        });
        wait_until("the tap has a message", || {
            service.accept(&input);
            tap.is_finished()
        });
        tap.join().unwrap()
    });
    let queues = service.home.queues();
    let queue = queues.iter().filter_map(|queue| queue["name"].as_str()).find(|name| name.starts_with("tcp-log"));
    let waiting = service.home.run(&["queue", "show", queue.unwrap(), "--json"], b"").stdout;
    wait_until("the file has a message", || !lines(&service.home, "messages.log").is_empty());
    let file = std::fs::read_to_string(service.home.path("messages.log")).unwrap();
    for (name, text) in [("tap", &tapped.stdout), ("queue", &waiting), ("file", &file), ("log", &service.log())] {
        assert!(!text.contains("s3cr3t"), "{name}: {text}");
        assert!(name == "log" || text.contains("REDACTED"), "{name}: {text}");
    }
    service.stop();
}
