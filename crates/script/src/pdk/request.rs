//! `kong.request` (kong/pdk/request.lua).

use std::borrow::Cow;
use std::rc::Rc;

use mlua::{Lua, Table, Value as Lv};

use super::super::state::State;
use super::body::{arguments, parsed, truncated};
use super::facts::is_trusted;
use super::headers::{first, header_table};
use super::{Module, limit, raise, wrong_phase};
use crate::transaction::{Level, Value};

/// Where Kong may read the request's body.
const BODY_PHASES: &str = "rewrite, access, response, error, admin_api";

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    address_functions(&mut module)?;
    path_functions(&mut module)?;
    query_functions(&mut module)?;
    header_functions(&mut module)?;
    module.function("get_http_version", |_, state, (): ()| Ok(state.context_number("http_version").unwrap_or(1.1)))?;
    module.function("get_method", |_, state, (): ()| Ok(state.text(Level::Request, "method")))?;
    module.function("get_start_time", |_, state, (): ()| {
        let given = state.context_number("start_time");
        Ok(given.or_else(|| state.member(Level::Root, "started_at", |view| view.number())))
    })?;
    module.function("get_raw_body", |lua, state, _: Lv| match body(state, "request_body") {
        Some(bytes) => lua.create_string(bytes),
        None => Err(wrong_phase(lua, BODY_PHASES)),
    })?;
    module.function("get_body", |lua, state, (mimetype, max_args): (Lv, Lv)| {
        let Some(bytes) = body(state, "request_body") else { return Err(wrong_phase(lua, BODY_PHASES)) };
        let header = state.with(|transaction| {
            transaction.header(Level::RequestHeaders, b"content-type").map(|value| first(lua, state, value))
        });
        let header = header.flatten().transpose()?.unwrap_or(Lv::Nil);
        parsed(lua, state, &bytes, &mimetype, header, &max_args)
    })?;
    Ok(module.done())
}

fn address_functions(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("get_scheme", |_, state, (): ()| Ok(Address::of(state).map(|address| address.scheme)))?;
    module.function("get_host", |_, state, (): ()| Ok(Address::of(state).map(|address| address.host)))?;
    module.function("get_port", |_, state, (): ()| Ok(Address::of(state).and_then(|address| address.port)))?;
    module.function("get_forwarded_scheme", |_, state, (): ()| {
        let given = state.context_text("forwarded_scheme").or_else(|| forwarded(state, "x-forwarded-proto"));
        Ok(given.map(|scheme| scheme.to_lowercase()).or_else(|| Address::of(state).map(|address| address.scheme)))
    })?;
    module.function("get_forwarded_host", |_, state, (): ()| {
        let given = state.context_text("forwarded_host").or_else(|| {
            let host = forwarded(state, "x-forwarded-host")?;
            Some(split_host(&host).0.to_owned())
        });
        Ok(given.map(|host| host.to_lowercase()).or_else(|| Address::of(state).map(|address| address.host)))
    })?;
    module.function("get_forwarded_port", |_, state, (): ()| {
        let given = state.context_number("forwarded_port").or_else(|| {
            let port = forwarded(state, "x-forwarded-port").and_then(|port| port_number(&port));
            port.or_else(|| port_number(split_host(&forwarded(state, "x-forwarded-host")?).1)).map(f64::from)
        });
        Ok(given.or_else(|| Address::of(state).and_then(|address| address.port).map(f64::from)))
    })
}

/// A forwarding header of a client that the setting `trusted_ips` trusts.
pub(super) fn forwarded(state: &State, name: &str) -> Option<String> {
    if state.trusted_ips.is_empty() || !is_trusted(state, &super::client::address(state)?) {
        return None;
    }
    let first = |value: crate::transaction::View<'_>| match value.value() {
        Value::Array(values) => values.first()?.text().map(Cow::into_owned),
        _ => value.text().map(Cow::into_owned),
    };
    state.with(|transaction| transaction.header(Level::RequestHeaders, name.as_bytes()).and_then(first)).flatten()
}

