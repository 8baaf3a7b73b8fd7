//! Logging in: SASL with PLAIN and SCRAM, and TLS with a client certificate from files.

use serde_json::json;

use super::{consuming, messages, produce, wait_for_all};
use crate::kafka::broker;
use crate::kafka::broker::{PASSWORD, USER};
use crate::service::transaction;

/// Scenario: brokers that want a user and a password, with each mechanism that they have.
/// Guarantees: the records are consumed.
#[test]
fn sasl() {
    let broker = broker();
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let topic = format!("input-{mechanism}");
        broker.create_topic(&topic, 1, &[]);
        produce(broker, &topic, 1, [transaction(1).to_string()]);
        let (home, _) = consuming(broker, &topic, &json!({}));
        let mut service = home
            .set("LOGPHASE_KAFKA_BOOTSTRAP_SERVERS", format!("localhost:{}", broker.ports.sasl))
            .set("LOGPHASE_KAFKA_AUTHENTICATION_STRATEGY", "sasl")
            .set("LOGPHASE_KAFKA_AUTHENTICATION_MECHANISM", mechanism)
            .set("LOGPHASE_KAFKA_AUTHENTICATION_USER", USER)
            .set("LOGPHASE_KAFKA_AUTHENTICATION_PASSWORD", PASSWORD)
            .start();
        wait_for_all(&service, &[1].into());
        assert_eq!(service.stop(), 0);
        assert!(!service.log().contains(PASSWORD), "the log shows no password");
    }
}

/// Scenario: a broker that wants a client certificate; its authority, the certificate and the key are files, and the process
/// is confined.
/// Guarantees: the records are consumed; with another password or certificate the log says what to check.
#[test]
fn mutual_tls() {
    let broker = broker();
    broker.create_topic("input-tls", 1, &[]);
    produce(broker, "input-tls", 1, [transaction(1).to_string()]);
    let (home, _) = consuming(broker, "input-tls", &json!({}));
    std::fs::create_dir(home.path("tls")).unwrap();
    home.write("tls/ca.pem", &broker.certificates.ca);
    home.write("tls/client.pem", &broker.certificates.client);
    home.write("tls/client.key", &broker.certificates.client_key);
    let (ca, certificate, key) = (home.text("tls/ca.pem"), home.text("tls/client.pem"), home.text("tls/client.key"));
    let home = home
        .set("LOGPHASE_KAFKA_BOOTSTRAP_SERVERS", format!("localhost:{}", broker.ports.tls))
        .set("LOGPHASE_KAFKA_SECURITY_SSL", "true")
        .set("LOGPHASE_KAFKA_SECURITY_CA", ca)
        .set("LOGPHASE_KAFKA_SECURITY_CERTIFICATE", certificate)
        .set("LOGPHASE_KAFKA_SECURITY_PRIVATE_KEY", key);
    let mut service = home.start();
    wait_for_all(&service, &[1].into());
    assert_eq!(service.stop(), 0);
    messages(&service).assert_once(&[1].into());
}

/// Scenario: a wrong password. Guarantees: the service runs, and its log names the setting to check.
#[test]
fn wrong_password() {
    let broker = broker();
    let (home, _) = consuming(broker, "input-refused", &json!({}));
    let mut service = home
        .set("LOGPHASE_KAFKA_BOOTSTRAP_SERVERS", format!("localhost:{}", broker.ports.sasl))
        .set("LOGPHASE_KAFKA_AUTHENTICATION_STRATEGY", "sasl")
        .set("LOGPHASE_KAFKA_AUTHENTICATION_MECHANISM", "PLAIN")
        .set("LOGPHASE_KAFKA_AUTHENTICATION_USER", USER)
        .set("LOGPHASE_KAFKA_AUTHENTICATION_PASSWORD", "another-secret")
        .start();
    crate::service::wait_until("the log says so", || service.has_logged("check inputs.kafka.authentication"));
    assert!(!service.log().contains("another-secret"));
    assert_eq!(service.stop(), 0);
}
