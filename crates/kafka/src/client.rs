//! kafka-log's fields as settings of librdkafka.
//!
//! | Field | Setting | Remark |
//! |---|---|---|
//! | `bootstrap_servers` | `bootstrap.servers` | at least one; IPv6 addresses get brackets |
//! | `timeout` | `socket.timeout.ms`, `socket.connection.setup.timeout.ms` | 10 ms to 300 s; connecting: at least 1 s |
//! | `keepalive` | `connections.max.idle.ms` | an idle connection is closed after it; 0: never |
//! | `keepalive_enabled` | `socket.keepalive.enable` | TCP's keepalive; connections are always kept |
//! | `authentication.*` | `security.protocol`, `sasl.mechanism`, `sasl.username`, `sasl.password` | |
//! | `authentication.tokenauth` | refused | librdkafka has no delegation tokens |
//! | `authentication.oauthbearer` | a token of our own fetching | see `token` |
//! | `security.ssl` | `security.protocol` | |
//! | `security.ssl_verify` | `enable.ssl.certificate.verification`, `ssl.endpoint.identification.algorithm` | chain and name |
//! | trusted certificates | `ssl.ca.pem` | the system's (or `SSL_CERT_FILE`), as of all sinks |
//! | `security.certificate_id` | `ssl.certificate.pem`, `ssl.key.pem` | |
//! | `producer_request_acks` | `acks`, `enable.idempotence` | idempotent with -1; 1 has one request in flight, for the order |
//! | `producer_request_timeout` | `request.timeout.ms` | |
//! | `producer_request_limits_messages_per_request` | `batch.num.messages` | per partition |
//! | `producer_request_limits_bytes_per_request` | `batch.size` | per partition; less 512 bytes for framing |
//! | `producer_request_retries_max_attempts` | none | the queue decides: tried until `queue.max_retry_time` |
//! | `producer_request_retries_backoff_timeout` | `retry.backoff.ms`, `retry.backoff.max.ms` | |
//! | `producer_async` | `linger.ms` | true: 5 ms at most; false: 0 |
//! | `producer_async_flush_timeout` | `linger.ms` | an upper bound of it |
//! | `producer_async_buffering_limits_messages_in_memory` | `queue.buffering.max.messages` | when full, the sink waits |
//! | `compression` | `compression.type` | |
//! | `partitioner` | `partitioner`, `sticky.partitioning.linger.ms` | see [`partitioning`] |
//!
//! A message never times out in the client (`message.timeout.ms` 0, `message.send.max.retries` at its maximum): the
//! plugin's queue has it until a broker has it.

use std::fmt::Write;

use rdkafka::ClientConfig;

use super::config::{Broker, Compression, Config, OauthBearer, Partitioner};

/// The longest wait for a batch to fill, in milliseconds. More batches nothing at a rate where batches matter.
const LINGER_MS: i64 = 5;
/// Bytes that wait in one client, in KiB. Beside it, the plugins' queues hold the same messages.
const BUFFER_KBYTES: i64 = 64 << 10;
/// The largest record that the client takes; the topic's own limit is the broker's to apply.
const RECORD_BYTES: i64 = 32 << 20;
/// Room for what a batch has beside its messages.
const FRAMING: i64 = 512;

/// Settings of a client, by librdkafka's names.
pub type Pairs = Vec<(&'static str, String)>;

/// The settings of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How to reach the cluster: what `cluster_name` stands for.
    pub connection: Pairs,
    /// Where tokens come from, if logging in takes one; a part of the connection.
    pub bearer: Option<OauthBearer>,
    /// How records are sent.
    pub delivery: Pairs,
}

impl Settings {
    /// The settings that `config` stands for; `roots` gives the trusted certificates as PEM.
    ///
    /// # Errors
    /// What cannot be meant, and what to do.
    pub fn new(config: &Config, roots: impl FnOnce() -> Result<String, String>) -> Result<Self, String> {
        let mut connection = network(config)?;
        connection.extend(login(config, roots)?);
        let settings = Self { connection, bearer: bearer(config), delivery: delivery(config) };
        // Says here what librdkafka does not take, rather than at the first message.
        settings.client().create_native_config().map_err(|error| error.to_string())?;
        Ok(settings)
    }

    /// The same, with one record in each request.
    pub fn single(&self) -> Self {
        let mut single = self.clone();
        for (name, value) in &mut single.delivery {
            if *name == "batch.num.messages" {
                "1".clone_into(value);
            }
        }
        single
    }

    /// As rdkafka wants them.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        for (name, value) in self.connection.iter().chain(&self.delivery) {
            client.set(*name, value);
        }
        client
    }
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

fn network(config: &Config) -> Result<Pairs, String> {
    if config.bootstrap_servers.is_empty() {
        return Err("no bootstrap_servers; give the host and port of at least one broker".to_owned());
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
        // A broker that restarts shall be found soon.
        ("reconnect.backoff.max.ms", "2000".to_owned()),
    ])
}

