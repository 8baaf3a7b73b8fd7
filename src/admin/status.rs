//! `GET /status`: how the sandbox and each snippet fare.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::confinement::Wall;
use crate::phase::{Fault, Generation, Step, Tally};
use crate::script::Stop;

/// Connections at the same time; nobody needs many.
const CONNECTIONS: usize = 32;
/// How long a request's head may take.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let stopped: Map<String, Value> = Stop::ALL
        .into_iter()
        .filter(|budget| *budget != Stop::Suspended)
        .map(|budget| (budget.name().to_owned(), fault.stops(budget).into()))
        .collect();
    json!({
        "field": field,
        "errors": fault.count(),
        "stopped": stopped,
        "left_out": fault.skipped(),
        "suspended_for_seconds": fault.suspended_for().map(|left| left.as_secs_f64().ceil()),
    })
}

/// Answers on `listener` until the task is aborted.
pub async fn serve(listener: TcpListener, board: Board) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("status: cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let board = board.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let answer = service_fn(|request| {
                let answer = answer(&request, &board);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            // Who hangs up needs no answer.
            let _ = http.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

fn answer(request: &Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    let (status, body) = match (request.uri().path(), request.method()) {
        ("/status", &Method::GET | &Method::HEAD) => (StatusCode::OK, board.read()),
        ("/status", _) => (StatusCode::METHOD_NOT_ALLOWED, json!({"message": "ask with GET"})),
        _ => (StatusCode::NOT_FOUND, json!({"message": "Not found: there is /status"})),
    };
    let mut answer = Response::new(Full::from(format!("{body}\n")));
    *answer.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    answer
}
