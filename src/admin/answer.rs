//! Answers requests: what each method does to what a path names.

use hyper::{Method, StatusCode};
use logphase_config::schema::{Record, is_uuid};
use serde_json::{Map, Value, json};

use super::access::Caller;
use super::body::{self, Body};
use super::error::{ApiError, ApiResult};
use super::kind::{self, Kind, MEMBERSHIPS};
use super::list::{self, Query};
use super::node::{self, Node};
use super::read::Names;
use super::route::{Below, Target, endpoints};
use super::state::State;
use super::tables::{Entity, Tables, reference};
use super::write::{check_key, id_of};
use super::{config, old, openapi, schemas, secrets, upstreams};
use crate::plugin;

/// A request, with its body read.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The query, as it is in the URL.
    pub(crate) query: String,
    pub(crate) body: Body,
    pub(crate) caller: Caller,
}

/// An answer: its status, and its body if it has one.
pub(crate) type Answer = (StatusCode, Option<Value>);

fn ok(value: Value) -> ApiResult<Answer> {
    Ok((StatusCode::OK, Some(value)))
}

const NO_CONTENT: ApiResult<Answer> = Ok((StatusCode::NO_CONTENT, None));

/// Answers `call`, whose method is one of those of `target`. Blocks.
pub(crate) fn answer(state: &State, node: &Node, target: Target, call: Call) -> ApiResult<Answer> {
    let get = call.method == Method::GET || call.method == Method::HEAD;
    if !get {
        state.refresh();
    }
    match target {
        Target::Node => ok(node.info(state)),
        Target::Status => node.status(state, &call.query).and_then(ok),
        Target::Timers => ok(node::timers()),
        Target::Endpoints => ok(json!({"data": endpoints()})),
        Target::OpenApi => ok(openapi::description()),
        Target::EnabledPlugins => ok(json!({"enabled_plugins": schemas::plugin_names()})),
        Target::Schema(name) => schemas::entity(&name).and_then(ok),
        Target::PluginSchema(name) => schemas::plugin(&name).and_then(ok),
        Target::VaultSchema(name) => schemas::vault(&name).and_then(ok),
        Target::FilterSchema(name) => Err(ApiError::plain(StatusCode::NOT_FOUND, format!("Filter '{name}' not found"))),
        Target::OldPluginSchema(name) => schemas::plugin_config(&name).and_then(ok),
        Target::Validate(name) => schemas::validate(state, &name, &call).and_then(ok),
        Target::Config if get => config::show(state, &call.caller).and_then(ok),
        Target::Config => config::load(state, &call),
        Target::Tags | Target::Tag(_) if !get => Err(list::no_tags()),
        Target::Tags => list::tags(&state.tables(), &Query::parse(&call.query), None, "/tags").and_then(ok),
        Target::Tag(tag) => {
            let path = format!("/tags/{}", list::escaped(&tag));
            list::tags(&state.tables(), &Query::parse(&call.query), Some(&tag), &path).and_then(ok)
        }
        Target::Cache => NO_CONTENT,
        Target::CacheKey if get => Err(ApiError::not_found()),
        Target::CacheKey => NO_CONTENT,
        Target::Clustering => {
            let message = "this endpoint is only available when Kong is configured to run as a control plane";
            Err(ApiError::plain(StatusCode::BAD_REQUEST, message))
        }
        Target::FilterChains => {
            let message = "this endpoint is only available when wasm is enabled";
            Err(ApiError::plain(StatusCode::BAD_REQUEST, message))
        }
        Target::LogLevel => ok(node.log_level()),
        Target::SetLogLevel(level) => node.set_log_level(state, &level, &call).and_then(ok),
        Target::Upstream(key, path) => upstreams::answer(state, node, (&key, &path), &call),
        Target::Old(target) => old::answer(state, target, call),
        Target::Collection(kind) => collection(state, kind, call),
        Target::Entity(kind, key) => entity(state, kind, &key, call),
        Target::Children(below) => children(state, &below, call),
        Target::Child(below, key) => child(state, &below, &key, call),
        Target::Referenced(kind, key, field, target) => referenced(state, (kind, &key), (field, target), call),
        Target::Members(kind, key, other) => members(state, (kind, &key), other, call),
        Target::Member(kind, key, other, member) => self::member(state, (kind, &key), (other, &member), call),
    }
}

