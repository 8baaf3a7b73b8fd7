//! JSON lines over Unix sockets.

use std::path::PathBuf;
use std::time::Duration;

use super::accept::{self, AcceptOptions};
use super::settings::{
    MAPPING, MATCH_ROUTES, MAX_CONNECTIONS, TEXT, idle_timeout, list, matches_routes, replays_phases, settings_record,
};
use super::{Address, BindError, BoundInput, Context, Input, bind, lines, serving};
use crate::confinement::Files;
use crate::decode::TextDecoder;
use crate::decode::kong::Format;
use crate::input::Shared;
use crate::sink::BoxFuture;
use crate::socket_file::SocketListener;
use logphase_config::schema::Record;

settings_record! {
    /// The settings `inputs.unix`.
    pub struct Settings {
        /// Paths of the sockets.
        paths: Vec<PathBuf> = list(&TEXT);
        /// Connections at the same time; for more, the one that has waited for its peer for the longest time is closed.
        max_connections: usize = MAX_CONNECTIONS;
        /// How long a connection may be idle.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        idle_timeout: Duration = idle_timeout(300);
        /// Mapping of what arrives to transactions: `kong`, a built-in one, or one of `mappings`.
        mapping: String = MAPPING;
        /// Find the route and service of transactions without them, as Kong's router would; by default if `mapping` is
        /// not `kong`.
        match_routes: Option<bool> = MATCH_ROUTES;
    }
}

/// The Unix socket input.
#[derive(Debug, Clone)]
pub(super) struct Unix {
    pub(super) settings: Settings,
    pub(super) decoder: TextDecoder,
}

impl Input for Unix {
    const NAME: &'static str = "unix";
    const ABOUT: &'static str = "JSON lines over Unix sockets.";
    const SETTINGS: &'static Record = Settings::RECORD;
    type Settings = Settings;

    fn new(settings: Settings, shared: Shared<'_>) -> Option<Self> {
        let decoder = shared.decoder(&settings.mapping, Format::Object);
        (!settings.paths.is_empty()).then_some(Self { settings, decoder })
    }

    fn files(&self) -> Files {
        Files { write: bind::socket_directories(&self.settings.paths), ..Files::default() }
    }

    fn matches_routes(&self) -> bool {
        matches_routes(self.settings.match_routes, &self.settings.mapping)
    }

    fn replays_phases(&self) -> bool {
        replays_phases(self.settings.match_routes, &self.settings.mapping)
    }

    fn bind(self) -> Result<Box<dyn BoundInput>, BindError> {
        let listeners = self.settings.paths.iter().map(|path| bind::unix(path)).collect::<Result<_, _>>()?;
        Ok(Box::new(Bound { input: self, listeners }))
    }
}

struct Bound {
    input: Unix,
    listeners: Vec<SocketListener>,
}

impl BoundInput for Bound {
    fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|socket| Address::Unix(socket.file.path().to_owned())).collect()
    }

    fn serve(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        let Unix { settings: Settings { max_connections, idle_timeout, .. }, decoder } = self.input;
        let options = AcceptOptions { max_connections, drain_backlog: true, answers: false };
        let listeners = self.listeners.into_iter().map(move |SocketListener { listener, file }| {
            let decoder = decoder.clone();
            let handle =
                move |own, stream, peer, slot| lines::serve(own, decoder.clone(), idle_timeout, stream, (peer, slot));
            let accepting = accept::serve(context.clone(), listener, options, handle);
            async move {
                // Removes the socket's file when it is dropped.
                let _file = file;
                accepting.await;
            }
        });
        Box::pin(serving::run_all(listeners))
    }
}

#[cfg(test)]
mod tests;
