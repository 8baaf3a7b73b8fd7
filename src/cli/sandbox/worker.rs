//! Runs one script inside the child process, as a worker of the service does.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::honest;
use super::log_capture::{LogCapture, LogStats};
use super::script::Run;
use crate::confinement::ThreadFilter;
use crate::dry_run;
use crate::entity::{Configuration, EarlierFunction, Field, Plugin};
use crate::phase::{Observer, Part, Program, Runner};
use crate::plugin::DEFAULT_LOGGER;
use crate::settings::Settings;
use logphase_config::diagnostic::{Origin, SourceFile};
use logphase_config::document::SnippetSource;
use logphase_script::message::BodyError;
use logphase_script::transaction::Transaction;
use logphase_script::{Clock, Phase, ScriptError};

/// The stack size of a worker thread in the service.
const STACK: usize = 8 << 20;

/// The field that holds the value of the attack.
const FIELD: &str = "attack";
/// The honest field after it, in the same plugin, and that of the next plugin.
const BESIDE: &str = "beside";
const BEYOND: &str = "beyond";
const HONEST: &str = "local t = {} for i = 1, 100 do t[i] = 'x' .. i end return kong.request.get_method() .. #t";

/// The report of the child process.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    /// Why the script did not compile or did not fit in the VM.
    pub(super) refused: Option<String>,
    /// The CPU time of compiling it, in milliseconds.
    pub(super) compiled_ms: f64,
    /// The result of each run.
    pub(super) runs: Vec<RunResult>,
    /// The largest memory of the VM at the end of a run, in bytes.
    pub(super) vm: usize,
    /// The largest growth of the process while the script ran, in bytes, if the system reports it.
    pub(super) grown: Option<usize>,
    /// Statistics of the log.
    pub(super) log: LogStats,
    /// What the attack changed.
    pub(super) breaches: Vec<String>,
}

/// The result of one run of a snippet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct RunResult {
    /// The message; its member `attack` is the value.
    pub(super) message: Value,
    /// Why the snippet failed.
    pub(super) error: Option<String>,
    /// The budget that it used up.
    pub(super) stop: Option<String>,
    /// The CPU time, in milliseconds.
    pub(super) cpu_ms: f64,
}

/// Confines this thread as the service confines its workers.
fn confine_like_a_worker() {
    logphase_script::prepare();
    // Without seccomp, the Lua sandbox is the only layer.
    if let Ok(filter) = ThreadFilter::for_workers() {
        filter.apply();
    }
}

/// Runs the script on a new thread.
pub(super) fn work(runs: Vec<Run>, settings: Settings) -> Report {
    let log = LogCapture::install();
    let (ready_sender, ready) = mpsc::channel();
    let (start_sender, start) = mpsc::channel();
    // Memory is measured on this thread: a confined thread cannot open files.
    let body = move || {
        attack(&runs, &settings, || {
            let _ = ready_sender.send(());
            let _ = start.recv();
        })
    };
    let thread = std::thread::Builder::new().name("worker-0".to_owned()).stack_size(STACK).spawn(body);
    let mut before = None;
    let ended = thread.map(|thread| {
        if ready.recv().is_ok() {
            before = reset_peak_memory();
            let _ = start_sender.send(());
        }
        thread.join()
    });
    let mut report = match ended {
        Ok(Ok(report)) => report,
        Ok(Err(panic)) => Report { breaches: vec![panicked(&*panic)], ..Report::default() },
        Err(error) => Report { breaches: vec![format!("cannot start a thread: {error}")], ..Report::default() },
    };
    report.log = log.stats();
    report.grown = peak_memory().zip(before).map(|(peak, before)| peak.saturating_sub(before));
    report
}

/// The message of a panic.
fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the worker panicked: {}", text.unwrap_or("no text"))
}

