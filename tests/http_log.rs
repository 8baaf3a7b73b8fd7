//! http-log with a real nginx.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::service::{Authority, Home, Load, Nginx, Service, configuration, id_of, silent, transaction, wait_until};

/// An http-log that sends to this nginx, with `more` in its config.
fn plugin(nginx: &Nginx, more: &Value) -> Value {
    let mut config = json!({"http_endpoint": format!("http://127.0.0.1:{}/log?from=kong", nginx.port)});
    merge(&mut config, more);
    json!({"name": "http-log", "config": config})
}

fn merge(into: &mut Value, more: &Value) {
    let members = into.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
}

fn start(plugins: &Value) -> Service {
    Home::with(&configuration(plugins)).set("LOGPHASE_SHUTDOWN_TIMEOUT", "5").start()
}

fn post(service: &Service, ids: std::ops::Range<u64>) {
    let all: Vec<Value> = ids.map(transaction).collect();
    service.accept(Value::from(all).to_string());
}

fn ids(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| id_of(message).unwrap()).collect()
}

/// An http-log that sends to an nginx with TLS: a plugin with `more`, and a client certificate by `authority` if it
/// wants one.
fn over_tls(nginx: &Nginx, authority: &Authority, more: &Value) -> Home {
    let mut plugin = plugin(nginx, &json!({"http_endpoint": format!("https://localhost:{}/log", nginx.port)}));
    merge(&mut plugin["config"], more);
    let (cert, key) = authority.issue("gateway");
    let certificates = json!([{"id": CERTIFICATE, "cert": cert, "key": key}]);
    let kong = json!({"_format_version": "3.0", "certificates": certificates, "plugins": [plugin]});
    let home = Home::with(&kong.to_string());
    home.write("store.pem", &authority.pem());
    let store = home.text("store.pem");
    home.set("SSL_CERT_FILE", store)
}

const CERTIFICATE: &str = "5c8f6e0a-6d43-4c9c-9ae0-3a0f0b8f6a11";

/// Scenario: a plugin with the minimal configuration, a user in its URL and one header; three transactions one after
/// the other.
/// Guarantees: each is one POST request whose body is the message alone, with the endpoint's query, content type,
/// length, credentials and header; all on one connection.
#[test]
fn one_by_one() {
    let nginx = Nginx::start("");
    let endpoint = format!("http://me:p%40ss@127.0.0.1:{}/log?from=kong", nginx.port);
    let mut service = start(&json!([plugin(&nginx, &json!({"http_endpoint": endpoint, "headers": {"X-Key": "k1"}}))]));
    for id in 1..=3 {
        service.accept(transaction(id).to_string());
        nginx.wait_for(usize::try_from(id).unwrap());
    }
    assert_eq!(service.stop(), 0);
    let taken = nginx.taken();
    assert_eq!(taken.iter().map(|request| ids(&request.messages())[0]).collect::<Vec<_>>(), [1, 2, 3]);
    for request in &taken {
        assert!(request.body.starts_with('{'), "{}", request.body);
        assert_eq!(request.line, "POST /log?from=kong HTTP/1.1");
        for (name, expected) in [
            ("host", format!("127.0.0.1:{}", nginx.port)),
            ("authorization", "Basic bWU6cEBzcw==".to_owned()),
            ("content_type", "application/json".to_owned()),
            ("content_length", request.body.len().to_string()),
            ("user_agent", concat!("logphase/", env!("CARGO_PKG_VERSION")).to_owned()),
            ("x_key", "k1".to_owned()),
        ] {
            assert_eq!(request.facts[name], expected, "{name}");
        }
        assert_eq!(request.connection, taken[0].connection);
    }
}

/// Scenario: `max_batch_size: 10` with a long coalescing delay; 25 transactions, then the service stops; another plugin
/// with a short delay, and one transaction.
/// Guarantees: arrays of ten at once; the rest when the delay ends or the service stops, as an array even if it is one
/// message.
#[test]
fn batches() {
    let nginx = Nginx::start("");
    let queue = |delay: f64| json!({"queue": {"max_batch_size": 10, "max_coalescing_delay": delay}, "method": "PUT"});
    let mut service = start(&json!([plugin(&nginx, &queue(60.0))]));
    post(&service, 0..25);
    nginx.wait_for(2);
    assert_eq!(service.stop(), 0);
    let taken = nginx.taken();
    let batches: Vec<_> = taken.iter().map(|request| ids(&request.messages())).collect();
    assert_eq!(batches, [(0..10).collect(), (10..20).collect(), (20..25).collect::<Vec<u64>>()]);
    assert!(taken.iter().all(|request| request.body.starts_with('[') && request.line.starts_with("PUT ")));

    let mut service = start(&json!([plugin(&nginx, &queue(0.05))]));
    post(&service, 30..31);
    nginx.wait_for(4);
    assert_eq!(service.stop(), 0);
    assert!(nginx.taken()[3].body.starts_with('[') && ids(&nginx.taken()[3].messages()) == [30]);
}

