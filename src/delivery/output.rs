//! The output of a plugin: its queue, its sink, and their statistics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::OutputSpec;
use super::dead_letters::DeadLetters;
use super::swap::SinkSwap;
use crate::sink::Sink;
use logphase_queue::{Counters, Queue, QueueStatus, Reader};

/// Maximum time that a drop of entries in retry waits for the current attempt.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// The output of one plugin. The log phase appends to its queue; `/status` reads its statistics.
pub struct Output {
    pub(super) parts: OutputParts,
    /// Ends a pause between attempts.
    pub(super) closing: Notify,
    stopping: watch::Sender<bool>,
    /// Whether the entries in retry must be dropped.
    pub(super) drop_retrying: AtomicBool,
    pub(super) health: Mutex<Health>,
    pub(super) swap: SinkSwap,
}

pub(super) struct OutputParts {
    /// A reload may replace it; identity, plugin, and the limits and storage of the queue stay the same.
    pub spec: ArcSwap<OutputSpec>,
    pub queue: Arc<dyn Queue>,
    pub reader: Arc<dyn Reader>,
    pub dead_letters: Arc<DeadLetters>,
}

#[derive(Default)]
pub(super) struct Health {
    pub(super) lost: u64,
    pub(super) failures: u64,
    pub(super) retried: u64,
    pub(super) failing: bool,
    pub(super) last_error: Option<LastError>,
}

/// The last error of the destination of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// The failure, its place, and a remedy.
    pub message: String,
    /// When it occurred, in milliseconds since 1970.
    pub at: u64,
}

/// The statistics of one output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// The plugin's id in the configuration.
    pub identity: String,
    /// The plugin's name.
    pub plugin: String,
    /// Its instance name.
    pub instance: Option<String>,
    /// The counters of its queue.
    pub counters: Counters,
    /// Delivered entries that the network later reported as lost.
    pub lost: u64,
    /// Failed delivery attempts.
    pub failures: u64,
    /// Messages sent again.
    pub retried: u64,
    /// Whether the last attempt has failed and a retry is pending.
    pub failing: bool,
    /// Whether the output accepts no more messages, and ends when its queue is empty.
    pub retiring: bool,
    /// The last failure, even if there were successes since.
    pub last_error: Option<LastError>,
}

/// The name of a plugin in log lines: with its instance name, if it has one.
pub(super) fn label(spec: &OutputSpec) -> String {
    match &spec.instance {
        Some(instance) => format!("{} ({instance})", spec.plugin),
        None => spec.plugin.clone(),
    }
}

impl Output {
    pub(super) fn new(parts: OutputParts) -> Self {
        Self {
            parts,
            closing: Notify::new(),
            stopping: watch::Sender::new(false),
            drop_retrying: AtomicBool::new(false),
            health: Mutex::default(),
            swap: SinkSwap::default(),
        }
    }

    /// The writing end of its queue.
    pub fn queue(&self) -> &Arc<dyn Queue> {
        &self.parts.queue
    }

    /// The reading end of its queue.
    pub(super) fn reader(&self) -> &Arc<dyn Reader> {
        &self.parts.reader
    }

    /// Its current spec.
    pub fn spec(&self) -> Arc<OutputSpec> {
        self.parts.spec.load_full()
    }

    /// Whether `spec` itself is its current spec.
    pub(super) fn has_spec(&self, spec: &Arc<OutputSpec>) -> bool {
        Arc::ptr_eq(&self.parts.spec.load(), spec)
    }

    /// The name of the plugin in log lines and errors.
    pub fn label(&self) -> String {
        label(&self.spec())
    }

    /// The counters of its queue.
    pub fn counters(&self) -> Counters {
        self.parts.reader.counters()
    }

    /// Its dead letters.
    pub fn dead_letters(&self) -> &Arc<DeadLetters> {
        &self.parts.dead_letters
    }

    /// The status of its queue.
    pub fn queue_status(&self) -> QueueStatus {
        self.parts.reader.status()
    }

    /// Its statistics.
    pub fn stats(&self) -> Stats {
        let spec = self.spec();
        let counters = self.counters();
        let retiring = self.is_closed();
        let health = self.health.lock();
        Stats {
            identity: spec.identity.clone(),
            plugin: spec.plugin.clone(),
            instance: spec.instance.clone(),
            counters,
            lost: health.lost,
            failures: health.failures,
            retried: health.retried,
            failing: health.failing,
            retiring,
            last_error: health.last_error.clone(),
        }
    }

    /// Whether its queue has ever had an entry, or its sink has sent anything.
    pub(super) fn was_used(&self) -> bool {
        let health = self.health.lock();
        health.lost + health.failures + health.retried > 0 || self.counters() != Counters::default()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.parts.reader.is_closed()
    }

    pub(super) fn close(&self) {
        self.parts.reader.close();
        // The notification is stored, so that it also ends a pause that starts later.
        self.closing.notify_one();
    }

    /// Closes the output because the process stops: what its sink does not confirm soon is left for the next run.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
        self.close();
    }

    /// Whether the process stops.
    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the process stops.
    pub(super) async fn stopping(&self) {
        // It fails only if the output is gone.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Drops the waiting entries and those in retry for the operator, but not those in flight. Returns their number.
    pub(super) async fn drop_all(&self) -> u64 {
        let before = self.counters().dropped_operator;
        self.reader().drop_waiting();
        if self.health.lock().failing {
            self.drop_retrying.store(true, Ordering::Release);
            self.closing.notify_one();
            let started = Instant::now();
            while self.drop_retrying.load(Ordering::Acquire) && started.elapsed() < DROP_TIMEOUT {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.drop_retrying.store(false, Ordering::Release);
        }
        self.counters().dropped_operator - before
    }

    /// Replaces the spec and the sink of the output. A previous replacement that is not used yet is dropped.
    pub(super) fn replace_sink(&self, spec: Arc<OutputSpec>, sink: Box<dyn Sink>) {
        self.parts.spec.store(spec);
        self.swap.set(sink);
    }
}
