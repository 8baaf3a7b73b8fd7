//! The memory for the bodies of all requests: small bodies find room, and slow ones make room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::error::RequestError;
use crate::connections::network_of;

/// The largest body that may use the memory that is kept for small ones, in bytes.
const SMALL_BODY: usize = 256 << 10;

/// How long to wait until a slower body is found, and for its memory.
const EVICTION_TIMEOUT: Duration = Duration::from_secs(1);

/// A body without a byte for so long is stalled.
const STALL: Duration = Duration::from_millis(250);

/// What a body counts as having received before it began, so that a new one is not taken for a slow one.
const HEAD_START_BYTES: f64 = 65_536.0;

/// The memory for all bodies.
#[derive(Debug)]
pub(in crate::input) struct MemoryBudget {
    /// Bytes that are left for all bodies.
    available: AtomicUsize,
    /// Bytes that are left for small bodies alone.
    available_for_small: AtomicUsize,
    /// Bytes that the next to be released are kept for: bodies of peers that hold less than others wait for them.
    claimed: AtomicUsize,
    /// Bodies that are still arriving.
    arriving: Mutex<HashMap<u64, Arc<Arriving>>>,
    next: AtomicU64,
    released: Notify,
}

#[derive(Debug)]
struct Arriving {
    peer: Option<IpAddr>,
    start: Instant,
    bytes: AtomicUsize,
    /// Milliseconds from `start` to the last byte.
    last: AtomicU64,
    evicted: AtomicBool,
    told: Notify,
}

/// How slow a body is: stalled ones are slower than all others, then those with fewer bytes per second.
type Slowness = (u128, f64);

impl Arriving {
    fn slowness(&self) -> Slowness {
        let age = self.start.elapsed();
        let silent = age.saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)));
        #[expect(clippy::cast_precision_loss, reason = "a body has far fewer than 2^52 bytes")]
        let bytes = self.bytes.load(Ordering::Relaxed) as f64;
        let stalled = if silent >= STALL { silent.as_millis() } else { 0 };
        (stalled, (age.as_secs_f64() + 0.1) / (bytes + HEAD_START_BYTES))
    }
}

fn slower(one: Slowness, other: Slowness) -> std::cmp::Ordering {
    one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
}

impl MemoryBudget {
    /// A budget of `bytes`, and a quarter more that is kept for small bodies.
    pub(in crate::input) fn new(bytes: usize) -> Self {
        Self {
            available: AtomicUsize::new(bytes),
            available_for_small: AtomicUsize::new(bytes / 4),
            claimed: AtomicUsize::new(0),
            arriving: Mutex::default(),
            next: AtomicU64::new(0),
            released: Notify::new(),
        }
    }

    /// Bytes that no request has reserved.
    #[cfg(test)]
    pub(in crate::input) fn available(&self) -> usize {
        self.available.load(Ordering::Relaxed) + self.available_for_small.load(Ordering::Relaxed)
    }

    /// Tells a body to go for `bytes` of `own`, unless others are going that hold as much: a stalled one, or one of the peer
    /// that holds the most, if that is more than the peer of `own` then has. Among those of a peer the slowest goes.
    /// Returns whether one goes or may have to go soon, and whether another peer holds more than that of `own`.
    fn evict(&self, own: Option<u64>, peer: Option<IpAddr>, bytes: usize) -> (bool, bool) {
        let arriving = self.arriving.lock();
        let held = |body: &Arriving| body.bytes.load(Ordering::Relaxed);
        let evicted = |body: &Arriving| body.evicted.load(Ordering::Relaxed);
        let mut of_peer: HashMap<Option<IpAddr>, usize> = HashMap::from([(peer, bytes)]);
        for body in arriving.values() {
            *of_peer.entry(body.peer).or_default() += held(body);
        }
        let total = |peer: Option<IpAddr>| of_peer.get(&peer).copied().unwrap_or_default();
        let has_less = of_peer.values().any(|other| *other > total(peer));
        if arriving.values().filter(|body| evicted(body)).map(|body| held(body)).sum::<usize>() >= bytes {
            return (true, has_less);
        }
        let others = arriving.iter().filter(|(id, body)| own != Some(**id) && !evicted(body) && held(body) > 0);
        let order = |one: &(Slowness, &Arc<Arriving>), other: &(Slowness, &Arc<Arriving>)| {
            let key = |(slowness, body): &(Slowness, &Arc<Arriving>)| (slowness.0 > 0, total(body.peer));
            key(one).cmp(&key(other)).then(slower(one.0, other.0))
        };
        let Some((slowness, victim)) = others.map(|(_, body)| (body.slowness(), body)).max_by(order) else {
            return (false, has_less);
        };
        let own = own.and_then(|id| arriving.get(&id)).map_or((0, 0.0), |body| body.slowness());
        let goes = slowness.0 > 0
            || if victim.peer == peer { slower(slowness, own).is_gt() } else { total(victim.peer) > total(peer) };
        if goes {
            victim.evicted.store(true, Ordering::Release);
            victim.told.notify_waiters();
        }
        (true, has_less)
    }
}

