//! What an operator can do about an error of a consumer.

use rdkafka::types::RDKafkaErrorCode as Code;

/// What to do about `code`, as a fragment. The client tries again by itself.
pub fn advice(code: Code) -> &'static str {
    match code {
        Code::AllBrokersDown | Code::BrokerTransportFailure | Code::NetworkException | Code::OperationTimedOut => {
            "start the brokers, correct inputs.kafka.bootstrap_servers, or check the network between"
        }
        Code::Resolve => "correct inputs.kafka.bootstrap_servers, or check the name service",
        Code::Authentication | Code::SaslAuthenticationFailed | Code::IllegalSASLState => {
            "check inputs.kafka.authentication and the user at the brokers"
        }
        Code::UnsupportedSASLMechanism => "choose an inputs.kafka.authentication.mechanism that the brokers offer",
        Code::SSL => "check inputs.kafka.security, the trusted certificates, and whether the port speaks TLS",
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            "create it (kafka-topics --create --topic ...), or correct inputs.kafka.topics"
        }
        Code::TopicAuthorizationFailed => {
            "allow the user to read the topic (kafka-acls --add --consumer --topic ... --group ...)"
        }
        Code::GroupAuthorizationFailed => {
            "allow the user to use the group (kafka-acls --add --consumer --topic ... --group ...)"
        }
        Code::InconsistentGroupProtocol => {
            "give all members of the group one inputs.kafka.partition_assignment, or choose another group_id"
        }
        Code::FencedInstanceId | Code::Fatal => {
            "if another member has the same inputs.kafka.group_instance_id, give each its own"
        }
        Code::InvalidSessionTimeout => {
            "keep inputs.kafka.session_timeout between the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms"
        }
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            "records were removed before they were consumed: raise the topic's retention, or add nodes"
        }
        Code::BadMessage | Code::InvalidMessage | Code::InvalidMessageSize => {
            "see the brokers' logs; the record is damaged"
        }
        _ => "see the brokers' logs",
    }
}
