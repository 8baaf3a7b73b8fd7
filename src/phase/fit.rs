//! Whether a plugin runs for a transaction, and why not.

use std::sync::Arc;

use super::plan::Planner;
use super::{Step, identity};
use crate::plugin::Protocol;
use logphase_script::transaction::Transaction;

/// Whether a plugin runs for a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It runs.
    Runs,
    /// An entity of its scope is not the transaction's.
    Scope {
        /// The kind of entity, like `route`.
        kind: &'static str,
        /// The plugin's.
        wanted: String,
        /// The transaction's, if it has one.
        found: Option<String>,
    },
    /// It is for other protocols.
    Protocols {
        /// The plugin's.
        wanted: Vec<&'static str>,
        /// The transaction's.
        found: Vec<&'static str>,
    },
    /// Its condition does not hold, or cannot be evaluated.
    Condition,
    /// Another plugin of its name, by this index in the program, has a more specific scope.
    Overridden(usize),
}

/// Why no plugin logs a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unlogged {
    /// No logging plugin is enabled.
    NoPlugin,
    /// The logging plugins have other scopes.
    Scope,
    /// The logging plugins of its scope are for other protocols.
    Protocols,
    /// The conditions of the logging plugins of its scope do not hold.
    Condition,
}

impl Unlogged {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::NoPlugin, Self::Scope, Self::Protocols, Self::Condition];

    /// The value of the label `reason` in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoPlugin => "no_plugin",
            Self::Scope => "scope",
            Self::Protocols => "protocols",
            Self::Condition => "condition",
        }
    }

    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoPlugin => "no logging plugin is enabled",
            Self::Scope => "the logging plugins are for other routes, services or consumers",
            Self::Protocols => "the logging plugins of their route are for other protocols",
            Self::Condition => "the conditions of the logging plugins do not hold",
        }
    }
}

impl Planner {
    /// Whether each step of the program runs for `transaction`, and why not.
    pub fn explain(&mut self, transaction: &Transaction) -> Vec<Fit> {
        let plan = self.plan(transaction);
        let program = self.program().clone();
        let fit = |(index, step): (usize, &Arc<Step>)| {
            if plan.contains(&index) {
                return Fit::Runs;
            }
            let instead = plan.iter().find(|other| program.steps[**other].definition.name == step.definition.name);
            self.misfit(step, transaction).unwrap_or_else(|| Fit::Overridden(instead.copied().unwrap_or(index)))
        };
        program.steps.iter().enumerate().map(fit).collect()
    }

    fn misfit(&self, step: &Step, transaction: &Transaction) -> Option<Fit> {
        let scopes = &self.program().scopes;
        if let Some((kind, wanted)) = scopes.missing(&step.scope, &scopes.key(transaction)) {
            let (entity, name) = match kind {
                "consumer" | "consumer group" => ("consumer", "username"),
                other => (other, "name"),
            };
            let [id, name] = identity::names(transaction, entity, name);
            let found = name.or(id).map(String::from);
            return Some(Fit::Scope { kind, wanted: wanted.label().to_owned(), found });
        }
        let found = identity::protocols(transaction);
        let named = |mask: u16| {
            let all = Protocol::ALL.iter().filter(|protocol| identity::mask(&[**protocol]) & mask != 0);
            all.map(|protocol| protocol.name()).collect()
        };
        (step.protocols & found == 0).then(|| Fit::Protocols { wanted: named(step.protocols), found: named(found) })
    }
}
