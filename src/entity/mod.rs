//! Kong's entities (services, routes, consumers, plugins, ...) and their rules.
//!
//! An entity is read as a [`Draft`] from a file ([`crate::declarative`]) or a request. [`Configuration::from_drafts`]
//! validates drafts, resolves their references and returns typed records together with a diagnostic for every error.
//! The rules use only values and their [`Origin`](logphase_config::diagnostic::Origin), never files.

mod built;
mod by_plugin;
mod clones;
mod configuration;
mod consumer;
mod domain;
mod draft;
mod external;
mod index;
mod kind;
mod network;
mod path;
mod plugin;
mod route;
mod route_rules;
pub(crate) mod schema;
mod scope;
mod service;
mod service_rules;
mod stored;
mod tags;
mod unique;
mod vault;

pub(crate) use by_plugin::{ByPlugin, same_all};
pub use configuration::{Configuration, Routing, Rules};
pub use consumer::{Api, Certificate, Consumer, ConsumerGroup};
pub use domain::{DomainPattern, HostError, HostPattern, SniError, SniPattern};
pub use draft::{Completeness, Draft, Drafts, Validated};
pub(crate) use draft::{LOG_PHASE_FIELDS, read_request};
pub use kind::EntityKind;
pub use network::{Endpoint, NetworkError};
pub use path::{PathError, PathPattern, normalize_path};
pub(crate) use plugin::old_references;
pub use plugin::{ConfigOrigins, EarlierFunction, Field, NotRun, Plugin, UnknownPlugin, WhyNotRun};
pub use route::{HeaderMatch, HeaderValue, PathHandling, Route};
pub use scope::{EntityRef, Scope};
pub(crate) use service::members_of_url;
pub use service::{Service, UrlError};
pub use stored::{Stored, derived_id};
pub use tags::{SharedTags, Tags};

#[cfg(test)]
mod tests;
