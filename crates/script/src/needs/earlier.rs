//! What a function of a phase before the log phase does, as far as its text tells.

use super::reader::{How, Step, Use, uses};
use crate::source::lexer::tokens;

/// What a function of a phase before the log phase does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier {
    /// The line, from 1, in which it first sets a field of the log object.
    pub sets_field: Option<usize>,
    /// The line in which it first puts something into `kong.ctx.shared`.
    pub fills_shared: Option<usize>,
    /// Whether it only hands a body on to a later phase or to the log object.
    pub copies_body: Option<Body>,
    /// What it calls or assigns to that has no effect on a finished transaction, each once with its first line.
    pub no_effect: Vec<(String, usize)>,
}

/// The body of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Body {
    Request,
    Response,
}

impl Earlier {
    /// Reads `source`.
    pub fn of(source: &str) -> Self {
        let uses = uses(source);
        let mut found = Self::default();
        for one in &uses {
            let names = names(one);
            match names[..] {
                ["kong", "log", "set_serialize_value", ..] => first(&mut found.sets_field, one.line),
                ["kong", "ctx", "shared", _, ..] if one.how == How::Written => first(&mut found.fills_shared, one.line),
                // The name is computed.
                ["kong", "ctx", "shared"] if one.how == How::Written => first(&mut found.fills_shared, one.line),
                _ => {}
            }
            if let Some(name) = without_effect(one, &names)
                && !found.no_effect.iter().any(|(known, _)| *known == name)
            {
                found.no_effect.push((name, one.line));
            }
        }
        found.copies_body = copied_body(source, &uses);
        found
    }
}

/// The references that `source` gives to `kong.vault.get` as they are, each with its line.
pub fn vault_references(source: &str) -> Vec<(String, usize)> {
    // Most snippets name no vault.
    if !source.contains("vault") {
        return Vec::new();
    }
    let reference = |found: &Use| match &found.path[..] {
        [Step::Member(kong), Step::Member(vault), Step::Member(get), Step::Call(Some(text)), ..]
            if kong == "kong" && vault == "vault" && get == "get" =>
        {
            Some((text.clone(), found.line))
        }
        _ => None,
    };
    uses(source).iter().filter_map(reference).collect()
}

fn first(line: &mut Option<usize>, found: usize) {
    *line = Some(line.map_or(found, |line| line.min(found)));
}

/// The names that a path begins with.
fn names(found: &Use) -> Vec<&str> {
    found.path.iter().map_while(|step| if let Step::Member(name) = step { Some(name.as_str()) } else { None }).collect()
}

/// Functions that change the traffic, by the table that they are in.
const CHANGES: [(&str, &str); 7] = [
    ("kong.response", " set_status set_header add_header clear_header set_headers exit error set_raw_body "),
    (
        "kong.service",
        " set_upstream set_target_retry_callback set_retries set_timeouts set_target set_tls_cert_key set_tls_verify \
         set_tls_verify_depth set_tls_verify_store ",
    ),
    (
        "kong.service.request",
        " enable_buffering set_scheme set_path set_header set_raw_body set_raw_query set_method set_query clear_query_arg \
         add_header clear_header set_headers set_body ",
    ),
    (
        "kong.client",
        " authenticate authenticate_consumer_group_by_consumer_id set_authenticated_consumer_group \
         set_authenticated_consumer_groups ",
    ),
    ("ngx", " eof exec exit flush on_abort print redirect say send_headers sleep "),
    (
        "ngx.req",
        " add_header append_body finish_body init_body set_body_data set_body_file socket set_header clear_header \
         set_method set_uri_args set_uri ",
    ),
    ("ngx.resp", " add_header set_status "),
];

/// The name of what `found` calls or assigns to, if it would change the traffic.
fn without_effect(found: &Use, names: &[&str]) -> Option<String> {
    if let (How::Written, ["ngx", table @ ("header" | "var" | "status" | "arg"), ..]) = (found.how, names) {
        return Some(format!("ngx.{table}"));
    }
    let (last, path) = names.split_last()?;
    let path = path.join(".");
    let listed = CHANGES.iter().any(|(table, names)| *table == path && names.contains(&format!(" {last} ")));
    (listed && found.how != How::Written).then(|| format!("{path}.{last}"))
}

