//! Settled entries that are not confirmed.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// Scenario: entries are settled and not confirmed, in a queue of two entries; the process ends; the next run settles them
/// again, and confirms all but one; the process ends again.
/// Guarantees: unconfirmed entries take no room, are in the depth and on disk, and are not delivered; each run has exactly
/// those that were not confirmed; the age is that of the first unsettled entry; the data directory's bound knows them.
#[tokio::test]
async fn unconfirmed_entries_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let first = flusher(1 << 20);
    let (queue, _) = open(&first, dir.path(), options(Some(2), Overflow::Block));
    for round in 0..3 {
        put(&queue, format!("{round}a"), &answered).unwrap();
        put(&queue, format!("{round}b"), &answered).unwrap();
        let mut leased = 0;
        while leased < 2 {
            leased += lease(&queue, 2).await.len();
        }
        queue.settle(2, 4);
    }
    let counters = queue.counters();
    assert!(conserves(&counters) && counters.is_settled() && !counters.is_idle(), "{counters:?}");
    assert_eq!((counters.delivered, counters.depth, counters.unconfirmed), (2, 4, 4));
    assert_eq!((counters.bytes, counters.unconfirmed_bytes), (8, 8));
    assert_eq!((queue.status().oldest, queue.status().times.count()), (None, 2));
    assert_eq!(first.data().used(), 4 * (2 + FRAME_BYTES));
    queue.close();
    assert!(!first.release(&queue), "the files stay");
    drop(queue);

    let second = flusher(1 << 20);
    let (queue, recovered) = open(&second, dir.path(), options(Some(9), Overflow::Block));
    assert_eq!((recovered.from, recovered.records), (2, 4));
    assert_eq!(lease(&queue, 9).await, ["1a", "1b", "2a", "2b"]);
    queue.settle(4, 1);
    assert!(conserves(&queue.counters()));
    second.shut_down();
    drop(queue);
    let (_, recovered) = open(&flusher(1 << 20), dir.path(), options(Some(9), Overflow::Block));
    assert_eq!((recovered.from, recovered.records), (5, 1));
}

/// Scenario: of unconfirmed entries and entries in flight, one was discarded; then they are revoked, with both kinds of
/// sync; the disk cannot be read for a while.
/// Guarantees: they are leased again in order, before the next entry, without the discarded one, when the disk can be read;
/// `drop` drops those that wait again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_entries_are_leased_again() {
    for sync_interval in [None, Some(Duration::from_millis(300))] {
        let disk = SimDisk::default();
        let budget = || Arc::new(Budget::new(1 << 20));
        let flusher = Flusher::on(Arc::new(disk.clone()), budget(), budget(), Signals::default());
        let mode = sync_interval.map_or(Mode::Sync, Mode::Interval);
        let sync = DurableOptions { mode, ..options(None, Overflow::Block) };
        let (queue, _) = open(&flusher, Path::new("/queue"), sync);
        let answered = Arc::new(AtomicUsize::new(0));
        for number in 0..7 {
            put(&queue, number.to_string(), &answered).unwrap();
        }
        wait_until("all are answered for", || answered.load(Ordering::SeqCst) == 7);
        assert_eq!(lease(&queue, 6).await, ["0", "1", "2", "3", "4", "5"]);
        queue.settle(3, 2);
        queue.discard(1, DropReason::DeadLetter);
        disk.set_unreadable(true);
        queue.revoke(2);
        let counters = queue.counters();
        assert!(conserves(&counters), "{counters:?}");
        assert_eq!((counters.delivered, counters.leased, counters.unconfirmed, counters.depth), (1, 0, 0, 5));
        let reading = tokio::spawn({
            let queue = queue.clone();
            async move { queue.lease(3, usize::MAX).await }
        });
        wait_until("an error is reported", || !queue.state.lock().events.is_empty());
        disk.set_unreadable(false);
        assert_eq!(tokio::time::timeout(PATIENCE, reading).await.expect("in time").unwrap(), ["1", "2"]);
        assert_eq!(lease(&queue, 1).await, ["4"]);
        assert_eq!(queue.drop_waiting(), 2);
        queue.commit(3);
        let counters = queue.counters();
        assert!(conserves(&counters) && counters.is_idle(), "{counters:?}");
        assert_eq!((counters.delivered, counters.dropped_operator, counters.bytes), (4, 2, 0));
        assert_eq!(queue.status().times.count(), 4);
        flusher.shut_down();
    }
}

