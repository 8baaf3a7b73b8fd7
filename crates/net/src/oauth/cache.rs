//! A token that is kept until shortly before it expires.

use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::response::{AccessToken, TokenError};
use super::{Client, TokenErrorKind};
use crate::http::header::sensitive;

/// A token is replaced this long before it expires, so that it does not expire on the way to its recipient.
const MARGIN: Duration = Duration::from_secs(30);
/// The lifetime of a token whose response does not give one. The recipient may reject the token earlier.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// The current token of a client. Fetches a new one when it is needed.
pub struct CachedToken {
    client: Client,
    current: Mutex<Option<Current>>,
}

struct Current {
    token: BearerToken,
    use_until: Instant,
}

/// A token as the value of `Authorization` (RFC 6750, section 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerToken(HeaderValue);

impl BearerToken {
    /// The value of `Authorization`. It is kept out of debug output.
    pub fn authorization(&self) -> &HeaderValue {
        &self.0
    }
}

impl CachedToken {
    /// Keeps the tokens of `client`.
    pub fn new(client: Client) -> Self {
        Self { client, current: Mutex::new(None) }
    }

    /// The current token if it may be used at `now`, else a new one. Concurrent callers share one request.
    ///
    /// # Errors
    /// See [`Client::fetch`].
    pub async fn get(&self, now: Instant) -> Result<BearerToken, TokenError> {
        let mut current = self.current.lock().await;
        if let Some(current) = current.as_ref().filter(|current| now < current.use_until) {
            return Ok(current.token.clone());
        }
        *current = None;
        let token = self.client.fetch().await?;
        let use_until = now + use_for(&token);
        let authorization = sensitive(&format!("Bearer {}", token.value)).map_err(|error| TokenError {
            endpoint: self.client.endpoint.clone(),
            kind: TokenErrorKind::InvalidToken(error),
        })?;
        Ok(current.insert(Current { token: BearerToken(authorization), use_until }).token.clone())
    }

    /// Drops `token`, which its recipient has rejected, so that the next [`Self::get`] fetches a new one.
    pub async fn invalidate(&self, token: &BearerToken) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|current| current.token == *token) {
            *current = None;
        }
    }
}

/// How long a token is used: its lifetime without the margin, which is at most a quarter of a short lifetime.
fn use_for(token: &AccessToken) -> Duration {
    let lifetime = token.lifetime.unwrap_or(DEFAULT_LIFETIME);
    lifetime.saturating_sub(MARGIN.min(lifetime / 4))
}
