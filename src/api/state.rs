//! The state of a service that its status, metrics and health checks read. It knows none of them.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::database::SharedDatabase;
use super::reloads::Reloads;
use crate::confinement::Enforcement;
use crate::decode::mapping::{Mappings, Report};
use crate::delivery::Delivery;
use crate::input::Counters;
use crate::phase::{Generation, SnippetRegistry, WorkerStats};

/// What the API shows of a service. Cheap to clone.
#[derive(Clone)]
pub struct ServiceState {
    inner: Arc<Inner>,
}

struct Inner {
    started: SystemTime,
    stage: AtomicU8,
    components: OnceLock<Components>,
    inputs: OnceLock<Vec<(&'static str, Arc<Counters>)>>,
    mappings: OnceLock<Mappings>,
    reloads: Arc<Reloads>,
    database: OnceLock<Arc<SharedDatabase>>,
}

/// The parts of a running service.
pub struct Components {
    /// The active generation; a weak reference, so that a service that stops can release its queues.
    pub live: Weak<ArcSwap<Generation>>,
    /// What the workers have done so far.
    pub worker_stats: Arc<WorkerStats>,
    /// How long one transaction may keep a worker busy.
    pub stuck_after: Duration,
    /// What the snippets have done so far.
    pub snippets: Arc<SnippetRegistry>,
    /// The queues and sinks.
    pub delivery: Delivery,
    /// Whether the system calls of worker threads are restricted.
    pub seccomp: Enforcement,
    /// Whether the process's access to files is restricted.
    pub landlock: Enforcement,
}

/// The stages of a service's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Queues and inputs are being opened.
    Starting,
    /// Transactions are accepted.
    Ready,
    /// Nothing new is accepted; what was accepted is being delivered.
    Stopping,
}

impl Stage {
    /// The name in `/status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        }
    }
}

impl Default for ServiceState {
    fn default() -> Self {
        let inner = Inner {
            started: SystemTime::now(),
            stage: AtomicU8::new(Stage::Starting as u8),
            components: OnceLock::new(),
            inputs: OnceLock::new(),
            mappings: OnceLock::new(),
            reloads: Arc::default(),
            database: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl ServiceState {
    /// When the service was started.
    pub fn started(&self) -> SystemTime {
        self.inner.started
    }

    /// Sets the parts of the service. Only the first call has an effect.
    pub fn set_components(&self, components: Components) {
        let _ = self.inner.components.set(components);
    }

    /// The parts of the service, once it has them.
    pub fn components(&self) -> Option<&Components> {
        self.inner.components.get()
    }

    /// Sets the names and counters of the inputs. Only the first call has an effect.
    pub fn set_inputs(&self, counters: &[(&'static str, Arc<Counters>)]) {
        let _ = self.inner.inputs.set(counters.to_vec());
    }

    /// The names and counters of the inputs; none before they are open.
    pub fn inputs(&self) -> &[(&'static str, Arc<Counters>)] {
        self.inner.inputs.get().map_or(&[], Vec::as_slice)
    }

    /// Sets the mappings that the inputs name. Only the first call has an effect.
    pub fn set_mappings(&self, mappings: &Mappings) {
        let _ = self.inner.mappings.set(mappings.clone());
    }

    /// What the transactions of each mapping had, by its name.
    pub fn mappings(&self) -> Vec<(String, Report)> {
        let all = self.inner.mappings.get().map(Mappings::asked_for).unwrap_or_default();
        all.iter().map(|mapping| (mapping.name().to_owned(), mapping.report())).collect()
    }

    /// Sets the stage of the service.
    pub fn set_stage(&self, stage: Stage) {
        self.inner.stage.store(stage as u8, Ordering::SeqCst);
    }

    /// The stage of the service.
    pub fn stage(&self) -> Stage {
        let stage = self.inner.stage.load(Ordering::SeqCst);
        [Stage::Starting, Stage::Ready, Stage::Stopping][usize::from(stage)]
    }

    /// Says that the configuration is in this database. Only the first call has an effect.
    pub fn set_database(&self, database: Arc<SharedDatabase>) {
        let _ = self.inner.database.set(database);
    }

    /// The database that the service shares with other nodes, if it does.
    pub fn database(&self) -> Option<&Arc<SharedDatabase>> {
        self.inner.database.get()
    }

    /// The counters of reloads.
    pub fn reloads(&self) -> &Arc<Reloads> {
        &self.inner.reloads
    }
}
