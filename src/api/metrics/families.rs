//! The list of metrics. The table in docs/metrics.md is generated from it.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::reloads::ReloadResult;
use super::family::{Family, MetricKind, Samples};
use super::snapshot::{Consumer, Snapshot, Snippet};
use crate::delivery::PluginStats;
use crate::input::{FollowedFiles, Handshake, Reason, Refusal, TopicState};
use logphase_queue::metric::Scale;
use logphase_script::Stop;

/// The labels of a plugin.
const PLUGIN: &[&str] = &["plugin", "id", "instance_name"];
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

/// A sample for each plugin.
fn each(snapshot: &Snapshot, out: &mut Samples, value: fn(&PluginStats) -> u64) {
    snapshot.plugins.iter().for_each(|plugin| out.integer(labels(plugin), value(plugin)));
}

/// A sample for each snippet.
fn each_snippet(snapshot: &Snapshot, out: &mut Samples, value: fn(&Snippet) -> u64) {
    for snippet in &snapshot.snippets {
        let key = &snippet.key;
        out.integer([key.plugin, &key.id, &snippet.instance, &key.field], value(snippet));
    }
}

/// A sample for each topic that is consumed.
fn each_topic(snapshot: &Snapshot, out: &mut Samples, value: fn(&TopicState) -> u64) {
    let consumers = snapshot.inputs.iter().filter_map(|input| input.consumer.as_ref());
    consumers.flat_map(|consumer| &consumer.topics).for_each(|topic| out.integer([&topic.topic], value(topic)));
}

/// A sample for the consumer, if there is one.
fn each_consumer(snapshot: &Snapshot, out: &mut Samples, value: fn(&Consumer) -> u64) {
    let consumers = snapshot.inputs.iter().filter_map(|input| input.consumer.as_ref());
    consumers.for_each(|consumer| out.integer([], value(consumer)));
}

/// The inputs that follow files.
fn followed(snapshot: &Snapshot) -> impl Iterator<Item = (&'static str, &FollowedFiles)> {
    snapshot.inputs.iter().filter_map(|input| Some((input.name, input.files.as_ref()?)))
}

/// A sample of `max`, unless there is no limit.
fn bound(out: &mut Samples, max: usize) {
    if max < usize::MAX {
        out.integer([], max as u64);
    }
}

