//! Whether an attack was contained.

use std::time::Duration;

use serde_json::Value;

use super::script::{Expectation, Script};
use super::worker::{Answer, Ran};
use crate::settings::Settings;

/// How an attack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// An error, or a value that shows that nothing was got.
    Refused,
    /// A budget of time.
    Stopped,
    /// A limit on memory, sizes or lines.
    Limited,
}

impl How {
    /// One word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Limited => "limited",
        }
    }
}

/// What is said of a script.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Why it escaped; empty if it is contained.
    pub(super) escapes: Vec<String>,
    /// How it ended, where it ended.
    pub(super) how: Option<How>,
    /// The longest CPU time of one of its runs, in milliseconds.
    pub(super) cpu_ms: f64,
    /// Bytes by which the process grew.
    pub(super) memory: Option<usize>,
    /// What was seen of the last run: its error or its value.
    pub(super) seen: String,
}

/// The walls of a run.
#[derive(Debug, Clone)]
pub(super) struct Walls {
    /// One run's time.
    pub(super) deadline: Duration,
    /// Bytes of the VM.
    pub(super) memory: usize,
    /// Lines per second.
    log_lines: usize,
    /// Bytes by which a process may grow: the VM, and what the host makes of a value and of a message's edits.
    growth: usize,
    /// Whether the scripts run in the profile that their expectations are written for.
    exact: bool,
}

/// Allowed over the limit on memory.
const OVER: usize = 1 << 20;

/// CPU time that compiling may take, in milliseconds.
const COMPILING: f64 = 2_000.0;

/// A line of the log is a script's text, cut to 4 KiB and each character escaped at most once, and what stands before.
const LONGEST_LINE: usize = 48 << 10;

impl Walls {
    /// Those of `settings`; `exact` as in the field.
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
        self.deadline.as_secs_f64() * 2_000.0 + 50.0
    }

    /// Which of them did not hold.
    fn broken(&self, answer: &Answer) -> Vec<String> {
        let mut broken = Vec::new();
        let longest = self.longest_ms();
        for ran in answer.ran.iter().filter(|ran| ran.cpu_ms > longest) {
            broken.push(format!("ran for {:.1} ms, and {longest} ms are the most", ran.cpu_ms));
        }
        if answer.compiled_ms > COMPILING {
            broken.push(format!("compiling took {:.0} ms", answer.compiled_ms));
        }
        if answer.vm > self.memory + OVER {
            broken.push(format!("the VM holds {} bytes, and its limit is {}", answer.vm, self.memory));
        }
        if let Some(grown) = answer.grown.filter(|grown| *grown > self.growth) {
            broken.push(format!("the process grew by {grown} bytes, and {} are the most", self.growth));
        }
        // A new second, and with it a new budget, may begin in each run.
        let lines = (self.log_lines + 2) * (answer.ran.len() + 1);
        if answer.log.count > lines {
            broken.push(format!("{} lines were logged, and {lines} are the most", answer.log.count));
        }
        if answer.log.longest > LONGEST_LINE {
            broken.push(format!("a line of {} bytes was logged", answer.log.longest));
        }
        if answer.log.control > 0 {
            broken.push("a control character came into the log".to_owned());
        }
        broken
    }

    /// Judges what the child said.
    pub(super) fn judge(&self, script: &Script, answered: Result<Answer, String>) -> Verdict {
        let answer = match answered {
            Ok(answer) => answer,
            Err(failure) => {
                let seen = String::new();
                return Verdict { escapes: vec![failure], how: None, cpu_ms: 0.0, memory: None, seen };
            }
        };
        let mut escapes = answer.breaches.clone();
        escapes.extend(self.broken(&answer));
        let last = match &answer.refused {
            Some(refused) => Some(Ran { error: Some(refused.clone()), ..Ran::default() }),
            None => answer.ran.into_iter().last_with_longest(),
        };
        let Some(last) = last else {
            return Verdict { escapes, how: None, cpu_ms: 0.0, memory: answer.grown, seen: "no run ended".to_owned() };
        };
        let how = how(&last, answer.log.count >= self.log_lines);
        let met = script.expect.iter().any(|expectation| is_met(expectation, &last, how));
        // Where the machine is busy the time may be over before anything else is; who was stopped has got nothing.
        let in_another_way = (!self.exact && last.error.is_some()) || how == How::Stopped;
        if !(script.expect.is_empty() || met || in_another_way) {
            escapes.push(format!("not as expected: {}", shown(&last)));
        }
        let cpu_ms = if answer.refused.is_some() { answer.compiled_ms } else { last.cpu_ms };
        Verdict { escapes, how: Some(how), cpu_ms, memory: answer.grown, seen: shown(&last) }
    }
}

trait LastWithLongest {
    fn last_with_longest(self) -> Option<Ran>;
}

