//! Runs the log phase of one transaction.

use logphase_io::count::times;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::breaker::{Breaker, Suspension, Transition};
use super::fit::Fit;
use super::loaded::{Loaded, too_small};
use super::plan::{Plan, Planner};
use super::program::{Compiled, Program, Step};
use super::worker::WorkerStats;
use crate::router::{Destination, RouteFinder};
use logphase_queue::metric::Cell;
use logphase_script::message::{BodyError, Message, Redacted, Snapshot};
use logphase_script::transaction::Transaction;
use logphase_script::{AppliedEdit, FieldResult, Phase, ScriptError, Stop, Vm};

/// A field or function of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Index of the step in the program.
    pub step: usize,
    /// Index of the field or function in the step.
    pub part: usize,
}

/// Observes the log phase of a transaction.
pub trait Observer {
    /// A logging plugin emits a message. Called in execution order.
    fn message(&mut self, step: usize, message: Bytes);
    /// A part failed. Unless `on_error` is `drop`, the message is still emitted.
    fn failed(&mut self, part: Part, error: &ScriptError);
    /// A logging plugin emits nothing, because of a failure with `on_error: drop`.
    fn dropped(&mut self, step: usize);
    /// A logging plugin emits nothing, because a body does not match its content type.
    fn refused(&mut self, step: usize, error: &BodyError);

    /// Whether [`Self::edited`] and [`Self::ran`] are to be called: nothing is noted otherwise.
    fn looks(&self) -> bool {
        false
    }
    /// A part has changed the message: its edits in their order, and how many more there were.
    fn edited(&mut self, _: Part, _: Vec<AppliedEdit>, _: usize) {}
    /// A part of a step has run, and has taken this long.
    fn ran(&mut self, _: usize, _: Duration) {}
    /// As [`Self::message`]; the last argument says which values were redacted, as many as it is asked for at most.
    fn message_with(&mut self, step: usize, message: Bytes, _: &dyn Fn(usize) -> Vec<Redacted>) {
        self.message(step, message);
    }
}

/// A VM with the snippets of a program, and a planner. Each worker has one.
pub struct Runner {
    /// A counter of this thread's own: that of the program is shared with all workers.
    #[expect(clippy::redundant_allocation, reason = "the counter of the `Arc` is what is not to be touched")]
    program: Rc<Arc<Program>>,
    planner: Planner,
    routes: RouteFinder,
    vm: Vm,
    /// The groups of consumers, if a step has a condition.
    conditions: Option<Groups>,
    /// The snippets that are loaded.
    loaded: Loaded,
    has_snippets: bool,
    /// Whose heartbeat shows what runs.
    heartbeat: Option<(Arc<WorkerStats>, usize)>,
    /// The timer of each step; empty if runs are not measured.
    timers: Vec<SampledTimer>,
    /// The VM ran out of memory and must be recreated.
    out_of_memory: bool,
    /// Whether the phases before the log phase run for the next transactions, too.
    replays: bool,
    /// The phase that runs.
    phase: Phase,
    /// The CPU time that each step has used in earlier phases of the transaction, in microseconds; empty if none is replayed.
    used: Vec<u64>,
    /// Whether somebody looks at what snippets change.
    noting: bool,
}

impl Runner {
    /// Creates the VM for `program`. The snippets of a step are loaded when it first runs: a program can have many more than a VM
    /// has room for, of which most run rarely.
    ///
    /// # Errors
    /// The environment of the snippets does not fit the memory limit.
    pub fn new(program: Arc<Program>) -> Result<Self, String> {
        let vm = Vm::new(&program.options).map_err(|error| too_small(&program, &error))?;
        Ok(Self {
            planner: Planner::new(program.clone()),
            routes: RouteFinder::new(program.router.clone()),
            conditions: program.steps.iter().any(|step| step.condition.is_some()).then(|| Groups::new(&program)),
            loaded: Loaded::none_of(&program),
            has_snippets: program.has_snippets(),
            program: Rc::new(program),
            vm,
            heartbeat: None,
            timers: Vec::new(),
            out_of_memory: false,
            replays: false,
            phase: Phase::Log,
            used: Vec::new(),
            noting: false,
        })
    }

