//! Reloads the configuration of a running service, from its files or from the text of a request.

use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, Format, SourceFile, render_all};
use logphase_io::file::Accept;
use parking_lot::Mutex;

use super::watch::{Contents, Watch};
use super::{ConfigFiles, Loaded, Prepared, Service, StartError, files};
use crate::api::Reloads;
use crate::entity::{Completeness, Validated};
use crate::settings::{self, Settings};

/// How often files that change while they are read are read at most.
const ATTEMPTS: u32 = 5;

/// Replaces the configuration of a running service, one at a time. Cheap to clone.
#[derive(Clone)]
pub struct Reloader {
    inner: Arc<Inner>,
}

struct Inner {
    /// The settings at the start of the service.
    started_with: Settings,
    reloads: Arc<Reloads>,
    /// The settings that are active; locked while a configuration is applied.
    active: Mutex<Settings>,
    /// The texts of the active configuration, and how many configurations were active.
    sources: Mutex<(u64, Vec<Arc<SourceFile>>)>,
}

/// A configuration that is active now.
#[derive(Debug, Default)]
pub struct Reloaded {
    /// The warnings and notes.
    pub warnings: Vec<Diagnostic>,
    /// The names of changed settings that take effect only when the service starts.
    pub need_restart: Vec<String>,
}

/// A configuration was refused; the one before it stays active.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ReloadError {
    /// All diagnostics.
    pub diagnostics: Vec<Diagnostic>,
    /// The errors, one per line.
    pub reason: String,
}

impl ReloadError {
    /// The number of errors.
    pub fn count(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count().max(1)
    }
}

impl Reloader {
    /// For a service that was started with `settings`. Counts the result of each reload in `reloads`.
    pub fn new(settings: Settings, reloads: Arc<Reloads>) -> Self {
        let active = Mutex::new(settings.clone());
        Self { inner: Arc::new(Inner { started_with: settings, reloads, active, sources: Mutex::default() }) }
    }

    /// Says what texts the configuration has that is active at the start.
    pub(super) fn started_from(&self, sources: Vec<Arc<SourceFile>>) {
        *self.inner.sources.lock() = (1, sources);
    }

    /// The settings that are active.
    pub(super) fn settings(&self) -> Settings {
        self.inner.active.lock().clone()
    }

    /// The texts of the active configuration, and a number that every configuration raises.
    pub(super) fn sources(&self) -> (u64, Vec<Arc<SourceFile>>) {
        self.inner.sources.lock().clone()
    }

    /// Replaces the configuration of `service` by `source`, the text of a request, which has all that Kong requires. Keeps the active
    /// settings.
    ///
    /// # Errors
    /// The configuration is refused, and nothing has changed.
    pub fn apply_text(&self, service: &Service, source: Arc<SourceFile>) -> Result<Reloaded, ReloadError> {
        self.apply(service, Loaded::from_text(self.settings(), &[source], Completeness::Full), true)
    }

    /// Replaces the configuration of `service` by `loaded`. `is_new` is whether its files have changed; only the counters of
    /// reloads use it.
    ///
    /// # Errors
    /// The configuration is refused, and nothing has changed.
    pub fn apply(&self, service: &Service, loaded: Loaded, is_new: bool) -> Result<Reloaded, ReloadError> {
        let mut active = self.inner.active.lock();
        let settings = loaded.settings.clone();
        let sources = loaded.configuration.sources.clone();
        let replaced = self.replace(service, loaded);
        if replaced.is_ok() {
            *active = settings;
            let mut shown = self.inner.sources.lock();
            *shown = (shown.0 + 1, sources);
        }
        match &replaced {
            Ok(_) if is_new => self.inner.reloads.applied(),
            Ok(_) => self.inner.reloads.unchanged(),
            Err(error) => self.inner.reloads.refused(&error.reason),
        }
        replaced
    }

