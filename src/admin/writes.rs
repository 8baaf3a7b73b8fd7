//! Writes that come at the same time are made together: checking and storing a hundred costs little more than one.
//!
//! A write plans its changes on the entities as they will be after the writes before it. The first that gets the store makes the changes of
//! all that have planned until then, as one. If that fails, and there are several, each of them is made alone.
//!
//! If another node has changed the database since, its changes are taken over, and the writes are planned again.

use std::sync::Arc;
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::error::{ApiError, ApiResult};
use super::follow;
use super::store::{Store, StoreError};
use super::tables::{Change, Tables};

/// How often writes are planned together, while other nodes keep changing the database. After that they are made alone, and other nodes
/// have to wait.
const TOGETHER: usize = 2;

/// How often a write is planned alone: the second time, other nodes wait, unless the connection breaks.
const ALONE: usize = 3;

/// The writes of a database.
pub(super) struct Writes {
    /// Taken before [`Self::planning`].
    store: Mutex<Kept>,
    planning: Mutex<Planning>,
}

/// What is kept.
struct Kept {
    store: Store,
    /// The entities in the store.
    tables: Tables,
}

/// The writes that are planned and not made.
struct Planning {
    /// The entities after them.
    tables: Tables,
    changes: Vec<Change>,
    count: usize,
    /// What becomes of them.
    outcome: Arc<OnceLock<Outcome>>,
}

/// What became of writes.
enum Outcome {
    Made,
    Refused(ApiError),
    /// They were not made together: each has to be made alone.
    Alone,
    /// They were planned on entities that another node has changed since.
    Outdated,
}

/// Why changes were not made.
#[derive(Debug)]
pub(super) enum NotMade {
    Refused(ApiError),
    /// Another node has changed the database since they were planned.
    Outdated,
}

impl From<ApiError> for NotMade {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

/// Plans a write on entities: its result, and its changes.
type Plan<'a, T> = &'a dyn Fn(&Tables) -> ApiResult<(T, Vec<Change>)>;

/// Makes changes, which lead to the given entities.
type Make<'a> = &'a dyn Fn(&mut Store, &Tables, &[Change]) -> Result<(), NotMade>;

/// Takes over the changes of other nodes, which lead to the given entities and this revision.
type TakeOver<'a> = &'a dyn Fn(&Tables, &[Change], u64);

/// The result of a write, and each change with what was there before.
type Made<T> = (T, Vec<(Change, Change)>);

impl Writes {
    /// For a store with these entities.
    pub(super) fn new(store: Store, tables: Tables) -> Self {
        let planning = Planning::after(tables.clone());
        Self { store: Mutex::new(Kept { store, tables }), planning: Mutex::new(planning) }
    }

    /// Makes a write, with others or alone.
    ///
    /// # Errors
    /// Of `plan` or of `make`; then nothing is changed.
    pub(super) fn write<T>(&self, plan: Plan<'_, T>, make: Make<'_>, take_over: TakeOver<'_>) -> ApiResult<Made<T>> {
        for _ in 0..TOGETHER {
            let (made, outcome) = {
                let mut planning = self.planning.lock();
                let (result, changes) = plan(&planning.tables)?;
                let made = (result, with_before(&planning.tables, &changes));
                if changes.is_empty() {
                    return Ok(made);
                }
                planning.add(changes);
                (made, planning.outcome.clone())
            };
            let mut kept = self.store.lock();
            if outcome.get().is_none() {
                self.make_all(&mut kept, make, take_over);
            }
            match outcome.get() {
                Some(Outcome::Made) => return Ok(made),
                Some(Outcome::Refused(error)) => return Err(error.clone()),
                Some(Outcome::Alone) | None => break,
                Some(Outcome::Outdated) => {}
            }
        }
        let mut kept = self.store.lock();
        let made = self.make_alone(&mut kept, plan, make, take_over);
        kept.store.release();
        made
    }

    /// Takes over what other nodes have changed. Returns whether they have.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn follow(&self, take_over: TakeOver<'_>) -> Result<bool, StoreError> {
        self.catch_up(&mut self.store.lock(), false, take_over)
    }

    /// The entities in the store, as far as this process knows them, and their revision.
    pub(super) fn kept(&self) -> (u64, Tables) {
        let kept = self.store.lock();
        (kept.store.revision(), kept.tables.clone())
    }

    /// Makes all planned writes together.
    fn make_all(&self, kept: &mut Kept, make: Make<'_>, take_over: TakeOver<'_>) {
        let batch = {
            let mut planning = self.planning.lock();
            let next = Planning::after(planning.tables.clone());
            std::mem::replace(&mut *planning, next)
        };
        let outcome = match make(&mut kept.store, &batch.tables, &batch.changes) {
            Ok(()) => {
                kept.tables = batch.tables;
                Outcome::Made
            }
            Err(NotMade::Refused(error)) => {
                self.forget_planned(kept, Outcome::Alone);
                if batch.count == 1 { Outcome::Refused(error) } else { Outcome::Alone }
            }
            Err(NotMade::Outdated) => {
                self.forget_planned(kept, Outcome::Outdated);
                match self.catch_up(kept, false, take_over) {
                    Ok(_) => Outcome::Outdated,
                    Err(error) => Outcome::Refused(ApiError::of_store(&error)),
                }
            }
        };
        let _ = batch.outcome.set(outcome);
    }

