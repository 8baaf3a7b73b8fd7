//! A coarse clock that costs one load to read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::cpu_time;

/// Microseconds since the first reading in this process.
static NOW: AtomicU64 = AtomicU64::new(0);
/// When the clock's thread last ran, in the same microseconds.
static TICKED: AtomicU64 = AtomicU64::new(0);

/// Updates the process's coarse time every millisecond while a [`Busy`] guard is held.
///
/// Reading the real clock at each interrupt of the VM would cost a typical snippet more than its own work.
#[derive(Debug)]
pub struct Clock {
    busy: AtomicUsize,
    ticker: Thread,
}

const TICK: Duration = Duration::from_millis(1);

impl Clock {
    /// Starts a clock and the thread that advances it, which ends when the clock is dropped.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start() -> std::io::Result<Arc<Self>> {
        Self::start_with(|| {})
    }

    /// The same; the thread runs `setup` first.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(setup: impl FnOnce() + Send + 'static) -> std::io::Result<Arc<Self>> {
        let (sender, receiver) = std::sync::mpsc::channel::<Weak<Self>>();
        let handle = std::thread::Builder::new().name("clock".to_owned()).stack_size(64 << 10).spawn(move || {
            setup();
            let Ok(clock) = receiver.recv() else { return };
            while let Some(clock) = clock.upgrade() {
                let busy = clock.busy.load(Ordering::Acquire) > 0;
                cpu_time::tick();
                TICKED.store(Self::refresh(), Ordering::Relaxed);
                drop(clock);
                if busy {
                    std::thread::sleep(TICK);
                } else {
                    std::thread::park_timeout(Duration::from_secs(5));
                }
            }
        })?;
        let clock = Arc::new(Self { busy: AtomicUsize::new(0), ticker: handle.thread().clone() });
        sender.send(Arc::downgrade(&clock)).map_err(std::io::Error::other)?;
        Ok(clock)
    }

    /// Updates the time and returns it in microseconds.
    pub fn refresh() -> u64 {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let now = ORIGIN.get_or_init(Instant::now).elapsed().as_micros() as u64;
        NOW.fetch_max(now, Ordering::Relaxed);
        now
    }

    /// The time in microseconds, about a millisecond old at most while a [`Busy`] guard is held.
    pub fn now() -> u64 {
        NOW.load(Ordering::Relaxed)
    }

    /// Updates the time, and the CPU time of this thread if the clock's own thread is late.
    pub(crate) fn catch_up() {
        const LATE: u64 = 3 * TICK.as_micros() as u64;
        if Self::refresh().saturating_sub(TICKED.load(Ordering::Relaxed)) > LATE {
            cpu_time::refresh();
        }
    }

    /// Keeps the clock running until the guard is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        if self.busy.fetch_add(1, Ordering::AcqRel) == 0 {
            self.ticker.unpark();
        }
        Self::refresh();
        cpu_time::refresh();
        Busy(self.clone())
    }
}

/// A guard that keeps the clock running.
#[derive(Debug)]
pub struct Busy(Arc<Clock>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}
