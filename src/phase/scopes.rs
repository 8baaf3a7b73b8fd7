//! Which steps of a program may run for a transaction, by the entities in their scopes.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::identity;
use super::program::Step;
use crate::entity::{EntityRef, Scope};
use crate::plugin::Protocol;
use logphase_script::transaction::{Transaction, Value, View};

/// The number of all entities that are in no plugin's scope.
const UNSCOPED: u32 = u32::MAX;

/// The entities in the scopes of a program's steps. All workers share it.
///
/// All entities that are in no plugin's scope have the same number, so that there are no more plans than combinations of
/// scopes in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    routes: Dimension,
    services: Dimension,
    consumers: Dimension,
    groups: Dimension,
    apis: Dimension,
    /// The steps without a scope.
    everywhere: Vec<usize>,
    /// The groups of a consumer, by id and by username.
    memberships: HashMap<String, Vec<u32>, RandomState>,
    /// Whether any plugin runs only for some of the HTTP protocols.
    protocols: bool,
    /// Whether any plugin logs.
    logs: bool,
}

/// The entities of a transaction that are in scopes, and its protocols.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    route: u32,
    service: u32,
    consumer: u32,
    api: u32,
    protocols: u16,
    groups: Vec<u32>,
}

impl Key {
    /// The same entities with all protocols.
    pub(super) fn of_all_protocols(&self) -> Self {
        Self { protocols: u16::MAX, ..self.clone() }
    }
}

/// The entities of one kind that are in the scopes of plugins, numbered, by id and by name.
#[derive(Debug, Default)]
struct Dimension {
    ids: HashMap<String, u32, RandomState>,
    names: HashMap<String, u32, RandomState>,
    /// By number, the steps that are found by this kind of entity.
    steps: Vec<Vec<usize>>,
}

impl Dimension {
    /// The number of `entity`, which gets one if it has none.
    fn add(&mut self, entity: &EntityRef) -> u32 {
        let known = self.number(entity);
        if known != UNSCOPED {
            return known;
        }
        let number = self.steps.len() as u32;
        self.steps.push(Vec::new());
        self.ids.extend(entity.id.clone().map(|id| (id, number)));
        self.names.extend(entity.name.clone().map(|name| (name, number)));
        number
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
        if self.steps.is_empty() {
            return UNSCOPED;
        }
        let Some(entity) = transaction.get(member) else { return UNSCOPED };
        let text = |name| entity.get(name).and_then(View::text);
        // The name is not looked for where the id is enough: both are a walk through the entity.
        let by_id = if self.ids.is_empty() { None } else { text("id").and_then(|id| self.ids.get(&*id)) };
        let by_name = || text(name).and_then(|name| self.names.get(&*name));
        by_id.or_else(by_name).copied().unwrap_or(UNSCOPED)
    }

    fn steps(&self, number: u32) -> &[usize] {
        self.steps.get(number as usize).map_or(&[], Vec::as_slice)
    }
}

impl Scopes {
    /// The scopes of `steps`, with the groups of consumers, by id and by username.
    pub(crate) fn new(steps: &[Arc<Step>], memberships: &[(String, Vec<String>)]) -> Self {
        let http = identity::mask(crate::plugin::HTTP);
        let mut scopes = Self {
            protocols: steps.iter().any(|step| step.protocols & http != http),
            logs: steps.iter().any(|step| step.definition.emits),
            ..Self::default()
        };
        for (at, step) in steps.iter().enumerate() {
            scopes.add(at, &step.scope);
        }
        let groups = &scopes.groups;
        let known = |name: &String| Some(groups.find([Some(name), Some(name)])).filter(|group| *group != UNSCOPED);
        let of =
            |(consumer, names): &(String, Vec<String>)| (consumer.clone(), names.iter().filter_map(known).collect());
        scopes.memberships = memberships.iter().map(of).collect();
        scopes
    }

