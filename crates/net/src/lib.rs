//! Networking that sinks and inputs share.
//!
//! - [`tls`]: which certificates are trusted, the client configurations of rustls, and those of our own listeners.
//! - [`proxy_protocol`]: the header in which a proxy names the client of a connection.
//! - [`http`]: a pooled HTTP client for delivery, and helpers for headers.
//! - [`oauth`]: an OAuth 2 client that obtains and caches access tokens.
//! - [`url`]: `http` and `https` URLs of a configuration.
//! - [`send_queue`]: how many sent bytes the peer of a socket has not acknowledged.
//! - [`config_error`]: the error for a configuration that cannot be used.
//!
//! Nothing here knows a plugin, a sink or the settings of the service. An error about a field names it as the type of
//! this crate calls it; the caller translates that to its own configuration ([`ConfigError::within`]).

pub mod config_error;
pub mod http;
pub mod oauth;
pub mod proxy_protocol;
pub mod send_queue;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;
pub mod tls;
pub mod url;

pub use self::config_error::ConfigError;
