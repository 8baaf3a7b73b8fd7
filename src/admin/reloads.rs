//! What became of the attempts to read the configuration again.

use std::time::SystemTime;

use parking_lot::{Mutex, MutexGuard};

/// What a reload came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The new configuration is in force.
    Taken,
    /// It is wrong; the old one stays in force.
    Refused,
    /// It says what was said before.
    Unchanged,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Taken, Self::Refused, Self::Unchanged];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Counts reloads.
#[derive(Debug, Default)]
pub struct Reloads {
    stats: Mutex<ReloadStats>,
}

/// The reloads so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadStats {
    /// How many, as [`Outcome::ALL`] has them.
    pub counts: [u64; Outcome::ALL.len()],
    /// When the last one was.
    pub last: Option<SystemTime>,
    /// When one was last not refused.
    pub good: Option<SystemTime>,
    /// What was wrong with the last one, if it was refused.
    pub error: Option<String>,
}

impl Reloads {
    fn lock(&self) -> MutexGuard<'_, ReloadStats> {
        self.stats.lock()
    }

    /// A configuration was taken over.
    pub fn taken(&self) {
        self.note(Outcome::Taken, None);
    }

    /// A configuration was refused, for `error`.
    pub fn refused(&self, error: impl Into<String>) {
        self.note(Outcome::Refused, Some(error.into()));
    }

    /// A configuration was read, and is the one in force.
    pub fn unchanged(&self) {
        self.note(Outcome::Unchanged, None);
    }

    fn note(&self, outcome: Outcome, error: Option<String>) {
        let mut stats = self.lock();
        stats.counts[outcome as usize] += 1;
        stats.last = Some(SystemTime::now());
        if error.is_none() {
            stats.good = stats.last;
        }
        stats.error = error;
    }

    /// What is known now.
    pub fn read(&self) -> ReloadStats {
        self.lock().clone()
    }
}
