//! TLS on connections that are accepted: the handshake, and certificates that are read again when they change.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::settings::Tls;
use super::watched::Watched;
use crate::input::Handshake;
use logphase_net::ConfigError;
use logphase_net::tls::server;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The TLS of a listener. Cheap to clone.
#[derive(Clone)]
pub struct ServedTls {
    config: Arc<Watched<ServerConfig>>,
}

/// Why a handshake did not succeed.
pub enum HandshakeError {
    /// The peer has gone, as health checks of load balancers do.
    Ended(io::Error),
    /// It failed.
    Failed {
        /// How it is counted.
        result: Handshake,
        /// The reason, for the log.
        reason: String,
    },
}

impl ServedTls {
    /// Reads the files of `tls`, the setting `setting`, for a listener that offers `alpn`. `None` if TLS is off.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn open(setting: &str, tls: &Tls, alpn: &[&str]) -> Result<Option<Self>, ConfigError> {
        let Some(server) = tls.server(alpn)? else { return Ok(None) };
        let files = server.files().map(|(_, path)| path.to_owned()).collect();
        let config = Watched::open(setting.to_owned(), files, move || server.load())?;
        Ok(Some(Self { config: Arc::new(config) }))
    }

    /// Reads the files again when they change, until `stopped`.
    pub async fn watch(&self, stopped: impl Future<Output = ()>) {
        self.config.watch(stopped).await;
    }

    /// The connection after its handshake.
    ///
    /// # Errors
    /// The handshake fails, or takes too long.
    pub async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let handshake = TlsAcceptor::from(self.config.get()).accept(stream);
        let failed = |result, reason| Err(HandshakeError::Failed { result, reason });
        match timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Err(_) => failed(Handshake::Timeout, format!("it did not end within {HANDSHAKE_TIMEOUT:?}")),
            Ok(Err(error)) => match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
                Some(error) if server::is_about_client(error) => {
                    failed(Handshake::ClientCertificate, server::explain(error))
                }
                Some(error) => failed(Handshake::Failed, server::explain(error)),
                None => Err(HandshakeError::Ended(error)),
            },
        }
    }
}

/// The subject of the client's certificate, which is valid; `None` if the client has none.
pub fn client_subject(stream: &TlsStream<TcpStream>) -> Option<String> {
    let certificates = stream.get_ref().1.peer_certificates()?;
    certificates.first().map(server::subject)
}
