//! Where http-log sends to, and with which headers.

use base64::Engine;
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request, Uri};

use super::Config;
use logphase_config::schema::is_vault_reference;

/// What we call ourselves.
const AGENT: &str = concat!("logphase/", env!("CARGO_PKG_VERSION"));

/// The requests' head, made once.
#[derive(Debug)]
pub(super) struct Target {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// The address without credentials and query, for messages.
    pub shown: String,
}

impl Target {
    /// The target that `config` describes; an error says which field is wrong. It does not repeat values, which may
    /// hold credentials.
    pub fn of(config: &Config) -> Result<Self, String> {
        let (uri, userinfo) = endpoint(&config.http_endpoint)?;
        let method = config.method.parse().map_err(|_| "config.method is no method".to_owned())?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in &config.headers {
            let (name, value) = header(name, value)?;
            headers.insert(name, value);
        }
        headers.insert(CONTENT_TYPE, text("config.content_type", &config.content_type)?);
        if let Some(userinfo) = userinfo {
            let encoded = base64::engine::general_purpose::STANDARD
                .encode(percent_encoding::percent_decode_str(&userinfo).collect::<Vec<_>>());
            let mut value = text("the user information in config.http_endpoint", &format!("Basic {encoded}"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let (scheme, authority) = (uri.scheme_str().unwrap_or_default(), uri.authority());
        let shown = format!("{scheme}://{}{}", authority.map_or("", |authority| authority.as_str()), uri.path());
        Ok(Self { method, uri, headers, shown })
    }

    /// A request with `body`. Its `Host` and `Content-Length` are the client's to add.
    pub fn request(&self, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The URL that requests go to, without user information, and the latter.
fn endpoint(url: &str) -> Result<(Uri, Option<String>), String> {
    if is_vault_reference(url) {
        return Err("config.http_endpoint is a vault reference, which only Kong resolves; give the URL itself, for \
                    example as an environment variable: ${{ env \"DECK_NAME\" }}"
            .to_owned());
    }
    let uri: Uri = url.parse().map_err(|error| {
        format!("config.http_endpoint is no URL: {error}; characters that URLs do not have are written as %XX")
    })?;
    if !matches!(uri.scheme(), Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) {
        return Err("config.http_endpoint must begin with http:// or https://".to_owned());
    }
    let mut parts = uri.into_parts();
    let whole = parts.authority.as_ref().map_or("", |authority| authority.as_str());
    let (userinfo, address) = match whole.rsplit_once('@') {
        Some((userinfo, address)) => (Some(userinfo.to_owned()), address),
        None => (None, whole),
    };
    let port = address.rsplit_once(':').filter(|_| !address.ends_with(']')).map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("config.http_endpoint is no URL: its port is no number from 0 to 65535".to_owned());
    }
    parts.authority = Some(address.parse().map_err(|error| format!("the host in config.http_endpoint: {error}"))?);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    let uri = Uri::from_parts(parts).map_err(|error| format!("config.http_endpoint is no URL: {error}"))?;
    Ok((uri, userinfo))
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    if is_vault_reference(value) {
        return Err(format!(
            "config.headers.{name} is a vault reference, which only Kong resolves; give the value itself, for example \
             as an environment variable: ${{{{ env \"DECK_NAME\" }}}}"
        ));
    }
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("config.headers: bad name {name:?}"))?;
    let mut value = text(&format!("config.headers.{name}"), value)?;
    // Not to be remembered by HTTP/2's compression: it is often a key.
    value.set_sensitive(true);
    Ok((parsed, value))
}

fn text(what: &str, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| format!("{what} has characters that a header cannot have"))
}
