//! The Admin API: Kong's own (docs/admin-api.md).
//!
//! `route` says what a path names, `answer` does what the method asks for. A write goes from the `body` of a request
//! through `read`, which validates it by Kong's schema, and `write`, which checks Kong's constraints, to `state`, which checks the
//! configuration as a whole, stores it and makes it active. Entities are in `tables`, and on disk in the `store`.

mod access;
mod address;
mod answer;
pub mod body;
mod certificates;
mod config;
mod copy;
mod credentials;
mod declared;
mod destination;
mod drafts;
mod entity_checks;
mod error;
mod flatten;
mod follow;
mod kind;
mod list;
mod log_level;
mod node;
mod old;
mod openapi;
mod plan;
mod read;
mod route;
mod schema;
mod schemas;
mod secrets;
mod server;
mod shorthands;
mod snippets;
mod state;
pub mod store;
mod tables;
mod texts;
mod upstream_rules;
mod upstreams;
mod write;
mod writes;
mod yaml;

pub(crate) use access::{Access, Caller, Certificates};
pub(crate) use body::MAX_BODY;
pub(crate) use copy::Copy;
pub(crate) use destination::{destination, destination_of};
pub(crate) use drafts::KnownDrafts;
pub(crate) use follow::Follower;
pub(crate) use node::Node;
pub(crate) use secrets::{MASK, mask_field};
pub(crate) use server::Admin;
pub(crate) use state::{Activation, Gateway, State, tables_of};
pub(crate) use store::{Contents, EncryptionKey, Location, Row, Store, StoreError, Watch};
#[cfg(test)]
pub(crate) use tables::Change;
pub(crate) use tables::Tables;

/// The kind called `name`.
#[cfg(test)]
pub(crate) fn kind_named(name: &str) -> &'static kind::Kind {
    kind::find(name).expect("a kind")
}

/// `tables` as a declarative file in YAML.
pub(crate) fn exported(tables: &Tables) -> String {
    yaml::print(&state::exported(tables, &|_, entity| serde_json::Map::clone(entity)))
}

/// `tables` as a declarative document, with a mask for each secret.
pub(crate) fn without_secrets(tables: &Tables) -> serde_json::Value {
    state::exported(tables, &|kind, entity| secrets::masked(kind, entity))
}

/// `value` as a document in YAML.
pub(crate) fn to_yaml(value: &serde_json::Value) -> String {
    yaml::print(value)
}

/// The same, with texts of several lines as people write them.
pub(crate) fn to_readable_yaml(value: &serde_json::Value) -> String {
    yaml::print_readable(value)
}

/// The entities of the declarative `sources`, which are valid, to be added to [`Tables`].
/// Those without `created_at` and `updated_at` are as old as `now`, in milliseconds since 1970.
pub(crate) fn changes_of(
    sources: &[std::sync::Arc<logphase_config::diagnostic::SourceFile>],
    now: i64,
) -> Vec<tables::Change> {
    texts::entities(sources, now)
}

/// The entities of the declarative `sources`, which are valid, as a database has them.
pub(crate) fn rows_of(sources: &[std::sync::Arc<logphase_config::diagnostic::SourceFile>]) -> Vec<Row> {
    let changes = changes_of(sources, state::now());
    let row = |change: tables::Change| {
        let entity = change.entity?;
        Some(Row { kind: change.kind.name.to_owned(), id: change.id, entity: serde_json::Map::clone(&entity) })
    };
    changes.into_iter().filter_map(row).collect()
}
