//! CPU time of the threads that run scripts, coarse, at the cost of one load.
//!
//! The kernel's answer costs a system call, which is more than a typical snippet's own work. The clock's thread asks for all
//! threads, once per tick.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// The CPU time of one thread.
struct ThreadTime {
    clock: libc::clockid_t,
    /// Microseconds at the last tick.
    micros: AtomicU64,
}

/// The threads that have asked for their time.
static THREADS: Mutex<Vec<Weak<ThreadTime>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: Arc<ThreadTime> = register();
}

fn register() -> Arc<ThreadTime> {
    let own = Arc::new(ThreadTime { clock: own_clock(), micros: AtomicU64::new(0) });
    own.refresh();
    THREADS.lock().push(Arc::downgrade(&own));
    own
}

impl ThreadTime {
    /// Reads the time; one that cannot be read stays as it is. Several threads may do this at the same time.
    fn refresh(&self) -> u64 {
        let micros = read(self.clock).unwrap_or_default();
        self.micros.fetch_max(micros, Ordering::Relaxed).max(micros)
    }
}

/// Updates the times of all threads.
pub(super) fn tick() {
    THREADS.lock().retain(|thread| match thread.upgrade() {
        Some(thread) => {
            thread.refresh();
            true
        }
        None => false,
    });
}

/// The CPU time of this thread at the last tick or refresh, in microseconds.
pub(super) fn now() -> u64 {
    OWN.with(|own| own.micros.load(Ordering::Relaxed))
}

/// The CPU time of this thread in microseconds, from the kernel.
pub(super) fn refresh() -> u64 {
    OWN.with(|own| own.refresh())
}

/// The clock of this thread, which other threads can read.
#[expect(unsafe_code, reason = "there is no safe wrapper of pthread_getcpuclockid")]
fn own_clock() -> libc::clockid_t {
    let mut clock = libc::CLOCK_THREAD_CPUTIME_ID;
    // SAFETY: `pthread_self` is this live thread, and the pointer is to a local variable. On an error the variable stays as
    // it is.
    unsafe {
        libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock);
    }
    clock
}

/// Microseconds on `clock`; `None` if its thread has ended.
#[expect(unsafe_code, reason = "rustix cannot read the clock of another thread")]
fn read(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local variable. Any value is allowed as a clock: an unknown one is an error.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    (!failed).then_some(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a thread that works, and another that reads its time.
    /// Guarantees: a tick updates the time of every thread; the time of a thread that has ended is forgotten.
    #[test]
    fn a_tick_reads_every_thread() {
        let (send, receive) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let worker = std::thread::spawn(move || {
            let before = refresh();
            let mut count = 0u64;
            while read(own_clock()).unwrap() < before + 3_000 {
                count = std::hint::black_box(count + 1);
            }
            assert_eq!(now(), before);
            send.send(()).unwrap();
            wait.recv().unwrap();
            assert!(now() >= before + 3_000, "{} after {before}", now());
        });
        receive.recv().unwrap();
        tick();
        go.send(()).unwrap();
        worker.join().unwrap();
        tick();
        assert!(THREADS.lock().iter().all(|thread| thread.strong_count() > 0));
    }
}
