//! Entries as they are read: borrowed from the bytes of the message, with every field that an access log can print.
//!
//! [`HttpEntry::decode`] and [`TcpEntry::decode`] read an entry once and copy nothing; only fields that repeat take memory
//! of their own. Names and meanings are those of Envoy's protos (`envoy/data/accesslog/v3/accesslog.proto`). A number that
//! Envoy does not send is zero and a text is empty, as in every message of protobuf; where the difference counts, the field
//! is an `Option`. Texts are bytes that need not be UTF-8.
//!
//! [`crate::envoy::message`] has the same entries to be made and encoded.

mod decode;

pub(crate) use decode::Text;

pub use super::message::{AccessLogType, HttpVersion, Method, Time, TlsVersion};

/// `envoy.data.accesslog.v3.HTTPAccessLogEntry`: a request and its response.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HttpEntry<'a> {
    /// What HTTP and TCP entries share. Envoy always sends it.
    pub common: Option<Common<'a>>,
    /// The version of HTTP on the side of the client, an [`HttpVersion`].
    pub protocol_version: i32,
    /// The request, as the client sent it and as it went to the upstream.
    pub request: Option<HttpRequest<'a>>,
    /// The response, as the client got it.
    pub response: Option<HttpResponse<'a>>,
}

/// `envoy.data.accesslog.v3.TCPAccessLogEntry`: a connection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TcpEntry<'a> {
    /// What HTTP and TCP entries share. Envoy always sends it.
    pub common: Option<Common<'a>>,
    /// What went over the connection.
    pub connection: Option<Connection>,
}

/// `envoy.data.accesslog.v3.ConnectionProperties`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connection {
    /// Bytes from the client.
    pub received_bytes: u64,
    /// Bytes to the client.
    pub sent_bytes: u64,
}

/// `envoy.data.accesslog.v3.AccessLogCommon`.
///
/// The times that begin with `time_to` count from `start_time`; they and `duration` have nanoseconds, `start_time` has
/// microseconds. A time is absent if what it tells did not happen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Common<'a> {
    /// The client: the peer, or who a header says is in front of it (then with port 0).
    pub downstream_remote_address: Option<Address<'a>>,
    /// Where Envoy took the connection.
    pub downstream_local_address: Option<Address<'a>>,
    /// The TLS session of the client.
    pub tls: Option<Tls<'a>>,
    /// When the request or connection began.
    pub start_time: Option<Time>,
    /// Until the last byte of the request came.
    pub time_to_last_rx_byte: Option<Time>,
    /// Until the first byte went to the upstream.
    pub time_to_first_upstream_tx_byte: Option<Time>,
    /// Until the last byte went to the upstream.
    pub time_to_last_upstream_tx_byte: Option<Time>,
    /// Until the first byte came from the upstream.
    pub time_to_first_upstream_rx_byte: Option<Time>,
    /// Until the last byte came from the upstream.
    pub time_to_last_upstream_rx_byte: Option<Time>,
    /// Until the first byte went to the client.
    pub time_to_first_downstream_tx_byte: Option<Time>,
    /// Until the last byte went to the client.
    pub time_to_last_downstream_tx_byte: Option<Time>,
    /// The host that was selected, even if the connection to it failed.
    pub upstream_remote_address: Option<Address<'a>>,
    /// Envoy's side of the connection to the upstream; absent if the connection failed.
    pub upstream_local_address: Option<Address<'a>>,
    /// The cluster, once a host was selected.
    pub upstream_cluster: &'a [u8],
    /// `ResponseFlags`, encoded: nearly all are one bit, which [`crate::envoy::Flags`] reads.
    pub response_flags: &'a [u8],
    /// Dynamic metadata (`envoy.config.core.v3.Metadata`), encoded: it may be most of the entry, and is read where it is used.
    pub metadata: &'a [u8],
    /// Why the connection to the upstream failed; with spaces, which Envoy's own logs replace by `_`.
    pub upstream_transport_failure_reason: &'a [u8],
    /// The name of the route.
    pub route_name: &'a [u8],
    /// The peer.
    pub downstream_direct_remote_address: Option<Address<'a>>,
    /// Objects of the filter state that the logger was told to send, in the order of the message.
    pub filter_state_objects: Vec<AnyMember<'a>>,
    /// Custom tags, in the order of the message.
    pub custom_tags: Vec<TextMember<'a>>,
    /// Until the end of the request or connection; absent in records that are not the last.
    pub duration: Option<Time>,
    /// Tries of the upstream, the first included.
    pub upstream_request_attempt_count: u32,
    /// Why Envoy ended the connection.
    pub connection_termination_details: &'a [u8],
    /// The identifier of the stream.
    pub stream_id: &'a [u8],
    /// Whether the request or connection has not ended yet.
    pub intermediate_log_entry: bool,
    /// Why the client's TLS failed; with spaces.
    pub downstream_transport_failure_reason: &'a [u8],
    /// Bytes to the client, with heads and framing.
    pub downstream_wire_bytes_sent: u64,
    /// Bytes from the client, with heads and framing.
    pub downstream_wire_bytes_received: u64,
    /// Bytes to the upstream, with heads and framing.
    pub upstream_wire_bytes_sent: u64,
    /// Bytes from the upstream, with heads and framing.
    pub upstream_wire_bytes_received: u64,
    /// The kind of record, an [`AccessLogType`].
    pub access_log_type: i32,
}

