//! The metrics of statsd, line by line. The cases are those of Kong's tests of the plugin, and what its code does beyond them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{SinkShared, find, read, sink_context};
use crate::sink::Sink;

/// The sink of the plugin `name` with this `config`.
fn sink(name: &str, config: &str) -> Box<dyn Sink> {
    let definition = find(name).expect("a plugin");
    let (mut config, diagnostics) = read(definition, config);
    let errors: Vec<_> = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    (definition.convert)(config.as_object_mut().expect("an object"));
    let context = sink_context(None);
    let opener = definition.open.expect("it has a sink");
    opener.open(&definition.sink_config(&config, &context), &SinkShared::new(None)).expect("the sink takes it")
}

/// What the plugin `name` with this `config` sends for `message`.
pub(super) fn sent(name: &str, config: &str, message: &Value) -> Vec<String> {
    let sent = sink(name, config).preview(&Bytes::from(message.to_string())).expect("it sends no messages");
    sent.iter().map(|packet| String::from_utf8(packet.to_vec()).expect("UTF-8")).collect()
}

/// A transaction with everything that metrics read, and with `changes` to its members.
pub(super) fn message(changes: &Value) -> Value {
    let mut message = json!({
        "request": {"size": 423}, "response": {"size": 1024, "status": 200},
        "latencies": {"request": 57, "proxy": 44, "kong": 13, "receive": 0},
        "service": {"id": "5e2d-51", "name": "shop", "host": "shop.internal"},
        "route": {"id": "9b1f-52", "name": "orders"},
        "consumer": {"id": "0c4a-53", "custom_id": "robert", "username": "bob"},
        "workspace": "77aa-54", "workspace_name": "default",
    });
    for (name, value) in changes.as_object().expect("an object") {
        message[name] = value.clone();
    }
    message
}

/// Each row: metrics, with fields of `config` after a bar; changes to the transaction; what is sent.
fn check(rows: &[(&str, Value, &[&str])]) {
    for (config, changes, expected) in rows {
        let (metrics, more) = config.split_once(" | ").unwrap_or((config, ""));
        let config = format!("{{hostname: gw.example, metrics: [{metrics}], {more}}}");
        assert_eq!(sent("statsd", &config, &message(changes)), *expected, "{config} {changes}");
    }
}

/// Scenario: a request with a consumer, for a plugin without a config and for one with another prefix.
/// Guarantees: Kong's twelve metrics in Kong's order; `shdict_usage` is not among them.
#[test]
fn the_default_metrics() {
    for (config, prefix) in [("{}", "kong"), ("{prefix: edge.eu}", "edge.eu")] {
        let expected = [
            "service.shop.request.count:1|c",
            "service.shop.latency:57|ms",
            "service.shop.request.size:423|c",
            "service.shop.status.200:1|c",
            "service.shop.response.size:1024|c",
            "service.shop.user.uniques:robert|s",
            "service.shop.user.robert.request.count:1|c",
            "service.shop.upstream_latency:44|ms",
            "service.shop.kong_latency:13|ms",
            "service.shop.user.robert.status.200:1|c",
            "service.shop.workspace.77aa-54.status.200:1|c",
            "route.9b1f-52.user.robert.status.200:1|c",
        ];
        assert_eq!(sent("statsd", config, &message(&json!({}))), expected.map(|line| format!("{prefix}.{line}")));
    }
}

