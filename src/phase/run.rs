//! One transaction through the log phase.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::breaker::{Suspension, Verdict};
use super::plan::{Plan, Planner};
use super::program::{Program, Step};
use logphase_queue::metric::Cell;
use logphase_script::message::{BodyError, Message};
use logphase_script::transaction::Transaction;
use logphase_script::{ScriptError, SnippetId, Stop, Vm};

/// Which part of a plugin failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Index of the step in the program.
    pub step: usize,
    /// Index of the field or function in the step.
    pub part: usize,
}

/// Sees what a transaction becomes.
pub trait Observer {
    /// A logging plugin's message, in execution order.
    fn message(&mut self, step: usize, message: Bytes);
    /// A part failed; without `on_error: drop` the message goes out all the same.
    fn failed(&mut self, part: Part, error: &ScriptError);
    /// A logging plugin emits nothing because of a failure and `on_error: drop`.
    fn dropped(&mut self, step: usize);
    /// A logging plugin emits nothing because a body is not what its content type says.
    fn refused(&mut self, step: usize, error: &BodyError);
}

/// A VM with a program's snippets, and its planner. Lives on one thread.
pub struct Runner {
    program: Arc<Program>,
    planner: Planner,
    vm: Vm,
    /// What each step has loaded.
    loaded: Vec<Loaded>,
    /// For each step, where the times of its parts are noted, if they are.
    clocks: Vec<Stopwatch>,
    /// The VM ran out of memory and is to be made anew.
    spoilt: bool,
}

impl Runner {
    /// Makes the VM and loads every snippet of `program`.
    ///
    /// # Errors
    /// The snippets do not fit the memory limit.
    pub fn new(program: Arc<Program>) -> Result<Self, String> {
        let (vm, loaded) = load(&program)?;
        Ok(Self { planner: Planner::new(program.clone()), program, vm, loaded, clocks: Vec::new(), spoilt: false })
    }

