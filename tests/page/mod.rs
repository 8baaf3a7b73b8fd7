//! The page's server side, as a browser uses it.

mod access;
mod attacks;
mod browser;
mod figures;
mod messages;
mod plan;
mod playground;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::admin::send;
use crate::service::{Answer, Home, Service, TIMEOUT, free_port};

/// What scripts of the page send with every change.
const MARKED: &str = "Content-Type: application/json\r\nX-Logphase-Page: 1\r\n";

/// A service with its page on a free port, and a browser's session.
struct Browser {
    service: Service,
    port: u16,
    /// The session's cookie, as a header.
    cookie: String,
}

impl Browser {
    /// Opens the page of the service of `home`, started with `arguments`.
    fn open(home: Home, arguments: &[&str]) -> Self {
        let port = free_port();
        let home = home.set("LOGPHASE_PAGE_LISTEN", format!("127.0.0.1:{port}"));
        Self { service: home.start_with(arguments), port, cookie: String::new() }
    }

    /// The same, of a service with an empty database that may write files in its directory.
    fn with_database(home: Home) -> Self {
        let directory = home.text("");
        let home = home.set("LOGPHASE_DATABASE", "sqlite").set("LOGPHASE_CONFINEMENT_PATHS", directory);
        Self::open(home, &["run"])
    }

    /// Asks for `path` with these headers besides the cookie, each with its line end.
    fn ask_with(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        send(self.port, method, path, &format!("{}{headers}", self.cookie), body).unwrap()
    }

    /// Asks as a script of the page does.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = if method == "GET" { "" } else { MARKED };
        self.ask_with(method, path, headers, body.as_bytes())
    }

    /// Asks, and expects the status `status`.
    #[track_caller]
    fn expect(&self, status: u16, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        if answer.body.is_empty() { json!(null) } else { answer.json() }
    }

    /// Logs in with `token`; the answer.
    fn log_in(&mut self, token: &str) -> Answer {
        let answer = self.ask("POST", "/api/session", &json!({"token": token}));
        // The head is in lower case; the value of the cookie is not: it is read from the bytes.
        if answer.status == 200 {
            self.cookie = format!("Cookie: {}\r\n", raw_cookie(self.port, token));
        }
        answer
    }

    /// Opens a stream.
    fn stream(&self, path: &str) -> Stream {
        Stream::open(self.port, path, &self.cookie)
    }
}

/// The cookie that a login sets, with its letters as they are.
fn raw_cookie(port: u16, token: &str) -> String {
    let body = json!({"token": token}).to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(
        stream,
        "POST /api/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{MARKED}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let line = answer.lines().find_map(|line| line.split_once("set-cookie: ")).expect("a cookie").1;
    line.split(';').next().unwrap().to_owned()
}

/// An answer without an end, in chunks.
struct Stream {
    reader: BufReader<TcpStream>,
    /// The head, in lower case.
    head: String,
    /// What of the body was read and is no whole line yet.
    rest: Vec<u8>,
}

impl Stream {
    fn open(port: u16, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").unwrap();
        let (mut reader, mut head) = (BufReader::new(stream), String::new());
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        Self { reader, head: head.to_ascii_lowercase(), rest: Vec::new() }
    }

    /// The next line; `None` at the end of the answer.
    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            let mut size = String::new();
            self.reader.read_line(&mut size).ok().filter(|bytes| *bytes > 0)?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk).unwrap();
            if size == 0 {
                return None;
            }
            self.rest.extend_from_slice(&chunk[..size]);
        }
    }

    /// The next event `now`.
    fn event(&mut self) -> Value {
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            let line = self.line().expect("the events go on");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
        panic!("no event in {TIMEOUT:?}");
    }

    /// The first event for which `holds`.
    #[track_caller]
    fn event_with(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let event = self.event();
            if holds(&event) {
                return event;
            }
            assert!(start.elapsed() < 2 * TIMEOUT, "waited in vain until {what}: {event:#}");
        }
    }

    /// The next object of a line.
    fn object(&mut self) -> Value {
        loop {
            let line = self.line().expect("the lines go on");
            if !line.is_empty() {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }
}

/// How long a stream may take to notice that its session has ended.
const PATIENCE: Duration = TIMEOUT;
