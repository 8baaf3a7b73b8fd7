//! The other members of `kong`.

use super::kong_request::AUTH_AND_LATER;
use super::row::{Group, Row, row};

/// What lines of the log take.
const PARTS: &str = "(...any): ()";

const KONG: &[Row] = &[
    row("version", "string", "The release of Kong whose names are offered: `3.14.0`."),
    row("version_num", "number", "The same as a number: 3014000."),
    row("default_workspace", "string?", "The id of the workspace.").from("`workspace`"),
];

const LOG: &[Row] = &[
    row(
        "",
        PARTS,
        "Writes one line at level notice, with the plugin's name: its arguments joined, control characters \
        escaped, at most 4096 bytes.",
    ),
    row("emerg", PARTS, "Writes a line at this level."),
    row("alert", PARTS, "Writes a line at this level."),
    row("crit", PARTS, "Writes a line at this level."),
    row("err", PARTS, "Writes a line at this level."),
    row("warn", PARTS, "Writes a line at this level."),
    row("notice", PARTS, "Writes a line at this level."),
    row("info", PARTS, "Writes a line at this level."),
    row("debug", PARTS, "Writes a line at this level."),
    row("trace", "(): ()", "Does nothing."),
    row(
        "set_serialize_value",
        "(key: string, value: any, options: {mode: (\"set\" | \"add\" | \"replace\")?}?): ()",
        "Edits the message, as a field does. `key` is a key path: `request.headers.x-tenant`.",
    ),
    row(
        "serialize",
        "(options: {[string]: any}?): {[string]: any}",
        "A copy of the current message; without headers if `options.__skip_fetch_headers__` is set. Names of headers \
         match in any case.",
    )
    .only_in("log"),
    row("set_format", "(format: string?): ()", "Checks its argument and does nothing."),
    row(
        "new",
        "(namespace: string, format: string?): any",
        "The same functions; their lines start with \
        `[namespace]`.",
    ),
];

const INSPECT: &[Row] = &[
    row(
        "",
        PARTS,
        "Logs values on one line at level notice: tables with their members, functions and other objects by kind and \
         number.",
    ),
    row("print", PARTS, "The same."),
    row("on", "(): ()", "Turns `inspect` on again."),
    row("off", "(): ()", "Turns `inspect` off until the plugin's snippets have finished with the transaction."),
];

const DEPRECATION: &[Row] = &[
    row("", PARTS, "Logs a warning; a table `{after, removal}` as the last argument names the releases."),
    row("write", PARTS, "Logs a warning."),
];

const ROUTER: &[Row] = &[
    row("get_route", "(): Entity?", "The route of the transaction.").from("`route`").only_in(AUTH_AND_LATER),
    row("get_service", "(): Entity?", "Its service.").from("`service`").only_in(AUTH_AND_LATER),
];

const CTX: &[Row] = &[
    row("shared", "{[any]: any}", "A table that all snippets of one transaction share.")
        .from("starts as `_context.shared`"),
    row("plugin", "{[any]: any}", "A table of one plugin, for one transaction.").from("starts empty"),
    row("core", "{[any]: any}", "A table of the transaction.").from("starts empty"),
];

const NODE: &[Row] = &[
    row("get_id", "(): string", "The id of the proxy's node.").from("`_context.node.id`; without it, this process's"),
    row("get_hostname", "(): string", "The host name of the proxy's node.")
        .from("`_context.node.hostname`; without it, this machine's"),
    row(
        "get_memory_stats",
        "(unit: string?, scale: number?): {[string]: any}",
        "The memory of this VM, in Kong's form; `lua_shared_dicts` is empty.",
    ),
];

const TABLE: &[Row] = &[
    row("new", "(elements: number?, members: number?): {[any]: any}", "An empty table with room."),
    row("clear", "(table: {[any]: any}): ()", "Removes all members."),
    row(
        "merge",
        "(one: {[any]: any}?, other: {[any]: any}?): {[any]: any}",
        "A new table with the members of both; those of the second win.",
    ),
];

const NGINX: &[Row] = &[
    row("get_subsystem", "(): string", "`\"http\"`, or `\"stream\"` for an L4 session.").from("the transaction's kind"),
    row("get_statistics", "(): {[string]: number}", "The counters of the proxy's connections.")
        .from("`_context.node.statistics`; 0 without it"),
];

const CONFIGURATION: &[Row] = &[
    row("untrusted_lua", "string", "`\"sandbox\"` or `\"strict\"`.").from("the setting"),
    row("untrusted_lua_sandbox_requires", "{string}", "Modules that can be required in addition.").from("the setting"),
    row("untrusted_lua_sandbox_environment", "{string}", "Names that are available in addition.").from("the setting"),
    row("trusted_ips", "{string}", "The networks of trusted proxies.").from("the setting `trusted_ips`"),
    row("lua_max_req_headers", "number", "Headers of a request that functions return.").from("`lua.max_req_headers`"),
    row("lua_max_resp_headers", "number", "Headers of a response that functions return.")
        .from("`lua.max_resp_headers`"),
    row("lua_max_uri_args", "number", "Arguments of a query that functions return.").from("`lua.max_uri_args`"),
    row("lua_max_post_args", "number", "Arguments of a form that functions return.").from("`lua.max_post_args`"),
    row("remove_sensitive", "(): {[string]: any}", "A copy of these settings; none is secret."),
];

