//! Reads the drafts of entities from the trees of declarative files.

use std::collections::HashMap;
use std::sync::Arc;

use super::format::{METADATA, OTHER_COLLECTIONS, VERSIONS, nested};
use super::migration::migrated;
use crate::entity::{Draft, Drafts, EntityKind, SharedTags};
use crate::plugin;
use logphase_config::diagnostic::{Diagnostic, Origin, Place, Suggestions, codes, suggest};
use logphase_config::document::Node;

/// The list of clones of plugins.
pub(super) const CLONES: &str = "cloned_plugins";
/// The list of vaults.
pub(super) const VAULTS: &str = "vaults";

/// The entities of all `trees`, and the diagnostics about the rest of the files.
pub(super) fn drafts(trees: &[Node]) -> (Drafts, Vec<Diagnostic>) {
    let mut reader = Reader { drafts: Drafts::default(), diagnostics: Vec::new(), custom: false };
    reader.custom = trees.iter().any(|root| has_custom_plugin(root, 0));
    for root in trees {
        reader.file(&migrated(root));
    }
    (reader.drafts, reader.diagnostics)
}

struct Reader {
    drafts: Drafts,
    diagnostics: Vec<Diagnostic>,
    /// Whether there is a plugin that is not Kong's, which may have entities of its own.
    custom: bool,
}

/// Values that apply to all entities of a file.
struct FileContext {
    /// Tags that `_info.select_tags` adds.
    tags: Arc<SharedTags>,
    /// decK's `_plugin_configs`, by name.
    plugin_configs: HashMap<String, Node>,
    /// Their names, in the order of the file.
    plugin_config_names: Vec<String>,
    suggestions: Suggestions,
}

/// A list of entities.
struct List<'a> {
    kind: EntityKind,
    node: &'a Node,
    path: String,
    parent: Option<usize>,
}

impl Reader {
    /// Reads one file.
    fn file(&mut self, root: &Node) {
        let Some(entries) = root.entries() else {
            let message = if root.is_null() { "the file is empty" } else { "the top level is not a mapping" };
            let diagnostic = Diagnostic::error(codes::DOCUMENTS, message)
                .at(root.origin())
                .label("expected a mapping")
                .kong("failed parsing declarative configuration: expected an object");
            self.diagnostics.push(diagnostic.help("start with `_format_version: \"3.0\"`"));
            return;
        };
        self.format_version(root);
        let shared = root.get("_plugin_configs").and_then(Node::entries).unwrap_or_default();
        let mut plugin_configs = HashMap::with_capacity(shared.len());
        for (key, node) in shared {
            plugin_configs.entry(key.name.clone()).or_insert_with(|| node.clone());
        }
        self.lookups(root);
        let file = FileContext {
            tags: Arc::new(self.select_tags(root).into_iter().collect()),
            plugin_configs,
            plugin_config_names: shared.iter().map(|(key, _)| key.name.clone()).collect(),
            suggestions: Suggestions::default(),
        };
        for (key, node) in entries {
            let (name, path) = (key.name.as_str(), key.name.clone());
            if let Some(kind) = EntityKind::ALL.into_iter().find(|kind| kind.name() == name) {
                self.list(&List { kind, node, path, parent: None }, &file);
            } else if name == "consumer_group_plugins" {
                self.list(&List { kind: EntityKind::Plugins, node, path, parent: None }, &file);
            } else if name == "consumer_group_consumers" || [CLONES, VAULTS].contains(&name) {
                let items = node.items().into_iter().flatten().enumerate();
                let items = items.map(|(at, item)| (format!("{name}[{at}]"), item.clone()));
                match name {
                    CLONES => self.drafts.clones.extend(items),
                    VAULTS => self.drafts.vaults.extend(items),
                    _ => self.drafts.memberships.extend(items),
                }
            } else if !METADATA.contains(&name) && !OTHER_COLLECTIONS.contains(&name) && !is_ai_entity(name, node) {
                self.unknown_entity(name, key.origin(), node);
            }
        }
        if let Some(node) = root.get("_transform").filter(|node| node.as_bool().is_none()) {
            self.error(node, "_transform", codes::TYPE, "expected a boolean", "`_transform` is not a boolean");
        }
    }