    /// Measures the duration of a sample of the runs, as worker number `worker`.
    #[must_use]
    pub fn timed(mut self, worker: usize) -> Self {
        let timer = |_: &Arc<Step>| SampledTimer { worker, cells: Vec::new(), runs: [0; PHASES] };
        self.timers = self.program.steps.iter().map(timer).collect();
        self
    }

    /// Shows in a worker's heartbeat what runs.
    #[must_use]
    pub(super) fn with_heartbeat(mut self, worker_stats: Arc<WorkerStats>, worker: usize) -> Self {
        self.heartbeat = Some((worker_stats, worker));
        self
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Adds the route and service of `transaction`, unless its proxy has said them. Returns what was added.
    pub fn fill_route(&mut self, transaction: &mut Transaction) -> Option<&Destination> {
        self.routes.fill(transaction)
    }

    /// The plan for `transaction`: the plugins in whose scope it is, and whose conditions hold.
    pub fn plan(&mut self, transaction: &Transaction) -> Plan {
        let plan = self.planner.plan(transaction);
        if self.conditions.is_none() || plan.iter().all(|step| self.program.steps[*step].condition.is_none()) {
            return plan;
        }
        plan.only(&self.program.steps, |step| self.holds(step, transaction))
    }

    /// Whether the plugin of a step runs for every transaction, but for L4 sessions.
    pub(super) fn runs_for_all(&self, step: usize) -> bool {
        let of_step = self.program.steps.get(step);
        of_step.is_some_and(|of_step| of_step.condition.is_none())
            && self.planner.only().is_some_and(|plan| plan.contains(&step))
    }

    /// Whether the condition of a step holds. One that fails does not: in Kong it answers the request with an error.
    fn holds(&self, step: usize, transaction: &Transaction) -> bool {
        let step = &self.program.steps[step];
        let Some(condition) = &step.condition else { return true };
        let groups = self.conditions.as_ref().and_then(|groups| groups.of(transaction)).unwrap_or_default();
        condition.holds(transaction, groups).unwrap_or_else(|error| {
            if let Some(repeated) = step.condition_errors.admit() {
                tracing::warn!(plugin = %step.label, %error, repeated, "a condition cannot be evaluated, and the plugin does not run");
            }
            false
        })
    }

    /// Whether each step of the program runs for `transaction`, and why not.
    pub fn explain(&mut self, transaction: &Transaction) -> Vec<Fit> {
        let mut fits = self.planner.explain(transaction);
        for (step, fit) in fits.iter_mut().enumerate() {
            if *fit == Fit::Runs && !self.holds(step, transaction) {
                *fit = Fit::Condition;
            }
        }
        fits
    }

    /// Bytes of the VM.
    pub fn used_memory(&self) -> usize {
        self.vm.used_memory()
    }

    /// Whether the program has anything that runs in the VM.
    pub fn has_snippets(&self) -> bool {
        self.has_snippets
    }

    /// Whether the transactions that run next are of traffic that Kong did not serve: the phases of the program's `replay` run
    /// before the log phase for them.
    pub fn set_replay(&mut self, replays: bool) {
        self.replays = replays && !self.program.replay.is_empty();
    }

    /// Runs `plan` for `transaction`.
    pub fn run(&mut self, transaction: Transaction, plan: &[usize], observer: &mut impl Observer) {
        let size = transaction.bytes().len();
        let program = self.program.clone();
        if self.has_snippets {
            self.make_room(plan);
        }
        self.vm.begin(Message::new(transaction, program.style()));
        self.noting = observer.looks();
        self.vm.note_edits(self.noting);
        self.used.clear();
        if !self.replays || self.replay(&program, plan, size, observer) {
            self.log(&program, plan, size, observer);
        } else {
            drop_all(&program, plan, observer);
        }
        self.vm.end();
        if std::mem::take(&mut self.out_of_memory) {
            self.recreate_vm();
        }
    }

    /// Runs the phases before the log phase. Returns false if a function failed whose plugin drops its messages then.
    fn replay(&mut self, program: &Program, plan: &[usize], size: usize, observer: &mut impl Observer) -> bool {
        self.used.resize(program.steps.len(), 0);
        let mut succeeded = true;
        'phases: for &phase in &program.replay {
            self.enter_phase(phase);
            for &step in plan {
                if !self.run_parts(program, step, size, observer) && program.steps[step].drops {
                    succeeded = false;
                    break 'phases;
                }
            }
        }
        self.enter_phase(Phase::Log);
        succeeded
    }

