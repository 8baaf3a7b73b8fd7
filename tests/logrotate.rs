//! The real logrotate with rename and with copytruncate, under load.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::service::{Home, Load, Messages, Service, Signal, configuration};

/// Transactions accepted between two rotations.
const BETWEEN: u64 = 150;

/// Number of rotations.
const ROTATIONS: u64 = 5;

fn service() -> Service {
    let home = Home::new();
    let kong = configuration(&json!([{"name": "file-log", "config": {"path": home.text("messages.log")}}]));
    home.write("kong.yml", &kong);
    home.start()
}

/// Runs logrotate once on the service's file.
fn rotate(service: &Service, how: &str) {
    let home = &service.home;
    let text = format!("{} {{\n  rotate 100\n  missingok\n  {how}\n}}\n", home.text("messages.log"));
    home.write("logrotate.conf", &text);
    let state = home.text("logrotate.state");
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let run = Command::new("logrotate")
        .args(["--force", "--state", &state])
        .arg(home.path("logrotate.conf"))
        .env("PATH", path)
        .output()
        .expect("logrotate is not installed: `apt-get install logrotate`");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// The file and the rotated files, newest first.
fn files(service: &Service) -> Vec<PathBuf> {
    let rotated = (1..=ROTATIONS).map(|number| service.home.path(&format!("messages.log.{number}")));
    std::iter::once(service.home.path("messages.log")).chain(rotated).collect()
}

/// Files that logrotate renamed because the service created the new file first (`messages.log-*.backup`). They have few
/// lines or none, but they count.
fn set_aside(service: &Service) -> Vec<PathBuf> {
    let directory = service.home.path("messages.log");
    let directory = directory.parent().unwrap();
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "backup")).collect()
}

/// Every line of all files.
fn all_lines(files: &[PathBuf]) -> Vec<Vec<u8>> {
    let lines = files.iter().flat_map(|path| {
        let bytes = fs::read(path).unwrap();
        bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect::<Vec<_>>()
    });
    lines.collect()
}

fn load_and_rotate(service: &mut Service, how: &str, after: impl Fn(&Service)) -> BTreeSet<u64> {
    let load = Load::start(service.home.http);
    for _ in 0..ROTATIONS {
        load.await_more(BETWEEN);
        rotate(service, how);
        after(service);
    }
    load.await_more(BETWEEN);
    let sent = load.finish();
    assert!(sent.refused.is_empty() && sent.unanswered.is_empty(), "{:?} {:?}", sent.refused, sent.unanswered);
    assert_eq!(service.stop(), 0);
    sent.accepted
}

/// Fails unless each rotated file has messages: the service switched to the new file each time.
fn assert_all_in_use(files: &[PathBuf]) {
    for path in files {
        let lines = Messages::read(path).counts.len();
        assert!(lines > 10, "{} has {lines} messages only", path.display());
    }
}

/// Scenario: logrotate renames the file five times under load and creates a new one; SIGHUP tells the service.
/// Guarantees: every message is complete and in exactly one file, and each file has messages.
#[test]
fn create_with_signal() {
    let mut service = service();
    let accepted = load_and_rotate(&mut service, "create 0644", |service| service.signal(Signal::HUP));
    let files = files(&service);
    let all = [&files[..], &set_aside(&service)].concat();
    Messages::of(all_lines(&all)).assert_once(&accepted);
    assert_all_in_use(&files);
}

/// Scenario: the same without a signal and without a new file.
/// Guarantees: the service detects the rename; every message is complete and in exactly one file.
#[test]
fn rename_without_signal() {
    let mut service = service();
    let accepted = load_and_rotate(&mut service, "nocreate", |_| {});
    let files = files(&service);
    Messages::of(all_lines(&files)).assert_once(&accepted);
    assert_all_in_use(&files);
}

/// Scenario: logrotate copies the file and truncates it, five times under load. Lines written between copy and
/// truncation are in no copy: the service detects the truncation and writes the last lines again.
/// Guarantees: no message is missing. Duplicates are in two different files; only the last line of a copy can be torn,
/// because logrotate copies during a write, and another file then has the complete line.
#[test]
fn copytruncate() {
    let mut service = service();
    let accepted = load_and_rotate(&mut service, "copytruncate", |_| {});
    let files = files(&service);
    let mut everything = Messages::default();
    for (number, path) in files.iter().enumerate() {
        let mut of_file = Messages::read(path);
        let bytes = fs::read(path).unwrap();
        if number > 0 && !bytes.ends_with(b"\n") {
            of_file.torn.pop();
        }
        assert!(!bytes.contains(&0), "{} has a hole", path.display());
        assert!(of_file.torn.is_empty(), "{}: {:?}", path.display(), of_file.torn);
        assert!(of_file.duplicates().is_empty(), "{}: {:?} stand twice", path.display(), of_file.duplicates());
        for id in of_file.counts.keys() {
            *everything.counts.entry(*id).or_default() += 1;
        }
    }
    everything.assert_all(&accepted);
    assert_all_in_use(&files);
}

/// Scenario: copytruncate while nothing is written.
/// Guarantees: earlier messages are in the copy, later ones in the file.
#[test]
fn copytruncate_at_rest() {
    let mut service = service();
    let load = Load::start(service.home.http);
    load.await_more(BETWEEN);
    let before = load.finish().accepted;
    let path = service.home.path("messages.log");
    crate::service::wait_until("everything is written", || Messages::read(&path).missing(&before).is_empty());
    rotate(&service, "copytruncate");
    Messages::read(&service.home.path("messages.log.1")).assert_once(&before);
    service.accept(crate::service::transaction(1).to_string());
    assert_eq!(service.stop(), 0);
    let after = Messages::read(&path);
    after.assert_all(&[1].into());
}
