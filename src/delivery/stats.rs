//! The statistics of each plugin since the start, over all of its outputs. When a reload replaces an output, its counts are
//! neither lost nor counted twice.

use std::collections::BTreeMap;
use std::time::Duration;

use super::output::{LastError, Output};
use super::{DeadLetterLevel, OutputSpec};
use logphase_queue::Counters;
use logphase_queue::metric::Histogram;

/// Maximum number of removed plugins whose statistics are kept. It is reached only if plugin ids change all the time.
const MAX_REMOVED: usize = 1000;

/// The statistics of one plugin. Plugins that share a queue count as one, with the id of the first.
///
/// In every snapshot of `counters`, `appended + recovered == delivered + lost + depth + dropped() + unmade() +
/// dead_letters + corrupt`, and no total decreases.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PluginStats {
    /// The plugin's name.
    pub kind: String,
    /// Its id in the configuration.
    pub identity: String,
    /// Its instance name.
    pub instance: Option<String>,
    /// The counters of all its queues. `delivered` does not count lost messages.
    pub counters: Counters,
    /// Datagrams that the network reported as lost, which do not count as delivered. A loss that is reported after the last
    /// delivery counts from the next one on, so that `delivered` never decreases.
    pub lost: u64,
    /// Failed delivery attempts.
    pub failures: u64,
    /// Messages sent again.
    pub retried: u64,
    /// Whether the last attempt has failed and a retry is pending.
    pub failing: bool,
    /// The last failure, even if there were successes since.
    pub last_error: Option<LastError>,
    /// The age of the oldest entry.
    pub oldest: Option<Duration>,
    /// The times from acceptance to delivery.
    pub times: Histogram,
    /// Maximum bytes in its queue, if it has a limit of its own.
    pub max_bytes: Option<usize>,
    /// Whether its queue is on disk, or a part of it.
    pub on_disk: bool,
    /// Whether its queue cannot be written.
    pub unwritable: bool,
    /// Whether its queue cannot be read.
    pub unreadable: bool,
    /// The level of its dead letters.
    pub dead: DeadLetterLevel,
    /// Whether it is in the active configuration. Otherwise its remaining messages are being delivered, or it has none.
    pub configured: bool,
}

/// By name and id.
type Key = (String, String);

/// The totals of outputs that have ended, and the last reported deliveries of each plugin.
#[derive(Default)]
pub(super) struct StatsHistory {
    past: BTreeMap<Key, PluginStats>,
    /// The highest number of deliveries that was reported.
    reported: BTreeMap<Key, u64>,
}

fn key(spec: &OutputSpec) -> Key {
    (spec.plugin.clone(), spec.identity.clone())
}

impl PluginStats {
    fn of(spec: &OutputSpec) -> Self {
        Self {
            kind: spec.plugin.clone(),
            identity: spec.identity.clone(),
            instance: spec.instance.clone(),
            ..Self::default()
        }
    }

