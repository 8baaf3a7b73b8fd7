//! kafka-log's `schema_registry`: messages are validated by a schema of a registry like Confluent's, and sent in its
//! wire format
//! (<https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>).
//!
//! A message that does not fit its schema is refused for good, with the place and the reason. Everything else that can
//! go wrong (no registry, no such subject, a schema that cannot be used, no token) holds the messages back until it is
//! put right: they are not to blame.

mod address;
mod avro;
mod cache;
mod client;
mod config;
mod exchange;
mod json;
#[cfg(test)]
mod tests;
mod token;

use std::time::Duration;

use parking_lot::Mutex;

use bytes::Bytes;
use tokio::time::Instant;

use self::cache::Slot;
use self::client::Client;
pub use self::config::Config;
use self::config::Subject;
use logphase_net::tls::TlsConfigs;

/// A registry and the schemas that a plugin uses of it.
pub struct Registry {
    client: Client,
    ttl: Duration,
    key: Option<Slot>,
    value: Option<Slot>,
    warning: Mutex<Option<String>>,
}

/// A message or key has no encoded form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It does not fit the schema, and never will.
    #[error("{0}")]
    Final(String),
    /// There is no schema to encode it by; later there may be.
    #[error("{0}")]
    Retry(String),
}

impl Registry {
    /// The registry of `config`. Connects to nothing.
    ///
    /// # Errors
    /// What of the configuration is missing or cannot be done, with the name of the field.
    pub fn open(config: &Config, tls: &TlsConfigs) -> Result<Self, String> {
        let slot = |named: Option<&_>, field| named.map(|named| Subject::read(named, field).map(Slot::new)).transpose();
        let (key, value) =
            (slot(config.key_schema.as_ref(), "key_schema")?, slot(config.value_schema.as_ref(), "value_schema")?);
        if key.is_none() && value.is_none() {
            let advice = "name a subject in value_schema or key_schema, or remove schema_registry";
            return Err(format!("schema_registry.confluent has no schema to use; {advice}"));
        }
        let client = Client::open(config, tls)?;
        Ok(Self { client, ttl: config.ttl(), key, value, warning: Mutex::default() })
    }

    /// The value of the record for a message; the message itself if no schema is configured for values.
    pub async fn encode(&self, entry: &Bytes) -> Result<Bytes, EncodeError> {
        self.encode_at(entry, Instant::now()).await
    }

    /// The record's key; the key itself if no schema is configured for keys.
    ///
    /// A key is text, so that the schema should be one of a string; if the text is a JSON number or boolean and the
    /// schema takes that, it is.
    pub async fn encode_key(&self, key: &str) -> Result<Bytes, EncodeError> {
        self.encode_key_at(key, Instant::now()).await
    }

    /// What the operator should know though nothing failed, once.
    pub fn take_warning(&self) -> Option<String> {
        self.warning.lock().take()
    }

    async fn encode_at(&self, entry: &Bytes, now: Instant) -> Result<Bytes, EncodeError> {
        let Some(slot) = &self.value else { return Ok(entry.clone()) };
        let schema = self.schema(slot, now).await?;
        let misfit = |reason| EncodeError::Final(format!("the message does not fit {}: {reason}", slot.subject()));
        schema.encode(entry).map_err(misfit)
    }

    async fn encode_key_at(&self, key: &str, now: Instant) -> Result<Bytes, EncodeError> {
        let Some(slot) = &self.key else { return Ok(Bytes::copy_from_slice(key.as_bytes())) };
        let schema = self.schema(slot, now).await?;
        let as_text = schema.encode(serde_json::Value::from(key).to_string().as_bytes());
        let Err(reason) = as_text else { return as_text.map_err(EncodeError::Final) };
        if let Ok(serde_json::Value::Number(_) | serde_json::Value::Bool(_)) = serde_json::from_str(key)
            && let Ok(encoded) = schema.encode(key.as_bytes())
        {
            return Ok(encoded);
        }
        Err(EncodeError::Final(format!("the record's key does not fit {}: {reason}", slot.subject())))
    }

    async fn schema(&self, slot: &Slot, now: Instant) -> Result<std::sync::Arc<cache::Schema>, EncodeError> {
        let kept = slot.schema(&self.client, self.ttl, now).await.map_err(EncodeError::Retry)?;
        if kept.warning.is_some() {
            *self.warning.lock() = kept.warning;
        }
        Ok(kept.schema)
    }
}
