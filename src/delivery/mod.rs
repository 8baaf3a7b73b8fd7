//! From the queues to the sinks: batching, retry, back-off, reload and shutdown.
//!
//! Every plugin has an [`Output`]: a queue, and a task that reads it. The task leases entries, hands them to the
//! plugin's sink and commits what has settled; entries stay in the queue until then. Order is kept: nothing
//! overtakes an entry that is being retried.

mod backoff;
mod dead;
pub mod inventory;
mod ledger;
mod letter;
mod notices;
mod output;
mod store;
mod swap;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub use self::dead::{DeadLetters, Level};
use self::ledger::Ledger;
pub use self::ledger::PluginStats;
pub use self::letter::{Letter, LetterHead};
use self::output::{Dispatcher, OutputParts};
pub use self::output::{LastError, Output, Stats};
use self::store::{Store, Stored};
use crate::queue_options::{QueueOptions, Storage};
use crate::sink::{ConfigError, Opener, Sink, SinkShared};
use logphase_queue::metric::Histogram;
use logphase_queue::{Budget, Counters, Flusher, MemoryQueue, Queue, Reader, Signals};

/// What an output is opened for.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSpec {
    /// Tells one plugin from all others, over reloads: its id in the configuration.
    pub identity: String,
    /// The plugin's name: `file-log`, `tcp-log`, ...
    pub plugin: String,
    /// Its `instance_name`.
    pub instance: Option<String>,
    /// The ids of other plugins with which it shares its queue.
    pub shares: Vec<String>,
    /// What makes its sink.
    pub opener: Opener,
    /// What its sink is made from: its `config`, validated and with all defaults.
    pub config: Value,
    /// Its queue.
    pub queue: QueueOptions,
}

/// An output cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its sink refuses its configuration.
    #[error("{plugin}: {}", listed(errors))]
    Config {
        /// The plugin's name.
        plugin: String,
        /// Every field that the sink cannot use.
        errors: Vec<ConfigError>,
    },
    /// Its queue cannot be opened.
    #[error("{plugin}: {reason}")]
    Queue {
        /// The plugin's name.
        plugin: String,
        /// What cannot be opened, and what to do.
        reason: String,
    },
}

fn listed(errors: &[ConfigError]) -> String {
    let dot = |error: &ConfigError| if error.field.is_empty() { ": " } else { "." };
    let lines: Vec<_> = errors.iter().map(|error| format!("config{}{error}", dot(error))).collect();
    lines.join("; ")
}

impl OutputSpec {
    fn open_sink(&self, shared: &SinkShared) -> Result<Box<dyn Sink>, OpenError> {
        let opened = self.opener.open(&self.config, shared);
        opened.map_err(|errors| OpenError::Config { plugin: self.plugin.clone(), errors })
    }
}

/// What a plugin had not delivered when the service ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The plugin: its name, with its instance name if it has one.
    pub plugin: String,
    /// Entries in its queue.
    pub entries: usize,
    /// Bytes of these.
    pub bytes: usize,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// Whether they are on disk, and will be delivered by the next run.
    pub kept: bool,
}

/// All outputs of the process. Cheap to clone. Tasks run on the tokio runtime in which it is made.
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
    tasks: Vec<Task>,
    /// What outputs are to be changed to when all of a new configuration is open.
    staged: Vec<Staged>,
    ledger: Ledger,
}

/// Another sink for an output.
struct Staged {
    output: Arc<Output>,
    spec: OutputSpec,
    sink: Box<dyn Sink>,
}

struct Task {
    output: Arc<Output>,
    /// Until it is waited for at the end.
    handle: Option<JoinHandle<()>>,
    stored: Option<Stored>,
}

impl Running {
    /// Lets outputs go that have ended. What they have counted stays.
    fn tidy(&mut self) {
        let ledger = &mut self.ledger;
        self.tasks.retain(|task| {
            // One that ended by a fault of ours still has what is in its queue.
            let ended = task.has_ended() && task.output.is_closed() && task.output.counters().is_idle();
            if ended {
                ledger.fold(&task.output);
            }
            !ended
        });
    }
}

