//! Fields that the settings of several inputs have.

use crate::decode::mapping;
pub(super) use crate::options::record::{ADDRESS, ALLOWED_HOST, TEXT, boolean, list, settings_record, size};
use crate::options::record::{count, duration};
use logphase_config::schema::{Check, Default, Field};

/// Connections at the same time on each address; the documentation of `max_connections` says what happens to more.
pub(super) const MAX_CONNECTIONS: Field = count(1000, &[Check::Between(1.0, 1_000_000.0)]);

/// Time without a byte after which a connection is closed; `default` in seconds.
pub(super) const fn idle_timeout(default: i64) -> Field {
    duration(default, &[Check::GreaterThan(0.0)])
}

/// The name of the mapping that an input reads with.
pub(super) const MAPPING: Field = Field::string("").required().default(Default::String(mapping::KONG));

/// Whether to find the routes of transactions without one; see [`matches_routes`].
pub(super) const MATCH_ROUTES: Field = Field::boolean("");

/// Whether the routes of transactions without one are found: as `match_routes` says; else unless the sender is Kong, which
/// says its routes itself.
pub(super) fn matches_routes(match_routes: Option<bool>, mapping: &str) -> bool {
    match_routes.unwrap_or(mapping != mapping::KONG)
}

/// Whether Kong did not serve the transactions: they are not Kong's log objects, or their routes have to be found, which Kong
/// would have said.
pub fn replays_phases(match_routes: Option<bool>, mapping: &str) -> bool {
    mapping != mapping::KONG || match_routes == Some(true)
}
