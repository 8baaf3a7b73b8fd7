//! `logphase test`: runs tests of snippets.

mod bless;
mod edit;
mod expectation;
mod file;
mod json_schema;
mod judge;
mod lines;
mod make;
mod pattern;
mod show;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::arguments::Test as Arguments;
use super::{Exit, complain, say, show as show_diagnostics, unable};
use crate::dry_run::DryRun;
use file::{Suite, Test};
pub(super) use json_schema::json_schema;
use judge::{Failure, PluginResult, judge};
use logphase_config::diagnostic::{Diagnostic, SourceFile};
use logphase_io::file::Accept;
pub(super) use make::made_of;
use show::{Report, Verdict, json_line};

/// The totals of all files.
#[derive(Default)]
struct Totals {
    passed: usize,
    blessed: usize,
    failed: usize,
    /// The most severe exit code of a file, apart from failed tests.
    worst: Option<Exit>,
}

impl Totals {
    /// Records the exit code of a file. An invalid file is worse than an unavailable one, which is worse than a failed test.
    fn record(&mut self, exit: Exit) {
        let rank = |exit| {
            [Exit::Done, Exit::Incomplete, Exit::Unavailable, Exit::Configuration].iter().position(|e| *e == exit)
        };
        if self.worst.is_none_or(|worst| rank(worst) < rank(exit)) {
            self.worst = Some(exit);
        }
    }
}

/// Runs the tests of every file and prints their results.
pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut totals = Totals::default();
    for path in &arguments.files {
        if let Err(exit) = run_file(path, arguments, &mut totals) {
            totals.record(exit);
        }
    }
    let ran = totals.passed + totals.blessed + totals.failed;
    if let Some(filter) = arguments.filter.as_ref().filter(|_| ran == 0 && totals.worst.is_none()) {
        complain(&format!("error: no test has `{filter}` in its name\n"));
        return Exit::Incomplete;
    }
    if !arguments.json && ran > 0 {
        let mut report = Report::new(color());
        report.summary(totals.passed, totals.blessed, totals.failed);
        say(report.text().as_bytes());
    }
    totals.worst.unwrap_or(if totals.failed > 0 { Exit::Incomplete } else { Exit::Done })
}

fn color() -> bool {
    std::io::stdout().is_terminal()
}

/// The failures of each test of a suite, with its index.
type Results = Vec<(usize, Vec<Failure>)>;

fn run_file(path: &Path, arguments: &Arguments, totals: &mut Totals) -> Result<(), Exit> {
    let start = Instant::now();
    let source = SourceFile::read(path, Accept::Streams).map_err(|diagnostic| refuse(&[*diagnostic]))?;
    let suite = read(path, &source)?;
    let mut results = run_suite(&suite, arguments.filter.as_deref())?;
    let failing: Vec<usize> = results.iter().filter(|(_, failures)| !failures.is_empty()).map(|(at, _)| *at).collect();
    let blessed = if arguments.bless && !failing.is_empty() { bless(path, &suite, &failing) } else { Ok(Vec::new()) };
    let taken = start.elapsed();
    let mut report = Report::new(color());
    report.file(&source.name, taken);
    let mut lines = String::new();
    for (at, failures) in &mut results {
        let verdict = match (failures.is_empty(), &blessed) {
            (true, _) => Verdict::Passed,
            (false, Ok(blessed)) if blessed.contains(at) => Verdict::Blessed,
            (false, _) => Verdict::Failed,
        };
        match verdict {
            Verdict::Passed => totals.passed += 1,
            Verdict::Blessed => totals.blessed += 1,
            Verdict::Failed => totals.failed += 1,
        }
        let test = &suite.tests[*at];
        if arguments.json {
            lines.push_str(&json_line(test, verdict, failures));
        } else {
            report.test(test, verdict, failures);
        }
    }
    if arguments.json {
        say(lines.as_bytes());
    } else if !results.is_empty() {
        say(report.text().as_bytes());
        say(b"\n");
    }
    blessed.map(drop)
}

