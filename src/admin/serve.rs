//! The connections of the admin listeners: TCP for who watches, a Unix socket for the program's own commands.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::router::{Call, Reply, Routes, json_reply};
use crate::folding::Folded;

/// Connections at the same time; nobody needs many.
const CONNECTIONS: usize = 32;
/// How long a request's head may take, and its body.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request's body.
const BODY_BYTES: usize = 1 << 20;

/// Where connections come from.
pub trait Listen: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Answers on `listener` until the task is aborted.
pub async fn serve(listener: impl Listen, routes: Arc<Routes>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let complaints = Folded::default();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let stream = match listener.next().await {
            Ok(stream) => stream,
            Err(error) => {
                if let Some(folded) = complaints.pass() {
                    tracing::warn!(
                        folded,
                        "status: cannot accept a connection: {error}; raise the limit on open files, if it is that"
                    );
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let routes = routes.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let answer = service_fn(|request| {
                let routes = routes.clone();
                async move { Ok::<_, Infallible>(answer(request, &routes).await) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            // Who hangs up needs no answer.
            let _ = http.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(request: Request<Incoming>, routes: &Routes) -> Reply {
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            let message = format!("the body cannot be read: {error}; {BODY_BYTES} bytes are the most");
            return json_reply(StatusCode::BAD_REQUEST, &json!({"message": message}));
        }
        Err(_) => return json_reply(StatusCode::REQUEST_TIMEOUT, &json!({"message": "the body did not come in time"})),
    };
    let call = Call {
        arguments: Vec::new(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    };
    routes.answer(&head.method, head.uri.path(), call).await
}
