//! The outputs of a configuration: the specification of the sink and the queue of each logging plugin, and which plugins
//! share one.
//!
//! As in Kong, plugins of one kind share a queue if certain fields are equal, so that their messages fill the same batches.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, Origin, codes};
use serde_json::{Value, json};

use super::source::process_environment;
use crate::delivery::{CollectorRules, OpenError, Output, OutputSpec};
use crate::entity::{ByPlugin, Configuration, Plugin, same_all};
use crate::input::LineAddresses;
use crate::mesh::{self, Destination, Engine, split_host_port};
use crate::plugin::{self, Definition, SinkContext};
use crate::settings::{Durability, PluginFieldError, Settings};
use crate::sink::{self, ConfigError, Opener, SinkShared};

/// The outputs of plugins.
#[derive(Debug, Default, Clone)]
pub(super) struct Outputs {
    /// The plugins that emit something.
    plugins: Arc<Vec<Arc<Plugin>>>,
    /// What each plugin delivers to.
    by_plugin: Arc<ByPlugin<Arc<OutputSpec>>>,
    /// What each would deliver to if it shared nothing.
    own: Arc<ByPlugin<Own>>,
    /// The common outputs of plugins that share one, by what they share it by.
    shared: Arc<HashMap<String, Shared>>,
}

/// The output of a plugin that shares none.
#[derive(Debug, Clone)]
struct Own {
    spec: Arc<OutputSpec>,
    /// Plugins with the same one share a queue.
    sharing_key: Option<String>,
}

/// The output of several plugins.
#[derive(Debug, Clone)]
struct Shared {
    /// Those of the plugins alone.
    of: Vec<Arc<OutputSpec>>,
    spec: Arc<OutputSpec>,
}

impl Outputs {
    /// What `plugin` delivers to; `None` if it emits nothing.
    pub(super) fn of(&self, plugin: &Arc<Plugin>) -> Option<&Arc<OutputSpec>> {
        self.by_plugin.get(plugin)
    }

