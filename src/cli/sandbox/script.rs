//! Parses an attack script: the header in its first comment lines, and its code.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use logphase_script::{Phase, Profile};

/// An attack script.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Script {
    /// Its path.
    pub(super) name: String,
    /// What it attempts.
    pub(super) attack: Option<String>,
    /// Number of its class in `docs/sandbox.md`.
    pub(super) class: Option<u32>,
    /// The published vulnerability that it is modelled on.
    pub(super) cve: Option<String>,
    /// The expected results, any of which is sufficient. If empty, only the limits are checked.
    pub(super) expect: Vec<Expectation>,
    /// The profile that it was written for.
    pub(super) profile: Option<Profile>,
    /// The setting `kong_quirks` that it was written for.
    pub(super) kong_quirks: bool,
    /// The phase that its code runs in, if it is one before the log phase.
    pub(super) phase: Option<Phase>,
    /// The snippets of its code.
    pub(super) runs: Vec<Run>,
}

/// One snippet of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// Its text; `None` repeats the previous snippet.
    pub(super) source: Option<String>,
    /// Whether it runs as a later plugin of the same transaction.
    pub(super) same_transaction: bool,
}

/// An expected result of the last run of a script.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expectation {
    /// It fails, or does not compile, with an error that contains this text.
    Error(String),
    /// It is stopped because it exceeds a deadline.
    Stopped,
    /// It reaches a limit on memory, sizes or log lines.
    Limited,
    /// It returns this value; `None` is nil.
    Value(Option<Value>),
    /// The message has this value at a JSON pointer; `None` means that it has none.
    Field(String, Option<Value>),
}

/// The maximum size of a script after its `repeat` lines are expanded, in bytes.
const MAX_SIZE: usize = 64 << 20;

const NEXT_RUN: &str = "---- next run";
const NEXT_PLUGIN: &str = "---- next plugin";
const AGAIN: &str = "---- again";

/// Parses a script.
///
/// # Errors
/// The line of the header that is invalid, and why.
pub(super) fn parse(name: &str, text: &str) -> Result<Script, String> {
    let mut script = Script {
        name: name.to_owned(),
        attack: None,
        class: None,
        cve: None,
        expect: Vec::new(),
        profile: None,
        kong_quirks: false,
        phase: None,
        runs: Vec::new(),
    };
    let mut repeats = Vec::new();
    for (number, line) in text.lines().enumerate().take_while(|(_, line)| line.starts_with("--")) {
        let Some((word, rest)) = line.strip_prefix("-- ").and_then(|line| line.split_once(": ")) else { continue };
        read(&mut script, &mut repeats, word, rest.trim())
            .map_err(|message| format!("{name}:{}: {message}", number + 1))?;
    }
    script.runs = runs(&expand(text, &repeats).map_err(|message| format!("{name}: {message}"))?);
    Ok(script)
}

fn read(script: &mut Script, repeats: &mut Vec<String>, word: &str, rest: &str) -> Result<(), String> {
    match word {
        "attack" => script.attack = Some(rest.to_owned()),
        "class" => {
            script.class = Some(rest.parse().map_err(|_| "expected the number of a class, like `-- class: 6`")?);
        }
        "cve" => script.cve = Some(rest.to_owned()),
        "expect" => script.expect.push(expectation(rest)?),
        "repeat" => repeats.push(repeated(rest)?),
        "settings" => {
            for setting in rest.split(',') {
                match setting.trim() {
                    "profile: sandbox" => script.profile = Some(Profile::Sandbox),
                    "profile: strict" => script.profile = Some(Profile::Strict),
                    "kong_quirks: true" => script.kong_quirks = true,
                    other => match other.strip_prefix("phase: ").and_then(Phase::named) {
                        Some(phase) => script.phase = Some(phase).filter(|phase| *phase != Phase::Log),
                        None => {
                            return Err(format!(
                                "`{other}`: expected `profile: sandbox`, `profile: strict`, `kong_quirks: true` or \
                                 `phase: access`"
                            ));
                        }
                    },
                }
            }
        }
        // `why`, and any other comment.
        _ => {}
    }
    Ok(())
}

fn expectation(text: &str) -> Result<Expectation, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let value = |text: &str| match text {
        "nil" => Ok(None),
        text => serde_json::from_str(text).map(Some).map_err(|error| format!("`{text}` is not JSON: {error}")),
    };
    match word {
        "stopped" => Ok(Expectation::Stopped),
        "limited" => Ok(Expectation::Limited),
        "error" => serde_json::from_str(rest)
            .map(Expectation::Error)
            .map_err(|_| "expected a text in double quotes, like `-- expect: error \"not allowed\"`".to_owned()),
        "value" => value(rest).map(Expectation::Value),
        "field" => {
            let (pointer, rest) = rest.split_once(' ').unwrap_or((rest, "nil"));
            Ok(Expectation::Field(pointer.to_owned(), value(rest)?))
        }
        _ => Err("expected one of: error \"...\", stopped, limited, value JSON, field /POINTER JSON".to_owned()),
    }
}

