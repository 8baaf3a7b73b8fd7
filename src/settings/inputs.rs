//! The settings of the inputs, which only the inputs themselves know.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::restart::Restart;
use crate::input::{INPUTS, SETTINGS};
use logphase_config::schema::Record;

/// The settings of each input by its name, as its schema reads them. An input without an address is off.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Inputs(Map<String, Value>);

impl Inputs {
    /// Its schema: that of each input under its name.
    pub(super) const RECORD: &'static Record = &SETTINGS;

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

impl Restart for Inputs {
    fn changed(&self, new: &Self, path: &str, names: &mut Vec<String>) {
        let changed = INPUTS.iter().filter(|input| !input.same_settings(self, new));
        names.extend(changed.map(|input| format!("{path}{}", input.name)));
    }
}
