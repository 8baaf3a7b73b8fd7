//! The messages of the access log service, with the fields that are used, as owned values: to make and encode entries of one's
//! own. What arrives is read by [`crate::envoy::entry`], which borrows.
//!
//! Names, numbers and meanings are those of Envoy's protos, which document each field.

#![expect(missing_docs, reason = "Envoy's protos document the fields")]

use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

/// `envoy.service.accesslog.v3.StreamAccessLogsMessage.Identifier`: who sends a stream.
#[derive(Clone, PartialEq, Message)]
pub struct Identifier {
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    #[prost(bytes = "bytes", tag = "2")]
    pub log_name: Bytes,
}

/// `envoy.config.core.v3.Node`. Its `extensions`, some 500 with a real Envoy, are skipped.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(bytes = "bytes", tag = "1")]
    pub id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub cluster: Bytes,
    /// `google.protobuf.Struct`, encoded.
    #[prost(bytes = "bytes", tag = "3")]
    pub metadata: Bytes,
    #[prost(message, optional, tag = "4")]
    pub locality: Option<Locality>,
}

/// `envoy.config.core.v3.Locality`.
#[derive(Clone, PartialEq, Message)]
pub struct Locality {
    #[prost(bytes = "bytes", tag = "1")]
    pub region: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub zone: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub sub_zone: Bytes,
}

/// `envoy.data.accesslog.v3.HTTPAccessLogEntry`.
#[derive(Clone, PartialEq, Message)]
pub struct HttpEntry {
    #[prost(message, optional, tag = "1")]
    pub common: Option<Common>,
    #[prost(enumeration = "HttpVersion", tag = "2")]
    pub protocol_version: i32,
    #[prost(message, optional, tag = "3")]
    pub request: Option<HttpRequest>,
    #[prost(message, optional, tag = "4")]
    pub response: Option<HttpResponse>,
}

/// `envoy.data.accesslog.v3.TCPAccessLogEntry`.
#[derive(Clone, PartialEq, Message)]
pub struct TcpEntry {
    #[prost(message, optional, tag = "1")]
    pub common: Option<Common>,
    #[prost(message, optional, tag = "2")]
    pub connection: Option<Connection>,
}

/// `envoy.data.accesslog.v3.ConnectionProperties`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Connection {
    #[prost(uint64, tag = "1")]
    pub received_bytes: u64,
    #[prost(uint64, tag = "2")]
    pub sent_bytes: u64,
}

/// `envoy.data.accesslog.v3.AccessLogCommon`.
#[derive(Clone, PartialEq, Message)]
pub struct Common {
    #[prost(message, optional, tag = "2")]
    pub downstream_remote_address: Option<Address>,
    #[prost(message, optional, tag = "3")]
    pub downstream_local_address: Option<Address>,
    #[prost(message, optional, tag = "4")]
    pub tls: Option<Tls>,
    #[prost(message, optional, tag = "5")]
    pub start_time: Option<Time>,
    #[prost(message, optional, tag = "6")]
    pub time_to_last_rx_byte: Option<Time>,
    #[prost(message, optional, tag = "7")]
    pub time_to_first_upstream_tx_byte: Option<Time>,
    #[prost(message, optional, tag = "8")]
    pub time_to_last_upstream_tx_byte: Option<Time>,
    #[prost(message, optional, tag = "9")]
    pub time_to_first_upstream_rx_byte: Option<Time>,
    #[prost(message, optional, tag = "10")]
    pub time_to_last_upstream_rx_byte: Option<Time>,
    #[prost(message, optional, tag = "11")]
    pub time_to_first_downstream_tx_byte: Option<Time>,
    #[prost(message, optional, tag = "12")]
    pub time_to_last_downstream_tx_byte: Option<Time>,
    #[prost(message, optional, tag = "13")]
    pub upstream_remote_address: Option<Address>,
    #[prost(message, optional, tag = "14")]
    pub upstream_local_address: Option<Address>,
    #[prost(bytes = "bytes", tag = "15")]
    pub upstream_cluster: Bytes,
    /// `ResponseFlags`: read field by field, as nearly all are one bit.
    #[prost(bytes = "bytes", tag = "16")]
    pub response_flags: Bytes,
    /// [`Metadata`], encoded: it is written as JSON without being decoded as a whole.
    #[prost(bytes = "bytes", tag = "17")]
    pub metadata: Bytes,
    #[prost(bytes = "bytes", tag = "18")]
    pub upstream_transport_failure_reason: Bytes,
    #[prost(bytes = "bytes", tag = "19")]
    pub route_name: Bytes,
    #[prost(message, optional, tag = "20")]
    pub downstream_direct_remote_address: Option<Address>,
    #[prost(message, repeated, tag = "21")]
    pub filter_state_objects: Vec<AnyMember>,
    #[prost(message, repeated, tag = "22")]
    pub custom_tags: Vec<TextMember>,
    #[prost(message, optional, tag = "23")]
    pub duration: Option<Time>,
    #[prost(uint32, tag = "24")]
    pub upstream_request_attempt_count: u32,
    #[prost(bytes = "bytes", tag = "25")]
    pub connection_termination_details: Bytes,
    #[prost(bytes = "bytes", tag = "26")]
    pub stream_id: Bytes,
    #[prost(bool, tag = "27")]
    pub intermediate_log_entry: bool,
    #[prost(bytes = "bytes", tag = "28")]
    pub downstream_transport_failure_reason: Bytes,
    #[prost(uint64, tag = "29")]
    pub downstream_wire_bytes_sent: u64,
    #[prost(uint64, tag = "30")]
    pub downstream_wire_bytes_received: u64,
    #[prost(uint64, tag = "31")]
    pub upstream_wire_bytes_sent: u64,
    #[prost(uint64, tag = "32")]
    pub upstream_wire_bytes_received: u64,
    #[prost(enumeration = "AccessLogType", tag = "33")]
    pub access_log_type: i32,
}

