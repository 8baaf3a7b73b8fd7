//! What `require` gives.

use super::row::{Group, Row, row};
use super::{lua, ngx, penlight};

const CJSON: &[Row] = &[
    row("encode", "(value: any): string", "The value as JSON."),
    row("decode", "(text: string): any", "The value of a JSON text."),
    row("new", "(): any", "An instance with options of its own, which stay."),
];

const CJSON_SAFE: &[Row] = &[
    row("encode", "(value: any): (string?, string?)", "The value as JSON; or nil and an error."),
    row("decode", "(text: string): (any, string?)", "The value of a JSON text; or nil and an error."),
    row("new", "(): any", "An instance with options of its own, which stay."),
];

/// What `cjson` and `cjson.safe` have in common. Without an argument, an option's function returns the present value.
const CJSON_OPTIONS: &[Row] = &[
    row(
        "encode_sparse_array",
        "(convert: boolean?, ratio: number?, safe: number?): (boolean, number, number)",
        "What becomes of lists with gaps.",
    ),
    row("encode_max_depth", "(depth: number?): number", "How deep a value may be."),
    row("encode_number_precision", "(digits: number?): number", "The digits of numbers."),
    row(
        "encode_invalid_numbers",
        "(mode: (boolean | string)?): boolean | string",
        "Whether NaN and infinities are written; `\"null\"` for null.",
    ),
    row("encode_empty_table_as_object", "(on: boolean?): boolean", "Whether an empty table is `{}`."),
    row("encode_escape_forward_slash", "(on: boolean?): boolean", "Whether `/` is written as `\\/`."),
    row(
        "encode_skip_unsupported_value_types",
        "(on: boolean?): boolean",
        "Whether functions and the like are left out.",
    ),
    row("encode_keep_buffer", "(on: boolean?): boolean", "No effect."),
    row("decode_max_depth", "(depth: number?): number", "How deep a text may be."),
    row(
        "decode_array_with_array_mt",
        "(on: boolean?): boolean",
        "Whether arrays keep a mark, so that empty ones stay arrays.",
    ),
    row("decode_invalid_numbers", "(on: boolean?): boolean", "Whether `0x10`, `nan` and the like are numbers."),
    row("null", "any", "`ngx.null`."),
    row("empty_array", "{any}", "A list that is written as `[]`. It is frozen."),
    row("array_mt", "{[any]: any}", "The mark of arrays."),
    row("empty_array_mt", "{[any]: any}", "The mark of arrays."),
    row("_NAME", "string", "The name of the module."),
    row("_VERSION", "string", "The version of lua-cjson."),
];

const TOOLS_CJSON: &[Row] = &[
    row("encode", "(value: any): (string?, string?)", "The value as JSON with 16 digits; or nil and an error."),
    row(
        "decode_with_array_mt",
        "(text: string): (any, string?)",
        "The value of a JSON text, whose arrays keep a mark; or nil and an error.",
    ),
    row("new_array", "(): {any}", "A list that is written as an array if it is empty."),
    row("array_mt", "{[any]: any}", "The mark of arrays."),
];

const STRING: &[Row] = &[
    row(
        "split",
        "(text: string, separator: string?, most: number?): {string}",
        "The parts between separators, by default white space.",
    ),
    row("join", "(separator: string, list: {any}): string", "The elements as one text."),
    row("strip", "(text: any): string", "Without white space at both ends."),
    row(
        "validate_utf8",
        "(text: Text): (boolean, number?)",
        "Whether it is UTF-8; and the position of the first mistake.",
    ),
    row(
        "bytes_to_str",
        "(bytes: number, unit: string?, scale: number?): string",
        "A number of bytes in a unit: `k`, `m` or `g`.",
    ),
    row(
        "try_decode_base64",
        "(value: any): any",
        "The decoded text, or of each element of a list; what is no base64, as it is.",
    ),
    row("replace_dashes", "(text: string): string", "With `_` for `-`."),
    row("replace_dashes_lower", "(text: string): string", "With `_` for `-`, in lower case."),
];

