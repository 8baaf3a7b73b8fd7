//! The text formats of metrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::families::families;
use super::family::{MetricKind, Number, Samples};
use super::snapshot::Snapshot;

/// The collector of the registry, with the samples of a snapshot.
struct Collected(Snapshot);

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collected").finish_non_exhaustive()
    }
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in families() {
            let mut samples = Samples::default();
            (family.samples)(&self.0, &mut samples);
            let (name, kind) = match family.kind {
                MetricKind::Counter => (family.name.trim_end_matches("_total"), MetricType::Counter),
                MetricKind::Gauge => (family.name, MetricType::Gauge),
                MetricKind::Histogram => (family.name, MetricType::Histogram),
            };
            let mut metric = encoder.encode_descriptor(name, &format!("{}.", family.about), None, kind)?;
            for sample in samples.0 {
                debug_assert_eq!(sample.labels.len(), family.labels.len(), "{}", family.name);
                let labels: Vec<(&str, String)> = family.labels.iter().copied().zip(sample.labels).collect();
                if labels.is_empty() {
                    write(&mut metric, family.kind, &sample.value)?;
                } else {
                    write(&mut metric.encode_family(&labels)?, family.kind, &sample.value)?;
                }
            }
        }
        Ok(())
    }
}

fn write(metric: &mut MetricEncoder<'_>, kind: MetricKind, value: &Number) -> fmt::Result {
    match value {
        Number::Integer(value) if kind == MetricKind::Counter => {
            metric.encode_counter::<NoLabelSet, _, f64>(value, None)
        }
        Number::Integer(value) => metric.encode_gauge(value),
        Number::Real(value) => metric.encode_gauge(value),
        Number::Histogram(times, scale) => {
            let buckets = times.buckets(*scale);
            let count = buckets.iter().map(|(_, count)| count).sum();
            metric.encode_histogram::<NoLabelSet>(times.seconds(), count, &buckets, None)
        }
    }
}

/// The metrics in the format of OpenMetrics 1.0.
pub(in super::super) fn open_metrics(snapshot: Snapshot) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(snapshot)));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

/// The metrics in the Prometheus text format 0.0.4. There the name of a counter ends with `_total` in HELP and TYPE, too.
pub(in super::super) fn text(snapshot: Snapshot) -> String {
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
