//! From an accepted TCP connection to one that an input reads: the PROXY protocol's header, limits per peer, TLS.
//!
//! What every input with TCP connections shares: the fields of its settings ([`Tls`], [`PROXY_PROTOCOL`], [`PerPeer`], and
//! [`Auth`] for requests with headers), a [`Transport`] that is made of them when the input is bound, and the [`Stream`] that its
//! connections are.
//!
//! The peer of a connection is the client that a proxy names, so that limits, turns and the log are about clients.

mod auth;
mod exposure;
mod peers;
mod plain;
mod proxy;
mod settings;
mod stream;
mod tls;
mod watched;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

pub(super) use self::auth::{Access, Auth, Unauthorized};
pub use self::exposure::{beyond_loopback, tls_findings};
pub(super) use self::exposure::{findings, of_datagrams, refusal};
pub(super) use self::plain::TcpSocket;
pub use self::settings::Tls;
pub(super) use self::settings::{PROXY_PROTOCOL, PerPeer};
pub(super) use self::stream::Stream;
pub use self::tls::{HandshakeError, ServedTls, client_subject};

use self::peers::{Peers, Place};
use self::plain::Plain;
use self::settings::Proxies;
use self::stream::Io;
use super::accept::{self, AcceptOptions, Listener, Peer, report_shed};
use super::{BindError, Context, Handshake, Refusal, serving};
use crate::connections::Slot;
use logphase_net::ConfigError;

/// How long the header of the PROXY protocol may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long both may still take when the inputs are told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// How the connections of one input begin. Cheap to clone.
#[derive(Clone)]
pub(super) struct Transport {
    tls: Option<ServedTls>,
    proxies: Arc<Proxies>,
    peers: Option<Arc<Peers>>,
    access: Access,
}

/// The settings that a [`Transport`] is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransportSettings<'a> {
    /// The name of the input.
    pub(super) input: &'static str,
    /// Its `tls`.
    pub(super) tls: &'a Tls,
    /// Its `proxy_protocol`.
    pub(super) proxy_protocol: &'a [String],
    /// Its `per_peer`.
    pub(super) per_peer: PerPeer,
    /// Its `auth`, if it has requests with headers.
    pub(super) auth: Option<&'a Auth>,
    /// The protocols that are offered by ALPN.
    pub(super) alpn: &'static [&'static str],
}

impl Transport {
    /// Reads the files of `settings`.
    ///
    /// # Errors
    /// They cannot be used.
    pub(super) fn open(settings: &TransportSettings<'_>) -> Result<Self, BindError> {
        let TransportSettings { input, tls, proxy_protocol, per_peer, auth, alpn } = *settings;
        let refused = |place: &str, error: ConfigError| BindError::Transport { input, error: error.within(place) };
        let served = ServedTls::open(&format!("inputs.{input}.tls"), tls, alpn);
        let access = auth.map(|auth| Access::new(input, auth, tls)).transpose();
        Ok(Self {
            tls: served.map_err(|error| refused("tls", error))?,
            proxies: Arc::new(Proxies::new(proxy_protocol)),
            peers: Peers::new(per_peer),
            access: access.map_err(|error| refused("auth", error))?.unwrap_or_default(),
        })
    }

