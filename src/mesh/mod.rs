//! Resources of Kuma and Kong Mesh that say what is logged of a mesh: `Mesh`, `TrafficLog` and `MeshAccessLog`
//! (<https://kuma.io/docs/latest/policies/meshaccesslog/>), and which of them apply to a connection.
//!
//! [`read`] takes the Universal form, that of Kubernetes, lists of both, and what `kumactl export` writes. It checks what the
//! control plane of Kuma 2.14 checks and says it in the same words (github.com/kumahq/kuma, Apache-2.0), and compiles every
//! format. An [`Engine`] says for an entry of Envoy's access log service which policies apply to it and makes the lines of their
//! backends; queues and sinks are not its business.

mod access_log;
mod address;
mod backend;
mod choose;
mod dataplane;
mod engine;
mod envelope;
mod evaluate;
mod explain;
mod facts;
mod field;
mod json_schema;
mod listener;
mod log_record;
mod mesh_logging;
mod names;
mod order;
mod proxy;
mod resource_name;
mod role;
mod select;
mod streamed;
mod tags;
mod target_ref;
mod template;
mod traffic_log;
mod winner;

pub use access_log::{AccessLogPolicy, Item, Match, Rule, SniMatch, SpiffeMatch};
pub use address::{AddressPattern, AddressPatternError, split_host_port};
pub use backend::{Backend, Destination};
pub use choose::{Applied, AppliedTrafficLog, Part};
pub use dataplane::{Dataplane, GatewayPart, Inbound, Outbound};
pub use engine::{Engine, Options, Output};
pub(crate) use envelope::is_kubernetes;
pub use envelope::{Kind, Meta, is_resource};
pub use evaluate::{Evaluator, Line};
pub use explain::Explanation;
pub use facts::{Gateway, Service};
pub use json_schema::json_schema;
pub use listener::{Listener, To};
pub use log_record::RecordFormat;
pub use mesh_logging::{Mesh, MeshBackend};
pub use names::{NameRule, Names};
pub use proxy::Proxy;
pub use resource_name::ResourceName;
pub use streamed::{StreamedLine, StreamedLineError};
pub use tags::{Rank, Selector, Tags};
pub use target_ref::{TargetKind, TargetRef};
pub use template::Format;
pub use traffic_log::TrafficLog;
pub use winner::{Connection, Won, winner};

use std::collections::HashMap;

use envelope::Object;
use field::Reader;
use logphase_config::diagnostic::{Diagnostic, Origin, codes};
use logphase_config::document::Node;

/// The resources that [`read`] found, each kind in the order of the files.
#[derive(Debug, Default)]
pub struct Resources {
    /// Meshes, with the backends that TrafficLogs name.
    pub meshes: Vec<Mesh>,
    /// TrafficLog policies.
    pub traffic_logs: Vec<TrafficLog>,
    /// MeshAccessLog policies.
    pub access_logs: Vec<AccessLogPolicy>,
    /// Data planes, which say the tags and labels of proxies.
    pub dataplanes: Vec<(Meta, Dataplane)>,
    /// Services with a resource of their own, which say their labels and ports.
    pub services: Vec<Service>,
    /// Built-in gateways.
    pub gateways: Vec<Gateway>,
}

impl Resources {
    /// Whether any of them asks for access logs.
    pub fn ask_for_logs(&self) -> bool {
        !self.traffic_logs.is_empty() || !self.access_logs.is_empty()
    }
}

/// Reads every resource of `roots`; trees that are none are passed over. The resources can be used only if no diagnostic is an
/// error.
pub fn read(roots: &[Node]) -> (Resources, Vec<Diagnostic>) {
    let mut reader = Reader::default();
    let mut objects = Vec::new();
    roots.iter().for_each(|root| envelope::objects(root, &mut reader, &mut objects));
    let mut resources = Resources::default();
    let mut seen: HashMap<(Kind, String, String, String), Origin> = HashMap::new();
    for object in &objects {
        let Some(kind) = object.meta.kind else { continue };
        let meta = &object.meta;
        let key = (kind, meta.mesh.clone(), meta.namespace.clone(), meta.name.clone());
        if let Some(first) = seen.get(&key) {
            reader.push(second(object, kind, first));
            continue;
        }
        seen.insert(key, meta.origin.clone());
        match kind {
            Kind::Mesh => resources.meshes.extend(mesh_logging::read(object, &mut reader)),
            Kind::TrafficLog => resources.traffic_logs.extend(traffic_log::read(object, &mut reader)),
            Kind::MeshAccessLog => resources.access_logs.extend(access_log::read(object, &mut reader)),
            kind => facts::read(object, kind, &mut resources),
        }
    }
    note_unused(&objects, &mut reader);
    traffic_log::check_backends(&resources, &mut reader);
    (resources, reader.into_diagnostics())
}

fn second(object: &Object<'_>, kind: Kind, first: &Origin) -> Diagnostic {
    let message = format!("a second {} `{}` in mesh `{}`", kind.name(), object.meta.name, object.meta.mesh);
    Diagnostic::error(codes::UNIQUE, message)
        .at(object.meta.origin.clone())
        .related(first.clone(), "the first")
        .help("the control plane would keep the later one; leave out one of them")
}

/// One note with all resources that say nothing about access logs.
fn note_unused(objects: &[Object<'_>], reader: &mut Reader) {
    const SHOWN: usize = 10;
    let unused: Vec<_> = objects.iter().filter(|object| object.meta.kind.is_none()).collect();
    let Some(first) = unused.first() else { return };
    let mut names: Vec<_> = unused.iter().take(SHOWN).map(|object| object.label()).collect();
    if unused.len() > SHOWN {
        names.push(format!("{} more", unused.len() - SHOWN));
    }
    let message = format!("not used: {}", names.join(", "));
    reader.push(Diagnostic::note(codes::NOT_USED, message).at(first.meta.origin.clone()));
}

#[cfg(test)]
mod tests;
