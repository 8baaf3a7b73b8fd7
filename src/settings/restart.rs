//! Settings that take effect when the service starts, and not by a reload.

use super::Settings;
use crate::options::Restart;

impl Settings {
    /// The settings that differ in `new` and take effect only when the service is restarted, by name.
    pub fn need_restart(&self, new: &Self) -> Vec<String> {
        let mut names = Vec::new();
        self.changed(new, "", &mut names);
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: equal settings, settings in which a reload applies every change, and one of each kind that needs a
    /// restart. Guarantees: only the last are named.
    #[test]
    fn names_what_needs_a_restart() {
        let old = Settings::default();
        assert_eq!(old.need_restart(&old), [""; 0]);
        let mut new = old.clone();
        new.queue.defaults.max_batch_size = Some(2);
        new.lua.deadline_ms += 1.0;
        new.reload.watch = false;
        assert_eq!(old.need_restart(&new), [""; 0]);
        new.workers += 1;
        // The same as before, written in another way.
        new.inputs.set("http", "idle_timeout", 60.0);
        new.inputs.set("tcp", "listen", vec!["127.0.0.1:1"]);
        new.queue.limits.max_memory += 1;
        assert_eq!(old.need_restart(&new), ["workers", "inputs.tcp", "queue.max_memory"]);
    }

    /// Scenario: every setting that needs a restart is changed. Guarantees: the list of them is this one.
    #[test]
    fn the_list_is_complete() {
        let old = Settings::default();
        let mut new = old.clone();
        new.data_dir.push("x");
        new.workers += 1;
        new.fair_by = crate::phase::FairBy::Route;
        new.inputs.set("http", "max_connections", 7);
        new.inputs.set("tcp", "max_connections", 7);
        new.inputs.set("unix", "max_connections", 7);
        new.inputs.set("udp", "listen", vec!["127.0.0.1:1"]);
        new.inputs.set("file", "include", vec!["/var/log/*.json"]);
        new.limits.max_depth += 1;
        new.mappings = serde_json::from_value(serde_json::json!({"edge": {"extends": "nginx"}})).unwrap();
        new.status.listen.clear();
        new.page.listen = vec!["127.0.0.1:1".to_owned()];
        new.confinement.seccomp = false;
        new.files.mode = "0600".to_owned();
        new.queue.limits.max_memory += 1;
        new.queue.limits.max_data_bytes += 1;
        new.shutdown_timeout *= 2;
        new.log.level = "debug".to_owned();
        let names = [
            "data_dir",
            "workers",
            "fair_by",
            "inputs.http",
            "inputs.tcp",
            "inputs.unix",
            "inputs.udp",
            "inputs.file",
            "limits",
            "mappings",
            "status",
            "page",
            "confinement",
            "files",
            "queue.max_memory",
            "queue.max_data_bytes",
            "shutdown_timeout",
            "log",
        ];
        assert_eq!(old.need_restart(&new), names);
    }
}
