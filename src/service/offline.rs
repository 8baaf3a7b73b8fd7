//! A configuration of a stranger, to be tried without anything of the machine: no file, no secret, no variable, no connection.

use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, Severity, SourceFile, any_error, codes};
use logphase_io::file;

use super::outputs;
use super::prepare;
use super::source;
use crate::admin::MASK;
use crate::entity::{Completeness, Configuration, Plugin};
use crate::phase::{Program, Step};
use crate::settings::Settings;
use crate::sink::{Sink, SinkShared};
use crate::vaults;

/// What to do about a value that only the machine has.
const WRITE_IT: &str =
    "no variable of the service is read here: write a value in its place, or try the file with `logphase try`";

/// A configuration whose snippets can be run.
pub(crate) struct Offline {
    /// The configuration.
    pub(crate) configuration: Configuration,
    /// Its snippets, compiled, with its routes.
    pub(crate) program: Program,
    /// What each step delivers through, which is connected to nothing; none if it emits nothing, or if it cannot be opened here.
    pub(crate) sinks: Vec<Option<Box<dyn Sink>>>,
}

impl Offline {
    /// Reads and checks the text `source`, with the words of [`super::Prepared`]. What is wrong with outputs does not keep the snippets from
    /// running; a file that an output needs is a warning, as it is not read.
    pub(crate) fn new(settings: &Settings, source: &Arc<SourceFile>) -> (Option<Self>, Vec<Diagnostic>) {
        let sources = std::slice::from_ref(source);
        let (mut configuration, mut found) = source::read(sources, settings, &|_| None, Completeness::LogPhase);
        for unset in found.iter_mut().filter(|found| found.code == codes::ENVIRONMENT) {
            unset.help = Some(WRITE_IT.to_owned());
        }
        let mut refused = any_error(&found);
        leave_out_masked_certificates(&mut configuration);
        let concealed = vaults::conceal(&mut configuration, settings);
        refused |= any_error(&concealed);
        found.extend(concealed);
        // Also if something is wrong already, so that all errors are found at once.
        let program = Program::build(&configuration, settings).and_then(|program| prepare::fitting(program, None));
        let (router, of_routes) = prepare::router(None, &configuration, settings);
        found.extend(of_routes);
        match program {
            Ok(mut program) if !refused => {
                program.router = router;
                let sinks = program.steps.iter().map(|step| sink(step, settings, &mut found)).collect();
                (Some(Self { configuration, program, sinks }), found)
            }
            program => {
                found.extend(program.err().into_iter().flatten());
                (None, found)
            }
        }
    }
}

/// A service shows its configuration with a mask for each key.
fn leave_out_masked_certificates(configuration: &mut Configuration) {
    let is_masked = |plugin: &Arc<Plugin>| plugin.certificate.as_ref().is_some_and(|pem| pem.key == MASK);
    for plugin in configuration.plugins.iter_mut().filter(|plugin| is_masked(plugin)) {
        Arc::make_mut(plugin).certificate = None;
    }
}

/// What `step` delivers through.
fn sink(step: &Step, settings: &Settings, found: &mut Vec<Diagnostic>) -> Option<Box<dyn Sink>> {
    let spec = match outputs::spec(&step.plugin, settings) {
        Ok(spec) => spec?,
        Err(error) => {
            found.push(error.diagnostic());
            return None;
        }
    };
    let errors = match spec.opener.open(&spec.config, &SinkShared::new(None)) {
        Ok(sink) => return Some(sink),
        Err(errors) => errors,
    };
    found.extend(errors.iter().map(|error| {
        let mut diagnostic = outputs::refusal(&step.plugin, error);
        // A text stands for a secret.
        if error.problem.contains(file::FORBIDDEN) || diagnostic.code == codes::VAULT {
            diagnostic.severity = Severity::Warning;
            diagnostic.help = Some("a service reads it; whether it can be used is not known here".to_owned());
        }
        diagnostic
    }));
    None
}
