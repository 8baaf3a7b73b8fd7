//! Entities before they are validated.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::built::Built;
use super::kind::EntityKind;
use super::scope::EntityRef;
use super::tags::{SharedTags, Tags};
use logphase_config::diagnostic::{Diagnostic, FieldPath, Origin, Severity, codes};
use logphase_config::document::Node;
use logphase_config::schema;

/// The contents of a file or request, before validation.
#[derive(Debug, Default)]
pub struct Drafts {
    /// The entities. A parent comes before its children.
    pub entities: Vec<Draft>,
    /// Members of consumer groups (`consumer_group_consumers`), each with its path.
    pub memberships: Vec<(String, Node)>,
    /// Clones of plugins (`cloned_plugins`), each with its path.
    pub clones: Vec<(String, Node)>,
    /// Kinds of entities that may be in Kong alone: a reference to one that is not here is no error.
    pub external: BTreeSet<EntityKind>,
    /// Vaults (`vaults`), each with its path.
    pub vaults: Vec<(String, Node)>,
}

impl Drafts {
    /// Adds `more`.
    pub fn append(&mut self, more: Self) {
        let before = self.entities.len();
        let shifted = more.entities.into_iter().map(|mut draft| {
            draft.parent = draft.parent.map(|parent| parent + before);
            draft
        });
        self.entities.extend(shifted);
        self.memberships.extend(more.memberships);
        self.clones.extend(more.clones);
        self.external.extend(more.external);
        self.vaults.extend(more.vaults);
    }
}

/// The contents of a file, request or database, each entity validated.
#[derive(Debug, Default)]
pub struct Validated {
    /// The entities, as [`Drafts::entities`]. Those that were among the entities of another configuration are read again only
    /// if what they refer to has changed.
    pub entities: Vec<Arc<Draft>>,
    /// As [`Drafts::memberships`].
    pub memberships: Vec<(String, Node)>,
    /// As [`Drafts::clones`].
    pub clones: Vec<(String, Node)>,
    /// As [`Drafts::vaults`].
    pub vaults: Vec<(String, Node)>,
}

/// One entity, before it is validated and after.
#[derive(Debug)]
pub struct Draft {
    /// Its kind.
    pub kind: EntityKind,
    /// Its fields, as written.
    pub node: Arc<Node>,
    /// Its path in its document, like `services[0].plugins[1]`; empty for the body of a request.
    pub path: String,
    /// The entity that it is nested in, as an index of [`Drafts::entities`].
    pub parent: Option<usize>,
    /// Tags that its file adds.
    pub extra_tags: Arc<SharedTags>,
    /// Whether it is a plugin that is put on nothing: it is judged, and does not run.
    pub unplaced: bool,
    /// Whether only Kong has it: no more is known of it than its name or id.
    pub external: bool,
    /// The defaults of a plugin's `config` (decK's `_config`), or the error if they do not exist.
    pub shared_config: Option<Result<Node, Box<Diagnostic>>>,
    /// The valid fields and the defaults of the others; empty before validation.
    values: Map<String, Value>,
    /// Its id and its name, or the username of a consumer, which are asked for most.
    id: Option<Box<str>>,
    name: Option<Box<str>>,
    /// Whether Kong accepts each of its fields.
    sound: bool,
    /// Violations of rules about several fields, which matter only to the router.
    refusals: Vec<Diagnostic>,
    /// What the validation found.
    found: Vec<Diagnostic>,
    /// What it was in the last configuration that had it.
    pub(super) built: Built,
}

/// How complete an entity must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// It has everything that Kong requires.
    Full,
    /// It has what the log phase needs. Other fields of services and routes may be missing, and an invalid value of
    /// them is only a warning.
    LogPhase,
}

impl Draft {
    /// A draft without a parent.
    pub fn new(kind: EntityKind, node: Node, path: String) -> Self {
        Self {
            kind,
            node: Arc::new(node),
            path,
            parent: None,
            extra_tags: Arc::default(),
            unplaced: false,
            external: false,
            shared_config: None,
            values: Map::new(),
            id: None,
            name: None,
            sound: false,
            refusals: Vec::new(),
            found: Vec::new(),
            built: Built::default(),
        }
    }

