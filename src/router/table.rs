//! The expressions of one subsystem in order, and the search for the first that matches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atc_router::ast::{Expression, Value};
use atc_router::context::{Context, Match};
use atc_router::interpreter::Execute;
use uuid::Uuid;

use super::cache::Cache;
use super::field::Field;
use super::index::Index;
use super::language::Subsystem;
use super::request::Request;

/// One expression of a route. Routers of several configurations can have it.
#[derive(Debug)]
pub(super) struct Matcher {
    /// Higher ones come first.
    pub(super) priority: u64,
    /// Among equal priorities, higher ones come first (kong/router/atc.lua, through `atc-router`).
    pub(super) id: Uuid,
    pub(super) expression: Expression,
    /// Whether the expression captures parts of the path or of another value.
    pub(super) captures: bool,
    /// The names of the fields that it uses.
    pub(super) fields: BTreeSet<String>,
    /// What the expression was read from.
    #[cfg(test)]
    pub(super) text: String,
}

/// An expression in a table.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) matcher: Arc<Matcher>,
    /// Index of the route.
    pub(super) route: usize,
}

/// All expressions of a subsystem.
#[derive(Debug, Default)]
pub(super) struct Table {
    matchers: Vec<Placed>,
    /// The fields that the expressions use, by name.
    fields: Vec<(String, Field)>,
    uses_path: bool,
    index: Index,
}

/// With more candidates than this, their answer is cached.
const CACHED_FROM: usize = 16;

impl Table {
    /// A table of `matchers`, in any order.
    pub(super) fn new(mut matchers: Vec<Placed>) -> Self {
        matchers.sort_by_key(|Placed { matcher, .. }| std::cmp::Reverse((matcher.priority, matcher.id)));
        let names: BTreeSet<&String> = matchers.iter().flat_map(|Placed { matcher, .. }| &matcher.fields).collect();
        let fields: Vec<_> = names.into_iter().filter_map(|name| Some((Field::of(name)?, name.clone()))).collect();
        Self {
            index: Index::new(matchers.iter().map(|Placed { matcher, .. }| &matcher.expression)),
            matchers,
            uses_path: fields.iter().any(|(_, name)| name.starts_with("http.path")),
            fields: fields.into_iter().map(|(field, name)| (name, field)).collect(),
        }
    }

    /// The same as [`Search::find`], by evaluating every expression in order.
    #[cfg(test)]
    pub(super) fn find_plainly(&self, request: &Request<'_>) -> Option<usize> {
        if self.uses_path && request.has_broken_path {
            return None;
        }
        let mut context = Context::new(request.subsystem.schema());
        for (name, field) in &self.fields {
            field.values(request, |value| context.add_value(name, value));
        }
        let all: Vec<u32> = (0..self.matchers.len() as u32).collect();
        Some(self.matchers[evaluate(self, &all, &mut context)? as usize].route)
    }

    /// The route that the crate's own router finds.
    #[cfg(test)]
    pub(super) fn find_with_the_crate(&self, request: &Request<'_>) -> Option<usize> {
        let schema = request.subsystem.schema();
        let mut router = atc_router::router::Router::new(schema);
        let mut context = Context::new(schema);
        for Placed { matcher, .. } in &self.matchers {
            let priority = usize::try_from(matcher.priority).expect("64 bits");
            router.add_matcher(priority, matcher.id, &matcher.text).expect("it was read before");
        }
        for (name, field) in &self.fields {
            field.values(request, |value| context.add_value(name, value));
        }
        if (self.uses_path && request.has_broken_path) || !router.execute(&mut context) {
            return None;
        }
        let id = context.result.as_ref()?.uuid;
        self.matchers.iter().find(|placed| placed.matcher.id == id).map(|placed| placed.route)
    }

    /// The route of the expression at `place`, by its index.
    pub(super) fn route(&self, place: u32) -> usize {
        self.matchers[place as usize].route
    }

    /// The number of expressions.
    pub(super) fn len(&self) -> usize {
        self.matchers.len()
    }
}

/// A search in a table, with the memory that it reuses. Each worker has its own.
pub(super) struct Search {
    context: Context<'static>,
    candidates: Vec<u32>,
    key: Vec<u8>,
    cache: Cache,
}

impl Search {
    /// A search among the expressions of `subsystem`.
    pub(super) fn new(subsystem: Subsystem) -> Self {
        let context = Context::new(subsystem.schema());
        Self { context, candidates: Vec::new(), key: Vec::new(), cache: Cache::default() }
    }

    /// The place of the first expression of `table` that matches `request`.
    pub(super) fn find(&mut self, table: &Table, request: &Request<'_>) -> Option<u32> {
        if table.matchers.is_empty() || (table.uses_path && request.has_broken_path) {
            return None;
        }
        self.context.reset();
        for (name, field) in &table.fields {
            field.values(request, |value| self.context.add_value(name, value));
        }
        let values = |field: &str| self.context.value_of(field).unwrap_or_default();
        let lists = table.index.candidates([request.host.as_deref(), request.path.as_deref()], values);
        let count: usize = lists.iter().map(|list| list.len()).sum();
        let Self { context, candidates, key, cache } = self;
        let cached = count > CACHED_FROM;
        if cached {
            write_key(key, table, context);
        }
        let mut search = || {
            candidates.clear();
            lists.iter().for_each(|list| candidates.extend_from_slice(list));
            candidates.sort_unstable();
            candidates.dedup();
            evaluate(table, candidates, context)
        };
        if cached { cache.get(key, search) } else { search() }
    }

    /// What the expression at `place`, which was just found, captures: by number from 0, the whole match, and by name. Empty
    /// if that is nothing but the whole match, as in Kong.
    pub(super) fn captures(&mut self, table: &Table, place: u32) -> BTreeMap<String, String> {
        let matcher = &table.matchers[place as usize].matcher;
        let mut found = Match::new();
        // The first time, the answer may have come from the cache.
        if !matcher.captures || !matcher.expression.execute(&mut self.context, &mut found) || found.captures.len() < 2 {
            return BTreeMap::new();
        }
        found.captures.into_iter().collect()
    }
}

/// The first of `candidates` that matches.
fn evaluate(table: &Table, candidates: &[u32], context: &mut Context<'_>) -> Option<u32> {
    let matches = |at: &&u32| table.matchers[**at as usize].matcher.expression.execute(context, &mut Match::new());
    candidates.iter().find(matches).copied()
}

/// Writes all that the expressions can read, so that equal keys have equal answers.
fn write_key(key: &mut Vec<u8>, table: &Table, context: &Context<'_>) {
    key.clear();
    for (name, _) in &table.fields {
        let values = context.value_of(name).unwrap_or_default();
        key.extend_from_slice(&(values.len() as u32).to_le_bytes());
        for value in values {
            match value {
                Value::String(text) => {
                    key.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    key.extend_from_slice(text.as_bytes());
                }
                Value::Int(number) => key.extend_from_slice(&number.to_le_bytes()),
                Value::IpAddr(std::net::IpAddr::V4(address)) => key.extend_from_slice(&address.octets()),
                Value::IpAddr(std::net::IpAddr::V6(address)) => key.extend_from_slice(&address.octets()),
                Value::IpCidr(_) | Value::Regex(_) => {}
            }
        }
    }
}
