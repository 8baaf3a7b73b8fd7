use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::declarative::{self, ReadOptions};
use logphase_config::diagnostic::{Diagnostic, Format, Origin, SourceFile, field_errors, render_all};
use logphase_config::document::Node;

/// The entity of a request body, with full validation as in the Admin API.
fn request(kind: EntityKind, body: &Value) -> (Configuration, Vec<Diagnostic>) {
    let draft = Draft::new(kind, Node::from_request(body), String::new());
    let rules = Rules { select_tags: &[], completeness: Completeness::Full };
    Configuration::from_drafts(Drafts { entities: vec![draft], ..Drafts::default() }, rules)
}

fn file(text: &str) -> (Configuration, Vec<Diagnostic>) {
    let file = SourceFile::new("kong.yaml", format!("_format_version: '3.0'\n{text}"));
    declarative::read(&[file], ReadOptions { select_tags: &[], env: &|_| None })
}

fn route(body: Value) -> Arc<Route> {
    let (mut configuration, diagnostics) = request(EntityKind::Routes, &body);
    assert_eq!(diagnostics, []);
    configuration.routes.remove(0)
}

fn service(body: Value) -> Arc<Service> {
    let (mut configuration, diagnostics) = request(EntityKind::Services, &body);
    assert_eq!(diagnostics, []);
    configuration.services.remove(0)
}

/// Kong's `fields` for an invalid body.
fn fields(kind: EntityKind, body: Value) -> Value {
    field_errors(&request(kind, &body).1)
}

/// Scenario: the same plugin with the same mistakes, in a file and in the body of a request.
/// Guarantees: the messages are the same; those of the file have a place and a caret, those of the request have the path
/// in the body and Kong's `fields`.
#[test]
fn one_validation_serves_files_and_requests() {
    let plugin = json!({
        "name": "http-log",
        "protocols": ["http", "tcp"],
        "config": {"http_endpoint": "http://h", "timeoutt": 1, "method": "DELETE", "headers": {"Host": "x"}},
    });
    let (_, of_file) = file(&format!("plugins: [{plugin}]\n"));
    let (_, of_request) = request(EntityKind::Plugins, &plugin);
    let messages = |found: &[Diagnostic]| -> Vec<_> {
        let mut texts: Vec<_> = found.iter().map(|d| (d.message.clone(), d.label.clone(), d.kong.clone())).collect();
        texts.sort();
        texts
    };
    assert_eq!(messages(&of_file), messages(&of_request));
    let of_method = |found: &[Diagnostic]| -> Diagnostic {
        found.iter().find(|d| d.message.contains("method")).expect("an error for DELETE").clone()
    };
    assert!(of_method(&of_file).place().is_some());
    assert_eq!(of_method(&of_request).origin, Origin::Request { path: "config.method".to_owned() });
    insta::assert_snapshot!(render_all(&[of_method(&of_file)], Format::Pretty, false));
    insta::assert_snapshot!(serde_json::to_string_pretty(&field_errors(&of_request)).expect("JSON"));
}

/// Scenario: the origins of fields of a plugin's `config` in the file, of absent ones, and of shared ones.
/// Guarantees: the caret is at the field, or at its nearest ancestor in the file; for a request it is the path in the body.
#[test]
fn plugins_know_the_origin_of_their_fields() {
    let text = "_plugin_configs: {base: {queue: {max_entries: 9}}}\nplugins:\n- name: http-log\n  _config: base\n  config:\n    http_endpoint: http://h\n    headers:\n      X-Key: v\n- name: syslog\n";
    let (configuration, diagnostics) = file(text);
    assert_eq!(diagnostics, []);
    let [http, syslog] = &configuration.plugins[..] else { panic!("two plugins") };
    let caret = |plugin: &Plugin, field: &str| {
        let origin = plugin.origin(field);
        let place = origin.place().expect("from a file");
        format!("{}:{}", place.line(), place.text())
    };
    assert_eq!(caret(http, "http_endpoint"), "7:http://h");
    assert_eq!(caret(http, "headers.X-Key"), "9:v");
    assert_eq!(caret(http, "headers.X-Other"), "8:headers");
    assert_eq!(caret(http, "queue.max_entries"), "2:9");
    assert_eq!(caret(http, "timeout"), "6:config");
    assert_eq!(caret(syslog, "host"), "10:syslog");
    let body = json!({"name": "http-log", "config": {"http_endpoint": "http://h", "headers": {"X-Key": "v"}}});
    let (configuration, _) = request(EntityKind::Plugins, &body);
    let path = |field: &str| configuration.plugins[0].origin(field).to_string();
    assert_eq!(path("headers.X-Key"), "`config.headers.X-Key` of the request");
    assert_eq!(path("queue.max_entries"), "`config` of the request");
}

