//! The fields of entities.
//!
//! Types, defaults and messages are those of Kong Gateway's schemas. Fields that neither the log phase nor a router
//! uses are `unread`: files may have any value for them, requests to the Admin API only what Kong accepts.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::domain::{HostPattern, SniPattern};
use super::network::Network;
use super::path::{self, PathPattern};
use super::route_rules;
use super::service::ServiceUrl;
use super::service_rules;
use crate::plugin::PROTOCOL_NAMES;
use crate::plugin::field::check_host;
use logphase_config::schema::{Check, Default, Field, Problem, Record, Shown, Violation};

/// The id of an entity.
pub(crate) const ID: Field = Field::string("id").checks(&[Check::Uuid]).auto();
/// The name of an entity.
pub(crate) const NAME: Field = Field::string("name").checks(&[Check::Custom(name)]).unique();
/// The tags of an entity.
pub(crate) const TAGS: Field = Field::set("tags", &TAG);
/// One tag.
pub(crate) const TAG: Field = Field::string("").checks(&[Check::Custom(tag)]);
/// When an entity was created, in seconds since 1970.
pub(crate) const CREATED_AT: Field = Field::integer("created_at").checks(&[Check::Custom(timestamp)]).auto().unread();
/// When an entity was changed, in seconds since 1970.
pub(crate) const UPDATED_AT: Field = Field::integer("updated_at").auto().unread();

/// Protocols of services.
pub(super) const SERVICE_PROTOCOLS: &[&str] =
    &["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"];

const TIMEOUT: &[Check] = &[Check::Between(1.0, 2_147_483_646.0)];
const MINUTE: Default = Default::Integer(60_000);
const STRING: Field = Field::string("");

pub(super) static SERVICE: Record = Record::new(&[
    ID,
    CREATED_AT,
    UPDATED_AT,
    NAME,
    Field::integer("retries").default(Default::Integer(5)).checks(&[Check::Between(0.0, 32767.0)]),
    Field::string("protocol").required().default(Default::String("http")).checks(&[Check::OneOf(SERVICE_PROTOCOLS)]),
    Field::string("host").required().checks(&[Check::Custom(check_host)]),
    Field::integer("port").required().default(Default::Integer(80)).checks(&[Check::Between(0.0, 65535.0)]),
    Field::string("path").checks(&[Check::StartsWith("/"), Check::Custom(service_path)]),
    Field::integer("connect_timeout").default(MINUTE).checks(TIMEOUT),
    Field::integer("write_timeout").default(MINUTE).checks(TIMEOUT),
    Field::integer("read_timeout").default(MINUTE).checks(TIMEOUT),
    TAGS,
    Field::foreign("client_certificate", "certificates").unread(),
    Field::boolean("tls_verify"),
    Field::integer("tls_verify_depth").checks(&[Check::Between(0.0, 64.0)]),
    Field::any("tls_sans").shown(Shown::IfSet),
    Field::array("ca_certificates", &Field::string("").checks(&[Check::Uuid])),
    Field::boolean("enabled").required().default(Default::Boolean(true)),
    Field::string("url").checks(&[Check::Custom(parses::<ServiceUrl>)]).shown(Shown::Never),
    in_files("routes"),
    in_files("plugins"),
    in_files("filter_chains"),
    in_files("degraphql_routes"),
    in_files("graphql_ratelimiting_advanced_cost_decoration"),
    in_files("_comment"),
    in_files("_ignore"),
])
.checks(service_rules::RULES);

static ENDPOINT: Record = Record::new(&[
    Field::string("ip").checks(&[Check::Custom(parses::<Network>)]),
    Field::integer("port").checks(&[Check::Between(0.0, 65535.0)]),
])
.checks(&[needs_ip_or_port]);