    /// Adds step number `at`. It is found by the first of its entities here, and nowhere else.
    fn add(&mut self, at: usize, scope: &Scope) {
        let Scope { route, service, consumer, consumer_group: group, api } = scope;
        let all = [
            (route, &mut self.routes),
            (service, &mut self.services),
            (consumer, &mut self.consumers),
            (group, &mut self.groups),
            (api, &mut self.apis),
        ];
        let mut is_found = false;
        for (entity, dimension) in all {
            let Some(entity) = entity else { continue };
            let number = dimension.add(entity);
            if !std::mem::replace(&mut is_found, true) {
                dimension.steps[number as usize].push(at);
            }
        }
        if !is_found {
            self.everywhere.push(at);
        }
    }

    /// Whether any step logs.
    pub(super) fn logs(&self) -> bool {
        self.logs
    }

    /// The key of all transactions without a stream's session, if neither scopes nor protocols matter.
    pub(super) fn only_key(&self) -> Option<Key> {
        let Self { routes, services, consumers, groups, apis, .. } = self;
        let scoped = [routes, services, consumers, groups, apis].into_iter().any(|kind| !kind.steps.is_empty());
        (!self.protocols && !scoped).then(|| Key {
            route: UNSCOPED,
            service: UNSCOPED,
            consumer: UNSCOPED,
            api: UNSCOPED,
            protocols: identity::mask(crate::plugin::HTTP),
            groups: Vec::new(),
        })
    }

    /// The key of `transaction`.
    pub(super) fn key(&self, transaction: &Transaction) -> Key {
        let http = identity::mask(crate::plugin::HTTP);
        Key {
            route: self.routes.lookup(transaction, "route", "name"),
            service: self.services.lookup(transaction, "service", "name"),
            consumer: self.consumers.lookup(transaction, "consumer", "username"),
            api: self.apis.lookup(transaction, "api", "name"),
            // If no plugin distinguishes HTTP protocols, they share a plan.
            protocols: match identity::protocols(transaction) {
                protocols if !self.protocols && protocols & http != 0 => http,
                protocols => protocols,
            },
            groups: self.groups_of(transaction),
        }
    }

    /// The key of transactions of the entities in `scope` with `protocol`. The groups of its consumer count as well.
    pub(super) fn key_of(&self, scope: &Scope, protocol: Protocol) -> Key {
        let number = |entity: &Option<EntityRef>, dimension: &Dimension| {
            entity.as_ref().map_or(UNSCOPED, |entity| dimension.number(entity))
        };
        let consumer = scope.consumer.iter().flat_map(|consumer| [&consumer.id, &consumer.name]).flatten();
        let mut groups: Vec<u32> =
            consumer.flat_map(|name| self.memberships.get(name).into_iter().flatten()).copied().collect();
        groups.extend(scope.consumer_group.as_ref().map(|group| self.groups.number(group)));
        groups.retain(|group| *group != UNSCOPED);
        groups.sort_unstable();
        groups.dedup();
        Key {
            route: number(&scope.route, &self.routes),
            service: number(&scope.service, &self.services),
            consumer: number(&scope.consumer, &self.consumers),
            api: number(&scope.api, &self.apis),
            protocols: identity::mask(&[protocol]),
            groups,
        }
    }

    /// The groups of the consumer, from the transaction and from the configuration.
    fn groups_of(&self, transaction: &Transaction) -> Vec<u32> {
        if self.groups.steps.is_empty() {
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

    /// The steps with an entity of `key` in their scopes, and those without a scope, in the order of the program.
    pub(super) fn candidates(&self, key: &Key) -> Vec<usize> {
        let single = [
            self.routes.steps(key.route),
            self.services.steps(key.service),
            self.consumers.steps(key.consumer),
            self.apis.steps(key.api),
        ];
        let of_groups = key.groups.iter().map(|group| self.groups.steps(*group));
        let mut all: Vec<usize> =
            single.into_iter().chain(of_groups).flatten().chain(&self.everywhere).copied().collect();
        all.sort_unstable();
        all
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

    /// The rank of the scope of `step` among Kong's twelve levels, 1 for the most specific; `None` if it does not apply.
    pub(super) fn rank(&self, step: &Step, key: &Key) -> Option<u8> {
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
