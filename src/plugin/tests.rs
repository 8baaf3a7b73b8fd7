mod datadog;
mod refusals;
mod statsd;

use super::*;
use logphase_config::diagnostic::{Diagnostic, SourceFile, any_error};
use logphase_config::document;
use logphase_config::schema::Scope;
use serde_json::json;

use crate::sink::SinkShared;

fn read(kind: &Definition, text: &str) -> (serde_json::Value, Vec<Diagnostic>) {
    let (node, mut diagnostics) = document::parse(&SourceFile::new("t.yaml", text), None);
    let node = node.expect("the tests' documents are valid");
    let (subject, origin) = (format!("plugin `{}`", kind.name), node.origin());
    let scope = Scope { subject, path: "config".into(), kong: Some("config".into()), origin };
    let values = kind.schema.read(&node, &scope, &mut diagnostics);
    (values.into(), diagnostics)
}

/// What a sink may depend on besides the `config`: nothing but `certificate`.
fn sink_context(certificate: Option<Certificate<'_>>) -> SinkContext<'_> {
    SinkContext {
        oversize: "drop",
        max_batch_size: 1,
        concurrency_limit: 1,
        old_form: false,
        environment: |_| None,
        certificate,
    }
}

fn wording(name: &str, text: &str) -> Vec<String> {
    let kind = find(name).expect("a kind");
    read(kind, text).1.into_iter().map(|diagnostic| diagnostic.kong.unwrap_or(diagnostic.message)).collect()
}

/// Scenario: the tables of plugins.
/// Guarantees: they are sorted by priority, names are unique, old names are found.
#[test]
fn tables_are_consistent() {
    assert!(definitions().windows(2).all(|pair| pair[0].priority > pair[1].priority));
    assert!(KNOWN.windows(2).all(|pair| pair[0].priority >= pair[1].priority));
    let mut all: Vec<_> = names().collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), count), (114, 114));
    assert_eq!(find("tcplog").map(|kind| kind.name), Some("tcp-log"));
    assert!(find("rate-limiting").is_none() && find_known("rate-limiting").is_some());
}

/// Scenario: each plugin with only its required fields.
/// Guarantees: Kong's defaults are filled in, and nothing else.
#[test]
fn defaults_are_kongs() {
    let minimal = [
        ("file-log", "path: /tmp/x"),
        ("udp-log", "{host: h, port: 1}"),
        ("tcp-log", "{host: '::1', port: 1}"),
        ("http-log", "http_endpoint: http://h"),
        ("opentelemetry", "access_logs: {endpoint: 'http://h/v1/logs'}"),
        ("syslog", "{}"),
        ("loggly", "key: k"),
        ("statsd", "{}"),
        ("datadog", "{}"),
        ("kafka-log", "topic: t"),
        ("post-function", "log: [return 1]"),
    ];
    for (name, text) in minimal {
        let (values, diagnostics) = read(find(name).expect("a kind"), text);
        assert_eq!(diagnostics, []);
        insta::assert_snapshot!(format!("defaults of {name}"), serde_json::to_string_pretty(&values).expect("JSON"));
    }
}

/// Scenario: values that Kong refuses, one by one.
/// Guarantees: each is refused with Kong's message.
#[test]
fn refuses_what_kong_refuses() {
    insta::assert_debug_snapshot!([
        wording("file-log", "path: 'a*b'"),
        wording("file-log", "path: ' a'"),
        wording("tcp-log", "{host: 'h:1', port: 99999, tls: null, keepalive: -1}"),
        wording("udp-log", "{host: 'a b', port: 1.5, oversize: trunkate}"),
        wording("http-log", "{http_endpoint: nowhere, headers: {hOst: x, a b: c}}"),
        wording("http-log", "{http_endpoint: 'http://u:p@h', headers: {authorization: x}, queue: {max_entries: 0}}"),
        wording("http-log", "{http_endpoint: 'http://u:p@h', headers: {authorization: x}, queue_size: 3}"),
        wording("syslog", "{facility: USER, log_level: warn}"),
        wording("kafka-log", "{authentication: {mechanism: OAUTHBEARER}, bootstrap_servers: [{host: h}]}"),
        wording("kafka-log", "{topic: t, security: {certificate_id: 6c6e1b1a-3a53-4b2e-9a0f-1d1f4b6c2f11}}"),
        wording("opentelemetry", "{headers: {a b: c}, header_type: w3}"),
        wording("opentelemetry", "{}"),
        wording(
            "opentelemetry",
            "{endpoint: 'http://h', sampling_rate: 2, resource_attributes: {a: ''}, propagation: {inject: [w4]}}"
        ),
        wording(
            "opentelemetry",
            "{access_logs: {endpoint: nowhere, custom_attributes_by_lua: {a: ''}}, protocol: http}"
        ),
        wording("pre-function", "{}"),
        wording("tcp-log", "{host: h, port: 1, queue: {initial_retry_delay: 2, max_retry_delay: 1}, on_error: skip}"),
        wording("tcp-log", "{host: h, port: 1, custom_fields_by_lua: {a: '', b: 1}}"),
        wording(
            "statsd",
            "{tag_style: a, udp_packet_size: 65508, consumer_identifier_default: b, use_tcp: c, hots: d}"
        ),
        wording("statsd", "{service_identifier_default: a, workspace_identifier_default: b, custom_fields_by_lua: {}}"),
        wording(
            "statsd",
            "metrics: [{name: a, stat_type: b, service_identifier: c}, {sample_rate: 0}, {name: latency}]"
        ),
        wording(
            "statsd",
            "metrics: [{name: request_count, stat_type: counter}, {name: latency, stat_type: distribution}]"
        ),
        wording("statsd", "allow_status_codes: [test, $%%, test-299, 300-test, '200', -1, 200-299, '-', 1-2-3]"),
        wording("datadog", "metrics: [{name: status_count, stat_type: counter, sample_rate: 2, tags: ['T1:', 'T:1']}]"),
        wording("datadog", "metrics: [{name: latency, sample_rate: 1}, {stat_type: gauge, sample_rate: 1}]"),
        wording("datadog", "{metrics: [{name: latency, stat_type: gauge}], host: 'a b', port: 65536}"),
    ]);
}