/// `envoy.data.accesslog.v3.HTTPRequestProperties`.
#[derive(Clone, PartialEq, Message)]
pub struct HttpRequest {
    #[prost(enumeration = "Method", tag = "1")]
    pub method: i32,
    #[prost(bytes = "bytes", tag = "2")]
    pub scheme: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub authority: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub path: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    pub user_agent: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    pub referer: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    pub forwarded_for: Bytes,
    #[prost(bytes = "bytes", tag = "9")]
    pub request_id: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    pub original_path: Bytes,
    #[prost(uint64, tag = "11")]
    pub headers_bytes: u64,
    #[prost(uint64, tag = "12")]
    pub body_bytes: u64,
    #[prost(message, repeated, tag = "13")]
    pub headers: Vec<TextMember>,
    #[prost(uint64, tag = "14")]
    pub upstream_header_bytes_sent: u64,
    #[prost(uint64, tag = "15")]
    pub downstream_header_bytes_received: u64,
}

/// `envoy.data.accesslog.v3.HTTPResponseProperties`.
#[derive(Clone, PartialEq, Message)]
pub struct HttpResponse {
    #[prost(message, optional, tag = "1")]
    pub code: Option<Number>,
    #[prost(uint64, tag = "2")]
    pub headers_bytes: u64,
    #[prost(uint64, tag = "3")]
    pub body_bytes: u64,
    #[prost(message, repeated, tag = "4")]
    pub headers: Vec<TextMember>,
    #[prost(message, repeated, tag = "5")]
    pub trailers: Vec<TextMember>,
    #[prost(bytes = "bytes", tag = "6")]
    pub code_details: Bytes,
    #[prost(uint64, tag = "7")]
    pub upstream_header_bytes_received: u64,
    #[prost(uint64, tag = "8")]
    pub downstream_header_bytes_sent: u64,
}

/// `envoy.data.accesslog.v3.TLSProperties`.
#[derive(Clone, PartialEq, Message)]
pub struct Tls {
    #[prost(enumeration = "TlsVersion", tag = "1")]
    pub version: i32,
    #[prost(message, optional, tag = "2")]
    pub cipher_suite: Option<Number>,
    #[prost(bytes = "bytes", tag = "3")]
    pub sni_hostname: Bytes,
    #[prost(message, optional, tag = "4")]
    pub local_certificate: Option<Certificate>,
    #[prost(message, optional, tag = "5")]
    pub peer_certificate: Option<Certificate>,
    #[prost(bytes = "bytes", tag = "6")]
    pub session_id: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    pub ja3_fingerprint: Bytes,
}

/// `envoy.data.accesslog.v3.TLSProperties.CertificateProperties`.
#[derive(Clone, PartialEq, Message)]
pub struct Certificate {
    #[prost(message, repeated, tag = "1")]
    pub subject_alt_names: Vec<SubjectAltName>,
    #[prost(bytes = "bytes", tag = "2")]
    pub subject: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub issuer: Bytes,
}

/// `...CertificateProperties.SubjectAltName`; Envoy sends URIs only.
#[derive(Clone, PartialEq, Message)]
pub struct SubjectAltName {
    #[prost(bytes = "bytes", tag = "1")]
    pub uri: Bytes,
}

/// `envoy.config.core.v3.Address`.
#[derive(Clone, PartialEq, Message)]
pub struct Address {
    #[prost(oneof = "AddressKind", tags = "1, 2, 3")]
    pub kind: Option<AddressKind>,
}

/// `envoy.config.core.v3.Address.address`.
#[derive(Clone, PartialEq, Oneof)]
pub enum AddressKind {
    #[prost(message, tag = "1")]
    Socket(SocketAddress),
    #[prost(message, tag = "2")]
    Pipe(Pipe),
    #[prost(message, tag = "3")]
    Internal(InternalAddress),
}

impl Address {
    /// An address of the network: an IP address and a port.
    pub fn socket(address: impl Into<Bytes>, port: u32) -> Self {
        Self { kind: Some(AddressKind::Socket(SocketAddress { address: address.into(), port })) }
    }
}

