//! The accept loop of inputs that take connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use super::Context;
use crate::log::limit::Limiter;

/// The pause after the system had no descriptor or memory for another connection.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long to look, when the inputs stop, for another connection that the kernel has already made.
const BACKLOG_TIMEOUT: Duration = Duration::from_millis(20);

/// Silence after which the kernel probes whether the peer is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

/// A source of connections.
pub(super) trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: Send + 'static;

    /// The next connection and its peer.
    fn accept_one(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// The other end of a connection, for the log.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    Inet(SocketAddr),
    Local,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{address}"),
            Self::Local => f.write_str("a local process"),
        }
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept_one(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = self.accept().await?;
        // The connection works without either option.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_TIME));
        Ok((stream, Peer::Inet(address)))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept_one(&self) -> io::Result<(UnixStream, Peer)> {
        Ok((self.accept().await?.0, Peer::Local))
    }
}

/// How connections are accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct AcceptOptions {
    /// Connections at the same time; more wait in the kernel's backlog.
    pub(super) max_connections: usize,
    /// Whether connections that the kernel made before the stop are still served: their peers (Kong's tcp-log) have
    /// sent what they had and will not send it again.
    pub(super) drain_backlog: bool,
}

/// Accepts connections and runs `handle` for each, until told to stop; returns when the last connection has ended.
pub(super) async fn serve<L, H, F>(context: Context, listener: L, options: AcceptOptions, handle: H)
where
    L: Listener,
    H: Fn(L::Stream, Peer) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let errors = Limiter::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = context.stopped() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                report(&context, ended, &errors);
                continue;
            }
            accepted = async {
                let permit = permits.clone().acquire_owned().await.expect("this semaphore is never closed");
                (permit, listener.accept_one().await)
            } => accepted,
        };
        match accepted {
            (permit, Ok((stream, peer))) => start(&mut connections, &context, permit, handle(stream, peer)),
            (_, Err(error)) => {
                if let Some(suppressed) = errors.admit() {
                    tracing::warn!(input = context.input, %error, suppressed, "cannot accept a connection; if too many files are open, raise their limit");
                }
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
    if options.drain_backlog {
        while let Ok(permit) = permits.clone().try_acquire_owned()
            && let Ok(Ok((stream, peer))) = tokio::time::timeout(BACKLOG_TIMEOUT, listener.accept_one()).await
        {
            start(&mut connections, &context, permit, handle(stream, peer));
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(&context, ended, &errors);
    }
}

fn start(
    connections: &mut JoinSet<()>,
    context: &Context,
    permit: OwnedSemaphorePermit,
    connection: impl Future<Output = ()> + Send + 'static,
) {
    let counters = context.counters.clone();
    connections.spawn(async move {
        let _permit = permit;
        let _open = counters.connection_opened();
        connection.await;
    });
}

fn report(context: &Context, ended: Result<(), JoinError>, errors: &Limiter) {
    if let Err(error) = ended
        && let Some(suppressed) = errors.admit()
    {
        tracing::error!(input = context.input, %error, suppressed, "a connection ended by a bug of the service; please report it");
    }
}
