//! TLS. [`client`] has the configurations for connections that this process opens, [`server`] those for connections that it
//! accepts.

pub mod client;
pub mod server;

pub use self::client::{Identity, TlsConfigs, TlsError};
