//! Addresses that an API listens on: taken at the start, and served once the service runs.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::inputs::bind;
use super::launch::LaunchError;
use crate::api::{self, Handler, TlsListener};
use crate::connections::AllowedHosts;
use crate::input::{self, ServedTls, Tls};
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_net::ConfigError;

/// What the settings say of the addresses of an API.
pub(super) struct Wanted<'a> {
    /// The setting, such as `admin`.
    pub(super) setting: &'static str,
    /// Who reaches the addresses can do this without a token or a certificate.
    pub(super) everyone_could: &'static str,
    pub(super) listen: &'a [String],
    pub(super) tls: &'a Tls,
    /// Whether requests need a token.
    pub(super) has_token: bool,
    /// An address that is also Kong's; if it is in use, the log says `without`, and it is left out.
    pub(super) default: &'static str,
    pub(super) without: &'static str,
}

impl Wanted<'_> {
    /// What is wrong with how the API is protected, found without opening anything.
    pub(super) fn check(&self) -> Vec<Diagnostic> {
        let literal = |address: &String| address.parse::<SocketAddr>().ok();
        let mut found = input::tls_findings(&format!("{}.tls", self.setting), self.tls);
        found.extend(self.listen.iter().filter_map(literal).filter_map(|address| self.open_to_all(address)));
        found
    }

    /// The error of an address that others reach, although requests need neither a token nor a certificate.
    fn open_to_all(&self, address: SocketAddr) -> Option<Diagnostic> {
        let Self { setting, everyone_could, tls, has_token, .. } = *self;
        if address.ip().to_canonical().is_loopback() || has_token || tls.asks_for_certificate() {
            return None;
        }
        let message = format!("everyone who reaches {address} could {everyone_could}");
        let help = format!("set admin.token, or {setting}.tls with client_ca; or listen on 127.0.0.1");
        Some(Diagnostic::error(codes::SETTING, message).path(format!("{setting}.listen")).help(help))
    }

    /// Takes the addresses.
    ///
    /// # Errors
    /// An address that cannot be taken, or that others reach although requests need nothing; certificates that cannot be used.
    pub(super) async fn take(&self) -> Result<Listeners, LaunchError> {
        let record = format!("{}.tls", self.setting);
        let tls = ServedTls::open(&record, self.tls, &["http/1.1"]);
        let unusable = |error: ConfigError| {
            let error = error.within(&record);
            LaunchError::Configuration(vec![Diagnostic::error(codes::SETTING, error.to_string()).path(error.field)])
        };
        let mut listeners = Listeners { sockets: Vec::new(), tls: tls.map_err(unusable)? };
        for address in input::resolve(self.listen)? {
            if let Some(error) = self.open_to_all(address) {
                return Err(LaunchError::Configuration(vec![error]));
            }
            let setting = format!("{}.listen", self.setting);
            listeners.sockets.extend(bind(address, self.default, self.without, &setting).await?);
        }
        Ok(listeners)
    }
}

/// Addresses that are taken and not served yet, and their TLS.
#[derive(Default)]
pub(super) struct Listeners {
    sockets: Vec<TcpListener>,
    tls: Option<ServedTls>,
}

impl Listeners {
    /// The addresses, `HOST:PORT`.
    pub(super) fn addresses(&self) -> impl Iterator<Item = String> {
        self.sockets.iter().filter_map(|socket| Some(socket.local_addr().ok()?.to_string()))
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Whether connections are encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Serves `handler` until the returned tasks are dropped, to requests that use a name of the service (`None`: the handler
    /// checks it).
    pub(super) fn serve<H: Handler>(self, handler: &Arc<H>, hosts: Option<&AllowedHosts>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for socket in self.sockets {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            if let Ok(address) = socket.local_addr() {
                tracing::info!("{}: {scheme}://{address}", H::NAME);
            }
            let (handler, hosts) = (handler.clone(), hosts.cloned());
            match &self.tls {
                Some(tls) => {
                    let listener = TlsListener::new(socket, tls.clone(), H::NAME);
                    tasks.spawn(api::serve(listener, handler, hosts));
                }
                None => drop(tasks.spawn(api::serve(socket, handler, hosts))),
            }
        }
        if let Some(tls) = self.tls {
            tasks.spawn(async move { tls.watch(std::future::pending()).await });
        }
        tasks
    }
}