    /// The outputs of the plugins of `configuration` that emit something. Plugins that share a queue have the same output: it
    /// has the identity of the first plugin, and the other parameters of the last one, which have priority in Kong. `last` are
    /// those of another configuration, with the same settings.
    ///
    /// # Errors
    /// Every field that a sink refuses.
    pub(super) fn new(
        configuration: &Configuration,
        settings: &Settings,
        last: Option<&Self>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let none = Self::default();
        let last = last.unwrap_or(&none);
        let (mut own, mut refusals) = (ByPlugin::default(), Vec::new());
        let emitting = configuration.plugins.iter().filter(|plugin| plugin.enabled && plugin.definition.emits);
        let plugins: Vec<Arc<Plugin>> = emitting.cloned().collect();
        if same_all(&plugins, &last.plugins) {
            return Ok(last.clone());
        }
        for plugin in &plugins {
            if let Some(known) = last.own.get(plugin) {
                own.insert(plugin, known.clone());
                continue;
            }
            match Own::new(plugin, settings) {
                Ok(None) => {}
                Ok(Some(output)) => own.insert(plugin, output),
                Err(more) => refusals.extend(more),
            }
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let shared = share(plugins.iter().filter_map(|plugin| own.get(plugin)), &last.shared);
        let mut by_plugin = ByPlugin::default();
        for plugin in &plugins {
            let Some(Own { spec, sharing_key }) = own.get(plugin) else { continue };
            let common = sharing_key.as_ref().and_then(|key| shared.get(key));
            by_plugin.insert(plugin, common.map_or(spec, |common| &common.spec).clone());
        }
        Ok(Self { plugins: plugins.into(), by_plugin: by_plugin.into(), own: own.into(), shared: shared.into() })
    }
}

impl Own {
    fn new(plugin: &Plugin, settings: &Settings) -> Result<Option<Self>, Vec<Diagnostic>> {
        let spec = spec(plugin, settings).map_err(|error| vec![error.diagnostic()])?;
        let Some(spec) = spec else { return Ok(None) };
        if let Err(errors) = plugin.definition.validate(&spec.config, &SinkShared::new(None)) {
            return Err(errors.iter().map(|error| refusal(plugin, error)).collect());
        }
        let sharing_key = sharing_key(plugin.definition, &spec.config);
        Ok(Some(Self { spec: Arc::new(spec), sharing_key }))
    }
}

/// The specification of the output of `plugin`; `None` if it emits nothing.
pub(super) fn spec(plugin: &Plugin, settings: &Settings) -> Result<Option<OutputSpec>, PluginFieldError> {
    let Some(opener) = plugin.definition.open else { return Ok(None) };
    let plugin_settings = settings.for_plugin(plugin)?;
    let context = SinkContext {
        oversize: plugin_settings.oversize.name(),
        max_batch_size: plugin_settings.queue.max_batch_size,
        concurrency_limit: plugin_settings.queue.concurrency_limit,
        old_form: plugin.old_form,
        environment: process_environment,
        certificate: plugin.certificate.as_ref().map(|pem| plugin::Certificate { cert: &pem.cert, key: &pem.key }),
    };
    Ok(Some(OutputSpec {
        identity: plugin.id.clone(),
        plugin: plugin.definition.name.to_owned(),
        instance: plugin.instance_name.clone(),
        shares: Arc::default(),
        opener,
        config: plugin.definition.sink_config(&plugin.config, &context),
        queue: plugin_settings.queue,
    }))
}

/// The outputs of the access logs of meshes, in the order of [`Engine::outputs`]. Each destination has one, whichever policies
/// name it: another policy or format changes nothing about what waits for it.
///
/// # Errors
/// Every destination that cannot be used.
pub(super) fn of_mesh(engine: &Engine, settings: &Settings) -> Result<Vec<Arc<OutputSpec>>, Vec<Diagnostic>> {
    let shared = SinkShared::new(None);
    let (mut specs, mut refusals) = (Vec::new(), Vec::new());
    for output in engine.outputs() {
        match mesh_spec(&output.destination, settings) {
            Ok(spec) => {
                let refused = spec.opener.open(&spec.config, &shared).err().unwrap_or_default();
                refusals.extend(refused.iter().map(|error| mesh_refusal(output, &error.problem)));
                specs.push(Arc::new(spec));
            }
            Err(problem) => refusals.push(mesh_refusal(output, &problem)),
        }
    }
    if refusals.is_empty() { Ok(specs) } else { Err(refusals) }
}

/// What a configuration says of the collectors that lines name: those of `named` are allowed, and those that `addresses` mean.
pub(super) fn collector_rules(
    settings: &Settings,
    addresses: &LineAddresses,
    named: &[(String, Arc<Output>)],
) -> CollectorRules {
    let named: HashSet<String> = named.iter().map(|(address, _)| address.clone()).collect();
    let (settings, allowed) = (settings.clone(), addresses.allowed.clone());
    CollectorRules {
        is_allowed: Box::new(move |address| {
            named.contains(address) || allowed.iter().any(|pattern| pattern.matches(address))
        }),
        spec: Box::new(move |address| mesh_spec(&Destination::Tcp { address: address.to_owned() }, &settings)),
    }
}

/// The TCP collectors that the outputs of a configuration lead to, by address.
pub(super) fn tcp_collectors(outputs: &[Arc<Output>]) -> Vec<(String, Arc<Output>)> {
    let address = |output: &Arc<Output>| {
        let spec = output.spec();
        let destination = Destination::Tcp { address: spec.instance.clone()? };
        (spec.plugin == destination.output_name()).then(|| (destination.instance().to_owned(), output.clone()))
    };
    outputs.iter().filter_map(address).collect()
}

/// Log records of a request to a collector; as many as opentelemetry's in Kong.
const RECORDS_OF_A_REQUEST: usize = 200;

fn mesh_spec(destination: &Destination, settings: &Settings) -> Result<OutputSpec, String> {
    let (opener, config, durability) = match destination {
        Destination::File { path } => (Opener(sink::file::open), json!({"path": path}), Durability::Memory),
        // As tcp-log: the destination confirms what it has.
        Destination::Tcp { address } => {
            let (host, port) = split_host_port(address).ok_or("expected HOST:PORT")?;
            let port: u16 = port.parse().map_err(|_| format!("`{port}` is not the number of a port"))?;
            (Opener(sink::tcp::open), json!({"host": host, "port": port}), Durability::Disk)
        }
        Destination::OpenTelemetry { endpoint, .. } => {
            let config = json!({"endpoint": collector(endpoint)});
            (Opener(sink::otlp::open_entries), config, Durability::Disk)
        }
    };
    let (name, instance) = (destination.output_name(), destination.instance());
    let max_batch_size = matches!(destination, Destination::OpenTelemetry { .. }).then_some(RECORDS_OF_A_REQUEST);
    Ok(OutputSpec {
        identity: destination.identity(),
        plugin: name.to_owned(),
        instance: Some(instance.to_owned()),
        shares: Arc::default(),
        opener,
        config,
        queue: settings.queue_of_output(name, instance, durability, max_batch_size),
    })
}

/// The URL of a collector, without a port that of OTLP over gRPC (pkg/plugins/policies/core/xds of Kuma).
fn collector(endpoint: &str) -> String {
    const PORT: u16 = 4317;
    let bare = endpoint.matches(':').count() > 1 && !endpoint.contains('[');
    let has_port = !bare && endpoint.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (bare, has_port) {
        (true, _) => format!("http://[{endpoint}]:{PORT}"),
        (_, true) => format!("http://{endpoint}"),
        _ => format!("http://{endpoint}:{PORT}"),
    }
}

fn mesh_refusal(output: &mesh::Output, problem: &str) -> Diagnostic {
    let message = format!("lines cannot go to {}: {problem}", output.destination);
    Diagnostic::error(codes::VALUE, message).at(output.origin.clone())
}

/// Who an output is of.
pub(super) enum Owner<'a> {
    /// A plugin.
    Plugin(&'a Plugin),
    /// The access logs of meshes.
    Mesh(&'a mesh::Output),
}

impl Owner<'_> {
    /// The diagnostics for its output, which cannot be opened.
    pub(super) fn not_opened(&self, error: &OpenError) -> Vec<Diagnostic> {
        let at = |origin: &Origin| vec![Diagnostic::error(codes::VALUE, error.to_string()).at(origin.clone())];
        match (self, error) {
            (Self::Plugin(plugin), OpenError::Config { errors, .. }) => {
                errors.iter().map(|error| refusal(plugin, error)).collect()
            }
            (Self::Plugin(plugin), OpenError::Queue { .. }) => at(&plugin.origin),
            (Self::Mesh(output), _) => at(&output.origin),
        }
    }
}

/// The diagnostic for a field that the sink of `plugin` refuses.
pub(super) fn refusal(plugin: &Plugin, error: &ConfigError) -> Diagnostic {
    let name = plugin.definition.name;
    let path = if error.field.is_empty() { "config".to_owned() } else { format!("config.{}", error.field) };
    if let Some(reference) = secret_of(plugin, &error.field) {
        // The problem may quote the secret.
        let message = format!("`{path}` of plugin `{name}`: what {reference} refers to cannot be used");
        return Diagnostic::error(codes::VAULT, message).at(plugin.origin(&error.field)).path(path);
    }
    let message = format!("`{path}` of plugin `{name}`: {}", error.problem);
    let diagnostic = Diagnostic::error(codes::VALUE, message).at(plugin.origin(&error.field)).path(path);
    match &error.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// The vault reference that the value at `field` of `plugin`, or a part of it, comes from. Any may be part of the whole.
fn secret_of<'a>(plugin: &'a Plugin, field: &str) -> Option<&'a str> {
    let within = |inner: &str, outer: &str| {
        outer.is_empty()
            || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let found = plugin.references.iter().find(|(path, _)| within(path, field) || within(field, path));
    found.map(|(_, reference)| &**reference)
}

/// The common outputs of those of `all`, in order, that share one. `last` are those of another configuration.
fn share<'a>(all: impl Iterator<Item = &'a Own>, last: &HashMap<String, Shared>) -> HashMap<String, Shared> {
    let mut groups: HashMap<&String, Vec<&Arc<OutputSpec>>> = HashMap::new();
    for Own { spec, sharing_key } in all {
        if let Some(key) = sharing_key {
            groups.entry(key).or_default().push(spec);
        }
    }
    let common = |(key, group): (&String, Vec<&Arc<OutputSpec>>)| {
        let [first, .., newest] = group.as_slice() else { return None };
        let same = |known: &&Shared| {
            known.of.len() == group.len() && known.of.iter().zip(&group).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        if let Some(known) = last.get(key).filter(same) {
            return Some((key.clone(), known.clone()));
        }
        let shares = Arc::new(group.iter().map(|spec| spec.identity.clone()).collect());
        let spec = OutputSpec { identity: first.identity.clone(), shares, ..(***newest).clone() };
        Some((key.clone(), Shared { of: group.into_iter().cloned().collect(), spec: spec.into() }))
    };
    groups.into_iter().filter_map(common).collect()
}

/// The key of plugins that share a queue; `None` if plugins of this kind share none.
fn sharing_key(definition: &Definition, config: &Value) -> Option<String> {
    if definition.shares_queue_by.is_empty() {
        return None;
    }
    let parts = definition.shares_queue_by.iter().map(|name| match config.get(*name) {
        Some(Value::Object(members)) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            serde_json::to_string(&sorted).unwrap_or_default()
        }
        Some(value) => value.to_string(),
        None => String::new(),
    });
    Some(std::iter::once(definition.name.to_owned()).chain(parts).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declarative::{ReadOptions, read};
    use logphase_config::diagnostic::SourceFile;

    /// Scenario: tcp-log and udp-log in the form of Kong before 0.5, and tcp-log in the current form.
    /// Guarantees: only the old tcp-log sends CR LF; no sink gets the fields of the log phase.
    #[test]
    fn old_plugins_send_cr_lf() {
        let text = "_format_version: '1.1'\nplugins:\n- {name: tcplog, value: {host: h, port: 7}}\n\
                    - {name: udplog, value: {host: h, port: 7}}\nservices:\n- name: s\n  url: http://s\n  plugins:\n  \
                    - {name: tcp-log, config: {host: h, port: 7, custom_fields_by_lua: {a: return 1}}}\n";
        let files = [SourceFile::new("kong.yaml", text)];
        let (configuration, _) = read(&files, ReadOptions { select_tags: &[], env: &|_| None });
        let specs: Vec<_> =
            configuration.plugins.iter().filter_map(|plugin| spec(plugin, &Settings::default()).unwrap()).collect();
        let asks: Vec<bool> = specs.iter().map(|spec| spec.config.get("crlf") == Some(&Value::Bool(true))).collect();
        assert_eq!(asks, [true, false, false]);
        assert!(specs.iter().all(|spec| spec.config.get("custom_fields_by_lua").is_none()));
    }

    /// Scenario: http-log five times with the same address, once with another header and once with another method; file-log
    /// five times with the same path.
    /// Guarantees: the three equal ones share a queue, with the identity of the first and the settings of the last; no
    /// other plugins share one.
    #[test]
    fn plugins_with_the_same_target_share_a_queue() {
        let text = "_format_version: '3.0'\nservices:\n".to_owned()
            + &(["queue: {max_batch_size: 5}", "headers: {X-Key: a}", "queue: {max_batch_size: 7}", "method: PUT", ""])
                .iter()
                .enumerate()
                .map(|(at, more)| {
                    format!(
                        "- name: s{at}\n  url: http://s\n  plugins:\n  - {{name: http-log, instance_name: h{at}, config: \
                         {{http_endpoint: 'http://h', {more}}}}}\n  - {{name: file-log, config: {{path: /tmp/x}}}}\n"
                    )
                })
                .collect::<String>();
        let files = [SourceFile::new("kong.yaml", &text)];
        let (configuration, diagnostics) = read(&files, ReadOptions { select_tags: &[], env: &|_| None });
        assert_eq!(diagnostics, []);
        let outputs = Outputs::new(&configuration, &Settings::default(), None).unwrap();
        let specs: Vec<_> = configuration.plugins.iter().filter_map(|plugin| outputs.of(plugin)).collect();
        let of = |kind: &str| specs.iter().filter(|spec| spec.plugin == kind).copied().collect::<Vec<_>>();
        let http = of("http-log");
        let shown: Vec<_> = http.iter().map(|spec| (spec.instance.as_deref(), spec.queue.max_batch_size)).collect();
        assert_eq!(shown, [(Some("h4"), 1), (Some("h1"), 1), (Some("h4"), 1), (Some("h3"), 1), (Some("h4"), 1)]);
        let first = configuration.plugins.iter().find(|plugin| plugin.instance_name.as_deref() == Some("h0"));
        assert_eq!(Some(&http[0].identity), first.map(|plugin| &plugin.id));
        assert!(http[0] == http[2] && http[2] == http[4] && http[0] != http[1] && http[0] != http[3]);
        let mut files: Vec<_> = of("file-log").into_iter().map(|spec| &spec.identity).collect();
        files.dedup();
        assert_eq!(files.len(), 5);
    }
}