    fn unknown_entity(&mut self, name: &str, origin: Origin, node: &Node) {
        let known = EntityKind::ALL.iter().map(|kind| kind.name());
        let known = known.chain(METADATA.iter().copied()).chain(OTHER_COLLECTIONS.iter().copied()).chain([CLONES]);
        let list = node.items().is_some_and(|items| items.iter().all(|item| item.entries().is_some()));
        if self.custom && list && suggest(name, known.clone()).is_none() {
            let message = format!("`{name}` is left out: entities of a custom plugin, as it seems");
            self.diagnostics.push(Diagnostic::note(codes::UNKNOWN_ENTITY, message).at(origin).path(name));
            return;
        }
        let diagnostic = Diagnostic::error(codes::UNKNOWN_ENTITY, format!("unknown kind of entity `{name}`"))
            .at(origin)
            .label("unknown field")
            .path(name)
            .kong(format!("in '{name}': unknown field"));
        self.diagnostics.push(diagnostic.suggest(name, known));
    }

    fn error(&mut self, node: &Node, path: &str, code: &'static str, wording: &str, message: &str) {
        let diagnostic = Diagnostic::error(code, message).at(node.origin()).label(wording).path(path);
        self.diagnostics.push(diagnostic.kong(format!("in '{path}': {wording}")));
    }

    fn format_version(&mut self, root: &Node) {
        let name = "_format_version";
        let Some(node) = root.get(name) else {
            let diagnostic = Diagnostic::error(codes::FORMAT_VERSION, "`_format_version` is missing")
                .at(start(root.origin()))
                .label("required field missing")
                .path(name)
                .kong("in '_format_version': required field missing");
            self.diagnostics.push(diagnostic.help("begin the file with `_format_version: \"3.0\"`"));
            return;
        };
        match node.as_str() {
            Some(version) if VERSIONS.contains(&version) => {}
            Some(other) => {
                let message = format!("unknown `_format_version` {other}");
                self.error(
                    node,
                    name,
                    codes::FORMAT_VERSION,
                    &format!("expected one of: {}", VERSIONS.join(", ")),
                    &message,
                );
            }
            None => {
                let message = format!("`_format_version` is {}", node.type_name());
                self.error(node, name, codes::FORMAT_VERSION, "expected a string", &message);
                if let Some(diagnostic) = self.diagnostics.pop() {
                    self.diagnostics.push(diagnostic.help("write it in quotes: `_format_version: \"3.0\"`"));
                }
            }
        }
    }

    /// The tags that `_info` adds to the file's entities.
    fn select_tags(&mut self, root: &Node) -> Vec<String> {
        let Some(tags) = root.get("_info").and_then(|info| info.get("select_tags")) else { return Vec::new() };
        let items = tags.items().unwrap_or_default();
        if tags.items().is_none() || items.iter().any(|item| item.as_str().is_none()) {
            let message = "`_info.select_tags` is not a list of strings";
            self.error(tags, "_info.select_tags", codes::TYPE, "expected an array", message);
        }
        items.iter().filter_map(Node::as_str).map(str::to_owned).collect()
    }

    /// The kinds of entities that decK looks up in Kong if no file has them (`_info.default_lookup_tags`).
    fn lookups(&mut self, root: &Node) {
        let Some(tags) = root.get("_info").and_then(|info| info.get("default_lookup_tags")) else { return };
        let Some(kinds) = tags.entries() else {
            let path = "_info.default_lookup_tags";
            self.error(tags, path, codes::TYPE, "expected a record", &format!("`{path}` is {}", tags.type_name()));
            return;
        };
        let names: Vec<&str> = kinds.iter().map(|(key, _)| key.name.as_str()).collect();
        self.drafts.external.extend(EntityKind::ALL.into_iter().filter(|kind| names.contains(&kind.name())));
    }

