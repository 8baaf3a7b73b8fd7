//! The plan of a transaction: the plugins that run for it, in order.

use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::fit::Unlogged;
use super::identity;
use super::program::{Program, Step};
use crate::entity::{EntityRef, Scope};
use logphase_script::transaction::{Transaction, Value, View};

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
    pub(super) fn only(&self, steps: &[Step], mut keep: impl FnMut(usize) -> bool) -> Plan {
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

/// The number of all entities that are in no plugin's scope.
const UNSCOPED: u32 = u32::MAX;

/// Finds the plan of a transaction and caches it. Each worker has one.
///
/// All entities that are in no plugin's scope have the same number, so that there are no more plans than combinations of
/// scopes in the configuration.
#[derive(Debug)]
pub struct Planner {
    program: Arc<Program>,
    routes: Dimension,
    services: Dimension,
    consumers: Dimension,
    groups: Dimension,
    apis: Dimension,
    /// The groups of a consumer, by id and by username.
    memberships: HashMap<String, Vec<u32>, RandomState>,
    /// Whether any plugin runs only for some of the HTTP protocols.
    protocols: bool,
    plans: HashMap<Key, Plan, RandomState>,
    /// The only plan, if neither scopes nor protocols matter.
    only: Option<Plan>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    route: u32,
    service: u32,
    consumer: u32,
    api: u32,
    protocols: u16,
    groups: Vec<u32>,
}

/// The entities of one kind that are in the scopes of plugins, numbered, by id and by name.
#[derive(Debug, Default)]
struct Dimension {
    ids: HashMap<String, u32, RandomState>,
    names: HashMap<String, u32, RandomState>,
    count: u32,
}

impl Dimension {
    fn of<'a>(entities: impl Iterator<Item = &'a EntityRef>) -> Self {
        let mut dimension = Self::default();
        for entity in entities {
            if dimension.number(entity) == UNSCOPED {
                let number = dimension.count;
                dimension.count += 1;
                dimension.ids.extend(entity.id.clone().map(|id| (id, number)));
                dimension.names.extend(entity.name.clone().map(|name| (name, number)));
            }
        }
        dimension
    }

    fn number(&self, entity: &EntityRef) -> u32 {
        self.find([entity.id.as_deref(), entity.name.as_deref()])
    }

    fn find(&self, [id, name]: [Option<&str>; 2]) -> u32 {
        let by_id = id.and_then(|id| self.ids.get(id));
        by_id.or_else(|| name.and_then(|name| self.names.get(name))).copied().unwrap_or(UNSCOPED)
    }

    /// The number of the entity in the member `member` of `transaction`.
    fn lookup(&self, transaction: &Transaction, member: &str, name: &str) -> u32 {
        if self.count == 0 {
            return UNSCOPED;
        }
        let [id, name] = identity::names(transaction, member, name);
        self.find([id.as_deref(), name.as_deref()])
    }
}

impl Planner {
    /// A planner for `program`.
    pub fn new(program: Arc<Program>) -> Self {
        let scopes = || program.steps.iter().map(|step| &step.scope);
        let groups = Dimension::of(scopes().filter_map(|scope| scope.consumer_group.as_ref()));
        let memberships = program
            .memberships
            .iter()
            .map(|(consumer, names)| {
                let known =
                    names.iter().map(|name| groups.find([Some(name), Some(name)])).filter(|group| *group != UNSCOPED);
                (consumer.clone(), known.collect())
            })
            .collect();
        let http = identity::mask(crate::plugin::HTTP);
        let mut planner = Self {
            routes: Dimension::of(scopes().filter_map(|scope| scope.route.as_ref())),
            services: Dimension::of(scopes().filter_map(|scope| scope.service.as_ref())),
            consumers: Dimension::of(scopes().filter_map(|scope| scope.consumer.as_ref())),
            apis: Dimension::of(scopes().filter_map(|scope| scope.api.as_ref())),
            groups,
            memberships,
            protocols: program.steps.iter().any(|step| step.protocols & http != http),
            plans: HashMap::default(),
            only: None,
            program: program.clone(),
        };
        if !planner.protocols && scopes().all(|scope| *scope == Scope::default()) {
            let unscoped = Key {
                route: UNSCOPED,
                service: UNSCOPED,
                consumer: UNSCOPED,
                api: UNSCOPED,
                protocols: http,
                groups: Vec::new(),
            };
            planner.only = Some(planner.build(&unscoped));
        }
        planner
    }

    /// The plan for `transaction`.
    pub fn plan(&mut self, transaction: &Transaction) -> Plan {
        if let Some(only) = self.only.as_ref().filter(|_| transaction.get("session").is_none()) {
            return only.clone();
        }
        let key = self.key(transaction);
        if let Some(plan) = self.plans.get(&key) {
            return plan.clone();
        }
        let plan = self.build(&key);
        self.plans.insert(key, plan.clone());
        plan
    }

    /// The number of cached plans.
    #[cfg(test)]
    pub(super) fn plans(&self) -> usize {
        self.plans.len()
    }

