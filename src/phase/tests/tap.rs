use std::time::Duration;

use super::workers::{Fake, bench, generation};
use super::*;

const FAILING: &str = r#"
_format_version: "3.0"
plugins:
- name: file-log
  instance_name: main
  config: {path: /tmp/x, custom_fields_by_lua: {t: return 1, u: error("x")}}
- {name: tcp-log, config: {host: h, port: 9, on_error: drop, custom_fields_by_lua: {v: error("y")}}}
"#;

fn seen(sample: &Sample) -> (String, Option<String>, String, Vec<usize>) {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let outcome = match &sample.outcome {
        MessageOutcome::Sent(bytes) => text(bytes),
        other => format!("{other:?}"),
    };
    (
        sample.step().expect("it is a plugin's").label.to_string(),
        sample.before.as_ref().map(text),
        outcome,
        sample.failed.clone(),
    )
}

fn filter(plugin: Option<&str>, before: bool) -> TapFilter {
    TapFilter { plugin: plugin.map(str::to_owned), before, ..TapFilter::default() }
}

/// Scenario: subscribers to all plugins with the messages before edits, to a plugin by its instance name, to an unknown
/// name, and with a condition; a plugin with a failing field, and one whose failure drops the message.
/// Guarantees: each receives the samples that match its filter, with the outcome and the failed fields; the queues get the
/// same messages as without subscribers. A dropped subscription is removed.
#[tokio::test]
async fn subscribers_receive_matching_samples() {
    let (file, tcp) = (Fake::new(100), Fake::new(100));
    let bench = bench(generation(FAILING, &patient(), &[&file, &tcp]), 1);
    let taps = bench.workers.taps().clone();
    let offer = || bench.intake.offer(vec![transaction(&json!({"n": 1}))]);
    offer().await.expect("accepted");
    let sent = "{\"n\":1,\"t\":1}".to_owned();
    assert_eq!((file.take(), tcp.take()), (vec![sent.clone()], vec![]), "no subscriber");
    let mut all = taps.subscribe(&filter(None, true)).expect("room");
    let mut one = taps.subscribe(&filter(Some("main"), false)).expect("room");
    let mut none = taps.subscribe(&filter(Some("nobody"), false)).expect("room");
    offer().await.expect("accepted");
    assert_eq!((file.take(), tcp.take()), (vec![sent.clone()], vec![]));
    let before = Some("{\"n\":1}".to_owned());
    let label = "file-log (main)".to_owned();
    assert_eq!(seen(&*all.next().await), (label.clone(), before.clone(), sent.clone(), vec![1]));
    assert_eq!(seen(&*all.next().await), ("tcp-log".to_owned(), before, "Dropped".to_owned(), vec![0]));
    assert_eq!(seen(&*one.next().await), (label, None, sent, vec![1]));
    assert!(tokio::time::timeout(Duration::from_millis(20), none.next()).await.is_err());
    drop((all, one, none));
    let conditions =
        |text: &str| TapFilter { conditions: vec![Condition::parse(text).expect("valid")], ..TapFilter::default() };
    let mut second = taps.subscribe(&conditions("n=2")).expect("room");
    bench.intake.offer((1..=3).map(|n| transaction(&json!({"n": n}))).collect()).await.expect("accepted");
    assert_eq!(seen(&*second.next().await).2, "{\"n\":2,\"t\":1}");
    assert!(tokio::time::timeout(Duration::from_millis(20), second.next()).await.is_err());
    drop(second);
    assert!(taps.subscribers().is_none());
}