const TABLE: &[Row] = &[
    row("pack", "(...any): {[any]: any}", "A list of the arguments; `n` is their number."),
    row(
        "unpack",
        "(list: {[any]: any}, from: number?, to: number?): ...any",
        "The elements, up to `n` if it is there.",
    ),
    row(
        "table_merge",
        "(one: {[any]: any}?, other: {[any]: any}?): {[any]: any}",
        "A new table with the members of both; those of the second win.",
    ),
    row("table_contains", "(table: {[any]: any}?, value: any): boolean", "Whether a member has this value."),
    row(
        "is_array",
        "(table: any, mode: string?): boolean",
        "Whether it is a list; `mode` is `strict`, `fast` or `lapis`.",
    ),
    row("is_lapis_array", "(table: any): boolean", "Whether it is a list, by lapis' rule."),
    row("deep_copy", "(value: any, with_metatables: boolean?): any", "A copy of all levels, at most 1000."),
    row("shallow_copy", "(value: any): any", "A copy of one level."),
    row(
        "deep_merge",
        "(one: {[any]: any}, other: {[any]: any}): {[any]: any}",
        "A new table with the members of both, on all levels.",
    ),
    row(
        "cycle_aware_deep_copy",
        "(value: any, no_metatables: boolean?, keys: boolean?): any",
        "The same as `deep_copy`, for tables in themselves.",
    ),
    row(
        "cycle_aware_deep_merge",
        "(one: {[any]: any}, other: {[any]: any}, no_metatables: boolean?, keys: boolean?): {[any]: any}",
        "The same as `deep_merge`, for tables in themselves.",
    ),
    row("concat", "(...{any}): {any}", "The elements of all lists."),
    row(
        "add_error",
        "(errors: {[any]: any}?, key: any, problem: any): {[any]: any}",
        "Adds an error to a table of errors.",
    ),
];

const TIME: &[Row] = &[
    row("time_ns", "(): number", "The time in nanoseconds since 1970."),
    row("get_now_ms", "(): number", "The time in milliseconds since 1970."),
    row("get_updated_now_ms", "(): number", "The same."),
    row("get_start_time_ms", "(): number?", "When the request came in, in milliseconds since 1970.")
        .from("`started_at`"),
    row("get_updated_monotonic_ms", "(): number", "Milliseconds of a clock that is never set."),
    row("nginx_conf_time_to_seconds", "(text: string): number", "The seconds of a time in nginx's form: `1h 30m`."),
];

const UUID: &[Row] = &[
    row("uuid", "(): string", "A random UUID."),
    row("is_valid_uuid", "(text: any): boolean", "Whether it is a UUID."),
];

const RAND: &[Row] = &[
    row("get_rand_bytes", "(count: number, urandom: boolean?): string", "Random bytes, at most 65,536."),
    row("random_string", "(): string", "32 random letters and digits."),
];

const IP: &[Row] = &[
    row("is_valid_ipv4", "(text: any): boolean", "Whether it is an address."),
    row("is_valid_ipv6", "(text: any): boolean", "Whether it is an address."),
    row("is_valid_ip", "(text: any): boolean", "Whether it is an address."),
    row("is_valid_cidr_v4", "(text: any): boolean", "Whether it is a network."),
    row("is_valid_cidr_v6", "(text: any): boolean", "Whether it is a network."),
    row("is_valid_cidr", "(text: any): boolean", "Whether it is a network."),
    row("is_valid_ip_or_cidr_v4", "(text: any): boolean", "Whether it is an address or a network."),
    row("is_valid_ip_or_cidr_v6", "(text: any): boolean", "Whether it is an address or a network."),
    row("is_valid_ip_or_cidr", "(text: any): boolean", "Whether it is an address or a network."),
    row("hostname_type", "(host: string): (string?, string?)", "`\"ipv4\"`, `\"ipv6\"` or `\"name\"`."),
    row("normalize_ipv4", "(address: string): (string?, (number | string)?)", "Address and port; or nil and an error."),
    row("normalize_ipv6", "(address: string): (string?, (number | string)?)", "Address and port; or nil and an error."),
    row("check_hostname", "(host: string): (string?, (number | string)?)", "Name and port; or nil and an error."),
    row("normalize_ip", "(host: string): ({[string]: any}?, string?)", "`{type, host, port}`; or nil and an error."),
    row(
        "format_host",
        "(host: any, port: (number | string)?): (string?, string?)",
        "Host and port as in a URL; or nil and an error.",
    ),
];

