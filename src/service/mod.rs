//! The running service: a configuration with its workers, queues and sinks, and how one replaces another.

mod files;
mod inputs;
pub mod launch;
mod manager;
mod outputs;
mod prepare;
mod reload;
mod serve;
mod signals;
mod source;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use arc_swap::ArcSwap;

use crate::api::Components;
use crate::confinement::{Enforcement, ThreadFilter};
use crate::delivery::{Delivery, Output, OutputSpec, Undelivered};
use crate::entity::Configuration;
use crate::phase::{Generation, Intake, Live, Program, SnippetRegistry, Taps, WorkerStats, Workers};
use crate::sink::SinkShared;
use logphase_config::diagnostic::Diagnostic;
use logphase_queue::{Budget, Queue};
use logphase_script::Clock;

pub use prepare::Prepared;
pub use reload::{ReloadError, Reloaded, Reloader};
pub use source::{ConfigFiles, Loaded, read_configuration, read_configuration_in};

/// Workers, queues and deliveries on one configuration. Transactions come in through [`Service::intake`].
pub struct Service {
    delivery: Delivery,
    /// What the snippets have done.
    snippets: Arc<SnippetRegistry>,
    workers: Workers,
    intake: Intake,
    live: Live,
    /// The outputs of what is live.
    outputs: Mutex<Vec<Arc<Output>>>,
    /// Whether the workers are confined.
    seccomp: Enforcement,
}

/// A configuration that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is wrong; each diagnostic points into it.
    #[error("the configuration is wrong")]
    Configuration(Vec<Diagnostic>),
    /// It is right, but something that it needs is not available.
    #[error("{0}")]
    Unavailable(String),
}

impl Service {
    /// Opens the queues and sinks of `prepared` and starts the workers. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// What is wrong with the configuration, or what is not available.
    pub fn start(prepared: Prepared) -> Result<Self, StartError> {
        let Prepared { settings, configuration, program, outputs, .. } = prepared;
        let limits = settings.queue.limits;
        let (memory, data) = (Budget::new(limits.max_memory), Budget::new(limits.max_data_bytes));
        let delivery = Delivery::bounded(SinkShared::new(None), memory, data, &settings.data_dir);
        let snippets = Arc::new(SnippetRegistry::default());
        let (queues, outputs) = open_outputs(&delivery, &configuration, &program, &outputs)?;
        delivery.warn_of_orphans();
        let live: Live = Arc::new(ArcSwap::from_pointee(activate(program, queues, &snippets)));
        let clock =
            Clock::start().map_err(|error| StartError::Unavailable(format!("cannot start a thread: {error}")))?;
        // The runtime that is to be woken is up, so that the filter can know how.
        let (filter, missing) =
            if settings.confinement.seccomp { thread_filter() } else { (ThreadFilter::none(), None) };
        let (workers, channels) =
            Workers::start(&live, settings.workers, &clock, &filter).map_err(StartError::Unavailable)?;
        delivery.commit(&outputs);
        let seccomp = missing.unwrap_or_else(|| workers.enforcement().clone());
        if let Enforcement::Missing(why) = &seccomp {
            tracing::warn!("worker threads have no seccomp filter: {why}; the Lua sandbox has one layer less");
        }
        let intake = Intake::new(channels, delivery.room());
        Ok(Self { delivery, snippets, workers, intake, live, outputs: Mutex::new(outputs), seccomp })
    }

    /// Where inputs hand transactions in.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// The queues and sinks.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The parts that status and metrics read; `landlock` is how far the process is kept from files.
    pub fn components(&self, landlock: Enforcement) -> Components {
        Components {
            live: Arc::downgrade(&self.live),
            worker_stats: self.workers.worker_stats().clone(),
            snippets: self.snippets.clone(),
            delivery: self.delivery.clone(),
            seccomp: self.seccomp.clone(),
            landlock,
        }
    }

    /// Who watches the messages.
    pub fn taps(&self) -> &Arc<Taps> {
        self.workers.taps()
    }

    /// What the workers did so far, and whether they get on.
    pub fn worker_stats(&self) -> &Arc<WorkerStats> {
        self.workers.worker_stats()
    }

    /// Replaces the configuration as a whole, between two transactions of each worker. Plugins that stay keep their
    /// queues, and what waits there is sent as the new configuration says; those that go deliver what they have.
    ///
    /// # Errors
    /// As [`Self::start`]; then the old configuration stays active and nothing has changed, labels of metrics included.
    pub fn replace(&self, prepared: Prepared) -> Result<(), StartError> {
        let Prepared { configuration, program, outputs, .. } = prepared;
        let mut current = self.outputs.lock();
        match open_outputs(&self.delivery, &configuration, &program, &outputs) {
            Ok((queues, outputs)) => {
                self.live.store(Arc::new(activate(program, queues, &self.snippets)));
                *current = outputs;
                self.delivery.commit(&current);
                Ok(())
            }
            Err(error) => {
                self.delivery.rollback(&current);
                Err(error)
            }
        }
    }

    /// Opens every file again.
    pub fn reopen_files(&self) {
        self.delivery.reopen_files();
    }

    /// Takes nothing more, runs what was taken, delivers within `time`. Answers with what could not be delivered.
    pub async fn shut_down(self, time: Duration) -> Vec<Undelivered> {
        let deadline = tokio::time::Instant::now() + time;
        self.intake.close();
        let Self { delivery, workers, intake, live, .. } = self;
        drop(intake);
        // The workers end when the last input has dropped its intake.
        let joined = tokio::task::spawn_blocking(move || workers.join());
        if tokio::time::timeout_at(deadline, joined).await.is_err() {
            tracing::warn!("workers were still busy at the deadline");
        }
        drop(live);
        delivery.shut_down(deadline).await
    }
}

/// The filter for workers, or why there is none.
fn thread_filter() -> (ThreadFilter, Option<Enforcement>) {
    match ThreadFilter::for_workers() {
        Ok(filter) => (filter, None),
        Err(why) => (ThreadFilter::none(), Some(Enforcement::Missing(why))),
    }
}

/// What the workers run from now on; its snippets continue the counts of their predecessors.
fn activate(mut program: Program, queues: Vec<Option<Arc<dyn Queue>>>, snippets: &SnippetRegistry) -> Generation {
    program.prepare_totals(snippets);
    program.commit_totals(snippets);
    Generation { program: Arc::new(program), queues }
}

/// The queue of each step of a program, and the outputs behind them.
type OpenedOutputs = (Vec<Option<Arc<dyn Queue>>>, Vec<Arc<Output>>);

/// Opens the `outputs` of `program`, which run from here on.
fn open_outputs(
    delivery: &Delivery,
    configuration: &Configuration,
    program: &Program,
    outputs: &BTreeMap<usize, OutputSpec>,
) -> Result<OpenedOutputs, StartError> {
    let (mut queues, mut opened, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for step in &program.steps {
        let Some(spec) = outputs.get(&step.plugin) else {
            queues.push(None);
            continue;
        };
        if spec.queue.is_on_disk() {
            delivery.claim().map_err(StartError::Unavailable)?;
        }
        match delivery.open(spec.clone()) {
            Ok(output) => {
                queues.push(Some(output.queue().clone()));
                opened.push(output);
            }
            Err(error) => errors.extend(outputs::not_opened(&configuration.plugins[step.plugin], error)),
        }
    }
    if errors.is_empty() { Ok((queues, opened)) } else { Err(StartError::Configuration(errors)) }
}
