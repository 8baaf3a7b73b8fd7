//! Where transactions come in: HTTP, TCP, Unix sockets, UDP, syslog, Envoy's access log service, OpenTelemetry's logs, Kafka,
//! files and standard input. The lines of `access_log_streamer` are none: they go to collectors as they are.
//!
//! Each input is a folder: its settings, its listeners, its tests. It implements [`Input`] and has one row in [`INPUTS`];
//! nothing else names it. What several inputs need is shared: `accept` (connections), `transport` (TLS, the PROXY protocol,
//! limits per peer, tokens), `lines` (streams of lines), `datagrams`, `bind` (addresses), `settings` (fields). What the
//! received bytes mean is up to a decoder ([`crate::decode`]).
//!
//! To add an input, write its folder and add its row.
//!
//! [`Inputs::bind`] takes every address before anything runs, so that a service that cannot have one of them reports it
//! and does not start half. [`Inputs::serve`] then runs every input. An input hands transactions to the [`Intake`] in one of
//! two ways: [`Intake::offer`] (all or none, at once) where the sender can be answered, or can only lose (UDP), and
//! [`crate::phase::OrderedIntake`] (in order, waiting for room) where the sender can be made to wait (TCP, Unix sockets,
//! standard input).
//!
//! To shut down, set the `stop` watch to true, await [`Serving::finished`] within a deadline, and only then (or when
//! the deadline has passed) call [`Intake::close`], which also releases inputs that wait for a full queue.
//!
//! Standard input ([`read_lines`]) is not in the table: it has no settings, it is read instead of the other inputs, it ends
//! by itself, and it reports to the command that reads it.

mod accept;
mod access_log_streamer;
mod als;
mod bind;
mod counters;
mod datagrams;
mod file;
mod grpc;
mod http;
mod kafka;
mod lines;
mod otlp;
mod serving;
mod settings;
mod stdin;
mod syslog;
mod tcp;
mod threads;
mod transport;
mod udp;
mod unix;
mod values;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

pub use self::access_log_streamer::LineAddresses;
pub use self::bind::{Address, BindError, resolve};
pub use self::counters::{Counters, FollowedFiles, Handshake, Reason, Refusal};
pub use self::kafka::{ConsumerStats, PartitionState, TopicState};
pub use self::serving::{Inputs, Serving};
pub use self::stdin::{Progress, RejectedLine, StdinSummary, read_lines};
pub use self::threads::ConnectionThreads;
pub use self::transport::{HandshakeError, ServedTls, Tls, beyond_loopback, client_subject, tls_findings};
pub use self::values::{InputSettings, InputValues, Limits, Shared};
use crate::confinement::Files;
use crate::delivery::Collectors;
use crate::phase::Intake;
use crate::sink::BoxFuture;
use logphase_config::diagnostic::Diagnostic;
use logphase_config::schema::{Field, Record};

/// Every input that settings can turn on, in the order in which metrics and logs list them.
pub const INPUTS: &[Definition] = &[
    Definition::of::<http::Http>(),
    Definition::of::<tcp::Tcp>(),
    Definition::of::<unix::Unix>(),
    Definition::of::<udp::Udp>(),
    Definition::of::<syslog::Syslog>(),
    Definition::of::<als::Als>(),
    Definition::of::<access_log_streamer::AccessLogStreamer>(),
    Definition::of::<otlp::Otlp>(),
    Definition::of::<kafka::Kafka>(),
    Definition::of::<file::FileInput>(),
];

/// The number of the input `name` in [`INPUTS`].
pub fn number_of(name: &str) -> Option<usize> {
    INPUTS.iter().position(|input| input.name == name)
}

/// The settings `inputs`: a record with the settings of each input under its name.
pub static SETTINGS: Record = Record::new(&FIELDS);

static FIELDS: [Field; INPUTS.len()] = {
    let mut fields = [INPUTS[0].field(); INPUTS.len()];
    let mut at = 1;
    while at < INPUTS.len() {
        fields[at] = INPUTS[at].field();
        at += 1;
    }
    fields
};

/// An input as it is configured.
pub trait Input: Sized {
    /// The name in settings (`inputs.NAME`), logs and metrics.
    const NAME: &'static str;

    /// What it takes, for the documentation of its settings.
    const ABOUT: &'static str;

