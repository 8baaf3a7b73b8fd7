//! TLS. [`client`] has the configurations for connections that this process opens.

pub mod client;

pub use self::client::{Identity, TlsConfigs, TlsError};