/// Scenario: the maximum number of subscribers, one more, and a new one after another was dropped; a subscriber that does
/// not read its messages.
/// Guarantees: the extra subscriber is refused; unread messages are counted as skipped, and the workers do not wait.
#[tokio::test]
async fn subscribers_are_bounded() {
    let file = Fake::new(10_000);
    let text = "_format_version: '3.0'\nplugins:\n- {name: file-log, config: {path: /tmp/x}}\n";
    let bench = bench(generation(text, &patient(), &[&file]), 1);
    let taps = bench.workers.taps();
    let mut subscriptions: Vec<_> = (0..8).map(|_| taps.subscribe(&filter(None, false)).expect("room")).collect();
    assert_eq!(taps.subscribe(&filter(None, false)).expect_err("one too many"), TooManyTaps);
    subscriptions.pop();
    subscriptions.push(taps.subscribe(&filter(None, false)).expect("room again"));
    let transactions: Vec<_> = (0..1000).map(|n| transaction(&json!({"n": n}))).collect();
    bench.intake.offer(transactions).await.expect("accepted");
    assert_eq!(file.take().len(), 1000);
    let last = subscriptions.last_mut().expect("eight");
    assert_eq!(last.take_skipped(), 1000 - 256);
    for n in 0..256 {
        assert_eq!(seen(&*last.next().await).2, format!("{{\"n\":{n}}}"));
    }
    // The buffer holds eight messages of a million bytes.
    let large: Vec<_> = (0..20).map(|_| transaction(&json!({"n": "x".repeat(1_000_000)}))).collect();
    bench.intake.offer(large).await.expect("accepted");
    assert_eq!(last.take_skipped(), 12);
    for _ in 0..8 {
        assert_eq!(seen(&*last.next().await).2.len(), 1_000_008);
    }
}

const CHANGING: &str = r#"
_format_version: "3.0"
plugins:
- name: pre-function
  config: {log: ["kong.log.set_serialize_value('by.function', 1)"]}
- name: http-log
  config:
    http_endpoint: http://h
    custom_fields_by_lua: {first: return 1, n: "return 2, {mode = 'add'}", u: "kong.log.set_serialize_value('lost', 1) error('x')"}
    redact: [{key: by.function, action: remove}, {key: nothing}]
- name: opentelemetry
  config: {access_logs: {endpoint: "http://h/v1/logs", custom_attributes_by_lua: {own: return 1}}}
- name: file-log
  config: {path: /tmp/x, custom_fields_by_lua: {"last.one": return nil, "request": return nil}}
"#;

/// Scenario: functions, fields, attributes and redaction of several plugins, a field that has no effect, one that fails, and a subscriber
/// who wants to know what changed, beside one who does not.
/// Guarantees: each message says what changed it and which plugin's part did: all edits before it, its own, and its own redaction; attributes
/// are those of their own plugin alone. Whoever does not ask is told nothing, and the messages are the same.
#[tokio::test]
async fn changes_have_an_author() {
    let queues = [(); 4].map(|()| Fake::new(100));
    let bench = bench(generation(CHANGING, &patient(), &queues.each_ref()), 1);
    let taps = bench.workers.taps().clone();
    let offer = || bench.intake.offer(vec![transaction(&json!({"n": 1, "request": {}}))]);
    offer().await.expect("accepted");
    let without: Vec<_> = queues.iter().map(|queue| queue.take()).collect();
    let mut all = taps.subscribe(&TapFilter { changes: true, ..TapFilter::default() }).expect("room");
    let mut plain = taps.subscribe(&filter(None, false)).expect("room");
    offer().await.expect("accepted");
    assert_eq!(queues.iter().map(|queue| queue.take()).collect::<Vec<_>>(), without);
    let mut shown = Vec::new();
    for _ in 0..3 {
        let sample = all.next().await;
        let Source::Plugin { program, .. } = &sample.source else { panic!("a plugin's") };
        let name = |id: &Value| program.steps.iter().find(|step| *id == step.id).expect("a step").definition.name;
        let line = |change: &Value| {
            let text = |member: &str| change[member].as_str().unwrap_or("-").to_owned();
            format!("{} {} {} {}", name(&change["plugin"]), text("by"), text("mode"), text("path"))
        };
        let changes: Vec<_> = sample.changes_as_json().iter().map(line).collect();
        shown.push((sample.step().expect("a plugin").definition.name, changes));
        assert_eq!(plain.next().await.changes, []);
    }
    let function = "pre-function log[0] set by.function".to_owned();
    let field = "http-log first set first".to_owned();
    let of = |name: &str| shown.iter().find(|(other, _)| *other == name).expect(name).1.clone();
    assert_eq!(of("http-log"), [function.clone(), field.clone(), "http-log redaction remove by.function".to_owned()]);
    assert_eq!(
        of("file-log"),
        [function.clone(), field.clone(), "file-log request set request".to_owned()],
        "no attribute, and no edit without an effect"
    );
    let own = of("opentelemetry");
    assert!(own.contains(&"opentelemetry own set own".to_owned()), "{own:?}");
}
