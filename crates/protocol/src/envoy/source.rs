//! Values of an entry and of who sends it, by name: what rules of the settings read.

use std::borrow::Cow;
use std::str::FromStr;

use crate::envoy::entry::{Common, HttpRequest, Text, TextMember};
use crate::envoy::metadata;
use crate::envoy::stream::Origin;

/// A value of an entry.
///
/// | source | is |
/// |---|---|
/// | `metadata:NAMESPACE:KEY...` | a value of the dynamic metadata, as in Envoy's `%DYNAMIC_METADATA(NAMESPACE:KEY...)%` |
/// | `filter_state:KEY` | a string of the filter state that the logger's `filter_state_objects_to_log` names |
/// | `custom_tag:NAME` | one of the logger's `custom_tags` |
/// | `request_header:NAME` | a header that the logger's `additional_request_headers_to_log` names |
/// | `peer_uri_san`, `local_uri_san` | the first URI in the certificate of the client, or in that of the Envoy, such as a SPIFFE ID |
/// | `upstream_cluster`, `route_name` | Envoy's names of the cluster and of the route |
/// | `authority` | the host that the request is for |
/// | `node_id`, `node_cluster` | of the Envoy that sends the stream |
/// | `node_metadata:KEY...` | a value of its metadata |
/// | `region`, `zone`, `sub_zone` | of its locality |
/// | `log_name` | the name that the logger's configuration gives the log |
/// | `text:TEXT` | TEXT itself |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Metadata { namespace: String, keys: Vec<String> },
    FilterState(String),
    CustomTag(String),
    RequestHeader(String),
    PeerUriSan,
    LocalUriSan,
    UpstreamCluster,
    RouteName,
    Authority,
    NodeId,
    NodeCluster,
    NodeMetadata(Vec<String>),
    Region,
    Zone,
    SubZone,
    LogName,
    Text(String),
}

/// The sources without an argument.
const PLAIN: [(&str, Kind); 11] = [
    ("peer_uri_san", Kind::PeerUriSan),
    ("local_uri_san", Kind::LocalUriSan),
    ("upstream_cluster", Kind::UpstreamCluster),
    ("route_name", Kind::RouteName),
    ("authority", Kind::Authority),
    ("node_id", Kind::NodeId),
    ("node_cluster", Kind::NodeCluster),
    ("region", Kind::Region),
    ("zone", Kind::Zone),
    ("sub_zone", Kind::SubZone),
    ("log_name", Kind::LogName),
];

/// Why a text is not a [`Source`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError(String);

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SourceError {}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let text = text.trim();
        if let Some((_, kind)) = PLAIN.into_iter().find(|(name, _)| *name == text) {
            return Ok(Self(kind));
        }
        let (kind, argument) = text.split_once(':').unwrap_or((text, ""));
        let keys: Vec<String> = argument.split(':').map(str::to_owned).collect();
        let complete = keys.iter().all(|key| !key.is_empty());
        let kind = match (kind, argument) {
            ("metadata", _) => {
                if !complete || keys.len() < 2 {
                    return Err(SourceError(
                        "expected metadata:NAMESPACE:KEY, with more keys for nested values".to_owned(),
                    ));
                }
                let mut keys = keys.into_iter();
                Kind::Metadata { namespace: keys.next().unwrap_or_default(), keys: keys.collect() }
            }
            ("node_metadata", _) if complete => Kind::NodeMetadata(keys),
            ("filter_state", name) if !name.is_empty() => Kind::FilterState(name.to_owned()),
            ("custom_tag", name) if !name.is_empty() => Kind::CustomTag(name.to_owned()),
            ("request_header", name) if !name.is_empty() => Kind::RequestHeader(name.to_ascii_lowercase()),
            ("text", value) if !value.is_empty() => Kind::Text(value.to_owned()),
            _ => {
                let plain: Vec<_> = PLAIN.iter().map(|(name, _)| *name).collect();
                return Err(SourceError(format!(
                    "no source `{text}`; it is metadata:NAMESPACE:KEY, filter_state:KEY, custom_tag:NAME, \
                     request_header:NAME, node_metadata:KEY, text:TEXT, or one of {}",
                    plain.join(", ")
                )));
            }
        };
        Ok(Self(kind))
    }
}

impl Source {
    /// Whether all entries of a stream have the same value.
    pub fn is_of_stream(&self) -> bool {
        matches!(
            self.0,
            Kind::NodeId
                | Kind::NodeCluster
                | Kind::NodeMetadata(_)
                | Kind::Region
                | Kind::Zone
                | Kind::SubZone
                | Kind::LogName
                | Kind::Text(_)
        )
    }
}

/// Where sources look: an entry, and who sent it.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Who sent it.
    pub origin: &'a Origin,
    /// What all entries have.
    pub common: &'a Common<'a>,
    /// The request, if it is one.
    pub request: Option<&'a HttpRequest<'a>>,
}

impl<'a> Sources<'a> {
    /// The value of `source`; none if the entry does not have it.
    pub fn value(self, source: &Source) -> Option<Cow<'a, [u8]>> {
        let borrowed = |text: &'a [u8]| Some(Cow::Borrowed(text));
        let filled = |text: &'a [u8]| if text.is_empty() { None } else { borrowed(text) };
        match &source.0 {
            Kind::Metadata { namespace, keys } => metadata::find(self.common.metadata, namespace, keys),
            Kind::FilterState(name) => {
                let objects = &self.common.filter_state_objects;
                let found = objects.iter().rfind(|object| object.key == name.as_bytes())?.value?;
                filter_state_text(found.type_url, found.value).map(Cow::Borrowed)
            }
            Kind::CustomTag(name) => borrowed(member(&self.common.custom_tags, name)?),
            Kind::RequestHeader(name) => borrowed(member(&self.request?.headers, name)?),
            Kind::PeerUriSan => {
                let certificate = self.common.tls.as_ref()?.peer_certificate.as_ref()?;
                borrowed(certificate.uri_sans.first()?)
            }
            Kind::LocalUriSan => {
                let certificate = self.common.tls.as_ref()?.local_certificate.as_ref()?;
                borrowed(certificate.uri_sans.first()?)
            }
            Kind::UpstreamCluster => filled(self.common.upstream_cluster),
            Kind::RouteName => filled(self.common.route_name),
            Kind::Authority => filled(self.request?.authority),
            Kind::NodeId => borrowed(&self.origin.node_id),
            Kind::NodeCluster => borrowed(&self.origin.node_cluster),
            Kind::NodeMetadata(keys) => self.origin.node_metadata(keys),
            Kind::Region => filled(&self.origin.region),
            Kind::Zone => filled(&self.origin.zone),
            Kind::SubZone => filled(&self.origin.sub_zone),
            Kind::LogName => filled(&self.origin.log_name),
            Kind::Text(text) => Some(Cow::Owned(text.clone().into_bytes())),
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
