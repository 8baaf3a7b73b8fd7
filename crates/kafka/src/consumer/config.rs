//! How a member of a group consumes, as settings of librdkafka.
//!
//! | Field | Setting | Remark |
//! |---|---|---|
//! | `group_id` | `group.id` | |
//! | `group_instance_id` | `group.instance.id` | static membership |
//! | `client_rack` | `client.rack` | fetches from the replica in the same rack |
//! | `auto_offset_reset` | `auto.offset.reset` | |
//! | `isolation_level` | `isolation.level` | |
//! | `partition_assignment` | `partition.assignment.strategy` | |
//! | `session_timeout` | `session.timeout.ms`, `heartbeat.interval.ms`, `max.poll.interval.ms` | a heartbeat in a tenth of it |
//! | `max_fetched_bytes` | `queued.max.messages.kbytes`, `fetch.max.bytes`, `fetch.message.max.bytes` | |
//! | `commit_interval` | `auto.commit.interval.ms` | |
//! | none | `enable.auto.offset.store` | false: see [`Consumer::store`](super::Consumer::store) |

use std::time::Duration;

use serde::Deserialize;

use crate::settings::Properties;

/// The least bytes of a fetch.
const MIN_FETCH_BYTES: usize = 64 << 10;
/// The strategy with which partitions that stay are consumed while others move.
pub(super) const COOPERATIVE: &str = "cooperative-sticky";
/// Milliseconds between two statistics.
const STATISTICS_MS: u32 = 1000;
/// Milliseconds after which new topics and partitions are found.
const METADATA_MS: u32 = 30_000;
/// Bytes of one fetch from one partition, unless a record is larger: librdkafka's default.
const PARTITION_FETCH_BYTES: usize = 1 << 20;

/// How a member of a group consumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// The group.
    pub group_id: String,
    /// The member's own id: a member with one that comes back within `session_timeout` keeps its partitions.
    pub group_instance_id: Option<String>,
    /// Where the member is, for brokers with `replica.selector.class`.
    pub client_rack: Option<String>,
    /// Where to begin in a partition without a committed offset.
    pub auto_offset_reset: OffsetReset,
    /// Whether records of open and aborted producer transactions are consumed.
    pub isolation_level: IsolationLevel,
    /// How the members of the group share the partitions.
    pub partition_assignment: Assignment,
    /// After this time without a heartbeat the group gives the member's partitions to others.
    pub session_timeout: Duration,
    /// The time between two commits of what is stored.
    pub commit_interval: Duration,
    /// Bytes of records that the client may hold before they are polled. One more fetch may arrive for each broker.
    pub max_fetched_bytes: usize,
}

/// Where to begin in a partition without a committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of Kafka")]
pub enum OffsetReset {
    Earliest,
    Latest,
}

/// Whether records of open and aborted producer transactions are consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of Kafka")]
pub enum IsolationLevel {
    ReadCommitted,
    ReadUncommitted,
}

/// How the members of a group share the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of Kafka")]
pub enum Assignment {
    #[serde(rename = "cooperative-sticky")]
    CooperativeSticky,
    Range,
    RoundRobin,
}

/// `config` as settings of librdkafka.
pub(crate) fn properties(config: &ConsumerConfig) -> Properties {
    let session = u32::try_from(config.session_timeout.as_millis()).unwrap_or(u32::MAX).clamp(1000, 3_600_000);
    let commit = u32::try_from(config.commit_interval.as_millis()).unwrap_or(u32::MAX).clamp(1, 86_400_000);
    let fetched = config.max_fetched_bytes;
    let fetch = (fetched / 2).clamp(MIN_FETCH_BYTES, i32::MAX as usize / 2);
    let reset = match config.auto_offset_reset {
        OffsetReset::Earliest => "earliest",
        OffsetReset::Latest => "latest",
    };
    let isolation = match config.isolation_level {
        IsolationLevel::ReadCommitted => "read_committed",
        IsolationLevel::ReadUncommitted => "read_uncommitted",
    };
    let strategy = match config.partition_assignment {
        Assignment::CooperativeSticky => COOPERATIVE,
        Assignment::Range => "range",
        Assignment::RoundRobin => "roundrobin",
    };
    let mut properties = vec![
        ("group.id", config.group_id.clone()),
        ("auto.offset.reset", reset.to_owned()),
        ("isolation.level", isolation.to_owned()),
        ("partition.assignment.strategy", strategy.to_owned()),
        ("session.timeout.ms", session.to_string()),
        // At least as long, or the client refuses to start; by default five minutes.
        ("max.poll.interval.ms", session.max(300_000).to_string()),
        ("heartbeat.interval.ms", (session / 10).clamp(100, 3000).to_string()),
        ("enable.auto.commit", "true".to_owned()),
        ("auto.commit.interval.ms", commit.to_string()),
        ("enable.auto.offset.store", "false".to_owned()),
        ("queued.max.messages.kbytes", (fetched >> 10).clamp(1, 2_097_151).to_string()),
        ("fetch.max.bytes", fetch.to_string()),
        // Of producers; librdkafka wants it to be no more than a fetch.
        ("message.max.bytes", fetch.min(1_000_000).to_string()),
        ("fetch.message.max.bytes", PARTITION_FETCH_BYTES.min(fetch).to_string()),
        ("receive.message.max.bytes", (fetch + (64 << 20)).min(i32::MAX as usize).to_string()),
        // A partition is fetched again soon after it had no room.
        ("fetch.queue.backoff.ms", "100".to_owned()),
        ("topic.metadata.refresh.interval.ms", METADATA_MS.to_string()),
        ("statistics.interval.ms", STATISTICS_MS.to_string()),
    ];
    properties.extend(config.group_instance_id.clone().map(|id| ("group.instance.id", id)));
    properties.extend(config.client_rack.clone().map(|rack| ("client.rack", rack)));
    properties
}
