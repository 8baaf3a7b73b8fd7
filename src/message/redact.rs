//! What is taken out of a message before it leaves.

use serde_json::Value;

use super::{Message, ShapeError};

/// The rules of one plugin's `redact`.
#[derive(Debug, Default)]
pub(super) struct Redaction {}

impl Redaction {
    pub(super) fn of(_config: &Value, _hash_key: Option<&str>) -> Result<Self, ShapeError> {
        Ok(Self {})
    }

    pub(super) fn is_empty(&self) -> bool {
        true
    }

    pub(super) fn apply(&self, _message: &mut Message) {}
}
