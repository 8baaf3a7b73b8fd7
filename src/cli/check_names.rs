//! The part of `logphase check` that looks for names which the settings do not allow.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::entity::{Configuration, Plugin};
use crate::settings::Settings;
use logphase_config::diagnostic::{Diagnostic, Suggestions, codes};
use logphase_config::document::SnippetSource;
use logphase_script::needs::{Problem, Refused, UnknownName, refused, unknown};
use logphase_script::{Dialect, Options, Phase, Profile, Vm};

/// The names that snippets of enabled plugins use and `settings` do not allow.
fn names<'a>(configuration: &'a Configuration, settings: &Settings) -> Vec<(&'a SnippetSource, Refused)> {
    let dialect = Dialect {
        profile: settings.untrusted_lua,
        requires: settings.untrusted_lua_sandbox_requires.clone(),
        environment: settings.untrusted_lua_sandbox_environment.clone(),
    };
    let enabled = configuration.plugins.iter().filter(|plugin| plugin.enabled);
    enabled
        .flat_map(|plugin| snippets(plugin, settings))
        .flat_map(|source| refused(&source.text, &dialect).into_iter().map(move |name| (source, name)))
        .collect()
}

/// The snippets of `plugin` that run here.
pub(super) fn snippets<'a>(plugin: &'a Plugin, settings: &Settings) -> impl Iterator<Item = &'a SnippetSource> {
    with_phases(plugin, settings).map(|(source, _)| source)
}

/// The snippets of `plugin` that run here, each with its phase.
fn with_phases<'a>(plugin: &'a Plugin, settings: &Settings) -> impl Iterator<Item = (&'a SnippetSource, Phase)> {
    let replayed = plugin.earlier.iter().filter(|function| settings.replays(function.phase));
    let replayed = replayed.filter_map(|function| Some((&function.source, Phase::named(function.phase)?)));
    let of_log_phase = plugin.fields.iter().map(|field| &field.source).chain(&plugin.functions);
    replayed.chain(of_log_phase.map(|source| (source, Phase::Log)))
}

/// A warning for each name that nothing answers to, but for those that are `refused`: it is misspelt, or belongs to another phase.
fn unknown_names(
    configuration: &Configuration,
    settings: &Settings,
    options: &Options,
    refused: &[(&SnippetSource, Refused)],
) -> Vec<Diagnostic> {
    // A VM that does not fit the limits is an error of its own.
    let Ok(names) = Vm::new(options).and_then(|vm| vm.names()) else { return Vec::new() };
    let suggestions = Suggestions::default();
    let warning = |source: &SnippetSource, phase: Phase, found: UnknownName| {
        let name = &found.name;
        let diagnostic = match &found.problem {
            Problem::Missing => {
                let what = if name.contains('.') { "member" } else { "global" };
                let similar = suggestions.find(name, names.beside(name));
                let help = similar.map_or_else(
                    || "it is nil; docs/lua.md lists the names that snippets have".to_owned(),
                    |similar| format!("it is nil; did you mean `{similar}`?"),
                );
                Diagnostic::warning(codes::UNKNOWN_NAME, format!("there is no {what} `{name}`")).help(help)
            }
            Problem::Phase(phases) => {
                let message = format!("`{name}` fails: a function of the {phase} phase may not call it");
                Diagnostic::warning(codes::UNKNOWN_NAME, message).help(format!("it is for the phases {phases}"))
            }
        };
        diagnostic.at(source.line_origin(found.line))
    };
    let enabled = configuration.plugins.iter().filter(|plugin| plugin.enabled);
    let sources = enabled.flat_map(|plugin| with_phases(plugin, settings));
    sources
        .flat_map(|(source, phase)| {
            let found = unknown(&source.text, &names, phase).into_iter();
            let found = found.filter(|found| refused.iter().all(|(_, refused)| refused.name != found.name));
            found.map(|found| warning(source, phase, found)).collect::<Vec<_>>()
        })
        .collect()
}

/// A warning for each name in snippets that the settings do not allow, or that nobody has.
pub(super) fn warnings(configuration: &Configuration, settings: &Settings, options: &Options) -> Vec<Diagnostic> {
    let warning = |(source, refused): (&SnippetSource, Refused)| {
        let what = if refused.module { "require" } else { "the use of" };
        Diagnostic::warning(
            codes::REFUSED_NAME,
            format!("{what} `{}` fails: the settings do not allow it", refused.name),
        )
        .at(source.line_origin(refused.line))
        .help(refused.help)
    };
    let refused = names(configuration, settings);
    let unknown = unknown_names(configuration, settings, options, &refused);
    refused.into_iter().map(warning).chain(unknown).collect()
}

/// The lines of `logphase.yml` that allow them: the names of `settings`, and those that are missing.
pub(super) fn suggestion(configuration: &Configuration, settings: &Settings) -> String {
    let missing = names(configuration, settings);
    let offered = || missing.iter().filter(|(_, refused)| refused.offered);
    if offered().next().is_none() || settings.untrusted_lua != Profile::Sandbox {
        return "# the settings allow every name that Logphase offers and snippets use\n".to_owned();
    }
    let mut text = String::new();
    for (setting, module, given) in [
        ("untrusted_lua_sandbox_requires", true, &settings.untrusted_lua_sandbox_requires),
        ("untrusted_lua_sandbox_environment", false, &settings.untrusted_lua_sandbox_environment),
    ] {
        let added = offered().filter(|(_, refused)| refused.module == module).map(|(_, refused)| &refused.name);
        let names: BTreeSet<&str> = given.iter().chain(added).map(String::as_str).collect();
        if !names.is_empty() {
            let names: Vec<_> = names.into_iter().collect();
            let _ = writeln!(text, "{setting}: [{}]", names.join(", "));
        }
    }
    text
}