const SHA256: &[Row] = &[
    row("sha256_bin", "(text: string): string", "The digest as bytes."),
    row("sha256_hex", "(text: string): string", "The digest in hexadecimal digits."),
    row("sha256_base64", "(text: string): string", "The digest in base64."),
    row("sha256_base64url", "(text: string): string", "The digest in base64 for URLs."),
];

const TIMESTAMP: &[Row] = &[
    row("get_utc", "(): number", "The time in milliseconds since 1970, to the second."),
    row("get_utc_ms", "(): number", "The time in milliseconds since 1970."),
    row(
        "get_timestamps",
        "(time: number?): {[string]: number}",
        "When the second, minute, hour, day, month and year began, in milliseconds.",
    ),
    row("get_timetable", "(time: number?): {[string]: number}", "Year, month, day, hour, minute and second."),
    row("timestamp_table_fields", "{string}", "The names of what `get_timestamps` returns."),
];

const CONSTANTS: &[Row] = &[
    row("HEADERS", "{[string]: string}", "Names of Kong's headers."),
    row("RATELIMIT", "{[string]: any}", "The periods of rate limits."),
    row("RESPONSE_SOURCE", "{[string]: any}", "Sources of responses."),
    row("PROTOCOLS", "{string}", "The protocols of routes."),
    row("PROTOCOLS_WITH_SUBSYSTEM", "{[string]: string}", "The subsystem of each protocol."),
    row("LOG_LEVELS", "{[any]: any}", "Levels of logs by number and by name."),
    row("KEY_FORMATS", "{string}", "The forms of keys."),
    row("KEY_FORMATS_MAP", "{[string]: boolean}", "The same as a set."),
    row("CJSON_MAX_PRECISION", "number", "The digits of numbers in JSON."),
];

const META: &[Row] = &[
    row("_NAME", "string", "`kong`."),
    row("_VERSION", "string", "`3.14.0`."),
    row("version", "string", "`3.14.0`."),
    row("_VERSION_TABLE", "{[string]: number}", "The parts of the version."),
    row("_SERVER_TOKENS", "string", "`kong/3.14.0`."),
];

/// A module that makes digests.
const NEW_DIGEST: &[Row] = &[row("new", "(): Digest", "An object that collects texts.")];

const DIGEST: &[Row] = &[
    row("update", "(self, text: Text, length: number?): boolean", "Adds a text."),
    row("final", "(self): string", "The digest of what was added, as bytes."),
    row("reset", "(self): boolean", "Forgets what was added."),
    row("pieces", "{string}", "What was added."),
];

const OPENSSL_DIGEST: &[Row] = &[
    row("update", "(self, ...Text): boolean", "Adds texts."),
    row("final", "(self, text: Text?): string", "The digest of what was added, as bytes."),
    row("reset", "(self): boolean", "Forgets what was added."),
    row("pieces", "{string}", "What was added."),
    row("compute", "(text: string): string", "The digest of a text."),
];

const HMAC: &[Row] = &[
    row("update", "(self, ...Text): boolean", "Adds texts."),
    row(
        "final",
        "(self, text: Text?, hexadecimal: boolean?): string",
        "The digest of what was added, as bytes or in digits.",
    ),
    row("reset", "(self): boolean", "Forgets what was added."),
    row("pieces", "{string}", "What was added."),
    row("compute", "(text: string): string", "The digest of a text."),
];

const COOKIES: &[Row] = &[
    row("get", "(self, name: string): (string?, string?)", "One cookie; nil if it is not there; or nil and an error."),
    row("get_all", "(self): ({[string]: string}?, string?)", "All cookies; or nil and an error."),
    row("set", "(self, cookie: {[string]: any}): never", "Raises an error: the response is over."),
];

