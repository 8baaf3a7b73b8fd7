//! Tests of what is found in snippets.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::transaction::Limits;

fn found(source: &str) -> Vec<String> {
    let all = findings(&[source]).remove(0).into_iter().map(|finding| match finding.note {
        Note::Needs(need) => format!("{}: {}", finding.line, need.member()),
        Note::Dynamic { what, .. } => format!("{}: ? {what}", finding.line),
        Note::Impossible { what, .. } => format!("{}: ! {what}", finding.line),
    });
    all.collect()
}

/// Scenario: snippets that name members with dots, with strings in brackets, and through locals, upvalues, branches,
/// parentheses and `pcall`.
/// Guarantees: each need is found, with the line of its first use; nothing is found twice.
#[test]
fn names_are_followed() {
    for (source, expected) in [
        ("return kong.request.get_raw_body()", vec!["1: _context.request_body"]),
        ("return kong['request'][\"get_body\"]().a", vec!["1: _context.request_body"]),
        ("local r = kong.request\n\nreturn r.get_raw_body()", vec!["3: _context.request_body"]),
        (
            "local k, n = kong, ngx\nreturn n.var.server_name, k.ctx.shared.a",
            vec!["2: _context.shared.a", "2: _context.vars.server_name"],
        ),
        (
            "local get = kong.request.get_raw_body\nlocal function f() return get() end\nreturn f()",
            vec!["2: _context.request_body"],
        ),
        (
            "local ok, body = pcall(kong.service.response.get_raw_body)\nreturn ok and body",
            vec!["1: _context.service_response.body"],
        ),
        ("return (kong.ctx.shared.user or {}).name", vec!["1: _context.shared.user.name"]),
        ("local u = kong.ctx.shared.user or {}\nreturn u.name", vec!["2: _context.shared.user.name"]),
        ("local u = kong.ctx.shared.user\nif u then return u.name end", vec!["2: _context.shared.user.name"]),
        ("local u = kong.ctx.shared.user\nreturn u and u.name, u", vec!["2: _context.shared.user"]),
        ("if kong.ctx.shared.role == 'admin' then return 1 end", vec!["1: _context.shared.role"]),
        ("return (kong.ctx.shared.count or 0) + 1", vec!["1: _context.shared.count"]),
        ("return _G.kong.ctx.shared.x", vec!["1: _context.shared.x"]),
        (
            "local t\nif a then t = ngx.ctx else t = kong.ctx.shared end\nreturn t.x",
            vec!["3: _context.shared.x", "3: _context.ngx_ctx.x"],
        ),
        (
            "return function() return ngx.var['hostname'], ngx.var.remote_user end",
            vec!["1: request.headers.authorization", "1: _context.node.hostname"],
        ),
        (
            "return if ngx.var.a then ngx.var.b else ngx.var.c",
            vec!["1: _context.vars.a", "1: _context.vars.b", "1: _context.vars.c"],
        ),
        ("for name, value in pairs(kong.ctx.shared) do x = value end", vec!["1: _context.shared"]),
        ("return kong.ctx.shared[1], kong.ctx.shared.a", vec!["1: _context.shared"]),
        ("return kong.ctx.shared.name:upper()", vec!["1: _context.shared.name"]),
        (
            "return kong.ctx.shared.list[2].x, #kong.ctx.shared.other",
            vec!["1: _context.shared.list", "1: _context.shared.other"],
        ),
    ] {
        assert_eq!(found(source), expected, "{source}");
    }
}

