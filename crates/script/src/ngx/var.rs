//! `ngx.var`: variables that the proxy sent along, and those derived from the transaction.

use mlua::{Lua, Value as Lv};

use super::date::Moment;
use super::process;
use crate::host::request::{Address, body, method, raw_query, uri_path};
use crate::host::time;
use crate::host::{State, is_session};
use crate::runtime::lua_number;
use crate::transaction::{Level, Value, View};

/// The variable `name`, which is a string or nil, as in nginx.
pub(super) fn get(lua: &Lua, state: &State, name: &str) -> mlua::Result<Lv> {
    let given = |name: &str| state.with(|transaction| transaction.context("vars")?.get(name).map(shown)).flatten();
    // nginx finds variables in any case.
    let lower = name.to_ascii_lowercase();
    let value = match given(name).or_else(|| if lower == name { None } else { given(&lower) }) {
        Some(value) => value,
        None => implied(state, &lower),
    };
    value.map_or(Ok(Lv::Nil), |text| Ok(Lv::String(lua.create_string(text)?)))
}

/// A JSON value in nginx's form; null is no value.
fn shown(view: View<'_>) -> Option<Vec<u8>> {
    match view.value() {
        Value::Null => None,
        Value::String(bytes) => Some(bytes.into_owned()),
        Value::Array(elements) => {
            let parts: Vec<_> = elements.into_iter().filter_map(shown).collect();
            Some(parts.join(&b", "[..]))
        }
        _ => Some(view.raw().to_vec()),
    }
}

fn implied(state: &State, name: &str) -> Option<Vec<u8>> {
    if let Some(prefixed) = by_prefix(state, name) {
        return prefixed;
    }
    if is_session(state) {
        return of_session(state, name);
    }
    of_request(state, name).or_else(|| of_response(state, name)).or_else(|| of_proxy(state, name))
}

/// Variables that sessions and requests have alike.
const OF_BOTH: &str = " remote_addr realip_remote_addr binary_remote_addr remote_port realip_remote_port msec time_iso8601 \
     time_local upstream_addr hostname pid nginx_version ";

/// Variables of an L4 session: those of its own, and those that it shares with requests. It has no others.
fn of_session(state: &State, name: &str) -> Option<Vec<u8>> {
    let of = |object: &str, name: &str| state.member(Level::Root, object, |object| shown(object.get(name)?));
    let tls = |name: &str| state.member(Level::Root, "session", |session| shown(session.get("tls")?.get(name)?));
    match name {
        "status" | "server_port" => of("session", name),
        "bytes_received" => of("session", "received"),
        "bytes_sent" => of("session", "sent"),
        "session_time" => latency(state, "session"),
        "upstream_bytes_received" => of("upstream", "received"),
        "upstream_bytes_sent" => of("upstream", "sent"),
        "protocol" => Some(b"TCP".to_vec()),
        "ssl_protocol" => tls("version"),
        "ssl_cipher" => tls("cipher"),
        "ssl_client_verify" => tls("client_verify"),
        _ if OF_BOTH.contains(&format!(" {name} ")) => {
            of_request(state, name).or_else(|| of_response(state, name)).or_else(|| of_proxy(state, name))
        }
        _ => None,
    }
}

