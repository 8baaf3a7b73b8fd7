//! Logphase's own settings, for which Kong's files have no place: `logphase.yml` and `LOGPHASE_*`.
//!
//! A setting is one row of a `settings_record!`: its name, type, default, documentation, and whether it needs a restart.
//! Schema, environment variable, README.md's table and the check for a restart follow from it.
//!
//! Every key of the file has an environment variable, which overrides it: `LOGPHASE_` and the key's path in capitals,
//! joined by underscores, without `inputs` (`limits.max_depth` is `LOGPHASE_LIMITS_MAX_DEPTH`, `inputs.http.listen` is
//! `LOGPHASE_HTTP_LISTEN`). Lists are separated by commas; maps (`plugins`) are YAML. [`variables`] lists them.

mod checks;
mod custom_plugins;
mod database;
mod load;
mod mapping;
mod plugin;
mod queue;
pub(crate) mod redact;
pub(crate) mod restart;
mod sections;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::entity::Configuration;
use crate::input::LineAddresses;
use logphase_config::diagnostic::{Diagnostic, Suggestions, codes};
use logphase_config::schema::{Check, Default, Field, Placeholders};
use logphase_script::Profile;
use logphase_script::message::RedactRule;

pub use crate::decode::mapping::Mappings;
pub use crate::input::{InputSettings, InputValues, Limits, Shared};
pub use crate::log::LogFormat;
pub use crate::options::queue::{Durability, QueueOptions, QueueOverride, SyncPolicy};
pub use crate::options::secret::Secret;
pub use crate::phase::FairBy;
pub use crate::sink::udp::Oversize;
pub use custom_plugins::CustomPlugins;
pub use load::{FILE_VARIABLE, GivenBy, SettingOrigin, variables};
pub(crate) use load::{environment, is_default_data_dir};
pub use logphase_queue::Overflow;
pub use plugin::{OnError, PluginFieldError, PluginOverride, PluginSettings};
pub use queue::{QueueLimits, QueueSettings};
pub use sections::{
    ADMIN_ADDRESS, AdminApi, Confinement, Files, Log, Lua, Mesh, Page, Reload, STATUS_ADDRESS, Status, Vault, VaultEnv,
};
pub use values::Values;

use crate::options::record::{TEXT, boolean, choice, duration, list, settings_record};
use crate::plugin::field;
use crate::router::{self, Calculation, Flavor};

/// The phases that [`logphase_script::Phase::REPLAYED`] has.
const REPLAYED: &[&str] = &["rewrite", "access", "header_filter", "body_filter"];

const PLUGIN: Field = Field::record("", &plugin::OVERRIDE);

