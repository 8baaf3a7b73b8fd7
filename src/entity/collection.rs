//! The kinds of entities, their fields, and what nests in what.

use crate::plugin::PROTOCOL_NAMES;
use logphase_config::schema::{Check, Default, Field, Record};

/// A kind of entity that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Collection {
    Services,
    Routes,
    Consumers,
    ConsumerGroups,
    Apis,
    Certificates,
    Plugins,
}

pub(super) const COLLECTIONS: [Collection; 7] = [
    Collection::Services,
    Collection::Routes,
    Collection::Consumers,
    Collection::ConsumerGroups,
    Collection::Apis,
    Collection::Certificates,
    Collection::Plugins,
];

impl Collection {
    /// The key of its list.
    pub(super) fn name(self) -> &'static str {
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

    /// The key of a reference to one.
    pub(super) fn singular(self) -> &'static str {
        match self {
            Self::ConsumerGroups => "consumer_group",
            other => &other.name()[..other.name().len() - 1],
        }
    }

    /// One of them in words.
    pub(super) fn word(self) -> &'static str {
        if self == Self::ConsumerGroups { "consumer group" } else { self.singular() }
    }

    /// The field with its name.
    pub(super) fn key(self) -> &'static str {
        if self == Self::Consumers { "username" } else { "name" }
    }

    /// The lists that may stand inside one.
    pub(super) fn nested(self) -> &'static [Self] {
        match self {
            Self::Services => &[Self::Routes, Self::Plugins],
            Self::Certificates | Self::Plugins => &[],
            _ => &[Self::Plugins],
        }
    }

    /// Its fields.
    pub(super) fn schema(self) -> &'static Record {
        match self {
            Self::Services => &SERVICE,
            Self::Routes => &ROUTE,
            Self::Consumers => &CONSUMER,
            Self::ConsumerGroups => &CONSUMER_GROUP,
            Self::Apis => &API,
            Self::Certificates => &CERTIFICATE,
            Self::Plugins => &PLUGIN,
        }
    }
}

/// Top-level lists of Kong's that have no meaning for the log phase.
pub(super) const WITHOUT_USE: &[&str] = &[
    "acls",
    "acme_storage",
    "admins",
    "application_instances",
    "applications",
    "basicauth_credentials",
    "ca_certificates",
    "cloned_plugins",
    "clustering_data_planes",
    "consumer_group_overrides",
    "credentials",
    "custom_plugins",
    "degraphql_routes",
    "developers",
    "document_objects",
    "documents",
    "event_hooks",
    "files",
    "filter_chains",
    "graphql_ratelimiting_advanced_cost_decoration",
    "group_rbac_roles",
    "groups",
    "header_cert_auth_credentials",
    "hmacauth_credentials",
    "jwt_secrets",
    "jwt_signer_jwks",
    "key_sets",
    "keyauth_credentials",
    "keyauth_enc_credentials",
    "keyring_keys",
    "keyring_meta",
    "keys",
    "konnect_applications",
    "licenses",
    "mtls_auth_credentials",
    "oauth2_authorization_codes",
    "oauth2_credentials",
    "oauth2_tokens",
    "parameters",
    "partials",
    "plugin_schemas",
    "ratelimiting_metrics",
    "rbac_role_endpoints",
    "rbac_role_entities",
    "rbac_roles",
    "rbac_user_groups",
    "rbac_user_roles",
    "rbac_users",
    "rla_counters",
    "service_packages",
    "service_versions",
    "sessions",
    "sm_vaults",
    "snis",
    "tags",
    "targets",
    "upstreams",
    "vault_auth_vaults",
    "vaults",
    "workspace_entity_counters",
    "workspaces",
    "custom_entities",
];

/// Keys about the file itself.
pub(super) const META: &[&str] =
    &["_comment", "_format_version", "_ignore", "_info", "_konnect", "_plugin_configs", "_transform", "_workspace"];

const ID: Field = Field::string("id").checks(&[Check::Uuid]);
const NAME: Field = Field::string("name");
const TAGS: Field = Field::set("tags", &Field::string(""));

