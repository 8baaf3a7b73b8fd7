//! Which backends the access logs of a listener go to, and which policy says so.

use logphase_protocol::envoy::entry::Common;

use super::access_log::{AccessLogPolicy, Item, Match, SpiffeMatch};
use super::backend::Backend;
use super::facts::Service;
use super::listener::{Listener, To};
use super::mesh_logging::MeshBackend;
use super::order::Order;
use super::proxy::Proxy;
use super::resource_name::ResourceName;
use super::role::NAMESPACE;
use super::select::{selected, zone_fits};
use super::target_ref::{TargetKind, TargetRef};
use super::traffic_log::TrafficLog;
use super::winner::{Connection, winner};
use super::{Rank, Resources};

/// A part of a MeshAccessLog that applies to a listener.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'r> {
    /// The policy.
    pub policy: &'r AccessLogPolicy,
    /// Which part of it.
    pub part: Part,
    /// Which connections it is for; none is all of them.
    pub condition: Option<&'r Match>,
    /// The backends.
    pub backends: &'r [Backend],
    /// How many others applied as well, which this one replaces.
    pub replaced: usize,
}

/// A part of a MeshAccessLog, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the names of the fields")]
pub enum Part {
    To(usize),
    From(usize),
    Rules(usize),
}

/// The TrafficLog that applies to a listener.
#[derive(Debug, Clone, Copy)]
pub struct AppliedTrafficLog<'r> {
    /// The policy.
    pub policy: &'r TrafficLog,
    /// How specific it is.
    pub rank: Rank,
    /// Its backend; none if the mesh has no backend of that name.
    pub backend: Option<&'r MeshBackend>,
}

/// The TrafficLog of a listener.
pub(super) fn traffic_log<'r>(
    resources: &'r Resources,
    proxy: &Proxy,
    listener: &Listener,
) -> Option<AppliedTrafficLog<'r>> {
    let destination = listener.traffic_log_service()?;
    let source = proxy.sources();
    let won = winner(&resources.traffic_logs, Connection { mesh: &proxy.mesh, source: &source, destination })?;
    let mesh = resources.meshes.iter().find(|mesh| mesh.meta.name == proxy.mesh);
    let backend = mesh.and_then(|mesh| mesh.backend(&won.policy.backend));
    Some(AppliedTrafficLog { policy: won.policy, rank: won.rank, backend })
}

/// What MeshAccessLogs say of a listener, and of requests that took `route`.
pub(super) fn access_logs<'r>(
    (resources, order): (&'r Resources, &Order),
    proxy: &Proxy,
    listener: &Listener,
    route: Option<&ResourceName>,
) -> Vec<Applied<'r>> {
    let chooser = Chooser { resources, order, proxy, listener };
    match listener {
        Listener::NotLogged => Vec::new(),
        Listener::Inbound(_) => chooser.incoming(),
        Listener::Gateway(_) => chooser.by_tag(None).into_iter().chain(chooser.incoming()).collect(),
        Listener::PassThrough | Listener::DirectAccess(_) => chooser.by_tag(Some("pass_through")).into_iter().collect(),
        Listener::Outbound(To::Service(name)) => chooser.by_tag(Some(name)).into_iter().collect(),
        Listener::Outbound(To::Unknown) => chooser.by_tag(None).into_iter().collect(),
        Listener::Outbound(To::Resource(name)) => {
            let of_route = route.and_then(|route| chooser.by_route(route));
            of_route.or_else(|| chooser.by_resource(name)).into_iter().collect()
        }
    }
}

struct Chooser<'r, 'c> {
    resources: &'r Resources,
    order: &'c Order,
    proxy: &'c Proxy,
    listener: &'c Listener,
}

