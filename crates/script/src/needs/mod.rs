//! What snippets read that Kong's log object does not have, found without running them.
//!
//! `lexer` < `reader` (members of `kong` and `ngx` that a snippet names) < `catalogue` (what they answer from).

mod catalogue;
mod earlier;
mod lexer;
mod reader;
mod refused;
mod unknown;

use std::fmt;

use crate::transaction::{Level, Transaction, is_credential};
pub use catalogue::{Finding, Note, findings};
pub use earlier::{Body, Earlier, vault_references};
pub use refused::{Refused, refused};
pub use unknown::{Names, Problem, UnknownName, unknown};

/// Something that a snippet reads and Kong's log object does not have: a proxy has to send it along.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// The body of the client's request.
    RequestBody,
    /// The body of the response to the client.
    ResponseBody,
    /// The body of the upstream's response.
    ServiceResponseBody,
    /// A member of `kong.ctx.shared`, by its names from the outside in; all of it without a name.
    Shared(Vec<String>),
    /// A member of `ngx.ctx`, by its names from the outside in.
    NgxCtx(Vec<String>),
    /// A variable of nginx.
    Var(String),
    /// A request header that Kong redacts, in lower case: `authorization` or `proxy-authorization`.
    Header(String),
    /// A member of the client's credential other than `id` and `consumer_id`.
    Credential(String),
    /// A header of the upstream's response, in lower case; all of them without a name.
    ServiceHeader(Option<String>),
    /// A single fact.
    Fact(Fact),
}

/// A fact that one function of Kong's PDK answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "their members and functions are in the table below")]
pub enum Fact {
    HttpVersion,
    ForwardedScheme,
    ForwardedHost,
    ForwardedPort,
    ForwardedPath,
    ForwardedPrefix,
    UriCaptures,
    ClientProtocol,
    ClientCertificateChain,
    ConsumerGroups,
    ResponseSource,
    ServiceStatus,
    NodeId,
    Hostname,
    ClusterId,
    Statistics,
}

/// Each fact with its member below `_context`, the function of Kong that answers it, and what it answers here without the
/// member, if it is something.
const FACTS: [(Fact, &str, &str, Option<&str>); 16] = [
    (Fact::HttpVersion, "http_version", "kong.request.get_http_version", Some("1.1")),
    (Fact::ForwardedScheme, "forwarded_scheme", "kong.request.get_forwarded_scheme", Some(TRUSTED)),
    (Fact::ForwardedHost, "forwarded_host", "kong.request.get_forwarded_host", Some(TRUSTED)),
    (Fact::ForwardedPort, "forwarded_port", "kong.request.get_forwarded_port", Some(TRUSTED)),
    (Fact::ForwardedPath, "forwarded_path", "kong.request.get_forwarded_path", Some(TRUSTED)),
    (Fact::ForwardedPrefix, "forwarded_prefix", "kong.request.get_forwarded_prefix", Some(TRUSTED)),
    (Fact::UriCaptures, "uri_captures", "kong.request.get_uri_captures", None),
    (Fact::ClientProtocol, "client_protocol", "kong.client.get_protocol", Some("what the route and the URL tell")),
    (
        Fact::ClientCertificateChain,
        "client_certificate_chain",
        "kong.client.tls.get_full_client_certificate_chain",
        None,
    ),
    (Fact::ConsumerGroups, "consumer_groups", "kong.client.get_consumer_groups", None),
    (
        Fact::ResponseSource,
        "response_source",
        "kong.response.get_source",
        Some("`exit` for every answer of Kong itself"),
    ),
    (
        Fact::ServiceStatus,
        "service_response.status",
        "kong.service.response.get_status",
        Some("the last of `upstream_status`"),
    ),
    (Fact::NodeId, "node.id", "kong.node.get_id", Some("the id of Logphase's process")),
    (Fact::Hostname, "node.hostname", "kong.node.get_hostname", Some("the name of Logphase's machine")),
    (Fact::ClusterId, "node.cluster_id", "kong.cluster.get_id", None),
    (Fact::Statistics, "node.statistics", "kong.nginx.get_statistics", Some("0")),
];

const TRUSTED: &str = "what the X-Forwarded headers of clients in `trusted_ips` say";

impl Fact {
    fn row(self) -> (&'static str, &'static str, Option<&'static str>) {
        let row = FACTS.iter().find(|(fact, ..)| *fact == self);
        row.map_or(("", "", None), |(_, member, function, fallback)| (member, function, *fallback))
    }

    /// The function of Kong's PDK that answers it.
    pub fn function(self) -> &'static str {
        self.row().1
    }
}

