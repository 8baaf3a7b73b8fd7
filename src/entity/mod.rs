//! Kong's entities, as a declarative file gives them.
//!
//! [`read`] takes Kong's format (1.1, 2.1 and 3.0; YAML or JSON; flat and nested) and returns what the log phase needs
//! of it together with everything that is wrong with it.

mod collection;
mod plugin;
mod read;
mod reference;
mod unique;

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::plugin::{Definition, Protocol};
use logphase_config::diagnostic::Place;
use logphase_config::document::SnippetSource;

pub use read::{ReadOptions, read, read_tree};

/// Everything that the given files configure.
#[derive(Debug, Default)]
pub struct Configuration {
    /// The plugins that run in the log phase, disabled ones too, in the order they were written.
    pub plugins: Vec<Plugin>,
    /// The services.
    pub services: Vec<Entity>,
    /// The routes.
    pub routes: Vec<Entity>,
    /// The consumers; their name is the username.
    pub consumers: Vec<Entity>,
    /// The consumer groups.
    pub consumer_groups: Vec<Entity>,
    /// The APIs of Kong before 1.0.
    pub apis: Vec<Entity>,
    /// Plugins that have nothing to do in the log phase.
    pub not_run: Vec<NotRun>,
    /// Tells these files from others: the MD5 of their texts, in hexadecimal, as Kong's `configuration_hash` looks.
    pub digest: String,
    /// Names of the groups of a consumer, by its id and by its username.
    memberships: HashMap<String, BTreeSet<String>>,
}

impl Configuration {
    /// Names of the groups that a consumer is in, sorted. `consumer` is its id or username.
    pub fn groups_of(&self, consumer: &str) -> Vec<&str> {
        self.memberships.get(consumer).into_iter().flatten().map(String::as_str).collect()
    }
}

/// A service, route, consumer, consumer group or API.
#[derive(Debug, Clone)]
pub struct Entity {
    /// The id, if the file gives one.
    pub id: Option<String>,
    /// The name; of a consumer, the username.
    pub name: Option<String>,
    /// Its tags, with those that the file's `_info.select_tags` adds.
    pub tags: Vec<String>,
    /// Where it is written.
    pub place: Place,
}

/// A certificate with its key, to show to a server that asks for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, with those that lead to its root behind it, as PEM.
    pub cert: String,
    /// Its private key, as PEM.
    pub key: String,
}

/// What is known of an entity that a plugin is put on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityRef {
    /// The id, if the file gives one.
    pub id: Option<String>,
    /// The name; of a consumer, the username.
    pub name: Option<String>,
}

impl EntityRef {
    /// What users call it.
    pub fn label(&self) -> &str {
        self.name.as_deref().or(self.id.as_deref()).unwrap_or("without a name")
    }
}

/// What a plugin is put on; all of it must fit a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The route.
    pub route: Option<EntityRef>,
    /// The service.
    pub service: Option<EntityRef>,
    /// The consumer.
    pub consumer: Option<EntityRef>,
    /// The consumer group.
    pub consumer_group: Option<EntityRef>,
    /// The API of Kong before 1.0.
    pub api: Option<EntityRef>,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("route", &self.route),
            ("service", &self.service),
            ("consumer", &self.consumer),
            ("consumer group", &self.consumer_group),
            ("api", &self.api),
        ];
        let mut separator = "";
        for (name, entity) in parts.into_iter().filter_map(|(name, entity)| Some((name, entity.as_ref()?))) {
            write!(f, "{separator}{name} `{}`", entity.label())?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("global") } else { Ok(()) }
    }
}

/// One field of a plugin's `custom_fields_by_lua`.
#[derive(Debug, Clone)]
pub struct Field {
    /// The key path, as written.
    pub key: String,
    /// The Lua code.
    pub source: SnippetSource,
    /// Where the key is written.
    pub key_place: Place,
}

/// One configured plugin.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The id that the file gives, or one made from name and scope that stays the same.
    pub id: String,
    /// What it is.
    pub definition: &'static Definition,
    /// Its own name.
    pub instance_name: Option<String>,
    /// Whether it takes part in the plan.
    pub enabled: bool,
    /// The protocols that it runs for.
    pub protocols: Vec<Protocol>,
    /// What it is put on.
    pub scope: Scope,
    /// Its tags, with those that the file's `_info.select_tags` adds.
    pub tags: Vec<String>,
    /// Its `config`, with every default filled in.
    pub config: Value,
    /// The fields that it edits, in the order they were written.
    pub fields: Vec<Field>,
    /// The functions of the log phase of a pre-function or post-function, in order.
    pub functions: Vec<SnippetSource>,
    /// The certificate that its config refers to ([`Definition::certificate`]), from the file's `certificates`.
    pub certificate: Option<Certificate>,
    /// Written in the form of Kong before 0.5 (`name: tcplog`, `value:` for `config:`), which ended messages with CR LF.
    pub old_form: bool,
    /// Where it is written.
    pub place: Place,
}

/// A plugin of Kong's that has nothing to do in the log phase.
#[derive(Debug, Clone)]
pub struct NotRun {
    /// The plugin's name.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// What it is put on, in words.
    pub scope: String,
}

#[cfg(test)]
mod tests;
