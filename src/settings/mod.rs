//! What Kong's files have no word for: `logphase.yml` and `LOGPHASE_*`.
//!
//! Every key of the file has a variable, which wins over it: `LOGPHASE_` and the key's path in capitals with
//! underscores between, without `inputs` (`limits.max_depth` is `LOGPHASE_LIMITS_MAX_DEPTH`, `inputs.http.listen` is
//! `LOGPHASE_HTTP_LISTEN`). Lists are written with commas between, maps (`plugins`) as YAML. [`variables`] lists them.

mod definition;
mod load;
mod queue;
mod redact;
mod restart;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::entity::{Configuration, Plugin};
use logphase_config::diagnostic::{Diagnostic, codes, suggest};
use logphase_script::Profile;
use logphase_script::message::BodyOptions;
use logphase_script::message::Include;
use logphase_script::message::RedactRule;
use logphase_script::transaction;

pub use load::{FILE_VARIABLE, variables};
pub use queue::{Durability, Overflow, QueueOverride, QueueSettings, Sync};
pub use redact::Secret;

/// Where the service answers how it fares unless it is told otherwise: Kong's status port.
pub const STATUS_ADDRESS: &str = "127.0.0.1:8007";

/// All settings, complete.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Settings {
    /// Declarative files to read if the command line names none.
    pub config: Vec<PathBuf>,
    /// Where files of our own are kept. By default systemd's `STATE_DIRECTORY`; else `/var/lib/logphase` for root, and
    /// for others `$XDG_STATE_HOME/logphase` or `~/.local/state/logphase`.
    pub data_dir: PathBuf,
    /// Worker threads, each with a Lua VM; by default as many as there are cores.
    pub workers: usize,
    /// Where transactions come in.
    pub inputs: Inputs,
    /// What one body and one transaction may be.
    pub limits: Limits,
    /// What snippets may call.
    pub untrusted_lua: Profile,
    /// Modules that snippets may `require` beside those of the profile.
    pub untrusted_lua_sandbox_requires: Vec<String>,
    /// Names that snippets may use beside those of the profile.
    pub untrusted_lua_sandbox_environment: Vec<String>,
    /// Addresses and networks for which `kong.ip.is_trusted` is true.
    pub trusted_ips: Vec<String>,
    /// What snippets may use up.
    pub lua: Lua,
    /// Where the service answers how it fares.
    pub status: Status,
    /// When the configuration is read again.
    pub reload: Reload,
    /// What the system keeps the process from.
    pub confinement: Confinement,
    /// Give Kong's exact output where it is odd.
    pub kong_quirks: bool,
    /// What happens to a message when a snippet fails.
    pub on_error: OnError,
    /// What is taken out of every message, before each plugin's own rules.
    pub redact: Vec<RedactRule>,
    /// The key of hashes.
    pub redact_key: Option<Secret>,
    /// Defaults of every plugin's queue.
    pub queue: QueueSettings,
    /// Settings of single plugins, by instance name or name. They win over what the plugin's own configuration says.
    pub plugins: BTreeMap<String, PluginOverride>,
    /// How long delivery may go on after a signal to stop.
    #[serde(deserialize_with = "queue::seconds")]
    pub shutdown_timeout: Duration,
    /// The service's own log.
    pub log: Log,
    /// Only plugins with all of these tags are taken.
    pub select_tags: Vec<String>,
}

/// Where transactions come in. An input without an address is off.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Inputs {
    /// HTTP.
    pub http: Listener,
    /// JSON lines over TCP.
    pub tcp: Listener,
    /// JSON lines over Unix sockets.
    pub unix: UnixListener,
    /// One object per datagram.
    pub udp: UdpListener,
}

/// A listener for connections.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Listener {
    /// Addresses, `HOST:PORT`.
    pub listen: Vec<String>,
    /// Connections at the same time, all addresses together.
    pub max_connections: usize,
    /// How long a connection may be idle before it is closed.
    #[serde(deserialize_with = "queue::seconds")]
    pub idle_timeout: Duration,
}

