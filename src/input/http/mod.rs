//! `POST /`, over HTTP/1.1 and HTTP/2, as Kong's http-log sends it.

mod activity;
pub(super) mod bodies;
pub(super) mod body;
pub(super) mod connection;
pub(super) mod error;
mod framing;
pub(super) mod memory;
mod response;
mod service;
mod stream;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use self::service::Service;
use super::accept::AcceptOptions;
use super::settings::{
    ADDRESS, ALLOWED_HOST, MAPPING, MATCH_ROUTES, MAX_CONNECTIONS, idle_timeout, list, matches_routes, replays_phases,
    settings_record, size,
};
use super::transport::{self, Auth, PROXY_PROTOCOL, PerPeer, TcpSocket, Tls, Transport, TransportSettings};
use super::{Address, BindError, BoundInput, Context, Input, bind};
use crate::confinement::Files;
use crate::decode::TextDecoder;
use crate::decode::kong::Format;
use crate::input::Shared;
use crate::sink::BoxFuture;
use logphase_config::diagnostic::Diagnostic;
use logphase_config::schema::{self, Field, Record};

/// Bytes of all bodies that are being read or taken at the same time.
pub(super) const MAX_BYTES_IN_FLIGHT: usize = 16 << 20;

/// How long the headers of a request may take from their first byte.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a response may wait for its peer to read any of it.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the body of a request may take.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(60);

settings_record! {
    /// The settings `inputs.http`.
    pub struct Settings {
        /// Addresses, `HOST:PORT`.
        listen: Vec<String> = list(&ADDRESS).default(schema::Default::Strings(&["127.0.0.1:9080"]));
        /// Connections at the same time; for more, the one that has waited for its peer for the longest time is closed.
        max_connections: usize = MAX_CONNECTIONS;
        /// How long a connection may be idle.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        idle_timeout: Duration = idle_timeout(60);
        /// Who may send requests.
        auth: Auth = Field::record("", Auth::RECORD).required();
        /// TLS.
        tls: Tls = Field::record("", Tls::RECORD).required();
        /// Addresses and networks of proxies whose connections begin with a PROXY protocol header (version 1 or 2), or `all`.
        proxy_protocol: Vec<String> = PROXY_PROTOCOL;
        /// Limits on each peer.
        per_peer: PerPeer = Field::record("", PerPeer::RECORD).required();
        /// Minimum bytes per second at which the body of a request must arrive, after its first five seconds.
        min_rate: usize = size(1024);
        /// Names, or `*.zone`, that requests may have in `Host` if the input listens on this machine alone, in addition
        /// to addresses, names without a dot, private zones and the name of the machine.
        allowed_hosts: Vec<String> = list(&ALLOWED_HOST);
        /// Mapping of what arrives to transactions: `kong`, a built-in one, or one of `mappings`.
        mapping: String = MAPPING;
        /// Find the route and service of transactions without them, as Kong's router would; by default if `mapping` is
        /// not `kong`.
        match_routes: Option<bool> = MATCH_ROUTES;
    }
}

/// The HTTP input.
#[derive(Debug, Clone)]
pub(super) struct Http {
    pub(super) settings: Settings,
    /// Decodes bodies in each [`Format`].
    pub(super) decoder: TextDecoder,
    /// Bytes of one body, both as sent and as decompressed.
    pub(super) max_body_bytes: usize,
    /// Bytes of all bodies that are being read or taken at the same time; past them, requests get 429. At least twice
    /// `max_body_bytes` in effect, and a quarter more for small bodies.
    pub(super) max_bytes_in_flight: usize,
    /// How long the headers of a request may take from their first byte.
    pub(super) header_timeout: Duration,
    /// How long a response may wait for its peer to read any of it.
    pub(super) write_timeout: Duration,
    /// How long the body of a request may take.
    pub(super) body_timeout: Duration,
}

impl Input for Http {
    const NAME: &'static str = "http";
    const ABOUT: &'static str = "HTTP.";
    const SETTINGS: &'static Record = Settings::RECORD;
    type Settings = Settings;

    fn new(settings: Settings, shared: Shared<'_>) -> Option<Self> {
        (!settings.listen.is_empty()).then(|| Self {
            decoder: shared.decoder(&settings.mapping, Format::Document),
            settings,
            max_body_bytes: shared.limits.max_body_bytes,
            max_bytes_in_flight: MAX_BYTES_IN_FLIGHT,
            header_timeout: HEADER_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
        })
    }

    fn matches_routes(&self) -> bool {
        matches_routes(self.settings.match_routes, &self.settings.mapping)
    }

    fn replays_phases(&self) -> bool {
        replays_phases(self.settings.match_routes, &self.settings.mapping)
    }

    fn files(&self) -> Files {
        self.settings.tls.files().and(self.settings.auth.files())
    }

    fn check(&self) -> Vec<Diagnostic> {
        transport::findings(&self.settings.transport(), &self.settings.listen)
    }

    fn bind(self) -> Result<Box<dyn BoundInput>, BindError> {
        let transport = Transport::open(&self.settings.transport())?;
        let listeners = bind::each(&self.settings.listen, |address| bind::tcp("HTTP", address))?;
        Ok(Box::new(Bound { input: self, transport, listeners }))
    }
}

impl Settings {
    fn transport(&self) -> TransportSettings<'_> {
        let Self { tls, proxy_protocol, per_peer, auth, .. } = self;
        let alpn = &["h2", "http/1.1"];
        TransportSettings { input: Http::NAME, tls, proxy_protocol, per_peer: *per_peer, auth: Some(auth), alpn }
    }
}

struct Bound {
    input: Http,
    transport: Transport,
    listeners: Vec<(TcpSocket, SocketAddr)>,
}

impl BoundInput for Bound {
    fn addresses(&self) -> Vec<Address> {
        let scheme = self.transport.scheme("http", "https");
        self.listeners.iter().map(|(_, address)| Address::Inet { scheme, address: *address }).collect()
    }

    fn serve(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        let options =
            AcceptOptions { max_connections: self.input.settings.max_connections, drain_backlog: false, answers: true };
        let service = Service::new(context.clone(), self.input, self.transport.access().clone());
        let handler = move |address| {
            let service = service.on(address);
            move |own, stream: transport::Stream, peer, slot| {
                connection::serve(service.of_connection(own, peer, stream.is_verified()), stream, peer, slot)
            }
        };
        Box::pin(self.transport.serve(context, self.listeners, options, handler))
    }
}
