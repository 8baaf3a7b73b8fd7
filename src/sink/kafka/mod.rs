//! Records to a topic of Apache Kafka.
//!
//! - An entry settles when the brokers have acknowledged it as `producer_request_acks` asks; with the default, -1, when
//!   every replica in sync has it.
//! - With acks of -1 the client is idempotent: what it sends again after a lost answer is written once, in order.
//!   Entries come twice only when the client itself is made anew after a fatal error, or the process ends before it
//!   has heard of a delivery.
//! - The client gives nothing up: an entry is on its way until it is delivered or refused for good. Errors that pass
//!   are told to the queue, which decides for how long; an entry that it gives up may arrive all the same.

mod in_flight;
mod json_path;
mod record;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::producer::BaseRecord;
use rdkafka::types::RDKafkaErrorCode;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use self::in_flight::{InFlight, Next, Outcome, Refusal};
use self::record::{Labels, Shape};
use crate::sink::{BoxFuture, ConfigError, FailureKind, SendError, Sent, Sink, SinkShared, parse};
use logphase_kafka::config::Config;
use logphase_kafka::error::{self, ErrorAction};
use logphase_kafka::oauthbearer::TokenSupplier;
use logphase_kafka::producer::{ProducerHandle, Producers, code_of};
use logphase_kafka::registry::{EncodeError, Registry};
use logphase_kafka::settings::{self, Settings};

/// Bytes that may be in the client unsettled: several batches for each of several brokers.
const WINDOW_BYTES: usize = 32 << 20;
/// How often a trouble that lasts is told to the queue.
const REMIND: Duration = Duration::from_secs(5);
/// How long nothing may be delivered before a trouble that is no outage is told.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause before a full client is tried again, if no report comes first.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// The pause between looks for trouble, if no report comes first.
const LOOK: Duration = Duration::from_millis(500);
/// How long a sink that closes waits for the last reports.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// Sends records to a topic.
pub struct KafkaSink {
    config: Config,
    addresses: String,
    settings: Settings,
    shape: Shape,
    clients: Arc<Producers>,
    registry: Option<Registry>,
    tokens: Option<TokenSupplier>,
    links: Links,
    in_flight: InFlight,
    // The queue hands over anew what it still has.
    realign: bool,
    // Told with the next answer: why entries are being sent again.
    setback: Option<String>,
    warning: Option<String>,
    told: Told,
}

/// The clients in use: one for batches, one for what must be alone in its request.
#[derive(Default)]
struct Links {
    batches: Option<ProducerHandle>,
    apart: Option<ProducerHandle>,
    // Which of them has what is on its way.
    apart_in_use: bool,
}

/// What the queue has been told of the client's troubles.
struct Told {
    at: Option<Instant>,
    // When a record was last delivered or first waited for.
    progress: Instant,
}

/// What a record holds.
struct Content {
    value: Bytes,
    key: Option<Bytes>,
}

/// Why entries are not in the client.
enum Stopped {
    /// There is no room.
    Full,
    /// Something failed, with its text.
    Failed(String),
}

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// Every field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    Ok(Box::new(KafkaSink::new(parse(config)?, shared)?))
}

impl KafkaSink {
    /// A sink for `config`. Connects when the first message comes.
    ///
    /// # Errors
    /// Every field that the client cannot use.
    pub fn new(config: Config, shared: &SinkShared) -> Result<Self, Vec<ConfigError>> {
        let settings = Settings::new(&config.connection, &config.producer, || shared.tls.roots_pem());
        let registry = config.schema_registry.as_ref().and_then(|registry| registry.confluent.as_ref());
        let registry = registry.map(|registry| Registry::open(registry, &shared.tls)).transpose();
        let (settings, registry) = match (settings, registry) {
            (Ok(settings), Ok(registry)) => (settings, registry),
            (settings, registry) => return Err(settings.err().into_iter().chain(registry.err()).collect()),
        };
        let tokens = settings.oauthbearer.as_ref().map(|config| TokenSupplier::new(config, &shared.tls));
        let tokens = tokens.transpose().map_err(|error| vec![error])?;
        Ok(Self {
            addresses: settings::addresses(&config.connection.bootstrap_servers),
            shape: Shape::new(&config),
            config,
            settings,
            clients: shared.kafka.clone(),
            registry,
            tokens,
            links: Links::default(),
            in_flight: InFlight::default(),
            realign: false,
            setback: None,
            warning: None,
            told: Told { at: None, progress: Instant::now() },
        })
    }

