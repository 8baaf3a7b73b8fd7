//! What the Admin API needs of a service: its listeners, and how it replaces the configuration.

use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, SourceFile, codes};
use logphase_config::document::Node as Document;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::database::{Database, Shared};
use super::last::Last;
use super::launch::LaunchError;
use super::listeners::{Listeners, Wanted};
use super::{Loaded, Prepared, ReloadError, Reloader, Service, StartError, files, reload};
use crate::admin::{Access, Activation, Admin, Certificates, Follower, Gateway, Node, State};
use crate::api::{self, ServiceState};
use crate::connections::AllowedHosts;
use crate::entity::{Plugin, Validated};
use crate::input::{self, Tls};
use crate::settings::{ADMIN_ADDRESS, AdminApi, Secret, Settings};

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

    fn is_stopping(&self) -> bool {
        self.jobs.is_closed()
    }

    fn status(&self, argument: &dyn Fn(&str) -> Option<String>) -> Result<Value, String> {
        api::status(&self.state, argument)
    }
}

fn reason(error: &StartError) -> String {
    match error {
        StartError::Configuration(diagnostics) => reload::errors(diagnostics),
        StartError::Unavailable(reason) => reason.clone(),
    }
}

/// What the settings say of its addresses.
fn wanted(settings: &Settings) -> Wanted<'_> {
    let AdminApi { listen, token, tls, .. } = &settings.admin;
    Wanted {
        setting: "admin",
        everyone_could: "change the configuration",
        listen,
        tls,
        has_token: token.is_some(),
        default: ADMIN_ADDRESS,
        without: "no Admin API",
    }
}

/// What is wrong with how the Admin API is protected, found without opening anything.
pub(super) fn check(settings: &Settings) -> Vec<Diagnostic> {
    let AdminApi { listen, token, tls, .. } = &settings.admin;
    let mut found = wanted(settings).check();
    if let Some(address) = input::beyond_loopback(listen).filter(|_| token.is_some() && !tls.is_on()) {
        let message = format!(
            "the Admin API listens beyond this machine ({address}) and does not encrypt: tokens and secrets can be read on the way"
        );
        let help = "set admin.tls.certificate and admin.tls.private_key";
        found.push(Diagnostic::warning(codes::EXPOSED, message).path("admin.listen").help(help));
    }
    found
}

/// Takes the addresses of the Admin API. The default one is also Kong's: if it is in use, the service runs without it.
///
/// # Errors
/// As [`Wanted::take`].
pub(super) async fn listen(settings: &Settings) -> Result<Listeners, LaunchError> {
    wanted(settings).take().await
}

/// The Admin API of a running service.
pub(super) struct Serving {
    /// Ends with the service.
    _tasks: JoinSet<()>,
    /// The changes that requests want.
    pub(super) jobs: Jobs,
    /// The entities.
    pub(super) state: Arc<State>,
    /// What answers requests, for those that the page passes on.
    pub(super) admin: Arc<Admin>,
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
    let (state, shared) = match database {
        Some(Database { store, tables, drafts, last: made, shared }) => {
            *last.lock() = made;
            let of_nodes = shared.as_ref().map(|shared| shared.state.clone());
            (State::of_database(gateway, store, tables, drafts, of_nodes), shared)
        }
        None => (State::of_texts(gateway), None),
    };
    let state = Arc::new(state);
    if let Some(shared) = shared {
        follow(&state, service, shared);
    }
    let admin = Arc::new(Admin::new(
        state.clone(),
        node(&listeners, settings),
        access(&settings.admin, &settings.admin.tls),
        settings.admin.gui_urls.clone(),
    ));
    let names: Vec<String> =
        settings.admin.allowed_hosts.iter().cloned().chain(hosts(&settings.admin.gui_urls)).collect();
    let allowed = AllowedHosts::new(&names, "admin.allowed_hosts");
    let tasks = listeners.serve(&admin, Some(&allowed));
    Serving { _tasks: tasks, jobs: Jobs(jobs), state, admin }
}

/// Follows what other nodes change in the database.
fn follow(state: &Arc<State>, service: &ServiceState, shared: Shared) {
    let Shared { state: database, watch, copy, warning } = shared;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    service.set_database(database.clone());
    if let Err(error) = Follower::start(state, database, watch, copy) {
        tracing::error!("changes of other nodes do not become active before a restart: cannot start a thread: {error}");
    }
}

/// What the Admin API says of the node.
fn node(listeners: &Listeners, settings: &Settings) -> Node {
    let ssl = |address: String, encrypted: bool| if encrypted { format!("{address} ssl") } else { address };
    let own = listeners.addresses().map(|address| ssl(address, listeners.is_encrypted())).collect();
    let http = settings.inputs.get("http");
    let encrypted = http.and_then(|http| http.get("tls")?.get("certificate")).is_some_and(|value| !value.is_null());
    let http = http.and_then(|http| http.get("listen")).and_then(Value::as_array);
    let proxies = http.into_iter().flatten().filter_map(Value::as_str);
    let proxies = proxies.map(|address| ssl(address.to_owned(), encrypted)).collect();
    Node::new(settings.database.name(), &settings.log.level, own, proxies)
}

/// Who may use what the tokens of the Admin API protect, behind a listener with `tls`.
pub(super) fn access(settings: &AdminApi, tls: &Tls) -> Access {
    let text = |token: &Option<Secret>| token.as_ref().map(|token| token.text().to_owned());
    let certificates = match tls {
        tls if tls.requires_certificate() => Certificates::Required,
        tls if tls.asks_for_certificate() => Certificates::Optional,
        _ => Certificates::None,
    };
    Access::new(text(&settings.token), text(&settings.read_only_token), certificates)
}

/// The names of the hosts of `urls`.
fn hosts(urls: &[String]) -> impl Iterator<Item = String> {
    urls.iter().filter_map(|url| {
        let authority = url.split_once("://")?.1.split('/').next()?;
        Some(authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned())
    })
}
