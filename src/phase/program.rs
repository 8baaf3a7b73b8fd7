//! A program: a configuration with every snippet compiled and every key path parsed.

use std::sync::Arc;

use ipnet::IpNet;

use super::breaker::{Breaker, Suspension};
use super::snippets::{SnippetKey, SnippetRegistry};
use crate::entity::{Configuration, Plugin, Scope};
use crate::log::limit::{Limiter, Policy};
use crate::plugin::Definition;
use crate::settings::{OnError, Secret, Settings};
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_config::document::SnippetSource;
use logphase_script::message::{KeyPath, Shape, ShapeError, ShapeOptions, Style};
use logphase_script::{Bytecode, Options, Profile, SourceLimits, compile};

/// One plugin of a program.
#[derive(Debug)]
pub struct Step {
    /// Index of the plugin in the configuration.
    pub plugin: usize,
    /// Its id.
    pub id: String,
    /// The definition of its kind.
    pub definition: &'static Definition,
    /// Its instance name.
    pub instance_name: Option<String>,
    /// Name and instance name, for log lines.
    pub label: Arc<str>,
    /// Its scope.
    pub scope: Scope,
    /// The protocols for which it runs, one bit each.
    pub(super) protocols: u16,
    /// Its fields, or its functions.
    pub parts: Vec<Compiled>,
    /// Whether a failing part drops the message, and as in Kong those of all later plugins (`on_error: drop`).
    pub drops: bool,
    /// What its messages have beside the edits, and what is redacted.
    pub shape: Shape,
    /// The circuit breaker of each part, in order.
    pub breakers: Vec<Breaker>,
    /// Limits the log lines about messages that are not sent because of a body.
    pub(super) body_errors: Limiter,
}

impl Step {
    /// What identifies its part number `part` over all configurations.
    fn snippet_key(&self, part: usize) -> SnippetKey {
        SnippetKey { plugin: self.definition.name, id: self.id.clone(), field: self.parts[part].name(part) }
    }
}

/// A snippet of a [`Step`].
#[derive(Debug)]
pub struct Compiled {
    /// The key path of a field; `None` for a pre- or post-function.
    pub path: Option<KeyPath>,
    /// The compiled code.
    pub code: Bytecode,
    /// The source, to point into the configuration.
    pub source: SnippetSource,
}

impl Compiled {
    /// Its name in errors: the key of the field, or the index of the function.
    pub fn name(&self, index: usize) -> String {
        self.path.as_ref().map_or_else(|| format!("log[{index}]"), |path| path.text().to_owned())
    }
}

/// A whole configuration, compiled. All workers share it.
#[derive(Debug)]
pub struct Program {
    /// The enabled plugins, highest priority first; equal ones by name, descending (kong/db/dao/plugins.lua).
    pub steps: Vec<Step>,
    /// [`Configuration::digest`] of the configuration.
    pub digest: String,
    /// The options of the VMs.
    pub options: Options,
    /// When a snippet is suspended.
    pub suspension: Suspension,
    /// The groups of consumers, by id and by username; only if plugins are scoped to groups.
    pub(super) memberships: Vec<(String, Vec<String>)>,
}

