//! Clients of Kafka that plugins share, each with a thread that hands delivery reports on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::client::Settings;
use super::error;
use super::token::Tokens;

/// How long reports are gathered before the sinks are woken, while they come.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause while reports are waited for that do not come.
const LONGEST_PAUSE: Duration = Duration::from_millis(16);
/// The pause while nothing is on its way, unless something is sent.
const IDLE_PAUSE: Duration = Duration::from_millis(100);
/// How often the client is asked at a time: each time it hands over one event, which is all reports of one answer of a
/// broker or one line of its log, and says not whether it had one.
const EVENTS: usize = 8;
/// Bits of a record's opaque that are the entry's number; those above are the mailbox.
const NUMBER_BITS: u32 = 48;

/// A client of librdkafka as it is used here.
pub type Client = BaseProducer<Reports>;

/// What a client has reported about one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The number that the record was sent with.
    pub number: u64,
    /// Why it is not delivered.
    pub error: Option<RDKafkaErrorCode>,
}

/// Where one sink's reports arrive.
#[derive(Debug, Default)]
pub struct Mailbox {
    reports: Mutex<Vec<Report>>,
    notify: Notify,
}

impl Mailbox {
    /// Takes what has arrived.
    pub fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *lock(&self.reports))
    }

    /// Resolves when something has arrived since the last call, or the cluster is in trouble.
    pub async fn arrived(&self) {
        self.notify.notified().await;
    }
}

/// Something that keeps the client from the cluster, or from a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// librdkafka's code.
    pub code: RDKafkaErrorCode,
    /// What librdkafka says.
    pub reason: String,
    /// When it was noticed.
    pub at: Instant,
    /// Nothing can be delivered meanwhile.
    pub outage: bool,
}

#[derive(Default)]
struct Troubles {
    cause: Option<(RDKafkaErrorCode, String)>,
    current: Option<Trouble>,
}

/// What a client's events come to: the reports of all sinks on it, and what troubles it.
#[derive(Default)]
pub struct Reports {
    // Reports that no sink has yet been told of, with their opaques.
    incoming: Mutex<Vec<(usize, Option<RDKafkaErrorCode>)>>,
    mailboxes: RwLock<HashMap<u16, Arc<Mailbox>>>,
    troubles: Mutex<Troubles>,
    broken: AtomicBool,
}

impl Reports {
    /// Tells the sinks what has come in; whether anything had.
    fn distribute(&self) -> bool {
        let incoming = std::mem::take(&mut *lock(&self.incoming));
        if incoming.is_empty() {
            return false;
        }
        if incoming.iter().any(|(_, error)| error.is_none()) {
            let mut troubles = lock(&self.troubles);
            (troubles.cause, troubles.current) = (None, None);
        }
        let mailboxes = self.mailboxes.read();
        for run in incoming.chunk_by(|a, b| a.0 >> NUMBER_BITS == b.0 >> NUMBER_BITS) {
            let Some(mailbox) = mailboxes.get(&((run[0].0 >> NUMBER_BITS) as u16)) else { continue };
            let report = |&(opaque, error): &(usize, Option<RDKafkaErrorCode>)| Report {
                number: opaque as u64 & ((1 << NUMBER_BITS) - 1),
                error,
            };
            lock(&mailbox.reports).extend(run.iter().map(report));
            mailbox.notify.notify_one();
        }
        true
    }

    /// What keeps the client from the cluster, if anything was heard since the last delivery.
    pub fn trouble(&self) -> Option<Trouble> {
        lock(&self.troubles).current.clone()
    }

    /// Notes a trouble and wakes the sinks if nothing can be delivered because of it.
    pub fn note_trouble(&self, code: RDKafkaErrorCode, reason: &str) {
        let outage = error::is_outage(code);
        {
            let mut troubles = lock(&self.troubles);
            // That all brokers are down says not why; what was said last of one of them does.
            let cause = if code == RDKafkaErrorCode::AllBrokersDown { troubles.cause.clone() } else { None };
            let (code, reason) = cause.unwrap_or_else(|| (code, reason.to_owned()));
            troubles.cause = Some((code, reason.clone()));
            let outage = outage || troubles.current.as_ref().is_some_and(|trouble| trouble.outage);
            troubles.current = Some(Trouble { code, reason, at: Instant::now(), outage });
        }
        if outage {
            let mailboxes = self.mailboxes.read();
            mailboxes.values().for_each(|mailbox| mailbox.notify.notify_one());
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "kafka client: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if code == RDKafkaErrorCode::Fatal {
            self.broken.store(true, Ordering::Release);
        }
        self.note_trouble(code, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let error = result.as_ref().err().map(|(error, _)| code_of(error));
        lock(&self.incoming).push((opaque, error));
    }
}

/// librdkafka's code of an error.
pub fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)
}

/// A client that sinks share. Ends, with all it has not delivered, when the last of them lets go of it.
pub struct Shared {
    client: Arc<Client>,
    stop: Arc<AtomicBool>,
    poller: Thread,
    cluster: Option<String>,
    settings: Settings,
}