/// `envoy.data.accesslog.v3.HTTPRequestProperties`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpRequest<'a> {
    /// A [`Method`]; [`HttpRequest::method_name`] has those of no number, too.
    pub method: i32,
    /// `:scheme`.
    pub scheme: &'a [u8],
    /// `:authority`, with its port.
    pub authority: &'a [u8],
    /// `:path` as it went to the upstream, with the query.
    pub path: &'a [u8],
    /// The header `user-agent`.
    pub user_agent: &'a [u8],
    /// The header `referer`.
    pub referer: &'a [u8],
    /// The header `x-forwarded-for`.
    pub forwarded_for: &'a [u8],
    /// The header `x-request-id`.
    pub request_id: &'a [u8],
    /// `:path` as the client sent it, if it was rewritten.
    pub original_path: &'a [u8],
    /// Bytes of the headers from the client.
    pub headers_bytes: u64,
    /// Bytes of the body from the client.
    pub body_bytes: u64,
    /// The headers that the logger was told to send, in the order of the message. Envoy joins equal ones with `,`.
    pub headers: Vec<TextMember<'a>>,
    /// Bytes of the headers that went to the upstream, on the wire.
    pub upstream_header_bytes_sent: u64,
    /// Bytes of the headers that came from the client, on the wire.
    pub downstream_header_bytes_received: u64,
}

/// `envoy.data.accesslog.v3.HTTPResponseProperties`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpResponse<'a> {
    /// The status; absent if the client left before there was one.
    pub code: Option<u32>,
    /// Bytes of the headers to the client.
    pub headers_bytes: u64,
    /// Bytes of the body to the client.
    pub body_bytes: u64,
    /// The headers that the logger was told to send, in the order of the message.
    pub headers: Vec<TextMember<'a>>,
    /// The trailers that the logger was told to send, in the order of the message.
    pub trailers: Vec<TextMember<'a>>,
    /// Why the status is what it is: `via_upstream`, or a reason of Envoy's.
    pub code_details: &'a [u8],
    /// Bytes of the headers that came from the upstream, on the wire.
    pub upstream_header_bytes_received: u64,
    /// Bytes of the headers that went to the client, on the wire.
    pub downstream_header_bytes_sent: u64,
}