/// A listener on Unix sockets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UnixListener {
    /// Paths of the sockets.
    pub paths: Vec<PathBuf>,
    /// Connections at the same time, all paths together.
    pub max_connections: usize,
    /// How long a connection may be idle before it is closed.
    #[serde(deserialize_with = "queue::seconds")]
    pub idle_timeout: Duration,
}

/// A listener for datagrams.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UdpListener {
    /// Addresses, `HOST:PORT`.
    pub listen: Vec<String>,
}

/// What one body and one transaction may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Limits {
    /// Bytes of an HTTP body, unpacked.
    pub max_body_bytes: usize,
    /// Bytes of one transaction.
    pub max_transaction_bytes: usize,
    /// Levels of nesting; the outermost object is level 1.
    pub max_depth: usize,
    /// Members of objects and elements of arrays, all levels together.
    pub max_members: usize,
}

impl Limits {
    /// The limits of one transaction.
    pub fn transaction(&self) -> transaction::Limits {
        let Self { max_transaction_bytes: max_bytes, max_depth, max_members, .. } = *self;
        transaction::Limits { max_bytes, max_depth, max_members }
    }
}

/// What snippets may use up. Whoever is past a budget loses the field at hand, never the message.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Lua {
    /// Milliseconds that one snippet may run.
    pub deadline_ms: f64,
    /// Milliseconds that all snippets of one plugin may run for one transaction.
    pub plugin_deadline_ms: f64,
    /// Bytes of memory of each VM.
    pub memory_limit: usize,
    /// Bytes of JSON that one returned value may become.
    pub max_value_bytes: usize,
    /// Members, elements and plain values of one returned value, all levels together.
    pub max_value_nodes: usize,
    /// Levels of nesting of one returned value, the message included.
    pub max_value_depth: usize,
    /// Bytes of one snippet's text.
    pub max_source_bytes: usize,
    /// Levels of brackets and blocks in one snippet's text.
    pub max_source_nesting: usize,
    /// Time-outs in a row after which a snippet is suspended; 0 for never.
    pub suspend_after: u32,
    /// How long a suspended snippet is not run.
    #[serde(deserialize_with = "queue::seconds")]
    pub suspend_for: Duration,
    /// Lines per second that snippets may log; more are counted and left out.
    pub log_per_second: u32,
    /// Request headers that a snippet sees at most unless it asks for more (Kong's `lua_max_req_headers`).
    pub max_req_headers: usize,
    /// The same for response headers (`lua_max_resp_headers`).
    pub max_resp_headers: usize,
    /// The same for query arguments (`lua_max_uri_args`).
    pub max_uri_args: usize,
    /// The same for a form's arguments (`lua_max_post_args`).
    pub max_post_args: usize,
}

impl Lua {
    /// How long one snippet may run.
    pub fn deadline(&self) -> Duration {
        milliseconds(self.deadline_ms)
    }

    /// How long all snippets of one plugin may run for one transaction.
    pub fn plugin_deadline(&self) -> Duration {
        milliseconds(self.plugin_deadline_ms)
    }
}

fn milliseconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count / 1000.0).unwrap_or(Duration::MAX)
}

/// Where the service answers how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Addresses, `HOST:PORT`.
    pub listen: Vec<String>,
}

/// When the configuration is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Reload {
    /// Whether by itself when its files have changed; SIGHUP does it in any case.
    pub watch: bool,
    /// How often the files are looked at.
    #[serde(deserialize_with = "queue::seconds")]
    pub interval: Duration,
}

/// What the system keeps the process from, where it is a Linux that can.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Confinement {
    /// Whether worker threads may make only the system calls that computing needs.
    pub seccomp: bool,
    /// Whether the process may open only the files that it has business with.
    pub landlock: bool,
    /// More files and directories that may be read and written.
    pub paths: Vec<PathBuf>,
}

