//! Placeholders for parts of a transaction's text.

use super::style::Style;
use crate::transaction::{Level, Span, Transaction, is_credential, split_object, text};

/// The replacement of a part of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// `"REDACTED"`, for a credential.
    Credential,
    /// `[]`, for an array that the proxy wrote as `{}`.
    EmptyArray,
}

impl Placeholder {
    pub(super) fn text(self) -> &'static [u8] {
        match self {
            Self::Credential => b"\"REDACTED\"",
            Self::EmptyArray => b"[]",
        }
    }
}

/// Members that are arrays in Kong's entities and log object. cjson writes an empty one as `{}`.
const ARRAYS: [&[u8]; 10] = [
    b"tags",
    b"tries",
    b"paths",
    b"methods",
    b"hosts",
    b"protocols",
    b"snis",
    b"sources",
    b"destinations",
    b"ca_certificates",
];
/// Members that are entities with such arrays.
const ENTITIES: [&[u8]; 3] = [b"route", b"service", b"consumer"];

/// The placeholders of one transaction, in order, without overlaps.
#[derive(Debug, Clone, Default)]
pub(super) struct Placeholders(Vec<(Span, Placeholder)>);

impl Placeholders {
    /// Finds them, once for each transaction.
    pub(super) fn find(transaction: &Transaction, style: Style) -> Self {
        let mut found = Vec::new();
        let traits = transaction.traits();
        if traits.credentials {
            credentials(transaction, &mut found);
        }
        if traits.empty_objects && !style.empty_arrays_as_objects {
            empty_arrays(transaction, &mut found);
        }
        found.sort_unstable_by_key(|(span, _)| span.start);
        Self(found)
    }

    /// The placeholder that covers all of `span`.
    pub(super) fn over(&self, span: Span) -> Option<Placeholder> {
        let begun = self.0.partition_point(|(covered, _)| covered.start <= span.start);
        let (covered, placeholder) = self.0[..begun].last()?;
        (span.end <= covered.end).then_some(*placeholder)
    }

    /// The placeholders inside of `span`.
    pub(super) fn within(&self, span: Span) -> impl Iterator<Item = &(Span, Placeholder)> {
        let before = self.0.partition_point(|(covered, _)| covered.start < span.start);
        self.0[before..].iter().take_while(move |(covered, _)| covered.end <= span.end)
    }

    /// Whether any placeholder overlaps `span`.
    pub(super) fn touch(&self, span: Span) -> bool {
        let before = self.0.partition_point(|(covered, _)| covered.end <= span.start);
        self.0.get(before).is_some_and(|(covered, _)| covered.start < span.end)
    }
}

/// The request headers `authorization` and `proxy-authorization` become `"REDACTED"` (kong/pdk/log.lua). Their values
/// stay in the transaction, which scripts may read.
fn credentials(transaction: &Transaction, found: &mut Vec<(Span, Placeholder)>) {
    let bytes = transaction.bytes();
    let members = transaction.members_at(Level::RequestHeaders).filter(|member| {
        let key = member.key.of(bytes);
        is_credential(key) || (transaction.traits().escaped_names && is_credential(&text::unescape(key)))
    });
    found.extend(members.map(|member| (member.value, Placeholder::Credential)));
}

/// Finds the empty arrays of the log object itself and of its entities. An empty object elsewhere (headers, arguments,
/// bodies) is an object.
fn empty_arrays(transaction: &Transaction, found: &mut Vec<(Span, Placeholder)>) {
    let bytes = transaction.bytes();
    for (key, value) in transaction.root() {
        let raw = value.of(bytes);
        if raw.first() != Some(&b'{') {
            continue;
        }
        let name = text::unescape(key.of(bytes));
        if is_empty(raw) && ARRAYS.contains(&&*name) {
            found.push((value, Placeholder::EmptyArray));
        } else if ENTITIES.contains(&&*name) && has_empty(raw) {
            let members = split_object(raw).into_iter();
            let empty = members
                .filter(|(key, inner)| is_empty(inner.of(raw)) && ARRAYS.contains(&&*text::unescape(key.of(raw))));
            let shifted = |span: Span| Span { start: value.start + span.start, end: value.start + span.end };
            found.extend(empty.map(|(_, inner)| (shifted(inner), Placeholder::EmptyArray)));
        }
    }
}

fn is_empty(value: &[u8]) -> bool {
    matches!(value, [b'{', between @ .., b'}'] if between.iter().all(u8::is_ascii_whitespace))
}

/// Whether the text may contain an empty object.
fn has_empty(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'}', raw).any(|at| raw[..at].trim_ascii_end().last() == Some(&b'{'))
}
