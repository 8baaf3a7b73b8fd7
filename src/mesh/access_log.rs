//! MeshAccessLog (<https://kuma.io/docs/latest/policies/meshaccesslog/>).

use super::backend::{Backend, read_default};
use super::envelope::{Meta, Object};
use super::field::{Field, Reader};
use super::target_ref::{self, TargetKind, TargetRef, Use};

/// A policy that sends the access logs of some listeners to backends of its own.
#[derive(Debug)]
pub struct AccessLogPolicy {
    /// What it is called.
    pub meta: Meta,
    /// The data planes that it applies to.
    pub target: TargetRef,
    /// Connections that the data planes make.
    pub to: Vec<Item>,
    /// Connections that the data planes accept.
    pub from: Vec<Item>,
    /// Connections that the data planes accept, by what is known of the client.
    pub rules: Vec<Rule>,
}

/// Backends for connections to or from a target.
#[derive(Debug)]
pub struct Item {
    /// The other side.
    pub target: TargetRef,
    /// Where they are logged; an empty list silences them.
    pub backends: Vec<Backend>,
}

/// Backends for accepted connections.
#[derive(Debug)]
pub struct Rule {
    /// One of them has to match; without any, all connections do.
    pub matches: Vec<Match>,
    /// Where they are logged.
    pub backends: Vec<Backend>,
}

/// What is known of a client; all that is given has to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The SPIFFE ID of its certificate.
    pub spiffe: Option<SpiffeMatch>,
    /// The server name that it asks for.
    pub sni: Option<SniMatch>,
}

/// How a SPIFFE ID matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpiffeMatch {
    /// It is this one.
    Exact(String),
    /// It begins with this.
    Prefix(String),
}

/// A server name that matches as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SniMatch(pub String);

const TOP: &[TargetKind] = &[
    TargetKind::Mesh,
    TargetKind::MeshSubset,
    TargetKind::MeshGateway,
    TargetKind::MeshService,
    TargetKind::MeshServiceSubset,
    TargetKind::Dataplane,
];
const TO: &[TargetKind] = &[
    TargetKind::Mesh,
    TargetKind::MeshService,
    TargetKind::MeshExternalService,
    TargetKind::MeshMultiZoneService,
    TargetKind::MeshHTTPRoute,
];
const ONLY_MESH: &[TargetKind] = &[TargetKind::Mesh];

pub(super) fn read(object: &Object<'_>, reader: &mut Reader) -> Option<AccessLogPolicy> {
    let spec = &object.body;
    if spec.is_set() && !spec.only(reader, &["targetRef", "to", "from", "rules"]) {
        return None;
    }
    let (to, from, rules) = (spec.get("to"), spec.get("from"), spec.get("rules"));
    let filled = |field: &Field<'_>| field.node().and_then(|node| node.items()).is_some_and(|items| !items.is_empty());
    let inbound = filled(&from) || filled(&rules);
    let target_field = spec.get("targetRef");
    let target = match target_field.is_set() {
        true => target_ref::read(&target_field, Use { kinds: TOP, inbound }, reader),
        false => Some(TargetRef::mesh()),
    };
    if filled(&rules) && (filled(&to) || filled(&from)) {
        spec.violation(reader, "fields 'to' and 'from' must be empty when 'rules' is defined");
    }
    if ![&to, &from, &rules].into_iter().any(filled) {
        spec.violation(reader, "at least one of 'from', 'to' or 'rules' has to be defined");
    }
    let gateway = target.as_ref().is_some_and(|target| target.kind == TargetKind::MeshGateway);
    let to = items(&to, if gateway { ONLY_MESH } else { TO }, reader);
    let from = items(&from, ONLY_MESH, reader);
    let rules = rules.items(reader).unwrap_or_default();
    let rules = rules.iter().filter_map(|item| rule(item, reader)).collect();
    Some(AccessLogPolicy { meta: object.meta.clone(), target: target?, to, from, rules })
}

