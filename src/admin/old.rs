//! The paths of Kong before 1.0: `/apis`, the plugins of APIs, and `/plugins_configurations`. There is no code of Kong to go by any
//! more, only its documentation.
//!
//! Plugins have `value` in place of `config`, names without hyphens, and flat references (`api_id`, `consumer_id`); lists have a `total`.

use hyper::{Method, StatusCode};
use logphase_config::schema::is_uuid;
use serde_json::{Map, Value, json};

use super::access::Caller;
use super::answer::{Answer, Call, members_of};
use super::body::Body;
use super::error::{ApiError, ApiResult};
use super::kind::{self, Kind};
use super::list::Query;
use super::read::Names;
use super::secrets;
use super::state::State;
use super::tables::{Entity, Tables, reference};
use super::write::id_of;
use crate::entity::old_references;
use crate::plugin;

/// What a path of Kong before 1.0 names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Old {
    /// `/apis`
    Apis,
    /// `/apis/API`
    Api(String),
    /// `/apis/API/plugins`
    PluginsOfApi(String),
    /// `/apis/API/plugins/PLUGIN`, by name or id
    PluginOfApi(String, String),
    /// `/plugins_configurations`
    Plugins,
    /// `/plugins_configurations/ID`
    Plugin(String),
}

/// Members of an API that forms give as a list with commas.
const LISTS: [&str; 3] = ["hosts", "uris", "methods"];

impl Old {
    /// What the segments of a path name.
    pub(crate) fn of(segments: &[&str]) -> Option<Self> {
        let text = |text: &str| text.to_owned();
        Some(match segments {
            ["apis"] => Self::Apis,
            ["apis", api] => Self::Api(text(api)),
            ["apis", api, "plugins"] => Self::PluginsOfApi(text(api)),
            ["apis", api, "plugins", plugin] => Self::PluginOfApi(text(api), text(plugin)),
            ["plugins_configurations"] => Self::Plugins,
            ["plugins_configurations", id] => Self::Plugin(text(id)),
            _ => return None,
        })
    }

    /// The methods that it has, sorted.
    pub(crate) fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Apis | Self::PluginsOfApi(_) | Self::Plugins => &["GET", "HEAD", "OPTIONS", "POST", "PUT"],
            Self::Api(_) | Self::PluginOfApi(..) | Self::Plugin(_) => {
                &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"]
            }
        }
    }
}

fn apis() -> &'static Kind {
    kind::find("apis").expect("APIs are a kind")
}

fn plugins() -> &'static Kind {
    kind::find("plugins").expect("plugins are a kind")
}

/// Answers `call`, whose method is one of those of `target`. Blocks.
pub(crate) fn answer(state: &State, target: Old, call: Call) -> ApiResult<Answer> {
    let caller = call.caller.clone();
    let asked = Asked { state, caller: &caller };
    let (method, query) = (call.method.clone(), call.query.clone());
    let reads = matches!(method, Method::GET | Method::HEAD);
    match target {
        Old::Apis if reads => asked.list(apis(), &query, &|_| true),
        Old::Plugins if reads => asked.list(plugins(), &query, &|plugin| reference(plugin, "api").is_some()),
        Old::PluginsOfApi(api) if reads => {
            let api = asked.id_of_api(&api)?;
            asked.list(plugins(), &query, &|plugin| reference(plugin, "api") == Some(&api))
        }
        Old::Apis => asked.put(apis(), api_of(call.body)?, &method),
        Old::Plugins => asked.put(plugins(), plugin_of(call.body, None)?, &method),
        Old::PluginsOfApi(api) => {
            let api = asked.id_of_api(&api)?;
            asked.put(plugins(), plugin_of(call.body, Some(&api))?, &method)
        }
        Old::Api(key) => {
            let id = asked.id_of_api(&key)?;
            let body = if method == Method::DELETE || reads { Map::new() } else { api_of(call.body)? };
            asked.one(apis(), &id, body, &method)
        }
        Old::Plugin(id) => asked.plugin(&id, call.body, None, &method),
        Old::PluginOfApi(api, key) => {
            let api = asked.id_of_api(&api)?;
            let id = asked.id_of_plugin(&api, &key)?;
            asked.plugin(&id, call.body, Some(&api), &method)
        }
    }
}

/// The members of an API.
fn api_of(body: Body) -> ApiResult<Map<String, Value>> {
    let is_form = matches!(body, Body::Form(_));
    let mut api = members_of(apis(), body, None)?;
    for name in LISTS {
        if let Some(Value::String(list)) = api.get(name).filter(|_| is_form) {
            let items: Vec<Value> =
                list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect();
            api.insert(name.to_owned(), items.into());
        }
    }
    Ok(api)
}

