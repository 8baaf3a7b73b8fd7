//! What Kong's Admin API has for upstreams beyond their entities: lists of targets in Kong's order, and health, of which nothing is
//! checked here (kong/api/routes/upstreams.lua).

use hyper::StatusCode;
use serde_json::{Value, json};

use super::access::Caller;
use super::answer::{Answer, Call, found, shown};
use super::error::{ApiError, ApiResult};
use super::kind::{self, Kind};
use super::list::{Query, escaped};
use super::node::Node;
use super::state::State;
use super::tables::{Entity, Tables};
use super::write::id_of;

/// What a path below an upstream names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UpstreamPath {
    /// `/upstreams/KEY/health`
    Health,
    /// `/upstreams/KEY/targets/all`
    AllTargets,
    /// `/upstreams/KEY/targets/KEY/healthy`, `.../unhealthy`, `/upstreams/KEY/targets/KEY/ADDRESS/healthy`, ...
    SetHealth(String),
}

impl UpstreamPath {
    /// What the segments of a path behind the upstream's key name.
    pub(crate) fn of(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            ["health"] => Self::Health,
            ["targets", "all"] => Self::AllTargets,
            ["targets", target, "healthy" | "unhealthy"] | ["targets", target, _, "healthy" | "unhealthy"] => {
                Self::SetHealth((*target).to_owned())
            }
            _ => return None,
        })
    }

    /// The methods that it has, sorted.
    pub(crate) fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Health | Self::AllTargets => &["GET", "HEAD", "OPTIONS"],
            Self::SetHealth(_) => &["OPTIONS", "PUT"],
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
        UpstreamPath::SetHealth(target) => return Err(unhealthy(&tables, upstream, target)),
    };
    Ok((StatusCode::OK, Some(body)))
}

/// Why the health of `target` cannot be set: there is none, or nothing that sends requests to it.
fn unhealthy(tables: &Tables, upstream: &Entity, target: &str) -> ApiError {
    let is_it = |entity: &&Entity| id_of(entity) == target.to_ascii_lowercase() || entity["target"] == target;
    if !newest_first(tables, &id_of(upstream)).iter().any(is_it) {
        return ApiError::not_found();
    }
    let name = upstream["name"].as_str().unwrap_or_default();
    ApiError::plain(StatusCode::BAD_REQUEST, format!("Upstream {name} has no balancer"))
}

/// The targets of an upstream, or the upstream itself, with the health that Kong shows of what it does not check.
fn health(
    tables: &Tables,
    node: &Node,
    (key, upstream): (&str, &Entity),
    query: &Query,
    call: &Call,
) -> ApiResult<Value> {
    const UNCHECKED: &str = "HEALTHCHECKS_OFF";
    let of_balancer =
        form_urlencoded::parse(call.query.as_bytes()).any(|(name, value)| name == "balancer_health" && value == "1");
    if of_balancer {
        let data = json!({"id": upstream["id"], "health": UNCHECKED});
        return Ok(json!({"data": data, "next": null, "node_id": node.id()}));
    }
    let path = format!("/upstreams/{}/health", escaped(key));
    let with_health = |entity: &Entity| {
        let mut shown = shown(&call.caller, tables, targets(), entity);
        shown["health"] = UNCHECKED.into();
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
