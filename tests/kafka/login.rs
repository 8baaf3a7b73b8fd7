//! SASL and TLS.

use serde_json::{Value, json};

use super::broker::{PASSWORD, USER};
use super::topic::{read, wait_for};
use super::{Home, broker, kafka_log, plugins, set_config};
use crate::service::{Service, Signal, transaction, wait_until};

/// A kafka-log that logs in with SASL.
fn with_login(topic: &str, mechanism: &str, password: &str) -> Value {
    let broker = broker();
    let authentication = json!({"strategy": "sasl", "mechanism": mechanism, "user": USER, "password": password});
    let plugin = kafka_log(broker, topic, &json!({"authentication": authentication}));
    set_config(plugin, "bootstrap_servers", json!([{"host": "localhost", "port": broker.ports.sasl}]))
}

/// Scenario: SASL without TLS, with PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
/// Guarantees: messages arrive.
#[test]
fn sasl() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let topic = format!("sasl-{mechanism}");
        broker().create_topic(&topic, 1, &[]);
        let mut service = Home::with(&plugins(with_login(&topic, mechanism, PASSWORD))).start();
        service.accept(transaction(1).to_string());
        assert_eq!(wait_for(broker(), &topic, 1)[0].id(), 1);
        assert_eq!(service.stop(), 0);
    }
}

/// Starts a service with a wrong password, sends three messages, and waits until the log says what to do.
fn start_with_wrong_password(topic: &str, mechanism: &str, user: &str) -> Service {
    broker().create_topic(topic, 1, &[]);
    let mut plugin = with_login(topic, mechanism, "not this one");
    plugin["config"]["authentication"]["user"] = json!(user);
    let home = Home::with(&plugins(plugin)).set("LOGPHASE_SHUTDOWN_TIMEOUT", "1");
    let service = home.set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.5").start();
    for id in 0..3 {
        service.accept(transaction(id).to_string());
    }
    wait_until("the log says what to do about the login", || {
        service.log().lines().any(|line| line.contains("kafka-log") && line.contains("config.authentication"))
    });
    assert!(!service.has_logged("not this one"), "the password is in the log");
    assert!(read(broker(), topic).is_empty());
    service
}

/// Scenario: a SCRAM-SHA-512 user that the broker does not know, created while three messages wait.
/// Guarantees: the messages wait and the log says what to do; then they arrive, in order, without intervention.
#[test]
fn user_that_is_made_late() {
    let mut service = start_with_wrong_password("made-user", "SCRAM-SHA-512", "bob");
    let make = ["--alter", "--entity-type", "users", "--entity-name", "bob", "--add-config"];
    let mut java = broker().java("kafka.admin.ConfigCommand");
    java.args(["--bootstrap-server", &broker().address()]).args(make).arg("SCRAM-SHA-512=[password=not this one]");
    let made = java.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let records = wait_for(broker(), "made-user", 3);
    assert_eq!(records.iter().map(|record| record.id()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(service.stop(), 0);
}

/// Scenario: a wrong password, with PLAIN and with SCRAM-SHA-512, corrected with SIGHUP.
/// Guarantees: nothing is sent with the wrong password; the log says what to do and does not show the password; after
/// the reload the waiting messages arrive, then new ones.
#[test]
fn wrong_password_that_is_corrected() {
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let topic = format!("password-{mechanism}");
        let service = start_with_wrong_password(&topic, mechanism, USER);
        service.home.write("kong.yml", &plugins(with_login(&topic, mechanism, PASSWORD)));
        service.signal(Signal::HUP);
        wait_until("the configuration is read anew", || service.has_logged("configuration reloaded"));
        service.accept(transaction(3).to_string());
        let records = wait_for(broker(), &topic, 4);
        assert_eq!(records.iter().map(|record| record.id()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}

const CERTIFICATE: &str = "7f3d3b52-8a5a-4d3e-9a0e-3c1f5f0b2a11";

/// A configuration with a kafka-log over TLS, with or without the client certificate.
fn over_tls(topic: &str, host: &str, certified: bool) -> String {
    let broker = broker();
    let mut security = json!({"ssl": true});
    if certified {
        security["certificate_id"] = json!(CERTIFICATE);
    }
    let plugin = kafka_log(broker, topic, &json!({"security": security}));
    let plugin = set_config(plugin, "bootstrap_servers", json!([{"host": host, "port": broker.ports.tls}]));
    let certificates = &broker.certificates;
    let certificate = json!({"id": CERTIFICATE, "cert": certificates.client, "key": certificates.client_key});
    json!({"_format_version": "3.0", "plugins": [plugin], "certificates": [certificate]}).to_string()
}

fn start_over_tls(kong: &str, ca: Option<&str>) -> Service {
    let home = Home::with(kong).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.5").set("LOGPHASE_SHUTDOWN_TIMEOUT", "1");
    let Some(ca) = ca else { return home.start() };
    home.write("ca.pem", ca);
    let file = home.text("ca.pem");
    home.set("SSL_CERT_FILE", file).start()
}

/// Scenario: TLS with a broker that requires a client certificate; its authority is in SSL_CERT_FILE.
/// Guarantees: messages arrive.
#[test]
fn mutual_tls() {
    broker().create_topic("mutual-tls", 1, &[]);
    let mut service = start_over_tls(&over_tls("mutual-tls", "localhost", true), Some(&broker().certificates.ca));
    service.accept(transaction(1).to_string());
    assert_eq!(wait_for(broker(), "mutual-tls", 1)[0].id(), 1);
    assert_eq!(service.stop(), 0);
}

/// Fails unless nothing arrives and the log has a line of the plugin with these words.
#[track_caller]
fn assert_refused(topic: &str, kong: &str, ca: Option<&str>, words: &[&str]) {
    broker().create_topic(topic, 1, &[]);
    let mut service = start_over_tls(kong, ca);
    service.accept(transaction(1).to_string());
    wait_until("the log gives the cause", || {
        let says = |line: &str| line.contains("kafka-log") && words.iter().all(|word| line.contains(word));
        service.log().lines().any(says)
    });
    assert!(read(broker(), topic).is_empty());
    assert_eq!(service.stop(), 0);
    assert!(service.has_logged("left in the queue on disk"), "the message was left");
}

/// Scenario: a broker with a certificate that this system does not trust.
/// Guarantees: nothing is sent; the log names the certificate and what to do.
#[test]
fn unknown_authority() {
    let kong = over_tls("unknown-authority", "localhost", true);
    assert_refused("unknown-authority", &kong, None, &["certificate verify failed", "trusted certificates"]);
}

/// Scenario: a broker addressed by a name that is not in its certificate.
/// Guarantees: nothing is sent; the log says what to do.
#[test]
fn another_name() {
    let kong = over_tls("another-name", "127.0.0.1", true);
    let ca = &broker().certificates.ca;
    assert_refused("another-name", &kong, Some(ca), &["verify failed", "ssl_verify"]);
}

/// Scenario: a broker that requires a client certificate, and no configured certificate.
/// Guarantees: nothing is sent; the log names the field to set.
#[test]
fn missing_client_certificate() {
    let kong = over_tls("no-certificate", "localhost", false);
    assert_refused("no-certificate", &kong, Some(&broker().certificates.ca), &["certificate_id"]);
}
