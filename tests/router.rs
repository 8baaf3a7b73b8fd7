//! Finding the routes of transactions that did not come through Kong.

use serde_json::{Value, json};

use crate::service::{Home, Signal, wait_until, whole_lines};

/// Two services with a route each, and plugins for one route, one service and everything.
fn kong_yml(home: &Home, second_path: &str) -> String {
    json!({
        "_format_version": "3.0",
        "services": [
            {"name": "orders", "url": "http://orders.internal/v1", "routes": [{
                "name": "list", "hosts": ["*.shop.example"], "paths": ["~/list/\\d+$"],
                "plugins": [{"name": "file-log", "config": {"path": home.text("list.log")}}],
            }]},
            {"name": "users", "host": "users.internal", "routes": [{"name": "user", "paths": [second_path]}],
             "plugins": [{"name": "file-log", "config": {"path": home.text("users.log")}}]},
        ],
        "plugins": [{"name": "file-log", "config": {"path": home.text("rest.log"), "custom_fields_by_lua": {
            "seen": "return (kong.router.get_route() or {}).name",
        }}}],
    })
    .to_string()
}

fn request(id: u64, host: &str, uri: &str) -> Value {
    json!({"id": id, "request": {"method": "GET", "uri": uri, "url": format!("http://{host}:80{uri}"), "headers": {"host": host}}})
}

fn lines(home: &Home, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path(file)).unwrap_or_default();
    whole_lines(&text)
}

/// Scenario: an HTTP input that finds routes, with plugins for a route, a service and everything; requests for each, one
/// that has a route already, and a session; then a reload that moves a route.
/// Guarantees: the plan sees what was found; messages and snippets have route and service; what the proxy said stays; after
/// the reload, the new routes count.
#[test]
fn the_plan_sees_the_route_that_was_found() {
    let home = Home::new();
    home.write("kong.yml", &kong_yml(&home, "/users"));
    let mut service = home.set("LOGPHASE_HTTP_MATCH_ROUTES", "true").start();
    let own =
        json!({"id": 4, "route": {"name": "elsewhere"}, "request": request(4, "a.shop.example", "/list/1")["request"]});
    service.accept(
        json!([
            request(1, "a.shop.example", "/list/1?x"),
            request(2, "any.example", "/users/7"),
            request(3, "any.example", "/"),
            own,
        ])
        .to_string(),
    );
    wait_until("all messages are written", || {
        let count = |file| lines(&service.home, file).len();
        count("list.log") == 1 && count("users.log") == 1 && count("rest.log") == 2
    });
    let listed = &lines(&service.home, "list.log")[0];
    assert_eq!(
        (&listed["id"], &listed["route"]["name"], &listed["service"]["name"]),
        (&json!(1), &json!("list"), &json!("orders"))
    );
    assert_eq!(listed["route"]["service"], json!({"id": listed["service"]["id"]}));
    assert_eq!((&listed["service"]["host"], &listed["service"]["path"]), (&json!("orders.internal"), &json!("/v1")));
    assert_eq!(lines(&service.home, "users.log")[0]["route"]["name"], "user");
    let rest = lines(&service.home, "rest.log");
    let names: Vec<_> =
        rest.iter().map(|message| (message["id"].as_u64().unwrap(), message["seen"].as_str())).collect();
    assert_eq!(names, [(3, None), (4, Some("elsewhere"))]);
    assert_eq!(rest[1]["route"], json!({"name": "elsewhere"}));
    assert!(rest[0].get("route").is_none() && rest[1].get("service").is_none());

    let moved = kong_yml(&service.home, "/people");
    service.home.write("kong.yml", &moved);
    service.signal(Signal::HUP);
    wait_until("the new configuration is active", || {
        service.accept(request(5, "any.example", "/people").to_string());
        lines(&service.home, "users.log").len() > 1
    });
    assert_eq!(lines(&service.home, "users.log")[1]["request"]["uri"], "/people");
    assert_eq!(service.stop(), 0);
}

/// Scenario: the same file with the default settings, whose inputs receive what Kong logs.
/// Guarantees: no route is added.
#[test]
fn what_kong_sends_is_not_given_a_route() {
    let home = Home::new();
    home.write("kong.yml", &kong_yml(&home, "/users"));
    let mut service = home.start();
    service.accept(request(1, "any.example", "/users/7").to_string());
    wait_until("the message is written", || lines(&service.home, "rest.log").len() == 1);
    assert!(lines(&service.home, "rest.log")[0].get("route").is_none());
    assert_eq!(service.stop(), 0);
}

