//! Who may send OTLP: TLS, certificates of clients, tokens, with the OpenTelemetry SDK for Python.

use serde_json::json;

use super::{messages, sdk_with, sent, transaction};
use crate::security::{TOKEN, home, with_tls};
use crate::service::{Authority, Home, Scrape, Service, configuration, free_port, wait_until};

/// A service whose OTLP input has TLS, its port and that of its status.
fn start(authority: &Authority, mutual: bool, settings: &[(&str, &str)]) -> (Service, u16, u16) {
    let (port, status) = (free_port(), free_port());
    let home = with_tls(home(authority), "OTLP", mutual)
        .set("LOGPHASE_OTLP_LISTEN", format!("127.0.0.1:{port}"))
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": {"path": home.text("messages")}}])));
    let home = settings.iter().fold(home, |home, (name, value)| home.set(name, *value));
    (home.start(), port, status)
}

/// Sends one record over either protocol, as a client with these certificates and this header; returns the result and what the
/// SDK has logged.
fn send(
    service: &Service,
    protocol: &str,
    port: u16,
    id: &str,
    client: Option<&str>,
    token: Option<&str>,
) -> (String, String) {
    let mut variables = vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", service.home.text("ca.pem"))];
    if let Some(name) = client {
        variables.push(("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", service.home.text(&format!("{name}.pem"))));
        variables.push(("OTEL_EXPORTER_OTLP_CLIENT_KEY", service.home.text(&format!("{name}.key"))));
    }
    if let Some(token) = token {
        variables.push(("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{token}")));
    }
    // What is to arrive has time; what is refused is tried again until the time is over.
    let refused = id.starts_with("refused");
    variables.push(("SEND_TIMEOUT", if refused { "3" } else { "60" }.to_owned()));
    let url = format!("https://localhost:{port}");
    let (results, log) = sent(sdk_with(protocol, "none", &url, &variables, &[json!({"body": transaction(id)})]));
    assert_eq!(results.len(), 1, "{log}");
    (results.concat(), log)
}

/// Scenario: the SDK over both protocols, with the certificate of a client, without one and with that of a stranger.
/// Guarantees: what a client of the authority sends arrives, and nothing else; what fails is counted.
#[test]
fn certificates_of_the_sdk() {
    let (mut service, port, status) = start(&Authority::new(), true, &[]);
    for protocol in ["grpc", "http"] {
        let (result, log) = send(&service, protocol, port, protocol, Some("client"), None);
        assert_eq!(result, "SUCCESS", "{log}");
        for client in [None, Some("stranger")] {
            let (result, log) = send(&service, protocol, port, "refused", client, None);
            assert_eq!(result, "FAILURE", "{log}");
        }
    }
    let handshakes = |result: &str| {
        let labels = [("input", "otlp"), ("result", result)];
        Scrape::of(status).sum("logphase_input_tls_handshakes_total", &labels)
    };
    wait_until("the handshakes are counted", || handshakes("client_certificate") >= 4.0);
    wait_until("the messages are logged", || messages(&service).len() >= 2);
    assert_eq!(messages(&service), ["grpc", "http"].map(transaction));
    assert_eq!(service.stop(), 0);
}

