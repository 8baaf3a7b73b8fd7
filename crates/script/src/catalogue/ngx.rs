//! `ngx`. Its constants are in `crate::ngx::constants`.

use super::row::{Group, Row, row};

/// The phases in which nginx lets a function answer or hold back the request.
const BEFORE_RESPONSE: &str = "rewrite, access";
const CHANGE_RESPONSE: &str = "rewrite, access, header_filter";

const NGX: &[Row] = &[
    row(
        "var",
        "{[string]: string?}",
        "The variables of nginx, by name in any case; nil for an unknown one. Read-only.",
    )
    .from("`_context.vars`, else the transaction: see below"),
    row("ctx", "{[any]: any}", "A table of the transaction that the snippets of all plugins share.")
        .from("starts as `_context.ngx_ctx`, with what Kong keeps there: see below"),
    row("status", "number", "The status that the client got.").from("`response.status`"),
    row(
        "header",
        "{[string]: string | {string} | nil}",
        "The headers of the response, in any case and with `_` for `-`; a table for several. Writing logs nginx's \
         error.",
    )
    .from("`response.headers`"),
    row("headers_sent", "boolean", "Whether the response has begun: true in the log phase."),
    row("is_subrequest", "boolean", "False."),
    row("null", "any", "What JSON's null becomes, and is written as null."),
    row("arg", "{[number]: any}", "In `body_filter`: the body of the response, and `true`.")
        .from("`_context.response_body`")
        .only_in("body_filter"),
    row("get_phase", "(): string", "`\"log\"`, or the phase that is replayed."),
    row("get_raw_phase", "(): number", "The number of the phase in lua-nginx-module: 16 in the log phase."),
    row("log", "(level: number, ...any): ()", "Writes a line to Logphase's log; `level` is `ngx.ERR` and so on."),
    row("now", "(): number", "The time in seconds since 1970, to the millisecond."),
    row("time", "(): number", "The time in whole seconds since 1970."),
    row("today", "(): string", "The local date: `2026-11-30`."),
    row("localtime", "(): string", "The local time: `2026-11-30 12:00:00`."),
    row("utctime", "(): string", "The same in UTC."),
    row("update_time", "(): ()", "Does nothing: every call reads the clock."),
    row("http_time", "(seconds: number): string", "The time as in HTTP's headers: `Mon, 30 Nov 2026 12:00:00 GMT`."),
    row("cookie_time", "(seconds: number): string", "The time as in cookies: `Mon, 30-Nov-26 12:00:00 GMT`."),
    row("parse_http_time", "(text: string): number?", "The seconds since 1970 of a time in HTTP's form, or nil."),
    row("md5", "(text: Text): string", "The digest in hexadecimal digits."),
    row("md5_bin", "(text: Text): string", "The digest as bytes."),
    row("sha1_bin", "(text: Text): string", "The digest as bytes."),
    row("hmac_sha1", "(key: Text, text: Text): string", "The keyed digest as bytes."),
    row("crc32_short", "(text: Text): number", "The checksum, from 0 to 2^32 - 1."),
    row("crc32_long", "(text: Text): number", "The same."),
    row("encode_base64", "(text: Text, no_padding: boolean?): string", "Base64."),
    row("decode_base64", "(text: string): string?", "The bytes, or nil for invalid base64."),
    row("decode_base64mime", "(text: string): string?", "The same; other characters are skipped."),
    row(
        "escape_uri",
        "(text: Text, type: number?): string",
        "Escapes for a component (type 2, the default), a whole URI (0) or arguments (1).",
    ),
    row("unescape_uri", "(text: Text): string", "Decodes `%XX` and `+`, and keeps the rest."),
    row("encode_args", "(arguments: {[string]: any}): string", "A query, sorted by name; at most 10,000 arguments."),
    row(
        "decode_args",
        "(text: Text, max_args: number?): (Arguments, string?)",
        "The arguments of a query, at most 100 by default, 0 for all; and `\"truncated\"` if cut.",
    ),
    row("quote_sql_str", "(text: Text): string", "The text quoted by MySQL's rules."),
    row("say", "(...any): ()", "Answers the request.").only_in(BEFORE_RESPONSE),
    row("print", "(...any): ()", "Answers the request.").only_in(BEFORE_RESPONSE),
    row("flush", "(wait: boolean?): ()", "Sends what is buffered.").only_in(BEFORE_RESPONSE),
    row("eof", "(): ()", "Ends the answer.").only_in(BEFORE_RESPONSE),
    row("send_headers", "(): ()", "Sends the headers.").only_in(BEFORE_RESPONSE),
    row("exec", "(uri: string, arguments: any): ()", "Goes on at another location.").only_in(BEFORE_RESPONSE),
    row("exit", "(status: number): ()", "Ends the request.").only_in(CHANGE_RESPONSE),
    row("redirect", "(uri: string, status: number?): ()", "Redirects the client.").only_in(BEFORE_RESPONSE),
    row("sleep", "(seconds: number): ()", "Waits.").only_in(BEFORE_RESPONSE),
    row("on_abort", "(callback: () -> ()): ()", "Sets what runs if the client goes.").only_in(BEFORE_RESPONSE),
];

