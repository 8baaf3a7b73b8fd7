//! The names of queues.

use std::fmt;

use super::super::dead_letters;
use super::{InventoryError, QueueInfo};
use crate::plugin;

/// The name of a queue, or of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueName {
    /// Whether it names dead letters.
    pub dead: bool,
    /// The folder: `KIND-ID`.
    pub folder: String,
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dead {
            write!(f, "{}/", dead_letters::FOLDER)?;
        }
        f.write_str(&self.folder)
    }
}

impl QueueName {
    /// Parses a complete name.
    pub fn parse(name: &str) -> Self {
        let dead = name.strip_prefix(dead_letters::FOLDER).and_then(|rest| rest.strip_prefix('/'));
        Self { dead: dead.is_some(), folder: dead.unwrap_or(name).to_owned() }
    }

    /// The name of the plugin.
    pub fn plugin(&self) -> &str {
        let known = plugin::names().filter(|kind| self.folder.strip_prefix(kind).is_some_and(|id| id.starts_with('-')));
        known.max_by_key(|kind| kind.len()).unwrap_or(&self.folder)
    }

    /// Whether it is a valid folder name that cannot escape from its parent folder.
    pub fn is_valid(&self) -> bool {
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !self.folder.is_empty() && !self.folder.starts_with('.') && self.folder.chars().all(safe)
    }

    /// Finds the queue in `known` that `query` identifies by its name, a prefix of it, or the plugin's name, instance name or
    /// id.
    ///
    /// # Errors
    /// No queue or several queues match; with their names.
    pub fn find(query: &str, known: &[QueueInfo]) -> Result<Self, InventoryError> {
        if let Some(exact) = known.iter().find(|info| info.name == query) {
            return Ok(Self::parse(&exact.name));
        }
        let wanted = Self::parse(query);
        let fits = |info: &&QueueInfo| {
            let name = Self::parse(&info.name);
            let called = |known: &Option<String>| known.as_deref() == Some(wanted.folder.as_str());
            name.dead == wanted.dead
                && !wanted.folder.is_empty()
                && (name.folder.starts_with(&wanted.folder) || called(&info.instance_name) || called(&info.id))
        };
        let found: Vec<&QueueInfo> = known.iter().filter(fits).collect();
        let names = |infos: &mut dyn Iterator<Item = &QueueInfo>| {
            infos.map(|info| info.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        match found.as_slice() {
            [one] => Ok(Self::parse(&one.name)),
            [] if known.is_empty() => Err(InventoryError::NotFound(format!("no queue `{query}`: there are no queues"))),
            [] => Err(InventoryError::NotFound(format!("no queue `{query}`; there are {}", names(&mut known.iter())))),
            several => {
                let several = names(&mut several.iter().copied());
                Err(InventoryError::NotFound(format!("`{query}` matches {several}: give a longer part of the name")))
            }
        }
    }
}
