//! The request for a token.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::settings::{AuthMethod, Grant, JwtAlgorithm, Settings};
use crate::config_error::ConfigError;
use crate::http::header::{basic, sensitive};

/// Seconds for which a client assertion is valid.
const ASSERTION_LIFETIME: u64 = 60;

/// Builds the requests of one client.
pub(super) struct TokenRequest {
    endpoint: String,
    auth_method: AuthMethod,
    jwt_algorithm: JwtAlgorithm,
    client_id: Option<String>,
    client_secret: String,
    parameters: Vec<(String, String)>,
    headers: HeaderMap,
}

impl TokenRequest {
    pub(super) fn new(settings: Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            parameters: parameters(&settings),
            headers: headers(&settings.token_headers)?,
            endpoint: settings.token_endpoint,
            auth_method: settings.auth_method,
            jwt_algorithm: settings.jwt_algorithm,
            client_id: settings.client_id,
            client_secret: settings.client_secret.unwrap_or_default(),
        })
    }

    /// Headers and body of a request. Each call signs a new client assertion.
    pub(super) fn build(&self) -> (HeaderMap, Bytes) {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(&self.parameters);
        let id = self.client_id.as_deref();
        if self.auth_method == AuthMethod::ClientSecretBasic {
            let credentials = basic(&form_encode(id.unwrap_or_default()), &form_encode(&self.client_secret));
            headers.insert(AUTHORIZATION, credentials);
        } else {
            form.extend_pairs(id.map(|id| ("client_id", id)));
        }
        match self.auth_method {
            AuthMethod::ClientSecretPost => {
                form.append_pair("client_secret", &self.client_secret);
            }
            AuthMethod::ClientSecretJwt => {
                form.append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                form.append_pair("client_assertion", &self.assertion(id.unwrap_or_default()));
            }
            AuthMethod::ClientSecretBasic | AuthMethod::None => {}
        }
        (headers, form.finish().into())
    }

    /// A JWT that proves that the client has its secret (RFC 7523, sections 2.2 and 3).
    fn assertion(&self, id: &str) -> String {
        let (name, algorithm) = match self.jwt_algorithm {
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
            "exp": now + ASSERTION_LIFETIME,
        });
        let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(json!({"alg": name, "typ": "JWT"})), encode(claims));
        let key = hmac::Key::new(algorithm, self.client_secret.as_bytes());
        let signature = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Ids and secrets are form-encoded before they become HTTP Basic credentials (RFC 6749, section 2.3.1).
fn form_encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The parameters of the request, without those that authenticate the client.
fn parameters(settings: &Settings) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut add = |name: &str, value: &str| parameters.push((name.to_owned(), value.to_owned()));
    match &settings.grant {
        Grant::ClientCredentials => add("grant_type", "client_credentials"),
        Grant::Password { username, password } => {
            add("grant_type", "password");
            add("username", username);
            add("password", password);
        }
    }
    // A parameter may occur once (RFC 6749, section 3.2); several values are separated by spaces.
    for (name, values) in [("scope", &settings.scopes), ("audience", &settings.audience)] {
        if !values.is_empty() {
            add(name, &values.join(" "));
        }
    }
    for (name, value) in &settings.token_post_args {
        parameters.retain(|(other, _)| other != name);
        parameters.push((name.clone(), value.clone()));
    }
    parameters
}

fn headers(configured: &BTreeMap<String, String>) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    for (name, value) in configured {
        let refused = |problem: String| ConfigError::new("token_headers", problem);
        let value = sensitive(value).map_err(|error| refused(format!("the value of {name:?} {error}")))?;
        let name = HeaderName::try_from(name).map_err(|_| refused(format!("{name:?} is not a header name")))?;
        headers.insert(name, value);
    }
    Ok(headers)
}