/// Reads a test file, and prints its diagnostics.
fn read(path: &Path, source: &Arc<SourceFile>) -> Result<Suite, Exit> {
    match file::read(path, source) {
        (Some(suite), diagnostics) => {
            show_diagnostics(&diagnostics);
            Ok(suite)
        }
        (None, diagnostics) => Err(refuse(&diagnostics)),
    }
}

/// Prints why a file cannot be run.
fn refuse(diagnostics: &[Diagnostic]) -> Exit {
    show_diagnostics(diagnostics);
    Exit::of(diagnostics)
}

/// Runs the tests whose names contain `filter`, each in a new VM.
fn run_suite(suite: &Suite, filter: Option<&str>) -> Result<Results, Exit> {
    let mut dry_run = DryRun::new(&suite.program).map_err(|error| unable(&error))?;
    let chosen = suite.tests.iter().enumerate();
    let chosen = chosen.filter(|(_, test)| filter.is_none_or(|filter| test.name.contains(filter)));
    Ok(chosen.map(|(at, test)| (at, judge(test, &execute(suite, test, &mut dry_run)))).collect())
}

fn execute<'a>(suite: &'a Suite, test: &Test, dry_run: &mut DryRun) -> Vec<PluginResult<'a>> {
    dry_run.reset_vm();
    let outcomes = dry_run.run(test.transaction.clone()).outcomes;
    outcomes.iter().map(|outcome| PluginResult::new(&suite.program, outcome)).collect()
}

/// Rewrites the `expect` of the `failing` tests in the file. Returns those that pass afterwards.
fn bless(path: &Path, suite: &Suite, failing: &[usize]) -> Result<Vec<usize>, Exit> {
    let mut dry_run = DryRun::new(&suite.program).map_err(|error| unable(&error))?;
    let mut text = suite.source.text.clone();
    let mut blessed = Vec::new();
    // From the last test to the first, so that the positions of earlier tests stay valid.
    for &at in failing.iter().rev() {
        let test = &suite.tests[at];
        let results = execute(suite, test, &mut dry_run);
        // Replaces the whole `expect` only if a minimal edit is not possible.
        let tried = [bless::EditMode::Minimal, bless::EditMode::Replace].into_iter().find_map(|mode| {
            let new = bless::rewrite(&text, &suite.program, test, &results, mode)?;
            passes(path, &new, at).then_some(new)
        });
        match tried {
            Some(new) => {
                text = new;
                blessed.push(at);
            }
            None => {
                let place = format!("{}:{}", suite.source.name, test.place.line());
                complain(&format!(
                    "error: {place}: `{}` cannot be blessed: its `expect` is an alias, or its results differ between \
                     runs; edit it by hand, with matchers for values that change\n",
                    test.name
                ));
            }
        }
    }
    if !blessed.is_empty() {
        check_passing_tests(path, suite, &text, failing)?;
        edit::replace(path, &text).map_err(|error| {
            complain(&format!("error: cannot write {}: {error}\n", path.display()));
            Exit::Unavailable
        })?;
    }
    Ok(blessed)
}

/// Checks that no passing test fails with the new `text`: tests can share an `expect` through an anchor.
fn check_passing_tests(path: &Path, suite: &Suite, text: &str, failing: &[usize]) -> Result<(), Exit> {
    for (at, test) in suite.tests.iter().enumerate().filter(|(at, _)| !failing.contains(at)) {
        let passed =
            judge(test, &execute(suite, test, &mut DryRun::new(&suite.program).map_err(|error| unable(&error))?))
                .is_empty();
        if passed && !passes(path, text, at) {
            let name = &suite.source.name;
            complain(&format!("error: {name} is not blessed: `{}` passes now, but would fail afterwards\n", test.name));
            return Err(Exit::Incomplete);
        }
    }
    Ok(())
}

/// Whether test number `at` passes in a file with this text.
fn passes(path: &Path, text: &str, at: usize) -> bool {
    let source = SourceFile::new(path.display().to_string(), text);
    let (Some(suite), _) = file::read(path, &source) else { return false };
    let Some(test) = suite.tests.get(at) else { return false };
    let Ok(mut dry_run) = DryRun::new(&suite.program) else { return false };
    judge(test, &execute(&suite, test, &mut dry_run)).is_empty()
}

#[cfg(test)]
mod tests;
