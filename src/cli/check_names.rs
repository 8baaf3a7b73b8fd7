//! The part of `logphase check` that looks for names which the settings do not allow.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::entity::{Configuration, Plugin};
use crate::settings::Settings;
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_config::document::SnippetSource;
use logphase_script::needs::{Refused, refused};
use logphase_script::{Dialect, Profile};

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
    let replayed = plugin.earlier.iter().filter(|function| settings.replays(function.phase));
    let fields = plugin.fields.iter().map(|field| &field.source);
    fields.chain(replayed.map(|function| &function.source)).chain(&plugin.functions)
}

/// A warning for each of them.
pub(super) fn warnings(configuration: &Configuration, settings: &Settings) -> Vec<Diagnostic> {
    let warning = |(source, refused): (&SnippetSource, Refused)| {
        let what = if refused.module { "require" } else { "the use of" };
        Diagnostic::warning(
            codes::REFUSED_NAME,
            format!("{what} `{}` fails: the settings do not allow it", refused.name),
        )
        .at(source.line_origin(refused.line))
        .help(refused.help)
    };
    names(configuration, settings).into_iter().map(warning).collect()
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
