//! The process of one request: it may compute, and write its answer. Whatever a request makes it do, it cannot open a file or a socket, start
//! anything, or use more time and memory than its limits.

use std::io::Write;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::logged::Logged;
use crate::confinement::{self, Enforcement, Files, ThreadFilter};
use logphase_io::file;
use logphase_script::Clock;

/// Bytes of a request, at most.
const MAX_REQUEST: u64 = 8 << 20;

/// CPU time of the process, in seconds, after which the system ends it.
const CPU_SECONDS: u64 = 2;

/// Bytes of its data, at most, in addition to those at its start. A Lua VM has 64 MiB by default.
const MAX_DATA: u64 = 384 << 20;

/// The stack of a worker of the service.
const STACK: usize = 8 << 20;

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unserved {
    /// The request cannot be read, or its answer cannot be written.
    #[error("cannot read the request or write the answer: {0}")]
    Pipe(std::io::Error),
    /// A limit, a restriction or a thread is refused by the system.
    #[error("cannot confine the process: {0}")]
    Confinement(String),
    /// The answer was not finished.
    #[error("the request could not be worked out")]
    Panicked,
}

/// Reads a request from standard input, confines the process, and writes the answer that `work` makes of the request to standard output.
///
/// # Errors
/// The process cannot be confined, or the request cannot be served.
pub(crate) fn serve(work: impl FnOnce(&[u8], &Arc<Clock>) -> Vec<u8> + Send + 'static) -> Result<(), Unserved> {
    limit().map_err(|error| Unserved::Confinement(error.to_string()))?;
    let request = file::read_stream(std::io::stdin().lock(), MAX_REQUEST).map_err(Unserved::Pipe)?;
    file::forbid();
    logphase_script::prepare();
    Logged::install();
    let in_the_clock = ThreadFilter::for_clock();
    let clock = Clock::start_with(move || drop(in_the_clock.apply()));
    let clock = clock.map_err(|error| Unserved::Confinement(error.to_string()))?;
    // Where the kernel has no Landlock, no thread can open a file all the same.
    confinement::confine_process(Files::default());
    let filter = ThreadFilter::for_computing().map_err(Unserved::Confinement)?;
    let body = move || match filter.apply() {
        Enforcement::Missing(why) => Err(Unserved::Confinement(why)),
        _ => Ok(work(&request, &clock)),
    };
    let thread = std::thread::Builder::new().name("worker-0".to_owned()).stack_size(STACK).spawn(body);
    let thread = thread.map_err(|error| Unserved::Confinement(error.to_string()))?;
    if let Enforcement::Missing(why) = ThreadFilter::for_output().apply() {
        return Err(Unserved::Confinement(why));
    }
    let answer = thread.join().map_err(|_| Unserved::Panicked)??;
    let mut out = std::io::stdout().lock();
    out.write_all(&answer).and_then(|()| out.flush()).map_err(Unserved::Pipe)
}

/// Bytes of data that the process has now (proc_pid_status(5)); none where the system does not say.
fn data() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = text
        .lines()
        .find_map(|line| line.strip_prefix("VmData:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    size.unwrap_or(0) << 10
}

/// Limits the CPU time, the memory and the files of the process.
fn limit() -> rustix::io::Result<()> {
    let limits = [
        (Resource::Cpu, CPU_SECONDS),
        (Resource::Data, data() + MAX_DATA),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 64),
    ];
    limits
        .into_iter()
        .try_for_each(|(resource, limit)| setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) }))
}
