//! What each of librdkafka's errors means for a message, and what an operator can do about it.

use rdkafka::types::RDKafkaErrorCode as Code;

/// What to do about a record that was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorAction {
    /// Keep the message in the queue: it may be delivered later, perhaps after an operator has done something. This
    /// includes errors of authentication and authorization, so that a corrected ACL has not cost messages.
    Retry,
    /// Replace the producer, which can deliver nothing more, and send the message again.
    Recreate,
    /// Send each message of the request alone, because one of them caused the error. A message that fails alone is
    /// rejected.
    SendAlone,
    /// Give the message up: it can never be delivered.
    Reject,
}

const NETWORK: &str = "start the brokers, correct config.bootstrap_servers, or check the network between";
const AUTHENTICATION: &str =
    "check config.authentication and the user's permissions at the brokers; nothing is lost meanwhile";
const AUTHORIZATION: &str = "allow the user to write to the topic (kafka-acls --add --producer --topic ...); nothing is lost \
                      meanwhile";
const REPLICAS: &str = "bring the missing brokers back: the topic has fewer replicas in sync than its \
                        min.insync.replicas";
const TOPIC: &str = "create it (kafka-topics --create --topic ...), let the brokers create topics \
                     (auto.create.topics.enable), or correct config.topic";
const SIZE: &str =
    "raise the topic's max.message.bytes, or make messages smaller (max_body_size, custom_fields_by_lua)";
const RECORD: &str = "the broker refuses the record: check the topic's settings (a compacted topic needs keys, so \
                      config.key_query_arg) and config.compression";
const BROKER: &str = "see the brokers' logs";

/// Remedies and advice by code. What is not here is [`OTHER`].
static TABLE: &[(Code, ErrorAction, &str)] = &[
    // The network and the brokers.
    (Code::BrokerTransportFailure, ErrorAction::Retry, NETWORK),
    (Code::AllBrokersDown, ErrorAction::Retry, NETWORK),
    (Code::Resolve, ErrorAction::Retry, "correct config.bootstrap_servers, or check the name service"),
    (Code::NetworkException, ErrorAction::Retry, NETWORK),
    (Code::BrokerNotAvailable, ErrorAction::Retry, NETWORK),
    (Code::MessageTimedOut, ErrorAction::Retry, NETWORK),
    (Code::OperationTimedOut, ErrorAction::Retry, NETWORK),
    (Code::TimedOutQueue, ErrorAction::Retry, NETWORK),
    (Code::RequestTimedOut, ErrorAction::Retry, "the brokers are slow: raise config.producer_request_timeout"),
    (Code::ThrottlingQuotaExceeded, ErrorAction::Retry, "raise the user's quota at the brokers"),
    (Code::KafkaStorageError, ErrorAction::Retry, "check the brokers' disks"),
    (Code::LogDirNotFound, ErrorAction::Retry, "check the brokers' disks"),
    (Code::Retry, ErrorAction::Retry, BROKER),
    (Code::BrokerDestroy, ErrorAction::Recreate, BROKER),
    // Leaders and replicas.
    (Code::LeaderNotAvailable, ErrorAction::Retry, "the partition is electing its leader"),
    (Code::NotLeaderForPartition, ErrorAction::Retry, "the partition has another leader now"),
    (Code::FencedLeaderEpoch, ErrorAction::Retry, "the partition has another leader now"),
    (Code::UnknownLeaderEpoch, ErrorAction::Retry, "the partition has another leader now"),
    (Code::ReplicaNotAvailable, ErrorAction::Retry, REPLICAS),
    (Code::NotEnoughReplicas, ErrorAction::Retry, REPLICAS),
    (Code::NotEnoughReplicasAfterAppend, ErrorAction::Retry, REPLICAS),
    (Code::ISRInsufficient, ErrorAction::Retry, REPLICAS),
    // The topic.
    (Code::UnknownTopicOrPartition, ErrorAction::Retry, TOPIC),
    (Code::UnknownTopic, ErrorAction::Retry, TOPIC),
    (Code::UnknownPartition, ErrorAction::Retry, TOPIC),
    (Code::InvalidTopic, ErrorAction::Retry, "correct config.topic: letters, digits, dots, `_` and `-`, at most 249"),
    // Authentication and authorization.
    (Code::TopicAuthorizationFailed, ErrorAction::Retry, AUTHORIZATION),
    (Code::ClusterAuthorizationFailed, ErrorAction::Retry, AUTHORIZATION),
    (Code::TransactionalIdAuthorizationFailed, ErrorAction::Retry, AUTHORIZATION),
    (Code::Authentication, ErrorAction::Retry, AUTHENTICATION),
    (Code::SaslAuthenticationFailed, ErrorAction::Retry, AUTHENTICATION),
    (Code::UnsupportedSASLMechanism, ErrorAction::Retry, "choose an authentication.mechanism that the brokers offer"),
    (Code::IllegalSASLState, ErrorAction::Retry, AUTHENTICATION),
    (Code::SecurityDisabled, ErrorAction::Retry, AUTHENTICATION),
    (
        Code::SSL,
        ErrorAction::Retry,
        "check config.security.ssl, ssl_verify and certificate_id, the trusted certificates, and whether the port speaks TLS",
    ),
    // Settings that an operator can correct.
    (Code::PolicyViolation, ErrorAction::Retry, "check the cluster's policies"),
    (Code::InvalidRequiredAcks, ErrorAction::Retry, "set config.producer_request_acks to -1, 0 or 1"),
    (Code::UnsupportedVersion, ErrorAction::Retry, "this client speaks to Kafka 0.10 and later"),
    (Code::UnsupportedFeature, ErrorAction::Retry, "set config.producer_request_acks to 1, or update the brokers"),
    (Code::UnsupportedCompressionType, ErrorAction::Retry, "choose another config.compression"),
    (Code::BadCompression, ErrorAction::Retry, "choose another config.compression"),
    // The producer cannot keep the order of records.
    (Code::Fatal, ErrorAction::Recreate, BROKER),
    (Code::Fenced, ErrorAction::Recreate, BROKER),
    (Code::ProducerFenced, ErrorAction::Recreate, BROKER),
    (Code::OutOfOrderSequenceNumber, ErrorAction::Recreate, BROKER),
    (Code::DuplicateSequenceNumber, ErrorAction::Recreate, BROKER),
    (Code::InvalidProducerEpoch, ErrorAction::Recreate, BROKER),
    (Code::InvalidProducerIdMapping, ErrorAction::Recreate, BROKER),
    (Code::UnknownProducerId, ErrorAction::Recreate, BROKER),
    (Code::GaplessGuarantee, ErrorAction::Recreate, BROKER),
    (Code::Inconsistent, ErrorAction::Recreate, BROKER),
    (Code::PurgeQueue, ErrorAction::Recreate, BROKER),
    (Code::PurgeInflight, ErrorAction::Recreate, BROKER),
    // The request or the record.
    (Code::MessageSizeTooLarge, ErrorAction::SendAlone, SIZE),
    (Code::MessageBatchTooLarge, ErrorAction::SendAlone, "lower config.producer_request_limits_bytes_per_request"),
    (Code::InvalidMessageSize, ErrorAction::SendAlone, SIZE),
    // One such record makes the broker refuse the whole batch.
    (Code::InvalidRecord, ErrorAction::SendAlone, RECORD),
    (Code::InvalidDifferentRecord, ErrorAction::SendAlone, RECORD),
    (Code::InvalidMessage, ErrorAction::SendAlone, "the record arrived damaged"),
    (Code::BadMessage, ErrorAction::SendAlone, "the record arrived damaged"),
    (Code::InvalidTimestamp, ErrorAction::SendAlone, "check the clock of this host and the topic's timestamp settings"),
    (Code::UnsupportedForMessageFormat, ErrorAction::Reject, "raise the topic's message.format.version"),
    (Code::InvalidArgument, ErrorAction::Reject, RECORD),
];

