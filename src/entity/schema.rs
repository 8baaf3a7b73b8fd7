//! The fields of entities.
//!
//! Types, defaults and messages are those of Kong Gateway's schemas. Fields that neither the log phase nor a router
//! uses accept any value.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::domain::{HostPattern, SniPattern};
use super::network::Network;
use super::path::{self, PathPattern};
use super::route_rules;
use super::service::ServiceUrl;
use crate::plugin::PROTOCOL_NAMES;
use logphase_config::schema::{Check, Default, Field, Problem, Record};

const ID: Field = Field::string("id").checks(&[Check::Uuid]);
const NAME: Field = Field::string("name");
const TAGS: Field = Field::set("tags", &Field::string(""));

/// Protocols of services.
pub(super) const SERVICE_PROTOCOLS: &[&str] =
    &["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"];

const TIMEOUT: &[Check] = &[Check::Between(1.0, 2_147_483_646.0)];
const MINUTE: Default = Default::Integer(60_000);
const STRING: Field = Field::string("");

pub(super) static SERVICE: Record = Record::new(&[
    ID,
    NAME,
    TAGS,
    Field::boolean("enabled"),
    Field::string("url").checks(&[Check::Custom(parses::<ServiceUrl>)]),
    Field::string("protocol").default(Default::String("http")).checks(&[Check::OneOf(SERVICE_PROTOCOLS)]),
    Field::string("host").required(),
    Field::integer("port").default(Default::Integer(80)).checks(&[Check::Between(0.0, 65535.0)]),
    Field::string("path").checks(&[Check::StartsWith("/"), Check::Custom(service_path)]),
    Field::integer("retries").default(Default::Integer(5)).checks(&[Check::Between(0.0, 32767.0)]),
    Field::integer("connect_timeout").default(MINUTE).checks(TIMEOUT),
    Field::integer("write_timeout").default(MINUTE).checks(TIMEOUT),
    Field::integer("read_timeout").default(MINUTE).checks(TIMEOUT),
    Field::any("client_certificate"),
    Field::array("ca_certificates", &Field::string("").checks(&[Check::Uuid])),
    Field::boolean("tls_verify"),
    Field::integer("tls_verify_depth").checks(&[Check::Between(0.0, 64.0)]),
    Field::any("tls_sans"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("routes"),
    Field::any("plugins"),
    Field::any("filter_chains"),
    Field::any("degraphql_routes"),
    Field::any("graphql_ratelimiting_advanced_cost_decoration"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

static ENDPOINT: Record = Record::new(&[
    Field::string("ip").checks(&[Check::Custom(parses::<Network>)]),
    Field::integer("port").checks(&[Check::Between(0.0, 65535.0)]),
])
.checks(&[needs_ip_or_port]);

pub(super) static ROUTE: Record = Record::new(&[
    ID,
    NAME,
    TAGS,
    Field::set("protocols", &Field::string("").checks(&[Check::OneOf(PROTOCOL_NAMES)]))
        .default(Default::Strings(&["http", "https"])),
    Field::set("methods", &Field::string("").checks(&[Check::Custom(method)])),
    Field::array("hosts", &Field::string("").checks(&[Check::Custom(parses::<HostPattern>)])),
    Field::array("paths", &Field::string("").checks(&[Check::Custom(parses::<PathPattern>)])),
    Field::map("headers", &Field::string("").checks(&[Check::Custom(header_name)]), &Field::array("", &STRING)),
    Field::set("snis", &Field::string("").checks(&[Check::Custom(parses::<SniPattern>)])),
    Field::set("sources", &Field::record("", &ENDPOINT)),
    Field::set("destinations", &Field::record("", &ENDPOINT)),
    Field::string("expression"),
    Field::integer("priority").checks(&[Check::Between(0.0, 70_368_744_177_663.0)]),
    Field::integer("regex_priority").default(Default::Integer(0)),
    Field::boolean("strip_path"),
    Field::string("path_handling").default(Default::String("v0")).checks(&[Check::OneOf(&["v0", "v1"])]),
    Field::boolean("preserve_host").default(Default::Boolean(false)),
    Field::boolean("request_buffering").default(Default::Boolean(true)),
    Field::boolean("response_buffering").default(Default::Boolean(true)),
    Field::integer("https_redirect_status_code")
        .default(Default::Integer(426))
        .checks(&[Check::OneOfNumbers(&[426.0, 301.0, 302.0, 307.0, 308.0])]),
    Field::any("service"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("plugins"),
    Field::any("filter_chains"),
    Field::any("_comment"),
    Field::any("_ignore"),
])
.checks(route_rules::RULES);

pub(super) static CONSUMER: Record = Record::new(&[
    ID,
    Field::string("username"),
    Field::string("custom_id"),
    TAGS,
    Field::any("type"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("username_lower"),
    Field::any("groups"),
    Field::any("plugins"),
    Field::any("acls"),
    Field::any("keyauth_credentials"),
    Field::any("keyauth_enc_credentials"),
    Field::any("basicauth_credentials"),
    Field::any("hmacauth_credentials"),
    Field::any("jwt_secrets"),
    Field::any("oauth2_credentials"),
    Field::any("mtls_auth_credentials"),
    Field::any("header_cert_auth_credentials"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

pub(super) static CONSUMER_GROUP: Record = Record::new(&[
    ID,
    NAME.required(),
    TAGS,
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("consumers"),
    Field::any("plugins"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

pub(super) static API: Record = Record::new(&[
    ID,
    NAME,
    TAGS,
    Field::any("uris"),
    Field::any("hosts"),
    Field::any("methods"),
    Field::any("upstream_url"),
    Field::any("strip_uri"),
    Field::any("preserve_host"),
    Field::any("retries"),
    Field::any("upstream_connect_timeout"),
    Field::any("upstream_send_timeout"),
    Field::any("upstream_read_timeout"),
    Field::any("https_only"),
    Field::any("http_if_terminated"),
    Field::any("public_dns"),
    Field::any("target_url"),
    Field::any("path"),
    Field::any("request_host"),
    Field::any("request_path"),
    Field::any("strip_path"),
    Field::any("strip_request_path"),
    Field::any("created_at"),
    Field::any("plugins"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

pub(super) static CERTIFICATE: Record = Record::new(&[
    ID,
    Field::string("cert").required().referenceable(),
    Field::string("key").required().referenceable(),
    Field::any("cert_alt"),
    Field::any("key_alt"),
    Field::any("passphrase"),
    TAGS,
    Field::any("snis"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

pub(super) static CLONED_PLUGIN: Record = Record::new(&[
    ID,
    NAME.required(),
    Field::string("ref").required(),
    Field::integer("priority").checks(&[Check::Between(-2_147_483_648.0, 2_147_483_647.0)]),
    TAGS,
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

pub(super) static PLUGIN: Record = Record::new(&[
    ID,
    NAME.required(),
    Field::string("instance_name"),
    Field::boolean("enabled").default(Default::Boolean(true)),
    Field::set("protocols", &Field::string("").checks(&[Check::OneOf(PROTOCOL_NAMES)])),
    TAGS,
    Field::any("config"),
    Field::any("route"),
    Field::any("service"),
    Field::any("consumer"),
    Field::any("consumer_group"),
    Field::any("model"),
    Field::any("api"),
    Field::any("route_id"),
    Field::any("service_id"),
    Field::any("consumer_id"),
    Field::any("api_id"),
    Field::any("value"),
    Field::any("ordering"),
    Field::string("condition").checks(&[Check::LenMax(1024)]),
    Field::any("partials"),
    Field::any("run_on"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("_config"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

/// Checks that `T` can parse the string.
fn parses<T: FromStr<Err: Display>>(value: &Value) -> Result<(), String> {
    value.as_str().unwrap_or_default().parse::<T>().map(drop).map_err(|error| error.to_string())
}

fn method(value: &Value) -> Result<(), String> {
    let method = value.as_str().unwrap_or_default();
    match method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => Ok(()),
        false => Err(format!("invalid value: {method}")),
    }
}

fn header_name(value: &Value) -> Result<(), String> {
    let name = value.as_str().unwrap_or_default();
    if name.eq_ignore_ascii_case("host") {
        return Err("cannot contain 'host' header, which must be specified in the 'hosts' attribute".to_owned());
    }
    match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        true => Ok(()),
        false => Err(format!("bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'")),
    }
}

fn service_path(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text.contains("//") {
        return Err(path::PathError::EmptySegment.to_string());
    }
    path::check_encoding(text).map_err(|error| error.to_string())
}

fn needs_ip_or_port(endpoint: &Map<String, Value>) -> Result<(), Problem> {
    if endpoint.contains_key("ip") || endpoint.contains_key("port") {
        return Ok(());
    }
    let kong = "at least one of these fields must be non-empty: 'ip', 'port'".to_owned();
    Err(Problem { field: "ip", message: "neither `ip` nor `port`".to_owned(), kong })
}
