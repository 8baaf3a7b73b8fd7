//! What the page shows of the service.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Browser;
use crate::service::{Home, Load, TcpPeer, UdpPeer, configuration, transaction};

const ID: &str = "0f4f1c2e-3b1a-4f6e-8c7d-2a1b3c4d5e6f";

fn tcp_log(port: u16) -> Value {
    json!({"name": "tcp-log", "id": ID, "instance_name": "audit", "config": {"host": "127.0.0.1", "port": port}})
}

fn page_of(plugins: &Value) -> Browser {
    let home = Home::with(&configuration(plugins)).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "100ms");
    Browser::open(home, &["run", "kong.yml"])
}

/// Scenario: load of a service with a function and two loggers, which two viewers watch. Guarantees: both get the same events, a second
/// apart or more; plugins are in execution order with where they send; rates are per second: over their times they add up to what the
/// counters say.
#[test]
fn events_have_the_rates() {
    let peer = UdpPeer::start();
    let plugins = json!([
        {"name": "udp-log", "id": ID, "instance_name": "audit", "config": {"host": "127.0.0.1", "port": peer.port}},
        {"name": "http-log", "config": {"http_endpoint": "http://me:pa55@127.0.0.1:1/x?key=5ecret"}},
        {"name": "pre-function", "config": {"log": ["return 1"]}},
    ]);
    let page = page_of(&plugins);
    let (mut first, mut second) = (page.stream("/api/events"), page.stream("/api/events"));
    assert!(first.head.contains("content-type: text/event-stream"), "{}", first.head);
    let load = Load::start(page.service.home.http);
    load.await_more(100);
    let events: Vec<Value> = (0..8).map(|_| first.event()).collect();
    let seen: Vec<Value> = (0..8).map(|_| second.event()["at"].clone()).collect();
    load.finish();
    let at = |event: &Value| event["at"].as_u64().unwrap();
    assert!(events.windows(2).all(|pair| at(&pair[1]) - at(&pair[0]) >= 900), "{seen:?}");
    assert!(events.iter().filter(|event| seen.contains(&event["at"])).count() >= 6, "they share events: {seen:?}");
    let last = events.last().unwrap();
    let plugins = last["flow"]["plugins"].as_array().unwrap();
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["pre-function", "http-log", "udp-log"]);
    assert_eq!((&plugins[0]["sink"], &plugins[0]["rates"]), (&Value::Null, &Value::Null));
    assert_eq!(plugins[1]["sink"], json!({"kind": "http", "target": "http://me:********@127.0.0.1:1/x?..."}));
    assert_eq!(plugins[2]["sink"], json!({"kind": "udp", "target": format!("127.0.0.1:{}", peer.port)}));
    assert_eq!(
        (&plugins[2]["id"], &plugins[2]["queue"], &plugins[2]["instance_name"]),
        (&json!(ID), &json!(ID), &json!("audit"))
    );
    assert_eq!(last["status"]["plugins"].as_array().unwrap().len(), 3);
    let pairs = [
        ("/flow/plugins/2/rates/enqueued", "/status/plugins/2/queue/enqueued"),
        ("/flow/plugins/2/rates/delivered", "/status/plugins/2/queue/delivered"),
        ("/flow/log_phase/transactions_rate", "/status/transactions"),
        ("/flow/inputs/0/received_rate", "/status/inputs/http/received"),
    ];
    for (rate, total) in pairs {
        let value = |event: &Value, path: &str| {
            event.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {event:#}"))
        };
        let counted = value(last, total) - value(&events[0], total);
        let by_rate: f64 =
            events.windows(2).map(|pair| value(&pair[1], rate) * (at(&pair[1]) - at(&pair[0])) as f64 / 1000.0).sum();
        // The figures of an event are read one after the other, under load.
        assert!(counted > 0.0 && (by_rate / counted - 1.0).abs() < 0.5, "{rate}: {by_rate} instead of {counted}");
    }
    assert!(last["flow"]["log_phase"]["cpu_seconds_rate"].as_f64().unwrap() > 0.0);
}