pub(super) static ROUTE: Record = Record::new(&[
    ID,
    CREATED_AT,
    UPDATED_AT,
    NAME,
    Field::set("protocols", &Field::string("").checks(&[Check::Custom(protocol)]))
        .required()
        .default(Default::Strings(&["http", "https"])),
    Field::set("methods", &Field::string("").checks(&[Check::Custom(method)])),
    Field::array("hosts", &Field::string("").checks(&[Check::Custom(parses::<HostPattern>)])),
    Field::array("paths", &Field::string("").checks(&[Check::Custom(parses::<PathPattern>)])),
    Field::map("headers", &Field::string("").checks(&[Check::Custom(header_name)]), &Field::array("", &STRING)),
    Field::integer("https_redirect_status_code")
        .required()
        .default(Default::Integer(426))
        .checks(&[Check::OneOfNumbers(&[426.0, 301.0, 302.0, 307.0, 308.0])]),
    Field::integer("regex_priority").default(Default::Integer(0)),
    Field::boolean("strip_path"),
    Field::string("path_handling").default(Default::String("v0")).checks(&[Check::OneOf(&["v0", "v1"])]),
    Field::boolean("preserve_host").required().default(Default::Boolean(false)),
    Field::boolean("request_buffering").required().default(Default::Boolean(true)),
    Field::boolean("response_buffering").required().default(Default::Boolean(true)),
    TAGS,
    Field::foreign("service", "services").unread(),
    Field::set("snis", &Field::string("").checks(&[Check::Custom(parses::<SniPattern>)])),
    Field::set("sources", &Field::record("", &ENDPOINT)),
    Field::set("destinations", &Field::record("", &ENDPOINT)),
    Field::string("expression").shown(Shown::IfSet),
    Field::integer("priority").checks(&[Check::Between(0.0, 70_368_744_177_663.0)]).shown(Shown::IfSet),
    in_files("plugins"),
    in_files("filter_chains"),
    in_files("_comment"),
    in_files("_ignore"),
])
.checks(route_rules::RULES);

pub(super) static CONSUMER: Record = Record::new(&[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("username").unique(),
    Field::string("custom_id").unique(),
    TAGS,
    Field::any("type").shown(Shown::IfSet),
    Field::any("username_lower").shown(Shown::Never),
    in_files("groups"),
    in_files("plugins"),
    in_files("acls"),
    in_files("keyauth_credentials"),
    in_files("keyauth_enc_credentials"),
    in_files("basicauth_credentials"),
    in_files("hmacauth_credentials"),
    in_files("jwt_secrets"),
    in_files("oauth2_credentials"),
    in_files("mtls_auth_credentials"),
    in_files("header_cert_auth_credentials"),
    in_files("_comment"),
    in_files("_ignore"),
]);

pub(super) static CONSUMER_GROUP: Record = Record::new(&[
    ID,
    CREATED_AT,
    UPDATED_AT,
    NAME.required(),
    TAGS,
    in_files("consumers"),
    in_files("plugins"),
    in_files("_comment"),
    in_files("_ignore"),
]);

pub(super) static API: Record = Record::new(&[
    ID,
    Field::integer("created_at").auto().unread(),
    Field::string("name").unique(),
    in_old_versions("uris"),
    in_old_versions("hosts"),
    in_old_versions("methods"),
    in_old_versions("upstream_url"),
    in_old_versions("strip_uri"),
    in_old_versions("preserve_host"),
    in_old_versions("retries"),
    in_old_versions("upstream_connect_timeout"),
    in_old_versions("upstream_send_timeout"),
    in_old_versions("upstream_read_timeout"),
    in_old_versions("https_only"),
    in_old_versions("http_if_terminated"),
    in_old_versions("public_dns"),
    in_old_versions("target_url"),
    in_old_versions("path"),
    in_old_versions("request_host"),
    in_old_versions("request_path"),
    in_old_versions("strip_path"),
    in_old_versions("strip_request_path"),
    TAGS.shown(Shown::IfSet),
    in_files("plugins"),
    in_files("_comment"),
    in_files("_ignore"),
]);

pub(super) static CERTIFICATE: Record = Record::new(&[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("cert").required().referenceable(),
    Field::string("key").required().referenceable().secret(),
    Field::string("cert_alt").referenceable().unread(),
    Field::string("key_alt").referenceable().secret().unread(),
    TAGS,
    Field::any("passphrase").shown(Shown::IfSet).secret(),
    Field::set("snis", &STRING).unread().shown(Shown::Never),
    in_files("_comment"),
    in_files("_ignore"),
]);

