//! Where the parts of a service are hung up to be looked at.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use hyper::StatusCode;
use hyper::header::ACCEPT;
use serde_json::json;

use super::Reloads;
use super::metrics::{self, Snapshot};
use super::router::{Call, Reply, Routes, json_reply, text_reply};
use super::{probe, status};
use crate::confinement::Enforcement;
use crate::delivery::Delivery;
use crate::input::Counters;
use crate::phase::{Fields, Generation, WorkerStats};

/// What of a running service can be looked at. Cheap to clone.
#[derive(Clone)]
pub struct Monitor {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub started: SystemTime,
    stage: AtomicU8,
    pub parts: OnceLock<Parts>,
    pub inputs: OnceLock<Vec<(&'static str, Arc<Counters>)>>,
    pub reloads: Arc<Reloads>,
}

/// The parts of a service.
pub struct Parts {
    /// What runs; held loosely, so that a service that stops can let go of its queues.
    pub live: Weak<ArcSwap<Generation>>,
    /// What the workers did so far.
    pub worker_stats: Arc<WorkerStats>,
    /// What the snippets did so far.
    pub fields: Arc<Fields>,
    /// The queues and sinks.
    pub delivery: Delivery,
    /// Worker threads' system calls.
    pub seccomp: Enforcement,
    /// The process's files.
    pub landlock: Enforcement,
}

/// How far a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It opens its queues and inputs.
    Starting,
    /// It takes transactions.
    Ready,
    /// It takes none any more, and delivers what it has.
    Stopping,
}

impl Default for Monitor {
    fn default() -> Self {
        let inner = Inner {
            started: SystemTime::now(),
            stage: AtomicU8::new(Stage::Starting as u8),
            parts: OnceLock::new(),
            inputs: OnceLock::new(),
            reloads: Arc::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Monitor {
    /// Shows the parts of a service; only once.
    pub fn show(&self, parts: Parts) {
        let _ = self.inner.parts.set(parts);
    }

    /// Shows what each input has counted; only once.
    pub fn show_inputs(&self, counters: &[(&'static str, Arc<Counters>)]) {
        let _ = self.inner.inputs.set(counters.to_vec());
    }

    /// Says how far the service is.
    pub fn enter(&self, stage: Stage) {
        self.inner.stage.store(stage as u8, Ordering::SeqCst);
    }

    /// How far the service is.
    pub fn stage(&self) -> Stage {
        let stage = self.inner.stage.load(Ordering::SeqCst);
        [Stage::Starting, Stage::Ready, Stage::Stopping][usize::from(stage)]
    }

    /// Where reloads are counted.
    pub fn reloads(&self) -> &Arc<Reloads> {
        &self.inner.reloads
    }

    /// What can be asked of the status listeners.
    pub fn routes(&self) -> Routes {
        let (status, ready, live, metrics) = (self.clone(), self.clone(), self.clone(), self.clone());
        Routes::new()
            .get("/status", move |call| status.answer(move |monitor| status::reply(monitor, &call)))
            .get("/status/ready", move |_| ready.answer(probe::ready))
            // Looks at nothing that could be held up: it is what finds that out.
            .get("/status/live", move |_| std::future::ready(probe::live(&live)))
            .get("/metrics", move |call| metrics.answer(move |monitor| scrape(monitor, &call)))
    }

    /// Answers on a thread that may wait: for a lock, or a disk.
    fn answer<F>(&self, reply: F) -> impl Future<Output = Reply> + Send + use<F>
    where
        F: FnOnce(&Self) -> Reply + Send + 'static,
    {
        let monitor = self.clone();
        let answering = tokio::task::spawn_blocking(move || reply(&monitor));
        async {
            answering.await.unwrap_or_else(|_| {
                let message = "the answer could not be made; please report this";
                json_reply(StatusCode::INTERNAL_SERVER_ERROR, &json!({"message": message}))
            })
        }
    }
}

fn scrape(monitor: &Monitor, call: &Call) -> Reply {
    let accept = call.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let snapshot = Snapshot::of(monitor);
    if accept.contains("application/openmetrics-text") {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        text_reply(StatusCode::OK, content_type, metrics::open_metrics(snapshot))
    } else {
        text_reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics::text(snapshot))
    }
}
