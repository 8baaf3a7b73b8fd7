//! What the Admin API needs of a service: its listeners, and how it replaces the configuration.

use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, SourceFile, codes};
use logphase_config::document::Node as Document;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::database::Database;
use super::inputs::bind;
use super::last::Last;
use super::launch::LaunchError;
use super::{Loaded, Prepared, ReloadError, Reloader, Service, StartError, files, reload};
use crate::admin::{Access, Activation, Admin, Gateway, Node, State};
use crate::api::{self, ServiceState};
use crate::connections::AllowedHosts;
use crate::entity::{Plugin, Validated};
use crate::input;
use crate::settings::{ADMIN_ADDRESS, Settings};

/// Writes that wait for the service at the same time, at most.
const WAITING: usize = 64;

/// A change of the configuration, which the service makes between two others.
type Job = Box<dyn FnOnce(&Service) + Send>;

/// The changes that requests to the Admin API want.
pub(super) struct Jobs(mpsc::Receiver<Job>);

impl Jobs {
    /// Waits for the next change. Cancel safe.
    pub(super) async fn next(&mut self) -> Job {
        match self.0.recv().await {
            Some(job) => job,
            None => std::future::pending().await,
        }
    }
}

/// Replaces the configuration of a running service for requests.
struct Replacing {
    reloader: Reloader,
    jobs: mpsc::Sender<Job>,
    state: ServiceState,
    /// What was made for the last request.
    last: Arc<Mutex<Last>>,
}

impl Replacing {
    /// Runs `work` in the service's turn, and waits for its result. Blocks.
    fn in_turn<T: Send + 'static>(
        jobs: &mpsc::Sender<Job>,
        work: impl FnOnce(&Service) -> T + Send + 'static,
    ) -> Result<T, String> {
        let (done, result) = std::sync::mpsc::channel();
        let job: Job = Box::new(move |service| drop(done.send(work(service))));
        let stopping = || "the service is stopping".to_owned();
        jobs.blocking_send(job).map_err(|_| stopping())?;
        result.recv().map_err(|_| stopping())
    }
}

/// Checks `entities` as the configuration of a service with `settings`. `last` is what was made the last time.
fn prepared(settings: Settings, entities: &Validated, last: &Mutex<Last>) -> Result<Prepared, Vec<Diagnostic>> {
    let mut last = last.lock();
    let mut loaded = Loaded::from_entities(settings, entities);
    let was_in_reach = |plugin: &Arc<Plugin>| last.has(plugin);
    loaded.diagnostics.extend(files::out_of_reach_but(&loaded.configuration, was_in_reach));
    let prepared = Prepared::after(&last, loaded)?;
    *last = prepared.last();
    Ok(prepared)
}

impl Gateway for Replacing {
    fn prepare(&self, entities: Validated) -> Result<Activation, Vec<Diagnostic>> {
        let settings = self.reloader.settings();
        let last = self.last.clone();
        let ready = prepared(settings.clone(), &entities, &last)?;
        let (reloader, jobs) = (self.reloader.clone(), self.jobs.clone());
        Ok(Box::new(move || {
            Self::in_turn(&jobs, move |service| {
                let now = reloader.settings();
                // The settings may have been reloaded since.
                let ready = if now == settings { Ok(ready) } else { prepared(now, &entities, &last) };
                let replaced = ready.map_err(StartError::Configuration).and_then(|ready| service.replace(ready));
                replaced.map_err(|error| reason(&error))
            })
            .and_then(std::convert::identity)
        }))
    }

    fn check(&self, root: &Document) -> Vec<Diagnostic> {
        let mut loaded = Loaded::from_document(self.reloader.settings(), root);
        loaded.diagnostics.extend(files::out_of_reach(&loaded.configuration));
        Prepared::new(loaded).err().unwrap_or_default()
    }

