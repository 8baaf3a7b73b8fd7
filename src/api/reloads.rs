//! Counts the attempts to reload the configuration.

use std::time::SystemTime;

use parking_lot::Mutex;

/// The result of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// The new configuration is active.
    Applied,
    /// The new configuration is not valid; the old one stays active.
    Refused,
    /// The configuration is the active one.
    Unchanged,
}

impl ReloadResult {
    /// Every result, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Applied, Self::Refused, Self::Unchanged];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The counters of reloads.
#[derive(Debug, Default)]
pub struct Reloads {
    stats: Mutex<ReloadStats>,
}

/// The reloads so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadStats {
    /// How many had each result, in the order of [`ReloadResult::ALL`].
    pub counts: [u64; ReloadResult::ALL.len()],
    /// When the last one was.
    pub last: Option<SystemTime>,
    /// When the last one was that was not refused.
    pub last_success: Option<SystemTime>,
    /// Why the last one was refused, if it was.
    pub error: Option<String>,
}

impl Reloads {
    /// Counts a configuration that became active.
    pub fn applied(&self) {
        self.record(ReloadResult::Applied, None);
    }

    /// Counts a configuration that was refused because of `error`.
    pub fn refused(&self, error: impl Into<String>) {
        self.record(ReloadResult::Refused, Some(error.into()));
    }

    /// Counts a configuration that is the active one.
    pub fn unchanged(&self) {
        self.record(ReloadResult::Unchanged, None);
    }

    fn record(&self, result: ReloadResult, error: Option<String>) {
        let mut stats = self.stats.lock();
        stats.counts[result as usize] += 1;
        stats.last = Some(SystemTime::now());
        if error.is_none() {
            stats.last_success = stats.last;
        }
        stats.error = error;
    }

    /// The reloads so far.
    pub fn read(&self) -> ReloadStats {
        self.stats.lock().clone()
    }
}
