//! The Envoy whose two loggers are compared.

use serde_json::{Value, json};

use crate::service::Home;

/// Between the operators of the template that is text.
pub(super) const SEPARATOR: char = '\u{1f}';

/// A log: of a listener, with its files and its name at the service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    pub(super) name: &'static str,
}

pub(super) const LOGS: [Log; 5] = [
    Log { name: "http" },
    Log { name: "https" },
    Log { name: "tcp" },
    Log { name: "tcp-tls" },
    Log { name: "tcp-down" },
];

impl Log {
    /// The file of one of its templates.
    pub(super) fn file(self, template: &str) -> String {
        format!("{}.{template}", self.name)
    }
}

pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) https: u16,
    pub(super) tcp: u16,
    pub(super) tcp_tls: u16,
    pub(super) tcp_down: u16,
    pub(super) upstream: u16,
    pub(super) down: u16,
    pub(super) echo: u16,
    pub(super) service: u16,
}

/// Every operator that entries carry. The first names the record.
pub(super) const OPERATORS: &[&str] = &[
    "REQ(:PATH)",
    "START_TIME",
    "START_TIME()",
    "START_TIME(%s.%3f %1f %6f %9f %f)",
    "START_TIME(%E0S %E3S %E9S %E*S %E3f %E*f)",
    "START_TIME(%z %Ez %E*z %:z %::z %Z)",
    "START_TIME(%E4Y %C %y %G %g %V)",
    "START_TIME(%F %T %D %R %r|%c|%x|%X)",
    "START_TIME(%a %A %b %h %B)",
    "START_TIME(%d %e %j %k %l %I %H %M %S %m %Y)",
    "START_TIME(%u %w %U %W %p %P)",
    "START_TIME([%t]%%)",
    "START_TIME(%-m/%_d/%0e %Od %Ey %OH %Ec)",
    "START_TIME(%i %N %Q %E %E5 %Eq %ET)",
    "START_TIME(no time)",
    "BYTES_RECEIVED",
    "BYTES_SENT",
    "REQUEST_HEADERS_BYTES",
    "RESPONSE_HEADERS_BYTES",
    "UPSTREAM_WIRE_BYTES_SENT",
    "UPSTREAM_WIRE_BYTES_RECEIVED",
    "UPSTREAM_HEADER_BYTES_SENT",
    "UPSTREAM_HEADER_BYTES_RECEIVED",
    "DOWNSTREAM_WIRE_BYTES_SENT",
    "DOWNSTREAM_WIRE_BYTES_RECEIVED",
    "DOWNSTREAM_HEADER_BYTES_SENT",
    "DOWNSTREAM_HEADER_BYTES_RECEIVED",
    "PROTOCOL",
    "RESPONSE_CODE",
    "RESPONSE_CODE_DETAILS",
    "RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)",
    "UPSTREAM_TRANSPORT_FAILURE_REASON",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    "CONNECTION_TERMINATION_DETAILS",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "DURATION",
    "REQUEST_DURATION",
    "REQUEST_TX_DURATION",
    "RESPONSE_DURATION",
    "RESPONSE_TX_DURATION",
    "COMMON_DURATION(DS_RX_BEG:DS_RX_END:ns)",
    "COMMON_DURATION(DS_RX_BEG:US_TX_BEG:us)",
    "COMMON_DURATION(US_TX_BEG:US_TX_END:ns)",
    "COMMON_DURATION(US_TX_END:US_RX_BEG)",
    "COMMON_DURATION(US_RX_BEG:US_RX_END:us)",
    "COMMON_DURATION(DS_TX_BEG:DS_TX_END:us)",
    "COMMON_DURATION(DS_TX_END:DS_RX_BEG:ms)",
    "RESPONSE_FLAGS",
    "RESPONSE_FLAGS_LONG",
    "ROUTE_NAME",
    "STREAM_ID",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_HOST",
    "UPSTREAM_REMOTE_ADDRESS",
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(9)",
    "UPSTREAM_REMOTE_PORT",
    "UPSTREAM_LOCAL_ADDRESS",
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(x)",
    "UPSTREAM_LOCAL_PORT",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(0)",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(31)",
    "DOWNSTREAM_REMOTE_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT(99)",
    "DOWNSTREAM_DIRECT_REMOTE_PORT",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(8)",
    "DOWNSTREAM_LOCAL_PORT",
    "REQ(:METHOD)",
    "REQ(:AUTHORITY)",
    "REQ(HOST)",
    "REQ(:SCHEME)",
    "REQ(USER-AGENT)",
    "REQ(USER-AGENT):5",
    "REQ(REFERER)",
    "REQ(X-FORWARDED-FOR)",
    "REQ(X-REQUEST-ID)",
    "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)",
    "REQ(X-QUOTE)",
    "REQ(X-UTF8)",
    "REQ(X-UTF8):8",
    "REQ(X-UTF8):0",
    "REQ(X-EMPTY?X-UTF8)",
    "REQ(X-NONE?X-UTF8)",
    "REQ(?X-UTF8)",
    "REQUEST_HEADER(x-long?):3",
    "RESP(CONTENT-TYPE)",
    "RESP(CONTENT-LENGTH?X-UP)",
    "RESP(:STATUS)",
    "RESP(LOCATION)",
    "RESPONSE_HEADER(x-envoy-upstream-service-time)",
    "TRAILER(GRPC-STATUS)",
    "RESPONSE_TRAILER(x-none)",
    "GRPC_STATUS",
    "GRPC_STATUS(CAMEL_STRING)",
    "GRPC_STATUS(SNAKE_STRING)",
    "GRPC_STATUS(NUMBER)",
    "GRPC_STATUS_NUMBER",
    "PATH",
    "PATH(NQ)",
    "PATH(:ORIG)",
    "PATH(WQ:PATH)",
    "PATH(NQ:ORIG)",
    "PATH(NQ:ORIG_OR_PATH):4",
    "QUERY_PARAM(x)",
    "QUERY_PARAM(a)",
    "QUERY_PARAM(b)",
    "QUERY_PARAM(y)",
    "QUERY_PARAM(flag)",
    "QUERY_PARAM(d):2",
    "QUERY_PARAM(none)",
    "QUERY_PARAMS",
    "QUERY_PARAMS(ORIG):5",
    "QUERY_PARAMS(DECODED)",
    "DYNAMIC_METADATA(auth)",
    "DYNAMIC_METADATA(auth:user)",
    "DYNAMIC_METADATA(auth:user):3",
    "DYNAMIC_METADATA(auth:scopes)",
    "DYNAMIC_METADATA(auth:level)",
    "DYNAMIC_METADATA(auth:half)",
    "DYNAMIC_METADATA(auth:admin)",
    "DYNAMIC_METADATA(auth:deep:z)",
    "DYNAMIC_METADATA(auth:none)",
    "DYNAMIC_METADATA(auth:user:none)",
    "METADATA(DYNAMIC:auth:deep)",
    "METADATA(DYNAMIC:auth:deep):4",
    "METADATA(DYNAMIC)",
    "FILTER_STATE(my.key)",
    "FILTER_STATE(my.key:PLAIN)",
    "FILTER_STATE(my.key:TYPED):4",
    "FILTER_STATE(my.key:PLAIN):4",
    "FILTER_STATE(no.key)",
    "REQUESTED_SERVER_NAME",
    "REQUESTED_SERVER_NAME(SNI_FIRST:HOST)",
    "REQUESTED_SERVER_NAME(HOST_FIRST:HOST)",
    "REQUESTED_SERVER_NAME(SNI_ONLY:HOST)",
    "DOWNSTREAM_TLS_VERSION",
    "DOWNSTREAM_TLS_CIPHER",
    "DOWNSTREAM_TLS_SESSION_ID",
    "TLS_JA3_FINGERPRINT",
    "DOWNSTREAM_PEER_SUBJECT",
    "DOWNSTREAM_PEER_ISSUER",
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_LOCAL_SUBJECT",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "ACCESS_LOG_TYPE",
    "CEL(request.method)",
    "CEL(request.url_path):4",
    "CEL(request.headers['x-utf8'])",
    "CEL(request.headers['x-none'])",
    "CEL(request.size + request.total_size)",
    "CEL(response.code >= 400)",
    "CEL(response.code_details)",
    "CEL(source.address)",
    "CEL(upstream.address)",
    "CEL(upstream.port)",
    "CEL(connection.mtls)",
    "CEL(metadata.filter_metadata['auth']['user'])",
    "CEL(metadata.filter_metadata['auth']['half'] * 2.0)",
    "TYPED_CEL(response.code)",
    "TYPED_CEL(request.path.startsWith('/up'))",
    r#"COALESCE({"operators":[{"command":"REQ","param":"x-none"},"PROTOCOL","UPSTREAM_HOST"]})"#,
    r#"COALESCE({"operators":[{"command":"REQ","param":":path","max_length":4},{"command":"RESPONSE_CODE"}]}):3"#,
    r#"COALESCE({"operators":["RESPONSE_FLAGS","PROTOCOL"]})"#,
    r#"COALESCE({"operators":["DURATION"]}):1"#,
    r#"COALESCE({"operators":[{"command":"REQ","param":"x-none"}]})"#,
];

