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
    let after = match &sample.after {
        After::Sent(bytes) => text(bytes),
        other => format!("{other:?}"),
    };
    (sample.step().label.to_string(), sample.before.as_ref().map(text), after, sample.failed.clone())
}

fn wish(plugin: Option<&str>, before: bool) -> Wish {
    Wish { plugin: plugin.map(str::to_owned), before, ..Wish::default() }
}

/// Scenario: one who watches everything with both sides, one who watches a plugin by its instance name, and one by a
/// name that no plugin has, one with a condition; a plugin with a failing field, and one whose failure costs the message.
/// Guarantees: each sees what it asked for: the message without edits and the one that is sent, which fields failed, and
/// that a message is not sent; the queues get what they get when nobody watches. Who has gone is forgotten.
#[tokio::test]
async fn watchers_see_what_leaves() {
    let (file, tcp) = (Fake::new(100), Fake::new(100));
    let bench = bench(generation(FAILING, &patient(), &[&file, &tcp]), 1);
    let taps = bench.workers.taps().clone();
    let offer = || bench.intake.offer(vec![transaction(&json!({"n": 1}))]);
    offer().await.expect("taken");
    let sent = "{\"n\":1,\"t\":1}".to_owned();
    assert_eq!((file.take(), tcp.take()), (vec![sent.clone()], vec![]), "nobody watches");
    let mut all = taps.watch(&wish(None, true)).expect("room");
    let mut one = taps.watch(&wish(Some("main"), false)).expect("room");
    let mut none = taps.watch(&wish(Some("nobody"), false)).expect("room");
    offer().await.expect("taken");
    assert_eq!((file.take(), tcp.take()), (vec![sent.clone()], vec![]));
    let before = Some("{\"n\":1}".to_owned());
    let label = "file-log (main)".to_owned();
    assert_eq!(seen(&*all.next().await), (label.clone(), before.clone(), sent.clone(), vec![1]));
    assert_eq!(seen(&*all.next().await), ("tcp-log".to_owned(), before, "Dropped".to_owned(), vec![0]));
    assert_eq!(seen(&*one.next().await), (label, None, sent, vec![1]));
    assert!(tokio::time::timeout(Duration::from_millis(20), none.next()).await.is_err());
    drop((all, one, none));
    let conditions = |text: &str| Wish { conditions: vec![Condition::parse(text).expect("sound")], ..Wish::default() };
    let mut second = taps.watch(&conditions("n=2")).expect("room");
    bench.intake.offer((1..=3).map(|n| transaction(&json!({"n": n}))).collect()).await.expect("taken");
    assert_eq!(seen(&*second.next().await).2, "{\"n\":2,\"t\":1}");
    assert!(tokio::time::timeout(Duration::from_millis(20), second.next()).await.is_err());
    drop(second);
    assert!(taps.watchers().is_none());
}

/// Scenario: as many watchers as may, one more, and one after another has gone; more messages than one of them takes.
/// Guarantees: the one too many is refused; what a watcher does not take is counted and holds up nobody.
#[tokio::test]
async fn watchers_are_bounded() {
    let file = Fake::new(10_000);
    let text = "_format_version: '3.0'\nplugins:\n- {name: file-log, config: {path: /tmp/x}}\n";
    let bench = bench(generation(text, &patient(), &[&file]), 1);
    let taps = bench.workers.taps();
    let mut watching: Vec<_> = (0..8).map(|_| taps.watch(&wish(None, false)).expect("room")).collect();
    assert_eq!(taps.watch(&wish(None, false)).expect_err("one too many"), TooMany);
    watching.pop();
    watching.push(taps.watch(&wish(None, false)).expect("room again"));
    let transactions: Vec<_> = (0..1000).map(|n| transaction(&json!({"n": n}))).collect();
    bench.intake.offer(transactions).await.expect("taken");
    assert_eq!(file.take().len(), 1000);
    let last = watching.last_mut().expect("eight");
    assert_eq!(last.take_skipped(), 1000 - 256);
    for n in 0..256 {
        assert_eq!(seen(&*last.next().await).2, format!("{{\"n\":{n}}}"));
    }
    // Of messages of a million bytes eight megabytes wait.
    let large: Vec<_> = (0..20).map(|_| transaction(&json!({"n": "x".repeat(1_000_000)}))).collect();
    bench.intake.offer(large).await.expect("taken");
    assert_eq!(last.take_skipped(), 12);
    for _ in 0..8 {
        assert_eq!(seen(&*last.next().await).2.len(), 1_000_008);
    }
}