settings_record! {
    /// All settings, complete.
    pub struct Settings {
        /// Declarative files to read if the command line names none.
        config: Vec<PathBuf> = Field::array("", &TEXT).default(Default::Strings(&[]));
        /// Directory of Logphase's own files.
        // By default systemd's `STATE_DIRECTORY`; else `/var/lib/logphase` for root, and for others
        // `$XDG_STATE_HOME/logphase` or `~/.local/state/logphase`.
        @restart data_dir: PathBuf = Field::string("");
        /// Worker threads, each with a Lua VM; by default one per core.
        @restart workers: usize = Field::integer("").checks(&[Check::Between(1.0, 1024.0)]);
        /// Who takes turns when transactions wait for the workers: addresses of peers (`peer`), connections
        /// (`connection`), or routes (`route`).
        @restart fair_by: FairBy = choice("peer", &[Check::OneOf(&["peer", "connection", "route"])]);
        /// Inputs and their listeners; an empty list turns an input off.
        @record inputs: InputValues = Field::record("", InputValues::RECORD).required();
        /// Limits on a body and on a transaction.
        @restart limits: Limits = Field::record("", Limits::RECORD).required();
        /// Mappings of what other proxies log to transactions, by name (docs/mappings.md).
        @restart mappings: Mappings = mapping::FIELD;
        /// Profile of the names that snippets may use: `sandbox`, `strict` (more of Kong's names) or `off` (no snippets).
        untrusted_lua: Profile = choice("sandbox", &[Check::Custom(checks::profile)]);
        /// Modules that snippets may `require` in addition to those of the profile.
        untrusted_lua_sandbox_requires: Vec<String> =
            list(&Field::string("").checks(&[Check::Custom(checks::module)]));
        /// Names that snippets may use in addition to those of the profile.
        untrusted_lua_sandbox_environment: Vec<String> =
            list(&Field::string("").checks(&[Check::Custom(checks::name)]));
        /// Phases whose pre- and post-functions run before the log phase for traffic that Kong did not serve: `rewrite`,
        /// `access`, `header_filter` and `body_filter`.
        // For each input with a mapping other than `kong`, or with `match_routes: true`.
        replay_phases: Vec<String> = list(&Field::string("").checks(&[Check::OneOf(REPLAYED)]));
        /// Addresses and networks for which `kong.ip.is_trusted` is true.
        trusted_ips: Vec<String> = list(&Field::string("").checks(&[Check::Custom(checks::network)]));
        /// Kong's `router_flavor`, for inputs that find routes: `traditional_compatible` or `expressions`; by default
        /// `expressions` if a route has an expression.
        router_flavor: Option<Flavor> = Field::string("").checks(&[Check::Custom(checks::router_flavor)]);
        /// Kong's `route_match_calculation`, for inputs that find routes: `original` or `strict`.
        route_match_calculation: Calculation = choice("original", &[Check::OneOf(Calculation::NAMES)]);
        /// Secrets that `{vault://...}` references may name.
        vault: Vault = Field::record("", Vault::RECORD).required();
        /// Budgets of snippets.
        lua: Lua = Field::record("", Lua::RECORD).required();
        /// Listeners for status and metrics.
        @restart status: Status = Field::record("", Status::RECORD).required();
        /// The Admin API.
        @restart admin: AdminApi = Field::record("", AdminApi::RECORD).required();
        /// The page in a browser.
        @restart page: Page = Field::record("", Page::RECORD).required();
        /// Where the entities are kept that the Admin API changes: `sqlite`, a file in `data_dir`; `postgres`, a database that
        /// several nodes share; or `off`, if declarative files have them.
        @restart database: DatabaseKind = choice("off", &[Check::OneOf(DatabaseKind::NAMES)]);
        /// URL of the database, for `postgres`: `postgres://USER:PASSWORD@HOST/NAME`, with libpq's parameters.
        @restart database_url: Option<Secret> = Field::string("");
        /// Key that the entities are encrypted with in the database: 32 bytes as base64 or hexadecimal digits.
        @restart database_key: Option<Secret> = Field::string("");
        /// Key that `database_key` replaces at this start; without `database_key`, the entities become plain.
        @restart database_old_key: Option<Secret> = Field::string("");
        /// When the configuration is reloaded.
        reload: Reload = Field::record("", Reload::RECORD).required();
        /// Restrictions on system calls and files of the process (Linux).
        @restart confinement: Confinement = Field::record("", Confinement::RECORD).required();
        /// Access logs of meshes.
        mesh: Mesh = Field::record("", Mesh::RECORD).required();
        /// Files that plugins write.
        @restart files: Files = Field::record("", Files::RECORD).required();
        /// Produce Kong's exact output in odd cases.
        kong_quirks: bool = boolean(false);
        /// If a snippet fails: `keep` the message and leave the field unchanged, or `drop` the message as Kong does.
        on_error: OnError = field::ON_ERROR.required().default(Default::String("keep"));
        /// Redaction rules for every message, applied before each plugin's own rules.
        redact: Vec<RedactRule> = field::REDACT.required().default(Default::Strings(&[]));
        /// Secret key for the hashes of `redact`, at least 16 bytes.
        redact_key: Option<Secret> = Field::string("");
        /// Defaults of every plugin's queue, and limits on all queues together.
        @record queue: QueueSettings = Field::record("", &queue::RECORD).required();
        /// Settings of individual plugins, by instance name or name; they override the plugin's own configuration.
        plugins: BTreeMap<String, PluginOverride> = Field::map("", &TEXT, &PLUGIN);
        /// How long delivery may continue after a signal to stop.
        #[serde(deserialize_with = "crate::options::record::seconds")]
        @restart shutdown_timeout: Duration = duration(30, &[]);
        /// The service's own log.
        @restart log: Log = Field::record("", Log::RECORD).required();
        /// What becomes of plugins that are not Kong's: `note` (they are skipped), `error`, or a list of names to skip; others
        /// are errors then.
        custom_plugins: CustomPlugins =
            Field::any("").required().default(Default::String("note")).checks(&[Check::Custom(custom_plugins::check)]);
        /// Run only plugins that have all of these tags.
        select_tags: Vec<String> = Field::array("", &TEXT).default(Default::Strings(&[]));
        hidden {
            /// What it was made of.
            values: Values
        }
    }
}

