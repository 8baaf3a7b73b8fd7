//! The schema of a subject: fetched when it is first needed, cached for a time, and for longer while the registry
//! cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::{Client, FetchError};
use super::config::{Subject, Version};
use super::schema::Schema;

/// The first pause after a failure. Each one is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between attempts.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The cached schema of one subject.
pub(super) struct SubjectSchema {
    subject: Subject,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    schema: Option<Arc<Schema>>,
    fresh_until: Option<Instant>,
    failure: Option<Failure>,
}

/// The last attempt to fetch the schema failed.
struct Failure {
    error: FetchError,
    pause: Duration,
    retry_at: Instant,
}

/// A schema to encode by.
#[derive(Debug)]
pub(super) struct CurrentSchema {
    pub(super) schema: Arc<Schema>,
    /// A problem that the operator should know of, though the schema can be used.
    pub(super) warning: Option<String>,
}

impl SubjectSchema {
    pub(super) fn new(subject: Subject) -> Self {
        Self { subject, state: Mutex::default() }
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The schema, fetched if the cached one is older than `ttl`. If that fails, the cached one stays in use. After a
    /// failure nothing is fetched for a while.
    ///
    /// # Errors
    /// No schema is cached, and it cannot be fetched.
    pub(super) async fn get(&self, client: &Client, ttl: Duration, now: Instant) -> Result<CurrentSchema, FetchError> {
        let mut state = self.state.lock().await;
        let cached = |schema: &Arc<Schema>| Ok(CurrentSchema { schema: schema.clone(), warning: None });
        let fresh = state.fresh_until.is_some_and(|until| now < until);
        if let Some(schema) = state.schema.as_ref().filter(|_| fresh) {
            return cached(schema);
        }
        if let Some(failure) = state.failure.as_ref().filter(|failure| now < failure.retry_at) {
            return state.schema.as_ref().map_or_else(|| Err(failure.error.clone()), cached);
        }
        match self.load(client, state.schema.as_ref(), now).await {
            Ok(schema) => {
                *state = State { schema: Some(schema.clone()), fresh_until: Some(now + ttl), failure: None };
                cached(&schema)
            }
            Err(error) => self.fail(&mut state, error, now),
        }
    }

    async fn load(&self, client: &Client, old: Option<&Arc<Schema>>, now: Instant) -> Result<Arc<Schema>, FetchError> {
        let registered = client.fetch(&self.subject, now).await?;
        if let Some(old) = old.filter(|old| *old.registered() == registered) {
            return Ok(old.clone());
        }
        let id = registered.id;
        let schema = Schema::compile(registered).map_err(|error| {
            FetchError::new(format!("the schema of {} (id {id}) cannot be used: {error}", self.subject))
        })?;
        Ok(Arc::new(schema))
    }

    fn fail(&self, state: &mut State, error: FetchError, now: Instant) -> Result<CurrentSchema, FetchError> {
        let pause = state.failure.as_ref().map_or(FIRST_PAUSE, |failure| (failure.pause * 2).min(MAX_PAUSE));
        let wait = error.retry_after.map_or(pause, |requested| pause.max(requested.min(MAX_PAUSE)));
        let is_first = state.failure.is_none();
        state.failure = Some(Failure { error: error.clone(), pause, retry_at: now + wait });
        let Some(schema) = state.schema.clone() else { return Err(error) };
        // A fixed version cannot have changed.
        let may_have_changed = is_first && self.subject.version == Version::Latest;
        let warning = may_have_changed.then(|| {
            let id = schema.registered().id;
            format!("{error}; {} may have changed, the schema with id {id} stays in use", self.subject)
        });
        Ok(CurrentSchema { schema, warning })
    }
}