/// Scenario: Logphase's extensions on every logging plugin.
/// Guarantees: they are accepted, and marked as extensions.
#[test]
fn extensions_are_accepted() {
    for kind in definitions().iter().filter(|kind| kind.emits) {
        let field = |name| kind.schema.field(name).expect("the plugin has it");
        assert!(field("redact").extension);
        assert!(
            field("queue").extension != ["http-log", "opentelemetry", "statsd", "datadog"].contains(&kind.name),
            "{}",
            kind.name
        );
        assert!(!kind.takes_fields() || field("on_error").extension);
    }
    let kind = find("tcp-log").expect("a kind");
    let (values, diagnostics) = read(
        kind,
        "{host: h, port: 1, on_error: drop, queue: {max_retry_time: null, max_entries: 5, overflow: drop_oldest}}",
    );
    assert!(!any_error(&diagnostics), "{diagnostics:?}");
    assert_eq!(values["queue"], serde_json::json!({"max_entries": 5, "overflow": "drop_oldest"}));
}

/// Scenario: extensions of syslog that contradict each other or lack another field, a token of loggly that would break
/// its messages, and valid combinations.
/// Guarantees: each invalid one is refused with its reason; the valid ones are accepted.
#[test]
fn refuses_syslog_fields_that_do_not_fit() {
    for (kind, text, reason) in [
        ("syslog", "{transport: tcp}", "host must be set when transport is set"),
        ("syslog", "{port: 514, tls_sni: a}", "host must be set when port is set"),
        ("syslog", "{host: h, socket: /dev/log}", "only one of host and socket can be set"),
        ("syslog", "{host: h, ssl_verify: false}", "transport must be tls when ssl_verify is set"),
        ("syslog", "{host: h, transport: relp}", "expected one of: udp, tcp, tls"),
        ("syslog", "{format: json}", "expected one of: rfc5424, rfc3164"),
        ("syslog", "{ident: 'a b'}", "must be at most 48 printable ASCII characters without spaces"),
        ("loggly", "{key: 'a]b'}", "must be printable ASCII without spaces and the characters = ] \""),
    ] {
        let messages = wording(kind, text);
        assert!(matches!(&messages[..], [only] if only.contains(reason)), "{text}: {messages:?}");
    }
    for valid in [
        "{host: h, port: 6514, transport: tls, tls_sni: a, ssl_verify: true, timeout: 5, hostname: gw-1, ident: gw}",
        "{socket: /run/log, format: rfc5424}",
        "{host: 'h', format: rfc3164}",
    ] {
        assert_eq!(wording("syslog", valid), [""; 0], "{valid}");
    }
    assert_eq!(wording("loggly", "key: '{vault://env/loggly-key?a=b}'"), [""; 0]);
}

/// Scenario: kafka-log with a schema registry, with and without the block of its authentication mode.
/// Guarantees: with the block, the sink accepts the configuration; without it, the schema refuses it.
#[test]
fn registry_authentication_needs_its_block() {
    let read = |authentication: &str| {
        let text = format!(
            "{{topic: t, bootstrap_servers: [{{host: b, port: 1}}], schema_registry: {{confluent: {{url: 'http://r/x', \
             value_schema: {{subject_name: s, schema_version: latest}}, authentication: {authentication}}}}}}}"
        );
        let (values, diagnostics) = read(&super::kafka_log::DEFINITION, &text);
        (values, diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect::<Vec<_>>())
    };
    let oauth = "{token_endpoint: 'https://i/t', client_id: a, client_secret: b}";
    for valid in [
        "{}".to_owned(),
        "{mode: basic, basic: {username: a, password: b}}".to_owned(),
        format!("{{mode: oauth2, oauth2: {oauth}}}"),
        format!("{{mode: oauth2, oauth2: {oauth}, oauth2_client: {{auth_method: client_secret_jwt}}}}"),
    ] {
        let (config, messages) = read(&valid);
        assert_eq!(messages, [""; 0], "{valid}");
        assert_eq!(super::kafka_log::DEFINITION.validate(&config, &SinkShared::new(None)), Ok(()), "{valid}");
    }
    for mode in ["basic", "oauth2"] {
        let (_, messages) = read(&format!("{{mode: {mode}}}"));
        assert!(
            messages.iter().any(|text| text.contains(&format!("the mode `{mode}` without a block"))),
            "{messages:?}"
        );
    }
}

