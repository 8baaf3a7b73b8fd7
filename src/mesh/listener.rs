//! The listener of a proxy that a connection came in on, as Kuma's names of clusters, routes and addresses tell it.

use std::net::IpAddr;

use logphase_protocol::envoy::entry::{Address, Common};

use super::dataplane::Inbound;
use super::names::{Direction, ListenerNames};
use super::proxy::{Proxy, UNKNOWN};
use super::resource_name::ResourceName;

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listener {
    /// For connections to a service.
    Outbound(To),
    /// For connections that leave the mesh.
    PassThrough,
    /// For connections to one endpoint of a service, under Kuma's name for it.
    DirectAccess(String),
    /// A port of a built-in gateway.
    Gateway(u16),
    /// The inbound of this index, for connections to the service of the data plane; that of the ingress or egress of a zone,
    /// too.
    Inbound(usize),
    /// Kuma configures no access log for it.
    NotLogged,
}

/// The service that a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum To {
    /// A service that a tag names.
    Service(String),
    /// A service with a resource of its own.
    Resource(ResourceName),
    /// Envoy chose no cluster, and the address tells none.
    Unknown,
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Outbound(To::Service(name)) => write!(f, "outbound to service `{name}`"),
            Self::Outbound(To::Resource(name)) => write!(f, "outbound to {name}"),
            Self::Outbound(To::Unknown) => write!(f, "outbound to an unknown service"),
            Self::PassThrough => write!(f, "outbound out of the mesh"),
            Self::DirectAccess(name) => write!(f, "outbound to endpoint `{name}`"),
            Self::Gateway(port) => write!(f, "port {port} of a built-in gateway"),
            Self::Inbound(index) => write!(f, "inbound {}", index + 1),
            Self::NotLogged => write!(f, "a listener without access logs"),
        }
    }
}

/// The prefixes of the clusters of inbounds and of connections that leave the mesh, without and with unified naming.
const INBOUND: [&str; 2] = ["localhost:", "self_inbound_"];
const PASS_THROUGH: [&str; 2] = ["outbound:passthrough:", "self_transparentproxy_passthrough_outbound"];
/// Those of clusters without access logs: connections to no inbound of the data plane, and Kuma's own.
const NOT_LOGGED: [&str; 4] = ["inbound:passthrough:", "self_transparentproxy_", "kuma:", "_kuma:"];
const DIRECT_ACCESS: &str = "direct_access";

impl Listener {
    /// The listener of `proxy` that an entry came in on.
    pub(super) fn new(proxy: &Proxy, common: &Common<'_>, names: &ListenerNames) -> Self {
        let local = address(common.downstream_local_address.as_ref());
        let cluster = String::from_utf8_lossy(common.upstream_cluster);
        let service = |name: &str| Self::Outbound(To::Service(name.to_owned()));
        match names.direction {
            Some(Direction::None) => return Self::NotLogged,
            Some(Direction::PassThrough) => return Self::PassThrough,
            Some(Direction::Gateway) => return Self::Gateway(local.map_or(0, |(_, port)| port)),
            Some(Direction::Inbound) => return Self::Inbound(inbound_at(proxy, local).unwrap_or(0)),
            Some(Direction::Outbound) => {
                return names.destination.as_deref().map_or_else(|| outbound(&cluster, proxy), service);
            }
            None => {}
        }
        if proxy.of_zone {
            return Self::NotLogged;
        }
        if proxy.is_builtin_gateway() {
            return Self::Gateway(local.map_or(0, |(_, port)| port));
        }
        if let Some(zone) = inbound_at(proxy, local).filter(|at| proxy.dataplane.inbounds[*at].of_zone) {
            return Self::Inbound(zone);
        }
        if let Some(name) = &names.destination {
            return service(name);
        }
        if !proxy.of_kuma {
            return outbound(&cluster, proxy);
        }
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| cluster.starts_with(prefix));
        match &*cluster {
            "" => without_cluster(proxy, local),
            DIRECT_ACCESS => Self::DirectAccess(match local {
                Some((address, port)) => format!("{DIRECT_ACCESS}_{address}:{port}"),
                None => DIRECT_ACCESS.to_owned(),
            }),
            _ if begins(&INBOUND) => inbound_of(proxy, &cluster, local).map_or(Self::NotLogged, Self::Inbound),
            _ if begins(&PASS_THROUGH) => Self::PassThrough,
            _ if begins(&NOT_LOGGED) => Self::NotLogged,
            _ => outbound(&cluster, proxy),
        }
    }

    /// The service that it stands for in a TrafficLog, if one can apply to it.
    pub fn traffic_log_service(&self) -> Option<&str> {
        match self {
            Self::Outbound(To::Service(name)) => Some(name),
            Self::PassThrough | Self::DirectAccess(_) | Self::Gateway(_) => Some("pass_through"),
            // A policy for all services applies to it whichever it is.
            Self::Outbound(To::Unknown) => Some(""),
            Self::Outbound(To::Resource(_)) | Self::Inbound(_) | Self::NotLogged => None,
        }
    }

    /// What Kuma calls the destination in a line.
    pub(super) fn destination_name(&self, proxy: &Proxy) -> String {
        match self {
            Self::Outbound(To::Service(name)) | Self::DirectAccess(name) => name.clone(),
            Self::Outbound(To::Resource(name)) => name.name.clone(),
            Self::Outbound(To::Unknown) => UNKNOWN.to_owned(),
            Self::PassThrough => "external".to_owned(),
            Self::Gateway(_) => "*".to_owned(),
            Self::Inbound(index) if proxy.dataplane.inbounds.get(*index).is_some_and(|inbound| inbound.of_zone) => {
                UNKNOWN.to_owned()
            }
            Self::Inbound(_) | Self::NotLogged => proxy.service.clone(),
        }
    }
}

