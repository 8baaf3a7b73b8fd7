//! http-log: sends batches of messages to an HTTP server.

use serde_json::{Map, Value};

use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, FLUSH_TIMEOUT, INCLUDE_BODY, KONG_QUEUE, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR,
    QUEUE_SIZE, REDACT, RETRY_COUNT, check_header_name, check_url, convert_old_queue, milliseconds,
};
use super::{Definition, SinkContext, definition::insert_certificate};
use crate::sink::http;
use logphase_config::schema::{Check, Default, Field, Problem, Record, Violation};

/// The plugin.
pub const DEFINITION: Definition = Definition {
    old_names: &["httplog"],
    convert: convert_old_queue,
    durable: true,
    shares_queue_by: SHARES_QUEUE_BY,
    lists_before_3: &["headers"],
    certificate: &["client_certificate", "id"],
    extend_sink_config,
    transport: "http",
    ..Definition::logging("http-log", 12, &SCHEMA, http::open)
};

/// Every field that determines a request. Kong compares only the first five, and sends the messages of all plugins with
/// the other fields of the newest one. Here a message is never sent with the credentials of another plugin, or with less
/// verification than its own plugin requires.
const SHARES_QUEUE_BY: &[&str] =
    &["http_endpoint", "method", "content_type", "timeout", "keepalive", "headers", "ssl_verify", "certificate"];

/// Adds what the sink must know about the queue: whether requests contain arrays, and whether they run in parallel.
fn extend_sink_config(config: &mut Map<String, Value>, context: &SinkContext<'_>) {
    config.insert("array".to_owned(), (context.max_batch_size > 1).into());
    config.insert("parallel".to_owned(), (context.concurrency_limit == -1).into());
    insert_certificate(config, context);
}

static SCHEMA: Record = Record {
    fields: &[
        Field::string("http_endpoint")
            .required()
            .referenceable()
            .checks(&[Check::Custom(check_url)])
            .about("URL to send to; user and password in it become an Authorization header."),
        Field::string("method")
            .default(Default::String("POST"))
            .checks(&[Check::OneOf(&["POST", "PUT", "PATCH"])])
            .about("HTTP method."),
        Field::string("content_type")
            .default(Default::String("application/json"))
            .checks(&[Check::OneOf(&["application/json", "application/json; charset=utf-8"])])
            .about("Content type of the request."),
        milliseconds("timeout", 10_000).about("Milliseconds for connecting, sending and reading."),
        milliseconds("keepalive", 60_000).about("Milliseconds before an idle connection is closed."),
        Field::boolean("ssl_verify")
            .default(Default::Boolean(true))
            .since("3.14")
            .about("Verify the server's certificate."),
        Field::record("client_certificate", &CERTIFICATE).since("3.15").about("Client certificate for mutual TLS."),
        Field::map("headers", &HEADER_NAME, &Field::string("").referenceable()).about("Headers to add to the request."),
        KONG_QUEUE,
        CUSTOM_FIELDS,
        ON_ERROR,
        INCLUDE_BODY,
        MAX_BODY_SIZE,
        BODY_TYPES,
        ON_BODY_ERROR,
        REDACT,
        RETRY_COUNT,
        QUEUE_SIZE,
        FLUSH_TIMEOUT,
    ],
    checks: &[one_authorization],
};

/// A reference to a client certificate.
pub(super) static CERTIFICATE: Record =
    Record::new(&[Field::string("id").required().checks(&[Check::Uuid]).about("Id of an entity in `certificates`.")]);

/// The name of a header that is added to requests.
const HEADER_NAME: Field = Field::string("").checks(&[Check::Custom(check_header)]);

fn check_header(value: &Value) -> Result<(), String> {
    let name = value.as_str().unwrap_or("");
    let reserved = ["Host", "Content-Length", "Content-Type"];
    if let Some(taken) = reserved.into_iter().find(|taken| taken.eq_ignore_ascii_case(name)) {
        return Err(format!("cannot contain '{taken}' header"));
    }
    check_header_name(name)
}

fn one_authorization(config: &Map<String, Value>) -> Result<(), Problem> {
    let url = config.get("http_endpoint").and_then(Value::as_str).unwrap_or("");
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(""));
    let headers = config.get("headers").and_then(Value::as_object);
    let has_header = headers.is_some_and(|map| map.keys().any(|name| name.eq_ignore_ascii_case("authorization")));
    if !(has_header && authority.contains('@')) {
        return Ok(());
    }
    Err(Problem {
        field: "headers",
        message: "an `Authorization` header and user info in `http_endpoint` together".into(),
        kong: Violation::Value(
            "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed".into(),
        ),
    })
}
