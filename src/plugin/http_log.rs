//! http-log: to an HTTP server, in batches.

use serde_json::{Map, Value};

use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, REDACT, check_url, milliseconds,
};
use super::{ANY, Definition, HTTP};
use crate::queue_options;
use crate::sink::{http, parse};
use logphase_config::schema::{Check, Default, Field, Problem, Record};
use logphase_script::message::Include;

/// The plugin.
pub const DEFINITION: Definition = Definition {
    name: http::NAME,
    old_names: &["httplog"],
    priority: 12,
    protocols: ANY,
    default_protocols: HTTP,
    on_consumer: true,
    on_consumer_group: true,
    schema: &SCHEMA,
    convert,
    emits: true,
    include_body: Include::OFF,
    open: Some(|config, shared| http::open(&parse(http::NAME, config)?, shared)),
};

static SCHEMA: Record = Record {
    fields: &[
        Field::string("http_endpoint")
            .required()
            .checks(&[Check::Custom(check_url)])
            .about("URL to send to; user and password in it become an Authorization header."),
        Field::string("method")
            .default(Default::String("POST"))
            .checks(&[Check::OneOf(&["POST", "PUT", "PATCH"])])
            .about("The request's method."),
        Field::string("content_type")
            .default(Default::String("application/json"))
            .checks(&[Check::OneOf(&["application/json", "application/json; charset=utf-8"])])
            .about("The request's content type."),
        milliseconds("timeout", 10_000).about("Milliseconds for connecting, sending and reading."),
        milliseconds("keepalive", 60_000).about("Milliseconds that an idle connection is kept."),
        Field::boolean("ssl_verify")
            .default(Default::Boolean(true))
            .since("3.14")
            .about("Verify the server's certificate."),
        Field::record("client_certificate", &CERTIFICATE).since("3.15").about("Certificate for mutual TLS."),
        Field::map("headers", &HEADER_NAME, &Field::string("")).about("Headers to add to the request."),
        Field::record("queue", &queue_options::PLUGIN_WITH_DEFAULTS)
            .required()
            .about("Bounds and retries of the plugin's queue."),
        CUSTOM_FIELDS,
        ON_ERROR,
        INCLUDE_BODY,
        MAX_BODY_SIZE,
        BODY_TYPES,
        ON_BODY_ERROR,
        REDACT,
        Field::integer("retry_count").instead("`queue.max_retry_time`"),
        Field::integer("queue_size").instead("`queue.max_batch_size`"),
        Field::number("flush_timeout").instead("`queue.max_coalescing_delay`"),
    ],
    checks: &[one_authorization],
};

static CERTIFICATE: Record =
    Record::new(&[Field::string("id").required().checks(&[Check::Uuid]).about("Id of a certificate entity.")]);

const HEADER_NAME: Field = Field::string("").checks(&[Check::Custom(check_header)]);

/// The fields from before Kong had queues: they win over the queue's, and `retry_count` has no meaning any more.
fn convert(config: &mut Map<String, Value>) {
    config.remove("retry_count");
    for (old, new) in [("queue_size", "max_batch_size"), ("flush_timeout", "max_coalescing_delay")] {
        if let (Some(value), Some(queue)) = (config.remove(old), config.get_mut("queue")) {
            queue[new] = value;
        }
    }
}

fn check_header(value: &Value) -> Result<(), String> {
    let name = value.as_str().unwrap_or("");
    let ours = ["Host", "Content-Length", "Content-Type"];
    if let Some(taken) = ours.into_iter().find(|taken| taken.eq_ignore_ascii_case(name)) {
        return Err(format!("cannot contain '{taken}' header"));
    }
    let sound = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if sound {
        return Ok(());
    }
    Err(format!("bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"))
}

fn one_authorization(config: &Map<String, Value>) -> Result<(), Problem> {
    let url = config.get("http_endpoint").and_then(Value::as_str).unwrap_or("");
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(""));
    let headers = config.get("headers").and_then(Value::as_object);
    let given = headers.is_some_and(|map| map.keys().any(|name| name.eq_ignore_ascii_case("authorization")));
    if !(given && authority.contains('@')) {
        return Ok(());
    }
    Err(Problem {
        field: "headers",
        message: "an `Authorization` header and user info in `http_endpoint` together".into(),
        kong: "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed".into(),
    })
}
