//! Kong Manager's pages for services, routes, consumers and plugins: the requests that they make, from a page of another origin, and
//! what they read of the answers (github.com/Kong/kong-manager and github.com/Kong/public-ui-components, Apache-2.0).

use serde_json::{Value, json};

use super::{Admin, send};
use crate::service::Home;

const ORIGIN: &str = "http://localhost:8002";

/// A page of Kong Manager in a browser.
struct Page<'a> {
    admin: &'a Admin,
}

impl Page<'_> {
    /// Sends a request as a browser does: what is more than a form is asked for first, and an answer without CORS's headers is not shown.
    #[track_caller]
    fn send(&self, status: u16, method: &str, path: &str, body: &Value) -> Value {
        let origin = format!("Origin: {ORIGIN}\r\n");
        if method != "GET" {
            let asked = format!(
                "{origin}Access-Control-Request-Method: {method}\r\nAccess-Control-Request-Headers: content-type\r\n"
            );
            let answer = send(self.admin.port, "OPTIONS", path, &asked, b"").unwrap();
            let methods = answer.header("access-control-allow-methods").unwrap_or_default().to_ascii_uppercase();
            assert_eq!(answer.status, 204, "OPTIONS {path}");
            assert!(methods.split(", ").any(|allowed| allowed == method), "{path}: {methods}");
            assert_eq!(answer.header("access-control-allow-headers"), Some("content-type"), "{path}");
        }
        let headers =
            format!("{origin}Content-Type: application/json\r\nAccept: application/json, text/plain, */*\r\n");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = send(self.admin.port, method, path, &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{method} {path}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.send(200, "GET", path, &Value::Null)
    }

    /// The names in the rows of a list, page by page, in order of their own.
    #[track_caller]
    fn listed(&self, path: &str, name: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut offset = String::new();
        loop {
            let answer = self.get(&format!("{path}?sort_desc=1&size=2{offset}"));
            let rows = answer["data"].as_array().unwrap();
            names.extend(rows.iter().map(|row| row[name].as_str().unwrap_or_default().to_owned()));
            match answer["offset"].as_str() {
                Some(next) => offset = format!("&offset={next}"),
                None => break,
            }
        }
        names.sort();
        names
    }

    /// What every page of entities does: list, look for a name, open, edit with the whole form, delete.
    #[track_caller]
    fn visits(&self, kind: &str, key: &str, forms: &[Value], edit: (&str, Value)) {
        let path = format!("/{kind}");
        assert_eq!(self.listed(&path, key), Vec::<String>::new());
        let made: Vec<Value> = forms.iter().map(|form| self.send(201, "POST", &path, form)).collect();
        let mut names: Vec<&str> = forms.iter().map(|form| form[key].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(self.listed(&path, key), names);
        let found = self.get(&format!("{path}/{}", names[0]));
        assert_eq!(found[key], names[0]);
        let none = self.send(404, "GET", &format!("{path}/none"), &Value::Null);
        assert_eq!(none["message"], "Not found");
        let one = format!("{path}/{}", made[0]["id"].as_str().unwrap());
        let mut form = self.get(&one);
        form[edit.0] = edit.1.clone();
        let edited = self.send(200, "PATCH", &one, &form);
        assert_eq!(edited[edit.0], edit.1);
        assert_eq!(edited["created_at"], made[0]["created_at"]);
        let refused = self.send(409, "POST", &path, &forms[0]);
        assert!(refused["message"].as_str().unwrap().contains("UNIQUE violation"), "{refused}");
        let last = made.last().unwrap()["id"].as_str().unwrap();
        assert!(self.send(204, "DELETE", &format!("{path}/{last}"), &Value::Null).is_null());
        assert_eq!(self.listed(&path, key).len(), forms.len() - 1);
    }
}

fn services() -> Vec<Value> {
    let form = |name: &str| {
        json!({
            "name": name, "tags": [], "protocol": "http", "host": "a.test", "port": 80, "path": null, "retries": 5,
            "connect_timeout": 60000, "write_timeout": 60000, "read_timeout": 60000, "client_certificate": null,
            "ca_certificates": null, "tls_verify": null, "tls_verify_depth": null, "enabled": true,
        })
    };
    ["s1", "s2", "s3", "s4", "s5"].map(form).into()
}

fn routes() -> Vec<Value> {
    let form = |name: &str| {
        json!({
            "name": name, "tags": [], "protocols": ["http", "https"], "methods": null, "hosts": null, "paths": ["/a"],
            "headers": null, "snis": null, "sources": null, "destinations": null, "regex_priority": 0, "path_handling": "v0",
            "https_redirect_status_code": 426, "strip_path": true, "preserve_host": false, "request_buffering": true,
            "response_buffering": true, "service": null,
        })
    };
    ["r1", "r2", "r3"].map(form).into()
}

fn start() -> Admin {
    Admin::start_in(Home::new().set("LOGPHASE_ADMIN_GUI_URLS", ORIGIN))
}

/// Scenario: the overview, then the pages of services, routes and consumers: lists of several pages, the filter, forms with every
/// field, an edit, errors, deletion; the routes of a service. Guarantees: the browser may show every answer, and each has what the page reads.
#[test]
fn pages_of_entities() {
    let admin = start();
    let page = Page { admin: &admin };
    let root = page.get("/");
    for pointer in ["/version", "/edition", "/hostname", "/configuration/database", "/configuration/role"] {
        assert!(root.pointer(pointer).is_some_and(Value::is_string), "{pointer}");
    }
    assert!(root["configuration"]["admin_listeners"][0]["port"].is_u64());
    page.visits("services", "name", &services(), ("host", "b.test".into()));
    page.visits("routes", "name", &routes(), ("paths", json!(["/b", "/c"])));
    let consumers = ["c1", "c2", "c3"].map(|name| json!({"username": name, "custom_id": null, "tags": []}));
    page.visits("consumers", "username", &consumers, ("custom_id", "1".into()));
    let service = page.get("/services/s1")["id"].as_str().unwrap().to_owned();
    let mut form = routes()[0].clone();
    form["name"] = "of-s1".into();
    form["service"] = json!({ "id": service });
    page.send(201, "POST", "/routes", &form);
    assert_eq!(page.listed(&format!("/services/{service}/routes"), "name"), ["of-s1"]);
    let refused = page.send(400, "DELETE", &format!("/services/{service}"), &Value::Null);
    assert_eq!(refused["message"], "an existing 'routes' entity references this 'services' entity");
    assert_eq!(page.get("/services?size=1000")["data"].as_array().unwrap().len(), 4);
}

/// Scenario: the page of plugins: the chooser, the form that is made of the schema of each plugin, a plugin for all, for a service, a route
/// and a consumer, the switch in the list, an edit, deletion. Guarantees: the form knows the type of every field; the switch, which sends
/// the whole row back with nulls and times, changes `enabled` alone.
#[test]
fn page_of_plugins() {
    let admin = start();
    let page = Page { admin: &admin };
    let service = page.send(201, "POST", "/services", &services()[0])["id"].as_str().unwrap().to_owned();
    let route = page.send(201, "POST", "/routes", &routes()[0])["id"].as_str().unwrap().to_owned();
    let consumer = page.send(201, "POST", "/consumers", &json!({"username": "c"}))["id"].as_str().unwrap().to_owned();
    let root = page.get("/");
    for name in root["plugins"]["available_on_server"].as_object().unwrap().keys() {
        let schema = page.get(&format!("/schemas/plugins/{name}"));
        has_known_types(name, &json!({"type": "record", "fields": schema["fields"]}));
    }
    page.send(404, "GET", "/schemas/plugins/none", &Value::Null);
    // The picker of a consumer.
    assert_eq!(page.get("/consumers?size=1000")["data"][0]["id"], *consumer);
    let form = |scope: &str, id: Option<&str>| {
        let mut form = json!({
            "name": "tcp-log", "enabled": true, "tags": [], "protocols": ["grpc", "grpcs", "http", "https"], "instance_name": null,
            "service": null, "route": null, "consumer": null,
            "config": {"host": "127.0.0.1", "port": 1, "timeout": 10000, "tls": false, "tls_sni": null, "custom_fields_by_lua": null},
        });
        if let Some(id) = id {
            form[scope] = json!({ "id": id });
        }
        form
    };
    page.send(201, "POST", "/plugins", &form("", None));
    for (scope, path, id) in
        [("service", "services", &service), ("route", "routes", &route), ("consumer", "consumers", &consumer)]
    {
        let below = format!("/{path}/{id}/plugins");
        let made = page.send(201, "POST", &below, &form(scope, Some(id)));
        assert_eq!(page.listed(&below, "name"), ["tcp-log"]);
        let row = page.get(&format!("{below}?size=30"))["data"][0].clone();
        assert_eq!(row, made);
        let mut switched = row.clone();
        switched["enabled"] = false.into();
        let mut answer = page.send(200, "PATCH", &format!("/plugins/{}", row["id"].as_str().unwrap()), &switched);
        answer["updated_at"] = row["updated_at"].clone();
        assert_eq!(answer, switched);
    }
    assert_eq!(page.listed("/plugins", "name").len(), 4);
    let refused = page.send(400, "POST", "/plugins", &json!({"name": "http-log", "config": {"method": "POST"}}));
    assert_eq!(refused["message"], "schema violation (config.http_endpoint: required field missing)");
    let row = page.get(&format!("/services/{service}/plugins?size=30"))["data"][0].clone();
    let one = format!("/plugins/{}", row["id"].as_str().unwrap());
    let mut edited = page.get(&one);
    edited["config"]["port"] = 2.into();
    assert_eq!(page.send(200, "PATCH", &one, &edited)["config"], edited["config"]);
    page.send(204, "DELETE", &one, &Value::Null);
    page.send(404, "GET", &one, &Value::Null);
}

/// Fails unless Kong has the type of each field: a form is made of it.
fn has_known_types(path: &str, field: &Value) {
    let known =
        ["string", "integer", "number", "boolean", "array", "set", "map", "record", "foreign", "json", "function"];
    assert!(field["type"].as_str().is_some_and(|name| known.contains(&name)), "{path}: {}", field["type"]);
    for name in ["elements", "keys", "values"] {
        if let Some(below) = field.get(name) {
            has_known_types(&format!("{path}.{name}"), below);
        }
    }
    for (name, below) in
        field["fields"].as_array().into_iter().flatten().filter_map(|one| one.as_object()?.iter().next())
    {
        has_known_types(&format!("{path}.{name}"), below);
    }
}
