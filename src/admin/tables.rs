//! All entities in memory, with the indexes that requests and constraints need.

use std::ops::Bound;
use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};
use logphase_config::schema::is_uuid;
use serde_json::{Map, Value};

use super::kind::{self, KINDS, Kind};

/// An entity as the Admin API shows it, secrets included.
pub(crate) type Entity = Arc<Map<String, Value>>;

/// One change of one entity.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The kind of the entity.
    pub(crate) kind: &'static Kind,
    /// Its id.
    pub(crate) id: String,
    /// What it becomes; `None` if it is deleted.
    pub(crate) entity: Option<Entity>,
}

/// The entities of all kinds. Cheap to clone: a copy shares all that is not changed.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tables {
    tables: Vec<Table>,
}

#[derive(Debug, Default, Clone)]
struct Table {
    rows: OrdMap<String, Entity>,
    /// Ids by unique field and value.
    by_value: HashMap<(&'static str, String), String>,
    /// Ids of the entities whose field refers to another one, by field and id of that one.
    by_reference: HashMap<(&'static str, String), OrdSet<String>>,
    /// Ids by tag.
    by_tag: OrdMap<String, OrdSet<String>>,
    /// Ids of plugins by name and scope.
    by_scope: HashMap<String, String>,
}

impl Tables {
    /// No entities.
    pub(crate) fn new() -> Self {
        Self { tables: KINDS.iter().map(|_| Table::default()).collect() }
    }

    /// Makes `changes`.
    pub(crate) fn apply(&mut self, changes: &[Change]) {
        for Change { kind, id, entity } in changes {
            let table = &mut self.tables[kind.index()];
            table.remove(kind, id);
            if let Some(entity) = entity {
                table.insert(kind, id, entity.clone());
            }
        }
    }

    fn table(&self, kind: &'static Kind) -> &Table {
        &self.tables[kind.index()]
    }

    /// All entities of `kind`, by id.
    pub(crate) fn all(&self, kind: &'static Kind) -> impl Iterator<Item = (&String, &Entity)> {
        self.table(kind).rows.iter()
    }

    /// How many entities of `kind` there are.
    pub(crate) fn count(&self, kind: &'static Kind) -> usize {
        self.table(kind).rows.len()
    }

    /// The entity with the id `id`, which may be in any case.
    pub(crate) fn get(&self, kind: &'static Kind, id: &str) -> Option<&Entity> {
        let rows = &self.table(kind).rows;
        rows.get(id).or_else(|| rows.get(&id.to_ascii_lowercase()))
    }

    /// The entity whose unique field `field` is `value`.
    pub(crate) fn by_value(&self, kind: &'static Kind, field: &'static str, value: &str) -> Option<&Entity> {
        let table = self.table(kind);
        table.rows.get(table.by_value.get(&(field, value.to_owned()))?)
    }

    /// The entity that a path names by its id or its second key. A certificate may be named by one of its SNIs.
    pub(crate) fn find(&self, kind: &'static Kind, key: &str) -> Option<&Entity> {
        if is_uuid(key) {
            return self.get(kind, key);
        }
        if kind.name == "certificates" {
            let sni = self.by_value(kind::find("snis")?, "name", key)?;
            return self.get(kind, reference(sni, "certificate")?);
        }
        (!kind.key.is_empty()).then(|| self.by_value(kind, kind.key, key)).flatten()
    }

    /// The plugin with the name and the scope of `entity`.
    pub(crate) fn same_scope(&self, kind: &'static Kind, entity: &Map<String, Value>) -> Option<&Entity> {
        let table = self.table(kind);
        table.rows.get(table.by_scope.get(&scope_key(kind, entity)?)?)
    }

    /// The ids of the entities of `kind` whose `field` refers to `id`.
    pub(crate) fn referring(&self, kind: &'static Kind, field: &'static str, id: &str) -> Option<&OrdSet<String>> {
        self.table(kind).by_reference.get(&(field, id.to_owned()))
    }

    /// The ids of the entities of `kind` with the tag `tag`.
    pub(crate) fn tagged(&self, kind: &'static Kind, tag: &str) -> Option<&OrdSet<String>> {
        self.table(kind).by_tag.get(tag)
    }

    /// Each tag of each entity of `kind`, with the id of the entity.
    pub(crate) fn tags(&self, kind: &'static Kind) -> impl Iterator<Item = (&String, &String)> {
        self.table(kind).by_tag.iter().flat_map(|(tag, ids)| ids.iter().map(move |id| (tag, id)))
    }

    /// The entities of `kind` after the id `after`, by id.
    pub(crate) fn after<'a>(&'a self, kind: &'static Kind, after: Option<&str>) -> impl Iterator<Item = &'a Entity> {
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.to_owned()));
        self.table(kind).rows.range::<_, String>((from, Bound::Unbounded)).map(|(_, entity)| entity)
    }
}

impl Table {
    fn insert(&mut self, kind: &'static Kind, id: &str, entity: Entity) {
        for (field, value) in unique_values(kind, &entity) {
            self.by_value.insert((field, value.to_owned()), id.to_owned());
        }
        for (field, _) in kind.references() {
            if let Some(target) = reference(&entity, field.name) {
                self.by_reference.entry((field.name, target.to_owned())).or_default().insert(id.to_owned());
            }
        }
        for tag in tags(&entity) {
            self.by_tag.entry(tag.to_owned()).or_default().insert(id.to_owned());
        }
        if let Some(key) = scope_key(kind, &entity) {
            self.by_scope.insert(key, id.to_owned());
        }
        self.rows.insert(id.to_owned(), entity);
    }

    fn remove(&mut self, kind: &'static Kind, id: &str) {
        let Some(entity) = self.rows.remove(id) else { return };
        for (field, value) in unique_values(kind, &entity) {
            self.by_value.remove(&(field, value.to_owned()));
        }
        for (field, _) in kind.references() {
            if let Some(target) = reference(&entity, field.name) {
                remove_from(&mut self.by_reference, &(field.name, target.to_owned()), id);
            }
        }
        for tag in tags(&entity) {
            if let Some(ids) = self.by_tag.get_mut(tag) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_tag.remove(tag);
                }
            }
        }
        if let Some(key) = scope_key(kind, &entity) {
            self.by_scope.remove(&key);
        }
    }
}

fn remove_from(index: &mut HashMap<(&'static str, String), OrdSet<String>>, key: &(&'static str, String), id: &str) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

fn unique_values<'a>(
    kind: &Kind,
    entity: &'a Map<String, Value>,
) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
    kind.unique_fields().filter_map(|field| Some((field.name, entity.get(field.name)?.as_str()?)))
}

/// The id that the field `field` of `entity` refers to.
pub(crate) fn reference<'a>(entity: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    entity.get(field)?.get("id")?.as_str()
}

/// The tags of `entity`.
pub(crate) fn tags(entity: &Map<String, Value>) -> impl Iterator<Item = &str> {
    entity.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// What is unique of a plugin, a target, a consumer's group or a membership besides its fields: the name and all that it refers to.
fn scope_key(kind: &Kind, entity: &Map<String, Value>) -> Option<String> {
    let name = match kind.name {
        "plugins" => entity.get("name")?.as_str()?,
        "targets" => entity.get("target")?.as_str()?,
        "acls" => entity.get("group")?.as_str()?,
        kind::MEMBERSHIPS => "",
        _ => return None,
    };
    let scopes: Vec<&str> =
        kind.references().map(|(field, _)| reference(entity, field.name).unwrap_or_default()).collect();
    Some(format!("{name}:{}", scopes.join(":")))
}
