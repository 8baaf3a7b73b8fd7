//! Where transactions come in: HTTP, TCP, Unix sockets, UDP and standard input.
//!
//! [`Inputs::bind`] takes every address before anything runs, so that a service that cannot have one of them says
//! so and does not start by halves. [`Inputs::serve`] then runs one task per listener and one per connection.
//! What comes in goes through the [`Intake`]; inputs that can be answered (HTTP) are answered when every entry is
//! safe, inputs that cannot are slowed down by not being read (TCP, Unix sockets, standard input) or lose, counted,
//! what has no room (UDP).
//!
//! Going down: set the `stop` watch to true, await [`Serving::finished`] within a deadline, and only then (or when
//! the deadline has passed) call [`Intake::close`], which also frees inputs that wait for a full queue.

mod accept;
mod bind;
mod http;
mod lines;
mod meter;
mod stdin;
mod udp;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::meter::{Kind, Meter, Meters, Reason};
pub use self::stdin::{Progress, RejectedLine, StdinSummary, read_lines};
use crate::phase::Intake;
use crate::socket_file::SocketListener;
use logphase_script::transaction::Limits;

/// What the inputs are set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSettings {
    /// Where HTTP is served.
    pub http: Vec<SocketAddr>,
    /// Where JSON lines are read over TCP.
    pub tcp: Vec<SocketAddr>,
    /// Where datagrams are read.
    pub udp: Vec<SocketAddr>,
    /// Where JSON lines are read over Unix sockets.
    pub unix: Vec<PathBuf>,
    /// What one transaction may be.
    pub limits: Limits,
    /// Bytes of one HTTP body, both as sent and as decompressed.
    pub max_body_bytes: usize,
    /// Bytes of all HTTP bodies that are being read or taken at the same time; past it, requests get 429. At least
    /// twice `max_body_bytes` in effect.
    pub max_bytes_in_flight: usize,
    /// How long a connection may be silent between requests or lines. Kong keeps its own connections for 60 s, and
    /// loses an entry that it writes to one just closed: stay well above that.
    pub idle_timeout: Duration,
    /// How long the head of an HTTP request may take from its first byte.
    pub header_timeout: Duration,
    /// How long the body of an HTTP request may take.
    pub body_timeout: Duration,
    /// Connections at a time on each address and path; more wait unaccepted.
    pub max_connections: usize,
    /// Bytes of the kernel's receive buffer of a UDP socket (the system may grant less: `net.core.rmem_max`).
    pub udp_receive_buffer: usize,
}

impl Default for InputSettings {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            tcp: Vec::new(),
            udp: Vec::new(),
            unix: Vec::new(),
            limits: Limits::default(),
            max_body_bytes: 8 << 20,
            max_bytes_in_flight: 16 << 20,
            idle_timeout: Duration::from_secs(300),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            max_connections: 1024,
            udp_receive_buffer: 8 << 20,
        }
    }
}

/// An address could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for {what} on {address}: {source}; {help}")]
pub struct BindError {
    /// What was to be served there: `HTTP`, `TCP`, `UDP` or `a Unix socket`.
    pub what: &'static str,
    /// The address or path as configured.
    pub address: String,
    /// What the system said.
    pub source: io::Error,
    /// What to do about it.
    pub help: String,
}

/// Where an input really listens: what port 0 has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// HTTP.
    Http(SocketAddr),
    /// JSON lines over TCP.
    Tcp(SocketAddr),
    /// Datagrams.
    Udp(SocketAddr),
    /// JSON lines over a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(address) => write!(f, "http://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Every input but standard input, bound and not yet served.
#[derive(Debug)]
pub struct Inputs {
    settings: InputSettings,
    http: Vec<TcpListener>,
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    unix: Vec<SocketListener>,
    addresses: Vec<Address>,
}

impl Inputs {
    /// Takes every address of `settings`. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be taken; those taken before are given back.
    pub fn bind(settings: &InputSettings) -> Result<Self, BindError> {
        let mut addresses = Vec::new();
        let mut http = Vec::new();
        for &address in &settings.http {
            let (listener, local) = bind::tcp("HTTP", address)?;
            addresses.push(Address::Http(local));
            http.push(listener);
        }
        let mut tcp = Vec::new();
        for &address in &settings.tcp {
            let (listener, local) = bind::tcp("TCP", address)?;
            addresses.push(Address::Tcp(local));
            tcp.push(listener);
        }
        let mut udp = Vec::new();
        for &address in &settings.udp {
            let (socket, local) = bind::udp(address, settings.udp_receive_buffer)?;
            addresses.push(Address::Udp(local));
            udp.push(socket);
        }
        let mut unix = Vec::new();
        for path in &settings.unix {
            unix.push(bind::unix(path)?);
            addresses.push(Address::Unix(path.clone()));
        }
        Ok(Self { settings: settings.clone(), http, tcp, udp, unix, addresses })
    }

    /// Where the inputs listen: HTTP, TCP, UDP, Unix sockets, each in the order of the settings.
    pub fn local_addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Which kinds there are.
    pub fn kinds(&self) -> Vec<Kind> {
        let there = [
            (Kind::Http, !self.http.is_empty()),
            (Kind::Tcp, !self.tcp.is_empty()),
            (Kind::Unix, !self.unix.is_empty()),
            (Kind::Udp, !self.udp.is_empty()),
        ];
        there.into_iter().filter_map(|(kind, is_there)| is_there.then_some(kind)).collect()
    }

    /// Starts every input. When `stop` becomes true (or its sender is dropped) they accept nothing more, finish what
    /// is in flight, and end.
    pub fn serve(self, intake: Intake, stop: watch::Receiver<bool>) -> Serving {
        let meters = Arc::new(Meters::default());
        let context = Arc::new(Context { intake, settings: self.settings, meters: meters.clone(), stop });
        let mut tasks = JoinSet::new();
        let http_service = http::Service::new(context.clone());
        for listener in self.http {
            tasks.spawn(http_service.clone().listen(listener));
        }
        for listener in self.tcp {
            tasks.spawn(lines::listen_tcp(context.clone(), listener));
        }
        for input in self.unix {
            tasks.spawn(lines::listen_unix(context.clone(), input));
        }
        for socket in self.udp {
            tasks.spawn(udp::listen(context.clone(), socket));
        }
        Serving { tasks, meters }
    }
}

/// The running inputs. Dropping it ends them at once.
#[derive(Debug)]
pub struct Serving {
    tasks: JoinSet<()>,
    meters: Arc<Meters>,
}

impl Serving {
    /// What the inputs have counted.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// Waits until every input has ended, which they do when told to stop and nothing of theirs is in flight.
    /// May be dropped and called again.
    pub async fn finished(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "an input ended by a fault of its own; please report it");
            }
        }
    }
}

/// What every input's tasks share.
struct Context {
    intake: Intake,
    settings: InputSettings,
    meters: Arc<Meters>,
    stop: watch::Receiver<bool>,
}

impl Context {
    /// Whether the inputs were told to stop.
    fn stopping(&self) -> bool {
        *self.stop.borrow() || self.intake.is_closed()
    }

    /// Returns when the inputs are told to stop.
    async fn stopped(&self) {
        // An error means that the sender is gone: nobody is left who could want more.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }
}

#[cfg(test)]
mod tests;
