//! What the service manager is told: sd_notify(3), spoken by hand, as it is a line of text in a datagram. Without
//! NOTIFY_SOCKET in the environment nothing is.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::phase::{Heartbeat, WorkerStats};

/// Everything is open and taken from now on; or a reload is over, `status` says how.
pub fn ready(status: &str) {
    tell(&format!("READY=1\n{}", status_line(status)));
}

/// A new configuration is being read; [`ready`] says when it is in force or refused.
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n{}", status_line("reading the configuration again")));
}

/// Nothing new is taken.
pub fn stopping() {
    tell(&format!("STOPPING=1\n{}", status_line("delivering what was taken")));
}

/// A line for people.
fn status_line(text: &str) -> String {
    format!("STATUS={}\n", text.replace('\n', " "))
}

fn tell(state: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else { return };
    if let Err(error) = send(&address, state) {
        let address = address.display();
        tracing::warn!(
            "cannot tell the service manager at {address} (NOTIFY_SOCKET): {error}; see NotifyAccess of the unit"
        );
    }
}

fn send(address: &OsStr, state: &str) -> std::io::Result<()> {
    let to = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read shall hold nothing up.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &to).map(drop)
}

/// How often the manager wants to hear that all is well, if it does (sd_watchdog_enabled(3)).
fn watchdog_interval() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let wanted = number("WATCHDOG_USEC").filter(|micros| *micros > 0)?;
    let for_us =
        std::env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
    for_us.then_some(Duration::from_micros(wanted))
}

/// Says that all is well, twice in each interval of the manager's, while the runtime has time for it and no worker
/// stands still (of `None`, which end now, nothing is asked). Ends when the task is aborted; returns at once where nobody
/// wants to know.
pub async fn watch(workers: Option<Arc<WorkerStats>>) {
    let Some(interval) = watchdog_interval() else { return };
    let mut ticks = tokio::time::interval(interval / 2);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut well = true;
    loop {
        ticks.tick().await;
        // Not by this task itself: that it is woken says little of the threads that serve everybody else.
        let served = tokio::time::timeout(interval / 4, tokio::spawn(async {})).await.is_ok();
        let stands_still = |heartbeat: &&Heartbeat| {
            heartbeat.has_ended() || heartbeat.busy_for().is_some_and(|time| time > interval / 2)
        };
        let stuck =
            workers.as_ref().map_or(0, |worker_stats| worker_stats.heartbeats.iter().filter(stands_still).count());
        if served && stuck == 0 {
            tell("WATCHDOG=1\n");
        } else if well {
            tracing::error!(
                stuck,
                served,
                "workers stand still, or connections are not served: the watchdog is not answered, and the service \
                manager will start the service anew; please report it"
            );
        }
        well = served && stuck == 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: messages to a manager with a path, one with an abstract name, and none.
    /// Guarantees: what is sent arrives whole; where nobody listens there is an error.
    #[test]
    fn both_kinds_of_address() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let mut bytes = [0; 100];
        let by_path = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1\nSTATUS=a b\n").unwrap();
        let length = by_path.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1\nSTATUS=a b\n");
        let name = format!("logphase-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_name).unwrap();
        send(OsStr::new(&format!("@{name}")), "STOPPING=1\n").unwrap();
        let length = by_name.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"STOPPING=1\n");
        drop((by_path, by_name));
        assert!(send(path.as_os_str(), "READY=1\n").is_err());
        assert!(send(OsStr::new(&format!("@{name}")), "READY=1\n").is_err());
    }
}
