//! Settings of queues, whole and in part.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// What a full queue does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// It takes nothing more, and the inputs are told.
    Block,
    /// It drops its oldest entries, as Kong does.
    DropOldest,
}

/// Where entries wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// On disk: they outlive the process, and a power cut.
    Disk,
    /// In memory: they are lost with the process.
    Memory,
}

impl Durability {
    /// What holds for a plugin for which nothing else is set. Disk, where the destination says what it has taken:
    /// then nothing is lost from end to end. Datagrams, and files and daemons of the same machine, say nothing; what
    /// they lose in a crash is no less than what memory does.
    pub fn of_kind(kind: &str) -> Self {
        match kind {
            "http-log" | "kafka-log" | "tcp-log" => Self::Disk,
            _ => Self::Memory,
        }
    }
}

/// When a queue on disk is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// Before it is answered for.
    Always,
    /// Every `sync_interval`.
    Interval,
}

/// Settings of one queue. The names are Kong's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct QueueSettings {
    /// Entries that are handed to the sink at once.
    pub max_batch_size: usize,
    /// How long to wait for a batch to fill after its first entry; no effect if it holds one.
    #[serde(deserialize_with = "seconds")]
    pub max_coalescing_delay: Duration,
    /// Entries that may wait, where that is said; see [`QueueSettings::memory_entries`] and
    /// [`QueueSettings::disk_entries`].
    pub max_entries: Option<usize>,
    /// `max_entries` is what Kong's tools write into every configuration, whether somebody meant it or not.
    #[serde(skip)]
    pub is_kongs_default: bool,
    /// Bytes that may wait; without it only `max_memory` bounds them.
    pub max_bytes: Option<usize>,
    /// How long a batch is retried before it is given up; without it, for ever. Zero is one try.
    #[serde(default, deserialize_with = "maybe_seconds")]
    pub max_retry_time: Option<Duration>,
    /// Pause before the first retry; doubles with each failure.
    #[serde(deserialize_with = "seconds")]
    pub initial_retry_delay: Duration,
    /// Longest pause between retries.
    #[serde(deserialize_with = "seconds")]
    pub max_retry_delay: Duration,
    /// Batches sent at the same time: 1, or -1 for no limit.
    pub concurrency_limit: i64,
    /// What a full queue does.
    pub overflow: Overflow,
    /// Where entries wait; see [`Durability::of_kind`].
    pub durability: Option<Durability>,
    /// When a queue on disk is synced.
    pub sync: Sync,
    /// How long what was answered may be unsynced with [`Sync::Interval`]: what a power cut can lose.
    #[serde(deserialize_with = "seconds")]
    pub sync_interval: Duration,
    /// Bytes that may wait in a queue on disk.
    pub max_disk_bytes: usize,
    /// Bytes of dead letters that are kept for a plugin; past them it holds its queue up.
    pub max_dead_letter_bytes: usize,
    /// Bytes that may wait in memory in all queues together.
    pub max_memory: usize,
    /// Bytes that may wait on disk in all queues together.
    pub max_data_bytes: usize,
}

/// Some settings of one queue; see [`QueueSettings`].
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of QueueSettings")]
pub struct QueueOverride {
    pub max_batch_size: Option<usize>,
    #[serde(deserialize_with = "maybe_seconds")]
    pub max_coalescing_delay: Option<Duration>,
    pub max_entries: Option<usize>,
    pub max_bytes: Option<usize>,
    #[serde(deserialize_with = "maybe_seconds")]
    pub max_retry_time: Option<Duration>,
    #[serde(deserialize_with = "maybe_seconds")]
    pub initial_retry_delay: Option<Duration>,
    #[serde(deserialize_with = "maybe_seconds")]
    pub max_retry_delay: Option<Duration>,
    pub concurrency_limit: Option<i64>,
    pub overflow: Option<Overflow>,
    pub durability: Option<Durability>,
    pub sync: Option<Sync>,
    #[serde(deserialize_with = "maybe_seconds")]
    pub sync_interval: Option<Duration>,
    pub max_disk_bytes: Option<usize>,
    pub max_dead_letter_bytes: Option<usize>,
}

/// Kong's default of `queue.max_entries`.
const KONGS_MAX_ENTRIES: usize = 10_000;

impl QueueOverride {
    /// Whether this, read from a plugin's own `config`, bounds the queue by what is Kong's default.
    pub fn has_kongs_max_entries(&self) -> bool {
        self.max_entries == Some(KONGS_MAX_ENTRIES)
    }
}

impl QueueSettings {
    /// Entries that may wait in memory: Kong's default, where nothing is said.
    pub fn memory_entries(&self) -> usize {
        self.max_entries.unwrap_or(KONGS_MAX_ENTRIES)
    }

    /// Entries that may wait on disk: there, Kong's default is no bound if it was Kong's tools that wrote it.
    pub fn disk_entries(&self) -> Option<usize> {
        self.max_entries.filter(|_| !self.is_kongs_default)
    }

    /// Takes over what is given.
    pub fn apply(&mut self, given: &QueueOverride) {
        fn take<T: Clone>(own: &mut T, given: &Option<T>) {
            if let Some(value) = given {
                own.clone_from(value);
            }
        }
        take(&mut self.max_batch_size, &given.max_batch_size);
        take(&mut self.max_coalescing_delay, &given.max_coalescing_delay);
        if given.max_entries.is_some() {
            self.max_entries = given.max_entries;
            self.is_kongs_default = false;
        }
        take(&mut self.initial_retry_delay, &given.initial_retry_delay);
        take(&mut self.max_retry_delay, &given.max_retry_delay);
        take(&mut self.concurrency_limit, &given.concurrency_limit);
        take(&mut self.overflow, &given.overflow);
        take(&mut self.sync, &given.sync);
        take(&mut self.sync_interval, &given.sync_interval);
        take(&mut self.max_disk_bytes, &given.max_disk_bytes);
        take(&mut self.max_dead_letter_bytes, &given.max_dead_letter_bytes);
        self.durability = given.durability.or(self.durability);
        self.max_bytes = given.max_bytes.or(self.max_bytes);
        self.max_retry_time = given.max_retry_time.or(self.max_retry_time);
    }
}

/// Seconds as a duration; Kong's -1 is none at all.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    f64::deserialize(deserializer).map(duration)
}

fn maybe_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.map(duration))
}

fn duration(seconds: f64) -> Duration {
    // Longer than a century is for ever, and short enough to be added to a point in time.
    Duration::from_secs_f64(seconds.clamp(0.0, 3.2e9))
}