/// What happens to a message when a snippet fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The field is left untouched; the message goes out, and so do those of later plugins.
    #[default]
    Keep,
    /// Kong's way: this plugin and all later ones emit nothing for the transaction.
    Drop,
}

/// What becomes of a message that no datagram holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Oversize {
    /// It is counted and logged with its size.
    #[default]
    Drop,
    /// It is sent over TCP to the same host and port.
    Tcp,
    /// It is cut to fit.
    Truncate,
}

/// The service's own log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How lines of the service's own log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Settings of a single plugin; what is not given stays as it is.
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
    /// Rules beside those that hold for every plugin.
    pub redact: Vec<RedactRule>,
    /// Its queue.
    pub queue: Option<QueueOverride>,
}

impl PluginOverride {
    fn apply_body(&self, body: &mut BodyOptions) {
        body.include = self.include_body.unwrap_or(body.include);
        body.max_size = self.max_body_size.or(body.max_size);
        body.types = self.body_types.clone().or(body.types.take());
        body.keep_broken = self.on_body_error.map_or(body.keep_broken, |on_error| on_error == OnError::Keep);
    }
}

/// What holds for one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSettings {
    /// What happens to a message when a snippet fails.
    pub on_error: OnError,
    /// What becomes of a message that no datagram holds.
    pub oversize: Oversize,
    /// Which bodies its messages carry.
    pub body: BodyOptions,
    /// Its queue.
    pub queue: QueueSettings,
}

impl Settings {
    /// What holds for `plugin`: the defaults, over them its own configuration, over that the settings for its name, and
    /// over all the settings for its instance name.
    pub fn for_plugin(&self, plugin: &Plugin) -> PluginSettings {
        // The configuration was validated when it was read: what does not fit is not there.
        let own: PluginOverride = serde_json::from_value(plugin.config.clone()).unwrap_or_default();
        let by_name = self.plugins.get(plugin.definition.name);
        let by_instance = plugin.instance_name.as_ref().and_then(|name| self.plugins.get(name));
        let mut settings = PluginSettings {
            on_error: self.on_error,
            oversize: Oversize::default(),
            body: BodyOptions::new(plugin.definition.include_body, self.lua.max_post_args),
            queue: self.queue.clone(),
        };
        for (at, given) in [Some(&own), by_name, by_instance].into_iter().enumerate() {
            let Some(given) = given else { continue };
            settings.on_error = given.on_error.unwrap_or(settings.on_error);
            settings.oversize = given.oversize.unwrap_or(settings.oversize);
            given.apply_body(&mut settings.body);
            if let Some(queue) = &given.queue {
                settings.queue.apply(queue);
                settings.queue.is_kongs_default |= at == 0 && queue.has_kongs_max_entries();
            }
        }
        settings
    }

    /// A warning for each of the settings of single plugins that is for none of `configuration`'s plugins.
    pub fn unmatched(&self, configuration: &Configuration) -> Vec<Diagnostic> {
        let plugins = || configuration.plugins.iter();
        let known = || {
            plugins().flat_map(|plugin| std::iter::once(plugin.definition.name).chain(plugin.instance_name.as_deref()))
        };
        let unmatched = self.plugins.keys().filter(|name| !known().any(|known| known == *name));
        let warning = |name: &String| {
            let message = format!("the settings for plugin `{name}` are for no plugin of the configuration");
            let diagnostic = Diagnostic::warning(codes::UNKNOWN_SETTING, message).path(format!("plugins.{name}"));
            match suggest(name, known()) {
                Some(found) => diagnostic.help(format!("did you mean `{found}`?")),
                None => diagnostic.help("use a plugin's name or instance name"),
            }
        };
        unmatched.map(warning).collect()
    }
}

#[cfg(test)]
mod tests;
