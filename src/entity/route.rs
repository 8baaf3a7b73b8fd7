//! Routes: they select the service of a request.

use std::sync::Arc;

use serde_json::Value;

use super::domain::{HostPattern, SniPattern};
use super::draft::Draft;
use super::network::Endpoint;
use super::path::PathPattern;
use super::scope::EntityRef;
use super::stored::Stored;
use super::tags::Tags;
use crate::plugin::Protocol;
use logphase_config::diagnostic::{Diagnostic, Origin};
use logphase_config::document::Node;

/// A route. An empty list matches any request.
#[derive(Debug, Clone)]
pub struct Route {
    /// The id.
    pub id: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Its tags, with those that its file adds.
    pub tags: Tags,
    /// The protocols; default: `http` and `https`.
    pub protocols: Vec<Protocol>,
    /// The methods, in upper case.
    pub methods: Vec<String>,
    /// The hosts.
    pub hosts: Vec<HostPattern>,
    /// The paths.
    pub paths: Vec<PathPattern>,
    /// The headers; all of them must match.
    pub headers: Vec<HeaderMatch>,
    /// The server names in the TLS handshake.
    pub snis: Vec<SniPattern>,
    /// The sources of a stream.
    pub sources: Vec<Endpoint>,
    /// The destinations of a stream.
    pub destinations: Vec<Endpoint>,
    /// An expression in Kong's router language, instead of the fields above.
    pub expression: Option<String>,
    /// The priority of an expression.
    pub priority: u64,
    /// The priority among routes with matching regular expressions.
    pub regex_priority: i64,
    /// Whether the matched prefix is removed from the path.
    pub strip_path: bool,
    /// How the path of the service and that of the request are joined.
    pub path_handling: PathHandling,
    /// Whether the upstream receives the `Host` header of the request.
    pub preserve_host: bool,
    /// Whether the request is buffered before it is proxied.
    pub request_buffering: bool,
    /// Whether the response is buffered before it is sent to the client.
    pub response_buffering: bool,
    /// The status of the response to plain HTTP if the route requires TLS.
    pub https_redirect_status_code: u16,
    /// Its service.
    pub service: Option<EntityRef>,
    /// When it was created, in seconds since 1970; among equal routes, the oldest takes precedence.
    pub created_at: Option<i64>,
    /// Whether Kong accepts each of its fields. Without an invalid one, a route would match more than it should.
    pub is_sound: bool,
    /// Violations of rules about several fields, which matter only to the router.
    pub refusals: Vec<Diagnostic>,
    /// The route as Kong logs it.
    pub stored: Stored,
    /// Where it comes from.
    pub origin: Origin,
    /// Its fields, as written.
    node: Arc<Node>,
}

/// A header that a request must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The name, in lower case.
    pub name: String,
    /// The values; one of them must match.
    pub values: Vec<HeaderValue>,
}

/// The value of a header that a request must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// This text, in any case.
    Exact(String),
    /// A regular expression, without its prefix `~*`.
    Regex(String),
}

/// How the path of the service and that of the request are joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PathHandling {
    /// Joined with one slash.
    #[default]
    V0,
    /// Concatenated without a change; only with the traditional router.
    V1,
}

impl Route {
    pub(super) fn from_draft(draft: &Draft, service: Option<EntityRef>) -> Self {
        let names = draft.list("protocols");
        let protocols: Vec<_> = names.iter().filter_map(|name| Protocol::find(name.as_str()?)).collect();
        let grpc = protocols.iter().any(|protocol| matches!(protocol, Protocol::Grpc | Protocol::Grpcs));
        let flag = |name| draft.boolean(name).unwrap_or_default();
        Self {
            id: draft.id(),
            name: draft.string("name"),
            tags: draft.tags(),
            protocols,
            methods: draft.parsed("methods"),
            hosts: draft.parsed("hosts"),
            paths: draft.parsed("paths"),
            headers: headers(draft),
            snis: draft.parsed("snis"),
            sources: draft.list("sources").iter().map(Endpoint::from_value).collect(),
            destinations: draft.list("destinations").iter().map(Endpoint::from_value).collect(),
            expression: draft.string("expression"),
            priority: draft.integer("priority").unwrap_or_default(),
            regex_priority: draft.integer("regex_priority").unwrap_or_default(),
            // gRPC has no paths to strip.
            strip_path: draft.boolean("strip_path").unwrap_or(!grpc),
            path_handling: match draft.text("path_handling") {
                Some("v1") => PathHandling::V1,
                _ => PathHandling::V0,
            },
            preserve_host: flag("preserve_host"),
            request_buffering: flag("request_buffering"),
            response_buffering: flag("response_buffering"),
            https_redirect_status_code: draft.integer("https_redirect_status_code").unwrap_or_default(),
            service,
            created_at: draft.integer("created_at"),
            is_sound: draft.is_sound(),
            refusals: draft.refusals(),
            stored: Stored::route(draft, !grpc),
            origin: draft.origin(),
            node: draft.node.clone(),
        }
    }

    /// The same route without anything that a request could match.
    pub(crate) fn without_criteria(&self) -> Self {
        Self {
            methods: Vec::new(),
            hosts: Vec::new(),
            paths: Vec::new(),
            headers: Vec::new(),
            snis: Vec::new(),
            sources: Vec::new(),
            destinations: Vec::new(),
            expression: None,
            ..self.clone()
        }
    }

    /// The origin of a field, by its path: `expression`, `paths[1]`. If it is absent, that of the route.
    pub fn field_origin(&self, field: &str) -> Origin {
        self.node.member_origin(field).unwrap_or_else(|| self.origin.clone())
    }

    /// The name, otherwise the id that Kong gives the route, for messages.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.stored.id)
    }
}

fn headers(draft: &Draft) -> Vec<HeaderMatch> {
    let Some(Value::Object(members)) = draft.value("headers") else { return Vec::new() };
    let header = |(name, values): (String, Value)| HeaderMatch {
        name: name.to_ascii_lowercase(),
        values: values.as_array().into_iter().flatten().filter_map(Value::as_str).map(HeaderValue::new).collect(),
    };
    members.into_iter().map(header).collect()
}

impl HeaderValue {
    fn new(text: &str) -> Self {
        text.strip_prefix("~*").map_or_else(|| Self::Exact(text.to_owned()), |regex| Self::Regex(regex.to_owned()))
    }
}
