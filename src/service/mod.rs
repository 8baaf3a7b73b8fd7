//! The running service: workers, queues and sinks of a configuration, and how a configuration replaces another.

mod admin;
mod busy_workers;
mod collecting;
pub mod database;
mod effective;
mod files;
mod inputs;
mod last;
pub mod launch;
mod listeners;
mod manager;
mod offline;
mod outputs;
mod page;
mod prepare;
mod reload;
pub mod running;
mod serve;
mod signals;
mod source;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use arc_swap::ArcSwap;

use crate::api::Components;
use crate::confinement::{Enforcement, ThreadFilter};
use crate::delivery::{Collectors, Delivery, Output, OutputSpec, Undelivered};
use crate::input::ConnectionThreads;
use crate::phase::{Generation, Intake, Live, Program, SnippetRegistry, Taps, WorkerStats, Workers};
use crate::sink::SinkShared;
use collecting::Collecting;
use logphase_config::diagnostic::Diagnostic;
use logphase_queue::{Budget, Queue};
use logphase_script::Clock;
use outputs::Outputs;

pub use effective::Effective;
pub(crate) use offline::Offline;
pub use prepare::Prepared;
pub use reload::{ReloadError, Reloaded, Reloader};
pub use source::{ConfigFiles, Loaded, read_configuration};

/// The workers, queues and sinks of a configuration. [`Service::intake`] accepts transactions.
pub struct Service {
    delivery: Delivery,
    /// The counters of the snippets.
    snippets: Arc<SnippetRegistry>,
    workers: Workers,
    /// How long one transaction may keep a worker busy.
    stuck_after: Duration,
    intake: Intake,
    live: Live,
    /// The outputs of the active configuration.
    outputs: Mutex<Vec<Arc<Output>>>,
    /// The collectors that lines name, if an input has such lines.
    collecting: Option<Collecting>,
    /// Whether the workers are confined.
    seccomp: Enforcement,
    /// Serve the connections of inputs.
    threads: Option<Arc<ConnectionThreads>>,
}

/// Why a configuration cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is invalid; each diagnostic points into it.
    #[error("the configuration is invalid")]
    Configuration(Vec<Diagnostic>),
    /// It is valid, but a resource that it needs is not available.
    #[error("{0}")]
    Unavailable(String),
}

impl Service {
    /// Opens the queues and sinks of `prepared` and starts the workers. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The configuration is invalid, or a resource is not available.
    pub fn start(prepared: Prepared) -> Result<Self, StartError> {
        let Prepared { settings, program, outputs, mesh_outputs, .. } = prepared;
        let limits = settings.queue.limits;
        let (memory, data) = (Budget::new(limits.max_memory), Budget::new(limits.max_data_bytes));
        let shared = SinkShared::new(None).creating_files(settings.files.permissions());
        let delivery = Delivery::bounded(shared, memory, data, &settings.data_dir);
        let (files, clock) = match settings.confinement.seccomp {
            true => (ThreadFilter::for_files(), ThreadFilter::for_clock()),
            false => (ThreadFilter::none(), ThreadFilter::none()),
        };
        // Where it is missing, it is for workers too, which is reported.
        delivery.on_thread_start(move || drop(files.apply()));
        let snippets = Arc::new(SnippetRegistry::default());
        let specs = (&outputs, &*mesh_outputs);
        let (queues, required, outputs) = open_outputs(&delivery, &program, specs)?;
        let collecting = Collecting::open(&delivery, &settings, &outputs);
        delivery.warn_of_orphans();
        let reads_records = program.mesh.is_some();
        let live: Live = Arc::new(ArcSwap::from_pointee(activate(program, queues, required, &snippets)));
        let clock = Clock::start_with(move || drop(clock.apply()))
            .map_err(|error| StartError::Unavailable(format!("cannot start a thread: {error}")))?;
        let threads = connection_threads();
        // The runtimes must exist already: the filter allows writes to the descriptors that wake it.
        let (filter, missing) =
            if settings.confinement.seccomp { thread_filter() } else { (ThreadFilter::none(), None) };
        let (workers, channels) =
            Workers::start(&live, settings.workers, &clock, &filter).map_err(StartError::Unavailable)?;
        delivery.commit(&kept(&outputs, collecting.as_ref().map(|collecting| collecting.hold().outputs())));
        let seccomp = missing.unwrap_or_else(|| workers.enforcement().clone());
        if let Enforcement::Missing(why) = &seccomp {
            tracing::warn!("worker threads have no seccomp filter: {why}; the Lua sandbox has one layer less");
        }
        let intake = Intake::new(channels, delivery.room(), settings.fair_by);
        intake.read_records(reads_records);
        intake.set_taps(workers.taps());
        let stuck_after = settings.lua.stuck_after;
        let outputs = Mutex::new(outputs);
        Ok(Self { delivery, snippets, workers, stuck_after, intake, live, outputs, collecting, seccomp, threads })
    }

