//! `logphase run --stdin`.

use serde_json::json;

use crate::service::{Home, Messages, TcpPeer, configuration, transaction};

const RUN: &[&str] = &["run", "kong.yml", "--stdin"];

fn input(ids: std::ops::Range<u64>) -> String {
    ids.map(|id| format!("{}\n", transaction(id))).collect()
}

/// Scenario: some thousand lines to a file and over TCP, more than the queues hold at once; the last without a line
/// end.
/// Guarantees: exit code 0; by then everything is delivered, once and in order.
#[test]
fn delivers_everything() {
    let peer = TcpPeer::start();
    let home = Home::new();
    home.write(
        "kong.yml",
        &configuration(&json!([
            {"name": "file-log", "config": {"path": home.text("messages.log")}},
            {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}},
        ])),
    );
    let home = home.set("LOGPHASE_QUEUE_MAX_ENTRIES", "500").set("LOGPHASE_WORKERS", "1");
    let ended = home.run(RUN, input(0..3000).trim_end().as_bytes());
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let lines = std::fs::read(home.path("messages.log")).unwrap();
    let ids = |lines: &[Vec<u8>]| -> Vec<_> {
        lines.iter().map(|line| crate::service::id_of(&serde_json::from_slice(line).unwrap())).collect()
    };
    let lines: Vec<Vec<u8>> =
        lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    assert_eq!(ids(&lines), (0..3000).map(Some).collect::<Vec<_>>());
    // The receiver's thread may still be reading from the kernel.
    peer.wait_for(3000);
    assert_eq!(ids(&peer.lines()), (0..3000).map(Some).collect::<Vec<_>>());
}

/// Scenario: empty input, and only empty lines.
/// Guarantees: exit code 0.
#[test]
fn nothing_to_do() {
    let home = Home::new();
    home.write(
        "kong.yml",
        &configuration(&json!([{"name": "file-log", "config": {"path": home.text("messages.log")}}])),
    );
    for input in ["", "\n\r\n\n"] {
        let ended = home.run(RUN, input.as_bytes());
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
    }
}

/// Scenario: bad lines between valid ones.
/// Guarantees: exit code 1, the numbers and reasons of bad lines on standard error, the valid ones delivered.
#[test]
fn names_bad_lines() {
    let home = Home::new();
    home.write(
        "kong.yml",
        &configuration(&json!([{"name": "file-log", "config": {"path": home.text("messages.log")}}])),
    );
    let text = format!("{}nonsense\n\n{}{{\"a\": 1,}}\n", input(1..2), input(4..5));
    let ended = home.run(RUN, text.as_bytes());
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    for line in ["line 2", "line 5"] {
        assert!(ended.stderr.contains(line), "{line} is not in\n{}", ended.stderr);
    }
    for line in ["line 1", "line 3", "line 4"] {
        assert!(!ended.stderr.contains(line), "{line} is in\n{}", ended.stderr);
    }
    let messages = Messages::read(&home.path("messages.log"));
    messages.assert_once(&[1, 4].into());
    assert_eq!(messages.counts.len(), 2);
}

/// Scenario: file-log with `/dev/stdout`, as a filter in a pipeline.
/// Guarantees: standard output has the messages and nothing else.
#[test]
fn is_a_filter() {
    let home = Home::new();
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": {"path": "/dev/stdout"}}])));
    let ended = home.run(RUN, input(0..50).as_bytes());
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let messages = Messages::of(ended.stdout.lines());
    messages.assert_once(&(0..50).collect());
    assert_eq!(ended.stdout.lines().count(), 50);
}

/// Scenario: messages go to standard output, a pipe whose reader exits after the first line (`| head -n 1`).
/// Guarantees: the process ends by itself, reports how many messages it could not write, and exits with 1.
#[test]
fn a_reader_that_goes_away_ends_it() {
    let home = Home::new();
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": {"path": "/dev/stdout"}}])));
    home.write("input.ndjson", &input(0..2000));
    let script = "\"$0\" run kong.yml --stdin <input.ndjson 2>log | head -n 1; echo ${PIPESTATUS[0]}";
    let output = std::process::Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_logphase")])
        .current_dir(home.path("."))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let log = std::fs::read_to_string(home.path("log")).unwrap();
    assert_eq!(printed.lines().nth(1), Some("1"), "{printed}\n{log}");
    assert!(log.contains("messages were dropped"), "{log}");
}
