//! The rules of `redact`: schema, and what a rule says.

use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::schema::{Check, Field, Problem, Record};

/// One rule.
pub(super) static RULE: Field = Field::record("", &RECORD);

static RECORD: Record = Record {
    fields: &[
        Field::string("header").about("Name of a request or response header, in any case."),
        Field::string("query").about("Name of a query argument, in the URL and in the query string."),
        Field::string("cookie").about("Name of a cookie."),
        Field::string("key").about("Key path: dots nest, a backslash makes a dot part of a name, `*` is any name."),
        Field::string("pattern")
            .checks(&[Check::Custom(check_pattern)])
            .about("Regular expression; what it matches in any text of the message is redacted."),
        Field::string("action")
            .checks(&[Check::OneOf(&["remove", "mask", "hash"])])
            .about("Take it out, put `***` in its place (the default), or its keyed hash."),
    ],
    checks: &[one_target],
};

const TARGETS: [&str; 5] = ["header", "query", "cookie", "key", "pattern"];

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

/// Kong's `only_one_of`.
fn one_target(rule: &Map<String, Value>) -> Result<(), Problem> {
    let given: Vec<_> = TARGETS.into_iter().filter(|name| rule.contains_key(*name)).collect();
    let message = match &given[..] {
        [_] => return Ok(()),
        [] => format!("a `redact` rule names none of {}", TARGETS.join(", ")),
        several => format!("a `redact` rule names {}, and may name only one", several.join(" and ")),
    };
    let kong = format!("exactly one of these fields must be non-empty: '{}'", TARGETS.join("', '"));
    Err(Problem { field: given.get(1).copied().unwrap_or_default(), message, kong })
}

fn check_pattern(value: &Value) -> Result<(), String> {
    compile(value.as_str().unwrap_or_default()).map(drop)
}

/// Bytes that one compiled pattern may take.
const LARGEST: usize = 2 << 20;

/// Compiles a rule's pattern, for an engine whose time is linear in the text.
///
/// # Errors
/// Why it is no pattern, or that it is too large, in one line.
pub fn compile(pattern: &str) -> Result<Regex, String> {
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
