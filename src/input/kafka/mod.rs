//! Records of Kafka's topics, by a consumer group.
//!
//! A thread (`member`) polls librdkafka's client, so that no thread of the runtime waits for it, and hands the records of
//! each partition to a task (`lane`), which decodes them and gives their transactions to the workers, in order. The offset
//! of a record is committed when the entries of all records before it, and its own, are safe (`offsets`).
//!
//! Nothing is lost when a node, a broker or the coordinator ends: what was not committed is consumed again. A record that
//! cannot be decoded is counted, logged and skipped. While queues are full, partitions wait: memory is bounded by
//! `max_buffered_bytes`.

mod lane;
mod member;
mod offsets;
mod owned;
mod security;
mod stats;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use self::member::{Control, Membership};
use self::security::Security;
pub use self::stats::{ConsumerStats, PartitionState, TopicState};
use super::settings::{ADDRESS, MAPPING, MATCH_ROUTES, list, matches_routes, replays_phases, settings_record, size};
use super::{Address, BindError, BoundInput, Context, Input, transport};
use crate::confinement::Files;
use crate::decode::TextDecoder;
use crate::decode::kong::Format;
use crate::input::Shared;
use crate::options::kafka::AUTHENTICATION;
use crate::options::record::{choice, duration};
use crate::sink::BoxFuture;
use logphase_config::diagnostic::Diagnostic;
use logphase_config::schema::{Check, Default, Field, Record};
use logphase_kafka::config::{Authentication, Broker, ConnectionConfig};
use logphase_kafka::consumer::config::{Assignment, ConsumerConfig, IsolationLevel, OffsetReset};
use logphase_kafka::oauthbearer::TokenSupplier;
use logphase_kafka::settings::{Settings as ClientSettings, addresses};
use logphase_net::ConfigError;
use logphase_net::tls::TlsConfigs;

/// The name of a topic.
const TOPIC: Field = Field::string("").checks(&[Check::Custom(topic)]);

settings_record! {
    /// The settings `inputs.kafka`.
    pub struct Settings {
        /// Brokers, `HOST:PORT`, from which the client learns of the others.
        bootstrap_servers: Vec<String> = list(&ADDRESS);
        /// Topics to consume; without one, the input is off.
        topics: Vec<String> = list(&TOPIC);
        /// Consumer group; nodes with the same group share the partitions.
        group_id: String = Field::string("").required().default(Default::String("logphase")).checks(&[Check::LenMin(1)]);
        /// Id of this node in the group (static membership): a node that restarts within `session_timeout` keeps its
        /// partitions. Each node needs its own.
        group_instance_id: Option<String> = Field::string("").checks(&[Check::LenMin(1)]);
        /// Rack or zone of this node, so that it consumes from a replica there if the brokers allow it.
        client_rack: Option<String> = Field::string("");
        /// Where to begin in a partition without a committed offset: `earliest` or `latest`.
        auto_offset_reset: OffsetReset = choice("earliest", &[Check::OneOf(&["earliest", "latest"])]);
        /// `read_committed` leaves out records of aborted producer transactions; `read_uncommitted` does not.
        isolation_level: IsolationLevel =
            choice("read_committed", &[Check::OneOf(&["read_committed", "read_uncommitted"])]);
        /// How the group shares the partitions: `cooperative-sticky`, `range` or `roundrobin`; the same on all nodes.
        partition_assignment: Assignment =
            choice("cooperative-sticky", &[Check::OneOf(&["cooperative-sticky", "range", "roundrobin"])]);
        /// Time without a sign of life after which the group gives the partitions of this node to others.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        session_timeout: Duration = duration(45, &[Check::Between(1.0, 3600.0)]);
        /// Time between two commits; what was consumed since the last one is consumed again after a crash.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        commit_interval: Duration =
            Field::duration("").required().default(Default::Number(0.2)).checks(&[Check::Between(0.01, 600.0)]);
        /// Maximum bytes of records that are fetched and not safe in the queues yet; beyond it nothing more is fetched.
        max_buffered_bytes: usize = size(64 << 20).checks(&[Check::Between(1_048_576.0, 1e12)]);
        /// Authentication with the brokers, as in kafka-log.
        authentication: Authentication = Field::record("", &AUTHENTICATION).required();
        /// TLS.
        security: Security = Field::record("", Security::RECORD).required();
        /// Mapping of what arrives to transactions: `kong`, a built-in one, or one of `mappings`.
        mapping: String = MAPPING;
        /// Find the route and service of transactions without them, as Kong's router would; by default if `mapping` is
        /// not `kong`.
        match_routes: Option<bool> = MATCH_ROUTES;
    }
}

/// Kafka's rule for names of topics. librdkafka takes a name with `^` as a pattern.
fn topic(name: &Value) -> Result<(), String> {
    let name = name.as_str().unwrap_or_default();
    let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=249).contains(&name.len()) && name.chars().all(valid) && name != "." && name != ".." {
        return Ok(());
    }
    Err("expected the name of a topic: 1 to 249 letters, digits, `.`, `_` and `-`".to_owned())
}

/// The Kafka input.
#[derive(Debug, Clone)]
pub(super) struct Kafka {
    settings: Settings,
    decoder: TextDecoder,
}

