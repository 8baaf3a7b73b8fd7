//! What the sink needs of kafka-log's `config`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::registry;

/// The part of the validated `config` that delivery uses.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Brokers to ask for the cluster.
    #[serde(default)]
    pub bootstrap_servers: Vec<Broker>,
    /// The topic.
    pub topic: String,
    /// Milliseconds of the socket timeout.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    /// Milliseconds of idle connections.
    #[serde(default = "default_keepalive")]
    pub keepalive: u64,
    /// TCP's keepalive.
    #[serde(default)]
    pub keepalive_enabled: bool,
    /// Name of the connections that plugins share.
    #[serde(default)]
    pub cluster_name: Option<String>,
    /// How to log in.
    #[serde(default)]
    pub authentication: Authentication,
    /// TLS.
    #[serde(default)]
    pub security: Security,
    /// -1, 0 or 1.
    #[serde(default = "default_acks")]
    pub producer_request_acks: i64,
    /// Milliseconds that a broker may take.
    #[serde(default = "default_request_timeout")]
    pub producer_request_timeout: i64,
    /// Messages per request.
    #[serde(default = "default_messages")]
    pub producer_request_limits_messages_per_request: i64,
    /// Bytes per request.
    #[serde(default = "default_bytes")]
    pub producer_request_limits_bytes_per_request: i64,
    /// Milliseconds between tries.
    #[serde(default = "default_backoff")]
    pub producer_request_retries_backoff_timeout: i64,
    /// Wait a little for a batch to fill.
    #[serde(default = "default_true")]
    pub producer_async: bool,
    /// Milliseconds that it may wait.
    #[serde(default = "default_flush")]
    pub producer_async_flush_timeout: i64,
    /// Messages that may wait in the client.
    #[serde(default = "default_buffering")]
    pub producer_async_buffering_limits_messages_in_memory: i64,
    /// Query argument whose value is the record's key.
    #[serde(default)]
    pub key_query_arg: Option<String>,
    /// Schemas to validate and encode messages by.
    #[serde(default)]
    pub schema_registry: Option<SchemaRegistry>,
    /// Certificate and key for mutual TLS; put in by the service in place of `security.certificate_id`.
    #[serde(default)]
    pub certificate: Option<Certificate>,
    /// Compression of batches.
    #[serde(default)]
    pub compression: Compression,
    /// What chooses a record's partition.
    #[serde(default)]
    pub partitioner: Partitioner,
    /// Messages per record.
    #[serde(default = "default_batch")]
    pub max_batch_size: usize,
    /// Names of record headers, with the key path of each one's value in the message.
    #[serde(default)]
    pub record_headers: BTreeMap<String, String>,
}

/// Registries by maker.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SchemaRegistry {
    /// One like Confluent's.
    pub confluent: Option<registry::Config>,
}

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Broker {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// How to log in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Authentication {
    /// `sasl`, or none.
    #[serde(default)]
    pub strategy: Option<String>,
    /// The SASL mechanism.
    #[serde(default)]
    pub mechanism: Option<String>,
    /// User.
    #[serde(default)]
    pub user: Option<String>,
    /// Password.
    #[serde(default)]
    pub password: Option<String>,
    /// The user is a delegation token.
    #[serde(default)]
    pub tokenauth: bool,
    /// Where tokens come from.
    #[serde(default)]
    pub oauthbearer: Option<OauthBearer>,
}

/// Where tokens of OAUTHBEARER come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct OauthBearer {
    /// Where to ask.
    pub token_endpoint_url: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
    /// Scopes to ask for.
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

/// How batches are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    #[default]
    Lz4,
    /// Zstandard.
    Zstd,
}

/// What chooses a record's partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partitioner {
    /// CRC32 of the key, as Kong.
    #[default]
    Crc32,
    /// Murmur2 of the key, as Kafka's Java client.
    Murmur2,
    /// Chance, for each record.
    Random,
    /// As `crc32`, but messages without a key stay longer on one partition.
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
