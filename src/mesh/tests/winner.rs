//! Which TrafficLog applies to a connection.

use std::collections::BTreeMap;

use logphase_config::diagnostic::Origin;
use proptest::prelude::*;

use crate::mesh::{Connection, Kind, Meta, Selector, Tags, TrafficLog, winner};

/// The tags of `web region=eu`: the first word is the service, if it is no pair. No word is no tag.
fn tags(text: &str) -> Tags {
    let pair = |word: &str| match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => ("kuma.io/service".to_owned(), word.to_owned()),
    };
    text.split_whitespace().map(pair).collect()
}

/// The policy `NAME: SOURCES > DESTINATIONS @ SECONDS`, with `;` between selectors. The time of creation can be left out.
fn policy(text: &str) -> TrafficLog {
    let (name, rest) = text.split_once(':').unwrap();
    let (rest, created) = rest.split_once('@').map_or((rest, None), |(rest, at)| (rest, Some(at)));
    let (sources, destinations) = rest.split_once('>').unwrap();
    let selectors = |text: &str| text.split(';').map(|selector| Selector(tags(selector))).collect();
    let seconds = created.map(|at| at.trim().parse().unwrap());
    TrafficLog {
        meta: Meta {
            kind: Some(Kind::TrafficLog),
            mesh: "m".into(),
            name: name.trim().into(),
            namespace: String::new(),
            created: seconds.map(|seconds| jiff::Timestamp::from_second(seconds).unwrap()),
            labels: BTreeMap::new(),
            origin: Origin::Unknown,
        },
        sources: selectors(sources),
        destinations: selectors(destinations),
        backend: String::new(),
        backend_origin: Origin::Unknown,
    }
}

/// The name of the policy that applies to the connection `INBOUNDS > SERVICE`, with `;` between inbounds.
fn chosen(connection: &str, policies: &[&str]) -> Option<String> {
    let (inbounds, destination) = connection.split_once('>').unwrap();
    let source: Vec<Tags> = inbounds.split(';').map(tags).collect();
    let policies: Vec<TrafficLog> = policies.iter().map(|text| policy(text)).collect();
    let connection = Connection { mesh: "m", source: &source, destination: destination.trim() };
    winner(&policies, connection).map(|won| won.policy.meta.name.clone())
}

