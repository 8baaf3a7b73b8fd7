//! The settings of the inputs, which only the inputs themselves know.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{INPUTS, SETTINGS};
use crate::decode::TextDecoder;
use crate::decode::kong::Format;
use crate::decode::mapping::Mappings;
use crate::options::Restart;
use crate::options::record::{count, settings_record, size};
use logphase_config::schema::{Check, Record};
use logphase_script::transaction;

/// The settings of each input by its name, as its schema reads them. An input without an address is off.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct InputValues(Map<String, Value>);

impl std::fmt::Debug for InputValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Only an input knows which of its settings are secret.
        f.debug_tuple("InputValues").field(&self.0.keys()).finish()
    }
}

impl InputValues {
    /// Its schema: that of each input under its name.
    pub(crate) const RECORD: &'static Record = &SETTINGS;

    /// The settings of the input `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Sets a setting of the input `name`.
    #[cfg(test)]
    pub(crate) fn set(&mut self, name: &str, setting: &str, value: impl Into<Value>) {
        self.0.entry(name).or_insert_with(|| Value::Object(Map::new()))[setting] = value.into();
    }
}

/// Equal settings mean the same, however they are written: `60` and `60s` are one duration.
impl PartialEq for InputValues {
    fn eq(&self, other: &Self) -> bool {
        INPUTS.iter().all(|input| input.same_settings(self, other))
    }
}

impl Restart for InputValues {
    fn changed(&self, new: &Self, path: &str, names: &mut Vec<String>) {
        let changed = INPUTS.iter().filter(|input| !input.same_settings(self, new));
        names.extend(changed.map(|input| format!("{path}{}", input.name)));
    }
}

/// What the inputs are configured with: their own settings, and what all of them share.
#[derive(Debug, Clone, Copy)]
pub struct InputSettings<'a> {
    /// The settings of each input.
    pub inputs: &'a InputValues,
    /// What all of them share.
    pub shared: Shared<'a>,
}

/// What all inputs share.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// The limits of bodies and transactions.
    pub limits: &'a Limits,
    /// The mappings, built-in ones and own ones.
    pub mappings: &'a Mappings,
    /// The directory of the service's own files.
    pub data_dir: &'a Path,
}

impl Shared<'_> {
    /// The decoder of frames in `format` for an input whose setting `mapping` is this name. The settings were checked: they
    /// name no mapping that does not exist.
    pub fn decoder(&self, mapping: &str, format: Format) -> TextDecoder {
        TextDecoder::new(self.mappings.find(mapping), format, self.limits.transaction())
    }
}

settings_record! {
    /// Limits on a body and on a transaction.
    #[derive(Copy, Eq)]
    pub struct Limits {
        /// Maximum bytes of an HTTP body after decompression, and of a gRPC message.
        max_body_bytes: usize = size(8 << 20);
        /// Maximum bytes of all lines together, of TCP and Unix sockets, whose end has not arrived; beyond it the oldest
        /// of them are rejected.
        max_unfinished_bytes: usize = size(32 << 20);
        /// Maximum bytes of one transaction.
        max_transaction_bytes: usize = size(1 << 20);
        /// Maximum levels of nesting; the outermost object is level 1.
        // Reading is recursive; a deeper limit would allow a deeper stack.
        max_depth: usize = count(64, &[Check::Between(1.0, 512.0)]);
        /// Maximum members and elements of one transaction, all levels together.
        max_members: usize = count(10_000, &[Check::GreaterThan(0.0)]);
    }
}

impl Limits {
    /// The limits of one transaction.
    pub fn transaction(&self) -> transaction::Limits {
        let Self { max_transaction_bytes: max_bytes, max_depth, max_members, .. } = *self;
        transaction::Limits { max_bytes, max_depth, max_members }
    }
}
