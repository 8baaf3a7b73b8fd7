//! Metrics of a database that several nodes share.

use super::super::super::database::DatabaseStats;
use super::super::family::{Family, MetricKind, Samples};
use super::super::snapshot::Snapshot;

/// A sample, if there is such a database.
fn of_database(snapshot: &Snapshot, out: &mut Samples, value: fn(&DatabaseStats) -> u64) {
    if let Some(database) = &snapshot.database {
        out.integer([], value(database));
    }
}

/// Of the database of `database: postgres`.
pub(super) static DATABASE: &[Family] = &[
    Family {
        name: "logphase_database_reachable",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "With `database: postgres`: 1 if the database can be used, otherwise 0",
        look_for: "0: the node goes on with the configuration that it has, and refuses writes.",
        samples: |snapshot, out| of_database(snapshot, out, |database| database.is_reachable.into()),
    },
    Family {
        name: "logphase_database_failures_total",
        kind: MetricKind::Counter,
        labels: &[],
        about: "With `database: postgres`: failed attempts to reach the database",
        look_for: "An increase: the log has the reason.",
        samples: |snapshot, out| of_database(snapshot, out, |database| database.failures),
    },
    Family {
        name: "logphase_database_revision",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "With `database: postgres`: the newest revision of the configuration that this node has seen",
        look_for: "A node that stays behind the others.",
        samples: |snapshot, out| of_database(snapshot, out, |database| database.revision),
    },
    Family {
        name: "logphase_database_active_revision",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "With `database: postgres`: the revision of the configuration that is active",
        look_for: "Lower than `logphase_database_revision`: this node refuses the newest configuration; see the log.",
        samples: |snapshot, out| of_database(snapshot, out, |database| database.active),
    },
    Family {
        name: "logphase_database_copy_revision",
        kind: MetricKind::Gauge,
        labels: &[],
        about: "With `database: postgres`: the revision of the last good copy, which a start without the database begins with",
        look_for: "Lower than `logphase_database_active_revision` for long: the copy cannot be written; see the log.",
        samples: |snapshot, out| of_database(snapshot, out, |database| database.copied),
    },
];
