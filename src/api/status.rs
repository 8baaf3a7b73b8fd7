//! `GET /status`: the state of the service, for operators and for clients of Kong's status API.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::database::DatabaseStats;
use super::reloads::{ReloadResult, Reloads};
use super::router::{Call, Reply, json_reply};
use super::state::{Components, ServiceState};
use crate::decode::mapping::Report;
use crate::delivery::PluginStats;
use crate::input::{ConsumerStats, Counters, PartitionState, Reason, TopicState, number_of};
use crate::phase::{Breaker, Step};
use logphase_script::Stop;

/// The hash that Kong reports without a configuration.
const NO_CONFIGURATION: &str = "00000000000000000000000000000000";

/// Handles the request. Query, as in Kong: `unit` of memory (`b`, `k`, `m` or `g`) and `scale`, the digits after the point.
pub(super) fn reply(state: &ServiceState, call: &Call) -> Reply {
    match status(state, &|name| call.query(name)) {
        Ok(status) => json_reply(StatusCode::OK, &status),
        Err(message) => json_reply(StatusCode::BAD_REQUEST, &json!({ "message": message })),
    }
}

/// The state of the service, as the arguments of a query ask for it.
///
/// # Errors
/// An argument is wrong.
pub(crate) fn status(state: &ServiceState, argument: &dyn Fn(&str) -> Option<String>) -> Result<Value, String> {
    let unit = argument("unit").unwrap_or_else(|| "m".to_owned());
    let scale = argument("scale").map_or(Some(2), |scale| scale.parse().ok().filter(|scale| *scale <= 9));
    match (Unit::named(&unit), scale) {
        (Some(unit), Some(scale)) => Ok(read(state, unit, scale)),
        // Kong's words.
        (None, _) => Err(format!("invalid unit '{unit}' (expected 'k/K', 'm/M', or 'g/G')")),
        (Some(_), None) => Err("`scale` is a number from 0 to 9".to_owned()),
    }
}

/// The unit of memory sizes.
#[derive(Clone, Copy)]
struct Unit {
    name: &'static str,
    bytes: f64,
}

impl Unit {
    fn named(name: &str) -> Option<Self> {
        let (name, bytes) = match name.to_ascii_lowercase().as_str() {
            "b" => ("B", 1.0),
            "k" => ("KiB", 1024.0),
            "m" => ("MiB", 1024.0 * 1024.0),
            "g" => ("GiB", 1024.0 * 1024.0 * 1024.0),
            _ => return None,
        };
        Some(Self { name, bytes })
    }

    /// As Kong prints it: a number of bytes, or text with the unit.
    fn show(self, bytes: usize, scale: usize) -> Value {
        if self.bytes == 1.0 {
            bytes.into()
        } else {
            format!("{:.scale$} {}", bytes as f64 / self.bytes, self.name).into()
        }
    }
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn read(state: &ServiceState, unit: Unit, scale: usize) -> Value {
    let inputs = state.inputs();
    let sum = |of: fn(&Counters) -> u64| inputs.iter().map(|(_, counters)| of(counters)).sum::<u64>();
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "started_at": milliseconds(state.started()),
        "stage": state.stage().name(),
        "server": {
            "total_requests": sum(Counters::received),
            "connections_active": sum(Counters::open_connections),
            "connections_accepted": sum(Counters::accepted_connections),
            "connections_handled": sum(Counters::accepted_connections),
        },
        "inputs": inputs.iter().map(|(name, counters)| ((*name).to_owned(), input(state, name, counters)))
            .collect::<Map<_, _>>(),
        "mappings": state.mappings().iter().map(|(name, report)| (name.clone(), mapping(report))).collect::<Map<_, _>>(),
        "reloads": reloads(state.reloads()),
    });
    if let Some(database) = state.database() {
        status["database"] = of_database(&database.read());
    }
    let Some(components) = state.components() else { return status };
    let vms = components.worker_stats.heartbeats.iter().enumerate().map(|(worker, heartbeat)| {
        json!({"http_allocated_gc": unit.show(heartbeat.memory(), scale), "pid": std::process::id(), "worker": worker})
    });
    status["memory"] = json!({"workers_lua_vms": vms.collect::<Vec<_>>()});
    status["transactions"] = count(&components.worker_stats.transactions).into();
    status["dropped"] = count(&components.worker_stats.dropped).into();
    let unlogged = components.worker_stats.unlogged.counts();
    status["unlogged"] =
        unlogged.map(|(reason, count)| (reason.name().to_owned(), count.into())).collect::<Map<_, _>>().into();
    status["refused"] = count(&components.worker_stats.refused).into();
    status["sandbox"] = json!({"seccomp": components.seccomp.to_string(), "landlock": components.landlock.to_string()});
    plugins(components, &mut status);
    status
}

