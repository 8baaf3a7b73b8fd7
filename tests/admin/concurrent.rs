//! Writes while transactions pass.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use super::{Admin, send};
use crate::service::{Load, Messages, id_of, whole_lines};

/// Scenario: a hundred clients change a plugin and create consumers, routes and services at the same time, while two senders send transactions.
/// Each change of the plugin sets two fields to the same number. Guarantees: every write is answered; every accepted transaction is logged
/// once, with two fields of one configuration; the plugin ends as an answer said.
#[test]
fn transactions_see_whole_configurations() {
    const WRITERS: u64 = 100;
    let mut admin = Admin::start();
    let log = admin.service.home.text("out.log");
    let fields = |number: u64| json!({"a": format!("return {number}"), "b": format!("return {number}")});
    let plugin = json!({"name": "file-log", "config": {"path": log, "custom_fields_by_lua": fields(0)}});
    let id = admin.expect(201, "POST", "/plugins", Some(plugin))["id"].as_str().unwrap().to_owned();
    let load = Load::start(admin.service.home.http);
    load.await_more(100);
    let port = admin.port;
    let statuses: BTreeSet<u16> = thread::scope(|scope| {
        let writers: Vec<_> = (1..=WRITERS)
            .map(|number| {
                let id = &id;
                scope.spawn(move || {
                    let (method, path, body) = match number % 4 {
                        0 => ("POST", "/consumers".to_owned(), json!({"username": format!("c{number}")})),
                        1 => ("POST", "/services".to_owned(), json!({"name": format!("s{number}"), "host": "h"})),
                        2 => ("POST", "/routes".to_owned(), json!({"paths": [format!("/{number}")]})),
                        _ => {
                            let body = json!({"config": {"custom_fields_by_lua": fields(number)}});
                            ("PATCH", format!("/plugins/{id}"), body)
                        }
                    };
                    let json = "Content-Type: application/json\r\n";
                    send(port, method, &path, json, body.to_string().as_bytes()).unwrap().status
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(statuses, BTreeSet::from([200, 201]));
    load.await_more(100);
    let sent = load.finish();
    assert_eq!((sent.refused.len(), sent.unanswered.len()), (0, 0));
    let last = admin.expect(200, "GET", &format!("/plugins/{id}"), None);
    assert_eq!(admin.service.stop(), 0);
    let text = std::fs::read_to_string(admin.service.home.path("out.log")).unwrap();
    let messages: Vec<Value> = whole_lines(&text);
    let torn = messages.iter().find(|message| message["a"] != message["b"] || message["a"].is_null());
    assert_eq!(torn, None, "both fields are of one configuration");
    Messages::of(text.lines()).assert_once(&sent.accepted);
    let shown = last["config"]["custom_fields_by_lua"]["a"].as_str().unwrap().to_owned();
    let newest = messages.iter().rfind(|message| id_of(message).is_some()).unwrap();
    assert_eq!(format!("return {}", newest["a"]), shown);
}
