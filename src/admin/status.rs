//! `GET /status`: how the sandbox and each snippet fare.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::router::{Routes, json_reply};
use crate::confinement::Wall;
use crate::phase::{Fault, Generation, Step, Tally};
use crate::script::Stop;

/// What the status is read from.
#[derive(Clone)]
pub struct Board {
    /// What runs; held loosely, so that a service that stops can let go of its queues.
    pub live: Weak<ArcSwap<Generation>>,
    /// What the workers did so far.
    pub tally: Arc<Tally>,
    /// Worker threads' system calls.
    pub seccomp: Wall,
    /// The process's files.
    pub landlock: Wall,
}

impl Board {
    /// What can be asked of the status listeners.
    pub fn routes(&self) -> Routes {
        let board = self.clone();
        Routes::new().get("/status", move |_| std::future::ready(json_reply(StatusCode::OK, &board.read())))
    }

    /// The status as JSON: the walls, and for each plugin of the configuration in force its snippets in order.
    pub fn read(&self) -> Value {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let plugins: Vec<Value> =
            self.live.upgrade().map_or_else(Vec::new, |live| live.load().program.steps.iter().map(plugin).collect());
        json!({
            "transactions": count(&self.tally.transactions),
            "dropped": count(&self.tally.dropped),
            "refused": count(&self.tally.refused),
            "sandbox": {"seccomp": self.seccomp.to_string(), "landlock": self.landlock.to_string()},
            "plugins": plugins,
        })
    }
}

fn plugin(step: &Step) -> Value {
    let snippets = step.parts.iter().zip(step.faults.parts()).enumerate();
    let snippets: Vec<Value> = snippets.map(|(at, (part, fault))| snippet(&part.name(at), fault)).collect();
    json!({
        "name": step.kind.name,
        "instance_name": step.instance_name,
        "scope": step.scope.to_string(),
        "snippets": snippets,
    })
}

/// `errors` counts every failure, `stopped` those by each budget; a snippet that is left out says for how long.
fn snippet(field: &str, fault: &Fault) -> Value {
    let totals = fault.totals();
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
        "suspended_for_seconds": fault.suspended_for().map(|left| left.as_secs_f64().ceil()),
    })
}