/// An entity as the answer to `caller` shows it.
pub(super) fn shown(caller: &Caller, tables: &Tables, kind: &'static Kind, entity: &Entity) -> Value {
    let mut shown = secrets::shown(caller, kind, entity);
    if kind.name == "certificates" {
        let snis = kind::find("snis").expect("SNIs are a kind");
        let ids = tables.referring(snis, "certificate", &id_of(entity));
        let names = ids.into_iter().flatten().filter_map(|id| tables.get(snis, id)?["name"].as_str());
        let names: std::collections::BTreeSet<&str> = names.collect();
        shown.insert("snis".to_owned(), names.into_iter().map(Value::from).collect());
    }
    Value::Object(shown)
}

/// The members of the body, whose types are those of `kind`. `plugin` is the name of the plugin that a PATCH changes.
pub(crate) fn members_of(kind: &'static Kind, body: Body, plugin: Option<&str>) -> ApiResult<Map<String, Value>> {
    match body {
        Body::None | Body::Yaml(_) => Ok(Map::new()),
        Body::Json(members) => Ok(members),
        Body::Form(pairs) => {
            let config = |name: Option<&str>| -> Option<&'static Record> {
                Some(plugin::find(name.or(plugin)?)?.schema).filter(|_| kind.is_plugins())
            };
            let decoded = body::decode_form(&pairs, (kind.record)(), &config);
            decoded.map_err(|error| ApiError::plain(error.status(), error.to_string()))
        }
    }
}

fn collection(state: &State, kind: &'static Kind, call: Call) -> ApiResult<Answer> {
    let caller = &call.caller;
    if call.method != Method::POST {
        let tables = state.tables();
        let path = format!("/{}", kind.path);
        let show = |entity: &Entity| shown(caller, &tables, kind, entity);
        return list::collection(kind, &tables, &Query::parse(&call.query), &path, &show).and_then(ok);
    }
    let body = members_of(kind, call.body, None)?;
    created(state, caller, kind, body)
}

fn created(state: &State, caller: &Caller, kind: &'static Kind, body: Map<String, Value>) -> ApiResult<Answer> {
    let refuse = || ApiError::read_only("create", kind, None);
    let entity = state.write(caller, Names::Current, refuse, |writer, _| writer.create(kind, body.clone()))?;
    Ok((StatusCode::CREATED, Some(shown(caller, &state.tables(), kind, &entity))))
}

/// The entity that a path names.
pub(super) fn found<'a>(tables: &'a Tables, kind: &'static Kind, key: &str) -> ApiResult<&'a Entity> {
    check_key(kind, key)?;
    tables.find(kind, key).ok_or_else(|| unknown(kind, key))
}

/// The error of a path whose entity does not exist. A certificate that is not named by its id is named by an SNI.
fn unknown(kind: &Kind, key: &str) -> ApiError {
    match kind.name {
        "certificates" if !is_uuid(key) => ApiError::plain(StatusCode::NOT_FOUND, "SNI not found"),
        _ => ApiError::not_found(),
    }
}

/// The error of an update of an entity that does not exist.
fn missing(kind: &Kind, key: &str) -> ApiError {
    if is_uuid(key) { ApiError::missing(key) } else { ApiError::missing_by(kind.key, key) }
}

/// The second key, for the texts of a node without a database.
fn by_key(kind: &Kind, key: &str) -> Option<&'static str> {
    (!is_uuid(key) && !kind.key.is_empty()).then_some(kind.key)
}

fn entity(state: &State, kind: &'static Kind, key: &str, call: Call) -> ApiResult<Answer> {
    let caller = &call.caller;
    if kind.name == "certificates" && !is_uuid(key) {
        return certificate(state, kind, key, call);
    }
    match call.method {
        Method::PUT => {
            let mut body = members_of(kind, call.body, None)?;
            if kind.name == "certificates" {
                // Without names, it has none.
                body.entry("snis").or_insert_with(|| json!([]));
            }
            put_key(kind, key, &mut body)?;
            replaced(state, caller, kind, key, body)
        }
        Method::PATCH => {
            let name = plugin_name(state, kind, key);
            if kind.is_plugins() && name.is_none() && !names_plugin(&call.body) {
                return Err(ApiError::not_found());
            }
            let body = members_of(kind, call.body, name.as_deref())?;
            updated(state, caller, kind, key, body, &|_| true)
        }
        Method::DELETE => deleted(state, caller, kind, key, &|_| true),
        _ => {
            let tables = state.tables();
            let entity = found(&tables, kind, key)?;
            let shown = shown(caller, &tables, kind, entity);
            if kind.name == "consumer_groups" { group(&tables, caller, key, shown, &call.query) } else { ok(shown) }
        }
    }
}

