//! Messages of Kong's logging plugins. `docs/access-log-format.md` has the table of what each operator reads.

use std::borrow::Cow;

use serde_json::Value;

use super::address::Address;
use super::number::push as push_number;
use super::view::{Count, Entry, Header, Known, Peer, Placeholder, Point, Section, Text, Written};

/// A message of one of Kong's logging plugins, for a template.
#[derive(Debug, Clone)]
pub struct KongEntry {
    message: Value,
}

/// What is no message.
#[derive(Debug)]
pub enum KongError {
    /// No JSON.
    Json(serde_json::Error),
    /// JSON, but no object.
    NoObject,
}

impl std::fmt::Display for KongError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not a log message of Kong: {error}"),
            Self::NoObject => f.write_str("not a log message of Kong: it is no JSON object"),
        }
    }
}

impl std::error::Error for KongError {}

impl KongEntry {
    /// Reads a message.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn parse(message: &[u8]) -> Result<Self, KongError> {
        Self::new(serde_json::from_slice(message).map_err(KongError::Json)?)
    }

    /// A message.
    ///
    /// # Errors
    /// It is no object.
    pub fn new(message: Value) -> Result<Self, KongError> {
        if message.is_object() { Ok(Self { message }) } else { Err(KongError::NoObject) }
    }

    fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.message, |value, name| value.get(name)).filter(|value| !value.is_null())
    }

    fn str(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.as_str().filter(|text| !text.is_empty())
    }

    /// A whole number that is not negative, as Kong also writes one as text.
    fn number(&self, path: &[&str]) -> Option<u64> {
        match self.at(path)? {
            Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The first of numbers that is there.
    fn first(&self, paths: &[&[&str]]) -> Option<u64> {
        paths.iter().find_map(|path| self.number(path))
    }

    fn push(&self, paths: &[&[&str]], out: &mut Vec<u8>) -> bool {
        let texts = paths.iter().filter_map(|path| scalar(self.at(path)?));
        let found = texts.into_iter().find(|text| !text.is_empty());
        found.map(|text| out.extend_from_slice(text.as_bytes())).is_some()
    }

    /// The session of TLS, of a request or of a session of a stream.
    fn tls(&self, name: &str, out: &mut Vec<u8>) -> bool {
        self.push(&[&["request", "tls", name], &["session", "tls", name]], out)
    }

    /// A list of texts, separated by commas.
    fn list(&self, path: &[&str], out: &mut Vec<u8>) -> bool {
        let items = self.at(path).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().filter_map(Value::as_str).enumerate() {
            out.extend_from_slice(if index > 0 { b"," } else { b"" });
            out.extend_from_slice(item.as_bytes());
        }
        !items.is_empty()
    }

    /// The last try, which is the one that counted.
    fn host(&self) -> Option<Address<'_>> {
        let last = self.at(&["tries"])?.as_array()?.last()?;
        Some(Address::Ip(last.get("ip")?.as_str()?.as_bytes(), port(last.get("port"))))
    }

    /// An address that an input has written as text, with its port.
    fn written(&self, path: &[&str]) -> Option<Address<'_>> {
        let text = self.str(path)?;
        let (host, digits) = text.rsplit_once(':').unwrap_or((text, ""));
        let ip = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match (ip.parse::<std::net::IpAddr>(), digits.parse::<u16>()) {
            (Ok(_), Ok(port)) => Some(Address::Ip(ip.as_bytes(), Some(port))),
            _ => Some(Address::Named("", text.as_bytes())),
        }
    }

    /// The first value of a header.
    fn header_value(&self, section: &str, name: &str) -> Option<&Value> {
        let headers = self.at(&[section, "headers"])?.as_object()?;
        let found = headers
            .get(name)
            .or_else(|| headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))?;
        match found {
            Value::Array(values) => values.first(),
            value => Some(value),
        }
    }

    /// Milliseconds of `latencies`, which are -1 for what did not happen.
    fn latency(&self, name: &str) -> Option<i64> {
        let value = self.at(&["latencies", name])?;
        let milliseconds =
            value.as_i64().or_else(|| whole(value.as_f64()?).and_then(|value| i64::try_from(value).ok()));
        milliseconds.filter(|value| *value >= 0)?.checked_mul(1_000_000)
    }
}

fn port(value: Option<&Value>) -> Option<u16> {
    u16::try_from(value?.as_u64()?).ok()
}

/// A number that is not negative, cut to a whole one.
fn whole(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut on purpose; not negative")]
    (0.0..9e15).contains(&number).then_some(number as u64)
}

