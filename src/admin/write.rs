//! Writes: from a request to the changes of entities, with Kong's constraints. Nothing is changed here.

use std::sync::Arc;

use logphase_config::schema::{Type, is_uuid};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::error::{ApiError, ApiResult};
use super::kind::{self, KINDS, Kind};
use super::read::{self, Names};
use super::tables::{Change, Entity, Tables, reference};
use super::{certificates, credentials};

/// Makes the changes of one request.
pub(crate) struct Writer<'a> {
    tables: &'a Tables,
    /// The time of the request, in milliseconds since 1970.
    now: i64,
    names: Names,
    /// Whether constraints between entities are checked. Kong's database does that: without one, nothing does.
    constrained: bool,
    changes: Vec<Change>,
}

impl<'a> Writer<'a> {
    /// For a request at `now`, in milliseconds since 1970.
    pub(crate) fn new(tables: &'a Tables, now: i64, names: Names) -> Self {
        Self { tables, now, names, constrained: true, changes: Vec::new() }
    }

    /// The same without constraints between entities: only for writes that are validated, and refused all the same.
    pub(crate) fn without_constraints(mut self) -> Self {
        self.constrained = false;
        self
    }

    /// The changes.
    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// Creates an entity.
    ///
    /// # Errors
    /// It violates the schema or a constraint.
    pub(crate) fn create(&mut self, kind: &'static Kind, body: Map<String, Value>) -> ApiResult<Entity> {
        let placed = is_sent(&body, &["protocols"]);
        self.store(kind, body, None, placed, false)
    }

