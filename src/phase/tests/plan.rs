use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const ENTITIES: &str = r#"
_format_version: "3.0"
services: [{name: orders, id: 11111111-1111-4111-8111-111111111111, url: "http://o"}, {name: other, url: "http://o"}]
routes:
- {name: list, id: 22222222-2222-4222-8222-222222222222, paths: [/l], service: {name: orders}}
- {name: rest, paths: [/r], service: {name: other}}
consumers: [{username: bob, id: 33333333-3333-4333-8333-333333333333, groups: [gold, silver]}, {username: ann}]
consumer_groups: [{name: gold}, {name: silver}, {name: extra}]
plugins:
"#;

/// Scopes on Kong's twelve levels, the most specific first.
const LEVELS: [&str; 12] = [
    "consumer: bob, route: list, service: orders",
    "consumer_group: gold, service: orders, route: list",
    "consumer: bob, route: list",
    "consumer: bob, service: orders",
    "consumer_group: gold, route: list",
    "consumer_group: gold, service: orders",
    "route: list, service: orders",
    "consumer: bob",
    "consumer_group: gold",
    "route: list",
    "service: orders",
    "",
];

fn http_log(name: &str, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { ", " };
    format!("- {{name: http-log, instance_name: {name}, config: {{http_endpoint: \"http://h\"}}{comma}{more}}}\n")
}

fn planned(program: &Arc<Program>, value: &Value) -> Vec<String> {
    let plan = Planner::new(program.clone()).plan(&transaction(value));
    labels(program, &plan)
}

fn planned_of(text: &str, value: &Value) -> Vec<String> {
    planned(&program(text, &patient()), value)
}

fn by_name() -> Value {
    json!({"route": {"name": "list"}, "service": {"name": "orders"}, "consumer": {"username": "bob"}, "request": {}})
}

/// Scenario: for each pair of the twelve levels, a plugin on each level, in both orders, and a transaction that matches both.
/// Guarantees: only the more specific plugin runs.
#[test]
fn the_most_specific_scope_wins() {
    for (high, specific) in LEVELS.iter().enumerate() {
        for general in &LEVELS[high + 1..] {
            let (a, b) = (http_log("winner", specific), http_log("loser", general));
            for plugins in [format!("{a}{b}"), format!("{b}{a}")] {
                let plan = planned_of(&format!("{ENTITIES}{plugins}"), &by_name());
                assert_eq!(plan, ["http-log (winner)"], "{specific} over {general}");
            }
        }
    }
}

/// Scenario: for each pair of levels, the more specific plugin is disabled or has another protocol.
/// Guarantees: the more general plugin runs.
#[test]
fn inapplicable_plugins_do_not_hide_general_ones() {
    for (high, specific) in LEVELS[..11].iter().enumerate() {
        for general in &LEVELS[high + 1..] {
            for out in ["enabled: false", "protocols: [grpc]"] {
                let text =
                    format!("{ENTITIES}{}{}", http_log("out", &format!("{specific}, {out}")), http_log("in", general));
                assert_eq!(planned_of(&text, &by_name()), ["http-log (in)"], "{specific} {out}, {general}");
            }
        }
    }
}