const VAULT: &[Row] = &[
    row("get", "(reference: string): (string?, string?)", "The secret; or nil and an error.")
        .from("the environment variables that [`vault.env.allow`](vaults.md) names"),
    row("is_reference", "(reference: any): boolean", "Whether it is a reference like `{vault://env/name}`."),
    row(
        "parse_reference",
        "(reference: string): ({[string]: any}?, string?)",
        "The parts of a reference; or nil and an error.",
    ),
];

/// What the functions of a tracer take and give while tracing is off.
const NOTHING: &str = "(...any): ()";

const TRACING: &[Row] = &[
    row("", "(...any): any", "The same tracer."),
    row("start_span", "(name: string?, options: {[string]: any}?): Span", "A span that records nothing."),
    row("create_span", "(...any): Span", "A span that records nothing."),
    row("active_span", NOTHING, "Nothing: tracing is off."),
    row("set_active_span", NOTHING, "Nothing: tracing is off."),
    row("get_root_span", NOTHING, "Nothing: tracing is off."),
    row("get_spans", NOTHING, "Nothing: tracing is off."),
    row("init_spans", NOTHING, "Nothing: tracing is off."),
    row("link_span", NOTHING, "Nothing: tracing is off."),
    row("process_span", NOTHING, "Nothing: tracing is off."),
    row("set_should_sample", NOTHING, "Nothing: tracing is off."),
    row("get_sampling_decision", NOTHING, "Nothing: tracing is off."),
    row("new", "(...any): any", "The same tracer."),
    row("name", "string", "`\"noop\"`."),
    row("spans_table_key", "string", "`\"noop\"`."),
];

const CACHE: &[Row] = &[
    row(
        "get",
        "(self, key: string, options: CacheOptions?, callback: ((...any) -> ...any)?, ...any): (any, string?, number?)",
        "The stored value, else that of the callback, which is stored; an error; and the hit level: 1 for a stored \
         value, 3 for the callback's, -1 for neither.",
    ),
    row(
        "renew",
        "(self, key: string, options: CacheOptions?, callback: (...any) -> ...any, ...any): (any, string?, number?)",
        "Stores the callback's value in any case; the value, an error, and its lifetime.",
    ),
    row(
        "get_bulk",
        "(self, bulk: {[any]: any}, options: {[string]: any}?): {[any]: any}",
        "Several `get`: four members for each, `n` operations; three results for each.",
    ),
    row(
        "probe",
        "(self, key: string): (number?, string?, any)",
        "The seconds until the value expires, nil, and the value; nils if it is not stored.",
    ),
    row(
        "safe_set",
        "(self, key: string, value: any): (boolean?, string?)",
        "Stores a value for an hour; or nil and an error.",
    ),
    row("invalidate", "(self, key: string): ()", "Removes a value."),
    row("invalidate_local", "(self, key: string): ()", "Removes a value."),
    row("purge", "(self): ()", "Removes all values."),
];

const SPAN: &[Row] = &[
    row("is_recording", "boolean", "False."),
    row("finish", NOTHING, "Does nothing."),
    row("set_attribute", NOTHING, "Does nothing."),
    row("add_event", NOTHING, "Does nothing."),
    row("record_error", NOTHING, "Does nothing."),
    row("set_status", NOTHING, "Does nothing."),
    row("each_baggage_item", "(...any): () -> ()", "An iterator over nothing."),
];

pub(super) const GROUPS: &[Group] = &[
    Group::table("kong", "Kong's plugin development kit, on a finished transaction.", &[KONG]),
    Group::table("kong.log", "Lines of the log, and edits of the message.", &[LOG]),
    Group::table("kong.log.inspect", "Values in the log.", &[INSPECT]),
    Group::table("kong.log.deprecation", "Warnings of what will go.", &[DEPRECATION]),
    Group::table("kong.router", "The route of the transaction.", &[ROUTER]),
    Group::table("kong.ctx", "Tables that live as long as the transaction.", &[CTX]),
    Group::table("kong.node", "The node of the proxy.", &[NODE]),
    Group::table(
        "kong.ip",
        "Addresses.",
        &[&[row("is_trusted", "(address: string): boolean", "Whether the address is that of a trusted proxy.")
            .from("the setting `trusted_ips`")]],
    ),
    Group::table("kong.table", "Tables.", &[TABLE]),
    Group::table(
        "kong.plugin",
        "The plugin that runs.",
        &[&[row("get_id", "(): string?", "Its `id` in the configuration, or one derived from its name and scope.")]],
    ),
    Group::table("kong.nginx", "The proxy's nginx.", &[NGINX]),
    Group::table(
        "kong.cluster",
        "The proxy's cluster.",
        &[&[row("get_id", "(): (string?, string?)", "The id of the cluster; or nil and an error.")
            .from("`_context.node.cluster_id`")]],
    ),
    Group::table(
        "kong.telemetry",
        "Logs of OpenTelemetry.",
        &[&[row(
            "log",
            "(plugin_name: string, plugin_config: {[string]: any}, message_type: string, message: string?, \
             attributes: {[string]: any}?): (nil, string)",
            "Nil and Kong's error that it is turned off.",
        )]],
    ),
    Group::table("kong.configuration", "The settings that Kong has, too.", &[CONFIGURATION]),
    Group::table("kong.vault", "Secrets.", &[VAULT]),
    Group::table("kong.tracing", "Kong's tracer while tracing is off.", &[TRACING]),
    Group::table("kong.cache", "A cache for snippets, called with a colon.", &[CACHE]),
    Group::object("Span", "A span of `kong.tracing`.", "kong.tracing.start_span('x')", &[SPAN]),
];
