//! The fields of the messages: names in JSON, numbers and types, from Envoy's protos.

use serde_json::Value;

use super::{Encoded, any, structure, text_value};

/// A field of a message.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
}

/// The type of a field.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Number,
    Bool,
    /// Its names, from 0 on.
    Enumeration(&'static [&'static str]),
    /// A message around a number.
    Wrapper,
    Timestamp,
    Duration,
    Message(&'static [Field]),
    Repeated(&'static [Field]),
    /// `google.protobuf.Struct`.
    Struct,
    /// A map by texts, and what encodes a value.
    Map(fn(&Value) -> Encoded<Vec<u8>>),
}

const fn field(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind }
}

pub(super) static HTTP: &[Field] = &[
    field("commonProperties", 1, Kind::Message(COMMON)),
    field("protocolVersion", 2, Kind::Enumeration(&["PROTOCOL_UNSPECIFIED", "HTTP10", "HTTP11", "HTTP2", "HTTP3"])),
    field("request", 3, Kind::Message(REQUEST)),
    field("response", 4, Kind::Message(RESPONSE)),
];

pub(super) static TCP: &[Field] =
    &[field("commonProperties", 1, Kind::Message(COMMON)), field("connectionProperties", 2, Kind::Message(CONNECTION))];

pub(super) static IDENTIFIER: &[Field] = &[field("node", 1, Kind::Message(NODE)), field("logName", 2, Kind::Text)];

static NODE: &[Field] = &[
    field("id", 1, Kind::Text),
    field("cluster", 2, Kind::Text),
    field("metadata", 3, Kind::Struct),
    field("locality", 4, Kind::Message(LOCALITY)),
];

static LOCALITY: &[Field] =
    &[field("region", 1, Kind::Text), field("zone", 2, Kind::Text), field("subZone", 3, Kind::Text)];

static CONNECTION: &[Field] = &[field("receivedBytes", 1, Kind::Number), field("sentBytes", 2, Kind::Number)];

static COMMON: &[Field] = &[
    field("downstreamRemoteAddress", 2, Kind::Message(ADDRESS)),
    field("downstreamLocalAddress", 3, Kind::Message(ADDRESS)),
    field("tlsProperties", 4, Kind::Message(TLS)),
    field("startTime", 5, Kind::Timestamp),
    field("timeToLastRxByte", 6, Kind::Duration),
    field("timeToFirstUpstreamTxByte", 7, Kind::Duration),
    field("timeToLastUpstreamTxByte", 8, Kind::Duration),
    field("timeToFirstUpstreamRxByte", 9, Kind::Duration),
    field("timeToLastUpstreamRxByte", 10, Kind::Duration),
    field("timeToFirstDownstreamTxByte", 11, Kind::Duration),
    field("timeToLastDownstreamTxByte", 12, Kind::Duration),
    field("upstreamRemoteAddress", 13, Kind::Message(ADDRESS)),
    field("upstreamLocalAddress", 14, Kind::Message(ADDRESS)),
    field("upstreamCluster", 15, Kind::Text),
    field("responseFlags", 16, Kind::Message(FLAGS)),
    field("metadata", 17, Kind::Message(METADATA)),
    field("upstreamTransportFailureReason", 18, Kind::Text),
    field("routeName", 19, Kind::Text),
    field("downstreamDirectRemoteAddress", 20, Kind::Message(ADDRESS)),
    field("filterStateObjects", 21, Kind::Map(any)),
    field("customTags", 22, Kind::Map(text_value)),
    field("duration", 23, Kind::Duration),
    field("upstreamRequestAttemptCount", 24, Kind::Number),
    field("connectionTerminationDetails", 25, Kind::Text),
    field("streamId", 26, Kind::Text),
    field("intermediateLogEntry", 27, Kind::Bool),
    field("downstreamTransportFailureReason", 28, Kind::Text),
    field("downstreamWireBytesSent", 29, Kind::Number),
    field("downstreamWireBytesReceived", 30, Kind::Number),
    field("upstreamWireBytesSent", 31, Kind::Number),
    field("upstreamWireBytesReceived", 32, Kind::Number),
    field("accessLogType", 33, Kind::Enumeration(LOG_TYPES)),
];

static LOG_TYPES: &[&str] = &[
    "NotSet",
    "TcpUpstreamConnected",
    "TcpPeriodic",
    "TcpConnectionEnd",
    "DownstreamStart",
    "DownstreamPeriodic",
    "DownstreamEnd",
    "UpstreamPoolReady",
    "UpstreamPeriodic",
    "UpstreamEnd",
    "DownstreamTunnelSuccessfullyEstablished",
    "UdpTunnelUpstreamConnected",
    "UdpPeriodic",
    "UdpSessionEnd",
    "TcpConnectionStart",
];

static METADATA: &[Field] = &[field("filterMetadata", 1, Kind::Map(structure))];