/// Scenario: a route with every field.
/// Guarantees: the typed values are those that Kong reads.
#[test]
fn routes_are_typed() {
    let route = route(json!({
        "name": "all",
        "protocols": ["https"],
        "methods": ["GET", "PURGE"],
        "hosts": ["example.com", "*.example.com:8443", "example.*", "[::1]:80", "10.0.0.1"],
        "paths": ["/a b", "~/users/\\d+$", "/%2F/"],
        "headers": {"X-Version": ["1", "~*^2"]},
        "snis": ["example.com.", "*.example.com"],
        "regex_priority": 7,
        "strip_path": false,
        "path_handling": "v1",
        "https_redirect_status_code": 308,
        "created_at": 1_700_000_000,
        "tags": ["t"],
    }));
    let text = |name: &str| DomainPattern::Exact(name.to_owned());
    let hosts: Vec<_> = route.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["example.com", "*.example.com:8443", "example.*", "[::1]:80", "10.0.0.1"]);
    assert_eq!(
        route.hosts[..4],
        [
            HostPattern { name: text("example.com"), port: None },
            HostPattern { name: DomainPattern::Suffix(".example.com".into()), port: Some(8443) },
            HostPattern { name: DomainPattern::Prefix("example.".into()), port: None },
            HostPattern { name: text("[::1]"), port: Some(80) },
        ]
    );
    let paths = [
        PathPattern::Prefix("/a b".into()),
        PathPattern::Regex("/users/\\d+$".into()),
        PathPattern::Prefix("/%2F/".into()),
    ];
    assert_eq!(route.paths, paths);
    let values = vec![HeaderValue::Exact("1".into()), HeaderValue::Regex("^2".into())];
    assert_eq!(route.headers, [HeaderMatch { name: "x-version".into(), values }]);
    assert_eq!(route.snis, [SniPattern(text("example.com")), SniPattern(DomainPattern::Suffix(".example.com".into()))]);
    assert_eq!((route.regex_priority, route.strip_path, route.path_handling), (7, false, PathHandling::V1));
    assert_eq!((route.https_redirect_status_code, route.created_at), (308, Some(1_700_000_000)));
}

/// Scenario: routes with only their required fields.
/// Guarantees: the others have Kong's defaults; gRPC routes strip no path.
#[test]
fn routes_have_kongs_defaults() {
    let http = route(json!({"paths": ["/"]}));
    assert_eq!(http.protocols.iter().map(|protocol| protocol.name()).collect::<Vec<_>>(), ["http", "https"]);
    assert_eq!((http.strip_path, http.preserve_host, http.request_buffering), (true, false, true));
    assert_eq!((http.path_handling, http.https_redirect_status_code), (PathHandling::V0, 426));
    assert!(!route(json!({"protocols": ["grpc"], "hosts": ["a"]})).strip_path);
    let stream = route(json!({"protocols": ["tcp"], "sources": [{"ip": "10.1.0.0/16"}, {"ip": "::1", "port": 9}]}));
    let source =
        |network: &str, is_range, port| Endpoint { network: Some(network.parse().expect("a network")), is_range, port };
    assert_eq!(stream.sources, [source("10.1.0.0/16", true, None), source("::1/128", false, Some(9))]);
}

