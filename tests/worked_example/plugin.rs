//! `src/plugin/`, with the plugin of the worked example.

pub use logphase::plugin::*;
pub mod redis_log;
