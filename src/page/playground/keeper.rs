//! The keeper of the playground's processes. The service may start no process once it is confined, so it starts this one before that, which then
//! starts a process for each request.
//!
//! It has none of the service's secrets: it is a program of its own, with an empty environment, and may run nothing but itself.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use parking_lot::Mutex;

use super::frames::{self, Kind, MAX_ANSWER, frame};
use crate::confinement;

/// How long a process may take. A program that is not optimised, on a machine that compiles others, takes long for nothing.
const TIME: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 5 });

/// How often, and with which pause, a process that has closed its output is looked at before it is ended.
const MOMENTS: u32 = 1000;
const MOMENT: Duration = Duration::from_millis(2);

/// Requests at the same time, at most: more than a service sends.
const MAX_RUNNING: usize = 8;

/// A variable of the allocator: without it, a gigabyte is taken at the start, and a limit on what is taken later says nothing.
const NO_RESERVE: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "0");

/// Makes a process the first that the system ends when memory is short.
const FIRST_TO_END: &str = "1000";

/// The command that starts the keeper.
pub(super) fn command() -> Command {
    let mut command = own_program();
    command.arg("--keep");
    // A signal to the process group of the service is not meant for it: it ends with the service's pipe.
    command.process_group(0);
    command
}

/// This program, also if another one is at its path now, for the playground.
fn own_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("logphase").arg("playground").env_clear().env(NO_RESERVE.0, NO_RESERVE.1);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The processes that run, by their requests.
type Running = Arc<Mutex<HashMap<u64, Child>>>;

/// Serves the requests on standard input until its end.
///
/// # Errors
/// Standard input cannot be read.
pub(crate) fn keep() -> io::Result<()> {
    let _ = std::fs::write("/proc/self/oom_score_adj", FIRST_TO_END);
    let _ = confinement::hide_memory();
    confinement::confine_to_own_program();
    let running = Running::default();
    let mut input = io::stdin().lock();
    while let Some((head, content)) = frames::next(&mut input)? {
        match head.kind {
            Kind::Run => start(&running, head.request, content),
            Kind::Cancel => stop(&running, head.request),
            _ => {}
        }
    }
    // They have no reader any more.
    running.lock().values_mut().for_each(|child| drop(child.kill()));
    Ok(())
}

fn stop(running: &Running, request: u64) {
    if let Some(child) = running.lock().get_mut(&request) {
        let _ = child.kill();
    }
}

/// Starts a process for a request, and a thread that waits for it.
fn start(running: &Running, request: u64, content: Vec<u8>) {
    let child = match running.lock().len() < MAX_RUNNING {
        true => own_program().spawn(),
        false => Err(io::ErrorKind::WouldBlock.into()),
    };
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return reply(Kind::Failed, request, format!("no process can be started: {error}").as_bytes()),
    };
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else { return };
    running.lock().insert(request, child);
    let of_request = running.clone();
    let wait = move || wait_for(&of_request, request, (content, stdin, stdout));
    if std::thread::Builder::new().spawn(wait).is_err() {
        stop(running, request);
        drop(end(running, request));
        reply(Kind::Failed, request, b"no thread can be started");
    }
}

/// Gives a process its request, and the service its answer.
fn wait_for(
    running: &Running,
    request: u64,
    (content, mut stdin, stdout): (Vec<u8>, impl Write + Send + 'static, impl Read + Send + 'static),
) {
    // A process that has ended does not read, which its status says.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&content)));
    let (sender, answer) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.take(MAX_ANSWER as u64 + 1).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    let answer = match answer.recv_timeout(TIME) {
        Ok(answer) => Some(answer),
        Err(RecvTimeoutError::Disconnected) => Some(Vec::new()),
        Err(RecvTimeoutError::Timeout) => None,
    };
    if answer.as_ref().is_none_or(|answer| answer.len() > MAX_ANSWER) {
        stop(running, request);
    }
    let status = end(running, request);
    let _ = (feeder.join(), reader.join());
    let Some(answer) = answer else { return reply(Kind::Late, request, b"") };
    let Some(Ok(status)) = status else { return reply(Kind::Failed, request, b"its process was lost") };
    match (status.success(), status.signal()) {
        _ if answer.len() > MAX_ANSWER => reply(Kind::Failed, request, b"the answer is larger than 4 MiB"),
        (true, _) => reply(Kind::Answer, request, &answer),
        // The limit of the system on its CPU time.
        (_, Some(libc::SIGXCPU | libc::SIGKILL)) => reply(Kind::Late, request, b""),
        // What allocators do without memory.
        (_, Some(libc::SIGABRT | libc::SIGSEGV)) => reply(Kind::OutOfMemory, request, b""),
        _ => reply(Kind::Failed, request, format!("its process failed ({status})").as_bytes()),
    }
}

/// Waits for the process of a request, which has ended or will at once.
fn end(running: &Running, request: u64) -> Option<io::Result<std::process::ExitStatus>> {
    let mut child = running.lock().remove(&request)?;
    // It closes its output at its end, and has nothing to do after that.
    for _ in 0..MOMENTS {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(MOMENT),
            Ok(Some(status)) => return Some(Ok(status)),
            Err(error) => return Some(Err(error)),
        }
    }
    let _ = child.kill();
    Some(child.wait())
}

/// Sends a frame to the service.
fn reply(kind: Kind, request: u64, content: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(&frame(kind, request, content)).and_then(|()| out.flush());
}
