//! The registry's part of kafka-log's `config`, checked for what a schema of fields cannot say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

/// `config.schema_registry.confluent`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    pub(super) url: Option<String>,
    #[serde(default = "yes")]
    pub(super) ssl_verify: bool,
    /// Seconds that a schema is kept.
    pub(super) ttl: Option<f64>,
    #[serde(default)]
    pub(super) authentication: Authentication,
    pub(super) key_schema: Option<Named>,
    pub(super) value_schema: Option<Named>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Named {
    pub(super) subject_name: Option<String>,
    pub(super) schema_version: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Authentication {
    #[serde(default)]
    pub(super) mode: Mode,
    pub(super) basic: Option<Basic>,
    pub(super) oauth2: Option<OAuth2>,
    #[serde(default)]
    pub(super) oauth2_client: Option<OAuth2Client>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    #[default]
    None,
    Basic,
    OAuth2,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Basic {
    pub(super) username: String,
    pub(super) password: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct OAuth2 {
    pub(super) token_endpoint: String,
    #[serde(default)]
    pub(super) grant_type: Grant,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) audience: Option<Vec<String>>,
    pub(super) token_headers: Option<BTreeMap<String, String>>,
    pub(super) token_post_args: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Grant {
    #[default]
    ClientCredentials,
    Password,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClientAuth {
    ClientSecretBasic,
    ClientSecretJwt,
    #[default]
    ClientSecretPost,
    None,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum JwtAlgorithm {
    #[serde(rename = "HS256")]
    Hs256,
    #[default]
    #[serde(rename = "HS512")]
    Hs512,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct OAuth2Client {
    #[serde(default)]
    pub(super) auth_method: ClientAuth,
    #[serde(default)]
    pub(super) client_secret_jwt_alg: JwtAlgorithm,
    pub(super) http_proxy: Option<String>,
    pub(super) http_proxy_authorization: Option<String>,
    pub(super) https_proxy: Option<String>,
    pub(super) https_proxy_authorization: Option<String>,
    pub(super) no_proxy: Option<String>,
    #[serde(default = "http_1_1")]
    pub(super) http_version: f64,
    #[serde(default = "yes")]
    pub(super) keep_alive: bool,
    #[serde(default = "yes")]
    pub(super) ssl_verify: bool,
    /// Milliseconds.
    #[serde(default = "ten_seconds")]
    pub(super) timeout: u64,
}

impl Default for OAuth2Client {
    fn default() -> Self {
        Self {
            auth_method: ClientAuth::default(),
            client_secret_jwt_alg: JwtAlgorithm::default(),
            http_proxy: None,
            http_proxy_authorization: None,
            https_proxy: None,
            https_proxy_authorization: None,
            no_proxy: None,
            http_version: http_1_1(),
            keep_alive: true,
            ssl_verify: true,
            timeout: ten_seconds(),
        }
    }
}

fn yes() -> bool {
    true
}

fn http_1_1() -> f64 {
    1.1
}

fn ten_seconds() -> u64 {
    10_000
}

/// How long a schema is kept if the configuration does not say: Kong's maximum.
const DEFAULT_TTL: f64 = 3600.0;

impl Config {
    pub(super) fn ttl(&self) -> Duration {
        Duration::from_secs_f64(self.ttl.unwrap_or(DEFAULT_TTL).clamp(0.0, DEFAULT_TTL))
    }
}

/// A subject and which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    Latest,
    Fixed(u32),
}

impl Subject {
    /// The subject of `named`, which is found at `field`. Without a version it is the latest.
    pub(super) fn read(named: &Named, field: &str) -> Result<Self, String> {
        let name = named.subject_name.clone().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("schema_registry.confluent.{field}.subject_name is missing"))?;
        let version = match named.schema_version.as_deref() {
            None | Some("latest") => Version::Latest,
            Some(text) => {
                let number = text.parse::<u32>().ok().filter(|number| (1..=i32::MAX as u32).contains(number));
                Version::Fixed(number.ok_or_else(|| {
                    format!(
                        "schema_registry.confluent.{field}.schema_version is {text:?}; it must be `latest` or a \
                         number from 1 on"
                    )
                })?)
            }
        };
        Ok(Self { name, version })
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            Version::Latest => write!(f, "the latest version of subject {}", self.name),
            Version::Fixed(number) => write!(f, "version {number} of subject {}", self.name),
        }
    }
}
