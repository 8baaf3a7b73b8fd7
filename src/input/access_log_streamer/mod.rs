//! The access log streamer of kuma-dp: lines that Envoys write, each of which names the collector that it goes to over TCP.
//!
//! Envoys write to a FIFO; a log shipper may use a Unix socket or TCP. The lines are no transactions: they go to the outputs of
//! their collectors as they are, and no plugin sees them. A line is words of whoever wrote it, so it decides nothing but which of the
//! allowed addresses it goes to.

mod fifo;
mod forward;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use self::fifo::Fifo;
use self::forward::Forwarder;
use super::accept::{self, AcceptOptions, Peer};
use super::lines::{self, LineSplitter};
use super::settings::{ADDRESS, MAX_CONNECTIONS, TEXT, idle_timeout, list, settings_record};
use super::transport::{self, PROXY_PROTOCOL, PerPeer, TcpSocket, Tls, Transport, TransportSettings};
use super::{Address, BindError, BoundInput, Context, Input, InputSettings, bind, serving};
use crate::confinement::Files;
use crate::connections::Slot;
use crate::delivery::Collectors;
use crate::input::Shared;
use crate::mesh::{AddressPattern, Destination};
use crate::options::record::count;
use crate::sink::BoxFuture;
use crate::socket_file::SocketListener;
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_config::schema::{Check, Field, Record};

/// Addresses that lines may name.
const PATTERN: Field = Field::string("").checks(&[Check::Custom(pattern)]);

settings_record! {
    /// The settings `inputs.access_log_streamer`.
    pub struct Settings {
        /// Paths of FIFOs, which are made with mode 0666 where there is none. One that this service made is removed when it stops,
        /// unless an Envoy has it open.
        fifos: Vec<PathBuf> = list(&TEXT);
        /// Paths of Unix sockets.
        paths: Vec<PathBuf> = list(&TEXT);
        /// Addresses, `HOST:PORT`.
        listen: Vec<String> = list(&ADDRESS);
        /// Addresses that lines may go to beside those of the TCP backends of meshes: `HOST:PORT`, where the host may be `*.ZONE`, a
        /// network such as `10.0.0.0/8`, or `*`, and the port may be `*`.
        addresses: Vec<String> = list(&PATTERN);
        /// Addresses that only lines name and that have lines to be delivered, at most; lines for more are rejected.
        max_addresses: usize = count(64, &[Check::Between(1.0, 10_000.0)]);
        /// Connections at the same time; for more, the one that has waited for its peer for the longest time is closed.
        max_connections: usize = MAX_CONNECTIONS;
        /// How long a connection may be idle.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        idle_timeout: Duration = idle_timeout(300);
        /// TLS.
        tls: Tls = Field::record("", Tls::RECORD).required();
        /// Addresses and networks of proxies whose connections begin with a PROXY protocol header (version 1 or 2), or `all`.
        proxy_protocol: Vec<String> = PROXY_PROTOCOL;
        /// Limits on each peer.
        per_peer: PerPeer = Field::record("", PerPeer::RECORD).required();
    }
}

/// Checks the text of an [`AddressPattern`].
fn pattern(text: &Value) -> Result<(), String> {
    let parsed = text.as_str().unwrap_or_default().parse::<AddressPattern>();
    parsed.map(drop).map_err(|error| error.to_string())
}

/// Where lines may go.
#[derive(Debug, Clone)]
pub struct LineAddresses {
    /// The addresses, beside those that the configuration names.
    pub allowed: Arc<[AddressPattern]>,
    /// How many of them at the same time.
    pub max: usize,
}

impl LineAddresses {
    /// What `settings` say; `None` if the input is off.
    pub fn of<'a>(settings: impl Into<InputSettings<'a>>) -> Option<Self> {
        let InputSettings { inputs, .. } = settings.into();
        let settings: Settings = serde_json::from_value(inputs.get(AccessLogStreamer::NAME)?.clone()).ok()?;
        settings.is_on().then(|| Self { allowed: settings.patterns().collect(), max: settings.max_addresses })
    }

    /// Whether `name` is that of outputs that lines may open, or the address of one.
    pub fn has_output(&self, name: &str) -> bool {
        let collector = Destination::Tcp { address: name.to_owned() };
        name == collector.output_name() || self.allowed.iter().any(|pattern| pattern.matches(name))
    }
}

/// The access log streamer.
#[derive(Debug, Clone)]
pub(super) struct AccessLogStreamer {
    settings: Settings,
    max_line_bytes: usize,
}

impl Input for AccessLogStreamer {
    const NAME: &'static str = "access_log_streamer";
    const ABOUT: &'static str =
        "Lines of Envoys that name their collector, as kuma-dp's access log streamer reads them.";
    const SETTINGS: &'static Record = Settings::RECORD;
    type Settings = Settings;

    fn new(settings: Settings, shared: Shared<'_>) -> Option<Self> {
        let max_line_bytes = shared.limits.transaction().max_bytes;
        settings.is_on().then_some(Self { settings, max_line_bytes })
    }

    fn matches_routes(&self) -> bool {
        false
    }

    fn replays_phases(&self) -> bool {
        false
    }

    fn files(&self) -> Files {
        let Settings { fifos, paths, tls, .. } = &self.settings;
        let mut write = bind::socket_directories(paths);
        // A missing directory is created below the nearest one that exists.
        let nearest = |directory: PathBuf| directory.ancestors().find(|above| above.exists()).map(Path::to_owned);
        let above = |directory| nearest(directory).filter(|above| !above.as_os_str().is_empty());
        write.extend(bind::socket_directories(fifos).into_iter().map(|path| above(path).unwrap_or_else(|| ".".into())));
        Files { write, ..Files::default() }.and(tls.files())
    }

