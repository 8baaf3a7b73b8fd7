//! What can be asked of a running service.

mod control;
mod router;
mod serve;
mod status;
mod tap;

pub use control::{Control, control_path};
pub use router::{Call, Reply, Routes, json_reply, text_reply};
pub use serve::{Listen, serve};
pub use status::Board;
pub use tap::routes as tap_routes;
