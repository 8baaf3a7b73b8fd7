//! TLS client configurations: trusted certificates, and a client certificate of our own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use logphase_io::file::{self, Accept, MAX_CERTIFICATES};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// The TLS client configurations of a process, each created when it is first used: one verifies the certificates of
/// servers, the other accepts any.
pub struct TlsConfigs {
    roots: Option<PathBuf>,
    verifying: OnceLock<Result<Arc<ClientConfig>, TlsError>>,
    accepting: OnceLock<Result<Arc<ClientConfig>, TlsError>>,
    pem: OnceLock<Result<String, TlsError>>,
}

/// A TLS client configuration cannot be created.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// Neither the system nor the settings have trusted certificates.
    #[error(
        "no trusted certificates on this system; install ca-certificates, name a file of them in the settings, or set \
         config.ssl_verify to false"
    )]
    NoTrustedCertificates,
    /// The settings name a file of trusted certificates that cannot be used.
    #[error("cannot read the trusted certificates in {}: {problem}", .path.display())]
    TrustedCertificates {
        /// The file.
        path: PathBuf,
        /// What rustls or the system reports.
        problem: String,
    },
    /// A file of a client certificate or of its key cannot be read.
    #[error("cannot read the client certificate: {}: {problem}", .path.display())]
    IdentityFile {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        problem: String,
    },
    /// A client certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// rustls refuses the configuration.
    #[error("cannot set up TLS: {0}")]
    Setup(Error),
}

/// A client certificate or its key cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum IdentityError {
    #[error("`cert` of the client certificate is not PEM: {0}")]
    CertificateSyntax(String),
    #[error("`cert` of the client certificate has no certificate in it; give it as PEM")]
    NoCertificate,
    #[error("`key` of the client certificate is encrypted; give it decrypted")]
    EncryptedKey,
    #[error("`key` of the client certificate is not a private key in PEM: {0}")]
    KeySyntax(String),
    #[error("the client certificate cannot be used: {0}; check that its key belongs to it")]
    Mismatch(Error),
}

impl TlsConfigs {
    /// Trusts the system's certificates and those in the PEM file `roots`.
    pub fn new(roots: Option<PathBuf>) -> Self {
        Self { roots, verifying: OnceLock::new(), accepting: OnceLock::new(), pem: OnceLock::new() }
    }

    /// The configuration that verifies the server's certificate, or the one that accepts any.
    ///
    /// # Errors
    /// There are no trusted certificates, or they cannot be read. The result of the first call stays.
    pub fn get(&self, verify: bool) -> Result<Arc<ClientConfig>, TlsError> {
        let config = if verify { &self.verifying } else { &self.accepting };
        config.get_or_init(|| self.build(verify, None)).clone()
    }

    /// As [`Self::get`], with a client certificate for servers that ask for one.
    ///
    /// # Errors
    /// As [`Self::get`], or `identity` cannot be used.
    pub fn with_identity(&self, verify: bool, identity: &Identity) -> Result<Arc<ClientConfig>, TlsError> {
        self.build(verify, Some(identity))
    }

    /// The trusted certificates as PEM, for a library with its own TLS implementation.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn roots_pem(&self) -> Result<String, TlsError> {
        self.pem.get_or_init(|| self.read_roots_pem()).clone()
    }

    fn read_roots_pem(&self) -> Result<String, TlsError> {
        let mut text = String::new();
        for certificate in system_certificates()? {
            push_pem(&mut text, &certificate);
        }
        if let Some(path) = &self.roots {
            let pem = file::read_to_string(path, Accept::Regular, MAX_CERTIFICATES);
            text.push_str(&pem.map_err(|error| unreadable(path, &error))?);
        }
        if text.is_empty() && !file::is_forbidden() { Err(TlsError::NoTrustedCertificates) } else { Ok(text) }
    }

    fn build(&self, verify: bool, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let builder = if verify {
            builder.with_root_certificates(self.trusted()?)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny { provider }))
        };
        let Some(identity) = identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
        let (chain, key) = identity.parse()?;
        Ok(Arc::new(builder.with_client_auth_cert(chain, key).map_err(IdentityError::Mismatch)?))
    }

    fn trusted(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(system_certificates()?);
        if let Some(path) = &self.roots {
            add_file(&mut store, path)?;
        }
        if store.is_empty() && !file::is_forbidden() { Err(TlsError::NoTrustedCertificates) } else { Ok(store) }
    }
}