    fn enter_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.vm.enter_phase(phase);
    }

    /// Runs the log phase.
    fn log(&mut self, program: &Program, plan: &[usize], size: usize, observer: &mut impl Observer) {
        // A plugin without edits reuses the encoded message of the previous one.
        let mut last: Option<(u64, Bytes)> = None;
        for (at, &step) in plan.iter().enumerate() {
            let before = self.before_attributes(&program.steps[step]);
            let succeeded = self.run_parts(program, step, size, observer);
            if !succeeded && program.steps[step].drops {
                drop_all(program, &plan[at..], observer);
                break;
            }
            if program.steps[step].definition.emits {
                let shape = &program.steps[step].shape;
                let encoded = self.vm.with_message(|message| match &last {
                    _ if !shape.is_plain(message) => message.shaped(shape).map(Bytes::from),
                    Some((version, bytes)) if *version == message.version() => Ok(bytes.clone()),
                    _ => {
                        let bytes = Bytes::from(message.to_vec());
                        last = Some((message.version(), bytes.clone()));
                        Ok(bytes)
                    }
                });
                match encoded.expect("there is a message between begin and end") {
                    Ok(bytes) => {
                        let vm = &self.vm;
                        let redacted = |most| vm.with_message(|message| message.redactions(shape, most));
                        observer.message_with(step, bytes, &|most| redacted(most).unwrap_or_default());
                    }
                    Err(error) => observer.refused(step, &error),
                }
            }
            if let Some(before) = before {
                self.vm.with_message(|message| message.undo(before));
            }
        }
    }

    /// The message before a step sets attributes, which no later step sees.
    fn before_attributes(&self, step: &Step) -> Option<Snapshot> {
        let sets = step.definition.fields.are_attributes && step.runs_in(Phase::Log);
        if sets { self.vm.with_message(|message| message.snapshot()) } else { None }
    }

    /// Runs the fields or functions that a step has for the current phase, on a transaction of `size` bytes. Returns whether
    /// all succeeded.
    fn run_parts(&mut self, all: &Program, step: usize, size: usize, observer: &mut impl Observer) -> bool {
        if !all.steps[step].runs_in(self.phase) {
            return true;
        }
        let program = &all.steps[step];
        if let Err(error) = self.enter_plugin(step) {
            return self.no_room(step, &error, observer);
        }
        let (mut succeeded, mut stopped) = (true, false);
        let mut noted = self.noting.then(Instant::now);
        let mut lap = self.timers.get_mut(step).and_then(|timer| timer.start(program, self.phase));
        for (part, breaker) in program.breakers().iter().enumerate() {
            if program.parts[part].phase != self.phase {
                continue;
            }
            let skipped = breaker.skip(size);
            let result = match skipped {
                Some(left) => Err(suspended(left)),
                None => self.run_part(step, part),
            };
            if let Some(started) = &mut lap {
                let now = Instant::now();
                if skipped.is_none() {
                    self.timers[step].cells[part].record(now - *started);
                }
                *started = now;
            }
            if self.phase != Phase::Log {
                self.after_replayed(step, breaker);
            }
            if self.noting {
                let (edits, left_out) = self.vm.take_edits();
                observer.edited(Part { step, part }, edits, left_out);
                observer.ran(step, noted.replace(Instant::now()).map_or(Duration::ZERO, |begun| begun.elapsed()));
            }
            let transition = match result.as_ref().map_err(|error| error.stop) {
                Err(Some(budget)) => breaker.record_stop(budget, &self.program.suspension, size),
                _ => breaker.record_end(size),
            };
            if transition != Transition::None {
                log_transition(program, part, transition, &self.program.suspension);
            }
            if let Err(error) = result {
                // A snippet that was stopped has the blame for what it leaves, and not the last one of the plugin.
                stopped |= matches!(error.stop, Some(Stop::Deadline | Stop::PluginDeadline | Stop::Memory));
                // A snippet that was stopped just below the limit also leaves too little memory.
                self.out_of_memory |=
                    error.stop == Some(Stop::Memory) || (error.stop.is_some() && self.vm.is_cramped());
                observer.failed(Part { step, part }, &error);
                succeeded = false;
                if program.drops {
                    break;
                }
            }
        }
        // The next plugin finds as much memory as this one did; also after a snippet that was stopped just below the half.
        let is_high = (stopped || self.vm.is_cramped())
            && self.vm.held_bytes() > self.program.options.limits.memory / 4
            && self.vm.holds_much();
        if is_high {
            if !stopped {
                self.blame_for_memory(step, size, observer);
            }
            self.renew_vm();
        }
        succeeded
    }

    /// Makes the snippets of a step the next to run. Loads them if they are not.
    ///
    /// # Errors
    /// They do not fit the VM beside what it has.
    fn enter_plugin(&mut self, step: usize) -> Result<(), String> {
        let loaded = self.loaded.step(&mut self.vm, &self.program, step)?;
        self.vm.enter_plugin(step, &loaded.name);
        self.vm.set_plugin_id(&loaded.id);
        if let Some(used) = self.used.get(step) {
            self.vm.charge_plugin(*used);
        }
        Ok(())
    }

    /// Makes the VM a new one if its snippets take much of it and `plan` has others.
    fn make_room(&mut self, plan: &[usize]) {
        if self.loaded.is_much(&self.vm) && plan.iter().any(|step| !self.loaded.has(*step)) {
            self.recreate_vm();
        }
    }

    /// Loads the snippets of a step, as if a transaction needed them.
    ///
    /// # Errors
    /// They do not fit the memory limit.
    pub fn load(&mut self, step: usize) -> Result<(), String> {
        self.make_room(&[step]);
        self.loaded.step(&mut self.vm, &self.program, step).map(drop)
    }

    /// Records that the snippets of a step found no room beside those that the transaction needed before. Returns false.
    #[cold]
    fn no_room(&mut self, step: usize, error: &str, observer: &mut impl Observer) -> bool {
        self.out_of_memory = true;
        for (part, compiled) in self.program.steps[step].parts.iter().enumerate() {
            if compiled.phase == self.phase {
                let error = ScriptError { message: error.to_owned(), line: None, stop: Some(Stop::Memory) };
                observer.failed(Part { step, part }, &error);
            }
        }
        false
    }

    /// Notes what a function of a replayed phase used of its plugin's time, and what it called without effect.
    fn after_replayed(&mut self, step: usize, breaker: &Breaker) {
        self.used[step] = self.vm.plugin_time();
        let names = self.vm.take_no_effect();
        if !names.is_empty() {
            breaker.totals().add_no_effect(&names);
        }
    }

    /// Runs a field or a function. If it finds no memory because of what earlier ones hold, it runs again in a new VM.
    fn run_part(&mut self, step: usize, part: usize) -> FieldResult {
        let before = self.vm.held_bytes();
        let result = self.try_part(step, part);
        let ran_out = result.as_ref().is_err_and(|error| error.stop == Some(Stop::Memory));
        // Without much in use before, it has used up the memory by itself.
        if !ran_out || before < self.program.options.limits.memory / 8 || !self.vm.holds_much() {
            return result;
        }
        self.renew_vm();
        match self.enter_plugin(step) {
            Ok(()) => self.try_part(step, part),
            Err(_) => result,
        }
    }

    fn try_part(&mut self, step: usize, part: usize) -> FieldResult {
        if let Some((worker_stats, worker)) = &self.heartbeat {
            worker_stats.heartbeats[*worker].at(step, part);
        }
        let snippet = self.loaded.snippet(step, part);
        match &self.program.steps[step].parts[part].path {
            Some(path) if self.program.steps[step].definition.fields.are_attributes => {
                self.vm.run_attribute(snippet, path)
            }
            Some(path) => self.vm.run_field(snippet, path),
            None => self.vm.run_function(snippet),
        }
    }

    /// Records that a plugin leaves so much in `kong.ctx` or `ngx.ctx` that the next one may find no memory.
    #[cold]
    fn blame_for_memory(&self, step: usize, size: usize, observer: &mut impl Observer) {
        let program = &self.program.steps[step];
        let of_phase = |part: &Compiled| part.phase == self.phase;
        let part = program.parts.iter().rposition(of_phase).expect("a part of the phase has run");
        let message =
            format!("the plugin leaves {} bytes in kong.ctx or ngx.ctx, which are removed", self.vm.held_bytes());
        let error = ScriptError { message, line: None, stop: Some(Stop::Memory) };
        let transition = program.breakers()[part].record_stop(Stop::Memory, &self.program.suspension, size);
        if transition != Transition::None {
            log_transition(program, part, transition, &self.program.suspension);
        }
        observer.failed(Part { step, part }, &error);
    }

    /// Goes on with the current message in a new VM.
    #[cold]
    fn renew_vm(&mut self) {
        let message = self.vm.end();
        self.recreate_vm();
        if let Some(message) = message {
            self.vm.begin(message);
            self.vm.note_edits(self.noting);
            self.vm.enter_phase(self.phase);
        }
    }

    /// Recreates the VM after it ran out of memory, or after a panic left it in an unknown state.
    pub fn recreate_vm(&mut self) {
        match self.vm.renewed(&self.program.options) {
            Ok(vm) => (self.vm, self.loaded) = (vm, Loaded::none_of(&self.program)),
            Err(error) => tracing::error!(%error, "the Lua VM cannot be recreated, and stays as it is"),
        }
    }
}