    /// The same with its fields read.
    #[must_use]
    pub(crate) fn validated(mut self, completeness: Completeness) -> Self {
        self.found = self.validate(completeness);
        self.id = self.text("id").map(Box::from);
        self.name = self.text(self.kind.key()).map(Box::from);
        self
    }

    /// Forgets the values that are read from the node alone, where they are large: the `config` of a plugin.
    #[must_use]
    pub(crate) fn compact(mut self) -> Self {
        if self.kind == EntityKind::Plugins {
            self.values.shift_remove("config");
        }
        self
    }

    /// What the validation found: a diagnostic for each field that violates the schema.
    pub(super) fn found(&self) -> &[Diagnostic] {
        &self.found
    }

    fn validate(&mut self, completeness: Completeness) -> Vec<Diagnostic> {
        let scope = self.scope();
        let mut found = Vec::new();
        self.values = self.kind.schema().read(&self.node, &scope, &mut found);
        if self.kind == EntityKind::Services && self.node.get("url").is_some() {
            // `url` contains the host.
            found.retain(|diagnostic| diagnostic.code != codes::REQUIRED || !is_about(diagnostic, "host"));
        }
        let errors = found.iter().filter(|diagnostic| diagnostic.is_error()).count();
        if completeness == Completeness::LogPhase {
            found = found.into_iter().filter_map(|diagnostic| self.for_log_phase(diagnostic)).collect();
        }
        self.sound = errors == self.refusals.len();
        if self.is_anonymous() && (self.node.is_of_request() || found.is_empty()) {
            let message = "a consumer without `username` and `custom_id`".to_owned();
            let wording = "at least one of these fields must be non-empty: 'custom_id', 'username'";
            found.push(scope.error(codes::ENTITY_CHECK, message, wording));
        }
        found
    }

    /// Whether it is a consumer without a name. In a file, an id will do.
    fn is_anonymous(&self) -> bool {
        let names =
            if self.node.is_of_request() { &["username", "custom_id"][..] } else { &["id", "username", "custom_id"] };
        let is_empty = |node: &Node| node.is_null() || node.as_str() == Some("");
        self.kind == EntityKind::Consumers && names.iter().all(|name| self.node.get(name).is_none_or(is_empty))
    }

    /// Adapts a diagnostic to [`Completeness::LogPhase`]: `None` or a warning if the log phase does not use the field.
    fn for_log_phase(&mut self, mut diagnostic: Diagnostic) -> Option<Diagnostic> {
        let Some(path) = diagnostic.field.as_ref().map(|field| &field.path) else { return Some(diagnostic) };
        if !matches!(self.kind, EntityKind::Services | EntityKind::Routes) {
            return Some(diagnostic);
        }
        // Rules about several fields concern only fields that the log phase does not use itself.
        let several = diagnostic.code == codes::ENTITY_CHECK && path.segments().len() < 2;
        let Some(name) = path.top_level().filter(|_| !several) else {
            self.refusals.push(diagnostic);
            return None;
        };
        if LOG_PHASE_FIELDS.contains(&name) || self.kind.schema().field(name).is_none() {
            return Some(diagnostic);
        }
        if diagnostic.code == codes::REQUIRED && path.segments().len() == 1 {
            return None;
        }
        diagnostic.severity = Severity::Warning;
        let effect = match self.kind {
            EntityKind::Routes => "no transaction is given this route",
            _ => "the log phase does not use it",
        };
        diagnostic.help.get_or_insert_with(|| format!("Kong refuses this value; {effect}"));
        Some(diagnostic)
    }

