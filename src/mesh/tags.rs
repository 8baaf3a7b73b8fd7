//! Tags, the selectors that match them, and how specific a selector is
//! (<https://kuma.io/docs/2.9.x/policies/how-kuma-chooses-the-right-policy-to-apply/>).

use std::collections::BTreeMap;
use std::ops::Add;

use super::field::{Field, Reader};

/// The tag that every data plane has.
pub(super) const SERVICE: &str = "kuma.io/service";
/// The value of a selector that any value of the tag matches.
const ANY: &str = "*";

/// The tags of one inbound or gateway.
pub type Tags = BTreeMap<String, String>;

/// Tags that must be there, with these values; `*` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(pub Tags);

/// How specific a selector is: the more tags it names the more, and of as many tags, the fewer of them are `*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Tags that it names. The order of the fields is that of the comparison.
    total: usize,
    /// Those of them with a value that is not `*`.
    exact: usize,
}

impl Add for Rank {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { total: self.total + other.total, exact: self.exact + other.exact }
    }
}

impl Selector {
    /// Whether `tags` have all of its tags.
    pub fn matches(&self, tags: &Tags) -> bool {
        self.0.iter().all(|(name, value)| tags.get(name).is_some_and(|found| value == ANY || value == found))
    }

    /// Whether the service `name` and nothing else matches.
    pub(super) fn matches_service(&self, service: &str) -> bool {
        self.0.iter().all(|(name, value)| name == SERVICE && (value == ANY || value == service))
    }

    /// How specific it is.
    pub fn rank(&self) -> Rank {
        let exact = self.0.values().filter(|value| *value != ANY).count();
        Rank { total: self.0.len(), exact }
    }
}

/// Which tags a selector of a policy may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// `kuma.io/service` and any others.
    Service,
    /// `kuma.io/service` and no others.
    OnlyService,
}

/// Reads a list of selectors (`sources`, `destinations`).
pub(super) fn selectors(field: &Field<'_>, rule: Rule, reader: &mut Reader) -> Vec<Selector> {
    let items = field.items(reader).unwrap_or_default();
    if items.is_empty() {
        field.violation(reader, "must have at least one element");
    }
    let mut selectors = Vec::with_capacity(items.len());
    for item in items {
        item.only(reader, &["match"]);
        selectors.push(selector(&item.get("match"), rule, reader));
    }
    selectors
}

fn selector(field: &Field<'_>, rule: Rule, reader: &mut Reader) -> Selector {
    let members = field.keyed(reader);
    let has_service = members.iter().any(|(name, _)| *name == SERVICE);
    match rule {
        Rule::Service if members.is_empty() => field.violation(reader, "must have at least one tag"),
        Rule::OnlyService if members.len() != 1 || !has_service => {
            field.violation(reader, format!("must consist of exactly one tag \"{SERVICE}\""));
        }
        _ => {}
    }
    let mut tags = Tags::new();
    for (name, member) in members {
        tag_name(field, name, &member, reader);
        if rule == Rule::OnlyService && name != SERVICE {
            member.violation(reader, format!("tag \"{name}\" is not allowed"));
        }
        tags.insert(name.to_owned(), tag_value(&member, true, reader));
    }
    if !has_service {
        field.violation(reader, format!("mandatory tag \"{SERVICE}\" is missing"));
    }
    Selector(tags)
}

/// Reads the tags of a reference; with `wildcard`, their values may be `*`.
pub(super) fn tags(field: &Field<'_>, wildcard: bool, reader: &mut Reader) -> Tags {
    let mut tags = Tags::new();
    for (name, member) in field.keyed(reader) {
        tag_name(field, name, &member, reader);
        tags.insert(name.to_owned(), tag_value(&member, wildcard, reader));
    }
    tags
}

fn tag_name(all: &Field<'_>, name: &str, member: &Field<'_>, reader: &mut Reader) {
    if name.is_empty() {
        all.violation(reader, "tag name must be non-empty");
    }
    if !plain(name, "/") {
        let message = "tag name must consist of alphanumeric characters, dots, dashes, slashes and underscores";
        member.violation(reader, message);
    }
}

fn tag_value(member: &Field<'_>, wildcard: bool, reader: &mut Reader) -> String {
    let wrong_type = member.node().is_some_and(|node| node.as_str().is_none());
    let value = member.text(reader).unwrap_or_default();
    if value.is_empty() && !wrong_type {
        member.violation(reader, "tag value must be non-empty");
    }
    if wildcard && value != ANY && !plain(value, "/") {
        let message =
            "tag value must consist of alphanumeric characters, dots, dashes, slashes and underscores or be \"*\"";
        member.violation(reader, message);
    } else if !wildcard && !plain(value, "") {
        let message = "tag value must consist of alphanumeric characters, dots, dashes and underscores";
        member.violation(reader, message);
    }
    value.to_owned()
}

/// Whether `text` has only letters, digits, `.`, `-`, `_`, `:` and those of `more`. Kuma's messages do not name the colon.
fn plain(text: &str, more: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c) || more.contains(c))
}
