//! SIGTERM, SIGINT and SIGHUP.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::service::{Home, Load, Messages, Service, Signal, TcpPeer, configuration, transaction, wait_until};

fn stop_under_load(signal: Signal) {
    let peer = TcpPeer::start();
    let home = Home::new();
    home.write(
        "kong.yml",
        &configuration(&json!([
            {"name": "file-log", "config": {"path": home.text("messages.log")}},
            {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}},
        ])),
    );
    let mut service = home.start();
    let load = Load::start(service.home.http);
    load.await_more(300);
    service.signal(signal);
    assert_eq!(service.wait(), 0);
    let sent = load.finish();
    assert!(sent.refused.iter().all(|(_, status)| *status == 503), "{:?}", sent.refused);
    let file = Messages::read(&service.home.path("messages.log"));
    file.assert_once(&sent.accepted);
    wait_until("the receiver has read everything", || peer.messages().missing(&sent.accepted).is_empty());
    peer.messages().assert_once(&sent.accepted);
    for (id, _) in sent.refused {
        assert!(!file.counts.contains_key(&id), "{id} was answered 503 and delivered all the same");
    }
}

/// Scenario: SIGTERM under load, with a file and a TCP receiver.
/// Guarantees: exit code 0; everything answered 200 is delivered, once; nothing answered 503 is.
#[test]
fn sigterm_under_load() {
    stop_under_load(Signal::TERM);
}

/// Scenario: SIGINT, as Ctrl-C sends it, under load.
/// Guarantees: the same.
#[test]
fn sigint_under_load() {
    stop_under_load(Signal::INT);
}

