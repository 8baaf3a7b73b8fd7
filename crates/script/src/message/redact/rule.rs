//! What a rule of `redact` says.

use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use serde::Deserialize;

/// One rule as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct RedactRule {
    /// Name of a header.
    pub header: Option<String>,
    /// Name of a query argument.
    pub query: Option<String>,
    /// Name of a cookie.
    pub cookie: Option<String>,
    /// Key path.
    pub key: Option<String>,
    /// Regular expression.
    pub pattern: Option<String>,
    /// What is done.
    pub action: RedactAction,
}

/// What a rule does to what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedactAction {
    /// It is taken out.
    Remove,
    /// `***` is put in its place.
    #[default]
    Mask,
    /// Its keyed hash is put in its place.
    Hash,
}

/// Bytes that one compiled pattern may take.
const LARGEST: usize = 2 << 20;

/// Compiles a rule's pattern, for an engine whose time is linear in the text.
///
/// # Errors
/// Why it is no pattern, or that it is too large, in one line.
pub fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    let config = Config::new().nfa_size_limit(Some(LARGEST)).onepass_size_limit(Some(LARGEST / 8)).dfa(false);
    let syntax = syntax::Config::new().nest_limit(100);
    Regex::builder().configure(config).syntax(syntax).build(pattern).map_err(|error| {
        if error.size_limit().is_some() {
            return "the regular expression is too large: use smaller counts, or (?-u) for ASCII classes".to_owned();
        }
        let reason = match error.syntax_error() {
            Some(regex_syntax::Error::Parse(error)) => {
                format!("{} at character {}", error.kind(), error.span().start.column)
            }
            Some(regex_syntax::Error::Translate(error)) => {
                format!("{} at character {}", error.kind(), error.span().start.column)
            }
            _ => error.to_string(),
        };
        format!("not a regular expression: {reason}")
    })
}
