//! From the routes of a configuration to a router.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use atc_router::ast::Expression;
use foldhash::fast::RandomState;

use uuid::{Uuid, uuid};

use super::language::{self, ExpressionError, Subsystem};
use super::priority::{self, Weight};
use super::settings::{Calculation, Flavor, Options};
use super::table::{Matcher, Placed, Table};
use super::translate::{self, PathGroup};
use super::{Destination, Router};
use crate::entity::{Configuration, EntityRef, PathPattern, Route, Service};
use crate::plugin::Protocol;
use logphase_config::diagnostic::{Diagnostic, Severity, codes};

/// The namespace of the ids of a route's groups of paths (kong/router/atc.lua).
const GROUPS: Uuid = uuid!("7f145bf9-0dce-4f91-98eb-debbce4b9f6b");

impl Router {
    /// The router of the routes in `configuration`. Routes that Kong refuses take no part, nor do those of disabled
    /// services. Returns also what is wrong with the routes that take no part: an error for each expression that cannot be
    /// used, be it that of the route or the one that its fields are translated to, and a warning for each that violates a
    /// rule about several fields.
    pub fn new(configuration: &Configuration, options: Options) -> (Self, Vec<Diagnostic>) {
        Self::after(&Self::default(), configuration, options)
    }

    /// The same, of a configuration that has routes of the `last` router, whose expressions need not be read again.
    pub(crate) fn after(last: &Self, configuration: &Configuration, options: Options) -> (Self, Vec<Diagnostic>) {
        let has_expressions = configuration.routes.iter().any(|route| route.expression.is_some());
        let flavor =
            options.flavor.unwrap_or(if has_expressions { Flavor::Expressions } else { Flavor::TraditionalCompatible });
        let how = (flavor, options.calculation);
        let mut builder = Builder {
            flavor,
            calculation: options.calculation,
            known: Some(&last.read).filter(|read| read.how == Some(how)),
            read: KnownRoutes { how: Some(how), by_route: HashMap::default() },
            destinations: Vec::new(),
            http: Vec::new(),
            stream: Vec::new(),
            errors: Vec::new(),
        };
        let mut found = Vec::new();
        let services = Services::new(&configuration.services);
        for route in &configuration.routes {
            let refusals =
                route.refusals.iter().filter(|refusal| !(flavor == Flavor::Expressions && is_allowed(refusal)));
            let refusals: Vec<_> = refusals.map(never_found).collect();
            if !route.is_sound || !refusals.is_empty() {
                found.extend(refusals);
                continue;
            }
            let service = route.service.as_ref().and_then(|service| services.find(service));
            if service.is_none_or(|service| service.enabled) {
                builder.add(route, service);
            }
        }
        let Builder { destinations, http, stream, errors, read, .. } = builder;
        found.extend(errors);
        (Self { destinations, http: Table::new(http), stream: Table::new(stream), read }, found)
    }
}

/// Services by id and by name.
struct Services<'a>(HashMap<&'a str, &'a Service>);

impl<'a> Services<'a> {
    fn new(services: &'a [Arc<Service>]) -> Self {
        let names = services.iter().filter_map(|service| Some((service.name.as_deref()?, &**service)));
        let ids = services.iter().map(|service| (&*service.stored.id, &**service));
        // An id takes precedence over an equal name of another service.
        Self(names.chain(ids).collect())
    }

    fn find(&self, wanted: &EntityRef) -> Option<&'a Service> {
        let keys = [wanted.id.as_deref(), wanted.name.as_deref()];
        keys.into_iter().flatten().find_map(|key| self.0.get(key).copied())
    }
}

/// The expressions of a route, or why it has none.
type Read = Result<Arc<[Arc<Matcher>]>, Box<Diagnostic>>;

/// The expressions of routes, for the next router.
#[derive(Debug, Default)]
pub(super) struct KnownRoutes {
    /// They depend on it.
    how: Option<(Flavor, Calculation)>,
    /// By the address of the route, which is held, so that no other one can have it.
    by_route: HashMap<usize, (Arc<Route>, Read), RandomState>,
}

