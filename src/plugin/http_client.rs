//! An HTTP client for whatever speaks HTTP towards the outside: pooled connections, TLS by rustls, HTTP/2 by ALPN.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::timeout;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
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

/// A client with a pool of connections of its own. Cheap to clone.
#[derive(Clone)]
pub(super) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HttpClient {
    /// A client that speaks TLS by `tls`, keeps idle connections for `keepalive` and connects within `connect`.
    pub(super) fn new(tls: &Arc<ClientConfig>, keepalive: Duration, connect: Duration) -> Self {
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
        builder.pool_idle_timeout(keepalive).pool_max_idle_per_host(if keepalive.is_zero() { 0 } else { 8 });
        Self { client: builder.build(connector) }
    }

    /// Sends `request`; the whole answer, of at most `most` bytes, must come within `limit`.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
        most: usize,
    ) -> Result<Response<Bytes>, HttpError> {
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