    /// Accepts the transactions of inputs.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// The collectors that lines name, if settings have an input of such lines.
    pub fn collectors(&self) -> Option<Collectors> {
        self.collecting.as_ref().map(Collecting::collectors)
    }

    /// The threads that serve the connections of inputs.
    pub fn threads(&self) -> Option<Arc<ConnectionThreads>> {
        self.threads.clone()
    }

    /// The queues and sinks.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The parts that status and metrics read. `landlock` is the state of the file restrictions of the process.
    pub fn components(&self, landlock: Enforcement) -> Components {
        Components {
            live: Arc::downgrade(&self.live),
            worker_stats: self.workers.worker_stats().clone(),
            stuck_after: self.stuck_after,
            snippets: self.snippets.clone(),
            delivery: self.delivery.clone(),
            seccomp: self.seccomp.clone(),
            landlock,
        }
    }

    /// The subscriptions to messages (`logphase tap`).
    pub fn taps(&self) -> &Arc<Taps> {
        self.workers.taps()
    }

    /// The counters and heartbeats of the workers.
    pub fn worker_stats(&self) -> &Arc<WorkerStats> {
        self.workers.worker_stats()
    }

    /// Logs workers that one transaction keeps busy, with the plugin, the field and the route, and gives what waits for them to
    /// others. Never returns.
    pub fn watch_workers(&self) -> impl Future<Output = ()> + Send + use<> {
        let (worker_stats, live) = (self.workers.worker_stats().clone(), Arc::downgrade(&self.live));
        busy_workers::watch(worker_stats, live, self.intake.relieving_stuck_workers())
    }

    /// Replaces the whole configuration; each worker switches between two transactions. Plugins that remain keep their
    /// queues, whose messages are sent with the new configuration. Removed plugins deliver the messages in their queues.
    ///
    /// # Errors
    /// As [`Self::start`]. The old configuration stays active, and nothing has changed, including labels of metrics.
    pub fn replace(&self, prepared: Prepared) -> Result<(), StartError> {
        let Prepared { settings, program, outputs, mesh_outputs, .. } = prepared;
        let mut current = self.outputs.lock();
        let mut held = self.collecting.as_ref().map(Collecting::hold);
        match open_outputs(&self.delivery, &program, (&outputs, &mesh_outputs)) {
            Ok((queues, required, outputs)) => {
                self.intake.read_records(program.mesh.is_some());
                self.live.store(Arc::new(activate(program, queues, required, &self.snippets)));
                *current = outputs;
                let of_lines = held.as_mut().map(|held| held.replace(&settings, &current));
                self.delivery.commit(&kept(&current, of_lines));
                Ok(())
            }
            Err(error) => {
                self.delivery.rollback(&kept(&current, held.map(|held| held.outputs())));
                Err(error)
            }
        }
    }

    /// Reopens every file.
    pub fn reopen_files(&self) {
        self.delivery.reopen_files();
    }

