//! Envoy's access log service with a real Envoy: what the client and the upstream saw is what the message says.

mod format;
mod load;
mod mesh;
pub mod peers;
mod secure;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use self::peers::{Envoy, echo};
use crate::service::{
    Exchange, Home, Service, Upstream, ask, configuration, free_port, request, wait_until, whole_lines,
};

/// The messages of file-log so far.
fn messages(service: &Service, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(service.home.path(name)).unwrap_or_default();
    whole_lines(&text)
}

/// Waits for the message of the request with this path, as the client sent it.
fn message(service: &Service, uri: &str) -> Value {
    let find = || messages(service, "messages").into_iter().find(|message| message["request"]["uri"] == uri);
    wait_until("the message is logged", || find().is_some());
    find().unwrap()
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

struct World {
    service: Service,
    _envoy: Envoy,
    upstream: Upstream,
    http: u16,
    tcp: u16,
    down: u16,
    echo: u16,
    status: u16,
}

impl World {
    fn start() -> Self {
        let [als, http, tcp, down, status] = [(); 5].map(|()| free_port());
        let home = Home::new();
        let plugins = json!([{
            "name": "file-log",
            "protocols": ["http", "https", "grpc", "grpcs", "tcp", "tls"],
            "config": {"path": home.text("messages")},
        }]);
        home.write("kong.yml", &configuration(&plugins));
        let home = home
            .set("LOGPHASE_ALS_LISTEN", format!("127.0.0.1:{als}"))
            .set("LOGPHASE_ALS_NAMES", "consumer.username=metadata:auth:user")
            .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
        let service = home.start();
        let (upstream, echo) = (Upstream::start(), echo());
        let ports = [
            ("HTTP_PORT", http),
            ("TCP_PORT", tcp),
            ("UPSTREAM_PORT", upstream.port),
            ("DOWN_PORT", down),
            ("ECHO_PORT", echo),
            ("ALS_PORT", als),
        ];
        let configuration = ports
            .iter()
            .fold(include_str!("envoy.yaml").to_owned(), |text, (name, port)| text.replace(name, &port.to_string()));
        let envoy = Envoy::start(&configuration, &[http]);
        Self { service, _envoy: envoy, upstream, http, tcp, down, echo, status }
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (Exchange, Value) {
        let before = now();
        let exchange = request(self.http, method, path, headers, body);
        let after = now();
        let mut message = message(&self.service, path);
        let object = message.as_object_mut().unwrap();
        let started = object.remove("started_at").and_then(|at| at.as_u64()).unwrap();
        assert!((before..=after).contains(&started), "{before} {started} {after}");
        let total = object["latencies"]["request"].as_u64().unwrap();
        assert!(total <= after - before, "{object:?}");
        assert_eq!(message["_context"], Value::Null, "it is not logged");
        (exchange, message)
    }
}

/// What a case expects beside what follows from what the peers saw.
struct Case {
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: &'static str,
    route: &'static str,
    status: u16,
    flags: Value,
    details: &'static str,
    upstream_uri: &'static str,
    tries: usize,
}

impl Case {
    fn get(path: &'static str, status: u16) -> Self {
        Self {
            method: "GET",
            path,
            headers: Vec::new(),
            body: "",
            route: "upstream",
            status,
            flags: json!([]),
            details: "via_upstream",
            upstream_uri: path,
            tries: 1,
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            headers: vec![("user-agent", "test/1".to_owned()), ("x-big", "b".repeat(20_000))],
            ..Case::get("/up/%C3%A4%20b?name=J%C3%BCrgen&x=1%2B1&flag&x=2", 200)
        },
        Case::get("/up/missing", 404),
        Case { method: "POST", body: "{\"a\":1}", ..Case::get("/up/error", 500) },
        Case {
            status: 503,
            flags: json!(["UC"]),
            details: "upstream_reset_before_response_started{connection_termination}",
            ..Case::get("/up/reset", 503)
        },
        Case {
            route: "down",
            flags: json!(["UF"]),
            details: "upstream_reset_before_response_started{remote_connection_failure|\
                      delayed_connect_error:_Connection_refused}",
            ..Case::get("/down", 503)
        },
        Case { route: "flaky", tries: 3, ..Case::get("/flaky", 200) },
        Case { route: "rewritten", upstream_uri: "/v2/a?b=c", ..Case::get("/old/a?b=c", 200) },
        Case {
            route: "",
            flags: json!(["NR"]),
            details: "route_not_found",
            upstream_uri: "",
            tries: 0,
            ..Case::get("/none", 404)
        },
    ]
}

fn check(world: &World, case: &Case) {
    let headers: Vec<_> = case.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (exchange, message) = world.request(case.method, case.path, &headers, case.body);
    let path = case.path;
    // What the client saw.
    assert_eq!(exchange.head.word(), case.status.to_string(), "{path}");
    let response_headers: serde_json::Map<String, Value> = ["content-type", "x-up", "content-length"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), exchange.head.headers.get(name)?.as_str().into())))
        // Envoy adds it on the wire, where it answers itself without a body.
        .filter(|(name, value)| name != "content-length" || value != "0")
        .collect();
    let answered = case.details == "via_upstream";
    let (cluster, port) = if case.route == "down" { ("down", world.down) } else { ("upstream", world.upstream.port) };
    // What the upstream saw.
    let seen = world.upstream.seen(case.upstream_uri);
    let expected_seen = if case.tries == 0 || case.route == "down" { 0 } else { case.tries };
    assert_eq!(if case.upstream_uri.is_empty() { 0 } else { seen.len() }, expected_seen, "{path}");
    let mut request_headers = serde_json::Map::new();
    request_headers.insert("host".to_owned(), "api.example".into());
    headers.iter().for_each(|(name, value)| drop(request_headers.insert((*name).to_owned(), (*value).into())));
    let id = message["request"]["id"].clone();
    request_headers.insert("x-request-id".to_owned(), id.clone());
    if let Some(seen) = seen.last().filter(|_| expected_seen > 0) {
        assert_eq!(seen.word(), case.upstream_uri, "{path}");
        assert_eq!(seen.headers.get("x-request-id").map(String::as_str), id.as_str(), "{path}");
    }
    let mut tries = vec![json!({}); case.tries.saturating_sub(1)];
    if case.tries > 0 {
        tries.push(json!({"ip": "127.0.0.1", "port": port}));
    }
    let query = message["request"]["querystring"].clone();
    let latencies = message["latencies"].clone();
    let mut expected = json!({
        "request": {
            "id": id, "method": case.method, "uri": path, "url": format!("http://api.example{path}"),
            "querystring": query, "headers": request_headers, "size": exchange.sent,
        },
        "response": {"status": case.status, "headers": response_headers, "size": exchange.received},
        "upstream_uri": case.upstream_uri,
        "upstream_status": if answered { case.status.to_string() } else { String::new() },
        "latencies": latencies,
        "tries": tries,
        "consumer": {"username": "alice"},
        "client_ip": "127.0.0.1",
        "source": if answered { "upstream" } else { "kong" },
        "envoy": message["envoy"],
    });
    let members = expected.as_object_mut().unwrap();
    if !case.route.is_empty() {
        members.insert("route".to_owned(), json!({"name": case.route}));
        members.insert("service".to_owned(), json!({"name": cluster, "host": "127.0.0.1", "port": port}));
    }
    assert_eq!(message, expected, "{path}");
    assert_eq!(latencies["proxy"] == -1, case.tries == 0 || case.route == "down", "{path}: {latencies}");
    let envoy = &message["envoy"];
    for (name, value) in [
        ("response_flags", case.flags.clone()),
        ("log_name", json!("http-log")),
        ("node", json!({"id": "node-7", "cluster": "edge"})),
        ("access_log_type", json!("DownstreamEnd")),
        ("upstream_request_attempt_count", json!(case.tries)),
        ("downstream_remote_address", json!(format!("127.0.0.1:{}", exchange.local_port))),
        ("metadata", json!({"auth": {"level": 3, "scopes": ["read", "write"], "user": "alice"}})),
        ("custom_tags", json!({"team": "shop"})),
        ("protocol", json!("HTTP/1.1")),
        ("request_body_bytes", json!(case.body.len())),
    ] {
        assert_eq!(envoy[name], value, "{path}: {name}");
    }
    let details = envoy["response_code_details"].as_str().unwrap().replace(' ', "_");
    assert_eq!(details, case.details, "{path}");
}

