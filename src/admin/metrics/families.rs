//! The list of metrics. docs/metrics.md is made of it.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::status::dropped;
use super::{Family, Samples, Snapshot, Sort};
use crate::admin::Outcome;
use crate::delivery::PluginStats;
use crate::input::Reason;
use logphase_queue::metric::Scale;
use logphase_script::Stop;

/// The labels of a plugin.
const PLUGIN: &[&str] = &["plugin", "id", "instance_name"];
/// The same with one more.
const PLUGIN_REASON: &[&str] = &["plugin", "id", "instance_name", "reason"];
const PLUGIN_FIELD: &[&str] = &["plugin", "id", "instance_name", "field"];
const PLUGIN_FIELD_BUDGET: &[&str] = &["plugin", "id", "instance_name", "field", "budget"];

/// From a millisecond to 73 minutes, by factors of four.
const DELIVERY: Scale = Scale { first: 20, last: 42, step: 2 };
/// From 65 microseconds to 17 seconds, by factors of two.
const SYNC: Scale = Scale { first: 16, last: 34, step: 1 };
/// From a microsecond to a second, by factors of four.
const LUA: Scale = Scale { first: 10, last: 30, step: 2 };

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn labels(plugin: &PluginStats) -> [&str; 3] {
    [&plugin.kind, &plugin.identity, plugin.instance.as_deref().unwrap_or_default()]
}

/// One counter for each plugin.
fn each(snapshot: &Snapshot, out: &mut Samples, value: fn(&PluginStats) -> u64) {
    snapshot.plugins.iter().for_each(|plugin| out.count(labels(plugin), value(plugin)));
}

/// A counter for each snippet.
fn each_snippet(snapshot: &Snapshot, out: &mut Samples, value: fn(&super::Snippet) -> u64) {
    for snippet in &snapshot.snippets {
        let field = &snippet.field;
        out.count([field.plugin, &field.id, &snippet.instance, &field.field], value(snippet));
    }
}

/// A bound, where there is one.
fn bound(out: &mut Samples, max: usize) {
    if max < usize::MAX {
        out.count([], max as u64);
    }
}

