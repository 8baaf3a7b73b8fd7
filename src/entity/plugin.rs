//! The plugins of a configuration.

use serde_json::Value;
use uuid::Uuid;

use super::collection::Collection;
use super::read::Item;
use super::reference::{Index, entity_ref};
use super::unique::Seen;
use super::{Certificate, Configuration, Field, NotRun, Plugin, Scope};
use crate::plugin::{self, Definition, Protocol};
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_config::document::Node;

/// Namespace of the ids of plugins that have none.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d0c_8a0e_6d0b_4b5e_9a50_6c6f_6770_6861);

/// What a plugin can be put on, and the field for it before Kong 1.0.
const SCOPES: [(Collection, &str); 5] = [
    (Collection::Routes, "route_id"),
    (Collection::Services, "service_id"),
    (Collection::Consumers, "consumer_id"),
    (Collection::ConsumerGroups, ""),
    (Collection::Apis, "api_id"),
];

/// Reads every plugin among `items` into `configuration`.
pub(super) fn read(
    items: &[Item],
    index: &Index,
    select_tags: &[String],
    configuration: &mut Configuration,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut seen = Seen::new();
    for item in items.iter().filter(|item| item.collection == Collection::Plugins) {
        let before = diagnostics.len();
        let targets = targets(item, items, index, diagnostics);
        let scope = scope(&targets, items);
        let Some(name) = item.text("name") else { continue };
        let definition = plugin::find(name);
        let real_name = definition.map_or(name, |definition| definition.name);
        if diagnostics.len() == before {
            seen.add((real_name.to_owned(), targets), item.place(), diagnostics, || {
                Diagnostic::error(codes::UNIQUE, format!("two plugins `{real_name}` for the same scope ({scope})"))
                    .path(item.path.clone())
                    .kong("unique constraint failed")
                    .help("remove one, or put them on different scopes")
            });
        }
        let tags = item.tags();
        if !select_tags.iter().all(|tag| tags.contains(tag)) {
            continue;
        }
        match definition {
            Some(definition) => {
                let mut plugin = plugin(item, definition, scope, diagnostics);
                plugin.certificate = certificate(item, definition, items, index, diagnostics);
                if let Some(route) = targets[0] {
                    check_route(item, &plugin, &items[route], diagnostics);
                }
                configuration.plugins.push(plugin);
            }
            None if plugin::find_known(name).is_some() => {
                let not_run = NotRun { name: name.to_owned(), place: item.place(), scope: scope.to_string() };
                configuration.not_run.push(not_run);
            }
            None => diagnostics.push(unknown(item, name)),
        }
    }
}

fn unknown(item: &Item, name: &str) -> Diagnostic {
    Diagnostic::error(codes::UNKNOWN_PLUGIN, format!("unknown plugin `{name}`"))
        .at(item.place())
        .label("neither a plugin that runs here nor another one of Kong's")
        .suggest(name, plugin::names())
        .path(format!("{}.name", item.path))
        .kong(format!(
            "schema violation (name: plugin '{name}' not enabled; add it to the 'plugins' configuration property)"
        ))
}

/// The entities that a plugin is put on, by reference or by standing inside them.
fn targets(
    item: &Item,
    items: &[Item],
    index: &Index,
    diagnostics: &mut Vec<Diagnostic>,
) -> [Option<usize>; SCOPES.len()] {
    let parent = item.parents.last().copied();
    SCOPES.map(|(collection, old)| {
        let inside = parent.filter(|at| items[*at].collection == collection);
        let name = collection.singular();
        let given = item.node.entry(name).or_else(|| item.node.entry(old));
        let Some((key, node)) = given.filter(|(_, node)| !node.is_null()) else { return inside };
        let path = format!("{}.{}", item.path, key.name);
        if inside.is_some() {
            let message = format!("a plugin inside a {word} with a `{name}` of its own", word = collection.word());
            let diagnostic = Diagnostic::error(codes::REFERENCE, message).at(key.place()).path(path);
            diagnostics.push(
                diagnostic.label("value must be null").kong(format!("schema violation ({name}: value must be null)")),
            );
            return inside;
        }
        index.resolve(collection, node, &path, diagnostics)
    })
}

fn scope(targets: &[Option<usize>; SCOPES.len()], items: &[Item]) -> Scope {
    let [route, service, consumer, consumer_group, api] = targets.map(|at| Some(entity_ref(&items[at?])));
    Scope { route, service, consumer, consumer_group, api }
}