    fn check(&self) -> Vec<Diagnostic> {
        let mut found = transport::findings(&self.settings.transport(), &self.settings.listen);
        found.extend(self.settings.fifos.iter().filter_map(|path| taken(path)));
        if let Some(any) =
            self.settings.addresses.iter().zip(self.settings.patterns()).find(|(_, p)| p.is_of_any_host())
        {
            let message = format!("inputs.{} sends lines to any host that a line names (`{}`)", Self::NAME, any.0);
            let help = "name the collectors: whoever writes a line has this service connect to a host of their choice";
            let path = format!("inputs.{}.addresses", Self::NAME);
            found.push(Diagnostic::warning(codes::EXPOSED, message).path(path).help(help));
        }
        found
    }

    fn bind(self) -> Result<Box<dyn BoundInput>, BindError> {
        let transport = Transport::open(&self.settings.transport())?;
        let listeners = bind::each(&self.settings.listen, |address| bind::tcp("access logs", address))?;
        let sockets = self.settings.paths.iter().map(|path| bind::unix(path)).collect::<Result<_, _>>()?;
        let fifos = self.settings.fifos.iter().map(|path| Fifo::open(path)).collect::<Result<_, _>>()?;
        Ok(Box::new(Bound { input: self, transport, listeners, sockets, fifos }))
    }
}

/// An error if `path` is something else than a FIFO.
fn taken(path: &Path) -> Option<Diagnostic> {
    let is_taken = std::fs::metadata(path).is_ok_and(|found| !fifo::is_fifo(&found));
    is_taken.then(|| {
        let message = format!("{} is not a FIFO", path.display());
        let path = format!("inputs.{}.fifos", AccessLogStreamer::NAME);
        Diagnostic::error(codes::SETTING, message).path(path).help("remove it, or choose another path")
    })
}

impl Settings {
    fn is_on(&self) -> bool {
        !(self.fifos.is_empty() && self.paths.is_empty() && self.listen.is_empty())
    }

    /// The patterns, which were checked with the settings.
    fn patterns(&self) -> impl Iterator<Item = AddressPattern> {
        self.addresses.iter().filter_map(|text| text.parse().ok())
    }

    fn transport(&self) -> TransportSettings<'_> {
        let Self { tls, proxy_protocol, per_peer, .. } = self;
        let input = AccessLogStreamer::NAME;
        TransportSettings { input, tls, proxy_protocol, per_peer: *per_peer, auth: None, alpn: &[] }
    }
}

struct Bound {
    input: AccessLogStreamer,
    transport: Transport,
    listeners: Vec<(TcpSocket, SocketAddr)>,
    sockets: Vec<SocketListener>,
    fifos: Vec<Fifo>,
}

impl BoundInput for Bound {
    fn addresses(&self) -> Vec<Address> {
        let scheme = self.transport.scheme("tcp", "tls");
        let inet = self.listeners.iter().map(|(_, address)| Address::Inet { scheme, address: *address });
        let sockets = self.sockets.iter().map(|socket| Address::Unix(socket.file.path().to_owned()));
        let fifos = self.fifos.iter().map(|fifo| Address::Fifo(fifo.path().to_owned()));
        fifos.chain(sockets).chain(inet).collect()
    }

    fn serve(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        let Self { input, transport, listeners, sockets, fifos } = *self;
        let Some(collectors) = context.collectors.clone() else {
            tracing::error!(input = context.input, "there are no collectors, which is a bug; please report it");
            return Box::pin(std::future::ready(()));
        };
        let stream =
            Stream { collectors, max_line_bytes: input.max_line_bytes, idle_timeout: input.settings.idle_timeout };
        let options =
            AcceptOptions { max_connections: input.settings.max_connections, drain_backlog: true, answers: false };
        let mut all: Vec<BoxFuture<'static, ()>> = Vec::new();
        for fifo in fifos {
            all.push(Box::pin(fifo::serve(context.clone(), fifo, stream.clone())));
        }
        for SocketListener { listener, file } in sockets {
            let stream = stream.clone();
            let handle = move |own, io, peer, slot| stream.clone().serve(own, io, (peer, slot));
            let accepting = accept::serve(context.clone(), listener, options, handle);
            all.push(Box::pin(async move {
                // Removes the socket's file when it is dropped.
                let _file = file;
                accepting.await;
            }));
        }
        let handler = move |_| {
            let stream = stream.clone();
            move |own, io, peer, slot| stream.clone().serve(own, io, (peer, slot))
        };
        all.push(Box::pin(transport.serve(context, listeners, options, handler)));
        Box::pin(serving::run_all(all))
    }
}

/// What all streams have.
#[derive(Clone)]
struct Stream {
    collectors: Collectors,
    max_line_bytes: usize,
    idle_timeout: Duration,
}

impl Stream {
    /// Reads the lines of one stream.
    async fn serve(self, context: Context, io: impl tokio::io::AsyncRead + Unpin, from: (Peer, Slot)) {
        let splitter = LineSplitter::new(self.max_line_bytes).keeping_cr();
        let taker = Forwarder::new(context.clone(), self.collectors, self.max_line_bytes);
        lines::serve_taker(context, taker, splitter, self.idle_timeout, io, from).await;
    }
}

#[cfg(test)]
mod tests;