    /// Replaces `existing`, or creates an entity.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(crate) fn replace(
        &mut self,
        kind: &'static Kind,
        body: Map<String, Value>,
        existing: Option<&Entity>,
    ) -> ApiResult<Entity> {
        let placed = is_sent(&body, &["protocols"]);
        self.store(kind, body, existing, placed, true)
    }

    /// Changes members of `existing`.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(crate) fn update(
        &mut self,
        kind: &'static Kind,
        existing: &Entity,
        mut patch: Map<String, Value>,
    ) -> ApiResult<Entity> {
        if kind.name == "basicauth_credentials" && patch.contains_key("consumer") && !patch.contains_key("password") {
            // The hash of the password depends on the consumer.
            let text = "all or none of these fields must be set: 'password', 'consumer.id'";
            return Err(ApiError::schema(json!({"@entity": [text]})));
        }
        patch.insert("id".to_owned(), existing["id"].clone());
        patch.entry("created_at").or_insert_with(|| existing.get("created_at").cloned().unwrap_or_default());
        let placed = is_sent(&patch, &["protocols", "service", "route"]);
        let snis = patch.remove("snis");
        let mut merged = read::merged(kind, existing, patch)?;
        merged.extend(snis.map(|snis| ("snis".to_owned(), snis)));
        let stored = self.store(kind, merged, Some(existing), placed, true);
        stored.map_err(|mut error| {
            when_updating(&mut error.body);
            error
        })
    }

    /// Deletes `entity` and what goes with it.
    ///
    /// # Errors
    /// An entity that does not go with it refers to it.
    pub(crate) fn delete(&mut self, kind: &'static Kind, entity: &Entity) -> ApiResult<()> {
        let id = id_of(entity);
        if kind.name == "ca_certificates" && self.constrained {
            self.check_authority_is_unused(&id)?;
        }
        if self.changes.iter().any(|change| change.kind == kind && change.id == id) {
            return Ok(());
        }
        let mut going = Vec::new();
        for by in KINDS {
            for (field, _) in by.references().filter(|(_, target)| *target == kind) {
                let Some(ids) = self.tables.referring(by, field.name, &id) else { continue };
                if by.restricted.contains(&field.name) && self.constrained {
                    return Err(ApiError::referenced(kind, by));
                }
                going.extend(ids.iter().filter_map(|id| Some((by, self.tables.get(by, id)?))));
            }
        }
        self.changes.push(Change { kind, id, entity: None });
        going.into_iter().try_for_each(|(kind, entity)| self.delete(kind, entity))
    }

    fn store(
        &mut self,
        kind: &'static Kind,
        mut body: Map<String, Value>,
        existing: Option<&Entity>,
        placed: bool,
        upsert: bool,
    ) -> ApiResult<Entity> {
        self.fill(kind, &mut body, existing);
        let snis = body.get("snis").map(|snis| if snis.is_null() { json!([]) } else { snis.clone() });
        let mut entity = read::whole(kind, body, self.tables, self.names)?;
        credentials::hash_password(kind, &mut entity, existing.map(Arc::as_ref));
        let id = id_of(&entity);
        if kind.is_plugins() && placed {
            self.check_protocols(&entity)?;
        }
        let snis = snis.filter(|_| kind.name == "certificates");
        if let Some(names) = snis.as_ref().and_then(Value::as_array) {
            certificates::check_snis(names, &id, self.tables)?;
        }
        if self.constrained {
            if !upsert && self.tables.get(kind, &id).is_some() {
                return Err(ApiError::primary_key(&id));
            }
            self.check_references(kind, &entity)?;
            self.check_unique(kind, &entity, &id)?;
        }
        let entity = Arc::new(entity);
        self.changes.push(Change { kind, id: id.clone(), entity: Some(entity.clone()) });
        if let Some(snis) = snis.as_ref().and_then(Value::as_array) {
            self.set_snis(&id, snis)?;
        }
        Ok(entity)
    }

    /// Gives `body` what Kong makes itself: an id, and times.
    fn fill(&self, kind: &Kind, body: &mut Map<String, Value>, existing: Option<&Entity>) {
        let seconds = Value::from(self.now / 1000);
        for field in (kind.record)().fields.iter().filter(|field| field.auto) {
            let is_absent = body.get(field.name).is_none_or(Value::is_null);
            let value = match (field.name, field.ty) {
                ("id", _) if is_absent => match existing {
                    Some(existing) => existing["id"].clone(),
                    None => Uuid::new_v4().to_string().into(),
                },
                ("updated_at", Type::Number) => (self.now as f64 / 1000.0).into(),
                ("updated_at", _) => seconds.clone(),
                ("created_at", Type::Number) if is_absent => (self.now as f64 / 1000.0).into(),
                // APIs of Kong before 1.0 have milliseconds.
                ("created_at", _) if is_absent && kind.name == "apis" => self.now.into(),
                ("created_at", _) if is_absent => seconds.clone(),
                (_, Type::String) if is_absent => Uuid::new_v4().simple().to_string().into(),
                _ => continue,
            };
            body.insert(field.name.to_owned(), value);
        }
    }

    /// Checks that no service and no plugin trusts the CA certificate `id` (kong/db/dao/ca_certificates.lua).
    fn check_authority_is_unused(&self, id: &str) -> ApiResult<()> {
        const FIELD: &str = "ca_certificates";
        for (name, config) in [("services", false), ("plugins", true)] {
            let kind = kind::find(name).expect("they are kinds");
            let trusts = |entity: &Entity| {
                let holder =
                    if config { entity.get("config").and_then(Value::as_object) } else { Some(entity.as_ref()) };
                holder.is_some_and(|holder| list(holder, FIELD).any(|one| one == id))
            };
            if let Some((user, _)) = self.tables.all(kind).find(|(_, entity)| trusts(entity)) {
                return Err(ApiError::referenced_by_others(id, name, user));
            }
        }
        Ok(())
    }

    fn check_references(&self, kind: &'static Kind, entity: &Map<String, Value>) -> ApiResult<()> {
        for (field, target) in kind.references() {
            let Some(id) = reference(entity, field.name) else { continue };
            let made_here = self.changes.iter().any(|change| change.kind == target && change.id == id);
            if !made_here && self.tables.get(target, id).is_none() {
                return Err(ApiError::foreign_key(field.name, id, target));
            }
        }
        Ok(())
    }

    /// Checks that a plugin runs for a protocol of its route, or of one of the routes of its service (kong/db/dao/plugins.lua).
    fn check_protocols(&self, plugin: &Map<String, Value>) -> ApiResult<()> {
        let kind = kind::find("routes").expect("routes are a kind");
        let shares =
            |route: &Entity| list(plugin, "protocols").any(|one| list(route, "protocols").any(|other| one == other));
        let refused = |wording: &str| Err(ApiError::schema(json!({ "protocols": wording })));
        if let Some(route) = reference(plugin, "route") {
            return match self.tables.get(kind, route) {
                Some(route) if !shares(route) => refused("must match the associated route's protocols"),
                _ => Ok(()),
            };
        }
        let ids = reference(plugin, "service").and_then(|service| self.tables.referring(kind, "service", service));
        let mut routes = ids.into_iter().flatten().filter_map(|id| self.tables.get(kind, id)).peekable();
        if routes.peek().is_none() || routes.any(shares) {
            return Ok(());
        }
        refused("must match the protocols of at least one route pointing to this Plugin's service")
    }

    fn check_unique(&self, kind: &'static Kind, entity: &Map<String, Value>, id: &str) -> ApiResult<()> {
        for field in kind.unique_fields() {
            let Some(value) = entity.get(field.name).and_then(Value::as_str) else { continue };
            if self.tables.by_value(kind, field.name, value).is_some_and(|other| id_of(other) != id) {
                let value = value.into();
                return Err(ApiError::unique(Map::from_iter([(field.name.to_owned(), value)])));
            }
        }
        if self.tables.same_scope(kind, entity).is_some_and(|other| id_of(other) != id) {
            let mut fields = Map::new();
            let name = match kind.name {
                "targets" => "target",
                "acls" => "group",
                _ => "name",
            };
            fields.extend(entity.get(name).map(|value| (name.to_owned(), value.clone())));
            for (field, _) in kind.references() {
                let value = entity.get(field.name).cloned().unwrap_or_default();
                // Kong names the fields of the open-source schema even without a value.
                if !value.is_null() || field.shown == logphase_config::schema::Shown::Always {
                    fields.insert(field.name.to_owned(), value);
                }
            }
            return Err(ApiError::unique(fields));
        }
        Ok(())
    }

    /// Makes the SNIs of a certificate those of `names`.
    fn set_snis(&mut self, certificate: &str, names: &[Value]) -> ApiResult<()> {
        let kind = kind::find("snis").expect("SNIs are a kind");
        let old: Vec<&Entity> = self
            .tables
            .referring(kind, "certificate", certificate)
            .into_iter()
            .flatten()
            .filter_map(|id| self.tables.get(kind, id))
            .collect();
        for sni in old.iter().filter(|sni| !names.contains(&sni["name"])) {
            self.changes.push(Change { kind, id: id_of(sni), entity: None });
        }
        for name in names.iter().filter(|name| !old.iter().any(|sni| sni["name"] == **name)) {
            let body = json!({"name": name, "certificate": {"id": certificate}});
            let Value::Object(body) = body else { unreachable!("it is an object") };
            self.create(kind, body)?;
        }
        Ok(())
    }
}