#[derive(Debug, Clone)]
enum Action {
    Put,
    Lease(usize),
    Settle(usize, usize),
    Revoke(usize),
    Discard(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Put),
        3 => (1usize..5).prop_map(Action::Lease),
        3 => (0usize..4, 0usize..5).prop_map(|(entries, keep)| Action::Settle(entries, keep)),
        1 => (0usize..4).prop_map(Action::Revoke),
        1 => (0usize..2).prop_map(Action::Discard),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Scenario: any sequence of appends, leases, settlements, revocations and discards, compared with plain lists; then the
    /// process ends.
    /// Guarantees: the counters add up at every step; entries are leased in order, revoked ones again before the others; the
    /// next run starts with the oldest entry that was not confirmed.
    #[test]
    fn what_is_not_confirmed_is_recovered(actions in proptest::collection::vec(action(), 1..60)) {
        let disk = SimDisk::default();
        let on = || {
            let budget = || Arc::new(Budget::new(1 << 20));
            Flusher::on(Arc::new(disk.clone()), budget(), budget(), Signals::default())
        };
        let (flusher, answered) = (on(), Arc::new(AtomicUsize::new(0)));
        let (queue, _) = open(&flusher, Path::new("/queue"), options(None, Overflow::Block));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (mut put_so_far, mut unconfirmed, mut in_flight) = (0, VecDeque::new(), VecDeque::new());
        // What waits, the revoked ones first.
        let mut waiting = VecDeque::new();
        for action in actions {
            match action {
                Action::Put => {
                    put(&queue, put_so_far.to_string(), &answered).unwrap();
                    waiting.push_back(put_so_far);
                    put_so_far += 1;
                    wait_until("it is answered for", || answered.load(Ordering::SeqCst) == put_so_far);
                }
                Action::Lease(entries) => for entry in runtime.block_on(queue.lease(entries, usize::MAX)) {
                    let number: usize = std::str::from_utf8(&entry).unwrap().parse().unwrap();
                    prop_assert_eq!(Some(number), waiting.pop_front());
                    in_flight.push_back(number);
                },
                Action::Settle(entries, keep) => {
                    let entries = entries.min(in_flight.len());
                    unconfirmed.extend(in_flight.drain(..entries));
                    unconfirmed.drain(..unconfirmed.len().saturating_sub(keep));
                    queue.settle(entries, keep);
                }
                Action::Revoke(entries) => {
                    let mut again = unconfirmed.split_off(unconfirmed.len().saturating_sub(entries));
                    again.append(&mut in_flight);
                    again.append(&mut waiting);
                    waiting = again;
                    queue.revoke(entries);
                }
                Action::Discard(entries) => {
                    let entries = entries.min(in_flight.len());
                    in_flight.drain(..entries);
                    queue.discard(entries, DropReason::DeadLetter);
                }
            }
            let now = queue.counters();
            prop_assert!(conserves(&now), "{:?}", now);
            prop_assert_eq!((now.leased, now.unconfirmed), (in_flight.len(), unconfirmed.len()));
            let status = queue.status();
            prop_assert_eq!((status.oldest.is_some(), status.times.count()), (!now.is_settled(), now.delivered));
        }
        let head = unconfirmed.iter().chain(&in_flight).chain(&waiting).next().copied();
        flusher.shut_down();
        drop(queue);
        let (_, recovered) = open(&on(), Path::new("/queue"), options(None, Overflow::Block));
        prop_assert_eq!(recovered.from, head.unwrap_or(put_so_far) as u64);
    }
}
