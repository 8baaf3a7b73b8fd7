//! The inputs, and the queues and destinations of plugins.

use serde_json::{Value, json};

use super::Shown;
use crate::admin::{destination, destination_of};
use crate::delivery::OutputSpec;
use crate::input::INPUTS;
use crate::phase::Step;
use crate::service::Prepared;
use crate::settings::{QueueOptions, Settings};

/// An input that is on.
pub(super) struct Input {
    pub(super) name: &'static str,
    /// Addresses, files, or topics.
    pub(super) from: Vec<String>,
}

impl Input {
    pub(super) fn json(&self) -> Value {
        json!({"name": self.name, "from": self.from})
    }
}

/// The inputs that `settings` turn on.
pub(super) fn inputs(settings: &Settings) -> Vec<Input> {
    let on = INPUTS.iter().filter(|input| input.is_on(settings));
    on.map(|input| Input { name: input.name, from: places(settings.inputs.get(input.name)) }).collect()
}

/// Where an input with these settings takes transactions from.
fn places(settings: Option<&Value>) -> Vec<String> {
    let list = |name: &str| settings.and_then(|settings| settings.get(name)?.as_array()).into_iter().flatten();
    let texts = ["listen", "paths", "topics"].into_iter().flat_map(list);
    texts.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A queue and the destination behind it.
#[derive(Clone)]
pub(super) struct Output {
    /// What tells it from others: plugins that share a queue have the same.
    pub(super) id: String,
    plugin: String,
    instance: Option<String>,
    /// Where it delivers to, without secrets; empty if the plugin alone says it.
    pub(super) destination: String,
    queue: QueueOptions,
}

impl Output {
    /// The output of `step`; none if it emits nothing.
    pub(super) fn of(prepared: &Prepared, step: &Step) -> Option<Self> {
        let spec = prepared.output(step)?;
        Some(Self::new(spec, destination_of(&step.plugin)))
    }

    /// An output of access logs of meshes.
    pub(super) fn of_mesh(spec: &OutputSpec) -> Self {
        Self::new(spec, destination(&spec.config))
    }

    fn new(spec: &OutputSpec, destination: String) -> Self {
        Self {
            id: spec.identity.clone(),
            plugin: spec.plugin.clone(),
            instance: spec.instance.clone(),
            destination,
            queue: spec.queue.clone(),
        }
    }

    /// Its plugin, with the destination.
    pub(super) fn title(&self) -> String {
        if self.destination.is_empty() { self.plugin.clone() } else { self.destination.clone() }
    }

    /// Where its entries wait.
    pub(super) fn storage(&self) -> &'static str {
        match () {
            () if self.queue.is_on_disk() => "disk",
            () if self.queue.spills() => "memory, backlog on disk",
            () => "memory",
        }
    }

    pub(super) fn json(&self) -> Value {
        let QueueOptions { overflow, required, max_entries, max_bytes, max_disk_bytes, max_batch_size, .. } =
            self.queue;
        let seconds = self.queue.max_retry_time.map(|time| time.as_secs_f64());
        json!({
            "id": self.id, "plugin": self.plugin, "instance_name": self.instance, "destination": self.destination,
            "queue": {
                "storage": self.storage(), "overflow": overflow.name(), "required": required, "max_entries": max_entries,
                "max_bytes": max_bytes, "max_disk_bytes": max_disk_bytes, "max_batch_size": max_batch_size,
                "max_retry_time": seconds,
            },
        })
    }
}

/// Each output once.
pub(super) fn distinct(shown: &Shown) -> Vec<&Output> {
    let mut all: Vec<&Output> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for output in shown.outputs.iter().flatten().chain(&shown.mesh_outputs) {
        if known.insert(&output.id) {
            all.push(output);
        }
    }
    all
}
