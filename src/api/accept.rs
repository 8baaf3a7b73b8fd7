//! Listening sockets, and connections that are accepted and then opened: at once, or by a TLS handshake.

use std::future::{Future, Ready, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::input::{HandshakeError, ServedTls, client_subject};
use crate::log::limit::Limiter;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    /// Its address; `None` on a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// The subject of its certificate, which is valid; `None` if it has none.
    pub(crate) subject: Option<String>,
}

/// A listening socket.
pub(crate) trait Accept: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Opens a connection; `None` if that fails.
    type Opening: Future<Output = Option<(Self::Stream, Client)>> + Send + 'static;

    /// Accepts the next connection. Returns also the address of its peer, if it has one.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Opening, Option<IpAddr>)>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    type Opening = Ready<Option<(TcpStream, Client)>>;

    async fn next(&self) -> io::Result<(Self::Opening, Option<IpAddr>)> {
        let (stream, peer) = self.accept().await?;
        let address = Some(peer.ip());
        Ok((ready(Some((stream, Client { address, subject: None }))), address))
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;
    type Opening = Ready<Option<(UnixStream, Client)>>;

    async fn next(&self) -> io::Result<(Self::Opening, Option<IpAddr>)> {
        self.accept().await.map(|(stream, _)| (ready(Some((stream, Client::default()))), None))
    }
}

/// A socket whose connections are encrypted.
pub(crate) struct TlsListener {
    listener: TcpListener,
    tls: ServedTls,
    /// What it serves, for the log.
    name: &'static str,
    failures: Arc<Limiter>,
}

impl TlsListener {
    /// Encrypts the connections of `listener`. `name` says in the log what it serves.
    pub(crate) fn new(listener: TcpListener, tls: ServedTls, name: &'static str) -> Self {
        Self { listener, tls, name, failures: Arc::default() }
    }
}

impl Accept for TlsListener {
    type Stream = TlsStream<TcpStream>;
    type Opening = Pin<Box<dyn Future<Output = Option<(Self::Stream, Client)>> + Send>>;

    async fn next(&self) -> io::Result<(Self::Opening, Option<IpAddr>)> {
        let (stream, peer) = self.listener.accept().await?;
        let (tls, name, failures) = (self.tls.clone(), self.name, self.failures.clone());
        let opening = Box::pin(async move {
            match tls.accept(stream).await {
                Ok(stream) => {
                    let subject = client_subject(&stream);
                    return Some((stream, Client { address: Some(peer.ip()), subject }));
                }
                Err(HandshakeError::Ended(error)) => {
                    tracing::debug!(%peer, "{name}: a connection ended before its TLS handshake: {error}");
                }
                Err(HandshakeError::Failed { reason, .. }) => {
                    if let Some(suppressed) = failures.admit() {
                        tracing::warn!(%peer, suppressed, "{name}: TLS handshake failed: {reason}");
                    }
                }
            }
            None
        });
        Ok((opening, Some(peer.ip())))
    }
}
