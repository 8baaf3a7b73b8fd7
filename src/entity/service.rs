//! Services: the upstreams of routes.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use super::draft::Draft;
use super::stored::Stored;
use super::tags::Tags;
use crate::plugin::Protocol;
use logphase_config::diagnostic::Origin;

/// A service.
#[derive(Debug, Clone)]
pub struct Service {
    /// The id.
    pub id: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Its tags, with those that its file adds.
    pub tags: Tags,
    /// Whether the router uses its routes.
    pub enabled: bool,
    /// The protocol of the upstream.
    pub protocol: Protocol,
    /// The host of the upstream. The log phase does not need it, so that a file may omit it.
    pub host: Option<String>,
    /// The port of the upstream.
    pub port: u16,
    /// The path prefix of requests to the upstream.
    pub path: Option<String>,
    /// The number of retries of a request.
    pub retries: u16,
    /// The timeout for connecting.
    pub connect_timeout: Duration,
    /// The timeout between two writes.
    pub write_timeout: Duration,
    /// The timeout between two reads.
    pub read_timeout: Duration,
    /// Whether the certificate of the upstream is verified; `None` for the default of the gateway.
    pub tls_verify: Option<bool>,
    /// The maximum length of the certificate chain; `None` for the default of the gateway.
    pub tls_verify_depth: Option<u8>,
    /// Ids of the CA certificates for the verification.
    pub ca_certificates: Vec<String>,
    /// The service as Kong logs it.
    pub stored: Stored,
    /// Where it comes from.
    pub origin: Origin,
}

impl Service {
    pub(super) fn from_draft(draft: &Draft) -> Self {
        // `url` overrides the four fields.
        let url = draft.text("url").and_then(|url| url.parse::<ServiceUrl>().ok());
        let fields = ServiceUrl {
            protocol: draft.text("protocol").and_then(Protocol::find).unwrap_or(Protocol::Http),
            host: draft.string("host").unwrap_or_default(),
            port: draft.integer("port").unwrap_or_default(),
            path: draft.string("path"),
        };
        let ServiceUrl { protocol, host, port, path } = url.unwrap_or(fields);
        let stored = Stored::service(draft, [protocol.name(), &host], port, path.as_deref());
        let timeout = |name| Duration::from_millis(draft.integer(name).unwrap_or_default());
        Self {
            id: draft.id(),
            name: draft.string("name"),
            tags: draft.tags(),
            enabled: draft.boolean("enabled").unwrap_or(true),
            protocol,
            host: Some(host).filter(|host| !host.is_empty()),
            port,
            path,
            retries: draft.integer("retries").unwrap_or_default(),
            connect_timeout: timeout("connect_timeout"),
            write_timeout: timeout("write_timeout"),
            read_timeout: timeout("read_timeout"),
            tls_verify: draft.boolean("tls_verify"),
            tls_verify_depth: draft.integer("tls_verify_depth"),
            ca_certificates: draft.parsed("ca_certificates"),
            stored,
            origin: draft.origin(),
        }
    }
}

/// Kong's shorthand for protocol, host, port and path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServiceUrl {
    protocol: Protocol,
    host: String,
    port: u16,
    path: Option<String>,
}

/// Why the URL of a service is invalid, in Kong's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum UrlError {
    #[error("missing scheme in url")]
    Scheme,
    #[error("missing host in url")]
    Host,
    #[error("value should be between 0 and 65535")]
    Port,
    #[error("expected one of: {}", super::schema::SERVICE_PROTOCOLS.join(", "))]
    Protocol,
}

/// The members `protocol`, `host`, `port` and `path` that Kong makes of a service's `url`. Of a bad one they are bad: LuaSocket, which
/// Kong has for it, takes any text apart (`url.parse`).
pub(crate) fn members_of_url(url: &str) -> [(&'static str, Value); 4] {
    let url = url.split('#').next().unwrap_or_default();
    let scheme = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme));
    let (scheme, rest) = scheme.map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let (authority, rest) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?', ';']).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let path = rest.split(['?', ';']).next().filter(|path| !path.is_empty());
    let authority = authority.split_once('@').map_or(authority, |(_, authority)| authority);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let number = port.and_then(|port| port.parse::<u32>().ok());
    let protocol = scheme.unwrap_or(if number == Some(443) { "https" } else { "http" });
    let port = match (number, port) {
        (Some(number), _) => number.into(),
        (None, Some(port)) => port.into(),
        (None, None) => if protocol == "https" { 443 } else { 80 }.into(),
    };
    let host = Some(host).filter(|host| !host.is_empty());
    [("protocol", protocol.into()), ("host", host.into()), ("port", port), ("path", path.into())]
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

impl FromStr for ServiceUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let known = super::schema::SERVICE_PROTOCOLS.contains(&scheme);
        let protocol = Protocol::find(scheme).filter(|_| known).ok_or(UrlError::Protocol)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        // A colon in brackets is part of an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if host.is_empty() {
            return Err(UrlError::Host);
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| UrlError::Port)?,
            None if protocol == Protocol::Https => 443,
            None => 80,
        };
        let path = rest.split(['?', '#']).next().filter(|path| !path.is_empty());
        Ok(Self { protocol, host: host.to_owned(), port, path: path.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: URLs of services, good and bad, in requests. Guarantees: they give the members that LuaSocket finds in them.
    #[test]
    fn members_of_urls() {
        let cases = [
            ("http://a.com", r#"["http","a.com",80,null]"#),
            ("https://a.com/x?q#f", r#"["https","a.com",443,"/x"]"#),
            ("grpc://u:p@[::1]:9000/", r#"["grpc","::1",9000,"/"]"#),
            ("http://a.com:70000", r#"["http","a.com",70000,null]"#),
            ("http://a.com:x", r#"["http","a.com","x",null]"#),
            ("a.com", r#"["http",null,80,"a.com"]"#),
            ("http://", r#"["http",null,80,null]"#),
        ];
        for (url, expected) in cases {
            let values: Vec<Value> = members_of_url(url).map(|(_, value)| value).into();
            assert_eq!(Value::from(values).to_string(), expected, "{url}");
        }
    }
}
