//! Access tokens for the SASL mechanism OAUTHBEARER (RFC 7628), by OAuth 2 client credentials.
//!
//! One task per client fetches a token, hands it to the client, and fetches the next one after 80 % of its lifetime, as
//! librdkafka does with its own token refresh.

mod set_token;

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use logphase_net::ConfigError;
use logphase_net::oauth::{self, AccessToken, AuthMethod, TokenError, TransportSettings};
use logphase_net::tls::TlsConfigs;
use rdkafka::client::{Client, ClientContext};

use super::config::OauthBearer;
pub use set_token::SetTokenError;
pub(crate) use set_token::set_token;

/// The lifetime of a token whose response does not give one.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
/// The share of its lifetime after which a token is replaced.
const REFRESH_AFTER: f64 = 0.8;
/// The first pause after a failure. Each one is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause after a failure.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// A token with all that the brokers are told.
pub struct Token<'a> {
    value: &'a str,
    expiry_ms: i64,
    config: &'a OauthBearer,
}

impl Token<'_> {
    /// Gives the token to a client of librdkafka.
    ///
    /// # Errors
    /// librdkafka refuses the token or an extension.
    pub fn hand_to<C: ClientContext>(&self, client: &Client<C>) -> Result<(), SetTokenError> {
        let Self { value, expiry_ms, config } = self;
        set_token(client, value, *expiry_ms, &config.client_id, &config.extensions)
    }
}

/// A client that logs in with tokens.
pub trait TokenClient: Send + Sync + 'static {
    /// Takes a token.
    ///
    /// # Errors
    /// The client refuses it.
    fn set_token(&self, token: &Token<'_>) -> Result<(), SetTokenError>;

    /// There is no new token, for this reason.
    fn token_failed(&self, reason: &str);
}

/// Supplies Kafka clients with tokens from one endpoint. Cheap to clone.
#[derive(Clone)]
pub struct TokenSupplier {
    inner: Arc<Inner>,
}

struct Inner {
    config: OauthBearer,
    oauth: oauth::Client,
}

/// A client has no new token.
#[derive(Debug, thiserror::Error)]
enum SupplyError {
    #[error(transparent)]
    Fetch(#[from] TokenError),
    #[error(transparent)]
    Set(#[from] SetTokenError),
}

impl TokenSupplier {
    /// A supplier for `config`. Does not connect.
    ///
    /// # Errors
    /// The endpoint cannot be used. The error has the path of the field below the plugin's `config`.
    pub fn new(config: &OauthBearer, tls: &TlsConfigs) -> Result<Self, ConfigError> {
        const PARENT: &str = "authentication.oauthbearer";
        let tls = tls.get(config.token_endpoint_tls_verify);
        let tls = tls.map_err(|error| ConfigError::new("token_endpoint_tls_verify", error).within(PARENT))?;
        let settings = oauth::Settings {
            token_endpoint: config.token_endpoint_url.clone(),
            auth_method: AuthMethod::ClientSecretBasic,
            client_id: Some(config.client_id.clone()),
            client_secret: Some(config.client_secret.clone()),
            scopes: config.scopes.clone(),
            // Tokens are fetched minutes apart.
            transport: TransportSettings { keep_alive: false, ..TransportSettings::default() },
            ..oauth::Settings::default()
        };
        let field = |field: &str| match field {
            "token_endpoint" => "token_endpoint_url".to_owned(),
            other => other.to_owned(),
        };
        let oauth = oauth::Client::new(settings, tls).map_err(|error| error.map_field(field).within(PARENT))?;
        Ok(Self { inner: Arc::new(Inner { config: config.clone(), oauth }) })
    }

    /// Starts a task that supplies `client` until it is dropped. Must be called inside a tokio runtime.
    pub fn supply(&self, client: &Arc<impl TokenClient>) {
        let (supplier, client) = (self.clone(), Arc::downgrade(client));
        tokio::spawn(async move { supplier.keep_supplied(&client).await });
    }

    async fn keep_supplied(&self, client: &Weak<impl TokenClient>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let fetched = self.inner.oauth.fetch().await;
            let Some(client) = client.upgrade() else { return };
            let wait = match self.hand_over(&*client, fetched) {
                Ok(lifetime) => {
                    pause = FIRST_PAUSE;
                    lifetime.mul_f64(REFRESH_AFTER).max(FIRST_PAUSE)
                }
                Err(error) => {
                    client.token_failed(&error.to_string());
                    let current = pause;
                    pause = (pause * 2).min(MAX_PAUSE);
                    current
                }
            };
            drop(client);
            tokio::time::sleep(wait).await;
        }
    }

    /// Hands a token to `client` and returns its lifetime.
    fn hand_over(
        &self,
        client: &impl TokenClient,
        fetched: Result<AccessToken, TokenError>,
    ) -> Result<Duration, SupplyError> {
        let token = fetched?;
        let lifetime = token.lifetime.unwrap_or(DEFAULT_LIFETIME);
        let config = &self.inner.config;
        client.set_token(&Token { value: &token.value, expiry_ms: expiry_ms(lifetime), config })?;
        Ok(lifetime)
    }
}

/// The end of a lifetime that begins now, in milliseconds since 1970.
fn expiry_ms(lifetime: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.saturating_add(lifetime).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use logphase_net::testing::{MockServer, ok};
    use serde_json::json;

    use super::*;

    fn supplier(url: String) -> Result<TokenSupplier, ConfigError> {
        let config = OauthBearer {
            token_endpoint_url: url,
            client_id: "my id".into(),
            client_secret: "s:1".into(),
            scopes: vec!["a".into(), "b c".into()],
            extensions: Default::default(),
            token_endpoint_tls_verify: false,
        };
        TokenSupplier::new(&config, &TlsConfigs::new(None))
    }

    /// Scenario: an endpoint that issues a token for a time.
    /// Guarantees: the request is the one of RFC 6749; token and lifetime are those of the response.
    #[tokio::test]
    async fn fetches_by_client_credentials() {
        let issuer =
            MockServer::start(|_| ok(json!({"access_token": "abc", "expires_in": "120", "token_type": "bearer"})))
                .await;
        let supplier = supplier(issuer.url("/token")).expect("usable");
        let token = supplier.inner.oauth.fetch().await.expect("a token");
        assert_eq!((&*token.value, token.lifetime), ("abc", Some(Duration::from_secs(120))));
        let request = &issuer.requests()[0];
        assert_eq!(request.line, "POST /token HTTP/1.1");
        // my+id:s%3A1
        assert_eq!(request.header("authorization"), Some("Basic bXkraWQ6cyUzQTE="));
        assert_eq!(request.body, "grant_type=client_credentials&scope=a+b+c");
    }

    /// Scenario: URLs that are no token endpoints. Guarantees: each is refused with the path of its field.
    #[test]
    fn refuses_other_urls() {
        for (url, problem) in [("ftp://id/token", "must begin with http"), ("http://u@id/", "contains a user")] {
            let error = supplier(url.to_owned()).err().expect("refused").to_string();
            let expected = format!("authentication.oauthbearer.token_endpoint_url: {problem}");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
