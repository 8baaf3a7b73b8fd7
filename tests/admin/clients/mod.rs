//! Clients of Kong's Admin API that others have written: aio-kong, for Python.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Admin;
use crate::service::{Authority, Home, python, transaction, wait_until, whole_lines};

/// Runs a step of `drive.py` with aio-kong, which checks the answers. `token`: that of the Admin API, if it has one.
#[track_caller]
fn drive(admin: &Admin, step: &str, token: Option<&str>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/admin/clients/drive.py");
    let mut command = python("tests/admin/clients/requirements.txt", "aio-kong");
    let url = format!("http://127.0.0.1:{}", admin.port);
    let ran = command.arg(script).args([step, &url, &admin.service.home.text("")]).args(token).output().unwrap();
    assert!(ran.status.success(), "{step}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// The messages in the file `name` once there are `count` of them.
#[track_caller]
fn messages(admin: &Admin, name: &str, count: usize) -> Vec<Value> {
    let read = || whole_lines(&fs::read_to_string(admin.service.home.path(name)).unwrap_or_default());
    wait_until(&format!("{name} has {count} messages"), || read().len() >= count);
    read()
}

/// Scenario: aio-kong creates services, routes, consumers, consumer groups, plugins at every scope and certificates, lists them
/// page by page, changes and deletes them, and asks for what is refused. Guarantees: it reads every answer, and each is
/// what it has asked for.
#[test]
fn aio_kong_drives_entities() {
    // Without the token, answers show no secrets.
    let admin = Admin::start_in(Home::new().set("LOGPHASE_ADMIN_TOKEN", "secret"));
    let authority = Authority::new();
    for name in ["a", "b"] {
        let (certificate, key) = authority.issue(&format!("{name}.test"));
        admin.service.home.write(&format!("{name}.pem"), &certificate);
        admin.service.home.write(&format!("{name}.key"), &key);
    }
    drive(&admin, "entities", Some("secret"));
    drive(&admin, "clear", Some("secret"));
}

/// Scenario: aio-kong applies a whole configuration over another one, twice; a transaction of its service, and one of none; then
/// it deletes everything. Guarantees: what it has applied is there, and runs: each plugin logs the transactions of its scope; after
/// that nothing is logged.
#[test]
fn aio_kong_applies_a_configuration() {
    let admin = Admin::start();
    drive(&admin, "configuration", None);
    let service = admin.expect(200, "GET", "/services/orders-svc", None);
    let mut of_service = transaction(1);
    of_service["service"] = json!({"id": service["id"], "name": "orders-svc", "host": "orders.internal"});
    let mut of_none = transaction(2);
    for name in ["service", "route"] {
        of_none.as_object_mut().unwrap().remove(name);
    }
    admin.service.accept(json!([of_service, of_none]).to_string());
    let ids = |name, count| -> Vec<Value> {
        messages(&admin, name, count).iter().map(|message| message["request"]["id"].clone()).collect()
    };
    // The plugin of the service stands for the global one.
    assert_eq!(ids("service", 1), [json!("1")]);
    assert_eq!(ids("all", 1), [json!("2")]);
    drive(&admin, "clear", None);
    let mut service = admin.service;
    service.accept(transaction(3).to_string());
    assert_eq!(service.stop(), 0);
    let files = ["service", "all"].map(|name| fs::read_to_string(service.home.path(name)).unwrap_or_default());
    assert!(files.iter().all(|text| whole_lines::<Value>(text).len() == 1), "{files:?}");
}
