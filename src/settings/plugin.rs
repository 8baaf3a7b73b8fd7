//! The settings of one plugin: the defaults, overridden by its own configuration, overridden by `plugins`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Settings;
use crate::entity::Plugin;
use crate::options;
use crate::options::queue::{Durability, QueueOptions, QueueOverride};
use crate::plugin::field::{BODY_TYPES, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, REDACT};
use crate::plugin::udp_log::OVERSIZE;
use crate::sink::udp::Oversize;
use logphase_config::diagnostic::{Diagnostic, Origin, codes};
use logphase_config::schema::{Field, Record};
use logphase_script::message::{BodyOptions, Include, RedactRule};

/// What happens to a message when a snippet fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The field is left unchanged; the message is sent, and so are those of later plugins.
    #[default]
    Keep,
    /// As in Kong: this plugin and all later ones emit nothing for the transaction.
    Drop,
}

/// Settings of a single plugin, from its own `config` or from `plugins` of the settings. An absent one overrides
/// nothing.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
pub struct PluginOverride {
    /// See [`OnError`].
    pub on_error: Option<OnError>,
    /// See [`Oversize`].
    pub oversize: Option<Oversize>,
    /// See [`BodyOptions::include`].
    pub include_body: Option<Include>,
    /// See [`BodyOptions::max_size`].
    pub max_body_size: Option<u64>,
    /// See [`BodyOptions::types`].
    pub body_types: Option<Vec<String>>,
    /// See [`BodyOptions::keep_broken`].
    pub on_body_error: Option<OnError>,
    /// Rules in addition to those for every plugin.
    pub redact: Vec<RedactRule>,
    /// Options of its queue.
    pub queue: QueueOverride,
}

/// The schema of [`PluginOverride`]. Plugins have the same fields, except for the queue.
pub(super) static OVERRIDE: Record = Record::new(&[
    ON_ERROR,
    OVERSIZE,
    INCLUDE_BODY,
    MAX_BODY_SIZE,
    BODY_TYPES,
    ON_BODY_ERROR,
    REDACT,
    Field::record("queue", &options::queue::OVERRIDE).about("Options of the plugin's queue."),
]);

/// The settings of one plugin, complete.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSettings {
    /// What happens to a message when a snippet fails.
    pub on_error: OnError,
    /// What happens to a message that is larger than a datagram.
    pub oversize: Oversize,
    /// Which bodies its messages carry.
    pub body: BodyOptions,
    /// Its queue.
    pub queue: QueueOptions,
}

/// A field of a plugin's `config` that has a value the setting cannot take.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` of plugin `{plugin}` has a value that cannot be used: {source}")]
pub struct PluginFieldError {
    plugin: &'static str,
    path: String,
    source: serde_json::Error,
    origin: Origin,
}

impl PluginFieldError {
    /// The error for `plugin`, from whose `config` no [`PluginOverride`] could be read.
    fn new(plugin: &Plugin, source: serde_json::Error) -> Self {
        let (path, source) = invalid_field(&plugin.config, "config").unwrap_or_else(|| ("config".to_owned(), source));
        let origin = plugin.origin(path.strip_prefix("config.").unwrap_or_default());
        Self { plugin: plugin.definition.name, path, source, origin }
    }

    /// The error, at the field.
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic::error(codes::VALUE, self.to_string())
            .at(self.origin.clone())
            .path(self.path.clone())
            .help("correct the value, or remove the field to have its default")
    }
}

/// The first member of the record `values` at `path` that alone cannot be read, by its path, and why.
fn invalid_field(values: &Value, path: &str) -> Option<(String, serde_json::Error)> {
    values.as_object()?.iter().find_map(|(name, value)| {
        let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        let error = match path {
            "config" => serde_json::from_value::<PluginOverride>(alone).err()?,
            _ => serde_json::from_value::<QueueOverride>(alone).err()?,
        };
        let path = format!("{path}.{name}");
        let inner = if path == "config.queue" { invalid_field(value, &path) } else { None };
        Some(inner.unwrap_or((path, error)))
    })
}

impl Settings {
    /// The settings of `plugin`: the defaults, over them its own configuration, over that the settings for its name, and
    /// over all the settings for its instance name.
    ///
    /// # Errors
    /// A field of the plugin's configuration has a value that its schema allows and no setting can have.
    pub fn for_plugin(&self, plugin: &Plugin) -> Result<PluginSettings, PluginFieldError> {
        let own = PluginOverride::deserialize(&plugin.config).map_err(|error| PluginFieldError::new(plugin, error))?;
        let by_name = self.plugins.get(plugin.definition.name);
        let by_instance = plugin.instance_name.as_ref().and_then(|name| self.plugins.get(name));
        // From the most specific to the least.
        let layers: Vec<_> = by_instance.into_iter().chain(by_name).chain([&own]).collect();
        Ok(PluginSettings {
            on_error: layers.iter().find_map(|layer| layer.on_error).unwrap_or(self.on_error),
            oversize: layers.iter().find_map(|layer| layer.oversize).unwrap_or_default(),
            body: self.body(plugin, &layers),
            queue: self.queue_of(plugin, &layers),
        })
    }

    /// The queue of an output that is no plugin's, by its name and that of the instance. Its own `max_batch_size` goes before
    /// that of all queues.
    pub fn queue_of_output(
        &self,
        name: &str,
        instance: &str,
        durability: Durability,
        max_batch_size: Option<usize>,
    ) -> QueueOptions {
        let layers = [instance, name].into_iter().filter_map(|name| self.plugins.get(name));
        let merged = layers.fold(QueueOverride::default(), |merged, layer| merged.or(&layer.queue));
        let of_output = QueueOverride { durability: Some(durability), ..QueueOverride::default() };
        let batches = QueueOverride { max_batch_size, ..QueueOverride::default() };
        merged.or(&batches).or(&self.queue.defaults).or(&of_output).resolve()
    }

    fn body(&self, plugin: &Plugin, layers: &[&PluginOverride]) -> BodyOptions {
        let defaults = BodyOptions::new(plugin.definition.include_body, self.lua.max_post_args);
        let on_error = layers.iter().find_map(|layer| layer.on_body_error);
        BodyOptions {
            include: layers.iter().find_map(|layer| layer.include_body).unwrap_or(defaults.include),
            max_size: layers.iter().find_map(|layer| layer.max_body_size).or(defaults.max_size),
            types: layers.iter().find_map(|layer| layer.body_types.clone()).or(defaults.types),
            keep_broken: on_error.map_or(defaults.keep_broken, |on_error| on_error == OnError::Keep),
            ..defaults
        }
    }

    fn queue_of(&self, plugin: &Plugin, layers: &[&PluginOverride]) -> QueueOptions {
        let of_plugin = QueueOverride { durability: Some(default_durability(plugin)), ..QueueOverride::default() };
        let merged = layers.iter().fold(QueueOverride::default(), |merged, layer| merged.or(&layer.queue));
        let mut queue = merged.or(&self.queue.defaults).or(&of_plugin).resolve();
        // The plugin's own configuration is the last layer.
        let deciding = layers.iter().position(|layer| layer.queue.max_entries.is_some());
        queue.has_kong_max_entries =
            deciding.is_some_and(|at| at + 1 == layers.len() && layers[at].queue.has_kong_max_entries());
        queue
    }
}

/// Where a plugin's entries wait if nothing else is set; see [`crate::plugin::Definition::durable`].
fn default_durability(plugin: &Plugin) -> Durability {
    if plugin.definition.durable { Durability::Disk } else { Durability::Memory }
}
