//! A partition that this member has.

use std::time::Duration;

use tokio::time::Instant;

use super::lane::{Chunk, LaneHandle};
use super::stats::PartitionState;
use logphase_kafka::consumer::{Consumer, PartitionStatistics, TopicPartition};

/// How long a partition may have no room before it is paused, so that others and rebalances do not wait for it. What was
/// fetched of it is then fetched again, so it is not paused at once.
const STUCK: Duration = Duration::from_secs(1);

/// Whether a partition is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// It is fetched.
    Open,
    /// It is not fetched, because its transactions wait for full queues.
    Paused,
    /// It is given up when what it holds is safe, or at this time at the latest.
    Leaving(Option<Instant>),
}

/// A partition that this member has.
pub(super) struct Owned {
    pub(super) id: TopicPartition,
    pub(super) flow: Flow,
    lane: LaneHandle,
    /// Records that are not sent to the lane yet.
    chunk: Chunk,
    /// The offset that was stored last.
    stored: Option<i64>,
    /// Where the group stood when the partition came.
    begin: Option<i64>,
    end: Option<i64>,
    /// Bytes that it held at the last look, and for how long they have not become fewer.
    seen: (usize, Duration),
    /// For how long others waited for it.
    blocking: Duration,
}

impl Owned {
    pub(super) fn new(id: TopicPartition, lane: LaneHandle) -> Self {
        Self {
            id,
            flow: Flow::Open,
            lane,
            chunk: Chunk::default(),
            stored: None,
            begin: None,
            end: None,
            seen: (0, Duration::ZERO),
            blocking: Duration::ZERO,
        }
    }

    pub(super) fn is(&self, topic: &str, partition: i32) -> bool {
        self.id.partition == partition && *self.id.topic == *topic
    }

    /// Takes a record; returns whether there is room for more. One of a partition that is given up is left to its next
    /// owner.
    pub(super) fn take(&mut self, offset: i64, value: Option<&[u8]>, room: usize) -> bool {
        if let Flow::Leaving(_) = self.flow {
            return true;
        }
        self.lane.hold(self.chunk.push(offset, value));
        if self.chunk.is_full() {
            self.send();
        }
        self.held() < room
    }

    /// Sends what was taken to the lane.
    pub(super) fn send(&mut self) {
        self.lane.send(&mut self.chunk);
    }

    fn held(&self) -> usize {
        self.lane.progress().held()
    }

    /// Whether nothing that was taken can still become safe.
    pub(super) fn is_idle(&self) -> bool {
        self.held() == 0 || self.lane.progress().has_ended()
    }

    /// Whether its lane has ended.
    pub(super) fn has_failed(&self) -> bool {
        self.lane.progress().has_ended()
    }

    /// Pauses the partition if it is stuck, and resumes it when it has room again. Returns whether to poll: not while it is
    /// fetched and has no room. `passed` is the time since the last look; `others_wait` says that other partitions have
    /// nothing to do.
    pub(super) fn look_after_room(
        &mut self,
        consumer: &Consumer,
        room: usize,
        passed: Duration,
        others_wait: bool,
    ) -> bool {
        let held = self.held();
        let (before, since) = self.seen;
        self.seen = (held, if held < before || held == 0 { Duration::ZERO } else { since + passed });
        let has_room = held < room;
        match self.flow {
            Flow::Open if !has_room => {
                self.blocking += if others_wait { passed } else { Duration::ZERO };
                if self.seen.1.max(self.blocking) < STUCK || consumer.pause(&self.id).is_err() {
                    return false;
                }
                self.flow = Flow::Paused;
            }
            Flow::Open if held < room / 2 => self.blocking = Duration::ZERO,
            Flow::Paused if held < room / 2 && consumer.resume(&self.id).is_ok() => {
                (self.flow, self.blocking) = (Flow::Open, Duration::ZERO);
            }
            _ => {}
        }
        true
    }

    /// Takes nothing more, so that the partition can be given up, `until` then at the latest.
    pub(super) fn leave(&mut self, consumer: &Consumer, until: Option<Instant>) {
        // What a full queue holds up would not become safe in time.
        let until = if self.flow == Flow::Paused { until.map(|_| Instant::now()) } else { until };
        if self.flow == Flow::Open
            && let Err(error) = consumer.pause(&self.id)
        {
            tracing::debug!("cannot pause {}: {error}", self.id);
        }
        self.flow = Flow::Leaving(until);
    }

    /// Whether it need not be waited for any more.
    pub(super) fn may_leave(&self, now: Instant) -> bool {
        self.is_idle() || matches!(self.flow, Flow::Leaving(Some(until)) if until <= now)
    }

    /// The offset to commit, if there is one.
    pub(super) fn safe_offset(&self) -> Option<(TopicPartition, i64)> {
        Some((self.id.clone(), self.lane.progress().next()?))
    }

    /// The offset to store, if it was not stored before. Counts as stored now.
    pub(super) fn take_unstored(&mut self) -> Option<(TopicPartition, i64)> {
        let next = self.lane.progress().next()?;
        (self.stored.replace(next) != Some(next)).then(|| (self.id.clone(), next))
    }

    /// Takes over what the client knows. `from_start` says that a partition without a committed offset is consumed from
    /// its first record.
    pub(super) fn learn(&mut self, known: &PartitionStatistics, from_start: bool) {
        let PartitionStatistics { end, committed, start, .. } = known;
        self.end = end.or(self.end);
        let start = start.filter(|_| from_start);
        self.begin = committed.or(self.begin).or(start);
    }

    /// Its state as it is shown.
    pub(super) fn state(&self) -> PartitionState {
        PartitionState {
            topic: self.id.topic.clone(),
            partition: self.id.partition,
            next: self.lane.progress().next().or(self.begin),
            end: self.end,
            paused: self.flow == Flow::Paused,
        }
    }
}
