//! The list of metrics. The table in docs/metrics.md is generated from it.

mod database;
mod delivery;
mod inputs;
mod process;

use super::family::Family;
use crate::delivery::PluginStats;

/// The labels of a plugin.
const PLUGIN: &[&str] = &["plugin", "id", "instance_name"];
const PLUGIN_REASON: &[&str] = &["plugin", "id", "instance_name", "reason"];
const PLUGIN_FIELD: &[&str] = &["plugin", "id", "instance_name", "field"];
const PLUGIN_FIELD_BUDGET: &[&str] = &["plugin", "id", "instance_name", "field", "budget"];

fn labels(plugin: &PluginStats) -> [&str; 3] {
    [&plugin.kind, &plugin.identity, plugin.instance.as_deref().unwrap_or_default()]
}

/// Every metric, in the order of the response.
pub fn families() -> impl Iterator<Item = &'static Family> {
    [process::PROCESS, inputs::INPUTS, delivery::DELIVERY_FAMILIES, process::SNIPPETS, database::DATABASE]
        .into_iter()
        .flatten()
}