/// A value that is text, a number or a boolean, as text.
fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Appends JSON with its keys sorted.
fn write_sorted(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                out.extend_from_slice(if index > 0 { b"," } else { b"" });
                write_sorted(&Value::String(key.clone()), out);
                out.push(b':');
                write_sorted(value, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                out.extend_from_slice(if index > 0 { b"," } else { b"" });
                write_sorted(item, out);
            }
            out.push(b']');
        }
        // Writing to memory does not fail.
        other => drop(serde_json::to_writer(out, other)),
    }
}

impl Entry for KongEntry {
    fn start(&self) -> Option<(i64, u32)> {
        let milliseconds = i64::try_from(self.number(&["started_at"])?).ok()?;
        let nanoseconds = u32::try_from(milliseconds % 1000).ok()? * 1_000_000;
        Some((milliseconds / 1000, nanoseconds))
    }

    fn point(&self, point: Point) -> Option<i64> {
        let total = || self.latency("request").or_else(|| self.latency("session"));
        match point {
            Point::Start => Some(0),
            Point::End | Point::LastSent => total(),
            // Kong's times do not overlap: until the answer began, Kong and the upstream had their turns.
            Point::FirstUpstreamReceived => {
                self.latency("proxy")?;
                total()?.checked_sub(self.latency("receive")?)
            }
            Point::LastReceived
            | Point::FirstUpstreamSent
            | Point::LastUpstreamSent
            | Point::LastUpstreamReceived
            | Point::FirstSent => None,
        }
    }

    fn count(&self, count: Count) -> Option<u64> {
        match count {
            Count::BytesReceived => {
                self.first(&[&["envoy", "request_body_bytes"], &["session", "received"], &["request", "size"]])
            }
            Count::BytesSent => {
                self.first(&[&["envoy", "response_body_bytes"], &["session", "sent"], &["response", "size"]])
            }
            Count::DownstreamWireBytesReceived => self.first(&[
                &["envoy", "downstream_wire_bytes_received"],
                &["request", "size"],
                &["session", "received"],
            ]),
            Count::DownstreamWireBytesSent => {
                self.first(&[&["envoy", "downstream_wire_bytes_sent"], &["response", "size"], &["session", "sent"]])
            }
            Count::UpstreamWireBytesReceived => {
                self.first(&[&["envoy", "upstream_wire_bytes_received"], &["upstream", "received"]])
            }
            Count::UpstreamWireBytesSent => {
                self.first(&[&["envoy", "upstream_wire_bytes_sent"], &["upstream", "sent"]])
            }
            Count::ResponseCode => self.first(&[&["response", "status"], &["session", "status"]]),
            Count::UpstreamRequestAttemptCount => self
                .number(&["envoy", "upstream_request_attempt_count"])
                .or_else(|| u64::try_from(self.at(&["tries"])?.as_array()?.len()).ok()),
            Count::RequestHeadersBytes
            | Count::ResponseHeadersBytes
            | Count::UpstreamHeaderBytesSent
            | Count::UpstreamHeaderBytesReceived
            | Count::DownstreamHeaderBytesSent
            | Count::DownstreamHeaderBytesReceived => None,
        }
    }

    fn text(&self, text: Text, out: &mut Vec<u8>) -> bool {
        match text {
            Text::Protocol => self.push(&[&["envoy", "protocol"]], out),
            Text::RouteName => self.push(&[&["route", "name"], &["route", "id"]], out),
            Text::UpstreamCluster => self.push(&[&["service", "name"], &["service", "host"], &["service", "id"]], out),
            Text::StreamId => self.push(&[&["request", "id"], &["envoy", "stream_id"]], out),
            Text::ResponseCodeDetails => self.push(&[&["envoy", "response_code_details"]], out),
            Text::UpstreamTransportFailureReason => self.push(&[&["envoy", "upstream_transport_failure_reason"]], out),
            Text::DownstreamTransportFailureReason => {
                self.push(&[&["envoy", "downstream_transport_failure_reason"]], out)
            }
            Text::ConnectionTerminationDetails => self.push(&[&["envoy", "connection_termination_details"]], out),
            Text::ServerName => self.push(&[&["envoy", "tls", "sni"]], out),
            Text::TlsVersion => self.tls("version", out),
            Text::TlsCipher => self.tls("cipher", out),
            Text::TlsSessionId => self.push(&[&["envoy", "tls", "session_id"]], out),
            Text::Ja3Fingerprint => self.push(&[&["envoy", "tls", "ja3_fingerprint"]], out),
            Text::PeerSubject => self.push(&[&["envoy", "tls", "peer", "subject"]], out),
            Text::PeerIssuer => self.push(&[&["envoy", "tls", "peer", "issuer"]], out),
            Text::LocalSubject => self.push(&[&["envoy", "tls", "local", "subject"]], out),
            Text::PeerUriSans => self.list(&["envoy", "tls", "peer", "uri_sans"], out),
            Text::LocalUriSans => self.list(&["envoy", "tls", "local", "uri_sans"], out),
            Text::AccessLogType => self.push(&[&["envoy", "access_log_type"]], out),
            Text::Path => self.push(&[&["upstream_uri"], &["request", "uri"]], out),
            Text::OriginalPath => {
                let rewritten =
                    self.str(&["upstream_uri"]).is_some_and(|uri| Some(uri) != self.str(&["request", "uri"]));
                rewritten && self.push(&[&["request", "uri"]], out)
            }
        }
    }

