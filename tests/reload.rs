//! A service that reloads its configuration when the files change: no message is lost, duplicated, or has fields of two
//! configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::service::{
    Home, Load, Messages, Nginx, Scrape, Signal, TcpPeer, configuration, free_port, id_of, transaction, wait_until,
};

/// A directory as the kubelet mounts a ConfigMap: each file is a link into the directory that the link `..data` points to.
struct Volume {
    number: usize,
}

impl Volume {
    fn make(home: &Home, text: &str) -> Self {
        std::fs::create_dir(home.path("etc")).unwrap();
        let mut volume = Self { number: 0 };
        volume.change(home, text);
        symlink("..data/kong.yml", home.path("etc/kong.yml")).unwrap();
        volume
    }

    /// Writes a new directory, replaces the link, and removes the old directory.
    fn change(&mut self, home: &Home, text: &str) {
        let folder = |number: usize| format!("..2026_{number}");
        let etc = home.path("etc");
        let (old, new) = (folder(self.number), folder(self.number + 1));
        std::fs::create_dir(etc.join(&new)).unwrap();
        std::fs::write(etc.join(&new).join("kong.yml"), text).unwrap();
        symlink(&new, etc.join("..data_tmp")).unwrap();
        std::fs::rename(etc.join("..data_tmp"), etc.join("..data")).unwrap();
        let _ = std::fs::remove_dir_all(etc.join(old));
        self.number += 1;
    }
}

/// A test directory whose files are checked often, and the port of the status listener.
fn home() -> (Home, u16) {
    let status = free_port();
    let home = Home::new().set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    (home.set("LOGPHASE_RELOAD_INTERVAL", "20ms"), status)
}

fn reloads(status: u16, result: &str) -> f64 {
    Scrape::of(status).sum("logphase_reloads_total", &[("result", result)])
}

#[track_caller]
fn wait_for_reload(status: u16, result: &str, count: usize) {
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    wait_until(&format!("reload {count} is {result}"), || reloads(status, result) >= count as f64);
}

/// Three plugins, each of which writes the version into two fields. Each version also replaces the sinks of http-log and
/// file-log. The sink of tcp-log stays: a receiver reads two connections concurrently, which would lose the order.
fn version(home: &Home, tcp: &TcpPeer, http: &Nginx, number: usize) -> String {
    let fields = |name: &str| {
        let one = |part: &str| (format!("{name}_{part}"), json!(format!("return {number}")));
        Value::from_iter([one("a"), one("b")])
    };
    configuration(&json!([
        {"name": "http-log", "config": {
            "http_endpoint": format!("http://127.0.0.1:{}/", http.port), "timeout": 10_000 + number,
            "queue": {"max_batch_size": 50, "max_coalescing_delay": 0.01}, "custom_fields_by_lua": fields("http"),
        }},
        {"name": "file-log", "config": {
            "path": home.text("messages.log"), "reopen": number.is_multiple_of(2), "custom_fields_by_lua": fields("file"),
        }},
        {"name": "tcp-log", "config": {
            "host": "127.0.0.1", "port": tcp.port, "custom_fields_by_lua": fields("tcp"),
        }},
    ]))
}

/// The version of a message that has the fields of these plugins.
#[track_caller]
fn version_of(message: &Value, plugins: &[&str]) -> u64 {
    let fields = plugins.iter().flat_map(|name| ["a", "b"].map(|part| message[format!("{name}_{part}")].as_u64()));
    let versions: BTreeSet<_> = fields.collect();
    match versions.iter().collect::<Vec<_>>()[..] {
        [Some(one)] => *one,
        _ => panic!("of several versions: {message}"),
    }
}

/// Fails unless the messages of each sender and the versions arrived in order. Returns the versions.
#[track_caller]
fn assert_order(messages: &[Value], plugins: &[&str]) -> BTreeSet<u64> {
    let mut last = BTreeMap::new();
    let mut versions = BTreeSet::new();
    for message in messages {
        let (id, version) = (id_of(message).unwrap(), version_of(message, plugins));
        let before = last.insert(id / 1_000_000, (id, version));
        let follows = before.is_none_or(|(id_before, version_before)| id_before < id && version_before <= version);
        assert!(follows, "{id} of {version} came after {before:?}");
        versions.insert(version);
    }
    versions
}

