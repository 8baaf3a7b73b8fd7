//! Who may use the Admin API, and what it shows.

use std::fs;

use serde_json::{Value, json};

use super::{Admin, send};
use crate::service::{Home, free_port, transaction, wait_until};

const JSON: &str = "Content-Type: application/json\r\n";

/// Scenario: a service with a token and a token for reading; requests with each, with a wrong one and with none. Guarantees: each token gives
/// its rights; secrets are shown to the full token alone; a client that sends a mask back keeps the secret; no line of the log has one.
#[test]
fn tokens_and_secrets() {
    let home = Home::new().set("LOGPHASE_ADMIN_TOKEN", "full").set("LOGPHASE_ADMIN_READ_ONLY_TOKEN", "reading");
    let mut admin = Admin::start_in(home);
    let full = format!("{JSON}Authorization: Bearer full\r\n");
    let reading = format!("{JSON}Kong-Admin-Token: reading\r\n");
    let ask = |method: &str, path: &str, headers: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(admin.port, method, path, headers, body.as_bytes()).unwrap()
    };
    let plugin = json!({"name": "http-log", "config": {
        "http_endpoint": "http://me:pa55@127.0.0.1:1/x", "headers": {"X-Api-Key": "5ecret", "X-Team": "a"},
    }});
    assert_eq!(ask("POST", "/plugins", JSON, plugin.clone()).status, 401);
    assert_eq!(ask("POST", "/plugins", &format!("{JSON}Kong-Admin-Token: ful\r\n"), plugin.clone()).status, 401);
    assert_eq!(ask("POST", "/plugins", &reading, plugin.clone()).status, 403);
    let made = ask("POST", "/plugins", &full, plugin).json();
    assert_eq!(made["config"]["headers"]["X-Api-Key"], "5ecret");
    let path = format!("/plugins/{}", made["id"].as_str().unwrap());
    let masked = ask("GET", &path, &reading, Value::Null).json();
    assert_eq!(masked["config"]["headers"], json!({"X-Api-Key": "********", "X-Team": "a"}));
    assert_eq!(masked["config"]["http_endpoint"], "http://me:********@127.0.0.1:1/x");
    let mut back = masked;
    back["config"]["headers"]["X-Team"] = "b".into();
    assert_eq!(ask("PATCH", &path, &full, back).status, 200);
    let now = ask("GET", &path, &full, Value::Null).json();
    assert_eq!(now["config"]["headers"], json!({"X-Api-Key": "5ecret", "X-Team": "b"}));
    assert_eq!(now["config"]["http_endpoint"], "http://me:pa55@127.0.0.1:1/x");
    admin.service.stop();
    let log = admin.service.log();
    assert!(log.contains("admin: updated plugins") && log.contains("with the token"), "{log}");
    assert!(!log.contains("5ecret") && !log.contains("pa55"), "{log}");
}

/// Scenario: a service of a file with a password, and a token; `/config` is read and loaded with the token and with that for reading. Guarantees: only
/// the full token sees the password, in the text and in the answer to a new one.
#[test]
fn whole_configurations_hide_secrets() {
    let kong_yml = "_format_version: '3.0'\nplugins:\n- name: http-log\n  config: {http_endpoint: 'http://me:pa55@127.0.0.1:1/x'}\n";
    let port = free_port();
    let home = Home::with(kong_yml).set("LOGPHASE_ADMIN_LISTEN", format!("127.0.0.1:{port}"));
    let home = home.set("LOGPHASE_ADMIN_TOKEN", "full").set("LOGPHASE_ADMIN_READ_ONLY_TOKEN", "reading");
    let _service = home.start();
    let read =
        |token: &str| send(port, "GET", "/config", &format!("Kong-Admin-Token: {token}\r\n"), b"").unwrap().text();
    assert!(read("full").contains("me:pa55@"), "{}", read("full"));
    assert!(read("reading").contains("me:********@"), "{}", read("reading"));
    let headers = "Kong-Admin-Token: full\r\nContent-Type: application/yaml\r\n";
    let loaded = send(port, "POST", "/config", headers, kong_yml.as_bytes()).unwrap();
    assert_eq!(loaded.status, 201, "{}", loaded.text());
    assert!(loaded.text().contains("me:pa55@"), "{}", loaded.text());
}