/// Every metric, in the order in which they are shown.
pub static FAMILIES: &[Family] = &[
    Family {
        name: "logphase_build_info",
        sort: Sort::Gauge,
        labels: &["version"],
        about: "Which version runs; always 1",
        look_for: "The same version on all nodes after an update.",
        samples: |_, out| out.count([env!("CARGO_PKG_VERSION")], 1),
    },
    Family {
        name: "logphase_start_time_seconds",
        sort: Sort::Gauge,
        labels: &[],
        about: "When the process was started, in seconds since 1970",
        look_for: "A new value without a deployment: something ended it.",
        samples: |snapshot, out| out.real([], seconds(snapshot.started)),
    },
    Family {
        name: "logphase_ready",
        sort: Sort::Gauge,
        labels: &[],
        about: "1 while transactions should be sent here, as `/status/ready` says; else 0",
        look_for: "0 for longer than a start takes.",
        samples: |snapshot, out| out.count([], snapshot.ready.into()),
    },
    Family {
        name: "logphase_transactions_received_total",
        sort: Sort::Counter,
        labels: &["input"],
        about: "Transactions of which all messages are in their queues",
        look_for: "Its rate is your traffic. Zero while the proxies have some: they do not reach this node.",
        samples: |snapshot, out| snapshot.inputs.iter().for_each(|input| out.count([input.name], input.received)),
    },
    Family {
        name: "logphase_transactions_rejected_total",
        sort: Sort::Counter,
        labels: &["input", "reason"],
        about: "Requests, lines or datagrams that were not taken, by reason",
        look_for: "`full`: a queue pushes back, its receiver is too slow. `malformed`, `too_large`: what a sender sends \
                   is wrong.",
        samples: |snapshot, out| {
            for input in &snapshot.inputs {
                for (reason, count) in Reason::ALL.iter().zip(input.rejected) {
                    out.count([input.name, reason.name()], count);
                }
            }
        },
    },
    Family {
        name: "logphase_transactions_lost_total",
        sort: Sort::Counter,
        labels: &["input"],
        about: "Sound transactions that were neither taken nor refused in a way that their sender could see",
        look_for: "Anything but zero: UDP while queues are full, or a stop with connections that wait.",
        samples: |snapshot, out| snapshot.inputs.iter().for_each(|input| out.count([input.name], input.lost)),
    },
    Family {
        name: "logphase_input_bytes_total",
        sort: Sort::Counter,
        labels: &["input"],
        about: "Bytes that were read, before decompression and without protocol heads",
        look_for: "Bytes for each transaction that grow: bodies or headers are being logged.",
        samples: |snapshot, out| snapshot.inputs.iter().for_each(|input| out.count([input.name], input.bytes)),
    },
    Family {
        name: "logphase_input_connections",
        sort: Sort::Gauge,
        labels: &["input"],
        about: "Connections that are open",
        look_for: "Close to `max_connections` of the input: more wait unaccepted.",
        samples: |snapshot, out| {
            snapshot.inputs.iter().for_each(|input| out.count([input.name], input.connections));
        },
    },
    Family {
        name: "logphase_messages_total",
        sort: Sort::Counter,
        labels: PLUGIN,
        about: "Messages that were asked of the plugin: one for each transaction that it applies to",
        look_for: "The left side of the sum below.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.appended),
    },
    Family {
        name: "logphase_messages_recovered_total",
        sort: Sort::Counter,
        labels: PLUGIN,
        about: "Messages of an earlier run that were found on disk",
        look_for: "After a start: how much the run before has left.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.recovered),
    },
    Family {
        name: "logphase_messages_delivered_total",
        sort: Sort::Counter,
        labels: PLUGIN,
        about: "Messages that the destination has taken",
        look_for: "Its rate below that of `logphase_messages_total` for long: the queue grows.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.delivered),
    },
    Family {
        name: "logphase_messages_dropped_total",
        sort: Sort::Counter,
        labels: PLUGIN_REASON,
        about: "Messages that were given up, by reason",
        look_for: "Anything but zero. `overflow`: the queue was full with `overflow: drop_oldest`. `oversize`: larger \
                   than the queue or a datagram takes. `expired`: `max_retry_time`. `lost`: a datagram that was \
                   refused later. `corrupt`: damaged on disk. `script`: `on_error: drop`. `body`: `on_body_error`. \
                   `operator`: `logphase queue drop`.",
        samples: |snapshot, out| {
            for plugin in &snapshot.plugins {
                let [kind, id, instance] = labels(plugin);
                dropped(plugin).into_iter().for_each(|(reason, count)| out.count([kind, id, instance, reason], count));
            }
        },
    },
    Family {
        name: "logphase_messages_dead_lettered_total",
        sort: Sort::Counter,
        labels: PLUGIN,
        about: "Messages that the destination refused for good, and that were put among the dead letters",
        look_for: "Anything new: somebody should look at them and send them again.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.dead_letters),
    },
    Family {
        name: "logphase_messages_retried_total",
        sort: Sort::Counter,
        labels: PLUGIN,
        about: "Messages that were sent once more",
        look_for: "More than a few: the destination may have them twice.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.retried),
    },
    Family {
        name: "logphase_delivery_failures_total",
        sort: Sort::Counter,
        labels: PLUGIN,
        about: "Attempts to deliver that failed",
        look_for: "A rate that stays: the destination is away, or refuses.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.failures),
    },
    Family {
        name: "logphase_plugin_failing",
        sort: Sort::Gauge,
        labels: PLUGIN,
        about: "1 while the last attempt failed and another will be made",
        look_for: "1 for longer than a restart of the destination takes.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.failing.into()),
    },
    Family {
        name: "logphase_delivery_seconds",
        sort: Sort::Histogram,
        labels: PLUGIN,
        about: "Time from when a message was taken to when it was delivered",
        look_for: "The quantile that you promise to the readers of your logs.",
        samples: |snapshot, out| {
            snapshot.plugins.iter().for_each(|plugin| out.times(labels(plugin), &plugin.times, DELIVERY));
        },
    },
    Family {
        name: "logphase_queue_messages",
        sort: Sort::Gauge,
        labels: PLUGIN,
        about: "Messages in the queue, those on their way included",
        look_for: "Growth without end.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.depth as u64),
    },
    Family {
        name: "logphase_queue_bytes",
        sort: Sort::Gauge,
        labels: PLUGIN,
        about: "Bytes of these",
        look_for: "Its part of `logphase_queue_capacity_bytes`.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.counters.bytes as u64),
    },
    Family {
        name: "logphase_queue_capacity_bytes",
        sort: Sort::Gauge,
        labels: PLUGIN,
        about: "Bytes that the queue holds at most; not there if it has no bound of its own",
        look_for: "A queue that will be full before the destination is back.",
        samples: |snapshot, out| {
            for plugin in &snapshot.plugins {
                if let Some(max) = plugin.max_bytes.filter(|_| plugin.configured) {
                    out.count(labels(plugin), max as u64);
                }
            }
        },
    },
    Family {
        name: "logphase_queue_oldest_age_seconds",
        sort: Sort::Gauge,
        labels: PLUGIN,
        about: "How long the oldest message has been in the queue; 0 if it is empty",
        look_for: "The best single sign that a destination does not keep up.",
        samples: |snapshot, out| {
            for plugin in &snapshot.plugins {
                out.real(labels(plugin), plugin.oldest.unwrap_or_default().as_secs_f64());
            }
        },
    },
    Family {
        name: "logphase_dead_letters",
        sort: Sort::Gauge,
        labels: PLUGIN,
        about: "Messages among the dead letters",
        look_for: "Anything but zero.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.dead.letters),
    },
    Family {
        name: "logphase_dead_letter_bytes",
        sort: Sort::Gauge,
        labels: PLUGIN,
        about: "Bytes that the dead letters take",
        look_for: "Near `queue.max_dead_letter_bytes`: past it, the next one holds up the queue.",
        samples: |snapshot, out| each(snapshot, out, |plugin| plugin.dead.bytes),
    },
    Family {
        name: "logphase_orphaned_queues",
        sort: Sort::Gauge,
        labels: &[],
        about: "Queues on disk with messages whose plugin is not in the configuration",
        look_for: "Anything but zero: a plugin was taken out, or has another id, before its queue was empty.",
        samples: |snapshot, out| out.count([], snapshot.orphans as u64),
    },
    Family {
        name: "logphase_memory_queued_bytes",
        sort: Sort::Gauge,
        labels: &[],
        about: "Bytes that all queues hold in memory and have reserved",
        look_for: "Its part of `logphase_memory_limit_bytes`: at the limit, inputs are refused.",
        samples: |snapshot, out| out.count([], snapshot.memory.0 as u64),
    },
    Family {
        name: "logphase_memory_limit_bytes",
        sort: Sort::Gauge,
        labels: &[],
        about: "`queue.max_memory`",
        look_for: "",
        samples: |snapshot, out| bound(out, snapshot.memory.1),
    },
    Family {
        name: "logphase_disk_queued_bytes",
        sort: Sort::Gauge,
        labels: &[],
        about: "Bytes that wait in all queues on disk",
        look_for: "Its part of `logphase_disk_limit_bytes`, and of what the disk has free.",
        samples: |snapshot, out| out.count([], snapshot.disk.0 as u64),
    },
    Family {
        name: "logphase_disk_limit_bytes",
        sort: Sort::Gauge,
        labels: &[],
        about: "`queue.max_data_bytes`",
        look_for: "",
        samples: |snapshot, out| bound(out, snapshot.disk.1),
    },
    Family {
        name: "logphase_disk_sync_seconds",
        sort: Sort::Histogram,
        labels: &[],
        about: "How long it took to make what was written to a queue safe (fdatasync)",
        look_for: "High quantiles: senders wait for it.",
        samples: |snapshot, out| out.times([], &snapshot.syncs, SYNC),
    },
    Family {
        name: "logphase_disk_failing",
        sort: Sort::Gauge,
        labels: &[],
        about: "1 while a queue on disk cannot be written, and nothing is taken for its plugin",
        look_for: "1: make room, or mend the disk.",
        samples: |snapshot, out| {
            out.count([], snapshot.plugins.iter().any(|plugin| plugin.unwritable).into());
        },
    },
    Family {
        name: "logphase_lua_seconds",
        sort: Sort::Histogram,
        labels: PLUGIN_FIELD,
        about: "How long a snippet took; one in 16 runs is measured",
        look_for: "The snippet that costs most: 16 times the sum is what it took.",
        samples: |snapshot, out| {
            // Of thousands of snippets most may never run here.
            for snippet in snapshot.snippets.iter().filter(|snippet| snippet.times.count() > 0) {
                let field = &snippet.field;
                out.times([field.plugin, &field.id, &snippet.instance, &field.field], &snippet.times, LUA);
            }
        },
    },
    Family {
        name: "logphase_lua_errors_total",
        sort: Sort::Counter,
        labels: PLUGIN_FIELD,
        about: "How often a snippet failed, for whatever reason",
        look_for: "A rate after a change of the snippet, or of what is logged.",
        samples: |snapshot, out| each_snippet(snapshot, out, |snippet| snippet.errors),
    },
    Family {
        name: "logphase_lua_stopped_total",
        sort: Sort::Counter,
        labels: PLUGIN_FIELD_BUDGET,
        about: "How often a snippet was stopped because it had used up a budget",
        look_for: "`time`, `memory`: a snippet that is too expensive, or an attack.",
        samples: |snapshot, out| {
            for snippet in &snapshot.snippets {
                let field = &snippet.field;
                for (budget, count) in Stop::ALL.iter().zip(snippet.stops) {
                    if *budget != Stop::Suspended {
                        out.count([field.plugin, &field.id, &snippet.instance, &field.field, budget.name()], count);
                    }
                }
            }
        },
    },
    Family {
        name: "logphase_lua_left_out_total",
        sort: Sort::Counter,
        labels: PLUGIN_FIELD,
        about: "How often a snippet was not run, as it had run out of time too often in a row",
        look_for: "Anything but zero: the field is missing.",
        samples: |snapshot, out| each_snippet(snapshot, out, |snippet| snippet.left_out),
    },
    Family {
        name: "logphase_lua_memory_bytes",
        sort: Sort::Gauge,
        labels: &["worker"],
        about: "Bytes that the Lua VM of a worker held after its last batch",
        look_for: "Close to `lua.memory_limit`.",
        samples: |snapshot, out| {
            for (worker, bytes) in snapshot.vms.iter().enumerate() {
                out.count([&worker.to_string()], *bytes as u64);
            }
        },
    },
    Family {
        name: "logphase_reloads_total",
        sort: Sort::Counter,
        labels: &["result"],
        about: "Attempts to read the configuration again, by what came of them",
        look_for: "`refused`: somebody's change is not in force.",
        samples: |snapshot, out| {
            for (outcome, count) in Outcome::ALL.iter().zip(snapshot.reloads.counts) {
                out.count([outcome.name()], count);
            }
        },
    },
    Family {
        name: "logphase_last_reload_successful",
        sort: Sort::Gauge,
        labels: &[],
        about: "0 if the last attempt to read the configuration again was refused, else 1",
        look_for: "0: the log, and `reloads.last_error` in `/status`, say why.",
        samples: |snapshot, out| out.count([], snapshot.reloads.error.is_none().into()),
    },
    Family {
        name: "logphase_last_reload_timestamp_seconds",
        sort: Sort::Gauge,
        labels: &[],
        about: "When the configuration was last read with success, in seconds since 1970",
        look_for: "Older than your last change.",
        samples: |snapshot, out| {
            out.real([], seconds(snapshot.reloads.good.unwrap_or(snapshot.started)));
        },
    },
];
