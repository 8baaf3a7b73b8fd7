//! Entries of Envoy's access log service.

use super::address::Address;
use super::view::{Count, Entry, Header, Known, Peer, Placeholder, Placeholders, Point, Section, Text, Written};
use crate::envoy::entry::{self, AccessLogType, Certificate, Common, HttpRequest, HttpResponse, TextMember, Time};
use crate::envoy::{Flags, metadata, source};

/// The long names of response flags, by their short ones
/// (<https://www.envoyproxy.io/docs/envoy/latest/configuration/advanced/substitution_formatter>, `%RESPONSE_FLAGS_LONG%`).
const LONG_FLAGS: [(&str, &str); 30] = [
    ("LH", "FailedLocalHealthCheck"),
    ("UH", "NoHealthyUpstream"),
    ("UT", "UpstreamRequestTimeout"),
    ("LR", "LocalReset"),
    ("UR", "UpstreamRemoteReset"),
    ("UF", "UpstreamConnectionFailure"),
    ("UC", "UpstreamConnectionTermination"),
    ("UO", "UpstreamOverflow"),
    ("NR", "NoRouteFound"),
    ("DI", "DelayInjected"),
    ("FI", "FaultInjected"),
    ("RL", "RateLimited"),
    ("UAEX", "UnauthorizedExternalService"),
    ("RLSE", "RateLimitServiceError"),
    ("DC", "DownstreamConnectionTermination"),
    ("URX", "UpstreamRetryLimitExceeded"),
    ("SI", "StreamIdleTimeout"),
    ("IH", "InvalidEnvoyRequestHeaders"),
    ("DPE", "DownstreamProtocolError"),
    ("UMSDR", "UpstreamMaxStreamDurationReached"),
    ("RFCF", "ResponseFromCacheFilter"),
    ("NFCF", "NoFilterConfigFound"),
    ("DT", "DurationTimeout"),
    ("UPE", "UpstreamProtocolError"),
    ("NC", "NoClusterFound"),
    ("OM", "OverloadManagerTerminated"),
    ("DF", "DnsResolutionFailed"),
    ("DR", "DownstreamRemoteReset"),
    ("DO", "DropOverload"),
    ("UDO", "UnconditionalDropOverload"),
];

/// The headers that an entry has beside its map.
const FIELDS: [(&[u8], Known); 9] = [
    (b":method", Known::Method),
    (b":path", Known::Path),
    (b":authority", Known::Authority),
    (b":scheme", Known::Scheme),
    (b"user-agent", Known::UserAgent),
    (b"referer", Known::Referer),
    (b"x-forwarded-for", Known::ForwardedFor),
    (b"x-request-id", Known::RequestId),
    (b"x-envoy-original-path", Known::OriginalPath),
];

/// An entry of Envoy's access log service, for a template.
#[derive(Debug, Clone, Copy)]
pub struct AlsEntry<'e> {
    common: &'e Common<'e>,
    request: Option<&'e HttpRequest<'e>>,
    response: Option<&'e HttpResponse<'e>>,
    kind: Kind<'e>,
    placeholders: &'e Placeholders,
}

#[derive(Debug, Clone, Copy)]
enum Kind<'e> {
    Http(&'e entry::HttpEntry<'e>),
    Tcp(entry::Connection),
}

impl<'e> AlsEntry<'e> {
    /// A request. `None` if the entry has no `common_properties`, which every entry of Envoy has.
    pub fn http(entry: &'e entry::HttpEntry<'e>, placeholders: &'e Placeholders) -> Option<Self> {
        let common = entry.common.as_ref()?;
        let (request, response) = (entry.request.as_ref(), entry.response.as_ref());
        Some(Self { common, request, response, kind: Kind::Http(entry), placeholders })
    }

    /// A connection. `None` as with [`Self::http`].
    pub fn tcp(entry: &'e entry::TcpEntry<'e>, placeholders: &'e Placeholders) -> Option<Self> {
        let common = entry.common.as_ref()?;
        let kind = Kind::Tcp(entry.connection.unwrap_or_default());
        Some(Self { common, request: None, response: None, kind, placeholders })
    }

    fn flag_bits(&self) -> Flags {
        let details = self.response.map_or(&b""[..], |response| response.code_details);
        Flags::new(self.common.response_flags, details)
    }

    fn certificate(&self, peer: bool) -> Option<&'e Certificate<'e>> {
        let tls = self.common.tls.as_ref()?;
        if peer { tls.peer_certificate.as_ref() } else { tls.local_certificate.as_ref() }
    }

    /// Whether the connection to the host was established. The path of a Unix socket has no address on our side: what
    /// tells is that no flag says otherwise.
    fn connected(&self) -> bool {
        self.common.upstream_local_address.is_some()
            || matches!(self.common.upstream_remote_address, Some(entry::Address::Pipe(_)))
                && !self.flag_bits().no_upstream()
    }