    fn replace(&self, service: &Service, mut loaded: Loaded) -> Result<Reloaded, ReloadError> {
        loaded.diagnostics.extend(files::out_of_reach(&loaded.configuration));
        let prepared = Prepared::new(loaded).map_err(refused)?;
        let warnings = prepared.warnings().to_vec();
        let need_restart = self.inner.started_with.need_restart(prepared.settings());
        match service.replace(prepared) {
            Ok(()) => Ok(Reloaded { warnings, need_restart }),
            Err(StartError::Configuration(errors)) => Err(refused([warnings, errors].concat())),
            Err(StartError::Unavailable(reason)) => Err(ReloadError { diagnostics: warnings, reason }),
        }
    }
}

/// The errors among `diagnostics`, one per line.
pub(super) fn errors(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<Diagnostic> = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).cloned().collect();
    render_all(&errors, Format::Short, false).trim_end().to_owned()
}

/// The error of a configuration with these `diagnostics`.
fn refused(diagnostics: Vec<Diagnostic>) -> ReloadError {
    let reason = errors(&diagnostics);
    ReloadError { diagnostics, reason }
}

/// The entities of a database, as the log phase reads them.
pub(super) type Entities = Box<dyn Fn() -> Validated + Send>;

/// The files of a service, reloaded on request or when they change.
pub(super) struct WatchedFiles {
    files: ConfigFiles,
    /// The entities of the database, in place of those of files.
    entities: Option<Entities>,
    /// The contents of the files of the active configuration.
    active: Contents,
    /// The watch settings of the active configuration.
    watching: settings::Reload,
    watch: Watch,
}

impl WatchedFiles {
    /// For a service that was started with `files`, in the state that `watch` knows.
    pub(super) fn new(files: ConfigFiles, settings: &Settings, watch: Watch, entities: Option<Entities>) -> Self {
        let files = ConfigFiles { accept: Accept::Regular, ..files };
        Self { files, entities, active: watch.tried().clone(), watching: settings.reload, watch }
    }

    /// Waits until the files change. Cancel safe.
    pub(super) async fn changed(&mut self) {
        self.watch.changed().await;
    }

    /// Reads the files and replaces the configuration of `service` by them.
    ///
    /// # Errors
    /// The configuration is refused, and the old one stays active.
    pub(super) fn reload(&mut self, reloader: &Reloader, service: &Service) -> Result<Reloaded, ReloadError> {
        let (loaded, contents) = self.read();
        let watching = loaded.settings.reload;
        let is_new = contents != self.active;
        let reloaded = reloader.apply(service, loaded, is_new)?;
        if is_new {
            tracing::info!("configuration reloaded");
        } else {
            tracing::info!("configuration reloaded; nothing in its files has changed");
        }
        self.active = contents;
        self.watching = watching;
        Ok(reloaded)
    }

    /// Reads all files, again if one changes meanwhile: a mix of two versions can be valid and must not become active.
    fn read(&mut self) -> (Loaded, Contents) {
        let mut before = Contents::read(self.watch.files());
        for attempt in 1.. {
            let loaded = match &self.entities {
                Some(entities) => {
                    let (settings, diagnostics) = self.files.read_settings();
                    Loaded::with_entities(settings, diagnostics, &entities())
                }
                None => self.files.load(),
            };
            let (mut watched, mut watching) = (self.files.watched(&loaded.paths), loaded.settings.reload);
            if loaded.settings_refused {
                // Invalid settings do not say which files to watch.
                (watched, watching) = (self.watch.files().to_vec(), self.watching);
            }
            let after = Contents::read(&watched);
            if after == before || attempt == ATTEMPTS {
                // `before` was read for certain. The watch will notice if the files differ from it now.
                self.watch = Watch::new(watched, before.clone(), &watching);
                return (loaded, before);
            }
            self.watch = Watch::new(watched, after.clone(), &watching);
            before = after;
        }
        unreachable!("the last attempt returns")
    }
}
