//! Reads the configuration of a service from files, or from the embedded quickstart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, SourceFile, any_error, codes};
use logphase_config::document::Node;
use logphase_io::file::{self, Accept};

use crate::declarative::{self, ReadOptions};
use crate::entity::{Completeness, Configuration, Validated};
use crate::settings::{Settings, environment};

/// The configuration of a service without one.
const QUICKSTART: &str = include_str!("../../examples/quickstart/kong.yml");

/// The default settings file.
const DEFAULT_SETTINGS: &str = "logphase.yml";

/// The files that the command line and the environment name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigFiles {
    /// Kong's declarative files; if empty, those of the settings.
    pub declarative: Vec<PathBuf>,
    /// The settings file; if `None` or empty, `logphase.yml` in the current directory if it exists.
    pub settings: Option<PathBuf>,
    /// Whether a pipe is read (`check <(generate)`). A reload of a running service must not wait for one.
    pub accept: Accept,
    /// Whether a plugin that is not Kong's is an error if the settings do not name it.
    pub strict: bool,
}

/// Settings and configuration, with all diagnostics.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The configuration.
    pub configuration: Configuration,
    /// The declarative files that were read; empty for the quickstart.
    pub paths: Vec<PathBuf>,
    /// The errors, warnings and notes of both.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether the settings are invalid. Then [`Self::settings`] are the defaults.
    pub settings_refused: bool,
}

impl Loaded {
    /// Whether there is an error.
    pub fn is_refused(&self) -> bool {
        any_error(&self.diagnostics)
    }

    /// Reads the configuration from the declarative files `paths`, or the quickstart, for `settings` with their
    /// `diagnostics`.
    pub(super) fn of(
        settings: Settings,
        paths: Vec<PathBuf>,
        accept: Accept,
        mut diagnostics: Vec<Diagnostic>,
    ) -> Self {
        let settings_refused = any_error(&diagnostics);
        let (configuration, configuration_diagnostics) =
            read_configuration(&paths, accept, &settings, &process_environment);
        diagnostics.extend(configuration_diagnostics);
        Self { settings, configuration, paths, diagnostics, settings_refused }
    }

    /// Reads a configuration from `sources`, the texts of a request, for a service with `settings`, with entities as complete as
    /// `completeness` says.
    pub(super) fn from_text(settings: Settings, sources: &[Arc<SourceFile>], completeness: Completeness) -> Self {
        let (configuration, diagnostics) = read(sources, &settings, &process_environment, completeness);
        Self { settings, configuration, paths: Vec::new(), diagnostics, settings_refused: false }
    }

    /// Makes a configuration of the `entities` of a database.
    pub(super) fn from_entities(settings: Settings, entities: &Validated) -> Self {
        let read = Configuration::from_validated(entities, &settings.select_tags);
        Self::from_request(settings, read)
    }

    /// Reads a configuration from the document `root` of a request.
    pub(super) fn from_document(settings: Settings, root: &Node) -> Self {
        let read = declarative::read_tree(root, &settings.select_tags);
        Self::from_request(settings, read)
    }

    fn from_request(settings: Settings, (configuration, mut diagnostics): (Configuration, Vec<Diagnostic>)) -> Self {
        diagnostics.extend(settings.custom_plugins.findings(&configuration));
        if !any_error(&diagnostics) {
            diagnostics.extend(settings.unmatched(&configuration));
        }
        Self { settings, configuration, paths: Vec::new(), diagnostics, settings_refused: false }
    }

    /// The same settings and their diagnostics with the `entities` of a database.
    pub(super) fn with_entities(settings: Settings, diagnostics: Vec<Diagnostic>, entities: &Validated) -> Self {
        let refused = any_error(&diagnostics);
        let mut loaded = Self::from_entities(settings, entities);
        loaded.diagnostics.splice(0..0, diagnostics);
        Self { settings_refused: refused, ..loaded }
    }
}

