//! Messages, queues and the configuration, through the page.

use std::fs;

use serde_json::{Value, json};

use super::Browser;
use crate::service::{Home, Nginx, configuration, id_of, transaction, wait_until};

const ID: &str = "0f4f1c2e-3b1a-4f6e-8c7d-2a1b3c4d5e6f";

/// Scenario: a plugin is made through the page, on a service whose Admin API has no address; then transactions come while the page taps, by text.
/// Guarantees: the plugin runs for the next transaction; the tap shows the message before and after Lua, and only those with the text.
#[test]
fn a_plugin_is_seen_in_the_next_message() {
    let page = Browser::with_database(Home::new());
    let path = page.service.home.text("out.log");
    let plugin = json!({"name": "file-log", "config": {"path": path, "custom_fields_by_lua": {"made.here": "return 'on the page'"}}});
    let made = page.expect(201, "POST", "/api/admin/plugins", &plugin);
    let listed = page.expect(200, "GET", "/api/admin/plugins?size=10", &Value::Null);
    assert_eq!(listed["data"][0]["id"], made["id"]);
    assert!(page.expect(200, "GET", "/api/admin/schemas/plugins/file-log", &Value::Null)["fields"].is_array());
    assert_eq!(page.expect(200, "GET", "/api/admin", &Value::Null)["configuration"]["admin_listen"], json!([]));
    let wrong = page.expect(400, "POST", "/api/admin/plugins", &json!({"name": "file-log", "config": {"path": 7}}));
    assert!(wrong["fields"]["config"]["path"].is_string(), "{wrong}");
    let mut tap =
        page.stream(&format!("/api/tap?plugin={}&rate=&where=&text=%22marker%22%3A7%7D", made["id"].as_str().unwrap()));
    assert_eq!(tap.line().as_deref(), Some(""), "the tap has begun");
    for marker in [1, 7, 2, 7] {
        let mut sent = transaction(marker);
        sent["zz"] = json!({"marker": marker});
        page.service.accept(sent.to_string());
    }
    for _ in 0..2 {
        let seen = tap.object();
        assert_eq!((&seen["plugin"], &seen["id"]), (&json!("file-log"), &made["id"]));
        assert_eq!(
            (&seen["after"]["zz"]["marker"], &seen["after"]["made"]["here"]),
            (&json!(7), &json!("on the page"))
        );
        assert_eq!((&seen["before"]["zz"]["marker"], &seen["before"]["made"]), (&json!(7), &Value::Null));
    }
    wait_until("the messages are there", || fs::read_to_string(&path).is_ok_and(|text| text.lines().count() == 4));
    assert_eq!(page.ask("GET", "/api/tap?rate=0", &Value::Null).status, 400);
}

/// Scenario: a destination refuses two messages for good; the page shows the dead letters; the destination is repaired; one is replayed, one is
/// dropped. Guarantees: both are shown with the reason; the replayed one arrives; nothing is left.
#[test]
fn dead_letters_by_http() {
    let nginx = Nginx::start("if (-f PATH/refuse) { return 422; }");
    fs::write(nginx.path("refuse"), "").unwrap();
    let endpoint = format!("http://127.0.0.1:{}/log", nginx.port);
    let plugin = json!({"name": "http-log", "id": ID, "config": {"http_endpoint": endpoint}});
    let page = Browser::open(Home::with(&configuration(&json!([plugin]))), &["run", "kong.yml"]);
    page.service.accept(transaction(1).to_string());
    page.service.accept(transaction(2).to_string());
    let queue = format!("dead-letters/http-log-{ID}");
    let path = format!("/api/queues/{}", queue.replace('/', "%2F"));
    let shown = || page.ask("GET", &path, &Value::Null);
    let letters = || shown().status == 200 && shown().json().as_array().is_some_and(|all| all.len() == 2);
    wait_until("both are dead letters", letters);
    let first = shown().json()[0].clone();
    assert!(first.to_string().contains("422"), "{first}");
    let one = page.expect(200, "GET", &format!("{path}?offset=1&limit=99999999"), &Value::Null);
    assert_eq!(one.as_array().unwrap().len(), 1, "{one}");
    let listed = page.expect(200, "GET", "/api/queues", &Value::Null);
    assert!(listed.to_string().contains(&queue), "{listed}");
    let mut events = page.stream("/api/events");
    events.event_with("they are a problem", |event| event["problems"].to_string().contains("LogphaseDeadLetters"));
    fs::remove_file(nginx.path("refuse")).unwrap();
    page.expect(200, "POST", &format!("{path}/replay"), &json!({"limit": 1}));
    nginx.wait_for_status(200, 1);
    assert_eq!(id_of(&nginx.taken().last().unwrap().messages()[0]), Some(1));
    page.expect(200, "POST", &format!("{path}/drop"), &json!({}));
    events.event_with("they are none any more", |event| !event["problems"].to_string().contains("LogphaseDeadLetters"));
    assert_eq!(page.ask("POST", &format!("{path}/replay"), &json!({"limit": 1})).status, 404);
    assert_eq!(page.ask_with("POST", &format!("{path}/drop"), super::MARKED, b"nonsense").status, 400);
}