/// Variables of the client, its connection and its request.
fn of_request(state: &State, name: &str) -> Option<Vec<u8>> {
    let member = |level, name: &str| state.member(level, name, shown);
    let address = |part: fn(Address) -> Option<String>| Address::of(state).and_then(part).map(String::into_bytes);
    match name {
        "remote_addr" | "realip_remote_addr" => member(Level::Root, "client_ip"),
        "binary_remote_addr" => match state.text(Level::Root, "client_ip")?.parse().ok()? {
            std::net::IpAddr::V4(address) => Some(address.octets().to_vec()),
            std::net::IpAddr::V6(address) => Some(address.octets().to_vec()),
        },
        "remote_port" | "realip_remote_port" => number(state.context_number("client_port")?),
        "remote_user" => remote_user(state),
        "request" => {
            let method = state.text(Level::Request, "method")?;
            let uri = state.text(Level::Request, "uri")?;
            Some(format!("{method} {uri} {}", protocol(state)).into_bytes())
        }
        "request_method" => method(state).map(String::into_bytes),
        "request_uri" => member(Level::Request, "uri"),
        "uri" | "document_uri" => uri_path(state).map(String::into_bytes),
        "args" | "query_string" => raw_query(state).map(String::into_bytes),
        "is_args" => {
            Some(if raw_query(state).is_some_and(|query| !query.is_empty()) { b"?".to_vec() } else { Vec::new() })
        }
        "request_length" => member(Level::Request, "size"),
        "request_id" | "kong_request_id" => member(Level::Request, "id"),
        "request_body" => body(state, "request_body"),
        "content_type" => by_name(state, Level::RequestHeaders, "content-type"),
        "content_length" => by_name(state, Level::RequestHeaders, "content-length"),
        "scheme" => address(|address| Some(address.scheme)),
        "host" => address(|address| Some(address.host)),
        "server_port" => address(|address| address.port.map(|port| port.to_string())),
        "server_protocol" => Some(protocol(state).into_bytes()),
        "http2" => Some(if protocol(state) == "HTTP/2.0" { b"h2".to_vec() } else { Vec::new() }),
        "https" => address(|address| Some(if address.scheme == "https" { "on" } else { "" }.to_owned())),
        "ssl_protocol" => tls(state, "version"),
        "ssl_cipher" => tls(state, "cipher"),
        "ssl_client_verify" => tls(state, "client_verify"),
        _ => None,
    }
}

/// Variables of the response, the time and the upstream.
fn of_response(state: &State, name: &str) -> Option<Vec<u8>> {
    let member = |level, name: &str| state.member(level, name, shown);
    match name {
        "status" => member(Level::Response, "status"),
        "bytes_sent" => member(Level::Response, "size"),
        // The log object has no size without the header, so this is the size that the response declares.
        "body_bytes_sent" => by_name(state, Level::ResponseHeaders, "content-length"),
        "request_completion" => Some(b"OK".to_vec()),
        "request_time" => latency(state, "request"),
        "msec" => Some(format!("{:.3}", ended_at(state)).into_bytes()),
        "time_iso8601" => Some(iso8601(ended_at(state))?.into_bytes()),
        "time_local" => Some(Moment::at(ended_at(state), true)?.format("%d/%b/%Y:%H:%M:%S %z")?.into_bytes()),
        "upstream_status" => member(Level::Root, "upstream_status").filter(|status| !status.is_empty()),
        "upstream_uri" => member(Level::Root, "upstream_uri"),
        "upstream_addr" => upstream_address(state),
        "upstream_response_time" => latency(state, "proxy").filter(|_| was_proxied(state)),
        _ => None,
    }
}

/// Variables of nginx itself and of Kong.
fn of_proxy(state: &State, name: &str) -> Option<Vec<u8>> {
    let fixed = match name {
        "hostname" => return state.with(|transaction| transaction.context("node")?.get("hostname").and_then(shown))?,
        "pid" => return number(f64::from(process::id())),
        "nginx_version" => "1.27.1",
        "pipe" => ".",
        "kong_proxy_mode" => "http",
        _ => return None,
    };
    Some(fixed.as_bytes().to_vec())
}

fn number(number: f64) -> Option<Vec<u8>> {
    Some(lua_number(number).into_bytes())
}

fn protocol(state: &State) -> String {
    format!("HTTP/{:.1}", state.context_number("http_version").unwrap_or(1.1))
}

/// The user name of Basic credentials.
fn remote_user(state: &State) -> Option<Vec<u8>> {
    use base64::Engine;
    let credentials = String::from_utf8(by_name(state, Level::RequestHeaders, "authorization")?).ok()?;
    let (scheme, encoded) = credentials.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let end = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[..end].to_vec())
}

