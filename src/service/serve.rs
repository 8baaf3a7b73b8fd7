//! Runs a started service until a signal stops it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use logphase_config::diagnostic::SourceFile;

use super::database::Database;
use super::inputs::{Listening, open_control};
use super::launch::{Console, Drained, Ended, LaunchError};
use super::listeners::Listeners;
use super::reload::{Entities, Reloader, WatchedFiles};
use super::signals::{Request, Signals};
use super::watch::Watch;
use super::{ConfigFiles, ReloadError, Reloaded, Service, manager};
use super::{admin, page};
use crate::api::{self, Control, ServiceState, Stage};
use crate::decode::kong::Format;
use crate::decode::mapping::KONG;
use crate::delivery::Undelivered;
use crate::input;
use crate::page::playground::Keeper;
use crate::settings::Settings;

/// A service that is about to accept transactions.
pub(super) struct Serving {
    pub(super) service: Service,
    pub(super) state: ServiceState,
    pub(super) files: ConfigFiles,
    /// Whether it runs the quickstart configuration.
    pub(super) is_quickstart: bool,
    /// Whether the configuration was read from declarative files.
    pub(super) of_files: bool,
    pub(super) watch: Watch,
    pub(super) settings: Settings,
    /// The addresses of the Admin API.
    pub(super) listeners: Listeners,
    /// Those of the page.
    pub(super) page: Listeners,
    /// The process that starts those of the page's playground.
    pub(super) keeper: Option<Keeper>,
    /// The texts of the configuration.
    pub(super) sources: Vec<Arc<SourceFile>>,
    /// The entities, if they are in a database.
    pub(super) database: Option<Database>,
}

impl Serving {
    /// Opens the inputs, serves until a signal says to stop, and delivers the accepted transactions.
    pub(super) async fn run(self, console: &Console<'_>) -> Result<Ended, LaunchError> {
        let unavailable = |error| LaunchError::Unavailable(format!("cannot listen for signals: {error}"));
        let mut signals = Signals::catch().map_err(unavailable)?;
        let listening = self.listen()?;
        let _control = self.open_control();
        let Self {
            service, state, files, watch, settings, listeners, page, keeper, sources, database, of_files, ..
        } = self;
        let reloader = Reloader::new(settings.clone(), state.reloads().clone());
        reloader.started_from(sources);
        let in_database = database.is_some();
        let mut admin = admin::serve(listeners, database, &reloader, &settings, &state);
        // To the end: it shows what is still being delivered.
        let _page = page::serve(page, &service, &state, &admin.admin, &reloader, of_files, keeper);
        let entities = admin.state.clone();
        let entities = in_database.then(|| -> Entities { Box::new(move || entities.entities()) });
        let mut watched = WatchedFiles::new(files, &settings, watch, entities);
        state.set_stage(Stage::Ready);
        tracing::info!(workers = settings.workers, "ready");
        manager::ready("ready");
        let limit = settings.lua.stuck_after;
        let watchdog = tokio::spawn(manager::watch(Some((service.worker_stats().clone(), limit))));
        let busy_workers = tokio::spawn(service.watch_workers());
        loop {
            let request = tokio::select! {
                request = signals.next() => request,
                () = watched.changed() => {
                    reload(&mut watched, &reloader, &service, &state, console);
                    continue;
                }
                job = admin.jobs.next() => {
                    job(&service);
                    continue;
                }
            };
            match request {
                Request::Stop(name) => {
                    let time = settings.shutdown_timeout;
                    tracing::info!("{name}: stopping; delivering the accepted transactions within {time:?}");
                    break;
                }
                Request::Reload => {
                    service.reopen_files();
                    reload(&mut watched, &reloader, &service, &state, console);
                }
                Request::ReopenFiles => service.reopen_files(),
            }
        }
        // Writes that wait are refused, and nothing of them is kept.
        drop(admin);
        state.set_stage(Stage::Stopping);
        manager::stopping();
        // From here on workers end.
        watchdog.abort();
        busy_workers.abort();
        tokio::spawn(manager::watch(None));
        // Inputs that wait for a full queue get half of the time; the delivery gets the rest.
        let begun = Instant::now();
        listening.stop(service.intake(), settings.shutdown_timeout / 2).await;
        Ok(finish(service, settings.shutdown_timeout.saturating_sub(begun.elapsed()), false).await)
    }