/// Scenario: each metric alone, as each type, with sample rates, and with each way to name a consumer, a service and a workspace.
/// Guarantees: each line is Kong's.
#[test]
fn each_metric() {
    let none = || json!({});
    check(&[
        ("{name: request_count, stat_type: counter, sample_rate: 1}", none(), &["kong.service.shop.request.count:1|c"]),
        ("{name: request_size, stat_type: counter, sample_rate: 1}", none(), &["kong.service.shop.request.size:423|c"]),
        ("{name: response_size, stat_type: timer}", none(), &["kong.service.shop.response.size:1024|ms"]),
        ("{name: latency, stat_type: timer}", none(), &["kong.service.shop.latency:57|ms"]),
        ("{name: latency, stat_type: gauge, sample_rate: 1}", none(), &["kong.service.shop.latency:57|g"]),
        ("{name: latency, stat_type: histogram}", none(), &["kong.service.shop.latency:57|h"]),
        ("{name: kong_latency, stat_type: meter}", none(), &["kong.service.shop.kong_latency:13|m"]),
        ("{name: upstream_latency, stat_type: set}", none(), &["kong.service.shop.upstream_latency:44|s"]),
        ("{name: latency, stat_type: counter, sample_rate: 0.25}", none(), &["kong.service.shop.latency:57|c|@0.25"]),
        ("{name: latency, stat_type: timer, sample_rate: 1.0}", none(), &["kong.service.shop.latency:57|ms"]),
        ("{name: latency, stat_type: gauge, sample_rate: 3}", none(), &["kong.service.shop.latency:57|g|@3"]),
        (
            "{name: status_count, stat_type: counter, sample_rate: 0.1}",
            json!({"response": {"status": 503}}),
            &["kong.service.shop.status.503:1|c|@0.1"],
        ),
    ]);
}

/// Scenario: the metrics that are named after a status, user or workspace, with each way to name these, and what is sent of none.
/// Guarantees: each line is Kong's: the type and the rate of some are fixed, and names have their dots where Kong leaves them.
#[test]
fn each_metric_with_a_name_in_it() {
    let none = || json!({});
    check(&[
        ("{name: status_count, stat_type: timer}", none(), &["kong.service.shop.status.200:1|c"]),
        (
            "{name: unique_users, stat_type: counter, sample_rate: 0.5}",
            none(),
            &["kong.service.shop.user.uniques:robert|s"],
        ),
        (
            "{name: unique_users, stat_type: set, consumer_identifier: consumer_id}",
            none(),
            &["kong.service.shop.user.uniques:0c4a-53|s"],
        ),
        (
            "{name: request_per_user, stat_type: counter, sample_rate: 1, consumer_identifier: username}",
            none(),
            &["kong.service.shop.user.bob.request.count:1|c"],
        ),
        (
            "{name: request_per_user, stat_type: counter, sample_rate: 1} | consumer_identifier_default: consumer_id",
            none(),
            &["kong.service.shop.user.0c4a-53.request.count:1|c"],
        ),
        (
            "{name: status_count_per_user, stat_type: counter, sample_rate: 1, consumer_identifier: custom_id}",
            none(),
            &["kong.service.shop.user.robert.status.200:1|c"],
        ),
        (
            "{name: status_count_per_user_per_route, stat_type: counter, sample_rate: 1, consumer_identifier: username}",
            none(),
            &["kong.route.9b1f-52.user.bob.status.200:1|c"],
        ),
        (
            "{name: status_count_per_workspace, stat_type: counter, sample_rate: 1, workspace_identifier: workspace_id}",
            none(),
            &["kong.service.shop.workspace.77aa-54.status.200:1|c"],
        ),
        (
            "{name: status_count_per_workspace, stat_type: counter, sample_rate: 1} | \
             workspace_identifier_default: workspace_name",
            none(),
            &["kong.service.shop.workspace.default.status.200:1|c"],
        ),
        ("{name: shdict_usage, stat_type: gauge, sample_rate: 1}", none(), &[]),
        ("", none(), &[]),
        (
            "{name: latency, stat_type: timer}, {name: latency, stat_type: gauge, sample_rate: 1}",
            none(),
            &["kong.service.shop.latency:57|ms", "kong.service.shop.latency:57|g"],
        ),
        // A name of a node or service has underscores for dots; one of a consumer has its dots.
        (
            "{name: request_count, stat_type: counter, sample_rate: 1} | hostname_in_prefix: true",
            none(),
            &["kong.node.gw_example.service.shop.request.count:1|c"],
        ),
        (
            "{name: request_per_user, stat_type: counter, sample_rate: 1}",
            json!({"service": {"name": "shop.eu.v1"}, "consumer": {"custom_id": "a.b@c"}}),
            &["kong.service.shop_eu_v1.user.a.b@c.request.count:1|c"],
        ),
    ]);
}

