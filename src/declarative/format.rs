//! The top level of Kong's declarative format.

use crate::entity::EntityKind;

/// The lists that may be nested in an entity of `kind`.
pub(super) fn nested(kind: EntityKind) -> &'static [EntityKind] {
    match kind {
        EntityKind::Services => &[EntityKind::Routes, EntityKind::Plugins],
        EntityKind::Certificates | EntityKind::Plugins => &[],
        _ => &[EntityKind::Plugins],
    }
}

/// Kong's other top-level lists, which the log phase ignores.
pub(super) const OTHER_COLLECTIONS: &[&str] = &[
    "acls",
    "acme_storage",
    "admins",
    "application_instances",
    "applications",
    "basicauth_credentials",
    "ca_certificates",
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

/// The versions of the format that are read.
pub(super) const VERSIONS: &[&str] = &["1.1", "2.1", "3.0"];

/// Keys about the file itself.
pub(super) const METADATA: &[&str] =
    &["_comment", "_format_version", "_ignore", "_info", "_konnect", "_plugin_configs", "_transform", "_workspace"];
