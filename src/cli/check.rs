//! `logphase check`.

use logphase_io::count::counted;
use std::fmt::Write;
use std::io::IsTerminal;

use super::arguments::Check;
use super::{Exit, check_earlier, check_input, check_names, say};
use crate::entity::{Configuration, WhyNotRun};
use crate::service::{ConfigFiles, Prepared};
use crate::settings::Settings;
use logphase_config::diagnostic::{Diagnostic, Format, Severity, any_error, codes, render_all};
use logphase_io::printable;

/// Reads the configuration, compiles every snippet, and prints every finding on standard output.
pub(super) fn check(arguments: &Check) -> Exit {
    let format = arguments.format.into();
    let show = |diagnostics: &[Diagnostic]| {
        if !diagnostics.is_empty() {
            say(render_all(diagnostics, format, std::io::stdout().is_terminal()).as_bytes());
        }
        if let (Format::Pretty, Some(error)) = (format, diagnostics.iter().find(|diagnostic| diagnostic.is_error())) {
            say(format!("`logphase explain {}` says more about an error of that code\n", error.code).as_bytes());
        }
    };
    let files = ConfigFiles { strict: arguments.strict, ..ConfigFiles::from(arguments.files.clone()) };
    let prepared = match Prepared::new(files.load()) {
        Ok(prepared) => prepared,
        Err(diagnostics) => {
            show(&diagnostics);
            return Exit::of(&diagnostics);
        }
    };
    let inputs = prepared.check_inputs();
    let of_input = arguments.input.as_ref();
    let missing = of_input.map(|input| check_input::findings(prepared.program(), prepared.settings(), input));
    let names = check_names::warnings(prepared.configuration(), prepared.settings(), &prepared.program().options);
    let earlier = check_earlier::findings(prepared.configuration(), prepared.settings());
    let notes = notes(prepared.configuration(), prepared.settings());
    show(&[prepared.warnings(), &names, &inputs, &earlier, &notes, &missing.unwrap_or_default()].concat());
    if any_error(&inputs) {
        return Exit::of(&inputs);
    }
    if arguments.suggest {
        say(check_names::suggestion(prepared.configuration(), prepared.settings()).as_bytes());
    } else if matches!(format, Format::Pretty) {
        say(printable::lines(&summary(&prepared)).as_bytes());
    }
    Exit::Done
}

/// Notes on valid plugins that Logphase does not run, and on snippets.
fn notes(configuration: &Configuration, settings: &Settings) -> Vec<Diagnostic> {
    let skipped = configuration.not_run.iter().filter_map(|plugin| {
        let why = match &plugin.reason {
            WhyNotRun::Proxying => "is skipped: it does nothing in the log phase",
            WhyNotRun::NotSentHere => "is not sent from here: leave it in Kong",
            WhyNotRun::LeftToKong(left) => {
                let message = format!("plugin `{}` does nothing here: {}", plugin.name, left.what);
                let note = Diagnostic::note(codes::NOT_RUN, message).at(plugin.origin.clone());
                return Some(note.label(format!("on: {}", plugin.scope)).help(left.help));
            }
            // The settings have said what they say about it.
            WhyNotRun::NotSelected | WhyNotRun::Unknown(_) => return None,
        };
        let message = format!("plugin `{}` {why}", plugin.name);
        Some(Diagnostic::note(codes::NOT_RUN, message).at(plugin.origin.clone()).label(format!("on: {}", plugin.scope)))
    });
    skipped.chain(dialect(configuration, settings)).collect()
}

/// Where Kong would refuse a snippet: notes, and warnings about functions that run in Kong alone.
fn dialect(configuration: &Configuration, settings: &Settings) -> impl Iterator<Item = Diagnostic> {
    let enabled = || configuration.plugins.iter().filter(|plugin| plugin.enabled);
    let here = enabled().flat_map(|plugin| check_names::snippets(plugin, settings));
    let elsewhere = enabled().flat_map(|plugin| plugin.earlier.iter().filter(|one| !settings.replays(one.phase)));
    let elsewhere = elsewhere.map(|function| (&function.source, Severity::Warning, "Kong refuses this function"));
    let here = here.map(|source| (source, Severity::Note, "this snippet runs here, and Kong refuses it"));
    here.chain(elsewhere).flat_map(|(source, severity, message)| {
        logphase_script::differences(&source.text).into_iter().map(move |difference| {
            Diagnostic::new(severity, codes::DIALECT, message)
                .at(source.line_origin(difference.line))
                .label(difference.what)
                .help(difference.help)
        })
    })
}

/// The plugins in execution order.
fn summary(prepared: &Prepared) -> String {
    let (configuration, program) = (prepared.configuration(), prepared.program());
    let mut text = String::new();
    let disabled = configuration.plugins.iter().filter(|plugin| !plugin.enabled).count();
    let snippets: usize = program.steps.iter().map(|step| step.parts.len()).sum();
    let plugins = program.steps.len();
    let _ = write!(text, "ok: {}, {}", counted(plugins, "plugin"), counted(snippets, "Lua snippet"));
    let elsewhere = check_earlier::count_in_kong(configuration, prepared.settings());
    if elsewhere > 0 {
        let _ = write!(text, ", {} of other phases in Kong", counted(elsewhere, "function"));
    }
    let mesh = &configuration.mesh;
    let policies = [(mesh.traffic_logs.len(), "TrafficLog"), (mesh.access_logs.len(), "MeshAccessLog")];
    for (count, what) in policies.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, ", {}", counted(count, what));
    }
    let _ = writeln!(text, "{}", if disabled > 0 { format!(", {disabled} disabled") } else { String::new() });
    const SHOWN: usize = 20;
    for step in program.steps.iter().take(SHOWN) {
        let _ = writeln!(text, "  {:>8}  {:<24} {}", step.definition.priority, step.label, step.scope);
    }
    if plugins > SHOWN {
        let _ = writeln!(text, "  ... and {} more", plugins - SHOWN);
    }
    let outputs = program.mesh.as_ref().map_or(&[][..], |engine| engine.outputs());
    for output in outputs.iter().take(SHOWN) {
        let destination = &output.destination;
        let _ = writeln!(text, "  {:>8}  {:<24} {}", "", destination.output_name(), destination.instance());
    }
    if outputs.len() > SHOWN {
        let _ = writeln!(text, "  ... and {} more", outputs.len() - SHOWN);
    }
    text
}
