//! URLs of databases of PostgreSQL, with the parameters that libpq has
//! (<https://www.postgresql.org/docs/current/libpq-connect.html>).

use std::path::{Path, PathBuf};
use std::time::Duration;

use logphase_net::tls::{self, Identity, TlsError, Verification};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, SslNegotiation, TargetSessionAttrs};

const PORT: u16 = 5432;

/// The words of `sslmode`.
const SSL_MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// How long one address may take to accept a connection, unless the URL says it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer that is gone stays unnoticed, unless the URL says it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// What is wrong with a URL. The text shows no part of it that may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct UrlError(String);

/// Where a database is, and how it is connected to.
#[derive(Clone)]
pub(crate) struct PostgresUrl {
    config: Config,
    verification: Verification,
    /// PEM file of the trusted certificates; none for those of the system.
    roots: Option<PathBuf>,
    /// PEM files of the client certificate and of its key.
    certificate: Option<(PathBuf, PathBuf)>,
}

impl PostgresUrl {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/NAME?PARAMETERS`.
    ///
    /// # Errors
    /// It is no such URL, or has a parameter that is unknown or not supported.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(UrlError("it does not begin with postgres://".to_owned()));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut tls = TlsParameters::default();
        let rest: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !tls.take(pair)).collect();
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = url.parse().map_err(|error| UrlError(reasons(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(UrlError("it names no host".to_owned()));
        }
        let (mode, verification) = tls.mode()?;
        if mode == SslMode::Disable && config.get_ssl_negotiation() == SslNegotiation::Direct {
            return Err(UrlError("sslnegotiation=direct needs sslmode=require or stricter".to_owned()));
        }
        let certificate = match (tls.certificate, tls.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(UrlError("sslcert and sslkey are given together".to_owned())),
        };
        config.ssl_mode(mode);
        complete(&mut config, &rest);
        Ok(Self { config, verification, roots: tls.roots, certificate })
    }

    /// How to connect.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// How TLS is spoken, as the files are now.
    ///
    /// # Errors
    /// A file cannot be used, or there are no trusted certificates.
    pub(crate) fn tls(&self) -> Result<ClientConfig, TlsError> {
        let identity =
            self.certificate.as_ref().map(|(certificate, key)| Identity::read(certificate, key)).transpose()?;
        let mut config = tls::verifying(self.verification, self.roots.as_deref(), identity.as_ref())?;
        // What servers require for `sslnegotiation=direct`.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(config)
    }

    /// The files that a connection needs.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let certificate = self.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.roots.iter().chain(certificate).map(PathBuf::as_path)
    }
}

/// The URL without what is secret: it names the database.
impl std::fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let names = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        let mut names: Vec<String> = names.collect();
        if names.is_empty() {
            names = self.config.get_hostaddrs().iter().map(ToString::to_string).collect();
        }
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
        let hosts = names.iter().enumerate().map(|(at, name)| format!("{name}:{}", port(at)));
        f.write_str(&hosts.collect::<Vec<_>>().join(","))?;
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl std::fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

/// What the URL leaves open. `given` are its parameters.
fn complete(config: &mut Config, given: &[&str]) {
    let is_given = |name: &str| given.iter().any(|pair| pair.split('=').next() == Some(name));
    if config.get_application_name().is_none() {
        config.application_name("logphase");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if !is_given("keepalives_idle") {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    if !is_given("keepalives_interval") {
        config.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if !is_given("tcp_user_timeout") {
        config.tcp_user_timeout(USER_TIMEOUT);
    }
    // Of a primary and its standbys, only the primary can be written, and only it notifies.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
}

/// The parameters of TLS, which the client library does not know.
#[derive(Default)]
struct TlsParameters {
    mode: Option<String>,
    roots: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl TlsParameters {
    /// Takes `pair`, like `sslmode=require`, if it is one of these.
    fn take(&mut self, pair: &str) -> bool {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        let path = Some(&*value).filter(|value| !value.is_empty()).map(PathBuf::from);
        match name {
            "sslmode" => self.mode = Some(value),
            // libpq's word for those of the system.
            "sslrootcert" => self.roots = path.filter(|path| path != Path::new("system")),
            "sslcert" => self.certificate = path,
            "sslkey" => self.key = path,
            _ => return false,
        }
        true
    }

    fn mode(&self) -> Result<(SslMode, Verification), UrlError> {
        match self.mode.as_deref().unwrap_or("prefer") {
            "disable" => Ok((SslMode::Disable, Verification::None)),
            "prefer" => Ok((SslMode::Prefer, Verification::None)),
            // libpq: with a file of trusted certificates, `require` is `verify-ca`.
            "require" if self.roots.is_some() => Ok((SslMode::Require, Verification::Chain)),
            "require" => Ok((SslMode::Require, Verification::None)),
            "verify-ca" => Ok((SslMode::Require, Verification::Chain)),
            "verify-full" => Ok((SslMode::Require, Verification::ChainAndName)),
            _ => Err(UrlError(format!("sslmode is none of {}", SSL_MODES.join(", ")))),
        }
    }
}

/// `error` with all that led to it.
pub(crate) fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: URLs with every part, with several hosts, with a directory of sockets, and with little. Guarantees: the shown
    /// URL names the database, and has no secret; a connection is as the URL says, and to a server that can be written.
    #[test]
    fn urls_are_read_and_shown_without_secrets() {
        let shown = |text: &str| PostgresUrl::parse(text).map(|url| format!("{url} {url:?}")).expect("a URL");
        let text =
            shown("postgres://me:pa55@db.test:6543/kong?sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=9");
        assert_eq!(text, "postgres://me@db.test:6543/kong PostgresUrl(postgres://me@db.test:6543/kong)");
        assert!(
            shown("postgresql://a,b:1/kong").starts_with("postgres://a:5432,b:1/kong "),
            "{}",
            shown("postgresql://a,b:1/kong")
        );
        assert!(shown("postgres://%2Frun%2Fpg/kong").starts_with("postgres:///run/pg:5432/kong "));
        let url = PostgresUrl::parse(
            "postgres://h/d?sslcert=/c%20d.pem&sslkey=/k.pem&sslmode=require&sslrootcert=system&keepalives_idle=7",
        )
        .expect("a URL");
        assert_eq!(url.files().collect::<Vec<_>>(), [Path::new("/c d.pem"), Path::new("/k.pem")]);
        assert_eq!(url.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(url.config.get_keepalives_idle(), Duration::from_secs(7));
        assert_eq!(url.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(url.config.get_application_name(), Some("logphase"));
    }

    /// Scenario: each mode of TLS. Guarantees: the certificate is verified as libpq does.
    #[test]
    fn the_modes_are_those_of_libpq() {
        let read = |query: &str| PostgresUrl::parse(&format!("postgres://h/d?{query}")).expect("a URL");
        for (query, mode, verification) in [
            ("", SslMode::Prefer, Verification::None),
            ("sslmode=disable", SslMode::Disable, Verification::None),
            ("sslmode=prefer", SslMode::Prefer, Verification::None),
            ("sslmode=require", SslMode::Require, Verification::None),
            ("sslmode=require&sslrootcert=/ca.pem", SslMode::Require, Verification::Chain),
            ("sslmode=verify-ca", SslMode::Require, Verification::Chain),
            ("sslmode=verify-full", SslMode::Require, Verification::ChainAndName),
        ] {
            let url = read(query);
            assert_eq!((url.config.get_ssl_mode(), url.verification), (mode, verification), "{query}");
        }
    }

    /// Scenario: texts that are no such URL. Guarantees: each is refused with the reason, and without its secret.
    #[test]
    fn wrong_urls_are_refused() {
        for (text, reason) in [
            ("host=h user=me password=pa55", "it does not begin with postgres://"),
            ("mysql://me:pa55@h/d", "it does not begin with postgres://"),
            ("postgres:///d?user=me&password=pa55", "it names no host"),
            (
                "postgres://me:pa55@h/d?sslmode=allow",
                "sslmode is none of disable, prefer, require, verify-ca, verify-full",
            ),
            ("postgres://me:pa55@h/d?sslcert=/c.pem", "sslcert and sslkey are given together"),
            ("postgres://me:pa55@h/d?pool_size=3", "invalid connection string: unknown option `pool_size`"),
            ("postgres://me:pa55@h:port/d", "invalid connection string: invalid value for option `port`"),
            (
                "postgres://me:pa55@h/d?sslmode=disable&sslnegotiation=direct",
                "sslnegotiation=direct needs sslmode=require or stricter",
            ),
        ] {
            let error = PostgresUrl::parse(text).expect_err("no URL").to_string();
            assert_eq!(error, reason, "{text}");
        }
    }
}
