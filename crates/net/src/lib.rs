//! What sinks and inputs share on the network: TLS settings, an HTTP client, and what TCP knows of its send queue.

pub mod http;
pub mod send_queue;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;
