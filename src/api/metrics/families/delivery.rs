//! Metrics of messages, queues and disks.

use super::super::family::{Family, MetricKind, Samples};
use super::super::snapshot::Snapshot;
use super::{PLUGIN, PLUGIN_REASON, labels};
use crate::delivery::PluginStats;
use logphase_queue::metric::Scale;

/// From a millisecond to 73 minutes, by factors of four.
const DELIVERY: Scale = Scale { first: 20, last: 42, step: 2 };
/// From 65 microseconds to 17 seconds, by factors of two.
const SYNC: Scale = Scale { first: 16, last: 34, step: 1 };

/// A sample for each plugin.
fn each(snapshot: &Snapshot, out: &mut Samples, value: fn(&PluginStats) -> u64) {
    snapshot.plugins.iter().for_each(|plugin| out.integer(labels(plugin), value(plugin)));
}

/// A sample of `max`, unless there is no limit.
fn bound(out: &mut Samples, max: usize) {
    if max < usize::MAX {
        out.integer([], max as u64);
    }
}

/// Of messages, queues and disks.
pub(super) static DELIVERY_FAMILIES: &[Family] = &[
    Family {
        name: "logphase_messages_total",
        kind: MetricKind::Counter,
        labels: PLUGIN,
        about: "Messages for the plugin: one for each transaction that it applies to",
        look_for: "The left side of the equation above.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.appended),
    },
    Family {
        name: "logphase_messages_recovered_total",
        kind: MetricKind::Counter,
        labels: PLUGIN,
        about: "Messages that an earlier run left on disk",
        look_for: "After a start: messages left by the previous run.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.recovered),
    },
    Family {
        name: "logphase_messages_delivered_total",
        kind: MetricKind::Counter,
        labels: PLUGIN,
        about: "Messages delivered to the destination",
        look_for: "A rate that stays below that of `logphase_messages_total`: the queue grows.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.delivered),
    },
    Family {
        name: "logphase_messages_dropped_total",
        kind: MetricKind::Counter,
        labels: PLUGIN_REASON,
        about: "Dropped messages, by reason",
        look_for: "Any increase. `overflow`: the queue was full, with `overflow: drop_oldest` or \
                   `required: false`. `oversize`: larger than the \
                   queue or a datagram holds. `expired`: past `max_retry_time`. `lost`: a datagram that the network \
                   reported as lost, or a log record that a receiver of OpenTelemetry says it has not taken. `corrupt`: damaged on disk. `script`: `on_error: drop`. `body`: \
                   `on_body_error: drop`. `operator`: `logphase queue drop`.",
        samples: |snapshot, out| {
            for plugin in &snapshot.plugins {
                let [kind, id, instance] = labels(plugin);
                plugin
                    .dropped_by_reason()
                    .into_iter()
                    .for_each(|(reason, count)| out.integer([kind, id, instance, reason], count));
            }
        },
    },
    Family {
        name: "logphase_messages_dead_lettered_total",
        kind: MetricKind::Counter,
        labels: PLUGIN,
        about: "Messages that the destination refused permanently, and that became dead letters",
        look_for: "Any increase: inspect them with `logphase queue`, then replay or drop them.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.dead_letters),
    },
    Family {
        name: "logphase_queue_refusals_total",
        kind: MetricKind::Counter,
        labels: PLUGIN,
        about: "Requests, batches or lines that this plugin's full queue refused",
        look_for: "Any increase: senders wait, and all plugins of their transactions with them. A connection that waits is \
                   counted at each attempt.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.refusals),
    },
    Family {
        name: "logphase_messages_retried_total",
        kind: MetricKind::Counter,
        labels: PLUGIN,
        about: "Messages sent again",
        look_for: "A rate that lasts: the destination may have duplicates.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.retried),
    },
    Family {
        name: "logphase_delivery_failures_total",
        kind: MetricKind::Counter,
        labels: PLUGIN,
        about: "Failed delivery attempts",
        look_for: "A rate that lasts: the destination is unavailable or refuses messages.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.failures),
    },
    Family {
        name: "logphase_plugin_failing",
        kind: MetricKind::Gauge,
        labels: PLUGIN,
        about: "1 while the last delivery attempt has failed and a retry is pending",
        look_for: "1 for longer than a restart of the destination.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.failing.into()),
    },
    Family {
        name: "logphase_delivery_seconds",
        kind: MetricKind::Histogram,
        labels: PLUGIN,
        about: "Time from acceptance of a message until the destination has it, counted when it is delivered for good",
        look_for: "The quantile of your service level objective.",
        samples: |snapshot, out| {
            snapshot.plugins.iter().for_each(|plugin| out.histogram(labels(plugin), &plugin.times, DELIVERY));
        },
    },
    Family {
        name: "logphase_queue_messages",
        kind: MetricKind::Gauge,
        labels: PLUGIN,
        about: "Messages in the queue, including those in flight and those that are not confirmed",
        look_for: "Continuous growth.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.depth as u64),
    },
    Family {
        name: "logphase_queue_unconfirmed_messages",
        kind: MetricKind::Gauge,
        labels: PLUGIN,
        about: "Messages that the destination has and may still lose; they are part of `logphase_queue_messages`",
        look_for: "Nothing: over TCP these are the messages of the last 30 s, in a file those of the last 2 s.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.unconfirmed as u64),
    },
    Family {
        name: "logphase_queue_bytes",
        kind: MetricKind::Gauge,
        labels: PLUGIN,
        about: "Bytes of the messages in the queue without those that are not confirmed",
        look_for: "Its share of `logphase_queue_capacity_bytes`.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.unsettled_bytes() as u64),
    },
    Family {
        name: "logphase_queue_capacity_bytes",
        kind: MetricKind::Gauge,
        labels: PLUGIN,
        about: "Maximum bytes in the queue; absent if it has no limit of its own",
        look_for: "Room for the messages of an outage of the destination.",
        samples: |snapshot, out| {
            for plugin in &snapshot.plugins {
                if let Some(max) = plugin.max_bytes.filter(|_| plugin.configured) {
                    out.integer(labels(plugin), max as u64);
                }
            }
        },
    },
    Family {
        name: "logphase_queue_oldest_age_seconds",
        kind: MetricKind::Gauge,
        labels: PLUGIN,
        about: "Age of the oldest message that the destination does not have; 0 if it has all",
        look_for: "An increase: the best single sign that a destination does not keep up.",
        samples: |snapshot, out| {
            for plugin in &snapshot.plugins {
                out.real(labels(plugin), plugin.oldest.unwrap_or_default().as_secs_f64());
            }
        },
    },
    Family {
        name: "logphase_dead_letters",
        kind: MetricKind::Gauge,
        labels: PLUGIN,
        about: "Number of dead letters",
        look_for: "Anything but zero.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.dead.letters),
    },
    Family {
        name: "logphase_dead_letter_bytes",
        kind: MetricKind::Gauge,
        labels: PLUGIN,
        about: "Bytes of dead letters",
        look_for: "Close to `queue.max_dead_letter_bytes`: beyond that, a dead letter blocks the queue.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.dead.bytes),
    },
    Family {
        name: "logphase_orphaned_queues",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "Queues on disk with messages whose plugin is not in the configuration",
        look_for: "Anything but zero: a plugin was removed, or has another id, before its queue was empty.",
        samples: |snapshot, out| out.integer([], snapshot.orphans as u64),
    },
    Family {
        name: "logphase_memory_queued_bytes",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "Bytes held or reserved in memory by all queues",
        look_for: "Its share of `logphase_memory_limit_bytes`: at the limit, transactions are rejected.",
        samples: |snapshot, out| out.integer([], snapshot.memory.0 as u64),
    },
    Family {
        name: "logphase_memory_limit_bytes",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "`queue.max_memory`",
        look_for: "",
        samples: |snapshot, out| bound(out, snapshot.memory.1),
    },
    Family {
        name: "logphase_disk_queued_bytes",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "Bytes in all queues on disk",
        look_for: "Its share of `logphase_disk_limit_bytes`, and of the free space on the disk.",
        samples: |snapshot, out| out.integer([], snapshot.disk.0 as u64),
    },
    Family {
        name: "logphase_disk_limit_bytes",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "`queue.max_data_bytes`",
        look_for: "",
        samples: |snapshot, out| bound(out, snapshot.disk.1),
    },
    Family {
        name: "logphase_disk_sync_seconds",
        kind: MetricKind::Histogram,
        labels: &[],
        about: "Duration of a sync of a queue on disk (fdatasync)",
        look_for: "High quantiles: senders wait for the sync.",
        samples: |snapshot, out| out.histogram([], &snapshot.syncs, SYNC),
    },
    Family {
        name: "logphase_disk_failing",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "1 while a queue on disk cannot be written, and its plugin accepts no messages; or cannot be read, and \
                delivers none",
        look_for: "1: free space, or repair the disk.",
        samples: |snapshot, out| {
            out.integer([], snapshot.plugins.iter().any(|plugin| plugin.unwritable || plugin.unreadable).into());
        },
    },
    Family {
        name: "logphase_set_aside_files",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "Files of queues and dead letters that are damaged or belong elsewhere, and were set aside",
        look_for: "Anything but zero: `logphase queue salvage` reads what is intact in them.",
        samples: |snapshot, out| out.integer([], snapshot.set_aside as u64),
    },
];
