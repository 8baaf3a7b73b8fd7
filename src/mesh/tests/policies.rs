//! Validation of MeshAccessLog, against what the tests of Kuma 2.14 show.

use super::{good, indented, messages};

fn policy(spec: &str) -> String {
    format!("type: MeshAccessLog\nname: log\nmesh: default\nspec:\n{}", indented(spec, 2))
}

/// A policy with `backends` for everything that data planes accept.
fn rule(backends: &str) -> String {
    policy(&format!("targetRef: {{kind: Mesh}}\nrules:\n- default:\n    backends:\n{}", indented(backends, 6)))
}

fn to(target: &str) -> String {
    policy(&format!("to:\n- targetRef: {target}\n  default: {{backends: []}}"))
}

fn top(target: &str) -> String {
    policy(&format!("targetRef: {target}\nto:\n- targetRef: {{kind: Mesh}}\n  default: {{backends: []}}"))
}

fn check(cases: &[(String, &[&str])]) {
    for (text, expected) in cases {
        assert_eq!(&messages(text), expected, "{text}");
    }
}

/// Scenario: policies as Kuma's documentation and tests have them: `to`, `from` and `rules`, every kind of backend and format,
/// an empty list of backends. Guarantees: they have no mistakes.
#[test]
fn what_kuma_accepts_is_accepted() {
    let from = "targetRef: {kind: MeshSubset, tags: {app: web}, proxyTypes: [Sidecar]}\nfrom:\n- targetRef: {kind: Mesh}\n  default: \
                {backends: [{type: File, file: {path: /tmp/l}}]}";
    let web = "to:\n- targetRef: {kind: MeshService, name: web_kuma_svc_80, sectionName: http}\n  default:\n    backends:\n    - type: \
               File\n      file:\n        path: /tmp/l\n        format: {type: Plain, plain: '{\"start\": \"%START_TIME%\"}'}";
    for text in [
        policy(from),
        policy(web),
        rule(
            "- {type: Tcp, tcp: {address: '127.0.0.1:5000', format: {type: Json, json: [{key: t, value: '%START_TIME%'}]}}}",
        ),
        rule("- {type: File, file: {path: /tmp/logs.txt}}"),
        rule("- {type: OpenTelemetry, openTelemetry: {endpoint: 'otel:4317', body: {kvlistValue: {}}}}"),
        rule(
            "- {type: OpenTelemetry, openTelemetry: {backendRef: {kind: MeshOpenTelemetryBackend, labels: {app: otel}}}}",
        ),
        policy("rules: [{default: {backends: []}}]"),
        policy(
            "rules: [{matches: [{spiffeID: {type: Prefix, value: 'spiffe://m/ns'}, sni: {type: Exact, value: a.b}}], default: {backends: []}}]",
        ),
        to("{kind: MeshMultiZoneService, name: web}"),
        to("{kind: MeshService, labels: {kuma.io/display-name: web}}"),
        to("{kind: MeshHTTPRoute, name: route}"),
        top("{kind: Dataplane, labels: {app: web}}"),
        top("{kind: MeshGateway, name: edge, tags: {port: '*'}}"),
    ] {
        good(&text);
    }
}

