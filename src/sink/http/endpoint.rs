//! The URL and the headers of requests.

use std::collections::BTreeMap;

use base64::Engine;
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request, Uri};

use crate::sink::ConfigError;
use crate::sink::config_error::vault_reference;
use logphase_config::schema::is_vault_reference;

const AGENT: &str = concat!("logphase/", env!("CARGO_PKG_VERSION"));

/// Where requests go, and what all of them have.
#[derive(Debug, Clone, Copy)]
pub(in crate::sink) struct EndpointConfig<'a> {
    /// The field with the URL, for errors.
    pub field: &'static str,
    /// The URL; its user information becomes an `Authorization` header.
    pub url: &'a str,
    /// The method.
    pub method: &'a str,
    /// The content type, unless `headers` have one.
    pub content_type: &'a str,
    /// Headers to add.
    pub headers: &'a BTreeMap<String, String>,
}

/// The parts that all requests have in common.
#[derive(Debug)]
pub(in crate::sink) struct Endpoint {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// The URL without credentials and query, for messages.
    pub address: String,
}

impl Endpoint {
    /// Makes the endpoint of `config`.
    ///
    /// # Errors
    /// Every invalid field. The errors do not contain values, because these may be credentials.
    pub fn new(config: &EndpointConfig<'_>) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let endpoint = endpoint(config.field, config.url).map_err(|error| errors.push(error)).ok();
        let method =
            config.method.parse().map_err(|_| errors.push(ConfigError::new("method", "not an HTTP method"))).ok();
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        match header_value("content_type", config.content_type) {
            Ok(value) => drop(headers.insert(CONTENT_TYPE, value)),
            Err(error) => errors.push(error),
        }
        for (name, value) in config.headers {
            match header(name, value) {
                Ok((name, value)) => drop(headers.insert(name, value)),
                Err(error) => errors.push(error),
            }
        }
        let (Some((uri, authorization)), Some(method), true) = (endpoint, method, errors.is_empty()) else {
            return Err(errors);
        };
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let (scheme, authority) = (uri.scheme_str().unwrap_or_default(), uri.authority());
        let address = format!("{scheme}://{}{}", authority.map_or("", |authority| authority.as_str()), uri.path());
        Ok(Self { method, uri, headers, address })
    }

    /// Makes a request with `body`. The client adds `Host` and `Content-Length`.
    pub fn request(&self, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Parses the URL. Returns it without user information, and the `Authorization` made from the user information.
fn endpoint(field: &'static str, url: &str) -> Result<(Uri, Option<HeaderValue>), ConfigError> {
    if is_vault_reference(url) {
        return Err(vault_reference(field));
    }
    let uri: Uri = url.parse().map_err(|error| {
        ConfigError::new(field, format!("not a URL: {error}"))
            .with_help("write characters that URLs do not have as %XX")
    })?;
    if !matches!(uri.scheme(), Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) {
        return Err(ConfigError::new(field, "must begin with http:// or https://"));
    }
    let mut parts = uri.into_parts();
    let whole = parts.authority.as_ref().map_or("", |authority| authority.as_str());
    let (userinfo, address) = match whole.rsplit_once('@') {
        Some((userinfo, address)) => (Some(userinfo.to_owned()), address),
        None => (None, whole),
    };
    let port = address.rsplit_once(':').filter(|_| !address.ends_with(']')).map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(ConfigError::new(field, "not a URL: its port is no number from 0 to 65535"));
    }
    let not_a_url = |error: &dyn std::fmt::Display| ConfigError::new(field, format!("not a URL: {error}"));
    parts.authority = Some(address.parse().map_err(|error| not_a_url(&error))?);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    let uri = Uri::from_parts(parts).map_err(|error| not_a_url(&error))?;
    Ok((uri, userinfo.as_deref().map(|userinfo| basic(field, userinfo)).transpose()?))
}

/// The value of `Authorization` for the user information of a URL.
fn basic(field: &str, userinfo: &str) -> Result<HeaderValue, ConfigError> {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(userinfo).collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(decoded);
    let mut value = header_value(field, &format!("Basic {encoded}"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let field = format!("headers.{name}");
    if is_vault_reference(value) {
        return Err(vault_reference(field));
    }
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| ConfigError::new("headers", format!("{name:?} is not the name of a header")))?;
    let mut value = header_value(&field, value)?;
    // The value is often a key, which HTTP/2 header compression must not store.
    value.set_sensitive(true);
    Ok((parsed, value))
}

fn header_value(field: &str, value: &str) -> Result<HeaderValue, ConfigError> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
        ConfigError::new(field, "has characters that a header cannot have")
            .with_help("take out line ends and control characters")
    })
}