fn mapping(report: &Report) -> Value {
    json!({
        "transactions": report.transactions,
        "unseen": report.missing(),
        "unreadable": report.unreadable,
        "unmapped": report.unmapped,
    })
}

/// The plugins of the active configuration, in order, with their queues; and the other queues: those of plugins that were
/// removed, and those that are shared under the id of another plugin.
fn plugins(components: &Components, status: &mut Value) {
    let queues = components.delivery.plugins();
    let key = |queue: &PluginStats| (queue.kind.clone(), queue.identity.clone());
    let mut queues: BTreeMap<_, _> = queues.into_iter().map(|queue| (key(&queue), queue)).collect();
    let mut shown = Vec::new();
    let mut digest = String::new();
    if let Some(live) = components.live.upgrade() {
        let generation = live.load();
        digest.clone_from(&generation.program.digest);
        for step in &generation.program.steps {
            let queue = queues.remove(&(step.definition.name.to_owned(), step.id.clone()));
            shown.push(plugin(step, queue));
        }
    }
    status["configuration_hash"] = if digest.is_empty() { NO_CONFIGURATION.into() } else { digest.into() };
    status["plugins"] = shown.into();
    status["other_queues"] = queues.values().map(|queue| merge(named(queue), self::queue(queue))).collect();
}

fn plugin(step: &Step, stats: Option<PluginStats>) -> Value {
    let snippets = step.parts.iter().zip(step.breakers());
    let snippets: Vec<Value> = snippets.map(|(part, breaker)| snippet(&part.name(), breaker)).collect();
    json!({
        "name": step.definition.name,
        "id": step.id,
        "instance_name": step.instance_name,
        "scope": step.scope.to_string(),
        "snippets": snippets,
        "queue": stats.map(|stats| queue(&stats)),
    })
}

fn named(stats: &PluginStats) -> Value {
    json!({"name": stats.kind, "id": stats.identity, "instance_name": stats.instance})
}

fn merge(mut value: Value, other: Value) -> Value {
    if let (Value::Object(members), Value::Object(other)) = (&mut value, other) {
        members.extend(other);
    }
    value
}

/// `enqueued + recovered` is always the sum of `delivered`, `waiting`, all of `dropped`, and `dead_lettered`. The `unconfirmed`
/// messages are part of `waiting`, and not of `bytes` and `oldest_seconds`.
fn queue(stats: &PluginStats) -> Value {
    let counters = &stats.counters;
    json!({
        "enqueued": counters.appended,
        "recovered": counters.recovered,
        "delivered": counters.delivered,
        "waiting": counters.depth,
        "unconfirmed": counters.unconfirmed,
        "dropped": stats.dropped_by_reason().into_iter().map(|(reason, count)| (reason.to_owned(), count.into()))
            .collect::<Map<_, _>>(),
        "refused": counters.refusals,
        "dead_lettered": counters.dead_letters,
        "dead_letters": stats.dead.letters,
        "dead_letter_bytes": stats.dead.bytes,
        "bytes": counters.unsettled_bytes(),
        "max_bytes": stats.max_bytes,
        "on_disk": stats.on_disk,
        "writable": !stats.unwritable,
        "readable": !stats.unreadable,
        "oldest_seconds": stats.oldest.map(|age| age.as_secs_f64()),
        "failing": stats.failing,
        "failures": stats.failures,
        "retried": stats.retried,
        "last_error": stats.last_error,
    })
}

