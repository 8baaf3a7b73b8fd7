//! `GET /status/ready` and `GET /status/live`: what orchestrators ask.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use super::monitor::{Monitor, Stage};
use super::router::{Reply, json_reply};

/// How long a worker may be with one transaction. Its Lua is stopped long before.
const STUCK: Duration = Duration::from_secs(30);

/// Whether transactions should be sent here.
pub(super) fn ready(monitor: &Monitor) -> Reply {
    match why_not_ready(monitor) {
        None => json_reply(StatusCode::OK, &json!({"message": "ready"})),
        Some(reason) => json_reply(StatusCode::SERVICE_UNAVAILABLE, &json!({"message": reason})),
    }
}

/// What keeps the service from taking transactions now.
pub(super) fn why_not_ready(monitor: &Monitor) -> Option<String> {
    match monitor.stage() {
        Stage::Starting => return Some("starting: queues and inputs are being opened".to_owned()),
        Stage::Stopping => return Some("stopping: what was taken is being delivered".to_owned()),
        Stage::Ready => {}
    }
    let parts = monitor.inner.parts.get()?;
    let plugins = parts.delivery.plugins();
    let unwritable: Vec<&str> =
        plugins.iter().filter(|plugin| plugin.unwritable).map(|plugin| plugin.kind.as_str()).collect();
    let (first, others) = unwritable.split_first()?;
    Some(match others.len() {
        0 => format!("the queue of {first} cannot be written; see the log"),
        more => format!("the queues of {first} and {more} more plugins cannot be written; see the log"),
    })
}

/// Whether the process should be left running.
pub(super) fn live(monitor: &Monitor) -> Reply {
    match why_not_live(monitor) {
        None => json_reply(StatusCode::OK, &json!({"message": "live"})),
        Some(reason) => json_reply(StatusCode::SERVICE_UNAVAILABLE, &json!({"message": reason})),
    }
}

/// Why the service should be started anew.
fn why_not_live(monitor: &Monitor) -> Option<String> {
    // Workers end when they are told to.
    if monitor.stage() == Stage::Stopping {
        return None;
    }
    let heartbeats = &monitor.inner.parts.get()?.worker_stats.heartbeats;
    what_ails(heartbeats.iter().map(|heartbeat| (heartbeat.has_ended(), heartbeat.busy_for())))
}

/// Of workers, each with whether it has ended, and how long it has been with one transaction.
fn what_ails(workers: impl Iterator<Item = (bool, Option<Duration>)>) -> Option<String> {
    let mut slowest = (0, Duration::ZERO);
    for (number, (ended, busy)) in workers.enumerate() {
        if ended {
            return Some(format!("worker {number} has ended"));
        }
        slowest = busy.map_or(slowest, |time| if time > slowest.1 { (number, time) } else { slowest });
    }
    let (number, time) = Some(slowest).filter(|(_, time)| *time >= STUCK)?;
    Some(format!("worker {number} has been with one transaction for {} seconds", time.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a monitor before the service is there, while it is ready, and while it stops.
    /// Guarantees: it is live all the time, and ready only in between, with a reason.
    #[test]
    fn stages() {
        let monitor = Monitor::default();
        let ready = || ready(&monitor).status().as_u16();
        let reason = || why_not_ready(&monitor).unwrap_or_default();
        assert_eq!((ready(), live(&monitor).status().as_u16()), (503, 200));
        assert!(reason().starts_with("starting"), "{}", reason());
        monitor.enter(Stage::Ready);
        assert_eq!((ready(), live(&monitor).status().as_u16()), (200, 200));
        monitor.enter(Stage::Stopping);
        assert_eq!((ready(), live(&monitor).status().as_u16()), (503, 200));
        assert!(reason().starts_with("stopping"), "{}", reason());
    }

    /// Scenario: workers that rest, work, work for long, and have ended.
    /// Guarantees: only the last two ail, and it is said which of them does.
    #[test]
    fn workers_that_do_not_get_on() {
        let busy = |seconds| (false, Some(Duration::from_secs(seconds)));
        let rests = (false, None);
        assert_eq!(what_ails([rests, busy(29), rests].into_iter()), None);
        let long = "worker 2 has been with one transaction for 31 seconds";
        assert_eq!(what_ails([busy(30), rests, busy(31)].into_iter()).as_deref(), Some(long));
        assert_eq!(what_ails([rests, (true, None)].into_iter()).as_deref(), Some("worker 1 has ended"));
    }
}
