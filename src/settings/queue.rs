//! The settings' `queue`: the options of every plugin's queue, and limits on all of them together.

use serde::Deserialize;

use crate::options;
use crate::options::Restart;
use crate::options::queue::QueueOverride;
use crate::options::record::{settings_record, size};
use logphase_config::schema::{Field, Record};

/// Defaults of every plugin's queue, and limits on all queues together.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct QueueSettings {
    /// The options, which a plugin's own configuration and the settings for it override.
    #[serde(flatten)]
    pub defaults: QueueOverride,
    /// The limits.
    #[serde(flatten)]
    pub limits: QueueLimits,
}

settings_record! {
    /// Limits on all queues together.
    #[derive(Copy, Eq)]
    pub struct QueueLimits {
        /// Maximum bytes in memory in all queues together.
        @restart max_memory: usize = size(128 << 20);
        /// Maximum bytes on disk in all queues together.
        @restart max_data_bytes: usize = size(8 << 30);
    }
}

static FIELDS: [Field; options::queue::SETTINGS_FIELDS.len() + QueueLimits::FIELDS.len()] = {
    const OPTIONS: [Field; options::queue::SETTINGS_FIELDS.len()] = options::queue::SETTINGS_FIELDS;
    let mut fields = [Field::any(""); OPTIONS.len() + QueueLimits::FIELDS.len()];
    let mut at = 0;
    while at < fields.len() {
        fields[at] = if at < OPTIONS.len() { OPTIONS[at] } else { QueueLimits::FIELDS[at - OPTIONS.len()] };
        at += 1;
    }
    fields
};

/// The schema of `queue`.
pub(super) static RECORD: Record = Record { fields: &FIELDS, checks: &[options::queue::retry_delays] };

impl Restart for QueueSettings {
    fn changed(&self, new: &Self, path: &str, names: &mut Vec<String>) {
        self.limits.changed(&new.limits, path, names);
    }
}