    /// Stops accepting transactions, runs the accepted ones, and delivers their messages within `time`. Returns the undelivered
    /// messages.
    pub async fn shut_down(self, time: Duration) -> Vec<Undelivered> {
        let deadline = tokio::time::Instant::now() + time;
        self.intake.close();
        let Self { delivery, workers, intake, live, .. } = self;
        drop(intake);
        // The workers end when every input has dropped its intake.
        let joined = tokio::task::spawn_blocking(move || workers.join());
        if tokio::time::timeout_at(deadline, joined).await.is_err() {
            tracing::warn!("workers were still busy at the deadline");
        }
        drop(live);
        delivery.shut_down(deadline).await
    }
}

/// The outputs of a configuration, and those that only lines have named.
fn kept(outputs: &[Arc<Output>], of_lines: Option<Vec<Arc<Output>>>) -> Vec<Arc<Output>> {
    outputs.iter().cloned().chain(of_lines.into_iter().flatten()).collect()
}

/// The threads that serve connections; `None` if they cannot be started.
fn connection_threads() -> Option<Arc<ConnectionThreads>> {
    let started = ConnectionThreads::start().inspect_err(|error| {
        tracing::warn!(%error, "connections have no threads of their own, which costs more CPU time for each");
    });
    started.ok().map(Arc::new)
}

/// The filter for workers, or no filter and the reason.
fn thread_filter() -> (ThreadFilter, Option<Enforcement>) {
    match ThreadFilter::for_workers() {
        Ok(filter) => (filter, None),
        Err(why) => (ThreadFilter::none(), Some(Enforcement::Missing(why))),
    }
}

/// The generation that workers run next. Its snippets continue the counters of the previous generation.
fn activate(
    program: Program,
    queues: Vec<Option<Arc<dyn Queue>>>,
    required: Vec<bool>,
    snippets: &SnippetRegistry,
) -> Generation {
    program.prepare_totals(snippets);
    program.commit_totals(snippets);
    Generation { program: Arc::new(program), queues, required }
}

/// The queue of each step of a program, and after them of each output of its meshes, whether it is required, and the outputs behind the queues.
type OpenedOutputs = (Vec<Option<Arc<dyn Queue>>>, Vec<bool>, Vec<Arc<Output>>);

/// Opens the `outputs` of `program`. They start to run.
fn open_outputs(
    delivery: &Delivery,
    program: &Program,
    (outputs, of_mesh): (&Outputs, &[Arc<OutputSpec>]),
) -> Result<OpenedOutputs, StartError> {
    let (mut queues, mut required, mut opened, mut errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // Plugins that share an output name it once each.
    let mut by_spec: HashMap<*const OutputSpec, Arc<Output>> = HashMap::new();
    let of_steps = program.steps.iter().map(|step| (outputs.of(&step.plugin), outputs::Owner::Plugin(&step.plugin)));
    let names = program.mesh.iter().flat_map(|engine| engine.outputs());
    let of_mesh = of_mesh.iter().zip(names).map(|(spec, output)| (Some(spec), outputs::Owner::Mesh(output)));
    for (spec, owner) in of_steps.chain(of_mesh) {
        required.push(spec.is_none_or(|spec| spec.queue.required));
        let Some(spec) = spec else {
            queues.push(None);
            continue;
        };
        if let Some(output) = by_spec.get(&Arc::as_ptr(spec)) {
            queues.push(Some(output.queue().clone()));
            continue;
        }
        if spec.queue.is_on_disk() {
            delivery.claim().map_err(StartError::Unavailable)?;
        }
        match delivery.open(spec.clone()) {
            Ok(output) => {
                queues.push(Some(output.queue().clone()));
                by_spec.insert(Arc::as_ptr(spec), output.clone());
                opened.push(output);
            }
            Err(error) => errors.extend(owner.not_opened(&error)),
        }
    }
    if errors.is_empty() { Ok((queues, required, opened)) } else { Err(StartError::Configuration(errors)) }
}

#[cfg(test)]
mod tests;
