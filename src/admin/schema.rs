//! The fields of the entities that the log phase does not use. They are those of Kong 3.10 (kong/db/schema/entities); decK and Kong
//! Manager read and write them.

use logphase_config::schema::{Check, Default, Field, Problem, Record, Violation};
use serde_json::{Map, Value};

use super::address::Address;
use super::upstream_rules;
use crate::entity::SniPattern;
use crate::entity::schema::{CREATED_AT, ID, NAME, TAGS, UPDATED_AT, service_path};

const STRING: Field = Field::string("");
const BYTE: &[Check] = &[Check::Between(0.0, 255.0)];
const PATH: &[Check] = &[Check::StartsWith("/"), Check::Custom(service_path)];
const SECONDS: &[Check] = &[Check::Between(0.0, 65535.0)];

pub(super) static CA_CERTIFICATE: Record = Record::new(&[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("cert").required(),
    Field::string("cert_digest").unique(),
    TAGS,
]);

pub(super) static SNI: Record = Record::new(&[
    ID,
    Field::string("name").required().unique().checks(&[Check::Custom(sni)]),
    CREATED_AT,
    UPDATED_AT,
    TAGS,
    Field::foreign("certificate", "certificates").required(),
]);

pub(super) static VAULT: Record = Record::new(&[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("prefix").required().unique().checks(&[Check::Custom(vault_prefix)]),
    Field::string("name").required(),
    Field::string("description"),
    Field::any("config"),
    TAGS,
]);

pub(super) static KEY_SET: Record = Record::new(&[ID, NAME, TAGS, CREATED_AT, UPDATED_AT]);

static PEM: Record =
    Record::new(&[Field::string("private_key").referenceable().secret(), Field::string("public_key").referenceable()]);

pub(super) static KEY: Record = Record {
    fields: &[
        ID,
        Field::foreign("set", "key_sets"),
        NAME,
        Field::string("kid").required(),
        Field::string("jwk").referenceable().secret(),
        Field::string("x5t"),
        Field::record("pem", &PEM),
        TAGS,
        CREATED_AT,
        UPDATED_AT,
    ],
    checks: &[not_jwk_and_pem, jwk_or_pem],
};

pub(super) static PARTIAL: Record =
    Record::new(&[ID, NAME, Field::string("type").required(), Field::any("config"), TAGS, CREATED_AT, UPDATED_AT]);

/// A consumer in a group.
pub(super) static MEMBERSHIP: Record = Record::new(&[
    ID,
    CREATED_AT,
    Field::foreign("consumer", "consumers").required(),
    Field::foreign("consumer_group", "consumer_groups").required(),
]);

/// A consumer in a group of the plugin acl (kong/plugins/acl/daos.lua).
pub(super) static ACL: Record = Record::new(&[
    ID,
    CREATED_AT,
    Field::foreign("consumer", "consumers").required(),
    Field::string("group").required(),
    TAGS,
]);

pub(super) static TARGET: Record = Record::new(&[
    ID,
    Field::number("created_at").auto(),
    Field::number("updated_at").auto(),
    Field::foreign("upstream", "upstreams").required(),
    Field::string("target").required(),
    Field::integer("weight").default(Default::Integer(100)).checks(&[Check::Between(0.0, 65535.0)]),
    TAGS,
]);

const HASH: &[Check] =
    &[Check::OneOf(&["none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"])];

pub(super) static UPSTREAM: Record = Record::new(&[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("name").required().unique().checks(&[Check::Custom(upstream_name)]),
    Field::string("algorithm").default(Default::String("round-robin")).checks(&[Check::OneOf(&[
        "consistent-hashing",
        "least-connections",
        "round-robin",
        "latency",
    ])]),
    Field::string("hash_on").default(Default::String("none")).checks(HASH),
    Field::string("hash_fallback").default(Default::String("none")).checks(HASH),
    Field::string("hash_on_header").checks(&[Check::Custom(header_name)]),
    Field::string("hash_fallback_header").checks(&[Check::Custom(header_name)]),
    Field::string("hash_on_cookie").checks(&[Check::Custom(cookie_name)]),
    Field::string("hash_on_cookie_path").default(Default::String("/")).checks(PATH),
    Field::string("hash_on_query_arg").checks(&[Check::LenMin(1)]),
    Field::string("hash_fallback_query_arg").checks(&[Check::LenMin(1)]),
    Field::string("hash_on_uri_capture").checks(&[Check::LenMin(1)]),
    Field::string("hash_fallback_uri_capture").checks(&[Check::LenMin(1)]),
    Field::integer("slots").default(Default::Integer(10_000)).checks(&[Check::Between(10.0, 65536.0)]),
    Field::record("healthchecks", &HEALTHCHECKS).required(),
    TAGS,
    Field::string("host_header").checks(&[Check::Custom(host_and_port)]),
    Field::foreign("client_certificate", "certificates"),
    Field::boolean("use_srv_name").default(Default::Boolean(false)),
])
.checks(upstream_rules::RULES);

static HEALTHCHECKS: Record = Record::new(&[
    Field::record("active", &ACTIVE).required(),
    Field::record("passive", &PASSIVE).required(),
    Field::number("threshold").default(Default::Integer(0)).checks(&[Check::Between(0.0, 100.0)]),
]);

const KINDS: &[Check] = &[Check::OneOf(&["tcp", "http", "https", "grpc", "grpcs"])];