/// Trusts the certificates in the PEM file `path`, too.
fn add_file(store: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let pem = file::read(path, Accept::Regular, MAX_CERTIFICATES).map_err(|error| unreadable(path, &error))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unreadable(path, &error))?;
        store.add(certificate).map_err(|error| unreadable(path, &error))?;
    }
    Ok(())
}

/// What a client verifies of the certificate of a server, as libpq's `sslmode` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Nothing.
    None,
    /// That a trusted authority has issued it.
    Chain,
    /// That it is also for the name that the client has connected to.
    ChainAndName,
}

/// A configuration that verifies as much as `verification` says. The certificates in the PEM file `roots` are trusted, and no others; without
/// it, those of the system.
///
/// # Errors
/// There are no trusted certificates, they cannot be read, or `identity` cannot be used.
pub fn verifying(
    verification: Verification,
    roots: Option<&Path>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    let trusted = || match roots {
        None => TlsConfigs::new(None).trusted(),
        Some(path) => {
            let mut store = RootCertStore::empty();
            add_file(&mut store, path)?;
            if store.is_empty() { Err(unreadable(path, &"it has no certificate")) } else { Ok(store) }
        }
    };
    let builder = match verification {
        Verification::None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny { provider })),
        Verification::Chain => {
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(trusted()?), provider).build();
            let inner = inner.map_err(|error| TlsError::Setup(Error::General(error.to_string())))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { inner }))
        }
        Verification::ChainAndName => builder.with_root_certificates(trusted()?),
    };
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let (chain, key) = identity.parse()?;
    Ok(builder.with_client_auth_cert(chain, key).map_err(IdentityError::Mismatch)?)
}

/// The certificates that the system trusts, or those in `SSL_CERT_FILE` and `SSL_CERT_DIR`.
fn system_certificates() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    // Nothing connects in a process that reads no files.
    if file::is_forbidden() {
        return Ok(Vec::new());
    }
    if let Some(path) = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from).filter(|path| path.exists()) {
        // The library would wait for a pipe.
        file::read(&path, Accept::Regular, MAX_CERTIFICATES).map_err(|error| unreadable(&path, &error))?;
    }
    Ok(rustls_native_certs::load_native_certs().certs)
}

fn push_pem(text: &mut String, certificate: &CertificateDer<'_>) {
    let encoded = base64::engine::general_purpose::STANDARD.encode(certificate);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE-----\n");
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError::TrustedCertificates { path: path.to_owned(), problem: error.to_string() }
}

/// A certificate with its key, both PEM, as a configuration has them.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Identity {
    /// The certificate, followed by those that lead to its root.
    cert: String,
    /// Its private key, not encrypted.
    key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("cert", &self.cert).finish_non_exhaustive()
    }
}

impl Identity {
    /// The certificates in the PEM file `cert`, with the key in the PEM file `key`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            file::read_to_string(path, Accept::Regular, MAX_CERTIFICATES)
                .map_err(|error| TlsError::IdentityFile { path: path.to_owned(), problem: error.to_string() })
        };
        Ok(Self { cert: read(cert)?, key: read(key)? })
    }

    fn parse(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IdentityError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.cert.as_bytes()).collect();
        let chain = chain.map_err(|error| IdentityError::CertificateSyntax(error.to_string()))?;
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error: pem::Error| {
            if self.key.contains("ENCRYPTED") {
                IdentityError::EncryptedKey
            } else {
                IdentityError::KeySyntax(error.to_string())
            }
        })?;
        Ok((chain, key))
    }
}

/// Accepts every certificate (`ssl_verify: false`). The signatures of the handshake are still verified.
#[derive(Debug)]
struct AcceptAny {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Accepts every name in a certificate that a trusted authority has issued.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is what is verified last.
        match self.inner.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a file of trusted certificates in addition to the system's, and a file that does not exist.
    /// Guarantees: the PEM has the same certificates, those of the file included; the missing file is named.
    #[test]
    fn roots_as_pem() {
        let generated = rcgen::generate_simple_self_signed(vec!["kafka".to_owned()]).expect("a certificate");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), generated.cert.pem()).expect("written");
        let text = TlsConfigs::new(Some(file.path().to_owned())).roots_pem().expect("certificates");
        let read: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).map(|found| found.expect("PEM")).collect();
        let mut expected = rustls_native_certs::load_native_certs().certs;
        expected.push(generated.cert.der().clone());
        assert_eq!(read, expected);
        let missing = TlsConfigs::new(Some("/nowhere/roots.pem".into())).roots_pem().expect_err("no file").to_string();
        assert!(missing.starts_with("cannot read the trusted certificates in /nowhere/roots.pem: "), "{missing}");
    }
}
