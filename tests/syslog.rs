//! syslog with a real rsyslogd: over its local socket, UDP, TCP and TLS.

use serde_json::{Value, json};

use crate::service::{Home, Load, Record, Rsyslog, Service, configuration, transaction, wait_until};

/// A transaction with this status.
fn answered(id: u64, status: u16) -> Value {
    let mut transaction = transaction(id);
    transaction["response"]["status"] = status.into();
    transaction
}

/// A TCP session, which has no response.
fn session() -> Value {
    json!({
        "session": {"received": 100, "sent": 200, "status": 200, "server_port": 9000},
        "latencies": {"kong": 1, "session": 40}, "client_ip": "10.0.0.1", "started_at": 1_700_000_000_000_u64,
    })
}

/// A configuration that adds `more` to the three severities, for HTTP and TCP.
fn configure(more: &Value) -> String {
    let mut config = json!({
        "facility": "local3", "log_level": "info", "successful_severity": "info", "client_errors_severity": "notice",
        "server_errors_severity": "err",
    });
    let members = more.as_object().expect("an object").clone();
    config.as_object_mut().expect("an object").extend(members);
    configuration(&json!([{"name": "syslog", "protocols": ["http", "tcp"], "config": config}]))
}

/// Sends one transaction of each class and a session; returns what rsyslogd parsed.
fn deliver(daemon: &Rsyslog, home: Home) -> Vec<Record> {
    let before = daemon.records().len();
    let mut service = home.start();
    let batch = vec![answered(1, 200), answered(2, 404), answered(3, 503), session()];
    service.accept(Value::from(batch.clone()).to_string());
    let records = daemon.wait_for(before + 4).split_off(before);
    let id = service.id().to_string();
    assert_eq!(service.stop(), 0);
    let severities: Vec<_> = records.iter().map(|record| record.severity.as_str()).collect();
    assert_eq!(severities, ["info", "notice", "err", "info"]);
    for (record, sent) in records.iter().zip(&batch) {
        assert_eq!((record.facility.as_str(), record.process.as_str()), ("local3", id.as_str()));
        let message: Value = serde_json::from_str(&record.message).unwrap();
        assert_eq!(message["started_at"], sent["started_at"]);
        assert_eq!(
            (&message["response"]["status"], &message["session"]),
            (&sent["response"]["status"], &sent["session"])
        );
    }
    records
}

/// Scenario: transactions of each class and an L4 session, to the local socket, over UDP and over TCP, each in both
/// formats and with the defaults.
/// Guarantees: facility, severity, format, host, program, process and message arrive as configured, in order; RFC 5424
/// messages have the time of the transaction's end.
#[test]
fn every_way_in_both_formats() {
    let daemon = Rsyslog::start();
    let network = |transport: &str, port: u16| json!({"host": "127.0.0.1", "port": port, "transport": transport});
    let (local, any) = (json!({"socket": daemon.socket()}), json!({"socket": daemon.network_like_socket()}));
    let (udp, tcp) = (network("udp", daemon.udp), network("tcp", daemon.tcp));
    let ways = [
        (&local, None, "0"),
        (&local, Some("rfc3164"), "0"),
        (&any, Some("rfc5424"), "1"),
        (&udp, None, "1"),
        (&udp, Some("rfc3164"), "0"),
        (&tcp, None, "1"),
        (&tcp, Some("rfc3164"), "0"),
    ];
    for (way, format, version) in ways {
        let mut config = way.clone();
        // Once without a configured name.
        let named = format.is_some();
        if let Some(format) = format {
            config["format"] = format.into();
            config["ident"] = "gateway".into();
            config["hostname"] = "edge-7".into();
        }
        for record in deliver(&daemon, Home::with(&configure(&config))) {
            assert_eq!(record.version, version, "{config}");
            assert_eq!(record.program, if named { "gateway" } else { "kong" }, "{config}");
            // The C library's format has no host: the daemon adds its own.
            assert!(*way == local || !named || record.hostname == "edge-7", "{config} {record:?}");
            let time = if record.message.contains("session") {
                "2023-11-14T22:13:20.040Z"
            } else {
                "2024-09-19T22:10:39.568Z"
            };
            assert!(version == "0" || record.time.starts_with(&time[..19]), "{config} {record:?}");
        }
    }
}

