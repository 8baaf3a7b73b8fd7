//! The accept loop that HTTP, TCP and Unix sockets share.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::{Context, Kind};
use crate::folding::Folded;

/// How long to wait when the system has no descriptor or memory for another connection.
const BREATH: Duration = Duration::from_millis(100);

/// How long to look, when the inputs stop, for connections that the kernel has made already.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// After how much silence the kernel asks a peer whether it is still there.
const PROBE_AFTER: Duration = Duration::from_secs(60);

/// Something that connections come from.
pub(super) trait Listen: Send + Sync + 'static {
    /// A connection.
    type Stream: Send + 'static;

    /// The next connection and the name of its peer.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// Who is at the other end, for the log.
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

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = self.accept().await?;
        // Both only make things better: a connection without them still works.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER));
        Ok((stream, Peer::Inet(address)))
    }
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Peer)> {
        Ok((self.accept().await?.0, Peer::Local))
    }
}

/// Accepts connections and runs `handle` for each, until told to stop; returns when the last has ended.
///
/// With `empty_backlog`, connections that the kernel had already made when the stop came are still served: their
/// peers (Kong's tcp-log) have sent what they had and will not send it again.
pub(super) async fn run<L, H, F>(context: Arc<Context>, kind: Kind, listener: L, empty_backlog: bool, handle: H)
where
    L: Listen,
    H: Fn(L::Stream, Peer) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let gate = Arc::new(Semaphore::new(context.settings.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let complaints = Folded::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = context.stopped() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                report(kind, ended, &complaints);
                continue;
            }
            accepted = async {
                let permit = gate.clone().acquire_owned().await.expect("this semaphore is never closed");
                (permit, listener.next().await)
            } => accepted,
        };
        match accepted {
            (permit, Ok((stream, peer))) => start(&mut connections, &context, kind, permit, handle(stream, peer)),
            (_, Err(error)) => {
                if let Some(folded) = complaints.pass() {
                    tracing::warn!(input = kind.name(), %error, folded, "cannot accept a connection; if files are too many, raise the limit on them");
                }
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    if empty_backlog {
        while let Ok(permit) = gate.clone().try_acquire_owned()
            && let Ok(Ok((stream, peer))) = tokio::time::timeout(LAST_LOOK, listener.next()).await
        {
            start(&mut connections, &context, kind, permit, handle(stream, peer));
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(kind, ended, &complaints);
    }
}

fn start(
    connections: &mut JoinSet<()>,
    context: &Arc<Context>,
    kind: Kind,
    permit: OwnedSemaphorePermit,
    connection: impl Future<Output = ()> + Send + 'static,
) {
    let context = context.clone();
    connections.spawn(async move {
        let _permit = permit;
        let _open = context.meters.of(kind).opened();
        connection.await;
    });
}

fn report(kind: Kind, ended: Result<(), tokio::task::JoinError>, complaints: &Folded) {
    if let Err(error) = ended
        && let Some(folded) = complaints.pass()
    {
        tracing::error!(input = kind.name(), %error, folded, "a connection ended by a fault of the service; please report it");
    }
}
