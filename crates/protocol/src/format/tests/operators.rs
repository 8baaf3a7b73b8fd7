//! A test for each operator, on a request and on a connection.

use serde_json::{Value, json};

use super::super::{Options, Placeholder, Placeholders, Source, Template, defaults, operators};
use super::{options, render, render_entry, text};

fn socket(address: &str, port: u16) -> Value {
    json!({"socketAddress": {"address": address, "portValue": port}})
}

fn common(kind: &str) -> Value {
    json!({
        "startTime": "2026-11-29T11:28:19.495952Z",
        "downstreamRemoteAddress": socket("203.0.113.77", 0),
        "downstreamDirectRemoteAddress": socket("192.0.2.7", 50_000),
        "downstreamLocalAddress": socket("2001:db8:1234:5678:9abc::1", 443),
        "upstreamRemoteAddress": socket("198.51.100.4", 8080),
        "upstreamLocalAddress": socket("10.1.2.3", 52_766),
        "upstreamCluster": "backend", "routeName": "orders", "streamId": "s-1",
        "upstreamTransportFailureReason": "TLS error: no", "downstreamTransportFailureReason": "bad peer",
        "connectionTerminationDetails": "max duration", "upstreamRequestAttemptCount": 3,
        "responseFlags": {"upstreamConnectionFailure": true, "upstreamRetryLimitExceeded": true},
        "duration": "1.234567891s", "accessLogType": kind,
        "downstreamWireBytesSent": "11", "downstreamWireBytesReceived": "12", "upstreamWireBytesSent": "13",
        "upstreamWireBytesReceived": "14",
        "metadata": {"filterMetadata": {"ns": {"k": "v v", "o": {"b": [1.5, null], "a": "x"}, "n": 3}}},
        "filterStateObjects": {"my.key": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "f\"s"}},
        "tlsProperties": {
            "tlsVersion": "TLSv1_3", "tlsCipherSuite": 4866, "tlsSniHostname": "sni.example", "tlsSessionId": "aa", "ja3Fingerprint": "j3",
            "localCertificateProperties": {"subject": "CN=local", "subjectAltName": [{"uri": "spiffe://m/local"}]},
            "peerCertificateProperties": {"subject": "CN=peer", "issuer": "CN=ca", "subjectAltName": [{"uri": "a"}, {"uri": "b"}]},
        },
    })
}

fn http() -> Value {
    let mut common = common("DownstreamEnd");
    for (name, time) in [
        ("timeToLastRxByte", "0.0001s"),
        ("timeToFirstUpstreamTxByte", "0.0021s"),
        ("timeToLastUpstreamTxByte", "0.0032s"),
        ("timeToFirstUpstreamRxByte", "0.0109999s"),
        ("timeToLastUpstreamRxByte", "0.02s"),
        ("timeToFirstDownstreamTxByte", "0.0119s"),
        ("timeToLastDownstreamTxByte", "0.030999999s"),
    ] {
        common[name] = time.into();
    }
    json!({
        "commonProperties": common, "protocolVersion": "HTTP2",
        "request": {
            "requestMethod": "POST", "scheme": "https", "authority": "api.example:8443", "path": "/new/a?x=1%20%26&flag&y=%C3%A4+b&e=",
            "originalPath": "/old/a?q", "userAgent": "curl/8", "referer": "http://r/", "forwardedFor": "203.0.113.77",
            "requestId": "rid", "requestHeadersBytes": "21", "requestBodyBytes": "22", "upstreamHeaderBytesSent": "23",
            "downstreamHeaderBytesReceived": "24", "requestHeaders": {"content-type": "application/grpc+proto", "x-a": "1"},
        },
        "response": {
            "responseCode": 503, "responseHeadersBytes": "31", "responseBodyBytes": "32", "upstreamHeaderBytesReceived": "33",
            "downstreamHeaderBytesSent": "34", "responseCodeDetails": "via upstream", "responseHeaders": {"x-b": "2"},
            "responseTrailers": {"grpc-status": "5", "x-t": "3"},
        },
    })
}

fn tcp() -> Value {
    json!({"commonProperties": common("TcpConnectionEnd"), "connectionProperties": {"receivedBytes": "70", "sentBytes": "121"}})
}

