//! An HTTP client for delivery: pooled connections, TLS by rustls, HTTP/2 by ALPN. [`header`] builds header values.

mod body;
pub mod header;

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use self::body::{ChunkedBody, Progress};

/// Maximum number of idle connections to one host.
const IDLE_CONNECTIONS: usize = 64;
/// Bytes that are buffered on the way to a connection: few, so that the progress of a body is visible.
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes of a response after which the connection is closed rather than read to the end.
const MAX_DRAINED_BYTES: usize = 4 << 20;

/// A request has no response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection cannot be opened, or broke before the response.
    #[error("{}", error_chain(.0))]
    Connection(hyper_util::client::legacy::Error),
    /// The connection broke while the response was read.
    #[error("{0}")]
    Response(String),
    /// The response, or a part of it, did not arrive in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The response is larger than the caller accepts.
    #[error("an answer of more than {0} bytes")]
    TooLarge(usize),
}

impl HttpError {
    /// Whether an open connection broke: on a new one the request may succeed at once.
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Connection(error) => !error.is_connect(),
            Self::Response(_) => true,
            Self::Timeout(_) | Self::TooLarge(_) => false,
        }
    }

    /// The kind of the system error that caused this.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        let Self::Connection(error) = self else { return None };
        find::<io::Error>(error).filter(|error| error.raw_os_error().is_some()).map(io::Error::kind)
    }

    /// The TLS error that caused this.
    pub fn tls(&self) -> Option<&rustls::Error> {
        let Self::Connection(error) = self else { return None };
        find::<rustls::Error>(error)
    }
}

/// How long a step of an exchange may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLimits {
    /// Until the connection takes the next chunk of the request.
    pub send: Duration,
    /// Until the response begins, once the request is sent, and until the response ends.
    pub read: Duration,
}

/// The trailers of a response, which are in its extensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Trailers(pub HeaderMap);

/// A client with its own connection pool. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, ChunkedBody>,
    connect: Duration,
}

impl HttpClient {
    /// A client that uses `tls` for `https`, keeps idle connections for `keepalive`, and gives up connecting after
    /// `connect`.
    pub fn new(tls: &Arc<ClientConfig>, keepalive: Duration, connect: Duration) -> Self {
        let connector = HttpsConnectorBuilder::new().with_tls_config(ClientConfig::clone(tls)).https_or_http();
        Self::with(connector.enable_all_versions().wrap_connector(tcp(connect)), keepalive, connect, false)
    }

    /// The same for a server that speaks HTTP/2 alone, also without TLS.
    pub fn http2(tls: &Arc<ClientConfig>, keepalive: Duration, connect: Duration) -> Self {
        let connector = HttpsConnectorBuilder::new().with_tls_config(ClientConfig::clone(tls)).https_or_http();
        Self::with(connector.enable_http2().wrap_connector(tcp(connect)), keepalive, connect, true)
    }

    fn with(
        connector: HttpsConnector<HttpConnector>,
        keepalive: Duration,
        connect: Duration,
        http2_only: bool,
    ) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.http2_only(http2_only);
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        builder.pool_idle_timeout(keepalive);
        builder.pool_max_idle_per_host(if keepalive.is_zero() { 0 } else { IDLE_CONNECTIONS });
        builder.http1_max_buf_size(BUFFER_BYTES);
        // A request that takes too long does not close an HTTP/2 connection, which others share; an unanswered ping
        // does.
        builder.http2_keep_alive_interval(Some(connect.max(Duration::from_secs(1)))).http2_keep_alive_timeout(connect);
        Self { client: builder.build(connector), connect }
    }

    /// Sends `request` and reads the whole response, of at most `max_bytes` bytes, within `limit`.
    ///
    /// # Errors
    /// There is no connection, the response is too large, or it is not complete in time.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await;
        let progress = Progress::starting_at(Instant::now());
        let request = Request::from_parts(head, ChunkedBody::new(body.to_bytes(), progress));
        let exchange = async {
            let (head, body) = self.client.request(request).await.map_err(HttpError::Connection)?.into_parts();
            let body = Limited::new(body, max_bytes).collect().await.map_err(|error| {
                let too_large = error.downcast_ref::<LengthLimitError>().is_some();
                if too_large { HttpError::TooLarge(max_bytes) } else { HttpError::Response(error.to_string()) }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        timeout(limit, exchange).await.map_err(|_| HttpError::Timeout(limit))?
    }

    /// Sends `request` for a response whose status matters. Returns the first `keep` bytes of its body, and its
    /// [`Trailers`]; it is no error if the rest does not come.
    ///
    /// # Errors
    /// There is no connection, or a step takes too long.
    pub async fn exchange(
        &self,
        request: Request<Bytes>,
        limits: StepLimits,
        keep: usize,
    ) -> Result<Response<Bytes>, HttpError> {
        // Connecting has a separate limit; the TLS handshake counts as sending.
        let progress = Progress::starting_at(Instant::now() + self.connect);
        let response = self.client.request(request.map(|body| ChunkedBody::new(body, progress.clone())));
        let stalled = async {
            loop {
                let (last, sent) = progress.last();
                let limit = if sent { limits.read } else { limits.send };
                if last + limit <= Instant::now() {
                    break limit;
                }
                // Progress may bring the end nearer: the limit of another step begins.
                tokio::select! {
                    () = sleep_until(last + limit) => {}
                    () = progress.changed() => {}
                }
            }
        };
        let response = tokio::select! {
            biased;
            response = response => response.map_err(HttpError::Connection)?,
            limit = stalled => return Err(HttpError::Timeout(limit)),
        };
        let (head, body) = response.into_parts();
        let (body, trailers) = read_beginning(body, Instant::now() + limits.read, keep).await;
        let mut response = Response::from_parts(head, body);
        if let Some(trailers) = trailers {
            response.extensions_mut().insert(Trailers(trailers));
        }
        Ok(response)
    }
}

fn tcp(connect: Duration) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    tcp
}

/// The first `keep` bytes of `body`, and its trailers. The body is read to its end so that the connection can be used again.
async fn read_beginning(mut body: Incoming, until: Instant, keep: usize) -> (Bytes, Option<HeaderMap>) {
    let (mut kept, mut read, mut trailers) = (BytesMut::new(), 0, None);
    while let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        kept.extend_from_slice(&data[..data.len().min(keep - kept.len())]);
        read += data.len();
        if read > MAX_DRAINED_BYTES {
            break;
        }
    }
    (kept.freeze(), trailers)
}

/// The first error of type `E` among `error` and its causes.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    if let Some(found) = error.downcast_ref::<E>() {
        return Some(found);
    }
    // An I/O error that wraps another one does not name it as its source.
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.and_then(|inner| find(inner)).or_else(|| error.source().and_then(find))
}

/// The text of an error with its causes.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
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