/// Scenario: two plugins on two routes with one target, a third with its own header; batches of ten, and ten
/// transactions, five for each of the first two; five for the third.
/// Guarantees: the messages of the first two fill one batch; it has none of the third.
#[test]
fn plugins_with_one_target_share_a_batch() {
    let nginx = Nginx::start("");
    let queue = |size: u64| json!({"max_batch_size": size, "max_coalescing_delay": 60});
    let of = |name: &str, more: Value| {
        let mut plugin = plugin(&nginx, &more);
        plugin["instance_name"] = json!(name);
        json!({"name": name, "paths": [format!("/{name}")], "plugins": [plugin]})
    };
    let kong = json!({"_format_version": "3.0", "services": [{"name": "s", "url": "http://s", "routes": [
        of("one", json!({"queue": queue(3)})),
        of("two", json!({"queue": queue(10)})),
        of("three", json!({"queue": queue(10), "headers": {"X-Key": "three"}})),
    ]}]});
    let mut service = Home::with(&kong.to_string()).start();
    let on = |route: &str, id: u64| {
        let mut transaction = transaction(id);
        transaction["route"] = json!({"name": route});
        transaction
    };
    let mixed: Vec<Value> = (0..10).map(|id| on(if id % 2 == 0 { "one" } else { "two" }, id)).collect();
    service.accept(Value::from((20..25).map(|id| on("three", id)).collect::<Vec<_>>()).to_string());
    service.accept(Value::from(mixed).to_string());
    nginx.wait_for(1);
    let first = nginx.taken().remove(0);
    let mut shared = ids(&first.messages());
    shared.sort_unstable();
    assert_eq!((shared, first.facts["x_key"].as_str()), ((0..10).collect(), ""));
    assert_eq!(service.stop(), 0);
    let last = nginx.taken().remove(1);
    assert_eq!((ids(&last.messages()), last.facts["x_key"].as_str()), ((20..25).collect(), "three"));
}

fn restart_under_load(mut nginx: Nginx, home: Home) {
    let mut service = home.start();
    let load = Load::start(service.home.http);
    for _ in 0..4 {
        let before = nginx.taken().len();
        load.await_more(100);
        nginx.wait_for(before + 2);
        nginx.stop();
        load.await_more(100);
        nginx.restart();
    }
    load.await_more(100);
    let sent = load.finish();
    assert!(sent.refused.is_empty() && sent.unanswered.is_empty(), "{:?} {:?}", sent.refused, sent.unanswered);
    assert_eq!(service.stop(), 0);
    nginx.messages().assert_all(&sent.accepted);
}

/// Scenario: nginx is stopped and restarted four times under load: with batches, with single messages, and without a
/// concurrency limit.
/// Guarantees: every transaction that was answered 200 arrives, complete.
#[test]
fn nginx_restarts_under_load() {
    for queue in [
        json!({"max_batch_size": 50, "max_coalescing_delay": 0.02, "max_retry_delay": 0.2}),
        json!({"max_retry_delay": 0.2}),
        json!({"concurrency_limit": -1, "max_retry_delay": 0.2}),
    ] {
        let nginx = Nginx::start("");
        let home = Home::with(&configuration(&json!([plugin(&nginx, &json!({"queue": queue}))])));
        restart_under_load(nginx, home);
    }
}

/// Scenario: the same over HTTP/2, without a concurrency limit.
/// Guarantees: the same.
#[test]
fn nginx_with_http2_restarts_under_load() {
    let authority = Authority::new();
    let nginx = Nginx::start_tls(&authority);
    let queue = json!({"concurrency_limit": -1, "max_retry_delay": 0.2});
    let home = over_tls(&nginx, &authority, &json!({"client_certificate": {"id": CERTIFICATE}, "queue": queue}));
    restart_under_load(nginx, home);
}

