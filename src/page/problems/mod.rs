//! What is wrong with a service now, by the conditions of the alert rules in observability/. The page shows a problem at once; an alert
//! waits, so as not to wake people for what passes.

mod table;
mod window;

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::figures::Sample;
use crate::delivery::PluginStats;
pub(super) use window::Windows;

/// Problems that are shown, at most: the most severe ones.
const MAX_PROBLEMS: usize = 100;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// Messages are lost or refused, or will be soon: `critical` in the alert rules.
    Error,
    /// Somebody should look: `warning` in the alert rules.
    Warning,
}

/// What something is wrong with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// The plugin with this id.
    Plugin(String),
    /// The input with this name.
    Input(&'static str),
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Problem {
    pub(super) severity: Severity,
    title: &'static str,
    /// `null`: the service as a whole.
    #[serde(rename = "where")]
    place: Option<Place>,
    /// What is wrong, with the figures.
    pub(super) text: String,
    /// What to do.
    help: &'static str,
    /// The alert rule with the same condition.
    pub(super) alert: &'static str,
    /// When it was first seen, in milliseconds since 1970.
    since: u64,
}

/// What the conditions look at.
struct Facts<'a> {
    sample: &'a Sample,
    windows: &'a Windows,
}

/// What a condition has found.
struct Found {
    place: Option<Place>,
    text: String,
}

impl Found {
    fn of_service(text: impl Into<String>) -> Self {
        Self { place: None, text: text.into() }
    }

    fn of_plugin(stats: &PluginStats, text: impl fmt::Display) -> Self {
        Self { place: Some(Place::Plugin(stats.identity.clone())), text: format!("{}: {text}", label(stats)) }
    }
}

/// A plugin as people know it.
fn label(stats: &PluginStats) -> String {
    match &stats.instance {
        Some(instance) => format!("{} ({instance})", stats.kind),
        None => stats.kind.clone(),
    }
}

/// The problems that were seen last, with the time when each began.
#[derive(Default)]
pub(super) struct Problems {
    since: HashMap<(&'static str, Option<Place>), u64>,
}

impl Problems {
    /// What is wrong at `now`, in milliseconds since 1970; the most severe first. Returns also how many more there are.
    pub(super) fn find(&mut self, sample: &Sample, windows: &Windows, now: u64) -> (Vec<Problem>, usize) {
        let facts = Facts { sample, windows };
        let before = std::mem::take(&mut self.since);
        let mut all = Vec::new();
        for alert in table::ALERTS {
            for Found { place, text } in (alert.find)(&facts) {
                let key = (alert.name, place);
                let since = before.get(&key).copied().unwrap_or(now);
                let (_, place) = key.clone();
                self.since.insert(key, since);
                let (severity, title, help) = (alert.severity, alert.title, alert.help);
                all.push(Problem { severity, title, place, text, help, alert: alert.name, since });
            }
        }
        // The sort is stable: within a severity the order of the table stays.
        all.sort_by_key(|problem| problem.severity);
        let left_out = all.len().saturating_sub(MAX_PROBLEMS);
        all.truncate(MAX_PROBLEMS);
        (all, left_out)
    }
}

#[cfg(test)]
mod tests;
