//! What there may be one of.

use std::collections::HashMap;
use std::hash::Hash;

use super::read::Item;
use logphase_config::diagnostic::{Diagnostic, Place, codes};

/// Things seen so far, with their places.
pub(super) struct Seen<K>(HashMap<K, Place>);

impl<K: Hash + Eq> Seen<K> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Takes note of `key`; if it was there already, `complaint` is reported at both places.
    pub(super) fn add(
        &mut self,
        key: K,
        place: Place,
        diagnostics: &mut Vec<Diagnostic>,
        complaint: impl FnOnce() -> Diagnostic,
    ) {
        if let Some(first) = self.0.get(&key) {
            diagnostics.push(complaint().at(place).label("second here").related(first.clone(), "first here"));
        } else {
            self.0.insert(key, place);
        }
    }
}

/// Ids and names of entities, and the instance names of plugins.
pub(super) fn entities(items: &[Item], diagnostics: &mut Vec<Diagnostic>) {
    let mut seen = Seen::new();
    for item in items {
        let (collection, word) = (item.collection, item.collection.word());
        let name_field = match collection {
            super::collection::Collection::Plugins => "instance_name",
            other => other.key(),
        };
        for field in ["id", name_field] {
            let Some(value) = item.text(field) else { continue };
            let place = item.node.get(field).map_or_else(|| item.place(), |node| node.place());
            seen.add((collection, field, value), place, diagnostics, || {
                Diagnostic::error(codes::UNIQUE, format!("two {word}s with the {field} `{value}`"))
                    .path(format!("{}.{field}", item.path))
                    .kong(format!(
                        "uniqueness violation: '{}' entity with {field} set to '{value}' already declared",
                        collection.name()
                    ))
            });
        }
    }
}
