//! Metrics of the process, its snippets and its configuration.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::super::reloads::ReloadResult;
use super::super::family::{Family, MetricKind, Samples};
use super::super::snapshot::{Snapshot, Snippet};
use super::{PLUGIN_FIELD, PLUGIN_FIELD_BUDGET};
use logphase_queue::metric::Scale;
use logphase_script::Stop;

/// From a microsecond to a second, by factors of four.
const LUA: Scale = Scale { first: 10, last: 30, step: 2 };

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A sample for each snippet.
fn each_snippet(snapshot: &Snapshot, out: &mut Samples, value: fn(&Snippet) -> u64) {
    for snippet in &snapshot.snippets {
        let key = &snippet.key;
        out.integer([key.plugin, &key.id, &snippet.instance, &key.field], value(snippet));
    }
}

/// Of the process.
pub(super) static PROCESS: &[Family] = &[
    Family {
        name: "logphase_build_info",
        kind: MetricKind::Gauge,
        labels: &["version"],
        about: "Version of the program; always 1",
        look_for: "The same version on all nodes after an update.",
        samples: |_, out| out.integer([env!("CARGO_PKG_VERSION")], 1),
    },
    Family {
        name: "logphase_start_time_seconds",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "Start of the process, in seconds since 1970",
        look_for: "A new value without a deployment: the process has ended unexpectedly.",
        samples: |snapshot, out| out.real([], seconds(snapshot.started)),
    },
    Family {
        name: "logphase_ready",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "1 while the service is ready, as in `/status/ready`; otherwise 0",
        look_for: "0 for longer than a start.",
        samples: |snapshot, out| out.integer([], snapshot.ready.into()),
    },
];

/// Of snippets and of the configuration.
pub(super) static SNIPPETS: &[Family] = &[
    Family {
        name: "logphase_lua_seconds",
        kind: MetricKind::Histogram,
        labels: PLUGIN_FIELD,
        about: "Run time of a snippet; one in 16 runs is measured",
        look_for: "The snippet with the highest sum; its total run time is about 16 times that.",
        samples: |snapshot, out| {
            // Most of thousands of snippets may never run here.
            for snippet in snapshot.snippets.iter().filter(|snippet| snippet.times.count() > 0) {
                let key = &snippet.key;
                out.histogram([key.plugin, &key.id, &snippet.instance, &key.field], &snippet.times, LUA);
            }
        },
    },
    Family {
        name: "logphase_lua_errors_total",
        kind: MetricKind::Counter,
        labels: PLUGIN_FIELD,
        about: "Failures of a snippet, for any reason",
        look_for: "A rate after a change of the snippet or of the transactions.",
        samples: |snapshot, out| each_snippet(snapshot, out, |snippet| snippet.errors),
    },
    Family {
        name: "logphase_lua_stopped_total",
        kind: MetricKind::Counter,
        labels: PLUGIN_FIELD_BUDGET,
        about: "Runs of a snippet that were stopped because it exceeded a budget",
        look_for: "`time`, `memory`: the snippet is too expensive, or is attacked.",
        samples: |snapshot, out| {
            for snippet in &snapshot.snippets {
                let key = &snippet.key;
                for (budget, count) in Stop::ALL.iter().zip(snippet.stops) {
                    if *budget != Stop::Suspended {
                        out.integer([key.plugin, &key.id, &snippet.instance, &key.field, budget.name()], count);
                    }
                }
            }
        },
    },
    Family {
        name: "logphase_lua_left_out_total",
        kind: MetricKind::Counter,
        labels: PLUGIN_FIELD,
        about: "Runs that were skipped while the snippet was suspended",
        look_for: "Any increase: the field is missing from messages.",
        samples: |snapshot, out| each_snippet(snapshot, out, |snippet| snippet.skipped),
    },
    Family {
        name: "logphase_lua_no_effect_total",
        kind: MetricKind::Counter,
        labels: PLUGIN_FIELD,
        about: "Runs of a replayed function that called something without effect on a finished transaction",
        look_for: "A function of `replay_phases` that decides by what it changes; `/status` names what it calls.",
        samples: |snapshot, out| each_snippet(snapshot, out, |snippet| snippet.no_effect),
    },
    Family {
        name: "logphase_lua_memory_bytes",
        kind: MetricKind::Gauge,
        labels: &["worker"],
        about: "Bytes of a worker's Lua VM after its last batch",
        look_for: "Close to `lua.memory_limit`.",
        samples: |snapshot, out| {
            for (worker, bytes) in snapshot.vms.iter().enumerate() {
                out.integer([&worker.to_string()], *bytes as u64);
            }
        },
    },
    Family {
        name: "logphase_reloads_total",
        kind: MetricKind::Counter,
        labels: &["result"],
        about: "Reloads of the configuration, by result",
        look_for: "`refused`: a change is not active.",
        samples: |snapshot, out| {
            for (result, count) in ReloadResult::ALL.iter().zip(snapshot.reloads.counts) {
                out.integer([result.name()], count);
            }
        },
    },
    Family {
        name: "logphase_last_reload_successful",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "1 if the last reload succeeded; 0 if it was refused",
        look_for: "0: see the log, or `reloads.last_error` in `/status`.",
        samples: |snapshot, out| out.integer([], snapshot.reloads.error.is_none().into()),
    },
    Family {
        name: "logphase_last_reload_timestamp_seconds",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "Last successful load of the configuration, in seconds since 1970",
        look_for: "Earlier than your last change.",
        samples: |snapshot, out| {
            out.real([], seconds(snapshot.reloads.last_success.unwrap_or(snapshot.started)));
        },
    },
];