impl Program {
    /// Compiles every snippet of `configuration`, those of disabled plugins too.
    ///
    /// # Errors
    /// Every snippet that does not compile, each pointing into its file.
    pub fn build(configuration: &Configuration, settings: &Settings) -> Result<Self, Vec<Diagnostic>> {
        let mut steps = Vec::new();
        let mut errors = Vec::new();
        for (index, plugin) in configuration.plugins.iter().enumerate() {
            match step(index, plugin, settings) {
                Ok(step) if plugin.enabled => steps.push(step),
                Ok(_) => {}
                Err(more) => errors.extend(more),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        steps.sort_by(|a, b| {
            b.definition.priority.cmp(&a.definition.priority).then(b.definition.name.cmp(a.definition.name))
        });
        let memberships = if steps.iter().any(|step| step.scope.consumer_group.is_some()) {
            memberships(configuration)
        } else {
            Vec::new()
        };
        let suspension = Suspension { after: settings.lua.suspend_after, time: settings.lua.suspend_for };
        let digest = configuration.digest.clone();
        Ok(Self { steps, digest, options: options(settings), suspension, memberships })
    }

    /// Makes the snippets count in the totals that `registry` has of them, so that a reload loses no count. What
    /// `registry` shows stays as it is: to be called before the configuration is known to be accepted, and
    /// [`Self::commit_totals`] once it is.
    pub fn prepare_totals(&mut self, registry: &SnippetRegistry) {
        for step in &mut self.steps {
            let breaker = |at| Breaker::new(registry.find_or_new(&step.snippet_key(at)));
            step.breakers = (0..step.parts.len()).map(breaker).collect();
        }
    }

    /// Makes `registry` show the snippets of this program, under the instance names of its plugins: to be called when the
    /// configuration is accepted, after [`Self::prepare_totals`].
    pub fn commit_totals(&self, registry: &SnippetRegistry) {
        for step in &self.steps {
            for (at, breaker) in step.breakers.iter().enumerate() {
                registry.register(step.snippet_key(at), step.instance_name.as_deref(), breaker.totals());
            }
        }
    }

    /// How messages are written.
    pub fn style(&self) -> Style {
        self.options.style
    }
}

fn memberships(configuration: &Configuration) -> Vec<(String, Vec<String>)> {
    let names = configuration.consumers.iter().flat_map(|consumer| [&consumer.id, &consumer.username]).flatten();
    names
        .map(|name| (name.clone(), configuration.groups_of(name).into_iter().map(str::to_owned).collect::<Vec<_>>()))
        .filter(|(_, groups)| !groups.is_empty())
        .collect()
}

fn options(settings: &Settings) -> Options {
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
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

fn step(index: usize, plugin: &Plugin, settings: &Settings) -> Result<Step, Vec<Diagnostic>> {
    let mut parts = Vec::new();
    let mut errors = Vec::new();
    let limits = SourceLimits { bytes: settings.lua.max_source_bytes, nesting: settings.lua.max_source_nesting };
    let fields = plugin.fields.iter().map(|field| (Some(field.key.as_str()), &field.source));
    let functions = plugin.functions.iter().map(|source| (None, source));
    for (key, source) in fields.chain(functions) {
        if settings.untrusted_lua == Profile::Off {
            errors.push(no_lua(plugin, source));
            continue;
        }
        match compile(&source.text, &limits) {
            Ok(code) => {
                let path = key.map(|key| KeyPath::parse(key, settings.kong_quirks));
                parts.push(Compiled { path, code, source: source.clone() });
            }
            Err(error) => errors.push(syntax_error(plugin, key, source, &error)),
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
    if !errors.is_empty() {
        return Err(errors);
    }
    let label = match &plugin.instance_name {
        Some(instance) => format!("{} ({instance})", plugin.definition.name),
        None => plugin.definition.name.to_owned(),
    };
    Ok(Step {
        plugin: index,
        id: plugin.id.clone(),
        definition: plugin.definition,
        instance_name: plugin.instance_name.clone(),
        label: label.into(),
        scope: plugin.scope.clone(),
        protocols: super::identity::mask(&plugin.protocols),
        shape,
        breakers: parts.iter().map(|_| Breaker::default()).collect(),
        body_errors: Limiter::new(Policy::ONE),
        parts,
        drops: own.on_error == OnError::Drop,
    })
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

fn no_shape(plugin: &Plugin, error: &ShapeError) -> Diagnostic {
    let message = format!("`{}` of plugin `{}`: {error}", error.field, plugin.definition.name);
    Diagnostic::error(codes::VALUE, message).at(plugin.origin.clone()).path(format!("config.{}", error.field))
}

fn syntax_error(
    plugin: &Plugin,
    key: Option<&str>,
    source: &SnippetSource,
    error: &logphase_script::CompileError,
) -> Diagnostic {
    let what = match key {
        Some(key) => format!("field `{key}` of {}", plugin.definition.name),
        None => plugin.definition.name.to_owned(),
    };
    let mut diagnostic = Diagnostic::error(codes::LUA, format!("{what} is not valid Lua"))
        .at(source.line_origin(error.line))
        .label(error.message.clone())
        .kong(format!("Error parsing function: {error}"));
    if let Some(help) = error.help {
        diagnostic = diagnostic.help(help);
    }
    diagnostic
}