/// Scenario: senders over HTTP, and a configuration that changes 32 times as in Kubernetes, each version with two marked
/// fields for every plugin and new sinks for two of them; some versions are invalid.
/// Guarantees: each change is applied without a signal; the invalid ones are refused, counted and reported once each; every
/// transaction is answered 200 and arrives once at every sink, with the fields of one version, in the order of its sender.
#[test]
fn changed_under_load() {
    let (tcp, http) = (TcpPeer::start(), Nginx::start(""));
    let (home, status) = home();
    let mut volume = Volume::make(&home, &version(&home, &tcp, &http, 0));
    let mut service = home.set("LOGPHASE_WORKERS", "4").start_with(&["run", "etc/kong.yml"]);
    let load = Load::start(service.home.http);
    load.await_more(20);
    let mut refused = 0;
    for number in 1..=32 {
        let text = version(&service.home, &tcp, &http, number);
        if number % 4 == 0 {
            refused += 1;
            volume.change(&service.home, &text.replace("tcp-log", "tpc-log"));
            wait_for_reload(status, "refused", refused);
            load.await_more(10);
        }
        volume.change(&service.home, &text);
        wait_for_reload(status, "applied", number);
        load.await_more(20);
    }
    let sent = load.finish();
    assert!(sent.refused.is_empty() && sent.unanswered.is_empty(), "{:?} {:?}", sent.refused, sent.unanswered);
    assert_eq!([reloads(status, "applied"), reloads(status, "refused")], [32.0, 8.0]);
    assert_eq!(service.count_logged("error[K0202]"), 8, "each is shown once");
    assert_eq!(service.stop(), 0);

    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let file = std::fs::read(service.home.path("messages.log")).unwrap();
    Messages::of(file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())).assert_once(&sent.accepted);
    let file: Vec<_> = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(read).collect();
    assert_eq!(assert_order(&file, &["http", "file"]), (0..=32).collect());

    let posted: Vec<Value> = http.taken().iter().flat_map(|request| request.messages()).collect();
    Messages::of(posted.iter().map(Value::to_string)).assert_once(&sent.accepted);
    assert_eq!(assert_order(&posted, &["http"]), (0..=32).collect());

    wait_until("the peer has read everything", || tcp.messages().missing(&sent.accepted).is_empty());
    tcp.messages().assert_once(&sent.accepted);
    assert_eq!(tcp.connections(), 1);
    let lines: Vec<_> = tcp.lines().iter().map(|line| read(line)).collect();
    assert_eq!(assert_order(&lines, &["http", "file", "tcp"]), (0..=32).collect());
}

fn tcp_log(port: u16, max_entries: usize) -> String {
    let config = json!({"host": "127.0.0.1", "port": port, "queue": {"max_entries": max_entries}});
    let id = "0f4f1c2e-3b1a-4f6e-8c7d-2a1b3c4d5e6f";
    configuration(&json!([{"name": "tcp-log", "id": id, "config": config}]))
}

fn ids(peer: &TcpPeer) -> Vec<u64> {
    peer.lines().iter().map(|line| id_of(&serde_json::from_slice(line).unwrap()).unwrap()).collect()
}

/// Scenario: forty messages wait for a port without a listener, in memory and on disk, with pauses of an hour between
/// attempts; the port is corrected in the file; more messages follow. The same with another bound of the queue, which
/// requires a new queue.
/// Guarantees: all messages arrive at the right port at once, in order; with two queues, each in its order.
#[test]
fn corrected_port() {
    for (durability, bound) in [("memory", 500), ("disk", 500), ("memory", 400), ("disk", 400)] {
        let (wrong, peer) = (TcpPeer::absent(), TcpPeer::start());
        let (home, _) = home();
        home.write("kong.yml", &tcp_log(wrong.port, 500));
        let home = home.set("LOGPHASE_QUEUE_DURABILITY", durability).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "1h");
        let mut service = home.set("LOGPHASE_QUEUE_INITIAL_RETRY_DELAY", "1h").start();
        for id in 0..40 {
            service.accept(transaction(id).to_string());
        }
        wait_until("the log names the port", || service.has_logged(&format!("127.0.0.1:{}", wrong.port)));
        service.home.write("kong.yml", &tcp_log(peer.port, bound));
        wait_until("it is reloaded", || service.has_logged("configuration reloaded"));
        for id in 40..50 {
            service.accept(transaction(id).to_string());
        }
        peer.wait_for(50);
        let came = ids(&peer);
        if bound == 500 {
            assert_eq!(came, (0..50).collect::<Vec<_>>());
        } else {
            let (first, second): (Vec<u64>, Vec<u64>) = came.into_iter().partition(|id| *id < 40);
            assert_eq!((first, second), ((0..40).collect(), (40..50).collect()));
        }
        assert_eq!(service.stop(), 0);
    }
}

/// Overwrites a file without emptying it first, so that no reader sees a part of it. `text` is longer than what was there, by
/// line ends.
fn write_in_place(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    assert!(file.metadata().unwrap().len() <= 80);
    file.write_all(format!("{text:\n<80}").as_bytes()).unwrap();
}

