//! The order of routes (kong/router/transform.lua).

use super::settings::Calculation;
use crate::entity::{DomainPattern, Endpoint, Route};

/// What the priority of an HTTP route depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    /// How many of the fields that a request can match are set.
    fields: i64,
    /// Hosts are set, and none has a wildcard.
    plain_hosts: bool,
    /// The number of headers.
    headers: i64,
    /// The paths are regular expressions.
    regex: bool,
    regex_priority: i64,
    /// Bytes of the longest path that is not one.
    length: u64,
}

const PLAIN_HOSTS: u64 = 1 << 60;
const REGEX: u64 = 1 << 51;
const MAX_HEADERS: usize = 255;
const MAX_LENGTH: u64 = (1 << 19) - 1;

impl Weight {
    /// The weight of `route` with the group of its paths that are regular expressions (`regex`), or that have `length`
    /// bytes.
    pub(super) fn new(route: &Route, regex: bool, length: usize) -> Self {
        let set = [
            route.sources.is_empty(),
            route.destinations.is_empty(),
            route.methods.is_empty(),
            route.hosts.is_empty(),
            route.headers.is_empty(),
            route.snis.is_empty(),
            route.paths.is_empty(),
        ];
        let plain = route.hosts.iter().all(|host| matches!(host.name, DomainPattern::Exact(_)));
        Self {
            fields: set.iter().map(|empty| i64::from(!empty)).sum(),
            plain_hosts: !route.hosts.is_empty() && plain,
            headers: route.headers.len().min(MAX_HEADERS) as i64,
            regex,
            regex_priority: if regex { route.regex_priority } else { 0 },
            length: length as u64 & MAX_LENGTH,
        }
    }

    /// The priority; higher ones come first.
    pub(super) fn priority(self, calculation: Calculation) -> u64 {
        let wide = if self.plain_hosts { PLAIN_HOSTS } else { 0 } | if self.regex { REGEX } else { 0 };
        match calculation {
            Calculation::Original => wide_or(wide, [(self.fields, 61), (self.headers, 52), (self.regex_priority, 19)])
                .map_or(1 << 63, |shifted| shifted | self.length),
            Calculation::Strict => {
                let regex_priority = u64::from(self.regex_priority as u32) << 19;
                (self.fields as u64) << 61 | wide | (self.headers as u64) << 52 | regex_priority | self.length
            }
        }
    }
}

/// `terms`, each shifted as LuaJIT shifts a number, OR-ed to `wide`; `None` if the sum is a negative number, which Kong
/// hands to the router as 2^63.
///
/// LuaJIT shifts numbers as 32-bit integers, by the lower five bits of the count. With a 64-bit operand beside them, each
/// number is converted on its own: a negative one becomes 2^63 on x86-64.
fn wide_or(wide: u64, terms: [(i64, u32); 3]) -> Option<u64> {
    let shifted = terms.map(|(value, by)| (value as i32).wrapping_shl(by));
    if wide == 0 && shifted.iter().any(|term| *term < 0) {
        return None;
    }
    Some(shifted.iter().fold(wide, |sum, term| sum | if *term < 0 { 1 << 63 } else { *term as u64 }))
}

/// The priority of a stream route.
pub(super) fn stream(route: &Route) -> u64 {
    let both = !route.sources.is_empty() && !route.destinations.is_empty();
    let many = if !route.snis.is_empty() || both { 1 << 61 } else { 0 };
    many | endpoints(&route.sources) << 4 | endpoints(&route.destinations)
}

fn endpoints(endpoints: &[Endpoint]) -> u64 {
    endpoints.iter().fold(0, |bits, endpoint| {
        let address = match (&endpoint.network, endpoint.is_range) {
            (None, _) => 0,
            (Some(_), false) => 8,
            (Some(_), true) => 1,
        };
        bits | address | if endpoint.port.is_some() { 4 } else { 0 }
    })
}

/// The priority of a route with an expression, which is above those of all others (kong/router/expressions.lua).
pub(super) fn expression(priority: u64) -> u64 {
    0xff << 56 | priority
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Weight =
        Weight { fields: 1, plain_hosts: false, headers: 0, regex: false, regex_priority: 0, length: 5 };

    fn original(weight: Weight) -> u64 {
        weight.priority(Calculation::Original)
    }

    /// Scenario: routes of each kind.
    /// Guarantees: the original priorities are those of 32-bit shifts: a plain host beats all else, then a regular
    /// expression, then the number of fields; a header counts as much as `regex_priority: 2`.
    #[test]
    fn original_priorities() {
        assert_eq!(original(PLAIN), 1 << 29 | 5);
        assert_eq!(original(Weight { fields: 3, headers: 2, ..PLAIN }), 3 << 29 | 2 << 20 | 5);
        let host = Weight { plain_hosts: true, ..PLAIN };
        let regex = Weight { regex: true, length: 0, ..PLAIN };
        assert!(original(host) > original(Weight { fields: 3, ..regex }));
        assert!(original(regex) > original(Weight { fields: 3, headers: 200, ..PLAIN }));
        let one_header = Weight { headers: 1, ..regex };
        assert_eq!(original(one_header), original(Weight { regex_priority: 2, ..regex }));
    }

    /// Scenario: four fields, and regular expressions with priorities that overflow 32 bits.
    /// Guarantees: a negative term becomes 2^63 beside a 64-bit term, and otherwise the whole priority does; 8192 is 0.
    #[test]
    fn overflows() {
        assert_eq!(original(Weight { fields: 4, headers: 3, ..PLAIN }), 1 << 63);
        let host = Weight { fields: 4, plain_hosts: true, headers: 3, ..PLAIN };
        assert_eq!(original(host), 1 << 63 | 1 << 60 | 3 << 20 | 5);
        assert_eq!(original(Weight { fields: 5, ..host }), original(host));
        let regex = |regex_priority| original(Weight { regex: true, regex_priority, length: 0, ..PLAIN });
        for negative in [4096, -1, -8192 + 4096] {
            assert_eq!(regex(negative), 1 << 63 | 1 << 51 | 1 << 29, "{negative}");
        }
        assert_eq!(regex(8192), regex(0));
        assert_eq!(regex(4095), 1 << 51 | 1 << 29 | 4095 << 19);
    }

    /// Scenario: the same routes with `strict`.
    /// Guarantees: the number of fields comes first, then plain hosts, headers, regular expressions and their priorities.
    #[test]
    fn strict_priorities() {
        let strict = |weight: Weight| weight.priority(Calculation::Strict);
        let host = Weight { plain_hosts: true, ..PLAIN };
        let regex = Weight { regex: true, length: 0, ..PLAIN };
        let order = [
            PLAIN,
            regex,
            Weight { regex_priority: 5000, ..regex },
            Weight { headers: 1, ..PLAIN },
            host,
            Weight { fields: 2, ..PLAIN },
            Weight { fields: 5, ..PLAIN },
        ];
        assert!(order.windows(2).all(|pair| strict(pair[0]) < strict(pair[1])));
        assert_eq!(strict(Weight { headers: 3, ..host }), 1 << 61 | 1 << 60 | 3 << 52 | 5);
    }
}