/// The groups of consumers that the configuration says, by id and by username.
struct Groups(HashMap<String, Vec<String>>);

impl Groups {
    fn new(program: &Program) -> Self {
        Self(program.memberships.iter().cloned().collect())
    }

    fn of(&self, transaction: &Transaction) -> Option<&[String]> {
        let consumer = super::identity::names(transaction, "consumer", "username");
        consumer.into_iter().flatten().find_map(|name| self.0.get(&*name)).map(Vec::as_slice)
    }
}

fn suspended(left: std::time::Duration) -> ScriptError {
    let message =
        format!("skipped: suspended for another {left:.0?}, because it ran out of time or memory in nearly all runs");
    ScriptError { message, line: None, stop: Some(Stop::Suspended) }
}

#[cold]
fn log_transition(step: &Step, part: usize, transition: Transition, suspension: &Suspension) {
    let field = step.parts[part].name();
    let Suspension { after, time } = suspension;
    let Transition::Suspended { from_bytes } = transition else {
        tracing::info!(plugin = %step.label, field, "a Lua snippet that was suspended has succeeded, and runs again");
        return;
    };
    let place = step.parts[part].source.line_origin(1);
    let which = match from_bytes {
        0 => String::new(),
        bytes => format!(" for transactions of {bytes} bytes or more"),
    };
    tracing::error!(plugin = %step.label, field, %place, "a Lua snippet is suspended for {time:?}{which}: it ran out of time or \
        memory {} there; correct it and reload (settings: lua.suspend_after, lua.suspend_for)", times(u64::from(*after)));
}

