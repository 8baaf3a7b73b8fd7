//! All that a configuration says about the access logs of meshes, ready to be applied to entries.

use std::collections::HashSet;
use std::sync::Arc;

use logphase_protocol::format::defaults;

use super::Resources;
use super::backend::{Backend, Destination};
use super::envelope::Meta;
use super::mesh_logging::MeshBackend;
use super::names::Names;
use super::order::Order;
use super::template::Format;
use logphase_config::diagnostic::{Diagnostic, Origin, codes};

/// What settings say about access logs of meshes.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the names of a mesh are, for Envoys that are not Kuma's.
    pub names: Names,
    /// Whether values are escaped in a text that is valid JSON, so that a line is, too. Kong Mesh does not do so.
    pub escape_json: bool,
    /// Whether the default format of TrafficLogs for HTTP has the headers of traces, as the code of Kong Mesh has it, and not
    /// its documentation.
    pub trace_headers: bool,
}

/// Applies the policies of a configuration to entries of Envoy's access log service. All workers share it; each has an
/// [`super::Evaluator`].
#[derive(Debug)]
pub struct Engine {
    pub(super) resources: Arc<Resources>,
    pub(super) order: Order,
    pub(super) options: Options,
    /// What lines go to: each destination once, however many policies name it.
    outputs: Vec<Output>,
    /// The formats of backends without one.
    pub(super) standard: Standard,
}

/// What lines go to.
#[derive(Debug, Clone)]
pub struct Output {
    /// The destination.
    pub destination: Destination,
    /// Where the first backend stands that names it.
    pub origin: Origin,
}

/// The formats that Kuma and Kong Mesh use where a backend has none.
#[derive(Debug)]
pub(super) struct Standard {
    pub(super) traffic_log_http: Arc<Format>,
    pub(super) access_log_http: Arc<Format>,
    pub(super) tcp: Arc<Format>,
}

impl Engine {
    /// An engine for `resources`, which have no mistakes.
    ///
    /// # Errors
    /// Every backend that is not supported.
    pub fn new(resources: Arc<Resources>, options: Options) -> Result<Self, Vec<Diagnostic>> {
        let (mut outputs, mut refusals) = (Vec::new(), Vec::new());
        for (meta, backend) in backends(&resources) {
            match backend.destination {
                Destination::OpenTelemetry { ref endpoint, .. } if endpoint.is_empty() => {
                    refusals.push(no_endpoint(meta, backend));
                }
                _ => add(&mut outputs, &backend.destination, &backend.origin),
            }
        }
        for backend in resources.mesh_backends() {
            add(&mut outputs, &backend.destination, &backend.origin);
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let page = if options.trace_headers { defaults::MESH_HTTP } else { defaults::MESH_HTTP_PAGE };
        let standard = Standard {
            traffic_log_http: Arc::new(Format::standard(page)),
            access_log_http: Arc::new(Format::standard(defaults::MESH_HTTP)),
            tcp: Arc::new(Format::standard(defaults::MESH_TCP)),
        };
        let order = Order::new(&resources);
        Ok(Self { resources, order, options, outputs, standard })
    }

    /// What lines go to; [`super::Line::output`] is an index of it.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The index of a destination.
    pub(super) fn output(&self, destination: &Destination) -> Option<usize> {
        self.outputs.iter().position(|known| known.destination == *destination)
    }
}

fn add(outputs: &mut Vec<Output>, destination: &Destination, origin: &Origin) {
    if !outputs.iter().any(|known| known.destination == *destination) {
        outputs.push(Output { destination: destination.clone(), origin: origin.clone() });
    }
}

impl Resources {
    /// The backends of meshes that have TrafficLogs.
    fn mesh_backends(&self) -> impl Iterator<Item = &MeshBackend> {
        let logged: HashSet<&str> = self.traffic_logs.iter().map(|log| log.meta.mesh.as_str()).collect();
        let meshes = self.meshes.iter().filter(move |mesh| logged.contains(mesh.meta.name.as_str()));
        meshes.flat_map(|mesh| &mesh.backends)
    }

    /// The names under which settings find the outputs: that of each kind, and the path or address of each.
    pub fn output_names(&self) -> impl Iterator<Item = &str> {
        let policies = backends(self).map(|(_, backend)| &backend.destination);
        let all = policies.chain(self.mesh_backends().map(|backend| &backend.destination));
        all.flat_map(|destination| [destination.output_name(), destination.instance()])
    }

    /// The files that lines go to, each with the place that names it.
    pub fn files(&self) -> impl Iterator<Item = (&Origin, &str)> {
        let policies = backends(self).map(|(_, backend)| (&backend.origin, &backend.destination));
        let all = policies.chain(self.mesh_backends().map(|backend| (&backend.origin, &backend.destination)));
        all.filter_map(|(origin, destination)| match destination {
            Destination::File { path } => Some((origin, path.as_str())),
            _ => None,
        })
    }
}

/// The backends of MeshAccessLogs, each with its policy.
fn backends(resources: &Resources) -> impl Iterator<Item = (&Meta, &Backend)> {
    resources.access_logs.iter().flat_map(|policy| {
        let items = policy.to.iter().chain(&policy.from).flat_map(|item| &item.backends);
        items.chain(policy.rules.iter().flat_map(|rule| &rule.backends)).map(|backend| (&policy.meta, backend))
    })
}

fn no_endpoint(meta: &Meta, backend: &Backend) -> Diagnostic {
    let message = format!("the OpenTelemetry backend of MeshAccessLog `{}` has no `endpoint`", meta.name);
    Diagnostic::error(codes::NOT_RUN, message).at(backend.origin.clone()).help(
        "a MeshOpenTelemetryBackend, which `backendRef` refers to, is not read here; give the address in `endpoint`",
    )
}
