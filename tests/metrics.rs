//! The service's own reports: metrics that add up, status, probes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use logphase::api::families;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::service::{
    Client, Home, Load, Messages, Nginx, Scrape, Service, Signal, TcpPeer, UdpPeer, ask, configuration, free_port,
    transaction, wait_until,
};

const FILE: &str = "11111111-1111-4111-8111-111111111111";
const TCP: &str = "22222222-2222-4222-8222-222222222222";
const SHED: &str = "33333333-3333-4333-8333-333333333333";
const UDP: &str = "44444444-4444-4444-8444-444444444444";
const HTTP: &str = "55555555-5555-4555-8555-555555555555";
const STRICT: &str = "66666666-6666-4666-8666-666666666666";

fn with_status(home: Home) -> (Home, u16) {
    let port = free_port();
    (home.set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{port}")), port)
}

/// Every seventh transaction is too large for the HTTP receiver, every fifth fails a snippet, every eleventh has a body
/// that does not match its content type; half of them go to each of two routes.
fn mixed(id: u64) -> Value {
    let mut transaction = transaction(id);
    if id.is_multiple_of(7) {
        transaction["padding"] = "x".repeat(5000).into();
    }
    if id.is_multiple_of(11) {
        transaction["request"]["headers"]["content-type"] = "application/json".into();
        transaction["_context"] = json!({"request_body": "{"});
    }
    if id % 2 == 1 {
        transaction["route"] = json!({"name": "items"});
    }
    transaction
}

/// The receivers of [`mixed`].
struct Peers {
    tcp: TcpPeer,
    shed: TcpPeer,
    udp: UdpPeer,
    loggly: UdpPeer,
    nginx: Nginx,
}

impl Peers {
    fn start() -> Self {
        let nginx = Nginx::start("client_max_body_size 3k;");
        Self { tcp: TcpPeer::start(), shed: TcpPeer::start(), udp: UdpPeer::start(), loggly: UdpPeer::start(), nginx }
    }

    /// A configuration; each `generation` gives every plugin another sink.
    fn configuration(&self, home: &Home, generation: u64) -> String {
        let local = |port: u16, more: Value| {
            let mut config = json!({"host": "127.0.0.1", "port": port, "timeout": 10_000 + generation});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            config
        };
        let fifth =
            "local n = tonumber(kong.request.get_header('h1'):sub(2)) if n % 5 == 0 then error('fifth') end return n";
        let shed = json!({"queue": {"durability": "memory", "overflow": "drop_oldest", "max_entries": 20}});
        let file = json!({
            "path": home.text("messages.log"), "reopen": generation % 2 == 1, "include_body": "request",
            "on_body_error": "drop",
        });
        let http = json!({
            "http_endpoint": format!("http://127.0.0.1:{}/", self.nginx.port), "timeout": 10_000 + generation,
        });
        let strict = json!({"key": "k", "custom_fields_by_lua": {"n": fifth}, "on_error": "drop"});
        let route = |name: &str, id: &str, config: Value| {
            let plugin = json!({"name": "tcp-log", "id": id, "config": config});
            json!({"name": name, "paths": [format!("/{name}")], "plugins": [plugin]})
        };
        json!({
            "_format_version": "3.0",
            "services": [{"name": "orders-svc", "url": "http://orders.internal", "routes": [
                route("orders", TCP, local(self.tcp.port, json!({}))),
                route("items", SHED, local(self.shed.port, shed)),
            ]}],
            "plugins": [
                {"name": "file-log", "id": FILE, "config": file},
                {"name": "udp-log", "id": UDP, "config": local(self.udp.port, json!({}))},
                {"name": "http-log", "id": HTTP, "config": http},
                {"name": "loggly", "id": STRICT, "instance_name": "strict", "config": local(self.loggly.port, strict)},
            ],
        })
        .to_string()
    }
}

/// Scrapes continuously and checks each scrape.
struct Scraper {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    running: thread::JoinHandle<()>,
}

impl Scraper {
    fn start(port: u16) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let running = {
            let (stop, count) = (stop.clone(), count.clone());
            thread::spawn(move || {
                let mut before = Scrape::default();
                while !stop.load(Ordering::SeqCst) {
                    let scrape = Scrape::of(port);
                    scrape.assert_sums();
                    scrape.assert_follows(&before);
                    before = scrape;
                    count.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        Self { stop, count, running }
    }

    /// Waits for a few more scrapes.
    fn await_scrapes(&self) {
        let goal = self.count.load(Ordering::SeqCst) + 3;
        let goes_on = || self.count.load(Ordering::SeqCst) >= goal || self.running.is_finished();
        wait_until("a few scrapes are done", goes_on);
    }

    fn finish(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.running.join().expect("every scrape was sound");
    }
}

fn reload(service: &Service, text: &str, result: &str, status: u16) {
    let count = || Scrape::of(status).sum("logphase_reloads_total", &[("result", result)]);
    let before = count();
    service.home.write("kong.yml", text);
    service.signal(Signal::HUP);
    wait_until(&format!("a configuration is {result}"), || count() > before);
}

/// Scenario: six plugins under load while receivers stop and restart, one rejects some messages permanently, a queue
/// drops its oldest, snippets and bodies fail, the configuration is replaced so that every plugin gets another sink,
/// also while its old one still delivers, and one reload is refused; scraped continuously.
/// Guarantees: every scrape accounts for every message, and no counter decreases; at the end the numbers match those of
/// the sender and of the receivers.
#[test]
fn every_message_is_somewhere() {
    let mut peers = Peers::start();
    let home = Home::new();
    home.write("kong.yml", &peers.configuration(&home, 0));
    // No broker, no file and no sender is there: these inputs are for their metrics.
    let files = home.text("*.none");
    let home = home
        .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "100ms")
        .set("LOGPHASE_KAFKA_TOPICS", "none")
        .set("LOGPHASE_KAFKA_BOOTSTRAP_SERVERS", format!("127.0.0.1:{}", free_port()))
        .set("LOGPHASE_FILE_INCLUDE", files)
        .set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{}", free_port()))
        .set("LOGPHASE_TCP_MAPPING", "nginx");
    let (home, port) = with_status(home);
    let mut service = home.start();
    let scraper = Scraper::start(port);
    let load = Load::start_with(service.home.http, mixed);
    load.await_more(50);
    for turn in 1..=3 {
        peers.tcp.crash();
        peers.shed.crash();
        load.await_more(80);
        scraper.await_scrapes();
        reload(&service, &peers.configuration(&service.home, 2 * turn), "applied", port);
        load.await_more(80);
        reload(
            &service,
            &peers.configuration(&service.home, 2 * turn).replace("file-log", "flie-log"),
            "refused",
            port,
        );
        peers.tcp.restart();
        peers.shed.restart();
        load.await_more(50);
        reload(&service, &peers.configuration(&service.home, 2 * turn + 1), "applied", port);
        scraper.await_scrapes();
    }
    let sent = load.finish();
    assert!(sent.refused.is_empty() && sent.unanswered.is_empty(), "{:?} {:?}", sent.refused, sent.unanswered);
    wait_until("everything is settled", || is_settled(&Scrape::of(port)));
    // The old connections are closed, which confirms what the receivers have read.
    reload(&service, &peers.configuration(&service.home, 8), "applied", port);
    wait_until("everything is delivered", || Scrape::of(port).sum("logphase_queue_messages", &[]) == 0.0);
    scraper.await_scrapes();
    scraper.finish();
    let scrape = Scrape::of(port);
    scrape.assert_sums();
    scrape.assert_sound();
    assert_listed(&scrape);
    assert_counts(&scrape, &sent.accepted, &peers, &service);
    assert_eq!(service.stop(), 0);
}

/// Whether every message is delivered, or only not confirmed.
fn is_settled(scrape: &Scrape) -> bool {
    scrape.sum("logphase_queue_messages", &[]) == scrape.sum("logphase_queue_unconfirmed_messages", &[])
}

fn assert_counts(scrape: &Scrape, accepted: &BTreeSet<u64>, peers: &Peers, service: &Service) {
    let count = |which: fn(u64) -> bool| accepted.iter().filter(|id| which(**id)).count() as f64;
    let of = |name: &str, id: &str| scrape.sum(&format!("logphase_{name}"), &[("id", id)]);
    let dropped =
        |id: &str, reason: &str| scrape.sum("logphase_messages_dropped_total", &[("id", id), ("reason", reason)]);
    let all = count(|_| true);
    assert_eq!(scrape.sum("logphase_transactions_received_total", &[("input", "http")]), all);
    for id in [FILE, UDP, HTTP, STRICT] {
        assert_eq!(of("messages_total", id), all, "{id}");
    }
    assert_eq!(
        (of("messages_total", TCP), of("messages_total", SHED)),
        (count(|id| id % 2 == 0), count(|id| id % 2 == 1))
    );
    // Messages that could not be created.
    assert_eq!(dropped(FILE, "body"), count(|id| id % 11 == 0));
    assert_eq!(dropped(STRICT, "script"), count(|id| id % 5 == 0));
    assert_eq!(scrape.sum("logphase_lua_errors_total", &[("id", STRICT), ("field", "n")]), count(|id| id % 5 == 0));
    // Messages that were rejected permanently.
    assert_eq!(of("messages_dead_lettered_total", HTTP), count(|id| id % 7 == 0));
    // Delivered messages, as counted by the receivers.
    let delivered = |id: &str| of("messages_delivered_total", id);
    let file = Messages::read(&service.home.path("messages.log"));
    file.assert_once(&accepted.iter().copied().filter(|id| id % 11 != 0).collect());
    assert_eq!(delivered(FILE), file.counts.len() as f64);
    peers.nginx.messages().assert_once(&accepted.iter().copied().filter(|id| id % 7 != 0).collect());
    assert_eq!(delivered(HTTP), peers.nginx.messages().counts.len() as f64);
    assert_eq!((delivered(UDP), delivered(STRICT)), (peers.udp.count() as f64, peers.loggly.count() as f64));
    // A receiver that is killed can get messages twice; each counts once.
    let even: BTreeSet<u64> = accepted.iter().copied().filter(|id| id % 2 == 0).collect();
    wait_until("the receiver has read everything", || peers.tcp.messages().missing(&even).is_empty());
    assert_eq!(delivered(TCP), even.len() as f64);
    assert!(of("messages_retried_total", TCP) > 0.0 && of("delivery_failures_total", TCP) > 0.0);
    assert!(dropped(SHED, "overflow") > 0.0);
    assert_eq!(delivered(SHED) + dropped(SHED, "overflow"), count(|id| id % 2 == 1));
    assert!(peers.shed.messages().counts.len() as f64 >= delivered(SHED) - of("messages_retried_total", SHED));
    for id in [FILE, UDP, HTTP, STRICT, TCP, SHED] {
        assert_eq!(of("delivery_seconds_count", id), delivered(id), "{id}");
    }
}

/// Fails unless the metrics are those of the list, each with its type, description and labels, and at least one sample.
fn assert_listed(scrape: &Scrape) {
    // Those of a database that several nodes share have no samples here; tests/admin/postgres has one.
    let (of_database, families): (Vec<_>, Vec<_>) =
        families().partition(|family| family.name.starts_with("logphase_database_"));
    let listed = families.iter().chain(&of_database).map(|family| family.name).collect();
    let shown: BTreeSet<&str> = scrape.families.keys().map(String::as_str).collect();
    assert_eq!(shown, listed);
    for family in families {
        let (sort, about) = &scrape.families[family.name];
        assert_eq!((sort.as_str(), about.as_str()), (family.kind.name(), &*format!("{}.", family.about)));
        let ends = if sort == "histogram" { ["_sum", "_count", "_bucket"].as_slice() } else { &[""] };
        for end in ends {
            let name = format!("{}{end}", family.name);
            let samples = scrape.samples.keys().filter(|(other, _)| *other == name);
            let labels: BTreeSet<BTreeSet<&str>> =
                samples.map(|(_, labels)| labels.keys().map(String::as_str).collect()).collect();
            let mut expected: BTreeSet<&str> = family.labels.iter().copied().collect();
            expected.extend((*end == "_bucket").then_some("le"));
            assert_eq!(labels, BTreeSet::from([expected]), "{name}");
        }
    }
}

/// Scenario: docs/metrics.md and the list of metrics that a service exposes (see above).
/// Guarantees: the page has each metric with its type, labels and meaning, and no other. `BLESS=1 cargo test --test
/// main metrics` rewrites it.
#[test]
fn every_metric_is_documented() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let before = std::fs::read_to_string(&path).expect("docs/metrics.md is part of the project");
    let rows = families().map(|family| {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, sort, labels) = (family.name, family.kind.name(), labels.join(", "));
        format!("| `{name}` | {sort} | {labels} | {}. | {} |\n", family.about, family.look_for)
    });
    let table = format!(
        "\n| name | type | labels | what it says | what to look for |\n|---|---|---|---|---|\n{}\n",
        rows.collect::<String>()
    );
    let (open, close) = ("<!-- metrics -->\n", "<!-- /metrics -->\n");
    let start = before.find(open).expect("where the table begins") + open.len();
    let end = before.find(close).expect("where the table ends");
    let page = [&before[..start], &table, &before[end..]].concat();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page).expect("docs/metrics.md can be written");
    } else {
        assert!(page == before, "docs/metrics.md is not up to date: run BLESS=1 cargo test --test main metrics");
    }
}