/// The members of a plugin in current form. Its name stays an old one: messages of such plugins have old framing.
fn plugin_of(body: Body, api: Option<&str>) -> ApiResult<Map<String, Value>> {
    let body = match body {
        Body::Form(pairs) => {
            let current = |name: String| match name.strip_prefix("value.") {
                Some(below) => format!("config.{below}"),
                None => name,
            };
            let had_value = pairs.iter().any(|(name, _)| name.starts_with("value."));
            let pairs = pairs.into_iter().map(|(name, value)| (current(name), value)).collect();
            let mut plugin = members_of(plugins(), Body::Form(pairs), None)?;
            if had_value {
                old_name(&mut plugin);
            }
            plugin
        }
        body => {
            let mut plugin = members_of(plugins(), body, None)?;
            if let Some(value) = plugin.remove("value") {
                plugin.insert("config".to_owned(), value);
                old_name(&mut plugin);
            }
            plugin
        }
    };
    let mut plugin = body;
    for (old, new) in old_references() {
        if let Some(id) = plugin.remove(old).filter(|id| !id.is_null()) {
            plugin.insert(new.to_owned(), json!({ "id": id }));
        }
    }
    if let Some(api) = api {
        plugin.insert("api".to_owned(), json!({ "id": api }));
    }
    Ok(plugin)
}

/// Gives a plugin with a `value` the name that it had then.
fn old_name(plugin: &mut Map<String, Value>) {
    let definition = plugin.get("name").and_then(Value::as_str).and_then(plugin::find);
    if let Some(old) = definition.and_then(|definition| definition.old_names.first()) {
        plugin.insert("name".to_owned(), (*old).into());
    }
}

/// A request to an old path.
struct Asked<'a> {
    state: &'a State,
    caller: &'a Caller,
}