fn address(address: Option<&Address<'_>>) -> Option<(IpAddr, u16)> {
    let Address::Socket(socket) = address? else { return None };
    let ip = std::str::from_utf8(socket.address).ok()?.parse().ok()?;
    Some((ip, u16::try_from(socket.port).ok()?))
}

/// The index of the inbound that listens at `local`.
fn inbound_at(proxy: &Proxy, local: Option<(IpAddr, u16)>) -> Option<usize> {
    let (address, port) = local?;
    let own = |inbound: &Inbound| {
        inbound.listens_at(address, port)
            && (!inbound.address.is_empty()
                || proxy.dataplane.address.is_empty()
                || proxy.dataplane.address.parse() == Ok(address)
                || address.is_loopback())
    };
    proxy.dataplane.inbounds.iter().position(own)
}

/// The inbound of a cluster: that with its section or its port, or else that which listens at `local`. Of a data plane that is
/// not known, its only one.
fn inbound_of(proxy: &Proxy, cluster: &str, local: Option<(IpAddr, u16)>) -> Option<usize> {
    let inbounds = &proxy.dataplane.inbounds;
    let section = cluster.strip_prefix("self_inbound_dp_");
    let port = cluster.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
    let by_section = || inbounds.iter().position(|inbound| Some(inbound.section.as_str()) == section);
    let by_port = || inbounds.iter().position(|inbound| Some(inbound.service_port) == port && !inbound.of_zone);
    let only = || (inbounds.len() == 1 && inbounds[0].port == 0).then_some(0);
    inbound_at(proxy, local).or_else(by_section).or_else(by_port).or_else(only)
}

fn without_cluster(proxy: &Proxy, local: Option<(IpAddr, u16)>) -> Listener {
    if let Some(index) = inbound_at(proxy, local) {
        return Listener::Inbound(index);
    }
    let outbounds = &proxy.dataplane.outbounds;
    let found = local.and_then(|(address, port)| outbounds.iter().find(|outbound| outbound.listens_at(address, port)));
    Listener::Outbound(found.map_or(To::Unknown, |outbound| To::Service(outbound.service.clone())))
}

fn outbound(cluster: &str, proxy: &Proxy) -> Listener {
    if cluster.is_empty() {
        return Listener::Outbound(To::Unknown);
    }
    if !proxy.of_kuma {
        return Listener::Outbound(To::Service(cluster.to_owned()));
    }
    let resource = ResourceName::of_kri(cluster).or_else(|| ResourceName::of_cluster(cluster));
    Listener::Outbound(resource.map_or_else(|| To::Service(without_hash(cluster).to_owned()), To::Resource))
}

/// The service of a cluster, whose name ends in a hash if requests to the service are split.
fn without_hash(cluster: &str) -> &str {
    match cluster.rsplit_once('-') {
        Some((service, hash))
            if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) =>
        {
            service
        }
        _ => cluster,
    }
}
