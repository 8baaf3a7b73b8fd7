//! Producers that plugins share.
//!
//! [`Producers`] has the producers of a process. A plugin acquires a [`ProducerHandle`], sends records through it, and
//! takes the [`DeliveryReports`] of its own records. A producer has one thread that polls librdkafka and passes
//! [`Events`] on to the handles; it ends when the last handle is dropped.

mod events;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

pub use self::events::{ConnectionError, DeliveryReport, DeliveryReports, Events, code_of};
use super::oauthbearer::{SetTokenError, Token, TokenClient, TokenSupplier};
use super::settings::Settings;

/// How long reports are gathered before the handles are woken, while reports arrive.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause while reports are outstanding and do not arrive.
const MAX_PAUSE: Duration = Duration::from_millis(16);
/// The pause while no record is in flight, unless one is sent.
const IDLE_PAUSE: Duration = Duration::from_millis(100);
/// Polls in a row. Each delivers one event, which is all reports of one response of a broker or one log line, and does
/// not say whether there was one.
const POLLS: usize = 8;

/// librdkafka's producer with this crate's events.
pub type Producer = BaseProducer<Events>;

impl TokenClient for Producer {
    fn set_token(&self, token: &Token<'_>) -> Result<(), SetTokenError> {
        token.hand_to(self.client())
    }

    fn token_failed(&self, reason: &str) {
        self.context().record_error(RDKafkaErrorCode::Authentication, reason);
    }
}

