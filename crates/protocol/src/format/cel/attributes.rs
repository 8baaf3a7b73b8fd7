//! The attributes that entries have, of those that Envoy has
//! (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/advanced/attributes>).

use std::collections::HashMap;

use cel::Value;
use cel::objects::{Key, Map};

use super::super::address::Part;
use super::super::view::{Count, Entry, Header, Peer, Section, Text, Written};

/// What an attribute is made of.
#[derive(Clone, Copy)]
enum Attribute {
    Text(Text),
    /// A header, or of a path its part before the query (`false`) or behind it (`true`).
    Header(Section, &'static str),
    PathPart(bool),
    Number(Count),
    Sum(Count, Count),
    Address(Peer),
    Port(Peer),
    Headers(Section),
    GrpcStatus,
    /// Whether the client has shown a certificate.
    HasCertificate,
    Metadata,
}

type Members = &'static [(&'static str, Attribute)];

const ROOTS: &[(&str, Members)] = &[
    (
        "request",
        &[
            ("path", Attribute::Header(Section::Request, ":path")),
            ("url_path", Attribute::PathPart(false)),
            ("query", Attribute::PathPart(true)),
            ("host", Attribute::Header(Section::Request, ":authority")),
            ("scheme", Attribute::Header(Section::Request, ":scheme")),
            ("method", Attribute::Header(Section::Request, ":method")),
            ("referer", Attribute::Header(Section::Request, "referer")),
            ("useragent", Attribute::Header(Section::Request, "user-agent")),
            ("id", Attribute::Header(Section::Request, "x-request-id")),
            ("protocol", Attribute::Text(Text::Protocol)),
            ("headers", Attribute::Headers(Section::Request)),
            ("size", Attribute::Number(Count::BytesReceived)),
            ("total_size", Attribute::Sum(Count::BytesReceived, Count::RequestHeadersBytes)),
        ],
    ),
    (
        "response",
        &[
            ("code", Attribute::Number(Count::ResponseCode)),
            ("code_details", Attribute::Text(Text::ResponseCodeDetails)),
            ("grpc_status", Attribute::GrpcStatus),
            ("headers", Attribute::Headers(Section::Response)),
            ("trailers", Attribute::Headers(Section::Trailer)),
            ("size", Attribute::Number(Count::BytesSent)),
            ("total_size", Attribute::Sum(Count::BytesSent, Count::ResponseHeadersBytes)),
        ],
    ),
    (
        "source",
        &[("address", Attribute::Address(Peer::DownstreamRemote)), ("port", Attribute::Port(Peer::DownstreamRemote))],
    ),
    (
        "destination",
        &[("address", Attribute::Address(Peer::DownstreamLocal)), ("port", Attribute::Port(Peer::DownstreamLocal))],
    ),
    (
        "connection",
        &[
            ("mtls", Attribute::HasCertificate),
            ("requested_server_name", Attribute::Text(Text::ServerName)),
            ("tls_version", Attribute::Text(Text::TlsVersion)),
            ("subject_local_certificate", Attribute::Text(Text::LocalSubject)),
            ("subject_peer_certificate", Attribute::Text(Text::PeerSubject)),
            ("uri_san_local_certificate", Attribute::Text(Text::LocalUriSans)),
            ("uri_san_peer_certificate", Attribute::Text(Text::PeerUriSans)),
            ("termination_details", Attribute::Text(Text::ConnectionTerminationDetails)),
            ("transport_failure_reason", Attribute::Text(Text::DownstreamTransportFailureReason)),
        ],
    ),
    (
        "upstream",
        &[
            ("address", Attribute::Address(Peer::UpstreamHost)),
            ("port", Attribute::Port(Peer::UpstreamHost)),
            ("local_address", Attribute::Address(Peer::UpstreamLocal)),
            ("transport_failure_reason", Attribute::Text(Text::UpstreamTransportFailureReason)),
            ("request_attempt_count", Attribute::Number(Count::UpstreamRequestAttemptCount)),
        ],
    ),
    ("metadata", &[("filter_metadata", Attribute::Metadata)]),
    (
        "xds",
        &[("cluster_name", Attribute::Text(Text::UpstreamCluster)), ("route_name", Attribute::Text(Text::RouteName))],
    ),
];

