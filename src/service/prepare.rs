//! What a configuration must pass before it is served. `run`, `check`, `try`, a reload and a request all come through
//! here, so that they refuse the same with the same words.

use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, Severity, any_error, codes};
use serde_json::Value;

use crate::delivery::OutputSpec;
use crate::entity::Configuration;
use crate::input::{INPUTS, LineAddresses};
use crate::phase::{KnownSteps, Program, Runner, Step};
use crate::router::Router;
use crate::settings::Settings;
use crate::sink::{Sink, SinkShared};
use crate::vaults;

use super::last::Last;
use super::outputs::{self, Outputs};
use super::{Loaded, admin, page};

/// A configuration that can be served: every snippet compiles and fits a Lua VM, every sink can be opened.
#[derive(Debug)]
pub struct Prepared {
    pub(super) settings: Settings,
    pub(super) configuration: Configuration,
    /// Every snippet, compiled.
    pub(super) program: Program,
    /// The routes of the configuration.
    pub(super) router: Arc<Router>,
    /// What each logging plugin delivers to.
    pub(super) outputs: Outputs,
    /// What the lines of access logs of meshes go to, in the order of the program's engine.
    pub(super) mesh_outputs: Vec<Arc<OutputSpec>>,
    /// What was found and refuses nothing.
    pub(super) warnings: Vec<Diagnostic>,
    /// What is wrong with routes, which may be among the warnings.
    unroutable: Vec<Diagnostic>,
}

impl Prepared {
    /// Checks `loaded` as a whole. Changes nothing and connects to nothing.
    ///
    /// # Errors
    /// Everything that was found in it, with at least one error.
    pub fn new(loaded: Loaded) -> Result<Self, Vec<Diagnostic>> {
        Self::after(&Last::default(), loaded)
    }

    /// The same, with what was made of the `last` configuration.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn after(last: &Last, loaded: Loaded) -> Result<Self, Vec<Diagnostic>> {
        let last = last.with(&loaded.settings);
        let refused = loaded.is_refused();
        let Loaded { settings, mut configuration, mut diagnostics, .. } = loaded;
        let unresolved = vaults::resolve(&mut configuration, &settings);
        let refused = refused || any_error(&unresolved);
        diagnostics.extend(unresolved);
        // Also if something is wrong already, so that all errors are found at once.
        let none = KnownSteps::default();
        let known = last.map_or(&none, Last::steps);
        let program = Program::build_with(&configuration, &settings, known).and_then(|program| fitting(program, last));
        let routed = last.and_then(|last| last.router(&configuration));
        let (router, mut found) = routed.unwrap_or_else(|| router(last, &configuration, &settings));
        let unroutable = found.clone();
        let routing = std::mem::take(&mut configuration.routing);
        found.extend(if matches_routes(&settings) { routing.if_found } else { routing.if_not_found });
        let refused = refused || any_error(&found);
        diagnostics.extend(found);
        if refused {
            // What sinks are opened with is not complete: a field that could not be read is missing.
            diagnostics.extend(program.err().into_iter().flatten());
            return Err(diagnostics);
        }
        let outputs = Outputs::new(&configuration, &settings, last.map(Last::outputs));
        let engine = program.as_ref().ok().and_then(|program| program.mesh.clone());
        let of_mesh = engine.map_or(Ok(Vec::new()), |engine| outputs::of_mesh(&engine, &settings));
        match (program, outputs, of_mesh) {
            (Ok(mut program), Ok(outputs), Ok(mesh_outputs)) => {
                if matches_routes(&settings) {
                    program.router = router.clone();
                }
                let warnings = diagnostics;
                Ok(Self { settings, configuration, program, router, outputs, mesh_outputs, warnings, unroutable })
            }
            (program, outputs, of_mesh) => {
                diagnostics.extend(program.err().into_iter().chain(outputs.err()).chain(of_mesh.err()).flatten());
                Err(diagnostics)
            }
        }
    }

    /// What was made of it, for the configuration that replaces it.
    pub(super) fn last(&self) -> Last {
        let routed = (self.router.clone(), self.unroutable.clone());
        Last::of(&self.settings, &self.configuration, &self.program, self.outputs.clone(), routed)
    }

    /// What was found and refuses nothing.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Errors and warnings about the inputs, whose files are read: only for who is about to serve them, as other commands need
    /// none of them.
    pub fn check_inputs(&self) -> Vec<Diagnostic> {
        let found = INPUTS.iter().flat_map(|input| input.check(&self.settings));
        let found = found.chain(admin::check(&self.settings)).chain(page::check(&self.settings));
        found.chain(self.program.mesh.as_ref().and_then(|_| no_entries(&self.settings))).collect()
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The configuration.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The compiled snippets and the settings, for a run without queues and sinks.
    pub fn into_program(self) -> (Program, Settings) {
        (self.program, self.settings)
    }

    /// The routes of the configuration, whether or not an input finds them.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Has the program find the routes of transactions without one, for an input that is not among those of the settings.
    pub fn match_routes(&mut self) {
        self.program.router = self.router.clone();
    }

    /// What each step of the program delivers through, which is connected to nothing; none for a plugin that emits nothing.
    pub fn sinks(&self) -> Vec<Option<Box<dyn Sink>>> {
        let shared = SinkShared::new(None);
        let sink = |step: &Arc<Step>| {
            let spec = self.outputs.of(&step.plugin)?;
            spec.opener.open(&spec.config, &shared).ok()
        };
        self.program.steps.iter().map(sink).collect()
    }

    /// Where the messages of each step of the program go, none for a plugin that emits nothing.
    pub fn output(&self, step: &Step) -> Option<&Arc<OutputSpec>> {
        self.outputs.of(&step.plugin)
    }

    /// Where the lines of access logs of meshes go.
    pub fn mesh_outputs(&self) -> &[Arc<OutputSpec>] {
        &self.mesh_outputs
    }

    /// The compiled snippets.
    pub fn program(&self) -> &Program {
        &self.program
    }
}

