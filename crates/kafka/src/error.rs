//! What each of librdkafka's errors means for an entry, and what an operator can do about it.

use rdkafka::types::RDKafkaErrorCode as Code;

/// What is to be done about a record that was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Later it may work, without or with an operator's help: the entry stays in the queue. So are errors of rights
    /// and of logins: a mended ACL shall not have cost messages.
    Retry,
    /// The client can send nothing more: a new one is made and the entry sent with it.
    Renew,
    /// The request was too large for the topic: its entries are tried one by one, and one that is too large by
    /// itself is final.
    Apart,
    /// This entry never will be delivered.
    Final,
}

const NETWORK: &str = "start the brokers, or correct config.bootstrap_servers; see to the network between";
const LOGIN: &str = "see to config.authentication and the user's rights at the brokers; nothing is lost meanwhile";
const RIGHTS: &str = "allow the user to write to the topic (kafka-acls --add --producer --topic ...); nothing is lost \
                      meanwhile";
const REPLICAS: &str = "bring the missing brokers back: the topic has fewer replicas in sync than its \
                        min.insync.replicas";
const TOPIC: &str = "create it (kafka-topics --create --topic ...), let the brokers create topics \
                     (auto.create.topics.enable), or correct config.topic";
const SIZE: &str =
    "raise the topic's max.message.bytes, or make messages smaller (max_body_size, custom_fields_by_lua)";
const RECORD: &str = "the broker does not take such a record: see the topic's settings (a compacted topic needs keys, so \
                      config.key_query_arg) and config.compression";
const BROKER: &str = "the brokers' logs say more";

/// Remedies and advice by code. What is not here is [`OTHER`].
static TABLE: &[(Code, Remedy, &str)] = &[
    // The network and the brokers.
    (Code::BrokerTransportFailure, Remedy::Retry, NETWORK),
    (Code::AllBrokersDown, Remedy::Retry, NETWORK),
    (Code::Resolve, Remedy::Retry, "correct config.bootstrap_servers, or see to the name service"),
    (Code::NetworkException, Remedy::Retry, NETWORK),
    (Code::BrokerNotAvailable, Remedy::Retry, NETWORK),
    (Code::MessageTimedOut, Remedy::Retry, NETWORK),
    (Code::OperationTimedOut, Remedy::Retry, NETWORK),
    (Code::TimedOutQueue, Remedy::Retry, NETWORK),
    (Code::RequestTimedOut, Remedy::Retry, "the brokers are slow: raise config.producer_request_timeout"),
    (Code::ThrottlingQuotaExceeded, Remedy::Retry, "raise the user's quota at the brokers"),
    (Code::KafkaStorageError, Remedy::Retry, "see to the brokers' disks"),
    (Code::LogDirNotFound, Remedy::Retry, "see to the brokers' disks"),
    (Code::Retry, Remedy::Retry, BROKER),
    (Code::BrokerDestroy, Remedy::Renew, BROKER),
    // Leaders and replicas.
    (Code::LeaderNotAvailable, Remedy::Retry, "the partition is choosing its leader"),
    (Code::NotLeaderForPartition, Remedy::Retry, "the partition has another leader now"),
    (Code::FencedLeaderEpoch, Remedy::Retry, "the partition has another leader now"),
    (Code::UnknownLeaderEpoch, Remedy::Retry, "the partition has another leader now"),
    (Code::ReplicaNotAvailable, Remedy::Retry, REPLICAS),
    (Code::NotEnoughReplicas, Remedy::Retry, REPLICAS),
    (Code::NotEnoughReplicasAfterAppend, Remedy::Retry, REPLICAS),
    (Code::ISRInsufficient, Remedy::Retry, REPLICAS),
    // The topic.
    (Code::UnknownTopicOrPartition, Remedy::Retry, TOPIC),
    (Code::UnknownTopic, Remedy::Retry, TOPIC),
    (Code::UnknownPartition, Remedy::Retry, TOPIC),
    (Code::InvalidTopic, Remedy::Retry, "correct config.topic: letters, digits, dots, `_` and `-`, at most 249"),
    // Logins and rights.
    (Code::TopicAuthorizationFailed, Remedy::Retry, RIGHTS),
    (Code::ClusterAuthorizationFailed, Remedy::Retry, RIGHTS),
    (Code::TransactionalIdAuthorizationFailed, Remedy::Retry, RIGHTS),
    (Code::Authentication, Remedy::Retry, LOGIN),
    (Code::SaslAuthenticationFailed, Remedy::Retry, LOGIN),
    (Code::UnsupportedSASLMechanism, Remedy::Retry, "choose an authentication.mechanism that the brokers offer"),
    (Code::IllegalSASLState, Remedy::Retry, LOGIN),
    (Code::SecurityDisabled, Remedy::Retry, LOGIN),
    (
        Code::SSL,
        Remedy::Retry,
        "see config.security.ssl, ssl_verify and certificate_id, the trusted certificates, and whether the port speaks TLS",
    ),
    // Settings of the brokers that an operator can mend.
    (Code::PolicyViolation, Remedy::Retry, "see the cluster's policies"),
    (Code::InvalidRequiredAcks, Remedy::Retry, "set config.producer_request_acks to -1, 0 or 1"),
    (Code::UnsupportedVersion, Remedy::Retry, "this client speaks to Kafka 0.10 and later"),
    (Code::UnsupportedFeature, Remedy::Retry, "set config.producer_request_acks to 1, or update the brokers"),
    (Code::UnsupportedCompressionType, Remedy::Retry, "choose another config.compression"),
    (Code::BadCompression, Remedy::Retry, "choose another config.compression"),
    // The client's order of records is broken.
    (Code::Fatal, Remedy::Renew, BROKER),
    (Code::Fenced, Remedy::Renew, BROKER),
    (Code::ProducerFenced, Remedy::Renew, BROKER),
    (Code::OutOfOrderSequenceNumber, Remedy::Renew, BROKER),
    (Code::DuplicateSequenceNumber, Remedy::Renew, BROKER),
    (Code::InvalidProducerEpoch, Remedy::Renew, BROKER),
    (Code::InvalidProducerIdMapping, Remedy::Renew, BROKER),
    (Code::UnknownProducerId, Remedy::Renew, BROKER),
    (Code::GaplessGuarantee, Remedy::Renew, BROKER),
    (Code::Inconsistent, Remedy::Renew, BROKER),
    (Code::PurgeQueue, Remedy::Renew, BROKER),
    (Code::PurgeInflight, Remedy::Renew, BROKER),
    // The request or the record.
    (Code::MessageSizeTooLarge, Remedy::Apart, SIZE),
    (Code::MessageBatchTooLarge, Remedy::Apart, "lower config.producer_request_limits_bytes_per_request"),
    (Code::InvalidMessageSize, Remedy::Apart, SIZE),
    // A batch with one such record is refused as a whole.
    (Code::InvalidRecord, Remedy::Apart, RECORD),
    (Code::InvalidDifferentRecord, Remedy::Apart, RECORD),
    (Code::InvalidMessage, Remedy::Apart, "the record arrived damaged"),
    (Code::BadMessage, Remedy::Apart, "the record arrived damaged"),
    (Code::InvalidTimestamp, Remedy::Apart, "see the clock of this host and the topic's timestamp settings"),
    (Code::UnsupportedForMessageFormat, Remedy::Final, "raise the topic's message.format.version"),
    (Code::InvalidArgument, Remedy::Final, RECORD),
];