/// Scenario: services with and without a name, named in each way; no service; an API of Kong before 1.0.
/// Guarantees: the scope in names is Kong's.
#[test]
fn scopes() {
    let count = |more: &str| format!("{{name: request_count, stat_type: counter, sample_rate: 1{more}}}");
    let by = |identifier: &str| count(&format!(", service_identifier: {identifier}"));
    let nameless = || json!({"service": {"id": "5e2d-51", "host": "shop.internal", "name": null}});
    check(&[
        (&by("service_id"), json!({}), &["kong.service.5e2d-51.request.count:1|c"]),
        (&by("service_name"), json!({}), &["kong.service.shop.request.count:1|c"]),
        (&by("service_host"), json!({}), &["kong.service.shop_internal.request.count:1|c"]),
        (&by("service_name"), nameless(), &["kong.service.unnamed.request.count:1|c"]),
        (&by("service_name_or_host"), nameless(), &["kong.service.shop_internal.request.count:1|c"]),
        (&count(""), nameless(), &["kong.service.shop_internal.request.count:1|c"]),
        (
            &format!("{} | service_identifier_default: service_id", count("")),
            nameless(),
            &["kong.service.5e2d-51.request.count:1|c"],
        ),
        (&count(""), json!({"service": null}), &["kong.global.unmatched.request.count:1|c"]),
        (&count(""), json!({"service": null, "api": {"name": "v1.0"}}), &["kong.api.v1_0.request.count:1|c"]),
    ]);
}

/// Scenario: a request that matched nothing; a session of L4; members of other types than Kong's, as edits can make them; a text
/// for a number, as before Kong 3.
/// Guarantees: what a transaction does not have is not sent, nor is the latency -1 of a request without upstream; nothing else is
/// missing.
#[test]
fn what_a_transaction_lacks() {
    let unmatched = json!({
        "request": {"size": 80}, "response": {"size": 300, "status": 404},
        "latencies": {"request": 1, "kong": 1, "proxy": -1},
    });
    let expected = [
        "kong.global.unmatched.request.count:1|c",
        "kong.global.unmatched.latency:1|ms",
        "kong.global.unmatched.request.size:80|c",
        "kong.global.unmatched.status.404:1|c",
        "kong.global.unmatched.response.size:300|c",
        "kong.global.unmatched.kong_latency:1|ms",
    ];
    assert_eq!(sent("statsd", "{}", &unmatched), expected);
    let session = json!({
        "session": {"status": 200, "received": 5, "sent": 6}, "latencies": {"session": 40, "kong": 2},
        "service": {"name": "pg"},
    });
    let expected =
        ["kong.service.pg.request.count:1|c", "kong.service.pg.status.200:1|c", "kong.service.pg.kong_latency:2|ms"];
    assert_eq!(sent("statsd", "{}", &session), expected);
    let odd = json!({
        "request": "text", "response": [], "latencies": {"request": 1.5, "proxy": true, "kong": "7"}, "service": 5,
        "route": {"id": 3}, "consumer": {"custom_id": 42}, "workspace": {},
    });
    let expected = [
        "kong.global.unmatched.request.count:1|c",
        "kong.global.unmatched.latency:1.5|ms",
        "kong.global.unmatched.user.uniques:42|s",
        "kong.global.unmatched.user.42.request.count:1|c",
        "kong.global.unmatched.kong_latency:7|ms",
    ];
    assert_eq!(sent("statsd", "{}", &odd), expected);
    for nothing in [json!([]), json!("text"), json!(null)] {
        assert_eq!(sent("statsd", "{}", &nothing), [""; 0], "{nothing}");
    }
}

