//! Settings, and lanes in front of a fake worker. What a broker is needed for is in `tests/kafka/input`.

use serde_json::json;

use super::lane::{Chunk, LaneHandle};
use super::*;
use crate::input::tests::harness::{Behavior, FakeWorker, transaction, wait_until};
use crate::input::{Context, Counters};
use crate::phase::Intake;
use logphase_kafka::consumer::TopicPartition;
use logphase_script::transaction::Limits;

fn context(intake: &Intake) -> Context {
    Context::for_test(Kafka::NAME, intake.clone(), Arc::new(Counters::default()))
}

fn lane(context: &Context) -> LaneHandle {
    let decoder = TextDecoder::kong(Format::Record, Limits::default());
    let partition = TopicPartition { topic: "t".into(), partition: 0 };
    LaneHandle::start(context.clone(), decoder, partition, std::thread::current())
}

fn send(lane: &LaneHandle, records: impl IntoIterator<Item = (i64, Option<String>)>) {
    let mut chunk = Chunk::default();
    for (offset, value) in records {
        lane.hold(chunk.push(offset, value.as_deref().map(str::as_bytes)));
    }
    lane.send(&mut chunk);
    assert!(chunk.is_empty(), "the lane has room");
}

/// Scenario: records with a transaction, two transactions, none, a broken one, and a tombstone, with gaps between their
/// offsets, while the queue has room for two transactions; then for all.
/// Guarantees: the offset to commit stops before the record that is only half in the queue, although later ones are done;
/// then it is that after the last record. Transactions keep their order, and nothing is held in the end.
#[tokio::test]
async fn offsets_follow_the_queues() {
    let (worker, intake) = FakeWorker::start();
    let context = context(&intake);
    let lane = lane(&context);
    worker.set(Behavior::Room(2));
    let two = format!("[{},{}]", transaction(1), transaction(2));
    let records = [
        (5, Some(transaction(0))),
        (9, Some(two)),
        (10, Some("broken".to_owned())),
        (11, None),
        (12, Some("[]".to_owned())),
        (20, Some(transaction(3))),
    ];
    send(&lane, records);
    worker.wait_for(2).await;
    wait_until("the first record is safe", || lane.progress().next() == Some(6)).await;
    assert!(lane.progress().held() > 0);
    worker.set(Behavior::Take);
    wait_until("all are safe", || lane.progress().next() == Some(21)).await;
    assert_eq!(lane.progress().held(), 0);
    assert_eq!(worker.taken(), (0..4).map(transaction).collect::<Vec<_>>());
    let counters = context.counters();
    assert_eq!((counters.received(), counters.rejected_total(), counters.skipped()), (4, 1, 1));
}

/// Scenario: a lane with records that the worker holds, and the intake closes.
/// Guarantees: the lane ends, and says so; nothing that the worker did not take counts as safe or as lost.
#[tokio::test]
async fn a_lane_ends_with_the_intake() {
    let (worker, intake) = FakeWorker::start();
    let context = context(&intake);
    let lane = lane(&context);
    worker.set(Behavior::Room(0));
    send(&lane, [(0, Some(transaction(0)))]);
    intake.close();
    wait_until("the lane has ended", || lane.progress().has_ended()).await;
    assert_eq!((lane.progress().next(), context.counters().lost()), (None, 0));
}

/// Scenario: names of topics. Guarantees: those that Kafka allows are taken; patterns and others are not.
#[test]
fn names_of_topics() {
    for name in ["t", "a.b-c_D9", &"x".repeat(249)] {
        assert_eq!(topic(&json!(name)), Ok(()), "{name}");
    }
    for name in ["", ".", "..", "^t.*", "a b", "ä", &"x".repeat(250)] {
        assert!(topic(&json!(name)).is_err(), "{name}");
    }
}
