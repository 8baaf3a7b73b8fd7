//! Logs workers that one transaction keeps busy for long, and gives what waits for them to others.

use logphase_io::count::counted;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Deserialize;

use crate::phase::{Generation, Heartbeat, WorkerStats};

/// Snippets are stopped long before.
const BUSY_AFTER: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(250);

/// Logs each transaction that keeps a worker busy for [`BUSY_AFTER`], once, and calls `relieve` regularly. Never returns.
pub(super) async fn watch(
    worker_stats: Arc<WorkerStats>,
    live: Weak<ArcSwap<Generation>>,
    relieve: impl Fn() -> usize + Send,
) {
    let mut logged = vec![0; worker_stats.heartbeats.len()];
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let moved = relieve();
        if moved > 0 {
            let moved = counted(moved, "batch");
            tracing::warn!("{moved} waited for a worker that does not come back; another worker takes over");
        }
        for (worker, (heartbeat, logged)) in worker_stats.heartbeats.iter().zip(&mut logged).enumerate() {
            let started = heartbeat.started();
            if *logged != started && heartbeat.busy_for().is_some_and(|time| time >= BUSY_AFTER) {
                *logged = started;
                let (plugin, field) = place(heartbeat, &live).unwrap_or_default();
                let route = route(&heartbeat.transaction());
                tracing::error!(
                    worker,
                    plugin,
                    field,
                    route,
                    "one transaction has kept a worker busy for more than {BUSY_AFTER:?}; please report this with the \
                    snippet, which is the last that ran"
                );
            }
        }
    }
}

/// The name of a transaction's route, or its id; empty if it has neither.
fn route(transaction: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Parts {
        route: Option<Route>,
    }
    #[derive(Deserialize)]
    struct Route {
        name: Option<String>,
        id: Option<String>,
    }
    let parts: Option<Parts> = serde_json::from_slice(transaction).ok();
    parts.and_then(|parts| parts.route).and_then(|route| route.name.or(route.id)).unwrap_or_default()
}

/// The plugin and the field that ran last.
fn place(heartbeat: &Heartbeat, live: &Weak<ArcSwap<Generation>>) -> Option<(String, String)> {
    let generation = live.upgrade()?.load_full();
    let (step, part) = heartbeat.place();
    let step = generation.program.steps.get(step)?;
    Some((step.label.to_string(), step.parts.get(part)?.name()))
}