impl ConfigFiles {
    /// The named settings file, or else the default one if it exists.
    pub fn settings_file(&self) -> Option<PathBuf> {
        let named = self.settings.clone().filter(|path| !path.as_os_str().is_empty());
        named.or_else(|| Some(PathBuf::from(DEFAULT_SETTINGS)).filter(|path| path.exists()))
    }

    /// Reads the settings file and the `LOGPHASE_*` variables.
    pub fn read_settings(&self) -> (Settings, Vec<Diagnostic>) {
        match self.settings_file().map(|path| SourceFile::read(&path, self.accept)).transpose() {
            Ok(file) => Settings::load(file, environment()),
            Err(unreadable) => (Settings::default(), vec![*unreadable]),
        }
    }

    /// The declarative files: the named ones, or else those of the settings. Empty for the quickstart.
    pub fn declarative_files(&self, settings: &Settings) -> Vec<PathBuf> {
        if self.declarative.is_empty() { settings.config.clone() } else { self.declarative.clone() }
    }

    /// The files to watch for changes: the settings file, even if it does not exist yet, and `declarative`.
    pub fn watched(&self, declarative: &[PathBuf]) -> Vec<PathBuf> {
        let settings = self.settings_file().unwrap_or_else(|| PathBuf::from(DEFAULT_SETTINGS));
        std::iter::once(settings).chain(declarative.iter().cloned()).collect()
    }

    /// Reads the settings and the configuration; both even if the settings are invalid, so that all errors are reported at once.
    pub fn load(&self) -> Loaded {
        let (mut settings, diagnostics) = self.read_settings();
        if self.strict {
            settings.custom_plugins = settings.custom_plugins.strict();
        }
        let paths = self.declarative_files(&settings);
        Loaded::of(settings, paths, self.accept, diagnostics)
    }
}

/// Reads the declarative files `paths`, or the quickstart if there are none, with `environment` for
/// `${{ env "DECK_X" }}`.
pub fn read_configuration(
    paths: &[PathBuf],
    accept: Accept,
    settings: &Settings,
    environment: &dyn Fn(&str) -> Option<String>,
) -> (Configuration, Vec<Diagnostic>) {
    if paths.is_empty() {
        return quickstart(&settings.data_dir);
    }
    let (mut sources, mut unreadable) = (Vec::new(), Vec::new());
    for path in paths {
        match SourceFile::read(path, accept) {
            Ok(source) => sources.push(source),
            Err(diagnostic) => unreadable.push(*diagnostic),
        }
    }
    let (configuration, diagnostics) = read(&sources, settings, environment, Completeness::LogPhase);
    if unreadable.is_empty() {
        return (configuration, diagnostics);
    }
    // Unresolved references may be defined in the files that could not be read.
    unreadable.extend(diagnostics.into_iter().filter(|diagnostic| diagnostic.code != codes::REFERENCE));
    (Configuration::default(), unreadable)
}

pub(super) fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|_| !file::is_forbidden())
}

fn quickstart(data_dir: &Path) -> (Configuration, Vec<Diagnostic>) {
    // In the text, so that the Admin API reads the same from it.
    let text = QUICKSTART.replace("${{ env \"DECK_DATA_DIR\" }}", &data_dir.display().to_string());
    let source = SourceFile::new("quickstart/kong.yml", text);
    declarative::read(&[source], ReadOptions { select_tags: &[], env: &process_environment })
}

pub(super) fn read(
    sources: &[Arc<SourceFile>],
    settings: &Settings,
    environment: &dyn Fn(&str) -> Option<String>,
    completeness: Completeness,
) -> (Configuration, Vec<Diagnostic>) {
    let options = ReadOptions { select_tags: &settings.select_tags, env: environment };
    let (configuration, mut diagnostics) = declarative::read_as(sources, options, completeness);
    let custom = settings.custom_plugins.findings(&configuration);
    if !custom.is_empty() {
        diagnostics.extend(custom);
        declarative::sort(&mut diagnostics, sources);
    }
    if !any_error(&diagnostics) {
        diagnostics.extend(settings.unmatched(&configuration));
    }
    (configuration, diagnostics)
}
