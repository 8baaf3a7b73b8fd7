//! Schemas of a registry: kafka-log's `schema_registry`. Messages are validated by a schema of a registry with
//! Confluent's API and sent in its wire format
//! (<https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>).
//!
//! A message that does not match its schema is rejected, with the place and the reason. Every other failure (no
//! registry, no such subject, an unusable schema, no token) holds the messages back until it is corrected, because they
//! are not its cause.
//!
//! - `client`: the REST API and its authentication.
//! - `subject`: the cached schema of one subject.
//! - `schema`: a compiled schema and the wire format, with `avro` and `json` for the two types of schemas.

mod avro;
mod client;
mod config;
mod json;
mod schema;
mod subject;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use logphase_net::ConfigError;
use logphase_net::tls::TlsConfigs;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::client::Client;
pub use self::config::Config;
use self::config::Subject;
use self::schema::Schema;
use self::subject::SubjectSchema;

/// The path of the registry's fields below the plugin's `config`.
const PARENT: &str = "schema_registry.confluent";

/// A registry and the schemas of it that a plugin uses.
pub struct Registry {
    client: Client,
    ttl: Duration,
    key: Option<SubjectSchema>,
    value: Option<SubjectSchema>,
    warning: Mutex<Option<String>>,
}

/// A message or key cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It does not match the schema, and never will.
    #[error("{0}")]
    Final(String),
    /// There is no schema to encode it by. Later there may be one.
    #[error("{0}")]
    Retry(String),
}

impl Registry {
    /// The registry of `config`. Does not connect.
    ///
    /// # Errors
    /// A field is missing or cannot be used. The error has its path below the plugin's `config`.
    pub fn open(config: &Config, tls: &TlsConfigs) -> Result<Self, ConfigError> {
        Self::new(config, tls).map_err(|error| error.within(PARENT))
    }

    fn new(config: &Config, tls: &TlsConfigs) -> Result<Self, ConfigError> {
        let subject = |config: Option<&_>, field| {
            config.map(|config| Subject::new(config, field).map(SubjectSchema::new)).transpose()
        };
        let key = subject(config.key_schema.as_ref(), "key_schema")?;
        let value = subject(config.value_schema.as_ref(), "value_schema")?;
        if key.is_none() && value.is_none() {
            let error = ConfigError::new("", "no schema to use");
            return Err(error.with_help("name a subject in value_schema or key_schema, or remove schema_registry"));
        }
        let client = Client::new(config, tls)?;
        Ok(Self { client, ttl: config.ttl(), key, value, warning: Mutex::default() })
    }

    /// The value of a record for a message: the message itself if no schema is configured for values.
    ///
    /// # Errors
    /// The message does not match the schema, or there is no schema now.
    pub async fn encode(&self, message: &Bytes) -> Result<Bytes, EncodeError> {
        self.encode_at(message, Instant::now()).await
    }

    /// A record's key: the key itself if no schema is configured for keys.
    ///
    /// A key is text, so that its schema should be one of a string. If the text is a JSON number or boolean, a schema of
    /// that type accepts it too.
    ///
    /// # Errors
    /// The key does not match the schema, or there is no schema now.
    pub async fn encode_key(&self, key: &str) -> Result<Bytes, EncodeError> {
        self.encode_key_at(key, Instant::now()).await
    }

    /// Takes the last problem that the operator should know of though no message failed.
    pub fn take_warning(&self) -> Option<String> {
        self.warning.lock().take()
    }

    async fn encode_at(&self, message: &Bytes, now: Instant) -> Result<Bytes, EncodeError> {
        let Some(value) = &self.value else { return Ok(message.clone()) };
        let schema = self.schema(value, now).await?;
        schema
            .encode(message)
            .map_err(|mismatch| EncodeError::Final(format!("the message does not fit {}: {mismatch}", value.subject())))
    }

    async fn encode_key_at(&self, key: &str, now: Instant) -> Result<Bytes, EncodeError> {
        let Some(subject) = &self.key else { return Ok(Bytes::copy_from_slice(key.as_bytes())) };
        let schema = self.schema(subject, now).await?;
        let mismatch = match schema.encode(serde_json::Value::from(key).to_string().as_bytes()) {
            Ok(encoded) => return Ok(encoded),
            Err(mismatch) => mismatch,
        };
        if let Ok(serde_json::Value::Number(_) | serde_json::Value::Bool(_)) = serde_json::from_str(key)
            && let Ok(encoded) = schema.encode(key.as_bytes())
        {
            return Ok(encoded);
        }
        Err(EncodeError::Final(format!("the record's key does not fit {}: {mismatch}", subject.subject())))
    }

    async fn schema(&self, subject: &SubjectSchema, now: Instant) -> Result<Arc<Schema>, EncodeError> {
        let current = subject.get(&self.client, self.ttl, now).await;
        let current = current.map_err(|error| EncodeError::Retry(error.to_string()))?;
        if current.warning.is_some() {
            *self.warning.lock() = current.warning;
        }
        Ok(current.schema)
    }
}
