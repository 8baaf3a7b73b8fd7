//! Kong's entities: what a service, a route, a consumer or a plugin is, and the rules that it must satisfy.
//!
//! An entity arrives as a [`Draft`], from a file ([`crate::declarative`]) or from a request. [`Configuration::from_drafts`]
//! validates drafts, resolves their references and returns typed records together with a diagnostic for every error.
//! The rules look at values and their [`Origin`](logphase_config::diagnostic::Origin) only, never at files.

mod configuration;
mod consumer;
mod domain;
mod draft;
mod index;
mod kind;
mod network;
mod path;
mod plugin;
mod route;
mod route_rules;
mod schema;
mod scope;
mod service;
mod unique;

pub use configuration::{Configuration, Rules};
pub use consumer::{Api, Certificate, Consumer, ConsumerGroup};
pub use domain::{DomainPattern, HostError, HostPattern, SniError, SniPattern};
pub use draft::{Completeness, Draft, Drafts};
pub use kind::EntityKind;
pub use network::{Endpoint, NetworkError};
pub use path::{PathError, PathPattern};
pub use plugin::{ConfigOrigins, Field, NotRun, Plugin};
pub use route::{HeaderMatch, HeaderValue, PathHandling, Route};
pub use scope::{EntityRef, Scope};
pub use service::{Service, UrlError};

#[cfg(test)]
mod tests;
