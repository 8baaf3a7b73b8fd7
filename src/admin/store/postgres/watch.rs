//! Learns of the changes that other nodes make.

use std::time::Duration;

use super::session::Session;
use super::{CHANNEL, state};
use crate::admin::store::StoreError;
use crate::options::postgres::PostgresUrl;

/// How long the server may take to say the revision.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection of its own that is notified of commits.
pub(crate) struct Watch {
    url: PostgresUrl,
    session: Option<Session>,
}

impl Watch {
    pub(super) fn new(url: &PostgresUrl) -> Self {
        Self { url: url.clone(), session: None }
    }

    /// The database, for people.
    pub(crate) fn name(&self) -> String {
        self.url.to_string()
    }

    /// The revision of the database now. Connects, if need be.
    ///
    /// # Errors
    /// The database is away, or has another format. The next call connects anew.
    pub(crate) fn revision(&mut self) -> Result<u64, StoreError> {
        let had_session = self.session.is_some();
        match self.ask() {
            // The connection may have ended alone.
            Err(_) if had_session => self.ask(),
            asked => asked,
        }
    }

    fn ask(&mut self) -> Result<u64, StoreError> {
        let explain = |failure: super::Failure| failure.into_store(&self.url);
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.url, &format!("LISTEN {CHANNEL}")).map_err(explain)?,
        };
        let state = session.run_within(PATIENCE, state(session.client())).map_err(explain)?;
        self.session = Some(session);
        Ok(state.head.revision)
    }

    /// Waits until there is a commit, `time` at most. The end of the connection ends it, too.
    pub(crate) fn wait(&mut self, time: Duration) {
        match &mut self.session {
            Some(session) => session.wait(time),
            None => std::thread::sleep(time),
        }
    }
}