fn get(port: u16, path: &str) -> (u16, Value) {
    let (status, head, body) = ask(port, "GET", path, "");
    assert!(head.contains("content-type: application/json; charset=utf-8"), "{head}");
    (status, serde_json::from_str(&body).unwrap())
}

/// Scenario: every path with GET, HEAD and POST; an unknown path; metrics for an OpenMetrics client; units of memory; a
/// second service with the same address.
/// Guarantees: HEAD is GET without the body; POST is refused with the allowed methods; an unknown path gets the list of
/// paths; each client gets its format; Kong's units work; the second service logs that the address is in use.
#[test]
fn paths_and_formats() {
    let home = Home::new();
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": {"path": home.text("out.log")}}])));
    let (home, port) = with_status(home);
    let service = home.start();
    let paths = ["/status", "/status/ready", "/status/live", "/metrics"];
    for path in paths {
        assert_eq!(ask(port, "GET", path, "").0, 200, "{path}");
        let (status, head, body) = ask(port, "HEAD", path, "");
        assert_eq!((status, &*body), (200, ""), "{path}");
        assert!(head.contains("content-length: ") && !head.contains("content-length: 0"), "{head}");
        let (status, head, body) = ask(port, "POST", path, "content-length: 0\r\n");
        assert_eq!(status, 405, "{body}");
        assert!(head.contains("allow: get, head"), "{head}");
    }
    assert_eq!(get(port, "/nothing"), (404, json!({"message": "Not found", "paths": paths})));
    let accept = "accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";
    let (_, head, open) = ask(port, "GET", "/metrics", accept);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(open.contains("\n# TYPE logphase_messages counter\n") && open.ends_with("\n# EOF\n"), "{open}");
    Scrape::of(port).assert_sound();
    let memory = |query: &str| get(port, &format!("/status{query}")).1["memory"]["workers_lua_vms"][0].clone();
    let bytes = memory("?unit=b")["http_allocated_gc"].as_u64().unwrap();
    for (query, unit, text) in
        [("", 1 << 20, " MiB"), ("?unit=K&scale=0", 1 << 10, " KiB"), ("?unit=g", 1 << 30, " GiB")]
    {
        let shown = memory(query)["http_allocated_gc"].as_str().unwrap().to_owned();
        let number: f64 = shown.strip_suffix(text).unwrap_or_else(|| panic!("{shown}")).parse().unwrap();
        let digits = shown.split_once('.').map_or(0, |(_, digits)| digits.len() - text.len());
        assert_eq!(digits, if query.contains("scale") { 0 } else { 2 });
        assert!(
            (number - bytes as f64 / f64::from(unit)).abs() <= 0.5f64.max(1.0 / f64::from(unit)),
            "{shown} of {bytes}"
        );
    }
    assert_eq!(memory("")["pid"], service.id());
    assert_eq!((get(port, "/status?unit=x").0, get(port, "/status?scale=10").0), (400, 400));
    let other = free_port();
    let second =
        service.home.run_with(&[("LOGPHASE_HTTP_LISTEN", &format!("127.0.0.1:{other}"))], &["run", "kong.yml"]);
    assert_eq!(second.code(), 74, "{second:?}");
    assert!(second.stderr.contains(&format!("cannot listen on `127.0.0.1:{port}`")), "{second:?}");
}