static ACTIVE: Record = Record::new(&[
    Field::string("type").default(Default::String("http")).checks(KINDS),
    Field::number("timeout").default(Default::Integer(1)).checks(SECONDS),
    Field::integer("concurrency").default(Default::Integer(10)).checks(&[Check::Between(1.0, 2_147_483_648.0)]),
    Field::string("http_path").default(Default::String("/")).checks(PATH),
    Field::string("https_sni").checks(&[Check::Custom(server_name)]),
    Field::boolean("https_verify_certificate").required().default(Default::Boolean(true)),
    Field::map("headers", &Field::string("").checks(&[Check::Custom(header_name)]), &Field::array("", &STRING)),
    Field::record("healthy", &ACTIVE_HEALTHY).required(),
    Field::record("unhealthy", &ACTIVE_UNHEALTHY).required(),
]);

static PASSIVE: Record = Record::new(&[
    Field::string("type").default(Default::String("http")).checks(KINDS),
    Field::record("healthy", &PASSIVE_HEALTHY).required(),
    Field::record("unhealthy", &PASSIVE_UNHEALTHY).required(),
]);

const fn byte(name: &'static str) -> Field {
    Field::integer(name).default(Default::Integer(0)).checks(BYTE)
}

const fn interval() -> Field {
    Field::number("interval").default(Default::Integer(0)).checks(SECONDS)
}

const STATUS: Field = Field::integer("").checks(&[Check::Between(100.0, 999.0)]);

const fn statuses(default: fn() -> Value) -> Field {
    Field::array("http_statuses", &STATUS).default(Default::List(default))
}

static ACTIVE_HEALTHY: Record =
    Record::new(&[interval(), statuses(|| serde_json::json!([200, 302])), byte("successes")]);

static ACTIVE_UNHEALTHY: Record = Record::new(&[
    interval(),
    statuses(|| serde_json::json!([429, 404, 500, 501, 502, 503, 504, 505])),
    byte("tcp_failures"),
    byte("timeouts"),
    byte("http_failures"),
]);

static PASSIVE_HEALTHY: Record = Record::new(&[
    statuses(|| {
        serde_json::json!([
            200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308
        ])
    }),
    byte("successes"),
]);

static PASSIVE_UNHEALTHY: Record = Record::new(&[
    statuses(|| serde_json::json!([429, 500, 503])),
    byte("tcp_failures"),
    byte("timeouts"),
    byte("http_failures"),
]);

/// Kong's name of a header (kong/tools/http.lua).
fn header_name(value: &Value) -> Result<(), String> {
    let name = value.as_str().unwrap_or_default();
    if name.is_empty() {
        return Err("no header name provided".to_owned());
    }
    match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        true => Ok(()),
        false => Err(format!("bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'")),
    }
}

/// A token of RFC 2616.
fn cookie_name(value: &Value) -> Result<(), String> {
    let name = value.as_str().unwrap_or_default();
    let is_token = |byte: u8| !byte.is_ascii_control() && !b" \t()<>@,;:\\\"/?={}[]".contains(&byte);
    if name.is_empty() {
        return Err("no token provided".to_owned());
    }
    if name.bytes().all(is_token) {
        return Ok(());
    }
    Err("contains one or more invalid characters. ASCII control characters (0-31;127), space, tab and the characters \
         ()<>@,;:\\\"/?={}[] are not allowed."
        .to_owned())
}

fn host_and_port(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    Address::parse(text).map(drop).ok_or_else(|| match text.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_err() && !text.starts_with('[') => "invalid port number".to_owned(),
        _ => format!("invalid hostname: {text}"),
    })
}

fn server_name(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    match Address::parse(text) {
        Some(Address::Name(_, None)) => Ok(()),
        Some(Address::Name(_, Some(_))) => Err("must not have a port".to_owned()),
        Some(_) => Err("must not be an IP".to_owned()),
        None => Err(format!("invalid value: {text}")),
    }
}

fn vault_prefix(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text == "env" {
        return Err("must not be one of: env".to_owned());
    }
    let mut bytes = text.bytes();
    let valid = text.len() > 1
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.ends_with('-');
    if valid { Ok(()) } else { Err(format!("invalid value: {text}")) }
}

fn jwk_or_pem(key: &Map<String, Value>) -> Result<(), Problem> {
    if key.contains_key("jwk") || key.contains_key("pem") {
        return Ok(());
    }
    let kong = Violation::AtLeastOne("at least one of these fields must be non-empty: 'jwk', 'pem'".to_owned());
    Err(Problem { field: "jwk", message: "neither `jwk` nor `pem`".to_owned(), kong })
}

fn not_jwk_and_pem(key: &Map<String, Value>) -> Result<(), Problem> {
    if !(key.contains_key("jwk") && key.contains_key("pem")) {
        return Ok(());
    }
    let kong = "only one or none of these fields must be set: 'jwk', 'pem'".into();
    Err(Problem { field: "pem", message: "both `jwk` and `pem`".to_owned(), kong })
}

pub(super) fn sni(value: &Value) -> Result<(), String> {
    value.as_str().unwrap_or_default().parse::<SniPattern>().map(drop).map_err(|error| error.to_string())
}

fn upstream_name(value: &Value) -> Result<(), String> {
    let name = value.as_str().unwrap_or_default();
    let why = match Address::parse(name) {
        Some(Address::Name(_, None)) => return Ok(()),
        Some(Address::Name(_, Some(_))) => "no port allowed",
        Some(_) => "no ip addresses allowed",
        None => "must be a valid hostname",
    };
    Err(format!("Invalid name ('{name}'); {why}"))
}
