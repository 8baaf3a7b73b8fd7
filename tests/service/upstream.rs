//! An HTTP server behind a proxy, and a client in front of it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::{TIMEOUT, free_port};

/// The head of a request or response: its first line, its headers by lower-case name.
#[derive(Debug, Clone, Default)]
pub struct Head {
    pub line: String,
    pub headers: HashMap<String, String>,
    /// Bytes of the body of a request.
    pub body: usize,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Self { line, headers, body: 0 }
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
            let mut head = Head::parse(&String::from_utf8_lossy(&received[..end]));
            let length = head.headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            while received.len() < end + 4 + length {
                let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
                received.extend_from_slice(&buffer[..read]);
            }
            received.drain(..end + 4 + length);
            head.body = length;
            return Some(head);
        }
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        received.extend_from_slice(&buffer[..read]);
    }
}

/// How long the upstream takes for a path with `slow`, and within the body of one with `drip`.
pub const DELAY: Duration = Duration::from_millis(300);

/// An HTTP server: the path says what it does. `reset` is a connection that ends without an answer, `missing` a 404, `error` a
/// 500, `flaky` a 503 twice, `slow` an answer after [`DELAY`], `drip` one that takes as long between its head and its body,
/// `long` a body of some kilobytes.
pub struct Upstream {
    /// Its port.
    pub port: u16,
    seen: Arc<Mutex<Vec<Head>>>,
}

impl Upstream {
    /// One on a free port.
    pub fn start() -> Self {
        Self::start_at(free_port())
    }

    /// One on this port.
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
        let mut body = format!("answer to {path}");
        if path.contains("long") {
            body = format!("{body}\n").repeat(100);
        }
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: text/plain\r\nx-up: yes\r\ncontent-length: {length}\r\n\r\n");
        if path.contains("slow") {
            thread::sleep(DELAY);
        }
        let written = if path.contains("drip") {
            let first = stream.write_all(head.as_bytes());
            thread::sleep(DELAY);
            first.and_then(|()| stream.write_all(body.as_bytes()))
        } else {
            stream.write_all(format!("{head}{body}").as_bytes())
        };
        if written.is_err() || close {
            return;
        }
    }
}

/// What a client sent and got.
#[derive(Debug)]
pub struct Exchange {
    /// Bytes of the request.
    pub sent: usize,
    /// Bytes of the response.
    pub received: usize,
    /// The client's port.
    pub local_port: u16,
    /// The response's head.
    pub head: Head,
    /// Bytes of the response's body, without the marks of its chunks.
    pub body: usize,
}

/// One request on a connection of its own.
pub fn request(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Exchange {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    let defaults = [("host", "api.example"), ("connection", "close")];
    let missing = defaults.iter().filter(|(name, _)| headers.iter().all(|(given, _)| given != name));
    for (name, value) in missing.chain(headers) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    let end = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(received.len());
    let head = Head::parse(&String::from_utf8_lossy(&received[..end]));
    let body = received.get(end + 4..).unwrap_or_default();
    let chunked = head.headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    let body = if chunked { chunks_length(body) } else { body.len() };
    let local_port = stream.local_addr().unwrap().port();
    Exchange { sent: text.len(), received: received.len(), local_port, head, body }
}

/// The length of the content of a body in chunks.
fn chunks_length(mut body: &[u8]) -> usize {
    let mut total = 0;
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            break;
        }
        total += length;
        body = &body[end + 2 + length + 2..];
    }
    total
}
