//! Turns the fields of a plugin into settings of librdkafka. The connection is the same for the input.
//!
//! | Field | Setting | Remark |
//! |---|---|---|
//! | `bootstrap_servers` | `bootstrap.servers` | at least one; IPv6 addresses get brackets |
//! | `timeout` | `socket.timeout.ms`, `socket.connection.setup.timeout.ms` | 10 ms to 300 s; connecting: at least 1 s |
//! | `keepalive` | `connections.max.idle.ms` | an idle connection is closed after it; 0: never |
//! | `keepalive_enabled` | `socket.keepalive.enable` | TCP keepalive; connections are always kept open |
//! | `authentication.*` | `security.protocol`, `sasl.mechanism`, `sasl.username`, `sasl.password` | |
//! | `authentication.tokenauth` | refused | librdkafka has no delegation tokens |
//! | `authentication.oauthbearer` | none; tokens are handed over | see [`oauthbearer`](crate::oauthbearer) |
//! | `security.ssl` | `security.protocol` | |
//! | `security.ssl_verify` | `enable.ssl.certificate.verification`, `ssl.endpoint.identification.algorithm` | chain and name |
//! | trusted certificates | `ssl.ca.pem` | the system's (or `SSL_CERT_FILE`), as for all sinks |
//! | `security.certificate_id` | `ssl.certificate.pem`, `ssl.key.pem` | |
//! | `producer_request_acks` | `acks`, `enable.idempotence` | idempotent with -1; otherwise one request in flight, for the order |
//! | `producer_request_timeout` | `request.timeout.ms` | |
//! | `producer_request_limits_messages_per_request` | `batch.num.messages` | per partition |
//! | `producer_request_limits_bytes_per_request` | `batch.size` | per partition; minus 512 bytes for framing |
//! | `producer_request_retries_max_attempts` | none | the queue decides: it retries until `queue.max_retry_time` |
//! | `producer_request_retries_backoff_timeout` | `retry.backoff.ms`, `retry.backoff.max.ms` | |
//! | `producer_async` | `linger.ms` | true: 5 ms at most; false: 0 |
//! | `producer_async_flush_timeout` | `linger.ms` | its upper bound |
//! | `producer_async_buffering_limits_messages_in_memory` | `queue.buffering.max.messages` | when full, the sink waits |
//! | `compression` | `compression.type` | |
//! | `partitioner` | `partitioner`, `sticky.partitioning.linger.ms` | see `partitioning` |
//!
//! A message never times out in the client (`message.timeout.ms` 0, `message.send.max.retries` at its maximum): the
//! plugin's queue keeps it until a broker has it.

use std::fmt::Write;

use logphase_net::ConfigError;
use logphase_net::tls::TlsError;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use super::config::{Broker, Compression, ConnectionConfig, OauthBearer, Partitioner, ProducerConfig};
use super::consumer::{self, config::ConsumerConfig};

/// Limit on the wait for a batch to fill, in milliseconds. At rates where batches matter, they fill within this time.
const LINGER_MS: i64 = 5;
/// Limit on the buffer of one client, in KiB. The plugins' queues hold the same messages.
const BUFFER_KBYTES: i64 = 64 << 10;
/// Limit on a record in the client, in bytes. The broker applies the limit of the topic.
const RECORD_BYTES: i64 = 32 << 20;
/// Bytes that a batch needs in addition to its messages.
const FRAMING_BYTES: i64 = 512;

/// Settings of a client, by librdkafka's names.
pub type Properties = Vec<(&'static str, String)>;

/// The settings of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The connection, which plugins with the same `cluster_name` share.
    pub connection: Properties,
    /// Where tokens come from, if authentication needs them. A part of the connection.
    pub oauthbearer: Option<OauthBearer>,
    /// How records are produced, or consumed.
    pub role: Properties,
}

impl Settings {
    /// The settings of a producer for the fields of a plugin. `roots` gives the trusted certificates as PEM, if TLS needs
    /// them.
    ///
    /// # Errors
    /// A field is missing, contradicts another, or has a value that librdkafka refuses.
    pub fn new(
        connection: &ConnectionConfig,
        producer: &ProducerConfig,
        roots: impl FnOnce() -> Result<String, TlsError>,
    ) -> Result<Self, ConfigError> {
        Self::of(connection, delivery(producer), roots)
    }

