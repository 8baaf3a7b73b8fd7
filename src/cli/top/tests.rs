use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};

use super::view::{Action, Snapshot, View};
use super::{draw, plain};

fn queue(waiting: u64, enqueued: u64, delivered: u64) -> Value {
    json!({
        "enqueued": enqueued, "recovered": 0, "delivered": delivered, "waiting": waiting, "dropped": {"overflow": 0, "expired": 0},
        "dead_lettered": 0, "bytes": waiting * 2000, "max_bytes": null, "on_disk": true, "writable": true,
        "oldest_seconds": if waiting > 0 { json!(7.4) } else { Value::Null }, "failing": false, "failures": 0, "retried": 0,
        "last_error": null,
    })
}

const STARTED: u64 = 1_764_039_600_000;

/// A service with a healthy plugin, a failing one, one that shares a queue, a pre-function, and the queue of a removed
/// plugin.
fn status(second: u64) -> Value {
    let mut failing = queue(1_234_567, 2_000_000 + second * 12_300, 765_433);
    failing["failing"] = true.into();
    failing["failures"] = 17.into();
    failing["max_bytes"] = 2_800_000_000_u64.into();
    failing["oldest_seconds"] = 4000.into();
    failing["dropped"]["expired"] = 3.into();
    failing["last_error"] = json!({
        "message": "cannot connect to collector.example:9000: Connection refused (os error 111); see whether it is up\u{1b}[31m",
        "at": STARTED + 3_599_000,
    });
    let snippets = json!([
        {"field": "user", "errors": 0, "stopped": {"time": 0}, "left_out": 0, "mean_seconds": 0.000_004_2},
        {"field": "price", "errors": 12, "stopped": {"time": 2}, "left_out": 40, "suspended_for_seconds": 31.0,
         "mean_seconds": 0.0112},
    ]);
    json!({
        "version": "0.1.0", "stage": "ready", "started_at": STARTED, "transactions": 5, "unlogged": {"no_plugin": 0, "scope": 31, "protocols": 0},
        "inputs": {
            "http": {"received": 1_000_000 + second * 12_300, "rejected": {"full": 12}, "lost": 0, "connections": 3},
            "kafka": {
                "received": 70_000 + second * 250, "rejected": {}, "lost": 0, "connections": 0,
                "consumer": {
                    "topics": {"a": {"partitions": 8, "paused": 0, "lag": 12}, "b": {"partitions": 4, "paused": 1, "lag": 3000}},
                    "last_error": null,
                },
            },
            "udp": {"received": 500, "rejected": {}, "lost": 4, "connections": 0},
            "unix": {"received": 0, "rejected": {}, "lost": 0, "connections": 0},
        },
        "reloads": {"applied": 1, "refused": 1, "last_error": "kong.yml:5:5: error[K0102]: unknown field `timeoutt`\nmore"},
        "plugins": [
            {"name": "pre-function", "id": "p", "instance_name": null, "scope": "everything", "snippets": [], "queue": null},
            {"name": "http-log", "id": "1", "instance_name": "audit", "scope": "service a", "snippets": snippets, "queue": failing},
            {"name": "http-log", "id": "2", "instance_name": null, "scope": "service b", "snippets": [], "queue": null},
            {"name": "file-log", "id": "3", "instance_name": null, "scope": "everything", "snippets": [],
             "queue": queue(0, 900 + second * 5, 900 + second * 5)},
        ],
        "other_queues": [
            json!({"name": "tcp-log", "id": "old", "instance_name": null}).as_object().into_iter().flatten()
                .chain(queue(12, 12, 0).as_object().into_iter().flatten())
                .map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>(),
            json!({"name": "tcp-log", "id": "older", "waiting": 0, "delivered": 7}),
        ],
    })
}

fn snapshot(second: u64) -> Snapshot {
    let status = serde_json::from_value(status(second)).expect("a status");
    Snapshot { status, at: STARTED + 3_600_000 + second * 1000 }
}

fn view() -> View {
    let mut view = View::new("control socket".to_owned());
    view.update(Ok(snapshot(0)));
    view.update(Ok(snapshot(1)));
    view
}

