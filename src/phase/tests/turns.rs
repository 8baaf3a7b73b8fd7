//! Whose batch is next.

use tokio::sync::oneshot;

use super::*;
use crate::phase::Reply;
use crate::phase::turns::{BatchReceiver, BatchSender, Share, batch_channel};

const KB: usize = 1 << 10;

fn batch(group: u64, sender: u64, bytes: usize) -> Batch {
    let share = Share { group, sender };
    Batch {
        transactions: Vec::new(),
        all_or_none: true,
        match_routes: false,
        replay: false,
        input: None,
        fence: None,
        share,
        bytes,
        slot: None,
        reply: Reply::new().0,
    }
}

fn push(channel: &BatchSender, batches: impl IntoIterator<Item = Batch>) {
    for batch in batches {
        assert!(channel.push(batch));
    }
}

/// The senders of the next batches, and their bytes.
fn take(end: &mut BatchReceiver, count: usize) -> Vec<(u64, u64, usize)> {
    let batches = std::iter::from_fn(|| end.take().map(|batch| (batch.share.group, batch.share.sender, batch.bytes)));
    batches.take(count).collect()
}

/// Scenario: a sender has a hundred large batches waiting; then another hands in a few small ones.
/// Guarantees: the small ones wait for one large batch at most, and the order of each sender stays.
#[test]
fn a_quiet_sender_does_not_wait_behind_a_noisy_one() {
    let (channel, mut end) = batch_channel();
    push(&channel, (0..100).map(|number| batch(1, 1, 256 * KB - number)));
    take(&mut end, 10);
    push(&channel, (1..=3).map(|number| batch(2, 2, number)));
    let next = take(&mut end, 4);
    let quiet: Vec<usize> = next.iter().filter(|(group, ..)| *group == 2).map(|(.., bytes)| *bytes).collect();
    assert_eq!(quiet, [1, 2, 3], "{next:?}");
    drop(channel);
    let rest: Vec<usize> = take(&mut end, 100).iter().map(|(.., bytes)| *bytes).collect();
    assert_eq!(rest.len(), 89);
    assert!(rest.is_sorted_by(|one, next| one > next), "{rest:?}");
}

/// Scenario: one group with fifty senders and one with a single sender, with batches of different sizes, all of which have
/// more than can be processed.
/// Guarantees: the groups have the same bytes, and so have the senders of the first among themselves, within two turns.
#[test]
fn shares_are_equal_in_bytes() {
    let (channel, mut end) = batch_channel();
    for sender in 0..50 {
        push(&channel, (0..200).map(|_| batch(1, sender, (1 + sender as usize) * 8 * KB)));
    }
    push(&channel, (0..50_000).map(|_| batch(2, 0, 3 * KB)));
    let (mut groups, mut senders) = ([0, 0], [0; 50]);
    while groups[0] + groups[1] < 100 * (KB << 10) {
        let (group, sender, bytes) = take(&mut end, 1)[0];
        groups[usize::try_from(group - 1).unwrap()] += bytes;
        if group == 1 {
            senders[usize::try_from(sender).unwrap()] += bytes;
        }
    }
    assert!(groups[0].abs_diff(groups[1]) <= 1024 * KB, "{groups:?}");
    let (least, most) = (senders.iter().min().unwrap(), senders.iter().max().unwrap());
    assert!(most - least <= 1024 * KB, "{senders:?}");
}

/// Scenario: batches that are larger than many turns together, beside small ones.
/// Guarantees: they are taken, and pay for their size with turns.
#[test]
fn very_large_batches_pay() {
    let (channel, mut end) = batch_channel();
    push(&channel, [batch(1, 1, 8 << 20), batch(1, 1, 8 << 20)]);
    push(&channel, (0..200).map(|_| batch(2, 2, 128 * KB)));
    let order = take(&mut end, 202);
    let large: Vec<usize> =
        order.iter().enumerate().filter(|(_, (group, ..))| *group == 1).map(|(place, _)| place).collect();
    assert!(large[0] >= 50 && large[1] - large[0] >= 50, "{large:?}");
}

