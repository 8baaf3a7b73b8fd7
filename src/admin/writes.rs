//! Writes that come at the same time are made together: checking and storing a hundred costs little more than one.
//!
//! A write plans its changes on the entities as they will be after the writes before it. The first that gets the store makes the changes of
//! all that have planned until then, as one. If that fails, and there are several, each of them is made alone.

use std::sync::Arc;
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::error::{ApiError, ApiResult};
use super::store::Store;
use super::tables::{Change, Tables};

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
}

/// Plans a write on entities: its result, and its changes.
type Plan<'a, T> = &'a dyn Fn(&Tables) -> ApiResult<(T, Vec<Change>)>;

/// Makes changes, which lead to the given entities.
type Make<'a> = &'a dyn Fn(&mut Store, &Tables, &[Change]) -> ApiResult<()>;

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
    pub(super) fn write<T>(&self, plan: Plan<'_, T>, make: Make<'_>) -> ApiResult<Made<T>> {
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
            self.make_all(&mut kept, make);
        }
        match outcome.get() {
            Some(Outcome::Made) => Ok(made),
            Some(Outcome::Refused(error)) => Err(error.clone()),
            Some(Outcome::Alone) | None => self.make_alone(&mut kept, plan, make),
        }
    }

    /// Makes all planned writes together.
    fn make_all(&self, kept: &mut Kept, make: Make<'_>) {
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
            Err(error) => {
                self.forget_planned(kept);
                if batch.count == 1 { Outcome::Refused(error) } else { Outcome::Alone }
            }
        };
        let _ = batch.outcome.set(outcome);
    }

    /// Makes one write, while no other is planned.
    fn make_alone<T>(&self, kept: &mut Kept, plan: Plan<'_, T>, make: Make<'_>) -> ApiResult<Made<T>> {
        self.forget_planned(kept);
        let mut planning = self.planning.lock();
        let (result, changes) = plan(&kept.tables)?;
        let made = (result, with_before(&kept.tables, &changes));
        if !changes.is_empty() {
            let mut after = kept.tables.clone();
            after.apply(&changes);
            make(&mut kept.store, &after, &changes)?;
            kept.tables = after;
        }
        // Writes that were planned on what was there before the lock.
        let outdated = std::mem::replace(&mut *planning, Planning::after(kept.tables.clone()));
        let _ = outdated.outcome.set(Outcome::Alone);
        Ok(made)
    }

    /// Has all planned writes be made alone: they were planned on entities that will not be.
    fn forget_planned(&self, kept: &Kept) {
        let mut planning = self.planning.lock();
        let planned = std::mem::replace(&mut *planning, Planning::after(kept.tables.clone()));
        let _ = planned.outcome.set(Outcome::Alone);
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
fn with_before(tables: &Tables, changes: &[Change]) -> Vec<(Change, Change)> {
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
        let (store, _) = Store::open(&folder.path().join("e.db"), None).unwrap();
        let writes = Writes::new(store, Tables::new());
        let kind = kind::find("consumers").unwrap();
        let made_at_once = AtomicUsize::new(0);
        let make = |store: &mut Store, after: &Tables, changes: &[Change]| {
            made_at_once.fetch_max(changes.len(), Ordering::Relaxed);
            if after.all(kind).any(|(id, _)| id.ends_with("-3")) {
                return Err(ApiError::not_found());
            }
            store.commit(&super::super::state::rows(changes)).map(drop).map_err(|_| ApiError::not_found())
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
                        let written = writes.write(&plan, &|store, after, changes| make(store, after, changes));
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
        let rows = Store::open(&folder.path().join("e.db"), None).unwrap().1.rows;
        assert_eq!(rows.len(), 4 * 25 - 4 * 3);
    }
}