/// Each operator, and what it prints of the request and of the connection; one text if both print the same.
const PRINTED: &[(&str, &str, &str)] = &[
    ("START_TIME", "2026-11-29T11:28:19.495Z", ""),
    ("START_TIME(%s.%6f)", "1795951699.495952", ""),
    ("BYTES_RECEIVED", "22", "70"),
    ("BYTES_SENT", "32", "121"),
    ("REQUEST_HEADERS_BYTES", "21", "0"),
    ("RESPONSE_HEADERS_BYTES", "31", "0"),
    ("UPSTREAM_WIRE_BYTES_SENT", "13", ""),
    ("UPSTREAM_WIRE_BYTES_RECEIVED", "14", ""),
    ("UPSTREAM_HEADER_BYTES_SENT", "23", "0"),
    ("UPSTREAM_HEADER_BYTES_RECEIVED", "33", "0"),
    ("DOWNSTREAM_WIRE_BYTES_SENT", "11", ""),
    ("DOWNSTREAM_WIRE_BYTES_RECEIVED", "12", ""),
    ("DOWNSTREAM_HEADER_BYTES_SENT", "34", "0"),
    ("DOWNSTREAM_HEADER_BYTES_RECEIVED", "24", "0"),
    ("PROTOCOL", "HTTP/2", "-"),
    ("RESPONSE_CODE", "503", "0"),
    ("RESPONSE_CODE_DETAILS", "via_upstream", "-"),
    ("RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)", "via upstream", "-"),
    ("UPSTREAM_TRANSPORT_FAILURE_REASON", "TLS_error:_no", ""),
    ("DOWNSTREAM_TRANSPORT_FAILURE_REASON", "bad_peer", ""),
    ("CONNECTION_TERMINATION_DETAILS", "max duration", ""),
    ("UPSTREAM_REQUEST_ATTEMPT_COUNT", "3", ""),
    ("DURATION", "1234", ""),
    ("REQUEST_DURATION", "0", "-"),
    ("REQUEST_TX_DURATION", "3", "-"),
    ("RESPONSE_DURATION", "10", "-"),
    ("RESPONSE_TX_DURATION", "20", "-"),
    ("COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)", "10999", "-"),
    ("COMMON_DURATION(US_TX_BEG:US_TX_END:ns)", "1100000", "-"),
    ("COMMON_DURATION(DS_RX_END:DS_TX_BEG)", "11", "-"),
    ("COMMON_DURATION(US_RX_END:DS_TX_END)", "10", "-"),
    ("COMMON_DURATION(DS_TX_END:DS_RX_BEG)", "-", ""),
    ("RESPONSE_FLAGS", "URX,UF", "UF,URX"),
    (
        "RESPONSE_FLAGS_LONG",
        "UpstreamRetryLimitExceeded,UpstreamConnectionFailure",
        "UpstreamConnectionFailure,UpstreamRetryLimitExceeded",
    ),
    ("ROUTE_NAME", "orders", ""),
    ("STREAM_ID", "s-1", ""),
    ("UPSTREAM_CLUSTER", "backend", ""),
    ("UPSTREAM_CLUSTER_RAW", "backend", ""),
    ("UPSTREAM_HOST", "198.51.100.4:8080", ""),
    ("UPSTREAM_REMOTE_ADDRESS", "198.51.100.4:8080", ""),
    ("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "198.51.100.4", ""),
    ("UPSTREAM_REMOTE_PORT", "8080", ""),
    ("UPSTREAM_LOCAL_ADDRESS", "10.1.2.3:52766", ""),
    ("UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(12)", "10.0.0.0/12", ""),
    ("UPSTREAM_LOCAL_PORT", "52766", ""),
    ("DOWNSTREAM_REMOTE_ADDRESS", "203.0.113.77:0", ""),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(24)", "203.0.113.0/24", ""),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(0)", "0.0.0.0/0", ""),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(99)", "203.0.113.77/32", ""),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(x)", "203.0.113.77", ""),
    ("DOWNSTREAM_REMOTE_PORT", "0", ""),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "192.0.2.7:50000", ""),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "192.0.2.7", ""),
    ("DOWNSTREAM_DIRECT_REMOTE_PORT", "50000", ""),
    ("DOWNSTREAM_LOCAL_ADDRESS", "[2001:db8:1234:5678:9abc::1]:443", ""),
    ("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "2001:db8:1234:5678:9abc::1", ""),
    ("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(64)", "2001:db8:1234:5678::/64", ""),
    ("DOWNSTREAM_LOCAL_PORT", "443", ""),
    ("REQ(:METHOD)", "POST", "-"),
    ("REQ(:PATH)", "/new/a?x=1%20%26&flag&y=%C3%A4+b&e=", "-"),
    ("REQ(:AUTHORITY)", "api.example:8443", "-"),
    ("REQ(HOST)", "api.example:8443", "-"),
    ("REQ(:SCHEME)", "https", "-"),
    ("REQ(USER-AGENT)", "curl/8", "-"),
    ("REQ(REFERER)", "http://r/", "-"),
    ("REQ(X-FORWARDED-FOR)", "203.0.113.77", "-"),
    ("REQ(X-REQUEST-ID)", "rid", "-"),
    ("REQ(X-ENVOY-ORIGINAL-PATH?:PATH)", "/old/a?q", "-"),
    ("REQUEST_HEADER(x-a)", "1", "-"),
    ("RESP(X-B)", "2", "-"),
    ("RESP(:STATUS)", "503", "-"),
    ("RESPONSE_HEADER(x-none?x-b)", "2", "-"),
    ("TRAILER(X-T)", "3", "-"),
    ("RESPONSE_TRAILER(X-T)", "3", "-"),
    ("GRPC_STATUS", "NotFound", "-"),
    ("GRPC_STATUS(SNAKE_STRING)", "NOT_FOUND", "-"),
    ("GRPC_STATUS(NUMBER)", "5", "-"),
    ("GRPC_STATUS_NUMBER", "5", "-"),
    ("PATH", "/old/a?q", "-"),
    ("PATH(NQ)", "/old/a", "-"),
    ("PATH(NQ:PATH)", "/new/a", "-"),
    ("PATH(WQ:ORIG):4", "/old", "-"),
    ("QUERY_PARAM(x)", "1 &", "-"),
    ("QUERY_PARAM(y)", "ä+b", "-"),
    ("QUERY_PARAM(flag)", "", "-"),
    ("QUERY_PARAM(e)", "", "-"),
    ("QUERY_PARAM(none)", "-", ""),
    ("QUERY_PARAMS", "x=1%20%26&flag&y=%C3%A4+b&e=", "-"),
    ("QUERY_PARAMS(DECODED)", "x=1%20&&flag&y=%C3%A4+b&e=", "-"),
    ("CEL(request.method + ' ' + string(response.code))", "POST 503", "-"),
    ("CEL(request.headers['x-a'] == '1' && response.code >= 500)", "true", "-"),
    ("CEL(request.url_path):4", "/new", "-"),
    ("CEL(request.query.startsWith('x='))", "true", "-"),
    ("CEL(response.trailers['grpc-status'])", "5", "-"),
    ("CEL(response.grpc_status + 1)", "6", "-"),
    ("CEL(request.headers['x-none'])", "-", ""),
    ("CEL(size(metadata.filter_metadata['ns']['o']['b']))", "2", ""),
    ("CEL(metadata.filter_metadata['ns'].n == 3)", "true", ""),
    ("CEL(source.address)", "203.0.113.77:0", ""),
    ("CEL(upstream.port)", "8080", ""),
    ("CEL(connection.mtls)", "true", ""),
    ("CEL(connection.uri_san_peer_certificate)", "a,b", ""),
    ("CEL(xds.route_name.matches('^ord'))", "true", ""),
    ("CEL([1, 2].map(n, n * 2))", "[2,4]", ""),
    ("CEL(1 / 0)", "-", ""),
    ("TYPED_CEL(upstream.request_attempt_count)", "3", ""),
    ("DYNAMIC_METADATA(ns:k)", "v v", ""),
    ("DYNAMIC_METADATA(ns:o)", r#"{"a":"x","b":[1.5,null]}"#, ""),
    ("DYNAMIC_METADATA(ns:o:a)", "x", ""),
    ("DYNAMIC_METADATA(ns:n)", "3", ""),
    ("DYNAMIC_METADATA(ns)", r#"{"k":"v v","n":3,"o":{"a":"x","b":[1.5,null]}}"#, ""),
    ("DYNAMIC_METADATA(ns:none)", "-", ""),
    ("METADATA(DYNAMIC:ns:k):1", "v", ""),
    ("FILTER_STATE(my.key)", "\"f\\\"s\"", ""),
    ("FILTER_STATE(my.key:PLAIN)", "f\"s", ""),
    ("FILTER_STATE(my.key:PLAIN):1", "f", ""),
    ("REQUESTED_SERVER_NAME", "sni.example", ""),
    ("REQUESTED_SERVER_NAME(HOST_FIRST:HOST)", "api.example:8443", "sni.example"),
    ("REQUESTED_SERVER_NAME(SNI_FIRST:HOST)", "sni.example", ""),
    ("DOWNSTREAM_TLS_VERSION", "TLSv1.3", ""),
    ("DOWNSTREAM_TLS_CIPHER", "TLS_AES_256_GCM_SHA384", ""),
    ("DOWNSTREAM_TLS_SESSION_ID", "aa", ""),
    ("TLS_JA3_FINGERPRINT", "j3", ""),
    ("DOWNSTREAM_PEER_SUBJECT", "CN=peer", ""),
    ("DOWNSTREAM_PEER_ISSUER", "CN=ca", ""),
    ("DOWNSTREAM_PEER_URI_SAN", "a,b", ""),
    ("DOWNSTREAM_LOCAL_SUBJECT", "CN=local", ""),
    ("DOWNSTREAM_LOCAL_URI_SAN", "spiffe://m/local", ""),
    ("ACCESS_LOG_TYPE", "DownstreamEnd", "TcpConnectionEnd"),
    (r#"COALESCE({"operators":[{"command":"REQ","param":"x-none"},"PROTOCOL","ROUTE_NAME"]})"#, "HTTP/2", "orders"),
    (r#"COALESCE({"operators":[{"command":"ROUTE_NAME"}]}):3"#, "ord", ""),
    (r#"COALESCE({"operators":[{"command":"RESP","param":"x-none"}]})"#, "-", ""),
];

/// Scenario: each operator on a request and on a connection with every field.
/// Guarantees: it prints what Envoy prints; and every operator of the table is tried here or in a test of its own.
#[test]
fn each() {
    for (operator, request, connection) in PRINTED {
        let template = format!("%{operator}%");
        assert_eq!(render(&template, &http()), *request, "{operator}");
        // An empty text says that both are the same.
        let connection = if connection.is_empty() && !request.is_empty() { request } else { connection };
        assert_eq!(render(&template, &tcp()), *connection, "{operator}, TCP");
    }
    let tried = |name: &str| PRINTED.iter().any(|(operator, ..)| operator.split(['(', ':']).next() == Some(name));
    for name in operators(Source::Als).filter(|name| !name.starts_with("KUMA_") && *name != "START_TIME_LOCAL") {
        assert!(tried(name), "{name}");
    }
}

/// Scenario: entries that hold nothing.
/// Guarantees: numbers are 0, flags are a dash, the rest is absent; with `omit_empty_values` absent values are nothing.
#[test]
fn of_nothing() {
    let entry = json!({"commonProperties": {}, "protocolVersion": "PROTOCOL_UNSPECIFIED"});
    let line = "%START_TIME% %BYTES_SENT% %RESPONSE_CODE% %PROTOCOL% %DURATION% %REQ(:PATH)% %RESPONSE_FLAGS% %UPSTREAM_HOST% \
                %GRPC_STATUS% %PATH% %QUERY_PARAMS% %DYNAMIC_METADATA(a)% %FILTER_STATE(a)% %ACCESS_LOG_TYPE%";
    assert_eq!(render(line, &entry), "- 0 0 - - - - - - - - - - NotSet");
    let omit = Template::new(line, &Options { omit_empty: true, ..options() }).unwrap();
    assert_eq!(text(super::render_bytes(&omit, &entry)), " 0 0    -       NotSet");
}

/// Scenario: a host whose connection failed, a Unix socket, and a listener within Envoy.
/// Guarantees: the host is there, the remote address is not; names print as they are and have no port.
#[test]
fn addresses() {
    let mut failed = http();
    failed["commonProperties"]["upstreamLocalAddress"].take();
    assert_eq!(
        render("%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_PORT%", &failed),
        "198.51.100.4:8080 - -"
    );
    let mut pipe = failed.clone();
    pipe["commonProperties"]["responseFlags"].take();
    pipe["commonProperties"]["upstreamRemoteAddress"] = json!({"pipe": {"path": "/tmp/up"}});
    let all =
        "%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)% %UPSTREAM_REMOTE_PORT%";
    assert_eq!(render(all, &pipe), "/tmp/up /tmp/up /tmp/up -");
    pipe["commonProperties"]["upstreamRemoteAddress"] =
        json!({"envoyInternalAddress": {"serverListenerName": "inner"}});
    assert_eq!(render("%UPSTREAM_HOST%", &pipe), "envoy://inner");
}

/// Scenario: methods that Envoy has no number for, statuses of gRPC that have no name, and other content types.
/// Guarantees: `:method` of the map is the method; a number without a name is printed; without gRPC there is no status.
#[test]
fn of_the_headers() {
    let mut entry = http();
    entry["request"]["requestMethod"] = "METHOD_UNSPECIFIED".into();
    entry["request"]["requestHeaders"][":method"] = "PURGE".into();
    assert_eq!(render("%REQ(:METHOD)%", &entry), "PURGE");
    let statuses = "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%";
    for (status, content_type, printed) in [
        ("1", "application/grpc", "Canceled CANCELLED 1"),
        ("16", "application/grpc", "Unauthenticated UNAUTHENTICATED 16"),
        ("99", "application/grpc", "99 99 99"),
        ("x", "application/grpc", "- - -"),
        ("0", "application/grpc-web", "- - -"),
        ("0", "application/json", "- - -"),
    ] {
        entry["response"]["responseTrailers"]["grpc-status"] = status.into();
        entry["request"]["requestHeaders"]["content-type"] = content_type.into();
        assert_eq!(render(statuses, &entry), printed, "{status} {content_type}");
    }
    // Trailers only: the status is in the headers.
    entry["request"]["requestHeaders"]["content-type"] = "application/grpc".into();
    entry["response"]["responseTrailers"].take();
    entry["response"]["responseHeaders"]["grpc-status"] = "14".into();
    assert_eq!(render("%GRPC_STATUS%", &entry), "Unavailable");
}

/// Scenario: the default formats of Envoy, TrafficLog and MeshAccessLog, with the placeholders of a listener.
/// Guarantees: they compile and print a line as those of the mesh do.
#[test]
fn default_formats() {
    let mut placeholders = Placeholders::default();
    for (placeholder, value) in [
        (Placeholder::Mesh, "default"),
        (Placeholder::SourceService, "web"),
        (Placeholder::DestinationService, "backend"),
        (Placeholder::SourceAddressWithoutPort, "192.168.0.1"),
    ] {
        placeholders.set(placeholder, value);
    }
    let line = |template: &str, entry: &Value| {
        let template = Template::new(template, &options()).unwrap();
        text(render_entry(entry, &placeholders, |entry, out| template.render(entry, out)))
    };
    let head = "[2026-11-29T11:28:19.495Z] default \"POST /old/a?q HTTP/2\" 503 URX,UF 22 32 1234 - \"203.0.113.77\" \"curl/8\"";
    let tail = "\"rid\" \"api.example:8443\" \"web\" \"backend\" \"192.168.0.1\" \"198.51.100.4:8080\"";
    assert_eq!(line(defaults::MESH_HTTP, &http()), format!("{head} \"-\" {tail}"));
    assert_eq!(line(defaults::MESH_HTTP_PAGE, &http()), format!("{head} {tail}"));
    assert_eq!(
        line(defaults::MESH_TCP, &tcp()),
        "[2026-11-29T11:28:19.495Z] UF,URX default 192.168.0.1(web)->198.51.100.4:8080(backend) took 1234ms, sent 121 bytes, \
         received: 70 bytes"
    );
    assert!(line(defaults::ENVOY, &http()).ends_with("\"api.example:8443\" \"198.51.100.4:8080\"\n"));
    assert_eq!(Placeholder::find("KUMA_ZONE"), Some(Placeholder::Zone));
}