const JWT: &[Row] = &[
    row("load_jwt", "(self, token: string): Jwt", "Reads a token."),
    row(
        "verify_jwt_obj",
        "(self, key: string | ((kid: string?) -> string), token: Jwt, ...{[string]: any}): Jwt",
        "Verifies the signature and the claims of what was read.",
    ),
    row(
        "verify",
        "(self, key: string | ((kid: string?) -> string), token: string, ...{[string]: any}): Jwt",
        "Reads a token and verifies it.",
    ),
    row("_VERSION", "string", "The version of lua-resty-jwt."),
];

const TOKEN: &[Row] = &[
    row("valid", "boolean", "Whether it could be read."),
    row("verified", "boolean", "Whether signature and claims hold."),
    row("reason", "string?", "What is wrong, or that nothing is."),
    row("header", "{[string]: any}?", "The head."),
    row("payload", "{[string]: any}?", "The claims."),
    row("signature", "string?", "The signature, in base64 for URLs."),
    row("raw_header", "string?", "The head as it came."),
    row("raw_payload", "string?", "The claims as they came."),
];

const BASE64: &[Row] = &[
    row(
        "encode_base64url",
        "(text: string): (string?, string?)",
        "Base64 for URLs; nil and an error for what is no text.",
    ),
    row("decode_base64url", "(text: string): (string?, string?)", "The bytes; or nil and an error."),
];

const RE: &[Row] = &[
    row(
        "split",
        "(text: Text, pattern: Text, options: string?, ctx: {pos: number?}?, max: number?, into: {string}?): \
         ({string}?, string?)",
        "The parts between matches, and the text of the pattern's groups; or nil and an error.",
    ),
    row("opt", "(...any): ()", "Does nothing."),
];

