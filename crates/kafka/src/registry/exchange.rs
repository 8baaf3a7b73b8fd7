//! Requests for tokens: few, to one address, through a proxy if there is one. What [`logphase_net::http`] has
//! no need of is here: proxies, HTTP/1.0, and a connection that is closed after each answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::{Address, header_value};
use super::config::OAuth2Client;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Sends requests to one endpoint.
pub(super) struct Exchange {
    endpoint: Address,
    proxy: Option<Proxy>,
    tls: TlsConnector,
    version: Version,
    keep_alive: bool,
    limit: Duration,
    kept: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

struct Proxy {
    address: Address,
    authorization: Option<HeaderValue>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Exchange {
    /// Requests to `endpoint` as `client` asks for.
    pub(super) fn new(endpoint: Address, client: &OAuth2Client, tls: Arc<ClientConfig>) -> Result<Self, String> {
        let version = match client.http_version {
            1.0 => Version::HTTP_10,
            1.1 => Version::HTTP_11,
            other => return Err(format!("oauth2_client.http_version is {other}; it must be 1.0 or 1.1")),
        };
        Ok(Self {
            proxy: Proxy::of(&endpoint, client)?,
            endpoint,
            tls: TlsConnector::from(tls),
            version,
            keep_alive: client.keep_alive,
            limit: Duration::from_millis(client.timeout.max(1)),
            kept: Mutex::new(None),
        })
    }

    /// Posts `body`; the whole answer must come within the timeout.
    pub(super) async fn post(&self, headers: &HeaderMap, body: &Bytes) -> Result<Response<Bytes>, String> {
        let late = || format!("no answer within {} ms", self.limit.as_millis());
        timeout(self.limit, self.post_now(headers, body)).await.map_err(|_| late())?
    }

    async fn post_now(&self, headers: &HeaderMap, body: &Bytes) -> Result<Response<Bytes>, String> {
        let mut kept = self.kept.lock().await;
        // A connection that was kept may have ended meanwhile; asking for a token twice does no harm.
        if let Some(mut sender) = kept.take()
            && let Ok(answer) = self.ask(&mut sender, headers, body).await
        {
            *kept = Some(sender).filter(|_| self.keep_alive);
            return Ok(answer);
        }
        let mut sender = self.connect().await?;
        let answer = self.ask(&mut sender, headers, body).await?;
        *kept = Some(sender).filter(|_| self.keep_alive);
        Ok(answer)
    }

    async fn ask(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response<Bytes>, String> {
        sender.ready().await.map_err(|error| error.to_string())?;
        let request = self.request(headers, body.clone())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    fn request(&self, headers: &HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let endpoint = &self.endpoint;
        // A proxy for HTTP wants the whole URI (RFC 9112, 3.2.2); through a tunnel nobody asks for it.
        let proxied = self.proxy.as_ref().filter(|_| !endpoint.https);
        let target = if proxied.is_some() { endpoint.uri.to_string() } else { endpoint.path.clone() };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.parse::<Uri>().map_err(|error| error.to_string())?;
        *request.version_mut() = self.version;
        *request.headers_mut() = headers.clone();
        if !headers.contains_key(HOST) {
            request.headers_mut().insert(HOST, header_value(&endpoint.authority)?);
        }
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static(connection));
        if let Some(authorization) = proxied.and_then(|proxy| proxy.authorization.clone()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        Ok(request)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let endpoint = &self.endpoint;
        let stream: Box<dyn Stream> = match &self.proxy {
            None => Box::new(dial(endpoint).await?),
            Some(proxy) if endpoint.https => tunnel(proxy, endpoint).await?,
            Some(proxy) => Box::new(dial(&proxy.address).await.map_err(|error| format!("the proxy: {error}"))?),
        };
        let stream: Box<dyn Stream> = if endpoint.https {
            let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| error.to_string())?;
            let secured = self.tls.connect(name, stream).await;
            Box::new(secured.map_err(|error| format!("TLS with {}: {error}", endpoint.authority))?)
        } else {
            stream
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Ends with the sender, or with the peer; errors come up in the request.
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Proxy {
    /// The proxy for `endpoint`: `http_proxy` is for http, `https_proxy` for https.
    fn of(endpoint: &Address, client: &OAuth2Client) -> Result<Option<Self>, String> {
        let (name, url, authorization) = if endpoint.https {
            ("https_proxy", &client.https_proxy, &client.https_proxy_authorization)
        } else {
            ("http_proxy", &client.http_proxy, &client.http_proxy_authorization)
        };
        let Some(url) = url.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
        let address = Address::parse(url).map_err(|error| format!("oauth2_client.{name} {error}"))?;
        if address.https {
            return Err(format!("oauth2_client.{name}: a proxy that speaks TLS is not supported; give an http:// URL"));
        }
        if client.no_proxy.as_deref().is_some_and(|hosts| excluded(&endpoint.host, hosts)) {
            return Ok(None);
        }
        let authorization = authorization.as_deref().map(header_value).transpose();
        let authorization = authorization.map_err(|error| format!("oauth2_client.{name}_authorization: {error}"))?;
        Ok(Some(Self { address, authorization }))
    }
}

/// Whether `host` is among the comma-separated `hosts`, or in one of them as a domain; `*` is all.
fn excluded(host: &str, hosts: &str) -> bool {
    let host = host.to_ascii_lowercase();
    hosts.split(',').map(|entry| entry.trim().trim_start_matches('.').to_ascii_lowercase()).any(|entry| {
        let inside = || host.strip_suffix(&entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        entry == "*" || (!entry.is_empty() && inside())
    })
}

async fn dial(address: &Address) -> Result<TcpStream, String> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
    stream.map_err(|error| format!("cannot connect to {}: {error}", address.authority))
}

/// A connection to `endpoint` that `proxy` has made (RFC 9110, 9.3.6).
async fn tunnel(proxy: &Proxy, endpoint: &Address) -> Result<Box<dyn Stream>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the proxy {}: {error}", proxy.address.authority);
    let stream = dial(&proxy.address).await.map_err(|error| format!("the proxy: {error}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    tokio::spawn(connection.with_upgrades());
    let to = endpoint.with_port();
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = to.parse::<Uri>().map_err(|error| failed(&error))?;
    request.headers_mut().insert(HOST, header_value(&to)?);
    if let Some(authorization) = &proxy.authorization {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    if !answer.status().is_success() {
        return Err(failed(&format!("it answers {} to CONNECT {to}", answer.status())));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(|error| failed(&error))?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: hosts with and without domains, wildcards and spaces. Guarantees: whole labels are compared.
    #[test]
    fn no_proxy_compares_labels() {
        for (host, hosts, expected) in [
            ("id.example.com", "example.com", true),
            ("id.example.com", "localhost, .Example.com", true),
            ("example.com", "example.com", true),
            ("badexample.com", "example.com", false),
            ("example.com", "id.example.com", false),
            ("example.com", "", false),
            ("example.com", ",", false),
            ("10.0.0.1", "*", true),
        ] {
            assert_eq!(excluded(host, hosts), expected, "{host} in {hosts:?}");
        }
    }
}
