//! `ngx.var`: the variables that the proxy handed over, and those that the transaction implies.

use mlua::{Lua, Value as Lv};

use super::super::pdk::{Address, raw_query, uri_path};
use super::super::state::State;
use crate::transaction::{Level, Value, View};

/// The variable `name`; always a string or nil, as in nginx.
pub(super) fn get(lua: &Lua, state: &State, name: &str) -> mlua::Result<Lv> {
    let given = state.with(|transaction| transaction.context("vars")?.get(name).map(shown)).flatten();
    let value = match given {
        Some(value) => value,
        None => implied(state, name),
    };
    value.map_or(Ok(Lv::Nil), |text| Ok(Lv::String(lua.create_string(text)?)))
}

/// A JSON value as nginx would hold it; null is no value.
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
    let member = |level, name: &str| state.member(level, name, shown);
    let address = |part: fn(Address) -> Option<String>| Address::of(state).and_then(part).map(String::into_bytes);
    if let Some(prefixed) = by_prefix(state, name) {
        return prefixed;
    }
    match name {
        "remote_addr" => member(Level::Root, "client_ip"),
        "remote_port" => state.context_number("client_port").map(|port| port.to_string().into_bytes()),
        "request_method" => member(Level::Request, "method"),
        "request_uri" => member(Level::Request, "uri"),
        "uri" | "document_uri" => uri_path(state).map(String::into_bytes),
        "args" | "query_string" => raw_query(state).map(String::into_bytes),
        "is_args" => {
            Some(if raw_query(state).is_some_and(|query| !query.is_empty()) { b"?".to_vec() } else { Vec::new() })
        }
        "status" => member(Level::Response, "status"),
        "bytes_sent" => member(Level::Response, "size"),
        "request_length" => member(Level::Request, "size"),
        "request_id" | "kong_request_id" => member(Level::Request, "id"),
        "request_time" => latency(state, "request"),
        "upstream_status" => member(Level::Root, "upstream_status"),
        "upstream_uri" => member(Level::Root, "upstream_uri"),
        "scheme" => address(|address| Some(address.scheme)),
        "host" => address(|address| Some(address.host)),
        "server_port" => address(|address| address.port.map(|port| port.to_string())),
        "server_protocol" => {
            let version = state.context_number("http_version").unwrap_or(1.1);
            Some(format!("HTTP/{version:.1}").into_bytes())
        }
        "https" => address(|address| Some(if address.scheme == "https" { "on" } else { "" }.to_owned())),
        "ssl_protocol" => tls(state, "version"),
        "ssl_cipher" => tls(state, "cipher"),
        "ssl_client_verify" => tls(state, "client_verify"),
        "request_body" => super::super::pdk::body(state, "request_body"),
        _ => None,
    }
}

/// `http_NAME`, `sent_http_NAME`, `upstream_http_NAME`, `arg_NAME` and `cookie_NAME`.
fn by_prefix(state: &State, name: &str) -> Option<Option<Vec<u8>>> {
    let header = |level, name: &str| state.member(level, &name.replace('_', "-"), shown);
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
    let found = cookies.split([';', ',']).filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name);
    Some(found.map(|(_, value)| value.as_bytes().to_vec()))
}

/// A latency in seconds with milliseconds, as nginx writes times.
fn latency(state: &State, name: &str) -> Option<Vec<u8>> {
    let milliseconds = state.member(Level::Root, "latencies", |latencies| latencies.get(name)?.number())?;
    Some(format!("{:.3}", milliseconds / 1000.0).into_bytes())
}

fn tls(state: &State, name: &str) -> Option<Vec<u8>> {
    state.member(Level::Request, "tls", |tls| shown(tls.get(name)?))
}
