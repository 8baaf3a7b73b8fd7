//! Paths that do not lead to an ordinary file: pipes without a writer, devices, sockets, directories, huge files.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::json;

use crate::service::{Home, Service, Signal, configuration, free_port, transaction, wait_until};

/// The odd things, and a word of the error about each.
const KINDS: [(&str, &str); 5] = [
    ("pipe", "it is a pipe, and only regular files"),
    ("socket", "it is a socket, and only regular files"),
    ("device", "it is a device, and only regular files"),
    ("directory", "it is a directory; name a file"),
    ("huge", "it is larger than 256 MiB"),
];

/// Puts something of this kind at `path`. Nothing may be there.
fn put(kind: &str, path: &Path) {
    match kind {
        "pipe" => mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap(),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "device" => symlink("/dev/zero", path).unwrap(),
        "directory" => std::fs::create_dir(path).unwrap(),
        _ => std::fs::File::create(path).unwrap().set_len(10 << 30).unwrap(),
    }
}

fn remove(path: &Path) {
    if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) }.unwrap();
}

fn log_to(home: &Home) -> String {
    configuration(&json!([{"name": "file-log", "config": {"path": home.text("messages.log")}}]))
}

fn refused(service: &Service, count: usize) {
    wait_until("the reload is refused", || service.count_logged("the new configuration is refused") == count);
}

/// Scenario: under a running service, its configuration and its settings in turn become a pipe, a socket, a device, a
/// directory, and a file of 10 GB, each time with SIGHUP; the last time with SIGTERM after it.
/// Guarantees: each reload is refused with words that say what is there; the service still accepts, reloads the file
/// when it is back, and ends.
#[test]
fn a_reload_waits_for_nothing() {
    let status = free_port();
    let home = Home::new().set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    let home = home.set("LOGPHASE_RELOAD_WATCH", "false");
    home.write("kong.yml", &log_to(&home));
    home.write("logphase.yml", "{}\n");
    let mut service = home.start();
    let mut count = 0;
    for name in ["kong.yml", "logphase.yml"] {
        let (path, away) = (service.home.path(name), service.home.path("away"));
        std::fs::rename(&path, &away).unwrap();
        for (kind, expected) in KINDS {
            put(kind, &path);
            service.signal(Signal::HUP);
            count += 1;
            refused(&service, count);
            assert!(service.has_logged(expected), "{kind}: nothing says `{expected}`");
            service.accept(transaction(1).to_string());
            remove(&path);
        }
        std::fs::rename(&away, &path).unwrap();
    }
    service.signal(Signal::HUP);
    wait_until("the file is reloaded", || service.has_logged("configuration reloaded"));
    std::fs::remove_file(service.home.path("kong.yml")).unwrap();
    put("pipe", &service.home.path("kong.yml"));
    service.signal(Signal::HUP);
    refused(&service, count + 1);
    assert_eq!(service.stop(), 0);
}

/// Scenario: a watched configuration becomes a pipe.
/// Guarantees: the change is noticed and refused once, without a signal; the service ends at SIGTERM.
#[test]
fn the_watch_waits_for_nothing() {
    let home = Home::new().set("LOGPHASE_RELOAD_INTERVAL", "20ms");
    home.write("kong.yml", &log_to(&home));
    let mut service = home.start();
    put("pipe", &service.home.path("new"));
    std::fs::rename(service.home.path("new"), service.home.path("kong.yml")).unwrap();
    refused(&service, 1);
    service.accept(transaction(1).to_string());
    assert_eq!(service.stop(), 0);
    assert_eq!(service.count_logged("the new configuration is refused"), 1);
}

/// Scenario: each command that reads files gets a socket, a directory, an endless device or a file of 10 GB; and commands
/// get a configuration through a pipe.
/// Guarantees: the command ends with an error that says what is there; a pipe is read, as `check <(generate)` needs it.
#[test]
fn commands_say_what_is_there() {
    let home = Home::new();
    home.write("kong.yml", &log_to(&home));
    let commands: [&[&str]; 6] = [
        &["check", "odd"],
        &["check", "kong.yml", "--settings", "odd"],
        &["try", "kong.yml", "--transaction", "odd"],
        &["test", "odd"],
        &["sandbox", "odd"],
        &["run", "odd"],
    ];
    for (kind, expected) in KINDS.iter().filter(|(kind, _)| *kind != "pipe") {
        put(kind, &home.path("odd"));
        // A transaction file may be larger, and a directory of scripts is read.
        let is_taken = |command: &[&str]| {
            (command[0] == "try" && *kind == "huge") || (command[0] == "sandbox" && *kind == "directory")
        };
        for command in commands.into_iter().filter(|command| !is_taken(command)) {
            let ended = home.run(command, b"");
            let expected = match (*kind, command[0]) {
                ("device", "try") => "it is larger than 1024 MiB",
                ("device", _) => "it is larger than 256 MiB",
                _ => expected,
            };
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(ended.code() > 0 && said.contains(expected), "{command:?} on a {kind}: {said}");
        }
        remove(&home.path("odd"));
    }
    let checked = home.run(&["check", "/dev/stdin"], log_to(&home).as_bytes());
    assert_eq!(checked.code(), 0, "{}{}", checked.stdout, checked.stderr);
}

/// Scenario: a pipe is in the place of the lock of the data directory when a service starts.
/// Guarantees: the service does not wait for a writer: it refuses to start, and says what is wrong.
#[test]
fn the_lock_is_no_pipe() {
    let home = Home::new().set("LOGPHASE_QUEUE_DURABILITY", "disk");
    home.write("kong.yml", &log_to(&home));
    std::fs::create_dir_all(home.path("data/queues")).unwrap();
    put("pipe", &home.path("data/queues/lock"));
    let ended = home.run(&["run", "kong.yml"], b"");
    assert!(ended.code() > 0 && ended.stderr.contains("is not a regular file; remove it"), "{}", ended.stderr);
}
