//! Who may use the page, and from where.

use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Browser, MARKED, PATIENCE, Stream, raw_cookie};
use crate::admin::send;
use crate::security;
use crate::service::{Authority, Home, Signal, configuration, free_port, wait_until};

const NONE: Value = Value::Null;
const APIS: [&str; 5] = ["/api/events", "/api/history", "/api/tap", "/api/queues", "/api/admin/services"];

fn protected() -> Home {
    Home::new().set("LOGPHASE_ADMIN_TOKEN", "Full-Token").set("LOGPHASE_ADMIN_READ_ONLY_TOKEN", "Reading-Token")
}

/// Scenario: a page with both tokens: no login, a login with each, a change with each, a logout with open streams. Guarantees: without a
/// login only the assets and the session are answered; the cookie is out of reach for scripts and other sites; the reading token changes
/// nothing and sees no secrets; a logout ends the streams; no token and no cookie is in the log.
#[test]
fn logins_and_roles() {
    let mut page = Browser::with_database(protected());
    assert_eq!(page.expect(200, "GET", "/api/session", &NONE)["login"], "needed");
    for path in APIS {
        assert_eq!(page.ask("GET", path, &NONE).status, 401, "{path}");
    }
    assert_eq!(page.ask_with("GET", "/api/session", "Cookie: logphase_session=x\r\n", b"").json()["role"], NONE);
    assert_eq!(
        page.ask_with("POST", "/api/admin/services", MARKED, &[b'x'; 8000]).status,
        413,
        "unknown people send little"
    );
    assert_eq!(page.ask("POST", "/api/session", &json!({})).status, 400);

    let answer = page.log_in("Full-Token");
    let session = answer.json();
    assert_eq!((&session["login"], &session["role"]), (&json!("done"), &json!("full")));
    assert_eq!(session["configuration"], "database");
    let cookie = answer.header("set-cookie").unwrap();
    for attribute in ["httponly", "samesite=strict", "path=/"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
    }
    assert!(!cookie.contains("secure") && !cookie.contains("domain"), "{cookie}");
    assert_eq!(page.expect(200, "GET", "/api/session", &NONE)["role"], "full");
    let plugin = json!({"name": "http-log", "config": {"http_endpoint": "http://me:pa55@127.0.0.1:1/"}});
    let made = page.expect(201, "POST", "/api/admin/plugins", &plugin);
    assert_eq!(made["config"]["http_endpoint"], "http://me:pa55@127.0.0.1:1/");

    let reader = format!("Cookie: {}\r\n", raw_cookie(page.port, "Reading-Token"));
    let ask = |method: &str, path: &str, body: &Value| {
        send(page.port, method, path, &format!("{reader}{MARKED}"), body.to_string().as_bytes()).unwrap()
    };
    let seen = ask("GET", &format!("/api/admin/plugins/{}", made["id"].as_str().unwrap()), &NONE);
    assert_eq!(seen.json()["config"]["http_endpoint"], "http://me:********@127.0.0.1:1/");
    for (method, path) in [
        ("POST", "/api/admin/services"),
        ("DELETE", "/api/admin/plugins/x"),
        ("POST", "/api/queues/x/replay"),
        ("POST", "/api/queues/x/drop"),
        ("POST", "/api/queues/x/salvage"),
    ] {
        assert_eq!(ask(method, path, &json!({})).status, 403, "{method} {path}");
    }
    assert_eq!(
        ask("POST", "/api/admin/schemas/services/validate", &json!({"host": "h"})).status,
        200,
        "it only checks"
    );

    let (mut events, mut tap) = (page.stream("/api/events"), page.stream("/api/tap"));
    let mut of_reader = Stream::open(page.port, "/api/events", &reader);
    events.event();
    tap.line();
    assert_eq!(page.expect(200, "DELETE", "/api/session", &NONE)["login"], "needed");
    let start = Instant::now();
    while events.line().is_some() {
        assert!(start.elapsed() < PATIENCE);
    }
    while tap.line().is_some() {
        assert!(start.elapsed() < PATIENCE);
    }
    of_reader.event();
    assert_eq!(page.ask("GET", "/api/queues", &NONE).status, 401);
    page.service.stop();
    let log = page.service.log();
    assert!(log.contains("page: login from 127.0.0.1 with the token"), "{log}");
    let cookie = page.cookie.trim_end().split_once('=').unwrap().1;
    assert!(!log.contains("Full-Token") && !log.contains("Reading-Token") && !log.contains(cookie), "{log}");
}