/// Scenario: a settings file is created with settings that a reload applies and one that needs a restart; it becomes
/// invalid, is repaired, and turns watching off; then the configuration changes, and SIGHUP is sent twice.
/// Guarantees: each change of the settings is applied without a signal, and the log names the setting that needs a restart;
/// without watching only SIGHUP reads the files; a reload without a change counts as unchanged.
#[test]
fn settings_are_watched_too() {
    let (peer, second) = (TcpPeer::start(), TcpPeer::start());
    let (home, status) = home();
    home.write("kong.yml", &tcp_log(peer.port, 500));
    let mut service = home.start();
    let settings = service.home.path("logphase.yml");
    service.home.write("logphase.yml", "workers: 3\nlimits: {max_depth: 9}\nlua: {suspend_after: 3}\n");
    wait_for_reload(status, "applied", 1);
    wait_until("it says what needs a restart", || service.has_logged("workers, limits: changed in the settings"));
    write_in_place(&settings, "wokers: 3\n");
    wait_for_reload(status, "refused", 1);
    wait_until("the mistake is shown", || service.has_logged("wokers"));
    write_in_place(&settings, "reload: {watch: false}\n");
    wait_for_reload(status, "applied", 2);
    service.home.write("kong.yml", &tcp_log(second.port, 500));
    service.signal(Signal::HUP);
    wait_for_reload(status, "applied", 3);
    service.signal(Signal::HUP);
    wait_for_reload(status, "unchanged", 1);
    service.accept(transaction(1).to_string());
    second.wait_for(1);
    assert_eq!(peer.count(), 0);
    assert_eq!([reloads(status, "applied"), reloads(status, "refused")], [3.0, 1.0]);
    assert_eq!(service.stop(), 0);
}

/// Scenario: the file is removed and created again with the same contents, then with invalid contents, then with the first
/// contents.
/// Guarantees: the first causes no reload; the second is refused once; the third counts as unchanged and clears the error.
#[test]
fn back_to_what_is_in_force() {
    let peer = TcpPeer::start();
    let (home, status) = home();
    let good = tcp_log(peer.port, 500);
    home.write("kong.yml", &good);
    let mut service = home.start();
    std::fs::rename(service.home.path("kong.yml"), service.home.path("away")).unwrap();
    service.accept(transaction(1).to_string());
    std::fs::rename(service.home.path("away"), service.home.path("kong.yml")).unwrap();
    service.home.write("kong.yml", "plugins: [\n");
    wait_for_reload(status, "refused", 1);
    let successful = || Scrape::of(status).sum("logphase_last_reload_successful", &[]);
    assert!(successful() < 0.5);
    service.home.write("kong.yml", &good);
    wait_for_reload(status, "unchanged", 1);
    assert!(successful() > 0.5);
    assert_eq!([reloads(status, "applied"), reloads(status, "refused")], [0.0, 1.0]);
    service.accept(transaction(2).to_string());
    peer.wait_for(2);
    assert_eq!(service.stop(), 0);
}

/// Two plugins with Lua: the first with the instance name `instance`, the second with this many fields with large snippets.
fn named(home: &Home, instance: &str, large: usize) -> String {
    let text = "x".repeat(200_000);
    let field = |number| (format!("field_{number}"), json!(format!("return ('{number}{text}'):len()")));
    configuration(&json!([
        {"name": "file-log", "id": "a5b0ab54-0a3e-4b56-b0a4-8e5c4a0d9f01", "instance_name": instance,
         "config": {"path": home.text("messages.log"), "custom_fields_by_lua": {"a": "return 1"}}},
        {"name": "udp-log", "id": "a5b0ab54-0a3e-4b56-b0a4-8e5c4a0d9f02",
         "config": {"host": "127.0.0.1", "port": 9, "custom_fields_by_lua": Value::from_iter((0..large).map(field))}},
    ]))
}

/// Scenario: one edit changes the instance name of a plugin, and gives another plugin snippets that exceed the memory of the
/// workers; then the snippets are reduced.
/// Guarantees: the refused reload changes only the counters of reloads in `/metrics`; the next one renames the plugin, whose
/// counters continue.
#[test]
fn a_refused_reload_changes_no_metric() {
    let (home, status) = home();
    let home = home.set("LOGPHASE_LUA_MEMORY_LIMIT", "1MiB");
    home.write("kong.yml", &named(&home, "before", 0));
    let mut service = home.start();
    service.accept(transaction(1).to_string());
    let delivered = |scrape: &Scrape, instance: &str| {
        let labels = [("plugin", "file-log"), ("instance_name", instance)];
        scrape.sum("logphase_messages_delivered_total", &labels)
    };
    wait_until("the first is delivered", || delivered(&Scrape::of(status), "before") > 0.5);
    let shown = || {
        let mut samples = Scrape::of(status).samples;
        samples.retain(|(name, _), _| !name.contains("reload"));
        samples
    };
    wait_until("nothing moves any more", || shown() == shown());
    let before = shown();
    service.home.write("kong.yml", &named(&service.home, "after", 8));
    wait_for_reload(status, "refused", 1);
    assert_eq!(shown(), before);
    service.home.write("kong.yml", &named(&service.home, "after", 0));
    wait_for_reload(status, "applied", 1);
    service.accept(transaction(2).to_string());
    wait_until("the second is delivered under the new name", || delivered(&Scrape::of(status), "after") > 1.5);
    let scrape = Scrape::of(status);
    assert!(!scrape.text.contains("instance_name=\"before\""), "{}", scrape.text);
    assert_eq!(service.stop(), 0);
}
