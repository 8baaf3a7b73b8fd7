//! Fields and settings, errors and actions, shared producers, tokens.

use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode as Code;

use serde_json::{Value, json};

use super::config::Config;
use super::error::{ErrorAction, action, explain};
use super::oauthbearer::set_token;
use super::producer::{ProducerHandle, Producers};
use super::settings::Settings;

fn settings(more: Value) -> Result<Settings, String> {
    settings_at("h", more)
}

fn settings_at(host: &str, more: Value) -> Result<Settings, String> {
    let mut config = json!({"topic": "t", "bootstrap_servers": [{"host": host, "port": 9092}]});
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let config: Config = serde_json::from_value(config).expect("a config");
    let settings = Settings::new(&config.connection, &config.producer, || Ok(PEM.to_owned()));
    settings.map_err(|error| error.to_string())
}

fn get(settings: &Settings, name: &str) -> Option<String> {
    let mut pairs = settings.connection.iter().chain(&settings.role);
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}

fn expect(more: Value, expected: &[(&str, &str)]) {
    let settings = settings(more.clone()).expect("settings");
    for (name, value) in expected {
        assert_eq!(get(&settings, name).as_deref(), Some(*value), "{name} of {more}");
    }
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/// Scenario: each field of the schema, alone. Guarantees: it becomes the setting that the table of `settings` names.
#[test]
fn fields_become_settings() {
    let servers = json!([{"host": "::1", "port": 1}, {"host": "b", "port": 2}]);
    expect(json!({"bootstrap_servers": servers}), &[("bootstrap.servers", "[::1]:1,b:2")]);
    expect(json!({"timeout": 7000}), &[("socket.timeout.ms", "7000"), ("socket.connection.setup.timeout.ms", "7000")]);
    expect(
        json!({"keepalive": 5, "keepalive_enabled": true}),
        &[("connections.max.idle.ms", "5"), ("socket.keepalive.enable", "true")],
    );
    expect(json!({}), &[("acks", "-1"), ("enable.idempotence", "true"), ("message.timeout.ms", "0")]);
    expect(
        json!({"producer_request_acks": 1}),
        &[("acks", "1"), ("enable.idempotence", "false"), ("max.in.flight.requests.per.connection", "1")],
    );
    expect(json!({"producer_request_timeout": 3000}), &[("request.timeout.ms", "3000")]);
    expect(json!({"producer_request_limits_messages_per_request": 9}), &[("batch.num.messages", "9")]);
    expect(json!({"producer_request_limits_bytes_per_request": 100_000}), &[("batch.size", "99488")]);
    expect(json!({"producer_request_retries_backoff_timeout": 250}), &[("retry.backoff.ms", "250")]);
    expect(json!({}), &[("linger.ms", "5"), ("queue.buffering.max.messages", "50000")]);
    expect(json!({"producer_async_flush_timeout": 2}), &[("linger.ms", "2")]);
    expect(json!({"producer_async": false}), &[("linger.ms", "0")]);
    expect(json!({}), &[("compression.type", "lz4"), ("partitioner", "consistent_random")]);
    for compression in ["none", "gzip", "snappy", "zstd"] {
        expect(json!({"compression": compression}), &[("compression.type", compression)]);
    }
    expect(json!({"partitioner": "murmur2"}), &[("partitioner", "murmur2_random")]);
    expect(json!({"partitioner": "random"}), &[("partitioner", "random"), ("sticky.partitioning.linger.ms", "0")]);
}

/// Scenario: TLS and authentication.
/// Guarantees: the protocol, the verification and the credentials are those of the fields.
#[test]
fn security_becomes_settings() {
    expect(json!({}), &[("security.protocol", "plaintext")]);
    expect(
        json!({"security": {"ssl": true}, "certificate": {"cert": "C", "key": "K"}}),
        &[
            ("security.protocol", "ssl"),
            ("enable.ssl.certificate.verification", "true"),
            ("ssl.endpoint.identification.algorithm", "https"),
            ("ssl.ca.pem", PEM),
            ("ssl.certificate.pem", "C"),
            ("ssl.key.pem", "K"),
        ],
    );
    expect(
        json!({"security": {"ssl": true, "ssl_verify": false}}),
        &[("enable.ssl.certificate.verification", "false"), ("ssl.endpoint.identification.algorithm", "none")],
    );
    let scram = json!({"strategy": "sasl", "mechanism": "SCRAM-SHA-256", "user": "u", "password": "p"});
    expect(
        json!({"authentication": scram, "security": {"ssl": true}}),
        &[
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
        ],
    );
}

/// Scenario: configurations that are invalid for every client.
/// Guarantees: each is rejected with the path of the field and what to do.
#[test]
fn unusable_configurations_are_refused() {
    let token =
        json!({"strategy": "sasl", "mechanism": "SCRAM-SHA-256", "user": "u", "password": "p", "tokenauth": true});
    for (more, text) in [
        (json!({"bootstrap_servers": []}), "bootstrap_servers: no broker; give"),
        (
            json!({"authentication": {"strategy": "sasl"}}),
            "authentication.mechanism: missing, and authentication.strategy is set; name a mechanism",
        ),
        (
            json!({"authentication": {"mechanism": "PLAIN"}}),
            "authentication.strategy: missing, and authentication.mechanism is set; set it to `sasl`",
        ),
        (
            json!({"authentication": {"strategy": "sasl", "mechanism": "PLAIN"}}),
            "authentication.user: missing; the mechanism PLAIN needs it",
        ),
        (
            json!({"authentication": {"strategy": "sasl", "mechanism": "OAUTHBEARER"}}),
            "authentication.oauthbearer: missing; say where the tokens",
        ),
        (json!({"authentication": token}), "authentication.tokenauth: the Kafka client has no delegation tokens; use"),
    ] {
        let error = settings(more.clone()).expect_err("refused");
        assert!(error.starts_with(text), "{more}: {error}");
    }
}

/// Scenario: a value that only librdkafka rejects.
/// Guarantees: the error names the field.
#[test]
fn refusals_of_the_client_name_the_field() {
    let error = settings(json!({"producer_request_acks": 5000})).expect_err("refused");
    assert!(error.starts_with("producer_request_acks: the Kafka client refuses it: "), "{error}");
}

/// Scenario: one error of each kind.
/// Guarantees: the action is as expected, and the message says what an operator can do.
#[test]
fn every_error_has_an_action() {
    for (code, expected, advice) in [
        (Code::BrokerTransportFailure, ErrorAction::Retry, "start the brokers"),
        (Code::AllBrokersDown, ErrorAction::Retry, "start the brokers"),
        (Code::NotLeaderForPartition, ErrorAction::Retry, "another leader"),
        (Code::RequestTimedOut, ErrorAction::Retry, "raise config.producer_request_timeout"),
        (Code::NotEnoughReplicas, ErrorAction::Retry, "min.insync.replicas"),
        (Code::UnknownTopic, ErrorAction::Retry, "kafka-topics --create"),
        (Code::UnknownTopicOrPartition, ErrorAction::Retry, "kafka-topics --create"),
        (Code::TopicAuthorizationFailed, ErrorAction::Retry, "kafka-acls"),
        (Code::ClusterAuthorizationFailed, ErrorAction::Retry, "kafka-acls"),
        (Code::SaslAuthenticationFailed, ErrorAction::Retry, "config.authentication"),
        (Code::Authentication, ErrorAction::Retry, "config.authentication"),
        (Code::SSL, ErrorAction::Retry, "config.security.ssl"),
        (Code::MessageSizeTooLarge, ErrorAction::SendAlone, "max.message.bytes"),
        (Code::InvalidRecord, ErrorAction::SendAlone, "key_query_arg"),
        (Code::UnsupportedForMessageFormat, ErrorAction::Reject, "message.format.version"),
        (Code::Fatal, ErrorAction::Recreate, "logs"),
        (Code::OutOfOrderSequenceNumber, ErrorAction::Recreate, "logs"),
        // Not in the table.
        (Code::FetchSessionIdNotFound, ErrorAction::Retry, "logs"),
    ] {
        assert_eq!(action(code).0, expected, "{code}");
        let text = explain("t", code, "");
        assert!(text.starts_with("topic t: ") && text.contains(advice), "{text}");
    }
}

fn acquire(
    producers: &Producers,
    host: &str,
    more: Value,
    cluster_name: Option<&str>,
) -> (ProducerHandle, Option<String>) {
    let settings = settings_at(host, more).expect("settings");
    producers.acquire(&settings, cluster_name, None).expect("a producer")
}

/// Scenario: plugins with equal settings, with other settings, and with a cluster_name.
/// Guarantees: equal settings share a producer and others do not; plugins with the same cluster_name share the first
/// one's connection, and the other plugin gets a warning.
#[test]
fn equal_plugins_share_a_producer() {
    let producers = Producers::default();
    let (first, _) = acquire(&producers, "127.0.0.1", json!({}), None);
    assert!(first.shares_with(&acquire(&producers, "127.0.0.1", json!({}), None).0));
    assert!(!first.shares_with(&acquire(&producers, "127.0.0.1", json!({"compression": "none"}), None).0));
    assert!(!first.shares_with(&acquire(&producers, "127.0.0.2", json!({}), None).0));
    let (named, warning) = acquire(&producers, "127.0.0.1", json!({}), Some("c"));
    assert!(!first.shares_with(&named) && warning.is_none());
    let (other, warning) = acquire(&producers, "127.0.0.2", json!({}), Some("c"));
    assert!(named.shares_with(&other));
    let warning = warning.expect("a warning");
    assert!(warning.starts_with("another plugin with cluster_name \"c\" has other connection settings"), "{warning}");
}

/// Scenario: the last plugin drops its producer; another plugin acquires one later.
/// Guarantees: it gets a new producer.
#[test]
fn producers_end_with_the_last_plugin() {
    let producers = Producers::default();
    let (first, _) = acquire(&producers, "127.0.0.1", json!({}), Some("c"));
    drop(first);
    let (_, warning) = acquire(&producers, "127.0.0.2", json!({}), Some("c"));
    assert_eq!(warning, None, "the name is free again");
}

/// Scenario: a token with a SASL extension, then one whose extension has a name that the standard reserves.
/// Guarantees: the client accepts the first and refuses the second with the reason; a NUL byte is an error.
#[test]
fn tokens_are_handed_over() {
    let producers = Producers::default();
    let bearer = json!({"token_endpoint_url": "http://127.0.0.1/", "client_id": "i", "client_secret": "s"});
    let authentication = json!({"strategy": "sasl", "mechanism": "OAUTHBEARER", "oauthbearer": bearer});
    let (handle, _) = acquire(&producers, "127.0.0.1", json!({"authentication": authentication}), None);
    let producer = handle.shared().producer();
    assert!(!producer.client().native_ptr().is_null());
    // The year 2100.
    let expiry_ms = 4_102_444_800_000;
    let set = |token: &str, extension: &str| {
        let extensions = [(extension.to_owned(), "lkc-1".to_owned())].into();
        set_token(producer.client(), token, expiry_ms, "i", &extensions).map_err(|error| error.to_string())
    };
    assert_eq!(set("abc", "logicalCluster"), Ok(()));
    let error = set("abc", "auth").expect_err("refused");
    assert!(error.starts_with("the token cannot be used: ") && error.contains("auth"), "{error}");
    let error = set("a\0b", "logicalCluster").expect_err("refused");
    assert!(error.contains("NUL byte"), "{error}");
}
