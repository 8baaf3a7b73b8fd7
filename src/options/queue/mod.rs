//! The options of a plugin's queue: one table from which come the types, their defaults, how overrides apply, and the
//! fields of settings and of plugins' `config.queue`.
//!
//! An option is one row of `options!` below. The names are Kong's where Kong has the option.

mod fields;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use logphase_config::schema::Check;
use logphase_queue::{Bounds, DurableBounds, DurableOptions, Mode, Overflow};

pub use fields::{OVERRIDE, PLUGIN, PLUGIN_WITH_DEFAULTS, PLUGIN_WITH_LARGE_BATCHES, SETTINGS_FIELDS, retry_delays};
use fields::{Row, Scope};

/// Kong's default of `max_entries`.
const KONG_MAX_ENTRIES: usize = 10_000;

/// Where entries wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// On disk: entries survive the end of the process and a power cut.
    Disk,
    /// In memory: entries that are there are lost if the process is killed.
    Memory,
}

impl Durability {
    const NAMES: &[&str] = &["disk", "memory"];
}

/// When a queue on disk is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncPolicy {
    /// Before the entries are answered: a power cut loses nothing that was answered.
    Always,
    /// At most `sync_interval` after the entries were answered.
    Interval,
}

impl SyncPolicy {
    const NAMES: &[&str] = &[Self::Always.name(), Self::Interval.name()];

    const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval => "interval",
        }
    }
}

/// Where and within which limits a queue keeps its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In memory, within [`QueueOptions::memory_bounds`].
    Memory,
    /// In memory; what memory has no room for is written to disk.
    Spill(DurableOptions),
    /// On disk.
    Disk(DurableOptions),
}

/// A value of an option, as it is written in JSON.
trait OptionValue: Sized {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

macro_rules! option_values {
    ($($ty:ty),*) => {
        $(impl OptionValue for $ty {
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::deserialize(deserializer)
            }
        })*
    };
}

option_values!(usize, i64, bool, Overflow, Durability, SyncPolicy);

impl OptionValue for Duration {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        seconds(deserializer)
    }
}

/// Reads a number of seconds. A negative one, like Kong's -1, is zero.
///
/// # Errors
/// The value is not a number.
pub fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    /// A century, which can be added to any point in time.
    const MAX_SECONDS: f64 = 3.2e9;
    f64::deserialize(deserializer).map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, MAX_SECONDS)))
}

fn given<'de, D: Deserializer<'de>, T: OptionValue>(deserializer: D) -> Result<Option<T>, D::Error> {
    struct Given<T>(T);
    impl<'de, T: OptionValue> Deserialize<'de> for Given<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            T::read(deserializer).map(Self)
        }
    }
    Ok(Option::<Given<T>>::deserialize(deserializer)?.map(|Given(value)| value))
}

