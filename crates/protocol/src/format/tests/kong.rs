//! Messages of Kong's plugins.

use serde_json::{Value, json};

use super::super::{Options, Source};
use super::{KongEntry, Template, text};

fn render(template: &str, message: &Value) -> String {
    let template = Template::new(template, &Options::new(Source::Kong)).unwrap();
    let mut out = Vec::new();
    template.render(&KongEntry::new(message.clone()).unwrap(), &mut out);
    text(out)
}

fn request() -> Value {
    json!({
        "started_at": 1_795_951_699_495_u64,
        "client_ip": "192.0.2.7",
        "request": {
            "id": "abc", "method": "POST", "uri": "/shop/a?x=1%202&y", "url": "https://api.example:8443/shop/a?x=1%202&y", "size": 612,
            "headers": {"host": "api.example", "user-agent": "curl/8", "accept": ["a/b", "c/d"], "X-Odd": "1"},
            "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"},
        },
        "response": {"status": 201, "size": 4711, "headers": {"content-type": "application/json", "content-length": 20}},
        "upstream_uri": "/a?x=1%202&y",
        "upstream_status": "201",
        "latencies": {"request": 120, "kong": 5, "proxy": 100, "receive": 15},
        "tries": [{"ip": "10.0.0.1", "port": 80}, {"ip": "10.0.0.2", "port": 8080}],
        "route": {"name": "orders"}, "service": {"name": "shop"},
        "consumer": {"username": "alice", "tags": ["a"]},
    })
}

/// Scenario: a request through Kong, and each operator that its message has.
/// Guarantees: each prints what the table of docs/access-log-format.md says.
#[test]
fn of_a_request() {
    let message = request();
    for (operator, printed) in [
        ("START_TIME", "2026-11-29T11:28:19.495Z"),
        ("BYTES_RECEIVED", "612"),
        ("BYTES_SENT", "4711"),
        ("DOWNSTREAM_WIRE_BYTES_RECEIVED", "612"),
        ("DOWNSTREAM_WIRE_BYTES_SENT", "4711"),
        ("UPSTREAM_WIRE_BYTES_SENT", "-"),
        ("RESPONSE_CODE", "201"),
        ("RESPONSE_FLAGS", "-"),
        ("UPSTREAM_REQUEST_ATTEMPT_COUNT", "2"),
        ("DURATION", "120"),
        ("RESPONSE_DURATION", "105"),
        ("RESPONSE_TX_DURATION", "15"),
        ("ROUTE_NAME", "orders"),
        ("UPSTREAM_CLUSTER", "shop"),
        ("STREAM_ID", "abc"),
        ("UPSTREAM_HOST", "10.0.0.2:8080"),
        ("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)", "10.0.0.0/8"),
        ("DOWNSTREAM_REMOTE_ADDRESS", "192.0.2.7"),
        ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "192.0.2.7"),
        ("DOWNSTREAM_REMOTE_PORT", "-"),
        ("REQ(:METHOD)", "POST"),
        ("REQ(:PATH)", "/a?x=1%202&y"),
        ("REQ(X-ENVOY-ORIGINAL-PATH?:PATH)", "/shop/a?x=1%202&y"),
        ("REQ(:AUTHORITY)", "api.example"),
        ("REQ(:SCHEME)", "https"),
        ("REQ(ACCEPT)", "a/b"),
        ("REQ(x-odd)", "1"),
        ("REQ(X-REQUEST-ID)", "abc"),
        ("RESP(CONTENT-LENGTH)", "20"),
        ("RESP(:STATUS)", "201"),
        ("PATH", "/shop/a?x=1%202&y"),
        ("PATH(NQ:PATH)", "/a"),
        ("QUERY_PARAM(x)", "1 2"),
        ("DOWNSTREAM_TLS_VERSION", "TLSv1.3"),
        ("DOWNSTREAM_TLS_CIPHER", "TLS_AES_256_GCM_SHA384"),
        ("DYNAMIC_METADATA(consumer:username)", "alice"),
        ("DYNAMIC_METADATA(consumer)", r#"{"tags":["a"],"username":"alice"}"#),
        ("METADATA(DYNAMIC:latencies:kong)", "5"),
        ("DYNAMIC_METADATA(consumer:nobody)", "-"),
        ("PROTOCOL", "-"),
    ] {
        assert_eq!(render(&format!("%{operator}%"), &message), printed, "{operator}");
    }
}

/// Scenario: a request that Kong answered itself, and a session of a stream.
/// Guarantees: what did not happen is absent; a session has its bytes, status and duration.
#[test]
fn of_others() {
    let local = json!({
        "request": {"uri": "/a", "method": "GET"}, "upstream_uri": "", "response": {"status": 401, "size": 5},
        "latencies": {"request": 2, "kong": 2, "proxy": -1}, "tries": [], "upstream_status": "",
    });
    let line = "%REQ(:PATH)% %RESPONSE_CODE% %UPSTREAM_HOST% %RESPONSE_DURATION% %UPSTREAM_REQUEST_ATTEMPT_COUNT%";
    assert_eq!(render(line, &local), "/a 401 - - 0");
    let session = json!({
        "session": {"received": 70, "sent": 121, "status": 200, "server_port": 9000, "tls": {"version": "TLSv1.2"}},
        "upstream": {"received": 121, "sent": 70}, "latencies": {"session": 50, "kong": 0}, "started_at": 5,
        "tries": [{"ip": "::1", "port": 9}], "client_ip": "::1",
    });
    let line = "%START_TIME(%s.%3f)% %RESPONSE_CODE% %UPSTREAM_REMOTE_ADDRESS% %DURATION% %BYTES_RECEIVED% %BYTES_SENT% \
                %UPSTREAM_WIRE_BYTES_SENT% %DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_REMOTE_ADDRESS% %REQ(:PATH)%";
    assert_eq!(render(line, &session), "0.005 200 [::1]:9 50 70 121 70 TLSv1.2 ::1 -");
    // What Logphase made of an entry of Envoy.
    let envoy = json!({
        "request": {"size": 300}, "envoy": {
            "request_body_bytes": 8, "response_flags": ["URX", "UF"], "response_code_details": "a b", "protocol": "HTTP/2",
            "downstream_remote_address": "[::1]:42", "upstream_host": "/tmp/socket", "metadata": {"ns": {"k": 1}},
            "tls": {"peer": {"uri_sans": ["spiffe://a", "spiffe://b"]}},
        },
    });
    let line = "%BYTES_RECEIVED% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %RESPONSE_CODE_DETAILS% %PROTOCOL% \
                %DOWNSTREAM_REMOTE_PORT% %UPSTREAM_HOST% %DYNAMIC_METADATA(envoy:metadata:ns:k)% %DOWNSTREAM_PEER_URI_SAN%";
    assert_eq!(
        render(line, &envoy),
        "8 URX,UF UpstreamRetryLimitExceeded,UpstreamConnectionFailure a_b HTTP/2 42 /tmp/socket 1 spiffe://a,spiffe://b"
    );
}

/// Scenario: what is no message.
/// Guarantees: it is refused, with the reason.
#[test]
fn no_message() {
    assert!(KongEntry::parse(b"[1]").unwrap_err().to_string().contains("no JSON object"));
    assert!(KongEntry::parse(b"{").unwrap_err().to_string().contains("line 1"));
}
