//! Every command operator of Envoy 1.40 and every placeholder of Kuma: how it is written, what it prints, and why an input
//! may not have it
//! (<https://www.envoyproxy.io/docs/envoy/latest/configuration/advanced/substitution_formatter#supported-commands>).

use super::address::Part;
use super::operator::{GrpcForm, Operator, Unit};
use super::view::{Count, Peer, Placeholder, Point, Section, Text};

/// What entries a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Entries of Envoy's access log service.
    Als,
    /// Messages of Kong's logging plugins.
    Kong,
}

/// What an operator is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// It has neither parameters nor a length.
    Plain(fn() -> Operator),
    Time {
        local: bool,
    },
    Mask(Peer),
    Header(Section),
    Special(Special),
    /// What neither Envoy's access log service nor Kong sends.
    Unknown(&'static str),
}

/// Operators with parameters of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    CodeDetails,
    CommonDuration,
    GrpcStatus,
    Path,
    QueryParam,
    QueryParams,
    Metadata,
    DynamicMetadata,
    FilterState,
    ServerName,
    Coalesce,
    Cel { typed: bool },
}

/// An operator of the table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) needs_parameters: bool,
    pub(super) takes_length: bool,
    /// Why messages of Kong's plugins do not have it; empty if they may.
    pub(super) not_in_kong: &'static str,
}

const NOT_SENT: &str = "Envoy's access log service does not send it";
const CERTIFICATE: &str = "of certificates, Envoy's access log service sends the subject, the issuer and the URIs among the alternative names";
const UPSTREAM_TLS: &str = "Envoy's access log service sends nothing of the TLS session with the upstream";
const ATTEMPTS: &str = "Envoy's access log service sends the last host only";
const CLOSE: &str = "Envoy's access log service does not send how a connection was closed";
const PROCESS: &str = "it belongs to Envoy's process, and Envoy's access log service does not send it";
const OTHER_METADATA: &str = "Envoy's access log service sends dynamic metadata only";
const TRACE: &str = "Envoy's access log service does not send it; a header like traceparent may have it";
const EMIT: &str = "it is when Envoy writes the line itself; START_TIME and DURATION tell when the request ended";

/// Why messages of Kong's plugins lack what Envoy's entries have.
const NO_POINTS: &str =
    "Kong's log object has no time of it: it has DURATION, RESPONSE_DURATION and RESPONSE_TX_DURATION";
const NO_HEADER_BYTES: &str = "Kong's log object has sizes of the whole request and response only";
const NO_TRAILERS: &str = "Kong's log object has no trailers";
const NO_FILTER_STATE: &str = "Kong's log object has no filter state; DYNAMIC_METADATA reads its members";
const NO_MESH: &str = "Kong's log object has no mesh";
const NO_PORT: &str = "Kong's log object does not have it";

const fn row(name: &'static str, kind: Kind) -> Row {
    Row { name, kind, needs_parameters: false, takes_length: false, not_in_kong: "" }
}

const fn plain(name: &'static str, build: fn() -> Operator) -> Row {
    row(name, Kind::Plain(build))
}

impl Row {
    const fn parameters(self) -> Self {
        Self { needs_parameters: true, ..self }
    }

    const fn length(self) -> Self {
        Self { takes_length: true, ..self }
    }

    const fn not_in_kong(self, reason: &'static str) -> Self {
        Self { not_in_kong: reason, ..self }
    }

    /// Why entries of `source` do not have what the operator prints.
    pub(super) fn missing(&self, source: Source) -> Option<&'static str> {
        match (&self.kind, source) {
            (Kind::Unknown(reason), _) => Some(reason),
            (_, Source::Kong) if !self.not_in_kong.is_empty() => Some(self.not_in_kong),
            _ => None,
        }
    }
}

const fn unknown(name: &'static str, reason: &'static str) -> Row {
    row(name, Kind::Unknown(reason))
}

/// A row of a plain operator.
macro_rules! plain {
    ($name:literal, Count::$count:ident) => {
        plain($name, || Operator::Count(Count::$count))
    };
    ($name:literal, Text::$text:ident) => {
        plain($name, || Operator::Text { text: Text::$text, underscores: false })
    };
    ($name:literal, Peer::$peer:ident, Part::$part:ident) => {
        plain($name, || Operator::Address(Peer::$peer, Part::$part))
    };
    ($name:literal, Point::$from:ident .. $to:ident) => {
        plain($name, || Operator::Duration { from: Point::$from, to: Point::$to, unit: Unit::Milliseconds })
    };
    ($name:literal, Placeholder::$placeholder:ident) => {
        plain($name, || Operator::Placeholder(Placeholder::$placeholder)).not_in_kong(NO_MESH)
    };
}

/// The row of an operator.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    rows().find(|row| row.name == name)
}

