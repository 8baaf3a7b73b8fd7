//! The log phase without inputs and sinks: for the commands `try`, `test` and `sandbox`, and for the page's playground.

pub mod playground;
pub mod why;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::decode::kong::Format;
use crate::decode::mapping::Mapping;
use crate::decode::{Decode, DecodeError, MappedDecoder, kong};
use crate::entity::{ConfigOrigins, Configuration, Field, Plugin, Scope, Tags};
use crate::phase::{Change, Changes, Fit, Observer, Part, Program, Runner, Step, Unlogged};
use crate::settings::Settings;
use logphase_config::diagnostic::{Diagnostic, Origin, codes};
use logphase_script::message::{BodyError, Redacted};
use logphase_script::transaction::{Limits, Transaction};
use logphase_script::{AppliedEdit, Busy, Clock, ScriptError};

/// The shortest deadline of a snippet, in milliseconds.
const MIN_DEADLINE_MS: f64 = 100.0;

/// Raises short deadlines, so that a dry run does not time out on a busy machine. A snippet that `run` would stop still
/// exceeds them.
pub(crate) fn extend_deadlines(settings: &mut Settings) {
    settings.lua.deadline_ms = settings.lua.deadline_ms.max(MIN_DEADLINE_MS);
    settings.lua.plugin_deadline_ms = settings.lua.plugin_deadline_ms.max(10.0 * MIN_DEADLINE_MS);
}

/// A worker on the calling thread.
pub(crate) struct DryRun {
    runner: Runner,
    notes: bool,
    _busy: Busy,
}

/// Why nothing can be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unable {
    /// The clock of snippets does not start.
    #[error("cannot start a thread: {0}")]
    Clock(#[from] std::io::Error),
    /// The snippets do not fit a VM.
    #[error("{0}")]
    Snippets(String),
}

/// The route and service that a transaction was given.
pub(crate) struct Found {
    /// The name of the route, otherwise its id.
    pub(crate) route: String,
    /// The same of its service.
    pub(crate) service: Option<String>,
}

/// The result of one plugin of a plan.
pub(crate) struct Outcome {
    /// Index of its step in the program.
    pub(crate) step: usize,
    /// The message that it would send.
    pub(crate) message: Option<Bytes>,
    /// The parts that failed, by index in the step.
    pub(crate) errors: Vec<(usize, ScriptError)>,
    /// Why it would send nothing, if a body does not match its content type.
    pub(crate) refused: Option<BodyError>,
    /// What snippets and redaction have changed in the message; see [`DryRun::noting`].
    pub(crate) changes: Vec<Change>,
    /// Time that its snippets took, in microseconds; see [`DryRun::noting`].
    pub(crate) micros: u64,
}

/// The result of a transaction.
pub(crate) struct Ran {
    /// The transaction, with the route that the router found.
    pub(crate) transaction: Transaction,
    /// That route, if it had none.
    pub(crate) found: Option<Found>,
    /// The result of each plugin that applies, in execution order.
    pub(crate) outcomes: Vec<Outcome>,
}

impl DryRun {
    /// Creates the VM and starts the clock.
    ///
    /// # Errors
    /// The environment of the snippets does not fit the memory limit, or no thread can be started.
    pub(crate) fn new(program: &Arc<Program>) -> Result<Self, Unable> {
        Self::with_clock(program, &Clock::start()?)
    }

    /// The same, with a clock that runs already.
    ///
    /// # Errors
    /// The environment of the snippets does not fit the memory limit.
    pub(crate) fn with_clock(program: &Arc<Program>, clock: &Arc<Clock>) -> Result<Self, Unable> {
        let busy = clock.busy();
        let mut runner = Runner::new(program.clone()).map_err(Unable::Snippets)?;
        // Whoever names phases to replay wants to see them.
        runner.set_replay(true);
        Ok(Self { runner, notes: false, _busy: busy })
    }