/// As in Kong, an error ends the log phase for all later plugins: none of the steps emits its message.
fn drop_all(program: &Program, steps: &[usize], observer: &mut impl Observer) {
    for &step in steps.iter().filter(|step| program.steps[**step].definition.emits) {
        observer.dropped(step);
    }
}

/// The number of phases that parts can belong to.
const PHASES: usize = Phase::REPLAYED.len() + 1;

/// Measures one in [`SAMPLE_INTERVAL`] runs of a step in each phase, to keep the overhead low.
struct SampledTimer {
    worker: usize,
    /// A cell for each part; empty before the first run, because most plugins of a large configuration may never run.
    cells: Vec<Arc<Cell>>,
    /// By phase.
    runs: [u8; PHASES],
}

/// The first run is measured, then every sixteenth.
const SAMPLE_INTERVAL: u8 = 16;

impl SampledTimer {
    fn start(&mut self, step: &Step, phase: Phase) -> Option<Instant> {
        let next = &mut self.runs[phase as usize];
        let run = *next;
        *next = (run + 1) % SAMPLE_INTERVAL;
        if run > 0 {
            return None;
        }
        if self.cells.is_empty() {
            self.cells = step.breakers().iter().map(|part| part.totals().cell(self.worker)).collect();
        }
        Some(Instant::now())
    }
}
