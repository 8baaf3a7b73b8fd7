//! Sends requests to a token endpoint. Unlike [`crate::http`] it supports proxies, HTTP/1.0, and closing the connection
//! after each response.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::proxy::Proxy;
use super::settings::TransportSettings;
use crate::config_error::ConfigError;
use crate::http::error_chain;
use crate::http::header::sensitive;
use crate::url::HttpUrl;

/// The largest response that is read, in bytes.
const MAX_RESPONSE: usize = 1 << 20;

/// A token endpoint cannot be reached, or does not respond.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The TCP connection cannot be opened.
    #[error("cannot connect to {address}: {source}")]
    #[expect(missing_docs, reason = "the message says it")]
    Connect { address: String, source: io::Error },
    /// The TLS handshake failed.
    #[error("TLS with {address}: {source}")]
    #[expect(missing_docs, reason = "the message says it")]
    Tls { address: String, source: io::Error },
    /// The proxy cannot be reached, or fails.
    #[error("the proxy {address}: {source}")]
    #[expect(missing_docs, reason = "the message says it")]
    Proxy { address: String, source: Box<TransportError> },
    /// The proxy refuses to open a tunnel.
    #[error("it answers {status} to CONNECT {target}")]
    #[expect(missing_docs, reason = "the message says it")]
    Tunnel { status: StatusCode, target: String },
    /// The connection broke, or the peer does not speak HTTP.
    #[error("{}", error_chain(.0))]
    Http(#[from] hyper::Error),
    /// The response is too large.
    #[error("an answer of more than {MAX_RESPONSE} bytes")]
    TooLarge,
    /// The response did not arrive in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
}

