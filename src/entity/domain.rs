//! Host names of routes, with wildcards.
//!
//! The rules and messages are those of Kong's `typedefs.wildcard_host` and of its SNIs.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// A domain name that may have a wildcard at one end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DomainPattern {
    /// This name.
    Exact(String),
    /// `*.example.com`: any name with this suffix, which is `.example.com`.
    Suffix(String),
    /// `example.*`: any name with this prefix, which is `example.`.
    Prefix(String),
}

impl DomainPattern {
    /// The pattern of `text`, whose wildcard is the first or the last label.
    fn new(text: &str) -> Self {
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(suffix), _) => Self::Suffix(suffix.to_owned()),
            (None, Some(prefix)) => Self::Prefix(prefix.to_owned()),
            (None, None) => Self::Exact(text.to_owned()),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// One of a route's `hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// The name; an IPv6 address is in brackets, as in the `Host` header.
    pub name: DomainPattern,
    /// The port that the `Host` header must have.
    pub port: Option<u16>,
}

/// Why a host is invalid, in Kong's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HostError {
    #[error("invalid wildcard: must have at most one wildcard")]
    Wildcards,
    #[error("invalid wildcard: must be placed at leftmost or rightmost label")]
    WildcardPosition,
    #[error("invalid port number")]
    Port,
    #[error("invalid hostname: {0}")]
    Name(String),
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        check_wildcard(text)?;
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if name.starts_with('[') == name.ends_with(']') && !bare_ipv6(text) => {
                let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|_| digits);
                (name, Some(port.ok_or(HostError::Port)?))
            }
            _ => (text, None),
        };
        if !valid_host(&name.replace('*', "x")) {
            return Err(HostError::Name(text.to_owned()));
        }
        Ok(Self { name: DomainPattern::new(name), port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => self.name.fmt(f),
        }
    }
}

/// One of a route's `snis`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SniPattern(pub DomainPattern);

/// Why an SNI is invalid, in Kong's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SniError {
    #[error("must not be an IP")]
    Ip,
    #[error("must not have a port")]
    Port,
    #[error("wildcard must be leftmost or rightmost character")]
    Wildcard,
    #[error("only one wildcard must be specified")]
    Wildcards,
    #[error("invalid value: {0}")]
    Name(String),
}

impl FromStr for SniPattern {
    type Err = SniError;

    fn from_str(text: &str) -> Result<Self, SniError> {
        if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Err(SniError::Ip);
        }
        if text.contains(':') {
            return Err(SniError::Port);
        }
        let inner = text.strip_prefix('*').or_else(|| text.strip_suffix('*')).unwrap_or(text);
        if inner.contains('*') {
            // Kong looks at the first one.
            let first = text.find('*').is_some_and(|at| at == 0 || at + 1 == text.len());
            return Err(if first { SniError::Wildcards } else { SniError::Wildcard });
        }
        // A trailing dot is not part of the name that a client sends.
        let name = text.strip_suffix('.').unwrap_or(text);
        if !valid_host(&name.replace('*', "x")) {
            return Err(SniError::Name(text.to_owned()));
        }
        Ok(Self(DomainPattern::new(name)))
    }
}

fn check_wildcard(text: &str) -> Result<(), HostError> {
    match text.matches('*').count() {
        0 => Ok(()),
        1 if text.starts_with("*.") || text.ends_with(".*") => Ok(()),
        1 => Err(HostError::WildcardPosition),
        _ => Err(HostError::Wildcards),
    }
}

fn bare_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Whether `text` is a host name or an address.
fn valid_host(text: &str) -> bool {
    let address = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    if address.contains(':') {
        return bare_ipv6(address);
    }
    let label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(allowed) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}
