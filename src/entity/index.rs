//! References from one entity to another, by name or id.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::draft::Draft;
use super::kind::EntityKind;
use super::scope::EntityRef;
use logphase_config::diagnostic::{Diagnostic, Suggestions, codes};
use logphase_config::document::Node;
use logphase_config::schema::is_uuid;

/// Entities by name and id, as indices into the drafts.
pub(super) struct Index<'a> {
    by_key: HashMap<(EntityKind, Cow<'a, str>), usize, RandomState>,
    drafts: &'a [Arc<Draft>],
    suggestions: Suggestions,
}

impl<'a> Index<'a> {
    pub(super) fn new(drafts: &'a [Arc<Draft>]) -> Self {
        let mut by_key = HashMap::with_capacity_and_hasher(2 * drafts.len(), RandomState::default());
        for (at, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.kind != EntityKind::Plugins) {
            // An id takes precedence over an equal name of another entity.
            if let Some(name) = draft.name() {
                by_key.entry((draft.kind, Cow::Borrowed(name))).or_insert(at);
            }
            if let Some(id) = draft.id_text() {
                by_key.insert((draft.kind, lowercase(id)), at);
            }
        }
        Self { by_key, drafts, suggestions: Suggestions::default() }
    }

    fn find(&self, kind: EntityKind, key: &str) -> Option<usize> {
        let found = |key: Cow<'_, str>| self.by_key.get(&(kind, key)).copied();
        found(Cow::Borrowed(key)).or_else(|| found(lowercase(key)).filter(|_| is_uuid(key)))
    }

    /// The names of the entities of `kind`.
    fn names(&self, kind: EntityKind) -> impl Iterator<Item = &'a str> {
        self.drafts.iter().filter(move |draft| draft.kind == kind).filter_map(|draft| draft.name())
    }

    /// The entity that `node` refers to: a name, an id, or a mapping with one of them. Null refers to nothing.
    pub(super) fn resolve(
        &self,
        kind: EntityKind,
        node: &Node,
        path: impl Fn() -> String,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<usize> {
        if node.is_null() {
            return None;
        }
        let target = match node.entries() {
            Some(_) => ["id", kind.key(), "name"].iter().find_map(|key| node.get(key)),
            None => Some(node),
        };
        let Some((target, key)) = target.and_then(|target| Some((target, target.as_str()?))) else {
            let (wording, path) = (format!("expected the name or id of a {}", kind.word()), path());
            let diagnostic = Diagnostic::error(codes::REFERENCE, format!("`{path}` refers to nothing"));
            diagnostics.push(diagnostic.at(node.origin()).label(wording).path(path));
            return None;
        };
        let found = self.find(kind, key);
        if found.is_none() {
            let (word, list, path) = (kind.word(), kind.name(), path());
            let names = self.names(kind);
            let singular = kind.singular();
            let diagnostic = Diagnostic::error(codes::REFERENCE, format!("there is no {word} `{key}`"))
                .at(target.origin())
                .label(format!("not in `{list}`"))
                .path(path.clone())
                .kong(format!("invalid reference '{singular}: {key}' (no such entry in '{list}')"));
            let diagnostic = match self.suggestions.find(key, names) {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None if kind == EntityKind::Certificates || path.is_empty() => diagnostic,
                None => diagnostic.help(format!(
                    "if another file of the same set has it, give both files; if only Kong has it, name `{list}` in \
                     `_info.default_lookup_tags`"
                )),
            };
            diagnostics.push(diagnostic);
        }
        found
    }

    /// The service of the route at `at`: the one that it refers to, otherwise the one that it is nested in.
    pub(super) fn service_of(
        &self,
        drafts: &[Arc<Draft>],
        at: usize,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<EntityRef> {
        let route = &drafts[at];
        let found = match route.node.get("service") {
            Some(node) => self.resolve(EntityKind::Services, node, || route.member_path("service"), diagnostics),
            None => route.parent.filter(|parent| drafts[*parent].kind == EntityKind::Services),
        };
        Some(drafts[found?].entity_ref())
    }

    /// The groups of each consumer: from consumers' `groups`, groups' `consumers`, and `flat`, the list of memberships.
    pub(super) fn memberships(
        &self,
        drafts: &[Arc<Draft>],
        flat: &[(String, Node)],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> HashMap<String, BTreeSet<String>> {
        let mut memberships = HashMap::new();
        for draft in drafts {
            match draft.kind {
                EntityKind::Consumers => self.groups_of_consumer(drafts, draft, &mut memberships, diagnostics),
                EntityKind::ConsumerGroups => self.consumers_of_group(drafts, draft, &mut memberships),
                _ => {}
            }
        }
        for (path, node) in flat {
            let mut side = |kind: EntityKind| {
                let target = node.get(kind.singular())?;
                self.resolve(kind, target, || format!("{path}.{}", kind.singular()), diagnostics)
            };
            if let (Some(consumer), Some(group)) = (side(EntityKind::Consumers), side(EntityKind::ConsumerGroups)) {
                join(&mut memberships, &keys(&drafts[consumer]), drafts[group].name().unwrap_or_default());
            }
        }
        memberships
    }

    fn groups_of_consumer(
        &self,
        drafts: &[Arc<Draft>],
        consumer: &Draft,
        memberships: &mut HashMap<String, BTreeSet<String>>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        for (at, group) in consumer.node.get("groups").and_then(Node::items).into_iter().flatten().enumerate() {
            let path = || consumer.member_path(&format!("groups[{at}]"));
            if let Some(group) = self.resolve(EntityKind::ConsumerGroups, group, path, diagnostics) {
                join(memberships, &keys(consumer), drafts[group].name().unwrap_or_default());
            }
        }
    }

    /// Adds the consumers of a group. They may be consumers that only Kong knows.
    fn consumers_of_group(
        &self,
        drafts: &[Arc<Draft>],
        group: &Draft,
        memberships: &mut HashMap<String, BTreeSet<String>>,
    ) {
        let name = group.name().unwrap_or_default();
        for consumer in group.node.get("consumers").and_then(Node::items).into_iter().flatten() {
            let references = [Some(consumer), consumer.get("username"), consumer.get("id")];
            for key in references.into_iter().flatten().filter_map(Node::as_str) {
                let known = self.find(EntityKind::Consumers, key).map_or([None, None], |at| keys(&drafts[at]));
                join(memberships, &[Some(key), known[0], known[1]], name);
            }
        }
    }
}

/// `text` in lower case.
fn lowercase(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() }
}

/// The id and username of a consumer, if it has them.
fn keys(consumer: &Draft) -> [Option<&str>; 2] {
    [consumer.id_text(), consumer.name()]
}

fn join(memberships: &mut HashMap<String, BTreeSet<String>>, consumer: &[Option<&str>], group: &str) {
    for key in consumer.iter().flatten() {
        memberships.entry((*key).to_owned()).or_default().insert(group.to_owned());
    }
}