impl<I: Iterator<Item = Ran>> LastWithLongest for I {
    /// The last run, with the time of the longest.
    fn last_with_longest(self) -> Option<Ran> {
        self.reduce(|before, now| Ran { cpu_ms: before.cpu_ms.max(now.cpu_ms), ..now })
    }
}

fn how(last: &Ran, log_was_full: bool) -> How {
    /// Words of errors that name a size.
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
        (Some("time" | "plugin_time"), _) => How::Stopped,
        (Some(_), _) => How::Limited,
        (None, Some(error)) if SIZES.iter().any(|words| error.contains(words)) => How::Limited,
        _ if log_was_full => How::Limited,
        _ => How::Refused,
    }
}

fn is_met(expectation: &Expectation, last: &Ran, how: How) -> bool {
    let is = |pointer: &str, expected: &Option<Value>| last.message.pointer(pointer) == expected.as_ref();
    match expectation {
        Expectation::Error(words) => last.error.as_ref().is_some_and(|error| error.contains(words)),
        Expectation::Stopped => how == How::Stopped,
        Expectation::Limited => how == How::Limited,
        Expectation::Value(value) => last.error.is_none() && is("/attack", value),
        Expectation::Field(pointer, value) => is(pointer, value),
    }
}

fn shown(last: &Ran) -> String {
    const LONGEST: usize = 160;
    let text = match (&last.error, &last.message["attack"]) {
        (Some(error), _) => format!("error: {error}"),
        (None, Value::Null) => "value: nil".to_owned(),
        (None, value) => format!("value: {value}"),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::sandbox::lines::Lines;

    fn judge(expect: Vec<Expectation>, change: impl FnOnce(&mut Answer)) -> Verdict {
        let script = Script { expect, ..super::super::script::parse("a.lua", "return 1").unwrap() };
        let ran = Ran { message: json!({"attack": 1, "b": {"c": 2}}), cpu_ms: 1.0, ..Ran::default() };
        let mut answer = Answer { ran: vec![ran], ..Answer::default() };
        change(&mut answer);
        Walls::new(&Settings::default(), true).judge(&script, Ok(answer))
    }

    /// Scenario: runs of which exactly one wall did not hold, and one where all did.
    /// Guarantees: each wall makes an escape of it, and nothing else does.
    #[test]
    fn each_wall_is_looked_at() {
        assert_eq!(judge(vec![], |_| {}).escapes, [""; 0]);
        type Change = fn(&mut Answer);
        let broken: [(Change, &str); 8] = [
            (|answer| answer.ran[0].cpu_ms = 71.0, "ran for 71.0 ms"),
            (|answer| answer.compiled_ms = 2001.0, "compiling took"),
            (|answer| answer.vm = (65 << 20) + 1, "the VM holds"),
            (|answer| answer.grown = Some(200 << 20), "the process grew"),
            (|answer| answer.log = Lines { count: 25, ..Lines::default() }, "25 lines were logged"),
            (|answer| answer.log = Lines { longest: 50_000, ..Lines::default() }, "a line of 50000 bytes"),
            (|answer| answer.log = Lines { control: 1, ..Lines::default() }, "a control character"),
            (|answer| answer.breaches.push("changed".to_owned()), "changed"),
        ];
        for (change, expected) in broken {
            let verdict = judge(vec![], change);
            assert!(matches!(&verdict.escapes[..], [only] if only.contains(expected)), "{expected}: {verdict:?}");
        }
    }

    /// Scenario: expectations that are met and such that are not, of a value, an error and each budget.
    /// Guarantees: one that is met is enough; if none is, it is an escape that says what was seen.
    #[test]
    fn expectations_are_looked_at() {
        let value = |value: i64| Expectation::Value(Some(value.into()));
        assert!(judge(vec![Expectation::Stopped, value(1)], |_| {}).escapes.is_empty());
        assert!(judge(vec![Expectation::Field("/b/c".to_owned(), Some(2.into()))], |_| {}).escapes.is_empty());
        let verdict = judge(vec![value(2), Expectation::Value(None), Expectation::Limited], |_| {});
        assert_eq!(verdict.escapes, ["not as expected: value: 1"]);
        let failed = |stop: Option<&str>, error: &str| {
            let (stop, error) = (stop.map(str::to_owned), Some(error.to_owned()));
            move |answer: &mut Answer| answer.ran[0] = Ran { stop, error, ..Ran::default() }
        };
        assert!(judge(vec![Expectation::Stopped], failed(Some("time"), "x")).escapes.is_empty());
        assert!(judge(vec![Expectation::Limited], failed(Some("memory"), "x")).escapes.is_empty());
        assert!(judge(vec![Expectation::Error("boo".to_owned())], failed(None, "a boo")).escapes.is_empty());
        assert!(!judge(vec![Expectation::Value(None)], failed(None, "a boo")).escapes.is_empty());
        assert_eq!(judge(vec![], failed(None, "string length overflow")).how, Some(How::Limited));
    }
}
