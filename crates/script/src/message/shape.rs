//! What distinguishes one plugin's messages from those of others: included bodies and redaction.

use serde_json::Value;

use super::Message;
use super::RedactRule;
use super::body::{BodyError, BodyOptions, BodyRule};
use super::redact::{Redacted, Redaction};

/// How one plugin's messages differ from those of others for the same transaction.
#[derive(Debug, Default)]
pub struct Shape {
    body: BodyRule,
    redaction: Redaction,
}

/// The inputs of a shape other than the plugin's `config`.
#[derive(Debug, Clone, Copy)]
pub struct ShapeOptions<'a> {
    /// The included bodies.
    pub body: &'a BodyOptions,
    /// Redaction rules that apply before the plugin's shaped.
    pub redact: &'a [RedactRule],
    /// The key of hashes.
    pub hash_key: Option<&'a str>,
    /// Whether key paths are parsed as in Kong 3.10.
    pub kong_quirks: bool,
}

impl Shape {
    /// The shape for a plugin's validated `config`.
    ///
    /// # Errors
    /// A field is invalid; the error has its path within `config`.
    pub fn of(config: &Value, options: ShapeOptions<'_>) -> Result<Self, ShapeError> {
        Ok(Self { body: BodyRule::of(options.body)?, redaction: Redaction::of(config, options)? })
    }

    /// Whether this message is the same as without a shape.
    pub fn is_plain(&self, message: &Message) -> bool {
        self.redaction.is_empty() && !self.body.applies(message)
    }
}

/// An invalid shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ShapeError {
    /// Path of the field within the plugin's `config`, like `redact[0].pattern`.
    pub field: String,
    /// The reason, and what to do.
    pub reason: String,
}

impl Message {
    /// Encodes the message in one plugin's shape.
    ///
    /// # Errors
    /// A body does not parse as its content type, and the shape drops such messages.
    pub fn shaped(&self, shape: &Shape) -> Result<Vec<u8>, BodyError> {
        let mut shaped = self.clone();
        shape.body.apply(&mut shaped)?;
        shape.redaction.apply(&mut shaped);
        Ok(shaped.to_vec())
    }
    /// The values that the rules of `shape` change in this message, `most` of them at most, in the order of the rules. It takes as long as
    /// encoding the message once for each rule.
    pub fn redactions(&self, shape: &Shape, most: usize) -> Vec<Redacted> {
        let mut shaped = self.clone();
        match shape.body.apply(&mut shaped) {
            Ok(()) => shape.redaction.traced(&mut shaped, most),
            Err(_) => Vec::new(),
        }
    }
}