/// Scenario: a plugin on each level; transactions with the ids of its entities, their names, both, other ids with the same
/// names, and other entities.
/// Guarantees: the plugin applies only if every entity of its scope matches.
#[test]
fn entities_match_by_id_or_name() {
    let ids = json!({
        "route": {"id": "22222222-2222-4222-8222-222222222222"},
        "service": {"id": "11111111-1111-4111-8111-111111111111"},
        "consumer": {"id": "33333333-3333-4333-8333-333333333333"},
    });
    let elsewhere = json!({
        "route": {"id": "x", "name": "list"}, "service": {"id": "y", "name": "orders"},
        "consumer": {"id": "z", "username": "bob"},
    });
    let others = json!({
        "route": {"name": "rest"}, "service": {"name": "other"}, "consumer": {"username": "ann", "name": "bob"},
    });
    let odd = json!({"route": "list", "service": ["orders"], "consumer": {"username": {"a": "bob"}, "id": 3}});
    for scope in &LEVELS[..11] {
        let program = program(&format!("{ENTITIES}{}", http_log("x", scope)), &patient());
        for fits in [&by_name(), &ids, &elsewhere] {
            assert_eq!(planned(&program, fits).len(), 1, "{scope}: {fits}");
        }
        for other in [&others, &odd, &json!({}), &json!({"route": null, "service": null, "consumer": null})] {
            assert_eq!(planned(&program, other).len(), 0, "{scope}: {other}");
        }
        // Without one of the entities the scope does not match.
        for (part, word) in [("route", "route:"), ("service", "service:"), ("consumer", "consumer")] {
            let mut lacking = ids.clone();
            lacking.as_object_mut().expect("an object").remove(part);
            let expected = usize::from(!scope.contains(word));
            assert_eq!(planned(&program, &lacking).len(), expected, "{scope} without {part}");
        }
    }
}

/// Scenario: groups from the file, from `_context.consumer_groups`, several groups, and unknown ones.
/// Guarantees: groups from both sources match; of several, the first by name takes precedence, in any order.
#[test]
fn consumer_groups() {
    let both = format!("{}{}", http_log("s", "consumer_group: silver"), http_log("g", "consumer_group: gold"));
    let program = program(&format!("{ENTITIES}{both}{}", http_log("global", "")), &patient());
    for (value, expected) in [
        (json!({"consumer": {"username": "bob"}}), "g"),
        (json!({"consumer": {"id": "33333333-3333-4333-8333-333333333333"}}), "g"),
        (json!({"consumer": {"username": "ann"}}), "global"),
        (json!({"consumer": {"username": "ann"}, "_context": {"consumer_groups": ["silver"]}}), "s"),
        (json!({"_context": {"consumer_groups": ["silver", "gold"]}}), "g"),
        (json!({"_context": {"consumer_groups": [{"name": "silver", "id": "1"}, {"id": "2"}]}}), "s"),
        (json!({"_context": {"consumer_groups": ["nope", 1, null]}}), "global"),
        (json!({"_context": {"consumer_groups": "gold"}}), "global"),
        (json!({"_context": {"consumer_groups": []}, "consumer": {"username": "bob"}}), "g"),
    ] {
        assert_eq!(planned(&program, &value), [format!("http-log ({expected})")], "{value}");
    }
}

/// Scenario: transactions of every protocol, and a plugin for each protocol.
/// Guarantees: a plugin runs only for transactions of its protocol; a WebSocket handshake is also HTTP.
#[test]
fn protocols() {
    let transaction_of = |url: &str, headers: Value| json!({"request": {"url": url, "headers": headers}});
    let session = |protocols: Value, tls: Value| json!({"session": {"tls": tls}, "route": {"protocols": protocols}});
    for (value, expected) in [
        (transaction_of("http://h:80/", json!({})), &["http"][..]),
        (transaction_of("HTTPS://h:80/", json!({})), &["https"]),
        (json!({"request": {"tls": {"version": "TLSv1.3"}}}), &["https"]),
        (json!({"request": {"tls": null}}), &["http"]),
        (json!({}), &["http"]),
        (transaction_of("http://h/", json!({"content-type": "application/grpc+proto"})), &["grpc"]),
        (transaction_of("https://h/", json!({"content-type": "application/grpc"})), &["grpcs"]),
        (transaction_of("grpcs://h/", json!({})), &["grpcs"]),
        (transaction_of("http://h/", json!({"upgrade": "WebSocket"})), &["http", "ws"]),
        (transaction_of("wss://h/", json!({})), &["https", "wss"]),
        (session(json!(["tcp"]), json!(null)), &["tcp"]),
        (session(json!(["tls_passthrough"]), json!({})), &["tls_passthrough"]),
        (session(json!(["udp"]), json!(null)), &["udp"]),
        (session(json!(["http"]), json!({"version": "x"})), &["tls"]),
        (session(json!(null), json!(null)), &["tcp"]),
    ] {
        for protocol in ["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp", "ws", "wss"] {
            let plugin = format!("- {{name: file-log, config: {{path: /tmp/x}}, protocols: [{protocol}]}}\n");
            let text = format!("_format_version: \"3.0\"\nplugins:\n{plugin}");
            let files = [SourceFile::new("kong.yaml", text.clone())];
            let options = ReadOptions { select_tags: &[], env: &|_| None };
            if any_error(&declarative::read(&files, options).1) {
                continue;
            }
            let runs = !planned_of(&text, &value).is_empty();
            assert_eq!(runs, expected.contains(&protocol), "{protocol}: {value}");
        }
    }
}

