//! What a service manager, as systemd, is told.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use serde_json::{Value, json};

use crate::service::{Home, PATIENCE, Signal, configuration, transaction, wait_until};

/// The manager's end.
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
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// The next message, as its lines.
    #[track_caller]
    fn next(&self) -> Vec<String> {
        let mut bytes = [0; 1000];
        let length = self.socket.recv(&mut bytes).expect("the service says something");
        String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect()
    }

    /// The next message that is not of the watchdog.
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

/// Scenario: a service whose manager has a socket in the file system, reloaded with a good and with a wrong
/// configuration, then stopped.
/// Guarantees: READY only when inputs are bound; around a reload RELOADING with a time and READY with how it went;
/// STOPPING. The walls around the process do not keep it from the socket.
#[test]
fn the_phases_of_a_life() {
    let home = Home::new();
    home.write("kong.yml", &configuration(&plugins(&home)));
    let (manager, address) = Manager::at(&home);
    let mut service = home.set("NOTIFY_SOCKET", address).start();
    assert_eq!(manager.next(), ["READY=1", "STATUS=ready"]);
    service.accept(transaction(1).to_string());
    for (text, status) in [
        (configuration(&plugins(&service.home)), "STATUS=ready; the configuration was read again"),
        ("plugins: 1".to_owned(), "STATUS=ready with the old configuration: the new one is wrong, see the log"),
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

/// Scenario: a manager with an abstract address that wants to hear twice in a second that all is well; then a snippet
/// that keeps the only worker busy for longer than that.
/// Guarantees: it hears so again and again, also of a service with nothing to do; while the worker stands still it does
/// not, and the log says why; afterwards it does again.
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
    assert!(service.has_logged("the watchdog is not answered"), "it was stuck for three seconds");
    wait_until("all is well again", || manager.next() == ["WATCHDOG=1"]);
    assert_eq!(service.count_logged("the watchdog is not answered"), 1);
    service.stop();
}

/// Scenario: a variable that names a socket where nobody listens.
/// Guarantees: the service runs all the same and says so.
#[test]
fn a_manager_that_is_not_there() {
    let home = Home::new().set("NOTIFY_SOCKET", "/nowhere/notify");
    home.write("kong.yml", &configuration(&plugins(&home)));
    let service = home.start();
    wait_until("it is said", || service.has_logged("cannot tell the service manager at /nowhere/notify"));
    service.accept(transaction(1).to_string());
}

/// Scenario: systemd's own tool reads the unit of the examples.
/// Guarantees: it finds nothing wrong with it; the unit uses what the service says.
#[test]
fn the_unit_is_sound() {
    let unit =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/systemd/logphase.service")).unwrap();
    for line in ["Type=notify", "NotifyAccess=main", "WatchdogSec="] {
        assert!(unit.lines().any(|found| found.starts_with(line)), "{line}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("logphase.service");
    std::fs::write(&path, unit.replace("/usr/local/bin/logphase", env!("CARGO_BIN_EXE_logphase"))).unwrap();
    let ran = Command::new("systemd-analyze").arg("verify").arg(&path).output();
    let output = ran.expect("systemd-analyze is installed by .ci/tools");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
