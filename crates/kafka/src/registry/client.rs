//! A client for Confluent's REST API of schema registries
//! (<https://docs.confluent.io/platform/current/schema-registry/develop/api.html>).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use logphase_net::ConfigError;
use logphase_net::http::{HttpClient, header};
use logphase_net::oauth::{self, CachedToken};
use logphase_net::text::truncate;
use logphase_net::tls::TlsConfigs;
use logphase_net::url::HttpUrl;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::Instant;

use super::config::{Config, Mode, OAuth2, Subject, Version};

/// Timeout of a request. Kong has no field for it.
const LIMIT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The largest response that is read, in bytes.
const MAX_RESPONSE: usize = 8 << 20;
/// The largest number of schemas that one schema may refer to, directly and indirectly.
const MAX_REFERENCES: usize = 100;
/// Bytes of the registry's message that an error quotes.
const SHOWN_BYTES: usize = 200;
/// What is escaped in a segment of a path: all that is not unreserved (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Fetches schemas from a registry.
pub(super) struct Client {
    http: HttpClient,
    base: String,
    authentication: Authentication,
}

enum Authentication {
    None,
    Basic(HeaderValue),
    OAuth2(Box<CachedToken>),
}

/// A schema as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RegisteredSchema {
    pub(super) id: u32,
    /// `AVRO`, `JSON`, or another type that the registry supports.
    pub(super) kind: String,
    pub(super) text: String,
    /// The schemas that it refers to, directly and indirectly: the name in the reference, and the text.
    pub(super) references: Vec<(String, String)>,
}

/// A schema cannot be fetched now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct FetchError {
    pub(super) message: String,
    /// How long the registry asks to wait before the next request.
    pub(super) retry_after: Option<Duration>,
}

impl FetchError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionResponse {
    id: u32,
    schema: String,
    schema_type: Option<String>,
    references: Option<Vec<Reference>>,
}

#[derive(Deserialize, Clone)]
struct Reference {
    name: String,
    subject: String,
    version: u32,
}

#[derive(Deserialize)]
struct ErrorResponse {
    error_code: i64,
    message: String,
}

