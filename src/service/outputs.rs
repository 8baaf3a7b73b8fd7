//! The outputs of a configuration: what each logging plugin's sink and queue are opened with, and which plugins share one.
//!
//! Plugins of one kind that agree in certain fields share a queue, as in Kong, so that their messages fill the same
//! batches.

use std::collections::{BTreeMap, HashMap};

use logphase_config::diagnostic::{Diagnostic, codes};
use serde_json::Value;

use crate::delivery::{OpenError, OutputSpec};
use crate::entity::{Configuration, Plugin};
use crate::plugin::{self, Definition, SinkContext};
use crate::settings::{PluginFieldError, Settings};
use crate::sink::{ConfigError, SinkShared};

/// The outputs of the `emitting` plugins, by index. Plugins that share a queue have the same one: with the identity of
/// the first, and with everything else of the last, as the newest counts in Kong.
///
/// # Errors
/// Every field that a sink refuses.
pub(super) fn specs(
    configuration: &Configuration,
    emitting: impl Iterator<Item = usize>,
    settings: &Settings,
) -> Result<BTreeMap<usize, OutputSpec>, Vec<Diagnostic>> {
    let shared = SinkShared::new(None);
    let (mut specs, mut refusals) = (BTreeMap::new(), Vec::new());
    for index in emitting {
        let plugin = &configuration.plugins[index];
        match spec(plugin, settings) {
            Ok(None) => {}
            Ok(Some(spec)) => {
                if let Err(errors) = plugin.definition.validate(&spec.config, &shared) {
                    refusals.extend(errors.iter().map(|error| refusal(plugin, error)));
                }
                specs.insert(index, spec);
            }
            Err(error) => refusals.push(error.diagnostic()),
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    share(configuration, &mut specs);
    Ok(specs)
}

/// What the output of `plugin` is opened with; none if it emits nothing.
fn spec(plugin: &Plugin, settings: &Settings) -> Result<Option<OutputSpec>, PluginFieldError> {
    let Some(opener) = plugin.definition.open else { return Ok(None) };
    let own = settings.for_plugin(plugin)?;
    let context = SinkContext {
        oversize: own.oversize.name(),
        max_batch_size: own.queue.max_batch_size,
        concurrency_limit: own.queue.concurrency_limit,
        old_form: plugin.old_form,
        certificate: plugin.certificate.as_ref().map(|pem| plugin::Certificate { cert: &pem.cert, key: &pem.key }),
    };
    Ok(Some(OutputSpec {
        identity: plugin.id.clone(),
        plugin: plugin.definition.name.to_owned(),
        instance: plugin.instance_name.clone(),
        shares: Vec::new(),
        opener,
        config: plugin.definition.sink_config(&plugin.config, &context),
        queue: own.queue,
    }))
}

/// A field that the sink of `plugin` refuses, as a diagnostic at that field.
fn refusal(plugin: &Plugin, error: &ConfigError) -> Diagnostic {
    let name = plugin.definition.name;
    let path = if error.field.is_empty() { "config".to_owned() } else { format!("config.{}", error.field) };
    let message = format!("`{path}` of plugin `{name}`: {}", error.problem);
    let diagnostic = Diagnostic::error(codes::VALUE, message).at(plugin.origin(&error.field)).path(path);
    match &error.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// Why the output of `plugin` is not opened.
pub(super) fn not_opened(plugin: &Plugin, error: OpenError) -> Vec<Diagnostic> {
    match error {
        OpenError::Config { errors, .. } => errors.iter().map(|error| refusal(plugin, error)).collect(),
        error @ OpenError::Queue { .. } => {
            vec![Diagnostic::error(codes::VALUE, error.to_string()).at(plugin.origin.clone())]
        }
    }
}

/// Gives those of `specs` that share a queue the same output.
fn share(configuration: &Configuration, specs: &mut BTreeMap<usize, OutputSpec>) {
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, spec) in &*specs {
        if let Some(key) = sharing_key(configuration.plugins[*index].definition, &spec.config) {
            groups.entry(key).or_default().push(*index);
        }
    }
    for group in groups.values() {
        let [first, .., last] = group.as_slice() else { continue };
        let shares = group.iter().map(|index| specs[index].identity.clone()).collect();
        let shared = OutputSpec { identity: specs[first].identity.clone(), shares, ..specs[last].clone() };
        specs.extend(group.iter().map(|index| (*index, shared.clone())));
    }
}

/// What plugins must have in common to share a queue with one of this configuration; none if they share none.
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

    /// Scenario: tcp-log and udp-log as before Kong 0.5, and tcp-log of today. Guarantees: the old tcp-log alone is
    /// asked for CR LF; the fields of the log phase are not passed on to any sink.
    #[test]
    fn old_plugins_ask_for_cr_lf() {
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

    /// Scenario: http-log five times with one address, of which one has a header of its own and one a method of its own;
    /// file-log twice with one path.
    /// Guarantees: the three that send the same share a queue, known by the first, with the settings of the last; no
    /// other plugins do.
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
        let specs = specs(&configuration, 0..configuration.plugins.len(), &Settings::default()).unwrap();
        let of = |kind: &str| specs.values().filter(|spec| spec.plugin == kind).cloned().collect::<Vec<_>>();
        let http = of("http-log");
        let shown: Vec<_> = http.iter().map(|spec| (spec.instance.as_deref(), spec.queue.max_batch_size)).collect();
        assert_eq!(shown, [(Some("h4"), 1), (Some("h1"), 1), (Some("h4"), 1), (Some("h3"), 1), (Some("h4"), 1)]);
        let first = configuration.plugins.iter().find(|plugin| plugin.instance_name.as_deref() == Some("h0"));
        assert_eq!(Some(&http[0].identity), first.map(|plugin| &plugin.id));
        assert!(http[0] == http[2] && http[2] == http[4] && http[0] != http[1] && http[0] != http[3]);
        let mut files: Vec<_> = of("file-log").into_iter().map(|spec| spec.identity).collect();
        files.dedup();
        assert_eq!(files.len(), 5);
    }
}
