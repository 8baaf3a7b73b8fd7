//! The statistics of each plugin since the start, over all its outputs: after a reload has replaced an output, its counts are
//! neither lost nor counted twice.

use std::collections::BTreeMap;
use std::time::Duration;

use super::output::{LastError, Output};
use super::{DeadLetterLevel, OutputSpec};
use logphase_queue::Counters;
use logphase_queue::metric::Histogram;

/// Removed plugins whose statistics are kept, at most. There are few, unless new ids are generated all the time.
const MAX_REMOVED: usize = 1000;

/// The statistics of one plugin. Plugins that share a queue count as one, with the id of the first.
///
/// In every snapshot of `counters`, `appended + recovered == delivered + lost + depth + dropped() + unmade() +
/// dead_letters + corrupt`, and no total is ever less than in the one before.
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
    /// Attempts that failed.
    pub failures: u64,
    /// Messages that were sent again.
    pub retried: u64,
    /// The last attempt has failed, and will be retried.
    pub failing: bool,
    /// The last failure, also if there were successes since.
    pub last_error: Option<LastError>,
    /// The age of the oldest entry.
    pub oldest: Option<Duration>,
    /// The times from acceptance to delivery.
    pub times: Histogram,
    /// Bytes that its queue holds at most, if it has a bound of its own.
    pub max_bytes: Option<usize>,
    /// Its queue is on disk.
    pub on_disk: bool,
    /// Its queue cannot be written.
    pub unwritable: bool,
    /// Its dead letters.
    pub dead: DeadLetterLevel,
    /// It is in the active configuration. Otherwise its remaining messages are being delivered, or there are none.
    pub configured: bool,
}

/// By name and id.
type Key = (String, String);

/// The totals of outputs that have ended, and what was last shown of each plugin.
#[derive(Default)]
pub(super) struct StatsHistory {
    past: BTreeMap<Key, PluginStats>,
    /// The highest number that was shown as delivered.
    shown: BTreeMap<Key, u64>,
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

    /// Why messages were dropped, and how many for each reason.
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

    /// Adds the statistics of an output. What is not a sum is taken from the `current` one.
    fn include(&mut self, output: &Output, current: bool) {
        let (stats, condition) = (output.stats(), output.queue_status());
        let alone = self.max_bytes.is_none() && !self.configured;
        self.counters.add(&stats.counters);
        self.lost += stats.lost;
        self.failures += stats.failures;
        self.retried += stats.retried;
        self.failing |= stats.failing;
        self.unwritable |= condition.failing;
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
            self.on_disk = spec.queue.is_on_disk();
            self.configured = current;
        }
    }
}

impl StatsHistory {
    /// Adds the totals of an output that has ended: its queue is closed and empty. An output without any is not recorded: it
    /// may be that of a reload that was refused.
    pub(super) fn absorb(&mut self, output: &Output) {
        let spec = output.spec();
        if !output.was_used() {
            return;
        }
        let past = self.past.entry(key(&spec)).or_insert_with(|| PluginStats::of(&spec));
        past.include(output, false);
        (past.failing, past.unwritable, past.oldest, past.dead) = (false, false, None, DeadLetterLevel::default());
    }

    /// All plugins, by name and id. `outputs` are those that have not ended, each with whether it is current.
    pub(super) fn read<'a>(&mut self, outputs: impl Iterator<Item = (&'a Output, bool)>) -> Vec<PluginStats> {
        let mut all = self.past.clone();
        let mut live = Vec::new();
        for (output, current) in outputs.filter(|(output, _)| !output.is_closed() || output.was_used()) {
            let key = key(&output.spec());
            all.entry(key.clone()).or_insert_with(|| PluginStats::of(&output.spec())).include(output, current);
            live.push(key);
        }
        for (key, stats) in &mut all {
            let shown = self.shown.entry(key.clone()).or_default();
            subtract_lost(shown, stats);
        }
        let removed = all.len().saturating_sub(live.len() + MAX_REMOVED);
        for key in all.keys().filter(|key| !live.contains(key)).take(removed) {
            self.past.remove(key);
            self.shown.remove(key);
        }
        all.into_values().collect()
    }
}

/// Subtracts lost messages from the delivered ones, but not below the number that was shown before.
fn subtract_lost(shown: &mut u64, stats: &mut PluginStats) {
    let delivered = stats.counters.delivered;
    *shown = (*shown).max(delivered.saturating_sub(stats.lost));
    stats.lost = delivered.saturating_sub(*shown);
    stats.counters.delivered = *shown;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: deliveries, and losses that are reported at any time later, with reads in between.
        /// Guarantees: no number decreases; delivered and lost are together what left the queue; after enough deliveries
        /// all losses are shown.
        #[test]
        fn losses_never_make_less(steps in proptest::collection::vec((0u64..10, 0u64..10), 1..50)) {
            let (mut shown, mut delivered, mut lost) = (0, 0, 0);
            let mut before = (0, 0);
            for (more, gone) in steps {
                delivered += more;
                lost = (lost + gone).min(delivered);
                let mut stats = PluginStats { lost, ..PluginStats::default() };
                stats.counters.delivered = delivered;
                subtract_lost(&mut shown, &mut stats);
                let now = (stats.counters.delivered, stats.lost);
                prop_assert!(now.0 >= before.0 && now.1 >= before.1, "{:?} after {:?}", now, before);
                prop_assert_eq!(now.0 + now.1, delivered);
                before = now;
            }
            let mut stats = PluginStats { lost, ..PluginStats::default() };
            stats.counters.delivered = delivered + lost;
            subtract_lost(&mut shown, &mut stats);
            prop_assert_eq!(stats.lost, lost);
        }
    }
}