impl Asked<'_> {
    fn id_of_api(&self, key: &str) -> ApiResult<String> {
        let tables = self.state.tables();
        tables.find(apis(), key).map(|api| id_of(api)).ok_or_else(ApiError::not_found)
    }

    /// The plugin of an API, by its id or its name, which only one can have.
    fn id_of_plugin(&self, api: &str, key: &str) -> ApiResult<String> {
        let tables = self.state.tables();
        let ids = tables.referring(plugins(), "api", api).into_iter().flatten();
        let found = ids.filter_map(|id| tables.get(plugins(), id)).find(|plugin| {
            id_of(plugin) == key.to_ascii_lowercase() || plugin.get("name").and_then(Value::as_str) == Some(key)
        });
        found.map(|plugin| id_of(plugin)).ok_or_else(ApiError::not_found)
    }

    fn shown(&self, kind: &'static Kind, entity: &Entity) -> Value {
        let mut shown = secrets::shown(self.caller, kind, entity);
        shown.retain(|_, value| !value.is_null());
        if kind.is_plugins() {
            for (old, new) in old_references() {
                if let Some(id) = reference(entity, new) {
                    shown.insert(old.to_owned(), id.into());
                }
                shown.remove(new);
            }
            let is_old = entity
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(|name| plugin::find(name).is_some_and(|definition| definition.name != name));
            if is_old && let Some(config) = shown.remove("config") {
                shown.insert("value".to_owned(), config);
            }
            shown.remove("protocols");
        }
        Value::Object(shown)
    }

    /// A list with its total. Arguments other than those of pages filter by members.
    fn list(&self, kind: &'static Kind, query: &str, is_in: &dyn Fn(&Entity) -> bool) -> ApiResult<Answer> {
        let filters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name != "size" && name != "offset")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let (size, after) = Query::parse(query).page()?;
        let tables = self.state.tables();
        let all: Vec<Value> = tables
            .all(kind)
            .filter(|(_, entity)| is_in(entity))
            .map(|(_, entity)| self.shown(kind, entity))
            .filter(|shown| {
                filters.iter().all(|(name, wanted)| shown.get(name).and_then(Value::as_str) == Some(wanted))
            })
            .collect();
        let total = all.len();
        let id = |shown: &Value| shown["id"].as_str().unwrap_or_default().to_owned();
        let rest = all.into_iter().filter(|shown| after.as_ref().is_none_or(|after| id(shown) > *after));
        let mut rest = rest.peekable();
        let data: Vec<Value> = rest.by_ref().take(size).collect();
        let mut list = json!({"total": total, "data": data});
        if let (Some(last), Some(_)) = (data.last(), rest.peek()) {
            let offset = super::list::offset_of(&id(last));
            list["offset"] = offset.as_str().into();
            list["next"] = format!("/{}?size={size}&offset={offset}", kind.path).into();
        }
        Ok((StatusCode::OK, Some(list)))
    }

    /// POST creates; PUT without an id, too, and with one it replaces.
    fn put(&self, kind: &'static Kind, mut body: Map<String, Value>, method: &Method) -> ApiResult<Answer> {
        check_api(kind, &mut body)?;
        let replaces = method == Method::PUT && body.contains_key("id");
        let refuse = || ApiError::read_only("create", kind, None);
        let entity = self.state.write(self.caller, Names::Old, refuse, |writer, tables| {
            let mut body = body.clone();
            if !replaces {
                return writer.create(kind, body);
            }
            let existing = existing(tables, kind, &body)?;
            secrets::unmask(kind, &mut body, existing);
            writer.replace(kind, body, Some(existing))
        })?;
        let status = if replaces { StatusCode::OK } else { StatusCode::CREATED };
        Ok((status, Some(self.shown(kind, &entity))))
    }

    fn plugin(&self, id: &str, body: Body, api: Option<&str>, method: &Method) -> ApiResult<Answer> {
        let has_body = matches!(*method, Method::PUT | Method::PATCH);
        let mut members = Map::new();
        if has_body {
            let name = self.state.tables().get(plugins(), id).and_then(|plugin| plugin.get("name").cloned());
            let Some(name) = name else { return Err(ApiError::not_found()) };
            // The types of a form are those of the plugin, which it need not name.
            let body = match body {
                Body::Form(mut pairs) => {
                    if !pairs.iter().any(|(key, _)| key == "name") {
                        pairs.push(("name".to_owned(), name.as_str().map(str::to_owned)));
                    }
                    Body::Form(pairs)
                }
                body => body,
            };
            members = plugin_of(body, api)?;
            members.insert("name".to_owned(), name);
        }
        self.one(plugins(), id, members, method)
    }

    fn one(&self, kind: &'static Kind, id: &str, body: Map<String, Value>, method: &Method) -> ApiResult<Answer> {
        if matches!(*method, Method::GET | Method::HEAD) {
            let tables = self.state.tables();
            let entity = tables.get(kind, id).ok_or_else(ApiError::not_found)?;
            return Ok((StatusCode::OK, Some(self.shown(kind, entity))));
        }
        let verb = if method == Method::DELETE { "remove" } else { "update" };
        let refuse = || ApiError::read_only(verb, kind, None);
        let entity = self.state.write(self.caller, Names::Old, refuse, |writer, tables| {
            let existing = tables.get(kind, id).ok_or_else(ApiError::not_found)?;
            if method == Method::DELETE {
                return writer.delete(kind, existing).map(|()| None);
            }
            let mut body = body.clone();
            secrets::unmask(kind, &mut body, existing);
            if method == Method::PATCH {
                return writer.update(kind, existing, body).map(Some);
            }
            body.insert("id".to_owned(), id.into());
            writer.replace(kind, body, Some(existing)).map(Some)
        })?;
        match entity {
            Some(entity) => Ok((StatusCode::OK, Some(self.shown(kind, &entity)))),
            None => Ok((StatusCode::NO_CONTENT, None)),
        }
    }
}

fn existing<'a>(tables: &'a Tables, kind: &'static Kind, body: &Map<String, Value>) -> ApiResult<&'a Entity> {
    let id = body.get("id").and_then(Value::as_str).filter(|id| is_uuid(id));
    id.and_then(|id| tables.get(kind, id)).ok_or_else(ApiError::not_found)
}

/// An API needs an upstream. Its name is its host, if it has none.
fn check_api(kind: &Kind, body: &mut Map<String, Value>) -> ApiResult<()> {
    if kind.name != "apis" {
        return Ok(());
    }
    if !body.contains_key("upstream_url") && !body.contains_key("target_url") {
        let body = json!({"upstream_url": "upstream_url is required"});
        return Err(ApiError { status: StatusCode::BAD_REQUEST, body });
    }
    if !body.contains_key("name") {
        let hosts = ["request_host", "public_dns"].iter().find_map(|name| body.get(*name)?.as_str());
        if let Some(name) = hosts.map(str::to_owned) {
            body.insert("name".to_owned(), name.into());
        }
    }
    Ok(())
}
