//! Tests of the whole router.

mod cases;
mod properties;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::declarative::{self, ReadOptions};
use logphase_config::diagnostic::{Diagnostic, SourceFile};
use logphase_script::transaction::{Limits, View};

/// A router of `routes` and `services`, each a list of entities, and what is wrong with them.
fn router(entities: &Value, options: Options) -> (Arc<Router>, Vec<Diagnostic>) {
    let mut file = json!({"_format_version": "3.0"});
    for (key, value) in entities.as_object().expect("an object") {
        file[key] = value.clone();
    }
    let file = SourceFile::new("kong.json", file.to_string());
    let (configuration, mut found) = declarative::read(&[file], ReadOptions { select_tags: &[], env: &|_| None });
    let (router, more) = Router::new(&configuration, options);
    found.extend(more);
    (Arc::new(router), found)
}

fn transaction(object: &Value) -> Transaction {
    Transaction::parse(Bytes::from(object.to_string()), &Limits::default()).expect("a valid transaction")
}

/// The name of the route that `finder` gives a transaction.
fn found(finder: &mut RouteFinder, object: &Value) -> Option<String> {
    let mut transaction = transaction(object);
    finder.fill(&mut transaction)?;
    let name = transaction.get("route")?.get("name").and_then(View::text);
    Some(name.expect("every route of the tests has a name").into_owned())
}

/// Scenario: a transaction of a request to a route with tags, in a service with a URL; neither has an id. Then one of a
/// route without service and without name.
/// Guarantees: the transaction has both as Kong logs them: every default, no nulls, ids derived from names, and in the
/// route only the id of its service.
#[test]
fn route_and_service_are_as_kong_logs_them() {
    let entities = json!({
        "services": [{"name": "orders", "url": "https://orders.internal/v1", "tags": ["shop"], "routes": [
            {"name": "list", "paths": ["/list"], "methods": ["GET"], "tags": ["a", "b"]},
        ]}],
        "routes": [{"id": "0B7B0E7E-7A19-4B1F-A5F9-5D1F0E8F3A10", "hosts": ["alone"], "created_at": 1_700_000_000}],
    });
    let (router, errors) = router(&entities, Options::default());
    assert_eq!(errors, []);
    let mut finder = RouteFinder::new(router);
    let request = |host: &str, uri: &str| {
        transaction(&json!({"request": {"method": "GET", "uri": uri, "headers": {"host": host}}}))
    };
    let mut listed = request("x", "/list/1");
    let destination = finder.fill(&mut listed).expect("a route");
    assert_eq!((destination.route(), destination.service()), ("list", Some("orders")));
    let members: Value = serde_json::from_slice(listed.bytes()).expect("valid JSON");
    let service_id = crate::entity::derived_id(crate::entity::EntityKind::Services, "orders").to_string();
    let route_id = crate::entity::derived_id(crate::entity::EntityKind::Routes, "list").to_string();
    assert_eq!(
        members["route"],
        json!({
            "id": route_id, "name": "list", "tags": ["a", "b"], "protocols": ["http", "https"], "methods": ["GET"],
            "paths": ["/list"], "regex_priority": 0, "strip_path": true, "path_handling": "v0", "preserve_host": false,
            "request_buffering": true, "response_buffering": true, "https_redirect_status_code": 426,
            "service": {"id": service_id},
        })
    );
    assert_eq!(
        members["service"],
        json!({
            "id": service_id, "name": "orders", "tags": ["shop"], "enabled": true, "protocol": "https",
            "host": "orders.internal", "port": 443, "path": "/v1", "retries": 5, "connect_timeout": 60000,
            "write_timeout": 60000, "read_timeout": 60000,
        })
    );
    let mut alone = request("alone", "/");
    assert!(finder.fill(&mut alone).is_some());
    let members: Value = serde_json::from_slice(alone.bytes()).expect("valid JSON");
    assert_eq!(members["route"]["id"], "0B7B0E7E-7A19-4B1F-A5F9-5D1F0E8F3A10");
    assert_eq!((&members["route"]["created_at"], &members["route"]["service"]), (&json!(1_700_000_000), &Value::Null));
    assert_eq!(members.get("service"), None);
}

/// Scenario: a route with a regular expression that has a named group, an unnamed one and one that takes no part, and so
/// many others that answers are cached; one without groups, one with a path. Transactions without `_context`, with an empty
/// one, with one that has captures already.
/// Guarantees: `_context` has the whole match, and the captures by number and by name, each time; where there is
/// nothing but the whole match, it has none, as in Kong; what the proxy said stays.
#[test]
fn paths_capture_as_in_kong() {
    let mut routes: Vec<Value> =
        (0..30).map(|number| json!({"name": format!("r{number}"), "paths": [format!("~/.*other{number}$")]})).collect();
    routes.push(json!({"name": "groups", "paths": ["~/users/(?<id>\\d+)/(\\w+)(/x)?"]}));
    routes.push(json!({"name": "plain", "paths": ["/plain", "~/whole/\\d+"]}));
    let (router, errors) = router(&json!({"routes": routes}), Options::default());
    assert_eq!(errors, []);
    let mut finder = RouteFinder::new(router);
    let mut context = |uri: &str, context: Option<Value>| {
        let mut object = json!({"request": {"uri": uri}});
        if let Some(context) = context {
            object["_context"] = context;
        }
        let mut transaction = transaction(&object);
        assert!(finder.fill(&mut transaction).is_some(), "{uri}");
        let context = transaction.get("_context").map(|context| serde_json::from_slice(context.raw()).unwrap());
        context.unwrap_or(Value::Null)
    };
    let captures = json!({"whole": "/users/7/orders", "unnamed": ["7", "orders"], "named": {"id": "7"}});
    for _ in 0..2 {
        assert_eq!(context("/users/7/orders?q", None), json!({"uri_captures": captures}));
    }
    assert_eq!(context("/users/7/orders", Some(json!({}))), json!({"uri_captures": captures}));
    let with_version = context("/users/7/orders/x", Some(json!({"http_version": 2})));
    assert_eq!((&with_version["http_version"], &with_version["uri_captures"]["unnamed"][2]), (&json!(2), &json!("/x")));
    let given = json!({"uri_captures": {"named": {}, "unnamed": ["proxy"]}});
    assert_eq!(context("/users/7/orders", Some(given.clone())), given);
    assert_eq!((context("/plain", None), context("/whole/1", None)), (Value::Null, Value::Null));
}