/// Host and port of `user@host:port`, as Kong splits it.
fn split_host(authority: &str) -> (&str, &str) {
    let host = authority.split_once('@').map_or(authority, |(_, host)| host);
    host.split_once(':').unwrap_or((host, ""))
}

fn port_number(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port > 0)
}

fn path_functions(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("get_raw_path", |_, state, (): ()| Ok(raw_path(state)))?;
    module.function("get_path", |_, state, (): ()| Ok(raw_path(state).map(|path| normalize(&path))))?;
    module.function("get_path_with_query", |_, state, (): ()| {
        Ok(state.text(Level::Request, "uri").or_else(|| state.context_text("raw_path")).unwrap_or_default())
    })?;
    module.function("get_forwarded_path", |_, state, (): ()| {
        let given = state.context_text("forwarded_path").or_else(|| forwarded(state, "x-forwarded-path"));
        Ok(given.or_else(|| raw_path(state).map(|path| normalize(&path))))
    })?;
    module.function("get_forwarded_prefix", |_, state, (): ()| {
        Ok(state.context_text("forwarded_prefix").or_else(|| forwarded(state, "x-forwarded-prefix")))
    })?;
    module.function("get_uri_captures", |lua, state, (): ()| {
        let given = state.with(|transaction| transaction.context("uri_captures").map(|view| state.to_lua(lua, view)));
        let captures = match given.flatten().transpose()? {
            Some(Lv::Table(table)) => table,
            _ => lua.create_table()?,
        };
        for part in ["unnamed", "named"] {
            if captures.raw_get::<Lv>(part)?.is_nil() {
                let empty = lua.create_table()?;
                if part == "unnamed" {
                    empty.set_metatable(Some(state.array_mark.clone()))?;
                }
                captures.raw_set(part, empty)?;
            }
        }
        Ok(captures)
    })
}

fn query_functions(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("get_raw_query", |_, state, (): ()| Ok(raw_query(state).unwrap_or_default()))?;
    module.function("get_query", |lua, state, most: Lv| {
        let most = limit(lua, state.most.uri_args, &most, "max_args")?;
        let (table, cut) = query_table(lua, state, most)?;
        Ok((table, truncated(lua, cut)?))
    })?;
    module.function("get_query_arg", |lua, state, name: Lv| {
        let Lv::String(name) = name else { return Err(raise(lua, "query argument name must be a string")) };
        if state.member(Level::Request, "querystring", |_| Some(())).is_none() {
            let (all, _) = query_table(lua, state, state.most.uri_args)?;
            return match all.raw_get(name)? {
                Lv::Table(several) => several.raw_get(1),
                one => Ok(one),
            };
        }
        let name = name.to_string_lossy();
        let value =
            state.member(Level::Request, "querystring", |query| query.get(&name).map(|value| first(lua, state, value)));
        value.transpose().map(|value| value.unwrap_or(Lv::Nil))
    })
}

fn header_functions(module: &mut Module<'_>) -> mlua::Result<()> {
    header_pair(module, Level::RequestHeaders)
}

/// `get_header` and `get_headers` on the headers at `level`.
pub(super) fn header_pair(module: &mut Module<'_>, level: Level) -> mlua::Result<()> {
    module.function("get_header", move |lua, state, name: Lv| {
        let Lv::String(name) = name else { return Err(raise(lua, "header name must be a string")) };
        let value =
            state.with(|transaction| transaction.header(level, &name.as_bytes()).map(|value| first(lua, state, value)));
        value.flatten().transpose().map(|value| value.unwrap_or(Lv::Nil))
    })?;
    module.function("get_headers", move |lua, state, most: Lv| {
        let default = match level {
            Level::ResponseHeaders => state.most.resp_headers,
            _ => state.most.req_headers,
        };
        let most = limit(lua, default, &most, "max_headers")?;
        let (table, cut) = header_table(lua, state, level, most)?;
        Ok((table, truncated(lua, cut)?))
    })
}

