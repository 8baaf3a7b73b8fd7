//! The routes of the status listeners: status, health checks and metrics.

use std::future::Future;

use hyper::StatusCode;
use hyper::header::ACCEPT;
use serde_json::json;
use tokio::sync::Semaphore;

use super::metrics::{self, Snapshot};
use super::router::{Call, Reply, Routes, json_reply, text_reply};
use super::state::ServiceState;
use super::{health, status};

/// `GET /status`, `/status/ready`, `/status/live` and `/metrics` of a service.
pub fn status_routes(state: &ServiceState) -> Routes {
    let (status, ready, live, metrics) = (state.clone(), state.clone(), state.clone(), state.clone());
    Routes::new()
        .get("/status", move |call| blocking(&status, move |state| status::reply(state, &call)))
        .get("/status/ready", move |_| blocking(&ready, health::ready))
        // Takes no lock and no other thread: it has to answer when those are stuck.
        .get("/status/live", move |_| std::future::ready(health::live(&live)))
        .get("/metrics", move |call| blocking(&metrics, move |state| scrape(state, &call)))
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

fn scrape(state: &ServiceState, call: &Call) -> Reply {
    let accept = call.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let snapshot = Snapshot::of(state);
    if accept.contains("application/openmetrics-text") {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        text_reply(StatusCode::OK, content_type, metrics::open_metrics(snapshot))
    } else {
        text_reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics::text(snapshot))
    }
}