/// `envoy.config.core.v3.SocketAddress`.
#[derive(Clone, PartialEq, Message)]
pub struct SocketAddress {
    #[prost(bytes = "bytes", tag = "2")]
    pub address: Bytes,
    #[prost(uint32, tag = "3")]
    pub port: u32,
}

/// `envoy.config.core.v3.Pipe`: a Unix socket.
#[derive(Clone, PartialEq, Message)]
pub struct Pipe {
    #[prost(bytes = "bytes", tag = "1")]
    pub path: Bytes,
}

/// `envoy.config.core.v3.EnvoyInternalAddress`: a listener within the same Envoy.
#[derive(Clone, PartialEq, Message)]
pub struct InternalAddress {
    #[prost(bytes = "bytes", tag = "1")]
    pub listener: Bytes,
}

/// `envoy.config.core.v3.Metadata`.
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    #[prost(message, repeated, tag = "1")]
    pub filter_metadata: Vec<StructMember>,
}

/// A member of a map of texts.
#[derive(Clone, PartialEq, Message)]
pub struct TextMember {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// A member of a map of `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
pub struct StructMember {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Struct>,
}

/// A member of a map of `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct AnyMember {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(bytes = "bytes", tag = "1")]
    pub type_url: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
pub struct Struct {
    #[prost(message, repeated, tag = "1")]
    pub fields: Vec<ValueMember>,
}

/// A member of a `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
pub struct ValueMember {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

/// `google.protobuf.Value.kind`.
#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    #[prost(int32, tag = "1")]
    Null(i32),
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(bytes = "bytes", tag = "3")]
    String(Bytes),
    #[prost(bool, tag = "4")]
    Bool(bool),
    #[prost(message, tag = "5")]
    Struct(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

/// `google.protobuf.ListValue`.
#[derive(Clone, PartialEq, Message)]
pub struct List {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

/// `google.protobuf.StringValue` and `BytesValue`.
#[derive(Clone, PartialEq, Message)]
pub struct Text {
    #[prost(bytes = "bytes", tag = "1")]
    pub value: Bytes,
}

/// `google.protobuf.UInt32Value`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Number {
    #[prost(uint32, tag = "1")]
    pub value: u32,
}

/// `google.protobuf.Timestamp` and `Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Time {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// The bytes of `message`, for those who test with entries of their own.
pub fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

impl Time {
    /// In nanoseconds.
    pub fn nanoseconds(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos)
    }
}

/// `envoy.data.accesslog.v3.HTTPAccessLogEntry.HTTPVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum HttpVersion {
    Unspecified = 0,
    Http10 = 1,
    Http11 = 2,
    Http2 = 3,
    Http3 = 4,
}

/// `envoy.config.core.v3.RequestMethod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Method {
    Unspecified = 0,
    Get = 1,
    Head = 2,
    Post = 3,
    Put = 4,
    Delete = 5,
    Connect = 6,
    Options = 7,
    Trace = 8,
    Patch = 9,
}

/// `envoy.data.accesslog.v3.TLSProperties.TLSVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum TlsVersion {
    Unspecified = 0,
    V1 = 1,
    V1_1 = 2,
    V1_2 = 3,
    V1_3 = 4,
}

/// `envoy.data.accesslog.v3.AccessLogType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum AccessLogType {
    NotSet = 0,
    TcpUpstreamConnected = 1,
    TcpPeriodic = 2,
    TcpConnectionEnd = 3,
    DownstreamStart = 4,
    DownstreamPeriodic = 5,
    DownstreamEnd = 6,
    UpstreamPoolReady = 7,
    UpstreamPeriodic = 8,
    UpstreamEnd = 9,
    DownstreamTunnelSuccessfullyEstablished = 10,
    UdpTunnelUpstreamConnected = 11,
    UdpPeriodic = 12,
    UdpSessionEnd = 13,
    TcpConnectionStart = 14,
}

impl AccessLogType {
    /// Whether the record is the last of its request or connection.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::NotSet | Self::TcpConnectionEnd | Self::DownstreamEnd | Self::UpstreamEnd | Self::UdpSessionEnd
        )
    }

    /// Envoy's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSet => "NotSet",
            Self::TcpUpstreamConnected => "TcpUpstreamConnected",
            Self::TcpPeriodic => "TcpPeriodic",
            Self::TcpConnectionEnd => "TcpConnectionEnd",
            Self::DownstreamStart => "DownstreamStart",
            Self::DownstreamPeriodic => "DownstreamPeriodic",
            Self::DownstreamEnd => "DownstreamEnd",
            Self::UpstreamPoolReady => "UpstreamPoolReady",
            Self::UpstreamPeriodic => "UpstreamPeriodic",
            Self::UpstreamEnd => "UpstreamEnd",
            Self::DownstreamTunnelSuccessfullyEstablished => "DownstreamTunnelSuccessfullyEstablished",
            Self::UdpTunnelUpstreamConnected => "UdpTunnelUpstreamConnected",
            Self::UdpPeriodic => "UdpPeriodic",
            Self::UdpSessionEnd => "UdpSessionEnd",
            Self::TcpConnectionStart => "TcpConnectionStart",
        }
    }
}
