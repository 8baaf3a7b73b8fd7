//! Values that must be unique.

use std::collections::HashMap;
use std::hash::Hash;

use super::draft::Draft;
use super::kind::EntityKind;
use logphase_config::diagnostic::{Diagnostic, Origin, codes};

/// The keys in use, each with the origin of its first use.
pub(super) struct FirstUses<K>(HashMap<K, Origin>);

impl<K: Hash + Eq> FirstUses<K> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Adds `key`. If it is in use, reports `error` at both origins.
    pub(super) fn add(
        &mut self,
        key: K,
        origin: Origin,
        diagnostics: &mut Vec<Diagnostic>,
        error: impl FnOnce() -> Diagnostic,
    ) {
        if let Some(first) = self.0.get(&key) {
            diagnostics.push(error().at(origin).label("second here").related(first.clone(), "first here"));
        } else {
            self.0.insert(key, origin);
        }
    }
}

/// Reports ids and names, or instance names of plugins, that two entities of one kind share.
pub(super) fn check(drafts: &[Draft], diagnostics: &mut Vec<Diagnostic>) {
    let mut uses = FirstUses::new();
    for draft in drafts {
        let (kind, word) = (draft.kind, draft.kind.word());
        let name_field = if kind == EntityKind::Plugins { "instance_name" } else { kind.key() };
        for field in ["id", name_field] {
            let Some(value) = draft.text(field) else { continue };
            uses.add((kind, field, value), draft.field_origin(field), diagnostics, || {
                Diagnostic::error(codes::UNIQUE, format!("two {word}s with the {field} `{value}`"))
                    .path(draft.member_path(field))
                    .kong(format!(
                        "uniqueness violation: '{}' entity with {field} set to '{value}' already declared",
                        kind.name()
                    ))
            });
        }
    }
}