/// `ngx.req`, which is also a module.
pub(super) const REQUEST: &[Row] = &[
    row(
        "get_headers",
        "(max_headers: number?, raw: boolean?): (Headers, string?)",
        "The headers, in a table that accepts names in any case and with `_` for `-` (with `raw`, only as written); \
         and \
         `\"truncated\"` if there are more than `max_headers` (default 100, a setting; 0 for all).",
    )
    .from("`request.headers`"),
    row("get_method", "(): string?", "The method, in upper case.").from("`request.method`"),
    row(
        "get_uri_args",
        "(max_args: number?): (Arguments, string?)",
        "The decoded query arguments: `true` for one without `=`, a table for several; and `\"truncated\"`.",
    )
    .from("`request.uri`"),
    row("get_query_args", "(max_args: number?): (Arguments, string?)", "The same.").from("`request.uri`"),
    row(
        "get_post_args",
        "(max_args: number?): (Arguments?, string?)",
        "The same of a form in the body; nil and an error without a body.",
    )
    .from("`_context.request_body`"),
    row("get_body_data", "(max_bytes: number?): string?", "The body.").from("`_context.request_body`"),
    row("get_body_file", "(): nil", "Nil: the file is on the proxy's machine."),
    row("start_time", "(): number?", "When the request came in: seconds since 1970.").from("`started_at`"),
    row("http_version", "(): number", "The version of HTTP.").from("`_context.http_version`; 1.1 without it"),
    row(
        "raw_header",
        "(no_request_line: boolean?): string?",
        "The head of the request, made of method, address, version and headers.",
    )
    .from("`request`"),
    row("is_internal", "(): boolean", "False."),
    row(
        "set_header",
        "(name: Text, value: (Text | {Text})?): ()",
        "Sets a header as later functions and the message see it; a credential is written as `REDACTED`.",
    ),
    row("clear_header", "(name: Text): ()", "Removes a header, as later functions and the message see it."),
    row(
        "set_method",
        "(method: number): ()",
        "Sets the method to one of `ngx.HTTP_*`, as later functions and the message see it.",
    ),
    row(
        "set_uri_args",
        "(arguments: Text | {[string]: any}): ()",
        "Sets the query, as later functions and `request.querystring` of the message see it.",
    ),
    row("set_uri", "(uri: Text, jump: boolean?): ()", "Accepted, without effect."),
    row("discard_body", "(): ()", "Accepted, without effect."),
    row("add_header", "(name: string, value: any): ()", "Adds a header.").only_in(BEFORE_RESPONSE),
    row("read_body", "(): ()", "Reads the body.").only_in(BEFORE_RESPONSE),
    row("init_body", "(size: number?): ()", "Begins a new body.").only_in(BEFORE_RESPONSE),
    row("append_body", "(text: string): ()", "Adds to the new body.").only_in(BEFORE_RESPONSE),
    row("finish_body", "(): ()", "Ends the new body.").only_in(BEFORE_RESPONSE),
    row("set_body_data", "(text: string): ()", "Replaces the body.").only_in(BEFORE_RESPONSE),
    row(
        "set_body_file",
        "(path: string, clear: boolean?): ()",
        "Replaces the body by a \
        file.",
    )
    .only_in(BEFORE_RESPONSE),
    row("socket", "(raw: boolean?): any", "A socket to the client.").only_in(BEFORE_RESPONSE),
];

