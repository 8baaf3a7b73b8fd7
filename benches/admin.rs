//! The Admin API with many entities: how long its answers take, when a change is live, what a start costs, and whether writes
//! disturb transactions.
//!
//! The service is the program itself with a database in SQLite; one client asks on one connection, and figures are medians, in
//! milliseconds. "live" is the time from the request that changes a snippet to the first message that the new one has made. The
//! last part sends transactions at a fixed rate while a hundred clients write, and counts those that are lost or that two
//! configurations have made.
//!
//! `cargo bench --bench admin` (or `make bench`).

#![allow(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking and says why")]
#![allow(missing_docs, reason = "a benchmark has no callers")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Requests of each row.
const REQUESTS: usize = 21;
/// Clients that write while transactions pass.
const WRITERS: usize = 100;
/// Transactions that are sent in each second then.
const RATE: usize = 50_000;
/// Seconds of it.
const SECONDS: usize = 5;
/// Transactions of one request.
const BATCH: usize = 500;
/// Connections that send them.
const SENDERS: usize = 2;
/// Ticks of a second in Linux's `/proc`.
const TICKS: f64 = 100.0;

fn main() {
    // `cargo test` also runs benchmarks, with `--test`; this one contains no tests.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    println!("2,000 services, 3,000 routes, 4,000 consumers, 1,000 plugins");
    answers(home.path());
    println!("10,000 plugins of three fields on 10,000 routes");
    plugins(home.path());
    println!("{RATE} transactions a second, {WRITERS} clients that write");
    both(home.path());
}

fn row(name: &str, figure: f64, unit: &str, aim: f64) {
    let verdict = if figure <= aim { "" } else { "  MISSED" };
    println!("  {name:<44} {figure:>10.2} {unit:<4} aim {aim:>8.0}{verdict}");
}