pub(super) static CLONED_PLUGIN: Record = Record::new(&[
    ID,
    Field::string("name").required(),
    Field::string("ref").required(),
    Field::integer("priority").checks(&[Check::Between(-2_147_483_648.0, 2_147_483_647.0)]),
    TAGS,
    CREATED_AT,
    UPDATED_AT,
    in_files("_comment"),
    in_files("_ignore"),
]);

pub(super) static PLUGIN: Record = Record::new(&[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("name").required(),
    Field::string("instance_name").checks(&[Check::Custom(name)]).unique(),
    Field::foreign("route", "routes").unread(),
    Field::foreign("service", "services").unread(),
    Field::foreign("consumer", "consumers").unread(),
    Field::foreign("consumer_group", "consumer_groups").unread().shown(Shown::IfSet),
    Field::foreign("api", "apis").unread().shown(Shown::IfSet),
    Field::set("protocols", &Field::string("").checks(&[Check::Custom(protocol)])),
    Field::boolean("enabled").required().default(Default::Boolean(true)),
    Field::any("config"),
    TAGS,
    Field::any("ordering").shown(Shown::IfSet),
    Field::string("condition").checks(&[Check::LenMax(1024)]).shown(Shown::IfSet),
    Field::any("model").shown(Shown::IfSet),
    Field::any("partials").shown(Shown::IfSet),
    in_files("route_id"),
    in_files("service_id"),
    in_files("consumer_id"),
    in_files("api_id"),
    in_files("value"),
    in_files("run_on"),
    in_files("_config"),
    in_files("_comment"),
    in_files("_ignore"),
]);

/// A field that only files have.
const fn in_files(name: &'static str) -> Field {
    Field::any(name).shown(Shown::InFiles)
}

/// A field of an API of Kong before 1.0, of one version or another.
const fn in_old_versions(name: &'static str) -> Field {
    Field::any(name).shown(Shown::IfSet)
}

/// Checks the characters of a name (kong/db/schema/typedefs.lua, `utf8_name`).
fn name(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    match text.chars().find(|c| c.is_ascii() && !(c.is_ascii_alphanumeric() || ".-_~".contains(*c))) {
        None => Ok(()),
        Some(_) => Err(format!(
            "invalid value '{text}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
        )),
    }
}

/// Checks the characters of a tag (kong/db/schema/typedefs.lua, `tag`).
fn tag(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let is_bad = |c: char| c.is_ascii_control() || c == ',' || c == '/';
    if !text.chars().any(is_bad) {
        return Ok(());
    }
    Err(format!("invalid tag '{text}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"))
}

/// Checks a protocol of a route or plugin. Kong's text has those of its open source; Kong Gateway has WebSocket's, too.
fn protocol(value: &Value) -> Result<(), String> {
    match PROTOCOL_NAMES.contains(&value.as_str().unwrap_or_default()) {
        true => Ok(()),
        false => Err(format!("expected one of: {}", SERVICE_PROTOCOLS.join(", "))),
    }
}

/// Checks that a time is after the beginning of 1970.
fn timestamp(value: &Value) -> Result<(), String> {
    if value.as_f64().is_some_and(|time| time > 0.0) { Ok(()) } else { Err("expected a valid timestamp".to_owned()) }
}

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

/// A path that every URL can have.
pub(crate) fn service_path(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text.contains("//") {
        return Err(path::PathError::EmptySegment.to_string());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_~/%:@!$&'()*+,;=".contains(c);
    if !text.chars().all(allowed) {
        return Err(format!("invalid path: '{text}' (characters outside of the reserved list of RFC 3986 found)"));
    }
    path::check_encoding(text).map_err(|error| error.to_string())
}

fn needs_ip_or_port(endpoint: &Map<String, Value>) -> Result<(), Problem> {
    if endpoint.contains_key("ip") || endpoint.contains_key("port") {
        return Ok(());
    }
    let kong = Violation::AtLeastOne("at least one of these fields must be non-empty: 'ip', 'port'".to_owned());
    Err(Problem { field: "ip", message: "neither `ip` nor `port`".to_owned(), kong })
}
