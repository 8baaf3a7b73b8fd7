//! kafka-log: one record per message, or per array of messages, to a topic.

mod schema_registry;

use serde_json::{Map, Value};

use super::definition::insert_certificate;
use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, PORT, QUEUE, REDACT,
};
use super::{Definition, HTTP_AND_WEBSOCKET};
use crate::options::kafka::{AUTHENTICATION, SSL, SSL_VERIFY};
use crate::sink::kafka;
use logphase_config::schema::{Check, Default, Field, Problem, Record};
use logphase_script::message::Include;

/// The plugin.
pub const DEFINITION: Definition = Definition {
    protocols: HTTP_AND_WEBSOCKET,
    default_protocols: HTTP_AND_WEBSOCKET,
    on_consumer_group: false,
    include_body: Include::REQUEST,
    durable: true,
    certificate: &["security", "certificate_id"],
    extend_sink_config: insert_certificate,
    transport: "kafka",
    ..Definition::logging("kafka-log", 5, &SCHEMA, kafka::open)
};

static SCHEMA: Record = Record {
    fields: &[
        Field::array("bootstrap_servers", &Field::record("", &BROKER)).about("Bootstrap brokers."),
        Field::string("topic").required().about("Topic to write to."),
        Field::integer("timeout").default(Default::Integer(10_000)).about("Socket timeout in milliseconds."),
        Field::integer("keepalive").default(Default::Integer(60_000)).about("Milliseconds before an idle connection is closed."),
        Field::boolean("keepalive_enabled").default(Default::Boolean(false)).about("Keep idle connections open."),
        Field::string("cluster_name").about("Name of a producer that several plugins share."),
        Field::record("authentication", &AUTHENTICATION).required().about("Authentication with the brokers."),
        Field::record("security", &SECURITY).required().about("TLS."),
        Field::integer("producer_request_acks")
            // Kong's default is 1: it loses a message if the broker that has it is lost.
            .default(Default::Integer(-1))
            .checks(&[Check::OneOfNumbers(&[-1.0, 0.0, 1.0])])
            .about("Acknowledgements to wait for: 0 (none), 1 (the leader) or -1 (all in-sync replicas)."),
        count("producer_request_timeout", 2000).about("Milliseconds to wait for a broker's answer."),
        count("producer_request_limits_messages_per_request", 200).about("Maximum messages per request."),
        count("producer_request_limits_bytes_per_request", 1_048_576).about("Maximum bytes per request."),
        count("producer_request_retries_max_attempts", 10).about("No effect: the queue decides how long a message is retried."),
        count("producer_request_retries_backoff_timeout", 100).about("Milliseconds between retries."),
        Field::boolean("producer_async").default(Default::Boolean(true)).about("Send in the background."),
        count("producer_async_flush_timeout", 1000).about("Milliseconds to wait for more records in a batch; capped at 5."),
        count("producer_async_buffering_limits_messages_in_memory", 50_000).about("Maximum records in flight."),
        Field::string("key_query_arg").since("3.11").about("Query parameter whose value is the record's key."),
        Field::record("schema_registry", &schema_registry::SCHEMA_REGISTRY).since("3.11").about("Schema registry, for messages in Avro or JSON Schema."),
        Field::string("compression")
            .checks(&[Check::OneOf(&["none", "gzip", "snappy", "lz4", "zstd"])])
            .extension()
            .about("Compression of batches; default: lz4."),
        Field::string("partitioner")
            .checks(&[Check::OneOf(&["crc32", "murmur2", "random", "sticky"])])
            .extension()
            .about("Choice of a record's partition: by the key's CRC32 as in Kong (default), by its Murmur2, or random; `sticky` is \
                 `crc32` with larger batches of records without a key."),
        Field::integer("max_batch_size")
            .checks(&[Check::Between(1.0, 10_000.0)])
            .extension()
            .about("Messages per record; with more than 1 each record is a JSON array."),
        Field::map("record_headers", &HEADER_NAME, &Field::string("").about("Key path in the message."))
            .extension()
            .about("Headers of the record, each with the key path of its value in the message."),
        CUSTOM_FIELDS,
        ON_ERROR,
        INCLUDE_BODY,
        MAX_BODY_SIZE,
        BODY_TYPES,
        ON_BODY_ERROR,
        REDACT,
        QUEUE,
    ],
    checks: &[mutual_tls, arrays_without_schema],
};

const fn count(name: &'static str, default: i64) -> Field {
    Field::integer(name).default(Default::Integer(default))
}

const HEADER_NAME: Field = Field::string("").about("Name of the header.");

static BROKER: Record =
    Record::new(&[Field::string("host").required().about("Host name or IP address of a broker."), PORT]);

static SECURITY: Record = Record::new(&[
    Field::string("certificate_id").checks(&[Check::Uuid]).about("Client certificate for mutual TLS."),
    SSL,
    SSL_VERIFY,
]);

fn arrays_without_schema(config: &Map<String, Value>) -> Result<(), Problem> {
    let arrays = config.get("max_batch_size").and_then(Value::as_f64).is_some_and(|size| size > 1.0);
    let registry = config.get("schema_registry").and_then(|registry| registry.get("confluent"));
    if !arrays || registry.is_none() {
        return Ok(());
    }
    Err(Problem {
        field: "max_batch_size",
        message: "`max_batch_size` above 1 together with `schema_registry`: a schema describes one message".into(),
        kong: "max_batch_size must be 1 when schema_registry is set".into(),
    })
}

fn mutual_tls(config: &Map<String, Value>) -> Result<(), Problem> {
    let security = config.get("security");
    let certificate = security.is_some_and(|security| security.get("certificate_id").is_some());
    if !certificate || security.is_some_and(|security| security["ssl"] == true) {
        return Ok(());
    }
    Err(Problem {
        field: "security",
        message: "`security.certificate_id` without `security.ssl`".into(),
        kong: "ssl must be enabled when certificate_id is set".into(),
    })
}