/// Parses `"(" 200000`: a text and how often it is repeated.
fn repeated(text: &str) -> Result<String, String> {
    let invalid = || "expected a text and a number, like `-- repeat: \"(\" 200000`".to_owned();
    let (quoted, count) = text.rsplit_once(' ').ok_or_else(invalid)?;
    let text: String = serde_json::from_str(quoted).map_err(|_| invalid())?;
    let count: usize = count.parse().map_err(|_| invalid())?;
    match text.len().checked_mul(count) {
        Some(size) if size <= MAX_SIZE => Ok(text.repeat(count)),
        _ => Err(format!("larger than {MAX_SIZE} bytes")),
    }
}

/// Replaces `@1@`, `@2@`, ... in the code by the texts of the `repeat` lines.
fn expand(text: &str, repeats: &[String]) -> Result<String, String> {
    let mut expanded = text.to_owned();
    for (number, repeated) in repeats.iter().enumerate() {
        let mark = format!("@{}@", number + 1);
        let places = expanded.matches(&mark).count();
        if places == 0 {
            return Err(format!("the code has no {mark} for `repeat` line {}", number + 1));
        }
        if places.saturating_mul(repeated.len()) > MAX_SIZE {
            return Err(format!("larger than {MAX_SIZE} bytes after its `repeat` lines are expanded"));
        }
        expanded = expanded.replace(&mark, repeated);
    }
    Ok(expanded)
}

/// Splits the code at the separators.
fn runs(text: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut source = String::new();
    let mut same_transaction = false;
    for line in text.split_inclusive('\n') {
        let mark = line.trim_end();
        if mark != NEXT_RUN && mark != NEXT_PLUGIN && mark != AGAIN {
            source.push_str(line);
            continue;
        }
        if !(source.trim().is_empty() && runs.last().is_some_and(|run: &Run| run.source.is_none())) {
            runs.push(Run { source: Some(std::mem::take(&mut source)), same_transaction });
        }
        source.clear();
        same_transaction = mark == NEXT_PLUGIN;
        if mark == AGAIN {
            runs.push(Run { source: None, same_transaction: false });
        }
    }
    if !source.trim().is_empty() || runs.is_empty() {
        runs.push(Run { source: Some(source), same_transaction });
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: &str, same_transaction: bool) -> Run {
        Run { source: Some(source.to_owned()), same_transaction }
    }

    /// Scenario: a script with every kind of header line, and all three separators.
    /// Guarantees: each is parsed; the texts of `repeat` lines are inserted in the code.
    #[test]
    fn everything_is_read() {
        let text = "-- attack: tries\n-- why: since\n-- class: 6\n-- cve: CVE-1-2\n-- expect: error \"a \\\"b\"\n\
                    -- expect: stopped\n-- expect: limited\n-- expect: value {\"a\": [1]}\n-- expect: value nil\n\
                    -- expect: field /a/b 1\n-- expect: field /c\n-- settings: profile: sandbox, kong_quirks: true\n\
                    -- repeat: \"(\" 3\nreturn @1@\n---- again\n---- again\n---- next plugin\nb()\n---- next run\nc()";
        let script = parse("a.lua", text).unwrap();
        assert_eq!(
            (script.attack.as_deref(), script.class, script.cve.as_deref()),
            (Some("tries"), Some(6), Some("CVE-1-2"))
        );
        assert_eq!((script.profile, script.kong_quirks), (Some(Profile::Sandbox), true));
        let expected = [
            Expectation::Error("a \"b".to_owned()),
            Expectation::Stopped,
            Expectation::Limited,
            Expectation::Value(Some(serde_json::json!({"a": [1]}))),
            Expectation::Value(None),
            Expectation::Field("/a/b".to_owned(), Some(1.into())),
            Expectation::Field("/c".to_owned(), None),
        ];
        assert_eq!(script.expect, expected);
        assert!(script.runs[0].source.as_deref().unwrap().ends_with("\nreturn (((\n"));
        let again = Run { source: None, same_transaction: false };
        assert_eq!(script.runs[1..], [again.clone(), again, run("b()\n", true), run("c()", false)]);
    }

    /// Scenario: a script without a header; scripts with invalid headers.
    /// Guarantees: the first has one run; the errors of the others name the script, the line and what is expected.
    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse("a", "return 1").unwrap().runs, [run("return 1", false)]);
        for (text, expected) in [
            ("-- class: x\n", "a:1: expected the number"),
            ("-- why: \n-- expect: nothing\n", "a:2: expected one of"),
            ("-- expect: error boom\n", "a:1: expected a text in double quotes"),
            ("-- expect: value {\n", "is not JSON"),
            ("-- repeat: \"(\"\n", "a:1: expected a text and a number"),
            ("-- repeat: \"(\" 99999999999\n", "larger than"),
            ("-- repeat: \"(\" 2\n", "no @1@"),
            ("-- settings: profile: off\n", "expected `profile: sandbox`"),
        ] {
            let error = parse("a", text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
