//! Values that must be unique.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::draft::Draft;
use super::kind::EntityKind;
use logphase_config::diagnostic::{Diagnostic, Origin, codes};

/// The keys in use, each with the first draft that uses it.
pub(super) struct FirstUses<'a, K>(HashMap<K, &'a Draft, RandomState>);

impl<'a, K: Hash + Eq> FirstUses<'a, K> {
    pub(super) fn new() -> Self {
        Self(HashMap::default())
    }

    /// Adds `key` of `draft`. If it is in use, reports `error` at both origins, which `origin` says.
    pub(super) fn add(
        &mut self,
        key: K,
        draft: &'a Draft,
        origin: impl Fn(&Draft) -> Origin,
        diagnostics: &mut Vec<Diagnostic>,
        error: impl FnOnce() -> Diagnostic,
    ) {
        match self.0.entry(key) {
            Entry::Occupied(first) => {
                let error = error().at(origin(draft)).label("second here");
                diagnostics.push(error.related(origin(first.get()), "first here"));
            }
            Entry::Vacant(entry) => drop(entry.insert(draft)),
        }
    }
}

/// Reports ids and names, or instance names of plugins, that two entities of one kind share.
pub(super) fn check(drafts: &[Arc<Draft>], diagnostics: &mut Vec<Diagnostic>) {
    let mut uses = FirstUses::new();
    for draft in drafts {
        let (kind, word) = (draft.kind, draft.kind.word());
        let (name_field, name) = match kind {
            EntityKind::Plugins => ("instance_name", draft.text("instance_name")),
            _ => (kind.key(), draft.name()),
        };
        for (field, value) in [("id", draft.id_text()), (name_field, name)] {
            let Some(value) = value else { continue };
            uses.add(
                (kind, field, value),
                draft,
                |draft| draft.field_origin(field),
                diagnostics,
                || {
                    Diagnostic::error(codes::UNIQUE, format!("two {word}s with the {field} `{value}`"))
                        .path(draft.member_path(field))
                        .kong(format!(
                            "uniqueness violation: '{}' entity with {} set to '{value}' already declared",
                            kind.name(),
                            if field == "id" { "primary key" } else { field }
                        ))
                },
            );
        }
    }
}
