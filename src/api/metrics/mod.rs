//! `GET /metrics`: the metrics, for Prometheus.

mod encode;
mod families;
mod family;
mod snapshot;

pub use families::families;
pub use family::{Family, MetricKind};

pub(super) use encode::{open_metrics, text};
pub(super) use snapshot::Snapshot;