    /// Notes what snippets change, and how long they take.
    #[must_use]
    pub(crate) fn noting(mut self) -> Self {
        self.notes = true;
        self
    }

    /// Runs `transaction`.
    pub(crate) fn run(&mut self, mut transaction: Transaction) -> Ran {
        let found = self
            .runner
            .fill_route(&mut transaction)
            .map(|found| Found { route: found.route().to_owned(), service: found.service().map(str::to_owned) });
        let plan = self.runner.plan(&transaction);
        let new =
            |&step| Outcome { step, message: None, errors: Vec::new(), refused: None, changes: Vec::new(), micros: 0 };
        let mut collector = OutcomeCollector {
            program: self.runner.program().clone(),
            outcomes: plan.iter().map(new).collect(),
            notes: self.notes,
            changes: Changes::default(),
        };
        self.runner.run(transaction.clone(), &plan, &mut collector);
        Ran { transaction, found, outcomes: collector.outcomes }
    }

    /// Whether each step of the program runs for `transaction`, and why no plugin logs it. The router finds its route as in a run.
    pub(crate) fn explain(&mut self, transaction: &Transaction) -> (Vec<Fit>, Option<Unlogged>) {
        let mut transaction = transaction.clone();
        self.runner.fill_route(&mut transaction);
        (self.runner.explain(&transaction), self.runner.plan(&transaction).unlogged)
    }

    /// Recreates the VM, so that no state of earlier runs remains.
    pub(crate) fn reset_vm(&mut self) {
        self.runner.recreate_vm();
    }
}

struct OutcomeCollector {
    program: Arc<Program>,
    outcomes: Vec<Outcome>,
    notes: bool,
    changes: Changes,
}

impl OutcomeCollector {
    fn of(&mut self, step: usize) -> &mut Outcome {
        let outcome = self.outcomes.iter_mut().find(|outcome| outcome.step == step);
        outcome.expect("only steps of the plan are run")
    }
}

impl Observer for OutcomeCollector {
    fn message(&mut self, step: usize, message: Bytes) {
        self.of(step).message = Some(message);
    }

    fn failed(&mut self, part: Part, error: &ScriptError) {
        self.of(part.step).errors.push((part.part, error.clone()));
    }

    fn dropped(&mut self, _: usize) {}

    fn refused(&mut self, step: usize, error: &BodyError) {
        self.of(step).refused = Some(error.clone());
    }

    fn looks(&self) -> bool {
        self.notes
    }

    fn edited(&mut self, part: Part, edits: Vec<AppliedEdit>, _: usize) {
        self.changes.edited(part, edits);
    }

    fn ran(&mut self, step: usize, time: Duration) {
        self.of(step).micros += u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    }

    fn message_with(&mut self, step: usize, message: Bytes, redacted: &dyn Fn(usize) -> Vec<Redacted>) {
        if self.notes {
            self.of(step).changes = self.changes.of_message(step, redacted);
            self.changes.after_message(&self.program.clone(), step);
        }
        self.message(step, message);
    }
}

/// The failure of part `part` of `step`, at its line in the configuration.
pub(crate) fn failure(step: &Step, part: usize, error: &ScriptError) -> Diagnostic {
    let compiled = &step.parts[part];
    Diagnostic::error(codes::LUA, format!("`{}` of {} failed", compiled.name(), step.label))
        .at(compiled.source.line_origin(error.line.unwrap_or(1)))
        .label(error.message.clone())
}

/// A global plugin of this kind that no file defines; diagnostics point at `origin`.
pub(crate) fn synthetic_plugin(kind: &str, origin: Origin) -> Plugin {
    Plugin {
        id: format!("{kind}-on-the-spot"),
        definition: crate::plugin::find(kind).expect("the caller names a known kind"),
        instance_name: None,
        enabled: true,
        protocols: crate::plugin::ANY.to_vec(),
        scope: Scope::default(),
        tags: Tags::default(),
        config: json!({"path": "/dev/null", "reopen": false}),
        fields: Vec::new(),
        functions: Vec::new(),
        earlier: Vec::new(),
        condition: None,
        certificate: None,
        has_references: false,
        references: Vec::new(),
        old_form: false,
        origin,
        config_origins: ConfigOrigins::default(),
    }
}

