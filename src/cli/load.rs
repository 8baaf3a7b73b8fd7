//! Reading settings and configuration, for every command.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::Files;
use crate::entity::{self, Configuration, ReadOptions};
use crate::settings::Settings;
use logphase_config::diagnostic::{Diagnostic, Format, SourceFile, any_error, codes, render_all};

/// The configuration of a service that was given none.
const QUICKSTART: &str = include_str!("../../examples/quickstart/kong.yml");

/// The settings file that is taken where none is named.
const DEFAULT_SETTINGS: &str = "logphase.yml";

/// The settings file that is named, else the usual one if there is one.
pub(super) fn settings_file(files: &Files) -> Option<PathBuf> {
    let named = files.settings.clone().filter(|path| !path.as_os_str().is_empty());
    named.or_else(|| Some(PathBuf::from(DEFAULT_SETTINGS)).filter(|path| path.exists()))
}

/// Reads the settings.
pub(super) fn settings(files: &Files) -> (Settings, Vec<Diagnostic>) {
    let path = settings_file(files);
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    match path.map(|path| SourceFile::read(&path)).transpose() {
        Ok(file) => Settings::load(file, environment),
        Err(unreadable) => (Settings::default(), vec![*unreadable]),
    }
}

/// The declarative files: those of the command line, else those of the settings; empty for the quickstart.
pub(super) fn paths(files: &Files, settings: &Settings) -> Vec<PathBuf> {
    if files.config.is_empty() { settings.config.clone() } else { files.config.clone() }
}

/// The files that a service is made of: its settings, also where there are none yet, and `paths`.
pub(super) fn watched(files: &Files, paths: &[PathBuf]) -> Vec<PathBuf> {
    let settings = settings_file(files).unwrap_or_else(|| PathBuf::from(DEFAULT_SETTINGS));
    std::iter::once(settings).chain(paths.iter().cloned()).collect()
}

/// Reads the declarative files `paths`, or the quickstart where there are none.
pub(super) fn configuration(paths: &[PathBuf], settings: &Settings) -> (Configuration, Vec<Diagnostic>) {
    configuration_in(paths, settings, &|name| std::env::var(name).ok())
}

/// The same with another environment for `${{ env "DECK_X" }}`.
pub(super) fn configuration_in(
    paths: &[PathBuf],
    settings: &Settings,
    environment: &dyn Fn(&str) -> Option<String>,
) -> (Configuration, Vec<Diagnostic>) {
    let mut sources = Vec::new();
    let mut unreadable = Vec::new();
    for path in paths {
        match SourceFile::read(path) {
            Ok(source) => sources.push(source),
            Err(diagnostic) => unreadable.push(*diagnostic),
        }
    }
    if !unreadable.is_empty() {
        let (_, mut others) = read(&sources, settings, environment);
        // What the others refer to may be in the files that could not be read.
        others.retain(|finding| finding.code != codes::REFERENCE);
        unreadable.extend(others);
        return (Configuration::default(), unreadable);
    }
    if paths.is_empty() {
        return quickstart(&settings.data_dir);
    }
    read(&sources, settings, environment)
}

fn quickstart(data_dir: &Path) -> (Configuration, Vec<Diagnostic>) {
    let source = SourceFile::new("quickstart/kong.yml", QUICKSTART);
    let environment = |name: &str| (name == "DECK_DATA_DIR").then(|| data_dir.display().to_string());
    entity::read(&[source], ReadOptions { select_tags: &[], env: &environment })
}

fn read(
    sources: &[Arc<SourceFile>],
    settings: &Settings,
    environment: &dyn Fn(&str) -> Option<String>,
) -> (Configuration, Vec<Diagnostic>) {
    let options = ReadOptions { select_tags: &settings.select_tags, env: environment };
    let (configuration, mut diagnostics) = entity::read(sources, options);
    if !any_error(&diagnostics) {
        diagnostics.extend(settings.unmatched(&configuration));
    }
    (configuration, diagnostics)
}

/// Shows diagnostics on standard error, with colours where that is a terminal.
pub(super) fn show(diagnostics: &[Diagnostic], format: Format) {
    if !diagnostics.is_empty() {
        super::complain(&render_all(diagnostics, format, std::io::stderr().is_terminal()));
    }
}
