//! OpenResty's constants (lua-nginx-module: Core constants, HTTP method constants, HTTP status constants, Nginx log
//! level constants).

use mlua::Table;

const CORE: [(&str, i32); 5] = [("OK", 0), ("ERROR", -1), ("AGAIN", -2), ("DONE", -4), ("DECLINED", -5)];

/// Indexed by number.
pub(super) const LEVELS: [&str; 9] = ["STDERR", "EMERG", "ALERT", "CRIT", "ERR", "WARN", "NOTICE", "INFO", "DEBUG"];

/// The values are powers of two, from 2.
pub(super) const METHODS: [&str; 15] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "OPTIONS",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
    "PATCH",
    "TRACE",
];

const STATUSES: [(&str, i32); 36] = [
    ("CONTINUE", 100),
    ("SWITCHING_PROTOCOLS", 101),
    ("OK", 200),
    ("CREATED", 201),
    ("ACCEPTED", 202),
    ("NO_CONTENT", 204),
    ("PARTIAL_CONTENT", 206),
    ("SPECIAL_RESPONSE", 300),
    ("MOVED_PERMANENTLY", 301),
    ("MOVED_TEMPORARILY", 302),
    ("SEE_OTHER", 303),
    ("NOT_MODIFIED", 304),
    ("TEMPORARY_REDIRECT", 307),
    ("PERMANENT_REDIRECT", 308),
    ("BAD_REQUEST", 400),
    ("UNAUTHORIZED", 401),
    ("PAYMENT_REQUIRED", 402),
    ("FORBIDDEN", 403),
    ("NOT_FOUND", 404),
    ("NOT_ALLOWED", 405),
    ("NOT_ACCEPTABLE", 406),
    ("REQUEST_TIMEOUT", 408),
    ("CONFLICT", 409),
    ("GONE", 410),
    ("UPGRADE_REQUIRED", 426),
    ("TOO_MANY_REQUESTS", 429),
    ("CLOSE", 444),
    ("ILLEGAL", 451),
    ("INTERNAL_SERVER_ERROR", 500),
    ("NOT_IMPLEMENTED", 501),
    ("METHOD_NOT_IMPLEMENTED", 501),
    ("BAD_GATEWAY", 502),
    ("SERVICE_UNAVAILABLE", 503),
    ("GATEWAY_TIMEOUT", 504),
    ("VERSION_NOT_SUPPORTED", 505),
    ("INSUFFICIENT_STORAGE", 507),
];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = (String, i32)> {
    let core = CORE.iter().map(|(name, number)| ((*name).to_owned(), *number));
    let levels = LEVELS.iter().zip(0..).map(|(name, number)| ((*name).to_owned(), number));
    let methods = METHODS.iter().enumerate().map(|(at, name)| (format!("HTTP_{name}"), 2 << at));
    let statuses = STATUSES.iter().map(|(name, number)| (format!("HTTP_{name}"), *number));
    core.chain(levels).chain(methods).chain(statuses)
}

/// Adds all of them to `ngx`.
pub(super) fn add(ngx: &Table) -> mlua::Result<()> {
    all().try_for_each(|(name, number)| ngx.raw_set(name, number))
}
