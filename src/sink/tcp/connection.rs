//! One TCP connection, with or without TLS, that knows what the peer's TCP has acknowledged.

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

use logphase_net::send_queue::unacknowledged;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Broken {
    /// The peer closed it in order: it had read what its kernel had acknowledged.
    Closed,
    /// It was cut off, or nothing moved within the timeout.
    Failed(io::Error),
}

impl Broken {
    pub(super) fn describe(&self, address: &str) -> String {
        match self {
            Self::Closed => format!("{address} closed the connection"),
            Self::Failed(error) if error.kind() == io::ErrorKind::TimedOut => {
                format!("{address} took nothing within config.timeout; see whether the receiver reads")
            }
            Self::Failed(error) => format!("connection to {address} broke: {error}"),
        }
    }
}

/// Counts the bytes that the kernel takes.
struct Counted {
    stream: TcpStream,
    written: u64,
}

enum Wire {
    Plain(Counted),
    Tls(Box<TlsStream<Counted>>),
}

/// An open connection.
pub(super) struct Connection {
    wire: Wire,
    // Ends of what was written, in bytes on the wire, with the number of entries up to there since the one before.
    marks: VecDeque<(u64, usize)>,
    last_used: Instant,
}

/// With whom to speak TLS, and under which name.
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
            let counted = Counted { stream, written: 0 };
            Ok::<_, io::Error>(match tls {
                None => Wire::Plain(counted),
                Some(tls) => {
                    let connector = TlsConnector::from(tls.config.clone());
                    Wire::Tls(Box::new(connector.connect(tls.name.clone(), counted).await?))
                }
            })
        };
        let wire = timeout(limit, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Self { wire, marks: VecDeque::new(), last_used: Instant::now() })
    }

    /// How long nothing was written.
    pub(super) fn idle_for(&self) -> Duration {
        self.last_used.elapsed()
    }

    /// Writes `bytes`, which end `entries` entries. Fails when nothing moves for `limit`, or the peer hangs up.
    pub(super) async fn write(&mut self, bytes: &[u8], entries: usize, limit: Duration) -> Result<(), Broken> {
        let mut done = 0;
        while done < bytes.len() {
            let step = poll_fn(|context| self.poll_write(context, &bytes[done..]));
            done += within(limit, step).await?;
        }
        within(limit, poll_fn(|context| self.poll_flush(context))).await?;
        self.marks.push_back((self.counted().written, entries));
        self.last_used = Instant::now();
        Ok(())
    }

    /// Takes off the entries that the peer's TCP has acknowledged since the last call.
    pub(super) fn take_settled(&mut self) -> usize {
        let counted = self.counted();
        // A socket that cannot say has acknowledged nothing.
        let Ok(pending) = unacknowledged(&counted.stream) else { return 0 };
        let acknowledged = counted.written.saturating_sub(pending);
        let mut settled = 0;
        while let Some(&(_, entries)) = self.marks.front().filter(|(end, _)| *end <= acknowledged) {
            settled += entries;
            self.marks.pop_front();
        }
        settled
    }

    /// Waits until entries are acknowledged and says how many. Fails when nothing moves for `limit`.
    pub(super) async fn wait_settled(&mut self, limit: Duration) -> Result<usize, Broken> {
        // The kernel wakes nobody when an acknowledgement comes.
        const SHORTEST: Duration = Duration::from_millis(1);
        const LONGEST: Duration = Duration::from_millis(20);
        let mut pause = SHORTEST;
        let mut pending = u64::MAX;
        let mut moved = Instant::now();
        while !self.marks.is_empty() {
            let settled = self.take_settled();
            if settled > 0 {
                return Ok(settled);
            }
            self.check()?;
            let now = unacknowledged(&self.counted().stream).map_err(Broken::Failed)?;
            if now < pending {
                (pending, moved) = (now, Instant::now());
            } else if moved.elapsed() >= limit {
                return Err(Broken::Failed(io::ErrorKind::TimedOut.into()));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
        Ok(0)
    }

    /// Fails if the peer has hung up.
    pub(super) fn check(&mut self) -> Result<(), Broken> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match self.poll_hang_up(&mut context) {
            Poll::Ready(broken) => Err(broken),
            Poll::Pending => Ok(()),
        }
    }

    /// Waits until the peer hangs up; what it sends is passed over.
    pub(super) async fn hung_up(&mut self) -> Broken {
        poll_fn(|context| self.poll_hang_up(context)).await
    }

    /// Ends the connection in order: after all that was written.
    pub(super) async fn close(mut self, limit: Duration) {
        // Unread bytes would turn the close into a reset, which could cost the peer what it has not read yet.
        let _ = self.check();
        let _ = match &mut self.wire {
            Wire::Plain(counted) => timeout(limit, counted.stream.shutdown()).await,
            Wire::Tls(stream) => timeout(limit, stream.shutdown()).await,
        };
    }

    fn counted(&self) -> &Counted {
        match &self.wire {
            Wire::Plain(counted) => counted,
            Wire::Tls(stream) => stream.get_ref().0,
        }
    }

    fn poll_hang_up(&mut self, context: &mut Context<'_>) -> Poll<Broken> {
        let mut scratch = [0; 2048];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = match &mut self.wire {
                Wire::Plain(counted) => Pin::new(counted).poll_read(context, &mut buffer),
                Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, &mut buffer),
            };
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Broken::Failed(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Broken::Closed),
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        if let Poll::Ready(broken) = self.poll_hang_up(context) {
            return Poll::Ready(Err(broken));
        }
        let written = match &mut self.wire {
            Wire::Plain(counted) => Pin::new(counted).poll_write(context, bytes),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        };
        written.map(|result| match result {
            Ok(0) => Err(Broken::Failed(io::ErrorKind::WriteZero.into())),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(Broken::Failed(error)),
        })
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let flushed = match &mut self.wire {
            Wire::Plain(counted) => Pin::new(counted).poll_flush(context),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        };
        flushed.map_err(Broken::Failed)
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
    timeout(limit, step).await.unwrap_or_else(|_| Err(Broken::Failed(io::ErrorKind::TimedOut.into())))
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

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
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
