//! statsd: sends metrics of each transaction to a StatsD server, over UDP or TCP.
//!
//! Fields, defaults and rules are those of Kong (kong/plugins/statsd/schema.lua, 3.9).

use serde_json::{Map, Value, json};

use super::field::{FLUSH_TIMEOUT, HOST, KONG_QUEUE, PORT, QUEUE_SIZE, REDACT, RETRY_COUNT, convert_old_queue};
use super::{Definition, LeftToKong};
use crate::sink::statsd;
use logphase_config::schema::{Check, Default, Field, Problem, Record, Violation};

/// The plugin.
pub const DEFINITION: Definition =
    Definition { convert: convert_old_queue, left_to_kong, ..Definition::logging("statsd", 11, &SCHEMA, statsd::open) };

static SCHEMA: Record = Record::new(&[
    Field { referenceable: false, ..HOST }
        .optional()
        .default(Default::String("localhost"))
        .about("Host name or IP address of the StatsD server."),
    PORT.optional().default(Default::Integer(8125)).about("Port of the StatsD server."),
    PREFIX,
    Field::array("metrics", &METRIC).default(Default::List(default_metrics)).about("The metrics to send."),
    Field::array("allow_status_codes", &Field::string("").checks(&[Check::Custom(check_range)])).about(
        "Ranges of status codes like `200-299`: only transactions with such a status are counted; default: all.",
    ),
    Field::number("udp_packet_size")
        .default(Default::Integer(0))
        .checks(&[Check::Between(0.0, 65_507.0)])
        .about("Combine metrics into datagrams of at most this many bytes; 0: one datagram for each."),
    Field::boolean("use_tcp").default(Default::Boolean(false)).about("Send lines over TCP."),
    Field::boolean("hostname_in_prefix")
        .default(Default::Boolean(false))
        .about("Put the node's name into the names of metrics; no effect with `tag_style`."),
    Field::string("hostname").extension().about("The node's name in metrics; default: the machine's own."),
    Field::string("consumer_identifier_default")
        .required()
        .default(Default::String("custom_id"))
        .checks(CONSUMER_IDENTIFIERS)
        .about("What names a consumer in metrics without `consumer_identifier`."),
    Field::string("service_identifier_default")
        .required()
        .default(Default::String("service_name_or_host"))
        .checks(SERVICE_IDENTIFIERS)
        .about("What names a service in metrics without `service_identifier`."),
    Field::string("workspace_identifier_default")
        .required()
        .default(Default::String("workspace_id"))
        .checks(WORKSPACE_IDENTIFIERS)
        .about("What names a workspace in metrics without `workspace_identifier`."),
    Field::string("tag_style")
        .checks(&[Check::OneOf(&["dogstatsd", "influxdb", "librato", "signalfx"])])
        .since("3.2")
        .about("Send service, route, workspace, consumer, node and status as tags, in this notation."),
    KONG_QUEUE,
    REDACT,
    RETRY_COUNT,
    QUEUE_SIZE,
    FLUSH_TIMEOUT,
]);

/// What the names of all metrics begin with.
pub(super) const PREFIX: Field = Field::string("prefix")
    .default(Default::String("kong"))
    .about("What the name of each metric begins with, before a dot.");

const METRIC: Field = Field::record("", &METRIC_FIELDS);

static METRIC_FIELDS: Record = Record {
    fields: &[
        Field::string("name")
            .required()
            .checks(&[Check::OneOf(&[
                "kong_latency",
                "latency",
                "request_count",
                "request_per_user",
                "request_size",
                "response_size",
                "status_count",
                "status_count_per_user",
                "unique_users",
                "upstream_latency",
                "status_count_per_workspace",
                "status_count_per_user_per_route",
                "shdict_usage",
            ])])
            .about("The metric."),
        Field::string("stat_type")
            .required()
            .decides()
            .checks(&[Check::OneOf(&["counter", "gauge", "histogram", "meter", "set", "timer"])])
            .about("The type of the metrics of latencies, sizes and `request_count`; the others have their own."),
        Field::number("sample_rate")
            .checks(&[Check::GreaterThan(0.0)])
            .about("The rate that the server is told. Every transaction is counted, as in Kong."),
        Field::string("consumer_identifier").checks(CONSUMER_IDENTIFIERS).about("What names the consumer."),
        Field::string("service_identifier").checks(SERVICE_IDENTIFIERS).about("What names the service."),
        Field::string("workspace_identifier").checks(WORKSPACE_IDENTIFIERS).about("What names the workspace."),
    ],
    checks: &[sample_rate],
};

/// What can name a consumer.
pub(super) const CONSUMER_IDENTIFIERS: &[Check] = &[Check::OneOf(&["consumer_id", "custom_id", "username"])];
const SERVICE_IDENTIFIERS: &[Check] =
    &[Check::OneOf(&["service_id", "service_name", "service_host", "service_name_or_host"])];
const WORKSPACE_IDENTIFIERS: &[Check] = &[Check::OneOf(&["workspace_id", "workspace_name"])];

/// Counters and gauges have a sample rate.
///
/// # Errors
/// One has none.
pub(super) fn sample_rate(metric: &Map<String, Value>) -> Result<(), Problem> {
    let stat_type = metric.get("stat_type").and_then(Value::as_str).unwrap_or_default();
    if metric.contains_key("sample_rate") || !["counter", "gauge"].contains(&stat_type) {
        return Ok(());
    }
    Err(Problem {
        field: "stat_type",
        message: format!("the stat_type `{stat_type}` without a `sample_rate`"),
        kong: Violation::conditional("stat_type", "sample_rate", "required field missing"),
    })
}

/// Kong's pattern of a range: digits, a dash, digits.
fn check_range(value: &Value) -> Result<(), String> {
    let range = value.as_str().unwrap_or_default();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match range.split_once('-') {
        Some((from, to)) if digits(from) && digits(to) => Ok(()),
        _ => Err(format!("invalid value: {range}")),
    }
}

fn default_metrics() -> Value {
    let metrics = [
        ("request_count", "counter"),
        ("latency", "timer"),
        ("request_size", "counter"),
        ("status_count", "counter"),
        ("response_size", "counter"),
        ("unique_users", "set"),
        ("request_per_user", "counter"),
        ("upstream_latency", "timer"),
        ("kong_latency", "timer"),
        ("status_count_per_user", "counter"),
        ("status_count_per_workspace", "counter"),
        ("status_count_per_user_per_route", "counter"),
        ("shdict_usage", "gauge"),
    ];
    let metric = |(name, stat_type): (&str, &str)| match stat_type {
        "counter" | "gauge" => json!({"name": name, "stat_type": stat_type, "sample_rate": 1}),
        _ => json!({"name": name, "stat_type": stat_type}),
    };
    Value::Array(metrics.into_iter().map(metric).collect())
}

/// The memory of Kong's shared dictionaries is no matter of a transaction.
fn left_to_kong(config: &Map<String, Value>) -> Option<LeftToKong> {
    let metrics = config.get("metrics")?.as_array()?;
    let index = metrics.iter().position(|metric| metric["name"] == "shdict_usage")?;
    Some(LeftToKong {
        all: false,
        field: format!("metrics[{index}].name"),
        what: "`shdict_usage` is not sent: only Kong knows the memory of its shared dictionaries".to_owned(),
        help: "if you need it, leave a statsd plugin with this metric alone in Kong",
    })
}