    /// A field of its own that an entry has for a header; empty if it has none.
    fn field(&self, known: Known) -> &'e [u8] {
        let Some(request) = self.request else { return b"" };
        match known {
            Known::None | Known::Status => b"",
            Known::Method => request.method_name(),
            Known::Path => request.path,
            Known::Authority => request.authority,
            Known::Scheme => request.scheme,
            Known::UserAgent => request.user_agent,
            Known::Referer => request.referer,
            Known::ForwardedFor => request.forwarded_for,
            Known::RequestId => request.request_id,
            Known::OriginalPath => request.original_path,
        }
    }
}

/// The name of the response flag `short`.
pub(super) fn flag_name(short: &str, long: bool) -> &str {
    match LONG_FLAGS.iter().find(|(known, _)| long && *known == short) {
        Some((_, name)) => name,
        None => short,
    }
}

/// Appends `text`, unless it is empty.
fn push(out: &mut Vec<u8>, text: &[u8]) -> bool {
    out.extend_from_slice(text);
    !text.is_empty()
}

fn push_uris(out: &mut Vec<u8>, certificate: Option<&Certificate<'_>>) -> bool {
    let mark = out.len();
    for uri in certificate.iter().flat_map(|certificate| &certificate.uri_sans).filter(|uri| !uri.is_empty()) {
        if out.len() > mark {
            out.push(b',');
        }
        out.extend_from_slice(uri);
    }
    out.len() > mark
}

fn find<'a>(members: &[TextMember<'a>], name: &str) -> Option<&'a [u8]> {
    members.iter().rfind(|member| member.key.eq_ignore_ascii_case(name.as_bytes())).map(|member| member.value)
}

