//! Notifications to a service manager such as systemd.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use serde_json::{Value, json};

use crate::service::{Home, Signal, TIMEOUT, configuration, transaction, wait_until};

/// The manager's side of the socket.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(home: &Home) -> (Self, String) {
        let socket = UnixDatagram::bind(home.path("notify")).unwrap();
        (Self::on(socket), home.text("notify"))
    }

    fn named(name: &str) -> (Self, String) {
        let name = format!("logphase-{name}-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        (Self::on(socket), format!("@{name}"))
    }

    fn on(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { socket }
    }

    /// The next notification, as lines.
    #[track_caller]
    fn next(&self) -> Vec<String> {
        let mut bytes = [0; 1000];
        let length = self.socket.recv(&mut bytes).expect("the service says something");
        String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect()
    }

    /// The next notification that is not from the watchdog.
    #[track_caller]
    fn news(&self) -> Vec<String> {
        loop {
            let lines = self.next();
            if lines != ["WATCHDOG=1"] {
                return lines;
            }
        }
    }
}

fn plugins(home: &Home) -> Value {
    json!([{"name": "file-log", "config": {"path": home.text("messages.log")}}])
}

/// Scenario: a service whose manager has a socket in the file system, reloaded with a valid and with an invalid
/// configuration, then stopped.
/// Guarantees: READY only when inputs are bound; around a reload RELOADING with a time and READY with the result;
/// STOPPING. The sandbox layers do not block the socket.
#[test]
fn the_phases_of_a_life() {
    let home = Home::new();
    home.write("kong.yml", &configuration(&plugins(&home)));
    let (manager, address) = Manager::at(&home);
    let mut service = home.set("NOTIFY_SOCKET", address).start();
    assert_eq!(manager.next(), ["READY=1", "STATUS=ready"]);
    service.accept(transaction(1).to_string());
    for (text, status) in [
        (configuration(&plugins(&service.home)), "STATUS=ready; the configuration was reloaded"),
        ("plugins: 1".to_owned(), "STATUS=ready with the old configuration; the new one was refused, see the log"),
    ] {
        service.home.write("kong.yml", &text);
        service.signal(Signal::HUP);
        let begun = manager.next();
        assert_eq!(begun[0], "RELOADING=1");
        let time = begun[1].strip_prefix("MONOTONIC_USEC=").and_then(|time| time.parse::<u64>().ok());
        assert!(time.is_some_and(|micros| micros > 0), "{begun:?}");
        assert_eq!(manager.next(), ["READY=1", status]);
    }
    service.signal(Signal::TERM);
    assert_eq!(manager.next()[0], "STOPPING=1");
    assert_eq!(service.wait(), 0);
}

/// Scenario: a manager with an abstract address and a watchdog of half a second; then a snippet that keeps the only
/// worker busy for longer.
/// Guarantees: the watchdog notification arrives regularly, also from an idle service; while the worker is stuck it
/// does not, and the log gives the cause; the transaction is logged with plugin, field and route; afterwards it arrives again.
#[test]
fn the_watchdog_tells_the_truth() {
    let (manager, address) = Manager::named("watchdog");
    let home = Home::new()
        .set("NOTIFY_SOCKET", address)
        .set("WATCHDOG_USEC", "1000000")
        .set("LOGPHASE_WORKERS", "1")
        .set("LOGPHASE_LUA_DEADLINE_MS", "4000");
    let snippet = "local stop = os.clock() + 3 while os.clock() < stop do end return 1";
    home.write(
        "kong.yml",
        &configuration(&json!([{"name": "file-log", "config": {
            "path": home.text("messages.log"), "custom_fields_by_lua": {"slow": snippet}}}])),
    );
    let mut service = home.start();
    assert_eq!(manager.news(), ["READY=1", "STATUS=ready"]);
    for _ in 0..3 {
        assert_eq!(manager.next(), ["WATCHDOG=1"]);
    }
    service.accept(transaction(1).to_string());
    assert!(service.has_logged("the watchdog is not notified"), "it was stuck for three seconds");
    assert!(service.has_logged("plugin=\"file-log\" field=\"slow\" route=\"orders\""), "{}", service.log());
    wait_until("the watchdog notification arrives again", || manager.next() == ["WATCHDOG=1"]);
    assert_eq!(service.count_logged("the watchdog is not notified"), 1);
    service.stop();
}

/// Scenario: the variable names a socket without a listener.
/// Guarantees: the service runs and logs this.
#[test]
fn a_manager_that_is_not_there() {
    let home = Home::new().set("NOTIFY_SOCKET", "/nowhere/notify");
    home.write("kong.yml", &configuration(&plugins(&home)));
    let service = home.start();
    wait_until("the log reports it", || service.has_logged("cannot notify the service manager at /nowhere/notify"));
    service.accept(transaction(1).to_string());
}

/// Scenario: systemd-analyze reads the unit of the examples.
/// Guarantees: it reports nothing; the unit uses the service's notifications.
#[test]
fn the_unit_is_sound() {
    let unit =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/systemd/logphase.service")).unwrap();
    for line in ["Type=notify", "NotifyAccess=main", "WatchdogSec="] {
        assert!(unit.lines().any(|found| found.starts_with(line)), "{line}");
    }
    verify_unit(&unit.replace("/usr/local/bin/logphase", env!("CARGO_BIN_EXE_logphase")));
}

/// Fails if systemd-analyze finds anything wrong with `unit`.
#[track_caller]
pub fn verify_unit(unit: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("logphase.service");
    std::fs::write(&path, unit).unwrap();
    let ran = Command::new("systemd-analyze").arg("verify").arg(&path).output();
    let output = ran.expect("systemd-analyze is installed by .ci/tools");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// Scenario: a snippet keeps one of two workers busy for six seconds of CPU time, while 24 other senders post five times each.
/// Guarantees: all of them are answered before the busy worker comes back.
#[test]
fn a_stuck_worker_keeps_no_others_waiting() {
    let home = Home::new().set("LOGPHASE_WORKERS", "2").set("LOGPHASE_LUA_DEADLINE_MS", "20000");
    let home = home.set("LOGPHASE_LUA_PLUGIN_DEADLINE_MS", "20000");
    let snippet = "if kong.request.get_method() == 'SLOW' then \
         local stop = os.clock() + 6 while os.clock() < stop do end end return 1";
    home.write(
        "kong.yml",
        &configuration(&json!([{"name": "file-log", "config": {
            "path": home.text("messages.log"), "custom_fields_by_lua": {"slow": snippet}}}])),
    );
    let mut service = home.start();
    let is_back = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut slow = transaction(0);
            slow["request"]["method"] = json!("SLOW");
            service.accept(slow.to_string());
            is_back.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let others: Vec<_> = (1..=24)
            .map(|sender| {
                let service = &service;
                scope.spawn(move || (0..5).for_each(|id| service.accept(transaction(sender * 10 + id).to_string())))
            })
            .collect();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(!is_back.load(std::sync::atomic::Ordering::SeqCst), "the others waited for the busy worker");
    });
    assert_eq!(service.stop(), 0);
}
