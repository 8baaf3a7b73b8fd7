//! `logphase show`.

use serde_json::{Value, json};

use crate::service::{Ended, Home};

const KONG: &str = r#"_format_version: "3.0"
services:
- name: shop
  host: shop.internal
  routes:
  - {name: orders, paths: [/orders]}
  - name: users
    paths: [/users]
    plugins:
    - name: http-log
      instance_name: audit
      config: {http_endpoint: "https://me:letmein@logs.internal/in?key=letmein", headers: {X-Api-Key: letmein}}
  - {name: feed, paths: [/feed], protocols: [http, https], plugins: [{name: udp-log, protocols: [https], config: {host: h, port: 1}}]}
consumers: [{username: alice}, {username: bob}]
plugins:
- {name: file-log, config: {path: /tmp/all.log, custom_fields_by_lua: {a: return 1}}}
- {name: tcp-log, consumer: alice, config: {host: collector, port: 5000}}
- {name: loggly, condition: 'http.method == "GET"', config: {key: letmein}}
- {name: pre-function, config: {log: ["kong.log('x')"]}}
"#;

fn home() -> Home {
    let home = Home::with(KONG).set("LOGPHASE_ADMIN_TOKEN", "letmein-letmein-letmein");
    home.write("logphase.yml", "workers: 3\ninputs:\n  http:\n    auth: {tokens: [letmein-letmein-letmein]}\n  tcp: {listen: [\"127.0.0.1:9081\"]}\n");
    home
}

#[track_caller]
fn shown(home: &Home, arguments: &[&str]) -> Ended {
    let ended = home.run(&[&["show", "kong.yml"], arguments].concat(), b"");
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    for output in [&ended.stdout, &ended.stderr] {
        assert!(
            !output.contains("letmein@") && !output.contains("letmein-") && !output.contains("\"letmein"),
            "a secret in {output}"
        );
    }
    ended
}

/// Scenario: settings from a file, a variable, the command line and nowhere, secrets among them.
/// Guarantees: each value has the place that gives it; secrets are masked; `--changed` leaves the defaults out; durations and sizes are
/// written as files have them.
#[test]
fn settings_say_where_they_come_from() {
    let home = home();
    let text = shown(&home, &["--only", "settings"]).stdout;
    let row = |path: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(path));
        let words = line.unwrap_or_else(|| panic!("no {path} in\n{text}")).split_whitespace().skip(1);
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("workers"), "3 logphase.yml:1");
    assert_eq!(row("admin.token"), "******** LOGPHASE_ADMIN_TOKEN");
    assert_eq!(row("inputs.http.auth.tokens"), "[\"********\"] logphase.yml:4");
    assert_eq!(row("config"), "[\"kong.yml\"] command line");
    assert_eq!(row("shutdown_timeout"), "30s default");
    assert_eq!(row("lua.memory_limit"), "64MiB default");
    assert_eq!(row("admin.read_only_token"), "- default");
    let changed = shown(&home, &["--only", "settings", "--changed"]).stdout;
    assert!(changed.contains("inputs.tcp.listen") && !changed.contains("shutdown_timeout"), "{changed}");
}

/// Scenario: routes with plugins of their own, for one protocol and with a condition; a consumer with one.
/// Guarantees: the plans are those of the snapshot: plugins in execution order with queue and destination; routes with the same plan
/// are together; `--consumer` adds what the consumer has, `--route` leaves the others out; unknown names are exit code 1.
#[test]
fn plans_by_route() {
    let home = home();
    insta::assert_snapshot!("plans", shown(&home, &["--only", "plans"]).stdout);
    let graph = shown(&home, &["--format", "graph"]).stdout;
    let inputs = "input http  ADDRESS\n";
    let graph = graph.split_once('\n').map(|(_, below)| format!("{inputs}{below}")).expect("it has lines");
    insta::assert_snapshot!("graph", graph);
    let of_alice = shown(&home, &["--only", "plans", "--consumer", "alice", "--route", "users"]).stdout;
    assert!(of_alice.contains("tcp-log") && !of_alice.contains("orders"), "{of_alice}");
    assert!(!shown(&home, &["--only", "plans", "--consumer", "bob"]).stdout.contains("tcp-log"));
    for (option, name) in [("--route", "nope"), ("--consumer", "carol")] {
        let ended = home.run(&["show", "kong.yml", option, name], b"");
        assert_eq!(ended.code(), 1);
        assert!(ended.stderr.contains(&format!("`{name}`")), "{}", ended.stderr);
    }
}