impl Entry for AlsEntry<'_> {
    fn start(&self) -> Option<(i64, u32)> {
        let time = self.common.start_time?;
        Some((time.seconds, u32::try_from(time.nanos).unwrap_or(0)))
    }

    fn point(&self, point: Point) -> Option<i64> {
        let common = self.common;
        let time = match point {
            Point::Start => return Some(0),
            Point::LastReceived => common.time_to_last_rx_byte,
            Point::FirstUpstreamSent => common.time_to_first_upstream_tx_byte,
            Point::LastUpstreamSent => common.time_to_last_upstream_tx_byte,
            Point::FirstUpstreamReceived => common.time_to_first_upstream_rx_byte,
            Point::LastUpstreamReceived => common.time_to_last_upstream_rx_byte,
            Point::FirstSent => common.time_to_first_downstream_tx_byte,
            Point::LastSent => common.time_to_last_downstream_tx_byte,
            Point::End => common.duration,
        };
        i64::try_from(time.map(Time::nanoseconds)?).ok()
    }

    fn count(&self, count: Count) -> Option<u64> {
        let common = self.common;
        let request = |number: fn(&HttpRequest<'_>) -> u64| self.request.map_or(0, number);
        let response = |number: fn(&HttpResponse<'_>) -> u64| self.response.map_or(0, number);
        // A number that is not sent is zero, and Envoy prints zero where there is none.
        Some(match (count, self.kind) {
            (Count::BytesReceived, Kind::Tcp(connection)) => connection.received_bytes,
            (Count::BytesSent, Kind::Tcp(connection)) => connection.sent_bytes,
            (Count::BytesReceived, Kind::Http(_)) => request(|request| request.body_bytes),
            (Count::BytesSent, Kind::Http(_)) => response(|response| response.body_bytes),
            (Count::RequestHeadersBytes, _) => request(|request| request.headers_bytes),
            (Count::ResponseHeadersBytes, _) => response(|response| response.headers_bytes),
            (Count::UpstreamWireBytesSent, _) => common.upstream_wire_bytes_sent,
            (Count::UpstreamWireBytesReceived, _) => common.upstream_wire_bytes_received,
            (Count::UpstreamHeaderBytesSent, _) => request(|request| request.upstream_header_bytes_sent),
            (Count::UpstreamHeaderBytesReceived, _) => response(|response| response.upstream_header_bytes_received),
            (Count::DownstreamWireBytesSent, _) => common.downstream_wire_bytes_sent,
            (Count::DownstreamWireBytesReceived, _) => common.downstream_wire_bytes_received,
            (Count::DownstreamHeaderBytesSent, _) => response(|response| response.downstream_header_bytes_sent),
            (Count::DownstreamHeaderBytesReceived, _) => request(|request| request.downstream_header_bytes_received),
            (Count::ResponseCode, _) => response(|response| response.code.unwrap_or(0).into()),
            (Count::UpstreamRequestAttemptCount, _) => common.upstream_request_attempt_count.into(),
        })
    }

    fn text(&self, text: Text, out: &mut Vec<u8>) -> bool {
        let common = self.common;
        let tls = common.tls.as_ref();
        match text {
            Text::Protocol => match self.kind {
                Kind::Http(entry) => push(out, entry.protocol_name().as_bytes()),
                Kind::Tcp(_) => false,
            },
            Text::RouteName => push(out, common.route_name),
            Text::UpstreamCluster => push(out, common.upstream_cluster),
            Text::StreamId => push(out, common.stream_id),
            Text::ResponseCodeDetails => self.response.is_some_and(|response| push(out, response.code_details)),
            Text::UpstreamTransportFailureReason => push(out, common.upstream_transport_failure_reason),
            Text::DownstreamTransportFailureReason => push(out, common.downstream_transport_failure_reason),
            Text::ConnectionTerminationDetails => push(out, common.connection_termination_details),
            Text::ServerName => tls.is_some_and(|tls| push(out, tls.sni_hostname)),
            Text::TlsVersion => tls.is_some_and(|tls| push(out, tls.version_name().as_bytes())),
            Text::TlsCipher => tls.and_then(|tls| tls.cipher_name()).is_some_and(|cipher| push(out, cipher.as_bytes())),
            Text::TlsSessionId => tls.is_some_and(|tls| push(out, tls.session_id)),
            Text::Ja3Fingerprint => tls.is_some_and(|tls| push(out, tls.ja3_fingerprint)),
            Text::PeerSubject => self.certificate(true).is_some_and(|certificate| push(out, certificate.subject)),
            Text::PeerIssuer => self.certificate(true).is_some_and(|certificate| push(out, certificate.issuer)),
            Text::LocalSubject => self.certificate(false).is_some_and(|certificate| push(out, certificate.subject)),
            Text::PeerUriSans => push_uris(out, self.certificate(true)),
            Text::LocalUriSans => push_uris(out, self.certificate(false)),
            Text::AccessLogType => {
                AccessLogType::try_from(common.access_log_type).is_ok_and(|kind| push(out, kind.name().as_bytes()))
            }
            Text::Path => push(out, self.field(Known::Path)),
            Text::OriginalPath => push(out, self.field(Known::OriginalPath)),
        }
    }

    fn header(&self, header: &Header, out: &mut Vec<u8>) -> bool {
        let field = self.field(header.known);
        if !field.is_empty() {
            return push(out, field);
        }
        let found = match (header.section, self.request, self.response) {
            (Section::Request, Some(request), _) => find(&request.headers, &header.name),
            (Section::Response, _, Some(response)) => match (header.known, response.code) {
                (Known::Status, Some(code)) if code > 0 => {
                    super::number::push(out, code.into());
                    return true;
                }
                _ => find(&response.headers, &header.name),
            },
            (Section::Trailer, _, Some(response)) => find(&response.trailers, &header.name),
            _ => None,
        };
        // An empty header is there.
        found.map(|value| out.extend_from_slice(value)).is_some()
    }

    fn headers(&self, section: Section, each: &mut dyn FnMut(&[u8], &[u8])) {
        let members: &[TextMember<'_>] = match (section, self.request, self.response) {
            (Section::Request, Some(request), _) => &request.headers,
            (Section::Response, _, Some(response)) => &response.headers,
            (Section::Trailer, _, Some(response)) => &response.trailers,
            _ => &[],
        };
        members.iter().for_each(|member| each(member.key, member.value));
        if section == Section::Request {
            for (name, known) in FIELDS.into_iter().filter(|(_, known)| !self.field(*known).is_empty()) {
                each(name, self.field(known));
            }
        }
    }

    fn address(&self, peer: Peer) -> Option<Address<'_>> {
        let common = self.common;
        let address = match peer {
            Peer::UpstreamHost => common.upstream_remote_address,
            Peer::UpstreamRemote => common.upstream_remote_address.filter(|_| self.connected()),
            Peer::UpstreamLocal => common.upstream_local_address,
            Peer::DownstreamRemote => common.downstream_remote_address,
            Peer::DownstreamDirectRemote => common.downstream_direct_remote_address,
            Peer::DownstreamLocal => common.downstream_local_address,
        };
        match address? {
            entry::Address::Unknown => None,
            entry::Address::Socket(socket) => {
                Some(Address::Ip(socket.address, Some(u16::try_from(socket.port).unwrap_or(u16::MAX))))
            }
            entry::Address::Pipe(path) => Some(Address::Named("", path)),
            entry::Address::Internal(listener) => Some(Address::Named("envoy://", listener)),
        }
    }

    fn flags(&self, long: bool, out: &mut Vec<u8>) -> bool {
        let mark = out.len();
        for short in self.flag_bits().names(matches!(self.kind, Kind::Http(_))) {
            if out.len() > mark {
                out.push(b',');
            }
            out.extend_from_slice(flag_name(short, long).as_bytes());
        }
        out.len() > mark
    }

    fn metadata(&self, path: &[String], out: &mut Vec<u8>) -> Written {
        metadata::write_at(self.common.metadata, path, out)
    }

    fn filter_state(&self, key: &str, out: &mut Vec<u8>) -> bool {
        let objects = &self.common.filter_state_objects;
        let found = objects.iter().rfind(|object| object.key == key.as_bytes()).and_then(|object| object.value);
        let text = found.and_then(|object| source::filter_state_text(object.type_url, object.value));
        text.map(|text| out.extend_from_slice(text)).is_some()
    }

    fn placeholder(&self, placeholder: Placeholder, out: &mut Vec<u8>) {
        out.extend_from_slice(self.placeholders.get(placeholder).as_bytes());
    }
}