    /// Opens the inputs.
    fn listen(&self) -> Result<Listening, LaunchError> {
        let (listening, addresses) =
            Listening::start(&self.settings, self.service.intake(), self.service.collectors(), self.service.threads())?;
        for address in &addresses {
            tracing::info!("listening: {address}");
        }
        self.state.set_inputs(listening.counters());
        self.state.set_mappings(&self.settings.mappings);
        if listening.counters().is_empty() {
            tracing::warn!("no input is configured: no transaction can arrive; set inputs in the settings");
        }
        if self.is_quickstart {
            let path = self.settings.data_dir.join("messages.log");
            tracing::info!("no configuration: running the quickstart; messages go to {}", path.display());
        }
        Ok(listening)
    }

    /// Opens the control socket, for the commands `queue`, `tap` and `top`.
    fn open_control(&self) -> Option<Control> {
        let control_routes = api::tap_routes(self.service.taps()).and(api::queue_routes(self.service.delivery()));
        open_control(&self.settings, api::status_routes(&self.state).and(control_routes))
    }
}

/// Reloads the files, and reports the result.
fn reload(
    watched: &mut WatchedFiles,
    reloader: &Reloader,
    service: &Service,
    state: &ServiceState,
    console: &Console<'_>,
) {
    manager::reloading();
    // The settings may be why the newest configuration in a shared database is refused.
    let database = state.database().map(|database| (database, database.read().revision));
    match watched.reload(reloader, service) {
        Ok(Reloaded { warnings, need_restart }) => {
            (console.diagnostics)(&warnings);
            if let Some((database, revision)) = database {
                database.reloaded(revision);
            }
            if !need_restart.is_empty() {
                let names = need_restart.join(", ");
                tracing::warn!(
                    "{names}: changed in the settings, but takes effect only at the start: restart the service"
                );
            }
            manager::ready("ready; the configuration was reloaded");
        }
        Err(error) => {
            (console.diagnostics)(&error.diagnostics);
            let errors = error.count();
            let ReloadError { diagnostics, reason } = error;
            if !diagnostics.iter().any(|diagnostic| diagnostic.is_error()) {
                tracing::error!("{reason}");
            }
            tracing::error!(errors, "the new configuration is refused; the old one stays active");
            manager::ready("ready with the old configuration; the new one was refused, see the log");
        }
    }
}

/// Reads standard input to its end by the mapping `mapping`, waits until everything is delivered, and stops `service`. A signal ends reading or
/// waiting early.
pub(super) async fn drain_stdin(
    service: Service,
    settings: &Settings,
    (mapping, match_routes): (&str, bool),
    console: &Console<'_>,
) -> Drained {
    let decoder = input::Shared::from(settings).decoder(mapping, Format::Object);
    let replay = mapping != KONG || match_routes;
    let intake = service.intake().clone().matching_routes(match_routes).replaying(replay);
    let reading = input::read_lines(tokio::io::stdin(), intake, decoder, |progress| (console.progress)(progress));
    let mut signals = Signals::catch().ok();
    let summary = tokio::select! {
        summary = reading => Some(summary),
        name = stop(&mut signals) => {
            tracing::warn!("{name}: standard input was not read to its end");
            None
        }
    };
    if summary.is_some() {
        // After a complete read everything must be delivered, however long the sinks take.
        tokio::select! {
            () = service.delivery().idle() => {}
            _ = stop(&mut signals) => {}
        }
    }
    let stats = service.delivery().stats();
    if summary.is_some() {
        // The same holds for what the receivers have to confirm.
        tokio::select! {
            () = service.delivery().confirmed() => {}
            _ = stop(&mut signals) => {}
        }
    }
    let dropped = |stats: &crate::delivery::Stats| stats.counters.dropped() + stats.counters.dead_letters + stats.lost;
    let dropped = stats.iter().map(dropped).sum();
    let ended = finish(service, settings.shutdown_timeout, true).await;
    Drained { ended, dropped, summary }
}

/// Waits for a signal to stop; forever if signals cannot be caught.
async fn stop(signals: &mut Option<Signals>) -> &'static str {
    match signals {
        Some(signals) => signals.stop().await,
        None => std::future::pending().await,
    }
}

/// Stops the service. Messages that remain on disk are not lost: they count as incomplete only if `all` is set.
async fn finish(service: Service, time: Duration, all: bool) -> Ended {
    let left = service.shut_down(time).await;
    for Undelivered { plugin, entries, bytes, last_error, kept } in &left {
        let reason = last_error.as_deref().unwrap_or("no error was reported");
        if *kept {
            tracing::warn!(plugin, entries, bytes, "left in the queue on disk, for the next run: {reason}");
        } else {
            tracing::error!(plugin, entries, bytes, "left undelivered: {reason}");
        }
    }
    if left.is_empty() {
        tracing::info!("stopped; nothing is left in the queues");
    }
    if left.iter().any(|left| all || !left.kept) { Ended::Incomplete } else { Ended::Complete }
}
