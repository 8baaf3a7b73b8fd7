//! From files to a flat list of entities, and from there to a [`Configuration`].

use std::sync::Arc;

use md5::{Digest, Md5};
use serde_json::Value;

use super::collection::{COLLECTIONS, Collection, META, WITHOUT_USE};
use super::reference::Index;
use super::{Configuration, Entity, plugin, unique};
use logphase_config::diagnostic::{Diagnostic, Place, SourceFile, codes, suggest};
use logphase_config::document::{self, Node};
use logphase_config::schema;

/// How files are read.
#[derive(Clone, Copy)]
pub struct ReadOptions<'a> {
    /// Only plugins that have all of these tags are taken; without any, all are.
    pub select_tags: &'a [String],
    /// Looks an environment variable up, for `${{ env "DECK_X" }}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// One entity of a file, before references are resolved.
pub(super) struct Item {
    pub(super) collection: Collection,
    pub(super) node: Node,
    /// Path in its document, like `services[0].plugins[1]`.
    pub(super) path: String,
    /// The entities that it stands in, outermost first, as indices of items.
    pub(super) parents: Vec<usize>,
    /// Tags that its file adds.
    pub(super) file_tags: Arc<Vec<String>>,
    pub(super) values: serde_json::Map<String, Value>,
    /// decK's `_plugin_configs` of its file.
    pub(super) plugin_configs: Option<Arc<Node>>,
}

impl Item {
    /// A string field.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()
    }

    /// Its name, or a consumer's username.
    pub(super) fn name(&self) -> Option<&str> {
        self.text(self.collection.key())
    }

    /// Where to point at it: its name, or its first line.
    pub(super) fn place(&self) -> Place {
        let named = self.node.get(self.collection.key()).or_else(|| self.node.get("id"));
        named.map_or_else(|| self.node.place(), Node::place)
    }

    /// Its own tags and its file's.
    pub(super) fn tags(&self) -> Vec<String> {
        let own = self.values.get("tags").and_then(Value::as_array);
        let own = own.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let mut tags: Vec<String> = own.collect();
        tags.extend(self.file_tags.iter().filter(|tag| !tags.contains(tag)).cloned().collect::<Vec<_>>());
        tags
    }

    /// Where errors about its fields belong.
    pub(super) fn scope(&self) -> schema::Scope {
        let name = self.node.get(self.collection.key()).and_then(Node::as_str);
        let subject = match name {
            Some(name) => format!("{} `{name}`", self.collection.word()),
            None if self.collection == Collection::Apis => "an api".to_owned(),
            None => format!("a {}", self.collection.word()),
        };
        schema::Scope { subject, path: self.path.clone(), kong: Some(String::new()), place: self.place() }
    }
}

/// Reads `files` as one configuration. It is fit for use only if no diagnostic is an error.
pub fn read(files: &[Arc<SourceFile>], options: ReadOptions<'_>) -> (Configuration, Vec<Diagnostic>) {
    let (mut trees, mut diagnostics) = (Vec::new(), Vec::new());
    for file in files {
        let (root, more) = document::parse(file, Some(options.env));
        diagnostics.extend(more);
        trees.extend(root.map(|root| (file.clone(), root)));
    }
    let (mut configuration, mut diagnostics) = read_trees(&trees, diagnostics, options.select_tags);
    configuration.digest = digest(files);
    sort(&mut diagnostics, files);
    (configuration, diagnostics)
}

