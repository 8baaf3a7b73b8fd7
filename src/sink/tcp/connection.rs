//! One TCP connection, with or without TLS, that tracks what the peer's TCP has acknowledged.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::sink::tail::{Batch, Tail};
use logphase_net::send_queue::unacknowledged;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Disconnected {
    /// The peer closed it in order, after reading everything that its kernel had acknowledged.
    Closed,
    /// It broke, or made no progress within the timeout.
    Failed(io::Error),
}

impl Disconnected {
    pub(super) fn describe(&self, address: &str) -> String {
        match self {
            Self::Closed => format!("{address} closed the connection"),
            Self::Failed(error) if error.kind() == io::ErrorKind::TimedOut => {
                format!("{address} accepted no data within config.timeout; check that the receiver reads")
            }
            Self::Failed(error) => format!("connection to {address} broke: {error}"),
        }
    }
}

/// Counts the bytes that the kernel accepts.
struct CountingStream {
    stream: TcpStream,
    written: u64,
}

enum Transport {
    Plain(CountingStream),
    Tls(Box<TlsStream<CountingStream>>),
}

/// An open connection.
pub(super) struct Connection {
    transport: Transport,
    // The end of each write, in bytes on the wire, with its entries.
    boundaries: VecDeque<(u64, Batch)>,
    last_used: Instant,
    // The peer was told that nothing more comes.
    finishing: bool,
}

/// The TLS configuration, and the name that the peer's certificate must have.
#[derive(Clone)]
pub(super) struct Tls {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl Connection {
    /// Resolves `host` and connects to the first of its addresses that answers, all within `limit`.
    pub(super) async fn open(host: &str, port: u16, tls: Option<&Tls>, limit: Duration) -> io::Result<Self> {
        let connecting = async {
            let stream = connect_any(host, port).await?;
            stream.set_nodelay(true)?;
            let counted = CountingStream { stream, written: 0 };
            Ok::<_, io::Error>(match tls {
                None => Transport::Plain(counted),
                Some(tls) => {
                    let connector = TlsConnector::from(tls.config.clone());
                    Transport::Tls(Box::new(connector.connect(tls.name.clone(), counted).await?))
                }
            })
        };
        let transport = timeout(limit, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Self { transport, boundaries: VecDeque::new(), last_used: Instant::now(), finishing: false })
    }

    /// Time since the last write.
    pub(super) fn idle_for(&self) -> Duration {
        self.last_used.elapsed()
    }

    /// Whether everything that was written is acknowledged, and settled.
    pub(super) fn is_settled(&self) -> bool {
        self.boundaries.is_empty()
    }

    /// Whether [`Self::finish`] was called: nothing more can be written.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Writes `bytes`, which contain the entries of `batch`. Fails without progress for `limit`, or if the peer closes the
    /// connection.
    pub(super) async fn write(&mut self, bytes: &[u8], batch: Batch, limit: Duration) -> Result<(), Disconnected> {
        let mut done = 0;
        while done < bytes.len() {
            let step = poll_fn(|context| self.poll_write(context, &bytes[done..]));
            done += within(limit, step).await?;
        }
        within(limit, poll_fn(|context| self.poll_flush(context))).await?;
        self.boundaries.push_back((self.stream().written, batch));
        self.last_used = Instant::now();
        Ok(())
    }

    /// Moves the entries that the peer's TCP has acknowledged since the last call to `tail`. Returns their number.
    pub(super) fn take_settled(&mut self, tail: &mut Tail) -> usize {
        let counted = self.stream();
        // If the kernel does not report it, nothing counts as acknowledged.
        let Ok(pending) = unacknowledged(&counted.stream) else { return 0 };
        let acknowledged = counted.written.saturating_sub(pending);
        let mut settled = 0;
        while let Some(&(_, batch)) = self.boundaries.front().filter(|(end, _)| *end <= acknowledged) {
            settled += batch.entries;
            tail.push(batch);
            self.boundaries.pop_front();
        }
        settled
    }

    /// Waits until entries are acknowledged, moves them to `tail`, and returns their number. Fails without progress for
    /// `limit`.
    pub(super) async fn wait_settled(&mut self, tail: &mut Tail, limit: Duration) -> Result<usize, Disconnected> {
        // The kernel does not notify about acknowledgements.
        const SHORTEST: Duration = Duration::from_millis(1);
        const MAX_PAUSE: Duration = Duration::from_millis(20);
        let mut pause = SHORTEST;
        let mut pending = u64::MAX;
        let mut moved = Instant::now();
        while !self.boundaries.is_empty() {
            let settled = self.take_settled(tail);
            if settled > 0 {
                return Ok(settled);
            }
            self.check()?;
            let now = unacknowledged(&self.stream().stream).map_err(Disconnected::Failed)?;
            if now < pending {
                (pending, moved) = (now, Instant::now());
            } else if moved.elapsed() >= limit {
                return Err(Disconnected::Failed(io::ErrorKind::TimedOut.into()));
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
        Ok(0)
    }

    /// Fails if the peer has closed the connection.
    pub(super) fn check(&mut self) -> Result<(), Disconnected> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match self.poll_peer_closed(&mut context) {
            Poll::Ready(disconnect) => Err(disconnect),
            Poll::Pending => Ok(()),
        }
    }

    /// Waits until the peer closes the connection; what it sends is ignored.
    pub(super) async fn peer_closed(&mut self) -> Disconnected {
        poll_fn(|context| self.poll_peer_closed(context)).await
    }

    /// Tells the peer, after everything that was written, that nothing more comes. Can be called again.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.finishing = true;
        match &mut self.transport {
            Transport::Plain(counted) => counted.stream.shutdown().await,
            Transport::Tls(stream) => stream.shutdown().await,
        }
    }

    /// Waits until the peer has closed its end, after [`Self::finish`]: then it has read everything. Many peers end a TLS
    /// connection without TLS's own message; their TCP tells that they have read everything, too.
    pub(super) async fn peer_finished(&mut self) -> Disconnected {
        match self.peer_closed().await {
            Disconnected::Failed(error) if error.kind() == io::ErrorKind::UnexpectedEof => Disconnected::Closed,
            disconnect => disconnect,
        }
    }

    fn stream(&self) -> &CountingStream {
        match &self.transport {
            Transport::Plain(counted) => counted,
            Transport::Tls(stream) => stream.get_ref().0,
        }
    }

    fn poll_peer_closed(&mut self, context: &mut Context<'_>) -> Poll<Disconnected> {
        let mut scratch = [0; 2048];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = match &mut self.transport {
                Transport::Plain(counted) => Pin::new(counted).poll_read(context, &mut buffer),
                Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, &mut buffer),
            };
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Disconnected::Failed(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Disconnected::Closed),
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Disconnected>> {
        if let Poll::Ready(disconnect) = self.poll_peer_closed(context) {
            return Poll::Ready(Err(disconnect));
        }
        let written = match &mut self.transport {
            Transport::Plain(counted) => Pin::new(counted).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        };
        written.map(|result| match result {
            Ok(0) => Err(Disconnected::Failed(io::ErrorKind::WriteZero.into())),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(Disconnected::Failed(error)),
        })
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        let flushed = match &mut self.transport {
            Transport::Plain(counted) => Pin::new(counted).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        };
        flushed.map_err(Disconnected::Failed)
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = Result<T, Disconnected>>) -> Result<T, Disconnected> {
    timeout(limit, step).await.unwrap_or_else(|_| Err(Disconnected::Failed(io::ErrorKind::TimedOut.into())))
}

async fn connect_any(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

impl AsyncRead for CountingStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for CountingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = polled {
            self.written += bytes as u64;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
