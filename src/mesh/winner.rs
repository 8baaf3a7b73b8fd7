//! Which TrafficLog applies to a connection
//! (<https://kuma.io/docs/2.9.x/policies/how-kuma-chooses-the-right-policy-to-apply/>).

use std::cmp::Reverse;

use super::tags::{Rank, Selector, Tags};
use super::traffic_log::TrafficLog;

/// A connection from a data plane to a service.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    /// The mesh of the data plane.
    pub mesh: &'a str,
    /// The tags of the data plane: those of each inbound, and of its gateway if it has one. A source selector matches if it
    /// matches one of them.
    pub source: &'a [Tags],
    /// The service that it connects to; `pass_through` if the connection leaves the mesh.
    pub destination: &'a str,
}

/// The policy that applies, and how specific it is.
#[derive(Debug, Clone, Copy)]
pub struct Won<'a> {
    /// The policy.
    pub policy: &'a TrafficLog,
    /// The sum of the ranks of its most specific source and destination that match.
    pub rank: Rank,
}

/// The TrafficLog of `policies` that applies to `connection`: that of the highest rank; of those, that which was created
/// last; and of those, that whose name is the first in the order of bytes. One without a time of creation counts as the oldest.
pub fn winner<'a>(policies: &'a [TrafficLog], connection: Connection<'_>) -> Option<Won<'a>> {
    let matching = policies.iter().filter_map(|policy| {
        let rank = rank(policy, connection)?;
        Some(Won { policy, rank })
    });
    matching.min_by_key(|won| (Reverse(won.rank), Reverse(won.policy.meta.created), won.policy.meta.name.as_str()))
}

/// The rank of `policy` for `connection`, if it matches.
pub(super) fn rank(policy: &TrafficLog, connection: Connection<'_>) -> Option<Rank> {
    if policy.meta.mesh != connection.mesh {
        return None;
    }
    let source = best(&policy.sources, |selector| connection.source.iter().any(|tags| selector.matches(tags)))?;
    let destination = best(&policy.destinations, |selector| selector.matches_service(connection.destination))?;
    Some(source + destination)
}

fn best(selectors: &[Selector], matches: impl Fn(&Selector) -> bool) -> Option<Rank> {
    selectors.iter().filter(|selector| matches(selector)).map(Selector::rank).max()
}
