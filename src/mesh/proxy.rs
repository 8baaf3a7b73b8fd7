//! The proxy that sends a stream of entries, as the policies of a mesh see it.
//!
//! A Dataplane among the files says the most of it; then the one that kuma-dp puts into the metadata of its Envoy, outside of
//! Kubernetes; without both, `kuma.io/service` is the cluster of the node, and other tags are not known. Rules of the settings
//! ([`super::names`]) go before all of them.

use logphase_protocol::envoy::Origin;

use super::dataplane::{Dataplane, GatewayPart, Inbound};
use super::names::ProxyNames;
use super::resource_name::workload;
use super::tags::{SERVICE, Selector, Tags};
use super::{Resources, envelope};

/// What is not known.
pub(super) const UNKNOWN: &str = "unknown";
/// The tag and the label that name a zone.
pub(super) const ZONE: &str = "kuma.io/zone";
/// The label that names the workload of a data plane.
const WORKLOAD: &str = "kuma.io/workload";

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its mesh.
    pub mesh: String,
    /// The name of its Dataplane, without the namespace.
    pub name: String,
    /// Its namespace; empty outside of Kubernetes.
    pub namespace: String,
    /// Its zone; empty if it is not known.
    pub zone: String,
    /// The service that stands for it, `kuma.io/service`.
    pub service: String,
    /// The identifier of its workload; empty if it is not known.
    pub workload: String,
    /// Its own address; empty if it is not known.
    pub address: String,
    /// Whether it is one of Kuma's: then the names of clusters are Kuma's.
    pub of_kuma: bool,
    /// Whether it is the ingress or egress of a zone, which policies do not select.
    pub of_zone: bool,
    /// What its Dataplane says. It has at least one inbound or a gateway.
    pub dataplane: Dataplane,
    /// The MeshGateway of a built-in gateway.
    pub gateway: Option<String>,
    /// The ports of a built-in gateway, with the tags of their listeners; port 0 is any.
    pub gateway_listeners: Vec<(u16, Tags)>,
}

impl Proxy {
    /// The proxy that sends entries of `origin`.
    pub(super) fn new(resources: &Resources, origin: &Origin, names: &ProxyNames) -> Self {
        let metadata = |key: &str| origin.node_metadata(&[key.to_owned()]).map(|text| lossy(&text));
        let proxy_type = metadata("dataplane.proxyType").unwrap_or_default();
        let resource = metadata("dataplane.resource");
        let of_kuma = !proxy_type.is_empty() || resource.is_some() || metadata("dataplane.admin.port").is_some();
        let id = lossy(&origin.node_id);
        let (of_id, resource_name) = if of_kuma { id.split_once('.').unwrap_or(("", &id)) } else { ("", id.as_str()) };
        let mesh = names.mesh.clone().or_else(|| filled(of_id)).unwrap_or_else(|| envelope::DEFAULT_MESH.to_owned());
        let document = resources.dataplane(&mesh, resource_name);
        let in_metadata = || resource.as_deref().and_then(Dataplane::parse);
        let known = document.map(|(_, dataplane)| dataplane.clone()).or_else(in_metadata);
        let (name, namespace) = match (document, &known) {
            (Some((meta, _)), _) => (meta.display_name().to_owned(), meta.namespace.clone()),
            (None, Some(_)) => (resource_name.to_owned(), String::new()),
            // On Kubernetes, the name of a resource ends in its namespace.
            (None, None) if of_kuma => {
                let (name, namespace) = resource_name.rsplit_once('.').unwrap_or((resource_name, ""));
                (name.to_owned(), namespace.to_owned())
            }
            (None, None) => (resource_name.to_owned(), String::new()),
        };
        let namespace = names.namespace.clone().unwrap_or(namespace);
        let service = names.service.clone().or_else(|| filled(&lossy(&origin.node_cluster)));
        let mut dataplane = known.unwrap_or_default();
        let zone = zone(&dataplane, names, origin);
        complete(&mut dataplane, service.as_deref(), &zone, &names.tags);
        let service = service.or_else(|| first_service(&dataplane)).unwrap_or_else(|| UNKNOWN.to_owned());
        let of_label = || {
            let name = dataplane.labels.get(WORKLOAD)?;
            Some(self::workload(&mesh, &zone, &namespace, name))
        };
        let (gateway, gateway_listeners) = gateway(resources, &mesh, &dataplane);
        Self {
            workload: names.workload.clone().or_else(of_label).unwrap_or_default(),
            address: names.address.clone().unwrap_or_else(|| dataplane.address.clone()),
            of_zone: matches!(proxy_type.as_str(), "ingress" | "egress"),
            mesh,
            name,
            namespace,
            zone,
            service,
            of_kuma,
            dataplane,
            gateway,
            gateway_listeners,
        }
    }