fn input(state: &ServiceState, name: &str, counters: &Counters) -> Value {
    let rejected: Map<String, Value> =
        Reason::ALL.into_iter().map(|reason| (reason.name().to_owned(), counters.rejected(reason).into())).collect();
    let mut shown = json!({
        "received": counters.received(),
        "rejected": rejected,
        "lost": counters.lost(),
        "skipped": counters.skipped(),
        "bytes": counters.bytes(),
        "connections": counters.open_connections(),
        "asked": asked(state, name),
    });
    if let Some(stats) = counters.consumer() {
        shown["consumer"] = consumer(stats);
    }
    if let Some(files) = counters.files() {
        let most_behind =
            files.most_behind.map(|(path, bytes)| json!({"path": path.to_string_lossy(), "bytes": bytes}));
        shown["files"] = json!({
            "followed": files.followed,
            "open": files.open,
            "left_out": files.left_out,
            "lag_bytes": files.lag_bytes,
            "most_behind": most_behind,
            "rotations": files.rotations,
            "truncations": files.truncations,
        });
    }
    shown
}

/// What snippets ask for that Kong's log object lacks: whether one of the input's last transactions had it. `transactions`
/// is how many there were since the configuration was read.
fn asked(state: &ServiceState, name: &str) -> Value {
    let generation = state.components().and_then(|components| Some(components.live.upgrade()?.load_full()));
    let asks = generation.as_ref().map(|generation| &generation.program.asks);
    let seen = number_of(name).and_then(|number| asks?.seen(number));
    seen.map_or(Value::Null, |(transactions, members)| {
        let members: Map<String, Value> = members.map(|(need, seen)| (need.member(), seen.into())).collect();
        json!({"transactions": transactions, "members": members})
    })
}

/// The offsets of a partition and its lag are `null` while they are not known.
fn consumer(stats: &ConsumerStats) -> Value {
    let topics: Map<String, Value> = stats
        .topics()
        .into_iter()
        .map(|TopicState { topic, partitions, paused, lag }| {
            (topic.to_string(), json!({"partitions": partitions, "paused": paused, "lag": lag}))
        })
        .collect();
    let partition = |state: PartitionState| {
        let lag = state.lag();
        let PartitionState { topic, partition, next, end, paused } = state;
        json!({"topic": &*topic, "partition": partition, "next": next, "end": end, "lag": lag, "paused": paused})
    };
    json!({
        "topics": topics,
        "partitions": stats.partitions().into_iter().map(partition).collect::<Vec<_>>(),
        "commits": stats.commits(),
        "failed_commits": stats.failed_commits(),
        "rebalances": stats.rebalances(),
        "last_error": stats.error().map(|(message, at)| json!({"message": message, "at": milliseconds(at)})),
    })
}

/// The database that several nodes share; `reachable` is Kong's.
fn of_database(stats: &DatabaseStats) -> Value {
    json!({
        "reachable": stats.is_reachable,
        "revision": stats.revision,
        "active_revision": stats.active,
        "refused": stats.refused,
    })
}

fn reloads(reloads: &Reloads) -> Value {
    let stats = reloads.read();
    let counts: Map<String, Value> = ReloadResult::ALL
        .into_iter()
        .zip(stats.counts)
        .map(|(result, n)| (result.name().to_owned(), n.into()))
        .collect();
    merge(Value::Object(counts), json!({"last_at": stats.last.map(milliseconds), "last_error": stats.error}))
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `errors` counts all failures, `stopped` those that ran out of a budget, `no_effect` the runs that called each function which
/// does nothing on a finished transaction. The mean is that of the measured runs.
fn snippet(field: &str, breaker: &Breaker) -> Value {
    let (totals, suspended) = (breaker.totals(), breaker.suspended_for());
    let times = totals.times();
    let stopped: Map<String, Value> = Stop::ALL
        .into_iter()
        .filter(|budget| *budget != Stop::Suspended)
        .map(|budget| (budget.name().to_owned(), totals.stops(budget).into()))
        .collect();
    json!({
        "field": field,
        "errors": totals.errors(),
        "stopped": stopped,
        "left_out": totals.skipped(),
        "no_effect": totals.no_effect(),
        "mean_seconds": (times.count() > 0).then(|| times.seconds() / times.count() as f64),
        "suspended_for_seconds": suspended.map(|(left, _)| left.as_secs_f64().ceil()),
        "suspended_from_bytes": suspended.map(|(_, from)| from),
    })
}