/// A consumer group with its consumers, in the form of Kong Gateway Enterprise, which decK reads.
fn group(tables: &Tables, caller: &Caller, key: &str, shown: Value, query: &str) -> ApiResult<Answer> {
    let mut answer = json!({ "consumer_group": shown });
    let is_alone =
        form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "list_consumers" && value == "false");
    if !is_alone {
        let groups = kind::find("consumer_groups").expect("consumer groups are a kind");
        let consumers = kind::find("consumers").expect("consumers are a kind");
        let members = sides(tables, (groups, key), consumers)?;
        answer["consumers"] =
            members.iter().map(|(_, member)| self::shown(caller, tables, consumers, member)).collect();
    }
    ok(answer)
}

/// The certificate with the SNI `sni`. A PUT makes one that has it, if there is none.
fn certificate(state: &State, kind: &'static Kind, sni: &str, mut call: Call) -> ApiResult<Answer> {
    let id = state.tables().find(kind, sni).map(|certificate| id_of(certificate));
    if call.method != Method::PUT {
        return entity(state, kind, &id.ok_or_else(|| unknown(kind, sni))?, call);
    }
    let mut body = members_of(kind, std::mem::replace(&mut call.body, Body::None), None)?;
    let snis = body.entry("snis").or_insert_with(|| json!([]));
    if let Some(snis) = snis.as_array_mut().filter(|snis| !snis.iter().any(|name| name == sni)) {
        snis.push(sni.into());
    }
    let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    entity(state, kind, &id, Call { body: Body::Json(body), ..call })
}

/// Puts the key of the path into `body`: it wins over the body's.
fn put_key(kind: &'static Kind, key: &str, body: &mut Map<String, Value>) -> ApiResult<()> {
    check_key(kind, key)?;
    if is_uuid(key) {
        body.insert("id".to_owned(), key.to_ascii_lowercase().into());
    } else {
        body.insert(kind.key.to_owned(), key.into());
    }
    Ok(())
}

fn plugin_name(state: &State, kind: &'static Kind, key: &str) -> Option<String> {
    let tables = state.tables();
    let name = tables.find(kind, key).filter(|_| kind.is_plugins())?.get("name")?;
    name.as_str().map(str::to_owned)
}

fn names_plugin(body: &Body) -> bool {
    match body {
        Body::Json(members) => members.contains_key("name"),
        Body::Form(pairs) => pairs.iter().any(|(name, _)| name == "name"),
        Body::None | Body::Yaml(_) => false,
    }
}

fn replaced(
    state: &State,
    caller: &Caller,
    kind: &'static Kind,
    key: &str,
    body: Map<String, Value>,
) -> ApiResult<Answer> {
    let refuse = || ApiError::read_only("create or update", kind, by_key(kind, key));
    let entity = state.write(caller, Names::Current, refuse, |writer, tables| {
        let mut body = body.clone();
        let existing = tables.find(kind, key);
        if let Some(existing) = existing {
            body.insert("id".to_owned(), existing["id"].clone());
            secrets::unmask(kind, &mut body, existing);
        }
        writer.replace(kind, body, existing)
    })?;
    ok(shown(caller, &state.tables(), kind, &entity))
}

/// Changes the entity at `key`, if `is_there` says that it is there for this path.
fn updated(
    state: &State,
    caller: &Caller,
    kind: &'static Kind,
    key: &str,
    body: Map<String, Value>,
    is_there: &dyn Fn(&Entity) -> bool,
) -> ApiResult<Answer> {
    let refuse = || ApiError::read_only("update", kind, by_key(kind, key));
    let entity = state.write(caller, Names::Current, refuse, |writer, tables| {
        check_key(kind, key)?;
        let existing = tables.find(kind, key).ok_or_else(|| missing(kind, key))?;
        if !is_there(existing) {
            return Err(ApiError::not_found());
        }
        let mut body = body.clone();
        secrets::unmask(kind, &mut body, existing);
        writer.update(kind, existing, body)
    })?;
    ok(shown(caller, &state.tables(), kind, &entity))
}

/// Deletes the entity at `key`; one that is not there is deleted already.
fn deleted(
    state: &State,
    caller: &Caller,
    kind: &'static Kind,
    key: &str,
    is_there: &dyn Fn(&Entity) -> bool,
) -> ApiResult<Answer> {
    {
        let tables = state.tables();
        check_key(kind, key)?;
        match tables.find(kind, key) {
            None => return NO_CONTENT,
            Some(entity) if !is_there(entity) => return Err(ApiError::not_found()),
            Some(_) => {}
        }
    }
    let refuse = || ApiError::read_only("remove", kind, by_key(kind, key));
    state.write(caller, Names::Current, refuse, |writer, tables| match tables.find(kind, key) {
        Some(entity) => writer.delete(kind, entity),
        None => Ok(()),
    })?;
    NO_CONTENT
}

