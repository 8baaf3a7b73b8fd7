//! Delivery from the queues to the sinks: batching, retries with backoff, reload and shutdown.
//!
//! Each plugin has an [`Output`]: a queue, and a task that leases entries, sends them through the sink, and commits them when
//! they are settled. Entries stay in the queue until then, and their order is kept: no entry overtakes one in retry. Those that
//! the sink cannot confirm yet stay in the queue longer, so that they are sent again if the destination has lost them.

mod backoff;
mod collectors;
mod data_lock;
mod dead_letter;
mod dead_letters;
mod dispatcher;
pub mod inventory;
mod output;
mod queue_events;
mod stats;
mod store;
mod swap;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub use self::collectors::{Collector, CollectorError, CollectorRules, Collectors, Held};
pub use self::dead_letter::{DeadLetter, DeadLetterInfo};
pub use self::dead_letters::{DeadLetterLevel, DeadLetters};
use self::dispatcher::Dispatcher;
use self::output::OutputParts;
pub use self::output::{LastError, Output, Stats};
pub use self::stats::PluginStats;
use self::stats::StatsHistory;
use self::store::{Store, Stored};
use crate::options::queue::{QueueOptions, Storage};
use crate::sink::{ConfigError, Opener, Sink, SinkShared};
use logphase_queue::metric::Histogram;
use logphase_queue::{Budget, Counters, DurableOptions, Flusher, MemoryQueue, Queue, Reader, Signals};

/// The remedy of last resort for queues on disk that cannot be opened.
const IN_MEMORY: &str = "set queue.durability: memory";

/// The configuration of an output.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSpec {
    /// The id of the plugin in the configuration, which identifies it across reloads.
    pub identity: String,
    /// The plugin's name: `file-log`, `tcp-log`, ...
    pub plugin: String,
    /// Its `instance_name`.
    pub instance: Option<String>,
    /// The ids of the plugins that share its queue: one set for all of them, because there can be thousands.
    pub shares: Arc<BTreeSet<String>>,
    /// Opens its sink.
    pub opener: Opener,
    /// The configuration of its sink: validated and with all defaults.
    pub config: Value,
    /// The options of its queue.
    pub queue: QueueOptions,
}

/// The error when an output cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The sink refuses the configuration.
    #[error("{plugin}: {}", listed(errors))]
    Config {
        /// The plugin's name.
        plugin: String,
        /// All errors of the configuration.
        errors: Vec<ConfigError>,
    },
    /// The queue cannot be opened.
    #[error("{plugin}: {reason}")]
    Queue {
        /// The plugin's name.
        plugin: String,
        /// The failure, with a remedy.
        reason: String,
    },
}

fn listed(errors: &[ConfigError]) -> String {
    let dot = |error: &ConfigError| if error.field.is_empty() { ": " } else { "." };
    let lines: Vec<_> = errors.iter().map(|error| format!("config{}{error}", dot(error))).collect();
    lines.join("; ")
}

impl OutputSpec {
    /// Opens the sink.
    fn open_sink(&self, shared: &SinkShared) -> Result<Box<dyn Sink>, OpenError> {
        let opened = self.opener.open(&self.config, &shared.for_queue(self.queue.is_on_disk()));
        opened.map_err(|errors| OpenError::Config { plugin: self.plugin.clone(), errors })
    }

    /// Whether an output for `new` can use the queue of an output for `self`, with its entries.
    pub(super) fn shares_queue_with(&self, new: &Self) -> bool {
        self.continues_as(new) && self.queue.same_queue(&new.queue)
    }

    /// Whether waiting entries of `self` may be sent with `new`: the plugin is the same, and `new` has all plugins that share
    /// the queue.
    pub(super) fn continues_as(&self, new: &Self) -> bool {
        self.identity == new.identity
            && self.plugin == new.plugin
            && (Arc::ptr_eq(&self.shares, &new.shares) || self.shares.is_subset(&new.shares))
    }

    /// `new` with the queue options of `self`.
    pub(super) fn keeping_queue_of(&self, new: &Arc<Self>) -> Arc<Self> {
        let queue = new.queue.keeping_queue_of(&self.queue);
        if queue == new.queue { new.clone() } else { Arc::new(Self { queue, ..(**new).clone() }) }
    }
}

