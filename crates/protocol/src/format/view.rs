//! What a template reads: one finished request or connection, wherever it comes from.

use super::address::Address;

/// An entry of an access log.
///
/// A method that appends to `out` appends nothing if it returns that there is no value.
pub trait Entry {
    /// When the request or connection began: seconds since 1970 in UTC, and nanoseconds of that second.
    fn start(&self) -> Option<(i64, u32)>;
    /// Nanoseconds from the start to `point`; `None` if that did not happen.
    fn point(&self, point: Point) -> Option<i64>;
    /// A number.
    fn count(&self, count: Count) -> Option<u64>;
    /// Appends a text.
    fn text(&self, text: Text, out: &mut Vec<u8>) -> bool;
    /// Appends the value of a header.
    fn header(&self, header: &Header, out: &mut Vec<u8>) -> bool;
    /// Gives every header of a section to `each`: its name and its value.
    fn headers(&self, section: Section, each: &mut dyn FnMut(&[u8], &[u8]));
    /// An address.
    fn address(&self, peer: Peer) -> Option<Address<'_>>;
    /// Appends the response flags, separated by commas, with their long names if `long`. False if there are none.
    fn flags(&self, long: bool, out: &mut Vec<u8>) -> bool;
    /// Appends the value at a path of dynamic metadata: the text of a string, or JSON. At no path, all of it.
    fn metadata(&self, path: &[String], out: &mut Vec<u8>) -> Written;
    /// Appends the text of an object of the filter state.
    fn filter_state(&self, key: &str, out: &mut Vec<u8>) -> bool;
    /// Appends what Kuma puts in the place of one of its placeholders.
    fn placeholder(&self, placeholder: Placeholder, out: &mut Vec<u8>);
}

/// What was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Nothing: there is no value.
    Absent,
    /// A text, not escaped.
    Text,
    /// A JSON value that is no string: a number, an object, a list or a boolean.
    Json,
}

impl Written {
    pub(super) fn text(present: bool) -> Self {
        if present { Self::Text } else { Self::Absent }
    }

    pub(super) fn json(present: bool) -> Self {
        if present { Self::Json } else { Self::Absent }
    }
}

/// A point in the life of a request (`COMMON_DURATION`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The start: `DS_RX_BEG`.
    Start,
    /// The last byte of the request was received: `DS_RX_END`.
    LastReceived,
    /// The first byte went to the upstream: `US_TX_BEG`.
    FirstUpstreamSent,
    /// The last byte went to the upstream: `US_TX_END`.
    LastUpstreamSent,
    /// The first byte came from the upstream: `US_RX_BEG`.
    FirstUpstreamReceived,
    /// The last byte came from the upstream: `US_RX_END`.
    LastUpstreamReceived,
    /// The first byte went to the client: `DS_TX_BEG`.
    FirstSent,
    /// The last byte went to the client: `DS_TX_END`.
    LastSent,
    /// The end: `DURATION`.
    End,
}

/// A number of an entry. Bytes, except for the last two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the operators have these names")]
pub enum Count {
    BytesReceived,
    BytesSent,
    RequestHeadersBytes,
    ResponseHeadersBytes,
    UpstreamWireBytesSent,
    UpstreamWireBytesReceived,
    UpstreamHeaderBytesSent,
    UpstreamHeaderBytesReceived,
    DownstreamWireBytesSent,
    DownstreamWireBytesReceived,
    DownstreamHeaderBytesSent,
    DownstreamHeaderBytesReceived,
    ResponseCode,
    UpstreamRequestAttemptCount,
}

/// A text of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the operators have these names")]
pub enum Text {
    Protocol,
    RouteName,
    UpstreamCluster,
    StreamId,
    ResponseCodeDetails,
    UpstreamTransportFailureReason,
    DownstreamTransportFailureReason,
    ConnectionTerminationDetails,
    ServerName,
    TlsVersion,
    TlsCipher,
    TlsSessionId,
    Ja3Fingerprint,
    PeerSubject,
    PeerIssuer,
    /// Separated by commas.
    PeerUriSans,
    LocalSubject,
    /// Separated by commas.
    LocalUriSans,
    AccessLogType,
    /// The path of the request, with its query, as it went to the upstream.
    Path,
    /// The path as the client sent it, if it was rewritten.
    OriginalPath,
}

/// Whose address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The host that was selected: `UPSTREAM_HOST`.
    UpstreamHost,
    /// The host, if the connection to it was established.
    UpstreamRemote,
    /// Our side of the connection to the upstream.
    UpstreamLocal,
    /// The client, as a header or the PROXY protocol may name it.
    DownstreamRemote,
    /// The peer of the connection.
    DownstreamDirectRemote,
    /// Our side of the connection to the client.
    DownstreamLocal,
}

/// Where a header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The headers of the request.
    Request,
    /// The headers of the response.
    Response,
    /// The trailers of the response.
    Trailer,
}

/// A header that a template reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Where it is.
    pub section: Section,
    /// Its name, in lower case.
    pub name: String,
    /// What it is beside its name.
    pub known: Known,
}

/// The headers that an entry also holds outside of its maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the headers have these names")]
pub enum Known {
    None,
    Method,
    Path,
    Authority,
    Scheme,
    UserAgent,
    Referer,
    ForwardedFor,
    RequestId,
    OriginalPath,
    Status,
}

impl Header {
    /// The header `name` of `section`.
    pub fn new(section: Section, name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let known = match (section, name.as_str()) {
            (Section::Request, ":method") => Known::Method,
            (Section::Request, ":path") => Known::Path,
            (Section::Request, ":authority" | "host") => Known::Authority,
            (Section::Request, ":scheme") => Known::Scheme,
            (Section::Request, "user-agent") => Known::UserAgent,
            (Section::Request, "referer") => Known::Referer,
            (Section::Request, "x-forwarded-for") => Known::ForwardedFor,
            (Section::Request, "x-request-id") => Known::RequestId,
            (Section::Request, "x-envoy-original-path") => Known::OriginalPath,
            (Section::Response, ":status") => Known::Status,
            _ => Known::None,
        };
        Self { section, name, known }
    }
}

/// A placeholder of Kuma and Kong Mesh, `%KUMA_...%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the placeholders have these names")]
pub enum Placeholder {
    SourceAddress,
    SourceAddressWithoutPort,
    SourceService,
    DestinationService,
    Mesh,
    TrafficDirection,
    Zone,
    Workload,
}

impl Placeholder {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 8] = [
        ("KUMA_SOURCE_ADDRESS", Self::SourceAddress),
        ("KUMA_SOURCE_ADDRESS_WITHOUT_PORT", Self::SourceAddressWithoutPort),
        ("KUMA_SOURCE_SERVICE", Self::SourceService),
        ("KUMA_DESTINATION_SERVICE", Self::DestinationService),
        ("KUMA_MESH", Self::Mesh),
        ("KUMA_TRAFFIC_DIRECTION", Self::TrafficDirection),
        ("KUMA_ZONE", Self::Zone),
        ("KUMA_WORKLOAD", Self::Workload),
    ];

    /// The placeholder of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, placeholder)| *placeholder)
    }
}

/// The values of Kuma's placeholders for one proxy or listener; those without a value are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placeholders([String; Placeholder::ALL.len()]);

impl Placeholders {
    /// Sets a value.
    pub fn set(&mut self, placeholder: Placeholder, value: impl Into<String>) {
        self.0[placeholder as usize] = value.into();
    }

    /// A value.
    pub fn get(&self, placeholder: Placeholder) -> &str {
        &self.0[placeholder as usize]
    }
}