/// Every operator.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    KNOWN.iter().chain(NOT_SENT_ROWS)
}

#[rustfmt::skip]
static KNOWN: &[Row] = &[
    row("START_TIME", Kind::Time { local: false }),
    row("START_TIME_LOCAL", Kind::Time { local: true }),
    plain!("BYTES_RECEIVED", Count::BytesReceived),
    plain!("BYTES_SENT", Count::BytesSent),
    plain!("REQUEST_HEADERS_BYTES", Count::RequestHeadersBytes).not_in_kong(NO_HEADER_BYTES),
    plain!("RESPONSE_HEADERS_BYTES", Count::ResponseHeadersBytes).not_in_kong(NO_HEADER_BYTES),
    plain!("UPSTREAM_WIRE_BYTES_SENT", Count::UpstreamWireBytesSent),
    plain!("UPSTREAM_WIRE_BYTES_RECEIVED", Count::UpstreamWireBytesReceived),
    plain!("UPSTREAM_HEADER_BYTES_SENT", Count::UpstreamHeaderBytesSent).not_in_kong(NO_HEADER_BYTES),
    plain!("UPSTREAM_HEADER_BYTES_RECEIVED", Count::UpstreamHeaderBytesReceived).not_in_kong(NO_HEADER_BYTES),
    plain!("DOWNSTREAM_WIRE_BYTES_SENT", Count::DownstreamWireBytesSent),
    plain!("DOWNSTREAM_WIRE_BYTES_RECEIVED", Count::DownstreamWireBytesReceived),
    plain!("DOWNSTREAM_HEADER_BYTES_SENT", Count::DownstreamHeaderBytesSent).not_in_kong(NO_HEADER_BYTES),
    plain!("DOWNSTREAM_HEADER_BYTES_RECEIVED", Count::DownstreamHeaderBytesReceived).not_in_kong(NO_HEADER_BYTES),
    plain!("PROTOCOL", Text::Protocol),
    plain!("RESPONSE_CODE", Count::ResponseCode),
    row("RESPONSE_CODE_DETAILS", Kind::Special(Special::CodeDetails)),
    plain("UPSTREAM_TRANSPORT_FAILURE_REASON", || Operator::Text { text: Text::UpstreamTransportFailureReason, underscores: true }),
    plain("DOWNSTREAM_TRANSPORT_FAILURE_REASON", || Operator::Text { text: Text::DownstreamTransportFailureReason, underscores: true }),
    plain!("CONNECTION_TERMINATION_DETAILS", Text::ConnectionTerminationDetails),
    plain!("UPSTREAM_REQUEST_ATTEMPT_COUNT", Count::UpstreamRequestAttemptCount),
    plain!("DURATION", Point::Start..End),
    plain!("REQUEST_DURATION", Point::Start..LastReceived).not_in_kong(NO_POINTS),
    plain!("REQUEST_TX_DURATION", Point::Start..LastUpstreamSent).not_in_kong(NO_POINTS),
    plain!("RESPONSE_DURATION", Point::Start..FirstUpstreamReceived),
    plain!("RESPONSE_TX_DURATION", Point::FirstUpstreamReceived..LastSent),
    row("COMMON_DURATION", Kind::Special(Special::CommonDuration)).parameters().not_in_kong(NO_POINTS),
    plain("RESPONSE_FLAGS", || Operator::Flags { long: false }),
    plain("RESPONSE_FLAGS_LONG", || Operator::Flags { long: true }),
    plain!("ROUTE_NAME", Text::RouteName),
    plain!("STREAM_ID", Text::StreamId),
    plain!("UPSTREAM_CLUSTER", Text::UpstreamCluster),
    plain!("UPSTREAM_CLUSTER_RAW", Text::UpstreamCluster),
    plain!("UPSTREAM_HOST", Peer::UpstreamHost, Part::Whole),
    plain!("UPSTREAM_REMOTE_ADDRESS", Peer::UpstreamRemote, Part::Whole),
    row("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Kind::Mask(Peer::UpstreamRemote)),
    plain!("UPSTREAM_REMOTE_PORT", Peer::UpstreamRemote, Part::Port),
    plain!("UPSTREAM_LOCAL_ADDRESS", Peer::UpstreamLocal, Part::Whole),
    row("UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Kind::Mask(Peer::UpstreamLocal)),
    plain!("UPSTREAM_LOCAL_PORT", Peer::UpstreamLocal, Part::Port),
    plain!("DOWNSTREAM_REMOTE_ADDRESS", Peer::DownstreamRemote, Part::Whole),
    row("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Kind::Mask(Peer::DownstreamRemote)),
    plain!("DOWNSTREAM_REMOTE_PORT", Peer::DownstreamRemote, Part::Port),
    plain!("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Peer::DownstreamDirectRemote, Part::Whole).not_in_kong(NO_PORT),
    row("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", Kind::Mask(Peer::DownstreamDirectRemote)).not_in_kong(NO_PORT),
    plain!("DOWNSTREAM_DIRECT_REMOTE_PORT", Peer::DownstreamDirectRemote, Part::Port).not_in_kong(NO_PORT),
    plain!("DOWNSTREAM_LOCAL_ADDRESS", Peer::DownstreamLocal, Part::Whole),
    row("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Kind::Mask(Peer::DownstreamLocal)),
    plain!("DOWNSTREAM_LOCAL_PORT", Peer::DownstreamLocal, Part::Port),
    row("REQ", Kind::Header(Section::Request)).parameters().length(),
    row("REQUEST_HEADER", Kind::Header(Section::Request)).parameters().length(),
    row("RESP", Kind::Header(Section::Response)).parameters().length(),
    row("RESPONSE_HEADER", Kind::Header(Section::Response)).parameters().length(),
    row("TRAILER", Kind::Header(Section::Trailer)).parameters().length().not_in_kong(NO_TRAILERS),
    row("RESPONSE_TRAILER", Kind::Header(Section::Trailer)).parameters().length().not_in_kong(NO_TRAILERS),
    row("GRPC_STATUS", Kind::Special(Special::GrpcStatus)),
    plain("GRPC_STATUS_NUMBER", || Operator::grpc_status(GrpcForm::Number)),
    row("PATH", Kind::Special(Special::Path)).length(),
    row("QUERY_PARAM", Kind::Special(Special::QueryParam)).parameters().length(),
    row("QUERY_PARAMS", Kind::Special(Special::QueryParams)).length(),
    row("DYNAMIC_METADATA", Kind::Special(Special::DynamicMetadata)).parameters().length(),
    row("METADATA", Kind::Special(Special::Metadata)).parameters().length(),
    row("FILTER_STATE", Kind::Special(Special::FilterState)).parameters().length().not_in_kong(NO_FILTER_STATE),
    row("REQUESTED_SERVER_NAME", Kind::Special(Special::ServerName)),
    plain!("DOWNSTREAM_TLS_VERSION", Text::TlsVersion),
    plain!("DOWNSTREAM_TLS_CIPHER", Text::TlsCipher),
    plain!("DOWNSTREAM_TLS_SESSION_ID", Text::TlsSessionId),
    plain!("TLS_JA3_FINGERPRINT", Text::Ja3Fingerprint),
    plain!("DOWNSTREAM_PEER_SUBJECT", Text::PeerSubject),
    plain!("DOWNSTREAM_PEER_ISSUER", Text::PeerIssuer),
    plain!("DOWNSTREAM_PEER_URI_SAN", Text::PeerUriSans),
    plain!("DOWNSTREAM_LOCAL_SUBJECT", Text::LocalSubject),
    plain!("DOWNSTREAM_LOCAL_URI_SAN", Text::LocalUriSans),
    plain!("ACCESS_LOG_TYPE", Text::AccessLogType),
    row("CEL", Kind::Special(Special::Cel { typed: false })).length(),
    row("TYPED_CEL", Kind::Special(Special::Cel { typed: true })).length(),
    row("COALESCE", Kind::Special(Special::Coalesce)).parameters().length(),
    plain!("KUMA_SOURCE_ADDRESS", Placeholder::SourceAddress),
    plain!("KUMA_SOURCE_ADDRESS_WITHOUT_PORT", Placeholder::SourceAddressWithoutPort),
    plain!("KUMA_SOURCE_SERVICE", Placeholder::SourceService),
    plain!("KUMA_DESTINATION_SERVICE", Placeholder::DestinationService),
    plain!("KUMA_MESH", Placeholder::Mesh),
    plain!("KUMA_TRAFFIC_DIRECTION", Placeholder::TrafficDirection),
    plain!("KUMA_ZONE", Placeholder::Zone),
    plain!("KUMA_WORKLOAD", Placeholder::Workload),
];

static NOT_SENT_ROWS: &[Row] = &[
    unknown("EMIT_TIME", EMIT),
    unknown("EMIT_TIME_LOCAL", EMIT),
    unknown("BYTES_RETRANSMITTED", NOT_SENT),
    unknown("PACKETS_RETRANSMITTED", NOT_SENT),
    unknown("RESPONSE_TRAILERS_BYTES", NOT_SENT),
    unknown("UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", NOT_SENT),
    unknown("UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", NOT_SENT),
    unknown("DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", NOT_SENT),
    unknown("DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", NOT_SENT),
    unknown("UPSTREAM_PROTOCOL", NOT_SENT),
    unknown("ROUNDTRIP_DURATION", NOT_SENT),
    unknown("DOWNSTREAM_HANDSHAKE_DURATION", NOT_SENT),
    unknown("UPSTREAM_CONNECTION_POOL_READY_DURATION", NOT_SENT),
    unknown("VIRTUAL_CLUSTER_NAME", NOT_SENT),
    unknown("UPSTREAM_HOST_NAME", NOT_SENT),
    unknown("UPSTREAM_HOST_NAME_WITHOUT_PORT", NOT_SENT),
    unknown("UPSTREAM_HOSTS_ATTEMPTED", ATTEMPTS),
    unknown("UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", ATTEMPTS),
    unknown("UPSTREAM_HOST_NAMES_ATTEMPTED", ATTEMPTS),
    unknown("UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", ATTEMPTS),
    unknown("UPSTREAM_CONNECTION_IDS_ATTEMPTED", ATTEMPTS),
    unknown("UPSTREAM_DETECTED_CLOSE_TYPE", CLOSE),
    unknown("DOWNSTREAM_DETECTED_CLOSE_TYPE", CLOSE),
    unknown("UPSTREAM_LOCAL_CLOSE_REASON", CLOSE),
    unknown("DOWNSTREAM_LOCAL_CLOSE_REASON", CLOSE),
    unknown("DOWNSTREAM_DIRECT_LOCAL_ADDRESS", NOT_SENT),
    unknown("DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT", NOT_SENT),
    unknown("DOWNSTREAM_DIRECT_LOCAL_PORT", NOT_SENT),
    unknown("DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID", NOT_SENT),
    unknown("DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID", NOT_SENT),
    unknown("UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", NOT_SENT),
    unknown("CONNECTION_ID", NOT_SENT),
    unknown("UPSTREAM_CONNECTION_ID", NOT_SENT),
    unknown("CLUSTER_METADATA", OTHER_METADATA),
    unknown("UPSTREAM_METADATA", OTHER_METADATA),
    unknown("UPSTREAM_FILTER_STATE", NOT_SENT),
    unknown("DOWNSTREAM_PEER_DNS_SAN", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_IP_SAN", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_EMAIL_SAN", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_OTHERNAME_SAN", CERTIFICATE),
    unknown("DOWNSTREAM_LOCAL_DNS_SAN", CERTIFICATE),
    unknown("DOWNSTREAM_LOCAL_IP_SAN", CERTIFICATE),
    unknown("DOWNSTREAM_LOCAL_EMAIL_SAN", CERTIFICATE),
    unknown("DOWNSTREAM_LOCAL_OTHERNAME_SAN", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_FINGERPRINT_1", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_FINGERPRINT_256", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_SERIAL", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_CHAIN_SERIALS", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_ISSUER_SERIAL", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_CERT", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_CERT_V_START", CERTIFICATE),
    unknown("DOWNSTREAM_PEER_CERT_V_END", CERTIFICATE),
    unknown("DOWNSTREAM_TLS_GROUP", NOT_SENT),
    unknown("TLS_JA4_FINGERPRINT", NOT_SENT),
    unknown("UPSTREAM_TLS_VERSION", UPSTREAM_TLS),
    unknown("UPSTREAM_TLS_CIPHER", UPSTREAM_TLS),
    unknown("UPSTREAM_TLS_SESSION_ID", UPSTREAM_TLS),
    unknown("UPSTREAM_TLS_GROUP", UPSTREAM_TLS),
    unknown("UPSTREAM_PEER_SUBJECT", UPSTREAM_TLS),
    unknown("UPSTREAM_PEER_ISSUER", UPSTREAM_TLS),
    unknown("UPSTREAM_PEER_CERT", UPSTREAM_TLS),
    unknown("UPSTREAM_PEER_CERT_V_START", UPSTREAM_TLS),
    unknown("UPSTREAM_PEER_CERT_V_END", UPSTREAM_TLS),
    unknown("UPSTREAM_PEER_URI_SAN", UPSTREAM_TLS),
    unknown("UPSTREAM_PEER_DNS_SAN", UPSTREAM_TLS),
    unknown("UPSTREAM_PEER_IP_SAN", UPSTREAM_TLS),
    unknown("UPSTREAM_SERVER_NAME", UPSTREAM_TLS),
    unknown("UPSTREAM_LOCAL_URI_SAN", UPSTREAM_TLS),
    unknown("UPSTREAM_LOCAL_DNS_SAN", UPSTREAM_TLS),
    unknown("UPSTREAM_LOCAL_IP_SAN", UPSTREAM_TLS),
    unknown("HOSTNAME", PROCESS),
    unknown("ENVIRONMENT", PROCESS),
    unknown("UNIQUE_ID", PROCESS),
    unknown("FILTER_CHAIN_NAME", NOT_SENT),
    unknown("LOCAL_REPLY_BODY", NOT_SENT),
    unknown("CUSTOM_FLAGS", NOT_SENT),
    unknown("TRACE_ID", TRACE),
    unknown("SPAN_ID", TRACE),
];
