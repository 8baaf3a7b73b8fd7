//! Which of the clients that a certificate authority vouches for may connect: by the names in their certificates.

use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use webpki::EndEntityCert;

/// A subject alternative name of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientName {
    /// A DNS name or an address.
    Host(ServerName<'static>),
    /// All names of this zone, which begins with a dot: `*.example.com`.
    Zone(String),
    /// A URI, such as a SPIFFE ID.
    Uri(String),
    /// All URIs that begin with this: `spiffe://example.com/ns/edge/*`.
    UriPrefix(String),
}

/// A text that is no [`ClientName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a DNS name, an address or a URI, like edge.example.com, *.example.com or spiffe://example.com/edge")]
pub struct ClientNameError;

impl FromStr for ClientName {
    type Err = ClientNameError;

    fn from_str(text: &str) -> Result<Self, ClientNameError> {
        if text.contains("://") {
            return Ok(match text.strip_suffix("/*") {
                Some(prefix) => Self::UriPrefix(format!("{prefix}/")),
                None => Self::Uri(text.to_owned()),
            });
        }
        let name = |text: &str| ServerName::try_from(text.to_owned()).map_err(|_| ClientNameError);
        match text.strip_prefix('*') {
            Some(zone) if zone.starts_with('.') => name(&zone[1..]).map(|_| Self::Zone(zone.to_ascii_lowercase())),
            _ => name(text).map(Self::Host),
        }
    }
}

impl ClientName {
    fn matches(&self, certificate: &EndEntityCert<'_>) -> bool {
        match self {
            Self::Host(name) => certificate.verify_is_valid_for_subject_name(name).is_ok(),
            Self::Zone(zone) => {
                certificate.valid_dns_names().any(|name| name.to_ascii_lowercase().ends_with(zone.as_str()))
            }
            Self::Uri(uri) => certificate.valid_uri_names().any(|name| name == uri),
            Self::UriPrefix(prefix) => certificate.valid_uri_names().any(|name| name.starts_with(prefix.as_str())),
        }
    }
}

/// `verifier`, which then also asks for one of `names`, if there are any.
pub(super) fn restrict(verifier: Arc<dyn ClientCertVerifier>, names: &[ClientName]) -> Arc<dyn ClientCertVerifier> {
    if names.is_empty() { verifier } else { Arc::new(NamedClients { verifier, names: names.to_vec() }) }
}

#[derive(Debug, thiserror::Error)]
#[error("the certificate has none of the names in client_names")]
struct NotNamed;

/// Verifies the certificate of a client, and its names.
#[derive(Debug)]
struct NamedClients {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Vec<ClientName>,
}

impl ClientCertVerifier for NamedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(certificate, intermediates, now)?;
        let parsed = EndEntityCert::try_from(certificate);
        if parsed.is_ok_and(|parsed| self.names.iter().any(|name| name.matches(&parsed))) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NotNamed)))))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }
}
