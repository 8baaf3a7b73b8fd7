//! The entities as the log phase reads them. Each is read once, until it changes.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use logphase_config::document::Node;
use serde_json::Value;

use super::kind::{KINDS, MEMBERSHIPS};
use super::tables::{Entity, Tables};
use crate::entity::{Completeness, Draft, EntityKind, Validated};

/// The entities that the log phase uses, as it reads them.
#[derive(Debug, Default)]
pub(crate) struct KnownDrafts {
    by_entity: HashMap<usize, Known, RandomState>,
}

/// An entity that was read. It is held, so that no other one can have its address.
#[derive(Debug)]
struct Known {
    _entity: Entity,
    draft: Arc<Draft>,
}

impl KnownDrafts {
    /// The entities of `tables`, as the log phase reads them.
    pub(crate) fn of(&mut self, tables: &Tables) -> Validated {
        let mut validated = Validated::default();
        let mut known = HashMap::with_capacity_and_hasher(self.by_entity.len(), RandomState::default());
        for kind in KINDS.iter().filter(|kind| kind.matters_to_log_phase()) {
            for (id, entity) in tables.all(kind) {
                let path = || format!("{}[{id}]", kind.name);
                match kind.of_log_phase {
                    Some(of_log_phase) => {
                        let address = Arc::as_ptr(entity).addr();
                        let read = || Known { _entity: entity.clone(), draft: draft(of_log_phase, entity, path()) };
                        let entry = self.by_entity.remove(&address).unwrap_or_else(read);
                        validated.entities.push(entry.draft.clone());
                        known.insert(address, entry);
                    }
                    None if kind.name == MEMBERSHIPS => validated.memberships.push((path(), node(entity, &path()))),
                    None => validated.vaults.push((path(), node(entity, &path()))),
                }
            }
        }
        self.by_entity = known;
        validated
    }
}

fn draft(kind: EntityKind, entity: &Entity, path: String) -> Arc<Draft> {
    Arc::new(Draft::new(kind, node(entity, &path), path).validated(Completeness::LogPhase).compact())
}

/// An entity as it is written in a file: without members that are null.
fn node(entity: &Entity, path: &str) -> Node {
    let members = entity.iter().filter(|(_, value)| !value.is_null());
    Node::of_entity(&members.map(|(name, value): (&String, &Value)| (name.clone(), value.clone())).collect(), path)
}