impl Shared {
    fn start(settings: Settings, cluster: Option<String>, tokens: Option<&Tokens>) -> Result<Arc<Self>, String> {
        let client = Client::from_config_and_context(&settings.client(), Reports::default());
        let client = Arc::new(client.map_err(|error| format!("cannot set up the Kafka client: {error}"))?);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (client.clone(), stop.clone());
        let poller = thread::Builder::new()
            .name("kafka".to_owned())
            .spawn(move || poll(&polled, &stopped))
            .map_err(|error| format!("cannot start a thread for the Kafka client: {error}"))?
            .thread()
            .clone();
        if let Some(tokens) = tokens {
            tokens.supply(&client);
        }
        Ok(Arc::new(Self { client, stop, poller, cluster, settings }))
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Has its reports looked for, now that something was sent while nothing was on its way.
    pub fn wake(&self) {
        self.poller.unpark();
    }

    /// Whether it can deliver nothing more: a new one is to be made.
    pub fn is_broken(&self) -> bool {
        self.client.context().broken.load(Ordering::Acquire)
    }

    /// Takes it out of use.
    pub fn give_up(&self) {
        self.client.context().broken.store(true, Ordering::Release);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The thread has the last hold of the client, so that nobody else waits for its end.
        self.stop.store(true, Ordering::Release);
        self.poller.unpark();
    }
}

/// Hands reports on, many at a time. It does not wait inside of the client: rdkafka asks it without a pause for the last
/// millisecond of any wait.
fn poll(client: &Client, stop: &AtomicBool) {
    let reports = client.context();
    let mut pause = BUSY_PAUSE;
    while !stop.load(Ordering::Acquire) {
        let mut heard = false;
        loop {
            (0..EVENTS).for_each(|_| client.poll(Duration::ZERO));
            if !reports.distribute() {
                break;
            }
            heard = true;
        }
        pause = if heard { BUSY_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        if client.in_flight_count() == 0 {
            thread::park_timeout(IDLE_PAUSE);
            pause = BUSY_PAUSE;
        } else {
            thread::sleep(pause);
        }
    }
}

/// One sink's way to a client.
pub struct Link {
    shared: Arc<Shared>,
    slot: u16,
    /// Where what it sent is reported.
    pub mailbox: Arc<Mailbox>,
}

impl Link {
    fn new(shared: Arc<Shared>) -> Result<Self, String> {
        let mailbox = Arc::new(Mailbox::default());
        let slot = {
            let mut mailboxes = shared.client.context().mailboxes.write();
            let slot = (0..u16::MAX).find(|slot| !mailboxes.contains_key(slot));
            let slot = slot.ok_or("more than 65535 plugins share a Kafka client; give some another cluster_name")?;
            mailboxes.insert(slot, mailbox.clone());
            slot
        };
        Ok(Self { shared, slot, mailbox })
    }

    /// What a record is to be sent with, so that its report comes here with `number`.
    pub fn opaque(&self, number: u64) -> usize {
        const { assert!(usize::BITS == 64, "a number and a mailbox fit into an opaque") };
        (usize::from(self.slot) << NUMBER_BITS) | (number as usize & ((1 << NUMBER_BITS) - 1))
    }

    /// The client.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What troubles the client.
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.client.context().trouble()
    }

    /// Whether both have the same client.
    #[cfg(test)]
    pub fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let context = self.shared.client.context();
        context.mailboxes.write().remove(&self.slot);
    }
}

/// What a client is wanted for.
pub struct Wanted<'a> {
    /// The settings of the plugin.
    pub settings: &'a Settings,
    /// Its `cluster_name`.
    pub cluster: Option<&'a str>,
}

/// The clients of a process.
#[derive(Default)]
pub struct Clients {
    all: Mutex<Vec<Weak<Shared>>>,
}

impl Clients {
    /// A way to the client for `wanted`: one that is there, or a new one, which `tokens` supplies. A client is
    /// shared by plugins of the same settings. A `cluster_name` stands for the settings of the connection: the first
    /// plugin's hold, and where another's differ, the answer has a warning.
    pub fn link(&self, wanted: &Wanted<'_>, tokens: Option<&Tokens>) -> Result<(Link, Option<String>), String> {
        let mut all = lock(&self.all);
        all.retain(|shared| shared.strong_count() > 0);
        let live: Vec<_> = all.iter().filter_map(Weak::upgrade).filter(|shared| !shared.is_broken()).collect();
        let named = wanted.cluster.and_then(|name| live.iter().find(|shared| shared.cluster.as_deref() == Some(name)));
        let first = named.map_or(wanted.settings, |shared| &shared.settings);
        let differs = first.connection != wanted.settings.connection || first.bearer != wanted.settings.bearer;
        let warning = differs.then(|| {
            format!(
                "another plugin with cluster_name {:?} has other settings of the connection; that plugin's are used: \
                 make them equal, or give this plugin another cluster_name",
                wanted.cluster.unwrap_or_default()
            )
        });
        let settings = Settings { delivery: wanted.settings.delivery.clone(), ..first.clone() };
        let fits = |shared: &&Arc<Shared>| shared.cluster.as_deref() == wanted.cluster && shared.settings == settings;
        let shared = match live.iter().find(fits) {
            Some(shared) => shared.clone(),
            None => {
                let shared = Shared::start(settings, wanted.cluster.map(str::to_owned), tokens)?;
                all.push(Arc::downgrade(&shared));
                shared
            }
        };
        Ok((Link::new(shared)?, warning))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}
