//! What a write would do, without doing it: it is answered as any write, by a state that keeps the changes to itself.

mod difference;
mod reach;

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::access::Caller;
use super::answer::{self, Call};
use super::body::Body;
use super::error::{ApiError, ApiResult};
use super::node::Node;
use super::route::Target;
use super::state::State;
use super::tables::{Change, Tables};
use super::{config, secrets};
use difference::Difference;

/// Routes that are named, at most.
const MAX_ROUTES: usize = 100;

/// A change: what was there, and what comes.
pub(super) type Step = (Change, Change);

/// A request that is planned.
struct Wanted {
    method: Method,
    target: Target,
    query: String,
    body: Body,
}

impl Wanted {
    /// Reads `{"method", "path", "body"}`.
    ///
    /// # Errors
    /// It is none, in words for whoever wrote the request.
    fn read(request: &[u8]) -> Result<Result<Self, ApiError>, String> {
        let request: Value =
            serde_json::from_slice(request).map_err(|error| format!("the body is no JSON: {error}"))?;
        let text = |name: &str| request.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is missing"));
        let (method, path) = (text("method")?, text("path")?);
        let method = ["POST", "PUT", "PATCH", "DELETE"].iter().find(|known| **known == method);
        let method = method.ok_or("`method` is one of POST, PUT, PATCH and DELETE")?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = match request.get("body") {
            None | Some(Value::Null) => Body::None,
            Some(Value::Object(members)) => Body::Json(members.clone()),
            Some(Value::String(text)) => Body::Yaml(text.clone()),
            Some(_) => return Err("`body` is an object, or the text of a declarative file".to_owned()),
        };
        let Some(target) = Target::of(path) else { return Ok(Err(ApiError::not_found())) };
        if !target.methods().contains(method) {
            return Ok(Err(ApiError::plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")));
        }
        let method = method.parse().map_err(|_| "`method` is no method".to_owned())?;
        Ok(Ok(Self { method, target, query: query.to_owned(), body }))
    }
}

/// What the request `request` of `caller` to `state` would do. Blocks.
///
/// # Errors
/// It is no request that could be planned.
pub(super) fn plan(state: &Arc<State>, node: &Node, request: &[u8], caller: &Caller) -> Result<Value, String> {
    let wanted = Wanted::read(request)?;
    let before = state.tables();
    Ok(match wanted.and_then(|wanted| steps(state, node, wanted, caller)) {
        Ok(steps) => shown(&before, &steps, caller),
        Err(error) => {
            let mut plan = shown(&before, &[], caller);
            plan["error"] = error.body;
            plan["status"] = error.status.as_u16().into();
            plan
        }
    })
}

/// The changes of a request.
fn steps(state: &Arc<State>, node: &Node, wanted: Wanted, caller: &Caller) -> ApiResult<Vec<Step>> {
    let Wanted { method, target, query, body } = wanted;
    let call = Call { method, query, body, caller: caller.clone() };
    match target {
        Target::Config => config::plan(state, &call),
        Target::Old(_)
        | Target::Collection(_)
        | Target::Entity(..)
        | Target::Children(_)
        | Target::Child(..)
        | Target::Referenced(..)
        | Target::Members(..)
        | Target::Member(..) => {
            state.refresh();
            let rehearsal = state.rehearsal();
            answer::answer(&rehearsal, node, target, call)?;
            Ok(rehearsal.rehearsed())
        }
        _ => Err(ApiError::plain(StatusCode::BAD_REQUEST, "this changes no entity: there is nothing to plan")),
    }
}

/// The plan of `steps` on the entities `before`.
fn shown(before: &Tables, steps: &[Step], caller: &Caller) -> Value {
    let mut after = before.clone();
    after.apply(&steps.iter().map(|(_, new)| new.clone()).collect::<Vec<_>>());
    let mut difference = Difference::default();
    for (old, new) in steps {
        difference.add(old, new, &|kind, entity| secrets::shown(caller, kind, entity));
    }
    let routes = reach::routes(before, &after, steps);
    let named: Vec<Value> = routes.iter().take(MAX_ROUTES).map(|(id, name)| json!({"id": id, "name": name})).collect();
    let entity = |(old, new): &Step| {
        let change = match (&old.entity, &new.entity) {
            (None, _) => "create",
            (Some(_), Some(_)) => "update",
            (Some(_), None) => "delete",
        };
        let of = new.entity.as_ref().or(old.entity.as_ref());
        json!({"change": change, "kind": new.kind.name, "id": new.id, "name": of.and_then(|entity| name_of(entity))})
    };
    json!({
        "difference": difference.rows,
        "difference_total": difference.total,
        "entities": steps.iter().take(MAX_ROUTES).map(entity).collect::<Vec<_>>(),
        "entities_total": steps.len(),
        "routes": named,
        "routes_total": routes.len(),
        "plugins_before": reach::plugins(before),
        "plugins_after": reach::plugins(&after),
        "error": null,
    })
}

/// What people call an entity.
fn name_of(entity: &Map<String, Value>) -> Option<&str> {
    ["instance_name", "name", "username"].iter().find_map(|member| entity.get(*member)?.as_str())
}
