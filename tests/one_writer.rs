//! Several plugins and workers that write to one path.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::thread;

use serde_json::{Value, json};

use crate::service::{Home, Load, configuration};

/// A configuration with five plugins that write to one path, global and for single services; the path is spelt in
/// several ways.
fn plugins(home: &Home, name: &str) -> String {
    let directory = home.text("");
    let paths = [home.text(name), format!("{directory}/./{name}"), format!("{directory}//{name}")];
    let plugin = |path: &str, instance: &str| {
        json!({"name": "file-log", "instance_name": instance, "config": {
            "path": path,
            // Long lines, so that a line written in pieces would appear torn.
            "custom_fields_by_lua": {"by": format!("return '{instance}'"), "long": format!("return '{}'", "x".repeat(6000))},
        }})
    };
    let mut text: Value = serde_json::from_str(&configuration(&json!([plugin(&paths[0], "global")]))).unwrap();
    text["services"] = json!([{"name": "orders-svc", "plugins": [plugin(&paths[1], "service")]}]);
    text["routes"] = json!([{"name": "orders", "plugins": [plugin(&paths[2], "route")]}]);
    text.to_string()
}

/// Sends transactions of three scopes from two connections each, and returns how often each plugin must have written.
fn load(home_http: u16, each: u64) -> BTreeMap<String, u64> {
    let kinds = ["global", "service", "route"];
    thread::scope(|scope| {
        for (number, kind) in kinds.iter().cycle().take(6).enumerate() {
            scope.spawn(move || {
                let mut client = crate::service::Client::connect(home_http).unwrap();
                for turn in 0..each {
                    let mut transaction = crate::service::transaction(number as u64 * 1_000_000 + turn);
                    if *kind != "route" {
                        transaction["route"] = json!({"name": "another"});
                    }
                    if *kind == "global" {
                        transaction["service"] = json!({"name": "another"});
                    }
                    assert_eq!(client.post(transaction.to_string().as_bytes()).unwrap().status, 200);
                }
            });
        }
    });
    kinds.iter().map(|kind| ((*kind).to_owned(), 2 * each)).collect()
}

fn count(lines: impl Iterator<Item = Vec<u8>>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let message: Value = serde_json::from_slice(&line).expect("a line is whole");
        assert_eq!(message["long"].as_str().map(str::len), Some(6000));
        *counts.entry(message["by"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

/// Scenario: several plugins with one path, spelt differently, four workers, six connections, lines of 7 kB.
/// Guarantees: every line in the file is one complete message, and none is missing.
#[test]
fn into_one_file() {
    let home = Home::new();
    home.write("kong.yml", &plugins(&home, "messages.log"));
    let mut service = home.set("LOGPHASE_WORKERS", "4").start();
    let expected = load(service.home.http, 150);
    assert_eq!(service.stop(), 0);
    let file = BufReader::new(File::open(service.home.path("messages.log")).unwrap());
    assert_eq!(count(file.split(b'\n').map(Result::unwrap)), expected);
}

/// Scenario: the same into a named pipe, whose reader starts only when messages wait and reads slowly at first.
/// Guarantees: the reader gets every message as one complete line.
#[test]
fn into_a_pipe() {
    let home = Home::new();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, home.path("pipe"), mode).unwrap();
    home.write("kong.yml", &plugins(&home, "pipe"));
    let mut service = home.set("LOGPHASE_WORKERS", "4").set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1").start();
    let expected = load(service.home.http, 60);
    assert!(service.has_logged("pipe"), "the log does not report the missing reader");
    let path = service.home.path("pipe");
    let reader = thread::spawn(move || {
        let mut reader = BufReader::with_capacity(512, File::open(path).unwrap());
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line).unwrap() == 0 {
                return lines;
            }
            assert_eq!(line.pop(), Some(b'\n'), "the last line is torn");
            lines.push(line);
        }
    });
    assert_eq!(service.stop(), 0);
    assert_eq!(count(reader.join().unwrap().into_iter()), expected);
}

/// Scenario: file-log with `reopen: true`, whose file is removed under load.
/// Guarantees: the next message creates a new file; the service continues without an error.
#[test]
fn removed_file() {
    let home = Home::new();
    let config = json!({"path": home.text("messages.log"), "reopen": true});
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": config}])));
    let mut service = home.start();
    let path = service.home.path("messages.log");
    let load = Load::start(service.home.http);
    for _ in 0..3 {
        load.await_more(50);
        crate::service::wait_until("the file is there", || path.exists());
        std::fs::remove_file(&path).unwrap();
    }
    // Until then, messages may still be on their way to the removed file.
    crate::service::wait_until("the new file is there", || path.exists());
    load.await_more(50);
    let sent = load.finish();
    assert!(sent.refused.is_empty() && sent.unanswered.is_empty(), "{:?} {:?}", sent.refused, sent.unanswered);
    assert_eq!(service.stop(), 0);
    let messages = crate::service::Messages::read(&path);
    assert!(messages.counts.len() >= 20 && messages.torn.is_empty() && messages.duplicates().is_empty());
}
