//! The plugins: one folder each. A plugin knows no queue; delivery hands its sink what is to be sent.

pub mod file_log;
pub mod sink;
mod tail;
pub mod tcp_log;
pub mod udp_log;
