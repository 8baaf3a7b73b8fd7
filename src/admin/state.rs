//! The entities of a running service, and how a request changes them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use hyper::StatusCode;
use logphase_config::diagnostic::{Diagnostic, SourceFile};
use logphase_config::document::Node;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::access::Caller;
use super::drafts::KnownDrafts;
use super::error::{ApiError, ApiResult};
use super::kind::{self, KINDS, Kind};
use super::read::Names;
use super::secrets;
use super::store::{self, Store, StoreError};
use super::tables::{Change, Entity, Tables};
use super::write::Writer;
use super::writes::{self, NotMade, Writes};
use crate::api::SharedDatabase;
use crate::declarative;
use crate::entity::Validated;
use crate::log::AUDIT_TARGET;
use crate::log::limit::{Limiter, Policy};

/// Makes a checked configuration active. Its error is the reason why that failed; then the one before is active.
pub(crate) type Activation = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// The running service, as the Admin API sees it.
pub(crate) trait Gateway: Send + Sync {
    /// Checks `entities` as a whole configuration. Nothing is changed before the activation.
    ///
    /// # Errors
    /// Everything that was found, with at least one error.
    fn prepare(&self, entities: Validated) -> Result<Activation, Vec<Diagnostic>>;

    /// What is wrong with the declarative document `root` as a whole configuration.
    fn check(&self, root: &Node) -> Vec<Diagnostic>;

    /// Replaces the configuration by the declarative text `source`.
    ///
    /// # Errors
    /// Everything that was found, with at least one error, or a single one that says what is not available.
    fn load(&self, source: Arc<SourceFile>) -> Result<(), Vec<Diagnostic>>;

    /// The texts of the active configuration, if it was read from texts, and a number that every change of it raises.
    fn sources(&self) -> (u64, Vec<Arc<SourceFile>>);

    /// What `/status` says of the service, as the arguments of a query ask for it.
    ///
    /// # Errors
    /// An argument is wrong.
    fn status(&self, argument: &dyn Fn(&str) -> Option<String>) -> Result<Value, String>;

    /// Whether the service accepts no changes any more.
    fn is_stopping(&self) -> bool;
}

/// The entities, and what keeps them.
pub(crate) struct State {
    gateway: Arc<dyn Gateway>,
    /// The entities of the active configuration.
    tables: ArcSwap<Tables>,
    /// `None`: the entities are in declarative texts, and only whole texts replace each other.
    writes: Option<Writes>,
    /// The entities of the database as the log phase reads them.
    drafts: Mutex<KnownDrafts>,
    /// The database, if other nodes change it, too.
    shared: Option<Arc<SharedDatabase>>,
    refusals: Limiter,
    /// Writes are only planned, for this state.
    rehearsal: Option<Rehearsal>,
    /// Of the texts that [`Self::tables`] are read from: their number, and their hash.
    loaded: Mutex<(u64, String)>,
}

/// Writes that are planned and not made.
struct Rehearsal {
    of: Arc<State>,
    steps: Mutex<Vec<(Change, Change)>>,
}

impl State {
    /// Entities that are in `store`, which had `tables` when it was opened; `drafts` are those of them that are read. Other nodes may
    /// change a `shared` one.
    pub(crate) fn of_database(
        gateway: Arc<dyn Gateway>,
        store: Store,
        tables: Tables,
        drafts: KnownDrafts,
        shared: Option<Arc<SharedDatabase>>,
    ) -> Self {
        let writes = Some(Writes::new(store, tables.clone()));
        let (tables, drafts) = (ArcSwap::from_pointee(tables), Mutex::new(drafts));
        let refusals = Limiter::new(Policy::ONE);
        Self { gateway, tables, writes, drafts, shared, refusals, rehearsal: None, loaded: Mutex::default() }
    }

    /// Entities of the declarative texts of `gateway`.
    pub(crate) fn of_texts(gateway: Arc<dyn Gateway>) -> Self {
        let tables = ArcSwap::from_pointee(Tables::new());
        let (drafts, refusals) = (Mutex::default(), Limiter::new(Policy::ONE));
        Self {
            gateway,
            tables,
            writes: None,
            drafts,
            shared: None,
            refusals,
            rehearsal: None,
            loaded: Mutex::default(),
        }
    }