struct Builder<'a> {
    flavor: Flavor,
    calculation: Calculation,
    known: Option<&'a KnownRoutes>,
    read: KnownRoutes,
    destinations: Vec<Destination>,
    http: Vec<Placed>,
    stream: Vec<Placed>,
    errors: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn add(&mut self, route: &Arc<Route>, service: Option<&Service>) {
        let subsystem = if translate::is_stream(&route.protocols) { Subsystem::Stream } else { Subsystem::Http };
        let address = Arc::as_ptr(route).addr();
        let known = self.known.and_then(|known| known.by_route.get(&address)).map(|(_, read)| read.clone());
        let read = known.unwrap_or_else(|| self.read(route, subsystem));
        self.read.by_route.insert(address, (route.clone(), read.clone()));
        match read {
            Ok(matchers) => {
                let route_index = self.destinations.len();
                let placed = matchers.iter().map(|matcher| Placed { matcher: matcher.clone(), route: route_index });
                self.destinations.push(Destination::new(route, service));
                match subsystem {
                    Subsystem::Http => self.http.extend(placed),
                    Subsystem::Stream => self.stream.extend(placed),
                }
            }
            Err(error) => self.errors.push(*error),
        }
    }

    fn read(&self, route: &Route, subsystem: Subsystem) -> Read {
        let matchers = match (&route.expression, self.flavor) {
            (Some(_), Flavor::TraditionalCompatible) => Err(Box::new(no_expressions(route))),
            (Some(expression), Flavor::Expressions) => of_expression(route, expression, subsystem),
            (None, _) => self.of_fields(route, subsystem),
        };
        Ok(matchers?.into_iter().map(Arc::new).collect())
    }

    fn of_fields(&self, route: &Route, subsystem: Subsystem) -> Result<Vec<Matcher>, Box<Diagnostic>> {
        let groups = PathGroup::all(&route.paths);
        let mut matchers = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let text = translate::expression(route, *group, self.calculation);
            if text.is_empty() {
                continue;
            }
            let text = match self.flavor {
                Flavor::TraditionalCompatible => text,
                Flavor::Expressions => translate::of_protocols(&text, &route.protocols),
            };
            let expression = language::read(&text, subsystem)
                .map_err(|error| Box::new(invalid(route, &culprit(route, subsystem, self.calculation), &error)))?;
            let priority = match (subsystem, group) {
                (Subsystem::Stream, _) => priority::stream(route),
                (_, PathGroup::Regex) => Weight::new(route, true, 0).priority(self.calculation),
                (_, PathGroup::Plain(length)) => Weight::new(route, false, *length).priority(self.calculation),
            };
            let id = match groups.len() {
                1 => id(route),
                _ => Uuid::new_v5(&GROUPS, format!("{}#{}", route.stored.id, number + 1).as_bytes()),
            };
            matchers.push(matcher(priority, id, expression, text));
        }
        Ok(matchers)
    }
}

fn of_expression(route: &Route, text: &str, subsystem: Subsystem) -> Result<Vec<Matcher>, Box<Diagnostic>> {
    let wrong = |error| Box::new(invalid(route, "expression", &error));
    // Read alone first, so that an error is about what the file has.
    language::read(text, subsystem).map_err(wrong)?;
    let text = translate::of_protocols(text, &route.protocols);
    let expression = language::read(&text, subsystem).map_err(wrong)?;
    let priority = priority::expression(route.priority);
    Ok(vec![matcher(priority, id(route), expression, text)])
}

/// `expression`, which was read from `text`.
fn matcher(priority: u64, id: Uuid, mut expression: Expression, text: String) -> Matcher {
    let mut fields = BTreeSet::new();
    language::for_each_predicate(&mut expression, &mut |predicate| {
        fields.insert(predicate.lhs.var_name.clone());
    });
    #[cfg(not(test))]
    drop(text);
    Matcher {
        priority,
        id,
        captures: language::captures(&expression),
        expression,
        fields,
        #[cfg(test)]
        text,
    }
}

