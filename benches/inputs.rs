//! CPU time of the whole service for each transaction, by input: from the transport to the log phase, without a plugin.
//!
//! "accept and read" is a program of Tokio alone, which accepts connections, reads each to its end, and does nothing else: the
//! floor of what a connection for each transaction costs. The CPU time is that of the service's process, in user and system mode, so that
//! senders and other work on the machine cost a figure little. Rows take turns; each figure is the median of its rounds.
//!
//! `cargo bench --bench inputs` (or `make bench`). With a word it runs only the rows whose names contain it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports on standard output")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking and says why")]
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod process;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::io::AsyncReadExt;

use process::{cpu_seconds, free_address, wait_for};

/// Rounds of each row.
const ROUNDS: usize = 3;
/// Connections of a round with one for each transaction.
const CONNECTIONS: usize = 40_000;
/// Transactions of the other rounds.
const LINES: usize = 200_000;
/// Connections that are open at the same time.
const SENDERS: usize = 8;
/// Connections from one address. Each holds a port of it for a minute.
const FROM_ONE: usize = 10_000;
/// Datagrams that are sent without a pause.
const BURST: usize = 50;
/// The argument that makes this program accept and read.
const BARE: &str = "--accept-and-read";

const NGINX: &[u8] = include_bytes!("../src/decode/mapping/samples/nginx.ndjson");

/// How transactions arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// A connection for each, read by nothing but Tokio.
    Bare,
    /// A connection for each.
    Each,
    /// All on one connection.
    One,
    /// Syslog messages of nginx on one connection.
    SyslogTcp,
    /// Syslog messages of nginx as datagrams.
    SyslogUdp,
    /// Lines of nginx in a file.
    File,
    /// Lines of Envoys that name their collector, which is away: to its queue on disk, in the form of TrafficLogs.
    Streamed,
    /// The same in the form of MeshAccessLogs with a JSON format.
    StreamedJson,
}