/// Scenario: in the middle of a large batch, one is asked for of another sender: of another group, of the same group, none,
/// and one that is too large.
/// Guarantees: only small ones of other senders are taken, each once.
#[test]
fn small_ones_in_between() {
    let (channel, mut end) = batch_channel();
    push(&channel, [batch(1, 1, 8 << 20), batch(1, 1, 1), batch(1, 2, 2), batch(2, 1, 3), batch(2, 1, 256 * KB)]);
    let own = Share { group: 1, sender: 1 };
    let mut between = || end.take_small_of_other(own).map(|batch| batch.bytes);
    assert_eq!([between(), between(), between()], [Some(3), Some(2), None]);
    drop(channel);
    let mut left: Vec<usize> = take(&mut end, 9).iter().map(|(.., bytes)| *bytes).collect();
    left.sort_unstable();
    assert_eq!(left, [1, 256 * KB, 8 << 20]);
}

/// Scenario: a worker does not come back from a batch, while another has much more waiting that it works off.
/// Guarantees: after a second the first counts as the busier one.
#[test]
fn a_stuck_worker_gets_no_more() {
    let ((stuck, mut stuck_end), (other, mut other_end)) = (batch_channel(), batch_channel());
    push(&stuck, [batch(1, 1, 1)]);
    take(&mut stuck_end, 1);
    push(&other, (0..1000).map(|_| batch(1, 1, KB)));
    assert!(stuck.load() < other.load());
    let begun = std::time::Instant::now();
    while stuck.load() < other.load() {
        assert!(begun.elapsed().as_secs() < 30);
        push(&other, [batch(1, 1, KB)]);
        take(&mut other_end, 1);
        std::thread::yield_now();
    }
}

/// Scenario: a worker does not come back from a batch; one batch whose sender needs no order and two of a sender with an order
/// wait for it; another worker is idle.
/// Guarantees: after a second the first goes to the other worker; the others stay, in order.
#[test]
fn a_stuck_worker_is_relieved() {
    let ((stuck, mut stuck_end), (other, mut other_end)) = (batch_channel(), batch_channel());
    push(&stuck, [batch(1, 1, 1)]);
    take(&mut stuck_end, 1);
    let fence = Some(Arc::new(Fence::default()));
    push(
        &stuck,
        [batch(2, 2, 20), Batch { fence: fence.clone(), ..batch(3, 3, 30) }, Batch { fence, ..batch(3, 3, 31) }],
    );
    let intake = Intake::new(vec![stuck, other], Arc::default(), FairBy::Peer);
    let relieve = intake.relieving_stuck_workers();
    let begun = std::time::Instant::now();
    while relieve() == 0 {
        assert!(begun.elapsed().as_secs() < 30);
        std::thread::yield_now();
    }
    assert_eq!(take(&mut other_end, 1), [(2, 2, 20)]);
    drop(intake);
    assert_eq!(relieve(), 0, "the workers have ended");
    assert_eq!(take(&mut stuck_end, 9), [(3, 3, 30), (3, 3, 31)]);
}

/// Scenario: either end of a channel goes.
/// Guarantees: what waits is still taken, then there is an end; without a worker a batch is answered, not kept.
#[test]
fn ends() {
    let (channel, mut end) = turns_of_one();
    drop(channel);
    assert!(end.take().is_some() && end.take().is_none());
    let (channel, end) = turns_of_one();
    drop(end);
    let (reply, mut result) = Reply::new();
    assert!(!channel.push(Batch { reply, ..batch(1, 1, 1) }));
    assert!(matches!(result.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
}

fn turns_of_one() -> (BatchSender, BatchReceiver) {
    let (channel, end) = batch_channel();
    push(&channel, [batch(1, 1, 1)]);
    (channel, end)
}
