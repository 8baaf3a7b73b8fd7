//! The parts of librdkafka's statistics that say how far a consumer is behind.

use std::collections::HashMap;

use serde::Deserialize;

use super::TopicPartition;

/// What the client knows of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatistics {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset after its last record that a consumer may see; `None` while it is not known.
    pub end: Option<i64>,
    /// The offset that the group has committed; `None` without one.
    pub committed: Option<i64>,
    /// The offset of its oldest record; `None` while it is not known.
    pub start: Option<i64>,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: HashMap<String, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    partition: i32,
    lo_offset: i64,
    ls_offset: i64,
    committed_offset: i64,
}

/// The partitions in librdkafka's statistics (its `STATISTICS.md`).
pub(super) fn parse(json: &[u8]) -> serde_json::Result<Vec<PartitionStatistics>> {
    let Statistics { topics } = serde_json::from_slice(json)?;
    let mut all = Vec::new();
    // Offsets that are not known are negative.
    let known = |offset: i64| Some(offset).filter(|offset| *offset >= 0);
    for (topic, Topic { partitions }) in topics {
        let topic: std::sync::Arc<str> = topic.into();
        // The number -1 stands for no partition.
        let partitions = partitions.into_values().filter(|partition| partition.partition >= 0);
        all.extend(partitions.map(|Partition { partition, lo_offset, ls_offset, committed_offset }| {
            PartitionStatistics {
                partition: TopicPartition { topic: topic.clone(), partition },
                end: known(ls_offset),
                committed: known(committed_offset),
                start: known(lo_offset),
            }
        }));
    }
    Ok(all)
}
