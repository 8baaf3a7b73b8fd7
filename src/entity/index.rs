//! References from one entity to another, by name or id.

use std::collections::{BTreeSet, HashMap};

use super::draft::Draft;
use super::kind::EntityKind;
use super::scope::EntityRef;
use logphase_config::diagnostic::{Diagnostic, Suggestions, codes};
use logphase_config::document::Node;
use logphase_config::schema::is_uuid;

/// Entities by name and id, as indices into the drafts.
pub(super) struct Index {
    by_key: HashMap<(EntityKind, String), usize>,
    names: HashMap<EntityKind, Vec<String>>,
    suggestions: Suggestions,
}

impl Index {
    pub(super) fn new(drafts: &[Draft]) -> Self {
        let (mut by_key, mut names) = (HashMap::new(), HashMap::<_, Vec<String>>::new());
        for (at, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.kind != EntityKind::Plugins) {
            // An id takes precedence over an equal name of another entity.
            if let Some(name) = draft.name() {
                by_key.entry((draft.kind, name.to_owned())).or_insert(at);
                names.entry(draft.kind).or_default().push(name.to_owned());
            }
            if let Some(id) = draft.text("id") {
                by_key.insert((draft.kind, id.to_ascii_lowercase()), at);
            }
        }
        Self { by_key, names, suggestions: Suggestions::default() }
    }

    fn find(&self, kind: EntityKind, key: &str) -> Option<usize> {
        let found = |key: String| self.by_key.get(&(kind, key)).copied();
        found(key.to_owned()).or_else(|| found(key.to_ascii_lowercase()).filter(|_| is_uuid(key)))
    }

    /// The entity that `node` refers to: a name, an id, or a mapping with one of them. Null refers to nothing.
    pub(super) fn resolve(
        &self,
        kind: EntityKind,
        node: &Node,
        path: &str,
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
            let wording = format!("expected the name or id of a {}", kind.word());
            let diagnostic = Diagnostic::error(codes::REFERENCE, format!("`{path}` refers to nothing"));
            diagnostics.push(diagnostic.at(node.origin()).label(wording).path(path));
            return None;
        };
        let found = self.find(kind, key);
        if found.is_none() {
            let (word, list) = (kind.word(), kind.name());
            let names = self.names.get(&kind).into_iter().flatten().map(String::as_str);
            let singular = kind.singular();
            let diagnostic = Diagnostic::error(codes::REFERENCE, format!("there is no {word} `{key}`"))
                .at(target.origin())
                .label(format!("not in `{list}`"))
                .path(path)
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
        drafts: &[Draft],
        at: usize,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<EntityRef> {
        let route = &drafts[at];
        let found = match route.node.get("service") {
            Some(node) => self.resolve(EntityKind::Services, node, &route.member_path("service"), diagnostics),
            None => route.parent.filter(|parent| drafts[*parent].kind == EntityKind::Services),
        };
        Some(drafts[found?].entity_ref())
    }

    /// The groups of each consumer: from consumers' `groups`, groups' `consumers`, and `flat`, the list of memberships.
    pub(super) fn memberships(
        &self,
        drafts: &[Draft],
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
                self.resolve(kind, target, &format!("{path}.{}", kind.singular()), diagnostics)
            };
            if let (Some(consumer), Some(group)) = (side(EntityKind::Consumers), side(EntityKind::ConsumerGroups)) {
                join(&mut memberships, &keys(&drafts[consumer]), drafts[group].name().unwrap_or_default());
            }
        }
        memberships
    }

    fn groups_of_consumer(
        &self,
        drafts: &[Draft],
        consumer: &Draft,
        memberships: &mut HashMap<String, BTreeSet<String>>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        for (at, group) in consumer.node.get("groups").and_then(Node::items).into_iter().flatten().enumerate() {
            let path = consumer.member_path(&format!("groups[{at}]"));
            if let Some(group) = self.resolve(EntityKind::ConsumerGroups, group, &path, diagnostics) {
                join(memberships, &keys(consumer), drafts[group].name().unwrap_or_default());
            }
        }
    }

    /// Adds the consumers of a group. They may be consumers that only Kong knows.
    fn consumers_of_group(&self, drafts: &[Draft], group: &Draft, memberships: &mut HashMap<String, BTreeSet<String>>) {
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

/// The id and username of a consumer, if it has them.
fn keys(consumer: &Draft) -> [Option<&str>; 2] {
    [consumer.text("id"), consumer.name()]
}

fn join(memberships: &mut HashMap<String, BTreeSet<String>>, consumer: &[Option<&str>], group: &str) {
    for key in consumer.iter().flatten() {
        memberships.entry((*key).to_owned()).or_default().insert(group.to_owned());
    }
}
