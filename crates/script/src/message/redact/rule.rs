//! The configured form of a rule of `redact`.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

/// One configured rule.
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
    /// The action on the selected values.
    pub action: RedactAction,
}

/// The action of a rule on the selected values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedactAction {
    /// Removes it.
    Remove,
    /// Replaces it with `***`.
    #[default]
    Mask,
    /// Replaces it with its keyed hash.
    Hash,
}

/// Bytes that one compiled pattern may take.
const MAX_COMPILED: usize = 2 << 20;

/// Levels of groups and repetitions in a pattern.
const MAX_NESTING: u32 = 100;

/// Compiles a rule's pattern. Matching takes time linear in the text.
///
/// # Errors
/// The pattern is malformed or too large; the text is one line.
pub fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(MAX_COMPILED).nest_limit(MAX_NESTING).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            "the regular expression is too large: use smaller counts, or (?-u) for ASCII classes".to_owned()
        }
        regex::Error::Syntax(report) => format!("not a regular expression: {}", syntax_reason(pattern, &report)),
        other => format!("not a regular expression: {other}"),
    })
}

/// The reason and the position in the report of the regex crate, which shows the pattern on a separate line and marks
/// the position on the next.
fn syntax_reason(pattern: &str, report: &str) -> String {
    const INDENT: usize = 4;
    let reason = report.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("malformed");
    let marks = report.lines().nth(2).filter(|_| !pattern.contains('\n')).map(str::trim_end);
    // A duplicate group name has two marks, the second of which is the duplicate.
    let start = marks.and_then(|marks| marks.strip_suffix('^')).map(|marks| marks.trim_end_matches('^').len());
    match start.and_then(|start| start.checked_sub(INDENT)) {
        Some(offset) => format!("{reason} at character {}", offset + 1),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::compile_pattern;

    /// Scenario: malformed patterns of each kind of error, with characters of several bytes before the position, over
    /// several lines, nested too deep and too large once compiled.
    /// Guarantees: one line with the reason, and the position in characters where there is one.
    #[test]
    fn errors_are_one_line() {
        let nested = format!("{}a{}", "(".repeat(200), ")".repeat(200));
        for (pattern, reason) in [
            ("(x", "not a regular expression: unclosed group at character 1"),
            ("äöü(x", "not a regular expression: unclosed group at character 4"),
            ("a[b", "not a regular expression: unclosed character class at character 2"),
            ("ab**c(", "not a regular expression: unclosed group at character 6"),
            ("*a", "not a regular expression: repetition operator missing expression at character 1"),
            ("(?P<a>.)(?P<a>.)", "not a regular expression: duplicate capture group name at character 13"),
            (r"\p{Nothing}", "not a regular expression: Unicode property not found at character 1"),
            (
                r"(?=a)",
                "not a regular expression: look-around, including look-ahead and look-behind, is not supported at character 1",
            ),
            ("(?x)a\n(b", "not a regular expression: unclosed group"),
            (
                &nested,
                "not a regular expression: exceed the maximum number of nested parentheses/brackets (100) at character 101",
            ),
            (r"(\w{900}){900}", "the regular expression is too large: use smaller counts, or (?-u) for ASCII classes"),
        ] {
            assert_eq!(compile_pattern(pattern).expect_err(pattern), reason);
        }
    }
}
