//! TLS. [`client`] has the configurations for connections that this process opens, [`server`] those for connections that it
//! accepts, [`x509`] what certificates say of themselves.

pub mod client;
pub mod server;
pub mod x509;

pub use self::client::{Identity, TlsConfigs, TlsError, Verification, verifying};
