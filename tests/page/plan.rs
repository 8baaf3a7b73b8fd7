//! What a write would do, before it is made.

use serde_json::{Value, json};

use super::Browser;
use crate::service::Home;

fn plan(browser: &Browser, method: &str, path: &str, body: Value) -> Value {
    browser.expect(200, "POST", "/api/plan", &json!({"method": method, "path": path, "body": body}))
}

fn rows(plan: &Value) -> Vec<String> {
    let rows = plan["difference"].as_array().unwrap().iter();
    rows.map(|row| {
        format!(
            "{} {} {} {}",
            row["kind"].as_str().unwrap(),
            row["path"].as_str().unwrap(),
            row["before"],
            row["after"]
        )
    })
    .collect()
}

fn routes(plan: &Value) -> Vec<String> {
    plan["routes"].as_array().unwrap().iter().map(|route| route["name"].as_str().unwrap().to_owned()).collect()
}

/// Scenario: two services with routes; plugins on one route, on a service and on all; a plugin is made, changed, turned off and deleted, a
/// service that has routes is deleted, and values that Kong and the configuration as a whole refuse are written: each planned first, then made.
/// Guarantees: a plan names the members that differ, the routes that are touched and the number of plugins, or the error that the write is answered
/// with, word for word; planning stores nothing; what the write does is what was planned.
#[test]
fn plans_are_what_writes_do() {
    let browser = Browser::with_database(Home::new());
    let admin = |status: u16, method: &str, path: &str, body: Value| {
        browser.expect(status, method, &format!("/api/admin{path}"), &body)
    };
    for service in ["a", "b"] {
        admin(201, "POST", "/services", json!({"name": service, "url": "http://h"}));
        for route in ["1", "2"] {
            let route = json!({"name": format!("{service}{route}"), "paths": [format!("/{service}{route}")]});
            admin(201, "POST", &format!("/services/{service}/routes"), route);
        }
    }
    let all = || ["services", "routes", "plugins"].map(|kind| admin(200, "GET", &format!("/{kind}"), Value::Null));
    let before = all();
    let log = json!({"name": "file-log", "config": {"path": browser.service.home.text("x.log")}});
    let made = plan(&browser, "POST", "/routes/a1/plugins", log.clone());
    assert_eq!(
        (routes(&made), &made["plugins_before"], &made["plugins_after"], &made["error"]),
        (vec!["a1".to_owned()], &json!(0), &json!(1), &Value::Null)
    );
    assert!(rows(&made).contains(&"plugins name null \"file-log\"".to_owned()), "{made:#}");
    assert_eq!(all(), before, "planning stores nothing");
    let id = admin(201, "POST", "/routes/a1/plugins", log)["id"].as_str().unwrap().to_owned();

    let path = format!("/plugins/{id}");
    let patch = json!({"config": {"reopen": true}, "tags": ["new"]});
    let changed = plan(&browser, "PATCH", &path, patch.clone());
    assert_eq!(rows(&changed), ["plugins config.reopen false true", "plugins tags null [\"new\"]"], "{changed:#}");
    admin(200, "PATCH", &path, patch.clone());
    assert_eq!(rows(&plan(&browser, "PATCH", &path, patch)), Vec::<String>::new());
    let off = plan(&browser, "PATCH", &path, json!({"enabled": false}));
    assert_eq!((&off["plugins_before"], &off["plugins_after"]), (&json!(1), &json!(0)));

    let on_service =
        plan(&browser, "POST", "/services/b/plugins", json!({"name": "udp-log", "config": {"host": "h", "port": 1}}));
    assert_eq!(routes(&on_service).len(), 2);
    let on_all = plan(&browser, "POST", "/plugins", json!({"name": "udp-log", "config": {"host": "h", "port": 1}}));
    assert_eq!((routes(&on_all).len(), &on_all["routes_total"]), (4, &json!(4)));
    let gone = plan(&browser, "DELETE", "/routes/a1", Value::Null);
    assert_eq!(
        (routes(&gone), &gone["plugins_after"], gone["entities_total"].as_u64()),
        (vec!["a1".to_owned()], &json!(0), Some(2))
    );

    for (method, path, body) in [
        ("POST", "/plugins", json!({"name": "file-log", "config": {}})),
        (
            "POST",
            "/plugins",
            json!({"name": "file-log", "config": {"path": "/x", "custom_fields_by_lua": {"a": "return ("}}}),
        ),
        ("PATCH", &*path, json!({"config": {"path": 5}})),
        ("DELETE", "/services/a", Value::Null),
        ("POST", "/services/nothing/plugins", json!({"name": "udp-log"})),
        ("POST", "/routes", json!({"name": "a1", "paths": ["/"]})),
        ("PUT", "/nothing", json!({})),
        ("PUT", "/services", json!({})),
    ] {
        let planned = plan(&browser, method, path, body.clone());
        let written = browser.ask(method, &format!("/api/admin{path}"), &body);
        assert!(written.status >= 400, "{method} {path}: {}", written.text());
        assert_eq!(
            (&planned["error"], &planned["status"]),
            (&written.json(), &json!(written.status)),
            "{method} {path}"
        );
    }
    for (method, path) in [("POST", "/config"), ("PUT", "/debug/node/log-level/debug"), ("DELETE", "/cache")] {
        assert_ne!(plan(&browser, method, path, json!({}))["error"], Value::Null, "{path}");
    }
    for wrong in
        [json!({}), json!({"method": "GET", "path": "/"}), json!({"method": "POST", "path": "/plugins", "body": 1})]
    {
        browser.expect(400, "POST", "/api/plan", &wrong);
    }
}

/// Scenario: a service with declarative files: a whole configuration is planned, and a single write.
/// Guarantees: the whole configuration has its difference and stays what it is; the single write has Kong's error; a configuration with a mistake
/// has the error that loading it has.
#[test]
fn without_a_database_whole_configurations_are_planned() {
    let home = Home::new();
    let path = home.text("x.log");
    let text = |name: &str| {
        format!(
            "_format_version: '3.0'\nplugins: [{{name: file-log, instance_name: {name}, config: {{path: '{path}'}}}}]\n"
        )
    };
    home.write("kong.yml", &text("one"));
    let browser = Browser::open(home.set("LOGPHASE_RELOAD_WATCH", "false"), &["run", "kong.yml"]);
    let before = browser.expect(200, "GET", "/api/admin/plugins", &Value::Null);
    let planned = plan(&browser, "POST", "/config", json!({"config": text("two")}));
    assert!(planned["error"].is_null() && planned["difference"].to_string().contains("two"), "{planned:#}");
    assert_eq!(plan(&browser, "POST", "/config", json!({"config": text("one")}))["entities_total"], 0);
    assert_eq!(browser.expect(200, "GET", "/api/admin/plugins", &Value::Null), before);
    let wrong = json!({"config": text("two").replace("path:", "pathh:")});
    let error = plan(&browser, "POST", "/config", wrong.clone())["error"].clone();
    assert_eq!(error, browser.ask("POST", "/api/admin/config", &wrong).json());
    let single = json!({"name": "udp-log", "config": {"host": "h", "port": 1}});
    let error = plan(&browser, "POST", "/plugins", single.clone())["error"].clone();
    assert_eq!(error, browser.ask("POST", "/api/admin/plugins", &single).json());
}
