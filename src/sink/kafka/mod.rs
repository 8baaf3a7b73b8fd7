//! Records to a topic of Apache Kafka.
//!
//! - An entry settles when the brokers have acknowledged it as `producer_request_acks` requires. With the default, -1,
//!   every in-sync replica has it.
//! - With acks of -1 the producer is idempotent: a record that is resent after a lost response is written once, in order.
//!   An entry is duplicated only if the producer is recreated after a fatal error, or the process ends before it
//!   receives the delivery report.
//! - The producer never gives an entry up: the entry stays in flight until it is delivered or permanently rejected.
//!   Transient errors are reported to the queue, which decides how long to retry. An entry that the queue gives up may
//!   still arrive.

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

use self::in_flight::{InFlight, Next, Outcome, Rejection};
use self::record::{Labels, Shape};
use crate::sink::{BoxFuture, ConfigError, FailureKind, SendError, Sent, Sink, SinkShared, parse};
use logphase_kafka::config::Config;
use logphase_kafka::error::{self, ErrorAction};
use logphase_kafka::oauthbearer::TokenSupplier;
use logphase_kafka::producer::{ProducerHandle, Producers, code_of};
use logphase_kafka::registry::{EncodeError, Registry};
use logphase_kafka::settings::{self, Settings};

/// Unsettled bytes that the producers may hold: several batches for each of several brokers.
const WINDOW_BYTES: usize = 32 << 20;
/// Interval at which a persistent error is reported to the queue again.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// How long deliveries may stall before a connection error that is not an outage is reported.
const STALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for a delivery report before a full producer is tried again.
const FULL_RETRY_DELAY: Duration = Duration::from_millis(10);
/// How long to wait for a delivery report before the connection is checked.
const CONNECTION_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a closing sink waits for the last delivery reports.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends records to a topic.
pub struct KafkaSink {
    config: Config,
    addresses: String,
    settings: Settings,
    shape: Shape,
    producers: Arc<Producers>,
    registry: Option<Registry>,
    tokens: Option<TokenSupplier>,
    handles: ProducerHandles,
    in_flight: InFlight,
    // After an error the next `send` gets every entry that the queue still has.
    resync: bool,
    // The error that the next result reports to the queue: why entries are sent again.
    pending_error: Option<String>,
    warning: Option<String>,
    // When a connection error was last reported to the queue, if nothing was delivered since.
    error_reported_at: Option<Instant>,
    // When a record was last delivered, or when the first record was sent after an idle time.
    last_progress: Instant,
}

/// The producers in use: one for batches, one for records that must be alone in their request.
#[derive(Default)]
struct ProducerHandles {
    batches: Option<ProducerHandle>,
    alone: Option<ProducerHandle>,
    // Whether the entries in flight are in `alone`.
    alone_in_use: bool,
}

struct Content {
    value: Bytes,
    key: Option<Bytes>,
}

