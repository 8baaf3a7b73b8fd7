//! TLS of our own listeners: a certificate with its key, and whose certificates clients may show.

mod client_names;
mod subject;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logphase_io::file::{self, Accept, MAX_CERTIFICATES};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, Error, RootCertStore, ServerConfig, SupportedProtocolVersion};

pub use self::client_names::{ClientName, ClientNameError};
pub use self::subject::subject;
use crate::config_error::ConfigError;

/// Whether clients must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// A handshake without one fails.
    Required,
    /// A client may have one. If it does, it must be valid.
    Optional,
}

/// The lowest version of TLS that clients may use, by Kong's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub enum MinVersion {
    /// TLS 1.2.
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

/// Which TLS a listener speaks. The names of its errors' fields are those of this type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// A file with the certificate, followed by those that lead to its root, as PEM.
    pub certificate: PathBuf,
    /// A file with its private key as PEM, not encrypted.
    pub private_key: PathBuf,
    /// A file with the certificates, as PEM, by which those of clients are signed. Without it, clients are asked for none.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must have a certificate, if `client_ca` is given.
    pub client_auth: ClientAuth,
    /// The names of which the certificate of a client must have one; any if empty.
    pub client_names: Vec<ClientName>,
    /// The lowest version of TLS.
    pub min_version: MinVersion,
    /// The protocols that are offered by ALPN, the preferred one first; none if empty.
    pub alpn: Vec<Vec<u8>>,
}

impl ServerTls {
    /// The files that are read, each with the name of its field.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let client_ca = self.client_ca.as_deref().map(|path| ("client_ca", path));
        let own = [("certificate", self.certificate.as_path()), ("private_key", self.private_key.as_path())];
        own.into_iter().chain(client_ca)
    }

    /// The configuration for connections, from the files as they are now. It resumes no session of another one, so that a
    /// client that was trusted before is verified again.
    ///
    /// # Errors
    /// A file cannot be read or used, or the key is that of another certificate.
    pub fn load(&self) -> Result<Arc<ServerConfig>, ConfigError> {
        let chain = certificates("certificate", &self.certificate)?;
        let key = private_key(&self.private_key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        let versions = match self.min_version {
            MinVersion::Tls12 => VERSIONS,
            MinVersion::Tls13 => &VERSIONS[..1],
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|error| ConfigError::new("", format!("cannot set up TLS: {error}")))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => builder.with_client_cert_verifier(self.client_verifier(path, provider)?),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            Error::InconsistentKeys(_) => ConfigError::new(
                "private_key",
                format!("the key in {} is not that of the certificate", self.private_key.display()),
            )
            .with_help("give the key that the certificate was made for; its own certificate comes first in the file"),
            error => {
                let problem = format!("cannot use the certificate in {}: {error}", self.certificate.display());
                ConfigError::new("certificate", problem)
            }
        })?;
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(Arc::new(config))
    }

    fn client_verifier(
        &self,
        path: &Path,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, ConfigError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("client_ca", path)? {
            let added = roots.add(certificate);
            added.map_err(|error| {
                ConfigError::new("client_ca", format!("cannot trust a certificate in {}: {error}", path.display()))
            })?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match self.client_auth {
            ClientAuth::Required => builder,
            ClientAuth::Optional => builder.allow_unauthenticated(),
        };
        let verifier = builder.build().map_err(|error| ConfigError::new("client_ca", error))?;
        Ok(client_names::restrict(verifier, &self.client_names))
    }
}

/// The certificates in the file of `field`, of which there must be one.
fn certificates(field: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = read(field, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found =
        found.map_err(|error| ConfigError::new(field, format!("the file {} is not PEM: {error}", path.display())))?;
    if found.is_empty() {
        let problem = format!("the file {} has no certificate", path.display());
        return Err(ConfigError::new(field, problem).with_help("give it as PEM: -----BEGIN CERTIFICATE-----"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    const FIELD: &str = "private_key";
    let pem = read(FIELD, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let shown = path.display();
        if pem.windows(9).any(|text| text == b"ENCRYPTED") {
            let problem = format!("the key in {shown} is encrypted");
            return ConfigError::new(FIELD, problem).with_help("decrypt it: openssl pkey -in KEY -out DECRYPTED");
        }
        match error {
            pem::Error::NoItemsFound => ConfigError::new(FIELD, format!("the file {shown} has no private key"))
                .with_help("give it as PEM: -----BEGIN PRIVATE KEY-----"),
            error => ConfigError::new(FIELD, format!("the file {shown} is not PEM: {error}")),
        }
    })
}

fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    file::read(path, Accept::Regular, MAX_CERTIFICATES)
        .map_err(|error| ConfigError::new(field, format!("cannot read {}: {error}", path.display())))
}

/// Whether a handshake failed because of the certificate of the client, or because it had none.
pub fn is_about_client(error: &Error) -> bool {
    matches!(error, Error::NoCertificatesPresented | Error::InvalidCertificate(_))
}

/// Why a handshake failed, for the log.
pub fn explain(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "the client has no certificate".to_owned(),
        Error::InvalidCertificate(CertificateError::Other(error)) => format!("the client is refused: {}", error.0),
        Error::InvalidCertificate(error) => format!("the certificate of the client is refused: {error}"),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
