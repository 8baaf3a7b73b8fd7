//! What is wrong with a template.

use std::fmt;
use std::ops::Range;

/// A mistake in a template, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty if the message says it all.
    pub help: String,
    /// Where: bytes of the template, or of the string at `path` in a template in JSON.
    pub span: Range<usize>,
    /// The keys and indexes that lead to the string; empty in a template that is text.
    pub path: Vec<Step>,
    /// What Envoy 1.40 says about it when it refuses the configuration; empty if Envoy accepts it.
    pub envoy: String,
}

/// A step into a template in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Key(String),
    /// An element of an array, from 0.
    Index(usize),
}

impl TemplateError {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: String::new(), span, path: Vec::new(), envoy: String::new() }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }

    pub(super) fn envoy(self, envoy: impl Into<String>) -> Self {
        Self { envoy: envoy.into(), ..self }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.path {
            match step {
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        if !self.path.is_empty() {
            f.write_str(", ")?;
        }
        write!(f, "byte {}: {}", self.span.start, self.message)?;
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for TemplateError {}
