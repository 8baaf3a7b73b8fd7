//! What is set when the service is started, and not by a reload.

use super::Settings;

impl Settings {
    /// The settings that differ in `new` and take effect only when the service is started anew, by name.
    pub fn need_restart(&self, new: &Self) -> Vec<&'static str> {
        let mut names = Vec::new();
        let mut compare = |name, same: bool| {
            if !same {
                names.push(name);
            }
        };
        compare("data_dir", self.data_dir == new.data_dir);
        compare("workers", self.workers == new.workers);
        compare("inputs.http", self.inputs.http == new.inputs.http);
        compare("inputs.tcp", self.inputs.tcp == new.inputs.tcp);
        compare("inputs.unix", self.inputs.unix == new.inputs.unix);
        compare("inputs.udp", self.inputs.udp == new.inputs.udp);
        compare("limits", self.limits == new.limits);
        compare("status", self.status == new.status);
        compare("confinement", self.confinement == new.confinement);
        compare("queue.max_memory", self.queue.max_memory == new.queue.max_memory);
        compare("queue.max_data_bytes", self.queue.max_data_bytes == new.queue.max_data_bytes);
        compare("shutdown_timeout", self.shutdown_timeout == new.shutdown_timeout);
        compare("log", self.log == new.log);
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: settings as they are, with what a reload takes over changed, and with one of each kind that it does not.
    /// Guarantees: only the last are named.
    #[test]
    fn only_what_is_set_at_the_start() {
        let old = Settings::default();
        assert_eq!(old.need_restart(&old), [""; 0]);
        let mut new = old.clone();
        new.queue.max_batch_size += 1;
        new.lua.deadline_ms += 1.0;
        new.reload.watch = false;
        assert_eq!(old.need_restart(&new), [""; 0]);
        new.workers += 1;
        new.inputs.tcp.listen.push("127.0.0.1:1".to_owned());
        new.queue.max_memory += 1;
        assert_eq!(old.need_restart(&new), ["workers", "inputs.tcp", "queue.max_memory"]);
    }
}