/// For other codes the message is kept, since the cluster may be at fault.
const OTHER: (ErrorAction, &str) = (ErrorAction::Retry, BROKER);

/// The last error of a broker. It says why all brokers are down, which that error itself does not.
#[derive(Debug, Default)]
pub struct Cause(Option<(Code, String)>);

impl Cause {
    /// The error to report for one with this code and reason. Remembers it.
    pub fn of(&mut self, code: Code, reason: &str) -> (Code, String) {
        let known = if code == Code::AllBrokersDown { self.0.take() } else { None };
        let cause = known.unwrap_or_else(|| (code, reason.to_owned()));
        self.0 = Some(cause.clone());
        cause
    }
}

/// What to do about `code`, and what an operator can do.
pub fn action(code: Code) -> (ErrorAction, &'static str) {
    TABLE.iter().find(|(known, ..)| *known == code).map_or(OTHER, |&(_, action, advice)| (action, advice))
}

/// Whether nothing at all can be delivered while this error lasts.
pub fn is_outage(code: Code) -> bool {
    matches!(
        code,
        Code::AllBrokersDown | Code::Authentication | Code::SSL | Code::Fatal | Code::SaslAuthenticationFailed
    )
}

/// The message for an error of a record. `detail` is librdkafka's message, or empty.
pub fn explain(topic: &str, code: Code, detail: &str) -> String {
    let (_, advice) = action(code);
    let problem = if detail.is_empty() { code.to_string() } else { detail.to_owned() };
    format!("topic {topic}: {problem}; {advice}")
}

/// The message for a connection error. `detail` is librdkafka's message.
pub fn explain_connection_error(addresses: &str, code: Code, detail: &str) -> String {
    // With TLS 1.3 a server refuses a client certificate after the handshake. librdkafka reports that as a broken
    // connection.
    let (_, advice) = action(if detail.contains("SSL routines") { Code::SSL } else { code });
    format!("cannot reach the Kafka cluster at {addresses}: {detail}; {advice}")
}

/// The message for a producer that is replaced. `reason` is librdkafka's message.
pub fn explain_recreation(topic: &str, reason: &str) -> String {
    format!(
        "topic {topic}: the Kafka client has failed ({reason}) and is recreated; what it had not delivered is sent again, \
         so that messages may arrive twice"
    )
}

/// The message for a request that was refused because of some of its messages.
pub fn explain_sending_alone(topic: &str, code: Code) -> String {
    let advice = match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            "lower config.producer_request_limits_bytes_per_request to the topic's max.message.bytes"
        }
        _ => "those that are refused again are reported one by one",
    };
    format!("topic {topic}: a request was refused ({code}), its messages are sent one by one; {advice}")
}
