//! How often who may try a token: guessing one must take forever.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::connections::network_of;
use crate::log::limit::Limiter;

/// Wrong tokens of one network in [`WINDOW`], at most.
const MAX_WRONG: u32 = 10;
/// The time in which wrong tokens are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// Networks that are remembered, at most: those with the fewest wrong tokens are forgotten first.
const MAX_NETWORKS: usize = 1024;

/// The wrong tokens of the last minute, by the network that they came from: nobody keeps others from logging in.
#[derive(Default)]
pub(super) struct Logins {
    wrong: Mutex<HashMap<IpAddr, Wrong>>,
    log: Limiter,
}

struct Wrong {
    since: Instant,
    number: u32,
}

fn network(address: Option<IpAddr>) -> IpAddr {
    network_of(address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

impl Logins {
    /// How long `address` must wait before another try at `now`; `None` if it may try.
    pub(super) fn wait(&self, address: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let wrong = self.wrong.lock();
        let known = wrong.get(&network(address)).filter(|known| known.number >= MAX_WRONG)?;
        WINDOW.checked_sub(now.saturating_duration_since(known.since)).filter(|left| !left.is_zero())
    }

    /// Counts a wrong token of `address`.
    pub(super) fn failed(&self, address: Option<IpAddr>, now: Instant) {
        let network = network(address);
        if let Some(suppressed) = self.log.admit() {
            tracing::warn!(peer = %network, suppressed, "page: a login with a wrong token");
        }
        let mut wrong = self.wrong.lock();
        wrong.retain(|_, known| now.saturating_duration_since(known.since) < WINDOW);
        if wrong.len() >= MAX_NETWORKS
            && !wrong.contains_key(&network)
            && let Some(fewest) = wrong.iter().min_by_key(|(_, known)| known.number).map(|(network, _)| *network)
        {
            wrong.remove(&fewest);
        }
        wrong.entry(network).or_insert(Wrong { since: now, number: 0 }).number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: one network guesses, others log in; a minute passes; more networks than are remembered guess once. Guarantees: only the
    /// one that guesses waits, until the minute is over; it is not forgotten for the others, whose number is bounded.
    #[test]
    fn guessing_is_limited() {
        let (logins, start) = (Logins::default(), Instant::now());
        let address = |text: &str| Some(text.parse().unwrap());
        let (guesser, other) = (address("2001:db8::1"), address("2001:db8:0:1::1"));
        for _ in 0..MAX_WRONG {
            assert_eq!(logins.wait(guesser, start), None);
            logins.failed(guesser, start);
        }
        assert_eq!(logins.wait(guesser, start), Some(WINDOW));
        assert_eq!(logins.wait(address("2001:db8::2"), start), Some(WINDOW), "the same network");
        assert_eq!(logins.wait(other, start), None);
        for at in 0..2 * MAX_NETWORKS as u32 {
            logins.failed(Some(IpAddr::V4(Ipv4Addr::from_bits(at))), start);
        }
        assert_eq!(logins.wrong.lock().len(), MAX_NETWORKS);
        let later = start + WINDOW - Duration::from_secs(1);
        assert_eq!(logins.wait(guesser, later), Some(Duration::from_secs(1)));
        assert_eq!(logins.wait(guesser, start + WINDOW), None);
    }
}
