//! The log of the service during floods, and when nothing reads it.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::service::{Client, Home, Service, Signal, configuration, free_port, transaction, wait_until};

fn set_open_files(service: &Service, limit: u64) -> Rlimit {
    let id = i32::try_from(service.id()).ok().and_then(Pid::from_raw);
    let old = rustix::process::getrlimit(Resource::Nofile);
    prlimit(id, Resource::Nofile, Rlimit { current: Some(limit), maximum: old.maximum }).unwrap()
}

/// Scenario: thousands of bad lines, datagrams and requests, hundreds of transactions whose snippet fails and whose
/// destination refuses connections, and no free descriptor for a connection for more than ten seconds.
/// Guarantees: the log has few lines, each with the number of occurrences; afterwards the service works normally.
#[test]
fn a_flood_is_few_lines() {
    let [tcp, udp] = [free_port(), free_port()];
    let home = Home::new()
        .set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{tcp}"))
        .set("LOGPHASE_UDP_LISTEN", format!("127.0.0.1:{udp}"));
    let endpoint = format!("http://127.0.0.1:{}/", free_port());
    home.write(
        "kong.yml",
        &configuration(&json!([{"name": "http-log", "config": {
            "http_endpoint": endpoint, "queue": {"initial_retry_delay": 0.01, "max_retry_delay": 0.02},
            "custom_fields_by_lua": {"a": "error('no such luck')"}}}])),
    );
    let mut service = home.start();
    let mut client = service.client();
    let mut lines = TcpStream::connect(("127.0.0.1", tcp)).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut flood = |times: usize| {
        for _ in 0..times {
            lines.write_all(b"this is no JSON\n").unwrap();
            datagrams.send_to(b"nor is this", ("127.0.0.1", udp)).unwrap();
            assert_eq!(client.post(b"nor this").unwrap().status, 400);
            assert_eq!(client.post(transaction(1).to_string().as_bytes()).unwrap().status, 200);
        }
    };
    flood(500);
    let open = std::fs::read_dir(format!("/proc/{}/fd", service.id())).unwrap().count() as u64;
    let old = set_open_files(&service, open);
    let waiting: Vec<_> = (0..3).map(|_| TcpStream::connect(("127.0.0.1", tcp)).unwrap()).collect();
    let counted = |what: &str| {
        service.log().lines().any(|line| {
            let count = ["suppressed=", "times="].iter().find_map(|name| line.split_once(name));
            let count = count.map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
            line.contains(what) && count.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count > 20)
        })
    };
    wait_until("failed accepts are logged with a count", || counted("cannot accept a connection"));
    set_open_files(&service, old.current.unwrap_or(1024));
    drop(waiting);
    flood(5);
    wait_until("bad lines are logged with a count", || counted("line not taken"));
    wait_until("bad datagrams are logged with a count", || counted("input=\"udp\""));
    wait_until("failed snippets are logged with a count", || counted("a Lua snippet failed"));
    wait_until("failed deliveries are logged with a count", || {
        counted("connection refused") || counted("onnection refused")
    });
    let lines = service.log().lines().count();
    assert!(lines < 150, "{lines} lines");
    service.post(transaction(2).to_string());
    assert!(service.is_running());
}

/// A service with a full pipe without a reader as standard error, and with Lua that logs.
fn unread(home: &Home) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logphase"));
    command.args(["run", "kong.yml"]).current_dir(home.path(".")).env_clear();
    command.env("LOGPHASE_DATA_DIR", home.path("data")).env("LOGPHASE_LUA_LOG_PER_SECOND", "1000000");
    command.env("LOGPHASE_HTTP_LISTEN", format!("127.0.0.1:{}", home.http)).env("LOGPHASE_LUA_DEADLINE_MS", "2000");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    wait_until("the service listens", || Client::connect(home.http).is_ok());
    let mut client = Client::connect(home.http).unwrap();
    for id in 0..60 {
        let answer = client.post(transaction(id).to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(child.try_wait().unwrap().is_none());
        // Threads of inputs log, too.
        assert_eq!(client.post(b"no JSON").unwrap().status, 400);
    }
    child
}

/// Scenario: the service logs far more than fits into the unread pipe of its standard error; then the pipe is read. A
/// second service stops while its pipe is not read.
/// Guarantees: the service keeps answering; when the log is read, it reports the number of missing lines; the second
/// service stops normally.
#[test]
fn nobody_reads() {
    let home = Home::new();
    let line = "x".repeat(1000);
    let snippet = format!("for i = 1, 50 do kong.log.err('{line}') end return 1");
    home.write(
        "kong.yml",
        &configuration(&json!([{"name": "file-log", "config": {
            "path": home.text("messages.log"), "custom_fields_by_lua": {"a": snippet}}}])),
    );
    let mut child = unread(&home);
    let mut stderr = child.stderr.take().unwrap();
    let mut said = Vec::new();
    let missing = b"log lines are missing here";
    wait_until("the log reports missing lines", || {
        let mut some = vec![0; 65_536];
        let length = stderr.read(&mut some).unwrap();
        said.extend_from_slice(&some[..length]);
        said.windows(missing.len()).any(|window| window == missing)
    });
    drop(stderr);
    stop(&mut child);
    let mut child = unread(&home);
    let held = child.stderr.take();
    stop(&mut child);
    drop(held);
}

#[track_caller]
fn stop(child: &mut Child) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
    rustix::process::kill_process(id, Signal::TERM).unwrap();
    let mut status = None;
    wait_until("the service has stopped", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}