/// The times of reads and writes with 10,000 entities.
fn answers(home: &Path) {
    let named = |kind: &'static str, count: usize| (0..count).map(move |number| format!("{kind}{number}"));
    let plugin = |number: usize| {
        json!({"name": "http-log", "route": format!("r{number}"), "config": {
            "http_endpoint": format!("http://127.0.0.1:9/{}", number % 7),
            "custom_fields_by_lua": {"team": format!("return 'team {number}'"), "route": "return nil"},
        }})
    };
    let document = json!({
        "_format_version": "3.0",
        "services": named("s", 2000).map(|name| json!({"name": name, "url": format!("http://{name}.example")})).collect::<Value>(),
        "routes": (0..3000).map(|at| json!({"name": format!("r{at}"), "paths": [format!("/r{at}")],
            "service": format!("s{}", at % 2000)})).collect::<Value>(),
        "consumers": named("c", 4000).map(|name| json!({"username": name})).collect::<Value>(),
        "plugins": (0..1000).map(plugin).collect::<Value>(),
    });
    let service = Service::start(home, &document);
    let mut admin = Client::new(service.admin);
    let mut timed = |name: &str, aim: f64, request: &dyn Fn(usize) -> (&'static str, String, Option<Value>)| {
        let mut times: Vec<f64> = (0..REQUESTS)
            .map(|number| {
                let (method, path, body) = request(number);
                let started = Instant::now();
                let (status, answer) = admin.ask(method, &path, body.as_ref());
                assert!(status < 300, "{method} {path}: {status} {answer}");
                started.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        row(name, median(&mut times), "ms", aim);
    };
    timed("GET /services/{name}", 5.0, &|number| ("GET", format!("/services/s{number}"), None));
    timed("GET /routes?size=100", 5.0, &|_| ("GET", "/routes?size=100".into(), None));
    timed("GET /consumers?size=1000", 5.0, &|_| ("GET", "/consumers?size=1000".into(), None));
    timed("POST /consumers", 50.0, &|number| {
        ("POST", "/consumers".into(), Some(json!({"username": format!("n{number}")})))
    });
    timed("PATCH /services/{name}", 50.0, &|number| {
        ("PATCH", "/services/s7".into(), Some(json!({"retries": number + 1})))
    });
    timed("POST /routes", 50.0, &|number| {
        ("POST", "/routes".into(), Some(json!({"paths": [format!("/n{number}")], "service": {"name": "s7"}})))
    });
    let (_, of_route) = admin.ask("GET", "/routes/r7/plugins", None);
    let id = of_route["data"][0]["id"].as_str().unwrap().to_owned();
    let mut admin = Client::new(service.admin);
    let mut times: Vec<f64> = (0..REQUESTS)
        .map(|number| {
            let started = Instant::now();
            let body = json!({"config": {"custom_fields_by_lua": {"team": format!("return {number}")}}});
            assert_eq!(admin.ask("PATCH", &format!("/plugins/{id}"), Some(&body)).0, 200);
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    row("PATCH /plugins/{id}", median(&mut times), "ms", 50.0);
}

/// What a start costs with 10,000 plugins, and when a change of one is live.
fn plugins(home: &Path) {
    let log = home.join("plugins.log");
    let plugin = |number: usize| {
        json!({"name": "file-log", "route": format!("r{number}"), "config": {"path": log, "custom_fields_by_lua": {
            "team": format!("return 'team {number}'"),
            "agent": "return kong.request.get_header('user-agent')",
            "route": "return nil",
        }}})
    };
    let route = |number: usize| json!({"name": format!("r{number}"), "paths": [format!("/r{number}")]});
    let document = json!({
        "_format_version": "3.0",
        "routes": (0..10_000).map(route).collect::<Value>(),
        "plugins": (0..10_000).map(plugin).collect::<Value>(),
    });
    let service = Service::start(home, &document);
    row("CPU of the start", service.cpu(), "s", 1.0);
    row("memory after it", service.memory(), "MB", 150.0);
    let mut admin = Client::new(service.admin);
    let (_, of_route) = admin.ask("GET", "/routes/r7/plugins", None);
    let id = of_route["data"][0]["id"].as_str().unwrap().to_owned();
    let mut http = Client::new(service.http);
    let mut times: Vec<f64> = (0..REQUESTS)
        .map(|number| {
            let value = format!("changed-{number}");
            let started = Instant::now();
            let body = json!({"config": {"custom_fields_by_lua": {"team": format!("return '{value}'")}}});
            assert_eq!(admin.ask("PATCH", &format!("/plugins/{id}"), Some(&body)).0, 200);
            assert_eq!(http.ask("POST", "/", Some(&json!({"route": {"name": "r7"}}))).0, 200);
            while !std::fs::read_to_string(&log).unwrap_or_default().contains(&value) {
                thread::yield_now();
            }
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    row("a changed snippet is live", median(&mut times), "ms", 100.0);
}

/// Writes while transactions pass.
fn both(home: &Path) {
    let log = home.join("both.log");
    let fields = |number: usize| json!({"a": format!("return {number}"), "b": format!("return {number}")});
    let plugin =
        json!({"name": "file-log", "instance_name": "log", "config": {"path": log, "custom_fields_by_lua": fields(0)}});
    let service = Service::start(home, &json!({"_format_version": "3.0", "plugins": [plugin]}));
    let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (accepted, writes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                let mut http = Client::new(service.http);
                loop {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    if first >= RATE * SECONDS {
                        break;
                    }
                    let due = Duration::from_secs_f64(first as f64 / RATE as f64);
                    thread::sleep(due.saturating_sub(started.elapsed()));
                    let batch =
                        (first..first + BATCH).map(|number| json!({"number": number, "request": {"method": "GET"}}));
                    let (status, answer) = http.ask("POST", "/", Some(&batch.collect()));
                    assert_eq!(status, 200, "{answer}");
                    accepted.fetch_add(BATCH, Ordering::Relaxed);
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        for writer in 0..WRITERS {
            let (done, writes, service) = (&done, &writes, &service);
            scope.spawn(move || {
                let mut admin = Client::new(service.admin);
                for number in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let (method, path, body) = match writer % 2 {
                        0 => (
                            "PATCH",
                            "/plugins/log".to_owned(),
                            json!({"config": {"custom_fields_by_lua": fields(writer)}}),
                        ),
                        _ => {
                            ("PUT", format!("/consumers/w{writer}"), json!({"custom_id": format!("{writer}-{number}")}))
                        }
                    };
                    let (status, answer) = admin.ask(method, &path, Some(&body));
                    assert!(status < 300, "{status} {answer}");
                    writes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    drop(service);
    let (mut seen, mut torn) = (HashSet::new(), 0);
    for line in BufReader::new(std::fs::File::open(&log).unwrap()).lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        torn += usize::from(message["a"] != message["b"] || message["a"].is_null());
        seen.insert(message["number"].as_u64().unwrap());
    }
    let accepted = accepted.into_inner();
    println!(
        "  {:.0} transactions and {:.0} writes a second",
        accepted as f64 / seconds,
        writes.into_inner() as f64 / seconds
    );
    row("accepted transactions that were lost", (accepted - seen.len()) as f64, "", 0.0);
    row("messages of two configurations", torn as f64, "", 0.0);
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A running service; it stops when dropped.
struct Service {
    child: Child,
    admin: SocketAddr,
    http: SocketAddr,
    data: PathBuf,
}

impl Service {
    /// Starts one with the entities of `document` in its database.
    fn start(home: &Path, document: &Value) -> Self {
        let data = home.join("data");
        let file = home.join("kong.json");
        std::fs::write(&file, document.to_string()).unwrap();
        let (admin, http, status) = (free_address(), free_address(), free_address());
        let command = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_logphase"));
            command.current_dir(home).env("LOGPHASE_DATA_DIR", &data).env("LOGPHASE_DATABASE", "sqlite");
            command.env("LOGPHASE_ADMIN_LISTEN", admin.to_string()).env("LOGPHASE_HTTP_LISTEN", http.to_string());
            command.env("LOGPHASE_STATUS_LISTEN", status.to_string()).env("LOGPHASE_LOG_LEVEL", "error");
            // Each write has a line of the log, at every level.
            command.stdout(Stdio::null()).stderr(std::fs::File::create(home.join("log")).unwrap());
            command
        };
        assert!(command().args(["config", "import"]).arg(&file).status().unwrap().success());
        let child = command().arg("run").spawn().unwrap();
        let service = Self { child, admin, http, data };
        while TcpStream::connect(admin).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(Client::new(admin).ask("GET", "/", None).0, 200);
        service
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// Seconds of CPU time so far.
    fn cpu(&self) -> f64 {
        let stat = self.file("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
    }

    /// Megabytes of resident memory.
    fn memory(&self) -> f64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1e3
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A connection to an HTTP server that stays open.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// The status and the body of the answer.
    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length) = (0, 0);
        for number in 0.. {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if number == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            } else if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).unwrap();
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }
}