/// Scenario: nginx is unavailable under load; SIGHUP adds a second plugin with the same target and other queue bounds,
/// then removes the first; nginx starts again.
/// Guarantees: every transaction that was answered 200 arrives, complete.
#[test]
fn plugins_come_to_a_shared_queue_and_go() {
    let mut nginx = Nginx::start("");
    let instance = |name: &str, size: u64| {
        let queue = json!({"max_batch_size": size, "max_coalescing_delay": 0.02, "max_retry_delay": 0.2});
        let mut plugin = plugin(&nginx, &json!({"queue": queue}));
        plugin["instance_name"] = json!(name);
        plugin
    };
    let kong = |global: &[Value], on_route: &[Value]| {
        let route = json!({"name": "orders", "paths": ["/"], "plugins": on_route});
        let services = json!([{"name": "s", "url": "http://s", "routes": [route]}]);
        json!({"_format_version": "3.0", "plugins": global, "services": services}).to_string()
    };
    let (one, two) = ([instance("one", 5)], [instance("two", 7)]);
    let mut service = Home::with(&kong(&one, &[])).start();
    let load = Load::start(service.home.http);
    load.await_more(50);
    nginx.stop();
    for (turn, text) in [kong(&one, &two), kong(&[], &two)].iter().enumerate() {
        load.await_more(50);
        service.home.write("kong.yml", text);
        service.signal(crate::service::Signal::HUP);
        wait_until("the configuration is reloaded", || service.count_logged("configuration reloaded") == turn + 1);
    }
    load.await_more(50);
    nginx.restart();
    load.await_more(50);
    let sent = load.finish();
    assert!(sent.refused.is_empty() && sent.unanswered.is_empty(), "{:?} {:?}", sent.refused, sent.unanswered);
    assert_eq!(service.stop(), 0);
    nginx.messages().assert_all(&sent.accepted);
}

/// Scenario: nginx answers 500 while a file exists, then 429 with `Retry-After: 2` while another exists.
/// Guarantees: all messages arrive once, in order; after 429 nothing is sent for two seconds; the log has the answers.
#[test]
fn failing_then_busy() {
    let nginx = Nginx::start(
        "add_header Retry-After $pause always; if (-f PATH/broken) { return 500; } if (-f PATH/busy) { return 429; }",
    );
    std::fs::write(nginx.path("broken"), "").unwrap();
    let mut service = start(&json!([plugin(&nginx, &json!({}))]));
    post(&service, 0..5);
    nginx.wait_for_status(500, 3);
    assert!(service.has_logged("/log answers 500 Internal Server Error (<html> <head><title>500 Internal"));
    std::fs::write(nginx.path("busy"), "").unwrap();
    std::fs::remove_file(nginx.path("broken")).unwrap();
    nginx.wait_for_status(429, 1);
    std::fs::remove_file(nginx.path("busy")).unwrap();
    nginx.wait_for(5);
    assert_eq!(service.stop(), 0);
    let posted = nginx.posted();
    let at = posted.iter().position(|request| request.status == 429).unwrap();
    assert!(posted[at + 1].time - posted[at].time >= 2.0, "{posted:?}");
    let delivered: Vec<_> = nginx.taken().iter().flat_map(|request| ids(&request.messages())).collect();
    assert_eq!(delivered, [0, 1, 2, 3, 4]);
}

