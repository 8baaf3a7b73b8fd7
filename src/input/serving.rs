//! All inputs of a service: bound together, served together, stopped together.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::lines::UnfinishedLines;
use super::threads::ConnectionThreads;
use super::{Address, BindError, BoundInput, Context, Counters, Definition, InputSettings};
use crate::delivery::Collectors;
use crate::phase::Intake;

/// The inputs that settings turn on, bound and not yet served.
pub struct Inputs {
    bound: Vec<Bound>,
    /// Maximum bytes of the unfinished lines of all of them.
    pub(super) max_unfinished_bytes: usize,
    /// Where lines go that name a collector.
    collectors: Option<Collectors>,
    threads: Option<Arc<ConnectionThreads>>,
}

/// One of them.
struct Bound {
    name: &'static str,
    input: Box<dyn BoundInput>,
    match_routes: bool,
    replay: bool,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inputs").field(&self.addresses()).finish()
    }
}

impl Inputs {
    /// Takes the addresses of those of `definitions` that `settings` turn on. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be taken; those taken before are released.
    pub fn bind<'a>(definitions: &[Definition], settings: impl Into<InputSettings<'a>>) -> Result<Self, BindError> {
        let settings = settings.into();
        let mut bound = Vec::new();
        for definition in definitions {
            if let Some(input) = definition.bind(settings)? {
                let match_routes = definition.matches_routes(settings);
                let replay = definition.replays_phases(settings);
                bound.push(Bound { name: definition.name, input, match_routes, replay });
            }
        }
        let max_unfinished_bytes = settings.shared.limits.max_unfinished_bytes;
        Ok(Self { bound, max_unfinished_bytes, collectors: None, threads: None })
    }

    /// One input alone.
    #[cfg(test)]
    pub(super) fn of(name: &'static str, input: Box<dyn BoundInput>) -> Self {
        let bound = vec![Bound { name, input, match_routes: false, replay: false }];
        Self { bound, max_unfinished_bytes: 32 << 20, collectors: None, threads: None }
    }

    /// The same, with what an input of lines needs that name a collector.
    #[must_use]
    pub fn with_collectors(self, collectors: Option<Collectors>) -> Self {
        Self { collectors, ..self }
    }

    /// The same, with threads for connections. Without them, those of the runtime serve connections.
    #[must_use]
    pub fn with_threads(self, threads: Option<Arc<ConnectionThreads>>) -> Self {
        Self { threads, ..self }
    }

    /// Whether no input is turned on.
    pub fn is_empty(&self) -> bool {
        self.bound.is_empty()
    }

    /// Where the inputs listen, in the order of the definitions and, for each input, of its settings.
    pub fn addresses(&self) -> Vec<Address> {
        self.bound.iter().flat_map(|bound| bound.input.addresses()).collect()
    }

    /// Starts every input. When `stop` becomes true (or its sender is dropped) they accept nothing more, finish what is
    /// in flight, and end.
    pub fn serve(self, intake: &Intake, stop: &watch::Receiver<bool>) -> Serving {
        let mut tasks = JoinSet::new();
        let mut counters = Vec::new();
        let unfinished = UnfinishedLines::new(self.max_unfinished_bytes);
        for Bound { name, input, match_routes, replay } in self.bound {
            let own = Arc::new(Counters::default());
            counters.push((name, own.clone()));
            let number = super::number_of(name);
            let intake = intake.for_sender(None).matching_routes(match_routes).replaying(replay).of_input(number);
            let (stop, unfinished, collectors) = (stop.clone(), unfinished.clone(), self.collectors.clone());
            let threads = self.threads.clone();
            let context = Context { input: name, intake, counters: own, stop, unfinished, collectors, threads };
            tasks.spawn(input.serve(context));
        }
        Serving { tasks, counters }
    }
}

/// The running inputs. Dropping it ends them at once.
#[derive(Debug)]
pub struct Serving {
    tasks: JoinSet<()>,
    counters: Vec<(&'static str, Arc<Counters>)>,
}

impl Serving {
    /// What each input has counted, by its name, in the order of the definitions.
    pub fn counters(&self) -> &[(&'static str, Arc<Counters>)] {
        &self.counters
    }

    /// Waits until every input has ended, which they do when told to stop and nothing of theirs is in flight.
    /// May be dropped and called again.
    pub async fn finished(&mut self) {
        join(&mut self.tasks).await;
    }
}

/// Runs `listeners`, each as a task of its own, until all have ended. Dropping the future ends them at once.
pub(super) async fn run_all(listeners: impl IntoIterator<Item: Future<Output = ()> + Send + 'static>) {
    let mut tasks: JoinSet<()> = listeners.into_iter().collect();
    join(&mut tasks).await;
}

async fn join(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "an input ended by a bug of its own; please report it");
        }
    }
}
