//! What a service does, read once for all who look: figures at one moment, their rates, and those of the last hour.

pub(super) mod flow;
pub(super) mod history;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::api::{self, DatabaseStats, ServiceState};
use crate::delivery::PluginStats;
use crate::input::{Counters, Reason};
use crate::phase::Generation;
use logphase_queue::metric::Scale;

/// A sync of the disk above it is slow: the bound of [`SYNC`] next to half a second, in seconds.
const SLOW_SYNC: f64 = 0.5;
const SYNC: Scale = Scale { first: 16, last: 34, step: 1 };

/// The figures of a service at one moment.
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) inputs: Vec<(&'static str, Arc<Counters>)>,
    pub(super) plugins: Vec<PluginStats>,
    /// The active generation, once there is one.
    pub(super) generation: Option<Arc<Generation>>,
    pub(super) transactions: u64,
    /// Processor time of the process.
    pub(super) cpu: Duration,
    /// Bytes of all Lua VMs.
    pub(super) memory: usize,
    pub(super) not_ready: Option<String>,
    pub(super) reload_error: Option<String>,
    /// Of all queues together in memory and on disk: bytes in use, and the bound.
    pub(super) budgets: [(usize, usize); 2],
    /// Syncs of the disk, and those of them that were slow.
    pub(super) syncs: (u64, u64),
    pub(super) disk: Disk,
    /// The database that several nodes share, and why it cannot be used.
    pub(super) database: Option<(DatabaseStats, Option<String>)>,
}

/// What the disk has, which takes a while to read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Disk {
    /// Queues without a plugin.
    pub(super) orphans: usize,
    /// Files that were set aside.
    pub(super) set_aside: usize,
}

impl Disk {
    /// Reads the directories of queues.
    pub(super) fn read(state: &ServiceState) -> Self {
        let delivery = state.components().map(|components| &components.delivery);
        delivery.map_or_else(Self::default, |delivery| Self {
            orphans: delivery.orphaned_queues(),
            set_aside: delivery.set_aside_files(),
        })
    }
}

impl Sample {
    /// The figures of the service with `state` now, with what was read of its disk. Waits for locks.
    pub(super) fn read(state: &ServiceState, disk: Disk) -> Self {
        let components = state.components();
        let stats = components.map(|components| &components.worker_stats);
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let delivery = components.map(|components| &components.delivery);
        let budgets = delivery.map_or([(0, usize::MAX); 2], |delivery| {
            let (memory, data) = delivery.budgets();
            [memory, data].map(|budget| (budget.used(), budget.max_bytes()))
        });
        let syncs = delivery.map_or((0, 0), |delivery| {
            let buckets = delivery.syncs().buckets(SYNC);
            let slow = buckets.iter().filter(|(bound, _)| *bound > SLOW_SYNC);
            (buckets.iter().map(|(_, count)| count).sum(), slow.map(|(_, count)| count).sum())
        });
        Self {
            at: Instant::now(),
            inputs: state.inputs().to_vec(),
            plugins: delivery.map_or_else(Vec::new, |delivery| delivery.plugins()),
            generation: components.and_then(|components| Some(components.live.upgrade()?.load_full())),
            transactions: stats.map_or(0, |stats| stats.transactions.load(std::sync::atomic::Ordering::Relaxed)),
            cpu: Duration::new(cpu.tv_sec.unsigned_abs(), u32::try_from(cpu.tv_nsec).unwrap_or_default()),
            memory: stats.map_or(0, |stats| stats.heartbeats.iter().map(|heartbeat| heartbeat.memory()).sum()),
            not_ready: api::why_not_ready(state),
            reload_error: state.reloads().read().error,
            budgets,
            syncs,
            disk,
            database: state.database().map(|database| (database.read(), database.why_away())),
        }
    }
}

/// What an input has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct OfInput<T> {
    pub(super) received: T,
    pub(super) rejected: T,
    pub(super) lost: T,
    pub(super) bytes: T,
}

impl OfInput<u64> {
    fn of(counters: &Counters) -> Self {
        Self {
            received: counters.received(),
            rejected: Reason::ALL.into_iter().map(|reason| counters.rejected(reason)).sum(),
            lost: counters.lost(),
            bytes: counters.bytes(),
        }
    }

    fn rates(&self, before: &Self, rate: impl Fn(u64, u64) -> f64) -> OfInput<f64> {
        OfInput {
            received: rate(self.received, before.received),
            rejected: rate(self.rejected, before.rejected),
            lost: rate(self.lost, before.lost),
            bytes: rate(self.bytes, before.bytes),
        }
    }
}

/// What a plugin's queue and sink have counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub(super) struct OfPlugin<T> {
    pub(super) delivered: T,
    pub(super) enqueued: T,
    pub(super) dropped: T,
    pub(super) retried: T,
    pub(super) failed: T,
}

impl OfPlugin<u64> {
    fn of(stats: &PluginStats) -> Self {
        Self {
            delivered: stats.counters.delivered,
            enqueued: stats.counters.appended,
            dropped: stats.dropped_by_reason().into_iter().map(|(_, count)| count).sum(),
            retried: stats.retried,
            failed: stats.failures,
        }
    }