/// Scenario: services with fields and with a URL.
/// Guarantees: both are the same service, with Kong's defaults.
#[test]
fn services_are_typed() {
    let full = service(json!({"name": "s", "protocol": "https", "host": "h", "port": 443, "path": "/v1"}));
    let short = service(json!({"name": "s", "url": "https://user:pass@h/v1?x=1"}));
    for service in [&full, &short] {
        let upstream = (service.protocol.name(), service.host.as_deref(), service.port, service.path.as_deref());
        assert_eq!(upstream, ("https", Some("h"), 443, Some("/v1")));
        assert_eq!((service.retries, service.read_timeout.as_secs(), service.enabled), (5, 60, true));
    }
    let plain = service(json!({"url": "http://[::1]:8080"}));
    assert_eq!((plain.host.as_deref(), plain.port, plain.path.clone()), (Some("[::1]"), 8080, None));
}

/// Scenario: values of routes that Kong refuses, one by one.
/// Guarantees: each is refused with Kong's message, at Kong's field.
#[test]
fn refuses_routes_in_kongs_words() {
    let host = |text: &str| fields(EntityKind::Routes, json!({"hosts": [text]}))["hosts"][0].clone();
    for text in ["*", "*a.com", "a.*:80", "a.*.b"] {
        assert_eq!(host(text), "invalid wildcard: must be placed at leftmost or rightmost label", "{text}");
    }
    assert_eq!(host("*.a.*"), "invalid wildcard: must have at most one wildcard");
    assert_eq!(host("a.com:99999"), "invalid port number");
    assert_eq!(host("a b"), "invalid hostname: a b");
    assert_eq!(host("*.a.com:80"), Value::Null);
    let path = |text: &str| fields(EntityKind::Routes, json!({"paths": [text]}))["paths"][0].clone();
    let cases = [
        ("a", "should start with: / (fixed path) or ~/ (regex path)"),
        ("/a//b", "must not have empty segments"),
        ("~/a//b", "must not have empty segments"),
        ("/a%2", "invalid url-encoded value: '%2'"),
        ("/a%20b", "non-normalized path, consider use '/a b' instead"),
        ("/%61", "non-normalized path, consider use '/a' instead"),
        ("/a/../b", "non-normalized path, consider use '/b' instead"),
        ("/a%2fb", "non-normalized path, consider use '/a%2Fb' instead"),
    ];
    for (text, wording) in cases {
        assert_eq!(path(text), wording, "{text}");
    }
    let sni = |text: &str| fields(EntityKind::Routes, json!({"paths": ["/"], "snis": [text]}))["snis"][0].clone();
    let cases = [
        ("a.com:1", "must not have a port"),
        ("10.0.0.1", "must not be an IP"),
        ("a.*.com", "wildcard must be leftmost or rightmost character"),
        ("a b", "invalid value: a b"),
    ];
    for (text, wording) in cases {
        assert_eq!(sni(text), wording, "{text}");
    }
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&[
            fields(
                EntityKind::Routes,
                json!({"methods": ["GET", "post"], "headers": {"Host": ["a"]}, "regex_priority": "1"})
            ),
            fields(EntityKind::Routes, json!({"protocols": ["tcp"], "sources": [{"ip": "x"}, {}, {"port": 70_000}]})),
            fields(
                EntityKind::Routes,
                json!({"paths": ["/"], "path_handling": "v2", "https_redirect_status_code": 200})
            ),
            fields(EntityKind::Routes, json!({"paths": ["/"], "headers": {"a b": ["c"]}, "patths": []})),
            fields(EntityKind::Services, json!({"name": "s"})),
            fields(EntityKind::Services, json!({"url": "orders"})),
            fields(
                EntityKind::Services,
                json!({"url": "http://:80", "path": "a", "retries": -1, "ca_certificates": ["x"]})
            ),
            fields(EntityKind::Consumers, json!({})),
        ])
        .expect("JSON")
    );
}