/// A warning if nothing can bring entries for the policies of meshes.
fn no_entries(settings: &Settings) -> Option<Diagnostic> {
    let listen = settings.inputs.get("als").and_then(|als| als.get("listen"));
    let is_off = listen.and_then(Value::as_array).is_none_or(Vec::is_empty);
    // Of lines that Envoys have written already, the resources say the collectors.
    let streams = LineAddresses::of(settings).is_some();
    (is_off && !streams).then(|| {
        let message =
            "the policies of meshes have no access logs: they are of Envoy's access log service, which is off";
        Diagnostic::warning(codes::SETTING, message).path("inputs.als.listen").help("set inputs.als.listen")
    })
}

/// The router of `configuration`, with what is wrong with its routes: errors if an input finds routes; otherwise only
/// warnings, and none about rules that do not matter then.
pub(super) fn router(
    last: Option<&Last>,
    configuration: &Configuration,
    settings: &Settings,
) -> (Arc<Router>, Vec<Diagnostic>) {
    let (none, options) = (Router::default(), settings.router());
    let (router, mut found) = Router::after(last.map_or(&none, Last::last_router), configuration, options);
    if !matches_routes(settings) {
        found.retain(Diagnostic::is_error);
        found.iter_mut().for_each(|diagnostic| diagnostic.severity = Severity::Warning);
    }
    (Arc::new(router), found)
}

/// Whether an input finds the routes of transactions without one.
fn matches_routes(settings: &Settings) -> bool {
    INPUTS.iter().any(|input| input.matches_routes(settings))
}

/// `program` again, if the snippets of each of its plugins fit a Lua VM: one is made, and they are loaded, but for those that were in
/// the `last` program, too.
pub(super) fn fitting(program: Program, last: Option<&Last>) -> Result<Program, Vec<Diagnostic>> {
    let program = Arc::new(program);
    let is_new = |step: &Step| last.is_none_or(|last| !last.has(&step.plugin));
    let new: Vec<usize> = (0..program.steps.len()).filter(|index| is_new(&program.steps[*index])).collect();
    if last.is_none() || !new.is_empty() {
        let loaded =
            Runner::new(program.clone()).and_then(|mut runner| new.into_iter().try_for_each(|step| runner.load(step)));
        loaded.map_err(|message| vec![Diagnostic::error(codes::SETTING, message).path("lua.memory_limit")])?;
    }
    Ok(Arc::into_inner(program).expect("the VM that was tried has ended"))
}
