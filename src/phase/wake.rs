//! When workers are woken for the batches of a thread that serves many connections.
//!
//! Waking a sleeping thread takes a system call, which costs more than the log phase of one transaction. A thread that serves connections
//! reads all requests that have arrived before it waits for more, so it wakes workers once for all of them.

use std::cell::RefCell;
use std::sync::Arc;

/// Batches after which workers are woken at the latest, so that they need not wait long while the thread reads more.
const MAX_BATCHES: usize = 8;

/// What can be woken.
pub(super) trait Wake {
    /// Wakes it, if it sleeps.
    fn wake(&self);
}

/// What the thread has not woken yet.
#[derive(Default)]
struct Asleep {
    batches: usize,
    workers: Vec<Arc<dyn Wake>>,
}

thread_local! {
    /// `None` on threads that never call [`wake_workers`].
    static ASLEEP: RefCell<Option<Asleep>> = const { RefCell::new(None) };
}

/// Wakes the workers that got batches from this thread since the last call. A thread that has called this once must call it
/// each time before it waits.
pub fn wake_workers() {
    let asleep = ASLEEP.with(|asleep| asleep.borrow_mut().replace(Asleep::default()));
    asleep.iter().flat_map(|asleep| &asleep.workers).for_each(|worker| worker.wake());
}

/// Wakes `worker`, which has got a batch: at once, or when this thread calls [`wake_workers`].
pub(super) fn wake_soon<W: Wake + 'static>(worker: &Arc<W>) {
    let is_due = ASLEEP.with(|asleep| {
        let mut asleep = asleep.borrow_mut();
        let Some(Asleep { batches, workers }) = &mut *asleep else { return None };
        *batches += 1;
        let pointer = Arc::as_ptr(worker).cast::<()>();
        if !workers.iter().any(|other| Arc::as_ptr(other).cast::<()>() == pointer) {
            workers.push(worker.clone());
        }
        Some(*batches >= MAX_BATCHES)
    });
    match is_due {
        None => worker.wake(),
        Some(true) => wake_workers(),
        Some(false) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Worker(AtomicUsize);

    impl Wake for Worker {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Scenario: a thread that never waits for connections, and one that does, with batches for two workers.
    /// Guarantees: the first wakes a worker for each batch; the second once for all, before it waits or after eight batches.
    #[test]
    fn workers_are_woken_once_for_many_batches() {
        let (one, two) = (Arc::new(Worker::default()), Arc::new(Worker::default()));
        let woken = || (one.0.load(Ordering::Relaxed), two.0.load(Ordering::Relaxed));
        wake_soon(&one);
        wake_soon(&one);
        assert_eq!(woken(), (2, 0));
        wake_workers();
        for _ in 0..3 {
            wake_soon(&one);
            wake_soon(&two);
        }
        assert_eq!(woken(), (2, 0));
        wake_workers();
        wake_workers();
        assert_eq!(woken(), (3, 1));
        (0..MAX_BATCHES).for_each(|_| wake_soon(&two));
        assert_eq!(woken(), (3, 2));
    }
}
