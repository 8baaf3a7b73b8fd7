//! The kinds of entities that the Admin API has.

use logphase_config::schema::{Field, Record, Shown, Type};

use super::{credentials, schema};
use crate::entity::EntityKind;

/// A kind of entity.
pub(crate) struct Kind {
    /// Kong's name of the collection, which its errors have.
    pub(crate) name: &'static str,
    /// The collection in paths.
    pub(crate) path: &'static str,
    /// The collection in paths below an entity that it refers to.
    pub(crate) nested: &'static str,
    /// The field by which other entities refer to it.
    pub(crate) singular: &'static str,
    /// The field that can stand for the id in paths; empty if none can.
    pub(crate) key: &'static str,
    /// Its fields.
    pub(crate) record: fn() -> &'static Record,
    /// The same kind of the log phase; `None` if it does not use such entities.
    pub(crate) of_log_phase: Option<EntityKind>,
    /// References whose target cannot be deleted while they exist. Entities with other references go with their targets.
    pub(crate) restricted: &'static [&'static str],
    /// Whether it has a collection of its own in paths.
    pub(crate) listed: bool,
}

/// A kind that the log phase uses.
const fn of_log_phase(
    kind: EntityKind,
    name: &'static str,
    [singular, key]: [&'static str; 2],
    record: fn() -> &'static Record,
    restricted: &'static [&'static str],
) -> Kind {
    Kind { name, path: name, nested: name, singular, key, record, of_log_phase: Some(kind), restricted, listed: true }
}

/// A kind that only Kong uses.
const fn of_kong(name: &'static str, [singular, key]: [&'static str; 2], record: fn() -> &'static Record) -> Kind {
    Kind { name, path: name, nested: name, singular, key, record, of_log_phase: None, restricted: &[], listed: true }
}

/// Credentials of consumers: `name`, with `paths` as a collection and below a consumer.
const fn credentials(
    name: &'static str,
    [path, nested]: [&'static str; 2],
    key: &'static str,
    record: fn() -> &'static Record,
) -> Kind {
    Kind { path, nested, ..of_kong(name, ["credential", key], record) }
}

/// All kinds, each after those that it refers to.
pub(crate) static KINDS: &[Kind] = &[
    of_log_phase(
        EntityKind::Certificates,
        "certificates",
        ["certificate", ""],
        || EntityKind::Certificates.schema(),
        &[],
    ),
    of_kong("ca_certificates", ["ca_certificate", ""], || &schema::CA_CERTIFICATE),
    of_kong("snis", ["sni", "name"], || &schema::SNI),
    of_kong("vaults", ["vault", "prefix"], || &schema::VAULT),
    Kind { path: "key-sets", ..of_kong("key_sets", ["set", "name"], || &schema::KEY_SET) },
    of_kong("keys", ["key", "name"], || &schema::KEY),
    of_kong("partials", ["partial", "name"], || &schema::PARTIAL),
    Kind { restricted: &["client_certificate"], ..of_kong("upstreams", ["upstream", "name"], || &schema::UPSTREAM) },
    Kind { listed: false, ..of_kong("targets", ["target", "target"], || &schema::TARGET) },
    of_log_phase(
        EntityKind::Services,
        "services",
        ["service", "name"],
        || EntityKind::Services.schema(),
        &["client_certificate"],
    ),
    of_log_phase(EntityKind::Routes, "routes", ["route", "name"], || EntityKind::Routes.schema(), &["service"]),
    of_log_phase(EntityKind::Consumers, "consumers", ["consumer", "username"], || EntityKind::Consumers.schema(), &[]),
    of_kong("acls", ["acl", ""], || &schema::ACL),
    credentials("keyauth_credentials", ["key-auths", "key-auth"], "key", || &credentials::KEY_AUTH),
    credentials("keyauth_enc_credentials", ["key-auths-enc", "key-auth-enc"], "key", || &credentials::KEY_AUTH),
    credentials("basicauth_credentials", ["basic-auths", "basic-auth"], "username", || &credentials::BASIC_AUTH),
    credentials("hmacauth_credentials", ["hmac-auths", "hmac-auth"], "username", || &credentials::HMAC_AUTH),
    credentials("jwt_secrets", ["jwts", "jwt"], "key", || &credentials::JWT),
    credentials("oauth2_credentials", ["oauth2", "oauth2"], "client_id", || &credentials::OAUTH2),
    credentials("mtls_auth_credentials", ["mtls-auths", "mtls-auth"], "", || &credentials::MTLS_AUTH),
    of_log_phase(
        EntityKind::ConsumerGroups,
        "consumer_groups",
        ["consumer_group", "name"],
        || EntityKind::ConsumerGroups.schema(),
        &[],
    ),
    Kind { listed: false, ..of_kong(MEMBERSHIPS, ["membership", ""], || &schema::MEMBERSHIP) },
    of_log_phase(EntityKind::Apis, "apis", ["api", "name"], || EntityKind::Apis.schema(), &[]),
    of_log_phase(EntityKind::Plugins, "plugins", ["plugin", "instance_name"], || EntityKind::Plugins.schema(), &[]),
];

/// The kind of the memberships of consumers in groups.
pub(crate) const MEMBERSHIPS: &str = "consumer_group_consumers";

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The kind called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// The kind whose collection has the path `path`.
pub(crate) fn at_path(path: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.path == path)
}

impl Kind {
    /// Its number among [`KINDS`].
    pub(crate) fn index(&'static self) -> usize {
        KINDS.iter().position(|kind| kind == self).expect("every kind is in the table")
    }

    /// Whether it is the kind of plugins.
    pub(crate) fn is_plugins(&self) -> bool {
        self.of_log_phase == Some(EntityKind::Plugins)
    }

    /// Its fields that refer to other entities, each with the kind that it refers to.
    pub(crate) fn references(&self) -> impl Iterator<Item = (&'static Field, &'static Kind)> + use<> {
        (self.record)().fields.iter().filter_map(|field| match field.ty {
            Type::Foreign(kind) => Some((field, find(kind)?)),
            _ => None,
        })
    }

    /// Its field that refers to entities of `target`.
    pub(crate) fn reference_to(&self, target: &Kind) -> Option<&'static Field> {
        self.references().find(|(_, kind)| *kind == target).map(|(field, _)| field)
    }

    /// Its fields whose values are unique.
    pub(crate) fn unique_fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        (self.record)().fields.iter().filter(|field| field.unique && field.shown != Shown::InFiles)
    }

    /// Whether the entities are part of what the log phase runs by.
    pub(crate) fn matters_to_log_phase(&self) -> bool {
        self.of_log_phase.is_some() || matches!(self.name, MEMBERSHIPS | "vaults")
    }
}
