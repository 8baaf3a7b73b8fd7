//! The definition of a plugin: all that the rest of the program knows about it.

use logphase_script::message::Include;
use serde_json::{Map, Value, json};

use super::field::{CUSTOM_FIELDS, LOG_PHASE};
use super::{ANY, HTTP, Protocols};
use crate::sink::{ConfigError, Opened, Opener, SinkShared};
use logphase_config::schema::Record;

/// A plugin that runs in the log phase.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Name, like `file-log`.
    pub name: &'static str,
    /// Names that it had in old versions of Kong.
    pub old_names: &'static [&'static str],
    /// Plugins of higher priority run first.
    pub priority: i32,
    /// Protocols that it supports.
    pub protocols: Protocols,
    /// Its protocols if the configuration gives none.
    pub default_protocols: Protocols,
    /// Whether its scope can be a consumer.
    pub on_consumer: bool,
    /// Whether its scope can be a consumer group.
    pub on_consumer_group: bool,
    /// Fields of its `config`.
    pub schema: &'static Record,
    /// Converts fields of a validated `config` that Kong has replaced.
    pub convert: fn(&mut Map<String, Value>),
    /// Its fields by Lua.
    pub fields: LuaFields,
    /// What of a validated `config` is not done here but in Kong, if anything.
    pub left_to_kong: fn(&Map<String, Value>) -> Option<LeftToKong>,
    /// Whether it is a logging plugin: it emits a message for each transaction.
    pub emits: bool,
    /// The bodies in its messages if `include_body` is absent.
    pub include_body: Include,
    /// Whether its queue is on disk if `queue.durability` is absent. True if the destination confirms messages, so that
    /// nothing is lost from end to end. Datagrams, files and local daemons confirm nothing; a queue on disk would not
    /// prevent their losses in a crash.
    pub durable: bool,
    /// Fields that must be equal for two plugins to share a queue; empty if such plugins never share one.
    pub shares_queue_by: &'static [&'static str],
    /// Maps in its `config` whose values were lists of texts before Kong 3.
    pub lists_before_3: &'static [&'static str],
    /// Fields with the paths of files that the sink writes.
    pub written_files: &'static [&'static str],
    /// Path of the field that refers to a `certificates` entity; empty if the plugin has no such field.
    pub certificate: &'static [&'static str],
    /// Adds members to the sink's configuration that are not fields of the plugin.
    pub extend_sink_config: fn(&mut Map<String, Value>, &SinkContext<'_>),
    /// How its messages travel, in a word, such as `http` or `kafka`; the plugin's name if nothing else says it.
    pub transport: &'static str,
    /// Opens the sink that delivers its messages; `None` for a plugin that emits none.
    pub open: Option<Opener>,
}

/// Where a plugin has Lua snippets that each return a value of its messages.
#[derive(Debug, Clone, Copy)]
pub struct LuaFields {
    /// The path of the map of snippets in its `config`.
    pub path: &'static [&'static str],
    /// Whether the keys are names of attributes, which only this plugin's messages have, and not key paths of the message that
    /// all later plugins see.
    pub are_attributes: bool,
}

impl LuaFields {
    /// `custom_fields_by_lua`, which most logging plugins have.
    pub const CUSTOM: Self = Self { path: &["custom_fields_by_lua"], are_attributes: false };
}

/// What a plugin's configuration asks for and Logphase leaves to Kong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftToKong {
    /// Whether nothing else is asked for, so that the plugin does not run here.
    pub all: bool,
    /// The field that asks for it, by its path below `config`; empty if it is several, or none.
    pub field: String,
    /// What it is, as a sentence fragment that follows the plugin's name.
    pub what: String,
    /// What to do.
    pub help: &'static str,
}

/// What a sink may depend on besides the plugin's own `config`.
#[derive(Debug, Clone, Copy)]
pub struct SinkContext<'a> {
    /// The effective `oversize`: `drop`, `tcp` or `truncate`.
    pub oversize: &'a str,
    /// The queue's `max_batch_size`.
    pub max_batch_size: usize,
    /// The queue's `concurrency_limit`: 1, or -1 for no limit.
    pub concurrency_limit: i64,
    /// Whether the configuration has the form of Kong before 0.5.
    pub old_form: bool,
    /// The value of a variable in the environment of the process.
    pub environment: fn(&str) -> Option<String>,
    /// The certificate that [`Definition::certificate`] refers to.
    pub certificate: Option<Certificate<'a>>,
}

/// A client certificate, as PEM.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    /// The certificate, followed by its chain.
    pub cert: &'a str,
    /// Its private key.
    pub key: &'a str,
}

impl Definition {
    /// A logging plugin with the usual properties. Others are set with `..Definition::logging(...)`.
    pub const fn logging(
        name: &'static str,
        priority: i32,
        schema: &'static Record,
        open: fn(&Value, &SinkShared) -> Opened,
    ) -> Self {
        Self {
            on_consumer: true,
            on_consumer_group: true,
            emits: true,
            open: Some(Opener(open)),
            ..Self::silent(name, priority, schema)
        }
    }

    /// A plugin that runs in the log phase and emits nothing.
    pub(super) const fn silent(name: &'static str, priority: i32, schema: &'static Record) -> Self {
        Self {
            name,
            old_names: &[],
            priority,
            protocols: ANY,
            default_protocols: HTTP,
            on_consumer: false,
            on_consumer_group: false,
            schema,
            convert: |_| (),
            fields: LuaFields::CUSTOM,
            left_to_kong: |_| None,
            emits: false,
            include_body: Include::OFF,
            durable: false,
            shares_queue_by: &[],
            lists_before_3: &[],
            written_files: &[],
            certificate: &[],
            extend_sink_config: |_, _| (),
            transport: name,
            open: None,
        }
    }

    /// Whether its messages can have fields that Lua snippets make.
    pub fn takes_fields(&self) -> bool {
        self.schema.field(CUSTOM_FIELDS.name).is_some()
    }

    /// The configuration of the sink: a validated `config` without the fields of the log phase, whose changes do not
    /// replace the sink, and with the members that the plugin adds from `context`.
    pub fn sink_config(&self, config: &Value, context: &SinkContext<'_>) -> Value {
        let mut config = config.as_object().cloned().unwrap_or_default();
        for field in LOG_PHASE {
            config.remove(field.name);
        }
        (self.extend_sink_config)(&mut config, context);
        Value::Object(config)
    }

    /// Checks that the sink can be opened with `config`, from [`Self::sink_config`]. Reads the system's trusted
    /// certificates; does not connect.
    ///
    /// # Errors
    /// All errors that opening the sink would report.
    pub fn validate(&self, config: &Value, shared: &SinkShared) -> Result<(), Vec<ConfigError>> {
        // Opening a sink has no effect, so that it can be opened and dropped.
        self.open.map_or(Ok(()), |open| open.open(config, shared).map(drop))
    }
}

/// Adds the certificate to the sink's configuration, as `certificate`.
pub(super) fn insert_certificate(config: &mut Map<String, Value>, context: &SinkContext<'_>) {
    if let Some(Certificate { cert, key }) = context.certificate {
        config.insert("certificate".to_owned(), json!({"cert": cert, "key": key}));
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Definition {}
