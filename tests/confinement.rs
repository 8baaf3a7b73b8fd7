//! The seccomp filter, the Landlock rules and the circuit breaker of snippets, seen from outside.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::service::{Home, Messages, Service, Signal, configuration, free_port, transaction, wait_until};

fn file_log(home: &Home, fields: &Value) -> String {
    let config = json!({"path": home.text("messages.log"), "custom_fields_by_lua": fields});
    configuration(&json!([{"name": "file-log", "config": config}]))
}

/// The answer to `GET` on a local port: status code and body.
fn get(port: u16, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// A field of `/proc/PID/task/TID/status` for each thread of a service, with the thread's name.
fn threads(service: &Service, field: &str) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", service.id())).unwrap();
    let read = |task: std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    tasks.filter_map(|task| read(task.unwrap())).collect()
}

/// Scenario: a running service with two workers, and one whose settings disable both sandbox layers.
/// Guarantees: every thread is behind the refusals of the process, and workers, the clock, the threads of queues on disk and
/// of the log have a filter of their own; the status shows the active layers; without them, no thread has a filter. Both
/// services deliver.
#[test]
fn workers_are_behind_a_filter() {
    for on in [true, false] {
        let port = free_port();
        let home = Home::new();
        home.write("kong.yml", &file_log(&home, &json!({"a": "return 1"})));
        let home = home.set("LOGPHASE_QUEUE_DURABILITY", "disk");
        let walls = if on { "true" } else { "false" };
        let home = home.set("LOGPHASE_WORKERS", "2").set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{port}"));
        let home = home.set("LOGPHASE_CONFINEMENT_SECCOMP", walls).set("LOGPHASE_CONFINEMENT_LANDLOCK", walls);
        let mut service = home.start();
        let seccomp = threads(&service, "Seccomp");
        assert!(seccomp.iter().all(|(_, mode)| mode == if on { "2" } else { "0" }), "{seccomp:?}");
        let filters = threads(&service, "Seccomp_filters");
        let own = ["worker-0", "worker-1", "clock", "flusher", "flusher", "log"];
        let mut named: Vec<_> = filters.iter().filter(|(name, _)| own.contains(&name.as_str())).collect();
        named.sort();
        let names: Vec<_> = named.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["clock", "flusher", "flusher", "log", "worker-0", "worker-1"], "{filters:?}");
        let process = filters.iter().find(|(name, _)| name == "logphase").map(|(_, count)| count);
        assert!(named.iter().all(|(_, count)| (Some(count) > process) == on), "{filters:?}");
        let wall = if on { "on" } else { "off" };
        assert_eq!(get(port, "/status").1["sandbox"], json!({"seccomp": wall, "landlock": wall}));
        for id in 0..20 {
            service.accept(transaction(id).to_string());
        }
        assert_eq!(get(port, "/status").1["transactions"], 20);
        assert_eq!(get(port, "/other").0, 404);
        assert_eq!(service.stop(), 0);
        Messages::read(&service.home.path("messages.log")).assert_once(&(0..20).collect());
    }
}

/// Scenario: a snippet that logs and one that fails, on workers that are not allowed to write.
/// Guarantees: their lines are in the service's log before it ends.
#[test]
fn confined_workers_are_heard() {
    let home = Home::new();
    home.write("kong.yml", &file_log(&home, &json!({"a": "kong.log.warn('over here')", "b": "error('no such luck')"})));
    let mut service = home.start();
    service.accept(transaction(1).to_string());
    assert_eq!(service.stop(), 0);
    assert!(service.has_logged("over here") && service.has_logged("no such luck"), "{}", service.log());
}

/// Scenario: a reload adds a plugin whose file is in another directory; then the service restarts with this directory
/// in `confinement.paths` and reloads again.
/// Guarantees: the first reload is refused with the place and what to do, and the old configuration stays; the second
/// is applied.
#[test]
fn a_reload_cannot_reach_further() {
    let elsewhere = tempfile::TempDir::new().unwrap();
    let path = elsewhere.path().join("new.log");
    let home = Home::new();
    let old = file_log(&home, &json!({}));
    let new = configuration(&json!([{"name": "file-log", "config": {"path": path}}]));
    home.write("kong.yml", &old);
    let mut service = home.start();
    service.home.write("kong.yml", &new);
    service.signal(Signal::HUP);
    wait_until("the reload is refused", || service.has_logged("K0210"));
    wait_until("the log says what to do", || service.has_logged("confinement.paths"));
    service.accept(transaction(1).to_string());
    assert_eq!(service.stop(), 0);
    Messages::read(&service.home.path("messages.log")).assert_once(&[1].into());

    let home = Home::with(&old).set("LOGPHASE_CONFINEMENT_PATHS", elsewhere.path().to_str().unwrap());
    let mut service = home.start();
    service.home.write("kong.yml", &new);
    service.signal(Signal::HUP);
    wait_until("the reload is applied", || service.has_logged("reloaded"));
    service.accept(transaction(2).to_string());
    assert_eq!(service.stop(), 0);
    Messages::read(&path).assert_once(&[2].into());
}

