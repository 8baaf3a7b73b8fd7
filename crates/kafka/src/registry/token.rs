//! OAuth 2 access tokens (RFC 6749): asked for when first needed, kept until shortly before they expire.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::address::{Address, beginning, header_value};
use super::config::{Authentication, ClientAuth, Grant, JwtAlgorithm, OAuth2, OAuth2Client};
use super::exchange::Exchange;
use logphase_net::tls::TlsConfigs;

/// How long before its end a token is given up, so that it does not expire on its way.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a token lives that does not say: it is asked for again, or when the registry refuses it.
const UNKNOWN_LIFE: u64 = 60;
/// The longest life of a token that is believed, in seconds.
const LONGEST_LIFE: u64 = 365 * 24 * 3600;
/// Seconds for which a client's assertion is valid.
const ASSERTION_LIFE: u64 = 60;

/// Gets tokens and keeps the last.
pub(super) struct Tokens {
    endpoint: String,
    exchange: Exchange,
    auth: ClientAuth,
    algorithm: JwtAlgorithm,
    client_id: Option<String>,
    client_secret: Option<String>,
    arguments: Vec<(String, String)>,
    headers: HeaderMap,
    held: Mutex<Option<Token>>,
}

/// A token as the value of `Authorization`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) authorization: HeaderValue,
    until: Instant,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<Value>,
}

impl Tokens {
    /// Tokens as the `oauth2` block of `authentication` describes.
    pub(super) fn open(authentication: &Authentication, tls: &TlsConfigs) -> Result<Self, String> {
        let oauth = authentication.oauth2.as_ref();
        let oauth = oauth.ok_or("authentication.mode is oauth2, but there is no authentication.oauth2")?;
        let client = authentication.oauth2_client.clone().unwrap_or_default();
        check(oauth, &client)?;
        let endpoint = Address::parse(&oauth.token_endpoint);
        let endpoint = endpoint.map_err(|error| format!("authentication.oauth2.token_endpoint {error}"))?;
        let exchange = Exchange::new(endpoint, &client, tls.get(client.ssl_verify)?);
        Ok(Self {
            endpoint: oauth.token_endpoint.clone(),
            exchange: exchange.map_err(|error| format!("authentication.{error}"))?,
            auth: client.auth_method,
            algorithm: client.client_secret_jwt_alg,
            client_id: oauth.client_id.clone(),
            client_secret: oauth.client_secret.clone(),
            arguments: arguments(oauth),
            headers: headers(oauth.token_headers.as_ref())?,
            held: Mutex::new(None),
        })
    }

    /// A token that is still good at `now`.
    pub(super) async fn get(&self, now: Instant) -> Result<Token, String> {
        let mut held = self.held.lock().await;
        if let Some(token) = held.as_ref().filter(|token| now < token.until) {
            return Ok(token.clone());
        }
        *held = None;
        let token = self.ask(now).await.map_err(|error| format!("no token from {}: {error}", self.endpoint))?;
        Ok(held.insert(token).clone())
    }

    /// Forgets `refused`, which the registry does not accept.
    pub(super) async fn forget(&self, refused: &Token) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|token| token.authorization == refused.authorization) {
            *held = None;
        }
    }

    async fn ask(&self, now: Instant) -> Result<Token, String> {
        let (headers, body) = self.request()?;
        let answer = self.exchange.post(&headers, &body).await?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("it answers {status}{}", refusal(answer.body())));
        }
        let unreadable = "its answer is no JSON object with an access_token";
        let answer: Answer = serde_json::from_slice(answer.body()).map_err(|_| unreadable)?;
        let authorization = header_value(&format!("Bearer {}", answer.access_token));
        let life = Duration::from_secs(seconds(answer.expires_in.as_ref()).unwrap_or(UNKNOWN_LIFE).min(LONGEST_LIFE));
        Ok(Token {
            authorization: authorization.map_err(|error| format!("its token {error}"))?,
            until: now + life.saturating_sub(MARGIN.min(life / 4)),
        })
    }

    /// Headers and body that ask for a token.
    fn request(&self) -> Result<(HeaderMap, Bytes), String> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(&self.arguments);
        let (id, secret) = (self.client_id.as_deref(), self.client_secret.as_deref().unwrap_or_default());
        if self.auth == ClientAuth::ClientSecretBasic {
            headers.insert(AUTHORIZATION, basic(&escape(id.unwrap_or_default()), &escape(secret))?);
        } else {
            form.extend_pairs(id.map(|id| ("client_id", id)));
        }
        match self.auth {
            ClientAuth::ClientSecretPost => {
                form.append_pair("client_secret", secret);
            }
            ClientAuth::ClientSecretJwt => {
                let assertion = self.assertion(id.unwrap_or_default(), secret);
                form.append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                form.append_pair("client_assertion", &assertion);
            }
            ClientAuth::ClientSecretBasic | ClientAuth::None => {}
        }
        Ok((headers, form.finish().into()))
    }

    /// A JWT that shows that the client knows its secret (RFC 7523, 2.2 and 3).
    fn assertion(&self, id: &str, secret: &str) -> String {
        let (name, algorithm) = match self.algorithm {
            JwtAlgorithm::Hs256 => ("HS256", hmac::HMAC_SHA256),
            JwtAlgorithm::Hs512 => ("HS512", hmac::HMAC_SHA512),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = json!({
            "iss": id,
            "sub": id,
            "aud": self.endpoint,
            "jti": uuid::Uuid::new_v4().to_string(),
            "iat": now,
            "exp": now + ASSERTION_LIFE,
        });
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({"alg": name, "typ": "JWT"})), part(claims));
        let signature = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The value of `Authorization` for a user and a password (RFC 7617).
