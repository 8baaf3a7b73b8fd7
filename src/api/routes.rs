//! The routes of the status listeners: status, health checks and metrics.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::ACCEPT;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;

use super::metrics::{self, Snapshot};
use super::router::{Call, Reply, Routes, json_reply, text_reply};
use super::state::ServiceState;
use super::{health, status};

/// `GET /status`, `/status/ready`, `/status/live` and `/metrics` of a service.
pub fn status_routes(state: &ServiceState) -> Routes {
    let (status, ready, live, metrics) = (state.clone(), state.clone(), state.clone(), state.clone());
    let last = Arc::new(LastRead::default());
    Routes::new()
        .get("/status", move |call| blocking(&status, move |state| status::reply(state, &call)))
        .get("/status/ready", move |_| blocking(&ready, health::ready))
        // Takes no lock and no other thread: it has to answer when those are stuck.
        .get("/status/live", move |_| std::future::ready(health::live(&live)))
        .get("/metrics", move |call| {
            let (arrived, last) = (Instant::now(), last.clone());
            blocking(&metrics, move |state| scrape(state, &last, &call, arrived))
        })
}

/// Turns of requests that need a thread: many at a time would leave little of the processor to all others.
static ANSWERING: Semaphore = Semaphore::const_new(2);

/// Answers on a thread that may wait for a lock or a disk.
fn blocking<F>(state: &ServiceState, reply: F) -> impl Future<Output = Reply> + Send + use<F>
where
    F: FnOnce(&ServiceState) -> Reply + Send + 'static,
{
    let state = state.clone();
    async move {
        // Never closed.
        let _turn = ANSWERING.acquire().await;
        tokio::task::spawn_blocking(move || reply(&state)).await.unwrap_or_else(|_| {
            let message = "internal error; see the log, and please report this";
            json_reply(StatusCode::INTERNAL_SERVER_ERROR, &json!({"message": message}))
        })
    }
}

/// The metrics as they were read last, in each format, and when the reading began.
type LastRead = Mutex<[Option<(Instant, String)>; 2]>;

fn scrape(state: &ServiceState, last: &LastRead, call: &Call, arrived: Instant) -> Reply {
    let accept = call.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let open = accept.contains("application/openmetrics-text");
    // Requests that waited for their turn together share one answer, which is no older than any of them.
    let mut read = last.lock();
    let fresh = read[usize::from(open)].take().filter(|(begun, _)| *begun >= arrived);
    let (begun, text) = fresh.unwrap_or_else(|| {
        let (begun, snapshot) = (Instant::now(), Snapshot::of(state));
        (begun, if open { metrics::open_metrics(snapshot) } else { metrics::text(snapshot) })
    });
    read[usize::from(open)] = Some((begun, text.clone()));
    drop(read);
    let content_type = if open {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    text_reply(StatusCode::OK, content_type, text)
}
