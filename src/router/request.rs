//! What the router reads of a transaction.

use std::borrow::Cow;
use std::net::IpAddr;

use super::language::Subsystem;
use super::translate::split_port;
use crate::entity::normalize_path;
use logphase_script::transaction::{Level, Transaction, Value, View};

/// A finished request or L4 session, as Kong's router saw it when it began.
pub(super) struct Request<'a> {
    transaction: &'a Transaction,
    /// Which router it is for.
    pub(super) subsystem: Subsystem,
    /// The value of `net.protocol`: `http` or `https`; `tcp`, `tls` or `udp`.
    pub(super) protocol: &'static str,
    /// The `Host` header without its port.
    pub(super) host: Option<Cow<'a, str>>,
    /// The port of the `Host` header, else the one that was connected to.
    pub(super) port: Option<i64>,
    /// The normalized path.
    pub(super) path: Option<String>,
    /// Whether the path is not UTF-8 once its escapes are decoded. Kong's router then fails, and finds no route.
    pub(super) has_broken_path: bool,
    /// The path and query, as received.
    uri: Option<Cow<'a, str>>,
}

impl<'a> Request<'a> {
    /// Reads `transaction`; `None` if it is neither a request nor a session.
    pub(super) fn new(transaction: &'a Transaction) -> Option<Self> {
        if transaction.get("request").is_some() {
            return Some(Self::of_request(transaction));
        }
        let session = transaction.get("session")?;
        let port = session.get("server_port").and_then(View::number).map(|port| port as i64);
        let mut request = Self {
            transaction,
            subsystem: Subsystem::Stream,
            protocol: "tcp",
            host: None,
            port: None,
            path: None,
            has_broken_path: false,
            uri: None,
        };
        request.port = port.or_else(|| request.variable("server_port")?.parse().ok());
        // kong/router/atc.lua: UDP, else TLS if there is a server name, else TCP.
        request.protocol = if request.variable("protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("udp"))
        {
            "udp"
        } else if request.sni().is_some() {
            "tls"
        } else {
            "tcp"
        };
        Some(request)
    }

    fn of_request(transaction: &'a Transaction) -> Self {
        let member = |name| transaction.member(Level::Request, name);
        let url = member("url").and_then(View::text);
        let url = url.as_deref().and_then(|url| url.split_once("://"));
        let tls = match url {
            Some((scheme, _)) => scheme.ends_with(['s', 'S']),
            None => member("tls").is_some_and(|tls| !tls.is_null()),
        };
        let authority = url.map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or(rest));
        let header = transaction.member(Level::RequestHeaders, "host").and_then(first_text);
        // Without the header, its value in the URL; the port there may be the one that was connected to.
        let host = header.or_else(|| Some(Cow::Owned(authority?.to_owned()))).unwrap_or_default();
        let (name, port) = split_port(&host);
        let name = name.len();
        let host = (name > 0).then(|| cut(host, name));
        let connected = authority.and_then(|authority| authority.rsplit_once(':')?.1.parse::<u16>().ok());
        let usual = if tls { 443 } else { 80 };
        let uri = member("uri").and_then(View::text);
        let uri = uri.or_else(|| Some(Cow::Owned(path_and_query(url?.1).to_owned())));
        let path = uri.as_deref().filter(|uri| !uri.is_empty()).map(|uri| {
            // The first byte is part of the path even if it is a question mark.
            let end = memchr::memchr(b'?', &uri.as_bytes()[1..]).map_or(uri.len(), |at| at + 1);
            String::from_utf8(normalize_path(&uri.as_bytes()[..end]))
        });
        let has_broken_path = path.as_ref().is_some_and(Result::is_err);
        Self {
            transaction,
            subsystem: Subsystem::Http,
            protocol: if tls { "https" } else { "http" },
            host,
            port: Some(port.map_or(i64::from(connected.unwrap_or(usual)), i64::from)),
            path: path.and_then(Result::ok),
            has_broken_path,
            uri,
        }
    }