/// Scenario: each notation of tags, with and without a consumer, a name and a service.
/// Guarantees: the values are metrics with Kong's tags; metrics that are named after users and statuses are not sent.
#[test]
fn tags() {
    let size = "{name: request_size, stat_type: counter, sample_rate: 0.5}";
    let (tags, equal) = (
        "service:shop,route:orders,workspace:77aa-54,consumer:robert,node:gw_example,status:200",
        "service=shop,route=orders,workspace=77aa-54,consumer=robert,node=gw_example,status=200",
    );
    let style = |style: &str| format!("{size} | tag_style: {style}");
    check(&[
        (&style("dogstatsd"), json!({}), &[&format!("kong.request.size:423|c|@0.5|#{tags}")]),
        (&style("influxdb"), json!({}), &[&format!("kong.request.size,{equal}:423|c|@0.5")]),
        (&style("librato"), json!({}), &[&format!("kong.request.size#{equal}:423|c|@0.5")]),
        (&style("signalfx"), json!({}), &[&format!("kong.request.size[{equal}]:423|c|@0.5")]),
        (
            "{name: latency, stat_type: timer, service_identifier: service_id, consumer_identifier: consumer_id, \
             workspace_identifier: workspace_name} | tag_style: dogstatsd, prefix: edge, hostname_in_prefix: true",
            json!({"route": {"id": "9b1f-52"}}),
            &[
                "edge.latency:57|ms|#service:5e2d-51,route:9b1f-52,workspace:default,consumer:0c4a-53,node:gw_example,status:200",
            ],
        ),
        (
            &style("signalfx"),
            json!({"consumer": null, "route": null, "workspace": null}),
            &["kong.request.size[service=shop,node=gw_example,status=200]:423|c|@0.5"],
        ),
        // Without a service there are no tags, as in Kong.
        (&style("influxdb"), json!({"service": null}), &["kong.request.size:423|c|@0.5"]),
        (
            "{name: request_size, stat_type: set, service_identifier: service_name} | tag_style: librato",
            json!({"service": {"host": "h"}}),
            &["kong.request.size:423|s"],
        ),
        (
            "{name: unique_users, stat_type: set}, {name: request_per_user, stat_type: set}, {name: status_count, stat_type: set}, \
             {name: status_count_per_user, stat_type: set}, {name: status_count_per_workspace, stat_type: set}, \
             {name: status_count_per_user_per_route, stat_type: set}, {name: shdict_usage, stat_type: set}, \
             {name: upstream_latency, stat_type: set} | tag_style: dogstatsd",
            json!({"latencies": {"proxy": -1}}),
            &[],
        ),
    ]);
    let six = sent("statsd", "{tag_style: influxdb, hostname: gw.example}", &message(&json!({})));
    let stats = ["request.count", "latency", "request.size", "response.size", "upstream_latency", "kong_latency"];
    let values = ["1|c", "57|ms", "423|c", "1024|c", "44|ms", "13|ms"];
    let expected: Vec<_> =
        stats.iter().zip(values).map(|(stat, value)| format!("kong.{stat},{equal}:{value}")).collect();
    assert_eq!(six, expected);
}

/// Scenario: ranges of status codes, with codes at their ends and beyond; no ranges; sessions of L4.
/// Guarantees: a transaction whose status is in no range sends nothing.
#[test]
fn ranges_of_status_codes() {
    let sends = |ranges: &str, changes: Value| {
        let config = format!("{{allow_status_codes: {ranges}, metrics: [{{name: latency, stat_type: timer}}]}}");
        !sent("statsd", &config, &message(&changes)).is_empty()
    };
    let status = |status: u16| json!({"response": {"status": status}});
    for (ranges, code, expected) in [
        ("null", 200, true),
        ("null", 500, true),
        ("['200-204']", 200, true),
        ("['200-204']", 201, true),
        ("['200-204']", 204, true),
        ("['200-204']", 205, false),
        ("['200-204', '400-404']", 403, true),
        ("['200-204', '400-404']", 301, false),
        ("['204-200']", 202, false),
        ("[]", 200, false),
    ] {
        assert_eq!(sends(ranges, status(code)), expected, "{ranges} {code}");
    }
    assert!(!sends("['200-299']", json!({"response": {}})));
    let session = |status: u16| json!({"response": null, "session": {"status": status}});
    assert!(sends("['200-299']", session(200)) && !sends("['200-299']", session(502)));
}