/// Compiles and runs the script. Calls `ready` right before it runs.
fn attack(runs: &[Run], settings: &Settings, ready: impl FnOnce()) -> Report {
    let mut report = Report::default();
    let Ok(clock) = Clock::start() else {
        report.breaches.push("cannot start the clock".to_owned());
        return report;
    };
    let _busy = clock.busy();
    let begun = cpu_time();
    let program = build(runs, settings);
    report.compiled_ms = millis(cpu_time() - begun);
    let program = program.and_then(|program| Runner::new(program.clone()).map(|runner| (program, runner)));
    let (program, runner) = match program {
        Ok(compiled) => compiled,
        Err(refused) => {
            report.refused = Some(refused);
            // The honest transaction must still give its expected message.
            match build(&[], settings).and_then(|program| Runner::new(program.clone()).map(|runner| (program, runner)))
            {
                Ok(compiled) => compiled,
                Err(error) => {
                    report.breaches.push(format!("the honest transaction does not run: {error}"));
                    return report;
                }
            }
        }
    };
    confine_like_a_worker();
    let mut runner = runner;
    runner.set_replay(true);
    Worker { program, runner, report }.run(runs, ready)
}

/// A program with the fingerprint (step 0), the honest fields (step 1), one step per snippet of the attack, with an honest
/// field after it, and last the plugin that runs after the attack.
fn build(runs: &[Run], settings: &Settings) -> Result<Arc<Program>, String> {
    let mut configuration = Configuration::default();
    let source = |name: &str, text: &str| SnippetSource::whole(&SourceFile::new(name, text));
    let mut fingerprint = plugin(crate::plugin::pre_function::DEFINITION.name);
    fingerprint.functions.push(source("fingerprint", &honest::fingerprint()));
    let mut fields = plugin(DEFAULT_LOGGER.name);
    for (key, lua, _) in honest::fields() {
        fields.fields.push(field(key, source(key, lua)));
    }
    configuration.plugins.extend([fingerprint, fields].map(Arc::new));
    for run in runs.iter().filter_map(|run| run.source.as_ref()) {
        let mut attack = plugin(DEFAULT_LOGGER.name);
        // The first part of the step in either case.
        match settings.replay_phases.first().and_then(|name| Phase::named(name)) {
            Some(phase) => {
                let (phase, source) = (phase.name(), source(FIELD, run));
                attack.earlier.push(EarlierFunction { phase, index: 0, source });
            }
            None => attack.fields.push(field(FIELD, source(FIELD, run))),
        }
        attack.fields.push(field(BESIDE, source(BESIDE, HONEST)));
        configuration.plugins.push(Arc::new(attack));
    }
    let mut beyond = plugin(DEFAULT_LOGGER.name);
    beyond.fields.push(field(BEYOND, source(BEYOND, HONEST)));
    configuration.plugins.push(Arc::new(beyond));
    Program::build(&configuration, settings).map(Arc::new).map_err(|errors| {
        let texts: Vec<_> =
            errors.iter().map(|error| if error.label.is_empty() { &*error.message } else { &*error.label }).collect();
        texts.join("; ")
    })
}

fn plugin(kind: &str) -> Plugin {
    dry_run::synthetic_plugin(kind, Origin::Unknown)
}

fn field(key: &str, source: SnippetSource) -> Field {
    Field { key: key.to_owned(), key_origin: source.line_origin(1), source }
}

struct Worker {
    program: Arc<Program>,
    runner: Runner,
    report: Report,
}

impl Worker {
    fn run(mut self, runs: &[Run], ready: impl FnOnce()) -> Report {
        let before = match self.honest() {
            Ok(fingerprint) => fingerprint,
            Err(problem) => {
                self.report.breaches.push(format!("before the attack: {problem}"));
                return self.report;
            }
        };
        if self.report.refused.is_none() {
            ready();
            for plan in plans(runs) {
                self.attack(&plan);
            }
        }
        // Twice: the second run finds state that the first one leaves behind.
        for _ in 0..2 {
            match self.honest() {
                Ok(now) => self.report.breaches.extend(honest::difference(&before, &now)),
                Err(problem) => self.report.breaches.push(problem),
            }
        }
        self.report
    }