/// Scenario: `try` with a transaction without a route.
/// Guarantees: it names the route that was found, and the message has it.
#[test]
fn try_shows_the_route() {
    let home = Home::new();
    home.write("kong.yml", &kong_yml(&home, "/users"));
    let input = request(1, "a.shop.example", "/list/1").to_string();
    let ended = home.run(&["try", "kong.yml"], input.as_bytes());
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("route `list`, service `orders`: found by the router"), "{}", ended.stdout);
    let ended = home.run(&["try", "--json", "kong.yml"], input.as_bytes());
    let line: Value = serde_json::from_str(ended.stdout.trim()).unwrap();
    assert_eq!(
        (&line["message"]["route"]["name"], &line["message"]["service"]["name"]),
        (&json!("list"), &json!("orders"))
    );
}

/// Scenario: a malformed expression and a route without a criterion, with and without an input that finds routes; then a
/// flavor without expressions.
/// Guarantees: without one, `check` warns of the expression and accepts; with one, it refuses, with the place in the file, and
/// warns of the route; `run` refuses with the same words. Kong's settings have Kong's names.
#[test]
fn check_names_routes_that_cannot_be_used() {
    let file = "_format_version: '3.0'\nroutes:\n- name: bad\n  expression: http.path ^= 5\n- name: empty\n- name: good\n  paths: [/]\n";
    let home = Home::with(file);
    let ended = home.run(&["check", "kong.yml", "--format", "short"], b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("kong.yml:4:15: warning[K0211]"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("empty"), "{}", ended.stdout);
    let home = home.set("LOGPHASE_HTTP_MATCH_ROUTES", "true");
    let ended = home.run(&["check", "kong.yml", "--format", "short"], b"");
    assert_eq!(ended.code(), 78);
    assert!(
        ended.stdout.contains("kong.yml:4:15: error[K0211]: the router cannot use route `bad`"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("warning[K0105]") && ended.stdout.contains("empty"), "{}", ended.stdout);
    let run = home.run(&["run", "--stdin", "kong.yml"], b"");
    assert_eq!(run.code(), 78);
    assert!(run.stderr.contains("the router cannot use route `bad`"), "{}", run.stderr);
    home.write("kong.yml", &file.replace("^= 5", "^= \"/\""));
    let home =
        home.set("LOGPHASE_ROUTER_FLAVOR", "traditional_compatible").set("LOGPHASE_ROUTE_MATCH_CALCULATION", "strict");
    let ended = home.run(&["check", "kong.yml"], b"");
    assert_eq!(ended.code(), 78);
    assert!(ended.stdout.contains("router_flavor: expressions"), "{}", ended.stdout);
}

/// Scenario: standard input with a request that a route with groups in its path takes, without a flag and with it.
/// Guarantees: with the flag, route and service are found, and a snippet sees what the path captures; without it, nothing is
/// added to what Kong says.
#[test]
fn standard_input_finds_routes_if_told() {
    let home = Home::new();
    let snippet = "local found = kong.request.get_uri_captures() \
                   return {found.named.id or 'none', found.unnamed[2] or 'none', found.unnamed[0] or 'none'}";
    let kong = json!({
        "_format_version": "3.0",
        "services": [{"name": "users", "host": "users.internal", "routes": [
            {"name": "user", "paths": ["~/users/(?<id>\\d+)/(\\w+)"]},
        ]}],
        "plugins": [{"name": "file-log", "config": {
            "path": "/dev/stdout", "custom_fields_by_lua": {"captures": snippet},
        }}],
    });
    home.write("kong.yml", &kong.to_string());
    let input = request(1, "any.example", "/users/7/orders?x").to_string();
    let message = |arguments: &[&str]| -> Value {
        let ended = home.run(&[&["run", "kong.yml", "--stdin"], arguments].concat(), input.as_bytes());
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        serde_json::from_str(ended.stdout.lines().next().expect("a message")).unwrap()
    };
    let found = message(&["--match-routes"]);
    assert_eq!((&found["route"]["name"], &found["service"]["name"]), (&json!("user"), &json!("users")));
    assert_eq!(found["captures"], json!(["7", "orders", "/users/7/orders"]));
    assert!(found.get("_context").is_none());
    for arguments in [&[][..], &["--match-routes=false"]] {
        let plain = message(arguments);
        assert!(plain.get("route").is_none());
        assert_eq!(plain["captures"], json!(["none", "none", "none"]));
    }
}

/// Scenario: Kong's flavor `traditional`, and one that is mistyped.
/// Guarantees: both are refused; the first with the reason and what to use instead.
#[test]
fn the_flavor_traditional_is_refused() {
    let home = Home::new();
    home.write("kong.yml", &kong_yml(&home, "/users"));
    for (flavor, says) in
        [("traditional", "Use `traditional_compatible`"), ("expresions", "did you mean `expressions`?")]
    {
        let ended = home.run_with(&[("LOGPHASE_ROUTER_FLAVOR", flavor)], &["run", "kong.yml"]);
        assert_eq!(ended.code(), 78, "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
}
