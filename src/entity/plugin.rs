//! Configured plugins.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::built::REFERENCES;
use super::clones::Clones;
use super::configuration::Configuration;
use super::consumer::Certificate;
use super::draft::Draft;
use super::index::Index;
use super::kind::EntityKind;
use super::scope::Scope;
use super::tags::Tags;
use super::unique::FirstUses;
use crate::plugin::{self, Definition, LeftToKong, Protocol};
use logphase_config::diagnostic::{Diagnostic, FieldPath, Origin, Segment, Suggestions, codes, misspelt};
use logphase_config::document::{Node, SnippetSource};
use logphase_config::schema::is_vault_reference;

/// One field of a plugin's `custom_fields_by_lua`.
#[derive(Debug, Clone)]
pub struct Field {
    /// The key path, as written.
    pub key: String,
    /// The Lua code.
    pub source: SnippetSource,
    /// The origin of the key.
    pub key_origin: Origin,
}

/// A function of a pre-function or post-function for a phase before the log phase, or beside it.
#[derive(Debug, Clone)]
pub struct EarlierFunction {
    /// The phase's name in Kong.
    pub phase: &'static str,
    /// Its place among the functions of the phase, from 0.
    pub index: usize,
    /// The Lua code.
    pub source: SnippetSource,
}

impl EarlierFunction {
    /// Its name in messages: `access[0]`.
    pub fn name(&self) -> String {
        format!("{}[{}]", self.phase, self.index)
    }
}

/// One configured plugin.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The configured id, or a stable one that is derived from name and scope.
    pub id: String,
    /// The plugin's definition.
    pub definition: &'static Definition,
    /// The name of this instance.
    pub instance_name: Option<String>,
    /// Whether it runs.
    pub enabled: bool,
    /// The protocols of the transactions that it applies to.
    pub protocols: Vec<Protocol>,
    /// The entities that it applies to.
    pub scope: Scope,
    /// Its tags, with those that its file adds.
    pub tags: Tags,
    /// Its `config`, with all defaults.
    pub config: Value,
    /// The fields that it edits, in the order of the file.
    pub fields: Vec<Field>,
    /// The functions of the log phase of a pre-function or post-function, in order.
    pub functions: Vec<SnippetSource>,
    /// Its functions for other phases, in Kong's order of the phases.
    pub earlier: Vec<EarlierFunction>,
    /// When it runs, as written, and where that comes from.
    pub condition: Option<(String, Origin)>,
    /// The certificate that its config refers to (http-log's `client_certificate`, kafka-log's
    /// `security.certificate_id`).
    pub certificate: Option<Certificate>,
    /// Whether its config or its certificate has vault references.
    pub has_references: bool,
    /// What its vault references stand for: the path of each field with the reference. Empty until they are resolved.
    pub references: Vec<(String, String)>,
    /// Whether it has the form of Kong before 0.5 (`name: tcplog`, `value:` instead of `config:`), which ended messages
    /// with CR LF.
    pub old_form: bool,
    /// Where it comes from.
    pub origin: Origin,
    /// The origins of the members of its `config`.
    pub config_origins: ConfigOrigins,
}

impl Plugin {
    /// The origin of a field of `config`, by its path below `config`: `headers.X-Key`, `log[0]`,
    /// `queue.max_entries`. If the field is absent, that of its nearest ancestor in the file.
    pub fn origin(&self, field: &str) -> Origin {
        let ConfigOrigins { config, key } = &self.config_origins;
        let member = config.as_ref().and_then(|config| config.node()?.member_origin(field));
        member.or_else(|| key.clone()).unwrap_or_else(|| self.origin.clone())
    }
}

/// The origins of the members of a plugin's `config`; empty for a plugin without a `config`.
#[derive(Debug, Clone, Default)]
pub struct ConfigOrigins {
    /// The `config`, as written.
    config: Option<ConfigNode>,
    /// The key `config`.
    key: Option<Origin>,
}

