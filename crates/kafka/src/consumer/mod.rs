//! A member of a consumer group.
//!
//! A [`Consumer`] has no thread of its own: whoever has it calls [`Consumer::poll`] until nothing is left, and again when
//! it is woken. Rebalances are events like records, and answered by [`Consumer::assign`] and [`Consumer::unassign`], so
//! that what a partition has in flight can be finished before it is given up. Only offsets of [`Consumer::store`] are
//! committed.

pub mod config;
mod error;
mod events;
mod statistics;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

pub use self::error::advice;
pub use self::events::ClientError;
use self::events::Events;
pub use self::statistics::PartitionStatistics;
use super::oauthbearer::{SetTokenError, Token, TokenClient, TokenSupplier};
use super::settings::Settings;

/// Polls that may return nothing although more is waiting: each serves one event, such as a line for the log, and does not
/// say so.
const EMPTY_POLLS: usize = 8;
/// The pause between two attempts to be the last owner of a client that is closed.
const OWNER_PAUSE: Duration = Duration::from_millis(1);

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// What happened.
pub enum Event<'a> {
    /// A record has arrived.
    Record(Record<'a>),
    /// The group gives these partitions to this member. Must be answered by [`Consumer::assign`].
    Assigned(Vec<TopicPartition>),
    /// The group takes these partitions away. Must be answered by [`Consumer::unassign`].
    Revoked {
        /// The partitions.
        partitions: Vec<TopicPartition>,
        /// Whether another member may have them already. Their offsets can no longer be committed.
        lost: bool,
    },
    /// The client reports an error.
    Error(ClientError),
    /// The stored offsets were committed; or not, for this reason, and are committed later.
    Committed(Result<(), RDKafkaErrorCode>),
    /// The state of the partitions of the topics, once a second.
    Statistics(Vec<PartitionStatistics>),
}

/// A record in the memory of the client.
pub struct Record<'a>(BorrowedMessage<'a>);

impl Record<'_> {
    /// The topic.
    pub fn topic(&self) -> &str {
        self.0.topic()
    }

    /// The partition of the topic.
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// The place in the partition.
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// The value; `None` for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }
}

/// A consumer cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the Kafka client: {0}")]
pub struct StartError(#[from] KafkaError);

/// A member of a consumer group; see the [module](self).
pub struct Consumer {
    client: Arc<BaseConsumer<Events>>,
    cooperative: bool,
}

impl Consumer {
    /// Starts a client that joins the group of `settings` and consumes `topics`; the brokers need not be there. `tokens`
    /// supplies it. `wake` is called, by a thread of the client, when there may be something to poll after there was
    /// nothing. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// librdkafka refuses the settings or the topics, or has no thread.
    pub fn start(
        settings: &Settings,
        tokens: Option<&TokenSupplier>,
        topics: &[String],
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let strategy = settings.role.iter().find(|(name, _)| *name == "partition.assignment.strategy");
        let cooperative = strategy.is_none_or(|(_, strategy)| strategy == config::COOPERATIVE);
        let events = Events::new(cooperative);
        let mut client = BaseConsumer::from_config_and_context(&settings.client_config(), events)?;
        client.set_nonempty_callback(wake);
        let client = Arc::new(client);
        if let Some(tokens) = tokens {
            tokens.supply(&client);
        }
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        client.subscribe(&topics)?;
        Ok(Self { client, cooperative })
    }

    /// The next event; `None` if there is none now. Does not wait.
    pub fn poll(&self) -> Option<Event<'_>> {
        for _ in 0..EMPTY_POLLS {
            // An error of the queue is reported by the context, too, and there with its reason.
            if let Some(Ok(message)) = self.client.poll(Duration::ZERO) {
                return Some(Event::Record(Record(message)));
            }
            if let Some(event) = self.client.context().take() {
                return Some(event);
            }
        }
        None
    }

    /// Takes `partitions` over, from the committed offset of each.
    ///
    /// # Errors
    /// librdkafka's reason; the member then consumes none of them.
    pub fn assign(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = list(partitions);
        let assigned = if self.cooperative { self.client.incremental_assign(&list) } else { self.client.assign(&list) };
        // librdkafka keeps a partition paused that was given up so.
        assigned.and_then(|()| if partitions.is_empty() { Ok(()) } else { self.client.resume(&list) })
    }

    /// Gives `partitions` up.
    ///
    /// # Errors
    /// librdkafka's reason.
    pub fn unassign(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        if self.cooperative { self.client.incremental_unassign(&list(partitions)) } else { self.client.unassign() }
    }

    /// Stops to fetch a partition, and forgets what was fetched and not polled yet.
    ///
    /// # Errors
    /// librdkafka's reason.
    pub fn pause(&self, partition: &TopicPartition) -> Result<(), KafkaError> {
        self.client.pause(&list(std::slice::from_ref(partition)))
    }

    /// Fetches a paused partition again, after the record that was polled last.
    ///
    /// # Errors
    /// librdkafka's reason.
    pub fn resume(&self, partition: &TopicPartition) -> Result<(), KafkaError> {
        self.client.resume(&list(std::slice::from_ref(partition)))
    }

    /// Offsets to commit with the next commit, of each partition that of the next record to consume. Those of partitions that
    /// this member does not have are left out.
    pub fn store(&self, offsets: &[(TopicPartition, i64)]) {
        if let Err(error) = self.client.store_offsets(&offset_list(offsets)) {
            tracing::debug!("kafka client: offsets are not stored: {error}");
        }
    }

    /// Commits `offsets` and waits for the coordinator of the group, at most for the time of the group's sessions.
    ///
    /// # Errors
    /// The coordinator's or librdkafka's code.
    pub fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), RDKafkaErrorCode> {
        let committed = self.client.commit(&offset_list(offsets), CommitMode::Sync);
        committed.map_err(|error| super::producer::code_of(&error))
    }

    /// Leaves the group, so that the others need not wait for the end of a session, and ends the client. Waits for the
    /// coordinator.
    pub fn close(self) {
        self.client.context().close();
        let mut client = self.client;
        // The task that supplies tokens holds the client for moments; it must not be the one that waits for its end.
        loop {
            match Arc::try_unwrap(client) {
                Ok(last) => return drop(last),
                Err(shared) => client = shared,
            }
            std::thread::sleep(OWNER_PAUSE);
        }
    }
}

impl TokenClient for BaseConsumer<Events> {
    fn set_token(&self, token: &Token<'_>) -> Result<(), SetTokenError> {
        token.hand_to(self.client())
    }

    fn token_failed(&self, reason: &str) {
        self.context().report(RDKafkaErrorCode::Authentication, reason);
    }
}

fn list(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for TopicPartition { topic, partition } in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

fn offset_list(offsets: &[(TopicPartition, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (TopicPartition { topic, partition }, offset) in offsets {
        // Only an offset that does not exist is refused.
        let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*offset));
    }
    list
}

#[cfg(test)]
mod tests;