impl Input for Kafka {
    const NAME: &'static str = "kafka";
    const ABOUT: &'static str = "Records of Kafka's topics, by a consumer group.";
    const SETTINGS: &'static Record = Settings::RECORD;
    type Settings = Settings;

    fn new(settings: Settings, shared: Shared<'_>) -> Option<Self> {
        let decoder = shared.decoder(&settings.mapping, Format::Record);
        (!settings.topics.is_empty()).then_some(Self { settings, decoder })
    }

    fn matches_routes(&self) -> bool {
        matches_routes(self.settings.match_routes, &self.settings.mapping)
    }

    fn replays_phases(&self) -> bool {
        replays_phases(self.settings.match_routes, &self.settings.mapping)
    }

    fn files(&self) -> Files {
        self.settings.security.files()
    }

    fn check(&self) -> Vec<Diagnostic> {
        self.client().err().map(|error| transport::refusal(Self::NAME, error)).into_iter().collect()
    }

    fn bind(self) -> Result<Box<dyn BoundInput>, BindError> {
        let client = self.client();
        let (client, tokens) = client.map_err(|error| BindError::Transport { input: Self::NAME, error })?;
        Ok(Box::new(Bound { input: self, client, tokens }))
    }
}

impl Kafka {
    /// The settings of the client, and who supplies it with tokens. Connects to nothing.
    fn client(&self) -> Result<(ClientSettings, Option<TokenSupplier>), ConfigError> {
        let Settings { security, authentication, .. } = &self.settings;
        let connection = ConnectionConfig {
            bootstrap_servers: self.brokers(),
            timeout: 10_000,
            // Never: fetches are sent all the time.
            keepalive: 0,
            keepalive_enabled: true,
            cluster_name: None,
            authentication: authentication.clone(),
            security: security.connection(),
            certificate: security.certificate()?,
        };
        let settings = self.consumer();
        let tls = TlsConfigs::new(security.ca.clone());
        let client = ClientSettings::of_consumer(&connection, &settings, || tls.roots_pem());
        let renamed = |error: ConfigError| error.map_field(|field| field.replace("certificate_id", "certificate"));
        let client = client.map_err(renamed)?;
        let tokens = client.oauthbearer.as_ref().map(|config| TokenSupplier::new(config, &tls)).transpose()?;
        Ok((client, tokens))
    }

    fn consumer(&self) -> ConsumerConfig {
        let settings = self.settings.clone();
        ConsumerConfig {
            group_id: settings.group_id,
            group_instance_id: settings.group_instance_id,
            client_rack: settings.client_rack,
            auto_offset_reset: settings.auto_offset_reset,
            isolation_level: settings.isolation_level,
            partition_assignment: settings.partition_assignment,
            session_timeout: settings.session_timeout,
            commit_interval: settings.commit_interval,
            // The other half is for what the client has handed over.
            max_fetched_bytes: settings.max_buffered_bytes / 2,
        }
    }

    fn brokers(&self) -> Vec<Broker> {
        let parts = |address: &String| {
            // Every address was checked with the settings.
            let (host, port) = address.rsplit_once(':')?;
            Some(Broker { host: host.to_owned(), port: port.parse().ok()? })
        };
        self.settings.bootstrap_servers.iter().filter_map(parts).collect()
    }
}

struct Bound {
    input: Kafka,
    client: ClientSettings,
    tokens: Option<TokenSupplier>,
}

impl BoundInput for Bound {
    fn addresses(&self) -> Vec<Address> {
        Vec::new()
    }

    fn serve(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        let Self { input, client, tokens } = *self;
        let addresses = addresses(&input.brokers());
        let Kafka { settings, decoder } = input;
        let Settings { topics, group_id, auto_offset_reset, max_buffered_bytes, .. } = settings;
        let stats = Arc::new(ConsumerStats::new(&topics));
        context.counters().set_consumer(stats.clone());
        tracing::info!("consuming {} of {addresses} as a member of the group {group_id}", topics.join(", "));
        let control = Arc::new(Control::default());
        let membership = Membership {
            context: context.clone(),
            decoder,
            runtime: tokio::runtime::Handle::current(),
            settings: client,
            tokens,
            topics,
            addresses,
            from_start: auto_offset_reset == OffsetReset::Earliest,
            max_held_bytes: max_buffered_bytes / 2,
            control: control.clone(),
            stats,
        };
        Box::pin(async move {
            let (ended, end) = oneshot::channel();
            let run = move || {
                membership.run();
                let _ = ended.send(());
            };
            let thread = match std::thread::Builder::new().name("kafka-input".to_owned()).spawn(run) {
                Ok(started) => started.thread().clone(),
                Err(error) => {
                    tracing::error!("the Kafka input does not run: the system has no thread for it: {error}");
                    return context.stopped().await;
                }
            };
            let running = Running { control, thread };
            context.stopped().await;
            running.control.stop(&running.thread);
            // An error means that the thread has ended by a bug of its own, which it has reported.
            let _ = end.await;
        })
    }
}

/// Ends the thread at once when the input is dropped.
struct Running {
    control: Arc<Control>,
    thread: Thread,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.abort(&self.thread);
    }
}
