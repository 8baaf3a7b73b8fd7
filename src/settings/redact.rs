//! The key of `redact`, and which rules apply to a plugin.

use serde_json::{Map, Value};

use super::Settings;
use crate::entity::Plugin;
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_script::message::{NO_KEY, RedactRule};

/// The shortest key, in bytes.
const MIN_KEY_BYTES: usize = 16;

impl Settings {
    /// The rules that apply to `plugin` before its own: those for every plugin, for its name, and for its instance name.
    pub fn redact_for(&self, plugin: &Plugin) -> Vec<RedactRule> {
        let names = [Some(plugin.definition.name), plugin.instance_name.as_deref()].into_iter().flatten();
        let given = names.filter_map(|name| self.plugins.get(name)).flat_map(|given| &given.redact);
        self.redact.iter().chain(given).cloned().collect()
    }
}

/// Reports a key that is too short, and hashes without a key. Its diagnostics show no source text, which would show the
/// key.
pub(super) fn check(values: &Map<String, Value>, diagnostics: &mut Vec<Diagnostic>) {
    let mut report = |path: String, message: String, help: &str| {
        diagnostics.push(Diagnostic::error(codes::SETTING, message).path(path).help(help));
    };
    if let Some(key) = values.get("redact_key").and_then(Value::as_str) {
        if key.len() < MIN_KEY_BYTES {
            let message =
                format!("the setting `redact_key` has {} bytes; it must have at least {MIN_KEY_BYTES}", key.len());
            report("redact_key".to_owned(), message, "create one with: openssl rand -hex 32");
        }
        return;
    }
    let of_all = values.get("redact").map(|rules| ("redact".to_owned(), rules));
    let plugins = values.get("plugins").and_then(Value::as_object).into_iter().flatten();
    let of_some = plugins.filter_map(|(name, given)| Some((format!("plugins.{name}.redact"), given.get("redact")?)));
    for (path, rules) in of_all.into_iter().chain(of_some) {
        for (at, rule) in rules.as_array().into_iter().flatten().enumerate() {
            if rule.get("action").and_then(Value::as_str) == Some("hash") {
                let path = format!("{path}[{at}].action");
                report(
                    path.clone(),
                    format!("the setting `{path}`: {NO_KEY}"),
                    "create one with: openssl rand -hex 32",
                );
            }
        }
    }
}