/// `ngx.resp`, which is also a module.
pub(super) const RESPONSE: &[Row] = &[
    row("get_headers", "(max_headers: number?, raw: boolean?): (Headers, string?)", "The headers, as of `ngx.req`.")
        .from("`response.headers`"),
    row("add_header", "(name: string, value: any): ()", "Adds a header.").only_in(CHANGE_RESPONSE),
    row("set_status", "(status: number): ()", "Sets the status.").only_in(CHANGE_RESPONSE),
];

const RE: &[Row] = &[
    row(
        "match",
        "(text: Text, pattern: Text, options: string?, ctx: {pos: number?}?, into: Captures?): (Captures?, string?)",
        "A table: the whole match at 0, groups by number and by name, `false` for a group that did not take part; nil \
         without a match. `ctx.pos` is where the search starts, and afterwards the end of the match. `into` is filled \
         if \
         it is given.",
    ),
    row(
        "find",
        "(text: Text, pattern: Text, options: string?, ctx: {pos: number?}?, group: number?): (number?, number?, \
         string?)",
        "The first and the last position of the match, or of the group; nil without a match.",
    ),
    row(
        "gmatch",
        "(text: Text, pattern: Text, options: string?): ((() -> Captures?)?, string?)",
        "An iterator over the tables of `match`.",
    ),
    row(
        "sub",
        "(text: Text, pattern: Text, replacement: Text | ((captures: Captures) -> Text), options: string?): (string?, \
         number?, string?)",
        "The text with the first match replaced, and the number of replacements.",
    ),
    row(
        "gsub",
        "(text: Text, pattern: Text, replacement: Text | ((captures: Captures) -> Text), options: string?): (string?, \
         number?, string?)",
        "The same for every match.",
    ),
];

const WORKER: &[Row] = &[
    row("id", "(): number", "0."),
    row("count", "(): number", "1."),
    row("pid", "(): number", "The id of Logphase's process."),
    row("pids", "(): {number}", "A list of this id alone."),
    row("exiting", "(): boolean", "False."),
];

const CONFIG: &[Row] = &[
    row("subsystem", "string", "`\"http\"`, or `\"stream\"` for an L4 session.").from("the transaction's kind"),
    row("debug", "boolean", "False."),
    row("nginx_version", "number", "1027001, as in Kong 3.10."),
    row("ngx_lua_version", "number", "10027, as in Kong 3.10."),
    row("prefix", "(): string", "`/usr/local/kong/`."),
    row("nginx_configure", "(): string", "An empty text."),
];

pub(super) const GROUPS: &[Group] = &[
    Group::table("ngx", "OpenResty's functions, as far as the log phase may use them.", &[NGX]),
    Group::table("ngx.req", "The request of the client.", &[REQUEST]),
    Group::table("ngx.resp", "The response to the client.", &[RESPONSE]),
    Group::table("ngx.re", "Regular expressions of PCRE.", &[RE]),
    Group::table("ngx.worker", "The worker process.", &[WORKER]),
    Group::table("ngx.config", "How nginx was built.", &[CONFIG]),
];
