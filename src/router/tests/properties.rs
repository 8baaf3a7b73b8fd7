//! Properties over random routes and requests.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn texts(choices: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    vec(proptest::sample::select(choices), 0..=most)
}

const HOSTS: &[&str] = &["a.com", "b.a.com", "*.a.com", "a.*", "a.com:80", "*.com:8080", "[::1]:80", "xa.com"];
const PATHS: &[&str] = &["/", "/a", "/ab", "/a/b", "/a/b/c", "~/a", "~/a/\\d+", "~/(?<id>x|y)/b$", "~/A|/b", "/%2F"];
const EXPRESSIONS: &[&str] = &[
    "http.path ^= \"/a\" && http.host == \"a.com\"",
    "http.host =^ \".com\" || net.dst.port == 8080",
    "!(http.path == \"/a\")",
    "any(http.headers.x_a) == \"1\" && http.path.segments.len >= 1",
    "http.path.segments.0_1 == \"a/b\" || lower(http.queries.q) == \"v\"",
    "http.path ~ r#\"^/(a|b)/\\d+$\"#",
    "tls.sni != \"a.com\"",
    "net.src.ip in 10.0.0.0/8 && net.protocol == \"https\"",
    "http.path == \"/a\" || (http.path == \"/b\" && http.method == \"GET\") || http.host == \"a.com\"",
];

const PROTOCOLS: &[&[&str]] = &[&["http", "https"], &["https"], &["http"], &["grpc"]];

/// A route with any of the fields.
fn route() -> impl Strategy<Value = Value> {
    let fields = (
        texts(HOSTS, 2),
        texts(PATHS, 3),
        texts(&["GET", "POST"], 1),
        texts(&["1", "2", "~*^1|2", "A"], 2),
        texts(&["a.com", "*.a.com", "a.*"], 1),
        proptest::option::weighted(0.2, proptest::sample::select(EXPRESSIONS)),
        prop_oneof![Just(0_i64), -2_i64..5, Just(4096)],
        proptest::sample::select(PROTOCOLS),
        0_u64..3,
    );
    fields.prop_map(|(hosts, paths, methods, header, snis, expression, regex_priority, protocols, priority)| {
        let mut route = Map::new();
        route.insert("protocols".to_owned(), json!(protocols));
        if let Some(expression) = expression {
            route.insert("expression".to_owned(), json!(expression));
            route.insert("priority".to_owned(), json!(priority));
            return Value::Object(route);
        }
        route.insert("regex_priority".to_owned(), json!(regex_priority));
        let lists = [("hosts", hosts), ("paths", paths), ("methods", methods), ("snis", snis)];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            route.insert(name.to_owned(), json!(list));
        }
        if !header.is_empty() {
            route.insert("headers".to_owned(), json!({"X-A": header}));
        }
        Value::Object(route)
    })
}

fn request() -> impl Strategy<Value = Value> {
    let uri = prop_oneof![
        "(/(a|b|ab|A|x|1|42|%2f|%61|\\.\\.|\\.|c)?){0,4}(\\?q=v|\\?q)?",
        Just("/%ff".to_owned()),
        "(?s).{0,20}",
    ];
    let host = prop_oneof!["(b\\.|x)?a\\.(com|org)(:80|:8080|:x)?", Just("[::1]:80".to_owned()), "(?s).{0,10}"];
    let header = prop_oneof![
        Just(json!(null)),
        Just(json!("1")),
        Just(json!(["a", "2"])),
        Just(json!(["1", "1"])),
        Just(json!(7))
    ];
    let rest = (
        proptest::sample::select(&["http", "https"][..]),
        proptest::sample::select(&["GET", "POST", "get"][..]),
        proptest::option::of(proptest::sample::select(&["a.com", "b.a.com", "a.org"][..])),
        proptest::sample::select(&["10.1.2.3", "::1", "nonsense"][..]),
        any::<bool>(),
    );
    (uri, host, header, rest).prop_map(|(uri, host, header, (scheme, method, sni, client, underscore))| {
        let name = if underscore { "x_a" } else { "x-a" };
        json!({
            "request": {
                "method": method,
                "uri": uri,
                "url": format!("{scheme}://{host}:8080{uri}"),
                "headers": {"host": host, name: header, "content-type": "application/grpc"},
                "tls": sni.map(|sni| json!({"sni": sni})),
            },
            "client_ip": client,
        })
    })
}

