//! opentelemetry: sends access logs as log records of OpenTelemetry. Kong's traces, metrics and log lines stay in Kong.

use serde_json::{Map, Value, json};

use super::field::{
    BODY_TYPES, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, REDACT, check_header_name, check_url,
    milliseconds,
};
use super::http_log::CERTIFICATE;
use super::{Definition, LeftToKong, LuaFields, SinkContext, definition::insert_certificate};
use crate::options::queue;
use crate::sink::otlp;
use logphase_config::schema::{Check, Default, Field, Problem, Record, Shown, Type, Violation};

/// The plugin.
pub const DEFINITION: Definition = Definition {
    convert,
    durable: true,
    fields: LuaFields { path: &["access_logs", "custom_attributes_by_lua"], are_attributes: true },
    left_to_kong,
    certificate: &["client_certificate", "id"],
    extend_sink_config,
    transport: "otlp",
    ..Definition::logging("opentelemetry", 14, &SCHEMA, otlp::open)
};

/// The fields of what is not sent from here.
const WITHOUT_EFFECT: [&str; 8] = [
    "traces_endpoint",
    "logs_endpoint",
    "metrics",
    "http_response_header_for_traceid",
    "header_type",
    "sampling_rate",
    "sampling_strategy",
    "propagation",
];

/// The fields with an endpoint, of which one must be set.
const ENDPOINTS: [&str; 4] = ["traces_endpoint", "logs_endpoint", "access_logs.endpoint", "metrics.endpoint"];

static SCHEMA: Record = Record {
    fields: &[
        Field::record("access_logs", &ACCESS_LOGS)
            .since("3.14")
            .about("Access logs: a log record for each transaction."),
        endpoint("traces_endpoint").since("3.8").about("No effect: traces are not sent from here."),
        endpoint("logs_endpoint")
            .since("3.8")
            .about("No effect: it is for Kong's own log lines, which are not sent from here."),
        Field::record("metrics", &METRICS).since("3.13").about("No effect: metrics are not sent from here."),
        Field::string("protocol").checks(&[Check::OneOf(otlp::Protocol::NAMES)]).extension().about(
            "How records are sent; default: `http/protobuf`, as Kong does. With `grpc`, the endpoint has no path.",
        ),
        Field::string("compression")
            .checks(&[Check::OneOf(otlp::Compression::NAMES)])
            .extension()
            .about("Compression of requests; default: none."),
        Field::map("headers", &HEADER_NAME, &Field::string("").referenceable())
            .about("Headers to add to requests; with `grpc`, metadata."),
        Field::map("resource_attributes", &Field::string(""), &Field::string(""))
            .about("Attributes of the resource; `service.name` is `kong` unless it is here."),
        Field::record("queue", &queue::PLUGIN_WITH_LARGE_BATCHES)
            .required()
            .about("Limits and retries of the plugin's queue."),
        milliseconds("connect_timeout", 1000).about("Milliseconds for connecting."),
        milliseconds("send_timeout", 5000).about("Milliseconds for progress in sending."),
        milliseconds("read_timeout", 5000).about("Milliseconds for the answer."),
        Field::boolean("ssl_verify").extension().about("Verify the receiver's certificate; default: true."),
        Field::record("client_certificate", &CERTIFICATE).extension().about("Client certificate for mutual TLS."),
        Field::string("http_response_header_for_traceid").about("No effect: it is for the response."),
        Field::string("header_type")
            .default(Default::String("preserve"))
            .checks(&[Check::OneOf(HEADER_TYPES)])
            .about("No effect: trace headers are for the request."),
        Field::number("sampling_rate").checks(&[Check::Between(0.0, 1.0)]).about("No effect: it is for traces."),
        Field::string("sampling_strategy")
            .default(Default::String("parent_drop_probability_fallback"))
            .checks(&[Check::OneOf(&["parent_drop_probability_fallback", "parent_probability_fallback"])])
            .since("3.11")
            .about("No effect: it is for traces."),
        Field::record("propagation", &PROPAGATION)
            .required()
            .since("3.7")
            .about("No effect: trace headers are for the request."),
        ON_ERROR,
        INCLUDE_BODY,
        MAX_BODY_SIZE,
        BODY_TYPES,
        ON_BODY_ERROR,
        REDACT,
        endpoint("endpoint").instead("`traces_endpoint`").shown(Shown::IfSet),
        endpoint("access_logs_endpoint").instead("`access_logs.endpoint`").shown(Shown::IfSet),
        Field::integer("batch_span_count").instead("`queue.max_batch_size`"),
        Field::integer("batch_flush_delay").instead("`queue.max_coalescing_delay`"),
    ],
    checks: &[one_endpoint],
};

static ACCESS_LOGS: Record = Record::new(&[
    endpoint("endpoint").about(
        "URL to send to, like `http://collector:4318/v1/logs`; user and password in it become an \
                                Authorization header.",
    ),
    Field::map(
        "custom_attributes_by_lua",
        &Field::string("").about("Name of the attribute."),
        &Field::string("").about("Lua code that returns the attribute's value; nil removes the attribute."),
    )
    .about("Attributes that Lua snippets add, change or remove."),
]);

