//! Queues that plugins share: those of one kind that agree in certain fields have one, as in Kong, so that their messages
//! fill the same batches.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::spec;
use crate::delivery::OutputSpec;
use crate::entity::Configuration;
use crate::plugin::Definition;
use crate::settings::{PluginFieldError, Settings};

/// The outputs of the `emitting` plugins, by index. Plugins that share a queue have the same one: with the identity of
/// the first, and with everything else of the last, as the newest counts in Kong.
pub(super) fn specs(
    configuration: &Configuration,
    emitting: impl Iterator<Item = usize>,
    settings: &Settings,
) -> Result<BTreeMap<usize, OutputSpec>, PluginFieldError> {
    let mut specs = BTreeMap::new();
    for plugin in emitting {
        if let Some(spec) = spec(&configuration.plugins[plugin], settings)? {
            specs.insert(plugin, spec);
        }
    }
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (plugin, spec) in &specs {
        if let Some(key) = sharing_key(configuration.plugins[*plugin].definition, &spec.config) {
            groups.entry(key).or_default().push(*plugin);
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
