//! Fields that the settings of several inputs have.

pub(super) use crate::options::record::{ADDRESS, ALLOWED_HOST, TEXT, boolean, list, settings_record, size};
use crate::options::record::{count, duration};
use logphase_config::schema::{Check, Field};

/// Connections at the same time on each address; the documentation of `max_connections` says what happens to more.
pub(super) const MAX_CONNECTIONS: Field = count(1000, &[Check::Between(1.0, 1_000_000.0)]);

/// Time without a byte after which a connection is closed; `default` in seconds.
pub(super) const fn idle_timeout(default: i64) -> Field {
    duration(default, &[Check::GreaterThan(0.0)])
}

/// Whether to find the routes of transactions without one; off for what Kong sends, which says its routes.
pub(super) const MATCH_ROUTES: Field = boolean(false);
