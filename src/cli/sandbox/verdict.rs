//! Decides whether a script was contained.

use logphase_io::count::{counted, were};
use std::time::Duration;

use serde_json::Value;

use super::script::{Expectation, Script};
use super::worker::{Report, RunResult};
use crate::settings::Settings;

/// How the sandbox contained a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Containment {
    /// By an error, or a value without anything confidential.
    Refused,
    /// By a deadline.
    Stopped,
    /// By a limit on memory, sizes or log lines.
    Limited,
}

impl Containment {
    /// The name in the output.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Limited => "limited",
        }
    }
}

/// The verdict on a script.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Why it escaped; empty if it is contained.
    pub(super) escapes: Vec<String>,
    /// How it was contained; `None` if no run ended.
    pub(super) containment: Option<Containment>,
    /// The longest CPU time of a run, in milliseconds.
    pub(super) cpu_ms: f64,
    /// Bytes by which the process grew.
    pub(super) memory: Option<usize>,
    /// The error or the value of the last run.
    pub(super) seen: String,
}

/// The limits that a run must stay within.
#[derive(Debug, Clone)]
pub(super) struct RunLimits {
    /// The time of one run.
    pub(super) deadline: Duration,
    /// The memory of the VM, in bytes.
    pub(super) memory: usize,
    /// Log lines per second.
    log_lines: usize,
    /// Bytes by which the process may grow: for the VM, for values on the host side, and for edits of the message.
    growth: usize,
    /// Whether the script runs in the profile that its expectations are written for.
    exact: bool,
}

/// Bytes by which the VM may exceed its memory limit.
const MEMORY_TOLERANCE: usize = 1 << 20;

/// The CPU time that compiling may take, in milliseconds. The development build takes several times as long.
const MAX_COMPILE_MS: f64 = if cfg!(debug_assertions) { 6_000.0 } else { 2_000.0 };

/// The CPU time of a transaction beside twice the deadline, in milliseconds. The development build takes several times as
/// long to write a large message.
const TOLERANCE_MS: f64 = if cfg!(debug_assertions) { 30.0 } else { 5.0 };

/// The maximum length of a log line, in bytes: a text of the script, cut to 4 KiB and then escaped, and a prefix.
const MAX_LINE_BYTES: usize = 48 << 10;

impl RunLimits {
    /// The limits of `settings`. `exact` is whether the script runs in the profile that it was written for.
    pub(super) fn new(settings: &Settings, exact: bool) -> Self {
        Self {
            deadline: settings.lua.deadline(),
            memory: settings.lua.memory_limit,
            log_lines: settings.lua.log_per_second as usize,
            growth: settings.lua.memory_limit + 16 * settings.lua.max_value_bytes + (16 << 20),
            exact,
        }
    }

    fn longest_ms(&self) -> f64 {
        self.deadline.as_secs_f64() * 2_000.0 + TOLERANCE_MS
    }

    /// Whether a run of the script was over its time.
    pub(super) fn is_slow(&self, report: &Report) -> bool {
        report.compiled_ms > MAX_COMPILE_MS || report.runs.iter().any(|run| run.cpu_ms > self.longest_ms())
    }

