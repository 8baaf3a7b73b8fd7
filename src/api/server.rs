//! Serves HTTP/1.1 on the status listeners (TCP) and the control socket (Unix).

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
use crate::log::limit::Limiter;

/// Connections at the same time, at most. Only scrapers, health checks and operators connect.
const MAX_CONNECTIONS: usize = 32;
/// How long the head of a request may take to arrive, and its body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;
/// The pause after an error of `accept`, which would come again at once.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A listening socket.
pub trait Accept: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Accepts the next connection.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Serves `routes` on `listener` until the task is aborted.
pub async fn serve(listener: impl Accept, routes: Arc<Routes>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let errors = Limiter::default();
    loop {
        let Ok(permit) = slots.clone().acquire_owned().await else { return };
        let stream = match listener.next().await {
            Ok(stream) => stream,
            Err(error) => {
                if let Some(suppressed) = errors.admit() {
                    tracing::warn!(
                        suppressed,
                        "status: cannot accept a connection: {error}; if there are too many open files, raise their limit"
                    );
                }
                tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
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
            http.timer(TokioTimer::new()).header_read_timeout(READ_TIMEOUT);
            // An error means that the client is gone.
            let _ = http.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(request: Request<Incoming>, routes: &Routes) -> Reply {
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(READ_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            let message = format!("the body cannot be read: {error}; it may have {MAX_BODY_BYTES} bytes");
            return json_reply(StatusCode::BAD_REQUEST, &json!({"message": message}));
        }
        Err(_) => {
            return json_reply(StatusCode::REQUEST_TIMEOUT, &json!({"message": "the body did not arrive in time"}));
        }
    };
    let call = Call {
        arguments: Vec::new(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    };
    routes.answer(&head.method, head.uri.path(), call).await
}
