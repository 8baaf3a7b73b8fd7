//! `logphase run`: the phases of a service's life.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use super::arguments::Run;
use super::reload::Reloader;
use super::{Exit, complain, load, log};
use crate::admin::{self, Monitor, Stage};
use crate::confinement::{self, Enforcement};
use crate::delivery::Leftover;
use crate::entity::Configuration;
use crate::input;
use crate::service::watch::{Contents, Watch};
use crate::service::{InputError, Listening, Service, StartError, files_of, manager, open_control, show_status};
use crate::settings::Settings;
use logphase_config::diagnostic::{Format, any_error};

/// Runs the service until it is told to stop, or over standard input until its end.
pub(super) fn run(arguments: &Run) -> Exit {
    // Before they are read, so that no change goes unnoticed.
    let before = Contents::read(&load::watched(&arguments.files, &[]));
    let (settings, findings) = load::settings(&arguments.files);
    if any_error(&findings) {
        load::show(&findings, Format::Pretty);
        return Exit::Configuration;
    }
    let paths = load::paths(&arguments.files, &settings);
    let watched = load::watched(&arguments.files, &paths);
    let contents = Contents::read(&watched).beginning_with(before);
    let (configuration, more) = load::configuration(&paths, &settings);
    load::show(&[findings, more.clone()].concat(), Format::Pretty);
    if any_error(&more) {
        return Exit::Configuration;
    }
    let no_data_dir = std::fs::create_dir_all(&settings.data_dir).err();
    let directory = settings.data_dir.display();
    if let Some(error) = no_data_dir.as_ref().filter(|_| paths.is_empty()) {
        complain(&format!("error: cannot make the data directory {directory}: {error}; set LOGPHASE_DATA_DIR\n"));
        return Exit::Unavailable;
    }
    // Before any other thread is there: each inherits the walls of the one that starts it.
    let wall = confine(arguments, &paths, &configuration, &settings);
    log::start(&settings);
    match &wall {
        Enforcement::Missing(why) => tracing::warn!("the process is not kept from files (Landlock): {why}"),
        Enforcement::Partial => tracing::info!("kept from files (Landlock): {wall}"),
        wall => tracing::debug!("kept from files (Landlock): {wall}"),
    }
    if let Some(error) = no_data_dir {
        tracing::warn!(
            "cannot make the data directory {directory}: {error}; a message that its destination refuses for \
            good has nowhere to go and holds up its queue: set LOGPHASE_DATA_DIR"
        );
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("io").build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: cannot start threads: {error}\n"));
            return Exit::Unavailable;
        }
    };
    let exit = runtime.block_on(async {
        if let Err(error) = log::relay() {
            complain(&format!("error: cannot start threads: {error}\n"));
            return Exit::Unavailable;
        }
        let monitor = Monitor::default();
        // Before the queues are opened, which may take a while: who asks shall be told so.
        let _status = match status(arguments, &settings, &monitor).await {
            Ok(serving) => serving,
            Err(error) => {
                complain(&format!("error: {error}\n"));
                return Exit::Unavailable;
            }
        };
        let service = match Service::start(&configuration, &settings) {
            Ok(service) => service,
            Err(error) => return refuse(&error),
        };
        drop(configuration);
        monitor.show(service.parts(wall));
        if arguments.stdin {
            drain_stdin(service, &settings).await
        } else {
            let watch = Watch::new(watched, contents, &settings.reload);
            serve(service, &settings, Reloader::new(arguments, &settings, watch), paths, &monitor).await
        }
    });
    runtime.block_on(log::flush());
    // A write to a pipe that nobody reads would hold its thread for ever.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

/// The status listeners; none for standard input, which may be read beside a service.
async fn status(arguments: &Run, settings: &Settings, monitor: &Monitor) -> Result<Option<JoinSet<()>>, InputError> {
    if arguments.stdin { Ok(None) } else { show_status(settings, monitor).await.map(Some) }
}

/// Keeps the process from all files but those that it has business with.
fn confine(arguments: &Run, paths: &[PathBuf], configuration: &Configuration, settings: &Settings) -> Enforcement {
    if !settings.confinement.landlock {
        return Enforcement::Off;
    }
    let settings_file = load::settings_file(&arguments.files);
    confinement::confine_process(files_of(settings_file.as_deref(), paths, configuration, settings))
}

fn refuse(error: &StartError) -> Exit {
    match error {
        StartError::Configuration(diagnostics) => {
            load::show(diagnostics, Format::Pretty);
            Exit::Configuration
        }
        StartError::Other(message) => {
            complain(&format!("error: {message}\n"));
            Exit::Unavailable
        }
    }
}

/// What a signal asks for.
enum Caught {
    Stop(&'static str),
    HangUp,
    Reopen,
    Changed,
}

/// The signals that a service listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    reopen: Signal,
    /// Only caught, so that a file-size limit is an error of the write instead of the end of the process.
    _too_large: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        const SIGXFSZ: i32 = 25;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            _too_large: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.terminate.recv() => Caught::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Caught::Stop("SIGINT"),
            _ = self.hang_up.recv() => Caught::HangUp,
            _ = self.reopen.recv() => Caught::Reopen,
        }
    }

    /// Waits for a signal to stop.
    async fn stop(&mut self) -> &'static str {
        loop {
            if let Caught::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}

