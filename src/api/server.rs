//! Serves HTTP/1.1 on the status listeners (TCP) and the control socket (Unix).

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use super::accept::{Accept, Client};
use super::router::{Call, Reply, Routes, json_reply};
use crate::connections::{AllowedHosts, Connections, HostError, Slot, WatchedStream, Working};
use crate::log::limit::Limiter;

/// How long the head of a request may take to arrive, and its body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a response may wait for its peer to read any of it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after an error of `accept`, which would come again at once.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// What it is called in the log.
    const NAME: &'static str;
    /// Connections at the same time, at most; for more, one that waits for its peer is closed, or the one that was answered
    /// most often.
    const MAX_CONNECTIONS: usize;
    /// The largest body of a request, in bytes.
    const MAX_BODY_BYTES: usize;

    /// The largest body of a request of `client` with the head `head`, in bytes.
    fn body_limit(&self, _head: &Parts, _client: &Client) -> usize {
        Self::MAX_BODY_BYTES
    }

    /// Answers a request of `client` with the head `head` and the body `body`.
    fn handle(&self, head: Parts, body: Result<Bytes, Unread>, client: &Client) -> impl Future<Output = Reply> + Send;
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    /// It is larger than the handler reads.
    #[error("the body is too large")]
    TooLarge,
    /// The connection failed.
    #[error("the body cannot be read: {0}")]
    Broken(String),
    /// It took too long.
    #[error("the body did not arrive in time")]
    Late,
}

impl Unread {
    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

impl Handler for Routes {
    const NAME: &'static str = "status";
    // Only scrapers, health checks and operators connect.
    const MAX_CONNECTIONS: usize = 32;
    const MAX_BODY_BYTES: usize = 1 << 20;

    async fn handle(&self, head: Parts, body: Result<Bytes, Unread>, _: &Client) -> Reply {
        let body = match body {
            Ok(body) => body,
            Err(unread) => {
                let limit = Self::MAX_BODY_BYTES;
                let message = match &unread {
                    Unread::TooLarge => format!("{unread}: it may have {limit} bytes"),
                    other => other.to_string(),
                };
                return json_reply(unread.status(), &json!({ "message": message }));
            }
        };
        let query = head.uri.query().unwrap_or_default().to_owned();
        let call = Call { arguments: Vec::new(), query, headers: head.headers, body };
        self.answer(&head.method, head.uri.path(), call).await
    }
}

/// Serves `handler` on `listener` until the task is aborted, to requests that use a name of the service (`None`: any).
pub(crate) async fn serve<H: Handler>(listener: impl Accept, handler: Arc<H>, hosts: Option<AllowedHosts>) {
    let connections = Connections::interruptible(H::MAX_CONNECTIONS);
    let errors = Limiter::default();
    loop {
        let (opening, peer) = match listener.next().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(suppressed) = errors.admit() {
                    tracing::warn!(
                        suppressed,
                        "{}: cannot accept a connection: {error}; if there are too many open files, raise their limit",
                        H::NAME
                    );
                }
                tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
                continue;
            }
        };
        let slot = connections.admit(peer).await;
        let (handler, hosts) = (handler.clone(), hosts.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = converse(opening, &slot, handler, hosts) => {}
                () = slot.shed() => {
                    tracing::debug!("{}: a connection that was waiting for its peer is closed for a new one", H::NAME);
                }
            }
        });
    }
}

/// Opens and serves one connection.
async fn converse<S, O, H>(opening: O, slot: &Slot, handler: Arc<H>, hosts: Option<AllowedHosts>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    O: Future<Output = Option<(S, Client)>>,
    H: Handler,
{
    let Some((stream, client)) = opening.await else { return };
    let answer = service_fn(|request: Request<Incoming>| {
        let (handler, slot, refusal) = (handler.clone(), slot.clone(), refusal(&request, hosts.as_ref()));
        let client = &client;
        async move {
            let reply = match refusal {
                Some(refusal) => refusal,
                None => answer(request, &*handler, &slot, client).await,
            };
            // Until its end is written, the response is work; a peer that does not read it is told apart.
            let working = slot.working();
            Ok::<_, Infallible>(reply.map(|body| WorkingBody { body, _working: working }))
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(READ_TIMEOUT);
    let stream = WatchedStream::new(stream, slot.clone(), WRITE_TIMEOUT);
    // An error means that the client is gone.
    let _ = http.serve_connection(TokioIo::new(stream), answer).await;
}

/// The body of a response, which is work for its connection.
struct WorkingBody {
    body: BoxBody<Bytes, Infallible>,
    _working: Working,
}

impl Body for WorkingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The response to a request that uses a name that is none of the service.
fn refusal(request: &Request<Incoming>, hosts: Option<&AllowedHosts>) -> Option<Reply> {
    let error = hosts?.check(request.version(), request.uri(), request.headers()).err()?;
    let status = match error {
        HostError::Malformed => StatusCode::BAD_REQUEST,
        HostError::Host { .. } => StatusCode::MISDIRECTED_REQUEST,
        HostError::Origin { .. } => StatusCode::FORBIDDEN,
    };
    Some(json_reply(status, &json!({"message": error.to_string()})))
}

async fn answer<H: Handler>(request: Request<Incoming>, handler: &H, slot: &Slot, client: &Client) -> Reply {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, handler.body_limit(&head, client));
    let body = match tokio::time::timeout(READ_TIMEOUT, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(error)) => Err(Unread::Broken(error.to_string())),
        Err(_) => Err(Unread::Late),
    };
    let _working = slot.working();
    handler.handle(head, body, client).await
}
