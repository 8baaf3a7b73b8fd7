//! TLS towards receivers: which certificates are trusted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// The two TLS configurations of a process, made when first needed: one that verifies, one that does not.
pub struct TlsConfigs {
    roots: Option<PathBuf>,
    verifying: OnceLock<Result<Arc<ClientConfig>, String>>,
    trusting: OnceLock<Result<Arc<ClientConfig>, String>>,
    pem: OnceLock<Result<String, String>>,
}

impl TlsConfigs {
    /// Verifies against the system's certificates and those in the PEM file `roots`.
    pub fn new(roots: Option<PathBuf>) -> Self {
        Self { roots, verifying: OnceLock::new(), trusting: OnceLock::new(), pem: OnceLock::new() }
    }

    /// The configuration that verifies the receiver's certificate, or the one that accepts any.
    pub fn get(&self, verify: bool) -> Result<Arc<ClientConfig>, String> {
        if verify {
            self.verifying.get_or_init(|| self.make(true, None)).clone()
        } else {
            self.trusting.get_or_init(|| self.make(false, None)).clone()
        }
    }

    /// The certificates that are trusted, as PEM, for a library that has its own TLS.
    pub fn roots_pem(&self) -> Result<String, String> {
        self.pem.get_or_init(|| self.make_pem()).clone()
    }

    fn make_pem(&self) -> Result<String, String> {
        let mut text = String::new();
        for certificate in rustls_native_certs::load_native_certs().certs {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&certificate);
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
        if let Some(path) = &self.roots {
            let more = std::fs::read_to_string(path);
            text.push_str(&more.map_err(|error| unreadable(path, &error))?);
        }
        if text.is_empty() { Err(NO_ROOTS.to_owned()) } else { Ok(text) }
    }

    /// As [`Self::get`], for a receiver that asks for a certificate: `identity` is ours.
    pub fn with_identity(&self, verify: bool, identity: &Identity) -> Result<Arc<ClientConfig>, String> {
        self.make(verify, Some(identity))
    }

    fn make(&self, verify: bool, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot set up TLS: {error}"))?;
        let builder = if verify {
            builder.with_root_certificates(self.trusted()?)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny { provider }))
        };
        let Some(identity) = identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
        let (chain, key) = identity.parse()?;
        let config = builder.with_client_auth_cert(chain, key).map_err(|error| {
            format!("the client certificate cannot be used: {error}; see that its key belongs to it")
        })?;
        Ok(Arc::new(config))
    }

    fn trusted(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &self.roots {
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error))? {
                let certificate = certificate.map_err(|error| unreadable(path, &error))?;
                store.add(certificate).map_err(|error| unreadable(path, &error))?;
            }
        }
        if store.is_empty() {
            return Err(NO_ROOTS.to_owned());
        }
        Ok(store)
    }
}

const NO_ROOTS: &str = "no trusted certificates on this system; install ca-certificates, name a file of them in the \
                        settings, or set config.ssl_verify to false";

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot read the trusted certificates in {}: {error}", path.display())
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
    fn parse(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.cert.as_bytes()).collect();
        let chain = chain.map_err(|error| format!("`cert` of the client certificate is not PEM: {error}"))?;
        if chain.is_empty() {
            return Err("`cert` of the client certificate has no certificate in it; give it as PEM".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| {
            if self.key.contains("ENCRYPTED") {
                return "`key` of the client certificate is encrypted; give it decrypted".to_owned();
            }
            format!("`key` of the client certificate is no private key in PEM: {error}")
        })?;
        Ok((chain, key))
    }
}

/// Accepts every certificate: `ssl_verify: false`. Signatures of the handshake itself are still checked.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a file of trusted certificates beside the system's, and one that is not there.
    /// Guarantees: as PEM they are the same certificates, those of the file included; the missing file is named.
    #[test]
    fn roots_as_pem() {
        let made = rcgen::generate_simple_self_signed(vec!["kafka".to_owned()]).expect("a certificate");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), made.cert.pem()).expect("written");
        let text = TlsConfigs::new(Some(file.path().to_owned())).roots_pem().expect("certificates");
        let read: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).map(|found| found.expect("PEM")).collect();
        let mut expected = rustls_native_certs::load_native_certs().certs;
        expected.push(made.cert.der().clone());
        assert_eq!(read, expected);
        let missing = TlsConfigs::new(Some("/nowhere/roots.pem".into())).roots_pem().expect_err("no file");
        assert!(missing.starts_with("cannot read the trusted certificates in /nowhere/roots.pem: "), "{missing}");
    }
}
