//! `GET /metrics`: everything that is counted, for Prometheus.

mod families;

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::ReloadStats;
use super::monitor::Monitor;
use super::probe;
use crate::delivery::PluginStats;
use crate::input::Reason;
use crate::phase::Field;
use logphase_queue::metric::{Histogram, Scale};
use logphase_script::Stop;

pub use families::FAMILIES;

/// Metrics of one name.
pub struct Family {
    /// Its name, as it is written in the text format.
    pub name: &'static str,
    /// What kind of number it is.
    pub sort: Sort,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts, without a full stop.
    pub about: &'static str,
    /// What to look for, for the documentation.
    pub look_for: &'static str,
    /// Its samples.
    samples: fn(&Snapshot, &mut Samples),
}

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Only goes up, until the service is started anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often something took how long, in seconds.
    Histogram,
}

impl Sort {
    /// As in the text format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One number with its labels' values.
struct Sample {
    labels: Vec<String>,
    value: Number,
}

enum Number {
    Count(u64),
    Real(f64),
    Times(Box<Histogram>, Scale),
}

#[derive(Default)]
struct Samples(Vec<Sample>);

impl Samples {
    fn count<const N: usize>(&mut self, labels: [&str; N], value: u64) {
        self.push(&labels, Number::Count(value));
    }

    fn real<const N: usize>(&mut self, labels: [&str; N], value: f64) {
        self.push(&labels, Number::Real(value));
    }

    fn times<const N: usize>(&mut self, labels: [&str; N], value: &Histogram, scale: Scale) {
        self.push(&labels, Number::Times(Box::new(value.clone()), scale));
    }

    fn push(&mut self, labels: &[&str], value: Number) {
        self.0.push(Sample { labels: labels.iter().map(|label| (*label).to_owned()).collect(), value });
    }
}

/// Everything that is counted, at one moment.
pub(super) struct Snapshot {
    started: SystemTime,
    ready: bool,
    inputs: Vec<Input>,
    plugins: Vec<PluginStats>,
    snippets: Vec<Snippet>,
    /// Bytes in use, and the bound.
    memory: (usize, usize),
    disk: (usize, usize),
    syncs: Histogram,
    orphans: usize,
    /// Bytes of each worker's VM.
    vms: Vec<usize>,
    reloads: ReloadStats,
}

struct Input {
    name: &'static str,
    received: u64,
    lost: u64,
    bytes: u64,
    connections: u64,
    rejected: [u64; Reason::ALL.len()],
}

struct Snippet {
    field: Field,
    instance: String,
    errors: u64,
    stops: [u64; Stop::ALL.len()],
    left_out: u64,
    times: Histogram,
}

impl Snapshot {
    pub(super) fn of(monitor: &Monitor) -> Self {
        let inner = &monitor.inner;
        let parts = inner.parts.get();
        let mut snippets = Vec::new();
        if let Some(parts) = parts {
            parts.fields.each(|field, instance, totals| {
                snippets.push(Snippet {
                    field: field.clone(),
                    instance: instance.unwrap_or_default().to_owned(),
                    errors: totals.errors(),
                    stops: Stop::ALL.map(|budget| totals.stops(budget)),
                    left_out: totals.skipped(),
                    times: totals.times(),
                });
            });
        }
        let inputs = inner.inputs.get().into_iter().flatten().map(|(name, counters)| Input {
            name,
            received: counters.received(),
            lost: counters.lost(),
            bytes: counters.bytes(),
            connections: counters.open_connections(),
            rejected: Reason::ALL.map(|reason| counters.rejected(reason)),
        });
        let unbounded = (0, usize::MAX);
        let budgets = parts.map_or((unbounded, unbounded), |parts| {
            let (memory, disk) = parts.delivery.budgets();
            ((memory.used(), memory.max_bytes()), (disk.used(), disk.max_bytes()))
        });
        Self {
            started: inner.started,
            ready: probe::why_not_ready(monitor).is_none(),
            inputs: inputs.collect(),
            plugins: parts.map_or_else(Vec::new, |parts| parts.delivery.plugins()),
            snippets,
            memory: budgets.0,
            disk: budgets.1,
            syncs: parts.map_or_else(Histogram::default, |parts| parts.delivery.syncs()),
            orphans: parts.map_or(0, |parts| parts.delivery.orphaned_queues()),
            vms: parts.map_or_else(Vec::new, |parts| {
                parts.worker_stats.heartbeats.iter().map(|heartbeat| heartbeat.memory()).collect()
            }),
            reloads: inner.reloads.read(),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in FAMILIES {
            let mut samples = Samples::default();
            (family.samples)(self, &mut samples);
            let (name, sort) = match family.sort {
                Sort::Counter => (family.name.trim_end_matches("_total"), MetricType::Counter),
                Sort::Gauge => (family.name, MetricType::Gauge),
                Sort::Histogram => (family.name, MetricType::Histogram),
            };
            let mut metric = encoder.encode_descriptor(name, &format!("{}.", family.about), None, sort)?;
            for sample in samples.0 {
                debug_assert_eq!(sample.labels.len(), family.labels.len(), "{}", family.name);
                let labels: Vec<(&str, String)> = family.labels.iter().copied().zip(sample.labels).collect();
                if labels.is_empty() {
                    write(&mut metric, family.sort, &sample.value)?;
                } else {
                    write(&mut metric.encode_family(&labels)?, family.sort, &sample.value)?;
                }
            }
        }
        Ok(())
    }
}

fn write(metric: &mut MetricEncoder<'_>, sort: Sort, value: &Number) -> fmt::Result {
    match value {
        Number::Count(value) if sort == Sort::Counter => metric.encode_counter::<NoLabelSet, _, f64>(value, None),
        Number::Count(value) => metric.encode_gauge(value),
        Number::Real(value) => metric.encode_gauge(value),
        Number::Times(times, scale) => {
            let buckets = times.buckets(*scale);
            let count = buckets.iter().map(|(_, count)| count).sum();
            metric.encode_histogram::<NoLabelSet>(times.seconds(), count, &buckets, None)
        }
    }
}

/// As OpenMetrics 1.0 has it.
pub(super) fn open_metrics(snapshot: Snapshot) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

/// The same in the older text format, in which the name of a counter ends with `_total` in its description, too.
pub(super) fn text(snapshot: Snapshot) -> String {
    let mut text = String::new();
    let mut held: Option<&str> = None;
    let open = open_metrics(snapshot);
    for line in open.lines().filter(|line| !line.starts_with("# UNIT") && *line != "# EOF") {
        if line.starts_with("# HELP ") {
            held = Some(line);
            continue;
        }
        let is_counter = line.starts_with("# TYPE ") && line.ends_with(" counter");
        for line in held.take().into_iter().chain([line]) {
            match line.splitn(4, ' ').collect::<Vec<_>>().as_slice() {
                ["#", word, name, rest] if is_counter => text.extend(["# ", word, " ", name, "_total ", rest]),
                _ => text.push_str(line),
            }
            text.push('\n');
        }
    }
    text
}
