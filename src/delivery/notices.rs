//! What a queue has to tell, as lines of the log.

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::QueueOptions;
use super::output::Output;
use crate::folding::Fold;
use logphase_queue::Notice;

/// Logs it, for ever.
pub(super) async fn tell(output: &Output) {
    let mut oversize = Oversize::default();
    loop {
        for notice in output.reader().notices().await {
            // A reload may have changed them.
            let (plugin, spec) = (output.label(), output.spec());
            let (plugin, options) = (plugin.as_str(), &spec.queue);
            match notice {
                Notice::NearlyFull { depth } => tell_nearly_full(plugin, depth, options),
                Notice::BackToNormal { depth } => info!(plugin, depth, "queue is back to normal"),
                Notice::Overflowed { total } => warn!(
                    plugin,
                    total,
                    "queue is full, its oldest entries are dropped; see why its destination does not keep up, or raise \
                    its bound"
                ),
                Notice::Oversize { entries, largest } => {
                    oversize.tell(plugin, entries, largest, options.max_bytes);
                }
                Notice::Failing { error } => error!(
                    plugin,
                    "{error}; nothing is taken for this plugin, or answered, until its queue can be written"
                ),
                Notice::Recovered => info!(plugin, "the queue can be written again"),
                Notice::Unsaved { error } => {
                    error!(plugin, "{error}; after a crash, messages that were delivered would be delivered again");
                }
                Notice::Unreadable { error } => {
                    error!(plugin, "the queue cannot be read: {error}; tried again; see whether the disk is well");
                }
                Notice::Corrupt { entries } => error!(
                    plugin,
                    entries, "messages in the queue were damaged on disk, passed over; see whether the disk is well"
                ),
            }
        }
    }
}

fn tell_nearly_full(plugin: &str, depth: usize, options: &QueueOptions) {
    const WHAT: &str = "queue is 80 % full; see why its destination does not keep up";
    if options.is_on_disk() {
        warn!(plugin, depth, max_disk_bytes = options.max_disk_bytes, "{WHAT}");
    } else {
        warn!(plugin, depth, max_entries = options.memory_bounds().max_entries, "{WHAT}");
    }
}

/// Entries that are too large may come in every batch.
#[derive(Default)]
struct Oversize {
    fold: Fold,
    entries: u64,
    largest: usize,
}

impl Oversize {
    fn tell(&mut self, plugin: &str, entries: u64, largest: usize, max_bytes: Option<usize>) {
        self.entries += entries;
        self.largest = self.largest.max(largest);
        if self.fold.admit("oversize", Instant::now()).is_some() {
            let (entries, largest) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.largest));
            error!(
                plugin,
                entries, largest, max_bytes, "entries larger than queue.max_bytes, dropped; raise it to keep them"
            );
        }
    }
}