    /// The settings of a consumer; as [`Self::new`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_consumer(
        connection: &ConnectionConfig,
        consumer: &ConsumerConfig,
        roots: impl FnOnce() -> Result<String, TlsError>,
    ) -> Result<Self, ConfigError> {
        Self::of(connection, consumer::config::properties(consumer), roots)
    }

    fn of(
        connection: &ConnectionConfig,
        role: Properties,
        roots: impl FnOnce() -> Result<String, TlsError>,
    ) -> Result<Self, ConfigError> {
        let mut properties = network(connection)?;
        properties.extend(security(connection, roots)?);
        let settings = Self { connection: properties, oauthbearer: oauthbearer(connection), role };
        // Reports what librdkafka refuses now rather than with the first message.
        settings.client_config().create_native_config().map_err(|error| refused(&error))?;
        Ok(settings)
    }

    /// The same settings with one record in each request.
    #[must_use]
    pub fn with_single_record_requests(&self) -> Self {
        let mut single = self.clone();
        for (name, value) in &mut single.role {
            if *name == "batch.num.messages" {
                "1".clone_into(value);
            }
        }
        single
    }

    /// The settings as rdkafka takes them.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in self.connection.iter().chain(&self.role) {
            config.set(*name, value);
        }
        config
    }
}

/// An error of librdkafka about a setting as one about the field that it comes from.
fn refused(error: &KafkaError) -> ConfigError {
    let KafkaError::ClientConfig(_, problem, setting, _) = error else { return ConfigError::new("", error) };
    let field = match setting.as_str() {
        "bootstrap.servers" => "bootstrap_servers",
        "sasl.mechanism" => "authentication.mechanism",
        "sasl.username" => "authentication.user",
        "sasl.password" => "authentication.password",
        "ssl.certificate.pem" | "ssl.key.pem" => "security.certificate_id",
        "security.protocol" => "security.ssl",
        "acks" => "producer_request_acks",
        "group.id" => "group_id",
        "group.instance.id" => "group_instance_id",
        "session.timeout.ms" => "session_timeout",
        _ => return ConfigError::new("", format!("the Kafka client refuses the setting {setting}: {problem}")),
    };
    ConfigError::new(field, format!("the Kafka client refuses it: {problem}"))
}

/// `host:port` of each broker, with commas.
pub fn addresses(brokers: &[Broker]) -> String {
    let mut text = String::new();
    for Broker { host, port } in brokers {
        let comma = if text.is_empty() { "" } else { "," };
        let bracketed = host.contains(':') && !host.starts_with('[');
        let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
        let _ = write!(text, "{comma}{open}{host}{close}:{port}");
    }
    text
}

fn network(config: &ConnectionConfig) -> Result<Properties, ConfigError> {
    if config.bootstrap_servers.is_empty() {
        let error = ConfigError::new("bootstrap_servers", "no broker");
        return Err(error.with_help("give the host and port of at least one broker"));
    }
    let timeout = config.timeout.clamp(10, 300_000);
    Ok(vec![
        ("bootstrap.servers", addresses(&config.bootstrap_servers)),
        ("client.id", "logphase".to_owned()),
        ("socket.timeout.ms", timeout.to_string()),
        ("socket.connection.setup.timeout.ms", timeout.max(1000).to_string()),
        ("connections.max.idle.ms", config.keepalive.min(i32::MAX as u64).to_string()),
        ("socket.keepalive.enable", config.keepalive_enabled.to_string()),
        ("socket.nagle.disable", "true".to_owned()),
        // Finds a restarted broker soon.
        ("reconnect.backoff.max.ms", "2000".to_owned()),
    ])
}

fn security(
    config: &ConnectionConfig,
    roots: impl FnOnce() -> Result<String, TlsError>,
) -> Result<Properties, ConfigError> {
    let mut properties = sasl(config)?;
    let protocol = match (config.security.ssl, properties.is_empty()) {
        (false, true) => "plaintext",
        (false, false) => "sasl_plaintext",
        (true, true) => "ssl",
        (true, false) => "sasl_ssl",
    };
    properties.push(("security.protocol", protocol.to_owned()));
    if config.security.ssl {
        properties.extend(tls(config, roots)?);
    }
    Ok(properties)
}

fn sasl(config: &ConnectionConfig) -> Result<Properties, ConfigError> {
    let authentication = &config.authentication;
    let Some(mechanism) = &authentication.mechanism else {
        return match authentication.strategy {
            None => Ok(Vec::new()),
            Some(_) => {
                let error = ConfigError::new("authentication.mechanism", "missing, and authentication.strategy is set");
                Err(error.with_help("name a mechanism, or remove both"))
            }
        };
    };
    if authentication.strategy.is_none() {
        let error = ConfigError::new("authentication.strategy", "missing, and authentication.mechanism is set");
        return Err(error.with_help("set it to `sasl`, or remove both"));
    }
    if authentication.tokenauth {
        let error = ConfigError::new("authentication.tokenauth", "the Kafka client has no delegation tokens");
        return Err(error.with_help("use SCRAM, PLAIN or OAUTHBEARER with a user, or a client certificate"));
    }
    let mut properties = vec![("sasl.mechanism", mechanism.clone())];
    if mechanism == "OAUTHBEARER" {
        return match authentication.oauthbearer {
            Some(_) => Ok(properties),
            None => {
                let error = ConfigError::new("authentication.oauthbearer", "missing");
                Err(error.with_help("say where the tokens of the mechanism OAUTHBEARER come from"))
            }
        };
    }
    let required = |field: &str, value: &Option<String>| {
        let error = || ConfigError::new(field, "missing").with_help(format!("the mechanism {mechanism} needs it"));
        value.clone().ok_or_else(error)
    };
    properties.push(("sasl.username", required("authentication.user", &authentication.user)?));
    properties.push(("sasl.password", required("authentication.password", &authentication.password)?));
    Ok(properties)
}

