//! Datagrams, as Kong's udp-log sends them: one object in each.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

use super::datagrams::{self, RECEIVE_BUFFER_BYTES};
use super::settings::{ADDRESS, MAPPING, MATCH_ROUTES, list, matches_routes, replays_phases, settings_record};
use super::transport;
use super::{Address, BindError, BoundInput, Context, Input, bind, serving};
use crate::decode::TextDecoder;
use crate::decode::kong::Format;
use crate::input::Shared;
use crate::sink::BoxFuture;
use logphase_config::diagnostic::Diagnostic;
use logphase_config::schema::Record;

settings_record! {
    /// The settings `inputs.udp`.
    pub struct Settings {
        /// Addresses, `HOST:PORT`.
        listen: Vec<String> = list(&ADDRESS);
        /// Mapping of what arrives to transactions: `kong`, a built-in one, or one of `mappings`.
        mapping: String = MAPPING;
        /// Find the route and service of transactions without them, as Kong's router would; by default if `mapping` is
        /// not `kong`.
        match_routes: Option<bool> = MATCH_ROUTES;
    }
}

/// The UDP input.
#[derive(Debug, Clone)]
pub(super) struct Udp {
    pub(super) settings: Settings,
    pub(super) decoder: TextDecoder,
    /// Bytes of the kernel's receive buffer for a socket. The system may grant less (`net.core.rmem_max`).
    pub(super) receive_buffer: usize,
}

impl Input for Udp {
    const NAME: &'static str = "udp";
    const ABOUT: &'static str = "One object per datagram.";
    const SETTINGS: &'static Record = Settings::RECORD;
    type Settings = Settings;

    fn new(settings: Settings, shared: Shared<'_>) -> Option<Self> {
        let decoder = shared.decoder(&settings.mapping, Format::Object);
        (!settings.listen.is_empty()).then_some(Self { settings, decoder, receive_buffer: RECEIVE_BUFFER_BYTES })
    }

    fn matches_routes(&self) -> bool {
        matches_routes(self.settings.match_routes, &self.settings.mapping)
    }

    fn replays_phases(&self) -> bool {
        replays_phases(self.settings.match_routes, &self.settings.mapping)
    }

    fn check(&self) -> Vec<Diagnostic> {
        transport::of_datagrams(Self::NAME, &self.settings.listen)
    }

    fn bind(self) -> Result<Box<dyn BoundInput>, BindError> {
        let sockets = bind::each(&self.settings.listen, |address| bind::udp(address, self.receive_buffer))?;
        Ok(Box::new(Bound { decoder: self.decoder, sockets }))
    }
}

struct Bound {
    decoder: TextDecoder,
    sockets: Vec<(UdpSocket, SocketAddr)>,
}

impl BoundInput for Bound {
    fn addresses(&self) -> Vec<Address> {
        self.sockets.iter().map(|(_, address)| Address::Inet { scheme: "udp", address: *address }).collect()
    }

    fn serve(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        let Self { decoder, sockets } = *self;
        let receivers =
            sockets.into_iter().map(move |(socket, _)| datagrams::serve(context.clone(), socket, decoder.clone()));
        Box::pin(serving::run_all(receivers))
    }
}

#[cfg(test)]
mod tests;
