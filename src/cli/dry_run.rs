//! The log phase without inputs and sinks, for `try`, `test` and `sandbox`.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::{Exit, complain};
use crate::decode::kong::Format;
use crate::decode::mapping::Mapping;
use crate::decode::{Decode, DecodeError, MappedDecoder, kong};
use crate::entity::{ConfigOrigins, Configuration, Field, Plugin, Scope, Tags};
use crate::phase::{Fit, Observer, Part, Program, Runner, Step, Unlogged};
use crate::settings::Settings;
use logphase_config::diagnostic::{Diagnostic, Origin, codes};
use logphase_script::message::BodyError;
use logphase_script::transaction::{Limits, Transaction};
use logphase_script::{Busy, Clock, ScriptError};

/// The shortest deadline of a snippet, in milliseconds.
const MIN_DEADLINE_MS: f64 = 100.0;

/// Raises short deadlines, so that a dry run does not time out on a busy machine. A snippet that `run` would stop still
/// exceeds them.
pub(super) fn extend_deadlines(settings: &mut Settings) {
    settings.lua.deadline_ms = settings.lua.deadline_ms.max(MIN_DEADLINE_MS);
    settings.lua.plugin_deadline_ms = settings.lua.plugin_deadline_ms.max(10.0 * MIN_DEADLINE_MS);
}

/// A worker on the calling thread.
pub(super) struct DryRun {
    runner: Runner,
    _busy: Busy,
}

/// The route and service that a transaction was given.
pub(super) struct Found {
    /// The name of the route, otherwise its id.
    pub(super) route: String,
    /// The same of its service.
    pub(super) service: Option<String>,
}

/// The result of one plugin of a plan.
pub(super) struct Outcome {
    /// Index of its step in the program.
    pub(super) step: usize,
    /// The message that it would send.
    pub(super) message: Option<Bytes>,
    /// The parts that failed, by index in the step.
    pub(super) errors: Vec<(usize, ScriptError)>,
    /// Why it would send nothing, if a body does not match its content type.
    pub(super) refused: Option<BodyError>,
}

impl DryRun {
    /// Creates the VM and starts the clock. Prints an error if that fails.
    pub(super) fn new(program: &Arc<Program>) -> Result<Self, Exit> {
        let clock = Clock::start().map_err(|error| {
            complain(&format!("error: cannot start a thread: {error}\n"));
            Exit::Unavailable
        })?;
        let busy = clock.busy();
        let mut runner = Runner::new(program.clone()).map_err(|error| {
            complain(&format!("error: {error}\n"));
            Exit::Configuration
        })?;
        // Whoever names phases to replay wants to see them.
        runner.set_replay(true);
        Ok(Self { runner, _busy: busy })
    }

    /// Runs `transaction`. Returns the route that the router found if there was none, and the result of each plugin that
    /// applies, in execution order.
    pub(super) fn run(&mut self, mut transaction: Transaction) -> (Option<Found>, Vec<Outcome>) {
        let found = self
            .runner
            .fill_route(&mut transaction)
            .map(|found| Found { route: found.route().to_owned(), service: found.service().map(str::to_owned) });
        let plan = self.runner.plan(&transaction);
        let new = |&step| Outcome { step, message: None, errors: Vec::new(), refused: None };
        let mut collector = OutcomeCollector { outcomes: plan.iter().map(new).collect() };
        self.runner.run(transaction, &plan, &mut collector);
        (found, collector.outcomes)
    }

    /// Whether each step of the program runs for `transaction`, and why no plugin logs it. The router finds its route as in a run.
    pub(super) fn explain(&mut self, transaction: &Transaction) -> (Vec<Fit>, Option<Unlogged>) {
        let mut transaction = transaction.clone();
        self.runner.fill_route(&mut transaction);
        (self.runner.explain(&transaction), self.runner.plan(&transaction).unlogged)
    }

    /// Recreates the VM, so that no state of earlier runs remains.
    pub(super) fn reset_vm(&mut self) {
        self.runner.recreate_vm();
    }
}

struct OutcomeCollector {
    outcomes: Vec<Outcome>,
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
}

/// The failure of part `part` of `step`, at its line in the configuration.
pub(super) fn failure(step: &Step, part: usize, error: &ScriptError) -> Diagnostic {
    let compiled = &step.parts[part];
    Diagnostic::error(codes::LUA, format!("`{}` of {} failed", compiled.name(), step.label))
        .at(compiled.source.line_origin(error.line.unwrap_or(1)))
        .label(error.message.clone())
}

/// A global plugin of this kind that no file defines; diagnostics point at `origin`.
pub(super) fn synthetic_plugin(kind: &str, origin: Origin) -> Plugin {
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
pub(super) fn add_fields(configuration: &mut Configuration, fields: &[Field], origin: Origin) {
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
pub(super) fn transactions(body: &Bytes, limits: &Limits) -> Result<Vec<Transaction>, DecodeError> {
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
pub(super) fn mapped_transactions(
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
pub(super) fn rejected_line(body: &[u8], rejection: &DecodeError) -> usize {
    1 + memchr::memchr_iter(b'\n', &body[..rejection.offset.min(body.len())]).count()
}
