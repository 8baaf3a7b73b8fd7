//! Logs the events of a queue.

use tracing::{error, info, warn};

use super::QueueOptions;
use super::output::Output;
use crate::log::limit::{Limiter, Policy};
use logphase_queue::{QueueEvent, ReserveError};

/// Logs the events of the queue of `output`. Never returns.
pub(super) async fn log_events(output: &Output) {
    let mut oversize = Oversize { limiter: Limiter::new(Policy::ONE), largest: 0 };
    let mut refused = Refused::default();
    loop {
        for event in output.reader().events().await {
            // Read for each event, because a reload may have changed them.
            let (plugin, spec) = (output.label(), output.spec());
            let (plugin, options) = (plugin.as_str(), &spec.queue);
            match event {
                QueueEvent::NearlyFull { depth } => log_nearly_full(plugin, depth, options),
                QueueEvent::BackToNormal { depth } => info!(plugin, depth, "queue is back to normal"),
                QueueEvent::Overflowed { total } => warn!(
                    plugin,
                    total,
                    "the queue is full, and its oldest messages are dropped; see why its destination does not keep up, or \
                    raise its bound"
                ),
                QueueEvent::Refused { error, refusals, dropped } => refused.log(plugin, error, refusals, dropped),
                QueueEvent::Oversize { entries, largest } => {
                    oversize.log(plugin, entries, largest, options.max_bytes);
                }
                QueueEvent::Failing { error } if options.spills() => error!(
                    plugin,
                    "{error}; a backlog stays in memory, within queue.max_entries and queue.max_bytes, until it can be written"
                ),
                QueueEvent::Failing { error } => {
                    error!(plugin, "{error}; nothing is accepted for this plugin until its queue can be written")
                }
                QueueEvent::Recovered => info!(plugin, "the queue can be written again"),
                QueueEvent::CursorNotSaved { error } => {
                    error!(plugin, "{error}; after a crash, messages that were delivered would be delivered again");
                }
                QueueEvent::Unreadable { error } => {
                    error!(
                        plugin,
                        "the queue cannot be read: {error}; the read is repeated until it succeeds; check the disk"
                    );
                }
                QueueEvent::Readable => info!(plugin, "the queue can be read again"),
                QueueEvent::Corrupt { entries } => error!(
                    plugin,
                    entries, "messages in the queue are damaged on disk, and are skipped; check the disk"
                ),
            }
        }
    }
}

fn log_nearly_full(plugin: &str, depth: usize, options: &QueueOptions) {
    const WHAT: &str = "queue is 80 % full; see why its destination does not keep up";
    if options.is_on_disk() || options.spills() {
        warn!(plugin, depth, max_disk_bytes = options.max_disk_bytes, "{WHAT}");
    } else {
        warn!(plugin, depth, max_entries = options.memory_bounds().max_entries, "{WHAT}");
    }
}

/// Limits the log lines about refusals, which may be as many as requests.
struct Refused {
    limiter: Limiter,
    refusals: u64,
    dropped: u64,
}

impl Default for Refused {
    fn default() -> Self {
        Self { limiter: Limiter::new(Policy::ONE), refusals: 0, dropped: 0 }
    }
}

impl Refused {
    fn log(&mut self, plugin: &str, error: ReserveError, refusals: u64, dropped: u64) {
        self.refusals += refusals;
        self.dropped += dropped;
        if self.limiter.admit().is_none() {
            return;
        }
        let cause = match error {
            ReserveError::Full(bound) => format!("the queue of {plugin} is full ({bound})"),
            ReserveError::Failing => format!("the disk of the queue of {plugin} fails"),
            error => error.to_string(),
        };
        let (refusals, dropped) = (std::mem::take(&mut self.refusals), std::mem::take(&mut self.dropped));
        if dropped > 0 {
            error!(plugin, dropped, "{cause}: messages for this plugin are dropped (queue.required: false)");
        }
        if refusals > 0 {
            warn!(
                plugin,
                refusals,
                "{cause}: transactions that go to it are refused, for all of their plugins; see why its destination does \
                not keep up, raise the bound, or set queue.required: false for this plugin"
            );
        }
    }
}

/// Limits the log lines about entries that are too large, which may be in every batch.
struct Oversize {
    limiter: Limiter,
    largest: usize,
}

impl Oversize {
    fn log(&mut self, plugin: &str, entries: u64, largest: usize, max_bytes: Option<usize>) {
        self.largest = self.largest.max(largest);
        if let Some(entries) = self.limiter.add(entries) {
            let largest = std::mem::take(&mut self.largest);
            error!(
                plugin,
                entries, largest, max_bytes, "entries larger than queue.max_bytes, dropped; raise it to keep them"
            );
        }
    }
}
