//! How a run of the service ends.

use std::thread;
use std::time::Duration;

use super::rng::Rng;
use crate::service::{Service, Signal};

/// The longest load before an end, in milliseconds.
const LOAD: u64 = 2000;

/// The end of a run.
#[derive(Debug, Clone, Copy)]
pub enum Ending {
    /// SIGKILL under load.
    Kill(Duration),
    /// SIGKILL while it starts: it may not be ready yet.
    KillAtStart(Duration),
    /// SIGTERM and an ordinary end.
    Stop(Duration),
    /// SIGTERM, and SIGKILL during the stop.
    KillAtStop(Duration, Duration),
}

impl Ending {
    /// A random one.
    pub fn choose(rng: &mut Rng) -> Self {
        let load = rng.millis(0..LOAD);
        match rng.within(0..100) {
            0..60 => Self::Kill(load),
            60..75 => Self::KillAtStart(rng.millis(0..400)),
            75..88 => Self::Stop(load),
            _ => Self::KillAtStop(load, rng.millis(0..600)),
        }
    }

    /// Lets a service that was just launched end in this way; returns whether it was killed.
    pub fn bring(self, service: &mut Service) -> bool {
        match self {
            Self::Kill(load) => {
                service.await_readiness();
                thread::sleep(load);
                kill(service);
                true
            }
            Self::KillAtStart(after) => {
                thread::sleep(after);
                kill(service);
                true
            }
            Self::Stop(load) => {
                service.await_readiness();
                thread::sleep(load);
                assert_eq!(service.stop(), 0, "what is left is on disk");
                false
            }
            Self::KillAtStop(load, after) => {
                service.await_readiness();
                thread::sleep(load);
                service.signal(Signal::TERM);
                thread::sleep(after);
                // It may have ended before.
                service.kill();
                true
            }
        }
    }
}

/// Kills the service, which must not have ended by itself.
fn kill(service: &mut Service) {
    service.signal(Signal::KILL);
    assert!(service.wait_for_kill(), "it had ended before it was killed\n{}", service.log());
}
