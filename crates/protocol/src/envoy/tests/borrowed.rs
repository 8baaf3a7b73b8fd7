//! Entries as they are read, beside what `prost` reads of the same bytes.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::random::SAMPLES;
use crate::envoy::{entry, message};

/// The borrowed form of an owned message.
trait Borrowed<'a> {
    type As;
    fn borrowed(&'a self) -> Self::As;
}

impl<'a> Borrowed<'a> for Bytes {
    type As = &'a [u8];
    fn borrowed(&'a self) -> &'a [u8] {
        self
    }
}

impl<'a, T: Borrowed<'a>> Borrowed<'a> for Option<T> {
    type As = Option<T::As>;
    fn borrowed(&'a self) -> Self::As {
        self.as_ref().map(T::borrowed)
    }
}

impl<'a, T: Borrowed<'a> + 'a> Borrowed<'a> for Vec<T> {
    type As = Vec<T::As>;
    fn borrowed(&'a self) -> Self::As {
        self.iter().map(T::borrowed).collect()
    }
}

/// Types that are the same in both.
macro_rules! copied {
    ($($kind:ty),*) => {
        $(impl<'a> Borrowed<'a> for $kind {
            type As = $kind;
            fn borrowed(&'a self) -> $kind {
                *self
            }
        })*
    };
}

copied!(bool, i32, u32, u64, message::Time);

/// Messages with the same fields in both.
macro_rules! same_fields {
    ($($name:ident $as:ty { $($field:ident)* })*) => {
        $(impl<'a> Borrowed<'a> for message::$name {
            type As = $as;
            fn borrowed(&'a self) -> Self::As {
                entry::$name { $($field: self.$field.borrowed()),* }
            }
        })*
    };
}

same_fields! {
    HttpEntry entry::HttpEntry<'a> { common protocol_version request response }
    TcpEntry entry::TcpEntry<'a> { common connection }
    Connection entry::Connection { received_bytes sent_bytes }
    Common entry::Common<'a> {
        downstream_remote_address downstream_local_address tls start_time time_to_last_rx_byte time_to_first_upstream_tx_byte
        time_to_last_upstream_tx_byte time_to_first_upstream_rx_byte time_to_last_upstream_rx_byte
        time_to_first_downstream_tx_byte time_to_last_downstream_tx_byte upstream_remote_address upstream_local_address
        upstream_cluster response_flags metadata upstream_transport_failure_reason route_name downstream_direct_remote_address
        filter_state_objects custom_tags duration upstream_request_attempt_count connection_termination_details stream_id
        intermediate_log_entry downstream_transport_failure_reason downstream_wire_bytes_sent downstream_wire_bytes_received
        upstream_wire_bytes_sent upstream_wire_bytes_received access_log_type
    }
    HttpRequest entry::HttpRequest<'a> {
        method scheme authority path user_agent referer forwarded_for request_id original_path headers_bytes body_bytes headers
        upstream_header_bytes_sent downstream_header_bytes_received
    }
    HttpResponse entry::HttpResponse<'a> {
        code headers_bytes body_bytes headers trailers code_details upstream_header_bytes_received downstream_header_bytes_sent
    }
    Tls entry::Tls<'a> {
        version cipher_suite sni_hostname local_certificate peer_certificate session_id ja3_fingerprint
    }
    SocketAddress entry::SocketAddress<'a> { address port }
    TextMember entry::TextMember<'a> { key value }
    AnyMember entry::AnyMember<'a> { key value }
    Any entry::Any<'a> { type_url value }
}

impl<'a> Borrowed<'a> for message::Number {
    type As = u32;
    fn borrowed(&'a self) -> u32 {
        self.value
    }
}

impl<'a> Borrowed<'a> for message::Certificate {
    type As = entry::Certificate<'a>;
    fn borrowed(&'a self) -> Self::As {
        let uri_sans = self.subject_alt_names.iter().map(|san| &san.uri[..]).collect();
        entry::Certificate { uri_sans, subject: &self.subject, issuer: &self.issuer }
    }
}