impl Task {
    fn has_ended(&self) -> bool {
        self.handle.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Delivery {
    /// A delivery without outputs, which keeps dead letters and durable queues in `data_dir`. Must be called within a
    /// tokio runtime.
    pub fn new(shared: SinkShared, budget: Budget, data_dir: PathBuf) -> Self {
        Self::bounded(shared, budget, Budget::new(usize::MAX), &data_dir)
    }

    /// The same, with a bound on what waits in the data directory.
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

    /// Makes the durable queues of the data directory this process's own.
    ///
    /// # Errors
    /// Another process has them, or the directory cannot be made; what, where, and what to do.
    pub fn claim(&self) -> Result<(), String> {
        self.inner.store.claim()
    }

    /// Warns of durable queues with entries whose plugins are not there.
    pub fn warn_of_orphans(&self) {
        self.inner.store.warn_of_orphans();
    }

    /// Notified when a queue has room again after a refusal: what the intake waits on.
    pub fn room(&self) -> Arc<Notify> {
        self.inner.signals.room.clone()
    }

    /// The output for `spec`. The one that runs already, with what is in its queue, if that queue is as `spec` wants it;
    /// otherwise a new one. Where outputs of the same plugin run that were opened for something else, they have a sink
    /// opened, which they turn to with [`Self::take_over`].
    pub fn open(&self, spec: OutputSpec) -> Result<Arc<Output>, OpenError> {
        let inner = &self.inner;
        let mut running = inner.lock();
        let fits = |output: &&Arc<Output>| output.spec().shares_queue_with(&spec) && !output.is_closed();
        let found = running.current.get(&spec.identity).filter(fits).cloned();
        let output = match found {
            Some(output) => output,
            None => inner.start(&mut running, spec.clone())?,
        };
        inner.stage(&mut running, &spec)?;
        Ok(output)
    }

    /// The last step of a reload: outputs turn to what was opened for them, and those that are not in `kept` are retired.
    pub fn take_over(&self, kept: &[Arc<Output>]) {
        let staged = std::mem::take(&mut self.inner.lock().staged);
        for Staged { output, spec, sink } in staged {
            output.replace_sink(spec, sink);
        }
        self.retire_others(kept);
    }

    /// Undoes a reload that failed: `kept` are the outputs of before.
    pub fn undo(&self, kept: &[Arc<Output>]) {
        self.inner.lock().staged.clear();
        self.retire_others(kept);
    }

    /// Closes an output that no plan leads to any more: it takes nothing new, delivers what it has, and ends.
    pub fn retire(&self, output: &Arc<Output>) {
        output.close();
        let current = &mut self.inner.lock().current;
        if current.get(&output.spec().identity).is_some_and(|found| Arc::ptr_eq(found, output)) {
            current.remove(&output.spec().identity);
        }
    }

    /// Retires every output that is not in `kept`.
    fn retire_others(&self, kept: &[Arc<Output>]) {
        let others: Vec<_> = {
            let running = self.inner.lock();
            let is_kept: std::collections::HashSet<_> = kept.iter().map(Arc::as_ptr).collect();
            let outputs = running.tasks.iter().map(|task| &task.output);
            outputs.filter(|output| !output.is_closed() && !is_kept.contains(&Arc::as_ptr(output))).cloned().collect()
        };
        for output in &others {
            self.retire(output);
        }
        // A reload that was undone leaves the outputs of before; they are the current ones again.
        let mut running = self.inner.lock();
        for output in kept.iter().filter(|output| !output.is_closed()) {
            running.current.insert(output.spec().identity.clone(), output.clone());
        }
    }

    /// Makes every file sink open its file anew before the next line.
    pub fn reopen_files(&self) {
        self.inner.shared.reopen_all();
    }

    /// Resolves at a moment when every queue is empty and nothing is reserved: all that came in is delivered.
    pub async fn idle(&self) {
        loop {
            let notified = self.inner.signals.idle.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let busy = self.inner.lock().tasks.iter().any(|task| !task.output.counters().is_idle());
            if !busy {
                return;
            }
            notified.await;
        }
    }

    /// The state of every output, retired ones that still deliver included, by identity.
    pub fn stats(&self) -> Vec<Stats> {
        let running = self.inner.lock();
        let tasks = running.tasks.iter().filter(|task| !task.has_ended());
        let mut stats: Vec<_> = tasks.map(|task| task.output.stats()).collect();
        stats.sort_by(|a, b| a.identity.cmp(&b.identity));
        stats
    }

    /// What is known about each plugin since the start, by name and id.
    pub fn plugins(&self) -> Vec<PluginStats> {
        let mut running = self.inner.lock();
        running.tidy();
        let Running { current, tasks, ledger, .. } = &mut *running;
        let is_current = |output: &Arc<Output>| {
            current.get(&output.spec().identity).is_some_and(|current| Arc::ptr_eq(current, output))
        };
        ledger.read(tasks.iter().map(|task| (&*task.output, is_current(&task.output))))
    }

    /// The bounds on what all queues hold: in memory, and on disk.
    pub fn budgets(&self) -> (&Budget, &Budget) {
        (&self.inner.budget, self.inner.store.budget())
    }

    /// How long syncs of queues on disk took.
    pub fn syncs(&self) -> Histogram {
        self.inner.store.syncs()
    }

    /// Queues on disk with entries whose plugins are not there. Waits for the disk.
    pub fn orphaned_queues(&self) -> usize {
        self.inner.store.orphans().len()
    }

    /// Closes all outputs and delivers what they have until `deadline`; returns what is left then, with nothing
    /// running any more.
    pub async fn shut_down(&self, deadline: Instant) -> Vec<Leftover> {
        let tasks = {
            let mut running = self.inner.lock();
            running.current.clear();
            // The outputs stay where they can be asked.
            let mut take = |task: &mut Task| Some((task.output.clone(), task.handle.take()?, task.stored.take()));
            running.tasks.iter_mut().filter_map(&mut take).collect::<Vec<_>>()
        };
        for (output, ..) in &tasks {
            output.close();
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
            leftover(output, stored.as_ref().is_some_and(|stored| stored.queue.is_safe()))
        };
        ended.iter().filter_map(left).collect()
    }
}

/// Delivers until the queue is closed and empty, and lets its files go.
async fn run(dispatcher: Dispatcher, store: Arc<Store>, stored: Option<Stored>) {
    dispatcher.run().await;
    if let Some(stored) = stored {
        let _ = tokio::task::spawn_blocking(move || store.release(&stored)).await;
    }
}

fn leftover(output: &Output, kept: bool) -> Option<Leftover> {
    let Counters { depth, bytes, .. } = output.counters();
    let last_error = output.stats().last_error.map(|error| error.message);
    (depth > 0).then(|| Leftover { plugin: output.label(), entries: depth, bytes, last_error, kept })
}

type Ends = (Arc<dyn Queue>, Arc<dyn Reader>, Option<Stored>);

impl Inner {
    /// An output for `spec` with a queue of its own.
    fn start(&self, running: &mut Running, spec: OutputSpec) -> Result<Arc<Output>, OpenError> {
        let sink = spec.open_sink(&self.shared)?;
        let (queue, reader, stored) = self.queue(&spec)?;
        let dead_letters = self.store.dead_letters(&spec);
        let identity = spec.identity.clone();
        let spec = ArcSwap::from_pointee(spec);
        let output = Arc::new(Output::new(OutputParts { spec, queue, reader, dead_letters }));
        let dispatcher = Dispatcher::new(output.clone(), sink);
        let handle = self.runtime.spawn(run(dispatcher, self.store.clone(), stored.clone()));
        running.current.insert(identity, output.clone());
        running.tidy();
        running.tasks.push(Task { output: output.clone(), handle: Some(handle), stored });
        Ok(output)
    }

    /// Opens a sink for each output of the plugin of `spec` that does not deliver as `spec` says, also for those that
    /// only deliver what they have.
    fn stage(&self, running: &mut Running, spec: &OutputSpec) -> Result<(), OpenError> {
        let Running { tasks, staged, .. } = running;
        for task in tasks.iter().filter(|task| !task.has_ended()) {
            let old = task.output.spec();
            let changed = old.keeping_queue_of(spec);
            let is_staged = |staged: &Staged| Arc::ptr_eq(&staged.output, &task.output);
            // Plugins that share an output open it several times.
            if *old != changed && old.continues_as(spec) && !staged.iter().any(is_staged) {
                let sink = spec.open_sink(&self.shared)?;
                staged.push(Staged { output: task.output.clone(), spec: changed, sink });
            }
        }
        Ok(())
    }

    /// The queue that `spec` asks for.
    fn queue(&self, spec: &OutputSpec) -> Result<Ends, OpenError> {
        match &spec.queue.storage() {
            Storage::Memory => {
                let bounds = spec.queue.memory_bounds();
                let queue = Arc::new(MemoryQueue::new(bounds, self.budget.clone(), self.signals.clone()));
                Ok((queue.clone(), queue, None))
            }
            Storage::Disk(options) => {
                let refused = |reason| OpenError::Queue { plugin: spec.plugin.clone(), reason };
                let stored = self.store.open(&output::label(spec), spec, options).map_err(refused)?;
                Ok((stored.queue.clone(), stored.queue.clone(), Some(stored)))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock()
    }
}