/// Scenario: nginx closes each connection without an answer (444) while a file exists, then forwards requests to a
/// server that never answers, while another exists.
/// Guarantees: all messages arrive, in order; the log reports both failures.
#[test]
fn cut_off_and_silent() {
    let nobody = silent();
    let port = nobody.local_addr().unwrap().port();
    let nginx = Nginx::start(&format!(
        "error_page 598 = @silent; location @silent {{ proxy_pass http://127.0.0.1:{port}; }} \
         if (-f PATH/cut) {{ return 444; }} if (-f PATH/silent) {{ return 598; }}"
    ));
    std::fs::write(nginx.path("cut"), "").unwrap();
    let mut service = start(&json!([plugin(&nginx, &json!({"timeout": 300, "queue": {"max_batch_size": 5}}))]));
    post(&service, 0..5);
    wait_until("the log reports it", || service.has_logged("closed the connection without an answer"));
    std::fs::write(nginx.path("silent"), "").unwrap();
    std::fs::remove_file(nginx.path("cut")).unwrap();
    wait_until("the log reports it", || service.has_logged("no answer within config.timeout (300 ms)"));
    std::fs::remove_file(nginx.path("silent")).unwrap();
    nginx.wait_for(1);
    assert_eq!(service.stop(), 0);
    assert_eq!(nginx.taken().iter().flat_map(|request| ids(&request.messages())).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

/// Scenario: nginx accepts bodies up to 8 kB; a batch of twenty messages, one of them larger.
/// Guarantees: the others arrive in smaller batches; only the large one becomes a dead letter, with the reason.
#[test]
fn too_large() {
    let nginx = Nginx::start("client_max_body_size 8k;");
    let queue = json!({"queue": {"max_batch_size": 20, "max_coalescing_delay": 60}});
    let mut service = start(&json!([plugin(&nginx, &queue)]));
    let mut all: Vec<Value> = (0..20).map(transaction).collect();
    all[7]["padding"] = json!("x".repeat(9000));
    service.accept(Value::from(all).to_string());
    wait_until("all messages are delivered or dead letters", || nginx.messages().counts.len() == 19);
    assert_eq!(service.stop(), 0);
    let expected: BTreeSet<u64> = (0..20).filter(|id| *id != 7).collect();
    nginx.messages().assert_once(&expected);
    let letters = service.home.messages_in("dead-letters/http-log");
    let [letter] = letters.as_slice() else { panic!("one letter: {letters:?}") };
    assert_eq!(id_of(&letter["message"]), Some(7));
    assert!(letter["reason"].as_str().unwrap().contains("answers 413 "), "{letter}");
    assert!(service.has_logged("is sent in parts"), "the log does not report the split");
}

/// Scenario: nginx rejects the password; nginx redirects; nothing listens on the port. The retry time is short; at the
/// end it is Kong's -1, which means one attempt.
/// Guarantees: the messages are dropped after that time and counted; the log says what to correct.
#[test]
fn errors_say_what_to_do() {
    let nginx = Nginx::start(
        "location /secret { auth_basic x; auth_basic_user_file PATH/users; proxy_pass http://unix:PATH/inner; } \
         location /moved { return 301 http://elsewhere.test/; }",
    );
    std::fs::write(nginx.path("users"), "me:{PLAIN}right\n").unwrap();
    let nobody = crate::service::free_port();
    for (endpoint, time, expected) in [
        (
            format!("http://me:wrong@127.0.0.1:{}/secret", nginx.port),
            0.2,
            "see the user and password in config.http_endpoint",
        ),
        (
            format!("http://127.0.0.1:{}/moved", nginx.port),
            0.2,
            "correct config.http_endpoint (http://elsewhere.test/)",
        ),
        (
            format!("http://127.0.0.1:{nobody}/"),
            -1.0,
            "connection refused; start the receiver or correct config.http_endpoint",
        ),
    ] {
        let config = json!({"http_endpoint": endpoint, "queue": {"max_retry_time": time}});
        let mut service = start(&json!([plugin(&nginx, &config)]));
        service.accept(transaction(1).to_string());
        wait_until("the log says what to do", || service.has_logged(expected));
        wait_until("the messages are dropped", || service.has_logged("not delivered within max_retry_time, dropped"));
        assert!(!service.log().contains("wrong"), "the password is in the log");
        assert!(time > 0.0 || service.count_logged("will be retried") + service.count_logged("is being retried") == 1);
        assert_eq!(service.stop(), 0);
    }
    let endpoint = format!("http://me:right@127.0.0.1:{}/secret", nginx.port);
    let mut service = start(&json!([plugin(&nginx, &json!({"http_endpoint": endpoint}))]));
    service.accept(transaction(2).to_string());
    nginx.wait_for(1);
    assert_eq!(service.stop(), 0);
}

/// Scenario: nginx with TLS, HTTP/2 and a required client certificate; a plugin with a certificate in the
/// configuration, then one without; then one that verifies against a store without nginx's authority.
/// Guarantees: the first delivers over HTTP/2, identified by its certificate; the others send nothing and log the
/// cause.
#[test]
fn tls_with_a_client_certificate() {
    let authority = Authority::new();
    let nginx = Nginx::start_tls(&authority);
    let certified = json!({"client_certificate": {"id": CERTIFICATE}});
    let mut service = over_tls(&nginx, &authority, &certified).start();
    for id in 1..=3 {
        service.accept(transaction(id).to_string());
        nginx.wait_for(usize::try_from(id).unwrap());
    }
    assert_eq!(service.stop(), 0);
    for request in nginx.taken() {
        assert_eq!((request.line.as_str(), request.facts["client"].as_str()), ("POST /log HTTP/2.0", "CN=gateway"));
        assert_eq!(request.facts["content_length"], request.body.len().to_string());
        assert_eq!(request.connection, nginx.taken()[0].connection);
    }
    for (config, by, expected) in [
        (json!({}), &authority, "see config.client_certificate"),
        (certified, &Authority::new(), "see config.ssl_verify"),
    ] {
        let home = over_tls(&nginx, by, &config).set("LOGPHASE_SHUTDOWN_TIMEOUT", "0.1");
        let mut service = home.set("LOGPHASE_QUEUE_DURABILITY", "memory").set("LOGPHASE_QUEUE_SPILL", "false").start();
        service.accept(transaction(9).to_string());
        wait_until("the log gives the cause", || service.has_logged(expected));
        assert_ne!(service.stop(), 0, "a message was left");
    }
    assert_eq!(nginx.taken().len(), 3);
}