    /// Notes now and then how long the parts take, as worker number `worker`.
    #[must_use]
    pub fn measured(mut self, worker: usize) -> Self {
        let clock = |_: &Step| Stopwatch { worker, cells: Vec::new(), turn: 0 };
        self.clocks = self.program.steps.iter().map(clock).collect();
        self
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The plan for `transaction`.
    pub fn plan(&mut self, transaction: &Transaction) -> Plan {
        self.planner.plan(transaction)
    }

    /// Bytes that the VM holds.
    pub fn used_memory(&self) -> usize {
        self.vm.used_memory()
    }

    /// Runs `plan` for `transaction`.
    pub fn run(&mut self, transaction: Transaction, plan: &[usize], observer: &mut impl Observer) {
        self.vm.begin(Message::new(transaction, self.program.style()));
        // Of a plugin that edits nothing the bytes are those of the one before.
        let mut last: Option<(u64, Bytes)> = None;
        for (at, &step) in plan.iter().enumerate() {
            let sound = self.run_parts(step, observer);
            if !sound && self.program.steps[step].drops {
                // As in Kong, where an error ends the whole log phase.
                for &step in &plan[at..] {
                    if self.program.steps[step].definition.emits {
                        observer.dropped(step);
                    }
                }
                break;
            }
            if self.program.steps[step].definition.emits {
                let shape = &self.program.steps[step].shape;
                let encoded = self.vm.with_message(|message| match &last {
                    _ if !shape.is_plain(message) => message.shaped(shape).map(Bytes::from),
                    Some((version, bytes)) if *version == message.version() => Ok(bytes.clone()),
                    _ => {
                        let bytes = Bytes::from(message.to_vec());
                        last = Some((message.version(), bytes.clone()));
                        Ok(bytes)
                    }
                });
                match encoded.expect("a message is at hand between begin and end") {
                    Ok(bytes) => observer.message(step, bytes),
                    Err(error) => observer.refused(step, &error),
                }
            }
        }
        self.vm.end();
        if std::mem::take(&mut self.spoilt) {
            self.renew();
        }
    }

    /// Runs a step's fields or functions; whether all went well.
    fn run_parts(&mut self, step: usize, observer: &mut impl Observer) -> bool {
        let Loaded { snippets, name, id } = &self.loaded[step];
        if snippets.is_empty() {
            return true;
        }
        self.vm.enter_plugin(step, name);
        self.vm.set_plugin_id(id);
        let mut sound = true;
        let program = &self.program.steps[step];
        let mut lap = self.clocks.get_mut(step).and_then(|clock| clock.start(program));
        for (part, (&snippet, compiled)) in snippets.iter().zip(&program.parts).enumerate() {
            let breaker = &program.breakers.parts()[part];
            let left_out = breaker.leaves_out();
            let result = match (left_out, &compiled.path) {
                (Some(left), _) => Err(suspended(left)),
                (None, Some(path)) => self.vm.run_field(snippet, path),
                (None, None) => self.vm.run_function(snippet),
            };
            if let Some(begun) = &mut lap {
                let now = Instant::now();
                if left_out.is_none() {
                    self.clocks[step].cells[part].record(now - *begun);
                }
                *begun = now;
            }
            let verdict = match result.as_ref().map_err(|error| error.stop) {
                Err(Some(budget)) => breaker.stopped(budget, &self.program.suspension),
                _ => breaker.ended(),
            };
            if verdict != Verdict::GoOn {
                tell(program, part, verdict, &self.program.suspension);
            }
            if let Err(error) = result {
                // Whoever was stopped right before the limit leaves as little room as who met it.
                self.spoilt |= error.stop == Some(Stop::Memory) || (error.stop.is_some() && self.vm.is_cramped());
                observer.failed(Part { step, part }, &error);
                sound = false;
                if program.drops {
                    break;
                }
            }
        }
        sound
    }

    /// Makes the VM anew, after it ran out of memory or a panic left it in an unknown state.
    pub fn renew(&mut self) {
        match load(&self.program) {
            Ok((vm, loaded)) => (self.vm, self.loaded) = (vm, loaded),
            Err(error) => tracing::error!(%error, "the Lua VM could not be made anew and goes on as it is"),
        }
    }
}

fn suspended(left: std::time::Duration) -> ScriptError {
    let message = format!("not run: suspended for {left:.0?} more, as it ran out of time too often in a row");
    ScriptError { message, line: None, stop: Some(Stop::Suspended) }
}

#[cold]
fn tell(step: &Step, part: usize, verdict: Verdict, suspension: &Suspension) {
    let field = step.parts[part].name(part);
    let Suspension { after, time } = suspension;
    if verdict == Verdict::Recovered {
        tracing::info!(plugin = %step.label, field, "a suspended Lua snippet is well again");
        return;
    }
    let place = step.parts[part].source.line_origin(1);
    tracing::error!(plugin = %step.label, field, %place, "a Lua snippet is suspended for {time:?}: it ran out of time or \
        memory {after} times in a row; mend it and reload (settings: lua.suspend_after, lua.suspend_for)");
}

/// Measures every so many runs of a step, so that it costs next to nothing.
struct Stopwatch {
    worker: usize,
    /// One for each part; none before the first run, as of many plugins most may never run.
    cells: Vec<Arc<Cell>>,
    turn: u8,
}

/// The first run is measured, then one in so many.
const MEASURED: u8 = 16;

impl Stopwatch {
    fn start(&mut self, step: &Step) -> Option<Instant> {
        let turn = self.turn;
        self.turn = (turn + 1) % MEASURED;
        if turn > 0 {
            return None;
        }
        if self.cells.is_empty() {
            self.cells = step.breakers.parts().iter().map(|part| part.totals().cell(self.worker)).collect();
        }
        Some(Instant::now())
    }
}

/// One step's part of a VM.
struct Loaded {
    snippets: Vec<SnippetId>,
    /// The plugin's name for log lines.
    name: Rc<str>,
    /// The plugin's identifier.
    id: Rc<str>,
}

fn load(program: &Program) -> Result<(Vm, Vec<Loaded>), String> {
    let too_small = |error: mlua::Error| {
        let limit = program.options.limits.memory;
        format!("the snippets do not fit a Lua VM of {limit} bytes: raise the setting lua.memory_limit ({error})")
    };
    let mut vm = Vm::new(&program.options).map_err(too_small)?;
    let mut loaded = Vec::with_capacity(program.steps.len());
    for step in &program.steps {
        let snippets: Result<Vec<_>, _> = step.parts.iter().map(|part| vm.load(&part.code)).collect();
        let (name, id) = (Rc::from(&*step.label), Rc::from(&*step.id));
        loaded.push(Loaded { snippets: snippets.map_err(too_small)?, name, id });
    }
    Ok((vm, loaded))
}
