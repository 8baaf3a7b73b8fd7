//! Consumers, consumer groups, APIs and certificates.

use super::draft::Draft;
use super::tags::Tags;
use logphase_config::diagnostic::Origin;

/// A consumer.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// The id.
    pub id: Option<String>,
    /// The username.
    pub username: Option<String>,
    /// The id of the consumer in another system.
    pub custom_id: Option<String>,
    /// Its tags, with those that its file adds.
    pub tags: Tags,
    /// Where it comes from.
    pub origin: Origin,
}

impl Consumer {
    pub(super) fn from_draft(draft: &Draft) -> Self {
        Self {
            id: draft.id(),
            username: draft.string("username"),
            custom_id: draft.string("custom_id"),
            tags: draft.tags(),
            origin: draft.origin(),
        }
    }
}

/// A consumer group.
#[derive(Debug, Clone)]
pub struct ConsumerGroup {
    /// The id.
    pub id: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Its tags, with those that its file adds.
    pub tags: Tags,
    /// Where it comes from.
    pub origin: Origin,
}

impl ConsumerGroup {
    pub(super) fn from_draft(draft: &Draft) -> Self {
        Self { id: draft.id(), name: draft.string("name"), tags: draft.tags(), origin: draft.origin() }
    }
}

/// An API of Kong before 1.0, which services and routes replaced.
#[derive(Debug, Clone)]
pub struct Api {
    /// The id.
    pub id: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Its tags, with those that its file adds.
    pub tags: Tags,
    /// Where it comes from.
    pub origin: Origin,
}

impl Api {
    pub(super) fn from_draft(draft: &Draft) -> Self {
        Self { id: draft.id(), name: draft.string("name"), tags: draft.tags(), origin: draft.origin() }
    }
}

/// A client certificate with its key, for sinks that use mutual TLS.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate chain as PEM, the leaf certificate first.
    pub cert: String,
    /// Its private key, as PEM.
    pub key: String,
    /// The origins of both.
    pub origins: [Origin; 2],
}

impl Certificate {
    pub(super) fn from_draft(draft: &Draft) -> Option<Self> {
        let origins = ["cert", "key"].map(|name| draft.field_origin(name));
        Some(Self { cert: draft.string("cert")?, key: draft.string("key")?, origins })
    }
}