/// The entries of a plugin that are not delivered when the service stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The plugin: its name, with its instance name if it has one.
    pub plugin: String,
    /// Entries in its queue.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
    /// The last error.
    pub last_error: Option<String>,
    /// Whether they are kept on disk for the next run.
    pub kept: bool,
}

/// All outputs of the process. Cheap to clone. The tasks run on the tokio runtime in which [`Delivery::new`] is called.
#[derive(Clone)]
pub struct Delivery {
    inner: Arc<Inner>,
}

struct Inner {
    shared: SinkShared,
    store: Arc<Store>,
    budget: Arc<Budget>,
    signals: Signals,
    runtime: tokio::runtime::Handle,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    current: HashMap<String, Arc<Output>>,
    tasks: Tasks,
    /// The next sinks of outputs, until the whole new configuration is opened.
    staged: Vec<StagedSink>,
    history: StatsHistory,
}

/// The next sink of an output.
struct StagedSink {
    output: Arc<Output>,
    spec: Arc<OutputSpec>,
    sink: Box<dyn Sink>,
}

/// The tasks of outputs, by the identity of the plugin. A plugin has several while a former queue of it is delivered.
#[derive(Default)]
struct Tasks(BTreeMap<String, Vec<Task>>);

impl Tasks {
    fn iter(&self) -> impl Iterator<Item = &Task> {
        self.0.values().flatten()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Task> {
        self.0.values_mut().flatten()
    }

    fn of(&self, identity: &str) -> &[Task] {
        self.0.get(identity).map_or(&[], Vec::as_slice)
    }

    fn push(&mut self, task: Task) {
        self.0.entry(task.output.spec().identity.clone()).or_default().push(task);
    }

    /// Takes those that `wanted` says.
    fn take(&mut self, wanted: impl Fn(&Task) -> bool) -> Vec<Task> {
        let mut taken = Vec::new();
        self.0.values_mut().for_each(|tasks| taken.extend(tasks.extract_if(.., |task| wanted(task))));
        self.0.retain(|_, tasks| !tasks.is_empty());
        taken
    }
}

struct Task {
    output: Arc<Output>,
    /// Starts the output; `None` once it is started.
    start: Option<oneshot::Sender<()>>,
    /// `None` once it is awaited at shutdown.
    handle: Option<JoinHandle<()>>,
    stored: Option<Stored>,
}

impl Running {
    /// Removes outputs that have ended, and keeps their totals.
    fn remove_ended(&mut self) {
        // After a panic, the queue of an ended output may still have entries.
        let has_ended = |task: &Task| task.has_ended() && task.output.is_closed() && task.output.counters().is_idle();
        for task in self.tasks.take(has_ended) {
            self.history.absorb(&task.output);
        }
    }
}

impl Task {
    fn has_ended(&self) -> bool {
        self.handle.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Delivery {
    /// A delivery without outputs. Dead letters and durable queues are in `data_dir`. Must be called within a tokio runtime.
    pub fn new(shared: SinkShared, budget: Budget, data_dir: PathBuf) -> Self {
        Self::bounded(shared, budget, Budget::new(usize::MAX), &data_dir)
    }

    /// The same, with a limit on the bytes in the data directory.
    pub fn bounded(shared: SinkShared, memory: Budget, data: Budget, data_dir: &Path) -> Self {
        let (budget, signals) = (Arc::new(memory), Signals::default());
        let flusher = Flusher::new(budget.clone(), Arc::new(data), signals.clone());
        let inner = Inner {
            shared,
            store: Arc::new(Store::new(data_dir, flusher)),
            budget,
            signals,
            runtime: tokio::runtime::Handle::current(),
            running: Mutex::new(Running::default()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes each thread that writes queues run `setup` first. For the start, before an output is open.
    pub fn on_thread_start(&self, setup: impl Fn() + Send + Sync + 'static) {
        self.inner.store.on_thread_start(setup);
    }

    /// Locks the durable queues of the data directory for this process.
    ///
    /// # Errors
    /// Another process holds the lock, or the directory cannot be created; with a remedy.
    pub fn claim(&self) -> Result<(), String> {
        self.inner.store.claim().map_err(|reason| format!("{reason}, or {IN_MEMORY}"))
    }

    /// Logs a warning for each orphaned queue: with entries, but without a plugin in the configuration.
    pub fn warn_of_orphans(&self) {
        self.inner.store.warn_of_orphans();
    }

    /// Notified when a queue has room after a failed reservation.
    pub fn room(&self) -> Arc<Notify> {
        self.inner.signals.room.clone()
    }

    /// Opens the output for `spec`: the plugin's running output if its queue has the same options, otherwise a new one, which
    /// accepts entries but delivers none before [`Self::commit`]. Also opens the next sink of each running output of the
    /// plugin whose spec differs, for [`Self::commit`].
    ///
    /// # Errors
    /// A sink or a queue cannot be opened.
    pub fn open(&self, spec: impl Into<Arc<OutputSpec>>) -> Result<Arc<Output>, OpenError> {
        let (inner, spec) = (&self.inner, spec.into());
        let mut running = inner.running.lock();
        let open = running.current.get(&spec.identity).filter(|output| !output.is_closed());
        if let Some(output) = open.filter(|output| output.has_spec(&spec)) {
            return Ok(output.clone());
        }
        let found = open.filter(|output| output.spec().shares_queue_with(&spec)).cloned();
        let output = match found {
            Some(output) => output,
            None => inner.create(&mut running, spec.clone())?,
        };
        inner.stage(&mut running, &spec)?;
        Ok(output)
    }

    /// Starts one output that [`Self::open`] has opened.
    fn start(&self, output: &Arc<Output>) {
        let mut running = self.inner.running.lock();
        running.remove_ended();
        let own = running.tasks.iter_mut().filter(|task| Arc::ptr_eq(&task.output, output));
        for start in own.filter_map(|task| task.start.take()) {
            // Fails if the task was aborted.
            let _ = start.send(());
        }
    }

    /// Commits a reload: new outputs start, others change to their next sinks, and outputs that are not in `kept` are
    /// retired.
    pub fn commit(&self, kept: &[Arc<Output>]) {
        let staged = {
            let mut running = self.inner.running.lock();
            running.remove_ended();
            for start in running.tasks.iter_mut().filter_map(|task| task.start.take()) {
                // Fails if the task was aborted.
                let _ = start.send(());
            }
            std::mem::take(&mut running.staged)
        };
        for StagedSink { output, spec, sink } in staged {
            output.replace_sink(spec, sink);
        }
        self.retire_others(kept);
    }

    /// Rolls back a failed reload: outputs that are not started end without any delivery. `kept` are the outputs before the
    /// reload.
    pub fn rollback(&self, kept: &[Arc<Output>]) {
        let not_started: Vec<_> = {
            let mut running = self.inner.running.lock();
            running.staged.clear();
            running.tasks.take(|task| task.start.is_some())
        };
        for task in &not_started {
            self.retire(&task.output);
        }
        self.retire_others(kept);
        // The outputs before the reload are the current ones again.
        let mut running = self.inner.running.lock();
        for output in kept.iter().filter(|output| !output.is_closed()) {
            running.current.insert(output.spec().identity.clone(), output.clone());
        }
    }

    /// Retires an output: it accepts no more entries, delivers those in its queue, and ends.
    pub fn retire(&self, output: &Arc<Output>) {
        output.close();
        let current = &mut self.inner.running.lock().current;
        if current.get(&output.spec().identity).is_some_and(|found| Arc::ptr_eq(found, output)) {
            current.remove(&output.spec().identity);
        }
    }

    /// Retires every output that is not in `kept`.
    fn retire_others(&self, kept: &[Arc<Output>]) {
        let others: Vec<_> = {
            let running = self.inner.running.lock();
            let is_kept: std::collections::HashSet<_> = kept.iter().map(Arc::as_ptr).collect();
            let outputs = running.tasks.iter().map(|task| &task.output);
            outputs.filter(|output| !output.is_closed() && !is_kept.contains(&Arc::as_ptr(output))).cloned().collect()
        };
        for output in &others {
            self.retire(output);
        }
    }

    /// Makes every file sink reopen its file before the next line.
    pub fn reopen_files(&self) {
        self.inner.shared.reopen_all();
    }

    /// Waits until the entries of all queues are settled, and there are no reservations.
    pub async fn idle(&self) {
        self.until_all(Counters::is_settled).await;
    }

    /// Closes all outputs, and waits until their entries are delivered and confirmed.
    pub async fn confirmed(&self) {
        self.retire_others(&[]);
        self.until_all(Counters::is_idle).await;
    }

    async fn until_all(&self, done: impl Fn(&Counters) -> bool) {
        loop {
            let notified = self.inner.signals.idle.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let busy = self.inner.running.lock().tasks.iter().any(|task| !done(&task.output.counters()));
            if !busy {
                return;
            }
            notified.await;
        }
    }

    /// The statistics of every output that has not ended, by identity.
    pub fn stats(&self) -> Vec<Stats> {
        let running = self.inner.running.lock();
        let tasks = running.tasks.iter().filter(|task| !task.has_ended());
        let mut stats: Vec<_> = tasks.map(|task| task.output.stats()).collect();
        stats.sort_by(|a, b| a.identity.cmp(&b.identity));
        stats
    }

    /// The statistics of each plugin since the start, by name and id.
    pub fn plugins(&self) -> Vec<PluginStats> {
        let mut running = self.inner.running.lock();
        running.remove_ended();
        let Running { current, tasks, history, .. } = &mut *running;
        let is_current = |output: &Arc<Output>| {
            current.get(&output.spec().identity).is_some_and(|current| Arc::ptr_eq(current, output))
        };
        history.read(tasks.iter().map(|task| (&*task.output, is_current(&task.output))))
    }

    /// The budgets of all queues together: in memory and on disk.
    pub fn budgets(&self) -> (&Budget, &Budget) {
        (&self.inner.budget, self.inner.store.budget())
    }

    /// The durations of the syncs of queues on disk.
    pub fn syncs(&self) -> Histogram {
        self.inner.store.syncs()
    }

    /// The number of orphaned queues. Blocks on the disk.
    pub fn orphaned_queues(&self) -> usize {
        self.inner.store.orphans().len()
    }

    /// The number of files of queues and dead letters that were set aside. Blocks on the disk.
    pub fn set_aside_files(&self) -> usize {
        self.inner.store.set_aside()
    }

    /// Closes all outputs, delivers their entries until `deadline`, and ends all tasks. Returns the undelivered entries.
    pub async fn shut_down(&self, deadline: Instant) -> Vec<Undelivered> {
        let tasks = {
            let mut running = self.inner.running.lock();
            running.current.clear();
            // The outputs stay in the list, for `/status`.
            let mut take = |task: &mut Task| Some((task.output.clone(), task.handle.take()?, task.stored.take()));
            running.tasks.iter_mut().filter_map(&mut take).collect::<Vec<_>>()
        };
        for (output, ..) in &tasks {
            output.stop();
        }
        let mut ended = Vec::new();
        for (output, mut handle, stored) in tasks {
            if timeout_at(deadline, &mut handle).await.is_err() {
                handle.abort();
                let _ = handle.await;
            }
            ended.push((output, stored));
        }
        let store = self.inner.store.clone();
        let _ = tokio::task::spawn_blocking(move || store.shut_down()).await;
        let left = |(output, stored): &(Arc<Output>, Option<Stored>)| {
            leftover(output, stored.as_ref().is_some_and(|stored| stored.queue.is_synced()))
        };
        ended.iter().filter_map(left).collect()
    }
}

/// Once `started`, delivers until the queue is closed and empty; then closes its files. If `started` is dropped, it delivers
/// nothing.
async fn run(dispatcher: Dispatcher, started: oneshot::Receiver<()>, store: Arc<Store>, stored: Option<Stored>) {
    if started.await.is_ok() {
        dispatcher.run().await;
    }
    if let Some(stored) = stored {
        let _ = tokio::task::spawn_blocking(move || store.release(&stored)).await;
    }
}

/// The entries of an output that has ended. A queue in memory cannot keep its unconfirmed entries.
fn leftover(output: &Output, kept: bool) -> Option<Undelivered> {
    let Counters { depth, bytes, unconfirmed, unconfirmed_bytes, .. } = output.counters();
    let on_disk = output.spec().queue.is_on_disk();
    let (entries, bytes) = if on_disk { (depth, bytes) } else { (depth - unconfirmed, bytes - unconfirmed_bytes) };
    let last_error = if entries == unconfirmed {
        Some("the destination has not confirmed that it has read them".to_owned())
    } else {
        output.stats().last_error.map(|error| error.message)
    };
    (entries > 0).then(|| Undelivered { plugin: output.label(), entries, bytes, last_error, kept })
}

type QueueParts = (Arc<dyn Queue>, Arc<dyn Reader>, Option<Stored>);

impl Inner {
    /// Creates an output for `spec` with a new queue. It starts when the configuration is committed.
    fn create(&self, running: &mut Running, spec: Arc<OutputSpec>) -> Result<Arc<Output>, OpenError> {
        let sink = spec.open_sink(&self.shared)?;
        let (queue, reader, stored) = self.queue(&spec)?;
        let dead_letters = self.store.dead_letters(&spec);
        let identity = spec.identity.clone();
        let spec = ArcSwap::from(spec);
        let output = Arc::new(Output::new(OutputParts { spec, queue, reader, dead_letters }));
        let dispatcher = Dispatcher::new(output.clone(), sink);
        let (start, started) = oneshot::channel();
        let handle = self.runtime.spawn(run(dispatcher, started, self.store.clone(), stored.clone()));
        running.current.insert(identity, output.clone());
        running.tasks.push(Task { output: output.clone(), start: Some(start), handle: Some(handle), stored });
        Ok(output)
    }

    /// Opens the next sink of each output of the plugin whose spec differs from `spec`, including retired ones.
    fn stage(&self, running: &mut Running, spec: &Arc<OutputSpec>) -> Result<(), OpenError> {
        let Running { tasks, staged, .. } = running;
        for task in tasks.of(&spec.identity).iter().filter(|task| !task.has_ended()) {
            let old = task.output.spec();
            let changed = old.keeping_queue_of(spec);
            let is_staged = |staged: &StagedSink| Arc::ptr_eq(&staged.output, &task.output);
            // Plugins that share a queue open the same output several times.
            if old.continues_as(spec) && *old != *changed && !staged.iter().any(is_staged) {
                let sink = spec.open_sink(&self.shared)?;
                staged.push(StagedSink { output: task.output.clone(), spec: changed, sink });
            }
        }
        Ok(())
    }

    /// Opens a queue that spills; `None` if the data directory cannot be used: queues in memory need none.
    fn open_spilling(
        &self,
        label: &str,
        spec: &OutputSpec,
        options: &DurableOptions,
    ) -> Result<Option<Stored>, OpenError> {
        let claimed = self.store.claim();
        let is_claimed = claimed.is_ok();
        let reason = match claimed.and_then(|()| self.store.open(label, spec, options)) {
            Ok(stored) => return Ok(Some(stored)),
            Err(reason) => reason,
        };
        if is_claimed && self.store.has_folder(spec) {
            // It may have messages of an earlier run, which nothing else would deliver.
            return Err(OpenError::Queue { plugin: spec.plugin.clone(), reason });
        }
        tracing::warn!(plugin = label, "the queue cannot move a backlog to disk: {reason}, or set queue.spill: false");
        Ok(None)
    }

    /// Opens the queue of `spec`.
    fn queue(&self, spec: &OutputSpec) -> Result<QueueParts, OpenError> {
        let label = output::label(spec);
        let stored = match &spec.queue.storage() {
            Storage::Memory => None,
            Storage::Spill(options) => self.open_spilling(&label, spec, options)?,
            Storage::Disk(options) => {
                let plugin = spec.plugin.clone();
                let refused = |reason| OpenError::Queue { plugin, reason: format!("{reason}, or {IN_MEMORY}") };
                Some(self.store.open(&label, spec, options).map_err(refused)?)
            }
        };
        if let Some(stored) = stored {
            return Ok((stored.queue.clone(), stored.queue.clone(), Some(stored)));
        }
        let bounds = spec.queue.memory_bounds();
        let queue = Arc::new(MemoryQueue::new(bounds, self.budget.clone(), self.signals.clone()));
        Ok((queue.clone(), queue, None))
    }
}
