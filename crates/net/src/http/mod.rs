//! An HTTP client for whatever speaks HTTP towards the outside: pooled connections, TLS by rustls, HTTP/2 by ALPN.

mod paced;

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use self::paced::{Paced, Progress};

/// Idle connections to one host that are kept.
const IDLE_CONNECTIONS: usize = 64;
/// Bytes that are buffered on the way to a connection: few, so that a body's progress can be seen.
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes of an answer beyond which the connection is rather given up than read on.
const LONGEST_ANSWER: usize = 4 << 20;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, or none that lasted.
    #[error("{}", chain(.0))]
    Connection(hyper_util::client::legacy::Error),
    /// The connection broke while the answer was read.
    #[error("{0}")]
    Answer(String),
    /// Nothing came in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The answer is larger than what was asked for.
    #[error("an answer of more than {0} bytes")]
    TooLarge(usize),
}

impl HttpError {
    /// Whether there was a connection, which broke: on a new one the request may succeed at once.
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Connection(error) => !error.is_connect(),
            Self::Answer(_) => true,
            Self::Timeout(_) | Self::TooLarge(_) => false,
        }
    }

    /// The system's error behind it.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        let Self::Connection(error) = self else { return None };
        find::<io::Error>(error).filter(|error| error.raw_os_error().is_some()).map(io::Error::kind)
    }

    /// The error of TLS behind it.
    pub fn tls(&self) -> Option<&rustls::Error> {
        let Self::Connection(error) = self else { return None };
        find::<rustls::Error>(error)
    }
}

/// A client with a pool of connections of its own. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Paced>,
    connect: Duration,
}

impl HttpClient {
    /// A client that speaks TLS by `tls`, keeps idle connections for `keepalive` and connects within `connect`.
    pub fn new(tls: &Arc<ClientConfig>, keepalive: Duration, connect: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(tls))
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        builder.pool_idle_timeout(keepalive);
        builder.pool_max_idle_per_host(if keepalive.is_zero() { 0 } else { IDLE_CONNECTIONS });
        builder.http1_max_buf_size(BUFFER_BYTES);
        // A request that takes too long does not end an HTTP/2 connection, which others share; a ping without an
        // answer does.
        builder.http2_keep_alive_interval(Some(connect.max(Duration::from_secs(1)))).http2_keep_alive_timeout(connect);
        Self { client: builder.build(connector), connect }
    }

    /// Sends `request`; the whole answer, of at most `most` bytes, must come within `limit`.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
        most: usize,
    ) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await;
        let progress = Progress::at(Instant::now());
        let request = Request::from_parts(head, Paced::new(body.to_bytes(), progress));
        let exchange = async {
            let (head, body) = self.client.request(request).await.map_err(HttpError::Connection)?.into_parts();
            let body = Limited::new(body, most).collect().await.map_err(|error| {
                let too_large = error.downcast_ref::<LengthLimitError>().is_some();
                if too_large { HttpError::TooLarge(most) } else { HttpError::Answer(error.to_string()) }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        timeout(limit, exchange).await.map_err(|_| HttpError::Timeout(limit))?
    }

    /// Sends `request`, for an answer of which the status counts. Of its body the first `keep` bytes are returned;
    /// that the rest does not come is no error. `limit` is the time for anything to move: in connecting, in sending,
    /// until the answer begins, until it ends.
    pub async fn exchange(
        &self,
        request: Request<Bytes>,
        limit: Duration,
        keep: usize,
    ) -> Result<Response<Bytes>, HttpError> {
        // Connecting has a limit of its own; what follows it (TLS) counts as sending.
        let progress = Progress::at(Instant::now() + self.connect);
        let response = self.client.request(request.map(|body| Paced::new(body, progress.clone())));
        let stuck = async {
            loop {
                let until = progress.last() + limit;
                if until <= Instant::now() {
                    break;
                }
                sleep_until(until).await;
            }
        };
        let response = tokio::select! {
            biased;
            response = response => response.map_err(HttpError::Connection)?,
            () = stuck => return Err(HttpError::Timeout(limit)),
        };
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, beginning(body, Instant::now() + limit, keep).await))
    }
}

/// The first `keep` bytes of `body`, which is read to its end, so that the connection can be used again.
async fn beginning(mut body: Incoming, until: Instant, keep: usize) -> Bytes {
    let (mut kept, mut read) = (BytesMut::new(), 0);
    while let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await {
        let Ok(data) = frame.into_data() else { continue };
        kept.extend_from_slice(&data[..data.len().min(keep - kept.len())]);
        read += data.len();
        if read > LONGEST_ANSWER {
            break;
        }
    }
    kept.freeze()
}

/// The first error of type `E` among `error` and its causes.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    if let Some(found) = error.downcast_ref::<E>() {
        return Some(found);
    }
    // An I/O error that stands for another one does not name it as its cause.
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.and_then(|inner| find(inner)).or_else(|| error.source().and_then(find))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        let more = found.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = found.source();
    }
    text
}
