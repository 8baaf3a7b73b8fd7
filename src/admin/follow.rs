//! Follows what other nodes change in a shared database.
//!
//! A thread is notified of each commit, and asks for the revision every second all the same. If the database is away, the node goes on
//! with what it has, and the thread looks for it again and again, with pauses.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::copy::Copy;
use super::kind::{self, KINDS};
use super::state::{State, tables_of};
use super::store::{self, News, StoreError, Watch};
use super::tables::{Change, Tables};
use crate::api::SharedDatabase;
use crate::log::limit::{Limiter, Policy};

/// How often the revision is asked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// The pauses between attempts to reach a database that is away: the first, and the longest, which the pauses double up to.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Follows a database for a [`State`], as long as that lives.
pub(crate) struct Follower {
    state: Weak<State>,
    shared: Arc<SharedDatabase>,
    watch: Watch,
    copy: Copy,
    pause: Duration,
    failures: Limiter,
    copy_failures: Limiter,
}

impl Follower {
    /// Starts to follow the database that `watch` watches. `copy` gets what is active.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(state: &Arc<State>, shared: Arc<SharedDatabase>, watch: Watch, copy: Copy) -> io::Result<()> {
        let limiter = || Limiter::new(Policy { period: Duration::from_secs(60), ..Policy::ONE });
        let (failures, copy_failures) = (limiter(), limiter());
        let state = Arc::downgrade(state);
        let follower = Self { state, shared, watch, copy, pause: FIRST_PAUSE, failures, copy_failures };
        thread::Builder::new().name("database".to_owned()).spawn(move || follower.run()).map(drop)
    }

    fn run(mut self) {
        while let Some(state) = self.state.upgrade().filter(|state| !state.gateway().is_stopping()) {
            let seen = self.look(&state);
            drop(state);
            match seen {
                Ok(()) => {
                    self.is_back();
                    self.watch.wait(INTERVAL);
                }
                Err(error) => {
                    self.is_away(&error);
                    thread::sleep(self.pause);
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Takes over what has changed, and copies what is active.
    fn look(&mut self, state: &State) -> Result<(), StoreError> {
        let revision = self.watch.revision()?;
        let was_away = self.shared.why_away().is_some();
        if was_away || revision != self.shared.read().revision {
            state.follow()?;
        }
        let (revision, tables) = state.kept();
        // In this order: what is refused is noted before it can be seen.
        if !self.shared.is_refused() {
            self.copy(revision, tables);
        }
        Ok(())
    }

    fn copy(&mut self, revision: u64, tables: Tables) {
        match self.copy.save(revision, tables) {
            Ok(()) => self.shared.copied(revision),
            Err(error) => {
                if let Some(suppressed) = self.copy_failures.admit_message(&error.to_string()) {
                    tracing::warn!(
                        suppressed,
                        "the last good copy of the database is not up to date: {error}; a start without the database would begin \
                         with an older configuration"
                    );
                }
            }
        }
    }

    fn is_back(&mut self) {
        self.pause = FIRST_PAUSE;
        if self.shared.why_away().is_some() {
            self.shared.is_back();
            self.failures.reset();
            let revision = self.shared.read().revision;
            tracing::info!("the database {} can be used: revision {revision}", self.watch.name());
        }
    }

    fn is_away(&mut self, error: &StoreError) {
        let why = error.to_string();
        if let Some(suppressed) = self.failures.admit_message(&why) {
            let active = self.shared.read().active;
            tracing::warn!(
                suppressed,
                "{why}; this node goes on with the configuration of revision {active}, refuses writes to the Admin API, and tries again \
                 at least every {LONGEST_PAUSE:?}"
            );
        }
        self.shared.is_away(why);
    }
}

/// What `news` of a store change in `before`.
pub(super) fn changes(news: News, before: &Tables) -> Vec<Change> {
    match news {
        News::Everything(rows) => differences(before, &tables_of(rows)),
        News::Changes(changes) => changes.into_iter().filter_map(change).collect(),
    }
}

/// A change in a store; none of a kind that this program does not know.
fn change(change: store::Change) -> Option<Change> {
    Some(match change {
        store::Change::Put { kind, id, entity } => {
            Change { kind: kind::find(&kind)?, id, entity: Some(Arc::new(entity)) }
        }
        store::Change::Delete { kind, id } => Change { kind: kind::find(&kind)?, id, entity: None },
    })
}

/// The changes that lead from `before` to `after`.
pub(super) fn differences(before: &Tables, after: &Tables) -> Vec<Change> {
    let mut changes = Vec::new();
    for kind in KINDS.iter() {
        let gone = before.all(kind).filter(|(id, _)| after.get(kind, id).is_none());
        changes.extend(gone.map(|(id, _)| Change { kind, id: id.clone(), entity: None }));
        let new = after
            .all(kind)
            .filter(|(id, entity)| before.get(kind, id).is_none_or(|old| !Arc::ptr_eq(old, entity) && old != *entity));
        changes.extend(new.map(|(id, entity)| Change { kind, id: id.clone(), entity: Some(entity.clone()) }));
    }
    changes
}