    fn header(&self, header: &Header, out: &mut Vec<u8>) -> bool {
        match header.known {
            Known::Method => return self.push(&[&["request", "method"]], out),
            Known::Path => return self.text(Text::Path, out),
            Known::OriginalPath => return self.text(Text::OriginalPath, out),
            Known::Scheme => {
                let scheme =
                    self.str(&["request", "url"]).and_then(|url| url.split_once("://")).map(|(scheme, _)| scheme);
                return scheme.map(|scheme| out.extend_from_slice(scheme.as_bytes())).is_some();
            }
            Known::Status => {
                return self.number(&["response", "status"]).map(|status| push_number(out, status)).is_some();
            }
            _ => {}
        }
        let (section, name) = match (header.section, header.known) {
            (Section::Request, Known::Authority) => ("request", "host"),
            (Section::Request, _) => ("request", header.name.as_str()),
            (Section::Response, _) => ("response", header.name.as_str()),
            (Section::Trailer, _) => return false,
        };
        let found = self.header_value(section, name).and_then(scalar);
        match (found, header.known) {
            (Some(value), _) => {
                out.extend_from_slice(value.as_bytes());
                true
            }
            (None, Known::RequestId) => self.push(&[&["request", "id"]], out),
            (None, _) => false,
        }
    }

    fn headers(&self, section: Section, each: &mut dyn FnMut(&[u8], &[u8])) {
        let name = match section {
            Section::Request => "request",
            Section::Response => "response",
            Section::Trailer => return,
        };
        let headers = self.at(&[name, "headers"]).and_then(Value::as_object);
        for (name, value) in headers.into_iter().flatten() {
            let first = match value {
                Value::Array(values) => values.first(),
                value => Some(value),
            };
            if let Some(value) = first.and_then(scalar) {
                each(name.as_bytes(), value.as_bytes());
            }
        }
    }

    fn address(&self, peer: Peer) -> Option<Address<'_>> {
        match peer {
            Peer::UpstreamHost => self.written(&["envoy", "upstream_host"]).or_else(|| self.host()),
            Peer::UpstreamRemote => {
                // A try alone proves no connection.
                let local = self.at(&["envoy", "upstream_local_address"]).is_some();
                let answered =
                    self.at(&["upstream_status"]).is_some_and(|status| status != "") || self.at(&["session"]).is_some();
                (local || answered).then(|| self.address(Peer::UpstreamHost)).flatten()
            }
            Peer::UpstreamLocal => self.written(&["envoy", "upstream_local_address"]),
            Peer::DownstreamRemote => self
                .written(&["envoy", "downstream_remote_address"])
                .or_else(|| Some(Address::Ip(self.str(&["client_ip"])?.as_bytes(), None))),
            Peer::DownstreamDirectRemote => self.written(&["envoy", "downstream_direct_remote_address"]),
            Peer::DownstreamLocal => self.written(&["envoy", "downstream_local_address"]),
        }
    }

    fn flags(&self, long: bool, out: &mut Vec<u8>) -> bool {
        let mark = out.len();
        let flags = self.at(&["envoy", "response_flags"]).and_then(Value::as_array);
        for flag in flags.into_iter().flatten().filter_map(Value::as_str) {
            if out.len() > mark {
                out.push(b',');
            }
            out.extend_from_slice(super::als::flag_name(flag, long).as_bytes());
        }
        out.len() > mark
    }

    fn metadata(&self, path: &[String], out: &mut Vec<u8>) -> Written {
        let found = path.iter().try_fold(&self.message, |value, name| value.get(name));
        match found {
            None | Some(Value::Null) => Written::Absent,
            Some(Value::String(text)) => {
                out.extend_from_slice(text.as_bytes());
                Written::Text
            }
            Some(value) => {
                write_sorted(value, out);
                Written::Json
            }
        }
    }

    fn filter_state(&self, _: &str, _: &mut Vec<u8>) -> bool {
        false
    }

    fn placeholder(&self, _: Placeholder, _: &mut Vec<u8>) {}
}
