//! The values that settings were made of, and those of them that the log phase needs.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Settings;

/// The values of all settings, complete. Settings do not differ by them: they say the same in another form.
#[derive(Clone, Default)]
pub struct Values(Arc<Map<String, Value>>);

impl std::fmt::Debug for Values {
    /// Some of them are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Values")
    }
}

impl PartialEq for Values {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl From<Map<String, Value>> for Values {
    fn from(values: Map<String, Value>) -> Self {
        Self(values.into())
    }
}

/// The settings that the log phase depends on. None of them is a secret, and none names a file or an address.
const OF_LOG_PHASE: &[&str] = &[
    "limits",
    "mappings",
    "untrusted_lua",
    "untrusted_lua_sandbox_requires",
    "untrusted_lua_sandbox_environment",
    "replay_phases",
    "trusted_ips",
    "router_flavor",
    "route_match_calculation",
    "vault",
    "lua",
    "mesh",
    "kong_quirks",
    "on_error",
    "redact",
    "queue",
    "plugins",
    "custom_plugins",
    "select_tags",
];

/// The key of hashes where the service's own is not to be had.
const OTHER_KEY: &str = "not the key of the service";

impl Settings {
    /// A settings file with the settings that the log phase depends on, for a process that is to know nothing else. Hashes have another key:
    /// with the service's, whoever may try transactions could find out what is behind the hashes in messages.
    pub fn of_log_phase(&self) -> String {
        let mut values: Map<String, Value> = self.values.0.as_ref().clone();
        values.retain(|name, value| OF_LOG_PHASE.contains(&&**name) && !value.is_null());
        if self.redact_key.is_some() {
            values.insert("redact_key".to_owned(), OTHER_KEY.into());
        }
        Value::Object(values).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logphase_config::diagnostic::SourceFile;

    fn load(text: &str) -> Settings {
        let (settings, found) = Settings::load(Some(SourceFile::new("t.yml", text)), std::iter::empty());
        assert_eq!(found, [], "{text}");
        settings
    }

    /// What the log phase does not depend on. A new setting belongs to one of the two lists.
    const OTHERS: &[&str] = &[
        "config",
        "data_dir",
        "workers",
        "fair_by",
        "inputs",
        "status",
        "admin",
        "page",
        "database",
        "database_url",
        "database_key",
        "database_old_key",
        "reload",
        "confinement",
        "files",
        "redact_key",
        "shutdown_timeout",
        "log",
    ];

    /// Scenario: all settings. Guarantees: each is known to matter to the log phase or not to, and none that does is secret.
    #[test]
    fn every_setting_is_in_one_list() {
        for field in Settings::FIELDS {
            let (of_log_phase, other) = (OF_LOG_PHASE.contains(&field.name), OTHERS.contains(&field.name));
            assert!(of_log_phase != other || (field.name == "page" && other), "{}", field.name);
            assert!(!(of_log_phase && field.secret), "{}", field.name);
        }
    }

    /// Scenario: settings of every section, with secrets and addresses; the part of them that the log phase needs, read again.
    /// Guarantees: it says the same of the log phase, and has none of the secrets; the key of hashes is another one, and there is none if
    /// there was none.
    #[test]
    fn what_the_log_phase_needs_is_read_as_the_same() {
        let text = "lua: {deadline_ms: 33, suspend_for: 90s, memory_limit: 48MiB}\nkong_quirks: true\nreplay_phases: [access]\n\
                    limits: {max_depth: 77}\nredact: [{header: x-token, action: hash}]\nredact_key: 0123456789abcdef-of-us\n\
                    plugins: {file-log: {on_error: drop}}\nmappings: {own: {extends: nginx}}\nuntrusted_lua: strict\n\
                    vault: {env: {allow: [NAME]}}\nqueue: {max_batch_size: 7}\nadmin: {token: t0ken-of-the-admin}\n\
                    trusted_ips: [10.0.0.0/8]\non_error: drop\nselect_tags: [a]\nroute_match_calculation: strict\n";
        let (settings, alone) = (load(text), load("{}"));
        let shared = settings.of_log_phase();
        assert!(!shared.contains("0123456789abcdef") && !shared.contains("t0ken"), "{shared}");
        let again = load(&shared);
        let same = Settings { redact_key: again.redact_key.clone(), admin: alone.admin.clone(), ..settings.clone() };
        assert!(again == same, "{again:#?}\n{same:#?}");
        assert!(settings.redact_key != again.redact_key && again.redact_key.is_some());
        assert!(load(&alone.of_log_phase()) == alone);
    }
}