    /// The limits that the script exceeded.
    fn exceeded(&self, report: &Report) -> Vec<String> {
        let mut exceeded = Vec::new();
        let longest = self.longest_ms();
        for run in report.runs.iter().filter(|run| run.cpu_ms > longest) {
            exceeded.push(format!("ran for {:.1} ms; the limit is {longest} ms", run.cpu_ms));
        }
        if report.compiled_ms > MAX_COMPILE_MS {
            exceeded.push(format!("compiling took {:.0} ms", report.compiled_ms));
        }
        if report.vm > self.memory + MEMORY_TOLERANCE {
            exceeded.push(format!("the VM holds {} bytes; its limit is {}", report.vm, self.memory));
        }
        if let Some(grown) = report.grown.filter(|grown| *grown > self.growth) {
            exceeded.push(format!("the process grew by {grown} bytes; the limit is {}", self.growth));
        }
        // The log budget is per second, and a new second may begin in each run.
        // Errors have an allowance of their own, as large as that of other lines.
        let lines = 2 * (self.log_lines + 2) * (report.runs.len() + 1);
        if report.log.count > lines {
            exceeded.push(format!(
                "{} {} logged; the limit is {lines}",
                counted(report.log.count, "line"),
                were(report.log.count as u64)
            ));
        }
        if report.log.longest > MAX_LINE_BYTES {
            exceeded.push(format!("a line of {} bytes was logged", report.log.longest));
        }
        if report.log.control > 0 {
            exceeded.push("the log has a control character".to_owned());
        }
        exceeded
    }

    /// The verdict on `script`, from the report of its child process.
    pub(super) fn judge(&self, script: &Script, report: Result<Report, String>) -> Verdict {
        let report = match report {
            Ok(report) => report,
            Err(failure) => {
                let seen = String::new();
                return Verdict { escapes: vec![failure], containment: None, cpu_ms: 0.0, memory: None, seen };
            }
        };
        let mut escapes = report.breaches.clone();
        escapes.extend(self.exceeded(&report));
        let last = match &report.refused {
            Some(refused) => Some(RunResult { error: Some(refused.clone()), ..RunResult::default() }),
            None => report.runs.into_iter().last_with_longest(),
        };
        let Some(last) = last else {
            return Verdict {
                escapes,
                containment: None,
                cpu_ms: 0.0,
                memory: report.grown,
                seen: "no run ended".to_owned(),
            };
        };
        let containment = containment(&last, report.log.count >= self.log_lines);
        let met = script.expect.iter().any(|expectation| is_met(expectation, &last, containment));
        // On a busy machine a deadline may expire before the expected limit is reached; a stopped script has gained nothing.
        let contained_otherwise = (!self.exact && last.error.is_some()) || containment == Containment::Stopped;
        if !(script.expect.is_empty() || met || contained_otherwise) {
            escapes.push(format!("unexpected result: {}", shown(&last)));
        }
        let cpu_ms = if report.refused.is_some() { report.compiled_ms } else { last.cpu_ms };
        Verdict { escapes, containment: Some(containment), cpu_ms, memory: report.grown, seen: shown(&last) }
    }
}

trait LastWithLongest {
    fn last_with_longest(self) -> Option<RunResult>;
}

impl<I: Iterator<Item = RunResult>> LastWithLongest for I {
    /// The last run, with the longest CPU time of all runs.
    fn last_with_longest(self) -> Option<RunResult> {
        self.reduce(|before, now| RunResult { cpu_ms: before.cpu_ms.max(now.cpu_ms), ..now })
    }
}

fn containment(last: &RunResult, log_is_full: bool) -> Containment {
    /// Texts of errors about a size.
    const SIZES: [&str; 9] = [
        "larger than",
        "too large",
        "too long",
        "too many",
        "longer than",
        "deeper than",
        "excessive nesting",
        "overflow",
        "do not fit",
    ];
    match (last.stop.as_deref(), &last.error) {
        (Some("time" | "plugin_time"), _) => Containment::Stopped,
        (Some(_), _) => Containment::Limited,
        (None, Some(error)) if SIZES.iter().any(|words| error.contains(words)) => Containment::Limited,
        _ if log_is_full => Containment::Limited,
        _ => Containment::Refused,
    }
}

fn is_met(expectation: &Expectation, last: &RunResult, containment: Containment) -> bool {
    let is = |pointer: &str, expected: &Option<Value>| last.message.pointer(pointer) == expected.as_ref();
    match expectation {
        Expectation::Error(words) => last.error.as_ref().is_some_and(|error| error.contains(words)),
        Expectation::Stopped => containment == Containment::Stopped,
        Expectation::Limited => containment == Containment::Limited,
        Expectation::Value(value) => last.error.is_none() && is("/attack", value),
        Expectation::Field(pointer, value) => is(pointer, value),
    }
}

