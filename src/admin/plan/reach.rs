//! What changes of entities reach: the routes whose transactions they touch.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Step;
use crate::admin::kind::{self, Kind};
use crate::admin::tables::{Entity, Tables, reference};

fn kind_of(name: &str) -> &'static Kind {
    kind::find(name).expect("routes, services and plugins are kinds")
}

/// The number of plugins that are enabled.
pub(super) fn plugins(tables: &Tables) -> usize {
    tables.all(kind_of("plugins")).filter(|(_, plugin)| plugin.get("enabled") != Some(&Value::Bool(false))).count()
}

/// The routes that `steps` touch, which lead from `before` to `after`, with their names.
pub(super) fn routes(before: &Tables, after: &Tables, steps: &[Step]) -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::new();
    for (old, new) in steps {
        for (tables, change) in [(before, old), (after, new)] {
            if let Some(entity) = &change.entity {
                match reach(tables, change.kind, &change.id, entity) {
                    Reach::All => add(tables, tables.all(kind_of("routes")).map(|(id, _)| id), &mut found),
                    Reach::Some(ids) => add(tables, ids.iter(), &mut found),
                }
            }
        }
    }
    found
}

fn add<'a>(tables: &Tables, ids: impl Iterator<Item = &'a String>, found: &mut BTreeMap<String, Option<String>>) {
    for id in ids {
        let route = tables.get(kind_of("routes"), id);
        let name = route.and_then(|route| route.get("name")?.as_str()).map(str::to_owned);
        found.insert(id.clone(), name);
    }
}

/// Whose transactions an entity touches.
enum Reach {
    All,
    Some(BTreeSet<String>),
}

fn reach(tables: &Tables, kind: &'static Kind, id: &str, entity: &Entity) -> Reach {
    let only = |id: &str| Reach::Some(BTreeSet::from([id.to_owned()]));
    match kind.name {
        "routes" => only(id),
        "services" => Reach::Some(of_service(tables, id)),
        _ if kind.is_plugins() => match (reference(entity, "route"), reference(entity, "service")) {
            (Some(route), _) => only(route),
            (None, Some(service)) => Reach::Some(of_service(tables, service)),
            // A consumer may use any route.
            (None, None) => Reach::All,
        },
        "consumers" if has_plugins(tables, "consumer", id) || in_group_with_plugins(tables, id) => Reach::All,
        "consumer_groups" if has_plugins(tables, "consumer_group", id) => Reach::All,
        kind::MEMBERSHIPS => {
            let group = reference(entity, "consumer_group").is_some_and(|id| has_plugins(tables, "consumer_group", id));
            if group { Reach::All } else { Reach::Some(BTreeSet::new()) }
        }
        _ => Reach::Some(BTreeSet::new()),
    }
}

fn of_service(tables: &Tables, id: &str) -> BTreeSet<String> {
    tables.referring(kind_of("routes"), "service", id).into_iter().flatten().cloned().collect()
}

fn has_plugins(tables: &Tables, field: &'static str, id: &str) -> bool {
    tables.referring(kind_of("plugins"), field, id).is_some_and(|ids| !ids.is_empty())
}

fn in_group_with_plugins(tables: &Tables, consumer: &str) -> bool {
    let memberships = kind_of(kind::MEMBERSHIPS);
    let ids = tables.referring(memberships, "consumer", consumer).into_iter().flatten();
    let mut groups = ids.filter_map(|id| reference(tables.get(memberships, id)?, "consumer_group"));
    groups.any(|group| has_plugins(tables, "consumer_group", group))
}