static FLAGS: &[Field] = &[
    field("failedLocalHealthcheck", 1, Kind::Bool),
    field("noHealthyUpstream", 2, Kind::Bool),
    field("upstreamRequestTimeout", 3, Kind::Bool),
    field("localReset", 4, Kind::Bool),
    field("upstreamRemoteReset", 5, Kind::Bool),
    field("upstreamConnectionFailure", 6, Kind::Bool),
    field("upstreamConnectionTermination", 7, Kind::Bool),
    field("upstreamOverflow", 8, Kind::Bool),
    field("noRouteFound", 9, Kind::Bool),
    field("delayInjected", 10, Kind::Bool),
    field("faultInjected", 11, Kind::Bool),
    field("rateLimited", 12, Kind::Bool),
    field("unauthorizedDetails", 13, Kind::Message(UNAUTHORIZED)),
    field("rateLimitServiceError", 14, Kind::Bool),
    field("downstreamConnectionTermination", 15, Kind::Bool),
    field("upstreamRetryLimitExceeded", 16, Kind::Bool),
    field("streamIdleTimeout", 17, Kind::Bool),
    field("invalidEnvoyRequestHeaders", 18, Kind::Bool),
    field("downstreamProtocolError", 19, Kind::Bool),
    field("upstreamMaxStreamDurationReached", 20, Kind::Bool),
    field("responseFromCacheFilter", 21, Kind::Bool),
    field("noFilterConfigFound", 22, Kind::Bool),
    field("durationTimeout", 23, Kind::Bool),
    field("upstreamProtocolError", 24, Kind::Bool),
    field("noClusterFound", 25, Kind::Bool),
    field("overloadManager", 26, Kind::Bool),
    field("dnsResolutionFailure", 27, Kind::Bool),
    field("downstreamRemoteReset", 28, Kind::Bool),
];

static UNAUTHORIZED: &[Field] = &[field("reason", 1, Kind::Enumeration(&["REASON_UNSPECIFIED", "EXTERNAL_SERVICE"]))];

static REQUEST: &[Field] = &[
    field("requestMethod", 1, Kind::Enumeration(METHODS)),
    field("scheme", 2, Kind::Text),
    field("authority", 3, Kind::Text),
    field("path", 5, Kind::Text),
    field("userAgent", 6, Kind::Text),
    field("referer", 7, Kind::Text),
    field("forwardedFor", 8, Kind::Text),
    field("requestId", 9, Kind::Text),
    field("originalPath", 10, Kind::Text),
    field("requestHeadersBytes", 11, Kind::Number),
    field("requestBodyBytes", 12, Kind::Number),
    field("requestHeaders", 13, Kind::Map(text_value)),
    field("upstreamHeaderBytesSent", 14, Kind::Number),
    field("downstreamHeaderBytesReceived", 15, Kind::Number),
];

static METHODS: &[&str] =
    &["METHOD_UNSPECIFIED", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

static RESPONSE: &[Field] = &[
    field("responseCode", 1, Kind::Wrapper),
    field("responseHeadersBytes", 2, Kind::Number),
    field("responseBodyBytes", 3, Kind::Number),
    field("responseHeaders", 4, Kind::Map(text_value)),
    field("responseTrailers", 5, Kind::Map(text_value)),
    field("responseCodeDetails", 6, Kind::Text),
    field("upstreamHeaderBytesReceived", 7, Kind::Number),
    field("downstreamHeaderBytesSent", 8, Kind::Number),
];

static TLS: &[Field] = &[
    field("tlsVersion", 1, Kind::Enumeration(&["VERSION_UNSPECIFIED", "TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"])),
    field("tlsCipherSuite", 2, Kind::Wrapper),
    field("tlsSniHostname", 3, Kind::Text),
    field("localCertificateProperties", 4, Kind::Message(CERTIFICATE)),
    field("peerCertificateProperties", 5, Kind::Message(CERTIFICATE)),
    field("tlsSessionId", 6, Kind::Text),
    field("ja3Fingerprint", 7, Kind::Text),
];

static CERTIFICATE: &[Field] = &[
    field("subjectAltName", 1, Kind::Repeated(ALTERNATIVE_NAME)),
    field("subject", 2, Kind::Text),
    field("issuer", 3, Kind::Text),
];

static ALTERNATIVE_NAME: &[Field] = &[field("uri", 1, Kind::Text)];

static ADDRESS: &[Field] = &[
    field("socketAddress", 1, Kind::Message(SOCKET)),
    field("pipe", 2, Kind::Message(PIPE)),
    field("envoyInternalAddress", 3, Kind::Message(INTERNAL)),
];

static SOCKET: &[Field] = &[field("address", 2, Kind::Text), field("portValue", 3, Kind::Number)];

static PIPE: &[Field] = &[field("path", 1, Kind::Text)];

static INTERNAL: &[Field] = &[field("serverListenerName", 1, Kind::Text)];