fn shown(last: &RunResult) -> String {
    const MAX_CHARACTERS: usize = 160;
    let text = match (&last.error, &last.message["attack"]) {
        (Some(error), _) => format!("error: {error}"),
        (None, Value::Null) => "value: nil".to_owned(),
        (None, value) => format!("value: {value}"),
    };
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::sandbox::log_capture::LogStats;

    fn judge(expect: Vec<Expectation>, change: impl FnOnce(&mut Report)) -> Verdict {
        let script = Script { expect, ..super::super::script::parse("a.lua", "return 1").unwrap() };
        let run = RunResult { message: json!({"attack": 1, "b": {"c": 2}}), cpu_ms: 1.0, ..RunResult::default() };
        let mut report = Report { runs: vec![run], ..Report::default() };
        change(&mut report);
        RunLimits::new(&Settings::default(), true).judge(&script, Ok(report))
    }

    /// Scenario: a report within every limit, and reports that each exceed one.
    /// Guarantees: the first has no escape, each of the others exactly one, which names the limit.
    #[test]
    fn each_limit_is_checked() {
        assert_eq!(judge(vec![], |_| {}).escapes, [""; 0]);
        type Change = fn(&mut Report);
        let exceeded: [(Change, &str); 8] = [
            (|report| report.runs[0].cpu_ms = 71.0, "ran for 71.0 ms"),
            (|report| report.compiled_ms = MAX_COMPILE_MS + 1.0, "compiling took"),
            (|report| report.vm = (65 << 20) + 1, "the VM holds"),
            (|report| report.grown = Some(200 << 20), "the process grew"),
            (|report| report.log = LogStats { count: 49, ..LogStats::default() }, "49 lines were logged"),
            (|report| report.log = LogStats { longest: 50_000, ..LogStats::default() }, "a line of 50000 bytes"),
            (|report| report.log = LogStats { control: 1, ..LogStats::default() }, "a control character"),
            (|report| report.breaches.push("changed".to_owned()), "changed"),
        ];
        for (change, expected) in exceeded {
            let verdict = judge(vec![], change);
            assert!(matches!(&verdict.escapes[..], [only] if only.contains(expected)), "{expected}: {verdict:?}");
        }
    }

    /// Scenario: expectations of a value, an error and each budget, some of which are met.
    /// Guarantees: one that is met is sufficient; if none is, the escape names the actual result.
    #[test]
    fn expectations_are_checked() {
        let value = |value: i64| Expectation::Value(Some(value.into()));
        assert!(judge(vec![Expectation::Stopped, value(1)], |_| {}).escapes.is_empty());
        assert!(judge(vec![Expectation::Field("/b/c".to_owned(), Some(2.into()))], |_| {}).escapes.is_empty());
        let verdict = judge(vec![value(2), Expectation::Value(None), Expectation::Limited], |_| {});
        assert_eq!(verdict.escapes, ["unexpected result: value: 1"]);
        let failed = |stop: Option<&str>, error: &str| {
            let (stop, error) = (stop.map(str::to_owned), Some(error.to_owned()));
            move |report: &mut Report| report.runs[0] = RunResult { stop, error, ..RunResult::default() }
        };
        assert!(judge(vec![Expectation::Stopped], failed(Some("time"), "x")).escapes.is_empty());
        assert!(judge(vec![Expectation::Limited], failed(Some("memory"), "x")).escapes.is_empty());
        assert!(judge(vec![Expectation::Error("boo".to_owned())], failed(None, "a boo")).escapes.is_empty());
        assert!(!judge(vec![Expectation::Value(None)], failed(None, "a boo")).escapes.is_empty());
        assert_eq!(judge(vec![], failed(None, "string length overflow")).containment, Some(Containment::Limited));
    }
}