    /// Makes one write, while no other is planned.
    fn make_alone<T>(
        &self,
        kept: &mut Kept,
        plan: Plan<'_, T>,
        make: Make<'_>,
        take_over: TakeOver<'_>,
    ) -> ApiResult<Made<T>> {
        for _ in 0..ALONE {
            self.forget_planned(kept, Outcome::Alone);
            let mut planning = self.planning.lock();
            let (result, changes) = plan(&kept.tables)?;
            let made = (result, with_before(&kept.tables, &changes));
            let done = if changes.is_empty() {
                Ok(())
            } else {
                let mut after = kept.tables.clone();
                after.apply(&changes);
                make(&mut kept.store, &after, &changes).map(|()| kept.tables = after)
            };
            match done {
                Ok(()) => {
                    // Writes that were planned on what was there before the lock.
                    let outdated = std::mem::replace(&mut *planning, Planning::after(kept.tables.clone()));
                    let _ = outdated.outcome.set(Outcome::Alone);
                    return Ok(made);
                }
                Err(NotMade::Refused(error)) => return Err(error),
                Err(NotMade::Outdated) => {
                    drop(planning);
                    self.catch_up(kept, true, take_over).map_err(|error| ApiError::of_store(&error))?;
                }
            }
        }
        Err(ApiError::unavailable("the connection to the database breaks again and again; try again later"))
    }

    /// Takes over what other nodes have changed; with `hold`, they then wait. Returns whether they have.
    fn catch_up(&self, kept: &mut Kept, hold: bool, take_over: TakeOver<'_>) -> Result<bool, StoreError> {
        let Some(news) = kept.store.news(hold)? else { return Ok(false) };
        let changes = follow::changes(news, &kept.tables);
        let mut after = kept.tables.clone();
        after.apply(&changes);
        take_over(&after, &changes, kept.store.revision());
        kept.tables = after;
        self.forget_planned(kept, Outcome::Outdated);
        Ok(true)
    }

    /// Has all planned writes be made in another way: they were planned on entities that will not be.
    fn forget_planned(&self, kept: &Kept, outcome: Outcome) {
        let mut planning = self.planning.lock();
        let planned = std::mem::replace(&mut *planning, Planning::after(kept.tables.clone()));
        let _ = planned.outcome.set(outcome);
    }
}

impl Planning {
    /// No writes, on `tables`.
    fn after(tables: Tables) -> Self {
        Self { tables, changes: Vec::new(), count: 0, outcome: Arc::default() }
    }

    fn add(&mut self, changes: Vec<Change>) {
        self.tables.apply(&changes);
        self.changes.extend(changes);
        self.count += 1;
    }
}

/// Each change with what was there before.
pub(super) fn with_before(tables: &Tables, changes: &[Change]) -> Vec<(Change, Change)> {
    let pair = |change: &Change| {
        let before = tables.get(change.kind, &change.id).cloned();
        (Change { entity: before, ..change.clone() }, change.clone())
    };
    changes.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::admin::kind;

    fn put(name: &str) -> Change {
        let entity: Map<String, Value> = json!({"id": name, "username": name}).as_object().unwrap().clone();
        let kind = kind::find("consumers").unwrap();
        Change { kind, id: name.to_owned(), entity: Some(Arc::new(entity)) }
    }

    /// Scenario: two hundred writes from eight threads, every tenth of which is refused by the check of the whole, and none of whose
    /// names may come twice. Guarantees: each write gets its own result; exactly the accepted ones are in the store and in the tables.
    #[test]
    fn each_write_has_its_own_result() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path().join("e.db"), None).unwrap();
        let writes = Writes::new(store, Tables::new());
        let kind = kind::find("consumers").unwrap();
        let made_at_once = AtomicUsize::new(0);
        let make = |store: &mut Store, after: &Tables, changes: &[Change]| {
            made_at_once.fetch_max(changes.len(), Ordering::Relaxed);
            if after.all(kind).any(|(id, _)| id.ends_with("-3")) {
                return Err(NotMade::Refused(ApiError::not_found()));
            }
            store.commit(&super::super::state::rows(changes)).map(drop).map_err(|_| NotMade::Outdated)
        };
        thread::scope(|scope| {
            for thread in 0..8 {
                let (writes, make) = (&writes, &make);
                scope.spawn(move || {
                    for number in 0..25 {
                        // Two threads each want the same name.
                        let name = format!("{}-{number}-{}", thread / 2, number % 10);
                        let plan = |tables: &Tables| match tables.get(kind, &name) {
                            Some(_) => Err(ApiError::primary_key(&name)),
                            None => Ok((name.clone(), vec![put(&name)])),
                        };
                        let written =
                            writes.write(&plan, &|store, after, changes| make(store, after, changes), &|_, _, _| {});
                        match written {
                            Ok((made, changes)) => assert_eq!((made, changes.len()), (name, 1)),
                            Err(error) => assert!(error.status == 400 || number % 10 == 3, "{name}: {error:?}"),
                        }
                    }
                });
            }
        });
        let kept = writes.store.lock();
        assert_eq!(kept.tables.count(kind), 4 * 25 - 4 * 3);
        assert_eq!(writes.planning.lock().tables.count(kind), kept.tables.count(kind));
        drop(kept);
        drop(writes);
        let rows = Store::open(folder.path().join("e.db"), None).unwrap().1.rows;
        assert_eq!(rows.len(), 4 * 25 - 4 * 3);
    }
}
