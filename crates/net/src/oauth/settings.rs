//! The settings of a client.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Version;
use serde::Deserialize;

use crate::config_error::ConfigError;

/// The settings of a [`Client`](super::Client).
#[derive(Clone, Default)]
pub struct Settings {
    /// The URL of the token endpoint.
    pub token_endpoint: String,
    /// The grant.
    pub grant: Grant,
    /// How the client authenticates itself.
    pub auth_method: AuthMethod,
    /// The algorithm of [`AuthMethod::ClientSecretJwt`].
    pub jwt_algorithm: JwtAlgorithm,
    /// The client id.
    pub client_id: Option<String>,
    /// The client secret.
    pub client_secret: Option<String>,
    /// Scopes to request; the parameter is omitted if empty.
    pub scopes: Vec<String>,
    /// Audiences to request; the parameter is omitted if empty.
    pub audience: Vec<String>,
    /// Additional headers.
    pub token_headers: BTreeMap<String, String>,
    /// Additional parameters, which replace parameters of the same name.
    pub token_post_args: BTreeMap<String, String>,
    /// How to reach the endpoint.
    pub transport: TransportSettings,
}

/// A grant.
#[derive(Clone, Default)]
pub enum Grant {
    /// Client credentials (RFC 6749, section 4.4).
    #[default]
    ClientCredentials,
    /// The password of a resource owner (RFC 6749, section 4.3).
    Password {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
}

/// How a client authenticates itself, by the names of OpenID Connect Core, section 9.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum AuthMethod {
    ClientSecretBasic,
    ClientSecretJwt,
    #[default]
    ClientSecretPost,
    None,
}

/// The algorithm that signs a client assertion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are those of RFC 7518")]
pub enum JwtAlgorithm {
    #[serde(rename = "HS256")]
    Hs256,
    #[default]
    #[serde(rename = "HS512")]
    Hs512,
}

/// How to reach a token endpoint.
#[derive(Clone)]
pub struct TransportSettings {
    /// The URL of the proxy for an `http` endpoint.
    pub http_proxy: Option<String>,
    /// The value of `Proxy-Authorization` for it.
    pub http_proxy_authorization: Option<String>,
    /// The URL of the proxy for an `https` endpoint.
    pub https_proxy: Option<String>,
    /// The value of `Proxy-Authorization` for it.
    pub https_proxy_authorization: Option<String>,
    /// Hosts to reach without a proxy: names, domains or `*`, separated by commas.
    pub no_proxy: Option<String>,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// Keep the connection open between requests.
    pub keep_alive: bool,
    /// The time that a request may take, connecting included.
    pub timeout: Duration,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            http_proxy: None,
            http_proxy_authorization: None,
            https_proxy: None,
            https_proxy_authorization: None,
            no_proxy: None,
            version: Version::HTTP_11,
            keep_alive: true,
            timeout: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// Checks that the settings required by the grant and the authentication method are present.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let is_missing = |value: &Option<String>| value.as_deref().unwrap_or_default().is_empty();
        if self.auth_method != AuthMethod::None {
            for (field, value) in [("client_id", &self.client_id), ("client_secret", &self.client_secret)] {
                if is_missing(value) {
                    let error = ConfigError::new(field, "missing");
                    return Err(error.with_help("set it, or set auth_method to none"));
                }
            }
        }
        if let Grant::Password { username, password } = &self.grant {
            for (field, value) in [("username", username), ("password", password)] {
                if value.is_empty() {
                    let error = ConfigError::new(field, "missing");
                    return Err(error.with_help("the grant type password needs it"));
                }
            }
        }
        Ok(())
    }
}