fn oauthbearer(config: &ConnectionConfig) -> Option<OauthBearer> {
    let is_mechanism = config.authentication.mechanism.as_deref() == Some("OAUTHBEARER");
    config.authentication.oauthbearer.clone().filter(|_| is_mechanism)
}

fn tls(config: &ConnectionConfig, roots: impl FnOnce() -> Result<String, TlsError>) -> Result<Properties, ConfigError> {
    let verify = config.security.ssl_verify;
    let mut properties = vec![
        ("enable.ssl.certificate.verification", verify.to_string()),
        ("ssl.endpoint.identification.algorithm", if verify { "https" } else { "none" }.to_owned()),
    ];
    if verify {
        properties.push(("ssl.ca.pem", roots().map_err(|error| ConfigError::new("security.ssl_verify", error))?));
    }
    if let Some(certificate) = &config.certificate {
        properties.push(("ssl.certificate.pem", certificate.cert.clone()));
        properties.push(("ssl.key.pem", certificate.key.clone()));
    }
    Ok(properties)
}

fn delivery(config: &ProducerConfig) -> Properties {
    let idempotent = config.producer_request_acks == -1;
    let linger = if config.producer_async { config.producer_async_flush_timeout.clamp(0, LINGER_MS) } else { 0 };
    let backoff = config.producer_request_retries_backoff_timeout.clamp(1, 300_000);
    let batch_bytes = (config.producer_request_limits_bytes_per_request - FRAMING_BYTES).clamp(1, i64::from(i32::MAX));
    let (partitioner, sticky_ms) = partitioning(config.partitioner);
    let mut properties = vec![
        ("acks", config.producer_request_acks.to_string()),
        ("enable.idempotence", idempotent.to_string()),
        ("request.timeout.ms", config.producer_request_timeout.clamp(1, 900_000).to_string()),
        ("batch.num.messages", config.producer_request_limits_messages_per_request.clamp(1, 1_000_000).to_string()),
        ("batch.size", batch_bytes.to_string()),
        // Reports a missing topic soon; its messages are kept.
        ("topic.metadata.propagation.max.ms", "5000".to_owned()),
        ("message.max.bytes", RECORD_BYTES.to_string()),
        ("message.timeout.ms", "0".to_owned()),
        ("message.send.max.retries", i32::MAX.to_string()),
        ("retry.backoff.ms", backoff.to_string()),
        ("retry.backoff.max.ms", backoff.max(1000).to_string()),
        ("linger.ms", linger.to_string()),
        (
            "queue.buffering.max.messages",
            config.producer_async_buffering_limits_messages_in_memory.clamp(1, i64::from(i32::MAX)).to_string(),
        ),
        ("queue.buffering.max.kbytes", BUFFER_KBYTES.to_string()),
        ("compression.type", compression(config.compression).to_owned()),
        ("partitioner", partitioner.to_owned()),
        ("sticky.partitioning.linger.ms", sticky_ms.to_string()),
    ];
    if !idempotent {
        // Without idempotence, a later request can overtake one that is retried.
        properties.push(("max.in.flight.requests.per.connection", "1".to_owned()));
    }
    properties
}

fn compression(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    }
}

/// librdkafka's partitioner, and for how many milliseconds records without a key stay on one partition.
///
/// The partition of a key is its CRC32 (IEEE) modulo the number of partitions, as in Kong's client, or its Murmur2 as in
/// the Java client. Kong's client spreads records without a key over the partitions in turn; here they stay on one
/// partition for a moment, so that batches fill. `random` ignores keys.
fn partitioning(partitioner: Partitioner) -> (&'static str, u32) {
    match partitioner {
        Partitioner::Crc32 => ("consistent_random", 10),
        Partitioner::Murmur2 => ("murmur2_random", 10),
        Partitioner::Random => ("random", 0),
        Partitioner::Sticky => ("consistent_random", 100),
    }
}
