//! `${{ env "DECK_X" }}`, which decK replaces in the text before it parses it.

use std::ops::Range;
use std::sync::Arc;

use super::Environment;
use super::text::{Replacement, Text};
use crate::diagnostic::{Diagnostic, Place, SourceFile, codes};

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// An expression that cannot be expanded.
pub(super) struct Failed {
    /// The variable, if all that is wrong is that it is not set.
    pub(super) unset: Option<String>,
    /// Its bytes in the expanded text.
    pub(super) at: Range<usize>,
    /// Why.
    pub(super) error: Diagnostic,
}

/// Expands every expression of `file`. One that fails becomes `0`; whether it matters is for the caller to say, who
/// knows what is a comment.
pub(super) fn expand(file: &Arc<SourceFile>, environment: Environment<'_>) -> (Arc<Text>, Vec<Failed>) {
    let source = file.text.as_str();
    if !source.contains(OPEN) {
        return (Arc::new(Text::plain(file.clone())), Vec::new());
    }
    let (mut text, mut replacements, mut failed, mut at) =
        (String::with_capacity(source.len()), Vec::new(), Vec::new(), 0);
    while let Some(found) = source[at..].find(OPEN) {
        let start = at + found;
        let inside = start + OPEN.len();
        text.push_str(&source[at..start]);
        let from = text.len();
        at = start;
        let Some(length) = source[inside..].find(CLOSE) else {
            let place = Place::new(file.clone(), start..inside);
            let error = Diagnostic::error(codes::ENVIRONMENT, "`${{` without `}}`").at(place).label("opened here");
            failed.push(Failed { unset: None, at: from..from + OPEN.len(), error });
            break;
        };
        let end = inside + length + CLOSE.len();
        match evaluate(&source[inside..inside + length], environment) {
            Ok(value) => text.push_str(&value),
            Err(Problem { unset, message, help }) => {
                // A number is also good as a string, so the missing value causes no second error.
                text.push('0');
                let place = Place::new(file.clone(), start..end);
                let error = Diagnostic::error(codes::ENVIRONMENT, message).at(place).help(help);
                failed.push(Failed { unset, at: from..text.len(), error });
            }
        }
        replacements.push(Replacement { expanded: from..text.len(), source: start..end });
        at = end;
    }
    text.push_str(&source[at..]);
    (Arc::new(Text::expanded(file.clone(), text, replacements)), failed)
}

/// Why an expression has no value.
struct Problem {
    /// The variable, if all that is wrong is that it is not set.
    unset: Option<String>,
    message: String,
    help: String,
}

impl Problem {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { unset: None, message: message.into(), help: help.into() }
    }
}

/// The value of `env "DECK_X"`, optionally piped through decK's `toInt`, `toBool`, `toFloat` or `indent N`.
fn evaluate(expression: &str, environment: Environment<'_>) -> Result<String, Problem> {
    let usage =
        || "write `${{ env \"DECK_NAME\" }}`, optionally with `| toInt`, `| toBool`, `| toFloat` or `| indent N`";
    let mut parts = expression.split('|').map(str::trim);
    let call = parts.next().unwrap_or("");
    let name = call
        .strip_prefix("env")
        .map(str::trim)
        .and_then(|quoted| ['"', '`'].iter().find_map(|quote| quoted.strip_prefix(*quote)?.strip_suffix(*quote)));
    let Some(name) = name else {
        return Err(Problem::new(format!("unknown expression `{}`", expression.trim()), usage()));
    };
    if !name.starts_with("DECK_") {
        let message = format!("environment variables in a configuration must be prefixed with `DECK_`, found `{name}`");
        return Err(Problem::new(message, format!("rename the variable to `DECK_{name}`")));
    }
    let Some(mut value) = environment(name) else {
        let message = format!("environment variable `{name}` is not set");
        let unset = Some(name.to_owned());
        return Err(Problem { unset, ..Problem::new(message, format!("set `{name}` before starting")) });
    };
    for filter in parts {
        value = apply(filter, value)
            .ok_or_else(|| Problem::new(format!("`{filter}` cannot be applied to `{name}`"), usage()))?;
    }
    Ok(value)
}

fn apply(filter: &str, value: String) -> Option<String> {
    match filter {
        "toInt" => value.trim().parse::<i64>().ok().map(|value| value.to_string()),
        "toFloat" => value.trim().parse::<f64>().ok().map(|value| value.to_string()),
        "toBool" => match value.trim() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some("true".into()),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some("false".into()),
            _ => None,
        },
        _ => {
            let spaces: usize = filter.strip_prefix("indent ")?.trim().parse().ok().filter(|spaces| *spaces <= 100)?;
            // The first line stands where the expression does.
            Some(value.replace('\n', &format!("\n{}", " ".repeat(spaces))))
        }
    }
}
