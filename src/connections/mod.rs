//! Connections that the service accepts: how many there may be, and which one has to go for a new one.
//!
//! A listener at its limit closes a connection that waits for its peer, rather than let a new one wait: of the peer with the
//! most connections, the one that has completed nothing for the longest time. A connection for which the service works is
//! closed only where that may be interrupted.

mod host;
mod stream;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

pub(crate) use host::{AllowedHosts, HostError, allowed_host};
pub(crate) use stream::WatchedStream;

/// How long to wait for the place of a connection that was told to end, or for one to tell.
const SHED_TIMEOUT: Duration = Duration::from_millis(25);

/// How long a connection must have waited for its peer to be closed for a new one, in milliseconds: a peer that has just
/// connected, or was just answered, is about to send.
const MIN_WAIT: u64 = 50;

/// The network that counts as one peer: an IPv4 address, or the 64 bits that one IPv6 site has for itself.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    /// Whether, if the service works for every connection, the one that was answered most often goes.
    sheds_work: bool,
    start: Instant,
    slots: Mutex<HashMap<u64, Arc<State>>>,
    next: AtomicU64,
    freed: Notify,
}

impl Connections {
    /// At most `max` connections, and at least one.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self::with(max, false))
    }

    /// The same for requests that may be interrupted: if the service works for every connection, the one goes that was
    /// answered most often.
    pub(crate) fn interruptible(max: usize) -> Arc<Self> {
        Arc::new(Self::with(max, true))
    }

    fn with(max: usize, sheds_work: bool) -> Self {
        let (start, next) = (Instant::now(), AtomicU64::new(0));
        Self { max: max.max(1), sheds_work, start, slots: Mutex::default(), next, freed: Notify::new() }
    }

    /// A place for a connection of `peer`; at the limit, that of another one, which is told to end. Waits only while the
    /// service works for all of them. Cancel-safe.
    pub(crate) async fn admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Slot {
        if let Some(slot) = self.try_admit(peer) {
            return slot;
        }
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(slot) = self.try_admit(peer) {
                return slot;
            }
            self.shed_one();
            let _ = timeout(SHED_TIMEOUT, freed).await;
        }
    }

    /// A place for a connection of `peer`, if there is one.
    pub(crate) fn try_admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Slot> {
        let mut slots = self.slots.lock();
        if slots.len() >= self.max {
            return None;
        }
        let (id, peer) = (self.next.fetch_add(1, Ordering::Relaxed), peer.map(network_of));
        let state = Arc::new(State {
            peer: Mutex::new(peer),
            since: AtomicU64::new(self.now()),
            working: AtomicUsize::new(0),
            completed: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            shed: AtomicBool::new(false),
            told: Notify::new(),
        });
        slots.insert(id, state.clone());
        Some(Slot { place: Arc::new(Place { connections: self.clone(), id, state }) })
    }

    /// Tells the connection that can be missed most to end, if there is one.
    fn shed_one(&self) {
        let slots = self.slots.lock();
        let mut of_peer: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for state in slots.values() {
            *of_peer.entry(*state.peer.lock()).or_default() += 1;
        }
        let now = self.now();
        let waiting = slots.values().filter(|state| {
            state.waits_for_peer() && now.saturating_sub(state.since.load(Ordering::Relaxed)) >= MIN_WAIT
        });
        let victim = waiting.max_by_key(|state| {
            (of_peer.get(&state.peer.lock()).copied(), std::cmp::Reverse(state.since.load(Ordering::Relaxed)))
        });
        let busiest = || {
            let served = slots
                .values()
                .filter(|state| !state.shed.load(Ordering::Relaxed) && state.completed.load(Ordering::Relaxed) > 0);
            served
                .max_by_key(|state| (of_peer.get(&state.peer.lock()).copied(), state.completed.load(Ordering::Relaxed)))
                .filter(|_| self.sheds_work)
        };
        let Some(victim) = victim.or_else(busiest) else { return };
        victim.shed.store(true, Ordering::Release);
        victim.told.notify_waiters();
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[derive(Debug)]
struct State {
    /// The network that it counts for.
    peer: Mutex<Option<IpAddr>>,
    /// Milliseconds from the start of the listener to when something was completed last.
    since: AtomicU64,
    /// Requests that the service works for.
    working: AtomicUsize,
    /// Requests that were answered.
    completed: AtomicU64,
    /// Whether the peer does not read what is written to it.
    stalled: AtomicBool,
    shed: AtomicBool,
    told: Notify,
}

impl State {
    fn waits_for_peer(&self) -> bool {
        let (working, stalled) = (self.working.load(Ordering::Relaxed), self.stalled.load(Ordering::Relaxed));
        (working == 0 || stalled) && !self.shed.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Place {
    connections: Arc<Connections>,
    id: u64,
    state: Arc<State>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.slots.lock().remove(&self.id);
        self.connections.freed.notify_one();
    }
}

/// The place of one connection among those of its listener. It is free again when all clones are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    place: Arc<Place>,
}

impl Slot {
    /// The connection is one of `peer`, as the proxy in front of it says.
    pub(crate) fn set_peer(&self, peer: IpAddr) {
        *self.place.state.peer.lock() = Some(network_of(peer));
    }

    /// Something of the connection was completed.
    pub(crate) fn progress(&self) {
        self.place.state.since.store(self.place.connections.now(), Ordering::Relaxed);
    }

    /// While the returned value lives, the service works for the connection.
    pub(crate) fn working(&self) -> Working {
        self.place.state.working.fetch_add(1, Ordering::Relaxed);
        Working { slot: self.clone(), progress: true }
    }

    /// Whether the peer does not read what is written to it.
    fn set_stalled(&self, stalled: bool) {
        self.place.state.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Whether the connection must end for a new one.
    pub(crate) fn is_shed(&self) -> bool {
        self.place.state.shed.load(Ordering::Acquire)
    }

    /// Returns when the connection must end for a new one. Cancel-safe.
    pub(crate) async fn shed(&self) {
        let mut told = std::pin::pin!(self.place.state.told.notified());
        told.as_mut().enable();
        if !self.is_shed() {
            told.await;
        }
    }
}

/// The service works for a connection; see [`Slot::working`].
#[derive(Debug)]
pub(crate) struct Working {
    slot: Slot,
    progress: bool,
}

impl Working {
    /// The work is over, and nothing was completed by it.
    pub(crate) fn without_progress(mut self) {
        self.progress = false;
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if self.progress {
            self.slot.progress();
            self.slot.place.state.completed.fetch_add(1, Ordering::Relaxed);
        }
        self.slot.place.state.working.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