fn screen(view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw::draw(frame, view)).expect("drawn");
    terminal.backend().to_string()
}

/// Scenario: a service with several problems, one of which has an escape sequence in its error.
/// Guarantees: the problems are shown, numbers are readable, and control characters are replaced.
#[test]
fn the_table() {
    insta::assert_snapshot!(screen(&view(), 100, 16));
    insta::assert_snapshot!(plain::table(&snapshot(0)));
}

/// Scenario: a plugin is selected, its details are opened, and the sort order is changed.
/// Guarantees: the details show the whole last error and each field; the selected plugin stays selected.
#[test]
fn details() {
    let mut view = view();
    for action in [Action::Down, Action::Details, Action::Sort] {
        assert!(view.act(action));
    }
    insta::assert_snapshot!(screen(&view, 100, 30));
    assert_eq!(view.selected(&view.rows()), 0, "the plugin with most messages is first");
    assert!(view.act(Action::Back) && !view.details);
}

/// Scenario: a small terminal, a tiny one, and one with the help open.
/// Guarantees: drawing works in each of them.
#[test]
fn sizes() {
    let mut view = view();
    view.act(Action::Help);
    insta::assert_snapshot!(screen(&view, 80, 24));
    for (width, height) in [(1, 1), (20, 5), (79, 3), (300, 100)] {
        view.details = !view.details;
        screen(&view, width, height);
    }
}

/// Scenario: the selection moves past both ends; the view is paused; the service does not answer, and restarts without
/// plugins.
/// Guarantees: the selection stays in the table; while paused nothing changes; the error is shown until the next answer;
/// counters are not compared across the restart.
#[test]
fn selection_pause_and_restart() {
    let mut view = view();
    for _ in 0..10 {
        view.act(Action::Down);
    }
    assert_eq!(view.selected(&view.rows()), 4);
    for _ in 0..10 {
        view.act(Action::Up);
    }
    assert_eq!(view.selected(&view.rows()), 0);
    view.act(Action::Pause);
    let shown = screen(&view, 100, 16);
    assert!(shown.contains("PAUSED"));
    view.update(Err("gone".to_owned()));
    assert_eq!(screen(&view, 100, 16), shown);
    view.act(Action::Pause);
    view.update(Err("gone\u{1b}[31m".to_owned()));
    assert!(screen(&view, 100, 16).contains("No answer: gone\\u{1b}[31m; retrying"));
    let mut other = snapshot(2);
    other.status.started_at += 1;
    other.status.plugins.clear();
    other.status.other_queues.clear();
    view.update(Ok(other));
    let shown = screen(&view, 100, 16);
    assert!(shown.contains("No plugin is configured.") && !shown.contains("No answer"), "{shown}");
    assert!(view.earlier().is_none());
    assert!(!view.act(Action::Quit));
}

/// Scenario: every text of the status has every kind of hidden character.
/// Guarantees: neither the screen nor the plain table has one of them.
#[test]
fn nothing_hidden_is_drawn() {
    use logphase_io::printable::{EVERY_KIND, is_hidden};
    fn spoil(value: &mut Value) {
        match value {
            Value::String(text) => text.push_str(EVERY_KIND),
            Value::Array(items) => items.iter_mut().for_each(spoil),
            Value::Object(members) => members.values_mut().for_each(spoil),
            _ => {}
        }
    }
    let mut odd = status(0);
    spoil(&mut odd);
    let inputs = odd["inputs"].as_object_mut().expect("inputs");
    let of_http = inputs["http"].clone();
    inputs.insert(format!("odd{EVERY_KIND}"), of_http);
    let odd = || Snapshot { status: serde_json::from_value(odd.clone()).expect("a status"), at: STARTED + 1000 };
    let mut view = View::new(format!("socket{EVERY_KIND}"));
    let mut drawn = vec![screen(&view, 200, 60)];
    view.update(Ok(odd()));
    view.act(Action::Down);
    view.act(Action::Details);
    drawn.extend([screen(&view, 200, 60), plain::table(&odd())]);
    for text in drawn {
        assert!(text.contains("202e") && !text.contains(|c| is_hidden(c) && c != '\n'), "{text:?}");
    }
}