/// Scenario: sizes of datagrams that hold all metrics, two, exactly two, and less than one; TCP.
/// Guarantees: a datagram has as many whole lines as fit; a line that is longer than the size is a datagram of its own.
#[test]
fn metrics_share_datagrams() {
    const THREE: &str = "metrics: [{name: request_count, stat_type: counter, sample_rate: 1}, \
        {name: upstream_latency, stat_type: timer}, {name: kong_latency, stat_type: timer}]";
    let lines = [
        "kong.service.shop.request.count:1|c",
        "kong.service.shop.upstream_latency:44|ms",
        "kong.service.shop.kong_latency:13|ms",
    ];
    let two = lines[0].len() + 1 + lines[1].len();
    let packets = |size: usize| sent("statsd", &format!("{{{THREE}, udp_packet_size: {size}}}"), &message(&json!({})));
    assert_eq!(packets(500), [lines.join("\n")]);
    for size in [two, two + 1, two + 30] {
        assert_eq!(packets(size), [lines[..2].join("\n"), lines[2].to_owned()], "{size}");
    }
    for size in [0, 1, 30, two - 1 - lines[0].len()] {
        assert_eq!(packets(size), lines, "{size}");
    }
    assert_eq!(
        sent("statsd", &format!("{{{THREE}, use_tcp: true, udp_packet_size: 500}}"), &message(&json!({}))),
        lines
    );
}

/// Scenario: members that are null; fields of Kong before 3.3, with other values than its defaults and with these.
/// Guarantees: the defaults of the sink are Kong's; an old field overrides its successor unless it has the old default.
#[test]
fn nulls_and_old_fields() {
    let config = "{host: null, port: null, prefix: null, tag_style: null, allow_status_codes: null, udp_packet_size: null, \
        use_tcp: null, metrics: [{name: latency, stat_type: timer, service_identifier: null}]}";
    assert_eq!(sent("statsd", config, &message(&json!({}))), ["kong.service.shop.latency:57|ms"]);
    assert_eq!(sent("statsd", "metrics: null", &message(&json!({}))), [""; 0]);
    let queue = |name: &str, fields: &str| {
        let definition = find(name).expect("a plugin");
        let (mut config, _) = read(definition, fields);
        (definition.convert)(config.as_object_mut().expect("an object"));
        assert!(["retry_count", "queue_size", "flush_timeout"].iter().all(|old| config.get(old).is_none()));
        (config["queue"]["max_batch_size"].clone(), config["queue"]["max_coalescing_delay"].clone())
    };
    for name in ["statsd", "datadog"] {
        assert_eq!(queue(name, "{retry_count: 3, queue_size: 7, flush_timeout: 0.5}"), (json!(7), json!(0.5)));
        let kept = "{retry_count: 10, queue_size: 1, flush_timeout: 2, queue: {max_batch_size: 5}}";
        assert_eq!(queue(name, kept), (json!(5), json!(1)));
    }
}

/// Scenario: `shdict_usage` in the default list, in a list of one's own, and left out.
/// Guarantees: a note at the metric says that it is not sent.
#[test]
fn what_is_not_sent_is_noted() {
    let definition = find("statsd").expect("a plugin");
    let field = |config: &str| {
        let (config, _) = read(definition, config);
        (definition.left_to_kong)(config.as_object().expect("a record")).map(|left| left.field)
    };
    assert_eq!(field("{}").as_deref(), Some("metrics[12].name"));
    assert_eq!(field("metrics: [{name: shdict_usage, stat_type: set}]").as_deref(), Some("metrics[0].name"));
    assert_eq!(field("metrics: [{name: latency, stat_type: set}]"), None);
}
