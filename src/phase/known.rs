//! The steps of another program, for one with the same settings that has most of its plugins.

use std::sync::Arc;

use super::program::{Program, Step};
use super::scopes::Scopes;
use crate::entity::{ByPlugin, Plugin, same_all};

/// The steps of a program, which one with the same settings can have, too.
#[derive(Debug, Default)]
pub(crate) struct KnownSteps {
    by_plugin: ByPlugin<Arc<Step>>,
    steps: Vec<Arc<Step>>,
    scopes: Arc<Scopes>,
    memberships: Vec<(String, Vec<String>)>,
}

impl KnownSteps {
    /// Those of `program`.
    pub(crate) fn of_program(program: &Program) -> Self {
        let mut by_plugin = ByPlugin::default();
        program.steps.iter().for_each(|step| by_plugin.insert(&step.plugin, step.clone()));
        let (scopes, memberships) = (program.scopes.clone(), program.memberships.clone());
        Self { by_plugin, steps: program.steps.clone(), scopes, memberships }
    }

    /// The step of `plugin`.
    pub(crate) fn of(&self, plugin: &Arc<Plugin>) -> Option<&Arc<Step>> {
        self.by_plugin.get(plugin)
    }

    /// The scopes of `steps`, with the groups of consumers.
    pub(crate) fn scopes(&self, steps: &[Arc<Step>], memberships: &[(String, Vec<String>)]) -> Arc<Scopes> {
        if same_all(steps, &self.steps) && memberships == self.memberships {
            return self.scopes.clone();
        }
        Arc::new(Scopes::new(steps, memberships))
    }
}