/// At most `most` of the query's arguments as Kong's log object has them, else read from the URI; with whether some
/// were cut.
pub(in super::super) fn query_table(lua: &Lua, state: &State, most: usize) -> mlua::Result<(Table, bool)> {
    let given = state.with(|transaction| {
        let query = transaction.member(Level::Request, "querystring")?;
        let table = lua.create_table();
        Some(table.and_then(|table| {
            let Value::Object(members) = query.value() else { return Ok((table, false)) };
            let cut = members.len() > most;
            for (name, value) in members.into_iter().take(most) {
                table.raw_set(lua.create_string(name.as_ref())?, state.to_lua(lua, value)?)?;
            }
            Ok((table, cut))
        }))
    });
    match given.flatten() {
        Some(made) => made,
        None => arguments(lua, raw_query(state).unwrap_or_default().as_bytes(), most),
    }
}

/// Scheme, host and port of the request's URL.
pub(in super::super) struct Address {
    pub(in super::super) scheme: String,
    pub(in super::super) host: String,
    pub(in super::super) port: Option<u16>,
}

impl Address {
    /// Reads them from `request.url`, or from the headers where there is none.
    pub(in super::super) fn of(state: &State) -> Option<Self> {
        let url = state.text(Level::Request, "url");
        let tls = state.member(Level::Request, "tls", |view| (!view.is_null()).then_some(())).is_some();
        let default = if tls { "https" } else { "http" };
        let Some((scheme, rest)) = url.as_deref().and_then(|url| url.split_once("://")) else {
            let authority = state.text(Level::RequestHeaders, "host")?;
            return Some(Self::new(default, &authority));
        };
        Some(Self::new(scheme, rest.split(['/', '?']).next().unwrap_or(rest)))
    }

    fn new(scheme: &str, authority: &str) -> Self {
        let scheme = scheme.to_lowercase();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                (host, port.parse().ok())
            }
            _ => (authority, None),
        };
        let usual = if scheme.ends_with('s') { 443 } else { 80 };
        Self { scheme, host: host.to_lowercase(), port: port.or(Some(usual)) }
    }
}

/// `request.uri` up to the query.
pub(in super::super) fn uri_path(state: &State) -> Option<String> {
    let uri = state.text(Level::Request, "uri")?;
    Some(uri.split('?').next().unwrap_or(&uri).to_owned())
}

fn raw_path(state: &State) -> Option<String> {
    state.context_text("raw_path").or_else(|| uri_path(state))
}

/// `request.uri` behind the question mark.
pub(in super::super) fn raw_query(state: &State) -> Option<String> {
    let uri = state.text(Level::Request, "uri")?;
    uri.split_once('?').map(|(_, query)| query.to_owned())
}

/// A body out of `_context`.
pub(in super::super) fn body(state: &State, member: &str) -> Option<Vec<u8>> {
    state.with(|transaction| transaction.body(member)?.ok().map(Cow::into_owned))?
}

/// A path as Kong normalizes it (kong/tools/uri.lua): unreserved characters decoded, other escapes in upper case,
/// dot segments resolved, slashes merged.
fn normalize(path: &str) -> String {
    let decoded = if path.contains('%') { Cow::Owned(decode_unreserved(path)) } else { Cow::Borrowed(path) };
    if !decoded.contains("//") && !decoded.contains("/.") {
        return decoded.into_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            ".." => drop(kept.pop()),
            "." => {}
            "" if !last => {}
            _ => kept.push(segment),
        }
        if last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

fn decode_unreserved(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape =
            bytes.get(at + 1..at + 3).filter(|digits| bytes[at] == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = escape else {
            out.push(bytes[at]);
            at += 1;
            continue;
        };
        let text = std::str::from_utf8(digits).unwrap_or("00");
        let byte = u8::from_str_radix(text, 16).unwrap_or(0);
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend(digits.iter().map(u8::to_ascii_uppercase));
        }
        at += 3;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::normalize;

    /// Scenario: paths with escapes, dots and slashes. Guarantees: what Kong's normalization gives.
    #[test]
    fn paths_are_normalized() {
        for (path, normal) in [
            ("/v1/users/42", "/v1/users/42"),
            ("/a/../b/./c//d/", "/b/c/d/"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/%61%2f%7e%zz%", "/a%2F~%zz%"),
            ("//", "/"),
            ("/../..", "/"),
        ] {
            assert_eq!(normalize(path), normal, "{path}");
        }
    }
}
