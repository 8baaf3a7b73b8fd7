//! Syslog, whose messages have a JSON object as body: RFC 3164 and RFC 5424, over UDP, Unix sockets for datagrams, and TCP
//! with counts or line ends (RFC 6587). Format and framing are those of each message; nothing is configured.

mod decoder;
mod splitter;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::net::UdpSocket;

use self::decoder::SyslogDecoder;
use self::splitter::MessageSplitter;
use super::accept::AcceptOptions;
use super::datagrams::{self, RECEIVE_BUFFER_BYTES};
use super::settings::{
    ADDRESS, MAPPING, MATCH_ROUTES, MAX_CONNECTIONS, TEXT, idle_timeout, list, matches_routes, replays_phases,
    settings_record,
};
use super::transport::{self, PROXY_PROTOCOL, PerPeer, TcpSocket, Tls, Transport, TransportSettings};
use super::{Address, BindError, BoundInput, Context, Input, bind, lines, serving};
use crate::confinement::Files;
use crate::decode::kong::Format;
use crate::decode::{Decode, TextDecoder};
use crate::input::Shared;
use crate::sink::BoxFuture;
use crate::socket_file::DatagramSocket;
use logphase_config::diagnostic::Diagnostic;
use logphase_config::schema::{Check, Field, Record};

/// The name of a member that needs no escapes.
const MEMBER: Field = Field::string("").checks(&[Check::Custom(member)]);

settings_record! {
    /// The settings `inputs.syslog`.
    pub struct Settings {
        /// Addresses for UDP, `HOST:PORT`.
        udp: Vec<String> = list(&ADDRESS);
        /// Addresses for TCP, `HOST:PORT`; messages have line ends or counts.
        tcp: Vec<String> = list(&ADDRESS);
        /// Paths of Unix sockets for datagrams.
        paths: Vec<PathBuf> = list(&TEXT);
        /// Connections at the same time; for more, the one that has waited for its peer for the longest time is closed.
        max_connections: usize = MAX_CONNECTIONS;
        /// How long a connection may be idle.
        // Daemons keep a connection and may have nothing to say for long.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        idle_timeout: Duration = idle_timeout(3600);
        /// TLS of the TCP addresses.
        tls: Tls = Field::record("", Tls::RECORD).required();
        /// Addresses and networks of proxies whose connections begin with a PROXY protocol header (version 1 or 2), or `all`.
        proxy_protocol: Vec<String> = PROXY_PROTOCOL;
        /// Limits on each peer with connections.
        per_peer: PerPeer = Field::record("", PerPeer::RECORD).required();
        /// Name of a member for facility, severity, time, host, program and process of the message's header.
        header_member: Option<String> = MEMBER;
        /// Mapping of what arrives to transactions: `kong`, a built-in one, or one of `mappings`.
        mapping: String = MAPPING;
        /// Find the route and service of transactions without them, as Kong's router would; by default if `mapping` is
        /// not `kong`.
        match_routes: Option<bool> = MATCH_ROUTES;
    }
}

/// Checks the name of a member.
fn member(value: &Value) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let valid = value.as_str().is_some_and(|name| !name.is_empty() && name.chars().all(plain));
    if valid { Ok(()) } else { Err("expected a name of letters, digits, `_` and `-`".to_owned()) }
}

/// The syslog input.
#[derive(Debug, Clone)]
pub(super) struct Syslog {
    pub(super) settings: Settings,
    pub(super) decoder: TextDecoder,
}

impl Input for Syslog {
    const NAME: &'static str = "syslog";
    const ABOUT: &'static str = "Syslog messages with a JSON object as body.";
    const SETTINGS: &'static Record = Settings::RECORD;
    type Settings = Settings;

    fn new(settings: Settings, shared: Shared<'_>) -> Option<Self> {
        let decoder = shared.decoder(&settings.mapping, Format::Object);
        let Settings { udp, tcp, paths, .. } = &settings;
        let on = !udp.is_empty() || !tcp.is_empty() || !paths.is_empty();
        on.then_some(Self { settings, decoder })
    }