/// Sends requests to one endpoint.
pub(super) struct Transport {
    endpoint: HttpUrl,
    proxy: Option<Proxy>,
    /// For an `https` endpoint.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    head: RequestHead,
    keep_alive: bool,
    limit: Duration,
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// The parts that all requests have in common.
struct RequestHead {
    version: Version,
    target: Uri,
    headers: HeaderMap,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Transport {
    /// Makes a transport to `endpoint`.
    ///
    /// # Errors
    /// The endpoint or the proxy cannot be used.
    pub(super) fn new(
        endpoint: HttpUrl,
        settings: &TransportSettings,
        tls: Arc<ClientConfig>,
    ) -> Result<Self, ConfigError> {
        let server_name = || {
            let name = ServerName::try_from(endpoint.host().to_owned());
            name.map_err(|error| ConfigError::new("token_endpoint", error))
        };
        let tls = if endpoint.is_https() { Some((TlsConnector::from(tls), server_name()?)) } else { None };
        let proxy = Proxy::for_endpoint(&endpoint, settings)?;
        Ok(Self {
            head: RequestHead::new(&endpoint, proxy.as_ref(), settings)?,
            endpoint,
            proxy,
            tls,
            keep_alive: settings.keep_alive,
            limit: settings.timeout.max(Duration::from_millis(1)),
            idle: Mutex::new(None),
        })
    }

    /// Posts `body` and reads the whole response within the timeout.
    pub(super) async fn post(&self, headers: &HeaderMap, body: &Bytes) -> Result<Response<Bytes>, TransportError> {
        let response = timeout(self.limit, self.post_without_limit(headers, body)).await;
        response.map_err(|_| TransportError::Timeout(self.limit))?
    }

    async fn post_without_limit(&self, headers: &HeaderMap, body: &Bytes) -> Result<Response<Bytes>, TransportError> {
        let mut idle = self.idle.lock().await;
        // The idle connection may have been closed by the peer. Requesting a token twice does no harm.
        if let Some(mut sender) = idle.take()
            && let Ok(response) = self.exchange(&mut sender, headers, body).await
        {
            *idle = Some(sender).filter(|_| self.keep_alive);
            return Ok(response);
        }
        let mut sender = self.connect().await?;
        let response = self.exchange(&mut sender, headers, body).await?;
        *idle = Some(sender).filter(|_| self.keep_alive);
        Ok(response)
    }

    async fn exchange(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response<Bytes>, TransportError> {
        sender.ready().await?;
        let (head, body) = sender.send_request(self.head.request(headers, body.clone())).await?.into_parts();
        let body = Limited::new(body, MAX_RESPONSE).collect().await;
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => TransportError::Http(*error),
            // The only other error is `LengthLimitError`.
            Err(_) => TransportError::TooLarge,
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, TransportError> {
        let stream: Box<dyn Stream> = match &self.proxy {
            None => Box::new(dial(&self.endpoint).await?),
            Some(proxy) => self.connect_through(proxy).await.map_err(|error| TransportError::Proxy {
                address: proxy.url.authority().to_owned(),
                source: Box::new(error),
            })?,
        };
        let stream: Box<dyn Stream> = match &self.tls {
            None => stream,
            Some((connector, name)) => {
                let secured = connector.connect(name.clone(), stream).await;
                let address = || self.endpoint.authority().to_owned();
                Box::new(secured.map_err(|source| TransportError::Tls { address: address(), source })?)
            }
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the sender or the peer. Errors reach the request.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn connect_through(&self, proxy: &Proxy) -> Result<Box<dyn Stream>, TransportError> {
        let stream = dial(&proxy.url).await?;
        if self.endpoint.is_https() { tunnel(stream, proxy, &self.endpoint).await } else { Ok(Box::new(stream)) }
    }
}

impl RequestHead {
    fn new(endpoint: &HttpUrl, proxy: Option<&Proxy>, settings: &TransportSettings) -> Result<Self, ConfigError> {
        let mut headers = HeaderMap::new();
        let host = sensitive(endpoint.authority()).map_err(|error| ConfigError::new("token_endpoint", error))?;
        headers.insert(HOST, host);
        let connection = if settings.keep_alive { "keep-alive" } else { "close" };
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
        // A proxy for HTTP needs the whole URI (RFC 9112, section 3.2.2) and its authorization in each request; for
        // HTTPS, the request that opened the tunnel had them.
        let proxy = proxy.filter(|_| !endpoint.is_https());
        if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization.clone()) {
            headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        let path = endpoint.uri().path_and_query().cloned();
        let path = path.unwrap_or(PathAndQuery::from_static("/"));
        let target = if proxy.is_some() { endpoint.uri().clone() } else { Uri::from(path) };
        Ok(Self { version: settings.version, target, headers })
    }

    /// A request with `headers`, of which `Host` takes precedence over the endpoint's.
    fn request(&self, headers: &HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = headers.clone();
        for (name, value) in &self.headers {
            if name != HOST || !headers.contains_key(HOST) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request
    }
}

async fn dial(url: &HttpUrl) -> Result<TcpStream, TransportError> {
    let stream = TcpStream::connect((url.host(), url.port())).await;
    stream.map_err(|source| TransportError::Connect { address: url.authority().to_owned(), source })
}

/// Requests a tunnel to `endpoint` from `proxy` over `stream` (RFC 9110, section 9.3.6).
async fn tunnel(stream: TcpStream, proxy: &Proxy, endpoint: &HttpUrl) -> Result<Box<dyn Stream>, TransportError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(connect_request(proxy, endpoint)).await?;
    if !response.status().is_success() {
        return Err(TransportError::Tunnel { status: response.status(), target: endpoint.host_and_port() });
    }
    Ok(Box::new(TokioIo::new(hyper::upgrade::on(response).await?)))
}

fn connect_request(proxy: &Proxy, endpoint: &HttpUrl) -> Request<Full<Bytes>> {
    let target = endpoint.host_and_port();
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = target.parse().expect("host and port of a URL are an authority");
    let host = HeaderValue::try_from(target).expect("host and port of a URL are a header value");
    request.headers_mut().insert(HOST, host);
    if let Some(authorization) = &proxy.authorization {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    request
}