/// Scenario: a real Envoy proxies requests that are served, not found, failed, reset, retried, rewritten, without a route,
/// and to an upstream that is down; one has a percent-encoded path, a query and a header of 20 kB. Envoy also logs each
/// request when it begins.
/// Guarantees: every member of the message is what the client and the upstream saw, and fits the published schema; nothing is rejected or lost, and the
/// records of the beginnings are counted as skipped.
#[test]
fn http() {
    let mut world = World::start();
    let cases = cases();
    for case in &cases {
        check(&world, case);
    }
    let query = &message(&world.service, cases[0].path)["request"]["querystring"];
    assert_eq!(*query, json!({"name": "Jürgen", "x": ["1+1", "2"], "flag": true}));
    let (_, _, metrics) = ask(world.status, "GET", "/metrics", "");
    let count = |family: &str| {
        let line = metrics.lines().find(|line| line.starts_with(family) && line.contains("input=\"als\""));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse::<f64>().ok())
    };
    let served = cases.len() as f64;
    assert_eq!(count("logphase_transactions_received_total"), Some(served));
    assert_eq!(count("logphase_transactions_lost_total"), Some(0.0));
    assert_eq!(count("logphase_transactions_rejected_total"), Some(0.0));
    assert!(count("logphase_records_skipped_total") >= Some(served), "{metrics}");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/transaction.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let validator = jsonschema::draft202012::options().build(&schema).expect("the schema is sound");
    for message in messages(&world.service, "messages") {
        let errors: Vec<_> = validator.iter_errors(&message).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{message}: {errors:?}");
    }
    assert_eq!(world.service.stop(), 0);
}

