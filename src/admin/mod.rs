//! What can be asked of a running service.

mod control;
mod metrics;
mod monitor;
mod probe;
mod queues;
mod reloads;
mod router;
mod serve;
mod status;
mod tap;

pub use control::{Control, control_path};
pub use metrics::{FAMILIES, Family, Sort};
pub use monitor::{Monitor, Parts, Stage};
pub use queues::{Replay, queue_routes};
pub use reloads::{Outcome, ReloadStats, Reloads};
pub use router::{Call, Reply, Routes, json_reply, text_reply};
pub use serve::{Listen, serve};
pub use tap::routes as tap_routes;