fn login(config: &Config, roots: impl FnOnce() -> Result<String, String>) -> Result<Pairs, String> {
    let mut pairs = sasl(config)?;
    let protocol = match (config.security.ssl, pairs.is_empty()) {
        (false, true) => "plaintext",
        (false, false) => "sasl_plaintext",
        (true, true) => "ssl",
        (true, false) => "sasl_ssl",
    };
    pairs.push(("security.protocol", protocol.to_owned()));
    if config.security.ssl {
        pairs.extend(tls(config, roots)?);
    }
    Ok(pairs)
}

fn sasl(config: &Config) -> Result<Pairs, String> {
    let authentication = &config.authentication;
    let Some(mechanism) = &authentication.mechanism else {
        return match authentication.strategy {
            Some(_) => Err("authentication.strategy without authentication.mechanism; name one".to_owned()),
            None => Ok(Vec::new()),
        };
    };
    if authentication.strategy.is_none() {
        return Err("authentication.mechanism without authentication.strategy; set it to `sasl`, or remove both".into());
    }
    if authentication.tokenauth {
        return Err("authentication.tokenauth: the Kafka client has no delegation tokens; use a user of its own \
                    with SCRAM, PLAIN, OAUTHBEARER or a client certificate"
            .to_owned());
    }
    let mut pairs = vec![("sasl.mechanism", mechanism.clone())];
    if mechanism == "OAUTHBEARER" {
        return match authentication.oauthbearer {
            Some(_) => Ok(pairs),
            None => {
                Err("the mechanism OAUTHBEARER without authentication.oauthbearer; say where tokens come from".into())
            }
        };
    }
    let (Some(user), Some(password)) = (&authentication.user, &authentication.password) else {
        return Err(format!("the mechanism {mechanism} needs authentication.user and authentication.password"));
    };
    pairs.push(("sasl.username", user.clone()));
    pairs.push(("sasl.password", password.clone()));
    Ok(pairs)
}

fn bearer(config: &Config) -> Option<OauthBearer> {
    let asked = config.authentication.mechanism.as_deref() == Some("OAUTHBEARER");
    config.authentication.oauthbearer.clone().filter(|_| asked)
}

fn tls(config: &Config, roots: impl FnOnce() -> Result<String, String>) -> Result<Pairs, String> {
    let verify = config.security.ssl_verify;
    let mut pairs = vec![
        ("enable.ssl.certificate.verification", verify.to_string()),
        ("ssl.endpoint.identification.algorithm", if verify { "https" } else { "none" }.to_owned()),
    ];
    if verify {
        pairs.push(("ssl.ca.pem", roots()?));
    }
    if let Some(certificate) = &config.certificate {
        pairs.push(("ssl.certificate.pem", certificate.cert.clone()));
        pairs.push(("ssl.key.pem", certificate.key.clone()));
    }
    Ok(pairs)
}

fn delivery(config: &Config) -> Pairs {
    let idempotent = config.producer_request_acks == -1;
    let linger = if config.producer_async { config.producer_async_flush_timeout.clamp(0, LINGER_MS) } else { 0 };
    let backoff = config.producer_request_retries_backoff_timeout.clamp(1, 300_000);
    let batch_bytes = (config.producer_request_limits_bytes_per_request - FRAMING).clamp(1, i64::from(i32::MAX));
    let (partitioner, sticky_ms) = partitioning(config.partitioner);
    let mut pairs = vec![
        ("acks", config.producer_request_acks.to_string()),
        ("enable.idempotence", idempotent.to_string()),
        ("request.timeout.ms", config.producer_request_timeout.clamp(1, 900_000).to_string()),
        ("batch.num.messages", config.producer_request_limits_messages_per_request.clamp(1, 1_000_000).to_string()),
        ("batch.size", batch_bytes.to_string()),
        // A topic that is not there is told soon; its messages are kept.
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
        // Without idempotence, a request that is tried again can be overtaken by the one after it.
        pairs.push(("max.in.flight.requests.per.connection", "1".to_owned()));
    }
    pairs
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

/// The partitioner of librdkafka, and for how many milliseconds keyless messages stay on one partition.
///
/// A key decides by its CRC32 (IEEE) modulo the number of partitions, as in Kong's client, or by Java's Murmur2.
/// Without a key Kong's client takes the partitions in turn; here such messages stay on one partition for a moment and
/// then on another, so that batches fill. `random` has neither: each record goes anywhere, whatever its key.
fn partitioning(partitioner: Partitioner) -> (&'static str, u32) {
    match partitioner {
        Partitioner::Crc32 => ("consistent_random", 10),
        Partitioner::Murmur2 => ("murmur2_random", 10),
        Partitioner::Random => ("random", 0),
        Partitioner::Sticky => ("consistent_random", 100),
    }
}
