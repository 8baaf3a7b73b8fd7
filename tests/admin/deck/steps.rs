//! The requests that decK makes, in its order, and what it needs of the answers (github.com/Kong/go-database-reconciler, pkg/dump,
//! pkg/diff and pkg/types; github.com/Kong/go-kong).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::defaults;
use crate::admin::send;

/// A kind of entities: its path, when it is written, what names an entity of it in a file, and what it refers to.
pub struct Kind {
    pub name: &'static str,
    level: usize,
    named_by: &'static [&'static str],
    refers_to: &'static [(&'static str, &'static str)],
    /// Answers to a list that mean that there are no such entities.
    absent: &'static [u16],
}

const fn kind(name: &'static str, level: usize, named_by: &'static [&'static str]) -> Kind {
    Kind { name, level, named_by, refers_to: &[], absent: &[] }
}

/// What decK manages here, by level: a level is written after those before it, and deleted before them. `members` are the consumers of
/// groups, which are no entities of their own.
pub const KINDS: &[Kind] = &[
    kind("certificates", 0, &["cert", "key"]),
    kind("ca_certificates", 0, &["cert"]),
    kind("consumers", 0, &["username"]),
    Kind { absent: &[403, 404], ..kind("vaults", 0, &["prefix"]) },
    Kind { absent: &[403, 404], ..kind("consumer_groups", 1, &["name"]) },
    Kind { refers_to: &[("certificate", "certificates")], ..kind("snis", 1, &["name"]) },
    kind("services", 1, &["name"]),
    kind("upstreams", 1, &["name"]),
    Kind { absent: &[404], refers_to: &[("consumer", "consumers")], ..kind("acls", 1, &["consumer", "group"]) },
    Kind { refers_to: &[("service", "services")], ..kind("routes", 2, &["name"]) },
    Kind { refers_to: &[("upstream", "upstreams")], ..kind("targets", 2, &["upstream", "target"]) },
    Kind {
        refers_to: &[("consumer_group", "consumer_groups"), ("consumer", "consumers")],
        ..kind("members", 2, &["consumer_group", "consumer"])
    },
    Kind {
        refers_to: &[
            ("service", "services"),
            ("route", "routes"),
            ("consumer", "consumers"),
            ("consumer_group", "consumer_groups"),
        ],
        ..kind("plugins", 3, &["name", "service", "route", "consumer", "consumer_group"])
    },
];

/// What decK asks for besides, and what it takes for none.
const ASKED_FOR: &[(&str, &[u16])] = &[
    ("key-auths", &[404]),
    ("hmac-auths", &[404]),
    ("jwts", &[404]),
    ("basic-auths", &[404]),
    ("oauth2", &[404]),
    ("mtls-auths", &[404]),
    ("keys", &[403, 404]),
    ("key-sets", &[403, 404]),
    ("partials", &[403, 404]),
    ("filter-chains", &[400, 404]),
];

/// The kinds whose defaults decK asks for.
const WITH_DEFAULTS: &[&str] = &["services", "routes", "upstreams", "targets"];

/// How many requests are sent at the same time.
const PARALLEL: usize = 10;

/// Entities by kind and id.
pub type State = BTreeMap<&'static str, BTreeMap<String, Map<String, Value>>>;

/// The entities of a file, each with its kind. References have the name of what they refer to.
pub type File = Vec<(&'static str, Value)>;

/// A change that `diff` shows and `sync` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Create,
    Update,
    Delete,
}

type Change<'a> = (Action, &'static Kind, &'a Map<String, Value>);

/// decK, about to talk to an Admin API.
pub struct Deck {
    port: u16,
    headers: String,
    /// What `select-tag` says.
    tags: Option<&'static str>,
    defaults: BTreeMap<&'static str, Map<String, Value>>,
    plugins: BTreeMap<String, Value>,
}

impl Deck {
    /// Pings the Admin API, and reads the schemas.
    pub fn new(port: u16, token: &str) -> Self {
        let headers = format!("Kong-Admin-Token: {token}\r\nContent-Type: application/json\r\n");
        let mut deck = Self { port, headers, tags: None, defaults: BTreeMap::new(), plugins: BTreeMap::new() };
        let root = deck.must("GET", "/", None, 200);
        let version: Vec<u32> =
            root["version"].as_str().unwrap().split('.').map(|part| part.parse().unwrap()).collect();
        assert!(version >= vec![3, 0], "{version:?}: decK would take it for an older Kong");
        for kind in WITH_DEFAULTS {
            let schema = deck.must("GET", &format!("/schemas/{kind}"), None, 200);
            deck.defaults.insert(kind, defaults::of_entity(&schema));
        }
        assert_eq!(deck.ask("GET", "/schemas/consumer_group_plugins", None).0, 404);
        for name in root["plugins"]["available_on_server"].as_object().unwrap().keys() {
            let schema = deck.must("GET", &format!("/schemas/plugins/{name}"), None, 200);
            deck.plugins.insert(name.clone(), schema);
        }
        deck
    }

    /// The same for files that have the plugin `name`, too, which runs in Kong alone.
    pub fn knowing(mut self, name: &str) -> Self {
        let schema = self.must("GET", &format!("/schemas/plugins/{name}"), None, 200);
        self.plugins.insert(name.to_owned(), schema);
        self
    }

    /// The same for entities with a tag alone.
    pub fn selecting(self, tag: &'static str) -> Self {
        Self { tags: Some(tag), ..self }
    }

    /// The plugins, each with its schema.
    pub fn plugins(&self) -> &BTreeMap<String, Value> {
        &self.plugins
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = send(self.port, method, path, &self.headers, body.as_bytes()).unwrap();
        let value = if answer.body.is_empty() { Value::Null } else { answer.json() };
        (answer.status, value)
    }

    #[track_caller]
    fn must(&self, method: &str, path: &str, body: Option<&Value>, status: u16) -> Value {
        let (found, answer) = self.ask(method, path, body);
        assert_eq!(found, status, "{method} {path}: {answer}\n{}", body.unwrap_or(&Value::Null));
        answer
    }

    /// All entities of a list. decK follows `offset`, and not `next`.
    fn list(&self, path: &str, absent: &[u16]) -> Vec<Value> {
        let mut all = Vec::new();
        let mut offset = String::new();
        loop {
            let tags = self.tags.map(|tag| format!("&tags={tag}")).unwrap_or_default();
            let (status, answer) = self.ask("GET", &format!("/{path}?{offset}size=1000{tags}"), None);
            if absent.contains(&status) {
                return Vec::new();
            }
            assert_eq!(status, 200, "/{path}: {answer}");
            all.extend(answer["data"].as_array().unwrap().iter().cloned());
            match answer["offset"].as_str() {
                Some(next) => offset = format!("offset={next}&"),
                None => return all,
            }
        }
    }

    /// Reads everything.
    pub fn read(&self) -> State {
        let mut state = State::new();
        for kind in KINDS.iter().filter(|kind| !matches!(kind.name, "targets" | "members")) {
            put(&mut state, kind.name, self.list(kind.name, kind.absent));
        }
        for (path, absent) in ASKED_FOR {
            assert_eq!(self.list(path, absent), Vec::<Value>::new(), "{path}");
        }
        for id in ids(&state, "upstreams") {
            let targets = self.list(&format!("upstreams/{id}/targets"), &[]);
            put(&mut state, "targets", targets);
        }
        let groups: Vec<Value> = state["consumer_groups"].values().map(|group| group["name"].clone()).collect();
        for name in groups {
            // A group is read again, for its consumers.
            let answer = self.must("GET", &format!("/consumer_groups/{}", name.as_str().unwrap()), None, 200);
            let group = &answer["consumer_group"]["id"];
            let members = answer["consumers"].as_array().unwrap().iter();
            let member = |consumer: &Value| {
                let id = format!("{group}{}", consumer["id"]);
                json!({"id": id, "consumer_group": {"id": group}, "consumer": {"id": consumer["id"]}})
            };
            put(&mut state, "members", members.map(member).collect());
        }
        state
    }

    /// The entities of `file` as they should become: with the ids of those that are there, references by id, and defaults.
    pub fn target(&self, file: &File, current: &State) -> State {
        let mut target = State::new();
        for kind in KINDS {
            let there: BTreeMap<String, &String> =
                current.get(kind.name).into_iter().flatten().map(|(id, entity)| (identity(kind, entity), id)).collect();
            let entities = file.iter().filter(|(name, _)| *name == kind.name).map(|(_, entity)| {
                let mut entity = entity.as_object().unwrap().clone();
                for (field, of) in kind.refers_to {
                    let Some(Value::Object(wanted)) = entity.get(*field) else { continue };
                    let (name, value) = wanted.iter().next().unwrap();
                    let found = target[of].iter().find(|(_, other)| &other[name] == value);
                    let id = found.unwrap_or_else(|| panic!("no {of} {value}")).0;
                    entity.insert((*field).to_owned(), json!({ "id": id }));
                }
                let id =
                    there.get(&identity(kind, &entity)).map_or_else(|| Uuid::new_v4().to_string(), |id| (*id).clone());
                entity.entry("id").or_insert(id.into());
                if let Some(defaults) = self.defaults.get(kind.name) {
                    defaults::fill(&mut entity, defaults);
                }
                Value::Object(entity)
            });
            let entities = entities.collect();
            put(&mut target, kind.name, entities);
        }
        target
    }

    /// The changes that lead from `current` to `target`.
    pub fn diff<'a>(&self, target: &'a State, current: &'a State) -> Vec<Change<'a>> {
        let mut changes = Vec::new();
        for kind in KINDS {
            let there: BTreeMap<String, &Map<String, Value>> =
                all(current, kind).map(|entity| (identity(kind, entity), entity)).collect();
            let wanted: BTreeMap<String, &Map<String, Value>> =
                all(target, kind).map(|entity| (identity(kind, entity), entity)).collect();
            for (identity, entity) in &wanted {
                match there.get(identity) {
                    None => changes.push((Action::Create, kind, *entity)),
                    // It is deleted first: a plugin of another id takes its place.
                    Some(other) if other["id"] != entity["id"] && kind.name != "members" => {
                        changes.push((Action::Delete, kind, *other));
                        changes.push((Action::Create, kind, *entity));
                    }
                    Some(other) if !self.is_same(kind, entity, other) => changes.push((Action::Update, kind, *entity)),
                    Some(_) => {}
                }
            }
            let gone = there.iter().filter(|(identity, _)| !wanted.contains_key(*identity));
            changes.extend(gone.map(|(_, entity)| (Action::Delete, kind, *entity)));
        }
        changes
    }

    fn is_same(&self, kind: &Kind, wanted: &Map<String, Value>, current: &Map<String, Value>) -> bool {
        self.compared(kind, wanted, current).0 == self.compared(kind, wanted, current).1
    }

    /// Both entities in the form in which decK compares them: without times, and members that are null left out.
    fn compared(&self, kind: &Kind, wanted: &Map<String, Value>, current: &Map<String, Value>) -> (Value, Value) {
        let (mut wanted, mut current) = (wanted.clone(), current.clone());
        let schema = self.plugins.get(wanted.get("name").and_then(Value::as_str).unwrap_or_default());
        let schema = schema.filter(|_| kind.name == "plugins");
        let config = schema.map_or(&Value::Null, defaults::config_of);
        if let Some(schema) = schema {
            self.fill_plugin(schema, &mut wanted);
            let (wanted, current) =
                (wanted["config"].as_object_mut().unwrap(), current["config"].as_object_mut().unwrap());
            defaults::clear_old_fields(config, wanted, current);
        }
        let form = |mut entity: Map<String, Value>| {
            // SNIs of a certificate are entities of their own; times are the server's.
            entity.retain(|name, value| {
                !value.is_null() && !matches!(&**name, "created_at" | "updated_at" | "cert_digest")
            });
            if kind.name == "certificates" || entity.get("tags") == Some(&json!([])) {
                entity.retain(|name, _| !matches!(&**name, "snis" | "tags"));
            }
            let config_of = |name: &str| if name == "config" { config } else { &Value::Null };
            if kind.name != "plugins" {
                entity.values_mut().for_each(without_nulls);
            }
            let members =
                entity.iter().map(|(name, value)| (name.clone(), defaults::comparable(config_of(name), value)));
            Value::Object(members.collect())
        };
        (form(wanted), form(current))
    }

    /// Fills the defaults of `schema` into a plugin.
    fn fill_plugin(&self, schema: &Value, plugin: &mut Map<String, Value>) {
        let config = plugin.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        let config = defaults::of_config(defaults::config_of(schema), &config, &[]);
        plugin.insert("config".to_owned(), Value::Object(config));
        plugin.entry("enabled").or_insert(true.into());
        plugin.entry("protocols").or_insert_with(|| defaults::default_of(schema, "protocols"));
    }

    /// What `diff` prints: nothing after a `sync` of the same file.
    pub fn differences(&self, file: &File) -> Vec<String> {
        let current = self.read();
        let target = self.target(file, &current);
        let shown = |(action, kind, entity): &Change<'_>| {
            let other = current.get(kind.name).and_then(|all| all.get(entity["id"].as_str().unwrap()));
            let (wanted, found) = self.compared(kind, entity, other.unwrap_or(entity));
            format!("{action:?} {}\n  wanted {wanted}\n  found  {found}", kind.name)
        };
        self.diff(&target, &current).iter().map(shown).collect()
    }

    /// Makes the Admin API's entities those of `file`. Returns how many were created, changed and deleted.
    pub fn sync(&self, file: &File) -> [usize; 3] {
        let current = self.read();
        let target = self.target(file, &current);
        let changes = self.diff(&target, &current);
        let of = |action: &dyn Fn(Action) -> bool, level: usize| -> Vec<Change<'_>> {
            changes.iter().filter(|change| action(change.0) && change.1.level == level).copied().collect()
        };
        // Plugins that others replace are gone before those are there.
        let replaced = |change: &&Change<'_>| {
            change.0 == Action::Delete && changes.iter().any(|other| is_replacement(other, change))
        };
        self.make(&changes.iter().filter(replaced).copied().collect::<Vec<_>>());
        for level in 0..4 {
            self.make(&of(&|action| action != Action::Delete, level));
        }
        for level in (0..4).rev() {
            self.make(&of(&|action| action == Action::Delete, level));
        }
        [Action::Create, Action::Update, Action::Delete]
            .map(|action| changes.iter().filter(|one| one.0 == action).count())
    }

    /// Makes `changes`, ten at a time.
    fn make(&self, changes: &[Change<'_>]) {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..PARALLEL {
                scope.spawn(|| {
                    while let Some(change) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.change(*change);
                    }
                });
            }
        });
    }

    fn change(&self, (action, kind, entity): Change<'_>) {
        let id = entity["id"].as_str().unwrap();
        let of = |field: &str| entity[field]["id"].as_str().unwrap().to_owned();
        let path = match kind.name {
            "targets" => format!("/upstreams/{}/targets", of("upstream")),
            "acls" => format!("/consumers/{}/acls", of("consumer")),
            "members" => format!("/consumer_groups/{}/consumers", of("consumer_group")),
            name => format!("/{name}"),
        };
        let one = format!("{path}/{}", if kind.name == "members" { of("consumer") } else { id.to_owned() });
        // Nulls are left out, but for those in the `config` of a plugin.
        let mut body = entity.clone();
        body.retain(|_, value| !value.is_null());
        let body = Value::Object(body);
        match (action, kind.name) {
            (Action::Delete, _) => drop(self.must("DELETE", &one, None, 204)),
            (_, "members") => drop(self.must("POST", &path, Some(&json!({"consumer": of("consumer")})), 201)),
            (Action::Update, "targets" | "consumer_groups") => drop(self.must("PATCH", &one, Some(&body), 200)),
            (Action::Create, "targets") => {
                assert_eq!(self.ask("PUT", &one, Some(&body)).0, 404, "Kong has no new target by PUT");
                let made = self.must("POST", &path, Some(&body), 201);
                assert_eq!(made["id"], id);
            }
            _ => {
                let made = self.must("PUT", &one, Some(&body), 200);
                assert_eq!(made["id"], id, "{one}");
            }
        }
    }

    /// The file that `dump` writes: without ids and times, references by name.
    pub fn dump(&self) -> File {
        self.portable(&self.read())
    }

    /// The entities of `state` as a file, with the defaults of plugins.
    pub fn portable(&self, state: &State) -> File {
        let of_kind =
            |kind: &'static Kind| all(state, kind).map(|entity| (kind.name, self.portable_entity(kind, state, entity)));
        KINDS.iter().flat_map(of_kind).collect()
    }

    fn portable_entity(&self, kind: &Kind, state: &State, entity: &Map<String, Value>) -> Value {
        let mut entity = entity.clone();
        entity.retain(|name, value| {
            !value.is_null() && !matches!(&**name, "id" | "created_at" | "updated_at" | "cert_digest" | "snis")
                || name == "config"
        });
        for (field, of) in kind.refers_to {
            let Some(id) = entity.get(*field).and_then(|value| value["id"].as_str()) else { continue };
            let named_by = KINDS.iter().find(|kind| kind.name == *of).unwrap().named_by[0];
            let name = state[of][id][named_by].clone();
            entity.insert((*field).to_owned(), json!({ named_by: name }));
        }
        if let Some(schema) = self.plugins.get(entity.get("name").and_then(Value::as_str).unwrap_or_default())
            && kind.name == "plugins"
        {
            self.fill_plugin(schema, &mut entity);
        }
        let mut entity = Value::Object(entity);
        if kind.name != "plugins" {
            without_nulls(&mut entity);
        }
        entity
    }

    /// Validates every entity of `file` online. Returns the messages of those that are refused.
    pub fn validate(&self, file: &File) -> Vec<String> {
        let target = self.target(file, &State::new());
        let mut refused = Vec::new();
        for kind in KINDS.iter().filter(|kind| kind.name != "members") {
            for entity in all(&target, kind) {
                let mut body = entity.clone();
                body.retain(|_, value| !value.is_null());
                let path = format!("/schemas/{}/validate", kind.name);
                let (status, answer) = self.ask("POST", &path, Some(&Value::Object(body)));
                if status != 200 {
                    assert_eq!(status, 400, "{path}: {answer}");
                    refused.push(answer["message"].as_str().unwrap().to_owned());
                }
            }
        }
        refused
    }
}