/// Scenario: a destination is away, comes back; a snippet fails; a sender sends what is no JSON. Guarantees: each problem is shown while it
/// lasts, the destination's with its error and what to do; it goes when the destination is back.
#[test]
fn problems_come_and_go() {
    let mut peer = TcpPeer::absent();
    let file = json!({"name": "file-log", "config": {"path": "/dev/null", "custom_fields_by_lua": {"x": "return nothing.at.all"}}});
    let page = page_of(&json!([tcp_log(peer.port), file]));
    let mut events = page.stream("/api/events");
    assert_eq!(events.event()["problems"], json!([]));
    page.service.accept(transaction(1).to_string());
    assert_eq!(page.service.post("nonsense").status, 400);
    let problem = |event: &Value, alert: &str| {
        event["problems"].as_array().unwrap().iter().find(|problem| problem["alert"] == alert).cloned()
    };
    let has = |alert: &'static str| move |event: &Value| problem(event, alert).is_some();
    let event = events.event_with("the destination is a problem", has("LogphasePluginFailing"));
    let failing = problem(&event, "LogphasePluginFailing").unwrap();
    assert_eq!((&failing["severity"], &failing["where"]), (&json!("warning"), &json!({"plugin": ID})));
    let text = failing["text"].as_str().unwrap();
    assert!(
        text.starts_with("tcp-log (audit): every attempt fails: ") && text.contains("1 message in the queue"),
        "{text}"
    );
    assert!(failing["help"].as_str().unwrap().contains("Nothing is lost") && failing["title"].is_string());
    let event = events.event_with("the snippet is a problem", has("LogphaseLuaErrors"));
    assert!(problem(&event, "LogphaseLuaErrors").unwrap()["text"].as_str().unwrap().contains("`x` failed once"));
    let event = events.event_with("the sender is a problem", has("LogphaseTransactionsRejected"));
    let rejected = problem(&event, "LogphaseTransactionsRejected").unwrap();
    assert_eq!(
        (&rejected["where"], &rejected["text"]),
        (&json!({"input": "http"}), &json!("http: rejected in the last five minutes: 1 malformed"))
    );
    let later = events.event();
    assert_eq!(problem(&later, "LogphasePluginFailing").unwrap()["since"], failing["since"]);
    peer.restart();
    events.event_with("the destination is none any more", |event| problem(event, "LogphasePluginFailing").is_none());
}

/// Scenario: a service runs for some steps of its history with nobody at the page. Guarantees: the history has figures of the past, one hour of
/// places, and only the series that are asked for.
#[test]
fn the_past_is_kept() {
    let peer = TcpPeer::start();
    let page = page_of(&json!([tcp_log(peer.port)]));
    let load = Load::start(page.service.home.http);
    let key = format!("plugin:{ID}:enqueued");
    let start = Instant::now();
    let shown = loop {
        let shown = page.expect(200, "GET", &format!("/api/history?keys=transactions,{key},nothing"), &Value::Null);
        let series = shown["series"].as_array().unwrap();
        let is_known =
            |series: &Value| series["values"].as_array().unwrap().iter().any(|value| value.as_f64() > Some(0.0));
        if series.len() == 2 && series.iter().all(is_known) {
            break shown;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{shown}");
        std::thread::sleep(Duration::from_millis(100));
    };
    load.finish();
    assert_eq!((&shown["step_seconds"], &shown["left_out"]), (&json!(10), &json!(0)));
    assert_eq!(shown["series"][1]["key"], key);
    assert_eq!(shown["series"][1]["values"].as_array().unwrap().len(), 360);
    let all = page.expect(200, "GET", "/api/history", &Value::Null);
    let keys: Vec<&str> =
        all["series"].as_array().unwrap().iter().map(|series| series["key"].as_str().unwrap()).collect();
    for key in ["cpu", "memory", "input:http:received", &format!("plugin:{ID}:depth"), &format!("plugin:{ID}:oldest")] {
        assert!(keys.contains(&key), "{keys:?}");
    }
}
