//! `GET /status/ready` and `GET /status/live`: the health checks of orchestrators and load balancers.

use logphase_io::count::counted;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use super::router::{Reply, json_reply};
use super::state::{ServiceState, Stage};
use crate::delivery::PluginStats;

/// Whether the service accepts transactions.
pub(super) fn ready(state: &ServiceState) -> Reply {
    reply("ready", why_not_ready(state))
}

/// Whether the process works; if not, it should be restarted.
pub(super) fn live(state: &ServiceState) -> Reply {
    reply("live", why_not_live(state))
}

fn reply(healthy: &str, problem: Option<String>) -> Reply {
    match problem {
        None => json_reply(StatusCode::OK, &json!({"message": healthy})),
        Some(problem) => json_reply(StatusCode::SERVICE_UNAVAILABLE, &json!({"message": problem})),
    }
}

/// Why the service does not accept transactions now.
pub(crate) fn why_not_ready(state: &ServiceState) -> Option<String> {
    match state.stage() {
        Stage::Starting => return Some("starting: queues and inputs are being opened".to_owned()),
        Stage::Stopping => return Some("stopping: accepted transactions are being delivered".to_owned()),
        Stage::Ready => {}
    }
    let plugins = state.components()?.delivery.plugins();
    failing(&plugins, "written", |plugin| plugin.unwritable)
        .or_else(|| failing(&plugins, "read", |plugin| plugin.unreadable))
}

/// Names the plugins whose queues fail.
fn failing(plugins: &[PluginStats], what: &str, fails: impl Fn(&PluginStats) -> bool) -> Option<String> {
    let failing: Vec<&str> = plugins.iter().filter(|plugin| fails(plugin)).map(|plugin| plugin.kind.as_str()).collect();
    let (first, others) = failing.split_first()?;
    Some(match others.len() {
        0 => format!("the queue of {first} cannot be {what}; see the log"),
        more => format!("the queues of {first} and {more} more plugins cannot be {what}; see the log"),
    })
}

/// Why the service should be restarted.
fn why_not_live(state: &ServiceState) -> Option<String> {
    // While it stops, workers are expected to end.
    if state.stage() == Stage::Stopping {
        return None;
    }
    let components = state.components()?;
    let heartbeats = components.worker_stats.heartbeats.iter();
    worker_problem(components.stuck_after, heartbeats.map(|heartbeat| (heartbeat.has_ended(), heartbeat.busy_for())))
}

/// The problem of a worker that has ended, or that has been busy for `stuck_after`. Takes, for each worker, whether it has ended, and how long it has
/// been busy with one transaction.
fn worker_problem(stuck_after: Duration, workers: impl Iterator<Item = (bool, Option<Duration>)>) -> Option<String> {
    let mut slowest = (0, Duration::ZERO);
    for (number, (ended, busy)) in workers.enumerate() {
        if ended {
            return Some(format!("worker {number} has ended"));
        }
        slowest = busy.map_or(slowest, |time| if time > slowest.1 { (number, time) } else { slowest });
    }
    let (number, time) = Some(slowest).filter(|(_, time)| *time >= stuck_after)?;
    Some(format!("worker {number} has been busy with one transaction for {}", counted(time.as_secs(), "second")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a service that starts, is ready, and stops.
    /// Guarantees: it is live all the time, and ready only in between, with a reason.
    #[test]
    fn stages() {
        let state = ServiceState::default();
        let ready = || ready(&state).status().as_u16();
        let reason = || why_not_ready(&state).unwrap_or_default();
        assert_eq!((ready(), live(&state).status().as_u16()), (503, 200));
        assert!(reason().starts_with("starting"), "{}", reason());
        state.set_stage(Stage::Ready);
        assert_eq!((ready(), live(&state).status().as_u16()), (200, 200));
        state.set_stage(Stage::Stopping);
        assert_eq!((ready(), live(&state).status().as_u16()), (503, 200));
        assert!(reason().starts_with("stopping"), "{}", reason());
    }

    /// Scenario: workers that are idle, busy, busy for too long, and ended.
    /// Guarantees: only the last two are a problem, and the answer names the worker.
    #[test]
    fn stuck_and_ended_workers() {
        const LIMIT: Duration = Duration::from_secs(30);
        let busy = |seconds| (false, Some(Duration::from_secs(seconds)));
        let idle = (false, None);
        assert_eq!(worker_problem(LIMIT, [idle, busy(29), idle].into_iter()), None);
        let long = "worker 2 has been busy with one transaction for 31 seconds";
        assert_eq!(worker_problem(LIMIT, [busy(30), idle, busy(31)].into_iter()).as_deref(), Some(long));
        assert_eq!(worker_problem(LIMIT, [idle, (true, None)].into_iter()).as_deref(), Some("worker 1 has ended"));
    }
}
