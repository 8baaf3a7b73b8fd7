//! What is different in entities, by member.

use serde_json::{Map, Value, json};

use crate::admin::kind::Kind;
use crate::admin::tables::{Change, Entity};

/// Members that are shown, at most.
const MAX_ROWS: usize = 500;

/// Members that a write changes by itself.
const OF_THE_WRITE: [&str; 3] = ["id", "created_at", "updated_at"];

/// The members that differ.
#[derive(Default)]
pub(super) struct Difference {
    /// Each with its entity, its path, and its values.
    pub(super) rows: Vec<Value>,
    /// How many there are, also beyond those in [`Self::rows`].
    pub(super) total: usize,
}

/// Shows an entity to somebody, perhaps without secrets.
type Show<'a> = &'a dyn Fn(&'static Kind, &Entity) -> Map<String, Value>;

impl Difference {
    /// Adds what differs between `old` and `new`. Whether a secret differs is shown, but no secret.
    pub(super) fn add(&mut self, old: &Change, new: &Change, show: Show<'_>) {
        let entity = |change: &Change| change.entity.as_ref().map(|entity| Value::Object(Map::clone(entity)));
        let shown = |change: &Change| change.entity.as_ref().map(|entity| Value::Object(show(change.kind, entity)));
        let (old_entity, new_entity) = (entity(old).unwrap_or_default(), entity(new).unwrap_or_default());
        let (old_shown, new_shown) = (shown(old).unwrap_or_default(), shown(new).unwrap_or_default());
        let place = Place { kind: new.kind.name, id: &new.id };
        self.compare(&place, &mut String::new(), [&old_entity, &new_entity], [&old_shown, &new_shown]);
    }

    fn compare(&mut self, place: &Place<'_>, path: &mut String, values: [&Value; 2], shown: [&Value; 2]) {
        let [old, new] = values;
        if old == new {
            return;
        }
        // An object that comes or goes is shown by its members, too: they are what people have written.
        let names: Vec<&String> = match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))).collect()
            }
            (Value::Object(one), Value::Null) | (Value::Null, Value::Object(one)) => one.keys().collect(),
            _ => Vec::new(),
        };
        if names.is_empty() {
            return self.push(place, path, shown);
        }
        let is_root = path.is_empty();
        for name in names.into_iter().filter(|name| !is_root || !OF_THE_WRITE.contains(&name.as_str())) {
            let length = path.len();
            if !is_root {
                path.push('.');
            }
            path.push_str(&name.replace('.', "\\."));
            let of = |value: &'_ Value| value.get(name).cloned().unwrap_or_default();
            let inner = [of(old), of(new), of(shown[0]), of(shown[1])];
            self.compare(place, path, [&inner[0], &inner[1]], [&inner[2], &inner[3]]);
            path.truncate(length);
        }
    }

    fn push(&mut self, place: &Place<'_>, path: &str, [before, after]: [&Value; 2]) {
        self.total += 1;
        if self.rows.len() < MAX_ROWS {
            self.rows.push(json!({"kind": place.kind, "id": place.id, "path": path, "before": before, "after": after}));
        }
    }
}

/// The entity of a row.
struct Place<'a> {
    kind: &'static str,
    id: &'a str,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::admin::{kind, secrets};

    fn rows(old: Value, new: Value) -> Vec<String> {
        let kind = kind::find("plugins").unwrap();
        let change = |value: Value| Change {
            kind,
            id: "1".to_owned(),
            entity: value.as_object().map(|entity| Arc::new(entity.clone())),
        };
        let mut difference = Difference::default();
        difference.add(&change(old), &change(new), &|kind, entity| secrets::masked(kind, entity));
        assert_eq!(difference.total, difference.rows.len());
        difference
            .rows
            .iter()
            .map(|row| format!("{} {} {}", row["path"].as_str().unwrap(), row["before"], row["after"]))
            .collect()
    }

    /// Scenario: an entity whose members change, come and go, one of them a secret and one a list; one that is made, and one that is deleted.
    /// Guarantees: each member that differs is named with both values, and no other; that a secret differs is shown, the secret is not.
    #[test]
    fn members_that_differ() {
        let plugin = |url: &str, config: Value| {
            let mut plugin = json!({"id": "1", "name": "http-log", "updated_at": 1, "enabled": true, "config": config});
            plugin["config"]["http_endpoint"] = url.into();
            plugin
        };
        let old =
            plugin("http://u:one@h/", json!({"headers": {"a": "1"}, "retry.count": 1, "queue": null, "list": [1]}));
        let new = plugin(
            "http://u:two@h/",
            json!({"headers": {"b": "2"}, "retry.count": 2, "queue": {"max": 5}, "list": [1, 2]}),
        );
        let expected = [
            r#"config.headers.a "1" null"#,
            r#"config.headers.b null "2""#,
            r"config.retry\.count 1 2",
            "config.queue.max null 5",
            "config.list [1] [1,2]",
            r#"config.http_endpoint "http://u:********@h/" "http://u:********@h/""#,
        ];
        let mut found = rows(old.clone(), new);
        found.sort_by_key(|row| expected.iter().position(|other| other == row));
        assert_eq!(found, expected);
        assert_eq!(rows(old.clone(), old.clone()), Vec::<String>::new());
        let made = rows(
            Value::Null,
            json!({"id": "1", "name": "file-log", "enabled": true, "config": {"path": "/a", "x": null}}),
        );
        assert_eq!(made, [r#"name null "file-log""#, "enabled null true", r#"config.path null "/a""#]);
        assert_eq!(rows(json!({"id": "1", "name": "file-log"}), Value::Null), [r#"name "file-log" null"#]);
    }
}