/// Scenario: a service that has accepted transactions; then its configuration is changed, and then a reload is refused.
/// Guarantees: Kong's members have Kong's form; inputs, queues and reloads have the right counts; the hash is that of
/// the active configuration, and the last error that of the refused one.
#[test]
fn status_says_what_was_done() {
    let peer = TcpPeer::absent();
    let text = |home: &Home, field: &str| {
        configuration(&json!([
            {"name": "file-log", "config": {"path": home.text("out.log"), "custom_fields_by_lua": {"n": field}}},
            {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}},
        ]))
    };
    let home = Home::new();
    home.write("kong.yml", &text(&home, "return 1"));
    let (home, port) = with_status(home);
    let service = home.start();
    let mut client = service.client();
    for id in 0..3 {
        assert_eq!(client.post(transaction(id).to_string().as_bytes()).unwrap().status, 200);
    }
    wait_until("the delivery failed", || get(port, "/status").1["plugins"][1]["queue"]["failing"] == true);
    let status = get(port, "/status").1;
    let server = json!({
        "total_requests": 3, "connections_active": 1, "connections_accepted": 1, "connections_handled": 1,
    });
    assert_eq!((&status["server"], &status["inputs"]["http"]["received"]), (&server, &json!(3)));
    let hash = status["configuration_hash"].as_str().unwrap().to_owned();
    assert!(
        hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) && !hash.starts_with("000000"),
        "{hash}"
    );
    let queues: Vec<Value> =
        status["plugins"].as_array().unwrap().iter().map(|plugin| plugin["queue"].clone()).collect();
    let numbers =
        |queue: &Value| ["enqueued", "recovered", "delivered", "waiting"].map(|name| queue[name].as_u64().unwrap());
    assert_eq!((numbers(&queues[0]), numbers(&queues[1])), ([3, 0, 3, 0], [3, 0, 0, 3]));
    assert_eq!((&queues[0]["on_disk"], &queues[1]["on_disk"]), (&json!(false), &json!(true)));
    assert!(queues[1]["last_error"]["message"].as_str().unwrap().contains("connection refused"), "{status}");
    assert!(queues[1]["oldest_seconds"].as_f64().is_some_and(|age| age > 0.0), "{status}");
    reload(&service, &text(&service.home, "return 2"), "applied", port);
    let second = get(port, "/status").1["configuration_hash"].clone();
    assert!(second.as_str().is_some_and(|second| second != hash), "{second}");
    reload(&service, &text(&service.home, "return ("), "refused", port);
    let status = get(port, "/status").1;
    assert_eq!(status["configuration_hash"], second);
    assert!(status["reloads"]["last_error"].as_str().unwrap().contains("K0301"), "{status}");
    let scrape = Scrape::of(port);
    assert_eq!(scrape.sum("logphase_last_reload_successful", &[]), 0.0);
    reload(&service, &text(&service.home, "return 3"), "applied", port);
    assert_eq!(get(port, "/status").1["reloads"]["last_error"], Value::Null);
    assert_eq!(Scrape::of(port).sum("logphase_last_reload_successful", &[]), 1.0);
}

