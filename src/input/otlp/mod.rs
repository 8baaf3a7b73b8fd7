//! OpenTelemetry's logs (OTLP), over gRPC and HTTP on the same addresses: what Envoy's OpenTelemetry access logger,
//! Kong Mesh's `MeshAccessLog` and collectors send.
//!
//! A call of gRPC with one message is a POST of HTTP/2 whose body is the message behind five bytes, so both are the HTTP
//! input's connections, bodies and bounds; they differ in how a request is read and answered.

mod response;
mod service;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use self::service::Service;
use super::accept::AcceptOptions;
use super::http::connection;
use super::settings::{
    ADDRESS, ALLOWED_HOST, MAPPING, MATCH_ROUTES, MAX_CONNECTIONS, idle_timeout, list, matches_routes, replays_phases,
    settings_record, size,
};
use super::transport::{self, Auth, PROXY_PROTOCOL, PerPeer, TcpSocket, Tls, Transport, TransportSettings};
use super::{Address, BindError, BoundInput, Context, Input, bind};
use crate::confinement::Files;
use crate::decode::OtlpDecoder;
use crate::decode::kong::Format;
use crate::input::Shared;
use crate::sink::BoxFuture;
use logphase_config::diagnostic::Diagnostic;
use logphase_config::schema::{Field, Record};

/// Bytes of JSON that are made of the records of a request, for each byte that a body may have. The resource of a request is
/// in each of its records, for mappings.
const WORK_FACTOR: usize = 8;

settings_record! {
    /// The settings `inputs.otlp`.
    pub struct Settings {
        /// Addresses, `HOST:PORT`; each takes gRPC and HTTP.
        listen: Vec<String> = list(&ADDRESS);
        /// Connections at the same time; for more, the one that has waited for its peer for the longest time is closed.
        max_connections: usize = MAX_CONNECTIONS;
        /// How long a connection may be idle.
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
        /// Minimum bytes per second at which a request must arrive, after its first five seconds.
        min_rate: usize = size(1024);
        /// Names, or `*.zone`, that requests may have in `Host` if the input listens on this machine alone, in addition
        /// to addresses, names without a dot, private zones and the name of the machine.
        allowed_hosts: Vec<String> = list(&ALLOWED_HOST);
        /// Mapping of log records to transactions: `kong` (the body is Kong's object), `otel`, `envoy-otel`, or one of
        /// `mappings`.
        mapping: String = MAPPING;
        /// Find the route and service of transactions without them, as Kong's router would; by default if `mapping` is
        /// not `kong`.
        match_routes: Option<bool> = MATCH_ROUTES;
    }
}

/// The input of OpenTelemetry's logs.
#[derive(Debug, Clone)]
pub(super) struct Otlp {
    pub(super) settings: Settings,
    pub(super) decoder: OtlpDecoder,
    /// Bytes of one body, both as sent and as decompressed.
    pub(super) max_body_bytes: usize,
}

impl Input for Otlp {
    const NAME: &'static str = "otlp";
    const ABOUT: &'static str = "OpenTelemetry's logs (OTLP).";
    const SETTINGS: &'static Record = Settings::RECORD;
    type Settings = Settings;

    fn new(settings: Settings, shared: Shared<'_>) -> Option<Self> {
        let max_body_bytes = shared.limits.max_body_bytes;
        (!settings.listen.is_empty()).then(|| Self {
            decoder: OtlpDecoder::new(
                shared.decoder(&settings.mapping, Format::Object),
                shared.limits.transaction(),
                max_body_bytes.saturating_mul(WORK_FACTOR),
            ),
            settings,
            max_body_bytes,
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
        let listeners = bind::each(&self.settings.listen, |address| bind::tcp("OpenTelemetry's logs", address))?;
        Ok(Box::new(Bound { input: self, transport, listeners }))
    }
}

impl Settings {
    fn transport(&self) -> TransportSettings<'_> {
        let Self { tls, proxy_protocol, per_peer, auth, .. } = self;
        let alpn = &["h2", "http/1.1"];
        TransportSettings { input: Otlp::NAME, tls, proxy_protocol, per_peer: *per_peer, auth: Some(auth), alpn }
    }
}

struct Bound {
    input: Otlp,
    transport: Transport,
    listeners: Vec<(TcpSocket, SocketAddr)>,
}

impl BoundInput for Bound {
    fn addresses(&self) -> Vec<Address> {
        let scheme = self.transport.scheme("otlp", "otlps");
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