/// The body that a function reads, if all that it does is to hand it on.
fn copied_body(source: &str, uses: &[Use]) -> Option<Body> {
    let (mut body, mut kept) = (None, false);
    for one in uses {
        match names(one)[..] {
            ["kong", "request", "get_raw_body" | "get_body"] | ["ngx", "req", "get_body_data"] => {
                body = Some(Body::Request);
            }
            ["kong", "response", "get_raw_body"]
            | ["kong", "service", "response", "get_raw_body" | "get_body"]
            | ["ngx", "arg"] => body = body.or(Some(Body::Response)),
            ["kong", "log", "set_serialize_value"] => kept = true,
            ["kong", "ctx", ..] | ["ngx", "ctx", ..] => kept |= one.how == How::Written,
            ["kong", "log", ..] | ["ngx", "req", "read_body"] | ["kong", "service", "request", "enable_buffering"] => {}
            _ => return None,
        }
    }
    // Whoever takes a body apart does more than to copy it.
    const TAKES_APART: [&str; 10] =
        ["require", "string", "gsub", "gmatch", "match", "find", "sub", "format", "decode", "encode"];
    let takes_apart = tokens(source).iter().any(|token| TAKES_APART.iter().any(|word| token.is(word)));
    body.filter(|_| kept && !takes_apart)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Body, CHANGES, Earlier};

    /// Every function that [`CHANGES`] lists, by its whole name.
    pub(crate) fn listed() -> impl Iterator<Item = String> {
        CHANGES.iter().flat_map(|(table, names)| names.split_whitespace().map(move |name| format!("{table}.{name}")))
    }

    /// Scenario: functions as users have them in `access`, `header_filter` and `body_filter`, and some that are nearly the
    /// same.
    /// Guarantees: what they leave for the log phase is found with its line, and only functions that do no more than to copy
    /// a body count as such.
    #[test]
    fn what_earlier_functions_do_is_found() {
        let lines = |set, shared, copies| (set, shared, copies);
        for (source, expected) in [
            (
                "local body = kong.request.get_raw_body()\nkong.log.set_serialize_value('request.body', body)",
                lines(Some(2), None, Some(Body::Request)),
            ),
            ("kong.ctx.shared.body = kong.request.get_raw_body()", lines(None, Some(1), Some(Body::Request))),
            (
                "local ctx = ngx.ctx\nctx.body = (ctx.body or '') .. ngx.arg[1]\n\
                 if ngx.arg[2] then kong.log.set_serialize_value('response.body', ctx.body) end",
                lines(Some(3), None, Some(Body::Response)),
            ),
            (
                "ngx.req.read_body()\nkong.ctx.plugin.b = ngx.req.get_body_data()",
                lines(None, None, Some(Body::Request)),
            ),
            ("local s = kong.ctx.shared\n\ns.user = kong.request.get_header('x-user')", lines(None, Some(3), None)),
            ("kong.ctx.shared['a' .. 1] = 1", lines(None, Some(1), None)),
            ("return kong.ctx.shared.a == 1", lines(None, None, None)),
            (
                "kong.ctx.shared.id = require('cjson').decode(kong.request.get_raw_body()).id",
                lines(None, Some(1), None),
            ),
            ("kong.ctx.shared.b = kong.request.get_raw_body():sub(1, 9)", lines(None, Some(1), None)),
            ("kong.log.notice(kong.request.get_raw_body())", lines(None, None, None)),
            ("local x = 1", lines(None, None, None)),
        ] {
            let found = Earlier::of(source);
            assert_eq!((found.sets_field, found.fills_shared, found.copies_body), expected, "{source}");
        }
    }

    /// Scenario: calls and assignments that change the traffic, directly and through locals, and reads of the same tables.
    /// Guarantees: each is found once with its first line, and reads are not.
    #[test]
    fn what_changes_the_traffic_is_found() {
        for (source, expected) in [
            ("kong.response.exit(403)\nkong.response.exit(404)", "kong.response.exit 1"),
            ("local r = kong.service.request\nr.set_header('a', 'b')", "kong.service.request.set_header 2"),
            ("ngx.header['X'] = 1\nngx.status = 2 ngx.var.x = 1", "ngx.header 1, ngx.status 2, ngx.var 2"),
            ("ngx.arg[1] = nil", "ngx.arg 1"),
            ("return ngx.header.x, ngx.status, ngx.var.a, ngx.arg[1], kong.response.get_status()", ""),
            ("if kong.request.get_method() == 'GET' then\nreturn ngx.exit(403) end", "ngx.exit 2"),
        ] {
            let found = Earlier::of(source).no_effect;
            let shown: Vec<_> = found.iter().map(|(name, line)| format!("{name} {line}")).collect();
            assert_eq!(shown.join(", "), expected, "{source}");
        }
    }
}