/// All operators in one text.
pub(super) fn text_template() -> String {
    OPERATORS.iter().map(|operator| format!("%{operator}%")).collect::<Vec<_>>().join(&SEPARATOR.to_string())
}

/// All operators as JSON: alone, with text, and in objects and arrays.
pub(super) fn json_template() -> Value {
    let members = OPERATORS.iter().enumerate().flat_map(|(index, operator)| {
        let (alone, mixed) = (format!("%{operator}%"), format!("<%{operator}%> \"ä\t%%"));
        [(format!("k{index}"), json!(alone)), (format!("m{index}"), json!(mixed))]
    });
    let mut template: serde_json::Map<_, _> = members.collect();
    template.insert(
        "nested".to_owned(),
        json!({
            "z": ["%REQ(X-NONE)%", "%RESPONSE_CODE%", {"a": "%REQ(X-NONE)%"}, [], [null]],
            "gone": {"a": "%REQ(X-NONE)%", "b": {}, "c": null},
            "a": [42, -0.5, 1e20, true, "x", "", 12345678901_i64],
            "%PROTOCOL%": "a key",
            "": {},
        }),
    );
    Value::Object(template)
}

fn typed(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = format!("type.googleapis.com/envoy.{kind}").into();
    json!({"name": name, "typed_config": config})
}

