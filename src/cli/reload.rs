//! A new configuration for a running service.

use super::load;
use crate::cli::arguments::Run;
use crate::entity::Configuration;
use crate::service::Reloads;
use crate::service::watch::{Contents, Watch};
use crate::service::{Service, StartError, out_of_reach};
use crate::settings::{self, Settings};
use logphase_config::diagnostic::{Diagnostic, Format, any_error, render_all};

/// How often files that change while they are read are read again at once.
const ATTEMPTS: u32 = 5;

/// Reads the configuration again, when told to or when its files have changed.
pub(super) struct Reloader<'a> {
    arguments: &'a Run,
    /// What the service was started with.
    settings: &'a Settings,
    /// What the configuration in force was read from.
    in_force: Contents,
    /// How the configuration in force has its files watched.
    watching: settings::Reload,
    watch: Watch,
}

/// What was read.
struct Read {
    settings: Settings,
    configuration: Configuration,
    findings: Vec<Diagnostic>,
    contents: Contents,
}

impl<'a> Reloader<'a> {
    /// For a service that was started with `arguments` and `settings`, from the files of `watch`.
    pub(super) fn new(arguments: &'a Run, settings: &'a Settings, watch: Watch) -> Self {
        Self { arguments, settings, in_force: watch.tried().clone(), watching: settings.reload, watch }
    }

    /// Waits until the files hold something new. May be dropped at any time.
    pub(super) async fn changed(&mut self) {
        self.watch.changed().await;
    }

    /// Reads the configuration again and takes it whole, or keeps the old one and says why. Whether it was taken.
    pub(super) fn reload(&mut self, service: &Service, reloads: &Reloads) -> bool {
        let Read { settings, configuration, mut findings, contents } = self.read();
        let mut reason = None;
        findings.extend(out_of_reach(&configuration));
        if !any_error(&findings) {
            match service.reload(&configuration, &settings) {
                Ok(()) => {
                    load::show(&findings, Format::Pretty);
                    self.taken(&settings, contents, reloads);
                    return true;
                }
                Err(StartError::Configuration(more)) => findings.extend(more),
                Err(StartError::Other(message)) => {
                    tracing::error!("{message}");
                    reason = Some(message);
                }
            }
        }
        load::show(&findings, Format::Pretty);
        let errors: Vec<Diagnostic> = findings.into_iter().filter(Diagnostic::is_error).collect();
        reloads.refused(reason.unwrap_or_else(|| render_all(&errors, Format::Short, false).trim_end().to_owned()));
        let errors = errors.len();
        tracing::error!(errors, "the new configuration is wrong; the old one stays in force");
        false
    }

    fn taken(&mut self, settings: &Settings, contents: Contents, reloads: &Reloads) {
        if contents == self.in_force {
            reloads.unchanged();
            tracing::info!("configuration reloaded; nothing in its files has changed");
        } else {
            reloads.taken();
            tracing::info!("configuration reloaded");
        }
        self.in_force = contents;
        self.watching = settings.reload;
        let late = self.settings.need_restart(settings);
        if !late.is_empty() {
            let names = late.join(", ");
            tracing::warn!("{names}: changed in the settings, but set when the service is started: restart it");
        }
    }

    /// Reads all files, again if one was changed meanwhile: a half of one version and a half of another may well be
    /// without mistakes.
    fn read(&mut self) -> Read {
        let files = &self.arguments.files;
        let mut before = Contents::read(self.watch.files());
        for attempt in 1.. {
            let (settings, mut findings) = load::settings(files);
            let mut configuration = Configuration::default();
            let mut watched = self.watch.files().to_vec();
            let mut watching = self.watching;
            if !any_error(&findings) {
                let paths = load::paths(files, &settings);
                let (read, more) = load::configuration(&paths, &settings);
                (configuration, watching) = (read, settings.reload);
                findings.extend(more);
                watched = load::watched(files, &paths);
            }
            let after = Contents::read(&watched);
            if after == before || attempt == ATTEMPTS {
                // What was there before was read for sure; if something else is there now, it will be noticed.
                self.watch = Watch::new(watched, before.clone(), &watching);
                return Read { settings, configuration, findings, contents: before };
            }
            self.watch = Watch::new(watched, after.clone(), &watching);
            before = after;
        }
        unreachable!("the last attempt answers")
    }
}