    fn attack(&mut self, plan: &[usize]) {
        let mut whole = plan.to_vec();
        whole.push(self.program.steps.len() - 1);
        let begun = cpu_time();
        let collected = self.transaction(&whole);
        let cpu_ms = millis(cpu_time() - begun);
        self.report.vm = self.report.vm.max(self.runner.used_memory());
        let last = collected.and_then(|collected| {
            let of_attack = |part: &Part| Some(&part.step) == plan.last() && part.part == 0;
            let error = collected.errors.iter().rfind(|(part, _)| of_attack(part)).map(|(_, error)| error.clone());
            let message: Value = serde_json::from_slice(collected.message.as_deref().unwrap_or(b"null"))
                .map_err(|error| format!("the message is not JSON: {error}"))?;
            collected.check_others(&message, error.as_ref())?;
            Ok(RunResult {
                message,
                stop: error.as_ref().and_then(|error| error.stop).map(|stop| stop.name().to_owned()),
                error: error.map(|error| error.message),
                cpu_ms,
            })
        });
        match last {
            Ok(run) => self.report.runs.push(run),
            Err(breach) => self.report.breaches.push(breach),
        }
    }

    /// Runs the honest transaction. Returns the fingerprint, or how the message differs from the expected one.
    fn honest(&mut self) -> Result<Value, String> {
        let collected = self.transaction(&[0, 1])?;
        if let Some((_, error)) = collected.errors.first() {
            return Err(format!("an honest field failed: {error}"));
        }
        let mut message: Value = serde_json::from_slice(collected.message.as_deref().unwrap_or(b"null"))
            .map_err(|error| format!("the honest message is not JSON: {error}"))?;
        let fingerprint = message.as_object_mut().and_then(|members| members.remove("fingerprint")).unwrap_or_default();
        let expected = honest::message();
        if message == expected {
            return Ok(fingerprint);
        }
        Err(format!("the honest message is {}, not {}", message["honest"], expected["honest"]))
    }

    fn transaction(&mut self, plan: &[usize]) -> Result<Collector, String> {
        let limits = logphase_script::transaction::Limits::default();
        let transaction = Transaction::parse(honest::TRANSACTION, &limits).map_err(|error| error.to_string())?;
        let mut collected = Collector::default();
        // As in the service: after a panic the VM is recreated.
        let run = AssertUnwindSafe(|| self.runner.run(transaction, plan, &mut collected));
        if std::panic::catch_unwind(run).is_err() {
            self.runner.recreate_vm();
            return Err("the worker panicked".to_owned());
        }
        debug_assert!(plan.iter().all(|step| *step < self.program.steps.len()), "a plan names steps of the program");
        Ok(collected)
    }
}

/// The steps of each transaction of the script.
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

/// The last message of a transaction, and the errors.
#[derive(Default)]
struct Collector {
    message: Option<Bytes>,
    errors: Vec<(Part, ScriptError)>,
}

impl Collector {
    /// Fails if the honest field of the next plugin is missing, or that of the same plugin although the attack has not used
    /// up its plugin's budgets.
    fn check_others(&self, message: &Value, error: Option<&ScriptError>) -> Result<(), String> {
        let why = |key: &str| {
            let last = self.errors.last().map_or_else(|| "no error".to_owned(), |(_, error)| error.to_string());
            format!("the honest field `{key}` is {}: {last}", message[key])
        };
        let is_there = |key: &str| message[key] == "POST100";
        match error {
            _ if !is_there(BEYOND) => Err(why(BEYOND)),
            None if !is_there(BESIDE) => Err(why(BESIDE)),
            _ => Ok(()),
        }
    }
}

impl Observer for Collector {
    fn message(&mut self, _: usize, message: Bytes) {
        self.message = Some(message);
    }

    fn failed(&mut self, part: Part, error: &ScriptError) {
        self.errors.push((part, error.clone()));
    }

    fn dropped(&mut self, _: usize) {}

    fn refused(&mut self, _: usize, _: &BodyError) {}
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1000.0
}

/// The CPU time of this thread. Wall-clock time would depend on the load of the machine.
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

/// Resets the peak of the resident memory. Returns the resident memory, in bytes.
fn reset_peak_memory() -> Option<usize> {
    // If this is not permitted, the peak is that of the whole process, which has not used more memory before.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    read_status("VmRSS:")
}

/// The peak of the resident memory, in bytes.
fn peak_memory() -> Option<usize> {
    read_status("VmHWM:")
}

fn read_status(name: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kilobytes| kilobytes << 10)
}