/// The bytes that one request has reserved; released when dropped.
#[derive(Debug)]
pub(in crate::input) struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: usize,
    /// Those of them that are of what is left for small bodies alone.
    small: usize,
    /// Bytes that are kept for it while it waits.
    claimed: usize,
    peer: Option<IpAddr>,
    /// Its body while it arrives.
    arriving: Option<(u64, Arc<Arriving>)>,
}

impl Reservation {
    /// No bytes yet, for a request of `peer`.
    pub(in crate::input) fn new(budget: Arc<MemoryBudget>, peer: Option<IpAddr>) -> Self {
        Self { budget, bytes: 0, small: 0, claimed: 0, peer: peer.map(network_of), arriving: None }
    }

    /// Reserves `bytes` more, if need be in the place of a slower body. `last` says that no more of the body will arrive.
    ///
    /// # Errors
    /// There is no room, and no slower body makes any; or this one must make room itself.
    pub(in crate::input) async fn grow(&mut self, bytes: usize, last: bool) -> Result<(), RequestError> {
        if !last && self.arriving.is_none() {
            self.enter(Instant::now());
        }
        if !self.try_grow(bytes) {
            self.make_room(bytes).await?;
        }
        if let Some((_, body)) = &self.arriving {
            body.bytes.store(self.bytes, Ordering::Relaxed);
            let now = u64::try_from(body.start.elapsed().as_millis()).unwrap_or(u64::MAX);
            body.last.store(now, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn make_room(&mut self, bytes: usize) -> Result<(), RequestError> {
        let begun = Instant::now();
        let deadline = begun + EVICTION_TIMEOUT;
        // What it has of the memory for small bodies goes back.
        let need = bytes + if self.bytes + bytes > SMALL_BODY { self.small } else { 0 };
        let budget = self.budget.clone();
        loop {
            let mut released = std::pin::pin!(budget.released.notified());
            released.as_mut().enable();
            if self.try_grow(bytes) {
                self.claim(0);
                return Ok(());
            }
            let own = self.arriving.as_ref().map(|(id, _)| *id);
            let (goes, has_less) = budget.evict(own, self.peer, need);
            // Else the peers that hold the most would also have what they release.
            self.claim(if has_less { need } else { 0 });
            // Without one that may go, what is in use may be about to be released.
            let until = if goes { deadline } else { deadline.min(begun + STALL) };
            if Instant::now() >= until {
                self.claim(0);
                return Err(RequestError::out_of_memory());
            }
            tokio::select! {
                () = self.evicted() => {
                    self.claim(0);
                    return Err(RequestError::evicted());
                }
                _ = timeout_at(deadline.min(Instant::now() + STALL / 2), released) => {}
            }
        }
    }

    /// Keeps so many bytes for this body among those that are released.
    fn claim(&mut self, bytes: usize) {
        self.budget.claimed.fetch_add(bytes, Ordering::Relaxed);
        self.budget.claimed.fetch_sub(std::mem::replace(&mut self.claimed, bytes), Ordering::Relaxed);
    }

    fn try_grow(&mut self, bytes: usize) -> bool {
        let kept = self.budget.claimed.load(Ordering::Relaxed).saturating_sub(self.claimed);
        let take = |from: &AtomicUsize, bytes: usize, kept: usize| {
            let less = |left: usize| left.checked_sub(bytes).filter(|left| *left >= kept);
            from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
        };
        let is_small = self.bytes + bytes <= SMALL_BODY;
        if is_small && take(&self.budget.available_for_small, bytes, 0) {
            self.small += bytes;
        } else if take(&self.budget.available, bytes + if is_small { 0 } else { self.small }, kept) {
            if !is_small {
                self.budget.available_for_small.fetch_add(std::mem::take(&mut self.small), Ordering::Relaxed);
            }
        } else {
            return false;
        }
        self.bytes += bytes;
        true
    }

    fn enter(&mut self, start: Instant) {
        let id = self.budget.next.fetch_add(1, Ordering::Relaxed);
        let body = Arc::new(Arriving {
            peer: self.peer,
            start,
            bytes: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            evicted: AtomicBool::new(false),
            told: Notify::new(),
        });
        self.budget.arriving.lock().insert(id, body.clone());
        self.arriving = Some((id, body));
    }

    /// The whole body has arrived: it makes no room for others any more.
    pub(in crate::input) fn complete(&mut self) {
        if let Some((id, _)) = self.arriving.take() {
            self.budget.arriving.lock().remove(&id);
        }
    }

    /// Returns when the body must make room. Cancel-safe.
    pub(in crate::input) async fn evicted(&self) {
        let Some((_, body)) = &self.arriving else { return std::future::pending().await };
        let mut told = std::pin::pin!(body.told.notified());
        told.as_mut().enable();
        if !body.evicted.load(Ordering::Acquire) {
            told.await;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.claim(0);
        self.budget.available.fetch_add(self.bytes - self.small, Ordering::Relaxed);
        self.budget.available_for_small.fetch_add(self.small, Ordering::Relaxed);
        // Until its memory is free, it counts as one that goes.
        self.complete();
        self.budget.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arriving(budget: &Arc<MemoryBudget>) -> Reservation {
        Reservation::new(budget.clone(), None)
    }

    /// Scenario: a peer fills the memory with bodies that arrive fast; a slower one of another peer, and then more of the
    /// first.
    /// Guarantees: one of the first peer makes room for the other, which stays although it is the slowest.
    #[tokio::test]
    async fn the_largest_peer_makes_room() {
        let budget = Arc::new(MemoryBudget::new(4 << 20));
        let of = |last: u8| Reservation::new(budget.clone(), Some([192, 0, 2, last].into()));
        let mut bodies = vec![of(1), of(1), of(1), of(1)];
        for body in &mut bodies {
            body.grow(1 << 20, false).await.unwrap();
        }
        let mut other = of(2);
        let growing = tokio::spawn(async move {
            other.grow(1 << 20, false).await.unwrap();
            other
        });
        let told = |body: &Reservation| body.arriving.as_ref().unwrap().1.evicted.load(Ordering::Relaxed);
        while !bodies.iter().any(told) {
            tokio::task::yield_now().await;
        }
        bodies.retain(|body| !told(body));
        let other = growing.await.unwrap();
        let mut more = of(1);
        assert_eq!(budget.evict(None, more.peer, 1 << 20), (true, false));
        assert!(more.grow(1 << 20, false).await.is_err() || !told(&other));
        assert!(!told(&other));
    }

    /// Scenario: stalled bodies hold all memory for large bodies; a small body, and a large one.
    /// Guarantees: the small one has room at once; the large one has that of the body that is stalled for the longest
    /// time; one that arrives goes after those that are stalled.
    #[tokio::test]
    async fn slow_bodies_make_room() {
        let budget = Arc::new(MemoryBudget::new(4 << 20));
        let mut bodies = Vec::new();
        for age in [4, 3, 2, 1] {
            let mut body = arriving(&budget);
            body.enter(Instant::now().checked_sub(Duration::from_secs(age)).unwrap());
            body.grow(1 << 20, false).await.unwrap();
            body.arriving.as_ref().unwrap().1.last.store(0, Ordering::Relaxed);
            bodies.push(body);
        }
        let mut small = arriving(&budget);
        small.grow(SMALL_BODY, true).await.unwrap();
        bodies[0].grow(0, false).await.unwrap();
        let told = |body: &Reservation| body.arriving.as_ref().unwrap().1.evicted.load(Ordering::Relaxed);
        let growing = tokio::spawn({
            let mut large = arriving(&budget);
            async move { large.grow(1 << 20, false).await.map(|()| large) }
        });
        bodies[1].evicted().await;
        assert_eq!([0, 1, 2, 3].map(|at| told(&bodies[at])), [false, true, false, false]);
        drop(bodies.remove(1));
        let large = growing.await.unwrap().unwrap();
        drop((bodies, small, large));
        assert_eq!(budget.available(), 5 << 20);
    }

    /// Scenario: bodies that have arrived and wait for the queues hold all memory; one more.
    /// Guarantees: it is refused at once, with a status that says to try again.
    #[tokio::test]
    async fn waiting_bodies_stay() {
        let budget = Arc::new(MemoryBudget::new(1 << 20));
        let mut waiting = arriving(&budget);
        waiting.grow(1 << 20, true).await.unwrap();
        let error = arriving(&budget).grow(1 << 20, false).await.unwrap_err();
        assert_eq!(error.status.as_u16(), 429);
    }
}
