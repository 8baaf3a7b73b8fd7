//! JSON lines over TCP, as Kong's tcp-log sends them.

use std::net::SocketAddr;
use std::time::Duration;

use super::accept::AcceptOptions;
use super::settings::{
    ADDRESS, MAPPING, MATCH_ROUTES, MAX_CONNECTIONS, idle_timeout, list, matches_routes, replays_phases,
    settings_record,
};
use super::transport::{self, PROXY_PROTOCOL, PerPeer, TcpSocket, Tls, Transport, TransportSettings};
use super::{Address, BindError, BoundInput, Context, Input, bind, lines};
use crate::confinement::Files;
use crate::decode::TextDecoder;
use crate::decode::kong::Format;
use crate::input::Shared;
use crate::sink::BoxFuture;
use logphase_config::diagnostic::Diagnostic;
use logphase_config::schema::{Field, Record};

settings_record! {
    /// The settings `inputs.tcp`.
    pub struct Settings {
        /// Addresses, `HOST:PORT`.
        listen: Vec<String> = list(&ADDRESS);
        /// Connections at the same time; for more, the one that has waited for its peer for the longest time is closed.
        max_connections: usize = MAX_CONNECTIONS;
        /// How long a connection may be idle.
        // Kong's tcp-log keeps a connection for a minute after its last message.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        idle_timeout: Duration = idle_timeout(300);
        /// TLS.
        tls: Tls = Field::record("", Tls::RECORD).required();
        /// Addresses and networks of proxies whose connections begin with a PROXY protocol header (version 1 or 2), or `all`.
        proxy_protocol: Vec<String> = PROXY_PROTOCOL;
        /// Limits on each peer.
        per_peer: PerPeer = Field::record("", PerPeer::RECORD).required();
        /// Mapping of what arrives to transactions: `kong`, a built-in one, or one of `mappings`.
        mapping: String = MAPPING;
        /// Find the route and service of transactions without them, as Kong's router would; by default if `mapping` is
        /// not `kong`.
        match_routes: Option<bool> = MATCH_ROUTES;
    }
}

/// The TCP input.
#[derive(Debug, Clone)]
pub(super) struct Tcp {
    pub(super) settings: Settings,
    pub(super) decoder: TextDecoder,
}

impl Input for Tcp {
    const NAME: &'static str = "tcp";
    const ABOUT: &'static str = "JSON lines over TCP.";
    const SETTINGS: &'static Record = Settings::RECORD;
    type Settings = Settings;

    fn new(settings: Settings, shared: Shared<'_>) -> Option<Self> {
        let decoder = shared.decoder(&settings.mapping, Format::Object);
        (!settings.listen.is_empty()).then_some(Self { settings, decoder })
    }

    fn matches_routes(&self) -> bool {
        matches_routes(self.settings.match_routes, &self.settings.mapping)
    }

    fn replays_phases(&self) -> bool {
        replays_phases(self.settings.match_routes, &self.settings.mapping)
    }

    fn files(&self) -> Files {
        self.settings.tls.files()
    }

    fn check(&self) -> Vec<Diagnostic> {
        transport::findings(&self.settings.transport(), &self.settings.listen)
    }

    fn bind(self) -> Result<Box<dyn BoundInput>, BindError> {
        let transport = Transport::open(&self.settings.transport())?;
        let listeners = bind::each(&self.settings.listen, |address| bind::tcp("TCP", address))?;
        Ok(Box::new(Bound { input: self, transport, listeners }))
    }
}

impl Settings {
    fn transport(&self) -> TransportSettings<'_> {
        let Self { tls, proxy_protocol, per_peer, .. } = self;
        TransportSettings { input: Tcp::NAME, tls, proxy_protocol, per_peer: *per_peer, auth: None, alpn: &[] }
    }
}

struct Bound {
    input: Tcp,
    transport: Transport,
    listeners: Vec<(TcpSocket, SocketAddr)>,
}

impl BoundInput for Bound {
    fn addresses(&self) -> Vec<Address> {
        let scheme = self.transport.scheme("tcp", "tls");
        self.listeners.iter().map(|(_, address)| Address::Inet { scheme, address: *address }).collect()
    }

    fn serve(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        let Tcp { settings: Settings { max_connections, idle_timeout, .. }, decoder } = self.input;
        let options = AcceptOptions { max_connections, drain_backlog: true, answers: false };
        let handler = move |_| {
            let decoder = decoder.clone();
            move |own, stream, peer, slot| lines::serve(own, decoder.clone(), idle_timeout, stream, (peer, slot))
        };
        Box::pin(self.transport.serve(context, self.listeners, options, handler))
    }
}

#[cfg(test)]
mod tests;
