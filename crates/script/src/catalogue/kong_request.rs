//! `kong.request`, `kong.response`, `kong.service` and `kong.client`.

use super::row::{Group, Row, row};

/// The phases in which the consumer and the route are known.
pub(super) const AUTH_AND_LATER: &str = "access, response, header_filter, body_filter, log";
const READ_RESPONSE: &str = "response, header_filter, body_filter, log, error, admin_api";
const READ_SERVICE: &str = "response, header_filter, body_filter, log";
const CHANGE_RESPONSE: &str = "rewrite, access, balancer, response, header_filter, error, admin_api";
const BEFORE_BALANCER: &str = "rewrite, access, balancer, preread";
const UNTIL_BALANCER: &str = "rewrite, access, balancer";
const UNTIL_ACCESS: &str = "rewrite, access";
const TLS: &str = "balancer, preread";

const SAME: &str = "the same";
const QUERY: &str = "`request.querystring`; without it, the query of `request.uri`";

const REQUEST: &[Row] = &[
    row("get_scheme", "(): string?", "`\"http\"` or `\"https\"`.").from("`request.url`; without it, `request.tls`"),
    row("get_host", "(): string?", "The host, in lower case.").from("`request.url`; without it, the `host` header"),
    row("get_port", "(): number?", "The port; 80 or 443 if the request names none.")
        .from("`request.url` or the `host` header"),
    row("get_forwarded_scheme", "(): string?", "The scheme that the client used, before proxies in front.").from(
        "`_context.forwarded_scheme`, else `X-Forwarded-Proto` if the client is in `trusted_ips`, else \
            `get_scheme`",
    ),
    row("get_forwarded_host", "(): string?", "The host that the client asked for, in lower case.")
        .from("`_context.forwarded_host`, else `X-Forwarded-Host` of a trusted client, else `get_host`"),
    row("get_forwarded_port", "(): number?", "The port that the client asked for.").from(
        "`_context.forwarded_port`, else `X-Forwarded-Port` or the port of `X-Forwarded-Host` of a trusted client, \
         else \
         `get_port`",
    ),
    row("get_forwarded_path", "(): string?", "The path that the client asked for, normalized as by `get_path`.")
        .from("`_context.forwarded_path`, else `X-Forwarded-Path` of a trusted client, else `get_path`"),
    row("get_raw_forwarded_path", "(): string?", "The same path as received.")
        .from("`_context.forwarded_path`, else `X-Forwarded-Path` of a trusted client, else `get_raw_path`"),
    row("get_forwarded_prefix", "(): string?", "The part of the path that was stripped, or nil.")
        .from("`_context.forwarded_prefix`, else `X-Forwarded-Prefix` of a trusted client"),
    row("get_id", "(): string", "The id of the request.").from("`request.id`"),
    row(
        "get_path",
        "(): string?",
        "The path, normalized: dot segments resolved, slashes merged, escapes decoded except those of reserved \
         characters.",
    )
    .from("`_context.raw_path`, else `request.uri`"),
    row("get_raw_path", "(): string?", "The path as received.").from(SAME),
    row("get_path_with_query", "(): string", "Path and query as received.").from("`request.uri`"),
    row("get_raw_query", "(): string", "The query without `?`; empty if there is none.").from("`request.uri`"),
    row(
        "get_query",
        "(max_args: number?): (Arguments, string?)",
        "The decoded query arguments; and `\"truncated\"` if there are more than `max_args`.",
    )
    .from(QUERY),
    row(
        "get_query_arg",
        "(name: string): (string | boolean)?",
        "One argument: the first of several, `true` for one without `=`, nil if it is not there.",
    )
    .from(QUERY),
    row(
        "get_header",
        "(name: string): string?",
        "One header: the first of several, nil if it is not there. The name is in any case, with `_` for `-`.",
    )
    .from("`request.headers`"),
    row(
        "get_headers",
        "(max_headers: number?): (Headers, string?)",
        "All headers, in a table that accepts names in any case and with `_` for `-`; and `\"truncated\"` if cut.",
    )
    .from("`request.headers`"),
    row("get_http_version", "(): number", "The version of HTTP, such as 1.1 or 2.")
        .from("`_context.http_version`; 1.1 without it"),
    row("get_method", "(): string?", "The method, in upper case.").from("`request.method`"),
    row("get_start_time", "(): number?", "When the request came in: milliseconds since 1970.")
        .from("`_context.start_time`, else `started_at`"),
    row(
        "get_uri_captures",
        "(): {named: {[string]: string}, unnamed: {[number]: string}}",
        "What the groups of the route's path matched; the whole match is `unnamed[0]`.",
    )
    .from("`_context.uri_captures`"),
    row(
        "get_raw_body",
        "(max_allowed_file_size: number?): (string?, string?)",
        "The body; or nil and an error. Without `_context.request_body`, Kong's error of the wrong phase.",
    )
    .from("`_context.request_body`"),
    row(
        "get_body",
        "(mimetype: string?, max_args: number?): (Arguments?, string?, string?)",
        "The parsed body of a form, of JSON, or the fields of `multipart/form-data`; nil or an error; and the media \
         type.",
    )
    .from("`_context.request_body`"),
];

