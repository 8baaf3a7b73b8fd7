//! The setting `custom_plugins`: what becomes of plugins that are not Kong's.

use serde::Deserialize;
use serde_json::Value;

use crate::entity::{Configuration, NotRun, WhyNotRun};
use logphase_config::diagnostic::{Diagnostic, Severity, codes};

/// Which plugins that are not Kong's a configuration may have. They are skipped, and their `config` is not judged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub enum CustomPlugins {
    /// All, except one whose name is nearly that of a plugin that runs here: its messages would be missed.
    Note,
    /// These.
    Only(Vec<String>),
}

/// The setting as it is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Word(String),
    Names(Vec<String>),
}

impl From<Written> for CustomPlugins {
    fn from(written: Written) -> Self {
        match written {
            Written::Word(word) if word == "note" => Self::Note,
            Written::Word(word) if word == "error" => Self::Only(Vec::new()),
            // A variable: names with commas between them.
            Written::Word(names) => Self::Only(names.split(',').map(|name| name.trim().to_owned()).collect()),
            Written::Names(names) => Self::Only(names),
        }
    }
}

/// Accepts `note`, `error`, a list of names, and in a variable names with commas between them.
pub(super) fn check(value: &Value) -> Result<(), String> {
    let valid = match value {
        Value::String(word) => word == "note" || word == "error" || word.contains(','),
        Value::Array(names) => names.iter().all(|name| name.as_str().is_some_and(|name| !name.is_empty())),
        _ => false,
    };
    if valid { Ok(()) } else { Err("expected note, error or a list of names".to_owned()) }
}

impl CustomPlugins {
    /// The same for a strict check: what is not named is an error.
    #[must_use]
    pub fn strict(self) -> Self {
        if self == Self::Note { Self::Only(Vec::new()) } else { self }
    }

    /// What is to be said of the plugins of `configuration` that are not Kong's.
    pub fn findings(&self, configuration: &Configuration) -> Vec<Diagnostic> {
        configuration.not_run.iter().filter_map(|plugin| self.finding(plugin)).collect()
    }

    fn finding(&self, plugin: &NotRun) -> Option<Diagnostic> {
        let WhyNotRun::Unknown(unknown) = &plugin.reason else { return None };
        let accepted = match self {
            Self::Note => unknown.misspelt.is_none(),
            Self::Only(names) => names.contains(&plugin.name),
        };
        if !accepted {
            let help = format!("if it is a custom plugin, set `custom_plugins: [{}]`", plugin.name);
            return Some(unknown.error.clone().help(help));
        }
        let message = format!("plugin `{}` is skipped: it is not one of Kong's", plugin.name);
        let note = Diagnostic::new(Severity::Note, codes::UNKNOWN_PLUGIN, message).at(plugin.origin.clone());
        Some(note.label(format!("on: {}", plugin.scope)))
    }
}