/// Why an entry was not given to the producer.
enum Blocked {
    /// The producer's buffer is full, or entries in flight must be reported first.
    Full,
    /// An error that the queue is to see.
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
    /// Makes a sink for `config`. It connects when the first entry is sent.
    ///
    /// # Errors
    /// Every field that librdkafka cannot use.
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
            producers: shared.kafka.clone(),
            registry,
            tokens,
            handles: ProducerHandles::default(),
            in_flight: InFlight::default(),
            resync: false,
            pending_error: None,
            warning: None,
            error_reported_at: None,
            last_progress: Instant::now(),
        })
    }

    async fn send_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        if std::mem::take(&mut self.resync) {
            self.in_flight.resync(entries);
        } else {
            self.in_flight.extend(entries);
        }
        loop {
            self.collect_reports();
            match self.fill_producer().await {
                Ok(()) => return self.take_result(),
                Err(Blocked::Failed(message)) => self.pending_error = Some(message),
                Err(Blocked::Full) => self.check_connection(),
            }
            if self.pending_error.is_some() {
                return self.take_result();
            }
            self.wait_for_reports(FULL_RETRY_DELAY).await;
        }
    }

    async fn settle_some(&mut self) -> Result<Sent, SendError> {
        while !self.in_flight.is_empty() {
            self.collect_reports();
            let pause = match self.fill_producer().await {
                Ok(()) => CONNECTION_CHECK_INTERVAL,
                Err(Blocked::Full) => FULL_RETRY_DELAY,
                Err(Blocked::Failed(message)) => {
                    self.pending_error = Some(message);
                    FULL_RETRY_DELAY
                }
            };
            self.check_connection();
            let result = self.take_result();
            if !matches!(&result, Ok(Sent { settled: 0, warning: None, .. })) {
                return result;
            }
            self.wait_for_reports(pause).await;
        }
        Ok(Sent::default())
    }

    /// Takes the result to report now: settled entries with the oldest rejection, the pending error or the warning.
    fn take_result(&mut self) -> Result<Sent, SendError> {
        let (settled, rejection) = self.in_flight.settle();
        if let Some(Rejection(why)) = rejection {
            self.resync = true;
            return Err(SendError::new(settled, FailureKind::Permanent, why.clone()));
        }
        if let Some(message) = self.pending_error.take() {
            self.resync = true;
            return Err(SendError::retry(settled, message));
        }
        Ok(Sent { settled, lost: 0, warning: self.warning.take() })
    }

    /// Gives waiting entries to the producer until it is full.
    async fn fill_producer(&mut self) -> Result<(), Blocked> {
        self.replace_broken();
        while let Some(next) = self.in_flight.next() {
            let other_producer = next.send_alone != self.handles.alone_in_use && self.in_flight.unacknowledged() > 0;
            if next.blocked || other_producer {
                return Err(Blocked::Full);
            }
            let (labels, count) = self.labels(next);
            if let Some(content) = self.content(next.number, count, &labels).await? {
                self.ensure_handle(next.send_alone).map_err(Blocked::Failed)?;
                self.enqueue(next, count, &content, &labels)?;
            }
        }
        Ok(())
    }

    /// Returns the labels of the next record and how many entries it contains.
    fn labels(&self, next: Next) -> (Labels, usize) {
        if self.shape.batch > 1 && !next.send_alone {
            return self.shape.group(self.in_flight.batchable(next.number));
        }
        let labels = self.in_flight.entries(next.number, 1).next().map(|entry| self.shape.labels(entry));
        (labels.unwrap_or_default(), 1)
    }

    /// Builds the value and key of the record of `count` entries from `number` on; `None` if its only entry is rejected.
    async fn content(&mut self, number: u64, count: usize, labels: &Labels) -> Result<Option<Content>, Blocked> {
        let key = labels.key.as_ref();
        let plain = |value| Content { value, key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())) };
        if self.shape.batch > 1 {
            return Ok(Some(plain(record::array(self.in_flight.entries(number, count)))));
        }
        let Some(entry) = self.in_flight.entries(number, 1).next().cloned() else { return Ok(None) };
        let Some(registry) = &self.registry else { return Ok(Some(plain(entry))) };
        let encoded = encode(registry, &entry, key).await;
        self.warning = registry.take_warning().or(self.warning.take());
        match encoded {
            Ok(content) => Ok(Some(content)),
            Err(EncodeError::Retry(why)) => Err(Blocked::Failed(why)),
            Err(EncodeError::Final(why)) => {
                self.in_flight.reject(number, why);
                Ok(None)
            }
        }
    }

    fn enqueue(&mut self, next: Next, count: usize, content: &Content, labels: &Labels) -> Result<(), Blocked> {
        let Some(handle) = self.handles.get(next.send_alone) else { return Ok(()) };
        let mut record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.config.topic, handle.opaque(next.number));
        record.payload = Some(&content.value);
        record.key = content.key.as_deref();
        record.headers = labels.owned_headers();
        let sent = handle.shared().producer().send(record).map_err(|(error, _)| code_of(&error));
        let Err(code) = sent else {
            if self.in_flight.unacknowledged() == 0 {
                self.last_progress = Instant::now();
                handle.shared().wake();
            }
            self.handles.alone_in_use = next.send_alone;
            self.in_flight.mark_sent(next.number, count);
            return Ok(());
        };
        if code == RDKafkaErrorCode::QueueFull {
            return Err(Blocked::Full);
        }
        match error::action(code).0 {
            ErrorAction::Retry => return Err(Blocked::Failed(error::explain(&self.config.topic, code, ""))),
            ErrorAction::Recreate => {
                handle.shared().mark_broken();
                return Err(Blocked::Full);
            }
            ErrorAction::SendAlone | ErrorAction::Reject => {
                self.in_flight.mark_sent(next.number, count);
                self.in_flight.apply_report(next.number, &outcome(&self.config.topic, code));
            }
        }
        Ok(())
    }

    /// Acquires the producer for batches, or the one for single-record requests, if it is not there yet.
    fn ensure_handle(&mut self, send_alone: bool) -> Result<(), String> {
        if self.handles.get(send_alone).is_some() {
            return Ok(());
        }
        let single = send_alone.then(|| self.settings.with_single_record_requests());
        let settings = single.as_ref().unwrap_or(&self.settings);
        let cluster_name = self.config.connection.cluster_name.as_deref();
        let (handle, warning) =
            self.producers.acquire(settings, cluster_name, self.tokens.as_ref()).map_err(|error| error.to_string())?;
        self.warning = warning.or(self.warning.take());
        *self.handles.get_mut(send_alone) = Some(handle);
        Ok(())
    }

    /// Drops producers that cannot deliver anymore; their entries wait to be sent again.
    fn replace_broken(&mut self) {
        for send_alone in [false, true] {
            let broken = self.handles.get(send_alone).is_some_and(|handle| handle.shared().is_broken());
            if !broken {
                continue;
            }
            self.collect_reports();
            let last_error = self.handles.get(send_alone).and_then(ProducerHandle::connection_error);
            *self.handles.get_mut(send_alone) = None;
            if self.handles.alone_in_use == send_alone && self.in_flight.unacknowledged() > 0 {
                self.in_flight.requeue_sent();
                let reason = last_error.map(|error| error.reason).unwrap_or_default();
                self.pending_error = Some(error::explain_recreation(&self.config.topic, &reason));
            }
        }
    }

    /// Applies the delivery reports of the producers.
    fn collect_reports(&mut self) {
        let topic = &self.config.topic;
        let mut delivered = false;
        for handle in [&self.handles.batches, &self.handles.alone].into_iter().flatten() {
            for report in handle.reports.take() {
                let Some(code) = report.error else {
                    delivered = true;
                    self.in_flight.apply_report(report.number, &Outcome::Delivered);
                    continue;
                };
                self.in_flight.apply_report(report.number, &outcome(topic, code));
                match error::action(code).0 {
                    ErrorAction::Retry => self.pending_error = Some(error::explain(topic, code, "")),
                    ErrorAction::Recreate => {
                        handle.shared().mark_broken();
                        self.pending_error = Some(error::explain_recreation(topic, &code.to_string()));
                    }
                    ErrorAction::SendAlone if self.warning.is_none() => {
                        self.warning = Some(error::explain_sending_alone(topic, code))
                    }
                    ErrorAction::SendAlone | ErrorAction::Reject => {}
                }
            }
        }
        if delivered {
            self.error_reported_at = None;
            self.last_progress = Instant::now();
        }
    }

    /// Waits for a delivery report for at most `limit`.
    async fn wait_for_reports(&mut self, limit: Duration) {
        match self.handles.get(self.handles.alone_in_use) {
            Some(handle) => {
                let _ = timeout(limit, handle.reports.notified()).await;
            }
            None => tokio::time::sleep(limit).await,
        }
    }

    /// Sets the pending error if deliveries have stalled and the queue has not been told recently.
    fn check_connection(&mut self) {
        if self.pending_error.is_some() || self.error_reported_at.is_some_and(|at| at.elapsed() < REPORT_INTERVAL) {
            return;
        }
        let waited = self.last_progress.elapsed();
        let last_error = self.handles.get(self.handles.alone_in_use).and_then(ProducerHandle::connection_error);
        self.pending_error = match last_error {
            // An error from before the last progress may be over.
            Some(last_error) if last_error.outage && last_error.at >= self.last_progress || waited > STALL_TIMEOUT => {
                Some(error::explain_connection_error(&self.addresses, last_error.code, &last_error.reason))
            }
            None if waited > self.acknowledgement_timeout() && self.in_flight.unacknowledged() > 0 => Some(format!(
                "topic {} at {}: no acknowledgement for {} s; the topic may have fewer replicas in sync than its \
                 min.insync.replicas, or a partition may have no leader: see the brokers' logs",
                self.config.topic,
                self.addresses,
                waited.as_secs()
            )),
            _ => None,
        };
        if self.pending_error.is_some() {
            self.error_reported_at = Some(Instant::now());
        }
    }

    /// How long the brokers may take to acknowledge a record before a stall is reported.
    fn acknowledgement_timeout(&self) -> Duration {
        let request = u64::try_from(self.config.producer.producer_request_timeout).unwrap_or(0);
        Duration::from_millis(self.config.connection.timeout.max(request))
    }

    async fn close_now(&mut self) {
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        while self.in_flight.unacknowledged() > 0 && Instant::now() < deadline {
            self.wait_for_reports(CONNECTION_CHECK_INTERVAL).await;
            self.collect_reports();
        }
        self.handles = ProducerHandles::default();
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

impl ProducerHandles {
    fn get(&self, send_alone: bool) -> Option<&ProducerHandle> {
        if send_alone { self.alone.as_ref() } else { self.batches.as_ref() }
    }

    fn get_mut(&mut self, send_alone: bool) -> &mut Option<ProducerHandle> {
        if send_alone { &mut self.alone } else { &mut self.batches }
    }
}

impl Sink for KafkaSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(self.settle_some())
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async move {
            self.close_now().await;
            Ok(())
        })
    }

    fn window(&self) -> usize {
        WINDOW_BYTES
    }
}

/// Maps the error of a delivery report to the outcome of the record's entries.
fn outcome(topic: &str, code: RDKafkaErrorCode) -> Outcome {
    match error::action(code).0 {
        ErrorAction::Retry | ErrorAction::Recreate => Outcome::Resend,
        ErrorAction::SendAlone => Outcome::SendAlone(error::explain(topic, code, "")),
        ErrorAction::Reject => Outcome::Rejected(error::explain(topic, code, "")),
    }
}

#[cfg(test)]
mod tests;
