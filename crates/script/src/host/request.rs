//! The request's address, path, query and bodies, read from the transaction.

use std::borrow::Cow;

use mlua::{Lua, Table};

use super::arguments::arguments;
use super::state::State;
use crate::transaction::{Level, Value};

/// At most `limit` query arguments, and whether there are more. They are read from Kong's log object, or from the URI if
/// it has none.
///
/// # Errors
/// The script has to stop, or the VM failed.
pub(crate) fn query_table(lua: &Lua, state: &State, limit: usize) -> mlua::Result<(Table, bool)> {
    let given = state.with(|transaction| {
        if state.changes.borrow().query.is_some() {
            return None;
        }
        let query = transaction.member(Level::Request, "querystring")?;
        let table = lua.create_table();
        Some(table.and_then(|table| {
            let Value::Object(members) = query.value() else { return Ok((table, false)) };
            let more = members.len() > limit;
            for (name, value) in members.into_iter().take(limit) {
                table.raw_set(lua.create_string(name.as_ref())?, state.to_lua(lua, value)?)?;
            }
            Ok((table, more))
        }))
    });
    match given.flatten() {
        Some(result) => result,
        None => arguments(lua, raw_query(state).unwrap_or_default().as_bytes(), limit),
    }
}

/// Scheme, host and port of the request's URL.
pub(crate) struct Address {
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl Address {
    /// Reads `request.url`, or the `host` header if it is absent.
    pub(crate) fn of(state: &State) -> Option<Self> {
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

/// Whether the transaction is an L4 session rather than a request.
pub(crate) fn is_session(state: &State) -> bool {
    state.member(Level::Root, "session", |view| (!view.is_null()).then_some(())).is_some()
}

/// The part of `request.uri` before the query.
pub(crate) fn uri_path(state: &State) -> Option<String> {
    let uri = state.text(Level::Request, "uri")?;
    Some(uri.split('?').next().unwrap_or(&uri).to_owned())
}

/// The path as the client sent it.
pub(crate) fn raw_path(state: &State) -> Option<String> {
    state.context_text("raw_path").or_else(|| uri_path(state))
}

/// The request's method.
pub(crate) fn method(state: &State) -> Option<String> {
    let changed = state.changes.borrow().method;
    changed.map(str::to_owned).or_else(|| state.text(Level::Request, "method"))
}

/// The part of `request.uri` after the question mark.
pub(crate) fn raw_query(state: &State) -> Option<String> {
    if let Some(query) = &state.changes.borrow().query {
        return Some(String::from_utf8_lossy(query).into_owned());
    }
    let uri = state.text(Level::Request, "uri")?;
    uri.split_once('?').map(|(_, query)| query.to_owned())
}

/// The body called `member` in `_context`.
pub(crate) fn body(state: &State, member: &str) -> Option<Vec<u8>> {
    state.with(|transaction| transaction.body(member)?.ok().map(Cow::into_owned))?
}