const ROWS: [(&str, How); 8] = [
    ("accept and read, a connection each", How::Bare),
    ("TCP, a connection each", How::Each),
    ("TCP, one connection", How::One),
    ("syslog over TCP, mapping nginx", How::SyslogTcp),
    ("syslog over UDP, mapping nginx", How::SyslogUdp),
    ("file, mapping nginx", How::File),
    ("access log streamer, texts", How::Streamed),
    ("access log streamer, JSON", How::StreamedJson),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` also runs benchmarks, with `--test`; this one contains no tests.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    if let [bare, address] = &arguments[..]
        && bare == BARE
    {
        return accept_and_read(address.parse().unwrap());
    }
    // Cargo's own arguments begin with a dash.
    let only = arguments.iter().find(|argument| !argument.starts_with('-'));
    let rows: Vec<_> =
        ROWS.into_iter().filter(|(name, _)| only.is_none_or(|word| name.contains(word.as_str()))).collect();
    let home = tempfile::tempdir().unwrap();
    let mut rounds = vec![Vec::new(); rows.len()];
    for _ in 0..ROUNDS {
        for ((_, how), rounds) in rows.iter().zip(&mut rounds) {
            rounds.push(if *how == How::Bare { bare() } else { service(home.path(), *how) });
        }
    }
    println!("{:<38} {:>12} {:>12}", format!("median of {ROUNDS} rounds"), "bytes each", "CPU \u{b5}s each");
    for ((name, how), rounds) in rows.iter().zip(&mut rounds) {
        rounds.sort_by(f64::total_cmp);
        let frames = frames(*how);
        let bytes: usize = frames.iter().map(Vec::len).sum();
        println!("{name:<38} {:>12} {:>12.1}", bytes / frames.len(), rounds[ROUNDS / 2]);
    }
}

/// What is sent, in turns.
fn frames(how: How) -> Vec<Vec<u8>> {
    let header: &[u8] = match how {
        How::Bare | How::Each | How::One => {
            let sample = include_str!("../tests/conformance/003-header-added.json");
            let sample: Value = serde_json::from_str(sample).expect("a case");
            return vec![format!("{}\n", sample["transaction"]).into_bytes()];
        }
        How::SyslogTcp | How::SyslogUdp => b"<190>Nov 30 01:02:03 web-1 nginx: ",
        How::File => b"",
        How::Streamed => b"127.0.0.1:9;",
        How::StreamedJson => br#"{"address":"127.0.0.1:9","message":"#,
    };
    let end: &[u8] = if how == How::StreamedJson { b"}\n" } else { b"\n" };
    let lines = NGINX.trim_ascii_end().split(|byte| *byte == b'\n');
    lines.map(|line| [header, line, end].concat()).collect()
}

/// Accepts and reads connections, then says how many microseconds of CPU time each took.
fn accept_and_read(address: SocketAddr) {
    let computed = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let before = computed();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let (sender, mut ended) = tokio::sync::mpsc::channel(64);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let sender = sender.clone();
                tokio::spawn(async move {
                    let mut buffer = Vec::with_capacity(16 << 10);
                    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {}
                    drop(stream);
                    let _ = sender.send(()).await;
                });
            }
        });
        for _ in 0..CONNECTIONS {
            ended.recv().await.unwrap();
        }
    });
    println!("{}", (computed() - before) / CONNECTIONS as f64);
}

/// Microseconds of CPU time of each connection that nothing but Tokio reads.
fn bare() -> f64 {
    let address = free_address();
    let mut child = Command::new(std::env::current_exe().unwrap());
    let mut child = child.arg(BARE).arg(address.to_string()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for(address);
    // One less: that which has waited is one.
    connections(address, CONNECTIONS - 1);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    text.trim().parse().unwrap()
}

/// Microseconds of CPU time of the service for each transaction.
fn service(home: &Path, how: How) -> f64 {
    let (address, status) = (free_address(), free_address());
    let file = home.join("access.log");
    let _ = std::fs::remove_dir_all(home.join("data"));
    std::fs::write(home.join("kong.yml"), "_format_version: '3.0'\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_logphase"));
    command.args(["run", "kong.yml"]).current_dir(home).env("LOGPHASE_DATA_DIR", home.join("data"));
    command.env("LOGPHASE_HTTP_LISTEN", "").env("LOGPHASE_STATUS_LISTEN", status.to_string());
    let input = match how {
        How::Bare | How::Each | How::One => {
            command.env("LOGPHASE_TCP_LISTEN", address.to_string());
            "tcp"
        }
        How::SyslogTcp | How::SyslogUdp => {
            // The messages on the connection come first in either case, to see that the service listens.
            command.env("LOGPHASE_SYSLOG_TCP", address.to_string()).env("LOGPHASE_SYSLOG_UDP", address.to_string());
            command.env("LOGPHASE_SYSLOG_MAPPING", "nginx").env("LOGPHASE_SYSLOG_MATCH_ROUTES", "false");
            "syslog"
        }
        How::File => {
            let lines = frames(how).into_iter().cycle().take(LINES).collect::<Vec<_>>().concat();
            std::fs::write(&file, lines).unwrap();
            command.env("LOGPHASE_FILE_INCLUDE", &file);
            command.env("LOGPHASE_FILE_MAPPING", "nginx").env("LOGPHASE_FILE_MATCH_ROUTES", "false");
            "file"
        }
        How::Streamed | How::StreamedJson => {
            command.env("LOGPHASE_ACCESS_LOG_STREAMER_LISTEN", address.to_string());
            command.env("LOGPHASE_ACCESS_LOG_STREAMER_ADDRESSES", "127.0.0.1:9");
            "access_log_streamer"
        }
    };
    let log = home.join("service.log");
    let child = command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let service = Service { child, status, input };
    let (before, begun) = if how == How::File {
        wait_for(status);
        service.wait_until(|received| received > 0)
    } else {
        wait_for(address);
        send(address, how, 100);
        service.wait_until(|received| received > 0)
    };
    let sent = if how == How::Each { CONNECTIONS } else { LINES };
    send(address, how, sent);
    let (received, ended) = match how {
        // What the kernel has no room for is lost.
        How::SyslogUdp => service.until_quiet(),
        How::File => service.wait_until(|received| received >= sent),
        _ => service.wait_until(|received| received >= before + sent),
    };
    (ended - begun) * 1e6 / (received - before) as f64
}

/// Sends `count` transactions; a file has them already.
fn send(address: SocketAddr, how: How, count: usize) {
    let frames = frames(how);
    match how {
        How::File => {}
        How::Bare | How::Each => connections(address, count),
        How::One | How::SyslogTcp | How::Streamed | How::StreamedJson => {
            let mut stream = TcpStream::connect(address).unwrap();
            let all: Vec<u8> = frames.iter().cycle().take(count).flatten().copied().collect();
            stream.write_all(&all).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            // The service closes its side when it has taken everything.
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
        How::SyslogUdp => {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            for (at, frame) in frames.iter().cycle().take(count).enumerate() {
                if at % BURST == BURST - 1 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                socket.send_to(frame.trim_ascii_end(), address).unwrap();
            }
        }
    }
}

/// Makes `count` connections with a transaction each, from several at a time.
fn connections(address: SocketAddr, count: usize) {
    // Never the same address again soon, whatever ran before.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let line = frames(How::Each).concat();
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                while made.fetch_add(1, Ordering::Relaxed) < count {
                    let from = NEXT.fetch_add(1, Ordering::Relaxed) / FROM_ONE % 250;
                    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                    let from = Ipv4Addr::new(127, 0, 1, u8::try_from(from).unwrap());
                    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
                    socket.connect(&address.into()).unwrap();
                    let mut stream = TcpStream::from(socket);
                    stream.write_all(&line).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                }
            });
        }
    });
}

/// A running service. It is killed when it is dropped: what it has is not needed.
struct Service {
    child: Child,
    status: SocketAddr,
    input: &'static str,
}

impl Service {
    /// Transactions that were taken, and seconds that the process has computed.
    fn look(&self) -> (usize, f64) {
        let Ok(mut stream) = TcpStream::connect(self.status) else { return (0, 0.0) };
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let start = format!("logphase_transactions_received_total{{input=\"{}\"}} ", self.input);
        let sample = text.lines().find(|line| line.starts_with(&start));
        let received = sample.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0);
        (received, cpu_seconds(&self.child))
    }

    /// Looks until it `is_enough`.
    fn wait_until(&self, is_enough: impl Fn(usize) -> bool) -> (usize, f64) {
        let start = Instant::now();
        loop {
            let look = self.look();
            if is_enough(look.0) {
                return look;
            }
            assert!(start.elapsed().as_secs() < 300, "only {} transactions arrive", look.0);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Looks until no more arrive.
    fn until_quiet(&self) -> (usize, f64) {
        let mut last = self.look();
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let look = self.look();
            if look.0 == last.0 {
                return look;
            }
            last = look;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