pub(super) const GROUPS: &[Group] = &[
    Group::module("bit", "The library `bit`.", &[lua::BIT]),
    Group::module("cjson", "JSON; mistakes raise errors.", &[CJSON, CJSON_OPTIONS]),
    Group::module("cjson.safe", "JSON; mistakes return nil and an error.", &[CJSON_SAFE, CJSON_OPTIONS]),
    Group::module("kong.constants", "Kong's constants.", &[CONSTANTS]),
    Group::module("kong.meta", "The version of Kong whose names are offered.", &[META]),
    Group::module("kong.tools.cjson", "Kong's JSON.", &[TOOLS_CJSON]),
    Group::module(
        "kong.tools.gzip",
        "Texts of at most 8 MiB, also expanded.",
        &[&[
            row("deflate_gzip", "(text: string): (string?, string?)", "The text compressed."),
            row("inflate_gzip", "(text: string): (string?, string?)", "The text of a gzip; or nil and an error."),
        ]],
    ),
    Group::module("kong.tools.ip", "Addresses of at most 512 bytes.", &[IP]),
    Group::module(
        "kong.tools.json",
        "`encode` and `decode` of `cjson.safe`.",
        &[&[
            row("encode", "(value: any): (string?, string?)", "The value as JSON; or nil and an error."),
            row("decode", "(text: string): (any, string?)", "The value of a JSON text; or nil and an error."),
        ]],
    ),
    Group::module("kong.tools.rand", "Random texts.", &[RAND]),
    Group::module("kong.tools.sha256", "Digests.", &[SHA256]),
    Group::module("kong.tools.string", "Texts.", &[STRING]),
    Group::module("kong.tools.table", "Tables.", &[TABLE]),
    Group::module("kong.tools.time", "Times.", &[TIME]),
    Group::module("kong.tools.timestamp", "Times in UTC.", &[TIMESTAMP]),
    Group::module(
        "kong.tools.uri",
        "Paths of at most 1 MiB.",
        &[&[
            row(
                "normalize",
                "(uri: string, merge_slashes: boolean?): string",
                "With dot segments resolved and escapes decoded.",
            ),
            row("escape", "(uri: string): string", "With escapes for what is not allowed in a path."),
        ]],
    ),
    Group::module(
        "kong.tools.utils",
        "The functions of `kong.tools.table`, `.uuid`, `.rand`, `.time`, `.string` and `.ip`.",
        &[TABLE, UUID, RAND, TIME, STRING, IP],
    ),
    Group::module("kong.tools.uuid", "UUIDs.", &[UUID]),
    Group::module("ngx.base64", "Base64 for URLs.", &[BASE64]),
    Group::module("ngx.re", "What `ngx.re` lacks.", &[RE]),
    Group::module("ngx.req", "The table `ngx.req`.", &[ngx::REQUEST]),
    Group::module("ngx.resp", "The table `ngx.resp`.", &[ngx::RESPONSE]),
    Group::module(
        "pl.stringx",
        "Penlight's texts. Lists are plain tables, without Penlight's methods.",
        &[penlight::STRINGX],
    ),
    Group::module("pl.tablex", "Penlight's tables. Pass operators as functions.", &[penlight::TABLEX]),
    Group::module(
        "resty.cookie",
        "The cookies of the request.",
        &[&[
            row("new", "(self): Cookies", "An object that reads them.").from("`request.headers.cookie`"),
            row("_VERSION", "string", "The version of lua-resty-cookie."),
        ]],
    ),
    Group::module(
        "resty.hmac",
        "Keyed digests.",
        &[&[
            row("new", "(self, key: string, algorithm: string?): (Hmac?, string?)", "An object that collects texts."),
            row("ALGOS", "{[string]: string}", "Names of algorithms: `MD5`, `SHA1`, `SHA256`, `SHA512`."),
        ]],
    ),
    Group::module("resty.jwt", "JSON Web Tokens.", &[JWT]),
    Group::module("resty.md5", "Digests.", &[NEW_DIGEST]),
    Group::module(
        "resty.openssl.digest",
        "Digests: md5, sha1, sha224, sha256, sha384, sha512.",
        &[&[row(
            "new",
            "(algorithm: string?): (OpensslDigest?, string?)",
            "An object that collects texts; by default sha1.",
        )]],
    ),
    Group::module(
        "resty.openssl.hmac",
        "Keyed digests.",
        &[&[row(
            "new",
            "(key: string, algorithm: string?): (OpensslDigest?, string?)",
            "An object that collects texts; by default sha1.",
        )]],
    ),
    Group::module(
        "resty.openssl.mac",
        "Keyed digests.",
        &[&[row(
            "new",
            "(key: string, kind: string, cipher: nil, algorithm: string): (OpensslDigest?, string?)",
            "An object that collects texts; `kind` is `HMAC`.",
        )]],
    ),
    Group::module(
        "resty.openssl.rand",
        "Random bytes.",
        &[&[row("bytes", "(count: number, is_private: boolean?): string", "Random bytes, at most 65,536.")]],
    ),
    Group::module(
        "resty.random",
        "Random bytes.",
        &[&[row("bytes", "(count: number, is_strong: boolean?): string", "Strong random bytes, at most 65,536.")]],
    ),
    Group::module("resty.sha1", "Digests.", &[NEW_DIGEST]),
    Group::module("resty.sha224", "Digests.", &[NEW_DIGEST]),
    Group::module("resty.sha256", "Digests.", &[NEW_DIGEST]),
    Group::module("resty.sha384", "Digests.", &[NEW_DIGEST]),
    Group::module("resty.sha512", "Digests.", &[NEW_DIGEST]),
    Group::module(
        "resty.string",
        "Texts.",
        &[&[
            row("to_hex", "(text: string): string", "The bytes in hexadecimal digits."),
            row("atoi", "(text: string): number", "The number of a text of digits; -1 for other texts."),
        ]],
    ),
    Group::object("Digest", "Collects texts for a digest.", "require('resty.sha256').new()", &[DIGEST]),
    Group::object(
        "OpensslDigest",
        "Collects texts for a digest.",
        "require('resty.openssl.digest').new('sha256')",
        &[OPENSSL_DIGEST],
    ),
    Group::object("Hmac", "Collects texts for a keyed digest.", "require('resty.hmac'):new('key')", &[HMAC]),
    Group::object("Cookies", "The cookies of the request.", "require('resty.cookie'):new()", &[COOKIES]),
    Group::object(
        "Jwt",
        "A JSON Web Token.",
        "require('resty.jwt'):verify('key', 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln')",
        &[TOKEN],
    ),
];
