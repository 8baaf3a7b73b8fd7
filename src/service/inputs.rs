//! From settings to running inputs.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{self, Control, Monitor, Routes};
use crate::input::{Address, BindError, InputSettings, Inputs, Kind, Meters, Serving};
use crate::phase::Intake;
use crate::settings::{STATUS_ADDRESS, Settings};

/// The inputs, bound and then serving.
pub struct Listening {
    serving: Vec<Serving>,
    meters: Vec<(Kind, Arc<Meters>)>,
    stop: watch::Sender<bool>,
}

/// An input that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The address is no address.
    #[error("cannot listen on `{address}`: {source}; give `host:port`, like `127.0.0.1:9080`")]
    Address {
        /// As in the settings.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It is taken or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl Listening {
    /// Takes every address of `settings`, then serves them all. Answers also with where they really are.
    ///
    /// # Errors
    /// The first address that cannot be had; then none is served.
    pub fn start(settings: &Settings, intake: &Intake) -> Result<(Self, Vec<Address>), InputError> {
        let bound: Vec<Inputs> =
            input_settings(settings)?.iter().map(Inputs::bind).collect::<Result<_, BindError>>()?;
        let addresses = bound.iter().flat_map(|inputs| inputs.local_addresses().to_vec()).collect();
        let (stop, stopped) = watch::channel(false);
        let (mut serving, mut meters) = (Vec::new(), Vec::new());
        for inputs in bound {
            let kinds = inputs.kinds();
            let one = inputs.serve(intake.clone(), stopped.clone());
            meters.extend(kinds.into_iter().map(|kind| (kind, one.meters().clone())));
            serving.push(one);
        }
        Ok((Self { serving, meters, stop }, addresses))
    }

    /// What each kind of input that was asked for has counted.
    pub fn meters(&self) -> &[(Kind, Arc<Meters>)] {
        &self.meters
    }

    /// Accepts nothing new, and waits for what is under way for at most `time`; then ends the intake, which frees
    /// inputs that wait for a full queue.
    pub async fn stop(mut self, intake: &Intake, time: Duration) {
        let _ = self.stop.send(true);
        let all = async |serving: &mut Vec<Serving>| {
            for one in serving {
                one.finished().await;
            }
        };
        if tokio::time::timeout(time, all(&mut self.serving)).await.is_err() {
            tracing::warn!("inputs were still waiting for full queues; what they held was not taken");
        }
        intake.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), all(&mut self.serving)).await;
    }
}

/// One set of settings for each kind of input, as each has timeouts and bounds of its own.
fn input_settings(settings: &Settings) -> Result<Vec<InputSettings>, InputError> {
    let inputs = &settings.inputs;
    let base = || InputSettings {
        limits: settings.limits.transaction(),
        max_body_bytes: settings.limits.max_body_bytes,
        ..InputSettings::default()
    };
    Ok(vec![
        InputSettings {
            http: resolve(&inputs.http.listen)?,
            max_connections: inputs.http.max_connections,
            idle_timeout: inputs.http.idle_timeout,
            ..base()
        },
        InputSettings {
            tcp: resolve(&inputs.tcp.listen)?,
            max_connections: inputs.tcp.max_connections,
            idle_timeout: inputs.tcp.idle_timeout,
            ..base()
        },
        InputSettings {
            unix: inputs.unix.paths.clone(),
            max_connections: inputs.unix.max_connections,
            idle_timeout: inputs.unix.idle_timeout,
            ..base()
        },
        InputSettings { udp: resolve(&inputs.udp.listen)?, ..base() },
    ])
}

/// Takes the addresses of the status and answers there; ends when what it returns is dropped.
///
/// The default address is Kong's as well, and is done without if it is in use.
///
/// # Errors
/// An address that cannot be had.
pub async fn show_status(settings: &Settings, monitor: &Monitor) -> Result<JoinSet<()>, InputError> {
    let mut serving = JoinSet::new();
    let routes = Arc::new(monitor.routes());
    for address in resolve(&settings.status.listen)? {
        let taken = TcpListener::bind(address).await;
        if let Err(error) = &taken
            && error.kind() == std::io::ErrorKind::AddrInUse
            && address.to_string() == STATUS_ADDRESS
        {
            tracing::warn!(
                "no /metrics and no /status: another process has {address}, perhaps Kong, or another Logphase; set \
                status.listen to another address, or to none"
            );
            continue;
        }
        let listener = taken.map_err(|source| InputError::Address { address: address.to_string(), source })?;
        let shown = listener.local_addr().unwrap_or(address);
        tracing::info!("status: http://{shown}/status");
        serving.spawn(admin::serve(listener, routes.clone()));
    }
    Ok(serving)
}

/// Answers `routes` on the control socket of the data directory. Where it cannot be had the service does without, and says
/// so: a second service without queues on disk may share the directory.
pub fn open_control(settings: &Settings, routes: Routes) -> Option<Control> {
    let opened = Control::open(&settings.data_dir, routes);
    opened
        .map_err(|error| {
            let path = admin::control_path(&settings.data_dir);
            tracing::warn!("commands (queue, tap, top) cannot reach this service at {}: {error}", path.display());
        })
        .ok()
}

fn resolve(addresses: &[String]) -> Result<Vec<SocketAddr>, InputError> {
    let mut resolved = Vec::new();
    for address in addresses {
        let found = address.to_socket_addrs();
        let found = found.map_err(|source| InputError::Address { address: address.clone(), source })?;
        // `localhost` may stand for several; each is taken once.
        resolved.extend(found);
    }
    resolved.dedup();
    Ok(resolved)
}