    fn files(&self) -> Files {
        let sockets = Files { write: bind::socket_directories(&self.settings.paths), ..Files::default() };
        sockets.and(self.settings.tls.files())
    }

    fn matches_routes(&self) -> bool {
        matches_routes(self.settings.match_routes, &self.settings.mapping)
    }

    fn replays_phases(&self) -> bool {
        replays_phases(self.settings.match_routes, &self.settings.mapping)
    }

    fn check(&self) -> Vec<Diagnostic> {
        let streams = transport::findings(&self.settings.transport(), &self.settings.tcp);
        streams.into_iter().chain(transport::of_datagrams(Self::NAME, &self.settings.udp)).collect()
    }

    fn bind(self) -> Result<Box<dyn BoundInput>, BindError> {
        let transport = Transport::open(&self.settings.transport())?;
        let Settings { udp, tcp, paths, .. } = &self.settings;
        let udp = bind::each(udp, |address| bind::udp(address, RECEIVE_BUFFER_BYTES))?;
        let tcp = bind::each(tcp, |address| bind::tcp("syslog over TCP", address))?;
        let local = paths.iter().map(|path| bind::unix_datagrams(path)).collect::<Result<_, _>>()?;
        Ok(Box::new(Bound { input: self, transport, udp, tcp, local }))
    }
}

impl Settings {
    fn transport(&self) -> TransportSettings<'_> {
        let Self { tls, proxy_protocol, per_peer, .. } = self;
        TransportSettings { input: Syslog::NAME, tls, proxy_protocol, per_peer: *per_peer, auth: None, alpn: &[] }
    }
}

struct Bound {
    input: Syslog,
    transport: Transport,
    udp: Vec<(UdpSocket, SocketAddr)>,
    tcp: Vec<(TcpSocket, SocketAddr)>,
    local: Vec<DatagramSocket>,
}

impl BoundInput for Bound {
    fn addresses(&self) -> Vec<Address> {
        let inet = |scheme, address: &SocketAddr| Address::Inet { scheme, address: *address };
        let udp = self.udp.iter().map(|(_, address)| inet("syslog+udp", address));
        let scheme = self.transport.scheme("syslog+tcp", "syslog+tls");
        let tcp = self.tcp.iter().map(|(_, address)| inet(scheme, address));
        let local = self.local.iter().map(|socket| Address::Unix(socket.file.path().to_owned()));
        udp.chain(tcp).chain(local).collect()
    }

    fn serve(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        let Self { input: Syslog { settings, decoder }, transport, udp, tcp, local } = *self;
        let decoder = SyslogDecoder::new(decoder, settings.header_member.as_deref(), &context);
        let mut listeners: Vec<BoxFuture<'static, ()>> = Vec::new();
        for (socket, _) in udp {
            listeners.push(Box::pin(datagrams::serve(context.clone(), socket, decoder.clone())));
        }
        for DatagramSocket { socket, file } in local {
            let receiving = datagrams::serve(context.clone(), socket, decoder.clone());
            listeners.push(Box::pin(async move {
                // Removes the socket's file when it is dropped.
                let _file = file;
                receiving.await;
            }));
        }
        let options = AcceptOptions { max_connections: settings.max_connections, drain_backlog: true, answers: false };
        let handler = move |_| {
            let (decoder, idle_timeout) = (decoder.clone(), settings.idle_timeout);
            move |own, stream, peer, slot| {
                let splitter = MessageSplitter::new(decoder.max_frame_bytes());
                lines::serve_frames(own, decoder.clone(), splitter, idle_timeout, stream, (peer, slot))
            }
        };
        listeners.push(Box::pin(transport.serve(context, tcp, options, handler)));
        Box::pin(serving::run_all(listeners))
    }
}

#[cfg(test)]
mod tests;
