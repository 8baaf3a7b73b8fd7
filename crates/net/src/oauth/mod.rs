//! An OAuth 2 client (RFC 6749) that obtains access tokens for this process, not for a user.
//!
//! [`Client::fetch`] requests one token: by the client credentials or the password grant, with one of four methods of
//! client authentication, directly or through an HTTP proxy. [`CachedToken`] keeps a token until shortly before it
//! expires, for users that send a token with each request; users that hand tokens over ahead of time, as a Kafka client
//! needs them, call [`Client::fetch`] on their own schedule.

mod cache;
mod proxy;
mod request;
mod response;
mod settings;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;

use rustls::ClientConfig;

pub use self::cache::{BearerToken, CachedToken};
use self::request::TokenRequest;
pub use self::response::{AccessToken, TokenError, TokenErrorKind};
pub use self::settings::{AuthMethod, Grant, JwtAlgorithm, Settings, TransportSettings};
use self::transport::Transport;
pub use self::transport::TransportError;
use crate::config_error::ConfigError;
use crate::url::HttpUrl;

/// Requests access tokens from one token endpoint.
pub struct Client {
    endpoint: String,
    request: TokenRequest,
    transport: Transport,
}

impl Client {
    /// A client for `settings` that uses `tls` for an `https` endpoint. Does not connect.
    ///
    /// # Errors
    /// A setting is missing or cannot be used. The error names it as [`Settings`] and [`TransportSettings`] do.
    pub fn new(settings: Settings, tls: Arc<ClientConfig>) -> Result<Self, ConfigError> {
        settings.validate()?;
        let endpoint = HttpUrl::parse(&settings.token_endpoint);
        let endpoint = endpoint.map_err(|error| ConfigError::new("token_endpoint", error))?;
        let transport = Transport::new(endpoint, &settings.transport, tls)?;
        Ok(Self { endpoint: settings.token_endpoint.clone(), request: TokenRequest::new(settings)?, transport })
    }

    /// Requests a new token.
    ///
    /// # Errors
    /// The endpoint cannot be reached, refuses, or does not answer with a token. The error has no secrets.
    pub async fn fetch(&self) -> Result<AccessToken, TokenError> {
        let token = async {
            let (headers, body) = self.request.build();
            let response = self.transport.post(&headers, &body).await?;
            response::parse(&response)
        };
        token.await.map_err(|kind| TokenError { endpoint: self.endpoint.clone(), kind })
    }
}
