//! Envoy sends its access logs over mutual TLS, with a token, behind a header of the PROXY protocol.

use super::peers::Envoy;
use crate::security::{TOKEN, home, with_tls};
use crate::service::{Authority, Home, Scrape, Upstream, free_port, request, wait_until};

/// The cluster's connections: the header, then TLS with a client certificate.
const SECURE: &str = r#"    - name: logphase
      transport_socket:
        name: envoy.transport_sockets.upstream_proxy_protocol
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport
          config: { version: V2 }
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
              sni: localhost
              common_tls_context:
                tls_certificates:
                  - { certificate_chain: { filename: DIR/client.pem }, private_key: { filename: DIR/client.key } }
                validation_context: { trusted_ca: { filename: DIR/ca.pem } }
"#;

/// An Envoy whose access log service is that of `home`, with or without a token.
fn envoy(home: &Home, http: u16, als: u16, upstream: u16, has_token: bool) -> Envoy {
    let service = "grpc_service: { envoy_grpc: { cluster_name: logphase } }";
    let metadata = format!(
        "grpc_service: {{ envoy_grpc: {{ cluster_name: logphase }}, initial_metadata: [ {{ key: authorization, value: \
         \"Bearer {TOKEN}\" }} ] }}"
    );
    let text = include_str!("envoy.yaml").replace("    - name: logphase\n", SECURE).replace("DIR/", &home.text(""));
    assert!(text.contains(service) && text.contains("validation_context"));
    let text = if has_token { text.replace(service, &metadata) } else { text };
    let ports = [
        ("HTTP_PORT", http),
        ("TCP_PORT", free_port()),
        ("UPSTREAM_PORT", upstream),
        ("DOWN_PORT", free_port()),
        ("ECHO_PORT", free_port()),
        ("ALS_PORT", als),
    ];
    let text = ports.iter().fold(text, |text, (name, port)| text.replace(name, &port.to_string()));
    Envoy::start(&text, &[http])
}

/// Scenario: an Envoy with a client certificate and a token, and one with the certificate alone.
/// Guarantees: the entries of the first become messages; those of the second are refused as UNAUTHENTICATED, and counted.
#[test]
fn mutual_tls_and_a_token() {
    let authority = Authority::new();
    let [als, status, one, two] = [(); 4].map(|()| free_port());
    let home = with_tls(home(&authority), "ALS", true)
        .set("LOGPHASE_ALS_LISTEN", format!("127.0.0.1:{als}"))
        .set("LOGPHASE_ALS_PROXY_PROTOCOL", "127.0.0.1")
        .set("LOGPHASE_ALS_AUTH_TOKENS", TOKEN)
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let mut service = home.start();
    let upstream = Upstream::start();
    let _first = envoy(&service.home, one, als, upstream.port, true);
    assert_eq!(request(one, "GET", "/up/with", &[("x-request-id", "1")], "").head.word(), "200");
    let logged =
        |path: &str| super::messages(&service, "messages.log").into_iter().any(|one| one["request"]["uri"] == path);
    wait_until("the message is logged", || logged("/up/with"));
    let labels = [("input", "als"), ("reason", "unauthorized")];
    let unauthorized = || Scrape::of(status).sum("logphase_transactions_rejected_total", &labels);
    assert_eq!(unauthorized(), 0.0);
    let _second = envoy(&service.home, two, als, upstream.port, false);
    assert_eq!(request(two, "GET", "/up/without", &[], "").head.word(), "200");
    wait_until("the call is refused", || unauthorized() >= 1.0);
    wait_until("it is logged", || service.has_logged("a call without an accepted bearer token is refused"));
    assert!(!logged("/up/without"));
    let handshakes = Scrape::of(status).sum("logphase_input_tls_handshakes_total", &[("result", "completed")]);
    assert!(handshakes >= 2.0, "{handshakes}");
    assert_eq!(service.stop(), 0);
}
