//! `GET /status/ready` and `GET /status/live`: what orchestrators ask.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use super::board::{Board, Stage};
use super::router::{Reply, json_reply};

/// How long a worker may be with one transaction. Its Lua is stopped long before.
const STUCK: Duration = Duration::from_secs(30);

/// Whether transactions should be sent here.
pub(super) fn ready(board: &Board) -> Reply {
    match why_not_ready(board) {
        None => json_reply(StatusCode::OK, &json!({"message": "ready"})),
        Some(reason) => json_reply(StatusCode::SERVICE_UNAVAILABLE, &json!({"message": reason})),
    }
}

/// What keeps the service from taking transactions now.
pub(super) fn why_not_ready(board: &Board) -> Option<String> {
    match board.stage() {
        Stage::Starting => return Some("starting: queues and inputs are being opened".to_owned()),
        Stage::Stopping => return Some("stopping: what was taken is being delivered".to_owned()),
        Stage::Ready => {}
    }
    let parts = board.inner.parts.get()?;
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
pub(super) fn live(board: &Board) -> Reply {
    match why_not_live(board) {
        None => json_reply(StatusCode::OK, &json!({"message": "live"})),
        Some(reason) => json_reply(StatusCode::SERVICE_UNAVAILABLE, &json!({"message": reason})),
    }
}

/// Why the service should be started anew.
fn why_not_live(board: &Board) -> Option<String> {
    // Workers end when they are told to.
    if board.stage() == Stage::Stopping {
        return None;
    }
    let pulses = &board.inner.parts.get()?.tally.pulses;
    if let Some(number) = pulses.iter().position(|pulse| pulse.has_ended()) {
        return Some(format!("worker {number} has ended"));
    }
    let busy = pulses.iter().enumerate().filter_map(|(number, pulse)| Some((number, pulse.busy_for()?)));
    let (number, time) = busy.max_by_key(|(_, time)| *time).filter(|(_, time)| *time >= STUCK)?;
    Some(format!("worker {number} has been with one transaction for {} seconds", time.as_secs()))
}
