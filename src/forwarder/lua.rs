//! The functions that collect, as Lua that Kong's sandbox accepts in all releases from 3.4 on.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Forwarder;
use logphase_script::needs::{Fact, Need};

/// Bytes of all values of one transaction together, without bodies.
pub(super) const ROOM: usize = 32 << 10;

/// Where the body of the upstream's response is kept, in `ngx.ctx`.
const SERVICE_BODY: &str = "logphase_service_response_body";

/// Where the body of the response to the client is kept, in `ngx.ctx`.
const RESPONSE_BODY: &str = "logphase_response_body";

/// The functions of the pre-function, by phase; none if nothing is needed.
pub(super) fn pre_function(forwarder: &Forwarder) -> Vec<(&'static str, String)> {
    let Forwarder { needs, max_body_bytes, .. } = forwarder;
    let mut phases = Vec::new();
    if needs.contains(&Need::RequestBody) {
        phases.push(("access", include_str!("access.lua").replace("$LIMIT", &max_body_bytes.to_string())));
    }
    if needs.contains(&Need::ServiceResponseBody) {
        phases.push(("body_filter", body_filter(SERVICE_BODY, *max_body_bytes)));
    }
    if !needs.is_empty() {
        phases.push(("log", log(needs)));
    }
    phases
}

/// The functions of the post-function, which sees a response last.
pub(super) fn post_function(forwarder: &Forwarder) -> Vec<(&'static str, String)> {
    let needed = forwarder.needs.contains(&Need::ResponseBody);
    needed.then(|| ("body_filter", body_filter(RESPONSE_BODY, forwarder.max_body_bytes))).into_iter().collect()
}

fn body_filter(name: &str, limit: usize) -> String {
    include_str!("body_filter.lua").replace("$NAME", name).replace("$LIMIT", &limit.to_string())
}

/// The function of the log phase.
fn log(needs: &BTreeSet<Need>) -> String {
    let mut puts = String::new();
    for need in needs {
        // The members of a table that is there replace the log object's, so that there is one even if they are all nil.
        if matches!(need, Need::ServiceHeader(Some(_))) && !puts.contains("\"headers\", ") {
            puts.push_str("  place({}, \"service_response\", \"headers\")\n");
        }
        let _ = writeln!(puts, "{}", put(need));
    }
    let has = |kind: fn(&Need) -> bool| needs.iter().any(kind);
    let body = |need: &Need| matches!(need, Need::RequestBody | Need::ResponseBody | Need::ServiceResponseBody);
    let bodies = if has(body) { include_str!("put_body.lua") } else { "" };
    let headers = if has(|need| matches!(need, Need::Header(_))) { include_str!("put_header.lua") } else { "" };
    let text = include_str!("log.lua").replace("$BODIES", bodies).replace("$HEADERS", headers);
    // The names of users come last: they can look like anything.
    text.replace("$ROOM", &ROOM.to_string()).replace("$PUTS", &format!("\n{puts}"))
}

/// The statement that adds what is needed.
fn put(need: &Need) -> String {
    let names = arguments(need);
    let read = |expression: &str| format!("  put(function() return {expression} end, {names})");
    match need {
        Need::RequestBody => format!("  put_body(ngx.ctx.logphase_request_body, {names})"),
        Need::ResponseBody => format!("  put_body(ngx.ctx.{RESPONSE_BODY}, {names})"),
        Need::ServiceResponseBody => format!(
            "  if kong.response.get_source() == \"service\" then\n    put_body(ngx.ctx.{SERVICE_BODY}, {names})\n  end"
        ),
        Need::Header(name) => format!("  put_header({})", quoted(name)),
        Need::Shared(path) => read(&format!("kong.ctx.shared{}", members(path))),
        Need::NgxCtx(path) => read(&format!("ngx.ctx{}", members(path))),
        Need::Var(name) => read(&format!("ngx.var{}", member(name))),
        Need::Credential(name) => read(&format!("kong.client.get_credential(){}", member(name))),
        Need::ServiceHeader(Some(name)) => read(&format!("kong.service.response.get_header({})", quoted(name))),
        Need::ServiceHeader(None) => format!("  put(kong.service.response.get_headers, {names})"),
        Need::Fact(Fact::UriCaptures) => format!("  put({}, {names})", include_str!("uri_captures.lua").trim()),
        Need::Fact(Fact::ConsumerGroups) => format!("  put({}, {names})", include_str!("consumer_groups.lua").trim()),
        Need::Fact(fact) => read(&format!("{}()", fact.function())),
    }
}

/// The names of the member below `_context` as arguments.
fn arguments(need: &Need) -> String {
    let path = need.path();
    path.iter().skip(1).map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn members(path: &[String]) -> String {
    path.iter().map(|name| member(name)).collect()
}

/// `.name`, or `["a name"]`.
fn member(name: &str) -> String {
    const KEYWORDS: &str = " and break do else elseif end false for function goto if in local nil not or repeat return then \
                            true until while ";
    let word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match word && !KEYWORDS.contains(&format!(" {name} ")) {
        true => format!(".{name}"),
        false => format!("[{}]", quoted(name)),
    }
}

/// A text as Lua writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\{:03}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
