//! Settings that every input with TCP connections has: TLS, the PROXY protocol, limits per peer.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::Value;

use crate::confinement::Files;
use crate::options::record::{TEXT, choice, count, list, settings_record};
use logphase_config::schema::{Check, Default, Field};
use logphase_net::ConfigError;
use logphase_net::tls::server::{ClientAuth, ClientName, MinVersion, ServerTls};

/// A name in the certificate of a client.
const CLIENT_NAME: Field = Field::string("").checks(&[Check::Custom(client_name)]);

/// Addresses and networks of proxies that send PROXY protocol headers.
pub(in crate::input) const PROXY_PROTOCOL: Field = list(&PROXY);

const PROXY: Field = Field::string("").checks(&[Check::Custom(proxy)]);

/// A number for each peer; 0 is no limit.
const PER_PEER: Field = count(0, &[Check::Between(0.0, 1_000_000.0)]);

settings_record! {
    /// TLS of a listener.
    #[derive(Eq)]
    pub struct Tls {
        /// File with the certificate, followed by those that lead to its root, as PEM; turns TLS on. It is read again when
        /// it changes, as are the other files.
        certificate: Option<PathBuf> = TEXT;
        /// File with the private key of the certificate, as PEM, not encrypted.
        private_key: Option<PathBuf> = TEXT;
        /// File with the certificates, as PEM, by which those of clients must be signed; turns mutual TLS on.
        client_ca: Option<PathBuf> = TEXT;
        /// With `client_ca`: whether a client must have a certificate (`required`), or may have one (`optional`).
        client_auth: ClientAuth = choice("required", &[Check::OneOf(&["required", "optional"])]);
        /// With `client_ca`: subject alternative names of which a client's certificate must have one, such as
        /// `edge.example.com`, `*.example.com` or `spiffe://example.com/ns/edge/*`; any by default.
        client_names: Vec<String> = list(&CLIENT_NAME);
        /// Lowest version of TLS: `TLSv1.2` or `TLSv1.3`.
        min_version: MinVersion = choice("TLSv1.2", &[Check::OneOf(&["TLSv1.2", "TLSv1.3"])]);
    }
}

settings_record! {
    /// Limits on each peer: an IPv4 address, or the 64 bits of a network of IPv6.
    #[derive(Copy, Eq, std::default::Default)]
    pub struct PerPeer {
        /// Connections of one peer (an IPv4 address, or the first 64 bits of an IPv6 address) at the same time; more are closed
        /// at once. 0: no limit but that of all peers.
        connections: usize = PER_PEER;
        /// New connections of one peer per second, on average; more are closed at once. 0: no limit.
        connection_rate: u32 = PER_PEER;
        /// Bytes of one peer per second, on average; it is read no faster. 0: no limit.
        byte_rate: usize = Field::size("").required().default(Default::Integer(0)).checks(&[Check::Custom(byte_rate)]);
    }
}

#[cfg(test)]
impl std::default::Default for Tls {
    fn default() -> Self {
        serde_json::from_value(Value::Object(Self::RECORD.defaults())).expect("the defaults fit the type")
    }
}

impl Tls {
    /// The TLS of a listener that offers `alpn`; `None` if it is off.
    ///
    /// # Errors
    /// Some settings need others.
    pub(in crate::input) fn server(&self, alpn: &[&str]) -> Result<Option<ServerTls>, ConfigError> {
        let missing =
            |field: &'static str, other: &str| ConfigError::new(field, format!("is missing; {other} needs it"));
        let (Some(certificate), Some(private_key)) = (&self.certificate, &self.private_key) else {
            return match (&self.certificate, &self.private_key, &self.client_ca) {
                (Some(_), ..) => Err(missing("private_key", "the certificate")),
                (_, Some(_), _) => Err(missing("certificate", "the private key")),
                (.., Some(_)) => Err(missing("certificate", "client_ca")),
                _ => Ok(None),
            };
        };
        if self.client_ca.is_none() && !self.client_names.is_empty() {
            return Err(missing("client_ca", "client_names"));
        }
        Ok(Some(ServerTls {
            certificate: certificate.clone(),
            private_key: private_key.clone(),
            client_ca: self.client_ca.clone(),
            client_auth: self.client_auth,
            // Each was checked with the settings.
            client_names: self.client_names.iter().filter_map(|name| name.parse().ok()).collect(),
            min_version: self.min_version,
            alpn: alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(),
        }))
    }

    /// Whether every client must have a certificate.
    pub fn requires_certificate(&self) -> bool {
        self.client_ca.is_some() && self.client_auth == ClientAuth::Required
    }

    /// Whether the connections are encrypted.
    pub fn is_on(&self) -> bool {
        self.certificate.is_some()
    }

    /// Whether clients are asked for a certificate.
    pub fn asks_for_certificate(&self) -> bool {
        self.client_ca.is_some()
    }

    /// The files that are read while the service runs.
    pub fn files(&self) -> Files {
        readable([&self.certificate, &self.private_key, &self.client_ca].into_iter().flatten())
    }
}

/// Access to `paths`, which may be replaced: by a new file of the same name, or by a link to another directory, as Kubernetes
/// does.
pub(super) fn readable<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Files {
    let mut read = Vec::new();
    for path in paths {
        for path in [Some(path.clone()), path.canonicalize().ok()].into_iter().flatten() {
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            read.push(directory.unwrap_or(std::path::Path::new(".")).to_owned());
        }
    }
    Files { read, ..Files::default() }
}

/// The proxies whose connections begin with a PROXY protocol header.
///
/// Who sends one is a setting, not a guess: whoever could choose to send a header would choose an address
/// (section 2 of the specification).
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    networks: Vec<IpNet>,
    all: bool,
}

impl Proxies {
    /// The proxies in `texts`, which were checked with the settings.
    pub(super) fn new(texts: &[String]) -> Self {
        let networks = texts.iter().filter_map(|text| network(text)).collect();
        Self { networks, all: texts.iter().any(|text| text == "all") }
    }

    /// Whether `address` is one of them.
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.all || self.networks.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn proxy(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text == "all" || network(text).is_some() {
        return Ok(());
    }
    Err("expected an address or a network of proxies, like 192.0.2.7 or 10.0.0.0/8, or all".to_owned())
}

fn client_name(value: &Value) -> Result<(), String> {
    let parsed = value.as_str().unwrap_or_default().parse::<ClientName>();
    parsed.map(drop).map_err(|error| error.to_string())
}

/// A rate under which nothing useful arrives is a mistake.
fn byte_rate(value: &Value) -> Result<(), String> {
    match value.as_f64() {
        Some(rate) if rate == 0.0 || rate >= 1024.0 => Ok(()),
        _ => Err("expected at least 1KiB (per second), or 0 for no limit".to_owned()),
    }
}
