//! Compares the results of a test with its expectations.

use serde_json::Value;

use super::expectation::Expectation;
use super::file::Test;
use super::pattern::{self, Difference, Extent, compare};
use crate::dry_run::{self, Outcome};
use crate::phase::{Program, Step};
use logphase_config::diagnostic::Diagnostic;

/// How the result of one plugin differs from the expectation.
#[derive(Default)]
pub(super) struct Failure {
    /// The plugin, as the test names it; empty for the test as a whole.
    pub(super) plugin: String,
    /// Problems other than values.
    pub(super) remarks: Vec<String>,
    /// Values that differ.
    pub(super) differences: Vec<Difference>,
    /// The expected and the actual message, if the whole message is compared.
    pub(super) whole: Option<(Value, Value)>,
    /// Unexpected errors.
    pub(super) errors: Vec<Diagnostic>,
}

impl Failure {
    fn new(plugin: &str) -> Self {
        Self { plugin: plugin.to_owned(), ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.remarks.is_empty() && self.differences.is_empty() && self.errors.is_empty()
    }
}

/// The result of one plugin of the plan.
pub(super) struct PluginResult<'a> {
    /// The step of the plugin.
    pub(super) step: &'a Step,
    /// Its message, if it emitted one.
    pub(super) message: Option<Value>,
    /// The fields that failed, with the error messages.
    pub(super) errors: Vec<(String, String)>,
    shown: Vec<Diagnostic>,
}

impl<'a> PluginResult<'a> {
    /// The result of the dry run `outcome`.
    pub(super) fn new(program: &'a Program, outcome: &Outcome) -> Self {
        let step = &program.steps[outcome.step];
        let errors = outcome.errors.iter();
        Self {
            step,
            message: outcome.message.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok()),
            errors: errors.clone().map(|(at, error)| (step.parts[*at].name(), error.message.clone())).collect(),
            shown: errors.map(|(at, error)| dry_run::failure(step, *at, error)).collect(),
        }
    }

    /// The instance name of the plugin, or else its name.
    pub(super) fn name(&self) -> &str {
        self.step.instance_name.as_deref().unwrap_or(self.step.definition.name)
    }

    /// Whether `name` is the name or the instance name of the plugin.
    fn is(&self, name: &str) -> bool {
        self.step.instance_name.as_deref() == Some(name) || self.step.definition.name == name
    }
}

/// The result of the plugin that a test calls `name`. An instance name has priority.
pub(super) fn find<'a, 'b>(results: &'b [PluginResult<'a>], name: &str) -> Option<&'b PluginResult<'a>> {
    let instance = results.iter().find(|one| one.step.instance_name.as_deref() == Some(name));
    instance.or_else(|| results.iter().find(|one| one.is(name)))
}

/// Whether the error `got` satisfies the expected one.
pub(super) fn satisfies(expected: &(String, Option<String>), got: &(String, String)) -> bool {
    expected.0 == got.0 && expected.1.as_ref().is_none_or(|part| got.1.contains(part))
}

/// The failures of `test`; empty if it passes.
pub(super) fn judge(test: &Test, results: &[PluginResult<'_>]) -> Vec<Failure> {
    let Some(expect) = &test.expect else {
        let mut failure = Failure::new("");
        failure.remarks.push("the test has no `expect`: write it, or run with --bless".to_owned());
        return vec![failure];
    };
    let mut failures: Vec<Failure> = expect.plugins.iter().map(|one| plugin(one, find(results, &one.plugin))).collect();
    for one in results {
        let named =
            expect.plugins.iter().any(|e| find(results, &e.plugin).is_some_and(|found| std::ptr::eq(found, one)));
        if named {
            continue;
        }
        let mut failure = Failure::new(one.name());
        failure.errors.extend(one.shown.iter().cloned());
        if test.only && one.message.is_some() {
            failure.remarks.push("emitted a message, and the test has `only: true`".to_owned());
        }
        failures.push(failure);
    }
    failures.retain(|failure| !failure.is_empty());
    failures
}

/// The failure of one plugin; empty if its result is as expected.
fn plugin(expected: &Expectation, result: Option<&PluginResult<'_>>) -> Failure {
    let mut failure = Failure::new(&expected.plugin);
    let errors = result.map_or(&[][..], |result| &result.errors);
    if let Some(result) = result {
        let unexpected = errors.iter().zip(&result.shown);
        let unexpected = unexpected.filter(|(error, _)| !expected.errors.iter().any(|e| satisfies(e, error)));
        failure.errors.extend(unexpected.map(|(_, shown)| shown.clone()));
    }
    for missing in expected.errors.iter().filter(|e| !errors.iter().any(|error| satisfies(e, error))) {
        let wanted = missing.1.as_ref().map_or(String::new(), |part| format!(" with {part:?}"));
        let happened = match errors.iter().find(|(field, _)| *field == missing.0) {
            Some(_) => "failed with a different error",
            None => "did not fail",
        };
        failure.remarks.push(format!("`{}` {happened}; expected an error{wanted}", missing.0));
    }
    let message = result.and_then(|result| result.message.as_ref());
    let silent = expected.message.is_none() && expected.fields.is_none() && expected.absent.is_empty();
    match message {
        Some(_) if expected.none => failure.remarks.push("emitted a message; expected none".to_owned()),
        Some(message) => values(expected, message, &mut failure),
        None if expected.none || (silent && !expected.errors.is_empty()) => {}
        None => match result {
            Some(result) if result.step.definition.emits => {
                failure.remarks.push("emitted nothing: a snippet failed and on_error is drop".to_owned());
            }
            Some(_) => {}
            None => {
                failure.remarks.push("does not run for this transaction, because of its scope or protocols".to_owned())
            }
        },
    }
    failure
}

/// Compares the message.
fn values(expected: &Expectation, message: &Value, failure: &mut Failure) {
    if let Some(whole) = &expected.message {
        compare(whole, message, Extent::Whole, "", &mut failure.differences);
        failure.whole = Some((whole.clone(), message.clone()));
    }
    for (path, expected) in expected.fields.iter().flatten() {
        match pattern::at(message, path) {
            Some(got) => compare(expected, got, Extent::Subset, path, &mut failure.differences),
            None => {
                failure.differences.push(Difference { path: path.clone(), expected: Some(expected.clone()), got: None })
            }
        }
    }
    for path in &expected.absent {
        if let Some(got) = pattern::at(message, path) {
            failure.differences.push(Difference { path: path.clone(), expected: None, got: Some(got.clone()) });
        }
    }
}