    /// The number of dropped messages for each reason.
    pub fn dropped_by_reason(&self) -> [(&'static str, u64); 8] {
        let counters = &self.counters;
        [
            ("overflow", counters.dropped_overflow),
            ("oversize", counters.dropped_oversize),
            ("expired", counters.dropped_expired),
            ("lost", self.lost),
            ("corrupt", counters.corrupt),
            ("script", counters.dropped_script),
            ("body", counters.dropped_body),
            ("operator", counters.dropped_operator),
        ]
    }

    /// Adds the statistics of an output. Values that are not sums are those of the `current` output.
    fn include(&mut self, output: &Output, current: bool) {
        let (stats, condition) = (output.stats(), output.queue_status());
        let alone = self.max_bytes.is_none() && !self.configured;
        self.counters.add(&stats.counters);
        self.lost += stats.lost;
        self.failures += stats.failures;
        self.retried += stats.retried;
        self.failing |= stats.failing;
        self.unwritable |= condition.failing;
        self.unreadable |= condition.unreadable;
        self.oldest = self.oldest.max(condition.oldest);
        // All outputs of a plugin share its dead letters.
        self.dead = output.dead_letters().level();
        self.times.add(&condition.times);
        let newer = |error: &LastError| self.last_error.as_ref().is_none_or(|known| known.at <= error.at);
        if let Some(error) = stats.last_error.filter(newer) {
            self.last_error = Some(error);
        }
        if current || alone {
            let spec = output.spec();
            self.instance.clone_from(&spec.instance);
            self.max_bytes = condition.max_bytes;
            self.on_disk = condition.on_disk;
            self.configured = current;
        }
    }
}

impl StatsHistory {
    /// Adds the totals of an output that has ended: its queue is closed and empty. An unused output is not recorded, because
    /// it may be of a refused reload.
    pub(super) fn absorb(&mut self, output: &Output) {
        let spec = output.spec();
        if !output.was_used() {
            return;
        }
        let past = self.past.entry(key(&spec)).or_insert_with(|| PluginStats::of(&spec));
        past.include(output, false);
        (past.failing, past.unwritable, past.unreadable) = (false, false, false);
        (past.oldest, past.dead) = (None, DeadLetterLevel::default());
    }

    /// The statistics of all plugins, by name and id. `outputs` are those that have not ended, each with whether it is current.
    pub(super) fn read<'a>(&mut self, outputs: impl Iterator<Item = (&'a Output, bool)>) -> Vec<PluginStats> {
        let mut plugins = self.past.clone();
        let mut live = Vec::new();
        for (output, current) in outputs.filter(|(output, _)| !output.is_closed() || output.was_used()) {
            let key = key(&output.spec());
            plugins.entry(key.clone()).or_insert_with(|| PluginStats::of(&output.spec())).include(output, current);
            live.push(key);
        }
        for (key, stats) in &mut plugins {
            let reported = self.reported.entry(key.clone()).or_default();
            subtract_lost(reported, stats);
        }
        let removed = plugins.len().saturating_sub(live.len() + MAX_REMOVED);
        for key in plugins.keys().filter(|key| !live.contains(key)).take(removed) {
            self.past.remove(key);
            self.reported.remove(key);
        }
        plugins.into_values().collect()
    }
}

/// Subtracts lost messages from the delivered ones, but not below the number that was reported before.
fn subtract_lost(reported: &mut u64, stats: &mut PluginStats) {
    let delivered = stats.counters.delivered;
    *reported = (*reported).max(delivered.saturating_sub(stats.lost));
    stats.lost = delivered.saturating_sub(*reported);
    stats.counters.delivered = *reported;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: deliveries, and losses that are reported at any later time, with reads in between.
        /// Guarantees: no number decreases; delivered plus lost is the number of messages that left the queue; after enough
        /// deliveries all losses are reported.
        #[test]
        fn losses_never_decrease_totals(steps in proptest::collection::vec((0u64..10, 0u64..10), 1..50)) {
            let (mut reported, mut delivered, mut lost) = (0, 0, 0);
            let mut before = (0, 0);
            for (more, gone) in steps {
                delivered += more;
                lost = (lost + gone).min(delivered);
                let mut stats = PluginStats { lost, ..PluginStats::default() };
                stats.counters.delivered = delivered;
                subtract_lost(&mut reported, &mut stats);
                let now = (stats.counters.delivered, stats.lost);
                prop_assert!(now.0 >= before.0 && now.1 >= before.1, "{:?} after {:?}", now, before);
                prop_assert_eq!(now.0 + now.1, delivered);
                before = now;
            }
            let mut stats = PluginStats { lost, ..PluginStats::default() };
            stats.counters.delivered = delivered + lost;
            subtract_lost(&mut reported, &mut stats);
            prop_assert_eq!(stats.lost, lost);
        }
    }
}
