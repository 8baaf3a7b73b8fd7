//! Metric families and their samples.

use super::snapshot::Snapshot;
use logphase_queue::metric::{Histogram, Scale};

/// All metrics of one name.
pub struct Family {
    /// The name in the text format.
    pub name: &'static str,
    /// The kind of metric.
    pub kind: MetricKind,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The help text, without a full stop.
    pub about: &'static str,
    /// What an operator looks for, for the documentation.
    pub look_for: &'static str,
    /// Adds the samples.
    pub(super) samples: fn(&Snapshot, &mut Samples),
}

/// The kinds of metrics.
#[expect(missing_docs, reason = "the terms of Prometheus")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    /// The name in the text format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A value with the values of its labels.
pub(super) struct Sample {
    pub labels: Vec<String>,
    pub value: Number,
}

pub(super) enum Number {
    Integer(u64),
    Real(f64),
    Histogram(Box<Histogram>, Scale),
}

/// The samples of a family.
#[derive(Default)]
pub(super) struct Samples(pub Vec<Sample>);

impl Samples {
    pub fn integer<const N: usize>(&mut self, labels: [&str; N], value: u64) {
        self.push(&labels, Number::Integer(value));
    }

    pub fn real<const N: usize>(&mut self, labels: [&str; N], value: f64) {
        self.push(&labels, Number::Real(value));
    }

    pub fn histogram<const N: usize>(&mut self, labels: [&str; N], value: &Histogram, scale: Scale) {
        self.push(&labels, Number::Histogram(Box::new(value.clone()), scale));
    }

    fn push(&mut self, labels: &[&str], value: Number) {
        self.0.push(Sample { labels: labels.iter().map(|label| (*label).to_owned()).collect(), value });
    }
}
