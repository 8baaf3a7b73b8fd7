//! Resources that say no policy, and what policies depend on: services and their labels, data planes and their tags, gateways.
//!
//! They come from a control plane, which has checked them: what cannot be read is passed over.

use logphase_config::document::Node;

use super::Resources;
use super::dataplane::{Dataplane, tags};
use super::envelope::{Kind, Meta, Object};
use super::resource_name::ResourceName;
use super::tags::{Selector, Tags};
use super::target_ref::TargetKind;

/// A MeshService, MeshExternalService or MeshMultiZoneService.
#[derive(Debug)]
pub struct Service {
    /// What it is called, with its labels.
    pub meta: Meta,
    /// Which of them it is.
    pub kind: TargetKind,
    /// The names and numbers of its ports.
    pub ports: Vec<(String, u16)>,
}

/// A MeshGateway.
#[derive(Debug)]
pub struct Gateway {
    /// What it is called.
    pub meta: Meta,
    /// The data planes that are this gateway.
    pub selectors: Vec<Selector>,
    /// Its tags.
    pub tags: Tags,
    /// The ports of its listeners, with their tags.
    pub listeners: Vec<(u16, Tags)>,
}

/// Adds what `object` says to `resources`.
pub(super) fn read(object: &Object<'_>, kind: Kind, resources: &mut Resources) {
    let Some(body) = object.body.node() else { return };
    let meta = object.meta.clone();
    match kind {
        Kind::Dataplane => {
            let dataplane = Dataplane::read(body, meta.labels.clone());
            resources.dataplanes.push((meta, dataplane));
        }
        Kind::MeshGateway => resources.gateways.push(gateway(meta, body)),
        Kind::MeshService => resources.services.push(service(meta, TargetKind::MeshService, body)),
        Kind::MeshExternalService => resources.services.push(service(meta, TargetKind::MeshExternalService, body)),
        Kind::MeshMultiZoneService => resources.services.push(service(meta, TargetKind::MeshMultiZoneService, body)),
        Kind::Mesh | Kind::TrafficLog | Kind::MeshAccessLog => {}
    }
}

fn number(node: Option<&Node>) -> Option<u16> {
    u16::try_from(node?.as_i64()?).ok()
}

fn service(meta: Meta, kind: TargetKind, body: &Node) -> Service {
    let ports = body.get("ports").and_then(Node::items).unwrap_or_default();
    let port = |port: &Node| {
        let value = number(port.get("port"))?;
        let name = port.get("name").and_then(Node::as_str).filter(|name| !name.is_empty());
        Some((name.map_or_else(|| value.to_string(), str::to_owned), value))
    };
    Service { meta, kind, ports: ports.iter().filter_map(port).collect() }
}

fn gateway(meta: Meta, body: &Node) -> Gateway {
    let selectors = body.get("selectors").and_then(Node::items).unwrap_or_default();
    let listeners = body.get("conf").and_then(|conf| conf.get("listeners")).and_then(Node::items).unwrap_or_default();
    Gateway {
        meta,
        selectors: selectors.iter().map(|selector| Selector(tags(selector.get("match")))).collect(),
        tags: tags(body.get("tags")),
        listeners: listeners
            .iter()
            .filter_map(|listener| Some((number(listener.get("port"))?, tags(listener.get("tags")))))
            .collect(),
    }
}

impl Resources {
    /// The Dataplane that Kuma calls `name` in a mesh: on Kubernetes, with its namespace at the end.
    pub(super) fn dataplane(&self, mesh: &str, name: &str) -> Option<&(Meta, Dataplane)> {
        self.dataplanes.iter().find(|(meta, _)| {
            let rest = name.strip_prefix(meta.name.as_str());
            meta.mesh == mesh
                && match rest {
                    Some("") => true,
                    Some(rest) => rest.strip_prefix('.') == Some(meta.namespace.as_str()),
                    None => false,
                }
        })
    }

    /// The service of that name.
    pub(super) fn service(&self, name: &ResourceName) -> Option<&Service> {
        self.services.iter().find(|service| {
            let meta = &service.meta;
            service.kind == name.kind
                && meta.mesh == name.mesh
                && meta.display_name() == name.name
                && meta.namespace_label() == name.namespace
                && meta.zone_label().is_none_or(|zone| zone == name.zone)
        })
    }
}
