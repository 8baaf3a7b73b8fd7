//! Fields of requests that stand for others, or decide about others.

use serde_json::{Map, Value, json};

use super::address;
use super::error::{ApiError, ApiResult};
use super::kind::Kind;

/// What the members of `body` that are given make of others, before the body is read by the schema.
///
/// # Errors
/// One of them is wrong; Kong says nothing else then.
pub(super) fn expand(kind: &Kind, body: &mut Map<String, Value>) -> ApiResult<()> {
    match kind.name {
        "upstreams" => algorithm(body),
        "targets" => return target(body),
        _ => {}
    }
    Ok(())
}

/// `algorithm` and `hash_on` of an upstream follow each other (`shorthand_fields` in kong/db/schema/entities/upstreams.lua).
fn algorithm(body: &mut Map<String, Value>) {
    let text = |body: &Map<String, Value>, name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    if matches!(text(body, "algorithm").as_deref(), Some("least-connections" | "latency")) {
        body.insert("hash_on".to_owned(), "none".into());
        return;
    }
    match (body.get("hash_on"), text(body, "hash_on").as_deref()) {
        (Some(Value::Null), _) => drop(body.insert("hash_on".to_owned(), "none".into())),
        (_, Some("none")) => drop(body.insert("algorithm".to_owned(), "round-robin".into())),
        (_, Some(_)) => drop(body.insert("algorithm".to_owned(), "consistent-hashing".into())),
        _ => {}
    }
}

/// A target is stored with its port (kong/db/dao/targets.lua).
fn target(body: &mut Map<String, Value>) -> ApiResult<()> {
    let Some(Value::String(target)) = body.get_mut("target") else { return Ok(()) };
    let wording = "Invalid target; not a valid hostname or ip address";
    *target = address::with_port(target).ok_or_else(|| ApiError::schema(json!({ "target": wording })))?;
    Ok(())
}
