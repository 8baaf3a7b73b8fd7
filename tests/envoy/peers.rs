//! A real Envoy, an upstream behind it, and a client in front of it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::service::{free_port, wait_until};

/// Envoy's program, downloaded if it is missing.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in target");
        let fetch = Command::new(root.join(".ci/envoy")).arg(built.join("envoy")).output().unwrap();
        assert!(fetch.status.success(), "{}", String::from_utf8_lossy(&fetch.stderr));
        String::from_utf8(fetch.stdout).unwrap().trim_end().into()
    })
}

/// A running Envoy. Dropping it kills it.
pub struct Envoy {
    child: Child,
    directory: TempDir,
}

impl Envoy {
    /// An Envoy with this configuration; waits until it listens on `ports`.
    pub fn start(configuration: &str, ports: &[u16]) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("envoy.yaml");
        std::fs::write(&path, configuration).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(program());
        command.arg("-c").arg(path).args(["--disable-hot-restart", "--concurrency", "1", "-l", "warning"]);
        command.args(["--service-node", "node-7", "--service-cluster", "edge"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut envoy = Self { child: command.spawn().unwrap(), directory };
        wait_until("Envoy listens", || {
            if let Some(status) = envoy.child.try_wait().unwrap() {
                panic!("Envoy exited at startup: {status}\n{}", envoy.log());
            }
            ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        envoy
    }

    /// What Envoy has logged about itself.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The head of a request or response: its first line, its headers by lower-case name.
#[derive(Debug, Clone, Default)]
pub struct Head {
    pub line: String,
    pub headers: HashMap<String, String>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Self { line, headers }
    }

    /// The second word of the first line: a path, or a status.
    pub fn word(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// Reads up to the end of a head; `None` if the peer ends before.
fn read_head(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<Head> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = Head::parse(&String::from_utf8_lossy(&received[..end]));
            let length = head.headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            while received.len() < end + 4 + length {
                let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
                received.extend_from_slice(&buffer[..read]);
            }
            received.drain(..end + 4 + length);
            return Some(head);
        }
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        received.extend_from_slice(&buffer[..read]);
    }
}

/// An HTTP server: the path says what it does.
pub struct Upstream {
    pub port: u16,
    seen: Arc<Mutex<Vec<Head>>>,
}

impl Upstream {
    pub fn start() -> Self {
        Self::start_at(free_port())
    }

    pub fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = all.clone();
                thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { port, seen }
    }

    /// The requests so far whose path has this text.
    pub fn seen(&self, path: &str) -> Vec<Head> {
        self.seen.lock().iter().filter(|head| head.word().contains(path)).cloned().collect()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Head>>) {
    let mut received = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut received) {
        let close = head.headers.get("connection").is_some_and(|value| value == "close");
        let path = head.word().to_owned();
        let earlier = {
            let mut seen = seen.lock();
            seen.push(head);
            seen.iter().filter(|head| head.word() == path).count() - 1
        };
        let status = match () {
            () if path.contains("reset") => return drop(stream.shutdown(Shutdown::Both)),
            () if path.contains("flaky") && earlier < 2 => "503 Unavailable",
            () if path.contains("missing") => "404 Not Found",
            () if path.contains("error") => "500 Internal Server Error",
            () => "200 OK",
        };
        let body = format!("answer to {path}");
        let length = body.len();
        let response = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\nx-up: yes\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        if stream.write_all(response.as_bytes()).is_err() || close {
            return;
        }
    }
}

/// A TCP server that sends back what it gets.
pub fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut from = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut from, &mut stream);
            });
        }
    });
    port
}

/// What a client sent and got.
#[derive(Debug)]
pub struct Exchange {
    pub sent: usize,
    pub received: usize,
    pub local_port: u16,
    pub head: Head,
}

/// One request on a connection of its own.
pub fn request(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Exchange {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    stream.write_all(text.as_bytes()).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    let answer = String::from_utf8_lossy(&received).into_owned();
    let head = Head::parse(answer.split("\r\n\r\n").next().unwrap_or_default());
    let local_port = stream.local_addr().unwrap().port();
    Exchange { sent: text.len(), received: received.len(), local_port, head }
}