/// A producer cannot be started or shared.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// librdkafka refuses to create it.
    #[error("cannot set up the Kafka client: {0}")]
    Create(#[source] KafkaError),
    /// The system has no thread for it.
    #[error("cannot start a thread for the Kafka client: {0}")]
    Thread(#[source] std::io::Error),
    /// All ids of handles are taken.
    #[error("more than 65535 plugins share a Kafka client; give some another cluster_name")]
    TooManyHandles,
}

/// A producer that plugins share. When the last handle is dropped it ends, with everything it has not delivered.
pub struct SharedProducer {
    producer: Arc<Producer>,
    stop: Arc<AtomicBool>,
    poller: Thread,
    cluster_name: Option<String>,
    settings: Settings,
}

impl SharedProducer {
    fn start(
        settings: Settings,
        cluster_name: Option<String>,
        tokens: Option<&TokenSupplier>,
    ) -> Result<Arc<Self>, ProducerError> {
        let producer = Producer::from_config_and_context(&settings.client_config(), Events::default());
        let producer = Arc::new(producer.map_err(ProducerError::Create)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (producer.clone(), stop.clone());
        let poller = thread::Builder::new()
            .name("kafka".to_owned())
            .spawn(move || poll(&polled, &stopped))
            .map_err(ProducerError::Thread)?
            .thread()
            .clone();
        if let Some(tokens) = tokens {
            tokens.supply(&producer);
        }
        Ok(Arc::new(Self { producer, stop, poller, cluster_name, settings }))
    }

    /// librdkafka's producer.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Wakes the polling thread after a record was sent while none was in flight.
    pub fn wake(&self) {
        self.poller.unpark();
    }

    /// Whether the producer can deliver nothing more and must be replaced.
    pub fn is_broken(&self) -> bool {
        self.producer.context().is_broken()
    }

    /// Marks the producer as broken.
    pub fn mark_broken(&self) {
        self.producer.context().mark_broken();
    }
}

impl Drop for SharedProducer {
    fn drop(&mut self) {
        // The thread holds the last reference, so that only the thread waits for librdkafka to shut down.
        self.stop.store(true, Ordering::Release);
        self.poller.unpark();
    }
}

/// Passes reports on, many at a time. It polls without a timeout and pauses itself, because rdkafka polls without a
/// pause for the last millisecond of a timeout.
fn poll(producer: &Producer, stop: &AtomicBool) {
    let events = producer.context();
    let mut pause = BUSY_PAUSE;
    while !stop.load(Ordering::Acquire) {
        let mut distributed = false;
        loop {
            (0..POLLS).for_each(|_| producer.poll(Duration::ZERO));
            if !events.distribute() {
                break;
            }
            distributed = true;
        }
        pause = if distributed { BUSY_PAUSE } else { (pause * 2).min(MAX_PAUSE) };
        if producer.in_flight_count() == 0 {
            thread::park_timeout(IDLE_PAUSE);
            pause = BUSY_PAUSE;
        } else {
            thread::sleep(pause);
        }
    }
}

/// One plugin's access to a shared producer.
pub struct ProducerHandle {
    shared: Arc<SharedProducer>,
    id: u16,
    /// The delivery reports of the records that were sent through this handle.
    pub reports: Arc<DeliveryReports>,
}

impl ProducerHandle {
    fn new(shared: Arc<SharedProducer>) -> Result<Self, ProducerError> {
        let reports = Arc::new(DeliveryReports::default());
        let id = shared.producer.context().register(reports.clone()).ok_or(ProducerError::TooManyHandles)?;
        Ok(Self { shared, id, reports })
    }

    /// The opaque to send a record with, so that its delivery report arrives here with `number`.
    pub fn opaque(&self, number: u64) -> usize {
        Events::opaque(self.id, number)
    }

    /// The producer.
    pub fn shared(&self) -> &SharedProducer {
        &self.shared
    }

    /// The last connection error of the producer since it last delivered a record.
    pub fn connection_error(&self) -> Option<ConnectionError> {
        self.shared.producer.context().connection_error()
    }

    /// Whether both handles have the same producer.
    #[cfg(test)]
    pub fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Drop for ProducerHandle {
    fn drop(&mut self) {
        self.shared.producer.context().unregister(self.id);
    }
}

/// The producers of a process.
#[derive(Default)]
pub struct Producers {
    all: Mutex<Vec<Weak<SharedProducer>>>,
}

impl Producers {
    /// A handle to a producer with `settings`: an existing one, or a new one that `tokens` supplies.
    ///
    /// Plugins with equal settings share a producer. Plugins with the same `cluster_name` also share the settings of
    /// the connection: those of the first plugin are used, and a warning is returned if they differ from `settings`.
    ///
    /// # Errors
    /// A new producer cannot be started, or the producer has too many handles.
    pub fn acquire(
        &self,
        settings: &Settings,
        cluster_name: Option<&str>,
        tokens: Option<&TokenSupplier>,
    ) -> Result<(ProducerHandle, Option<String>), ProducerError> {
        let mut all = self.all.lock();
        all.retain(|shared| shared.strong_count() > 0);
        let usable: Vec<_> = all.iter().filter_map(Weak::upgrade).filter(|shared| !shared.is_broken()).collect();
        let named =
            cluster_name.and_then(|name| usable.iter().find(|shared| shared.cluster_name.as_deref() == Some(name)));
        let first = named.map_or(settings, |shared| &shared.settings);
        let differs = first.connection != settings.connection || first.oauthbearer != settings.oauthbearer;
        let warning = differs.then(|| {
            format!(
                "another plugin with cluster_name {:?} has other connection settings, which are used here too; make \
                 them equal, or give this plugin another cluster_name",
                cluster_name.unwrap_or_default()
            )
        });
        let settings = Settings { role: settings.role.clone(), ..first.clone() };
        let matches = |shared: &&Arc<SharedProducer>| {
            shared.cluster_name.as_deref() == cluster_name && shared.settings == settings
        };
        let shared = match usable.iter().find(matches) {
            Some(shared) => shared.clone(),
            None => {
                let shared = SharedProducer::start(settings, cluster_name.map(str::to_owned), tokens)?;
                all.push(Arc::downgrade(&shared));
                shared
            }
        };
        Ok((ProducerHandle::new(shared)?, warning))
    }
}