/// Scenario: every plugin, in an unusual order.
/// Guarantees: they run by descending priority, as in Kong.
#[test]
fn order() {
    let text = r#"
_format_version: "3.0"
plugins:
- {name: post-function, config: {log: ["return"]}}
- {name: syslog}
- {name: kafka-log, config: {topic: t, bootstrap_servers: [{host: h, port: 1}]}}
- {name: loggly, config: {key: k}}
- {name: tcp-log, config: {host: h, port: 9}}
- {name: pre-function, config: {log: ["return"]}}
- {name: udp-log, config: {host: h, port: 9}}
- {name: file-log, config: {path: /tmp/x}}
- {name: http-log, config: {http_endpoint: "http://h"}}
"#;
    let expected = [
        "pre-function",
        "http-log",
        "file-log",
        "udp-log",
        "tcp-log",
        "loggly",
        "kafka-log",
        "syslog",
        "post-function",
    ];
    assert_eq!(planned_of(text, &json!({})), expected);
    let program = program(text, &patient());
    let priorities: Vec<_> =
        program.steps.iter().map(|step| (step.definition.priority, step.definition.name)).collect();
    assert!(priorities.windows(2).all(|pair| pair[0] > pair[1]), "ties go by name, in reverse: {priorities:?}");
}

/// Scenario: an API of Kong before 1.0 in a scope.
/// Guarantees: it matches the `api` of a transaction by id or name.
#[test]
fn apis() {
    let text = format!(
        "_format_version: \"1.1\"\napis: [{{name: a, id: 44444444-4444-4444-8444-444444444444, upstream_url: \"http://h\"}}]\nplugins:\n{}{}",
        "- {name: http-log, instance_name: api, api: a, config: {http_endpoint: \"http://h\"}}\n",
        http_log("global", "")
    );
    for (value, expected) in [
        (json!({"api": {"name": "a"}}), "http-log (api)"),
        (json!({"api": {"id": "44444444-4444-4444-8444-444444444444"}}), "http-log (api)"),
        (json!({"api": {"name": "b"}}), "http-log (global)"),
        (json!({}), "http-log (global)"),
    ] {
        assert_eq!(planned_of(&text, &value), [expected], "{value}");
    }
}

/// Scenario: transactions with 10,000 different consumers, routes and groups that are in no plugin's scope, some also with
/// a group that is.
/// Guarantees: there are no more cached plans than combinations of scopes.
#[test]
fn the_cache_stays_small() {
    let text = format!("{ENTITIES}{}{}", http_log("bob", "consumer: bob"), http_log("group", "consumer_group: gold"));
    let mut planner = Planner::new(program(&text, &patient()));
    for number in 0..10_000 {
        let name = format!("c{number}");
        let value = json!({
            "consumer": {"username": name, "id": name}, "route": {"name": name}, "service": {"id": name},
            "_context": {"consumer_groups": [name, if number % 2 == 0 { "gold" } else { "x" }]},
        });
        assert_eq!(planner.plan(&transaction(&value)).len(), (number + 1) % 2);
    }
    assert_eq!(planner.plan(&transaction(&by_name())).len(), 1);
    assert_eq!(planner.plans(), 3);
}

/// A generated plugin.
#[derive(Debug, Clone)]
struct Generated {
    kind: usize,
    route: usize,
    service: usize,
    consumer: usize,
    group: usize,
    enabled: bool,
    https_only: bool,
}

