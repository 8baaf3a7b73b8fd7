//! Entities that only Kong has: decK finds them by `_info.default_lookup_tags`.

use std::collections::HashSet;

use super::draft::{Draft, Drafts};
use super::kind::EntityKind;
use super::plugin::SCOPES;
use logphase_config::document::Node;
use logphase_config::schema::is_uuid;

/// A draft for each entity of the kinds `drafts.external` that `drafts` refer to and do not have.
pub(super) fn entities(drafts: &Drafts) -> Vec<Draft> {
    if drafts.external.is_empty() {
        return Vec::new();
    }
    let mut known = HashSet::new();
    for draft in &drafts.entities {
        let keys = ["id", draft.kind.key()].into_iter().filter_map(|name| draft.node.get(name)?.as_str());
        known.extend(keys.map(|key| (draft.kind, key.to_owned())));
    }
    let mut missing = Vec::new();
    for (kind, node) in references(drafts).into_iter().filter(|(kind, _)| drafts.external.contains(kind)) {
        let named = ["id", kind.key(), "name"].iter().find_map(|name| node.get(name));
        let Some((key, target)) = named.or(Some(node)).and_then(|target| Some((target.as_str()?, target))) else {
            continue;
        };
        if !known.insert((kind, key.to_owned())) {
            continue;
        }
        let mut entity = Node::empty_mapping_at(target);
        entity.set(&[if is_uuid(key) { "id" } else { kind.key() }], target.clone());
        let mut draft = Draft::new(kind, entity, kind.name().to_owned());
        draft.external = true;
        missing.push(draft);
    }
    missing
}

/// Every reference from one entity to another.
fn references(drafts: &Drafts) -> Vec<(EntityKind, &Node)> {
    let mut found = Vec::new();
    for draft in &drafts.entities {
        let member = |name: &str| draft.node.get(name).filter(|node| !node.is_null());
        match draft.kind {
            EntityKind::Plugins => {
                let scopes = SCOPES.into_iter();
                let scopes = scopes.filter_map(|(kind, old)| Some((kind, member(kind.singular()).or(member(old))?)));
                found.extend(scopes);
            }
            EntityKind::Routes => found.extend(member("service").map(|node| (EntityKind::Services, node))),
            EntityKind::Consumers => {
                let groups = member("groups").and_then(Node::items).into_iter().flatten();
                found.extend(groups.map(|node| (EntityKind::ConsumerGroups, node)));
            }
            _ => {}
        }
    }
    for (_, node) in &drafts.memberships {
        for kind in [EntityKind::Consumers, EntityKind::ConsumerGroups] {
            found.extend(node.get(kind.singular()).map(|node| (kind, node)));
        }
    }
    found
}
