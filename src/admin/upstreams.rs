//! What Kong's Admin API has for upstreams beyond their entities: lists of targets in Kong's order, and health
//! (kong/api/routes/upstreams.lua). Nothing is sent to targets here: they are healthy until a request says otherwise.

use std::collections::HashSet;
use std::sync::Arc;

use hyper::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::access::Caller;
use super::address::Address;
use super::answer::{Answer, Call, found, shown};
use super::error::{ApiError, ApiResult};
use super::kind::{self, Kind};
use super::list::{Query, escaped};
use super::node::Node;
use super::state::State;
use super::tables::{Entity, Tables};
use super::write::id_of;
use crate::log::AUDIT_TARGET;

/// What a path below an upstream names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UpstreamPath {
    /// `/upstreams/KEY/health`
    Health,
    /// `/upstreams/KEY/targets/all`
    AllTargets,
    /// `/upstreams/KEY/targets/KEY/healthy`, `.../unhealthy`, `/upstreams/KEY/targets/KEY/ADDRESS/healthy`, ...
    SetHealth {
        /// The id of the target, or its address.
        target: String,
        /// What it is said to be.
        healthy: bool,
    },
}

impl UpstreamPath {
    /// What the segments of a path behind the upstream's key name.
    pub(crate) fn of(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            ["health"] => Self::Health,
            ["targets", "all"] => Self::AllTargets,
            ["targets", target, health @ ("healthy" | "unhealthy")]
            | ["targets", target, _, health @ ("healthy" | "unhealthy")] => {
                Self::SetHealth { target: (*target).to_owned(), healthy: *health == "healthy" }
            }
            _ => return None,
        })
    }

    /// The methods that it has, sorted.
    pub(crate) fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Health | Self::AllTargets => &["GET", "HEAD", "OPTIONS"],
            Self::SetHealth { .. } => &["OPTIONS", "PUT"],
        }
    }
}

/// The paths, as `/endpoints` lists them.
pub(crate) const PATHS: [&str; 6] = [
    "/upstreams/{upstreams}/health",
    "/upstreams/{upstreams}/targets/all",
    "/upstreams/{upstreams}/targets/{targets}/healthy",
    "/upstreams/{upstreams}/targets/{targets}/unhealthy",
    "/upstreams/{upstreams}/targets/{targets}/{address}/healthy",
    "/upstreams/{upstreams}/targets/{targets}/{address}/unhealthy",
];

fn upstreams() -> &'static Kind {
    kind::find("upstreams").expect("upstreams are a kind")
}

fn targets() -> &'static Kind {
    kind::find("targets").expect("targets are a kind")
}

/// Answers `call` to `path` below the upstream `key`.
///
/// # Errors
/// There is no such upstream or target, or what is asked for cannot be done.
pub(crate) fn answer(state: &State, node: &Node, (key, path): (&str, &UpstreamPath), call: &Call) -> ApiResult<Answer> {
    let tables = state.tables();
    let upstream = found(&tables, upstreams(), key)?;
    let query = Query::parse(&call.query);
    let body = match path {
        UpstreamPath::Health => health(&tables, node, (key, upstream), &query, call)?,
        UpstreamPath::AllTargets => {
            let of = |entity: &Entity| shown(&call.caller, &tables, targets(), entity);
            let path = format!("/upstreams/{}/targets/all", escaped(key));
            super::list::children((targets(), "upstream"), &id_of(upstream), &tables, &query, &path, &of)?
        }
        UpstreamPath::SetHealth { target, healthy } => {
            let is_it = |entity: &&Entity| id_of(entity) == target.to_ascii_lowercase() || entity["target"] == *target;
            let all = newest_first(&tables, &id_of(upstream));
            let entity = all.into_iter().find(is_it).ok_or_else(ApiError::not_found)?;
            if !is_checked(upstream) {
                let name = upstream["name"].as_str().unwrap_or_default();
                let message = format!("no healthchecker found for {name}");
                return Err(ApiError::plain(StatusCode::BAD_REQUEST, message));
            }
            node.health().set(&id_of(entity), *healthy);
            let what = if *healthy { "healthy" } else { "unhealthy" };
            tracing::info!(
                target: AUDIT_TARGET,
                "admin: the target {} of {key} is said to be {what} by {}",
                id_of(entity),
                call.caller
            );
            return Ok((StatusCode::NO_CONTENT, None));
        }
    };
    Ok((StatusCode::OK, Some(body)))
}

/// The targets that requests said to be unhealthy. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health(Arc<Mutex<HashSet<String>>>);

impl Health {
    fn set(&self, target: &str, healthy: bool) {
        let mut unhealthy = self.0.lock();
        if healthy {
            unhealthy.remove(target);
        } else {
            unhealthy.insert(target.to_owned());
        }
    }

    fn is_healthy(&self, target: &Entity) -> bool {
        !self.0.lock().contains(&id_of(target))
    }
}

const UNCHECKED: &str = "HEALTHCHECKS_OFF";

const fn word(healthy: bool) -> &'static str {
    if healthy { "HEALTHY" } else { "UNHEALTHY" }
}

/// Whether the health of the targets of `upstream` is to be checked (kong/runloop/balancer/healthcheckers.lua).
fn is_checked(upstream: &Entity) -> bool {
    let thresholds = [
        "active/healthy/interval",
        "active/unhealthy/interval",
        "passive/unhealthy/tcp_failures",
        "passive/unhealthy/timeouts",
        "passive/unhealthy/http_failures",
    ];
    let checks = upstream.get("healthchecks");
    let number = |path: &&str| checks?.pointer(&format!("/{path}"))?.as_f64();
    thresholds.iter().filter_map(number).any(|number| number != 0.0)
}