/// `envoy.data.accesslog.v3.TLSProperties`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls<'a> {
    /// A [`TlsVersion`]; [`Tls::version_name`] prints it.
    pub version: i32,
    /// The number that IANA gave the cipher suite; [`Tls::cipher_name`] prints it.
    pub cipher_suite: Option<u32>,
    /// The server name that the client asked for.
    pub sni_hostname: &'a [u8],
    /// Envoy's certificate.
    pub local_certificate: Option<Certificate<'a>>,
    /// The client's certificate; present and empty if it has none.
    pub peer_certificate: Option<Certificate<'a>>,
    /// The identifier of the session, before TLS 1.3.
    pub session_id: &'a [u8],
    /// JA3's fingerprint of the client.
    pub ja3_fingerprint: &'a [u8],
}

/// `envoy.data.accesslog.v3.TLSProperties.CertificateProperties`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The URIs among the alternative names of the subject, which are all that Envoy sends; others are empty.
    pub uri_sans: Vec<&'a [u8]>,
    /// The subject.
    pub subject: &'a [u8],
    /// The issuer.
    pub issuer: &'a [u8],
}

/// `envoy.config.core.v3.Address`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Address<'a> {
    /// None of those below.
    #[default]
    Unknown,
    /// An address of the network.
    Socket(SocketAddress<'a>),
    /// The path of a Unix socket.
    Pipe(&'a [u8]),
    /// The name of a listener within the same Envoy.
    Internal(&'a [u8]),
}

/// `envoy.config.core.v3.SocketAddress`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketAddress<'a> {
    /// The IP address as text.
    pub address: &'a [u8],
    /// The port.
    pub port: u32,
}

/// A member of a map of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextMember<'a> {
    /// Its name.
    pub key: &'a [u8],
    /// Its text.
    pub value: &'a [u8],
}

/// A member of a map of `google.protobuf.Any`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnyMember<'a> {
    /// Its name.
    pub key: &'a [u8],
    /// What it holds.
    pub value: Option<Any<'a>>,
}

/// `google.protobuf.Any`: an encoded message and the name of its type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Any<'a> {
    /// `type.googleapis.com/` and the name of the type.
    pub type_url: &'a [u8],
    /// The message.
    pub value: &'a [u8],
}

impl<'a> HttpEntry<'a> {
    /// The version as Envoy's logs print it, like `HTTP/1.1`; empty if it is not known.
    pub fn protocol_name(&self) -> &'static str {
        match HttpVersion::try_from(self.protocol_version) {
            Ok(HttpVersion::Http10) => "HTTP/1.0",
            Ok(HttpVersion::Http11) => "HTTP/1.1",
            Ok(HttpVersion::Http2) => "HTTP/2",
            Ok(HttpVersion::Http3) => "HTTP/3",
            Ok(HttpVersion::Unspecified) | Err(_) => "",
        }
    }
}

impl<'a> Common<'a> {
    /// Whether the record is not the last of its request or connection. The type of a later version is judged by the flag alone.
    pub fn is_intermediate(&self) -> bool {
        let is_final = AccessLogType::try_from(self.access_log_type).map_or(true, AccessLogType::is_final);
        self.intermediate_log_entry || !is_final
    }
}

impl<'a> HttpRequest<'a> {
    /// The method. Envoy has no number for PURGE and the like, but the logger may have been told to send `:method`; empty if
    /// it is not known.
    pub fn method_name(&self) -> &'a [u8] {
        match Method::try_from(self.method) {
            Ok(Method::Get) => b"GET",
            Ok(Method::Head) => b"HEAD",
            Ok(Method::Post) => b"POST",
            Ok(Method::Put) => b"PUT",
            Ok(Method::Delete) => b"DELETE",
            Ok(Method::Connect) => b"CONNECT",
            Ok(Method::Options) => b"OPTIONS",
            Ok(Method::Trace) => b"TRACE",
            Ok(Method::Patch) => b"PATCH",
            Ok(Method::Unspecified) | Err(_) => {
                let found = self.headers.iter().rfind(|member| member.key == b":method");
                found.map_or(b"", |member| member.value)
            }
        }
    }
}

impl<'a> Address<'a> {
    /// The address of the network, if it is one.
    pub fn socket(self) -> Option<SocketAddress<'a>> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Unknown | Self::Pipe(_) | Self::Internal(_) => None,
        }
    }
}