    pub(super) fn key(&self, transaction: &Transaction) -> Key {
        Key {
            route: self.routes.lookup(transaction, "route", "name"),
            service: self.services.lookup(transaction, "service", "name"),
            consumer: self.consumers.lookup(transaction, "consumer", "username"),
            api: self.apis.lookup(transaction, "api", "name"),
            // If no plugin distinguishes HTTP protocols, they share a plan.
            protocols: match identity::protocols(transaction) {
                protocols if !self.protocols && protocols & identity::mask(crate::plugin::HTTP) != 0 => {
                    identity::mask(crate::plugin::HTTP)
                }
                protocols => protocols,
            },
            groups: self.groups_of(transaction),
        }
    }

    /// The groups of the consumer, from the transaction and from the configuration.
    fn groups_of(&self, transaction: &Transaction) -> Vec<u32> {
        if self.groups.count == 0 {
            return Vec::new();
        }
        let mut groups = Vec::new();
        for name in identity::names(transaction, "consumer", "username").into_iter().flatten() {
            groups.extend(self.memberships.get(&*name).into_iter().flatten());
        }
        if let Some(Value::Array(names)) = transaction.context("consumer_groups").map(View::value) {
            // A group is its name, or an object that has it.
            let name = |group: View<'_>| {
                let name = group.text().or_else(|| group.get("name")?.text())?;
                Some(self.groups.find([Some(&name), Some(&name)]))
            };
            let known = names.into_iter().filter_map(name);
            groups.extend(known.filter(|group| *group != UNSCOPED));
        }
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// Builds a plan: for each plugin name, the instance with the most specific scope that applies. Among several groups of
    /// a consumer, the first by name takes precedence.
    fn build(&self, key: &Key) -> Plan {
        let mut chosen: Vec<(usize, (u8, &str))> = Vec::new();
        for (index, step) in self.program.steps.iter().enumerate() {
            let Some(rank) = self.rank(step, key) else { continue };
            let group = step.scope.consumer_group.as_ref().map_or("", |group| group.label());
            let rank = (rank, group);
            match chosen
                .iter_mut()
                .find(|(other, _)| self.program.steps[*other].definition.name == step.definition.name)
            {
                Some(best) if rank < best.1 => *best = (index, rank),
                Some(_) => {}
                None => chosen.push((index, rank)),
            }
        }
        let indices: Box<[usize]> = chosen.into_iter().map(|(index, _)| index).collect();
        let unlogged = self.unlogged(&indices, key);
        Rc::new(Steps { indices, unlogged })
    }

    fn unlogged(&self, indices: &[usize], key: &Key) -> Option<Unlogged> {
        let emits = |step: &&Step| step.definition.emits;
        if indices.iter().any(|index| emits(&&self.program.steps[*index])) {
            return None;
        }
        let all = Key { protocols: u16::MAX, ..key.clone() };
        let logging = || self.program.steps.iter().filter(emits);
        Some(match () {
            () if logging().next().is_none() => Unlogged::NoPlugin,
            () if logging().any(|step| self.rank(step, &all).is_some()) => Unlogged::Protocols,
            () => Unlogged::Scope,
        })
    }

    /// The first entity of `scope` that a transaction does not have, with its kind.
    pub(super) fn missing<'s>(&self, scope: &'s Scope, key: &Key) -> Option<(&'static str, &'s EntityRef)> {
        let Scope { route, service, consumer, consumer_group: group, api } = scope;
        let single = [
            ("route", route, &self.routes, key.route),
            ("service", service, &self.services, key.service),
            ("consumer", consumer, &self.consumers, key.consumer),
            ("api", api, &self.apis, key.api),
        ];
        let mut missing = single.into_iter().filter_map(|(kind, wanted, dimension, number)| {
            let wanted = wanted.as_ref()?;
            (number == UNSCOPED || dimension.number(wanted) != number).then_some((kind, wanted))
        });
        let group = || group.as_ref().filter(|group| !key.groups.contains(&self.groups.number(group)));
        missing.next().or_else(|| Some(("consumer group", group()?)))
    }

    /// The program.
    pub(super) fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The rank of the scope of `step` among Kong's twelve levels, 1 for the most specific; `None` if it does not apply.
    fn rank(&self, step: &Step, key: &Key) -> Option<u8> {
        let Scope { route, service, consumer, consumer_group: group, api } = &step.scope;
        let applies = step.protocols & key.protocols != 0 && self.missing(&step.scope, key).is_none();
        // An API (Kong before 1.0) is both a route and a service.
        let service = service.is_some() || api.is_some();
        applies.then_some(match (consumer.is_some(), group.is_some(), route.is_some(), service) {
            (true, _, true, true) => 1,
            (_, true, true, true) => 2,
            (true, _, true, _) => 3,
            (true, _, _, true) => 4,
            (_, true, true, _) => 5,
            (_, true, _, true) => 6,
            (_, _, true, true) => 7,
            (true, ..) => 8,
            (_, true, ..) => 9,
            (_, _, true, _) => 10,
            (_, _, _, true) => 11,
            _ => 12,
        })
    }
}
