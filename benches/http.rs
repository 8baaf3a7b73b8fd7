//! CPU time of the whole service for each request to its HTTP input, with one transaction in each, as Kong's http-log sends them.
//!
//! "bare hyper" is a program of hyper and Tokio alone, which reads the body of each request and answers 200: the floor of what a request
//! costs. The CPU time is that of the service's process, in user and system mode, so that senders and other work on the machine
//! cost a figure little. Rows take turns; each figure is the median of its rounds. "refused" is what the service refuses
//! because the queue of its plugin is full, in batches of a hundred transactions; the row above it takes the same batches.
//!
//! `cargo bench --bench http` (or `make bench`). With a word it runs only the rows whose names contain it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports on standard output")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking and says why")]
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod process;

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;

use process::{cpu_seconds, free_address, wait_for};

/// Rounds of each row.
const ROUNDS: usize = 5;
/// Requests of a round.
const REQUESTS: usize = 40_000;
/// Transactions of a batch.
const BATCH: usize = 100;
/// The argument that makes this program a bare server.
const BARE: &str = "--bare";

const FIELDS: &str = "custom_fields_by_lua: {tier: \"return 'gold'\", trace: \"return \
    kong.request.get_header('x-request-id')\", slow: \"return kong.response.get_status() >= 500\"}";

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// hyper alone.
    Bare,
    /// The service without a plugin.
    NoPlugin,
    /// file-log with three fields.
    File,
    /// The same with its queue on disk.
    Disk,
    /// A plugin whose queue is full.
    Full,
}

