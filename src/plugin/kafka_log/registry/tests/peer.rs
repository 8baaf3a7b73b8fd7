//! An HTTP server that plays registry, token endpoint and proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

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
pub(in crate::plugin::kafka_log) struct Seen {
    pub(in crate::plugin::kafka_log) line: String,
    pub(in crate::plugin::kafka_log) headers: Vec<(String, String)>,
    pub(in crate::plugin::kafka_log) body: String,
    /// Which connection it came over, from 0 on.
    pub(in crate::plugin::kafka_log) connection: usize,
}

impl Seen {
    pub(in crate::plugin::kafka_log) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The fields of its form.
    pub(in crate::plugin::kafka_log) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// Status, headers and body.
pub(in crate::plugin::kafka_log) type Answer = (u16, Vec<(&'static str, String)>, String);

pub(in crate::plugin::kafka_log) fn ok(body: impl ToString) -> Answer {
    (200, Vec::new(), body.to_string())
}

type Handler = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

#[derive(Clone)]
struct Play {
    seen: Arc<Mutex<Vec<Seen>>>,
    handler: Handler,
}

/// A server that lives as long as this.
pub(in crate::plugin::kafka_log) struct Peer {
    pub(in crate::plugin::kafka_log) address: SocketAddr,
    play: Play,
    _tasks: JoinSet<()>,
}

impl Peer {
    pub(in crate::plugin::kafka_log) async fn start(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let play = Play { seen: Arc::default(), handler: Arc::new(handler) };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, play.clone()));
        Self { address, play, _tasks: tasks }
    }

    pub(in crate::plugin::kafka_log) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(in crate::plugin::kafka_log) fn seen(&self) -> Vec<Seen> {
        self.play.seen.lock().unwrap().clone()
    }

    pub(in crate::plugin::kafka_log) fn count(&self) -> usize {
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
            play.seen.lock().unwrap().push(seen.clone());
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