/// Scenario: SIGTERM with five messages for an unavailable receiver, and a deadline of a second.
/// Guarantees: the service ends soon after the deadline with a non-zero exit code, and logs how many messages are left
/// for which plugin.
#[test]
fn deadline_with_a_dead_peer() {
    let peer = TcpPeer::absent();
    let kong = configuration(&json!([{"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}}]));
    let home = Home::with(&kong).set("LOGPHASE_QUEUE_DURABILITY", "memory").set("LOGPHASE_QUEUE_SPILL", "false");
    let mut service = home.set("LOGPHASE_SHUTDOWN_TIMEOUT", "1").start();
    service.accept(Value::from((0..5).map(transaction).collect::<Vec<_>>()).to_string());
    let start = Instant::now();
    assert_ne!(service.stop(), 0);
    let took = start.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&took), "{took:?}");
    let log = service.log();
    let said =
        log.lines().any(|line| line.contains("tcp-log") && line.contains("undelivered") && line.contains("entries=5"));
    assert!(said, "nothing says that 5 were left");
}

fn generation(home: &Home, peer: &TcpPeer, number: usize) -> String {
    let fields = |name: &str| json!({name: format!("return {number}")});
    configuration(&json!([
        {"name": "file-log", "config": {"path": home.text("messages.log"), "custom_fields_by_lua": fields("by_file")}},
        {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port, "custom_fields_by_lua": fields("by_tcp")}},
    ]))
}

fn file(service: &Service) -> Vec<Value> {
    let text = std::fs::read(service.home.path("messages.log")).unwrap_or_default();
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Scenario: the configuration changes six times under load, each time with SIGHUP; a field of every plugin names the
/// configuration.
/// Guarantees: each change takes effect; every message has the fields of one configuration, in the file and over TCP;
/// none is lost or duplicated, no request is refused, the TCP connection stays.
#[test]
fn sighup_swaps_the_configuration() {
    let peer = TcpPeer::start();
    let home = Home::new();
    home.write("kong.yml", &generation(&home, &peer, 0));
    let mut service = home.start();
    let load = Load::start(service.home.http);
    load.await_more(100);
    for number in 1..=6 {
        service.home.write("kong.yml", &generation(&service.home, &peer, number));
        service.signal(Signal::HUP);
        let seen = || file(&service).last().is_some_and(|message| message["by_file"] == json!(number));
        wait_until(&format!("configuration {number} is in use"), seen);
        load.await_more(50);
    }
    let sent = load.finish();
    assert!(sent.refused.is_empty() && sent.unanswered.is_empty(), "{:?} {:?}", sent.refused, sent.unanswered);
    assert_eq!(service.stop(), 0);
    wait_until("the receiver has read everything", || peer.messages().missing(&sent.accepted).is_empty());
    peer.messages().assert_once(&sent.accepted);
    Messages::read(&service.home.path("messages.log")).assert_once(&sent.accepted);
    let in_file = file(&service);
    for message in &in_file {
        assert!(message.get("by_tcp").is_none() && message["by_file"].is_u64(), "{message}");
    }
    for line in peer.lines() {
        let message: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(message["by_file"], message["by_tcp"], "{message}");
    }
    for number in 0..=6 {
        assert!(in_file.iter().any(|message| message["by_file"] == json!(number)), "nothing of configuration {number}");
    }
}

/// Scenario: each of fifty configurations under load writes to its own file and sends to the TCP receiver on its own
/// connection (the timeout differs).
/// Guarantees: transactions accepted before and during a change go to exactly one of the files, complete; the same over
/// TCP; no request is refused because of the change.
#[test]
fn sighup_changes_the_sinks() {
    let peer = TcpPeer::start();
    let home = Home::new();
    let configure = |home: &Home, number: usize| {
        configuration(&json!([
            {"name": "file-log", "config": {"path": home.text(&format!("{number}.log"))}},
            {"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port, "timeout": 5000 + number}},
        ]))
    };
    home.write("kong.yml", &configure(&home, 0));
    let mut service = home.set("LOGPHASE_WORKERS", "4").start();
    let load = Load::start(service.home.http);
    load.await_more(20);
    for number in 1..=50 {
        service.home.write("kong.yml", &configure(&service.home, number));
        service.signal(Signal::HUP);
        let path = service.home.path(&format!("{number}.log"));
        wait_until("the new file is in use", || path.exists());
        load.await_more(10);
    }
    let sent = load.finish();
    assert!(sent.refused.is_empty() && sent.unanswered.is_empty(), "{:?} {:?}", sent.refused, sent.unanswered);
    assert_eq!(service.stop(), 0);
    let mut all = Vec::new();
    for number in 0..=50 {
        let bytes = std::fs::read(service.home.path(&format!("{number}.log"))).unwrap();
        assert!(bytes.ends_with(b"\n"));
        all.extend(bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
    }
    Messages::of(all).assert_once(&sent.accepted);
    wait_until("the receiver has read everything", || peer.messages().missing(&sent.accepted).is_empty());
    peer.messages().assert_once(&sent.accepted);
}

/// Scenario: messages wait for an unavailable receiver; SIGHUP configures another receiver and another bound of the
/// queue, so that there are two queues. The same with both receivers unavailable; then SIGTERM.
/// Guarantees: all messages reach the new receiver, and none the old one when it returns; at the end, the log also
/// names what is left in the old queue.
#[test]
fn sighup_leaves_nobody_behind() {
    for there in [true, false] {
        let mut first = TcpPeer::absent();
        let second = if there { TcpPeer::start() } else { TcpPeer::absent() };
        let configure = |peer: &TcpPeer, bound: usize| {
            let config = json!({"host": "127.0.0.1", "port": peer.port, "queue": {"max_entries": bound}});
            configuration(&json!([{"name": "tcp-log", "config": config}]))
        };
        let home = Home::with(&configure(&first, 100)).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1");
        let home = home.set("LOGPHASE_QUEUE_DURABILITY", "memory").set("LOGPHASE_QUEUE_SPILL", "false");
        let mut service = home.set("LOGPHASE_SHUTDOWN_TIMEOUT", if there { "20" } else { "1" }).start();
        service.accept(Value::from((0..5).map(transaction).collect::<Vec<_>>()).to_string());
        service.home.write("kong.yml", &configure(&second, 200));
        service.signal(Signal::HUP);
        wait_until("the new configuration is applied", || service.has_logged("reloaded"));
        service.accept(Value::from((5..8).map(transaction).collect::<Vec<_>>()).to_string());
        if there {
            second.wait_for(8);
            first.restart();
            assert_eq!(service.stop(), 0);
        } else {
            assert_eq!(service.stop(), 1);
            assert!(service.has_logged("entries=5") && service.has_logged("entries=3"), "nothing says what was left");
        }
        assert_eq!(first.messages().counts, [].into());
        assert_eq!(second.messages().counts, if there { (0..8).map(|id| (id, 1)).collect() } else { [].into() });
    }
}

/// Scenario: an unavailable receiver, a queue of ten, a hundred lines over TCP that wait for space, then SIGTERM with a
/// deadline of two seconds.
/// Guarantees: one deadline for inputs and delivery together; the log names what is left and what was not accepted.
#[test]
fn deadline_with_a_waiting_input() {
    let (peer, port) = (TcpPeer::absent(), crate::service::free_port());
    let kong = configuration(&json!([{"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}}]));
    let home = Home::with(&kong).set("LOGPHASE_TCP_LISTEN", format!("127.0.0.1:{port}"));
    let home = home.set("LOGPHASE_QUEUE_DURABILITY", "memory").set("LOGPHASE_QUEUE_SPILL", "false");
    let mut service = home.set("LOGPHASE_SHUTDOWN_TIMEOUT", "2").set("LOGPHASE_QUEUE_MAX_ENTRIES", "10").start();
    let mut input = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let lines: String = (0..100).map(|id| format!("{}\n", transaction(id))).collect();
    std::io::Write::write_all(&mut input, lines.as_bytes()).unwrap();
    wait_until("the queue is full", || service.post(transaction(1000).to_string()).status == 429);
    let start = Instant::now();
    assert_eq!(service.stop(), 1);
    let took = start.elapsed();
    assert!(took < Duration::from_millis(3500), "{took:?}");
    assert!(service.has_logged("entries=10"), "nothing says that 10 were left");
    assert!(service.has_logged("lost"), "nothing says that some were not taken");
}

/// Scenario: SIGHUP with a file that is not YAML, one with a misspelt plugin, one whose Lua does not compile, one that
/// does not fit the Lua VMs, one for a sink that cannot be opened; then a valid one.
/// Guarantees: each time the log shows the errors with place and code, and the old configuration continues unchanged;
/// the valid one is then applied.
#[test]
fn sighup_with_a_broken_file() {
    let peer = TcpPeer::start();
    let home = Home::new();
    home.write("kong.yml", &generation(&home, &peer, 1));
    let mut service =
        home.set("LOGPHASE_LUA_MEMORY_LIMIT", "2MiB").set("LOGPHASE_LUA_MAX_SOURCE_BYTES", "8MiB").start();
    let mut next = 0..;
    let check = |service: &Service, next: &mut std::ops::RangeFrom<u64>, number: u64| {
        let id = next.next().unwrap();
        service.accept(transaction(id).to_string());
        peer.wait_for(usize::try_from(id).unwrap() + 1);
        let message: Value = serde_json::from_slice(peer.lines().last().unwrap()).unwrap();
        assert_eq!((&message["by_tcp"], message["request"]["id"].as_str()), (&json!(number), Some(&*id.to_string())));
    };
    check(&service, &mut next, 1);
    let good = generation(&service.home, &peer, 2);
    let large = "x".repeat(4 << 20);
    for (broken, code) in [
        ("plugins: [\n".to_owned(), "K0001"),
        (good.replace("tcp-log", "tpc-log"), "K0202"),
        (good.replace("return 2", "return ("), "K0301"),
        // The address differs, so that the plugin would get another queue.
        (good.replace("127.0.0.1", "127.0.0.2").replace("return 2", &format!("return '{large}'")), "lua.memory_limit"),
        // Only the sink detects this, after others were opened.
        (configuration(&json!([{"name": "http-log", "config": {"http_endpoint": "ftp://127.0.0.1"}}])), "or https://"),
    ] {
        service.home.write("kong.yml", &broken);
        let before = service.count_logged(code);
        service.signal(Signal::HUP);
        wait_until(&format!("{code} is shown"), || service.count_logged(code) > before);
        assert!(service.has_logged("kong.yml"));
        check(&service, &mut next, 1);
    }
    service.home.write("kong.yml", &good);
    service.signal(Signal::HUP);
    let taken = |service: &Service| file(service).last().is_some_and(|message| message["by_file"] == json!(2));
    let start = Instant::now();
    while !taken(&service) {
        assert!(start.elapsed() < crate::service::TIMEOUT, "the good file is not taken");
        let id = next.next().unwrap();
        service.accept(transaction(id).to_string());
        peer.wait_for(usize::try_from(id).unwrap() + 1);
    }
    assert_eq!(service.stop(), 0);
}