/// Scenario: a log level between the severities; then the service stops with an empty queue.
/// Guarantees: less severe messages are neither sent nor kept: the service ends without delay or error.
#[test]
fn the_log_level_filters() {
    let daemon = Rsyslog::start();
    let mut service = Home::with(&configure(&json!({"socket": daemon.socket(), "log_level": "notice"}))).start();
    let batch =
        vec![answered(1, 200), session(), answered(2, 404), answered(3, 200), answered(4, 500), answered(5, 200)];
    service.accept(Value::from(batch).to_string());
    daemon.wait_for(2);
    assert_eq!(service.stop(), 0);
    assert_eq!(daemon.messages().counts, [(2, 1), (4, 1)].into());
}

/// Scenario: TLS to a receiver whose certificate the system trusts, and to one that it does not trust.
/// Guarantees: the first gets all messages; the second gets none, and the log gives the cause.
#[test]
fn tls() {
    let (daemon, certificate) = Rsyslog::start_certified();
    let config = json!({"host": "127.0.0.1", "port": daemon.tcp, "transport": "tls", "tls_sni": "localhost"});
    let home = Home::with(&configure(&config));
    home.write("store.pem", &certificate);
    let store = home.text("store.pem");
    for record in deliver(&daemon, home.set("SSL_CERT_FILE", store)) {
        assert_eq!((record.version.as_str(), record.program.as_str()), ("1", "kong"));
    }

    let home = Home::with(&configure(&config)).set("LOGPHASE_QUEUE_SPILL", "false");
    let mut service = home.set("LOGPHASE_SHUTDOWN_TIMEOUT", "1").start();
    service.accept(answered(9, 200).to_string());
    wait_until("the log names the certificate", || service.log().to_lowercase().contains("certificate"));
    assert_ne!(service.stop(), 0, "a message was left");
    assert!(!daemon.messages().counts.contains_key(&9));
}

fn restart_under_load(mut daemon: Rsyslog, way: &Value) {
    let home = Home::with(&configure(way)).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.2");
    let mut service: Service = home.start();
    let load = Load::start(service.home.http);
    for _ in 0..3 {
        let before = daemon.records().len();
        load.await_more(200);
        wait_until("rsyslogd receives messages under load", || daemon.records().len() > before + 50);
        daemon.stop();
        // These messages wait in the queue.
        load.await_more(200);
        daemon.restart();
    }
    load.await_more(200);
    let sent = load.finish();
    assert!(sent.refused.is_empty() && sent.unanswered.is_empty(), "{:?} {:?}", sent.refused, sent.unanswered);
    assert_eq!(service.stop(), 0);
    wait_until("all messages have arrived", || daemon.messages().missing(&sent.accepted).is_empty());
    daemon.messages().assert_all(&sent.accepted);
}

/// Scenario: rsyslogd is stopped and restarted three times under load; messages go to its local socket.
/// Guarantees: every transaction that was answered 200 arrives complete, at least once.
#[test]
fn restarts_on_the_local_socket() {
    let daemon = Rsyslog::start();
    let way = json!({"socket": daemon.socket()});
    restart_under_load(daemon, &way);
}

/// Scenario: the same over TCP.
/// Guarantees: the same.
#[test]
fn restarts_over_tcp() {
    let daemon = Rsyslog::start();
    let way = json!({"host": "127.0.0.1", "port": daemon.tcp, "transport": "tcp", "timeout": 2000});
    restart_under_load(daemon, &way);
}
