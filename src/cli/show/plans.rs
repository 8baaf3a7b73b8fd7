//! The plugins that run for each route, in execution order.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Shown;
use super::outputs::Output;
use crate::entity::{Configuration, EntityRef, Scope};
use crate::phase::Planner;
use crate::plugin::Protocol;

/// The plans of a configuration.
pub(super) struct Plans {
    pub(super) rows: Vec<Row>,
    /// The consumer that they are for.
    pub(super) consumer: Option<EntityRef>,
}

/// The plan of transactions of one route, or of none, with some protocols.
pub(super) struct Row {
    pub(super) scope: Scope,
    /// The protocols of the route that have this plan; empty if all have.
    pub(super) protocols: Vec<&'static str>,
    /// Indices of the steps.
    pub(super) steps: Vec<usize>,
}

/// What plans are made for.
pub(super) struct Selected {
    scopes: Vec<(Scope, Vec<Protocol>)>,
    consumer: Option<EntityRef>,
}

/// Every route and API of `configuration`, and transactions without one; or only the route `route`. For the consumer `consumer`, if one is
/// named.
///
/// # Errors
/// There is no such route or consumer, as a sentence fragment.
pub(super) fn select(
    configuration: &Configuration,
    route: Option<&str>,
    consumer: Option<&str>,
) -> Result<Selected, String> {
    let consumer = consumer.map(|name| find_consumer(configuration, name)).transpose()?;
    let is_named = |entity: &EntityRef| {
        route.is_none_or(|name| [&entity.id, &entity.name].into_iter().flatten().any(|known| known == name))
    };
    let routes = configuration.routes.iter().map(|route| {
        let entity = EntityRef { id: Some(route.stored.id.clone()), name: route.name.clone() };
        (Scope { route: Some(entity), service: route.service.clone(), ..Scope::default() }, route.protocols.clone())
    });
    let apis = configuration.apis.iter().map(|api| {
        let entity = EntityRef { id: api.id.clone(), name: api.name.clone() };
        (Scope { api: Some(entity), ..Scope::default() }, vec![Protocol::Http, Protocol::Https])
    });
    let is_selected = |(scope, _): &(Scope, _)| scope.route.as_ref().or(scope.api.as_ref()).is_some_and(is_named);
    let mut scopes: Vec<_> = routes.chain(apis).filter(is_selected).collect();
    match route {
        Some(name) if scopes.is_empty() => return Err(format!("there is no route `{name}`")),
        Some(_) => {}
        None => scopes.push((Scope::default(), Protocol::ALL.to_vec())),
    }
    for (scope, _) in &mut scopes {
        scope.consumer.clone_from(&consumer);
    }
    Ok(Selected { scopes, consumer })
}

fn find_consumer(configuration: &Configuration, name: &str) -> Result<EntityRef, String> {
    let named = |id: &Option<String>| id.as_deref() == Some(name);
    let mut all = configuration.consumers.iter();
    let found = all.find(|consumer| named(&consumer.username) || named(&consumer.id));
    let found = found.ok_or_else(|| format!("there is no consumer `{name}`"))?;
    Ok(EntityRef { id: found.id.clone(), name: found.username.clone() })
}

impl Selected {
    /// The plans.
    pub(super) fn plans(self, planner: &Planner) -> Plans {
        let rows = self.scopes.into_iter().flat_map(|(scope, protocols)| rows(planner, &scope, &protocols)).collect();
        Plans { rows, consumer: self.consumer }
    }
}

/// The plans of `scope`, one for each group of protocols that have the same.
fn rows(planner: &Planner, scope: &Scope, protocols: &[Protocol]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for protocol in protocols {
        let steps = planner.plan_of(scope, *protocol).to_vec();
        match rows.iter_mut().find(|row| row.steps == steps) {
            Some(row) => row.protocols.push(protocol.name()),
            None => rows.push(Row { scope: scope.clone(), protocols: vec![protocol.name()], steps }),
        }
    }
    let has_route = scope.route.is_some() || scope.api.is_some();
    // What no transaction without a route need be told of.
    if !has_route && rows.len() > 1 {
        rows.retain(|row| !row.steps.is_empty());
    }
    if let [row] = &mut *rows {
        row.protocols.clear();
    }
    rows
}