impl<'a> Borrowed<'a> for message::Address {
    type As = entry::Address<'a>;
    fn borrowed(&'a self) -> Self::As {
        match &self.kind {
            None => entry::Address::Unknown,
            Some(message::AddressKind::Socket(socket)) => entry::Address::Socket(socket.borrowed()),
            Some(message::AddressKind::Pipe(pipe)) => entry::Address::Pipe(&pipe.path),
            Some(message::AddressKind::Internal(internal)) => entry::Address::Internal(&internal.listener),
        }
    }
}

/// Reads `bytes` as either kind in both ways.
fn compare(bytes: &[u8]) {
    let http = message::HttpEntry::decode(bytes).ok();
    assert_eq!(entry::HttpEntry::decode(bytes).ok(), http.borrowed());
    let tcp = message::TcpEntry::decode(bytes).ok();
    assert_eq!(entry::TcpEntry::decode(bytes).ok(), tcp.borrowed());
}

/// What a field may hold.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Number,
    Text,
    Message(&'static [(u32, Kind)]),
}

use Kind::{Message as Of, Number, Text};

const TIME: Kind = Of(&[(1, Number), (2, Number)]);
const NAME: Kind = Of(&[(1, Text)]);
const VALUE: Kind = Of(&[(1, Number)]);
const MEMBER: Kind = Of(&[(1, Text), (2, Text)]);
const ADDRESS: Kind = Of(&[(1, Of(&[(2, Text), (3, Number)])), (2, NAME), (3, NAME)]);
const CERTIFICATE: Kind = Of(&[(1, NAME), (2, Text), (3, Text)]);
const TLS: Kind = Of(&[(1, Number), (2, VALUE), (3, Text), (4, CERTIFICATE), (5, CERTIFICATE), (6, Text), (7, Text)]);
const COMMON: Kind = Of(&[
    (1, Number),
    (2, ADDRESS),
    (3, ADDRESS),
    (4, TLS),
    (5, TIME),
    (6, TIME),
    (7, TIME),
    (8, TIME),
    (9, TIME),
    (10, TIME),
    (11, TIME),
    (12, TIME),
    (13, ADDRESS),
    (14, ADDRESS),
    (15, Text),
    (16, Text),
    (17, Text),
    (18, Text),
    (19, Text),
    (20, ADDRESS),
    (21, Of(&[(1, Text), (2, MEMBER)])),
    (22, MEMBER),
    (23, TIME),
    (24, Number),
    (25, Text),
    (26, Text),
    (27, Number),
    (28, Text),
    (29, Number),
    (30, Number),
    (31, Number),
    (32, Number),
    (33, Number),
    (34, Text),
]);
const REQUEST: Kind = Of(&[
    (1, Number),
    (2, Text),
    (3, Text),
    (4, VALUE),
    (5, Text),
    (6, Text),
    (7, Text),
    (8, Text),
    (9, Text),
    (10, Text),
    (11, Number),
    (12, Number),
    (13, MEMBER),
    (14, Number),
    (15, Number),
]);
const RESPONSE: Kind =
    Of(&[(1, VALUE), (2, Number), (3, Number), (4, MEMBER), (5, MEMBER), (6, Text), (7, Number), (8, Number)]);
const HTTP: Kind = Of(&[(1, COMMON), (2, Number), (3, REQUEST), (4, RESPONSE)]);
const TCP: Kind = Of(&[(1, COMMON), (2, Of(&[(1, Number), (2, Number)]))]);

/// Makes messages of random numbers.
struct Maker<'a> {
    numbers: &'a [u64],
}