/// Adds `fields` to every plugin of `configuration` whose messages can have some. If there is none, adds one for them; diagnostics
/// point at `origin`.
pub(crate) fn add_fields(configuration: &mut Configuration, fields: &[Field], origin: Origin) {
    if fields.is_empty() {
        return;
    }
    if !configuration.plugins.iter().any(|plugin| plugin.definition.takes_fields()) {
        configuration.plugins.push(Arc::new(synthetic_plugin(crate::plugin::DEFAULT_LOGGER.name, origin)));
    }
    for plugin in configuration.plugins.iter_mut().filter(|plugin| plugin.definition.takes_fields()) {
        Arc::make_mut(plugin).fields.extend_from_slice(fields);
    }
}

/// The transactions of `body`: one object, an array, or JSON lines.
pub(crate) fn transactions(body: &Bytes, limits: &Limits) -> Result<Vec<Transaction>, DecodeError> {
    kong::document(body, limits).or_else(|error| {
        // A first line that is a whole transaction distinguishes JSON lines from an invalid document.
        let first = memchr::memchr(b'\n', body).unwrap_or(body.len());
        match Transaction::parse(body.slice(..first), limits) {
            Ok(_) => kong::lines(body, limits),
            Err(_) if body.trim_ascii().is_empty() => Ok(Vec::new()),
            Err(_) => Err(error),
        }
    })
}

/// The transactions that `mapping` makes of `body`: of one object, an array, or JSON lines.
pub(crate) fn mapped_transactions(
    body: &Bytes,
    mapping: Arc<Mapping>,
    limits: Limits,
) -> Result<Vec<Transaction>, DecodeError> {
    let decoder = MappedDecoder::new(mapping, Format::Document, limits);
    let mut transactions = Vec::new();
    if let Err(error) = decoder.decode(body.clone(), &mut transactions) {
        // A first line that is a whole object distinguishes JSON lines from an invalid document.
        let first = memchr::memchr(b'\n', body).unwrap_or(body.len());
        match decoder.decode(body.slice(..first), &mut Vec::new()) {
            Ok(()) => decoder.reading(Format::Lines).decode(body.clone(), &mut transactions)?,
            Err(_) if body.trim_ascii().is_empty() => {}
            Err(_) => return Err(error),
        }
    }
    Ok(transactions)
}

/// The line of `body`, counted from 1, with the error of `rejection`.
pub(crate) fn rejected_line(body: &[u8], rejection: &DecodeError) -> usize {
    1 + memchr::memchr_iter(b'\n', &body[..rejection.offset.min(body.len())]).count()
}

/// Why a plugin that ran would send nothing, or `None` if it sends its message.
pub(crate) fn not_sent(step: &Step, outcome: &Outcome) -> Option<String> {
    if outcome.message.is_some() {
        return None;
    }
    Some(match &outcome.refused {
        Some(error) => format!("no message: {error}, and on_body_error is drop"),
        None if step.definition.emits => "no message: a snippet failed and on_error is drop".to_owned(),
        None => sends_nothing(step),
    })
}

/// What happened with the functions of a plugin that emits nothing.
fn sends_nothing(step: &Step) -> String {
    let elsewhere = format!("its functions for {} run in Kong", step.in_kong.join(", "));
    match (step.parts.is_empty(), step.in_kong.is_empty()) {
        (true, true) => "it has no function".to_owned(),
        (true, false) => format!("nothing runs here: {elsewhere}"),
        (false, true) => "ran; it sends nothing itself".to_owned(),
        (false, false) => format!("ran; it sends nothing itself, and {elsewhere}"),
    }
}