/// Scenario: `targetRef`, `to`, `from` and `rules` that Kuma refuses. Guarantees: the violations are Kuma's, with its paths.
#[test]
fn targets_are_checked_as_by_kuma() {
    let one_of = "spec: at least one of 'from', 'to' or 'rules' has to be defined";
    check(&[
        (policy("targetRef: {kind: Mesh}"), &[one_of]),
        (policy("to: []\nrules: []"), &[one_of]),
        (
            policy("to: [{targetRef: {kind: Mesh}, default: {backends: []}}]\nrules: [{default: {backends: []}}]"),
            &["spec: fields 'to' and 'from' must be empty when 'rules' is defined"],
        ),
        (policy("to: [{targetRef: {kind: Mesh}}]"), &["spec.to[0].default.backends: must be defined"]),
        (policy("rules: [{default: {}}]"), &["spec.rules[0].default.backends: must be defined"]),
        (policy("from: [{targetRef: {kind: Mesh}}]"), &["spec.from[0].default.backends: must be defined"]),
        (
            policy("from: [{targetRef: {kind: MeshService, name: a}, default: {backends: []}}]"),
            &["spec.from[0].targetRef.kind: value 'MeshService' is not supported"],
        ),
        (to("{}"), &["spec.to[0].targetRef.kind: must be defined"]),
        (policy("to: [{default: {backends: []}}]"), &["spec.to[0].targetRef.kind: must be defined"]),
        (to("{kind: MeshGateway, name: a}"), &["spec.to[0].targetRef.kind: value 'MeshGateway' is not supported"]),
        (to("{kind: Nonsense}"), &["spec.to[0].targetRef.kind: value 'Nonsense' is not supported"]),
        (to("{kind: MeshService}"), &["spec.to[0].targetRef: name or labels must be set when kind is MeshService"]),
        (
            to("{kind: MeshService, name: a, labels: {b: c}}"),
            &["spec.to[0].targetRef.labels: either labels or name and namespace must be specified"],
        ),
        (
            to("{kind: MeshExternalService, name: a, labels: {b: c}}"),
            &["spec.to[0].targetRef.labels: either labels or name must be specified"],
        ),
        (
            to("{kind: MeshExternalService, name: a, sectionName: b}"),
            &["spec.to[0].targetRef.sectionName: must not be set with kind MeshExternalService"],
        ),
        (
            to("{kind: MeshHTTPRoute, name: A}"),
            &[
                "spec.to[0].targetRef.name: invalid characters: must consist of lower case alphanumeric characters, '-', '.' and '_'.",
            ],
        ),
        (to("{kind: Mesh, name: a}"), &["spec.to[0].targetRef.name: using name with kind Mesh is not yet supported"]),
        (
            to("{kind: Mesh, tags: {a: b}, sectionName: c}"),
            &[
                "spec.to[0].targetRef.tags: must not be set with kind Mesh",
                "spec.to[0].targetRef.sectionName: must not be set with kind Mesh",
            ],
        ),
        (top("{kind: MeshHTTPRoute, name: a}"), &["spec.targetRef.kind: value 'MeshHTTPRoute' is not supported"]),
        (top("{kind: MeshGateway}"), &["spec.targetRef.name: must be set when kind is MeshGateway"]),
        (
            top("{kind: MeshSubset, tags: {a: '*'}}"),
            &[
                "spec.targetRef.tags[\"a\"]: tag value must consist of alphanumeric characters, dots, dashes and underscores",
            ],
        ),
        (
            top("{kind: Mesh, proxyTypes: []}"),
            &["spec.targetRef.proxyTypes: must be undefined or have at least one element"],
        ),
        (
            top("{kind: Dataplane, sectionName: a}"),
            &["spec.targetRef.sectionName: can only be used with inbound policies"],
        ),
        (
            policy(
                "targetRef: {kind: MeshGateway, name: g}\nto: [{targetRef: {kind: MeshService, name: a}, default: {backends: []}}]",
            ),
            &["spec.to[0].targetRef.kind: value 'MeshService' is not supported"],
        ),
    ]);
}