/// Scenario: a TCP connection through a real Envoy.
/// Guarantees: the message is Kong's of a stream session, with the bytes that the client and the upstream counted.
#[test]
fn tcp() {
    let mut world = World::start();
    let before = now();
    let mut stream = TcpStream::connect(("127.0.0.1", world.tcp)).unwrap();
    stream.write_all(b"hello, upstream").unwrap();
    let mut echoed = [0; 15];
    stream.read_exact(&mut echoed).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let local = stream.local_addr().unwrap().port();
    drop(stream);
    wait_until("the message is logged", || !messages(&world.service, "messages").is_empty());
    let after = now();
    let mut message = messages(&world.service, "messages").swap_remove(0);
    let started = message["started_at"].as_u64().unwrap();
    let session = message["latencies"]["session"].as_u64().unwrap();
    assert!(before <= started && started + session <= after + 1, "{message}");
    let envoy = message["envoy"].take();
    let expected = json!({
        "session": {"received": 15, "sent": 15, "status": 200, "server_port": world.tcp},
        "upstream": {"received": 15, "sent": 15},
        "latencies": {"kong": 0, "session": session},
        "tries": [{"ip": "127.0.0.1", "port": world.echo}],
        "service": {"name": "echo", "host": "127.0.0.1", "port": world.echo},
        "client_ip": "127.0.0.1",
        "started_at": started,
        "envoy": null,
    });
    assert_eq!(message, expected);
    assert_eq!((&envoy["log_name"], &envoy["access_log_type"]), (&json!("tcp-log"), &json!("TcpConnectionEnd")));
    assert_eq!(envoy["downstream_remote_address"], format!("127.0.0.1:{local}"));
    assert_eq!(world.service.stop(), 0);
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/envoy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Scenario: the example for Envoy, its three files as they are but for ports and the path of the log; the request of its
/// README, without and with a service behind Envoy.
/// Guarantees: its commands start, and the messages are what the README says; the TCP listener's, too.
#[test]
fn the_example() {
    let readme = example("README.md");
    for command in [
        "logphase run examples/envoy/kong.yml --settings examples/envoy/logphase.yml",
        "envoy -c examples/envoy/envoy.yaml",
    ] {
        assert!(readme.contains(command), "{command}");
    }
    let (http, tcp, als, upstream) = (free_port(), free_port(), free_port(), free_port());
    let replace = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "no {from}");
        text.replace(from, to)
    };
    let home = Home::new();
    let path = home.text("messages");
    home.write("kong.yml", &replace(example("kong.yml"), "/tmp/logphase-envoy.log", &path));
    home.write("logphase.yml", &replace(example("logphase.yml"), ":9083", &format!(":{als}")));
    let mut service = home.start_with(&["run", "kong.yml", "--settings", "logphase.yml"]);
    let envoy = [("10000", http), ("10001", tcp), ("8080", upstream), ("9083", als)]
        .iter()
        .fold(example("envoy.yaml"), |text, (from, to)| replace(text, from, &to.to_string()));
    let _envoy = Envoy::start(&envoy, &[http]);
    let exchange = request(http, "GET", "/v1/orders?limit=10", &[], "");
    assert_eq!(exchange.head.word(), "503");
    let logged = message(&service, "/v1/orders?limit=10");
    assert_eq!((&logged["source"], &logged["flags"]), (&json!("kong"), &json!("UF")));
    assert_eq!((&logged["route"]["name"], &logged["service"]["name"]), (&json!("orders-v1"), &json!("orders")));
    let _upstream = Upstream::start_at(upstream);
    let exchange = request(http, "GET", "/v1/orders?limit=11", &[], "");
    assert_eq!(exchange.head.word(), "200");
    let logged = message(&service, "/v1/orders?limit=11");
    assert_eq!((&logged["source"], &logged["flags"]), (&json!("upstream"), &json!("")));
    // The same port for TCP.
    let exchange = request(tcp, "GET", "/raw", &[], "");
    assert_eq!(exchange.head.word(), "200");
    let sessions = || messages(&service, "messages").into_iter().filter(|message| message["session"].is_object());
    wait_until("the session is logged", || sessions().next().is_some());
    let session = sessions().next().unwrap();
    assert_eq!(
        (&session["session"]["received"], &session["envoy"]["log_name"]),
        (&json!(exchange.sent), &json!("tcp"))
    );
    assert_eq!(service.stop(), 0);
}