/// The loggers of a log.
fn access_log(log: Log, home: &Home, http: bool) -> Value {
    let file = |template: &str, format: Value| {
        let config = json!({"path": home.text(&log.file(template)), "log_format": format});
        typed("file", "extensions.access_loggers.file.v3.FileAccessLog", config)
    };
    let common = json!({
        "log_name": log.name,
        "transport_api_version": "V3",
        "buffer_flush_interval": "0.05s",
        "filter_state_objects_to_log": ["my.key"],
        "grpc_service": {"envoy_grpc": {"cluster_name": "service"}},
    });
    let request = ["x-quote", "x-utf8", "x-empty", "x-long", "content-type", "x-none", ":method"];
    let response =
        ["content-type", "content-length", "x-up", "location", "x-envoy-upstream-service-time", "grpc-status"];
    let als = if http {
        typed(
            "als",
            "extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
            json!({
                "common_config": common,
                "additional_request_headers_to_log": request,
                "additional_response_headers_to_log": response,
                "additional_response_trailers_to_log": ["grpc-status"],
            }),
        )
    } else {
        typed("als", "extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig", json!({"common_config": common}))
    };
    json!([
        file("text", json!({"text_format_source": {"inline_string": text_template() + "\n"}})),
        file("json", json!({"json_format": json_template()})),
        file("omit", json!({"json_format": json_template(), "omit_empty_values": true})),
        als,
    ])
}