/// Scenario: ten wrong tokens, then the right one; an open session goes on. Guarantees: nobody can guess on; who is logged in notices nothing.
#[test]
fn guessing_is_limited() {
    let mut page = Browser::open(protected(), &["run"]);
    page.log_in("Full-Token");
    let guess = |token: &str| {
        send(page.port, "POST", "/api/session", MARKED, json!({"token": token}).to_string().as_bytes()).unwrap()
    };
    for _ in 0..10 {
        assert_eq!(guess("full-token").status, 401);
    }
    let refused = guess("Full-Token");
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60);
    assert_eq!(page.ask("GET", "/api/queues", &NONE).status, 200);
    wait_until("the log says so", || page.service.has_logged("page: a login with a wrong token"));
}

/// Scenario: requests from pages of other origins, ports and sites, forms of theirs, and foreign names, to a page without a token. Guarantees:
/// all are refused, whatever they ask; every answer forbids frames and foreign scripts, and lets no other page read it.
#[test]
fn other_pages_are_refused() {
    let page = Browser::with_database(Home::new());
    let own = format!("Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n{MARKED}");
    let form = "X-Logphase-Page: 1\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let cases: [(u16, &str, &str, &str); 12] = [
        (200, "GET", "/api/session", ""),
        (201, "POST", "/api/admin/consumers", &own),
        (403, "POST", "/api/admin/consumers", &own.replace("localhost", "localhost:8080")),
        (403, "POST", "/api/admin/consumers", &own.replace("same-origin", "same-site")),
        (403, "POST", "/api/admin/consumers", "Content-Type: application/json\r\n"),
        (415, "POST", "/api/admin/consumers", form),
        (403, "OPTIONS", "/api/admin/consumers", "Origin: https://evil.example\r\n"),
        (403, "GET", "/api/admin/consumers", "Origin: https://evil.example\r\n"),
        (403, "GET", "/api/events", "Sec-Fetch-Site: cross-site\r\n"),
        (404, "GET", "/api/nothing", ""),
        (404, "GET", "/api/admin/nothing", ""),
        (405, "POST", "/", MARKED),
    ];
    for (status, method, path, headers) in cases {
        let answer = page.ask_with(method, path, headers, br#"{"username": "ann"}"#);
        assert_eq!(answer.status, status, "{method} {path} {headers}: {}", answer.text());
        assert_safe(&answer.head);
        assert!(answer.header("cache-control").is_some_and(|value| value == "no-store"), "{}", answer.head);
    }
    let body = b"GET /api/session HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";
    let mut client = crate::service::Client::connect(page.port).unwrap();
    client.send(body).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 421);
    assert_safe(&answer.head);
    // The page itself, or how to build it.
    let answer = page.ask("GET", "/", &NONE);
    assert!([200, 503].contains(&answer.status), "{}", answer.text());
    assert_safe(&answer.head);
    assert_safe(&page.stream("/api/events").head);
}

/// What every answer says to a browser.
#[track_caller]
fn assert_safe(head: &str) {
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim);
    let policy = value("content-security-policy").unwrap_or_default();
    for part in
        ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]
    {
        assert!(policy.contains(part), "{head}");
    }
    assert!(!policy.contains("unsafe"), "{head}");
    assert_eq!(value("x-frame-options"), Some("deny"), "{head}");
    assert_eq!(value("x-content-type-options"), Some("nosniff"), "{head}");
    assert_eq!(value("referrer-policy"), Some("no-referrer"), "{head}");
    assert_eq!(value("cross-origin-opener-policy"), Some("same-origin"), "{head}");
    assert_eq!(value("cross-origin-resource-policy"), Some("same-origin"), "{head}");
    assert_eq!(value("access-control-allow-origin"), None, "{head}");
}