fn is_replacement(new: &Change<'_>, old: &Change<'_>) -> bool {
    new.0 == Action::Create && new.1.name == old.1.name && identity(new.1, new.2) == identity(old.1, old.2)
}

/// Leaves out what is null: a member that an object of Go does not have.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(without_nulls);
        }
        _ => {}
    }
}

/// What makes an entity of a file the one that is there.
fn identity(kind: &Kind, entity: &Map<String, Value>) -> String {
    let part = |name: &&str| {
        let value = entity.get(*name).unwrap_or(&Value::Null);
        value.get("id").unwrap_or(value).to_string()
    };
    kind.named_by.iter().map(part).collect::<Vec<_>>().join(" ")
}

fn all<'a>(state: &'a State, kind: &Kind) -> impl Iterator<Item = &'a Map<String, Value>> + use<'a> {
    state.get(kind.name).into_iter().flat_map(BTreeMap::values)
}

fn ids(state: &State, kind: &str) -> Vec<String> {
    state.get(kind).into_iter().flat_map(BTreeMap::keys).cloned().collect()
}

fn put(state: &mut State, kind: &'static str, entities: Vec<Value>) {
    let by_id = entities.into_iter().map(|entity| {
        let Value::Object(members) = entity else { panic!("no object: {entity}") };
        (members["id"].as_str().unwrap().to_owned(), members)
    });
    state.entry(kind).or_default().extend(by_id);
}
