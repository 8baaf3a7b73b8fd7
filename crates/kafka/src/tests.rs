//! Fields as settings of the client, errors as remedies, clients that plugins share, tokens.

use std::time::Duration;

use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode as Code;

use serde_json::{Value, json};

use super::client::Settings;
use super::error::{Remedy, explain, remedy};
use super::producer::{Clients, Link, Wanted};
use super::set_token::set_token;
use super::token::Token;

fn settings(more: Value) -> Result<Settings, String> {
    let mut config = json!({"topic": "t", "bootstrap_servers": [{"host": "h", "port": 9092}]});
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    Settings::new(&serde_json::from_value(config).expect("a config"), || Ok(PEM.to_owned()))
}

fn get(settings: &Settings, name: &str) -> Option<String> {
    let mut pairs = settings.connection.iter().chain(&settings.delivery);
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}

fn expect(more: Value, expected: &[(&str, &str)]) {
    let settings = settings(more.clone()).expect("settings");
    for (name, value) in expected {
        assert_eq!(get(&settings, name).as_deref(), Some(*value), "{name} of {more}");
    }
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/// Scenario: each field of the schema, alone. Guarantees: it becomes the setting that the table of `client` names.
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

/// Scenario: TLS and logins. Guarantees: the protocol, what is verified, and who logs in are what the fields say.
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
    let login = json!({"strategy": "sasl", "mechanism": "SCRAM-SHA-256", "user": "u", "password": "p"});
    expect(
        json!({"authentication": login, "security": {"ssl": true}}),
        &[
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
        ],
    );
}

/// Scenario: configurations that the client cannot follow. Guarantees: each is refused, with what to do.
#[test]
fn what_cannot_be_meant_is_refused() {
    let token =
        json!({"strategy": "sasl", "mechanism": "SCRAM-SHA-256", "user": "u", "password": "p", "tokenauth": true});
    for (more, text) in [
        (json!({"bootstrap_servers": []}), "no bootstrap_servers; give"),
        (json!({"authentication": {"strategy": "sasl"}}), "name one"),
        (json!({"authentication": {"mechanism": "PLAIN"}}), "set it to `sasl`"),
        (json!({"authentication": {"strategy": "sasl", "mechanism": "PLAIN"}}), "needs authentication.user"),
        (json!({"authentication": {"strategy": "sasl", "mechanism": "OAUTHBEARER"}}), "say where tokens come from"),
        (json!({"authentication": token}), "has no delegation tokens; use"),
    ] {
        let error = settings(more.clone()).expect_err("refused");
        assert!(error.contains(text), "{more}: {error}");
    }
}

/// Scenario: one error of each sort. Guarantees: its remedy, and that its text says what to do.
#[test]
fn every_error_has_a_remedy() {
    for (code, expected, advice) in [
        (Code::BrokerTransportFailure, Remedy::Retry, "start the brokers"),
        (Code::AllBrokersDown, Remedy::Retry, "start the brokers"),
        (Code::NotLeaderForPartition, Remedy::Retry, "another leader"),
        (Code::RequestTimedOut, Remedy::Retry, "raise config.producer_request_timeout"),
        (Code::NotEnoughReplicas, Remedy::Retry, "min.insync.replicas"),
        (Code::UnknownTopic, Remedy::Retry, "kafka-topics --create"),
        (Code::UnknownTopicOrPartition, Remedy::Retry, "kafka-topics --create"),
        (Code::TopicAuthorizationFailed, Remedy::Retry, "kafka-acls"),
        (Code::ClusterAuthorizationFailed, Remedy::Retry, "kafka-acls"),
        (Code::SaslAuthenticationFailed, Remedy::Retry, "config.authentication"),
        (Code::Authentication, Remedy::Retry, "config.authentication"),
        (Code::SSL, Remedy::Retry, "config.security.ssl"),
        (Code::MessageSizeTooLarge, Remedy::Apart, "max.message.bytes"),
        (Code::InvalidRecord, Remedy::Apart, "key_query_arg"),
        (Code::UnsupportedForMessageFormat, Remedy::Final, "message.format.version"),
        (Code::Fatal, Remedy::Renew, "logs"),
        (Code::OutOfOrderSequenceNumber, Remedy::Renew, "logs"),
        // Not in the table.
        (Code::FetchSessionIdNotFound, Remedy::Retry, "logs"),
    ] {
        assert_eq!(remedy(code).0, expected, "{code}");
        let text = explain("t", code, "");
        assert!(text.starts_with("topic t: ") && text.contains(advice), "{text}");
    }
}

fn link(clients: &Clients, host: &str, more: Value, cluster: Option<&str>) -> (Link, Option<String>) {
    let mut config = json!({"topic": "t", "bootstrap_servers": [{"host": host, "port": 1}]});
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let settings =
        Settings::new(&serde_json::from_value(config).expect("a config"), || Ok(String::new())).expect("settings");
    clients.link(&Wanted { settings: &settings, cluster }, None).expect("a client")
}

/// Scenario: plugins with equal settings, with other settings, and with a cluster_name.
/// Guarantees: equal settings share a client; others do not; under one name the first's connection holds, and the
/// other plugin is warned.
#[test]
fn equal_plugins_share_a_client() {
    let clients = Clients::default();
    let (first, _) = link(&clients, "127.0.0.1", json!({}), None);
    assert!(first.shares_with(&link(&clients, "127.0.0.1", json!({}), None).0));
    assert!(!first.shares_with(&link(&clients, "127.0.0.1", json!({"compression": "none"}), None).0));
    assert!(!first.shares_with(&link(&clients, "127.0.0.2", json!({}), None).0));
    let (named, warning) = link(&clients, "127.0.0.1", json!({}), Some("c"));
    assert!(!first.shares_with(&named) && warning.is_none());
    let (other, warning) = link(&clients, "127.0.0.2", json!({}), Some("c"));
    assert!(named.shares_with(&other));
    let warning = warning.expect("a warning");
    assert!(warning.starts_with("another plugin with cluster_name \"c\" has other settings"), "{warning}");
}

/// Scenario: the last plugin lets go of a client, and another comes later.
/// Guarantees: it has a new client.
#[test]
fn clients_go_with_the_last_plugin() {
    let clients = Clients::default();
    let (first, _) = link(&clients, "127.0.0.1", json!({}), Some("c"));
    drop(first);
    let (_, warning) = link(&clients, "127.0.0.2", json!({}), Some("c"));
    assert_eq!(warning, None, "the name is free again");
}

/// Scenario: a token with SASL extensions is handed to a client, then one whose extension has a name that the
/// standard reserves. Guarantees: the first is taken, the second refused with the reason.
#[test]
fn tokens_are_handed_over() {
    let clients = Clients::default();
    let bearer = json!({"token_endpoint_url": "http://127.0.0.1/", "client_id": "i", "client_secret": "s"});
    let login = json!({"strategy": "sasl", "mechanism": "OAUTHBEARER", "oauthbearer": bearer});
    let (link, _) = link(&clients, "127.0.0.1", json!({"authentication": login}), None);
    let client = link.shared().client();
    assert!(!client.client().native_ptr().is_null());
    let token = Token { value: "abc".into(), life: Duration::from_secs(60) };
    let extensions = |name: &str| [(name.to_owned(), "lkc-1".to_owned())].into();
    assert_eq!(set_token(client, &token, "i", &extensions("logicalCluster")), Ok(()));
    let error = set_token(client, &token, "i", &extensions("auth")).expect_err("refused");
    assert!(error.starts_with("the token cannot be used: ") && error.contains("auth"), "{error}");
}
