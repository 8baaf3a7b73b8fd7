//! What a path of the Admin API names.

use percent_encoding::percent_decode_str;

use super::kind::{self, KINDS, Kind};
use super::old::Old;
use super::upstreams::{self, UpstreamPath};

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/`
    Node,
    /// `/status`
    Status,
    /// `/endpoints`
    Endpoints,
    /// `/openapi.json`, which Kong lacks
    OpenApi,
    /// `/config`
    Config,
    /// `/tags`
    Tags,
    /// `/tags/TAG`
    Tag(String),
    /// `/timers`
    Timers,
    /// `/plugins/enabled`
    EnabledPlugins,
    /// `/plugins/schema/NAME`
    OldPluginSchema(String),
    /// `/schemas/plugins/NAME`
    PluginSchema(String),
    /// `/schemas/vaults/NAME`
    VaultSchema(String),
    /// `/schemas/filters/NAME`
    FilterSchema(String),
    /// `/schemas/ENTITY`
    Schema(String),
    /// `/schemas/ENTITY/validate`
    Validate(String),
    /// `/cache`
    Cache,
    /// `/cache/KEY`
    CacheKey,
    /// `/clustering/...`
    Clustering,
    /// `/debug/node/log-level`
    LogLevel,
    /// `/debug/node/log-level/LEVEL`
    SetLogLevel(String),
    /// `/filter-chains`
    FilterChains,
    /// A path of Kong before 1.0.
    Old(Old),
    /// A path below an upstream that Kong has for it alone.
    Upstream(String, UpstreamPath),
    /// A collection: `/services`
    Collection(&'static Kind),
    /// An entity: `/services/KEY`
    Entity(&'static Kind, String),
    /// The entities that refer to another one: `/services/KEY/routes`
    Children(Below),
    /// One of them: `/services/KEY/routes/KEY`
    Child(Below, String),
    /// The entity that another one refers to: `/routes/KEY/service`
    Referenced(&'static Kind, String, &'static str, &'static Kind),
    /// The consumers of a group, or the groups of a consumer: `/consumer_groups/KEY/consumers`
    Members(&'static Kind, String, &'static Kind),
    /// One of them.
    Member(&'static Kind, String, &'static Kind, String),
}

/// The entities `kind` that refer by `field` to the entity `key` of the kind `parent`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Below {
    pub(crate) parent: &'static Kind,
    pub(crate) key: String,
    pub(crate) kind: &'static Kind,
    pub(crate) field: &'static str,
}

/// The collections whose entities are also below what they refer to, by the parent's name (kong/api/routes).
const BELOW: [(&str, &str); 21] = [
    ("services", "routes"),
    ("services", "plugins"),
    ("routes", "plugins"),
    ("consumers", "plugins"),
    ("consumers", "acls"),
    ("consumers", "keyauth_credentials"),
    ("consumers", "keyauth_enc_credentials"),
    ("consumers", "basicauth_credentials"),
    ("consumers", "hmacauth_credentials"),
    ("consumers", "jwt_secrets"),
    ("consumers", "oauth2_credentials"),
    ("consumers", "mtls_auth_credentials"),
    ("consumer_groups", "plugins"),
    ("certificates", "snis"),
    ("certificates", "services"),
    ("certificates", "upstreams"),
    ("upstreams", "targets"),
    ("key_sets", "keys"),
    ("services", "filter_chains"),
    ("routes", "filter_chains"),
    ("consumers", "filter_chains"),
];

const LIST: &[&str] = &["GET", "HEAD", "OPTIONS", "POST"];
const ONE: &[&str] = &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"];
const READ: &[&str] = &["GET", "HEAD", "OPTIONS"];
const POST: &[&str] = &["OPTIONS", "POST"];

impl Target {
    /// What `path` names. A slash at its end does not matter.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<String> =
            path.split('/').skip(1).map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect();
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        Self::of_segments(&names).or_else(|| match &*names {
            // The only workspace.
            ["default"] => Some(Self::Node),
            ["default", "kong"] => Some(Self::Node),
            ["default", rest @ ..] => Self::of_segments(rest),
            _ => None,
        })
    }

    fn of_segments(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            [] | [""] => Self::Node,
            ["status"] => Self::Status,
            ["endpoints"] => Self::Endpoints,
            ["openapi.json"] => Self::OpenApi,
            ["config"] => Self::Config,
            ["timers"] => Self::Timers,
            ["tags"] => Self::Tags,
            ["tags", tag] => Self::Tag((*tag).to_owned()),
            ["plugins", "enabled"] => Self::EnabledPlugins,
            ["plugins", "schema", name] => Self::OldPluginSchema((*name).to_owned()),
            ["schemas", "plugins", "validate"] => Self::Validate("plugins".to_owned()),
            ["schemas", "plugins", name] => Self::PluginSchema((*name).to_owned()),
            ["schemas", "vaults", "validate"] => Self::Validate("vaults".to_owned()),
            ["schemas", "vaults", name] => Self::VaultSchema((*name).to_owned()),
            ["schemas", "filters", name] => Self::FilterSchema((*name).to_owned()),
            ["schemas", name] => Self::Schema((*name).to_owned()),
            ["schemas", name, "validate"] => Self::Validate((*name).to_owned()),
            ["cache"] => Self::Cache,
            ["cache", _] => Self::CacheKey,
            ["clustering", "data-planes" | "status"] => Self::Clustering,
            ["debug", "node", "log-level"] => Self::LogLevel,
            ["debug", "node" | "cluster", "log-level", level] => Self::SetLogLevel((*level).to_owned()),
            ["filter-chains", ..] => Self::FilterChains,
            ["apis" | "plugins_configurations", ..] => return Old::of(segments).map(Self::Old),
            [collection, rest @ ..] => {
                let kind = kind::at_path(collection).filter(|kind| kind.listed)?;
                return Self::of_kind(kind, rest);
            }
        })
    }

    fn of_kind(kind: &'static Kind, rest: &[&str]) -> Option<Self> {
        if let ("upstreams", [key, below @ ..]) = (kind.name, rest)
            && let Some(path) = UpstreamPath::of(below)
        {
            return Some(Self::Upstream((*key).to_owned(), path));
        }
        match rest {
            [] => Some(Self::Collection(kind)),
            [""] => None,
            [key] => Some(Self::Entity(kind, (*key).to_owned())),
            [key, below] => {
                if let Some((field, target)) = kind.references().find(|(field, _)| field.name == *below) {
                    return Some(Self::Referenced(kind, (*key).to_owned(), field.name, target));
                }
                if let Some(members) = members(kind, below) {
                    return Some(Self::Members(kind, (*key).to_owned(), members));
                }
                Self::below(kind, key, below).map(Self::Children)
            }
            [key, below, child] => {
                if let Some(members) = members(kind, below) {
                    return Some(Self::Member(kind, (*key).to_owned(), members, (*child).to_owned()));
                }
                Self::below(kind, key, below).map(|below| Self::Child(below, (*child).to_owned()))
            }
            _ => None,
        }
    }

    fn below(parent: &'static Kind, key: &str, name: &str) -> Option<Below> {
        let kind = KINDS.iter().find(|kind| kind.nested == name && BELOW.contains(&(parent.name, kind.name)))?;
        Some(Below { parent, key: key.to_owned(), kind, field: kind.reference_to(parent)?.name })
    }

    /// The methods that it has, sorted.
    pub(crate) fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Old(old) => old.methods(),
            Self::Upstream(_, path) => path.methods(),
            Self::Collection(_) | Self::Children(_) | Self::Members(..) | Self::Tags => LIST,
            Self::Entity(..) | Self::Child(..) | Self::Referenced(..) | Self::Tag(_) => ONE,
            Self::Member(..) => &["DELETE", "GET", "HEAD", "OPTIONS"],
            Self::Config => LIST,
            Self::Validate(_) => POST,
            Self::Cache => &["DELETE", "OPTIONS"],
            Self::CacheKey => &["DELETE", "GET", "HEAD", "OPTIONS"],
            Self::SetLogLevel(_) => &["OPTIONS", "PUT"],
            Self::FilterChains => ONE,
            Self::Node
            | Self::Status
            | Self::Endpoints
            | Self::OpenApi
            | Self::Timers
            | Self::EnabledPlugins
            | Self::OldPluginSchema(_)
            | Self::PluginSchema(_)
            | Self::VaultSchema(_)
            | Self::FilterSchema(_)
            | Self::Schema(_)
            | Self::Clustering
            | Self::LogLevel => READ,
        }
    }
}

/// The kind at the other side of the memberships of `kind`, if `path` is its collection.
fn members(kind: &Kind, path: &str) -> Option<&'static Kind> {
    match (kind.name, path) {
        ("consumer_groups", "consumers") | ("consumers", "consumer_groups") => kind::at_path(path),
        _ => None,
    }
}

/// Every path, as `/endpoints` lists them: sorted by segment.
pub(crate) fn endpoints() -> Vec<String> {
    let fixed = [
        "/",
        "/cache",
        "/cache/{key}",
        "/clustering/data-planes",
        "/clustering/status",
        "/config",
        "/debug/cluster/log-level/{log_level}",
        "/debug/node/log-level",
        "/debug/node/log-level/{log_level}",
        "/endpoints",
        "/plugins/enabled",
        "/plugins/schema/{name}",
        "/schemas/plugins/validate",
        "/schemas/plugins/{name}",
        "/schemas/vaults/validate",
        "/schemas/vaults/{name}",
        "/schemas/filters/{name}",
        "/schemas/{name}",
        "/schemas/{db_entity_name}/validate",
        "/status",
        "/tags",
        "/tags/{tags}",
        "/timers",
    ];
    let mut paths: Vec<String> = fixed.into_iter().chain(upstreams::PATHS).map(str::to_owned).collect();
    for kind in KINDS.iter().filter(|kind| kind.listed) {
        let one = format!("/{}/{{{}}}", kind.path, kind.name);
        paths.push(format!("/{}", kind.path));
        paths.extend(kind.references().map(|(field, _)| format!("{one}/{}", field.name)));
        for child in KINDS.iter().filter(|child| BELOW.contains(&(kind.name, child.name))) {
            paths.push(format!("{one}/{}", child.nested));
            paths.push(format!("{one}/{}/{{{}}}", child.nested, child.name));
        }
        for other in KINDS.iter().filter(|other| members(kind, other.path).is_some()) {
            paths.push(format!("{one}/{}", other.path));
            paths.push(format!("{one}/{}/{{{}}}", other.path, other.name));
        }
        paths.push(one);
    }
    paths.sort_by(|left, right| left.split('/').cmp(right.split('/')));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> String {
        Target::of(path).map_or("none".to_owned(), |target| format!("{target:?}").replace('"', ""))
    }

    /// Scenario: paths of each form, with slashes at the end, escapes and the prefix of the workspace. Guarantees: each names what Kong's
    /// does, and unknown ones nothing.
    #[test]
    fn paths() {
        assert_eq!(name("/"), "Node");
        assert_eq!(name("/default"), "Node");
        assert_eq!(name("/services"), "Collection(services)");
        assert_eq!(name("/services/"), "Collection(services)");
        assert_eq!(name("/default/services/a%20b"), "Entity(services, a b)");
        assert_eq!(name("/key-sets/a"), "Entity(key_sets, a)");
        assert!(name("/services/a/plugins").starts_with("Children(Below { parent: services, key: a, kind: plugins"));
        assert!(name("/services/a/plugins/b/").starts_with("Child(Below { parent: services"));
        assert!(name("/routes/a/service").starts_with("Referenced(routes, a"));
        assert_eq!(name("/consumer_groups/a/consumers/b"), "Member(consumer_groups, a, consumers, b)");
        assert_eq!(name("/schemas/plugins/file-log"), "PluginSchema(file-log)");
        for path in [
            "/nothing",
            "/targets",
            "/services/a/consumers",
            "/services/a/plugins/b/c",
            "/default/default",
            "/key_sets",
        ] {
            assert_eq!(name(path), "none", "{path}");
        }
    }
}
