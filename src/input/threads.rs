//! The threads for connections whose peers wait for answers: each stays on one of them.
//!
//! On a runtime with several threads, Tokio wakes two of them for each answer of a worker: one that serves the connection, and one
//! that looks for more to do. For a request with one transaction, that costs more than everything else. A runtime with one
//! thread wakes that thread alone.
//!
//! They start before the workers, whose seccomp filter allows writes only to the descriptors that wake the threads that exist.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::phase::wake_workers;
use tokio::runtime::{Builder, Handle, Runtime};

/// The threads, one for each core.
pub struct ConnectionThreads {
    threads: Vec<Thread>,
}

struct Thread {
    /// `None` once this is dropped.
    runtime: Option<Runtime>,
    connections: Arc<AtomicUsize>,
}

impl ConnectionThreads {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has no more threads or descriptors.
    pub fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let start = |_| {
            let mut runtime = Builder::new_multi_thread();
            // It reads what has arrived on all of its connections before it waits.
            runtime.on_thread_park(wake_workers).on_thread_stop(wake_workers);
            let runtime = runtime.worker_threads(1).thread_name("connections").enable_all().build()?;
            Ok(Thread { runtime: Some(runtime), connections: Arc::default() })
        };
        Ok(Self { threads: (0..cores).map(start).collect::<io::Result<_>>()? })
    }

    /// The thread with the fewest connections, and a guard that counts one more while it lives.
    pub(super) fn choose(&self) -> Option<(&Handle, Served)> {
        let thread = self.threads.iter().min_by_key(|thread| thread.connections.load(Ordering::Relaxed))?;
        let runtime = thread.runtime.as_ref()?;
        thread.connections.fetch_add(1, Ordering::Relaxed);
        Some((runtime.handle(), Served(thread.connections.clone())))
    }
}

impl Drop for ConnectionThreads {
    fn drop(&mut self) {
        for runtime in self.threads.iter_mut().filter_map(|thread| thread.runtime.take()) {
            // This may run on a thread of another runtime, which must not wait.
            runtime.shutdown_background();
        }
    }
}

/// A connection that one of the threads serves.
#[derive(Debug)]
pub(super) struct Served(Arc<AtomicUsize>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: connections that begin and end.
    /// Guarantees: a new connection goes to a thread that serves the fewest.
    #[test]
    fn connections_are_spread() {
        let threads = ConnectionThreads::start().unwrap();
        let count = threads.threads.len();
        let counts =
            || threads.threads.iter().map(|thread| thread.connections.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let mut served: Vec<_> = (0..2 * count).map(|_| threads.choose().unwrap().1).collect();
        assert_eq!(counts(), vec![2; count]);
        served.truncate(count);
        served.push(threads.choose().unwrap().1);
        assert_eq!(counts().iter().sum::<usize>(), count + 1);
        assert!(counts().iter().all(|connections| *connections > 0));
    }
}