/// Scenario: pages that others reach without a token, and one that asks for nothing beside an Admin API that asks for certificates. Guarantees:
/// neither `check` nor the service takes them, and both say what to set; with a token they do.
#[test]
fn nobody_gets_in_by_the_page() {
    let port = free_port();
    let home = Home::with(&configuration(&json!([]))).set("LOGPHASE_PAGE_LISTEN", format!("0.0.0.0:{port}"));
    for arguments in [["run", "kong.yml"], ["check", "kong.yml"]] {
        let ended = home.run(&arguments, b"");
        assert_eq!(ended.code(), 78, "{}", ended.stderr);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("admin.token") && said.contains("page.listen"), "{said}");
    }
    let service = home.set("LOGPHASE_ADMIN_TOKEN", "t").start();
    wait_until("the log warns", || service.has_logged("does not encrypt"));
    assert_eq!(send(port, "GET", "/api/queues", "", b"").unwrap().status, 401);

    let home = security::with_tls(security::home(&Authority::new()), "ADMIN", true);
    home.write("kong.yml", &configuration(&json!([])));
    let home = home.set("LOGPHASE_PAGE_LISTEN", format!("127.0.0.1:{}", free_port()));
    let ended = home.run(&["run", "kong.yml"], b"");
    assert_eq!(ended.code(), 78, "{}", ended.stderr);
    assert!(ended.stderr.contains("page.tls with client_ca"), "{}", ended.stderr);
}

/// Scenario: a page over TLS whose browsers may have a certificate, and a token. curl comes with a certificate, and with the token. Guarantees: the
/// certificate stands for the token; the cookie of a login is sent over TLS alone.
#[test]
fn certificates_and_tls() {
    let (authority, port) = (Authority::new(), free_port());
    let home = security::with_tls(security::home(&authority), "PAGE", true);
    let home = home
        .set("LOGPHASE_PAGE_TLS_CLIENT_AUTH", "optional")
        .set("LOGPHASE_PAGE_LISTEN", format!("127.0.0.1:{port}"))
        .set("LOGPHASE_ADMIN_TOKEN", "Full-Token");
    let service = home.start_with(&["run"]);
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30", "-i", "--resolve", &format!("localhost:{port}:127.0.0.1")]);
        command.args(["--cacert", &service.home.text("ca.pem")]);
        let output = command.args(arguments).arg(format!("https://localhost:{port}/api/session")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).to_lowercase()
    };
    let (certificate, key) = (service.home.text("client.pem"), service.home.text("client.key"));
    let certified = curl(&["--cert", &certificate, "--key", &key]);
    assert!(certified.contains(r#""login":"none","role":"full""#), "{certified}");
    assert!(curl(&[]).contains(r#""login":"needed""#));
    let token = json!({"token": "Full-Token"}).to_string();
    let header = ["-H", "content-type: application/json", "-H", "x-logphase-page: 1", "-d", &token];
    let logged_in = curl(&header);
    assert!(logged_in.contains(r#""login":"done""#) && logged_in.contains("; secure"), "{logged_in}");
}

/// Scenario: the settings of the page change while the service runs. Guarantees: the log says that they take effect at a restart, and the page goes
/// on as before.
#[test]
fn changed_settings_need_a_restart() {
    let home = Home::with(&configuration(&json!([])));
    home.write("logphase.yml", "page: {allowed_hosts: [a.example]}\n");
    let page = Browser::open(home, &["run", "--settings", "logphase.yml", "kong.yml"]);
    page.service.home.write("logphase.yml", "page: {allowed_hosts: [b.example]}\n");
    page.service.signal(Signal::HUP);
    wait_until("the log says so", || {
        page.service.has_logged("page: changed in the settings, but takes effect only at the start")
    });
    assert_eq!(page.expect(200, "GET", "/api/session", &NONE)["configuration"], "files");
}
