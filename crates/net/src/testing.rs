//! What tests play: an HTTP server that is a registry, a token endpoint or a proxy; and ports of their own.
#![allow(missing_docs, clippy::unwrap_used, reason = "test support")]

use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use parking_lot::Mutex;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Which connection it came over, from 0 on.
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The fields of its form.
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// Status, headers and body.
pub type Answer = (u16, Vec<(&'static str, String)>, String);

pub fn ok(body: impl ToString) -> Answer {
    (200, Vec::new(), body.to_string())
}

type Handler = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

#[derive(Clone)]
struct Play {
    seen: Arc<Mutex<Vec<Seen>>>,
    handler: Handler,
}

/// A server that lives as long as this.
pub struct Peer {
    pub address: SocketAddr,
    play: Play,
    _tasks: JoinSet<()>,
}

impl Peer {
    pub async fn start(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let play = Play { seen: Arc::default(), handler: Arc::new(handler) };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, play.clone()));
        Self { address, play, _tasks: tasks }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.play.seen.lock().clone()
    }

    pub fn count(&self) -> usize {
        self.seen().len()
    }
}

async fn accept(listener: TcpListener, play: Play) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let play = play.clone();
        connections.spawn(async move { serve(stream, number, play).await });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, connection: usize, play: Play) {
    let service = service_fn(|request: Request<Incoming>| {
        let play = play.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let seen = Seen {
                line: format!("{} {} {:?}", head.method, head.uri, head.version),
                headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                body: String::from_utf8_lossy(&body).into_owned(),
                connection,
            };
            play.seen.lock().push(seen.clone());
            let (status, headers, body) = (play.handler)(&seen);
            let mut answer = Response::builder().status(status);
            for (name, value) in headers {
                answer = answer.header(name, value);
            }
            Ok::<_, hyper::Error>(answer.body(Full::new(Bytes::from(body))).unwrap())
        }
    });
    // The client may leave at any time.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A port that is free for TCP and UDP and stays so while its test leaves it: below those that the system hands out by
/// itself, to no two tests of one process the same.
pub fn own_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 100) as u16 * 100;
    loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if StdTcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