const RESPONSE: &[Row] = &[
    row(
        "get_status",
        "(): number?",
        "The status that the client \
        got.",
    )
    .from("`response.status`")
    .only_in(READ_RESPONSE),
    row("get_header", "(name: string): string?", "One header, as of requests.")
        .from("`response.headers`")
        .only_in(READ_RESPONSE),
    row("get_headers", "(max_headers: number?): (Headers, string?)", "All headers, as of requests.")
        .from("`response.headers`")
        .only_in(READ_RESPONSE),
    row(
        "get_source",
        "(): string",
        "`\"service\"` if the upstream answered, `\"exit\"` if a plugin did, `\"error\"` if Kong failed.",
    )
    .from(
        "`_context.response_source`, else `source` (`upstream` is `\"service\"`, every source in Kong itself is \
        `\"exit\"`)",
    )
    .only_in(READ_RESPONSE),
    row("get_raw_body", "(): string", "The body. Without `_context.response_body`, Kong's error of the wrong phase.")
        .from("`_context.response_body`"),
    row("set_raw_body", "(body: string): ()", "Replaces the body.").only_in("body_filter"),
    row("set_status", "(status: number): ()", "Sets the status.").only_in(CHANGE_RESPONSE),
    row("set_header", "(name: string, value: string | number | boolean | {string}): ()", "Sets a header.")
        .only_in(CHANGE_RESPONSE),
    row("add_header", "(name: string, value: string | number | boolean | {string}): ()", "Adds a header.")
        .only_in(CHANGE_RESPONSE),
    row("clear_header", "(name: string): ()", "Removes a header.").only_in(CHANGE_RESPONSE),
    row("set_headers", "(headers: {[string]: any}): ()", "Sets several headers.").only_in(CHANGE_RESPONSE),
    row("exit", "(status: number, body: any, headers: {[string]: any}?): ()", "Answers the request.")
        .only_in(CHANGE_RESPONSE),
    row("error", "(status: number, message: string?, headers: {[string]: any}?): ()", "Answers with an error.")
        .only_in(CHANGE_RESPONSE),
];

const SERVICE: &[Row] = &[
    row("set_upstream", "(host: string): (boolean?, string?)", "Chooses the upstream.").only_in("access"),
    row("set_target_retry_callback", "(callback: (...any) -> ...any): ()", "Sets what chooses a target again.")
        .only_in("access"),
    row("set_retries", "(retries: number): ()", "Sets how often a target is tried.").only_in("access"),
    row("set_timeouts", "(connect: number, send: number, read: number): ()", "Sets timeouts, in milliseconds.")
        .only_in("access"),
    row("set_target", "(host: string, port: number): ()", "Chooses the target.").only_in(BEFORE_BALANCER),
    row("set_tls_cert_key", "(chain: any, key: any): (boolean?, string?)", "Sets the client certificate.")
        .only_in(BEFORE_BALANCER),
    row("set_tls_verify", "(on: boolean): (boolean?, string?)", "Sets whether the upstream's certificate is verified.")
        .only_in(BEFORE_BALANCER),
    row("set_tls_verify_depth", "(depth: number): (boolean?, string?)", "Sets the depth of the verification.")
        .only_in(BEFORE_BALANCER),
    row("set_tls_verify_store", "(store: any): (boolean?, string?)", "Sets the trusted certificates.")
        .only_in(BEFORE_BALANCER),
];

const SERVICE_REQUEST: &[Row] = &[
    row("enable_buffering", "(): ()", "Has the upstream's response buffered.").only_in(UNTIL_BALANCER),
    row("set_scheme", "(scheme: string): ()", "Sets the scheme.").only_in(UNTIL_BALANCER),
    row("set_path", "(path: string): ()", "Sets the path.").only_in(UNTIL_BALANCER),
    row("set_header", "(name: string, value: any): ()", "Sets a header.").only_in(UNTIL_BALANCER),
    row("set_raw_body", "(body: string): ()", "Replaces the body.").only_in(UNTIL_BALANCER),
    row("set_raw_query", "(query: string): ()", "Sets the query.").only_in(UNTIL_ACCESS),
    row("set_method", "(method: string): ()", "Sets the method.").only_in(UNTIL_ACCESS),
    row("set_query", "(arguments: {[string]: any}): ()", "Sets the query of a table.").only_in(UNTIL_ACCESS),
    row("clear_query_arg", "(name: string): ()", "Removes an argument.").only_in(UNTIL_ACCESS),
    row("add_header", "(name: string, value: any): ()", "Adds a header.").only_in(UNTIL_ACCESS),
    row("clear_header", "(name: string): ()", "Removes a header.").only_in(UNTIL_ACCESS),
    row("set_headers", "(headers: {[string]: any}): ()", "Sets several headers.").only_in(UNTIL_ACCESS),
    row(
        "set_body",
        "(arguments: {[string]: any}, mimetype: string?): (boolean?, string?)",
        "Sets the body of a table.",
    )
    .only_in(UNTIL_ACCESS),
    row("enable_tls", "(): (boolean?, string?)", "Has the upstream reached with TLS.").only_in(TLS),
    row("disable_tls", "(): (boolean?, string?)", "Has the upstream reached without TLS.").only_in(TLS),
];