impl Maker<'_> {
    /// The next number, 0 once there are no more.
    fn number(&mut self) -> u64 {
        let Some((first, rest)) = self.numbers.split_first() else { return 0 };
        self.numbers = rest;
        *first
    }

    fn varint(mut value: u64, out: &mut Vec<u8>) {
        while value > 0x7f {
            out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    /// Fields of `fields` in any order, some twice; rarely one of another type, a group, or a number of a later version.
    fn message(&mut self, fields: &[(u32, Kind)], out: &mut Vec<u8>) {
        for _ in 0..self.number() % 12 {
            let chosen = self.number();
            let (mut number, mut kind) = fields[chosen as usize % fields.len()];
            match chosen >> 32 & 0xff {
                0 => number = 1000,
                1 => kind = if matches!(kind, Number) { Text } else { Number },
                2 => {
                    let (open, close) = (100 << 3 | 3, 100 << 3 | 4);
                    Self::varint(open, out);
                    out.extend([1 << 3, 7]);
                    Self::varint(close, out);
                    continue;
                }
                3 => {
                    Self::varint(u64::from(number) << 3 | 5, out);
                    out.extend([1, 2, 3, 4]);
                    continue;
                }
                _ => {}
            }
            let wire = if matches!(kind, Number) { 0 } else { 2 };
            Self::varint(u64::from(number) << 3 | wire, out);
            self.value(kind, out);
        }
    }

    fn value(&mut self, kind: Kind, out: &mut Vec<u8>) {
        match kind {
            Number => {
                let value = self.number();
                Self::varint(value >> (self.number() % 64), out);
            }
            Text => {
                let text = self.number().to_le_bytes();
                let length = self.number() as usize % (text.len() + 1);
                out.push(length as u8);
                out.extend_from_slice(&text[..length]);
            }
            Of(fields) => {
                let mut inner = Vec::new();
                self.message(fields, &mut inner);
                Self::varint(inner.len() as u64, out);
                out.extend(inner);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Scenario: entries with any of their fields in any order, some twice, of other types and of later versions.
    /// Guarantees: what is read borrowed is what `prost` reads, and refused if `prost` refuses it.
    #[test]
    fn made(numbers in vec(any::<u64>(), 0..600)) {
        for kind in [HTTP, TCP] {
            let Of(fields) = kind else { unreachable!("entries are messages") };
            let mut bytes = Vec::new();
            Maker { numbers: &numbers }.message(fields, &mut bytes);
            compare(&bytes);
        }
    }

    /// Scenario: entries of a real Envoy with bytes changed, cut out and put in; random bytes.
    /// Guarantees: the same.
    #[test]
    fn damaged(
        which in 0..44_usize,
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4),
        random in vec(any::<u8>(), 0..60),
    ) {
        let (_, mut entry) = SAMPLES[which].clone();
        for (at, byte, how) in changes {
            let at = at.index(entry.len());
            match how {
                0 => entry[at] = byte,
                1 => drop(entry.remove(at)),
                _ => entry.insert(at, byte),
            }
        }
        compare(&entry);
        compare(&random);
    }
}

/// Scenario: entries whose inner messages are sent in two parts, and an address of two kinds.
/// Guarantees: the parts are merged, and the last kind counts, as protobuf has it.
#[test]
fn merged() {
    let of = |ip: &'static str| {
        let common = message::Common {
            upstream_remote_address: Some(message::Address::socket(ip, 0)),
            route_name: "r".into(),
            ..message::Common::default()
        };
        message::HttpEntry { common: Some(common), ..message::HttpEntry::default() }.encode_to_vec()
    };
    let pipe = message::AddressKind::Pipe(message::Pipe { path: "/p".into() });
    let common = message::Common {
        upstream_remote_address: Some(message::Address { kind: Some(pipe) }),
        stream_id: "s".into(),
        ..message::Common::default()
    };
    let second = message::HttpEntry { common: Some(common), ..message::HttpEntry::default() }.encode_to_vec();
    let bytes = [of("192.0.2.1"), second].concat();
    compare(&bytes);
    let common = entry::HttpEntry::decode(&bytes).unwrap().common.unwrap();
    assert_eq!((common.route_name, common.stream_id), (&b"r"[..], &b"s"[..]));
    assert_eq!(common.upstream_remote_address, Some(entry::Address::Pipe(b"/p")));
}
