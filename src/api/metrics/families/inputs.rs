//! Metrics of inputs and of what they receive.

use super::super::family::{Family, MetricKind, Samples};
use super::super::snapshot::{Consumer, Snapshot};
use crate::input::{FollowedFiles, Handshake, Reason, Refusal, TopicState};

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

/// Of inputs.
pub(super) static INPUTS: &[Family] = &[
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
        name: "logphase_transactions_unlogged_total",
        kind: MetricKind::Counter,
        labels: &["reason"],
        about: "Transactions that no plugin logs, by reason",
        look_for: "An increase that you do not expect. `no_plugin`: no logging plugin is enabled. `scope`: the plugins are for \
                   other routes, services or consumers. `protocols`: for other protocols. `condition`: their conditions do \
                   not hold. `logphase try --why` explains it for a transaction.",
        samples: |snapshot, out| {
            snapshot.unlogged.iter().for_each(|(reason, count)| out.integer([reason.name()], *count));
        },
    },
];
