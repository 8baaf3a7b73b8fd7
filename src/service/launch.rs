//! Launches a service: reads its files, restricts the process, and runs it to its end.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use logphase_config::diagnostic::{Diagnostic, SourceFile};

use super::admin;
use super::database::Database;
use super::watch::{Contents, Watch};
use super::{ConfigFiles, Loaded, Prepared, Service, StartError, files, inputs, page, running, serve};
use crate::api::ServiceState;
use crate::confinement::{self, Enforcement, ThreadFilter};
use crate::decode::mapping::KONG;
use crate::input::{BindError, Progress, StdinSummary};
use crate::log;
use crate::page::playground::Keeper;
use crate::settings::Settings;

/// A service that is about to start. Its files are read and valid.
pub struct Launch {
    files: ConfigFiles,
    prepared: Prepared,
    paths: Vec<PathBuf>,
    watched: Vec<PathBuf>,
    contents: Contents,
    database: Option<Database>,
}

/// How a service reports to the command that started it.
pub struct Console<'a> {
    /// Shows the diagnostics of a reloaded configuration.
    pub diagnostics: &'a dyn Fn(&[Diagnostic]),
    /// Shows the progress of reading standard input. Only [`Launch::drain_stdin`] calls it.
    pub progress: &'a dyn Fn(&Progress),
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The configuration is invalid.
    #[error("the configuration is invalid")]
    Configuration(Vec<Diagnostic>),
    /// A file, an address or another resource is not available.
    #[error("{0}")]
    Unavailable(String),
}

impl From<StartError> for LaunchError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Configuration(diagnostics) => Self::Configuration(diagnostics),
            StartError::Unavailable(message) => Self::Unavailable(message),
        }
    }
}

impl From<BindError> for LaunchError {
    fn from(error: BindError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// How a service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every accepted message is delivered, or on disk for the next run.
    Complete,
    /// Messages are lost, or undelivered although everything had to be delivered.
    Incomplete,
}

/// The result of processing standard input.
#[derive(Debug)]
pub struct Drained {
    /// How the service ended.
    pub ended: Ended,
    /// Messages that their destinations refused permanently.
    pub dropped: u64,
    /// The result of reading; `None` if a signal interrupted it.
    pub summary: Option<StdinSummary>,
}

impl Launch {
    /// Reads and checks `files`.
    ///
    /// # Errors
    /// All diagnostics, with at least one error.
    pub fn read(files: ConfigFiles) -> Result<Self, Vec<Diagnostic>> {
        // Before the settings are read, so that no later change is missed.
        let before = Contents::read(&files.watched(&[]));
        let (settings, diagnostics) = files.read_settings();
        let paths = files.declarative_files(&settings);
        let watched = files.watched(&paths);
        let contents = Contents::read(&watched).beginning_with(before);
        let mut database = match Database::open(&settings, &paths) {
            Ok(database) => database,
            Err(error) => return Err(diagnostics.into_iter().chain([*error]).collect()),
        };
        let loaded = match &mut database {
            Some(database) => Loaded::with_entities(settings, diagnostics, &database.entities()),
            None => Loaded::of(settings, paths.clone(), files.accept, diagnostics),
        };
        let prepared = Prepared::new(loaded)?;
        if let Some(database) = &mut database {
            database.last = prepared.last();
        }
        Ok(Self { files, prepared, paths, watched, contents, database })
    }

    /// The warnings and notes about the files.
    pub fn warnings(&self) -> &[Diagnostic] {
        self.prepared.warnings()
    }

    /// Serves until a signal says to stop.
    ///
    /// # Errors
    /// The service cannot be started.
    pub fn serve(self, console: &Console<'_>) -> Result<Ended, LaunchError> {
        self.run(async |mut launched| {
            launched.check_inputs()?;
            let _status = inputs::show_status(&launched.settings, &launched.state).await?;
            let listeners = admin::listen(&launched.settings).await?;
            let page = page::listen(&launched.settings).await?;
            let sources = launched.sources();
            let service = launched.start()?;
            let watch = Watch::new(launched.watched, launched.contents, &launched.settings.reload);
            let serving = serve::Serving {
                service,
                state: launched.state,
                files: launched.files,
                of_files: !launched.paths.is_empty(),
                is_quickstart: launched.paths.is_empty() && launched.database.is_none(),
                listeners,
                page,
                keeper: launched.keeper,
                sources,
                database: launched.database,
                watch,
                settings: launched.settings,
            };
            serving.run(console).await
        })
    }

    /// Reads standard input to its end by the mapping `mapping`, delivers everything, and stops. Opens no listeners.
    /// `match_routes`: whether to find the routes of transactions without one; by default if the mapping is not Kong's.
    ///
    /// # Errors
    /// There is no such mapping, or the service cannot be started.
    pub fn drain_stdin(
        mut self,
        mapping: &str,
        match_routes: Option<bool>,
        console: &Console<'_>,
    ) -> Result<Drained, LaunchError> {
        let mappings = &self.prepared.settings().mappings;
        mappings.check_argument(mapping).map_err(|unknown| LaunchError::Configuration(vec![*unknown]))?;
        // Kong says the routes itself.
        let match_routes = match_routes.unwrap_or(mapping != KONG);
        if match_routes {
            self.prepared.match_routes();
        }
        self.run(async |mut launched| {
            let service = launched.start()?;
            Ok(serve::drain_stdin(service, &launched.settings, (mapping, match_routes), console).await)
        })
    }

