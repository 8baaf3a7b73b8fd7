//! TrafficLog (<https://docs.konghq.com/mesh/2.4.x/policies/traffic-log/>).

use std::collections::HashMap;

use super::Resources;
use super::envelope::{Meta, Object, UNIVERSAL};
use super::field::Reader;
use super::tags::{Rule, Selector, selectors};
use logphase_config::diagnostic::{Diagnostic, Origin, codes};

/// A policy that sends the access logs of some connections to one backend of their mesh.
#[derive(Debug)]
pub struct TrafficLog {
    /// What it is called.
    pub meta: Meta,
    /// Data planes that it applies to; one of the selectors must match.
    pub sources: Vec<Selector>,
    /// Services that it applies to; one of the selectors must match.
    pub destinations: Vec<Selector>,
    /// The backend of the mesh; empty is the default backend.
    pub backend: String,
    /// Where the name of the backend stands, or the policy if it names none.
    pub(super) backend_origin: Origin,
}

pub(super) fn read(object: &Object<'_>, reader: &mut Reader) -> Option<TrafficLog> {
    let body = &object.body;
    let fields = ["sources", "destinations", "conf"];
    let known: Vec<&str> = fields.iter().chain(UNIVERSAL.iter().filter(|_| object.flat)).copied().collect();
    if body.is_set() {
        body.only(reader, &known);
    }
    let sources = selectors(&body.get("sources"), Rule::Service, reader);
    let destinations = selectors(&body.get("destinations"), Rule::OnlyService, reader);
    let conf = body.get("conf");
    if conf.is_set() {
        conf.only(reader, &["backend"]);
    }
    let backend = conf.get("backend");
    let name = backend.text(reader).unwrap_or_default().to_owned();
    let backend_origin = if backend.is_set() { backend.origin() } else { object.meta.origin.clone() };
    Some(TrafficLog { meta: object.meta.clone(), sources, destinations, backend: name, backend_origin })
}

/// Warns of policies whose backend their mesh does not have: Kuma accepts them, and writes no access log.
pub(super) fn check_backends(resources: &Resources, reader: &mut Reader) {
    let meshes: HashMap<_, _> = resources.meshes.iter().map(|mesh| (mesh.meta.name.as_str(), mesh)).collect();
    for log in &resources.traffic_logs {
        let name = &log.meta.name;
        let problem = match meshes.get(log.meta.mesh.as_str()) {
            None => format!("mesh `{}` of TrafficLog `{name}` is in none of the files", log.meta.mesh),
            Some(mesh) if mesh.backend(&log.backend).is_some() => continue,
            Some(mesh) if log.backend.is_empty() && mesh.default_backend.is_empty() => {
                format!("TrafficLog `{name}` names no backend, and mesh `{}` has no default backend", mesh.meta.name)
            }
            // The default backend is checked with its mesh.
            Some(_) if log.backend.is_empty() => continue,
            Some(mesh) => format!("mesh `{}` has no backend `{}`", mesh.meta.name, log.backend),
        };
        let diagnostic = Diagnostic::warning(codes::REFERENCE, problem).at(log.backend_origin.clone());
        reader.push(diagnostic.help("the connections of this policy have no access log"));
    }
}