impl Need {
    /// The names of the member of the transaction that carries it, from the outside in.
    pub fn path(&self) -> Vec<&str> {
        let mut path = vec!["_context"];
        match self {
            Self::RequestBody => path.push("request_body"),
            Self::ResponseBody => path.push("response_body"),
            Self::ServiceResponseBody => path.extend(["service_response", "body"]),
            Self::Shared(names) => {
                path.push("shared");
                path.extend(names.iter().map(String::as_str));
            }
            Self::NgxCtx(names) => {
                path.push("ngx_ctx");
                path.extend(names.iter().map(String::as_str));
            }
            Self::Var(name) => path.extend(["vars", name]),
            Self::Header(name) => return vec!["request", "headers", name],
            Self::Credential(name) => path.extend(["credential", name]),
            Self::ServiceHeader(name) => {
                path.extend(["service_response", "headers"]);
                path.extend(name.as_deref());
            }
            Self::Fact(fact) => path.extend(fact.row().0.split('.')),
        }
        path
    }

    /// The member's path as text, as in `_context.vars.server_name`.
    pub fn member(&self) -> String {
        self.path().join(".")
    }

    /// The need for the member at `text`, as [`Self::member`] writes it.
    pub fn of_member(text: &str) -> Option<Self> {
        let names: Vec<&str> = text.trim_start_matches("_context.").split('.').collect();
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        if names.iter().any(|name| name.is_empty()) {
            return None;
        }
        Some(match names[..] {
            ["request_body"] => Self::RequestBody,
            ["response_body"] => Self::ResponseBody,
            ["service_response", "body"] => Self::ServiceResponseBody,
            ["service_response", "headers"] => Self::ServiceHeader(None),
            ["service_response", "headers", name] => Self::ServiceHeader(Some(name.to_ascii_lowercase())),
            ["shared", ref names @ ..] => Self::Shared(owned(names)),
            ["ngx_ctx", ref names @ ..] if !names.is_empty() => Self::NgxCtx(owned(names)),
            ["vars", name] => Self::Var(name.to_owned()),
            ["credential", name] => Self::Credential(name.to_owned()),
            ["request", "headers", name] if is_credential(name.as_bytes()) => {
                Self::Header(name.to_ascii_lowercase().replace('_', "-"))
            }
            _ => Self::Fact(FACTS.iter().find(|(_, member, ..)| *member == names.join("."))?.0),
        })
    }

    /// What snippets get instead, if it is something: an approximation, or a default. Without the member and without a
    /// substitute they get nothing, or an error.
    pub fn substitute(&self) -> Option<&'static str> {
        match self {
            Self::Fact(fact) => fact.row().2,
            Self::ServiceHeader(_) => Some("the header of the response to the client"),
            Self::Var(name) => catalogue::substitute_of_variable(name),
            _ => None,
        }
    }

    /// Whether `transaction` has it.
    pub fn is_in(&self, transaction: &Transaction) -> bool {
        if let Self::Header(name) = self {
            let value = transaction.header(Level::RequestHeaders, name.as_bytes());
            return value.is_some_and(|value| value.string().as_deref() != Some(b"REDACTED".as_slice()));
        }
        let path = self.path();
        let [_, first, rest @ ..] = &path[..] else { return false };
        let member = rest.iter().try_fold(transaction.context(first), |member, name| {
            // A member that cannot have members stops the search.
            Some(member?.get(name))
        });
        member.flatten().is_some_and(|member| !member.is_null())
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestBody => f.write_str("the body of the request"),
            Self::ResponseBody => f.write_str("the body of the response"),
            Self::ServiceResponseBody => f.write_str("the body of the upstream's response"),
            Self::Shared(names) if names.is_empty() => f.write_str("all of kong.ctx.shared"),
            Self::Shared(names) => write!(f, "kong.ctx.shared.{}", names.join(".")),
            Self::NgxCtx(names) => write!(f, "ngx.ctx.{}", names.join(".")),
            Self::Var(name) => write!(f, "ngx.var.{name}"),
            Self::Header(name) => write!(f, "the value of the request header `{name}`"),
            Self::Credential(name) => write!(f, "`{name}` of the client's credential"),
            Self::ServiceHeader(None) => f.write_str("the headers of the upstream's response"),
            Self::ServiceHeader(Some(name)) => write!(f, "the header `{name}` of the upstream's response"),
            Self::Fact(fact) => write!(f, "{}()", fact.function()),
        }
    }
}

#[cfg(test)]
pub(crate) use earlier::tests::listed;
#[cfg(test)]
mod tests;