/// Scenario: a field that never ends beside a valid one, for more transactions than may time out in a row; after the
/// suspension the field behaves.
/// Guarantees: the snippet is suspended, and the log and the status show it; every message is sent with the valid
/// field; afterwards the snippet runs again.
#[test]
fn a_snippet_that_times_out_is_suspended() {
    let port = free_port();
    let home = Home::new();
    let endless = "if kong.request.get_header('h1') == 'v99' then return 'well' end while true do end";
    home.write("kong.yml", &file_log(&home, &json!({"bad": endless, "good": "return 'yes'"})));
    let home = home.set("LOGPHASE_LUA_DEADLINE_MS", "20").set("LOGPHASE_LUA_SUSPEND_AFTER", "3");
    let home = home.set("LOGPHASE_LUA_SUSPEND_FOR", "6").set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{port}"));
    let mut service = home.set("LOGPHASE_WORKERS", "1").start();
    for id in 0..5 {
        service.accept(transaction(id).to_string());
    }
    let logged = || service.has_logged("a Lua snippet is suspended for 6s") && service.has_logged("kong.yml");
    wait_until("the log says that it is suspended", logged);
    let bad = |port| get(port, "/status").1["plugins"][0]["snippets"][0].clone();
    let status = bad(port);
    assert_eq!((&status["field"], &status["stopped"]["time"]), (&json!("bad"), &json!(3)));
    assert_eq!((&status["errors"], &status["left_out"]), (&json!(5), &json!(2)), "{status}");
    assert!(status["suspended_for_seconds"].as_f64().unwrap() >= 1.0, "{status}");
    wait_until("the suspension is over", || bad(port)["suspended_for_seconds"].is_null());
    service.accept(transaction(99).to_string());
    wait_until("the log reports the recovery", || service.has_logged("a Lua snippet that was suspended has succeeded"));
    assert_eq!(service.stop(), 0);
    let messages = std::fs::read_to_string(service.home.path("messages.log")).unwrap();
    let messages: Vec<Value> = messages.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(messages.len() == 6 && messages.iter().all(|message| message["good"] == "yes"));
    assert_eq!(messages[5]["bad"], "well");
}

/// Scenario: a service as it starts by default, and one with `confinement.core_dumps`.
/// Guarantees: the first leaves no core dump and cannot be traced by its user; the second is as the system has it.
#[test]
fn core_dumps_are_off() {
    for on in [false, true] {
        let home = Home::new();
        home.write("kong.yml", &file_log(&home, &json!({})));
        let mut service = home.set("LOGPHASE_CONFINEMENT_CORE_DUMPS", if on { "true" } else { "false" }).start();
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.id())).unwrap();
        let limit = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let words: Vec<_> = limit.split_whitespace().skip(4).take(2).collect();
        let own = std::fs::read_to_string("/proc/self/limits").unwrap();
        let as_here = own.lines().any(|line| line == limit);
        assert!(if on { as_here } else { words == ["0", "0"] }, "{limit}");
        // The system gives the files of a process that cannot be dumped to root; its user is told apart only without root.
        let mut fresh = std::process::Command::new("test");
        let traced = fresh.arg("-O").arg(format!("/proc/{}/environ", service.id())).status().unwrap().success();
        assert!(traced == on || rustix::process::geteuid().is_root(), "{traced}");
        service.accept(transaction(1).to_string());
        assert_eq!(service.stop(), 0);
    }
}

/// Scenario: a service whose data directory does not exist, and one whose data directory does; `files.mode` by default and
/// set.
/// Guarantees: a new data directory is for its owner only, one that exists stays as it is; the file of file-log has 0644 as
/// Kong's, or what the setting says.
#[test]
fn files_are_for_whom_they_should_be() {
    use std::os::unix::fs::PermissionsExt;
    for (mode, expected) in [(None, 0o644), (Some("0600"), 0o600)] {
        let mut home = Home::new();
        home.write("kong.yml", &file_log(&home, &json!({})));
        if let Some(mode) = mode {
            home.change("LOGPHASE_FILES_MODE", mode);
            std::fs::create_dir(home.path("data")).unwrap();
            std::fs::set_permissions(home.path("data"), std::fs::Permissions::from_mode(0o750)).unwrap();
        }
        let mut service = home.start();
        service.accept(transaction(1).to_string());
        let mode_of = |name: &str| std::fs::metadata(service.home.path(name)).unwrap().permissions().mode() & 0o777;
        wait_until("the message is in the file", || service.home.path("messages.log").exists());
        assert_eq!(mode_of("messages.log"), expected);
        assert_eq!(mode_of("data"), if mode.is_some() { 0o750 } else { 0o700 });
        assert_eq!(service.stop(), 0);
    }
}
