//! The part of `logphase check` that says what becomes of functions for phases before the log phase.

use std::sync::Arc;

use crate::entity::{Configuration, EarlierFunction, Plugin};
use crate::settings::Settings;
use logphase_config::diagnostic::{Diagnostic, Severity, codes};
use logphase_script::Phase;
use logphase_script::needs::{Body, Earlier};

/// What becomes of each function of enabled plugins.
pub(super) fn findings(configuration: &Configuration, settings: &Settings) -> Vec<Diagnostic> {
    let enabled = configuration.plugins.iter().filter(|plugin| plugin.enabled);
    let functions = enabled.flat_map(|plugin| plugin.earlier.iter().map(move |function| (plugin, function)));
    functions
        .flat_map(|(plugin, function)| {
            let earlier = Earlier::of(&function.source.text);
            let name = format!("`{}` of {}", function.name(), plugin.definition.name);
            match settings.replays(function.phase) {
                true => replayed(&name, function, &earlier),
                false => in_kong(&name, function, &earlier),
            }
        })
        .collect()
}

/// The number of functions that run in Kong alone.
pub(super) fn count_in_kong(configuration: &Configuration, settings: &Settings) -> usize {
    let enabled = configuration.plugins.iter().filter(|plugin| plugin.enabled);
    let in_kong = |plugin: &Arc<Plugin>| plugin.earlier.iter().filter(|one| !settings.replays(one.phase)).count();
    enabled.map(in_kong).sum()
}

/// Of a function that runs before the log phase.
fn replayed(name: &str, function: &EarlierFunction, earlier: &Earlier) -> Vec<Diagnostic> {
    let runs = format!("{name} runs before the log phase, for traffic that Kong did not serve");
    let mut found = vec![
        Diagnostic::note(codes::EARLIER_PHASE, runs)
            .at(function.source.line_origin(1))
            .label("replayed on the finished transaction"),
    ];
    if let Some((_, line)) = earlier.no_effect.first() {
        let names: Vec<_> = earlier.no_effect.iter().map(|(name, _)| format!("`{name}`")).collect();
        let message = format!("{name} uses {}, which does nothing on a finished transaction", names.join(", "));
        let note = Diagnostic::note(codes::EARLIER_PHASE, message).at(function.source.line_origin(*line));
        found.push(note.label("no effect").help("/status counts the runs that use it, as `no_effect`"));
    }
    found
}

/// Of a function that runs in Kong alone.
fn in_kong(name: &str, function: &EarlierFunction, earlier: &Earlier) -> Vec<Diagnostic> {
    let elsewhere = match Phase::named(function.phase) {
        Some(phase) => format!("for traffic that Kong did not serve, name `{phase}` in the setting replay_phases"),
        None => "Kong alone has this phase".to_owned(),
    };
    let finding = |severity, line, message: String, label: &str, help: String| {
        Diagnostic::new(severity, codes::EARLIER_PHASE, message)
            .at(function.source.line_origin(line))
            .label(label)
            .help(help)
    };
    let mut found = Vec::new();
    if let Some(line) = earlier.sets_field {
        let message = format!("{name} sets fields of the log object, in Kong and not here");
        let label = "leave it there: the field arrives with the log object";
        found.push(finding(Severity::Warning, line, message, label, elsewhere.clone()));
    }
    if let Some(line) = earlier.fills_shared {
        let message = format!("{name} fills kong.ctx.shared in Kong, whose log object leaves it out");
        let help = format!("`logphase forwarder` prints the plugin of Kong that sends what snippets read; {elsewhere}");
        found.push(finding(Severity::Warning, line, message, "stays in Kong", help));
    }
    if let Some(body) = earlier.copies_body {
        let (value, which) = match body {
            Body::Request => ("request", "the request's body"),
            Body::Response => ("response", "the response's body"),
        };
        let message = format!("{name} only copies {which}: `include_body: {value}` does the same without Lua");
        let help = format!(
            "give it to the logging plugins, and have the body sent along: `logphase forwarder` prints how; {elsewhere}"
        );
        found.push(finding(Severity::Note, 1, message, "runs in Kong, not here", help));
    }
    if found.is_empty() {
        let message = format!("{name} runs in Kong, not here");
        let label = "leave it there: its fields arrive with the log object";
        found.push(finding(Severity::Note, 1, message, label, elsewhere));
    }
    found
}