    /// Whether requests can change single entities.
    pub(crate) fn has_database(&self) -> bool {
        self.writes.is_some() || self.rehearsal.as_ref().is_some_and(|rehearsal| rehearsal.of.has_database())
    }

    /// The same entities, in a state that plans writes and makes none.
    pub(super) fn rehearsal(self: &Arc<Self>) -> Self {
        let tables = ArcSwap::new(self.tables());
        let rehearsal = Some(Rehearsal { of: self.clone(), steps: Mutex::default() });
        Self { tables, rehearsal, ..Self::of_texts(self.gateway.clone()) }
    }

    /// The changes that were planned, each with what was there before.
    pub(super) fn rehearsed(&self) -> Vec<(Change, Change)> {
        self.rehearsal.as_ref().map(|rehearsal| rehearsal.steps.lock().clone()).unwrap_or_default()
    }

    /// Whether the database, if there is one, can be used.
    pub(crate) fn is_reachable(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.why_away().is_none())
    }

    /// The running service.
    pub(crate) fn gateway(&self) -> &dyn Gateway {
        &*self.gateway
    }

    /// The entities.
    pub(crate) fn tables(&self) -> Arc<Tables> {
        if !self.has_database() {
            self.catch_up();
        }
        self.tables.load_full()
    }

    /// The hash of the active texts, as hexadecimal MD5; zeros if there are none.
    pub(crate) fn hash(&self) -> String {
        drop(self.tables());
        let hash = self.loaded.lock().1.clone();
        if hash.is_empty() { "0".repeat(32) } else { hash }
    }

    /// The entities as the log phase reads them.
    pub(crate) fn entities(&self) -> Validated {
        self.drafts.lock().of(&self.tables())
    }

    /// Reads the entities of the active texts, if they are not those that are loaded.
    fn catch_up(&self) {
        let mut loaded = self.loaded.lock();
        let (number, sources) = self.gateway.sources();
        if loaded.0 == number {
            return;
        }
        let mut tables = Tables::new();
        tables.apply(&super::texts::entities(&sources, now()));
        self.tables.store(Arc::new(tables));
        *loaded = (number, declarative::digest(&sources));
    }

    /// Makes the changes that `plan` says: checks the configuration that they lead to, stores them, and makes it active. `plan` is asked
    /// again if other writes come in between. Blocks.
    ///
    /// # Errors
    /// Of `plan`, or of the check; then nothing is changed. Without a database, `read_only` after a valid plan.
    pub(crate) fn write<T>(
        &self,
        caller: &Caller,
        names: Names,
        read_only: impl FnOnce() -> ApiError,
        plan: impl Fn(&mut Writer<'_>, &Tables) -> ApiResult<T>,
    ) -> ApiResult<T> {
        if !self.has_database() {
            let tables = self.tables();
            plan(&mut Writer::new(&tables, now(), names).without_constraints(), &tables)?;
            return Err(read_only());
        }
        let plan = |tables: &Tables| {
            let mut writer = Writer::new(tables, now(), names);
            plan(&mut writer, tables).map(|result| (result, writer.into_changes()))
        };
        if let Some(rehearsal) = &self.rehearsal {
            let tables = self.tables.load();
            let (result, changes) = plan(&tables)?;
            rehearsal.of.check(&tables, &changes)?;
            rehearsal.steps.lock().extend(writes::with_before(&tables, &changes));
            return Ok(result);
        }
        let Some(writes) = &self.writes else { return Err(read_only()) };
        let make = |store: &mut Store, after: &Tables, changes: &[Change]| self.make(store, after, changes);
        let take_over = |after: &Tables, changes: &[Change], revision| self.take_over(after, changes, revision);
        let (result, made) = writes.write(&plan, &make, &take_over)?;
        made.iter().for_each(|(old, new)| audit(caller, old, new));
        Ok(result)
    }

    /// Checks the configuration that `changes` of `tables` lead to, as before they are made.
    ///
    /// # Errors
    /// Of the check; or the database is away.
    fn check(&self, tables: &Tables, changes: &[Change]) -> ApiResult<()> {
        if let Some(why) = self.shared.as_ref().and_then(|shared| shared.why_away()) {
            return Err(ApiError::unavailable(&why));
        }
        if changes.iter().any(|change| change.kind.matters_to_log_phase()) {
            let mut after = tables.clone();
            after.apply(changes);
            let entities = self.drafts.lock().of(&after);
            drop(self.gateway.prepare(entities).map_err(|found| ApiError::refused(&found))?);
        }
        Ok(())
    }

    /// Makes `changes`, which lead to the entities `after`.
    fn make(&self, store: &mut Store, after: &Tables, changes: &[Change]) -> Result<(), NotMade> {
        if let Some(why) = self.shared.as_ref().and_then(|shared| shared.why_away()) {
            return Err(ApiError::unavailable(&why).into());
        }
        let activation = if changes.iter().any(|change| change.kind.matters_to_log_phase()) {
            let entities = self.drafts.lock().of(after);
            Some(self.gateway.prepare(entities).map_err(|found| ApiError::refused(&found))?)
        } else {
            None
        };
        let not_stored = |error: StoreError| match error {
            StoreError::Outdated { .. } => NotMade::Outdated,
            error => NotMade::Refused(ApiError::of_store(&error)),
        };
        let revision = store.commit(&rows(changes)).map_err(not_stored)?;
        let is_checked = activation.is_some();
        if let Some(Err(reason)) = activation.map(|activate| activate()) {
            let before = self.tables.load();
            let old = |change: &Change| before.get(change.kind, &change.id).cloned();
            let back: Vec<Change> =
                changes.iter().map(|change| Change { entity: old(change), ..change.clone() }).collect();
            match store.commit(&rows(&back)) {
                Ok(revision) => self.note(revision, Ok(())),
                // Another node has gone on from here: it stays.
                Err(StoreError::Outdated { .. }) => {
                    self.tables.store(Arc::new(after.clone()));
                    self.note(revision, Err(reason));
                    return Ok(());
                }
                Err(error) => return Err(not_stored(error)),
            }
            return Err(ApiError::plain(StatusCode::BAD_REQUEST, reason).into());
        }
        self.tables.store(Arc::new(after.clone()));
        if is_checked || !self.shared.as_ref().is_some_and(|shared| shared.is_refused()) {
            self.note(revision, Ok(()));
        }
        Ok(())
    }

    /// Takes over what other nodes have changed until now, before a request that may change something on top of it. If the database is
    /// away, the write is refused later. Blocks.
    pub(super) fn refresh(&self) {
        if self.shared.is_some() && self.is_reachable() {
            let _ = self.follow();
        }
    }

    /// Takes over what other nodes have changed in the database. Returns whether they have. Blocks.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(super) fn follow(&self) -> Result<bool, StoreError> {
        let Some(writes) = &self.writes else { return Ok(false) };
        writes.follow(&|after, changes, revision| self.take_over(after, changes, revision))
    }

    /// The revision of the database that this node knows, and the entities then. Blocks while there is a write.
    pub(super) fn kept(&self) -> (u64, Tables) {
        self.writes.as_ref().map_or_else(|| (0, Tables::new()), Writes::kept)
    }

    /// Makes the `changes` of other nodes active, which lead to the entities `after`. If this node refuses them, the active configuration
    /// stays.
    fn take_over(&self, after: &Tables, changes: &[Change], revision: u64) {
        let is_refused = self.shared.as_ref().is_some_and(|shared| shared.is_refused());
        let matters = is_refused || changes.iter().any(|change| change.kind.matters_to_log_phase());
        let active = if matters {
            let entities = self.drafts.lock().of(after);
            let prepared = self.gateway.prepare(entities);
            prepared.map_err(|found| errors(&found)).and_then(|activate| activate())
        } else {
            Ok(())
        };
        self.tables.store(Arc::new(after.clone()));
        if active.is_ok() || !self.gateway.is_stopping() {
            self.note(revision, active);
        }
    }

    /// Notes whether the configuration of the revision `revision` of a shared database is active.
    fn note(&self, revision: u64, active: Result<(), String>) {
        let Some(shared) = &self.shared else { return };
        match active {
            Ok(()) => shared.activated(revision),
            Err(why) => {
                if let Some(suppressed) = self.refusals.admit_message(&why) {
                    let active = shared.read().active;
                    tracing::error!(
                        suppressed,
                        "this node refuses the configuration of revision {revision} in the database, and goes on with that of \
                         revision {active}: {why}"
                    );
                }
                shared.refused(revision, why);
            }
        }
    }
}

