//! What can be asked of a running service.

mod router;
mod serve;
mod status;

pub use router::{Call, Reply, Routes, json_reply, text_reply};
pub use serve::{Listen, serve};
pub use status::Board;
