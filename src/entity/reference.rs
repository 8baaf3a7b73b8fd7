//! References from one entity to another, by name or id.

use std::collections::{BTreeSet, HashMap};

use super::EntityRef;
use super::collection::Collection;
use super::read::Item;
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_config::document::Node;

/// Entities by name and id.
pub(super) struct Index {
    by_key: HashMap<(Collection, String), usize>,
    names: HashMap<Collection, Vec<String>>,
}

impl Index {
    pub(super) fn new(items: &[Item]) -> Self {
        let (mut by_key, mut names) = (HashMap::new(), HashMap::<_, Vec<String>>::new());
        for (at, item) in items.iter().enumerate().filter(|(_, item)| item.collection != Collection::Plugins) {
            // A name that is another one's id loses against it.
            if let Some(name) = item.name() {
                by_key.entry((item.collection, name.to_owned())).or_insert(at);
                names.entry(item.collection).or_default().push(name.to_owned());
            }
            if let Some(id) = item.text("id") {
                by_key.insert((item.collection, id.to_ascii_lowercase()), at);
            }
        }
        Self { by_key, names }
    }

    fn find(&self, collection: Collection, key: &str) -> Option<usize> {
        let found = |key: String| self.by_key.get(&(collection, key)).copied();
        found(key.to_owned())
            .or_else(|| found(key.to_ascii_lowercase()).filter(|_| logphase_config::schema::is_uuid(key)))
    }

    /// The entity that `node` refers to: a name, an id, or a mapping with one of them. Null refers to nothing.
    pub(super) fn resolve(
        &self,
        collection: Collection,
        node: &Node,
        path: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<usize> {
        if node.is_null() {
            return None;
        }
        let target = match node.entries() {
            Some(_) => ["id", collection.key(), "name"].iter().find_map(|key| node.get(key)),
            None => Some(node),
        };
        let Some((target, key)) = target.and_then(|target| Some((target, target.as_str()?))) else {
            let wording = format!("expected the name or id of a {}", collection.word());
            let diagnostic = Diagnostic::error(codes::REFERENCE, format!("`{path}` refers to nothing"));
            diagnostics.push(diagnostic.at(node.place()).label(wording).path(path));
            return None;
        };
        let found = self.find(collection, key);
        if found.is_none() {
            let (word, list) = (collection.word(), collection.name());
            let names = self.names.get(&collection).into_iter().flatten().map(String::as_str);
            let singular = collection.singular();
            let diagnostic = Diagnostic::error(codes::REFERENCE, format!("there is no {word} `{key}`"))
                .at(target.place())
                .label(format!("not in `{list}`"))
                .path(path)
                .kong(format!("invalid reference '{singular}: {key}' (no such entry in '{list}')"));
            diagnostics.push(diagnostic.suggest(key, names));
        }
        found
    }

    /// Checks the services of routes.
    pub(super) fn routes(&self, items: &[Item], diagnostics: &mut Vec<Diagnostic>) {
        for item in items.iter().filter(|item| item.collection == Collection::Routes) {
            if let Some(service) = item.node.get("service") {
                self.resolve(Collection::Services, service, &format!("{}.service", item.path), diagnostics);
            }
        }
    }

    /// Which consumer is in which groups: from consumers' `groups`, groups' `consumers`, and the flat list of both.
    pub(super) fn memberships(
        &self,
        items: &[Item],
        flat: &[(String, Node)],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> HashMap<String, BTreeSet<String>> {
        let mut memberships = HashMap::new();
        let name_of = |at: usize| items[at].name().unwrap_or_default();
        for item in items {
            match item.collection {
                Collection::Consumers => {
                    for (at, group) in item.node.get("groups").and_then(Node::items).into_iter().flatten().enumerate() {
                        let path = format!("{}.groups[{at}]", item.path);
                        if let Some(group) = self.resolve(Collection::ConsumerGroups, group, &path, diagnostics) {
                            join(&mut memberships, &[item.text("id"), item.name()], name_of(group));
                        }
                    }
                }
                Collection::ConsumerGroups => {
                    let group = item.name().unwrap_or_default();
                    for consumer in item.node.get("consumers").and_then(Node::items).into_iter().flatten() {
                        // A group may name consumers that only Kong knows.
                        let keys = [Some(consumer), consumer.get("username"), consumer.get("id")];
                        for key in keys.into_iter().flatten().filter_map(Node::as_str) {
                            let known = self.find(Collection::Consumers, key).map(|at| &items[at]);
                            let known = known.map_or([None, None], |item| [item.text("id"), item.name()]);
                            join(&mut memberships, &[Some(key), known[0], known[1]], group);
                        }
                    }
                }
                _ => {}
            }
        }
        for (path, node) in flat {
            let mut side = |collection: Collection| {
                let target = node.get(collection.singular())?;
                self.resolve(collection, target, &format!("{path}.{}", collection.singular()), diagnostics)
            };
            if let (Some(consumer), Some(group)) = (side(Collection::Consumers), side(Collection::ConsumerGroups)) {
                join(&mut memberships, &[items[consumer].text("id"), items[consumer].name()], name_of(group));
            }
        }
        memberships
    }
}

fn join(memberships: &mut HashMap<String, BTreeSet<String>>, consumer: &[Option<&str>], group: &str) {
    for key in consumer.iter().flatten() {
        memberships.entry((*key).to_owned()).or_default().insert(group.to_owned());
    }
}

/// What is known of an item.
pub(super) fn entity_ref(item: &Item) -> EntityRef {
    EntityRef { id: item.text("id").map(str::to_owned), name: item.name().map(str::to_owned) }
}
