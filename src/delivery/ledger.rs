//! What is known about each plugin since the start, over all the outputs that it had: a reload may give it another one,
//! and what the old one has counted must not be forgotten, nor counted twice.

use std::collections::BTreeMap;
use std::time::Duration;

use super::output::{LastError, Output};
use super::{Level, OutputSpec};
use logphase_queue::Counters;
use logphase_queue::metric::Histogram;

/// Plugins without an output that are remembered. They are few, unless something makes up new ids all the time.
const GONE: usize = 1000;

/// What is known about one plugin. Plugins that share a queue are one, with the id of the first.
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
    /// All of its queues together. Of `delivered`, those are taken off that were lost.
    pub counters: Counters,
    /// Datagrams that count neither as delivered nor as under way: the network said that they were lost. A loss that
    /// was told of after the last delivery is counted with the next one, so that `delivered` never goes down.
    pub lost: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Messages that were sent again.
    pub retried: u64,
    /// The last attempt failed; another will be made.
    pub failing: bool,
    /// The last failure, also when all is well since.
    pub last_error: Option<LastError>,
    /// How long the oldest entry waits.
    pub oldest: Option<Duration>,
    /// From taken to delivered.
    pub times: Histogram,
    /// Bytes that its queue holds at most, if it has a bound of its own.
    pub max_bytes: Option<usize>,
    /// Its queue is on disk.
    pub on_disk: bool,
    /// Its queue cannot be written.
    pub unwritable: bool,
    /// Its dead letters.
    pub dead: Level,
    /// It is in the configuration; if not, what it had is being delivered, or is done with.
    pub configured: bool,
}

/// By name and id.
type Key = (String, String);

/// The totals of outputs that have ended, and what was shown of each plugin.
#[derive(Default)]
pub(super) struct Ledger {
    past: BTreeMap<Key, PluginStats>,
    /// The most that was ever shown as delivered.
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

    /// Adds what is known of an output; if it is the `current` one, what is not a number is its.
    fn include(&mut self, output: &Output, current: bool) {
        let (stats, condition) = (output.stats(), output.condition());
        let alone = self.max_bytes.is_none() && !self.configured;
        self.counters.add(&stats.counters);
        self.lost += stats.lost;
        self.failures += stats.failures;
        self.retried += stats.retried;
        self.failing |= stats.failing;
        self.unwritable |= condition.failing;
        self.oldest = self.oldest.max(condition.oldest);
        // Old and new outputs of a plugin have the same ones.
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

impl Ledger {
    /// Takes over the totals of an output that has ended: its queue is closed and empty, nothing of it moves any more.
    pub(super) fn fold(&mut self, output: &Output) {
        let spec = output.spec();
        let past = self.past.entry(key(&spec)).or_insert_with(|| PluginStats::of(&spec));
        past.include(output, false);
        (past.failing, past.unwritable, past.oldest, past.dead) = (false, false, None, Level::default());
    }

    /// All plugins, by name and id. `outputs` are those that have not been folded, each with whether it is current.
    pub(super) fn read<'a>(&mut self, outputs: impl Iterator<Item = (&'a Output, bool)>) -> Vec<PluginStats> {
        let mut all = self.past.clone();
        let mut live = Vec::new();
        for (output, current) in outputs {
            let key = key(&output.spec());
            all.entry(key.clone()).or_insert_with(|| PluginStats::of(&output.spec())).include(output, current);
            live.push(key);
        }
        for (key, stats) in &mut all {
            let shown = self.shown.entry(key.clone()).or_default();
            write_off(shown, stats);
        }
        let gone = all.len().saturating_sub(live.len() + GONE);
        for key in all.keys().filter(|key| !live.contains(key)).take(gone) {
            self.past.remove(key);
            self.shown.remove(key);
        }
        all.into_values().collect()
    }
}

/// Takes what was lost off what was delivered, as far as no less is shown than before.
fn write_off(shown: &mut u64, stats: &mut PluginStats) {
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
        /// Scenario: deliveries, and losses that are told of at any time later, read in between.
        /// Guarantees: nothing that is shown goes down; delivered and lost together are what left the queue; when
        /// enough was delivered after the last loss, all that was lost is shown.
        #[test]
        fn losses_never_make_less(steps in proptest::collection::vec((0u64..10, 0u64..10), 1..50)) {
            let (mut shown, mut delivered, mut lost) = (0, 0, 0);
            let mut before = (0, 0);
            for (more, gone) in steps {
                delivered += more;
                lost = (lost + gone).min(delivered);
                let mut stats = PluginStats { lost, ..PluginStats::default() };
                stats.counters.delivered = delivered;
                write_off(&mut shown, &mut stats);
                let now = (stats.counters.delivered, stats.lost);
                prop_assert!(now.0 >= before.0 && now.1 >= before.1, "{:?} after {:?}", now, before);
                prop_assert_eq!(now.0 + now.1, delivered);
                before = now;
            }
            let mut stats = PluginStats { lost, ..PluginStats::default() };
            stats.counters.delivered = delivered + lost;
            write_off(&mut shown, &mut stats);
            prop_assert_eq!(stats.lost, lost);
        }
    }
}
