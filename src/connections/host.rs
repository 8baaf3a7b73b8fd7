//! Which names of this service a request may use: the defence against DNS rebinding.
//!
//! A web page may give its own name an address of this machine or of its network. A browser then takes the service for the
//! page's own server, and lets the page read what it answers. Only the name in `Host` tells such a request from others: it
//! is a name that the page's owner has registered. So a name is allowed if nobody can register it: addresses, names
//! without a dot (`localhost`, the name of a container or a service), names of the zones that are kept out of the public
//! DNS (RFC 6761, RFC 8375, ICANN's `.internal`, Kubernetes' `.svc` and `.cluster.local`), and the name of the machine.
//! Others are allowed by a setting.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::{Uri, Version};
use serde_json::Value;

/// Zones that are kept out of the public DNS.
const PRIVATE_ZONES: &[&str] = &[".localhost", ".internal", ".svc", ".cluster.local", ".home.arpa"];

/// The names of a service.
#[derive(Debug, Clone)]
pub(crate) struct AllowedHosts {
    /// In lower case; `*.zone` stands for all names in a zone.
    names: Arc<[String]>,
    /// The setting that adds to them.
    setting: &'static str,
}

/// Why a request is refused for its `Host` or `Origin`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    /// None, more than one, or one that cannot be read.
    #[error("a request has one Host header with a name or an address")]
    Malformed,
    /// Not a name of the service.
    #[error(
        "`{host}` is no name of this service: use an address of it, or add the name to the setting `{setting}`. This keeps \
         web pages out that give their own name an address of yours (DNS rebinding)"
    )]
    Host {
        /// The name.
        host: String,
        /// The setting that allows it.
        setting: &'static str,
    },
    /// A web page of a name that is not one of the service.
    #[error("a web page of `{origin}` may not ask this; its name would have to be in the setting `{setting}`")]
    Origin {
        /// The page's origin.
        origin: String,
        /// The setting that allows it.
        setting: &'static str,
    },
}

impl AllowedHosts {
    /// The names that nobody can register, the name of the machine, and `names`, which are those of `setting`.
    pub(crate) fn new(names: &[String], setting: &'static str) -> Self {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let names = names.iter().chain([&machine]).map(|name| name.to_ascii_lowercase()).collect();
        Self { names, setting }
    }

    /// Checks what a request says it was sent to, and from where.
    pub(crate) fn check(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), HostError> {
        let setting = self.setting;
        let quoted = |text: &str| text.chars().take(100).collect();
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (uri.authority(), hosts.next(), hosts.next()) {
            (_, _, Some(_)) => return Err(HostError::Malformed),
            (Some(authority), _, None) => Some(authority.as_str()),
            (None, Some(host), None) => Some(host.to_str().map_err(|_| HostError::Malformed)?),
            // Health checks of load balancers send HTTP/1.0 without one; browsers do not.
            (None, None, None) if version <= Version::HTTP_10 => None,
            (None, None, None) => return Err(HostError::Malformed),
        };
        if let Some(host) = host
            && !self.allows(host)
        {
            return Err(HostError::Host { host: quoted(host), setting });
        }
        let foreign = |origin: &HeaderValue| {
            let host = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
            !host.is_some_and(|host| self.allows(host))
        };
        match headers.get_all(ORIGIN).iter().find(|origin| foreign(origin)) {
            None => Ok(()),
            Some(origin) => {
                Err(HostError::Origin { origin: quoted(&String::from_utf8_lossy(origin.as_bytes())), setting })
            }
        }
    }

    /// Whether `host`, perhaps with a port, is a name of the service.
    fn allows(&self, host: &str) -> bool {
        let name = host
            .rsplit_once(':')
            .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if address.parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return false;
        }
        !name.contains('.')
            || PRIVATE_ZONES.iter().any(|zone| name.ends_with(zone))
            || self.names.iter().any(|allowed| match allowed.strip_prefix('*') {
                Some(zone) => zone.is_empty() || name.ends_with(zone),
                None => *allowed == name,
            })
    }
}

/// Checks an element of the settings: a name, `*.zone`, or `*`.
pub(crate) fn allowed_host(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let name = if text == "*" { "x" } else { text.strip_prefix("*.").unwrap_or(text) };
    let valid = !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if valid {
        Ok(())
    } else {
        Err("expected a name without a port, like logs.example.com, *.example.com or *".to_owned())
    }
}
