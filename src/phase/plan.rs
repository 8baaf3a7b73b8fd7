//! The plan of a transaction: the plugins that run for it, in order.

use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::fit::Unlogged;
use super::program::{Program, Step};
use super::scopes::Key;
use crate::entity::Scope;
use crate::plugin::Protocol;
use logphase_script::transaction::Transaction;

/// The plan of a transaction; those of the same scopes share it.
pub type Plan = Rc<Steps>;

/// Indices of the steps that apply, in execution order.
#[derive(Debug)]
pub struct Steps {
    indices: Box<[usize]>,
    /// Why none of them logs, if none does.
    pub unlogged: Option<Unlogged>,
}

impl Steps {
    /// Those that `keep` accepts, because their conditions hold; `steps` are the program's.
    pub(super) fn only(&self, steps: &[Arc<Step>], mut keep: impl FnMut(usize) -> bool) -> Plan {
        let indices: Box<[usize]> = self.indices.iter().copied().filter(|index| keep(*index)).collect();
        let logs = indices.iter().any(|index| steps[*index].definition.emits);
        let unlogged = self.unlogged.or((!logs).then_some(Unlogged::Condition));
        Rc::new(Self { indices, unlogged })
    }
}

impl Deref for Steps {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.indices
    }
}

/// Finds the plan of a transaction and caches it. Each worker has one.
#[derive(Debug)]
pub struct Planner {
    program: Arc<Program>,
    plans: HashMap<Key, Plan, RandomState>,
    /// The only plan, if neither scopes nor protocols matter.
    only: Option<Plan>,
}

impl Planner {
    /// A planner for `program`.
    pub fn new(program: Arc<Program>) -> Self {
        let mut planner = Self { plans: HashMap::default(), only: None, program };
        planner.only = planner.program.scopes.only_key().map(|key| planner.build(&key));
        planner
    }

    /// The plan for `transaction`.
    pub fn plan(&mut self, transaction: &Transaction) -> Plan {
        if let Some(only) = self.only.as_ref().filter(|_| transaction.get("session").is_none()) {
            return only.clone();
        }
        let key = self.program.scopes.key(transaction);
        if let Some(plan) = self.plans.get(&key) {
            return plan.clone();
        }
        let plan = self.build(&key);
        self.plans.insert(key, plan.clone());
        plan
    }

    /// The plan of transactions of the entities in `scope` with `protocol`. The groups of its consumer count as well.
    pub fn plan_of(&self, scope: &Scope, protocol: Protocol) -> Plan {
        self.build(&self.program.scopes.key_of(scope, protocol))
    }

    /// The plan of all transactions but L4 sessions, if they have the same.
    pub(super) fn only(&self) -> Option<&Plan> {
        self.only.as_ref()
    }

    /// The number of cached plans.
    #[cfg(test)]
    pub(super) fn plans(&self) -> usize {
        self.plans.len()
    }

    /// Builds a plan: for each plugin name, the instance with the most specific scope that applies. Among several groups of
    /// a consumer, the first by name takes precedence.
    fn build(&self, key: &Key) -> Plan {
        let Program { steps, scopes, .. } = &*self.program;
        let candidates = scopes.candidates(key);
        let mut chosen: Vec<(usize, (u8, &str))> = Vec::new();
        for &index in &candidates {
            let step = &steps[index];
            let Some(rank) = scopes.rank(step, key) else { continue };
            let group = step.scope.consumer_group.as_ref().map_or("", |group| group.label());
            let rank = (rank, group);
            match chosen.iter_mut().find(|(other, _)| steps[*other].definition.name == step.definition.name) {
                Some(best) if rank < best.1 => *best = (index, rank),
                Some(_) => {}
                None => chosen.push((index, rank)),
            }
        }
        let indices: Box<[usize]> = chosen.into_iter().map(|(index, _)| index).collect();
        let unlogged = self.unlogged(&indices, &candidates, key);
        Rc::new(Steps { indices, unlogged })
    }

    fn unlogged(&self, indices: &[usize], candidates: &[usize], key: &Key) -> Option<Unlogged> {
        let Program { steps, scopes, .. } = &*self.program;
        let emits = |index: &&usize| steps[**index].definition.emits;
        if indices.iter().any(|index| emits(&index)) {
            return None;
        }
        let all = key.of_all_protocols();
        Some(match () {
            () if !scopes.logs() => Unlogged::NoPlugin,
            () if candidates.iter().filter(emits).any(|index| scopes.rank(&steps[*index], &all).is_some()) => {
                Unlogged::Protocols
            }
            () => Unlogged::Scope,
        })
    }

    /// The program.
    pub(super) fn program(&self) -> &Arc<Program> {
        &self.program
    }
}
