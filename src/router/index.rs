//! Which expressions a request can match at all.
//!
//! The index never decides that an expression matches: it leaves out those that cannot, because they need a host, a path
//! or another value that the request does not have. What is left is evaluated in order.

use std::collections::HashMap;

use atc_router::ast::{BinaryOperator, Expression, LogicalExpression, Predicate, Value};
use foldhash::fast::RandomState;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::prefixes::Prefixes;

/// Expressions by their place in the order.
type Places = Vec<u32>;

/// The expressions of one host, by the path that they need.
type Paths = Prefixes<Places>;

/// Maximum alternatives of an expression that are indexed one by one.
const MAX_ALTERNATIVES: usize = 256;

/// Finds the candidates of a request.
#[derive(Debug, Default)]
pub(super) struct Index {
    hosts: HashMap<Box<[u8]>, Paths, RandomState>,
    /// By the end of the host, reversed.
    host_ends: Prefixes<Paths>,
    host_starts: Prefixes<Paths>,
    any_host: Paths,
    /// Expressions that need neither host nor path, by another value that they need.
    values: HashMap<(String, Needed), Places, RandomState>,
    /// The fields of `values`, each with whether its values are lower-cased.
    fields: Vec<(String, bool)>,
}

/// A value that an expression needs, as it is compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Needed {
    Text(String),
    Number(i64),
    Address(std::net::IpAddr),
}

impl Needed {
    fn of(value: &Value, lower: bool) -> Option<Self> {
        match value {
            Value::String(text) if lower => Some(Self::Text(text.to_lowercase())),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Int(number) => Some(Self::Number(*number)),
            Value::IpAddr(address) => Some(Self::Address(*address)),
            Value::IpCidr(_) | Value::Regex(_) => None,
        }
    }
}

/// What the host must be.
#[derive(Debug, Clone)]
enum Host {
    Is(Vec<u8>),
    EndsWith(Vec<u8>),
    StartsWith(Vec<u8>),
}

impl Index {
    /// The index of `expressions`, which are in order.
    pub(super) fn new<'a>(expressions: impl Iterator<Item = &'a Expression>) -> Self {
        let mut index = Self::default();
        for (at, expression) in expressions.enumerate() {
            index.add(expression, at as u32);
        }
        index.any_host.link();
        for group in [&mut index.host_ends, &mut index.host_starts] {
            group.link();
            group.values_mut().for_each(Prefixes::link);
        }
        index.hosts.values_mut().for_each(Prefixes::link);
        index
    }

    fn add(&mut self, expression: &Expression, at: u32) {
        let mut hosts = needs(expression, &host).unwrap_or_default();
        let paths = needs(expression, &path);
        // A path of one byte is that of every request.
        if hosts.is_empty()
            && paths.as_ref().is_none_or(|paths| paths.iter().any(|path| path.len() <= 1))
            && let Some(values) = needs(expression, &value)
        {
            for (field, lower, needed) in values {
                if !self.fields.iter().any(|known| (&known.0, known.1) == (&field, lower)) {
                    self.fields.push((field.clone(), lower));
                }
                push(self.values.entry((field, needed)).or_default(), at);
            }
            return;
        }
        let paths = paths.unwrap_or_else(|| vec![Vec::new()]);
        if hosts.len() * paths.len() > MAX_ALTERNATIVES {
            hosts.clear();
        }
        for path in &paths {
            for host in &hosts {
                let of_host = match host {
                    Host::Is(name) => self.hosts.entry(name.clone().into()).or_default(),
                    Host::EndsWith(end) => self.host_ends.entry(&end.iter().rev().copied().collect::<Vec<_>>()),
                    Host::StartsWith(start) => self.host_starts.entry(start),
                };
                push(of_host.entry(path), at);
            }
            if hosts.is_empty() {
                push(self.any_host.entry(path), at);
            }
        }
    }

    /// The candidates for a request with `host` and `path`: lists of places, each in order. `values` gives the values of
    /// another field.
    pub(super) fn candidates<'i, 'v>(
        &'i self,
        [host, path]: [Option<&str>; 2],
        values: impl Fn(&str) -> &'v [Value],
    ) -> Vec<&'i [u32]> {
        let path = path.unwrap_or_default().as_bytes();
        let mut found: Vec<&'i [u32]> = Vec::with_capacity(8);
        found.extend(self.any_host.of(path).map(Vec::as_slice));
        if let Some(host) = host.map(str::as_bytes) {
            let of_host = self.hosts.get(host).into_iter().chain(self.host_starts.of(host));
            found.extend(of_host.flat_map(|paths| paths.of(path)).map(Vec::as_slice));
            if !self.host_ends.is_empty() {
                let reversed: Vec<u8> = host.iter().rev().copied().collect();
                found.extend(self.host_ends.of(&reversed).flat_map(|paths| paths.of(path)).map(Vec::as_slice));
            }
        }
        for (field, lower) in &self.fields {
            for value in values(field) {
                let Some(needed) = Needed::of(value, *lower) else { continue };
                found.extend(self.values.get(&(field.clone(), needed)).map(Vec::as_slice));
            }
        }
        found
    }
}

