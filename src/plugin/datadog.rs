//! datadog: sends metrics of each transaction to a Datadog agent, over UDP.
//!
//! Fields, defaults and rules are those of Kong (kong/plugins/datadog/schema.lua, 3.9).

use serde_json::{Map, Value, json};

use super::field::{FLUSH_TIMEOUT, HOST, KONG_QUEUE, PORT, QUEUE_SIZE, REDACT, RETRY_COUNT, convert_old_queue};
use super::statsd::{CONSUMER_IDENTIFIERS, PREFIX, sample_rate};
use super::{Definition, SinkContext};
use crate::sink::statsd::datadog;
use logphase_config::schema::{Check, Default, Field, Record};

/// The plugin.
pub const DEFINITION: Definition = Definition {
    convert: convert_old_queue,
    extend_sink_config,
    transport: "statsd",
    ..Definition::logging("datadog", 10, &SCHEMA, datadog::open)
};

/// A `host` or `port` that is null is that of the node's agent, which the environment names.
fn extend_sink_config(config: &mut Map<String, Value>, context: &SinkContext<'_>) {
    let variable = |name| (context.environment)(name).filter(|value| !value.is_empty());
    if !config.contains_key("host")
        && let Some(host) = variable("KONG_DATADOG_AGENT_HOST")
    {
        config.insert("host".to_owned(), host.into());
    }
    if !config.contains_key("port")
        && let Some(port) = variable("KONG_DATADOG_AGENT_PORT")
    {
        // What is no number is for the sink to refuse.
        let port = port.trim().parse::<u64>().map_or_else(|_| Value::from(port), Value::from);
        config.insert("port".to_owned(), port);
    }
}

static SCHEMA: Record = Record::new(&[
    HOST.optional()
        .default(Default::String("localhost"))
        .about("Host name or IP address of the agent; null: that in the variable KONG_DATADOG_AGENT_HOST."),
    PORT.optional()
        .default(Default::Integer(8125))
        .about("Port of the agent; null: that in the variable KONG_DATADOG_AGENT_PORT."),
    PREFIX,
    tag("service_name_tag", "name").about("Tag with the service's name."),
    tag("status_tag", "status").about("Tag with the status."),
    tag("consumer_tag", "consumer").about("Tag with the consumer."),
    KONG_QUEUE,
    Field::array("metrics", &METRIC).required().default(Default::List(default_metrics)).about("The metrics to send."),
    REDACT,
    RETRY_COUNT,
    QUEUE_SIZE,
    FLUSH_TIMEOUT,
]);

const fn tag(name: &'static str, default: &'static str) -> Field {
    Field::string(name).default(Default::String(default))
}

const METRIC: Field = Field::record("", &METRIC_FIELDS);

static METRIC_FIELDS: Record = Record {
    fields: &[
        Field::string("name")
            .required()
            .checks(&[Check::OneOf(&[
                "kong_latency",
                "latency",
                "request_count",
                "request_size",
                "response_size",
                "upstream_latency",
            ])])
            .about("The metric."),
        Field::string("stat_type")
            .required()
            .decides()
            .checks(&[Check::OneOf(&["counter", "gauge", "histogram", "meter", "set", "timer", "distribution"])])
            .about("Its type."),
        Field::array("tags", &Field::string("").checks(&[Check::Custom(check_tag)])).about("More tags: `KEY:VALUE`."),
        Field::number("sample_rate")
            .checks(&[Check::Between(0.0, 1.0)])
            .about("The rate that the agent is told. Every transaction is counted, as in Kong."),
        Field::string("consumer_identifier")
            .checks(CONSUMER_IDENTIFIERS)
            .about("What names the consumer; default: no tag for it."),
    ],
    checks: &[sample_rate],
};

/// Kong's pattern of a tag: the last character is no colon.
fn check_tag(value: &Value) -> Result<(), String> {
    let tag = value.as_str().unwrap_or_default();
    if tag.ends_with(':') { Err(format!("invalid value: {tag}")) } else { Ok(()) }
}

fn default_metrics() -> Value {
    let timers = ["latency", "request_size", "response_size", "upstream_latency", "kong_latency"];
    let count = json!({
        "name": "request_count", "stat_type": "counter", "tags": ["app:kong"], "sample_rate": 1,
        "consumer_identifier": "custom_id",
    });
    let timer =
        |name| json!({"name": name, "stat_type": "timer", "tags": ["app:kong"], "consumer_identifier": "custom_id"});
    Value::Array(std::iter::once(count).chain(timers.map(timer)).collect())
}
