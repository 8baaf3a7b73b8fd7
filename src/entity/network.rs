//! Sources and destinations of stream routes.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde_json::Value;
use thiserror::Error;

/// One of a route's `sources` or `destinations`; an absent field matches anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The network; a single address is a network of one. Bits of the host are as written.
    pub network: Option<IpNet>,
    /// Whether the network was written with the length of its prefix. To Kong's router a range is less specific than an
    /// address, even if it holds only one.
    pub is_range: bool,
    /// The port.
    pub port: Option<u16>,
}

impl Endpoint {
    /// The endpoint of a validated record.
    pub(super) fn from_value(value: &Value) -> Self {
        let ip = value.get("ip").and_then(Value::as_str);
        let network = ip.and_then(|ip| ip.parse::<Network>().ok()).map(|network| network.0);
        let port = value.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        Self { network, is_range: ip.is_some_and(|ip| ip.contains('/')), port }
    }
}

/// An address or a CIDR range.
pub(super) struct Network(IpNet);

/// Why an address is invalid, in Kong's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid ip or cidr range: '{0}'")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| NetworkError(text.to_owned()))
    }
}