/// Adds a place once: alternatives of one expression are added one after the other.
fn push(places: &mut Places, at: u32) {
    if places.last() != Some(&at) {
        places.push(at);
    }
}

/// Values of which a request must have at least one for `expression` to match; `None` if nothing is known. `read` gives the
/// value that a comparison needs.
fn needs<T>(expression: &Expression, read: &impl Fn(&Predicate) -> Option<T>) -> Option<Vec<T>> {
    match expression {
        Expression::Predicate(predicate) => Some(vec![read(predicate)?]),
        Expression::Logical(logical) => match logical.as_ref() {
            LogicalExpression::And(left, right) => match (needs(left, read), needs(right, read)) {
                (Some(left), Some(right)) => Some(if right.len() < left.len() { right } else { left }),
                (left, right) => left.or(right),
            },
            LogicalExpression::Or(left, right) => {
                let mut both = needs(left, read)?;
                both.extend(needs(right, read)?);
                (both.len() <= MAX_ALTERNATIVES).then_some(both)
            }
            LogicalExpression::Not(_) => None,
        },
    }
}

/// The host that a comparison needs.
fn host(predicate: &Predicate) -> Option<Host> {
    if predicate.lhs.var_name != "http.host" || predicate.lhs.get_transformations().0 {
        return None;
    }
    let Value::String(text) = &predicate.rhs else { return None };
    let text = text.clone().into_bytes();
    match predicate.op {
        BinaryOperator::Equals => Some(Host::Is(text)),
        BinaryOperator::Postfix => Some(Host::EndsWith(text)),
        BinaryOperator::Prefix => Some(Host::StartsWith(text)),
        _ => None,
    }
}

/// The beginning of the path that a comparison needs.
fn path(predicate: &Predicate) -> Option<Vec<u8>> {
    if predicate.lhs.var_name != "http.path" || predicate.lhs.get_transformations().0 {
        return None;
    }
    match (&predicate.op, &predicate.rhs) {
        (BinaryOperator::Equals | BinaryOperator::Prefix, Value::String(text)) => Some(text.clone().into_bytes()),
        (BinaryOperator::Regex, Value::Regex(regex)) => {
            literal_start(&regex_syntax::parse(regex.as_str()).ok()?).filter(|literal| !literal.is_empty())
        }
        _ => None,
    }
}

/// The bytes with which every match of an anchored expression begins.
fn literal_start(hir: &Hir) -> Option<Vec<u8>> {
    let HirKind::Concat(parts) = hir.kind() else { return None };
    let [first, rest @ ..] = &parts[..] else { return None };
    if !matches!(first.kind(), HirKind::Look(Look::Start)) {
        return None;
    }
    let mut literal = Vec::new();
    for part in rest {
        let HirKind::Literal(bytes) = part.kind() else { break };
        literal.extend_from_slice(&bytes.0);
    }
    Some(literal)
}

/// The value of another field that a comparison needs.
fn value(predicate: &Predicate) -> Option<(String, bool, Needed)> {
    let field = &predicate.lhs.var_name;
    let (lower, _) = predicate.lhs.get_transformations();
    // A method or a protocol leaves out too little.
    if matches!(field.as_str(), "http.method" | "http.host" | "http.path") {
        return None;
    }
    match (field.as_str(), &predicate.op, &predicate.rhs) {
        // Traffic without TLS, which passes a route's server names.
        ("net.protocol", BinaryOperator::NotEquals, Value::String(text)) if text == "https" => {
            Some((field.clone(), false, Needed::Text("http".to_owned())))
        }
        ("net.protocol", ..) => None,
        (_, BinaryOperator::Equals, value) => Some((field.clone(), lower, Needed::of(value, false)?)),
        _ => None,
    }
}
