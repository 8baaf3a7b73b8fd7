//! The log phase without inputs and sinks: what `try` and `test` have in common.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::{Exit, complain};
use crate::decode::{DecodeError, kong};
use crate::entity::{ConfigOrigins, Configuration, Field, Plugin, Scope};
use crate::phase::{Observer, Part, Program, Runner, Step};
use crate::settings::Settings;
use logphase_config::diagnostic::{Diagnostic, Origin, codes};
use logphase_script::message::BodyError;
use logphase_script::transaction::{Limits, Transaction};
use logphase_script::{Busy, Clock, ScriptError};

/// The least time that a snippet gets, in milliseconds.
const LEAST_DEADLINE_MS: f64 = 100.0;

/// A dry_run on a busy machine shall not fail for want of time; what `run` would stop is far past this.
pub(super) fn give_time(settings: &mut Settings) {
    settings.lua.deadline_ms = settings.lua.deadline_ms.max(LEAST_DEADLINE_MS);
    settings.lua.plugin_deadline_ms = settings.lua.plugin_deadline_ms.max(10.0 * LEAST_DEADLINE_MS);
}

/// A worker of one's own, on this thread.
pub(super) struct DryRun {
    runner: Runner,
    _busy: Busy,
}

/// What became of one plugin of a plan.
pub(super) struct Outcome {
    /// Index of its step in the program.
    pub(super) step: usize,
    /// What it would send.
    pub(super) message: Option<Bytes>,
    /// Its parts that failed, by their index in the step.
    pub(super) errors: Vec<(usize, ScriptError)>,
    /// Why it would send nothing, if a body is not what its content type says.
    pub(super) refused: Option<BodyError>,
}

impl DryRun {
    /// Makes the VM and starts the clock; complains if that is not possible.
    pub(super) fn new(program: &Arc<Program>) -> Result<Self, Exit> {
        let clock = Clock::start().map_err(|error| {
            complain(&format!("error: cannot start a thread: {error}\n"));
            Exit::Unavailable
        })?;
        let busy = clock.busy();
        let runner = Runner::new(program.clone()).map_err(|error| {
            complain(&format!("error: {error}\n"));
            Exit::Configuration
        })?;
        Ok(Self { runner, _busy: busy })
    }

    /// Runs `transaction`: what became of each plugin that applies, in execution order.
    pub(super) fn run(&mut self, transaction: Transaction) -> Vec<Outcome> {
        let plan = self.runner.plan(&transaction);
        let new = |&step| Outcome { step, message: None, errors: Vec::new(), refused: None };
        let mut seen = Seen { outcomes: plan.iter().map(new).collect() };
        self.runner.run(transaction, &plan, &mut seen);
        seen.outcomes
    }

    /// Makes the VM anew, so that nothing is left of what ran before.
    pub(super) fn forget(&mut self) {
        self.runner.recreate_vm();
    }
}

struct Seen {
    outcomes: Vec<Outcome>,
}

impl Seen {
    fn of(&mut self, step: usize) -> &mut Outcome {
        let found = self.outcomes.iter_mut().find(|outcome| outcome.step == step);
        found.expect("only steps of the plan are run")
    }
}

impl Observer for Seen {
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

/// A failure of part `part` of `step`, with its line in the configuration.
pub(super) fn failure(step: &Step, part: usize, error: &ScriptError) -> Diagnostic {
    let compiled = &step.parts[part];
    Diagnostic::error(codes::LUA, format!("`{}` of {} failed", compiled.name(part), step.label))
        .at(compiled.source.line_origin(error.line.unwrap_or(1)))
        .label(error.message.clone())
}

/// A global plugin of this kind that no file has, with `origin` as where it comes from.
pub(super) fn made(kind: &str, origin: Origin) -> Plugin {
    Plugin {
        id: format!("{kind}-on-the-spot"),
        definition: crate::plugin::find(kind).expect("the name is that of one of the kinds"),
        instance_name: None,
        enabled: true,
        protocols: crate::plugin::ANY.to_vec(),
        scope: Scope::default(),
        tags: Vec::new(),
        config: json!({"path": "/dev/null", "reopen": false}),
        fields: Vec::new(),
        functions: Vec::new(),
        certificate: None,
        old_form: false,
        origin,
        config_origins: ConfigOrigins::default(),
    }
}

/// Adds `fields` to every logging plugin of `configuration`. If it has no plugin at all, one is added for them, with
/// `origin` as where it comes from.
pub(super) fn add_fields(configuration: &mut Configuration, fields: &[Field], origin: Origin) {
    if fields.is_empty() {
        return;
    }
    if configuration.plugins.is_empty() {
        configuration.plugins.push(made(crate::plugin::DEFAULT_LOGGER.name, origin));
    }
    for plugin in configuration.plugins.iter_mut().filter(|plugin| plugin.definition.emits) {
        plugin.fields.extend_from_slice(fields);
    }
}

/// The transactions of `body`: one object, an array, or lines.
pub(super) fn transactions(body: &Bytes, limits: &Limits) -> Result<Vec<Transaction>, DecodeError> {
    kong::document(body, limits).or_else(|error| {
        // Several objects are lines; the first being whole tells them from a broken body.
        let first = memchr::memchr(b'\n', body).unwrap_or(body.len());
        match Transaction::parse(body.slice(..first), limits) {
            Ok(_) => kong::lines(body, limits),
            Err(_) if body.trim_ascii().is_empty() => Ok(Vec::new()),
            Err(_) => Err(error),
        }
    })
}

/// The line of `body`, counted from 1, at which `rejection` was noticed.
pub(super) fn rejected_line(body: &[u8], rejection: &DecodeError) -> usize {
    1 + memchr::memchr_iter(b'\n', &body[..rejection.offset.min(body.len())]).count()
}