impl Client {
    /// A client for the registry of `config`. Does not connect.
    ///
    /// # Errors
    /// A field is missing or cannot be used. The error has its path below `schema_registry.confluent`.
    pub(super) fn new(config: &Config, tls: &TlsConfigs) -> Result<Self, ConfigError> {
        let refused = |problem: &dyn std::fmt::Display| ConfigError::new("url", problem);
        let url = config.url.as_deref().filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| refused(&"missing").with_help("give the address of the registry"))?;
        let parsed = HttpUrl::parse(url).map_err(|error| refused(&error))?;
        if parsed.uri().query().is_some() {
            return Err(refused(&"has a query").with_help("give the address that the paths of the API are appended to"));
        }
        let authentication = Authentication::new(config, tls).map_err(|error| error.within("authentication"))?;
        let tls = tls.get(config.ssl_verify).map_err(|error| ConfigError::new("ssl_verify", error))?;
        let base = url.trim().trim_end_matches('/').to_owned();
        Ok(Self { http: HttpClient::new(&tls, KEEPALIVE, LIMIT), base, authentication })
    }

    /// The schema of `subject`, with all schemas that it refers to.
    pub(super) async fn fetch(&self, subject: &Subject, now: Instant) -> Result<RegisteredSchema, FetchError> {
        let root = self.version(subject, now).await?;
        let mut pending: VecDeque<Reference> = root.references.into_iter().flatten().collect();
        let mut texts: HashMap<(String, u32), String> = HashMap::new();
        let mut references: Vec<(String, String)> = Vec::new();
        while let Some(Reference { name, subject: of, version }) = pending.pop_front() {
            if references.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if references.len() >= MAX_REFERENCES {
                return Err(FetchError::new(format!("{subject} refers to more than {MAX_REFERENCES} other schemas")));
            }
            let key = (of.clone(), version);
            if !texts.contains_key(&key) {
                let other = Subject { name: of, version: Version::Fixed(version) };
                let response = self.version(&other, now).await?;
                pending.extend(response.references.into_iter().flatten());
                texts.insert(key.clone(), response.schema);
            }
            references.extend(texts.get(&key).map(|text| (name, text.clone())));
        }
        let kind = root.schema_type.unwrap_or_else(|| "AVRO".to_owned());
        Ok(RegisteredSchema { id: root.id, kind, text: root.schema, references })
    }

    /// `GET /subjects/{subject}/versions/{version}`.
    async fn version(&self, subject: &Subject, now: Instant) -> Result<VersionResponse, FetchError> {
        let version = match subject.version {
            Version::Latest => "latest".to_owned(),
            Version::Fixed(number) => number.to_string(),
        };
        let path = format!("/subjects/{}/versions/{version}", utf8_percent_encode(&subject.name, SEGMENT));
        let response = self.get(&path, now).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(subject, &response));
        }
        let unreadable =
            |error| FetchError::new(format!("the registry's answer for {subject} is not as expected: {error}"));
        let response: VersionResponse = serde_json::from_slice(response.body()).map_err(unreadable)?;
        if response.id > i32::MAX as u32 {
            return Err(FetchError::new(format!("the registry's id for {subject} is out of range: {}", response.id)));
        }
        Ok(response)
    }

    async fn get(&self, path: &str, now: Instant) -> Result<Response<Bytes>, FetchError> {
        match &self.authentication {
            Authentication::None => self.send(path, None).await,
            Authentication::Basic(authorization) => self.send(path, Some(authorization)).await,
            Authentication::OAuth2(tokens) => {
                let failed = |error: oauth::TokenError| FetchError::new(error.to_string());
                let token = tokens.get(now).await.map_err(failed)?;
                let response = self.send(path, Some(token.authorization())).await?;
                if response.status() != StatusCode::UNAUTHORIZED {
                    return Ok(response);
                }
                // The token may have been revoked: try one new token.
                tokens.invalidate(&token).await;
                let token = tokens.get(now).await.map_err(failed)?;
                self.send(path, Some(token.authorization())).await
            }
        }
    }

    async fn send(&self, path: &str, authorization: Option<&HeaderValue>) -> Result<Response<Bytes>, FetchError> {
        let failed = |error: &dyn std::fmt::Display| FetchError::new(format!("schema registry {}: {error}", self.base));
        let mut request = Request::get(format!("{}{path}", self.base))
            .header(ACCEPT, "application/vnd.schemaregistry.v1+json, application/json")
            .body(Full::new(Bytes::new()))
            .map_err(|error| failed(&error))?;
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        self.http.send(request, LIMIT, MAX_RESPONSE).await.map_err(|error| failed(&error))
    }

    fn refusal(&self, subject: &Subject, response: &Response<Bytes>) -> FetchError {
        let status = response.status();
        let error = serde_json::from_slice::<ErrorResponse>(response.body()).ok();
        let reason = error.map_or(String::new(), |error| {
            format!(" ({}: {})", error.error_code, truncate(&error.message, SHOWN_BYTES))
        });
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let advice = match status {
            StatusCode::NOT_FOUND => "; register it, or correct subject_name and schema_version".to_owned(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; check schema_registry.confluent.authentication".to_owned()
            }
            _ if status.is_redirection() => {
                format!("; it redirects to {}, set url to that", header(LOCATION).unwrap_or("another address"))
            }
            _ => String::new(),
        };
        let retry_after = header(RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let message = format!("schema registry {}: {status} for {subject}{reason}{advice}", self.base);
        FetchError { message, retry_after }
    }
}

impl Authentication {
    /// Errors have the path of the field below `authentication`.
    fn new(config: &Config, tls: &TlsConfigs) -> Result<Self, ConfigError> {
        let authentication = &config.authentication;
        let missing = |mode: &str| {
            let error = ConfigError::new(mode, format!("missing, and authentication.mode is {mode}"));
            error.with_help("add it, or choose another mode")
        };
        match authentication.mode {
            Mode::None => Ok(Self::None),
            Mode::Basic => {
                let basic = authentication.basic.as_ref().ok_or_else(|| missing("basic"))?;
                Ok(Self::Basic(header::basic(&basic.username, &basic.password)))
            }
            Mode::OAuth2 => {
                let oauth2 = authentication.oauth2.as_ref().ok_or_else(|| missing("oauth2"))?;
                let client = authentication.oauth2_client.clone().unwrap_or_default();
                let tls = tls.get(client.ssl_verify);
                let tls = tls.map_err(|error| ConfigError::new("oauth2_client.ssl_verify", error))?;
                let client = oauth::Client::new(oauth2.settings(&client)?, tls);
                let client = client.map_err(|error| error.map_field(OAuth2::field))?;
                Ok(Self::OAuth2(Box::new(CachedToken::new(client))))
            }
        }
    }
}
