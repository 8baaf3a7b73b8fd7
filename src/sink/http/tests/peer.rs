//! A server with scripted responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

/// The reaction to a request.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    /// Close the connection after the response.
    pub close: bool,
    /// Reset the connection instead of responding.
    pub cut: bool,
    /// Never respond.
    pub silent: bool,
    /// Size of the response body in bytes.
    pub length: usize,
    /// Send one byte of the body, then close the connection.
    pub broken_off: bool,
    /// Respond when this many requests are waiting.
    pub wait_for: Option<Arc<Barrier>>,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, close: false, cut: false, silent: false, length: 0, broken_off: false, wait_for: None }
    }
}

#[derive(Clone)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
    taken: bool,
}

type Answer = dyn Fn(usize, &[u8]) -> Reply + Send + Sync;

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    open: AtomicUsize,
}

pub struct Peer {
    pub port: u16,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl Peer {
    /// Starts a server; `answer` gets the number of the request and its body.
    pub async fn start(answer: impl Fn(usize, &[u8]) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(answer, Duration::ZERO, 64 << 10).await
    }

    /// Starts a server that accepts everything, reading `piece` bytes at a time with a `pause` before each.
    pub async fn start_slow(pause: Duration, piece: usize) -> Self {
        Self::start_with(|_, _| Reply::status(200), pause, piece).await
    }

    async fn start_with(
        answer: impl Fn(usize, &[u8]) -> Reply + Send + Sync + 'static,
        pause: Duration,
        piece: usize,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let seen = Arc::new(Seen::default());
        let (answer, shared): (Arc<Answer>, _) = (Arc::new(answer), seen.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                shared.open.fetch_add(1, Ordering::SeqCst);
                let (answer, shared) = (answer.clone(), shared.clone());
                tokio::spawn(async move {
                    serve(stream, answer, &shared, pause, piece).await;
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, seen, task }
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Returns when no connection is open anymore.
    pub async fn all_closed(&self) {
        while self.seen.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().clone()
    }

    /// The messages of the requests that succeeded: strings, alone or in arrays.
    pub fn taken_messages(&self) -> Vec<String> {
        let taken = self.requests().into_iter().filter(|request| request.taken);
        let values = taken.flat_map(|request| match serde_json::from_slice(&request.body).expect("JSON") {
            Value::Array(values) => values,
            value => vec![value],
        });
        values.map(|value| value.as_str().expect("a string").to_owned()).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one request; `None` at the end of the connection.
async fn read(stream: &mut TcpStream, pause: Duration, piece: usize) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; piece];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let length: usize = length.expect("a length");
            if bytes.len() >= end + 4 + length {
                return Some((head, bytes.split_off(end + 4)));
            }
        }
        tokio::time::sleep(pause).await;
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
}

async fn serve(mut stream: TcpStream, answer: Arc<Answer>, seen: &Seen, pause: Duration, piece: usize) {
    while let Some((head, body)) = read(&mut stream, pause, piece).await {
        let number = seen.requests.lock().len();
        let reply = answer(number, &body);
        let taken = reply.status < 300 && !reply.cut && !reply.silent;
        seen.requests.lock().push(Request { head, body, taken });
        if let Some(barrier) = &reply.wait_for {
            barrier.wait().await;
        }
        if reply.cut {
            return;
        }
        if reply.silent {
            std::future::pending::<()>().await;
        }
        // A 204 has neither a body nor a length.
        let length = if reply.status == 204 { String::new() } else { format!("Content-Length: {}\r\n", reply.length) };
        let sent = if reply.broken_off { 1 } else { reply.length };
        let text = format!("HTTP/1.1 {} X\r\n{length}\r\n{}", reply.status, "x".repeat(sent));
        if stream.write_all(text.as_bytes()).await.is_err() || reply.close || reply.broken_off {
            return;
        }
    }
}