/// Names that an expression may have without being attributes: those of types.
const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint", "type"];

/// The root of an attribute; an error is the name of one that entries do not have.
pub(super) fn find(root: &str, member: Option<&str>) -> Result<&'static str, String> {
    if let Some(name) = TYPES.iter().find(|name| **name == root && member.is_none()) {
        return Ok(name);
    }
    let Some((name, members)) = ROOTS.iter().find(|(name, _)| *name == root) else { return Err(root.to_owned()) };
    match member {
        Some(member) if members.iter().all(|(name, _)| *name != member) => Err(format!("{root}.{member}")),
        _ => Ok(name),
    }
}

/// The attributes of a root that `entry` has.
pub(super) fn root<E: Entry + ?Sized>(entry: &E, root: &str) -> Value {
    let members = ROOTS.iter().find(|(name, _)| *name == root).map_or(&[][..], |(_, members)| members);
    let found = members.iter().filter_map(|(name, attribute)| Some(((*name).to_owned(), value(entry, *attribute)?)));
    map(found)
}

fn map(members: impl Iterator<Item = (String, Value)>) -> Value {
    let map: HashMap<Key, Value> = members.map(|(name, value)| (Key::String(name.into()), value)).collect();
    Value::Map(Map { map: map.into() })
}

fn text(present: bool, bytes: &[u8]) -> Option<Value> {
    present.then(|| Value::String(String::from_utf8_lossy(bytes).into_owned().into()))
}

fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn value<E: Entry + ?Sized>(entry: &E, attribute: Attribute) -> Option<Value> {
    let mut out = Vec::new();
    match attribute {
        Attribute::Text(name) => text(entry.text(name, &mut out), &out),
        Attribute::Header(section, name) => text(entry.header(&Header::new(section, name), &mut out), &out),
        Attribute::PathPart(query) => {
            let present = entry.text(Text::Path, &mut out);
            let at = out.iter().position(|byte| *byte == b'?');
            let part = match (query, at) {
                (false, at) => &out[..at.unwrap_or(out.len())],
                (true, Some(at)) => &out[at + 1..],
                (true, None) => b"",
            };
            text(present, part)
        }
        // A response that there was none of has no status, not the status 0.
        Attribute::Number(Count::ResponseCode) => entry.count(Count::ResponseCode).filter(|code| *code > 0).map(int),
        Attribute::Number(count) => entry.count(count).map(int),
        Attribute::Sum(one, other) => Some(int(entry.count(one)?.saturating_add(entry.count(other)?))),
        Attribute::Address(peer) => {
            let present = entry.address(peer)?.write(Part::Whole, &mut out);
            text(present, &out)
        }
        Attribute::Port(peer) => {
            entry.address(peer)?.write(Part::Port, &mut out);
            std::str::from_utf8(&out).ok()?.parse().ok().map(Value::Int)
        }
        Attribute::Headers(section) => {
            let mut members = Vec::new();
            entry.headers(section, &mut |name, value| {
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                members.extend(text(true, value).map(|value| (name, value)));
            });
            Some(map(members.into_iter()))
        }
        Attribute::GrpcStatus => {
            let headers = [Section::Trailer, Section::Response].map(|section| Header::new(section, "grpc-status"));
            let present = headers.iter().any(|header| entry.header(header, &mut out));
            std::str::from_utf8(&out).ok().filter(|_| present)?.parse().ok().map(Value::Int)
        }
        Attribute::HasCertificate => {
            Some(Value::Bool(entry.text(Text::PeerSubject, &mut out) || entry.text(Text::PeerUriSans, &mut out)))
        }
        Attribute::Metadata => match entry.metadata(&[], &mut out) {
            Written::Json => serde_json::from_slice(&out).ok().map(|value| of_json(&value)),
            Written::Absent | Written::Text => Some(map(std::iter::empty())),
        },
    }
}

/// A value of JSON.
fn of_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => number.as_f64().map_or(Value::Null, super::number),
        serde_json::Value::String(text) => Value::String(text.clone().into()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(of_json).collect::<Vec<_>>().into()),
        serde_json::Value::Object(members) => map(members.iter().map(|(name, value)| (name.clone(), of_json(value)))),
    }
}