/// The id of the parent that a path names.
fn parent_id(state: &State, below: &Below) -> ApiResult<String> {
    found(&state.tables(), below.parent, &below.key).map(|parent| id_of(parent))
}

fn children(state: &State, below: &Below, call: Call) -> ApiResult<Answer> {
    let caller = &call.caller;
    let (id, kind) = (parent_id(state, below)?, below.kind);
    if call.method != Method::POST {
        let tables = state.tables();
        let path = format!("/{}/{}/{}", below.parent.path, list::escaped(&below.key), kind.nested);
        let query = Query::parse(&call.query);
        if kind.name == "targets" {
            return upstreams::list_of_targets(&tables, caller, &id, &query, &path).and_then(ok);
        }
        let show = |entity: &Entity| shown(caller, &tables, kind, entity);
        return list::children((kind, below.field), &id, &tables, &query, &path, &show).and_then(ok);
    }
    let mut body = members_of(kind, call.body, None)?;
    body.insert(below.field.to_owned(), json!({ "id": id }));
    created(state, caller, kind, body)
}

fn child(state: &State, below: &Below, key: &str, call: Call) -> ApiResult<Answer> {
    let caller = &call.caller;
    let (id, kind) = (parent_id(state, below)?, below.kind);
    let named = named_below(state, below, &id, key);
    let key = named.as_deref().unwrap_or(key);
    let is_there = |entity: &Entity| reference(entity, below.field) == Some(&id);
    let is_known = state.tables().find(kind, key).is_some_and(is_there);
    match call.method {
        Method::PUT => {
            if !is_known && (kind.name == "targets" || state.tables().find(kind, key).is_some()) {
                return Err(ApiError::not_found());
            }
            let mut body = members_of(kind, call.body, None)?;
            if kind.name == "targets" {
                // Kong changes a target by PUT as by PATCH.
                return updated(state, caller, kind, key, body, &is_there);
            }
            if kind.name == "acls" && !is_uuid(key) {
                body.insert("group".to_owned(), key.into());
                body.insert(below.field.to_owned(), json!({ "id": id }));
                return replaced(state, caller, kind, &uuid::Uuid::new_v4().to_string(), body);
            }
            put_key(kind, key, &mut body)?;
            body.insert(below.field.to_owned(), json!({ "id": id }));
            replaced(state, caller, kind, key, body)
        }
        _ if !is_known => Err(ApiError::not_found()),
        Method::PATCH => {
            let name = plugin_name(state, kind, key);
            let body = members_of(kind, call.body, name.as_deref())?;
            updated(state, caller, kind, key, body, &is_there)
        }
        Method::DELETE => deleted(state, caller, kind, key, &is_there),
        _ => {
            let tables = state.tables();
            let entity = found(&tables, kind, key)?;
            ok(shown(caller, &tables, kind, entity))
        }
    }
}

/// The id of the entity that `key` names below the entity `id` alone: a target, which other upstreams may have too, or a consumer's group
/// of the plugin acl (kong/plugins/acl/api.lua).
fn named_below(state: &State, below: &Below, id: &str, key: &str) -> Option<String> {
    let field = match below.kind.name {
        "targets" => "target",
        "acls" => "group",
        _ => return None,
    };
    if is_uuid(key) {
        return None;
    }
    let tables = state.tables();
    let mut ids = tables.referring(below.kind, below.field, id).into_iter().flatten();
    ids.find(|id| tables.get(below.kind, id).is_some_and(|entity| entity[field] == key)).cloned()
}

