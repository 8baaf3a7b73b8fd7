//! Routes and services as Kong stores and logs them.

use serde_json::{Map, Value};
use uuid::{Uuid, uuid};

use super::draft::Draft;
use super::kind::EntityKind;

/// An entity as it is in Kong's log object: with defaults, without nulls (kong/pdk/log.lua).
///
/// `created_at`, `updated_at` and `ws_id` are there only if the file has them: Kong takes the first two from the clock.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The id: the one of the file, or the one that Kong derives.
    pub id: String,
    /// The members without `service` and `tags`, as JSON. Tags of a file are shared by its entities, however many both are.
    pub json: String,
}

/// Members of files that Kong does not store: entities inside the entity, shorthands, and notes.
const NOT_STORED: &[&str] = &[
    "url",
    "routes",
    "plugins",
    "service",
    "tags",
    "filter_chains",
    "degraphql_routes",
    "graphql_ratelimiting_advanced_cost_decoration",
    "_comment",
    "_ignore",
];

impl Stored {
    /// A route.
    pub(super) fn route(draft: &Draft, strip_path: bool) -> Self {
        let mut members = draft.all_values();
        members.entry("strip_path").or_insert(strip_path.into());
        Self::new(draft, members)
    }

    /// A service, whose `url` is `[protocol, host]`, `port` and `path`.
    pub(super) fn service(draft: &Draft, [protocol, host]: [&str; 2], port: u16, path: Option<&str>) -> Self {
        let mut members = draft.all_values();
        members.entry("enabled").or_insert(true.into());
        members.insert("protocol".to_owned(), protocol.into());
        members.insert("port".to_owned(), port.into());
        if !host.is_empty() {
            members.insert("host".to_owned(), host.into());
        }
        if let Some(path) = path {
            members.insert("path".to_owned(), path.into());
        }
        Self::new(draft, members)
    }

    fn new(draft: &Draft, mut members: Map<String, Value>) -> Self {
        members.retain(|name, value| !value.is_null() && !NOT_STORED.contains(&name.as_str()));
        let id = draft.stored_id();
        if draft.external {
            // Nothing else of it is known.
            members.retain(|name, _| draft.node.get(name).is_some());
        } else {
            members.insert("id".to_owned(), id.as_str().into());
        }
        Self { id, json: Value::Object(members).to_string() }
    }
}

impl Draft {
    /// The id that Kong gives the entity. Kong gives one with neither id nor name a random id; here it is derived from its
    /// place in the file, so that it stays the same.
    pub(crate) fn stored_id(&self) -> String {
        let key = self.name().unwrap_or(&self.path);
        self.id().unwrap_or_else(|| derived_id(self.kind, key).to_string())
    }
}

/// The namespace of the ids of entities in declarative files (kong/db/schema/others/declarative_config.lua).
const NAMESPACE: Uuid = uuid!("fd02801f-0957-4a15-a55a-c8d9606f30b5");

/// The id that Kong derives for an entity of a declarative file that has only a name.
pub fn derived_id(kind: EntityKind, name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&NAMESPACE, kind.name().as_bytes()), name.as_bytes())
}
