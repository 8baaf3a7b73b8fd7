//! What the state of the consumer looks like from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

/// The state of a consumer.
#[derive(Debug)]
pub struct ConsumerStats {
    topics: Vec<Arc<str>>,
    commits: AtomicU64,
    failed_commits: AtomicU64,
    rebalances: AtomicU64,
    partitions: Mutex<Vec<PartitionState>>,
    error: Mutex<Option<(String, SystemTime)>>,
}

/// The state of a partition that this node consumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its number.
    pub partition: i32,
    /// The offset of the next record whose entries are not safe in the queues; `None` while it is not known.
    pub next: Option<i64>,
    /// The offset after its last record; `None` while it is not known.
    pub end: Option<i64>,
    /// Whether it is not fetched now, because its transactions wait for full queues.
    pub paused: bool,
}

impl PartitionState {
    /// The number of records whose entries are not safe in the queues; `None` while it is not known, which is for a second
    /// after the partition came.
    pub fn lag(&self) -> Option<u64> {
        Some(u64::try_from(self.end?.saturating_sub(self.next?)).unwrap_or(0))
    }
}

/// The partitions of one topic together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// The topic.
    pub topic: Arc<str>,
    /// The number of partitions that this node consumes.
    pub partitions: usize,
    /// How many of them are paused.
    pub paused: usize,
    /// The sum of their [`PartitionState::lag`], as far as it is known.
    pub lag: u64,
}

impl ConsumerStats {
    pub(super) fn new(topics: &[String]) -> Self {
        Self {
            topics: topics.iter().map(|topic| topic.as_str().into()).collect(),
            commits: AtomicU64::default(),
            failed_commits: AtomicU64::default(),
            rebalances: AtomicU64::default(),
            partitions: Mutex::default(),
            error: Mutex::default(),
        }
    }

    /// Commits that the group's coordinator has taken.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Commits that failed. The offsets are committed again with the next ones.
    pub fn failed_commits(&self) -> u64 {
        self.failed_commits.load(Ordering::Relaxed)
    }

    /// How often the group gave partitions to this node, or took some away.
    pub fn rebalances(&self) -> u64 {
        self.rebalances.load(Ordering::Relaxed)
    }

    /// The partitions that this node consumes, by topic and number.
    pub fn partitions(&self) -> Vec<PartitionState> {
        self.partitions.lock().clone()
    }

    /// The topics of the settings, in their order.
    pub fn topics(&self) -> Vec<TopicState> {
        let partitions = self.partitions.lock();
        let of = |topic: &Arc<str>| {
            let mut state = TopicState { topic: topic.clone(), partitions: 0, paused: 0, lag: 0 };
            for partition in partitions.iter().filter(|partition| partition.topic == *topic) {
                state.partitions += 1;
                state.paused += usize::from(partition.paused);
                state.lag = state.lag.saturating_add(partition.lag().unwrap_or(0));
            }
            state
        };
        self.topics.iter().map(of).collect()
    }

    /// The last error, and when it came, unless the consumer has gone on since.
    pub fn error(&self) -> Option<(String, SystemTime)> {
        self.error.lock().clone()
    }

    pub(super) fn count_commit(&self, failed: bool) {
        let counter = if failed { &self.failed_commits } else { &self.commits };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_rebalance(&self) {
        self.rebalances.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_partitions(&self, mut partitions: Vec<PartitionState>) {
        partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        *self.partitions.lock() = partitions;
    }

    pub(super) fn set_error(&self, error: String) {
        *self.error.lock() = Some((error, SystemTime::now()));
    }

    pub(super) fn clear_error(&self) {
        *self.error.lock() = None;
    }
}