    /// Restricts the process and starts the log and the runtime, before any other thread runs. Then runs `body`.
    fn run<R>(self, body: impl AsyncFnOnce(Launched) -> Result<R, LaunchError>) -> Result<R, LaunchError> {
        let settings = self.prepared.settings().clone();
        // Before the first thread, and before the log can show a secret to whoever traces the process.
        let hidden = if settings.confinement.core_dumps { Ok(()) } else { confinement::hide_memory() };
        let no_data_dir = create_data_dir(&settings.data_dir).err();
        let directory = settings.data_dir.display();
        if let Some(error) = no_data_dir.as_ref().filter(|_| self.paths.is_empty()) {
            let message = format!("cannot create the data directory {directory}: {error}; set LOGPHASE_DATA_DIR");
            return Err(LaunchError::Unavailable(message));
        }
        let announced = running::announce(&settings.data_dir);
        // Before no process can be started any more.
        let (keeper, no_playground) = match page::keeper(&settings) {
            Ok(keeper) => (keeper, None),
            Err(error) => (None, Some(error)),
        };
        // Before any other thread runs: a thread inherits the restrictions of the one that starts it.
        let landlock = self.confine();
        let refusing = if settings.confinement.seccomp { confinement::refuse_system_calls() } else { Enforcement::Off };
        log::start(&settings.log.level, settings.log.format);
        match &landlock {
            Enforcement::Missing(why) => tracing::warn!("Landlock does not restrict the process's files: {why}"),
            Enforcement::Partial => tracing::info!("Landlock restricts the process's files: {landlock}"),
            landlock => tracing::debug!("Landlock restricts the process's files: {landlock}"),
        }
        if let Enforcement::Missing(why) = &refusing {
            tracing::warn!("seccomp does not restrict the system calls of the process: {why}");
        }
        if let Err(why) = hidden {
            tracing::warn!("core dumps of the process cannot be turned off: {why}");
        }
        if let Err(error) = announced {
            tracing::debug!("commands find this service by its data directory only: {error}");
        }
        if let Some(error) = no_playground {
            tracing::warn!("the page has no playground, since no process can be started for it: {error}");
        }
        if let Some(error) = no_data_dir {
            tracing::warn!(
                "cannot create the data directory {directory}: {error}; a message that its destination refuses \
                 permanently cannot become a dead letter, and blocks its queue: set LOGPHASE_DATA_DIR"
            );
        }
        let no_threads = |error| LaunchError::Unavailable(format!("cannot start threads: {error}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("io").build();
        let runtime = runtime.map_err(no_threads)?;
        let Self { files, prepared, paths, watched, contents, database } = self;
        let launched = Launched {
            files,
            database,
            paths,
            watched,
            contents,
            settings,
            landlock,
            state: ServiceState::default(),
            prepared: Some(prepared),
            keeper,
        };
        let confined = launched.settings.confinement.seccomp;
        let log_filter = if confined { ThreadFilter::for_files() } else { ThreadFilter::none() };
        let result = runtime.block_on(async {
            log::start_writer(log_filter).map_err(no_threads)?;
            body(launched).await
        });
        // A write to a pipe without a reader would block its thread forever.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }

    /// Restricts the process to its own files.
    fn confine(&self) -> Enforcement {
        let settings = self.prepared.settings();
        if !settings.confinement.landlock {
            return Enforcement::Off;
        }
        let settings_file = self.files.settings_file();
        let configuration = self.prepared.configuration();
        confinement::confine_process(files::of_service(settings_file.as_deref(), &self.paths, configuration, settings))
    }
}

/// Creates the data directory, which only its owner can enter: queues and dead letters are messages. One that exists stays as
/// it is, and so do the permissions of the directories above it.
fn create_data_dir(path: &Path) -> std::io::Result<()> {
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if !path.is_dir() => Err(error),
        _ => Ok(()),
    }
}

/// A service inside of its runtime.
struct Launched {
    files: ConfigFiles,
    paths: Vec<PathBuf>,
    watched: Vec<PathBuf>,
    contents: Contents,
    settings: Settings,
    landlock: Enforcement,
    state: ServiceState,
    prepared: Option<Prepared>,
    database: Option<Database>,
    keeper: Option<Keeper>,
}

impl Launched {
    /// Logs what is open to others of the inputs.
    ///
    /// # Errors
    /// A file of an input cannot be used.
    fn check_inputs(&self) -> Result<(), LaunchError> {
        let found = self.prepared.iter().flat_map(Prepared::check_inputs);
        let (errors, warnings): (Vec<_>, Vec<_>) = found.partition(Diagnostic::is_error);
        for Diagnostic { message, help, .. } in warnings {
            tracing::warn!("{message}; {}", help.unwrap_or_default());
        }
        if errors.is_empty() { Ok(()) } else { Err(LaunchError::Configuration(errors)) }
    }

    /// The texts of the configuration.
    fn sources(&self) -> Vec<Arc<SourceFile>> {
        self.prepared.as_ref().map(|prepared| prepared.configuration().sources.clone()).unwrap_or_default()
    }

    /// Starts the workers and outputs.
    fn start(&mut self) -> Result<Service, LaunchError> {
        let prepared = self.prepared.take().expect("a service is started once");
        let service = Service::start(prepared)?;
        self.state.set_components(service.components(self.landlock.clone()));
        Ok(service)
    }
}