/// Every metric, in the order of the response.
pub static FAMILIES: &[Family] = &[
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
    Family {
        name: "logphase_transactions_received_total",
        kind: MetricKind::Counter,
        labels: &["input"],
        about: "Transactions that were accepted: all of their messages are in queues",
        look_for: "Its rate is your traffic. Zero while the proxies have traffic: their transactions do not reach this node.",
        samples: |snapshot, out| snapshot.inputs.iter().for_each(|input| out.integer([input.name], input.received)),
    },
    Family {
        name: "logphase_transactions_rejected_total",
        kind: MetricKind::Counter,
        labels: &["input", "reason"],
        about: "Requests, lines or datagrams that were rejected, by reason",
        look_for: "`full`: a queue is full, because its destination is too slow. `malformed`, `too_large`: a sender's \
                   transactions are not valid. `not_json`: syslog messages without a JSON object, such as what daemons say \
                   of themselves. `unauthorized`: a sender has no accepted token.",
        samples: |snapshot, out| {
            for input in &snapshot.inputs {
                for (reason, count) in Reason::ALL.iter().zip(input.rejected) {
                    out.integer([input.name, reason.name()], count);
                }
            }
        },
    },
    Family {
        name: "logphase_transactions_lost_total",
        kind: MetricKind::Counter,
        labels: &["input"],
        about: "Valid transactions that were lost: neither accepted, nor rejected with an answer to the sender",
        look_for: "Any increase: UDP or Envoy's access logs while queues are full, or a stop while connections wait.",
        samples: |snapshot, out| snapshot.inputs.iter().for_each(|input| out.integer([input.name], input.lost)),
    },
    Family {
        name: "logphase_records_skipped_total",
        kind: MetricKind::Counter,
        labels: &["input"],
        about: "Records that the settings of an input leave out: of Envoy, those that are not the last of their request or \
                connection",
        look_for: "",
        samples: |snapshot, out| snapshot.inputs.iter().for_each(|input| out.integer([input.name], input.skipped)),
    },
    Family {
        name: "logphase_input_bytes_total",
        kind: MetricKind::Counter,
        labels: &["input"],
        about: "Bytes read, before decompression and without protocol headers",
        look_for: "Growing bytes per transaction: bodies or headers are being logged.",
        samples: |snapshot, out| snapshot.inputs.iter().for_each(|input| out.integer([input.name], input.bytes)),
    },
    Family {
        name: "logphase_mapping_unseen_members",
        kind: MetricKind::Gauge,
        labels: &["mapping"],
        about: "Members that a mapping reads and none of its transactions had, after 1,000 of them",
        look_for: "More than 0: a name differs between the log format of the proxy and the mapping; `logphase top` shows it.",
        samples: |snapshot, out| {
            snapshot.mappings.iter().for_each(|(name, unseen)| out.integer([name.as_str()], *unseen));
        },
    },
    Family {
        name: "logphase_input_connections",
        kind: MetricKind::Gauge,
        labels: &["input"],
        about: "Open connections",
        look_for: "Close to `max_connections` of the input: for further connections, others are closed.",
        samples: |snapshot, out| {
            snapshot.inputs.iter().for_each(|input| out.integer([input.name], input.connections));
        },
    },
    Family {
        name: "logphase_input_connections_shed_total",
        kind: MetricKind::Counter,
        labels: &["input"],
        about: "Connections that were closed while they waited for their peer, because others needed their place or memory",
        look_for: "A rate that lasts: raise `max_connections`, or find the peers that hold connections.",
        samples: |snapshot, out| snapshot.inputs.iter().for_each(|input| out.integer([input.name], input.shed)),
    },
    Family {
        name: "logphase_input_connections_refused_total",
        kind: MetricKind::Counter,
        labels: &["input", "reason"],
        about: "Connections that were closed before anything of them was read, by reason",
        look_for: "`peer_connections`, `peer_rate`: a peer is at a limit of `per_peer`. `proxy_protocol`, `proxy_timeout`: a \
                   proxy of `proxy_protocol` sends no PROXY protocol header.",
        samples: |snapshot, out| {
            for input in &snapshot.inputs {
                for (refusal, count) in Refusal::ALL.iter().zip(input.refused) {
                    out.integer([input.name, refusal.name()], count);
                }
            }
        },
    },
    Family {
        name: "logphase_input_tls_handshakes_total",
        kind: MetricKind::Counter,
        labels: &["input", "result"],
        about: "TLS handshakes, by result",
        look_for: "`client_certificate`: a client has no certificate, or one that is not accepted. `failed`: a client does not \
                   speak TLS or does not accept our certificate; health checks that only connect count, too.",
        samples: |snapshot, out| {
            for input in &snapshot.inputs {
                for (result, count) in Handshake::ALL.iter().zip(input.handshakes) {
                    out.integer([input.name, result.name()], count);
                }
            }
        },
    },
    Family {
        name: "logphase_input_throttled_total",
        kind: MetricKind::Counter,
        labels: &["input"],
        about: "Times that a connection was not read for a while because its peer sent more than `per_peer.byte_rate`",
        look_for: "A steady increase: a peer sends more than it may, and waits.",
        samples: |snapshot, out| snapshot.inputs.iter().for_each(|input| out.integer([input.name], input.throttled)),
    },
    Family {
        name: "logphase_kafka_input_lag",
        kind: MetricKind::Gauge,
        labels: &["topic"],
        about: "Records in the partitions that this node consumes whose messages are not in queues yet",
        look_for: "Growth: add nodes, or find what holds them up. The sum over all nodes is the lag of the group.",
        samples: |snapshot, out| each_topic(snapshot, out, |topic| topic.lag),
    },
    Family {
        name: "logphase_kafka_input_partitions",
        kind: MetricKind::Gauge,
        labels: &["topic"],
        about: "Partitions that this node consumes",
        look_for: "The sum over all nodes is the number of partitions of the topic. 0: the node has none, because it cannot \
                   reach the brokers or there are more nodes than partitions.",
        samples: |snapshot, out| each_topic(snapshot, out, |topic| topic.partitions as u64),
    },
    Family {
        name: "logphase_kafka_input_paused_partitions",
        kind: MetricKind::Gauge,
        labels: &["topic"],
        about: "Partitions that are not fetched now, because their transactions wait for full queues",
        look_for: "Anything but zero: a destination is too slow or away.",
        samples: |snapshot, out| each_topic(snapshot, out, |topic| topic.paused as u64),
    },
    Family {
        name: "logphase_kafka_input_commits_total",
        kind: MetricKind::Counter,
        labels: &[],
        about: "Commits of offsets that the group's coordinator has taken",
        look_for: "No increase while transactions are received: after a crash they are consumed again.",
        samples: |snapshot, out| each_consumer(snapshot, out, |consumer| consumer.commits),
    },
    Family {
        name: "logphase_kafka_input_commit_failures_total",
        kind: MetricKind::Counter,
        labels: &[],
        about: "Commits of offsets that failed; the offsets are committed later",
        look_for: "A rate that lasts.",
        samples: |snapshot, out| each_consumer(snapshot, out, |consumer| consumer.failed_commits),
    },
    Family {
        name: "logphase_kafka_input_rebalances_total",
        kind: MetricKind::Counter,
        labels: &[],
        about: "Changes of the partitions of this node by its group",
        look_for: "A rate that lasts: nodes come and go, or are too slow for `session_timeout`.",
        samples: |snapshot, out| each_consumer(snapshot, out, |consumer| consumer.rebalances),
    },
    Family {
        name: "logphase_kafka_input_failing",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "1 while the last thing that the client reported is an error, such as brokers that cannot be reached",
        look_for: "1 for longer than a restart of a broker: see `inputs.kafka.consumer.last_error` in `/status`.",
        samples: |snapshot, out| each_consumer(snapshot, out, |consumer| consumer.failing.into()),
    },
    Family {
        name: "logphase_input_files",
        kind: MetricKind::Gauge,
        labels: &["input", "state"],
        about: "Files of an input that follows files: `followed`, `open` (part of `followed`), and `left_out`, which are \
                compressed or past `max_files`",
        look_for: "`followed` at `max_files` of the input: further files are not read.",
        samples: |snapshot, out| {
            for (input, files) in followed(snapshot) {
                out.integer([input, "followed"], files.followed);
                out.integer([input, "open"], files.open);
                out.integer([input, "left_out"], files.left_out);
            }
        },
    },
    Family {
        name: "logphase_input_lag_bytes",
        kind: MetricKind::Gauge,
        labels: &["input"],
        about: "Bytes of all files of an input that were not read yet; half a line at the end of a file counts as read",
        look_for: "Continuous growth: a queue is full, or lines are written faster than this node reads them.",
        samples: |snapshot, out| followed(snapshot).for_each(|(input, files)| out.integer([input], files.lag_bytes)),
    },
    Family {
        name: "logphase_input_max_lag_bytes",
        kind: MetricKind::Gauge,
        labels: &["input"],
        about: "The same of the file with the most; `/status` has its name",
        look_for: "More than a file has when it is rotated away: what is removed before it is read is lost.",
        samples: |snapshot, out| {
            for (input, files) in followed(snapshot) {
                out.integer([input], files.most_behind.as_ref().map_or(0, |(_, bytes)| *bytes));
            }
        },
    },
    Family {
        name: "logphase_input_rotations_total",
        kind: MetricKind::Counter,
        labels: &["input", "how"],
        about: "Files that were renamed or removed (`renamed`), and that were truncated (`truncated`)",
        look_for: "The rate of your rotation. More: a program replaces files instead of appending to them.",
        samples: |snapshot, out| {
            for (input, files) in followed(snapshot) {
                out.integer([input, "renamed"], files.rotations);
                out.integer([input, "truncated"], files.truncations);
            }
        },
    },
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
                   reported as lost. `corrupt`: damaged on disk. `script`: `on_error: drop`. `body`: \
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
