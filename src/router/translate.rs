//! The fields of a route as an expression of the router's language (kong/router/transform.lua).

use std::fmt::Write;

use super::settings::Calculation;
use crate::entity::{DomainPattern, Endpoint, HeaderMatch, HeaderValue, HostPattern, PathPattern, Route};
use crate::plugin::Protocol;

/// Paths of a route that share a priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathGroup {
    /// The regular expressions.
    Regex,
    /// The others of this length in bytes; 0 for a route without paths.
    Plain(usize),
}

impl PathGroup {
    fn of(path: &PathPattern) -> Self {
        match path {
            PathPattern::Regex(_) => Self::Regex,
            PathPattern::Prefix(path) => Self::Plain(path.len()),
        }
    }

    /// The groups of `paths`, in order of appearance; never empty.
    pub(super) fn all(paths: &[PathPattern]) -> Vec<Self> {
        let mut groups = Vec::new();
        for group in paths.iter().map(Self::of) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        if groups.is_empty() { vec![Self::Plain(0)] } else { groups }
    }
}

/// The expression for `route` with the paths of `group`; empty if the route has no criterion.
pub(super) fn expression(route: &Route, group: PathGroup, calculation: Calculation) -> String {
    let mut parts = Vec::new();
    if !route.snis.is_empty() {
        parts.push(snis(route, calculation));
    }
    for (field, endpoints) in [("net.src", &route.sources), ("net.dst", &route.destinations)] {
        if !endpoints.is_empty() {
            parts.push(any_of(endpoints.iter().map(|endpoint| self::endpoint(field, endpoint)).collect()));
        }
    }
    if !route.methods.is_empty() {
        parts.push(any_of(route.methods.iter().map(|method| compare("http.method", "==", method)).collect()));
    }
    if !route.hosts.is_empty() {
        parts.push(any_of(route.hosts.iter().map(host).collect()));
    }
    let paths: Vec<_> = route.paths.iter().filter(|path| PathGroup::of(path) == group).map(path).collect();
    if !paths.is_empty() {
        parts.push(any_of(paths));
    }
    parts.extend(route.headers.iter().map(header));
    all_of(&parts)
}

/// `expression` for requests with one of `protocols` only, as the flavor `expressions` has it
/// (kong/router/expressions.lua). A route for TLS alone keeps plain traffic, which is then redirected.
pub(super) fn of_protocols(expression: &str, protocols: &[Protocol]) -> String {
    if let [Protocol::Https | Protocol::Tls | Protocol::TlsPassthrough] = protocols {
        return expression.to_owned();
    }
    let mut names: Vec<_> = protocols.iter().map(|protocol| net_protocol(*protocol)).collect();
    names.dedup();
    let protocols = any_of(names.into_iter().map(|name| compare("net.protocol", "==", name)).collect());
    all_of(&[protocols, format!("({expression})")])
}

/// The value of `net.protocol` for a protocol of routes.
fn net_protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Grpc => "http",
        Protocol::Grpcs => "https",
        Protocol::TlsPassthrough => "tcp",
        other => other.name(),
    }
}

/// The server names. Traffic without TLS has none and passes, except with `strict` if the route is for TLS only.
fn snis(route: &Route, calculation: Calculation) -> String {
    let names = any_of(route.snis.iter().map(|sni| domain("tls.sni", &sni.0)).collect());
    let (tls, only_tls) = match &route.protocols[..] {
        [Protocol::Https] => ("https", true),
        [Protocol::Tls] => ("tls", true),
        protocols => (if is_stream(protocols) { "tls" } else { "https" }, false),
    };
    if only_tls && calculation == Calculation::Strict {
        return names;
    }
    any_of(vec![compare("net.protocol", "!=", tls), names])
}

/// Whether `protocols` are those of a stream route.
pub(super) fn is_stream(protocols: &[Protocol]) -> bool {
    use Protocol::{Tcp, Tls, TlsPassthrough, Udp};
    protocols.iter().any(|protocol| matches!(protocol, Tcp | Tls | TlsPassthrough | Udp))
}

