//! From a configuration and settings to a program: every snippet compiled, every key path parsed.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;

use crate::entity::{Configuration, EarlierFunction, Plugin};
use crate::input::INPUTS;
use crate::log::limit::{Limiter, Policy};
use crate::mesh::Engine;
use crate::phase::{Ask, Asker, Asks, Compiled, KnownSteps, Program, Step, Suspension};
use crate::router::Condition;
use crate::settings::{OnError, Secret, Settings};
use crate::vaults;
use logphase_config::diagnostic::{Diagnostic, Origin, codes};
use logphase_config::document::SnippetSource;
use logphase_script::message::{Include, KeyPath, Shape, ShapeError, ShapeOptions, Style};
use logphase_script::needs::{self, Fact, Finding, Need, Note};
use logphase_script::vault::Vault;
use logphase_script::{Options, Phase, Profile, SourceLimits, compile};

impl Program {
    /// Compiles every snippet of `configuration`, those of disabled plugins too.
    ///
    /// # Errors
    /// Every snippet that does not compile, each pointing into its file.
    pub fn build(configuration: &Configuration, settings: &Settings) -> Result<Self, Vec<Diagnostic>> {
        Self::build_with(configuration, settings, &KnownSteps::default())
    }

    /// The same, where some of the steps are `known` from a program with these settings.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub(crate) fn build_with(
        configuration: &Configuration,
        settings: &Settings,
        known: &KnownSteps,
    ) -> Result<Self, Vec<Diagnostic>> {
        let vault = Arc::new(vaults::open(configuration, settings));
        let mut steps = Vec::new();
        let mut errors = Vec::new();
        for plugin in &configuration.plugins {
            let known = known.of(plugin);
            if plugin.enabled && known.is_none_or(|step| step.reads_vault) {
                errors.extend(vaults::refused_in_snippets(plugin, settings, &vault));
            }
            match known.map_or_else(|| step(plugin, settings).map(Arc::new), |step| Ok(step.clone())) {
                Ok(step) if plugin.enabled => steps.push(step),
                Ok(_) => {}
                Err(more) => errors.extend(more),
            }
        }
        let mesh = engine(configuration, settings).unwrap_or_else(|more| {
            errors.extend(more);
            None
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        steps.sort_by(|a, b| {
            b.definition.priority.cmp(&a.definition.priority).then(b.definition.name.cmp(a.definition.name))
        });
        let groups_matter = |step: &Arc<Step>| step.scope.consumer_group.is_some() || step.condition.is_some();
        let memberships = if steps.iter().any(groups_matter) { memberships(configuration) } else { Vec::new() };
        let scopes = known.scopes(&steps, &memberships);
        let suspension = Suspension { after: settings.lua.suspend_after, time: settings.lua.suspend_for };
        let digest = configuration.digest.clone();
        let (router, options) = (Arc::default(), options(settings, vault));
        let asks = asks(&steps);
        let replay =
            Phase::REPLAYED.into_iter().filter(|phase| steps.iter().any(|step| step.runs_in(*phase))).collect();
        Ok(Self { steps, scopes, mesh, router, asks, digest, options, suspension, replay, memberships })
    }
}

/// The engine for the access logs of meshes, if policies ask for them.
fn engine(configuration: &Configuration, settings: &Settings) -> Result<Option<Arc<Engine>>, Vec<Diagnostic>> {
    if !configuration.mesh.ask_for_logs() {
        return Ok(None);
    }
    Engine::new(configuration.mesh.clone(), settings.mesh.options()).map(|engine| Some(Arc::new(engine)))
}

/// What the plugins and their snippets ask of transactions that Kong's log object lacks.
fn asks(steps: &[Arc<Step>]) -> Asks {
    let of_step = |(index, step): (usize, &Arc<Step>)| {
        let ask = |(part, finding): &(Option<usize>, Finding)| Ask {
            asker: Asker { step: index, part: *part },
            finding: finding.clone(),
        };
        step.asks.iter().map(ask).collect::<Vec<_>>()
    };
    Asks::new(steps.iter().enumerate().flat_map(of_step).collect(), INPUTS.len())
}

/// What a plugin with these `parts` asks, whose messages have the bodies that `include` says.
fn asks_of(plugin: &Plugin, parts: &[Compiled], include: Include) -> Vec<(Option<usize>, Finding)> {
    let sources: Vec<&str> = parts.iter().map(|part| part.source.text.as_str()).collect();
    let findings = needs::findings(&sources).into_iter().enumerate();
    let of_parts = findings.flat_map(|(part, findings)| findings.into_iter().map(move |finding| (Some(part), finding)));
    let of_plugin = [
        (plugin.definition.emits && include.request, Need::RequestBody),
        (plugin.definition.emits && include.response, Need::ResponseBody),
        (plugin.scope.consumer_group.is_some(), Need::Fact(Fact::ConsumerGroups)),
    ];
    let needs = of_plugin.into_iter().filter(|(asks, _)| *asks).map(|(_, need)| Note::Needs(need));
    of_parts.chain(needs.map(|note| (None, Finding { line: 1, note }))).collect()
}

fn memberships(configuration: &Configuration) -> Vec<(String, Vec<String>)> {
    let names = configuration.consumers.iter().flat_map(|consumer| [&consumer.id, &consumer.username]).flatten();
    names
        .map(|name| (name.clone(), configuration.groups_of(name).into_iter().map(str::to_owned).collect::<Vec<_>>()))
        .filter(|(_, groups)| !groups.is_empty())
        .collect()
}

fn options(settings: &Settings, vault: Arc<Vault>) -> Options {
    let lua = &settings.lua;
    Options {
        limits: logphase_script::Limits {
            deadline: lua.deadline(),
            plugin_deadline: lua.plugin_deadline(),
            memory: lua.memory_limit,
            value: logphase_script::ValueLimits {
                bytes: lua.max_value_bytes,
                nodes: lua.max_value_nodes,
                depth: lua.max_value_depth,
            },
            log_lines_per_second: lua.log_per_second,
        },
        dialect: logphase_script::Dialect {
            profile: settings.untrusted_lua,
            requires: settings.untrusted_lua_sandbox_requires.clone(),
            environment: settings.untrusted_lua_sandbox_environment.clone(),
        },
        style: Style::of(settings.kong_quirks),
        kong_quirks: settings.kong_quirks,
        counts: logphase_script::CountLimits {
            req_headers: lua.max_req_headers,
            resp_headers: lua.max_resp_headers,
            uri_args: lua.max_uri_args,
            post_args: lua.max_post_args,
        },
        // Validated when the settings were read.
        trusted_ips: settings.trusted_ips.iter().filter_map(|text| network(text)).collect(),
        vault,
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

fn step(plugin: &Arc<Plugin>, settings: &Settings) -> Result<Step, Vec<Diagnostic>> {
    let mut parts = Vec::new();
    let mut errors = Vec::new();
    let limits = SourceLimits { bytes: settings.lua.max_source_bytes, nesting: settings.lua.max_source_nesting };
    for function in &plugin.earlier {
        match earlier_function(plugin, function, settings, &limits) {
            Ok(part) => parts.extend(part),
            Err(error) => errors.push(*error),
        }
    }
    let fields = plugin.fields.iter().map(|field| (Some(field.key.as_str()), 0, &field.source));
    let functions = plugin.functions.iter().enumerate().map(|(index, source)| (None, index, source));
    for (key, index, source) in fields.chain(functions) {
        if settings.untrusted_lua == Profile::Off {
            errors.push(no_lua(plugin, source));
            continue;
        }
        match compile(&source.text, &limits) {
            Ok(code) => {
                let path = key.map(|key| key_path(plugin, key, settings.kong_quirks));
                parts.push(Compiled { path, code, phase: Phase::Log, index, source: source.clone() });
            }
            Err(error) => {
                let what = match key {
                    Some(key) => format!("field `{key}` of {}", plugin.definition.name),
                    None => plugin.definition.name.to_owned(),
                };
                errors.push(syntax_error(&what, source, &error));
            }
        }
    }
    let own = match settings.for_plugin(plugin) {
        Ok(own) => own,
        Err(error) => {
            errors.push(error.diagnostic());
            return Err(errors);
        }
    };
    let redact = if plugin.definition.emits { settings.redact_for(plugin) } else { Vec::new() };
    let options = ShapeOptions {
        body: &own.body,
        redact: &redact,
        hash_key: settings.redact_key.as_ref().map(Secret::text),
        kong_quirks: settings.kong_quirks,
    };
    let shape = Shape::of(&plugin.config, options).unwrap_or_else(|error| {
        errors.push(no_shape(plugin, &error));
        Shape::default()
    });
    let condition = plugin.condition.as_ref().and_then(|(text, origin)| {
        let refused = |error| errors.push(no_condition(plugin, origin.clone(), error));
        Condition::compile(text).map_err(refused).ok()
    });
    if !errors.is_empty() {
        return Err(errors);
    }
    let label = match &plugin.instance_name {
        Some(instance) => format!("{} ({instance})", plugin.definition.name),
        None => plugin.definition.name.to_owned(),
    };
    Ok(Step {
        plugin: plugin.clone(),
        id: plugin.id.clone(),
        definition: plugin.definition,
        instance_name: plugin.instance_name.clone(),
        label: label.into(),
        scope: plugin.scope.clone(),
        condition,
        condition_errors: Limiter::new(Policy::ONE),
        protocols: crate::phase::protocol_mask(&plugin.protocols),
        shape,
        in_kong: in_kong(plugin, settings),
        asks: asks_of(plugin, &parts, own.body.include),
        reads_vault: parts.iter().any(|part| !needs::vault_references(&part.source.text).is_empty()),
        breakers: OnceLock::new(),
        registered: AtomicBool::new(false),
        body_errors: Limiter::new(Policy::ONE),
        parts,
        drops: own.on_error == OnError::Drop,
    })
}

/// Where the value of a snippet goes: attributes are members of the message, whatever is in their names.
fn key_path(plugin: &Plugin, key: &str, quirks: bool) -> KeyPath {
    let attributes = plugin.definition.fields.are_attributes;
    if attributes { KeyPath::member(key, quirks) } else { KeyPath::parse(key, quirks) }
}

/// The phases for which `plugin` has functions that run in Kong alone, each once.
fn in_kong(plugin: &Plugin, settings: &Settings) -> Vec<&'static str> {
    let mut phases: Vec<_> = plugin.earlier.iter().map(|function| function.phase).collect();
    phases.dedup();
    phases.retain(|phase| !settings.replays(phase));
    phases
}

/// A function of an earlier phase, if that phase is replayed. One that runs in Kong alone is compiled as well: Kong refuses
/// it with the same errors. What only Luau refuses is no error then, and neither are our own limits.
fn earlier_function(
    plugin: &Plugin,
    function: &EarlierFunction,
    settings: &Settings,
    limits: &SourceLimits,
) -> Result<Option<Compiled>, Box<Diagnostic>> {
    let EarlierFunction { phase, index, source } = function;
    let replayed = settings.replays(phase);
    if replayed && settings.untrusted_lua == Profile::Off {
        return Err(no_lua(plugin, source).into());
    }
    let what = format!("`{}` of {}", function.name(), plugin.definition.name);
    match (compile(&source.text, limits), Phase::named(phase).filter(|_| replayed)) {
        (Ok(code), Some(phase)) => {
            Ok(Some(Compiled { path: None, code, phase, index: *index, source: source.clone() }))
        }
        (Ok(_), None) => Ok(None),
        (Err(error), None) if error.of_luau => Ok(None),
        (Err(error), _) => Err(syntax_error(&what, source, &error).into()),
    }
}

/// With Kong's message (kong/tools/sandbox).
fn no_lua(plugin: &Plugin, source: &SnippetSource) -> Diagnostic {
    Diagnostic::error(
        codes::NO_LUA,
        format!("{} has a Lua snippet, and the setting untrusted_lua is off", plugin.definition.name),
    )
    .at(source.line_origin(1))
    .label("not allowed")
    .kong("loading of untrusted Lua code disabled because 'untrusted_lua' config option is set to 'off'")
    .help("remove the snippet, or set `untrusted_lua: sandbox` (LOGPHASE_UNTRUSTED_LUA=sandbox)")
}

fn no_condition(plugin: &Plugin, origin: Origin, error: String) -> Diagnostic {
    let message = format!("the condition of plugin `{}` cannot be evaluated", plugin.definition.name);
    Diagnostic::error(codes::CONDITION, message).at(origin).label(error)
}

fn no_shape(plugin: &Plugin, error: &ShapeError) -> Diagnostic {
    let message = format!("`{}` of plugin `{}`: {error}", error.field, plugin.definition.name);
    Diagnostic::error(codes::VALUE, message).at(plugin.origin(&error.field)).path(format!("config.{}", error.field))
}

fn syntax_error(what: &str, source: &SnippetSource, error: &logphase_script::CompileError) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(codes::LUA, format!("{what} is not valid Lua"))
        .at(source.line_origin(error.line))
        .label(error.message.clone())
        .kong(format!("Error parsing function: {error}"));
    if let Some(help) = error.help {
        diagnostic = diagnostic.help(help);
    }
    diagnostic
}
