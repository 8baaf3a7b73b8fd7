//! What a consumer's callbacks report, kept until it is polled.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::{Event, TopicPartition, statistics};
use crate::error::Cause;
use crate::producer::code_of;

/// Events that are kept at most; an error that repeats faster than it is polled is dropped.
const MAX_EVENTS: usize = 1024;

/// An error of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError {
    /// librdkafka's code.
    pub code: RDKafkaErrorCode,
    /// librdkafka's message.
    pub reason: String,
}

impl ClientError {
    /// Whether the client can do nothing more.
    pub fn is_fatal(&self) -> bool {
        self.code == RDKafkaErrorCode::Fatal
    }
}

/// Receives the events of a consumer.
pub(super) struct Events {
    waiting: Mutex<VecDeque<Event<'static>>>,
    cause: Mutex<Cause>,
    cooperative: bool,
    closing: AtomicBool,
}

impl Events {
    pub(super) fn new(cooperative: bool) -> Self {
        Self { waiting: Mutex::default(), cause: Mutex::default(), cooperative, closing: AtomicBool::new(false) }
    }

    /// The oldest event.
    pub(super) fn take(&self) -> Option<Event<'static>> {
        self.waiting.lock().pop_front()
    }

    /// From now on nobody answers a rebalance.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Adds an error, unless it says only that one broker of several is away.
    pub(super) fn report(&self, code: RDKafkaErrorCode, reason: &str) {
        let (code, reason) = self.cause.lock().of(code, reason);
        self.push(Event::Error(ClientError { code, reason }));
    }

    fn push(&self, event: Event<'static>) {
        let mut waiting = self.waiting.lock();
        let may_be_lost = matches!(event, Event::Error(_) | Event::Statistics(_));
        if waiting.len() < MAX_EVENTS || !may_be_lost {
            waiting.push_back(event);
        }
    }

    /// Ends the rebalance when nobody else does.
    fn finish(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let ended = if self.cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() };
        if let Err(error) = ended {
            tracing::debug!("kafka client: cannot give up partitions while it is closed: {error}");
        }
    }
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "kafka client: {message}");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match statistics::parse(statistics) {
            Ok(statistics) => self.push(Event::Statistics(statistics)),
            Err(error) => tracing::debug!("kafka client: cannot read its statistics: {error}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = code_of(&error);
        match code {
            // Each is followed by `AllBrokersDown` if no other broker is there.
            RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve => {
                let _ = self.cause.lock().of(code, reason);
            }
            _ => self.report(code, reason),
        }
    }
}

impl ConsumerContext for Events {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            return self.finish(consumer, list);
        }
        let partition = |element: TopicPartitionListElem<'_>| TopicPartition {
            topic: element.topic().into(),
            partition: element.partition(),
        };
        let partitions = list.elements().into_iter().map(partition).collect();
        let lost = !assigned && consumer.assignment_lost();
        self.push(if assigned { Event::Assigned(partitions) } else { Event::Revoked { partitions, lost } });
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let result = result.map_err(|error| code_of(&error));
        // Nothing was stored since the last time.
        if result != Err(RDKafkaErrorCode::NoOffset) {
            self.push(Event::Committed(result));
        }
    }
}
