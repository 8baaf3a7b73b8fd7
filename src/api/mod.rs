//! The HTTP APIs of a running service: status, metrics and health checks on the status listeners; queues and taps on the
//! control socket.

mod accept;
mod control;
mod database;
mod health;
mod metrics;
mod queues;
mod reloads;
mod router;
mod routes;
mod server;
mod state;
mod status;
mod tap;

pub(crate) use accept::{Client, TlsListener};
pub use control::{Control, control_path};
pub use database::{DatabaseStats, SharedDatabase};
pub(crate) use health::why_not_ready;
pub use metrics::{Family, MetricKind, families};
pub use queues::{ReplayRequest, queue_routes};
pub use reloads::{ReloadResult, ReloadStats, Reloads};
pub use router::{Call, Reply, Routes, json_reply, text_reply};
pub use routes::status_routes;
pub(crate) use server::{Handler, Unread, serve};
pub use state::{Components, ServiceState, Stage};
pub(crate) use status::status;
pub use tap::routes as tap_routes;