async fn serve(
    service: Service,
    settings: &Settings,
    mut reloader: Reloader<'_>,
    paths: Vec<PathBuf>,
    monitor: &Monitor,
) -> Exit {
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("error: cannot listen for signals: {error}\n"));
            return Exit::Unavailable;
        }
    };
    let (listening, addresses) = match Listening::start(settings, service.intake()) {
        Ok(started) => started,
        Err(error) => {
            complain(&format!("error: {error}\n"));
            return Exit::Unavailable;
        }
    };
    for address in &addresses {
        tracing::info!("listening: {address}");
    }
    monitor.show_inputs(listening.meters());
    let own = admin::tap_routes(service.taps()).and(admin::queue_routes(service.delivery()));
    let _control = open_control(settings, monitor.routes().and(own));
    if addresses.is_empty() {
        tracing::warn!("no input is configured: nothing can come in; set inputs in the settings");
    }
    if paths.is_empty() {
        tracing::info!(
            "no configuration given: running the quickstart; messages go to {}",
            settings.data_dir.join("messages.log").display()
        );
    }
    monitor.enter(Stage::Ready);
    tracing::info!(workers = settings.workers, "ready");
    manager::ready("ready");
    let watchdog = tokio::spawn(manager::watch(Some(service.worker_stats().clone())));
    loop {
        let caught = tokio::select! {
            caught = signals.next() => caught,
            () = reloader.changed() => Caught::Changed,
        };
        if matches!(caught, Caught::HangUp | Caught::Reopen) {
            service.reopen_files();
        }
        match caught {
            Caught::Stop(name) => {
                tracing::info!("{name}: stopping; delivering what was taken within {:?}", settings.shutdown_timeout);
                break;
            }
            Caught::HangUp | Caught::Changed => {
                manager::reloading();
                manager::ready(if reloader.reload(&service, monitor.reloads()) {
                    "ready; the configuration was read again"
                } else {
                    "ready with the old configuration: the new one is wrong, see the log"
                });
            }
            Caught::Reopen => {}
        }
    }
    monitor.enter(Stage::Stopping);
    manager::stopping();
    // From here on workers may end.
    watchdog.abort();
    tokio::spawn(manager::watch(None));
    // One deadline for all of it; inputs that wait for a full queue leave half of it to the delivery.
    let begun = Instant::now();
    listening.stop(service.intake(), settings.shutdown_timeout / 2).await;
    finish(service, settings.shutdown_timeout.saturating_sub(begun.elapsed()), false).await
}

async fn drain_stdin(service: Service, settings: &Settings) -> Exit {
    let bar = progress_bar();
    let limits = settings.limits.transaction();
    let reading = input::read_lines(tokio::io::stdin(), service.intake().clone(), &limits, |progress| {
        bar.set_position(progress.bytes);
        bar.set_message(format!("{} transactions", progress.accepted));
    });
    let mut signals = Signals::catch().ok();
    let stop = async {
        match &mut signals {
            Some(signals) => signals.stop().await,
            None => std::future::pending().await,
        }
    };
    let summary = tokio::select! {
        summary = reading => Some(summary),
        name = stop => {
            tracing::warn!("{name}: standard input was not read to its end");
            None
        }
    };
    if summary.is_some() {
        // Reading to the end asks for everything to be delivered, however long the sinks take; signals still end it.
        let stop = async {
            match &mut signals {
                Some(signals) => signals.stop().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = service.delivery().idle() => {}
            _ = stop => {}
        }
    }
    bar.finish_and_clear();
    let dropped: u64 = service
        .delivery()
        .stats()
        .iter()
        .map(|stats| stats.counters.dropped() + stats.counters.dead_letters + stats.lost)
        .sum();
    let mut exit = finish(service, settings.shutdown_timeout, true).await;
    if dropped > 0 {
        complain(&format!("{dropped} messages were dropped: their sinks refused them for good\n"));
        exit = Exit::Incomplete;
    }
    let Some(summary) = summary else { return Exit::Incomplete };
    for rejected in &summary.rejected {
        complain(&format!("line {}: {}\n", rejected.line, rejected.reason));
    }
    let kept = summary.rejected.len() as u64;
    if summary.rejected_total > kept {
        complain(&format!("and {} more lines\n", summary.rejected_total - kept));
    }
    if let Some(error) = &summary.error {
        complain(&format!("error: cannot read standard input: {error}\n"));
    }
    complain(&format!("{} transactions taken, {} lines rejected\n", summary.accepted, summary.rejected_total));
    if !summary.is_complete() {
        exit = Exit::Incomplete;
    }
    exit
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {bytes} read, {msg} ({bytes_per_sec}) {elapsed}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// Stops the service. What is left on disk is not lost: it only counts as incomplete where `all` was to be delivered.
async fn finish(service: Service, time: Duration, all: bool) -> Exit {
    let left = service.shut_down(time).await;
    for Leftover { plugin, entries, bytes, last_error, kept } in &left {
        let reason = last_error.as_deref().unwrap_or("no error was seen");
        if *kept {
            tracing::warn!(plugin, entries, bytes, "left in the queue on disk, for the next run: {reason}");
        } else {
            tracing::error!(plugin, entries, bytes, "left undelivered: {reason}");
        }
    }
    if left.is_empty() {
        tracing::info!("stopped; nothing is left in the queues");
    }
    if left.iter().any(|left| all || !left.kept) { Exit::Incomplete } else { Exit::Done }
}