/// Each row: documentation, name, type, and
/// - `= DEFAULT`: the default, which the settings' schema shows;
/// - `=> DEFAULT`: a default that no schema shows, for an option whose default the plugin's definition decides;
/// - neither: an option that may stay without a value.
///
/// Then the kind of its [`logphase_config::schema::Field`] with its checks, and the [`Scope`] it may be set in; for one
/// of Kong's, its default in Kong if it is not ours.
macro_rules! options {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $ty:ty $(= $default:expr)? $(=> $fallback:expr)?, $kind:ident $checks:expr, $scope:ident $(($kong:expr))?;
    )*) => {
        /// All options of one queue.
        #[derive(Debug, Clone, PartialEq)]
        pub struct QueueOptions {
            $(
                $(#[doc = $doc])+
                pub $name: options!(@type $ty $(, $default)? $(, $fallback)?),
            )*
            /// `max_entries` is the value that Kong's tools write into every configuration, whether the user meant it
            /// or not, and no setting says otherwise.
            pub has_kong_max_entries: bool,
        }

        /// The options that one place gives: the settings, a plugin's own `config.queue`, or the settings of a plugin.
        #[derive(Debug, Clone, PartialEq, Deserialize, Default)]
        #[serde(default)]
        pub struct QueueOverride {
            $(
                $(#[doc = $doc])+
                #[serde(deserialize_with = "given")]
                pub $name: Option<$ty>,
            )*
        }

        impl QueueOverride {
            /// These options, and where one is not given, that of `lower`.
            #[must_use]
            pub fn or(&self, lower: &Self) -> Self {
                Self { $($name: self.$name.or(lower.$name),)* }
            }

            /// These options, and where one is not given, its default.
            pub fn resolve(&self) -> QueueOptions {
                QueueOptions {
                    $($name: options!(@value self.$name $(, $default)? $(, $fallback)?),)*
                    has_kong_max_entries: false,
                }
            }
        }

        /// The table of options.
        const ROWS: &[Row] = &[$(
            Row {
                name: stringify!($name),
                kind: fields::Kind::$kind,
                checks: $checks,
                about: concat!($($doc),+),
                about_in_seconds: concat!($($doc,)+ " In seconds."),
                default: options!(@schema $kind $(, $default)?),
                kong_default: options!(@kong $kind $(($kong))? $(, $default)?),
                scope: Scope::$scope,
            },
        )*];
    };
    (@type $ty:ty) => { Option<$ty> };
    (@type $ty:ty, $default:expr) => { $ty };
    (@value $given:expr) => { $given };
    (@value $given:expr, $default:expr) => { $given.unwrap_or($default) };
    (@schema $kind:ident) => { logphase_config::schema::Default::None };
    (@schema Choice, $default:expr) => { logphase_config::schema::Default::String($default.name()) };
    (@schema Boolean, $default:expr) => { logphase_config::schema::Default::Boolean($default) };
    (@schema Duration, $default:expr) => { fields::duration($default) };
    (@schema $kind:ident, $default:expr) => { logphase_config::schema::Default::Integer($default) };
    (@kong $kind:ident ($default:expr)) => { logphase_config::schema::Default::Integer($default) };
    (@kong $kind:ident $(, $default:expr)?) => { options!(@schema $kind $(, $default)?) };
}

options! {
    /// Maximum entries per batch.
    max_batch_size: usize = 1, Integer &[Check::Between(1.0, 1_000_000.0)], Kong;
    /// How long a batch waits for more entries after its first; no effect on batches of one.
    max_coalescing_delay: Duration = Duration::from_secs(1), Duration &[Check::Between(0.0, 3600.0)], Kong;
    /// Maximum entries in the queue; default: 10,000 in memory, no limit on disk. With `spill`, those in memory; more than
    /// half of it go to disk.
    max_entries: usize, Integer &[Check::Between(1.0, 1_000_000.0)], Kong(KONG_MAX_ENTRIES as i64);
    /// Maximum bytes in the queue; default: only the limits on all queues together.
    max_bytes: usize, Size &[Check::GreaterThan(0.0)], Kong;
    /// How long a batch is retried before it is dropped; default: without limit. Zero or less is one attempt.
    max_retry_time: Duration, Duration &[], Kong;
    /// Pause before the first retry; it doubles with each failure.
    initial_retry_delay: Duration = Duration::from_millis(10), Duration &[Check::Between(0.001, 1_000_000.0)], Kong;
    /// Longest pause between retries.
    max_retry_delay: Duration = Duration::from_secs(60), Duration &[Check::Between(0.001, 1_000_000.0)], Kong;
    /// Batches sent at the same time: 1, or -1 for no limit.
    concurrency_limit: i64 = 1, Integer &[Check::OneOfNumbers(&[-1.0, 1.0])], Kong;
    /// If the queue is full: `block` pushes back to the inputs, `drop_oldest` drops its oldest entries as Kong does.
    overflow: Overflow = Overflow::Block, Choice &[Check::OneOf(Overflow::NAMES)], Plugin;
    /// Whether the plugin's full or failing queue refuses transactions, for all of their plugins; if not, messages for this
    /// plugin are dropped.
    required: bool = true, Boolean &[], Plugin;
    /// Where entries wait: on `disk`, where they survive the process, or in `memory`; default: `disk` for http-log,
    /// kafka-log, opentelemetry and tcp-log, `memory` for the others.
    durability: Durability => Durability::Memory, Choice &[Check::OneOf(Durability::NAMES)], Plugin;
    /// Whether a backlog in a queue in memory with `overflow: block` goes to disk, so that only a full disk refuses more; a
    /// normal stop then loses nothing.
    spill: bool = true, Boolean &[], Plugin;
    /// When a queue on disk is synced: `always` before its messages are answered, or every `sync_interval`.
    sync: SyncPolicy = SyncPolicy::Always, Choice &[Check::OneOf(SyncPolicy::NAMES)], Plugin;
    /// With `sync: interval`, the time between syncs; a power cut loses messages that were answered in between.
    sync_interval: Duration = Duration::from_secs(1), Duration &[Check::Between(0.001, 3600.0)], Plugin;
    /// Maximum bytes in a queue on disk; its files hold up to 64 MiB more.
    max_disk_bytes: usize = 2 << 30, Size &[Check::Between(4096.0, 1e15)], Plugin;
    /// Maximum bytes of dead letters of a plugin; a dead letter beyond that blocks the queue.
    max_dead_letter_bytes: usize = 1 << 30, Size &[Check::Between(0.0, 1e15)], Settings;
}

impl QueueOverride {
    /// Whether this, read from a plugin's own `config`, limits the entries to Kong's default.
    pub fn has_kong_max_entries(&self) -> bool {
        self.max_entries == Some(KONG_MAX_ENTRIES)
    }
}

impl Default for QueueOptions {
    fn default() -> Self {
        QueueOverride::default().resolve()
    }
}

impl QueueOptions {
    /// The limits of a queue in memory: without `max_entries`, Kong's default.
    pub fn memory_bounds(&self) -> Bounds {
        Bounds {
            max_entries: self.max_entries.unwrap_or(KONG_MAX_ENTRIES),
            max_bytes: self.max_bytes,
            overflow: self.overflow,
        }
    }

    /// The limits of a queue on disk: Kong's default of `max_entries` is none if only Kong's tools wrote it.
    pub fn disk_bounds(&self) -> DurableBounds {
        DurableBounds {
            max_entries: self.max_entries.filter(|_| !self.has_kong_max_entries),
            max_bytes: self.max_bytes,
            max_disk_bytes: self.max_disk_bytes,
            overflow: self.overflow,
        }
    }

    /// Where the entries wait, and within which limits.
    pub fn storage(&self) -> Storage {
        match self.durability {
            Durability::Memory if self.spills() => {
                let max_entries = Some(self.memory_bounds().max_entries);
                let bounds = DurableBounds { max_entries, ..self.disk_bounds() };
                Storage::Spill(DurableOptions { bounds, mode: Mode::Spill })
            }
            Durability::Memory => Storage::Memory,
            Durability::Disk => {
                let mode = match self.sync {
                    SyncPolicy::Always => Mode::Sync,
                    SyncPolicy::Interval => Mode::Interval(self.sync_interval),
                };
                Storage::Disk(DurableOptions { bounds: self.disk_bounds(), mode })
            }
        }
    }

    /// Whether the entries wait in memory, and a backlog of them on disk.
    pub fn spills(&self) -> bool {
        self.spill && self.durability == Durability::Memory && self.overflow == Overflow::Block
    }

    /// Whether all entries wait on disk.
    pub fn is_on_disk(&self) -> bool {
        self.durability == Durability::Disk
    }

    /// Whether a queue with these options can be used as it is with those of `new`.
    pub fn same_queue(&self, new: &Self) -> bool {
        self.memory_bounds() == new.memory_bounds() && self.storage() == new.storage()
    }

    /// The options of the queue itself from `old`, those of its delivery from `self`.
    #[must_use]
    pub fn keeping_queue_of(&self, old: &Self) -> Self {
        Self {
            // No `..`: a new option must be put on one side.
            max_entries: old.max_entries,
            has_kong_max_entries: old.has_kong_max_entries,
            max_bytes: old.max_bytes,
            overflow: old.overflow,
            durability: old.durability,
            spill: old.spill,
            sync: old.sync,
            sync_interval: old.sync_interval,
            max_disk_bytes: old.max_disk_bytes,
            required: self.required,
            max_batch_size: self.max_batch_size,
            max_coalescing_delay: self.max_coalescing_delay,
            max_retry_time: self.max_retry_time,
            initial_retry_delay: self.initial_retry_delay,
            max_retry_delay: self.max_retry_delay,
            concurrency_limit: self.concurrency_limit,
            max_dead_letter_bytes: self.max_dead_letter_bytes,
        }
    }
}
