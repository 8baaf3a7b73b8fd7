//! `logphase tap`: watching messages of a running service.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use serde_json::{Value, json};

use crate::service::{Home, Load, Service, Signal, configuration, transaction, wait_until};

/// A running `logphase tap` and its output.
pub struct Tap {
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    err: Arc<Mutex<Vec<String>>>,
}

fn collect(from: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            kept.lock().push(line);
        }
    });
    lines
}

impl Tap {
    fn launch(service: &Service, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logphase"));
        command.arg("tap").args(arguments).env_clear().env("LOGPHASE_DATA_DIR", service.home.path("data"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.current_dir(service.home.path(".")).spawn().unwrap()
    }

    /// Starts `logphase tap` and waits until it is connected.
    pub fn start(service: &Service, arguments: &[&str]) -> Self {
        let mut child = Self::launch(service, arguments);
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        let tap = Self { child, out, err };
        tap.await_note("logphase tap: watching ");
        tap
    }

    #[track_caller]
    fn await_note(&self, note: &str) {
        wait_until(&format!("the tap says {note}"), || self.err.lock().iter().any(|line| line.contains(note)));
    }

    /// The messages so far, with `--json`.
    fn messages(&self) -> Vec<Value> {
        self.out.lock().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for a message that satisfies the condition.
    #[track_caller]
    pub fn await_message(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        wait_until(what, || {
            found = self.messages().into_iter().find(|message| is(message));
            found.is_some()
        });
        found.expect("it was waited for")
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn file_log(home: &Home, config: &Value) -> String {
    let mut all = json!({"path": home.text("messages.log")});
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    configuration(&json!([{"name": "file-log", "instance_name": "disk", "config": all}]))
}

fn service(config: &Value) -> Service {
    let home = Home::new();
    home.write("kong.yml", &file_log(&home, config));
    home.start()
}

fn with_credentials(id: u64) -> String {
    let mut transaction = transaction(id);
    transaction["request"]["headers"] =
        json!({"host": "a.example", "authorization": "Bearer s3cret", "x-token": "t0ken", "x-mine": "m1ne"});
    transaction.to_string()
}

/// Scenario: a plugin that adds a field, removes one and masks a header by a rule; a tap with each option, as JSON and
/// as text, and taps with conditions.
/// Guarantees: the output has the message before and after Lua, under the plugin's name; no credential is shown that
/// Kong, a rule or Lua removes; a tap ends after `--limit` messages.
#[test]
fn before_and_after_without_credentials() {
    let service = service(&json!({
        "custom_fields_by_lua": {"added": "return 7", "request.headers.x-mine": "return nil"},
        "redact": [{"header": "x-token", "action": "mask"}],
    }));
    let both = Tap::start(&service, &["disk", "--both", "--json", "--sample", "all"]);
    let before = Tap::start(&service, &["--before", "--json"]);
    let some = Tap::start(&service, &["--json", "--where", "request.headers.host=a.example", "--where", "added=7"]);
    let none = Tap::start(&service, &["--json", "--where", "request.headers.x-mine=m1ne"]);
    let mut people = Tap::start(&service, &["file-log", "--both", "--limit", "1"]);
    service.accept(with_credentials(1));
    let message = both.await_message("the message is there", |_| true);
    assert_eq!((&message["plugin"], &message["instance_name"]), (&json!("file-log"), &json!("disk")));
    assert_eq!((&message["after"]["added"], message["before"].get("added")), (&json!(7), None));
    assert_eq!(message["before"]["request"]["headers"]["x-mine"], "[not sent]");
    assert_eq!(message["before"]["request"]["headers"]["host"], "a.example");
    assert!(message["after"]["request"]["headers"].get("x-mine").is_none());
    // The tap shows a message before its plugin has written it.
    let file = || std::fs::read_to_string(service.home.path("messages.log")).unwrap_or_default();
    wait_until("the file has the message", || file().ends_with('\n'));
    assert_eq!(serde_json::from_str::<Value>(&file()).unwrap(), message["after"]);
    let alone = before.await_message("the message is there", |_| true);
    assert_eq!((&alone["before"], alone.get("after")), (&message["before"], None));
    assert!(people.child.wait().unwrap().success());
    wait_until("the change is shown", || people.out.lock().iter().any(|line| line == "+   \"added\": 7"));
    assert_eq!(some.await_message("the message is there", |_| true)["after"], message["after"]);
    assert!(none.messages().is_empty(), "a condition finds out nothing about what is not sent");
    for tap in [&both, &before, &people] {
        let shown = tap.out.lock().join("\n");
        for secret in ["s3cret", "t0ken", "m1ne"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
}

/// Scenario: a tap of a plugin that does not exist yet; a reload adds it, another one gives it another field, a third
/// is refused.
/// Guarantees: the tap reports the missing plugin, and continues through all reloads with the active configuration.
#[test]
fn reloads_do_not_end_it() {
    let service = service(&json!({}));
    let tap = Tap::start(&service, &["late", "--json", "--sample", "all"]);
    tap.await_note("the service has no plugin `late` now (it has: file-log)");
    let late = |value: u32| {
        configuration(&json!([{"name": "file-log", "instance_name": "late", "config": {
            "path": service.home.text("late.log"), "custom_fields_by_lua": {"v": format!("return {value}")}}}]))
    };
    for value in 1..=2 {
        service.home.write("kong.yml", &late(value));
        service.signal(Signal::HUP);
        wait_until("a message of the new configuration", || {
            service.accept(transaction(1).to_string());
            tap.messages().iter().any(|message| message["after"]["v"] == value)
        });
    }
    service.home.write("kong.yml", "plugins: 1");
    service.signal(Signal::HUP);
    wait_until("the reload is refused", || service.has_logged("the old one stays active"));
    let so_far = tap.messages().len();
    service.accept(transaction(2).to_string());
    wait_until("tap continues", || tap.messages().len() > so_far);
    assert!(!tap.err.lock().iter().any(|line| line.contains("the service closed the stream; reconnecting")));
}

/// Scenario: the service stops and restarts during a tap, once normally and once by SIGKILL.
/// Guarantees: the tap reports that it waits, reconnects, reports that, and shows new messages.
#[test]
fn restarts_do_not_end_it() {
    let mut service = service(&json!({}));
    let tap = Tap::start(&service, &["--json", "--sample", "all"]);
    for (id, signal) in [(1, Signal::TERM), (2, Signal::KILL)] {
        service.signal(signal);
        service.wait();
        let said = |text: &str| tap.err.lock().iter().filter(|line| line.contains(text)).count() == id;
        wait_until("tap reports that it waits", || said("the service closed the stream; reconnecting"));
        service.start_again();
        wait_until("tap reports that it has reconnected", || said("tap: reconnected"));
        service.accept(transaction(id as u64).to_string());
        wait_until("tap shows messages", || tap.messages().len() == id);
    }
}

/// Scenario: a tap of everything whose output is not read, and a second tap, during 3,000 messages.
/// Guarantees: every message is delivered; once the first tap is read, it reports how many messages it skipped; the
/// second is not delayed.
#[test]
fn a_slow_reader_holds_up_nothing() {
    let service = service(&json!({}));
    let slow = Tap::launch(&service, &["--json", "--sample", "all"]);
    let mut slow = Tap { child: slow, out: Arc::default(), err: Arc::default() };
    slow.err = collect(slow.child.stderr.take().unwrap());
    slow.await_note("logphase tap: watching ");
    let quick = Tap::start(&service, &["--json", "--sample", "1/h"]);
    let mut large = transaction(0);
    large["filler"] = "x".repeat(10_000).into();
    let mut client = service.client();
    for _ in 0..3000 {
        assert_eq!(client.post(large.to_string().as_bytes()).unwrap().status, 200);
    }
    assert_eq!(quick.messages().len(), 1, "one in an hour");
    slow.out = collect(slow.child.stdout.take().unwrap());
    slow.await_note("skipped: ");
    let notes = slow.err.lock().clone();
    let skipped: usize =
        notes.iter().filter_map(|note| note.split_once("skipped: ")?.1.split(' ').next()?.parse::<usize>().ok()).sum();
    wait_until("the remaining messages are shown", || slow.out.lock().len() + skipped >= 3000);
}

/// Scenario: requests for a tap to the status listeners and the control socket; a wrong rate; no service.
/// Guarantees: only the control socket offers it, and only its owner can use the socket; each error says what to do.
#[test]
fn only_for_its_owner() {
    let port = crate::service::free_port();
    let home = Home::new().set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{port}"));
    home.write("kong.yml", &file_log(&home, &json!({})));
    let mut service = home.start();
    let mut client = crate::service::Client::connect(port).unwrap();
    client.send(b"GET /tap HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 404);
    let socket = service.home.path("data/control.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let mut raw = UnixStream::connect(&socket).unwrap();
    std::io::Write::write_all(&mut raw, b"GET /tap?rate=0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    raw.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("above 0"), "{answer}");
    let ended = service.home.run(&["tap", "--sample", "0/s"], b"");
    assert!(ended.code() == 2 && ended.stderr.contains("expected a rate like `10/s`"), "{}", ended.stderr);
    service.stop();
    let ended = service.home.run(&["tap"], b"");
    assert!(ended.code() == 74 && ended.stderr.contains("no service runs with the data directory"), "{}", ended.stderr);
}

/// Scenario: a tap during a load, then the tap is stopped.
/// Guarantees: every acknowledged transaction is delivered once.
#[test]
fn nothing_is_lost_by_watching() {
    let service = service(&json!({}));
    let load = Load::start(service.home.http);
    let tap = Tap::start(&service, &["--both", "--json", "--sample", "all"]);
    load.await_more(300);
    drop(tap);
    load.await_more(300);
    let sent = load.finish();
    assert!(sent.refused.is_empty(), "{:?}", sent.refused);
    wait_until("everything is delivered", || {
        let file = crate::service::Messages::read(&service.home.path("messages.log"));
        file.missing(&sent.accepted).is_empty()
    });
    crate::service::Messages::read(&service.home.path("messages.log")).assert_once(&sent.accepted);
}
