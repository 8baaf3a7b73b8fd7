//! Receivers that stop and restart.

use serde_json::json;

use crate::service::{Home, Load, Service, TcpPeer, configuration, wait_until};

fn service(peer: &TcpPeer, tls: bool) -> Service {
    let mut config = json!({"host": "127.0.0.1", "port": peer.port, "timeout": 2000});
    if tls {
        config["tls"] = json!(true);
        config["tls_sni"] = json!("localhost");
        config["ssl_verify"] = json!(false);
    }
    let kong = configuration(&json!([{"name": "tcp-log", "config": config}]));
    Home::with(&kong).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.2").start()
}

fn restart_under_load(mut peer: TcpPeer, tls: bool) {
    let mut service = service(&peer, tls);
    let load = Load::start(service.home.http);
    for turn in 0..4 {
        let (lines, connections) = (peer.count(), peer.connections());
        load.await_more(200);
        wait_until("the receiver gets lines", || peer.count() > lines + 50);
        if turn % 2 == 0 {
            // The receiver is killed with messages that its kernel has acknowledged and it has not read.
            peer.stall();
            load.await_more(50);
        }
        peer.crash();
        // These messages wait in the queue.
        load.await_more(200);
        peer.restart();
        wait_until("the service connects again", || peer.connections() > connections);
    }
    load.await_more(200);
    let sent = load.finish();
    assert!(sent.refused.is_empty() && sent.unanswered.is_empty(), "{:?} {:?}", sent.refused, sent.unanswered);
    assert_eq!(service.stop(), 0);
    // The service has stopped: what has not arrived when its last connection ends never does.
    wait_until("all connections have ended", || peer.ended() == peer.connections());
    peer.messages().assert_all(&sent.accepted);
}

/// Scenario: the TCP receiver is killed four times under load and restarts on the same port; its connections break,
/// twice with messages in its kernel that it has not read.
/// Guarantees: every transaction that was answered 200 arrives complete, at least once.
#[test]
fn tcp_peer() {
    restart_under_load(TcpPeer::start(), false);
}

/// Scenario: the same with a receiver that uses TLS.
/// Guarantees: the same.
#[test]
fn tls_peer() {
    restart_under_load(TcpPeer::start_tls(), true);
}

/// Scenario: a receiver with an untrusted certificate, and a plugin that verifies it; then the plugin's verification is
/// disabled.
/// Guarantees: at first nothing is sent, and the log gives the cause; afterwards everything is delivered.
#[test]
fn unknown_certificate() {
    let peer = TcpPeer::start_tls();
    let plugin = |verify: bool| {
        let config = json!({
            "host": "127.0.0.1", "port": peer.port, "tls": true, "tls_sni": "localhost", "ssl_verify": verify,
        });
        configuration(&json!([{"name": "tcp-log", "config": config}]))
    };
    let home =
        Home::with(&plugin(true)).set("LOGPHASE_QUEUE_DURABILITY", "memory").set("LOGPHASE_QUEUE_SPILL", "false");
    let mut service = home.set("LOGPHASE_SHUTDOWN_TIMEOUT", "1").start();
    service.accept(crate::service::transaction(1).to_string());
    wait_until("the log names the certificate", || service.log().to_lowercase().contains("certificate"));
    assert_eq!(peer.count(), 0);
    assert_ne!(service.stop(), 0, "a message was left");

    let mut service = Home::with(&plugin(false)).start();
    service.accept(crate::service::transaction(2).to_string());
    peer.wait_for(1);
    assert_eq!(service.stop(), 0);
    assert_eq!(peer.messages().counts, [(2, 1)].into());
}

/// Scenario: a receiver whose certificate the system trusts, for the name `localhost`; a plugin that verifies and
/// expects this name, and one that expects another.
/// Guarantees: the first delivers; the second sends nothing and logs the cause.
#[test]
fn known_certificate() {
    for (name, fits) in [("localhost", true), ("another.test", false)] {
        let (peer, certificate) = TcpPeer::start_certified();
        let config = json!({"host": "127.0.0.1", "port": peer.port, "tls": true, "tls_sni": name});
        let home = Home::with(&configuration(&json!([{"name": "tcp-log", "config": config}])));
        home.write("store.pem", &certificate);
        let store = home.text("store.pem");
        let mut service = home.set("SSL_CERT_FILE", store).set("LOGPHASE_SHUTDOWN_TIMEOUT", "5").start();
        service.accept(crate::service::transaction(1).to_string());
        if fits {
            peer.wait_for(1);
            assert_eq!(service.stop(), 0);
        } else {
            wait_until("the log shows the expected name", || service.log().contains("another.test"));
            service.signal(crate::service::Signal::KILL);
            assert_eq!(peer.count(), 0);
        }
    }
}

/// Scenario: a receiver that is unavailable when the service starts, and starts later.
/// Guarantees: the service starts, accepts transactions, logs the failure, and delivers all messages in order.
#[test]
fn peer_that_comes_late() {
    let mut peer = TcpPeer::absent();
    let mut service = service(&peer, false);
    let mut client = service.client();
    for id in 0..50 {
        let answer = client.post(crate::service::transaction(id).to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200);
    }
    let address = format!("127.0.0.1:{}", peer.port);
    wait_until("the log reports the refused connection", || service.has_logged(&address));
    peer.restart();
    peer.wait_for(50);
    let ids: Vec<_> =
        peer.lines().iter().map(|line| crate::service::id_of(&serde_json::from_slice(line).unwrap())).collect();
    assert_eq!(ids, (0..50).map(Some).collect::<Vec<_>>());
    assert_eq!(service.stop(), 0);
}

/// Scenario: tcp-log with a `keepalive` of 200 ms, two messages at once, a pause, a third.
/// Guarantees: the first two share a connection, which is closed after being idle; the third gets a new one.
#[test]
fn keepalive() {
    let peer = TcpPeer::start();
    let config = json!({"host": "127.0.0.1", "port": peer.port, "keepalive": 200});
    let mut service = Home::with(&configuration(&json!([{"name": "tcp-log", "config": config}]))).start();
    service.accept(crate::service::transaction(1).to_string());
    service.accept(crate::service::transaction(2).to_string());
    peer.wait_for(2);
    let connections = peer.connections();
    wait_until("the idle connection is closed", || peer.ended() == connections);
    service.accept(crate::service::transaction(3).to_string());
    peer.wait_for(3);
    assert_eq!(peer.connections(), connections + 1);
    assert_eq!(service.stop(), 0);
    assert_eq!(peer.messages().counts, [(1, 1), (2, 1), (3, 1)].into());
}
