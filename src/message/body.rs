//! Bodies as part of a message.

use serde_json::Value;

use super::{Message, ShapeError};
use crate::plugin::Include;

/// Which bodies become part of the message, and how.
#[derive(Debug, Default)]
pub(super) struct BodyRule {}

/// A body is not what its content type says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BodyError {
    /// What is wrong.
    pub reason: String,
}

impl BodyRule {
    pub(super) fn of(_config: &Value, _default: Include) -> Result<Self, ShapeError> {
        Ok(Self {})
    }

    pub(super) fn applies(&self, _message: &Message) -> bool {
        false
    }

    pub(super) fn apply(&self, _message: &mut Message) -> Result<(), BodyError> {
        Ok(())
    }
}