/// Scenario: pages of other origins, of allowed ones, and names that are none of the service. Guarantees: only Kong Manager's page may ask, and
/// is told so by CORS.
#[test]
fn pages_of_others_are_refused() {
    let admin = Admin::start_in(Home::new().set("LOGPHASE_ADMIN_GUI_URLS", "https://manager.example.com"));
    let status = |headers: &str| send(admin.port, "GET", "/services", headers, b"").unwrap();
    assert_eq!(status("Origin: https://evil.example.org\r\n").status, 403);
    let allowed = status("Origin: https://manager.example.com\r\n");
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://manager.example.com"));
    assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
    let asked = "Origin: https://manager.example.com\r\nAccess-Control-Request-Headers: X-A\r\n";
    let preflight = send(admin.port, "OPTIONS", "/services", asked, b"").unwrap();
    assert_eq!((preflight.status, preflight.header("access-control-allow-headers")), (204, Some("x-a")));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("get, head, options, post"));
}

/// Scenario: an address that others reach, without a token and with one. Guarantees: without one the service does not start, and says why.
#[test]
fn others_need_a_token() {
    let port = free_port();
    let home = Home::new().set("LOGPHASE_ADMIN_LISTEN", format!("0.0.0.0:{port}"));
    let ended = home.run(&["run"], b"");
    assert_eq!(ended.code(), 78, "{}", ended.stderr);
    assert!(ended.stderr.contains("admin.token"), "{}", ended.stderr);
    let service = home.set("LOGPHASE_ADMIN_TOKEN", "t").start_with(&["run"]);
    assert_eq!(send(port, "GET", "/", "Kong-Admin-Token: t\r\n", b"").unwrap().status, 200);
    drop(service);
}

/// Scenario: a file is imported into a database and served; an entity is added; the database is exported while the service runs, and
/// the export is imported elsewhere. Guarantees: both databases have the same entities, plugins run as in the file; a database that is not empty is
/// replaced only on demand; files and a database together are refused.
#[test]
fn files_move_into_databases_and_back() {
    let home = Home::new();
    let log = home.text("out.log");
    home.write(
        "kong.yml",
        &format!(
            "_format_version: '3.0'\nservices:\n- name: orders-svc\n  host: h\n  routes:\n  - name: orders\n    paths: [/orders]\n  \
             plugins:\n  - name: file-log\n    config:\n      path: {log}\n      custom_fields_by_lua: {{z: return 1, a: return 2}}\n\
             consumers:\n- username: ann\n"
        ),
    );
    let imported = home.run(&["config", "import", "kong.yml"], b"");
    assert_eq!(imported.code(), 0, "{}", imported.stderr);
    assert!(imported.stderr.contains("4 entities"), "{}", imported.stderr);
    let again = home.run(&["config", "import", "kong.yml"], b"");
    assert_eq!(again.code(), 78);
    assert!(again.stderr.contains("--replace"), "{}", again.stderr);
    assert_eq!(home.run(&["config", "import", "--replace", "kong.yml"], b"").code(), 0);
    let both = home.run_with(&[("LOGPHASE_DATABASE", "sqlite")], &["run", "kong.yml"]);
    assert!(both.stderr.contains("config import"), "{}", both.stderr);
    let admin = Admin::start_in(home);
    admin.expect(201, "POST", "/consumers", Some(json!({"username": "bob"})));
    admin.service.accept(transaction(3).to_string());
    wait_until("the message is there", || fs::read_to_string(&log).is_ok_and(|text| text.ends_with('\n')));
    let line = fs::read_to_string(&log).unwrap();
    assert!(line.contains(r#""z":1,"a":2"#), "the fields are in the order of the file: {line}");
    let exported = admin.service.home.run(&["config", "export"], b"");
    assert_eq!(exported.code(), 0, "{}", exported.stderr);
    let other = Home::with(&exported.stdout);
    let imported = other.run(&["config", "import", "kong.yml"], b"");
    assert_eq!(imported.code(), 0, "{}", imported.stderr);
    assert_eq!(other.run(&["config", "export"], b"").stdout, exported.stdout);
}