/// Scenario: matches of rules that Kuma refuses. Guarantees: the violations are Kuma's.
#[test]
fn matches_are_checked_as_by_kuma() {
    let matches = |text: &str| policy(&format!("rules: [{{matches: [{text}], default: {{backends: []}}}}]"));
    check(&[
        (
            matches("{spiffeID: {type: Exact, value: 'http://a'}}"),
            &["spec.rules[0].matches[0].spiffeID: must be a valid Spiffe ID: scheme is missing or invalid"],
        ),
        (
            matches("{spiffeID: {type: Exact, value: 'spiffe://a/b/'}}"),
            &["spec.rules[0].matches[0].spiffeID: must be a valid Spiffe ID: path cannot have a trailing slash"],
        ),
        (matches("{sni: {value: a}}"), &["spec.rules[0].matches[0].sni.type: must be set"]),
        (
            matches("{sni: {type: Prefix, value: a}}"),
            &["spec.rules[0].matches[0].sni.type: unrecognized type \"Prefix\", supported values are: Exact"],
        ),
        (matches("{sni: {type: Exact}}"), &["spec.rules[0].matches[0].sni.value: must be set"]),
        (matches("{sin: {type: Exact}}"), &["unknown field `spec.rules[0].matches[0].sin`"]),
    ]);
}

/// Scenario: backends and formats that Kuma refuses. Guarantees: the violations are Kuma's, with its paths.
#[test]
fn backends_are_checked_as_by_kuma() {
    let file = "spec.rules[0].default.backends[0].file";
    let one = |expected: &str| vec![format!("{file}.{expected}")];
    let path = one("path: file backend requires a valid path");
    let format = |text: &str| rule(&format!("- {{type: File, file: {{path: /l, format: {text}}}}}"));
    for (text, expected) in [
        (rule("- {type: File, file: {}}"), path.clone()),
        (rule("- {type: File, file: {path: '#not_valid'}}"), path),
        (format("{type: Plain}"), one("format.plain: must be defined")),
        (format("{type: Plain, plain: ''}"), one("format.plain: must not be empty")),
        (format("{type: Json}"), one("format.json: must be defined")),
        (format("{type: Json, json: []}"), one("format.json: must not be empty")),
        (format("{type: Json, json: [{value: '%START_TIME%'}]}"), one("format.json[0].key: key cannot be empty")),
        (format("{type: Json, json: [{key: a}]}"), one("format.json[0].value: value cannot be empty")),
        (format("{type: Json, json: [{key: '\"', value: a}]}"), one("format.json[0]: is not a valid JSON object")),
        (format("{type: Yaml}"), one("format.type: must be one of: Plain, Json")),
    ] {
        assert_eq!(messages(&text), expected, "{text}");
    }
    let (tcp, otel) = ("spec.rules[0].default.backends[0].tcp", "spec.rules[0].default.backends[0].openTelemetry");
    for (text, expected) in [
        ("- {type: Tcp, tcp: {address: not_valid_url}}", format!("{tcp}.address: tcp backend requires valid address")),
        ("- {type: Tcp}", format!("{tcp}: must be defined")),
        ("- {type: OpenTelemetry}", format!("{otel}: must be defined")),
        (
            "- {type: OpenTelemetry, openTelemetry: {}}",
            format!("{otel}: openTelemetry must have exactly one defined: endpoint, backendRef"),
        ),
        (
            "- {type: OpenTelemetry, openTelemetry: {endpoint: 'http://a'}}",
            format!("{otel}.endpoint: must be in host:port format, not a URL"),
        ),
        (
            "- {type: OpenTelemetry, openTelemetry: {backendRef: {kind: MeshOpenTelemetryBackend}}}",
            format!("{otel}.backendRef: backendRef must have exactly one defined: labels"),
        ),
        (
            "- {type: OpenTelemetry, openTelemetry: {endpoint: 'a:1', attributes: [{key: otel.a, value: b}]}}",
            format!("{otel}.attributes[0].key: must not use the reserved OpenTelemetry prefix 'otel.'"),
        ),
        (
            "- {type: OpenTelemetry, openTelemetry: {endpoint: 'a:1', attributes: [{key: '%KUMA_MESH%', value: b}]}}",
            format!(
                "{otel}.attributes[0].key: must be a static OpenTelemetry attribute name; placeholders are only supported in values"
            ),
        ),
    ] {
        assert_eq!(messages(&rule(text)), [expected], "{text}");
    }
}