    /// Reads a list of entities and the lists inside them.
    fn list(&mut self, list: &List<'_>, file: &FileContext) {
        let List { kind, node, path, parent } = list;
        if node.is_null() {
            return;
        }
        let Some(nodes) = node.items() else {
            let message = format!("`{path}` is {}", node.type_name());
            self.error(node, path, codes::TYPE, "expected an array", &message);
            return;
        };
        for (at, node) in nodes.iter().enumerate() {
            let path = format!("{path}[{at}]");
            if node.entries().is_none() {
                let message = format!("`{path}` is {}", node.type_name());
                self.error(node, &path, codes::TYPE, "expected a record", &message);
                continue;
            }
            let mut draft = Draft::new(*kind, node.clone(), path.clone());
            draft.parent = *parent;
            draft.extra_tags = file.tags.clone();
            if *kind == EntityKind::Plugins {
                draft.shared_config = shared_config(node, &path, file);
            }
            self.drafts.entities.push(draft);
            self.nested_lists(*kind, node, &path, file);
        }
    }

    /// The lists inside the entity that was added last, in the order of the file. The `consumers` of a group are
    /// references, not entities.
    fn nested_lists(&mut self, kind: EntityKind, node: &Node, path: &str, file: &FileContext) {
        let parent = Some(self.drafts.entities.len() - 1);
        for (key, list) in node.entries().into_iter().flatten() {
            if let Some(kind) = nested(kind).iter().copied().find(|nested| nested.name() == key.name) {
                let path = format!("{path}.{}", kind.name());
                self.list(&List { kind, node: list, path, parent }, file);
            }
        }
    }
}

/// Whether a list of plugins in `node` has one that is not Kong's.
fn has_custom_plugin(node: &Node, depth: usize) -> bool {
    /// Levels of lists of entities in entities.
    const DEEPEST: usize = 3;
    let name = |plugin: &Node| plugin.get("name").and_then(Node::as_str).map(str::to_owned);
    let is_custom = |name: String| plugin::find(&name).is_none() && plugin::find_known(&name).is_none();
    node.entries().into_iter().flatten().any(|(key, list)| {
        let items = list.items().unwrap_or_default();
        match key.name.as_str() {
            "plugins" => items.iter().filter_map(name).any(is_custom),
            "services" | "routes" | "consumers" | "consumer_groups" if depth < DEEPEST => {
                items.iter().any(|item| has_custom_plugin(item, depth + 1))
            }
            _ => false,
        }
    })
}

/// Whether `name` is a list of the entities of Kong's AI gateway (3.15: `ai_models`, ...), which the log phase does not use.
fn is_ai_entity(name: &str, node: &Node) -> bool {
    name.starts_with("ai_") && (node.items().is_some() || node.is_null())
}

/// The start of `origin`.
fn start(origin: Origin) -> Origin {
    match origin {
        Origin::File(Place { file, span }) => Place::new(file, span.start..span.start).into(),
        other => other,
    }
}

/// The entry of `_plugin_configs` that the plugin's `_config` names (decK).
fn shared_config(plugin: &Node, path: &str, file: &FileContext) -> Option<Result<Node, Box<Diagnostic>>> {
    let wanted = plugin.get("_config")?;
    let name = wanted.as_str().unwrap_or_default();
    Some(file.plugin_configs.get(name).cloned().ok_or_else(|| {
        let names = file.plugin_config_names.iter().map(String::as_str);
        let diagnostic = Diagnostic::error(codes::REFERENCE, format!("there is no plugin configuration `{name}`"))
            .at(wanted.origin())
            .label("not in `_plugin_configs`")
            .path(format!("{path}._config"));
        Box::new(file.suggestions.add(diagnostic, name, names))
    }))
}