/// What Kong's balancer says of a target: its addresses, each with its health, and its weight.
fn of_balancer(target: &Entity, checked: bool, healthy: bool) -> Value {
    let weight = target.get("weight").and_then(Value::as_u64).unwrap_or_default();
    let text = target.get("target").and_then(Value::as_str).unwrap_or_default();
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let port = port.parse::<u16>().unwrap_or_default();
    let ip = match Address::parse(text) {
        Some(Address::Name("localhost", _)) => Some("127.0.0.1"),
        Some(Address::Name(..)) | None => None,
        Some(_) => Some(host),
    };
    let health = if checked && weight > 0 { word(healthy) } else { UNCHECKED };
    // Names are not resolved here.
    let addresses = ip.map(|ip| json!({"ip": ip, "port": port, "weight": weight, "health": health}));
    let unavailable = if healthy { 0 } else { weight };
    json!({
        "host": host,
        "port": port,
        "dns": "A",
        "nodeWeight": weight,
        "weight": {"total": weight, "unavailable": unavailable, "available": weight - unavailable},
        "addresses": addresses.into_iter().collect::<Vec<Value>>(),
    })
}

/// The health of the targets of an upstream, or of the upstream.
fn health(
    tables: &Tables,
    node: &Node,
    (key, upstream): (&str, &Entity),
    query: &Query,
    call: &Call,
) -> ApiResult<Value> {
    let checked = is_checked(upstream);
    let asks_for_upstream =
        form_urlencoded::parse(call.query.as_bytes()).any(|(name, value)| name == "balancer_health" && value == "1");
    if asks_for_upstream {
        let all = newest_first(tables, &id_of(upstream));
        let hosts: Vec<Value> =
            all.into_iter().map(|target| of_balancer(target, checked, node.health().is_healthy(target))).collect();
        let sum = |name: &str| hosts.iter().filter_map(|host| host["weight"][name].as_u64()).sum::<u64>();
        let (total, available) = (sum("total"), sum("available"));
        let threshold = upstream["healthchecks"]["threshold"].as_f64().unwrap_or_default();
        let healthy = available > 0 && available as f64 / total as f64 * 100.0 >= threshold;
        let weight = json!({"total": total, "available": available, "unavailable": total - available});
        let data = json!({
            "id": upstream["id"],
            "health": if checked { word(healthy) } else { UNCHECKED },
            "balancer_health": word(healthy),
            "details": {"healthy": healthy, "weight": weight, "hosts": hosts},
        });
        return Ok(json!({"data": data, "next": null, "node_id": node.id()}));
    }
    let path = format!("/upstreams/{}/health", escaped(key));
    let with_health = |entity: &Entity| {
        let mut shown = shown(&call.caller, tables, targets(), entity);
        let healthy = node.health().is_healthy(entity);
        let weighs = entity.get("weight").and_then(Value::as_u64).is_some_and(|weight| weight > 0);
        shown["health"] = if checked && weighs { word(healthy) } else { UNCHECKED }.into();
        shown["data"] = of_balancer(entity, checked, healthy);
        shown
    };
    let mut page = page(tables, &id_of(upstream), query, &path, &with_health)?;
    page["node_id"] = node.id().into();
    Ok(page)
}

/// The list of the targets of the upstream with the id `upstream`, for `caller`; `path` is that of the list.
///
/// # Errors
/// An argument is wrong.
pub(crate) fn list_of_targets(
    tables: &Tables,
    caller: &Caller,
    upstream: &str,
    query: &Query,
    path: &str,
) -> ApiResult<Value> {
    page(tables, upstream, query, path, &|entity| shown(caller, tables, targets(), entity))
}

/// The targets of an upstream, the newest first (kong/db/dao/targets.lua).
fn newest_first<'a>(tables: &'a Tables, upstream: &str) -> Vec<&'a Entity> {
    let ids = tables.referring(targets(), "upstream", upstream).into_iter().flatten();
    let mut all: Vec<&Entity> = ids.filter_map(|id| tables.get(targets(), id)).collect();
    let created = |entity: &Entity| entity.get("created_at").and_then(Value::as_f64).unwrap_or_default();
    all.sort_by(|left, right| created(right).total_cmp(&created(left)).then_with(|| id_of(right).cmp(&id_of(left))));
    all
}

/// A page of the targets of an upstream. Unlike those of other lists, its offset is a number.
fn page(
    tables: &Tables,
    upstream: &str,
    query: &Query,
    path: &str,
    show: &dyn Fn(&Entity) -> Value,
) -> ApiResult<Value> {
    let size = query.size()?;
    query.check_tags()?;
    let begin = match query.offset() {
        None => 0,
        Some(text) => text.parse().map_err(|_| ApiError::offset(text, "not a number"))?,
    };
    let all = newest_first(tables, upstream);
    let data: Vec<Value> = all.iter().skip(begin).take(size).map(|entity| show(entity)).collect();
    let end = begin.saturating_add(size);
    Ok(if all.len() > end {
        json!({"data": data, "next": format!("{path}?offset={end}"), "offset": end.to_string()})
    } else {
        json!({"data": data, "next": null})
    })
}
