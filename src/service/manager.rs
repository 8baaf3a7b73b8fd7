//! Notifies the service manager, as sd_notify(3) does: with lines of text in a datagram. Does nothing without
//! NOTIFY_SOCKET in the environment.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::phase::{Heartbeat, WorkerStats};

/// The service is ready, or a reload has ended. `status` is the text that the manager shows.
pub fn ready(status: &str) {
    notify(&format!("READY=1\n{}", status_line(status)));
}

/// The configuration is being reloaded. [`ready`] ends the reload.
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n{}", status_line("reading the configuration again")));
}

/// The service is stopping.
pub fn stopping() {
    notify(&format!("STOPPING=1\n{}", status_line("delivering the accepted transactions")));
}

/// The line with the status text.
fn status_line(text: &str) -> String {
    format!("STATUS={}\n", text.replace('\n', " "))
}

fn notify(state: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else { return };
    if let Err(error) = send(&address, state) {
        let address = address.display();
        tracing::warn!(
            "cannot notify the service manager at {address} (NOTIFY_SOCKET): {error}; see NotifyAccess of the unit"
        );
    }
}

fn send(address: &OsStr, state: &str) -> std::io::Result<()> {
    let to = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    // Does not block if the manager does not read.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &to).map(drop)
}

/// The watchdog interval of the manager, as sd_watchdog_enabled(3) returns it; `None` if the watchdog is off.
fn watchdog_interval() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let wanted = number("WATCHDOG_USEC").filter(|micros| *micros > 0)?;
    let for_us =
        std::env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
    for_us.then_some(Duration::from_micros(wanted))
}

/// Notifies the watchdog twice per interval, as long as the runtime serves tasks and no worker has been busy with one
/// transaction for the given time, or for half of the interval. With `None`, while workers end, only the runtime counts. Runs until the task is aborted; returns at once if the watchdog is off.
pub async fn watch(workers: Option<(Arc<WorkerStats>, Duration)>) {
    let Some(interval) = watchdog_interval() else { return };
    let mut ticks = tokio::time::interval(interval / 2);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut healthy = true;
    loop {
        ticks.tick().await;
        // In another task: that this one is woken does not show that the threads of the runtime serve others.
        let served = tokio::time::timeout(interval / 4, tokio::spawn(async {})).await.is_ok();
        let stuck = workers.as_ref().map_or(0, |(worker_stats, limit)| {
            let limit = (*limit).min(interval / 2);
            let is_stuck =
                |heartbeat: &&Heartbeat| heartbeat.has_ended() || heartbeat.busy_for().is_some_and(|time| time > limit);
            worker_stats.heartbeats.iter().filter(is_stuck).count()
        });
        if served && stuck == 0 {
            notify("WATCHDOG=1\n");
        } else if healthy {
            tracing::error!(
                stuck,
                served,
                "workers are stuck, or connections are not served: the watchdog is not notified, and the service \
                manager will restart the service; please report this"
            );
        }
        healthy = served && stuck == 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: messages to a manager at a path, at an abstract address, and to none.
    /// Guarantees: messages arrive complete; without a listener there is an error.
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
