//! What one plugin's message is beside the transaction and the edits: bodies that it carries, parts that are redacted.

use serde_json::Value;

use super::Message;
use super::RedactRule;
use super::body::{BodyError, BodyOptions, BodyRule};
use super::redact::Redaction;

/// How one plugin's messages differ from those of others of the same transaction.
#[derive(Debug, Default)]
pub struct Shape {
    body: BodyRule,
    redaction: Redaction,
}

/// What a rule needs beside the plugin's `config`.
#[derive(Debug, Clone, Copy)]
pub struct ShapeOptions<'a> {
    /// Which bodies are included, and how.
    pub body: &'a BodyOptions,
    /// Rules that hold before the plugin's own.
    pub redact: &'a [RedactRule],
    /// The key of hashes.
    pub hash_key: Option<&'a str>,
    /// Whether key paths are read as Kong reads them.
    pub kong_quirks: bool,
}

impl Shape {
    /// The shape that a plugin's validated `config` asks for.
    ///
    /// # Errors
    /// What is wrong with it, and the path of the field within `config`.
    pub fn of(config: &Value, options: ShapeOptions<'_>) -> Result<Self, ShapeError> {
        Ok(Self { body: BodyRule::of(options.body)?, redaction: Redaction::of(config, options)? })
    }

    /// Whether the message of this transaction is the one that every plugin without a shape has.
    pub fn is_plain(&self, message: &Message) -> bool {
        self.redaction.is_empty() && !self.body.applies(message)
    }
}

/// A shape that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ShapeError {
    /// Path of the field within the plugin's `config`, like `redact[0].pattern`.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl Message {
    /// The message as one plugin sends it.
    ///
    /// # Errors
    /// A body does not parse as the type that it claims, and the rule is to send nothing then.
    pub fn shaped(&self, shape: &Shape) -> Result<Vec<u8>, BodyError> {
        let mut own = self.clone();
        shape.body.apply(&mut own)?;
        shape.redaction.apply(&mut own);
        Ok(own.to_vec())
    }
}
