//! What Kong refuses of a declarative configuration although the log phase does not use it: fields and entities of other kinds, nested ones
//! too, and values that two entities share.

use std::collections::HashSet;

use logphase_config::diagnostic::{Diagnostic, FieldPath, codes};
use logphase_config::schema::Shown;
use serde_json::{Value, json};
use uuid::Uuid;

use super::kind::{KINDS, Kind, MEMBERSHIPS};
use super::read::{self, Names};
use super::tables::Tables;
use super::{address, error};
use crate::entity::EntityKind;

/// The errors of the document `root`, with the places in it.
pub(super) fn violations(root: &Value) -> Vec<Diagnostic> {
    let mut walk = Walk { tables: Tables::new(), seen: HashSet::new(), found: Vec::new() };
    walk.below(root, "", None);
    walk.found
}

/// A walk through a document.
struct Walk {
    /// No entities: references are checked by their form alone.
    tables: Tables,
    /// Values that no other entity of the kind may have.
    seen: HashSet<(&'static str, &'static str, String)>,
    found: Vec<Diagnostic>,
}

impl Walk {
    /// Looks at the entities in `holder`, which is at `path`: the document, or an entity of the kind `parent`.
    fn below(&mut self, holder: &Value, path: &str, parent: Option<&'static Kind>) {
        for kind in KINDS.iter().filter(|kind| kind.name != MEMBERSHIPS) {
            let field = parent.and_then(|parent| kind.reference_to(parent));
            if parent.is_some() && field.is_none() {
                continue;
            }
            for (at, item) in holder.get(kind.name).and_then(Value::as_array).into_iter().flatten().enumerate() {
                let dot = if path.is_empty() { "" } else { "." };
                let item_path = format!("{path}{dot}{}[{at}]", kind.name);
                // The log phase reads plugins as Kong does. APIs are none of Kong's any more.
                if !kind.is_plugins() && kind.of_log_phase != Some(EntityKind::Apis) {
                    self.judge(kind, item, &item_path, field.map(|field| field.name));
                }
                self.check_unique(kind, item, &item_path, path);
                self.below(item, &item_path, Some(kind));
            }
        }
    }

    /// Checks the entity `item` by Kong's schema. Its place gives the reference `given`.
    fn judge(&mut self, kind: &'static Kind, item: &Value, path: &str, given: Option<&str>) {
        let Some(members) = item.as_object() else {
            let error = Diagnostic::error(codes::TYPE, format!("an element of `{}` is no record", kind.name));
            self.found.push(error.path(path).violation("", "expected a record"));
            return;
        };
        let mut body = members.clone();
        let record = (kind.record)();
        body.retain(|name, _| {
            let in_files = record.field(name).is_some_and(|field| field.shown == Shown::InFiles);
            !in_files && !matches!(&**name, "_comment" | "_ignore" | "snis")
        });
        for child in KINDS.iter().filter(|child| child.reference_to(kind).is_some()) {
            body.remove(child.name);
        }
        for (field, _) in kind.references() {
            let is_given = given == Some(field.name);
            // Names stand for ids.
            if is_given || body.get(field.name).is_some_and(|value| value.is_string() || value.is_object()) {
                body.insert(field.name.to_owned(), json!({"id": Uuid::nil().to_string()}));
            }
        }
        let Err(refused) = read::whole(kind, body, &self.tables, Names::Old) else { return };
        let fields = refused.body.get("fields").cloned().unwrap_or_default();
        let mut texts = Vec::new();
        error::leaves(&fields, &FieldPath::default(), &mut texts);
        // Kong's database and its files have different words.
        let target = item.get("target").and_then(Value::as_str).unwrap_or_default();
        let of_files = format!("Invalid target ('{target}');");
        self.found.extend(texts.into_iter().map(|(field, text)| {
            let text = text.replace("Invalid target;", &of_files);
            Diagnostic::error(codes::VALUE, text.clone()).path(path).violation(field, text)
        }));
    }

