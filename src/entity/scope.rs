//! The scope of a plugin.

use std::fmt;

/// A reference to an entity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityRef {
    /// The id.
    pub id: Option<String>,
    /// The name, or the username of a consumer.
    pub name: Option<String>,
}

impl EntityRef {
    /// The name, otherwise the id, for messages.
    pub fn label(&self) -> &str {
        self.name.as_deref().or(self.id.as_deref()).unwrap_or("without a name")
    }
}

/// The entities that a plugin applies to; all of them must match a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named after the kinds of entities")]
pub struct Scope {
    pub route: Option<EntityRef>,
    pub service: Option<EntityRef>,
    pub consumer: Option<EntityRef>,
    pub consumer_group: Option<EntityRef>,
    /// The API of Kong before 1.0.
    pub api: Option<EntityRef>,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