/// Scenario: every plugin.
/// Guarantees: logging plugins have a sink, and no others.
#[test]
fn logging_plugins_have_sinks() {
    assert!(definitions().iter().all(|kind| kind.emits == kind.open.is_some()));
}

/// Scenario: the sink configurations of plugins with a certificate, the old form, batches, and `oversize` from the
/// settings.
/// Guarantees: each has the members that its sink depends on, and no others; none has fields of the log phase.
#[test]
fn sink_configurations_are_minimal() {
    let certificate = Some(Certificate { cert: "C", key: "K" });
    let context = SinkContext {
        oversize: "tcp",
        max_batch_size: 2,
        concurrency_limit: -1,
        old_form: true,
        environment: |name| match name {
            "KONG_DATADOG_AGENT_HOST" => Some("agent".to_owned()),
            "KONG_DATADOG_AGENT_PORT" => Some("9125".to_owned()),
            _ => None,
        },
        certificate,
    };
    let config =
        json!({"custom_fields_by_lua": {"a": "return 1"}, "on_error": "drop", "queue": {}, "redact": [], "x": 1});
    let sink_config = |name| find(name).expect("a plugin").sink_config(&config, &context);
    let inline = json!({"cert": "C", "key": "K"});
    assert_eq!(sink_config("file-log"), json!({"x": 1}));
    assert_eq!(sink_config("udp-log"), json!({"x": 1, "oversize": "tcp"}));
    assert_eq!(sink_config("tcp-log"), json!({"x": 1, "crlf": true}));
    assert_eq!(sink_config("statsd"), json!({"x": 1}));
    assert_eq!(sink_config("datadog"), json!({"x": 1, "host": "agent", "port": 9125}));
    assert_eq!(sink_config("kafka-log"), json!({"x": 1, "certificate": inline}));
    let parallel = json!({"x": 1, "parallel": true, "certificate": inline});
    assert_eq!(sink_config("opentelemetry"), parallel);
    assert_eq!(sink_config("http-log"), json!({"x": 1, "array": true, "parallel": true, "certificate": inline}));
}

/// Scenario: opentelemetry with all that Kong's tools write and an endpoint of each kind, in old and new forms.
/// Guarantees: it runs only if it has access logs; what is set and has no effect is named, and defaults are not.
#[test]
fn only_access_logs_are_sent() {
    let definition = find("opentelemetry").expect("a plugin");
    let left = |text: &str| {
        let (config, diagnostics) = read(definition, text);
        assert!(!any_error(&diagnostics), "{diagnostics:?}");
        let mut config = config.as_object().expect("a record").clone();
        (definition.convert)(&mut config);
        (definition.left_to_kong)(&config).map(|left| (left.all, left.what))
    };
    let whole = "access_logs: {endpoint: 'http://h'}, header_type: preserve, propagation: {default_format: w3c}, \
                 metrics: {push_interval: 60, endpoint: null}, traces_endpoint: null, sampling_rate: null";
    assert_eq!(left(&format!("{{{whole}}}")), None);
    assert_eq!(left("{access_logs_endpoint: 'http://h', batch_span_count: 7}"), None);
    let (all, what) =
        left("{access_logs: {endpoint: 'http://h'}, endpoint: 'http://t', sampling_rate: 0.5}").expect("some");
    assert_eq!(
        (all, &*what),
        (false, "`traces_endpoint`, `sampling_rate` have no effect here: only access logs are sent from here")
    );
    let (all, what) = left("{logs_endpoint: 'http://h', metrics: {endpoint: 'http://m'}}").expect("all");
    assert_eq!(
        (all, &*what),
        (true, "`logs_endpoint`, `metrics` have no effect here: only access logs are sent from here")
    );
    let (mut config, _) =
        read(definition, "{access_logs_endpoint: 'http://h', batch_span_count: 7, batch_flush_delay: 2}");
    let config = config.as_object_mut().expect("a record");
    (definition.convert)(config);
    assert_eq!(config["access_logs"], json!({"endpoint": "http://h"}));
    assert_eq!((&config["queue"]["max_batch_size"], &config["queue"]["max_coalescing_delay"]), (&json!(7), &json!(2)));
}

/// Scenario: the properties of every definition that name fields of its `config`.
/// Guarantees: the fields exist.
#[test]
fn properties_name_existing_fields() {
    for definition in definitions() {
        let has = |name: &str| definition.schema.field(name).is_some();
        assert!(definition.written_files.iter().all(|name| has(name)), "{}", definition.name);
        assert!(definition.certificate.first().is_none_or(|name| has(name)), "{}", definition.name);
        let shared = definition.shares_queue_by.iter().filter(|name| **name != "certificate");
        assert!(shared.clone().all(|name| has(name)), "{}", definition.name);
    }
}