    /// The fields of its settings.
    const SETTINGS: &'static Record;

    /// Its settings, as read through [`Input::SETTINGS`].
    type Settings: DeserializeOwned + PartialEq;

    /// The input that `settings` describe; `None` if they turn it off. Opens nothing. `shared` is what all inputs
    /// have.
    fn new(settings: Self::Settings, shared: Shared<'_>) -> Option<Self>;

    /// Whether the routes of transactions without one are found. Kong says them itself; other proxies know no routes of
    /// Kong.
    fn matches_routes(&self) -> bool {
        true
    }

    /// Whether Kong did not serve its transactions, so that the phases before the log phase can be replayed (the setting
    /// `replay_phases`).
    fn replays_phases(&self) -> bool {
        true
    }

    /// The files that it opens or creates while the service runs. The process is confined to the files that its parts
    /// declare.
    fn files(&self) -> Files {
        Files::default()
    }

    /// What is wrong with its settings beyond each value alone: files that cannot be used, and protection that is missing.
    /// Opens nothing for good.
    fn check(&self) -> Vec<Diagnostic> {
        Vec::new()
    }

    /// Takes every address. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be taken; those taken before are released.
    fn bind(self) -> Result<Box<dyn BoundInput>, BindError>;
}

/// An input whose addresses are taken.
pub trait BoundInput: Send {
    /// The addresses it listens on, with the port that the system chose for port 0. Empty for an input that fetches
    /// transactions itself.
    fn addresses(&self) -> Vec<Address>;

    /// Takes transactions until [`Context::stopped`], then accepts nothing more, finishes what is in flight and returns.
    /// Everything that is received is counted in [`Context::counters`], by reason where it is not taken. Dropping the
    /// future ends the input at once.
    fn serve(self: Box<Self>, context: Context) -> BoxFuture<'static, ()>;
}

/// What an input is given to run with. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    input: &'static str,
    intake: Intake,
    counters: Arc<Counters>,
    stop: watch::Receiver<bool>,
    unfinished: Arc<lines::UnfinishedLines>,
    /// Where lines go that name a collector; only where settings have such an input.
    collectors: Option<Collectors>,
    /// The threads for connections; without them, those of the service serve them.
    threads: Option<Arc<ConnectionThreads>>,
}

impl Context {
    /// A context without inputs that are served.
    #[cfg(test)]
    fn for_test(input: &'static str, intake: Intake, counters: Arc<Counters>) -> Self {
        let unfinished = lines::UnfinishedLines::new(1 << 20);
        Self { input, intake, counters, stop: watch::channel(false).1, unfinished, collectors: None, threads: None }
    }

    /// The name of the input.
    pub fn input(&self) -> &'static str {
        self.input
    }

    /// Where transactions are handed in.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// What the input counts.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Whether the inputs were told to stop.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow() || self.intake.is_closed()
    }

    /// Whether the inputs are told to stop.
    fn is_stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Returns when the inputs are told to stop.
    pub async fn stopped(&self) {
        // An error means that the sender is gone, and with it whoever wants the inputs to run.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }
}