/// The remedy for an error that the table does not know: the entry is kept, since it may be the cluster's fault.
const OTHER: (Remedy, &str) = (Remedy::Retry, BROKER);

/// The remedy for `code`, with what an operator can do.
pub fn remedy(code: Code) -> (Remedy, &'static str) {
    TABLE.iter().find(|(known, ..)| *known == code).map_or(OTHER, |&(_, remedy, advice)| (remedy, advice))
}

/// Whether nothing at all can be delivered while this lasts.
pub fn is_outage(code: Code) -> bool {
    matches!(
        code,
        Code::AllBrokersDown | Code::Authentication | Code::SSL | Code::Fatal | Code::SaslAuthenticationFailed
    )
}

/// An error as it is told: what, where, what to do. `detail` is what librdkafka says, or nothing.
pub fn explain(topic: &str, code: Code, detail: &str) -> String {
    let (_, advice) = remedy(code);
    let what = if detail.is_empty() { code.to_string() } else { detail.to_owned() };
    format!("topic {topic}: {what}; {advice}")
}

/// A trouble of the client as it is told. `detail` is what librdkafka says.
pub fn explain_trouble(addresses: &str, code: Code, detail: &str) -> String {
    // By TLS 1.3 a client certificate is refused after the handshake: librdkafka takes that for a broken connection.
    let (_, advice) = remedy(if detail.contains("SSL routines") { Code::SSL } else { code });
    format!("cannot reach the Kafka cluster at {addresses}: {detail}; {advice}")
}

/// That a client is replaced. `reason` is what librdkafka says.
pub fn explain_renewal(topic: &str, reason: &str) -> String {
    format!(
        "topic {topic}: the Kafka client cannot go on ({reason}) and is made anew; what it had is sent again, so that \
         messages may come twice"
    )
}

/// That a request was refused because of some of what it had.
pub fn explain_apart(topic: &str, code: Code) -> String {
    let todo = match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            "lower config.producer_request_limits_bytes_per_request to the topic's max.message.bytes"
        }
        _ => "those that are refused again are reported one by one",
    };
    format!("topic {topic}: a request was refused ({code}), its messages are sent one by one; {todo}")
}