/// Scenario: the same as JSON. Guarantees: it has all parts; the plugins of each plan are those that `try --why` says run for a
/// transaction of the route, in the same order, but for conditions.
#[test]
fn json_agrees_with_try() {
    let home = home();
    let all: Value = serde_json::from_str(&shown(&home, &["--format", "json"]).stdout).expect("it is JSON");
    assert_eq!(all["settings"]["workers"], json!({"value": 3, "from": {"file": "logphase.yml:1"}}));
    assert_eq!(all["inputs"][1], json!({"name": "tcp", "from": ["127.0.0.1:9081"]}));
    let http_log =
        all["entities"]["plugins"].as_array().expect("a list").iter().find(|plugin| plugin["name"] == "http-log");
    assert_eq!(http_log.expect("it is there")["config"]["headers"]["X-Api-Key"], "********");
    assert_eq!(http_log.expect("it is there")["config"]["timeout"], 10_000, "defaults are there");
    let queues = all["outputs"].as_array().expect("a list");
    let to_collector = queues.iter().find(|output| output["destination"] == "collector:5000").expect("it is there");
    assert_eq!(to_collector["queue"]["storage"], "disk");
    let plans = all["plans"].as_array().expect("a list");
    assert_eq!(plans.len(), 5, "orders, users, feed (http), feed (https), no route: {plans:?}");
    for plan in plans {
        let route = plan["route"].as_str();
        let scheme = plan["protocols"][0].as_str().unwrap_or("https");
        let transaction = json!({
            "request": {"method": "GET", "uri": "/", "url": format!("{scheme}://shop/")}, "response": {"status": 200},
            "route": {"name": route}, "service": {"name": plan["service"]},
        });
        let tried = home.run(&["try", "--why", "--json", "kong.yml"], transaction.to_string().as_bytes());
        let lines = tried.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        let run: Vec<Value> =
            lines.filter(|line| line.get("reason").is_none()).map(|line| line["plugin"].clone()).collect();
        let planned = plan["plugins"].as_array().expect("a list").iter();
        let planned: Vec<Value> = planned.map(|plugin| plugin["plugin"].clone()).collect();
        assert_eq!(run, planned, "{route:?} {scheme}: {}", tried.stderr);
    }
}

/// Scenario: the graph for Graphviz.
/// Guarantees: every edge is between nodes that are there, and inputs reach all sinks.
#[test]
fn graph_for_graphviz() {
    let home = home();
    let dot = shown(&home, &["--format", "dot"]).stdout;
    let nodes: Vec<&str> = dot
        .lines()
        .filter(|line| line.contains("[label=") && !line.contains(" -> "))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    let edges: Vec<(&str, &str)> = dot
        .lines()
        .filter(|line| line.contains(" -> ") && line.ends_with(';') && line.starts_with("  \""))
        .filter_map(|line| {
            let mut ids = line.split('"');
            Some((ids.nth(1)?, ids.nth(1)?))
        })
        .filter(|(from, _)| nodes.contains(from))
        .collect();
    for (from, to) in &edges {
        assert!(nodes.contains(from) && nodes.contains(to), "{from} -> {to} of\n{dot}");
    }
    let mut reached = vec!["input:http"];
    while let Some((_, to)) = edges.iter().find(|(from, to)| reached.contains(from) && !reached.contains(to)) {
        reached.push(to);
    }
    let sinks = nodes.iter().filter(|node| node.starts_with("sink:"));
    assert!(sinks.clone().count() == 5 && sinks.clone().all(|sink| reached.contains(sink)), "{reached:?} of\n{dot}");
}

/// Scenario: the entities are in a database, which is written while nothing runs, and there is none yet.
/// Guarantees: they are shown from there, and nothing is created.
#[test]
fn entities_of_a_database() {
    let home = Home::with(KONG).set("LOGPHASE_DATABASE", "sqlite");
    let empty = home.run(&["show", "--only", "plans"], b"");
    assert_eq!(empty.code(), 0, "{}", empty.stderr);
    assert!(empty.stdout.contains("no route\n  no plugin"), "{}", empty.stdout);
    let imported = home.run(&["config", "import", "kong.yml"], b"");
    assert_eq!(imported.code(), 0, "{}", imported.stderr);
    let ended = home.run(&["show", "--only", "entities", "--only", "plans"], b"");
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("route `users` of service `shop`"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("\"letmein\""), "{}", ended.stdout);
}

/// Scenario: a configuration with a mistake. Guarantees: the mistake is shown, and exit code 78.
#[test]
fn refuses_what_run_refuses() {
    let home = Home::with("_format_version: \"3.0\"\nplugin: []\n");
    let ended = home.run(&["show", "kong.yml"], b"");
    assert_eq!((ended.code(), &*ended.stdout), (78, ""));
    assert!(ended.stderr.contains("error[K0207]"), "{}", ended.stderr);
}