impl Row {
    /// What it is for, such as: route `orders` of service `shop` (https).
    pub(super) fn title(&self) -> String {
        let Scope { route, service, api, .. } = &self.scope;
        let mut title = match (route, api) {
            (Some(route), _) => format!("route `{}`", route.label()),
            (_, Some(api)) => format!("api `{}`", api.label()),
            _ => "no route".to_owned(),
        };
        if let Some(service) = service {
            let _ = write!(title, " of service `{}`", service.label());
        }
        if !self.protocols.is_empty() {
            let _ = write!(title, " ({})", self.protocols.join(", "));
        }
        title
    }

    pub(super) fn json(&self, shown: &Shown) -> Value {
        let Scope { route, service, consumer, api, .. } = &self.scope;
        let label = |entity: &Option<EntityRef>| entity.as_ref().map(|entity| entity.label().to_owned());
        let step = |at: &usize| {
            let step = &shown.program.steps[*at];
            let snippets: Vec<String> = step.parts.iter().map(|part| part.name()).collect();
            json!({
                "plugin": step.definition.name, "instance_name": step.instance_name, "id": step.id,
                "priority": step.definition.priority, "scope": step.scope.to_string(),
                "has_condition": step.condition.is_some(), "snippets": snippets,
                "output": shown.outputs[*at].as_ref().map(|output| &output.id),
            })
        };
        json!({
            "route": label(route), "service": label(service), "api": label(api), "consumer": label(consumer),
            "protocols": self.protocols, "plugins": self.steps.iter().map(step).collect::<Vec<_>>(),
        })
    }
}

/// Rows with the same plan, under one heading each: a gateway has many routes and few plans.
pub(super) fn grouped(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    let mut by_steps = std::collections::HashMap::new();
    for row in rows {
        let at = *by_steps.entry(&row.steps).or_insert(groups.len());
        if at == groups.len() {
            groups.push(Vec::new());
        }
        groups[at].push(row);
    }
    groups
}

/// The plans as tables.
pub(super) fn text(shown: &Shown) -> String {
    let mut text = String::new();
    if let Some(consumer) = &shown.plans.consumer {
        let _ = writeln!(text, "for consumer `{}`:\n", consumer.label());
    }
    for (at, rows) in grouped(&shown.plans.rows).into_iter().enumerate() {
        text.push_str(if at > 0 { "\n" } else { "" });
        for row in &rows {
            let _ = writeln!(text, "{}", row.title());
        }
        if rows[0].steps.is_empty() {
            text.push_str("  no plugin\n");
        }
        for (order, step) in rows[0].steps.iter().enumerate() {
            let _ = writeln!(text, "  {:>2}  {}", order + 1, plugin(shown, *step));
        }
    }
    if !shown.mesh_outputs.is_empty() {
        text.push_str("\naccess logs of meshes, as their policies say\n");
    }
    for output in &shown.mesh_outputs {
        let _ = writeln!(text, "      {}", delivery(output));
    }
    let scoped = scoped(shown);
    if !scoped.is_empty() {
        let _ = writeln!(text, "\n{OF_SOME}");
    }
    for at in scoped {
        let _ = writeln!(text, "      {}", plugin(shown, at));
    }
    text
}

/// The line of a plugin: its name, when it runs, and where its messages go.
fn plugin(shown: &Shown, at: usize) -> String {
    let step = &shown.program.steps[at];
    let condition = if step.condition.is_some() { ", if its condition holds" } else { "" };
    let to = shown.outputs[at].as_ref().map(|output| format!("  {}", delivery(output))).unwrap_or_default();
    let when = format!("{}{condition}", step.scope);
    let line = format!("{:<24} {when:<24}{to}", step.label);
    line.trim_end().to_owned()
}

fn delivery(output: &Output) -> String {
    format!("-> queue ({}) -> {}", output.storage(), output.title())
}

/// What the plugins in [`scoped`] are.
pub(super) const OF_SOME: &str = "of consumers and their groups only (--consumer NAME shows their plans)";

/// The plugins of consumers and groups, which no plan has that is not of a consumer.
pub(super) fn scoped(shown: &Shown) -> Vec<usize> {
    if shown.plans.consumer.is_some() {
        return Vec::new();
    }
    let steps = shown.program.steps.iter().enumerate();
    let of_some = steps.filter(|(_, step)| step.scope.consumer.is_some() || step.scope.consumer_group.is_some());
    of_some.map(|(at, _)| at).collect()
}
