//! Why a plugin does not run for a transaction.

use serde_json::{Value, json};

use crate::entity::{Configuration, WhyNotRun};
use crate::phase::{Fit, Program, Unlogged};
use logphase_io::printable;

/// A plugin that runs for no transaction.
pub(crate) struct Absent {
    name: String,
    id: Option<String>,
    instance_name: Option<String>,
    reason: String,
}

/// The plugins of `configuration` that run for no transaction.
pub(crate) fn absent(configuration: &Configuration) -> Vec<Absent> {
    let disabled = configuration.plugins.iter().filter(|plugin| !plugin.enabled).map(|plugin| Absent {
        name: plugin.definition.name.to_owned(),
        id: Some(plugin.id.clone()),
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
        Absent { name: plugin.name.clone(), id: None, instance_name: None, reason: format!("{why} ({})", plugin.scope) }
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

/// Each plugin, and why it does not run.
pub(crate) fn all<'a>(program: &'a Program, fits: &'a [Fit], absent: &'a [Absent]) -> impl Iterator<Item = Reason<'a>> {
    let steps = program.steps.iter().zip(fits);
    let present = steps.map(|(step, fit)| Reason {
        name: step.definition.name,
        id: Some(&step.id),
        instance: step.instance_name.as_deref(),
        why_not: reason(program, fit),
    });
    let absent = absent.iter().map(|plugin| Reason {
        name: &plugin.name,
        id: plugin.id.as_deref(),
        instance: plugin.instance_name.as_deref(),
        why_not: Some(plugin.reason.clone()),
    });
    present.chain(absent)
}

/// A plugin, and why it does not run.
pub(crate) struct Reason<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its id, if it has one.
    pub(crate) id: Option<&'a str>,
    /// Its instance name.
    pub(crate) instance: Option<&'a str>,
    /// `None` if it runs.
    pub(crate) why_not: Option<String>,
}

/// A line for each plugin, and one if none logs the transaction.
pub(crate) fn text(program: &Program, fits: &[Fit], absent: &[Absent], unlogged: Option<Unlogged>) -> String {
    let mut text = "\n## why\n".to_owned();
    for Reason { name, instance, why_not: reason, .. } in all(program, fits, absent) {
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
pub(crate) fn lines(program: &Program, fits: &[Fit], absent: &[Absent]) -> String {
    let line = |Reason { name, instance, why_not, .. }: Reason<'_>| {
        let line: Value = json!({"plugin": name, "instance_name": instance, "reason": why_not?});
        Some(format!("{line}\n"))
    };
    all(program, fits, absent).filter_map(line).collect()
}
