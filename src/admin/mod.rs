//! What can be asked of a running service.

mod status;

pub use status::{Board, serve};