fn id(route: &Route) -> Uuid {
    // The schema has checked that a given id is one.
    Uuid::parse_str(&route.stored.id).unwrap_or_default()
}

/// The field because of which a route cannot be translated: the first path, header or network that is invalid by itself.
fn culprit(route: &Route, subsystem: Subsystem, calculation: Calculation) -> String {
    let bare = route.without_criteria();
    let alone = |change: &dyn Fn(&mut Route)| {
        let mut alone = bare.clone();
        change(&mut alone);
        let group = PathGroup::all(&alone.paths)[0];
        language::read(&translate::expression(&alone, group, calculation), subsystem).is_err()
    };
    let path = |path: &PathPattern| alone(&|route| route.paths = vec![path.clone()]);
    if let Some(at) = route.paths.iter().position(path) {
        return format!("paths[{at}]");
    }
    if let Some(header) = route.headers.iter().find(|header| alone(&|route| route.headers = vec![(*header).clone()])) {
        return format!("headers.{}", header.name);
    }
    if let Some(at) = route.sources.iter().position(|source| alone(&|route| route.sources = vec![source.clone()])) {
        return format!("sources[{at}]");
    }
    let destination = |destination| alone(&|route: &mut Route| route.destinations = vec![Clone::clone(destination)]);
    route.destinations.iter().position(destination).map_or_else(String::new, |at| format!("destinations[{at}]"))
}

/// With Kong's message (kong/db/schema/entities/routes.lua).
fn invalid(route: &Route, field: &str, error: &ExpressionError) -> Diagnostic {
    let diagnostic = Diagnostic::error(codes::EXPRESSION, format!("the router cannot use route `{}`", route.label()))
        .at(route.field_origin(field))
        .label(error.reason());
    match error {
        ExpressionError::Invalid(text) => diagnostic.kong(format!("Router Expression failed validation: {text}")),
        ExpressionError::TooLarge(_) => diagnostic.help("split the route into several"),
    }
}

/// Whether the flavor `expressions` has no such rule: there, routes of requests have sources and destinations too.
fn is_allowed(refusal: &Diagnostic) -> bool {
    let text = refusal.kong.as_deref().unwrap_or_default();
    text.contains("cannot set 'sources'") || text.contains("cannot set 'destinations'")
}

fn never_found(refusal: &Diagnostic) -> Diagnostic {
    let help = "Kong refuses this route; no transaction is given it".to_owned();
    Diagnostic { severity: Severity::Warning, help: Some(help), ..refusal.clone() }
}

fn no_expressions(route: &Route) -> Diagnostic {
    Diagnostic::error(codes::EXPRESSION, format!("route `{}` has an expression", route.label()))
        .at(route.field_origin("expression"))
        .label("unknown field")
        .kong("schema violation (expression: unknown field)")
        .help("set `router_flavor: expressions`, or leave it out (LOGPHASE_ROUTER_FLAVOR)")
}

impl Destination {
    fn new(route: &Route, service: Option<&Service>) -> Self {
        let has = |protocol| route.protocols.contains(&protocol);
        let mut json = route.stored.json.clone().into_bytes();
        if let Some(service) = service {
            json.pop();
            let id = serde_json::Value::from(service.stored.id.as_str());
            json.extend_from_slice(format!(",\"service\":{{\"id\":{id}}}}}").as_bytes());
        }
        Self {
            label: route.label().to_owned(),
            service_label: service.map(|service| service.name.as_ref().unwrap_or(&service.stored.id).clone()),
            route: json,
            tags: [route.tags.clone(), service.map(|service| service.tags.clone()).unwrap_or_default()],
            service: service.map(|service| service.stored.json.clone().into_bytes()),
            only_https: has(Protocol::Https) && !has(Protocol::Http),
            grpc: has(Protocol::Grpc) || has(Protocol::Grpcs),
            only_grpcs: has(Protocol::Grpcs) && !has(Protocol::Grpc),
        }
    }
}