/// Configures an input from its settings and binds it; `None` if the settings turn it off.
type Bind = fn(Value, Shared<'_>) -> Result<Option<Box<dyn BoundInput>>, BindError>;

/// Reads something of the settings of an input.
type Ask<T> = fn(Value, Shared<'_>) -> T;

/// A row of [`INPUTS`]: an [`Input`] without its type.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// The name in settings, logs and metrics.
    pub name: &'static str,
    /// What it takes.
    pub about: &'static str,
    /// The fields of its settings.
    pub settings: &'static Record,
    bind: Bind,
    is_on: Ask<bool>,
    matches_routes: Ask<bool>,
    replays_phases: Ask<bool>,
    files: Ask<Files>,
    check: Ask<Vec<Diagnostic>>,
    same_settings: fn(Value, Value) -> bool,
}

impl Definition {
    /// The row of the input `I`.
    pub const fn of<I: Input>() -> Self {
        Self {
            name: I::NAME,
            about: I::ABOUT,
            settings: I::SETTINGS,
            bind: bind::<I>,
            is_on: is_on::<I>,
            matches_routes: matches_routes::<I>,
            replays_phases: replays_phases::<I>,
            files: files::<I>,
            check: check::<I>,
            same_settings: same_settings::<I>,
        }
    }

    /// Takes the addresses of the input; `None` if `settings` turn it off.
    ///
    /// # Errors
    /// See [`Input::bind`].
    pub fn bind<'a>(&self, settings: impl Into<InputSettings<'a>>) -> Result<Option<Box<dyn BoundInput>>, BindError> {
        let InputSettings { inputs, shared } = settings.into();
        (self.bind)(self.value(inputs), shared)
    }

    /// Whether `settings` turn the input on.
    pub fn is_on<'a>(&self, settings: impl Into<InputSettings<'a>>) -> bool {
        let InputSettings { inputs, shared } = settings.into();
        (self.is_on)(self.value(inputs), shared)
    }

    /// Whether the input is turned on and the routes of its transactions are found.
    pub fn matches_routes<'a>(&self, settings: impl Into<InputSettings<'a>>) -> bool {
        let InputSettings { inputs, shared } = settings.into();
        (self.matches_routes)(self.value(inputs), shared)
    }

    /// Whether the input is turned on and Kong did not serve its transactions.
    pub fn replays_phases<'a>(&self, settings: impl Into<InputSettings<'a>>) -> bool {
        let InputSettings { inputs, shared } = settings.into();
        (self.replays_phases)(self.value(inputs), shared)
    }

    /// The files that the input opens or creates while the service runs.
    pub fn files<'a>(&self, settings: impl Into<InputSettings<'a>>) -> Files {
        let InputSettings { inputs, shared } = settings.into();
        (self.files)(self.value(inputs), shared)
    }

    /// Errors and warnings about the settings of the input, if it is turned on; see [`Input::check`].
    pub fn check<'a>(&self, settings: impl Into<InputSettings<'a>>) -> Vec<Diagnostic> {
        let InputSettings { inputs, shared } = settings.into();
        (self.check)(self.value(inputs), shared)
    }

    /// Whether the settings of the input mean the same in both, however they are written.
    pub fn same_settings(&self, one: &InputValues, other: &InputValues) -> bool {
        (self.same_settings)(self.value(one), self.value(other))
    }

    /// Its field of [`SETTINGS`].
    const fn field(&self) -> Field {
        Field::record(self.name, self.settings).required().about(self.about)
    }

    fn value(&self, settings: &InputValues) -> Value {
        let given = settings.get(self.name).cloned();
        given.unwrap_or_else(|| Value::Object(self.settings.defaults()))
    }
}

fn configure<I: Input>(value: Value, shared: Shared<'_>) -> Result<Option<I>, BindError> {
    let settings = serde_json::from_value(value).map_err(|source| BindError::Settings { input: I::NAME, source })?;
    Ok(I::new(settings, shared))
}

fn bind<I: Input>(value: Value, shared: Shared<'_>) -> Result<Option<Box<dyn BoundInput>>, BindError> {
    configure::<I>(value, shared)?.map(I::bind).transpose()
}

fn is_on<I: Input>(value: Value, shared: Shared<'_>) -> bool {
    configure::<I>(value, shared).is_ok_and(|input| input.is_some())
}

fn matches_routes<I: Input>(value: Value, shared: Shared<'_>) -> bool {
    configure::<I>(value, shared).ok().flatten().is_some_and(|input| input.matches_routes())
}

fn replays_phases<I: Input>(value: Value, shared: Shared<'_>) -> bool {
    configure::<I>(value, shared).ok().flatten().is_some_and(|input| input.replays_phases())
}

fn files<I: Input>(value: Value, shared: Shared<'_>) -> Files {
    // Settings that cannot be used have no files; binding reports them.
    configure::<I>(value, shared).ok().flatten().map(|input| input.files()).unwrap_or_default()
}

fn check<I: Input>(value: Value, shared: Shared<'_>) -> Vec<Diagnostic> {
    // Settings that cannot be used are reported by binding.
    configure::<I>(value, shared).ok().flatten().map(|input| input.check()).unwrap_or_default()
}

fn same_settings<I: Input>(one: Value, other: Value) -> bool {
    let read = |value| serde_json::from_value::<I::Settings>(value).ok();
    read(one) == read(other)
}

#[cfg(test)]
mod tests;