/// Where entities are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseKind {
    /// In declarative files.
    Off,
    /// In a file of SQLite.
    Sqlite,
    /// In a database of PostgreSQL, which several nodes share.
    Postgres,
}

impl DatabaseKind {
    /// The words in the settings.
    const NAMES: &[&str] = &["off", "sqlite", "postgres"];

    /// The word in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl Settings {
    /// Whether functions of the phase `name` run before the log phase, for traffic that Kong did not serve.
    pub fn replays(&self, name: &str) -> bool {
        self.replay_phases.iter().any(|phase| phase == name)
    }

    /// The JSON Schema of the settings file.
    pub fn json_schema() -> serde_json::Value {
        let mut schema = Self::RECORD.to_json_schema(Placeholders::None);
        schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
        schema["title"] = "Settings of Logphase (logphase.yml)".into();
        // An empty file has all defaults.
        schema["type"] = serde_json::json!(["object", "null"]);
        schema
    }

    /// How the router is built.
    pub fn router(&self) -> router::Options {
        router::Options { flavor: self.router_flavor, calculation: self.route_match_calculation }
    }

    /// A warning for each entry of `plugins` that matches no plugin of `configuration`.
    pub fn unmatched(&self, configuration: &Configuration) -> Vec<Diagnostic> {
        let plugins = configuration.plugins.iter();
        let known: BTreeSet<&str> = plugins
            .flat_map(|plugin| std::iter::once(plugin.definition.name).chain(plugin.instance_name.as_deref()))
            .chain(configuration.mesh.output_names())
            .collect();
        let suggestions = Suggestions::default();
        // Of the collectors that lines name, which are not known yet.
        let lines = LineAddresses::of(self);
        let of_lines = |name: &str| lines.as_ref().is_some_and(|lines| lines.has_output(name));
        let unmatched = self.plugins.keys().filter(|name| !known.contains(name.as_str()) && !of_lines(name));
        let warning = |name: &String| {
            let message = format!("the settings for plugin `{name}` are for no plugin of the configuration");
            let diagnostic = Diagnostic::warning(codes::UNKNOWN_SETTING, message).path(format!("plugins.{name}"));
            match suggestions.find(name, known.iter().copied()) {
                Some(found) => diagnostic.help(format!("did you mean `{found}`?")),
                None => diagnostic.help("use a plugin's name or instance name"),
            }
        };
        unmatched.map(warning).collect()
    }
}

#[cfg(test)]
mod tests;

impl<'a> From<&'a Settings> for InputSettings<'a> {
    fn from(settings: &'a Settings) -> Self {
        Self { inputs: &settings.inputs, shared: settings.into() }
    }
}

impl<'a> From<&'a Settings> for Shared<'a> {
    fn from(settings: &'a Settings) -> Self {
        Self { limits: &settings.limits, mappings: &settings.mappings, data_dir: &settings.data_dir }
    }
}
