//! Envoy's access log service (ALS): gRPC, over HTTP/2.
//!
//! Envoy never waits for an answer and drops entries when it cannot send them, so the stream is read as fast as it comes:
//! transactions for which the queues have no room wait in a buffer of all streams, and are counted as lost once that is full.
//!
//! gRPC is hyper's HTTP/2, which the HTTP input has, and what [`super::grpc`] adds.

mod call;
mod connection;
mod feed;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use self::call::Calls;
use self::feed::Budget;
use super::accept::AcceptOptions;
use super::settings::{ADDRESS, MAX_CONNECTIONS, boolean, idle_timeout, list, settings_record, size};
use super::transport::{self, Auth, PROXY_PROTOCOL, PerPeer, TcpSocket, Tls, Transport, TransportSettings};
use super::{Address, BindError, BoundInput, Context, Input, bind};
use crate::confinement::Files;
use crate::decode::AlsDecoder;
use crate::input::Shared;
use crate::sink::BoxFuture;
use logphase_config::diagnostic::Diagnostic;
use logphase_config::schema::{Check, Field, Record};
use logphase_protocol::envoy::{Converter, Rule};

/// A rule that names consumers, routes or services.
const NAME: Field = Field::string("").checks(&[Check::Custom(rule)]);

settings_record! {
    /// The settings `inputs.als`.
    pub struct Settings {
        /// Addresses, `HOST:PORT`.
        listen: Vec<String> = list(&ADDRESS);
        /// Connections at the same time; for more, the one that has waited for its peer for the longest time is closed.
        max_connections: usize = MAX_CONNECTIONS;
        /// How long a connection may be idle; Envoy makes a new one when it has an entry.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        idle_timeout: Duration = idle_timeout(3600);
        /// Who may send requests.
        auth: Auth = Field::record("", Auth::RECORD).required();
        /// TLS.
        tls: Tls = Field::record("", Tls::RECORD).required();
        /// Addresses and networks of proxies whose connections begin with a PROXY protocol header (version 1 or 2), or `all`.
        proxy_protocol: Vec<String> = PROXY_PROTOCOL;
        /// Limits on each peer.
        per_peer: PerPeer = Field::record("", PerPeer::RECORD).required();
        /// Maximum bytes of all transactions that wait for the queues; more are lost, and counted.
        max_buffered_bytes: usize = size(64 << 20);
        /// Whether records that are not the last of their request or connection become transactions, too.
        intermediate: bool = boolean(false);
        /// Rules `TARGET=SOURCE` that name consumers, routes and services by metadata and the like, such as
        /// `consumer.username=metadata:jwt:sub`; the first with a value counts.
        names: Vec<String> = list(&NAME);
        /// Find the route and service of transactions without them, as Kong's router would.
        match_routes: bool = boolean(true);
    }
}

/// Checks the text of a [`Rule`].
fn rule(text: &Value) -> Result<(), String> {
    let parsed = text.as_str().unwrap_or_default().parse::<Rule>();
    parsed.map(drop).map_err(|error| error.to_string())
}

/// The input of Envoy's access log service.
#[derive(Debug, Clone)]
pub(super) struct Als {
    pub(super) settings: Settings,
    pub(super) decoder: AlsDecoder,
    /// Bytes of one gRPC message.
    pub(super) max_message_bytes: usize,
}

impl Input for Als {
    const NAME: &'static str = "als";
    const ABOUT: &'static str = "Envoy's access log service.";
    const SETTINGS: &'static Record = Settings::RECORD;
    type Settings = Settings;

    fn matches_routes(&self) -> bool {
        self.settings.match_routes
    }

    fn new(settings: Settings, shared: Shared<'_>) -> Option<Self> {
        if settings.listen.is_empty() {
            return None;
        }
        // Every rule was checked with the settings.
        let rules = settings.names.iter().filter_map(|rule| rule.parse().ok()).collect();
        let decoder = AlsDecoder::new(Converter::new(rules, settings.intermediate), shared.limits.transaction());
        Some(Self { settings, decoder, max_message_bytes: shared.limits.max_body_bytes })
    }

    fn files(&self) -> Files {
        self.settings.tls.files().and(self.settings.auth.files())
    }

    fn check(&self) -> Vec<Diagnostic> {
        transport::findings(&self.settings.transport(), &self.settings.listen)
    }

    fn bind(self) -> Result<Box<dyn BoundInput>, BindError> {
        let transport = Transport::open(&self.settings.transport())?;
        let listeners = bind::each(&self.settings.listen, |address| bind::tcp("Envoy's access logs", address))?;
        Ok(Box::new(Bound { input: self, transport, listeners }))
    }
}

impl Settings {
    fn transport(&self) -> TransportSettings<'_> {
        let Self { tls, proxy_protocol, per_peer, auth, .. } = self;
        let alpn = &["h2"];
        TransportSettings { input: Als::NAME, tls, proxy_protocol, per_peer: *per_peer, auth: Some(auth), alpn }
    }
}

struct Bound {
    input: Als,
    transport: Transport,
    listeners: Vec<(TcpSocket, SocketAddr)>,
}

impl BoundInput for Bound {
    fn addresses(&self) -> Vec<Address> {
        let scheme = self.transport.scheme("grpc", "grpcs");
        self.listeners.iter().map(|(_, address)| Address::Inet { scheme, address: *address }).collect()
    }

    fn serve(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        let Als { settings, decoder, max_message_bytes } = self.input;
        let options = AcceptOptions { max_connections: settings.max_connections, drain_backlog: false, answers: true };
        let idle_timeout = settings.idle_timeout;
        let budget = Arc::new(Budget::new(settings.max_buffered_bytes));
        let access = self.transport.access().clone();
        let handler = move |_| {
            let (decoder, budget, access) = (decoder.clone(), budget.clone(), access.clone());
            move |context: Context, stream: transport::Stream, peer, slot| {
                let access = (access.clone(), stream.is_verified());
                let calls = Calls::new(context, decoder.clone(), budget.clone(), max_message_bytes, peer, access);
                connection::serve(calls, idle_timeout, stream, peer, slot)
            }
        };
        Box::pin(self.transport.serve(context, self.listeners, options, handler))
    }
}
