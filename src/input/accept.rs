//! The accept loop of inputs that take connections.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::Context;
use crate::connections::{Connections, Slot};
use crate::log::limit::Limiter;

/// The pause after the system had no descriptor or memory for another connection.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long to look, when the inputs stop, for another connection that the kernel has already made.
const BACKLOG_TIMEOUT: Duration = Duration::from_millis(20);

/// How long what is left of connections that have ended is held, if no other one is accepted meanwhile.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

/// A source of connections.
pub(super) trait Listener: Send + Sync + 'static {
    /// A connection as the system gives it.
    type Accepted: Send + 'static;
    /// A connection that can be read.
    type Stream: Send + 'static;

    /// The next connection and its peer.
    fn accept_one(&self) -> impl Future<Output = io::Result<(Self::Accepted, Peer)>> + Send;

    /// What precedes the input's own protocol, with which the peer may turn out to be another. `None` if the connection is
    /// refused, which is counted and logged.
    fn open(
        &self,
        accepted: Self::Accepted,
        peer: Peer,
        slot: Slot,
    ) -> impl Future<Output = Option<(Self::Stream, Peer)>> + Send + use<Self>;
}

/// The other end of a connection, for the log.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    Inet(SocketAddr),
    Local,
}

impl Peer {
    /// Its address, if it has one.
    pub(super) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Local => None,
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{address}"),
            Self::Local => f.write_str("a local process"),
        }
    }
}

impl Listener for UnixListener {
    type Accepted = UnixStream;
    type Stream = UnixStream;

    async fn accept_one(&self) -> io::Result<(UnixStream, Peer)> {
        Ok((self.accept().await?.0, Peer::Local))
    }

    fn open(
        &self,
        accepted: UnixStream,
        peer: Peer,
        _: Slot,
    ) -> impl Future<Output = Option<(UnixStream, Peer)>> + Send + use<> {
        // The permissions of the socket decide who may connect.
        std::future::ready(Some((accepted, peer)))
    }
}

/// How connections are accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct AcceptOptions {
    /// Connections at the same time; for more, those that wait for their peers are closed.
    pub(super) max_connections: usize,
    /// Whether connections that the kernel made before the stop are still served: their peers (Kong's tcp-log) have
    /// sent what they had and will not send it again.
    pub(super) drain_backlog: bool,
    /// Whether peers wait for answers on connections that they keep: such a connection gets a thread that it stays on
    /// ([`super::threads`]). For short ones, that costs more than it saves.
    pub(super) answers: bool,
}

/// Accepts connections and runs `handle` for each, until told to stop; returns when the last connection has ended.
/// `handle` gets a context whose intake is that of one more sender, and returns when [`Slot::shed`] does.
pub(super) async fn serve<L, H, F>(context: Context, listener: L, options: AcceptOptions, handle: H)
where
    L: Listener,
    H: Fn(Context, L::Stream, Peer, Slot) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Connections::new(options.max_connections);
    let mut connections = JoinSet::new();
    let errors = Limiter::default();
    // A connection that is accepted and has no place yet.
    let mut next: Option<(L::Accepted, Peer)> = None;
    let mut stopped = pin!(context.stopped());
    let mut reap = interval_at(Instant::now() + REAP_INTERVAL, REAP_INTERVAL);
    reap.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // A connection that ends wakes nobody.
        while let Some(ended) = connections.try_join_next() {
            report(&context, ended, &errors);
        }
        let peer = next.as_ref().and_then(|(_, peer)| peer.address());
        tokio::select! {
            biased;
            () = &mut stopped => break,
            slot = places.admit(peer), if next.is_some() => {
                if let Some(accepted) = next.take() {
                    start(&mut connections, &context, &listener, accepted, slot, options, &handle);
                }
            }
            accepted = listener.accept_one(), if next.is_none() => match accepted {
                Ok(accepted) => match places.try_admit(accepted.1.address()) {
                    Some(slot) => start(&mut connections, &context, &listener, accepted, slot, options, &handle),
                    None => next = Some(accepted),
                },
                Err(error) => {
                    if let Some(suppressed) = errors.admit() {
                        tracing::warn!(input = context.input, %error, suppressed, "cannot accept a connection; if too many files are open, raise their limit");
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            },
            _ = reap.tick(), if !connections.is_empty() => {}
        }
    }
    if options.drain_backlog {
        loop {
            if next.is_none() {
                next = timeout(BACKLOG_TIMEOUT, listener.accept_one()).await.ok().and_then(Result::ok);
            }
            let Some(accepted) = next.take() else { break };
            let Some(slot) = places.try_admit(accepted.1.address()) else { break };
            start(&mut connections, &context, &listener, accepted, slot, options, &handle);
        }
    }
    drop((listener, next));
    while let Some(ended) = connections.join_next().await {
        report(&context, ended, &errors);
    }
}

fn start<L: Listener, F: Future<Output = ()> + Send + 'static>(
    connections: &mut JoinSet<()>,
    context: &Context,
    listener: &L,
    (accepted, peer): (L::Accepted, Peer),
    slot: Slot,
    options: AcceptOptions,
    handle: &(impl Fn(Context, L::Stream, Peer, Slot) -> F + Clone + Send + 'static),
) {
    let opening = listener.open(accepted, peer, slot.clone());
    let (context, handle) = (context.clone(), handle.clone());
    let threads = context.threads.clone().filter(|_| options.answers);
    let serving = async move {
        let counters = context.counters.clone();
        let _open = counters.connection_opened();
        if let Some((stream, peer)) = opening.await {
            let intake = context.intake.for_sender(peer.address());
            // A task that ends moves its future, which is several kilobytes here.
            Box::pin(handle(Context { intake, ..context }, stream, peer, slot)).await;
        }
    };
    match threads.as_ref().and_then(|threads| threads.choose()) {
        Some((thread, served)) => drop(connections.spawn_on(
            async move {
                serving.await;
                drop(served);
            },
            thread,
        )),
        None => drop(connections.spawn(serving)),
    }
}

fn report(context: &Context, ended: Result<(), JoinError>, errors: &Limiter) {
    if let Err(error) = ended
        && let Some(suppressed) = errors.admit()
    {
        tracing::error!(input = context.input, %error, suppressed, "a connection ended by a bug of the service; please report it");
    }
}

/// Counts and logs a connection that ends for a new one.
pub(super) fn report_shed(context: &Context) {
    context.counters.count_shed();
    if let Some(suppressed) = context.counters.shed_limit.admit() {
        let input = context.input;
        tracing::warn!(
            input,
            suppressed,
            "max_connections is reached: a connection that was waiting for its peer is closed for a new one"
        );
    }
}
