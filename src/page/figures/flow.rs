//! The way that transactions take, with rates.

use std::sync::{Arc, Weak};

use serde::Serialize;

use super::{OfPlugin, Rates, Sample};
use crate::admin::destination_of;
use crate::phase::{Generation, Program};

/// The way that transactions take.
#[derive(Serialize)]
pub(in crate::page) struct Flow<'a> {
    inputs: Vec<Input>,
    /// In execution order.
    plugins: Vec<Plugin<'a>>,
    log_phase: LogPhase,
}

#[derive(Serialize)]
struct Input {
    name: &'static str,
    kind: &'static str,
    received_rate: f64,
    rejected_rate: f64,
    lost_rate: f64,
    bytes_rate: f64,
    connections: u64,
}

#[derive(Serialize)]
struct Plugin<'a> {
    #[serde(flatten)]
    face: &'a Face,
    /// `null`: it has no queue of its own.
    rates: Option<&'a OfPlugin<f64>>,
}

/// What does not change of a plugin while its configuration is active.
#[derive(Serialize)]
struct Face {
    id: String,
    name: &'static str,
    instance_name: Option<String>,
    scope: String,
    priority: i32,
    /// Its place in the order of execution, from 0.
    order: usize,
    /// `null`: it emits nothing.
    sink: Option<Sink>,
    /// The id under which its queue is shown: its own, or that of the plugin whose queue it shares. `null`: it emits nothing.
    queue: Option<String>,
}

#[derive(Serialize)]
struct Sink {
    kind: &'static str,
    target: String,
}

#[derive(Serialize)]
struct LogPhase {
    transactions_rate: f64,
    /// Processor time of the whole process, in seconds per second.
    cpu_seconds_rate: f64,
    /// Of the Lua VMs.
    memory_bytes: usize,
}

/// The plugins of the configuration that was active last.
#[derive(Default)]
pub(in crate::page) struct Faces {
    program: Weak<Program>,
    all: Vec<Face>,
}

impl Faces {
    /// Reads the plugins of `generation`, if they are not those that are known.
    fn update(&mut self, generation: &Generation) {
        let program = &generation.program;
        if std::ptr::eq(self.program.as_ptr(), Arc::as_ptr(program)) {
            return;
        }
        self.program = Arc::downgrade(program);
        self.all = (0..program.steps.len()).map(|at| face(generation, at)).collect();
    }
}

fn face(generation: &Generation, at: usize) -> Face {
    let step = &generation.program.steps[at];
    let own = generation.queues.get(at).and_then(Option::as_ref);
    let shared = own.and_then(|own| {
        let is_same = |other: &Option<_>| other.as_ref().is_some_and(|other| Arc::ptr_eq(own, other));
        generation.queues[..at].iter().position(is_same)
    });
    Face {
        id: step.id.clone(),
        name: step.definition.name,
        instance_name: step.instance_name.clone(),
        scope: step.scope.to_string(),
        priority: step.definition.priority,
        order: at,
        sink: own.map(|_| Sink { kind: step.definition.transport, target: destination_of(&step.plugin) }),
        queue: own.map(|_| generation.program.steps[shared.unwrap_or(at)].id.clone()),
    }
}

impl<'a> Flow<'a> {
    /// The way of the transactions that `sample` counts.
    pub(in crate::page) fn of(sample: &Sample, rates: &'a Rates, faces: &'a mut Faces) -> Self {
        match &sample.generation {
            Some(generation) => faces.update(generation),
            None => faces.all.clear(),
        }
        let input = |(name, rates): &(&'static str, super::OfInput<f64>)| {
            let counters = sample.inputs.iter().find(|(known, _)| known == name);
            Input {
                name,
                kind: name,
                received_rate: rates.received,
                rejected_rate: rates.rejected,
                lost_rate: rates.lost,
                bytes_rate: rates.bytes,
                connections: counters.map_or(0, |(_, counters)| counters.open_connections()),
            }
        };
        Self {
            inputs: rates.inputs.iter().map(input).collect(),
            plugins: faces.all.iter().map(|face| Plugin { face, rates: rates.plugins.get(&face.id) }).collect(),
            log_phase: LogPhase {
                transactions_rate: rates.transactions,
                cpu_seconds_rate: rates.cpu,
                memory_bytes: sample.memory,
            },
        }
    }
}
