//! An nginx with its Lua module in the place of Kong: it runs the printed functions in Kong's sandbox, proxies to an
//! upstream, and sends the log object as http-log does.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::service::{Signal, TIMEOUT, free_port, wait_until, whole_lines};

/// A running gateway. Dropping it stops it.
pub struct Gateway {
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Gateway {
    /// Starts it in `folder`, which has the printed `forwarder.json`; it sends to Logphase at `logphase`.
    pub fn start(folder: &Path, logphase: u16) -> Self {
        let (port, upstream, closed) = (free_port(), free_port(), free_port());
        let path = folder.to_str().expect("a plain name");
        let replaced = [
            ("FOLDER", path.to_owned()),
            ("UPSTREAM", upstream.to_string()),
            ("KONG", port.to_string()),
            ("CLOSED", closed.to_string()),
            ("LOGPHASE", logphase.to_string()),
        ];
        let mut text = include_str!("nginx.conf").to_owned();
        for (name, value) in replaced {
            text = text.replace(name, &value);
        }
        std::fs::write(folder.join("nginx.conf"), text).unwrap();
        std::fs::write(folder.join("kong.lua"), include_str!("kong.lua")).unwrap();
        let program = Path::new("/usr/sbin/nginx");
        let mut command = Command::new(if program.exists() { program } else { Path::new("nginx") });
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(folder.join("errors"));
        command.args(["-g", "daemon off;"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nginx runs; `make test` installs it");
        let mut gateway = Self { folder: folder.to_owned(), port, child };
        wait_until("the gateway listens", || {
            if let Some(status) = gateway.child.try_wait().unwrap() {
                panic!("nginx exited at startup: {status}\n{}", gateway.errors());
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        gateway
    }

    /// Sends a request on a connection of its own. Returns the status and the body of the response.
    pub fn request(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut head = format!("{line} HTTP/1.1\r\nHost: gateway.example\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = &answer[end + 4..];
        (status, if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_vec() })
    }

    /// The lines of JSON in a file that the gateway writes.
    pub fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        whole_lines(&text)
    }

    /// The error log.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.join("errors")).unwrap_or_default()
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|bytes| bytes == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).unwrap();
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[(end + 4 + size).min(body.len())..];
    }
    whole
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.expect("a process has an id"), Signal::TERM).unwrap();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what the gateway said ---\n{}\n---", self.errors());
        }
    }
}