    /// Checks that no entity before has the id or a unique value of `item`. The log phase checks its own kinds but for what it does not use.
    fn check_unique(&mut self, kind: &'static Kind, item: &Value, path: &str, parent: &str) {
        let Some(members) = item.as_object() else { return };
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if kind.name == "targets" {
            let target = text("target").and_then(address::with_port).unwrap_or_default();
            let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("targets:{parent}:{target}").as_bytes());
            self.add(kind, "id", text("id").map_or(id.to_string(), str::to_owned), path);
            return;
        }
        let of_log_phase = kind.of_log_phase.is_some();
        let fields = kind.unique_fields().map(|field| field.name).chain(["id"]);
        for name in fields.filter(|name| !of_log_phase || (*name != "id" && *name != kind.key)) {
            if let Some(value) = text(name) {
                let value = value.to_owned();
                self.add(kind, name, value, path);
            }
        }
    }

    fn add(&mut self, kind: &'static Kind, field: &'static str, value: String, path: &str) {
        let word = if field == "id" { "primary key" } else { field };
        let text =
            format!("uniqueness violation: '{}' entity with {word} set to '{value}' already declared", kind.name);
        if !self.seen.insert((kind.name, field, value)) {
            self.found.push(Diagnostic::error(codes::UNIQUE, text.clone()).path(path).violation("", text));
        }
    }
}

/// Whether `text` is about a value that two entities of `kind` share and that is not their key in paths: Kong finds it later, and says it by
/// that key.
pub(super) fn is_about_other_value(kind: &Kind, text: &str) -> bool {
    let field = kind.unique_fields().find(|field| text.contains(&format!("entity with {} set to '", field.name)));
    field.is_some_and(|field| field.name != kind.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: entities that the log phase does not use, good and bad ones, flat and nested, with values that are there twice. Guarantees: each error is
    /// found at its place, with Kong's text, and nothing else.
    #[test]
    fn errors_of_other_kinds() {
        let root = json!({
            "consumers": [
                {"username": "a", "custom_id": "x", "acls": [{"group": "g"}, {}], "keyauth_credentials": [{"key": "k"}]},
                {"username": "b", "custom_id": "x", "basicauth_credentials": [{"username": "u", "password": "p"}]},
            ],
            "keyauth_credentials": [{"key": "k", "consumer": "a"}],
            "upstreams": [
                {"name": "u", "slots": 5, "targets": [{"target": "10.0.0.1"}, {"target": "10.0.0.1:8000"}, {"weight": "x"}]},
                {"name": "v", "healthchecks": {"active": {"concurrency": 0}}},
            ],
        });
        let found = violations(&root);
        let texts: Vec<String> = found
            .iter()
            .map(|error| {
                let field = error.field.as_ref().unwrap();
                format!("{} {}: {}", error.path.as_deref().unwrap(), field.path, field.message)
            })
            .collect();
        assert!(texts[0].starts_with("upstreams[0] slots: value should be between 10 and 65536"), "{texts:#?}");
        let with = |start: &str, end: &str| texts.iter().any(|text| text.starts_with(start) && text.ends_with(end));
        assert!(with("upstreams[0].targets[1] ", "already declared"), "{texts:#?}");
        assert!(with("upstreams[0].targets[2] target: ", "required field missing"), "{texts:#?}");
        assert!(with("upstreams[0].targets[2] weight: ", "expected an integer"), "{texts:#?}");
        assert!(with("upstreams[1] healthchecks.active.concurrency: ", "value should be between 1 and 2147483648"));
        assert!(with("consumers[0].acls[1] group: ", "required field missing"), "{texts:#?}");
        assert!(with("consumers[1] ", "entity with custom_id set to 'x' already declared"), "{texts:#?}");
        assert!(with("keyauth_credentials[0] ", "key set to 'k' already declared"), "{texts:#?}");
        assert_eq!(texts.len(), 8, "{texts:#?}");
    }
}
