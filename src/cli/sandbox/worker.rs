//! Inside the child process: one script, as a worker of the service runs it.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::dry_run;
use super::honest;
use super::lines::{Lines, Sink};
use super::script::Run;
use crate::confinement::ThreadFilter;
use crate::entity::{Configuration, Field, Plugin};
use crate::phase::{Observer, Part, Program, Runner};
use crate::plugin::DEFAULT_LOGGER;
use crate::settings::Settings;
use logphase_config::diagnostic::{Origin, SourceFile};
use logphase_config::document::SnippetSource;
use logphase_script::message::BodyError;
use logphase_script::transaction::Transaction;
use logphase_script::{Clock, ScriptError};

/// The stack of a worker's thread in the service.
const STACK: usize = 8 << 20;

/// Where the attack's value goes.
const FIELD: &str = "attack";

/// What the child says.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The script did not compile, or did not fit the VM: why.
    pub(super) refused: Option<String>,
    /// CPU time of compiling it, in milliseconds.
    pub(super) compiled_ms: f64,
    /// What each run gave.
    pub(super) ran: Vec<Ran>,
    /// Bytes that the VM held at the end of any run at most.
    pub(super) vm: usize,
    /// Bytes by which the process grew at most while the script ran, where the system says.
    pub(super) grown: Option<usize>,
    /// What was written to the log.
    pub(super) log: Lines,
    /// What is not as it was before the attack.
    pub(super) breaches: Vec<String>,
}

/// One run of a snippet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ran {
    /// The message that went out; its member `attack` is the value.
    pub(super) message: Value,
    /// Why the field was left as it was.
    pub(super) error: Option<String>,
    /// Which budget ran out.
    pub(super) stop: Option<String>,
    /// CPU time, in milliseconds.
    pub(super) cpu_ms: f64,
}

/// Confines this thread as the service confines its workers.
fn as_a_worker() {
    logphase_script::prepare();
    // Where the system has no such walls, the inner ones have to hold alone.
    if let Ok(filter) = ThreadFilter::for_workers() {
        filter.apply();
    }
}

/// Runs the script on a thread of its own and says what came of it.
pub(super) fn work(runs: Vec<Run>, settings: Settings) -> Answer {
    let sink = Sink::install();
    let (ready, is_ready) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    // Memory is looked at from here, as a confined thread opens no files.
    let body = move || {
        attack(&runs, &settings, || {
            let _ = ready.send(());
            let _ = may_go.recv();
        })
    };
    let thread = std::thread::Builder::new().name("worker-0".to_owned()).stack_size(STACK).spawn(body);
    let mut before = None;
    let ended = thread.map(|thread| {
        if is_ready.recv().is_ok() {
            before = resident();
            let _ = go.send(());
        }
        thread.join()
    });
    let mut answer = match ended {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => Answer { breaches: vec![panicked(&*panic)], ..Answer::default() },
        Err(error) => Answer { breaches: vec![format!("cannot start a thread: {error}")], ..Answer::default() },
    };
    answer.log = sink.lines();
    answer.grown = most_resident().zip(before).map(|(most, before)| most.saturating_sub(before));
    answer
}

/// What a panic said.
fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the worker panicked: {}", text.unwrap_or("no text"))
}

/// Does all of it; calls `ready` right before the script runs.
fn attack(runs: &[Run], settings: &Settings, ready: impl FnOnce()) -> Answer {
    let mut answer = Answer::default();
    let Ok(clock) = Clock::start() else {
        answer.breaches.push("cannot start the clock".to_owned());
        return answer;
    };
    let _busy = clock.busy();
    let begun = cpu_time();
    let program = build(runs, settings);
    answer.compiled_ms = millis(cpu_time() - begun);
    let program = program.and_then(|program| Runner::new(program.clone()).map(|runner| (program, runner)));
    let (program, runner) = match program {
        Ok(made) => made,
        Err(refused) => {
            answer.refused = Some(refused);
            // The honest one has to come out right all the same.
            match build(&[], settings).and_then(|program| Runner::new(program.clone()).map(|runner| (program, runner)))
            {
                Ok(made) => made,
                Err(error) => {
                    answer.breaches.push(format!("the honest transaction does not run: {error}"));
                    return answer;
                }
            }
        }
    };
    as_a_worker();
    Worker { program, runner, answer }.run(runs, ready)
}

/// A program of the fingerprint (step 0), the honest fields (step 1), and each of the attack's snippets.
fn build(runs: &[Run], settings: &Settings) -> Result<Arc<Program>, String> {
    let mut configuration = Configuration::default();
    let source = |name: &str, text: &str| SnippetSource::whole(&SourceFile::new(name, text));
    let mut fingerprint = plugin("pre-function");
    fingerprint.functions.push(source("fingerprint", &honest::fingerprint()));
    let mut fields = plugin(DEFAULT_LOGGER.name);
    for (key, lua, _) in honest::fields() {
        fields.fields.push(field(key, source(key, lua)));
    }
    configuration.plugins.extend([fingerprint, fields]);
    for run in runs.iter().filter_map(|run| run.source.as_ref()) {
        let mut attack = plugin(DEFAULT_LOGGER.name);
        attack.fields.push(field(FIELD, source(FIELD, run)));
        configuration.plugins.push(attack);
    }
    Program::build(&configuration, settings).map(Arc::new).map_err(|errors| {
        let texts: Vec<_> =
            errors.iter().map(|error| if error.label.is_empty() { &*error.message } else { &*error.label }).collect();
        texts.join("; ")
    })
}