    /// Which requests are taken.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// The scheme of the addresses: `tls` if connections are encrypted, else `plain`.
    pub(super) fn scheme(&self, plain: &'static str, tls: &'static str) -> &'static str {
        if self.tls.is_some() { tls } else { plain }
    }

    /// Accepts the connections of `listeners` and runs for each what `handler` makes for its address, until the inputs stop;
    /// see [`accept::serve`]. Reads certificates and tokens again when they change.
    pub(super) async fn serve<H, F>(
        self,
        context: Context,
        listeners: Vec<(TcpSocket, SocketAddr)>,
        options: AcceptOptions,
        handler: impl Fn(SocketAddr) -> H,
    ) where
        H: Fn(Context, Stream, Peer, Slot) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|(listener, address)| {
                let listener = InetListener { listener, transport: self.clone(), context: context.clone() };
                Either::Left(accept::serve(context.clone(), listener, options, handler(address)))
            })
            .collect();
        let watching = {
            let (transport, context) = (self.clone(), context.clone());
            async move {
                let certificates = async {
                    if let Some(tls) = &transport.tls {
                        tls.watch(context.stopped()).await;
                    }
                };
                tokio::join!(certificates, transport.access.watch(&context));
            }
        };
        serving::run_all(accepting.into_iter().chain([Either::Right(watching)])).await;
    }

    /// A place for a connection of `peer` among those of the same peer.
    fn admit(&self, peer: Peer) -> Result<Option<Place>, Refusal> {
        match (&self.peers, peer.address()) {
            (Some(peers), Some(address)) => peers.admit(address, Instant::now()).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether the connections of `peer` begin with the header of the PROXY protocol.
    fn expects_header(&self, peer: Peer) -> bool {
        peer.address().is_some_and(|address| self.proxies.contain(address))
    }
}

/// A listener whose connections begin as a [`Transport`] says.
struct InetListener {
    listener: TcpSocket,
    transport: Transport,
    context: Context,
}

impl Listener for InetListener {
    type Accepted = (Plain, Option<Place>);
    type Stream = Stream;

    async fn accept_one(&self) -> io::Result<(Self::Accepted, Peer)> {
        loop {
            let (stream, peer) = self.listener.accept().await?;
            let peer = Peer::Inet(peer);
            if self.transport.expects_header(peer) {
                return Ok(((stream, None), peer));
            }
            // Before it takes the place of another connection.
            match self.transport.admit(peer) {
                Ok(place) => return Ok(((stream, place), peer)),
                Err(refusal) => refuse(&self.context, peer, refusal, "its peer is at its limit (per_peer)"),
            }
        }
    }

    fn open(
        &self,
        (stream, place): Self::Accepted,
        peer: Peer,
        slot: Slot,
    ) -> impl Future<Output = Option<(Stream, Peer)>> + Send + use<> {
        if self.transport.tls.is_none() && !self.transport.expects_header(peer) {
            let stream = Stream::new(Io::Plain(stream), place, self.context.counters.clone());
            return Either::Left(std::future::ready(Some((stream, peer))));
        }
        let opening = Opening { transport: self.transport.clone(), context: self.context.clone() };
        // Apart: the task of a connection for which nothing is opened is small.
        Either::Right(Box::pin(opening.open_in_time(stream, place, peer, slot)))
    }
}

/// One connection before its input reads it.
struct Opening {
    transport: Transport,
    context: Context,
}

impl Opening {
    /// Opens the connection, unless it has to end before.
    async fn open_in_time(self, stream: Plain, place: Option<Place>, peer: Peer, slot: Slot) -> Option<(Stream, Peer)> {
        let context = self.context.clone();
        let stopped = async {
            context.stopped().await;
            tokio::time::sleep(STOP_TIMEOUT).await;
        };
        tokio::select! {
            biased;
            opened = self.open(stream, place, peer, &slot) => opened,
            () = slot.shed() => {
                report_shed(&context);
                None
            }
            () = stopped => None,
        }
    }

    async fn open(
        self,
        stream: Plain,
        mut place: Option<Place>,
        mut peer: Peer,
        slot: &Slot,
    ) -> Option<(Stream, Peer)> {
        let stream = stream.into_watched().inspect_err(|error| self.report_unwatched(peer, error)).ok()?;
        if self.transport.expects_header(peer) {
            if let Some(source) = self.read_header(&stream, peer).await? {
                peer = Peer::Inet(source);
                slot.set_peer(source.ip());
            }
            match self.transport.admit(peer) {
                Ok(admitted) => place = admitted,
                Err(refusal) => {
                    refuse(&self.context, peer, refusal, "its peer is at its limit (per_peer)");
                    return None;
                }
            }
        }
        let io = match &self.transport.tls {
            None => Io::Plain(stream.into()),
            // Apart, as are the bytes of a header: connections that wait for a header hold no memory for it.
            Some(tls) => Box::pin(self.encrypt(tls, stream, peer)).await?,
        };
        Some((Stream::new(io, place, self.context.counters.clone()), peer))
    }

    /// Logs that the connection is closed because Tokio cannot watch it.
    fn report_unwatched(&self, peer: Peer, error: &io::Error) {
        let Context { input, counters, .. } = &self.context;
        if let Some(suppressed) = counters.refusal_limit.admit() {
            tracing::warn!(input, %peer, %error, suppressed, "connection closed: the system cannot watch one more");
        }
    }

    /// The client that the proxy names, if it names one. `None` if the connection is refused.
    async fn read_header(&self, stream: &TcpStream, peer: Peer) -> Option<Option<SocketAddr>> {
        let (refusal, message) = match timeout(HEADER_TIMEOUT, proxy::read_header(stream)).await {
            Ok(Ok(source)) => return Some(source),
            Ok(Err(proxy::HeaderError::Invalid(error))) => (Refusal::ProxyProtocol, error.to_string()),
            Ok(Err(proxy::HeaderError::Io(error))) => {
                // Health checks of load balancers connect and go.
                tracing::debug!(input = self.context.input, %peer, %error, "connection ended before its header");
                return None;
            }
            Err(_) => (Refusal::ProxyTimeout, format!("no PROXY protocol header arrived within {HEADER_TIMEOUT:?}")),
        };
        refuse(&self.context, peer, refusal, &message);
        None
    }

    /// The connection after its handshake. `None` if that fails.
    async fn encrypt(&self, tls: &ServedTls, stream: TcpStream, peer: Peer) -> Option<Io> {
        let Context { input, counters, .. } = &self.context;
        match tls.accept(stream).await {
            Ok(stream) => {
                counters.count_handshake(Handshake::Completed);
                return Some(Io::Tls(Box::new(stream)));
            }
            Err(HandshakeError::Ended(error)) => {
                counters.count_handshake(Handshake::Failed);
                tracing::debug!(input, %peer, %error, "connection ended before its TLS handshake");
            }
            Err(HandshakeError::Failed { result, reason }) => {
                counters.count_handshake(result);
                if let Some(suppressed) = counters.refusal_limit.admit() {
                    tracing::warn!(input, %peer, result = result.name(), suppressed, "TLS handshake failed: {reason}");
                }
            }
        }
        None
    }
}

/// Counts and logs a connection that is refused.
fn refuse(context: &Context, peer: Peer, refusal: Refusal, message: &str) {
    context.counters.count_refused(refusal);
    if let Some(suppressed) = context.counters.refusal_limit.admit() {
        tracing::warn!(input = context.input, %peer, reason = refusal.name(), suppressed, "connection refused: {message}");
    }
}

#[cfg(test)]
mod tests;