    fn load(&self, source: Arc<SourceFile>) -> Result<(), Vec<Diagnostic>> {
        let reloader = self.reloader.clone();
        let applied = Self::in_turn(&self.jobs, move |service| reloader.apply_text(service, source));
        let unavailable = |reason: String| vec![Diagnostic::error(codes::SETTING, reason)];
        match applied {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(ReloadError { diagnostics, reason })) => {
                let explained = diagnostics.iter().any(Diagnostic::is_error);
                Err(if explained { diagnostics } else { unavailable(reason) })
            }
            Err(reason) => Err(unavailable(reason)),
        }
    }

    fn sources(&self) -> (u64, Vec<Arc<SourceFile>>) {
        self.reloader.sources()
    }

    fn status(&self, argument: &dyn Fn(&str) -> Option<String>) -> Result<Value, &'static str> {
        api::status(&self.state, argument)
    }
}

fn reason(error: &StartError) -> String {
    match error {
        StartError::Configuration(diagnostics) => reload::errors(diagnostics),
        StartError::Unavailable(reason) => reason.clone(),
    }
}

/// The addresses of the Admin API, which are taken and not served yet.
#[derive(Default)]
pub(super) struct Listeners(Vec<TcpListener>);

/// Takes the addresses of the Admin API. The default one is also Kong's: if it is in use, the service runs without it.
///
/// # Errors
/// An address that cannot be taken, or that others reach although no token is set.
pub(super) async fn listen(settings: &Settings) -> Result<Listeners, LaunchError> {
    let mut listeners = Listeners::default();
    for address in input::resolve(&settings.admin.listen)? {
        if !address.ip().is_loopback() && settings.admin.token.is_none() {
            let message = format!("everyone who reaches {address} could change the configuration");
            let error = Diagnostic::error(codes::SETTING, message).path("admin.listen");
            let help = "set admin.token, or listen on 127.0.0.1";
            return Err(LaunchError::Configuration(vec![error.help(help)]));
        }
        listeners.0.extend(bind(address, ADMIN_ADDRESS, "no Admin API", "admin.listen").await?);
    }
    Ok(listeners)
}

/// The Admin API of a running service.
pub(super) struct Serving {
    /// Ends with the service.
    _tasks: JoinSet<()>,
    /// The changes that requests want.
    pub(super) jobs: Jobs,
    /// The entities.
    pub(super) state: Arc<State>,
}

/// Serves the Admin API on `listeners`.
pub(super) fn serve(
    listeners: Listeners,
    database: Option<Database>,
    reloader: &Reloader,
    settings: &Settings,
    service: &ServiceState,
) -> Serving {
    let (sender, jobs) = mpsc::channel(WAITING);
    let last: Arc<Mutex<Last>> = Arc::default();
    let gateway =
        Arc::new(Replacing { reloader: reloader.clone(), jobs: sender, state: service.clone(), last: last.clone() });
    let state = Arc::new(match database {
        Some(Database { store, tables, drafts, last: made }) => {
            *last.lock() = made;
            State::of_database(gateway, store, tables, drafts)
        }
        None => State::of_texts(gateway),
    });
    let addresses: Vec<String> =
        listeners.0.iter().filter_map(|listener| Some(listener.local_addr().ok()?.to_string())).collect();
    let http = settings.inputs.get("http").and_then(|http| http.get("listen")).and_then(Value::as_array);
    let proxies = http.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let node = Node::new(settings.database.name(), &settings.log.level, addresses, proxies);
    let text = |token: &Option<crate::settings::Secret>| token.as_ref().map(|token| token.text().to_owned());
    let access = Access::new(text(&settings.admin.token), text(&settings.admin.read_only_token));
    let admin = Arc::new(Admin::new(state.clone(), node, access, settings.admin.gui_urls.clone()));
    let names: Vec<String> =
        settings.admin.allowed_hosts.iter().cloned().chain(hosts(&settings.admin.gui_urls)).collect();
    let mut tasks = JoinSet::new();
    for listener in listeners.0 {
        if let Ok(address) = listener.local_addr() {
            tracing::info!("admin: http://{address}");
        }
        let allowed = AllowedHosts::new(&names, "admin.allowed_hosts");
        tasks.spawn(api::serve(listener, admin.clone(), Some(allowed)));
    }
    Serving { _tasks: tasks, jobs: Jobs(jobs), state }
}

/// The names of the hosts of `urls`.
fn hosts(urls: &[String]) -> impl Iterator<Item = String> {
    urls.iter().filter_map(|url| {
        let authority = url.split_once("://")?.1.split('/').next()?;
        Some(authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned())
    })
}
