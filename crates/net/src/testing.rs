//! Support for tests: an HTTP server with scripted responses, and ports of their own.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A request as a [`MockServer`] received it.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// The request line: method, target and version.
    pub line: String,
    /// Names, in lower case, and values of the headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// The number of its connection, from 0 on.
    pub connection: usize,
}

impl ReceivedRequest {
    /// The value of the header `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The fields of a body that is a form.
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// A scripted response: status, headers and body.
pub type MockResponse = (u16, Vec<(&'static str, String)>, String);

/// A response with status 200.
pub fn ok(body: impl ToString) -> MockResponse {
    (200, Vec::new(), body.to_string())
}

/// An HTTP/1 server on a port of 127.0.0.1 that records requests. It stops when it is dropped.
pub struct MockServer {
    /// The address that it listens on.
    pub address: SocketAddr,
    state: State,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct State {
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
    respond: Arc<dyn Fn(&ReceivedRequest) -> MockResponse + Send + Sync>,
}

impl MockServer {
    /// Starts a server that answers each request with what `respond` returns for it.
    pub async fn start(respond: impl Fn(&ReceivedRequest) -> MockResponse + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { requests: Arc::default(), respond: Arc::new(respond) };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, state.clone()));
        Self { address, state, _tasks: tasks }
    }

    /// The URL of `path` on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.state.requests.lock().clone()
    }

    /// The number of requests so far.
    pub fn count(&self) -> usize {
        self.state.requests.lock().len()
    }
}

async fn accept(listener: TcpListener, state: State) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let state = state.clone();
        connections.spawn(async move { serve(stream, number, state).await });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, connection: usize, state: State) {
    let service = service_fn(|request| {
        let state = state.clone();
        async move {
            let request = receive(request, connection).await?;
            state.requests.lock().push(request.clone());
            let (status, headers, body) = (state.respond)(&request);
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok::<_, hyper::Error>(response.body(Full::new(Bytes::from(body))).unwrap())
        }
    });
    // The client may close the connection at any time.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn receive(request: Request<Incoming>, connection: usize) -> hyper::Result<ReceivedRequest> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(ReceivedRequest {
        line: format!("{} {} {:?}", head.method, head.uri, head.version),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        connection,
    })
}

/// A port that is free for TCP and UDP and that no other test of this process gets. It is below the range from which
/// the system assigns ports, so that it stays free.
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

/// Listens on `port`, which this process has held before. A child process that another test starts holds a copy of the old
/// listener until it runs its program, so this waits until the address is free.
///
/// # Panics
/// The address is in use for 20 seconds, or cannot be used at all.
pub fn listen_on(port: u16) -> StdTcpListener {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        match StdTcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => return listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && std::time::Instant::now() < deadline => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            Err(error) => panic!("cannot listen on 127.0.0.1:{port}: {error}"),
        }
    }
}