pub(super) fn basic(user: &str, password: &str) -> Result<HeaderValue, String> {
    header_value(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// As RFC 6749, 2.3.1 wants ids and secrets in `Authorization: Basic`.
fn escape(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn check(oauth: &OAuth2, client: &OAuth2Client) -> Result<(), String> {
    let missing = |field: &Option<String>| field.as_deref().unwrap_or_default().is_empty();
    if client.auth_method != ClientAuth::None {
        for (name, field) in [("client_id", &oauth.client_id), ("client_secret", &oauth.client_secret)] {
            if missing(field) {
                return Err(format!(
                    "authentication.oauth2.{name} is missing; set it, or set authentication.oauth2_client.auth_method \
                     to none"
                ));
            }
        }
    }
    if oauth.grant_type == Grant::Password {
        for (name, field) in [("username", &oauth.username), ("password", &oauth.password)] {
            if missing(field) {
                return Err(format!("authentication.oauth2.{name} is missing; the grant type password needs it"));
            }
        }
    }
    Ok(())
}

/// What is asked for; a name in `token_post_args` stands in place of the same one here.
fn arguments(oauth: &OAuth2) -> Vec<(String, String)> {
    let mut arguments = Vec::new();
    let mut add = |name: &str, value: &str| arguments.push((name.to_owned(), value.to_owned()));
    match oauth.grant_type {
        Grant::ClientCredentials => add("grant_type", "client_credentials"),
        Grant::Password => {
            add("grant_type", "password");
            add("username", oauth.username.as_deref().unwrap_or_default());
            add("password", oauth.password.as_deref().unwrap_or_default());
        }
    }
    // A parameter may stand there once (RFC 6749, 3.2): several values are separated by spaces.
    for (name, values) in [("scope", &oauth.scopes), ("audience", &oauth.audience)] {
        if let Some(values) = values.as_ref().filter(|values| !values.is_empty()) {
            add(name, &values.join(" "));
        }
    }
    for (name, value) in oauth.token_post_args.iter().flatten() {
        arguments.retain(|(other, _)| other != name);
        arguments.push((name.clone(), value.clone()));
    }
    arguments
}

fn headers(configured: Option<&BTreeMap<String, String>>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in configured.into_iter().flatten() {
        let wrong = |what: &str| format!("authentication.oauth2.token_headers: {what} {name:?}");
        let value = header_value(value).map_err(|_| wrong("no header may have the value of"))?;
        headers.insert(HeaderName::try_from(name).map_err(|_| wrong("no header may be called"))?, value);
    }
    Ok(headers)
}

/// `expires_in`, which some servers write as a string.
fn seconds(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|seconds| seconds.max(0.0) as u64)),
        _ => None,
    }
}

/// What an error answer says (RFC 6749, 5.2).
fn refusal(body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let mut text = String::new();
    for name in ["error", "error_description"] {
        if let Some(said) = answer[name].as_str() {
            text.push_str(": ");
            text.push_str(beginning(said, 200));
        }
    }
    text
}