/// The `config` of a plugin, as written.
#[derive(Debug, Clone)]
enum ConfigNode {
    /// A member of the plugin.
    Own(Arc<Node>, &'static str),
    /// Made of the plugin's own and of decK's shared one.
    Merged(Arc<Node>),
}

impl ConfigNode {
    fn node(&self) -> Option<&Node> {
        match self {
            Self::Own(plugin, member) => plugin.get(member),
            Self::Merged(node) => Some(node),
        }
    }
}

/// A plugin that does not run here.
#[derive(Debug, Clone)]
pub struct NotRun {
    /// The plugin's name.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its scope, for messages.
    pub scope: String,
    /// Why it does not run.
    pub reason: WhyNotRun,
}

/// Why a plugin does not run here.
#[derive(Debug, Clone)]
pub enum WhyNotRun {
    /// It lacks a tag that the settings select by.
    NotSelected,
    /// It works while Kong proxies, and does nothing in the log phase.
    Proxying,
    /// It does something in the log phase of Kong that Logphase does not do.
    NotSentHere,
    /// Of what it can send, its configuration asks only for what Logphase does not send.
    LeftToKong(LeftToKong),
    /// It is not a plugin of Kong: a custom plugin, or a mistake. Whether it is accepted is for the settings to say.
    Unknown(Box<UnknownPlugin>),
}

/// A plugin that is not one of Kong's.
#[derive(Debug, Clone)]
pub struct UnknownPlugin {
    /// The error, if it is one.
    pub error: Diagnostic,
    /// The plugin that runs here whose name it nearly has.
    pub misspelt: Option<&'static str>,
}

/// The UUID namespace of derived plugin ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d0c_8a0e_6d0b_4b5e_9a50_6c6f_6770_6861);

/// The kinds of entities in a plugin's scope, each with its field before Kong 1.0.
pub(super) const SCOPES: [(EntityKind, &str); 5] = [
    (EntityKind::Routes, "route_id"),
    (EntityKind::Services, "service_id"),
    (EntityKind::Consumers, "consumer_id"),
    (EntityKind::ConsumerGroups, ""),
    (EntityKind::Apis, "api_id"),
];

/// The fields of plugins before Kong 1.0 that refer to entities by their ids, each with the one that replaced it.
pub(crate) fn old_references() -> impl Iterator<Item = (&'static str, &'static str)> {
    SCOPES.into_iter().filter(|(_, old)| !old.is_empty()).map(|(kind, old)| (old, kind.singular()))
}

/// What a plugin that runs here is in a configuration.
#[derive(Debug)]
pub(super) struct Outcome {
    plugin: Result<Arc<Plugin>, NotRun>,
    diagnostics: Vec<Diagnostic>,
    /// As [`super::Routing::if_not_found`].
    if_not_found: Option<Diagnostic>,
}

/// Adds every plugin among `drafts` to `configuration`.
pub(super) fn read(
    drafts: &[Arc<Draft>],
    index: &Index<'_>,
    clones: &Clones,
    select_tags: &[String],
    configuration: &mut Configuration,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (mut uses, suggestions) = (FirstUses::new(), Suggestions::default());
    for draft in drafts.iter().filter(|draft| draft.kind == EntityKind::Plugins) {
        let before = diagnostics.len();
        let targets = targets(draft, drafts, index, diagnostics);
        let scope = || scope(&targets, drafts);
        let Some(name) = draft.name() else { continue };
        let own = plugin::find(name);
        let clone = clones.get(name);
        let definition = own.or_else(|| clone.and_then(|clone| clone.definition));
        let real_name = definition.map_or(name, |definition| definition.name);
        if let Some((key, _)) = draft.node.entry("model").filter(|(_, model)| !model.is_null()) {
            diagnostics.push(on_model(draft, real_name, key.origin()));
            continue;
        }
        if diagnostics.len() == before && !draft.unplaced {
            uses.add((real_name, targets), draft, Draft::origin, diagnostics, || {
                let scope = scope();
                Diagnostic::error(codes::UNIQUE, format!("two plugins `{real_name}` for the same scope ({scope})"))
                    .path(draft.path.clone())
                    .kong("unique constraint failed")
                    .help("remove one, or put them on different scopes")
            });
        }
        if !select_tags.is_empty() && !draft.tags().has_all(select_tags) {
            configuration.not_run.push(not_run(draft, real_name, &scope(), WhyNotRun::NotSelected));
            continue;
        }
        let Some(definition) = definition else {
            let original = clone.map_or(name, |clone| &clone.of);
            let reason = match plugin::find_known(original) {
                Some(known) if known.logs => WhyNotRun::NotSentHere,
                Some(_) => WhyNotRun::Proxying,
                None => {
                    let error = suggestions.add(unknown(draft, name), name, plugin::names());
                    let runs = plugin::definitions().iter().map(|definition| definition.name);
                    WhyNotRun::Unknown(Box::new(UnknownPlugin { error, misspelt: misspelt(name, runs) }))
                }
            };
            configuration.not_run.push(not_run(draft, name, &scope(), reason));
            continue;
        };
        let certificate = certificate(draft, definition, index, diagnostics);
        let [route, service, consumer, group, api] = targets;
        let refers_to = [route, service, consumer, group, api, certificate].map(|at| at.map(|at| &drafts[at]));
        let read = || outcome(draft, definition, scope(), &refers_to);
        // What the definition of a clone is says another entity.
        let outcome = if own.is_some() { draft.plugin(refers_to, read) } else { Arc::new(read()) };
        let Outcome { plugin, diagnostics: found, if_not_found } = &*outcome;
        diagnostics.extend_from_slice(found);
        configuration.routing.if_not_found.extend(if_not_found.clone());
        match plugin {
            Ok(plugin) => configuration.plugins.push(plugin.clone()),
            Err(not_run) => configuration.not_run.push(not_run.clone()),
        }
    }
}

fn not_run(draft: &Draft, name: &str, scope: &Scope, reason: WhyNotRun) -> NotRun {
    NotRun { name: name.to_owned(), origin: draft.origin(), scope: scope.to_string(), reason }
}

/// Reads a plugin that runs here and refers to an entity of each of [`SCOPES`], and last to a certificate, if to any.
fn outcome(
    draft: &Draft,
    definition: &'static Definition,
    scope: Scope,
    refers_to: &[Option<&Arc<Draft>>; REFERENCES],
) -> Outcome {
    let [route, service, .., certificate] = refers_to;
    let mut diagnostics = Vec::new();
    let mut plugin = plugin(draft, definition, scope, &mut diagnostics);
    match plugin.config.as_object().and_then(definition.left_to_kong) {
        Some(left) if left.all => {
            let not_run = not_run(draft, definition.name, &plugin.scope, WhyNotRun::LeftToKong(left));
            return Outcome { plugin: Err(not_run), diagnostics, if_not_found: None };
        }
        Some(left) if plugin.enabled => diagnostics.push(left_to_kong(&plugin, &left)),
        Some(_) | None => {}
    }
    plugin.certificate = certificate.and_then(|draft| Certificate::from_draft(draft));
    plugin.has_references = has_references(&plugin);
    if let Some(route) = route {
        check_route(draft, &plugin, route, &mut diagnostics);
    }
    let on: Vec<&Draft> = [route, service].into_iter().flatten().map(|target| &***target).collect();
    let if_not_found = check_anonymous(draft, &plugin, &on);
    Outcome { plugin: Ok(Arc::new(plugin)), diagnostics, if_not_found }
}

/// Whether the config or the certificate of `plugin` has vault references.
fn has_references(plugin: &Plugin) -> bool {
    fn within(value: &Value) -> bool {
        match value {
            Value::String(text) => is_vault_reference(text),
            Value::Array(items) => items.iter().any(within),
            Value::Object(members) => members.values().any(within),
            _ => false,
        }
    }
    let of_certificate = |pem: &Certificate| is_vault_reference(&pem.cert) || is_vault_reference(&pem.key);
    within(&plugin.config) || plugin.certificate.as_ref().is_some_and(of_certificate)
}

/// A plugin whose scope is a model of Kong's AI gateway: which model served a transaction is not known here.
fn on_model(draft: &Draft, name: &str, origin: Origin) -> Diagnostic {
    let message =
        format!("plugin `{name}` is skipped: it is on an AI model, and transactions do not say which served them");
    let diagnostic = Diagnostic::warning(codes::SCOPE, message).at(origin).path(draft.member_path("model"));
    diagnostic.help("put it on the route or service of the model")
}

/// A note on what a plugin that runs here leaves to Kong.
fn left_to_kong(plugin: &Plugin, left: &LeftToKong) -> Diagnostic {
    let message = format!("plugin `{}`: {}", plugin.definition.name, left.what);
    let note = Diagnostic::note(codes::NOT_RUN, message).help(left.help);
    match left.field.as_str() {
        "" => note.at(plugin.origin.clone()),
        field => note.at(plugin.origin(field)).path(format!("config.{field}")),
    }
}

fn unknown(draft: &Draft, name: &str) -> Diagnostic {
    Diagnostic::error(codes::UNKNOWN_PLUGIN, format!("unknown plugin `{name}`"))
        .at(draft.origin())
        .label("neither a plugin that runs here nor another plugin of Kong")
        .path(draft.member_path("name"))
        .violation("name", format!("plugin '{name}' not enabled; add it to the 'plugins' configuration property"))
}

/// The entities that a plugin applies to: those that it refers to, and the one that it is nested in.
fn targets(
    draft: &Draft,
    drafts: &[Arc<Draft>],
    index: &Index<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> [Option<usize>; SCOPES.len()] {
    SCOPES.map(|(kind, old)| {
        let inside = draft.parent.filter(|at| drafts[*at].kind == kind);
        let name = kind.singular();
        let given = draft.node.entry(name).or_else(|| draft.node.entry(old));
        let Some((key, node)) = given.filter(|(_, node)| !node.is_null()) else { return inside };
        if inside.is_some() {
            let path = draft.member_path(&key.name);
            let message = format!("a plugin inside a {word} with a `{name}` of its own", word = kind.word());
            let diagnostic = Diagnostic::error(codes::REFERENCE, message).at(key.origin()).path(path);
            diagnostics.push(diagnostic.label("value must be null").violation(name, "value must be null"));
            return inside;
        }
        index.resolve(kind, node, || draft.member_path(&key.name), diagnostics)
    })
}

fn scope(targets: &[Option<usize>; SCOPES.len()], drafts: &[Arc<Draft>]) -> Scope {
    let [route, service, consumer, consumer_group, api] = targets.map(|at| Some(drafts[at?].entity_ref()));
    Scope { route, service, consumer, consumer_group, api }
}

/// The certificate that the plugin's `config` refers to, as an index of the drafts.
fn certificate(
    draft: &Draft,
    definition: &Definition,
    index: &Index<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<usize> {
    let names = definition.certificate;
    if names.is_empty() {
        return None;
    }
    let id = names.iter().try_fold(draft.node.get("config")?, |node, name| node.get(name))?;
    if id.is_null() {
        return None;
    }
    let path = || draft.member_path(&format!("config.{}", names.join(".")));
    index.resolve(EntityKind::Certificates, id, path, diagnostics)
}

/// Reads one plugin that runs here.
fn plugin(draft: &Draft, definition: &'static Definition, scope: Scope, diagnostics: &mut Vec<Diagnostic>) -> Plugin {
    check_scope(draft, definition, &scope, diagnostics);
    let given = draft.node.entry("config").or_else(|| draft.node.entry("value"));
    let old_form = old_form(draft, definition, diagnostics);
    let member = if draft.node.get("config").is_none() && old_form { "value" } else { "config" };
    let mut here = draft.scope();
    here.subject = format!("plugin `{}`", definition.name);
    if let Some((key, _)) = given {
        here.origin = key.origin();
    }
    let mut here = here.member(member, here.origin.clone());
    here.kong = Some("config".into());
    let given_node = given.filter(|(_, node)| !node.is_null());
    let written = given_node.map(|(key, _)| if key.name == "config" { "config" } else { "value" });
    let config_node = given_node.map(|(_, node)| node);
    let merged =
        shared_config(draft, diagnostics).map(|base| config_node.map_or_else(|| base.clone(), |own| own.over(&base)));
    let config_node = merged.as_ref().or(config_node);
    let mut config = match config_node {
        Some(node) => definition.schema.read(node, &here, diagnostics),
        None => definition.schema.read(&Node::empty_mapping_at(&draft.node), &here, diagnostics),
    };
    (definition.convert)(&mut config);
    let fields = definition.fields.path.iter().try_fold(config_node, |node, name| Some(node?.get(name)));
    let fields = fields.flatten().and_then(Node::entries);
    let fields = fields.into_iter().flatten().filter_map(|(key, value)| {
        Some(Field { key: key.name.clone(), source: value.snippet()?, key_origin: key.origin() })
    });
    let functions = config_node.filter(|_| !definition.emits).and_then(|node| node.get("log")).and_then(Node::items);
    Plugin {
        id: id(draft, definition, &scope),
        definition,
        instance_name: draft.text("instance_name").map(str::to_owned),
        enabled: draft.boolean("enabled").unwrap_or(true) && !draft.unplaced,
        protocols: protocols(draft, definition, diagnostics),
        scope,
        tags: draft.tags(),
        config: Value::Object(config),
        fields: fields.collect(),
        functions: functions.into_iter().flatten().filter_map(Node::snippet).collect(),
        earlier: config_node.filter(|_| !definition.emits).map(earlier).unwrap_or_default(),
        condition: condition(draft, definition, diagnostics),
        certificate: None,
        has_references: false,
        references: Vec::new(),
        old_form,
        origin: draft.origin(),
        config_origins: ConfigOrigins {
            config: match merged {
                Some(merged) => Some(ConfigNode::Merged(Arc::new(merged))),
                None => written.map(|key| ConfigNode::Own(draft.node.clone(), key)),
            },
            key: given.map(|(key, _)| key.origin()),
        },
    }
}

/// The functions of `config` for phases other than the log phase.
fn earlier(config: &Node) -> Vec<EarlierFunction> {
    let mut all: Vec<EarlierFunction> = Vec::new();
    for (field, phase) in plugin::pre_function::EARLIER {
        let functions = config.get(field).and_then(Node::items).unwrap_or_default();
        for source in functions.iter().filter_map(Node::snippet) {
            let index = all.iter().filter(|function| function.phase == phase).count();
            all.push(EarlierFunction { phase, index, source });
        }
    }
    all
}

/// The plugin's `condition`. Kong has none for plugins that only run functions.
fn condition(draft: &Draft, definition: &Definition, diagnostics: &mut Vec<Diagnostic>) -> Option<(String, Origin)> {
    let (key, _) = draft.node.entry("condition")?;
    let text = draft.text("condition")?;
    if !definition.emits {
        let message = format!("plugin `{}` cannot have a condition", definition.name);
        let error = Diagnostic::error(codes::CONDITION, message).at(key.origin()).label("value must be null");
        diagnostics.push(error.path(draft.member_path("condition")).violation("condition", "value must be null"));
        return None;
    }
    Some((text.to_owned(), draft.field_origin("condition")))
}

/// The defaults of `config` from the file, if it has any.
fn shared_config(draft: &Draft, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    match draft.shared_config.as_ref()? {
        Ok(shared) => Some(shared.clone()),
        Err(missing) => {
            diagnostics.push((**missing).clone());
            None
        }
    }
}

/// Whether the plugin has the form of Kong before 0.5, with a warning for each old name.
fn old_form(draft: &Draft, definition: &Definition, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let mut old = |field: &str, message: String, label: String| {
        let diagnostic = Diagnostic::warning(codes::DEPRECATED, message).at(draft.field_origin(field)).label(label);
        diagnostics.push(diagnostic.path(draft.member_path(field)));
    };
    let name = draft.text("name").unwrap_or_default();
    if name != definition.name && definition.old_names.contains(&name) {
        old("name", format!("`{name}` is an old name"), format!("now `{}`", definition.name));
    }
    let value = draft.node.get("value").is_some();
    if value {
        old("value", "`value` is an old name".into(), "now `config`".into());
    }
    value || definition.old_names.contains(&name)
}

fn check_scope(draft: &Draft, definition: &Definition, scope: &Scope, diagnostics: &mut Vec<Diagnostic>) {
    let refused = [
        ("consumer", scope.consumer.is_some() && !definition.on_consumer),
        ("consumer_group", scope.consumer_group.is_some() && !definition.on_consumer_group),
    ];
    for (field, _) in refused.into_iter().filter(|(_, refused)| *refused) {
        let origin = draft.node.entry(field).map_or_else(|| draft.origin(), |(key, _)| key.origin());
        let message = format!("plugin `{}` cannot be put on a {}", definition.name, field.replace('_', " "));
        let diagnostic = Diagnostic::error(codes::SCOPE, message).at(origin).label("value must be null");
        diagnostics.push(diagnostic.path(draft.path.clone()).violation(field, "value must be null"));
    }
    let entities = [&scope.consumer, &scope.consumer_group, &scope.api];
    if entities.into_iter().flatten().any(|entity| entity.id.is_none() && entity.name.is_none()) {
        let message = format!("plugin `{}` is on an entity without name and id", definition.name);
        let diagnostic = Diagnostic::warning(codes::SCOPE, message).at(draft.origin()).path(draft.path.clone());
        diagnostics.push(diagnostic.label("no transaction can match it").help("give the entity a name"));
    }
}

/// A warning if the plugin is on a route or service that has neither name nor id: Kong's log objects name it by an id that
/// the file does not have, so that only inputs that find routes give it transactions.
fn check_anonymous(draft: &Draft, plugin: &Plugin, targets: &[&Draft]) -> Option<Diagnostic> {
    let nameless = |target: &&&Draft| target.name().is_none() && target.id().is_none() && !target.external;
    let target = targets.iter().find(nameless)?;
    let word = target.kind.word();
    let message = format!("plugin `{}` is on a {word} without name and id", plugin.definition.name);
    let diagnostic = Diagnostic::warning(codes::SCOPE, message).at(draft.origin()).path(draft.path.clone());
    let diagnostic = diagnostic.label(format!("Kong's transactions cannot match this {word}"));
    Some(diagnostic.help(format!(
        "give the {word} its `name`, or the `id` that it has in Kong; an input that finds routes (`match_routes`) matches \
         it as it is"
    )))
}

/// Warns of a plugin that runs for none of its route's protocols.
fn check_route(draft: &Draft, plugin: &Plugin, route: &Draft, diagnostics: &mut Vec<Diagnostic>) {
    let given = route.node.get("protocols").and_then(Node::items).unwrap_or_default();
    let names: Vec<_> = given.iter().filter_map(Node::as_str).collect();
    if names.is_empty() || plugin.protocols.iter().any(|protocol| names.contains(&protocol.name())) {
        return;
    }
    let message = format!("plugin `{}` runs for none of its route's protocols", plugin.definition.name);
    let wording = format!("must match the associated route's protocols: {}", names.join(", "));
    let origin = draft.field_origin("protocols");
    let diagnostic = Diagnostic::warning(codes::SCOPE, message).at(origin).label(wording.clone());
    diagnostics.push(diagnostic.path(draft.member_path("protocols")).violation("protocols", wording));
}

/// The plugin's protocols, or the default ones.
fn protocols(draft: &Draft, definition: &Definition, diagnostics: &mut Vec<Diagnostic>) -> Vec<Protocol> {
    let Some(nodes) = draft.node.get("protocols").and_then(Node::items) else {
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
            let diagnostic = Diagnostic::error(codes::SCOPE, message).at(node.origin()).label(wording.clone());
            let field = FieldPath::from("protocols").join(Segment::Element(at));
            let path = draft.member_path(&format!("protocols[{at}]"));
            diagnostics.push(diagnostic.path(path).violation(field, wording));
        } else if !protocols.contains(&protocol) {
            protocols.push(protocol);
        }
    }
    protocols
}

/// The configured id, or one that is derived from name and scope.
fn id(draft: &Draft, definition: &Definition, scope: &Scope) -> String {
    let derived = || {
        let parts = [&scope.route, &scope.service, &scope.consumer, &scope.consumer_group, &scope.api];
        let parts = parts.map(|part| part.as_ref().map_or("", |entity| entity.label()));
        Uuid::new_v5(&NAMESPACE, format!("{}:{}", definition.name, parts.join(":")).as_bytes()).to_string()
    };
    draft.text("id").map_or_else(derived, str::to_owned)
}