const KINDS: [(&str, &str); 3] =
    [("http-log", r#"{"http_endpoint": "http://h"}"#), ("file-log", r#"{"path": "/tmp/x"}"#), ("syslog", "{}")];
const NAMES: [[&str; 3]; 4] =
    [["", "list", "rest"], ["", "orders", "other"], ["", "bob", "ann"], ["", "gold", "silver"]];

fn generated() -> impl Strategy<Value = Generated> {
    let choice = || 0..3_usize;
    (choice(), choice(), choice(), choice(), choice(), prop::bool::weighted(0.8), prop::bool::weighted(0.2)).prop_map(
        |(kind, route, service, consumer, group, enabled, https_only)| {
            let group = if consumer > 0 { 0 } else { group };
            Generated { kind, route, service, consumer, group, enabled, https_only }
        },
    )
}

impl Generated {
    fn text(&self, number: usize) -> String {
        let (kind, config) = KINDS[self.kind];
        let mut text =
            format!("- {{name: {kind}, instance_name: p{number}, config: {config}, enabled: {}", self.enabled);
        let words = ["route", "service", "consumer", "consumer_group"];
        for ((word, names), at) in
            words.iter().zip(NAMES).zip([self.route, self.service, self.consumer, self.group]).filter(|(_, at)| *at > 0)
        {
            text.push_str(&format!(", {word}: {}", names[at]));
        }
        if self.https_only {
            text.push_str(", protocols: [https]");
        }
        text.push_str("}\n");
        text
    }

    fn scope(&self) -> [usize; 5] {
        [self.kind, self.route, self.service, self.consumer, self.group]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Scenario: any plugins with any scopes, any transaction.
    /// Guarantees: the plan is the same as with a naive search through Kong's twelve levels, in the order of its
    /// documentation, for each plugin name.
    #[test]
    fn plans_are_those_of_a_naive_search(
        plugins in prop::collection::vec(generated(), 0..14),
        entities in (0..3_usize, 0..3_usize, 0..3_usize),
        groups in prop::collection::btree_set(1..3_usize, 0..3),
        https in any::<bool>(),
    ) {
        let mut seen = BTreeSet::new();
        let plugins: Vec<_> = plugins.into_iter().filter(|plugin| seen.insert(plugin.scope())).collect();
        let text: String = plugins.iter().enumerate().map(|(number, plugin)| plugin.text(number)).collect();
        let (route, service, consumer) = entities;
        let value = json!({
            "route": {"name": NAMES[0][route]}, "service": {"name": NAMES[1][service]},
            "consumer": {"username": NAMES[2][consumer]},
            "request": {"url": if https { "https://h/" } else { "http://h/" }},
            "_context": {"consumer_groups": groups.iter().map(|at| NAMES[3][*at]).collect::<Vec<_>>()},
        });
        // Bob is in both groups in the file; the names are in alphabetical order.
        let groups: Vec<usize> = if consumer == 1 { vec![1, 2] } else { groups.into_iter().collect() };
        // Consumer, group, route, service.
        let levels = [
            "crs", "grs", "cr", "cs", "gr", "gs", "rs", "c", "g", "r", "s", "",
        ];
        let mut expected = Vec::new();
        for (kind, (name, _)) in KINDS.iter().enumerate() {
            let found = levels.iter().find_map(|level| {
                let has = |letter| level.contains(letter);
                if (has('c') && consumer == 0) || (has('r') && route == 0) || (has('s') && service == 0) {
                    return None;
                }
                let candidates = if has('g') { groups.clone() } else { vec![0] };
                candidates.into_iter().find_map(|group| {
                    let part = |letter, at| if has(letter) { at } else { 0 };
                    let scope = [kind, part('r', route), part('s', service), part('c', consumer), group];
                    plugins.iter().position(|plugin| {
                        plugin.scope() == scope && plugin.enabled && (https || !plugin.https_only)
                    })
                })
            });
            expected.extend(found.map(|number| format!("{name} (p{number})")));
        }
        let text = if text.is_empty() { ENTITIES.replace("plugins:\n", "") } else { format!("{ENTITIES}{text}") };
        prop_assert_eq!(planned_of(&text, &value), expected);
    }
}
