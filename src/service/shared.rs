//! Queues that plugins share: instances of http-log with the same target have one, as in Kong, so that their messages
//! fill the same batches.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::spec;
use crate::delivery::OutputSpec;
use crate::entity::Configuration;
use crate::settings::{PluginFieldError, Settings};

/// What makes two targets of http-log the same: all that a request is made of. Kong looks at the first five alone, and
/// sends everything with what the newest plugin has of the others. Here a message never goes out with the credentials
/// of another plugin, nor with less verification than its own asks for.
const TARGET: &[&str] =
    &["http_endpoint", "method", "content_type", "timeout", "keepalive", "headers", "ssl_verify", "certificate"];

/// The outputs of the `emitting` plugins, by index. Plugins that share a queue have the same one: with the identity of
/// the first, and with everything else of the last, as the newest counts in Kong.
pub(super) fn specs(
    configuration: &Configuration,
    emitting: impl Iterator<Item = usize>,
    settings: &Settings,
) -> Result<BTreeMap<usize, OutputSpec>, PluginFieldError> {
    let mut specs = BTreeMap::new();
    for plugin in emitting {
        specs.insert(plugin, spec(&configuration.plugins[plugin], settings)?);
    }
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (plugin, spec) in &specs {
        if let Some(target) = target(spec) {
            groups.entry(target).or_default().push(*plugin);
        }
    }
    for group in groups.values() {
        let [first, .., last] = group.as_slice() else { continue };
        let shares = group.iter().map(|plugin| specs[plugin].identity.clone()).collect();
        let shared = OutputSpec { identity: specs[first].identity.clone(), shares, ..specs[last].clone() };
        specs.extend(group.iter().map(|plugin| (*plugin, shared.clone())));
    }
    Ok(specs)
}

/// What tells the target of a plugin from others, if plugins of its kind share queues.
fn target(spec: &OutputSpec) -> Option<String> {
    if spec.plugin != "http-log" {
        return None;
    }
    let parts = TARGET.iter().map(|name| match spec.config.get(*name) {
        Some(Value::Object(members)) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            serde_json::to_string(&sorted).unwrap_or_default()
        }
        Some(value) => value.to_string(),
        None => String::new(),
    });
    Some(parts.collect::<Vec<_>>().join("\n"))
}