fn plugin(kind: &str) -> Plugin {
    dry_run::made(kind, Origin::Unknown)
}

fn field(key: &str, source: SnippetSource) -> Field {
    Field { key: key.to_owned(), key_origin: source.line_origin(1), source }
}

struct Worker {
    program: Arc<Program>,
    runner: Runner,
    answer: Answer,
}

impl Worker {
    fn run(mut self, runs: &[Run], ready: impl FnOnce()) -> Answer {
        let before = match self.honest() {
            Ok(fingerprint) => fingerprint,
            Err(wrong) => {
                self.answer.breaches.push(format!("before the attack: {wrong}"));
                return self.answer;
            }
        };
        if self.answer.refused.is_none() {
            ready();
            for plan in plans(runs) {
                self.attack(&plan);
            }
        }
        // Twice: what the first leaves behind, the second finds.
        for _ in 0..2 {
            match self.honest() {
                Ok(now) => self.answer.breaches.extend(honest::difference(&before, &now)),
                Err(wrong) => self.answer.breaches.push(wrong),
            }
        }
        self.answer
    }

    fn attack(&mut self, plan: &[usize]) {
        let begun = cpu_time();
        let seen = self.transaction(plan);
        let cpu_ms = millis(cpu_time() - begun);
        self.answer.vm = self.answer.vm.max(self.runner.used_memory());
        let last = seen.and_then(|seen| {
            let error = seen.errors.into_iter().rfind(|(step, _)| Some(step) == plan.last()).map(|(_, error)| error);
            let message = serde_json::from_slice(seen.message.as_deref().unwrap_or(b"null"));
            let message = message.map_err(|error| format!("a message that is not JSON went out: {error}"))?;
            Ok(Ran {
                message,
                stop: error.as_ref().and_then(|error| error.stop).map(|stop| stop.name().to_owned()),
                error: error.map(|error| error.message),
                cpu_ms,
            })
        });
        match last {
            Ok(ran) => self.answer.ran.push(ran),
            Err(breach) => self.answer.breaches.push(breach),
        }
    }

    /// Runs the honest transaction; gives the fingerprint, or what is wrong.
    fn honest(&mut self) -> Result<Value, String> {
        let seen = self.transaction(&[0, 1])?;
        if let Some((_, error)) = seen.errors.first() {
            return Err(format!("an honest field failed: {error}"));
        }
        let mut message: Value = serde_json::from_slice(seen.message.as_deref().unwrap_or(b"null"))
            .map_err(|error| format!("the honest message is not JSON: {error}"))?;
        let fingerprint = message.as_object_mut().and_then(|members| members.remove("fingerprint")).unwrap_or_default();
        let expected = honest::message();
        if message == expected {
            return Ok(fingerprint);
        }
        Err(format!("the honest message is {}, not {}", message["honest"], expected["honest"]))
    }

    fn transaction(&mut self, plan: &[usize]) -> Result<Seen, String> {
        let limits = logphase_script::transaction::Limits::default();
        let transaction = Transaction::parse(honest::TRANSACTION, &limits).map_err(|error| error.to_string())?;
        let mut seen = Seen::default();
        // What the service's workers do: a panic costs the batch, and the VM is made anew.
        let run = AssertUnwindSafe(|| self.runner.run(transaction, plan, &mut seen));
        if std::panic::catch_unwind(run).is_err() {
            self.runner.recreate_vm();
            return Err("the worker panicked".to_owned());
        }
        debug_assert!(plan.iter().all(|step| *step < self.program.steps.len()), "a plan names steps of the program");
        Ok(seen)
    }
}

/// The steps of each of the script's transactions.
fn plans(runs: &[Run]) -> Vec<Vec<usize>> {
    let mut plans: Vec<Vec<usize>> = Vec::new();
    let mut step = 1;
    for run in runs {
        step += usize::from(run.source.is_some());
        match plans.last_mut() {
            Some(plan) if run.same_transaction => plan.push(step),
            _ => plans.push(vec![step]),
        }
    }
    plans
}

/// The last message of a transaction, and what failed.
#[derive(Default)]
struct Seen {
    message: Option<Bytes>,
    errors: Vec<(usize, ScriptError)>,
}

impl Observer for Seen {
    fn message(&mut self, _: usize, message: Bytes) {
        self.message = Some(message);
    }

    fn failed(&mut self, part: Part, error: &ScriptError) {
        self.errors.push((part.step, error.clone()));
    }

    fn dropped(&mut self, _: usize) {}

    fn refused(&mut self, _: usize, _: &BodyError) {}
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1000.0
}

/// CPU time of this thread: what others do on the machine is not the script's fault.
fn cpu_time() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
    #[cfg(not(target_os = "linux"))]
    {
        static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        ORIGIN.get_or_init(std::time::Instant::now).elapsed()
    }
}

/// Bytes of memory that the process has now; what it had at most is counted anew from here on.
fn resident() -> Option<usize> {
    // Where this is not allowed, the most is counted from the start of the process, in which it has not been more.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    of_status("VmRSS:")
}

/// Bytes of memory that it had at most.
fn most_resident() -> Option<usize> {
    of_status("VmHWM:")
}

fn of_status(name: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kilobytes| kilobytes << 10)
}