    /// Whether it is a built-in gateway.
    pub fn is_builtin_gateway(&self) -> bool {
        self.dataplane.gateway.as_ref().is_some_and(|gateway| gateway.builtin)
    }

    /// The tags of each inbound, and those of its gateway, if it is one.
    pub fn sources(&self) -> Vec<Tags> {
        let inbounds = self.dataplane.inbounds.iter().filter(|inbound| !inbound.of_zone);
        let gateway = self.dataplane.gateway.iter().map(|gateway| gateway.tags.clone());
        inbounds.map(|inbound| inbound.tags.clone()).chain(gateway).collect()
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn zone(dataplane: &Dataplane, names: &ProxyNames, origin: &Origin) -> String {
    let label = || dataplane.labels.get(ZONE).cloned();
    let tag = || dataplane.inbounds.iter().find_map(|inbound| inbound.tags.get(ZONE).cloned());
    let gateway = || dataplane.gateway.as_ref()?.tags.get(ZONE).cloned();
    let locality = || filled(&lossy(&origin.zone));
    names.zone.clone().or_else(label).or_else(tag).or_else(gateway).or_else(locality).unwrap_or_default()
}

/// Makes up for a Dataplane that is not known, and adds the tags that rules name.
fn complete(dataplane: &mut Dataplane, service: Option<&str>, zone: &str, tags: &Tags) {
    if dataplane.inbounds.is_empty() && dataplane.gateway.is_none() {
        let mut known = Tags::new();
        known.extend(service.map(|service| (SERVICE.to_owned(), service.to_owned())));
        known.extend(filled(zone).map(|zone| (ZONE.to_owned(), zone)));
        dataplane.inbounds.push(Inbound { tags: known, ..Inbound::default() });
    }
    let inbounds = dataplane.inbounds.iter_mut().map(|inbound| &mut inbound.tags);
    let gateway = dataplane.gateway.iter_mut().map(|gateway| &mut gateway.tags);
    inbounds.chain(gateway).for_each(|all| all.extend(tags.clone()));
}

fn first_service(dataplane: &Dataplane) -> Option<String> {
    let inbounds = dataplane.inbounds.iter().map(|inbound| &inbound.tags);
    let gateway = dataplane.gateway.iter().map(|gateway| &gateway.tags);
    inbounds.chain(gateway).find_map(|tags| tags.get(SERVICE).cloned())
}

/// The MeshGateway of a built-in gateway and its listeners: of those whose selectors match, that with the most tags, and of
/// those, that whose name is the first.
fn gateway(resources: &Resources, mesh: &str, dataplane: &Dataplane) -> (Option<String>, Vec<(u16, Tags)>) {
    let Some(GatewayPart { builtin: true, tags }) = &dataplane.gateway else { return (None, Vec::new()) };
    let in_mesh = resources.gateways.iter().filter(|gateway| gateway.meta.mesh == mesh);
    let ranked = in_mesh.filter_map(|gateway| {
        let matching = gateway.selectors.iter().filter(|selector| selector.matches(tags));
        Some((matching.map(Selector::rank).max()?, gateway))
    });
    let best = ranked.max_by(|(rank, gateway), (other, of)| {
        rank.cmp(other).then_with(|| of.meta.display_name().cmp(gateway.meta.display_name()))
    });
    let Some((_, best)) = best else { return (None, vec![(0, tags.clone())]) };
    let merged = |listener: &Tags| {
        [&best.tags, listener].into_iter().fold(tags.clone(), |mut all, more| {
            all.extend(more.clone());
            all
        })
    };
    let listeners = best.listeners.iter().map(|(port, listener)| (*port, merged(listener))).collect();
    (Some(best.meta.display_name().to_owned()), listeners)
}