fn limit_file_size(service: &Service, bytes: Option<u64>) {
    let process = i32::try_from(service.id()).ok().and_then(Pid::from_raw);
    prlimit(process, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Scenario: a service with a queue on disk; then no file can grow for a while; then it stops while its receiver is
/// unavailable and a sender waits.
/// Guarantees: ready answers 503 with the reason in the second and third state, 200 before and after; live always
/// answers 200; the metrics report the disk.
#[test]
fn probes() {
    let peer = TcpPeer::absent();
    let tcp = json!([{"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}}]);
    let (home, port) = with_status(Home::with(&configuration(&tcp)));
    let mut service = home.set("LOGPHASE_SHUTDOWN_TIMEOUT", "60").start();
    let ready = || get(port, "/status/ready");
    assert_eq!(ready(), (200, json!({"message": "ready"})));
    limit_file_size(&service, Some(0));
    let http = service.home.http;
    let waiting = thread::spawn(move || Client::connect(http).unwrap().post(transaction(2).to_string().as_bytes()));
    wait_until("the service is not ready", || ready().0 == 503);
    assert!(ready().1["message"].as_str().unwrap().contains("the queue of tcp-log cannot be written"), "{:?}", ready());
    assert_eq!(get(port, "/status/live").0, 200);
    assert_eq!(Scrape::of(port).sum("logphase_disk_failing", &[]), 1.0);
    limit_file_size(&service, None);
    assert_eq!(waiting.join().unwrap().unwrap().status, 200);
    wait_until("the service is ready again", || ready().0 == 200);
    assert_eq!(Scrape::of(port).sum("logphase_disk_failing", &[]), 0.0);
    service.signal(Signal::TERM);
    wait_until("the service is stopping", || ready().0 == 503);
    assert!(ready().1["message"].as_str().unwrap().starts_with("stopping"), "{:?}", ready());
    assert_eq!(get(port, "/status/live").0, 200);
    let scrape = Scrape::of(port);
    scrape.assert_sums();
    assert_eq!(scrape.sum("logphase_messages_total", &[]), 1.0);
    drop(peer);
    service.signal(Signal::KILL);
    service.wait();
}

/// Scenario: messages wait on disk; the process is killed; the next run finds them, first without and then with the
/// receiver.
/// Guarantees: they count as recovered, with an age of at least the time since; when the receiver has them, as unconfirmed
/// and without an age; when they are confirmed, as delivered, also in the histogram, with that time.
#[test]
fn recovered_messages_keep_their_age() {
    let mut peer = TcpPeer::absent();
    let tcp = json!([{"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}}]);
    let changed = json!([{"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port, "timeout": 9999}}]);
    let (home, port) = with_status(Home::with(&configuration(&tcp)));
    let mut service = home.set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "100ms").start();
    service.accept(Value::from((0..5).map(transaction).collect::<Vec<_>>()).to_string());
    let taken = std::time::Instant::now();
    service.signal(Signal::KILL);
    service.wait();
    let since = taken.elapsed();
    service.start_again();
    let scrape = Scrape::of(port);
    scrape.assert_sums();
    let counts = |scrape: &Scrape| {
        ["messages_total", "messages_recovered_total", "messages_delivered_total", "delivery_seconds_count"]
            .map(|name| scrape.sum(&format!("logphase_{name}"), &[]))
    };
    assert_eq!(counts(&scrape), [0.0, 5.0, 0.0, 0.0]);
    assert!(scrape.sum("logphase_queue_oldest_age_seconds", &[]) >= since.as_secs_f64());
    peer.restart();
    wait_until("all messages are settled", || is_settled(&Scrape::of(port)));
    let scrape = Scrape::of(port);
    assert_eq!(counts(&scrape), [0.0, 5.0, 0.0, 0.0]);
    assert_eq!(scrape.sum("logphase_queue_unconfirmed_messages", &[]), 5.0);
    assert_eq!(scrape.sum("logphase_queue_oldest_age_seconds", &[]), 0.0);
    // A reload closes the old connection, which confirms what the receiver has read.
    reload(&service, &configuration(&changed), "applied", port);
    wait_until("all messages are delivered", || counts(&Scrape::of(port))[2] == 5.0);
    let scrape = Scrape::of(port);
    assert_eq!(counts(&scrape), [0.0, 5.0, 5.0, 5.0]);
    assert!(scrape.sum("logphase_delivery_seconds_sum", &[]) >= 5.0 * since.as_secs_f64());
    assert_eq!(scrape.sum("logphase_queue_oldest_age_seconds", &[]), 0.0);
}

/// Scenario: datagrams to a port without a receiver, until the system has reported some; scraped after each.
/// Guarantees: the reported ones count as lost, the others as delivered; both add up every time, and neither decreases.
#[test]
fn lost_datagrams() {
    let nobody = free_port();
    let udp = json!([{"name": "udp-log", "config": {"host": "127.0.0.1", "port": nobody}}]);
    let (home, port) = with_status(Home::with(&configuration(&udp)));
    let service = home.start();
    let mut client = service.client();
    let (mut before, mut id) = (Scrape::default(), 0);
    wait_until("five are lost", || {
        id += 1;
        assert_eq!(client.post(transaction(id).to_string().as_bytes()).unwrap().status, 200);
        let scrape = Scrape::of(port);
        scrape.assert_sums();
        scrape.assert_follows(&before);
        before = scrape;
        before.sum("logphase_messages_dropped_total", &[("reason", "lost")]) >= 5.0
    });
}
