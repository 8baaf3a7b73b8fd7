//! What the Admin API needs of a service: its listeners, and how it replaces the configuration.

use std::net::SocketAddr;
use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, SourceFile, codes};
use logphase_config::document::Node as Document;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::database::{Database, Shared};
use super::inputs::bind;
use super::last::Last;
use super::launch::LaunchError;
use super::{Loaded, Prepared, ReloadError, Reloader, Service, StartError, files, reload};
use crate::admin::{Access, Activation, Admin, Certificates, Follower, Gateway, Node, State};
use crate::api::{self, Handler, ServiceState, TlsListener};
use crate::connections::AllowedHosts;
use crate::entity::{Plugin, Validated};
use crate::input::{self, ServedTls};
use crate::settings::{ADMIN_ADDRESS, AdminApi, Secret, Settings};
use logphase_net::ConfigError;

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

/// The addresses of the Admin API, which are taken and not served yet, and their TLS.
#[derive(Default)]
pub(super) struct Listeners {
    sockets: Vec<TcpListener>,
    tls: Option<ServedTls>,
}

/// What is wrong with how the Admin API is protected, found without opening anything.
pub(super) fn check(settings: &Settings) -> Vec<Diagnostic> {
    let AdminApi { listen, token, tls, .. } = &settings.admin;
    let mut found = input::tls_findings("admin.tls", tls);
    let literal = |address: &String| address.parse::<SocketAddr>().ok();
    found.extend(listen.iter().filter_map(literal).filter_map(|address| open_to_all(settings, address)));
    if let Some(address) = input::beyond_loopback(listen).filter(|_| token.is_some() && !tls.is_on()) {
        let message = format!(
            "the Admin API listens beyond this machine ({address}) and does not encrypt: tokens and secrets can be read on the way"
        );
        let help = "set admin.tls.certificate and admin.tls.private_key";
        found.push(Diagnostic::warning(codes::EXPOSED, message).path("admin.listen").help(help));
    }
    found
}

/// The error of an address that others reach, although requests need neither a token nor a certificate.
fn open_to_all(settings: &Settings, address: SocketAddr) -> Option<Diagnostic> {
    let AdminApi { token, tls, .. } = &settings.admin;
    if address.ip().to_canonical().is_loopback() || token.is_some() || tls.asks_for_certificate() {
        return None;
    }
    let message = format!("everyone who reaches {address} could change the configuration");
    let help = "set admin.token, or admin.tls with client_ca; or listen on 127.0.0.1";
    Some(Diagnostic::error(codes::SETTING, message).path("admin.listen").help(help))
}

/// Takes the addresses of the Admin API. The default one is also Kong's: if it is in use, the service runs without it.
///
/// # Errors
/// An address that cannot be taken, or that others reach although requests need nothing; certificates that cannot be used.
pub(super) async fn listen(settings: &Settings) -> Result<Listeners, LaunchError> {
    let tls = ServedTls::open("admin.tls", &settings.admin.tls, &["http/1.1"]);
    let unusable = |error: ConfigError| {
        let error = error.within("admin.tls");
        LaunchError::Configuration(vec![Diagnostic::error(codes::SETTING, error.to_string()).path(error.field)])
    };
    let mut listeners = Listeners { sockets: Vec::new(), tls: tls.map_err(unusable)? };
    for address in input::resolve(&settings.admin.listen)? {
        if let Some(error) = open_to_all(settings, address) {
            return Err(LaunchError::Configuration(vec![error]));
        }
        listeners.sockets.extend(bind(address, ADMIN_ADDRESS, "no Admin API", "admin.listen").await?);
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
        access(&settings.admin),
        settings.admin.gui_urls.clone(),
    ));
    let names: Vec<String> =
        settings.admin.allowed_hosts.iter().cloned().chain(hosts(&settings.admin.gui_urls)).collect();
    let Listeners { sockets, tls } = listeners;
    let mut tasks = JoinSet::new();
    for socket in sockets {
        let scheme = if tls.is_some() { "https" } else { "http" };
        if let Ok(address) = socket.local_addr() {
            tracing::info!("admin: {scheme}://{address}");
        }
        let allowed = Some(AllowedHosts::new(&names, "admin.allowed_hosts"));
        match &tls {
            Some(tls) => {
                let listener = TlsListener::new(socket, tls.clone(), Admin::NAME);
                tasks.spawn(api::serve(listener, admin.clone(), allowed));
            }
            None => drop(tasks.spawn(api::serve(socket, admin.clone(), allowed))),
        }
    }
    if let Some(tls) = tls {
        tasks.spawn(async move { tls.watch(std::future::pending()).await });
    }
    Serving { _tasks: tasks, jobs: Jobs(jobs), state }
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
    let own = listeners.sockets.iter().filter_map(|socket| Some(socket.local_addr().ok()?.to_string()));
    let own = own.map(|address| ssl(address, listeners.tls.is_some())).collect();
    let http = settings.inputs.get("http");
    let encrypted = http.and_then(|http| http.get("tls")?.get("certificate")).is_some_and(|value| !value.is_null());
    let http = http.and_then(|http| http.get("listen")).and_then(Value::as_array);
    let proxies = http.into_iter().flatten().filter_map(Value::as_str);
    let proxies = proxies.map(|address| ssl(address.to_owned(), encrypted)).collect();
    Node::new(settings.database.name(), &settings.log.level, own, proxies)
}

/// Who may use the Admin API.
fn access(settings: &AdminApi) -> Access {
    let text = |token: &Option<Secret>| token.as_ref().map(|token| token.text().to_owned());
    let certificates = match &settings.tls {
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