fn routes() -> Value {
    let direct = |path: &str, headers: Value| json!({"name": "direct", "match": {"path": path}, "direct_response": {"status": 200, "body": {"inline_string": "x"}}, "response_headers_to_add": headers});
    let header = |name: &str, value: &str| json!({"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
    let exhausted =
        json!({"retry_on": "5xx,connect-failure", "num_retries": 1, "retry_back_off": {"base_interval": "0.01s"}});
    json!([
        {"name": "flaky-exhausted", "match": {"prefix": "/flaky-exhausted"}, "route": {"cluster": "upstream", "retry_policy": exhausted}},
        {"name": "flaky", "match": {"prefix": "/flaky"}, "route": {"cluster": "upstream", "retry_policy": {"retry_on": "5xx", "num_retries": 3}}},
        {"name": "down-retried", "match": {"prefix": "/down-retried"}, "route": {"cluster": "down", "retry_policy": exhausted}},
        {"name": "down", "match": {"prefix": "/down"}, "route": {"cluster": "down"}},
        {"name": "empty", "match": {"prefix": "/empty"}, "route": {"cluster": "empty"}},
        {"name": "unknown", "match": {"prefix": "/unknown"}, "route": {"cluster": "unknown"}},
        {"name": "slow", "match": {"prefix": "/slow"}, "route": {"cluster": "upstream", "timeout": "0.1s"}},
        {"name": "rewritten", "match": {"prefix": "/old/"}, "route": {"cluster": "upstream", "prefix_rewrite": "/v2/"}},
        {"name": "redirect", "match": {"prefix": "/redirect"}, "redirect": {"path_redirect": "/up/there?a=b"}},
        direct("/direct", json!([])),
        direct("/grpc", json!([header("content-type", "application/grpc"), header("grpc-status", "5")])),
        direct("/grpc-none", json!([])),
        {"name": "upstream", "match": {"prefix": "/up/"}, "route": {"cluster": "upstream"}},
    ])
}

fn http_filter(log: Log, home: &Home) -> Value {
    let metadata = json!({
        "user": "alice", "scopes": ["read", 1, null], "level": 3, "half": 1.5, "admin": true, "deep": {"z": {"b": "ä\"", "a": 1e21}},
    });
    let state = json!({"on_request_headers": [{
        "object_key": "my.key", "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": "fs \"%REQ(:PATH)%"}},
    }]});
    typed(
        "http",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": log.name,
            "use_remote_address": false,
            "preserve_external_request_id": true,
            "http_protocol_options": {"accept_http_10": true},
            "access_log": access_log(log, home, true),
            "http_filters": [
                typed("metadata", "extensions.filters.http.set_metadata.v3.Config", json!({"metadata": [{"metadata_namespace": "auth", "value": metadata}]})),
                typed("state", "extensions.filters.http.set_filter_state.v3.Config", state),
                typed("router", "extensions.filters.http.router.v3.Router", json!({})),
            ],
            "route_config": {
                "validate_clusters": false,
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes()}],
            },
        }),
    )
}

fn tcp_filter(log: Log, cluster: &str, home: &Home) -> Value {
    let config = json!({
        "stat_prefix": log.name, "cluster": cluster, "max_connect_attempts": 2, "access_log": access_log(log, home, false),
    });
    typed("tcp", "extensions.filters.network.tcp_proxy.v3.TcpProxy", config)
}

/// The configuration.
pub(super) fn configuration(ports: &Ports, home: &Home) -> Value {
    let address = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let tls = |alpn: &[&str]| {
        let certificate = json!({"certificate_chain": {"filename": home.text("server.pem")}, "private_key": {"filename": home.text("server.key")}});
        typed(
            "tls",
            "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            json!({"common_tls_context": {
                "alpn_protocols": alpn,
                "tls_certificates": [certificate],
                "validation_context": {"trusted_ca": {"filename": home.text("ca.pem")}},
            }}),
        )
    };
    let listener = |name: &str, port: u16, filter: Value, tls: Option<Value>| {
        let mut chain = json!({"filters": [filter]});
        if let Some(tls) = &tls {
            chain["transport_socket"] = tls.clone();
        }
        let inspector = typed(
            "inspector",
            "extensions.filters.listener.tls_inspector.v3.TlsInspector",
            json!({"enable_ja3_fingerprinting": true}),
        );
        let inspectors = if tls.is_some() { json!([inspector]) } else { json!([]) };
        json!({"name": name, "address": address(port), "filter_chains": [chain], "listener_filters": inspectors})
    };
    let cluster = |name: &str, port: Option<u16>| {
        let endpoints: Vec<_> = port.into_iter().map(|port| json!({"endpoint": {"address": address(port)}})).collect();
        json!({"name": name, "connect_timeout": "5s", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}})
    };
    let mut service = cluster("service", Some(ports.service));
    service["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }});
    let [http, https, tcp, tcp_tls, tcp_down] = LOGS;
    json!({"static_resources": {
        "listeners": [
            listener("http", ports.http, http_filter(http, home), None),
            listener("https", ports.https, http_filter(https, home), Some(tls(&["h2", "http/1.1"]))),
            listener("tcp", ports.tcp, tcp_filter(tcp, "echo", home), None),
            listener("tcp-tls", ports.tcp_tls, tcp_filter(tcp_tls, "echo", home), Some(tls(&[]))),
            listener("tcp-down", ports.tcp_down, tcp_filter(tcp_down, "down", home), None),
        ],
        "clusters": [
            cluster("upstream", Some(ports.upstream)),
            cluster("down", Some(ports.down)),
            cluster("empty", None),
            cluster("echo", Some(ports.echo)),
            service,
        ],
    }})
}