    async fn send_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        if std::mem::take(&mut self.realign) {
            self.in_flight.align(entries);
        } else {
            self.in_flight.extend(entries);
        }
        loop {
            self.collect_reports();
            match self.pump().await {
                Ok(()) => return self.answer(),
                Err(Stopped::Failed(message)) => self.setback = Some(message),
                Err(Stopped::Full) => self.look_for_trouble(),
            }
            if self.setback.is_some() {
                return self.answer();
            }
            self.listen(FULL_PAUSE).await;
        }
    }

    async fn settle_some(&mut self) -> Result<Sent, SendError> {
        while !self.in_flight.is_empty() {
            self.collect_reports();
            let pause = match self.pump().await {
                Ok(()) => LOOK,
                Err(Stopped::Full) => FULL_PAUSE,
                Err(Stopped::Failed(message)) => {
                    self.setback = Some(message);
                    FULL_PAUSE
                }
            };
            self.look_for_trouble();
            let answer = self.answer();
            if !matches!(&answer, Ok(Sent { settled: 0, warning: None, .. })) {
                return answer;
            }
            self.listen(pause).await;
        }
        Ok(Sent::default())
    }

    /// What can be said now.
    fn answer(&mut self) -> Result<Sent, SendError> {
        let (settled, refusal) = self.in_flight.settle();
        if let Some(Refusal(why)) = refusal {
            self.realign = true;
            return Err(SendError::new(settled, FailureKind::Permanent, why.clone()));
        }
        if let Some(message) = self.setback.take() {
            self.realign = true;
            return Err(SendError::retry(settled, message));
        }
        Ok(Sent { settled, lost: 0, warning: self.warning.take() })
    }

    /// Hands what waits to the client.
    async fn pump(&mut self) -> Result<(), Stopped> {
        self.replace_broken();
        while let Some(next) = self.in_flight.next() {
            let other_client = next.apart != self.links.apart_in_use && self.in_flight.on_way() > 0;
            if next.blocked || other_client {
                return Err(Stopped::Full);
            }
            let (labels, count) = self.labels(next);
            if let Some(content) = self.content(next.number, count, &labels).await? {
                self.ready_link(next.apart).map_err(Stopped::Failed)?;
                self.enqueue(next, count, &content, &labels)?;
            }
        }
        Ok(())
    }

    /// The labels of the record that is next, and how many entries are in it.
    fn labels(&self, next: Next) -> (Labels, usize) {
        if self.shape.batch > 1 && !next.apart {
            return self.shape.group(self.in_flight.together(next.number));
        }
        let labels = self.in_flight.run(next.number, 1).next().map(|entry| self.shape.labels(entry));
        (labels.unwrap_or_default(), 1)
    }

    /// Value and key of the record of `count` entries from `number` on; none if the one entry was refused instead.
    async fn content(&mut self, number: u64, count: usize, labels: &Labels) -> Result<Option<Content>, Stopped> {
        let key = labels.key.as_ref();
        let plain = |value| Content { value, key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())) };
        if self.shape.batch > 1 {
            return Ok(Some(plain(record::array(self.in_flight.run(number, count)))));
        }
        let Some(entry) = self.in_flight.run(number, 1).next().cloned() else { return Ok(None) };
        let Some(registry) = &self.registry else { return Ok(Some(plain(entry))) };
        let encoded = encode(registry, &entry, key).await;
        self.warning = registry.take_warning().or(self.warning.take());
        match encoded {
            Ok(content) => Ok(Some(content)),
            Err(EncodeError::Retry(why)) => Err(Stopped::Failed(why)),
            Err(EncodeError::Final(why)) => {
                self.in_flight.refuse(number, why);
                Ok(None)
            }
        }
    }

    fn enqueue(&mut self, next: Next, count: usize, content: &Content, labels: &Labels) -> Result<(), Stopped> {
        let Some(link) = self.links.get(next.apart) else { return Ok(()) };
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.config.topic, link.opaque(next.number));
        record.payload = Some(&content.value);
        record.key = content.key.as_deref();
        record.headers = labels.owned_headers();
        let sent = link.shared().producer().send(record).map_err(|(error, _)| code_of(&error));
        let Err(code) = sent else {
            if self.in_flight.on_way() == 0 {
                self.told.progress = Instant::now();
                link.shared().wake();
            }
            self.links.apart_in_use = next.apart;
            self.in_flight.sent(next.number, count);
            return Ok(());
        };
        if code == RDKafkaErrorCode::QueueFull {
            return Err(Stopped::Full);
        }
        match error::action(code).0 {
            ErrorAction::Retry => return Err(Stopped::Failed(error::explain(&self.config.topic, code, ""))),
            ErrorAction::Recreate => {
                link.shared().mark_broken();
                return Err(Stopped::Full);
            }
            ErrorAction::SendAlone | ErrorAction::Reject => {
                self.in_flight.sent(next.number, count);
                self.in_flight.report(next.number, &outcome(&self.config.topic, code));
            }
        }
        Ok(())
    }

    /// Sees to it that there is a client for batches, or for what must be alone in its request.
    fn ready_link(&mut self, apart: bool) -> Result<(), String> {
        if self.links.get(apart).is_some() {
            return Ok(());
        }
        let single = apart.then(|| self.settings.with_single_record_requests());
        let settings = single.as_ref().unwrap_or(&self.settings);
        let cluster_name = self.config.connection.cluster_name.as_deref();
        let (link, warning) =
            self.clients.acquire(settings, cluster_name, self.tokens.as_ref()).map_err(|error| error.to_string())?;
        self.warning = warning.or(self.warning.take());
        *self.links.get_mut(apart) = Some(link);
        Ok(())
    }

    /// Gives up clients that can deliver nothing more; what they had waits again.
    fn replace_broken(&mut self) {
        for apart in [false, true] {
            let broken = self.links.get(apart).is_some_and(|link| link.shared().is_broken());
            if !broken {
                continue;
            }
            self.collect_reports();
            let trouble = self.links.get(apart).and_then(ProducerHandle::connection_error);
            *self.links.get_mut(apart) = None;
            if self.links.apart_in_use == apart && self.in_flight.on_way() > 0 {
                self.in_flight.recall();
                let reason = trouble.map(|trouble| trouble.reason).unwrap_or_default();
                self.setback = Some(error::explain_recreation(&self.config.topic, &reason));
            }
        }
    }

    /// Books what the clients have reported.
    fn collect_reports(&mut self) {
        let topic = &self.config.topic;
        let mut delivered = false;
        for link in [&self.links.batches, &self.links.apart].into_iter().flatten() {
            for report in link.reports.take() {
                let Some(code) = report.error else {
                    delivered = true;
                    self.in_flight.report(report.number, &Outcome::Delivered);
                    continue;
                };
                self.in_flight.report(report.number, &outcome(topic, code));
                match error::action(code).0 {
                    ErrorAction::Retry => self.setback = Some(error::explain(topic, code, "")),
                    ErrorAction::Recreate => {
                        link.shared().mark_broken();
                        self.setback = Some(error::explain_recreation(topic, &code.to_string()));
                    }
                    ErrorAction::SendAlone if self.warning.is_none() => {
                        self.warning = Some(error::explain_sending_alone(topic, code))
                    }
                    ErrorAction::SendAlone | ErrorAction::Reject => {}
                }
            }
        }
        if delivered {
            self.told = Told { at: None, progress: Instant::now() };
        }
    }

    /// Waits for reports, for at most `pause`.
    async fn listen(&mut self, pause: Duration) {
        match self.links.get(self.links.apart_in_use) {
            Some(link) => {
                let _ = timeout(pause, link.reports.notified()).await;
            }
            None => tokio::time::sleep(pause).await,
        }
    }

    /// Finds out whether the queue is to be told that nothing is delivered at present.
    fn look_for_trouble(&mut self) {
        if self.setback.is_some() || self.told.at.is_some_and(|at| at.elapsed() < REMIND) {
            return;
        }
        let waited = self.told.progress.elapsed();
        let trouble = self.links.get(self.links.apart_in_use).and_then(ProducerHandle::connection_error);
        self.setback = match trouble {
            // What was before the client was last needed may be over.
            Some(trouble) if trouble.outage && trouble.at >= self.told.progress || waited > PATIENCE => {
                Some(error::explain_connection_error(&self.addresses, trouble.code, &trouble.reason))
            }
            None if waited > self.patience() && self.in_flight.on_way() > 0 => Some(format!(
                "topic {} at {}: no acknowledgement for {} s; the topic may have fewer replicas in sync than its \
                 min.insync.replicas, or a partition no leader: see the brokers' logs",
                self.config.topic,
                self.addresses,
                waited.as_secs()
            )),
            _ => None,
        };
        if self.setback.is_some() {
            self.told.at = Some(Instant::now());
        }
    }

    /// How long an acknowledgement may take before it is missed.
    fn patience(&self) -> Duration {
        let request = u64::try_from(self.config.producer.producer_request_timeout).unwrap_or(0);
        Duration::from_millis(self.config.connection.timeout.max(request))
    }

    async fn close_now(&mut self) {
        let deadline = Instant::now() + CLOSE_TIME;
        while self.in_flight.on_way() > 0 && Instant::now() < deadline {
            self.listen(LOOK).await;
            self.collect_reports();
        }
        self.links = Links::default();
    }
}

async fn encode(registry: &Registry, entry: &Bytes, key: Option<&String>) -> Result<Content, EncodeError> {
    let value = registry.encode(entry).await?;
    let key = match key {
        Some(key) => Some(registry.encode_key(key).await?),
        None => None,
    };
    Ok(Content { value, key })
}

impl Links {
    fn get(&self, apart: bool) -> Option<&ProducerHandle> {
        if apart { self.apart.as_ref() } else { self.batches.as_ref() }
    }

    fn get_mut(&mut self, apart: bool) -> &mut Option<ProducerHandle> {
        if apart { &mut self.apart } else { &mut self.batches }
    }
}

impl Sink for KafkaSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(self.settle_some())
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.close_now())
    }

    fn window(&self) -> usize {
        WINDOW_BYTES
    }
}

/// What the report of an error makes of the entries of a record.
fn outcome(topic: &str, code: RDKafkaErrorCode) -> Outcome {
    match error::action(code).0 {
        ErrorAction::Retry | ErrorAction::Recreate => Outcome::Again,
        ErrorAction::SendAlone => Outcome::Apart(error::explain(topic, code, "")),
        ErrorAction::Reject => Outcome::Refused(error::explain(topic, code, "")),
    }
}

#[cfg(test)]
mod tests;
