//! The counters of a service at one moment.

use std::time::SystemTime;

use super::super::database::DatabaseStats;
use super::super::health;
use super::super::reloads::ReloadStats;
use super::super::state::ServiceState;
use crate::delivery::PluginStats;
use crate::input::{ConsumerStats, FollowedFiles, Handshake, Reason, Refusal, TopicState};
use crate::phase::{SnippetKey, Unlogged};
use logphase_queue::metric::Histogram;
use logphase_script::Stop;

/// Everything that is counted, at one moment.
pub(in super::super) struct Snapshot {
    pub(super) started: SystemTime,
    pub(super) ready: bool,
    pub(super) inputs: Vec<Input>,
    /// Members that the transactions of each mapping lack, by its name.
    pub(super) mappings: Vec<(String, u64)>,
    pub(super) plugins: Vec<PluginStats>,
    pub(super) snippets: Vec<Snippet>,
    /// Bytes in use, and the bound.
    pub(super) memory: (usize, usize),
    pub(super) disk: (usize, usize),
    pub(super) syncs: Histogram,
    pub(super) orphans: usize,
    /// Files of queues and dead letters that were set aside.
    pub(super) set_aside: usize,
    /// Transactions that no plugin logs.
    pub(super) unlogged: Vec<(Unlogged, u64)>,
    /// Bytes of the VM of each worker.
    pub(super) vms: Vec<usize>,
    pub(super) reloads: ReloadStats,
    /// Of a database that is shared with other nodes.
    pub(super) database: Option<DatabaseStats>,
}

/// The counters of one kind of input.
pub(super) struct Input {
    pub name: &'static str,
    pub received: u64,
    pub lost: u64,
    pub skipped: u64,
    pub bytes: u64,
    pub connections: u64,
    pub shed: u64,
    pub throttled: u64,
    pub refused: [u64; Refusal::ALL.len()],
    pub handshakes: [u64; Handshake::ALL.len()],
    /// Of an input that follows files.
    pub files: Option<FollowedFiles>,
    pub rejected: [u64; Reason::ALL.len()],
    pub consumer: Option<Consumer>,
}

/// The state of an input that is a consumer.
pub(super) struct Consumer {
    pub topics: Vec<TopicState>,
    pub commits: u64,
    pub failed_commits: u64,
    pub rebalances: u64,
    pub failing: bool,
}

impl Consumer {
    fn of(stats: &ConsumerStats) -> Self {
        Self {
            topics: stats.topics(),
            commits: stats.commits(),
            failed_commits: stats.failed_commits(),
            rebalances: stats.rebalances(),
            failing: stats.error().is_some(),
        }
    }
}

/// The counters of one snippet.
pub(super) struct Snippet {
    pub key: SnippetKey,
    pub instance: String,
    pub errors: u64,
    pub stops: [u64; Stop::ALL.len()],
    pub skipped: u64,
    pub no_effect: u64,
    pub times: Histogram,
}

impl Snapshot {
    /// The counters of a service now. Waits for locks, and for the disk.
    pub(in super::super) fn of(state: &ServiceState) -> Self {
        let components = state.components();
        let mut snippets = Vec::new();
        if let Some(components) = components {
            components.snippets.each(|key, instance, totals| {
                snippets.push(Snippet {
                    key: key.clone(),
                    instance: instance.unwrap_or_default().to_owned(),
                    errors: totals.errors(),
                    stops: Stop::ALL.map(|budget| totals.stops(budget)),
                    skipped: totals.skipped(),
                    no_effect: totals.no_effect_runs(),
                    times: totals.times(),
                });
            });
        }
        let inputs = state.inputs().iter().map(|(name, counters)| Input {
            name,
            received: counters.received(),
            lost: counters.lost(),
            skipped: counters.skipped(),
            bytes: counters.bytes(),
            connections: counters.open_connections(),
            shed: counters.shed_connections(),
            throttled: counters.throttled(),
            refused: Refusal::ALL.map(|refusal| counters.refused_connections(refusal)),
            handshakes: Handshake::ALL.map(|result| counters.handshakes(result)),
            files: counters.files(),
            rejected: Reason::ALL.map(|reason| counters.rejected(reason)),
            consumer: counters.consumer().map(Consumer::of),
        });
        let unbounded = (0, usize::MAX);
        let budgets = components.map_or((unbounded, unbounded), |components| {
            let (memory, disk) = components.delivery.budgets();
            ((memory.used(), memory.max_bytes()), (disk.used(), disk.max_bytes()))
        });
        Self {
            started: state.started(),
            ready: health::why_not_ready(state).is_none(),
            inputs: inputs.collect(),
            mappings: state
                .mappings()
                .iter()
                .map(|(name, report)| (name.clone(), report.missing().len() as u64))
                .collect(),
            plugins: components.map_or_else(Vec::new, |components| components.delivery.plugins()),
            snippets,
            memory: budgets.0,
            disk: budgets.1,
            syncs: components.map_or_else(Histogram::default, |components| components.delivery.syncs()),
            orphans: components.map_or(0, |components| components.delivery.orphaned_queues()),
            set_aside: components.map_or(0, |components| components.delivery.set_aside_files()),
            unlogged: components
                .map_or_else(Vec::new, |components| components.worker_stats.unlogged.counts().collect()),
            vms: components.map_or_else(Vec::new, |components| {
                components.worker_stats.heartbeats.iter().map(|heartbeat| heartbeat.memory()).collect()
            }),
            reloads: state.reloads().read(),
            database: state.database().map(|database| database.read()),
        }
    }
}