    fn rates(&self, before: &Self, rate: impl Fn(u64, u64) -> f64) -> OfPlugin<f64> {
        OfPlugin {
            delivered: rate(self.delivered, before.delivered),
            enqueued: rate(self.enqueued, before.enqueued),
            dropped: rate(self.dropped, before.dropped),
            retried: rate(self.retried, before.retried),
            failed: rate(self.failed, before.failed),
        }
    }
}

/// What a service has counted until one moment.
pub(super) struct Totals {
    at: Instant,
    transactions: u64,
    cpu: Duration,
    inputs: Vec<(&'static str, OfInput<u64>)>,
    /// By the plugin's id.
    plugins: HashMap<String, OfPlugin<u64>>,
}

impl Totals {
    pub(super) fn of(sample: &Sample) -> Self {
        let mut plugins = HashMap::with_capacity(sample.plugins.len());
        for stats in &sample.plugins {
            // A plugin may have had another name with the same id.
            if stats.configured || !plugins.contains_key(&stats.identity) {
                plugins.insert(stats.identity.clone(), OfPlugin::of(stats));
            }
        }
        Self {
            at: sample.at,
            transactions: sample.transactions,
            cpu: sample.cpu,
            inputs: sample.inputs.iter().map(|(name, counters)| (*name, OfInput::of(counters))).collect(),
            plugins,
        }
    }

    /// What was counted per second since `before`.
    pub(super) fn since(&self, before: &Self) -> Rates {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
        let rate = |now: u64, before: u64| per_second(now.saturating_sub(before) as f64, seconds);
        let input = |(at, (name, now)): (usize, &(&'static str, OfInput<u64>))| {
            let old = before.inputs.get(at).filter(|(known, _)| known == name);
            (*name, now.rates(&old.map(|(_, old)| *old).unwrap_or_default(), rate))
        };
        let plugin = |(id, now): (&String, &OfPlugin<u64>)| {
            (id.clone(), now.rates(&before.plugins.get(id).copied().unwrap_or_default(), rate))
        };
        Rates {
            transactions: rate(self.transactions, before.transactions),
            cpu: per_second(self.cpu.saturating_sub(before.cpu).as_secs_f64(), seconds),
            inputs: self.inputs.iter().enumerate().map(input).collect(),
            plugins: self.plugins.iter().map(plugin).collect(),
        }
    }
}

/// Per second, to three digits behind the point.
fn per_second(number: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { (number / seconds * 1000.0).round() / 1000.0 } else { 0.0 }
}

/// What a service counts per second.
pub(super) struct Rates {
    pub(super) transactions: f64,
    /// Seconds of processor time.
    pub(super) cpu: f64,
    pub(super) inputs: Vec<(&'static str, OfInput<f64>)>,
    pub(super) plugins: HashMap<String, OfPlugin<f64>>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A service with these plugins and deliveries per second.
    pub(in crate::page) fn sample_of(plugins: &[(&str, f64)]) -> Sample {
        let stats = |(id, _): &(&str, f64)| PluginStats {
            identity: (*id).to_owned(),
            configured: true,
            ..PluginStats::default()
        };
        Sample {
            at: Instant::now(),
            inputs: Vec::new(),
            plugins: plugins.iter().map(stats).collect(),
            generation: None,
            transactions: 0,
            cpu: Duration::ZERO,
            memory: 0,
            not_ready: None,
            reload_error: None,
            budgets: [(0, usize::MAX); 2],
            syncs: (0, 0),
            disk: Disk::default(),
            database: None,
        }
    }

    /// The rates of the same.
    pub(in crate::page) fn rates_of(plugins: &[(&str, f64)]) -> Rates {
        let of_plugin = |(id, delivered): &(&str, f64)| {
            ((*id).to_owned(), OfPlugin { delivered: *delivered, ..OfPlugin::default() })
        };
        Rates { transactions: 1.0, cpu: 0.5, inputs: Vec::new(), plugins: plugins.iter().map(of_plugin).collect() }
    }

    /// Scenario: counters at two moments, of a plugin that stays, one that is new, and one that has begun anew. Guarantees: rates are per
    /// second; none is negative.
    #[test]
    fn rates_are_per_second() {
        let count = |sample: &mut Sample, at: usize, delivered| sample.plugins[at].counters.delivered = delivered;
        let mut before = sample_of(&[("stays", 0.0), ("anew", 0.0)]);
        count(&mut before, 0, 100);
        count(&mut before, 1, 100);
        let mut now = sample_of(&[("stays", 0.0), ("anew", 0.0), ("new", 0.0)]);
        now.at = before.at + Duration::from_millis(2500);
        now.transactions = 50;
        count(&mut now, 0, 103);
        count(&mut now, 1, 10);
        count(&mut now, 2, 5);
        let rates = Totals::of(&now).since(&Totals::of(&before));
        let delivered = |id: &str| rates.plugins[id].delivered;
        assert_eq!([delivered("stays"), delivered("anew"), delivered("new")], [1.2, 0.0, 2.0]);
        assert_eq!(rates.transactions, 20.0);
        let same = Totals::of(&now);
        assert_eq!(same.since(&same).transactions, 0.0);
    }
}
