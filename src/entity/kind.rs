//! The kinds of entities.

use super::schema;
use logphase_config::schema::Record;

/// A kind of entity that Logphase reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Kong's")]
pub enum EntityKind {
    Services,
    Routes,
    Consumers,
    ConsumerGroups,
    Apis,
    Certificates,
    Plugins,
}

impl EntityKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Services,
        Self::Routes,
        Self::Consumers,
        Self::ConsumerGroups,
        Self::Apis,
        Self::Certificates,
        Self::Plugins,
    ];

    /// Kong's name of the collection: the key of its list in a file, and its path in the Admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Routes => "routes",
            Self::Consumers => "consumers",
            Self::ConsumerGroups => "consumer_groups",
            Self::Apis => "apis",
            Self::Certificates => "certificates",
            Self::Plugins => "plugins",
        }
    }

    /// The field that refers to an entity of this kind.
    pub fn singular(self) -> &'static str {
        match self {
            Self::ConsumerGroups => "consumer_group",
            other => &other.name()[..other.name().len() - 1],
        }
    }

    /// The singular, for messages.
    pub fn word(self) -> &'static str {
        if self == Self::ConsumerGroups { "consumer group" } else { self.singular() }
    }

    /// The field that holds the name.
    pub fn key(self) -> &'static str {
        if self == Self::Consumers { "username" } else { "name" }
    }

    /// The fields.
    pub fn schema(self) -> &'static Record {
        match self {
            Self::Services => &schema::SERVICE,
            Self::Routes => &schema::ROUTE,
            Self::Consumers => &schema::CONSUMER,
            Self::ConsumerGroups => &schema::CONSUMER_GROUP,
            Self::Apis => &schema::API,
            Self::Certificates => &schema::CERTIFICATE,
            Self::Plugins => &schema::PLUGIN,
        }
    }
}
