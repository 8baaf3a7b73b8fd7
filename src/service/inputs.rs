//! From settings to running inputs, the status listeners and the control socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::{self, Control, Routes, ServiceState};
use crate::connections::AllowedHosts;
use crate::delivery::Collectors;
use crate::input::{self, Address, BindError, ConnectionThreads, Counters, INPUTS, Inputs, Serving};
use crate::phase::Intake;
use crate::settings::{STATUS_ADDRESS, Settings};

/// The running inputs.
pub struct Listening {
    serving: Serving,
    stop: watch::Sender<bool>,
}

impl Listening {
    /// Takes every address of `settings`, then serves them all, connections on `threads`. Lines that name a collector go to
    /// `collectors`. Returns also where they listen.
    ///
    /// # Errors
    /// The first address that cannot be taken; then none is served.
    pub fn start(
        settings: &Settings,
        intake: &Intake,
        collectors: Option<Collectors>,
        threads: Option<Arc<ConnectionThreads>>,
    ) -> Result<(Self, Vec<Address>), BindError> {
        let inputs = Inputs::bind(INPUTS, settings)?.with_collectors(collectors).with_threads(threads);
        let addresses = inputs.addresses();
        let (stop, stopped) = watch::channel(false);
        let serving = inputs.serve(intake, &stopped);
        Ok((Self { serving, stop }, addresses))
    }

    /// What each input has counted, by its name. Empty if no input is turned on.
    pub fn counters(&self) -> &[(&'static str, Arc<Counters>)] {
        self.serving.counters()
    }

    /// Accepts nothing new, and waits at most `time` for what is in flight. Then closes the intake, which releases inputs
    /// that wait for a full queue.
    pub async fn stop(mut self, intake: &Intake, time: Duration) {
        let _ = self.stop.send(true);
        if tokio::time::timeout(time, self.serving.finished()).await.is_err() {
            tracing::warn!("inputs were still waiting for full queues; what they held was not taken");
        }
        intake.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.serving.finished()).await;
    }
}

/// Binds the status addresses and serves them until the returned tasks are dropped.
///
/// The default address is also Kong's: if it is in use, the service runs without it.
///
/// # Errors
/// An address that cannot be bound.
pub async fn show_status(settings: &Settings, state: &ServiceState) -> Result<JoinSet<()>, BindError> {
    let mut serving = JoinSet::new();
    let routes = Arc::new(api::status_routes(state));
    for address in input::resolve(&settings.status.listen)? {
        let taken = bind(address, STATUS_ADDRESS, "no /metrics and no /status", "status.listen").await?;
        let Some(listener) = taken else { continue };
        let shown = listener.local_addr().unwrap_or(address);
        tracing::info!("status: http://{shown}/status");
        let hosts = AllowedHosts::new(&settings.status.allowed_hosts, "status.allowed_hosts");
        serving.spawn(api::serve(listener, routes.clone(), Some(hosts)));
    }
    Ok(serving)
}

/// Takes `address`. `default` is an address that is also Kong's: if it is in use, the log says `without`, and there is none. `setting` is the one
/// that names the address.
///
/// # Errors
/// The address cannot be taken.
pub async fn bind(
    address: SocketAddr,
    default: &str,
    without: &str,
    setting: &str,
) -> Result<Option<TcpListener>, BindError> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && address.to_string() == default => {
            tracing::warn!(
                "{without}: another process has {address}, perhaps Kong, or another Logphase; set {setting} to another address, or \
                 to none"
            );
            Ok(None)
        }
        Err(source) => Err(BindError::Address { address: address.to_string(), source }),
    }
}

/// Serves `routes` on the control socket of the data directory. If the socket cannot be bound, the service warns and runs
/// without it: a second service without queues on disk may share the directory.
pub fn open_control(settings: &Settings, routes: Routes) -> Option<Control> {
    let opened = Control::open(&settings.data_dir, routes);
    opened
        .map_err(|error| {
            let path = api::control_path(&settings.data_dir);
            tracing::warn!("commands (queue, tap, top) cannot reach this service at {}: {error}", path.display());
        })
        .ok()
}
