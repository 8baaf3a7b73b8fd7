//! The output of `test`.

use std::fmt::Write;
use std::time::Duration;

use logphase_io::printable;
use serde_json::{Value, json};

use super::file::Test;
use super::judge::Failure;
use super::lines;
use super::pattern::{Difference, Matcher, same};
use crate::cli::pretty;

/// The maximum number of differences in the list.
const MAX_LISTED: usize = 20;
/// The maximum number of characters of a value in the list.
const MAX_VALUE_LENGTH: usize = 120;

/// The result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The results are as expected.
    Passed,
    /// The results differ.
    Failed,
    /// The results differed, and the file expects them now.
    Blessed,
}

/// A report as text, with or without colours.
pub(super) struct Report {
    text: String,
    color: bool,
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const DIM: &str = "2";
const BOLD: &str = "1";

impl Report {
    /// An empty report.
    pub(super) fn new(color: bool) -> Self {
        Self { text: String::new(), color }
    }

    /// The text of the report.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// `text` with hidden characters as escapes, in a colour.
    fn paint(&self, code: &str, text: &str) -> String {
        let text = printable::line(text);
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into_owned() }
    }

    fn line(&mut self, indent: usize, text: &str) {
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    /// Adds the heading of a file.
    pub(super) fn file(&mut self, name: &str, taken: Duration) {
        let time = self.paint(DIM, &format!("({} ms)", taken.as_millis()));
        let name = self.paint(BOLD, name);
        self.line(0, &format!("{name} {time}"));
    }

    /// Adds one test with its failures.
    pub(super) fn test(&mut self, test: &Test, verdict: Verdict, failures: &[Failure]) {
        match verdict {
            Verdict::Passed => {
                self.line(2, &format!("{}       {}", self.paint(GREEN, "ok"), printable::line(&test.name)))
            }
            Verdict::Blessed => {
                self.line(2, &format!("{}  {}", self.paint(YELLOW, "blessed"), printable::line(&test.name)))
            }
            Verdict::Failed => {
                self.line(2, &format!("{}   {}", self.paint(RED, "FAILED"), printable::line(&test.name)));
                self.line(11, &self.paint(DIM, &format!("{}:{}", test.place.file.name, test.place.line())));
                failures.iter().for_each(|failure| self.failure(failure));
            }
        }
    }

    fn failure(&mut self, failure: &Failure) {
        if !failure.plugin.is_empty() {
            self.line(11, &self.paint(BOLD, &failure.plugin));
        }
        for remark in &failure.remarks {
            self.line(13, &printable::line(remark));
        }
        for difference in failure.differences.iter().take(MAX_LISTED) {
            self.difference(difference);
        }
        if failure.differences.len() > MAX_LISTED {
            self.line(13, &format!("... and {} more", failure.differences.len() - MAX_LISTED));
        }
        if let Some((expected, got)) = failure.whole.as_ref().filter(|_| !failure.differences.is_empty()) {
            self.diff(expected, got);
        }
        for error in &failure.errors {
            for line in error.render(self.color).lines() {
                self.line(13, line);
            }
        }
    }

    fn difference(&mut self, Difference { path, expected, got }: &Difference) {
        let wanted = |report: &Self| expected.as_ref().map(|value| report.paint(RED, &short(value)));
        let found = |report: &Self| got.as_ref().map(|value| report.paint(GREEN, &short(value)));
        let text = match (wanted(self), found(self)) {
            (Some(wanted), Some(found)) => format!("expected {wanted}, got {found}"),
            (Some(wanted), None) => format!("missing, expected {wanted}"),
            (None, Some(found)) => format!("unexpected, got {found}"),
            (None, None) => return,
        };
        let path = if path.is_empty() { "the message" } else { path };
        self.line(13, &format!("{}: {text}", printable::line(path)));
    }

    fn diff(&mut self, expected: &Value, got: &Value) {
        let pretty =
            |value: &Value| String::from_utf8_lossy(&pretty::pretty(value.to_string().as_bytes())).into_owned();
        let (old, new) = (pretty(&aligned(expected, got)), pretty(got));
        let lines = lines::diff(&old, &new);
        if lines.is_empty() {
            return;
        }
        self.line(13, &self.paint(RED, "--- expected"));
        self.line(13, &self.paint(GREEN, "+++ got"));
        for (mark, line) in lines {
            let text = format!("{mark}{line}");
            self.line(
                13,
                &match mark {
                    '-' => self.paint(RED, &text),
                    '+' => self.paint(GREEN, &text),
                    '@' => self.paint(DIM, "@@"),
                    _ => printable::line(&text).into_owned(),
                },
            );
        }
    }

    /// Adds the totals.
    pub(super) fn summary(&mut self, passed: usize, blessed: usize, failed: usize) {
        let blessed = if blessed > 0 { format!(", {blessed} blessed") } else { String::new() };
        let text = format!("{passed} passed{blessed}, {failed} failed");
        self.line(0, &self.paint(if failed > 0 { RED } else { GREEN }, &text));
    }
}

/// `expected` with its members in the order of `got`, and with the values of `got` that satisfy it.
fn aligned(expected: &Value, got: &Value) -> Value {
    if let Some(Ok(matcher)) = Matcher::of(expected) {
        return if matcher.holds(got) { got } else { expected }.clone();
    }
    match (expected, got) {
        (Value::Object(wanted), Value::Object(members)) => {
            let both = members.iter().filter_map(|(name, got)| Some((name, aligned(wanted.get(name)?, got))));
            let rest = wanted.iter().filter(|(name, _)| !members.contains_key(*name));
            Value::Object(
                both.chain(rest.map(|(name, value)| (name, value.clone())))
                    .map(|(name, value)| (name.clone(), value))
                    .collect(),
            )
        }
        (Value::Array(wanted), Value::Array(items)) => {
            let item = |(at, wanted)| items.get(at).map_or_else(|| Value::clone(wanted), |got| aligned(wanted, got));
            wanted.iter().enumerate().map(item).collect()
        }
        _ if same(expected, got) => got.clone(),
        _ => expected.clone(),
    }
}

/// A value on one line, truncated if it is long.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE_LENGTH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// The JSON line of a test.
pub(super) fn json_line(test: &Test, verdict: Verdict, failures: &[Failure]) -> String {
    let result = match verdict {
        Verdict::Passed => "ok",
        Verdict::Failed => "failed",
        Verdict::Blessed => "blessed",
    };
    let failures = failures.iter().flat_map(|failure| {
        let plugin = &failure.plugin;
        let remarks = failure.remarks.iter().map(move |text| json!({"plugin": plugin, "message": text}));
        let errors = failure.errors.iter().map(move |error| {
            let place = error.place().map(ToString::to_string);
            json!({"plugin": plugin, "message": format!("{}: {}", error.message, error.label), "place": place})
        });
        let differences = failure.differences.iter().map(move |difference| {
            let mut line = json!({"plugin": plugin, "path": difference.path});
            for (name, value) in [("expected", &difference.expected), ("got", &difference.got)] {
                if let Some(value) = value {
                    line[name] = value.clone();
                }
            }
            line
        });
        remarks.chain(differences).chain(errors)
    });
    let failures: Vec<Value> = failures.collect();
    let (file, line) = (&test.place.file.name, test.place.line());
    format!("{}\n", json!({"file": file, "line": line, "name": test.name, "result": result, "failures": failures}))
}