static SERVICE: Record = Record::new(&[
    ID,
    NAME,
    TAGS,
    Field::boolean("enabled"),
    Field::any("url"),
    Field::any("protocol"),
    Field::any("host"),
    Field::any("port"),
    Field::any("path"),
    Field::any("retries"),
    Field::any("connect_timeout"),
    Field::any("write_timeout"),
    Field::any("read_timeout"),
    Field::any("client_certificate"),
    Field::any("ca_certificates"),
    Field::any("tls_verify"),
    Field::any("tls_verify_depth"),
    Field::any("tls_sans"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("routes"),
    Field::any("plugins"),
    Field::any("filter_chains"),
    Field::any("degraphql_routes"),
    Field::any("graphql_ratelimiting_advanced_cost_decoration"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

static ROUTE: Record = Record::new(&[
    ID,
    NAME,
    TAGS,
    Field::set("protocols", &Field::string("").checks(&[Check::OneOf(PROTOCOL_NAMES)])),
    Field::any("methods"),
    Field::any("hosts"),
    Field::any("paths"),
    Field::any("headers"),
    Field::any("snis"),
    Field::any("sources"),
    Field::any("destinations"),
    Field::any("expression"),
    Field::any("priority"),
    Field::any("regex_priority"),
    Field::any("strip_path"),
    Field::any("path_handling"),
    Field::any("preserve_host"),
    Field::any("request_buffering"),
    Field::any("response_buffering"),
    Field::any("https_redirect_status_code"),
    Field::any("service"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("plugins"),
    Field::any("filter_chains"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

static CONSUMER: Record = Record::new(&[
    ID,
    Field::string("username"),
    Field::string("custom_id"),
    TAGS,
    Field::any("type"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("username_lower"),
    Field::any("groups"),
    Field::any("plugins"),
    Field::any("acls"),
    Field::any("keyauth_credentials"),
    Field::any("keyauth_enc_credentials"),
    Field::any("basicauth_credentials"),
    Field::any("hmacauth_credentials"),
    Field::any("jwt_secrets"),
    Field::any("oauth2_credentials"),
    Field::any("mtls_auth_credentials"),
    Field::any("header_cert_auth_credentials"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

static CONSUMER_GROUP: Record = Record::new(&[
    ID,
    NAME.required(),
    TAGS,
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("consumers"),
    Field::any("plugins"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

static API: Record = Record::new(&[
    ID,
    NAME,
    TAGS,
    Field::any("uris"),
    Field::any("hosts"),
    Field::any("methods"),
    Field::any("upstream_url"),
    Field::any("strip_uri"),
    Field::any("preserve_host"),
    Field::any("retries"),
    Field::any("upstream_connect_timeout"),
    Field::any("upstream_send_timeout"),
    Field::any("upstream_read_timeout"),
    Field::any("https_only"),
    Field::any("http_if_terminated"),
    Field::any("public_dns"),
    Field::any("target_url"),
    Field::any("path"),
    Field::any("request_host"),
    Field::any("request_path"),
    Field::any("strip_path"),
    Field::any("strip_request_path"),
    Field::any("created_at"),
    Field::any("plugins"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

static CERTIFICATE: Record = Record::new(&[
    ID,
    Field::string("cert").required(),
    Field::string("key").required(),
    Field::any("cert_alt"),
    Field::any("key_alt"),
    Field::any("passphrase"),
    TAGS,
    Field::any("snis"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);

static PLUGIN: Record = Record::new(&[
    ID,
    NAME.required(),
    Field::string("instance_name"),
    Field::boolean("enabled").default(Default::Boolean(true)),
    Field::set("protocols", &Field::string("").checks(&[Check::OneOf(PROTOCOL_NAMES)])),
    TAGS,
    Field::any("config"),
    Field::any("route"),
    Field::any("service"),
    Field::any("consumer"),
    Field::any("consumer_group"),
    Field::any("api"),
    Field::any("route_id"),
    Field::any("service_id"),
    Field::any("consumer_id"),
    Field::any("api_id"),
    Field::any("value"),
    Field::any("ordering"),
    Field::string("condition").checks(&[Check::LenMax(1024)]),
    Field::any("partials"),
    Field::any("run_on"),
    Field::any("created_at"),
    Field::any("updated_at"),
    Field::any("_config"),
    Field::any("_comment"),
    Field::any("_ignore"),
]);
