//! A program: a configuration with every snippet compiled and every key path parsed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::breaker::{Breaker, Suspension};
use super::scopes::Scopes;
use super::snippets::{SnippetKey, SnippetRegistry};
use crate::entity::{Plugin, Scope};
use crate::log::limit::Limiter;
use crate::mesh::Engine;
use crate::plugin::Definition;
use crate::router::{Condition, Router};
use logphase_config::document::SnippetSource;
use logphase_script::message::{KeyPath, Shape, Style};
use logphase_script::needs::Finding;
use logphase_script::{Bytecode, Options, Phase};

/// One plugin of a program. Programs of configurations that have the same plugin can share it.
#[derive(Debug)]
pub struct Step {
    /// The plugin in the configuration.
    pub plugin: Arc<Plugin>,
    /// Its id.
    pub id: String,
    /// The definition of its kind.
    pub definition: &'static Definition,
    /// Its instance name.
    pub instance_name: Option<String>,
    /// Name and instance name, for log lines.
    pub label: Arc<str>,
    /// Its scope.
    pub scope: Scope,
    /// When it runs, besides its scope.
    pub condition: Option<Condition>,
    /// Limits the log lines about a condition that fails.
    pub(crate) condition_errors: Limiter,
    /// The protocols for which it runs, one bit each.
    pub(crate) protocols: u16,
    /// Its fields, or its functions: those of replayed phases in their order, then those of the log phase.
    pub parts: Vec<Compiled>,
    /// Whether a failing part drops the message, and as in Kong those of all later plugins (`on_error: drop`).
    pub drops: bool,
    /// The phases for which it has functions that run in Kong alone.
    pub in_kong: Vec<&'static str>,
    /// What its messages have beside the edits, and what is redacted.
    pub shape: Shape,
    /// What it asks of transactions that Kong's log object lacks; what a snippet asks, with the index of its part.
    pub(crate) asks: Vec<(Option<usize>, Finding)>,
    /// Whether a snippet gives `kong.vault.get` a reference that is in its text.
    pub(crate) reads_vault: bool,
    /// The circuit breaker of each part, in order, once they are known.
    pub(crate) breakers: OnceLock<Box<[Breaker]>>,
    /// Whether a registry shows its snippets.
    pub(crate) registered: AtomicBool,
    /// Limits the log lines about messages that are not sent because of a body.
    pub(crate) body_errors: Limiter,
}

impl Step {
    /// Whether it has something to run in `phase`.
    pub fn runs_in(&self, phase: Phase) -> bool {
        match phase {
            // Those of the log phase are the last.
            Phase::Log => self.parts.last().is_some_and(|part| part.phase == Phase::Log),
            _ => self.parts.iter().any(|part| part.phase == phase),
        }
    }

    /// The circuit breaker of each part, in order.
    pub fn breakers(&self) -> &[Breaker] {
        self.breakers.get_or_init(|| self.parts.iter().map(|_| Breaker::default()).collect())
    }

    /// What identifies its part number `part` over all configurations.
    fn snippet_key(&self, part: usize) -> SnippetKey {
        SnippetKey { plugin: self.definition.name, id: self.id.clone(), field: self.parts[part].name() }
    }
}

/// A snippet of a [`Step`].
#[derive(Debug)]
pub struct Compiled {
    /// The key path of a field; `None` for a pre- or post-function.
    pub path: Option<KeyPath>,
    /// The compiled code.
    pub code: Bytecode,
    /// The phase that it runs in.
    pub phase: Phase,
    /// Its place among the functions of its phase, from 0; 0 for a field.
    pub index: usize,
    /// The source, to point into the configuration.
    pub source: SnippetSource,
}

impl Compiled {
    /// Its name in errors: the key of the field, or the phase and the index of the function.
    pub fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| format!("{}[{}]", self.phase, self.index), |path| path.text().to_owned())
    }
}

/// A whole configuration, compiled. All workers share it.
#[derive(Debug)]
pub struct Program {
    /// The enabled plugins, highest priority first; equal ones by name, descending (kong/db/dao/plugins.lua).
    pub steps: Vec<Arc<Step>>,
    /// Finds the steps that may run for a transaction.
    pub(crate) scopes: Arc<Scopes>,
    /// Makes the lines of access logs of meshes, if policies ask for them.
    pub mesh: Option<Arc<Engine>>,
    /// Finds the routes of transactions without one; empty if no input wants it.
    pub router: Arc<Router>,
    /// What its snippets ask of transactions that Kong's log object lacks.
    pub asks: super::asks::Asks,
    /// The digest of the configuration ([`crate::entity::Configuration::digest`]).
    pub digest: String,
    /// The options of the VMs.
    pub options: Options,
    /// When a snippet is suspended.
    pub suspension: Suspension,
    /// The phases that are replayed before the log phase for traffic that Kong did not serve, in Kong's order; those that no
    /// plugin has a function for are left out.
    pub replay: Vec<Phase>,
    /// The groups of consumers, by id and by username; only if plugins are scoped to groups, or have conditions.
    pub(crate) memberships: Vec<(String, Vec<String>)>,
}

impl Program {
    /// Makes the snippets count in the totals that `registry` has of them, so that a reload loses no count. What
    /// `registry` shows stays as it is: to be called before the configuration is known to be accepted, and
    /// [`Self::commit_totals`] once it is.
    pub fn prepare_totals(&self, registry: &SnippetRegistry) {
        for step in &self.steps {
            let breaker = |at| Breaker::new(registry.find_or_new(&step.snippet_key(at)));
            // A step that the program before had goes on as it was.
            step.breakers.get_or_init(|| (0..step.parts.len()).map(breaker).collect());
        }
    }

    /// Makes `registry` show the snippets of this program, under the instance names of its plugins: to be called when the
    /// configuration is accepted, after [`Self::prepare_totals`].
    pub fn commit_totals(&self, registry: &SnippetRegistry) {
        for step in self.steps.iter().filter(|step| !step.registered.swap(true, Ordering::Relaxed)) {
            for (at, breaker) in step.breakers().iter().enumerate() {
                registry.register(step.snippet_key(at), step.instance_name.as_deref(), breaker.totals());
            }
        }
    }

    /// Whether it has anything that runs in a VM.
    pub fn has_snippets(&self) -> bool {
        self.steps.iter().any(|step| !step.parts.is_empty())
    }

    /// How messages are written.
    pub fn style(&self) -> Style {
        self.options.style
    }
}
