//! The part of `logphase try` that says why a plugin does not run for a transaction.

use serde_json::{Value, json};

use crate::entity::{Configuration, WhyNotRun};
use crate::phase::{Fit, Program, Unlogged};
use logphase_io::printable;

/// A plugin that runs for no transaction.
pub(super) struct Absent {
    name: String,
    instance_name: Option<String>,
    reason: String,
}

/// The plugins of `configuration` that run for no transaction.
pub(super) fn absent(configuration: &Configuration) -> Vec<Absent> {
    let disabled = configuration.plugins.iter().filter(|plugin| !plugin.enabled).map(|plugin| Absent {
        name: plugin.definition.name.to_owned(),
        instance_name: plugin.instance_name.clone(),
        reason: "`enabled` is false".to_owned(),
    });
    let others = configuration.not_run.iter().map(|plugin| {
        let why = match &plugin.reason {
            WhyNotRun::NotSelected => "it lacks a tag of `select_tags`",
            WhyNotRun::Proxying => "it does nothing in the log phase",
            WhyNotRun::NotSentHere => "it is not sent from here",
            WhyNotRun::LeftToKong(_) => "it asks for nothing that is sent from here",
            WhyNotRun::Unknown(_) => "it is not a plugin of Kong",
        };
        Absent { name: plugin.name.clone(), instance_name: None, reason: format!("{why} ({})", plugin.scope) }
    });
    disabled.chain(others).collect()
}

fn reason(program: &Program, fit: &Fit) -> Option<String> {
    Some(match fit {
        Fit::Runs => return None,
        Fit::Scope { kind, wanted, found: Some(found) } if *kind == "consumer group" => {
            format!("it is for the {kind} `{wanted}`, and consumer `{found}` is not in it")
        }
        Fit::Scope { kind, wanted, found: Some(found) } => {
            format!("it is for the {kind} `{wanted}`, and the transaction has `{found}`")
        }
        Fit::Scope { kind, wanted, found: None } => {
            let kind_of_transaction = if *kind == "consumer group" { "consumer" } else { kind };
            format!("it is for the {kind} `{wanted}`, and the transaction has no {kind_of_transaction}")
        }
        Fit::Protocols { wanted, found } => {
            format!("it is for the protocols {}, and the transaction has {}", wanted.join(", "), found.join(", "))
        }
        Fit::Condition => "its condition does not hold".to_owned(),
        Fit::Overridden(by) => {
            let by = &program.steps[*by];
            format!("{} ({}) has a more specific scope", by.label, by.scope)
        }
    })
}

/// Each plugin with the reason, if it does not run.
fn all<'a>(
    program: &'a Program,
    fits: &'a [Fit],
    absent: &'a [Absent],
) -> impl Iterator<Item = (&'a str, Option<&'a str>, Option<String>)> {
    let steps = program.steps.iter().zip(fits);
    let present = steps.map(|(step, fit)| (step.definition.name, step.instance_name.as_deref(), reason(program, fit)));
    let absent = absent.iter();
    present.chain(absent.map(|plugin| (&*plugin.name, plugin.instance_name.as_deref(), Some(plugin.reason.clone()))))
}

/// A line for each plugin, and one if none logs the transaction.
pub(super) fn text(program: &Program, fits: &[Fit], absent: &[Absent], unlogged: Option<Unlogged>) -> String {
    let mut text = "\n## why\n".to_owned();
    for (name, instance, reason) in all(program, fits, absent) {
        let label = instance.map_or_else(|| name.to_owned(), |instance| format!("{name} ({instance})"));
        let reason = reason.map_or_else(|| "runs".to_owned(), |reason| format!("does not run: {reason}"));
        text.push_str(&printable::line(&format!("{label}: {reason}")));
        text.push('\n');
    }
    if let Some(unlogged) = unlogged {
        text.push_str(&format!("no plugin logs the transaction: {}\n", unlogged.text()));
    }
    text
}

/// A line of JSON for each plugin that does not run.
pub(super) fn lines(program: &Program, fits: &[Fit], absent: &[Absent]) -> String {
    let line = |(name, instance, reason): (&str, Option<&str>, Option<String>)| {
        let line: Value = json!({"plugin": name, "instance_name": instance, "reason": reason?});
        Some(format!("{line}\n"))
    };
    all(program, fits, absent).filter_map(line).collect()
}
