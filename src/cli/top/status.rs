//! The parts of the `/status` response that `top` shows.

use logphase_io::count::counted;
use std::collections::BTreeMap;

use serde::Deserialize;

/// The status of a service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub version: String,
    pub stage: String,
    /// Milliseconds since 1970.
    pub started_at: u64,
    pub transactions: u64,
    /// Transactions that no plugin logs, by reason.
    pub unlogged: BTreeMap<String, u64>,
    pub inputs: BTreeMap<String, Input>,
    pub mappings: BTreeMap<String, Mapping>,
    pub reloads: Reloads,
    pub sandbox: Sandbox,
    pub plugins: Vec<Plugin>,
    /// Queues of removed plugins, and shared queues under the id of another plugin.
    pub other_queues: Vec<OtherQueue>,
}

impl Status {
    /// Transactions that no plugin logs.
    pub(super) fn unlogged(&self) -> u64 {
        self.unlogged.values().sum()
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Input {
    pub received: u64,
    pub rejected: BTreeMap<String, u64>,
    pub lost: u64,
    pub connections: u64,
    pub consumer: Option<Consumer>,
}

/// The state of an input that is a consumer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Consumer {
    pub topics: BTreeMap<String, Topic>,
    pub last_error: Option<LastError>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Topic {
    pub partitions: u64,
    pub paused: u64,
    pub lag: u64,
}

impl Consumer {
    /// Partitions, paused ones among them, and lag, as text.
    pub(super) fn text(&self, number: fn(u64) -> String) -> String {
        let sum = |of: fn(&Topic) -> u64| self.topics.values().map(of).sum::<u64>();
        let paused = sum(|topic| topic.paused);
        let paused = if paused > 0 { format!(" ({} paused)", number(paused)) } else { String::new() };
        format!(
            "{}{paused}, lag {}",
            counted(number(sum(|topic| topic.partitions)), "partition"),
            number(sum(|topic| topic.lag))
        )
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mapping {
    pub transactions: u64,
    /// Members that it reads and no transaction had.
    pub unseen: Vec<String>,
    /// Members with a value that it cannot read.
    pub unreadable: Vec<String>,
    /// Members that it does not read.
    pub unmapped: Vec<String>,
}

impl Mapping {
    /// What is wrong with it, in a line each.
    pub(super) fn problems(&self, name: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.unseen.is_empty() {
            let of = self.transactions;
            let mut text =
                format!("mapping {name}: none of {} had {}", counted(of, "transaction"), self.unseen.join(", "));
            if !self.unmapped.is_empty() {
                text.push_str(&format!("; they had {}, which it does not read", self.unmapped.join(", ")));
            }
            problems.push(text);
        }
        if !self.unreadable.is_empty() {
            problems.push(format!("mapping {name}: cannot read a value of {}", self.unreadable.join(", ")));
        }
        problems
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reloads {
    pub applied: u64,
    pub refused: u64,
    pub last_at: Option<u64>,
    pub last_error: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sandbox {
    pub seccomp: String,
    pub landlock: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Plugin {
    pub name: String,
    pub id: String,
    pub instance_name: Option<String>,
    pub scope: String,
    pub snippets: Vec<Snippet>,
    pub queue: Option<Queue>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct OtherQueue {
    pub name: String,
    pub id: String,
    pub instance_name: Option<String>,
    #[serde(flatten)]
    pub queue: Queue,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Queue {
    pub enqueued: u64,
    pub recovered: u64,
    pub delivered: u64,
    pub waiting: u64,
    /// Part of `waiting`.
    pub unconfirmed: u64,
    pub dropped: BTreeMap<String, u64>,
    pub dead_lettered: u64,
    pub bytes: u64,
    pub max_bytes: Option<u64>,
    pub on_disk: bool,
    pub writable: bool,
    pub oldest_seconds: Option<f64>,
    pub failing: bool,
    pub failures: u64,
    pub retried: u64,
    pub last_error: Option<LastError>,
}

impl Queue {
    /// Messages that the destination does not have.
    pub(super) fn pending(&self) -> u64 {
        self.waiting.saturating_sub(self.unconfirmed)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LastError {
    pub message: String,
    /// Milliseconds since 1970.
    pub at: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Snippet {
    pub field: String,
    pub errors: u64,
    pub stopped: BTreeMap<String, u64>,
    pub left_out: u64,
    pub suspended_for_seconds: Option<f64>,
    pub mean_seconds: Option<f64>,
}

impl Queue {
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// The used share of its maximum size, if it has one.
    pub(super) fn full(&self) -> Option<f64> {
        self.max_bytes.filter(|max| *max > 0).map(|max| self.bytes as f64 / max as f64)
    }
}

impl Input {
    pub(super) fn rejected(&self) -> u64 {
        self.rejected.values().sum()
    }
}

/// The name of a plugin, with its instance name if it has one.
pub(super) fn label(name: &str, instance_name: Option<&str>) -> String {
    match instance_name.filter(|instance| !instance.is_empty()) {
        Some(instance) => format!("{name} ({instance})"),
        None => name.to_owned(),
    }
}