/// A connection, policies, and which of them applies.
type Case = (&'static str, &'static [&'static str], Option<&'static str>);

const MATCHING: &[Case] = &[
    ("web > api", &[], None),
    ("web > api", &["a: * > *"], Some("a")),
    ("web > api", &["a: web > api"], Some("a")),
    ("web > api", &["a: web > *"], Some("a")),
    ("web > api", &["a: * > api"], Some("a")),
    ("web > api", &["a: shop > api"], None),
    ("web > api", &["a: web > db"], None),
    ("web > api", &["a: api > web"], None),
    ("web > api", &["a: web region=eu > api"], None),
    ("web region=eu > api", &["a: web region=eu > api"], Some("a")),
    ("web region=eu > api", &["a: web region=us > api"], None),
    ("web region=eu > api", &["a: web region=* > api"], Some("a")),
    ("web > api", &["a: * region=* > api"], None),
    ("web > api", &["a: shop; web > db; api"], Some("a")),
    // A data plane with several inbounds: one of them has to match with all tags.
    ("kong; kong-admin > api", &["a: kong > api"], Some("a")),
    ("kong; kong-admin > api", &["a: kong-admin > api"], Some("a")),
    ("kong v=1; kong-admin v=2 > api", &["a: kong v=2 > api"], None),
    ("kong v=1; kong-admin v=2 > api", &["a: kong-admin v=2 > api"], Some("a")),
    // Of a destination, only its service is known.
    ("web > api", &["a: web > api v=1"], None),
    ("web > api", &["a: web > * v=*"], None),
    // Traffic that leaves the mesh.
    ("web > pass_through", &["a: web > *"], Some("a")),
    ("web > pass_through", &["a: web > api"], None),
    ("web > pass_through", &["a: web > pass_through", "b: web > *"], Some("a")),
    ("web > external", &["a: web > external"], Some("a")),
    // Values are compared as they are.
    ("web > api", &["a: we > api"], None),
    ("web > api", &["a: web* > api"], None),
    ("Web > api", &["a: web > api"], None),
];

const RANKS: &[Case] = &[
    // More tags go before fewer, whatever their values are.
    ("web v=1 > api", &["a: web > api", "b: web v=1 > api"], Some("b")),
    ("web v=1 > api", &["a: web > api", "b: * v=* > *"], Some("b")),
    ("web v=1 x=2 > api", &["a: web v=1 > api", "b: * v=* x=* > *"], Some("b")),
    ("web v=1 > api", &["a: web > api @ 9", "b: * v=* > * @ 1"], Some("b")),
    // Of as many tags, exact values go before `*`.
    ("web > api", &["a: * > *", "b: web > *"], Some("b")),
    ("web > api", &["a: * > *", "b: * > api"], Some("b")),
    ("web > api", &["a: web > *", "b: web > api"], Some("b")),
    ("web v=1 > api", &["a: * v=1 > *", "b: web v=* > api"], Some("b")),
    ("web > api", &["a: * > * @ 9", "b: web > * @ 1"], Some("b")),
    // The source counts no more than the destination.
    ("web > api", &["a: web > *", "b: * > api"], Some("a")),
    ("web > api", &["a: web > * @ 1", "b: * > api @ 2"], Some("b")),
    ("web > api", &["a: web > * @ 2", "b: * > api @ 1"], Some("a")),
    // Of several selectors the most specific that matches counts.
    ("web > api", &["a: *; web > *; api", "b: web > *"], Some("a")),
    ("web v=1 > api", &["a: *; web v=2 > api", "b: web > api"], Some("b")),
    ("web v=1 > api", &["a: * ; web v=1 > api", "b: web > api"], Some("a")),
    ("kong; admin v=1 > api", &["a: kong > api", "b: admin v=1 > api"], Some("b")),
];

const TIES: &[Case] = &[
    ("web > api", &["a: web > api @ 1", "b: web > api @ 2"], Some("b")),
    ("web > api", &["a: web > api @ 2", "b: web > api @ 1"], Some("a")),
    ("web > api", &["b: web > api @ 1", "a: web > api @ 1"], Some("a")),
    ("web > api", &["b: web > api", "a: web > api"], Some("a")),
    ("web > api", &["b: web > api @ 1", "a: web > api"], Some("b")),
    ("web > api", &["a10: * > *", "a9: * > *"], Some("a10")),
    ("web > api", &["c: * > * @ 1", "b: * > * @ 3", "a: * > * @ 2"], Some("b")),
    ("web > api", &["c: * > * @ 3", "b: * > * @ 3", "a: * > * @ 2"], Some("b")),
];

/// Scenario: connections and policies: what matches, ranks of tags, and ties.
/// Guarantees: the policy that applies is that of Kuma's matcher, whatever the order of the policies is.
#[test]
fn the_most_specific_policy_applies() {
    assert!(MATCHING.len() + RANKS.len() + TIES.len() >= 40);
    for (connection, policies, expected) in MATCHING.iter().chain(RANKS).chain(TIES) {
        assert_eq!(chosen(connection, policies).as_deref(), *expected, "{connection} {policies:?}");
        let reversed: Vec<_> = policies.iter().rev().copied().collect();
        assert_eq!(chosen(connection, &reversed).as_deref(), *expected, "{connection} {reversed:?}");
    }
}

/// Scenario: a policy of another mesh with the same tags. Guarantees: it does not apply.
#[test]
fn a_policy_stays_in_its_mesh() {
    let policies = [policy("a: * > *")];
    let source = [tags("web")];
    let connection = |mesh| Connection { mesh, source: &source, destination: "api" };
    assert!(winner(&policies, connection("m")).is_some());
    assert!(winner(&policies, connection("other")).is_none());
}

/// Tags and those of them that are not `*`, of the best pair of selectors that match: written with loops over all pairs, as the
/// rule is, and not as the code is.
fn counts(policy: &TrafficLog, source: &[Tags], service: &str) -> Option<(usize, usize)> {
    let fits = |selector: &Selector, tags: &Tags| {
        selector.0.iter().all(|(name, value)| tags.iter().any(|(n, v)| n == name && (value == "*" || value == v)))
    };
    let target = tags(service);
    let mut best = None;
    for from in &policy.sources {
        for to in &policy.destinations {
            if source.iter().any(|tags| fits(from, tags)) && fits(to, &target) {
                let values: Vec<_> = from.0.values().chain(to.0.values()).collect();
                let count = (values.len(), values.iter().filter(|value| **value != "*").count());
                best = best.max(Some(count));
            }
        }
    }
    best
}

/// Whether `a` beats `b` under the written rule; each with its counts.
fn beats(a: (&TrafficLog, (usize, usize)), b: (&TrafficLog, (usize, usize))) -> bool {
    let ((tags_a, exact_a), (tags_b, exact_b)) = (a.1, b.1);
    if tags_a != tags_b {
        return tags_a > tags_b;
    }
    if exact_a != exact_b {
        return exact_a > exact_b;
    }
    if a.0.meta.created != b.0.meta.created {
        return a.0.meta.created > b.0.meta.created;
    }
    a.0.meta.name < b.0.meta.name
}

fn selector() -> impl Strategy<Value = String> {
    let tag = prop::sample::select(vec!["", "v=1", "v=2", "v=*", "z=a", "z=*"]);
    (prop::sample::select(vec!["web", "shop", "*"]), tag.clone(), tag)
        .prop_map(|(service, a, b)| format!("{service} {a} {b}"))
}

fn random_policy() -> impl Strategy<Value = String> {
    let sources = prop::collection::vec(selector(), 1..4);
    let destinations = prop::collection::vec(prop::sample::select(vec!["api", "db", "*"]), 1..3);
    (sources, destinations, 0..3_u8).prop_map(|(sources, destinations, created)| {
        let created = if created == 0 { String::new() } else { format!("@ {created}") };
        format!("{} > {} {created}", sources.join(";"), destinations.join(";"))
    })
}

proptest! {
    /// Scenario: random policies and data planes. Guarantees: a policy applies if one matches, it is one that matches, and no
    /// other that matches beats it under the written rule.
    #[test]
    fn the_chosen_policy_is_never_beaten(
        policies in prop::collection::vec(random_policy(), 0..8),
        inbounds in prop::collection::vec(selector(), 1..3),
        service in prop::sample::select(vec!["api", "db", "pass_through"]),
    ) {
        let policies: Vec<_> = policies.iter().enumerate().map(|(at, text)| policy(&format!("p{at}: {text}"))).collect();
        let source: Vec<Tags> = inbounds.iter().map(|text| tags(text)).collect();
        let matching: Vec<_> = policies.iter().filter_map(|p| Some((p, counts(p, &source, service)?))).collect();
        let won = winner(&policies, Connection { mesh: "m", source: &source, destination: service });
        prop_assert_eq!(won.is_some(), !matching.is_empty());
        if let Some(won) = won {
            let own = matching.iter().find(|(p, _)| std::ptr::eq(*p, won.policy)).copied();
            prop_assert!(own.is_some(), "{} does not match", won.policy.meta.name);
            for other in &matching {
                prop_assert!(!beats(*other, own.unwrap()), "{} beats {}", other.0.meta.name, won.policy.meta.name);
            }
        }
    }
}