fn items(field: &Field<'_>, kinds: &[TargetKind], reader: &mut Reader) -> Vec<Item> {
    let items = field.items(reader).unwrap_or_default();
    let item = |item: &Field<'_>| {
        item.only(reader, &["targetRef", "default"]);
        let target = target_ref::read(&item.get("targetRef"), Use { kinds, inbound: false }, reader);
        let backends = read_default(&item.get("default"), reader);
        Some(Item { target: target?, backends: backends? })
    };
    items.iter().filter_map(item).collect()
}

fn rule(item: &Field<'_>, reader: &mut Reader) -> Option<Rule> {
    item.only(reader, &["matches", "default"]);
    let matches = item.get("matches").items(reader).unwrap_or_default();
    let matches = matches.iter().map(|item| one_match(item, reader)).collect();
    Some(Rule { matches, backends: read_default(&item.get("default"), reader)? })
}

fn one_match(item: &Field<'_>, reader: &mut Reader) -> Match {
    item.only(reader, &["spiffeID", "sni"]);
    let (spiffe, sni) = (item.get("spiffeID"), item.get("sni"));
    Match {
        spiffe: if spiffe.is_set() { spiffe_match(&spiffe, reader) } else { None },
        sni: if sni.is_set() { sni_match(&sni, reader) } else { None },
    }
}

fn spiffe_match(field: &Field<'_>, reader: &mut Reader) -> Option<SpiffeMatch> {
    field.only(reader, &["type", "value"]);
    let value = field.get("value").text(reader).unwrap_or_default();
    if let Some(reason) = spiffe_mistake(value) {
        field.violation(reader, format!("must be a valid Spiffe ID: {reason}"));
        return None;
    }
    let kind = field.get("type");
    match kind.text(reader) {
        Some("Exact") => Some(SpiffeMatch::Exact(value.to_owned())),
        Some("Prefix") => Some(SpiffeMatch::Prefix(value.to_owned())),
        _ => {
            kind.violation(reader, "must be one of: Exact, Prefix");
            None
        }
    }
}

/// What is wrong with a SPIFFE ID
/// (<https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md>), in the words of the library that Kuma uses.
fn spiffe_mistake(id: &str) -> Option<&'static str> {
    if id.is_empty() {
        return Some("cannot be empty");
    }
    let Some(rest) = id.strip_prefix("spiffe://") else { return Some("scheme is missing or invalid") };
    let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
    if domain.is_empty() {
        return Some("trust domain is missing");
    }
    if !domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b)) {
        return Some(
            "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores",
        );
    }
    let path = path?;
    let segment = |segment: &str| match segment {
        "" => Some("path cannot contain empty segments"),
        "." | ".." => Some("path cannot contain dot segments"),
        _ if segment.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) => None,
        _ => Some("path segment characters are limited to letters, numbers, dots, dashes, and underscores"),
    };
    if path.is_empty() || path.ends_with('/') {
        return Some("path cannot have a trailing slash");
    }
    path.split('/').find_map(segment)
}

fn sni_match(field: &Field<'_>, reader: &mut Reader) -> Option<SniMatch> {
    field.only(reader, &["type", "value"]);
    let (kind, value) = (field.get("type"), field.get("value"));
    match kind.text(reader).unwrap_or_default() {
        "Exact" => {}
        "" => kind.violation(reader, "must be set"),
        other => kind.violation(reader, format!("unrecognized type \"{other}\", supported values are: Exact")),
    }
    let text = value.text(reader).unwrap_or_default();
    if text.is_empty() {
        value.violation(reader, "must be set");
        return None;
    }
    if text.len() > 253 || !text.split('.').all(is_label) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                       start and end with an alphanumeric character";
        value.violation(reader, message);
        return None;
    }
    Some(SniMatch(text.to_owned()))
}

fn is_label(label: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [label.as_bytes().first(), label.as_bytes().last()];
    ends.into_iter().all(|end| end.is_some_and(alphanumeric)) && label.bytes().all(|b| alphanumeric(&b) || b == b'-')
}
