//! tcp-log: sends each message and a newline over a TCP connection, with TLS if wanted.

mod connection;
mod send_queue;
pub mod sink;
#[cfg(test)]
mod tests;
mod tls;

pub use tls::TlsConfigs;
