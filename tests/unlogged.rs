//! Transactions that no plugin logs: they are counted, and the reason is told.

use serde_json::{Value, json};

use super::service::{Home, Scrape, configuration, free_port, wait_until};

fn transaction(route: &str, scheme: &str) -> Value {
    json!({
        "request": {"method": "GET", "uri": "/", "url": format!("{scheme}://a.example/"), "headers": {}},
        "response": {"status": 200}, "route": {"name": route}, "service": {"name": "s"}, "consumer": {"username": "bob"},
    })
}

/// file-log for one route and one protocol, and plugins that run for nothing.
fn plugins(home: &Home) -> String {
    let file = |path: &str| json!({"path": home.text(path)});
    json!({
        "_format_version": "3.0",
        "services": [{"name": "s", "url": "http://s"}],
        "routes": [
            {"name": "a", "paths": ["/a"], "protocols": ["http", "https"], "service": {"name": "s"}},
            {"name": "b", "paths": ["/b"], "service": {"name": "s"}},
        ],
        "consumers": [{"username": "ann", "groups": [{"name": "gold"}]}],
        "consumer_groups": [{"name": "gold"}],
        "plugins": [
            {"name": "file-log", "instance_name": "secure", "route": "a", "protocols": ["https"], "config": file("messages")},
            {"name": "file-log", "instance_name": "of-ann", "consumer": "ann", "config": file("ann")},
            {"name": "tcp-log", "instance_name": "of-gold", "consumer_group": "gold", "config": {"host": "h", "port": 1}},
            {"name": "udp-log", "instance_name": "off", "enabled": false, "config": {"host": "h", "port": 1}},
            {"name": "rate-limiting", "route": "a", "config": {"minute": 5}},
        ],
    })
    .to_string()
}

/// Scenario: transactions of a route without a plugin, of a protocol that the plugin of the route is not for, and one that it
/// logs.
/// Guarantees: the first two are accepted and counted by reason, in metrics, status and `top`; the log has a line for each
/// reason with the route.
#[test]
fn counted_by_reason() {
    let status = free_port();
    let home = Home::new().set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    home.write("kong.yml", &plugins(&home));
    let mut service = home.start();
    for (route, scheme) in [("b", "https"), ("b", "http"), ("a", "http"), ("a", "https")] {
        service.accept(transaction(route, scheme).to_string());
    }
    let counted = |reason| Scrape::of(status).sum("logphase_transactions_unlogged_total", &[("reason", reason)]);
    assert_eq!(["scope", "protocols", "no_plugin"].map(counted), [2.0, 1.0, 0.0]);
    for line in [
        "for other routes, services or consumers (the last one: route `b`",
        "for other protocols (the last one: route `a`",
    ] {
        wait_until("the reason is logged", || service.has_logged(line));
    }
    let top = service.home.run(&["top", "--once"], b"").stdout;
    assert!(top.contains("transactions that no plugin logs: 2: the logging plugins are for other routes"), "{top}");
    assert_eq!(service.stop(), 0);
    let messages = std::fs::read_to_string(service.home.path("messages")).unwrap();
    assert_eq!(messages.lines().count(), 1);
}

/// Scenario: a service without a logging plugin gets a transaction.
/// Guarantees: it is counted, and a warning is logged.
#[test]
fn without_any_plugin() {
    let mut service = Home::with(&configuration(&json!([]))).start();
    service.accept(transaction("a", "http").to_string());
    wait_until("the reason is logged", || service.has_logged("no logging plugin is enabled"));
    assert_eq!(service.stop(), 0);
}

/// Scenario: `logphase try --why`, for people and as JSON, on transactions that some plugins run for, with `select_tags`.
/// Guarantees: each plugin has the reason why it does not run: scope, group, protocols, a more specific plugin, `enabled`,
/// tags, or that it does nothing in the log phase.
#[test]
fn reasons_of_each_plugin() {
    let home = Home::new();
    home.write("kong.yml", &plugins(&home));
    let run = |transaction: &Value, more: &[&str]| {
        let ended = home.run(&[&["try", "--why"], more, &["kong.yml"]].concat(), transaction.to_string().as_bytes());
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        ended.stdout
    };
    let shown = run(&transaction("a", "http"), &[]);
    for line in [
        "\nfile-log (secure): does not run: it is for the protocols https, and the transaction has http\n",
        "\nfile-log (of-ann): does not run: it is for the consumer `ann`, and the transaction has `bob`\n",
        "\ntcp-log (of-gold): does not run: it is for the consumer group `gold`, and consumer `bob` is not in it\n",
        "\nudp-log (off): does not run: `enabled` is false\n",
        "\nrate-limiting: does not run: it does nothing in the log phase (route `a`)\n",
        "\nno plugin logs the transaction: the logging plugins of their route are for other protocols\n",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    let shown = run(&transaction("b", "https"), &[]);
    assert!(
        shown.contains("(secure): does not run: it is for the route `a`, and the transaction has `b`\n"),
        "{shown}"
    );

    let mut ann = transaction("a", "https");
    ann["consumer"] = json!({"username": "ann"});
    let lines = run(&ann, &["--json"]);
    let reasons: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let reason = |instance: &str| {
        let is = |line: &&Value| line["instance_name"] == instance && line.get("reason").is_some();
        reasons.iter().find(is).map(|line| line["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(reason("of-ann"), None);
    assert_eq!(reason("secure").unwrap(), "file-log (of-ann) (consumer `ann`) has a more specific scope");
    assert_eq!(reason("of-gold"), None);

    let no_consumer = json!({"request": {"headers": {}}, "response": {"status": 200}, "route": {"name": "a"}});
    let shown = run(&no_consumer, &[]);
    assert!(
        shown.contains("(of-ann): does not run: it is for the consumer `ann`, and the transaction has no consumer\n")
    );
    let tagged =
        home.run_with(&[("LOGPHASE_SELECT_TAGS", "edge")], &["try", "--why", "--transaction", "t.json", "kong.yml"]);
    assert!(tagged.code() == 74, "{}", tagged.stderr);
    home.write("t.json", &no_consumer.to_string());
    let tagged =
        home.run_with(&[("LOGPHASE_SELECT_TAGS", "edge")], &["try", "--why", "--transaction", "t.json", "kong.yml"]);
    let line = "\nfile-log: does not run: it lacks a tag of `select_tags` (consumer `ann`)\n";
    assert!(tagged.stdout.contains(line), "{}{}", tagged.stdout, tagged.stderr);
}
