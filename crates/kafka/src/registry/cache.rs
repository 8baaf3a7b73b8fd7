//! The schema of a subject: fetched when first needed, kept for a time, and longer while the registry is away.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::avro::Avro;
use super::client::{Client, FetchError, Found};
use super::config::{Subject, Version};
use super::json::JsonSchema;

/// The first pause after a failure; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A schema that is ready for use.
#[derive(Debug)]
pub(super) struct Schema {
    found: Found,
    codec: Codec,
}

#[derive(Debug)]
enum Codec {
    Avro(Avro),
    Json(JsonSchema),
}

impl Schema {
    fn compile(subject: &Subject, found: Found) -> Result<Self, FetchError> {
        let codec = match found.kind.as_str() {
            "AVRO" => {
                let mut others: Vec<String> = found.references.iter().map(|(_, text)| text.clone()).collect();
                others.sort();
                others.dedup();
                Avro::parse(&found.text, &others).map(Codec::Avro)
            }
            "JSON" => JsonSchema::compile(&found.text, &found.references).map(Codec::Json),
            kind => Err(format!("it is of the type {kind}; only AVRO and JSON are supported")),
        };
        let unusable =
            |error| FetchError::new(format!("the schema of {subject} (id {}) cannot be used: {error}", found.id));
        Ok(Self { codec: codec.map_err(unusable)?, found })
    }

    /// `json` in Confluent's wire format: a zero, the schema's id in four bytes, and the value; or why it does not fit.
    pub(super) fn encode(&self, json: &[u8]) -> Result<Bytes, String> {
        let mut out = BytesMut::with_capacity(json.len() + 5);
        out.put_u8(0);
        out.put_u32(self.found.id);
        match &self.codec {
            Codec::Avro(avro) => {
                let mut out: Vec<u8> = out.into();
                avro.encode(json, &mut out).map_err(|mismatch| mismatch.to_string())?;
                return Ok(out.into());
            }
            Codec::Json(schema) => schema.validate(json)?,
        }
        out.put_slice(json);
        Ok(out.freeze())
    }

    /// The id by which consumers ask for it.
    pub(super) fn id(&self) -> u32 {
        self.found.id
    }
}

/// The place of one subject's schema.
pub(super) struct Slot {
    subject: Subject,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    schema: Option<Arc<Schema>>,
    fresh_until: Option<Instant>,
    failure: Option<Failure>,
}

struct Failure {
    message: String,
    pause: Duration,
    until: Instant,
}

/// A schema, and what the operator should know of it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) schema: Arc<Schema>,
    pub(super) warning: Option<String>,
}

impl Slot {
    pub(super) fn new(subject: Subject) -> Self {
        Self { subject, state: Mutex::default() }
    }

    /// What the schema is of.
    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The schema, asked for if it is older than `ttl`. If there is no answer, the one from before is used on; the
    /// error is that there is none. After a failure the registry is left alone for a while.
    pub(super) async fn schema(&self, client: &Client, ttl: Duration, now: Instant) -> Result<Kept, String> {
        let mut state = self.state.lock().await;
        let quiet = |schema: &Arc<Schema>| Ok(Kept { schema: schema.clone(), warning: None });
        let fresh = state.fresh_until.is_some_and(|until| now < until);
        if let Some(schema) = state.schema.as_ref().filter(|_| fresh) {
            return quiet(schema);
        }
        if let Some(failure) = state.failure.as_ref().filter(|failure| now < failure.until) {
            return state.schema.as_ref().map_or_else(|| Err(failure.message.clone()), quiet);
        }
        match self.load(client, state.schema.as_ref(), now).await {
            Ok(schema) => {
                *state = State { schema: Some(schema.clone()), fresh_until: Some(now + ttl), failure: None };
                quiet(&schema)
            }
            Err(error) => self.failed(&mut state, error, now),
        }
    }

    async fn load(&self, client: &Client, old: Option<&Arc<Schema>>, now: Instant) -> Result<Arc<Schema>, FetchError> {
        let found = client.fetch(&self.subject, now).await?;
        if let Some(old) = old.filter(|old| old.found == found) {
            return Ok(old.clone());
        }
        Schema::compile(&self.subject, found).map(Arc::new)
    }

    fn failed(&self, state: &mut State, error: FetchError, now: Instant) -> Result<Kept, String> {
        let pause = state.failure.as_ref().map_or(FIRST_PAUSE, |failure| (failure.pause * 2).min(LONGEST_PAUSE));
        let wait = error.retry_after.map_or(pause, |asked| pause.max(asked.min(LONGEST_PAUSE)));
        let first = state.failure.is_none();
        let message = error.message;
        state.failure = Some(Failure { message: message.clone(), pause, until: now + wait });
        let Some(schema) = state.schema.clone() else { return Err(message) };
        // A fixed version cannot have changed.
        let changed = first && self.subject.version == Version::Latest;
        let warning = changed.then(|| {
            let id = schema.id();
            format!("{message}; {} may have changed, the schema with id {id} is used on", self.subject)
        });
        Ok(Kept { schema, warning })
    }
}