/// The end of the response in seconds since 1970; the current time if the transaction does not tell.
fn ended_at(state: &State) -> f64 {
    let started = state.member(Level::Root, "started_at", |view| view.number());
    let took = state.member(Level::Root, "latencies", |latencies| latencies.get("request")?.number());
    started.map_or_else(time::now, |started| (started + took.unwrap_or(0.0)) / 1000.0)
}

fn iso8601(seconds: f64) -> Option<String> {
    let mut text = Moment::at(seconds, true)?.format("%Y-%m-%dT%H:%M:%S%z")?;
    text.insert(text.len() - 2, ':');
    Some(text)
}

/// The `ip:port` of each try.
fn upstream_address(state: &State) -> Option<Vec<u8>> {
    let addresses = state.member(Level::Root, "tries", |tries| {
        let Value::Array(tries) = tries.value() else { return None };
        let address = |attempt: View<'_>| {
            let (ip, port) = (attempt.get("ip")?.text()?.into_owned(), attempt.get("port")?.number()?);
            Some(if ip.contains(':') && !ip.starts_with('[') {
                format!("[{ip}]:{port}")
            } else {
                format!("{ip}:{port}")
            })
        };
        Some(tries.into_iter().filter_map(address).collect::<Vec<_>>())
    })?;
    if addresses.is_empty() { None } else { Some(addresses.join(", ").into_bytes()) }
}

/// A header by its name with `_` for `-`, as in nginx.
fn by_name(state: &State, level: Level, name: &str) -> Option<Vec<u8>> {
    if level == Level::RequestHeaders
        && let Some(values) = state.changes.borrow().header(name.as_bytes())
    {
        return if values.is_empty() { None } else { Some(values.join(&b", "[..])) };
    }
    state.with(|transaction| transaction.header(level, name.as_bytes()).and_then(shown))?
}

/// `http_NAME`, `sent_http_NAME`, `upstream_http_NAME`, `arg_NAME` and `cookie_NAME`.
fn by_prefix(state: &State, name: &str) -> Option<Option<Vec<u8>>> {
    let header = |level, name: &str| by_name(state, level, name);
    if let Some(name) = name.strip_prefix("http_") {
        return Some(header(Level::RequestHeaders, name));
    }
    if let Some(name) = name.strip_prefix("sent_http_").or_else(|| name.strip_prefix("upstream_http_")) {
        return Some(header(Level::ResponseHeaders, name));
    }
    if let Some(name) = name.strip_prefix("arg_") {
        let query = raw_query(state)?;
        let found =
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| key.eq_ignore_ascii_case(name));
        return Some(found.map(|(_, value)| value.as_bytes().to_vec()));
    }
    let name = name.strip_prefix("cookie_")?;
    let cookies = String::from_utf8(header(Level::RequestHeaders, "cookie")?).ok()?;
    let found = cookies
        .split([';', ','])
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name));
    Some(found.map(|(_, value)| value.as_bytes().to_vec()))
}

/// A latency in seconds with milliseconds, as nginx writes times.
fn latency(state: &State, name: &str) -> Option<Vec<u8>> {
    let milliseconds = state.member(Level::Root, "latencies", |latencies| latencies.get(name)?.number())?;
    Some(format!("{:.3}", milliseconds / 1000.0).into_bytes())
}

/// Whether a request had an upstream: Kong's latency is -1 without one.
fn was_proxied(state: &State) -> bool {
    let waited = state.member(Level::Root, "latencies", |latencies| latencies.get("proxy")?.number());
    waited.is_some_and(|milliseconds| milliseconds >= 0.0)
}

fn tls(state: &State, name: &str) -> Option<Vec<u8>> {
    state.member(Level::Request, "tls", |tls| shown(tls.get(name)?))
}
