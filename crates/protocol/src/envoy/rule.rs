//! Which of Envoy's values names a consumer, route or service.

use std::borrow::Cow;
use std::str::FromStr;

use crate::envoy::entry::{Common, HttpRequest, Text, TextMember};
use crate::envoy::metadata;
use crate::envoy::stream::Origin;

/// The members that a rule can set, in the order of the log object.
pub(crate) const TARGETS: [&str; 11] = [
    "route.id",
    "route.name",
    "service.id",
    "service.name",
    "consumer.id",
    "consumer.username",
    "consumer.custom_id",
    "authenticated_entity.id",
    "authenticated_entity.consumer_id",
    "workspace",
    "workspace_name",
];

/// `TARGET=SOURCE`: the member TARGET of the log object is the value of SOURCE, if that has one.
///
/// | source | is |
/// |---|---|
/// | `metadata:NAMESPACE:KEY...` | a value of the dynamic metadata, as in Envoy's `%DYNAMIC_METADATA(NAMESPACE:KEY...)%` |
/// | `filter_state:KEY` | a string of the filter state that the logger's `filter_state_objects_to_log` names |
/// | `custom_tag:NAME` | one of the logger's `custom_tags` |
/// | `request_header:NAME` | a header that the logger's `additional_request_headers_to_log` names |
/// | `peer_uri_san` | the first URI in the certificate of the client, such as a SPIFFE ID |
/// | `node_id`, `node_cluster` | of the Envoy that sends the stream |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(crate) target: &'static str,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Metadata { namespace: String, keys: Vec<String> },
    FilterState(String),
    CustomTag(String),
    RequestHeader(String),
    PeerUriSan,
    NodeId,
    NodeCluster,
}

/// Why a text is not a [`Rule`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError(String);

impl std::fmt::Display for RuleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RuleError {}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let Some((target, source)) = text.split_once('=') else {
            return Err(RuleError("expected TARGET=SOURCE, like consumer.username=metadata:jwt:sub".to_owned()));
        };
        let (target, source) = (target.trim(), source.trim());
        let Some(target) = TARGETS.into_iter().find(|known| *known == target) else {
            return Err(RuleError(format!("no target `{target}`; it is one of {}", TARGETS.join(", "))));
        };
        let (kind, argument) = source.split_once(':').unwrap_or((source, ""));
        let source = match (kind, argument) {
            ("metadata", path) => {
                let mut parts = path.split(':').map(str::to_owned);
                let namespace = parts.next().unwrap_or_default();
                let keys: Vec<_> = parts.collect();
                if namespace.is_empty() || keys.is_empty() || keys.iter().any(String::is_empty) {
                    return Err(RuleError(
                        "expected metadata:NAMESPACE:KEY, with more keys for nested values".to_owned(),
                    ));
                }
                Source::Metadata { namespace, keys }
            }
            ("filter_state", name) if !name.is_empty() => Source::FilterState(name.to_owned()),
            ("custom_tag", name) if !name.is_empty() => Source::CustomTag(name.to_owned()),
            ("request_header", name) if !name.is_empty() => Source::RequestHeader(name.to_ascii_lowercase()),
            ("peer_uri_san", "") => Source::PeerUriSan,
            ("node_id", "") => Source::NodeId,
            ("node_cluster", "") => Source::NodeCluster,
            _ => {
                return Err(RuleError(format!(
                    "no source `{source}`; it is metadata:NAMESPACE:KEY, filter_state:KEY, custom_tag:NAME, \
                     request_header:NAME, peer_uri_san, node_id or node_cluster"
                )));
            }
        };
        Ok(Self { target, source })
    }
}

/// Where rules look.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) common: &'a Common<'a>,
    pub(crate) request: Option<&'a HttpRequest<'a>>,
}

impl<'a> Sources<'a> {
    /// The value of the first of `rules` for `target` that has one.
    pub(crate) fn find(self, rules: &[Rule], target: &str) -> Option<Cow<'a, [u8]>> {
        let rules = rules.iter().filter(|rule| rule.target == target);
        rules.filter_map(|rule| self.value(&rule.source)).find(|value| !value.is_empty())
    }

    fn value(self, source: &Source) -> Option<Cow<'a, [u8]>> {
        let borrowed = |text: &'a [u8]| Some(Cow::Borrowed(text));
        match source {
            Source::Metadata { namespace, keys } => metadata::find(self.common.metadata, namespace, keys),
            Source::FilterState(name) => {
                let objects = &self.common.filter_state_objects;
                let found = objects.iter().rfind(|object| object.key == name.as_bytes())?.value?;
                filter_state_text(found.type_url, found.value).map(Cow::Borrowed)
            }
            Source::CustomTag(name) => borrowed(member(&self.common.custom_tags, name)?),
            Source::RequestHeader(name) => borrowed(member(&self.request?.headers, name)?),
            Source::PeerUriSan => {
                let certificate = self.common.tls.as_ref()?.peer_certificate.as_ref()?;
                borrowed(certificate.uri_sans.first()?)
            }
            Source::NodeId => borrowed(&self.origin.node_id),
            Source::NodeCluster => borrowed(&self.origin.node_cluster),
        }
    }
}

fn member<'a>(members: &[TextMember<'a>], name: &str) -> Option<&'a [u8]> {
    let found = members.iter().rfind(|member| member.key.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(found.value)
}

/// The text of an object of the filter state: strings are `google.protobuf.StringValue` or `BytesValue`.
pub(crate) fn filter_state_text<'a>(type_url: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let name = type_url.rsplit(|byte| *byte == b'/').next()?;
    if !matches!(name, b"google.protobuf.StringValue" | b"google.protobuf.BytesValue") {
        return None;
    }
    Text::decode(value).ok()
}
