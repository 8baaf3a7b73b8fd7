//! The fields of kafka-log's `config`, after validation by the plugin's schema.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::registry;

/// kafka-log's `config`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// How to reach the cluster.
    #[serde(flatten)]
    pub connection: ConnectionConfig,
    /// How records are produced.
    #[serde(flatten)]
    pub producer: ProducerConfig,
    /// The topic.
    pub topic: String,
    /// The query argument whose value is the record's key.
    #[serde(default)]
    pub key_query_arg: Option<String>,
    /// The schemas that messages are validated and encoded by.
    #[serde(default)]
    pub schema_registry: Option<SchemaRegistry>,
    /// Messages per record.
    #[serde(default = "default_batch")]
    pub max_batch_size: usize,
    /// Names of record headers, each with the key path of its value in the message.
    #[serde(default)]
    pub record_headers: BTreeMap<String, String>,
}

/// The settings that every client needs to connect to a cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ConnectionConfig {
    /// The brokers from which the client learns of the others.
    #[serde(default)]
    pub bootstrap_servers: Vec<Broker>,
    /// The socket timeout in milliseconds.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    /// Idle time after which a connection is closed, in milliseconds.
    #[serde(default = "default_keepalive")]
    pub keepalive: u64,
    /// Enables TCP keepalive.
    #[serde(default)]
    pub keepalive_enabled: bool,
    /// The name of a connection that plugins share.
    #[serde(default)]
    pub cluster_name: Option<String>,
    /// How to authenticate.
    #[serde(default)]
    pub authentication: Authentication,
    /// TLS.
    #[serde(default)]
    pub security: Security,
    /// Certificate and key for mutual TLS. The service resolves `security.certificate_id` to them.
    #[serde(default)]
    pub certificate: Option<Certificate>,
}

/// How records are produced.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ProducerConfig {
    /// Acknowledgements to wait for: 0, 1, or -1 for all replicas in sync.
    #[serde(default = "default_acks")]
    pub producer_request_acks: i64,
    /// How long a broker may take to respond, in milliseconds.
    #[serde(default = "default_request_timeout")]
    pub producer_request_timeout: i64,
    /// Messages per request.
    #[serde(default = "default_messages")]
    pub producer_request_limits_messages_per_request: i64,
    /// Bytes per request.
    #[serde(default = "default_bytes")]
    pub producer_request_limits_bytes_per_request: i64,
    /// Milliseconds between attempts.
    #[serde(default = "default_backoff")]
    pub producer_request_retries_backoff_timeout: i64,
    /// Whether to wait for a batch to fill.
    #[serde(default = "default_true")]
    pub producer_async: bool,
    /// Limit on this wait, in milliseconds.
    #[serde(default = "default_flush")]
    pub producer_async_flush_timeout: i64,
    /// Messages that may wait in the client.
    #[serde(default = "default_buffering")]
    pub producer_async_buffering_limits_messages_in_memory: i64,
    /// The compression of batches.
    #[serde(default)]
    pub compression: Compression,
    /// The method that selects a record's partition.
    #[serde(default)]
    pub partitioner: Partitioner,
}

/// Schema registries by vendor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SchemaRegistry {
    /// A registry with Confluent's REST API.
    pub confluent: Option<registry::Config>,
}

/// The address of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are the parts of an address")]
pub struct Broker {
    /// Host name or IP address.
    pub host: String,
    pub port: u16,
}

/// How to authenticate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are named after the credentials")]
pub struct Authentication {
    /// `sasl`, or none.
    #[serde(default)]
    pub strategy: Option<String>,
    /// The SASL mechanism.
    #[serde(default)]
    pub mechanism: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub password: Option<String>,
    /// User and password are a delegation token.
    #[serde(default)]
    pub tokenauth: bool,
    /// The source of tokens for OAUTHBEARER.
    #[serde(default)]
    pub oauthbearer: Option<OauthBearer>,
}

/// The source of tokens for OAUTHBEARER.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[expect(missing_docs, reason = "the fields are named after the credentials")]
pub struct OauthBearer {
    /// The URL of the token endpoint.
    pub token_endpoint_url: String,
    pub client_id: String,
    pub client_secret: String,
    /// Scopes to request.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// SASL extensions.
    #[serde(default)]
    pub extensions: BTreeMap<String, String>,
    /// Verify the endpoint's certificate.
    #[serde(default = "default_true")]
    pub token_endpoint_tls_verify: bool,
}

/// TLS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Security {
    /// Use TLS.
    #[serde(default)]
    pub ssl: bool,
    /// Verify the brokers' certificates.
    #[serde(default = "default_true")]
    pub ssl_verify: bool,
}

impl Default for Security {
    fn default() -> Self {
        Self { ssl: false, ssl_verify: true }
    }
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Certificate {
    /// The chain, as PEM.
    pub cert: String,
    /// The private key, as PEM.
    pub key: String,
}

/// The compression of batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of Kafka")]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    #[default]
    Lz4,
    Zstd,
}

/// The method that selects a record's partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partitioner {
    /// CRC32 of the key, as in Kong.
    #[default]
    Crc32,
    /// Murmur2 of the key, as in Kafka's Java client.
    Murmur2,
    /// A random partition for each record.
    Random,
    /// As `Crc32`, but records without a key stay longer on one partition.
    Sticky,
}

fn default_timeout() -> u64 {
    10_000
}

fn default_keepalive() -> u64 {
    60_000
}

fn default_acks() -> i64 {
    -1
}

fn default_request_timeout() -> i64 {
    2000
}

fn default_messages() -> i64 {
    200
}

fn default_bytes() -> i64 {
    1_048_576
}

fn default_backoff() -> i64 {
    100
}

fn default_true() -> bool {
    true
}

fn default_flush() -> i64 {
    1000
}

fn default_buffering() -> i64 {
    50_000
}

fn default_batch() -> usize {
    1
}
