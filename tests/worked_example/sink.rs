//! `src/sink/`, with the sink of the worked example.

pub use logphase::sink::*;
pub mod redis;