impl<'r> Chooser<'r, '_> {
    /// The policies that select the listener, weakest first.
    fn policies(&self) -> impl Iterator<Item = &'r AccessLogPolicy> {
        let policies = self.order.policies.iter().map(|index| &self.resources.access_logs[*index]);
        policies.filter(|policy| selected(policy, self.proxy).has(self.listener, self.proxy))
    }

    /// The items for a service that a tag names, or only those for the whole mesh. Of all that apply, the last one of the
    /// strongest policy replaces the others: backends are a list, and lists are not merged. A policy with an item for a route
    /// does not apply.
    fn by_tag(&self, service: Option<&str>) -> Option<Applied<'r>> {
        let applies = |target: &TargetRef| match target.kind {
            TargetKind::Mesh => true,
            TargetKind::MeshService => service.is_some_and(|service| target.name == service),
            _ => false,
        };
        let is_route = |item: &Item| item.target.kind == TargetKind::MeshHTTPRoute;
        let policies = self.policies().filter(|policy| !policy.to.iter().any(is_route));
        last(policies.flat_map(|policy| {
            items(policy).filter(|(_, item)| applies(&item.target)).map(move |found| (policy, found))
        }))
    }

    /// The items for a service with a resource of its own.
    fn by_resource(&self, name: &ResourceName) -> Option<Applied<'r>> {
        last(self.items().filter(|(policy, (_, item))| self.reaches(policy, &item.target, name)))
    }

    /// The items for a route, if there is one that names it.
    fn by_route(&self, route: &ResourceName) -> Option<Applied<'r>> {
        let is_direct = |target: &TargetRef| target.kind == TargetKind::MeshHTTPRoute;
        let reaching = || self.items().filter(|(policy, (_, item))| self.reaches(policy, &item.target, route));
        reaching().any(|(_, (_, item))| is_direct(&item.target)).then(|| last(reaching())).flatten()
    }

    /// The items of the policies that select the listener, weakest first.
    fn items(&self) -> impl Iterator<Item = (&'r AccessLogPolicy, (usize, &'r Item))> {
        let items = self.order.items.iter().map(|(policy, item)| {
            let policy = &self.resources.access_logs[*policy];
            (policy, (*item, &policy.to[*item]))
        });
        items.filter(|(policy, _)| selected(policy, self.proxy).is_any())
    }

    /// Whether `target`, in an item of `policy`, is `name`, or all that it belongs to.
    fn reaches(&self, policy: &AccessLogPolicy, target: &TargetRef, name: &ResourceName) -> bool {
        if target.kind == TargetKind::Mesh {
            return policy.meta.mesh == name.mesh;
        }
        if target.kind != name.kind || policy.meta.mesh != name.mesh {
            return false;
        }
        let service = self.resources.service(name);
        if !target.labels.is_empty() {
            return target.labels.iter().all(|(label, value)| has_label(service, name, label, value))
                && section_fits(target, name, service);
        }
        if let Some((service_name, namespace, port)) = old_name(target) {
            return (service_name, namespace) == (&name.name, &name.namespace)
                && port.is_none_or(|port| port_of(name, service) == Some(port));
        }
        let namespace = if target.namespace.is_empty() { policy.meta.namespace_label() } else { &target.namespace };
        target.name == name.name
            && namespace == name.namespace
            && zone_fits(policy, &name.zone)
            && section_fits(target, name, service)
    }

    /// The rules for accepted connections. They do not replace each other: every one that matches logs.
    fn incoming(&self) -> Vec<Applied<'r>> {
        let mut applied = Vec::new();
        for policy in self.policies() {
            let with = |part, condition, backends| Applied { policy, part, condition, backends, replaced: 0 };
            if policy.rules.is_empty() {
                let from = policy.from.iter().enumerate();
                applied.extend(from.map(|(index, item)| with(Part::From(index), None, &*item.backends)));
            }
            for (index, rule) in policy.rules.iter().enumerate() {
                if rule.matches.is_empty() {
                    applied.push(with(Part::Rules(index), None, &*rule.backends));
                }
                let conditions =
                    rule.matches.iter().map(|condition| with(Part::Rules(index), Some(condition), &*rule.backends));
                applied.extend(conditions);
            }
        }
        applied
    }
}