static METRICS: Record = Record::new(&[
    endpoint("endpoint").about("No effect."),
    Field::number("push_interval").default(Default::Integer(60)).about("No effect."),
    off("enable_ai_metrics"),
    off("enable_bandwidth_metrics"),
    off("enable_consumer_attribute"),
    off("enable_latency_metrics"),
    off("enable_request_metrics"),
    off("enable_upstream_health_metrics"),
]);

static PROPAGATION: Record = Record::new(&[
    Field::array("extract", &Field::string("").checks(&[Check::OneOf(EXTRACTORS)])).about("No effect."),
    Field::array("clear", &HEADER_NAME).about("No effect."),
    Field::array("inject", &Field::string("").checks(&[Check::OneOf(INJECTORS)])).about("No effect."),
    Field::string("default_format")
        .default(Default::String("w3c"))
        .checks(&[Check::OneOf(FORMATS)])
        .about("No effect."),
]);

const HEADER_TYPES: &[&str] =
    &["preserve", "ignore", "b3", "b3-single", "w3c", "jaeger", "ot", "aws", "gcp", "datadog", "instana"];
const EXTRACTORS: &[&str] = &["aws", "b3", "datadog", "gcp", "instana", "jaeger", "ot", "w3c"];
const INJECTORS: &[&str] = &["preserve", "aws", "b3", "b3-single", "datadog", "gcp", "instana", "jaeger", "ot", "w3c"];
const FORMATS: &[&str] = &["aws", "b3", "b3-single", "datadog", "gcp", "instana", "jaeger", "ot", "w3c"];

const HEADER_NAME: Field =
    Field::string("").checks(&[Check::Custom(|value| check_header_name(value.as_str().unwrap_or_default()))]);

const fn endpoint(name: &'static str) -> Field {
    Field::string(name).referenceable().checks(&[Check::Custom(check_url)])
}

const fn off(name: &'static str) -> Field {
    Field::boolean(name).default(Default::Boolean(false)).about("No effect.")
}

/// The value at a path of `config`.
fn at<'a>(config: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let value = config.get(name)?;
    if rest.is_empty() { Some(value) } else { value.get(rest) }
}

/// Kong's check: without an endpoint, the plugin is for nothing.
fn one_endpoint(config: &Map<String, Value>) -> Result<(), Problem> {
    let old = ["endpoint", "access_logs_endpoint"];
    if ENDPOINTS.iter().chain(&old).any(|path| at(config, path).is_some()) {
        return Ok(());
    }
    let names = ENDPOINTS.map(|name| format!("'{name}'")).join(", ");
    Err(Problem {
        field: "access_logs",
        message: "no endpoint: set `access_logs.endpoint`".into(),
        kong: Violation::AtLeastOne(format!("at least one of these fields must be non-empty: {names}")),
    })
}

/// Converts fields that Kong has replaced; the new ones take precedence.
fn convert(config: &mut Map<String, Value>) {
    if let Some(url) = config.remove("endpoint") {
        config.entry("traces_endpoint").or_insert(url);
    }
    if let Some(url) = config.remove("access_logs_endpoint") {
        let logs = config.entry("access_logs").or_insert_with(|| json!({}));
        if let Some(logs) = logs.as_object_mut() {
            logs.entry("endpoint").or_insert(url);
        }
    }
    for (old, new) in [("batch_span_count", "max_batch_size"), ("batch_flush_delay", "max_coalescing_delay")] {
        if let (Some(value), Some(queue)) = (config.remove(old), config.get_mut("queue")) {
            queue[new] = value;
        }
    }
}

/// The fields that are set and have no effect here.
fn left_to_kong(config: &Map<String, Value>) -> Option<LeftToKong> {
    let set = WITHOUT_EFFECT.iter().filter_map(|name| SCHEMA.field(name));
    let set = set.filter(|field| config.get(field.name).is_some_and(|value| !is_default(field, value)));
    let names: Vec<_> = set.map(|field| format!("`{}`", field.name)).collect();
    let all = at(config, "access_logs.endpoint").is_none();
    if names.is_empty() && !all {
        return None;
    }
    let have = if names.len() == 1 { "has" } else { "have" };
    let what = match names.is_empty() {
        true => "it has no `access_logs.endpoint`".to_owned(),
        false => format!("{} {have} no effect here: only access logs are sent from here", names.join(", ")),
    };
    let help = if all {
        "leave the plugin in Kong; to send transactions as log records, set `access_logs.endpoint`"
    } else {
        "leave the plugin in Kong for traces, metrics and Kong's own log lines, without `access_logs`"
    };
    Some(LeftToKong { all, field: String::new(), what, help })
}

/// Whether `value` is what Kong's tools write for an absent field.
fn is_default(field: &Field, value: &Value) -> bool {
    match field.ty {
        Type::Record(record) => *value == Value::Object(record.defaults()),
        _ => field.default_value().as_ref() == Some(value),
    }
}

/// Tells the sink whether requests run in parallel, and nothing about snippets.
fn extend_sink_config(config: &mut Map<String, Value>, context: &SinkContext<'_>) {
    if let Some(logs) = config.get_mut("access_logs").and_then(Value::as_object_mut) {
        logs.remove("custom_attributes_by_lua");
    }
    config.insert("parallel".to_owned(), (context.concurrency_limit == -1).into());
    for name in WITHOUT_EFFECT {
        config.remove(name);
    }
    insert_certificate(config, context);
}
