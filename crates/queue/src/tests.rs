use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn queue(bounds: Bounds, budget: usize) -> MemoryQueue {
    MemoryQueue::new(bounds, Arc::new(Budget::new(budget)), Signals::default())
}

fn receipt() -> Receipt {
    Receipt::new(|| ())
}

fn put(queue: &MemoryQueue, entry: &str) -> Result<(), ReserveError> {
    queue.reserve(1, entry.len())?;
    queue.append(vec![Bytes::copy_from_slice(entry.as_bytes())], entry.len(), &receipt());
    Ok(())
}

async fn lease(queue: &MemoryQueue, entries: usize) -> Vec<Bytes> {
    queue.lease(entries, usize::MAX).await
}

fn bounds(max_entries: usize, overflow: Overflow) -> Bounds {
    Bounds { max_entries, max_bytes: None, overflow }
}

/// Scenario: entries are leased, and some of them are committed.
/// Guarantees: leased entries count towards the queue's bounds; a commit frees their room.
#[tokio::test]
async fn leased_entries_count_until_committed() {
    let queue = queue(bounds(2, Overflow::Block), 1000);
    put(&queue, "a").unwrap();
    put(&queue, "b").unwrap();
    assert_eq!(lease(&queue, 10).await, ["a", "b"]);
    assert_eq!(put(&queue, "c"), Err(ReserveError::Full(Bound::MaxEntries)));
    queue.commit(1);
    put(&queue, "c").unwrap();
    assert_eq!(lease(&queue, 10).await, ["c"]);
    let counters = queue.counters();
    assert_eq!((counters.delivered, counters.depth, counters.leased), (1, 2, 2));
}

/// Scenario: reservations of more than the queue holds, one at once and one in parts.
/// Guarantees: the first never fits, the second fits later; an empty queue accepts a single entry of any size.
#[tokio::test]
async fn refusals_say_whether_waiting_helps() {
    let limits = Bounds { max_entries: 3, max_bytes: Some(10), overflow: Overflow::Block };
    let queue = queue(limits, 1000);
    assert_eq!(queue.reserve(4, 4), Err(ReserveError::TooLarge));
    assert_eq!(queue.reserve(2, 11), Err(ReserveError::TooLarge));
    queue.reserve(1, 500).unwrap();
    assert_eq!(queue.reserve(1, 1), Err(ReserveError::Full(Bound::MaxBytes)));
    queue.release(1, 500);
    queue.reserve(3, 10).unwrap();
    queue.release(3, 10);
    assert!(queue.counters().is_idle());
}

/// Scenario: a full queue that drops its oldest entry while one entry is in flight.
/// Guarantees: the entry in flight stays; the oldest waiting entry is dropped and counted.
#[tokio::test]
async fn drop_oldest_spares_what_is_in_flight() {
    let queue = queue(bounds(2, Overflow::DropOldest), 1000);
    put(&queue, "a").unwrap();
    assert_eq!(lease(&queue, 1).await, ["a"]);
    for entry in ["b", "c", "d"] {
        put(&queue, entry).unwrap();
    }
    assert_eq!(lease(&queue, 10).await, ["c", "d"]);
    queue.commit(3);
    let counters = queue.counters();
    assert_eq!((counters.delivered, counters.dropped_overflow, counters.appended), (3, 1, 4));
}

/// Scenario: an entry larger than `max_bytes`, under both policies.
/// Guarantees: queues that drop entries drop it and count it as oversize; blocking queues accept it alone.
#[tokio::test]
async fn an_oversize_entry_is_dropped_only_if_the_policy_allows() {
    let limits = |overflow| Bounds { max_entries: 9, max_bytes: Some(2), overflow };
    let dropping = queue(limits(Overflow::DropOldest), 1000);
    put(&dropping, "abc").unwrap();
    assert_eq!((dropping.counters().dropped_oversize, dropping.counters().depth), (1, 0));
    let blocking = queue(limits(Overflow::Block), 1000);
    put(&blocking, "abc").unwrap();
    assert_eq!(lease(&blocking, 1).await, ["abc"]);
}