    /// The method.
    pub(super) fn method(&self) -> Option<Cow<'a, str>> {
        self.transaction.member(Level::Request, "method").and_then(View::text)
    }

    /// The server name in the TLS handshake: `tls.sni` of the request or session, else nginx's variable.
    pub(super) fn sni(&self) -> Option<Cow<'a, str>> {
        let tls = match self.subsystem {
            Subsystem::Http => self.transaction.member(Level::Request, "tls"),
            Subsystem::Stream => self.transaction.get("session").and_then(|session| session.get("tls")),
        };
        let given = tls.and_then(|tls| tls.get("sni")).and_then(View::text);
        let variable = || self.variable("ssl_server_name").or_else(|| self.variable("ssl_preread_server_name"));
        given.or_else(variable).filter(|name| !name.is_empty())
    }

    /// The client's address.
    pub(super) fn source_address(&self) -> Option<IpAddr> {
        let given = self.transaction.get("client_ip").and_then(View::text);
        given.or_else(|| self.variable("remote_addr"))?.parse().ok()
    }

    /// The client's port.
    pub(super) fn source_port(&self) -> Option<i64> {
        let given = self.transaction.context("client_port").and_then(View::number).map(|port| port as i64);
        given.or_else(|| self.variable("remote_port")?.parse().ok())
    }

    /// The address that was connected to.
    pub(super) fn destination_address(&self) -> Option<IpAddr> {
        self.variable("server_addr")?.parse().ok()
    }

    /// The segments of the path. Empty ones at its end do not count.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        let path = self.path.as_deref().unwrap_or_default().trim_matches('/');
        path.split('/').filter(|segment| !segment.is_empty())
    }

    /// Passes each value of the header `name` of an expression to `add`. A header with exactly this name comes before
    /// one with `-` for `_`, as in Lua's table of headers.
    pub(super) fn header(&self, name: &str, add: impl FnMut(&str)) {
        let dashed = || {
            let name = name.to_ascii_lowercase().replace('_', "-");
            self.transaction.member(Level::RequestHeaders, &name)
        };
        if let Some(value) = self.transaction.member(Level::RequestHeaders, name).or_else(dashed) {
            texts(value, add);
        }
    }

    /// Passes each value of the argument `name` to `add`; one without a value is empty.
    pub(super) fn query(&self, name: &str, mut add: impl FnMut(&str)) {
        let Some((_, query)) = self.uri.as_deref().and_then(|uri| uri.split_once('?')) else { return };
        for (key, value) in form_urlencoded::parse(query.as_bytes()).take(MAX_ARGUMENTS) {
            if key == name {
                add(&value);
            }
        }
    }

    /// Passes each argument and its value to `add`; the value of one without is empty.
    pub(super) fn queries(&self, mut add: impl FnMut(&str, &str)) {
        let Some((_, query)) = self.uri.as_deref().and_then(|uri| uri.split_once('?')) else { return };
        for (name, value) in form_urlencoded::parse(query.as_bytes()).take(MAX_ARGUMENTS) {
            add(&name, &value);
        }
    }

    /// Whether the request is gRPC, by its content type (kong/runloop/handler.lua).
    pub(super) fn is_grpc(&self) -> bool {
        let kind = self.transaction.member(Level::RequestHeaders, "content-type").and_then(first_text);
        kind.is_some_and(|kind| kind.starts_with("application/grpc"))
    }

    /// Whether the request is known to be HTTP/1.
    pub(super) fn is_http1(&self) -> bool {
        self.transaction.context("http_version").and_then(View::number).is_some_and(|version| version < 2.0)
    }

    /// Whether the client used TLS, according to a proxy in front that is trusted.
    pub(super) fn was_forwarded_over_tls(&self) -> bool {
        let scheme = self.transaction.context("forwarded_scheme").and_then(View::text);
        scheme.map_or(self.protocol == "https", |scheme| scheme.eq_ignore_ascii_case("https"))
    }

    /// A variable of nginx that the proxy sent along.
    fn variable(&self, name: &str) -> Option<Cow<'a, str>> {
        let value = self.transaction.context("vars")?.get(name)?;
        match value.value() {
            Value::Number(_) => Some(String::from_utf8_lossy(value.raw())),
            _ => value.text(),
        }
    }
}

/// Kong's `lua_max_uri_args`.
const MAX_ARGUMENTS: usize = 100;

/// The path and query of a URL without its scheme.
fn path_and_query(rest: &str) -> &str {
    rest.find(['/', '?']).map_or("/", |at| &rest[at..])
}

/// The first `length` bytes.
fn cut(text: Cow<'_, str>, length: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..length]),
        Cow::Owned(mut text) => {
            text.truncate(length);
            Cow::Owned(text)
        }
    }
}

/// The text, or the first of several.
fn first_text(view: View<'_>) -> Option<Cow<'_, str>> {
    match view.value() {
        Value::Array(values) => values.first()?.text(),
        _ => view.text(),
    }
}

/// Passes a value, or each of several, to `add`, as text.
fn texts(view: View<'_>, mut add: impl FnMut(&str)) {
    let mut add_one = |view: View<'_>| match view.text() {
        Some(text) => add(&text),
        None if view.is_null() => {}
        None => add(&String::from_utf8_lossy(view.raw())),
    };
    match view.value() {
        Value::Array(values) => values.into_iter().for_each(add_one),
        _ => add_one(view),
    }
}
