//! One bound on the lines of all streams whose end was not read yet.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connections::network_of;

/// The unfinished lines of all streams. Past the bound, of the peer that holds the most the line goes that has waited for
/// its end for the longest time.
#[derive(Debug)]
pub(in crate::input) struct UnfinishedLines {
    max_bytes: usize,
    bytes: AtomicUsize,
    start: Instant,
    lines: Mutex<HashMap<u64, Arc<Line>>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Line {
    peer: Option<IpAddr>,
    bytes: AtomicUsize,
    /// Milliseconds from the start to when the line began.
    since: AtomicU64,
    /// Whether its connection waits for more of it. While the connection waits for the queues, it cannot let go.
    waits: AtomicBool,
    evicted: AtomicBool,
    told: Notify,
}

impl UnfinishedLines {
    /// At most `max_bytes` in all.
    pub(in crate::input) fn new(max_bytes: usize) -> Arc<Self> {
        let (bytes, next) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { max_bytes, bytes, start: Instant::now(), lines: Mutex::default(), next })
    }

    /// One more stream, of `peer`.
    pub(in crate::input) fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> UnfinishedLine {
        UnfinishedLine { all: self.clone(), peer, held: None }
    }

    /// One more line, of which nothing is held yet.
    fn add(&self, peer: Option<IpAddr>) -> (u64, Arc<Line>) {
        let line = Arc::new(Line {
            peer: peer.map(network_of),
            bytes: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            told: Notify::new(),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lines.lock().insert(id, line.clone());
        (id, line)
    }

    /// Tells the oldest lines to go until the others are within the bound.
    fn evict(&self) {
        let lines = self.lines.lock();
        let evicted = |line: &Line| line.evicted.load(Ordering::Relaxed);
        let going: usize =
            lines.values().filter(|line| evicted(line)).map(|line| line.bytes.load(Ordering::Relaxed)).sum();
        let mut excess = self.bytes.load(Ordering::Relaxed).saturating_sub(self.max_bytes + going);
        let held = |line: &Line| line.bytes.load(Ordering::Relaxed);
        let mut of_peer: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for line in lines.values().filter(|line| !evicted(line)) {
            *of_peer.entry(line.peer).or_default() += held(line);
        }
        while excess > 0 {
            let waiting =
                lines.values().filter(|line| line.waits.load(Ordering::Relaxed) && !evicted(line) && held(line) > 0);
            let oldest = waiting
                .max_by_key(|line| (of_peer.get(&line.peer).copied(), Reverse(line.since.load(Ordering::Relaxed))));
            let Some(oldest) = oldest else { return };
            of_peer.entry(oldest.peer).and_modify(|bytes| *bytes = bytes.saturating_sub(held(oldest)));
            oldest.evicted.store(true, Ordering::Release);
            oldest.told.notify_waiters();
            excess = excess.saturating_sub(oldest.bytes.load(Ordering::Relaxed));
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The unfinished line of one stream.
#[derive(Debug)]
pub(in crate::input) struct UnfinishedLine {
    all: Arc<UnfinishedLines>,
    peer: Option<IpAddr>,
    /// Its number and what others see of it, once some of it is held: most streams never hold any.
    held: Option<(u64, Arc<Line>)>,
}

impl UnfinishedLine {
    /// The stream waits for more of a line of which `bytes` are held; 0: of no line.
    pub(in crate::input) fn wait_with(&mut self, bytes: usize) {
        if bytes == 0 && self.held.is_none() {
            return;
        }
        let (_, line) = self.held.get_or_insert_with(|| self.all.add(self.peer));
        let before = line.bytes.swap(bytes, Ordering::Relaxed);
        // A line that became shorter is another one.
        if bytes < before || before == 0 {
            let now = u64::try_from(self.all.start.elapsed().as_millis()).unwrap_or(u64::MAX);
            line.since.store(now, Ordering::Relaxed);
        }
        line.waits.store(true, Ordering::Relaxed);
        let total = if bytes >= before {
            self.all.bytes.fetch_add(bytes - before, Ordering::Relaxed) + (bytes - before)
        } else {
            self.all.bytes.fetch_sub(before - bytes, Ordering::Relaxed) - (before - bytes)
        };
        if total > self.all.max_bytes {
            self.all.evict();
        }
    }

    /// The stream has more of it.
    pub(in crate::input) fn resume(&self) {
        if let Some((_, line)) = &self.held {
            line.waits.store(false, Ordering::Relaxed);
        }
    }

    /// Whether others need the memory.
    pub(in crate::input) fn is_evicted(&self) -> bool {
        self.held.as_ref().is_some_and(|(_, line)| line.evicted.load(Ordering::Acquire))
    }

    /// Returns when others need the memory. Cancel-safe.
    pub(in crate::input) async fn evicted(&self) {
        let Some((_, line)) = &self.held else { return std::future::pending().await };
        let mut told = std::pin::pin!(line.told.notified());
        told.as_mut().enable();
        if !self.is_evicted() {
            told.await;
        }
    }
}

impl Drop for UnfinishedLine {
    fn drop(&mut self) {
        if let Some((id, line)) = &self.held {
            self.all.lines.lock().remove(id);
            self.all.bytes.fetch_sub(line.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: lines of several streams that grow past the bound; one that waits for the queues, one that was finished.
    /// Guarantees: the oldest that waits goes, and no more than are needed; what is dropped is given back.
    #[tokio::test]
    async fn the_oldest_goes() {
        let all = UnfinishedLines::new(100);
        let mut lines: Vec<_> = (0..5).map(|_| all.enter(None)).collect();
        let began = |line: &UnfinishedLine, at| line.held.as_ref().unwrap().1.since.store(at, Ordering::Relaxed);
        for (age, line) in lines[..4].iter_mut().enumerate() {
            line.wait_with(25);
            began(line, age as u64);
        }
        // Nothing is held of the last one.
        lines[4].wait_with(0);
        let evicted = |lines: &[UnfinishedLine]| [0, 1, 2, 3, 4].map(|at| lines[at].is_evicted());
        // The first is finished and another one begins; the second waits for the queues.
        lines[0].wait_with(0);
        lines[0].wait_with(25);
        began(&lines[0], 9);
        lines[1].resume();
        assert!(evicted(&lines) == [false; 5] && all.bytes() == 100);
        lines[3].wait_with(45);
        lines[2].evicted().await;
        assert_eq!(evicted(&lines), [false, false, true, false, false]);
        lines[3].wait_with(50);
        assert_eq!(evicted(&lines), [false, false, true, false, false]);
        drop(lines);
        assert_eq!(all.bytes(), 0);
    }
}