/// The certificate that the plugin's `config` refers to.
fn certificate(
    item: &Item,
    definition: &Definition,
    items: &[Item],
    index: &Index,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Certificate> {
    let names = definition.certificate;
    let id = names.iter().try_fold(item.node.get("config")?, |node, name| node.get(name))?;
    if names.is_empty() || id.is_null() {
        return None;
    }
    let path = format!("{}.config.{}", item.path, names.join("."));
    let found = &items[index.resolve(Collection::Certificates, id, &path, diagnostics)?];
    Some(Certificate { cert: found.text("cert")?.to_owned(), key: found.text("key")?.to_owned() })
}

/// One plugin that runs here.
fn plugin(item: &Item, definition: &'static Definition, scope: Scope, diagnostics: &mut Vec<Diagnostic>) -> Plugin {
    check_scope(item, definition, &scope, diagnostics);
    let given = item.node.entry("config").or_else(|| item.node.entry("value"));
    let old_form = old_form(item, definition, diagnostics);
    let member = if item.node.get("config").is_none() && old_form { "value" } else { "config" };
    let mut here = item.scope();
    here.subject = format!("plugin `{}`", definition.name);
    if let Some((key, _)) = given {
        here.place = key.place();
    }
    let mut here = here.member(member, here.place.clone());
    here.kong = Some("config".into());
    let config_node = given.map(|(_, node)| node).filter(|node| !node.is_null());
    let merged =
        shared_config(item, diagnostics).map(|base| config_node.map_or_else(|| base.clone(), |own| own.over(&base)));
    let config_node = merged.as_ref().or(config_node);
    let mut config = match config_node {
        Some(node) => definition.schema.read(node, &here, diagnostics),
        None => read_nothing(definition, &here, item, diagnostics),
    };
    (definition.convert)(&mut config);
    warn_of_what_kong_does(item, definition, config_node, diagnostics);
    let fields = config_node.and_then(|node| node.get("custom_fields_by_lua")).and_then(Node::entries);
    let fields = fields.into_iter().flatten().filter_map(|(key, value)| {
        Some(Field { key: key.name.clone(), source: value.snippet()?, key_place: key.place() })
    });
    let functions = config_node.filter(|_| !definition.emits).and_then(|node| node.get("log")).and_then(Node::items);
    Plugin {
        id: id(item, definition, &scope),
        definition,
        instance_name: item.text("instance_name").map(str::to_owned),
        enabled: item.values.get("enabled").and_then(Value::as_bool).unwrap_or(true),
        protocols: protocols(item, definition, diagnostics),
        scope,
        tags: item.tags(),
        config: Value::Object(config),
        fields: fields.collect(),
        functions: functions.into_iter().flatten().filter_map(Node::snippet).collect(),
        certificate: None,
        old_form,
        place: item.place(),
    }
}

/// Warns of what only Kong evaluates: conditions, and vault references in what a sink needs.
fn warn_of_what_kong_does(
    item: &Item,
    definition: &Definition,
    config: Option<&Node>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if let Some((key, _)) = item.node.entry("condition") {
        let message = format!("the `condition` of plugin `{}` is not evaluated here", definition.name);
        let diagnostic = Diagnostic::warning(codes::NOT_RUN, message).at(key.place());
        diagnostics.push(diagnostic.label("it applies to every transaction").path(format!("{}.condition", item.path)));
    }
    let references = config.and_then(Node::entries).into_iter().flatten();
    for (key, value) in
        references.filter(|(_, value)| value.as_str().is_some_and(logphase_config::schema::is_vault_reference))
    {
        let message =
            format!("`{}` of plugin `{}` is a vault reference, which only Kong resolves", key.name, definition.name);
        let diagnostic = Diagnostic::warning(codes::NOT_RUN, message).at(value.place()).label("used as it is written");
        let diagnostic = diagnostic.path(format!("{}.config.{}", item.path, key.name));
        diagnostics.push(diagnostic.help("use an environment variable: ${{ env \"DECK_NAME\" }}"));
    }
}

/// A plugin without `config`: only its defaults, if it can live with them.
fn read_nothing(
    definition: &Definition,
    here: &logphase_config::schema::Scope,
    item: &Item,
    diagnostics: &mut Vec<Diagnostic>,
) -> serde_json::Map<String, Value> {
    let empty = Node::empty_mapping_at(&item.node);
    definition.schema.read(&empty, here, diagnostics)
}

/// decK's `_config: NAME`, which takes fields from the file's `_plugin_configs`.
fn shared_config(item: &Item, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    let wanted = item.node.get("_config")?;
    let name = wanted.as_str().unwrap_or_default();
    let shared = item.plugin_configs.as_deref();
    let found = shared.and_then(|shared| shared.get(name));
    if found.is_none() {
        let names = shared.and_then(Node::entries).into_iter().flatten().map(|(key, _)| key.name.as_str());
        let diagnostic = Diagnostic::error(codes::REFERENCE, format!("there is no plugin configuration `{name}`"))
            .at(wanted.place())
            .label("not in `_plugin_configs`")
            .path(format!("{}._config", item.path));
        diagnostics.push(diagnostic.suggest(name, names));
    }
    found.cloned()
}

/// Whether the plugin is written as before Kong 0.5, with warnings about what is old.
fn old_form(item: &Item, definition: &Definition, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let mut old = |field: &str, message: String, label: String| {
        let place = item.node.get(field).map_or_else(|| item.place(), Node::place);
        let path = format!("{}.{field}", item.path);
        diagnostics.push(Diagnostic::warning(codes::DEPRECATED, message).at(place).label(label).path(path));
    };
    let name = item.text("name").unwrap_or_default();
    if name != definition.name {
        old("name", format!("`{name}` is an old name"), format!("now `{}`", definition.name));
    }
    let value = item.node.get("value").is_some();
    if value {
        old("value", "`value` is an old name".into(), "now `config`".into());
    }
    value || name != definition.name
}

fn check_scope(item: &Item, definition: &Definition, scope: &Scope, diagnostics: &mut Vec<Diagnostic>) {
    let refused = [
        ("consumer", scope.consumer.is_some() && !definition.on_consumer),
        ("consumer_group", scope.consumer_group.is_some() && !definition.on_consumer_group),
    ];
    for (field, _) in refused.into_iter().filter(|(_, refused)| *refused) {
        let place = item.node.entry(field).map_or_else(|| item.place(), |(key, _)| key.place());
        let message = format!("plugin `{}` cannot be put on a {}", definition.name, field.replace('_', " "));
        let diagnostic = Diagnostic::error(codes::SCOPE, message).at(place).label("value must be null");
        diagnostics
            .push(diagnostic.path(item.path.clone()).kong(format!("schema violation ({field}: value must be null)")));
    }
    let places = [&scope.route, &scope.service, &scope.consumer, &scope.consumer_group, &scope.api];
    if places.into_iter().flatten().any(|entity| entity.id.is_none() && entity.name.is_none()) {
        let message = format!("plugin `{}` is on an entity without name and id", definition.name);
        let diagnostic = Diagnostic::warning(codes::SCOPE, message).at(item.place()).path(item.path.clone());
        diagnostics.push(diagnostic.label("no transaction can match it").help("give the entity a name"));
    }
}

/// Whether the plugin runs for any protocol of its route.
fn check_route(item: &Item, plugin: &Plugin, route: &Item, diagnostics: &mut Vec<Diagnostic>) {
    let Some(protocols) = route.values.get("protocols").and_then(Value::as_array) else { return };
    let names: Vec<_> = protocols.iter().filter_map(Value::as_str).collect();
    if names.is_empty() || plugin.protocols.iter().any(|protocol| names.contains(&protocol.name())) {
        return;
    }
    let message = format!("plugin `{}` runs for none of its route's protocols", plugin.definition.name);
    let wording = format!("must match the associated route's protocols: {}", names.join(", "));
    let place = item.node.get("protocols").map_or_else(|| item.place(), Node::place);
    let diagnostic = Diagnostic::warning(codes::SCOPE, message).at(place).label(wording.clone());
    let path = format!("{}.protocols", item.path);
    diagnostics.push(diagnostic.path(path).kong(format!("schema violation (protocols: {wording})")));
}

/// The plugin's protocols, or the default ones.
fn protocols(item: &Item, definition: &Definition, diagnostics: &mut Vec<Diagnostic>) -> Vec<Protocol> {
    let Some(nodes) = item.node.get("protocols").and_then(Node::items) else {
        return definition.default_protocols.to_vec();
    };
    let mut protocols = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let Some(protocol) = node.as_str().and_then(Protocol::find) else { continue };
        if !definition.protocols.contains(&protocol) {
            let names: Vec<_> = definition.protocols.iter().map(|protocol| protocol.name()).collect();
            let wording = format!("expected one of: {}", names.join(", "));
            let message =
                format!("plugin `{}` cannot be used with the protocol `{}`", definition.name, protocol.name());
            let diagnostic = Diagnostic::error(codes::SCOPE, message).at(node.place()).label(wording.clone());
            let path = format!("{}.protocols[{at}]", item.path);
            diagnostics.push(diagnostic.path(path).kong(format!("schema violation (protocols.{}: {wording})", at + 1)));
        } else if !protocols.contains(&protocol) {
            protocols.push(protocol);
        }
    }
    protocols
}

/// The id that the file gives, or one made from what the plugin is and where it is put.
fn id(item: &Item, definition: &Definition, scope: &Scope) -> String {
    let made = || {
        let parts = [&scope.route, &scope.service, &scope.consumer, &scope.consumer_group, &scope.api];
        let parts = parts.map(|part| part.as_ref().map_or("", |entity| entity.label()));
        Uuid::new_v5(&NAMESPACE, format!("{}:{}", definition.name, parts.join(":")).as_bytes()).to_string()
    };
    item.text("id").map_or_else(made, str::to_owned)
}