/// Scenario: two queues share a budget; one is refused because of the other, which then commits.
/// Guarantees: the waiter of the refused queue is woken, and the budget is fully released at the end.
#[tokio::test]
async fn the_shared_budget_wakes_across_queues() {
    let budget = Arc::new(Budget::new(10));
    let signals = Signals::default();
    let make = || MemoryQueue::new(Bounds::default(), budget.clone(), signals.clone());
    let (one, two) = (make(), make());
    put(&one, "12345678").unwrap();
    put(&two, "x").unwrap();
    assert_eq!(two.reserve(1, 5), Err(ReserveError::Full(Bound::MaxMemory)));
    let room = signals.room.notified();
    lease(&one, 1).await;
    one.commit(1);
    tokio::time::timeout(Duration::from_secs(5), room).await.expect("woken by the other queue's commit");
    two.reserve(1, 5).unwrap();
    drop(two);
    assert_eq!(budget.used(), 0);
}

/// Scenario: two queues share a budget, and one of them is stuck and takes all that it can; then a third is opened.
/// Guarantees: the stuck queue is refused before it has taken the reserves of the others: each of them gets its own.
#[test]
fn a_stuck_queue_leaves_the_others_their_reserve() {
    let budget = Arc::new(Budget::new(120));
    let make = || MemoryQueue::new(Bounds::default(), budget.clone(), Signals::default());
    let (stuck, other) = (make(), make());
    while put(&stuck, "1234567890").is_ok() {}
    assert_eq!(budget.used(), 90, "its reserve of 30, and the shared half");
    assert_eq!(other.reserve(4, 31), Err(ReserveError::Full(Bound::MaxMemory)));
    other.reserve(3, 30).unwrap();
    let third = make();
    third.reserve(2, 20).unwrap();
    assert_eq!(third.reserve(2, 2), Err(ReserveError::Full(Bound::MaxMemory)));
    assert_eq!(stuck.reserve(1, 1), Err(ReserveError::Full(Bound::MaxMemory)));
}