/// Scenario: each function that answers from more than the log object, and headers and credentials by name.
/// Guarantees: the member that carries each is named; what the log object has needs nothing.
#[test]
fn functions_have_members() {
    for (fact, member, function, _) in FACTS {
        assert_eq!(found(&format!("return {function}()")), [format!("1: _context.{member}")], "{fact:?}");
    }
    for (source, expected) in [
        ("return kong.request.get_header('Authorization')", vec!["1: request.headers.authorization"]),
        ("return kong.request.get_header 'proxy_authorization'", vec!["1: request.headers.proxy-authorization"]),
        ("local h = kong.request.get_headers()\nreturn h['authorization']", vec!["2: request.headers.authorization"]),
        ("return ngx.req.get_headers().authorization", vec!["1: request.headers.authorization"]),
        ("return ngx.var.http_authorization", vec!["1: request.headers.authorization"]),
        ("local c = kong.client.get_credential()\nreturn c and c.username", vec!["2: _context.credential.username"]),
        ("return kong.client.get_credential().consumer_id", vec![]),
        ("return kong.service.response.get_header('X-A')", vec!["1: _context.service_response.headers.x-a"]),
        (
            "return kong.service.response.get_headers(), kong.service.response.get_header('a')",
            vec!["1: _context.service_response.headers"],
        ),
        ("return ngx.req.get_post_args(), ngx.var.request_body", vec!["1: _context.request_body"]),
        ("return kong.response.get_raw_body()", vec!["1: _context.response_body"]),
        ("return kong.client.get_ip()", vec!["1: _context.vars.realip_remote_addr"]),
        ("return kong.request.get_header('host'), ngx.var.http_cookie, ngx.var.arg_x, ngx.var.status", vec![]),
        ("return kong.response.get_status(), kong.router.get_route().name, kong.log.serialize()", vec![]),
    ] {
        assert_eq!(found(source), expected, "{source}");
    }
}

/// Scenario: names that are computed, modules that are handed on, and what no proxy can send along.
/// Guarantees: each is said, with its line, rather than left out.
#[test]
fn what_is_not_known_is_said() {
    for (source, expected) in [
        ("local n = 'a'\nreturn ngx.var[n]", vec!["2: ? a variable of nginx whose name is computed"]),
        ("return kong.request.get_header(name)", vec!["1: ? a request header whose name is computed"]),
        ("return kong.request.get_headers()", vec!["1: ? all request headers"]),
        ("return f(kong.request)", vec!["1: ? kong.request"]),
        ("local t = { k = kong }", vec!["1: ? kong"]),
        ("return ngx.ctx[x]", vec!["1: ? a member of ngx.ctx whose name is computed, or all of it"]),
        ("return kong.client.get_credential()", vec!["1: ? the client's whole credential"]),
        ("return kong.ctx.plugin.x", vec!["1: ! kong.ctx.plugin.x"]),
        ("return kong.ctx.shared.f()", vec!["1: ! kong.ctx.shared.f()"]),
        ("return kong.db.consumers:select(x), ngx.shared.d", vec!["1: ! kong.db.consumers", "1: ! ngx.shared.d"]),
    ] {
        assert_eq!(found(source), expected, "{source}");
    }
}

/// Scenario: text that only looks like a use: comments, strings, keys, members of other tables, parameters and locals of the
/// same name, assignments.
/// Guarantees: nothing is found.
#[test]
fn other_text_is_no_use() {
    for source in [
        "-- kong.request.get_raw_body()\nreturn 'kong.request.get_raw_body()'",
        "--[[ ngx.var.a ]] return [[ngx.var.b]]",
        "return { kong = 1, ngx = 2 }",
        "local t = {}\nreturn t.kong.request.get_raw_body, t:ngx()",
        "local function f(kong) return kong.request.get_raw_body() end\nreturn f",
        "for _, ngx in pairs({}) do x = ngx.var.a end",
        "local kong = {}\nreturn kong.request.get_raw_body()",
        "kong.ctx.shared.x = 1",
        "local p = kong.ctx.plugin\np.x = 1\nreturn p.x",
        "local r = kong.request",
    ] {
        assert_eq!(found(source), Vec::<String>::new(), "{source}");
    }
    let both = findings(&["kong.ctx.plugin.t = {}", "return kong.ctx.plugin.t.a"]);
    assert!(both.iter().all(Vec::is_empty), "what one snippet of a plugin writes, another reads: {both:?}");
}

/// Scenario: scopes that end before a name is used again.
/// Guarantees: the name means the global again.
#[test]
fn scopes_end() {
    for source in [
        "do local kong = {} end\nreturn kong.request.get_raw_body()",
        "if x then local kong = {} else\nreturn kong.request.get_raw_body() end",
        "local function f(kong) end\nreturn kong.request.get_raw_body()",
        "for kong = 1, 2 do end\nreturn kong.request.get_raw_body()",
        "repeat local kong = 1 until true\nreturn kong.request.get_raw_body()",
    ] {
        assert_eq!(found(source), ["2: _context.request_body"], "{source}");
    }
}

