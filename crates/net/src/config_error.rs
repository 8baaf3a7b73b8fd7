//! The error for a configuration that cannot be used.

use std::fmt;

/// A field of a configuration has a value that cannot be used, or is missing.
///
/// Displayed as `field: problem; help`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The path of the field, for instance `authentication.mechanism`. Empty if the error is about the configuration
    /// as a whole.
    pub field: String,
    /// The problem, as a lowercase fragment. It does not repeat secrets.
    pub problem: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl ConfigError {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self { field: field.into(), problem: problem.to_string(), help: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Puts the field below the field `parent`.
    #[must_use]
    pub fn within(self, parent: &str) -> Self {
        self.map_field(|field| if field.is_empty() { parent.to_owned() } else { format!("{parent}.{field}") })
    }

    /// Gives the field the name that the caller's configuration has for it.
    #[must_use]
    pub fn map_field(mut self, rename: impl FnOnce(&str) -> String) -> Self {
        self.field = rename(&self.field);
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: errors with and without a field and help, below another field.
    /// Guarantees: the text has the path of the field, the problem and what to do, and nothing empty.
    #[test]
    fn names_field_problem_and_help() {
        let error = ConfigError::new("url", "missing").within("schema_registry.confluent");
        assert_eq!(error.to_string(), "schema_registry.confluent.url: missing");
        assert_eq!(error.with_help("set it").to_string(), "schema_registry.confluent.url: missing; set it");
        assert_eq!(ConfigError::new("", "empty").to_string(), "empty");
        assert_eq!(ConfigError::new("", "empty").within("a").to_string(), "a: empty");
    }
}