/// Scenario: the SDK over both protocols, with the token, with another one and with none.
/// Guarantees: only what has the token arrives; the others are refused for good (gRPC's status 16, HTTP's 401), so that nothing is
/// sent again, and counted; no token is logged.
#[test]
fn tokens_of_the_sdk() {
    let (mut service, port, status) = start(&Authority::new(), false, &[("LOGPHASE_OTLP_AUTH_TOKENS", TOKEN)]);
    for protocol in ["grpc", "http"] {
        let (result, log) = send(&service, protocol, port, protocol, None, Some(TOKEN));
        assert_eq!(result, "SUCCESS", "{log}");
        for token in [None, Some("0123456789abcdef")] {
            let (result, log) = send(&service, protocol, port, "refused", None, token);
            assert_eq!(result, "FAILURE", "{log}");
            let said = if protocol == "grpc" { "UNAUTHENTICATED" } else { "401" };
            assert!(log.contains(said), "{log}");
        }
    }
    let labels = [("input", "otlp"), ("reason", "unauthorized")];
    assert_eq!(Scrape::of(status).sum("logphase_transactions_rejected_total", &labels), 4.0);
    wait_until("the messages are logged", || messages(&service).len() >= 2);
    assert_eq!(messages(&service), ["grpc", "http"].map(transaction));
    assert!(!service.log().contains(TOKEN) && !service.log().contains("0123456789abcdef"));
    assert_eq!(service.stop(), 0);
}

/// Scenario: a service sends its access logs to the OTLP input of another one, over each protocol, with a client certificate and
/// the token, which a vault has; then without the certificate, and to a certificate of another authority.
/// Guarantees: the first records arrive; the others wait in the queue, the log says why, and no token is logged.
#[test]
fn access_logs_over_tls() {
    const ID: &str = "5c8f6e0a-6d43-4c9c-9ae0-3a0f0b8f6a11";
    let authority = Authority::new();
    let settings = [("LOGPHASE_OTLP_AUTH_TOKENS", TOKEN), ("LOGPHASE_OTLP_MAPPING", "otel")];
    let (mut far, port, _) = start(&authority, true, &settings);
    let near = |protocol: &str, certificate: bool, trusted: &Authority| {
        let path = if protocol == "grpc" { "" } else { "/v1/logs" };
        let mut config = json!({
            "access_logs": {"endpoint": format!("https://localhost:{port}{path}")}, "protocol": protocol,
            "headers": {"authorization": "{vault://env/otlp-authorization}"},
            "queue": {"max_coalescing_delay": 0.05, "max_retry_delay": 0.2},
        });
        if certificate {
            config["client_certificate"] = json!({"id": ID});
        }
        let (cert, key) = authority.issue("gateway");
        let kong = json!({
            "_format_version": "3.0", "certificates": [{"id": ID, "cert": cert, "key": key}],
            "plugins": [{"name": "opentelemetry", "config": config}],
        });
        let home = Home::with(&kong.to_string());
        home.write("store.pem", &trusted.pem());
        let store = home.text("store.pem");
        home.write("logphase.yml", "vault: {env: {allow: [OTLP_AUTHORIZATION]}}\n");
        let home = home.set("SSL_CERT_FILE", store).set("OTLP_AUTHORIZATION", format!("Bearer {TOKEN}"));
        home.set("LOGPHASE_SHUTDOWN_TIMEOUT", "0.1").start_with(&["run", "kong.yml", "--settings", "logphase.yml"])
    };
    let protocols = ["grpc", "http/protobuf", "http/json"];
    for (at, protocol) in protocols.into_iter().enumerate() {
        let mut service = near(protocol, true, &authority);
        service.accept(transaction(protocol).to_string());
        wait_until("the record is logged", || messages(&far).len() == at + 1);
        assert_eq!(service.stop(), 0);
    }
    for (certificate, trusted, expected) in [
        (false, &authority, "if the receiver asks for a certificate, see config.client_certificate"),
        (true, &Authority::new(), "see config.ssl_verify"),
    ] {
        for protocol in protocols {
            let mut service = near(protocol, certificate, trusted);
            service.accept(transaction("left").to_string());
            wait_until("the log gives the cause", || service.has_logged(expected));
            assert!(!service.log().contains(TOKEN));
            service.stop();
        }
    }
    let expected: Vec<_> = protocols.iter().map(|protocol| json!(format!("/orders/{protocol}"))).collect();
    let uris: Vec<_> = messages(&far).iter().map(|message| message["request"]["uri"].clone()).collect();
    assert_eq!(uris, expected);
    assert_eq!(far.stop(), 0);
}