    /// The value of a field, or its default if the field is absent or invalid.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        let given = self.values.get(name).cloned();
        given.or_else(|| self.kind.schema().field(name)?.default_value())
    }

    /// A string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()
    }

    /// A string or its default.
    pub(super) fn string(&self, name: &str) -> Option<String> {
        self.value(name)?.as_str().map(str::to_owned)
    }

    /// A boolean or its default.
    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        self.value(name)?.as_bool()
    }

    /// An integer or its default; `None` if `T` cannot hold it, which the checks of the schema exclude.
    pub(super) fn integer<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        T::try_from(self.value(name)?.as_i64()?).ok()
    }

    /// The elements of a list; empty if there is no list.
    pub(super) fn list(&self, name: &str) -> Vec<Value> {
        match self.value(name) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        }
    }

    /// The strings of a list, parsed. The schema has checked that they parse.
    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Vec<T> {
        self.list(name).iter().filter_map(|item| item.as_str()?.parse().ok()).collect()
    }

    /// The id.
    pub(super) fn id(&self) -> Option<String> {
        self.id.as_deref().map(str::to_owned)
    }

    /// The id, as the draft has it.
    pub(super) fn id_text(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The name, or the username of a consumer.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its own tags and those that its file adds.
    pub(super) fn tags(&self) -> Tags {
        let own = self.values.get("tags").and_then(Value::as_array);
        let own = own.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        Tags::new(own.collect(), self.extra_tags.clone())
    }

    /// The place of the entity for diagnostics: its name, otherwise its id, otherwise all of it.
    pub(crate) fn origin(&self) -> Origin {
        let named = self.node.get(self.kind.key()).or_else(|| self.node.get("id"));
        named.unwrap_or(&self.node).origin()
    }

    /// The place of a field for diagnostics; that of the entity if the field is absent.
    pub(super) fn field_origin(&self, name: &str) -> Origin {
        self.node.get(name).map_or_else(|| self.origin(), Node::origin)
    }

    /// The path of a member in the document.
    pub(super) fn member_path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A reference to the entity. A route or service with neither id nor name is known by the id that the router gives it.
    pub(super) fn entity_ref(&self) -> EntityRef {
        let name = self.name().map(str::to_owned);
        let routed = matches!(self.kind, EntityKind::Routes | EntityKind::Services);
        EntityRef { id: self.id().or_else(|| (routed && name.is_none()).then(|| self.stored_id())), name }
    }

    /// Whether Kong accepts each of its fields.
    pub(super) fn is_sound(&self) -> bool {
        self.sound
    }

    /// Violations of rules about several fields, which the log phase does not report.
    pub(super) fn refusals(&self) -> Vec<Diagnostic> {
        self.refusals.clone()
    }

    /// The fields, each with its valid value or default.
    pub(super) fn all_values(&self) -> Map<String, Value> {
        let fields = self.kind.schema().fields.iter();
        fields.filter_map(|field| Some((field.name.to_owned(), self.value(field.name)?))).collect()
    }

    /// The scope of diagnostics about its fields.
    pub(super) fn scope(&self) -> schema::Scope {
        let name = self.node.get(self.kind.key()).and_then(Node::as_str);
        let subject = match name {
            Some(name) => format!("{} `{name}`", self.kind.word()),
            None if self.kind == EntityKind::Apis => "an api".to_owned(),
            None => format!("a {}", self.kind.word()),
        };
        let kong = Some(FieldPath::default());
        schema::Scope { subject, path: self.path.clone(), kong, origin: self.origin() }
    }
}

/// Reads an entity of a request by all of Kong's rules: its valid fields, with defaults, and what is wrong with it.
pub(crate) fn read_request(kind: EntityKind, body: &Value) -> (Map<String, Value>, Vec<Diagnostic>) {
    let draft = Draft::new(kind, Node::from_request(body), String::new()).validated(Completeness::Full);
    (draft.all_values(), draft.found)
}

/// Whether `diagnostic` is about the top-level field `name`.
fn is_about(diagnostic: &Diagnostic, name: &str) -> bool {
    diagnostic.field.as_ref().is_some_and(|field| field.path == FieldPath::from(name))
}

/// Fields of services and routes that the log phase uses: an invalid value is an error.
pub(crate) const LOG_PHASE_FIELDS: &[&str] = &["id", "name", "tags", "enabled", "protocols"];