fn items(policy: &AccessLogPolicy) -> impl Iterator<Item = (usize, &Item)> {
    policy.to.iter().enumerate()
}

/// The last of the items that apply.
fn last<'r>(applying: impl Iterator<Item = (&'r AccessLogPolicy, (usize, &'r Item))>) -> Option<Applied<'r>> {
    let (mut count, mut last) = (0, None);
    for found in applying {
        (count, last) = (count + 1, Some(found));
    }
    let (policy, (index, item)) = last?;
    Some(Applied { policy, part: Part::To(index), condition: None, backends: &item.backends, replaced: count - 1 })
}

/// Name, namespace and port of a service that a reference names as `NAME_NAMESPACE_svc_PORT`.
fn old_name(target: &TargetRef) -> Option<(&str, &str, Option<u16>)> {
    if target.kind != TargetKind::MeshService || !target.section_name.is_empty() {
        return None;
    }
    match target.name.split('_').collect::<Vec<_>>()[..] {
        [name, namespace, _] => Some((name, namespace, None)),
        [name, namespace, _, port] => Some((name, namespace, Some(port.parse().ok()?))),
        _ => None,
    }
}

/// Whether `target` is for the port of `name`: the section is the name of the port, or its number where it has no name.
fn section_fits(target: &TargetRef, name: &ResourceName, service: Option<&Service>) -> bool {
    let wanted = target.section_name.as_str();
    if wanted.is_empty() || name.kind == TargetKind::MeshHTTPRoute || wanted == name.section {
        return true;
    }
    let ports = service.map_or(&[][..], |service| &service.ports);
    let named = ports.iter().find(|(section, _)| section == wanted).map(|(_, port)| *port);
    named.or_else(|| wanted.parse().ok()).is_some_and(|port| port_of(name, service) == Some(port))
}

/// The number of the port of `name`.
fn port_of(name: &ResourceName, service: Option<&Service>) -> Option<u16> {
    let ports = service.map_or(&[][..], |service| &service.ports);
    name.port.or_else(|| ports.iter().find(|(section, _)| *section == name.section).map(|(_, port)| *port))
}

/// Whether the resource `name` has a label: one that its document says, or one that Kuma adds and its name tells.
fn has_label(service: Option<&Service>, name: &ResourceName, label: &str, value: &str) -> bool {
    let written = service.and_then(|service| service.meta.labels.get(label).map(String::as_str));
    let known = || match label {
        "kuma.io/display-name" => Some(name.name.as_str()),
        "kuma.io/mesh" => Some(name.mesh.as_str()),
        super::proxy::ZONE => Some(name.zone.as_str()),
        NAMESPACE => Some(name.namespace.as_str()),
        _ => None,
    };
    written.or_else(known) == Some(value)
}

impl Match {
    /// Whether the connection of an entry matches. What counts of the client's certificate is its first URI, as in Envoy's
    /// `connection.uri_san_peer_certificate`.
    pub(super) fn holds(&self, common: &Common<'_>) -> bool {
        let tls = common.tls.as_ref();
        let spiffe = |wanted: &SpiffeMatch| {
            let uri = tls.and_then(|tls| tls.peer_certificate.as_ref()?.uri_sans.first().copied()).unwrap_or_default();
            match wanted {
                SpiffeMatch::Exact(id) => uri == id.as_bytes(),
                SpiffeMatch::Prefix(prefix) => uri.starts_with(prefix.as_bytes()),
            }
        };
        let name = tls.map_or(&b""[..], |tls| tls.sni_hostname);
        self.spiffe.as_ref().is_none_or(spiffe) && self.sni.as_ref().is_none_or(|wanted| name == wanted.0.as_bytes())
    }
}
