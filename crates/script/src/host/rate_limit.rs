//! The limit on lines that scripts log.

use std::cell::RefCell;
use std::collections::HashMap;

/// How many lines the scripts of each plugin may still log in the current second. Errors have an allowance of their own, so that
/// other lines do not hide them.
#[derive(Debug)]
pub(crate) struct LogRateLimit {
    per_second: u32,
    plugins: RefCell<HashMap<usize, Usage>>,
}

/// The lines of one plugin in one second: errors and others.
#[derive(Debug, Default)]
struct Usage {
    second: u64,
    lines: [u32; 2],
}

impl LogRateLimit {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, plugins: RefCell::default() }
    }

    /// Takes one line of `plugin` in `second`. Returns whether it may be logged, and in a new second how many lines of this
    /// plugin were dropped before.
    pub(crate) fn take(&self, plugin: usize, is_error: bool, second: u64) -> (bool, u32) {
        let mut plugins = self.plugins.borrow_mut();
        let usage = plugins.entry(plugin).or_default();
        let mut dropped = 0;
        if usage.second != second {
            dropped = usage.lines.iter().map(|lines| lines.saturating_sub(self.per_second)).sum();
            *usage = Usage { second, lines: [0; 2] };
        }
        let lines = &mut usage.lines[usize::from(!is_error)];
        *lines = lines.saturating_add(1);
        (*lines <= self.per_second, dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::LogRateLimit;

    /// Scenario: one plugin logs more than its allowance, then an error; another plugin logs, in this second and the next.
    /// Guarantees: the error and the other plugin's lines are logged; in the next second the first plugin has its allowance
    /// again, and the number of its dropped lines is told once.
    #[test]
    fn each_plugin_has_its_allowance() {
        let limit = LogRateLimit::new(2);
        let taken: Vec<_> = (0..4).map(|_| limit.take(0, false, 7).0).collect();
        assert_eq!(taken, [true, true, false, false]);
        assert_eq!(limit.take(0, true, 7), (true, 0));
        assert_eq!(limit.take(1, false, 7), (true, 0));
        assert_eq!(limit.take(1, false, 8), (true, 0));
        assert_eq!(limit.take(0, false, 8), (true, 2));
        assert_eq!(limit.take(0, false, 8), (true, 0));
    }
}
