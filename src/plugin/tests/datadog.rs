//! The metrics of datadog, line by line. The cases are those of Kong's tests of the plugin, and what its code does beyond them.

use serde_json::{Value, json};

use super::statsd::{message, sent};

/// Each row: a config, changes to the transaction, what is sent.
fn check(rows: &[(&str, Value, &[&str])]) {
    for (config, changes, expected) in rows {
        assert_eq!(sent("datadog", config, &message(changes)), *expected, "{config} {changes}");
    }
}

/// Scenario: a plugin without a config, one with another prefix and one with other tags, and a request with a consumer.
/// Guarantees: Kong's six metrics in Kong's order, with the tags in Kong's order.
#[test]
fn the_default_metrics() {
    for (config, prefix, [name, status, consumer]) in [
        ("{}", "kong", ["name", "status", "consumer"]),
        (
            "{prefix: edge, service_name_tag: null, status_tag: null, consumer_tag: null}",
            "edge",
            ["name", "status", "consumer"],
        ),
        (
            "{service_name_tag: upstream, status_tag: http_status, consumer_tag: user}",
            "kong",
            ["upstream", "http_status", "user"],
        ),
    ] {
        let values = [
            "request.count:1|c",
            "latency:57|ms",
            "request.size:423|ms",
            "response.size:1024|ms",
            "upstream_latency:44|ms",
            "kong_latency:13|ms",
        ];
        let line = |value| format!("{prefix}.{value}|#{name}:shop,{status}:200,{consumer}:robert,app:kong");
        assert_eq!(sent("datadog", config, &message(&json!({}))), values.map(line), "{config}");
    }
}

/// Scenario: metrics with and without tags, of each type, with sample rates, and with each way to name a consumer.
/// Guarantees: each line is Kong's.
#[test]
fn each_metric() {
    let none = || json!({});
    check(&[
        (
            "metrics: [{name: request_count, stat_type: counter, sample_rate: 1}]",
            none(),
            &["kong.request.count:1|c|#name:shop,status:200"],
        ),
        (
            "metrics: [{name: request_count, stat_type: counter, sample_rate: 1, tags: ['T2:V2', 'T3:V3', T4]}]",
            none(),
            &["kong.request.count:1|c|#name:shop,status:200,T2:V2,T3:V3,T4"],
        ),
        (
            "metrics: [{name: latency, stat_type: gauge, sample_rate: 1, tags: ['T2:V2:V3', T4]}]",
            none(),
            &["kong.latency:57|g|#name:shop,status:200,T2:V2:V3,T4"],
        ),
        (
            "metrics: [{name: request_size, stat_type: distribution, sample_rate: 1, tags: []}]",
            none(),
            &["kong.request.size:423|d|#name:shop,status:200"],
        ),
        (
            "metrics: [{name: response_size, stat_type: histogram, sample_rate: 0.2}]",
            none(),
            &["kong.response.size:1024|h|@0.2|#name:shop,status:200"],
        ),
        (
            "metrics: [{name: kong_latency, stat_type: meter}, {name: kong_latency, stat_type: set, sample_rate: 0}]",
            none(),
            &["kong.kong_latency:13|m|#name:shop,status:200", "kong.kong_latency:13|s|@0|#name:shop,status:200"],
        ),
        (
            "metrics: [{name: latency, stat_type: timer, consumer_identifier: username}]",
            none(),
            &["kong.latency:57|ms|#name:shop,status:200,consumer:bob"],
        ),
        // An id has underscores for dashes.
        (
            "metrics: [{name: latency, stat_type: timer, consumer_identifier: consumer_id, tags: [a]}]",
            none(),
            &["kong.latency:57|ms|#name:shop,status:200,consumer:0c4a_53,a"],
        ),
        (
            "metrics: [{name: latency, stat_type: timer, consumer_identifier: custom_id}]",
            json!({"consumer": {"id": "x", "username": "y"}}),
            &["kong.latency:57|ms|#name:shop,status:200"],
        ),
        ("metrics: []", none(), &[]),
    ]);
}

/// Scenario: services without a name, with dots in it, and none; a request without upstream; a session of L4.
/// Guarantees: as Kong sends them; what an L4 session does not have is not sent.
#[test]
fn what_a_transaction_lacks() {
    const TWO: &str = "metrics: [{name: latency, stat_type: timer}, {name: upstream_latency, stat_type: timer}]";
    const ONE: &str = "metrics: [{name: latency, stat_type: timer}]";
    check(&[
        (ONE, json!({"service": {"host": "a.b"}}), &["kong.latency:57|ms|#name:a_b,status:200"]),
        (ONE, json!({"service": {"name": "v1.shop.eu"}}), &["kong.latency:57|ms|#name:v1_shop_eu,status:200"]),
        (ONE, json!({"service": null}), &["kong.latency:57|ms|#name:,status:200"]),
        (ONE, json!({"service": {}}), &["kong.latency:57|ms|#name:,status:200"]),
        (
            TWO,
            json!({"latencies": {"request": 2, "proxy": -1}}),
            &["kong.latency:2|ms|#name:shop,status:200", "kong.upstream_latency:-1|ms|#name:shop,status:200"],
        ),
        (
            "{}",
            json!({"request": null, "response": null, "session": {"status": 200}, "latencies": {"session": 9, "kong": 1}}),
            &[
                "kong.request.count:1|c|#name:shop,status:-,consumer:robert,app:kong",
                "kong.kong_latency:1|ms|#name:shop,status:-,consumer:robert,app:kong",
            ],
        ),
    ]);
}
