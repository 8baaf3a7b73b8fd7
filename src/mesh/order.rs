//! The precedence of MeshAccessLogs (pkg/plugins/policies/core of Kuma 2.14; <https://kuma.io/docs/latest/policies/introduction/>).
//!
//! Of two policies, the stronger is that with the more specific kind of target; of data planes, that which names one, then that
//! which names a section; then that of a zone; of a built-in gateway, that with more tags; then that of the stronger role; at
//! last that whose name is the first in the alphabet.

use std::cmp::Ordering;

use super::Resources;
use super::access_log::AccessLogPolicy;
use super::role;
use super::target_ref::{TargetKind, TargetRef};

/// Policies and their items for outgoing connections, weakest first, as indices.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Policies. Those that are only shown are left out.
    pub(super) policies: Vec<usize>,
    /// Policies with the index of one of their items `to`, as Kuma orders them for services with a resource of their own.
    pub(super) items: Vec<(usize, usize)>,
}

impl Order {
    pub(super) fn new(resources: &Resources) -> Self {
        let all = &resources.access_logs;
        let mut policies: Vec<usize> = (0..all.len()).filter(|index| !all[*index].meta.is_shadow()).collect();
        sort(&mut policies, |a, b| by_policy(&all[*a], &all[*b]));
        let items = policies.iter().flat_map(|policy| (0..all[*policy].to.len()).map(move |item| (*policy, item)));
        let mut items: Vec<_> = items.collect();
        sort(&mut items, |a, b| by_item((&all[a.0], a.1), (&all[b.0], b.1)));
        Self { policies, items }
    }
}

/// Sorts by insertion. Kuma's order is no total one where a Dataplane is chosen by name, by labels and by neither: the sort of
/// the standard library may panic then, and Kuma's own sort is this one for up to twelve policies.
fn sort<T>(list: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    for end in 1..list.len() {
        let mut at = end;
        while at > 0 && compare(&list[at], &list[at - 1]) == Ordering::Less {
            list.swap(at, at - 1);
            at -= 1;
        }
    }
}

/// Compares two policies; the greater one is the stronger.
pub(super) fn by_policy(a: &AccessLogPolicy, b: &AccessLogPolicy) -> Ordering {
    let gateway_tags = || match a.target.kind {
        TargetKind::MeshGateway => a.target.tags.len().cmp(&b.target.tags.len()),
        _ => Ordering::Equal,
    };
    by_target(&a.target, &b.target)
        .then_with(|| a.meta.created_in().cmp(&b.meta.created_in()))
        .then_with(gateway_tags)
        .then_with(|| role::of(a).cmp(&role::of(b)))
        .then_with(|| by_name(a, b))
}

/// Compares two items for outgoing connections; the greater one is the stronger.
pub(super) fn by_item((a, at): (&AccessLogPolicy, usize), (b, other): (&AccessLogPolicy, usize)) -> Ordering {
    let (to, of) = (&a.to[at].target, &b.to[other].target);
    let sections = || match to.kind {
        TargetKind::MeshService => (!to.section_name.is_empty()).cmp(&!of.section_name.is_empty()),
        _ => Ordering::Equal,
    };
    by_target(&a.target, &b.target)
        .then_with(|| a.meta.created_in().cmp(&b.meta.created_in()))
        .then_with(|| role::of(a).cmp(&role::of(b)))
        .then_with(|| to.kind.cmp(&of.kind))
        .then_with(sections)
        .then_with(|| by_name(a, b))
}

fn by_target(a: &TargetRef, b: &TargetRef) -> Ordering {
    a.kind.cmp(&b.kind).then_with(|| match a.kind {
        TargetKind::Dataplane => by_dataplane(a, b),
        _ => Ordering::Equal,
    })
}

/// A name is stronger than labels; otherwise, a section is stronger than none.
fn by_dataplane(a: &TargetRef, b: &TargetRef) -> Ordering {
    match (a.name.is_empty(), b.name.is_empty()) {
        (false, _) if !b.labels.is_empty() => return Ordering::Greater,
        (_, false) if !a.labels.is_empty() => return Ordering::Less,
        _ => {}
    }
    (!a.section_name.is_empty()).cmp(&!b.section_name.is_empty())
}

fn by_name(a: &AccessLogPolicy, b: &AccessLogPolicy) -> Ordering {
    b.meta.display_name().cmp(a.meta.display_name())
}