const SERVICE_RESPONSE: &[Row] = &[
    row("get_status", "(): number?", "The status that the upstream answered.")
        .from("`_context.service_response.status`, else the last of `upstream_status`")
        .only_in(READ_SERVICE),
    row("get_header", "(name: string): string?", "One header of the upstream, as of requests.")
        .from("`_context.service_response.headers`, else `response.headers`")
        .only_in(READ_SERVICE),
    row("get_headers", "(max_headers: number?): (Headers, string?)", "All headers of the upstream, as of requests.")
        .from(SAME)
        .only_in(READ_SERVICE),
    row("get_raw_body", "(): string", "The body; without one, Kong's error that it was not buffered.")
        .from("`_context.service_response.body`, else `_context.response_body`")
        .only_in(READ_SERVICE),
    row(
        "get_body",
        "(mimetype: string?, max_args: number?): (Arguments?, string?, string?)",
        "The parsed body, as of requests.",
    )
    .from(SAME)
    .only_in(READ_SERVICE),
];

const CLIENT: &[Row] = &[
    row("get_ip", "(): string?", "The address that connected.")
        .from("`_context.vars.realip_remote_addr`, else `client_ip`"),
    row("get_forwarded_ip", "(): string?", "The address of the client behind trusted proxies.")
        .from("`_context.forwarded_ip`, else `client_ip`"),
    row("get_port", "(): number?", "The port that connected.")
        .from("`_context.vars.realip_remote_port`, else `get_forwarded_port`"),
    row("get_forwarded_port", "(): number?", "The port of the client behind trusted proxies.")
        .from("`_context.client_port`, else `_context.vars.remote_port`"),
    row("get_consumer", "(): Entity?", "The authenticated consumer.").from("`consumer`").only_in(AUTH_AND_LATER),
    row("get_credential", "(): Entity?", "The credential of the request, with `id` and `consumer_id`.")
        .from("`authenticated_entity`, and other members from `_context.credential`")
        .only_in(AUTH_AND_LATER),
    row("get_consumer_groups", "(): {Entity}?", "The groups of the consumer, with `name` and `id`.")
        .from("`_context.consumer_groups`; of a name alone, the id is that of Kong without a database")
        .only_in(AUTH_AND_LATER),
    row("get_consumer_group", "(): Entity?", "The first of these groups.").from(SAME).only_in(AUTH_AND_LATER),
    row(
        "load_consumer",
        "(consumer_id: string, search_by_username: boolean?): (Entity?, string?)",
        "The transaction's consumer if it matches; otherwise nil and an error.",
    )
    .from("`consumer`")
    .only_in(AUTH_AND_LATER),
    row("get_token", "(): string?", "The bearer token of the request.").from("`request.headers.authorization`"),
    row(
        "get_jwt_token_payload",
        "(): {[string]: any}?",
        "The claims of that token if it is a JWT. Its signature is not verified.",
    )
    .from(SAME),
    row(
        "get_protocol",
        "(allow_terminated: boolean?): (string?, string?)",
        "The protocol of the route; or nil and an error.",
    )
    .from("`_context.client_protocol`, else the route's only protocol, else the protocol of the URL or the session")
    .only_in(AUTH_AND_LATER),
    row("authenticate", "(consumer: Entity?, credential: Entity?): ()", "Sets the consumer.").only_in("access"),
    row("authenticate_consumer_group_by_consumer_id", "(consumer_id: string): ()", "Sets the groups of a consumer.")
        .only_in("access"),
    row("set_authenticated_consumer_group", "(group: Entity): ()", "Sets the group.").only_in("access"),
    row("set_authenticated_consumer_groups", "(groups: {Entity}): ()", "Sets the groups.").only_in("access"),
];

const CLIENT_TLS: &[Row] = &[
    row("get_full_client_certificate_chain", "(): (string?, string?)", "The certificates of the client, in PEM.")
        .from("`_context.client_certificate_chain`, else `_context.vars.ssl_client_raw_cert`"),
    row("request_client_certificate", "(): (boolean?, string?)", "Asks for a certificate.").only_in("certificate"),
    row("disable_session_reuse", "(): (boolean?, string?)", "Turns off the reuse of sessions.").only_in("certificate"),
    row("set_client_verify", "(result: string): ()", "Sets the result of the verification.")
        .only_in("rewrite, access, balancer, response"),
];

pub(super) const GROUPS: &[Group] = &[
    Group::table("kong.request", "The request of the client.", &[REQUEST]),
    Group::table("kong.response", "The response to the client.", &[RESPONSE]),
    Group::table("kong.service", "The upstream.", &[SERVICE]),
    Group::table("kong.service.request", "The request to the upstream.", &[SERVICE_REQUEST]),
    Group::table("kong.service.response", "The response of the upstream.", &[SERVICE_RESPONSE]),
    Group::table("kong.client", "The client, and who it is.", &[CLIENT]),
    Group::table("kong.client.tls", "The client's connection with TLS.", &[CLIENT_TLS]),
];