/// The errors among `found`.
fn errors(found: &[Diagnostic]) -> String {
    let texts = found.iter().filter(|found| found.is_error()).map(|found| match &found.path {
        Some(path) => format!("{path}: {}", found.message),
        None => found.message.clone(),
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// Logs who changed what, without secrets.
fn audit(caller: &Caller, old: &Change, new: &Change) {
    let shown = |change: &Change| {
        let entity = change.entity.as_ref().map(|entity| Value::Object(secrets::masked(change.kind, entity)));
        entity.unwrap_or_default().to_string()
    };
    let what = match (&old.entity, &new.entity) {
        (None, _) => "created",
        (Some(_), Some(_)) => "updated",
        (Some(_), None) => "deleted",
    };
    tracing::info!(
        target: AUDIT_TARGET,
        before = shown(old),
        after = shown(new),
        "admin: {what} {} {} by {caller}",
        new.kind.name,
        new.id
    );
}

pub(super) fn rows(changes: &[Change]) -> Vec<store::Change> {
    let row = |Change { kind, id, entity }: &Change| match entity {
        Some(entity) => store::Change::Put { kind: kind.name.to_owned(), id: id.clone(), entity: Map::clone(entity) },
        None => store::Change::Delete { kind: kind.name.to_owned(), id: id.clone() },
    };
    changes.iter().map(row).collect()
}

/// The entities of `rows`, which a store has.
pub(crate) fn tables_of(rows: Vec<store::Row>) -> Tables {
    let change =
        |row: store::Row| Some(Change { kind: kind::find(&row.kind)?, id: row.id, entity: Some(Arc::new(row.entity)) });
    let mut tables = Tables::new();
    tables.apply(&rows.into_iter().filter_map(change).collect::<Vec<_>>());
    tables
}

/// An entity as it is shown.
pub(crate) type Show<'a> = &'a dyn Fn(&'static Kind, &Entity) -> Map<String, Value>;

/// The entities as `GET /config` shows them: flat lists, references as ids.
pub(crate) fn exported(tables: &Tables, show: Show<'_>) -> Value {
    let mut root = Map::new();
    root.insert("_format_version".to_owned(), "3.0".into());
    root.insert("_transform".to_owned(), false.into());
    for kind in KINDS.iter().filter(|kind| tables.count(kind) > 0) {
        let entities = tables.all(kind).map(|(_, entity)| {
            let mut entity = show(kind, entity);
            for (field, _) in kind.references() {
                if let Some(id) = entity.get(field.name).and_then(|value| value.get("id")).cloned() {
                    entity.insert(field.name.to_owned(), id);
                }
            }
            Value::Object(entity)
        });
        root.insert(kind.name.to_owned(), entities.collect());
    }
    Value::Object(root)
}

/// The entities by kind and id, as the answer to a new configuration shows them.
pub(crate) fn flattened(tables: &Tables, show: Show<'_>) -> Value {
    let kinds = KINDS.iter().filter(|kind| tables.count(kind) > 0);
    let of_kind = |kind: &'static Kind| -> Value {
        tables.all(kind).map(|(id, entity)| (id.clone(), show(kind, entity).into())).collect::<Map<_, _>>().into()
    };
    let all: Map<String, Value> = kinds.map(|kind| (kind.name.to_owned(), of_kind(kind))).collect();
    json!(all)
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64)
}
