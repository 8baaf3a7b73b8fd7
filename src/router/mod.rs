//! Finds the route and service of a transaction whose proxy was not Kong, as Kong's router would have.
//!
//! [`Router::new`] translates the routes of a configuration to expressions of Kong's router language, as Kong does
//! (`translate`), and orders them as Kong does (`priority`). Kong's own crate, `atc-router`, evaluates them (`table`). With
//! thousands of routes, an index leaves out those that cannot match (`index`), and where that leaves many, a cache keeps
//! the answers (`cache`). A [`RouteFinder`] adds what was found to a transaction. The rules are those of Kong Gateway 3.10
//! (kong/router/, Apache-2.0) and of its documentation up to 3.15; docs/router.md describes them.

mod build;
mod cache;
mod condition;
mod field;
mod index;
mod language;
mod prefixes;
mod priority;
mod request;
mod settings;
mod table;
mod translate;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use self::build::KnownRoutes;
use self::language::Subsystem;
use self::request::Request;
use self::table::{Search, Table};
use crate::entity::Tags;
use logphase_script::transaction::{CONTEXT, Transaction};

pub use self::condition::Condition;
pub use self::settings::{Calculation, Flavor, Options};

/// The routes of a configuration. All workers share it. The default has none.
#[derive(Debug, Default)]
pub struct Router {
    destinations: Vec<Destination>,
    http: Table,
    stream: Table,
    /// What was read of its routes.
    read: KnownRoutes,
}

/// What a transaction is given.
#[derive(Debug)]
pub struct Destination {
    label: String,
    service_label: Option<String>,
    /// The route as Kong logs it, without tags.
    route: Vec<u8>,
    tags: [Tags; 2],
    service: Option<Vec<u8>>,
    only_https: bool,
    grpc: bool,
    only_grpcs: bool,
}

impl Destination {
    /// The name of the route, otherwise its id.
    pub fn route(&self) -> &str {
        &self.label
    }

    /// The name of its service, otherwise its id.
    pub fn service(&self) -> Option<&str> {
        self.service_label.as_deref()
    }

    /// Whether Kong proxies `request` once this route is found. What it answers itself, because the protocol is another
    /// one, it logs without a route (kong/runloop/handler.lua).
    fn admits(&self, request: &Request<'_>) -> bool {
        if request.subsystem == Subsystem::Stream {
            return true;
        }
        if self.only_https && !request.was_forwarded_over_tls() {
            return false;
        }
        !self.grpc
            || (request.is_grpc() && !request.is_http1() && (!self.only_grpcs || request.was_forwarded_over_tls()))
    }
}

impl Router {
    /// Whether there is no route to find.
    pub fn is_empty(&self) -> bool {
        self.destinations.is_empty()
    }

    /// The number of expressions: one for each route and each length of its paths.
    pub fn expressions(&self) -> usize {
        self.http.len() + self.stream.len()
    }
}

/// Finds routes. Each worker has its own, because it reuses memory and keeps answers.
pub struct RouteFinder {
    router: Arc<Router>,
    http: Search,
    stream: Search,
}

impl RouteFinder {
    /// A finder of the routes of `router`.
    pub fn new(router: Arc<Router>) -> Self {
        Self { router, http: Search::new(Subsystem::Http), stream: Search::new(Subsystem::Stream) }
    }

    /// The route that Kong would log for `transaction`.
    pub fn find(&mut self, transaction: &Transaction) -> Option<&Destination> {
        self.find_with_captures(transaction).map(|(destination, _)| destination)
    }

    /// The same with what its path captures, by number and by name.
    fn find_with_captures(&mut self, transaction: &Transaction) -> Option<(&Destination, BTreeMap<String, String>)> {
        if self.router.is_empty() {
            return None;
        }
        let request = Request::new(transaction)?;
        let (search, table) = match request.subsystem {
            Subsystem::Http => (&mut self.http, &self.router.http),
            Subsystem::Stream => (&mut self.stream, &self.router.stream),
        };
        let place = search.find(table, &request)?;
        let destination = &self.router.destinations[table.route(place)];
        destination.admits(&request).then(|| (destination, search.captures(table, place)))
    }

    /// Adds the route and service of `transaction`, unless its proxy has said them, and to `_context` what the route's path
    /// captures. Returns what was added.
    pub fn fill(&mut self, transaction: &mut Transaction) -> Option<&Destination> {
        if ["route", "service", "api"].iter().any(|name| transaction.get(name).is_some()) {
            return None;
        }
        let (destination, captures) = self.find_with_captures(transaction)?;
        let [route_tags, service_tags] = &destination.tags;
        let route = tagged(&destination.route, route_tags);
        let service = destination.service.as_ref().map(|service| tagged(service, service_tags));
        let service = service.as_ref().map(|service| ("service", &**service));
        let context = transaction.context_with("uri_captures", || uri_captures(captures));
        let context = context.as_ref().map(|context| (CONTEXT, &**context));
        let members: Vec<_> = std::iter::once(("route", &*route)).chain(service).chain(context).collect();
        transaction.add_members(&members);
        Some(destination)
    }
}

/// Captures as `kong.request.get_uri_captures` reads them (docs/transaction.schema.json); `None` if there are none. As in
/// Kong, a named group also has a number; one that took no part is null.
fn uri_captures(mut captures: BTreeMap<String, String>) -> Option<Vec<u8>> {
    let whole = captures.remove("0")?;
    let (numbers, named): (BTreeMap<_, _>, BTreeMap<_, _>) =
        captures.into_iter().partition(|(name, _)| name.bytes().all(|byte| byte.is_ascii_digit()));
    let mut unnamed = Vec::new();
    for (number, text) in numbers {
        let at = number.parse::<usize>().ok()?.checked_sub(1)?;
        unnamed.resize(unnamed.len().max(at + 1), serde_json::Value::Null);
        unnamed[at] = text.into();
    }
    Some(serde_json::json!({"whole": whole, "unnamed": unnamed, "named": named}).to_string().into_bytes())
}

/// The object `entity` with its tags. They are added late because all entities of a file may share many.
fn tagged<'a>(entity: &'a [u8], tags: &Tags) -> Cow<'a, [u8]> {
    let mut tags = tags.iter().peekable();
    if tags.peek().is_none() {
        return Cow::Borrowed(entity);
    }
    let tags: serde_json::Value = tags.collect();
    let mut text = entity[..entity.len() - 1].to_vec();
    text.extend_from_slice(format!(",\"tags\":{tags}}}").as_bytes());
    Cow::Owned(text)
}