/// Scenario: members as text, and back.
/// Guarantees: each need is read back from its member; text that names none is refused.
#[test]
fn members_are_read_back() {
    for text in [
        "_context.request_body",
        "_context.shared",
        "_context.shared.a.b",
        "_context.vars.server_name",
        "_context.ngx_ctx.x",
        "_context.credential.username",
        "_context.service_response.status",
        "_context.service_response.headers.x-a",
        "request.headers.authorization",
        "_context.node.id",
    ] {
        assert_eq!(Need::of_member(text).map(|need| need.member()).as_deref(), Some(text));
    }
    for text in ["", "_context", "_context.vars", "_context..a", "request.headers.host", "nothing", "_context.ngx_ctx"]
    {
        assert_eq!(Need::of_member(text), None, "{text}");
    }
}

/// Scenario: transactions with and without members of `_context`, and with a redacted and a plain credential.
/// Guarantees: a need is met by its member alone, and not by null.
#[test]
fn transactions_are_searched() {
    let text = r#"{"request":{"headers":{"authorization":"REDACTED","proxy-authorization":"Basic eA=="}},
        "_context":{"shared":{"a":{"b":1},"n":null},"vars":{"x":"1"}}}"#;
    let transaction = Transaction::parse(Bytes::from(text), &Limits::default()).expect("a transaction");
    for (member, there) in [
        ("_context.shared", true),
        ("_context.shared.a.b", true),
        ("_context.shared.a.c", false),
        ("_context.shared.n", false),
        ("_context.vars.x", true),
        ("_context.vars.y", false),
        ("_context.request_body", false),
        ("request.headers.authorization", false),
        ("request.headers.proxy-authorization", true),
    ] {
        let need = Need::of_member(member).expect("a member");
        assert_eq!(need.is_in(&transaction), there, "{member}");
    }
}

/// Pieces of Lua, which are joined to sources that need not be valid.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "kong",
        "ngx",
        ".",
        "request",
        "get_raw_body",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "local",
        "=",
        ",",
        "a",
        "b",
        "if",
        "then",
        "else",
        "end",
        "function",
        "do",
        "for",
        "in",
        "repeat",
        "until",
        "return",
        "'x'",
        "1",
        "..",
        "or",
        "and",
        ":",
        "\n",
        "--",
        "[[",
        "]]",
        "\"",
        "pcall",
        "ctx",
        "shared",
        "var",
        ";",
        "...",
    ]);
    prop::collection::vec(piece, 0..200).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    /// Scenario: arbitrary text, and arbitrary sequences of Lua's words.
    /// Guarantees: the analysis ends without a panic, and each line is one of the source.
    #[test]
    fn any_source_is_read(source in prop_oneof![pieces(), ".{0,300}"]) {
        let lines = source.matches('\n').count() + 1;
        prop_assert!(findings(&[&source]).remove(0).iter().all(|finding| (1..=lines).contains(&finding.line)));
    }

    /// Scenario: a need in the middle of arbitrary other statements that are valid Lua.
    /// Guarantees: it is found.
    #[test]
    fn a_need_is_found_anywhere(before in valid(), after in valid()) {
        let source = format!("{before}\nlocal needed = kong.request\nlocal x = needed.get_raw_body()\n{after}");
        let member = "_context.request_body".to_owned();
        prop_assert!(found(&source).iter().any(|line| line.ends_with(&member)), "{}", source);
    }
}

/// Valid statements, which end every scope that they begin.
fn valid() -> impl Strategy<Value = String> {
    let statement = prop::sample::select(vec![
        "local a = { kong = 1, [2] = 'x', f = function(kong) return kong end }",
        "if a then local kong = 1 elseif b then b = 2 else b = 3 end",
        "local c = if a then 1 else 2",
        "for i = 1, 2 do local ngx = i end",
        "for k, v in pairs({}) do a = function() end end",
        "while false do local kong = {} end",
        "repeat local x = 1 until x",
        "local function f(...) return ... end f {} f 'x'",
        "a = (a or b) .. 'end' -- end",
        "do local kong, ngx = 1, 2 end",
        "local s = [==[ ]] end ]==] local n = 1e-5 .. 2",
    ]);
    prop::collection::vec(statement, 0..12).prop_map(|all| all.join("\n"))
}