fn digest(files: &[Arc<SourceFile>]) -> String {
    let mut hash = Md5::new();
    for file in files {
        // The length keeps two files from being the same as one with both texts.
        hash.update((file.text.len() as u64).to_le_bytes());
        hash.update(&file.text);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same of one tree that is part of another document, `file`.
pub fn read_tree(file: &Arc<SourceFile>, root: Node, select_tags: &[String]) -> (Configuration, Vec<Diagnostic>) {
    read_trees(&[(file.clone(), root)], Vec::new(), select_tags)
}

fn read_trees(
    trees: &[(Arc<SourceFile>, Node)],
    diagnostics: Vec<Diagnostic>,
    select_tags: &[String],
) -> (Configuration, Vec<Diagnostic>) {
    let mut reader = Reader { items: Vec::new(), diagnostics, flat: Vec::new() };
    for (file, root) in trees {
        reader.file(file, root);
    }
    reader.fields();
    let Reader { items, mut diagnostics, flat } = reader;
    let index = Index::new(&items);
    unique::entities(&items, &mut diagnostics);
    let mut configuration = Configuration::default();
    for item in &items {
        let list = match item.collection {
            Collection::Services => &mut configuration.services,
            Collection::Routes => &mut configuration.routes,
            Collection::Consumers => &mut configuration.consumers,
            Collection::ConsumerGroups => &mut configuration.consumer_groups,
            Collection::Apis => &mut configuration.apis,
            Collection::Certificates | Collection::Plugins => continue,
        };
        let (id, name) = (item.text("id").map(str::to_owned), item.name().map(str::to_owned));
        list.push(Entity { id, name, tags: item.tags(), place: item.place() });
    }
    index.routes(&items, &mut diagnostics);
    configuration.memberships = index.memberships(&items, &flat, &mut diagnostics);
    plugin::read(&items, &index, select_tags, &mut configuration, &mut diagnostics);
    (configuration, diagnostics)
}

/// In the order of the files and of their lines.
fn sort(diagnostics: &mut [Diagnostic], files: &[Arc<SourceFile>]) {
    diagnostics.sort_by_key(|diagnostic| {
        let place = diagnostic.place.as_ref();
        place.map(|place| (files.iter().position(|file| Arc::ptr_eq(file, &place.file)), place.span.start))
    });
}

struct Reader {
    items: Vec<Item>,
    diagnostics: Vec<Diagnostic>,
    /// The entries of `consumer_group_consumers`.
    flat: Vec<(String, Node)>,
}

impl Reader {
    /// The top level of one file.
    fn file(&mut self, file: &Arc<SourceFile>, root: &Node) {
        let Some(entries) = root.entries() else {
            let message = if root.is_null() { "the file is empty" } else { "the top level is not a mapping" };
            let diagnostic = Diagnostic::error(codes::DOCUMENTS, message)
                .at(Place::new(file.clone(), root.place().span))
                .label("expected a mapping")
                .kong("failed parsing declarative configuration: expected an object");
            self.diagnostics.push(diagnostic.help("start with `_format_version: \"3.0\"`"));
            return;
        };
        self.format_version(file, root);
        let file_tags = Arc::new(self.info(root));
        let plugin_configs = root.get("_plugin_configs").cloned().map(Arc::new);
        for (key, value) in entries {
            let collection = COLLECTIONS.into_iter().find(|collection| collection.name() == key.name);
            if let Some(collection) = collection {
                self.list(collection, value, &key.name, &[], &file_tags, plugin_configs.as_ref());
            } else if key.name == "consumer_group_plugins" {
                self.list(Collection::Plugins, value, &key.name, &[], &file_tags, plugin_configs.as_ref());
            } else if key.name == "consumer_group_consumers" {
                let items = value.items().into_iter().flatten().enumerate();
                self.flat.extend(items.map(|(at, item)| (format!("{}[{at}]", key.name), item.clone())));
            } else if !META.contains(&key.name.as_str()) && !WITHOUT_USE.contains(&key.name.as_str()) {
                let known = COLLECTIONS.iter().map(|collection| collection.name());
                let known = known.chain(META.iter().copied()).chain(WITHOUT_USE.iter().copied());
                let mut diagnostic =
                    Diagnostic::error(codes::UNKNOWN_ENTITY, format!("unknown kind of entity `{}`", key.name))
                        .at(key.place())
                        .label("unknown field")
                        .path(&*key.name)
                        .kong(format!("in '{}': unknown field", key.name));
                if let Some(found) = suggest(&key.name, known) {
                    diagnostic.label = format!("did you mean `{found}`?");
                }
                self.diagnostics.push(diagnostic);
            }
        }
        if let Some(node) = root.get("_transform").filter(|node| node.as_bool().is_none()) {
            self.meta(node, "_transform", codes::TYPE, "expected a boolean", "`_transform` is not a boolean");
        }
    }

    fn meta(&mut self, node: &Node, path: &str, code: &'static str, wording: &str, message: &str) {
        let diagnostic = Diagnostic::error(code, message).at(node.place()).label(wording).path(path);
        self.diagnostics.push(diagnostic.kong(format!("in '{path}': {wording}")));
    }

    fn format_version(&mut self, file: &Arc<SourceFile>, root: &Node) {
        let name = "_format_version";
        let Some(node) = root.get(name) else {
            let start = root.place().span.start;
            let diagnostic = Diagnostic::error(codes::FORMAT_VERSION, "`_format_version` is missing")
                .at(Place::new(file.clone(), start..start))
                .label("required field missing")
                .path(name)
                .kong("in '_format_version': required field missing");
            self.diagnostics.push(diagnostic.help("begin the file with `_format_version: \"3.0\"`"));
            return;
        };
        match node.as_str() {
            Some("1.1" | "2.1" | "3.0") => {}
            Some(other) => {
                let message = format!("`_format_version` {other} is not known");
                self.meta(node, name, codes::FORMAT_VERSION, "expected one of: 1.1, 2.1, 3.0", &message);
            }
            None => {
                let message = format!("`_format_version` is {}", node.type_name());
                self.meta(node, name, codes::FORMAT_VERSION, "expected a string", &message);
                if let Some(diagnostic) = self.diagnostics.pop() {
                    self.diagnostics.push(diagnostic.help("write it in quotes: `_format_version: \"3.0\"`"));
                }
            }
        }
    }

    /// `_info`: the tags that it adds to the file's entities.
    fn info(&mut self, root: &Node) -> Vec<String> {
        let Some(tags) = root.get("_info").and_then(|info| info.get("select_tags")) else { return Vec::new() };
        let items = tags.items().unwrap_or_default();
        if tags.items().is_none() || items.iter().any(|item| item.as_str().is_none()) {
            let message = "`_info.select_tags` is not a list of strings";
            self.meta(tags, "_info.select_tags", codes::TYPE, "expected an array", message);
        }
        items.iter().filter_map(Node::as_str).map(str::to_owned).collect()
    }

    /// A list of entities, and the lists inside them.
    fn list(
        &mut self,
        collection: Collection,
        list: &Node,
        path: &str,
        parents: &[usize],
        file_tags: &Arc<Vec<String>>,
        plugin_configs: Option<&Arc<Node>>,
    ) {
        if list.is_null() {
            return;
        }
        let Some(nodes) = list.items() else {
            let message = format!("`{path}` is {}", list.type_name());
            self.meta(list, path, codes::TYPE, "expected an array", &message);
            return;
        };
        for (at, node) in nodes.iter().enumerate() {
            let path = format!("{path}[{at}]");
            if node.entries().is_none() {
                let message = format!("`{path}` is {}", node.type_name());
                self.meta(node, &path, codes::TYPE, "expected a record", &message);
                continue;
            }
            let (node, values) = (node.clone(), serde_json::Map::new());
            let (parents, file_tags) = (parents.to_vec(), file_tags.clone());
            let plugin_configs = plugin_configs.cloned();
            self.items.push(Item { collection, node, path, parents, file_tags, values, plugin_configs });
            self.inside(self.items.len() - 1);
        }
    }

    /// The lists inside an entity, in the order they were written. A group's `consumers` are references.
    fn inside(&mut self, at: usize) {
        let item = &self.items[at];
        let (node, path, collection) = (item.node.clone(), item.path.clone(), item.collection);
        let (file_tags, plugin_configs) = (item.file_tags.clone(), item.plugin_configs.clone());
        let mut parents = item.parents.clone();
        parents.push(at);
        for (key, list) in node.entries().into_iter().flatten() {
            if let Some(nested) = collection.nested().iter().find(|nested| nested.name() == key.name) {
                let path = format!("{path}.{}", nested.name());
                self.list(*nested, list, &path, &parents, &file_tags, plugin_configs.as_ref());
            }
        }
    }

    /// Reads the fields of every entity.
    fn fields(&mut self) {
        for item in &mut self.items {
            let scope = item.scope();
            let before = self.diagnostics.len();
            item.values = item.collection.schema().read(&item.node, &scope, &mut self.diagnostics);
            let nameless = item.collection == Collection::Consumers
                && ["id", "username", "custom_id"].iter().all(|name| item.node.get(name).is_none());
            if nameless && self.diagnostics.len() == before {
                let message = "a consumer without `username` and `custom_id`".to_owned();
                let wording = "at least one of these fields must be non-empty: 'custom_id', 'username'";
                self.diagnostics.push(scope.error(codes::ENTITY_CHECK, message, wording));
            }
        }
    }
}