/// A row: what answers, how many connections, how many transactions in a request.
type Row = (&'static str, Server, usize, usize);

const ROWS: [Row; 10] = [
    ("bare hyper, 1 connection", Server::Bare, 1, 1),
    ("no plugin, 1 connection", Server::NoPlugin, 1, 1),
    ("file-log, 3 fields, 1 connection", Server::File, 1, 1),
    ("the same, queue on disk", Server::Disk, 1, 1),
    ("bare hyper, 64 connections", Server::Bare, 64, 1),
    ("no plugin, 64 connections", Server::NoPlugin, 64, 1),
    ("file-log, 3 fields, 64 connections", Server::File, 64, 1),
    ("the same, queue on disk, 64", Server::Disk, 64, 1),
    ("batches of 100, taken", Server::File, 4, BATCH),
    ("batches of 100, refused", Server::Full, 4, BATCH),
];

/// What a request costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Seconds of CPU time of the server.
    cpu: f64,
    /// Seconds from request to answer, in the middle and at the 99th percentile.
    median: f64,
    slow: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` also runs benchmarks, with `--test`; this one contains no tests.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    if let [bare, address] = &arguments[..]
        && bare == BARE
    {
        return serve_bare(address.parse().unwrap());
    }
    // Cargo's own arguments begin with a dash.
    let only = arguments.iter().find(|argument| !argument.starts_with('-'));
    let rows: Vec<Row> = ROWS.into_iter().filter(|row| only.is_none_or(|word| row.0.contains(word.as_str()))).collect();
    let mut rounds = vec![Vec::new(); rows.len()];
    for _ in 0..ROUNDS {
        for ((_, server, connections, batch), costs) in rows.iter().zip(&mut rounds) {
            costs.push(measure(*server, *connections, *batch));
        }
    }
    println!(
        "{:<38} {:>12} {:>10} {:>14} {:>12}",
        format!("median of {ROUNDS} rounds"),
        "CPU \u{b5}s each",
        "x bare",
        "answer p50 \u{b5}s",
        "p99 \u{b5}s"
    );
    let mut bare = Vec::new();
    for ((name, server, connections, _), costs) in rows.iter().zip(&rounds) {
        let middle = |of: fn(&Cost) -> f64| {
            let mut values: Vec<f64> = costs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[ROUNDS / 2] * 1e6
        };
        let cpu = middle(|cost| cost.cpu);
        if *server == Server::Bare {
            bare.push((*connections, cpu));
        }
        let floor = bare.iter().find(|(of, _)| of == connections).map(|(_, floor)| format!("{:.2}", cpu / floor));
        let (median, slow) = (middle(|cost| cost.median), middle(|cost| cost.slow));
        println!("{name:<38} {cpu:>12.1} {:>10} {median:>14.0} {slow:>12.0}", floor.unwrap_or_default());
    }
}

/// A server that reads the body of each request and answers 200.
#[tokio::main]
async fn serve_bare(address: SocketAddr) {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let respond = service_fn(|request: Request<Incoming>| async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let answer = Bytes::from(format!("{{\"bytes\":{}}}", body.len()));
            Ok::<_, Infallible>(Response::new(Full::new(answer)))
        });
        tokio::spawn(async move {
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), respond).await;
        });
    }
}

fn measure(server: Server, connections: usize, batch: usize) -> Cost {
    let home = tempfile::tempdir().unwrap();
    let address = free_address();
    let running = start(server, home.path(), address);
    wait_for(address);
    let body = body(batch);
    // Each answer of the only client waits for the disk.
    let waits = server == Server::Disk && connections == 1;
    let count = REQUESTS / batch / if waits { 10 } else { 1 };
    let taken = server != Server::Full;
    if !taken {
        // Fills the queue.
        send(address, 1, count, &body, None);
    }
    send(address, connections, count / 10, &body, Some(taken));
    let before = cpu_seconds(&running.0);
    let mut times = send(address, connections, count, &body, Some(taken));
    let cpu = (cpu_seconds(&running.0) - before) / count as f64;
    times.sort_by(f64::total_cmp);
    Cost { cpu, median: times[times.len() / 2], slow: times[times.len() * 99 / 100] }
}

/// Starts a server that listens on `address`.
fn start(server: Server, home: &Path, address: SocketAddr) -> Running {
    let mut command = match server {
        Server::Bare => {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args([BARE, &address.to_string()]);
            command
        }
        _ => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_logphase"));
            let config = format!("{{path: {}, {FIELDS}}}", home.join("out.log").display());
            let plugins = match server {
                Server::NoPlugin => String::new(),
                // Nothing listens on port 9: nothing is ever delivered.
                Server::Full => {
                    format!("plugins: [{{name: tcp-log, config: {{host: 127.0.0.1, port: 9, {FIELDS}}}}}]\n")
                }
                _ => format!("plugins: [{{name: file-log, config: {config}}}]\n"),
            };
            std::fs::write(home.join("kong.yml"), format!("_format_version: '3.0'\n{plugins}")).unwrap();
            let durability = if server == Server::Disk { "disk" } else { "memory" };
            let bounds = if server == Server::Full { ", max_bytes: 1MiB, spill: false" } else { "" };
            let queue = format!("queue: {{durability: {durability}{bounds}}}\n");
            std::fs::write(home.join("logphase.yml"), queue).unwrap();
            command.args(["run", "kong.yml"]).current_dir(home).env("LOGPHASE_DATA_DIR", home.join("data"));
            command.env("LOGPHASE_HTTP_LISTEN", address.to_string()).env("LOGPHASE_STATUS_LISTEN", "");
            command
        }
    };
    let log = std::fs::File::create(home.join("server.log")).unwrap();
    Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

/// The body of a request with `batch` transactions.
fn body(batch: usize) -> Vec<u8> {
    let sample = include_str!("../tests/conformance/003-header-added.json");
    let sample: Value = serde_json::from_str(sample).expect("a case");
    match batch {
        1 => sample["transaction"].to_string().into_bytes(),
        _ => Value::from(vec![sample["transaction"].clone(); batch]).to_string().into_bytes(),
    }
}

/// Sends `count` requests over `connections`. Returns how long each took. All are to be `taken`, or none; `None`: whatever comes.
fn send(address: SocketAddr, connections: usize, count: usize, body: &[u8], taken: Option<bool>) -> Vec<f64> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    let begun = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = TcpStream::connect(address).unwrap();
                    stream.set_nodelay(true).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                    let (mut answer, mut times) = ([0; 4096], Vec::new());
                    while begun.fetch_add(1, Ordering::Relaxed) < count {
                        let start = Instant::now();
                        stream.write_all(&request).unwrap();
                        let read = stream.read(&mut answer).unwrap();
                        times.push(start.elapsed().as_secs_f64());
                        if let Some(taken) = taken {
                            let is_taken = answer.starts_with(b"HTTP/1.1 200");
                            let text = String::from_utf8_lossy(&answer[..read]);
                            assert_eq!(is_taken, taken, "{text}");
                        }
                    }
                    times
                })
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

/// A running server. It is killed when it is dropped: what it has is not needed.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