/// Whether one of `names` is in `body`, and not null.
fn is_sent(body: &Map<String, Value>, names: &[&str]) -> bool {
    names.iter().any(|name| body.get(*name).is_some_and(|value| !value.is_null()))
}

fn list<'a>(entity: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    entity.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The id of `entity`.
pub(crate) fn id_of(entity: &Map<String, Value>) -> String {
    entity.get("id").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
}

/// Checks the key of a path that is no id, which becomes the value of the second key.
///
/// # Errors
/// It cannot be the second key of an entity of `kind`.
pub(crate) fn check_key(kind: &'static Kind, key: &str) -> ApiResult<()> {
    if is_uuid(key) || kind.name == "certificates" {
        return Ok(());
    }
    if kind.key.is_empty() {
        return Err(ApiError::invalid_primary_key());
    }
    let Some(field) = (kind.record)().field(kind.key) else { return Ok(()) };
    if !field.checks.is_empty()
        && let Some(wording) = bad_encoding(key)
    {
        return Err(ApiError::invalid_unique(field.name, wording));
    }
    let value = Value::from(key);
    match field.checks.iter().find_map(|check| check.run(&value).err()) {
        Some(wording) => Err(ApiError::invalid_unique(field.name, wording)),
        None => Ok(()),
    }
}

/// Kong's words for a text of a path that is no UTF-8: where that is so, the path has replacement characters.
pub(crate) fn bad_encoding(text: &str) -> Option<String> {
    let at = text.find(char::REPLACEMENT_CHARACTER)?;
    Some(format!("invalid utf-8 character sequence detected at position {}", at + 1))
}

/// Kong's other words for a rule that an update breaks.
fn when_updating(body: &mut Value) {
    const RULE: &str = "at least one of these fields must be non-empty";
    let Some(texts) = body.pointer_mut("/fields/@entity").and_then(Value::as_array_mut) else { return };
    let is_rule = |text: &&mut Value| text.as_str().is_some_and(|text| text.starts_with(RULE));
    for text in texts.iter_mut().filter(is_rule) {
        *text = format!("when updating, {}", text.as_str().unwrap_or_default()).into();
    }
    let message = logphase_config::diagnostic::violation_message(&body["fields"]);
    body["message"] = message.into();
}