/// Scenario: a reader waits on an empty queue while producers on other threads append entries one by one.
/// Guarantees: no wake-up is lost: every entry arrives, in order per producer, and closing ends the reader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reader_misses_no_wake_up() {
    let queue = Arc::new(queue(bounds(8, Overflow::Block), 1 << 20));
    let producers: Vec<_> = (0..2)
        .map(|producer| {
            let queue = queue.clone();
            tokio::task::spawn_blocking(move || {
                for i in 0..2000 {
                    let entry = format!("{producer}:{i}");
                    while put(&queue, &entry).is_err() {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let reader = queue.clone();
    let reading = tokio::spawn(async move {
        let mut next = [0; 2];
        while reader.ready(1).await {
            for entry in reader.lease(3, usize::MAX).await {
                let text = String::from_utf8(entry.to_vec()).unwrap();
                let (producer, i) = text.split_once(':').unwrap();
                let producer: usize = producer.parse().unwrap();
                assert_eq!(i.parse::<usize>().unwrap(), next[producer]);
                next[producer] += 1;
                reader.commit(1);
            }
        }
        next
    });
    for producer in producers {
        producer.await.unwrap();
    }
    queue.close();
    let next = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the reader ends").unwrap();
    assert_eq!(next, [2000, 2000]);
}

/// Scenario: a queue is closed while a reservation is open.
/// Guarantees: the reader waits for the reserved entries, receives them, and ends; new reservations fail.
#[tokio::test]
async fn closing_waits_for_open_reservations() {
    let queue = Arc::new(queue(Bounds::default(), 1000));
    queue.reserve(1, 1).unwrap();
    queue.close();
    assert_eq!(queue.reserve(1, 1), Err(ReserveError::Closed));
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.ready(1).await }
    });
    tokio::task::yield_now().await;
    queue.append(vec![Bytes::from_static(b"x")], 1, &receipt());
    assert!(waiting.await.unwrap());
    assert_eq!(lease(&queue, 1).await.len(), 1);
    assert!(!queue.ready(1).await);
}

/// Scenario: a queue fills up, overflows and drains.
/// Guarantees: each event is reported once, when it happens: 80 % full, drops at powers of two, and draining.
#[tokio::test]
async fn notices_report_a_filling_queue() {
    let queue = queue(bounds(5, Overflow::DropOldest), 1000);
    for i in 0..8 {
        put(&queue, &i.to_string()).unwrap();
    }
    let told = queue.events().await;
    let overflowed = |total| QueueEvent::Overflowed { total };
    assert_eq!(told, [QueueEvent::NearlyFull { depth: 4 }, overflowed(1), overflowed(2)]);
    lease(&queue, 5).await;
    queue.commit(5);
    assert_eq!(queue.events().await, [QueueEvent::BackToNormal { depth: 0 }]);
}

/// Scenario: a full queue refuses three times before its reader asks for events, and messages are dropped twice.
/// Guarantees: all are counted; the reader gets one event with the sums; dropped messages count as appended and dropped.
#[tokio::test]
async fn refusals_are_counted_and_reported_together() {
    let queue = queue(bounds(2, Overflow::Block), 1000);
    let full = ReserveError::Full(Bound::MaxEntries);
    (0..3).for_each(|_| queue.count_refusal(full, 0));
    (0..2).for_each(|_| queue.count_refusal(full, 4));
    queue.count_refusal(ReserveError::Full(Bound::MaxMemory), 0);
    let counters = queue.counters();
    assert_eq!((counters.refusals, counters.dropped_overflow, counters.appended), (4, 8, 8));
    let refused =
        |bound, refusals, dropped| QueueEvent::Refused { error: ReserveError::Full(bound), refusals, dropped };
    assert_eq!(queue.events().await, [refused(Bound::MaxEntries, 3, 8), refused(Bound::MaxMemory, 1, 0)]);
}

/// Scenario: a receipt is cloned for several queues.
/// Guarantees: `done` is called exactly once, when the last clone is dropped.
#[test]
fn a_receipt_calls_once_at_the_end() {
    let calls = Arc::new(AtomicUsize::new(0));
    let receipt = Receipt::new({
        let calls = calls.clone();
        move || {
            calls.fetch_add(1, Ordering::SeqCst);
        }
    });
    let other = receipt.clone();
    drop(receipt);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    drop(other);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[derive(Debug, Clone)]
enum Action {
    Reserve(usize, usize),
    Release,
    Forgo,
    Append(Vec<usize>),
    Lease(usize, usize),
    Settle(usize, usize),
    Revoke(usize),
    Discard(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => (1usize..4, 0usize..40).prop_map(|(entries, bytes)| Action::Reserve(entries, bytes)),
        1 => Just(Action::Release),
        1 => Just(Action::Forgo),
        3 => prop::collection::vec(0usize..20, 3).prop_map(Action::Append),
        2 => (1usize..5, 0usize..50).prop_map(|(entries, bytes)| Action::Lease(entries, bytes)),
        2 => (0usize..4, prop_oneof![Just(0), 0usize..4]).prop_map(|(entries, keep)| Action::Settle(entries, keep)),
        1 => (0usize..3).prop_map(Action::Revoke),
        1 => (0usize..3).prop_map(Action::Discard),
    ]
}

proptest! {
    /// Scenario: any sequence of actions on a queue of either policy, compared with a plain list.
    /// Guarantees: entries leave once and in order, and those that are revoked come again before all others, in their
    /// order; appended = delivered + queued + dropped + not made at every step; the bounds hold for a queue that never got
    /// more than was reserved, and do not count unconfirmed entries; the budget is fully released at the end; there is an
    /// age while there is an unsettled entry, and a duration for each delivered one.
    #[test]
    fn the_queue_conserves_entries(
        actions in prop::collection::vec(action(), 1..80),
        drops in any::<bool>(),
        max_bytes in prop::option::of(10usize..60),
    ) {
        let overflow = if drops { Overflow::DropOldest } else { Overflow::Block };
        let budget = Arc::new(Budget::new(100));
        let limits = Bounds { max_entries: 6, max_bytes, overflow };
        let queue = MemoryQueue::new(limits, budget.clone(), Signals::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut reservations: Vec<(usize, usize)> = Vec::new();
        let mut in_flight: std::collections::VecDeque<Bytes> = Default::default();
        let (mut unconfirmed, mut again) = (in_flight.clone(), in_flight.clone());
        let (mut serial, mut last_seen, mut overrun, mut forgone) = (0u32, None, false, 0);
        for action in actions {
            match action {
                Action::Reserve(entries, bytes) => {
                    let idle = queue.counters().is_idle();
                    let taken = queue.reserve(entries, bytes);
                    if taken.is_ok() {
                        reservations.push((entries, bytes));
                        overrun |= idle && entries == 1 && bytes > max_bytes.unwrap_or(100).min(100);
                    }
                    prop_assert!(taken.is_ok() || !drops);
                }
                Action::Release => if let Some((entries, bytes)) = reservations.pop() {
                    queue.release(entries, bytes);
                },
                Action::Forgo => if let Some((entries, bytes)) = reservations.pop() {
                    queue.release_dropped(entries, bytes, DropReason::Script);
                    forgone += entries as u64;
                },
                Action::Append(sizes) => if let Some((entries, bytes)) = reservations.pop() {
                    let mut batch = Vec::new();
                    for size in sizes.into_iter().cycle().take(entries) {
                        let mut entry = serial.to_be_bytes().to_vec();
                        entry.resize(4 + size, 0);
                        serial += 1;
                        batch.push(Bytes::from(entry));
                    }
                    overrun |= batch.iter().map(Bytes::len).sum::<usize>() > bytes;
                    queue.append(batch, bytes, &receipt());
                }
                Action::Lease(entries, bytes) => {
                    for entry in runtime.block_on(queue.lease(entries, bytes)) {
                        let number = u32::from_be_bytes(entry[..4].try_into().unwrap());
                        if let Some(revoked) = again.pop_front() {
                            prop_assert_eq!(&entry, &revoked);
                            in_flight.push_back(entry);
                            continue;
                        }
                        prop_assert!(last_seen.is_none_or(|last| number > last), "in order, once");
                        prop_assert!(drops || number == last_seen.map_or(0, |last| last + 1), "without a gap");
                        last_seen = Some(number);
                        in_flight.push_back(entry);
                    }
                }
                Action::Settle(entries, keep) => {
                    let entries = entries.min(in_flight.len());
                    unconfirmed.extend(in_flight.drain(..entries));
                    unconfirmed.drain(..unconfirmed.len().saturating_sub(keep));
                    queue.settle(entries, keep);
                }
                Action::Revoke(entries) => {
                    let mut revoked = unconfirmed.split_off(unconfirmed.len().saturating_sub(entries));
                    overrun |= !revoked.is_empty();
                    revoked.append(&mut in_flight);
                    revoked.append(&mut again);
                    again = revoked;
                    queue.revoke(entries);
                }
                Action::Discard(entries) => {
                    let entries = entries.min(in_flight.len());
                    in_flight.drain(..entries);
                    queue.discard(entries, DropReason::DeadLetter);
                }
            }
            let now = queue.counters();
            prop_assert_eq!((now.appended, now.unmade()), (u64::from(serial) + forgone, forgone));
            let gone = now.dropped() + now.unmade() + now.dead_letters;
            prop_assert_eq!(now.appended, now.delivered + now.depth as u64 + gone);
            let status = queue.status();
            let waits = now.depth > now.unconfirmed;
            prop_assert_eq!((status.oldest.is_some(), status.times.count()), (waits, now.delivered));
            prop_assert_eq!((now.leased, now.unconfirmed), (in_flight.len(), unconfirmed.len()));
            prop_assert_eq!(now.reserved, reservations.iter().map(|r| r.0).sum::<usize>());
            let held = now.bytes - now.unconfirmed_bytes + reservations.iter().map(|r| r.1).sum::<usize>();
            prop_assert_eq!(budget.used(), held, "the budget knows every byte");
            if drops {
                prop_assert!(now.depth - now.unconfirmed - now.leased - again.len() <= 6);
            } else {
                prop_assert!(overrun || now.depth - now.unconfirmed + now.reserved <= 6);
                prop_assert!(overrun || held <= max_bytes.unwrap_or(100).min(100));
                prop_assert_eq!(now.dropped_overflow, 0);
            }
        }
        drop(queue);
        prop_assert_eq!(budget.used(), 0);
    }
}
