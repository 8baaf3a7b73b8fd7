//! Tokens for OAUTHBEARER, by OAuth 2's client credentials (RFC 6749, section 4.4).
//!
//! A task per client fetches a token, hands it to the client, and fetches the next when 80 % of its life are over.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, Response};
use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode;
use serde::Deserialize;

use super::config::OauthBearer;
use super::producer::Client;
use super::set_token::set_token;
use logphase_net::http::HttpClient;
use logphase_net::tls::TlsConfigs;

/// How long an endpoint may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const ANSWER_BYTES: usize = 256 << 10;
/// The life of a token whose answer does not say it: RFC 6749 leaves it open.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);
/// Pauses after failed attempts: they double from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Fetches tokens from one endpoint.
#[derive(Clone)]
pub struct Tokens {
    bearer: Arc<OauthBearer>,
    http: HttpClient,
}

/// A token and how to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub value: String,
    /// How long it holds.
    pub life: Duration,
}

impl Tokens {
    /// Asks as `bearer` says.
    ///
    /// # Errors
    /// Why the endpoint cannot be asked, or its answer not be used.
    pub fn new(bearer: &OauthBearer, tls: &TlsConfigs) -> Result<Self, String> {
        let url = &bearer.token_endpoint_url;
        let uri: hyper::Uri = url.parse().map_err(|error| format!("token_endpoint_url {url:?}: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(format!("token_endpoint_url {url:?} is no http or https URL"));
        }
        let tls = tls.get(bearer.token_endpoint_tls_verify)?;
        Ok(Self { bearer: Arc::new(bearer.clone()), http: HttpClient::new(&tls, Duration::ZERO, LIMIT) })
    }

    /// Supplies `client` for as long as it is there. Must be called inside a tokio runtime.
    pub fn supply(&self, client: &Arc<Client>) {
        let (tokens, client) = (self.clone(), Arc::downgrade(client));
        tokio::spawn(async move { tokens.keep_supplied(&client).await });
    }

    async fn keep_supplied(&self, client: &Weak<Client>) {
        let mut pause = PAUSES.0;
        loop {
            let fetched = self.fetch().await;
            let Some(client) = client.upgrade() else { return };
            let handed = fetched.and_then(|token| {
                set_token(&client, &token, &self.bearer.client_id, &self.bearer.extensions)?;
                Ok(token)
            });
            let wait = match handed {
                Ok(token) => {
                    pause = PAUSES.0;
                    token.life.mul_f64(0.8).max(PAUSES.0)
                }
                Err(reason) => {
                    client.context().note_trouble(RDKafkaErrorCode::Authentication, &reason);
                    let now = pause;
                    pause = (pause * 2).min(PAUSES.1);
                    now
                }
            };
            drop(client);
            tokio::time::sleep(wait).await;
        }
    }

    /// A new token.
    async fn fetch(&self) -> Result<Token, String> {
        let url = &self.bearer.token_endpoint_url;
        let request = self.request()?;
        let answer = self.http.send(request, LIMIT, ANSWER_BYTES).await;
        let answer = answer.map_err(|error| format!("no token from {url}: {error}"))?;
        read(&answer).map_err(|reason| format!("no token from {url}: {reason}"))
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, String> {
        let url = &self.bearer.token_endpoint_url;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !self.bearer.scopes.is_empty() {
            form.append_pair("scope", &self.bearer.scopes.join(" "));
        }
        Request::post(url.as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, self.authorization())
            .body(Full::new(Bytes::from(form.finish())))
            .map_err(|error| format!("token_endpoint_url {url:?}: {error}"))
    }

    /// Client id and secret as HTTP's Basic, each form-encoded before (RFC 6749, section 2.3.1).
    fn authorization(&self) -> String {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encode(&self.bearer.client_id), encode(&self.bearer.client_secret));
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
    error: Option<String>,
    error_description: Option<String>,
}

/// The token of an endpoint's answer.
fn read(answer: &Response<Bytes>) -> Result<Token, String> {
    let status = answer.status();
    let read = serde_json::from_slice::<Answer>(answer.body());
    let Ok(Answer { access_token, expires_in, error, error_description }) = read else {
        return Err(format!("status {}, and an answer that is no JSON object", status.as_u16()));
    };
    let Some(value) = access_token.filter(|_| status.is_success()) else {
        let said = [error, error_description].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let said = if said.is_empty() { "no access_token in the answer".to_owned() } else { said };
        return Err(format!("status {}, {said}", status.as_u16()));
    };
    // Some endpoints give the number as a string.
    let seconds = expires_in.and_then(|given| given.as_f64().or_else(|| given.as_str()?.parse().ok()));
    let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(DEFAULT_LIFE);
    Ok(Token { value, life })
}

impl Token {
    /// When it ends, in milliseconds since 1970.
    pub fn ends_at(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from((now + self.life.min(Duration::from_secs(1 << 32))).as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// An endpoint that answers one request with `status` and `body`, and gives the request.
    async fn endpoint(status: u16, body: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !String::from_utf8_lossy(&request).contains("grant_type=") {
                let read = stream.read_buf(&mut request).await.expect("read");
                assert!(read > 0, "the request ended early");
            }
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).await.expect("written");
            String::from_utf8(request).expect("text")
        });
        (format!("http://{address}/token"), served)
    }

    fn tokens(url: String) -> Tokens {
        let bearer = OauthBearer {
            token_endpoint_url: url,
            client_id: "my id".into(),
            client_secret: "s:1".into(),
            scopes: vec!["a".into(), "b c".into()],
            extensions: Default::default(),
            token_endpoint_tls_verify: false,
        };
        Tokens::new(&bearer, &TlsConfigs::new(None)).expect("tokens")
    }

    /// Scenario: an endpoint that gives a token for a time.
    /// Guarantees: it is asked as RFC 6749 has it, and token and time are those of the answer.
    #[tokio::test]
    async fn fetches_by_client_credentials() {
        let (url, served) = endpoint(200, r#"{"access_token":"abc","expires_in":"120","token_type":"bearer"}"#).await;
        let token = tokens(url).fetch().await.expect("a token");
        assert_eq!(token, Token { value: "abc".into(), life: Duration::from_secs(120) });
        let request = served.await.expect("served");
        assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
        // my+id:s%3A1
        assert!(request.contains("authorization: Basic bXkraWQ6cyUzQTE=\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\ngrant_type=client_credentials&scope=a+b+c"), "{request}");
    }

    /// Scenario: an endpoint that refuses, one that says nothing, and one that is not there.
    /// Guarantees: the error has the endpoint and the reason it gave.
    #[tokio::test]
    async fn says_why_there_is_no_token() {
        let (url, _served) = endpoint(401, r#"{"error":"invalid_client","error_description":"who?"}"#).await;
        let error = tokens(url.clone()).fetch().await.expect_err("refused");
        assert_eq!(error, format!("no token from {url}: status 401, invalid_client, who?"));
        let (url, _served) = endpoint(200, "hello").await;
        let error = tokens(url.clone()).fetch().await.expect_err("no JSON");
        assert_eq!(error, format!("no token from {url}: status 200, and an answer that is no JSON object"));
        let error = tokens("http://127.0.0.1:1/".into()).fetch().await.expect_err("nobody");
        assert!(error.starts_with("no token from http://127.0.0.1:1/: "), "{error}");
    }
}
