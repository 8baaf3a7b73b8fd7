//! Limits on each peer: its connections, how often it connects, how fast it is read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::settings::PerPeer;
use crate::connections::network_of;
use crate::input::Refusal;

/// Peers that are remembered, at most. Those without connections are forgotten first, which gives them a new budget.
const MAX_PEERS: usize = 20_000;

/// Tokens that are added at a rate, up to what a second adds.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: f64, now: Instant) -> Self {
        Self { rate, tokens: rate, at: now }
    }

    fn refill(&mut self, now: Instant) {
        self.tokens = (self.tokens + now.duration_since(self.at).as_secs_f64() * self.rate).min(self.rate);
        self.at = now;
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens >= self.rate
    }

    /// Takes `amount`, also if there is less; the rest is owed.
    pub(super) fn take(&mut self, amount: usize) {
        self.tokens -= amount as f64;
    }

    /// How much there is at `now`; nothing for at least the returned time otherwise, after which there is some.
    pub(super) fn available(&mut self, now: Instant) -> Result<usize, Duration> {
        self.refill(now);
        if self.tokens >= 1.0 {
            return Ok(self.tokens as usize);
        }
        // What a twentieth of a second adds is worth a read.
        let wanted = (self.rate / 20.0).max(1.0) - self.tokens;
        Err(Duration::try_from_secs_f64(wanted / self.rate).unwrap_or(Duration::MAX))
    }
}

#[derive(Debug)]
struct Entry {
    connections: usize,
    connects: Bucket,
    bytes: Arc<Mutex<Bucket>>,
}

/// The peers of one input.
#[derive(Debug)]
pub(super) struct Peers {
    limits: PerPeer,
    table: Mutex<HashMap<IpAddr, Entry>>,
}

impl Peers {
    /// `None` if there are no limits.
    pub(super) fn new(limits: PerPeer) -> Option<Arc<Self>> {
        let limited = limits.connections > 0 || limits.connection_rate > 0 || limits.byte_rate > 0;
        limited.then(|| Arc::new(Self { limits, table: Mutex::default() }))
    }

    /// A place for a connection of `peer`.
    ///
    /// # Errors
    /// The limit that the peer has reached.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Place, Refusal> {
        let (peer, limits) = (network_of(peer), self.limits);
        let mut table = self.table.lock();
        if table.len() >= MAX_PEERS && !table.contains_key(&peer) {
            forget(&mut table, now);
        }
        let entry = table.entry(peer).or_insert_with(|| Entry {
            connections: 0,
            connects: Bucket::new(f64::from(limits.connection_rate), now),
            bytes: Arc::new(Mutex::new(Bucket::new(limits.byte_rate as f64, now))),
        });
        if limits.connections > 0 && entry.connections >= limits.connections {
            return Err(Refusal::PeerConnections);
        }
        if limits.connection_rate > 0 {
            if entry.connects.available(now).is_err() {
                return Err(Refusal::PeerRate);
            }
            entry.connects.take(1);
        }
        entry.connections += 1;
        let bytes = (limits.byte_rate > 0).then(|| entry.bytes.clone());
        Ok(Place { peers: self.clone(), peer, bytes })
    }
}

/// Forgets peers without connections: those for which nothing is remembered, and all of them if that is not enough. As half of
/// the table is free then, this is done rarely.
fn forget(table: &mut HashMap<IpAddr, Entry>, now: Instant) {
    table.retain(|_, entry| entry.connections > 0 || !entry.connects.is_full(now) || !entry.bytes.lock().is_full(now));
    if table.len() > MAX_PEERS / 2 {
        table.retain(|_, entry| entry.connections > 0);
    }
}

/// The place of one connection among those of its peer.
#[derive(Debug)]
pub(super) struct Place {
    peers: Arc<Peers>,
    peer: IpAddr,
    bytes: Option<Arc<Mutex<Bucket>>>,
}

impl Place {
    /// The bytes that the peer may send, if they are limited.
    pub(super) fn bytes(&self) -> Option<&Arc<Mutex<Bucket>>> {
        self.bytes.as_ref()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(entry) = self.peers.table.lock().get_mut(&self.peer) {
            entry.connections -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peers(connections: usize, connection_rate: u32, byte_rate: usize) -> Arc<Peers> {
        Peers::new(PerPeer { connections, connection_rate, byte_rate }).unwrap()
    }

    fn ip(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    /// Scenario: a limit of two connections; three of one peer, one of another, and one after another has ended; addresses of
    /// one network of IPv6.
    /// Guarantees: only the third is refused, until a place is free; a network of IPv6 is one peer.
    #[test]
    fn connections_of_a_peer() {
        let (peers, now) = (peers(2, 0, 0), Instant::now());
        let first = peers.admit(ip(1), now).unwrap();
        let _second = peers.admit(ip(1), now).unwrap();
        assert_eq!(peers.admit(ip(1), now).unwrap_err(), Refusal::PeerConnections);
        let _other = peers.admit(ip(2), now).unwrap();
        drop(first);
        let _third = peers.admit(ip(1), now).unwrap();
        let six: Vec<_> =
            (1..=3).map(|number| peers.admit(format!("2001:db8::{number}:1").parse().unwrap(), now)).collect();
        assert_eq!(six.iter().filter(|admitted| admitted.is_ok()).count(), 2);
        assert!(Peers::new(PerPeer { connections: 0, connection_rate: 0, byte_rate: 0 }).is_none());
    }

    /// Scenario: a peer that connects five times at once where two a second are allowed, and half a second later once more.
    /// Guarantees: the first two and the last one are admitted; another peer has its own rate.
    #[test]
    fn rate_of_connections() {
        let (peers, now) = (peers(0, 2, 0), Instant::now());
        let admitted: Vec<_> = (0..5).map(|_| peers.admit(ip(1), now).map(drop)).collect();
        let refused = Err(Refusal::PeerRate);
        assert_eq!(admitted, [Ok(()), Ok(()), refused, refused, refused]);
        assert!(peers.admit(ip(2), now).is_ok());
        let later = now + Duration::from_millis(500);
        assert!(peers.admit(ip(1), later).is_ok());
        assert_eq!(peers.admit(ip(1), later).map(drop), refused);
    }

    /// Scenario: a peer that reads more than its rate over two connections.
    /// Guarantees: both have one budget; after a debt nothing is available for as long as it takes to pay it.
    #[test]
    fn rate_of_bytes() {
        let (peers, now) = (peers(0, 0, 1000), Instant::now());
        let (one, two) = (peers.admit(ip(1), now).unwrap(), peers.admit(ip(1), now).unwrap());
        let (one, two) = (one.bytes().unwrap(), two.bytes().unwrap());
        assert_eq!(one.lock().available(now), Ok(1000));
        one.lock().take(3000);
        let wait = two.lock().available(now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(2050));
        assert_eq!(two.lock().available(now + wait), Ok(50));
    }

    /// Scenario: four times as many peers as are remembered, one of which keeps a connection.
    /// Guarantees: the table stays within its bound, and the connection is not forgotten.
    #[test]
    fn the_table_is_bounded() {
        let (peers, now) = (peers(1, 1, 1024), Instant::now());
        let _kept = peers.admit(ip(0), now).unwrap();
        for number in 1..u32::try_from(4 * MAX_PEERS).unwrap() {
            assert!(peers.admit(ip(number), now).is_ok());
        }
        assert!(peers.table.lock().len() <= MAX_PEERS);
        assert_eq!(peers.admit(ip(0), now).unwrap_err(), Refusal::PeerConnections);
    }
}
