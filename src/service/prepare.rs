//! What a configuration must pass before it is served. `run`, `check`, `try`, a reload and a request all come through
//! here, so that they refuse the same with the same words.

use std::collections::BTreeMap;
use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, codes};

use crate::delivery::OutputSpec;
use crate::entity::Configuration;
use crate::phase::{Program, Runner};
use crate::settings::Settings;

use super::{Loaded, outputs};

/// A configuration that can be served: every snippet compiles and fits a Lua VM, every sink can be opened.
#[derive(Debug)]
pub struct Prepared {
    pub(super) settings: Settings,
    pub(super) configuration: Configuration,
    /// Every snippet, compiled.
    pub(super) program: Program,
    /// What each logging plugin delivers to, by its index in the configuration.
    pub(super) outputs: BTreeMap<usize, OutputSpec>,
    /// What was found and refuses nothing.
    pub(super) warnings: Vec<Diagnostic>,
}

impl Prepared {
    /// Checks `loaded` as a whole. Changes nothing and connects to nothing.
    ///
    /// # Errors
    /// Everything that was found in it, with at least one error.
    pub fn new(loaded: Loaded) -> Result<Self, Vec<Diagnostic>> {
        let refused = loaded.is_refused();
        let Loaded { settings, configuration, mut diagnostics, .. } = loaded;
        // Also if something is wrong already, so that all errors are found at once.
        let program = Program::build(&configuration, &settings).and_then(fitting);
        if refused {
            // What sinks are opened with is not complete: a field that could not be read is missing.
            diagnostics.extend(program.err().into_iter().flatten());
            return Err(diagnostics);
        }
        let plugins = configuration.plugins.iter().enumerate();
        let emitting = plugins.filter(|(_, plugin)| plugin.enabled && plugin.definition.emits).map(|(index, _)| index);
        let outputs = outputs::specs(&configuration, emitting, &settings);
        match (program, outputs) {
            (Ok(program), Ok(outputs)) => Ok(Self { settings, configuration, program, outputs, warnings: diagnostics }),
            (program, outputs) => {
                diagnostics.extend(program.err().into_iter().chain(outputs.err()).flatten());
                Err(diagnostics)
            }
        }
    }

    /// What was found and refuses nothing.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
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

    /// The compiled snippets.
    pub fn program(&self) -> &Program {
        &self.program
    }
}

/// `program` again, if its snippets fit a Lua VM: one is made, and they are loaded.
fn fitting(program: Program) -> Result<Program, Vec<Diagnostic>> {
    let program = Arc::new(program);
    match Runner::new(program.clone()) {
        Ok(runner) => drop(runner),
        Err(message) => return Err(vec![Diagnostic::error(codes::SETTING, message).path("lua.memory_limit")]),
    }
    Ok(Arc::into_inner(program).expect("the VM that was tried has ended"))
}
