//! The registry's part of kafka-log's `config`, with the checks that the plugin's schema of fields cannot express.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Version as HttpVersion;
use logphase_net::ConfigError;
use logphase_net::oauth::{self, AuthMethod, JwtAlgorithm};
use serde::Deserialize;

/// `config.schema_registry.confluent`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    pub(super) url: Option<String>,
    #[serde(default = "yes")]
    pub(super) ssl_verify: bool,
    /// Seconds for which a schema is cached.
    pub(super) ttl: Option<f64>,
    #[serde(default)]
    pub(super) authentication: Authentication,
    pub(super) key_schema: Option<SubjectConfig>,
    pub(super) value_schema: Option<SubjectConfig>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct SubjectConfig {
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

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct OAuth2Client {
    #[serde(default)]
    pub(super) auth_method: AuthMethod,
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
            auth_method: AuthMethod::default(),
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

/// How long a schema is cached if the configuration does not say: Kong's maximum, in seconds.
const DEFAULT_TTL: f64 = 3600.0;

impl Config {
    /// How long a schema is cached.
    pub(super) fn ttl(&self) -> Duration {
        Duration::from_secs_f64(self.ttl.unwrap_or(DEFAULT_TTL).clamp(0.0, DEFAULT_TTL))
    }
}

impl OAuth2Client {
    fn transport(&self) -> Result<oauth::TransportSettings, ConfigError> {
        let version = match self.http_version {
            1.0 => HttpVersion::HTTP_10,
            1.1 => HttpVersion::HTTP_11,
            other => {
                let error = ConfigError::new("oauth2_client.http_version", format!("{other} is not supported"));
                return Err(error.with_help("it must be 1.0 or 1.1"));
            }
        };
        Ok(oauth::TransportSettings {
            http_proxy: self.http_proxy.clone(),
            http_proxy_authorization: self.http_proxy_authorization.clone(),
            https_proxy: self.https_proxy.clone(),
            https_proxy_authorization: self.https_proxy_authorization.clone(),
            no_proxy: self.no_proxy.clone(),
            version,
            keep_alive: self.keep_alive,
            timeout: Duration::from_millis(self.timeout),
        })
    }
}

impl OAuth2 {
    /// The settings of an OAuth client. Errors have the path of the field below `authentication`.
    pub(super) fn settings(&self, client: &OAuth2Client) -> Result<oauth::Settings, ConfigError> {
        Ok(oauth::Settings {
            token_endpoint: self.token_endpoint.clone(),
            grant: match self.grant_type {
                Grant::ClientCredentials => oauth::Grant::ClientCredentials,
                Grant::Password => oauth::Grant::Password {
                    username: self.username.clone().unwrap_or_default(),
                    password: self.password.clone().unwrap_or_default(),
                },
            },
            auth_method: client.auth_method,
            jwt_algorithm: client.client_secret_jwt_alg,
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            scopes: self.scopes.clone().unwrap_or_default(),
            audience: self.audience.clone().unwrap_or_default(),
            token_headers: self.token_headers.clone().unwrap_or_default(),
            token_post_args: self.token_post_args.clone().unwrap_or_default(),
            transport: client.transport()?,
        })
    }

    /// The path below `authentication` of the field that an OAuth client calls `field`.
    pub(super) fn field(field: &str) -> String {
        let of_client = ["http_proxy", "http_proxy_authorization", "https_proxy", "https_proxy_authorization"];
        let parent = if of_client.contains(&field) { "oauth2_client" } else { "oauth2" };
        format!("{parent}.{field}")
    }
}

/// A version of a subject.
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
    /// The subject of `config`, which is the field `parent`. Without a version it is the latest.
    ///
    /// # Errors
    /// The name is missing, or the version is neither `latest` nor a number.
    pub(super) fn new(config: &SubjectConfig, parent: &str) -> Result<Self, ConfigError> {
        let name = config.subject_name.clone().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| ConfigError::new("subject_name", "missing").within(parent))?;
        let version = match config.schema_version.as_deref() {
            None | Some("latest") => Version::Latest,
            Some(text) => {
                let number = text.parse::<u32>().ok().filter(|number| (1..=i32::MAX as u32).contains(number));
                Version::Fixed(number.ok_or_else(|| {
                    let error = ConfigError::new("schema_version", format!("{text:?} is not a version"));
                    error.with_help("it must be `latest` or a number from 1 on").within(parent)
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