/// The entity that another one refers to by `field`.
fn referenced(
    state: &State,
    (kind, key): (&'static Kind, &str),
    (field, target): (&'static str, &'static Kind),
    call: Call,
) -> ApiResult<Answer> {
    let caller = &call.caller;
    let (id, referring) = {
        let tables = state.tables();
        let entity = found(&tables, kind, key)?;
        (reference(entity, field).map(str::to_owned), id_of(entity))
    };
    match (call.method, id) {
        (Method::PUT, id) => {
            let mut body = members_of(target, call.body, None)?;
            let is_new = id.is_none();
            let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            body.insert("id".to_owned(), id.as_str().into());
            let refuse = || ApiError::read_only("create or update", target, None);
            let entity = state.write(caller, Names::Current, refuse, |writer, tables| {
                let mut body = body.clone();
                let existing = tables.get(target, &id);
                if let Some(existing) = existing {
                    secrets::unmask(target, &mut body, existing);
                }
                let entity = writer.replace(target, body, existing)?;
                if is_new && let Some(referring) = tables.get(kind, &referring) {
                    let link = Map::from_iter([(field.to_owned(), json!({ "id": id }))]);
                    writer.update(kind, referring, link)?;
                }
                Ok(entity)
            })?;
            ok(shown(caller, &state.tables(), target, &entity))
        }
        (_, None) => Err(ApiError::not_found()),
        (Method::DELETE, Some(_)) => Err(ApiError::plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")),
        (Method::PATCH, Some(id)) => {
            let body = members_of(target, call.body, None)?;
            updated(state, caller, target, &id, body, &|_| true)
        }
        (_, Some(id)) => {
            let tables = state.tables();
            let entity = found(&tables, target, &id)?;
            ok(shown(caller, &tables, target, entity))
        }
    }
}

fn memberships() -> &'static Kind {
    kind::find(MEMBERSHIPS).expect("memberships are a kind")
}

/// The memberships of the entity at `key`, each with the entity of `other` at its other side.
fn sides<'a>(
    tables: &'a Tables,
    (kind, key): (&'static Kind, &str),
    other: &'static Kind,
) -> ApiResult<Vec<(&'a Entity, &'a Entity)>> {
    let id = id_of(found(tables, kind, key)?);
    let ids = tables.referring(memberships(), kind.singular, &id).into_iter().flatten();
    let both = ids.filter_map(|id| {
        let membership = tables.get(memberships(), id)?;
        Some((membership, tables.get(other, reference(membership, other.singular)?)?))
    });
    Ok(both.collect())
}

/// The consumers of a group, or the groups of a consumer, in the form of Kong Gateway Enterprise.
fn members(state: &State, (kind, key): (&'static Kind, &str), other: &'static Kind, call: Call) -> ApiResult<Answer> {
    let caller = &call.caller;
    if call.method != Method::POST {
        let tables = state.tables();
        let all = sides(&tables, (kind, key), other)?;
        let data: Vec<Value> = all.iter().map(|(_, entity)| shown(caller, &tables, other, entity)).collect();
        return ok(json!({"data": data, "next": null}));
    }
    let body = match call.body {
        Body::Form(pairs) => pairs.into_iter().map(|(name, value)| (name, value.unwrap_or_default().into())).collect(),
        body => members_of(other, body, None)?,
    };
    let names = [other.singular, "group", "id"];
    let Some(wanted) = names.iter().find_map(|name| body.get(*name)?.as_str()).map(str::to_owned) else {
        return Err(ApiError::schema(json!({ other.singular: "required field missing" })));
    };
    let refuse = || ApiError::read_only("create", memberships(), None);
    let (one, member) = state.write(caller, Names::Current, refuse, |writer, tables| {
        let one = found(tables, kind, key)?;
        let member = found(tables, other, &wanted)?;
        let body = json!({kind.singular: {"id": one["id"]}, other.singular: {"id": member["id"]}});
        let Value::Object(body) = body else { unreachable!("it is an object") };
        writer.create(memberships(), body)?;
        Ok((one.clone(), member.clone()))
    })?;
    let tables = state.tables();
    let (one, member) = (shown(caller, &tables, kind, &one), shown(caller, &tables, other, &member));
    let answer = match kind.name {
        "consumers" => json!({"consumer": one, "consumer_groups": [member]}),
        _ => json!({"consumer_group": one, "consumers": [member]}),
    };
    Ok((StatusCode::CREATED, Some(answer)))
}

fn member(
    state: &State,
    (kind, key): (&'static Kind, &str),
    (other, wanted): (&'static Kind, &str),
    call: Call,
) -> ApiResult<Answer> {
    let caller = &call.caller;
    let (membership, entity) = {
        let tables = state.tables();
        let all = sides(&tables, (kind, key), other)?;
        let is_wanted = |entity: &Entity| {
            id_of(entity) == wanted.to_ascii_lowercase()
                || entity.get(other.key).and_then(Value::as_str) == Some(wanted)
        };
        let (membership, entity) =
            all.into_iter().find(|(_, entity)| is_wanted(entity)).ok_or_else(ApiError::not_found)?;
        (membership.clone(), shown(caller, &tables, other, entity))
    };
    if call.method != Method::DELETE {
        return ok(entity);
    }
    let refuse = || ApiError::read_only("remove", memberships(), None);
    state.write(caller, Names::Current, refuse, |writer, _| writer.delete(memberships(), &membership))?;
    NO_CONTENT
}