/// Numbers `routes`, so that each has a name.
fn named(routes: Vec<Value>) -> Vec<Value> {
    let name = |(number, mut route): (usize, Value)| {
        route["name"] = format!("r{number}").into();
        route
    };
    routes.into_iter().enumerate().map(name).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Scenario: random routes of every kind, and random requests, some of them twice; with so many routes that answers
    /// are cached in some cases.
    /// Guarantees: no panic; index and cache give what evaluating every expression in order gives.
    #[test]
    fn index_and_cache_change_no_answer(
        routes in prop_oneof![vec(route(), 0..12), vec(route(), 24..32)],
        requests in vec(request(), 1..12),
        strict in any::<bool>(),
    ) {
        let calculation = if strict { Calculation::Strict } else { Calculation::Original };
        let (router, _) = router(&json!({"routes": named(routes)}), Options { flavor: None, calculation });
        let mut finder = RouteFinder::new(router.clone());
        for object in requests.iter().chain(&requests) {
            let transaction = transaction(object);
            let request = Request::new(&transaction).expect("a request");
            let plainly = router.http.find_plainly(&request);
            prop_assert_eq!(finder.http.find(&router.http, &request).map(|place| router.http.route(place)), plainly, "{}", object);
            let expected = plainly.filter(|at| router.destinations[*at].admits(&request));
            let expected = expected.map(|at| router.destinations[at].route().to_owned());
            prop_assert_eq!(found(&mut finder, object), expected);
        }
    }

    /// Scenario: the same routes in Kong's own crate's router, with the priorities and ids that are computed here.
    /// Guarantees: the crate finds the same route.
    #[test]
    fn the_order_is_that_of_the_crate(routes in vec(route(), 0..12), object in request()) {
        let (router, _) = router(&json!({"routes": named(routes)}), Options::default());
        let transaction = transaction(&object);
        let request = Request::new(&transaction).expect("a request");
        let plainly = router.http.find_plainly(&request);
        prop_assert_eq!(router.http.find_with_the_crate(&request), plainly);
    }

    /// Scenario: any JSON in the places that the router reads.
    /// Guarantees: no panic.
    #[test]
    fn any_transaction_is_read(
        any in "(null|1|\"x\"|\\[\\]|\\{\\}|\\[1,\"a\"\\])",
        other in "(null|\"\"|\"/\\?\"|\\[\\[\\]\\]|\"\u{e9}\")",
    ) {
        let (router, _) = router(&json!({"routes": [
            {"name": "e", "expression": EXPRESSIONS.join(" || ")},
            {"name": "s", "protocols": ["tcp", "tls", "udp"], "snis": ["a"], "sources": [{"ip": "::/0"}], "destinations": [{"port": 1}]},
        ]}), Options::default());
        let mut finder = RouteFinder::new(router);
        let any: Value = serde_json::from_str(&any).expect("JSON");
        let other: Value = serde_json::from_str(&other).expect("JSON");
        for object in [
            json!({"request": any, "client_ip": other, "_context": any}),
            json!({"request": {"uri": any, "url": other, "headers": any, "method": other, "tls": any}, "_context": {"vars": other}}),
            json!({"request": {"uri": other, "url": any, "headers": {"host": other, "x-a": any}}, "_context": {"vars": {"ssl_server_name": any}}}),
            json!({"session": {"server_port": any, "tls": other}, "client_ip": any, "_context": {"vars": {"protocol": other}}}),
            json!({"session": other, "_context": {"client_port": any}}),
        ] {
            finder.fill(&mut transaction(&object));
        }
    }
}