/// Scenario: transactions that have a route, a service or an API, and one that is neither a request nor a session.
/// Guarantees: their bytes stay as they are.
#[test]
fn what_the_proxy_said_stays() {
    let (router, _) = router(&json!({"routes": [{"name": "all", "paths": ["/"]}]}), Options::default());
    let mut finder = RouteFinder::new(router);
    let request = json!({"method": "GET", "uri": "/"});
    for object in [
        json!({"request": request, "route": {"name": "other"}}),
        json!({"request": request, "service": {"name": "other"}}),
        json!({"request": request, "service": null}),
        json!({"request": request, "api": {"name": "other"}}),
        json!({"client_ip": "10.0.0.1"}),
    ] {
        let mut transaction = transaction(&object);
        assert!(finder.fill(&mut transaction).is_none());
        assert_eq!(transaction.bytes(), &object.to_string());
    }
    assert_eq!(found(&mut finder, &json!({"request": request})).as_deref(), Some("all"));
}

/// Scenario: routes with a look-behind, an empty list of values of a header, host bits in an IPv6 network, and malformed
/// expressions; an expression beside a flavor that has none.
/// Guarantees: each is an error at its field, with Kong's text; the other routes work.
#[test]
fn errors_point_at_fields() {
    let routes = json!({"routes": [
        {"name": "look", "paths": ["/a", "~/b(?<=b)"]},
        {"name": "header", "headers": {"x-a": []}},
        {"name": "network", "protocols": ["tcp"], "sources": [{"ip": "10.0.0.0/8"}, {"ip": "fd00::1/8"}]},
        {"name": "good", "paths": ["/good"]},
    ]});
    let show = |found: &[Diagnostic]| {
        let line = |error: &Diagnostic| {
            format!("{} | {} | {}", error.short(), error.label, error.kong.as_deref().unwrap_or("-"))
        };
        found.iter().map(line).collect::<Vec<_>>().join("\n---\n")
    };
    let (router, errors) = self::router(&routes, Options::default());
    insta::assert_snapshot!(show(&errors));
    let good = json!({"request": {"uri": "/good"}});
    assert_eq!(found(&mut RouteFinder::new(router), &good).as_deref(), Some("good"));
    let expression = |text: &str| json!({"routes": [{"name": "e", "expression": text}]});
    let texts = [
        "http.path ==",
        "http.pth == \"/a\"",
        "http.path.segments.01 == \"a\"",
        "http.path.segments.2_1 == \"a\"",
        "net.dst.port == \"80\"",
        "http.path ~ \"(\"",
    ];
    let errors: Vec<_> = texts.iter().flat_map(|text| self::router(&expression(text), Options::default()).1).collect();
    assert_eq!(errors.len(), texts.len());
    insta::assert_snapshot!(show(&errors));
    let options = Options { flavor: Some(Flavor::TraditionalCompatible), ..Options::default() };
    let (_, errors) = self::router(&expression("http.path == \"/\""), options);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].help.as_deref().is_some_and(|help| help.contains("router_flavor")), "{errors:?}");
}

/// Scenario: expressions of 200,000 parentheses, 200,000 terms, and more bytes than are read.
/// Guarantees: the first and the last are refused with the reason, the second works; nothing overflows the stack.
#[test]
fn hostile_expressions_are_bounded() {
    let many = 200_000;
    let router =
        |text: String| self::router(&json!({"routes": [{"name": "e", "expression": text}]}), Options::default());
    let nested = format!("{}http.path == \"/\"{}", "(".repeat(many), ")".repeat(many));
    let (_, errors) = router(nested);
    assert!(errors[0].label.contains("levels of parentheses"), "{errors:?}");
    let (_, errors) = router(format!("http.path == \"{}\"", "x".repeat(2 << 20)));
    assert!(errors[0].label.contains("longer than"), "{errors:?}");
    let terms: Vec<_> = (0..5_000).map(|number| format!("http.path == \"/{number}\"")).collect();
    let (router, errors) = router(terms.join(" || "));
    assert_eq!(errors, []);
    let mut finder = RouteFinder::new(router);
    assert_eq!(found(&mut finder, &json!({"request": {"uri": "/4999"}})).as_deref(), Some("e"));
    assert_eq!(found(&mut finder, &json!({"request": {"uri": "/5000"}})), None);
}
