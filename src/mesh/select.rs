//! Whether the `targetRef` at the top of a MeshAccessLog selects a proxy, and which of its listeners
//! (pkg/plugins/policies/core/matchers of Kuma 2.14).

use super::access_log::AccessLogPolicy;
use super::dataplane::Inbound;
use super::listener::Listener;
use super::proxy::{Proxy, ZONE};
use super::role::{self, Created, Role};
use super::tags::{SERVICE, Selector, Tags};
use super::target_ref::{TargetKind, TargetRef};

/// What a policy selects of a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selected {
    /// Its inbounds, by index.
    inbounds: Vec<usize>,
    /// Ports of a built-in gateway; 0 is any.
    ports: Vec<u16>,
    /// Whether it is a gateway of another program, and selected.
    delegated: bool,
}

impl Selected {
    /// Whether it is anything.
    pub(super) fn is_any(&self) -> bool {
        !self.inbounds.is_empty() || !self.ports.is_empty() || self.delegated
    }

    /// Whether a listener of the proxy is among it, for which the policy would be chosen by its inbound. Inbounds at one address
    /// and port are one listener.
    pub(super) fn has(&self, listener: &Listener, proxy: &Proxy) -> bool {
        match listener {
            Listener::Gateway(port) => self.ports.iter().any(|selected| *selected == 0 || selected == port),
            Listener::Inbound(index) => {
                let inbounds = &proxy.dataplane.inbounds;
                let same = |other: &Inbound, one: &Inbound| (&other.address, other.port) == (&one.address, one.port);
                let Some(one) = inbounds.get(*index) else { return false };
                self.inbounds.iter().any(|selected| inbounds.get(*selected).is_some_and(|other| same(other, one)))
            }
            _ => self.is_any(),
        }
    }
}

/// What `policy` selects of `proxy`.
pub(super) fn selected(policy: &AccessLogPolicy, proxy: &Proxy) -> Selected {
    if policy.meta.mesh != proxy.mesh || !is_in_zone(policy, proxy) || !is_in_namespace(policy, proxy) {
        return Selected::default();
    }
    let target = &policy.target;
    let of_type = || {
        let kind = if proxy.dataplane.gateway.is_some() { "Gateway" } else { "Sidecar" };
        target.proxy_types.is_empty() || target.proxy_types.iter().any(|named| named == kind)
    };
    match target.kind {
        TargetKind::Mesh if of_type() => by_tags(proxy, &Tags::new(), true),
        TargetKind::MeshSubset if of_type() => by_tags(proxy, &target.tags, false),
        TargetKind::MeshService | TargetKind::MeshServiceSubset => {
            let service = (SERVICE.to_owned(), target.name.clone());
            by_tags(proxy, &target.tags.clone().into_iter().chain([service]).collect(), false)
        }
        TargetKind::MeshGateway if proxy.gateway.as_ref() == Some(&target.name) => {
            Selected { delegated: false, ..by_tags(proxy, &target.tags, false) }
        }
        TargetKind::Dataplane => by_dataplane(policy, proxy),
        _ => Selected::default(),
    }
}

fn by_tags(proxy: &Proxy, tags: &Tags, with_zone: bool) -> Selected {
    let selector = Selector(tags.clone());
    let inbounds = proxy.dataplane.inbounds.iter().enumerate();
    let inbounds =
        inbounds.filter(|(_, inbound)| if inbound.of_zone { with_zone } else { selector.matches(&inbound.tags) });
    let ports = proxy.gateway_listeners.iter().filter(|(_, tags)| selector.matches(tags));
    let gateway = proxy.dataplane.gateway.as_ref();
    Selected {
        inbounds: inbounds.map(|(index, _)| index).collect(),
        ports: ports.map(|(port, _)| *port).collect(),
        delegated: gateway.is_some_and(|gateway| !gateway.builtin && selector.matches(&gateway.tags)),
    }
}

fn by_dataplane(policy: &AccessLogPolicy, proxy: &Proxy) -> Selected {
    let target = &policy.target;
    let all = target.name.is_empty() && target.namespace.is_empty() && target.labels.is_empty();
    let by_labels = !target.labels.is_empty()
        && target.labels.iter().all(|(name, value)| label(proxy, name) == Some(value.as_str()));
    // Kuma does not select a built-in gateway as a Dataplane.
    if proxy.is_builtin_gateway() || !(all || by_labels || is_named(policy, target, proxy)) {
        return Selected::default();
    }
    let inbounds = proxy.dataplane.inbounds.iter().enumerate();
    let inbounds =
        inbounds.filter(|(_, inbound)| target.section_name.is_empty() || inbound.section == target.section_name);
    Selected {
        inbounds: inbounds.map(|(index, _)| index).collect(),
        ports: Vec::new(),
        delegated: proxy.dataplane.gateway.is_some(),
    }
}

/// Whether `target` names the Dataplane of `proxy`.
fn is_named(policy: &AccessLogPolicy, target: &TargetRef, proxy: &Proxy) -> bool {
    let namespace = if target.namespace.is_empty() { policy.meta.namespace_label() } else { &target.namespace };
    !target.name.is_empty()
        && target.name == proxy.name
        && namespace == proxy.namespace
        && zone_fits(policy, label(proxy, ZONE).unwrap_or_default())
}

/// Whether a resource in `zone` is one that `policy` can name: that of its own zone. A policy that says neither its zone nor where
/// it comes from, as one that no control plane has taken yet, can name those of every zone.
pub(super) fn zone_fits(policy: &AccessLogPolicy, zone: &str) -> bool {
    match (policy.meta.zone_label(), policy.meta.created_in()) {
        (Some(own), _) => own == zone,
        (None, Created::Unknown) => true,
        (None, _) => zone.is_empty(),
    }
}

/// A label of the Dataplane of `proxy`; those that Kuma adds itself, too.
fn label<'p>(proxy: &'p Proxy, name: &str) -> Option<&'p str> {
    let written = proxy.dataplane.labels.get(name).map(String::as_str);
    let known = || match name {
        "kuma.io/display-name" => Some(proxy.name.as_str()),
        "kuma.io/mesh" => Some(proxy.mesh.as_str()),
        role::NAMESPACE => Some(proxy.namespace.as_str()),
        ZONE => Some(proxy.zone.as_str()),
        _ => None,
    };
    written.or_else(known).filter(|value| !value.is_empty())
}

fn is_in_zone(policy: &AccessLogPolicy, proxy: &Proxy) -> bool {
    let labels = &proxy.dataplane.labels;
    let of_zone = labels.get("kuma.io/origin").is_some_and(|origin| origin == "zone");
    match (role::of(policy), policy.meta.created_in(), policy.meta.zone_label()) {
        (Role::Producer, ..) => true,
        (_, Created::InZone, Some(zone)) if of_zone => labels.get(ZONE).is_none_or(|own| own == zone),
        _ => true,
    }
}

fn is_in_namespace(policy: &AccessLogPolicy, proxy: &Proxy) -> bool {
    match role::of(policy) {
        Role::Consumer | Role::WorkloadOwner => {
            let namespace = policy.meta.namespace_label();
            !namespace.is_empty() && label(proxy, role::NAMESPACE) == Some(namespace)
        }
        Role::System | Role::Producer => true,
    }
}