/// A source or a destination; both of its fields must match.
fn endpoint(field: &str, endpoint: &Endpoint) -> String {
    let address = endpoint.network.map(|network| match (endpoint.is_range, network) {
        (false, network) => format!("{field}.ip == {}", network.addr()),
        (true, ipnet::IpNet::V4(network)) => format!("{field}.ip in {}", network.trunc()),
        // Bits of the host are an error of the expression, as in Kong.
        (true, network) => format!("{field}.ip in {network}"),
    });
    let port = endpoint.port.map(|port| format!("{field}.port == {port}"));
    all_of(&[address, port].into_iter().flatten().collect::<Vec<_>>())
}

fn host(pattern: &HostPattern) -> String {
    // Kong splits hosts of routes as it splits those of requests, so that `[::1]:80` stays whole.
    let text = pattern.to_string();
    let (name, port) = split_port(&text);
    let name = match (name.strip_prefix('*'), name.strip_suffix('*')) {
        (Some(suffix), _) => compare("http.host", "=^", suffix),
        (None, Some(prefix)) => compare("http.host", "^=", prefix),
        (None, None) => compare("http.host", "==", name),
    };
    all_of(&[Some(name), port.map(|port| format!("net.dst.port == {port}"))].into_iter().flatten().collect::<Vec<_>>())
}

/// A host at its first colon, if a number follows (kong/router/utils.lua).
pub(super) fn split_port(host: &str) -> (&str, Option<u32>) {
    let split = host.split_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    match split.and_then(|(name, port)| Some((name, port.parse().ok()?))) {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    }
}

fn path(path: &PathPattern) -> String {
    match path {
        PathPattern::Prefix(path) => compare("http.path", "^=", path),
        // Kong anchors only what comes first, and writes PCRE's named groups in Rust's form.
        PathPattern::Regex(regex) => compare("http.path", "~", &format!("^{}", regex.replace("?<", "?P<"))),
    }
}

fn header(header: &HeaderMatch) -> String {
    let field = format!("any(lower(http.headers.{}))", header.name.replace('-', "_"));
    let value = |value: &HeaderValue| match value {
        HeaderValue::Exact(text) => compare(&field, "==", &text.to_ascii_lowercase()),
        // Kong lower-cases the pattern as well, escapes like `\D` included.
        HeaderValue::Regex(regex) => compare(&field, "~", &regex.to_ascii_lowercase()),
    };
    if header.values.is_empty() {
        // What Kong writes for an empty list is not valid, and so refused.
        return "()".to_owned();
    }
    any_of(header.values.iter().map(value).collect())
}

fn domain(field: &str, pattern: &DomainPattern) -> String {
    match pattern {
        DomainPattern::Exact(name) => compare(field, "==", name),
        DomainPattern::Suffix(suffix) => compare(field, "=^", suffix),
        DomainPattern::Prefix(prefix) => compare(field, "^=", prefix),
    }
}

/// A comparison with a string.
fn compare(field: &str, operator: &str, text: &str) -> String {
    let mut out = format!("{field} {operator} \"");
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
    out
}

/// All of `terms`. Alternatives among them are in parentheses.
fn all_of(terms: &[String]) -> String {
    terms.join(" && ")
}

/// One of `terms`, in parentheses if there are several. They are halved again and again, so that a thousand of them are
/// ten levels deep.
fn any_of(terms: Vec<String>) -> String {
    fn write(terms: &[String], out: &mut String) {
        match terms {
            [] => {}
            [one] if one.contains(" && ") => {
                let _ = write!(out, "({one})");
            }
            [one] => out.push_str(one),
            _ => {
                let (left, right) = terms.split_at(terms.len() / 2);
                out.push('(');
                write(left, out);
                out.push_str(" || ");
                write(right, out);
                out.push(')');
            }
        }
    }
    let mut out = String::new();
    write(&terms, &mut out);
    out
}
