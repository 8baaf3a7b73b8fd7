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