/// Scenario: routes with invalid combinations of fields.
/// Guarantees: each has Kong's message, in `@entity` or at the field that Kong says it of.
#[test]
fn checks_the_fields_of_routes_together() {
    let cases = [
        (json!({}), "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'"),
        (
            json!({"protocols": ["http"]}),
            "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'",
        ),
        (
            json!({"protocols": ["udp"]}),
            "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'",
        ),
        (json!({"protocols": ["tls_passthrough"]}), "must set snis when 'protocols' is 'tls_passthrough'"),
        (
            json!({"protocols": ["http", "tcp"], "paths": ["/"]}),
            "these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp')",
        ),
        (
            json!({"protocols": ["tls"], "paths": ["/"], "snis": ["a"]}),
            "cannot set 'paths' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'",
        ),
        (
            json!({"paths": ["/"], "sources": [{"port": 1}]}),
            "cannot set 'sources' when 'protocols' is 'http' or 'https'",
        ),
        (
            json!({"protocols": ["grpc"], "paths": ["/"], "strip_path": true}),
            "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'",
        ),
        (
            json!({"protocols": ["http"], "paths": ["/"], "snis": ["a"]}),
            "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'",
        ),
    ];
    for (body, wording) in cases {
        let fields = fields(EntityKind::Routes, body.clone());
        let texts = fields["@entity"].as_array().cloned().unwrap_or_default();
        let at_field = fields.as_object().is_some_and(|fields| fields.values().any(|text| text == wording));
        assert!(at_field || texts.contains(&wording.into()), "{body}: {fields}");
    }
    assert_eq!(fields(EntityKind::Routes, json!({"expression": "http.path == \"/\""})), json!({}));
}

/// Scenario: services and routes in a file that Kong would refuse.
/// Guarantees: of fields that the log phase does not use, a missing one has no diagnostic, and an invalid one has a warning
/// and its default; an invalid field that the log phase uses is an error.
#[test]
fn files_may_omit_fields_that_the_log_phase_does_not_use() {
    let (configuration, diagnostics) = file("services: [{name: s}]\nroutes: [{name: r, protocols: [http, tcp]}]\n");
    assert_eq!(diagnostics, []);
    assert_eq!((configuration.services[0].host.as_deref(), configuration.services[0].port), (None, 80));
    let text = "services: [{name: s, port: x, url: nowhere, routes: [{name: r, paths: [a, /b], hosts: x}]}]\n";
    let (configuration, diagnostics) = file(text);
    assert!(diagnostics.iter().all(|diagnostic| !diagnostic.is_error()), "{diagnostics:?}");
    insta::assert_snapshot!(render_all(&diagnostics, Format::Short, false));
    assert_eq!(configuration.services[0].port, 80);
    assert_eq!(configuration.routes[0].service.as_ref().and_then(|service| service.name.as_deref()), Some("s"));
    let (_, diagnostics) = file("routes: [{name: 5, protocols: [gopher], pathss: []}]\n");
    assert_eq!(diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count(), 3, "{diagnostics:?}");
}

proptest::proptest! {
    /// Scenario: any text as host, SNI, path and URL.
    /// Guarantees: no panic; a valid host or path can be parsed again from its text, with the same result.
    #[test]
    fn parsers_never_panic(any in "(?s).{0,40}", made in "(\\*|\\.|:|\\[|\\]|%|2F|%2f|/|\\.\\.|~|a|\u{e9}|-|80|//|http){0,12}") {
        for text in [any, made] {
            if let Ok(host) = text.parse::<HostPattern>() {
                proptest::prop_assert_eq!(host.to_string().parse::<HostPattern>(), Ok(host));
            }
            if let Ok(PathPattern::Prefix(path)) = text.parse::<PathPattern>() {
                proptest::prop_assert_eq!(path.parse::<PathPattern>(), Ok(PathPattern::Prefix(path)));
            }
            let _ = (text.parse::<SniPattern>(), text.parse::<service::ServiceUrl>());
        }
    }
}
