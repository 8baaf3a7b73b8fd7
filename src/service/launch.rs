//! The life of a service: from its files to its end.

use std::path::PathBuf;
use std::time::Duration;

use logphase_config::diagnostic::Diagnostic;

use super::watch::{Contents, Watch};
use super::{ConfigFiles, Loaded, Prepared, Service, StartError, files, inputs, serve};
use crate::api::ServiceState;
use crate::confinement::{self, Enforcement};
use crate::input::{BindError, Progress, StdinSummary};
use crate::log;
use crate::settings::Settings;

/// A service that is about to start: its files were read and are without mistakes.
pub struct Launch {
    files: ConfigFiles,
    prepared: Prepared,
    paths: Vec<PathBuf>,
    watched: Vec<PathBuf>,
    contents: Contents,
}

/// How a service reports to whoever started it.
pub struct Console<'a> {
    /// Shows what was found in a configuration that was read again.
    pub diagnostics: &'a dyn Fn(&[Diagnostic]),
    /// Shows how far standard input has been read; only [`Launch::drain_stdin`] calls it.
    pub progress: &'a dyn Fn(&Progress),
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The configuration is wrong.
    #[error("the configuration is wrong")]
    Configuration(Vec<Diagnostic>),
    /// Something that it needs is not available.
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
    /// Nothing is left, or what is left is on disk for the next run.
    Complete,
    /// Some of what was taken is lost, or was to be delivered and is not.
    Incomplete,
}

/// What became of standard input.
#[derive(Debug)]
pub struct Drained {
    /// How the service ended.
    pub ended: Ended,
    /// Messages that their sinks refused for good.
    pub dropped: u64,
    /// What was read; `None` if a signal came first.
    pub summary: Option<StdinSummary>,
}

impl Launch {
    /// Reads `files` and checks all that is in them.
    ///
    /// # Errors
    /// Everything that was found, with at least one error.
    pub fn read(files: ConfigFiles) -> Result<Self, Vec<Diagnostic>> {
        // Before the settings are read, so that no change goes unnoticed.
        let before = Contents::read(&files.watched(&[]));
        let (settings, diagnostics) = files.read_settings();
        let paths = files.declarative_files(&settings);
        let watched = files.watched(&paths);
        let contents = Contents::read(&watched).beginning_with(before);
        let loaded = Loaded::of(settings, paths.clone(), diagnostics);
        let prepared = Prepared::new(loaded)?;
        Ok(Self { files, prepared, paths, watched, contents })
    }

    /// What was found in the files and refuses nothing.
    pub fn warnings(&self) -> &[Diagnostic] {
        self.prepared.warnings()
    }

    /// Serves until a signal says to stop.
    ///
    /// # Errors
    /// The service cannot be started.
    pub fn serve(self, console: &Console<'_>) -> Result<Ended, LaunchError> {
        self.run(async |mut launched| {
            let _status = inputs::show_status(&launched.settings, &launched.state).await?;
            let service = launched.start()?;
            let watch = Watch::new(launched.watched, launched.contents, &launched.settings.reload);
            let serving = serve::Serving {
                service,
                state: launched.state,
                files: launched.files,
                is_quickstart: launched.paths.is_empty(),
                watch,
                settings: launched.settings,
            };
            serving.run(console).await
        })
    }

    /// Reads standard input to its end, delivers everything, and stops. Listens on no address.
    ///
    /// # Errors
    /// The service cannot be started.
    pub fn drain_stdin(self, console: &Console<'_>) -> Result<Drained, LaunchError> {
        self.run(async |mut launched| {
            let service = launched.start()?;
            Ok(serve::drain_stdin(service, &launched.settings, console).await)
        })
    }

    /// Takes the steps that must come before any other thread runs, then runs `life`.
    fn run<R>(self, life: impl AsyncFnOnce(Launched) -> Result<R, LaunchError>) -> Result<R, LaunchError> {
        let settings = self.prepared.settings().clone();
        let no_data_dir = std::fs::create_dir_all(&settings.data_dir).err();
        let directory = settings.data_dir.display();
        if let Some(error) = no_data_dir.as_ref().filter(|_| self.paths.is_empty()) {
            let message = format!("cannot create the data directory {directory}: {error}; set LOGPHASE_DATA_DIR");
            return Err(LaunchError::Unavailable(message));
        }
        // Before any other thread runs: each inherits the rules of the one that starts it.
        let landlock = self.confine();
        log::start(&settings.log.level, settings.log.format);
        match &landlock {
            Enforcement::Missing(why) => tracing::warn!("Landlock does not restrict the process's files: {why}"),
            Enforcement::Partial => tracing::info!("Landlock restricts the process's files: {landlock}"),
            landlock => tracing::debug!("Landlock restricts the process's files: {landlock}"),
        }
        if let Some(error) = no_data_dir {
            tracing::warn!(
                "cannot create the data directory {directory}: {error}; a message that its destination refuses for \
                 good cannot be kept and blocks its queue: set LOGPHASE_DATA_DIR"
            );
        }
        let no_threads = |error| LaunchError::Unavailable(format!("cannot start threads: {error}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("io").build();
        let runtime = runtime.map_err(no_threads)?;
        let Self { files, prepared, paths, watched, contents } = self;
        let launched = Launched {
            files,
            paths,
            watched,
            contents,
            settings,
            landlock,
            state: ServiceState::default(),
            prepared: Some(prepared),
        };
        let result = runtime.block_on(async {
            log::start_writer().map_err(no_threads)?;
            life(launched).await
        });
        // A write to a pipe that nobody reads would hold its thread for ever.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }

    /// Keeps the process from all files but its own.
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

/// A service inside its runtime.
struct Launched {
    files: ConfigFiles,
    paths: Vec<PathBuf>,
    watched: Vec<PathBuf>,
    contents: Contents,
    settings: Settings,
    landlock: Enforcement,
    state: ServiceState,
    prepared: Option<Prepared>,
}

impl Launched {
    /// Starts the workers and outputs.
    fn start(&mut self) -> Result<Service, LaunchError> {
        let prepared = self.prepared.take().expect("a service is started once");
        let service = Service::start(prepared)?;
        self.state.set_components(service.components(self.landlock.clone()));
        Ok(service)
    }
}
