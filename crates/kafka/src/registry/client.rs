//! The REST API of a registry like Confluent's
//! (<https://docs.confluent.io/platform/current/schema-registry/develop/api.html>).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::address::{Address, beginning, segment};
use super::config::{Config, Mode, Subject, Version};
use super::token::{Token, Tokens, basic};
use logphase_net::http::HttpClient;
use logphase_net::tls::TlsConfigs;

/// How long an answer may take. Kong has no field for it.
const LIMIT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 8 << 20;
/// How many other schemas one may need.
const MAX_REFERENCES: usize = 100;

/// Asks a registry for schemas.
pub(super) struct Client {
    http: HttpClient,
    base: String,
    login: Login,
}

enum Login {
    None,
    Basic(HeaderValue),
    OAuth2(Box<Tokens>),
}

/// A schema as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: u32,
    /// `AVRO`, `JSON`, or what else the registry knows.
    pub(super) kind: String,
    pub(super) text: String,
    /// The schemas that it needs, and those need: the name that it is referred to by, and its text.
    pub(super) references: Vec<(String, String)>,
}

/// There is no schema now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FetchError {
    pub(super) message: String,
    /// When the registry wants to be asked again.
    pub(super) retry_after: Option<Duration>,
}

impl FetchError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
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
struct Refusal {
    error_code: i64,
    message: String,
}

impl Client {
    /// A client for the registry of `config`. Connects when first asked.
    pub(super) fn open(config: &Config, tls: &TlsConfigs) -> Result<Self, String> {
        let url =
            config.url.as_deref().filter(|url| !url.is_empty()).ok_or("schema_registry.confluent.url is missing")?;
        let wrong = |error: String| format!("schema_registry.confluent.url {error}");
        let address = Address::parse(url).map_err(wrong)?;
        if address.uri.query().is_some() {
            return Err(wrong("has a query; give the address that the API's paths are appended to".to_owned()));
        }
        let login = login(config, tls).map_err(|error| format!("schema_registry.confluent.{error}"))?;
        let http = HttpClient::new(&tls.get(config.ssl_verify)?, KEEPALIVE, LIMIT);
        Ok(Self { http, base: url.trim().trim_end_matches('/').to_owned(), login })
    }

    /// The schema of `subject` with all that it refers to.
    pub(super) async fn fetch(&self, subject: &Subject, now: Instant) -> Result<Found, FetchError> {
        let root = self.version(subject, now).await?;
        let mut wanted: VecDeque<Reference> = root.references.into_iter().flatten().collect();
        let mut texts: HashMap<(String, u32), String> = HashMap::new();
        let mut references: Vec<(String, String)> = Vec::new();
        while let Some(Reference { name, subject: of, version }) = wanted.pop_front() {
            if references.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if references.len() >= MAX_REFERENCES {
                return Err(FetchError::new(format!("{subject} refers to more than {MAX_REFERENCES} other schemas")));
            }
            let place = (of.clone(), version);
            if !texts.contains_key(&place) {
                let other = Subject { name: of, version: Version::Fixed(version) };
                let answer = self.version(&other, now).await?;
                wanted.extend(answer.references.into_iter().flatten());
                texts.insert(place.clone(), answer.schema);
            }
            references.extend(texts.get(&place).map(|text| (name, text.clone())));
        }
        let kind = root.schema_type.unwrap_or_else(|| "AVRO".to_owned());
        Ok(Found { id: root.id, kind, text: root.schema, references })
    }

    /// `GET /subjects/{subject}/versions/{version}`.
    async fn version(&self, subject: &Subject, now: Instant) -> Result<Answer, FetchError> {
        let version = match subject.version {
            Version::Latest => "latest".to_owned(),
            Version::Fixed(number) => number.to_string(),
        };
        let path = format!("/subjects/{}/versions/{version}", segment(&subject.name));
        let answer = self.get(&path, now).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(subject, &answer));
        }
        let unreadable =
            |error| FetchError::new(format!("the registry's answer for {subject} is not as expected: {error}"));
        let answer: Answer = serde_json::from_slice(answer.body()).map_err(unreadable)?;
        if answer.id > i32::MAX as u32 {
            return Err(FetchError::new(format!("the registry's id for {subject} is out of range: {}", answer.id)));
        }
        Ok(answer)
    }

    async fn get(&self, path: &str, now: Instant) -> Result<Response<Bytes>, FetchError> {
        match &self.login {
            Login::None => self.send(path, None).await,
            Login::Basic(authorization) => self.send(path, Some(authorization)).await,
            Login::OAuth2(tokens) => {
                let token = tokens.get(now).await.map_err(FetchError::new)?;
                let answer = self.send_with(path, &token).await?;
                if answer.status() != StatusCode::UNAUTHORIZED {
                    return Ok(answer);
                }
                // It may have been revoked: a new one, once.
                tokens.forget(&token).await;
                let token = tokens.get(now).await.map_err(FetchError::new)?;
                self.send_with(path, &token).await
            }
        }
    }

    async fn send_with(&self, path: &str, token: &Token) -> Result<Response<Bytes>, FetchError> {
        self.send(path, Some(&token.authorization)).await
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
        self.http.send(request, LIMIT, MAX_ANSWER).await.map_err(|error| failed(&error))
    }

    fn refused(&self, subject: &Subject, answer: &Response<Bytes>) -> FetchError {
        let status = answer.status();
        let said = serde_json::from_slice::<Refusal>(answer.body()).ok();
        let said = said.map_or(String::new(), |refusal| {
            let message = beginning(&refusal.message, 200);
            format!(" ({}: {message})", refusal.error_code)
        });
        let header = |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let advice = match status {
            StatusCode::NOT_FOUND => "; register it, or correct subject_name and schema_version".to_owned(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; see schema_registry.confluent.authentication".to_owned()
            }
            _ if status.is_redirection() => {
                format!("; it redirects to {}, set url to that", header(LOCATION).unwrap_or("another address"))
            }
            _ => String::new(),
        };
        let retry_after = header(RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let message = format!("schema registry {}: {status} for {subject}{said}{advice}", self.base);
        FetchError { message, retry_after }
    }
}

fn login(config: &Config, tls: &TlsConfigs) -> Result<Login, String> {
    let authentication = &config.authentication;
    Ok(match authentication.mode {
        Mode::None => Login::None,
        Mode::Basic => {
            let block = authentication.basic.as_ref();
            let block = block.ok_or("authentication.mode is basic, but there is no authentication.basic")?;
            let value = basic(&block.username, &block.password);
            Login::Basic(value.map_err(|error| format!("authentication.basic {error}"))?)
        }
        Mode::OAuth2 => Login::OAuth2(Box::new(Tokens::open(authentication, tls)?)),
    })
}
